//! Which recordings there are: by recording, by call (and so by the call's record), by binding.
//!
//! It is in memory, some 200 bytes a recording, and is made at a start from the first lines of the chains, one short read for
//! each. Nothing on the disk has to agree with it: a folder that was copied or moved is found as it is.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::chain::{Audio, Cipher, End, Head, Sha, form};
use super::lines::{NoHead, last_line, read_head, whole_line};
use super::place::{Phase, chain_phase};
use super::retention::erase_files;
use super::{Error, Place};
use crate::base::id::Id;
use crate::base::time::Wall;

/// Bytes of a chain in which its first line ends.
const HEAD_BYTES_MAX: u64 = 4 << 10;
/// Files that are named of those that can't be read.
const NAMED_MAX: usize = 20;

/// Whether a recording is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It is being written, or its server was killed.
    Running,
    /// It is.
    Whole,
}

/// A recording, as its first line says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The recording.
    pub recording: Id,
    /// Its call, by whose id its record is found too.
    pub call: Id,
    /// The call's binding.
    pub binding: Option<Id>,
    /// Whose it is.
    pub account: Arc<str>,
    /// When it began.
    pub began: Wall,
    /// What kind of file it is.
    pub audio: Audio,
    /// How it is encrypted.
    pub sealed: Cipher,
    /// Whether it is whole.
    pub state: State,
}

/// Which recordings are wanted; an empty filter wants all.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Filter {
    /// Those of this account.
    pub account: Option<Box<str>>,
    /// Those that began at this time or later.
    pub since: Option<Wall>,
    /// Those that began before this time.
    pub until: Option<Wall>,
}

impl Filter {
    fn takes(&self, entry: &Entry) -> bool {
        self.account
            .as_deref()
            .is_none_or(|account| *account == *entry.account)
            && self.since.is_none_or(|since| entry.began >= since)
            && self.until.is_none_or(|until| entry.began < until)
    }
}

/// What a folder held.
#[derive(Debug, Default)]
pub struct Scanned {
    /// Recordings that aren't whole: whoever goes on with none of them ends them.
    pub running: Vec<Id>,
    /// How many chains could not be read; those recordings are in no list.
    pub unreadable: usize,
    /// Some of them, a sentence each.
    pub said: Vec<String>,
}

/// The recordings of a folder.
#[derive(Debug)]
pub struct Index {
    dir: PathBuf,
    entries: BTreeMap<Id, Entry>,
    by_call: BTreeSet<(Id, Id)>,
    by_binding: BTreeSet<(Id, Id)>,
    accounts: HashSet<Arc<str>>,
}

impl Index {
    /// Looks through the folder. What was being erased when a server was killed is erased.
    ///
    /// # Errors
    /// The folder, or one in it, can't be read. One that isn't there holds nothing.
    pub fn scan(dir: &Path) -> Result<(Self, Scanned), Error> {
        let mut index = Self {
            dir: dir.to_owned(),
            entries: BTreeMap::new(),
            by_call: BTreeSet::new(),
            by_binding: BTreeSet::new(),
            accounts: HashSet::new(),
        };
        let mut scanned = Scanned::default();
        for year in folders(dir)? {
            for month in folders(&year)? {
                for day in folders(&month)? {
                    for file in list(&day)? {
                        index.look_at(&file, &mut scanned)?;
                    }
                }
            }
        }
        Ok((index, scanned))
    }

    fn look_at(&mut self, file: &Path, scanned: &mut Scanned) -> Result<(), Error> {
        if let Some(place) = Place::half_erased(file) {
            return erase_files(&place);
        }
        let Some(phase) = chain_phase(file) else {
            return Ok(());
        };
        match first_line(file) {
            Ok(head) if Place::of(&self.dir, head.recording, head.began).chain(phase) == file => {
                let state = match phase {
                    Phase::Part => State::Running,
                    Phase::Whole => State::Whole,
                };
                if state == State::Running {
                    scanned.running.push(head.recording);
                }
                self.add(&head, state);
            }
            other => {
                let why = match other {
                    Ok(_) => "its name or folder is another recording's".to_owned(),
                    Err(why) => why,
                };
                scanned.unreadable += 1;
                if scanned.said.len() < NAMED_MAX {
                    let said = format!(
                        "the recording {} is in no list: {why}; `umbra recording verify` says more",
                        file.display()
                    );
                    scanned.said.push(said);
                }
            }
        }
        Ok(())
    }

    /// Adds a recording, in place of what was known of it.
    pub fn add(&mut self, head: &Head, state: State) {
        self.remove(head.recording);
        let account = match self.accounts.get(&*head.account) {
            Some(account) => Arc::clone(account),
            None => {
                let account: Arc<str> = (*head.account).into();
                self.accounts.insert(Arc::clone(&account));
                account
            }
        };
        let entry = Entry {
            recording: head.recording,
            call: head.call,
            binding: head.binding,
            account,
            began: head.began,
            audio: head.audio,
            sealed: head.sealed,
            state,
        };
        self.by_call.insert((entry.call, entry.recording));
        self.by_binding
            .extend(entry.binding.map(|binding| (binding, entry.recording)));
        self.entries.insert(entry.recording, entry);
    }

    /// The recording is whole now.
    pub fn finished(&mut self, recording: Id) {
        if let Some(entry) = self.entries.get_mut(&recording) {
            entry.state = State::Whole;
        }
    }

    /// The recording is gone.
    pub fn remove(&mut self, recording: Id) {
        if let Some(entry) = self.entries.remove(&recording) {
            self.by_call.remove(&(entry.call, recording));
            if let Some(binding) = entry.binding {
                self.by_binding.remove(&(binding, recording));
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// One recording.
    pub fn get(&self, recording: Id) -> Option<&Entry> {
        self.entries.get(&recording)
    }

    /// Those of a call, the earliest first.
    pub fn of_call(&self, call: Id) -> impl Iterator<Item = &Entry> {
        self.of(&self.by_call, call)
    }

    /// Those of a binding's calls, the earliest first.
    pub fn of_binding(&self, binding: Id) -> impl Iterator<Item = &Entry> {
        self.of(&self.by_binding, binding)
    }

    fn of<'a>(&'a self, by: &'a BTreeSet<(Id, Id)>, id: Id) -> impl Iterator<Item = &'a Entry> {
        let all = (id, Id::from_bits(0))..=(id, Id::from_bits(u128::MAX));
        by.range(all).filter_map(|(_, recording)| self.get(*recording))
    }

    /// So many that the filter takes, the latest first; those before `before`, if it is given: the last one of the page
    /// before.
    pub fn page(&self, filter: &Filter, before: Option<Id>, limit: usize) -> Vec<&Entry> {
        let end = before.map_or(Bound::Unbounded, Bound::Excluded);
        let latest = self.entries.range((Bound::Unbounded, end)).rev();
        latest
            .map(|(_, entry)| entry)
            .filter(|entry| filter.takes(entry))
            .take(limit)
            .collect()
    }

    /// All of them, the earliest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Where a recording's files lie.
    pub fn place(&self, entry: &Entry) -> Place {
        Place::of(&self.dir, entry.recording, entry.began)
    }

    /// What the last line of a whole recording says, and its digits. Read from the disk, and not checked.
    ///
    /// # Errors
    /// The disk can't be read.
    pub fn end(&self, entry: &Entry) -> Result<Option<(End, Sha)>, Error> {
        let chain = self.place(entry).chain(Phase::Whole);
        last_line(&chain).map_err(|error| Error::of(&chain, error))
    }
}

/// The folders in a folder, by name; none if it isn't there.
fn folders(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut folders = list(dir)?;
    let is_date = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.bytes().all(|c| c.is_ascii_digit())) && path.is_dir()
    };
    folders.retain(|path| is_date(path));
    Ok(folders)
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let listed = fs::read_dir(dir).and_then(|files| {
        let paths = files.map(|file| file.map(|file| file.path()));
        paths.collect::<io::Result<Vec<_>>>()
    });
    match listed {
        Ok(mut paths) => {
            paths.sort_unstable();
            Ok(paths)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::of(dir, error)),
    }
}

/// A chain's first line; why not, in a few words.
fn first_line(chain: &Path) -> Result<Head, String> {
    let mut line = Vec::new();
    File::open(chain)
        .and_then(|file| BufReader::new(file.take(HEAD_BYTES_MAX)).read_until(b'\n', &mut line))
        .map_err(|error| error.to_string())?;
    let Some(first) = whole_line(&line) else {
        return Err("its first line was never whole".to_owned());
    };
    match read_head(first) {
        Ok((head, _)) => Ok(head),
        Err(NoHead::Newer(newer)) => Err(format!(
            "a newer umbra wrote it, in form {newer}; this one reads up to form {}",
            form()
        )),
        Err(NoHead::Torn | NoHead::Changed) => Err("its first line isn't as it was written".to_owned()),
    }
}
