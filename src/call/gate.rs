//! Where a trunk asks for a password: who may come in (RFC 3261 §22, RFC 7616).
//!
//! It is judged before anything is kept of a request. A nonce is its own record: when it was made, and a seal that only
//! this process can make, over that, the asker's address and the realm. So whoever asks costs a hash and an answer, and a
//! restart only makes nonces too old. Only of those that were used rightly the uses are counted, so that no request is
//! heard twice.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::bans::network;
use super::trunk::secret::Demand;
use crate::base::chance::Chance;
use crate::base::limits::{GUESSERS_MAX, GUESSES_MAX, GUESSES_WITHIN, NONCE_LIFE, NONCES_MAX};
use crate::base::text;
use crate::base::time::Instant;
use crate::sip::digest::{Ask, Credentials, Freshness, Protection};
use crate::sip::message::Message;

/// Bytes of a nonce's seal.
const SEAL: usize = 16;
/// Bytes of a nonce: when it was made, a salt, the seal.
const NONCE: usize = 8 + 4 + SEAL;

/// One nonce of ours: when it was made, in microseconds, and what tells it from others of that moment. In the order in
/// which they were given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Made {
    at: Instant,
    salt: u32,
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judged {
    /// It comes in.
    Passed,
    /// It is asked for credentials: it has none, or its nonce is too old.
    Asked(Freshness),
    /// It is asked once more: its credentials are wrong.
    Wrong,
    /// It is turned away: too many wrong ones came from there.
    Shut,
}

/// The uses of one nonce.
#[derive(Clone, Copy, Debug)]
struct Uses {
    /// The highest count that came.
    highest: u32,
    /// Which of the counts below it came, the nearest first.
    below: u64,
}

impl Uses {
    /// Takes one in. `false`: it has come before, or might have.
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            let ahead = count - self.highest;
            // The highest before takes its place among those below.
            self.below = self.below.checked_shl(ahead).unwrap_or(0);
            self.below |= 1_u64.checked_shl(ahead - 1).unwrap_or(0);
            self.highest = count;
            return true;
        }
        let behind = self.highest - count;
        let place = behind.checked_sub(1).and_then(|at| 1_u64.checked_shl(at));
        match place {
            Some(place) if self.below & place == 0 => {
                self.below |= place;
                true
            }
            Some(_) | None => false,
        }
    }
}

/// Wrong credentials, by where they come from.
#[derive(Debug, Default)]
struct Guesses {
    since: Instant,
    by: HashMap<IpAddr, u32, ahash::RandomState>,
    /// Of all for whom there was no room.
    others: u32,
}

impl Guesses {
    /// Whether too many came from there.
    fn is_shut(&self, now: Instant, source: IpAddr) -> bool {
        let count = match self.by.get(&source) {
            Some(count) => *count,
            None if self.by.len() >= GUESSERS_MAX => self.others,
            None => 0,
        };
        count >= GUESSES_MAX && now - self.since < GUESSES_WITHIN
    }

    fn count(&mut self, now: Instant, source: IpAddr) {
        if now - self.since >= GUESSES_WITHIN {
            self.since = now;
            self.by.clear();
            self.others = 0;
        }
        let has_room = self.by.len() < GUESSERS_MAX || self.by.contains_key(&source);
        let count = if has_room {
            self.by.entry(source).or_default()
        } else {
            &mut self.others
        };
        *count = count.saturating_add(1);
    }
}

/// One shard's gate.
pub struct Gate {
    key: [u8; 32],
    used: BTreeMap<Made, Uses>,
    /// Nonces up to this one are too old: their uses are forgotten.
    forgotten: Option<Made>,
    guesses: Guesses,
}

impl Gate {
    /// A gate with a key of its own.
    pub fn new(chance: &mut Chance) -> Self {
        let mut key = [0; 32];
        for word in key.chunks_mut(8) {
            word.copy_from_slice(&chance.bits().to_be_bytes());
        }
        let seeds = [chance.bits(), chance.bits(), chance.bits(), chance.bits()];
        let state = ahash::RandomState::with_seeds(seeds[0], seeds[1], seeds[2], seeds[3]);
        Self {
            key,
            used: BTreeMap::new(),
            forgotten: None,
            guesses: Guesses {
                by: HashMap::with_hasher(state),
                ..Guesses::default()
            },
        }
    }

    /// Judges a request that came from `source`, on a trunk that demands this.
    pub fn judge(&mut self, now: Instant, source: IpAddr, demand: &Demand, request: &Message<'_>) -> Judged {
        let Some(given) = Credentials::of_request(request, demand.asker, &demand.realm) else {
            return Judged::Asked(Freshness::First);
        };
        let source = network(source);
        // RFC 7616 §3.3. Without one of our nonces nothing is looked at: nobody learns anything of a password, and whoever only
        // writes another's address, to which our nonces go, can't have him shut out.
        let Some(made) = self.fresh(now, source, demand, &given) else {
            return Judged::Asked(Freshness::Stale);
        };
        if self.guesses.is_shut(now, source) {
            return Judged::Shut;
        }
        if !demand.is_met_by(&given, request.method()) {
            self.guesses.count(now, source);
            return Judged::Wrong;
        }
        if self.take(now, made, &given) {
            Judged::Passed
        } else {
            Judged::Asked(Freshness::Stale)
        }
    }

    /// The nonce that credentials were made with, if it is one of ours and can still be used.
    fn fresh(&self, now: Instant, source: IpAddr, demand: &Demand, given: &Credentials<'_>) -> Option<Made> {
        let made = self.made(&given.nonce.plain(), source, demand)?;
        let is_old = now - made.at > NONCE_LIFE || self.forgotten.is_some_and(|last| made <= last);
        (!is_old).then_some(made)
    }

    /// Takes in one use of a nonce. `false`: that use has come before, or might have.
    fn take(&mut self, now: Instant, made: Made, given: &Credentials<'_>) -> bool {
        let Some(Protection::Auth { count, .. }) = given.protection else {
            return false;
        };
        if let Some(uses) = self.used.get_mut(&made) {
            return uses.take(count);
        }
        self.forget(now);
        self.used.insert(
            made,
            Uses {
                highest: count,
                below: 0,
            },
        );
        true
    }

    /// Makes room for one more nonce.
    fn forget(&mut self, now: Instant) {
        while let Some(first) = self.used.first_entry() {
            let is_over = now - first.key().at > NONCE_LIFE;
            let made = *first.key();
            if !is_over && self.used.len() < NONCES_MAX {
                return;
            }
            self.used.remove(&made);
            self.forgotten = Some(made);
        }
    }

    /// The moment of a nonce, if it is one of ours for this source and realm.
    fn made(&self, nonce: &[u8], source: IpAddr, demand: &Demand) -> Option<Made> {
        let bytes: [u8; NONCE] = text::unhex(nonce)?;
        let (at, rest) = bytes.split_first_chunk::<8>()?;
        let (salt, seal) = rest.split_first_chunk::<4>()?;
        let made = Made {
            at: Instant::from_micros(u64::from_be_bytes(*at)),
            salt: u32::from_be_bytes(*salt),
        };
        let is_ours: bool = self.seal(made, source, demand).ct_eq(seal).into();
        is_ours.then_some(made)
    }

    fn seal(&self, made: Made, source: IpAddr, demand: &Demand) -> [u8; SEAL] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of every length");
        mac.update(&made.at.as_micros().to_be_bytes());
        mac.update(&made.salt.to_be_bytes());
        match source {
            IpAddr::V4(ip) => mac.update(&ip.octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        mac.update(demand.realm.as_bytes());
        let whole = mac.finalize().into_bytes();
        let mut seal = [0; SEAL];
        for (place, byte) in seal.iter_mut().zip(whole) {
            *place = byte;
        }
        seal
    }

    /// The headers that ask `source` for credentials (RFC 8760 §2.3: one challenge for each hash, the preferred one first).
    pub fn challenge(
        &self,
        now: Instant,
        source: IpAddr,
        demand: &Demand,
        freshness: Freshness,
        chance: &mut Chance,
    ) -> Vec<(&'static str, String)> {
        let made = Made {
            at: now,
            salt: chance.bits() as u32,
        };
        let seal = self.seal(made, network(source), demand);
        let bytes = [
            &made.at.as_micros().to_be_bytes()[..],
            &made.salt.to_be_bytes(),
            &seal,
        ]
        .concat();
        let nonce = text::lower_hex(&bytes);
        let challenge = |algorithm| {
            let ask = Ask {
                realm: &demand.realm,
                nonce: &nonce,
                algorithm,
                freshness,
            };
            (demand.asker.challenge().text(), ask.write())
        };
        demand.algorithms.iter().copied().map(challenge).collect()
    }
}

#[cfg(test)]
mod tests;
