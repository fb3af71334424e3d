//! Keeping the folder: recordings that were left end, old ones go.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::Shared;
use crate::base::limits::{CALL_DURATION_MAX, RECORDING_ABANDONED_AFTER, RECORDINGS_DELETED_AT_ONCE};
use crate::base::time::Wall;
use crate::records::recordings::Error;
use crate::records::recordings::index::{Index, Scanned};
use crate::records::recordings::pen::Pen;
use crate::records::recordings::retention::delete_old;

/// How often.
const EVERY: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// So many that can't be deleted are named in the log, each time.
const NAMED_MAX: usize = 8;

/// Looks after the folder until `stops` is dropped.
pub(super) fn run(shared: &Shared, stops: &Receiver<()>) {
    let goes_on = |rest| stops.recv_timeout(rest) == Err(RecvTimeoutError::Timeout);
    if goes_on(RECORDING_ABANDONED_AFTER) {
        look(shared, shared.now().wall);
    }
    while goes_on(EVERY) {
        look_again(shared, shared.now().wall);
    }
}

/// Ends what nobody goes on with, and deletes what is old. What can't be done is said, and tried again the next time.
pub(super) fn look(shared: &Shared, now: Wall) {
    look_at(shared, now, Index::scan(&shared.settings.config.dir));
}

/// The same once all was looked through: on days in between nothing is running, and nothing is old.
pub(super) fn look_again(shared: &Shared, now: Wall) {
    let config = &shared.settings.config;
    let before = |time: Duration| {
        let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Wall::from_millis(now.as_millis().saturating_sub(ms))
    };
    let kept = DAY * config.keep_days.max(config.at_least_days);
    let found = Index::scan_ends(&config.dir, before(kept), before(CALL_DURATION_MAX + DAY));
    look_at(shared, now, found);
}

fn look_at(shared: &Shared, now: Wall, found: Result<(Index, Scanned), Error>) {
    let settings = &shared.settings;
    let (mut index, scanned) = match found {
        Ok(found) => found,
        Err(error) => return tracing::warn!("recordings can't be looked through: {error}"),
    };
    let stops = || shared.leaves.load(Ordering::Acquire);
    for sentence in &scanned.said {
        tracing::warn!("{sentence}");
    }
    for id in scanned.running {
        if stops() {
            return;
        }
        // One that has begun since then isn't in the list.
        let is_open = shared.status.open().contains(&id);
        let Some(entry) = index.get(id).filter(|_| !is_open) else {
            continue;
        };
        match Pen::end_left(&index.place(entry), settings.sealing.keys(), None) {
            Ok(_) => tracing::info!(
                "the recording {id} of a server before has no call any more: it ends where it was left"
            ),
            Err(error) => {
                if is_broken(&error) {
                    index.broken(id);
                }
                tracing::warn!("a recording that a server before left can't be ended: {error}");
            }
        }
    }
    let retention = settings.config.retention();
    let mut is_said = false;
    while !stops() {
        let (deleted, failed) = delete_old(&mut index, &retention, now);
        if !deleted.is_empty() {
            tracing::info!("recordings deleted because of their age: {}", deleted.len());
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
