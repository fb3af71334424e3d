//! Quarantine: how long a key that became free is kept from others than its former pair, and how firmly.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::binding::Mode;
use super::inventory::Pool;
use crate::base::id::Id;
use crate::base::limits::QUARANTINE_LIMIT;
use crate::base::time::Wall;

/// How firmly a key in quarantine is kept from others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grip {
    /// A pool that chooses X takes other numbers first; who names X gets it.
    Soft,
    /// Nobody else gets it.
    Hard,
}

impl Grip {
    /// The word in conf and API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Soft => "soft",
            Self::Hard => "hard",
        }
    }
}

/// How long, and how firmly. Written `24h soft`, `7d hard`, `0s soft`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quarantine {
    /// How long after the end; whole seconds.
    pub lasts: Duration,
    /// How firmly.
    pub grip: Grip,
}

/// The quarantines of pools that have none of their own, and how much is kept of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Of a key, where a key is one person's: AXB, AXYB.
    pub axb: Quarantine,
    /// Of a whole number, where it answers anyone: AX, AXN, 95AXN.
    pub number: Quarantine,
    /// Of an extension behind a number: AXE.
    pub extension: Quarantine,
    /// Ended bindings of one pool whose keys rest; beyond it the longest ended go first.
    pub limit: usize,
}

impl Default for Config {
    fn default() -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        Self {
            axb: Quarantine {
                lasts: hours(24),
                grip: Grip::Soft,
            },
            number: Quarantine {
                lasts: hours(7 * 24),
                grip: Grip::Hard,
            },
            extension: Quarantine {
                lasts: hours(24),
                grip: Grip::Hard,
            },
            limit: QUARANTINE_LIMIT,
        }
    }
}

impl Config {
    /// What holds for the keys of a binding that ended, on a number that is in this pool now.
    pub fn of(&self, pool: Option<&Pool>, mode: Mode) -> Quarantine {
        let default = match mode {
            Mode::Axb | Mode::Axyb | Mode::Gxb | Mode::Gxyb => self.axb,
            Mode::Ax | Mode::Axn | Mode::Axn95 | Mode::Axg | Mode::Xb | Mode::Inbound | Mode::X => {
                self.number
            }
            Mode::Axe => self.extension,
        };
        pool.and_then(|pool| pool.quarantine).unwrap_or(default)
    }
}

/// The ended bindings of each pool whose keys may rest: the newest ones, up to a limit. How long they really
/// rest is asked when somebody wants one.
#[derive(Default)]
pub(super) struct Resting {
    by_pool: BTreeMap<Box<str>, BTreeSet<(Wall, Id)>>,
    /// How many went because there were more than the limit.
    dropped: u64,
}

impl Resting {
    /// A binding of the pool has ended.
    pub(super) fn insert(&mut self, pool: &str, ended: Wall, id: Id, limit: usize) {
        let known = self.by_pool.get_mut(pool);
        let set = match known {
            Some(set) => set,
            None => self.by_pool.entry(pool.into()).or_default(),
        };
        set.insert((ended, id));
        self.dropped += shorten(set, limit);
    }

    /// No more than so many in any pool.
    pub(super) fn trim(&mut self, limit: usize) {
        for set in self.by_pool.values_mut() {
            self.dropped += shorten(set, limit);
        }
    }

    /// It is no more.
    pub(super) fn remove(&mut self, pool: &str, ended: Wall, id: Id) {
        if let Some(set) = self.by_pool.get_mut(pool)
            && set.remove(&(ended, id))
            && set.is_empty()
        {
            self.by_pool.remove(pool);
        }
    }

    /// Whether its keys may rest.
    pub(super) fn holds(&self, pool: &str, ended: Wall, id: Id) -> bool {
        self.by_pool
            .get(pool)
            .is_some_and(|set| set.contains(&(ended, id)))
    }

    /// How many of a pool ended after `since`.
    pub(super) fn ended_after(&self, pool: &str, since: Wall) -> usize {
        let set = self.by_pool.get(pool);
        set.map_or(0, |set| set.range((since, Id::from_bits(u128::MAX))..).count())
    }

    /// How many there are, and how many went too early.
    pub(super) fn counts(&self) -> (usize, u64) {
        (self.by_pool.values().map(BTreeSet::len).sum(), self.dropped)
    }
}

/// Takes the oldest away until the limit is kept: how many went.
fn shorten(set: &mut BTreeSet<(Wall, Id)>, limit: usize) -> u64 {
    let mut gone = 0;
    while set.len() > limit {
        set.pop_first();
        gone += 1;
    }
    gone
}

/// The longest quarantine: a year.
pub const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// The text isn't a quarantine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a quarantine is a time of at most 365 days and a word, like 24h soft or 7d hard")]
pub struct NotAQuarantine;

impl FromStr for Quarantine {
    type Err = NotAQuarantine;

    fn from_str(text: &str) -> Result<Self, NotAQuarantine> {
        let (time, grip) = text.trim().split_once(' ').ok_or(NotAQuarantine)?;
        let grip = match grip.trim() {
            "soft" => Grip::Soft,
            "hard" => Grip::Hard,
            _ => return Err(NotAQuarantine),
        };
        let unit = time.chars().next_back().ok_or(NotAQuarantine)?;
        let count: u64 = time
            .strip_suffix(unit)
            .and_then(|count| count.parse().ok())
            .ok_or(NotAQuarantine)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(NotAQuarantine),
        };
        let lasts = count.checked_mul(seconds).map(Duration::from_secs);
        let lasts = lasts.filter(|lasts| *lasts <= LONGEST).ok_or(NotAQuarantine)?;
        Ok(Self { lasts, grip })
    }
}

impl fmt::Display for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.lasts.as_secs();
        let (count, unit) = [(86_400, 'd'), (3_600, 'h'), (60, 'm')]
            .into_iter()
            .find(|(size, _)| seconds > 0 && seconds.is_multiple_of(*size))
            .map_or((seconds, 's'), |(size, unit)| (seconds / size, unit));
        write!(f, "{count}{unit} {}", self.grip.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarantine_reads_as_it_is_written() {
        for text in [
            "24h soft",
            "7d hard",
            "90m soft",
            "1s hard",
            "0s soft",
            "365d soft",
        ] {
            let read: Quarantine = text.parse().expect(text);
            assert_eq!(read.to_string().parse(), Ok(read), "{text}");
        }
        assert_eq!(
            "24h soft".parse::<Quarantine>().map(|q| q.to_string()),
            Ok("1d soft".into())
        );
    }

    #[test]
    fn what_is_no_quarantine_is_refused() {
        for text in [
            "",
            "soft",
            "24h",
            "24 soft",
            "h soft",
            "-1h soft",
            "366d hard",
            "24h firm",
            "1é soft",
            "99999999999999999999d soft",
        ] {
            assert_eq!(text.parse::<Quarantine>(), Err(NotAQuarantine), "{text}");
        }
    }
}
