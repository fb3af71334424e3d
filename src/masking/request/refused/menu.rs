//! What a request is told whose menu doesn't go.

use std::fmt;

use crate::base::limits::{MENU_CHOICES_MAX, MENU_DIGITS_MAX, NAME_BYTES_MAX, RING_LIST_MAX};
use crate::base::number::RealNumber;
use crate::masking::keyed::Keyed;

/// What is wrong with a menu, and where in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MenuRefused {
    /// Its prompt has no name that a prompt may have.
    Prompt,
    /// It has no answers, or too many.
    Choices,
    /// An answer is none that can be keyed.
    Keys,
    /// An answer begins with another one, which would be whole before it.
    Begins {
        /// The shorter one.
        keys: Keyed,
        /// The longer one, or the same again.
        other: Keyed,
    },
    /// An answer leads to nobody, to too many, or to somebody twice.
    Numbers {
        /// The answer.
        keys: Keyed,
    },
    /// An answer leads to a number of this server.
    Own {
        /// The answer.
        keys: Keyed,
        /// The number.
        number: RealNumber,
    },
    /// An answer leads to an emergency number, where nobody gets in another's name.
    Emergency {
        /// The answer.
        keys: Keyed,
        /// The number.
        number: RealNumber,
    },
    /// What counts for who keys nothing is no answer of it.
    Default,
}

impl MenuRefused {
    /// The name that programs go by.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Own { .. } => "own_number",
            Self::Prompt
            | Self::Choices
            | Self::Keys
            | Self::Begins { .. }
            | Self::Numbers { .. }
            | Self::Emergency { .. }
            | Self::Default => "out_of_bounds",
        }
    }

    /// The refusal in one sentence, real numbers masked.
    pub(super) fn write(&self, text: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::Prompt => write!(
                text,
                "menu.prompt must be a prompt's name: 1 to {NAME_BYTES_MAX} bytes without control characters"
            ),
            Self::Choices => write!(text, "menu.choices must be 1 to {MENU_CHOICES_MAX} answers"),
            Self::Keys => write!(
                text,
                "an answer in menu.choices must be 1 to {MENU_DIGITS_MAX} digits, or * or # alone"
            ),
            Self::Begins { keys, other } => write!(
                text,
                "menu.choices: {other} begins with {keys}, which is whole before it: give one of them other keys"
            ),
            Self::Numbers { keys } => write!(
                text,
                "menu.choices: {keys} must lead to 1 to {RING_LIST_MAX} numbers, each once"
            ),
            Self::Own { keys, number } => write!(
                text,
                "menu.choices: {keys} leads to {number:?}, a number of this server: name a real one"
            ),
            Self::Emergency { keys, number } => write!(
                text,
                "menu.choices: {keys} leads to {number:?}, which may be an emergency number: nobody is put through there in another's name"
            ),
            Self::Default => write!(text, "menu.default must be one of the answers in menu.choices"),
        }
    }
}
