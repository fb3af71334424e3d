//! The keys of a phone as tones: one for the row, and one for the column (ITU-T Q.23).
#![allow(dead_code)] // each test binary uses its part

use umbra::rtp::tone::Tone;

/// The keys as they lie on a phone.
const PAD: &[u8] = b"123A456B789C*0#D";
const LOW_HZ: [u16; 4] = [697, 770, 852, 941];
const HIGH_HZ: [u16; 4] = [1_209, 1_336, 1_477, 1_633];
/// Samples of 100 ms.
const BEAT: usize = 800;

/// A key that is pressed for 100 ms, and as long a silence, at 8 kHz; nothing if no key is called so.
pub fn pressed(key: u8) -> Option<Vec<i16>> {
    let place = PAD.iter().position(|known| *known == key)?;
    let low = Tone::new(LOW_HZ[place / 4], 5_000).samples(BEAT);
    let high = Tone::new(HIGH_HZ[place % 4], 5_000).samples(BEAT);
    let mut both: Vec<i16> = low.iter().zip(high).map(|(low, high)| low + high).collect();
    both.resize(2 * BEAT, 0);
    Some(both)
}
