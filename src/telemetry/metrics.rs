//! Metrics: plain atomics, written as OpenMetrics text. No label holds a number, a name or an address.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::call::port::{Event, EventKind, Note};
use crate::masking::reason::Reason;

/// Every note, in the order of its discriminant.
const NOTES: [Note; 9] = [
    Note::Malformed,
    Note::Stray,
    Note::Stranger,
    Note::Shed,
    Note::GuardHit,
    Note::PortsDry,
    Note::PortTaken,
    Note::FilesDry,
    Note::SendFailed,
];

/// Every reason, in the order of its discriminant.
const REASONS: [Reason; 28] = [
    Reason::NotOurs,
    Reason::AccountSuspended,
    Reason::NumberFrozen,
    Reason::Overload,
    Reason::Loop,
    Reason::Unidentified,
    Reason::Blocked,
    Reason::Frequency,
    Reason::Direction,
    Reason::SelfCall,
    Reason::NoCallee,
    Reason::Expired,
    Reason::NoBinding,
    Reason::Quota,
    Reason::Media,
    Reason::Busy,
    Reason::NoAnswer,
    Reason::Rejected,
    Reason::Unreachable,
    Reason::Unallocated,
    Reason::TrunkDown,
    Reason::TrunkMayNotShow,
    Reason::Cut,
    Reason::Cancelled,
    Reason::CustomerServer,
    Reason::Protocol,
    Reason::Internal,
    Reason::Restart,
];

/// A reading that another room keeps: it is set before the metrics are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// Live calls.
    Calls,
    /// CDRs that are not on disk.
    CdrsWaiting,
    /// Journal entries that are not on disk.
    JournalWaiting,
    /// Journal entries that were lost, since the start.
    JournalLost,
    /// Bindings that are in force.
    Bindings,
    /// Virtual numbers that are known.
    Numbers,
    /// Ended bindings whose keys may rest.
    Quarantined,
    /// Ended bindings whose keys rest no longer because a pool had more than the limit, since the start.
    QuarantineShort,
    /// SIP datagrams received, since the start.
    SipIn,
    /// SIP datagrams sent, since the start.
    SipOut,
    /// SIP requests that were answered 503 unread, since the start.
    SipShed,
    /// SIP datagrams that could not be handed on or sent, since the start.
    SipLost,
    /// RTP packets received, since the start.
    RtpIn,
    /// RTP packets sent, since the start.
    RtpOut,
    /// RTP packets dropped, since the start.
    RtpDropped,
}

/// How a reading is written.
enum Kind {
    Gauge,
    Counter,
}

const READINGS: [(Reading, Kind, &str, &str); 15] = [
    (Reading::Calls, Kind::Gauge, "umbra_calls", "Live calls."),
    (
        Reading::CdrsWaiting,
        Kind::Gauge,
        "umbra_cdrs_waiting",
        "Call records not on disk yet.",
    ),
    (
        Reading::JournalWaiting,
        Kind::Gauge,
        "umbra_journal_waiting",
        "Journal entries not on disk yet.",
    ),
    (
        Reading::JournalLost,
        Kind::Counter,
        "umbra_journal_lost",
        "Journal entries lost: a kill may cost their calls' records.",
    ),
    (
        Reading::Bindings,
        Kind::Gauge,
        "umbra_bindings",
        "Bindings in force.",
    ),
    (Reading::Numbers, Kind::Gauge, "umbra_numbers", "Virtual numbers."),
    (
        Reading::Quarantined,
        Kind::Gauge,
        "umbra_quarantined",
        "Ended bindings whose keys may rest from others.",
    ),
    (
        Reading::QuarantineShort,
        Kind::Counter,
        "umbra_quarantine_dropped",
        "Ended bindings whose keys rest no longer: their pool had more than the limit.",
    ),
    (
        Reading::SipIn,
        Kind::Counter,
        "umbra_sip_in",
        "SIP datagrams received.",
    ),
    (
        Reading::SipOut,
        Kind::Counter,
        "umbra_sip_out",
        "SIP datagrams sent.",
    ),
    (
        Reading::SipShed,
        Kind::Counter,
        "umbra_sip_shed",
        "SIP requests answered 503 unread.",
    ),
    (
        Reading::SipLost,
        Kind::Counter,
        "umbra_sip_lost",
        "SIP datagrams that could not be handed on or sent.",
    ),
    (
        Reading::RtpIn,
        Kind::Counter,
        "umbra_rtp_in",
        "RTP packets received.",
    ),
    (
        Reading::RtpOut,
        Kind::Counter,
        "umbra_rtp_out",
        "RTP packets sent.",
    ),
    (
        Reading::RtpDropped,
        Kind::Counter,
        "umbra_rtp_dropped",
        "RTP packets dropped.",
    ),
];

/// The moments of a call that are counted, beside its end.
const MOMENTS: [&str; 4] = ["arrived", "dialled", "ringing", "answered"];

/// Every counter and gauge of the server. Any thread may count.
#[derive(Default)]
pub struct Metrics {
    notes: [AtomicU64; NOTES.len()],
    moments: [AtomicU64; MOMENTS.len()],
    /// Ended without a refusal.
    ended: AtomicU64,
    refused: [AtomicU64; REASONS.len()],
    /// Final statuses towards callers, by class: 1xx (none came) to 6xx.
    statuses: [AtomicU64; 7],
    readings: [AtomicU64; READINGS.len()],
}

impl Metrics {
    /// Counts a note.
    pub fn note(&self, note: Note) {
        add(&self.notes, note as usize);
    }

    /// How often a note was counted.
    pub fn noted(&self, note: Note) -> u64 {
        self.notes
            .get(note as usize)
            .map_or(0, |n| n.load(Ordering::Relaxed))
    }

    /// Counts a moment of a call.
    pub fn event(&self, event: &Event) {
        match event.what {
            EventKind::Arrived => add(&self.moments, 0),
            EventKind::Dialled => add(&self.moments, 1),
            EventKind::Ringing => add(&self.moments, 2),
            EventKind::Answered => add(&self.moments, 3),
            EventKind::Ended { status, refusal } => {
                add(&self.statuses, usize::from(status / 100));
                match refusal {
                    None => _ = self.ended.fetch_add(1, Ordering::Relaxed),
                    Some(reason) => add(&self.refused, reason as usize),
                }
            }
        }
    }

    /// Sets what another room counted.
    pub fn set(&self, reading: Reading, value: u64) {
        if let Some(cell) = self.readings.get(reading as usize) {
            cell.store(value, Ordering::Relaxed);
        }
    }

    /// All of them as OpenMetrics text (`application/openmetrics-text; version=1.0.0`).
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(4_096);
        family(&mut text, "umbra_build", "info", "The server's version.");
        line(
            &mut text,
            "umbra_build_info",
            &format!("version=\"{}\"", env!("CARGO_PKG_VERSION")),
            1,
        );
        for ((_, kind, name, help), cell) in READINGS.iter().zip(&self.readings) {
            let value = cell.load(Ordering::Relaxed);
            match kind {
                Kind::Gauge => {
                    family(&mut text, name, "gauge", help);
                    line(&mut text, name, "", value);
                }
                Kind::Counter => {
                    family(&mut text, name, "counter", help);
                    line(&mut text, &format!("{name}_total"), "", value);
                }
            }
        }
        family(&mut text, "umbra_call_moments", "counter", "Moments of calls.");
        for (name, cell) in MOMENTS.iter().zip(&self.moments) {
            let labels = format!("moment=\"{name}\"");
            line(
                &mut text,
                "umbra_call_moments_total",
                &labels,
                cell.load(Ordering::Relaxed),
            );
        }
        family(
            &mut text,
            "umbra_calls_ended",
            "counter",
            "Calls that ended, by refusal.",
        );
        let ended = self.ended.load(Ordering::Relaxed);
        line(&mut text, "umbra_calls_ended_total", "refusal=\"none\"", ended);
        for (reason, cell) in REASONS.iter().zip(&self.refused) {
            let labels = format!("refusal=\"{}\"", reason_name(*reason));
            line(
                &mut text,
                "umbra_calls_ended_total",
                &labels,
                cell.load(Ordering::Relaxed),
            );
        }
        family(
            &mut text,
            "umbra_final_statuses",
            "counter",
            "Final statuses towards callers, by class.",
        );
        for (class, cell) in self.statuses.iter().enumerate().skip(2) {
            let labels = format!("class=\"{class}xx\"");
            line(
                &mut text,
                "umbra_final_statuses_total",
                &labels,
                cell.load(Ordering::Relaxed),
            );
        }
        family(
            &mut text,
            "umbra_notes",
            "counter",
            "What was noted beside the calls.",
        );
        for (note, cell) in NOTES.iter().zip(&self.notes) {
            let labels = format!("note=\"{}\"", note_name(*note));
            line(
                &mut text,
                "umbra_notes_total",
                &labels,
                cell.load(Ordering::Relaxed),
            );
        }
        text.push_str("# EOF\n");
        text
    }
}

fn add<const N: usize>(cells: &[AtomicU64; N], index: usize) {
    if let Some(cell) = cells.get(index) {
        cell.fetch_add(1, Ordering::Relaxed);
    }
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a String can't fail.
    let _ = write!(text, "# TYPE {name} {kind}\n# HELP {name} {help}\n");
}

fn line(text: &mut String, name: &str, labels: &str, value: u64) {
    let _ = match labels {
        "" => writeln!(text, "{name} {value}"),
        labels => writeln!(text, "{name}{{{labels}}} {value}"),
    };
}

/// The note's name, as metrics and logs write it.
pub fn note_name(note: Note) -> &'static str {
    match note {
        Note::Malformed => "malformed",
        Note::Stray => "stray",
        Note::Stranger => "stranger",
        Note::Shed => "shed",
        Note::GuardHit => "guard_hit",
        Note::PortsDry => "ports_dry",
        Note::PortTaken => "port_taken",
        Note::FilesDry => "files_dry",
        Note::SendFailed => "send_failed",
    }
}

/// The reason's name, as records write it.
pub fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::NotOurs => "not_ours",
        Reason::AccountSuspended => "account_suspended",
        Reason::NumberFrozen => "number_frozen",
        Reason::Overload => "overload",
        Reason::Loop => "loop",
        Reason::Unidentified => "unidentified",
        Reason::Blocked => "blocked",
        Reason::Frequency => "frequency",
        Reason::Direction => "direction",
        Reason::SelfCall => "self_call",
        Reason::NoCallee => "no_callee",
        Reason::Expired => "expired",
        Reason::NoBinding => "no_binding",
        Reason::Quota => "quota",
        Reason::Media => "media",
        Reason::Busy => "busy",
        Reason::NoAnswer => "no_answer",
        Reason::Rejected => "rejected",
        Reason::Unreachable => "unreachable",
        Reason::Unallocated => "unallocated",
        Reason::TrunkDown => "trunk_down",
        Reason::TrunkMayNotShow => "trunk_may_not_show",
        Reason::Cut => "cut",
        Reason::Cancelled => "cancelled",
        Reason::CustomerServer => "customer_server",
        Reason::Protocol => "protocol",
        Reason::Internal => "internal",
        Reason::Restart => "restart",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::Id;
    use crate::base::time::Wall;

    #[test]
    fn every_note_and_reason_has_its_cell_and_its_name() {
        for (i, note) in NOTES.iter().enumerate() {
            assert_eq!(*note as usize, i);
        }
        for (i, reason) in REASONS.iter().enumerate() {
            assert_eq!(*reason as usize, i);
            let written = serde_json::to_string(reason).expect("plain");
            assert_eq!(
                written,
                format!("{:?}", reason_name(*reason)),
                "as records write it"
            );
        }
        for (i, (reading, ..)) in READINGS.iter().enumerate() {
            assert_eq!(*reading as usize, i);
        }
    }

    #[test]
    fn what_is_counted_is_written_and_the_text_ends_as_open_metrics_asks() {
        let metrics = Metrics::default();
        let event = |what| Event {
            call_id: Id::from_bits(1),
            at: Wall::default(),
            what,
        };
        metrics.event(&event(EventKind::Arrived));
        metrics.event(&event(EventKind::Answered));
        metrics.event(&event(EventKind::Ended {
            status: 486,
            refusal: Some(Reason::Busy),
        }));
        metrics.event(&event(EventKind::Ended {
            status: 200,
            refusal: None,
        }));
        metrics.note(Note::SendFailed);
        metrics.set(Reading::Calls, 7);
        metrics.set(Reading::RtpDropped, 9);
        let text = metrics.render();
        for wanted in [
            "\numbra_calls 7\n",
            "\numbra_rtp_dropped_total 9\n",
            "\numbra_call_moments_total{moment=\"arrived\"} 1\n",
            "\numbra_call_moments_total{moment=\"answered\"} 1\n",
            "\numbra_calls_ended_total{refusal=\"busy\"} 1\n",
            "\numbra_calls_ended_total{refusal=\"none\"} 1\n",
            "\numbra_calls_ended_total{refusal=\"restart\"} 0\n",
            "\numbra_final_statuses_total{class=\"4xx\"} 1\n",
            "\numbra_notes_total{note=\"send_failed\"} 1\n",
        ] {
            assert!(text.contains(wanted), "{wanted}{text}");
        }
        assert!(text.ends_with("\n# EOF\n"));
        // Every sample belongs to a family that was announced before it.
        let mut families = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                families.push(rest.split(' ').next().expect("a name"));
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().expect("a name");
                let last = families.last().expect("a family");
                assert!(name.starts_with(last), "{line}");
            }
        }
    }
}
