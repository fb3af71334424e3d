//! What came of the questions to customers' servers, in numbers.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::call::ask::{Advice, Silence};

/// What came of the questions so far.
#[derive(Debug, Default)]
pub struct Stats {
    connect: AtomicU64,
    close: AtomicU64,
    silent: [AtomicU64; Silence::ALL.len()],
    /// Microseconds that answers took, all together.
    answered_us: AtomicU64,
    /// Questions under way, those that wait for their turn included.
    pub(super) open: AtomicUsize,
    /// Servers that are left alone at present.
    pub(super) circuits_open: AtomicUsize,
}

/// The questions so far, for a page of metrics.
#[derive(Clone, PartialEq, Debug)]
pub struct Counts {
    /// What came of them: `connect`, `close`, or why there was no usable answer; and how many.
    pub outcomes: Vec<(&'static str, u64)>,
    /// Seconds that usable answers took, all together.
    pub answered_s: f64,
    /// How many of those there are.
    pub answered: u64,
    /// Questions under way.
    pub open: usize,
    /// Servers that are left alone at present.
    pub circuits_open: usize,
}

impl Stats {
    /// Counts what came of a question.
    pub(super) fn count(&self, advice: &Advice, took: Duration) {
        let count = match advice {
            Advice::Connect(_) => &self.connect,
            Advice::Close(_) => &self.close,
            Advice::None(why) => {
                let place = Silence::ALL.iter().position(|one| one == why);
                if let Some(count) = place.and_then(|place| self.silent.get(place)) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                return;
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.answered_us.fetch_add(us, Ordering::Relaxed);
    }

    /// The counts as they are.
    pub fn counts(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (connect, close) = (of(&self.connect), of(&self.close));
        let silent = Silence::ALL.iter().zip(&self.silent);
        let silent = silent.map(|(why, count)| (why.name(), of(count)));
        Counts {
            outcomes: [("connect", connect), ("close", close)]
                .into_iter()
                .chain(silent)
                .collect(),
            answered_s: of(&self.answered_us) as f64 / 1e6,
            answered: connect.saturating_add(close),
            open: self.open.load(Ordering::Relaxed),
            circuits_open: self.circuits_open.load(Ordering::Relaxed),
        }
    }
}
