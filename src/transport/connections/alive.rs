//! Keep-alives of ours on a connection that we opened (RFC 5626 §4.4.1): a double CRLF now and then, so that what stands
//! between us and a gateway remembers the connection, and a gateway that is gone is noticed before a call needs it.

use std::time::Duration;

use crate::base::limits::PONG_MAX;
use crate::base::time::Instant;
use crate::sip::path::FlowHint;

/// What keeps a connection alive.
pub(super) const PING: &[u8] = b"\r\n\r\n";

/// How a connection is kept alive.
#[derive(Default)]
pub(super) struct Alive {
    every: Every,
    /// When the next ping is due; `None` where there are none, or nothing was learnt yet.
    due: Option<Instant>,
    /// Since when an answer to one is awaited.
    since: Option<Instant>,
    answers: Answers,
    count: u64,
}

/// How often there are pings.
#[derive(Clone, Copy, Default)]
enum Every {
    /// Whose the connection is has not been looked up yet.
    #[default]
    Unknown,
    Never,
    Each(Duration),
}

/// Whether the other side has ever answered a ping. One that never did needn't know them: that it says nothing means
/// nothing.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Answers {
    #[default]
    NotYet,
    Known,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    Nothing,
    Ping,
    /// Nobody is there any more.
    Dead,
}

impl Alive {
    /// Whether it has to be looked up how often there are pings.
    pub(super) const fn is_unknown(&self) -> bool {
        matches!(self.every, Every::Unknown)
    }

    /// Whose the connection is has to be looked up again.
    pub(super) fn forget(&mut self) {
        self.every = Every::Unknown;
    }

    /// There are pings so often from now on.
    pub(super) fn learn(&mut self, now: Instant, flow: FlowHint, every: Option<Duration>) {
        let Some(every) = every else {
            (self.every, self.due) = (Every::Never, None);
            return;
        };
        self.every = Every::Each(every);
        // Where the conf or DNS changes often, it is learnt anew often, and must be due some time.
        let due = now + self.pause(flow, every);
        self.due = self.due.map_or(Some(due), |before| Some(before.min(due)));
    }

    /// What is due; a ping that is due counts as sent.
    pub(super) fn due(&mut self, now: Instant, flow: FlowHint) -> Due {
        if let Some(since) = self.since {
            if now - since < PONG_MAX {
                return Due::Nothing;
            }
            if self.answers == Answers::Known {
                return Due::Dead;
            }
            self.since = None;
        }
        let Every::Each(every) = self.every else {
            return Due::Nothing;
        };
        if self.due.is_none_or(|due| now < due) {
            return Due::Nothing;
        }
        self.due = Some(now + self.pause(flow, every));
        self.since = Some(now);
        Due::Ping
    }

    /// Whether a single CRLF is an answer.
    pub(super) const fn is_awaited(&self) -> bool {
        self.since.is_some()
    }

    /// Bytes came: somebody is there, whatever they say.
    pub(super) fn heard(&mut self) {
        if self.answers == Answers::Known {
            self.since = None;
        }
    }

    /// The other side has answered.
    pub(super) fn answered(&mut self) {
        self.answers = Answers::Known;
        self.since = None;
    }

    /// RFC 5626 §4.4.1: 80 to 100 % of the time, another one each time and for each connection, so that those that began
    /// together don't go on together.
    fn pause(&mut self, flow: FlowHint, every: Duration) -> Duration {
        self.count = self.count.wrapping_add(1);
        let mixed = (u64::from(flow.0) << 32 ^ self.count).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let percent = 80 + u32::try_from((mixed >> 32) % 21).unwrap_or_default();
        every.saturating_mul(percent) / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_learnt_anew_again_and_again_is_due_all_the_same() {
        let (mut alive, mut now) = (Alive::default(), Instant::from_micros(1));
        let (begun, every) = (now, Duration::from_secs(100));
        loop {
            alive.forget();
            alive.learn(now, FlowHint(3), Some(every));
            if alive.due(now, FlowHint(3)) == Due::Ping {
                break;
            }
            now = now + Duration::from_secs(30);
            assert!(now - begun <= every + Duration::from_secs(30), "never due");
        }
    }

    #[test]
    fn whoever_says_anything_is_there() {
        let (mut alive, mut now) = (Alive::default(), Instant::from_micros(1));
        alive.learn(now, FlowHint(3), Some(Duration::from_secs(100)));
        alive.answered();
        for speaks in [true, false] {
            while alive.due(now, FlowHint(3)) != Due::Ping {
                now = now + Duration::from_secs(1);
            }
            if speaks {
                alive.heard();
            }
            now = now + PONG_MAX;
            assert_eq!(alive.due(now, FlowHint(3)) == Due::Dead, !speaks);
        }
    }

    #[test]
    fn pings_are_80_to_100_percent_of_the_time_apart_and_not_all_alike() {
        let (mut alive, mut now) = (Alive::default(), Instant::from_micros(1));
        let every = Duration::from_secs(100);
        alive.learn(now, FlowHint(3), Some(every));
        let mut gaps = std::collections::BTreeSet::new();
        for _ in 0..50 {
            let before = now;
            while alive.due(now, FlowHint(3)) != Due::Ping {
                now = now + Duration::from_secs(1);
            }
            alive.answered();
            gaps.insert(now - before);
        }
        assert!(
            gaps.iter().all(|gap| *gap >= every * 8 / 10 && *gap <= every),
            "{gaps:?}"
        );
        assert!(gaps.len() > 5, "{gaps:?}");
    }
}
