//! Opening a store: sled and the log's tail; where sled isn't what it should be, the snapshot and the log.

use std::fs::{self, File};
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;

use super::disk::{self, Disk, DiskError, Found, Put};
use super::file::{self, START_FULL};
use super::form::{self, NewerForm};
use super::log::{Log, LogError, Replay};
use super::snapshot::{self, Snapshot, SnapshotError};
use crate::base::time::Wall;
use crate::masking::binding::Home;
use crate::masking::change::{BadRecord, Change, Record};
use crate::masking::table::Table;

/// Records that go into sled at a time while it is rebuilt or catches up.
const BATCH: usize = 2_000;

/// Records that are handed over to the table at a time while it is filled, and how many such batches may wait.
const HANDED_OVER: usize = 1_000;
const AHEAD: usize = 8;

/// What opening found, in sentences for people, and in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenReport {
    /// What was loaded, from where, and everything out of the ordinary.
    pub sentences: Vec<String>,
    /// Records that were loaded from sled or the snapshot.
    pub records: u64,
    /// Changes that were replayed from the log.
    pub replayed: u64,
    /// What became of sled.
    pub disk: DiskFound,
}

/// What sled's folder was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DiskFound {
    /// As it was left.
    #[default]
    Sound,
    /// Nothing was there yet.
    New,
    /// Nothing but a snapshot was there: a backup that was put in place.
    Restored,
    /// It lost changes that it had held, and got them from the log. Somebody should look at the disk.
    Behind,
    /// Broken or behind: it was moved aside and rebuilt from snapshot and log. Somebody should hear of it.
    Rebuilt,
}

/// Why the store can't be opened: a sentence with what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the folder.
    #[error("{} is in use by another umbra: stop that one first, or set [store] path to another folder", .0.display())]
    InUse(PathBuf),
    /// The file system refuses.
    #[error("{}: {error}{}", path.display(), file::start_cure(error))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The snapshots.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// sled, even after it was moved aside.
    #[error("{0}; if the folder's owner is right, move the folder away: it is rebuilt from the log")]
    Disk(DiskError),
    /// sled has no room.
    #[error("{0}{START_FULL}")]
    Full(DiskError),
    /// sled's records are from a later version.
    #[error(transparent)]
    Newer(DiskError),
    /// The folder says so at once.
    #[error(transparent)]
    NewerForm(#[from] NewerForm),
    /// sled has to be rebuilt, and what is left does not suffice.
    #[error("sled could not be used ({disk}), and without it {log}")]
    Lost {
        /// What is wrong with sled.
        disk: String,
        /// What is wrong with the log.
        log: LogError,
    },
}

impl OpenError {
    fn of_disk(error: DiskError) -> Self {
        match error {
            DiskError::Full(_) => Self::Full(error),
            DiskError::Newer { .. } | DiskError::NewerRecord { .. } => Self::Newer(error),
            DiskError::Broken(_) | DiskError::Busy(_) | DiskError::TooLong(_) => Self::Disk(error),
        }
    }
}

/// Everything that a writer needs.
pub(super) struct Opened {
    pub(super) table: Arc<Table>,
    pub(super) log: Log,
    pub(super) disk: Disk,
    pub(super) snapshot_seq: u64,
    pub(super) lock: File,
    pub(super) report: OpenReport,
}

/// Where each part of a store lives.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) log: PathBuf,
    pub(super) sled: PathBuf,
    pub(super) snapshots: PathBuf,
    /// What sled is known to have held: a number in digits.
    pub(super) sled_held: PathBuf,
}

impl Places {
    pub(super) fn under(path: &Path) -> Self {
        Self {
            log: path.join("log"),
            sled: path.join("sled"),
            snapshots: path.join("snapshots"),
            sled_held: path.join("sled.held"),
        }
    }
}

/// Opens the store under `path`, or makes one.
pub(super) fn open(path: &Path, segment_bytes: u64, now: Wall) -> Result<Opened, OpenError> {
    let io = |error| OpenError::Io {
        path: path.to_owned(),
        error,
    };
    let places = Places::under(path);
    form::check(path)?;
    file::make_dir(path).map_err(io)?;
    let lock = file::lock(path)
        .map_err(io)?
        .ok_or_else(|| OpenError::InUse(path.to_owned()))?;
    form::keep(path).map_err(io)?;
    let had_log = if places.log.exists() { Had::Yes } else { Had::No };
    let (snapshot, said) = snapshot::newest(&places.snapshots)?;
    let mut report = OpenReport {
        sentences: said,
        ..OpenReport::default()
    };

    let loaded = match load_disk(&places.sled, snapshot.as_ref()) {
        Ok(loaded) => Ok(loaded),
        // Not broken, and not to be moved aside.
        Err(DiskError::Busy(path)) => return Err(OpenError::InUse(path)),
        Err(full @ DiskError::Full(_)) => return Err(OpenError::Full(full)),
        Err(newer @ (DiskError::Newer { .. } | DiskError::NewerRecord { .. })) => {
            return Err(OpenError::Newer(newer));
        }
        Err(broken @ (DiskError::Broken(_) | DiskError::TooLong(_))) => Err(broken.to_string()),
    };
    let (
        Loaded {
            table,
            mut disk,
            records,
        },
        broken,
    ) = match (loaded, &snapshot) {
        // Nothing of it was there, and the snapshot says what was: a restored backup.
        (Ok(loaded), Some(snapshot)) if loaded.disk.found() == Found::Nothing => {
            (from_snapshot(loaded.disk, Some(snapshot))?, None)
        }
        (Ok(loaded), _) => (loaded, None),
        (Err(why), snapshot) => (
            rebuild(&places.sled, snapshot.as_ref(), &why, now, &mut report)?,
            Some(why),
        ),
    };
    let held = disk.applied_seq();
    table.loaded(held);
    // sled cuts off the end of its own file from the first damaged byte on, and says nothing.
    let had = fs::read_to_string(&places.sled_held)
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    let is_behind = broken.is_none() && disk.found() == Found::Tree && had.is_some_and(|had| had > held);

    let mut behind = Behind {
        disk: &mut disk,
        puts: Vec::new(),
        seq: held,
    };
    let replayed = Log::open(&places.log, segment_bytes, held, &mut |seq, payload| {
        let change = Change::decode(payload).map_err(|e| e.to_string())?;
        table.apply(seq, &change);
        behind.push(seq, &change).map_err(|e| e.to_string())
    });
    let (log, replay) = replayed.map_err(|log| match &broken {
        Some(disk) => OpenError::Lost {
            disk: disk.clone(),
            log,
        },
        None => OpenError::Log(log),
    })?;
    behind.write().map_err(OpenError::of_disk)?;
    if replay.records > 0 || disk.durable_seq() != disk.applied_seq() {
        disk.flush().map_err(OpenError::of_disk)?;
    }
    report.records = records;
    report.replayed = replay.records;
    report.disk = match broken {
        Some(_) => DiskFound::Rebuilt,
        None => match disk.found() {
            Found::Tree if is_behind => {
                report.sentences.push(format!(
                    "{} held changes up to {} and has lost those after {held}: they were taken from the log, so \
                     nothing is lost; check the disk",
                    places.sled.display(),
                    had.unwrap_or(held)
                ));
                DiskFound::Behind
            }
            Found::Tree => DiskFound::Sound,
            Found::Nothing if replay.records == 0 && held == 0 => DiskFound::New,
            Found::Nothing if replay.records == 0 && had_log == Had::No => DiskFound::Restored,
            Found::Nothing => {
                let place = places.sled.display();
                report.sentences.push(format!(
                    "{place} was empty or gone, and was rebuilt from {}: nothing is lost",
                    source(snapshot.as_ref())
                ));
                DiskFound::Rebuilt
            }
        },
    };
    tell(&mut report, &places, held, &replay, &table);
    let snapshot_seq = snapshot.map_or(0, |s| s.seq);
    Ok(Opened {
        table,
        log,
        disk,
        snapshot_seq,
        lock,
        report,
    })
}

/// Whether something was there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Had {
    Yes,
    No,
}

/// A table and the sled that agrees with it.
struct Loaded {
    table: Arc<Table>,
    disk: Disk,
    records: u64,
}

fn load_disk(path: &Path, snapshot: Option<&Snapshot>) -> Result<Loaded, DiskError> {
    let disk = Disk::open(path)?;
    let snapshot_seq = snapshot.map_or(0, |s| s.seq);
    if disk.found() == Found::Tree && disk.applied_seq() < snapshot_seq {
        return Err(DiskError::Broken(format!(
            "{} holds the changes up to {}, and the snapshot those up to {snapshot_seq}",
            path.display(),
            disk.applied_seq()
        )));
    }
    let table = Table::with_room(disk.count());
    let newer = OnceLock::new();
    let filled = fill(&table, &newer, |take| disk.load(&mut |_, value| take(value)));
    let records = match newer.into_inner() {
        None => filled?,
        Some(why) => {
            let path = path.to_owned();
            return Err(DiskError::NewerRecord { path, why });
        }
    };
    Ok(Loaded {
        table: Arc::new(table),
        disk,
        records,
    })
}

/// Fills a table with the records that `read` hands out, by their values: they are read and decoded on a thread of
/// their own, while the table takes in those that came before. `newer` is what one says that a later version
/// of this program has written.
fn fill<E: Send>(
    table: &Table,
    newer: &OnceLock<BadRecord>,
    read: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<(), String>) -> Result<u64, E> + Send,
) -> Result<u64, E> {
    let (hand_over, batches) = mpsc::sync_channel(AHEAD);
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut batch = Vec::with_capacity(HANDED_OVER);
            let mut home: Option<Arc<Home>> = None;
            let count = read(&mut |value| {
                let mut record = Record::decode(value).map_err(|e| {
                    if let BadRecord::NewerSchema(_) = e {
                        let _ = newer.set(e);
                    }
                    e.to_string()
                })?;
                if let Record::Binding(binding) = &mut record {
                    // Most stand beside another of the same pool: one copy for both.
                    match &home {
                        Some(known) if *known == binding.home => binding.home = Arc::clone(known),
                        Some(_) | None => home = Some(Arc::clone(&binding.home)),
                    }
                }
                batch.push(record);
                if batch.len() < HANDED_OVER {
                    return Ok(());
                }
                let full = std::mem::replace(&mut batch, Vec::with_capacity(HANDED_OVER));
                hand_over
                    .send(full)
                    .map_err(|_| "nobody takes the records".to_owned())
            })?;
            // Who takes them listens until this end of the channel is gone.
            let _ = hand_over.send(batch);
            Ok(count)
        });
        for record in batches.into_iter().flatten() {
            table.load(&record);
        }
        reader.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Moves the broken folder aside and makes a new one from the snapshot, if there is one.
fn rebuild(
    path: &Path,
    snapshot: Option<&Snapshot>,
    why: &str,
    now: Wall,
    report: &mut OpenReport,
) -> Result<Loaded, OpenError> {
    let aside = disk::move_aside(path, now).map_err(|error| OpenError::Io {
        path: path.to_owned(),
        error,
    })?;
    let aside = aside.unwrap_or_else(|| path.to_owned());
    report.sentences.push(format!(
        "sled was broken ({why}); it was moved to {} and rebuilt from {}: nothing is lost; remove the old folder when you have looked at it",
        aside.display(),
        source(snapshot)
    ));
    from_snapshot(Disk::open(path).map_err(OpenError::of_disk)?, snapshot)
}

/// What a missing sled is rebuilt from.
fn source(snapshot: Option<&Snapshot>) -> String {
    snapshot.map_or("the log".to_string(), |s| {
        format!("{} and the log", s.path.display())
    })
}

/// Fills an empty sled, and a table, from the snapshot, if there is one.
fn from_snapshot(mut disk: Disk, snapshot: Option<&Snapshot>) -> Result<Loaded, OpenError> {
    let table = Table::with_room(snapshot.map_or(0, |snapshot| snapshot.records));
    let mut records = 0;
    if let Some(snapshot) = snapshot {
        // Number 0 until all are in: a crash before that finds a sled that is older than the snapshot.
        let mut behind = Behind {
            disk: &mut disk,
            puts: Vec::new(),
            seq: 0,
        };
        records = fill(&table, &OnceLock::new(), |take| {
            snapshot.read(&mut |key, value| {
                take(value)?;
                behind
                    .put((key.to_vec(), Some(value.to_vec())))
                    .map_err(|e| e.to_string())
            })
        })?;
        behind.seq = snapshot.seq;
        behind.write().map_err(OpenError::of_disk)?;
    }
    Ok(Loaded {
        table: Arc::new(table),
        disk,
        records,
    })
}

/// Changes on their way into sled, a batch at a time.
struct Behind<'a> {
    disk: &'a mut Disk,
    puts: Vec<Put>,
    seq: u64,
}

impl Behind<'_> {
    fn push(&mut self, seq: u64, change: &Change) -> Result<(), DiskError> {
        self.puts.extend(change.records.iter().map(put));
        self.seq = seq;
        if self.puts.len() >= BATCH {
            self.write()
        } else {
            Ok(())
        }
    }

    fn put(&mut self, put: Put) -> Result<(), DiskError> {
        self.puts.push(put);
        if self.puts.len() >= BATCH {
            self.write()
        } else {
            Ok(())
        }
    }

    fn write(&mut self) -> Result<(), DiskError> {
        if self.puts.is_empty() && self.seq == self.disk.applied_seq() {
            return Ok(());
        }
        self.disk.apply(self.seq, self.puts.drain(..))
    }
}

/// What a record does to sled.
pub(super) fn put(record: &Record) -> Put {
    let tail = (!record.is_removal()).then(|| {
        let mut tail = Vec::new();
        record.encode_value(&mut tail);
        tail
    });
    (record.key(), tail)
}

fn tell(report: &mut OpenReport, places: &Places, held: u64, replay: &Replay, table: &Table) {
    let counts = table.counts();
    if let Some(cut) = &replay.cut {
        report.sentences.push(format!(
            "{}: the last group of writes was not complete: {} bytes were cut off at byte {}. After a crash that is as it should be: nothing of it had been acknowledged. After a clean stop, check the disk",
            cut.file.display(),
            cut.bytes,
            cut.offset
        ));
    }
    if let Some(aside) = &replay.aside {
        report.sentences.push(format!(
            "{} is damaged at byte {}; sled holds all that it had, so nothing is lost; it was moved to {}: check the disk",
            aside.file.display(),
            aside.offset,
            aside.now.display()
        ));
    }
    if let Some(end) = replay.ends_early {
        report.sentences.push(format!(
            "the log in {} ends with change {end}, and sled holds those up to {held}: nothing is lost, but log files are gone; check the disk",
            places.log.display()
        ));
    }
    report.sentences.push(format!(
        "{} live bindings, {} ended ones and {} numbers: {} records up to change {held}, {} changes from the log",
        counts.bindings_live, counts.bindings_ended, counts.numbers, report.records, replay.records
    ));
}
