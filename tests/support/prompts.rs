//! Prompts of the plays: tones that a phone can tell apart, each of one second.

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

/// The sound of one: 16-bit samples at 8 kHz.
pub fn samples(hz: u16) -> Vec<i16> {
    Tone::new(hz, 8_000).samples(8_000)
}

/// All that are the same in every play, whether words ship with the server or not.
pub fn everywhere() -> impl Iterator<Item = (&'static str, Vec<i16>)> {
    let short = PROMPTS.into_iter().map(|(name, hz)| (name, samples(hz)));
    short.chain(
        LONG.into_iter()
            .map(|(name, hz)| (name, Tone::new(hz, 8_000).samples(36_000))),
    )
}
