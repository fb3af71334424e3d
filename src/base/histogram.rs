//! A histogram of times with fixed bounds: plain atomics, so that any thread may count and any may read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets, in microseconds: from a fast disk's sync to a long ringing.
pub const BOUNDS_US: [u64; 16] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    1_000_000,
    2_500_000,
    10_000_000,
    30_000_000,
    120_000_000,
];

/// How many times fell into each bucket, and their sum.
#[derive(Debug, Default)]
pub struct Histogram {
    /// By bucket; those beyond the last bound are counted in `count` only.
    buckets: [AtomicU64; BOUNDS_US.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts a time.
    pub fn add(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.iter().position(|bound| us <= *bound);
        if let Some(bucket) = bucket.and_then(|bucket| self.buckets.get(bucket)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(us, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted up to now.
    pub fn read(&self) -> Counted {
        let mut below = 0;
        let counts = self.buckets.each_ref().map(|bucket| {
            below += bucket.load(Ordering::Relaxed);
            below
        });
        Counted {
            counts,
            // A time that is counted at this moment may be in its bucket already, and not here.
            count: self.count.load(Ordering::Relaxed).max(below),
            sum: Duration::from_micros(self.sum_us.load(Ordering::Relaxed)),
        }
    }
}

/// A histogram at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counted {
    /// Times at or below each of [`BOUNDS_US`].
    pub counts: [u64; BOUNDS_US.len()],
    /// All times.
    pub count: u64,
    /// Their sum.
    pub sum: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_in_its_bucket_and_in_all_above_it() {
        let histogram = Histogram::default();
        histogram.add(Duration::from_micros(100));
        histogram.add(Duration::from_micros(101));
        histogram.add(Duration::from_secs(3_600));
        let read = histogram.read();
        assert_eq!(read.counts[..3], [1, 2, 2]);
        assert_eq!((read.counts[15], read.count), (2, 3));
        assert_eq!(read.sum, Duration::from_secs(3_600) + Duration::from_micros(201));
    }
}
