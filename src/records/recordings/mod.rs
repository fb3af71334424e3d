//! Recordings on disk: an audio file that any player opens, and beside it a chain that says what was written when, and by
//! which every later change shows.
//!
//! ```text
//! YYYY/MM/DD/ID.wav      16-bit stereo PCM, the caller left, the callee right      (ID.wav.sealed: encrypted)
//! YYYY/MM/DD/ID.chain    a line for the recording, one for each block, one for its end: see `chain`
//! ```
//!
//! Beside them may lie `ID.cut`, what was cut off both files after a loss of power, and `ID.wav.damaged`, audio of which no
//! chain tells. In place of the WAV file there may be `ID.rtpdump`, where the parties spoke a codec that isn't decoded; if they only
//! turned to it, that is a second recording of their call: see [`aside`]. While a recording
//! runs both names end in `.part`; they lose that when all is on the medium, the chain last. The day is that of its
//! beginning, in UTC. There is no telephone number in either file: what call and binding it belongs to stands in the chain,
//! who they are in the call's record.
//!
//! [`pen`] writes, [`read`] gives the audio, [`verify`](mod@verify) says whether a recording is as it was written, [`index`]
//! finds it, [`retention`] ends it, and [`seal`] keeps it from whoever hasn't the account's key.

pub mod aside;
pub mod chain;
pub(super) mod disk;
pub mod index;
mod lines;
pub mod pen;
mod place;
pub mod read;
pub mod retention;
pub mod seal;
pub mod verify;

use std::io;
use std::path::{Path, PathBuf};

pub use lines::is_busy;
pub use place::Place;

use super::audit;
use crate::base::form::forms;

/// Why a recording can't be written, or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk has no room.
    #[error(
        "the recording {} can't be written, the disk is full: make room there, and it goes on by itself with the gap marked",
        .0.display()
    )]
    Full(PathBuf),
    /// The disk has room, but not for recordings: so many MiB are free, so many are to be, and with so many they go on.
    #[error(
        "the disk of recordings under {} has {} MiB left, and {} MiB are to be free there for everything else \
         (recordings.keep_free): make room there, or keep recordings for fewer days; with {} MiB they go on by themselves, \
         with the gap marked",
        .0.display(), .1, .2, .3
    )]
    Short(PathBuf, u64, u64, u64),
    /// The system refuses.
    #[error("the recording {} can't be written or read: {}{}", .0.display(), .1, cure(.1))]
    Disk(PathBuf, #[source] io::Error),
    /// There is a recording of that id.
    #[error("there is a recording {} already: it is left as it is", .0.display())]
    Taken(PathBuf),
    /// Somebody writes it.
    #[error("another server writes the recording {}: give each server a folder of its own, or stop that one", .0.display())]
    Busy(PathBuf),
    /// There is none.
    #[error("there is no recording {}: it was erased, or lies in another folder", .0.display())]
    Absent(PathBuf),
    /// Its files aren't as they were written.
    #[error("the recording {} is damaged, {}: keep both files as they are, `umbra recording verify` says more", .0.display(), .1)]
    Damaged(PathBuf, String),
    /// A WAV file can't be longer.
    #[error("the recording {} would be longer than a WAV file can be (4 GiB): end it, and begin another", .0.display())]
    TooLong(PathBuf),
    /// It is sealed with a key that isn't here.
    #[error("the recording {} is sealed with the key `{}`, and that one isn't among the keys here, nor an earlier one of its name: give its file", .0.display(), .1)]
    NoKey(PathBuf, Box<str>),
    /// A later version of the program wrote it.
    #[error("the recording {} has form {}, this program reads up to form {}: use the newer umbra that wrote it", .0.display(), .1, .2)]
    Newer(PathBuf, u32, u32),
}

impl From<audit::Error> for Error {
    fn from(error: audit::Error) -> Self {
        match error {
            audit::Error::Full(dir) => Self::Full(dir),
            audit::Error::Disk(dir, error) => Self::Disk(dir, error),
            audit::Error::Taken(dir) => Self::Busy(dir),
            audit::Error::Newer(file, form) => Self::Newer(file, form, forms().audit.into()),
        }
    }
}

impl Error {
    /// An error of the disk under the file.
    fn of(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(path.to_owned()),
            io::ErrorKind::NotFound => Self::Absent(path.to_owned()),
            io::ErrorKind::AlreadyExists => Self::Taken(path.to_owned()),
            _ => Self::Disk(path.to_owned(), error),
        }
    }
}

/// What an error of the disk asks of its owner, to follow the system's own words.
fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ": let the server's user write there"
        }
        _ => ": check that disk",
    }
}

#[cfg(test)]
pub(crate) mod tests;
