//! A server that fails again and again is left alone for a while; then one question tries it.

use std::time::{Duration, Instant};

use crate::base::limits::{ASK_FAILURES_MAX, ASK_OPEN_TIME, ASK_WAIT};

/// A server that nobody has asked for so long is forgotten, whatever was known of it.
const FORGOTTEN_AFTER: Duration = ASK_OPEN_TIME.saturating_mul(12);

/// Whether a server is asked.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: State,
    /// When a question came to its end the last time.
    last: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// It is; so many questions in a row have failed.
    Closed(u32),
    /// It isn't, until then.
    Open(Instant),
    /// One question tries it since then.
    HalfOpen(Instant),
}

impl Default for State {
    fn default() -> Self {
        Self::Closed(0)
    }
}

/// Whether a question may go to the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    /// It may.
    Free,
    /// It may, and others wait for what comes of it.
    Probe,
    /// It may not.
    Shut,
}

/// What came of a question, as far as the server's health goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Health {
    /// The server answered, whatever it said.
    Alive,
    /// It didn't, or said itself that it can't.
    Down,
}

/// What changed by that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// Nothing that anybody has to hear of.
    None,
    /// The server is left alone from now on.
    Opened,
    /// It is asked again.
    Closed,
}

impl Breaker {
    /// A question wants to go to the server.
    pub(super) fn enter(&mut self, now: Instant) -> Entry {
        if self.is_shut(now) {
            return Entry::Shut;
        }
        match self.state {
            State::Closed(_) => Entry::Free,
            State::Open(_) | State::HalfOpen(_) => {
                self.state = State::HalfOpen(now);
                Entry::Probe
            }
        }
    }

    /// Whether a question would be kept out now.
    pub(super) fn is_shut(&self, now: Instant) -> bool {
        match self.state {
            State::Closed(_) => false,
            State::Open(until) => now < until,
            // A trial of which nothing was heard any more must not shut the door for ever.
            State::HalfOpen(since) => now < since + 2 * ASK_WAIT,
        }
    }

    /// Whether there is nothing to remember: the server's last question was answered, or it was never asked, or not for so
    /// long that nobody knows how it is. A server that no pool names any more would be remembered for ever.
    pub(super) fn is_well(&self, now: Instant) -> bool {
        let is_forgotten = self.last.is_none_or(|last| now >= last + FORGOTTEN_AFTER);
        self.state == State::default() || is_forgotten
    }

    /// Whether the server is left alone.
    pub(super) fn is_open(&self) -> bool {
        match self.state {
            State::Closed(_) => false,
            State::Open(_) | State::HalfOpen(_) => true,
        }
    }

    /// A question that went by this entry came to its end.
    pub(super) fn leave(&mut self, now: Instant, entry: Entry, health: Health) -> Change {
        self.last = Some(now);
        match (self.state, entry, health) {
            (State::HalfOpen(_), Entry::Probe, Health::Alive) => {
                self.state = State::Closed(0);
                Change::Closed
            }
            (State::HalfOpen(_), Entry::Probe, Health::Down) => {
                self.state = State::Open(now + ASK_OPEN_TIME);
                Change::None
            }
            (State::Closed(_), _, Health::Alive) => {
                self.state = State::Closed(0);
                Change::None
            }
            (State::Closed(failures), _, Health::Down) if failures + 1 < ASK_FAILURES_MAX => {
                self.state = State::Closed(failures + 1);
                Change::None
            }
            (State::Closed(_), _, Health::Down) => {
                self.state = State::Open(now + ASK_OPEN_TIME);
                Change::Opened
            }
            // What began before the door was shut doesn't open it: one question tries, and no flood.
            (State::Open(_) | State::HalfOpen(_), _, Health::Alive | Health::Down) => Change::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(breaker: &mut Breaker, now: Instant) -> Change {
        let entry = breaker.enter(now);
        breaker.leave(now, entry, Health::Down)
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 1..ASK_FAILURES_MAX {
            assert_eq!(failed(&mut breaker, now), Change::None);
        }
        assert_eq!(failed(&mut breaker, now), Change::Opened);
        breaker
    }

    #[test]
    fn failures_in_a_row_shut_the_door_and_those_between_successes_do_not() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..10 * ASK_FAILURES_MAX {
            assert_eq!(failed(&mut breaker, now), Change::None);
            assert_eq!(breaker.leave(now, Entry::Free, Health::Alive), Change::None);
        }
        let mut breaker = opened(now);
        assert!(breaker.is_open());
        assert_eq!(breaker.enter(now + ASK_OPEN_TIME / 2), Entry::Shut);
    }

    #[test]
    fn after_a_while_one_question_tries_and_others_wait_for_it() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + ASK_OPEN_TIME;
        assert_eq!(breaker.enter(later), Entry::Probe);
        assert_eq!(breaker.enter(later), Entry::Shut);
        assert_eq!(breaker.leave(later, Entry::Probe, Health::Down), Change::None);
        assert_eq!(breaker.enter(later), Entry::Shut);
        let again = later + ASK_OPEN_TIME;
        assert_eq!(breaker.enter(again), Entry::Probe);
        // An old one that was answered after all is no trial.
        assert_eq!(breaker.leave(again, Entry::Free, Health::Alive), Change::None);
        assert_eq!(breaker.leave(again, Entry::Probe, Health::Alive), Change::Closed);
        assert_eq!(breaker.enter(again), Entry::Free);
    }

    #[test]
    fn a_server_that_is_asked_no_more_is_forgotten_in_the_end() {
        let now = Instant::now();
        let mut failed_once = Breaker::default();
        assert_eq!(failed(&mut failed_once, now), Change::None);
        for breaker in [failed_once, opened(now)] {
            assert!(!breaker.is_well(now + 2 * ASK_OPEN_TIME));
            assert!(breaker.is_well(now + FORGOTTEN_AFTER));
        }
        let mut tried = opened(now);
        let later = now + FORGOTTEN_AFTER;
        assert_eq!(tried.enter(later), Entry::Probe);
        assert_eq!(tried.leave(later, Entry::Probe, Health::Down), Change::None);
        assert!(!tried.is_well(later), "somebody asks it still");
    }

    #[test]
    fn a_trial_that_is_never_heard_of_again_gives_way_to_another() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + ASK_OPEN_TIME;
        assert_eq!(breaker.enter(later), Entry::Probe);
        assert_eq!(breaker.enter(later + ASK_WAIT), Entry::Shut);
        let lost = later + 2 * ASK_WAIT + Duration::from_millis(1);
        assert_eq!(breaker.enter(lost), Entry::Probe);
    }
}
