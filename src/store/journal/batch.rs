//! Entries encoded, one by one or several at a time.

use std::ops::Range;

use smallvec::SmallVec;

use crate::base::id::Id;
use crate::call::draft::Draft;
use crate::call::port::CallEntry;
use crate::store::entry::{
    ACKED, ANSWERED, ARRIVED, BODY_BYTES_MAX, BODY_BYTES_MIN, ENDED, FRAME_HEAD_BYTES, KEPT, OVER, PastCall,
    Record, What, begin_frame, end_frame, short_frame,
};

/// A time of the wall clock, which short entries may have.
const WALL_BYTES: usize = size_of::<i64>();

/// One entry, encoded.
pub(super) struct Line {
    pub(super) id: Id,
    pub(super) sequence: u64,
    pub(super) what: What,
    pub(super) frame: Vec<u8>,
}

/// Entries that are written together, encoded one after the other.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: SmallVec<[Placed; 8]>,
}

/// One of a batch's entries, and where its frame stands.
pub(super) struct Placed {
    pub(super) id: Id,
    pub(super) sequence: u64,
    pub(super) what: What,
    pub(super) place: Range<usize>,
}

/// The frames of a call that move to another segment.
pub(super) struct Frames {
    /// Its arrival, or its finished record.
    pub(super) arrival: Vec<u8>,
    /// How it ended, as told behind its arrival.
    pub(super) over: Option<Vec<u8>>,
    /// Its state.
    pub(super) kept: Option<Vec<u8>>,
}

/// Encodes anew what an earlier process, perhaps of an earlier version, left of a call.
pub(super) fn past_frames(call: &PastCall, sequence: u64) -> Frames {
    let frame = |kind: u8, rest: &[u8]| {
        let mut out = Vec::with_capacity(FRAME_HEAD_BYTES + BODY_BYTES_MIN + rest.len());
        begin_frame(&mut out, kind, call.id, sequence);
        out.extend_from_slice(rest);
        end_frame(&mut out, 0);
        out
    };
    let record = Draft::whole(&call.record, &mut Vec::new());
    Frames {
        arrival: frame(if call.is_over { OVER } else { ARRIVED }, &record.bytes),
        over: None,
        kept: call.kept.as_deref().map(|state| frame(KEPT, state)),
    }
}

impl Batch {
    /// A batch with room for these entries, so that it doesn't grow step by step: a shard brings a hundred at once.
    pub(super) fn for_entries(entries: &[CallEntry]) -> Self {
        let body = |entry: &CallEntry| match entry {
            CallEntry::Arrived(draft) | CallEntry::Over(draft) => draft.bytes.len(),
            CallEntry::Kept { state, .. } => state.len(),
            CallEntry::Acked { .. } | CallEntry::Answered { .. } | CallEntry::Ended { .. } => WALL_BYTES,
        };
        let bytes = entries
            .iter()
            .map(|entry| FRAME_HEAD_BYTES + BODY_BYTES_MIN + body(entry));
        Self {
            bytes: Vec::with_capacity(bytes.sum()),
            lines: SmallVec::with_capacity(entries.len()),
        }
    }

    /// Adds an entry that was encoded before.
    pub(super) fn push(&mut self, line: Line) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&line.frame);
        self.lines.push(Placed {
            id: line.id,
            sequence: line.sequence,
            what: line.what,
            place: start..self.bytes.len(),
        });
    }

    /// Adds that a call is done.
    pub(super) fn end(&mut self, id: Id, sequence: u64) {
        let start = self.bytes.len();
        short_frame(&mut self.bytes, ENDED, id, sequence, None);
        self.lines.push(Placed {
            id,
            sequence,
            what: What::Ended,
            place: start..self.bytes.len(),
        });
    }

    /// Whether the entry could be encoded. `sequence` is its place among all.
    pub(super) fn add(&mut self, entry: &CallEntry, sequence: u64) -> bool {
        let (start, id) = (self.bytes.len(), entry.call_id());
        let what = match entry {
            CallEntry::Arrived(draft) => {
                if !self.long(ARRIVED, sequence, id, &draft.bytes) {
                    return false;
                }
                What::Arrived(Record::Draft)
            }
            CallEntry::Over(draft) => {
                if !self.long(OVER, sequence, id, &draft.bytes) {
                    return false;
                }
                What::Over(Record::Draft)
            }
            CallEntry::Kept { state, .. } => {
                if !self.long(KEPT, sequence, id, state) {
                    return false;
                }
                What::Kept
            }
            CallEntry::Acked { .. } => {
                short_frame(&mut self.bytes, ACKED, id, sequence, None);
                What::Acked
            }
            CallEntry::Answered { at, .. } => {
                short_frame(&mut self.bytes, ANSWERED, id, sequence, Some(*at));
                What::Answered(*at)
            }
            CallEntry::Ended { .. } => {
                self.end(id, sequence);
                return true;
            }
        };
        self.lines.push(Placed {
            id,
            sequence,
            what,
            place: start..self.bytes.len(),
        });
        true
    }

    /// Whether what the entry holds isn't too long for a frame.
    fn long(&mut self, kind: u8, sequence: u64, id: Id, body: &[u8]) -> bool {
        if BODY_BYTES_MIN + body.len() > BODY_BYTES_MAX {
            return false;
        }
        let start = self.bytes.len();
        begin_frame(&mut self.bytes, kind, id, sequence);
        self.bytes.extend_from_slice(body);
        end_frame(&mut self.bytes, start);
        true
    }

    pub(super) fn frame(&self, line: &Placed) -> &[u8] {
        self.bytes.get(line.place.clone()).unwrap_or_default()
    }

    pub(super) fn into_lines(self) -> impl Iterator<Item = Line> {
        let Self { bytes, lines } = self;
        lines.into_iter().map(move |line| Line {
            id: line.id,
            sequence: line.sequence,
            what: line.what,
            frame: bytes.get(line.place).unwrap_or_default().to_vec(),
        })
    }
}
