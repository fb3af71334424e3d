//! One ordered queue of timers: set, cancel, and take what is due, all in O(log n).

use std::collections::BTreeMap;

use super::time::Instant;

/// Names one timer that was set; cancelling one that already fired does nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerId(Instant, u64);

/// Timers, each with a key that says what it is for. Timers of one instant fire in the order they were set.
#[derive(Debug)]
pub struct Timers<K> {
    due: BTreeMap<(Instant, u64), K>,
    serial: u64,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self {
            due: BTreeMap::new(),
            serial: 0,
        }
    }
}

impl<K> Timers<K> {
    /// Sets a timer.
    pub fn set(&mut self, at: Instant, key: K) -> TimerId {
        self.serial += 1;
        self.due.insert((at, self.serial), key);
        TimerId(at, self.serial)
    }

    /// Cancels a timer, if it is still to come.
    pub fn cancel(&mut self, id: TimerId) {
        self.due.remove(&(id.0, id.1));
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// Takes one that is due at `now` or before.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        let first = self.due.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// How many are set.
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_order_of_time_then_of_setting_and_never_once_cancelled() {
        let at = Instant::from_micros;
        let mut timers = Timers::default();
        timers.set(at(20), "late");
        let dropped = timers.set(at(5), "dropped");
        timers.set(at(10), "first");
        timers.set(at(10), "second");
        timers.cancel(dropped);
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.pop_due(at(15)), Some("first"));
        assert_eq!(timers.pop_due(at(15)), Some("second"));
        assert_eq!(timers.pop_due(at(15)), None);
        timers.cancel(dropped);
        assert_eq!(timers.len(), 1);
    }
}
