//! The few calls by which a recording's files are written; in tests the disk under them may be full, or sick.

use std::fs::{self, File, ReadDir};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Writes all of `bytes` at `at`. After an error the file may hold a part of them.
pub(in crate::records) fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    match fault::room_for(bytes.len()) {
        None => file.write_all_at(bytes, at),
        Some(room) => {
            file.write_all_at(bytes.get(..room).unwrap_or(bytes), at)?;
            Err(io::Error::from_raw_os_error(libc::ENOSPC))
        }
    }
}

/// Puts a file's contents on the medium (fdatasync).
pub(in crate::records) fn sync(file: &File) -> io::Result<()> {
    fault::synced();
    if fault::is_sick() {
        return Err(io::Error::from_raw_os_error(libc::EIO));
    }
    file.sync_data()
}

/// Puts all files of a folder's file system on the medium (syncfs).
pub(super) fn sync_system(dir: &File) -> io::Result<()> {
    fault::synced();
    if fault::is_sick() {
        return Err(io::Error::from_raw_os_error(libc::EIO));
    }
    Ok(rustix::fs::syncfs(dir)?)
}

/// Bytes of a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// Those that the server may still have.
    pub free: u64,
    /// All.
    pub bytes: u64,
}

/// What the disk under a folder has.
pub(in crate::records) fn space(dir: &Path) -> io::Result<Space> {
    if let Some(space) = fault::space() {
        return Ok(space);
    }
    let disk = rustix::fs::statvfs(dir)?;
    Ok(Space {
        free: disk.f_bavail.saturating_mul(disk.f_frsize),
        bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
    })
}

/// Removes a file.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match path.parent().is_some_and(fault::is_unreadable) {
        false => fs::remove_file(path),
        true => Err(io::Error::from_raw_os_error(libc::EIO)),
    }
}

/// What a folder holds.
pub(super) fn list(dir: &Path) -> io::Result<ReadDir> {
    match fault::is_unreadable(dir) {
        false => fs::read_dir(dir),
        true => Err(io::Error::from_raw_os_error(libc::EIO)),
    }
}

/// Nothing in a build that is no test.
#[cfg(not(test))]
mod fault {
    pub const fn is_unreadable(_dir: &std::path::Path) -> bool {
        false
    }

    pub const fn room_for(_bytes: usize) -> Option<usize> {
        None
    }

    pub const fn is_sick() -> bool {
        false
    }

    pub const fn synced() {}

    pub const fn space() -> Option<super::Space> {
        None
    }
}

#[cfg(test)]
pub(in crate::records) mod fault {
    //! The disk of the test that runs on this thread.

    use std::cell::{Cell, RefCell};
    use std::path::{Path, PathBuf};

    /// A terabyte, of which nothing is used.
    pub const PLENTY: super::Space = super::Space {
        free: 1 << 40,
        bytes: 1 << 40,
    };

    thread_local! {
        static ROOM: Cell<Option<usize>> = const { Cell::new(None) };
        static SICK: Cell<bool> = const { Cell::new(false) };
        static SYNCS: Cell<u64> = const { Cell::new(0) };
        static SPACE: Cell<super::Space> = const { Cell::new(PLENTY) };
        static UNREADABLE: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
    }

    /// From now on the disk has room for so many bytes; `None`: for all.
    pub fn set_room(bytes: Option<usize>) {
        ROOM.set(bytes);
    }

    /// From now on the disk says that it has this.
    pub fn set_space(space: super::Space) {
        SPACE.set(space);
    }

    pub fn space() -> Option<super::Space> {
        Some(SPACE.get())
    }

    /// From now on this folder can't be read, and nothing in it removed.
    pub fn set_unreadable(dir: Option<PathBuf>) {
        UNREADABLE.replace(dir);
    }

    pub fn is_unreadable(dir: &Path) -> bool {
        UNREADABLE.with_borrow(|of| of.as_deref() == Some(dir))
    }

    /// Whether from now on no sync succeeds.
    pub fn set_sick(is: bool) {
        SICK.set(is);
    }

    /// What there is room for, if that is less than so many bytes.
    pub fn room_for(bytes: usize) -> Option<usize> {
        let room = ROOM.get()?;
        ROOM.set(Some(room.saturating_sub(bytes)));
        (room < bytes).then_some(room)
    }

    pub fn is_sick() -> bool {
        SICK.get()
    }

    pub fn synced() {
        SYNCS.set(SYNCS.get() + 1);
    }

    /// How often something was to be put on the medium.
    pub fn syncs() -> u64 {
        SYNCS.get()
    }
}
