//! Callers who guess extensions.
//!
//! Wrong entries are counted by caller, whatever he dials, and by number, whoever dials it: a caller's identity is easily
//! made up. When there were too many within a while, no entry of that caller, or behind that number, is right until the
//! while is over. He is told what everybody is told whose entry is wrong, at the same time and by the same sound; only the
//! record knows better. Entries made meanwhile aren't counted, so that a number comes free again however long it is tried.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::limits::{
    EXTENSION_GUESSERS_MAX, EXTENSION_GUESSES_OF_CALLER, EXTENSION_GUESSES_OF_X, EXTENSION_GUESSES_WITHIN,
};
use crate::base::number::Tel;
use crate::base::time::Instant;

/// How long nobody looks for room again after some was found.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Who guesses; all shards share it.
#[derive(Debug, Default)]
pub struct Lockout {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    callers: Guessers,
    numbers: Guessers,
}

/// Whose wrong entries are counted.
#[derive(Debug, Default)]
struct Guessers {
    counts: HashMap<Tel, Count, ahash::RandomState>,
    /// When it was full, no place came free before this: looking through all of them is worth nothing until then.
    is_full_until: Instant,
}

/// Wrong entries within a while.
#[derive(Clone, Copy, Debug)]
struct Count {
    wrong: u32,
    until: Instant,
}

impl Lockout {
    /// Whether no entry of this caller, or behind `x`, is right at present.
    pub fn is_shut(&self, now: Instant, x: Tel, caller: Option<Tel>) -> bool {
        let counts = self.counts();
        let is_full = |count: Option<&Count>, most: u32| {
            count.is_some_and(|count| now < count.until && count.wrong >= most)
        };
        is_full(counts.numbers.counts.get(&x), EXTENSION_GUESSES_OF_X)
            || is_full(
                caller.and_then(|caller| counts.callers.counts.get(&caller)),
                EXTENSION_GUESSES_OF_CALLER,
            )
    }

    /// An entry of this caller behind `x` was wrong.
    pub fn guessed(&self, now: Instant, x: Tel, caller: Option<Tel>) {
        let mut counts = self.counts();
        counts.numbers.count(now, x);
        if let Some(caller) = caller {
            counts.callers.count(now, caller);
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // What a panic elsewhere has left are still counts.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guessers {
    fn count(&mut self, now: Instant, who: Tel) {
        if self.counts.len() >= EXTENSION_GUESSERS_MAX && !self.counts.contains_key(&who) {
            // The number that they all dial is counted all the same.
            if now < self.is_full_until {
                return;
            }
            self.counts.retain(|_, count| now < count.until);
            if self.counts.len() >= EXTENSION_GUESSERS_MAX {
                let first = self.counts.values().map(|count| count.until).min();
                self.is_full_until = first.unwrap_or(now);
                return;
            }
            // Where they end one after the other, each look would make room for one.
            self.is_full_until = now + LOOK_AGAIN;
        }
        let fresh = Count {
            wrong: 0,
            until: now + EXTENSION_GUESSES_WITHIN,
        };
        let count = self.counts.entry(who).or_insert(fresh);
        if now >= count.until {
            *count = fresh;
        }
        count.wrong = count.wrong.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::number::NumberPlan;

    fn tel(text: &str) -> Tel {
        NumberPlan::default().normalise(text).expect("a number")
    }

    fn at(seconds: u64) -> Instant {
        Instant::default() + Duration::from_secs(seconds)
    }

    #[test]
    fn who_guesses_too_often_is_shut_out_behind_every_number_until_the_while_is_over() {
        let lockout = Lockout::default();
        let (x, y) = (tel("17000000001"), tel("17000000002"));
        let (guesser, other) = (Some(tel("13900000001")), Some(tel("13900000002")));
        for _ in 0..EXTENSION_GUESSES_OF_CALLER {
            assert!(!lockout.is_shut(at(1), x, guesser));
            lockout.guessed(at(1), x, guesser);
        }
        assert!(lockout.is_shut(at(1), x, guesser) && lockout.is_shut(at(1), y, guesser));
        assert!(!lockout.is_shut(at(1), x, other) && !lockout.is_shut(at(1), x, None));
        let over = at(1) + EXTENSION_GUESSES_WITHIN;
        assert!(!lockout.is_shut(over, x, guesser));
        lockout.guessed(over, x, guesser);
        assert!(!lockout.is_shut(over, x, guesser));
    }

    #[test]
    fn a_number_behind_which_many_guess_is_shut_to_all() {
        let lockout = Lockout::default();
        let (x, y) = (tel("17000000001"), tel("17000000002"));
        for _ in 0..EXTENSION_GUESSES_OF_X {
            assert!(!lockout.is_shut(at(1), x, None));
            lockout.guessed(at(1), x, None);
        }
        assert!(lockout.is_shut(at(1), x, Some(tel("13900000001"))));
        assert!(!lockout.is_shut(at(1), y, None));
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let lockout = Lockout::default();
        for n in 0..EXTENSION_GUESSERS_MAX + 10 {
            let caller = tel(&format!("139{n:08}"));
            lockout.guessed(at(1), tel("17000000001"), Some(caller));
        }
        assert_eq!(lockout.counts().callers.counts.len(), EXTENSION_GUESSERS_MAX);
        assert_eq!(
            lockout.counts().callers.is_full_until,
            at(1) + EXTENSION_GUESSES_WITHIN,
            "nobody looks through all of them for each entry"
        );
        lockout.guessed(
            at(1) + EXTENSION_GUESSES_WITHIN,
            tel("17000000002"),
            Some(tel("13711112222")),
        );
        assert_eq!(lockout.counts().callers.counts.len(), 1);
    }
}
