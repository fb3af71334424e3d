//! What is told of a recording that lies beside a call's own: the call knows of one recording, and of its gaps.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::id::Id;
use crate::call::recording::Report;
use crate::records::recordings::aside::aside_of;

/// As many are known until it is looked for those that are over.
const KNOWN_MIN: usize = 64;

/// Recordings beside others.
#[derive(Default)]
pub(super) struct Asides(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Beside which each of them lies.
    first: HashMap<Id, Id>,
    /// Recordings of either kind that wait for the disk.
    waits: HashSet<Id>,
    /// It is looked for those that are over when there are so many.
    full: usize,
}

impl Asides {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That recording lies beside the `first` one. `is_open` says which recordings aren't over.
    pub(super) fn add(&self, aside: Id, first: Id, is_open: impl Fn(&Id) -> bool) {
        let mut known = self.known();
        if known.first.len() + known.waits.len() >= known.full.max(KNOWN_MIN) {
            known.first.retain(|aside, _| is_open(aside));
            known.waits.retain(is_open);
            known.full = 2 * (known.first.len() + known.waits.len());
        }
        known.first.insert(aside, first);
    }

    /// A report as the call is told it, by the id that it knows. `None`: it isn't, or later, of the other one.
    pub(super) fn told(&self, report: Report) -> Option<Report> {
        let mut known = self.known();
        let id = report.recording();
        let of = known.first.get(&id).copied();
        let recording = of.unwrap_or(id);
        let told = match report {
            Report::Gap { why, .. } => Report::Gap { recording, why },
            // There is the first one.
            Report::Lost { why, .. } if of.is_some() => Report::Gap { recording, why },
            Report::Lost { why, .. } => Report::Lost { recording, why },
            // It is sealed as the first one.
            Report::Sealed { .. } if of.is_some() => return None,
            Report::Sealed { with, .. } => Report::Sealed { recording, with },
            Report::Waits { why, .. } => {
                // Of others there is only one that can wait.
                if of.is_some() || known.first.contains_key(&aside_of(id)) {
                    known.waits.insert(id);
                }
                Report::Waits { recording, why }
            }
            Report::Written { .. } => {
                known.waits.remove(&id);
                let other = match of {
                    Some(first) => Some(first),
                    None if known.waits.is_empty() => None,
                    None => Some(aside_of(id)),
                };
                if other.is_some_and(|other| known.waits.contains(&other)) {
                    return None;
                }
                Report::Written { recording }
            }
        };
        Some(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::recording::Fault;

    const FIRST: Id = Id::from_bits(7);
    const WHY: Fault = Fault::DiskFull;

    fn asides() -> (Asides, Id) {
        let (asides, aside) = (Asides::default(), aside_of(FIRST));
        asides.add(aside, FIRST, |_| true);
        (asides, aside)
    }

    #[test]
    fn what_is_lost_beside_a_recording_is_a_gap_of_its_call() {
        let (asides, aside) = asides();
        let (why, recording) = (WHY, FIRST);
        let gap = Some(Report::Gap { recording, why });
        assert_eq!(
            asides.told(Report::Lost {
                recording: aside,
                why
            }),
            gap
        );
        let lost = Report::Lost { recording, why };
        assert_eq!(asides.told(lost), Some(lost));
    }

    #[test]
    fn the_call_is_told_that_all_is_written_once_neither_waits() {
        let (asides, aside) = asides();
        let why = WHY;
        let both = [FIRST, aside];
        for [one, other] in [both, [aside, FIRST]] {
            for recording in both {
                let waits = Report::Waits {
                    recording: FIRST,
                    why,
                };
                assert_eq!(asides.told(Report::Waits { recording, why }), Some(waits));
            }
            assert_eq!(asides.told(Report::Written { recording: one }), None);
            let written = Report::Written { recording: FIRST };
            assert_eq!(asides.told(Report::Written { recording: other }), Some(written));
        }
    }

    #[test]
    fn those_that_are_over_are_forgotten() {
        let asides = Asides::default();
        for number in 0..10_000 {
            let first = Id::from_bits(number);
            asides.add(aside_of(first), first, |_| false);
        }
        assert!(asides.known().first.len() <= KNOWN_MIN + 1);
    }
}
