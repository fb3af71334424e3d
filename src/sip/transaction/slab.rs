//! A slab whose keys outlive their entries harmlessly: a slot's generation changes when its entry leaves.

/// A place in a slab, and whose turn it was.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key {
    slot: u32,
    generation: u32,
}

impl Key {
    /// The place of no entry.
    pub(super) const NOWHERE: Self = Self {
        slot: u32::MAX,
        generation: 0,
    };
}

/// Entries by [`Key`]. It has as many slots as it ever had entries, but an empty one is small.
pub(super) struct Slab<T> {
    slots: Vec<(u32, Option<Box<T>>)>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Takes the entry in; `None` when there are 2³² already.
    pub(super) fn insert(&mut self, entry: T) -> Option<Key> {
        if let Some(slot) = self.free.pop() {
            let (generation, place) = self.slots.get_mut(slot as usize)?;
            *place = Some(Box::new(entry));
            return Some(Key {
                slot,
                generation: *generation,
            });
        }
        let slot = u32::try_from(self.slots.len()).ok()?;
        self.slots.push((0, Some(Box::new(entry))));
        Some(Key { slot, generation: 0 })
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let (generation, entry) = self.slots.get(key.slot as usize)?;
        entry.as_deref().filter(|_| *generation == key.generation)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let (generation, entry) = self.slots.get_mut(key.slot as usize)?;
        entry.as_deref_mut().filter(|_| *generation == key.generation)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let (generation, place) = self.slots.get_mut(key.slot as usize)?;
        if *generation != key.generation {
            return None;
        }
        let entry = place.take()?;
        *generation = generation.wrapping_add(1);
        self.free.push(key.slot);
        Some(*entry)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        (0..).zip(&self.slots).filter_map(|(slot, (generation, entry))| {
            let key = Key {
                slot,
                generation: *generation,
            };
            entry.as_deref().map(|entry| (key, entry))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_nothing_once_its_entry_left_even_if_the_slot_is_taken_again() {
        let mut slab = Slab::new();
        let first = slab.insert("first").unwrap();
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second").unwrap();
        assert_eq!(second.slot, first.slot);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!((slab.get(second), slab.len()), (Some(&"second"), 1));
        assert_eq!(slab.iter().collect::<Vec<_>>(), [(second, &"second")]);
    }
}
