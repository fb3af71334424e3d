//! What a caller is asked for by keys before it is known whom he reaches.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::binding::{Binding, Party};
use super::inventory::Number;
use super::keyed::Keyed;
use super::menu::Menu;
use crate::base::number::RealNumber;

/// On what kind of leg keys are asked for and heard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Collecting {
    /// On a leg that was answered.
    #[default]
    Answer,
    /// In early media.
    Early,
}

impl Collecting {
    /// The word in requests and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Early => "early",
        }
    }
}

/// What `#` means where no digit stands before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Hash {
    /// Nothing: it is a wrong answer.
    Nothing,
    /// The caller, who owns an extension, is called back by his rule.
    CallsBack,
}

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Wants {
    /// An extension.
    Extension {
        /// Of so many digits, 1 to 4; with the last of them the answer is whole, without `#`.
        width: u8,
        /// What `#` alone means.
        hash: Hash,
    },
    /// An answer of this menu.
    Choice(Arc<Menu>),
}

impl Wants {
    /// Digits with which the answer is whole, if that is so of every answer.
    pub fn width(&self) -> Option<u8> {
        match self {
            Self::Extension { width, .. } => Some(*width),
            Self::Choice(_) => None,
        }
    }

    /// Whether these digits are all that there will be: no answer is longer.
    pub fn is_whole(&self, digits: &str) -> bool {
        match self {
            Self::Extension { width, .. } => digits.len() >= usize::from(*width),
            Self::Choice(menu) => !menu.goes_on_after(digits),
        }
    }

    /// Whether `*` alone is said; else it begins an answer anew.
    pub fn takes_star(&self) -> bool {
        match self {
            Self::Extension { .. } => false,
            Self::Choice(_) => true,
        }
    }

    /// Whether this can be an answer at all, right or wrong.
    pub const fn may_be(&self, said: Keyed) -> bool {
        match (self, said) {
            (_, Keyed::Nothing)
            | (
                Self::Extension {
                    hash: Hash::Nothing, ..
                },
                Keyed::Hash,
            )
            | (Self::Extension { .. }, Keyed::Star) => false,
            (Self::Extension { .. }, Keyed::Hash | Keyed::Digits(_))
            | (Self::Choice(_), Keyed::Hash | Keyed::Star | Keyed::Digits(_)) => true,
        }
    }

    /// What counts as said by who has said this.
    pub fn meant_by(&self, said: Keyed) -> Keyed {
        match (self, said) {
            (Self::Choice(menu), Keyed::Nothing) => menu.default.unwrap_or(said),
            (Self::Choice(_), Keyed::Hash | Keyed::Star | Keyed::Digits(_)) | (Self::Extension { .. }, _) => {
                said
            }
        }
    }
}

/// Ask the caller, then judge the same attempt again with what he keyed in. Only [`route`](super::route::route)
/// says so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Collect {
    pub(super) wants: Wants,
    pub(super) how: Collecting,
    pub(super) number: Arc<Number>,
    pub(super) calling: Option<RealNumber>,
    pub(super) found: Option<(Arc<Binding>, Party)>,
}

impl Collect {
    /// What is asked for.
    pub const fn wants(&self) -> &Wants {
        &self.wants
    }

    /// On an answered leg, or before the answer.
    pub const fn how(&self) -> Collecting {
        self.how
    }

    /// The number that was dialled: its account and pool say which prompts are heard.
    pub const fn number(&self) -> &Arc<Number> {
        &self.number
    }

    /// Who calls, if he has an identity.
    pub const fn calling(&self) -> Option<RealNumber> {
        self.calling
    }

    /// The binding that asks, where that is one, and who the caller is to it. Where many are behind one number,
    /// only an owner of theirs is known before he keys.
    pub const fn found(&self) -> Option<&(Arc<Binding>, Party)> {
        self.found.as_ref()
    }
}
