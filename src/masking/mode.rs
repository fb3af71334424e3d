//! What each mode means: a binding → its keys, and the row that stands behind each of them.

use super::binding::{Binding, Mode, Parties, Party};
use super::rule::{Key, Who};
use crate::base::number::{RealNumber, Shown, Tel, VirtualNumber};

/// One family at a time is bound on a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// AXB.
    Axb,
    /// AX.
    Ax,
    /// AXYB, for X and Y alike.
    Axyb,
}

/// The family of a mode.
pub const fn family(mode: Mode) -> Family {
    match mode {
        Mode::Axb => Family::Axb,
        Mode::Ax => Family::Ax,
        Mode::Axyb => Family::Axyb,
    }
}

/// The rows that these parties make on `x`: a key, and who calls by it. One-way bindings make both: the other
/// key is taken too, and its caller is told that the direction is wrong.
pub fn rows(x: VirtualNumber, parties: &Parties) -> [(Key, Party); 2] {
    match parties {
        Parties::Axb { a, b } => [(by(x, *a), Party::A), (by(x, *b), Party::B)],
        Parties::Ax { a } => [(anyone(x), Party::N), (by(x, *a), Party::A)],
        Parties::Axyb { a, y, b } => [(by(*y, *a), Party::A), (by(x, *b), Party::B)],
    }
}

/// The key by which `caller` calls `dialled`.
pub const fn by(dialled: VirtualNumber, caller: RealNumber) -> Key {
    Key {
        dialled: dialled.tel(),
        caller: Who::Number(caller.reveal()),
    }
}

/// The key by which whoever has no key of his own calls `x`.
pub const fn anyone(x: VirtualNumber) -> Key {
    Key {
        dialled: x.tel(),
        caller: Who::Anyone,
    }
}

/// The keys of a binding.
pub fn keys(binding: &Binding) -> [Key; 2] {
    rows(binding.x, &binding.parties).map(|(key, _)| key)
}

/// Who calls by `key`, if this version of the binding has it.
pub fn caller(binding: &Binding, key: Key) -> Option<Party> {
    let mut rows = rows(binding.x, &binding.parties).into_iter();
    rows.find_map(|(has, caller)| (has == key).then_some(caller))
}

/// Whom `caller` knows behind the number that he dials, if it is always the same: the other one of his pair.
pub const fn peer(binding: &Binding, caller: Party) -> Option<RealNumber> {
    peer_of(&binding.parties, caller)
}

/// The same of parties that aren't bound yet.
pub const fn peer_of(parties: &Parties, caller: Party) -> Option<RealNumber> {
    match (parties, caller) {
        (Parties::Axb { b, .. } | Parties::Axyb { b, .. }, Party::A) => Some(*b),
        (Parties::Ax { .. }, Party::A) => None,
        (Parties::Axb { a, .. } | Parties::Axyb { a, .. } | Parties::Ax { a }, Party::B | Party::N) => {
            Some(*a)
        }
    }
}

/// Where a caller is led.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Row {
    /// To this party, who sees this number.
    To(RealNumber, Shown),
    /// To whom A said beforehand, who sees this number.
    Callback(Shown),
}

/// Where `caller` is led by a binding.
pub fn row(binding: &Binding, caller: Party) -> Row {
    let seen_x = Shown::Virtual(binding.x);
    match (binding.parties, caller) {
        // (X, A) → B shown X; (X, B) → A shown X.
        (Parties::Axb { b, .. }, Party::A) => Row::To(b, seen_x),
        (Parties::Axb { a, .. }, Party::B | Party::N) => Row::To(a, seen_x),
        // (X, anyone but A) → A shown X; (X, A) → the callback mode.
        (Parties::Ax { a }, Party::B | Party::N) => Row::To(a, seen_x),
        (Parties::Ax { .. }, Party::A) => Row::Callback(seen_x),
        // (Y, A) → B shown X; (X, B) → A shown Y.
        (Parties::Axyb { b, .. }, Party::A) => Row::To(b, seen_x),
        (Parties::Axyb { a, y, .. }, Party::B | Party::N) => Row::To(a, Shown::Virtual(y)),
    }
}

/// The people who have a virtual number for themselves: it stands for them, and dialling it they would call
/// themselves. (In AX, A's own row is the callback.)
pub fn own(binding: &Binding) -> impl Iterator<Item = (RealNumber, VirtualNumber)> + use<> {
    match binding.parties {
        Parties::Axb { .. } => [None, None],
        Parties::Ax { a } => [Some((a, binding.x)), None],
        Parties::Axyb { a, y, b } => [Some((a, binding.x)), Some((b, y))],
    }
    .into_iter()
    .flatten()
}

/// The person whom `dialled` stands for, if he would call himself by dialling it.
pub fn stands_for(binding: &Binding, dialled: Tel) -> Option<RealNumber> {
    match binding.parties {
        Parties::Axyb { .. } => {
            own(binding).find_map(|(person, number)| (number.tel() == dialled).then_some(person))
        }
        Parties::Axb { .. } | Parties::Ax { .. } => None,
    }
}
