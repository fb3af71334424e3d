//! The thread behind the writer: sled in batches, snapshots, and how far the log may be forgotten.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select};

use super::disk::Disk;
use super::open::{Places, put};
use super::reserve::Reserve;
use super::snapshot::{self, SnapshotError};
use super::writer::Settings;
use crate::masking::change::Change;

/// Changes that may wait here for sled. Beyond it the writer waits, and callers get 429.
pub(super) const WAITING_MAX: usize = 200_000;
/// Changes that go into sled at a time.
const BATCH: usize = 2_000;
/// How long a sled that failed rests before it is opened again.
const REST: Duration = Duration::from_secs(10);

/// A change that is durable and visible.
pub(super) struct Followed {
    pub(super) seq: u64,
    pub(super) change: Change,
    /// Its bytes in the log.
    pub(super) bytes: u64,
}

/// A snapshot that somebody waits for.
pub(super) struct Ask {
    /// It must hold at least the changes up to here.
    pub(super) seq: u64,
    pub(super) reply: Sender<Result<Taken, SnapshotError>>,
}

/// A whole snapshot, open: it can be read even if its name goes meanwhile.
pub struct Taken {
    /// The last change that it holds.
    pub seq: u64,
    /// The file, from its start.
    pub file: File,
}

/// How sled is doing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum DiskState {
    /// It follows.
    #[default]
    Following,
    /// It failed and is opened again every ten seconds; bindings are safe in the log meanwhile.
    Failing(String),
    /// It failed for so long that only a restart brings it back; bindings are safe in the log meanwhile.
    Left(String),
}

/// What the follower tells: read by the writer and by health.
#[derive(Default)]
pub(super) struct Progress {
    /// The last change that sled holds durably.
    pub(super) disk_seq: AtomicU64,
    /// The last change of the newest snapshot.
    pub(super) snapshot_seq: AtomicU64,
    /// Everything up to here may leave the log.
    pub(super) forgettable: AtomicU64,
    state: Mutex<(DiskState, Option<String>)>,
    reserve: Mutex<Option<String>>,
}

impl Progress {
    pub(super) fn disk_state(&self) -> DiskState {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .clone()
    }

    /// Why the last snapshot was not written, if it wasn't.
    pub(super) fn snapshot_error(&self) -> Option<String> {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .clone()
    }

    /// What there is to say of the reserve, while it isn't whole.
    pub(super) fn reserve(&self) -> Option<String> {
        self.reserve
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set_reserve(&self, trouble: Option<String>) {
        *self.reserve.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    fn set_disk(&self, state: DiskState) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 = state;
    }

    fn set_snapshot_error(&self, error: Option<String>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = error;
    }
}

pub(super) struct Follower {
    places: Places,
    reserve: Reserve,
    /// `None` while it is failed.
    disk: Option<Disk>,
    progress: Arc<Progress>,
    changes: Receiver<Vec<Followed>>,
    asks: Receiver<Ask>,
    /// Those whose changes are not all in sled yet.
    asked: Vec<Ask>,
    /// Everything that sled may not hold durably yet, oldest first.
    waiting: VecDeque<Followed>,
    /// How many of those, from the front, are applied.
    applied: usize,
    every: Duration,
    snapshot_bytes: u64,
    bytes_since_snapshot: u64,
    next_try: Instant,
}

impl Follower {
    /// The follower of the store under `path`.
    pub(super) fn new(
        path: &Path,
        settings: &Settings,
        disk: Disk,
        progress: Arc<Progress>,
        changes: Receiver<Vec<Followed>>,
        asks: Receiver<Ask>,
    ) -> Self {
        let mut follower = Self {
            places: Places::under(path),
            reserve: Reserve::of(path, settings.reserve_bytes),
            disk: None,
            progress,
            changes,
            asks,
            asked: Vec::new(),
            waiting: VecDeque::new(),
            applied: 0,
            every: settings.follow_every,
            snapshot_bytes: settings.snapshot_bytes,
            bytes_since_snapshot: 0,
            next_try: Instant::now(),
        };
        follower
            .progress
            .disk_seq
            .store(disk.durable_seq(), Ordering::Release);
        follower.disk = Some(disk);
        follower.allow_forgetting();
        follower
    }

    /// Follows until the writer is gone; then all of it is in sled and on the medium.
    pub(super) fn run(mut self) {
        loop {
            let until = Instant::now() + self.every;
            let open = loop {
                select! {
                    recv(self.changes) -> group => match group {
                        Ok(group) => self.take(group),
                        Err(_) => break false,
                    },
                    recv(self.asks) -> ask => {
                        // Nobody asks any more once the writer is gone: its own channel tells that.
                        self.asked.extend(ask);
                        break true;
                    },
                    default(until.saturating_duration_since(Instant::now())) => break true,
                }
                if self.waiting.len() - self.applied >= BATCH {
                    self.apply();
                }
                if self.waiting.len() >= WAITING_MAX {
                    break true;
                }
            };
            self.follow();
            if !open {
                return;
            }
        }
    }

    fn take(&mut self, group: Vec<Followed>) {
        self.bytes_since_snapshot += group.iter().map(|f| f.bytes).sum::<u64>();
        self.waiting.extend(group);
    }

    /// Everything that is due: sled, its sync, a snapshot.
    pub(super) fn follow(&mut self) {
        while let Ok(group) = self.changes.try_recv() {
            self.take(group);
        }
        self.reopen();
        self.apply();
        self.flush();
        if self.bytes_since_snapshot >= self.snapshot_bytes {
            // A failure is told by health, and tried again.
            let _ = self.snapshot();
        }
        self.answer();
        self.progress.set_reserve(self.reserve.refill());
    }

    /// Gives everybody who waits for a snapshot the newest one, written now if changes came since.
    fn answer(&mut self) {
        let Some(disk) = &self.disk else {
            let (DiskState::Failing(why) | DiskState::Left(why)) = self.progress.disk_state() else {
                return;
            };
            for ask in self.asked.drain(..) {
                // Who left doesn't miss the answer.
                let _ = ask.reply.send(Err(SnapshotError::Records(why.clone())));
            }
            return;
        };
        let held = disk.durable_seq();
        let (ready, later) = self.asked.drain(..).partition(|ask| ask.seq <= held);
        self.asked = later;
        let ready: Vec<Ask> = ready;
        if ready.is_empty() {
            return;
        }
        let written = self.snapshot();
        for ask in ready {
            let taken = match &written {
                Ok(()) => self.newest(),
                Err(why) => Err(SnapshotError::Records(why.clone())),
            };
            let _ = ask.reply.send(taken);
        }
    }

    fn newest(&self) -> Result<Taken, SnapshotError> {
        let seq = self.progress.snapshot_seq.load(Ordering::Acquire);
        let path = snapshot::path(&self.places.snapshots, seq);
        match File::open(&path) {
            Ok(file) => Ok(Taken { seq, file }),
            Err(error) => Err(SnapshotError::Io { path, error }),
        }
    }

    fn apply(&mut self) {
        let Some(disk) = &mut self.disk else {
            return self.leave_if_too_far_behind();
        };
        while self.applied < self.waiting.len() {
            let batch = self.waiting.len().min(self.applied + BATCH);
            let changes = self.waiting.range(self.applied..batch);
            let seq = self.waiting.get(batch - 1).map_or(0, |f| f.seq);
            if let Err(error) = disk.apply(seq, changes.flat_map(|f| f.change.records.iter().map(put))) {
                return self.failed(error.to_string());
            }
            self.applied = batch;
        }
    }

    fn flush(&mut self) {
        let Some(disk) = self.disk.as_mut().filter(|_| self.applied > 0) else {
            return;
        };
        match disk.flush() {
            Ok(seq) => {
                self.waiting.drain(..self.applied);
                self.applied = 0;
                self.progress.disk_seq.store(seq, Ordering::Release);
                // A hint for the next start: without it only a sentence is missing.
                let _ = fs::write(&self.places.sled_held, seq.to_string());
                self.allow_forgetting();
            }
            Err(error) => self.failed(error.to_string()),
        }
    }

    fn failed(&mut self, why: String) {
        tracing::error!(
            why,
            "sled failed; bindings are safe in the log, and it is opened again"
        );
        self.disk = None;
        self.applied = 0;
        self.next_try = Instant::now() + REST;
        self.progress.set_disk(DiskState::Failing(why));
    }

    /// Without sled, what waits must not grow without end: the log has it all.
    fn leave_if_too_far_behind(&mut self) {
        let state = self.progress.disk_state();
        let (DiskState::Failing(why) | DiskState::Left(why)) = state else {
            return;
        };
        if self.waiting.len() >= WAITING_MAX {
            self.progress.set_disk(DiskState::Left(why));
        }
        if matches!(self.progress.disk_state(), DiskState::Left(_)) {
            self.waiting.clear();
        }
    }

    /// Opens sled again after a failure, if what it holds and what waits here meet.
    pub(super) fn reopen(&mut self) {
        let failing = matches!(self.progress.disk_state(), DiskState::Failing(_));
        if self.disk.is_some() || !failing || Instant::now() < self.next_try {
            return;
        }
        self.next_try = Instant::now() + REST;
        let opened = Disk::open(&self.places.sled).and_then(|disk| {
            disk.load(&mut |_, _| Ok(()))?;
            Ok(disk)
        });
        let disk = match opened {
            Ok(disk) => disk,
            Err(error) => return self.progress.set_disk(DiskState::Failing(error.to_string())),
        };
        let held = disk.applied_seq();
        if self
            .waiting
            .front()
            .is_some_and(|f| f.seq > held.saturating_add(1))
        {
            let why = format!("{} lost changes after {held}", self.places.sled.display());
            return self.progress.set_disk(DiskState::Left(why));
        }
        // What it holds may not be on the medium: it stays in line until the next flush.
        self.applied = self.waiting.iter().take_while(|f| f.seq <= held).count();
        self.disk = Some(disk);
        self.progress.set_disk(DiskState::Following);
        tracing::info!(held, "sled is open again");
    }

    /// Writes a snapshot of what sled holds, unless the newest one is that. Changes that come meanwhile wait.
    /// An error is a sentence; health has it too.
    fn snapshot(&mut self) -> Result<(), String> {
        let Some(disk) = &self.disk else {
            return Err("sled is not open".into());
        };
        let seq = disk.durable_seq();
        if seq != disk.applied_seq() {
            return Err("sled is behind its file".into());
        }
        let is_there = seq == self.progress.snapshot_seq.load(Ordering::Acquire);
        if is_there && snapshot::path(&self.places.snapshots, seq).exists() {
            return Ok(());
        }
        let (changes, waiting, mut bytes) = (&self.changes, &mut self.waiting, 0);
        let mut records = disk.sorted().enumerate().map(|(n, record)| {
            if n.is_multiple_of(1_000) && waiting.len() < WAITING_MAX {
                for group in changes.try_iter() {
                    bytes += group.iter().map(|f| f.bytes).sum::<u64>();
                    waiting.extend(group);
                }
            }
            record.map_err(|error| error.to_string())
        });
        let written = snapshot::write(&self.places.snapshots, seq, &mut records);
        drop(records);
        match written {
            Ok(snapshot) => {
                tracing::info!(seq, records = snapshot.records, "snapshot written");
                self.bytes_since_snapshot = bytes;
                self.progress.snapshot_seq.store(seq, Ordering::Release);
                self.progress.set_snapshot_error(None);
                self.allow_forgetting();
                Ok(())
            }
            Err(error) => {
                // The next try comes after half as much again, not every second.
                self.bytes_since_snapshot = self.snapshot_bytes / 2;
                tracing::warn!(%error, "no snapshot; the log is kept meanwhile");
                let sentence = error.to_string();
                self.progress.set_snapshot_error(Some(sentence.clone()));
                if let SnapshotError::Records(why) = error {
                    // Not the snapshot's fault: what sled gives is not what it was given.
                    self.failed(why);
                }
                Err(sentence)
            }
        }
    }

    /// The log is needed from the older snapshot on, and from what sled holds on.
    fn allow_forgetting(&self) {
        let by_snapshot = snapshot::log_needed_after(&self.places.snapshots).unwrap_or(0);
        let by_disk = self.progress.disk_seq.load(Ordering::Acquire);
        self.progress
            .forgettable
            .store(by_snapshot.min(by_disk), Ordering::Release);
    }

    /// For tests: takes what the writer sent, group by group.
    #[cfg(test)]
    pub(super) fn waiting_groups(&self) -> Vec<Vec<Followed>> {
        self.changes.try_iter().collect()
    }

    /// For tests: sled loses a record behind our back.
    #[cfg(test)]
    pub(super) fn lose(&self, key: &[u8]) {
        self.disk.as_ref().expect("sled is open").lose(key);
    }

    /// For tests: the rest after a failure is over.
    #[cfg(test)]
    pub(super) fn try_now(&mut self) {
        self.next_try = Instant::now();
    }
}
