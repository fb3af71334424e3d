//! The journal of calls: what makes every attempt leave its record even if the process is killed, and lets the next
//! process go on with the calls that talk.
//!
//! Append-only segments `calls-<number>.log`, written at once by whichever thread has the entry, and synced every
//! 100 ms by a thread of the journal's own (a killed process loses nothing; a machine that loses power loses at
//! most that). When a segment is big, the calls that are still open are copied to a new one and the old one goes.
//!
//! A call's entries: its arrival as a draft of its record, its answer, its state for another process (kept anew
//! whenever it changes), its finished record, and the end, once the CDR files have that record. Ids are never used
//! twice and each entry has its place in one sequence, so several segments are read as one heap of facts: a call
//! that ended anywhere is done, and of several states the last one counts, wherever it stands.
//! Once a second the file's modification time is moved on: after a crash it is the last sign of life.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

pub use super::entry::JournalError;
use super::entry::{HEADER_BYTES, Past, PastCall, Segment, completed, decode_frame, header, modified};
use super::file::{self, Draft};
use crate::base::id::Id;
use crate::base::time::Wall;
use crate::call::cdr::Cdr;
use crate::call::kept;
use crate::call::port::{CallEntry, Records};
use crossbeam_channel::{RecvTimeoutError, Sender};

mod batch;
mod book;
mod copying;

use batch::{Batch, Frames, past_frames};
use book::{Book, Calls, Dirty, Left, Live, Stood};
use copying::{copy_at, copy_range, free, write_call};

const PREFIX: &str = "calls-";
const SUFFIX: &str = ".log";
const SEGMENT_BYTES: u64 = 64 << 20;
/// Bytes of a new segment that are written at a time.
const WRITE_BYTES: usize = 1 << 18;
const SYNC_EVERY: Duration = Duration::from_millis(100);
/// Ticks between two touches of the file, and between two tries of a copy that failed.
const TICKS_PER_SECOND: u32 = 10;
/// Lines that are written before anybody else has the book again.
const RETRIED_AT_ONCE: usize = 256;

/// The journal's handle: cheap to clone, one for every thread. The last one to go closes it.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    notes: Vec<String>,
    thread: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

struct Shared {
    dir: PathBuf,
    segment_bytes: u64,
    book: Mutex<Book>,
    /// The sequence of what was known when it was opened: what comes later is higher.
    opened: u64,
    sequence: AtomicU64,
    /// Held as long as the journal is open.
    _lock: File,
}

/// A call that the process before may have left open.
#[derive(Clone, PartialEq, Debug)]
pub struct LeftCall {
    /// Its record, as it is to be written if nobody goes on with the call: the finished one word for word, or the
    /// draft completed by what is known (ended at the last sign of life, released by the server; refused with
    /// `restart` (500) if never answered, else end cause `restart` and the seconds from the answer on).
    pub record: Cdr,
    /// The last sign of life of the process that had it; `None` if the call was over by then.
    pub died: Option<Wall>,
    /// What is needed to go on with it, as [`kept`] writes it, if it was kept; or to tell both sides that it is over.
    pub kept: Option<Box<[u8]>>,
    /// Whether the caller had acknowledged the answer of which `kept` tells ([`CallEntry::Acked`]).
    pub acked: bool,
}

/// How the journal is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalHealth {
    /// Whether new calls may come.
    pub records: Records,
    /// Calls that are open, and finished ones whose records the CDR files may not have yet.
    pub live: usize,
    /// Entries that wait for the disk.
    pub waiting: usize,
    /// Entries that found no room to wait or could not be read again, since the start: if the server is killed now,
    /// the records of their calls may be missing.
    pub dropped: u64,
    /// What the disk said last, if it doesn't take entries.
    pub error: Option<String>,
}

impl Journal {
    /// Opens the journal in `dir` (made if absent). Returns, besides, the calls that the process before may have
    /// left open, by id. They stay here: whoever goes on with one writes its [`CallEntry::Kept`] anew, which makes
    /// it a call of this process; of the others the [`CallEntry::Ended`] is written once their record is in the CDR
    /// files (or is found there by its call id).
    ///
    /// # Errors
    /// [`JournalError`]; one is that a newer program kept calls in a way that this one can't read: they are not to be
    /// lost. Damage is none: what is whole is read, and [`Journal::notes`] says what isn't.
    pub fn open(dir: &Path) -> Result<(Self, Vec<LeftCall>), JournalError> {
        let (shared, notes, left) = Shared::open(dir, SEGMENT_BYTES)?;
        let shared = Arc::new(shared);
        let (stop, stopped) = crossbeam_channel::bounded(1);
        let worker = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || {
                let mut ticks = 0_u32;
                while stopped.recv_timeout(SYNC_EVERY) == Err(RecvTimeoutError::Timeout) {
                    ticks = ticks.wrapping_add(1);
                    worker.tick(if ticks.is_multiple_of(TICKS_PER_SECOND) {
                        Tick::Second
                    } else {
                        Tick::Short
                    });
                }
                worker.tick(Tick::Second);
            })
            .map_err(|error| JournalError::Io {
                path: dir.to_owned(),
                error,
            })?;
        let thread = Mutex::new(Some((stop, thread)));
        Ok((
            Self {
                inner: Arc::new(Inner {
                    shared,
                    notes,
                    thread,
                }),
            },
            left,
        ))
    }

    /// What opening it found out of the ordinary: sentences for the log. Empty mostly.
    pub fn notes(&self) -> &[String] {
        &self.inner.notes
    }

    /// Writes an entry at once; what the disk refuses waits in memory and is tried again.
    pub fn write(&self, entry: &CallEntry) {
        self.write_all(std::slice::from_ref(entry));
    }

    /// Writes entries at once, in order, with one system call.
    pub fn write_all(&self, entries: &[CallEntry]) {
        if !entries.is_empty() {
            self.inner.shared.write_all(entries);
        }
    }

    /// Both sides of these calls know that they are over, so that their states go ([`CallEntry::Kept`]): with the records,
    /// or as soon as these are in the CDR files.
    pub fn told(&self, calls: &[Id]) {
        if !calls.is_empty() {
            self.inner.shared.told(calls);
        }
    }

    /// Whether its thread runs, until [`Journal::close`].
    pub fn is_alive(&self) -> bool {
        let thread = self.inner.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_none_or(|(_, thread)| !thread.is_finished())
    }

    /// Whether the disk takes entries, or there is still room for them to wait.
    pub fn state(&self) -> Records {
        self.inner.shared.book().records()
    }

    /// How it is doing.
    pub fn health(&self) -> JournalHealth {
        let book = self.inner.shared.book();
        JournalHealth {
            records: book.records(),
            live: book.live.len(),
            waiting: book.waiting(),
            dropped: book.dropped,
            error: book.error.clone(),
        }
    }

    /// Writes and syncs what is left, and ends the journal's thread. Entries written later are not synced.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Inner {
    fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, thread)) = thread {
            drop(stop);
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

/// How often each thing is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tick {
    /// Retry, sync.
    Short,
    /// Also: show life, copy.
    Second,
}

impl Shared {
    fn open(dir: &Path, segment_bytes: u64) -> Result<(Self, Vec<String>, Vec<LeftCall>), JournalError> {
        let io = |error| JournalError::Io {
            path: dir.to_owned(),
            error,
        };
        file::make_dir(dir).map_err(io)?;
        let lock = file::lock(dir)
            .map_err(io)?
            .ok_or_else(|| JournalError::InUse(dir.to_owned()))?;
        let mut segments = file::numbered(dir, PREFIX, SUFFIX).map_err(io)?;
        let last_sign = segments.iter().map(|(_, path)| modified(path)).max();
        let last_sign = last_sign.unwrap_or_default();
        let mut past = Past::default();
        let mut readable = Vec::new();
        for (number, path) in segments {
            if past.read(&path)? == Segment::Read {
                readable.push((number, path));
            }
        }
        segments = readable;
        let calls = past.open_calls();
        // Up to here nothing of what a newer program left is changed.
        refuse_newer(dir, &calls)?;
        file::remove_drafts(dir, PREFIX).map_err(io)?;
        // The old ones go as soon as this one is there: it need not be the last.
        let last = segments.last().map_or(0, |(number, _)| *number);
        let number = last.checked_add(1).unwrap_or_else(|| free(&segments));
        let path = file::numbered_path(dir, PREFIX, number, SUFFIX);
        // Later than all that is known, and before all that is to come; the second is for what came after a state.
        let opened = past.sequence.saturating_add(1);
        let after = opened.saturating_add(1);

        let mut left = Vec::with_capacity(calls.len());
        let mut live = Calls::with_capacity_and_hasher(calls.len(), Default::default());
        let segment = |error| JournalError::Io {
            path: path.clone(),
            error,
        };
        let begun = Draft::begin(&path).map_err(segment)?;
        let mut out = BufWriter::with_capacity(WRITE_BYTES, begun);
        out.write_all(&header()).map_err(segment)?;
        let mut len = HEADER_BYTES as u64;
        for mut call in calls {
            let id = call.id;
            if !call.is_over {
                call.died = call.died.or(Some(last_sign));
            }
            let frames = past_frames(&call, opened);
            let mut of_call = Live::arrived(len, frames.arrival.len());
            (of_call.answered, of_call.died) = (call.answered, call.died);
            of_call.acked = call.acked.then_some(after);
            let (moved, bytes) = write_call(&mut out, len, id, &frames, &of_call, after).map_err(segment)?;
            of_call.kept = moved.kept.map(|at| Stood {
                at,
                bytes: frames.kept.as_ref().map_or(0, |frame| frame.len() as u32),
                sequence: opened,
            });
            len += bytes;
            live.insert(id, of_call);
            left.push(LeftCall {
                record: match call.died {
                    None => call.record,
                    Some(died) => completed(call.record, call.answered, died),
                },
                died: call.died,
                kept: call.kept,
                acked: call.acked,
            });
        }
        let draft = out.into_inner().map_err(|e| segment(e.into_error()))?;
        // People who talk wait for no medium: the old segments stay until the new one is there for certain.
        let (file, dirty) = match segments.is_empty() {
            true => (draft.publish().map_err(segment)?, Dirty::No),
            false => (draft.name().map_err(segment)?, Dirty::Yes),
        };
        let mut book = Book::new((file, path, number), len, live, copy_at(segment_bytes, len));
        book.dirty = dirty;
        book.stale = segments.into_iter().map(|(_, old)| old).collect();
        Ok((
            Self {
                dir: dir.to_owned(),
                segment_bytes,
                book: Mutex::new(book),
                opened: after,
                sequence: AtomicU64::new(after.saturating_add(1)),
                _lock: lock,
            },
            past.notes,
            left,
        ))
    }

    /// A panic of another thread leaves the book as it was before or after one line: both are sound.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn write(&self, entry: &CallEntry) {
        self.write_all(std::slice::from_ref(entry));
    }

    fn write_all(&self, entries: &[CallEntry]) {
        let mut batch = Batch::for_entries(entries);
        // One call's entries all come from one thread: their order is their sequence's.
        let first = self.sequence.fetch_add(entries.len() as u64, Ordering::Relaxed);
        let numbered = (first..).zip(entries);
        let unwritable = numbered
            .filter(|(sequence, entry)| !batch.add(entry, *sequence))
            .count();
        let mut book = self.book();
        book.dropped += unwritable as u64;
        book.take(batch);
    }

    fn told(&self, calls: &[Id]) {
        let first = self.sequence.fetch_add(calls.len() as u64, Ordering::Relaxed);
        let mut batch = Batch::default();
        let mut book = self.book();
        for (sequence, id) in (first..).zip(calls) {
            if book.told(*id) {
                batch.end(*id, sequence);
            }
        }
        book.take(batch);
    }

    fn tick(&self, tick: Tick) {
        self.retry();
        self.sync();
        let is_alone = self.book().stale.is_empty();
        if !is_alone && let Err(error) = self.drop_stale() {
            self.book().error = Some(format!("{}: {error}", self.dir.display()));
        }
        if tick == Tick::Short {
            return;
        }
        let (file, copy) = {
            let book = self.book();
            (
                Arc::clone(&book.file),
                book.dirty == Dirty::Lost || book.len >= book.copy_at,
            )
        };
        // Failing to show life costs a few seconds in a record after a crash, no more.
        let _ = file.set_modified(SystemTime::now());
        if copy && let Err(error) = self.copy() {
            let sentence = format!(
                "{}: the calls in progress can't be copied to a new segment: {error}{}",
                self.dir.display(),
                file::cure(&error)
            );
            self.book().error = Some(sentence);
        }
    }

    /// Writes what waits, a few lines at a time, so that no shard waits long for the book.
    fn retry(&self) {
        while self.book().retry(RETRIED_AT_ONCE) == Left::Some {}
    }

    fn sync(&self) {
        let (file, path) = {
            let mut book = self.book();
            if book.dirty != Dirty::Yes {
                return;
            }
            book.dirty = Dirty::No;
            (Arc::clone(&book.file), book.path.clone())
        };
        if let Err(error) = file::sync_data(&file, &path) {
            let mut book = self.book();
            book.dirty = Dirty::Lost;
            book.error = Some(format!("{}: {error}{}", path.display(), file::cure(&error)));
        }
    }

    /// Copies the open calls to a new segment and lets the old one go. The book is open to writers but for the
    /// last few lines.
    fn copy(&self) -> io::Result<()> {
        let (old, mark, number, mut calls) = {
            let book = self.book();
            let calls: Vec<(Id, Live)> = book.live.iter().map(|(id, live)| (*id, *live)).collect();
            (Arc::clone(&book.file), book.len, book.number + 1, calls)
        };
        calls.sort_unstable_by_key(|(_, live)| live.at);
        let path = file::numbered_path(&self.dir, PREFIX, number, SUFFIX);
        let mut out = BufWriter::with_capacity(WRITE_BYTES, Draft::begin(&path)?);
        out.write_all(&header())?;
        let mut len = HEADER_BYTES as u64;
        let mut moved = HashMap::with_capacity(calls.len());
        let mut lost = 0;
        for (id, live) in calls {
            let read = |at: u64, bytes: u32| -> io::Result<Option<Vec<u8>>> {
                let mut frame = vec![0; bytes as usize];
                old.read_exact_at(&mut frame, at)?;
                Ok(decode_frame(&frame).is_some().then_some(frame))
            };
            let stood = |stood: Option<Stood>| match stood {
                Some(stood) => read(stood.at, stood.bytes),
                None => Ok(None),
            };
            let (over, kept) = (stood(live.over)?, stood(live.kept)?);
            lost += u64::from(live.kept.is_some() && kept.is_none());
            lost += u64::from(live.over.is_some() && over.is_none());
            let Some(arrival) = read(live.at, live.bytes)? else {
                lost += 1;
                continue;
            };
            let frames = Frames { arrival, over, kept };
            let (place, bytes) = write_call(&mut out, len, id, &frames, &live, self.opened)?;
            moved.insert(id, place);
            len += bytes;
        }
        let new = out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .publish()?;
        // What was written meanwhile: most of it with the book open, the rest with the book shut.
        let base = len;
        let mut copied = mark;
        for _ in 0..4 {
            let end = self.book().len;
            copy_range(&old, copied..end, &new, &path, base + (copied - mark))?;
            copied = end;
        }
        let mut book = self.book();
        copy_range(&old, copied..book.len, &new, &path, base + (copied - mark))?;
        book.live.retain(|id, live| {
            let moved = moved.get(id);
            let now = |at: u64, copy: Option<u64>| match at.checked_sub(mark) {
                Some(behind) => Some(base + behind),
                None => copy,
            };
            let stood = |stood: Option<Stood>, copy: Option<u64>| {
                let stood = stood?;
                let at = now(stood.at, copy)?;
                Some(Stood { at, ..stood })
            };
            live.over = stood(live.over, moved.and_then(|moved| moved.over));
            live.kept = stood(live.kept, moved.and_then(|moved| moved.kept));
            let at = now(live.at, moved.map(|moved| moved.at));
            live.at = at.unwrap_or(live.at);
            at.is_some()
        });
        book.len = base + (book.len - mark);
        let old_path = std::mem::replace(&mut book.path, path);
        book.stale.push(old_path);
        book.file = Arc::new(new);
        book.number = number;
        book.dirty = Dirty::Yes;
        book.copy_at = copy_at(self.segment_bytes, book.len);
        book.dropped += lost;
        book.error = None;
        drop(book);
        self.drop_stale()
    }

    /// Removes the old segments once the new one has all that they had.
    fn drop_stale(&self) -> io::Result<()> {
        self.sync();
        if self.book().dirty == Dirty::Lost {
            return Ok(());
        }
        // Its name too.
        file::sync_dir(&self.dir)?;
        let stale = std::mem::take(&mut self.book().stale);
        for path in &stale {
            fs::remove_file(path)?;
        }
        file::sync_dir(&self.dir)
    }
}

/// Refuses calls that a newer program kept: read as nothing they would be lost.
fn refuse_newer(dir: &Path, calls: &[PastCall]) -> Result<(), JournalError> {
    let versions = calls
        .iter()
        .filter_map(|call| call.kept.as_deref()?.first().copied());
    let newer = versions.filter(|version| *version > kept::form());
    match newer.clone().max() {
        None => Ok(()),
        Some(version) => Err(JournalError::NewerCalls {
            dir: dir.to_owned(),
            calls: newer.count(),
            version,
            reads: kept::form(),
        }),
    }
}

#[cfg(test)]
mod tests;
