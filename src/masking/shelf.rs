//! The shelf: a pool's numbers side by side, each with what the choice of X asks of it, as bits. One word of
//! a bit set answers for 64 numbers, so a choice costs the same on a full shelf of a hundred thousand
//! numbers as on an empty one of a hundred.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use super::inventory::NumberState;
use crate::base::limits::POOL_FREE_HYSTERESIS_PERCENT;
use crate::base::number::Tel;

/// A set of slots.
#[derive(Clone, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn set(&mut self, slot: u32) {
        let word = slot as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (slot % 64);
        }
    }

    pub(super) fn clear(&mut self, slot: u32) {
        if let Some(word) = self.0.get_mut(slot as usize / 64) {
            *word &= !(1 << (slot % 64));
        }
    }

    pub(super) fn put(&mut self, slot: u32, there: Place) {
        match there {
            Place::In => self.set(slot),
            Place::Out => self.clear(slot),
        }
    }

    /// 64 slots from `word` × 64 on.
    fn word(&self, word: usize) -> u64 {
        self.0.get(word).copied().unwrap_or(0)
    }

    /// Nothing yet, and room for so many slots.
    pub(super) fn with_words(words: usize) -> Self {
        Self(vec![0; words])
    }

    /// How much room it takes, in words.
    pub(super) fn words(&self) -> usize {
        self.0.len()
    }
}

/// Whether a slot is in a set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    In,
    Out,
}

impl Place {
    const fn when(is_in: bool) -> Self {
        if is_in { Self::In } else { Self::Out }
    }
}

/// What a binding has a number for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// To stand for A.
    X,
    /// To stand for B, where that is another number.
    Y,
}

/// Something for a number as X, and as Y.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Each<T> {
    pub(super) x: T,
    pub(super) y: T,
}

impl<T> Each<T> {
    fn of(&self, role: Role) -> &T {
        match role {
            Role::X => &self.x,
            Role::Y => &self.y,
        }
    }
}

/// One number's place on a shelf.
pub(super) struct Slot {
    pub(super) x: Tel,
    pub(super) state: NumberState,
    pub(super) city: Option<Box<str>>,
    /// Bindings that nobody has ended.
    pub(super) bindings: Each<u32>,
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
    room: Each<Bits>,
    cities: BTreeMap<Box<str>, Bits>,
    /// The slot of the number that was chosen last.
    cursor: AtomicU32,
    /// Bindings that one number may carry.
    limit: Each<u32>,
    numbers: usize,
    /// Bindings that its numbers in service can still carry as X.
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
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    /// With room for one more binding in this role.
    pub(super) role: Role,
    /// Of this city; anywhere if `None`.
    pub(super) city: Option<&'a str>,
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
    /// Of those in service, with as many bindings as X as the pool allows.
    pub full: usize,
    /// Locked.
    pub locked: usize,
    /// Frozen.
    pub frozen: usize,
    /// Bindings, by X and by Y.
    pub bindings: usize,
    /// Bindings that all of its numbers could carry as X.
    pub capacity: usize,
    /// Bindings that its numbers in service could still carry as X.
    pub free: usize,
}

impl Shelf {
    pub(super) fn put(&mut self, slot: Slot) -> u32 {
        let last = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let at = self.empty.pop().unwrap_or(last);
        if at == last {
            self.slots.push(None);
        }
        self.change(at, |place| *place = Some(slot));
        at
    }

    /// Takes a number off; how many bindings it had.
    pub(super) fn remove(&mut self, at: u32) -> Each<u32> {
        let mut bindings = Each::default();
        self.change(at, |place| {
            bindings = place.take().map_or(bindings, |slot| slot.bindings)
        });
        self.empty.push(at);
        bindings
    }

    /// Changes what stands at a slot, and all that follows from it.
    pub(super) fn change(&mut self, at: u32, change: impl FnOnce(&mut Option<Slot>)) {
        let limit = self.limit;
        let Some(place) = self.slots.get_mut(at as usize) else {
            return;
        };
        if let Some(before) = place {
            self.numbers -= 1;
            self.free -= before.free(limit).x as usize;
            if let Some(bits) = before.city.as_ref().and_then(|city| self.cities.get_mut(city)) {
                bits.clear(at);
            }
        }
        change(place);
        let (mut is_active, mut free) = (false, Each::default());
        if let Some(after) = place {
            is_active = after.state == NumberState::Active;
            free = after.free(limit);
            self.numbers += 1;
            self.free += free.x as usize;
            if let Some(city) = &after.city {
                self.cities.entry(city.clone()).or_default().set(at);
            }
        }
        self.active.put(at, Place::when(is_active));
        self.set_room(at, free);
        self.measure();
    }

    /// Changes how many bindings stand on a number.
    pub(super) fn count(&mut self, at: u32, count: impl FnOnce(&mut Each<u32>)) {
        let Some(Some(slot)) = self.slots.get_mut(at as usize) else {
            return;
        };
        let before = slot.free(self.limit).x as usize;
        count(&mut slot.bindings);
        let free = slot.free(self.limit);
        self.free = self.free + free.x as usize - before;
        self.set_room(at, free);
        self.measure();
    }

    pub(super) fn set_limits(&mut self, limit: Each<u32>, low_percent: u8) {
        self.low_percent = low_percent;
        if self.limit != limit {
            self.limit = limit;
            self.free = 0;
            for at in 0..u32::try_from(self.slots.len()).unwrap_or(u32::MAX) {
                let slot = self.slots.get(at as usize).and_then(Option::as_ref);
                let free = slot.map_or(Each::default(), |slot| slot.free(limit));
                self.free += free.x as usize;
                self.set_room(at, free);
            }
        }
        self.measure();
    }

    fn set_room(&mut self, at: u32, free: Each<u32>) {
        self.room.x.put(at, Place::when(free.x > 0));
        self.room.y.put(at, Place::when(free.y > 0));
    }

    /// Low below the mark, well again clearly above it.
    fn measure(&mut self) {
        let capacity = self.numbers.saturating_mul(self.limit.x as usize);
        let share = |percent: u8| capacity.saturating_mul(percent.into());
        let mark = self.low_percent;
        let well_again = mark.saturating_add(POOL_FREE_HYSTERESIS_PERCENT).min(100);
        let free = self.free.saturating_mul(100);
        self.level = match self.level {
            _ if mark == 0 || self.numbers == 0 => Level::Well,
            Level::Well if free < share(mark) => Level::Low,
            Level::Low if free >= share(well_again) => Level::Well,
            as_before @ (Level::Well | Level::Low) => as_before,
        };
    }

    pub(super) fn words(&self) -> usize {
        self.slots.len().div_ceil(64)
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    pub(super) fn usage(&self) -> (Usage, BTreeMap<Box<str>, Usage>) {
        let (mut all, mut cities) = (Usage::default(), BTreeMap::<Box<str>, Usage>::new());
        for slot in self.slots.iter().flatten() {
            all.add(slot, self.limit);
            if let Some(city) = &slot.city {
                cities.entry(city.clone()).or_default().add(slot, self.limit);
            }
        }
        (all, cities)
    }

    /// A walk over every number, beginning behind the one that was chosen last.
    pub(super) fn walk(&self) -> Walk {
        let slots = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let cursor = self.cursor.load(Ordering::Relaxed);
        Walk {
            at: if cursor < slots { cursor } else { 0 },
            left: slots,
        }
    }

    /// The next numbers on the way that have room, fit the wish and are in none of the sets `without`, at most
    /// `max`; none at its end.
    pub(super) fn next(&self, walk: &mut Walk, wish: Wish<'_>, without: &[&Bits], max: usize) -> Vec<Tel> {
        let mut found = Vec::new();
        let room = self.room.of(wish.role);
        let city = wish.city.map(|city| self.cities.get(city));
        let slots = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        while walk.left > 0 && found.len() < max {
            let (word, bit) = ((walk.at / 64) as usize, walk.at % 64);
            let mut fits = room.word(word);
            if let Some(city) = city {
                fits &= city.map_or(0, |city| city.word(word));
            }
            for taken in without {
                fits &= !taken.word(word);
            }
            // From the walk's place to the end of the word, of the shelf, or of the round.
            let span = (64 - bit).min(slots.saturating_sub(walk.at)).min(walk.left);
            fits >>= bit;
            if span < 64 {
                fits &= (1 << span) - 1;
            }
            let stop = fits.trailing_zeros();
            if fits != 0 {
                let at = walk.at.saturating_add(stop) as usize;
                found.extend(self.slots.get(at).into_iter().flatten().map(|slot| slot.x));
            }
            let step = if fits == 0 { span } else { stop + 1 };
            walk.left -= step;
            walk.at = walk.at.saturating_add(step);
            if walk.at >= slots {
                walk.at = 0;
            }
        }
        found
    }

    /// It gave the number at `at`; the next walk begins behind it.
    pub(super) fn chose(&self, at: u32) {
        self.cursor.store(at.saturating_add(1), Ordering::Relaxed);
    }

    /// What it is short of for everybody, in one of `cities` (`None` is anywhere); `None` if there is room.
    pub(super) fn shortage(&self, cities: &[Option<&str>], role: Role) -> Option<Shortage> {
        let anywhere = cities.contains(&None);
        let some_in = |bits: &dyn Fn(usize) -> u64| {
            (0..self.words()).any(|word| {
                let here = cities.iter().flatten().filter_map(|city| self.cities.get(*city));
                let here = here.fold(0, |all, city| all | city.word(word));
                bits(word) & if anywhere { u64::MAX } else { here } != 0
            })
        };
        if self.numbers == 0 {
            Some(Shortage::Empty)
        } else if !some_in(&|_| u64::MAX) {
            Some(Shortage::City)
        } else if !some_in(&|word| self.active.word(word)) {
            Some(Shortage::OutOfService)
        } else if !some_in(&|word| self.room.of(role).word(word)) {
            Some(Shortage::Full)
        } else {
            None
        }
    }
}

impl Slot {
    /// Bindings that it can still carry.
    fn free(&self, limit: Each<u32>) -> Each<u32> {
        if self.state != NumberState::Active {
            return Each::default();
        }
        Each {
            x: limit.x.saturating_sub(self.bindings.x),
            y: limit.y.saturating_sub(self.bindings.y),
        }
    }
}

impl Usage {
    /// The free share, in whole percent rounded down; 0 for a pool without numbers.
    pub fn free_percent(&self) -> u8 {
        let percent = self.free.saturating_mul(100).checked_div(self.capacity);
        percent.and_then(|p| u8::try_from(p).ok()).unwrap_or(0)
    }

    fn add(&mut self, slot: &Slot, limit: Each<u32>) {
        let bindings = slot.bindings.x + slot.bindings.y;
        self.numbers += 1;
        self.bindings += bindings as usize;
        self.capacity += limit.x as usize;
        let free = slot.free(limit).x;
        match slot.state {
            NumberState::Inventory => self.inventory += 1,
            NumberState::Active => {
                self.free += free as usize;
                self.full += usize::from(free == 0);
                if bindings == 0 {
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
