//! Which gateways a call may leave by, in order, and when the next one is tried.

use super::config::Config;
use super::reach::{Reach, Standing};
use super::routes::{self, Leaving, Route};
use super::targets::{self, Resolved, Target};
use super::trunk::rank::{Draw, Rank, in_turn};
use super::trunk::{MayShow, Trunk};
use crate::base::chance::Chance;
use crate::base::number::{Shown, VirtualNumber};
use crate::base::time::Instant;
use crate::masking::inventory::Number;
use crate::masking::reason::Reason;
use crate::masking::route::Plan;

/// Gateways that one call tries at the most.
const TRIES_MAX: usize = 8;

/// A gateway of a trunk, by their places in the configuration, and one of its addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exit {
    /// The trunk's index.
    pub trunk: usize,
    /// The gateway's index in it.
    pub gateway: usize,
}

/// An address of a gateway that a call tries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Try {
    /// The trunk's index.
    pub trunk: usize,
    /// The gateway's index in it.
    pub gateway: usize,
    /// Where it is; `None`: its name resolves to nothing that we reach.
    pub target: Option<Target>,
}

/// By what right a trunk is used for a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Right {
    /// The number shown is its own.
    Owns,
    /// A route names it, and it may show the number.
    Routed,
    /// It may show the number.
    MayShow,
    /// It takes emergency calls.
    Emergency,
}

/// The exits of a call, in the order in which they are tried: gateways that are open, or, where none is, those that rest or
/// are down.
///
/// # Errors
/// Why there is none: no trunk with a gateway may show the number, or all that may are blocked.
pub fn exits(
    config: &Config,
    reach: &Reach,
    resolved: &Resolved,
    chance: &mut Chance,
    at: Instant,
    plan: &Plan,
) -> Result<Vec<Try>, Reason> {
    let (ways, _) = ways(config, plan, &mut Draw::Chance(chance));
    if ways.is_empty() {
        return Err(Reason::TrunkMayNotShow);
    }
    let exits = ways.into_iter().map(|(exit, _)| exit);
    tries(config, reach, resolved, chance, at, exits).ok_or(Reason::TrunkDown)
}

/// What of these exits is tried; `None`: every one is blocked.
fn tries(
    config: &Config,
    reach: &Reach,
    resolved: &Resolved,
    chance: &mut Chance,
    at: Instant,
    exits: impl Iterator<Item = Exit>,
) -> Option<Vec<Try>> {
    let (mut tries, mut spared, mut doubtful) = (Vec::new(), Vec::new(), Vec::new());
    for exit in exits {
        if tries.iter().filter(|exit: &&Try| exit.target.is_some()).count() >= TRIES_MAX {
            break;
        }
        let of = &config.trunks[exit.trunk];
        match reach.standing(of, exit.gateway, at) {
            Standing::Open => {
                let is_spared = |exit: &Try| {
                    let spared = |target: Target| reach.is_spared(of, exit.gateway, target.address, at);
                    exit.target.is_some_and(spared)
                };
                let all = tries_of(config, resolved, chance, exit);
                let (resting, fresh): (Vec<Try>, Vec<Try>) = all.into_iter().partition(is_spared);
                tries.extend(fresh);
                spared.extend(resting);
            }
            Standing::Rests(_) | Standing::Down => doubtful.push(exit),
            Standing::Blocked => {}
        }
    }
    if tries.is_empty() && spared.is_empty() && doubtful.is_empty() {
        return None;
    }
    // A name that resolves to nothing is no way out; what rests or is down may be one.
    if !tries.iter().any(|exit: &Try| exit.target.is_some()) {
        let doubtful = doubtful.into_iter();
        tries.extend(spared);
        tries.extend(doubtful.flat_map(|exit| tries_of(config, resolved, chance, exit)));
    }
    // Names that are nowhere take no other's turn; they are told in the record, as many of them.
    let mut left = [TRIES_MAX; 2];
    tries.retain(|exit| {
        let left = &mut left[usize::from(exit.target.is_some())];
        let is_in = *left > 0;
        *left = left.saturating_sub(1);
        is_in
    });
    Some(tries)
}

/// The exits of an emergency call: every gateway of its trunk. Those that are open come first; but what rests, is down or
/// is blocked is tried too, before nobody is reached.
pub fn exits_of(
    config: &Config,
    reach: &Reach,
    resolved: &Resolved,
    chance: &mut Chance,
    at: Instant,
    trunk: usize,
) -> Vec<Try> {
    let Some(of) = config.trunks.get(trunk) else {
        return Vec::new();
    };
    let ranks = of.gateways.iter().enumerate();
    let mut gateways: Vec<(Rank, usize)> = ranks.map(|(at, gateway)| (gateway.rank, at)).collect();
    in_turn(&mut gateways, &mut Draw::Chance(chance));
    gateways.sort_by_key(|(_, gateway)| match reach.standing(of, *gateway, at) {
        Standing::Open => 0,
        Standing::Rests(_) => 1,
        Standing::Down => 2,
        Standing::Blocked => 3,
    });
    let mut tries: Vec<Try> = gateways
        .into_iter()
        .flat_map(|(_, gateway)| tries_of(config, resolved, chance, Exit { trunk, gateway }))
        .collect();
    tries.truncate(TRIES_MAX);
    tries
}

/// The addresses of an exit, in the order in which one call tries them; of one whose name resolves to nothing it is one try
/// without an address.
fn tries_of(config: &Config, resolved: &Resolved, chance: &mut Chance, exit: Exit) -> Vec<Try> {
    let Exit { trunk, gateway } = exit;
    let of = &config.trunks[trunk];
    let targets = targets::of_gateway(
        &of.gateways[gateway],
        &config.listeners,
        of.listener,
        resolved,
        chance,
    );
    let one = |target| Try {
        trunk,
        gateway,
        target,
    };
    if targets.is_empty() {
        return vec![one(None)];
    }
    targets.into_iter().map(|target| one(Some(target))).collect()
}

/// All ways that a call may leave by, as somebody wants to see them: nothing is drawn.
#[derive(Debug)]
pub struct Survey<'c> {
    /// The route that the call takes, if one is for it.
    pub route: Option<&'c Route>,
    /// The gateways in order, by what right, and how each stands.
    pub ways: Vec<(Exit, Right, Standing)>,
    /// Trunks with gateways that may not show the number.
    pub barred: Vec<usize>,
}

/// Looks at all ways of such a call.
pub fn survey<'c>(config: &'c Config, reach: &Reach, at: Instant, plan: &Plan) -> Survey<'c> {
    let (ways, route) = ways(config, plan, &mut Draw::Nobody);
    let trunks = &config.trunks;
    let barred = (0..trunks.len()).filter(|index| {
        let is_used = ways.iter().any(|(exit, _)| exit.trunk == *index);
        !is_used && !trunks[*index].gateways.is_empty()
    });
    Survey {
        route,
        barred: barred.collect(),
        ways: ways
            .iter()
            .map(|(exit, right)| {
                let standing = reach.standing(&trunks[exit.trunk], exit.gateway, at);
                (*exit, *right, standing)
            })
            .collect(),
    }
}

/// Looks at all ways of an emergency call by this trunk.
pub fn survey_of<'c>(config: &'c Config, reach: &Reach, at: Instant, trunk: usize) -> Survey<'c> {
    let of = config.trunks.get(trunk);
    let gateways = of.iter().flat_map(|of| {
        let gateways = 0..of.gateways.len();
        gateways.map(move |gateway| {
            let standing = reach.standing(of, gateway, at);
            (Exit { trunk, gateway }, Right::Emergency, standing)
        })
    });
    Survey {
        route: None,
        ways: gateways.collect(),
        barred: Vec::new(),
    }
}

/// Every gateway that a call may leave by, in order: those of the trunks that own the number it shows, then of those that
/// its route names, then of the others that let the number be shown. What the route says of trunks that own the number
/// orders them.
fn ways<'c>(config: &'c Config, plan: &Plan, draw: &mut Draw<'_>) -> (Vec<(Exit, Right)>, Option<&'c Route>) {
    let trunks = &config.trunks;
    let (number, shown) = (plan.shows(), plan.shown());
    let route = match config.routes.as_slice() {
        [] => None,
        routes => routes::route_of(routes, Leaving::of(plan)),
    };
    let mut routed = route.map_or(Vec::new(), |route| route.trunks.clone());
    in_turn(&mut routed, draw);
    let place = |trunk: usize| routed.iter().position(|(_, routed)| *routed == trunk);
    let right = |index: usize| {
        let trunk = &trunks[index];
        if owns(trunk, number) {
            Some(Right::Owns)
        } else if !lets_show(trunk, shown) {
            None
        } else if place(index).is_some() {
            Some(Right::Routed)
        } else {
            Some(Right::MayShow)
        }
    };
    let all = (0..trunks.len()).filter_map(|index| Some((right(index)?, index)));
    let mut all: Vec<(Right, usize)> = all.collect();
    // Who isn't in the route comes behind whoever is; else they stand as in the conf.
    all.sort_by_key(|(right, index)| (*right, place(*index).unwrap_or(usize::MAX)));
    let mut ways = Vec::new();
    for (right, trunk) in all {
        let ranks = trunks[trunk].gateways.iter().enumerate();
        let mut gateways: Vec<(Rank, usize)> = ranks.map(|(at, gateway)| (gateway.rank, at)).collect();
        in_turn(&mut gateways, draw);
        let exits = gateways.iter().map(|(_, gateway)| Exit {
            trunk,
            gateway: *gateway,
        });
        ways.extend(exits.map(|exit| (exit, right)));
    }
    (ways, route)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::targets::{Name, Place, Scheme};
    use crate::call::trunk::{Gateway, Trunk};
    use crate::sip::path::Transport;

    #[test]
    fn names_that_are_nowhere_take_no_address_its_turn() {
        let place = |n: usize| match n {
            0..9 => Place::Named(Name {
                scheme: Scheme::Sip,
                host: format!("sbc{n}.carrier.example").into(),
                port: None,
                transport: None,
            }),
            _ => Place::At(Target {
                transport: Transport::Udp,
                address: ([192, 0, 2, n as u8], 5060).into(),
            }),
        };
        let gateway = |n| Gateway {
            place: place(n),
            rank: Default::default(),
        };
        let mut config = Config::on(([127, 0, 0, 1], 0).into());
        config.trunks = vec![Trunk {
            gateways: (0..20).map(gateway).collect(),
            ..Trunk::bare("carrier")
        }];
        let tried = |count: usize| {
            let exits = (0..count).map(|gateway| Exit { trunk: 0, gateway });
            let (reach, resolved, mut chance) =
                (Reach::default(), Resolved::default(), Chance::from_number(1));
            let tries = tries(&config, &reach, &resolved, &mut chance, Instant::default(), exits);
            let (found, nowhere): (Vec<Try>, Vec<Try>) = tries
                .expect("none is blocked")
                .into_iter()
                .partition(|one| one.target.is_some());
            let gateways = |tries: Vec<Try>| tries.into_iter().map(|one| one.gateway).collect::<Vec<_>>();
            (gateways(found), nowhere.len())
        };
        assert_eq!(tried(10), (vec![9], TRIES_MAX));
        assert_eq!(tried(20), ((9..17).collect(), TRIES_MAX));
    }
}
