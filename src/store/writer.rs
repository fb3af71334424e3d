//! The one writer: queue → law → log (durable) → table (visible) → reply (acknowledged), a group at a time.
//!
//! Whatever waits when the writer looks is one group with one fdatasync, so the disk's slowness is shared. Each
//! write is planned on top of the group's earlier ones; nobody else sees any of them before all are durable. If
//! the disk refuses a group, every write of it is answered so, refusals too: they may rest on the others.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};

use super::follow::{Ask, DiskState, Followed, Follower, Progress, Taken};
use super::log::{Log, SEGMENT_BYTES};
use super::open::{self, OpenError, OpenReport, Opened};
use super::snapshot::SnapshotError;
use crate::base::chance::Chance;
use crate::base::histogram::Histogram;
use crate::base::limits::{BIND_QUEUE, DISK_RESERVE_BYTES};
use crate::base::time::Wall;
use crate::masking::change::Change;
use crate::masking::request::{Refused, Write, Written};
use crate::masking::table::Table;

/// Writes of one group.
const GROUP_MAX: usize = 512;
/// Bytes of one group; it may end with one write beyond (an unbinding of a whole number is large).
const GROUP_BYTES: usize = 4 << 20;
/// Groups on their way to the follower.
const FOLLOW_QUEUE: usize = 64;
/// Snapshots that may be asked for at once.
const ASKS_MAX: usize = 8;
/// Expiries and forgotten bindings are looked for this often.
const TICK: Duration = Duration::from_secs(1);

/// What gets the answer to a write. It is called on the writer's thread: it must hand over and return.
pub type Reply = Box<dyn FnOnce(Result<Written, WriteError>) + Send>;

/// How the store works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A log segment ends past this many bytes.
    pub segment_bytes: u64,
    /// A snapshot is written after this many bytes of log.
    pub snapshot_bytes: u64,
    /// sled follows at least this often.
    pub follow_every: Duration,
    /// Ended bindings are kept this long.
    pub keep_ended: Duration,
    /// Bytes of the disk that are kept for a start while it is full.
    pub reserve_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            snapshot_bytes: 256 << 20,
            follow_every: Duration::from_secs(1),
            keep_ended: Duration::from_secs(200 * 86_400),
            reserve_bytes: DISK_RESERVE_BYTES,
        }
    }
}

/// More writes wait than [`BIND_QUEUE`] allows. Nothing was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{BIND_QUEUE} writes wait already: try again in a moment")]
pub struct QueueFull;

/// Why a write was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteError {
    /// The law refuses it.
    Refused(Refused),
    /// The disk refuses it, or the server is stopping: a sentence.
    Disk(String),
}

/// Whether the writer takes writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteState {
    /// It does.
    Taken,
    /// The last group was refused by the disk, with this sentence; the next is tried all the same.
    Refused(String),
    /// The writer has ended.
    Stopped,
}

/// How the store is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreHealth {
    /// Whether writes are taken.
    pub writes: WriteState,
    /// Writes that wait.
    pub waiting: usize,
    /// The last change that is in force.
    pub seq: u64,
    /// How sled is doing.
    pub disk: DiskState,
    /// The last change that sled holds on the medium.
    pub disk_seq: u64,
    /// The last change of the newest snapshot.
    pub snapshot_seq: u64,
    /// Why the last snapshot was not written, if it wasn't.
    pub snapshot_error: Option<String>,
    /// What there is to say of the room that is kept for a start on a full disk, while it isn't whole.
    pub reserve: Option<String>,
}

/// The store's handle: cheap to clone. The last one to go closes it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    table: Arc<Table>,
    shared: Arc<Shared>,
    queue: Sender<Job>,
    asks: Sender<Ask>,
    progress: Arc<Progress>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    _lock: File,
}

/// What callers and the writer share.
struct Shared {
    waiting: AtomicUsize,
    closing: AtomicBool,
    state: Mutex<WriteState>,
    /// How long the log took to write and sync each group.
    appends: Histogram,
}

enum Job {
    Write(Box<Write>, Reply),
    /// Everything before it is to be done; then the writer ends.
    Stop,
}

impl Store {
    /// Opens the store under `path` (made if absent), loads it, and starts its threads. `clock` is the server's:
    /// what it shows never runs backwards, and every stamp of a binding comes from it.
    ///
    /// # Errors
    /// [`OpenError`]: a sentence with what to do.
    pub fn open(
        path: &Path,
        settings: &Settings,
        clock: impl Fn() -> Wall + Send + 'static,
    ) -> Result<(Self, OpenReport), OpenError> {
        let io = |error| OpenError::Io {
            path: path.to_owned(),
            error,
        };
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| io(std::io::Error::other(error.to_string())))?;
        let opened = open::open(path, settings.segment_bytes, clock())?;
        let (queue, jobs) = crossbeam_channel::unbounded();
        let Parts {
            writer,
            follower,
            shared,
            progress,
            asks,
            table,
            lock,
            report,
        } = Parts::new(opened, path, settings, Chance::from_seed(seed));
        let mut threads = Vec::new();
        let follow = std::thread::Builder::new().name("store-follower".into());
        threads.push(follow.spawn(move || follower.run()).map_err(io)?);
        let write = std::thread::Builder::new().name("store-writer".into());
        threads.push(write.spawn(move || writer.run(&jobs, &clock)).map_err(io)?);
        let threads = Mutex::new(threads);
        let inner = Inner {
            table,
            shared,
            queue,
            asks,
            progress,
            threads,
            _lock: lock,
        };
        Ok((
            Self {
                inner: Arc::new(inner),
            },
            report,
        ))
    }

    /// The live table. Everything in it is durable.
    pub fn table(&self) -> &Arc<Table> {
        &self.inner.table
    }

    /// Queues a write. `reply` is called once: when the write is durable and visible, or refused.
    ///
    /// # Errors
    /// [`QueueFull`]; `reply` is not called then.
    pub fn submit(&self, write: Write, reply: Reply) -> Result<(), QueueFull> {
        self.submit_all(vec![(write, reply)])
    }

    /// Queues several writes, all or none, in this order; each stands or falls for itself.
    ///
    /// # Errors
    /// [`QueueFull`]; no `reply` is called then.
    pub fn submit_all(&self, writes: Vec<(Write, Reply)>) -> Result<(), QueueFull> {
        let Inner { shared, queue, .. } = &*self.inner;
        let room = |waiting: usize| waiting.checked_add(writes.len()).filter(|n| *n <= BIND_QUEUE);
        shared
            .waiting
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, room)
            .map_err(|_| QueueFull)?;
        for (write, reply) in writes {
            let refused = if shared.closing.load(Ordering::Acquire) {
                Err(Job::Write(Box::new(write), reply))
            } else {
                queue.send(Job::Write(Box::new(write), reply)).map_err(|e| e.0)
            };
            if let Err(Job::Write(_, reply)) = refused {
                shared.waiting.fetch_sub(1, Ordering::AcqRel);
                reply(Err(stopping()));
            }
        }
        Ok(())
    }

    /// A snapshot that holds everything that was acknowledged before this was called; writing goes on
    /// meanwhile. Waits for it: seconds, with a million bindings.
    ///
    /// # Errors
    /// sled doesn't work, the disk refuses, or the store is closed: a sentence.
    pub fn snapshot(&self) -> Result<Taken, SnapshotError> {
        let (reply, taken) = crossbeam_channel::bounded(1);
        let seq = self.inner.table.seq();
        let stopped = || SnapshotError::Records("the server is stopping".into());
        self.inner
            .asks
            .try_send(Ask { seq, reply })
            .map_err(|refused| match refused {
                TrySendError::Full(_) => {
                    SnapshotError::Records(format!("{ASKS_MAX} others wait for a snapshot already"))
                }
                TrySendError::Disconnected(_) => stopped(),
            })?;
        taken.recv().map_err(|_| stopped())?
    }

    /// How it is doing.
    pub fn health(&self) -> StoreHealth {
        let Inner {
            table,
            shared,
            progress,
            ..
        } = &*self.inner;
        StoreHealth {
            writes: shared
                .state
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            waiting: shared.waiting.load(Ordering::Acquire),
            seq: table.seq(),
            disk: progress.disk_state(),
            disk_seq: progress.disk_seq.load(Ordering::Acquire),
            snapshot_seq: progress.snapshot_seq.load(Ordering::Acquire),
            snapshot_error: progress.snapshot_error(),
            reserve: progress.reserve(),
        }
    }

    /// How long the log took to write and sync (fdatasync) each group of writes.
    pub fn appends(&self) -> &Histogram {
        &self.inner.shared.appends
    }

    /// Whether its threads run, until [`Store::close`].
    pub fn is_alive(&self) -> bool {
        let threads = self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.iter().all(|thread| !thread.is_finished())
    }

    /// Does what is queued, brings sled up to date and syncs it, and ends the threads. Writes that come later are
    /// answered that the server is stopping.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Inner {
    fn close(&self) {
        self.shared.closing.store(true, Ordering::Release);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        if threads.is_empty() {
            return;
        }
        // The writer may be gone already; then there is nobody to tell.
        let _ = self.queue.send(Job::Stop);
        for thread in threads.into_iter().rev() {
            // A panic there has been reported already.
            let _ = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

fn stopping() -> WriteError {
    WriteError::Disk("the server is stopping: nothing was changed".into())
}

/// An opened store before its threads run: tests drive it by hand.
struct Parts {
    writer: Writer,
    follower: Follower,
    shared: Arc<Shared>,
    progress: Arc<Progress>,
    asks: Sender<Ask>,
    table: Arc<Table>,
    lock: File,
    report: OpenReport,
}

impl Parts {
    fn new(opened: Opened, path: &Path, settings: &Settings, chance: Chance) -> Self {
        let Opened {
            table,
            log,
            disk,
            snapshot_seq,
            lock,
            report,
        } = opened;
        let progress = Arc::new(Progress::default());
        progress.snapshot_seq.store(snapshot_seq, Ordering::Release);
        let (follow, changes) = crossbeam_channel::bounded(FOLLOW_QUEUE);
        let (asks, asked) = crossbeam_channel::bounded(ASKS_MAX);
        let follower = Follower::new(path, settings, disk, Arc::clone(&progress), changes, asked);
        let shared = Arc::new(Shared {
            waiting: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            state: Mutex::new(WriteState::Taken),
            appends: Histogram::default(),
        });
        let writer = Writer {
            table: Arc::clone(&table),
            log,
            chance,
            follow,
            progress: Arc::clone(&progress),
            shared: Arc::clone(&shared),
            keep_ended: settings.keep_ended,
        };
        Self {
            writer,
            follower,
            shared,
            progress,
            asks,
            table,
            lock,
            report,
        }
    }
}

struct Writer {
    table: Arc<Table>,
    log: Log,
    chance: Chance,
    follow: Sender<Vec<Followed>>,
    progress: Arc<Progress>,
    shared: Arc<Shared>,
    keep_ended: Duration,
}

/// A group on its way: what is to be durable, and who waits for it.
#[derive(Default)]
struct Group {
    changes: Vec<Change>,
    payloads: Vec<Vec<u8>>,
    bytes: usize,
    answers: Vec<(Reply, Result<Written, WriteError>)>,
}

impl Group {
    fn add(&mut self, change: Change) {
        if change.records.is_empty() {
            return;
        }
        let mut payload = Vec::new();
        change.encode(&mut payload);
        self.bytes += payload.len();
        self.payloads.push(payload);
        self.changes.push(change);
    }

    fn has_room(&self) -> bool {
        self.bytes < GROUP_BYTES && self.payloads.len() < GROUP_MAX && self.answers.len() < GROUP_MAX
    }
}

/// Whether the writer goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Go {
    On,
    Stop,
}

/// How much of what was due a tick has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ticked {
    /// All that can be done now.
    All,
    /// As much as one group holds.
    Some,
}

/// Whether the disk took a group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Committed {
    Yes,
    No,
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Job>, clock: &impl Fn() -> Wall) {
        // However this thread ends, health tells.
        let _stopped = Stopped(Arc::clone(&self.shared));
        let mut tick = Instant::now();
        loop {
            let now = Instant::now();
            if now >= tick {
                tick = match self.tick(clock()) {
                    Ticked::All => now + TICK,
                    // Once more, behind one group of what waits.
                    Ticked::Some => now,
                };
            }
            match jobs.recv_deadline(tick) {
                Ok(job) => {
                    if self.group(job, jobs, clock()) == Go::Stop {
                        // What calls noted since the last tick.
                        while self.tick(clock()) == Ticked::Some {}
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // Who reserved a place before the closing was seen may still be on the way.
        while self.shared.waiting.load(Ordering::Acquire) > 0 {
            if let Ok(Job::Write(_, reply)) = jobs.recv_timeout(Duration::from_millis(10)) {
                self.shared.waiting.fetch_sub(1, Ordering::AcqRel);
                reply(Err(stopping()));
            }
        }
    }

    /// Does `first` and what waits behind it, as one group.
    fn group(&mut self, first: Job, jobs: &Receiver<Job>, now: Wall) -> Go {
        let mut group = Group::default();
        let mut go = Go::On;
        let mut next = Some(first);
        // The planner borrows the table; the writer's own fields are needed beside it.
        let table = Arc::clone(&self.table);
        let mut planner = table.planner();
        while let Some(job) = next {
            let (write, reply) = match job {
                Job::Write(write, reply) => (*write, reply),
                Job::Stop => {
                    go = Go::Stop;
                    break;
                }
            };
            self.shared.waiting.fetch_sub(1, Ordering::AcqRel);
            let answer = planner.plan(&write, now, &mut self.chance).map(|planned| {
                group.add(planned.change);
                planned.written
            });
            group.answers.push((reply, answer.map_err(WriteError::Refused)));
            next = if group.has_room() {
                jobs.try_recv().ok()
            } else {
                None
            };
        }
        drop(planner);
        self.commit(group);
        go
    }

    /// What time itself asks for, a group of it: bindings whose end has come, and ended ones that are kept no
    /// longer.
    fn tick(&mut self, now: Wall) -> Ticked {
        let table = Arc::clone(&self.table);
        let mut group = Group::default();
        let mut planner = table.planner();
        let due = table.due(now, GROUP_MAX);
        let mut is_full = due.len() == GROUP_MAX;
        for id in due {
            if let Ok(planned) = planner.plan(&Write::Expire { id }, now, &mut self.chance) {
                group.add(planned.change);
            }
        }
        let over = table.callees_due(now, GROUP_MAX);
        is_full |= over.len() == GROUP_MAX;
        for callee in over {
            let (id, only) = (callee.binding, Some(callee));
            if let Ok(planned) = planner.plan(&Write::ClearCallee { id, only }, now, &mut self.chance) {
                group.add(planned.change);
            }
        }
        for lasts in [table.lasts_unwritten(GROUP_MAX), table.lasts_due(now, GROUP_MAX)] {
            is_full |= lasts.len() == GROUP_MAX;
            for last in lasts {
                if let Ok(planned) = planner.plan(&Write::KeepLast(last), now, &mut self.chance) {
                    group.add(planned.change);
                }
            }
        }
        let kept = i64::try_from(self.keep_ended.as_millis()).unwrap_or(i64::MAX);
        let before = Wall::from_millis(now.as_millis().saturating_sub(kept));
        let forgotten = planner.forget_before(before, now, GROUP_MAX);
        is_full |= forgotten.records.len() == GROUP_MAX;
        group.add(forgotten);
        drop(planner);
        let is_done = !group.changes.is_empty() && self.commit(group) == Committed::Yes;
        let upto = self.progress.forgettable.load(Ordering::Acquire);
        if let Err(error) = self.log.forget(upto) {
            tracing::warn!(%error, "old log segments could not be removed");
        }
        // What the disk refuses is tried again in a second, not at once.
        if is_full && is_done {
            Ticked::Some
        } else {
            Ticked::All
        }
    }

    /// Durable, then visible, then acknowledged; or none of it.
    fn commit(&mut self, group: Group) -> Committed {
        let Group {
            changes,
            payloads,
            answers,
            ..
        } = group;
        if payloads.is_empty() {
            answer(answers);
            return Committed::Yes;
        }
        let begun = std::time::Instant::now();
        let appended = self.log.append(&payloads);
        self.shared.appends.add(begun.elapsed());
        let first = match appended {
            Ok(first) => first,
            Err(error) => {
                let sentence = error.to_string();
                tracing::error!(
                    sentence,
                    writes = answers.len(),
                    "a group of writes was refused by the disk"
                );
                self.say(WriteState::Refused(sentence.clone()));
                for (reply, _) in answers {
                    reply(Err(WriteError::Disk(sentence.clone())));
                }
                return Committed::No;
            }
        };
        for (seq, change) in (first..).zip(&changes) {
            self.table.apply(seq, change);
        }
        self.say(WriteState::Taken);
        answer(answers);
        let followed = (first..)
            .zip(changes)
            .zip(&payloads)
            .map(|((seq, change), payload)| Followed {
                seq,
                change,
                bytes: payload.len() as u64,
            });
        // If the follower is gone, the log still has it.
        let _ = self.follow.send(followed.collect());
        Committed::Yes
    }

    fn say(&self, state: WriteState) {
        let mut said = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *said != state {
            *said = state;
        }
    }
}

fn answer(answers: Vec<(Reply, Result<Written, WriteError>)>) {
    for (reply, answer) in answers {
        reply(answer);
    }
}

/// Says that the writer has ended, even by a panic.
struct Stopped(Arc<Shared>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.closing.store(true, Ordering::Release);
        *self.0.state.lock().unwrap_or_else(PoisonError::into_inner) = WriteState::Stopped;
    }
}

#[cfg(test)]
mod tests;
