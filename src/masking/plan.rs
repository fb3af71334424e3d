//! The law of writing: a write → the change that does it, or why not.
//!
//! The writer plans a group of writes one after another, makes their changes durable together, and only
//! then applies them. A [`Planner`] holds what the group has planned so far on top of the table, so that
//! two writes of one group see each other while nobody else sees either.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::binding::{Binding, Ended, Mode, Party};
use super::bounds::{
    change_terms, check_expiry, check_mode, check_name, check_pool_name, check_takes_bindings, check_terms,
};
use super::change::{Change, Record};
use super::inventory::{Account, DEFAULT_ACCOUNT, DEFAULT_POOL, Number, NumberState, Pool, Standing};
use super::mode;
use super::request::{
    BindRequest, DryRun, Field, OnConflict, Refused, Unbind, UpdateRequest, Write, Written, XChoice,
};
use super::rule::Key;
use super::table::Table;
use crate::base::chance::Chance;
use crate::base::id::Id;
use crate::base::limits::{AXB_PAIRS_PER_X, AXB_PAIRS_PER_X_MAX, ENDED_RULES_KEPT, TRUNKS_PER_NUMBER_MAX};
use crate::base::number::{RealNumber, Tel, VirtualNumber};
use crate::base::time::Wall;

/// Numbers of a pool that are tried at a time when the pool chooses X.
const PROBES: usize = 64;

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
            keys: BTreeMap::new(),
            on_x: BTreeSet::new(),
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
pub struct Planner<'t> {
    table: &'t Table,
    accounts: BTreeMap<Box<str>, Arc<Account>>,
    pools: BTreeMap<Box<str>, Arc<Pool>>,
    numbers: BTreeMap<Tel, Arc<Number>>,
    bindings: BTreeMap<Id, Arc<Binding>>,
    keys: BTreeMap<Key, SmallVec<[Id; 2]>>,
    on_x: BTreeSet<(Tel, Id)>,
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
            Write::SetAccount { name, standing } => self.set_account(name, *standing),
            Write::AddPool { name, mode, account } => self.add_pool(name, *mode, account.as_deref(), now),
            Write::SetPool {
                pool,
                name,
                axb_pairs_per_x,
            } => self.set_pool(pool, name.as_deref(), *axb_pairs_per_x),
            Write::AddNumber { x, pool, trunks } => self.add_number(*x, pool.as_deref(), trunks, now),
            Write::SetNumberState { x, state } => self.set_number_state(*x, *state, now),
            Write::ReleaseNumber { x } => self.set_number_state(*x, NumberState::Released, now),
            Write::Bind(request) => self.bind(request, now, chance),
            Write::Update(request) => self.update(request, now),
            Write::Unbind(Unbind::Id(id)) => self.unbind(*id, now),
            Write::Unbind(Unbind::X(x)) => self.unbind_all(*x, now),
            Write::Expire { id } => self.expire(*id, now),
        }?;
        self.absorb(&planned.change);
        Ok(planned)
    }

    /// Plans to forget bindings that ended before `before`, at most `max`; never one that ended less than
    /// [`ENDED_RULES_KEPT`] ago.
    pub fn forget_before(&mut self, before: Wall, now: Wall, max: usize) -> Change {
        let kept = i64::try_from(ENDED_RULES_KEPT.as_millis()).unwrap_or(i64::MAX);
        let youngest = Wall::from_millis(now.as_millis().saturating_sub(kept));
        let ids = self.table.ended_before(before.min(youngest), max);
        Change {
            records: ids.into_iter().map(Record::Forget).collect(),
        }
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
                    for (key, rule) in mode::rules(binding) {
                        let ids = self.keys.entry(key).or_default();
                        if !ids.contains(&rule.id()) {
                            ids.push(rule.id());
                        }
                    }
                    self.on_x.insert((binding.x.tel(), binding.id));
                    self.bindings.insert(binding.id, Arc::new(binding.clone()));
                }
                // No write of this group asks for a binding that ended so long ago.
                Record::Forget(_) => {}
            }
        }
    }

    // Accounts, pools, numbers.

    fn add_account(&self, name: &str, now: Wall) -> Result<Planned, Refused> {
        check_name(name)?;
        if self.account(name).is_some() {
            return Err(Refused::NameTaken { name: name.into() });
        }
        Ok(account_planned(Account {
            name: name.into(),
            version: 1,
            standing: Standing::Active,
            created: now,
        }))
    }

    fn set_account(&self, name: &str, standing: Standing) -> Result<Planned, Refused> {
        let account = self
            .account(name)
            .ok_or_else(|| Refused::UnknownAccount { account: name.into() })?;
        Ok(account_planned(Account {
            version: account.version.saturating_add(1),
            standing,
            ..(*account).clone()
        }))
    }

    fn add_pool(&self, name: &str, mode: Mode, account: Option<&str>, now: Wall) -> Result<Planned, Refused> {
        check_pool_name(name)?;
        let account = account.unwrap_or(DEFAULT_ACCOUNT);
        if self.account(account).is_none() {
            let account = account.into();
            return Err(Refused::UnknownAccount { account });
        }
        if self.pool(name).is_some() {
            return Err(Refused::NameTaken { name: name.into() });
        }
        let last = self.pools.keys().next_back().cloned();
        let last = last.max(self.table.index().pools.keys().next_back().cloned());
        Ok(pool_planned(Pool {
            key: Pool::key_after(&last.unwrap_or_default()),
            name: name.into(),
            mode,
            account: account.into(),
            version: 1,
            created: now,
            axb_pairs_per_x: AXB_PAIRS_PER_X,
        }))
    }

    fn set_pool(&self, pool: &str, name: Option<&str>, pairs: Option<usize>) -> Result<Planned, Refused> {
        let mut pool = (*self.known_pool(pool)?).clone();
        if let Some(name) = name {
            check_pool_name(name)?;
            if self.pool(name).is_some_and(|other| other.key != pool.key) {
                return Err(Refused::NameTaken { name: name.into() });
            }
            pool.name = name.into();
        }
        if let Some(pairs) = pairs {
            if !(1..=AXB_PAIRS_PER_X_MAX).contains(&pairs) {
                return Err(Refused::BoundsOf(Field::PairsPerX));
            }
            pool.axb_pairs_per_x = pairs;
        }
        pool.version = pool.version.saturating_add(1);
        Ok(pool_planned(pool))
    }

    fn add_number(
        &self,
        x: VirtualNumber,
        pool: Option<&str>,
        trunks: &[Box<str>],
        now: Wall,
    ) -> Result<Planned, Refused> {
        let pool = self.known_pool(pool.unwrap_or(DEFAULT_POOL))?;
        if trunks.len() > TRUNKS_PER_NUMBER_MAX || trunks.iter().any(|trunk| check_name(trunk).is_err()) {
            return Err(Refused::BoundsOf(Field::Trunks));
        }
        let known = self.number(x.tel());
        if known.as_ref().is_some_and(|number| number.is_ours()) {
            return Err(Refused::NumberExists { x });
        }
        Ok(number_planned(Number {
            x,
            pool: pool.key.clone(),
            account: pool.account.clone(),
            trunks: trunks.to_vec(),
            state: NumberState::Active,
            version: known.map_or(1, |released| released.version.saturating_add(1)),
            added: now,
        }))
    }

    fn set_number_state(&self, x: VirtualNumber, state: NumberState, now: Wall) -> Result<Planned, Refused> {
        let number = self.own_number(x)?;
        if number.state == state {
            return Ok(unchanged(Written::Number(number)));
        }
        match state {
            NumberState::Released => {
                if let Some(binding) = self.live_on(x, now).first().copied() {
                    return Err(Refused::NumberBound { x, binding });
                }
            }
            NumberState::Active | NumberState::Locked | NumberState::Frozen(_) => {}
        }
        Ok(number_planned(Number {
            state,
            version: number.version.saturating_add(1),
            ..(*number).clone()
        }))
    }

    // Bindings.

    fn bind(&self, request: &BindRequest, now: Wall, chance: &mut Chance) -> Result<Planned, Refused> {
        self.check_parties(request.a, request.b)?;
        check_terms(&request.terms)?;
        let expires = check_expiry(request.expires, now)?;
        let (number, pool) = match &request.x {
            XChoice::Given(x) => {
                let number = self.own_number(*x)?;
                let pool = self.known_pool(&number.pool)?;
                (number, pool)
            }
            XChoice::FromPool(pool) => {
                let pool = self.known_pool(pool)?;
                self.check_account(&pool.account)?;
                check_mode(&pool, request.mode)?;
                (self.choose(&pool, request, now)?, pool)
            }
        };
        self.check_account(&number.account)?;
        check_takes_bindings(&number)?;
        check_mode(&pool, request.mode)?;

        let mut since = now;
        for (key, party) in self.keys_of(request.mode, number.x, request.a, request.b) {
            let holder = self.holder(key, now, None);
            since = since.max(holder.free_from);
            if let Some(held) = holder.live {
                return self.already_bound(request, &held, party, expires, now);
            }
        }
        if self.is_full(number.x, pool.axb_pairs_per_x, now) {
            return Err(Refused::PairsFull {
                x: number.x,
                limit: pool.axb_pairs_per_x,
            });
        }
        let binding = Binding {
            id: Id::mint(now, chance),
            version: 1,
            mode: request.mode,
            account: number.account.clone(),
            pool: number.pool.clone(),
            x: number.x,
            a: request.a,
            b: request.b,
            terms: request.terms.clone(),
            created: now,
            since,
            expires,
            ended: None,
        };
        Ok(match request.dry_run {
            DryRun::Yes => unchanged(Written::DryRun(Arc::new(binding))),
            DryRun::No => binding_planned(binding, Written::Binding),
        })
    }

    /// The answer when `held` has a key that the request needs.
    fn already_bound(
        &self,
        request: &BindRequest,
        held: &Arc<Binding>,
        party: Party,
        expires: Wall,
        now: Wall,
    ) -> Result<Planned, Refused> {
        let taken = Refused::KeyTaken {
            x: held.x,
            number: match party {
                Party::A => request.a,
                Party::B => request.b,
            },
            party,
            binding: held.id,
        };
        if (held.mode, held.a, held.b) != (request.mode, request.a, request.b) {
            return Err(taken);
        }
        match request.on_conflict {
            OnConflict::Fail => Err(taken),
            OnConflict::Return => Ok(unchanged(Written::Existing(held.clone()))),
            OnConflict::Extend => {
                let extended = Binding {
                    version: held.version.saturating_add(1),
                    since: now.max(just_after(held.since)),
                    expires,
                    ..(**held).clone()
                };
                Ok(match request.dry_run {
                    DryRun::Yes => unchanged(Written::DryRun(Arc::new(extended))),
                    DryRun::No => binding_planned(extended, Written::Existing),
                })
            }
        }
    }

    fn update(&self, request: &UpdateRequest, now: Wall) -> Result<Planned, Refused> {
        let old = self.live_binding(request.id, now)?;
        self.check_account(&old.account)?;
        let mut new = (*old).clone();
        new.version = new.version.saturating_add(1);
        new.since = now.max(just_after(old.since));
        new.a = request.a.unwrap_or(old.a);
        new.b = request.b.unwrap_or(old.b);
        change_terms(&mut new.terms, &request.terms);
        check_terms(&new.terms)?;
        if let Some(expires) = request.expires {
            new.expires = check_expiry(Some(expires), now)?;
        }
        if (new.a, new.b) != (old.a, old.b) {
            self.check_parties(new.a, new.b)?;
            check_takes_bindings(&*self.own_number(old.x)?)?;
            for (key, party) in self.keys_of(new.mode, new.x, new.a, new.b) {
                let holder = self.holder(key, now, Some(new.id));
                new.since = new.since.max(holder.free_from);
                if let Some(held) = holder.live {
                    return Err(Refused::KeyTaken {
                        x: held.x,
                        number: new.number_of(party),
                        party,
                        binding: held.id,
                    });
                }
            }
        }
        Ok(match request.dry_run {
            DryRun::Yes => unchanged(Written::DryRun(Arc::new(new))),
            DryRun::No => binding_planned(new, Written::Binding),
        })
    }

    fn unbind(&self, id: Id, now: Wall) -> Result<Planned, Refused> {
        let binding = self.live_binding(id, now)?;
        self.check_account(&binding.account)?;
        Ok(unbound(vec![ended(&binding, now, Ended::Unbound)]))
    }

    fn unbind_all(&self, x: VirtualNumber, now: Wall) -> Result<Planned, Refused> {
        let number = self.own_number(x)?;
        self.check_account(&number.account)?;
        let live = self.live_on(x, now);
        let live = live.iter().filter_map(|id| self.binding(*id));
        Ok(unbound(
            live.map(|binding| ended(&binding, now, Ended::Unbound)).collect(),
        ))
    }

    fn expire(&self, id: Id, now: Wall) -> Result<Planned, Refused> {
        let binding = self.binding(id).ok_or(Refused::UnknownBinding { id })?;
        if binding.ended.is_some() || binding.expires > now {
            return Ok(unbound(Vec::new()));
        }
        Ok(unbound(vec![ended(&binding, binding.expires, Ended::Expired)]))
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

    fn check_parties(&self, a: RealNumber, b: RealNumber) -> Result<(), Refused> {
        if a == b {
            return Err(Refused::SameNumber);
        }
        let ours = |real: RealNumber| self.number(real.reveal()).is_some_and(|number| number.is_ours());
        for (party, real) in [(Party::A, a), (Party::B, b)] {
            if ours(real) {
                return Err(Refused::OwnNumber { party });
            }
        }
        Ok(())
    }

    fn keys_of(
        &self,
        mode: Mode,
        x: VirtualNumber,
        a: RealNumber,
        b: RealNumber,
    ) -> impl Iterator<Item = (Key, Party)> + use<> {
        // No id yet: only the keys count.
        mode::keys(mode, Id::from_bits(0), x, a, b)
            .into_iter()
            .map(|(key, rule)| (key, rule.party()))
    }

    /// Who has a key at `now`, apart from the binding `but`.
    fn holder(&self, key: Key, now: Wall, but: Option<Id>) -> Holder {
        let mut holder = Holder {
            live: None,
            free_from: now,
        };
        let rules = self.table.rules(key);
        let pending = self.keys.get(&key).into_iter().flatten().copied();
        for id in rules.iter().map(|rule| rule.id()).chain(pending) {
            if Some(id) == but {
                continue;
            }
            let Some(binding) = self.binding(id) else {
                continue;
            };
            let has_key = mode::rules(&binding).iter().any(|(made, _)| *made == key);
            if has_key && !binding.is_over(now) {
                holder.live = Some(binding);
            } else {
                // An attempt of the very millisecond in which the key became free is the former
                // holder's, or nobody's: the next holder begins one later.
                let left = if has_key { binding.until() } else { binding.since };
                holder.free_from = holder.free_from.max(just_after(left));
            }
        }
        holder
    }

    /// The bindings that count on `x`, oldest first.
    fn live_on(&self, x: VirtualNumber, now: Wall) -> Vec<Id> {
        let mut ids: BTreeSet<Id> = self.table.open_on(x.tel(), usize::MAX).into_iter().collect();
        ids.extend(self.pending_on(x));
        let is_live = |id: &Id| self.binding(*id).is_some_and(|binding| !binding.is_over(now));
        ids.into_iter().filter(is_live).collect()
    }

    fn pending_on(&self, x: VirtualNumber) -> impl Iterator<Item = Id> + '_ {
        let pending = self.on_x.range((x.tel(), Id::from_bits(0))..);
        pending
            .take_while(move |(on, _)| *on == x.tel())
            .map(|(_, id)| *id)
    }

    fn is_full(&self, x: VirtualNumber, limit: usize, now: Wall) -> bool {
        // Too many rather than too few are counted first; only near the limit is it worth looking.
        let at_most = self.table.open_on(x.tel(), limit).len() + self.pending_on(x).count();
        at_most >= limit && self.live_on(x, now).len() >= limit
    }

    /// The pool's next number that takes the pair, from where its last choice was.
    fn choose(&self, pool: &Pool, request: &BindRequest, now: Wall) -> Result<Arc<Number>, Refused> {
        let takes = |x: Tel| {
            let number = self.number(x).filter(|number| {
                number.pool == pool.key && number.is_ours() && check_takes_bindings(number).is_ok()
            })?;
            let mut keys = self.keys_of(request.mode, number.x, request.a, request.b);
            let free = keys.all(|(key, _)| self.holder(key, now, None).live.is_none());
            (free && !self.is_full(number.x, pool.axb_pairs_per_x, now)).then_some(number)
        };
        let start = self.table.cursor(&pool.key);
        // From the cursor to the end, then from the beginning up to the cursor, then the group's own.
        let up_to_start = |x: &Tel| start.is_some_and(|start| *x <= start);
        let found = self
            .pool_numbers(pool, start)
            .chain(self.pool_numbers(pool, None).take_while(up_to_start))
            .chain(self.numbers.keys().copied())
            .find_map(takes);
        let number = found.ok_or_else(|| Refused::NoFreeNumber {
            pool: pool.name.clone(),
        })?;
        match request.dry_run {
            DryRun::No => self.table.set_cursor(&pool.key, number.x.tel()),
            DryRun::Yes => {}
        }
        Ok(number)
    }

    /// The table's numbers of a pool after `after`, read [`PROBES`] at a time.
    fn pool_numbers(&self, pool: &Pool, mut after: Option<Tel>) -> impl Iterator<Item = Tel> {
        let mut probes = Vec::new().into_iter();
        std::iter::from_fn(move || {
            if probes.len() == 0 {
                probes = self.table.pool_numbers(&pool.key, after, PROBES).into_iter();
            }
            let x = probes.next();
            after = x.or(after);
            x
        })
    }
}

/// Who has a key.
struct Holder {
    /// The binding that holds it.
    live: Option<Arc<Binding>>,
    /// From when on another may have it: not before its former holders left it.
    free_from: Wall,
}

fn just_after(at: Wall) -> Wall {
    at.plus(Duration::from_millis(1))
}

fn ended(binding: &Binding, at: Wall, why: Ended) -> Binding {
    Binding {
        // A version that has not begun to count never will.
        ended: Some((at.max(binding.since), why)),
        ..binding.clone()
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

fn account_planned(account: Account) -> Planned {
    let written = Written::Account(Arc::new(account.clone()));
    planned(Record::Account(account), written)
}

fn pool_planned(pool: Pool) -> Planned {
    let written = Written::Pool(Arc::new(pool.clone()));
    planned(Record::Pool(pool), written)
}

fn number_planned(number: Number) -> Planned {
    let written = Written::Number(Arc::new(number.clone()));
    planned(Record::Number(number), written)
}

fn binding_planned(binding: Binding, written: fn(Arc<Binding>) -> Written) -> Planned {
    let written = written(Arc::new(binding.clone()));
    planned(Record::Binding(binding), written)
}

fn unbound(ended: Vec<Binding>) -> Planned {
    Planned {
        written: Written::Unbound(ended.iter().map(|binding| binding.id).collect()),
        change: Change {
            records: ended.into_iter().map(Record::Binding).collect(),
        },
    }
}

#[cfg(test)]
mod tests;
