//! What there is to bind on: accounts, their pools, the pools' numbers.

use serde::{Deserialize, Serialize};

use super::binding::Mode;
use super::quarantine::Quarantine;
use crate::base::limits::AXB_PAIRS_PER_X;
use crate::base::number::VirtualNumber;
use crate::base::time::Wall;

/// The account that exists in every table from the start.
pub const DEFAULT_ACCOUNT: &str = "default";
/// The name of the pool that exists in every table from the start.
pub const DEFAULT_POOL: &str = "default";
/// The number in the default pool's key; later pools count on from it.
const FIRST_POOL: u64 = 100_000_000_000_001;

/// Whether an account may do business.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It may.
    #[default]
    Active,
    /// Calls, bind and unbind are refused; nothing is lost.
    Suspended,
}

/// One customer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Its name, which is its key.
    pub name: Box<str>,
    /// Counts the writes to this record, from 1.
    pub version: u32,
    /// Whether it may do business.
    pub standing: Standing,
    /// When it was made.
    pub created: Wall,
}

impl Account {
    /// The account that is always there.
    pub fn default_account() -> Self {
        Self {
            name: DEFAULT_ACCOUNT.into(),
            version: 1,
            standing: Standing::Active,
            created: Wall::from_millis(0),
        }
    }
}

/// Whom A reaches by dialling his own X, where anyone may call X.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Callback {
    /// Whom the customer's program named just before.
    #[default]
    Temporary,
    /// Nobody.
    Refused,
}

impl Callback {
    /// The word in conf and API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Temporary => "temporary",
            Self::Refused => "refused",
        }
    }
}

/// What becomes of callers without a usable identity, where anyone may call X.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unidentified {
    /// They are refused.
    #[default]
    Refused,
    /// They are anyone.
    Accepted,
}

/// Numbers of one account and one mode, with what holds for all of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pool {
    /// What platforms name it by: `FC` and 15 digits. Never changes.
    pub key: Box<str>,
    /// What people name it by; one pool of that name.
    pub name: Box<str>,
    /// The mode of its bindings.
    pub mode: Mode,
    /// The account that owns it.
    pub account: Box<str>,
    /// Counts the writes to this record, from 1.
    pub version: u32,
    /// When it was made.
    pub created: Wall,
    /// AXB pairs that one of its numbers may carry.
    pub axb_pairs_per_x: usize,
    /// Whom A reaches by dialling his own X.
    pub callback: Callback,
    /// What becomes of callers without a usable identity.
    pub unidentified: Unidentified,
    /// The quarantine of its numbers' keys; the conf's by default.
    pub quarantine: Option<Quarantine>,
}

impl Pool {
    /// The pool that is always there.
    pub fn default_pool() -> Self {
        Self {
            key: pool_key(FIRST_POOL),
            name: DEFAULT_POOL.into(),
            mode: Mode::Axb,
            account: DEFAULT_ACCOUNT.into(),
            version: 1,
            created: Wall::from_millis(0),
            axb_pairs_per_x: AXB_PAIRS_PER_X,
            callback: Callback::default(),
            unidentified: Unidentified::default(),
            quarantine: None,
        }
    }

    /// The key of the pool made after the one with key `last`.
    pub fn key_after(last: &str) -> Box<str> {
        let last = last.strip_prefix("FC").and_then(|d| d.parse().ok());
        pool_key(last.unwrap_or(FIRST_POOL).saturating_add(1))
    }
}

fn pool_key(number: u64) -> Box<str> {
    format!("FC{number:015}").into()
}

/// Why a number is frozen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freeze {
    /// The account doesn't pay.
    Arrears,
    /// Somebody complained.
    Complaint,
    /// The carrier took it out of service.
    Carrier,
    /// The operator of this server did it.
    Operator,
}

/// Where a number stands. Idle or in use is not stored: it follows from its bindings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberState {
    /// In service.
    Active,
    /// Keeps its bindings, gets no new ones; calls go through.
    Locked,
    /// Calls are refused.
    Frozen(Freeze),
    /// No number of ours any more.
    Released,
}

impl NumberState {
    /// The name in records and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Locked => "locked",
            Self::Frozen(_) => "frozen",
            Self::Released => "released",
        }
    }
}

/// One virtual number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Number {
    /// The number.
    pub x: VirtualNumber,
    /// The key of its pool.
    pub pool: Box<str>,
    /// The account that owns it.
    pub account: Box<str>,
    /// The trunks it belongs to; empty: the default trunk(s).
    pub trunks: Vec<Box<str>>,
    /// Where it stands.
    pub state: NumberState,
    /// Counts the writes to this record, from 1.
    pub version: u32,
    /// When it was added (again, if it was released in between).
    pub added: Wall,
}

impl Number {
    /// Whether it is a number of ours (not released).
    pub const fn is_ours(&self) -> bool {
        match self.state {
            NumberState::Active | NumberState::Locked | NumberState::Frozen(_) => true,
            NumberState::Released => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pool_keys_count_on_from_the_default_pools() {
        let first = Pool::default_pool().key;
        assert_eq!(&*first, "FC100000000000001");
        assert_eq!(&*Pool::key_after(&first), "FC100000000000002");
    }
}
