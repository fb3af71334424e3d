//! The journal of calls: what makes every attempt leave its record even if the process is killed.
//!
//! Append-only segments `calls-<number>.log`, written at once by whichever thread has the entry, and synced every
//! 100 ms by a thread of the journal's own (a killed process loses nothing; a machine that loses power loses at
//! most that). When a segment is big, the calls that are still open are copied to a new one and the old one goes.
//!
//! A call's entries: its arrival as a draft of its record, its answer, its finished record, and the end, once the CDR
//! files have that record. Ids are never used twice, so several segments are read as one heap of facts: a call that
//! ended anywhere is done.
//! Once a second the file's modification time is moved on: after a crash it is the last sign of life.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{RecvTimeoutError, Sender};
use smallvec::SmallVec;

pub use super::entry::JournalError;
use super::entry::{
    BODY_BYTES_MIN, FRAME_HEAD_BYTES, HEADER_BYTES, Past, Segment, What, completed, decode_frame, header,
    modified,
};
use super::file::{self, Draft};
use crate::base::id::Id;
use crate::base::limits::JOURNAL_BUFFER;
use crate::base::time::Wall;
use crate::call::cdr::Cdr;
use crate::call::port::{CallEntry, Records};

mod batch;
mod copying;

use batch::{Batch, Line, Placed};
use copying::{copy_at, copy_range, free, write_call};

const PREFIX: &str = "calls-";
const SUFFIX: &str = ".log";
const SEGMENT_BYTES: u64 = 64 << 20;
const SYNC_EVERY: Duration = Duration::from_millis(100);
/// Ticks between two touches of the file, and between two tries of a copy that failed.
const TICKS_PER_SECOND: u32 = 10;
/// New calls stop here, so that those in progress still find room for their answer and end.
const FULL_AT: usize = JOURNAL_BUFFER / 4 * 3;

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
    /// Held as long as the journal is open.
    _lock: File,
}

/// What is written, and what waits to be.
struct Book {
    file: Arc<File>,
    path: PathBuf,
    number: u64,
    len: u64,
    dirty: Dirty,
    live: HashMap<Id, Live>,
    waiting: VecDeque<Line>,
    dropped: u64,
    /// The copy to a new segment begins when the segment has this many bytes.
    copy_at: u64,
    /// Segments whose successor isn't on the medium yet.
    stale: Vec<PathBuf>,
    /// The last failure, until something works again.
    error: Option<String>,
}

/// Whether the medium has what the file has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dirty {
    /// It has.
    No,
    /// Not yet.
    Yes,
    /// A sync failed: this file can't be trusted, its calls move to a new one.
    Lost,
}

/// An open call: where its arrival stands in the segment, and what came after; or where its finished record does.
#[derive(Clone, Copy)]
struct Live {
    at: u64,
    bytes: u32,
    answered: Option<Wall>,
    died: Option<Wall>,
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
    /// Opens the journal in `dir` (made if absent). Returns, besides, the records that the process before may not
    /// have brought to the CDR files. Those of attempts that were over ([`CallEntry::Over`]) are as they were; those
    /// of attempts that were open when it died are completed by what is known: ended at the last sign of life,
    /// released by the server; refused with `restart` (500) if never answered, else end cause `restart` and the
    /// seconds from the answer on. They stay here until their [`CallEntry::Ended`] is written: do that once their
    /// record is in the CDR files (or is found there by its call id).
    ///
    /// # Errors
    /// [`JournalError`]. Damage is none: what is whole is read, and [`Journal::notes`] says what isn't.
    pub fn open(dir: &Path) -> Result<(Self, Vec<Cdr>), JournalError> {
        let (shared, notes, drafts) = Shared::open(dir, SEGMENT_BYTES)?;
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
            drafts,
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
            waiting: book.waiting.len(),
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
    fn open(dir: &Path, segment_bytes: u64) -> Result<(Self, Vec<String>, Vec<Cdr>), JournalError> {
        let io = |error| JournalError::Io {
            path: dir.to_owned(),
            error,
        };
        file::make_dir(dir).map_err(io)?;
        let lock = file::lock(dir)
            .map_err(io)?
            .ok_or_else(|| JournalError::InUse(dir.to_owned()))?;
        file::remove_drafts(dir, PREFIX).map_err(io)?;
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
        // The old ones go as soon as this one is there: it need not be the last.
        let last = segments.last().map_or(0, |(number, _)| *number);
        let number = last.checked_add(1).unwrap_or_else(|| free(&segments));
        let path = file::numbered_path(dir, PREFIX, number, SUFFIX);

        let mut drafts = Vec::new();
        let mut live = HashMap::new();
        let begun = Draft::begin(&path).map_err(io)?;
        let mut out = BufWriter::new(begun);
        out.write_all(&header()).map_err(io)?;
        let mut len = HEADER_BYTES as u64;
        for (id, frame) in past.open_calls() {
            let died = past.died.get(&id).copied().unwrap_or(last_sign);
            let answered = past.answered.get(&id).copied();
            let json = frame.get(FRAME_HEAD_BYTES + BODY_BYTES_MIN..).unwrap_or_default();
            let is_over = decode_frame(&frame).is_some_and(|(_, what, _)| what == What::Over);
            match serde_json::from_slice::<Cdr>(json) {
                Ok(record) if is_over => drafts.push(record),
                Ok(draft) => drafts.push(completed(draft, answered, died)),
                Err(error) => {
                    past.notes.push(format!(
                        "call {id} was open, and its entry can't be read: {error}"
                    ));
                    continue;
                }
            }
            let of_call = Live {
                at: len,
                bytes: frame.len() as u32,
                answered: answered.filter(|_| !is_over),
                died: Some(died).filter(|_| !is_over),
            };
            live.insert(id, of_call);
            len += write_call(&mut out, id, &frame, &of_call).map_err(io)?;
        }
        let file = out
            .into_inner()
            .map_err(|e| io(e.into_error()))?
            .publish()
            .map_err(io)?;
        for (_, old) in &segments {
            fs::remove_file(old).map_err(io)?;
        }
        file::sync_dir(dir).map_err(io)?;
        drafts.sort_by_key(|d| d.call_id);
        let book = Book {
            file: Arc::new(file),
            path,
            number,
            len,
            dirty: Dirty::No,
            live,
            waiting: VecDeque::new(),
            dropped: 0,
            copy_at: copy_at(segment_bytes, len),
            stale: Vec::new(),
            error: None,
        };
        Ok((
            Self {
                dir: dir.to_owned(),
                segment_bytes,
                book: Mutex::new(book),
                _lock: lock,
            },
            past.notes,
            drafts,
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
        let mut batch = Batch::default();
        let unwritable = entries.iter().filter(|entry| !batch.add(entry)).count();
        let mut book = self.book();
        book.dropped += unwritable as u64;
        if book.waiting.is_empty() {
            match book.put(&batch) {
                Ok(()) => return,
                Err(error) => book.error = Some(error),
            }
        }
        batch.into_lines().for_each(|line| book.wait(line));
    }

    fn tick(&self, tick: Tick) {
        self.retry();
        self.sync();
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
            self.book().error = Some(error.to_string());
        }
    }

    /// Writes what waits, a few lines at a time, so that no shard waits long for the book.
    fn retry(&self) {
        loop {
            let mut book = self.book();
            for _ in 0..256 {
                let Some(line) = book.waiting.pop_front() else {
                    return;
                };
                let batch = Batch::of(line);
                if let Err(error) = book.put(&batch) {
                    book.error = Some(error);
                    batch.into_lines().for_each(|line| book.waiting.push_front(line));
                    return;
                }
            }
        }
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
            book.error = Some(format!("{}: {error}", path.display()));
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
        let mut out = BufWriter::new(Draft::begin(&path)?);
        out.write_all(&header())?;
        let mut len = HEADER_BYTES as u64;
        let mut moved = HashMap::with_capacity(calls.len());
        let mut lost = 0;
        for (id, live) in calls {
            let mut frame = vec![0; live.bytes as usize];
            old.read_exact_at(&mut frame, live.at)?;
            if decode_frame(&frame).is_none() {
                lost += 1;
                continue;
            }
            moved.insert(id, len);
            len += write_call(&mut out, id, &frame, &live)?;
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
            let at = if live.at >= mark {
                Some(live.at - mark + base)
            } else {
                moved.get(id).copied()
            };
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
        let stale = {
            let mut book = self.book();
            if book.dirty == Dirty::Lost {
                return Ok(());
            }
            std::mem::take(&mut book.stale)
        };
        for path in &stale {
            fs::remove_file(path)?;
        }
        file::sync_dir(&self.dir)
    }
}

impl Book {
    /// Writes lines. Nothing has changed if that fails: the next try writes over what is there.
    fn put(&mut self, batch: &Batch) -> Result<(), String> {
        let mut arriving = SmallVec::<[Id; 4]>::new();
        let news: SmallVec<[&Placed; 8]> = batch
            .lines
            .iter()
            .filter(|line| {
                // An arrival that is there already, and news of a call that is over, are left out.
                let known = self.live.contains_key(&line.id) || arriving.contains(&line.id);
                let (is_first, counts) = match line.what {
                    What::Arrived => (!known, !known),
                    What::Over => (!known, true),
                    What::Answered(_) | What::Died(_) | What::Kept | What::Acked | What::Ended => {
                        (false, known)
                    }
                };
                if is_first {
                    arriving.push(line.id);
                }
                counts
            })
            .collect();
        if news.is_empty() {
            return Ok(());
        }
        let frames = if news.len() == batch.lines.len() {
            Cow::Borrowed(batch.bytes.as_slice())
        } else {
            Cow::Owned(news.iter().flat_map(|line| batch.frame(line)).copied().collect())
        };
        file::write_at(&self.file, &self.path, &frames, self.len)
            .map_err(|error| format!("{}: {error}", self.path.display()))?;
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
        match line.what {
            // A finished record takes the arrival's place: nothing that came between matters any more.
            What::Arrived | What::Over => {
                let live = Live {
                    at: self.len,
                    bytes: line.place.len() as u32,
                    answered: None,
                    died: None,
                };
                self.live.insert(line.id, live);
            }
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
            What::Kept | What::Acked => {}
            What::Ended => {
                self.live.remove(&line.id);
            }
        }
        self.len += line.place.len() as u64;
    }

    /// Only arrivals are bounded: the switch takes none any more when this many entries wait. Each of the others
    /// belongs to a call that is up or was, so that they are few; and without them a record would be wrong, or twice.
    fn wait(&mut self, line: Line) {
        if line.what == What::Arrived && self.waiting.len() >= JOURNAL_BUFFER {
            self.dropped += 1;
        } else {
            self.waiting.push_back(line);
        }
    }

    fn records(&self) -> Records {
        // A file that can't be trusted keeps nothing either, until its calls have moved.
        if self.waiting.len() >= FULL_AT || self.dirty == Dirty::Lost {
            Records::Full
        } else {
            Records::Kept
        }
    }
}

#[cfg(test)]
mod tests;
