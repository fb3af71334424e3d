//! A backup: a folder that holds one snapshot and a manifest that says what it is.
//!
//! ```text
//! bindings.snap   accounts, pools, numbers and bindings, live and ended: see [`snapshot`](super::snapshot)
//! manifest.json   what the files must be (bytes, CRC-32), what they hold, and when it was taken
//! ```
//!
//! The manifest comes last and at once: a folder without one is half a backup, and is none. Call records are not
//! in it (they are files that are only ever appended to: copy `records.cdr_dir`), nor are calls in progress,
//! which belong to the server that has them.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::file;
use super::open::Places;
use super::snapshot::{self, Snapshot, SnapshotError};
use crate::masking::change::Record;

/// The manifest's form, and the newest that this program reads.
const FORM: u32 = 1;
const SNAPSHOT: &str = "bindings.snap";
const MANIFEST: &str = "manifest.json";
/// It holds people's numbers.
const OWNER_ONLY_DIR: u32 = 0o700;
const OWNER_ONLY: u32 = 0o600;

/// Why there is no backup, or none that can be used: a sentence with what to do.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file system refuses.
    #[error("{}: {error}: check its owner, permissions and free space", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Something is there already.
    #[error("{} is not empty: name a folder that is, or that isn't there yet", .0.display())]
    NotEmpty(PathBuf),
    /// There is no such folder.
    #[error("{} is no folder: name the one that `umbra backup` was given", .0.display())]
    NoFolder(PathBuf),
    /// No manifest.
    #[error(
        "{} is no backup, or half of one: it has no {MANIFEST}, which `umbra backup` writes when all else is on the \
         disk; take another backup",
        .0.display()
    )]
    Half(PathBuf),
    /// The manifest can't be read.
    #[error("{} can't be read ({why}): take another backup", path.display())]
    BadManifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A later version of the program wrote it.
    #[error("{} has form {form}, this program reads up to {FORM}: restore with the newer umbra that wrote it", path.display())]
    Newer {
        /// The manifest.
        path: PathBuf,
        /// Its form.
        form: u32,
    },
    /// A file is not what the manifest says.
    #[error("{} is damaged: {what}; nothing was changed: use another backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The snapshot in it.
    #[error("{0}; nothing was changed: use another backup")]
    Snapshot(SnapshotError),
    /// The data folder has bindings already.
    #[error(
        "{} holds bindings already: move it away first, or start the server and restore into it while it runs",
        .0.display()
    )]
    Occupied(PathBuf),
    /// A server has the data folder.
    #[error("{} is in use by a running umbra: name its control socket (--control) to restore while it runs", .0.display())]
    InUse(PathBuf),
}

/// One file of a backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Listed {
    /// Its name in the folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// CRC-32 of all of it, in hexadecimal.
    pub crc32: String,
}

/// How much a backup holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Holds {
    /// Accounts.
    pub accounts: u64,
    /// Pools.
    pub pools: u64,
    /// Numbers, released ones too.
    pub numbers: u64,
    /// Bindings that nobody had ended.
    pub bindings: u64,
    /// Bindings that had ended and were still kept.
    pub bindings_ended: u64,
    /// Whatever else there is.
    #[serde(default)]
    pub others: u64,
}

/// What a backup says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The manifest's form: 1.
    pub umbra_backup: u32,
    /// The version of the program that took it.
    pub version: String,
    /// The node that it was taken of.
    pub node: String,
    /// When it was taken: RFC 3339.
    pub taken_at: String,
    /// The last change that it holds.
    pub seq: u64,
    /// What it holds.
    pub holds: Holds,
    /// Its files.
    pub files: Vec<Listed>,
}

/// A backup that was found whole.
#[derive(Debug)]
pub struct Backup {
    /// What it says of itself.
    pub manifest: Manifest,
    /// Its records.
    pub snapshot: Snapshot,
}

/// A backup that is being written.
pub struct Begun {
    dir: PathBuf,
    draft: PathBuf,
    file: File,
    crc: crc32fast::Hasher,
    bytes: u64,
}

/// Begins a backup in `dir`, which is made, or is empty. What is written to it is the snapshot's file.
///
/// # Errors
/// [`BackupError::NotEmpty`], or the file system's.
pub fn begin(dir: &Path) -> Result<Begun, BackupError> {
    match fs::read_dir(dir) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(BackupError::NotEmpty(dir.to_owned()));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => DirBuilder::new()
            .recursive(true)
            .mode(OWNER_ONLY_DIR)
            .create(dir)
            .map_err(at(dir))?,
        Err(error) => return Err(at(dir)(error)),
    }
    let draft = dir.join(format!("{SNAPSHOT}.tmp"));
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(OWNER_ONLY)
        .open(&draft)
        .map_err(at(&draft))?;
    Ok(Begun {
        dir: dir.to_owned(),
        draft,
        file,
        crc: crc32fast::Hasher::new(),
        bytes: 0,
    })
}

impl Begun {
    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The snapshot is complete: puts it on the medium, reads it back and checks every byte, and writes the
    /// manifest.
    ///
    /// # Errors
    /// What was written is no whole snapshot, or the file system's; the folder is no backup then.
    pub fn finish(self, version: &str, node: &str, taken_at: &str) -> Result<Backup, BackupError> {
        let path = self.dir.join(SNAPSHOT);
        self.file.sync_all().map_err(at(&self.draft))?;
        fs::rename(&self.draft, &path).map_err(at(&path))?;
        let (snapshot, holds) = look_through(&path)?;
        let manifest = Manifest {
            umbra_backup: FORM,
            version: version.to_owned(),
            node: node.to_owned(),
            taken_at: taken_at.to_owned(),
            seq: snapshot.seq,
            holds,
            files: vec![Listed {
                name: SNAPSHOT.to_owned(),
                bytes: self.bytes,
                crc32: format!("{:08x}", self.crc.finalize()),
            }],
        };
        let place = self.dir.join(MANIFEST);
        let text = serde_json::to_vec_pretty(&manifest).map_err(|why| BackupError::BadManifest {
            path: place.clone(),
            why: why.to_string(),
        })?;
        file::keep(&place, &text).map_err(at(&place))?;
        Ok(Backup { manifest, snapshot })
    }
}

impl Write for Begun {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.crc.update(bytes.get(..count).unwrap_or_default());
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Backup {
    /// Reads the backup in `dir` and checks every byte of it. Nothing is changed.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence that names the file.
    pub fn open(dir: &Path) -> Result<Self, BackupError> {
        let place = dir.join(MANIFEST);
        let text = match file::read(&place) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && dir.is_dir() => {
                return Err(BackupError::Half(dir.to_owned()));
            }
            Err(_) if !dir.is_dir() => return Err(BackupError::NoFolder(dir.to_owned())),
            Err(error) => return Err(at(&place)(error)),
        };
        let bad = |why: &dyn std::fmt::Display| BackupError::BadManifest {
            path: place.clone(),
            why: why.to_string(),
        };
        // A later form may have other fields: its number is read first.
        let value: serde_json::Value = serde_json::from_slice(&text).map_err(|why| bad(&why))?;
        match value.get("umbra_backup").and_then(serde_json::Value::as_u64) {
            Some(form) if form <= u64::from(FORM) => {}
            Some(form) => {
                return Err(BackupError::Newer {
                    form: u32::try_from(form).unwrap_or(u32::MAX),
                    path: place,
                });
            }
            None => return Err(bad(&"it is no manifest of a backup")),
        }
        let manifest: Manifest = serde_json::from_value(value).map_err(|why| bad(&why))?;
        let Some(listed) = manifest.files.iter().find(|listed| listed.name == SNAPSHOT) else {
            return Err(bad(&format!("it lists no {SNAPSHOT}")));
        };
        let path = dir.join(SNAPSHOT);
        check_whole(&path, listed)?;
        let (snapshot, holds) = look_through(&path)?;
        if (snapshot.seq, holds) != (manifest.seq, manifest.holds) {
            return Err(BackupError::Damaged {
                path,
                what: "it holds something else than the manifest says".into(),
            });
        }
        Ok(Self { manifest, snapshot })
    }

    /// Puts the backup in the place of a data folder that has no bindings: the next start opens it. No server
    /// runs there meanwhile.
    ///
    /// # Errors
    /// [`BackupError::Occupied`], [`BackupError::InUse`], or the file system's.
    pub fn put_in_place(&self, store: &Path) -> Result<(), BackupError> {
        let places = Places::under(store);
        file::make_dir(store).map_err(at(store))?;
        let Some(_lock) = file::lock(store).map_err(at(store))? else {
            return Err(BackupError::InUse(store.to_owned()));
        };
        let is_occupied = [&places.log, &places.sled, &places.snapshots]
            .into_iter()
            .any(|dir| fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()));
        if is_occupied {
            return Err(BackupError::Occupied(store.to_owned()));
        }
        file::make_dir(&places.snapshots).map_err(at(&places.snapshots))?;
        let path = snapshot::path(&places.snapshots, self.snapshot.seq);
        let mut from = File::open(&self.snapshot.path).map_err(at(&self.snapshot.path))?;
        let mut draft = file::Draft::begin(&path).map_err(at(&path))?;
        io::copy(&mut from, &mut draft).map_err(at(&path))?;
        draft.publish().map_err(at(&path))?;
        Ok(())
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |error| BackupError::Io { path, error }
}

/// Length and checksum of the whole file.
fn check_whole(path: &Path, listed: &Listed) -> Result<(), BackupError> {
    let mut from = File::open(path).map_err(at(path))?;
    let (mut crc, mut bytes, mut piece) = (crc32fast::Hasher::new(), 0_u64, vec![0; 1 << 18]);
    loop {
        let count = from.read(&mut piece).map_err(at(path))?;
        if count == 0 {
            break;
        }
        crc.update(piece.get(..count).unwrap_or_default());
        bytes += count as u64;
    }
    let crc32 = format!("{:08x}", crc.finalize());
    let what = if bytes != listed.bytes {
        format!("it has {bytes} bytes, and the manifest says {}", listed.bytes)
    } else if crc32 != listed.crc32 {
        format!("its checksum is {crc32}, and the manifest says {}", listed.crc32)
    } else {
        return Ok(());
    };
    Err(BackupError::Damaged {
        path: path.to_owned(),
        what,
    })
}

/// Checks the snapshot and counts what it holds.
fn look_through(path: &Path) -> Result<(Snapshot, Holds), BackupError> {
    let snapshot = Snapshot::at(path).map_err(BackupError::Snapshot)?;
    let mut holds = Holds::default();
    snapshot
        .read(&mut |_, value| {
            let count = match Record::decode(value).map_err(|e| e.to_string())? {
                Record::Account(_) => &mut holds.accounts,
                Record::Pool(_) => &mut holds.pools,
                Record::Number(_) => &mut holds.numbers,
                Record::Binding(binding) if binding.ended.is_none() => &mut holds.bindings,
                Record::Binding(_) => &mut holds.bindings_ended,
                Record::Group(_)
                | Record::Member(_)
                | Record::GroupGone(_)
                | Record::MemberGone(..)
                | Record::Callee(_)
                | Record::Last(_)
                | Record::Forget(_)
                | Record::CalleeGone(_)
                | Record::LastGone(_) => &mut holds.others,
            };
            *count += 1;
            Ok(())
        })
        .map_err(BackupError::Snapshot)?;
    Ok((snapshot, holds))
}

#[cfg(test)]
mod tests;
