//! Prompts of the plays: tones that a phone can tell apart, each of one second; or those that ship.

use std::path::Path;

use umbra::rtp::g711::Law;
use umbra::rtp::signals::{Country, Signal, Signals};
use umbra::rtp::tone::Tone;

/// The names, and the tone of each in hertz.
pub const PROMPTS: [(&str, u16); 10] = [
    ("recorded", 600),
    ("courier", 800),
    ("music", 1_000),
    ("busy", 1_200),
    ("unknown", 700),
    ("welcome", 900),
    ("wrong_choice", 1_100),
    ("goodbye", 500),
    ("question", 850),
    ("thanks", 1_300),
];

/// Those that last as long as the tone without words in whose place they are heard: four and a half
/// seconds.
pub const LONG: [(&str, u16); 1] = [("too_many_tries", 550)];

/// What whoever is asked for keys hears, where the real server would speak for seconds: as long as what is heard without any
/// prompts.
pub const ASKING: [(&str, u16); 4] = [
    ("enter_extension", 1_000),
    ("extension_or_callback", 1_000),
    ("no_digits", 1_000),
    ("wrong_extension", 400),
];

/// Whose prompts a play has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Words {
    /// Tones, so that plays are short.
    Tones,
    /// Those that ship, in Chinese; what there is beside them has the words of one of them.
    Shipped,
}

/// What the plays have beside what ships, and whose words it has then.
pub const BESIDE: [(&str, &str); 2] = [("courier", "whisper"), ("music", "wait")];

/// The sound of one: 16-bit samples at 8 kHz.
pub fn samples(hz: u16) -> Vec<i16> {
    Tone::new(hz, 8_000).samples(8_000)
}

/// All tones that are the same in every play.
pub fn everywhere() -> impl Iterator<Item = (&'static str, Vec<i16>)> {
    let short = PROMPTS.into_iter().map(|(name, hz)| (name, samples(hz)));
    short.chain(
        LONG.into_iter()
            .map(|(name, hz)| (name, Tone::new(hz, 8_000).samples(36_000))),
    )
}

/// The file of a prompt that ships.
pub fn file(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("conf/prompts/zh/{name}.wav"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A-law codes of a prompt that ships, read as any program reads a WAV file.
pub fn codes(name: &str) -> Vec<u8> {
    let file = file(name);
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"));
    let format = u16::from_le_bytes([file[20], file[21]]);
    assert_eq!((format, word(24)), (6, 8_000), "{name} is A-law at 8 kHz");
    let mut at = 12;
    while &file[at..at + 4] != b"data" {
        at += 8 + word(at + 4).next_multiple_of(2) as usize;
    }
    let length = word(at + 4) as usize;
    file[at + 8..at + 8 + length].to_vec()
}

/// What is played by this name in a play with these words, to its last whole packet: a prompt, `ringback`, or
/// `last_minute_tone`.
pub fn sound(words: Words, name: &str) -> Option<Vec<i16>> {
    let signals = Signals::of(Country::default());
    let asking = ASKING.into_iter().map(|(name, hz)| (name, samples(hz)));
    let mut tones = everywhere().chain(asking);
    let mut samples = match (name, words) {
        ("ringback", _) => signals.clip(Signal::Ringback).samples(),
        ("last_minute_tone", _) => signals.last_minute().samples(),
        (name, Words::Tones) => {
            let (_, tone) = tones.find(|(known, _)| *known == name)?;
            tone
        }
        (name, Words::Shipped) => {
            let beside = BESIDE.iter().find(|(known, _)| *known == name);
            let codes = codes(beside.map_or(name, |(_, words)| words));
            let mut samples = Vec::new();
            Law::A.decode_all(&codes, &mut samples);
            samples
        }
    };
    samples.resize(samples.len().next_multiple_of(160), 0);
    Some(samples)
}
