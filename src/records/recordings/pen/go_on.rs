//! Going on with a recording that a process left in the middle, or ending it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use super::{At, Begin, Bytes, Finished, Mark, Pen, SAMPLES_MAX, Torn, UNKNOWN, What, write_header};
use crate::base::limits::RECORDING_BLOCKS_A_SECOND;
use crate::base::time::Wall;
use crate::records::recordings::chain::{Audio, Cipher, Head, Sha, form};
use crate::records::recordings::lines::{Block, Chain, Doubt, Found, Locked, NoHead, header_bytes};
use crate::records::recordings::place::{Phase, is_part};
use crate::records::recordings::read::{PIECE_BYTES, load};
use crate::records::recordings::seal::{Keys, Seal};
use crate::records::recordings::{Error, Place, disk};
use crate::rtp::wav::HEADER_BYTES;

/// How much at the end a loss of power may have taken, though its lines are there: its blocks are read once more, and may be
/// cut off. With a sync each second that is two or three seconds.
const DOUBTED: Duration = Duration::from_secs(16);
/// And so many blocks in any case, however short they are: silence may be long.
const DOUBTED_BLOCKS: usize = 16;
/// Lines at the end that a loss of power may have left in pieces: so many say what was heard in that time.
const DOUBTED_LINES: usize = DOUBTED.as_secs() as usize * RECORDING_BLOCKS_A_SECOND + 1;

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
        /// Whether nothing is in its audio file: a dump needs its head then.
        is_empty: bool,
    },
    /// It was at its end already.
    Ended(Finished),
}

/// The files of a recording that isn't whole, with the torn end cut off.
pub(super) struct Left {
    pub(super) pen: Pen,
    cut_blocks: u64,
    paused: bool,
}

pub(super) enum Opened {
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
        let mut left = match open(&place, keys, None)? {
            Opened::Ended(finished) => return Ok(GoneOn::Ended(finished)),
            Opened::Left(left) => *left,
            Opened::Nothing => Left {
                pen: Self::begin(dir, begin)?,
                cut_blocks: 0,
                paused: false,
            },
        };
        let pen = &mut left.pen;
        let is_empty = pen.at.audio_bytes == header_bytes(&pen.head);
        let (at, rate) = (pen.at.samples, u64::from(pen.head.rate));
        // By the clock as it was set when it was written last.
        let since = now.as_millis().saturating_sub(pen.head.began.as_millis());
        let millis = u64::try_from(since.saturating_sub(pen.clock_ms)).unwrap_or(0);
        let from = (millis.saturating_mul(rate) / 1_000).max(at);
        if from > SAMPLES_MAX {
            return Err(Error::TooLong(pen.path()));
        }
        pen.set_clock(now.minus(Duration::from_millis(from * 1_000 / rate)));
        let what = What::Restarted {
            silent_ms: (from - at) * 1_000 / rate,
            cut_blocks: left.cut_blocks,
            clock_ms: pen.clock_ms,
        };
        pen.add_marks(&[Mark { at, what }]);
        // On a full disk the mark waits, and the silence comes with the first block that is written.
        let _ = pen.append(from - at, Bytes::Silence, None);
        Ok(GoneOn::Goes {
            pen: Box::new(left.pen),
            from,
            paused: left.paused,
            is_empty,
        })
    }

    /// Ends a recording that a killed server left, and that nobody goes on with: at its last whole block, with a mark.
    /// `None` if there was nothing in it: then its files are gone. `expected` are the digits that the audit log has of its
    /// end, if it has them: then it was whole once, and nothing may be missing now.
    ///
    /// # Errors
    /// As [`Pen::go_on`].
    pub fn end_left(place: &Place, keys: &Keys, expected: Option<Sha>) -> Result<Option<Finished>, Error> {
        let mut left = match open(place, keys, expected)? {
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

/// Opens what a process left, and cuts the torn end off. With `expected` digits of its last line nothing is cut.
pub(super) fn open(place: &Place, keys: &Keys, expected: Option<Sha>) -> Result<Opened, Error> {
    let Some((found, file)) = taken(place)? else {
        return match expected {
            None => clear(place, Clear::Empty),
            Some(_) => Err(Error::Absent(place.chain(Phase::Whole))),
        };
    };
    let damaged = |what: &str| Error::Damaged(found.chain.clone(), what.to_owned());
    let chain = match Chain::read(&found.bytes) {
        Ok(chain) => chain,
        // It was killed as it made its files.
        Err(NoHead::Torn) if found.phase == Phase::Part && expected.is_none() => {
            return clear(place, Clear::Empty);
        }
        Err(NoHead::Newer(newer)) => return Err(Error::Newer(found.chain, newer, form())),
        Err(NoHead::Torn | NoHead::Changed) => {
            return Err(damaged("its first line isn't as it was written"));
        }
    };
    if chain.head.recording != place.recording {
        return Err(damaged("it is another recording's"));
    }
    if expected.is_some_and(|expected| chain.end.as_ref().map(|end| end.sha) != Some(expected)) {
        return Err(damaged("it was whole, says the audit log, with another end"));
    }
    let seal = seal_of(&found, &chain.head, keys)?;
    let files = (file, audio(&found, &chain.head)?);
    let io = |error| Error::of(&found.chain, error);
    if let Some(ending) = &chain.end {
        // All that it needs are its names. What was written before a kill may not be on the medium yet.
        let mut pen = pen_at(&found, &chain, chain.blocks.len(), seal, files);
        let finished = pen.finished.insert(pen.finished_with(ending.sha)).clone();
        let synced = disk::sync(&pen.audio).and_then(|()| disk::sync(&pen.chain));
        synced.and_then(|()| pen.name()).map_err(io)?;
        return Ok(Opened::Ended(finished));
    }
    if found.phase == Phase::Whole {
        return Err(damaged("its last line isn't there"));
    }
    let left = without_torn_end(&found, &chain, seal, files)?;
    Ok(Opened::Left(Box::new(left)))
}

/// The files without what a kill, or a loss of power, has left behind their last whole block.
fn without_torn_end(
    found: &Found,
    chain: &Chain,
    seal: Option<Seal>,
    files: (Locked, File),
) -> Result<Left, Error> {
    let damaged = |what: &str| Error::Damaged(found.chain.clone(), what.to_owned());
    let io = |error| Error::of(&found.chain, error);
    let first_doubted = first_doubted(found, chain);
    let doubted_lines = chain.doubt.map_or(0, |(doubt, after)| match doubt {
        Doubt::Torn => 0,
        Doubt::Changed | Doubt::Missing | Doubt::Moved | Doubt::Beyond => after + 1,
    });
    if doubted_lines > DOUBTED_LINES && !is_unsynced(found, chain) {
        return Err(damaged("a line in its middle isn't as it was written"));
    }
    let kept = sound(chain, &files.1, first_doubted).map_err(io)?;
    if kept < first_doubted {
        return Err(damaged(
            "more of its audio is missing than a loss of power can take",
        ));
    }
    let cut_blocks = chain.blocks.len() - kept + doubted_lines;
    let paused = chain.is_paused(kept);
    let mut pen = pen_at(found, chain, kept, seal, files);
    let path = found.place.cut();
    if cut_blocks > 0 {
        keep_cut(&path, &pen).map_err(|error| Error::of(&path, error))?;
    }
    pen.mend()
        .and_then(|()| write_header(&pen.audio, &pen.head, UNKNOWN))
        .map_err(io)?;
    Ok(Left {
        pen,
        cut_blocks: cut_blocks as u64,
        paused,
    })
}

/// What is removed of a recording whose chain isn't there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Clear {
    /// What nobody has said anything in; audio gets another name.
    Empty,
    All,
}

/// Removes what is left of a recording whose chain isn't there.
pub(super) fn clear(place: &Place, what: Clear) -> Result<Opened, Error> {
    let remove = |path: &Path| match disk::remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::of(path, error)),
        Ok(()) | Err(_) => Ok(()),
    };
    if what == Clear::All {
        place.leavings().try_for_each(|path| remove(&path))?;
    }
    let plain = place.audio(Audio::Wav, Cipher::None, Phase::Part);
    for path in place.audios().filter(|path| is_part(path)) {
        let header = match path == plain {
            true => HEADER_BYTES as u64,
            false => 0,
        };
        // What is behind the header somebody has said.
        let is_audio = fs::metadata(&path).is_ok_and(|file| file.len() > header);
        if what == Clear::All || !is_audio {
            remove(&path)?;
            continue;
        }
        let damaged = Place::damaged_of(&path);
        if damaged.exists() {
            return Err(Error::Taken(damaged));
        }
        fs::rename(&path, &damaged).map_err(|error| Error::of(&path, error))?;
        tracing::warn!(
            "the recording {} has no chain that tells of it: it is kept as {}, and begins anew",
            path.display(),
            damaged.display()
        );
    }
    remove(&place.chain(Phase::Part))?;
    Ok(Opened::Nothing)
}

fn seal_of(found: &Found, head: &Head, keys: &Keys) -> Result<Option<Seal>, Error> {
    let Some(name) = &head.key else {
        return match head.sealed {
            Cipher::None => Ok(None),
            Cipher::Aes256Gcm | Cipher::Sm4Gcm => Err(Error::NoKey(found.chain.clone(), "".into())),
        };
    };
    let key = keys.of(head);
    let key = key.ok_or_else(|| Error::NoKey(found.chain.clone(), name.clone()))?;
    Ok(Some(key.seal(head.recording)))
}

/// The recording's chain, locked, and what it holds; `None` if there is none.
fn taken(place: &Place) -> Result<Option<(Found, Locked)>, Error> {
    let found = match Found::at(place) {
        Ok(found) => found,
        Err(Error::Absent(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let chain = Locked::take(to_write(&found.chain)?, &found.chain)?;
    // Until it was locked somebody may have written it.
    Ok(Some((Found::at(place)?, chain)))
}

fn audio(found: &Found, head: &Head) -> Result<File, Error> {
    let (_, _, phase) = found.audio(head)?;
    to_write(&found.place.audio(head.audio, head.sealed, phase))
}

fn to_write(path: &Path) -> Result<File, Error> {
    let file = File::options().read(true).write(true).open(path);
    file.map_err(|error| Error::of(path, error))
}

fn pen_at(found: &Found, chain: &Chain, blocks: usize, seal: Option<Seal>, files: (Locked, File)) -> Pen {
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
    // It was there a moment before its process died.
    pen.synced.known = (at.blocks, at.samples);
    pen.clock_ms = last.map_or(0, |block| block.line.clock_ms);
    pen
}

/// How many blocks come before the last few.
fn before_last(chain: &Chain) -> usize {
    let all = chain.blocks.len();
    let doubted = DOUBTED.as_secs() * u64::from(chain.head.rate);
    let sure = chain.samples(all).saturating_sub(doubted);
    let before = chain
        .blocks
        .partition_point(|block| block.line.at + block.line.samples <= sure);
    before.min(all.saturating_sub(DOUBTED_BLOCKS))
}

/// How many blocks come before those that a loss of power may have taken: the last few, and as far back as marks among them
/// say that the medium refused them.
fn first_doubted(found: &Found, chain: &Chain) -> usize {
    let mut first = before_last(chain);
    for mark in marks_beyond(found, chain) {
        first = first.min(before_unsynced(&mark).unwrap_or(first));
    }
    for (index, block) in chain.blocks.iter().enumerate().rev() {
        if index < first {
            break;
        }
        let unsynced = block.line.marks.iter().filter_map(before_unsynced);
        first = unsynced.fold(first, usize::min);
    }
    first
}

/// Whether a mark at the end of what is believed, or behind it, says that the medium refused what came then.
fn is_unsynced(found: &Found, chain: &Chain) -> bool {
    let last = chain.blocks.iter().skip(before_last(chain));
    let mut marks = last.flat_map(|block| block.line.marks.iter().copied());
    marks.any(|mark| before_unsynced(&mark).is_some())
        || marks_beyond(found, chain)
            .iter()
            .filter_map(before_unsynced)
            .any(|before| before <= chain.blocks.len())
}

/// How many blocks come before those of which a mark says that the medium refused them.
fn before_unsynced(mark: &Mark) -> Option<usize> {
    match mark.what {
        What::NotSynced { from_block } => usize::try_from(from_block.saturating_sub(1)).ok(),
        What::Paused
        | What::Resumed
        | What::Lost { .. }
        | What::Restarted { .. }
        | What::Abandoned { .. }
        | What::Stream { .. }
        | What::NotWritten { .. } => None,
    }
}

/// The marks of the lines behind those that are believed.
fn marks_beyond(found: &Found, chain: &Chain) -> Vec<Mark> {
    let from = usize::try_from(chain.chain_bytes(chain.blocks.len())).unwrap_or(usize::MAX);
    let lines = found.bytes.get(from..).unwrap_or_default().split(|c| *c == b'\n');
    #[derive(serde::Deserialize)]
    struct Marked {
        marks: Vec<Mark>,
    }
    lines
        .filter_map(|line| serde_json::from_slice::<Marked>(line).ok())
        .flat_map(|line| line.marks)
        .collect()
}

/// How many of the first blocks have their audio; those before the first doubted one aren't looked at.
fn sound(chain: &Chain, audio: &File, first_doubted: usize) -> io::Result<usize> {
    let length = audio.metadata()?.len();
    let all = chain.blocks.len();
    let there = (0..=all)
        .rev()
        .find(|blocks| *blocks == 0 || chain.audio_bytes(*blocks) <= length)
        .unwrap_or(0);
    let doubted = chain.blocks.iter().enumerate().take(there).skip(first_doubted);
    for (index, block) in doubted {
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

/// Keeps what is cut off both files: a line that says how many bytes it is of each and where they began, and these bytes.
fn keep_cut(path: &Path, pen: &Pen) -> io::Result<()> {
    let cut = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    let begins = cut.metadata()?.len();
    let tail = |file: &File, from: u64| Ok::<_, io::Error>(file.metadata()?.len().saturating_sub(from));
    let (chain_at, audio_at) = (pen.at.chain_bytes, pen.at.audio_bytes);
    let (chain_bytes, audio_bytes) = (tail(&pen.chain, chain_at)?, tail(&pen.audio, audio_at)?);
    let head = format!(
        "{{\"chain_at\":{chain_at},\"chain_bytes\":{chain_bytes},\"audio_at\":{audio_at},\"audio_bytes\":{audio_bytes}}}\n"
    );
    let outcome = disk::write_at(&cut, head.as_bytes(), begins)
        .and_then(|()| {
            copy(
                &pen.chain,
                chain_at,
                chain_bytes,
                &cut,
                begins + head.len() as u64,
            )
        })
        .and_then(|at| copy(&pen.audio, audio_at, audio_bytes, &cut, at))
        .and_then(|_| disk::sync(&cut));
    if outcome.is_err() {
        // Tried again, it would stand there twice.
        let _ = cut.set_len(begins);
    }
    outcome
}

/// Copies so many bytes, and returns where they end; holes stay holes.
fn copy(from: &File, at: u64, bytes: u64, to: &File, to_at: u64) -> io::Result<u64> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut done = 0;
    while done < bytes {
        let length = usize::try_from(bytes - done)
            .unwrap_or(PIECE_BYTES)
            .min(PIECE_BYTES);
        piece.truncate(length);
        from.read_exact_at(&mut piece, at + done)?;
        if piece.iter().any(|byte| *byte != 0) {
            disk::write_at(to, &piece, to_at + done)?;
        }
        done += length as u64;
    }
    to.set_len(to_at + bytes)?;
    Ok(to_at + bytes)
}
