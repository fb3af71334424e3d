//! What the table knows of groups and of who is paired on a work number.

use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use super::Table;
use crate::base::id::Id;
use crate::base::number::{RealNumber, Tel};
use crate::base::time::Wall;
use crate::masking::binding::{Binding, Parties};
use crate::masking::group::{Group, GroupId, Membership};

/// Pairings that are looked at in one go.
const CHUNK: usize = 16;

impl Table {
    /// A group, live or removed, as long as it is kept.
    pub fn group(&self, id: GroupId) -> Option<Arc<Group>> {
        self.groups.get(id)
    }

    /// The group of that name in a pool (by its key), if nobody has removed it.
    pub fn group_named(&self, pool: &str, name: &str) -> Option<Arc<Group>> {
        self.group(self.groups.named(pool, name)?)
    }

    /// Whether `number` is a member of a group at `at`.
    pub fn is_member(&self, group: GroupId, number: RealNumber, at: Wall) -> bool {
        self.groups.is_member(group, number, at)
    }

    /// The members of a group after the one whose packed number is `after`, at most `max`.
    pub fn members(&self, group: GroupId, after: Option<u64>, max: usize) -> Vec<Membership> {
        self.groups.members(group, after, max)
    }

    /// Bindings for a group that nobody has ended, after `after`.
    pub(in crate::masking) fn open_of_group(&self, group: GroupId, after: Option<Id>, max: usize) -> Vec<Id> {
        let index = self.index();
        let from = after.map_or(Included((group, Id::from_bits(0))), |id| Excluded((group, id)));
        let open = index.of_group.range((from, Unbounded));
        let of_group = open.take_while(|(of, _)| *of == group);
        of_group.take(max).map(|(_, id)| *id).collect()
    }

    /// The pairing on a work number that was made last, of those that counted at `arrived` and are `wanted`.
    pub(in crate::masking) fn last_paired(
        &self,
        x: Tel,
        arrived: Wall,
        wanted: impl Fn(&Binding) -> bool,
    ) -> Option<Arc<Binding>> {
        let look = |id: Id| {
            let binding = self.version_at(id, arrived)?;
            let is_it = binding.x.tel() == x && is_paired(&binding) && wanted(&binding);
            is_it.then_some(binding)
        };
        // By its birthday: who was replaced by an update since the arrival is kept under an id that is younger than he.
        let made = |binding: &Arc<Binding>| (binding.created, binding.id);
        // What has ended since the arrival: nearly always nothing.
        let ended: Vec<Id> = {
            let index = self.index();
            let since = index.ended.range((arrived, Id::from_bits(0))..);
            since.map(|(_, id)| *id).collect()
        };
        let ended = ended.into_iter().filter_map(look).max_by_key(made);
        let mut before = Id::from_bits(u128::MAX);
        let open = loop {
            let ids: Vec<Id> = {
                let index = self.index();
                let open = index.open_on.range((x, Id::from_bits(0))..(x, before));
                open.rev().take(CHUNK).map(|(_, id)| *id).collect()
            };
            let Some(last) = ids.last() else { break None };
            before = *last;
            if let Some(found) = ids.into_iter().find_map(look) {
                break Some(found);
            }
        };
        let both = [ended, open].into_iter().flatten();
        both.max_by_key(made)
    }

    /// The version of a binding that counted at `at`.
    pub(in crate::masking) fn version_at(&self, id: Id, at: Wall) -> Option<Arc<Binding>> {
        let history = self.records.get(&id)?;
        let current = history.iter().rfind(|version| version.since <= at)?;
        (at < current.until()).then(|| current.clone())
    }
}

const fn is_paired(binding: &Binding) -> bool {
    match binding.parties {
        Parties::Paired { .. } => true,
        Parties::Axb { .. }
        | Parties::Ax { .. }
        | Parties::Axyb { .. }
        | Parties::Axe { .. }
        | Parties::Axn { .. }
        | Parties::Axn95 { .. }
        | Parties::Axg { .. }
        | Parties::Gxb { .. }
        | Parties::Gxyb { .. }
        | Parties::Xb { .. }
        | Parties::Inbound { .. } => false,
    }
}
