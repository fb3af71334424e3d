//! What a party is asked when the other one has hung up: how it was, to be answered by one key.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::cues::{Hearers, is_name};
use super::request::{Field, Refused};
use crate::base::limits::{QUESTION_LOOPS, QUESTION_LOOPS_MAX};

/// The question at the end of a call, whoever of those who are to hear it stays on the line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EndQuestion {
    /// The prompt, as the prompt store names it.
    pub prompt: Box<str>,
    /// Who is asked if he stays.
    pub to: Hearers,
    /// The keys that answer it.
    pub keys: Keys,
    /// How often it is asked, 1 to 5.
    pub loops: u8,
}

impl EndQuestion {
    /// The one that ships: good, fair or poor, asked of the caller.
    pub fn shipped() -> Self {
        Self {
            prompt: "question".into(),
            to: Hearers::Caller,
            keys: Keys::THREE,
            loops: QUESTION_LOOPS,
        }
    }

    /// Everything within its bounds.
    ///
    /// # Errors
    /// The field that isn't.
    pub(super) fn check(&self) -> Result<(), Refused> {
        if !is_name(&self.prompt) {
            return Err(Refused::BoundsOf(Field::Question));
        }
        if !(1..=QUESTION_LOOPS_MAX).contains(&self.loops) {
            return Err(Refused::BoundsOf(Field::QuestionLoops));
        }
        Ok(())
    }
}

/// What a binding says of something that its pool may say too.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Said<T> {
    /// Nothing: what the pool says holds.
    #[default]
    Nothing,
    /// Nobody is asked, whatever the pool says.
    Nobody,
    /// This.
    This(T),
}

impl<T> Said<T> {
    /// What it says, if it is any.
    pub fn this(self) -> Option<T> {
        match self {
            Self::Nothing | Self::Nobody => None,
            Self::This(this) => Some(this),
        }
    }

    /// By reference.
    pub const fn as_ref(&self) -> Said<&T> {
        match self {
            Self::Nothing => Said::Nothing,
            Self::Nobody => Said::Nobody,
            Self::This(this) => Said::This(this),
        }
    }

    /// Another thing in its place.
    pub fn map<U>(self, of: impl FnOnce(T) -> U) -> Said<U> {
        match self {
            Self::Nothing => Said::Nothing,
            Self::Nobody => Said::Nobody,
            Self::This(this) => Said::This(of(this)),
        }
    }
}

impl<T> From<Option<T>> for Said<T> {
    fn from(said: Option<T>) -> Self {
        said.map_or(Self::Nothing, Self::This)
    }
}

/// The keys of a phone, in the order in which they are written.
const LETTERS: [u8; 12] = *b"0123456789*#";

/// Some keys of a phone, one at least.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Keys(u16);

/// The text names no keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("one or more different keys of 0 to 9, * and #")]
pub struct NoKeys;

impl Keys {
    /// `123`
    pub const THREE: Self = Self(0b1110);

    /// Whether this is one of them.
    pub fn has(self, letter: u8) -> bool {
        let place = LETTERS.iter().position(|key| *key == letter);
        place.is_some_and(|place| self.0 & (1 << place) != 0)
    }
}

impl FromStr for Keys {
    type Err = NoKeys;

    fn from_str(text: &str) -> Result<Self, NoKeys> {
        let mut keys = Self(0);
        for letter in text.bytes() {
            let place = LETTERS.iter().position(|key| *key == letter).ok_or(NoKeys)?;
            if keys.has(letter) {
                return Err(NoKeys);
            }
            keys.0 |= 1 << place;
        }
        Some(keys).filter(|keys| keys.0 != 0).ok_or(NoKeys)
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut keys = LETTERS.into_iter().filter(|letter| self.has(*letter));
        keys.try_for_each(|letter| write!(f, "{}", char::from(letter)))
    }
}

/// What a request says of it: `None` leaves, a prompt of [`Said::Nothing`] takes all of it away. Where there was none, what isn't
/// named is as in [the one that ships](EndQuestion::shipped).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QuestionChange {
    /// The prompt.
    pub prompt: Option<Said<Box<str>>>,
    /// Who is asked.
    pub to: Option<Hearers>,
    /// The keys.
    pub keys: Option<Keys>,
    /// How often.
    pub loops: Option<u8>,
}

impl QuestionChange {
    /// The question as it is after it.
    pub fn after(self, old: Said<&EndQuestion>) -> Said<EndQuestion> {
        let is_silent = self == Self::default();
        let base = match (&self.prompt, old) {
            (Some(Said::Nothing), _) => return Said::Nothing,
            (Some(Said::Nobody), _) => return Said::Nobody,
            (None | Some(Said::This(_)), Said::This(old)) => old.clone(),
            (None, Said::Nothing | Said::Nobody) if is_silent => return old.map(Clone::clone),
            (None | Some(Said::This(_)), Said::Nothing | Said::Nobody) => EndQuestion::shipped(),
        };
        Said::This(EndQuestion {
            prompt: self.prompt.and_then(Said::this).unwrap_or(base.prompt),
            to: self.to.unwrap_or(base.to),
            keys: self.keys.unwrap_or(base.keys),
            loops: self.loops.unwrap_or(base.loops),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_one_or_more_of_a_phone_each_once() {
        for text in ["1", "123", "0123456789*#", "*", "#"] {
            let keys: Keys = text.parse().expect(text);
            assert_eq!(keys.to_string(), text);
            assert!(
                LETTERS
                    .iter()
                    .all(|key| keys.has(*key) == text.as_bytes().contains(key))
            );
        }
        assert_eq!("321".parse(), Ok(Keys::THREE));
        for text in ["", "11", "1a", "1 2", "A"] {
            assert_eq!(text.parse::<Keys>(), Err(NoKeys), "{text}");
        }
    }

    #[test]
    fn what_is_not_named_is_as_it_was_or_as_it_ships() {
        for old in [Said::Nothing, Said::Nobody] {
            let after = QuestionChange::default().after(old);
            assert_eq!(after.as_ref(), old);
        }
        let keys = QuestionChange {
            keys: "12".parse().ok(),
            ..QuestionChange::default()
        };
        let asked = keys.after(Said::Nothing).this().expect("the one that ships");
        let shipped = EndQuestion {
            keys: "12".parse().expect("keys"),
            ..EndQuestion::shipped()
        };
        assert_eq!(asked, shipped);
        let other = QuestionChange {
            prompt: Some(Said::This("rate".into())),
            ..QuestionChange::default()
        };
        let asked = other.after(Said::This(&asked)).this().expect("another prompt");
        assert_eq!((&*asked.prompt, asked.keys), ("rate", shipped.keys));
        for (prompt, after) in [(Said::Nothing, Said::Nothing), (Said::Nobody, Said::Nobody)] {
            let none = QuestionChange {
                prompt: Some(prompt),
                ..QuestionChange::default()
            };
            assert_eq!(none.after(Said::This(&asked)), after);
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let check = |change: fn(&mut EndQuestion)| {
            let mut question = EndQuestion::shipped();
            change(&mut question);
            question.check()
        };
        assert_eq!(check(|_| {}), Ok(()));
        assert_eq!(
            check(|q| q.prompt = "".into()),
            Err(Refused::BoundsOf(Field::Question))
        );
        for loops in [0, 6] {
            let mut question = EndQuestion::shipped();
            question.loops = loops;
            assert_eq!(question.check(), Err(Refused::BoundsOf(Field::QuestionLoops)));
        }
    }
}
