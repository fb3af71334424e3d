//! What became of calls, summed up: with their number, all that ASR, ACD and PDD are made of.

use std::collections::BTreeMap;
use std::time::Duration;

use super::page::{Kind, Page};
use crate::base::number::Digits;
use crate::call::cdr::Cdr;
use crate::masking::reason::Reason;

/// What became of the calls one way, or to one number.
#[derive(Default)]
pub(super) struct Course {
    pub(super) answered: u64,
    /// From answer to end.
    pub(super) talked: Duration,
    /// Those of which the called side said something: ringing, early media, an answer.
    pub(super) rang: u64,
    /// How long that took, post-dial delay.
    pub(super) delayed: Duration,
}

impl Course {
    /// Counts a call that is over; `delay` is how long its called side was silent.
    pub(super) fn count(&mut self, cdr: &Cdr, delay: Option<Duration>) {
        if let Some(answered) = cdr.answered_at {
            self.answered += 1;
            self.talked = self.talked.saturating_add(cdr.ended_at.since(answered));
        }
        if let Some(delay) = delay {
            self.rang += 1;
            self.delayed = self.delayed.saturating_add(delay);
        }
    }
}

/// What is counted of each virtual number that was called, of so many of them.
#[derive(Default)]
pub(super) struct Numbers {
    /// How many; 0: of none.
    max: usize,
    of: BTreeMap<Digits, (u64, Course)>,
}

impl Numbers {
    /// Counts so many of them from now on; what was counted is kept as long as it is wanted at all.
    pub(super) fn set_max(&mut self, max: usize) {
        self.max = max;
        if max == 0 {
            self.of.clear();
        }
    }

    /// Counts a call or an attempt that is over.
    pub(super) fn count(&mut self, cdr: &Cdr, delay: Option<Duration>) {
        // What was dialled is a virtual number only where it is ours: else it may be anybody's.
        if self.max == 0 || cdr.refusal == Some(Reason::NotOurs) {
            return;
        }
        if !self.of.contains_key(&cdr.dialled) && self.of.len() >= self.max {
            return;
        }
        let (calls, course) = self.of.entry(cdr.dialled).or_default();
        *calls += 1;
        course.count(cdr, delay);
    }

    pub(super) fn write(&self, page: &mut Page) {
        if self.max == 0 {
            return;
        }
        type Reads = fn(&(u64, Course)) -> u64;
        let read: [(&str, &str, Reads); 5] = [
            (
                "umbra_number_calls_ended",
                "Calls and attempts that came to a virtual number and are over.",
                |(calls, _)| *calls,
            ),
            (
                "umbra_number_answered",
                "Those of them that were answered.",
                |(_, course)| course.answered,
            ),
            (
                "umbra_number_talk_seconds",
                "How long they lasted from the answer on.",
                |(_, course)| course.talked.as_secs(),
            ),
            (
                "umbra_number_rang",
                "Those of them whose called side rang, sent media or answered.",
                |(_, course)| course.rang,
            ),
            (
                "umbra_number_post_dial_delay_seconds",
                "How long that took from the INVITE on.",
                |(_, course)| course.delayed.as_secs(),
            ),
        ];
        for (name, help, read) in read {
            let rows = self.of.iter().map(|(number, counts)| (number, read(counts)));
            page.of_numbers(Kind::Counter, name, help, rows);
        }
    }
}
