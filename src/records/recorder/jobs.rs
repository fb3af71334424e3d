//! What the ear has the scribe do.

use crate::base::id::Id;
use crate::base::time::{Instant, Now, Wall};
use crate::records::recordings::Error;
use crate::records::recordings::chain::{Audio, Mark, fold};
use crate::records::recordings::pen::{self, Block, Packets, Pen};

/// What a piece takes beside its content, and what a job counts that has none.
pub(super) const JOB_BYTES: usize = 512;

/// In the order in which they are done.
pub(super) enum Job {
    /// A new recording.
    Begin(Box<Start>),
    /// One of a process before this one.
    GoOn(Box<Start>),
    Write(Id, Piece),
    End(Id, Ending),
    /// Nothing of it is kept.
    Drop(Id),
    /// There is nothing more.
    Leave,
}

/// A recording that begins, or goes on, and whose it is.
pub(super) struct Start {
    pub(super) shard: usize,
    /// From when on it is heard.
    pub(super) heard_from: Now,
    pub(super) begin: pen::Begin,
}

/// How a recording ends.
#[derive(Clone, Copy)]
pub(super) struct Ending {
    /// At this sample.
    pub(super) until: u64,
    pub(super) ended: Wall,
}

/// What the scribe has to say to the ear.
pub(super) enum News {
    /// A recording goes on.
    Goes {
        recording: Id,
        /// From this moment on.
        at: Instant,
        /// Which is this sample.
        from: u64,
        audio: Audio,
        rate_hz: u32,
        /// Whether it was paused.
        paused: bool,
        /// When all of it began, if nothing is in its file yet, not even the head of a dump.
        headed: Option<Wall>,
    },
    /// Nothing more is written of it.
    Over(Id),
}

/// About a second of a recording.
pub(super) struct Piece {
    pub(super) from: u64,
    pub(super) content: Content,
    pub(super) marks: Vec<Mark>,
}

pub(super) enum Content {
    /// Samples of both channels in turn.
    Frames(Vec<i16>),
    /// Packets of so many milliseconds.
    Packets(Vec<u8>, u64),
}

impl Piece {
    /// Nothing but marks.
    pub(super) fn of_marks(from: u64, marks: Vec<Mark>) -> Self {
        Self {
            from,
            content: Content::Frames(Vec::new()),
            marks,
        }
    }

    /// Bytes of its content.
    pub(super) fn bytes(&self) -> usize {
        match &self.content {
            Content::Frames(frames) => frames.len() * 2,
            Content::Packets(bytes, _) => bytes.len(),
        }
    }

    /// Bytes that it takes while it waits.
    pub(super) fn weight(&self) -> usize {
        self.bytes() + self.marks.len() * size_of::<Mark>() + JOB_BYTES
    }

    /// The sample behind its last one.
    pub(super) fn until(&self) -> u64 {
        let samples = match &self.content {
            Content::Frames(frames) => (frames.len() / 2) as u64,
            Content::Packets(_, millis) => *millis,
        };
        self.from.saturating_add(samples)
    }

    /// Adds marks that came before its own.
    pub(super) fn mark_before(&mut self, mut marks: Vec<Mark>) {
        marks.append(&mut self.marks);
        self.marks = fold(marks);
    }

    pub(super) fn write(&self, pen: &mut Pen) -> Result<(), Error> {
        let (from, marks) = (self.from, self.marks.as_slice());
        match &self.content {
            Content::Frames(frames) => pen.write(&Block { from, frames, marks }),
            Content::Packets(bytes, millis) => pen.write_packets(&Packets {
                from,
                millis: *millis,
                bytes,
                marks,
            }),
        }
    }
}
