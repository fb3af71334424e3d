//! How a record enters the live map, and how it leaves it: rules first, the record last.

use std::sync::Arc;

use dashmap::Entry;
use smallvec::SmallVec;

use super::{History, Index, Table, numbers_of};
use crate::base::id::Id;
use crate::base::limits::{BINDING_VERSIONS_KEPT, ENDED_RULES_KEPT, RULES_PER_KEY_MAX};
use crate::base::number::RealNumber;
use crate::base::time::Wall;
use crate::masking::binding::{Binding, Home};
use crate::masking::inventory::{Account, Number, Pool};
use crate::masking::mode;
use crate::masking::rule::{Key, Rule, Rules};

impl Table {
    pub(super) fn put_account(&self, account: &Account) {
        let known = self.account(&account.name);
        if known.is_some_and(|known| known.version >= account.version) {
            return;
        }
        self.accounts
            .insert(account.name.clone(), Arc::new(account.clone()));
        self.change_index(|index| index.accounts.insert(account.name.clone()));
    }

    pub(super) fn put_pool(&self, pool: &Pool) {
        self.change_index(|index| {
            if let Some(known) = index.pools.get(&pool.key) {
                if known.version >= pool.version {
                    return;
                }
                let name = known.name.clone();
                index.pool_names.remove(&name);
            }
            index.pool_names.insert(pool.name.clone(), pool.key.clone());
            index.pools.insert(pool.key.clone(), Arc::new(pool.clone()));
            index.shelves.put_pool(pool);
        });
    }

    pub(super) fn put_number(&self, number: &Number) {
        let x = number.x.tel();
        let known = self.number(x);
        if let Some(known) = &known
            && known.version >= number.version
        {
            return;
        }
        self.numbers.insert(x, Arc::new(number.clone()));
        self.change_index(|index| {
            index.numbers.insert(x);
            index.shelves.put_number(number);
        });
    }

    pub(super) fn put_binding(&self, binding: &Binding) {
        let old: History = self
            .records
            .get(&binding.id)
            .map(|h| h.clone())
            .unwrap_or_default();
        let rank = |b: &Binding| (b.version, b.ended.is_some());
        if old.last().is_some_and(|known| rank(known) >= rank(binding)) {
            return;
        }
        let mut new = old.clone();
        if new.last().is_some_and(|known| known.version == binding.version) {
            new.pop();
        }
        new.push(Arc::new(Binding {
            home: self.home(&binding.home),
            ..binding.clone()
        }));
        // A version counts until its successor's `since`; ENDED_RULES_KEPT later no open attempt needs it.
        while new.len() > BINDING_VERSIONS_KEPT
            || new
                .get(1)
                .is_some_and(|next| next.since.plus(ENDED_RULES_KEPT) < binding.since)
        {
            new.remove(0);
        }
        for key in mode::keys(binding) {
            self.put_rule(key, binding.id, binding.since);
        }
        let keys = old.iter().flat_map(|version| mode::keys(version));
        let gone: SmallVec<[Key; 4]> = keys
            .filter(|key| !new.iter().any(|version| mode::caller(version, *key).is_some()))
            .collect();
        self.records.insert(binding.id, new);
        // Who called one A is no business of another.
        let has_others = old.last().is_some_and(|known| known.parties != binding.parties);
        if binding.ended.is_some() || has_others {
            self.lasts.remove(binding.id);
        }
        for key in gone {
            self.remove_rule(key, binding.id);
        }
        self.change_index(|index| {
            if let Some(known) = old.last() {
                index.remove_binding(known);
            }
            index.insert_binding(binding);
        });
    }

    /// The one copy of what bindings share.
    fn home(&self, home: &Arc<Home>) -> Arc<Home> {
        if let Some(known) = self.index().homes.get(home) {
            return known.clone();
        }
        self.change_index(|index| index.homes.insert(home.clone()));
        home.clone()
    }

    pub(super) fn forget(&self, id: Id) {
        let Some((_, history)) = self.records.remove(&id) else {
            return;
        };
        for key in history.iter().flat_map(|version| mode::keys(version)) {
            self.remove_rule(key, id);
        }
        if let Some(newest) = history.last() {
            self.change_index(|index| index.remove_binding(newest));
        }
    }

    fn put_rule(&self, key: Key, rule: Rule, since: Wall) {
        let mut rules = match self.rules.entry(key) {
            // As good as always.
            Entry::Vacant(free) => {
                free.insert(Rules::from_elem(rule, 1));
                return;
            }
            Entry::Occupied(there) => there.get().clone(),
        };
        if rules.contains(&rule) {
            return;
        }
        if rules.len() >= RULES_PER_KEY_MAX {
            let is_past = |old: &Rule| {
                self.binding(*old)
                    .is_none_or(|newest| newest.is_over(since) || mode::caller(&newest, key).is_none())
            };
            if let Some(past) = rules.iter().position(is_past) {
                rules.remove(past);
            }
        }
        rules.push(rule);
        self.rules.insert(key, rules);
    }

    fn remove_rule(&self, key: Key, rule: Rule) {
        let mut rules = self.rules(key);
        rules.retain(|known| *known != rule);
        if rules.is_empty() {
            self.rules.remove(&key);
        } else {
            self.rules.insert(key, rules);
        }
    }
}

impl Index {
    fn insert_binding(&mut self, binding: &Binding) {
        let id = binding.id;
        self.bindings.insert(id);
        for party in people_of(binding) {
            self.of_party.insert((party.key(), id));
        }
        match binding.ended {
            Some((at, _)) => {
                self.ended.insert((at, id));
                if mode::frees_extension(binding) {
                    let freed = self.freed.entry(binding.x.tel()).or_insert((at, id));
                    *freed = (*freed).max((at, id));
                }
                let limit = self.resting_limit;
                self.resting.insert(binding.pool(), at, id, limit);
                for number in numbers_of(binding) {
                    self.ended_on.insert((number, id));
                }
            }
            None => {
                for number in numbers_of(binding) {
                    self.open_on.insert((number, id));
                }
                for (person, number) in mode::own(binding) {
                    self.own.insert((person.key(), number.tel().bits(), id));
                }
                if let Some(group) = binding.parties.group() {
                    self.of_group.insert((group, id));
                }
                self.shelves.open(binding);
                if binding.expires != Wall::NEVER {
                    self.due.insert((binding.expires, id));
                }
            }
        }
    }

    fn remove_binding(&mut self, binding: &Binding) {
        let id = binding.id;
        self.bindings.remove(&id);
        for number in numbers_of(binding) {
            self.ended_on.remove(&(number, id));
            self.open_on.remove(&(number, id));
        }
        for party in people_of(binding) {
            self.of_party.remove(&(party.key(), id));
        }
        for (person, number) in mode::own(binding) {
            self.own.remove(&(person.key(), number.tel().bits(), id));
        }
        if let Some(group) = binding.parties.group() {
            self.of_group.remove(&(group, id));
        }
        self.due.remove(&(binding.expires, id));
        match binding.ended {
            Some((at, _)) => {
                self.ended.remove(&(at, id));
                if self.freed.get(&binding.x.tel()) == Some(&(at, id)) {
                    self.freed.remove(&binding.x.tel());
                }
                self.resting.remove(binding.pool(), at, id);
            }
            None => self.shelves.close(binding),
        }
    }
}

/// The real numbers that a binding joins.
fn people_of(binding: &Binding) -> impl Iterator<Item = RealNumber> + use<> {
    [binding.parties.a(), binding.parties.b()].into_iter().flatten()
}
