//! The shelf: a pool's numbers side by side, each with what the choice of X asks of it, as bits. One word of
//! a bit set answers for 64 numbers, so a choice costs the same on a full shelf of a hundred thousand
//! numbers as on an empty one of a hundred, whoever is bound on however many of them.
//!
//! A shelf proposes; the law decides. What stands here is the newest durable state, without the group of
//! writes that is being planned and without what has expired and is not written down yet: the planner
//! proves every proposal, and looks at those few by itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering};

use ahash::HashMap;
use arrayvec::ArrayVec;

use super::binding::Binding;
use super::inventory::{Number, NumberState, Pool};
use super::mode;
use crate::base::limits::{CROWD_WORDS_MAX, POOL_FREE_HYSTERESIS_PERCENT};
use crate::base::number::Tel;

/// A set of slots.
#[derive(Clone, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    fn set(&mut self, slot: u32) {
        let word = slot as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (slot % 64);
        }
    }

    fn clear(&mut self, slot: u32) {
        if let Some(word) = self.0.get_mut(slot as usize / 64) {
            *word &= !(1 << (slot % 64));
        }
    }

    fn put(&mut self, slot: u32, there: Place) {
        match there {
            Place::In => self.set(slot),
            Place::Out => self.clear(slot),
        }
    }

    /// 64 slots from `word` × 64 on.
    fn word(&self, word: usize) -> u64 {
        self.0.get(word).copied().unwrap_or(0)
    }

    fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// Whether a slot is in a set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    In,
    Out,
}

impl Place {
    const fn when(is_in: bool) -> Self {
        if is_in { Self::In } else { Self::Out }
    }
}

/// One number's place on a shelf.
struct Slot {
    x: Tel,
    state: NumberState,
    city: Option<Box<str>>,
    /// Bindings that nobody has ended.
    bindings: usize,
}

/// A pool's numbers.
#[derive(Default)]
pub(super) struct Shelf {
    /// Empty slots are kept for the next number: bits elsewhere name slots.
    slots: Vec<Option<Slot>>,
    empty: Vec<u32>,
    /// In service.
    active: Bits,
    /// In service, and not full.
    room: Bits,
    cities: BTreeMap<Box<str>, Bits>,
    /// The slot of the number that was chosen last.
    cursor: AtomicU32,
    /// Bindings that one number may carry.
    limit: usize,
    numbers: usize,
    /// Bindings that its numbers in service can still carry.
    free: usize,
    low_percent: u8,
    level: Level,
}

/// Whether a pool has enough left.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Level {
    /// It has, or it has no number at all, or doesn't say what is low.
    #[default]
    Well,
    /// Less is free than its mark says, and not clearly more since.
    Low,
}

impl Level {
    /// Whether somebody should add numbers.
    pub const fn is_low(self) -> bool {
        match self {
            Self::Well => false,
            Self::Low => true,
        }
    }
}

/// Which numbers a walk stops at.
#[derive(Clone, Copy, Default)]
pub(super) struct Wish<'a> {
    /// Of this city; anywhere if `None`.
    pub(super) city: Option<&'a str>,
    /// Not those that serve one of these.
    pub(super) without: [Option<Tel>; 2],
}

/// A walk around a shelf, beginning behind the number that was chosen last.
pub(super) struct Walk {
    at: u32,
    left: u32,
}

/// Where a pool is short of numbers, from the plainest lack to the finest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Shortage {
    /// It has no number.
    Empty,
    /// It has none in the city, and may choose no other.
    City,
    /// Those it has are locked, frozen or not in service yet.
    OutOfService,
    /// Those in service are as full as the pool allows.
    Full,
    /// Those with room serve one of the two already.
    Taken,
    /// Those that serve neither rest after somebody else.
    Resting,
    /// Those that serve neither served one of them lately, which the pool avoids.
    Avoided,
}

/// How a pool, or one city of it, is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Numbers, released ones left out.
    pub numbers: usize,
    /// Not in service yet.
    pub inventory: usize,
    /// In service and without a binding.
    pub idle: usize,
    /// In service and with one at least.
    pub bound: usize,
    /// Of those in service, as full as the pool allows.
    pub full: usize,
    /// Locked.
    pub locked: usize,
    /// Frozen.
    pub frozen: usize,
    /// With keys that rest after somebody.
    pub resting: usize,
    /// Bindings.
    pub bindings: usize,
    /// Bindings that all of its numbers could carry.
    pub capacity: usize,
    /// Bindings that its numbers in service could still carry.
    pub free: usize,
}

impl Shelf {
    fn put(&mut self, slot: Slot) -> u32 {
        let at = self
            .empty
            .pop()
            .unwrap_or(u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
        if self.slots.len() <= at as usize {
            self.slots.push(None);
        }
        self.change(at, |place| *place = Some(slot));
        at
    }

    fn remove(&mut self, at: u32) {
        self.change(at, |place| *place = None);
        self.empty.push(at);
    }

    /// Changes what stands at a slot, and all that follows from it.
    fn change(&mut self, at: u32, change: impl FnOnce(&mut Option<Slot>)) {
        let limit = self.limit;
        let Some(place) = self.slots.get_mut(at as usize) else {
            return;
        };
        if let Some(before) = place {
            self.numbers -= 1;
            self.free -= before.free(limit);
            if let Some(bits) = before.city.as_ref().and_then(|city| self.cities.get_mut(city)) {
                bits.clear(at);
            }
        }
        change(place);
        let (mut is_active, mut free) = (false, 0);
        if let Some(after) = place {
            (is_active, free) = (after.state == NumberState::Active, after.free(limit));
            self.numbers += 1;
            self.free += free;
            if let Some(city) = &after.city {
                self.cities.entry(city.clone()).or_default().set(at);
            }
        }
        self.active.put(at, Place::when(is_active));
        self.room.put(at, Place::when(free > 0));
        self.measure();
    }

    /// Changes how many bindings stand on a number.
    fn count(&mut self, at: u32, count: impl FnOnce(usize) -> usize) {
        let Some(Some(slot)) = self.slots.get_mut(at as usize) else {
            return;
        };
        let before = slot.free(self.limit);
        slot.bindings = count(slot.bindings);
        let after = slot.free(self.limit);
        self.free = self.free.saturating_add(after).saturating_sub(before);
        self.room.put(at, Place::when(after > 0));
        self.measure();
    }

    fn set_limits(&mut self, limit: usize, low_percent: u8) {
        self.low_percent = low_percent;
        if self.limit != limit {
            self.limit = limit;
            self.free = 0;
            for (at, slot) in (0..).zip(&self.slots) {
                let free = slot.as_ref().map_or(0, |slot| slot.free(limit));
                self.free += free;
                self.room.put(at, Place::when(free > 0));
            }
        }
        self.measure();
    }

    /// Low below the mark, well again clearly above it.
    fn measure(&mut self) {
        let share = |percent: u8| {
            self.numbers
                .saturating_mul(self.limit)
                .saturating_mul(percent.into())
        };
        let mark = self.low_percent;
        let free = self.free.saturating_mul(100);
        self.level = match self.level {
            _ if mark == 0 || self.numbers == 0 => Level::Well,
            Level::Well if free < share(mark) => Level::Low,
            Level::Low if free >= share(mark.saturating_add(POOL_FREE_HYSTERESIS_PERCENT).min(100)) => {
                Level::Well
            }
            as_before @ (Level::Well | Level::Low) => as_before,
        };
    }

    fn words(&self) -> usize {
        self.slots.len().div_ceil(64)
    }

    fn usage(&self) -> (Usage, BTreeMap<Box<str>, Usage>) {
        let (mut all, mut cities) = (Usage::default(), BTreeMap::<Box<str>, Usage>::new());
        for slot in self.slots.iter().flatten() {
            all.add(slot, self.limit);
            if let Some(city) = &slot.city {
                cities.entry(city.clone()).or_default().add(slot, self.limit);
            }
        }
        (all, cities)
    }
}

impl Slot {
    /// Bindings that it can still carry.
    fn free(&self, limit: usize) -> usize {
        if self.state == NumberState::Active {
            limit.saturating_sub(self.bindings)
        } else {
            0
        }
    }
}

/// Every pool's shelf.
#[derive(Default)]
pub(super) struct Shelves {
    shelves: Vec<Shelf>,
    by_pool: BTreeMap<Box<str>, u32>,
    places: HashMap<Tel, (u32, u32)>,
    /// People who are on so many numbers of a shelf that they were looked for by bits.
    crowds: HashMap<(u32, Tel), Bits>,
    /// The oldest go when these take too much.
    crowds_by_age: VecDeque<(u32, Tel)>,
    crowd_words: usize,
}

impl Shelves {
    /// A pool is made or changed.
    pub(super) fn put_pool(&mut self, pool: &Pool) {
        let shelf = self.shelf_of(&pool.key);
        if let Some(shelf) = self.shelves.get_mut(shelf as usize) {
            shelf.set_limits(pool.bindings_per_number(), pool.settings.free_low_percent);
        }
    }

    /// A number is added, changed, moved or given up. `bindings` stand on it, not ended.
    pub(super) fn put_number(&mut self, number: &Number, bindings: usize) {
        let x = number.x.tel();
        let shelf = self.shelf_of(&number.pool);
        if let Some((old, at)) = self.places.get(&x).copied()
            && (old != shelf || !number.is_ours())
        {
            self.places.remove(&x);
            if let Some(shelf) = self.shelves.get_mut(old as usize) {
                shelf.remove(at);
            }
            for ((of, _), taken) in &mut self.crowds {
                if *of == old {
                    taken.clear(at);
                }
            }
        }
        let Some(on) = self.shelves.get_mut(shelf as usize).filter(|_| number.is_ours()) else {
            return;
        };
        let slot = Slot {
            x,
            state: number.state,
            city: number.city.clone(),
            bindings,
        };
        match self.places.get(&x) {
            Some((_, at)) => on.change(*at, |place| *place = Some(slot)),
            None => {
                let at = on.put(slot);
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
        let mut counted: ArrayVec<Tel, 4> = ArrayVec::new();
        for (key, _) in mode::rules(binding) {
            let Some((of, at)) = self.places.get(&key.dialled).copied() else {
                continue;
            };
            // As good as always there is no crowd, and nothing to look up.
            if !self.crowds.is_empty()
                && let Some(taken) = self.crowds.get_mut(&(of, key.caller))
            {
                taken.put(at, there);
            }
            if !counted.contains(&key.dialled) {
                counted.push(key.dialled);
                if let Some(shelf) = self.shelves.get_mut(of as usize) {
                    shelf.count(at, |bindings| match there {
                        Place::In => bindings.saturating_add(1),
                        Place::Out => bindings.saturating_sub(1),
                    });
                }
            }
        }
    }

    /// Whether it is known where `caller` has keys, by bits.
    pub(super) fn knows(&self, pool: &str, caller: Tel) -> bool {
        let shelf = self.by_pool.get(pool);
        shelf.is_some_and(|shelf| self.crowds.contains_key(&(*shelf, caller)))
    }

    /// From now on it is known by bits: he has keys on `xs`.
    pub(super) fn learn(&mut self, pool: &str, caller: Tel, xs: impl Iterator<Item = Tel>) {
        let shelf = self.shelf_of(pool);
        let words = self.shelves.get(shelf as usize).map_or(0, Shelf::words);
        let mut taken = Bits(vec![0; words]);
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
            let words = self.crowds.remove(&oldest).map_or(0, |taken| taken.0.len());
            self.crowd_words = self.crowd_words.saturating_sub(words);
        }
        self.crowds_by_age.push_back((shelf, caller));
        self.crowds.insert((shelf, caller), taken);
    }

    /// A walk over every number of a pool, beginning behind the one that was chosen last.
    pub(super) fn walk(&self, pool: &str) -> Walk {
        let shelf = self.shelf(pool);
        let slots = shelf.map_or(0, |shelf| u32::try_from(shelf.slots.len()).unwrap_or(u32::MAX));
        let cursor = shelf.map_or(0, |shelf| shelf.cursor.load(Ordering::Relaxed));
        Walk {
            at: if cursor < slots { cursor } else { 0 },
            left: slots,
        }
    }

    /// The next numbers on the way that have room and fit the wish, at most `max`; none at its end.
    pub(super) fn next(&self, pool: &str, walk: &mut Walk, wish: &Wish<'_>, max: usize) -> Vec<Tel> {
        let mut found = Vec::new();
        let Some(of) = self.by_pool.get(pool) else {
            return found;
        };
        let Some(shelf) = self.shelves.get(*of as usize) else {
            return found;
        };
        let city = wish.city.map(|city| shelf.cities.get(city));
        let without = wish.without.map(|caller| self.crowds.get(&(*of, caller?)));
        let slots = u32::try_from(shelf.slots.len()).unwrap_or(u32::MAX);
        while walk.left > 0 && found.len() < max {
            let (word, bit) = (walk.at / 64, walk.at % 64);
            let mut fits = shelf.room.word(word as usize);
            if let Some(city) = city {
                fits &= city.map_or(0, |city| city.word(word as usize));
            }
            for taken in without.into_iter().flatten() {
                fits &= !taken.word(word as usize);
            }
            // From the walk's place to the end of the word, of the shelf, or of the round.
            let span = (64 - bit).min(slots.saturating_sub(walk.at)).min(walk.left);
            fits >>= bit;
            if span < 64 {
                fits &= (1 << span) - 1;
            }
            let stop = fits.trailing_zeros();
            let step = if fits == 0 { span } else { stop + 1 };
            if fits != 0 {
                let at = walk.at.saturating_add(stop) as usize;
                found.extend(shelf.slots.get(at).into_iter().flatten().map(|slot| slot.x));
            }
            walk.left -= step;
            walk.at = walk.at.saturating_add(step);
            if walk.at >= slots {
                walk.at = 0;
            }
        }
        found
    }

    /// The pool gave `x`; the next walk begins behind it.
    pub(super) fn chose(&self, x: Tel) {
        if let Some((shelf, at)) = self.places.get(&x)
            && let Some(shelf) = self.shelves.get(*shelf as usize)
        {
            shelf.cursor.store(at.saturating_add(1), Ordering::Relaxed);
        }
    }

    /// Whether a pool has numbers in this city.
    pub(super) fn has_city(&self, pool: &str, city: &str) -> bool {
        let shelf = self.shelf(pool);
        let city = shelf.and_then(|shelf| shelf.cities.get(city));
        city.is_some_and(|bits| bits.count() > 0)
    }

    /// What a pool, or its numbers in one of `cities`, is short of for everybody; `None` if there is room.
    pub(super) fn shortage(&self, pool: &str, cities: &[Option<&str>]) -> Option<Shortage> {
        let Some(shelf) = self.shelf(pool).filter(|shelf| shelf.numbers > 0) else {
            return Some(Shortage::Empty);
        };
        let anywhere = cities.contains(&None);
        if !anywhere && !cities.iter().flatten().any(|city| self.has_city(pool, city)) {
            return Some(Shortage::City);
        }
        let some_in = |bits: &Bits| {
            (0..shelf.words()).any(|word| {
                let here = cities.iter().flatten().filter_map(|city| shelf.cities.get(*city));
                let here = here.fold(0, |all, city| all | city.word(word));
                bits.word(word) & if anywhere { u64::MAX } else { here } != 0
            })
        };
        if !some_in(&shelf.active) {
            Some(Shortage::OutOfService)
        } else if !some_in(&shelf.room) {
            Some(Shortage::Full)
        } else {
            None
        }
    }

    /// How a pool is used, and how each of its cities is.
    pub(super) fn usage(&self, pool: &str) -> (Usage, BTreeMap<Box<str>, Usage>) {
        self.shelf(pool).map(Shelf::usage).unwrap_or_default()
    }

    /// Whether a pool has enough left.
    pub(super) fn level(&self, pool: &str) -> Level {
        self.shelf(pool).map(|shelf| shelf.level).unwrap_or_default()
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

impl Usage {
    /// The free share, in whole percent rounded down; 0 for a pool without numbers.
    pub fn free_percent(&self) -> u8 {
        let percent = self.free.saturating_mul(100).checked_div(self.capacity);
        percent.and_then(|p| u8::try_from(p).ok()).unwrap_or(0)
    }

    fn add(&mut self, slot: &Slot, limit: usize) {
        self.numbers += 1;
        self.bindings += slot.bindings;
        self.capacity += limit;
        match slot.state {
            NumberState::Inventory => self.inventory += 1,
            NumberState::Active => {
                self.free += limit.saturating_sub(slot.bindings);
                self.full += usize::from(slot.bindings >= limit);
                if slot.bindings == 0 {
                    self.idle += 1;
                } else {
                    self.bound += 1;
                }
            }
            NumberState::Locked => self.locked += 1,
            NumberState::Frozen(_) => self.frozen += 1,
            NumberState::Released => {}
        }
    }
}
