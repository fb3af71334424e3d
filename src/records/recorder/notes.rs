//! What the recorder has to note in the audit log, until that takes it.

use std::collections::VecDeque;

use crate::base::id::Id;
use crate::base::limits::{AUDIT_NOTES_AT_ONCE, AUDIT_NOTES_MAX};
use crate::base::time::Wall;
use crate::records::audit::{Act, Audit, Error, Line};
use crate::records::recordings::chain::Sha;

/// Lines that aren't noted yet.
#[derive(Default)]
pub(super) struct Notes {
    lines: VecDeque<Line<'static>>,
}

impl Notes {
    /// Whether there is room for so many more.
    pub(super) fn has_room(&self, lines: usize) -> bool {
        self.lines.len() + lines <= AUDIT_NOTES_MAX
    }

    pub(super) fn add(&mut self, line: Line<'static>) {
        self.lines.push_back(line);
    }

    /// Notes what waits; of which recordings it has noted what there was.
    ///
    /// # Errors
    /// The log refuses: the rest waits.
    pub(super) fn write(
        &mut self,
        audit: &Audit,
        now: Wall,
        mut noted: impl FnMut(&Line<'_>),
    ) -> Result<(), Error> {
        while !self.lines.is_empty() {
            let count = self.lines.len().min(AUDIT_NOTES_AT_ONCE);
            let lines = self.lines.make_contiguous();
            audit.note_all(now, lines.get(..count).unwrap_or_default())?;
            self.lines.drain(..count).for_each(|line| noted(&line));
        }
        Ok(())
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
