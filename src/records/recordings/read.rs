//! Reading a recording, from any byte on: plain or sealed, whole or while it is being written.
//!
//! What is given is a WAV file with the right sizes in its header (or a dump), whatever lies on the disk. Of a recording that
//! isn't whole it is what its chain's lines cover at that moment. Each block is compared with the chain before anything of it
//! is given: one that isn't as it was written is an error that names it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::chain::{Audio, Cipher, Content, End, Head, Mark, Sha, form};
use super::lines::{Block, Chain, FRAME_BYTES, Found, NoHead, header_bytes};
use super::place::Phase;
use super::seal::{Keys, Seal};
use super::{Error, Place};
use crate::rtp::wav::{HEADER_BYTES, stereo_header};

/// Bytes that are looked at in one piece where there should be zeros.
pub(super) const PIECE_BYTES: usize = 64 << 10;

/// A recording, open to be read.
pub struct Reader {
    head: Head,
    end: Option<End>,
    /// Those of the last line that covers what is given.
    digits: Sha,
    audio: File,
    seal: Option<Seal>,
    blocks: Vec<Block>,
    /// Where each block ends in what is given.
    ends: Vec<u64>,
    header: Vec<u8>,
    /// The block that was read last, in clear.
    last: Option<(usize, Vec<u8>)>,
}

impl Reader {
    /// Opens a recording.
    ///
    /// # Errors
    /// There is none; it is damaged; it is sealed with a key that isn't here; a newer program wrote it.
    pub fn open(place: &Place, keys: &Keys) -> Result<Self, Error> {
        let (found, chain) = chain_at(place)?;
        let seal = match &chain.head.key {
            None => None,
            Some(name) => {
                let key = keys.of(&chain.head);
                let key = key.ok_or_else(|| Error::NoKey(found.chain.clone(), name.clone()))?;
                Some(key.seal(chain.head.recording))
            }
        };
        let (audio, length, _) = found.audio(&chain.head)?;
        let mut blocks = chain.blocks;
        if found.phase == Phase::Part {
            blocks.retain(|block| block.begins.saturating_add(block.line.bytes) <= length);
        }
        let samples = samples_of(&blocks);
        let digits = match (&chain.end, blocks.last()) {
            (Some(ending), _) => ending.sha,
            (None, Some(block)) => block.sha,
            (None, None) => chain.head_sha,
        };
        let header = match chain.head.audio {
            Audio::Wav => stereo_header(chain.head.rate, u32::try_from(samples).unwrap_or(u32::MAX)).to_vec(),
            Audio::Rtpdump => Vec::new(),
        };
        let mut at = header.len() as u64;
        let ends = blocks.iter().map(|block| {
            at += clear_bytes(&chain.head, block);
            at
        });
        Ok(Self {
            ends: ends.collect(),
            head: chain.head,
            end: chain.end.map(|ending| ending.end),
            digits,
            audio,
            seal,
            blocks,
            header,
            last: None,
        })
    }

    /// What the recording is.
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// What its last line says; `None` while it is being written.
    pub const fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Bytes that there are, with the header.
    pub fn bytes(&self) -> u64 {
        self.ends.last().copied().unwrap_or(self.header.len() as u64)
    }

    /// The digits of the last line that covers what is given: as long as they are the same, so is that.
    pub const fn digits(&self) -> Sha {
        self.digits
    }

    /// Samples of each channel.
    pub fn samples(&self) -> u64 {
        samples_of(&self.blocks)
    }

    /// What happened in it.
    pub fn marks(&self) -> impl Iterator<Item = &Mark> {
        self.blocks.iter().flat_map(|block| &block.line.marks)
    }

    /// Reads from this byte on, and returns how many bytes there were: fewer than asked for only at the end.
    ///
    /// # Errors
    /// The disk; or a block isn't as it was written ([`io::ErrorKind::InvalidData`]).
    pub fn read_at(&mut self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let here = at.saturating_add(done as u64);
            let given = match usize::try_from(here)
                .ok()
                .and_then(|here| self.header.get(here..))
            {
                Some(header) if !header.is_empty() => give(header, rest),
                Some(_) | None => {
                    let index = self.ends.partition_point(|end| *end <= here);
                    let Some(end) = self.ends.get(index).copied() else {
                        break;
                    };
                    self.read_block(index, end - here, rest)?
                }
            };
            done += given;
        }
        Ok(done)
    }

    /// Gives the last `left` bytes of a block, as far as there is room.
    fn read_block(&mut self, index: usize, left: u64, out: &mut [u8]) -> io::Result<usize> {
        let Some(block) = self.blocks.get(index) else {
            return Ok(0);
        };
        match block.line.audio {
            Content::Silence => {
                let room = out.len();
                let zeros = usize::try_from(left).unwrap_or(room).min(room);
                out.iter_mut().take(zeros).for_each(|byte| *byte = 0);
                Ok(zeros)
            }
            Content::Bytes(_) => {
                let last = self.last.take().filter(|(of, _)| *of == index);
                let bytes = match last {
                    Some((_, bytes)) => bytes,
                    None => {
                        in_clear(&self.audio, block, self.seal.as_ref())?.ok_or_else(|| changed(block))?
                    }
                };
                let from = bytes.len().saturating_sub(usize::try_from(left).unwrap_or(0));
                let given = give(bytes.get(from..).unwrap_or_default(), out);
                self.last = Some((index, bytes));
                Ok(given)
            }
        }
    }
}

/// What the chain of a whole recording says of it; neither its audio nor its key is needed for that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// What it is.
    pub head: Head,
    /// What its last line says.
    pub end: End,
    /// The digits of that.
    pub sha256: Sha,
    /// Bytes that there are to be read, with the header.
    pub bytes: u64,
    /// What happened in it, so many of it as were asked for.
    pub marks: Vec<Mark>,
    /// How much more happened.
    pub more_marks: usize,
}

/// Reads what the chain of a recording says; `None` if it isn't whole.
///
/// # Errors
/// As [`Reader::open`], but for the key.
pub fn summary(place: &Place, marks_max: usize) -> Result<Option<Summary>, Error> {
    let (_, chain) = chain_at(place)?;
    let Some(ending) = chain.end else {
        return Ok(None);
    };
    let clear: u64 = chain
        .blocks
        .iter()
        .map(|block| clear_bytes(&chain.head, block))
        .sum();
    let header = match chain.head.audio {
        Audio::Wav => HEADER_BYTES as u64,
        Audio::Rtpdump => 0,
    };
    let marks = || chain.blocks.iter().flat_map(|block| &block.line.marks);
    Ok(Some(Summary {
        end: ending.end,
        sha256: ending.sha,
        bytes: header + clear,
        marks: marks().take(marks_max).copied().collect(),
        more_marks: marks().count().saturating_sub(marks_max),
        head: chain.head,
    }))
}

/// A recording's chain, open to be read as it lies there, and how many bytes it has.
///
/// # Errors
/// There is none, or the disk can't be read.
pub fn open_chain(place: &Place) -> Result<(File, u64), Error> {
    // It may get its last name meanwhile: that is looked at second.
    for phase in [Phase::Part, Phase::Whole] {
        let path = place.chain(phase);
        match File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file))) {
            Ok((bytes, file)) => return Ok((file, bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::of(&path, error)),
        }
    }
    Err(Error::Absent(place.chain(Phase::Whole)))
}

/// The chain of a recording, as far as its lines are believed.
fn chain_at(place: &Place) -> Result<(Found, Chain), Error> {
    let found = Found::at(place)?;
    let damaged = |what: &str| Error::Damaged(found.chain.clone(), what.to_owned());
    let chain = match Chain::read(&found.bytes) {
        Ok(chain) => chain,
        Err(NoHead::Torn) if found.phase == Phase::Part => return Err(Error::Absent(found.chain)),
        Err(NoHead::Newer(newer)) => return Err(Error::Newer(found.chain, newer, form())),
        Err(NoHead::Torn | NoHead::Changed) => {
            return Err(damaged("its first line isn't as it was written"));
        }
    };
    if found.phase == Phase::Whole && (chain.doubt.is_some() || chain.end.is_none()) {
        return Err(damaged("a line of its chain isn't as it was written"));
    }
    Ok((found, chain))
}

fn samples_of(blocks: &[Block]) -> u64 {
    blocks
        .last()
        .map_or(0, |block| block.line.at + block.line.samples)
}

fn changed(block: &Block) -> io::Error {
    let n = block.line.n;
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("block {n} of the recording isn't as it was written: `umbra recording verify` says more"),
    )
}

/// Copies as much as there is room for.
fn give(from: &[u8], to: &mut [u8]) -> usize {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    from.len().min(to.len())
}

/// Bytes of a block in clear: of silence as many as it stands for.
fn clear_bytes(head: &Head, block: &Block) -> u64 {
    match (head.audio, head.sealed) {
        (Audio::Wav, _) => block.line.samples * FRAME_BYTES,
        (Audio::Rtpdump, Cipher::None) => block.line.bytes,
        (Audio::Rtpdump, Cipher::Aes256Gcm | Cipher::Sm4Gcm) => {
            block.line.bytes.saturating_sub(super::seal::TAG_BYTES as u64)
        }
    }
}

/// A block's bytes as they lie in the file; `None` if they aren't as they were written. Of silence none are given, but they
/// are looked at.
pub(super) fn load(audio: &File, block: &Block) -> io::Result<Option<Vec<u8>>> {
    match block.line.audio {
        Content::Bytes(sha) => {
            // A believed line never says more than a block may have.
            let mut bytes = vec![0; usize::try_from(block.line.bytes).map_err(io::Error::other)?];
            audio.read_exact_at(&mut bytes, block.begins)?;
            Ok((Sha::of(&[&bytes]) == sha).then_some(bytes))
        }
        Content::Silence => {
            let (mut at, end) = (block.begins, block.begins.saturating_add(block.line.bytes));
            let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(end - at).unwrap_or(PIECE_BYTES))];
            while at < end {
                let length = piece.len().min(usize::try_from(end - at).unwrap_or(PIECE_BYTES));
                piece.truncate(length);
                audio.read_exact_at(&mut piece, at)?;
                if piece.iter().any(|byte| *byte != 0) {
                    return Ok(None);
                }
                at += length as u64;
            }
            Ok(Some(Vec::new()))
        }
    }
}

/// A block's bytes in clear; `None` if they aren't as they were written.
fn in_clear(audio: &File, block: &Block, seal: Option<&Seal>) -> io::Result<Option<Vec<u8>>> {
    let Some(mut bytes) = load(audio, block)? else {
        return Ok(None);
    };
    Ok(is_sealed(block, &mut bytes, seal).then_some(bytes))
}

/// Whether a block's bytes are what was sealed; then they are in clear. Without a seal they are taken as they are.
pub(super) fn is_sealed(block: &Block, bytes: &mut Vec<u8>, seal: Option<&Seal>) -> bool {
    match (seal, block.line.nonce) {
        (Some(seal), Some(nonce)) => seal.open(nonce, block.before, &block.front, bytes).is_some(),
        (None, _) | (Some(_), None) => true,
    }
}

/// Whether a plain WAV file begins with the header of so many samples.
pub(super) fn has_header(audio: &File, head: &Head, samples: u32) -> io::Result<bool> {
    if header_bytes(head) == 0 {
        return Ok(true);
    }
    let mut header = [0; HEADER_BYTES];
    audio.read_exact_at(&mut header, 0)?;
    Ok(header == stereo_header(head.rate, samples))
}
