//! Which gateways a call may leave by, in order, and when the next one is tried.

use super::trunk::{MayShow, Trunk};
use crate::base::number::{Shown, VirtualNumber};
use crate::masking::inventory::Number;

/// Gateways that one call tries at the most.
const TRIES_MAX: usize = 8;

/// A gateway of a trunk, by their places in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit {
    /// The trunk's index.
    pub trunk: usize,
    /// The gateway's index in it.
    pub gateway: usize,
}

/// The exits of a call that shows `shown`, a number of ours: first the trunks that own it, then those that
/// let others' numbers be shown. Empty: no trunk may show it.
pub fn exits(trunks: &[Trunk], number: &Number, shown: Shown) -> Vec<Exit> {
    let of = |wanted: &dyn Fn(&Trunk) -> bool| -> Vec<usize> {
        (0..trunks.len()).filter(|i| wanted(&trunks[*i])).collect()
    };
    let own = of(&|t| owns(t, number));
    let guests = of(&|t| !owns(t, number) && lets_show(t, shown));
    own.into_iter()
        .chain(guests)
        .flat_map(|trunk| (0..trunks[trunk].gateways.len()).map(move |gateway| Exit { trunk, gateway }))
        .take(TRIES_MAX)
        .collect()
}

fn owns(trunk: &Trunk, number: &Number) -> bool {
    if number.trunks.is_empty() {
        trunk.default
    } else {
        number.trunks.contains(&trunk.name)
    }
}

fn lets_show(trunk: &Trunk, shown: Shown) -> bool {
    let prefix_of = |x: VirtualNumber, prefix: &str| x.tel().digits().starts_with(prefix);
    trunk.may_show.iter().any(|rule| match (rule, shown) {
        (MayShow::Own, _) => false,
        (MayShow::Any, _) => true,
        (MayShow::Prefix(prefix), Shown::Virtual(x)) => prefix_of(x, prefix),
        (MayShow::Prefix(_), Shown::Real(..) | Shown::Withheld) => false,
    })
}
