//! Listings: pages of records in the order of their ids, and every record for a snapshot. Ids are
//! collected a few at a time and the records read one by one, so that neither a call nor the writer waits.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use super::binding::Binding;
use super::change::Record;
use super::group::{Group, GroupId};
use super::inventory::{Account, Class, Number, NumberState, Pool};
use super::recording::Keeping;
use super::shelf::{Level, Usage};
use super::table::{Index, Table};
use crate::base::id::Id;
use crate::base::limits::{PAGE_MAX, PAGE_SCAN_MAX};
use crate::base::number::{Kind, RealNumber, Tel, VirtualNumber};
use crate::base::time::Wall;

/// Ids that are collected at a time.
const CHUNK: usize = 512;

/// One page of a listing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T, C> {
    /// The rows. Fewer than asked for doesn't mean the end.
    pub items: Vec<T>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<C>,
}

/// Which bindings by their state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Living {
    /// Those that count.
    #[default]
    Live,
    /// Those that are over and still kept.
    Ended,
    /// Both.
    All,
}

/// Which bindings; what is `None` matches all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BindingFilter {
    /// On this number.
    pub x: Option<VirtualNumber>,
    /// With this Y.
    pub y: Option<VirtualNumber>,
    /// With this A.
    pub a: Option<RealNumber>,
    /// With this B.
    pub b: Option<RealNumber>,
    /// Of this account.
    pub account: Option<Box<str>>,
    /// With these user data.
    pub user_data: Option<Box<str>>,
    /// With this order id.
    pub order_id: Option<Box<str>>,
    /// Live, ended, or both.
    pub living: Living,
}

impl BindingFilter {
    fn takes(&self, binding: &Binding, now: Wall) -> bool {
        let living = match self.living {
            Living::Live => !binding.is_over(now),
            Living::Ended => binding.is_over(now),
            Living::All => true,
        };
        living
            && self.x.is_none_or(|x| binding.x == x)
            && self.a.is_none_or(|a| binding.parties.a() == Some(a))
            && self.b.is_none_or(|b| binding.parties.b() == Some(b))
            && self.y.is_none_or(|y| binding.parties.y() == Some(y))
            && self
                .account
                .as_ref()
                .is_none_or(|account| binding.account() == &**account)
            && (self.user_data.is_none() || binding.terms.rare().user_data == self.user_data)
            && (self.order_id.is_none() || binding.terms.rare().order_id == self.order_id)
    }

    /// The ids after `after` that can match, by the narrowest order there is.
    fn ids(&self, index: &Index, after: Option<Id>, max: usize) -> Vec<Id> {
        if let Some(party) = self.a.or(self.b) {
            return ids_of(&index.of_party, party.key(), after, max);
        }
        if let Some(number) = self.x.or(self.y) {
            let mut ids = ids_of(&index.open_on, number.tel(), after, max);
            ids.extend(ids_of(&index.ended_on, number.tel(), after, max));
            ids.sort_unstable();
            ids.truncate(max);
            return ids;
        }
        let ids = index
            .bindings
            .range((after.map_or(Unbounded, Excluded), Unbounded));
        ids.take(max).copied().collect()
    }
}

/// The ids that stand with `key`, after `after`.
fn ids_of<K: Ord + Copy>(set: &BTreeSet<(K, Id)>, key: K, after: Option<Id>, max: usize) -> Vec<Id> {
    let from = after.map_or(Included((key, Id::from_bits(0))), |id| Excluded((key, id)));
    let ids = set.range((from, Unbounded)).take_while(|(of, _)| *of == key);
    ids.take(max).map(|(_, id)| *id).collect()
}

/// Which numbers by their state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NumberWish {
    /// All but released ones.
    #[default]
    Ours,
    /// Those that are not in service yet.
    Inventory,
    /// Those in service.
    Active,
    /// Those in service without a binding.
    Idle,
    /// Those in service with one.
    Bound,
    /// Locked ones.
    Locked,
    /// Frozen ones, whatever for.
    Frozen,
    /// Released ones.
    Released,
}

/// Which numbers; what is `None` matches all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NumberFilter {
    /// Of the pool with this key.
    pub pool: Option<Box<str>>,
    /// Of this city.
    pub city: Option<Box<str>>,
    /// That name this trunk.
    pub trunk: Option<Box<str>>,
    /// In this state.
    pub state: NumberWish,
}

impl NumberFilter {
    fn takes(&self, number: &Number, table: &Table) -> bool {
        let is_idle = || table.open_on(number.x.tel(), None, 1).is_empty();
        let state = match (self.state, number.state) {
            (NumberWish::Ours, state) => state != NumberState::Released,
            (NumberWish::Inventory, NumberState::Inventory)
            | (NumberWish::Active, NumberState::Active)
            | (NumberWish::Locked, NumberState::Locked)
            | (NumberWish::Frozen, NumberState::Frozen(_))
            | (NumberWish::Released, NumberState::Released) => true,
            (NumberWish::Idle, NumberState::Active) => is_idle(),
            (NumberWish::Bound, NumberState::Active) => !is_idle(),
            (
                NumberWish::Inventory
                | NumberWish::Active
                | NumberWish::Idle
                | NumberWish::Bound
                | NumberWish::Locked
                | NumberWish::Frozen
                | NumberWish::Released,
                _,
            ) => false,
        };
        state
            && self.pool.as_ref().is_none_or(|pool| number.pool == *pool)
            && (self.city.is_none() || number.city == self.city)
            && self
                .trunk
                .as_ref()
                .is_none_or(|trunk| number.trunks.contains(trunk))
    }
}

impl Table {
    /// Bindings in the order of their ids (oldest first), after `cursor`; at most `limit` and
    /// [`PAGE_MAX`]. One page looks at no more than [`PAGE_SCAN_MAX`] records: it may be short, or empty,
    /// and still name a next one.
    pub fn bindings(
        &self,
        filter: &BindingFilter,
        now: Wall,
        cursor: Option<Id>,
        limit: usize,
    ) -> Page<Arc<Binding>, Id> {
        let limit = limit.clamp(1, PAGE_MAX);
        let (mut items, mut last, mut looked_at) = (Vec::new(), cursor, 0);
        while looked_at < PAGE_SCAN_MAX {
            let ids = filter.ids(&self.index(), last, CHUNK);
            if ids.is_empty() {
                return Page { items, next: None };
            }
            looked_at += ids.len();
            for id in ids {
                if items.len() == limit {
                    return Page { items, next: last };
                }
                last = Some(id);
                items.extend(self.binding(id).filter(|binding| filter.takes(binding, now)));
            }
        }
        Page { items, next: last }
    }

    /// Numbers in numeric order, after `cursor`; bounded like [`Table::bindings`].
    pub fn numbers(
        &self,
        filter: &NumberFilter,
        cursor: Option<Tel>,
        limit: usize,
    ) -> Page<Arc<Number>, Tel> {
        let limit = limit.clamp(1, PAGE_MAX);
        let (mut items, mut last, mut looked_at) = (Vec::new(), cursor, 0);
        while looked_at < PAGE_SCAN_MAX {
            let xs = self.number_ids(last);
            if xs.is_empty() {
                return Page { items, next: None };
            }
            looked_at += xs.len();
            for x in xs {
                if items.len() == limit {
                    return Page { items, next: last };
                }
                last = Some(x);
                items.extend(self.number(x).filter(|number| filter.takes(number, self)));
            }
        }
        Page { items, next: last }
    }

    /// Pools in the order of their keys, after `cursor`; at most `limit` and [`PAGE_MAX`].
    pub fn pools(&self, cursor: Option<&str>, limit: usize) -> Page<Arc<Pool>, Box<str>> {
        let limit = limit.clamp(1, PAGE_MAX);
        let index = self.index();
        let mut rest = index
            .pools
            .range::<str, _>((cursor.map_or(Unbounded, Excluded), Unbounded))
            .map(|(_, pool)| pool.clone());
        let items: Vec<_> = rest.by_ref().take(limit).collect();
        let next = rest
            .next()
            .and_then(|_| items.last().map(|pool| pool.key.clone()));
        Page { items, next }
    }

    /// Accounts in the order of their names, after `cursor`; at most `limit` and [`PAGE_MAX`].
    pub fn accounts(&self, cursor: Option<&str>, limit: usize) -> Page<Arc<Account>, Box<str>> {
        let limit = limit.clamp(1, PAGE_MAX);
        let names = self.account_names(cursor, limit + 1);
        let next = (names.len() > limit)
            .then(|| names.get(limit - 1).cloned())
            .flatten();
        let items = names.iter().take(limit).filter_map(|name| self.account(name));
        Page {
            items: items.collect(),
            next,
        }
    }

    /// What accounts say about how long their recordings are kept, of those that say something.
    pub fn recordings_kept(&self) -> Vec<(Box<str>, Keeping)> {
        let (mut kept, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.accounts(cursor.as_deref(), PAGE_MAX);
            let saying = page
                .items
                .iter()
                .filter(|account| account.kept != Keeping::default());
            kept.extend(saying.map(|account| (account.name.clone(), account.kept)));
            match page.next {
                Some(next) => cursor = Some(next),
                None => return kept,
            }
        }
    }

    /// How many days the law has the records of all calls kept, for a number that is here, if it says.
    pub fn kept_at_least_days(&self) -> Option<u32> {
        let bounds = ["700000000000000", "700999999999999"].map(|digits| Tel::new(Kind::Service, digits));
        let [Some(first), Some(last)] = bounds else {
            return None;
        };
        // They stand together in the order of numbers.
        let index = self.index();
        let mut numbers = index.numbers.range(first..=last);
        numbers.find_map(|x| Class::of(*x).kept_at_least_days())
    }

    /// Groups that nobody has removed, in the order of their ids, after `cursor`; bounded like [`Table::bindings`].
    /// Of one pool (by its key), if one is named.
    pub fn groups(
        &self,
        pool: Option<&str>,
        cursor: Option<GroupId>,
        limit: usize,
    ) -> Page<Arc<Group>, GroupId> {
        let limit = limit.clamp(1, PAGE_MAX);
        let (mut items, mut last, mut looked_at) = (Vec::new(), cursor, 0);
        while looked_at < PAGE_SCAN_MAX {
            let ids = self.groups.ids(last, CHUNK);
            if ids.is_empty() {
                return Page { items, next: None };
            }
            looked_at += ids.len();
            for id in ids {
                if items.len() == limit {
                    return Page { items, next: last };
                }
                last = Some(id);
                let is_wanted = |group: &Arc<Group>| {
                    group.ended.is_none() && pool.is_none_or(|pool| &*group.pool == pool)
                };
                items.extend(self.group(id).filter(is_wanted));
            }
        }
        Page { items, next: last }
    }

    /// The groups of that name that nobody has removed, in whichever pools.
    pub fn groups_named(&self, name: &str) -> Vec<GroupId> {
        self.groups.all_named(name)
    }

    /// How a pool's numbers are used, and those of each of its cities.
    pub fn usage(&self, pool: &str) -> (Usage, BTreeMap<Box<str>, Usage>) {
        self.index().shelves.usage(pool)
    }

    /// Ended bindings of a pool whose keys rest.
    pub fn quarantined(&self, pool: &Pool, now: Wall) -> usize {
        let lasts = self.quarantine(Some(pool), pool.mode).lasts;
        let lasts = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
        let since = Wall::from_millis(now.as_millis().saturating_sub(lasts));
        self.index().resting.ended_after(&pool.key, since)
    }

    /// The names of the pools that have not enough left.
    pub fn low_pools(&self) -> Vec<Box<str>> {
        let index = self.index();
        let low = index
            .pools
            .values()
            .filter(|pool| index.shelves.level(&pool.key).is_low());
        low.map(|pool| pool.name.clone()).collect()
    }

    /// Whether a pool has enough left.
    pub fn level(&self, pool: &str) -> Level {
        self.index().shelves.level(pool)
    }

    /// Bindings that have `x` as X or Y and count at `now`: whether it is idle or in use.
    pub fn bindings_on(&self, x: VirtualNumber, now: Wall) -> usize {
        let open = self.open_on(x.tel(), None, usize::MAX);
        let live = open.iter().filter_map(|id| self.binding(*id));
        live.filter(|binding| !binding.is_over(now)).count()
    }

    /// Every record, while writing goes on: one that is there from beginning to end comes exactly once, in
    /// some version of that time. Together with the changes after the sequence number read *before* the
    /// iteration began, they are the table.
    pub fn records(&self) -> Records<'_> {
        Records {
            table: self,
            stage: Stage::Accounts(None),
            chunk: Vec::new().into_iter(),
        }
    }

    fn account_names(&self, after: Option<&str>, max: usize) -> Vec<Box<str>> {
        let index = self.index();
        let names = index
            .accounts
            .range::<str, _>((after.map_or(Unbounded, Excluded), Unbounded));
        names.take(max).cloned().collect()
    }

    fn number_ids(&self, after: Option<Tel>) -> Vec<Tel> {
        let index = self.index();
        let ids = index
            .numbers
            .range((after.map_or(Unbounded, Excluded), Unbounded));
        ids.take(CHUNK).copied().collect()
    }
}

/// See [`Table::records`].
pub struct Records<'t> {
    table: &'t Table,
    stage: Stage,
    chunk: std::vec::IntoIter<Record>,
}

/// Which records come next, after which one.
enum Stage {
    Accounts(Option<Box<str>>),
    Pools(Option<Box<str>>),
    Numbers(Option<Tel>),
    Bindings(Option<Id>),
    Callees(Option<Id>),
    Groups(Option<GroupId>),
    Members(Option<(GroupId, u64)>),
    Lasts(Option<Id>),
    Done,
}

impl Records<'_> {
    /// Reads the next chunk; a stage without more gives way to the next.
    fn refill(&mut self) {
        let table = self.table;
        let records: Vec<Record>;
        (records, self.stage) = match &self.stage {
            Stage::Accounts(after) => {
                let names = table.account_names(after.as_deref(), CHUNK);
                let next = names.last().cloned();
                let accounts = names.iter().filter_map(|name| table.account(name));
                (
                    accounts.map(|a| Record::Account((*a).clone())).collect(),
                    next.map_or(Stage::Pools(None), |name| Stage::Accounts(Some(name))),
                )
            }
            Stage::Pools(after) => {
                let page = table.pools(after.as_deref(), CHUNK);
                let next = page
                    .next
                    .map_or(Stage::Numbers(None), |key| Stage::Pools(Some(key)));
                let pools = page.items.iter().map(|p| Record::Pool((**p).clone()));
                (pools.collect(), next)
            }
            Stage::Numbers(after) => {
                let ids = table.number_ids(*after);
                let next = ids.last().copied();
                let numbers = ids.iter().filter_map(|x| table.number(*x));
                (
                    numbers.map(|n| Record::Number((*n).clone())).collect(),
                    next.map_or(Stage::Bindings(None), |x| Stage::Numbers(Some(x))),
                )
            }
            Stage::Bindings(after) => {
                let ids = BindingFilter::default().ids(&table.index(), *after, CHUNK);
                let next = ids.last().copied();
                let bindings = ids.iter().filter_map(|id| table.binding(*id));
                (
                    bindings.map(|b| Record::Binding((*b).clone())).collect(),
                    next.map_or(Stage::Callees(None), |id| Stage::Bindings(Some(id))),
                )
            }
            Stage::Callees(after) => {
                let callees = table.callees.kept_after(*after, CHUNK);
                let next = callees.last().map(|callee| callee.binding);
                (
                    callees.into_iter().map(Record::Callee).collect(),
                    next.map_or(Stage::Groups(None), |id| Stage::Callees(Some(id))),
                )
            }
            Stage::Groups(after) => {
                let ids = table.groups.ids(*after, CHUNK);
                let next = ids.last().copied();
                let groups = ids.iter().filter_map(|id| table.group(*id));
                (
                    groups.map(|group| Record::Group((*group).clone())).collect(),
                    next.map_or(Stage::Members(None), |id| Stage::Groups(Some(id))),
                )
            }
            Stage::Members(after) => {
                let members = table.groups.all_after(*after, CHUNK);
                let next = members.last().map(|member| (member.group, member.number.key()));
                (
                    members.into_iter().map(Record::Member).collect(),
                    next.map_or(Stage::Lasts(None), |last| Stage::Members(Some(last))),
                )
            }
            Stage::Lasts(after) => {
                let lasts = table.lasts.durable_after(*after, CHUNK);
                let next = lasts.last().map(|last| last.binding);
                (
                    lasts.into_iter().map(Record::Last).collect(),
                    next.map_or(Stage::Done, |id| Stage::Lasts(Some(id))),
                )
            }
            Stage::Done => (Vec::new(), Stage::Done),
        };
        self.chunk = records.into_iter();
    }
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            if let Some(record) = self.chunk.next() {
                return Some(record);
            }
            if matches!(self.stage, Stage::Done) {
                return None;
            }
            self.refill();
        }
    }
}

#[cfg(test)]
mod tests;
