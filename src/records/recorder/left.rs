//! Recordings that a process before this one left, and that nobody goes on with: each ends where it was left.

use super::Settings;
use super::notes::{Notes, kept};
use crate::base::id::Id;
use crate::records::audit::{Act, Line};
use crate::records::recordings::chain::Sha;
use crate::records::recordings::pen::Pen;
use crate::records::recordings::{Error, Place};

/// Lines that an end is noted in.
pub(super) const NOTES_EACH: usize = 2;

/// What is left of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Left {
    Whole,
    /// That, and the audit log has had its end before.
    Noted,
    Nothing,
    /// Audio of which no chain tells.
    Damaged,
}

/// Ends the recording of this call, adds to `notes` what the audit log hasn't of that, and says what is left of it.
///
/// # Errors
/// As [`Pen::end_left`]; or the audit log can't be read.
pub(super) fn end(
    settings: &Settings,
    notes: &Notes,
    place: &Place,
    call: Option<Id>,
) -> Result<Left, Error> {
    let known = settings.audit.end_of(place.recording)?;
    end_known(settings, notes, place, call, known)
}

/// The same where it is known with which digits the audit log says that it ended.
///
/// # Errors
/// As [`Pen::end_left`].
pub(super) fn end_known(
    settings: &Settings,
    notes: &Notes,
    place: &Place,
    call: Option<Id>,
    known: Option<Sha>,
) -> Result<Left, Error> {
    let id = place.recording;
    // One that was whole once mustn't be ended as one that was torn.
    let finished = Pen::end_left(place, settings.sealing.keys(), known)?;
    if known.is_some() {
        return Ok(Left::Noted);
    }
    tracing::info!("the recording {id} of a server before has no call any more: it ends where it was left");
    let left = match &finished {
        Some(_) => Left::Whole,
        None if place.has_damaged() => Left::Damaged,
        None => Left::Nothing,
    };
    let outcome = match left {
        Left::Whole | Left::Noted => "whole",
        Left::Nothing => "nothing was in it",
        Left::Damaged => "without a chain: its audio stays",
    };
    notes.add(Line {
        call,
        end: finished.as_ref().map(|finished| finished.sha256),
        ..Line::of_server(Act::Ended, id, outcome)
    });
    if let Some(finished) = finished {
        notes.add(kept(id, call, finished.sha256, "whole"));
    }
    Ok(left)
}
