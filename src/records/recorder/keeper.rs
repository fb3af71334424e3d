//! Keeping the folder: recordings that were left end, old ones go.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::Shared;
use super::left::{self, Left};
use super::notes::{Notes, kept};
use super::trust::Trust;
use crate::base::id::Id;
use crate::base::limits::{RECORDING_ABANDONED_AFTER, RECORDINGS_DELETED_AT_ONCE};
use crate::base::time::{Now, Wall};
use crate::records::audit::{self, Act, GOES, GONE, Line};
use crate::records::recordings::Error;
use crate::records::recordings::index::{Entry, Index, Scanned, State};
use crate::records::recordings::retention::delete_old;

/// The file of the recordings' folder that says when the clock was believed last; and its name before it is whole.
const CLOCK: &str = "clock";
const NEW_CLOCK: &str = "clock.new";
/// How often.
const EVERY: Duration = Duration::from_secs(3_600);
/// So many that can't be deleted are named in the log, each time.
const NAMED_MAX: usize = 8;
/// Longer than a call lasts: one that ended after some time began no earlier than that before it.
const BEGAN_BEFORE_MAX: Duration = Duration::from_secs(2 * 86_400);

/// Looks after the folder, so long after it is told that all calls have been gone on with, until `stops` is dropped.
pub(super) fn run(shared: &Shared, stops: &Receiver<()>, first: Duration) {
    if stops.recv().is_err() {
        return;
    }
    let mut keeper = Keeper::default();
    let mut rest = first;
    while stops.recv_timeout(rest) == Err(RecvTimeoutError::Timeout) {
        keeper.turn(shared);
        // What another server had not left yet, it has by then.
        rest = if rest.is_zero() {
            RECORDING_ABANDONED_AFTER
        } else {
            EVERY
        };
    }
}

#[derive(Default)]
pub(super) struct Keeper {
    /// What the audit log hasn't taken.
    notes: Notes,
    /// What can't be deleted, or looked at, in a sentence.
    unkept: Option<String>,
    /// When it last saw that the audit log has the ends of all that are whole.
    seen: Option<Wall>,
    trust: Trust,
}

impl Keeper {
    /// Looks at the folder, and deletes nothing by a clock that can't be believed.
    pub(super) fn turn(&mut self, shared: &Shared) {
        let (now, system) = (shared.now(), (shared.settings.system)());
        let dir = &shared.settings.config.dir;
        if self.trust.is_blank()
            && let Some(known) = known_time(shared)
        {
            self.trust.learn(now.at, known);
        }
        // Ours isn't set back with the system's.
        let shown = Now {
            wall: system.min(now.wall),
            ..now
        };
        let old_by = match self.trust.look(shown) {
            Ok(()) => {
                shared.status.set_doubt(None);
                // Where that can't be written, the next process knows an earlier time, and doubts sooner.
                let _ = keep_time(dir, shown.wall);
                Some(shown.wall)
            }
            Err(doubt) => {
                let sentence = doubt.sentence();
                if doubt.is_new {
                    tracing::warn!("{sentence}");
                }
                shared.status.set_doubt(Some(sentence));
                None
            }
        };
        self.look(shared, now.wall, old_by);
    }

    /// Ends what nobody goes on with, and deletes what is old at `old_by`. What can't be done is said, and tried again the
    /// next time.
    pub(super) fn look(&mut self, shared: &Shared, now: Wall, old_by: Option<Wall>) {
        let work = |index: &mut Index, scanned: &Scanned| self.work(shared, (now, old_by), index, scanned);
        if let Err(error) = shared.settings.archive.look_through(work) {
            tracing::warn!("recordings can't be looked through: {error}");
            self.unkept = Some(format!(
                "recordings can't be looked through, and what is old isn't deleted: {error}"
            ));
        }
        shared.status.set_unkept(self.unkept.take());
    }

    fn work(
        &mut self,
        shared: &Shared,
        (now, old_by): (Wall, Option<Wall>),
        index: &mut Index,
        scanned: &Scanned,
    ) {
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
        if let Some(old_by) = old_by
            && self.is_noted(shared, now)
        {
            self.delete(shared, index, (now, old_by));
        }
        self.is_noted(shared, now);
        for (id, left) in ended {
            match left {
                Left::Whole | Left::Noted => index.finished(id),
                Left::Nothing => index.remove(id),
                Left::Damaged => index.broken(id),
            }
        }
    }

    /// Ends one, and says what is left of it.
    fn end(&mut self, shared: &Shared, index: &mut Index, entry: &Entry) -> Option<Left> {
        let call = entry.known.as_ref().map(|known| known.call);
        left::end(&shared.settings, &self.notes, &entry.place(), call)
            .inspect_err(|error| {
                if is_broken(error) {
                    index.broken(entry.recording);
                }
                tracing::warn!("a recording that a server before left can't be ended: {error}");
            })
            .ok()
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

    fn delete(&mut self, shared: &Shared, index: &mut Index, (now, old_by): (Wall, Wall)) {
        let Some(retention) = shared.retention() else {
            return;
        };
        let mut is_said = false;
        while !shared.leaves.load(Ordering::Acquire) {
            let (deleted, failed) = delete_old(index, &retention, old_by, |ids| {
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
            if let Some((_, error)) = failed.first() {
                self.unkept = Some(format!(
                    "recordings that are older than they are to be kept can't be deleted ({}): {error}",
                    failed.len()
                ));
            }
            is_said = true;
            if count < RECORDINGS_DELETED_AT_ONCE || !self.is_noted(shared, now) {
                return;
            }
        }
    }
}

/// The newest time that a process before this one has known: when its keeper last believed its clock, or else when it noted
/// something last.
fn known_time(shared: &Shared) -> Option<Wall> {
    let settings = &shared.settings;
    let kept = fs::read_to_string(settings.config.dir.join(CLOCK)).ok();
    let kept = kept.and_then(|text| Wall::parse_rfc3339(text.trim_end()));
    kept.or_else(|| {
        // The log is opened by that. Where it can't be, nothing is deleted anyway.
        let _ = settings.audit.probe();
        settings.audit.silent_since()
    })
}

/// Keeps a time for the process that comes next.
fn keep_time(dir: &Path, now: Wall) -> io::Result<()> {
    let [new, path] = [NEW_CLOCK, CLOCK].map(|name| dir.join(name));
    fs::write(&new, format!("{now}\n"))?;
    fs::rename(new, path)
}

fn not_deleted(error: &audit::Error) {
    tracing::warn!("{error}: no recording is deleted until that is mended");
}

/// Whether nobody will ever end it, for all that this server knows.
fn is_broken(error: &Error) -> bool {
    match error {
        Error::Damaged(..) | Error::NoKey(..) | Error::Newer(..) => true,
        Error::Full(_)
        | Error::Short(..)
        | Error::Disk(..)
        | Error::Taken(_)
        | Error::Busy(_)
        | Error::Absent(_)
        | Error::TooLong(_) => false,
    }
}
