//! The audit log: who listed, heard, checked, linked or erased recordings, and with which digits each of them ended.
//!
//! A folder holds `audit-START-SEQ.jsonl` files, one JSON object a line, the latest still written to. Every line ends in
//! `,"sha256":"` and 64 hexadecimal digits, `"}` and a line feed: the SHA-256 of the 64 digits of the line before, followed by
//! what stands before them in this line. The first line of a file says with which digits the file before ended (`before`;
//! `null` in the very first), and its own digits follow on those. So all files, read one after the other, are one chain, and
//! no line can be changed, left out, added or moved without all digits after it becoming others. Where somebody keeps the
//! last digits elsewhere, the log can't be made anew or cut off either.
//!
//! With nothing but a shell:
//!
//! ```sh
#![doc = include_str!("audit/check.sh")]
//! ```
//!
//! What is noted is on the medium before [`Audit::note`] returns. Nobody is named in it: parties and their numbers stand in the
//! calls' records alone, found by the ids.
//!
//! Beside a file that is closed lies `audit-START-SEQ.ends`, by which a recording's digits are found in it with a few short
//! reads. It is made from the file, and made anew where it is missing or doesn't fit: of all that was ever noted nothing is in
//! memory but where the digits of the current file stand.

mod book;
mod ends;
mod line;
mod lines;
mod verify;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

pub use line::{Act, GOES, GONE, Line, Who};
pub use verify::{Change, Verdict};

use crate::base::id::Id;
use crate::base::time::Wall;
use crate::records::recordings::chain::Sha;
use book::Book;

/// Why nothing can be noted, or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the folder.
    #[error("another server writes its audit log to {}: stop it, or give this one a recordings.audit_dir of its own", .0.display())]
    Taken(PathBuf),
    /// The disk has no room.
    #[error("the audit log in {} can't be written, the disk is full: make room there", .0.display())]
    Full(PathBuf),
    /// The system refuses.
    #[error("the audit log in {} can't be written or read: {}: let the server's user write there, or mend that disk", .0.display(), .1)]
    Disk(PathBuf, #[source] io::Error),
    /// A later version of the program wrote it.
    #[error("the audit log {} has form {}, this program reads up to form {}: use the newer umbra that wrote it", .0.display(), .1, line::form())]
    Newer(PathBuf, u32),
}

impl Error {
    /// An error of the disk under the folder.
    fn of(dir: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(dir.to_owned()),
            _ => Self::Disk(dir.to_owned(), error),
        }
    }
}

/// What there is to count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Lines that were noted since the start.
    pub lines: u64,
    /// How often the disk refused.
    pub refused: u64,
}

/// The log, taken by this process. Any thread may hold it in an `Arc`; whoever notes waits for the disk, and for whoever else
/// does: never a SIP or RTP thread.
pub struct Audit {
    dir: PathBuf,
    node: Box<str>,
    keep_days: Option<u32>,
    /// `None` until the folder could be taken.
    book: Mutex<Option<Book>>,
    /// What the disk said last, while it refuses.
    trouble: Mutex<Option<String>>,
    lines: AtomicU64,
    refused: AtomicU64,
    /// When the last line of the process before was noted.
    silent_since: OnceLock<Option<Wall>>,
}

impl Audit {
    /// A log whose folder is taken as soon as something is to be noted or looked for in it, and anew as long as that can't be
    /// done: a server goes on without one, and hands nothing out.
    pub fn unopened(dir: &Path, node: &str) -> Self {
        Self {
            dir: dir.to_owned(),
            node: node.into(),
            keep_days: None,
            book: Mutex::default(),
            trouble: Mutex::default(),
            lines: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            silent_since: OnceLock::new(),
        }
    }

    /// Takes the folder, which is made if it isn't there, and goes on behind the last line in it. What a process that died has
    /// torn is cut off; that, and what else isn't as it was written, is said in the log.
    ///
    /// # Errors
    /// The folder is taken, can't be used, or a newer program wrote it.
    pub fn open(dir: &Path, node: &str) -> Result<Self, Error> {
        let audit = Self::unopened(dir, node);
        audit.with_book(|_| Ok(()))?;
        Ok(audit)
    }

    /// From now on files are kept for so many days after the next one was begun; `None`: for ever.
    #[must_use]
    pub fn keeping(mut self, days: Option<u32>) -> Self {
        self.keep_days = days;
        if let Some(book) = self.book.get_mut().unwrap_or_else(PoisonError::into_inner) {
            book.keep_days = days;
        }
        self
    }

    /// Notes a line, and waits until it is on the medium.
    ///
    /// # Errors
    /// The disk refuses: nothing is noted, and what comes later follows on what was there before.
    pub fn note(&self, now: Wall, line: &Line<'_>) -> Result<(), Error> {
        self.note_all(now, std::slice::from_ref(line))
    }

    /// Notes lines, all of them or none, and waits once.
    ///
    /// # Errors
    /// As [`Audit::note`].
    pub fn note_all(&self, now: Wall, lines: &[Line<'_>]) -> Result<(), Error> {
        let outcome = self.with_book(|book| book.note(now, lines));
        self.came_of(outcome)?;
        self.lines.fetch_add(lines.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// With which digits the chain of a recording ended, as its first `kept` line says.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn end_of(&self, recording: Id) -> Result<Option<Sha>, Error> {
        let places = self.with_book(|book| Ok(book.places_of(recording)))?;
        for place in places {
            if let Some(sha) = place
                .find(recording)
                .map_err(|error| Error::of(&self.dir, error))?
            {
                return Ok(Some(sha));
            }
        }
        Ok(None)
    }

    /// When the last line of the process before was noted, if there was any: what happened since then may not be in the log.
    /// `None` as long as the folder isn't taken.
    pub fn silent_since(&self) -> Option<Wall> {
        self.silent_since.get().copied().flatten()
    }

    /// While the disk refuses: whether it still does, so that [`Audit::health`] needn't wait for somebody's access.
    pub fn try_again(&self) {
        if self.health().is_some() {
            // What is wrong is said by `health`.
            let _ = self.probe();
        }
    }

    /// Whether something could be noted now.
    ///
    /// # Errors
    /// As [`Audit::note`].
    pub fn probe(&self) -> Result<(), Error> {
        let outcome = self.with_book(|book| book.probe());
        self.came_of(outcome)
    }

    /// What is wrong, in a sentence.
    pub fn health(&self) -> Option<String> {
        self.said().clone()
    }

    /// What there is to count.
    pub fn counts(&self) -> Counts {
        Counts {
            lines: self.lines.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    /// Reads a whole log, which may be written meanwhile, and says whether it is as it was written; with the digits of one of
    /// its lines, also whether that is still there.
    ///
    /// # Errors
    /// It can't be read, or a newer program wrote it.
    pub fn verify(dir: &Path, expected: Option<Sha>) -> Result<Verdict, Error> {
        verify::verify(dir, expected)
    }

    fn came_of(&self, outcome: Result<(), Error>) -> Result<(), Error> {
        let sentence = outcome.as_ref().err().map(ToString::to_string);
        if sentence.is_some() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        *self.said() = sentence;
        outcome
    }

    fn with_book<T>(&self, work: impl FnOnce(&mut Book) -> Result<T, Error>) -> Result<T, Error> {
        let mut taken = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let book = match &mut *taken {
            Some(book) => book,
            none @ None => {
                let (mut book, opened) = Book::open(&self.dir, &self.node)?;
                for sentence in opened.said {
                    tracing::warn!("{sentence}");
                }
                book.keep_days = self.keep_days;
                // It is taken once.
                let _ = self.silent_since.set(opened.last);
                none.insert(book)
            }
        };
        work(book)
    }

    fn said(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
