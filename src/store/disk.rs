//! sled, behind the log: the only file that names it.
//!
//! One tree. A record's key is its kind and id, its value is
//!
//! ```text
//! version u8 · seq u64 · crc u32 (of key, version, seq and tail) · tail, at most 4 kB       (little-endian)
//! ```
//!
//! One more key holds the last sequence number, the count of records and the sum of their checksums; it goes into
//! the same batch as the records. So a folder that lost a record, brought back an old one or mixed two states is
//! known when it is loaded, and is rebuilt from the snapshot and the log: sled is trusted with speed, not with truth.
//!
//! sled's own flush is no fdatasync: [`Disk::flush`] syncs its file after it.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::{self, EachRecord, le_u32, le_u64};
use crate::base::time::Wall;
use crate::masking::change::BadRecord;

const VERSION: u8 = 1;
/// No record's key: those begin with a letter.
const STATE_KEY: &[u8] = b"\0";
const VALUE_HEAD_BYTES: usize = 13;
const STATE_BYTES: usize = 29;
const LOCK_TRIES: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Bytes of one record's tail.
pub const TAIL_BYTES_MAX: usize = 4_096;

/// Why sled can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// It won't open, won't write, or holds what it should not: rebuild it from snapshot and log.
    #[error("{0}")]
    Broken(String),
    /// The disk has no room for it: nothing is wrong with what is there.
    #[error("{0}")]
    Full(String),
    /// A later version of the program wrote it.
    #[error("{} holds records of version {version}, this program reads up to {VERSION}: start the newer umbra that wrote it", path.display())]
    Newer {
        /// The folder.
        path: PathBuf,
        /// The records' version.
        version: u8,
    },
    /// A later version of the program wrote a record, as the record itself says.
    #[error("{}: {why}", path.display())]
    NewerRecord {
        /// The folder.
        path: PathBuf,
        /// What the record's reader said.
        why: BadRecord,
    },
    /// Somebody has sled's file locked: a tool, or an earlier opening whose threads have not ended.
    #[error("{} is locked by another program: end that one", .0.display())]
    Busy(PathBuf),
    /// A record is too long to be kept.
    #[error("a record has {0} bytes, more than {TAIL_BYTES_MAX}")]
    TooLong(usize),
}

/// What a change does to one record: its tail, or `None` where it is removed.
pub type Put = (Vec<u8>, Option<Vec<u8>>);

/// The open tree.
#[derive(Debug)]
pub struct Disk {
    db: sled::Db,
    path: PathBuf,
    /// sled's file, opened once more to sync it.
    file: File,
    state: State,
    durable: u64,
    found: Found,
    /// Why its file can't be trusted any more: a failed sync leaves pages that look written and aren't.
    lost: Option<String>,
}

/// What was in the folder when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing, not even the state that a fresh folder gets at once.
    Nothing,
    /// A tree of ours.
    Tree,
}

/// What the tree says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct State {
    seq: u64,
    count: u64,
    sum: u64,
}

impl Disk {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    /// [`DiskError::Broken`] for whatever sled says or panics with but [`DiskError::Full`], [`DiskError::Newer`],
    /// [`DiskError::Busy`].
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let said = |why: &dyn std::fmt::Display| format!("{} won't open: {why}", path.display());
        let broken = |why: &dyn std::fmt::Display| DiskError::Broken(said(why));
        wait_for_lock(&path.join("db"))?;
        let opened = calmly(|| {
            let config = sled::Config::new()
                .path(path)
                .cache_capacity(64 << 20)
                .mode(sled::Mode::HighThroughput)
                .flush_every_ms(None)
                .print_profile_on_drop(false);
            let db = config.open()?;
            let state = db.get(STATE_KEY)?;
            Ok((db, state))
        });
        let (db, state) = opened.map_err(|why| why.error(said(&why)))?;
        let file = File::open(path.join("db")).map_err(|e| broken(&e))?;
        let (state, found) = match state {
            None if db.is_empty() => (State::default(), Found::Nothing),
            None => return Err(broken(&"it holds records but not the number of the last change")),
            Some(bytes) => match decode_state(&bytes) {
                Ok(state) => (state, Found::Tree),
                Err(Unreadable::Newer(version)) => {
                    return Err(DiskError::Newer {
                        path: path.to_owned(),
                        version,
                    });
                }
                Err(Unreadable::Damaged) => return Err(broken(&"its state is damaged")),
            },
        };
        file::sync_dir(path).map_err(|e| broken(&e))?;
        let mut disk = Self {
            db,
            path: path.to_owned(),
            file,
            durable: state.seq,
            state,
            found,
            lost: None,
        };
        if found == Found::Nothing {
            disk.apply(0, [])?;
            disk.flush()?;
        }
        Ok(disk)
    }

    /// What was there when it was opened.
    pub fn found(&self) -> Found {
        self.found
    }

    /// How many records it says that it holds; [`Disk::load`] finds out.
    pub fn count(&self) -> u64 {
        self.state.count
    }

    /// Hands out every record (key, tail), sorted by key, and checks that all of them are there as they were
    /// written. Returns how many. What was handed out before an error must be thrown away.
    ///
    /// # Errors
    /// [`DiskError::Broken`]: damage, or `each` can't use a record; [`DiskError::Newer`].
    pub fn load(&self, each: EachRecord<'_>) -> Result<u64, DiskError> {
        let mut count = 0;
        for record in self.sorted() {
            let (key, tail) = record?;
            each(&key, &tail).map_err(|why| self.broken(&why))?;
            count += 1;
        }
        Ok(count)
    }

    /// Every record's key and tail, sorted by key, as of [`Disk::applied_seq`]; and at the end an error if some are
    /// missing or not as they were written: then all that came before must be thrown away.
    pub fn sorted(&self) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), DiskError>> + '_ {
        let mut found = State {
            seq: self.state.seq,
            ..State::default()
        };
        let mut records = self.records();
        let mut is_over = false;
        std::iter::from_fn(move || {
            if is_over {
                return None;
            }
            if let Some(record) = records.next() {
                return Some(record.map(|(key, tail, crc)| {
                    found.count += 1;
                    found.sum = found.sum.wrapping_add(u64::from(crc));
                    (key, tail)
                }));
            }
            is_over = true;
            (found != self.state).then(|| {
                Err(self.broken(&format_args!(
                    "it should hold {} records and holds {}, or some are not as they were written",
                    self.state.count, found.count
                )))
            })
        })
    }

    /// Applies what the changes up to `seq` did, as one batch. It is durable after [`Disk::flush`].
    ///
    /// # Errors
    /// [`DiskError::Broken`], [`DiskError::Full`], [`DiskError::TooLong`]; nothing is applied then.
    pub fn apply(&mut self, seq: u64, puts: impl IntoIterator<Item = Put>) -> Result<(), DiskError> {
        // The last word on each key counts.
        let puts: BTreeMap<Vec<u8>, Option<Vec<u8>>> = puts.into_iter().collect();
        let mut state = State { seq, ..self.state };
        let mut batch = sled::Batch::default();
        for (key, tail) in puts {
            if let Some(tail) = tail.as_ref().filter(|t| t.len() > TAIL_BYTES_MAX) {
                return Err(DiskError::TooLong(tail.len()));
            }
            let old = calmly(|| self.db.get(&key)).map_err(|why| self.failed(&why))?;
            if let Some(old) = old {
                state.count = state.count.saturating_sub(1);
                state.sum = state
                    .sum
                    .wrapping_sub(le_u32(old.get(9..).unwrap_or_default()).unwrap_or(0).into());
            }
            match tail {
                None => batch.remove(key),
                Some(tail) => {
                    let value = encode_value(&key, seq, &tail);
                    state.count += 1;
                    state.sum = state.sum.wrapping_add(le_u32(&value[9..]).unwrap_or(0).into());
                    batch.insert(key, value);
                }
            }
        }
        batch.insert(STATE_KEY, encode_state(state).to_vec());
        calmly(|| self.db.apply_batch(batch)).map_err(|why| self.failed(&why))?;
        self.state = state;
        Ok(())
    }

    /// Puts everything applied so far on the medium, and returns the last sequence number it holds durably.
    ///
    /// # Errors
    /// [`DiskError::Broken`], [`DiskError::Full`]; after a failed sync every later flush fails too, until the folder is
    /// opened again.
    pub fn flush(&mut self) -> Result<u64, DiskError> {
        calmly(|| self.db.flush()).map_err(|why| self.failed(&why))?;
        let path = self.path.join("db");
        if let Err(error) = file::sync_data(&self.file, &path) {
            self.lost.get_or_insert_with(|| error.to_string());
        }
        if let Some(why) = &self.lost {
            return Err(self.broken(&format_args!("it could not be synced: {why}")));
        }
        self.durable = self.state.seq;
        Ok(self.durable)
    }

    /// The last change that was applied.
    pub fn applied_seq(&self) -> u64 {
        self.state.seq
    }

    /// For tests: sled loses a record behind our back.
    #[cfg(test)]
    pub(super) fn lose(&self, key: &[u8]) {
        self.db.remove(key).unwrap();
    }

    /// The last change that is on the medium.
    pub fn durable_seq(&self) -> u64 {
        self.durable
    }

    fn records(&self) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>, u32), DiskError>> + '_ {
        let mut rows = self
            .db
            .range::<&[u8], _>((std::ops::Bound::Excluded(STATE_KEY), std::ops::Bound::Unbounded));
        std::iter::from_fn(move || {
            let row = match calmly(|| rows.next().transpose()) {
                Ok(row) => row?,
                Err(why) => return Some(Err(self.failed(&why))),
            };
            Some(match decode_value(&row.0, &row.1, self.state.seq) {
                Ok((tail, crc)) => Ok((row.0.to_vec(), tail.to_vec(), crc)),
                Err(Unreadable::Newer(version)) => Err(DiskError::Newer {
                    path: self.path.clone(),
                    version,
                }),
                Err(Unreadable::Damaged) => Err(self.broken(&"a record is damaged")),
            })
        })
    }

    fn failed(&self, why: &Fault) -> DiskError {
        why.error(format!("{}: {why}", self.path.display()))
    }

    fn broken(&self, why: &dyn std::fmt::Display) -> DiskError {
        DiskError::Broken(format!("{}: {why}", self.path.display()))
    }
}

/// Moves a broken folder aside, to `<name>.broken-<time>`, and returns where it went. An absent one is nowhere.
///
/// # Errors
/// Whatever the system says.
pub fn move_aside(path: &Path, wall: Wall) -> io::Result<Option<PathBuf>> {
    if !path.exists() {
        return Ok(None);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = (0..)
        .map(|n| {
            let again = if n == 0 { String::new() } else { format!("-{n}") };
            path.with_file_name(format!("{name}.broken-{}{again}", wall.as_millis() / 1_000))
        })
        .find(|aside| !aside.exists())
        .unwrap_or_else(|| path.with_extension("broken"));
    std::fs::rename(path, &aside)?;
    file::sync_dir(path.parent().unwrap_or(Path::new(".")))?;
    Ok(Some(aside))
}

/// Waits, five seconds at most, until nobody has sled's file locked. sled gives its lock back some time after the
/// handle is dropped, when its last thread ends; a folder that is only not free yet must not be taken for broken.
fn wait_for_lock(db: &Path) -> Result<(), DiskError> {
    let Ok(file) = File::open(db) else {
        // Nothing there yet, or nothing that can be opened: sled will say which.
        return Ok(());
    };
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(()),
        }
    }
    Err(DiskError::Busy(db.to_owned()))
}

/// What sled says, or panics with: broken files make it do either.
fn calmly<T>(act: impl FnOnce() -> sled::Result<T>) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) if file::is_full(error.kind()) => Err(Fault::Full(error.to_string())),
        Ok(Err(error)) => Err(Fault::Other(error.to_string())),
        Err(_) => Err(Fault::Other("sled panicked: its files are damaged".into())),
    }
}

/// What sled said, as a sentence.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Full(String),
    #[error("{0}")]
    Other(String),
}

impl Fault {
    fn error(&self, sentence: String) -> DiskError {
        match self {
            Self::Full(_) => DiskError::Full(sentence),
            Self::Other(_) => DiskError::Broken(sentence),
        }
    }
}

enum Unreadable {
    Newer(u8),
    Damaged,
}

fn value_crc(key: &[u8], head: &[u8], tail: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(head);
    hasher.update(tail);
    hasher.finalize()
}

fn encode_value(key: &[u8], seq: u64, tail: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(VALUE_HEAD_BYTES + tail.len());
    value.push(VERSION);
    value.extend_from_slice(&seq.to_le_bytes());
    let crc = value_crc(key, &value, tail);
    value.extend_from_slice(&crc.to_le_bytes());
    value.extend_from_slice(tail);
    value
}

/// A value's tail and checksum.
fn decode_value<'a>(key: &[u8], value: &'a [u8], seq_max: u64) -> Result<(&'a [u8], u32), Unreadable> {
    let (head, tail) = value
        .split_first_chunk::<VALUE_HEAD_BYTES>()
        .ok_or(Unreadable::Damaged)?;
    let crc = value_crc(key, &head[..9], tail);
    if le_u32(&head[9..]) != Some(crc) {
        return Err(Unreadable::Damaged);
    }
    if head[0] > VERSION {
        return Err(Unreadable::Newer(head[0]));
    }
    if le_u64(&head[1..]).is_none_or(|seq| seq > seq_max) {
        return Err(Unreadable::Damaged);
    }
    Ok((tail, crc))
}

fn encode_state(state: State) -> [u8; STATE_BYTES] {
    let mut bytes = [0; STATE_BYTES];
    bytes[0] = VERSION;
    bytes[1..9].copy_from_slice(&state.seq.to_le_bytes());
    bytes[9..17].copy_from_slice(&state.count.to_le_bytes());
    bytes[17..25].copy_from_slice(&state.sum.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..25]);
    bytes[25..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode_state(bytes: &[u8]) -> Result<State, Unreadable> {
    let bytes = bytes.first_chunk::<STATE_BYTES>().ok_or(Unreadable::Damaged)?;
    if le_u32(&bytes[25..]) != Some(crc32fast::hash(&bytes[..25])) {
        return Err(Unreadable::Damaged);
    }
    if bytes[0] > VERSION {
        return Err(Unreadable::Newer(bytes[0]));
    }
    let word = |at: usize| le_u64(bytes.get(at..).unwrap_or_default()).ok_or(Unreadable::Damaged);
    Ok(State {
        seq: word(1)?,
        count: word(9)?,
        sum: word(17)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::file::fault;
    use super::super::snapshot::{self, SnapshotError};
    use super::*;

    fn key(n: u64) -> Vec<u8> {
        [b"b".as_slice(), &n.to_be_bytes()].concat()
    }

    fn put(n: u64, tail: &str) -> Put {
        (key(n), Some(tail.as_bytes().to_vec()))
    }

    fn load(disk: &Disk) -> Result<Vec<(Vec<u8>, String)>, DiskError> {
        let mut out = Vec::new();
        disk.load(&mut |key, tail| {
            out.push((key.to_vec(), String::from_utf8(tail.to_vec()).unwrap()));
            Ok(())
        })?;
        Ok(out)
    }

    #[test]
    fn what_was_applied_and_flushed_is_there_after_reopening_with_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sled");
        let mut disk = Disk::open(&path).unwrap();
        assert_eq!((disk.applied_seq(), load(&disk).unwrap()), (0, vec![]));
        disk.apply(3, [put(2, "two"), put(1, "one"), put(2, "two again")])
            .unwrap();
        assert_eq!((disk.applied_seq(), disk.durable_seq()), (3, 0));
        disk.apply(4, [put(3, "three"), (key(1), None), (key(9), None)])
            .unwrap();
        assert_eq!(disk.flush().unwrap(), 4);
        drop(disk);
        let disk = Disk::open(&path).unwrap();
        assert_eq!((disk.applied_seq(), disk.durable_seq()), (4, 4));
        let expected = vec![(key(2), "two again".to_string()), (key(3), "three".to_string())];
        assert_eq!(load(&disk).unwrap(), expected);
        assert_eq!(
            disk.sorted().map(|r| r.unwrap().0).collect::<Vec<_>>(),
            [key(2), key(3)]
        );
    }

    #[test]
    fn a_lost_record_an_old_one_and_a_stranger_are_known_when_loading() {
        let tamper: [fn(&sled::Db); 5] = [
            |db| drop(db.remove(key(1)).unwrap()),
            |db| drop(db.insert(key(1), encode_value(&key(1), 1, b"older")).unwrap()),
            |db| drop(db.insert(key(7), encode_value(&key(7), 2, b"stranger")).unwrap()),
            |db| drop(db.insert(key(1), encode_value(&key(1), 99, b"one")).unwrap()),
            |db| drop(db.insert(key(1), b"short").unwrap()),
        ];
        for (i, tamper) in tamper.into_iter().enumerate() {
            let dir = tempfile::tempdir().unwrap();
            let mut disk = Disk::open(&dir.path().join("sled")).unwrap();
            disk.apply(2, [put(1, "one"), put(2, "two")]).unwrap();
            tamper(&disk.db);
            let error = load(&disk).unwrap_err();
            assert!(matches!(error, DiskError::Broken(_)), "{i}: {error}");
            // Nor does a snapshot get it.
            let snapshots = dir.path().join("snapshots");
            let mut records = disk.sorted().map(|r| r.map_err(|e| e.to_string()));
            let written = snapshot::write(&snapshots, 2, &mut records);
            assert!(
                matches!(written, Err(SnapshotError::Records(_))),
                "{i}: {written:?}"
            );
            assert_eq!(snapshot::newest(&snapshots).unwrap().0, None, "{i}");
        }
    }

    #[test]
    fn a_folder_of_garbage_is_broken_or_empty_but_never_a_panic_and_can_be_moved_aside() {
        let garbage: [(&str, &[u8]); 4] = [
            ("conf", b"nonsense"),
            ("db", &[0xA5; 3_000_000]),
            ("db", &[0; 600_000]),
            ("db", b"x"),
        ];
        for (file, bytes) in garbage {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("sled");
            let mut disk = Disk::open(&path).unwrap();
            disk.apply(1, (0..200).map(|n| put(n, "a binding"))).unwrap();
            disk.flush().unwrap();
            drop(disk);
            std::fs::write(path.join(file), bytes).unwrap();
            match Disk::open(&path) {
                Ok(disk) if file == "conf" => assert_eq!(load(&disk).unwrap().len(), 200),
                Ok(disk) => assert!(load(&disk).is_err() || disk.applied_seq() == 0),
                Err(error) => assert!(matches!(error, DiskError::Broken(_)), "{error}"),
            }
            let wall = Wall::from_millis(1_795_000_000_000);
            let aside = move_aside(&path, wall).unwrap().unwrap();
            assert_eq!(aside, dir.path().join("sled.broken-1795000000"));
            assert_eq!(Disk::open(&path).unwrap().applied_seq(), 0);
            let again = move_aside(&path, wall).unwrap().unwrap();
            assert_eq!(again, dir.path().join("sled.broken-1795000000-1"));
            assert_eq!(move_aside(&path, wall).unwrap(), None);
        }
    }

    #[test]
    fn a_record_that_is_too_long_is_refused_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = Disk::open(&dir.path().join("sled")).unwrap();
        let long = "x".repeat(TAIL_BYTES_MAX + 1);
        let refused = disk.apply(5, [put(1, "one"), put(2, &long)]);
        assert!(matches!(refused, Err(DiskError::TooLong(4_097))));
        assert_eq!((disk.applied_seq(), load(&disk).unwrap()), (0, vec![]));
    }

    #[test]
    fn a_newer_record_is_refused_with_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sled");
        let disk = Disk::open(&path).unwrap();
        let mut state = encode_state(State::default());
        state[0] = 2;
        let crc = crc32fast::hash(&state[..25]);
        state[25..].copy_from_slice(&crc.to_le_bytes());
        disk.db.insert(STATE_KEY, state.to_vec()).unwrap();
        disk.db.flush().unwrap();
        drop(disk);
        let error = Disk::open(&path).unwrap_err();
        assert!(matches!(error, DiskError::Newer { version: 2, .. }), "{error}");
    }

    #[test]
    fn what_could_not_be_synced_never_counts_as_held() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = Disk::open(&dir.path().join("sled")).unwrap();
        disk.apply(2, [put(1, "one")]).unwrap();
        fault::set(dir.path(), fault::Call::Sync);
        assert!(disk.flush().is_err());
        fault::clear(dir.path());
        assert!(
            disk.flush().is_err(),
            "the page cache can't be trusted after that"
        );
        assert_eq!(disk.durable_seq(), 0);
    }
}
