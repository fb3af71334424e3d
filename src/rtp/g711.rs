//! ITU-T G.711: the two logarithmic codecs of telephony, 8 bits a sample at 8 kHz (RFC 3551 §4.5.14).

/// One of the two laws.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Law {
    /// A-law: PCMA, static payload type 8. Europe, China, most of the world.
    A,
    /// µ-law: PCMU, static payload type 0. North America, Japan.
    Mu,
}

impl Law {
    /// The law of a static RTP payload type.
    pub const fn of_payload(payload: u8) -> Option<Self> {
        match payload {
            8 => Some(Self::A),
            0 => Some(Self::Mu),
            _ => None,
        }
    }

    /// Its static RTP payload type.
    pub const fn payload(self) -> u8 {
        match self {
            Self::A => 8,
            Self::Mu => 0,
        }
    }

    /// The code of silence.
    pub const fn silence(self) -> u8 {
        self.encode(0)
    }

    /// A linear 16-bit sample as a code.
    pub const fn encode(self, sample: i16) -> u8 {
        match self {
            Self::A => encode_a(sample),
            Self::Mu => encode_mu(sample),
        }
    }

    /// A code as a linear 16-bit sample: the middle of its step.
    pub const fn decode(self, code: u8) -> i16 {
        match self {
            Self::A => decode_a(code),
            Self::Mu => decode_mu(code),
        }
    }

    /// Appends `samples` as codes.
    pub fn encode_all(self, samples: &[i16], out: &mut Vec<u8>) {
        out.extend(samples.iter().map(|sample| self.encode(*sample)));
    }

    /// Appends `codes` as samples.
    pub fn decode_all(self, codes: &[u8], out: &mut Vec<i16>) {
        out.extend(codes.iter().map(|code| self.decode(*code)));
    }
}

/// Magnitude without a second zero: −1 is as far from the middle as 0 (as ITU-T G.191 has it).
const fn magnitude(sample: i16) -> u16 {
    (if sample < 0 { !sample } else { sample }) as u16
}

const fn encode_a(sample: i16) -> u8 {
    // 11 bits; the first two segments are linear, each further one doubles its step.
    let mut mantissa = magnitude(sample) >> 4;
    let mut segment = 0;
    if mantissa > 15 {
        segment = 1;
        while mantissa > 31 {
            mantissa >>= 1;
            segment += 1;
        }
        mantissa -= 16;
    }
    let sign = if sample < 0 { 0 } else { 0x80 };
    // Every other bit is turned over, so that silence isn't a row of zeros on the line.
    (sign | segment << 4 | mantissa as u8) ^ 0x55
}

const fn decode_a(code: u8) -> i16 {
    let code = code ^ 0x55;
    let segment = (code >> 4) & 0x07;
    let mantissa = (code & 0x0f) as i16;
    let step = match segment {
        0 => mantissa << 4 | 0x08,
        _ => (mantissa << 4 | 0x108) << (segment - 1),
    };
    if code & 0x80 == 0 { -step } else { step }
}

/// Added before the segment is found, so that every segment begins at a power of two.
const MU_BIAS: u16 = 33;

const fn encode_mu(sample: i16) -> u8 {
    let biased = (magnitude(sample) >> 2) + MU_BIAS;
    // 13 bits: the loudest 32 steps are one.
    let biased = if biased > 0x1fff { 0x1fff } else { biased };
    let segment = 10 - biased.leading_zeros() as u8;
    let mantissa = (biased >> (segment + 1)) as u8 & 0x0f;
    let sign = if sample < 0 { 0x80 } else { 0 };
    !(sign | segment << 4 | mantissa)
}

const fn decode_mu(code: u8) -> i16 {
    let code = !code;
    let segment = (code >> 4) & 0x07;
    let mantissa = (code & 0x0f) as i16;
    let step = (((mantissa << 3) + 0x84) << segment) - 0x84;
    if code & 0x80 == 0 { step } else { -step }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_codes_come_out() {
        // The standard's own ends and middle.
        for (sample, a, mu) in [
            (0, 0xd5, 0xff),
            (-1, 0x55, 0x7f),
            (32_767, 0xaa, 0x80),
            (-32_768, 0x2a, 0x00),
            (1_000, 0xfa, 0xce),
            (-1_000, 0x7a, 0x4e),
            (8_159, 0x8a, 0x9f),
        ] {
            assert_eq!(Law::A.encode(sample), a, "A-law of {sample}");
            assert_eq!(Law::Mu.encode(sample), mu, "µ-law of {sample}");
        }
        assert_eq!(
            [0xd5, 0x55, 0xaa, 0x2a].map(|c| Law::A.decode(c)),
            [8, -8, 32_256, -32_256]
        );
        assert_eq!(
            [0xff, 0x7f, 0x80, 0x00].map(|c| Law::Mu.decode(c)),
            [0, 0, 32_124, -32_124]
        );
    }

    #[test]
    fn every_seventeenth_code_means_what_it_means_to_others() {
        let codes = || (0..=255).step_by(17);
        assert_eq!(
            codes().map(|code| Law::A.decode(code)).collect::<Vec<_>>(),
            [
                -5_504, -2_624, -24_064, -11_520, -280, -8, -1_248, -592, 7_552, 3_648, 32_256, 15_616, 408,
                136, 1_760, 848
            ]
        );
        assert_eq!(
            codes().map(|code| Law::Mu.decode(code)).collect::<Vec<_>>(),
            [
                -32_124, -15_484, -7_420, -3_516, -1_628, -716, -276, -64, 23_932, 11_388, 5_372, 2_492,
                1_116, 460, 148, 0
            ]
        );
    }

    #[test]
    fn every_code_survives_decoding_and_encoding() {
        for code in 0..=255 {
            assert_eq!(Law::A.encode(Law::A.decode(code)), code);
            // µ-law has two zeros; the negative one becomes the positive.
            let expected = if code == 0x7f { 0xff } else { code };
            assert_eq!(Law::Mu.encode(Law::Mu.decode(code)), expected);
        }
    }

    #[test]
    fn no_sample_moves_further_than_half_a_step() {
        for law in [Law::A, Law::Mu] {
            for sample in i16::MIN..=i16::MAX {
                let back = i32::from(law.decode(law.encode(sample)));
                let error = (back - i32::from(sample)).abs();
                // A segment's step is a sixteenth of its beginning; the loudest steps of µ-law are cut.
                let allowed = 16 + i32::from(sample).abs() / 32;
                assert!(error <= allowed, "{law:?} {sample} came back as {back}");
            }
        }
    }

    #[test]
    fn runs_are_appended() {
        let (mut codes, mut samples) = (vec![1], vec![]);
        Law::A.encode_all(&[0, -1], &mut codes);
        Law::Mu.decode_all(&[Law::Mu.silence(), 0x80], &mut samples);
        assert_eq!((codes, samples), (vec![1, 0xd5, 0x55], vec![0, 32_124]));
        assert_eq!(Law::of_payload(Law::A.payload()), Some(Law::A));
        assert_eq!(Law::of_payload(18), None);
    }
}
