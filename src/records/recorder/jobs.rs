//! What the ear has the scribe do.

use std::time::Duration;

use crate::base::id::Id;
use crate::base::limits::{RECORDING_BLOCK_BYTES_MAX, RECORDING_JOB_BYTES, RECORDING_MARKS_MAX};
use crate::base::time::{Instant, Now, Wall};
use crate::call::recording::TooShort;
use crate::records::recordings::Error;
use crate::records::recordings::chain::{Audio, Mark, Unwritten, fold};
use crate::records::recordings::pen::{self, Block, Packets, Pen};

/// In the order in which they are done.
pub(super) enum Job {
    /// A new recording.
    Begin(Box<Start>),
    /// One of a process before this one.
    GoOn(Box<Start>),
    /// The same, if there is one.
    GoOnIfAny(Box<Start>),
    Write(Id, Piece),
    End(Id, Ending),
    /// Nothing of it is kept, whichever process began it.
    Drop(TooShort),
    /// A process before began it, and nobody goes on with it.
    EndLeft(Abandoned),
    /// There is nothing more.
    Leave,
}

/// A recording that a process before this one left, and that nobody goes on with.
#[derive(Clone, Copy)]
pub(super) struct Abandoned {
    pub(super) recording: Id,
    pub(super) call: Id,
    /// When it began: its day's folder is found by that.
    pub(super) began: Wall,
}

/// A recording that begins, or goes on, and whose it is.
pub(super) struct Start {
    pub(super) shard: usize,
    /// From when on it is heard.
    pub(super) heard_from: Now,
    /// And how far in it that is, of a new one: one that lies beside another begins with that, and is heard later.
    pub(super) heard_after: Duration,
    pub(super) begin: pen::Begin,
}

/// How a recording ends.
#[derive(Clone, Copy)]
pub(super) struct Ending {
    /// At this sample.
    pub(super) until: u64,
    pub(super) ended: Wall,
    /// Why the last pieces before that were left out, if they were.
    pub(super) left_out: Option<Unwritten>,
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
    },
    /// Nothing more is written of it.
    Over(Id),
    /// There was none to go on with.
    Absent(Id),
}

impl News {
    /// Of which recording it is.
    pub(super) const fn recording(&self) -> Id {
        match self {
            Self::Goes { recording, .. } => *recording,
            Self::Over(id) | Self::Absent(id) => *id,
        }
    }
}

/// A block of a recording, or the marks of one.
pub(super) struct Piece {
    pub(super) from: u64,
    pub(super) content: Content,
    pub(super) marks: Vec<Mark>,
    /// Why pieces before it were left out, if some were.
    pub(super) left_out: Option<Unwritten>,
}

pub(super) enum Content {
    /// Samples of both channels in turn.
    Frames(Vec<i16>),
    /// So many samples in which nobody said anything.
    Silence(u64),
    /// Packets of so many milliseconds.
    Packets(Vec<u8>, u64),
}

impl Content {
    /// Of these samples. Nothing waits for the disk where all are silent.
    pub(super) fn of(frames: Vec<i16>) -> Self {
        match frames.iter().all(|sample| *sample == 0) {
            true => Self::Silence((frames.len() / 2) as u64),
            false => Self::Frames(frames),
        }
    }
}

impl Piece {
    /// Before which nothing was left out.
    pub(super) const fn of(from: u64, content: Content, marks: Vec<Mark>) -> Self {
        Self {
            from,
            content,
            marks,
            left_out: None,
        }
    }

    /// Nothing but marks.
    pub(super) const fn of_marks(from: u64, marks: Vec<Mark>, left_out: Option<Unwritten>) -> Self {
        Self {
            from,
            content: Content::Silence(0),
            marks,
            left_out,
        }
    }

    /// Whether nobody says anything in it.
    pub(super) const fn is_silence(&self) -> bool {
        match self.content {
            Content::Silence(_) => true,
            Content::Frames(_) | Content::Packets(..) => false,
        }
    }

    /// Makes it longer by silence that follows it, with nothing to be said of that. `false`: that isn't so.
    pub(super) fn lengthen(&mut self, next: &Self) -> bool {
        let is_next = next.from == self.until() && next.marks.is_empty();
        match (&mut self.content, &next.content) {
            (Content::Silence(samples), Content::Silence(more)) if is_next => {
                *samples += more;
                true
            }
            (Content::Silence(_) | Content::Frames(_) | Content::Packets(..), _) => false,
        }
    }

    /// Takes in what follows it, so that both are one block; gives it back where they can't be.
    pub(super) fn join(&mut self, mut next: Self) -> Option<Self> {
        let is_room = self.bytes() + next.bytes() <= RECORDING_BLOCK_BYTES_MAX
            && self.marks.len() + next.marks.len() <= RECORDING_MARKS_MAX;
        if !is_room || next.from != self.until() || next.left_out.is_some() {
            return Some(next);
        }
        match (&mut self.content, &mut next.content) {
            (Content::Frames(frames), Content::Frames(more)) => frames.append(more),
            (Content::Silence(samples), Content::Silence(more)) => *samples += *more,
            (Content::Packets(bytes, millis), Content::Packets(more, longer)) => {
                bytes.append(more);
                *millis += *longer;
            }
            (Content::Frames(_) | Content::Silence(_) | Content::Packets(..), _) => return Some(next),
        }
        self.marks.append(&mut next.marks);
        None
    }

    /// Bytes of its content.
    pub(super) fn bytes(&self) -> usize {
        match &self.content {
            Content::Frames(frames) => frames.len() * 2,
            Content::Silence(_) => 0,
            Content::Packets(bytes, _) => bytes.len(),
        }
    }

    /// Bytes that it takes while it waits.
    pub(super) fn weight(&self) -> usize {
        self.bytes() + self.marks.len() * size_of::<Mark>() + RECORDING_JOB_BYTES
    }

    /// The sample behind its last one.
    pub(super) fn until(&self) -> u64 {
        let samples = match &self.content {
            Content::Frames(frames) => (frames.len() / 2) as u64,
            Content::Silence(samples) => *samples,
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
        if let Some(why) = self.left_out {
            pen.blame(why);
        }
        match &self.content {
            Content::Frames(frames) => pen.write(&Block { from, frames, marks }),
            Content::Silence(samples) => pen.write_silence(from, *samples, marks),
            Content::Packets(bytes, millis) => pen.write_packets(&Packets {
                from,
                millis: *millis,
                bytes,
                marks,
            }),
        }
    }
}
