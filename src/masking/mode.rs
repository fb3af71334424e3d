//! What each mode means: a binding → its rules, and the row that one of its people calls by.

use super::binding::{Binding, Mode, Party};
use super::rule::{Key, Rows, Rule};
use crate::base::id::Id;
use crate::base::number::{RealNumber, Shown, VirtualNumber};

/// The rules of a binding. One-way bindings make both: the other key is taken too, and its caller is
/// told that the direction is wrong.
pub fn rules(binding: &Binding) -> Rows {
    keys(binding.mode, binding.id, binding.x, binding.a, binding.b)
}

/// The rules that a binding of these parts makes.
pub fn keys(mode: Mode, id: Id, x: VirtualNumber, a: RealNumber, b: RealNumber) -> Rows {
    let row = |caller: RealNumber, party| {
        let key = Key {
            dialled: x.tel(),
            caller: caller.reveal(),
        };
        (key, Rule::new(id, party))
    };
    match mode {
        Mode::Axb => [row(a, Party::A), row(b, Party::B)].into_iter().collect(),
    }
}

/// Whether this version of a binding makes the rule.
pub fn makes(binding: &Binding, key: Key, rule: Rule) -> bool {
    rules(binding).contains(&(key, rule))
}

/// Whom `caller` reaches, and what the called party sees.
pub fn row(binding: &Binding, caller: Party) -> (RealNumber, Shown) {
    match binding.mode {
        // (X, A) → B shown X; (X, B) → A shown X.
        Mode::Axb => (binding.number_of(caller.other()), Shown::Virtual(binding.x)),
    }
}
