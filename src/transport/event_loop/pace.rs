//! How fast messages come in, and whether a loop rests for more of them.

use std::time::Duration;

use crate::base::time::Instant;

/// Where messages come fast, a loop rests so long after a batch, because a wake-up costs as much as a message, and a
/// message that comes alone finds nothing of the switch in the processor's caches: what comes meanwhile is the next batch.
/// One that comes after a pause is taken at once.
pub(super) const GATHER: Duration = Duration::from_millis(12);

/// Messages a second from which on they come fast: six in each rest. Below, the processor has time, and nobody waits.
const BRISK_PER_S: u128 = 500;

/// Over how long they are counted.
const WINDOW: Duration = Duration::from_millis(100);

/// How fast messages come in.
#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
    count: u128,
    is_brisk: bool,
}

impl Pace {
    pub(super) const fn since(now: Instant) -> Self {
        Self {
            since: now,
            count: 0,
            is_brisk: false,
        }
    }

    /// So many came in the last batch.
    pub(super) fn came(&mut self, now: Instant, count: usize) {
        self.count += count as u128;
        let passed = now - self.since;
        if passed >= WINDOW {
            self.is_brisk = self.count * 1_000_000 >= BRISK_PER_S * passed.as_micros();
            (self.since, self.count) = (now, 0);
        }
    }

    /// Whether it is worth resting for more of them.
    pub(super) const fn is_brisk(&self) -> bool {
        self.is_brisk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a loop rests after so many messages a second have come for half a second.
    fn is_brisk_at(pace: &mut Pace, from_ms: u64, per_s: u64) -> bool {
        for n in 1..=per_s / 2 {
            let at = Duration::from_micros(from_ms * 1_000 + n * 1_000_000 / per_s);
            pace.came(Instant::default() + at, 1);
        }
        pace.is_brisk()
    }

    #[test]
    fn a_loop_rests_where_messages_come_fast_and_no_more_once_they_dont() {
        let mut pace = Pace::since(Instant::default());
        assert!(!is_brisk_at(&mut pace, 0, 400));
        assert!(is_brisk_at(&mut pace, 500, 600));
        assert!(!is_brisk_at(&mut pace, 1_000, 100));
        assert!(is_brisk_at(&mut pace, 1_500, 7_000));
        // One that comes after a pause finds it over.
        pace.came(Instant::default() + Duration::from_secs(3), 1);
        assert!(!pace.is_brisk());
    }
}
