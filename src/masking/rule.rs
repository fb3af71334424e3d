//! The rule: what a binding compiles to, and what an attempt is looked up by.

use smallvec::SmallVec;

use super::group::GroupId;
use super::keyed::Extension;
use crate::base::id::Id;
use crate::base::number::Tel;

/// Who calls, as a key names it. The most specific key wins: a number, an extension or a member before anyone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Who {
    /// Whoever has no key of his own.
    Anyone,
    /// Whoever keys this extension.
    Extension(Extension),
    /// This number.
    Number(Tel),
    /// A member of this group.
    Member(GroupId),
    /// Nobody calls by it: it is had with the whole number, where that is one binding's alone.
    Whole,
}

/// The question of an attempt: what is dialled, by whom.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key {
    /// The virtual number dialled.
    pub dialled: Tel,
    /// The caller.
    pub caller: Who,
}

/// Points from a key to a binding's record. It says nothing by itself: whether the caller is a party, of
/// which version and until when, is read from the record as of the attempt's arrival. So a reader who
/// sees a rule before its record, or after it, sees nothing rather than a half.
pub type Rule = Id;

/// The rules of one key, oldest first: at most one live, the others past.
pub type Rules = SmallVec<[Rule; 1]>;
