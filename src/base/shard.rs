//! Which of the SIP shards a call belongs to: decided by its Call-ID alone.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

/// One shard's place among its fellows, and the node's hash key that they share. The key is kept on disk:
/// Call-IDs that we mint are minted until they hash home.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shard {
    /// This shard's index, below `count`.
    pub index: usize,
    /// How many shards there are, at least one.
    pub count: usize,
    /// The node's key: strangers can't choose Call-IDs that all fall on one shard.
    pub key: [u64; 2],
}

impl Shard {
    /// The only shard there is.
    pub const ALONE: Self = Self {
        index: 0,
        count: 1,
        key: [0, 0],
    };

    /// The index of the shard that has this Call-ID's messages.
    pub fn home_of(&self, call_id: &[u8]) -> usize {
        if self.count <= 1 {
            return 0;
        }
        let state = ahash::RandomState::with_seeds(self.key[0], self.key[1], !self.key[0], !self.key[1]);
        let mut hasher = state.build_hasher();
        hasher.write(call_id);
        (hasher.finish() % self.count as u64) as usize
    }

    /// A number that these bytes alone decide, the same in every shard: nobody else can foretell it.
    pub fn draw(&self, parts: &[&[u8]]) -> u64 {
        let [one, two] = self.key;
        let state = ahash::RandomState::with_seeds(!one, two, one, two.rotate_left(32));
        let mut hasher = state.build_hasher();
        for part in parts {
            hasher.write(part);
            hasher.write_u8(0);
        }
        hasher.finish()
    }

    /// Whether this shard has this Call-ID's messages.
    pub fn is_home(&self, call_id: &[u8]) -> bool {
        self.home_of(call_id) == self.index
    }
}

/// Calls that live elsewhere than their Call-ID says, by it: a process before this one had them, under another number
/// of shards or another key. The values are the shards' indices.
pub type Moved = HashMap<Box<[u8]>, usize>;

/// Where each call lives, seen from one shard.
#[derive(Clone, Debug)]
pub struct Homes {
    /// Who looks.
    pub shard: Shard,
    /// The exceptions. They hold as long as the process runs: a new call under an old Call-ID loses nothing by it.
    pub moved: Arc<Moved>,
}

impl Homes {
    /// The index of the shard that has this Call-ID's messages.
    pub fn of(&self, call_id: &[u8]) -> usize {
        match self.moved.get(call_id) {
            Some(index) => *index,
            None => self.shard.home_of(call_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_id_has_one_home_and_all_shards_get_some() {
        let mut calls = [0; 3];
        for n in 0..300_u32 {
            let id = format!("call-{n}");
            let homes: Vec<usize> = (0..3)
                .filter(|index| {
                    Shard {
                        index: *index,
                        count: 3,
                        key: [1, 2],
                    }
                    .is_home(id.as_bytes())
                })
                .collect();
            assert_eq!(homes.len(), 1);
            calls[homes[0]] += 1;
        }
        assert!(calls.iter().all(|n| *n > 50), "{calls:?}");
    }

    #[test]
    fn a_call_that_came_from_another_number_of_shards_has_one_home_for_all() {
        let moved: Moved = [(Box::from(*b"call-1"), 2), (Box::from(*b"call-2"), 2)].into();
        let moved = Arc::new(moved);
        for index in 0..3 {
            let shard = Shard {
                index,
                count: 3,
                key: [1, 2],
            };
            let homes = Homes {
                shard,
                moved: moved.clone(),
            };
            assert_eq!([homes.of(b"call-1"), homes.of(b"call-2")], [2, 2]);
            assert_eq!(homes.of(b"call-3"), shard.home_of(b"call-3"));
        }
    }
}
