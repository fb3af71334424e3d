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
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::chain::{Audio, Cipher, End, Head, Sha, account_name, form};
use super::lines::{NoHead, is_busy, last_line, read_head, whole_line};
use super::place::{Phase, chain_phase};
use super::retention::erase_files;
use super::{Error, Place, disk};
use crate::base::id::Id;
use crate::base::limits::RECORDING_LEFT_AFTER;
use crate::base::time::Wall;

/// Bytes of a chain in which its first line ends.
const HEAD_BYTES_MAX: u64 = 4 << 10;
/// Files that are named of those that can't be read.
const NAMED_MAX: usize = 20;
const DAY: Duration = Duration::from_secs(86_400);
/// On so many days after a call's arrival its recording may have begun, and one more.
const CALL_DAYS_MAX: u32 = 3;
/// What is wrong with a chain of another recording.
const ANOTHERS: &str = "its name or folder is another recording's";

/// Whether a recording is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It is being written, or its server was killed.
    Running,
    /// It is.
    Whole,
    /// Its chain isn't there or can't be read, or nobody has written it for [`RECORDING_LEFT_AFTER`] and no server could end
    /// it. It is kept, and goes, as if it had ended when its files were last written.
    Broken,
}

/// A recording.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// It.
    pub recording: Id,
    /// When it began; of one whose chain can't be read, when its id was made.
    pub began: Wall,
    /// Whether it is whole.
    pub state: State,
    /// What its first line says; `None` if that can't be read.
    pub known: Option<Known>,
    /// The folder of its day.
    day: Arc<Path>,
}

/// What a chain's first line says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known {
    /// The recording's call, by whose id its record is found too.
    pub call: Id,
    /// The call's binding.
    pub binding: Option<Id>,
    /// Whose it is, as [`account_name`] writes it.
    pub account: Arc<str>,
    /// What kind of file it is.
    pub audio: Audio,
    /// How it is encrypted.
    pub sealed: Cipher,
    /// How many days the law has it kept; 0 if it doesn't say.
    pub at_least_days: u32,
}

impl Entry {
    /// Whose it is, as [`account_name`] writes it; `None` if its first line can't be read.
    pub fn account(&self) -> Option<&str> {
        self.known.as_ref().map(|known| &*known.account)
    }

    /// How many days after its end the law has it kept; 0 if it doesn't say, or its first line can't be read.
    pub fn at_least_days(&self) -> u32 {
        self.known.as_ref().map_or(0, |known| known.at_least_days)
    }

    /// The call by which it is found: that of its own id, if its first line can't be read.
    pub fn call(&self) -> Id {
        self.known.as_ref().map_or(self.recording, |known| known.call)
    }

    /// Where its files lie.
    pub fn place(&self) -> Place {
        Place {
            day: self.day.to_path_buf(),
            recording: self.recording,
        }
    }

    /// What its last line says if it is whole, and its digits. Read from the disk, and not checked.
    ///
    /// # Errors
    /// The disk can't be read.
    pub fn end(&self) -> Result<Option<(End, Sha)>, Error> {
        let chain = self.place().chain(Phase::Whole);
        last_line(&chain).map_err(|error| Error::of(&chain, error))
    }
}

/// Which recordings are wanted; an empty filter wants all.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Filter {
    /// Those of this account.
    pub account: Option<Box<str>>,
    /// Those of this call.
    pub call: Option<Id>,
    /// Those of this binding's calls.
    pub binding: Option<Id>,
    /// None but these.
    pub among: Option<BTreeSet<Id>>,
    /// Those that began at this time or later.
    pub since: Option<Wall>,
    /// Those that began before this time.
    pub until: Option<Wall>,
}

impl Filter {
    /// Whether it wants that one; `account` is the filter's, as chains write it.
    fn takes(&self, entry: &Entry, account: Option<&str>) -> bool {
        let known = entry.known.as_ref();
        account.is_none_or(|account| entry.account() == Some(account))
            && self.call.is_none_or(|call| entry.call() == call)
            && self
                .binding
                .is_none_or(|binding| known.is_some_and(|known| known.binding == Some(binding)))
            && self.since.is_none_or(|since| entry.began >= since)
            && self.until.is_none_or(|until| entry.began < until)
    }
}

/// What a folder held.
#[derive(Debug, Default)]
pub struct Scanned {
    /// Recordings that aren't whole: whoever goes on with none of them ends them.
    pub running: Vec<Id>,
    /// What was half erased, and is gone now.
    pub erased: Vec<Id>,
    /// How many chains could not be read, and folders.
    pub unreadable: usize,
    /// Some of them, a sentence each.
    pub said: Vec<String>,
}

impl Scanned {
    fn unreadable(&mut self, sentence: String) {
        self.unreadable += 1;
        if self.said.len() < NAMED_MAX {
            self.said.push(sentence);
        }
    }

    /// What a folder holds; of one that can't be read, nothing.
    fn of(&mut self, folder: &Path, listed: Result<Vec<PathBuf>, Error>) -> Vec<PathBuf> {
        listed.unwrap_or_else(|error| {
            self.unreadable(format!(
                "the recordings in {} are in no list: {error}",
                folder.display()
            ));
            Vec::new()
        })
    }
}

/// The folder of the day in which that was.
fn day_of(dir: &Path, at: Wall) -> PathBuf {
    Place::of(dir, Id::from_bits(0), at).day
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
    /// An index of that folder in which nothing is yet.
    pub(in crate::records) fn empty(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            entries: BTreeMap::new(),
            by_call: BTreeSet::new(),
            by_binding: BTreeSet::new(),
            accounts: HashSet::new(),
        }
    }

    /// Looks through the folder. What was being erased when a server was killed is erased. What can't be read is said, and the
    /// rest is looked at.
    ///
    /// # Errors
    /// The folder itself can't be read. One that isn't there holds nothing.
    pub fn scan(dir: &Path) -> Result<(Self, Scanned), Error> {
        let (mut index, mut scanned) = (Self::empty(dir), Scanned::default());
        index.look_at_days(&mut scanned)?;
        Ok((index, scanned))
    }

    /// What is there of these calls, each with the times of its arrival and its end, as far as that is known. A recording has its
    /// call's id, and lies in the folder of the day on which it began: nothing else is looked at, however much there is.
    pub fn of_calls(dir: &Path, calls: impl IntoIterator<Item = (Id, [Wall; 2])>) -> (Self, Scanned) {
        let (mut index, mut scanned) = (Self::empty(dir), Scanned::default());
        for (call, [arrived, ended]) in calls {
            let next = (0..CALL_DAYS_MAX).map(|days| arrived.plus(DAY * days));
            let mut days: Vec<PathBuf> = next.chain([ended]).map(|at| day_of(dir, at)).collect();
            days.sort_unstable();
            days.dedup();
            for day in days {
                index.look_for(&day, call, &mut scanned);
            }
        }
        (index, scanned)
    }

    /// Looks for one recording among those of a day.
    fn look_for(&mut self, day: &Path, recording: Id, scanned: &mut Scanned) {
        let place = Place {
            day: day.to_owned(),
            recording,
        };
        // It may become whole meanwhile: that is looked at second.
        for (phase, state) in [(Phase::Part, State::Running), (Phase::Whole, State::Whole)] {
            let chain = place.chain(phase);
            match first_line(&chain) {
                Ok(head) if Place::of(&self.dir, head.recording, head.began) == place => {
                    self.add_in(&head, state, day.into());
                    return;
                }
                Ok(_) => scanned.unreadable(unlisted(&chain, ANOTHERS)),
                Err(NoFirst::Disk(error)) if error.kind() == io::ErrorKind::NotFound => {}
                // Nothing was in it yet.
                Err(NoFirst::Torn) if phase == Phase::Part => {}
                Err(why) => scanned.unreadable(unlisted(&chain, &why.to_string())),
            }
        }
    }

    /// Looks at the folders of all days.
    fn look_at_days(&mut self, scanned: &mut Scanned) -> Result<(), Error> {
        let years = folders(&self.dir)?;
        for year in years.iter().rev() {
            for month in scanned.of(year, folders(year)).iter().rev() {
                for day in scanned.of(month, folders(month)).iter().rev() {
                    let files = scanned.of(day, list(day));
                    self.look_at_day(&Arc::from(day.as_path()), &files, scanned);
                }
            }
        }
        Ok(())
    }

    pub(super) fn look_at_day(&mut self, day: &Arc<Path>, files: &[PathBuf], scanned: &mut Scanned) {
        // Audio whose chain isn't there is in no other way to be found.
        let (mut left, mut gone, mut named) = (BTreeSet::new(), HashSet::new(), HashSet::new());
        for file in files {
            if let Some(place) = Place::half_erased(file) {
                match erase_files(&place) {
                    Ok(()) => {
                        scanned.erased.push(place.recording);
                        gone.insert(place.recording);
                    }
                    Err(error) => {
                        scanned.unreadable(format!("what is left of an erased recording stays: {error}"));
                    }
                }
                continue;
            }
            let Some(place) = Place::named(file) else {
                continue;
            };
            match chain_phase(file) {
                Some(phase) => {
                    named.extend((phase == Phase::Whole).then_some(place.recording));
                    left.extend(self.look_at_chain(day, &place, phase, scanned));
                }
                None => drop(left.insert(place.recording)),
            }
        }
        for recording in left.into_iter().filter(|recording| !gone.contains(recording)) {
            let place = Place {
                day: day.to_path_buf(),
                recording,
            };
            // Since the folder was listed it may have become whole, or gone.
            let is_renamed = !named.contains(&recording) && place.chain(Phase::Whole).exists();
            let is_known = self.entries.contains_key(&recording)
                || is_renamed && self.look_at_chain(day, &place, Phase::Whole, scanned).is_none();
            if !is_known && place.files().any(|file| file.exists()) {
                self.add_broken(recording, day);
            }
        }
    }

    /// Looks at a chain; gives the recording if nothing is known of it by that.
    fn look_at_chain(
        &mut self,
        day: &Arc<Path>,
        place: &Place,
        phase: Phase,
        scanned: &mut Scanned,
    ) -> Option<Id> {
        let (file, recording) = (place.chain(phase), place.recording);
        match first_line(&file) {
            Ok(head) if Place::of(&self.dir, head.recording, head.began).chain(phase) == file => {
                let state = match phase {
                    Phase::Part if is_left(place) => State::Broken,
                    Phase::Part => State::Running,
                    Phase::Whole => State::Whole,
                };
                if phase == Phase::Part {
                    scanned.running.push(recording);
                }
                self.add_in(&head, state, Arc::clone(day));
                None
            }
            Ok(_) => {
                scanned.unreadable(unlisted(&file, ANOTHERS));
                Some(recording)
            }
            // A kill as it was begun does that; it can be ended as others can.
            Err(NoFirst::Torn) if phase == Phase::Part => {
                scanned.running.push(recording);
                self.add_broken(recording, day);
                None
            }
            // Whoever writes it renames it when it is whole: it is looked for under that name.
            Err(NoFirst::Disk(error)) if error.kind() == io::ErrorKind::NotFound => Some(recording),
            Err(why) => {
                scanned.unreadable(unlisted(&file, &why.to_string()));
                Some(recording)
            }
        }
    }

    /// Adds a recording of whose chain nothing is known, unless something is.
    fn add_broken(&mut self, recording: Id, day: &Arc<Path>) {
        self.entries.entry(recording).or_insert_with(|| {
            self.by_call.insert((recording, recording));
            Entry {
                recording,
                began: recording.minted(),
                state: State::Broken,
                known: None,
                day: Arc::clone(day),
            }
        });
    }

    /// Adds a recording, in place of what was known of it.
    pub fn add(&mut self, head: &Head, state: State) {
        let day = Place::of(&self.dir, head.recording, head.began).day;
        self.add_in(head, state, day.into());
    }

    fn add_in(&mut self, head: &Head, state: State, day: Arc<Path>) {
        self.remove(head.recording);
        let account = match self.accounts.get(&*head.account) {
            Some(account) => Arc::clone(account),
            None => {
                let account: Arc<str> = (*head.account).into();
                self.accounts.insert(Arc::clone(&account));
                account
            }
        };
        self.by_call.insert((head.call, head.recording));
        self.by_binding
            .extend(head.binding.map(|binding| (binding, head.recording)));
        let known = Known {
            call: head.call,
            binding: head.binding,
            account,
            audio: head.audio,
            sealed: head.sealed,
            at_least_days: head.at_least_days.unwrap_or(0),
        };
        let entry = Entry {
            recording: head.recording,
            began: head.began,
            state,
            known: Some(known),
            day,
        };
        self.entries.insert(entry.recording, entry);
    }

    /// The recording is whole now.
    pub fn finished(&mut self, recording: Id) {
        if let Some(entry) = self.entries.get_mut(&recording) {
            entry.state = State::Whole;
        }
    }

    /// Nobody can end the recording: its key is gone, it is damaged, or a newer program wrote it.
    pub fn broken(&mut self, recording: Id) {
        if let Some(entry) = self.entries.get_mut(&recording) {
            entry.state = State::Broken;
        }
    }

    /// The recording is gone.
    pub fn remove(&mut self, recording: Id) {
        let Some(entry) = self.entries.remove(&recording) else {
            return;
        };
        self.by_call.remove(&(entry.call(), recording));
        if let Some(binding) = entry.known.and_then(|known| known.binding) {
            self.by_binding.remove(&(binding, recording));
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

    /// Those of a call, the earliest first. One of which only the name can be read is its call's of the same id.
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
    pub fn page<'a>(&'a self, filter: &'a Filter, before: Option<Id>, limit: usize) -> Vec<&'a Entry> {
        let account = filter.account.as_deref().map(account_name);
        self.before(filter, before)
            .filter(|entry| filter.takes(entry, account.as_deref()))
            .take(limit)
            .collect()
    }

    /// The same, looking at `looks_max` of them at the most; and where to go on, if there may be more.
    pub fn part<'a>(
        &'a self,
        filter: &'a Filter,
        before: Option<Id>,
        limit: usize,
        looks_max: usize,
    ) -> (Vec<&'a Entry>, Option<Id>) {
        let account = filter.account.as_deref().map(account_name);
        let (mut taken, mut last) = (Vec::new(), None);
        for (looked, entry) in self.before(filter, before).enumerate() {
            if taken.len() == limit || looked == looks_max {
                return (taken, last);
            }
            last = Some(entry.recording);
            taken.extend(filter.takes(entry, account.as_deref()).then_some(entry));
        }
        (taken, None)
    }

    /// Those that began at this time or later, the earliest first.
    pub fn since(&self, since: Wall) -> impl Iterator<Item = &Entry> {
        self.all().filter(move |entry| entry.began >= since)
    }

    /// Those among which the filter chooses, the latest first.
    fn before<'a>(
        &'a self,
        filter: &'a Filter,
        before: Option<Id>,
    ) -> Box<dyn Iterator<Item = &'a Entry> + 'a> {
        let end = before.map_or(Bound::Unbounded, Bound::Excluded);
        let from = (Bound::Unbounded, end);
        let of = |by: &'a BTreeSet<(Id, Id)>, id: Id| {
            let end = before.map_or(Bound::Included((id, Id::from_bits(u128::MAX))), |before| {
                Bound::Excluded((id, before))
            });
            let range = by.range((Bound::Included((id, Id::from_bits(0))), end));
            range.rev().filter_map(|(_, recording)| self.get(*recording))
        };
        match (filter.call, filter.binding, &filter.among) {
            (_, _, Some(among)) => Box::new(among.range(from).rev().filter_map(|id| self.get(*id))),
            (Some(call), _, None) => Box::new(of(&self.by_call, call)),
            (None, Some(binding), None) => Box::new(of(&self.by_binding, binding)),
            (None, None, None) => Box::new(self.entries.range(from).rev().map(|(_, entry)| entry)),
        }
    }

    /// When the earliest of them began.
    pub fn earliest(&self) -> Option<Wall> {
        // Ids are made when calls arrive, which is before anything of them is recorded.
        self.entries.keys().next().map(|id| id.minted())
    }

    /// All of them, the earliest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
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

pub(super) fn list(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let listed = disk::list(dir).and_then(|files| {
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

fn unlisted(chain: &Path, why: &str) -> String {
    format!(
        "the recording {} is in no list but by its id: {why}; `umbra recording verify` says more",
        chain.display()
    )
}

/// Whether nobody writes a recording that isn't whole, and nobody has for long.
fn is_left(place: &Place) -> bool {
    let is_old = last_written(place).is_ok_and(|written| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let written = Duration::from_millis(u64::try_from(written.as_millis()).unwrap_or(0));
        now.saturating_sub(written) >= RECORDING_LEFT_AFTER
    });
    is_old && !is_busy(place)
}

/// When a recording's files were last written.
pub(super) fn last_written(place: &Place) -> Result<Wall, Error> {
    let mut last = None;
    for path in place.files() {
        match fs::metadata(&path).and_then(|file| file.modified()) {
            Ok(written) => {
                let since = written.duration_since(UNIX_EPOCH).unwrap_or_default();
                last = last.max(Some(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::of(&path, error)),
        }
    }
    // They were removed by hand: there is nothing more to be kept.
    Ok(Wall::from_millis(last.unwrap_or(0)))
}

/// Why there is no first line.
#[derive(Debug, thiserror::Error)]
enum NoFirst {
    #[error("its first line was never whole")]
    Torn,
    #[error("its first line isn't as it was written")]
    Changed,
    #[error("a newer umbra wrote it, in form {0}; this one reads up to form {form}", form = form())]
    Newer(u32),
    #[error("{0}")]
    Disk(#[from] io::Error),
}

/// A chain's first line.
fn first_line(chain: &Path) -> Result<Head, NoFirst> {
    let mut line = Vec::new();
    BufReader::new(File::open(chain)?.take(HEAD_BYTES_MAX)).read_until(b'\n', &mut line)?;
    let first = whole_line(&line).ok_or(NoFirst::Torn)?;
    match read_head(first) {
        Ok((head, _)) => Ok(head),
        Err(NoHead::Newer(newer)) => Err(NoFirst::Newer(newer)),
        Err(NoHead::Torn | NoHead::Changed) => Err(NoFirst::Changed),
    }
}
