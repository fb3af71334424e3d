//! ITU-T G.722 at 64 kbit/s: wide-band speech, 16,000 samples a second in 8,000 bytes. Its RTP clock is 8 kHz nevertheless
//! (RFC 3551 §4.5.2), so that a packet of 20 ms is as long, and as many ticks, as one of G.711.

use audio_codec::g722::{Bitrate, G722Decoder, G722Encoder};
use audio_codec::{Decoder as _, Encoder as _};

/// Its static RTP payload type.
pub const PAYLOAD: u8 = 9;
/// Samples a second.
pub const SAMPLE_RATE_HZ: u32 = 16_000;

/// What speaks G.722. Each code depends on all samples before it.
#[derive(Default)]
pub struct Encoder(G722Encoder);

impl Encoder {
    /// Appends the codes of `samples` (16-bit, 16 kHz): one for each two. The last of an odd number is left out.
    pub fn encode(&mut self, samples: &[i16], out: &mut Vec<u8>) {
        let (pairs, _) = samples.as_chunks::<2>();
        let start = out.len();
        out.resize(start + pairs.len(), 0);
        let room = out.get_mut(start..).unwrap_or_default();
        self.0
            .encode_into(pairs.as_flattened(), room)
            .expect("there is a byte of room for each pair of samples");
    }
}

/// What reads the lower half of G.722's band, up to 4 kHz, which is coded by itself: as much as the laws have.
pub struct Decoder(G722Decoder);

impl Default for Decoder {
    fn default() -> Self {
        let (is_packed, is_low_only) = (false, true);
        Self(G722Decoder::with_options(
            Bitrate::Mode1_64000,
            is_packed,
            is_low_only,
        ))
    }
}

impl Decoder {
    /// The samples that follow (16-bit, 8 kHz), one a code, as far as there is room for them.
    pub fn low_band<'r>(&mut self, codes: &[u8], room: &'r mut [i16]) -> &'r [i16] {
        let codes = codes.get(..room.len()).unwrap_or(codes);
        let count = self.0.decode_into(codes, room).unwrap_or(0);
        room.get(..count).unwrap_or_default()
    }
}

/// What reads the whole band, up to 8 kHz.
#[derive(Default)]
pub struct WideDecoder(G722Decoder);

impl WideDecoder {
    /// The samples that follow (16-bit, 16 kHz), two a code, as far as there is room for them.
    pub fn decode<'r>(&mut self, codes: &[u8], room: &'r mut [i16]) -> &'r [i16] {
        let codes = codes.get(..room.len() / 2).unwrap_or(codes);
        let count = self.0.decode_into(codes, room).unwrap_or(0);
        room.get(..count).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::resample::resampled;
    use crate::rtp::tone::{Tone, share};

    #[test]
    fn a_tone_is_heard_again_as_loud_as_it_was() {
        for hz in [300, 450, 1_000, 3_000] {
            let narrow = Tone::new(hz, 8_000).samples(8_000);
            let mut codes = Vec::new();
            Encoder::default().encode(&resampled(&narrow, 8_000, SAMPLE_RATE_HZ), &mut codes);
            assert_eq!(codes.len(), 8_000);
            let mut wide = vec![0; 16_000];
            assert_eq!(WideDecoder::default().decode(&codes, &mut wide).len(), 16_000);
            // At half the rate the same sound again, but for the codec's delay.
            let heard: Vec<i16> = wide.iter().step_by(2).skip(400).take(6_400).copied().collect();
            let (loud, was) = (power(&heard), power(&narrow));
            assert!((loud / was - 1.0).abs() < 0.1, "{hz} Hz: {}", loud / was);
            assert!(share(&heard, hz) > 0.98, "{hz} Hz: {}", share(&heard, hz));
        }
    }

    fn power(samples: &[i16]) -> f64 {
        samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64
    }

    #[test]
    fn an_odd_sample_has_no_code() {
        let mut codes = Vec::new();
        Encoder::default().encode(&[1, 2, 3], &mut codes);
        assert_eq!(codes.len(), 1);
        Encoder::default().encode(&[], &mut codes);
        assert_eq!(codes.len(), 1);
    }
}
