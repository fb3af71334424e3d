//! Who called last by a binding, for A to call back where his pool says so.
//!
//! A call notes it in memory, in whichever shard; the writer makes it durable with its next tick, and nobody waits for
//! that. It goes with its binding, or when its time is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::id::Id;
use crate::base::number::RealNumber;
use crate::base::time::Wall;

/// The last one who called by a binding, whether A answered or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Last {
    /// The binding.
    pub binding: Id,
    /// Who called.
    pub caller: RealNumber,
    /// When the call arrived.
    pub at: Wall,
    /// Until when A may call back.
    pub until: Wall,
}

/// The last callers of all bindings.
#[derive(Default)]
pub(super) struct Lasts(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    newest: BTreeMap<Id, Last>,
    /// What the disk holds.
    durable: BTreeMap<Id, Last>,
    due: BTreeSet<(Wall, Id)>,
    /// Those whose newest the disk doesn't hold.
    unwritten: BTreeSet<Id>,
}

impl Lasts {
    /// Somebody calls by a binding.
    pub(super) fn note(&self, last: Last) {
        let mut kept = self.kept();
        // Of two shards the later call counts.
        if kept
            .newest
            .get(&last.binding)
            .is_none_or(|known| known.at <= last.at)
        {
            kept.newest.insert(last.binding, last);
            kept.unwritten.insert(last.binding);
        }
    }

    /// Nobody noted it.
    pub(super) fn take_back(&self, last: &Last) {
        let mut kept = self.kept();
        if kept.newest.get(&last.binding) == Some(last) && kept.unwritten.remove(&last.binding) {
            match kept.durable.get(&last.binding).copied() {
                Some(durable) => drop(kept.newest.insert(last.binding, durable)),
                None => drop(kept.newest.remove(&last.binding)),
            }
        }
    }

    /// Who called last by the binding.
    pub(super) fn of(&self, binding: Id) -> Option<Last> {
        self.kept().newest.get(&binding).copied()
    }

    /// A durable one comes into force.
    pub(super) fn put(&self, last: &Last) {
        let mut kept = self.kept();
        if let Some(old) = kept.durable.insert(last.binding, *last) {
            kept.due.remove(&(old.until, old.binding));
        }
        kept.due.insert((last.until, last.binding));
        if kept
            .newest
            .get(&last.binding)
            .is_none_or(|known| known.at <= last.at)
        {
            kept.newest.insert(last.binding, *last);
            kept.unwritten.remove(&last.binding);
        }
    }

    /// It is no more.
    pub(super) fn remove(&self, binding: Id) {
        let mut kept = self.kept();
        kept.newest.remove(&binding);
        kept.unwritten.remove(&binding);
        if let Some(old) = kept.durable.remove(&binding) {
            kept.due.remove(&(old.until, binding));
        }
    }

    /// Those that the disk doesn't hold yet, at most `max`.
    pub(super) fn unwritten(&self, max: usize) -> Vec<Last> {
        let kept = self.kept();
        let ids = kept.unwritten.iter().take(max);
        ids.filter_map(|id| kept.newest.get(id).copied()).collect()
    }

    /// Those on the disk whose time is over, at most `max`.
    pub(super) fn due(&self, now: Wall, max: usize) -> Vec<Last> {
        let kept = self.kept();
        let due = kept.due.iter().take_while(|(until, _)| *until <= now);
        due.take(max)
            .filter_map(|(_, id)| kept.durable.get(id).copied())
            .collect()
    }

    /// What the disk holds after `after`, at most `max`.
    pub(super) fn durable_after(&self, after: Option<Id>, max: usize) -> Vec<Last> {
        use std::ops::Bound::{Excluded, Unbounded};
        let kept = self.kept();
        let rest = kept.durable.range((after.map_or(Unbounded, Excluded), Unbounded));
        rest.take(max).map(|(_, last)| *last).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Whole after every change, whoever panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
