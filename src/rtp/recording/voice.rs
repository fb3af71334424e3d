//! One channel's audio, from codes to samples at the recording's rate, on without an edge from packet to packet.

use std::array;
use std::fmt;

use super::Rate;
use crate::rtp::clip::Coding;
use crate::rtp::g711::Law;
use crate::rtp::g722;

/// Samples by which a packet is stretched at the most, and some more.
const STRETCHED_MAX: usize = 16;

/// Each law's codes, decoded.
static A: [i16; 256] = decoded(Law::A);
static MU: [i16; 256] = decoded(Law::Mu);

const fn decoded(law: Law) -> [i16; 256] {
    let mut samples = [0; 256];
    let mut code = 0;
    while code < samples.len() {
        samples[code] = law.decode(code as u8);
        code += 1;
    }
    samples
}

/// What a channel's samples depend on, besides their codes.
#[derive(Default)]
pub(super) struct Voice {
    coding: Option<Coding>,
    wide: g722::WideDecoder,
    low: g722::Decoder,
    doubler: Doubler,
    /// The last two samples that were decoded, the newest last.
    last: [i16; 2],
    /// A packet's samples, and the same when they are stretched: room that is used again.
    decoded: Vec<i16>,
    stretched: Vec<i16>,
}

impl Voice {
    /// Silence came before: what follows begins at an edge.
    pub(super) fn break_off(&mut self) {
        self.last = [0; 2];
        self.doubler = Doubler::default();
    }

    /// Another sender follows.
    pub(super) fn renew(&mut self) {
        self.coding = None;
    }

    /// Forgets all that it holds of what was said.
    pub(super) fn wipe(&mut self) {
        self.break_off();
        self.renew();
        (self.low, self.wide) = Default::default();
        super::wipe(&mut self.decoded);
        super::wipe(&mut self.stretched);
    }

    #[cfg(test)]
    pub(super) fn is_wiped(&self) -> bool {
        super::is_wiped(&self.decoded) && super::is_wiped(&self.stretched) && self.last == [0; 2]
    }

    /// Decodes a packet, and leaves its first `again` samples out, which were written already: how many remain of
    /// [`Rate::per_tick`] for each code. Without a coding it is decoded already: samples of 16 kHz, little-endian.
    pub(super) fn decode(&mut self, rate: Rate, coding: Option<Coding>, codes: &[u8], again: usize) -> usize {
        if std::mem::replace(&mut self.coding, coding) != coding {
            // What speaks now begins anew, and so does what reads it.
            (self.low, self.wide) = Default::default();
            self.doubler = Doubler::default();
        }
        let out = &mut self.decoded;
        out.clear();
        match (coding, rate) {
            (Some(Coding::A), Rate::Narrow) => out.extend(codes.iter().map(|code| a(*code))),
            (Some(Coding::Mu), Rate::Narrow) => out.extend(codes.iter().map(|code| mu(*code))),
            (Some(Coding::A), Rate::Wide) => self.doubler.double(codes.iter().map(|code| a(*code)), out),
            (Some(Coding::Mu), Rate::Wide) => self.doubler.double(codes.iter().map(|code| mu(*code)), out),
            (Some(Coding::G722), Rate::Narrow) => {
                out.resize(codes.len(), 0);
                self.low.low_band(codes, out);
            }
            (Some(Coding::G722), Rate::Wide) => {
                out.resize(codes.len() * 2, 0);
                self.wide.decode(codes, out);
            }
            (None, Rate::Narrow) => {
                let ticks = codes.as_chunks::<4>().0;
                out.extend(ticks.iter().map(|[a, b, c, d]| {
                    let pair = [[*a, *b], [*c, *d]].map(|sample| i32::from(i16::from_le_bytes(sample)));
                    // A mean of 16-bit samples fits in 16 bits.
                    ((pair[0] + pair[1]) / 2) as i16
                }));
            }
            (None, Rate::Wide) => {
                let samples = codes.as_chunks::<2>().0;
                out.extend(samples.iter().map(|sample| i16::from_le_bytes(*sample)));
            }
        }
        out.drain(..again.min(out.len()));
        out.len()
    }

    /// The samples that were decoded, longer by `change`, or shorter.
    pub(super) fn samples(&mut self, change: i64) -> &[i16] {
        let last = self.last;
        for sample in self.decoded.iter().skip(self.decoded.len().saturating_sub(2)) {
            self.last = [self.last[1], *sample];
        }
        if change == 0 {
            // Room for when the clock is corrected first, which may be long after the call's beginning.
            let room = self.decoded.len() + STRETCHED_MAX;
            self.stretched.reserve(room.saturating_sub(self.stretched.len()));
            return &self.decoded;
        }
        stretch(last, &self.decoded, change, &mut self.stretched);
        &self.stretched
    }
}

impl fmt::Debug for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Voice").finish_non_exhaustive()
    }
}

fn a(code: u8) -> i16 {
    A.get(usize::from(code)).copied().unwrap_or(0)
}

fn mu(code: u8) -> i16 {
    MU.get(usize::from(code)).copied().unwrap_or(0)
}

/// Makes `samples`, which follow the `last` ones, longer by `change`, or shorter, in place of whatever was in `out`. The last
/// one keeps its place at the end, so that what follows meets it without an edge.
fn stretch(last: [i16; 2], samples: &[i16], change: i64, out: &mut Vec<i16>) {
    let wanted = usize::try_from(samples.len() as i64 + change).unwrap_or(0);
    // How far it is from one to the next.
    let step = samples.len() as f32 / wanted as f32;
    let at = |index: usize| {
        let sample = match index.checked_sub(last.len()) {
            None => last.get(index),
            Some(index) => samples.get(index).or(samples.last()),
        };
        sample.map_or(0.0, |sample| f32::from(*sample))
    };
    out.clear();
    out.extend((1..=wanted).map(|index| {
        // Counted from the last sample but one, so that this begins behind 1.
        let place = 1.0 + index as f32 * step;
        let whole = (place as usize).clamp(1, samples.len());
        curve(array::from_fn(|near| at(whole - 1 + near)), place - whole as f32)
    }));
}

/// The sample at `part` (0–1) of the way from the second of four samples to the third: Catmull and Rom's cubic.
fn curve([before, from, to, after]: [f32; 4], part: f32) -> i16 {
    let slope = to - before;
    let bend = 2.0 * before - 5.0 * from + 4.0 * to - after;
    let twist = 3.0 * (from - to) + after - before;
    let sample = from + 0.5 * part * (slope + part * (bend + part * twist));
    // The cast saturates.
    sample.round() as i16
}

/// Taps of the filter between two samples: the half to each side.
const TAPS: usize = 16;
/// The sample between two: a sinc under a window of Kaiser's (β = 6), times 32,768. Up to 3.4 kHz all passes within
/// 0.7 dB; what mirrors it above 4 kHz is 56 dB down from 5 kHz on. No samples overflow its sum.
const BETWEEN: [i32; TAPS] = [
    -21, 116, -341, 786, -1_589, 3_053, -6_226, 20_606, 20_606, -6_226, 3_053, -1_589, 786, -341, 116, -21,
];

/// Twice as many samples a second: each sample, and the one between it and the next. Half a filter late (1 ms).
#[derive(Debug, Default)]
struct Doubler {
    /// The last samples, the newest last.
    last: [i16; TAPS],
}

impl Doubler {
    fn double(&mut self, samples: impl Iterator<Item = i16>, out: &mut Vec<i16>) {
        for sample in samples {
            self.last.copy_within(1.., 0);
            self.last[TAPS - 1] = sample;
            let sum: i32 = self
                .last
                .iter()
                .zip(BETWEEN)
                .map(|(s, tap)| i32::from(*s) * tap)
                .sum();
            let between = (sum + (1 << 14)) >> 15;
            let between = between.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
            out.extend([self.last[TAPS / 2 - 1], between]);
        }
    }
}
