//! The pool's choice of a number. The [shelf](crate::masking::shelf) proposes, and here each proposal is proved
//! against the law, the group's own writes included: so two binds that race never get the same key.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::Planner;
use crate::base::id::Id;
use crate::base::limits::{AVOID_STICKY, CHOICE_DUE_MAX, CHOICE_PROBES, STICKY_LOOK_BACK};
use crate::base::number::{RealNumber, Tel};
use crate::base::time::Wall;
use crate::masking::binding::Binding;
use crate::masking::bounds::check_takes_bindings;
use crate::masking::inventory::{CityRule, Number, Pool, Reuse};
use crate::masking::mode;
use crate::masking::request::Refused;
use crate::masking::rule::Key;
use crate::masking::shelf::{Shortage, Wish};

/// What a pool is asked for.
pub(super) struct Search<'a> {
    pub(super) pool: &'a Pool,
    /// The city that the number should be of.
    pub(super) city: Option<&'a str>,
    /// Whose keys on it must be free.
    pub(super) callers: ArrayVec<RealNumber, 2>,
    /// The people of the binding: their earlier numbers may be wanted, or not.
    pub(super) people: ArrayVec<RealNumber, 2>,
}

/// How a number fits.
enum Fit {
    Yes(Arc<Number>),
    No(Option<Shortage>),
}

impl Planner<'_> {
    /// A number of the pool for these people; where the last choice was, the next one goes on.
    pub(super) fn choose(&self, search: &Search<'_>, now: Wall) -> Result<Arc<Number>, Refused> {
        let cities = search.cities();
        let mut lack = Shortage::Taken;
        let mut fits = |x: Tel| match self.fit(search, &cities, x, now) {
            Fit::Yes(number) => Some(number),
            Fit::No(why) => {
                lack = lack.max(why.unwrap_or(lack));
                None
            }
        };
        let found = match search.pool.settings.reuse {
            Reuse::Sticky => self.had_before(search).into_iter().find_map(&mut fits),
            Reuse::Any | Reuse::Avoid => None,
        };
        let found = found
            .or_else(|| {
                cities
                    .iter()
                    .find_map(|city| self.off_the_shelf(search, *city, &mut fits))
            })
            .or_else(|| self.unwritten(search, now).into_iter().find_map(&mut fits));
        found.ok_or_else(|| {
            let shelves = &self.table.index().shelves;
            let shortage = shelves.shortage(&search.pool.key, &cities);
            Refused::NoNumber {
                pool: search.pool.name.clone(),
                shortage: shortage.unwrap_or(lack),
                city: search.city.filter(|_| !cities.contains(&None)).map(Into::into),
            }
        })
    }

    /// The next numbers from the cursor on are tried as they come: mostly one of the first few fits. If none
    /// does, the shelf is told to leave out those on which the people have keys.
    fn off_the_shelf(
        &self,
        search: &Search<'_>,
        city: Option<&str>,
        fits: &mut impl FnMut(Tel) -> Option<Arc<Number>>,
    ) -> Option<Arc<Number>> {
        let pool = &*search.pool.key;
        let mut walk = self.table.index().shelves.walk(pool);
        let mut wish = Wish {
            city,
            without: [None; 2],
        };
        loop {
            let some = self
                .table
                .index()
                .shelves
                .next(pool, &mut walk, &wish, CHOICE_PROBES);
            if some.is_empty() {
                return None;
            }
            if let Some(number) = some.into_iter().find_map(&mut *fits) {
                return Some(number);
            }
            for (caller, without) in search.callers.iter().zip(&mut wish.without) {
                self.table.learn_crowd(pool, *caller);
                *without = Some(caller.reveal());
            }
        }
    }

    /// What the shelf doesn't know yet: numbers that this group adds, changes or unbinds, and those of
    /// bindings that are over and not written down.
    fn unwritten(&self, search: &Search<'_>, now: Wall) -> Vec<Tel> {
        let mut xs: Vec<Tel> = self.numbers.keys().copied().collect();
        let of_pool = |binding: &Binding| *binding.pool == *search.pool.key;
        let over = self
            .bindings
            .values()
            .filter(|binding| binding.is_over(now))
            .cloned();
        let due = self.table.due(now, CHOICE_DUE_MAX);
        let due = due.into_iter().filter_map(|id| self.binding(id));
        for binding in over.chain(due).filter(|binding| of_pool(binding)) {
            xs.extend(mode::rules(&binding).iter().map(|(key, _)| key.dialled));
        }
        xs.dedup();
        xs
    }

    /// The numbers that the first of the people has or had in this pool, the newest first.
    fn had_before(&self, search: &Search<'_>) -> Vec<Tel> {
        let Some(person) = search.people.first() else {
            return Vec::new();
        };
        let mut ids: BTreeSet<Id> = self
            .table
            .newest_of(*person, STICKY_LOOK_BACK)
            .into_iter()
            .collect();
        let own = self.bindings.values().filter(|binding| binding.a == *person);
        ids.extend(own.map(|binding| binding.id));
        let bindings = ids.into_iter().rev().filter_map(|id| self.binding(id));
        bindings
            .filter(|binding| binding.a == *person && *binding.pool == *search.pool.key)
            .map(|binding| binding.x.tel())
            .collect()
    }

    fn fit(&self, search: &Search<'_>, cities: &[Option<&str>], x: Tel, now: Wall) -> Fit {
        let Some(number) = self.number(x).filter(|number| {
            number.pool == search.pool.key && number.is_ours() && check_takes_bindings(number).is_ok()
        }) else {
            return Fit::No(None);
        };
        let of_city = |city: &Option<&str>| city.is_none() || number.city.as_deref() == *city;
        if !cities.iter().any(of_city) || self.is_full(number.x, search.pool.bindings_per_number(), now) {
            return Fit::No(None);
        }
        let taken = |caller: &RealNumber| {
            let key = Key {
                dialled: x,
                caller: caller.reveal(),
            };
            self.holder(key, now, None).live.is_some()
        };
        if search.callers.iter().any(taken) {
            return Fit::No(None);
        }
        if search.pool.settings.reuse == Reuse::Avoid
            && search
                .people
                .iter()
                .any(|person| self.had_lately(x, *person, now))
        {
            return Fit::No(Some(Shortage::Avoided));
        }
        Fit::Yes(number)
    }

    /// Whether a person has `x`, or had it not long ago.
    fn had_lately(&self, x: Tel, person: RealNumber, now: Wall) -> bool {
        let key = Key {
            dialled: x,
            caller: person.reveal(),
        };
        let rules = self.table.rules(key);
        let pending = self.keys.get(&key).into_iter().flatten().copied();
        let mut ids = rules.iter().map(|rule| rule.id()).chain(pending);
        ids.any(|id| {
            self.binding(id)
                .is_some_and(|binding| now < binding.until().plus(AVOID_STICKY))
        })
    }
}

impl<'a> Search<'a> {
    /// Where to look, one after another; `None` is anywhere.
    fn cities(&self) -> Vec<Option<&'a str>> {
        let settings = &self.pool.settings;
        let Some(city) = self.city else {
            return vec![None];
        };
        match settings.city_rule {
            CityRule::Strict => vec![Some(city)],
            CityRule::Loose => {
                let others = settings.fallback_cities.iter().map(|city| Some(&**city));
                std::iter::once(Some(city)).chain(others).chain([None]).collect()
            }
        }
    }
}
