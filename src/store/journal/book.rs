//! What is written, and what waits to be.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use smallvec::SmallVec;

use super::batch::{Batch, Line, Placed};
use crate::base::id::Id;
use crate::base::limits::JOURNAL_BUFFER;
use crate::base::time::Wall;
use crate::call::port::Records;
use crate::store::entry::What;
use crate::store::file;

/// New calls stop here, so that those in progress still find room for their answer and end.
pub(super) const FULL_AT: usize = JOURNAL_BUFFER / 4 * 3;

/// Something of every call, by its id: a call is looked up a dozen times on its way.
pub(super) type Calls<T> = HashMap<Id, T, ahash::RandomState>;

/// What is written, and what waits to be.
pub(super) struct Book {
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    pub(super) number: u64,
    pub(super) len: u64,
    pub(super) dirty: Dirty,
    pub(super) live: Calls<Live>,
    waiting: VecDeque<Line>,
    /// What waits of calls' states, the last one of each: an entry's place in the sequence stays what it is,
    /// however late it is written.
    states: Calls<State>,
    pub(super) dropped: u64,
    /// The copy to a new segment begins when the segment has this many bytes.
    pub(super) copy_at: u64,
    /// Segments whose successor isn't on the medium yet.
    pub(super) stale: Vec<PathBuf>,
    /// The last failure, until something works again.
    pub(super) error: Option<String>,
}

/// Whether the medium has what the file has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dirty {
    /// It has.
    No,
    /// Not yet.
    Yes,
    /// A sync failed: this file can't be trusted, its calls move to a new one.
    Lost,
}

/// An open call: where its arrival stands in the segment, and what came after; or, of an attempt that was refused, where
/// its finished record does.
#[derive(Clone, Copy)]
pub(super) struct Live {
    pub(super) at: u64,
    pub(super) bytes: u32,
    pub(super) answered: Option<Wall>,
    /// The last sign of life of the process before, until this one has gone on with the call.
    pub(super) died: Option<Wall>,
    pub(super) over: Option<Stood>,
    pub(super) kept: Option<Stood>,
    /// The sequence of the acknowledgement of what is kept.
    pub(super) acked: Option<u64>,
    /// The CDR files have its record, but both sides may have to be told yet that it is over.
    pub(super) recorded: bool,
    /// Its end was said without an arrival before it, which can only be late by now.
    pub(super) ended_first: bool,
}

/// Where a call's state stands, or how it ended.
#[derive(Clone, Copy)]
pub(super) struct Stood {
    pub(super) at: u64,
    pub(super) bytes: u32,
    pub(super) sequence: u64,
}

/// A call's state that waits, and its acknowledgement.
#[derive(Default)]
struct State {
    kept: Option<Line>,
    acked: Option<Line>,
}

/// Whether lines are left to be written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// There are, and the disk takes them.
    Some,
    /// There are none, or the disk takes none.
    Nothing,
}

impl Live {
    /// A call of which nothing else is known.
    pub(super) fn arrived(at: u64, bytes: usize) -> Self {
        Self {
            at,
            bytes: bytes as u32,
            answered: None,
            died: None,
            over: None,
            kept: None,
            acked: None,
            recorded: false,
            ended_first: false,
        }
    }

    /// Its arrival is said again, with what is known of the call since. How one ended is told on the arrival before it.
    fn arrive_again(&mut self, at: u64, bytes: usize) {
        if self.over.is_none() && !self.ended_first {
            (self.at, self.bytes) = (at, bytes as u32);
        }
    }
}

impl Book {
    /// The book of a segment (its file, path and number) in which these calls stand.
    pub(super) fn new(
        (file, path, number): (File, PathBuf, u64),
        len: u64,
        live: Calls<Live>,
        copy_at: u64,
    ) -> Self {
        Self {
            file: Arc::new(file),
            path,
            number,
            len,
            dirty: Dirty::No,
            live,
            waiting: VecDeque::new(),
            states: Calls::default(),
            dropped: 0,
            copy_at,
            stale: Vec::new(),
            error: None,
        }
    }

    /// Writes lines, or keeps them until the disk takes them.
    pub(super) fn take(&mut self, batch: Batch) {
        if self.waiting() == 0 {
            match self.put(&batch) {
                Ok(()) => return,
                Err(error) => self.error = Some(error),
            }
        }
        batch.into_lines().for_each(|line| self.wait(line));
    }

    /// Writes lines. Nothing has changed if that fails: the next try writes over what is there.
    fn put(&mut self, batch: &Batch) -> Result<(), String> {
        let mut arriving = SmallVec::<[Id; 4]>::new();
        let news: SmallVec<[&Placed; 8]> = batch
            .lines
            .iter()
            .filter(|line| {
                // News of a call that is over are left out.
                let known = self.live.contains_key(&line.id) || arriving.contains(&line.id);
                let (is_first, counts) = match line.what {
                    // One that is said again says whom the call reaches, which was not known before.
                    What::Arrived(_) => (!known, true),
                    What::Over(_) => (!known, true),
                    What::Answered(_) | What::Died(_) | What::Kept | What::Acked => (false, known),
                    What::Ended => (false, known && !self.is_kept(&line.id)),
                };
                if is_first {
                    arriving.push(line.id);
                }
                counts
            })
            .collect();
        let is_recorded = |line: &&Placed| line.what == What::Ended && self.is_kept(&line.id);
        let recorded: SmallVec<[Id; 8]> = batch
            .lines
            .iter()
            .filter(is_recorded)
            .map(|line| line.id)
            .collect();
        for id in recorded {
            if let Some(live) = self.live.get_mut(&id) {
                live.recorded = true;
            }
        }
        if news.is_empty() {
            return Ok(());
        }
        let frames = if news.len() == batch.lines.len() {
            Cow::Borrowed(batch.bytes.as_slice())
        } else {
            Cow::Owned(news.iter().flat_map(|line| batch.frame(line)).copied().collect())
        };
        file::write_at(&self.file, &self.path, &frames, self.len)
            .map_err(|error| format!("{}: {error}{}", self.path.display(), file::cure(&error)))?;
        for line in news {
            self.note(line);
        }
        if self.dirty == Dirty::No {
            self.dirty = Dirty::Yes;
        }
        if self.dirty == Dirty::Yes {
            self.error = None;
        }
        Ok(())
    }

    /// Takes note of a line that is written now.
    fn note(&mut self, line: &Placed) {
        let (at, bytes, sequence) = (self.len, line.place.len(), line.sequence);
        match line.what {
            What::Arrived(_) => match self.live.entry(line.id) {
                Entry::Vacant(none) => drop(none.insert(Live::arrived(at, bytes))),
                Entry::Occupied(mut live) => live.get_mut().arrive_again(at, bytes),
            },
            // How a call ended is told behind its arrival. What is kept stays: both sides have to be told yet.
            What::Over(_) => match self.live.entry(line.id) {
                Entry::Vacant(none) => none.insert(Live::arrived(at, bytes)).ended_first = true,
                Entry::Occupied(mut live) => {
                    let live = live.get_mut();
                    let bytes = bytes as u32;
                    live.over = Some(Stood { at, bytes, sequence });
                    (live.answered, live.died) = (None, None);
                }
            },
            What::Answered(at) => {
                if let Some(live) = self.live.get_mut(&line.id) {
                    live.answered.get_or_insert(at);
                }
            }
            What::Died(at) => {
                if let Some(live) = self.live.get_mut(&line.id) {
                    live.died.get_or_insert(at);
                }
            }
            What::Kept => {
                if let Some(live) = self.live.get_mut(&line.id)
                    && live.kept.is_none_or(|before| before.sequence <= sequence)
                {
                    let bytes = bytes as u32;
                    live.kept = Some(Stood { at, bytes, sequence });
                    live.acked = live.acked.filter(|acked| *acked > sequence);
                    live.died = None;
                }
            }
            What::Acked => {
                if let Some(live) = self.live.get_mut(&line.id)
                    && live.kept.is_some_and(|kept| kept.sequence < sequence)
                {
                    live.acked = Some(sequence);
                }
            }
            What::Ended => {
                self.live.remove(&line.id);
            }
        }
        self.len += bytes as u64;
    }

    /// Keeps a line that the disk doesn't take. Only arrivals are bounded by a number: the switch takes none any more
    /// when this many entries wait. Each of the others belongs to a call that is up or was, so that they are few, and
    /// of a call's states only the last one waits; without them a record would be wrong, or twice, or a call lost.
    fn wait(&mut self, line: Line) {
        match line.what {
            What::Arrived(_) if self.waiting.len() >= JOURNAL_BUFFER => self.dropped += 1,
            What::Arrived(_) | What::Answered(_) | What::Died(_) => self.waiting.push_back(line),
            What::Kept => {
                let state = self.states.entry(line.id).or_default();
                if is_newer(&line, state.kept.as_ref()) {
                    state.acked = state.acked.take().filter(|acked| acked.sequence > line.sequence);
                    state.kept = Some(line);
                }
            }
            What::Acked => {
                let state = self.states.entry(line.id).or_default();
                if is_newer(&line, state.acked.as_ref()) {
                    state.acked = Some(line);
                }
            }
            What::Over(_) | What::Ended => self.waiting.push_back(line),
        }
    }

    /// Both sides of a call know that it is over: nothing has to be kept of it but its record, and not even that if the
    /// CDR files have it. Whether they do: then its end is to be written now.
    pub(super) fn told(&mut self, id: Id) -> bool {
        self.states.remove(&id);
        self.live.get_mut(&id).is_some_and(|live| {
            (live.kept, live.acked) = (None, None);
            live.recorded
        })
    }

    /// Whether both sides of a call may have to be told yet that it is over.
    fn is_kept(&self, id: &Id) -> bool {
        self.states.contains_key(id) || self.live.get(id).is_some_and(|live| live.kept.is_some())
    }

    /// How many lines wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len() + self.states.len()
    }

    /// Writes a few of the lines that wait: states behind all others, so that their calls are known.
    pub(super) fn retry(&mut self, most: usize) -> Left {
        for _ in 0..most {
            let Some(line) = self.waiting.pop_front() else {
                return self.retry_states(most);
            };
            let mut batch = Batch::default();
            batch.push(line);
            if let Err(error) = self.put(&batch) {
                self.error = Some(error);
                batch.into_lines().for_each(|line| self.waiting.push_front(line));
                return Left::Nothing;
            }
        }
        Left::Some
    }

    fn retry_states(&mut self, most: usize) -> Left {
        let ids: Vec<Id> = self.states.keys().take(most).copied().collect();
        for id in ids {
            let state = self.states.remove(&id).unwrap_or_default();
            let mut batch = Batch::default();
            [state.kept, state.acked]
                .into_iter()
                .flatten()
                .for_each(|line| batch.push(line));
            if let Err(error) = self.put(&batch) {
                self.error = Some(error);
                batch.into_lines().for_each(|line| self.wait(line));
                return Left::Nothing;
            }
        }
        if self.states.is_empty() {
            Left::Nothing
        } else {
            Left::Some
        }
    }

    pub(super) fn records(&self) -> Records {
        // A file that can't be trusted keeps nothing either, until its calls have moved.
        if self.waiting.len() >= FULL_AT || self.dirty == Dirty::Lost {
            Records::Full
        } else {
            Records::Kept
        }
    }
}

/// Whether a line comes after the one that waits.
fn is_newer(line: &Line, waiting: Option<&Line>) -> bool {
    waiting.is_none_or(|before| before.sequence <= line.sequence)
}
