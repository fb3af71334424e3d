//! Entries encoded, one by one or several at a time.

use std::ops::Range;

use smallvec::{SmallVec, smallvec};

use crate::base::id::Id;
use crate::call::port::CallEntry;
use crate::store::entry::{
    ACKED, ANSWERED, ARRIVED, BODY_BYTES_MAX, BODY_BYTES_MIN, ENDED, KEPT, OVER, What, begin_frame,
    end_frame, short_frame,
};

/// One entry, encoded.
pub(super) struct Line {
    pub(super) id: Id,
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
    pub(super) what: What,
    pub(super) place: Range<usize>,
}

impl Batch {
    pub(super) fn of(line: Line) -> Self {
        let placed = Placed {
            id: line.id,
            what: line.what,
            place: 0..line.frame.len(),
        };
        Self {
            bytes: line.frame,
            lines: smallvec![placed],
        }
    }

    /// Whether the entry could be encoded.
    pub(super) fn add(&mut self, entry: &CallEntry) -> bool {
        let start = self.bytes.len();
        let (id, what) = match entry {
            CallEntry::Arrived(line) => {
                if !self.long(ARRIVED, line.call_id, &line.json) {
                    return false;
                }
                (line.call_id, What::Arrived)
            }
            CallEntry::Over(line) => {
                if !self.long(OVER, line.call_id, &line.json) {
                    return false;
                }
                (line.call_id, What::Over)
            }
            CallEntry::Kept { call_id, state } => {
                if !self.long(KEPT, *call_id, state) {
                    return false;
                }
                (*call_id, What::Kept)
            }
            CallEntry::Acked { call_id } => {
                short_frame(&mut self.bytes, ACKED, *call_id, None);
                (*call_id, What::Acked)
            }
            CallEntry::Answered { call_id, at } => {
                short_frame(&mut self.bytes, ANSWERED, *call_id, Some(*at));
                (*call_id, What::Answered(*at))
            }
            CallEntry::Ended { call_id } => {
                short_frame(&mut self.bytes, ENDED, *call_id, None);
                (*call_id, What::Ended)
            }
        };
        self.lines.push(Placed {
            id,
            what,
            place: start..self.bytes.len(),
        });
        true
    }

    /// Whether what the entry holds isn't too long for a frame.
    fn long(&mut self, kind: u8, id: Id, body: &[u8]) -> bool {
        if BODY_BYTES_MIN + body.len() > BODY_BYTES_MAX {
            return false;
        }
        let start = self.bytes.len();
        begin_frame(&mut self.bytes, kind, id);
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
            what: line.what,
            frame: bytes.get(line.place).unwrap_or_default().to_vec(),
        })
    }
}
