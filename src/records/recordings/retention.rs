//! How long recordings are kept, and how they go: when they are old enough, or when somebody asks, but never before the law
//! allows it.
//!
//! A chain is renamed before its audio is removed and goes last, so that a server that is killed in between goes on with it:
//! a recording whose audio is missing was never erased by us.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::chain::account_name;
use super::index::{Entry, Index, State, last_written};
use super::lines::is_busy;
use super::place::Phase;
use super::{Error, Place};
use crate::base::id::Id;
use crate::base::limits::RECORDINGS_DELETED_AT_ONCE;
use crate::base::time::Wall;
use crate::records::folder;

const DAY: Duration = Duration::from_secs(86_400);

/// How many days a recording is kept after its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Days {
    /// Then it is deleted.
    pub keep: u32,
    /// Before that nobody may erase it.
    pub at_least: u32,
}

/// How long recordings are kept, by account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retention {
    usual: Days,
    accounts: BTreeMap<Box<str>, Days>,
}

impl Retention {
    /// So long, but for accounts of which something else is said.
    pub const fn new(usual: Days) -> Self {
        Self {
            usual,
            accounts: BTreeMap::new(),
        }
    }

    /// An account's are kept so long.
    pub fn set(&mut self, account: &str, days: Days) {
        self.accounts.insert(account_name(account), days);
    }

    fn of(&self, account: Option<&str>) -> Days {
        match account {
            Some(account) => self.accounts.get(account).copied().unwrap_or(self.usual),
            // It may be anybody's.
            None => self.accounts.values().fold(self.usual, |most, days| Days {
                keep: most.keep.max(days.keep),
                at_least: most.at_least.max(days.at_least),
            }),
        }
    }

    /// Until when a recording of that account is kept that ended then, and that the law has kept for `law_days`; as
    /// [`Entry::account`] and [`Entry::at_least_days`] say.
    pub fn until(&self, account: Option<&str>, law_days: u32, ended: Wall) -> Wall {
        let days = self.of(account);
        ended.plus(DAY * days.keep.max(days.at_least).max(law_days))
    }

    /// Before when nobody may erase it.
    pub fn not_before(&self, account: Option<&str>, law_days: u32, ended: Wall) -> Wall {
        ended.plus(DAY * self.of(account).at_least.max(law_days))
    }
}

/// What became of a recording that was to be erased.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Erased {
    /// It is gone.
    Gone,
    /// It has to be kept until then.
    NotBefore(Wall),
    /// It is being written: when the call is over it can be asked for again.
    Running,
}

/// Recordings for which the disk refused, and what it said; they stay where they are, and can be asked for again.
pub type Failed = Vec<(Id, Error)>;

/// Erases one recording, if it may be. Whoever has an index of it takes it out of there when it is gone.
///
/// # Errors
/// The disk refuses.
pub fn erase_one(entry: &Entry, retention: &Retention, now: Wall) -> Result<Erased, Error> {
    let became = would_be(entry, retention, now)?;
    if became == Erased::Gone {
        remove(entry, now)?;
    }
    Ok(became)
}

/// What would become of a recording if it were erased now.
///
/// # Errors
/// The disk refuses.
pub fn would_be(entry: &Entry, retention: &Retention, now: Wall) -> Result<Erased, Error> {
    if is_written(entry) {
        return Ok(Erased::Running);
    }
    let not_before = retention.not_before(entry.account(), entry.at_least_days(), ended(entry)?);
    if now < not_before {
        return Ok(Erased::NotBefore(not_before));
    }
    is_mounted(&entry.place())?;
    Ok(Erased::Gone)
}

/// Whether somebody writes it.
fn is_written(entry: &Entry) -> bool {
    match entry.state {
        State::Running => true,
        State::Broken => is_busy(&entry.place()),
        State::Whole => false,
    }
}

/// Deletes recordings that have been kept long enough, the oldest first, and not too many at once. Returns which, and for
/// which the disk refused; where [`RECORDINGS_DELETED_AT_ONCE`] were deleted there may be more. `may_go` is told which will go
/// before anything of them does; if it says no, they stay.
pub fn delete_old(
    index: &mut Index,
    retention: &Retention,
    now: Wall,
    mut may_go: impl FnMut(&[Id]) -> bool,
) -> (Vec<Id>, Failed) {
    // None ends before it begins: of most the chain needn't be looked at.
    let mut candidates: VecDeque<Id> = index
        .all()
        .filter(|entry| {
            entry.state != State::Running
                && retention.until(entry.account(), entry.at_least_days(), entry.began) <= now
        })
        .map(|entry| entry.recording)
        .collect();
    let (mut deleted, mut failed) = (Vec::new(), Failed::new());
    // One bad file must not keep all that come after it.
    while !candidates.is_empty() && deleted.len() < RECORDINGS_DELETED_AT_ONCE {
        let mut going: Vec<Entry> = Vec::new();
        while deleted.len() + going.len() < RECORDINGS_DELETED_AT_ONCE
            && let Some(recording) = candidates.pop_front()
        {
            let Some(entry) = index.get(recording) else {
                continue;
            };
            match is_old(entry, retention, now) {
                Ok(true) => going.push(entry.clone()),
                Ok(false) => {}
                Err(error) => failed.push((recording, error)),
            }
        }
        let ids: Vec<Id> = going.iter().map(|entry| entry.recording).collect();
        if !ids.is_empty() && !may_go(&ids) {
            break;
        }
        for entry in &going {
            match remove(entry, now) {
                Ok(()) => {
                    index.remove(entry.recording);
                    deleted.push(entry.recording);
                }
                Err(error) => failed.push((entry.recording, error)),
            }
        }
    }
    (deleted, failed)
}

/// Whether a recording has been kept long enough.
fn is_old(entry: &Entry, retention: &Retention, now: Wall) -> Result<bool, Error> {
    let until = retention.until(entry.account(), entry.at_least_days(), ended(entry)?);
    let is_old = until <= now && !is_written(entry);
    if is_old {
        is_mounted(&entry.place())?;
    }
    Ok(is_old)
}

/// When a recording ended. One whose last line can't be read is judged by when its files were last written.
///
/// # Errors
/// The disk can't be read.
pub fn ended(entry: &Entry) -> Result<Wall, Error> {
    let said = match entry.state {
        State::Whole => entry.end(),
        State::Running | State::Broken => Ok(None),
    };
    match said {
        Ok(Some((end, _))) => Ok(end.ended.max(entry.began)),
        // It was removed by hand: so is the rest.
        Err(Error::Absent(_)) => Ok(entry.began),
        Ok(None) => Ok(last_written(&entry.place())?.max(entry.began)),
        Err(error) => Err(error),
    }
}

fn remove(entry: &Entry, now: Wall) -> Result<(), Error> {
    let place = entry.place();
    erase_files(&place)?;
    // Into the folders of these days recordings may just be written.
    if now.since(entry.began) > DAY * 2 {
        // The day's, the month's, the year's: the first that holds something else stays.
        let _ = place.day.ancestors().take(3).try_for_each(fs::remove_dir);
    }
    Ok(())
}

/// Where the disk isn't mounted nothing is there, and nothing is gone.
fn is_mounted(place: &Place) -> Result<(), Error> {
    match place.day.is_dir() {
        true => Ok(()),
        false => Err(Error::Disk(place.day.clone(), io::ErrorKind::NotFound.into())),
    }
}

/// Removes a recording's files, or what is left of them.
pub(super) fn erase_files(place: &Place) -> Result<(), Error> {
    is_mounted(place)?;
    let erasing = place.erasing();
    let io = |path: &Path, outcome: io::Result<()>| match outcome {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::of(path, error)),
        Ok(()) | Err(_) => Ok(()),
    };
    for chain in [Phase::Part, Phase::Whole].map(|phase| place.chain(phase)) {
        io(&chain, fs::rename(&chain, &erasing))?;
    }
    io(&place.day, folder::sync(&place.day))?;
    for path in place.audios().chain(place.leavings()) {
        io(&path, fs::remove_file(&path))?;
    }
    io(&erasing, fs::remove_file(&erasing))?;
    io(&place.day, folder::sync(&place.day))
}
