//! Reading a chain: its lines are believed one after the other, up to the first that isn't as it was written.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _};
use std::ops::Deref;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::chain::{
    Audio, Cipher, Content, END, End, Head, Line, Sha, What, block_text, form, line, link, taken_apart,
};
use super::place::{Phase, Place};
use super::{Error, seal};
use crate::base::limits::{RECORDING_BLOCK_BYTES_MAX, RECORDING_CHAIN_BYTES_MAX};

/// Bytes of most blocks' lines, or a few less.
const LINE_BYTES_USUAL: usize = 200;

/// A recording's files, as they are called at this moment.
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) chain: PathBuf,
    /// Whether the chain has its last name: then all should be there.
    pub(super) phase: Phase,
    pub(super) bytes: Vec<u8>,
}

impl Found {
    /// Looks under both names of the chain.
    pub(super) fn at(place: &Place) -> Result<Self, Error> {
        for phase in [Phase::Part, Phase::Whole] {
            let chain = place.chain(phase);
            match read_all(&chain) {
                Ok(bytes) => {
                    return Ok(Self {
                        place: place.clone(),
                        chain,
                        phase,
                        bytes,
                    });
                }
                // It may have got its last name meanwhile: that is looked at second.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::of(&chain, error)),
            }
        }
        Err(Error::Absent(place.chain(Phase::Whole)))
    }

    /// Its audio file, under whichever name, and its bytes.
    pub(super) fn audio(&self, head: &Head) -> Result<(File, u64, Phase), Error> {
        let names = [Phase::Whole, Phase::Part, Phase::Whole]
            .map(|phase| (self.place.audio(head.audio, head.sealed, phase), phase));
        for (path, phase) in &names {
            match File::open(path).and_then(|file| Ok((file.metadata()?.len(), file))) {
                Ok((bytes, file)) => return Ok((file, bytes, *phase)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::of(path, error)),
            }
        }
        Err(Error::Absent(self.place.audio(
            head.audio,
            head.sealed,
            self.phase,
        )))
    }
}

/// A chain's file that nobody else can take until it is dropped; the lock goes with the process, however that ends.
pub(super) struct Locked(File);

impl Locked {
    /// Takes a file of that name.
    pub(super) fn take(chain: File, path: &Path) -> Result<Self, Error> {
        match chain.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(Error::of(path, error)),
        }
        let locked = Self(chain);
        // Until then somebody else may have given it another name, or removed it.
        match is_at(&locked, path) {
            Ok(true) => Ok(locked),
            Ok(false) => Err(Error::Busy(path.to_owned())),
            Err(error) => Err(Error::of(path, error)),
        }
    }
}

impl Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing it isn't enough: a program that is just being started has it too, for a moment.
        let _ = self.0.unlock();
    }
}

/// Whether that file has this name; an error if nobody can tell.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let number = |file: fs::Metadata| (file.dev(), file.ino());
    let named = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        named => named?,
    };
    Ok(number(file.metadata()?) == number(named))
}

/// Whether somebody writes that recording, in this process or another one.
pub fn is_busy(place: &Place) -> bool {
    let path = place.chain(Phase::Part);
    File::open(&path).is_ok_and(|chain| matches!(Locked::take(chain, &path), Err(Error::Busy(_))))
}

/// A chain that is longer than any of ours is read in part: what follows is found to be no line of it.
fn read_all(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(RECORDING_CHAIN_BYTES_MAX)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A block, as its line says, and where it lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Block {
    pub(super) line: Line,
    /// Where its bytes begin in the audio file.
    pub(super) begins: u64,
    /// Where its line ends in the chain.
    pub(super) line_ends: u64,
    /// The digits of the line before, and its own.
    pub(super) before: Sha,
    pub(super) sha: Sha,
    /// What its seal covers beside the digits of the line before, and its audio; nothing where it has none.
    pub(super) front: Box<str>,
}

/// Why a line isn't believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Doubt {
    /// It has no end.
    Torn,
    /// It isn't as it was written, or no line of ours.
    Changed,
    /// It is another block's, and this one's isn't there.
    Missing,
    /// It is another block's, and this one's comes later.
    Moved,
    /// The recording was at its end.
    Beyond,
}

/// What a chain says, as far as it is to be believed.
pub(super) struct Chain {
    pub(super) head: Head,
    /// Where the first line ends, and its digits.
    pub(super) head_ends: u64,
    pub(super) head_sha: Sha,
    pub(super) blocks: Vec<Block>,
    pub(super) end: Option<Ending>,
    /// What comes after the lines that are believed, and how many more whole lines come after that.
    pub(super) doubt: Option<(Doubt, usize)>,
}

/// The last line.
pub(super) struct Ending {
    pub(super) end: End,
    pub(super) before: Sha,
    pub(super) sha: Sha,
    /// What its seal covers beside the digits of the line before, and the seal.
    pub(super) front: Box<str>,
    pub(super) seal: Option<seal::Mac>,
}

/// Why nothing of a chain is believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoHead {
    /// The first line has no end.
    Torn,
    /// It isn't as it was written.
    Changed,
    /// A later version of the program wrote it.
    Newer(u32),
}

impl Chain {
    /// The digits of the last line that is believed, but for the recording's end.
    pub(super) fn last(&self) -> Sha {
        self.blocks.last().map_or(self.head_sha, |block| block.sha)
    }

    /// Samples of the first blocks.
    pub(super) fn samples(&self, blocks: usize) -> u64 {
        let last = blocks.checked_sub(1).and_then(|last| self.blocks.get(last));
        last.map_or(0, |block| block.line.at.saturating_add(block.line.samples))
    }

    /// Where the first blocks end in the audio file.
    pub(super) fn audio_bytes(&self, blocks: usize) -> u64 {
        let last = blocks.checked_sub(1).and_then(|last| self.blocks.get(last));
        last.map_or(header_bytes(&self.head), |block| {
            block.begins.saturating_add(block.line.bytes)
        })
    }

    /// Where the first blocks' lines end in the chain.
    pub(super) fn chain_bytes(&self, blocks: usize) -> u64 {
        let last = blocks.checked_sub(1).and_then(|last| self.blocks.get(last));
        last.map_or(self.head_ends, |block| block.line_ends)
    }

    /// How many marks of the first blocks say that something is missing.
    pub(super) fn gaps(&self, blocks: usize) -> u64 {
        let marks = self
            .blocks
            .iter()
            .take(blocks)
            .flat_map(|block| &block.line.marks);
        marks.filter(|mark| mark.what.is_gap()).count() as u64
    }

    /// Whether somebody has asked that nothing be recorded, after the first blocks.
    pub(super) fn is_paused(&self, blocks: usize) -> bool {
        let marks = self
            .blocks
            .iter()
            .take(blocks)
            .flat_map(|block| &block.line.marks);
        let mut turns = marks.filter_map(|mark| match mark.what {
            What::Paused => Some(true),
            What::Resumed => Some(false),
            What::Lost { .. }
            | What::Restarted { .. }
            | What::Abandoned { .. }
            | What::NotWritten { .. }
            | What::Stream { .. }
            | What::NotSynced { .. } => None,
        });
        turns.next_back().unwrap_or(false)
    }

    /// Reads what a chain's file holds.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, NoHead> {
        let (head, mut at) = match whole_line(bytes) {
            Some(first) => (read_head(first)?, first.len() + 1),
            None => return Err(NoHead::Torn),
        };
        let mut chain = Self {
            head_ends: at as u64,
            head_sha: head.1,
            head: head.0,
            // What isn't needed of it is never touched.
            blocks: Vec::with_capacity(bytes.len() / LINE_BYTES_USUAL),
            end: None,
            doubt: None,
        };
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let doubt = match whole_line(rest) {
                None => Some(Doubt::Torn),
                Some(_) if chain.end.is_some() => Some(Doubt::Beyond),
                Some(line) => {
                    at += line.len() + 1;
                    chain.take(line, at as u64)
                }
            };
            if let Some(doubt) = doubt {
                // A doubted line that is whole has been passed over already, but for those beyond the end.
                let after = bytes.get(at..).unwrap_or_default();
                let lines = after.iter().filter(|c| **c == b'\n').count();
                let doubt = match doubt {
                    Doubt::Missing if chain.comes_later(after) => Doubt::Moved,
                    Doubt::Torn | Doubt::Changed | Doubt::Missing | Doubt::Moved | Doubt::Beyond => doubt,
                };
                chain.doubt = Some((doubt, lines));
                break;
            }
        }
        Ok(chain)
    }

    /// Takes a line that ends there, if it is the next one.
    fn take(&mut self, raw: &[u8], ends: u64) -> Option<Doubt> {
        let before = self.last();
        let n = self.blocks.len() as u64 + 1;
        let Some((text, sha)) = taken_apart(raw).filter(|(text, sha)| link(Some(before), text) == *sha)
        else {
            return Some(match number(raw) {
                Some(other) if other != n => Doubt::Missing,
                Some(_) | None => Doubt::Changed,
            });
        };
        if text.starts_with(END) {
            self.end = read_end(text, before, sha);
            return self.end.is_none().then_some(Doubt::Changed);
        }
        let block = serde_json::from_str::<Line>(&format!("{text}}}")).ok();
        let block = block.and_then(|line| {
            let at = self.samples(self.blocks.len());
            let begins = self.audio_bytes(self.blocks.len());
            (line.n == n && line.at == at && is_possible(&self.head, &line)).then_some((line, begins))
        });
        let block = block.and_then(|(line, begins)| {
            let front = text.strip_suffix(block_text("", line.audio).as_str())?;
            let front = line.nonce.map_or_else(Box::default, |_| front.into());
            Some(Block {
                line,
                begins,
                line_ends: ends,
                before,
                sha,
                front,
            })
        });
        let is_line = block.is_some();
        self.blocks.extend(block);
        (!is_line).then_some(Doubt::Changed)
    }

    /// Whether the block that should come next is among these lines.
    fn comes_later(&self, lines: &[u8]) -> bool {
        let n = self.blocks.len() as u64 + 1;
        lines.split(|c| *c == b'\n').any(|line| number(line) == Some(n))
    }
}

/// Bytes of the audio file before its first block.
pub(super) fn header_bytes(head: &Head) -> u64 {
    match (head.audio, head.sealed) {
        (Audio::Wav, Cipher::None) => crate::rtp::wav::HEADER_BYTES as u64,
        (Audio::Wav, Cipher::Aes256Gcm | Cipher::Sm4Gcm) | (Audio::Rtpdump, _) => 0,
    }
}

/// Bytes of a frame: a sample of each channel.
pub(super) const FRAME_BYTES: u64 = 4;

/// Whether a block of that recording can have so many bytes for its samples.
fn is_possible(head: &Head, line: &Line) -> bool {
    let seal = match head.sealed {
        Cipher::None => 0,
        Cipher::Aes256Gcm | Cipher::Sm4Gcm => seal::TAG_BYTES as u64,
    };
    let Some(pcm) = line.samples.checked_mul(FRAME_BYTES) else {
        return false;
    };
    // Sums of them stay far from the end of 64 bits.
    let is_small = line.samples <= u64::from(u32::MAX) && line.at <= u64::from(u32::MAX);
    let fits = match (line.audio, head.audio, head.sealed) {
        (Content::Silence, Audio::Wav, Cipher::None) => line.bytes == pcm,
        (Content::Silence, _, _) => line.bytes == 0,
        (Content::Bytes(_), Audio::Wav, _) => line.bytes == pcm + seal,
        (Content::Bytes(_), Audio::Rtpdump, _) => line.bytes >= seal,
    };
    let is_short = match line.audio {
        Content::Silence => true,
        Content::Bytes(_) => line.bytes <= RECORDING_BLOCK_BYTES_MAX as u64 + seal,
    };
    let has_nonce = line.nonce.is_some() == (seal > 0 && line.audio != Content::Silence);
    is_small && fits && is_short && has_nonce
}

/// What stands before the first line feed; `None` if there is none.
pub(super) fn whole_line(bytes: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b'\n', bytes)?;
    bytes.get(..end)
}

/// Which block a line says that it is of; of the last line, the one after all blocks.
fn number(raw: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Numbered {
        n: Option<u64>,
        blocks: Option<u64>,
    }
    let line: Numbered = serde_json::from_slice(raw).ok()?;
    line.n.or_else(|| line.blocks?.checked_add(1))
}

/// The first line of a chain, without its line feed.
pub(super) fn read_head(raw: &[u8]) -> Result<(Head, Sha), NoHead> {
    #[derive(Deserialize)]
    struct Formed {
        form: u32,
    }
    if let Ok(formed) = serde_json::from_slice::<Formed>(raw)
        && formed.form > form()
        && taken_apart(raw).is_some_and(|(text, sha)| link(None, text) == sha)
    {
        return Err(NoHead::Newer(formed.form));
    }
    let (text, sha) = taken_apart(raw).ok_or(NoHead::Changed)?;
    if link(None, text) != sha {
        return Err(NoHead::Changed);
    }
    let head: Head = serde_json::from_str(&format!("{text}}}")).map_err(|_| NoHead::Changed)?;
    let is_sealed = head.sealed != Cipher::None;
    let is_possible = head.rate > 0 && [head.key.is_some(), head.key_print.is_some()] == [is_sealed; 2];
    is_possible.then_some((head, sha)).ok_or(NoHead::Changed)
}

fn read_end(text: &str, before: Sha, sha: Sha) -> Option<Ending> {
    let (front, seal) = match text.rsplit_once(seal::BEFORE_MAC) {
        Some((front, rest)) => (front, Some(seal::Mac::read(rest.strip_suffix('"')?)?)),
        None => (text, None),
    };
    Some(Ending {
        end: serde_json::from_str(&format!("{front}}}")).ok()?,
        before,
        sha,
        front: front.into(),
        seal,
    })
}

/// What the last line of a whole recording says, and its digits: read from the end of the chain's file, not checked.
pub(super) fn last_line(path: &Path) -> io::Result<Option<(End, Sha)>> {
    use std::os::unix::fs::FileExt as _;
    const TAIL: u64 = 1_024;
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let kept = TAIL.min(length);
    let mut tail = vec![0; kept as usize];
    file.read_exact_at(&mut tail, length - kept)?;
    let last = tail
        .strip_suffix(b"\n")
        .and_then(|tail| tail.rsplit(|c| *c == b'\n').next());
    let end = last
        .and_then(taken_apart)
        .and_then(|(text, sha)| read_end(text, sha, sha));
    Ok(end.map(|ending| (ending.end, ending.sha)))
}

/// The line with this text behind the line with those digits, and its own digits.
pub(super) fn next_line(before: Option<Sha>, text: &str) -> (String, Sha) {
    let sha = link(before, text);
    (line(text, sha), sha)
}
