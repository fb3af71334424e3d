//! How the recorder is: what its threads tell, and what its owner asks.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::id::Id;
use crate::call::recording::{Fault, Report};

/// What there is to count of recordings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Recordings that are being written.
    pub open: usize,
    /// Bytes that wait for the disk.
    pub waiting_bytes: usize,
    /// Bytes that were written, as they were before they were sealed.
    pub written_bytes: u64,
    /// How often it was reported that a recording has a gap.
    pub gaps: u64,
    /// How often it was reported that one is lost.
    pub lost: u64,
    /// Packets that came faster than they were taken.
    pub missed_packets: u64,
    /// Orders that found no room.
    pub refused_orders: u64,
}

#[derive(Default)]
pub(super) struct Status {
    waiting: AtomicUsize,
    written: AtomicU64,
    gaps: AtomicU64,
    lost: AtomicU64,
    missed: AtomicU64,
    refused: AtomicU64,
    /// Recordings that have files, or should.
    open: Mutex<HashSet<Id>>,
    trouble: Mutex<Option<(Fault, String)>>,
    /// Why what is old isn't deleted.
    unkept: Mutex<Option<String>>,
    /// Jobs that the scribe has done.
    done: AtomicU64,
    /// For how many seconds the oldest job waits, if that is too long; otherwise 0.
    stalled: AtomicU64,
    /// For how many seconds the audit log hasn't answered, if that is too long; otherwise 0.
    log_stalled: AtomicU64,
    /// Recordings of which it was told that they wait because of that, and whose they are.
    slow: Mutex<HashMap<Id, usize>>,
}

impl Status {
    pub(super) fn counts(&self) -> Counts {
        Counts {
            open: self.open().len(),
            waiting_bytes: self.waiting.load(Ordering::Relaxed),
            written_bytes: self.written.load(Ordering::Relaxed),
            gaps: self.gaps.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            missed_packets: self.missed.load(Ordering::Relaxed),
            refused_orders: self.refused.load(Ordering::Relaxed),
        }
    }

    pub(super) fn note(&self, report: &Report) {
        let count = match report {
            Report::Gap { .. } => &self.gaps,
            Report::Lost { .. } => &self.lost,
            Report::Waits { .. } | Report::Written { .. } => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// So many packets were missed since the start.
    pub(super) fn missed(&self, packets: u64) {
        self.missed.store(packets, Ordering::Relaxed);
    }

    /// So many bytes are to wait, unless more would than may: whether they do.
    pub(super) fn wait(&self, bytes: usize, max: usize) -> bool {
        // The ear is the only one that adds.
        if self.waiting.load(Ordering::Relaxed).saturating_add(bytes) > max {
            return false;
        }
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    /// They wait no longer.
    pub(super) fn waited(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn written(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The recordings that are being written.
    pub(super) fn open(&self) -> MutexGuard<'_, HashSet<Id>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn said(&self) -> MutexGuard<'_, Option<(Fault, String)>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_trouble(&self, trouble: Option<(Fault, String)>) {
        *self.said() = trouble;
    }

    /// What is wrong with the disk, in a sentence.
    pub(super) fn trouble(&self) -> Option<String> {
        let refused = self.said().as_ref().map(|(_, sentence)| sentence.clone());
        let [stalled, log] = [&self.stalled, &self.log_stalled].map(|of| of.load(Ordering::Relaxed));
        let disk = || {
            (stalled > 0).then(|| {
                format!(
                    "the disk of recordings hasn't answered for {stalled} s, and what was heard since waits in memory: \
                     check that disk"
                )
            })
        };
        let audit = || {
            (log > 0).then(|| {
                format!(
                    "the disk of the audit log hasn't answered for {log} s, recordings go on and their ends wait to be noted: \
                     check that disk"
                )
            })
        };
        refused.or_else(disk).or_else(audit)
    }

    pub(super) fn set_unkept(&self, sentence: Option<String>) {
        *self.unkept.lock().unwrap_or_else(PoisonError::into_inner) = sentence;
    }

    /// Why what is old isn't deleted, in a sentence.
    pub(super) fn unkept(&self) -> Option<String> {
        self.unkept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the disk has refused something, and nobody knows yet that it takes it again.
    pub(super) fn is_refused(&self) -> bool {
        self.said().is_some()
    }

    /// How many jobs the scribe has done since the start.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// So many more are done.
    pub(super) fn add_done(&self, jobs: u64) {
        self.done.fetch_add(jobs, Ordering::Relaxed);
    }

    /// The oldest job waits for so long, which is too long; `None`: it isn't.
    pub(super) fn set_stalled(&self, waits: Option<Duration>) {
        self.stalled.store(seconds_of(waits), Ordering::Relaxed);
    }

    /// The audit log is at one thing for so long, which is too long; `None`: it isn't.
    pub(super) fn set_log_stalled(&self, waits: Option<Duration>) {
        self.log_stalled.store(seconds_of(waits), Ordering::Relaxed);
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed) > 0
    }

    /// The recordings of which it was told that they wait for a disk that doesn't answer.
    pub(super) fn slow(&self) -> MutexGuard<'_, HashMap<Id, usize>> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the disk takes nothing, or not fast enough.
    pub(super) fn fault(&self) -> Fault {
        self.said().as_ref().map_or(Fault::DiskSlow, |(fault, _)| *fault)
    }
}

fn seconds_of(time: Option<Duration>) -> u64 {
    time.map_or(0, |time| time.as_secs())
}
