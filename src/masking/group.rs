//! The group: numbers that may call by a binding without being named in it. Its members come and go while calls
//! go on; who was one at an attempt's arrival is what counts.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::number::RealNumber;
use crate::base::time::Wall;

/// Names a group: a number that is never given twice, as the platforms write it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupId(NonZeroU64);

impl GroupId {
    /// The first that is given; the next ones count on from it. No group has a name like it.
    pub const FIRST: Self = Self(NonZeroU64::new(10_000_001).expect("it isn't zero"));

    /// The id with these bits, as [`GroupId::bits`] gave them; `None` for 0, which is none.
    pub const fn from_bits(bits: u64) -> Option<Self> {
        match NonZeroU64::new(bits) {
            Some(bits) => Some(Self(bits)),
            None => None,
        }
    }

    /// The id's bits, for records on disk.
    pub const fn bits(self) -> u64 {
        self.0.get()
    }

    /// The one after it.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for GroupId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl Serialize for GroupId {
    /// As text: some readers of JSON round large numbers.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GroupId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A group of numbers, without its members.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// What programs name it by.
    pub id: GroupId,
    /// Counts the writes to this record, those to its members among them, from 1.
    pub version: u32,
    /// What people name it by; one group of that name in its pool.
    pub name: Box<str>,
    /// The pool (by its key) that it was made for.
    pub pool: Box<str>,
    /// The account that owns it.
    pub account: Box<str>,
    /// When it was made.
    pub created: Wall,
    /// How many members it has.
    pub members: u32,
    /// The member whom the known other party reaches when nobody else was named.
    pub default: Option<RealNumber>,
    /// When it was removed.
    pub ended: Option<Wall>,
}

/// That a number is, or was, a member of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Membership {
    /// The group.
    pub group: GroupId,
    /// Whose number.
    pub number: RealNumber,
    /// Counts the writes to this record, from 1: who comes back has a record already.
    pub version: u32,
    /// From when on it counts.
    pub since: Wall,
    /// When it ended; [`Wall::NEVER`] as long as it hasn't.
    pub until: Wall,
}

impl Membership {
    /// Whether it counts at `at`.
    pub fn counts_at(&self, at: Wall) -> bool {
        self.since <= at && at < self.until
    }

    /// Whether nobody has ended it.
    pub fn is_open(&self) -> bool {
        self.until == Wall::NEVER
    }
}
