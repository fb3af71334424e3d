//! How hard a trunk presses, and how hard we may press on its gateways: RFC 7339's overload control by loss, both ways. All
//! shards share the counts, and they outlive a reload.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::chance::Chance;
use crate::base::limits::{LOAD_WINDOW, THROTTLE_MAX, THROTTLES_MAX};
use crate::base::time::{Instant, Now, Wall};
use crate::call::overload::lines::Verdict;
use crate::sip::overload::{Feedback, Seq};

/// The most that is asked of a trunk: some calls show when it can be taken back.
const LOSS_MAX: f64 = 0.9;
/// By how much the share of calls that is wanted grows in each window in which none had to be refused.
const GROWTH: f64 = 1.1;
/// From this share of time on a shard is busy: no more calls are asked for, though none had to be refused.
const BUSY_PERCENT: u32 = 90;

/// Whether INVITEs to a trunk's gateways offer overload control (RFC 7339 §5.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Offer {
    /// They don't.
    #[default]
    No,
    /// They do, and what a gateway wants is obeyed.
    Yes,
}

/// A trunk's overload control. Two are equal that offer the same.
#[derive(Clone, Debug, Default)]
pub struct Overload {
    /// What its gateways are offered.
    pub offer: Offer,
    shared: Arc<Shared>,
}

impl PartialEq for Overload {
    fn eq(&self, other: &Self) -> bool {
        self.offer == other.offer
    }
}

impl Eq for Overload {}

#[derive(Debug, Default)]
struct Shared {
    /// New calls by it that were taken.
    taken: AtomicU64,
    /// New calls by it that were refused for load.
    shed: AtomicU64,
    /// Calls to its gateways that went another way, or failed, because a gateway wanted fewer.
    spared: AtomicU64,
    /// Of a thousand new calls that it would send, so many are not wanted.
    loss_permille: AtomicU32,
    /// How many new calls came for one that was taken.
    times: AtomicU32,
    /// When those were counted, in Unix milliseconds.
    counted_ms: AtomicU64,
    /// The share of time for which a shard was busy.
    busy_percent: AtomicU32,
    window: Mutex<Window>,
    /// What its gateways want.
    throttles: Mutex<BTreeMap<SocketAddr, Throttle>>,
    /// Whether there are any.
    is_throttled: AtomicBool,
}

/// What is being counted.
#[derive(Debug, Default)]
struct Window {
    since: Instant,
    /// The counts when it began.
    taken: u64,
    shed: u64,
}

/// What a gateway wants.
#[derive(Clone, Copy, Debug)]
struct Throttle {
    loss_percent: u8,
    until: Instant,
    seq: Seq,
}

/// What is counted of a trunk since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// New calls by it that were taken.
    pub taken: u64,
    /// New calls by it that were refused for load.
    pub shed: u64,
    /// Calls to its gateways that went another way, or failed, because a gateway wanted fewer.
    pub spared: u64,
    /// Of a hundred new calls that it would send, so many are not wanted just now.
    pub loss_percent: u32,
}

impl Overload {
    /// With this offer, and nothing counted.
    pub fn offering(offer: Offer) -> Self {
        Self {
            offer,
            shared: Arc::default(),
        }
    }

    /// Goes on with what was counted before a reload.
    pub fn go_on_from(&mut self, before: &Self) {
        self.shared = Arc::clone(&before.shared);
    }

    /// What became of a new call by it.
    pub fn count(&self, now: Now, verdict: Verdict) {
        self.turn(now);
        let count = match verdict {
            Verdict::Taken => &self.shared.taken,
            Verdict::Shed => &self.shared.shed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// A shard was busy for this share of its time.
    pub fn is_busy_for(&self, percent: u32) {
        self.shared.busy_percent.store(percent, Ordering::Relaxed);
    }

    /// Draws the sum of a window that is over.
    pub fn turn(&self, now: Now) {
        let shared = &self.shared;
        let Ok(mut window) = shared.window.try_lock() else {
            // Another shard does it.
            return;
        };
        if now.at - window.since < LOAD_WINDOW {
            return;
        }
        let (taken, shed) = (
            shared.taken.load(Ordering::Relaxed),
            shared.shed.load(Ordering::Relaxed),
        );
        let took = (taken - window.taken) as f64;
        let refused = if now.at - window.since <= 2 * LOAD_WINDOW {
            (shed - window.shed) as f64
        } else {
            // Mostly of a time when nothing came.
            0.0
        };
        let since = window.since;
        *window = Window {
            since: now.at,
            taken,
            shed,
        };
        let before = f64::from(shared.loss_permille.load(Ordering::Relaxed)) / 1e3;
        let is_busy = shared.busy_percent.load(Ordering::Relaxed) >= BUSY_PERCENT;
        let loss = if refused > 0.0 {
            // It has sent what was wanted of it, and that was too much.
            before + (1.0 - before) * refused / (took + refused)
        } else if is_busy {
            before
        } else {
            let windows = (now.at - since).as_secs_f64() / LOAD_WINDOW.as_secs_f64();
            1.0 - (1.0 - before) * GROWTH.powf(windows)
        };
        let times = (took + refused) / took.max(1.0);
        shared
            .loss_permille
            .store((loss.clamp(0.0, LOSS_MAX) * 1e3) as u32, Ordering::Relaxed);
        shared.times.store(times.ceil() as u32, Ordering::Relaxed);
        let ms = u64::try_from(now.wall.as_millis()).unwrap_or(0);
        shared.counted_ms.fetch_max(ms, Ordering::Relaxed);
    }

    /// How many new calls come for one that is taken: 1 where none is refused.
    pub fn times(&self) -> u32 {
        self.shared.times.load(Ordering::Relaxed).max(1)
    }

    /// What we want of its side, if it has offered to obey.
    pub fn wanted(&self) -> Feedback {
        let loss = self.shared.loss_permille.load(Ordering::Relaxed).div_ceil(10);
        let ms = i64::try_from(self.shared.counted_ms.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        Feedback {
            loss_percent: u8::try_from(loss).unwrap_or(100),
            // It is said anew in each window.
            validity: if loss == 0 {
                Duration::ZERO
            } else {
                2 * LOAD_WINDOW
            },
            seq: Seq::of(Wall::from_millis(ms)),
        }
    }

    /// What is counted.
    pub fn counts(&self) -> Counts {
        let shared = &self.shared;
        Counts {
            taken: shared.taken.load(Ordering::Relaxed),
            shed: shared.shed.load(Ordering::Relaxed),
            spared: shared.spared.load(Ordering::Relaxed),
            loss_percent: u32::from(self.wanted().loss_percent),
        }
    }

    /// A gateway of its wants this (RFC 7339 §5.3). What is older than what is known is not heeded (§4.4).
    pub fn hear(&self, now: Instant, gateway: SocketAddr, wanted: Feedback) {
        if self.offer == Offer::No {
            return;
        }
        let mut throttles = self.throttles();
        throttles.retain(|_, throttle| throttle.until > now);
        let is_old = throttles
            .get(&gateway)
            .is_some_and(|known| wanted.seq < known.seq);
        let has_room = throttles.len() < THROTTLES_MAX || throttles.contains_key(&gateway);
        if !is_old && has_room {
            if wanted.validity.is_zero() || wanted.loss_percent == 0 {
                throttles.remove(&gateway);
            } else {
                let throttle = Throttle {
                    loss_percent: wanted.loss_percent,
                    // It is said anew in answers, and there are none while all calls are kept away.
                    until: now + wanted.validity.min(THROTTLE_MAX),
                    seq: wanted.seq,
                };
                throttles.insert(gateway, throttle);
            }
        }
        self.shared
            .is_throttled
            .store(!throttles.is_empty(), Ordering::Relaxed);
    }

    /// Whether a new call is kept from a gateway, because it wants fewer (RFC 7339 §6.3). It is counted.
    pub fn spares(&self, now: Instant, gateway: SocketAddr, chance: &mut Chance) -> bool {
        if self.offer == Offer::No || !self.shared.is_throttled.load(Ordering::Relaxed) {
            return false;
        }
        let mut throttles = self.throttles();
        throttles.retain(|_, throttle| throttle.until > now);
        let loss = throttles
            .get(&gateway)
            .map_or(0, |throttle| throttle.loss_percent);
        self.shared
            .is_throttled
            .store(!throttles.is_empty(), Ordering::Relaxed);
        drop(throttles);
        let is_spared = chance.below(100) < u32::from(loss);
        if is_spared {
            self.shared.spared.fetch_add(1, Ordering::Relaxed);
        }
        is_spared
    }

    fn throttles(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Throttle>> {
        // Nothing panics while it is held, so that poison means nothing here.
        self.shared
            .throttles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now {
            at: Instant::default() + Duration::from_millis(ms),
            wall: Wall::from_millis(1_000_000 + ms as i64),
        }
    }

    fn wish(loss_percent: u8, ms: u64, seq: i64) -> Feedback {
        Feedback {
            loss_percent,
            validity: Duration::from_millis(ms),
            seq: Seq::of(Wall::from_millis(seq)),
        }
    }

    /// A side that obeys sends so many calls in a window, of which we take 100 at most.
    fn window(overload: &Overload, from_ms: u64, would_send: u64) -> u64 {
        let loss = u64::from(overload.wanted().loss_percent);
        let sent = would_send * (100 - loss) / 100;
        for n in 0..sent {
            let verdict = if n < 100 { Verdict::Taken } else { Verdict::Shed };
            overload.count(at(from_ms + n * 500 / sent), verdict);
        }
        sent
    }

    #[test]
    fn a_side_that_obeys_is_held_near_what_can_be_taken_and_set_free_again() {
        let overload = Overload::default();
        let mut sent = Vec::new();
        for n in 1..60 {
            sent.push(window(&overload, n * 500, 500));
        }
        let later = &sent[10..];
        let mean = later.iter().sum::<u64>() / later.len() as u64;
        assert!((85..=110).contains(&mean), "{mean}: {sent:?}");
        assert!(overload.wanted().loss_percent >= 70);
        let seq = overload.wanted().seq;
        for n in 60..100 {
            window(&overload, n * 500, 80);
        }
        let wanted = overload.wanted();
        assert_eq!((wanted.loss_percent, wanted.validity), (0, Duration::ZERO));
        assert!(wanted.seq > seq);
    }

    #[test]
    fn while_a_shard_is_busy_no_more_is_asked_for() {
        let overload = Overload::default();
        window(&overload, 500, 500);
        overload.turn(at(1_000));
        let loss = overload.wanted().loss_percent;
        assert_eq!((loss, overload.times()), (80, 5));
        overload.is_busy_for(95);
        overload.turn(at(1_500));
        assert_eq!(overload.wanted().loss_percent, loss);
        overload.is_busy_for(50);
        overload.turn(at(2_000));
        assert!(overload.wanted().loss_percent < loss);
    }

    #[test]
    fn a_gateways_wish_counts_until_it_is_over_and_older_ones_dont() {
        let gateway: SocketAddr = "192.0.2.1:5060".parse().unwrap();
        let other: SocketAddr = "192.0.2.2:5060".parse().unwrap();
        let overload = Overload::offering(Offer::Yes);
        let mut chance = Chance::from_number(1);
        let mut spared = |ms, gateway| {
            let spares = |_: &u32| overload.spares(at(ms).at, gateway, &mut chance);
            (0..1_000).filter(spares).count()
        };
        assert_eq!(spared(0, gateway), 0);
        overload.hear(at(0).at, gateway, wish(30, 1_000, 7_000));
        assert!((250..350).contains(&spared(999, gateway)));
        assert_eq!(spared(999, other), 0);
        overload.hear(at(500).at, gateway, wish(90, 1_000, 6_999));
        assert!((250..350).contains(&spared(999, gateway)), "an old wish");
        assert_eq!(spared(1_000, gateway), 0, "over");
        overload.hear(at(1_000).at, gateway, wish(100, 1_000, 8_000));
        assert_eq!(spared(1_001, gateway), 1_000);
        overload.hear(at(1_002).at, gateway, wish(0, 0, 8_001));
        assert_eq!(spared(1_003, gateway), 0, "ended");
        let deaf = Overload::offering(Offer::No);
        deaf.hear(at(0).at, gateway, wish(100, 1_000, 1));
        assert!(!deaf.spares(at(1).at, gateway, &mut Chance::from_number(1)));
        for n in 0..2 * THROTTLES_MAX {
            let gateway = SocketAddr::new(gateway.ip(), n as u16 + 1);
            overload.hear(at(2_000).at, gateway, wish(50, 1_000, 1));
        }
        assert_eq!(overload.throttles().len(), THROTTLES_MAX);
    }
}
