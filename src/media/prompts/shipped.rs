//! The prompts that are part of the program: `conf/prompts`, where their README says how they were made.

use std::sync::{Arc, OnceLock};

use crate::base::language::Language;
use crate::call::prompts::{Owner, Prompt};
use crate::rtp::clip::{Clip, Repeats};
use crate::rtp::wav;

/// Each with its name, and its file in Chinese and in English.
macro_rules! files {
    ($($name:literal)*) => {
        &[$((
            $name,
            include_bytes!(concat!("../../../conf/prompts/zh/", $name, ".wav")).as_slice(),
            include_bytes!(concat!("../../../conf/prompts/en/", $name, ".wav")).as_slice(),
        )),*]
    };
}

const FILES: &[(&str, &[u8], &[u8])] = files!(
    "unknown" "suspended" "unidentified" "barred" "no_callee" "busy" "no_answer" "rejected" "unreachable" "congestion"
    "enter_extension" "extension_or_callback" "wrong_extension" "no_digits" "too_many_tries" "wrong_choice" "goodbye"
    "connecting" "wait" "recorded" "last_minute" "question" "thanks" "whisper"
);

/// What they say, a line each.
const TEXTS: [&str; 2] = [
    include_str!("../../../conf/prompts/zh.txt"),
    include_str!("../../../conf/prompts/en.txt"),
];

/// All of them; made once.
pub(super) fn all() -> &'static [Prompt] {
    static MADE: OnceLock<Vec<Prompt>> = OnceLock::new();
    MADE.get_or_init(|| {
        let languages = [Language::chinese(), Language::english()];
        let made = FILES.iter().flat_map(|(name, zh, en)| {
            [*zh, *en]
                .into_iter()
                .zip(languages)
                .map(|(file, language)| Prompt {
                    clip: Arc::new(clip(file)),
                    owner: Owner::Shipped,
                    language,
                    name: (*name).into(),
                })
        });
        made.collect()
    })
}

/// What a shipped prompt says.
pub fn text(language: Language, name: &str) -> Option<&'static str> {
    let place = [Language::chinese(), Language::english()]
        .iter()
        .position(|other| *other == language)?;
    let mut lines = TEXTS.get(place)?.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn clip(file: &[u8]) -> Clip {
    let wav = wav::read(file).expect("it is a file of ours: a test reads it");
    Clip::of_a_law(wav.data(), Repeats::Once)
}
