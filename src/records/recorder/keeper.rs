//! Keeping the folder: recordings that were left end, old ones go, and how each one ended is noted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::Shared;
use super::jobs::Kept;
use crate::base::id::Id;
use crate::base::limits::{RECORDING_ABANDONED_AFTER, RECORDING_ORDERS_MAX, RECORDINGS_DELETED_AT_ONCE};
use crate::base::time::Wall;
use crate::records::audit::{Act, Audit, Line};
use crate::records::recordings::Error;
use crate::records::recordings::index::{Filter, Index, Scanned, State};
use crate::records::recordings::pen::Pen;
use crate::records::recordings::retention::delete_old;

/// How often the folder is looked through.
const EVERY: Duration = Duration::from_secs(3_600);
/// How often it is tried again to note what the disk refused.
const AGAIN: Duration = Duration::from_secs(5);
/// So many that can't be deleted are named in the log, each time.
const NAMED_MAX: usize = 8;
/// So many ends are noted together.
const TOGETHER: usize = 64;

/// How long before its last line a server may have ended what it noted no more.
const MISSED_BEFORE_MS: i64 = 600_000;
/// And how long before that it may have begun.
const LASTED_MS: i64 = 86_400_000;

/// What is to be noted of recordings that became whole.
#[derive(Default)]
pub(super) struct Ends {
    waiting: VecDeque<Kept>,
    /// When the server before noted its last line, until what it missed after that has been looked for.
    silent_since: Option<Wall>,
}

impl Ends {
    pub(super) fn of(audit: &Audit) -> Self {
        Self {
            waiting: VecDeque::new(),
            silent_since: audit.silent_since(),
        }
    }

    /// Notes what there is, as far as the disk goes along.
    pub(super) fn note(&mut self, shared: &Shared) {
        while !self.waiting.is_empty() {
            let some: Vec<Kept> = self.waiting.iter().take(TOGETHER).copied().collect();
            let lines: Vec<Line<'_>> = some.iter().map(line_of).collect();
            let audit = shared.settings.archive.audit();
            if let Err(error) = audit.note_all(shared.now().wall, &lines) {
                return tracing::warn!("how recordings ended can't be noted: {error}");
            }
            self.waiting.drain(..some.len());
        }
    }

    pub(super) fn take(&mut self, kept: Kept) {
        if self.waiting.len() < RECORDING_ORDERS_MAX {
            self.waiting.push_back(kept);
        } else {
            let (id, end) = (kept.recording, kept.end);
            tracing::warn!("it can't be noted in the audit log how the recording {id} ended: {end}");
        }
    }
}

fn line_of(kept: &Kept) -> Line<'static> {
    Line {
        call: Some(kept.call),
        end: Some(kept.end),
        ..Line::of_server(Act::Kept, kept.recording, kept.how)
    }
}

/// Looks after the folder until nobody writes recordings any more.
pub(super) fn run(shared: &Shared, kept: &Receiver<Kept>) {
    let mut ends = Ends::of(shared.settings.archive.audit());
    let mut looks = Instant::now() + RECORDING_ABANDONED_AFTER;
    loop {
        let rest = looks.saturating_duration_since(Instant::now());
        let audit = shared.settings.archive.audit();
        let rest = match ends.waiting.is_empty() && audit.health().is_none() {
            true => rest,
            false => rest.min(AGAIN),
        };
        match kept.recv_timeout(rest) {
            Ok(one) => {
                ends.take(one);
                kept.try_iter().take(TOGETHER).for_each(|one| ends.take(one));
                ends.note(shared);
            }
            Err(RecvTimeoutError::Timeout) => {
                ends.note(shared);
                audit.try_again();
            }
            Err(RecvTimeoutError::Disconnected) => return ends.note(shared),
        }
        if Instant::now() >= looks {
            look(shared, &mut ends, shared.now().wall);
            looks = Instant::now() + EVERY;
        }
    }
}

/// Ends what nobody goes on with, and deletes what is old. What can't be done is said, and tried again the next time.
pub(super) fn look(shared: &Shared, ends: &mut Ends, now: Wall) {
    let work = |index: &mut Index, scanned: &Scanned| {
        find_missed(shared, ends, index);
        end_left(shared, ends, index, &scanned.running);
        delete(shared, index, now);
    };
    if let Err(error) = shared.settings.archive.look_through(work) {
        tracing::warn!("recordings can't be looked through: {error}");
    }
    ends.note(shared);
}

/// Has that noted which became whole when the server before could note nothing any more.
fn find_missed(shared: &Shared, ends: &mut Ends, index: &Index) {
    let Some(silent_since) = ends.silent_since.take() else {
        return;
    };
    let before = |ms| Wall::from_millis(silent_since.as_millis().saturating_sub(ms));
    let ended_since = before(MISSED_BEFORE_MS);
    let filter = Filter {
        since: Some(before(LASTED_MS)),
        ..Filter::default()
    };
    for entry in index.page(&filter, None, usize::MAX) {
        let (State::Whole, Some(known)) = (entry.state, &entry.known) else {
            continue;
        };
        let end = entry.end().ok().flatten();
        let Some((_, end)) = end.filter(|(end, _)| end.ended >= ended_since) else {
            continue;
        };
        let noted = shared.settings.archive.audit().end_of(entry.recording);
        if matches!(noted, Ok(None)) {
            ends.take(Kept {
                recording: entry.recording,
                call: known.call,
                end,
                how: "found whole at the start",
            });
        }
    }
}

fn end_left(shared: &Shared, ends: &mut Ends, index: &mut Index, running: &[Id]) {
    let settings = &shared.settings;
    for id in running {
        // One that has begun since then isn't in the list.
        let is_open = shared.status.open().contains(id);
        let Some(entry) = index.get(*id).filter(|_| !is_open).cloned() else {
            continue;
        };
        match Pen::end_left(&entry.place(), settings.sealing.keys(), None) {
            Ok(finished) => {
                tracing::info!(
                    "the recording {id} of a server before has no call any more: it ends where it was left"
                );
                note(
                    shared,
                    &[Line::of_server(Act::Ended, *id, "left by a server before")],
                );
                match finished {
                    Some(finished) => {
                        index.finished(*id);
                        let call = entry.known.map_or(*id, |known| known.call);
                        let (recording, end) = (*id, finished.sha256);
                        ends.take(Kept {
                            recording,
                            call,
                            end,
                            how: "ended where a server before left it",
                        });
                    }
                    // Nothing was in it.
                    None => index.remove(*id),
                }
            }
            Err(error) => {
                if is_broken(&error) {
                    index.broken(*id);
                }
                tracing::warn!("a recording that a server before left can't be ended: {error}");
            }
        }
    }
}

fn delete(shared: &Shared, index: &mut Index, now: Wall) {
    let retention = shared.settings.archive.retention();
    let mut is_said = false;
    loop {
        let (deleted, failed) = delete_old(index, retention, now);
        if !deleted.is_empty() {
            tracing::info!("recordings deleted because of their age: {}", deleted.len());
            let aged = |id: &Id| Line::of_server(Act::Aged, *id, "gone");
            note(shared, &deleted.iter().map(aged).collect::<Vec<_>>());
        }
        for (_, error) in failed.iter().take(NAMED_MAX).filter(|_| !is_said) {
            tracing::warn!("an old recording can't be deleted: {error}");
        }
        is_said = true;
        if deleted.len() < RECORDINGS_DELETED_AT_ONCE {
            return;
        }
    }
}

fn note(shared: &Shared, lines: &[Line<'_>]) {
    if let Err(error) = shared.settings.archive.audit().note_all(shared.now().wall, lines) {
        tracing::warn!("what was ended or deleted can't be noted: {error}");
    }
}

/// Whether nobody will ever end it, for all that this server knows.
fn is_broken(error: &Error) -> bool {
    match error {
        Error::Damaged(..) | Error::NoKey(..) | Error::Newer(..) => true,
        Error::Full(_)
        | Error::Disk(..)
        | Error::Taken(_)
        | Error::Busy(_)
        | Error::Absent(_)
        | Error::TooLong(_) => false,
    }
}
