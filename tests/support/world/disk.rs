//! The journal of the simulated server: the real one, in a folder that lies in memory where the system has such, so that
//! what the next process reads is byte for byte what the one before has written.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use umbra::base::chance::Chance;
use umbra::base::id::Id;
use umbra::base::time::Wall;
use umbra::call::port::CallEntry;
use umbra::store::journal::{Journal, LeftCall};

/// How long the medium may be behind the file.
pub const SYNC_EVERY: Duration = Duration::from_millis(100);

/// Where the system keeps files in memory.
const MEMORY: &str = "/dev/shm";

/// The disk of the simulated server.
pub struct Disk {
    journal: Option<Journal>,
    dir: TempDir,
    /// What was written in the last moments: when, how long the file was before, whose entries.
    news: VecDeque<(Duration, u64, Vec<Id>)>,
}

impl Disk {
    /// An empty one.
    pub fn new() -> Self {
        let dir = if Path::new(MEMORY).is_dir() {
            tempfile::tempdir_in(MEMORY)
        } else {
            tempfile::tempdir()
        };
        let dir = dir.expect("a folder");
        let (journal, _) = Journal::open(dir.path()).expect("an empty folder is a journal");
        Self {
            journal: Some(journal),
            dir,
            news: VecDeque::new(),
        }
    }

    /// Writes a batch.
    pub fn write(&mut self, now: Duration, entries: &[CallEntry]) {
        let Some(journal) = self.journal.as_ref().filter(|_| !entries.is_empty()) else {
            return;
        };
        let is_old = |(at, ..): &(Duration, u64, Vec<Id>)| *at + SYNC_EVERY < now;
        while self.news.front().is_some_and(is_old) {
            self.news.pop_front();
        }
        let ids = entries.iter().map(CallEntry::call_id).collect();
        self.news.push_back((now, length_of(&self.segment()), ids));
        journal.write_all(entries);
    }

    /// Both sides of a call know that it is over.
    pub fn told(&mut self, now: Duration, id: Id) {
        let before = length_of(&self.segment());
        if let Some(journal) = &self.journal {
            journal.told(&[id]);
        }
        if length_of(&self.segment()) > before {
            self.news.push_back((now, before, vec![id]));
        }
    }

    /// Takes away some of the bytes that the last batch has written, or none.
    pub fn tear_last(&mut self, chance: &mut Chance) {
        if let Some((_, before, _)) = self.news.back() {
            self.tear(*before, chance);
        }
    }

    /// Takes away some of the bytes that may not be on the medium yet, or none. Whose entries they may have been.
    pub fn tear_unsynced(&mut self, now: Duration, chance: &mut Chance) -> Vec<Id> {
        let is_new = |(at, ..): &&(Duration, u64, Vec<Id>)| *at + SYNC_EVERY >= now;
        let Some((_, from, _)) = self.news.iter().find(is_new) else {
            return Vec::new();
        };
        let mut ends: Vec<u64> = self.news.iter().skip(1).map(|(_, before, _)| *before).collect();
        ends.push(length_of(&self.segment()));
        let left = self.tear(*from, chance);
        let torn = self.news.iter().zip(ends).filter(|(_, end)| *end > left);
        torn.flat_map(|((_, _, ids), _)| ids.iter().copied()).collect()
    }

    fn tear(&self, from: u64, chance: &mut Chance) -> u64 {
        let segment = self.segment();
        let bytes = length_of(&segment) - from;
        let left = from + u64::from(chance.below(bytes as u32 + 1));
        let file = File::options().write(true).open(&segment).expect("the segment");
        file.set_len(left).expect("a shorter file");
        left
    }

    /// What the next process finds, if the last sign of life of the one before was at `died`; and what it says of that.
    pub fn open_again(&mut self, died: Wall) -> (Vec<LeftCall>, Vec<String>) {
        drop(self.journal.take());
        self.news.clear();
        let sign = SystemTime::UNIX_EPOCH + Duration::from_millis(died.as_millis().unsigned_abs());
        let segment = File::options()
            .write(true)
            .open(self.segment())
            .expect("the segment");
        segment.set_modified(sign).expect("a time");
        let (journal, left) = Journal::open(self.dir.path()).expect("the journal of the process before");
        let notes = journal.notes().to_vec();
        self.journal = Some(journal);
        (left, notes)
    }

    /// The last segment. There may be the one before it too, until the last one is on the medium.
    fn segment(&self) -> PathBuf {
        let entries = fs::read_dir(self.dir.path()).expect("the folder");
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let is_segment = |path: &PathBuf| path.extension().is_some_and(|end| end == "log");
        paths.filter(is_segment).max().expect("a segment")
    }
}

fn length_of(path: &Path) -> u64 {
    fs::metadata(path).expect("the segment").len()
}
