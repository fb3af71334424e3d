//! Keeping the folder: recordings that were left end, old ones go.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::Shared;
use crate::base::limits::{RECORDING_ABANDONED_AFTER, RECORDINGS_DELETED_AT_ONCE};
use crate::base::time::Wall;
use crate::records::recordings::Error;
use crate::records::recordings::index::Index;
use crate::records::recordings::pen::Pen;
use crate::records::recordings::retention::delete_old;

/// How often.
const EVERY: Duration = Duration::from_secs(3_600);
/// So many that can't be deleted are named in the log, each time.
const NAMED_MAX: usize = 8;

/// Looks after the folder until `stops` is dropped.
pub(super) fn run(shared: &Shared, stops: &Receiver<()>) {
    let mut rest = RECORDING_ABANDONED_AFTER;
    while stops.recv_timeout(rest) == Err(RecvTimeoutError::Timeout) {
        look(shared, shared.now().wall);
        rest = EVERY;
    }
}

/// Ends what nobody goes on with, and deletes what is old. What can't be done is said, and tried again the next time.
pub(super) fn look(shared: &Shared, now: Wall) {
    let settings = &shared.settings;
    let (mut index, scanned) = match Index::scan(&settings.config.dir) {
        Ok(found) => found,
        Err(error) => return tracing::warn!("recordings can't be looked through: {error}"),
    };
    for sentence in &scanned.said {
        tracing::warn!("{sentence}");
    }
    for id in scanned.running {
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
    loop {
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
