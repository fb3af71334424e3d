//! Finding the digits of a recording in a file.
//!
//! The table beside a closed file: how long that file is, then 24 bytes for each `kept` line in it, sorted: the recording's
//! id, and where the line begins. All of them big-endian.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::line::kept;
use super::lines::{Lines, Stop};
use crate::base::id::Id;
use crate::base::limits::AUDIT_LINE_BYTES_MAX;
use crate::records::recordings::chain::{Sha, link, taken_apart};

/// Bytes of the table's beginning.
const HEAD: u64 = 8;
/// Bytes of an entry.
const ENTRY: u64 = 24;

/// Where the first `kept` line of each recording begins.
pub(super) type Ends = BTreeMap<Id, u64>;

/// Where a recording's digits may be.
pub(super) enum Place {
    /// In that line of the file.
    Line(PathBuf, u64),
    /// Somewhere in that file, which is closed.
    File(PathBuf),
}

impl Place {
    /// The recording's digits, if they are there.
    pub(super) fn find(&self, recording: Id) -> io::Result<Option<Sha>> {
        let found = match self {
            Self::Line(log, at) => said(log, *at, recording),
            Self::File(log) => find(log, recording),
        };
        match found {
            // It was too old, or somebody has moved it away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found,
        }
    }
}

fn find(log: &Path, recording: Id) -> io::Result<Option<Sha>> {
    let length = fs::metadata(log)?.len();
    // A table that can't be read is made anew.
    match look_up(&table_of(log), length, recording) {
        Ok(Some(None)) => return Ok(None),
        Ok(Some(Some(at))) => {
            if let Some(sha) = said(log, at, recording)? {
                return Ok(Some(sha));
            }
        }
        Ok(None) | Err(_) => {}
    }
    let ends = read(log)?;
    // Without it the file is read again the next time.
    let _ = write(log, length, &ends);
    match ends.get(&recording) {
        Some(at) => said(log, *at, recording),
        None => Ok(None),
    }
}

/// What the table says: `None` if it isn't that of a file that is so long.
fn look_up(table: &Path, length: u64, recording: Id) -> io::Result<Option<Option<u64>>> {
    let file = File::open(table)?;
    let bytes = file.metadata()?.len();
    let mut head = [0; HEAD as usize];
    file.read_exact_at(&mut head, 0)?;
    if u64::from_be_bytes(head) != length || !(bytes - HEAD).is_multiple_of(ENTRY) {
        return Ok(None);
    }
    let (mut low, mut high) = (0, (bytes - HEAD) / ENTRY);
    while low < high {
        let middle = low + (high - low) / 2;
        let (mut id, mut at) = ([0; 16], [0; 8]);
        file.read_exact_at(&mut id, HEAD + middle * ENTRY)?;
        match Id::from_bits(u128::from_be_bytes(id)).cmp(&recording) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => {
                file.read_exact_at(&mut at, HEAD + middle * ENTRY + 16)?;
                return Ok(Some(Some(u64::from_be_bytes(at))));
            }
        }
    }
    Ok(Some(None))
}

/// The digits that the line there says the recording has. One that doesn't follow on the line before says nothing: it was
/// changed since.
fn said(log: &Path, at: u64, recording: Id) -> io::Result<Option<Sha>> {
    let file = File::open(log)?;
    let rest = file.metadata()?.len().saturating_sub(at);
    let mut line = vec![0; rest.min(AUDIT_LINE_BYTES_MAX) as usize];
    file.read_exact_at(&mut line, at)?;
    let length = at.min(AUDIT_LINE_BYTES_MAX);
    let mut before = vec![0; length as usize];
    file.read_exact_at(&mut before, at - length)?;
    if before.pop() != Some(b'\n') {
        return Ok(None);
    }
    let before = before.rsplit(|c| *c == b'\n').next().and_then(taken_apart);
    let line = line.split(|c| *c == b'\n').next().and_then(taken_apart);
    let (Some((_, before)), Some((text, sha))) = (before, line) else {
        return Ok(None);
    };
    let said = kept(text).filter(|(id, _)| *id == recording && link(Some(before), text) == sha);
    Ok(said.map(|(_, sha)| sha))
}

/// Where a file's `kept` lines are, as far as its lines are as they were written.
fn read(log: &Path) -> io::Result<Ends> {
    let mut ends = Ends::new();
    let mut lines = match Lines::open(log) {
        Ok((_, lines)) => lines,
        Err(Stop::Disk(error)) => return Err(error),
        Err(Stop::End | Stop::Torn | Stop::Changed | Stop::Newer(_)) => return Ok(ends),
    };
    loop {
        match lines.next() {
            Ok(next) => add(&mut ends, next.at, next.text),
            Err(Stop::Disk(error)) => return Err(error),
            Err(Stop::End | Stop::Torn | Stop::Changed | Stop::Newer(_)) => return Ok(ends),
        }
    }
}

/// Adds a line, if it is a `kept` one: the first of a recording counts.
pub(super) fn add(ends: &mut Ends, at: u64, text: &str) {
    if let Some((recording, _)) = kept(text) {
        ends.entry(recording).or_insert(at);
    }
}

/// The table's name.
pub(super) fn table_of(log: &Path) -> PathBuf {
    log.with_extension("ends")
}

/// Writes the table of a file that is so long.
pub(super) fn write(log: &Path, length: u64, ends: &Ends) -> io::Result<()> {
    let mut bytes = length.to_be_bytes().to_vec();
    for (recording, at) in ends {
        bytes.extend_from_slice(&recording.bits().to_be_bytes());
        bytes.extend_from_slice(&at.to_be_bytes());
    }
    let draft = log.with_extension("ends.tmp");
    let file = File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all_at(&bytes, 0)?;
    file.sync_all()?;
    fs::rename(draft, table_of(log))
}
