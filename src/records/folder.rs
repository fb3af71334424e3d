//! The names of files of a sequence (CDRs, the audit log), and a folder's list of them.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::time::Wall;

/// How the name of a file that is being written ends.
const OPEN: &str = ".jsonl.open";
/// How the name of a closed file ends.
const CLOSED: &str = ".jsonl";

/// Keeps a second server out of a folder.
const LOCK: &str = "lock";

/// Of which sequence a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Series {
    Cdr,
    Audit,
}

impl Series {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Cdr => "cdr-",
            Self::Audit => "audit-",
        }
    }
}

/// Whether a file is still written to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Open,
    Closed,
}

/// One file, by its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) series: Series,
    /// Its place in the sequence.
    pub(super) seq: u64,
    /// When it was begun, to the second.
    pub(super) start: Wall,
    pub(super) phase: Phase,
}

impl Entry {
    pub(super) fn path(&self, dir: &Path) -> PathBuf {
        let start: String = self
            .start
            .to_string()
            .chars()
            .take(19)
            .filter(|c| !"-:".contains(*c))
            .collect();
        let end = match self.phase {
            Phase::Open => OPEN,
            Phase::Closed => CLOSED,
        };
        let prefix = self.series.prefix();
        dir.join(format!("{prefix}{start}Z-{:08}{end}", self.seq))
    }

    fn from_name(series: Series, name: &str) -> Option<Self> {
        let rest = name.strip_prefix(series.prefix())?;
        let (rest, phase) = match rest.strip_suffix(OPEN) {
            Some(rest) => (rest, Phase::Open),
            None => (rest.strip_suffix(CLOSED)?, Phase::Closed),
        };
        let (start, seq) = rest.split_once('-')?;
        let part = |range| start.get(range);
        let start = format!(
            "{}-{}-{}T{}:{}:{}",
            part(0..4)?,
            part(4..6)?,
            part(6..8)?,
            part(9..11)?,
            part(11..13)?,
            part(13..16)?,
        );
        Some(Self {
            series,
            seq: seq.parse().ok()?,
            start: Wall::parse_rfc3339(&start)?,
            phase,
        })
    }
}

/// The CDR files of a folder, in sequence; other files are none of ours.
pub(super) fn list(dir: &Path) -> io::Result<Vec<Entry>> {
    list_of(Series::Cdr, dir)
}

/// The files of a sequence in a folder; other files are none of ours.
pub(super) fn list_of(series: Series, dir: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for file in std::fs::read_dir(dir)? {
        let name = file?.file_name();
        entries.extend(name.to_str().and_then(|name| Entry::from_name(series, name)));
    }
    entries.sort_by_key(|e| e.seq);
    Ok(entries)
}

/// Of files in sequence, those that were closed more than so many days ago: when the next one was begun. Never the newest.
pub(super) fn old(entries: &[Entry], now: Wall, keep_days: u32) -> impl Iterator<Item = &Entry> {
    let keep = Duration::from_secs(u64::from(keep_days) * 86_400);
    let is_old = move |pair: &&[Entry]| pair[0].phase == Phase::Closed && now.since(pair[1].start) > keep;
    entries.windows(2).filter(is_old).map(|pair| &pair[0])
}

/// Keeps other servers out of a folder, as long as what it gives is open.
pub(super) fn take(dir: &Path) -> Result<File, TryLockError> {
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join(LOCK))
        .map_err(TryLockError::Error)?;
    lock.try_lock().map(|()| lock)
}

/// Makes the folder and its parents, durably.
pub(super) fn make(dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.is_dir()).collect();
    // What lies there names people's numbers: others than owner and group have no business in it.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(dir)?;
    missing
        .iter()
        .filter_map(|dir| dir.parent())
        .try_for_each(|parent| match parent.as_os_str().is_empty() {
            true => sync(Path::new(".")),
            false => sync(parent),
        })
}

/// Makes the folder's names durable.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_others_are_left_alone() {
        let entry = Entry {
            series: Series::Cdr,
            seq: 42,
            start: Wall::from_millis(1_795_255_200_000),
            phase: Phase::Open,
        };
        let path = entry.path(Path::new("cdr"));
        let name = path.file_name().and_then(|n| n.to_str()).expect("a name");
        assert_eq!(name, "cdr-20261121T100000Z-00000042.jsonl.open");
        assert_eq!(Entry::from_name(Series::Cdr, name), Some(entry));
        for other in [
            "cdr-x-1.jsonl",
            "cdr-20261121T100000Z-1.gz",
            "cdr-20261121-1.jsonl",
            "notes",
            "cdr-é",
        ] {
            assert_eq!(Entry::from_name(Series::Cdr, other), None, "{other}");
        }
    }
}
