//! WAV files of the one kind that telephony needs: PCM, 16 bits, one channel.

/// Bytes of the header that [`header`] writes; the samples follow, little-endian.
pub const HEADER_BYTES: usize = 44;

/// Chunks of a file that are looked at before its samples must have come.
const CHUNKS_MAX: usize = 64;

/// A file as it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wav<'a> {
    /// Samples a second.
    pub rate_hz: u32,
    data: &'a [u8],
}

impl Wav<'_> {
    /// The samples.
    pub fn samples(&self) -> impl ExactSizeIterator<Item = i16> + '_ {
        self.data
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
    }
}

/// The file can't be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadWav {
    /// No `RIFF…WAVE` at its beginning.
    #[error("it is no WAV file")]
    NotWav,
    /// The format is compressed, has several channels, other than 16 bits, or no sample rate.
    #[error("it isn't 16-bit PCM with one channel")]
    Format,
    /// It ends before its samples do, or has none.
    #[error("it ends before its samples do")]
    Truncated,
}

/// The header of a file with this many samples. More than fit in one file (2 GiB of them) are written as
/// the most that do: the format counts bytes in 32 bits.
pub fn header(rate_hz: u32, samples: u32) -> [u8; HEADER_BYTES] {
    let data = samples.min((u32::MAX - 36) / 2) * 2;
    let mut out = [0; HEADER_BYTES];
    let fields: [&[u8]; 13] = [
        b"RIFF",
        &(data + 36).to_le_bytes(),
        b"WAVE",
        b"fmt ",
        &16_u32.to_le_bytes(),
        &1_u16.to_le_bytes(), // PCM
        &1_u16.to_le_bytes(), // one channel
        &rate_hz.to_le_bytes(),
        &rate_hz.saturating_mul(2).to_le_bytes(), // bytes a second
        &2_u16.to_le_bytes(),                     // bytes a sample
        &16_u16.to_le_bytes(),                    // bits a sample
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
/// [`BadWav`] if it isn't 16-bit PCM with one channel, or is cut.
pub fn read(bytes: &[u8]) -> Result<Wav<'_>, BadWav> {
    let rest = match bytes.split_first_chunk::<12>() {
        Some((riff, rest)) if riff.starts_with(b"RIFF") && riff.ends_with(b"WAVE") => rest,
        Some(_) | None => return Err(BadWav::NotWav),
    };
    let mut rest = rest;
    let mut rate_hz = None;
    for _ in 0..CHUNKS_MAX {
        let ([a, b, c, d, l0, l1, l2, l3], body) = rest.split_first_chunk::<8>().ok_or(BadWav::Truncated)?;
        let length =
            usize::try_from(u32::from_le_bytes([*l0, *l1, *l2, *l3])).map_err(|_| BadWav::Truncated)?;
        let (chunk, after) = body.split_at_checked(length).ok_or(BadWav::Truncated)?;
        match (&[*a, *b, *c, *d], rate_hz) {
            (b"fmt ", _) => rate_hz = Some(read_format(chunk)?),
            (b"data", Some(rate_hz)) => return Ok(Wav { rate_hz, data: chunk }),
            (b"data", None) => return Err(BadWav::Format),
            (_, _) => {}
        }
        // A chunk of odd length is followed by one byte of padding.
        rest = after.get(length % 2..).ok_or(BadWav::Truncated)?;
    }
    Err(BadWav::Truncated)
}

/// The sample rate of a `fmt ` chunk.
fn read_format(chunk: &[u8]) -> Result<u32, BadWav> {
    let [k0, k1, c0, c1, r0, r1, r2, r3, .., b0, b1] = chunk.first_chunk::<16>().ok_or(BadWav::Format)?;
    let pcm = u16::from_le_bytes([*k0, *k1]) == 1;
    let mono = u16::from_le_bytes([*c0, *c1]) == 1;
    let wide = u16::from_le_bytes([*b0, *b1]) == 16;
    let rate_hz = u32::from_le_bytes([*r0, *r1, *r2, *r3]);
    if pcm && mono && wide && rate_hz != 0 {
        Ok(rate_hz)
    } else {
        Err(BadWav::Format)
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
        assert_eq!(read(&with(20, 6)), Err(BadWav::Format), "A-law");
        assert_eq!(read(&with(22, 2)), Err(BadWav::Format), "stereo");
        assert_eq!(read(&with(34, 8)), Err(BadWav::Format), "8 bits");
        assert_eq!(read(&with(12, b'x')), Err(BadWav::Format), "no format");
        assert_eq!(read(&file[..file.len() - 1]), Err(BadWav::Truncated));
        assert_eq!(read(&file[..40]), Err(BadWav::Truncated));
        let endless = [&file[..12], &b"junk\0\0\0\0".repeat(1_000)].concat();
        assert_eq!(read(&endless), Err(BadWav::Truncated));
    }

    #[test]
    fn a_header_never_counts_more_than_the_format_can() {
        assert_eq!(&header(8_000, u32::MAX)[40..], &4_294_967_258_u32.to_le_bytes());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let _ = read(&[b"RIFF\0\0\0\0WAVE".as_slice(), &bytes].concat());
        }
    }
}
