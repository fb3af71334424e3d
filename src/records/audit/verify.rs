//! Whether a log is as it was written.

use std::fmt;
use std::path::{Path, PathBuf};

use super::Error;
use super::lines::{Lines, Stop};
use crate::records::folder::{self, Series};
use crate::records::recordings::chain::Sha;

/// What is to be said of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// All lines are as they were written.
    Whole {
        /// How many files there are.
        files: u64,
        /// The place of the first one in the sequence: those before it were too old.
        first: u64,
        /// How many lines, but for the files' first ones.
        lines: u64,
        /// The digits of the last one; none, if there is no line.
        last: Option<Sha>,
        /// Whether the last line is just being written, or was torn.
        end: End,
    },
    /// It isn't.
    Changed {
        /// In which file.
        file: PathBuf,
        /// At which of its lines, the first being 1.
        line: u64,
        /// What is wrong.
        what: Change,
    },
}

/// How the last file ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// With a whole line.
    Whole,
    /// With a part of one: it is being written, or the server was killed.
    Torn,
}

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// The line was changed or moved, or one before it was taken out.
    Line,
    /// The file before it isn't there.
    Missing,
    /// It doesn't follow on the file before, from which lines were taken out at its end.
    CutBefore,
    /// Its name is that of another file of the sequence.
    Name,
    /// No line has the digits that somebody kept.
    NotThere,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Line => "it was changed or moved, or lines before it were taken out",
            Self::Missing => "the file before it isn't there",
            Self::CutBefore => "it doesn't follow on the file before: lines were taken out at that one's end",
            Self::Name => "the file bears another file's name",
            Self::NotThere => {
                "up to here no line has these digits: lines were taken out, or the log was made anew"
            }
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole {
                files,
                first,
                lines,
                last,
                end,
            } => {
                write!(
                    f,
                    "whole: all {lines} lines of {files} files are as they were written"
                )?;
                if *first > 1 {
                    write!(f, "; the files before number {first} aren't there")?;
                }
                match end {
                    End::Whole => {}
                    End::Torn => f.write_str("; one more is being written, or was torn by a kill")?,
                }
                match last {
                    Some(last) => write!(f, "; the last one's digits are {last}"),
                    None => Ok(()),
                }
            }
            Self::Changed { file, line, what } => {
                write!(f, "changed: {}, line {line}: {what}", file.display())
            }
        }
    }
}

pub(super) fn verify(dir: &Path, expected: Option<Sha>) -> Result<Verdict, Error> {
    let of = |error| Error::of(dir, error);
    let entries = folder::list_of(Series::Audit, dir).map_err(of)?;
    let first = entries.first().map_or(1, |entry| entry.seq);
    let (mut count, mut end) = (0, End::Whole);
    let mut last: Option<Sha> = None;
    let mut is_met = expected.is_none();
    let mut at = (dir.to_owned(), 0);
    for (index, entry) in entries.iter().enumerate() {
        let path = entry.path(dir);
        let changed = |line, what| {
            let file = path.clone();
            Ok(Verdict::Changed { file, line, what })
        };
        if entry.seq != first + index as u64 {
            return changed(1, Change::Missing);
        }
        let is_last = index + 1 == entries.len();
        let (head, mut lines) = match Lines::open(&path) {
            Ok(opened) => opened,
            Err(Stop::Torn) if is_last => {
                end = End::Torn;
                break;
            }
            Err(Stop::Torn | Stop::End | Stop::Changed) => return changed(1, Change::Line),
            Err(Stop::Newer(form)) => return Err(Error::Newer(path, form)),
            Err(Stop::Disk(error)) => return Err(of(error)),
        };
        if head.seq != entry.seq {
            return changed(1, Change::Name);
        }
        if index > 0 && head.before != last {
            return changed(1, Change::CutBefore);
        }
        let mut line = 1;
        is_met |= lines.last == expected || head.before.is_some() && head.before == expected;
        let stop = loop {
            match lines.next() {
                Ok(_) => {}
                Err(stop) => break stop,
            }
            is_met |= lines.last == expected;
            line += 1;
            count += 1;
        };
        match stop {
            Stop::End => {}
            Stop::Torn if is_last => end = End::Torn,
            Stop::Torn | Stop::Changed | Stop::Newer(_) => return changed(line + 1, Change::Line),
            Stop::Disk(error) => return Err(of(error)),
        }
        last = lines.last;
        at = (path, line);
    }
    if !is_met {
        let (file, line) = at;
        let what = Change::NotThere;
        return Ok(Verdict::Changed { file, line, what });
    }
    Ok(Verdict::Whole {
        files: entries.len() as u64,
        first,
        lines: count,
        last,
        end,
    })
}
