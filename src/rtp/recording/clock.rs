//! A sender's clock against ours: when what it stamps is heard, but for what the network held up.

use crate::base::time::Instant;

/// How long a window is, in buckets: the least delay of that time is believed.
const BUCKETS: usize = 10;
/// How long a bucket is, in microseconds.
const BUCKET_US: u64 = 1_000_000;

/// The windowed minimum of arrival − RTP time. Jitter only ever adds to it, so it moves as the clocks drift, and no
/// faster: by 2 ms over a window at 200 ppm.
#[derive(Debug, Default)]
pub(super) struct SenderClock {
    /// The least of each bucket, in microseconds.
    least: [Option<i64>; BUCKETS],
    /// The number of the newest bucket, counted from the start of the process.
    newest: u64,
    /// The least of all.
    low: Option<i64>,
}

impl SenderClock {
    /// A packet came at `at`, `delay` microseconds after its RTP time.
    pub(super) fn hear(&mut self, at: Instant, delay: i64) {
        self.pass(at);
        if let Some(bucket) = self.bucket(self.newest) {
            *bucket = Some(bucket.map_or(delay, |least| least.min(delay)));
        }
        self.low = Some(self.low.map_or(delay, |low| low.min(delay)));
    }

    /// The least delay of late, in microseconds; `None` if nothing came for so long.
    pub(super) fn low(&self) -> Option<i64> {
        self.low
    }

    /// Forgets what is too old at `at`.
    pub(super) fn pass(&mut self, at: Instant) {
        let number = at.as_micros() / BUCKET_US;
        if number <= self.newest {
            return;
        }
        let oldest = self
            .newest
            .saturating_add(1)
            .max(number.saturating_sub(BUCKETS as u64 - 1));
        for passed in oldest..=number {
            if let Some(bucket) = self.bucket(passed) {
                *bucket = None;
            }
        }
        self.newest = number;
        self.low = self.least.iter().flatten().copied().min();
    }

    fn bucket(&mut self, number: u64) -> Option<&mut Option<i64>> {
        self.least.get_mut((number % BUCKETS as u64) as usize)
    }
}

/// How a channel follows the sender's clock: by a sample more or less in a packet, now and then.
#[derive(Debug, Default)]
pub(super) struct Slew {
    is_mending: bool,
}

/// How far off a channel may be before that is mended, in microseconds: most packets stay as they came.
const OFF_MAX: i64 = 2_000;
/// How far off it is hurried, in microseconds.
const FAR_OFF: i64 = 5_000;

impl Slew {
    /// By how many samples the next packet is to be longer, if the channel is `late` samples too early at `hz`; shorter
    /// if that is negative. At 8 kHz it is one, or two if it is far off; at 16 kHz twice that, which lasts as long.
    pub(super) fn mend(&mut self, late: i64, hz: u32) -> i64 {
        let hz = i64::from(hz);
        let step = hz / 8_000;
        let off = late.saturating_abs().saturating_mul(1_000_000) / hz.max(1);
        if !self.is_mending && off < OFF_MAX {
            return 0;
        }
        let most = if off > FAR_OFF { 2 * step } else { step };
        let change = late.clamp(-most, most);
        self.is_mending = change != late;
        change
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::default() + Duration::from_millis(ms)
    }

    #[test]
    fn the_least_delay_of_late_is_believed_and_an_old_one_forgotten() {
        let mut clock = SenderClock::default();
        assert_eq!(clock.low(), None);
        for (ms, delay, low) in [
            (0, 50, 50),
            (20, 10, 10),
            (40, 70, 10),
            (5_000, 30, 10),
            (9_999, 40, 10),
            // The bucket of the first second is gone.
            (10_000, 60, 30),
            (15_500, 55, 40),
            // A straggler of our own clock.
            (15_400, 45, 40),
            (1_000_000, 80, 80),
        ] {
            clock.hear(at(ms), delay);
            assert_eq!(clock.low(), Some(low), "{ms}");
        }
        clock.pass(at(1_020_000));
        assert_eq!(clock.low(), None, "nothing came for so long");
    }

    #[test]
    fn small_errors_are_left_and_larger_ones_mended_to_nothing() {
        let mut slew = Slew::default();
        assert_eq!(slew.mend(15, 8_000), 0);
        let mut late = 42;
        let mut changes = Vec::new();
        while late != 0 {
            let change = slew.mend(late, 8_000);
            changes.push(change);
            late -= change;
        }
        assert_eq!(changes[..2], [2, 1], "hurried, then not");
        assert!(changes.iter().skip(1).all(|change| *change == 1), "{changes:?}");
        assert_eq!(slew.mend(-15, 8_000), 0, "and then it is left again");
        assert_eq!(slew.mend(-16, 8_000), -1);
        assert_eq!(Slew::default().mend(i64::MIN, 16_000), -4);
    }
}
