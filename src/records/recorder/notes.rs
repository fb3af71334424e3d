//! What the recorder has to note in the audit log, until that takes it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::id::Id;
use crate::base::limits::{AUDIT_NOTES_AT_ONCE, AUDIT_NOTES_MAX};
use crate::base::time::Wall;
use crate::records::audit::{Act, Audit, Error, Line};
use crate::records::recordings::chain::Sha;

/// Lines that aren't noted yet. Whoever adds one never waits for the disk.
#[derive(Default)]
pub(super) struct Notes {
    lines: Mutex<VecDeque<Line<'static>>>,
}

impl Notes {
    /// Whether there is room for so many more.
    pub(super) fn has_room(&self, lines: usize) -> bool {
        self.lines().len() + lines <= AUDIT_NOTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines().is_empty()
    }

    pub(super) fn add(&self, line: Line<'static>) {
        self.lines().push_back(line);
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<Line<'static>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what waits, one thread at a time; of which recordings it has noted what there was.
    ///
    /// # Errors
    /// The log refuses: the rest waits.
    pub(super) fn write(
        &self,
        audit: &Audit,
        now: Wall,
        mut noted: impl FnMut(&Line<'_>),
    ) -> Result<(), Error> {
        loop {
            let first = self
                .lines()
                .iter()
                .take(AUDIT_NOTES_AT_ONCE)
                .copied()
                .collect::<Vec<_>>();
            if first.is_empty() {
                return Ok(());
            }
            audit.note_all(now, &first)?;
            self.lines().drain(..first.len());
            first.iter().for_each(&mut noted);
        }
    }
}

/// A recording became whole.
pub(super) fn kept(recording: Id, call: Option<Id>, end: Sha, outcome: &'static str) -> Line<'static> {
    Line {
        call,
        end: Some(end),
        ..Line::of_server(Act::Kept, recording, outcome)
    }
}
