//! Whether the server's records say what the phones know.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::audio::{Audio, Said};
use crate::leg::{Log, Side};
use crate::phones::Call;

/// Seconds by which a record and a phone may differ: what one says while no server runs, the other hears later.
const SLACK_S: f64 = 5.0;

/// Packets that a phone says while a new process isn't there yet: 2 s of them.
const UNHEARD: u64 = 100;

/// Every fault of the records beside the calls: one record for each attempt, and a true one.
pub fn faults(records: &[Value], calls: &[Call], audio: &Audio) -> Vec<String> {
    let mut faults = Vec::new();
    let mut by_id: HashMap<&str, Vec<&Value>> = HashMap::new();
    for record in records {
        let id = record["sip_call_id_in"].as_str().unwrap_or_default();
        by_id.entry(id).or_default().push(record);
    }
    for (number, call) in calls.iter().enumerate() {
        let id = call.caller.id.as_str();
        match by_id.remove(id).unwrap_or_default().as_slice() {
            [record] => faults.extend(
                differences(record, call, audio.said_by(number))
                    .into_iter()
                    .map(|what| format!("{id} ({:?}): {what}", call.fate)),
            ),
            others => faults.push(format!(
                "{id} ({:?}) has {} records: {others:?}; the caller: {:?}",
                call.fate,
                others.len(),
                call.caller.log
            )),
        }
    }
    faults.extend(by_id.into_keys().map(|id| format!("nobody made the call {id}")));
    faults
}

fn differences(record: &Value, call: &Call, said: [Said; 2]) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |name: &str, said: &Value, known: String| {
        found.push(format!("{name} is {said}, and the phones know {known}: {record}"));
    };
    let caller = &call.caller.log;
    let callee = call.callee.as_ref();
    for (name, known) in [("a", &call.pair.a), ("x", &call.pair.x), ("callee", &call.pair.b)] {
        let said = record[name].as_str().unwrap_or_default();
        let is_unknown = name == "callee" && callee.is_none();
        if !is_unknown && !said.ends_with(known.as_str()) {
            differ(name, &record[name], known.clone());
        }
    }
    if let Some(callee) = callee
        && record["sip_call_id_out"] != callee.id.as_str()
    {
        differ("sip_call_id_out", &record["sip_call_id_out"], callee.id.clone());
    }
    // Whoever gave up by himself needn't have heard the end.
    if record["sip_status"] != caller.status && caller.status != 0 {
        differ("sip_status", &record["sip_status"], caller.status.to_string());
    }
    match (caller.answered, record["answered_at"].as_str()) {
        (Some(answered), Some(said)) => {
            let (known, said_s) = (seconds(answered), wall_seconds(said));
            if (known - said_s).abs() > SLACK_S {
                differ("answered_at", &record["answered_at"], format!("{known}"));
            }
            let ended = first_end(caller, callee.map(|leg| &leg.log));
            let talked = ended.map_or(0.0, |ended| seconds(ended) - known);
            let billed = record["billable_s"].as_f64().unwrap_or(-1.0);
            if (billed - talked).abs() > SLACK_S {
                differ("billable_s", &record["billable_s"], format!("{talked:.1}"));
            }
        }
        (None, None) => {}
        (known, _) => differ("answered_at", &record["answered_at"], format!("{known:?}")),
    }
    // What was said while no server ran, and what the killed one had counted, is missing; of the rest one in fifty may have
    // been lost on a busy machine.
    for (side, said) in ["caller", "callee"].into_iter().zip(said) {
        let counted = &record["media"][side]["packets_in"];
        let count = counted.as_u64().unwrap_or(u64::MAX);
        if count > said.all || count + UNHEARD < said.since_kill - said.since_kill / 50 {
            differ("packets_in", counted, format!("{said:?} of the {side}"));
        }
    }
    let by = Side::BOTH.map(|side| call.leg(side).is_some_and(|leg| leg.log.hung_up));
    let said = record["released_by"].as_str().unwrap_or_default();
    let known = match by {
        [true, false] if caller.answered.is_some() => Some("caller"),
        [false, true] if caller.answered.is_some() => Some("callee"),
        _ => None,
    };
    if let Some(known) = known
        && known != said
    {
        differ("released_by", &record["released_by"], known.to_owned());
    }
    found
}

/// When the first of them knew that it was over.
fn first_end(caller: &Log, callee: Option<&Log>) -> Option<SystemTime> {
    let ends = [caller.ended, callee.and_then(|log| log.ended)];
    ends.into_iter().flatten().min()
}

fn seconds(at: SystemTime) -> f64 {
    let since = at.duration_since(UNIX_EPOCH).expect("after 1970");
    since.as_secs_f64()
}

/// Seconds since 1970 of `2026-11-21T10:00:00.123Z`.
fn wall_seconds(text: &str) -> f64 {
    let number = |from: usize, to: usize| -> f64 {
        text.get(from..to)
            .and_then(|part| part.parse().ok())
            .unwrap_or(f64::NAN)
    };
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    // Days since 1970-01-01 by the civil calendar, with years that begin in March.
    let (y, m) = if month > 2.0 {
        (year, month - 3.0)
    } else {
        (year - 1.0, month + 9.0)
    };
    let era_days = 365.0 * y + (y / 4.0).floor() - (y / 100.0).floor() + (y / 400.0).floor();
    let days = era_days + ((153.0 * m + 2.0) / 5.0).floor() + day - 1.0 - 719_468.0;
    days * 86_400.0 + number(11, 13) * 3_600.0 + number(14, 16) * 60.0 + number(17, 23)
}
