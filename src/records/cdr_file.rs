//! Writing CDR files: one JSON object a line, by a thread of its own, nothing ever dropped.
//!
//! [`Writer::write`] never waits for the disk. While the disk refuses, records wait in memory; from
//! [`limits::CDR_BUFFER`] of them on [`Writer::state`] is `Full`, and the switch takes no new calls. Calls that
//! are up by then still end with a record, so what waits is bounded by the buffer and the live calls together.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use super::folder::{self, Entry, Phase, Series};
use crate::base::id::Id;
use crate::base::limits;
use crate::base::time::Wall;
use crate::call::cdr::Line;
use crate::call::port::Records;

/// Records that are written with one fsync.
const GROUP_MAX: usize = 1_024;
/// Records that are looked at without pause.
const LOOKED_AT_ONCE: usize = 64;
/// How long the disk rests after a group, so that a busy server's records share an fsync. A record that comes
/// after a pause is written at once; those that wait are in the journal until they are written, and synced there.
const REST: Duration = Duration::from_millis(400);
/// How long the disk rests after it refused.
const RETRY: Duration = Duration::from_secs(1);
/// How often old files are looked for, at least.
const HOUSEKEEPING: Duration = Duration::from_secs(3_600);
/// Keeps the sequence when every file has been moved away.
const NEXT: &str = "next-seq";
/// Becomes the other when it is whole.
const NEXT_DRAFT: &str = "next-seq.tmp";
/// Where the sequence has room to go on for ever. A file with a number beyond is not of our making.
const SEQ_MAX: u64 = u64::MAX / 2;

/// Where CDRs are written, and for how long they are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The folder; made if it isn't there.
    pub dir: PathBuf,
    /// How long one file is written to.
    pub rotate: Duration,
    /// How many days a closed file is kept, counted from the beginning of the next one.
    pub keep_days: u32,
}

/// Why no CDR can be written here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the folder.
    #[error("another server writes its CDRs to {0}: stop it, or give this one a records.cdr_dir of its own")]
    Taken(PathBuf),
    /// The folder can't be made, read or written.
    #[error("CDRs can't be written to {0}: {1}")]
    Disk(PathBuf, #[source] io::Error),
}

/// The writer's handle: any thread may hold it in an `Arc`.
pub struct Writer {
    shared: Arc<Shared>,
    dir: PathBuf,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    queue: Mutex<Queue>,
    /// What was taken from there, until it is on disk.
    in_hand: Mutex<VecDeque<Line>>,
    wake: Condvar,
    /// Records that are not on disk: queued, or in the writer's hands.
    waiting: AtomicUsize,
    /// What the disk said last, while it refuses.
    trouble: Mutex<Option<String>>,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Line>,
    /// How many were taken from it so far.
    taken: u64,
    /// The thread wants to be woken when so many records wait.
    wake_at: usize,
    stop: Stop,
    /// A `rotate` and `keep_days` that the thread hasn't taken yet.
    kept: Option<(Duration, u32)>,
}

/// Whether the thread is to end: with everything written, or with what is written by some time.
#[derive(Clone, Copy, Default)]
enum Stop {
    #[default]
    No,
    By(std::time::Instant),
}

impl Writer {
    /// Takes the folder, closes what a process that died left open, and starts the thread. `law` says for how many days
    /// records have to be kept whatever the conf says, if at all; it is asked on that thread whenever old files may go.
    /// `written` is called there with the ids of records that are on disk (after fsync). Beside the writer: what was found,
    /// a sentence each, for the log.
    ///
    /// # Errors
    /// The folder is taken, or can't be used.
    pub fn start(
        config: Config,
        law: impl Fn() -> Option<u32> + Send + 'static,
        written: impl FnMut(&[Id]) + Send + 'static,
    ) -> Result<(Self, Vec<String>), Error> {
        let dir = config.dir.clone();
        let (files, found) = Files::take(config, DISK)?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            in_hand: Mutex::default(),
            wake: Condvar::new(),
            waiting: AtomicUsize::new(0),
            trouble: Mutex::default(),
        });
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("cdr".into())
                .spawn(move || run(&shared, files, Law::of(law), written))
                .map_err(|e| Error::Disk(dir.clone(), e))?
        };
        let writer = Self {
            shared,
            dir,
            thread: Some(thread),
        };
        Ok((writer, found))
    }

    /// Hands over a record. Doesn't wait.
    pub fn write(&self, line: Line) {
        self.write_all([line]);
    }

    /// Hands over records. Doesn't wait.
    pub fn write_all(&self, lines: impl IntoIterator<Item = Line>) {
        let mut queue = lock(&self.shared.queue);
        let before = queue.lines.len();
        queue.lines.extend(lines);
        let now = queue.lines.len();
        self.shared.waiting.fetch_add(now - before, Ordering::Relaxed);
        let wakes = before < queue.wake_at && now >= queue.wake_at;
        drop(queue);
        if wakes {
            self.shared.wake.notify_one();
        }
    }

    /// From now on one file is written to for `rotate`, the one that is open too, and closed ones are kept for so
    /// many days. Doesn't wait.
    pub fn set(&self, rotate: Duration, keep_days: u32) {
        lock(&self.shared.queue).kept = Some((rotate, keep_days));
        self.shared.wake.notify_one();
    }

    /// Records that are not on disk yet.
    pub fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// Has a look at all records that are not on disk yet; one that comes there meanwhile may be looked at and be in a file.
    /// Few are looked at at once: whoever hands one over waits for no more.
    pub fn look_at_waiting(&self, mut look: impl FnMut(&Line)) {
        let mut next = 0;
        loop {
            let queue = lock(&self.shared.queue);
            // Those that were taken meanwhile are in hand, or in a file.
            let first = queue.taken.max(next);
            let from = usize::try_from(first - queue.taken).unwrap_or(usize::MAX);
            let lines = queue.lines.iter().skip(from).take(LOOKED_AT_ONCE);
            let looked = lines.map(&mut look).count();
            next = first + looked as u64;
            if looked < LOOKED_AT_ONCE {
                break;
            }
        }
        lock(&self.shared.in_hand).iter().for_each(look);
    }

    /// Whether new calls can be recorded.
    pub fn state(&self) -> Records {
        if self.waiting() >= limits::CDR_BUFFER || self.is_dead() {
            Records::Full
        } else {
            Records::Kept
        }
    }

    /// What is wrong, in a sentence; `None` if nothing is.
    pub fn health(&self) -> Option<String> {
        if self.is_dead() {
            return Some("the CDR writer has died: restart the server".into());
        }
        let (dir, waiting, most) = (self.dir.display(), self.waiting(), limits::CDR_BUFFER);
        match lock(&self.shared.trouble).as_deref() {
            Some(trouble) => Some(format!(
                "CDRs can't be written to {dir} ({trouble}): make room there or mend that disk; {waiting} wait in memory, \
                 new calls are refused from {most} on"
            )),
            None if waiting >= most => Some(format!(
                "the disk under {dir} is too slow: {waiting} CDRs wait in memory, new calls are refused from {most} on"
            )),
            None => None,
        }
    }

    /// Writes what waits, closes the file and ends the thread. A disk that refuses is tried for `patience`.
    /// Returns how many records could not be written.
    pub fn stop(mut self, patience: Duration) -> usize {
        self.ask_to_stop(patience);
        if let Some(thread) = self.thread.take() {
            // A panic has been logged where it happened; what it left is in `waiting`.
            let _ = thread.join();
        }
        self.waiting()
    }

    fn ask_to_stop(&self, patience: Duration) {
        lock(&self.shared.queue).stop = Stop::By(std::time::Instant::now() + patience);
        self.shared.wake.notify_one();
    }

    /// Whether its thread has ended by a fault.
    pub fn is_dead(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.ask_to_stop(Duration::ZERO);
    }
}

/// The lock's content: nothing panics while it is held, so that poison means nothing here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For how long files are kept whatever the conf says.
struct Law<F> {
    days: F,
    /// The conf's days of which it was said that they are too few.
    said_of: Option<u32>,
}

impl<F: Fn() -> Option<u32>> Law<F> {
    const fn of(days: F) -> Self {
        let said_of = None;
        Self { days, said_of }
    }

    /// For how many days files are kept for which the conf says so many.
    fn keep_days(&mut self, conf: u32) -> u32 {
        let Some(days) = (self.days)().filter(|days| *days > conf) else {
            self.said_of = None;
            return conf;
        };
        if self.said_of.replace(conf) != Some(conf) {
            tracing::warn!(
                "records.keep_days is {conf}, but there are 700 numbers, and the records of their calls have to be kept for \
                 {days} days: CDR files are kept so long; write records.keep_days = {days} or more"
            );
        }
        days
    }
}

fn run(
    shared: &Shared,
    mut files: Files,
    mut law: Law<impl Fn() -> Option<u32>>,
    mut written: impl FnMut(&[Id]),
) {
    let mut housekept = wall_now();
    let mut rest = Duration::ZERO;
    let mut delete_old = |files: &Files, now| files.delete_old(now, law.keep_days(files.config.keep_days));
    delete_old(&files, housekept);
    loop {
        let patience = files.until_due(wall_now()).clamp(rest, HOUSEKEEPING);
        let stop = next_group(shared, patience);
        let kept = lock(&shared.queue).kept.take();
        if let Some((rotate, keep_days)) = kept {
            files.config.rotate = rotate;
            files.config.keep_days = keep_days;
            housekept = wall_now();
            delete_old(&files, housekept);
        }
        let (mut ids, mut text) = (Vec::new(), Vec::new());
        for line in &*lock(&shared.in_hand) {
            ids.push(line.call_id);
            text.extend_from_slice(&line.json);
            text.push(b'\n');
        }
        while let Err(error) = files.append(wall_now(), &text) {
            *lock(&shared.trouble) = Some(error.to_string());
            let stop = lock(&shared.queue).stop;
            if matches!(stop, Stop::By(at) if std::time::Instant::now() >= at) {
                return;
            }
            std::thread::sleep(RETRY);
        }
        if !ids.is_empty() {
            *lock(&shared.trouble) = None;
            *lock(&shared.in_hand) = VecDeque::new();
            shared.waiting.fetch_sub(ids.len(), Ordering::Relaxed);
            written(&ids);
        }
        let now = wall_now();
        let at_end = matches!(stop, Stop::By(_)) && lock(&shared.queue).lines.is_empty();
        if at_end || files.until_due(now).is_zero() {
            // What is written is durable whatever its file is called: closing is tried again later.
            let trouble = files.close().err().map(|e| e.to_string());
            rest = if trouble.is_some() { RETRY } else { Duration::ZERO };
            *lock(&shared.trouble) = trouble;
        }
        if now.since(housekept) >= HOUSEKEEPING {
            housekept = now;
            delete_old(&files, now);
        }
        if at_end {
            return;
        }
        if !ids.is_empty() {
            drop(wait_for(shared, GROUP_MAX, REST));
        }
    }
}

/// Waits for records, for `patience` at most, and takes a group of them in hand.
fn next_group(shared: &Shared, patience: Duration) -> Stop {
    let mut queue = wait_for(shared, 1, patience);
    let size = queue.lines.len().min(GROUP_MAX);
    // Before the queue is let go: a record is in one of both at any time.
    *lock(&shared.in_hand) = queue.lines.drain(..size).collect();
    queue.taken += size as u64;
    queue.stop
}

/// Waits until so many records wait or the thread is to end, for `patience` at most.
fn wait_for(shared: &Shared, count: usize, patience: Duration) -> MutexGuard<'_, Queue> {
    let mut queue = lock(&shared.queue);
    queue.wake_at = count;
    let (queue, _) = shared
        .wake
        .wait_timeout_while(queue, patience, |q| {
            q.lines.len() < count && matches!(q.stop, Stop::No) && q.kept.is_none()
        })
        .unwrap_or_else(PoisonError::into_inner);
    queue
}

fn wall_now() -> Wall {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Wall::from_millis(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
}

/// What is asked of the disk beside writing; a test's disk refuses.
#[derive(Clone, Copy)]
struct Disk {
    open: fn(&Path, Begin) -> io::Result<File>,
    sync_folder: fn(&Path) -> io::Result<()>,
}

const DISK: Disk = Disk {
    open: open_file,
    sync_folder: folder::sync,
};

/// Whether a file may be made that isn't there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// It may: nothing was written to it yet.
    New,
    /// It may not: what was written to it is not in a new one.
    Again,
}

fn open_file(path: &Path, begin: Begin) -> io::Result<File> {
    OpenOptions::new()
        .create(begin == Begin::New)
        .truncate(false)
        .write(true)
        .open(path)
}

/// The folder's files, and the one that is being written. Handed the time; knows no thread.
struct Files {
    config: Config,
    next_seq: u64,
    current: Option<Current>,
    disk: Disk,
    /// Held as long as this lives.
    _lock: File,
}

/// The file that is being written.
struct Current {
    entry: Entry,
    /// `None` after an error: what the kernel then holds of it is unknown, so it is opened anew.
    file: Option<File>,
    /// Bytes that are on disk for certain; the next group goes there.
    good: u64,
}

impl Files {
    fn take(config: Config, system: Disk) -> Result<(Self, Vec<String>), Error> {
        let disk = |e| Error::Disk(config.dir.clone(), e);
        folder::make(&config.dir).map_err(disk)?;
        let guard = folder::take(&config.dir).map_err(|e| match e {
            TryLockError::WouldBlock => Error::Taken(config.dir.clone()),
            TryLockError::Error(e) => disk(e),
        })?;
        let entries = folder::list(&config.dir).map_err(disk)?;
        let mut found = Vec::new();
        for entry in entries.iter().filter(|e| e.phase == Phase::Open) {
            found.extend(close_leftover(&config.dir, entry).map_err(disk)?);
            (system.sync_folder)(&config.dir).map_err(disk)?;
        }
        let kept: u64 = std::fs::read_to_string(config.dir.join(NEXT))
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(1);
        let taken = entries.iter().map(|e| e.seq).chain([kept.saturating_sub(1)]);
        let next_seq = taken.filter(|seq| *seq < SEQ_MAX).max().map_or(1, |seq| seq + 1);
        let files = Self {
            config,
            next_seq,
            current: None,
            disk: system,
            _lock: guard,
        };
        Ok((files, found))
    }

    /// Writes lines and waits until they are on disk. After an error nothing of them counts, and the same
    /// lines may be given again: they go to the same place.
    fn append(&mut self, now: Wall, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let (dir, disk) = (&self.config.dir, self.disk);
        let current = match &mut self.current {
            Some(current) => current,
            none => {
                folder::make(dir)?;
                let current = none.insert(Current {
                    entry: Entry {
                        series: Series::Cdr,
                        seq: self.next_seq,
                        start: now,
                        phase: Phase::Open,
                    },
                    file: None,
                    good: 0,
                });
                self.next_seq += 1;
                current
            }
        };
        let file = match &current.file {
            Some(file) => file,
            None => match (disk.open)(&current.entry.path(dir), current.begin()) {
                Ok(file) => {
                    (disk.sync_folder)(dir)?;
                    current.file.insert(file)
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound && current.good > 0 => {
                    // Somebody moved it away, with all that was in it.
                    self.current = None;
                    return self.append(now, lines);
                }
                Err(error) => return Err(error),
            },
        };
        let outcome = file
            .write_all_at(lines, current.good)
            .and_then(|()| file.sync_data());
        match outcome {
            Ok(()) => current.good += lines.len() as u64,
            Err(_) => current.file = None,
        }
        outcome
    }

    /// How long until the file that is being written should be closed; zero if that is due.
    fn until_due(&self, now: Wall) -> Duration {
        self.current.as_ref().map_or(Duration::MAX, |c| {
            self.config.rotate.saturating_sub(now.since(c.entry.start))
        })
    }

    /// Closes the file that is being written, if there is one. One that was moved away is given up, with an error.
    fn close(&mut self) -> io::Result<()> {
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        let outcome = current.close(&self.config.dir, self.disk, self.next_seq);
        match &outcome {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return outcome,
            Ok(()) | Err(_) => self.current = None,
        }
        outcome?;
        // The file is closed whatever comes of this: under either name the next start finds it.
        (self.disk.sync_folder)(&self.config.dir)
    }

    /// Deletes closed files older than so many days. The newest is never deleted.
    fn delete_old(&self, now: Wall, keep_days: u32) {
        let Ok(entries) = folder::list(&self.config.dir) else {
            return;
        };
        for entry in folder::old(&entries, now, keep_days) {
            // One that can't be deleted now is tried again at the next look.
            let _ = std::fs::remove_file(entry.path(&self.config.dir));
        }
    }
}

impl Current {
    fn begin(&self) -> Begin {
        if self.good == 0 { Begin::New } else { Begin::Again }
    }

    /// Gives the file its closed name, with what is good of it.
    fn close(&mut self, dir: &Path, disk: Disk, next_seq: u64) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => (disk.open)(&self.entry.path(dir), self.begin())?,
        };
        file.set_len(self.good)?;
        file.sync_all()?;
        keep_next(dir, next_seq)?;
        rename(dir, &self.entry)
    }
}

/// Keeps the next file's number: the old one or the new one is there, whatever happens.
fn keep_next(dir: &Path, seq: u64) -> io::Result<()> {
    let draft = dir.join(NEXT_DRAFT);
    let mut file = File::create(&draft)?;
    write!(file, "{seq}")?;
    file.sync_all()?;
    std::fs::rename(draft, dir.join(NEXT))
}

/// Gives an open file its closed name; durable with the folder's next sync.
fn rename(dir: &Path, entry: &Entry) -> io::Result<()> {
    let closed = Entry {
        phase: Phase::Closed,
        ..entry.clone()
    };
    std::fs::rename(entry.path(dir), closed.path(dir))
}

/// Closes a file that a dead process left open: its last line is cut off if it is torn. Says so.
fn close_leftover(dir: &Path, entry: &Entry) -> io::Result<Option<String>> {
    let path = entry.path(dir);
    let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
    let len = file.metadata()?.len();
    let good = end_of_last_line(&mut file, len)?;
    file.set_len(good)?;
    file.sync_all()?;
    rename(dir, entry)?;
    Ok((good < len).then(|| {
        format!(
            "{}: a process that died tore the last line; {} bytes were cut off",
            path.display(),
            len - good
        )
    }))
}

/// Where the last whole line of a file ends.
fn end_of_last_line(file: &mut File, len: u64) -> io::Result<u64> {
    let mut end = len;
    let mut chunk = vec![0; 64 << 10];
    while end > 0 {
        let size = end.min(chunk.len() as u64) as usize;
        file.seek(SeekFrom::Start(end - size as u64))?;
        file.read_exact(&mut chunk[..size])?;
        if let Some(last) = chunk[..size].iter().rposition(|c| *c == b'\n') {
            return Ok(end - size as u64 + last as u64 + 1);
        }
        end -= size as u64;
    }
    Ok(0)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
