//! Sources that keep sending what is nobody's: for a while nothing of theirs is read any more.
//!
//! All shards share it, for the one that reads a socket is often not the one that judges what came by it. Who is banned is
//! asked of every datagram: while nobody is, which is nearly always, that costs one load of an atomic.
//!
//! Who may never be banned: whoever a trunk names, gateways, and whoever has shown from there that he is one of us, by a
//! password or by a dialog of ours; so a trunk behind the same address translation as a guesser is safe. Strangers'
//! datagrams may lie about where they come from, so anybody else can be banned by somebody else. What he loses is the
//! refusal that he would have heard. Wrong passwords can't be sent in another's name: a proof needs a nonce that went there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::config::Config;
use super::targets::Resolved;
use super::trunk::{Cidr, Trunk};
use crate::base::limits::{
    BANS_BY_HAND_MAX, OFFENCES_WITHIN, OFFENDERS_MAX, PROVEN_FOR, PROVEN_MAX, WIDE_V4, WIDE_V6,
};
use crate::base::time::Instant;

/// What the conf says of bans.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// So many offences within [`OFFENCES_WITHIN`] ban their source; 0: nobody is banned but by hand.
    pub after: u32,
    /// How long the first ban lasts; each that follows soon lasts twice as long as the one before.
    pub first: Duration,
    /// The longest that one lasts.
    pub longest: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            after: 20,
            first: Duration::from_secs(60),
            longest: Duration::from_secs(86_400),
        }
    }
}

/// A ban.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ban {
    /// Who is banned: an address, of IPv6 the whole /64.
    pub source: IpAddr,
    /// Until when; `None`: until it is removed.
    pub until: Option<Instant>,
    /// Whether an admin wants it.
    pub by: By,
    /// How often this source was banned, as far as that is remembered.
    pub times: u32,
}

/// Who wants a ban.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// What the source did.
    Itself,
    /// An admin.
    Hand,
}

/// What keeps a source from being banned by hand.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// It is a trunk's.
    #[error("it belongs to trunk {0}: block the trunk, or take the address out of its accept_from")]
    Trunk(Box<str>),
    /// No more can be banned by hand.
    #[error("{BANS_BY_HAND_MAX} addresses are banned by hand already: remove some")]
    TooMany,
}

/// What is known of one source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Known {
    /// Offences since then.
    offences: u32,
    since: Instant,
    /// How often it was banned, and until when it is.
    times: u32,
    banned: Option<(Option<Instant>, By)>,
    /// When nothing of it counts any more.
    over: Instant,
}

#[derive(Default)]
struct State {
    known: BTreeMap<IpAddr, Known>,
    /// The same by when they are over: the first go where there is no room.
    by_end: BTreeSet<(Instant, IpAddr)>,
    /// How many of them are banned, or were and haven't been looked at since.
    banned: usize,
    /// Who has shown that he is one of us, and until when that counts.
    proven: BTreeMap<IpAddr, Instant>,
    /// What names resolved to when that last changed.
    resolved: Arc<Resolved>,
}

/// Who is banned.
#[derive(Default)]
pub struct Bans {
    state: Mutex<State>,
    /// Whether anybody is.
    any: AtomicBool,
    begun: AtomicU64,
    dropped: AtomicU64,
}

impl Bans {
    /// Whether nothing of this source is to be read. What is dropped for it is counted.
    pub fn keeps_out(&self, now: Instant, source: IpAddr) -> bool {
        // Whoever comes just before a change has come before it.
        if !self.any.load(Ordering::Relaxed) {
            return false;
        }
        let source = network(source);
        let mut state = self.lock();
        let Some(known) = state.known.get_mut(&source) else {
            return false;
        };
        match known.banned {
            Some((until, _)) if until.is_none_or(|until| now < until) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                true
            }
            Some(_) => {
                known.banned = None;
                state.banned = state.banned.saturating_sub(1);
                self.settle(&state);
                false
            }
            None => false,
        }
    }

    /// A source has sent what nobody may, or a wrong password. Returns the ban if that was once too often.
    pub fn offended(
        &self,
        now: Instant,
        source: IpAddr,
        config: &Config,
        resolved: &Resolved,
    ) -> Option<Ban> {
        let terms = config.bans;
        if terms.after == 0 || trunk_at(config, resolved, source).is_some() {
            return None;
        }
        let source = network(source);
        let mut state = self.lock();
        if state.proven.get(&source).is_some_and(|until| now < *until) {
            return None;
        }
        let known = state.known.get(&source).copied();
        let mut known = known.filter(|known| now < known.over).unwrap_or(Known {
            offences: 0,
            since: now,
            times: 0,
            banned: None,
            over: now,
        });
        if known.is_banned(now) {
            // It was under way already.
            return None;
        }
        known.banned = None;
        if now - known.since >= OFFENCES_WITHIN {
            known.since = now;
            known.offences = 0;
        }
        known.offences = known.offences.saturating_add(1);
        known.over = known.over.max(known.since + OFFENCES_WITHIN);
        let ban = (known.offences >= terms.after).then(|| {
            let doubled = 1_u32
                .checked_shl(known.times)
                .and_then(|times| terms.first.checked_mul(times));
            let lasts = doubled.map_or(terms.longest, |lasts| lasts.min(terms.longest));
            let until = now + lasts;
            known.times = known.times.saturating_add(1);
            known.offences = 0;
            known.banned = Some((Some(until), By::Itself));
            // Who comes back as soon as he may is remembered.
            known.over = until + lasts;
            Ban {
                source,
                until: Some(until),
                by: By::Itself,
                times: known.times,
            }
        });
        state.keep(now, source, known);
        if ban.is_some() {
            self.begun.fetch_add(1, Ordering::Relaxed);
        }
        self.settle(&state);
        ban
    }

    /// A source has shown that it is one of us: by its password, or by a dialog of ours. It isn't banned for what others
    /// do who share its address.
    pub fn proven(&self, now: Instant, source: IpAddr) {
        let source = network(source);
        let mut state = self.lock();
        if let Some(until) = state.proven.get_mut(&source) {
            *until = now + PROVEN_FOR;
        } else {
            if state.proven.len() >= PROVEN_MAX {
                state.proven.retain(|_, until| now < *until);
            }
            if state.proven.len() < PROVEN_MAX {
                state.proven.insert(source, now + PROVEN_FOR);
            }
        }
        if state.known.get(&source).is_some_and(|known| !known.is_by_hand()) {
            state.forget(source);
            self.settle(&state);
        }
    }

    /// Somebody whom we ask ourselves is no stranger, whatever came in his name.
    pub fn asked(&self, source: IpAddr) {
        if self.any.load(Ordering::Relaxed) {
            let source = network(source);
            let mut state = self.lock();
            if state.known.get(&source).is_some_and(|known| !known.is_by_hand()) {
                state.forget(source);
                self.settle(&state);
            }
        }
    }

    /// Bans a source by hand: for so long, or until it is removed or the server ends.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn add(
        &self,
        now: Instant,
        source: IpAddr,
        lasts: Option<Duration>,
        config: &Config,
    ) -> Result<Ban, Refused> {
        let mut state = self.lock();
        if let Some(trunk) = trunk_at(config, &state.resolved, source) {
            return Err(Refused::Trunk(trunk.name.clone()));
        }
        let source = network(source);
        state.purge(now);
        let is_new = !state.known.get(&source).is_some_and(Known::is_by_hand);
        if is_new && state.known.values().filter(|known| known.is_by_hand()).count() >= BANS_BY_HAND_MAX {
            return Err(Refused::TooMany);
        }
        let until = lasts.map(|lasts| now + lasts);
        let times = state
            .known
            .get(&source)
            .map_or(0, |known| known.times)
            .saturating_add(1);
        let known = Known {
            offences: 0,
            since: now,
            times,
            banned: Some((until, By::Hand)),
            over: until.unwrap_or(Instant::from_micros(u64::MAX)),
        };
        state.keep(now, source, known);
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.settle(&state);
        Ok(Ban {
            source,
            until,
            by: By::Hand,
            times,
        })
    }

    /// Lifts a ban, and forgets what the source did. `false`: it isn't banned.
    pub fn remove(&self, now: Instant, source: IpAddr) -> bool {
        let source = network(source);
        let mut state = self.lock();
        let is_banned = state.known.get(&source).is_some_and(|known| known.is_banned(now));
        if is_banned {
            state.forget(source);
            self.settle(&state);
        }
        is_banned
    }

    /// Who is banned at this moment, in the order of their addresses.
    pub fn list(&self, now: Instant) -> Vec<Ban> {
        let state = self.lock();
        let banned = state.known.iter().filter(|(_, known)| known.is_banned(now));
        let bans = banned.filter_map(|(source, known)| {
            let (until, by) = known.banned?;
            Some(Ban {
                source: *source,
                until,
                by,
                times: known.times,
            })
        });
        bans.collect()
    }

    /// The conf, or what names resolve to, has changed: who is a trunk's now isn't banned any more.
    pub fn follow(&self, config: &Config, resolved: &Arc<Resolved>) {
        let mut state = self.lock();
        state.resolved = Arc::clone(resolved);
        let known = state.known.keys().copied();
        let is_trunks = |source: &IpAddr| trunk_at(config, resolved, *source).is_some();
        let freed: Vec<IpAddr> = known.filter(is_trunks).collect();
        if !freed.is_empty() {
            freed.into_iter().for_each(|source| state.forget(source));
            self.settle(&state);
        }
    }

    /// Bans since the start, and messages and connections that they kept out.
    pub fn counts(&self) -> (u64, u64) {
        (
            self.begun.load(Ordering::Relaxed),
            self.dropped.load(Ordering::Relaxed),
        )
    }

    fn settle(&self, state: &State) {
        self.any.store(state.banned > 0, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held, so that poison means nothing here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_banned(&self, now: Instant) -> bool {
        let lasts = |until: Option<Instant>| until.is_none_or(|until| now < until);
        self.banned.is_some_and(|(until, _)| lasts(until))
    }

    fn is_by_hand(&self) -> bool {
        self.banned.is_some_and(|(_, by)| by == By::Hand)
    }
}

impl State {
    /// Takes in what is known of a source now; where there is no room, what is over first goes.
    fn keep(&mut self, now: Instant, source: IpAddr, known: Known) {
        self.forget(source);
        self.purge(now);
        if self.known.len() >= OFFENDERS_MAX {
            let is_by_hand = |source: &IpAddr| self.known.get(source).is_some_and(Known::is_by_hand);
            let first = self.by_end.iter().find(|(_, source)| !is_by_hand(source));
            if let Some((_, first)) = first.copied() {
                self.forget(first);
            }
        }
        self.banned += usize::from(known.banned.is_some());
        self.by_end.insert((known.over, source));
        self.known.insert(source, known);
    }

    fn forget(&mut self, source: IpAddr) {
        if let Some(known) = self.known.remove(&source) {
            self.banned -= usize::from(known.banned.is_some());
            self.by_end.remove(&(known.over, source));
        }
    }

    /// Forgets what is over.
    fn purge(&mut self, now: Instant) {
        while let Some((over, source)) = self.by_end.first().copied()
            && over <= now
        {
            self.forget(source);
        }
    }
}

/// The trunk that has this address, or one that is banned together with it: a gateway's, or one that the trunk takes calls
/// from. Where a trunk asks for more than an address, a wide network is the open net, and nobody's.
fn trunk_at<'c>(config: &'c Config, resolved: &Resolved, source: IpAddr) -> Option<&'c Trunk> {
    let source = network(source);
    let is_it = |address: IpAddr| network(address) == source;
    config.trunks.iter().find(|trunk| {
        let asks_for_more = trunk.auth.is_some() || !trunk.tls.client_names.is_empty();
        let mut named = trunk
            .accept_from
            .iter()
            .filter(|c| !(asks_for_more && is_wide(c)));
        named.any(|c| c.holds(source) || is_it(c.network))
            || trunk
                .gateways
                .iter()
                .any(|gateway| resolved.any_at(gateway, is_it))
    })
}

fn is_wide(named: &Cidr) -> bool {
    let narrowest = if named.network.is_ipv4() { WIDE_V4 } else { WIDE_V6 };
    named.prefix < narrowest
}

/// By what a source is known: its address, and of IPv6 the network that one customer has.
pub fn network(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => ip.into(),
            None => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
        },
    }
}

#[cfg(test)]
mod tests;
