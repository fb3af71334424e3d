//! Which gateways can be used: what probes found, who asked for a rest, what an admin has blocked. All shards share it:
//! one of them probes, any may hear a 503, and the owner of the process blocks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::config::Config;
use super::trunk::Trunk;
use super::trunk::probe::Probe;
use crate::base::limits::{BLOCKS_MAX, GATEWAY_REST_MAX};
use crate::base::time::{Instant, Now, Wall};

/// How a gateway stands for a new call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Calls go by it.
    Open,
    /// It asked to be spared (503 with Retry-After) until then: used if nothing better is left.
    Rests(Instant),
    /// Its probes aren't answered: used if nothing better is left.
    Down,
    /// An admin has blocked it, or its trunk: never used.
    Blocked,
}

/// What came of a probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// A final answer, after so long. 408 and 503 are no good ones.
    Status(u16, Duration),
    /// None in time.
    Timeout,
    /// It could not be sent, or nobody listens there.
    Undelivered,
}

impl Outcome {
    /// Whether the gateway is there: whoever says anything is, even that it wants a password or knows no OPTIONS.
    pub const fn is_good(self) -> bool {
        match self {
            Self::Status(status, _) => !matches!(status, 408 | 503),
            Self::Timeout | Self::Undelivered => false,
        }
    }
}

/// What is known of one gateway.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Known {
    /// Since when an admin has it blocked.
    pub blocked: Option<Wall>,
    /// Until when it asked to be spared.
    pub rests: Option<Instant>,
    /// Which of its servers asked to be spared until when, while it has others.
    pub spared: BTreeMap<SocketAddr, Instant>,
    /// Since when it is down.
    pub down: Option<Wall>,
    /// The last probe, and when its outcome was known.
    pub last: Option<(Outcome, Wall)>,
    /// Probes in a row whose outcome speaks against what is held of it.
    run: u32,
    /// Probes that had a good answer.
    pub answered: u64,
    /// Probes that had none.
    pub failed: u64,
}

/// What is known of a trunk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OfTrunk {
    /// Since when an admin has it blocked, whole.
    pub blocked: Option<Wall>,
    /// Its gateways, by name. Of one that isn't here nothing is known.
    pub gateways: BTreeMap<Box<str>, Known>,
}

/// Something that an admin has blocked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// The trunk's name.
    pub trunk: Box<str>,
    /// The gateway's, if it isn't the whole trunk.
    pub gateway: Option<Box<str>>,
    /// Since when.
    pub since: Wall,
}

/// No more can be blocked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{BLOCKS_MAX} trunks and gateways are blocked already: unblock some")]
pub struct TooMany;

type Trunks = BTreeMap<Box<str>, OfTrunk>;

/// Which gateways can be used.
#[derive(Default)]
pub struct Reach {
    trunks: Mutex<Trunks>,
    /// Whether any gateway is other than open. Nearly always none is, and no call has to look.
    is_troubled: AtomicBool,
    /// Counts changes, for whoever tells of them.
    version: AtomicU64,
}

impl Reach {
    /// Nothing is known but what admins had blocked before.
    pub fn with(blocks: impl IntoIterator<Item = Block>) -> Self {
        let reach = Self::default();
        for block in blocks {
            // What was held before finds room again.
            let _ = reach.block(block);
        }
        reach
    }

    /// How a gateway stands at this moment.
    pub fn standing(&self, trunk: &Trunk, gateway: usize, at: Instant) -> Standing {
        // Whoever comes just before a change has come before it.
        if !self.is_troubled.load(Ordering::Relaxed) {
            return Standing::Open;
        }
        let mut trunks = self.lock();
        let Some(of) = trunks.get_mut(&trunk.name) else {
            return Standing::Open;
        };
        if of.blocked.is_some() {
            return Standing::Blocked;
        }
        let name = trunk.gateways.get(gateway).map(super::trunk::Gateway::name);
        let Some(known) = name.and_then(|name| of.gateways.get_mut(name.as_str())) else {
            return Standing::Open;
        };
        let standing = known.standing(at);
        if known.rests.is_some_and(|until| until <= at) {
            known.rests = None;
            self.settle(&trunks);
        }
        standing
    }

    /// A gateway answered 503 with Retry-After: it is spared for that long, or as long as one may be.
    pub fn rest(&self, trunk: &Trunk, gateway: usize, now: Instant, wait: Duration) {
        if wait.is_zero() {
            return;
        }
        let until = now + wait.min(GATEWAY_REST_MAX);
        self.change(|trunks| {
            if let Some(known) = known_of(trunks, trunk, gateway) {
                known.rests = Some(until);
            }
        });
    }

    /// One of the servers of a gateway answered 503 with Retry-After, and others are left: it alone is spared.
    pub fn spare(&self, trunk: &Trunk, gateway: usize, server: SocketAddr, now: Instant, wait: Duration) {
        if wait.is_zero() {
            return;
        }
        let until = now + wait.min(GATEWAY_REST_MAX);
        self.change(|trunks| {
            if let Some(known) = known_of(trunks, trunk, gateway) {
                known.spared.retain(|_, until| *until > now);
                known.spared.insert(server, until);
            }
        });
    }

    /// Whether a server of a gateway is spared at this moment.
    pub fn is_spared(&self, trunk: &Trunk, gateway: usize, server: SocketAddr, at: Instant) -> bool {
        if !self.is_troubled.load(Ordering::Relaxed) {
            return false;
        }
        let mut trunks = self.lock();
        let name = trunk.gateways.get(gateway).map(super::trunk::Gateway::name);
        let of = trunks.get_mut(&trunk.name);
        let Some(known) = of
            .zip(name)
            .and_then(|(of, name)| of.gateways.get_mut(name.as_str()))
        else {
            return false;
        };
        let before = known.spared.len();
        known.spared.retain(|_, until| *until > at);
        let (is_spared, is_news) = (known.spared.contains_key(&server), known.spared.len() < before);
        if is_news {
            self.settle(&trunks);
        }
        is_spared
    }

    /// A probe of a gateway has come to this.
    pub fn probed(&self, trunk: &Trunk, gateway: usize, now: Now, outcome: Outcome) {
        self.change(|trunks| {
            if let Some(known) = known_of(trunks, trunk, gateway) {
                known.probed(now.wall, outcome, trunk.probe);
            }
        });
    }

    /// Lets no new call leave by a trunk, or by one gateway of it. Calls in progress go on.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn block(&self, block: Block) -> Result<(), TooMany> {
        let Block {
            trunk,
            gateway,
            since,
        } = block;
        self.change(|trunks| {
            if blocks_of(trunks).count() >= BLOCKS_MAX {
                return Err(TooMany);
            }
            let of = trunks.entry(trunk).or_default();
            let blocked = match gateway {
                Some(gateway) => &mut of.gateways.entry(gateway).or_default().blocked,
                None => &mut of.blocked,
            };
            blocked.get_or_insert(since);
            Ok(())
        })
    }

    /// Lets calls leave again. Of a whole trunk: by every gateway of it. Whether anything was blocked.
    pub fn unblock(&self, trunk: &str, gateway: Option<&str>) -> bool {
        self.change(|trunks| {
            let Some(of) = trunks.get_mut(trunk) else {
                return false;
            };
            let whole = gateway.is_none() && of.blocked.take().is_some();
            let meant = of
                .gateways
                .iter_mut()
                .filter(|(name, _)| gateway.is_none_or(|gateway| *gateway == ***name));
            meant.fold(whole, |any, (_, known)| known.blocked.take().is_some() || any)
        })
    }

    /// All that is blocked.
    pub fn blocks(&self) -> Vec<Block> {
        blocks_of(&self.lock()).collect()
    }

    /// What is known of a trunk.
    pub fn of(&self, trunk: &str) -> OfTrunk {
        self.lock().get(trunk).cloned().unwrap_or_default()
    }

    /// Changes with whatever is known.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// A conf is in force: what was found of gateways that it doesn't have, or doesn't probe, is forgotten. What an
    /// admin has blocked stays so.
    pub fn follow(&self, config: &Config) {
        self.change(|trunks| {
            for (name, of) in trunks.iter_mut() {
                let trunk = config.trunks.iter().find(|trunk| trunk.name == *name);
                let gateways = trunk.map_or(&[][..], |trunk| &trunk.gateways);
                let is_probed = trunk.is_some_and(|trunk| trunk.probe.every.is_some());
                for (name, known) in &mut of.gateways {
                    let is_there = gateways.iter().any(|gateway| *gateway.name() == **name);
                    if !(is_there && is_probed) {
                        *known = Known {
                            blocked: known.blocked,
                            rests: known.rests.filter(|_| is_there),
                            spared: if is_there {
                                std::mem::take(&mut known.spared)
                            } else {
                                BTreeMap::new()
                            },
                            ..Known::default()
                        };
                    }
                }
                of.gateways.retain(|_, known| *known != Known::default());
            }
            trunks.retain(|_, of| *of != OfTrunk::default());
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut Trunks) -> T) -> T {
        let mut trunks = self.lock();
        let outcome = change(&mut trunks);
        self.settle(&trunks);
        outcome
    }

    /// Something has changed.
    fn settle(&self, trunks: &Trunks) {
        let is_open = |known: &Known| {
            let stands = known.blocked.is_none() && known.down.is_none();
            stands && known.rests.is_none() && known.spared.is_empty()
        };
        let is_troubled = trunks
            .values()
            .any(|of| of.blocked.is_some() || !of.gateways.values().all(is_open));
        self.is_troubled.store(is_troubled, Ordering::Relaxed);
        self.version.fetch_add(1, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Trunks> {
        // Nothing panics while it is held, so that poison means nothing here.
        self.trunks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// How it stands by itself, whatever becomes of its trunk.
    pub fn standing(&self, at: Instant) -> Standing {
        match (self.blocked, self.down, self.rests) {
            (Some(_), ..) => Standing::Blocked,
            (None, Some(_), _) => Standing::Down,
            (None, None, Some(until)) if until > at => Standing::Rests(until),
            (None, None, _) => Standing::Open,
        }
    }

    fn probed(&mut self, now: Wall, outcome: Outcome, probe: Probe) {
        let is_good = outcome.is_good();
        self.last = Some((outcome, now));
        let count = if is_good {
            &mut self.answered
        } else {
            &mut self.failed
        };
        *count = count.saturating_add(1);
        if probe.every.is_none() {
            // Somebody only wanted to see it.
            return;
        }
        if is_good == self.down.is_none() {
            self.run = 0;
            return;
        }
        self.run = self.run.saturating_add(1);
        let enough = if is_good { probe.up_after } else { probe.down_after };
        if self.run >= enough {
            self.run = 0;
            self.down = if is_good { None } else { Some(now) };
        }
    }
}

/// What is known of this gateway, begun if nothing is: there are as many as the conf has.
fn known_of<'t>(trunks: &'t mut Trunks, trunk: &Trunk, gateway: usize) -> Option<&'t mut Known> {
    let name = trunk.gateways.get(gateway)?.name();
    let of = trunks.entry(trunk.name.clone()).or_default();
    Some(of.gateways.entry(name.into()).or_default())
}

fn blocks_of(trunks: &Trunks) -> impl Iterator<Item = Block> {
    trunks.iter().flat_map(|(trunk, of)| {
        let block = |gateway: Option<&Box<str>>, since| Block {
            trunk: trunk.clone(),
            gateway: gateway.cloned(),
            since,
        };
        let whole = of.blocked.map(|since| block(None, since));
        let gateways = of.gateways.iter();
        let parts = gateways.filter_map(move |(name, known)| known.blocked.map(|at| block(Some(name), at)));
        whole.into_iter().chain(parts)
    })
}

#[cfg(test)]
mod tests;
