//! What the ear gives out: pieces for the scribe, as far as there is room for what waits, and what is to be said of the others.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crossbeam_channel::Sender;

use super::Shared;
use super::ear::Open;
use super::jobs::{Content, Job, Piece};
use super::marks::{fault_of, unwritten};
use crate::base::id::Id;
use crate::base::limits::{
    RECORDING_STALLED_AFTER, RECORDING_WAITING_BYTES_EACH, RECORDING_WAITING_BYTES_FEW,
    RECORDING_WAITING_BYTES_MAX,
};
use crate::base::time::Instant;
use crate::call::recording::{Fault, Report};
use crate::records::recordings::chain::fold;

/// Which gaps of a recording were told: each kind once.
pub(super) type Told = Vec<Fault>;

/// Moments that are kept of what waits: the oldest is looked for.
const UNDONE_MAX: usize = 64;

/// Where pieces go.
pub(super) struct Out {
    shared: Arc<Shared>,
    jobs: Sender<Job>,
    /// How many jobs were given.
    given: u64,
    /// How many had been given by when, of those that aren't done.
    undone: VecDeque<(u64, Instant)>,
    /// Bytes that may wait, of as many recordings as there may be.
    pub(super) waiting_max: usize,
    /// Recordings that are open.
    pub(super) open: usize,
}

impl Out {
    pub(super) const fn new(shared: Arc<Shared>, jobs: Sender<Job>) -> Self {
        Self {
            shared,
            jobs,
            given: 0,
            undone: VecDeque::new(),
            waiting_max: RECORDING_WAITING_BYTES_MAX,
            open: 0,
        }
    }

    /// Bytes that may wait now.
    fn room(&self) -> usize {
        let of_these = self.open.saturating_mul(RECORDING_WAITING_BYTES_EACH);
        self.waiting_max.min(of_these.max(RECORDING_WAITING_BYTES_FEW))
    }

    /// Whether there is anybody to do it.
    pub(super) fn job(&mut self, job: Job) -> bool {
        self.given += 1;
        self.jobs.send(job).is_ok()
    }

    /// A recording is to begin, or to go on.
    ///
    /// # Errors
    /// It can't, and why.
    pub(super) fn begin(&mut self, job: Job) -> Result<(), Fault> {
        if self.shared.status.counts().waiting_bytes >= self.room() {
            return Err(self.shared.status.fault());
        }
        match self.job(job) {
            true => Ok(()),
            false => Err(Fault::Recorder),
        }
    }

    pub(super) fn give_whole(&mut self, id: Id, open: &mut Open, now: Instant) {
        let mut silence: Option<Piece> = None;
        while let Some(piece) = open.poll(now) {
            for why in piece.marks.iter().filter_map(fault_of) {
                self.report_gap(id, open, why);
            }
            // A machine that stood still has many blocks at once in which nobody spoke.
            if let Some(before) = &mut silence
                && before.lengthen(&piece)
            {
                continue;
            }
            if let Some(before) = silence.take() {
                self.give(id, open, before);
            }
            match piece.is_silence() {
                true => silence = Some(piece),
                false => self.give(id, open, piece),
            }
        }
        if let Some(last) = silence {
            self.give(id, open, last);
        }
    }

    /// It begins after so much in which there was nothing for it.
    pub(super) fn give_silence(&mut self, id: Id, open: &mut Open, until: u64) {
        if until > 0 {
            let silence = Piece::of(0, Content::Silence(until), Vec::new());
            open.until = until;
            self.give_in_any_case(id, open, silence);
        }
    }

    /// Gives what each recording has once or twice, and no more.
    fn give_in_any_case(&mut self, id: Id, open: &mut Open, piece: Piece) {
        self.shared.status.wait(piece.weight(), usize::MAX);
        self.write(id, open, piece);
    }

    fn give(&mut self, id: Id, open: &mut Open, mut piece: Piece) {
        open.until = open.until.max(piece.until());
        piece.mark_before(std::mem::take(&mut open.marks));
        piece.left_out = open.left_out;
        let weight = piece.weight();
        if !self.shared.status.wait(weight, self.room()) {
            // The scribe finds that it is missing.
            open.marks = fold(piece.marks);
            let why = self.shared.status.fault();
            open.left_out.get_or_insert(unwritten(why));
            return self.report_gap(id, open, why);
        }
        open.left_out = None;
        self.write(id, open, piece);
    }

    fn write(&mut self, id: Id, open: &mut Open, piece: Piece) {
        let weight = piece.weight();
        if !self.job(Job::Write(id, piece)) {
            self.shared.status.waited(weight);
            self.report_gap(id, open, Fault::Recorder);
        }
    }

    /// All that is left of one that is over.
    pub(super) fn give_rest(&mut self, id: Id, open: &mut Open, at: Instant) {
        open.end(at);
        self.give_whole(id, open, at);
        let marks = std::mem::take(&mut open.marks);
        if !marks.is_empty() {
            let piece = Piece::of_marks(open.until, marks, open.left_out.take());
            self.give_in_any_case(id, open, piece);
        }
    }

    /// Something of it isn't kept.
    pub(super) fn report_gap(&self, recording: Id, open: &mut Open, why: Fault) {
        if !open.told.contains(&why) {
            open.told.push(why);
            self.shared.report(open.shard, Report::Gap { recording, why });
        }
    }

    /// Says of all that are open that they wait, if what was given long ago isn't done.
    pub(super) fn look_at_disk(&mut self, now: Instant, open: &HashMap<Id, Open, ahash::RandomState>) {
        let status = &self.shared.status;
        let done = status.done();
        while self.undone.front().is_some_and(|(given, _)| *given <= done) {
            self.undone.pop_front();
        }
        let is_newer = |(given, _): &(u64, Instant)| *given < self.given;
        if self.given > done && self.undone.len() < UNDONE_MAX && self.undone.back().is_none_or(is_newer) {
            self.undone.push_back((self.given, now));
        }
        let oldest = self.undone.front().map(|(_, since)| now - *since);
        let stalled = oldest.filter(|waits| *waits >= RECORDING_STALLED_AFTER);
        status.set_stalled(stalled);
        if stalled.is_none() {
            return;
        }
        let why = status.fault();
        // What lies beside another one waits as that does.
        for (id, open) in open.iter().filter(|(_, open)| !open.is_aside()) {
            let is_new = status.slow().insert(*id, open.shard).is_none();
            if is_new {
                let recording = *id;
                self.shared.report(open.shard, Report::Waits { recording, why });
            }
        }
    }
}
