//! What a caller hears who is asked for keys.

use std::sync::{Arc, OnceLock};

use super::hash_of;
use crate::call::phase::Call;
use crate::call::prompts::PromptName;
use crate::masking::collect::Hash;
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
        let hash = self.ivr.as_ref().map(|ivr| hash_of(ivr.collect.wants()));
        let name = match (says, hash) {
            (Says::Enter, Some(Hash::CallsBack)) => PromptName::ExtensionOrCallback,
            (Says::Enter, Some(Hash::Nothing) | None) => PromptName::EnterExtension,
            (Says::Nothing, _) => PromptName::NoDigits,
            (Says::Wrong, _) => PromptName::WrongExtension,
        };
        let prompt = self.config.prompts.clip(self.home(), name);
        prompt.unwrap_or_else(|| says.beep())
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
