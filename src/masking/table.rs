//! The live map: every rule and record in memory, shared by the SIP shards, who read, and the one writer,
//! who alone applies changes.
//!
//! A look-up takes one shard's lock for the time of a copy, never two at once. A reader sees a binding
//! through its one record, which is replaced whole: rules are created before the record that they point to,
//! and the record is removed before them, so there is no half of a binding.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use ahash::RandomState;
use dashmap::DashMap;
use smallvec::SmallVec;

use super::binding::{Binding, Home, Mode, Party};
use super::callee::{Callee, Callees};
use super::change::{Change, Record};
use super::group::GroupId;
use super::inventory::{Account, Number, Pool, Standing};
use super::last::{Last, Lasts};
use super::members::Groups;
use super::mode;
use super::quarantine::{self, Quarantine, Resting};
use super::recording::Wish;
use super::rule::{Key, Rule, Rules, Who};
use super::seats::{Seat, Seats};
use super::shelves::Shelves;
use crate::base::id::Id;
use crate::base::language::Language;
use crate::base::limits::{CHOICE_PROBES, QUARANTINE_LIMIT_MAX};
use crate::base::number::{RealNumber, Tel, VirtualNumber};
use crate::base::time::Wall;

/// Bindings for which room is made before they are there.
const ROOM_MAX: u64 = 16_000_000;

/// Open bindings of a number that are looked at in one go.
const OPEN_CHUNK: usize = 16;

/// The versions of one binding, oldest first. Each counts until the next one's `since`.
type History = SmallVec<[Arc<Binding>; 1]>;

/// The state of the law: accounts, pools, numbers, bindings and their rules.
pub struct Table {
    rules: DashMap<Key, Rules, RandomState>,
    records: DashMap<Id, History, RandomState>,
    numbers: DashMap<Tel, Arc<Number>, RandomState>,
    accounts: DashMap<Box<str>, Arc<Account>, RandomState>,
    pub(super) callees: Callees,
    pub(super) lasts: Lasts,
    pub(super) seats: Arc<Seats>,
    pub(super) groups: Groups,
    quarantine: RwLock<quarantine::Config>,
    /// What no call needs: orders and sets for the writer and for listings.
    index: RwLock<Index>,
    seq: AtomicU64,
}

/// Ordered views of the newest records.
#[derive(Default)]
pub(super) struct Index {
    pub(super) accounts: BTreeSet<Box<str>>,
    pub(super) pools: BTreeMap<Box<str>, Arc<Pool>>,
    pool_names: BTreeMap<Box<str>, Box<str>>,
    pub(super) numbers: BTreeSet<Tel>,
    /// Numbers of ours, by pool, for the choice of X.
    pub(super) shelves: Shelves,
    /// What bindings share: one copy of each.
    homes: BTreeSet<Arc<Home>>,
    pub(super) bindings: BTreeSet<Id>,
    /// Those that nobody has ended yet, by each virtual number that they have, X and Y.
    pub(super) open_on: BTreeSet<(Tel, Id)>,
    /// Those that have ended, likewise.
    pub(super) ended_on: BTreeSet<(Tel, Id)>,
    /// Those that nobody has ended yet, by their group.
    of_group: BTreeSet<(GroupId, Id)>,
    /// Those that nobody has ended yet, by the real number that a virtual one stands for and that has it
    /// for himself: A and X in AX; A and X, B and Y in AXYB.
    own: BTreeSet<(u64, u64, Id)>,
    /// By real number, newest version only.
    pub(super) of_party: BTreeSet<(u64, Id)>,
    /// Not ended yet, by expiry; those that never expire are not here.
    due: BTreeSet<(Wall, Id)>,
    /// Ended, by when.
    ended: BTreeSet<(Wall, Id)>,
    /// By number: the binding whose extension behind it was freed last, and when.
    freed: BTreeMap<Tel, (Wall, Id)>,
    pub(super) resting: Resting,
    resting_limit: usize,
}

/// A rule, judged as of an attempt's arrival: by which binding, as whom.
pub(super) enum AsOf {
    /// The caller is a party.
    Live(Arc<Binding>, Party),
    /// The caller was one.
    Past(Arc<Binding>, Party),
}

/// How much there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Accounts.
    pub accounts: usize,
    /// Pools.
    pub pools: usize,
    /// Numbers, released ones left out.
    pub numbers: usize,
    /// Bindings that nobody has ended.
    pub bindings_live: usize,
    /// Ended bindings that are still kept.
    pub bindings_ended: usize,
    /// Groups.
    pub groups: usize,
    /// Members of groups, each as often as he is one.
    pub members: usize,
    /// Keys that have a rule, live or past.
    pub rules: usize,
    /// Ended bindings whose keys may rest.
    pub resting: usize,
    /// How many of those went early, because a pool had more than the limit.
    pub rested_short: u64,
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    /// A table with nothing but the default account and its default pool.
    pub fn new() -> Self {
        Self::with_room(0)
    }

    /// The same, with room for so many bindings (at most 16 million are believed): filling it doesn't move
    /// what is in it already again and again.
    pub fn with_room(bindings: u64) -> Self {
        let room = bindings.min(ROOM_MAX) as usize;
        // The hashers' seeds are the crate's own; no result depends on the order of a hash map.
        let table = Self {
            // Two rules a binding.
            rules: DashMap::with_capacity_and_hasher(2 * room, RandomState::default()),
            records: DashMap::with_capacity_and_hasher(room, RandomState::default()),
            numbers: DashMap::default(),
            accounts: DashMap::default(),
            callees: Callees::default(),
            lasts: Lasts::default(),
            seats: Arc::default(),
            groups: Groups::default(),
            quarantine: RwLock::default(),
            index: RwLock::default(),
            seq: AtomicU64::new(0),
        };
        // Until the conf says how many may rest, those that are loaded all do.
        table.set_quarantine(quarantine::Config {
            limit: QUARANTINE_LIMIT_MAX as usize,
            ..quarantine::Config::default()
        });
        table.load(&Record::Account(Account::default_account()));
        table.load(&Record::Pool(Pool::default_pool()));
        table
    }

    /// Sets the quarantines of pools that have none of their own, from now on.
    pub fn set_quarantine(&self, config: quarantine::Config) {
        *self.quarantine.write().unwrap_or_else(PoisonError::into_inner) = config;
        self.change_index(|index| {
            index.resting_limit = config.limit;
            index.resting.trim(config.limit);
        });
    }

    /// Applies a durable change. `seq` counts changes from 1; one that the table has seen is passed over.
    /// Only the writer calls this, in the order of `seq`.
    pub fn apply(&self, seq: u64, change: &Change) {
        if seq <= self.seq() {
            return;
        }
        for record in &change.records {
            self.load(record);
        }
        self.seq.store(seq, Ordering::Release);
    }

    /// Takes over one record of a snapshot or the disk store, unless a newer version of it is here.
    /// When all are loaded, [`Table::loaded`] says which changes they hold; the log's tail then goes
    /// through [`Table::apply`].
    pub fn load(&self, record: &Record) {
        match record {
            Record::Account(account) => self.put_account(account),
            Record::Pool(pool) => self.put_pool(pool),
            Record::Number(number) => self.put_number(number),
            Record::Binding(binding) => self.put_binding(binding),
            Record::Forget(id) => self.forget(*id),
            Record::Callee(callee) => self.callees.put(callee),
            Record::CalleeGone(id) => self.callees.remove(*id),
            Record::Group(group) => self.groups.put(group),
            Record::GroupGone(id) => self.groups.remove(*id),
            Record::Member(member) => self.groups.put_member(member),
            Record::MemberGone(group, number) => self.groups.remove_member(*group, *number),
            Record::Last(last) => self.lasts.put(last),
            Record::LastGone(id) => self.lasts.remove(*id),
        }
    }

    /// Declares that the loaded records hold every change up to `seq`.
    pub fn loaded(&self, seq: u64) {
        self.seq.fetch_max(seq, Ordering::AcqRel);
    }

    /// The sequence number of the last change applied; 0 before the first.
    pub fn seq(&self) -> u64 {
        self.seq.load(Ordering::Acquire)
    }

    /// The newest version of a binding, live or ended.
    pub fn binding(&self, id: Id) -> Option<Arc<Binding>> {
        self.records.get(&id).and_then(|history| history.last().cloned())
    }

    /// The temporary callee of a binding, if one was named and nobody has used it.
    pub fn callee(&self, id: Id) -> Option<Callee> {
        self.callees.named(id)
    }

    /// The seat of a call that goes on from a process before this one, by the number that was dialled and who called.
    /// It had its seat already: no limit keeps it out.
    pub fn seat_again(&self, x: VirtualNumber, caller: Option<RealNumber>) -> Seat {
        self.seats.take_again(x.tel(), caller)
    }

    /// Calls that hold a [`Seat`] at this moment, in all shards.
    pub fn calls_at_once(&self) -> usize {
        self.seats.calls()
    }

    /// Gives back the temporary callee of an attempt that its callee's side failed before it rang.
    pub fn give_back(&self, callee: &Callee) {
        self.callees.give_back(callee);
    }

    /// Temporary callees whose time is over, at most `max`: for the writer, as
    /// [`Write::ClearCallee`](super::request::Write::ClearCallee).
    pub fn callees_due(&self, now: Wall, max: usize) -> Vec<Callee> {
        self.callees.due(now, max)
    }

    /// Last callers that the disk doesn't hold yet, at most `max`: for the writer, as
    /// [`Write::KeepLast`](super::request::Write::KeepLast).
    pub fn lasts_unwritten(&self, max: usize) -> Vec<Last> {
        self.lasts.unwritten(max)
    }

    /// Last callers whose time is over, at most `max`: for the writer, as
    /// [`Write::KeepLast`](super::request::Write::KeepLast), which forgets them.
    pub fn lasts_due(&self, now: Wall, max: usize) -> Vec<Last> {
        self.lasts.due(now, max)
    }

    /// A number's record. A released number has one too: ask [`Number::is_ours`].
    pub fn number(&self, x: Tel) -> Option<Arc<Number>> {
        self.numbers.get(&x).map(|number| number.clone())
    }

    /// Whether this is a number of ours (and not a released one).
    pub fn is_ours(&self, tel: Tel) -> bool {
        self.numbers.get(&tel).is_some_and(|number| number.is_ours())
    }

    /// A pool, by key or name.
    pub fn pool(&self, key_or_name: &str) -> Option<Arc<Pool>> {
        let index = self.index();
        index
            .pools
            .get(key_or_name)
            .or_else(|| index.pools.get(index.pool_names.get(key_or_name)?))
            .cloned()
    }

    /// An account, by name.
    pub fn account(&self, name: &str) -> Option<Arc<Account>> {
        self.accounts.get(name).map(|account| account.clone())
    }

    /// What a pool's prompts are spoken in, or else its account's; `None`: neither says.
    pub fn language(&self, pool: Option<&str>, account: &str) -> Option<Language> {
        let of_pool = pool.and_then(|pool| self.pool(pool)?.language);
        of_pool.or_else(|| self.account(account)?.language)
    }

    /// What a pool and its account want of recordings.
    pub fn recording(&self, pool: Option<&str>, account: &str) -> Wish {
        let of_pool = pool.and_then(|pool| Some(self.pool(pool)?.recording));
        let of_account = self.account(account).map(|account| account.recording);
        of_pool.unwrap_or_default().or(of_account.unwrap_or_default())
    }

    /// How much there is.
    pub fn counts(&self) -> Counts {
        let index = self.index();
        let (resting, rested_short) = index.resting.counts();
        let (groups, members) = self.groups.counts();
        Counts {
            groups,
            members,
            resting,
            rested_short,
            rules: self.rules.len(),
            accounts: index.accounts.len(),
            pools: index.pools.len(),
            numbers: index.shelves.numbers(),
            bindings_live: index.bindings.len() - index.ended.len(),
            bindings_ended: index.ended.len(),
        }
    }

    /// Bindings whose expiry has come and that nobody has ended, at most `max`, the longest due first:
    /// for the writer, as [`Write::Expire`](super::request::Write::Expire). Routing doesn't wait for it.
    pub fn due(&self, now: Wall, max: usize) -> Vec<Id> {
        let index = self.index();
        let due = index.due.iter().take_while(|(at, _)| *at <= now);
        due.take(max).map(|(_, id)| *id).collect()
    }

    /// The newest stamp that any binding bears; the epoch if there is none. A clock that shows less was set back.
    pub fn newest_stamp(&self) -> Wall {
        let records = self.records.iter();
        let stamps = records.flat_map(|record| {
            let newest = record.last()?;
            let ended = newest.ended.map_or(newest.since, |(at, _)| at);
            Some(newest.created.max(newest.since).max(ended))
        });
        stamps.max().unwrap_or_default()
    }

    /// Bindings that ended before `before`, at most `max`, the longest ended first.
    pub(super) fn ended_before(&self, before: Wall, max: usize) -> Vec<Id> {
        let index = self.index();
        let ended = index.ended.iter().take_while(|(at, _)| *at < before);
        ended.take(max).map(|(_, id)| *id).collect()
    }

    /// A copy of a key's rules.
    pub(super) fn rules(&self, key: Key) -> Rules {
        self.rules
            .get(&key)
            .map(|rules| rules.clone())
            .unwrap_or_default()
    }

    /// What a rule meant at `arrived`: `None` if its binding did not exist then, or doesn't now.
    pub(super) fn judge(&self, key: Key, rule: Rule, arrived: Wall) -> Option<AsOf> {
        // Read under the shard's lock, by functions that know no table: only the version that counts is copied.
        let history = self.records.get(&rule)?;
        let at = history.iter().rposition(|version| version.since <= arrived)?;
        let (older, current) = (history.get(..at)?, history.get(at)?);
        if let Some(party) = mode::caller(current, key) {
            return Some(if arrived < current.until() {
                AsOf::Live(current.clone(), party)
            } else {
                AsOf::Past(current.clone(), party)
            });
        }
        // The caller was replaced by an update.
        let mut former = older.iter().rev();
        former.find_map(|version| Some(AsOf::Past(version.clone(), mode::caller(version, key)?)))
    }

    /// How the keys of an ended binding rest, on a number that is in this pool now.
    pub(super) fn quarantine(&self, pool: Option<&Pool>, mode: Mode) -> Quarantine {
        let config = self.quarantine.read().unwrap_or_else(PoisonError::into_inner);
        config.of(pool, mode)
    }

    /// Whether the keys of an ended binding may rest at all: not if its pool had too many.
    pub(super) fn may_rest(&self, binding: &Binding) -> bool {
        // What nobody has written down yet ended a moment ago.
        binding
            .ended
            .is_none_or(|(at, _)| self.index().resting.holds(binding.pool(), at, binding.id))
    }

    /// If the key by which `party` of an ended binding called rests at `at`: whom he reached by it.
    pub(super) fn rests(
        &self,
        number: &Number,
        binding: &Binding,
        party: Party,
        at: Wall,
    ) -> Option<Option<RealNumber>> {
        let pool = self.pool(&number.pool);
        let quarantine = self.quarantine(pool.as_deref(), binding.mode());
        let rests = at < binding.until().plus(quarantine.lasts) && self.may_rest(binding);
        rests.then(|| mode::peer(binding, party))
    }

    /// A live binding at `arrived` by which `caller`, who dials `dialled`, would call himself.
    pub(super) fn own_line(&self, dialled: Tel, caller: Tel, arrived: Wall) -> Option<Arc<Binding>> {
        let person = RealNumber::new(caller);
        let mut after = (dialled.bits(), Id::from_bits(0));
        // Nearly always the first is live.
        loop {
            after = self.own_next(person, after)?;
            if after.0 != dialled.bits() {
                return None;
            }
            let is_his = |binding: &Arc<Binding>| {
                binding.counts_at(arrived) && mode::stands_for(binding, dialled) == Some(person)
            };
            if let Some(binding) = self.binding(after.1).filter(is_his) {
                return Some(binding);
            }
        }
    }

    /// Bindings that count at `arrived` and in which `number` stands for `person`, oldest first.
    pub(super) fn owned_at(&self, person: RealNumber, number: Tel, arrived: Wall) -> Vec<Arc<Binding>> {
        let own = self.own_on(person, number).into_iter();
        own.filter_map(|id| self.as_of(id, arrived))
            .filter(|binding| binding.parties.a() == Some(person))
            .collect()
    }

    /// Open bindings in which `number` stands for `person`.
    pub(super) fn own_on(&self, person: RealNumber, number: Tel) -> Vec<Id> {
        let (who, on) = (person.key(), number.bits());
        let all = (who, on, Id::from_bits(0))..=(who, on, Id::from_bits(u128::MAX));
        self.index().own.range(all).map(|(.., id)| *id).collect()
    }

    /// The binding whose extension behind a number was freed last.
    pub(super) fn last_freed(&self, number: Tel) -> Option<Id> {
        self.index().freed.get(&number).map(|(_, id)| *id)
    }

    /// Whether a binding on the number counts at `arrived` and hasn't ended since.
    pub(super) fn any_open_at(&self, number: Tel, arrived: Wall) -> bool {
        let mut after = None;
        // As good as always the first is one.
        loop {
            let ids = self.open_on(number, after, OPEN_CHUNK);
            let Some(last) = ids.last() else { return false };
            after = Some(*last);
            if ids.into_iter().any(|id| self.as_of(id, arrived).is_some()) {
                return true;
            }
        }
    }

    /// The version of a binding that counts at `arrived`, if one does.
    fn as_of(&self, id: Id, arrived: Wall) -> Option<Arc<Binding>> {
        let history = self.records.get(&id)?;
        let version = history.iter().rfind(|version| version.since <= arrived)?;
        (arrived < version.until()).then(|| version.clone())
    }

    /// Whether an account's calls and bindings are refused.
    pub(super) fn is_suspended(&self, account: &str) -> bool {
        self.accounts
            .get(account)
            .is_some_and(|account| match account.standing {
                Standing::Active => false,
                Standing::Suspended => true,
            })
    }

    /// Bindings that have the number as X or Y and that nobody has ended, after `after`.
    pub(super) fn open_on(&self, number: Tel, after: Option<Id>, max: usize) -> Vec<Id> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let index = self.index();
        let from = after.map_or(Included((number, Id::from_bits(0))), |id| Excluded((number, id)));
        let open = index.open_on.range((from, Unbounded));
        open.take_while(|(on, _)| *on == number)
            .take(max)
            .map(|(_, id)| *id)
            .collect()
    }

    /// The open binding after `after` (a number's bits and an id) in which a number stands for `person`.
    pub(super) fn own_next(&self, person: RealNumber, after: (u64, Id)) -> Option<(u64, Id)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let index = self.index();
        let mut own = index
            .own
            .range((Excluded((person.key(), after.0, after.1)), Unbounded));
        own.next()
            .filter(|(who, ..)| *who == person.key())
            .map(|(_, number, id)| (*number, *id))
    }

    /// The newest bindings with this person, live or ended, at most `max`, the oldest of them first.
    pub(super) fn newest_of(&self, person: RealNumber, max: usize) -> Vec<Id> {
        let index = self.index();
        let of = (person.key(), Id::from_bits(0))..=(person.key(), Id::from_bits(u128::MAX));
        index
            .of_party
            .range(of)
            .rev()
            .take(max)
            .map(|(_, id)| *id)
            .collect()
    }

    /// Lets the shelf know by bits on which numbers of a pool `caller` has keys, if they are many.
    pub(super) fn learn_crowd(&self, pool: &str, caller: RealNumber) {
        let ids: Vec<Id> = {
            let index = self.index();
            if index.shelves.knows(pool, caller) {
                return;
            }
            let of = index.of_party.range((caller.key(), Id::from_bits(0))..);
            of.take_while(|(party, _)| *party == caller.key())
                .map(|(_, id)| *id)
                .collect()
        };
        if ids.len() <= CHOICE_PROBES {
            return;
        }
        let mut taken = Vec::new();
        for binding in ids.into_iter().filter_map(|id| self.binding(id)) {
            if binding.ended.is_none() {
                let keys = mode::keys(&binding).into_iter();
                let his = keys.filter(|key| match key.caller {
                    Who::Number(tel) => caller.is(tel),
                    Who::Anyone | Who::Extension(_) | Who::Member(_) | Who::Whole => false,
                });
                taken.extend(his.map(|key| key.dialled));
            }
        }
        self.change_index(|index| index.shelves.learn(pool, caller, taken.into_iter()));
    }

    pub(super) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_index<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The virtual numbers that a binding has.
pub(super) fn numbers_of(binding: &Binding) -> impl Iterator<Item = Tel> + use<> {
    let y = binding.parties.y().map(VirtualNumber::tel);
    [Some(binding.x.tel()), y].into_iter().flatten()
}

mod groups;
mod put;
#[cfg(test)]
mod tests;
