//! WAV files: written as telephony has them (PCM, 16 bits, one channel), read as people make them.

use std::fmt;

use super::g711::Law;

/// Bytes of the header that [`header`] writes; the samples follow, little-endian.
pub const HEADER_BYTES: usize = 44;

/// Chunks of a file that are looked at before its samples must have come.
const CHUNKS_MAX: usize = 64;
/// Channels that are mixed into one.
const CHANNELS_MAX: u16 = 8;

/// How a file writes a sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coded {
    /// PCM of 8 bits, unsigned.
    Pcm8,
    /// PCM of 16 bits.
    Pcm16,
    /// PCM of 24 bits.
    Pcm24,
    /// PCM of 32 bits.
    Pcm32,
    /// Floating point of 32 bits, full scale at 1.
    Float32,
    /// G.711.
    Law(Law),
}

impl Coded {
    /// Bytes of a sample.
    const fn bytes(self) -> usize {
        match self {
            Self::Pcm8 | Self::Law(_) => 1,
            Self::Pcm16 => 2,
            Self::Pcm24 => 3,
            Self::Pcm32 | Self::Float32 => 4,
        }
    }

    /// A sample of so many bytes, in 16 bits.
    fn read(self, bytes: &[u8]) -> i16 {
        match (self, bytes) {
            (Self::Pcm8, [a]) => (i16::from(*a) - 128) << 8,
            (Self::Law(law), [a]) => law.decode(*a),
            // What is below 16 bits is left out: no telephone carries it.
            (Self::Pcm16, [a, b]) | (Self::Pcm24, [_, a, b]) | (Self::Pcm32, [_, _, a, b]) => {
                i16::from_le_bytes([*a, *b])
            }
            // The cast saturates, and makes 0 of what is no number.
            (Self::Float32, [a, b, c, d]) => (f32::from_le_bytes([*a, *b, *c, *d]) * 32_767.0).round() as i16,
            (Self::Pcm8 | Self::Law(_) | Self::Pcm16 | Self::Pcm24 | Self::Pcm32 | Self::Float32, _) => 0,
        }
    }
}

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcm8 => "8-bit PCM",
            Self::Pcm16 => "16-bit PCM",
            Self::Pcm24 => "24-bit PCM",
            Self::Pcm32 => "32-bit PCM",
            Self::Float32 => "32-bit floating point",
            Self::Law(Law::A) => "A-law",
            Self::Law(Law::Mu) => "\u{b5}-law",
        })
    }
}

/// A file as it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wav<'a> {
    /// Samples a second.
    pub rate_hz: u32,
    /// Channels: one, two, to eight.
    pub channels: u16,
    /// How a sample is written.
    pub coded: Coded,
    data: &'a [u8],
}

impl<'a> Wav<'a> {
    /// The samples as the file writes them.
    pub const fn data(&self) -> &'a [u8] {
        self.data
    }
    /// The samples in 16 bits, all channels mixed into one.
    pub fn samples(&self) -> impl ExactSizeIterator<Item = i16> + 'a {
        let (coded, channels) = (self.coded, i32::from(self.channels.max(1)));
        let width = coded.bytes();
        self.data
            .chunks_exact(width * channels as usize)
            .map(move |frame| {
                let sum: i32 = frame
                    .chunks_exact(width)
                    .map(|sample| i32::from(coded.read(sample)))
                    .sum();
                // A mean of 16-bit samples fits in 16 bits.
                (sum / channels) as i16
            })
    }
}

/// The file can't be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadWav {
    /// No `RIFF…WAVE` at its beginning.
    #[error("it is no WAV file")]
    NotWav,
    /// The format is compressed, or has more channels or other samples than are read here.
    #[error("it is {0}, and not PCM, A-law or \u{b5}-law with one or two channels")]
    Format(String),
    /// It says nothing of its format, or says it behind its samples.
    #[error("it doesn't say how its samples are written")]
    NoFormat,
    /// It ends before its samples do, or has none.
    #[error("it ends before its samples do")]
    Truncated,
}

/// The header of a file with this many samples. More than fit in one file (2 GiB of them) are written as
/// the most that do: the format counts bytes in 32 bits.
pub fn header(rate_hz: u32, samples: u32) -> [u8; HEADER_BYTES] {
    header_of(rate_hz, 1, samples)
}

/// The header of a file with two channels, and so many samples of each; as [`header`] otherwise.
pub fn stereo_header(rate_hz: u32, samples: u32) -> [u8; HEADER_BYTES] {
    header_of(rate_hz, 2, samples)
}

fn header_of(rate_hz: u32, channels: u16, samples: u32) -> [u8; HEADER_BYTES] {
    let frame = channels * 2;
    let bytes = u32::from(frame);
    let data = samples.min((u32::MAX - 36) / bytes) * bytes;
    let mut out = [0; HEADER_BYTES];
    let fields: [&[u8]; 13] = [
        b"RIFF",
        &(data + 36).to_le_bytes(),
        b"WAVE",
        b"fmt ",
        &16_u32.to_le_bytes(),
        &1_u16.to_le_bytes(), // PCM
        &channels.to_le_bytes(),
        &rate_hz.to_le_bytes(),
        &rate_hz.saturating_mul(bytes).to_le_bytes(), // bytes a second
        &frame.to_le_bytes(),                         // bytes of a sample of each channel
        &16_u16.to_le_bytes(),                        // bits a sample
        b"data",
        &data.to_le_bytes(),
    ];
    for (to, from) in out.iter_mut().zip(fields.concat()) {
        *to = from;
    }
    out
}

/// A whole file.
pub fn write(rate_hz: u32, samples: &[i16]) -> Vec<u8> {
    let count = u32::try_from(samples.len()).unwrap_or(u32::MAX);
    let mut out = header(rate_hz, count).to_vec();
    out.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    out
}

/// Reads a file. Chunks that we don't know are passed over; the samples are borrowed, not copied.
///
/// # Errors
/// [`BadWav`] if it is compressed, or is cut.
pub fn read(bytes: &[u8]) -> Result<Wav<'_>, BadWav> {
    let rest = match bytes.split_first_chunk::<12>() {
        Some((riff, rest)) if riff.starts_with(b"RIFF") && riff.ends_with(b"WAVE") => rest,
        Some(_) | None => return Err(BadWav::NotWav),
    };
    let mut rest = rest;
    let mut format = None;
    for _ in 0..CHUNKS_MAX {
        let ([a, b, c, d, l0, l1, l2, l3], body) = rest.split_first_chunk::<8>().ok_or(BadWav::Truncated)?;
        let length =
            usize::try_from(u32::from_le_bytes([*l0, *l1, *l2, *l3])).map_err(|_| BadWav::Truncated)?;
        let (chunk, after) = body.split_at_checked(length).ok_or(BadWav::Truncated)?;
        match (&[*a, *b, *c, *d], format) {
            (b"fmt ", _) => format = Some(read_format(chunk)?),
            (b"data", Some(format)) => {
                return Ok(Wav {
                    data: chunk,
                    ..format
                });
            }
            (b"data", None) => return Err(BadWav::NoFormat),
            (_, _) => {}
        }
        // A chunk of odd length is followed by one byte of padding.
        rest = after.get(length % 2..).ok_or(BadWav::Truncated)?;
    }
    Err(BadWav::Truncated)
}

/// What a `fmt ` chunk says, with no samples yet.
fn read_format(chunk: &[u8]) -> Result<Wav<'static>, BadWav> {
    /// `WAVE_FORMAT_EXTENSIBLE`: the format stands in the first two bytes of a GUID behind.
    const EXTENSIBLE: u16 = 0xfffe;
    const GUID: std::ops::Range<usize> = 24..26;
    let [k0, k1, c0, c1, r0, r1, r2, r3, .., b0, b1] = chunk.first_chunk::<16>().ok_or(BadWav::NoFormat)?;
    let said = u16::from_le_bytes([*k0, *k1]);
    let kind = match (said, chunk.get(GUID)) {
        (EXTENSIBLE, Some([a, b])) => u16::from_le_bytes([*a, *b]),
        (said, _) => said,
    };
    let channels = u16::from_le_bytes([*c0, *c1]);
    let rate_hz = u32::from_le_bytes([*r0, *r1, *r2, *r3]);
    let bits = u16::from_le_bytes([*b0, *b1]);
    let coded = match (kind, bits) {
        (1, 8) => Some(Coded::Pcm8),
        (1, 16) => Some(Coded::Pcm16),
        (1, 24) => Some(Coded::Pcm24),
        (1, 32) => Some(Coded::Pcm32),
        (3, 32) => Some(Coded::Float32),
        (6, 8) => Some(Coded::Law(Law::A)),
        (7, 8) => Some(Coded::Law(Law::Mu)),
        (_, _) => None,
    };
    match coded {
        Some(coded) if (1..=CHANNELS_MAX).contains(&channels) && rate_hz != 0 => Ok(Wav {
            rate_hz,
            channels,
            coded,
            data: &[],
        }),
        Some(_) | None => Err(BadWav::Format(format!(
            "of format {kind} with {bits} bits, {channels} channels and {rate_hz} Hz"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let samples = [0, 1, -1, i16::MAX, i16::MIN];
        let file = write(8_000, &samples);
        assert_eq!(file.len(), HEADER_BYTES + 10);
        assert_eq!(&file[..8], b"RIFF\x2e\0\0\0");
        assert_eq!(&file[20..36], b"\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0");
        let wav = read(&file).expect("our own writing");
        assert_eq!(wav.rate_hz, 8_000);
        assert_eq!(wav.samples().collect::<Vec<_>>(), samples);
    }

    #[test]
    fn unknown_chunks_are_passed_over() {
        let file = write(16_000, &[7, 8]);
        let odd = [&file[..12], b"LIST\x03\0\0\0abc\0", &file[12..]].concat();
        assert_eq!(read(&odd), read(&file));
        assert!(read(&odd).is_ok());
    }

    #[test]
    fn other_files_are_refused() {
        let file = write(8_000, &[7, 8]);
        let with = |at: usize, byte: u8| {
            let mut other = file.clone();
            other[at] = byte;
            other
        };
        assert_eq!(read(b"hello"), Err(BadWav::NotWav));
        assert_eq!(read(&with(8, b'A')), Err(BadWav::NotWav));
        for (at, byte) in [(20, 2), (22, 9), (22, 0), (34, 12)] {
            let refused = matches!(read(&with(at, byte)), Err(BadWav::Format(_)));
            assert!(refused, "ADPCM, nine channels, none, 12 bits");
        }
        assert_eq!(read(&with(12, b'x')), Err(BadWav::NoFormat), "no format");
        assert_eq!(read(&file[..file.len() - 1]), Err(BadWav::Truncated));
        assert_eq!(read(&file[..40]), Err(BadWav::Truncated));
        let endless = [&file[..12], &b"junk\0\0\0\0".repeat(1_000)].concat();
        assert_eq!(read(&endless), Err(BadWav::Truncated));
    }

    #[test]
    fn a_file_is_read_in_whatever_way_people_make_one() {
        let file = |kind: u16, channels: u16, bits: u16, data: &[u8]| {
            let mut file = header(44_100, 0).to_vec();
            file.splice(20..22, kind.to_le_bytes());
            file.splice(22..24, channels.to_le_bytes());
            file.splice(34..36, bits.to_le_bytes());
            file.splice(40..44, (data.len() as u32).to_le_bytes());
            [&file, data].concat()
        };
        let heard = |file: &[u8]| read(file).map(|wav| wav.samples().collect::<Vec<_>>());
        assert_eq!(
            heard(&file(1, 1, 8, &[0, 128, 255])),
            Ok(vec![-32_768, 0, 32_512])
        );
        assert_eq!(heard(&file(1, 1, 24, &[9, 0xe8, 3])), Ok(vec![1_000]));
        assert_eq!(heard(&file(1, 1, 32, &[9, 9, 0x18, 0xfc])), Ok(vec![-1_000]));
        let float = [0.5_f32, -1.0, 7.0, f32::NAN].map(f32::to_le_bytes).concat();
        assert_eq!(
            heard(&file(3, 1, 32, &float)),
            Ok(vec![16_384, -32_767, i16::MAX, 0])
        );
        for (kind, law) in [(6, Law::A), (7, Law::Mu)] {
            let codes = [law.encode(1_000), law.encode(-30_000)];
            let samples = codes.map(|code| law.decode(code)).to_vec();
            assert_eq!(heard(&file(kind, 1, 8, &codes)), Ok(samples));
        }
        // Two channels are their mean; half a frame at the end is none.
        let stereo = [1_000_i16, 3_000, i16::MIN, i16::MIN, 7]
            .map(i16::to_le_bytes)
            .concat();
        assert_eq!(heard(&file(1, 2, 16, &stereo)), Ok(vec![2_000, i16::MIN]));
        // As Windows and sox write it beyond 16 bits: the format is in the GUID.
        let fmt = [
            &0xfffe_u16.to_le_bytes()[..],
            &header(8_000, 0)[22..36],
            &[22, 0, 16, 0, 4, 0, 0, 0, 1, 0],
        ]
        .concat();
        let extensible = [
            b"RIFF\0\0\0\0WAVEfmt \x1a\0\0\0".as_slice(),
            &fmt,
            b"data\x02\0\0\0\xe8\x03",
        ]
        .concat();
        assert_eq!(heard(&extensible), Ok(vec![1_000]));
    }

    #[test]
    fn a_header_never_counts_more_than_the_format_can() {
        assert_eq!(&header(8_000, u32::MAX)[40..], &4_294_967_258_u32.to_le_bytes());
        assert_eq!(
            &stereo_header(8_000, u32::MAX)[40..],
            &4_294_967_256_u32.to_le_bytes()
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for file in [bytes.clone(), [b"RIFF\0\0\0\0WAVE".as_slice(), &bytes].concat()] {
                let _ = read(&file).map(|wav| wav.samples().count());
            }
        }
    }
}
