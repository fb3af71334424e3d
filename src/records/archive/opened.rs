//! A recording that is being read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::call_of;
use crate::base::id::Id;
use crate::records::audit::Act;
use crate::records::recordings::Error;
use crate::records::recordings::chain::{Audio, Sha};
use crate::records::recordings::index::Entry;
use crate::records::recordings::read::{Reader, open_chain};
use crate::records::recordings::seal::Keys;

/// What is read of a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Its audio, in clear.
    Audio,
    /// Its chain, as it lies there.
    Chain,
}

impl Part {
    pub(super) const fn act(self) -> Act {
        match self {
            Self::Audio => Act::Read,
            Self::Chain => Act::Chain,
        }
    }
}

/// What is in the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A WAV file.
    Wav,
    /// A dump of RTP packets.
    Rtpdump,
    /// A chain: one JSON object a line.
    Chain,
}

/// A recording's bytes as they are at this moment; of what is written meanwhile nothing is given.
pub struct Opened {
    /// Which it is.
    pub recording: Id,
    /// What is read of it.
    pub part: Part,
    /// What the bytes are.
    pub kind: Kind,
    /// How many there are.
    pub bytes: u64,
    /// Digits that are others wherever the bytes are.
    pub digits: Option<Sha>,
    pub(super) call: Option<Id>,
    source: Source,
}

enum Source {
    Audio(Box<Reader>),
    Chain(File),
}

impl Opened {
    pub(super) fn of(entry: &Entry, part: Part, keys: &Keys) -> Result<Self, Error> {
        let (kind, bytes, digits, source) = match part {
            Part::Audio => {
                let reader = Reader::open(&entry.place(), keys)?;
                let kind = match reader.head().audio {
                    Audio::Wav => Kind::Wav,
                    Audio::Rtpdump => Kind::Rtpdump,
                };
                let digits = Some(reader.digits());
                (kind, reader.bytes(), digits, Source::Audio(Box::new(reader)))
            }
            Part::Chain => {
                let (file, bytes) = open_chain(&entry.place())?;
                (Kind::Chain, bytes, None, Source::Chain(file))
            }
        };
        Ok(Self {
            recording: entry.recording,
            part,
            kind,
            bytes,
            digits,
            call: call_of(entry),
            source,
        })
    }

    /// Reads from this byte on, and returns how many bytes there were.
    ///
    /// # Errors
    /// The disk; or a part of the audio isn't as it was written.
    pub fn read_at(&mut self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        match &mut self.source {
            Source::Audio(reader) => reader.read_at(at, out),
            Source::Chain(file) => file.read_at(out, at),
        }
    }
}
