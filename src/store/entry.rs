//! The journal's bytes: how a call's entries are written, and what an earlier process left.
//!
//! ```text
//! header  "UMBRAJNL" · version u32
//! frame   bytes of body u32 · crc u32 · body = 16 + kind u8 · call id u128 · sequence u64 · rest     (little-endian)
//! kinds   2 answered (wall i64) · 3 ended · 4 died (wall i64) · 6 kept (rest: the call's state) · 7 acked
//!         8 arrived (rest: the record as a draft) · 9 over (rest: the finished record as a draft, or how it ended)
//!         1 arrived, 5 over (rest: the record as JSON): up to version 2
//! ```
//!
//! A frame stands for itself: its sequence says what came later, in whichever segment it is found. Those of version 1
//! had none, and only the kinds 1 to 5, without the 16.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::file::{self, le_u32};
use crate::base::form::forms;
use crate::base::id::Id;
use crate::base::time::Wall;
use crate::call::cdr::{Cdr, ReleasedBy};
use crate::call::draft;
use crate::call::recording::{Fate, Fault, Why};
use crate::call::refusal;
use crate::masking::reason::Reason;

pub(super) const MAGIC: &[u8; 8] = b"UMBRAJNL";
pub(super) const HEADER_BYTES: usize = 12;
pub(super) const FRAME_HEAD_BYTES: usize = 8;
pub(super) const ARRIVED_AS_TEXT: u8 = 1;
pub(super) const ANSWERED: u8 = 2;
pub(super) const ENDED: u8 = 3;
pub(super) const DIED: u8 = 4;
pub(super) const OVER_AS_TEXT: u8 = 5;
pub(super) const KEPT: u8 = 6;
pub(super) const ACKED: u8 = 7;
pub(super) const ARRIVED: u8 = 8;
pub(super) const OVER: u8 = 9;
/// Says that a frame has a sequence.
const SEQUENCED: u8 = 16;
/// Kind, id and sequence.
pub(super) const BODY_BYTES_MIN: usize = 25;
/// A record quotes pieces of one SIP message, whose escapes can take six bytes each.
pub(super) const BODY_BYTES_MAX: usize = 512 << 10;

/// How a record is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Record {
    /// As JSON.
    Text,
    /// As a [draft].
    Draft,
}

/// What an entry says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Arrived(Record),
    Answered(Wall),
    Ended,
    /// The process that had the call is gone; its last sign of life.
    Died(Wall),
    /// The record is finished; it is not in the CDR files for certain before the end.
    Over(Record),
    /// What another process needs to go on with the call.
    Kept,
    /// The answer needs no repeating.
    Acked,
}

/// The journal can't be opened; a sentence with what to do.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refuses.
    #[error("{}: {error}{}", path.display(), file::start_cure(error))]
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
    #[error("{} has version {version}, this program reads up to {}: start the newer umbra that wrote it", path.display(), self::version())]
    Newer {
        /// The segment.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// A later version of the program wrote down the calls in progress.
    #[error(
        "{} has {calls} calls in progress as a newer umbra wrote them down (state version {version}, this program reads \
         up to {reads}): start that umbra again, and stop it when its calls are over (umbra stop), before this one is \
         started",
        dir.display()
    )]
    NewerCalls {
        /// The journal's folder.
        dir: PathBuf,
        /// How many.
        calls: usize,
        /// The highest version among them.
        version: u8,
        /// What this program reads.
        reads: u8,
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
    arrived: HashMap<Id, PastRecord>,
    over: HashMap<Id, PastRecord>,
    answered: HashMap<Id, Wall>,
    died: HashMap<Id, (u64, Wall)>,
    kept: HashMap<Id, (u64, Box<[u8]>)>,
    acked: HashMap<Id, u64>,
    ended: HashSet<Id>,
    /// The last sequence that was used.
    pub(super) sequence: u64,
    pub(super) notes: Vec<String>,
}

struct PastRecord {
    sequence: u64,
    written: Record,
    bytes: Box<[u8]>,
}

/// A call that didn't end, as the segments tell of it.
pub(super) struct PastCall {
    pub(super) id: Id,
    /// The record, as it was when the call came or as it is to be written.
    pub(super) record: Cdr,
    /// Whether the record is the finished one: nothing else is known then, because nothing else matters.
    pub(super) is_over: bool,
    pub(super) answered: Option<Wall>,
    /// The last sign of life of the process that had it, if that one is dead and nobody has gone on with it.
    pub(super) died: Option<Wall>,
    pub(super) kept: Option<Box<[u8]>>,
    /// Whether [`What::Acked`] came after `kept`.
    pub(super) acked: bool,
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
        if bytes.starts_with(MAGIC) && version > self::version() {
            return Err(JournalError::Newer {
                path: path.to_owned(),
                version,
            });
        }
        let mut rest = bytes.get(HEADER_BYTES..).unwrap_or_default();
        while !rest.is_empty() {
            let Some(entry) = decode_frame(rest) else {
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
            self.hear(&entry);
            rest = rest.get(entry.bytes..).unwrap_or_default();
        }
        Ok(Segment::Read)
    }

    /// Takes note of an entry. They come in no order: a copy of an earlier one may stand behind a later one.
    fn hear(&mut self, entry: &Entry<'_>) {
        let Entry { id, sequence, .. } = *entry;
        self.sequence = self.sequence.max(sequence);
        if self.ended.contains(&id) {
            return;
        }
        match entry.what {
            What::Arrived(written) => keep_last(&mut self.arrived, entry, written),
            What::Over(written) => keep_last(&mut self.over, entry, written),
            What::Answered(at) => drop(self.answered.entry(id).or_insert(at)),
            What::Died(at) => {
                let last = self.died.entry(id).or_insert((sequence, at));
                if last.0 < sequence {
                    *last = (sequence, at);
                }
            }
            What::Kept => {
                if self.kept.get(&id).is_none_or(|(before, _)| *before <= sequence) {
                    self.kept.insert(id, (sequence, entry.rest.into()));
                }
            }
            What::Acked => {
                let last = self.acked.entry(id).or_insert(sequence);
                *last = sequence.max(*last);
            }
            What::Ended => {
                self.ended.insert(id);
                // The big parts: a long segment must not be held whole.
                self.arrived.remove(&id);
                self.over.remove(&id);
                self.kept.remove(&id);
            }
        }
    }

    /// The calls that didn't end.
    pub(super) fn open_calls(&mut self) -> Vec<PastCall> {
        let arrived = std::mem::take(&mut self.arrived);
        let mut over = std::mem::take(&mut self.over);
        let mut records: Vec<_> = arrived
            .into_iter()
            .map(|(id, arrived)| (id, Some(arrived), over.remove(&id)))
            .collect();
        // Attempts that were refused have no arrival.
        records.extend(over.into_iter().map(|(id, over)| (id, None, Some(over))));
        records.sort_unstable_by_key(|(id, ..)| *id);
        records
            .into_iter()
            .filter_map(|(id, arrived, over)| {
                let is_over = over.is_some();
                let record = match record_of(id, arrived, over) {
                    Ok(record) => record,
                    Err(error) => {
                        self.notes.push(format!(
                            "call {id} was open, and its entry can't be read: {error}"
                        ));
                        return None;
                    }
                };
                let kept = self.kept.remove(&id);
                let kept_at = kept.as_ref().map_or(0, |(sequence, _)| *sequence);
                // What a finished record says is all that happened.
                let died = self.died.get(&id).copied().filter(|_| !is_over);
                let answered = self.answered.get(&id).copied().filter(|_| !is_over);
                Some(PastCall {
                    id,
                    record,
                    is_over,
                    answered,
                    // Who went on with it said so by keeping it anew.
                    died: died.filter(|(at, _)| *at >= kept_at).map(|(_, died)| died),
                    acked: kept.is_some() && self.acked.get(&id).is_some_and(|at| *at > kept_at),
                    kept: kept.map(|(_, state)| state),
                })
            })
            .collect()
    }
}

/// Takes note of a call's record. The last one counts.
fn keep_last(records: &mut HashMap<Id, PastRecord>, entry: &Entry<'_>, written: Record) {
    let Entry { id, sequence, .. } = *entry;
    if records.get(&id).is_none_or(|before| before.sequence <= sequence) {
        let bytes = entry.rest.into();
        let record = PastRecord {
            sequence,
            written,
            bytes,
        };
        records.insert(id, record);
    }
}

/// A call's record, from its arrival and its end.
fn record_of(id: Id, arrived: Option<PastRecord>, over: Option<PastRecord>) -> Result<Cdr, String> {
    let read = |past: PastRecord, arrival: Option<Cdr>| match past.written {
        Record::Text => serde_json::from_slice(&past.bytes).map_err(|error| error.to_string()),
        Record::Draft => draft::record(id, &past.bytes, arrival).map_err(|error| error.to_string()),
    };
    match (arrived.map(|past| read(past, None)).transpose(), over) {
        (Ok(arrival), Some(over)) => read(over, arrival),
        // Of an attempt that was refused the end says it all.
        (Err(_), Some(over)) => read(over, None),
        (Ok(Some(arrival)), None) => Ok(arrival),
        (Ok(None), None) => Err("there is none".to_owned()),
        (Err(error), None) => Err(error),
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
            // The record of its arrival can't know what began with the answer.
            if cdr.recording.fate == Fate::None(Why::NotAnswered) {
                cdr.recording.id = Some(cdr.call_id);
                cdr.recording.fate = Fate::Gaps(Fault::Restart);
            }
        }
    }
    cdr
}

/// The frame of an entry that says no more than a kind and perhaps a time.
pub(super) fn short_frame(out: &mut Vec<u8>, kind: u8, id: Id, sequence: u64, at: Option<Wall>) {
    let start = out.len();
    begin_frame(out, kind, id, sequence);
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

/// The version of the segments that are written, and the newest that is read.
pub(super) fn version() -> u32 {
    forms().journal.into()
}

pub(super) fn header() -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..].copy_from_slice(&version().to_le_bytes());
    bytes
}

/// Begins a frame behind what is in `out` already.
pub(super) fn begin_frame(out: &mut Vec<u8>, kind: u8, id: Id, sequence: u64) {
    out.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
    out.push(SEQUENCED | kind);
    out.extend_from_slice(&id.bits().to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
}

/// Fills in the head of the frame that began at `start` and ends where `out` does.
pub(super) fn end_frame(out: &mut [u8], start: usize) {
    let (head, body) = out[start..].split_at_mut(FRAME_HEAD_BYTES);
    head[..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
    head[4..].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
}

/// One entry, where it stands.
pub(super) struct Entry<'a> {
    pub(super) id: Id,
    /// A higher one came later.
    pub(super) sequence: u64,
    pub(super) what: What,
    /// What it holds besides: a record, a state.
    pub(super) rest: &'a [u8],
    /// Of the whole frame.
    pub(super) bytes: usize,
}

/// The whole and undamaged frame at the start of `bytes`.
pub(super) fn decode_frame(bytes: &[u8]) -> Option<Entry<'_>> {
    let body_bytes = le_u32(bytes)? as usize;
    if body_bytes > BODY_BYTES_MAX {
        return None;
    }
    let (head, body) = bytes
        .get(..FRAME_HEAD_BYTES + body_bytes)?
        .split_at_checked(FRAME_HEAD_BYTES)?;
    if le_u32(&head[4..])? != crc32fast::hash(body) {
        return None;
    }
    let (kind, rest) = body.split_first()?;
    let (id, rest) = rest.split_first_chunk()?;
    let (sequence, rest) = match kind & SEQUENCED {
        0 => (0, rest),
        _ => rest
            .split_first_chunk()
            .map(|(sequence, rest)| (u64::from_le_bytes(*sequence), rest))?,
    };
    let wall = || {
        rest.first_chunk()
            .map(|b| Wall::from_millis(i64::from_le_bytes(*b)))
    };
    let what = match kind & !SEQUENCED {
        ARRIVED_AS_TEXT => What::Arrived(Record::Text),
        ARRIVED => What::Arrived(Record::Draft),
        ANSWERED => What::Answered(wall()?),
        ENDED => What::Ended,
        DIED => What::Died(wall()?),
        OVER_AS_TEXT => What::Over(Record::Text),
        OVER => What::Over(Record::Draft),
        KEPT => What::Kept,
        ACKED => What::Acked,
        _ => return None,
    };
    Some(Entry {
        id: Id::from_bits(u128::from_le_bytes(*id)),
        sequence,
        what,
        rest,
        bytes: FRAME_HEAD_BYTES + body_bytes,
    })
}
