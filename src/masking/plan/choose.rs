//! The pool's choice of a number. The [shelves](crate::masking::shelf) propose, and here each proposal is proved
//! against the law, the group's own writes included: so two binds that race never get the same key.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::Planner;
use super::fit::Obstacle;
use crate::base::id::Id;
use crate::base::limits::{
    AVOID_STICKY, CHOICE_DUE_MAX, CHOICE_PROBES, CHOICE_RESTING_MAX, HISTORY_LOOK_BACK,
};
use crate::base::number::{RealNumber, Tel, VirtualNumber};
use crate::base::time::Wall;
use crate::masking::binding::{Binding, Mode, Parties};
use crate::masking::bounds::check_takes_bindings;
use crate::masking::group::GroupId;
use crate::masking::inventory::{CityRule, Number, Pool, Reuse};
use crate::masking::mode;
use crate::masking::request::{DryRun, Refused, Wanted};
use crate::masking::shelf::{Role, Shortage, Wish};
use crate::masking::table::numbers_of;

/// What a binding needs a number for.
pub(super) struct Seat {
    role: Role,
    /// Whom the number is to stand for.
    owner: RealNumber,
    /// The group that it is to stand for, in place of the owner, where other bindings may join it.
    group: Option<GroupId>,
    /// The people of the binding.
    people: ArrayVec<RealNumber, 2>,
    /// Those of them who dial it.
    callers: ArrayVec<RealNumber, 2>,
}

impl Seat {
    /// The X of a binding.
    pub(super) fn x(wanted: &Wanted) -> Self {
        let (owner, people, callers): (_, ArrayVec<_, 2>, ArrayVec<_, 2>) = match wanted {
            Wanted::Axb { a, b } => (*a, [*a, *b].into(), [*a, *b].into()),
            Wanted::Ax { a }
            | Wanted::Axn { a }
            | Wanted::Axn95 { a }
            | Wanted::Axg { a, .. }
            | Wanted::Paired { a } => (*a, one(*a), one(*a)),
            // Who dials X keys an extension: nobody has X for himself.
            Wanted::Axe { a, .. } => (*a, one(*a), ArrayVec::new()),
            Wanted::Axyb { a, b, .. } => (*a, [*a, *b].into(), one(*b)),
            Wanted::Gxb { b, .. } | Wanted::Gxyb { b, .. } | Wanted::Xb { b } => (*b, one(*b), one(*b)),
            // Whoever is behind it never calls by it.
            Wanted::Inbound { base } => (*base, one(*base), ArrayVec::new()),
        };
        let group = match wanted {
            Wanted::Gxyb { group, .. } => Some(*group),
            Wanted::Axb { .. }
            | Wanted::Ax { .. }
            | Wanted::Axyb { .. }
            | Wanted::Axe { .. }
            | Wanted::Axn { .. }
            | Wanted::Axn95 { .. }
            | Wanted::Axg { .. }
            | Wanted::Gxb { .. }
            | Wanted::Xb { .. }
            | Wanted::Paired { .. }
            | Wanted::Inbound { .. } => None,
        };
        Self {
            role: Role::X,
            owner,
            group,
            people,
            callers,
        }
    }

    /// The Y of a binding of these, whose own Y isn't looked at.
    pub(super) fn y(parties: &Parties) -> Self {
        let people = [parties.a(), parties.b()].into_iter().flatten();
        Self {
            role: Role::Y,
            owner: parties.b().unwrap_or(parties.first()),
            group: None,
            people: people.collect(),
            callers: parties.a().into_iter().collect(),
        }
    }
}

fn one<T>(value: T) -> ArrayVec<T, 2> {
    std::iter::once(value).collect()
}

/// What a pool is asked for.
pub(super) struct Search<'a> {
    pub(super) pool: &'a Pool,
    /// The city that the number should be of.
    pub(super) city: Option<&'a str>,
    pub(super) seat: &'a Seat,
    pub(super) now: Wall,
}

/// How a number fits what is wanted of it.
pub(super) enum Fit {
    /// It is free.
    Free,
    /// It could be had, but rests from others since then.
    Rests(Wall),
    /// It rests, and can't be had.
    Quarantined,
    /// It doesn't.
    No,
    /// No number would.
    Never(Refused),
}

impl Fit {
    /// What the law says of a number, as the choice sees it.
    pub(super) fn of(fits: Result<Wall, Obstacle>) -> Self {
        match fits {
            Ok(_) => Self::Free,
            Err(Obstacle::Law(refused @ Refused::NumbersFull { .. })) => Self::Never(refused),
            Err(Obstacle::Law(Refused::KeyQuarantined { .. })) => Self::Quarantined,
            Err(Obstacle::Law(_) | Obstacle::Held(..)) => Self::No,
        }
    }
}

/// What was found on the way through the proposals.
struct Found {
    /// A number that is free, or why none ever would be.
    outcome: Option<Result<Arc<Number>, Refused>>,
    /// Of those that rest: the place of its city among those asked for, since when, and the number.
    resting: Option<(usize, Wall, Arc<Number>)>,
    /// How many of those were looked at.
    resting_seen: usize,
    /// What the others lacked.
    lack: Shortage,
}

impl Planner<'_> {
    /// A number of the pool that `fits`, from where the last choice was: one whose keys don't rest, if there is
    /// one, else the one that was given up longest ago, of the first [`CHOICE_RESTING_MAX`] that rest.
    pub(super) fn choose(
        &self,
        search: &Search<'_>,
        dry_run: DryRun,
        fits: impl Fn(&Number) -> Fit,
    ) -> Result<Arc<Number>, Refused> {
        let cities = search.cities();
        let avoided = self.avoided(search);
        let mut found = Found {
            outcome: None,
            resting: None,
            resting_seen: 0,
            lack: Shortage::Taken,
        };
        let mut goes_on = |x: Tel| self.goes_on(search, &cities, &avoided, x, &fits, &mut found);
        let is_wanting = self.had_first(search).into_iter().all(&mut goes_on);
        // What he had stays his, even while it rests after another pair.
        if is_wanting && found.resting.is_none() {
            let mut goes_on = |x: Tel| self.goes_on(search, &cities, &avoided, x, &fits, &mut found);
            let _ = cities.iter().all(|city| {
                self.off_the_shelf(search, *city, &mut goes_on)
                    && self.unwritten(search, *city).into_iter().all(&mut goes_on)
            });
        }
        let resting = found.resting.map(|(.., number)| Ok(number));
        let number = found.outcome.or(resting).unwrap_or_else(|| {
            let shelves = &self.table.index().shelves;
            let shortage = shelves.shortage(&search.pool.key, &cities, search.seat.role);
            Err(Refused::NoNumber {
                pool: search.pool.name.clone(),
                shortage: shortage.unwrap_or(found.lack),
                city: search.city.filter(|_| !cities.contains(&None)).map(Into::into),
            })
        })?;
        match dry_run {
            DryRun::No => self.table.index().shelves.chose(number.x),
            DryRun::Yes => {}
        }
        Ok(number)
    }

    /// Looks at one proposal. Whether others are wanted.
    fn goes_on(
        &self,
        search: &Search<'_>,
        cities: &[Option<&str>],
        avoided: &BTreeSet<Tel>,
        x: Tel,
        fits: &impl Fn(&Number) -> Fit,
        found: &mut Found,
    ) -> bool {
        let Some(number) = self.number(x).filter(|number| number.pool == search.pool.key) else {
            return true;
        };
        let of_city = |city: &Option<&str>| city.is_none() || number.city.as_deref() == *city;
        let Some(place) = cities.iter().position(of_city) else {
            return true;
        };
        if check_takes_bindings(&number).is_err() {
            return true;
        }
        match fits(&number) {
            Fit::Free | Fit::Rests(_) if avoided.contains(&x) || self.had_lately(search, x) => {
                found.lack = found.lack.max(Shortage::Avoided);
            }
            Fit::Free => {
                found.outcome = Some(Ok(number));
                return false;
            }
            Fit::Rests(since) => {
                found.resting_seen += 1;
                let before = found.resting.as_ref();
                if before.is_none_or(|(of, before, _)| (place, since) < (*of, *before)) {
                    found.resting = Some((place, since, number));
                }
                return found.resting_seen < CHOICE_RESTING_MAX;
            }
            Fit::Quarantined => found.lack = found.lack.max(Shortage::Resting),
            Fit::No => {}
            Fit::Never(refused) => {
                found.outcome = Some(Err(refused));
                return false;
            }
        }
        true
    }

    /// The next numbers from the cursor on are tried as they come: mostly one of the first few fits. If none
    /// does, those on which the people have keys are left out by bits.
    fn off_the_shelf(
        &self,
        search: &Search<'_>,
        city: Option<&str>,
        goes_on: &mut impl FnMut(Tel) -> bool,
    ) -> bool {
        let pool = &*search.pool.key;
        let Some(mut walk) = self.table.index().shelves.walk(pool) else {
            return true;
        };
        let wish = Wish {
            role: search.seat.role,
            city,
        };
        loop {
            let some = {
                let shelves = &self.table.index().shelves;
                shelves.next(pool, &mut walk, wish, &search.seat.callers, CHOICE_PROBES)
            };
            if some.is_empty() {
                return true;
            }
            if !some.into_iter().all(&mut *goes_on) {
                return false;
            }
            for caller in &search.seat.callers {
                self.table.learn_crowd(pool, *caller);
            }
        }
    }

    /// What the shelf doesn't know yet: numbers that this group adds, changes or unbinds, and those of
    /// bindings that are over and not written down.
    fn unwritten(&self, search: &Search<'_>, city: Option<&str>) -> BTreeSet<Tel> {
        let mut xs: BTreeSet<Tel> = self.numbers.keys().copied().collect();
        let own = self.bindings.values().cloned();
        let due = self.table.due(search.now, CHOICE_DUE_MAX);
        let due = due.into_iter().filter_map(|id| self.binding(id));
        for binding in own.chain(due).filter(|binding| binding.is_over(search.now)) {
            xs.extend(numbers_of(&binding));
        }
        if city.is_some() {
            xs.retain(|x| {
                self.number(*x)
                    .is_some_and(|number| number.city.as_deref() == city)
            });
        }
        xs
    }

    /// Those of the owner's numbers that come before all others: where X is his alone and takes more than one
    /// binding, those that he has; in a sticky pool those that he had, too.
    fn had_first(&self, search: &Search<'_>) -> Vec<Tel> {
        if let Some(group) = search.seat.group {
            let of_group = self.bound_to(group, search.now);
            return of_group.iter().map(|binding| binding.x.tel()).collect();
        }
        let is_wanted = match (search.pool.mode, search.seat.role, search.pool.reuse) {
            (_, _, Reuse::Avoid) => return Vec::new(),
            (_, _, Reuse::Sticky) => |_: &Binding, _: Wall| true,
            (Mode::Axyb, Role::X, Reuse::Any) => |binding: &Binding, now| !binding.is_over(now),
            (
                Mode::Axb
                | Mode::Ax
                | Mode::Axyb
                | Mode::Axe
                | Mode::Axn
                | Mode::Axn95
                | Mode::Axg
                | Mode::Gxb
                | Mode::Gxyb
                | Mode::Xb
                | Mode::Inbound
                | Mode::X,
                Role::X | Role::Y,
                Reuse::Any,
            ) => return Vec::new(),
        };
        let bindings = self.newest_of(search.seat.owner).into_iter();
        let bindings = bindings.filter(|binding| is_wanted(binding, search.now));
        bindings
            .filter_map(|binding| match search.seat.role {
                Role::X => (binding.parties.first() == search.seat.owner).then_some(binding.x),
                Role::Y => binding
                    .parties
                    .y()
                    .filter(|_| binding.parties.b() == Some(search.seat.owner)),
            })
            .map(|number| number.tel())
            .collect()
    }

    /// In a pool that avoids them, the numbers of the people's last bindings.
    fn avoided(&self, search: &Search<'_>) -> BTreeSet<Tel> {
        if search.pool.reuse != Reuse::Avoid {
            return BTreeSet::new();
        }
        let people = search.seat.people.iter();
        let bindings = people.flat_map(|person| self.newest_of(*person));
        let lately = bindings.filter(|binding| search.now < binding.until().plus(AVOID_STICKY));
        lately.flat_map(|binding| numbers_of(&binding)).collect()
    }

    /// Whether, in a pool that avoids that, one of the people has a key on `x`, or had one not long ago: for
    /// those who have more bindings than are looked at one by one.
    fn had_lately(&self, search: &Search<'_>, x: Tel) -> bool {
        search.pool.reuse == Reuse::Avoid
            && search.seat.people.iter().any(|person| {
                let rules = self.table.rules(mode::by(VirtualNumber::new(x), *person));
                let mut bindings = rules.iter().filter_map(|id| self.binding(*id));
                bindings.any(|binding| search.now < binding.until().plus(AVOID_STICKY))
            })
    }

    /// The newest bindings with this person, the newest first; ended ones too.
    fn newest_of(&self, person: RealNumber) -> Vec<Arc<Binding>> {
        let mut ids: BTreeSet<Id> = self
            .table
            .newest_of(person, HISTORY_LOOK_BACK)
            .into_iter()
            .collect();
        let is_his = |binding: &&Arc<Binding>| {
            binding.parties.a() == Some(person) || binding.parties.b() == Some(person)
        };
        ids.extend(self.bindings.values().filter(is_his).map(|binding| binding.id));
        let newest = ids.into_iter().rev().take(HISTORY_LOOK_BACK);
        newest.filter_map(|id| self.binding(id)).collect()
    }
}

impl<'a> Search<'a> {
    /// Where to look, one after another; `None` is anywhere.
    fn cities(&self) -> Vec<Option<&'a str>> {
        let Some(city) = self.city else {
            return vec![None];
        };
        match self.pool.city_rule {
            CityRule::Strict => vec![Some(city)],
            CityRule::Loose => {
                let others = self.pool.fallback_cities.iter().map(|city| Some(&**city));
                std::iter::once(Some(city)).chain(others).chain([None]).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests;
