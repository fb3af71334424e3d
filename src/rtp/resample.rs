//! Sounds at another rate: what people record at 44.1 kHz, as telephones hear it.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};

/// Samples that are turned at once, about: what decides how steep the filter is.
const CHUNK: usize = 4_096;

/// The same sound at another rate, both in hertz and not 0. What the lower rate can't hold is filtered out.
pub fn resampled(samples: &[i16], from_hz: u32, to_hz: u32) -> Vec<i16> {
    if from_hz == to_hz || samples.is_empty() {
        return samples.to_vec();
    }
    let input: Vec<f32> = samples.iter().map(|sample| f32::from(*sample)).collect();
    let input = InterleavedSlice::new(&input, 1, samples.len()).expect("one channel of all samples");
    let output = Fft::<f32>::new(from_hz as usize, to_hz as usize, CHUNK, 1, FixedSync::Both)
        .expect("both rates are some")
        .process_all(&input, samples.len(), None)
        .expect("the whole input is there");
    // The casts saturate: a filter may ring beyond full scale.
    let output = output.take_data();
    output.into_iter().map(|sample| sample.round() as i16).collect()
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;
    use crate::rtp::tone::{amplitude, share};

    fn sine(hz: f64, rate_hz: u32) -> Vec<i16> {
        let turn = |at: u32| TAU * hz * f64::from(at) / f64::from(rate_hz);
        (0..rate_hz)
            .map(|at| (8_000.0 * turn(at).sin()).round() as i16)
            .collect()
    }

    #[test]
    fn a_tone_keeps_its_pitch_its_loudness_and_its_time() {
        for rate_hz in [11_025, 16_000, 22_050, 44_100, 48_000, 96_000] {
            for hz in [300, 1_000, 3_200] {
                let heard = resampled(&sine(f64::from(hz), rate_hz), rate_hz, 8_000);
                assert_eq!(heard.len(), 8_000, "{rate_hz}");
                let middle = &heard[800..7_200];
                assert!(share(middle, hz) > 0.999, "{rate_hz} {hz}: {}", share(middle, hz));
                let loud = amplitude(middle, hz);
                assert!((loud - 8_000.0).abs() < 100.0, "{rate_hz} {hz}: {loud}");
            }
        }
    }

    #[test]
    fn what_is_too_high_for_a_telephone_is_not_heard_as_something_else() {
        for rate_hz in [16_000, 44_100, 48_000] {
            let heard = resampled(&sine(5_000.0, rate_hz), rate_hz, 8_000);
            let loudest = heard[800..7_200].iter().map(|s| s.unsigned_abs()).max();
            assert!(loudest < Some(16), "{rate_hz}: {loudest:?}");
        }
    }

    #[test]
    fn a_sound_has_as_many_samples_as_it_lasts() {
        for (count, from_hz, to_hz, wanted) in [
            (1, 8_000, 16_000, 2),
            (441, 44_100, 8_000, 80),
            (0, 48_000, 8_000, 0),
        ] {
            assert_eq!(resampled(&vec![9; count], from_hz, to_hz).len(), wanted);
        }
        assert_eq!(resampled(&[1, 2, 3], 8_000, 8_000), [1, 2, 3]);
    }
}
