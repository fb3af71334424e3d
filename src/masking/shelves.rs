//! Every pool's shelf, and on which numbers people are who are on very many.
//!
//! A shelf proposes; the law decides. What stands here is the newest durable state, without the group of
//! writes that is being planned and without what has expired and is not written down yet: the planner
//! proves every proposal, and looks at those few by itself.

use std::collections::{BTreeMap, VecDeque};

use ahash::HashMap;
use arrayvec::ArrayVec;

use super::binding::{Binding, Mode};
use super::inventory::{Number, Pool};
use super::mode;
use super::rule::Who;
use super::shelf::{Bits, Each, Level, Place, Role, Shelf, Shortage, Slot, Usage, Walk, Wish};
use crate::base::limits::CROWD_WORDS_MAX;
use crate::base::number::{RealNumber, Tel, VirtualNumber};

/// Every pool's shelf.
#[derive(Default)]
pub(super) struct Shelves {
    shelves: Vec<Shelf>,
    by_pool: BTreeMap<Box<str>, u32>,
    places: HashMap<Tel, (u32, u32)>,
    /// Bindings on numbers that are on no shelf: not loaded yet, or given up before an end was written down.
    astray: HashMap<Tel, Each<u32>>,
    /// People who are on so many numbers of a shelf that they were looked for by bits.
    crowds: HashMap<(u32, u64), Bits>,
    /// The oldest go when these take too much.
    crowds_by_age: VecDeque<(u32, u64)>,
    crowd_words: usize,
}

impl Shelves {
    /// A pool is made or changed.
    pub(super) fn put_pool(&mut self, pool: &Pool) {
        let shelf = self.shelf_of(&pool.key);
        if let Some(shelf) = self.shelves.get_mut(shelf as usize) {
            shelf.set_limits(limits(pool), pool.free_low_percent);
        }
    }

    /// A number is added, changed, moved or given up.
    pub(super) fn put_number(&mut self, number: &Number) {
        let x = number.x.tel();
        let shelf = self.shelf_of(&number.pool);
        let place = self.places.get(&x).copied();
        if let Some((old, at)) = place.filter(|(old, _)| *old != shelf || !number.is_ours()) {
            self.places.remove(&x);
            let bindings = self.shelves.get_mut(old as usize).map(|old| old.remove(at));
            self.astray.extend(
                bindings
                    .filter(|bindings| *bindings != Each::default())
                    .map(|b| (x, b)),
            );
            for ((of, _), taken) in &mut self.crowds {
                if *of == old {
                    taken.clear(at);
                }
            }
        }
        let Some(on) = self.shelves.get_mut(shelf as usize).filter(|_| number.is_ours()) else {
            return;
        };
        match self.places.get(&x) {
            Some((_, at)) => on.change(*at, |place| {
                if let Some(slot) = place {
                    slot.state = number.state;
                    slot.city.clone_from(&number.city);
                }
            }),
            None => {
                let at = on.put(Slot {
                    x,
                    state: number.state,
                    city: number.city.clone(),
                    bindings: self.astray.remove(&x).unwrap_or_default(),
                });
                self.places.insert(x, (shelf, at));
            }
        }
    }

    /// A binding is open: made, and not ended.
    pub(super) fn open(&mut self, binding: &Binding) {
        self.mark(binding, Place::In);
    }

    /// It is open no longer.
    pub(super) fn close(&mut self, binding: &Binding) {
        self.mark(binding, Place::Out);
    }

    fn mark(&mut self, binding: &Binding, there: Place) {
        let count = |count: u32| match there {
            Place::In => count.saturating_add(1),
            Place::Out => count.saturating_sub(1),
        };
        self.count(binding.x, |bindings| bindings.x = count(bindings.x));
        if let Some(y) = binding.parties.y() {
            self.count(y, |bindings| bindings.y = count(bindings.y));
        }
        // As good as always there is no crowd, and nothing to look up.
        if self.crowds.is_empty() {
            return;
        }
        for key in mode::keys(binding) {
            if let Who::Number(caller) = key.caller
                && let Some((shelf, at)) = self.places.get(&key.dialled)
                && let Some(taken) = self.crowds.get_mut(&(*shelf, caller.bits()))
            {
                taken.put(*at, there);
            }
        }
    }

    fn count(&mut self, number: VirtualNumber, count: impl FnOnce(&mut Each<u32>)) {
        let x = number.tel();
        match self.places.get(&x).copied() {
            Some((shelf, at)) => {
                if let Some(shelf) = self.shelves.get_mut(shelf as usize) {
                    shelf.count(at, count);
                }
            }
            None => {
                let bindings = self.astray.entry(x).or_default();
                count(bindings);
                if *bindings == Each::default() {
                    self.astray.remove(&x);
                }
            }
        }
    }

    /// Whether it is known where `caller` has keys, by bits.
    pub(super) fn knows(&self, pool: &str, caller: RealNumber) -> bool {
        let shelf = self.by_pool.get(pool);
        shelf.is_some_and(|shelf| self.crowds.contains_key(&(*shelf, caller.key())))
    }

    /// From now on it is known by bits: he has keys on `xs`.
    pub(super) fn learn(&mut self, pool: &str, caller: RealNumber, xs: impl Iterator<Item = Tel>) {
        let shelf = self.shelf_of(pool);
        let words = self.shelves.get(shelf as usize).map_or(0, Shelf::words);
        let mut taken = Bits::with_words(words);
        for x in xs {
            if let Some((on, at)) = self.places.get(&x)
                && *on == shelf
            {
                taken.set(*at);
            }
        }
        self.crowd_words += words;
        while self.crowd_words > CROWD_WORDS_MAX
            && let Some(oldest) = self.crowds_by_age.pop_front()
        {
            let words = self.crowds.remove(&oldest).map_or(0, |taken| taken.words());
            self.crowd_words = self.crowd_words.saturating_sub(words);
        }
        self.crowds_by_age.push_back((shelf, caller.key()));
        self.crowds.insert((shelf, caller.key()), taken);
    }

    /// A walk over every number of a pool; `None` if it has none.
    pub(super) fn walk(&self, pool: &str) -> Option<Walk> {
        self.shelf(pool).map(Shelf::walk)
    }

    /// The next numbers on the way that fit the wish, at most `max`; none at its end. Those on which one of
    /// `callers` has a key are left out if they are known by bits.
    pub(super) fn next(
        &self,
        pool: &str,
        walk: &mut Walk,
        wish: Wish<'_>,
        callers: &[RealNumber],
        max: usize,
    ) -> Vec<Tel> {
        let Some(of) = self.by_pool.get(pool) else {
            return Vec::new();
        };
        let crowds = callers
            .iter()
            .filter_map(|caller| self.crowds.get(&(*of, caller.key())));
        let crowds: ArrayVec<&Bits, 2> = crowds.take(2).collect();
        let shelf = self.shelves.get(*of as usize);
        shelf.map_or(Vec::new(), |shelf| shelf.next(walk, wish, &crowds, max))
    }

    /// The pool gave `x`; the next walk begins behind it.
    pub(super) fn chose(&self, x: VirtualNumber) {
        if let Some((shelf, at)) = self.places.get(&x.tel())
            && let Some(shelf) = self.shelves.get(*shelf as usize)
        {
            shelf.chose(*at);
        }
    }

    /// What a pool is short of for everybody, in one of `cities` (`None` is anywhere); `None` if there is room.
    pub(super) fn shortage(&self, pool: &str, cities: &[Option<&str>], role: Role) -> Option<Shortage> {
        match self.shelf(pool) {
            Some(shelf) => shelf.shortage(cities, role),
            None => Some(Shortage::Empty),
        }
    }

    /// How a pool is used, and how each of its cities is.
    pub(super) fn usage(&self, pool: &str) -> (Usage, BTreeMap<Box<str>, Usage>) {
        self.shelf(pool).map(Shelf::usage).unwrap_or_default()
    }

    /// Whether a pool has enough left.
    pub(super) fn level(&self, pool: &str) -> Level {
        self.shelf(pool).map(Shelf::level).unwrap_or_default()
    }

    /// Numbers on all shelves.
    pub(super) fn numbers(&self) -> usize {
        self.places.len()
    }

    fn shelf(&self, pool: &str) -> Option<&Shelf> {
        self.shelves.get(*self.by_pool.get(pool)? as usize)
    }

    /// The place of a pool's shelf; there is one from now on.
    fn shelf_of(&mut self, pool: &str) -> u32 {
        if let Some(shelf) = self.by_pool.get(pool) {
            return *shelf;
        }
        let shelf = u32::try_from(self.shelves.len()).unwrap_or(u32::MAX);
        self.shelves.push(Shelf::default());
        self.by_pool.insert(pool.into(), shelf);
        shelf
    }
}

/// Bindings that one number of a pool may carry. Where X is A's alone, others are in his way already.
fn limits(pool: &Pool) -> Each<u32> {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    match pool.mode {
        Mode::Axb => Each {
            x: count(pool.axb_pairs_per_x),
            y: 0,
        },
        // Those who are paired on a work number come where it is.
        Mode::Ax | Mode::Axn | Mode::Axn95 | Mode::Axg | Mode::Gxb | Mode::Xb | Mode::Inbound => {
            Each { x: 1, y: 0 }
        }
        Mode::Axe => Each {
            x: count(pool.extensions_per_x),
            y: 0,
        },
        Mode::Axyb | Mode::Gxyb => Each {
            x: 1,
            y: count(pool.relations_per_y),
        },
        Mode::X => Each { x: 1, y: 0 },
    }
}
