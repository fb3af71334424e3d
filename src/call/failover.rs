//! Which gateways a call may leave by, in order, and when the next one is tried.

use super::config::Config;
use super::targets::{self, Resolved, Target};
use super::trunk::{MayShow, Trunk};
use crate::base::chance::Chance;
use crate::base::number::{Shown, VirtualNumber};
use crate::masking::inventory::Number;

/// Gateways that one call tries at the most.
const TRIES_MAX: usize = 8;

/// A gateway of a trunk, by their places in the configuration, and one of its addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit {
    /// The trunk's index.
    pub trunk: usize,
    /// The gateway's index in it.
    pub gateway: usize,
    /// Where it is; `None`: its name resolves to nothing that we reach.
    pub target: Option<Target>,
}

/// The exits of a call that shows `shown`, a number of ours: first the trunks that own it, then those that
/// let others' numbers be shown. Empty: no trunk may show it.
pub fn exits(
    config: &Config,
    resolved: &Resolved,
    chance: &mut Chance,
    number: &Number,
    shown: Shown,
) -> Vec<Exit> {
    let trunks = &config.trunks;
    let of = |wanted: &dyn Fn(&Trunk) -> bool| -> Vec<usize> {
        (0..trunks.len()).filter(|i| wanted(&trunks[*i])).collect()
    };
    let own = of(&|t| owns(t, number));
    let guests = of(&|t| !owns(t, number) && lets_show(t, shown));
    let mut exits = Vec::new();
    let gateways = own
        .into_iter()
        .chain(guests)
        .flat_map(|trunk| (0..trunks[trunk].gateways.len()).map(move |gateway| (trunk, gateway)));
    for (trunk, gateway) in gateways {
        if exits.len() >= TRIES_MAX {
            break;
        }
        let of = &trunks[trunk];
        let targets = targets::of_gateway(
            &of.gateways[gateway],
            &config.listeners,
            of.listener,
            resolved,
            chance,
        );
        let exit = |target| Exit {
            trunk,
            gateway,
            target,
        };
        if targets.is_empty() {
            exits.push(exit(None));
        } else {
            exits.extend(targets.into_iter().map(|target| exit(Some(target))));
        }
    }
    exits.truncate(TRIES_MAX);
    exits
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
