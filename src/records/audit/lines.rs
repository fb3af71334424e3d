//! Reading a file: its lines are believed one after the other, up to the first that isn't as it was written.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde::Deserialize;

use super::line::{Head, form};
use crate::base::limits::AUDIT_LINE_BYTES_MAX;
use crate::records::recordings::chain::{Sha, link, taken_apart};

/// A file's lines.
pub(super) struct Lines {
    reader: BufReader<File>,
    raw: Vec<u8>,
    /// Where the next line begins.
    pub(super) at: u64,
    /// The digits of the line before that.
    pub(super) last: Option<Sha>,
}

/// A line that follows on the one before.
pub(super) struct Next<'a> {
    pub(super) at: u64,
    pub(super) text: &'a str,
}

/// Why there is no further line.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stop {
    #[error("nothing more is there")]
    End,
    #[error("a line was never whole")]
    Torn,
    #[error("a line isn't as it was written")]
    Changed,
    #[error("a newer umbra wrote it, in form {0}")]
    Newer(u32),
    #[error("{0}")]
    Disk(#[from] io::Error),
}

impl Lines {
    /// A file's first line, and those behind it.
    pub(super) fn open(path: &Path) -> Result<(Head, Self), Stop> {
        let mut lines = Self {
            reader: BufReader::new(File::open(path)?),
            raw: Vec::new(),
            at: 0,
            last: None,
        };
        let head = match lines.raw() {
            Err(Stop::End) => return Err(Stop::Torn),
            Err(stop) => return Err(stop),
            Ok(()) => lines.head()?,
        };
        lines.at += lines.raw.len() as u64 + 1;
        Ok((head, lines))
    }

    fn head(&mut self) -> Result<Head, Stop> {
        #[derive(Deserialize)]
        struct Formed {
            form: u32,
        }
        let (text, sha) = taken_apart(&self.raw).ok_or(Stop::Changed)?;
        let whole = format!("{text}}}");
        match serde_json::from_str::<Formed>(&whole) {
            Ok(formed) if formed.form > form() => return Err(Stop::Newer(formed.form)),
            Ok(_) | Err(_) => {}
        }
        let head: Head = serde_json::from_str(&whole).map_err(|_| Stop::Changed)?;
        if link(head.before, text) != sha {
            return Err(Stop::Changed);
        }
        self.last = Some(sha);
        Ok(head)
    }

    /// The next line.
    pub(super) fn next(&mut self) -> Result<Next<'_>, Stop> {
        self.raw()?;
        let (text, sha) = taken_apart(&self.raw).ok_or(Stop::Changed)?;
        if link(self.last, text) != sha {
            return Err(Stop::Changed);
        }
        self.last = Some(sha);
        let at = self.at;
        self.at += self.raw.len() as u64 + 1;
        Ok(Next { at, text })
    }

    /// The digits of the last line of all, whatever stands before it.
    pub(super) fn last_said(mut self) -> Option<Sha> {
        let mut last = self.last;
        loop {
            last = taken_apart(&self.raw).map(|(_, sha)| sha).or(last);
            if self.raw().is_err() {
                return last;
            }
        }
    }

    /// Reads a line, without its line feed.
    fn raw(&mut self) -> Result<(), Stop> {
        self.raw.clear();
        let mut limited = (&mut self.reader).take(AUDIT_LINE_BYTES_MAX);
        limited.read_until(b'\n', &mut self.raw)?;
        match (self.raw.pop(), self.raw.len() as u64 + 1) {
            (None, _) => Err(Stop::End),
            (Some(b'\n'), _) => Ok(()),
            (Some(_), AUDIT_LINE_BYTES_MAX) => Err(Stop::Changed),
            (Some(_), _) => Err(Stop::Torn),
        }
    }
}
