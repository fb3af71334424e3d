//! Tests of [`writer`](super).

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::super::disk::Disk;
use super::super::file::{self, fault};
use super::super::open::DiskFound;
use super::*;
use crate::base::id::Id;
use crate::masking::binding::Ended;
use crate::masking::change::{Record, schema};
use crate::masking::request::{BindRequest, Unbind, XChoice};
use crate::masking::support::{A, B, C, X, axb, x};

mod damage;

const NOW: Wall = Wall::from_millis(1_795_000_000_000);

/// What a test does to a sled folder, and its name.
type Spoil = (&'static str, fn(&Path));

/// A store whose threads the test plays.
struct Hand {
    parts: Parts,
    dir: PathBuf,
}

fn settings() -> Settings {
    Settings {
        segment_bytes: 1_000,
        snapshot_bytes: 4_000,
        reserve_bytes: 1 << 20,
        ..Settings::default()
    }
}

impl Hand {
    fn open(dir: &Path) -> Self {
        Self::try_open(dir).unwrap()
    }

    fn try_open(dir: &Path) -> Result<Self, OpenError> {
        let opened = open::open(dir, settings().segment_bytes, NOW)?;
        let parts = Parts::new(opened, dir, &settings(), Chance::from_number(5));
        Ok(Self {
            parts,
            dir: dir.to_owned(),
        })
    }

    /// Does these writes as one group.
    fn group(&mut self, writes: Vec<Write>) -> Vec<Result<Written, WriteError>> {
        self.group_at(NOW, writes)
    }

    fn group_at(&mut self, now: Wall, writes: Vec<Write>) -> Vec<Result<Written, WriteError>> {
        let (queue, jobs) = crossbeam_channel::unbounded();
        let (answers, answered) = crossbeam_channel::unbounded();
        for write in writes {
            self.parts.shared.waiting.fetch_add(1, Ordering::AcqRel);
            let answers = answers.clone();
            queue
                .send(Job::Write(
                    Box::new(write),
                    Box::new(move |a| answers.send(a).unwrap()),
                ))
                .unwrap();
        }
        while let Ok(job) = jobs.try_recv() {
            assert!(self.parts.writer.group(job, &jobs, now) == Go::On);
        }
        drop(answers);
        answered.iter().collect()
    }

    fn one(&mut self, write: Write) -> Result<Written, WriteError> {
        let mut answers = self.group(vec![write]);
        assert_eq!(answers.len(), 1, "every write is answered once");
        answers.remove(0)
    }

    fn add_number(&mut self) {
        let write = Write::add_number(x(X));
        self.one(write).unwrap();
    }

    fn bind(&mut self, a: &str, b: &str) -> Id {
        bound(self.one(Write::Bind(axb(X, a, b))))
    }

    fn unbind(&mut self, id: Id) {
        self.one(Write::Unbind(Unbind::Id(id))).unwrap();
    }

    /// Binds `count` pairs with numbers of their own.
    fn fill(&mut self, from: u64, count: u64) {
        for n in from..from + count {
            self.bind(&format!("135{n:08}"), &format!("136{n:08}"));
        }
    }

    fn said(&self) -> String {
        self.parts.report.sentences.join("\n")
    }

    fn disk_seq(&self) -> u64 {
        self.parts.progress.disk_seq.load(Ordering::Acquire)
    }

    /// Every record there is, as it would be written.
    fn all(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let encoded = |record: Record| {
            let mut value = Vec::new();
            record.encode_value(&mut value);
            (record.key(), value)
        };
        self.parts.table.records().map(encoded).collect()
    }

    /// The process is gone: nothing is flushed, nothing is told.
    fn die(self) -> PathBuf {
        self.dir
    }
}

fn bound(answer: Result<Written, WriteError>) -> Id {
    match answer {
        Ok(Written::Binding(binding)) => binding.id,
        other => panic!("{other:?}"),
    }
}

fn segments(dir: &Path) -> usize {
    file::numbered(&dir.join("log"), "wal-", ".log").unwrap().len()
}

/// A store with some history: live bindings, ended ones, two snapshots, and changes that sled doesn't have.
fn storied(dir: &Path) -> (BTreeMap<Vec<u8>, Vec<u8>>, Id, Id) {
    let mut hand = Hand::open(dir);
    hand.add_number();
    let gone = hand.bind(A, B);
    hand.unbind(gone);
    for from in [0, 60, 120] {
        hand.fill(from, 60);
        hand.parts.follower.follow();
    }
    hand.parts.writer.tick(NOW);
    let kept = hand.bind(A, C);
    let all = hand.all();
    hand.die();
    (all, gone, kept)
}

#[test]
fn what_was_acknowledged_is_there_after_a_crash_and_what_was_unbound_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (all, gone, kept) = storied(dir.path());
    let hand = Hand::open(dir.path());
    assert_eq!(hand.all(), all);
    assert_eq!(hand.parts.report.disk, DiskFound::Sound);
    assert!(
        hand.parts.report.replayed > 0 && hand.parts.report.records > 100,
        "{}",
        hand.said()
    );
    let ended = hand.parts.table.binding(gone).and_then(|b| b.ended);
    assert!(matches!(ended, Some((_, Ended::Unbound))));
    assert!(hand.parts.table.binding(kept).is_some_and(|b| b.ended.is_none()));
}

#[test]
fn one_group_is_one_frame_and_its_writes_see_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut hand = Hand::open(dir.path());
    hand.add_number();
    let before = hand.parts.writer.log.appended_bytes();
    let answers = hand.group(vec![
        Write::Bind(axb(X, A, B)),
        Write::Bind(axb(X, A, C)),
        Write::Unbind(Unbind::X(x(X))),
        Write::Bind(axb(X, A, C)),
    ]);
    let [
        Ok(Written::Binding(first)),
        Err(WriteError::Refused(taken)),
        Ok(Written::Unbound(ended)),
        Ok(Written::Binding(last)),
    ] = answers.as_slice()
    else {
        panic!("{answers:?}");
    };
    assert_eq!(
        (taken.binding(), ended.as_slice()),
        (Some(first.id), [first.id].as_slice())
    );
    assert!(hand.parts.writer.log.appended_bytes() > before);
    let frames: Vec<_> = hand
        .parts
        .follower
        .waiting_groups()
        .iter()
        .map(Vec::len)
        .collect();
    assert_eq!(
        frames,
        [1, 3],
        "the number, then the group: what was refused is not written"
    );
    let (all, last) = (hand.all(), last.id);
    hand.die();
    let hand = Hand::open(dir.path());
    assert_eq!(hand.all(), all);
    assert!(hand.parts.table.binding(last).is_some());
}

#[test]
fn a_group_that_the_disk_refuses_is_refused_as_a_whole_and_leaves_no_trace() {
    for call in [fault::Call::Write, fault::Call::Sync] {
        let dir = tempfile::tempdir().unwrap();
        let mut hand = Hand::open(dir.path());
        hand.add_number();
        let before = hand.all();
        fault::set(dir.path(), call);
        let binds = vec![Write::Bind(axb(X, A, B)), Write::Bind(axb(X, A, C))];
        for answer in hand.group(binds.clone()) {
            assert!(
                matches!(&answer, Err(WriteError::Disk(why)) if why.contains("the log")),
                "{answer:?}"
            );
        }
        assert_eq!(hand.all(), before);
        assert!(matches!(
            &*hand.parts.shared.state.lock().unwrap(),
            WriteState::Refused(_)
        ));
        fault::clear(dir.path());
        let answers = hand.group(binds);
        assert!(
            matches!(answers.as_slice(), [Ok(_), Err(WriteError::Refused(_))]),
            "{answers:?}"
        );
        assert_eq!(*hand.parts.shared.state.lock().unwrap(), WriteState::Taken);
        let all = hand.all();
        hand.die();
        assert_eq!(Hand::open(dir.path()).all(), all);
    }
}

#[test]
fn a_binding_whose_time_is_over_is_ended_durably_by_the_clock_alone_and_later_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let mut hand = Hand::open(dir.path());
    hand.add_number();
    let mut request = axb(X, A, B);
    request.expires = Some(NOW.plus(Duration::from_secs(90)));
    let id = bound(hand.one(Write::Bind(request)));
    hand.parts.writer.tick(NOW.plus(Duration::from_secs(89)));
    assert!(hand.parts.table.binding(id).is_some_and(|b| b.ended.is_none()));
    hand.parts.writer.tick(NOW.plus(Duration::from_secs(91)));
    assert!(matches!(
        hand.parts.table.binding(id).and_then(|b| b.ended),
        Some((_, Ended::Expired))
    ));
    hand.die();
    let mut hand = Hand::open(dir.path());
    assert!(matches!(
        hand.parts.table.binding(id).and_then(|b| b.ended),
        Some((_, Ended::Expired))
    ));
    hand.parts
        .writer
        .tick(NOW.plus(settings().keep_ended + Duration::from_secs(100)));
    assert!(hand.parts.table.binding(id).is_none());
    hand.parts.follower.follow();
    hand.die();
    assert!(Hand::open(dir.path()).parts.table.binding(id).is_none());
}

#[test]
fn a_torn_group_is_cut_and_told_and_the_store_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut hand = Hand::open(dir.path());
    hand.add_number();
    let all = hand.all();
    hand.bind(A, B);
    hand.die();
    let path = file::numbered(&dir.path().join("log"), "wal-", ".log")
        .unwrap()
        .pop()
        .unwrap()
        .1;
    let log = File::options().write(true).open(&path).unwrap();
    log.set_len(log.metadata().unwrap().len() - 5).unwrap();
    let mut hand = Hand::open(dir.path());
    assert_eq!(hand.all(), all);
    assert!(hand.said().contains("bytes were cut off"), "{}", hand.said());
    hand.bind(A, B);
}

#[test]
fn more_that_is_due_than_a_group_holds_is_done_at_once_between_the_writes_that_wait() {
    let dir = tempfile::tempdir().unwrap();
    let mut hand = Hand::open(dir.path());
    let count = 2 * GROUP_MAX as u64 + 10;
    let number = |n: u64| x(&format!("170{:08}", n / 100));
    let adds = (0..count).step_by(100).map(|n| Write::add_number(number(n)));
    hand.group(adds.collect())
        .into_iter()
        .for_each(|a| drop(a.unwrap()));
    let binds = (0..count).map(|n| {
        Write::Bind(BindRequest {
            x: XChoice::Given(number(n)),
            expires: Some(NOW.plus(Duration::from_secs(60))),
            ..axb(X, &format!("135{n:08}"), &format!("136{n:08}"))
        })
    });
    hand.group(binds.collect())
        .into_iter()
        .for_each(|a| drop(a.unwrap()));
    let after = NOW.plus(Duration::from_secs(61));
    // A disk that refuses is not asked again at once.
    fault::set(dir.path(), fault::Call::Write);
    assert_eq!(hand.parts.writer.tick(after), Ticked::All);
    fault::clear(dir.path());
    // Three groups of writes wait, of which none does anything, and then the stop.
    let (queue, jobs) = crossbeam_channel::unbounded();
    for _ in 0..=2 * GROUP_MAX {
        hand.parts.shared.waiting.fetch_add(1, Ordering::AcqRel);
        let nothing = Write::Unbind(Unbind::Id(Id::from_bits(1)));
        queue
            .send(Job::Write(Box::new(nothing), Box::new(|_| {})))
            .unwrap();
    }
    queue.send(Job::Stop).unwrap();
    let (table, follower) = (Arc::clone(&hand.parts.table), hand.parts.follower);
    hand.parts.writer.run(&jobs, &|| after);
    drop(follower);
    assert_eq!(table.due(after, 10_000).len(), 0);
}

/// A clock that stands still.
fn noon() -> Wall {
    Wall::from_millis(1_795_255_200_000)
}

#[test]
fn every_stamp_comes_from_the_clock_that_the_store_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), &Settings::default(), noon).unwrap();
    let (answers, answered) = crossbeam_channel::unbounded();
    let add = Write::add_number(x(X));
    let writes = [add, Write::Bind(axb(X, A, B))].map(|write| {
        let answers = answers.clone();
        let reply: Reply = Box::new(move |answer| answers.send(answer).unwrap());
        (write, reply)
    });
    store.submit_all(writes.into()).unwrap();
    assert!(answered.iter().take(2).all(|answer| answer.is_ok()));
    assert_eq!(store.table().newest_stamp(), noon());
}

#[test]
fn two_processes_can_not_have_one_folder_and_closing_gives_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let (store, report) = Store::open(dir.path(), &Settings::default(), noon).unwrap();
    assert_eq!(report.disk, DiskFound::New);
    let Err(error) = Store::open(dir.path(), &Settings::default(), noon) else {
        panic!("opened twice")
    };
    assert!(
        matches!(&error, OpenError::InUse(_)) && error.to_string().contains("[store] path"),
        "{error}"
    );
    store.clone().close();
    assert_eq!(store.health().writes, WriteState::Stopped);
    let (answers, answered) = crossbeam_channel::unbounded();
    let reply: Reply = Box::new(move |answer| answers.send(answer).unwrap());
    store.submit(Write::Bind(axb(X, A, B)), reply).unwrap();
    assert!(matches!(answered.recv().unwrap(), Err(WriteError::Disk(why)) if why.contains("stopping")));
    drop(store);
    Store::open(dir.path(), &Settings::default(), noon).unwrap();
}

#[test]
fn many_callers_are_all_answered_and_a_clean_close_leaves_nothing_to_replay() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), &Settings::default(), noon).unwrap();
    let (answers, answered) = crossbeam_channel::unbounded();
    let reply = || -> Reply {
        let answers = answers.clone();
        Box::new(move |answer| answers.send(answer).unwrap())
    };
    let add = Write::add_number(x(X));
    store.submit(add, reply()).unwrap();
    std::thread::scope(|scope| {
        for caller in 0..4 {
            let (store, reply) = (store.clone(), &reply);
            scope.spawn(move || {
                let binds = (0..40).map(|n| {
                    let n = caller * 100 + n;
                    let bind = axb(X, &format!("135{n:08}"), &format!("136{n:08}"));
                    (Write::Bind(bind), reply())
                });
                store.submit_all(binds.collect()).unwrap();
            });
        }
    });
    let all: Vec<_> = answered.iter().take(161).collect();
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(store.table().counts().bindings_live, 160);
    drop(store);
    let (store, report) = Store::open(dir.path(), &Settings::default(), noon).unwrap();
    assert_eq!((report.replayed, report.disk), (0, DiskFound::Sound));
    assert_eq!(store.table().counts().bindings_live, 160);
}

#[test]
fn more_writes_than_the_queue_takes_are_refused_all_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), &Settings::default(), noon).unwrap();
    let write = || -> (Write, Reply) {
        (
            Write::Bind(axb(X, A, B)),
            Box::new(|_| panic!("queued after all")),
        )
    };
    assert_eq!(
        store.submit_all((0..=BIND_QUEUE).map(|_| write()).collect()),
        Err(QueueFull)
    );
    assert_eq!(store.health().waiting, 0);
}

#[test]
fn all_last_callers_are_durable_when_the_store_is_closed_however_many_they_are() {
    use crate::masking::binding::Mode;
    use crate::masking::inventory::Callback;
    use crate::masking::keyed::Keyed;
    use crate::masking::request::PoolChange;
    use crate::masking::route::{Attempt, claim, route};
    use crate::masking::support::{axn, tel};
    const COUNT: usize = GROUP_MAX + 100;
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(dir.path(), &Settings::default(), noon).unwrap();
    let (answers, answered) = crossbeam_channel::unbounded();
    let mut writes = vec![
        Write::add_pool("axn", Mode::Axn),
        Write::SetPool {
            pool: "axn".into(),
            name: None,
            settings: Box::new(PoolChange {
                callback: Some(Callback::Last),
                ..PoolChange::default()
            }),
        },
    ];
    let numbers: Vec<String> = (0..COUNT).map(|n| format!("170{n:08}")).collect();
    for (n, number) in numbers.iter().enumerate() {
        writes.push(Write::add_number_to(Some("axn"), x(number)));
        writes.push(Write::Bind(axn(number, &format!("135{n:08}"))));
    }
    let count = writes.len();
    let replied = writes.into_iter().map(|write| {
        let answers = answers.clone();
        let reply: Reply = Box::new(move |answer| answers.send(answer).unwrap());
        (write, reply)
    });
    store.submit_all(replied.collect()).unwrap();
    assert!(answered.iter().take(count).all(|answer| answer.is_ok()));
    for number in &numbers {
        let attempt = Attempt {
            dialled: tel(number),
            caller: Some(tel(C)),
            diverting: None,
            arrived: noon(),
            digits: Keyed::Nothing,
        };
        claim(store.table(), route(store.table(), &attempt), None);
    }
    store.close();
    drop(store);
    let (store, _) = Store::open(dir.path(), &Settings::default(), noon).unwrap();
    let records = store.table().records();
    assert_eq!(
        records.filter(|record| matches!(record, Record::Last(_))).count(),
        COUNT
    );
}
