//! Going on with a recording that a process left in the middle, or ending it.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use super::{At, Begin, Bytes, Finished, Mark, Pen, SAMPLES_MAX, Torn, UNKNOWN, What, write_header};
use crate::base::time::Wall;
use crate::records::recordings::chain::{Cipher, Head, form};
use crate::records::recordings::lines::{Block, Chain, Found, NoHead};
use crate::records::recordings::place::Phase;
use crate::records::recordings::read::load;
use crate::records::recordings::seal::{Keys, Seal};
use crate::records::recordings::{Error, Place};

/// Blocks at the end that a loss of power may have taken, though their lines are there: they are read once more, and may be
/// cut off. With a sync each second there are two or three.
const DOUBTED_BLOCKS: usize = 16;

/// What there is to go on with.
pub enum GoneOn {
    /// The recording goes on.
    Goes {
        /// To write it with.
        pen: Box<Pen>,
        /// The sample at which listening begins again.
        from: u64,
        /// Whether it was paused before.
        paused: bool,
    },
    /// It was at its end already.
    Ended(Finished),
}

/// The files of a recording that isn't whole, with the torn end cut off.
struct Left {
    pen: Pen,
    cut_blocks: u64,
    paused: bool,
}

enum Opened {
    Left(Box<Left>),
    Ended(Finished),
    /// Not even the first line is there.
    Nothing,
}

impl Pen {
    /// Goes on with a recording whose server was killed: what is torn of it is cut off, and up to `now` there is silence with
    /// a mark. One of which nothing is left begins anew.
    ///
    /// # Errors
    /// It is damaged otherwise than a kill or a loss of power does; it was sealed with a key that isn't here; a newer program
    /// wrote it; the disk refuses.
    pub fn go_on(dir: &Path, begin: &Begin, keys: &Keys, now: Wall) -> Result<GoneOn, Error> {
        let place = Place::of(dir, begin.recording, begin.began);
        let mut left = match open(&place, keys)? {
            Opened::Ended(finished) => return Ok(GoneOn::Ended(finished)),
            Opened::Left(left) => *left,
            Opened::Nothing => Left {
                pen: Self::begin(dir, begin)?,
                cut_blocks: 0,
                paused: false,
            },
        };
        let pen = &mut left.pen;
        let (at, rate) = (pen.at.samples, u64::from(pen.head.rate));
        let millis = u64::try_from(now.since(pen.head.began).as_millis()).unwrap_or(u64::MAX);
        let from = (millis.saturating_mul(rate) / 1_000).max(at);
        if from > SAMPLES_MAX {
            return Err(Error::TooLong(pen.path()));
        }
        let what = What::Restarted {
            silent_ms: (from - at) * 1_000 / rate,
            cut_blocks: left.cut_blocks,
        };
        pen.add_marks(&[Mark { at, what }]);
        // On a full disk the mark waits, and the silence comes with the first block that is written.
        let _ = pen.append(from - at, Bytes::Silence, None);
        Ok(GoneOn::Goes {
            pen: Box::new(left.pen),
            from,
            paused: left.paused,
        })
    }

    /// Nothing of it is kept: its files go.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn discard(self) -> Result<(), Error> {
        clear(&self.place).map(drop)
    }

    /// Ends a recording that a killed server left, and that nobody goes on with: at its last whole block, with a mark.
    /// `None` if there was nothing in it: then its files are gone.
    ///
    /// # Errors
    /// As [`Pen::go_on`].
    pub fn end_left(place: &Place, keys: &Keys) -> Result<Option<Finished>, Error> {
        let mut left = match open(place, keys)? {
            Opened::Ended(finished) => return Ok(Some(finished)),
            Opened::Left(left) => *left,
            Opened::Nothing => return Ok(None),
        };
        let pen = &mut left.pen;
        let at = pen.at.samples;
        let what = What::Abandoned {
            cut_blocks: left.cut_blocks,
        };
        pen.add_marks(&[Mark { at, what }]);
        let length = Duration::from_millis(at * 1_000 / u64::from(pen.head.rate));
        pen.end(at, pen.head.began.plus(length)).map(Some)
    }
}

/// Opens what a process left, and cuts the torn end off.
fn open(place: &Place, keys: &Keys) -> Result<Opened, Error> {
    let found = match Found::at(place) {
        Ok(found) => found,
        Err(Error::Absent(_)) => return clear(place),
        Err(error) => return Err(error),
    };
    let damaged = |what: &str| Error::Damaged(found.chain.clone(), what.to_owned());
    let chain = match Chain::read(&found.bytes) {
        Ok(chain) => chain,
        // It was killed as it made its files.
        Err(NoHead::Torn) if found.phase == Phase::Part => return clear(place),
        Err(NoHead::Newer(newer)) => return Err(Error::Newer(found.chain, newer, form())),
        Err(NoHead::Torn | NoHead::Changed) => {
            return Err(damaged("its first line isn't as it was written"));
        }
    };
    if chain.head.recording != place.recording {
        return Err(damaged("it is another recording's"));
    }
    let seal = seal_of(&found, &chain.head, keys)?;
    let files = writable(&found, &chain.head)?;
    let io = |error| Error::of(&found.chain, error);
    if let Some(ending) = &chain.end {
        // All that it needs are its names.
        let mut pen = pen_at(&found, &chain, chain.blocks.len(), seal, files);
        let finished = pen.finished.insert(pen.finished_with(ending.sha)).clone();
        pen.name().map_err(io)?;
        return Ok(Opened::Ended(finished));
    }
    if found.phase == Phase::Whole {
        return Err(damaged("its last line isn't there"));
    }
    if chain.doubt.is_some_and(|(_, after)| after > DOUBTED_BLOCKS) {
        return Err(damaged("a line in its middle isn't as it was written"));
    }
    let kept = sound(&chain, &files[1]).map_err(io)?;
    let cut_blocks = chain.blocks.len() - kept;
    if cut_blocks > DOUBTED_BLOCKS {
        return Err(damaged(
            "more of its audio is missing than a loss of power can take",
        ));
    }
    let paused = chain.is_paused(kept);
    let mut pen = pen_at(&found, &chain, kept, seal, files);
    pen.mend()
        .and_then(|()| write_header(&pen.audio, &pen.head, UNKNOWN))
        .map_err(io)?;
    Ok(Opened::Left(Box::new(Left {
        pen,
        cut_blocks: cut_blocks as u64,
        paused,
    })))
}

/// Removes what is left of a recording whose chain isn't there.
fn clear(place: &Place) -> Result<Opened, Error> {
    let chain = place.chain(Phase::Part);
    let parts = place
        .audios()
        .filter(|path| path.extension().is_some_and(|end| end == "part"));
    for path in parts.chain([chain]) {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Error::of(&path, error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(Opened::Nothing)
}

fn seal_of(found: &Found, head: &Head, keys: &Keys) -> Result<Option<Seal>, Error> {
    let Some(name) = &head.key else {
        return match head.sealed {
            Cipher::None => Ok(None),
            Cipher::Aes256Gcm | Cipher::Sm4Gcm => Err(Error::NoKey(found.chain.clone(), "".into())),
        };
    };
    let key = keys.of(name, head.sealed);
    let key = key.ok_or_else(|| Error::NoKey(found.chain.clone(), name.clone()))?;
    Ok(Some(key.seal(head.recording)))
}

/// The chain and the audio file, to be written to.
fn writable(found: &Found, head: &Head) -> Result<[File; 2], Error> {
    let (_, _, phase) = found.audio(head)?;
    let audio = found.place.audio(head.audio, head.sealed, phase);
    let open = |path: &Path| {
        let file = File::options().read(true).write(true).open(path);
        file.map_err(|error| Error::of(path, error))
    };
    Ok([open(&found.chain)?, open(&audio)?])
}

fn pen_at(found: &Found, chain: &Chain, blocks: usize, seal: Option<Seal>, files: [File; 2]) -> Pen {
    let last: Option<&Block> = blocks.checked_sub(1).and_then(|last| chain.blocks.get(last));
    let at = At {
        audio_bytes: chain.audio_bytes(blocks),
        chain_bytes: chain.chain_bytes(blocks),
        blocks: blocks as u64,
        samples: chain.samples(blocks),
        gaps: chain.gaps(blocks),
        sha: last.map_or(chain.head_sha, |block| block.sha),
    };
    let mut pen = Pen::at(found.place.clone(), chain.head.clone(), seal, files, at);
    pen.torn = Torn::Perhaps;
    pen
}

/// How many of the first blocks have their audio, as far as a loss of power may have taken it.
fn sound(chain: &Chain, audio: &File) -> io::Result<usize> {
    let length = audio.metadata()?.len();
    let all = chain.blocks.len();
    let there = (0..=all)
        .rev()
        .find(|blocks| *blocks == 0 || chain.audio_bytes(*blocks) <= length)
        .unwrap_or(0);
    let doubted = there.saturating_sub(DOUBTED_BLOCKS)..there;
    for (index, block) in chain
        .blocks
        .iter()
        .enumerate()
        .take(doubted.end)
        .skip(doubted.start)
    {
        let is_sound = match load(audio, block) {
            Ok(bytes) => bytes.is_some(),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
            Err(error) => return Err(error),
        };
        if !is_sound {
            return Ok(index);
        }
    }
    Ok(there)
}
