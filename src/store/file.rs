//! Files that must survive a loss of power: the few system calls of this room, each with its path in the error.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Whether the system said that there is no room.
pub fn is_full(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What an error of the disk asks of its owner at a start, to follow the system's own words.
pub fn start_cure(error: &io::Error) -> &'static str {
    match error.kind() {
        full if is_full(full) => START_FULL,
        _ => ": check the folder's owner and permissions, and the disk",
    }
}

/// The cure of a start for which there is no room.
pub const START_FULL: &str = ": make room on that disk and start again (the room that is kept for this, the file `reserve` in \
                              the store's folder, was used up or never made)";

/// Takes one record: its key and value. An error is a sentence, and ends the reading.
pub type EachRecord<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), String>;

/// What an error of the disk asks of its owner, to follow the system's own words: `: …` or nothing.
pub fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        full if is_full(full) => ": make room on that disk, and it goes on by itself",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ": let the server's user write there, and it goes on by itself"
        }
        _ => "",
    }
}

/// Writes all of `bytes` at `at`. A failure leaves the file's length unknown beyond `at`.
///
/// # Errors
/// Whatever the system says: no space, an I/O error.
pub fn write_at(file: &File, path: &Path, bytes: &[u8], at: u64) -> io::Result<()> {
    fault::check(path, fault::Call::Write, || {
        file.write_all_at(&bytes[..bytes.len() / 2], at)
    })?;
    file.write_all_at(bytes, at)
}

/// Puts a file's contents, and what is needed to read them back, on the medium (fdatasync).
///
/// # Errors
/// Whatever the system says. After an error the page cache can't be trusted: pages that could not be written
/// are marked clean.
pub fn sync_data(file: &File, path: &Path) -> io::Result<()> {
    fault::check(path, fault::Call::Sync, || Ok(()))?;
    file.sync_data()
}

/// Puts a folder's list of names on the medium: after a file in it was created, renamed or removed.
///
/// # Errors
/// Whatever the system says.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    fault::check(dir, fault::Call::Sync, || Ok(()))?;
    File::open(dir)?.sync_all()
}

/// Makes a folder and its parents, durably.
///
/// # Errors
/// Whatever the system says.
pub fn make_dir(dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.is_dir()).collect();
    // What lies there names people's numbers: others than owner and group have no business in it.
    fs::DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
    missing
        .iter()
        .filter_map(|dir| dir.parent())
        .try_for_each(|parent| match parent.as_os_str().is_empty() {
            true => sync_dir(Path::new(".")),
            false => sync_dir(parent),
        })
}

/// Takes a folder for this process, as long as the file that is returned stays open; `None` if another has it. The
/// lock goes with the process, however it ends.
///
/// # Errors
/// Whatever the system says.
pub fn lock(dir: &Path) -> io::Result<Option<File>> {
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(dir.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// A file that is written under another name, and gets its own only when it is whole and on the medium. One that is
/// given up takes no room.
pub struct Draft {
    file: File,
    temporary: Temporary,
    path: PathBuf,
}

/// A name that goes when nobody wants it any more. A draft that is whole has another one by then.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // The next draft of that name replaces it, and every start removes what is left.
        let _ = fs::remove_file(&self.0);
    }
}

impl Draft {
    /// Begins the file that will be `path`.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let temporary = path.with_extension("tmp");
        fault::check(&temporary, fault::Call::Write, || Ok(()))?;
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            // Numbers stand in them, and in the journal what calls in progress are secured by.
            .mode(0o600)
            .open(&temporary)?;
        Ok(Self {
            file,
            temporary: Temporary(temporary),
            path: path.to_owned(),
        })
    }

    /// The contents are complete: syncs them, gives the file its name, and syncs the folder.
    ///
    /// # Errors
    /// Whatever the system says; the old file of that name, if any, is then still whole.
    pub fn publish(self) -> io::Result<File> {
        sync_data(&self.file, &self.temporary.0)?;
        let dir = self.path.parent().unwrap_or(Path::new(".")).to_owned();
        let file = self.name()?;
        sync_dir(&dir)?;
        Ok(file)
    }

    /// The contents are complete: gives the file its name, and waits for no medium. Its owner syncs it and the folder.
    ///
    /// # Errors
    /// Whatever the system says; the old file of that name, if any, is then still whole.
    pub fn name(self) -> io::Result<File> {
        fs::rename(&self.temporary.0, &self.path)?;
        Ok(self.file)
    }
}

/// Keeps a small file: it has its old contents or these, whatever happens.
///
/// # Errors
/// Whatever the system says.
pub fn keep(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = Draft::begin(path)?;
    draft.write_all(bytes)?;
    draft.publish().map(drop)
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        fault::check(&self.temporary.0, fault::Call::Write, || Ok(()))?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The files of a folder named `<prefix><number><suffix>`, by number: 20 digits, with `_` between or without.
///
/// # Errors
/// Whatever the system says.
pub fn numbered(dir: &Path, prefix: &str, suffix: &str) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|n| n.strip_prefix(prefix)?.strip_suffix(suffix))
            .map(|n| n.replace('_', ""))
            .filter(|n| n.len() == 20)
            .and_then(|n| n.parse().ok());
        if let Some(number) = number {
            found.push((number, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The name that [`numbered`] finds again: `wal-00000_00000_00000_00001.log`. In one piece the digits would be
/// taken for somebody's number where a sentence names the file, and masked.
pub fn numbered_path(dir: &Path, prefix: &str, number: u64, suffix: &str) -> PathBuf {
    let part = |power: u32| number / 100_000_u64.pow(power) % 100_000;
    let (a, b, c, d) = (part(3), part(2), part(1), part(0));
    dir.join(format!("{prefix}{a:05}_{b:05}_{c:05}_{d:05}{suffix}"))
}

/// Removes drafts that a crash left behind.
///
/// # Errors
/// Whatever the system says.
pub fn remove_drafts(dir: &Path, prefix: &str) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if name.starts_with(prefix) && name.ends_with(".tmp") {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// A file's whole contents.
///
/// # Errors
/// Whatever the system says.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The integer in the first bytes of `bytes`, little-endian; `None` if there are too few.
pub fn le_u32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|b| u32::from_le_bytes(*b))
}

/// See [`le_u32`].
pub fn le_u64(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|b| u64::from_le_bytes(*b))
}

/// Faults of the disk, for tests: nothing in a build that isn't one.
#[cfg(not(test))]
mod fault {
    pub enum Call {
        Write,
        Sync,
    }

    pub fn check(
        _: &std::path::Path,
        _: Call,
        _: impl FnOnce() -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub mod fault {
    //! Lets tests break the disk under one folder: writes find no space (after half of the bytes), syncs fail.

    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::Mutex;

    /// What fails.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub enum Call {
        Write,
        Sync,
    }

    static BROKEN: Mutex<Vec<(PathBuf, Call)>> = Mutex::new(Vec::new());

    /// From now on this call fails for every file under `dir`.
    pub fn set(dir: &Path, call: Call) {
        BROKEN.lock().unwrap().push((dir.to_owned(), call));
    }

    /// The disk under `dir` is well again.
    pub fn clear(dir: &Path) {
        BROKEN.lock().unwrap().retain(|(d, _)| d != dir);
    }

    pub fn check(path: &Path, call: Call, half: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let broken = BROKEN
            .lock()
            .unwrap()
            .iter()
            .any(|(d, c)| *c == call && path.starts_with(d));
        if !broken {
            return Ok(());
        }
        half()?;
        Err(match call {
            Call::Write => io::Error::from_raw_os_error(libc::ENOSPC),
            Call::Sync => io::Error::from_raw_os_error(libc::EIO),
        })
    }
}
