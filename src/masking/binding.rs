//! The binding: a promise that joins real numbers through virtual ones, under terms, until a time.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cues::Cues;
use super::group::GroupId;
use super::keyed::Extension;
use super::menu::Menu;
use super::turns::Ring;
use crate::base::id::Id;
use crate::base::number::{RealNumber, VirtualNumber};
use crate::base::time::Wall;

/// The mode of a binding: which rows of (dialled, caller) → (called, shown) it makes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// (X, A) → B shown X; (X, B) → A shown X; anyone else refused.
    Axb,
    /// (X, anyone but A) → A shown X; (X, A) → by the callback mode.
    Ax,
    /// (Y, A) → B shown X; (X, B) → A shown Y; A dialling X or B dialling Y calls himself.
    Axyb,
    /// (X, anyone) → whom the customer's server names, shown X. A pool's mode: nothing is bound on its numbers.
    X,
    /// (X, member of G) → A shown X; (X, A) → a member, by the callback mode; anyone else refused.
    Axg,
    /// (X, member of G) → B shown X; (X, B) → a member, by the callback mode or the group's default.
    Gxb,
    /// (Y, member of G) → B shown X; (X, B) → a member, likewise, shown Y.
    Gxyb,
    /// (X, customer) → employee B shown X; (X, B) → the customer whom he was paired with last.
    Xb,
    /// (X, anyone) → X's base number.
    Inbound,
    /// (X, anyone) → asked for an extension E; (X + E) → its A shown X; (X, A) → by the callback mode.
    Axe,
    /// (X, anyone but A) → A shown X; (X, A) → by the callback mode.
    Axn,
    /// The same on a 95 number, which never records.
    #[serde(rename = "95axn")]
    Axn95,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 12] = [
        Self::Axb,
        Self::Ax,
        Self::Axyb,
        Self::Axe,
        Self::Axn,
        Self::Axn95,
        Self::X,
        Self::Axg,
        Self::Gxb,
        Self::Gxyb,
        Self::Xb,
        Self::Inbound,
    ];

    /// The name in records, conf and CLI.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Axb => "axb",
            Self::Ax => "ax",
            Self::Axyb => "axyb",
            Self::X => "x",
            Self::Axg => "axg",
            Self::Gxb => "gxb",
            Self::Gxyb => "gxyb",
            Self::Xb => "xb",
            Self::Inbound => "400",
            Self::Axe => "axe",
            Self::Axn => "axn",
            Self::Axn95 => "95axn",
        }
    }
}

/// Which way a binding may be called. Where anyone may call (AX), they stand where B does; members of a group stand where
/// the letter of their mode does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum Direction {
    /// Both ways.
    #[default]
    #[serde(rename = "both")]
    Both,
    /// Only A may call.
    #[serde(rename = "a-to-b")]
    AToB,
    /// Only the other side may call.
    #[serde(rename = "b-to-a")]
    BToA,
}

impl Direction {
    /// Whether somebody of this side may call.
    pub const fn allows(self, side: Side) -> bool {
        match (self, side) {
            (Self::Both, Side::A | Side::B) | (Self::AToB, Side::A) | (Self::BToA, Side::B) => true,
            (Self::AToB, Side::B) | (Self::BToA, Side::A) => false,
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

/// Who somebody is to a binding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// The protected subscriber.
    A,
    /// The known other party.
    B,
    /// Anyone else, where anyone may call.
    N,
    /// A member of its group.
    Member,
}

impl Party {
    /// The name in records and requests: `a`, `b`, `n`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::N => "n",
            Self::Member => "member",
        }
    }
}

/// Which of a binding's two sides somebody stands on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The one that X stands for, towards the other.
    A,
    /// The other one.
    B,
}

/// Whom a binding joins, by its mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parties {
    /// A and B, both through X.
    Axb {
        /// The protected subscriber.
        a: RealNumber,
        /// The known other party.
        b: RealNumber,
    },
    /// A and whoever calls X.
    Ax {
        /// The protected subscriber.
        a: RealNumber,
    },
    /// A, for whom X stands, and B, for whom Y stands.
    Axyb {
        /// The protected subscriber.
        a: RealNumber,
        /// The virtual number that A dials to reach B, and that stands for B.
        y: VirtualNumber,
        /// The known other party.
        b: RealNumber,
    },
    /// A and the members of a group, through X.
    Axg {
        /// The protected subscriber.
        a: RealNumber,
        /// Who may call him.
        group: GroupId,
    },
    /// The members of a group and B, through X.
    Gxb {
        /// Who may call B.
        group: GroupId,
        /// The known other party.
        b: RealNumber,
    },
    /// The members of a group, for whom X stands, and B, for whom Y stands.
    Gxyb {
        /// Who may call B.
        group: GroupId,
        /// The virtual number that they dial, and that stands for B.
        y: VirtualNumber,
        /// The known other party.
        b: RealNumber,
    },
    /// An employee, whose work number X is.
    Xb {
        /// The employee.
        b: RealNumber,
    },
    /// A customer, paired with the employee whose work number X is.
    Paired {
        /// The customer.
        a: RealNumber,
        /// The employee.
        b: RealNumber,
    },
    /// Whoever calls X, and the number behind it.
    Inbound {
        /// The number behind it.
        base: RealNumber,
    },
    /// A and whoever keys his extension behind X, which many share.
    Axe {
        /// The protected subscriber.
        a: RealNumber,
        /// His extension.
        e: Extension,
    },
    /// A and whoever calls X.
    Axn {
        /// The protected subscriber.
        a: RealNumber,
    },
    /// A and whoever calls X, a 95 number.
    Axn95 {
        /// The protected subscriber.
        a: RealNumber,
    },
}

impl Parties {
    /// The mode that joins so.
    pub const fn mode(&self) -> Mode {
        match self {
            Self::Axb { .. } => Mode::Axb,
            Self::Ax { .. } => Mode::Ax,
            Self::Axyb { .. } => Mode::Axyb,
            Self::Axg { .. } => Mode::Axg,
            Self::Gxb { .. } => Mode::Gxb,
            Self::Gxyb { .. } => Mode::Gxyb,
            Self::Xb { .. } | Self::Paired { .. } => Mode::Xb,
            Self::Inbound { .. } => Mode::Inbound,
            Self::Axe { .. } => Mode::Axe,
            Self::Axn { .. } => Mode::Axn,
            Self::Axn95 { .. } => Mode::Axn95,
        }
    }

    /// The protected subscriber, where it is one person: not a group, and not the customers of a work number.
    pub const fn a(&self) -> Option<RealNumber> {
        match self {
            Self::Axb { a, .. }
            | Self::Ax { a }
            | Self::Axyb { a, .. }
            | Self::Axe { a, .. }
            | Self::Axn { a }
            | Self::Axn95 { a }
            | Self::Axg { a, .. }
            | Self::Paired { a, .. }
            | Self::Inbound { base: a } => Some(*a),
            Self::Gxb { .. } | Self::Gxyb { .. } | Self::Xb { .. } => None,
        }
    }

    /// The one person who is always there: A, or B of those who have no A.
    pub const fn first(&self) -> RealNumber {
        match self {
            Self::Axb { a, .. }
            | Self::Ax { a }
            | Self::Axyb { a, .. }
            | Self::Axe { a, .. }
            | Self::Axn { a }
            | Self::Axn95 { a }
            | Self::Axg { a, .. }
            | Self::Paired { a, .. }
            | Self::Inbound { base: a } => *a,
            Self::Gxb { b, .. } | Self::Gxyb { b, .. } | Self::Xb { b } => *b,
        }
    }

    /// The person whom the whole number stands for, where it is one's alone.
    pub const fn behind(&self) -> RealNumber {
        match self {
            Self::Paired { b, .. } => *b,
            Self::Axb { .. }
            | Self::Ax { .. }
            | Self::Axyb { .. }
            | Self::Axe { .. }
            | Self::Axn { .. }
            | Self::Axn95 { .. }
            | Self::Axg { .. }
            | Self::Gxb { .. }
            | Self::Gxyb { .. }
            | Self::Xb { .. }
            | Self::Inbound { .. } => self.first(),
        }
    }

    /// The group, in modes that have one.
    pub const fn group(&self) -> Option<GroupId> {
        match self {
            Self::Axg { group, .. } | Self::Gxb { group, .. } | Self::Gxyb { group, .. } => Some(*group),
            Self::Axb { .. }
            | Self::Ax { .. }
            | Self::Axyb { .. }
            | Self::Axe { .. }
            | Self::Axn { .. }
            | Self::Axn95 { .. }
            | Self::Xb { .. }
            | Self::Paired { .. }
            | Self::Inbound { .. } => None,
        }
    }

    /// On which side somebody stands. Members do where the letter of their mode does.
    pub const fn side(&self, party: Party) -> Side {
        match (self, party) {
            (_, Party::A) | (Self::Gxb { .. } | Self::Gxyb { .. }, Party::Member) => Side::A,
            (_, Party::B | Party::N)
            | (
                Self::Axb { .. }
                | Self::Ax { .. }
                | Self::Axyb { .. }
                | Self::Axe { .. }
                | Self::Axn { .. }
                | Self::Axn95 { .. }
                | Self::Axg { .. }
                | Self::Xb { .. }
                | Self::Paired { .. }
                | Self::Inbound { .. },
                Party::Member,
            ) => Side::B,
        }
    }

    /// The known other party, in modes that have one.
    pub const fn b(&self) -> Option<RealNumber> {
        match self {
            Self::Axb { b, .. }
            | Self::Axyb { b, .. }
            | Self::Gxb { b, .. }
            | Self::Gxyb { b, .. }
            | Self::Xb { b }
            | Self::Paired { b, .. } => Some(*b),
            Self::Ax { .. }
            | Self::Axe { .. }
            | Self::Axn { .. }
            | Self::Axn95 { .. }
            | Self::Axg { .. }
            | Self::Inbound { .. } => None,
        }
    }

    /// The virtual number that stands for B, in modes that have one.
    pub const fn y(&self) -> Option<VirtualNumber> {
        match self {
            Self::Axyb { y, .. } | Self::Gxyb { y, .. } => Some(*y),
            Self::Axb { .. }
            | Self::Ax { .. }
            | Self::Axe { .. }
            | Self::Axn { .. }
            | Self::Axn95 { .. }
            | Self::Axg { .. }
            | Self::Gxb { .. }
            | Self::Xb { .. }
            | Self::Paired { .. }
            | Self::Inbound { .. } => None,
        }
    }

    /// The extension behind X, in the mode that has one.
    pub const fn extension(&self) -> Option<Extension> {
        match self {
            Self::Axe { e, .. } => Some(*e),
            Self::Axb { .. }
            | Self::Ax { .. }
            | Self::Axyb { .. }
            | Self::Axn { .. }
            | Self::Axn95 { .. }
            | Self::Axg { .. }
            | Self::Gxb { .. }
            | Self::Gxyb { .. }
            | Self::Xb { .. }
            | Self::Paired { .. }
            | Self::Inbound { .. } => None,
        }
    }

    /// The number of one of them, if it is known.
    pub const fn number_of(&self, party: Party) -> Option<RealNumber> {
        match party {
            Party::A => self.a(),
            Party::B => self.b(),
            Party::N | Party::Member => None,
        }
    }
}

/// What a binding allows and asks for. Small: what few bindings have stands apart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Terms {
    /// Who may call whom.
    pub direction: Direction,
    /// Whether calls are to be recorded.
    pub record: bool,
    rare: Option<Box<Rare>>,
}

/// The terms that few bindings have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rare {
    /// The call is cut after this long.
    pub max_duration: Option<Duration>,
    /// How long the called party rings; the server's default if `None`.
    pub ring_timeout: Option<Duration>,
    /// The customer's order, for records and search; at most 64 bytes.
    pub order_id: Option<Box<str>>,
    /// The customer's own words, echoed in records; at most 256 bytes.
    pub user_data: Option<Box<str>>,
    /// Who else rings, one after the other, when the employee of a work number is called.
    pub ring: Option<Box<Ring>>,
    /// What the party behind a 400 number sees; its base number if `None`.
    pub display: Option<VirtualNumber>,
    /// What callers of a 400 number are asked; they reach its base number if `None`.
    pub menu: Option<Arc<Menu>>,
    /// What is heard of its calls beside the parties themselves.
    pub cues: Option<Box<Cues>>,
    /// Whom A reaches by dialling his own X, where the pool's callback mode is `preset`.
    pub callback: Option<RealNumber>,
}

impl Rare {
    const NONE: Self = Self {
        max_duration: None,
        ring_timeout: None,
        order_id: None,
        user_data: None,
        ring: None,
        display: None,
        menu: None,
        cues: None,
        callback: None,
    };
}

impl Terms {
    /// These terms.
    pub fn new(direction: Direction, record: bool, rare: Rare) -> Self {
        Self {
            direction,
            record,
            rare: (rare != Rare::NONE).then(|| Box::new(rare)),
        }
    }

    /// What is heard of its calls beside the parties themselves.
    pub fn cues(&self) -> &Cues {
        const NONE: &Cues = &Cues::NONE;
        self.rare().cues.as_deref().unwrap_or(NONE)
    }

    /// The terms that few bindings have.
    pub fn rare(&self) -> &Rare {
        const NONE: &Rare = &Rare::NONE;
        self.rare.as_deref().unwrap_or(NONE)
    }
}

/// Why a binding ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Unbound by its owner.
    Unbound,
    /// Its time was over.
    Expired,
    /// An update gave its place to other parties; the binding goes on with them under its own id.
    Replaced,
}

/// The account and the pool of a binding: one for the many that share them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Home {
    /// The account that owns the binding.
    pub account: Box<str>,
    /// The pool (by its key) that X belongs to.
    pub pool: Box<str>,
}

/// One version of a binding's record. An update writes a new version; the id stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// The id that API, CLI and records name.
    pub id: Id,
    /// Counts the updates, from 1.
    pub version: u32,
    /// Whose it is.
    pub home: Arc<Home>,
    /// The virtual number; in modes with a Y, the one that stands for A.
    pub x: VirtualNumber,
    /// Whom it joins, and so which rows it makes.
    pub parties: Parties,
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
    /// The account that owns it.
    pub fn account(&self) -> &str {
        &self.home.account
    }

    /// The pool (by its key) that X belongs to.
    pub fn pool(&self) -> &str {
        &self.home.pool
    }

    /// Which rows it makes.
    pub const fn mode(&self) -> Mode {
        self.parties.mode()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_without_rare_terms_takes_two_cache_lines() {
        assert!(size_of::<Binding>() <= 128, "{}", size_of::<Binding>());
    }

    #[test]
    fn terms_that_say_nothing_rare_are_equal_however_they_were_made() {
        let made = Terms::new(Direction::Both, false, Rare::default());
        assert_eq!(made, Terms::default());
        assert_eq!(made.rare(), &Rare::default());
    }
}
