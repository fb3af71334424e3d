//! The live map of groups and their members: read by the SIP shards, written by the one writer.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use ahash::RandomState;
use dashmap::DashMap;
use smallvec::SmallVec;

use super::group::{Group, GroupId, Membership};
use crate::base::limits::{ENDED_RULES_KEPT, MEMBERSHIP_VERSIONS_KEPT};
use crate::base::number::RealNumber;
use crate::base::time::Wall;

/// What one number is and was a member of, in no order. Of one group there may be several, of times that don't meet.
pub(super) type Memberships = SmallVec<[Membership; 1]>;

/// Groups and members.
#[derive(Default)]
pub(super) struct Groups {
    groups: DashMap<GroupId, Arc<Group>, RandomState>,
    /// By the member's number: what a call asks.
    of: DashMap<u64, Memberships, RandomState>,
    index: RwLock<Index>,
}

/// What no call needs.
#[derive(Default)]
struct Index {
    groups: BTreeSet<GroupId>,
    names: BTreeMap<(Box<str>, Box<str>), GroupId>,
    /// Groups of each pool that nobody has removed.
    by_pool: BTreeMap<Box<str>, usize>,
    /// Members, live ones only.
    members: BTreeSet<(GroupId, u64)>,
    /// Those and the former ones that are kept.
    known: BTreeSet<(GroupId, u64)>,
    /// Former members that are kept, by when they left.
    left: BTreeSet<(Wall, GroupId, u64)>,
    /// Removed groups that are kept.
    ended: BTreeSet<(Wall, GroupId)>,
    last: Option<GroupId>,
}

impl Groups {
    pub(super) fn get(&self, id: GroupId) -> Option<Arc<Group>> {
        self.groups.get(&id).map(|group| group.clone())
    }

    /// The group of that name in a pool, if nobody has removed it.
    pub(super) fn named(&self, pool: &str, name: &str) -> Option<GroupId> {
        let key = (Box::from(pool), Box::from(name));
        self.index().names.get(&key).copied()
    }

    /// The groups of that name, in whichever pools.
    pub(super) fn all_named(&self, name: &str) -> Vec<GroupId> {
        let index = self.index();
        let all = index.names.iter().filter(|((_, known), _)| **known == *name);
        all.map(|(_, id)| *id).collect()
    }

    /// How many groups of a pool nobody has removed.
    pub(super) fn count_of(&self, pool: &str) -> usize {
        self.index().by_pool.get(pool).copied().unwrap_or(0)
    }

    /// How many groups there are, removed ones left out, and members in all.
    pub(super) fn counts(&self) -> (usize, usize) {
        let index = self.index();
        (index.groups.len() - index.ended.len(), index.members.len())
    }

    /// The last id that was given.
    pub(super) fn last(&self) -> Option<GroupId> {
        self.index().last
    }

    /// What the number is and was a member of, as far as it is kept.
    pub(super) fn of(&self, number: RealNumber) -> Memberships {
        self.of
            .get(&number.key())
            .map(|memberships| memberships.clone())
            .unwrap_or_default()
    }

    /// The newest that is known of a number in a group.
    pub(super) fn membership(&self, group: GroupId, number: RealNumber) -> Option<Membership> {
        self.newest(group, number.key())
    }

    /// Whether the number was a member of the group at `at`.
    pub(super) fn is_member(&self, group: GroupId, number: RealNumber, at: Wall) -> bool {
        let of = self.of.get(&number.key());
        of.is_some_and(|of| of.iter().any(|m| m.group == group && m.counts_at(at)))
    }

    /// The members of a group after `after`, in the order of their packed numbers.
    pub(super) fn members(&self, group: GroupId, after: Option<u64>, max: usize) -> Vec<Membership> {
        let keys: Vec<u64> = {
            let index = self.index();
            let from = after.map_or(Included((group, 0)), |key| Excluded((group, key)));
            let range = index.members.range((from, Unbounded));
            let of_group = range.take_while(|(of, _)| *of == group);
            of_group.take(max).map(|(_, key)| *key).collect()
        };
        keys.into_iter()
            .filter_map(|key| self.newest(group, key))
            .collect()
    }

    /// The groups after `after`, those that were removed left out if that is wished.
    pub(super) fn ids(&self, after: Option<GroupId>, max: usize) -> Vec<GroupId> {
        let index = self.index();
        let rest = index.groups.range((after.map_or(Unbounded, Excluded), Unbounded));
        rest.take(max).copied().collect()
    }

    /// All memberships, live and past, of the members after `after`.
    pub(super) fn all_after(&self, after: Option<(GroupId, u64)>, max: usize) -> Vec<Membership> {
        let index = self.index();
        let rest = index.known.range((after.map_or(Unbounded, Excluded), Unbounded));
        let all: Vec<(GroupId, u64)> = rest.take(max).copied().collect();
        drop(index);
        all.into_iter()
            .filter_map(|(group, key)| self.newest(group, key))
            .collect()
    }

    pub(super) fn put(&self, group: &Group) {
        let known = self.get(group.id);
        if known.as_ref().is_some_and(|known| known.version >= group.version) {
            return;
        }
        self.groups.insert(group.id, Arc::new(group.clone()));
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known {
            index.take_off(&known);
        }
        index.groups.insert(group.id);
        index.last = index.last.max(Some(group.id));
        match group.ended {
            Some(at) => drop(index.ended.insert((at, group.id))),
            None => {
                let key = (group.pool.clone(), group.name.clone());
                index.names.insert(key, group.id);
                *index.by_pool.entry(group.pool.clone()).or_default() += 1;
            }
        }
    }

    pub(super) fn remove(&self, id: GroupId) {
        let Some((_, known)) = self.groups.remove(&id) else {
            return;
        };
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.take_off(&known);
        index.groups.remove(&id);
    }

    pub(super) fn put_member(&self, new: &Membership) {
        let key = new.number.key();
        let mut of = self.of.entry(key).or_default();
        let known = of.iter().filter(|known| known.group == new.group);
        let newest = known.max_by_key(|known| known.version).copied();
        if newest.is_some_and(|newest| newest.version >= new.version) {
            return;
        }
        // Who left is written over; who came back keeps what was before, for attempts that are still open.
        of.retain(|known| {
            let is_open_still = new.since < known.until.plus(ENDED_RULES_KEPT);
            known.group != new.group || (known.until <= new.since && is_open_still)
        });
        let of_group = of.iter().filter(|known| known.group == new.group).count();
        if of_group >= MEMBERSHIP_VERSIONS_KEPT
            && let Some(oldest) = of.iter().position(|known| known.group == new.group)
        {
            of.remove(oldest);
        }
        of.push(*new);
        drop(of);
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = newest {
            index.left.remove(&(before.until, new.group, key));
        }
        index.known.insert((new.group, key));
        if new.is_open() {
            index.members.insert((new.group, key));
        } else {
            index.members.remove(&(new.group, key));
            index.left.insert((new.until, new.group, key));
        }
    }

    pub(super) fn remove_member(&self, group: GroupId, number: RealNumber) {
        let key = number.key();
        let Some(newest) = self.membership(group, number) else {
            return;
        };
        if let Some(mut of) = self.of.get_mut(&key) {
            of.retain(|membership| membership.group != group);
        }
        self.of.remove_if(&key, |_, of| of.is_empty());
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.members.remove(&(group, key));
        index.known.remove(&(group, key));
        index.left.remove(&(newest.until, group, key));
    }

    /// Members who left before `before`, those of groups removed before it among them, and such groups without a
    /// member; at most `max`.
    pub(super) fn ended_before(&self, before: Wall, max: usize) -> (Vec<Membership>, Vec<GroupId>) {
        let (mut gone, mut groups) = (Vec::new(), Vec::new());
        {
            let index = self.index();
            let left = index.left.iter().take_while(|(at, ..)| *at < before);
            gone.extend(left.take(max).map(|(_, group, key)| (*group, *key)));
            for (_, id) in index.ended.iter().take_while(|(at, _)| *at < before) {
                let of_group = index.known.range((*id, 0)..=(*id, u64::MAX));
                let room = max.saturating_sub(gone.len());
                let before = gone.len();
                gone.extend(of_group.take(room).copied());
                if room == 0 {
                    break;
                }
                // The last id that was given is known by its group alone: it is never given twice.
                if gone.len() == before && index.last != Some(*id) {
                    groups.push(*id);
                }
            }
        }
        gone.sort_unstable();
        gone.dedup();
        let newest = gone
            .into_iter()
            .filter_map(|(group, key)| self.newest(group, key));
        (newest.collect(), groups)
    }

    fn newest(&self, group: GroupId, key: u64) -> Option<Membership> {
        let of = self.of.get(&key)?;
        let of_group = of.iter().filter(|membership| membership.group == group);
        of_group.max_by_key(|membership| membership.version).copied()
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    /// Forgets what a version of a group was found by.
    fn take_off(&mut self, group: &Group) {
        match group.ended {
            Some(at) => drop(self.ended.remove(&(at, group.id))),
            None => {
                self.names.remove(&(group.pool.clone(), group.name.clone()));
                if let Some(count) = self.by_pool.get_mut(&group.pool) {
                    *count = count.saturating_sub(1);
                }
            }
        }
    }
}
