//! What each mode means: a binding → its keys, and the row that stands behind each of them.

use smallvec::{SmallVec, smallvec};

use super::binding::{Binding, Ended, Mode, Parties, Party, Rare};
use super::group::GroupId;
use super::keyed::Extension;
use super::rule::{Key, Who};
use crate::base::number::{RealNumber, Shown, Tel, VirtualNumber};

/// One family at a time is bound on a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// AXB.
    Axb,
    /// AX, AXN and 95AXN.
    Ax,
    /// AXE.
    Axe,
    /// AXYB and GXYB, for X and Y alike.
    Axyb,
    /// X: the customer's server is asked, and nothing is bound.
    X,
    /// AXG, GXB.
    Group,
    /// XB and its pairings.
    Xb,
    /// 400.
    Inbound,
}

/// The family of a mode.
pub const fn family(mode: Mode) -> Family {
    match mode {
        Mode::Axb => Family::Axb,
        Mode::Ax | Mode::Axn | Mode::Axn95 => Family::Ax,
        Mode::Axe => Family::Axe,
        Mode::Axyb | Mode::Gxyb => Family::Axyb,
        Mode::Axg | Mode::Gxb => Family::Group,
        Mode::Xb => Family::Xb,
        Mode::Inbound => Family::Inbound,
        Mode::X => Family::X,
    }
}

/// The rows that these parties make on `x`: a key, and who calls by it. One-way bindings make both: the other
/// key is taken too, and its caller is told that the direction is wrong.
pub fn rows(x: VirtualNumber, parties: &Parties) -> Rows {
    match parties {
        Parties::Axb { a, b } => smallvec![(by(x, *a), Party::A), (by(x, *b), Party::B)],
        Parties::Ax { a } | Parties::Axn { a } | Parties::Axn95 { a } => {
            smallvec![(anyone(x), Party::N), (by(x, *a), Party::A)]
        }
        Parties::Axyb { a, y, b } => smallvec![(by(*y, *a), Party::A), (by(x, *b), Party::B)],
        // (X, A) is no key of one binding: all that A owns on X share it, and he is found by what he owns.
        Parties::Axe { e, .. } => smallvec![(keyed(x, *e), Party::N)],
        Parties::Axg { a, group } => smallvec![
            (member(x, *group), Party::Member),
            (by(x, *a), Party::A),
            (whole(x), Party::N)
        ],
        Parties::Gxb { group, b } => smallvec![
            (member(x, *group), Party::Member),
            (by(x, *b), Party::B),
            (whole(x), Party::N)
        ],
        Parties::Gxyb { group, y, b } => {
            smallvec![(member(*y, *group), Party::Member), (by(x, *b), Party::B)]
        }
        Parties::Xb { b } => smallvec![(by(x, *b), Party::B), (whole(x), Party::N)],
        Parties::Paired { a, .. } => smallvec![(by(x, *a), Party::A)],
        Parties::Inbound { .. } => smallvec![(anyone(x), Party::N)],
    }
}

/// Keys, and who calls by each of them.
pub type Rows = SmallVec<[(Key, Party); 2]>;

/// The key by which a member of `group` calls `dialled`.
pub const fn member(dialled: VirtualNumber, group: GroupId) -> Key {
    Key {
        dialled: dialled.tel(),
        caller: Who::Member(group),
    }
}

/// The key that is had with the whole of `x`.
pub const fn whole(x: VirtualNumber) -> Key {
    Key {
        dialled: x.tel(),
        caller: Who::Whole,
    }
}

/// The key by which whoever keys `e` behind `x` calls.
pub const fn keyed(x: VirtualNumber, e: Extension) -> Key {
    Key {
        dialled: x.tel(),
        caller: Who::Extension(e),
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
pub fn keys(binding: &Binding) -> SmallVec<[Key; 2]> {
    let rows = rows(binding.x, &binding.parties);
    rows.into_iter().map(|(key, _)| key).collect()
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
        (Parties::Axb { b, .. } | Parties::Axyb { b, .. } | Parties::Paired { b, .. }, Party::A)
        | (
            Parties::Gxb { b, .. } | Parties::Gxyb { b, .. },
            Party::Member | Party::A | Party::N,
        )
        // The whole of a work number was its employee's.
        | (Parties::Xb { b }, Party::A | Party::N | Party::Member) => Some(*b),
        (Parties::Axg { .. }, Party::A)
        | (Parties::Gxb { .. } | Parties::Gxyb { .. } | Parties::Xb { .. }, Party::B) => None,
        (Parties::Inbound { base }, _) => Some(*base),
        (
            Parties::Ax { .. } | Parties::Axe { .. } | Parties::Axn { .. } | Parties::Axn95 { .. },
            Party::A,
        ) => None,
        (
            Parties::Axb { a, .. }
            | Parties::Axyb { a, .. }
            | Parties::Ax { a }
            | Parties::Axe { a, .. }
            | Parties::Axn { a }
            | Parties::Axn95 { a }
            | Parties::Axg { a, .. }
            | Parties::Paired { a, .. },
            Party::B | Party::N | Party::Member,
        ) => Some(*a),
    }
}

/// Where a caller is led.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Row {
    /// To this party, who sees this number.
    To(RealNumber, Shown),
    /// To whom the pool's callback mode says, who sees this number.
    Callback(Shown),
    /// To a member of the group, by the callback mode or as the group says by default, who sees this number.
    ToMember(GroupId, Shown),
    /// To the customer of the pairing that was made last, who sees this number.
    ToPaired(Shown),
    /// To whom the answer that he keys leads, who sees this number.
    ToChosen(Shown),
}

/// Where `caller` is led by a binding.
pub fn row(binding: &Binding, caller: Party) -> Row {
    let seen_x = Shown::Virtual(binding.x);
    match (binding.parties, caller) {
        // (X, A) → B shown X; (X, B) → A shown X.
        (Parties::Axb { b, .. }, Party::A) => Row::To(b, seen_x),
        (Parties::Axb { a, .. }, Party::B | Party::N | Party::Member) => Row::To(a, seen_x),
        // (X, anyone but A), (X + E) → A shown X; (X, A) → the callback mode.
        (
            Parties::Ax { a } | Parties::Axn { a } | Parties::Axn95 { a } | Parties::Axe { a, .. },
            Party::B | Party::N | Party::Member,
        ) => Row::To(a, seen_x),
        (
            Parties::Ax { .. } | Parties::Axn { .. } | Parties::Axn95 { .. } | Parties::Axe { .. },
            Party::A,
        ) => Row::Callback(seen_x),
        // (Y, A) → B shown X; (X, B) → A shown Y.
        (Parties::Axyb { b, .. }, Party::A) => Row::To(b, seen_x),
        (Parties::Axyb { a, y, .. }, Party::B | Party::N | Party::Member) => Row::To(a, Shown::Virtual(y)),
        // (X, member) → A shown X; (X, A) → a member shown X.
        (Parties::Axg { a, .. }, Party::Member | Party::B | Party::N) => Row::To(a, seen_x),
        (Parties::Axg { group, .. }, Party::A) => Row::ToMember(group, seen_x),
        // (X, member) → B shown X; (X, B) → a member shown X.
        (Parties::Gxb { b, .. }, Party::Member | Party::A) => Row::To(b, seen_x),
        (Parties::Gxb { group, .. }, Party::B | Party::N) => Row::ToMember(group, seen_x),
        // (Y, member) → B shown X; (X, B) → a member shown Y.
        (Parties::Gxyb { b, .. }, Party::Member | Party::A) => Row::To(b, seen_x),
        (Parties::Gxyb { group, y, .. }, Party::B | Party::N) => Row::ToMember(group, Shown::Virtual(y)),
        // (X, B) → whom he is paired with.
        (Parties::Xb { .. }, _) => Row::ToPaired(seen_x),
        // (X, customer) → B shown X, and the other way.
        (Parties::Paired { b, .. }, Party::A) => Row::To(b, seen_x),
        (Parties::Paired { a, .. }, Party::B | Party::N | Party::Member) => Row::To(a, seen_x),
        // (X, anyone) → the base number, which sees itself unless something else is said; or by the menu.
        (Parties::Inbound { base }, _) => {
            let shown = Shown::Virtual(displayed(binding.terms.rare(), base));
            match binding.terms.rare().menu {
                None => Row::To(base, shown),
                Some(_) => Row::ToChosen(shown),
            }
        }
    }
}

/// What is shown in place of a 400 number.
pub fn displayed(rare: &Rare, base: RealNumber) -> VirtualNumber {
    let display = rare.display;
    display.unwrap_or_else(|| VirtualNumber::new(base.reveal()))
}

/// The people who have a virtual number for themselves: it stands for them, and dialling it they would call
/// themselves. (Where anyone may call, A's own row is the callback.)
pub fn own(binding: &Binding) -> impl Iterator<Item = (RealNumber, VirtualNumber)> + use<> {
    match binding.parties {
        Parties::Ax { a } | Parties::Axn { a } | Parties::Axn95 { a } | Parties::Axe { a, .. } => {
            [Some((a, binding.x)), None]
        }
        Parties::Axyb { a, y, b } => [Some((a, binding.x)), Some((b, y))],
        Parties::Gxyb { y, b, .. } => [Some((b, y)), None],
        Parties::Axb { .. }
        | Parties::Axg { .. }
        | Parties::Gxb { .. }
        | Parties::Xb { .. }
        | Parties::Paired { .. }
        | Parties::Inbound { .. } => [None, None],
    }
    .into_iter()
    .flatten()
}

/// Whether the end of this binding gave an extension up; what an update replaced passed it on.
pub fn frees_extension(binding: &Binding) -> bool {
    let gave_up = match binding.ended {
        Some((_, Ended::Unbound | Ended::Expired)) => true,
        Some((_, Ended::Replaced)) | None => false,
    };
    gave_up && binding.parties.extension().is_some()
}

/// The person whom `dialled` stands for, if he would call himself by dialling it.
pub fn stands_for(binding: &Binding, dialled: Tel) -> Option<RealNumber> {
    match binding.parties {
        Parties::Axyb { .. } | Parties::Gxyb { .. } => {
            own(binding).find_map(|(person, number)| (number.tel() == dialled).then_some(person))
        }
        Parties::Axb { .. }
        | Parties::Ax { .. }
        | Parties::Axe { .. }
        | Parties::Axn { .. }
        | Parties::Axn95 { .. }
        | Parties::Axg { .. }
        | Parties::Gxb { .. }
        | Parties::Xb { .. }
        | Parties::Paired { .. }
        | Parties::Inbound { .. } => None,
    }
}
