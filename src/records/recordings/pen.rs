//! Writing a recording: blocks of audio, and a line in the chain for each.
//!
//! A block is whole when its line is: a process that is killed leaves at the most a part of the block that it was writing,
//! and [`Pen::go_on`] takes that away. [`Pen::sync`] puts on the medium what was written, first the audio and then the chain
//! that speaks of it; its owner calls it each second. While the disk refuses, [`Pen::write`] does too and leaves both files
//! as they were; the next block that is written comes after silence as long as what is missing, which is marked, so that time
//! stays right.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::chain::{
    Audio, Cipher, Content, Front, Head, Mark, Sha, Unwritten, What, account_name, block_text, fold, form,
    open_text,
};
use super::lines::{FRAME_BYTES, Locked, header_bytes, next_line};
use super::place::Phase;
use super::seal::{Key, Seal, nonce};
use super::{Error, Place, disk};
use crate::base::id::Id;
use crate::base::limits::RECORDING_BLOCK_BYTES_MAX;
use crate::base::redact::scrub;
use crate::base::time::Wall;
use crate::records::folder;
use crate::rtp::wav::{HEADER_BYTES, stereo_header};

mod end;
mod go_on;

pub use end::{Dropped, End};
pub use go_on::GoneOn;

/// Samples of each channel that a WAV file has room for.
const SAMPLES_MAX: u64 = (u32::MAX as u64 - HEADER_BYTES as u64) / FRAME_BYTES;
/// Samples of a header that doesn't know yet how many there will be: as many as there can be.
const UNKNOWN: u32 = u32::MAX;

/// A clock that goes wrong by so much has been set.
const CLOCK_SET: Duration = Duration::from_secs(1);

/// Recordings from which on they are synced together.
const TOGETHER_FROM: usize = 16;

/// How much is written at once until it is put on the medium: less than what [`go_on`] takes for what a loss of power may
/// take. So long, and so many blocks.
const UNSYNCED_MAX: Duration = Duration::from_secs(12);
const UNSYNCED_BLOCKS_MAX: u64 = 12;
/// How much of a recording follows a mark that says since when the medium has refused it, until that is said once more: less
/// than what [`go_on`] looks at in any case.
const UNSYNCED_SAID_EACH: Duration = Duration::from_secs(8);

/// What a new recording is.
#[derive(Clone, Debug)]
pub struct Begin {
    /// The recording.
    pub recording: Id,
    /// The call it is of.
    pub call: Id,
    /// The call's binding, if it has one.
    pub binding: Option<Id>,
    /// Whose it is.
    pub account: Box<str>,
    /// Which server writes it.
    pub node: Box<str>,
    /// When it began: the time of sample 0.
    pub began: Wall,
    /// What kind of file it will be.
    pub audio: Audio,
    /// Samples a second of each channel; of a dump, which counts milliseconds, 1000.
    pub rate_hz: u32,
    /// What it is sealed with.
    pub key: Option<Key>,
    /// How many days the law has it kept, for the class of its call's number; nothing if it doesn't say.
    pub at_least_days: Option<u32>,
}

impl Begin {
    fn head(&self) -> Head {
        Head {
            form: form(),
            recording: self.recording,
            call: self.call,
            binding: self.binding,
            // Somebody may have named an account by a telephone number.
            account: account_name(&self.account),
            node: scrub(&self.node).into(),
            began: self.began,
            audio: self.audio,
            rate: self.rate_hz.max(1),
            sealed: self.key.as_ref().map_or(Cipher::None, Key::cipher),
            key: self.key.as_ref().map(|key| key.name().into()),
            key_print: self.key.as_ref().map(Key::print),
            at_least_days: self.at_least_days,
        }
    }
}

/// A piece of a recording, however long it is.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// Its first sample, counted from the recording's beginning.
    pub from: u64,
    /// Its samples, of the caller's channel and the callee's in turn.
    pub frames: &'a [i16],
    /// What happened in it.
    pub marks: &'a [Mark],
}

/// A piece of a dump.
#[derive(Clone, Copy, Debug)]
pub struct Packets<'a> {
    /// When it begins, in milliseconds after the recording did.
    pub from: u64,
    /// And how long it is; it may hold nothing.
    pub millis: u64,
    /// What is added to the file.
    pub bytes: &'a [u8],
    /// What happened in it.
    pub marks: &'a [Mark],
}

/// A recording that is whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finished {
    /// How many blocks it has.
    pub blocks: u64,
    /// How many samples of each channel.
    pub samples: u64,
    /// How many marks say that something is missing.
    pub gaps: u64,
    /// The digits of its last line: kept elsewhere, they prove that the chain wasn't made anew.
    pub sha256: Sha,
    /// Its audio file.
    pub audio: PathBuf,
}

/// A recording that is being written.
pub struct Pen {
    place: Place,
    head: Head,
    seal: Option<Seal>,
    audio: File,
    chain: Locked,
    at: At,
    /// Marks that wait for the next line.
    marks: Vec<Mark>,
    /// By how many milliseconds the clock has been set forward since the recording's beginning.
    clock_ms: i64,
    /// What the disk said when it last refused, while nothing has been written since.
    trouble: Option<Unwritten>,
    /// Whether a write has left a part of something behind.
    torn: Torn,
    synced: Synced,
    /// The last line is written.
    finished: Option<Finished>,
}

/// What is whole of both files.
#[derive(Clone, Copy)]
struct At {
    audio_bytes: u64,
    chain_bytes: u64,
    blocks: u64,
    samples: u64,
    gaps: u64,
    sha: Sha,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Torn {
    No,
    Perhaps,
}

/// What is on the medium.
#[derive(Clone, Copy, Default)]
struct Synced {
    /// The blocks; `None`: not even the files' names.
    blocks: Option<u64>,
    /// The block from which on a mark says that they may not be, and at which sample it last did.
    doubted: Option<(u64, u64)>,
    /// How many blocks and samples there were when it had all, or a mark last said that it may not.
    known: (u64, u64),
}

/// What a block brings.
#[derive(Clone, Copy)]
enum Bytes<'a> {
    Of(&'a [u8]),
    Silence,
}

impl Pen {
    /// Makes both files of a new recording.
    ///
    /// # Errors
    /// There is one of that id, or the disk refuses; then nothing of this one is left behind.
    pub fn begin(dir: &Path, begin: &Begin) -> Result<Self, Error> {
        let head = begin.head();
        let place = Place::of(dir, head.recording, head.began);
        let seal = begin.key.as_ref().map(|key| key.seal(head.recording));
        let [chain_path, audio_path] = Self::paths(&place, &head, Phase::Part);
        for path in Self::paths(&place, &head, Phase::Whole) {
            if path.exists() {
                return Err(Error::Taken(path));
            }
        }
        folder::make(&place.day).map_err(|error| Error::of(&place.day, error))?;
        let chain = create(&chain_path).map_err(|error| Error::of(&chain_path, error))?;
        // Whoever took it in between has found nothing in it, and removes it.
        let chain = Locked::take(chain, &chain_path).inspect_err(|error| {
            if !matches!(error, Error::Busy(_)) {
                let _ = fs::remove_file(&chain_path);
            }
        })?;
        let made = create(&audio_path).map_err(|error| Error::of(&audio_path, error));
        let made = made.and_then(|audio| {
            let first = write_first(&head, &chain, &audio).map_err(|error| {
                let _ = fs::remove_file(&audio_path);
                Error::of(&audio_path, error)
            });
            Ok((audio, first?))
        });
        let (audio, at) = made.inspect_err(|_| {
            // Left behind, it would only be found to be torn at its first byte.
            let _ = fs::remove_file(&chain_path);
        })?;
        Ok(Self::at(place, head, seal, (chain, audio), at))
    }

    fn at(place: Place, head: Head, seal: Option<Seal>, (chain, audio): (Locked, File), at: At) -> Self {
        Self {
            place,
            head,
            seal,
            audio,
            chain,
            at,
            marks: Vec::new(),
            clock_ms: 0,
            trouble: None,
            torn: Torn::No,
            synced: Synced::default(),
            finished: None,
        }
    }

    fn paths(place: &Place, head: &Head, phase: Phase) -> [PathBuf; 2] {
        [place.chain(phase), place.audio(head.audio, head.sealed, phase)]
    }

    /// Where its files lie.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// What the recording is.
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// What kind of file it writes, and how many samples a second of each channel.
    pub const fn kind(&self) -> (Audio, u32) {
        (self.head.audio, self.head.rate)
    }

    /// Samples of each channel that are written.
    pub const fn samples(&self) -> u64 {
        self.at.samples
    }

    /// How many marks say that something is missing, so far.
    pub const fn gaps(&self) -> u64 {
        self.at.gaps
    }

    /// Writes a block. What is missing before it becomes silence, with a mark; what was written already is left out.
    ///
    /// # Errors
    /// The disk refuses: the recording is as it was then, the block's marks wait for the next one, and its audio is left out.
    pub fn write(&mut self, block: &Block<'_>) -> Result<(), Error> {
        let samples = (block.frames.len() / 2) as u64;
        self.reach(block.from, samples, block.marks)?;
        let known = self.at.samples.saturating_sub(block.from).min(samples);
        let new = block.frames.get(known as usize * 2..samples as usize * 2);
        for piece in new.unwrap_or_default().chunks(RECORDING_BLOCK_BYTES_MAX / 2) {
            let samples = (piece.len() / 2) as u64;
            if piece.iter().all(|sample| *sample == 0) {
                self.append(samples, Bytes::Silence, None)?;
                continue;
            }
            let bytes: Vec<[u8; 2]> = piece.iter().map(|sample| sample.to_le_bytes()).collect();
            self.append(samples, Bytes::Of(bytes.as_flattened()), None)?;
        }
        Ok(())
    }

    /// Writes silence, as [`Pen::write`] does a block.
    ///
    /// # Errors
    /// As there.
    pub fn write_silence(&mut self, from: u64, samples: u64, marks: &[Mark]) -> Result<(), Error> {
        self.reach(from, samples, marks)?;
        match from.saturating_add(samples).saturating_sub(self.at.samples) {
            // Marks alone wait for the next line.
            0 => Ok(()),
            new => self.append(new, Bytes::Silence, None),
        }
    }

    /// Says what the clock shows at sample 0, as it is set now: lines say by how much it was set forward, so that whoever goes on
    /// knows how long nobody listened.
    pub fn set_clock(&mut self, zero: Wall) {
        let ahead = zero.as_millis().saturating_sub(self.head.began.as_millis());
        self.clock_ms = match Duration::from_millis(ahead.unsigned_abs()) >= CLOCK_SET {
            true => ahead,
            // It is put right all the time.
            false => 0,
        };
    }

    /// Says why what is missing before the next block was left out, where that wasn't the disk under this recording.
    pub const fn blame(&mut self, why: Unwritten) {
        self.trouble = Some(why);
    }

    /// Writes a piece of a dump, as [`Pen::write`] does a block: all of it, or nothing.
    ///
    /// # Errors
    /// As there.
    pub fn write_packets(&mut self, packets: &Packets<'_>) -> Result<(), Error> {
        self.reach(packets.from, packets.millis, packets.marks)?;
        let (before, synced, marks) = (self.at, self.synced, self.marks.clone());
        let outcome = self.append_packets(packets);
        if outcome.is_err() {
            // What was written of it would stand there twice when it is tried again.
            (self.at, self.synced, self.marks, self.torn) = (before, synced, marks, Torn::Perhaps);
            let _ = self.mend();
        }
        outcome
    }

    fn append_packets(&mut self, packets: &Packets<'_>) -> Result<(), Error> {
        let until = packets.from.saturating_add(packets.millis);
        for piece in packets.bytes.chunks(RECORDING_BLOCK_BYTES_MAX) {
            // Its time is the first one's; the others belong to it.
            let millis = until.saturating_sub(self.at.samples);
            self.append(millis, Bytes::Of(piece), None)?;
        }
        match until.saturating_sub(self.at.samples) {
            0 => Ok(()),
            millis => self.append(millis, Bytes::Silence, None),
        }
    }

    /// Comes to where a piece begins that is so long, with silence if need be; its marks wait for the next line.
    fn reach(&mut self, from: u64, samples: u64, marks: &[Mark]) -> Result<(), Error> {
        let end = from.saturating_add(samples);
        if let Some(finished) = &self.finished {
            return Err(Error::Taken(finished.audio.clone()));
        }
        if end > SAMPLES_MAX {
            return Err(Error::TooLong(self.path()));
        }
        self.add_marks(marks);
        match from.checked_sub(self.at.samples) {
            None | Some(0) => Ok(()),
            Some(missing) => {
                let what = What::NotWritten {
                    samples: missing,
                    why: self.trouble.unwrap_or(Unwritten::Overload),
                };
                let at = self.at.samples;
                self.append(missing, Bytes::Silence, Some(Mark { at, what }))
            }
        }
    }

    fn add_marks(&mut self, marks: &[Mark]) {
        self.marks.extend_from_slice(marks);
        self.marks = fold(std::mem::take(&mut self.marks));
    }

    /// Adds a block, with the marks that wait and perhaps one before them.
    fn append(&mut self, samples: u64, bytes: Bytes<'_>, first: Option<Mark>) -> Result<(), Error> {
        let outcome = self.mend().and_then(|()| {
            self.come_along(samples);
            self.try_append(samples, bytes, first)
        });
        match outcome {
            Ok(()) => {
                self.trouble = None;
                Ok(())
            }
            Err(error) => {
                let path = self.path();
                let error = Error::of(&path, error);
                self.trouble = Some(match error {
                    Error::Full(_) | Error::Short(..) => Unwritten::DiskFull,
                    Error::Disk(..)
                    | Error::Taken(_)
                    | Error::Busy(_)
                    | Error::Absent(_)
                    | Error::Damaged(..)
                    | Error::TooLong(_)
                    | Error::NoKey(..)
                    | Error::Newer(..) => Unwritten::DiskError,
                });
                // Whoever reads meanwhile finds no part of a block; if this fails too, the next write comes back to it.
                let _ = self.mend();
                Err(error)
            }
        }
    }

    fn try_append(&mut self, samples: u64, bytes: Bytes<'_>, first: Option<Mark>) -> io::Result<()> {
        let marks: Vec<Mark> = fold(first.into_iter().chain(self.marks.iter().copied()).collect());
        let n = self.at.blocks + 1;
        let mut nonce_of = None;
        let (mut audio, length) = match (bytes, &self.seal) {
            (Bytes::Of(bytes), None) => (Cow::Borrowed(bytes), bytes.len() as u64),
            (Bytes::Of(bytes), Some(_)) => {
                nonce_of = Some(nonce(n)?);
                (
                    Cow::Borrowed(bytes),
                    (bytes.len() + super::seal::TAG_BYTES) as u64,
                )
            }
            (Bytes::Silence, _) if header_bytes(&self.head) > 0 => (Cow::default(), samples * FRAME_BYTES),
            (Bytes::Silence, _) => (Cow::default(), 0),
        };
        let front = open_text(&Front {
            n,
            at: self.at.samples,
            samples,
            bytes: length,
            nonce: nonce_of,
            marks: &marks,
            clock_ms: self.clock_ms,
        });
        if let (Some(seal), Some(nonce)) = (&self.seal, nonce_of) {
            seal.close(nonce, self.at.sha, &front, audio.to_mut())?;
        }
        let content = match bytes {
            Bytes::Of(_) => Content::Bytes(Sha::of(&[&audio])),
            Bytes::Silence => Content::Silence,
        };
        let (line, sha) = next_line(Some(self.at.sha), &block_text(&front, content));
        let next = At {
            audio_bytes: self.at.audio_bytes + length,
            chain_bytes: self.at.chain_bytes + line.len() as u64,
            blocks: n,
            samples: self.at.samples + samples,
            gaps: self.at.gaps + marks.iter().filter(|mark| mark.what.is_gap()).count() as u64,
            sha,
        };
        self.torn = Torn::Perhaps;
        match bytes {
            Bytes::Of(_) => disk::write_at(&self.audio, &audio, self.at.audio_bytes)?,
            // A hole: silence takes no room, however long it was.
            Bytes::Silence => self.audio.set_len(next.audio_bytes)?,
        }
        disk::write_at(&self.chain, line.as_bytes(), self.at.chain_bytes)?;
        (self.torn, self.at) = (Torn::No, next);
        self.marks.clear();
        Ok(())
    }

    /// Has the medium come along before so many more samples are written, if it is far behind.
    fn come_along(&mut self, samples: u64) {
        let (blocks, until) = self.synced.known;
        let behind = (self.at.samples + samples).saturating_sub(until);
        let is_long = behind > UNSYNCED_MAX.as_secs() * u64::from(self.head.rate);
        if is_long && (self.at.blocks + 1).saturating_sub(blocks) > UNSYNCED_BLOCKS_MAX {
            // Where it refuses, the block that comes now says so once more.
            self.synced.doubted = None;
            let _ = self.sync();
        }
    }

    /// Takes away what a write has left that failed.
    fn mend(&mut self) -> io::Result<()> {
        if self.torn == Torn::Perhaps {
            self.chain.set_len(self.at.chain_bytes)?;
            self.audio.set_len(self.at.audio_bytes)?;
            self.torn = Torn::No;
        }
        Ok(())
    }

    /// Whether the medium has all that was written.
    pub fn is_synced(&self) -> bool {
        self.synced.blocks == Some(self.at.blocks)
    }

    /// Puts on the medium what was written since the last time. Waits for it.
    ///
    /// # Errors
    /// The disk refuses: whether it has what was written is unknown, and the next line has a mark that says so.
    pub fn sync(&mut self) -> Result<(), Error> {
        if self.is_synced() {
            return Ok(());
        }
        let names = match self.synced.blocks {
            Some(_) => Ok(()),
            None => folder::sync(&self.place.day),
        };
        let outcome = names
            .and_then(|()| disk::sync(&self.audio))
            .and_then(|()| disk::sync(&self.chain));
        self.noted(&outcome);
        outcome.map_err(|error| Error::of(&self.path(), error))
    }

    /// [`Pen::sync`] for all recordings of a folder: where they are many, one call for its whole file system costs less than
    /// two for each of them. A loss of power may then keep a line and not its audio: [`Pen::go_on`] looks for that.
    ///
    /// # Errors
    /// As there: the first that there was.
    pub fn sync_all<'p>(dir: &Path, pens: impl IntoIterator<Item = &'p mut Self>) -> Result<(), Error> {
        let mut pens: Vec<&mut Self> = pens.into_iter().filter(|pen| !pen.is_synced()).collect();
        if pens.len() < TOGETHER_FROM {
            let outcomes: Vec<_> = pens.iter_mut().map(|pen| pen.sync()).collect();
            return outcomes.into_iter().collect();
        }
        let outcome = File::open(dir).and_then(|dir| disk::sync_system(&dir));
        pens.iter_mut().for_each(|pen| pen.noted(&outcome));
        outcome.map_err(|error| Error::of(dir, error))
    }

    /// Notes what came of a sync.
    fn noted(&mut self, outcome: &io::Result<()>) {
        match outcome {
            Ok(()) => {
                self.synced.blocks = Some(self.at.blocks);
                self.synced.known = (self.at.blocks, self.at.samples);
            }
            Err(_) => self.doubt(),
        }
    }

    /// The medium may not have what was written since it last had all: the next line says so.
    fn doubt(&mut self) {
        let from_block = self.synced.blocks.unwrap_or(0) + 1;
        // Again and again, so that the way back from the last block to the first of them is seen: see `go_on`.
        let is_said = self.synced.doubted.is_some_and(|(from, said)| {
            let since = self.at.samples.saturating_sub(said);
            from == from_block && since < UNSYNCED_SAID_EACH.as_secs() * u64::from(self.head.rate)
        });
        if !is_said {
            self.synced.doubted = Some((from_block, self.at.samples));
            self.synced.known = (self.at.blocks, self.at.samples);
            self.add_marks(&[Mark {
                at: self.at.samples,
                what: What::NotSynced { from_block },
            }]);
        }
    }

    fn path(&self) -> PathBuf {
        self.place.audio(self.head.audio, self.head.sealed, Phase::Part)
    }
}

/// A file that isn't there yet: what people say to each other is for nobody but the server.
fn create(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Writes what stands at the beginning of both files.
fn write_first(head: &Head, chain: &File, audio: &File) -> io::Result<At> {
    let (line, sha) = next_line(None, &open_text(head));
    write_header(audio, head, UNKNOWN)?;
    disk::write_at(chain, line.as_bytes(), 0)?;
    Ok(At {
        audio_bytes: header_bytes(head),
        chain_bytes: line.len() as u64,
        blocks: 0,
        samples: 0,
        gaps: 0,
        sha,
    })
}

/// Writes the header of a plain WAV file with so many samples.
fn write_header(audio: &File, head: &Head, samples: u32) -> io::Result<()> {
    if header_bytes(head) == 0 {
        return Ok(());
    }
    disk::write_at(audio, &stereo_header(head.rate, samples), 0)
}
