//! The write-ahead log: where a write becomes durable, before anybody sees it.
//!
//! Segments `wal-<first sequence number>.log`, 20 digits in four groups. A segment is a header and frames; a frame is one *group* of
//! records that became durable by one fdatasync, under one checksum, so that a crash leaves all of a group or
//! nothing of it:
//!
//! ```text
//! header  "UMBRAWAL" · version u32 · crc u32 · first u64                        (little-endian)
//! frame   bytes of body u32 · crc u32 · first u64 · count u32 · body = count × (bytes u32 · payload)
//! ```
//!
//! Sequence numbers have no gaps. The number in the *next* segment's name says where a segment ends: what lies
//! beyond it there was refused, and is not read.
//!
//! **When the disk fails.** A write that fails (no space) is taken back by cutting the file to its last durable
//! frame; the next group tries again. After a failed fdatasync the page cache can't be trusted (the kernel
//! marks the pages clean), so that file is never written again: the log goes on in a new segment that begins
//! with the refused group's number, at once if the disk takes it, else with the next group. Only between the
//! two is the refused group's fate open, and [`NotKept::Unknown`] says so.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::file::{self, Draft, le_u32, le_u64};

const MAGIC: &[u8; 8] = b"UMBRAWAL";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 24;
const FRAME_HEAD_BYTES: usize = 20;
const PREFIX: &str = "wal-";
const SUFFIX: &str = ".log";

/// A segment ends when it has this many bytes.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// Takes one record of the log: its sequence number and payload. An error is a sentence, and ends the reading.
pub type EachChange<'a> = &'a mut dyn FnMut(u64, &[u8]) -> Result<(), String>;

/// The log, open for appending.
#[derive(Debug)]
pub struct Log {
    dir: PathBuf,
    /// All segments, oldest first; the last one is written.
    segments: Vec<Segment>,
    file: File,
    /// Bytes of the last segment that are durable: the next frame goes there.
    durable: u64,
    trust: Trust,
    next: u64,
    segment_bytes: u64,
    appended: u64,
    frame: Vec<u8>,
}

#[derive(Debug)]
struct Segment {
    first: u64,
    path: PathBuf,
}

/// Whether the last segment may still be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Sound,
    Lost,
}

/// What reading the log at start-up found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// Records handed out: those beyond what the caller held already.
    pub records: u64,
    /// What was cut off the last segment: a group that was being written when the process or machine died.
    pub cut: Option<Cut>,
    /// A segment that was put aside: it is damaged, and the caller holds all that it had.
    pub aside: Option<Aside>,
    /// The log ends before what the caller holds: its last number. Nothing is lost by that, but log files
    /// were removed or damaged.
    pub ends_early: Option<u64>,
}

/// A damaged segment that nobody needs.
#[derive(Debug, PartialEq, Eq)]
pub struct Aside {
    /// Where it was.
    pub file: PathBuf,
    /// Where it is now.
    pub now: PathBuf,
    /// The first damaged byte.
    pub offset: u64,
}

/// A torn tail that was cut off.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment.
    pub file: PathBuf,
    /// Where it now ends.
    pub offset: u64,
    /// How many bytes were cut.
    pub bytes: u64,
}

/// Why the log can't be opened. Every one is a sentence with what to do.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system refuses.
    #[error("{}: {error}{}", path.display(), file::start_cure(error))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Bytes that don't agree with their checksum, with good records after them.
    #[error(
        "{} is damaged at byte {offset} (sequence number {seq}), and good records follow, so this is no torn end of a crash: \
         check the disk, then restore the store's folder from a backup; nothing was changed",
        path.display()
    )]
    Damaged {
        /// The segment.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// The first record that can't be read.
        seq: u64,
    },
    /// Records are missing between two that are there.
    #[error(
        "the log in {} misses the records {from} to {to}: a file is gone; put it back, or restore the store's folder from a backup",
        dir.display()
    )]
    Gap {
        /// The folder.
        dir: PathBuf,
        /// First missing number.
        from: u64,
        /// Last missing number.
        to: u64,
    },
    /// A later version of the program wrote it.
    #[error("{} has version {version}, this program reads up to {VERSION}: start the newer umbra that wrote it", path.display())]
    Newer {
        /// The segment.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// A record whose contents make no sense to its reader.
    #[error("{}: record {seq} is whole but can't be used: {why}", path.display())]
    Record {
        /// The segment.
        path: PathBuf,
        /// The record.
        seq: u64,
        /// What its reader said.
        why: String,
    },
}

/// Why a group was not made durable.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// Nothing of it is in the log.
    #[error("the log {} could not be written: {error}; nothing was changed{}", path.display(), file::cure(error))]
    Refused {
        /// The segment.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The disk failed in a way that leaves open whether a restart finds it.
    #[error(
        "the log {} could not be synced: {error}; the change is not in force, but if the server restarts before its disk is well, it may be",
        path.display()
    )]
    Unknown {
        /// The segment.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl Log {
    /// Opens the log in `dir` (made if absent) and hands every record after `held` to `each`, in order.
    /// A torn tail of the last segment is cut off, and [`Replay::cut`] says so.
    ///
    /// # Errors
    /// Damage anywhere else, missing records, a newer version, an error of `each` or of the file system.
    /// Nothing has been changed then.
    pub fn open(
        dir: &Path,
        segment_bytes: u64,
        held: u64,
        each: EachChange<'_>,
    ) -> Result<(Self, Replay), LogError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| LogError::Io { path, error }
        };
        file::make_dir(dir).map_err(io(dir))?;
        file::remove_drafts(dir, PREFIX).map_err(io(dir))?;
        let segments: Vec<Segment> = file::numbered(dir, PREFIX, SUFFIX)
            .map_err(io(dir))?
            .into_iter()
            // Records begin with 1: a file named for 0 is not of our making.
            .filter(|(first, _)| *first > 0)
            .map(|(first, path)| Segment { first, path })
            .collect();
        let mut replay = Replay::default();
        // The number that the next record must have.
        let mut next = segments
            .first()
            .map_or(1, |s| s.first.min(held.saturating_add(1)));
        let mut durable = 0;
        for (i, segment) in segments.iter().enumerate() {
            let end = segments.get(i + 1).map(|s| s.first);
            if end.is_some_and(|end| end <= held.saturating_add(1)) {
                next = end.unwrap_or(next);
                continue;
            }
            if segment.first > next.max(held.saturating_add(1)) {
                return Err(LogError::Gap {
                    dir: dir.to_owned(),
                    from: next.max(held.saturating_add(1)),
                    to: segment.first - 1,
                });
            }
            let bytes = file::read(&segment.path).map_err(io(&segment.path))?;
            let read = read_segment(segment, &bytes, end, &mut |seq, payload| {
                if seq <= held {
                    return Ok(());
                }
                replay.records += 1;
                each(seq, payload)
            });
            let read = match read {
                Err(LogError::Damaged { offset, .. })
                    if end.is_none() && last_of(&bytes, offset).is_some_and(|last| last <= held) =>
                {
                    let now = segment.path.with_extension("log.broken");
                    fs::rename(&segment.path, &now).map_err(io(&segment.path))?;
                    let file = segment.path.clone();
                    replay.aside = Some(Aside { file, now, offset });
                    next = held.saturating_add(1);
                    continue;
                }
                read => read?,
            };
            next = read.next;
            durable = read.good;
            let torn = bytes.len() as u64 - read.good;
            if end.is_none() && torn > 0 {
                replay.cut = Some(Cut {
                    file: segment.path.clone(),
                    offset: read.good,
                    bytes: torn,
                });
            }
        }
        if let Some(cut) = &replay.cut {
            let file = File::options()
                .write(true)
                .open(&cut.file)
                .map_err(io(&cut.file))?;
            file.set_len(cut.offset)
                .and_then(|()| file.sync_all())
                .map_err(io(&cut.file))?;
        }
        let mut segments = segments;
        if replay.aside.is_some() {
            segments.pop();
        }
        replay.ends_early = (next <= held && !segments.is_empty()).then(|| next - 1);
        let (file, trust) = match segments.last() {
            Some(last) if next > held && replay.aside.is_none() => {
                let file = File::options()
                    .read(true)
                    .write(true)
                    .open(&last.path)
                    .map_err(io(&last.path))?;
                (file, Trust::Sound)
            }
            // Begins below, with a segment of its own.
            _ => (File::open(dir).map_err(io(dir))?, Trust::Lost),
        };
        let mut log = Self {
            dir: dir.to_owned(),
            segments,
            file,
            durable,
            trust,
            next: next.max(held.saturating_add(1)),
            segment_bytes,
            appended: 0,
            frame: Vec::new(),
        };
        if log.trust == Trust::Lost {
            log.begin_segment().map_err(io(dir))?;
        }
        Ok((log, replay))
    }

    /// Appends `payloads` as one group and returns the first one's sequence number; the others follow it. When
    /// this returns, they are durable. An empty group does nothing.
    ///
    /// # Errors
    /// [`NotKept`]: none of the group counts, and the log can take the next one.
    pub fn append(&mut self, payloads: &[Vec<u8>]) -> Result<u64, NotKept> {
        let first = self.next;
        if payloads.is_empty() {
            return Ok(first);
        }
        if self.trust == Trust::Lost || self.durable >= self.segment_bytes {
            self.begin_segment().map_err(|error| NotKept::Refused {
                path: self.dir.clone(),
                error,
            })?;
        }
        self.frame.clear();
        encode_frame(&mut self.frame, first, payloads);
        let path = self.segments.last().map_or(&self.dir, |s| &s.path).clone();
        if let Err(error) = file::write_at(&self.file, &path, &self.frame, self.durable) {
            // What was written of it must not look like a torn end after the next group, which may be shorter.
            if self.file.set_len(self.durable).is_err() {
                self.trust = Trust::Lost;
            }
            return Err(NotKept::Refused { path, error });
        }
        if let Err(error) = file::sync_data(&self.file, &path) {
            self.trust = Trust::Lost;
            return Err(match self.begin_segment() {
                Ok(()) => NotKept::Refused { path, error },
                Err(_) => NotKept::Unknown { path, error },
            });
        }
        let bytes = self.frame.len() as u64;
        self.durable += bytes;
        self.appended = self.appended.saturating_add(bytes);
        self.next += payloads.len() as u64;
        // A big group must not hold its memory for ever.
        self.frame.shrink_to(1 << 20);
        Ok(first)
    }

    /// The number that the next record will get.
    pub fn next_seq(&self) -> u64 {
        self.next
    }

    /// Bytes appended since the log was opened.
    pub fn appended_bytes(&self) -> u64 {
        self.appended
    }

    /// Removes the segments whose records are all ≤ `upto`; the one that is written stays. Returns how many.
    ///
    /// # Errors
    /// Whatever the system says; the segments that are left can be removed later.
    pub fn forget(&mut self, upto: u64) -> io::Result<usize> {
        let whole = |pair: &[Segment]| {
            pair.get(1)
                .is_some_and(|next| next.first <= upto.saturating_add(1))
        };
        let count = self.segments.windows(2).take_while(|pair| whole(pair)).count();
        for _ in 0..count {
            fs::remove_file(&self.segments[0].path)?;
            self.segments.remove(0);
        }
        if count > 0 {
            file::sync_dir(&self.dir)?;
        }
        Ok(count)
    }

    /// Starts the segment that begins with the next number. A segment of that name (one that never held a
    /// durable record) is replaced.
    fn begin_segment(&mut self) -> io::Result<()> {
        let path = file::numbered_path(&self.dir, PREFIX, self.next, SUFFIX);
        let mut draft = Draft::begin(&path)?;
        draft.write_all(&header(self.next))?;
        self.file = draft.publish()?;
        self.durable = HEADER_BYTES as u64;
        self.trust = Trust::Sound;
        self.segments.retain(|s| s.first != self.next);
        self.segments.push(Segment {
            first: self.next,
            path,
        });
        Ok(())
    }
}

fn header(first: u64) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..].copy_from_slice(&first.to_le_bytes());
    let crc = header_crc(&bytes);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn header_crc(bytes: &[u8; HEADER_BYTES]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..12]);
    hasher.update(&bytes[16..]);
    hasher.finalize()
}

fn encode_frame(frame: &mut Vec<u8>, first: u64, payloads: &[Vec<u8>]) {
    frame.resize(FRAME_HEAD_BYTES, 0);
    for payload in payloads {
        frame.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        frame.extend_from_slice(payload);
    }
    let body = (frame.len() - FRAME_HEAD_BYTES) as u32;
    frame[..4].copy_from_slice(&body.to_le_bytes());
    frame[8..16].copy_from_slice(&first.to_le_bytes());
    frame[16..20].copy_from_slice(&(payloads.len() as u32).to_le_bytes());
    let crc = crc32fast::hash(&frame[8..]);
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// One group as it stands in a segment.
struct Frame<'a> {
    first: u64,
    count: u32,
    body: &'a [u8],
}

/// The frame at the start of `bytes`, if a whole and undamaged one is there.
fn decode_frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let body_bytes = le_u32(bytes)? as usize;
    let crc = le_u32(bytes.get(4..)?)?;
    let checked = bytes
        .get(8..)?
        .get(..body_bytes.checked_add(FRAME_HEAD_BYTES - 8)?)?;
    let (first, count) = (le_u64(checked)?, le_u32(checked.get(8..)?)?);
    (count > 0 && crc32fast::hash(checked) == crc).then_some(())?;
    Some(Frame {
        first,
        count,
        body: checked.get(12..)?,
    })
}

/// What was read of a segment.
struct SegmentRead {
    /// The number after the last good record.
    next: u64,
    /// Bytes that are good, from the start.
    good: u64,
}

/// Hands out a segment's records up to (not including) the number `end`, where the next segment begins.
fn read_segment(
    segment: &Segment,
    bytes: &[u8],
    end: Option<u64>,
    each: EachChange<'_>,
) -> Result<SegmentRead, LogError> {
    let damaged = |at: usize, seq| LogError::Damaged {
        path: segment.path.clone(),
        offset: at as u64,
        seq,
    };
    let head = bytes
        .first_chunk::<HEADER_BYTES>()
        .ok_or_else(|| damaged(0, segment.first))?;
    let version = le_u32(&head[8..]).unwrap_or(0);
    let sound = le_u32(&head[12..]) == Some(header_crc(head)) && head.starts_with(MAGIC);
    if sound && version > VERSION {
        return Err(LogError::Newer {
            path: segment.path.clone(),
            version,
        });
    }
    if !sound || le_u64(&head[16..]) != Some(segment.first) {
        return Err(damaged(0, segment.first));
    }
    let (mut at, mut next) = (HEADER_BYTES, segment.first);
    while at < bytes.len() && end.is_none_or(|end| next < end) {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(frame) = decode_frame(rest).filter(|f| f.first == next) else {
            if end.is_some() || good_frame_follows(rest, next) {
                return Err(damaged(at, next));
            }
            return Ok(SegmentRead {
                next,
                good: at as u64,
            });
        };
        let mut body = frame.body;
        for seq in next..next.saturating_add(u64::from(frame.count)) {
            let payload = le_u32(body)
                .and_then(|len| body.get(4..)?.get(..len as usize))
                .ok_or_else(|| damaged(at, seq))?;
            each(seq, payload).map_err(|why| LogError::Record {
                path: segment.path.clone(),
                seq,
                why,
            })?;
            body = body.get(4 + payload.len()..).unwrap_or_default();
        }
        next = next.saturating_add(u64::from(frame.count));
        at += FRAME_HEAD_BYTES + frame.body.len();
    }
    if end.is_some_and(|end| next > end) {
        return Err(damaged(at, next));
    }
    Ok(SegmentRead {
        next,
        good: at as u64,
    })
}

/// The number of the last record that stands whole behind the damage at `from`, if it stands at the very end: only
/// then is it certain which the last one is.
fn last_of(bytes: &[u8], from: u64) -> Option<u64> {
    let from = usize::try_from(from).ok()?;
    let mut at = from.max(HEADER_BYTES);
    let mut last = None;
    while at < bytes.len() {
        match bytes.get(at..).and_then(decode_frame) {
            Some(frame) => {
                last = frame.first.checked_add(u64::from(frame.count).checked_sub(1)?);
                at += FRAME_HEAD_BYTES + frame.body.len();
            }
            None => {
                last = None;
                at += 1;
            }
        }
    }
    last
}

/// Whether a later group stands whole anywhere after a bad one: then the bad one had been durable, because a
/// group is begun only after the one before is on the medium.
fn good_frame_follows(bytes: &[u8], next: u64) -> bool {
    (1..bytes.len().saturating_sub(FRAME_HEAD_BYTES)).any(|at| {
        let rest = bytes.get(at..).unwrap_or_default();
        let later = le_u64(rest.get(8..).unwrap_or_default())
            .is_some_and(|first| first > next && first - next < 1 << 32);
        later && decode_frame(rest).is_some()
    })
}

#[cfg(test)]
mod tests;
