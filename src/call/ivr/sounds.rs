//! What a caller hears who is asked for keys.

use std::sync::{Arc, OnceLock};

use crate::call::phase::Call;
use crate::call::prompts::PromptName;
use crate::masking::collect::{Hash, Wants};
use crate::rtp::clip::{Clip, FRAME_SAMPLES, Repeats};
use crate::rtp::tone::Tone;

/// What is said to him.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Says {
    /// Key in the extension.
    Enter,
    /// Nothing was keyed: once more.
    Nothing,
    /// It is none: once more.
    Wrong,
}

impl Call {
    /// The sound of that, in words if there are any.
    pub(super) fn clip_of(&self, says: Says) -> Arc<Clip> {
        let wants = self.ivr.as_ref().map(|ivr| ivr.collect.wants());
        let name = match (says, wants) {
            (Says::Enter, Some(Wants::Choice(menu))) => &*menu.prompt,
            (
                Says::Enter,
                Some(Wants::Extension {
                    hash: Hash::CallsBack,
                    ..
                }),
            ) => PromptName::ExtensionOrCallback.name(),
            (
                Says::Enter,
                Some(Wants::Extension {
                    hash: Hash::Nothing, ..
                })
                | None,
            ) => PromptName::EnterExtension.name(),
            (Says::Nothing, _) => PromptName::NoDigits.name(),
            (Says::Wrong, Some(Wants::Choice(_))) => PromptName::WrongChoice.name(),
            (Says::Wrong, Some(Wants::Extension { .. }) | None) => PromptName::WrongExtension.name(),
        };
        self.prompt(name).unwrap_or_else(|| says.beep())
    }

    /// Whether the question itself follows behind that: nobody remembers a menu of which one answer was wrong.
    pub(super) fn is_asked_anew_after(&self, says: Says) -> bool {
        let wants = self.ivr.as_ref().map(|ivr| ivr.collect.wants());
        match (says, wants) {
            (Says::Nothing | Says::Wrong, Some(Wants::Choice(_))) => true,
            (Says::Enter, _) | (Says::Nothing | Says::Wrong, Some(Wants::Extension { .. }) | None) => false,
        }
    }

    /// What he hears who has tried often enough, and the name by which records have it.
    pub(super) fn last_words(&self) -> Option<(Arc<Clip>, Box<str>)> {
        let name = match self.ivr.as_ref()?.collect.wants() {
            Wants::Extension { .. } => PromptName::TooManyTries,
            Wants::Choice(_) => PromptName::Goodbye,
        };
        Some((self.prompt(name.name())?, name.name().into()))
    }
}

impl Says {
    /// Half a second of a tone, where there are no words.
    fn beep(self) -> Arc<Clip> {
        static ASKING: OnceLock<Arc<Clip>> = OnceLock::new();
        static WRONG: OnceLock<Arc<Clip>> = OnceLock::new();
        let beep = |hz| {
            let samples = Tone::new(hz, PEAK).samples(FRAME_SAMPLES * 25);
            Arc::new(Clip::new(&samples, Repeats::Once))
        };
        match self {
            Self::Enter | Self::Nothing => ASKING.get_or_init(|| beep(1_000)).clone(),
            Self::Wrong => WRONG.get_or_init(|| beep(400)).clone(),
        }
    }
}

/// -10 dBm0.
const PEAK: u16 = 7_218;
