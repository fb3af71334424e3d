//! Tones: making them, and finding them again in what was heard.

use std::f64::consts::{SQRT_2, TAU};

/// Samples a second of telephony.
pub const SAMPLE_RATE_HZ: u32 = 8_000;

/// A sine whose phase goes on from one packet to the next, so that no click is heard between them.
#[derive(Clone, Debug)]
pub struct Tone {
    /// Turns done, 0–1.
    phase: f64,
    /// Turns a sample.
    step: f64,
    amplitude: f64,
}

impl Tone {
    /// A tone of `hz` at 8 kHz. `amplitude` is its peak, 0–32,767.
    pub fn new(hz: u16, amplitude: u16) -> Self {
        Self {
            phase: 0.0,
            step: f64::from(hz) / f64::from(SAMPLE_RATE_HZ),
            amplitude: f64::from(amplitude).min(f64::from(i16::MAX)),
        }
    }

    /// Fills `out` with the samples that follow.
    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            // Within ±32,767, so the cast only rounds.
            *sample = (self.amplitude * (TAU * self.phase).sin()).round() as i16;
            self.phase = (self.phase + self.step).fract();
        }
    }

    /// The next `count` samples.
    pub fn samples(&mut self, count: usize) -> Vec<i16> {
        let mut out = vec![0; count];
        self.fill(&mut out);
        out
    }
}

/// How much of a frequency is in `samples` (8 kHz), by Goertzel's filter: the peak amplitude of a sine of
/// `hz` that explains it, in sample units. Exact for whole periods; its width is 8,000 / `samples.len()` Hz.
pub fn amplitude(samples: &[i16], hz: u16) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    let turn = TAU * f64::from(hz) / f64::from(SAMPLE_RATE_HZ);
    let coefficient = 2.0 * turn.cos();
    let (mut last, mut before) = (0.0, 0.0);
    for sample in samples {
        let now = f64::from(*sample) + coefficient * last - before;
        before = last;
        last = now;
    }
    let power = last * last + before * before - coefficient * last * before;
    2.0 * power.max(0.0).sqrt() / samples.len() as f64
}

/// Which share of the samples' power is a sine of `hz`: near 1 if that is all that was heard, near 0 if it
/// wasn't heard, 0 for silence.
pub fn share(samples: &[i16], hz: u16) -> f64 {
    let total: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    if total == 0.0 {
        return 0.0;
    }
    let effective = amplitude(samples, hz) / SQRT_2;
    (effective.powi(2) * samples.len() as f64 / total).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::g711::Law;

    #[test]
    fn a_tone_goes_on_where_the_last_packet_ended() {
        let whole = Tone::new(440, 10_000).samples(480);
        let mut tone = Tone::new(440, 10_000);
        let packets: Vec<i16> = (0..3).flat_map(|_| tone.samples(160)).collect();
        assert_eq!(packets, whole);
        assert_eq!(whole.first(), Some(&0));
        assert_eq!(whole.iter().max(), Some(&10_000));
    }

    #[test]
    fn a_tone_is_found_by_its_frequency_alone() {
        let samples = Tone::new(440, 8_000).samples(1_600);
        assert!((amplitude(&samples, 440) - 8_000.0).abs() < 20.0);
        assert!(share(&samples, 440) > 0.99);
        for other in [400, 480, 880, 1_000] {
            assert!(share(&samples, other) < 0.01, "{other} Hz");
        }
    }

    #[test]
    fn two_tones_are_told_apart() {
        let (low, high) = (
            Tone::new(400, 6_000).samples(1_600),
            Tone::new(700, 3_000).samples(1_600),
        );
        let mixed: Vec<i16> = low.iter().zip(&high).map(|(a, b)| a + b).collect();
        assert!((share(&mixed, 400) - 0.8).abs() < 0.01);
        assert!((share(&mixed, 700) - 0.2).abs() < 0.01);
    }

    #[test]
    fn a_tone_is_still_heard_after_the_codecs() {
        for law in [Law::A, Law::Mu] {
            let heard: Vec<i16> = Tone::new(1_000, 8_000)
                .samples(1_600)
                .into_iter()
                .map(|sample| law.decode(law.encode(sample)))
                .collect();
            assert!(share(&heard, 1_000) > 0.99);
        }
    }

    #[test]
    fn silence_holds_no_tone() {
        assert_eq!(share(&[0; 160], 440), 0.0);
        assert_eq!(share(&[], 440), 0.0);
        assert_eq!(amplitude(&[], 440), 0.0);
        assert_eq!(
            Tone::new(2_000, u16::MAX).samples(4).iter().max(),
            Some(&i16::MAX)
        );
    }
}
