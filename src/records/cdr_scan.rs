//! Reading CDR files back: a page at a time, oldest or newest first; and the ids at the tail.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;

use super::folder::{self, Entry, Phase};
use crate::base::id::Id;
use crate::base::limits;
use crate::base::number::Digits;
use crate::base::time::Wall;
use crate::call::cdr::{Cdr, Line, Party};

/// Bytes that one page looks through; beyond it the page ends, with a cursor to go on from.
const SCAN_BYTES_MAX: u64 = 64 << 20;
/// Bytes of one line; a longer one is no CDR.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// Which records are wanted; an empty filter wants all.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Those that ended at this time or later.
    pub since: Option<Wall>,
    /// Those that ended before this time.
    pub until: Option<Wall>,
    /// Those of this virtual number (X or Y), as records write it.
    pub x: Option<String>,
    /// The record of this call.
    pub call_id: Option<Id>,
    /// Those of calls in which this number took part.
    pub party: Option<Party>,
}

impl Filter {
    fn takes(&self, cdr: &Cdr) -> bool {
        let is =
            |digits: &Option<Digits>, wanted: &str| digits.as_ref().is_some_and(|d| d.as_str() == wanted);
        self.since.is_none_or(|since| cdr.ended_at >= since)
            && self.until.is_none_or(|until| cdr.ended_at < until)
            && self.call_id.is_none_or(|id| cdr.call_id == id)
            && self
                .x
                .as_deref()
                .is_none_or(|x| is(&cdr.x, x) || is(&cdr.y, x) || cdr.dialled.as_str() == x)
            && self.party.is_none_or(|party| cdr.has(&party))
    }

    /// The call of a record that is wanted. What is no record of this version isn't.
    pub fn call_of(&self, line: &Line) -> Option<Id> {
        let text = str::from_utf8(&line.json).ok()?;
        let cdr = || serde_json::from_str(text).ok();
        let is_wanted = self.may_take(text) && cdr().is_some_and(|cdr| self.takes(&cdr));
        is_wanted.then_some(line.call_id)
    }

    /// Whether the line is worth parsing.
    fn may_take(&self, line: &str) -> bool {
        self.call_id.is_none_or(|id| line.contains(&id.to_string()))
            && self.x.as_deref().is_none_or(|x| line.contains(x))
            && self.party.is_none_or(|Party { own, shown }| {
                [own, shown].iter().any(|number| line.contains(number.as_str()))
            })
    }
}

/// Which end is read first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// In the order the calls ended: to follow.
    OldestFirst,
    /// The latest first: to look up.
    NewestFirst,
}

/// Where a page ended: a file of the sequence and a place in it. Written as `12-3456`. Belongs to the order
/// that it was given for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor {
    seq: u64,
    offset: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.seq, self.offset)
    }
}

/// The text isn't a cursor of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor: give the one that the last page named, or none")]
pub struct NotACursor;

impl FromStr for Cursor {
    type Err = NotACursor;
    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let (seq, offset) = text.split_once('-').ok_or(NotACursor)?;
        Ok(Self {
            seq: seq.parse().map_err(|_| NotACursor)?,
            offset: offset.parse().map_err(|_| NotACursor)?,
        })
    }
}

/// Records, in the order asked for.
#[derive(Debug, Default)]
pub struct Page {
    /// The records.
    pub cdrs: Vec<Cdr>,
    /// Where to go on. Newest first, `None` is the end. Oldest first there is always one while any file
    /// exists: new records will come behind it.
    pub next: Option<Cursor>,
    /// Whether there may be more behind `next` already: the page or its work was full.
    pub more: More,
    /// Lines that are no CDR of this version.
    pub unreadable: usize,
    /// Where one of them begins: a file's name and a byte in it.
    pub unreadable_at: Option<(String, u64)>,
}

/// Whether a page is the last for now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum More {
    /// Everything has been read.
    #[default]
    No,
    /// The page or its work was full.
    Perhaps,
}

/// Reads up to `limit` records (at most [`limits::PAGE_MAX`]) that `filter` takes, from `cursor` or the
/// order's beginning. Reads at most 64 MiB. A line that is still being written isn't seen yet.
///
/// # Errors
/// The folder can't be read. A file that vanishes meanwhile (deleted as old) is left out.
pub fn scan(
    dir: &Path,
    filter: &Filter,
    order: Order,
    cursor: Option<Cursor>,
    limit: usize,
) -> io::Result<Page> {
    let entries = folder::list(dir)?;
    let mut reader = Reader {
        filter,
        limit: limit.clamp(1, limits::PAGE_MAX),
        budget: SCAN_BYTES_MAX,
        page: Page {
            next: cursor,
            ..Page::default()
        },
    };
    match order {
        Order::OldestFirst => {
            for (i, entry) in entries.iter().enumerate() {
                // Whatever stands in a file ended before the next file was begun.
                let over = entries
                    .get(i + 1)
                    .is_some_and(|next| filter.since.is_some_and(|since| next.start < since));
                if over || cursor.is_some_and(|c| entry.seq < c.seq) {
                    continue;
                }
                let from = cursor.filter(|c| c.seq == entry.seq).map_or(0, |c| c.offset);
                if reader.forwards(dir, entry, from)? == More::Perhaps {
                    reader.page.more = More::Perhaps;
                    break;
                }
            }
        }
        Order::NewestFirst => {
            reader.page.next = None;
            for (i, entry) in entries.iter().enumerate().rev() {
                let over = entries
                    .get(i + 1)
                    .is_some_and(|next| filter.since.is_some_and(|since| next.start < since));
                if over {
                    break;
                }
                if cursor.is_some_and(|c| entry.seq > c.seq) {
                    continue;
                }
                let to = cursor.filter(|c| c.seq == entry.seq).map(|c| c.offset);
                if reader.backwards(dir, entry, to)? == More::Perhaps {
                    reader.page.more = More::Perhaps;
                    break;
                }
            }
        }
    }
    Ok(reader.page)
}

/// From when on all records are there: since the file was begun before which one is missing. `None`: from the first record on.
/// With no file at all, that is `now`.
///
/// # Errors
/// The folder can't be read.
pub fn complete_since(dir: &Path, now: Wall) -> io::Result<Option<Wall>> {
    let (mut since, mut follows) = (now, None);
    for entry in folder::list(dir)?.iter().rev() {
        if follows.is_some_and(|follows| entry.seq.saturating_add(1) < follows) {
            return Ok(Some(since));
        }
        (since, follows) = (entry.start, Some(entry.seq));
    }
    Ok((follows != Some(1)).then_some(since))
}

/// The call ids of the last `n` records: a start compares them with the journal, so that no call is recorded
/// twice.
///
/// # Errors
/// The folder or a file can't be read.
pub fn recent_ids(dir: &Path, n: usize) -> io::Result<HashSet<Id>> {
    #[derive(Deserialize)]
    struct Named {
        call_id: Id,
    }
    let mut ids = HashSet::new();
    for entry in folder::list(dir)?.iter().rev() {
        let Some(file) = open(dir, entry)? else {
            continue;
        };
        let mut lines = Backwards::new(&file, file.metadata()?.len());
        while let Some((_, line)) = lines.line()? {
            if ids.len() >= n {
                return Ok(ids);
            }
            let named = line.and_then(|line| serde_json::from_slice::<Named>(&line).ok());
            ids.extend(named.map(|named| named.call_id));
        }
    }
    Ok(ids)
}

struct Reader<'a> {
    filter: &'a Filter,
    limit: usize,
    budget: u64,
    page: Page,
}

impl Reader<'_> {
    /// Takes one line of a file, that begins at `at`; whether the page is full now.
    fn take(&mut self, line: &[u8], entry: &Entry, at: u64) -> More {
        self.budget = self.budget.saturating_sub(line.len() as u64 + 1);
        match std::str::from_utf8(line) {
            // What a filter looks for isn't found in zeros, or in half a line.
            Ok(text) if !(text.starts_with('{') && text.ends_with('}')) => self.unreadable(entry, at),
            Ok(text) if !self.filter.may_take(text) => {}
            Ok(text) => match serde_json::from_str::<Cdr>(text) {
                Ok(cdr) if self.filter.takes(&cdr) => self.page.cdrs.push(cdr),
                Ok(_) => {}
                Err(_) => self.unreadable(entry, at),
            },
            Err(_) => self.unreadable(entry, at),
        }
        if self.page.cdrs.len() == self.limit || self.budget == 0 {
            More::Perhaps
        } else {
            More::No
        }
    }

    fn unreadable(&mut self, entry: &Entry, at: u64) {
        self.page.unreadable += 1;
        self.page
            .unreadable_at
            .get_or_insert_with(|| (entry.path(Path::new("")).display().to_string(), at));
    }

    fn forwards(&mut self, dir: &Path, entry: &Entry, from: u64) -> io::Result<More> {
        let Some(file) = open(dir, entry)? else {
            return Ok(More::No);
        };
        let mut at = from;
        let mut held: Vec<u8> = Vec::new();
        // Whether what is held is the rest of a line that is too long.
        let mut skips = false;
        let mut chunk = vec![0; CHUNK];
        let cursor = |offset| {
            Some(Cursor {
                seq: entry.seq,
                offset,
            })
        };
        self.page.next = cursor(at);
        loop {
            let read = file.read_at(&mut chunk, at + held.len() as u64)?;
            if read == 0 {
                return Ok(More::No);
            }
            held.extend_from_slice(&chunk[..read]);
            let mut done = 0;
            while let Some(len) = held[done..].iter().position(|c| *c == b'\n') {
                let full = match std::mem::take(&mut skips) {
                    true => More::No,
                    false => self.take(&held[done..done + len], entry, at + done as u64),
                };
                done += len + 1;
                self.page.next = cursor(at + done as u64);
                if full == More::Perhaps {
                    return Ok(full);
                }
            }
            held.drain(..done);
            at += done as u64;
            if skips || held.len() > LINE_BYTES_MAX {
                if !skips {
                    self.unreadable(entry, at);
                }
                skips = true;
                at += held.len() as u64;
                held.clear();
            }
        }
    }

    fn backwards(&mut self, dir: &Path, entry: &Entry, to: Option<u64>) -> io::Result<More> {
        let Some(file) = open(dir, entry)? else {
            return Ok(More::No);
        };
        let end = file.metadata()?.len();
        let mut lines = Backwards::new(&file, to.map_or(end, |to| to.min(end)));
        while let Some((start, line)) = lines.line()? {
            let full = match line {
                Some(line) => self.take(&line, entry, start),
                None => {
                    self.unreadable(entry, start);
                    More::No
                }
            };
            if full == More::Perhaps {
                self.page.next = Some(Cursor {
                    seq: entry.seq,
                    offset: start,
                });
                return Ok(More::Perhaps);
            }
        }
        Ok(More::No)
    }
}

/// The file, under the name that it has by now; `None` if it is gone.
fn open(dir: &Path, entry: &Entry) -> io::Result<Option<File>> {
    let closed = Entry {
        phase: Phase::Closed,
        ..entry.clone()
    };
    for path in [entry.path(dir), closed.path(dir)] {
        match File::open(path) {
            Ok(file) => return Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

/// The lines of a file from its end to its beginning. What follows the last line end is not a line yet.
struct Backwards<'f> {
    file: &'f File,
    /// What is read and not yet given: the bytes from `start` on, up to and with a line's end.
    held: Vec<u8>,
    start: u64,
    /// Whether `held` is cut at its last line end.
    trimmed: bool,
    /// Whether what stood behind `held` was thrown away: the line was too long.
    skips: bool,
}

impl<'f> Backwards<'f> {
    fn new(file: &'f File, end: u64) -> Self {
        Self {
            file,
            held: Vec::new(),
            start: end,
            trimmed: false,
            skips: false,
        }
    }

    /// The next line towards the beginning, without its end, and where it starts. `None` for one that is too long.
    fn line(&mut self) -> io::Result<Option<(u64, Option<Vec<u8>>)>> {
        loop {
            if self.skips {
                let before = self.held.iter().rposition(|c| *c == b'\n');
                let from = before.map_or(0, |before| before + 1);
                self.held.truncate(from);
                if before.is_some() || self.start == 0 {
                    (self.skips, self.trimmed) = (false, true);
                    return Ok(Some((self.start + from as u64, None)));
                }
            }
            if !self.trimmed
                && let Some(last) = self.held.iter().rposition(|c| *c == b'\n')
            {
                self.held.truncate(last + 1);
                self.trimmed = true;
            }
            if self.trimmed {
                let body = &self.held[..self.held.len().saturating_sub(1)];
                let from = match body.iter().rposition(|c| *c == b'\n') {
                    Some(before) => Some(before + 1),
                    None if self.start == 0 && !self.held.is_empty() => Some(0),
                    None => None,
                };
                if let Some(from) = from {
                    let line = body[from..].to_vec();
                    self.held.truncate(from);
                    return Ok(Some((self.start + from as u64, Some(line))));
                }
            }
            if self.start == 0 {
                return Ok(None);
            }
            if self.held.len() > LINE_BYTES_MAX {
                self.skips = true;
                self.held.clear();
            }
            let size = self.start.min(CHUNK as u64);
            let mut chunk = vec![0; size as usize];
            self.file.read_exact_at(&mut chunk, self.start - size)?;
            chunk.append(&mut self.held);
            self.held = chunk;
            self.start -= size;
        }
    }
}
