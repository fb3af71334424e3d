//! The temporary callee: whom A reaches by dialling his own X, named just before, good for one call.
//!
//! Any shard may want it, and exactly one gets it: taking it is one removal from a shared map. What is taken
//! may be given back, until something newer was named. The disk hears of the use only when the callee
//! rings: an attempt that a crash ends before has used nothing.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ahash::RandomState;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::base::id::Id;
use crate::base::number::RealNumber;
use crate::base::time::Wall;

/// Whom A of a binding reaches next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Callee {
    /// The binding.
    pub binding: Id,
    /// Whom.
    pub to: RealNumber,
    /// Tells two namings of one number apart.
    pub nonce: u32,
    /// When it was named.
    pub set: Wall,
    /// Until when it holds.
    pub until: Wall,
}

impl Callee {
    /// Whether an attempt of this moment may use it.
    pub fn holds_at(&self, at: Wall) -> bool {
        self.set <= at && at < self.until
    }
}

/// The temporary callees of all bindings.
#[derive(Default)]
pub(super) struct Callees {
    /// Those that nobody has taken.
    named: DashMap<Id, Callee, RandomState>,
    /// What the disk holds, taken or not, by its end: for the writer alone.
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    newest: std::collections::BTreeMap<Id, Callee>,
    due: BTreeSet<(Wall, Id)>,
}

impl Callees {
    /// The one that was named and not taken.
    pub(super) fn named(&self, binding: Id) -> Option<Callee> {
        self.named.get(&binding).map(|callee| *callee)
    }

    /// Takes it. `false`: somebody else has, or it was named anew.
    pub(super) fn take(&self, callee: &Callee) -> Taken {
        match self.named.remove_if(&callee.binding, |_, named| named == callee) {
            Some(_) => Taken::Yes,
            None => Taken::No,
        }
    }

    /// Gives back what was taken, unless another was named or this one was cleared meanwhile.
    pub(super) fn give_back(&self, callee: &Callee) {
        // Held while the map is written: the writer may be clearing it at this moment.
        let kept = self.kept();
        if kept.newest.get(&callee.binding) == Some(callee)
            && let Entry::Vacant(place) = self.named.entry(callee.binding)
        {
            place.insert(*callee);
        }
    }

    /// A durable one comes into force.
    pub(super) fn put(&self, callee: &Callee) {
        let mut kept = self.kept();
        if let Some(old) = kept.newest.insert(callee.binding, *callee) {
            kept.due.remove(&(old.until, old.binding));
        }
        kept.due.insert((callee.until, callee.binding));
        self.named.insert(callee.binding, *callee);
    }

    /// It is no more.
    pub(super) fn remove(&self, binding: Id) {
        let mut kept = self.kept();
        if let Some(old) = kept.newest.remove(&binding) {
            kept.due.remove(&(old.until, binding));
        }
        self.named.remove(&binding);
    }

    /// What the disk holds of a binding, taken or not.
    pub(super) fn kept_of(&self, binding: Id) -> Option<Callee> {
        self.kept().newest.get(&binding).copied()
    }

    /// All that the disk holds after `after`, at most `max`.
    pub(super) fn kept_after(&self, after: Option<Id>, max: usize) -> Vec<Callee> {
        use std::ops::Bound::{Excluded, Unbounded};
        let kept = self.kept();
        let rest = kept.newest.range((after.map_or(Unbounded, Excluded), Unbounded));
        rest.take(max).map(|(_, callee)| *callee).collect()
    }

    /// Those whose time is over, at most `max`.
    pub(super) fn due(&self, now: Wall, max: usize) -> Vec<Callee> {
        let kept = self.kept();
        let due = kept.due.iter().take_while(|(until, _)| *until <= now);
        due.take(max)
            .filter_map(|(_, id)| kept.newest.get(id).copied())
            .collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Whole after every change, whoever panics.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a taker got it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// He did, and nobody else will.
    Yes,
    /// He did not.
    No,
}
