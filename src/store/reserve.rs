//! Room on the disk that is kept for a start: the file `reserve` in the store's folder.
//!
//! A server that is killed while its disk is full must be able to start again, and a start writes before it goes on
//! with anything: the journal copies the calls in progress to a segment of its own (1.7 kB each, measured), sled ends
//! the segment of its file that it finds (512 KiB) and writes its list of pages anew (3 bytes a binding). So a start on a
//! full disk gives the reserve away before all else ([`give`]), and the thread behind the writer takes it back when there
//! is room (`refill`). It takes no more than half of the room that there is: on a disk that stays full the other half is
//! for the journal and the records of the calls that go on.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::file;
use crate::base::limits::DISK_RESERVE_BYTES;

const NAME: &str = "reserve";
/// It doesn't grow by less, unless it is whole then.
const STEP_BYTES: u64 = 1 << 20;
/// Bytes that are written at a time where the file system allocates nothing by itself.
const PIECE_BYTES: usize = 1 << 16;

/// Gives the reserve of the store in `store` away if that disk has less room than the reserve would take. Returns
/// its bytes, if there were any. It stays where another process has the store open.
///
/// # Errors
/// Whatever the system says.
pub fn give(store: &Path) -> io::Result<Option<u64>> {
    let path = store.join(NAME);
    let held = held(&path);
    if held == 0 || free(store)? >= DISK_RESERVE_BYTES || matches!(file::lock(store), Ok(None)) {
        return Ok(None);
    }
    // The name goes too: on some disks it is files that there are too many of.
    fs::remove_file(&path)?;
    // Journalling file systems hand out again what was freed once that is on the medium.
    file::sync_dir(store)?;
    Ok(Some(held))
}

/// The reserve of a running server.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    /// The reserve of the store in `store`, which is to have so many bytes.
    pub(super) fn of(store: &Path, bytes: u64) -> Self {
        Self {
            path: store.join(NAME),
            bytes,
        }
    }

    /// Takes what is missing of it, as far as there is room. Returns what there is to say while it isn't whole.
    pub(super) fn refill(&self) -> Option<String> {
        let held = held(&self.path);
        if held >= self.bytes {
            return None;
        }
        let place = self.path.display();
        let outcome = self.grow(held);
        match outcome {
            Ok((now, _)) if now >= self.bytes => None,
            Ok((now, free)) => Some(format!(
                "a start on a full disk needs {place}, and there is room for {} MiB of its {} only ({} MiB are left \
                 beside it): make room there, and it fills up by itself",
                now >> 20,
                self.bytes >> 20,
                free >> 20
            )),
            Err(error) => Some(format!(
                "a start on a full disk needs {place}, which can't be kept: {error}{}",
                file::cure(&error)
            )),
        }
    }

    /// Returns how large it is then, and how much room is left beside it.
    fn grow(&self, held: u64) -> io::Result<(u64, u64)> {
        let free = free(self.path.parent().unwrap_or(Path::new(".")))?;
        let target = target(held, free, self.bytes);
        if target == held {
            return Ok((held, free));
        }
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.path)?;
        if let Err(error) = allocate(&file, held, target) {
            file.set_len(held)?;
            return Err(error);
        }
        Ok((target, free.saturating_sub(target - held)))
    }
}

/// How large a reserve of `held` bytes is to be, where so many are free and it is whole at `bytes`.
fn target(held: u64, free: u64, bytes: u64) -> u64 {
    let half = held.saturating_add(free) / 2;
    match half.min(bytes) {
        whole if whole == bytes => bytes.max(held),
        part if part >= held.saturating_add(STEP_BYTES) => part,
        _ => held,
    }
}

/// Bytes of the disk that the file has: a file with holes, as some copy it, keeps no room.
fn held(path: &Path) -> u64 {
    fs::symlink_metadata(path).map_or(0, |file| file.len().min(file.blocks().saturating_mul(512)))
}

/// Bytes that the disk under `dir` has for us.
fn free(dir: &Path) -> io::Result<u64> {
    let disk = statvfs(dir)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Makes the disk keep the file's bytes up to `end`; it has those up to `held`.
fn allocate(file: &File, held: u64, end: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, end) {
        Err(rustix::io::Errno::OPNOTSUPP) => write_out(file, held, end),
        outcome => Ok(outcome?),
    }
}

/// Writes what no file system can make smaller, from `at` to `end`.
fn write_out(file: &File, mut at: u64, end: u64) -> io::Result<()> {
    let mut noise = 0x9E37_79B9_7F4A_7C15_u64;
    let mut piece = vec![0; PIECE_BYTES];
    while at < end {
        for word in piece.chunks_exact_mut(8) {
            // Marsaglia's xorshift.
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            word.copy_from_slice(&noise.to_le_bytes());
        }
        let bytes = PIECE_BYTES.min(usize::try_from(end - at).unwrap_or(PIECE_BYTES));
        file.write_all_at(piece.get(..bytes).unwrap_or_default(), at)?;
        at += bytes as u64;
    }
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_reserve_takes_half_of_the_room_at_most_and_never_shrinks() {
        let of = |held: u64, free: u64| target(held * MIB, free * MIB, 64 * MIB) / MIB;
        assert_eq!(of(0, 10_000), 64);
        assert_eq!(of(0, 128), 64);
        assert_eq!(of(0, 100), 50);
        assert_eq!(of(50, 50), 50);
        assert_eq!(of(50, 78), 64);
        assert_eq!(of(40, 0), 40, "a full disk");
        assert_eq!(of(64, 0), 64);
        assert_eq!(of(0, 1), 0);
        assert_eq!(of(20, 21), 20, "not for half a MiB");
        assert_eq!(of(80, 0), 80, "an older, larger one");
    }

    #[test]
    fn the_reserve_is_made_kept_and_taken_for_what_the_disk_has_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let reserve = Reserve::of(dir.path(), 3 * MIB);
        assert_eq!(reserve.refill(), None);
        assert_eq!(held(&path), 3 * MIB);
        // A copy with a hole instead of it.
        fs::remove_file(&path).unwrap();
        File::create(&path).unwrap().set_len(3 * MIB).unwrap();
        assert_eq!(held(&path), 0);
        assert_eq!(reserve.refill(), None);
        assert_eq!(held(&path), 3 * MIB);
        // Where the file system allocates nothing, it is written.
        let plain = File::create(&path).unwrap();
        write_out(&plain, 0, 3 * MIB).unwrap();
        assert_eq!(held(&path), 3 * MIB);
    }

    #[test]
    fn a_reserve_that_can_t_be_kept_is_said_with_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let said = Reserve::of(dir.path(), u64::MAX / 4).refill().unwrap();
        let path = dir.path().join(NAME);
        assert!(said.contains(&path.display().to_string()), "{said}");
        assert_eq!(
            fs::metadata(&path).map_or(0, |file| file.len()) / MIB,
            held(&path) / MIB
        );
    }

    #[test]
    fn with_room_on_the_disk_a_start_leaves_the_reserve_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Reserve::of(dir.path(), MIB).refill(), None);
        assert_eq!(give(dir.path()).unwrap(), None);
        assert_eq!(held(&dir.path().join(NAME)), MIB);
    }
}
