//! For which share of its time a loop is busy.

use std::time::Duration;

use crate::base::time::Instant;

/// A loop's times, since they were taken last.
#[derive(Debug)]
pub(super) struct Busy {
    since: Instant,
    idle: Duration,
}

impl Busy {
    pub(super) const fn since(now: Instant) -> Self {
        Self {
            since: now,
            idle: Duration::ZERO,
        }
    }

    /// It waited for so long.
    pub(super) fn rested(&mut self, wait: Duration) {
        self.idle = self.idle.saturating_add(wait);
    }

    /// The share of time for which it was busy, in percent, and how long that was; `None`: `window` isn't over.
    pub(super) fn take(&mut self, now: Instant, window: Duration) -> Option<(u32, Duration)> {
        let passed = now - self.since;
        if passed < window {
            return None;
        }
        let busy = passed.saturating_sub(self.idle);
        *self = Self::since(now);
        let percent = busy.as_micros() * 100 / passed.as_micros().max(1);
        Some((u32::try_from(percent).unwrap_or(100), busy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_loop_does_not_wait_for_it_works() {
        let at = |ms| Instant::default() + Duration::from_millis(ms);
        let window = Duration::from_millis(500);
        let mut busy = Busy::since(at(0));
        busy.rested(Duration::from_millis(100));
        assert_eq!(busy.take(at(499), window), None);
        busy.rested(Duration::from_millis(300));
        assert_eq!(
            busy.take(at(1_000), window),
            Some((60, Duration::from_millis(600)))
        );
        assert_eq!(busy.take(at(1_500), window), Some((100, window)));
    }
}
