//! Keys that come as pairs of tones in the audio (ITU-T Q.23), told from speech, music and noise.
//!
//! The audio is looked at each [`HOP`]. A cheap look at the last two hops says whether one pair may sound in them; when
//! it has done so for [`HITS`] hops in a row, a careful look at all of these decides: what they hold must be two tones that are
//! where they belong, are even, have no second harmonics, are no neighbours among a voice's harmonics, and have hardly
//! anything beside them. So a key has to sound for 40 ms, and may come anywhere in the packets. The limits are those of Q.24, as its Table A-1 has them for AT&T, with some
//! room for what codecs and noise do to a measure.

use std::f32::consts::TAU;

use crate::rtp::dtmf::Key;

/// Samples a second.
const RATE: f32 = 8_000.0;
/// Samples between two looks: 6.4 ms.
const HOP: usize = 51;
/// Samples of the cheap look: its width is 78 Hz, so that tones needn't be quite where they belong.
const SHORT: usize = 2 * HOP;
/// So many looks in a row have to find the same pair.
const HITS: u32 = 4;
/// Samples of the careful look, which are those of all these: 31.9 ms. A tone of 40 ms has them wherever it begins.
const LONG: usize = (HITS as usize + 1) * HOP;
/// So many looks in a row that don't find it end a key: what is broken off for 10 ms is one, and a pause of 40 ms ends it.
const MISSES: u32 = 4;

/// The tones of the rows and of the columns, in hertz (Q.23).
const ROWS_HZ: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS_HZ: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
/// What is on the keys, by row and column.
const KEYS: [[u8; 4]; 4] = [*b"123A", *b"456B", *b"789C", *b"*0#D"];

/// The power of a sine at 0 dBm0, as the mean square of its samples: 3.14 dB under the loudest there is.
const DBM0: f32 = 32_124.0 * 32_124.0 / 2.0 * 0.485_3;
/// A tone is at least so loud: -36 dBm0; 3 dB less in the cheap look, which sees less of a tone that is off. It has to be
/// heard at -25 dBm0, and the other 8 dB under it.
const LEAST: f32 = DBM0 * 2.5e-4;
const LEAST_SHORT: f32 = LEAST / 2.0;
/// The tone of the column may be louder by 4 dB, and that of the row by 8 dB; with room for what a measure is off.
const COLUMN_LOUDER: f32 = 3.5;
const ROW_LOUDER: f32 = 9.0;
/// The same in the cheap look, where one tone gets into the other's measure.
const COLUMN_LOUDER_SHORT: f32 = 8.0;
const ROW_LOUDER_SHORT: f32 = 25.0;
/// The other tones of its group are at least 4 dB under the loudest.
const BESIDE: f32 = 0.4;
/// The two tones are at least so much of the cheap look's power, and of the careful one's.
const SHARE_SHORT: f32 = 0.5;
const SHARE_LONG: f32 = 0.88;
/// So much suffices if two careful looks in a row find it: speech doesn't stand still for so long, a key does.
const SHARE_TWICE: f32 = 0.8;
/// What is found in a voice's place below the pair is at least so much of the pair's power if a voice sings it: vowels have
/// been heard whose third and fourth harmonics were 90 % of all.
const VOICE: f32 = 0.05;
/// No voice that speaks has a higher pitch, in hertz.
const PITCH_MAX_HZ: f32 = 520.0;
/// How far a tone may be off: 1.5 % has to be heard, 3.5 % mustn't be.
const OFF: f32 = 0.022;
/// The halves of a tone differ by no more than 2 dB.
const UNEVEN: f32 = 1.6;
/// The second harmonic is at least 9 dB under its tone.
const HARMONIC: f32 = 0.125;
/// It isn't looked for where the other tone is so near, in hertz.
const NEAR_HZ: f32 = 70.0;

/// What happens to a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stroke {
    /// It began to sound.
    Down(Key),
    /// It stopped.
    Up(Key),
}

/// Listens for pairs of tones.
#[derive(Clone, Debug)]
pub struct Tones {
    /// The last samples, the newest at the end of what is filled.
    samples: [f32; LONG],
    filled: usize,
    /// The pair that the last look found, and in how many looks in a row.
    pair: Option<Pair>,
    hits: u32,
    /// Whether the last look was a careful one that found this pair likely.
    was_likely: bool,
    /// The key that sounds, and how many looks in a row haven't found it.
    down: Option<Pair>,
    misses: u32,
}

/// A row and a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pair(usize, usize);

impl Pair {
    fn key(self) -> Option<Key> {
        KEYS.get(self.0)
            .and_then(|row| row.get(self.1))
            .and_then(|letter| Key::of(*letter))
    }
}

impl Default for Tones {
    fn default() -> Self {
        Self {
            samples: [0.0; LONG],
            filled: LONG - HOP,
            pair: None,
            hits: 0,
            was_likely: false,
            down: None,
            misses: 0,
        }
    }
}

impl Tones {
    /// The samples that follow, 8,000 a second.
    pub fn hear(&mut self, samples: impl Iterator<Item = i16>, mut tell: impl FnMut(Stroke)) {
        for sample in samples {
            if let Some(place) = self.samples.get_mut(self.filled) {
                *place = sample.into();
            }
            self.filled += 1;
            if self.filled == LONG {
                self.look(&mut tell);
                self.samples.copy_within(HOP.., 0);
                self.filled = LONG - HOP;
            }
        }
    }

    /// What follows has nothing to do with what was: a key that sounds, stops.
    pub fn break_off(&mut self, mut tell: impl FnMut(Stroke)) {
        self.let_go(&mut tell);
        *self = Self::default();
    }

    fn look(&mut self, tell: &mut impl FnMut(Stroke)) {
        let found = glance(&self.samples[LONG - SHORT..]);
        self.hits = match found {
            Some(_) if found == self.pair => self.hits.saturating_add(1),
            Some(_) => 1,
            None => 0,
        };
        self.was_likely &= found == self.pair;
        self.pair = found;
        if self.down.is_some() {
            self.misses = if found == self.down { 0 } else { self.misses + 1 };
            if self.misses == MISSES {
                self.let_go(tell);
            }
        }
        if let Some(pair) = found
            && self.hits >= HITS
            && self.down != found
            && self.is_sure(pair)
        {
            self.let_go(tell);
            if let Some(key) = pair.key() {
                tell(Stroke::Down(key));
            }
            (self.down, self.misses) = (found, 0);
        }
    }

    /// Whether the samples hold this pair: beyond doubt, or likely for the second time in a row.
    fn is_sure(&mut self, pair: Pair) -> bool {
        let share = share_of_key(&self.samples, pair);
        let is_likely = share.is_some_and(|share| share >= SHARE_TWICE);
        let was_likely = std::mem::replace(&mut self.was_likely, is_likely);
        is_likely && was_likely || share.is_some_and(|share| share >= SHARE_LONG)
    }

    fn let_go(&mut self, tell: &mut impl FnMut(Stroke)) {
        if let Some(key) = self.down.take().and_then(Pair::key) {
            tell(Stroke::Up(key));
        }
    }
}

/// The pair that may sound in these samples.
fn glance(samples: &[f32]) -> Option<Pair> {
    let count = samples.len() as f32;
    let sum: f32 = samples.iter().sum();
    let squares: f32 = samples.iter().map(|sample| sample * sample).sum();
    // What is steady is no sound.
    let total = squares - sum * sum / count;
    if total < 2.0 * LEAST_SHORT * count {
        return None;
    }
    let powers = EIGHT.powers(samples);
    let (rows, columns) = powers.split_at(4);
    let (row, low) = loudest(rows)?;
    let (column, high) = loudest(columns)?;
    let is_pair = low >= LEAST_SHORT * count
        && high >= LEAST_SHORT * count
        && high <= low * COLUMN_LOUDER_SHORT
        && low <= high * ROW_LOUDER_SHORT
        && low + high >= total * SHARE_SHORT;
    is_pair.then_some(Pair(row, column))
}

/// The loudest of a group, if it is so by far, and its power.
fn loudest(powers: &[f32]) -> Option<(usize, f32)> {
    let (at, most) = powers
        .iter()
        .copied()
        .enumerate()
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    let others = powers.iter().enumerate().filter(|(other, _)| *other != at);
    let mut others = others.map(|(_, power)| *power);
    others.all(|power| power <= most * BESIDE).then_some((at, most))
}

/// How much of these samples is this pair, 0–1, if it sounds as a key does.
fn share_of_key(samples: &[f32; LONG], Pair(row, column): Pair) -> Option<f32> {
    let low = Line::find(samples, *ROWS_HZ.get(row)?)?;
    let high = Line::find(samples, *COLUMNS_HZ.get(column)?)?;
    let sum: f32 = samples.iter().sum();
    let squares: f32 = samples.iter().map(|sample| sample * sample).sum();
    let total = squares - sum * sum / LONG as f32;
    let is_pure = |line: &Line, other: &Line| {
        let hz = 2.0 * line.hz;
        (hz - other.hz).abs() < NEAR_HZ || at(samples, hz, hann).power() <= HARMONIC * line.windowed
    };
    let least = LEAST * LONG as f32;
    let is_key = low.power.min(high.power) >= least
        && high.power <= low.power * COLUMN_LOUDER
        && low.power <= high.power * ROW_LOUDER
        && is_pure(&low, &high)
        && is_pure(&high, &low)
        && !is_sung(samples, &low, &high);
    is_key.then_some((low.power + high.power) / total)
}

/// Whether the two are harmonics of a voice that follow one another: then its pitch, by which they differ, sounds too, or the
/// harmonic before them.
fn is_sung(samples: &[f32; LONG], low: &Line, high: &Line) -> bool {
    let pitch = high.hz - low.hz;
    let of_voice = |hz: f32| at(samples, hz, hann).power();
    pitch < PITCH_MAX_HZ
        && of_voice(pitch) + of_voice(low.hz - pitch) > (low.windowed + high.windowed) * VOICE
}

/// One tone of a careful look.
struct Line {
    hz: f32,
    /// Its share of the samples' energy.
    power: f32,
    /// Its power under the window.
    windowed: f32,
}

impl Line {
    /// The tone that is near `hz`, if it is near enough and even.
    fn find(samples: &[f32; LONG], hz: f32) -> Option<Self> {
        let (first, second) = samples.split_at(LONG / 2);
        let (before, after) = (at(first, hz, hann), at(second, hz, hann));
        let (soft, loud) = (
            before.power().min(after.power()),
            before.power().max(after.power()),
        );
        if loud > soft * UNEVEN {
            return None;
        }
        // By how much its phase runs ahead of a tone that is where it belongs, from one half to the other.
        let ahead = after.turned_back(hz, first.len()).phase_from(&before);
        let off_hz = ahead / TAU * RATE / first.len() as f32;
        if off_hz.abs() > hz * OFF {
            return None;
        }
        let hz = hz + off_hz;
        let power = at(samples, hz, flat).power() * 2.0 / LONG as f32;
        let windowed = at(samples, hz, hann).power();
        Some(Self { hz, power, windowed })
    }
}

/// How much of one frequency is in samples, and in which phase.
#[derive(Clone, Copy)]
struct Phasor {
    re: f32,
    im: f32,
}

impl Phasor {
    fn power(&self) -> f32 {
        self.re * self.re + self.im * self.im
    }

    /// As it would be if it had begun so many samples later.
    fn turned_back(self, hz: f32, samples: usize) -> Self {
        let turns = (hz * samples as f32 / RATE).fract();
        let (sin, cos) = (TAU * turns).sin_cos();
        Self {
            re: self.re * cos + self.im * sin,
            im: self.im * cos - self.re * sin,
        }
    }

    /// Its phase beyond that of another, within half a turn.
    fn phase_from(&self, other: &Self) -> f32 {
        let im = self.im * other.re - self.re * other.im;
        let re = self.re * other.re + self.im * other.im;
        im.atan2(re)
    }
}

/// The window that weighs all alike.
fn flat(_: f32) -> f32 {
    1.0
}

/// Hann's, by the cosine of the place in it.
fn hann(cosine: f32) -> f32 {
    1.0 - cosine
}

/// What of `hz` is in the samples, by their places from their beginning.
fn at(samples: &[f32], hz: f32, window: fn(f32) -> f32) -> Phasor {
    let (mut turn, step) = (Turn::START, Turn::by(hz / RATE));
    let (mut place, onward) = (Turn::START, Turn::by(1.0 / samples.len() as f32));
    let mut sum = Phasor { re: 0.0, im: 0.0 };
    for sample in samples {
        let weighed = sample * window(place.cos);
        sum.re += weighed * turn.cos;
        sum.im -= weighed * turn.sin;
        turn = turn.and(step);
        place = place.and(onward);
    }
    sum
}

/// A part of a turn.
#[derive(Clone, Copy)]
struct Turn {
    cos: f32,
    sin: f32,
}

impl Turn {
    const START: Self = Self { cos: 1.0, sin: 0.0 };

    fn by(turns: f32) -> Self {
        let (sin, cos) = (TAU * turns).sin_cos();
        Self { cos, sin }
    }

    fn and(self, other: Self) -> Self {
        Self {
            cos: self.cos * other.cos - self.sin * other.sin,
            sin: self.sin * other.cos + self.cos * other.sin,
        }
    }
}

/// Goertzel's filters of all eight tones, side by side.
struct Eight([f32; 8]);

/// 2 cos(2πf/8000), rows first.
static EIGHT: Eight = Eight([
    1.707_737_8,
    1.645_281,
    1.568_687,
    1.478_204_6,
    1.164_104,
    0.996_370_2,
    0.798_618_4,
    0.568_532_7,
]);

impl Eight {
    /// The energy of each tone in the samples.
    fn powers(&self, samples: &[f32]) -> [f32; 8] {
        let (mut last, mut before) = ([0.0_f32; 8], [0.0_f32; 8]);
        for sample in samples {
            let mut now = [0.0; 8];
            for (((now, coefficient), last), before) in now.iter_mut().zip(&self.0).zip(&last).zip(&before) {
                *now = sample + coefficient * last - before;
            }
            (before, last) = (last, now);
        }
        let mut powers = [0.0; 8];
        for (((power, coefficient), last), before) in powers.iter_mut().zip(&self.0).zip(&last).zip(&before) {
            let square = last * last + before * before - coefficient * last * before;
            *power = square * 2.0 / samples.len() as f32;
        }
        powers
    }
}

#[cfg(test)]
mod tests;
