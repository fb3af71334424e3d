//! How many calls a trunk takes and gives: a second and at once, each way for itself. The counts are one for all
//! shards, so the limits hold exactly.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::base::time::Instant;
use crate::call::port::Heading;

/// The limits of one way; 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limit {
    /// INVITEs within any second.
    pub per_s: u32,
    /// Calls at once.
    pub at_once: u32,
}

/// The limit that is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// So many have come within the last second.
    PerSecond,
    /// So many are in progress.
    AtOnce,
}

impl Over {
    /// As a record names it (`end_cause`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::PerSecond => "calls_per_s",
            Self::AtOnce => "calls_at_once",
        }
    }
}

/// A trunk's limits, and what is counted against them. Two are equal that limit the same.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Of calls that come in by it.
    pub inward: Limit,
    /// Of calls that leave by it.
    pub outward: Limit,
    gauges: Arc<[Gauge; 2]>,
}

#[derive(Debug, Default)]
struct Gauge {
    live: AtomicU32,
    /// When those of the last second began, oldest first; as many as the limit at the most.
    recent: Mutex<VecDeque<Instant>>,
}

impl PartialEq for Limits {
    fn eq(&self, other: &Self) -> bool {
        (self.inward, self.outward) == (other.inward, other.outward)
    }
}

impl Eq for Limits {}

/// A call's place among those of its trunk, until it is dropped.
#[derive(Debug)]
pub struct Pass {
    gauges: Arc<[Gauge; 2]>,
    way: Heading,
}

impl Drop for Pass {
    fn drop(&mut self) {
        // Each pass was counted once.
        gauge(&self.gauges, self.way).live.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Limits {
    /// These limits, with nothing counted.
    pub fn new(inward: Limit, outward: Limit) -> Self {
        Self {
            inward,
            outward,
            gauges: Arc::default(),
        }
    }

    /// Goes on with what was counted before a reload.
    pub fn go_on_from(&mut self, before: &Self) {
        self.gauges = before.gauges.clone();
    }

    /// Counts a call that begins now.
    ///
    /// # Errors
    /// [`Over`]: one more would be too many; nothing is counted.
    pub fn enter(&self, way: Heading, now: Instant) -> Result<Pass, Over> {
        let limit = match way {
            Heading::In => self.inward,
            Heading::Out => self.outward,
        };
        let gauge = gauge(&self.gauges, way);
        let most = if limit.at_once == 0 {
            u32::MAX
        } else {
            limit.at_once
        };
        let one_more = |live: u32| (live < most).then_some(live.saturating_add(1));
        gauge
            .live
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .map_err(|_| Over::AtOnce)?;
        let pass = Pass {
            gauges: self.gauges.clone(),
            way,
        };
        if limit.per_s == 0 {
            return Ok(pass);
        }
        let mut recent = gauge.recent.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(first) = recent.front()
            && now.since(*first) >= Duration::from_secs(1)
        {
            recent.pop_front();
        }
        if recent.len() >= limit.per_s as usize {
            return Err(Over::PerSecond);
        }
        recent.push_back(now);
        Ok(pass)
    }

    /// Counts a call that went on from the process before: no limit keeps it out.
    pub fn enter_again(&self, way: Heading) -> Pass {
        gauge(&self.gauges, way).live.fetch_add(1, Ordering::Relaxed);
        Pass {
            gauges: self.gauges.clone(),
            way,
        }
    }
}

fn gauge(gauges: &[Gauge; 2], way: Heading) -> &Gauge {
    let [inward, outward] = gauges;
    match way {
        Heading::In => inward,
        Heading::Out => outward,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::default() + Duration::from_millis(ms)
    }

    #[test]
    fn so_many_begin_within_any_second_and_no_more() {
        let limit = Limit { per_s: 2, at_once: 0 };
        let limits = Limits::new(limit, Limit::default());
        let mut passes = Vec::new();
        let mut begins = |ms| limits.enter(Heading::In, at(ms)).map(|pass| passes.push(pass));
        assert_eq!(begins(0), Ok(()));
        assert_eq!(begins(900), Ok(()));
        assert_eq!(begins(999), Err(Over::PerSecond));
        // The first is a second old; the one that was refused doesn't count.
        assert_eq!(begins(1_000), Ok(()));
        assert_eq!(begins(1_500), Err(Over::PerSecond));
        assert_eq!(begins(1_900), Ok(()));
        // The other way has limits of its own: none.
        assert!((0..100).all(|_| limits.enter(Heading::Out, at(0)).is_ok()));
    }

    #[test]
    fn so_many_are_in_progress_and_a_reload_goes_on_counting() {
        let limit = Limit { per_s: 0, at_once: 2 };
        let limits = Limits::new(Limit::default(), limit);
        let enter = |limits: &Limits| limits.enter(Heading::Out, at(0));
        let (first, second) = (enter(&limits).unwrap(), limits.enter_again(Heading::Out));
        assert_eq!(enter(&limits).unwrap_err(), Over::AtOnce);
        let mut new = Limits::new(Limit::default(), Limit { at_once: 3, ..limit });
        new.go_on_from(&limits);
        let third = enter(&new).unwrap();
        assert_eq!(enter(&new).unwrap_err(), Over::AtOnce);
        drop((first, second, third));
        assert!(enter(&new).is_ok());
    }
}
