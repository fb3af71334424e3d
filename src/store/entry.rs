//! The journal's bytes: how a call's entries are written, and what an earlier process left.
//!
//! ```text
//! header  "UMBRAJNL" · version u32
//! frame   bytes of body u32 · crc u32 · body = kind u8 · call id u128 · rest           (little-endian)
//! kinds   1 arrived (rest: the record as JSON) · 2 answered (wall i64) · 3 ended · 4 died (wall i64)
//!         5 over (rest: the finished record as JSON) · 6 kept (rest: the call's state) · 7 acked
//! ```

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::file::{self, le_u32};
use crate::base::id::Id;
use crate::base::time::Wall;
use crate::call::cdr::{Cdr, ReleasedBy};
use crate::call::refusal;
use crate::masking::reason::Reason;

pub(super) const MAGIC: &[u8; 8] = b"UMBRAJNL";
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_BYTES: usize = 12;
pub(super) const FRAME_HEAD_BYTES: usize = 8;
pub(super) const ARRIVED: u8 = 1;
pub(super) const ANSWERED: u8 = 2;
pub(super) const ENDED: u8 = 3;
pub(super) const DIED: u8 = 4;
pub(super) const OVER: u8 = 5;
pub(super) const KEPT: u8 = 6;
pub(super) const ACKED: u8 = 7;
/// Kind and id.
pub(super) const BODY_BYTES_MIN: usize = 17;
/// A record quotes pieces of one SIP message, whose escapes can take six bytes each.
pub(super) const BODY_BYTES_MAX: usize = 512 << 10;

/// What an entry says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Arrived,
    Answered(Wall),
    Ended,
    /// The process that had the call is gone; its last sign of life.
    Died(Wall),
    /// The record is finished; it is not in the CDR files for certain before the end.
    Over,
    /// What another process needs to go on with the call.
    Kept,
    /// The answer needs no repeating.
    Acked,
}

/// The journal can't be opened; a sentence with what to do.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refuses.
    #[error("{}: {error}: check the folder's owner, permissions and free space", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another process has it open.
    #[error("{} is in use by another umbra: stop that one first, or give this one a folder of its own", .0.display())]
    InUse(PathBuf),
    /// A later version of the program wrote it.
    #[error("{} has version {version}, this program reads up to {VERSION}: start the newer umbra that wrote it", path.display())]
    Newer {
        /// The segment.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

/// What became of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Segment {
    /// What is whole of it was read.
    Read,
    /// It could not be read, and is out of the way.
    Aside,
}

/// Everything that the segments say.
#[derive(Default)]
pub(super) struct Past {
    /// Each call's arrival, or its finished record, which says all that the arrival says and more.
    pub(super) arrived: HashMap<Id, Vec<u8>>,
    pub(super) answered: HashMap<Id, Wall>,
    pub(super) died: HashMap<Id, Wall>,
    pub(super) ended: HashSet<Id>,
    pub(super) notes: Vec<String>,
}

impl Past {
    /// Reads a segment. One that the disk doesn't give any more is put aside: new calls need their journal.
    pub(super) fn read(&mut self, path: &Path) -> Result<Segment, JournalError> {
        let io = |error| JournalError::Io {
            path: path.to_owned(),
            error,
        };
        let bytes = match file::read(path) {
            Ok(bytes) => bytes,
            // The owner of the folder can put that right.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(io(error)),
            Err(error) => {
                let aside = path.with_extension("log.broken");
                fs::rename(path, &aside).map_err(io)?;
                self.notes.push(format!(
                    "{}: {error}; it was moved to {}, and the records of calls that were open may be missing: \
                     check the disk",
                    path.display(),
                    aside.display()
                ));
                return Ok(Segment::Aside);
            }
        };
        let version = le_u32(bytes.get(8..).unwrap_or_default()).unwrap_or(0);
        if bytes.starts_with(MAGIC) && version > VERSION {
            return Err(JournalError::Newer {
                path: path.to_owned(),
                version,
            });
        }
        let mut rest = bytes.get(HEADER_BYTES..).unwrap_or_default();
        while !rest.is_empty() {
            let Some((id, what, frame)) = decode_frame(rest) else {
                let next =
                    (1..rest.len()).find(|at| decode_frame(rest.get(*at..).unwrap_or_default()).is_some());
                let bad = next.unwrap_or(rest.len());
                let place = bytes.len() - rest.len();
                self.notes.push(match next {
                    None => format!(
                        "{}: {bad} bytes of a torn entry at its end were left out",
                        path.display()
                    ),
                    Some(_) => format!(
                        "{}: {bad} damaged bytes at byte {place} were left out: check the disk",
                        path.display()
                    ),
                });
                rest = rest.get(bad..).unwrap_or_default();
                continue;
            };
            match what {
                What::Arrived => drop(self.arrived.entry(id).or_insert_with(|| frame.to_vec())),
                What::Over => drop(self.arrived.insert(id, frame.to_vec())),
                What::Answered(at) => drop(self.answered.entry(id).or_insert(at)),
                What::Died(at) => drop(self.died.entry(id).or_insert(at)),
                What::Kept | What::Acked => {}
                What::Ended => {
                    self.ended.insert(id);
                    // The frame is the big part: a long segment must not be held whole.
                    self.arrived.remove(&id);
                }
            }
            rest = rest.get(frame.len()..).unwrap_or_default();
        }
        Ok(Segment::Read)
    }

    /// The calls that didn't end, each with the frame of its arrival or of its finished record.
    pub(super) fn open_calls(&mut self) -> Vec<(Id, Vec<u8>)> {
        let ended = &self.ended;
        let mut calls: Vec<_> = std::mem::take(&mut self.arrived)
            .into_iter()
            .filter(|(id, _)| !ended.contains(id))
            .collect();
        calls.sort_unstable_by_key(|(id, _)| *id);
        calls
    }
}

/// The record of an attempt that a dying process left open.
pub(super) fn completed(mut cdr: Cdr, answered: Option<Wall>, died: Wall) -> Cdr {
    let floor = answered.unwrap_or(cdr.arrived_at).max(cdr.arrived_at);
    // The wall clock may have been set back between.
    cdr.ended_at = died.max(floor);
    cdr.released_by = ReleasedBy::Server;
    cdr.q850_cause = refusal::q850(Reason::Restart);
    match answered {
        None => {
            cdr.refusal = Some(Reason::Restart);
            cdr.sip_status = refusal::status(Reason::Restart);
            cdr.billable_s = 0;
        }
        Some(at) => {
            cdr.answered_at = Some(at);
            cdr.refusal = None;
            cdr.sip_status = 200;
            cdr.end_cause = Some("restart".into());
            cdr.billable_s = cdr.ended_at.since(at).as_secs();
        }
    }
    cdr
}

/// The frame of an entry that says no more than a kind and perhaps a time.
pub(super) fn short_frame(out: &mut Vec<u8>, kind: u8, id: Id, at: Option<Wall>) {
    let start = out.len();
    begin_frame(out, kind, id);
    if let Some(at) = at {
        out.extend_from_slice(&at.as_millis().to_le_bytes());
    }
    end_frame(out, start);
}

pub(super) fn modified(path: &Path) -> Wall {
    let since_epoch = fs::metadata(path)
        .and_then(|m| m.modified())
        .ok()
        .and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok())
        .unwrap_or_default();
    Wall::default().plus(since_epoch)
}

pub(super) fn header() -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..].copy_from_slice(&VERSION.to_le_bytes());
    bytes
}

/// Begins a frame behind what is in `out` already.
pub(super) fn begin_frame(out: &mut Vec<u8>, kind: u8, id: Id) {
    out.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
    out.push(kind);
    out.extend_from_slice(&id.bits().to_le_bytes());
}

/// Fills in the head of the frame that began at `start` and ends where `out` does.
pub(super) fn end_frame(out: &mut [u8], start: usize) {
    let (head, body) = out[start..].split_at_mut(FRAME_HEAD_BYTES);
    head[..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
    head[4..].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
}

/// The whole and undamaged frame at the start of `bytes`: its call, its meaning, and itself.
pub(super) fn decode_frame(bytes: &[u8]) -> Option<(Id, What, &[u8])> {
    let body_bytes = le_u32(bytes)? as usize;
    if !(BODY_BYTES_MIN..=BODY_BYTES_MAX).contains(&body_bytes) {
        return None;
    }
    let frame = bytes.get(..FRAME_HEAD_BYTES + body_bytes)?;
    let (head, body) = frame.split_at_checked(FRAME_HEAD_BYTES)?;
    if le_u32(&head[4..])? != crc32fast::hash(body) {
        return None;
    }
    let (kind, rest) = body.split_first()?;
    let (id, rest) = rest.split_first_chunk()?;
    let wall = || {
        rest.first_chunk()
            .map(|b| Wall::from_millis(i64::from_le_bytes(*b)))
    };
    let what = match *kind {
        ARRIVED => What::Arrived,
        ANSWERED => What::Answered(wall()?),
        ENDED => What::Ended,
        DIED => What::Died(wall()?),
        OVER => What::Over,
        KEPT => What::Kept,
        ACKED => What::Acked,
        _ => return None,
    };
    Some((Id::from_bits(u128::from_le_bytes(*id)), what, frame))
}
