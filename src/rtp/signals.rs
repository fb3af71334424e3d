//! The tones by which telephony tells how a call goes, as each country has them (ITU-T E.180 and its Supplement 2).

use std::sync::{Arc, OnceLock};

use super::clip::{Clip, FRAME_SAMPLES, Repeats};
use super::tone::{SAMPLE_RATE_HZ, Tone};
use crate::base::limits::REFUSAL_TONE;

/// How loud a tone is: -10 dBm0, the middle of what E.180 §10 allows. The peak of a sine at 0 dBm0 is 22,824.
const PEAK: u16 = 7_218;
/// Each of two at once: 3 dB less, so that both together are as loud.
const PEAK_OF_TWO: u16 = 5_110;

/// Whose tones are heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Country {
    /// China: 450 Hz throughout (GB/T 3380).
    #[default]
    China,
    /// What ETSI recommends, and most of Europe has: 425 Hz (ETSI ES 201 970).
    Europe,
    /// The United States and Canada: the precise tone plan.
    UnitedStates,
    /// The United Kingdom.
    UnitedKingdom,
    /// Hong Kong.
    HongKong,
    /// Taiwan.
    Taiwan,
}

impl Signal {
    /// As records name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ringback => "ringback",
            Self::Busy => "busy",
            Self::Congestion => "congestion",
            Self::Unobtainable => "unobtainable",
        }
    }
}

impl Country {
    /// Each with the letters by which a conf names it.
    pub const ALL: [(&str, Self); 6] = [
        ("CN", Self::China),
        ("EU", Self::Europe),
        ("US", Self::UnitedStates),
        ("GB", Self::UnitedKingdom),
        ("HK", Self::HongKong),
        ("TW", Self::Taiwan),
    ];
}

/// What a tone says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Signal {
    /// The called party is being rung.
    Ringback,
    /// The called party is busy.
    Busy,
    /// The way there is.
    Congestion,
    /// The number can't be reached, whoever tries: special information.
    Unobtainable,
}

/// A part of a cadence: these frequencies at once (none: silence), for so many milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Beat {
    hz: &'static [u16],
    ms: u32,
}

const fn on(hz: &'static [u16], ms: u32) -> Beat {
    Beat { hz, ms }
}

const fn off(ms: u32) -> Beat {
    Beat { hz: &[], ms }
}

/// E.180 §5: three tones that rise, and a second of silence.
const SPECIAL: &[Beat] = &[on(&[950], 330), on(&[1_400], 330), on(&[1_800], 330), off(1_000)];
/// Three short ones and a long one.
const CHINESE_UNOBTAINABLE: &[Beat] = &[
    on(&[450], 100),
    off(100),
    on(&[450], 100),
    off(100),
    on(&[450], 100),
    off(100),
    on(&[450], 400),
    off(400),
];
const NORTH_AMERICAN_BUSY: &[Beat] = &[on(&[480, 620], 500), off(500)];
const NORTH_AMERICAN_REORDER: &[Beat] = &[on(&[480, 620], 250), off(250)];

/// What is heard over and over.
const fn cadence(country: Country, signal: Signal) -> &'static [Beat] {
    match (country, signal) {
        (Country::China, Signal::Ringback) => const { &[on(&[450], 1_000), off(4_000)] },
        (Country::China, Signal::Busy) => const { &[on(&[450], 350), off(350)] },
        (Country::China, Signal::Congestion) => const { &[on(&[450], 700), off(700)] },
        (Country::China, Signal::Unobtainable) => CHINESE_UNOBTAINABLE,
        (Country::Europe, Signal::Ringback) => const { &[on(&[425], 1_000), off(4_000)] },
        (Country::Europe, Signal::Busy) => const { &[on(&[425], 500), off(500)] },
        (Country::Europe, Signal::Congestion) => const { &[on(&[425], 250), off(250)] },
        (Country::UnitedStates, Signal::Ringback) => const { &[on(&[440, 480], 2_000), off(4_000)] },
        (Country::UnitedKingdom, Signal::Ringback) => {
            const { &[on(&[400, 450], 400), off(200), on(&[400, 450], 400), off(2_000)] }
        }
        (Country::UnitedKingdom, Signal::Busy) => const { &[on(&[400], 375), off(375)] },
        (Country::UnitedKingdom, Signal::Congestion) => {
            const { &[on(&[400], 400), off(350), on(&[400], 225), off(525)] }
        }
        (Country::HongKong, Signal::Ringback) => {
            const { &[on(&[440, 480], 400), off(200), on(&[440, 480], 400), off(3_000)] }
        }
        (Country::Taiwan, Signal::Ringback) => const { &[on(&[440, 480], 1_000), off(2_000)] },
        (Country::UnitedStates | Country::HongKong | Country::Taiwan, Signal::Busy) => NORTH_AMERICAN_BUSY,
        (Country::UnitedStates | Country::HongKong | Country::Taiwan, Signal::Congestion) => {
            NORTH_AMERICAN_REORDER
        }
        (
            Country::Europe
            | Country::UnitedStates
            | Country::UnitedKingdom
            | Country::HongKong
            | Country::Taiwan,
            Signal::Unobtainable,
        ) => SPECIAL,
    }
}

/// The samples of a signal that is heard over and over: of as many rounds as it takes to end with a whole frame.
fn samples(country: Country, signal: Signal) -> Vec<i16> {
    let beats = cadence(country, signal);
    let round: Vec<i16> = beats.iter().flat_map(|beat| heard(*beat)).collect();
    let rounds = (1..=FRAME_SAMPLES).find(|rounds| (round.len() * rounds).is_multiple_of(FRAME_SAMPLES));
    round.repeat(rounds.unwrap_or(1))
}

/// Three short tones of 1400 Hz, which E.180 has for warnings of operators: nobody takes them for a tone of the network.
fn last_minute() -> Vec<i16> {
    let beats = [on(&[1_400], 200), on(&[], 200)];
    let round: Vec<i16> = beats.iter().flat_map(|beat| heard(*beat)).collect();
    round.repeat(3)
}

/// Two short tones of 1000 Hz: nothing is recorded from now on.
fn pause() -> Vec<i16> {
    let beats = [on(&[1_000], 200), off(200), on(&[1_000], 200)];
    beats.iter().flat_map(|beat| heard(*beat)).collect()
}

/// A long one: it is again.
fn resume() -> Vec<i16> {
    heard(on(&[1_000], 600))
}

/// One part. Every one begins at zero, so that it doesn't click.
fn heard(beat: Beat) -> Vec<i16> {
    let count = (beat.ms * (SAMPLE_RATE_HZ / 1_000)) as usize;
    let peak = if beat.hz.len() > 1 { PEAK_OF_TWO } else { PEAK };
    let mut sum = vec![0_i16; count];
    for hz in beat.hz {
        for (sum, sample) in sum.iter_mut().zip(Tone::new(*hz, peak).samples(count)) {
            *sum = sum.saturating_add(sample);
        }
    }
    sum
}

/// The sounds of a country, ready to be played.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signals {
    ringback: Arc<Clip>,
    busy: Arc<Clip>,
    congestion: Arc<Clip>,
    unobtainable: Arc<Clip>,
    last_minute: Arc<Clip>,
    pause: Arc<Clip>,
    resume: Arc<Clip>,
}

impl Signals {
    /// Those of `country`: the ringback tone for as long as it takes, the others for [`REFUSAL_TONE`], to the end of the
    /// last round that has begun by then. Made once.
    pub fn of(country: Country) -> Arc<Self> {
        static MADE: [OnceLock<Arc<Signals>>; Country::ALL.len()] =
            [const { OnceLock::new() }; Country::ALL.len()];
        let place = Country::ALL.iter().position(|(_, other)| *other == country);
        match place.and_then(|place| MADE.get(place)) {
            Some(made) => made.get_or_init(|| Arc::new(Self::make(country))).clone(),
            None => Arc::new(Self::make(country)),
        }
    }

    fn make(country: Country) -> Self {
        let ringback = samples(country, Signal::Ringback);
        let telling = |signal| {
            let round = samples(country, signal);
            let wanted = REFUSAL_TONE.as_millis() as usize * (SAMPLE_RATE_HZ as usize / 1_000);
            let rounds = wanted.div_ceil(round.len().max(1)).max(1);
            Arc::new(Clip::new(&round.repeat(rounds), Repeats::Once))
        };
        Self {
            ringback: Arc::new(Clip::new(&ringback, Repeats::Forever)),
            busy: telling(Signal::Busy),
            congestion: telling(Signal::Congestion),
            unobtainable: telling(Signal::Unobtainable),
            last_minute: Arc::new(Clip::new(&last_minute(), Repeats::Once)),
            pause: Arc::new(Clip::new(&pause(), Repeats::Once)),
            resume: Arc::new(Clip::new(&resume(), Repeats::Once)),
        }
    }

    /// A minute is left: the same in every country. Short, since the other party isn't heard meanwhile.
    pub fn last_minute(&self) -> &Arc<Clip> {
        &self.last_minute
    }

    /// The recording of the call pauses: the same in every country.
    pub fn pause(&self) -> &Arc<Clip> {
        &self.pause
    }

    /// It goes on.
    pub fn resume(&self) -> &Arc<Clip> {
        &self.resume
    }

    /// The sound of a signal.
    pub fn clip(&self, signal: Signal) -> &Arc<Clip> {
        match signal {
            Signal::Ringback => &self.ringback,
            Signal::Busy => &self.busy,
            Signal::Congestion => &self.congestion,
            Signal::Unobtainable => &self.unobtainable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::clip::Coding;
    use crate::rtp::g711::Law;
    use crate::rtp::tone::{amplitude, share};

    const SIGNALS: [Signal; 4] = [
        Signal::Ringback,
        Signal::Busy,
        Signal::Congestion,
        Signal::Unobtainable,
    ];

    fn decoded(clip: &Clip) -> Vec<i16> {
        let frames = (0..clip.frames()).filter_map(|at| clip.frame(Coding::A, at));
        frames.flatten().map(|code| Law::A.decode(*code)).collect()
    }

    #[test]
    fn every_signal_is_heard_as_its_table_says() {
        for (name, country) in Country::ALL {
            let signals = Signals::of(country);
            for signal in SIGNALS {
                let heard = decoded(signals.clip(signal));
                let mut rest = &heard[..];
                for beat in cadence(country, signal) {
                    let (part, after) = rest.split_at(beat.ms as usize * 8);
                    rest = after;
                    let share: f64 = beat.hz.iter().map(|hz| share(part, *hz)).sum();
                    let expected = if beat.hz.is_empty() { 0.0..0.01 } else { 0.98..1.02 };
                    assert!(expected.contains(&share), "{name} {signal:?} {beat:?}: {share}");
                    if beat.hz.is_empty() {
                        assert!(part.iter().all(|sample| sample.abs() <= 8), "{name} {signal:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn one_tone_is_as_loud_as_two() {
        let power = |samples: &[i16]| {
            samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64
        };
        let one = power(&heard(on(&[450], 1_000)));
        let two = power(&heard(on(&[440, 480], 1_000)));
        assert!((one / two - 1.0).abs() < 0.01);
        assert!((amplitude(&heard(on(&[450], 1_000)), 450) - f64::from(PEAK)).abs() < 5.0);
    }

    #[test]
    fn a_ringback_tone_goes_on_and_the_others_have_an_end() {
        for (name, country) in Country::ALL {
            let signals = Signals::of(country);
            assert!(
                signals
                    .clip(Signal::Ringback)
                    .frame(Coding::A, u64::MAX)
                    .is_some()
            );
            for signal in [Signal::Busy, Signal::Congestion, Signal::Unobtainable] {
                let clip = signals.clip(signal);
                assert_eq!(clip.frame(Coding::Mu, clip.frames()), None);
                let lasts = clip.lasts();
                assert!(
                    lasts >= REFUSAL_TONE && lasts < REFUSAL_TONE.saturating_mul(2),
                    "{name} {lasts:?}"
                );
            }
        }
    }

    #[test]
    fn rounds_end_with_a_whole_frame() {
        for (_, country) in Country::ALL {
            for signal in SIGNALS {
                assert_eq!(samples(country, signal).len() % FRAME_SAMPLES, 0);
            }
        }
        // Three times 330 ms and a second are half a frame too many: two rounds of them.
        assert_eq!(samples(Country::Europe, Signal::Unobtainable).len(), 2 * 15_920);
    }
}
