//! Tests of [`log`](super).

use super::super::file::fault;
use super::*;

type Records = Vec<(u64, Vec<u8>)>;

fn open(dir: &Path, held: u64) -> Result<(Log, Replay, Records), LogError> {
    let mut records = Vec::new();
    let (log, replay) = Log::open(dir, 400, held, &mut |seq, payload| {
        records.push((seq, payload.to_vec()));
        Ok(())
    })?;
    Ok((log, replay, records))
}

fn payload(n: u64) -> Vec<u8> {
    format!("record {n} {}", "x".repeat((n % 7) as usize)).into_bytes()
}

fn expected(range: std::ops::RangeInclusive<u64>) -> Records {
    range.map(|n| (n, payload(n))).collect()
}

#[test]
fn a_file_named_for_record_0_is_none_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(dir.path(), 0).unwrap();
    fill(&mut log, 3, 1);
    drop(log);
    let strange = file::numbered_path(dir.path(), PREFIX, 0, SUFFIX);
    fs::write(&strange, header(0)).unwrap();
    let (log, replay, records) = open(dir.path(), 0).unwrap();
    assert_eq!((log.next_seq(), replay.records), (4, 3));
    assert_eq!(records, expected(1..=3));
}

/// Appends the numbers up to `last`, in groups of `group`.
fn fill(log: &mut Log, last: u64, group: u64) {
    while log.next_seq() <= last {
        let first = log.next_seq();
        let group: Vec<_> = (first..=last.min(first + group - 1)).map(payload).collect();
        assert_eq!(log.append(&group).unwrap(), first);
    }
}

fn segments(dir: &Path) -> Vec<(u64, PathBuf)> {
    file::numbered(dir, PREFIX, SUFFIX).unwrap()
}

#[test]
fn what_was_appended_is_read_back_in_order_across_segments_and_openings() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, replay, records) = open(dir.path(), 0).unwrap();
    assert_eq!((replay, records), (Replay::default(), vec![]));
    fill(&mut log, 20, 3);
    drop(log);
    let (mut log, _, records) = open(dir.path(), 0).unwrap();
    assert_eq!(records, expected(1..=20));
    fill(&mut log, 50, 1);
    assert!(
        segments(dir.path()).len() > 2,
        "a new segment begins past its size"
    );
    drop(log);
    let (log, replay, records) = open(dir.path(), 30).unwrap();
    assert_eq!(records, expected(31..=50), "only what the caller doesn't hold");
    assert_eq!((replay.records, replay.cut, log.next_seq()), (20, None, 51));
}

#[test]
fn a_torn_tail_is_cut_at_every_byte_and_says_how_much() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(dir.path(), 0).unwrap();
    fill(&mut log, 3, 3);
    let good = log.durable;
    fill(&mut log, 6, 3);
    drop(log);
    let path = segments(dir.path())[0].1.clone();
    let whole = fs::read(&path).unwrap();
    for torn in good..whole.len() as u64 {
        for zeros in [0, 9] {
            let mut bytes = whole[..torn as usize].to_vec();
            bytes.resize(bytes.len() + zeros, 0);
            fs::write(&path, &bytes).unwrap();
            let (mut log, replay, records) = open(dir.path(), 0).unwrap();
            assert_eq!(records, expected(1..=3), "torn at {torn}");
            let bytes = torn - good + zeros as u64;
            assert_eq!(
                replay.cut.map_or((good, 0), |c| (c.offset, c.bytes)),
                (good, bytes)
            );
            fill(&mut log, 4, 1);
            drop(log);
            assert_eq!(
                open(dir.path(), 0).unwrap().2,
                expected(1..=4),
                "goes on after the cut"
            );
        }
    }
}

#[test]
fn a_flipped_bit_in_the_middle_is_an_error_that_names_the_place_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(dir.path(), 0).unwrap();
    fill(&mut log, 3, 3);
    let good = log.durable as usize;
    fill(&mut log, 6, 3);
    let second = log.durable as usize;
    fill(&mut log, 8, 2);
    drop(log);
    let path = segments(dir.path())[0].1.clone();
    let whole = fs::read(&path).unwrap();
    for byte in 0..second {
        let mut bytes = whole.clone();
        bytes[byte] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        let error = open(dir.path(), 0).unwrap_err();
        let place = match byte {
            0..HEADER_BYTES => 0,
            _ if byte < good => HEADER_BYTES,
            _ => good,
        };
        let LogError::Damaged {
            offset, path: named, ..
        } = &error
        else {
            panic!("byte {byte}: {error}")
        };
        assert_eq!((*offset, named), (place as u64, &path), "byte {byte}");
        assert!(
            error
                .to_string()
                .contains("restore the store's folder from a backup")
        );
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    let mut bytes = whole;
    bytes[second + 30] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (_, replay, records) = open(dir.path(), 0).unwrap();
    assert_eq!(
        records,
        expected(1..=6),
        "the last group can't be told from a torn one"
    );
    assert!(replay.cut.is_some());
}

#[test]
fn damage_in_an_older_segment_is_never_taken_for_a_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(dir.path(), 0).unwrap();
    fill(&mut log, 60, 4);
    drop(log);
    let first = segments(dir.path())[0].1.clone();
    let whole = fs::read(&first).unwrap();
    fs::write(&first, &whole[..whole.len() - 1]).unwrap();
    assert!(matches!(open(dir.path(), 0), Err(LogError::Damaged { .. })));
    let held = segments(dir.path())[1].0 - 1;
    assert_eq!(
        open(dir.path(), held).unwrap().2,
        expected(held + 1..=60),
        "not needed, not read"
    );
    let second = segments(dir.path())[1].1.clone();
    fs::remove_file(second).unwrap();
    fs::write(&first, &whole).unwrap();
    let error = open(dir.path(), 0).unwrap_err();
    assert!(
        matches!(error, LogError::Damaged { .. } | LogError::Gap { .. }),
        "{error}"
    );
}

#[test]
fn a_missing_beginning_is_a_gap_unless_the_caller_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(dir.path(), 0).unwrap();
    fill(&mut log, 200, 4);
    assert_eq!(log.forget(0).unwrap(), 0);
    let firsts: Vec<u64> = segments(dir.path()).iter().map(|s| s.0).collect();
    assert_eq!(
        log.forget(firsts[2] - 2).unwrap(),
        1,
        "a segment goes only when all of it is held"
    );
    assert_eq!(log.forget(firsts[2] - 1).unwrap(), 1);
    assert!(
        log.forget(u64::MAX).unwrap() >= 1,
        "and the one that is written stays"
    );
    fill(&mut log, 202, 1);
    drop(log);
    let last = segments(dir.path())[0].0;
    let error = open(dir.path(), 5).unwrap_err();
    assert!(
        matches!(error, LogError::Gap { from: 6, to, .. } if to == last - 1),
        "{error}"
    );
    assert_eq!(open(dir.path(), last - 1).unwrap().2, expected(last..=202));
}

#[test]
fn a_log_that_ends_before_what_is_held_goes_on_behind_it_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(dir.path(), 0).unwrap();
    fill(&mut log, 5, 1);
    drop(log);
    let (mut log, replay, records) = open(dir.path(), 9).unwrap();
    assert_eq!(
        (replay.ends_early, records, log.next_seq()),
        (Some(5), vec![], 10)
    );
    fill(&mut log, 12, 1);
    drop(log);
    assert_eq!(open(dir.path(), 9).unwrap().2, expected(10..=12));
    assert!(matches!(
        open(dir.path(), 3),
        Err(LogError::Damaged { .. } | LogError::Gap { .. })
    ));
}

#[test]
fn a_full_disk_refuses_the_group_and_the_next_one_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, ..) = open(dir.path(), 0).unwrap();
    fill(&mut log, 2, 1);
    fault::set(dir.path(), fault::Call::Write);
    for _ in 0..3 {
        let refused = log.append(&[b"never".repeat(30)]).unwrap_err();
        assert!(matches!(refused, NotKept::Refused { .. }), "{refused}");
    }
    let length = fs::metadata(&segments(dir.path())[0].1).unwrap().len();
    assert_eq!(length, log.durable, "what was written of it is taken back");
    fault::clear(dir.path());
    fill(&mut log, 4, 1);
    drop(log);
    let (_, replay, records) = open(dir.path(), 0).unwrap();
    assert_eq!((records, replay.cut), (expected(1..=4), None));
}

#[test]
fn after_a_failed_sync_the_log_goes_on_in_a_new_segment_and_the_refused_group_is_dead() {
    for durable_before in [0, 2] {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, ..) = open(dir.path(), 0).unwrap();
        fill(&mut log, durable_before, 1);
        fault::set(dir.path(), fault::Call::Sync);
        let refused = log.append(&[b"never".to_vec()]).unwrap_err();
        assert!(matches!(refused, NotKept::Unknown { .. }), "{refused}");
        let refused = log.append(&[b"never".to_vec()]).unwrap_err();
        assert!(matches!(refused, NotKept::Refused { .. }), "{refused}");
        fault::clear(dir.path());
        fill(&mut log, 5, 2);
        drop(log);
        let (_, replay, records) = open(dir.path(), 0).unwrap();
        assert_eq!((records, replay.cut), (expected(1..=5), None));
    }
}

#[test]
fn a_newer_version_is_refused_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), 0).unwrap());
    let path = segments(dir.path())[0].1.clone();
    let mut head = header(1);
    head[8] = 9;
    let crc = header_crc(&head);
    head[12..16].copy_from_slice(&crc.to_le_bytes());
    fs::write(&path, head).unwrap();
    let error = open(dir.path(), 0).unwrap_err().to_string();
    assert!(
        error.contains("version 9") && error.contains("newer umbra"),
        "{error}"
    );
}
