//! What the scribe asks of the audit log, and has it note. The disk under the log may be another one than that of recordings:
//! while it stands still, recordings are written as before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError, bounded};

use super::Shared;
use super::notes::Notes;
use crate::base::id::Id;
use crate::base::limits::{AUDIT_ANSWERS_WITHIN, RECORDING_STALLED_AFTER};
use crate::base::time::Instant;
use crate::records::audit::{Act, Error};
use crate::records::recordings::chain::Sha;

/// Something that waits for the log's disk.
pub(super) type Errand = Box<dyn FnOnce() + Send>;
/// Takes errands, to do one after the other. Never waits for them.
pub(super) type Messenger = Box<dyn Fn(Errand) + Send>;

/// What a recording's end is, says the log.
type End = Result<Option<Sha>, Error>;

pub(super) struct Desk {
    shared: Arc<Shared>,
    messenger: Messenger,
    /// Ends that the log is to have.
    pub(super) notes: Arc<Notes>,
    noting: Arc<Noting>,
    /// How long an answer is waited for.
    pub(super) patience: Duration,
    /// An answer that hasn't come in time.
    late: Option<Receiver<End>>,
    /// Since when the log is at the errand of that number.
    since: Option<(u64, Instant)>,
    /// It was said that it doesn't answer.
    is_said: bool,
}

/// How noting goes.
#[derive(Default)]
struct Noting {
    /// Somebody is at it, or is to be.
    is_under_way: AtomicBool,
    /// The log has refused, and it isn't known that it takes any again.
    is_refused: AtomicBool,
    /// Errands that were done.
    done: AtomicU64,
}

impl Desk {
    pub(super) fn new(shared: Arc<Shared>, messenger: Messenger) -> Self {
        Self {
            shared,
            messenger,
            notes: Arc::default(),
            noting: Arc::default(),
            patience: AUDIT_ANSWERS_WITHIN,
            late: None,
            since: None,
            is_said: false,
        }
    }

    /// With which digits the chain of a recording ended, if it was whole once. Waits a moment at the most, and not at all
    /// while an earlier answer hasn't come.
    ///
    /// # Errors
    /// The log can't be read, or doesn't answer.
    pub(super) fn end_of(&mut self, recording: Id) -> End {
        if let Some(late) = &self.late
            && late.try_recv().is_err_and(|error| error == TryRecvError::Empty)
        {
            return Err(self.silent());
        }
        self.late = None;
        let (answer, answers) = bounded(1);
        let (shared, noting) = (self.shared.clone(), self.noting.clone());
        (self.messenger)(Box::new(move || {
            // Whoever asked may have gone.
            let _ = answer.send(shared.settings.audit.end_of(recording));
            noting.done.fetch_add(1, Ordering::Relaxed);
        }));
        match answers.recv_timeout(self.patience) {
            Ok(end) => end,
            Err(RecvTimeoutError::Timeout) => {
                self.late = Some(answers);
                Err(self.silent())
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.silent()),
        }
    }

    /// The same for a call that goes on: it isn't to suffer by a log that can't be asked.
    pub(super) fn end_if_known(&mut self, recording: Id) -> Option<Sha> {
        match self.end_of(recording) {
            Ok(end) => {
                self.is_said = false;
                end
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_said, true) {
                    tracing::warn!(
                        "{error}: recordings of calls in progress go on, and whether they were whole before isn't looked at"
                    );
                }
                None
            }
        }
    }

    fn silent(&self) -> Error {
        let dir = self.shared.settings.config.audit_dir.clone();
        Error::Disk(dir, std::io::ErrorKind::TimedOut.into())
    }

    /// No job waits: what became whole is noted, unless the log has refused that.
    pub(super) fn rest(&self) {
        if !self.notes.is_empty() && !self.noting.is_refused.load(Ordering::Acquire) {
            self.note();
        }
    }

    /// Notes what waits, and looks whether a log that has refused takes anything again.
    pub(super) fn note(&self) {
        let is_needed = !self.notes.is_empty() || self.shared.settings.audit.health().is_some();
        if is_needed && !self.noting.is_under_way.swap(true, Ordering::AcqRel) {
            self.send();
        }
    }

    /// Nothing more comes: what waits is noted behind what the log is at.
    pub(super) fn close(&self) {
        self.send();
    }

    fn send(&self) {
        let (shared, notes, noting) = (self.shared.clone(), self.notes.clone(), self.noting.clone());
        (self.messenger)(Box::new(move || {
            let audit = &shared.settings.audit;
            // While it refuses, its health says so.
            let noted = notes.write(audit, shared.now().wall, |line| {
                // Behind the end of one that was left comes that it is kept.
                let is_all = line.act != Act::Ended || line.end.is_none();
                if let Some(recording) = line.recording.as_ref().filter(|_| is_all) {
                    shared.status.open().remove(recording);
                }
            });
            audit.try_again();
            noting.is_refused.store(noted.is_err(), Ordering::Release);
            noting.is_under_way.store(false, Ordering::Release);
            noting.done.fetch_add(1, Ordering::Relaxed);
        }));
    }

    /// Says it if the log has been at one errand for too long.
    pub(super) fn look(&mut self, now: Instant) {
        let is_late = |late: &Receiver<End>| late.is_empty();
        let waits =
            self.noting.is_under_way.load(Ordering::Acquire) || self.late.as_ref().is_some_and(is_late);
        let done = self.noting.done.load(Ordering::Relaxed);
        let since = self.since.filter(|(errand, _)| *errand == done);
        self.since = waits.then(|| since.unwrap_or((done, now)));
        let stands_still = self.since.map(|(_, since)| now - since);
        let stands_still = stands_still.filter(|time| *time >= RECORDING_STALLED_AFTER);
        self.shared.status.set_log_stalled(stands_still);
    }
}
