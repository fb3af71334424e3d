//! The server's one clock: the time that every stamp comes from, whatever is done to the system's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use crate::base::time::{Instant, Now, Wall};

/// Both clocks of the server; clones show the same. The wall time never runs backwards: it is the monotonic time
/// plus an offset that only grows. It follows the system's clock when that is set forward. When that is set back, it
/// goes on from where it was, because whoever is unbound by then must stay unbound, and a binding that was
/// acknowledged must count.
#[derive(Clone, Debug)]
pub struct Clock {
    started: std::time::Instant,
    /// The wall time of instant zero, in microseconds.
    zero_us: Arc<AtomicI64>,
}

impl Clock {
    /// A clock whose instant zero was at `started`.
    pub fn since(started: std::time::Instant) -> Self {
        Self {
            started,
            zero_us: Arc::new(AtomicI64::new(i64::MIN)),
        }
    }

    /// Both clocks, now.
    pub fn now(&self) -> Now {
        // The system's clock first: a pause between the two readings then moves nothing ahead.
        let system_us = system_us();
        self.read(system_us, self.elapsed_us())
    }

    /// Our wall time, to the microsecond, counted from 1970.
    pub fn since_1970(&self) -> Duration {
        let now = self.now();
        let zero = self.zero_us.load(Ordering::Acquire);
        let us = zero.saturating_add(as_i64(now.at.as_micros()));
        Duration::from_micros(u64::try_from(us).unwrap_or_default())
    }

    /// From now on it shows nothing earlier than this, a stamp that was given out already.
    pub fn not_before(&self, stamp: Wall) {
        let us = stamp.as_millis().saturating_mul(1_000);
        let zero = us.saturating_sub(as_i64(self.elapsed_us()));
        self.zero_us.fetch_max(zero, Ordering::AcqRel);
    }

    /// How far it is ahead of the system's clock: about nothing, unless that was set back.
    pub fn ahead(&self) -> Duration {
        let system_us = system_us();
        let now = self.read(system_us, self.elapsed_us());
        now.wall.since(Wall::from_millis(system_us / 1_000))
    }

    /// What the system's clock shows: something earlier than ours, if it was set back.
    pub fn of_system() -> Wall {
        Wall::from_millis(system_us() / 1_000)
    }

    fn elapsed_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn read(&self, system_us: i64, elapsed_us: u64) -> Now {
        let elapsed = as_i64(elapsed_us);
        let theirs = system_us.saturating_sub(elapsed);
        let ours = self.zero_us.load(Ordering::Acquire);
        let zero = if theirs > ours {
            self.zero_us.fetch_max(theirs, Ordering::AcqRel).max(theirs)
        } else {
            ours
        };
        Now {
            at: Instant::from_micros(elapsed_us),
            wall: Wall::from_millis(zero.saturating_add(elapsed).div_euclid(1_000)),
        }
    }
}

/// The system's wall clock, in microseconds since 1970.
fn system_us() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

fn as_i64(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_MS: i64 = 1_795_255_200_000;

    /// What it shows `ms` after its start, when the system's clock is `off_ms` off noon plus that.
    fn shown(clock: &Clock, ms: i64, off_ms: i64) -> i64 {
        let system_us = (NOON_MS + ms + off_ms) * 1_000;
        clock.read(system_us, ms as u64 * 1_000).wall.as_millis() - NOON_MS
    }

    #[test]
    fn it_follows_the_system_forward_and_goes_on_when_that_is_set_back() {
        let clock = Clock::since(std::time::Instant::now());
        assert_eq!(shown(&clock, 0, 0), 0);
        assert_eq!(shown(&clock, 1_000, 0), 1_000);
        assert_eq!(
            shown(&clock, 2_000, -10_000),
            2_000,
            "it neither jumps nor stands"
        );
        assert_eq!(shown(&clock, 3_000, -10_000), 3_000);
        assert_eq!(shown(&clock, 4_000, 60_000), 64_000);
        assert_eq!(
            shown(&clock.clone(), 5_000, 0),
            65_000,
            "a clone is the same clock"
        );
    }

    #[test]
    fn it_begins_no_earlier_than_the_newest_stamp_and_says_how_far_it_is_ahead() {
        let clock = Clock::since(std::time::Instant::now());
        assert!(clock.ahead() < Duration::from_secs(1));
        let newest = clock.now().wall.plus(Duration::from_secs(3_600));
        clock.not_before(newest);
        assert!(clock.now().wall >= newest);
        assert!(clock.ahead() > Duration::from_secs(3_590));
        clock.not_before(Wall::default());
        assert!(clock.now().wall >= newest);
    }
}
