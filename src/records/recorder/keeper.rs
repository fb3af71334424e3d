//! Keeping the folder: recordings that were left end, old ones go.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::Shared;
use super::notes::{Notes, kept};
use crate::base::id::Id;
use crate::base::limits::{RECORDING_ABANDONED_AFTER, RECORDINGS_DELETED_AT_ONCE};
use crate::base::time::Wall;
use crate::records::audit::{self, Act, GOES, GONE, Line};
use crate::records::recordings::Error;
use crate::records::recordings::index::{Entry, Index, Scanned, State};
use crate::records::recordings::pen::Pen;
use crate::records::recordings::retention::delete_old;

/// How often.
const EVERY: Duration = Duration::from_secs(3_600);
/// So many that can't be deleted are named in the log, each time.
const NAMED_MAX: usize = 8;
/// Longer than a call lasts: one that ended after some time began no earlier than that before it.
const BEGAN_BEFORE_MAX: Duration = Duration::from_secs(2 * 86_400);

/// Looks after the folder, from when it is told that all calls have been gone on with until `stops` is dropped.
pub(super) fn run(shared: &Shared, stops: &Receiver<()>) {
    if stops.recv().is_err() {
        return;
    }
    let mut keeper = Keeper::default();
    let mut rest = RECORDING_ABANDONED_AFTER;
    while stops.recv_timeout(rest) == Err(RecvTimeoutError::Timeout) {
        keeper.look(shared, shared.now().wall);
        rest = EVERY;
    }
}

/// What is left of a recording that nobody goes on with.
enum Left {
    Whole,
    Nothing,
}

#[derive(Default)]
pub(super) struct Keeper {
    /// What the audit log hasn't taken.
    notes: Notes,
    /// When it last saw that the audit log has the ends of all that are whole.
    seen: Option<Wall>,
}

impl Keeper {
    /// Ends what nobody goes on with, and deletes what is old. What can't be done is said, and tried again the next time.
    pub(super) fn look(&mut self, shared: &Shared, now: Wall) {
        let work = |index: &mut Index, scanned: &Scanned| self.work(shared, now, index, scanned);
        if let Err(error) = shared.settings.archive.look_through(work) {
            tracing::warn!("recordings can't be looked through: {error}");
        }
    }

    fn work(&mut self, shared: &Shared, now: Wall, index: &mut Index, scanned: &Scanned) {
        let stops = || shared.leaves.load(Ordering::Acquire);
        let mut ended = Vec::new();
        for id in scanned.running.iter().take_while(|_| !stops()) {
            // One that has begun since then isn't in the list.
            let is_open = shared.status.open().contains(id);
            let Some(entry) = index.get(*id).filter(|_| !is_open).cloned() else {
                continue;
            };
            ended.extend(self.end(shared, index, &entry).map(|left| (*id, left)));
        }
        self.note_whole(shared, index, now);
        // What went after it was noted that it goes.
        let rest = shared.settings.archive.take_rest_erased();
        self.add_all(Act::Erase, rest, GONE);
        // Nothing goes of which the log couldn't tell.
        if self.is_noted(shared, now) {
            self.delete(shared, index, now);
        }
        self.is_noted(shared, now);
        for (id, left) in ended {
            match left {
                Left::Whole => index.finished(id),
                Left::Nothing => index.remove(id),
            }
        }
    }

    /// Ends one, and says what is left of it.
    fn end(&mut self, shared: &Shared, index: &mut Index, entry: &Entry) -> Option<Left> {
        let id = entry.recording;
        let settings = &shared.settings;
        let ended = settings.audit.end_of(id).map_err(Error::from).and_then(|end| {
            // One that was whole once mustn't be ended as one that was torn.
            Pen::end_left(&entry.place(), settings.sealing.keys(), end)
        });
        match ended {
            Ok(finished) => {
                tracing::info!(
                    "the recording {id} of a server before has no call any more: it ends where it was left"
                );
                let call = entry.known.as_ref().map(|known| known.call);
                let outcome = match &finished {
                    Some(_) => "whole",
                    None => "nothing was in it",
                };
                self.notes.add(Line {
                    call,
                    end: finished.as_ref().map(|finished| finished.sha256),
                    ..Line::of_server(Act::Ended, id, outcome)
                });
                let Some(finished) = finished else {
                    return Some(Left::Nothing);
                };
                self.notes.add(kept(id, call, finished.sha256, "whole"));
                Some(Left::Whole)
            }
            Err(error) => {
                if is_broken(&error) {
                    index.broken(id);
                }
                tracing::warn!("a recording that a server before left can't be ended: {error}");
                None
            }
        }
    }

    /// Notes the ends of recordings that are whole, and of which a kill kept the audit log from having them.
    fn note_whole(&mut self, shared: &Shared, index: &Index, now: Wall) {
        let settings = &shared.settings;
        let since = self.seen.or_else(|| settings.audit.silent_since());
        let since = since.unwrap_or(now).as_millis() - BEGAN_BEFORE_MAX.as_millis() as i64;
        for entry in index.since(Wall::from_millis(since)) {
            let is_open = shared.status.open().contains(&entry.recording);
            if entry.state != State::Whole || is_open {
                continue;
            }
            match settings.audit.end_of(entry.recording) {
                Ok(Some(_)) => continue,
                Ok(None) => {}
                Err(error) => return tracing::warn!("{error}"),
            }
            if !self.notes.has_room(1) {
                // The rest is found again.
                return;
            }
            let call = entry.known.as_ref().map(|known| known.call);
            // Of one that can't be read `verify` says what is wrong with it.
            if let Ok(Some((_, end))) = entry.end() {
                self.notes.add(kept(entry.recording, call, end, "noted later"));
            }
        }
        self.seen = Some(now);
    }

    /// Whether the audit log has taken all that there was to note.
    fn is_noted(&mut self, shared: &Shared, now: Wall) -> bool {
        let noted = self.notes.write(&shared.settings.audit, now, |_| ());
        noted.inspect_err(not_deleted).is_ok()
    }

    /// The same became of all of these.
    fn add_all(&mut self, act: Act, ids: Vec<Id>, outcome: &'static str) {
        ids.into_iter()
            .for_each(|id| self.notes.add(Line::of_server(act, id, outcome)));
    }

    fn delete(&mut self, shared: &Shared, index: &mut Index, now: Wall) {
        let Some(retention) = shared.retention() else {
            return;
        };
        let mut is_said = false;
        while !shared.leaves.load(Ordering::Acquire) {
            let (deleted, failed) = delete_old(index, &retention, now, |ids| {
                let lines: Vec<_> = ids
                    .iter()
                    .map(|id| Line::of_server(Act::Aged, *id, GOES))
                    .collect();
                let noted = shared.settings.audit.note_all(now, &lines);
                noted.inspect_err(not_deleted).is_ok()
            });
            if !deleted.is_empty() {
                tracing::info!("recordings deleted because of their age: {}", deleted.len());
            }
            let count = deleted.len();
            self.add_all(Act::Aged, deleted, GONE);
            for (_, error) in failed.iter().take(NAMED_MAX).filter(|_| !is_said) {
                tracing::warn!("an old recording can't be deleted: {error}");
            }
            is_said = true;
            if count < RECORDINGS_DELETED_AT_ONCE || !self.is_noted(shared, now) {
                return;
            }
        }
    }
}

fn not_deleted(error: &audit::Error) {
    tracing::warn!("{error}: no recording is deleted until that is mended");
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
