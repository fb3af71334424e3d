//! Snapshots: every record in the order of its key, in one file that is whole or not there.
//!
//! ```text
//! header   "UMBRASNP" · version u32 · crc u32 · seq u64                            (little-endian)
//! record   bytes of key u32 · bytes of value u32 · crc u32 · key · value
//! trailer  0xFFFF_FFFF · crc u32 · count u64 · seq u64
//! ```
//!
//! The last two are kept; a damaged one is put aside (`.broken`), and the one before it is taken. So the log is
//! needed from the *older* of the two on ([`log_needed_after`]).

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::file::{self, Draft, EachRecord, le_u32, le_u64};

const MAGIC: &[u8; 8] = b"UMBRASNP";
const VERSION: u32 = 1;
const PREFIX: &str = "snapshot-";
const SUFFIX: &str = ".snap";
const KEPT: usize = 2;
const TRAILER: u32 = u32::MAX;
/// No key or value is longer; a length beyond it is damage.
const PART_BYTES_MAX: u32 = 1 << 20;

/// A snapshot that was found whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The last change that it holds.
    pub seq: u64,
    /// How many records it holds.
    pub records: u64,
    /// Where it is.
    pub path: PathBuf,
}

/// Why a snapshot can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file system refuses.
    #[error("{}: {error}: check the folder's owner, permissions and free space", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Bytes that don't agree with their checksum, or are missing.
    #[error("{} is damaged at byte {offset}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A later version of the program wrote it.
    #[error("{} has version {version}, this program reads up to {VERSION}: start the newer umbra that wrote it", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The records could not be had, or could not be used.
    #[error("{0}")]
    Records(String),
}

/// Writes the records, sorted by key, as the snapshot that holds everything up to `seq`, and removes all but the
/// last two. Either the whole file is on the medium when this returns, or the ones before are as they were.
///
/// # Errors
/// The file system's, the source's, or a source that isn't sorted.
pub fn write(
    dir: &Path,
    seq: u64,
    records: &mut dyn Iterator<Item = Result<(Vec<u8>, Vec<u8>), String>>,
) -> Result<Snapshot, SnapshotError> {
    let path = path(dir, seq);
    let io = |error| SnapshotError::Io {
        path: path.clone(),
        error,
    };
    file::make_dir(dir).map_err(io)?;
    let mut out = BufWriter::with_capacity(1 << 18, Draft::begin(&path).map_err(io)?);
    out.write_all(&header(seq)).map_err(io)?;
    let mut count = 0_u64;
    let mut last: Vec<u8> = Vec::new();
    for record in records {
        let (key, value) = record.map_err(SnapshotError::Records)?;
        if count > 0 && key <= last {
            return Err(SnapshotError::Records(
                "the records are not sorted: a fault of this program".into(),
            ));
        }
        let lengths = lengths(&key, &value).ok_or_else(|| {
            SnapshotError::Records("a record is over 1 MiB: a fault of this program".into())
        })?;
        out.write_all(&lengths).map_err(io)?;
        out.write_all(&record_crc(&lengths, &key, &value).to_le_bytes())
            .map_err(io)?;
        out.write_all(&key)
            .and_then(|()| out.write_all(&value))
            .map_err(io)?;
        last = key;
        count += 1;
    }
    out.write_all(&trailer(count, seq)).map_err(io)?;
    let draft = out.into_inner().map_err(|e| io(e.into_error()))?;
    draft.publish().map_err(io)?;
    let all = list(dir).map_err(io)?;
    for (_, old) in all.iter().take(all.len().saturating_sub(KEPT)) {
        fs::remove_file(old).map_err(io)?;
    }
    Ok(Snapshot {
        seq,
        records: count,
        path,
    })
}

/// The newest snapshot that is whole (every byte of it was checked), and a sentence for each damaged one that was
/// put aside.
///
/// # Errors
/// A newer version, or the file system's.
pub fn newest(dir: &Path) -> Result<(Option<Snapshot>, Vec<String>), SnapshotError> {
    let mut said = Vec::new();
    let io = |error| SnapshotError::Io {
        path: dir.to_owned(),
        error,
    };
    if !dir.is_dir() {
        return Ok((None, said));
    }
    file::remove_drafts(dir, PREFIX).map_err(io)?;
    for (seq, path) in list(dir).map_err(io)?.into_iter().rev() {
        match read_all(&path, seq, &mut |_, _| Ok(())) {
            Ok(records) => return Ok((Some(Snapshot { seq, records, path }), said)),
            Err(damaged @ SnapshotError::Damaged { .. }) => {
                let aside = path.with_extension("snap.broken");
                fs::rename(&path, &aside).map_err(io)?;
                said.push(format!(
                    "{damaged}; it was moved to {}, and the one before it is used",
                    aside.display()
                ));
            }
            Err(
                other @ (SnapshotError::Io { .. } | SnapshotError::Newer { .. } | SnapshotError::Records(_)),
            ) => {
                return Err(other);
            }
        }
    }
    Ok((None, said))
}

/// Where the snapshot is that holds everything up to `seq`.
pub(super) fn path(dir: &Path, seq: u64) -> PathBuf {
    file::numbered_path(dir, PREFIX, seq, SUFFIX)
}

/// The log is needed from the record after this one: the older snapshot's number, 0 while there are fewer than two.
///
/// # Errors
/// Whatever the system says.
pub fn log_needed_after(dir: &Path) -> io::Result<u64> {
    let all = list(dir)?;
    Ok(if all.len() < KEPT {
        0
    } else {
        all[all.len() - KEPT].0
    })
}

impl Snapshot {
    /// The snapshot in a file of any name, whole: every byte of it was checked.
    ///
    /// # Errors
    /// Damage, a newer version, or the file system's.
    pub fn at(path: &Path) -> Result<Self, SnapshotError> {
        let mut head = [0; 24];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
        match read {
            // Its own words on a file that is too short are below.
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                let path = path.to_owned();
                return Err(SnapshotError::Io { path, error });
            }
            Ok(()) | Err(_) => {}
        }
        let seq = le_u64(&head[16..]).unwrap_or(0);
        let records = read_all(path, seq, &mut |_, _| Ok(()))?;
        Ok(Self {
            seq,
            records,
            path: path.to_owned(),
        })
    }

    /// Hands out every record, in the order of the keys.
    ///
    /// # Errors
    /// Damage since it was found whole, an error of `each` or of the file system.
    pub fn read(&self, each: EachRecord<'_>) -> Result<u64, SnapshotError> {
        read_all(&self.path, self.seq, each)
    }
}

fn list(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    file::numbered(dir, PREFIX, SUFFIX)
}

fn header(seq: u64) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..].copy_from_slice(&seq.to_le_bytes());
    let crc = record_crc(&bytes[..12], &bytes[16..], &[]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn trailer(count: u64, seq: u64) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..4].copy_from_slice(&TRAILER.to_le_bytes());
    bytes[8..16].copy_from_slice(&count.to_le_bytes());
    bytes[16..].copy_from_slice(&seq.to_le_bytes());
    let crc = record_crc(&bytes[..4], &bytes[8..], &[]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn lengths(key: &[u8], value: &[u8]) -> Option<[u8; 8]> {
    let part = |bytes: &[u8]| u32::try_from(bytes.len()).ok().filter(|n| *n <= PART_BYTES_MAX);
    let mut lengths = [0; 8];
    lengths[..4].copy_from_slice(&part(key)?.to_le_bytes());
    lengths[4..].copy_from_slice(&part(value)?.to_le_bytes());
    Some(lengths)
}

fn record_crc(lengths: &[u8], key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(lengths);
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

/// A file that is read once, from its start, and knows where it is.
struct Reader<'a> {
    path: &'a Path,
    file: BufReader<File>,
    at: u64,
}

impl Reader<'_> {
    fn damaged(&self, what: &'static str) -> SnapshotError {
        SnapshotError::Damaged {
            path: self.path.to_owned(),
            offset: self.at,
            what,
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), SnapshotError> {
        match self.file.read_exact(bytes) {
            Ok(()) => {
                self.at += bytes.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.damaged("it ends too early"))
            }
            Err(error) => Err(SnapshotError::Io {
                path: self.path.to_owned(),
                error,
            }),
        }
    }
}

fn read_all(path: &Path, seq: u64, each: EachRecord<'_>) -> Result<u64, SnapshotError> {
    let file = File::open(path).map_err(|error| SnapshotError::Io {
        path: path.to_owned(),
        error,
    })?;
    let mut reader = Reader {
        path,
        file: BufReader::with_capacity(1 << 18, file),
        at: 0,
    };
    let mut head = [0; 24];
    reader.fill(&mut head)?;
    let sound =
        head.starts_with(MAGIC) && le_u32(&head[12..]) == Some(record_crc(&head[..12], &head[16..], &[]));
    match le_u32(&head[8..]) {
        Some(version) if sound && version > VERSION => {
            return Err(SnapshotError::Newer {
                path: path.to_owned(),
                version,
            });
        }
        _ if sound && le_u64(&head[16..]) == Some(seq) => {}
        _ => return Err(reader.damaged("its header is wrong")),
    }
    let (mut count, mut last) = (0_u64, Vec::new());
    let (mut key, mut value) = (Vec::new(), Vec::new());
    loop {
        let mut lengths = [0; 8];
        reader.fill(&mut lengths)?;
        let (key_bytes, value_bytes) = (le_u32(&lengths).unwrap_or(0), le_u32(&lengths[4..]).unwrap_or(0));
        if key_bytes == TRAILER {
            let mut rest = [0; 16];
            reader.fill(&mut rest)?;
            let whole = [lengths.as_slice(), &rest].concat();
            if whole != trailer(count, seq) {
                return Err(reader.damaged("its trailer doesn't fit: records are missing"));
            }
            let more = reader.file.read(&mut [0]);
            return match more {
                Ok(0) => Ok(count),
                Ok(_) => Err(reader.damaged("bytes follow the trailer")),
                Err(error) => Err(SnapshotError::Io {
                    path: path.to_owned(),
                    error,
                }),
            };
        }
        if key_bytes > PART_BYTES_MAX || value_bytes > PART_BYTES_MAX {
            return Err(reader.damaged("a record's length is impossible"));
        }
        let mut crc = [0; 4];
        reader.fill(&mut crc)?;
        key.resize(key_bytes as usize, 0);
        value.resize(value_bytes as usize, 0);
        reader.fill(&mut key)?;
        reader.fill(&mut value)?;
        if le_u32(&crc) != Some(record_crc(&lengths, &key, &value)) {
            return Err(reader.damaged("a record's checksum is wrong"));
        }
        if count > 0 && key <= last {
            return Err(reader.damaged("the records are not sorted"));
        }
        each(&key, &value).map_err(|why| SnapshotError::Records(format!("{}: {why}", path.display())))?;
        count += 1;
        std::mem::swap(&mut last, &mut key);
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::fault;
    use super::*;

    type Records = Vec<(Vec<u8>, Vec<u8>)>;

    fn records(n: u64) -> Records {
        (0..n)
            .map(|i| (format!("key {i:04}").into_bytes(), vec![i as u8; i as usize % 40]))
            .collect()
    }

    fn save(dir: &Path, seq: u64, records: Records) -> Result<Snapshot, SnapshotError> {
        write(dir, seq, &mut records.into_iter().map(Ok))
    }

    fn load(snapshot: &Snapshot) -> Records {
        let mut out = Vec::new();
        let mut each = |key: &[u8], value: &[u8]| {
            out.push((key.to_vec(), value.to_vec()));
            Ok(())
        };
        assert_eq!(snapshot.read(&mut each).unwrap(), snapshot.records);
        out
    }

    #[test]
    fn a_snapshot_reads_back_and_the_last_two_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(newest(dir.path()).unwrap(), (None, vec![]));
        for seq in [5, 9, 12, 40] {
            assert_eq!(save(dir.path(), seq, records(seq)).unwrap().records, seq);
        }
        let (found, said) = newest(dir.path()).unwrap();
        let found = found.unwrap();
        assert_eq!((found.seq, said.len()), (40, 0));
        assert_eq!(load(&found), records(40));
        assert_eq!(
            list(dir.path()).unwrap().iter().map(|s| s.0).collect::<Vec<_>>(),
            [12, 40]
        );
        assert_eq!(log_needed_after(dir.path()).unwrap(), 12);
    }

    #[test]
    fn with_one_snapshot_the_whole_log_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), 5, records(3)).unwrap();
        assert_eq!(log_needed_after(dir.path()).unwrap(), 0);
    }

    #[test]
    fn any_flipped_byte_and_any_cut_is_found_and_the_snapshot_before_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), 4, records(4)).unwrap();
        let newer = save(dir.path(), 9, records(9)).unwrap();
        let whole = fs::read(&newer.path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x40;
            for bytes in [&flipped[..], &whole[..at]] {
                fs::write(&newer.path, bytes).unwrap();
                let (found, said) = newest(dir.path()).unwrap();
                assert_eq!(found.map(|s| (s.seq, s.records)), Some((4, 4)), "byte {at}");
                assert!(
                    said[0].contains("damaged at byte") && said[0].contains(".broken"),
                    "{said:?}"
                );
            }
        }
        let mut longer = whole;
        longer.push(0);
        fs::write(&newer.path, longer).unwrap();
        assert_eq!(newest(dir.path()).unwrap().0.map(|s| s.seq), Some(4));
    }

    #[test]
    fn a_snapshot_that_could_not_be_written_leaves_the_others() {
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), 4, records(4)).unwrap();
        for call in [fault::Call::Write, fault::Call::Sync] {
            fault::set(dir.path(), call);
            assert!(matches!(
                save(dir.path(), 9, records(9)),
                Err(SnapshotError::Io { .. })
            ));
            fault::clear(dir.path());
        }
        let broken = write(
            dir.path(),
            9,
            &mut [Err("the source failed".to_string())].into_iter(),
        );
        assert!(matches!(broken, Err(SnapshotError::Records(_))));
        let mut unsorted = records(5);
        unsorted.swap(1, 2);
        assert!(save(dir.path(), 9, unsorted).is_err());
        assert_eq!(newest(dir.path()).unwrap().0.map(|s| s.seq), Some(4));
    }

    #[test]
    fn a_newer_version_is_refused_and_not_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let snapshot = save(dir.path(), 4, records(1)).unwrap();
        let mut bytes = fs::read(&snapshot.path).unwrap();
        bytes[8] = 7;
        let crc = record_crc(&bytes[..12], &bytes[16..24], &[]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        fs::write(&snapshot.path, bytes).unwrap();
        let error = newest(dir.path()).unwrap_err().to_string();
        assert!(error.contains("version 7") && snapshot.path.exists(), "{error}");
    }
}
