//! What is lost, torn, or of another program in the folder of the store, and what comes back.

use super::*;

#[test]
fn records_of_a_newer_program_are_refused_and_their_folder_is_not_taken_for_broken() {
    let dir = tempfile::tempdir().unwrap();
    let (all, ..) = storied(dir.path());
    let sled = dir.path().join("sled");
    let change = |schema| {
        let mut disk = Disk::open(&sled).unwrap();
        let (key, mut value) = disk.sorted().next().unwrap().unwrap();
        value[0] = schema;
        disk.apply(disk.applied_seq(), [(key, Some(value))]).unwrap();
        disk.flush().unwrap();
    };
    change(schema() + 1);
    for _ in 0..2 {
        let refused = Hand::try_open(dir.path()).map(drop).unwrap_err().to_string();
        let words = format!(
            "sled: the record was written by a newer server (schema {}; this one reads up to {}): start the newer",
            schema() + 1,
            schema()
        );
        assert!(refused.contains(&words), "{refused}");
    }
    change(schema());
    assert_eq!(Hand::open(dir.path()).all(), all);
    // A newer program says so before anything is opened.
    let form = dir.path().join("form");
    assert_eq!(
        fs::read_to_string(&form).unwrap(),
        format!("{} {}\n", schema(), env!("CARGO_PKG_VERSION"))
    );
    let said = format!("{} 0.9.0\n", schema() + 1);
    fs::write(&form, &said).unwrap();
    let refused = Hand::try_open(dir.path()).map(drop).unwrap_err().to_string();
    let newer = format!(
        "form says that umbra 0.9.0 has written the bindings in form {}",
        schema() + 1
    );
    let reads = format!("reads up to form {}: start the newer umbra again", schema());
    assert!(refused.contains(&newer) && refused.contains(&reads), "{refused}");
    assert_eq!(fs::read_to_string(&form).unwrap(), said);
    fs::write(&form, "nonsense").unwrap();
    assert_eq!(Hand::open(dir.path()).all(), all);
}

#[test]
fn a_sled_folder_of_garbage_is_rebuilt_and_says_so_and_nothing_comes_back() {
    let spoil: [Spoil; 5] = [
        ("garbage", |sled| {
            fs::write(sled.join("db"), vec![0xA5; 2_000_000]).unwrap()
        }),
        ("zeros", |sled| {
            fs::write(sled.join("db"), vec![0; 600_000]).unwrap()
        }),
        ("cut", |sled| {
            let db = File::options().write(true).open(sled.join("db")).unwrap();
            db.set_len(db.metadata().unwrap().len() / 3).unwrap();
        }),
        ("no conf", |sled| {
            fs::write(sled.join("conf"), "nonsense").unwrap()
        }),
        ("gone", |sled| fs::remove_dir_all(sled).unwrap()),
    ];
    for (how, spoil) in spoil {
        let dir = tempfile::tempdir().unwrap();
        let (all, gone, _) = storied(dir.path());
        spoil(&dir.path().join("sled"));
        let hand = Hand::open(dir.path());
        assert_eq!(hand.all(), all, "{how}");
        assert!(
            hand.parts.table.binding(gone).is_some_and(|b| b.ended.is_some()),
            "{how}"
        );
        // sled may get over a bad conf or a cut tail by itself: then the log's tail does the rest.
        if ["garbage", "zeros", "gone"].contains(&how) {
            assert_eq!(
                hand.parts.report.disk,
                DiskFound::Rebuilt,
                "{how}: {}",
                hand.said()
            );
            assert!(hand.said().contains("nothing is lost"), "{}", hand.said());
        }
        hand.die();
        let again = Hand::open(dir.path());
        assert_eq!(
            (again.all(), again.parts.report.disk),
            (all, DiskFound::Sound),
            "{how}: {}",
            again.said()
        );
    }
}

#[test]
fn with_sled_and_the_newest_snapshot_both_broken_the_older_snapshot_and_the_log_suffice() {
    let dir = tempfile::tempdir().unwrap();
    let (all, ..) = storied(dir.path());
    let snapshots = file::numbered(&dir.path().join("snapshots"), "snapshot-", ".snap").unwrap();
    assert_eq!(snapshots.len(), 2);
    fs::write(&snapshots[1].1, b"rubbish").unwrap();
    fs::write(dir.path().join("sled").join("db"), vec![0xA5; 2_000_000]).unwrap();
    let hand = Hand::open(dir.path());
    assert_eq!(hand.all(), all);
    assert!(
        hand.said().contains(".broken, and the one before it is used"),
        "{}",
        hand.said()
    );
    hand.die();
    // With nothing but half a log, there is no start, and a sentence that says why.
    fs::write(dir.path().join("sled").join("db"), vec![0xA5; 2_000_000]).unwrap();
    fs::remove_dir_all(dir.path().join("snapshots")).unwrap();
    let Err(error) = Hand::try_open(dir.path()) else {
        panic!("opened")
    };
    let text = error.to_string();
    assert!(
        text.contains("misses the records 1 to") && text.contains("backup"),
        "{text}"
    );
}

#[test]
fn a_rebuild_that_was_killed_halfway_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let (all, ..) = storied(dir.path());
    let sled = dir.path().join("sled");
    fs::remove_dir_all(&sled).unwrap();
    let mut half = Disk::open(&sled).unwrap();
    half.apply(
        0,
        [(b"b half".to_vec(), Some(b"a record of the snapshot".to_vec()))],
    )
    .unwrap();
    half.flush().unwrap();
    drop(half);
    assert_eq!(Hand::open(dir.path()).all(), all);
}

#[test]
fn a_record_that_sled_loses_while_it_runs_does_not_get_lost_with_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut hand = Hand::open(dir.path());
    hand.add_number();
    let id = hand.bind(A, B);
    hand.fill(0, 45);
    hand.parts.follower.follow();
    let record = hand
        .parts
        .table
        .records()
        .find(|r| matches!(r, Record::Binding(b) if b.id == id))
        .unwrap();
    hand.parts.follower.lose(&record.key());
    for from in [45, 90, 135] {
        hand.fill(from, 45);
        hand.parts.follower.follow();
        hand.parts.writer.tick(NOW);
    }
    assert!(
        matches!(hand.parts.progress.disk_state(), DiskState::Failing(why) if why.contains("should hold"))
    );
    let all = hand.all();
    hand.die();
    let hand = Hand::open(dir.path());
    assert_eq!(hand.parts.report.disk, DiskFound::Rebuilt);
    assert_eq!(hand.all(), all);
}

#[test]
fn the_log_is_forgotten_only_as_far_as_two_snapshots_and_sled_hold_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut hand = Hand::open(dir.path());
    hand.add_number();
    hand.fill(0, 60);
    hand.parts.writer.tick(NOW);
    let whole = segments(dir.path());
    assert!(whole > 3, "{whole} segments");
    hand.parts.follower.follow();
    assert!(hand.disk_seq() > 60 && hand.parts.progress.snapshot_seq.load(Ordering::Acquire) > 0);
    hand.parts.writer.tick(NOW);
    assert_eq!(segments(dir.path()), whole, "one snapshot is none too many");
    hand.fill(60, 50);
    hand.parts.follower.follow();
    hand.parts.writer.tick(NOW);
    let after = segments(dir.path());
    assert!(after > 1 && after < whole + 8, "{after} segments");
    let first = file::numbered(&dir.path().join("log"), "wal-", ".log").unwrap()[0].0;
    let needed = crate::store::snapshot::log_needed_after(&dir.path().join("snapshots")).unwrap();
    assert!(first > 1 && first <= needed + 1, "{first} {needed}");
}

#[test]
fn a_sled_that_fails_is_opened_again_and_catches_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut hand = Hand::open(dir.path());
    hand.add_number();
    hand.parts.follower.follow();
    let held = hand.disk_seq();
    hand.bind(A, B);
    fault::set(&dir.path().join("sled"), fault::Call::Sync);
    hand.parts.follower.follow();
    assert!(matches!(hand.parts.progress.disk_state(), DiskState::Failing(_)));
    assert_eq!(hand.disk_seq(), held);
    hand.fill(0, 3);
    fault::clear(&dir.path().join("sled"));
    hand.parts.follower.try_now();
    hand.parts.follower.follow();
    assert_eq!(hand.parts.progress.disk_state(), DiskState::Following);
    assert_eq!(hand.disk_seq(), held + 4);
    let all = hand.all();
    hand.die();
    let again = Hand::open(dir.path());
    assert_eq!((again.all(), again.parts.report.replayed), (all, 0));
}
