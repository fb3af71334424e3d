//! What is heard of a binding's calls beside the parties themselves: tones and sentences. Prompts are
//! named as the prompt store names them; one that isn't there when it is due is left out.

use serde::{Deserialize, Serialize};

use super::question::{EndQuestion, QuestionChange, Said};
use super::request::{Field, Refused};
use crate::base::limits::NAME_BYTES_MAX;

/// Who hears something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Hearers {
    /// Who calls.
    Caller,
    /// Who is called.
    Callee,
    /// Both.
    Both,
}

impl Hearers {
    /// Every one, with its name in requests and records.
    pub const NAMES: [(&str, Self); 3] = [
        ("caller", Self::Caller),
        ("callee", Self::Callee),
        ("both", Self::Both),
    ];

    /// The name in requests and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Callee => "callee",
            Self::Both => "both",
        }
    }

    /// Everybody whom one of these names.
    #[must_use]
    pub fn of_both(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) if one != other => Some(Self::Both),
            (one, other) => one.or(other),
        }
    }
}

/// What becomes of the media that the called side sends before it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Early {
    /// The caller hears it.
    Relay,
    /// The caller doesn't: networks' announcements speak real numbers. It hears a tone or prompt of ours.
    Keep,
}

impl Early {
    /// Every one, with its name in requests and records.
    pub const NAMES: [(&str, Self); 2] = [("relay", Self::Relay), ("keep", Self::Keep)];

    /// The name in requests and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Keep => "keep",
        }
    }
}

/// The sounds of a binding's calls. None, unless asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cues {
    /// Who hears a tone one minute before the longest duration is over.
    pub last_minute: Option<Hearers>,
    /// In place of what the called side's trunk says of it.
    pub early_media: Option<Early>,
    /// The prompt that the caller hears over and over while the called phone rings.
    pub waiting_caller: Option<Box<str>>,
    /// The prompt that the called side hears over and over while it has answered and something is said to the caller.
    pub waiting_callee: Option<Box<str>>,
    /// The prompt that the called side hears when it has answered, before the two talk.
    pub whisper: Option<Box<str>>,
    /// Who is told, before the two talk, that the call is recorded; of a binding that asks for recordings.
    pub record_tone: Option<Hearers>,
    /// What whoever stays on the line is asked when the other one has hung up.
    pub question: Said<Box<EndQuestion>>,
}

impl Cues {
    /// Nothing but the parties.
    pub const NONE: Self = Self {
        last_minute: None,
        early_media: None,
        waiting_caller: None,
        waiting_callee: None,
        whisper: None,
        record_tone: None,
        question: Said::Nothing,
    };

    /// As a term: nothing if nothing is asked for.
    pub fn some(self) -> Option<Box<Self>> {
        (self != Self::NONE).then(|| Box::new(self))
    }

    /// Everything within its bounds.
    ///
    /// # Errors
    /// The field that isn't.
    pub(super) fn check(&self) -> Result<(), Refused> {
        let is_bad = |name: &Option<Box<str>>| name.as_deref().is_some_and(|name| !is_name(name));
        let field = if is_bad(&self.waiting_caller) {
            Field::WaitingCaller
        } else if is_bad(&self.waiting_callee) {
            Field::WaitingCallee
        } else if is_bad(&self.whisper) {
            Field::Whisper
        } else {
            return self
                .question
                .as_ref()
                .this()
                .map_or(Ok(()), |question| question.check());
        };
        Err(Refused::BoundsOf(field))
    }
}

/// Whether a prompt may have this name.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control)
}

/// What an update says of [`Cues`]: `None` leaves, `Some(None)` takes away.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CuesChange {
    /// Who hears the last minute begin.
    pub last_minute: Option<Option<Hearers>>,
    /// The called side's media before the answer.
    pub early_media: Option<Option<Early>>,
    /// What the caller hears while it rings.
    pub waiting_caller: Option<Option<Box<str>>>,
    /// What the called side hears while it waits.
    pub waiting_callee: Option<Option<Box<str>>>,
    /// What the called side hears first.
    pub whisper: Option<Option<Box<str>>>,
    /// Who is told of the recording.
    pub record_tone: Option<Option<Hearers>>,
    /// What is asked at the end.
    pub question: QuestionChange,
}

impl CuesChange {
    /// The sounds as they are after it.
    pub fn after(self, old: Option<&Cues>) -> Option<Box<Cues>> {
        let old = old.unwrap_or(&Cues::NONE).clone();
        Cues {
            last_minute: self.last_minute.unwrap_or(old.last_minute),
            early_media: self.early_media.unwrap_or(old.early_media),
            waiting_caller: self.waiting_caller.unwrap_or(old.waiting_caller),
            waiting_callee: self.waiting_callee.unwrap_or(old.waiting_callee),
            whisper: self.whisper.unwrap_or(old.whisper),
            record_tone: self.record_tone.unwrap_or(old.record_tone),
            question: self
                .question
                .after(old.question.as_ref().map(|old| &**old))
                .map(Box::new),
        }
        .some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let check = |change: fn(&mut Cues)| {
            let mut cues = Cues::default();
            change(&mut cues);
            cues.check().map_err(|refused| match refused {
                Refused::BoundsOf(field) => field.name(),
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(check(|_| {}), Ok(()));
        assert_eq!(check(|c| c.whisper = Some("".into())), Err("whisper"));
        assert_eq!(
            check(|c| c.waiting_caller = Some("a\nb".into())),
            Err("waiting_caller")
        );
        assert_eq!(
            check(|c| c.waiting_callee = Some("x".repeat(65).into())),
            Err("waiting_callee")
        );
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name_and_takes_away_what_it_clears() {
        let old = Cues {
            last_minute: Some(Hearers::Both),
            whisper: Some("order".into()),
            ..Cues::default()
        };
        let change = CuesChange {
            whisper: Some(None),
            ..CuesChange::default()
        };
        let after = change.after(Some(&old)).expect("the tone is left");
        assert_eq!(after.last_minute, Some(Hearers::Both));
        assert_eq!(after.whisper, None);
        let change = CuesChange {
            last_minute: Some(None),
            ..CuesChange::default()
        };
        assert_eq!(change.after(Some(&after)), None);
    }
}
