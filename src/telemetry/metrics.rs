//! Metrics: what is counted of calls, written as OpenMetrics text. No label holds a party's number or an address, and
//! a virtual one only where the conf asks for it.

mod course;
mod page;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::histogram::Histogram;
use crate::base::time::Wall;
use crate::call::cdr::Cdr;
use crate::call::port::{Event, EventKind, Note};
use crate::masking::reason::Reason;

use self::course::{Course, Numbers};
use super::registrations::Registrations;
pub use page::{Kind, Page, Row};

/// Every note, in the order of its discriminant.
const NOTES: [Note; 14] = [
    Note::Malformed,
    Note::Stray,
    Note::Stranger,
    Note::WrongPassword,
    Note::Guessing,
    Note::Shed,
    Note::GuardHit,
    Note::PortsDry,
    Note::PortTaken,
    Note::FilesDry,
    Note::Banned,
    Note::Emergency,
    Note::SendFailed,
    Note::ConnectionsFull,
];

/// Every reason, in the order of its discriminant.
const REASONS: [Reason; 29] = [
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
    Reason::CallbackTone,
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

/// The moments of a call that are counted, beside its end.
const MOMENTS: [&str; 4] = ["arrived", "dialled", "ringing", "answered"];

/// Trunks that are counted; what comes by others (so many names in one run of a server) is not.
const TRUNKS_MAX: usize = 1_024;

/// Every counter of the server that belongs to its calls. Any thread may count.
#[derive(Default)]
pub struct Metrics {
    notes: [AtomicU64; NOTES.len()],
    moments: [AtomicU64; MOMENTS.len()],
    /// Ended without a refusal.
    ended: AtomicU64,
    refused: [AtomicU64; REASONS.len()],
    /// Final statuses towards callers, by class: 1xx (none came) to 6xx.
    statuses: [AtomicU64; 7],
    /// From arrival to the callee's INVITE: our own time.
    dialling: Histogram,
    /// From arrival to the first that the callee's side had to say: ringing, early media, an answer.
    setup: Histogram,
    /// From answer to end.
    conversation: Histogram,
    packets_in: AtomicU64,
    packets_out: AtomicU64,
    packets_lost: AtomicU64,
    trunks: Mutex<BTreeMap<Box<str>, TrunkCounts>>,
    numbers: Mutex<Numbers>,
    /// How our registrations with trunks are.
    pub registrations: Registrations,
}

/// What is counted of a trunk.
#[derive(Default)]
struct TrunkCounts {
    /// Calls and attempts that came in by it and are over.
    calls: u64,
    /// INVITEs that left by it, by their final status's class; 0: none came.
    attempts: [u64; 7],
    /// Of calls that came in by it.
    inward: Course,
    /// Of calls that left by it.
    outward: Course,
}

impl Metrics {
    /// Counts the calls of so many virtual numbers apart, as [`count_numbers`](Self::count_numbers) says.
    pub fn counting(numbers: u32) -> Self {
        let metrics = Self::default();
        metrics.count_numbers(numbers);
        metrics
    }

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
            EventKind::Digits(_) => {}
            EventKind::Ended { status, refusal } => {
                add(&self.statuses, usize::from(status / 100));
                match refusal {
                    None => _ = self.ended.fetch_add(1, Ordering::Relaxed),
                    Some(reason) => add(&self.refused, reason as usize),
                }
            }
        }
    }

    /// Counts the calls of so many virtual numbers apart from now on, those that are called first; 0: of none.
    pub fn count_numbers(&self, max: u32) {
        self.numbers().set_max(usize::try_from(max).unwrap_or(usize::MAX));
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call or an attempt is over.
    pub fn over(&self, cdr: &Cdr) {
        let since = |later: Option<Wall>, from: Wall| later.map(|at| at.since(from));
        if let Some(time) = since(cdr.dialled_at, cdr.arrived_at) {
            self.dialling.add(time);
        }
        let first = [cdr.ringing_at, cdr.early_media_at, cdr.answered_at];
        let first = first.into_iter().flatten().min();
        let delay = since(first, cdr.arrived_at);
        if let Some(time) = delay {
            self.setup.add(time);
        }
        self.numbers().count(cdr, delay);
        self.of_trunk(&cdr.trunk_in, |trunk| {
            trunk.calls += 1;
            trunk.inward.count(cdr, delay);
        });
        if let Some(name) = &cdr.trunk_out {
            // Of several attempts nobody can say which one the delay is to be laid to.
            let dialled = cdr.dialled_at.filter(|_| cdr.attempts.len() == 1);
            let delay = dialled.and_then(|dialled| since(first, dialled));
            self.of_trunk(name, |trunk| trunk.outward.count(cdr, delay));
        }
        if let Some(answered) = cdr.answered_at {
            self.conversation.add(cdr.ended_at.since(answered));
        }
        for leg in [&cdr.media.caller, &cdr.media.callee] {
            self.packets_in.fetch_add(leg.packets_in, Ordering::Relaxed);
            self.packets_out.fetch_add(leg.packets_out, Ordering::Relaxed);
            self.packets_lost.fetch_add(leg.lost, Ordering::Relaxed);
        }
        for attempt in &cdr.attempts {
            let class = usize::from(attempt.status / 100);
            self.of_trunk(&attempt.trunk, |trunk| {
                if let Some(count) = trunk.attempts.get_mut(class) {
                    *count += 1;
                }
            });
        }
    }

    fn of_trunk(&self, name: &str, count: impl FnOnce(&mut TrunkCounts)) {
        let mut trunks = self.trunks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trunk) = trunks.get_mut(name) {
            count(trunk);
        } else if trunks.len() < TRUNKS_MAX {
            count(trunks.entry(name.into()).or_default());
        }
    }

    /// Writes all of them.
    pub fn write(&self, page: &mut Page) {
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        page.info("umbra_build", "The server's version.", &version);
        let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let rows = |label: &'static str, names: Vec<String>, cells: &[AtomicU64]| {
            let rows = names.into_iter().zip(cells);
            rows.map(|(name, cell)| (vec![(label, name)], read(cell)))
                .collect::<Vec<_>>()
        };
        page.rows(
            Kind::Counter,
            "umbra_call_moments",
            "Moments of calls.",
            rows("moment", MOMENTS.map(str::to_owned).to_vec(), &self.moments),
        );
        let mut ended = vec![(vec![("refusal", "none".to_owned())], read(&self.ended))];
        let reasons = REASONS.iter().map(|reason| reason_name(*reason).to_owned());
        ended.extend(rows("refusal", reasons.collect(), &self.refused));
        page.rows(
            Kind::Counter,
            "umbra_calls_ended",
            "Calls that ended, by refusal.",
            ended,
        );
        let classes = self.statuses.iter().enumerate().skip(2);
        page.rows(
            Kind::Counter,
            "umbra_final_statuses",
            "Final statuses towards callers, by class.",
            classes.map(|(class, cell)| (vec![("class", format!("{class}xx"))], read(cell))),
        );
        let notes = NOTES.iter().map(|note| note_name(*note).to_owned());
        page.rows(
            Kind::Counter,
            "umbra_notes",
            "What was noted beside the calls.",
            rows("note", notes.collect(), &self.notes),
        );
        for (name, help, times) in [
            (
                "umbra_call_dialling_seconds",
                "From an INVITE's arrival to the called party's INVITE: our own time.",
                &self.dialling,
            ),
            (
                "umbra_call_setup_seconds",
                "From an INVITE's arrival to ringing, early media or an answer, whichever came first.",
                &self.setup,
            ),
            (
                "umbra_call_conversation_seconds",
                "From answer to end.",
                &self.conversation,
            ),
        ] {
            page.histogram(name, help, times);
        }
        for (name, help, cell) in [
            (
                "umbra_rtp_packets_in",
                "RTP packets taken, of calls that ended.",
                &self.packets_in,
            ),
            (
                "umbra_rtp_packets_out",
                "RTP packets sent, of calls that ended.",
                &self.packets_out,
            ),
            (
                "umbra_rtp_packets_lost",
                "RTP packets that never came, of calls that ended.",
                &self.packets_lost,
            ),
        ] {
            page.one(Kind::Counter, name, help, read(cell));
        }
        self.write_trunks(page);
        self.numbers().write(page);
    }

    fn write_trunks(&self, page: &mut Page) {
        let trunks = self.trunks.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = trunks
            .iter()
            .map(|(name, trunk)| (vec![("trunk", name.to_string())], trunk.calls));
        page.rows(
            Kind::Counter,
            "umbra_trunk_calls_ended",
            "Calls and attempts that came in by a trunk and are over.",
            calls,
        );
        let attempts = trunks.iter().flat_map(|(name, trunk)| {
            trunk
                .attempts
                .iter()
                .enumerate()
                .filter_map(move |(class, count)| {
                    let class = match class {
                        0 => "none".to_owned(),
                        1 => return None,
                        class => format!("{class}xx"),
                    };
                    Some((vec![("trunk", name.to_string()), ("class", class)], *count))
                })
        });
        page.rows(
            Kind::Counter,
            "umbra_trunk_attempts",
            "INVITEs that left by a trunk, by the class of the final status.",
            attempts,
        );
        type Reads = fn(&Course) -> u64;
        let read: [(&str, &str, Reads); 4] = [
            (
                "umbra_trunk_answered",
                "Answered calls of a trunk that are over, by the way they went (in, out).",
                |course| course.answered,
            ),
            (
                "umbra_trunk_talk_seconds",
                "How long they lasted from the answer on.",
                |course| course.talked.as_secs(),
            ),
            (
                "umbra_trunk_rang",
                "Calls of a trunk whose called side rang, sent media or answered; those that left by several gateways in turn count in only.",
                |course| course.rang,
            ),
            (
                "umbra_trunk_post_dial_delay_seconds",
                "How long that took from the INVITE on.",
                |course| course.delayed.as_secs(),
            ),
        ];
        for (name, help, read) in read {
            let rows = trunks.iter().flat_map(|(name, trunk)| {
                [("in", &trunk.inward), ("out", &trunk.outward)].map(|(way, course)| {
                    let labels = vec![("trunk", name.to_string()), ("way", way.to_owned())];
                    (labels, read(course))
                })
            });
            page.rows(Kind::Counter, name, help, rows);
        }
    }
}

fn add<const N: usize>(cells: &[AtomicU64; N], index: usize) {
    if let Some(cell) = cells.get(index) {
        cell.fetch_add(1, Ordering::Relaxed);
    }
}

/// The note's name, as metrics and logs write it.
pub fn note_name(note: Note) -> &'static str {
    match note {
        Note::Malformed => "malformed",
        Note::Stray => "stray",
        Note::Stranger => "stranger",
        Note::WrongPassword => "wrong_password",
        Note::Guessing => "guessing",
        Note::Shed => "shed",
        Note::GuardHit => "guard_hit",
        Note::PortsDry => "ports_dry",
        Note::PortTaken => "port_taken",
        Note::FilesDry => "files_dry",
        Note::ConnectionsFull => "connections_full",
        Note::Banned => "banned",
        Note::Emergency => "emergency",
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
        Reason::CallbackTone => "callback_tone",
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
    }

    #[test]
    fn a_trunks_calls_are_counted_both_ways_and_a_delay_where_one_gateway_had_it() {
        let metrics = Metrics::default();
        let at = |ms| Some(Wall::from_millis(ms));
        let mut cdr = crate::telemetry::call_line::tests::cdr();
        (cdr.trunk_in, cdr.trunk_out) = ("home".into(), Some("carrier".into()));
        cdr.arrived_at = Wall::from_millis(0);
        (cdr.dialled_at, cdr.early_media_at) = (at(1_000), None);
        (cdr.ringing_at, cdr.answered_at) = (at(4_000), at(9_000));
        cdr.ended_at = Wall::from_millis(69_000);
        metrics.over(&cdr);
        cdr.attempts.extend(cdr.attempts.clone());
        (cdr.answered_at, cdr.ended_at) = (None, Wall::from_millis(9_000));
        metrics.over(&cdr);
        let mut page = Page::default();
        metrics.write(&mut page);
        let text = page.finish();
        for wanted in [
            "umbra_trunk_answered_total{trunk=\"home\",way=\"in\"} 1\n",
            "umbra_trunk_answered_total{trunk=\"carrier\",way=\"out\"} 1\n",
            "umbra_trunk_answered_total{trunk=\"home\",way=\"out\"} 0\n",
            "umbra_trunk_talk_seconds_total{trunk=\"carrier\",way=\"out\"} 60\n",
            "umbra_trunk_rang_total{trunk=\"home\",way=\"in\"} 2\n",
            "umbra_trunk_rang_total{trunk=\"carrier\",way=\"out\"} 1\n",
            "umbra_trunk_post_dial_delay_seconds_total{trunk=\"home\",way=\"in\"} 8\n",
            "umbra_trunk_post_dial_delay_seconds_total{trunk=\"carrier\",way=\"out\"} 3\n",
        ] {
            assert!(text.contains(wanted), "{wanted}{text}");
        }
    }

    #[test]
    fn as_many_virtual_numbers_are_counted_as_the_conf_says_and_none_that_isnt_ours() {
        let metrics = Metrics::default();
        let page = |metrics: &Metrics| {
            let mut page = Page::default();
            metrics.write(&mut page);
            page.finish()
        };
        let mut cdr = crate::telemetry::call_line::tests::cdr();
        let at = |ms| Some(Wall::from_millis(ms));
        (cdr.arrived_at, cdr.ringing_at) = (Wall::from_millis(0), at(4_000));
        (cdr.early_media_at, cdr.answered_at) = (None, at(9_000));
        cdr.ended_at = Wall::from_millis(69_000);
        let dial = |cdr: &mut Cdr, number: &str| cdr.dialled = number.try_into().expect("short");
        dial(&mut cdr, "17000000001");
        metrics.over(&cdr);
        assert!(!page(&metrics).contains("umbra_number_"));

        metrics.count_numbers(1);
        metrics.over(&cdr);
        cdr.refusal = Some(Reason::NotOurs);
        dial(&mut cdr, "13800000001");
        metrics.over(&cdr);
        (cdr.refusal, cdr.answered_at) = (Some(Reason::NoAnswer), None);
        dial(&mut cdr, "17000000001");
        metrics.over(&cdr);
        dial(&mut cdr, "17000000002");
        metrics.over(&cdr);
        let text = page(&metrics);
        for wanted in [
            "umbra_number_calls_ended_total{number=\"17000000001\"} 2\n",
            "umbra_number_answered_total{number=\"17000000001\"} 1\n",
            "umbra_number_talk_seconds_total{number=\"17000000001\"} 60\n",
            "umbra_number_rang_total{number=\"17000000001\"} 2\n",
            "umbra_number_post_dial_delay_seconds_total{number=\"17000000001\"} 8\n",
        ] {
            assert!(text.contains(wanted), "{wanted}{text}");
        }
        assert!(
            !text.contains("13800000001") && !text.contains("17000000002"),
            "{text}"
        );
        metrics.count_numbers(0);
        assert!(!page(&metrics).contains("umbra_number_"));
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
        let mut page = Page::default();
        metrics.write(&mut page);
        let text = page.finish();
        for wanted in [
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
