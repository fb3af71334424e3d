//! Writing the files.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;
use super::ends::{self, Ends, Place};
use super::line::{Head, Line, form, noted_at};
use super::lines::{Lines, Stop};
use crate::base::id::Id;
use crate::base::limits::AUDIT_FILE_BYTES_MAX;
use crate::base::redact::scrub;
use crate::base::time::Wall;
use crate::records::folder::{self, Entry, Phase, Series};
use crate::records::recordings::chain::{self, Sha, link, open_text};
use crate::records::recordings::disk;

/// For how long one file is written to.
const FILE_LASTS: Duration = Duration::from_secs(86_400);
/// How far clocks may be apart between whoever minted a recording's id and whoever notes its end.
const CLOCKS_APART: Duration = Duration::from_secs(86_400);
/// Written, synced and removed again to see whether the disk takes anything.
const PROBE: &str = "probe";
const PROBE_BYTES: usize = 4 << 10;

/// The folder's files, and the one that is being written. Handed the time; knows no thread.
pub(super) struct Book {
    dir: PathBuf,
    node: String,
    pub(super) keep_days: Option<u32>,
    /// All but the current one, in sequence.
    closed: Vec<Entry>,
    current: Option<Current>,
    next_seq: u64,
    /// The digits of the last line.
    last: Option<Sha>,
    /// Held as long as this lives.
    _lock: File,
}

/// The file that is being written.
struct Current {
    entry: Entry,
    /// `None` after an error: what the kernel then holds of it is unknown, so it is opened anew.
    file: Option<File>,
    /// Bytes that are on the medium for certain; the next line goes there.
    good: u64,
    ends: Ends,
}

/// What was found.
#[derive(Default)]
pub(super) struct Opened {
    /// A sentence each, for the log.
    pub(super) said: Vec<String>,
    /// When the last line was noted.
    pub(super) last: Option<Wall>,
}

impl Book {
    pub(super) fn open(dir: &Path, node: &str) -> Result<(Self, Opened), Error> {
        let of = |error| Error::of(dir, error);
        folder::make(dir).map_err(of)?;
        let lock = folder::take(dir).map_err(|error| match error {
            TryLockError::WouldBlock => Error::Taken(dir.to_owned()),
            TryLockError::Error(error) => of(error),
        })?;
        let closed = folder::list_of(Series::Audit, dir).map_err(of)?;
        let mut book = Self {
            dir: dir.to_owned(),
            node: scrub(node).into(),
            keep_days: None,
            next_seq: closed.last().map_or(1, |entry| entry.seq.saturating_add(1)),
            closed,
            current: None,
            last: None,
            _lock: lock,
        };
        let opened = book.find_end()?;
        Ok((book, opened))
    }

    /// Comes to behind the last line that there is.
    fn find_end(&mut self) -> Result<Opened, Error> {
        let mut opened = Opened::default();
        while let Some(entry) = self.closed.last().cloned() {
            let path = entry.path(&self.dir);
            let of = |error| Error::of(&self.dir, error);
            let changed = || {
                format!(
                    "the audit log {} isn't as it was written: it is left as it is, and goes on in another file; \
                     `umbra audit verify {}` says more",
                    path.display(),
                    self.dir.display()
                )
            };
            let mut lines = match Lines::open(&path) {
                Ok((head, lines)) => {
                    opened.last = Some(head.began);
                    lines
                }
                // It was killed as it made the file, and nothing that was to be noted there was.
                Err(Stop::Torn | Stop::End) => {
                    fs::remove_file(&path).map_err(of)?;
                    opened.said.push(torn(&path));
                    self.closed.pop();
                    self.next_seq = entry.seq;
                    continue;
                }
                Err(Stop::Changed) => {
                    opened.said.push(changed());
                    return Ok(opened);
                }
                Err(Stop::Newer(form)) => return Err(Error::Newer(path, form)),
                Err(Stop::Disk(error)) => return Err(of(error)),
            };
            let mut ends = Ends::new();
            let stop = loop {
                match lines.next() {
                    Ok(next) => {
                        ends::add(&mut ends, next.at, next.text);
                        opened.last = noted_at(next.text).or(opened.last);
                    }
                    Err(stop) => break stop,
                }
            };
            match stop {
                Stop::End => {}
                Stop::Torn => {
                    let file = File::options().write(true).open(&path).map_err(of)?;
                    file.set_len(lines.at)
                        .and_then(|()| file.sync_all())
                        .map_err(of)?;
                    opened.said.push(torn(&path));
                }
                Stop::Changed | Stop::Newer(_) => {
                    opened.said.push(changed());
                    self.last = lines.last_said();
                    return Ok(opened);
                }
                Stop::Disk(error) => return Err(of(error)),
            }
            self.last = lines.last;
            self.closed.pop();
            self.current = Some(Current {
                entry,
                file: None,
                good: lines.at,
                ends,
            });
            return Ok(opened);
        }
        Ok(opened)
    }

    pub(super) fn note(&mut self, now: Wall, lines: &[Line<'_>]) -> Result<(), Error> {
        if lines.is_empty() {
            return Ok(());
        }
        self.turn(now);
        let outcome = self.append(now, lines);
        outcome.map_err(|error| Error::of(&self.dir, error))
    }

    /// Leaves the current file if it is old or long enough.
    fn turn(&mut self, now: Wall) {
        let is_due = |current: &mut Current| {
            now.since(current.entry.start) >= FILE_LASTS || current.good >= AUDIT_FILE_BYTES_MAX
        };
        let Some(current) = self.current.take_if(is_due) else {
            return;
        };
        // Where it can't be written it is made when it is needed.
        let _ = ends::write(&current.entry.path(&self.dir), current.good, &current.ends);
        self.close(current.entry);
        let Some(days) = self.keep_days else {
            return;
        };
        let old: Vec<Entry> = folder::old(&self.closed, now, days).cloned().collect();
        for entry in old {
            let path = entry.path(&self.dir);
            let _ = fs::remove_file(ends::table_of(&path));
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(
                        "the audit log {} is old and can't be deleted: {error}",
                        path.display()
                    );
                }
                Ok(()) | Err(_) => self.closed.retain(|other| *other != entry),
            }
        }
    }

    fn close(&mut self, entry: Entry) {
        self.next_seq = entry.seq.saturating_add(1);
        self.closed.push(entry);
    }

    /// Writes lines, and waits until they are on the medium. After an error nothing of them counts.
    fn append(&mut self, now: Wall, lines: &[Line<'_>]) -> io::Result<()> {
        if let Some(current) = &mut self.current
            && !current.is_there(&self.dir)?
        {
            tracing::warn!(
                "the audit log {} was moved away or cut off: it goes on in another file",
                current.entry.path(&self.dir).display()
            );
            let entry = current.entry.clone();
            self.current = None;
            self.close(entry);
        }
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.begin(now)?,
        };
        let (mut bytes, mut last, mut noted) = (String::new(), self.last, Vec::new());
        let mut add = |text: &str| {
            let sha = link(last, text);
            let at = current.good + bytes.len() as u64;
            bytes.push_str(&chain::line(text, sha));
            last = Some(sha);
            at
        };
        if current.good == 0 {
            add(&open_text(&Head {
                form: form(),
                node: self.node.clone(),
                seq: current.entry.seq,
                began: now,
                before: self.last,
            }));
        }
        for line in lines {
            let text = line.text(now);
            noted.push((add(&text), text));
        }
        let outcome = current.write(&self.dir, bytes.as_bytes());
        match &outcome {
            Ok(()) => {
                self.last = last;
                for (at, text) in &noted {
                    ends::add(&mut current.ends, *at, text);
                }
                self.current = Some(current);
            }
            // Nothing is in it yet, not even its name: it is begun anew.
            Err(_) if current.good == 0 => drop(fs::remove_file(current.entry.path(&self.dir))),
            Err(_) => self.current = Some(current),
        }
        outcome
    }

    /// A file in which nothing stands yet.
    fn begin(&self, now: Wall) -> io::Result<Current> {
        folder::make(&self.dir)?;
        Ok(Current {
            entry: Entry {
                series: Series::Audit,
                seq: self.next_seq,
                start: now,
                phase: Phase::Closed,
            },
            file: None,
            good: 0,
            ends: Ends::new(),
        })
    }

    /// Where a recording's digits may be, the earliest first: in no file that was closed before there was such a recording.
    pub(super) fn places_of(&self, recording: Id) -> Vec<Place> {
        let current = self.current.as_ref();
        let begins = self.closed.iter().map(|entry| entry.start).skip(1);
        let ends = begins.chain([current.map_or(Wall::from_millis(i64::MAX), |current| current.entry.start)]);
        let is_possible = |until: Wall| until.plus(CLOCKS_APART) >= recording.minted();
        let closed = self.closed.iter().zip(ends);
        let closed = closed.filter(|(_, until)| is_possible(*until));
        let mut places: Vec<Place> = closed
            .map(|(entry, _)| Place::File(entry.path(&self.dir)))
            .collect();
        places.extend(current.and_then(|current| {
            let at = current.ends.get(&recording)?;
            Some(Place::Line(current.entry.path(&self.dir), *at))
        }));
        places
    }

    /// Whether the disk takes anything.
    pub(super) fn probe(&self) -> Result<(), Error> {
        let path = self.dir.join(PROBE);
        let outcome = folder::make(&self.dir)
            .and_then(|()| File::create(&path))
            .and_then(|file| disk::write_at(&file, &[0; PROBE_BYTES], 0).and_then(|()| disk::sync(&file)));
        let removed = fs::remove_file(&path);
        outcome.and(removed).map_err(|error| Error::of(&self.dir, error))
    }
}

impl Current {
    /// Opens the file, if need be; whether it is there, with all that was noted in it. What a failed write has left behind is
    /// cut off.
    fn is_there(&mut self, dir: &Path) -> io::Result<bool> {
        let file = match self.file.take() {
            Some(file) => file,
            None => match File::options().write(true).open(self.entry.path(dir)) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error),
            },
        };
        let found = file.metadata()?;
        if found.nlink() == 0 || found.len() < self.good {
            return Ok(false);
        }
        if found.len() > self.good {
            file.set_len(self.good)?;
        }
        self.file = Some(file);
        Ok(true)
    }

    fn write(&mut self, dir: &Path, bytes: &[u8]) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let path = self.entry.path(dir);
                // What a try before has left there nobody was told of.
                let file = File::options()
                    .create(true)
                    .truncate(true)
                    .write(true)
                    .mode(0o600)
                    .open(path)?;
                folder::sync(dir)?;
                file
            }
        };
        let outcome = disk::write_at(&file, bytes, self.good).and_then(|()| disk::sync(&file));
        match outcome {
            Ok(()) => {
                self.good += bytes.len() as u64;
                self.file = Some(file);
            }
            // A line that nobody may count on; if this fails too, the next one comes over it.
            Err(_) => drop(file.set_len(self.good)),
        }
        outcome
    }
}

fn torn(log: &Path) -> String {
    format!(
        "{}: a process that died tore the last line: it is cut off, and nobody was told that it was noted",
        log.display()
    )
}
