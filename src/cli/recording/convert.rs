//! `umbra recording convert`

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use super::beside::Beside;
use super::files::{self, KeyFolder};
use super::sound::Sound;
use crate::records::recordings::read::Reader;
use crate::rtp::recording::dump::Whose;
use crate::rtp::recording::replay::Count;
use crate::rtp::tap::Channel;
use crate::rtp::wav::{HEADER_BYTES, stereo_header};

/// Bytes of a sample of both channels.
const FRAME_BYTES: u64 = 4;

const ABOUT: &str = "\
Make a WAV file of a recording that was kept as an RTP dump, because a party spoke a codec that the server doesn't decode: \
the caller left, the callee right, each packet where it was heard. PCMA, PCMU, G.722 and Opus are decoded, to 16 kHz where one \
of the latter two was spoken; nothing is made up for packets that are missing. The dump stays what counts: it is the exact \
packets, and `umbra recording verify` is of it.

A sealed recording becomes a plain one. A WAV file beside which such a dump lies, because its call turned to that codec while it \
went on, becomes one with all that was said, at its own rate. A plain WAV file without one needs nothing.";

/// What `recording convert` takes.
#[derive(Args, Debug)]
#[command(long_about = ABOUT)]
pub struct Convert {
    /// The recording: its .rtpdump, .sealed or .chain file; both files must be there
    path: PathBuf,
    /// The WAV file to write
    #[arg(long, short, value_name = "FILE.wav")]
    output: PathBuf,
    #[command(flatten)]
    keys: KeyFolder,
}

impl Convert {
    /// Writes the WAV file.
    ///
    /// # Errors
    /// The recording can't be read, nothing of it can be decoded, or the file can't be written.
    pub fn run(self, out: &mut dyn Write) -> anyhow::Result<()> {
        let place = files::one(&self.path)?;
        let mut reader = files::open(&place, &self.keys)?;
        let beside = Beside::of(&place, &reader, &self.keys.read()?)?;
        let sound = Sound::of(&reader);
        let mut unread = read_some(&sound, &self.path)?;
        unread.extend(beside.iter().flat_map(Beside::unread));
        let warnings: Vec<String> = unread.iter().map(|whose| said_of(whose, &self.path)).collect();
        files::is_not_own(&self.output)?;
        let (rate_hz, samples) = (sound.rate_hz, sound.samples);
        if samples > (u64::from(u32::MAX) - HEADER_BYTES as u64) / FRAME_BYTES {
            bail!("the recording is longer than a WAV file can be (4 GiB)");
        }
        let mut part = self.output.file_name().unwrap_or_default().to_owned();
        part.push(".part");
        let part = self.output.with_file_name(part);
        let file = files::create(&part)?;
        let written = write_wav(sound, &mut reader, file, &part).and_then(|count| {
            let count = match beside {
                None => count,
                Some(beside) => {
                    let wav = File::options().read(true).write(true).open(&part)?;
                    beside.lay_into(&wav, samples)?
                }
            };
            fs::rename(&part, &self.output)
                .with_context(|| format!("{} can't be written", self.output.display()))?;
            Ok(count)
        });
        if written.is_err() {
            // It is no use to anybody; that it couldn't be written is said.
            drop(fs::remove_file(&part));
        }
        let count = written?;
        let seconds = samples as f64 / f64::from(rate_hz.max(1));
        write!(
            out,
            "{}: {seconds:.1} s of {rate_hz} Hz, the caller left, the callee right",
            self.output.display()
        )?;
        match count {
            None => writeln!(out)?,
            Some(count) => writeln!(out, "; {} packets", count.audio)?,
        }
        if let Some(broken) = count.map(|count| count.broken).filter(|broken| *broken > 0) {
            writeln!(
                out,
                "{broken} packets aren't what their codec says: silence stands for them"
            )?;
        }
        warnings
            .iter()
            .try_for_each(|warning| writeln!(out, "{warning}"))?;
        Ok(())
    }
}

/// Writes what is heard as a WAV file.
fn write_wav(sound: Sound, reader: &mut Reader, file: File, path: &Path) -> anyhow::Result<Option<Count>> {
    let written = |error: io::Error| {
        io::Error::new(
            error.kind(),
            format!("{} can't be written: {error}", path.display()),
        )
    };
    let header = stereo_header(sound.rate_hz, u32::try_from(sound.samples)?);
    let mut file = BufWriter::new(file);
    file.write_all(&header).map_err(written)?;
    let count = sound.read(reader, &mut |frames| {
        let mut bytes = frames.iter().map(|sample| sample.to_le_bytes());
        bytes
            .try_for_each(|bytes| file.write_all(&bytes))
            .map_err(written)
    })?;
    file.flush().map_err(written)?;
    Ok(count)
}

/// The streams of a recording that aren't decoded, beside those that are.
///
/// # Errors
/// None is decoded.
pub(super) fn read_some(sound: &Sound, path: &Path) -> anyhow::Result<Vec<Whose>> {
    let (unread, is_any) = sound.unread();
    match unread.first() {
        _ if is_any => Ok(unread),
        Some(whose) => bail!("{}", said_of(whose, path)),
        None => bail!("no packet of audio is in {}", path.display()),
    }
}

/// Whose channel it is, in a word.
pub(super) const fn who(channel: Channel) -> &'static str {
    match channel {
        Channel::Caller => "caller",
        Channel::Callee => "callee",
    }
}

/// What is to be said of a stream that isn't decoded.
fn said_of(whose: &Whose, path: &Path) -> String {
    let who = who(whose.channel);
    // A dynamic type's clock is all that the packets tell of it.
    let codec = match (whose.payload_type, whose.clock_hz) {
        (18, _) => "is G.729",
        (96.., 8_000) => "may be AMR",
        (96.., 16_000) => "may be AMR-WB",
        _ => "is of a codec that isn't known here",
    };
    format!(
        "what the {who} says {codec} (payload type {}, {} Hz), which isn't decoded here: open {} with Wireshark (Telephony, \
         RTP, RTP Player), or send it with rtptools' `rtpplay -f FILE HOST/PORT` to whatever plays that codec",
        whose.payload_type,
        whose.clock_hz,
        path.display()
    )
}
