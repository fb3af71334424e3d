//! The binding: a promise that joins real numbers through a virtual one, under terms, until a time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::id::Id;
use crate::base::number::{RealNumber, VirtualNumber};
use crate::base::time::Wall;

/// The mode of a binding: which rows of (dialled, caller) → (called, shown) it makes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// (X, A) → B shown X; (X, B) → A shown X; anyone else refused.
    Axb,
}

impl Mode {
    /// The name in records, conf and CLI.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Axb => "axb",
        }
    }
}

/// Which way a binding may be called.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum Direction {
    /// Both ways.
    #[default]
    #[serde(rename = "both")]
    Both,
    /// Only A may call.
    #[serde(rename = "a-to-b")]
    AToB,
    /// Only B may call.
    #[serde(rename = "b-to-a")]
    BToA,
}

impl Direction {
    /// Whether `caller` may call.
    pub const fn allows(self, caller: Party) -> bool {
        match (self, caller) {
            (Self::Both, Party::A | Party::B) | (Self::AToB, Party::A) | (Self::BToA, Party::B) => true,
            (Self::AToB, Party::B) | (Self::BToA, Party::A) => false,
        }
    }

    /// The name in records, conf and CLI.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::AToB => "a-to-b",
            Self::BToA => "b-to-a",
        }
    }
}

/// Which of a binding's two people.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// The protected subscriber.
    A,
    /// The known other party.
    B,
}

impl Party {
    /// The one on the other end.
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// The name in records and requests: `a`, `b`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

/// What a binding allows and asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Terms {
    /// Who may call whom.
    pub direction: Direction,
    /// The call is cut after this long.
    pub max_duration: Option<Duration>,
    /// How long the called party rings; the server's default if `None`.
    pub ring_timeout: Option<Duration>,
    /// Whether calls are to be recorded.
    pub record: bool,
    /// The customer's order, for records and search; at most 64 bytes.
    pub order_id: Option<Box<str>>,
    /// The customer's own words, echoed in records; at most 256 bytes.
    pub user_data: Option<Box<str>>,
}

/// Why a binding ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Unbound by its owner.
    Unbound,
    /// Its time was over.
    Expired,
}

/// One version of a binding's record. An update writes a new version; the id stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// The id that API, CLI and records name.
    pub id: Id,
    /// Counts the updates, from 1.
    pub version: u32,
    /// Which rows it makes.
    pub mode: Mode,
    /// The account that owns it.
    pub account: Box<str>,
    /// The pool (by its key) that X belongs to.
    pub pool: Box<str>,
    /// The virtual number.
    pub x: VirtualNumber,
    /// The protected subscriber.
    pub a: RealNumber,
    /// The known other party.
    pub b: RealNumber,
    /// What it allows and asks for.
    pub terms: Terms,
    /// When the binding was made.
    pub created: Wall,
    /// When this version began to count.
    pub since: Wall,
    /// When it ends by itself; [`Wall::NEVER`] for never.
    pub expires: Wall,
    /// When and why it ended before or at its time.
    pub ended: Option<(Wall, Ended)>,
}

impl Binding {
    /// The number of one of its people.
    pub const fn number_of(&self, party: Party) -> RealNumber {
        match party {
            Party::A => self.a,
            Party::B => self.b,
        }
    }

    /// When this version stops counting: at its expiry, or at its end if that came first.
    /// [`Wall::NEVER`] for a live binding without expiry.
    pub fn until(&self) -> Wall {
        self.ended.map_or(self.expires, |(at, _)| at.min(self.expires))
    }

    /// Whether this version, were it the newest, counts at `at`.
    pub fn counts_at(&self, at: Wall) -> bool {
        self.since <= at && at < self.until()
    }

    /// Whether it is over at `now`: ended, or past its expiry even if nobody has written that down yet.
    pub fn is_over(&self, now: Wall) -> bool {
        self.ended.is_some() || self.expires <= now
    }
}
