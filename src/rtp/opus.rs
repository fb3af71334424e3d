//! Opus (RFC 6716), read: whatever it was made for becomes mono at 16 kHz, all that a call's recording has.
//!
//! The server itself relays Opus and never reads it; this is for whoever converts what it has recorded.

use opus_pure::OpusDecoder;

/// Samples a second of what is read.
pub const SAMPLE_RATE_HZ: u32 = 16_000;
/// Samples of the longest packet: 120 ms (RFC 6716 §3.2.5).
const SAMPLES_MAX: usize = 16 * 120;

/// What reads a stream. Each packet depends on all before it.
pub struct Decoder {
    opus: OpusDecoder,
    room: Vec<i16>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            opus: OpusDecoder::new(SAMPLE_RATE_HZ as i32, 1).expect("Opus decodes to mono of 16 kHz"),
            room: vec![0; SAMPLES_MAX],
        }
    }
}

impl Decoder {
    /// Appends a packet's samples (16-bit, 16 kHz), up to 120 ms. `None` if it is none of Opus: then there are none. Nothing
    /// is made up for one that is empty.
    pub fn decode(&mut self, packet: &[u8], out: &mut Vec<i16>) -> Option<()> {
        if packet.is_empty() {
            return None;
        }
        let room = self.room.as_mut_slice();
        let count = self.opus.decode_s16(packet, room.len(), room).ok()?;
        out.extend_from_slice(room.get(..count)?);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::chance::Chance;
    use opus_pure::{Application, OpusEncoder};

    /// A tone, in packets of so many milliseconds.
    fn spoken(ms: usize, bits: i32) -> Vec<Vec<u8>> {
        let mut encoder = OpusEncoder::new(16_000, 1, Application::Voip).expect("an encoder");
        encoder.bitrate_bps = bits;
        let samples: Vec<f32> = (0..16_000).map(|n| (n as f32 * 0.2).sin() * 0.4).collect();
        let frame = 16 * ms;
        let packets = samples.chunks_exact(frame).map(|samples| {
            let mut packet = vec![0; 1_500];
            let bytes = encoder.encode(samples, frame, &mut packet).expect("room");
            packet.truncate(bytes);
            packet
        });
        packets.collect()
    }

    #[test]
    fn packets_of_each_length_are_read_as_long_as_they_are() {
        for (ms, bits) in [(10, 32_000), (20, 16_000), (40, 16_000), (60, 24_000)] {
            let (mut decoder, mut samples) = (Decoder::default(), Vec::new());
            let packets = spoken(ms, bits);
            for packet in &packets {
                decoder.decode(packet, &mut samples).expect("Opus");
            }
            assert_eq!(samples.len(), packets.len() * ms * 16, "{ms} ms");
            let power = samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len() as f64;
            let wanted = (0.4 * 32_768.0_f64).powi(2) / 2.0;
            assert!((power / wanted - 1.0).abs() < 0.2, "{ms} ms: {power} of {wanted}");
        }
    }

    #[test]
    fn whatever_comes_is_read_or_refused() {
        let packets = [spoken(20, 16_000), spoken(60, 24_000), spoken(10, 48_000)].concat();
        let (mut decoder, mut samples) = (Decoder::default(), Vec::new());
        let mut chance = Chance::from_number(5);
        for packet in &packets {
            let mut packet = packet.clone();
            for _ in 0..3 {
                let lot = chance.bits();
                let at = lot as usize % packet.len();
                packet[at] = (lot >> 32) as u8;
            }
            packet.truncate(1 + chance.bits() as usize % packet.len());
            samples.clear();
            let is_read = decoder.decode(&packet, &mut samples).is_some();
            assert!(samples.len() <= SAMPLES_MAX && (is_read || samples.is_empty()));
        }
        assert!(
            decoder.decode(&[0x4b], &mut samples).is_none(),
            "a count that isn't there"
        );
    }
}
