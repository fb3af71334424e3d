//! The law of writing: a write → the change that does it, or why not.
//!
//! The writer plans a group of writes one after another, makes their changes durable together, and only
//! then applies them. A [`Planner`] holds what the group has planned so far on top of the table, so that
//! two writes of one group see each other while nobody else sees either.

mod bind;
mod callee;
mod choose;
mod extension;
mod fit;
mod group;
mod inventory;
mod parties;
mod put_back;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use smallvec::SmallVec;

use super::binding::Binding;
use super::callee::Callee;
use super::change::{Change, Record};
use super::group::{Group, GroupId, Membership};
use super::inventory::{Account, Number, NumberState, Pool, Standing};
use super::mode;
use super::request::{Refused, Unbind, Write, Written};
use super::rule::Key;
use super::table::{Table, numbers_of};
use crate::base::chance::Chance;
use crate::base::id::Id;
use crate::base::limits::ENDED_RULES_KEPT;
use crate::base::number::{RealNumber, Tel, VirtualNumber};
use crate::base::time::Wall;

/// A write that the law allows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    /// What does it. Without records there is nothing to make durable, but the answer may rest on
    /// earlier writes of the same group: it is given when the group is durable and applied.
    pub change: Change,
    /// What to answer then.
    pub written: Written,
}

impl Table {
    /// Plans a group of writes. See [`Planner`].
    pub fn planner(&self) -> Planner<'_> {
        Planner {
            table: self,
            accounts: BTreeMap::new(),
            pools: BTreeMap::new(),
            numbers: BTreeMap::new(),
            bindings: BTreeMap::new(),
            callees: BTreeMap::new(),
            groups: BTreeMap::new(),
            members: BTreeMap::new(),
            keys: BTreeMap::new(),
            on_number: BTreeSet::new(),
        }
    }

    /// Plans one write, as a group of its own.
    ///
    /// # Errors
    /// What the law refuses.
    pub fn plan(&self, write: &Write, now: Wall, chance: &mut Chance) -> Result<Planned, Refused> {
        self.planner().plan(write, now, chance)
    }
}

/// A group of writes that is not durable yet, on top of the table. Its changes are to be applied in the
/// order in which they were planned, or, if they could not be made durable, none of them. Only the
/// writer plans, one group after another.
#[derive(Clone)]
pub struct Planner<'t> {
    table: &'t Table,
    accounts: BTreeMap<Box<str>, Arc<Account>>,
    pools: BTreeMap<Box<str>, Arc<Pool>>,
    numbers: BTreeMap<Tel, Arc<Number>>,
    bindings: BTreeMap<Id, Arc<Binding>>,
    callees: BTreeMap<Id, Option<Callee>>,
    groups: BTreeMap<GroupId, Arc<Group>>,
    members: BTreeMap<(GroupId, RealNumber), Membership>,
    keys: BTreeMap<Key, SmallVec<[Id; 2]>>,
    /// By each virtual number that the group's bindings have, X and Y.
    on_number: BTreeSet<(Tel, Id)>,
}

impl Planner<'_> {
    /// Plans the group's next write at `now`. A refused write leaves no trace.
    ///
    /// `now` comes from the clock that stamps the attempts, and must not run backwards: an attempt that
    /// is stamped before the unbind it follows would reach the old party.
    ///
    /// # Errors
    /// What the law refuses.
    pub fn plan(&mut self, write: &Write, now: Wall, chance: &mut Chance) -> Result<Planned, Refused> {
        let planned = match write {
            Write::AddAccount { name } => self.add_account(name, now),
            Write::SetAccount {
                name,
                standing,
                x_per_a,
                expiry_max,
                language,
                recording,
                kept,
            } => self.set_account(
                name,
                *standing,
                *x_per_a,
                *expiry_max,
                *language,
                (*recording, *kept),
            ),
            Write::AddPool {
                name,
                mode,
                account,
                settings,
            } => self.add_pool(name, *mode, account.as_deref(), settings, now),
            Write::SetPool { pool, name, settings } => self.set_pool(pool, name.as_deref(), settings),
            Write::AddNumber {
                x,
                pool,
                about,
                service,
            } => self.add_number(*x, pool.as_deref(), about, *service, now),
            Write::SetNumber { x, about } => self.set_number(*x, about),
            Write::MoveNumber { x, pool } => self.move_number(*x, pool, now),
            Write::SetNumberState { x, state } => self.set_number_state(*x, *state, now),
            Write::ThawNumber { x } => self.thaw_number(*x, now),
            Write::ReleaseNumber { x } => self.set_number_state(*x, NumberState::Released, now),
            Write::Bind(request) => self.bind(request, now, chance),
            Write::Update(request) => self.update(request, now, chance),
            Write::Unbind(Unbind::Id(id)) => self.unbind(*id, now),
            Write::Unbind(Unbind::X(x)) => self.unbind_all(*x, now),
            Write::SetCallee { id, to, lasts } => self.set_callee(*id, *to, *lasts, now, chance),
            Write::ClearCallee { id, only } => self.clear_callee(*id, only.as_ref()),
            Write::AddGroup(request) => self.add_group(request, now),
            Write::SetGroup { group, name, default } => self.set_group(*group, name.as_deref(), *default),
            Write::Join { group, numbers } => self.join(*group, numbers, now),
            Write::Leave { group, numbers } => self.leave(*group, numbers, now),
            Write::RemoveGroup { group } => self.remove_group(*group, now),
            Write::Expire { id } => self.expire(*id, now),
            Write::KeepLast(last) => Ok(self.keep_last(last, now)),
            Write::Import(import) => self.import(import, now, chance),
            Write::PutBack(back) => self.put_back(&back.record, back.group.as_ref(), now),
        }?;
        self.absorb(&planned.change);
        Ok(planned)
    }

    /// Plans to forget bindings that ended before `before`, at most `max`; never one that ended less than
    /// [`ENDED_RULES_KEPT`] ago.
    pub fn forget_before(&mut self, before: Wall, now: Wall, max: usize) -> Change {
        let kept = i64::try_from(ENDED_RULES_KEPT.as_millis()).unwrap_or(i64::MAX);
        let youngest = Wall::from_millis(now.as_millis().saturating_sub(kept));
        let before = before.min(youngest);
        let ids = self.table.ended_before(before, max);
        let mut records: Vec<Record> = ids.into_iter().map(Record::Forget).collect();
        let (members, groups) = self
            .table
            .groups
            .ended_before(before, max.saturating_sub(records.len()));
        records.extend(members.iter().map(|m| Record::MemberGone(m.group, m.number)));
        records.extend(groups.into_iter().map(Record::GroupGone));
        Change { records }
    }

    fn absorb(&mut self, change: &Change) {
        for record in &change.records {
            match record {
                Record::Account(account) => {
                    self.accounts
                        .insert(account.name.clone(), Arc::new(account.clone()));
                }
                Record::Pool(pool) => {
                    self.pools.insert(pool.key.clone(), Arc::new(pool.clone()));
                }
                Record::Number(number) => {
                    self.numbers.insert(number.x.tel(), Arc::new(number.clone()));
                }
                Record::Binding(binding) => {
                    for key in mode::keys(binding) {
                        let ids = self.keys.entry(key).or_default();
                        if !ids.contains(&binding.id) {
                            ids.push(binding.id);
                        }
                    }
                    let numbers = numbers_of(binding).map(|number| (number, binding.id));
                    self.on_number.extend(numbers);
                    self.bindings.insert(binding.id, Arc::new(binding.clone()));
                }
                // No write of this group asks for what ended so long ago.
                Record::Forget(_) | Record::GroupGone(_) | Record::MemberGone(..) => {}
                Record::Group(group) => {
                    self.groups.insert(group.id, Arc::new(group.clone()));
                }
                Record::Member(member) => {
                    self.members.insert((member.group, member.number), *member);
                }
                Record::Callee(callee) => {
                    self.callees.insert(callee.binding, Some(*callee));
                }
                Record::CalleeGone(id) => {
                    self.callees.insert(*id, None);
                }
                // None of this group asks for them.
                Record::Last(_) | Record::LastGone(_) => {}
            }
        }
    }

    // What is there, the group's own writes included.

    fn account(&self, name: &str) -> Option<Arc<Account>> {
        self.accounts
            .get(name)
            .cloned()
            .or_else(|| self.table.account(name))
    }

    fn pool(&self, key_or_name: &str) -> Option<Arc<Pool>> {
        let is_named = |pool: &&Arc<Pool>| &*pool.key == key_or_name || &*pool.name == key_or_name;
        if let Some(pool) = self.pools.values().find(is_named) {
            return Some(pool.clone());
        }
        // A pool that this group has renamed doesn't answer to its old name.
        let pool = self.table.pool(key_or_name)?;
        (!self.pools.contains_key(&pool.key)).then_some(pool)
    }

    fn number(&self, x: Tel) -> Option<Arc<Number>> {
        self.numbers.get(&x).cloned().or_else(|| self.table.number(x))
    }

    fn binding(&self, id: Id) -> Option<Arc<Binding>> {
        self.bindings.get(&id).cloned().or_else(|| self.table.binding(id))
    }

    fn known_pool(&self, pool: &str) -> Result<Arc<Pool>, Refused> {
        self.pool(pool)
            .ok_or_else(|| Refused::UnknownPool { pool: pool.into() })
    }

    fn own_number(&self, x: VirtualNumber) -> Result<Arc<Number>, Refused> {
        self.number(x.tel())
            .filter(|number| number.is_ours())
            .ok_or(Refused::UnknownNumber { x })
    }

    fn live_binding(&self, id: Id, now: Wall) -> Result<Arc<Binding>, Refused> {
        let binding = self.binding(id).ok_or(Refused::UnknownBinding { id })?;
        if binding.is_over(now) {
            return Err(Refused::BindingEnded { id });
        }
        Ok(binding)
    }

    fn check_account(&self, account: &str) -> Result<(), Refused> {
        match self.account(account).map(|account| account.standing) {
            Some(Standing::Suspended) => Err(Refused::AccountSuspended {
                account: account.into(),
            }),
            Some(Standing::Active) | None => Ok(()),
        }
    }

    /// The bindings that have `x` as X or Y and count, oldest first.
    fn live_on(&self, x: VirtualNumber, now: Wall) -> Vec<Id> {
        let open = self.table.open_on(x.tel(), None, usize::MAX);
        let mut ids: BTreeSet<Id> = open.into_iter().collect();
        ids.extend(self.pending_on(x));
        let is_live = |id: &Id| self.binding(*id).is_some_and(|binding| !binding.is_over(now));
        ids.into_iter().filter(is_live).collect()
    }

    fn pending_on(&self, x: VirtualNumber) -> impl Iterator<Item = Id> + '_ {
        let pending = self.on_number.range((x.tel(), Id::from_bits(0))..);
        pending
            .take_while(move |(on, _)| *on == x.tel())
            .map(|(_, id)| *id)
    }
}

fn unchanged(written: Written) -> Planned {
    Planned {
        change: Change::default(),
        written,
    }
}

fn planned(record: Record, written: Written) -> Planned {
    let records = vec![record];
    Planned {
        change: Change { records },
        written,
    }
}

#[cfg(test)]
mod classes;
#[cfg(test)]
mod tests;
