//! The rule: what a binding compiles to, and what an attempt is looked up by.

use arrayvec::ArrayVec;
use smallvec::SmallVec;

use super::binding::Party;
use crate::base::id::Id;
use crate::base::number::Tel;

/// The question of an attempt: who is dialled, by whom.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The virtual number dialled.
    pub dialled: Tel,
    /// The caller.
    pub caller: Tel,
}

/// Points from a key to a binding's record. It says nothing by itself: whether the caller is a party, of
/// which version and until when, is read from the record as of the attempt's arrival. So a reader who
/// sees a rule before its record, or after it, sees nothing rather than a half.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    // Bytes, not `Id`: its alignment of 16 would cost every key 16 bytes.
    id: [u8; 16],
    party: Party,
}

impl Rule {
    /// The rule by which `party` of the binding `id` calls.
    pub const fn new(id: Id, party: Party) -> Self {
        Self {
            id: id.bits().to_le_bytes(),
            party,
        }
    }

    /// The binding.
    pub const fn id(self) -> Id {
        Id::from_bits(u128::from_le_bytes(self.id))
    }

    /// Which of its people calls.
    pub const fn party(self) -> Party {
        self.party
    }
}

/// The rules of one key, oldest first: at most one live, the others past.
pub type Rules = SmallVec<[Rule; 1]>;

/// The rules of one binding: as many rows as its mode has.
pub type Rows = ArrayVec<(Key, Rule), 4>;
