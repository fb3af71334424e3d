//! The law of writing: a write → the change that does it, or why not.
//!
//! The writer plans a group of writes one after another, makes their changes durable together, and only
//! then applies them. A [`Planner`] holds what the group has planned so far on top of the table, so that
//! two writes of one group see each other while nobody else sees either.

mod choose;
mod stock;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use self::choose::Search;
use super::binding::{Binding, Ended, Mode, Party};
use super::bounds::{
    change_terms, check_expiry, check_expiry_of, check_mode, check_takes_bindings, check_terms,
};
use super::change::{Change, Record};
use super::inventory::{Account, Number, NumberState, Pool, Standing};
use super::mode;
use super::request::{
    BindRequest, DryRun, OnConflict, Refused, Unbind, UpdateRequest, Write, Written, XChoice,
};
use super::rule::Key;
use super::table::Table;
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
            Write::SetAccount {
                name,
                standing,
                x_per_a,
                expiry_max,
            } => self.set_account(name, *standing, *x_per_a, *expiry_max),
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
            XChoice::FromPool(choice) => {
                let pool = self.known_pool(&choice.pool)?;
                self.check_account(&pool.account)?;
                check_mode(&pool, request.mode)?;
                let search = Search {
                    pool: &pool,
                    city: choice.city.as_deref(),
                    callers: [request.a, request.b].into(),
                    people: [request.a, request.b].into(),
                };
                (self.choose(&search, now)?, pool)
            }
        };
        self.check_account(&number.account)?;
        check_expiry_of(self.account(&number.account).as_deref(), expires, now)?;
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
        let limit = pool.bindings_per_number();
        if self.is_full(number.x, limit, now) {
            return Err(Refused::PairsFull { x: number.x, limit });
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
            DryRun::No => {
                match request.x {
                    XChoice::FromPool(_) => self.table.index().shelves.chose(binding.x.tel()),
                    XChoice::Given(_) => {}
                }
                binding_planned(binding, Written::Binding)
            }
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
            check_expiry_of(self.account(&old.account).as_deref(), new.expires, now)?;
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

fn binding_planned(binding: Binding, written: fn(Arc<Binding>) -> Written) -> Planned {
    let written = written(Arc::new(binding.clone()));
    Planned {
        change: Change {
            records: vec![Record::Binding(binding)],
        },
        written,
    }
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
