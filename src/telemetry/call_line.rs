//! A call's line in the log: what became of it, for whoever looks at three in the morning. The call's id leads
//! to the rest (`umbra trace`, `umbra cdr`); the parties' numbers are not in it.

use std::fmt::Write;

use crate::base::redact::Masked;
use crate::call::cdr::{Cdr, ReleasedBy};
use crate::call::port::EventKind;
use crate::telemetry::metrics::reason_name;

/// What became of the call, in one line.
pub fn ended(cdr: &Cdr) -> String {
    let is_emergency = cdr.mode.as_deref() == Some("emergency");
    let mut line = match (cdr.answered_at, cdr.refusal) {
        (Some(_), _) => format!("call ended: {} s, released by ", cdr.billable_s),
        (None, Some(reason)) => format!("call refused: {}, by ", reason_name(reason)),
        (None, None) => "call ended without an answer, released by ".to_owned(),
    };
    line.push_str(match cdr.released_by {
        ReleasedBy::Caller => "caller",
        ReleasedBy::Callee => "callee",
        ReleasedBy::Server => "server",
    });
    if let Some(cause) = &cdr.end_cause {
        add(&mut line, format_args!(" ({cause})"));
    }
    add(&mut line, format_args!(", {} to the caller", cdr.sip_status));
    if is_emergency {
        // The number is everybody's; who was in need is nobody's business here.
        add(
            &mut line,
            format_args!("; emergency number {}, called by ", cdr.dialled),
        );
        match &cdr.caller {
            Some(caller) => add(
                &mut line,
                format_args!("{}", Masked(caller.trim_start_matches('+'))),
            ),
            None => line.push_str("nobody known"),
        }
    } else {
        let dialled = cdr.dialled.to_string();
        add(&mut line, format_args!("; x {}", Masked(&dialled)));
    }
    add(&mut line, format_args!(", trunk {}", cdr.trunk_in));
    for attempt in &cdr.attempts {
        let status = match attempt.status {
            0 => "no answer".to_owned(),
            status => status.to_string(),
        };
        add(
            &mut line,
            format_args!(" -> {} {} ({status})", attempt.trunk, attempt.gateway),
        );
    }
    if let Some(binding) = cdr.binding_id {
        add(&mut line, format_args!(", binding {binding}"));
    }
    line
}

/// A moment of a call before its end.
pub const fn moment(what: EventKind) -> &'static str {
    match what {
        EventKind::Arrived => "call arrived",
        EventKind::Dialled => "callee dialled",
        EventKind::Ringing => "callee rings",
        EventKind::Answered => "callee answered",
        EventKind::Digits(_) => "digits heard",
        EventKind::Ended { .. } => "call over",
    }
}

fn add(line: &mut String, words: std::fmt::Arguments<'_>) {
    // Text takes every write.
    let _ = line.write_fmt(words);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::call::cdr::Attempt;
    use crate::masking::reason::Reason;
    use serde_json::json;

    pub(in crate::telemetry) fn cdr() -> Cdr {
        let at = "2026-11-21T10:00:00.000Z";
        serde_json::from_value(json!({
            "schema": 1, "node": "umbra-1", "call_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "binding_id": null,
            "account": "default", "pool": null, "mode": null, "caller_kind": "a", "direction": null,
            "a": "+8613800000001", "x": "17000000001", "y": null, "peer": "+8613900000002", "extension": null,
            "group_id": null, "caller": "+8613800000001", "dialled": "17000000001", "callee": "+8613900000002",
            "shown": "17000000001", "arrived_at": at, "dialled_at": at, "early_media_at": null,
            "ringing_at": null, "answered_at": at, "ended_at": at, "released_by": "server", "sip_status": 200,
            "callee_sip_status": 200, "q850_cause": 16, "refusal": null, "billable_s": 12,
            "attempts": [{"trunk": "other", "gateway": "127.0.0.3:5060", "callee": "+8613900000002", "status": 200}],
            "recording": {"id": null, "state": "none", "reason": "not asked"},
            "media": {"caller": {"codec": null, "packets_in": 0, "packets_out": 0, "lost": 0, "jitter_ms_max": 0.0},
                "callee": {"codec": null, "packets_in": 0, "packets_out": 0, "lost": 0, "jitter_ms_max": 0.0}},
            "sip_call_id_in": "a", "sip_call_id_out": "b", "trunk_in": "carrier", "trunk_out": "other",
            "order_id": "13800000001", "user_data": "13900000002", "end_cause": "hangup"
        }))
        .expect("a record")
    }

    #[test]
    fn a_calls_line_tells_how_it_ended_and_over_which_trunks_and_holds_no_partys_number() {
        let line = ended(&cdr());
        assert_eq!(
            line,
            "call ended: 12 s, released by server (hangup), 200 to the caller; x 170****0001, \
             trunk carrier -> other 127.0.0.3:5060 (200)"
        );
    }

    #[test]
    fn an_emergency_calls_line_names_the_number_and_hides_who_called_it() {
        let mut call = Cdr {
            mode: Some("emergency".into()),
            dialled: crate::base::number::Digits::from("110").unwrap(),
            end_cause: None,
            ..cdr()
        };
        let line =
            "call ended: 12 s, released by server, 200 to the caller; emergency number 110, called by ";
        let rest = ", trunk carrier -> other 127.0.0.3:5060 (200)";
        assert_eq!(ended(&call), format!("{line}138****0001{rest}"));
        call.caller = None;
        assert_eq!(ended(&call), format!("{line}nobody known{rest}"));
    }

    #[test]
    fn a_refused_calls_line_tells_the_reason_and_every_gateway_that_was_tried() {
        let attempt = |gateway: &str, status| Attempt {
            gateway: gateway.into(),
            status,
            ..cdr().attempts[0].clone()
        };
        let refused = Cdr {
            answered_at: None,
            refusal: Some(Reason::TrunkDown),
            sip_status: 503,
            end_cause: None,
            attempts: vec![attempt("127.0.0.3:5060", 0), attempt("127.0.0.4:5060", 503)],
            ..cdr()
        };
        assert_eq!(
            ended(&refused),
            "call refused: trunk_down, by server, 503 to the caller; x 170****0001, \
             trunk carrier -> other 127.0.0.3:5060 (no answer) -> other 127.0.0.4:5060 (503)"
        );
    }
}
