//! Writes to groups and their members, and what groups are in the way of.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bind::just_after;
use super::fit::Obstacle;
use super::{Planned, Planner, unchanged};
use crate::base::id::Id;
use crate::base::limits::{GROUP_BATCH_MAX, GROUP_MEMBERS_MAX, GROUPS_PER_MEMBER_MAX, GROUPS_PER_POOL_MAX};
use crate::base::number::{RealNumber, VirtualNumber};
use crate::base::time::Wall;
use crate::masking::binding::{Binding, Mode, Parties, Party};
use crate::masking::bounds::check_name;
use crate::masking::change::{Change, Record};
use crate::masking::group::{Group, GroupId, Membership};
use crate::masking::inventory::Number;
use crate::masking::mode;
use crate::masking::request::{Field, GroupRefused, GroupRequest, Refused, Written};
use crate::masking::rule::{Key, Who};

/// Members or bindings that are looked at in one go.
const CHUNK: usize = 512;

impl Planner<'_> {
    pub(super) fn add_group(&self, request: &GroupRequest, now: Wall) -> Result<Planned, Refused> {
        let pool = self.known_pool(&request.pool)?;
        self.check_account(&pool.account)?;
        match pool.mode {
            Mode::Axg | Mode::Gxb | Mode::Gxyb => {}
            mode @ (Mode::Axb
            | Mode::Ax
            | Mode::Axyb
            | Mode::Axe
            | Mode::Axn
            | Mode::Axn95
            | Mode::Xb
            | Mode::Inbound
            | Mode::X) => {
                let pool = pool.name.clone();
                return Err(Refused::ModeMismatch { pool, mode });
            }
        }
        let of_pool = |group: &&Arc<Group>| group.pool == pool.key && group.ended.is_none();
        let pending = self.groups.values().filter(of_pool).count();
        // Too many rather than too few: those that this group of writes changes are counted twice near the limit.
        if self.table.groups.count_of(&pool.key) + pending >= GROUPS_PER_POOL_MAX {
            let limit = GROUPS_PER_POOL_MAX;
            return Err(GroupRefused::PoolFull { limit }.into());
        }
        let last = self.groups.keys().next_back().copied();
        let last = last.max(self.table.groups.last());
        let id = last.map_or(GroupId::FIRST, GroupId::next);
        let name = match &request.name {
            Some(name) => {
                self.check_group_name(&pool.key, name)?;
                name.clone()
            }
            None => self.name_for(&pool.key, id),
        };
        let mut group = Group {
            id,
            version: 1,
            name,
            pool: pool.key.clone(),
            account: pool.account.clone(),
            created: now,
            members: 0,
            default: None,
            ended: None,
        };
        let joined = if request.numbers.is_empty() {
            Vec::new()
        } else {
            self.joined(&mut group, &request.numbers, now)?
        };
        if let Some(default) = request.default {
            if joined.iter().all(|member| member.number != default) {
                let (number, group) = (default, id);
                return Err(GroupRefused::NotMember { number, group }.into());
            }
            group.default = Some(default);
        }
        Ok(group_planned(group, joined))
    }

    pub(super) fn set_group(
        &self,
        id: GroupId,
        name: Option<&str>,
        default: Option<Option<RealNumber>>,
    ) -> Result<Planned, Refused> {
        let mut group = self.next_version(id)?;
        if let Some(name) = name.filter(|name| **name != *group.name) {
            self.check_group_name(&group.pool, name)?;
            group.name = name.into();
        }
        if let Some(default) = default {
            if let Some(number) = default
                && !self.is_member(id, number)
            {
                return Err(GroupRefused::NotMember { number, group: id }.into());
            }
            group.default = default;
        }
        Ok(group_planned(group, Vec::new()))
    }

    pub(super) fn join(&self, id: GroupId, numbers: &[RealNumber], now: Wall) -> Result<Planned, Refused> {
        let mut group = self.next_version(id)?;
        let joined = self.joined(&mut group, numbers, now)?;
        Ok(group_planned(group, joined))
    }

    pub(super) fn leave(&self, id: GroupId, numbers: &[RealNumber], now: Wall) -> Result<Planned, Refused> {
        let mut group = self.next_version(id)?;
        check_batch(numbers)?;
        let numbers: BTreeSet<RealNumber> = numbers.iter().copied().collect();
        let open = numbers.iter().filter_map(|number| self.membership(id, *number));
        let left: Vec<Membership> = open
            .filter(Membership::is_open)
            .map(|member| left(&member, now))
            .collect();
        let count = u32::try_from(left.len()).unwrap_or(u32::MAX);
        group.members = group.members.saturating_sub(count);
        group.default = group.default.filter(|default| !numbers.contains(default));
        Ok(group_planned(group, left))
    }

    pub(super) fn remove_group(&self, id: GroupId, now: Wall) -> Result<Planned, Refused> {
        let mut group = self.next_version(id)?;
        if let Some(binding) = self.bound_to(id, now).first() {
            let (group, binding) = (id, binding.id);
            return Err(GroupRefused::Bound { group, binding }.into());
        }
        group.ended = Some(now);
        Ok(group_planned(group, Vec::new()))
    }

    /// A group of a backup, without its members, unless it is there.
    pub(super) fn put_back_group(&self, group: &Group) -> Result<Planned, Refused> {
        if group.ended.is_some() {
            return Err(GroupRefused::Unknown { group: group.id }.into());
        }
        let known = self.any_group(group.id);
        if let Some(known) = &known {
            check_same(known, Some(group))?;
            if known.ended.is_none() {
                return Ok(unchanged(Written::Group(known.clone())));
            }
        }
        self.known_pool(&group.pool)?;
        // It may have been named like its id, before there was a law against that.
        self.check_name_free(&group.pool, &group.name)?;
        // Who was a member when it was removed is one again only by the backup.
        let ended = known.as_ref().and_then(|known| known.ended);
        let left = ended.map(|at| self.left_at(group.id, at)).unwrap_or_default();
        let version = known.map_or(0, |known| known.version).max(group.version);
        Ok(group_planned(
            Group {
                version: version.saturating_add(1),
                members: 0,
                ..group.clone()
            },
            left,
        ))
    }

    /// The records by which all members leave a group.
    fn left_at(&self, group: GroupId, at: Wall) -> Vec<Membership> {
        let mut numbers = BTreeSet::new();
        let mut after = None;
        loop {
            let some = self.table.members(group, after, CHUNK);
            let Some(last) = some.last() else { break };
            after = Some(last.number.key());
            numbers.extend(some.iter().map(|member| member.number));
        }
        let pending = self.members.keys().filter(|(of, _)| *of == group);
        numbers.extend(pending.map(|(_, number)| *number));
        let members = numbers
            .into_iter()
            .filter_map(|number| self.membership(group, number));
        members
            .filter(Membership::is_open)
            .map(|member| left(&member, at))
            .collect()
    }

    /// A member of a backup, unless he is one. `of` is his group there.
    pub(super) fn put_back_member(
        &self,
        member: &Membership,
        of: Option<&Group>,
        now: Wall,
    ) -> Result<Planned, Refused> {
        let group = self.same_group(member.group, of)?;
        if !member.is_open() || self.is_member(member.group, member.number) {
            return Ok(unchanged(Written::Group(group)));
        }
        let mut group = Group {
            version: group.version.saturating_add(1),
            ..(*group).clone()
        };
        let joined = self.joined(&mut group, &[member.number], now)?;
        Ok(group_planned(group, joined))
    }

    /// The live group of that id, if it is the one that the backup means.
    pub(super) fn same_group(&self, id: GroupId, meant: Option<&Group>) -> Result<Arc<Group>, Refused> {
        let group = self.live_group(id)?;
        check_same(&group, meant)?;
        Ok(group)
    }

    fn any_group(&self, id: GroupId) -> Option<Arc<Group>> {
        let pending = self.groups.get(&id).cloned();
        pending.or_else(|| self.table.group(id))
    }

    /// A group that is there, live.
    pub(super) fn live_group(&self, id: GroupId) -> Result<Arc<Group>, Refused> {
        let group = self.any_group(id);
        group
            .filter(|group| group.ended.is_none())
            .ok_or_else(|| GroupRefused::Unknown { group: id }.into())
    }

    /// Whether the group can be bound on `x` between these parties.
    pub(super) fn check_group(&self, x: &Number, parties: &Parties) -> Result<(), Refused> {
        let Some(id) = parties.group() else {
            return Ok(());
        };
        let group = self.live_group(id)?;
        if group.account != x.account {
            return Err(GroupRefused::OfAnother { group: id }.into());
        }
        if group.members == 0 {
            return Err(GroupRefused::Empty { group: id }.into());
        }
        for number in [parties.a(), parties.b()].into_iter().flatten() {
            if self.is_member(id, number) {
                return Err(GroupRefused::IsParty { number }.into());
            }
        }
        Ok(())
    }

    /// From when on a key may be had, as far as groups are in its way: a number's by the groups that it is in, a
    /// group's by its members who have the key of somebody else.
    pub(super) fn free_of_groups(
        &self,
        key: Key,
        party: Party,
        but: Option<Id>,
        now: Wall,
    ) -> Result<Wall, Obstacle> {
        match key.caller {
            Who::Number(number) => {
                let mut since = now;
                for member in self.memberships(RealNumber::new(number)) {
                    let of_group = Key {
                        caller: Who::Member(member.group),
                        ..key
                    };
                    let holder = self.holder(of_group, now, but);
                    match holder.live {
                        Some(held) if member.is_open() => {
                            return Err(Obstacle::Held(held, key.dialled, party));
                        }
                        Some(_) => since = since.max(just_after(member.until)),
                        None if member.is_open() => since = since.max(holder.free_from),
                        None => {}
                    }
                }
                Ok(since)
            }
            Who::Member(group) => {
                let others = self.live_on(VirtualNumber::new(key.dialled), now);
                let others = others.into_iter().filter(|id| Some(*id) != but);
                for other in others.filter_map(|id| self.binding(id)) {
                    if self.meets(group, &other, key) {
                        return Err(Obstacle::Held(other, key.dialled, party));
                    }
                }
                Ok(now)
            }
            Who::Anyone | Who::Extension(_) | Who::Whole => Ok(now),
        }
    }

    /// Whether a member of `group` has a key of `other` on the number dialled.
    fn meets(&self, group: GroupId, other: &Binding, key: Key) -> bool {
        mode::keys(other)
            .into_iter()
            .filter(|has| has.dialled == key.dialled)
            .any(|has| match has.caller {
                Who::Number(number) => self.is_member(group, RealNumber::new(number)),
                Who::Member(of) => of != group && self.have_one_member(group, of),
                Who::Anyone | Who::Extension(_) | Who::Whole => false,
            })
    }

    fn have_one_member(&self, one: GroupId, other: GroupId) -> bool {
        let size = |id| self.live_group(id).map_or(0, |group| group.members);
        let (few, many) = if size(one) <= size(other) {
            (one, other)
        } else {
            (other, one)
        };
        let mut pending = self.members.iter().filter(|((of, _), _)| *of == few);
        if pending.any(|((_, number), member)| member.is_open() && self.is_member(many, *number)) {
            return true;
        }
        let mut after = None;
        loop {
            let some = self.table.members(few, after, CHUNK);
            let Some(last) = some.last() else {
                return false;
            };
            after = Some(last.number.key());
            let mut some = some.iter().map(|member| member.number);
            if some.any(|number| self.is_member(few, number) && self.is_member(many, number)) {
                return true;
            }
        }
    }

    /// The records of those of `numbers` who aren't members yet, all of whom may be. The group counts them.
    fn joined(
        &self,
        group: &mut Group,
        numbers: &[RealNumber],
        now: Wall,
    ) -> Result<Vec<Membership>, Refused> {
        check_batch(numbers)?;
        let bound = self.bound_to(group.id, now);
        let mut joined: Vec<Membership> = Vec::new();
        for number in numbers.iter().copied() {
            let known = self.membership(group.id, number);
            let is_in = known.as_ref().is_some_and(Membership::is_open);
            if is_in || joined.iter().any(|member| member.number == number) {
                continue;
            }
            if self.is_ours(number) {
                let party = Party::Member;
                return Err(Refused::OwnNumber { party });
            }
            let of: Vec<Membership> = self.memberships(number);
            if of.iter().filter(|member| member.is_open()).count() >= GROUPS_PER_MEMBER_MAX {
                let limit = GROUPS_PER_MEMBER_MAX;
                return Err(GroupRefused::MemberFull { number, limit }.into());
            }
            let mut since = now;
            for binding in &bound {
                since = since.max(self.fits_member(binding, number, now)?);
            }
            // An attempt of the very millisecond in which he left another group is judged by that.
            let left = of.iter().filter(|member| !member.is_open());
            let left = left.map(|member| just_after(member.until)).max();
            joined.push(Membership {
                group: group.id,
                number,
                version: known.map_or(1, |known| known.version.saturating_add(1)),
                since: left.map_or(since, |left| since.max(left)),
                until: Wall::NEVER,
            });
        }
        let count = u32::try_from(joined.len()).unwrap_or(u32::MAX);
        group.members = group.members.saturating_add(count);
        if group.members as usize > GROUP_MEMBERS_MAX {
            let limit = GROUP_MEMBERS_MAX;
            return Err(GroupRefused::Full { limit }.into());
        }
        Ok(joined)
    }

    /// From when on `number` may be a member of the group of a live binding.
    fn fits_member(&self, binding: &Binding, number: RealNumber, now: Wall) -> Result<Wall, Refused> {
        if [binding.parties.a(), binding.parties.b()].contains(&Some(number)) {
            return Err(GroupRefused::IsParty { number }.into());
        }
        let mut since = now;
        for key in mode::keys(binding) {
            match key.caller {
                Who::Member(_) => {}
                Who::Number(_) | Who::Anyone | Who::Extension(_) | Who::Whole => continue,
            }
            let own = mode::by(VirtualNumber::new(key.dialled), number);
            let (free, of_groups) = (
                self.free_from(own, Party::Member, Some(binding.id), now),
                self.free_of_groups(own, Party::Member, Some(binding.id), now),
            );
            for free in [free, of_groups] {
                since = since.max(free.map_err(|obstacle| match obstacle {
                    Obstacle::Law(refused) => refused,
                    Obstacle::Held(held, dialled, party) => Refused::KeyTaken {
                        x: VirtualNumber::new(dialled),
                        number,
                        party,
                        binding: held.id,
                    },
                })?);
            }
        }
        Ok(since)
    }

    /// The live bindings for a group.
    pub(super) fn bound_to(&self, group: GroupId, now: Wall) -> Vec<Arc<Binding>> {
        let mut ids = BTreeSet::new();
        let mut after = None;
        loop {
            let some = self.table.open_of_group(group, after, CHUNK);
            let Some(last) = some.last() else { break };
            after = Some(*last);
            ids.extend(some);
        }
        ids.extend(self.bindings.keys().copied());
        let bindings = ids.into_iter().filter_map(|id| self.binding(id));
        bindings
            .filter(|binding| binding.parties.group() == Some(group) && !binding.is_over(now))
            .collect()
    }

    fn next_version(&self, id: GroupId) -> Result<Group, Refused> {
        let group = self.live_group(id)?;
        self.check_account(&group.account)?;
        Ok(Group {
            version: group.version.saturating_add(1),
            ..(*group).clone()
        })
    }

    fn check_group_name(&self, pool: &str, name: &str) -> Result<(), Refused> {
        check_name(name)?;
        // Either names a group: a name that looks like an id would be in the way of one, there or to come.
        if name.parse::<GroupId>().is_ok() {
            return Err(Refused::BoundsOf(Field::Name));
        }
        self.check_name_free(pool, name)
    }

    /// A name for a group that was given none. It doesn't look like an id: elsewhere the group has another one.
    fn name_for(&self, pool: &str, id: GroupId) -> Box<str> {
        let first = std::iter::once(format!("g{id}"));
        let mut names = first.chain((2_u32..).map(|n| format!("g{id}-{n}")));
        let free = names.find(|name| self.check_name_free(pool, name).is_ok());
        free.unwrap_or_default().into()
    }

    fn check_name_free(&self, pool: &str, name: &str) -> Result<(), Refused> {
        let known = self.table.groups.named(pool, name);
        // Those that this group of writes renames or removes don't answer to their old names.
        let known = known.filter(|id| !self.groups.contains_key(id));
        let mut pending = self.groups.values();
        let is_taken = known.is_some()
            || pending.any(|group| &*group.pool == pool && &*group.name == name && group.ended.is_none());
        if is_taken {
            return Err(Refused::NameTaken { name: name.into() });
        }
        Ok(())
    }

    pub(super) fn is_member(&self, group: GroupId, number: RealNumber) -> bool {
        let membership = self.membership(group, number);
        membership.as_ref().is_some_and(Membership::is_open)
    }

    fn membership(&self, group: GroupId, number: RealNumber) -> Option<Membership> {
        let pending = self.members.get(&(group, number)).copied();
        pending.or_else(|| self.table.groups.membership(group, number))
    }

    /// What a number is and was a member of, the newest of each live group.
    fn memberships(&self, number: RealNumber) -> Vec<Membership> {
        let mut groups: BTreeSet<GroupId> = self.table.groups.of(number).iter().map(|m| m.group).collect();
        let pending = self.members.values().filter(|member| member.number == number);
        groups.extend(pending.map(|member| member.group));
        groups
            .into_iter()
            .filter(|group| self.live_group(*group).is_ok())
            .filter_map(|group| self.membership(group, number))
            .collect()
    }
}

/// That a group is the one that a backup means. Each server counts its ids from the same first one: only the pool and
/// the moment tell groups of two servers apart.
fn check_same(group: &Group, meant: Option<&Group>) -> Result<(), Refused> {
    let Some(meant) = meant else {
        return Err(GroupRefused::NotSent { group: group.id }.into());
    };
    if (meant.id, &meant.pool, meant.created) == (group.id, &group.pool, group.created) {
        return Ok(());
    }
    Err(GroupRefused::IdTaken {
        group: group.id,
        name: group.name.clone(),
    }
    .into())
}

fn left(member: &Membership, at: Wall) -> Membership {
    Membership {
        version: member.version.saturating_add(1),
        // One that has not begun to count never will.
        until: at.max(member.since),
        ..*member
    }
}

fn check_batch(numbers: &[RealNumber]) -> Result<(), Refused> {
    if numbers.is_empty() || numbers.len() > GROUP_BATCH_MAX {
        return Err(Refused::BoundsOf(Field::Numbers));
    }
    Ok(())
}

fn group_planned(group: Group, members: Vec<Membership>) -> Planned {
    let written = Written::Group(Arc::new(group.clone()));
    let records = std::iter::once(Record::Group(group)).chain(members.into_iter().map(Record::Member));
    Planned {
        change: Change {
            records: records.collect(),
        },
        written,
    }
}
