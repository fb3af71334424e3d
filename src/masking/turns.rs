//! Who rings after whom, when one call may go to several people of one side.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::number::RealNumber;

/// When the list of a work number rings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The employee first, and the list when he can't be reached.
    #[default]
    Conditional,
    /// The list alone, at once.
    Unconditional,
}

impl Order {
    /// The name in requests and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conditional => "conditional",
            Self::Unconditional => "unconditional",
        }
    }
}

/// People who ring one after the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ring {
    /// When they do.
    pub order: Order,
    /// They, in their order; one at least.
    pub list: Vec<RealNumber>,
    /// How long each of them rings, the first one included.
    pub each: Duration,
}

/// Whose turn it is in one call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Turn {
    list: Arc<[RealNumber]>,
    at: usize,
    each: Duration,
}

impl Turn {
    /// The first one's.
    pub(super) const fn first(list: Arc<[RealNumber]>, each: Duration) -> Self {
        Self { list, at: 0, each }
    }

    /// How long each of them rings.
    pub(super) const fn each(&self) -> Duration {
        self.each
    }

    /// Whether somebody came before.
    pub(super) const fn is_later(&self) -> bool {
        self.at > 0
    }

    /// Whoever comes after this one.
    pub(super) fn next(&self) -> Option<(RealNumber, Self)> {
        let at = self.at + 1;
        let called = self.list.get(at).copied()?;
        Some((called, Self { at, ..self.clone() }))
    }

    /// Everybody who comes after this one.
    pub(super) fn others(&self) -> &[RealNumber] {
        self.list.get(self.at + 1..).unwrap_or_default()
    }
}
