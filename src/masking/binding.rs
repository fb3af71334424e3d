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
