//! Tests of [`journal`](super).

use std::collections::HashSet;

use super::super::entry::{ENDED, short_frame};
use super::super::file::fault;
use super::book::FULL_AT;
use super::*;
use crate::base::limits::{JOURNAL_BUFFER, JOURNAL_KNOWS_AFTER};
use crate::base::number::Digits;
use crate::call::cdr::{Attempt, ReleasedBy};
use crate::call::draft::Draft;
use crate::call::recording::{Fate, Fault, Recording, Why};
use crate::masking::reason::Reason;

mod states;

fn id(n: u128) -> Id {
    Id::from_bits(n)
}

fn wall(s: i64) -> Wall {
    Wall::from_millis(1_795_000_000_000 + s * 1_000)
}

fn record(n: u128) -> Cdr {
    let json = serde_json::json!({
        "schema": 1, "node": "umbra-1", "call_id": id(n), "binding_id": null, "account": "default",
        "pool": null, "mode": "axb", "caller_kind": "a", "direction": null, "a": null, "x": "17000000001",
        "y": null, "peer": null, "extension": null, "group_id": null, "caller": "+8613800000001",
        "dialled": "17000000001", "callee": null, "shown": null, "arrived_at": wall(0).to_string(),
        "dialled_at": null, "early_media_at": null, "ringing_at": null, "answered_at": null,
        "ended_at": wall(0).to_string(), "released_by": "server", "sip_status": 500,
        "callee_sip_status": null, "q850_cause": 41, "refusal": null, "billable_s": 0, "attempts": [],
        "recording": {"id": null, "state": "none", "reason": "not asked"},
        "media": {"caller": {"codec": null, "packets_in": 0, "packets_out": 0, "lost": 0, "jitter_ms_max": 0.0},
                  "callee": {"codec": null, "packets_in": 0, "packets_out": 0, "lost": 0, "jitter_ms_max": 0.0}},
        "sip_call_id_in": "x@y", "sip_call_id_out": null, "trunk_in": "carrier", "trunk_out": null,
        "order_id": null, "user_data": null
    });
    serde_json::from_value(json).unwrap()
}

fn arrived(n: u128) -> CallEntry {
    CallEntry::Arrived(Draft::whole(&record(n), &mut Vec::new()))
}

/// Somebody rings, and is to be recorded from the answer on.
fn arrived_to_be_recorded(n: u128) -> CallEntry {
    let mut cdr = record(n);
    cdr.recording = Recording::none(Why::NotAnswered);
    CallEntry::Arrived(Draft::whole(&cdr, &mut Vec::new()))
}

fn answered(n: u128, s: i64) -> CallEntry {
    CallEntry::Answered {
        call_id: id(n),
        at: wall(s),
    }
}

fn ended(n: u128) -> CallEntry {
    CallEntry::Ended { call_id: id(n) }
}

/// The call ended as the caller hung up, long before anything else was heard of it.
fn finished(n: u128) -> Cdr {
    let mut cdr = record(n);
    cdr.answered_at = Some(wall(7));
    cdr.ended_at = wall(9);
    cdr.billable_s = 2;
    cdr.released_by = ReleasedBy::Caller;
    cdr.sip_status = 200;
    cdr.q850_cause = 16;
    cdr
}

/// The one gateway that was tried.
fn tried() -> Vec<Attempt> {
    vec![Attempt {
        trunk: "carrier".into(),
        gateway: "127.0.0.3:5060".into(),
        callee: Digits::from("+8613900000002").unwrap(),
        status: 200,
        challenge: None,
    }]
}

/// How a call that had arrived ended.
fn over(n: u128) -> CallEntry {
    CallEntry::Over(Draft::end(&finished(n), &mut Vec::new()))
}

/// All there is of an attempt that was refused.
fn refused(n: u128) -> CallEntry {
    CallEntry::Over(Draft::whole(&finished(n), &mut Vec::new()))
}

/// A journal whose ticks the test gives.
/// A journal that has been open for a moment: what was there before is gone.
fn open(dir: &Path) -> (Shared, Vec<String>, Vec<LeftCall>) {
    let opened = just_open(dir);
    opened.0.tick(Tick::Short);
    opened
}

fn just_open(dir: &Path) -> (Shared, Vec<String>, Vec<LeftCall>) {
    Shared::open(dir, 20_000).unwrap()
}

fn open_ids(dir: &Path) -> Vec<Id> {
    open(dir).2.iter().map(|left| left.record.call_id).collect()
}

fn records(left: Vec<LeftCall>) -> Vec<Cdr> {
    left.into_iter().map(|call| call.record).collect()
}

fn state(journal: &Shared) -> (Records, usize, u64, bool) {
    let book = journal.book();
    (book.records(), book.waiting(), book.dropped, book.error.is_some())
}

fn last_segment(dir: &Path) -> PathBuf {
    file::numbered(dir, PREFIX, SUFFIX).unwrap().pop().unwrap().1
}

fn set_last_sign(dir: &Path, at: Wall) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(at.as_millis() as u64);
    File::options()
        .write(true)
        .open(last_segment(dir))
        .unwrap()
        .set_modified(time)
        .unwrap();
}

#[test]
fn attempts_that_were_open_are_completed_at_the_last_sign_of_life() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    for entry in [
        arrived_to_be_recorded(1),
        arrived_to_be_recorded(2),
        answered(2, 7),
        arrived(3),
        answered(3, 8),
        ended(3),
    ] {
        journal.write(&entry);
    }
    drop(journal);
    set_last_sign(dir.path(), wall(20));
    let (journal, notes, left) = open(dir.path());
    assert!(notes.is_empty());
    let drafts = records(left);
    let [ringing, talking] = drafts.as_slice() else {
        panic!("{drafts:?}")
    };
    assert_eq!((ringing.call_id, talking.call_id), (id(1), id(2)));
    assert_eq!((ringing.ended_at, ringing.sip_status), (wall(20), 500));
    assert_eq!((ringing.refusal, ringing.billable_s), (Some(Reason::Restart), 0));
    assert_eq!((talking.ended_at, talking.answered_at), (wall(20), Some(wall(7))));
    assert_eq!(
        (talking.sip_status, talking.refusal, talking.billable_s),
        (200, None, 13)
    );
    assert_eq!(
        (talking.end_cause.as_deref(), talking.released_by),
        (Some("restart"), ReleasedBy::Server)
    );

    assert_eq!(ringing.recording, Recording::none(Why::NotAnswered));
    let recording = (talking.recording.id, talking.recording.fate);
    assert_eq!(
        recording,
        (Some(id(2)), Fate::Gaps(Fault::Restart)),
        "its end isn't in it"
    );

    // It dies again before their records are written: the same ends, once more.
    drop(journal);
    set_last_sign(dir.path(), wall(500));
    let (journal, _, again) = open(dir.path());
    assert_eq!(records(again), drafts);
    journal.write(&ended(1));
    journal.write(&ended(2));
    drop(journal);
    assert_eq!(open_ids(dir.path()), []);
}

#[test]
fn a_finished_record_comes_back_as_it_was_until_it_is_said_to_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    // One that was a call, one that was refused and has no other entry, one in the same breath with its arrival.
    journal.write(&arrived(1));
    journal.write(&answered(1, 7));
    journal.write_all(&[over(1), refused(2)]);
    journal.write_all(&[arrived(3), answered(3, 7), over(3)]);
    journal.write_all(&[arrived(4), over(4), ended(4)]);
    assert_eq!(journal.book().live.len(), 3);
    // It lives on in a copy, and news that come too late change nothing.
    journal.book().copy_at = 0;
    journal.tick(Tick::Second);
    journal.write(&answered(2, 8));
    journal.write(&arrived(2));
    let wanted = vec![finished(1), finished(2), finished(3)];
    drop(journal);
    for _ in 0..2 {
        set_last_sign(dir.path(), wall(7_200));
        let (_, notes, left) = open(dir.path());
        assert_eq!((records(left), notes), (wanted.clone(), vec![]));
    }
    let (journal, ..) = open(dir.path());
    (1..4).for_each(|n| journal.write(&ended(n)));
    drop(journal);
    assert_eq!(open_ids(dir.path()), []);
}

#[test]
fn an_arrival_that_is_said_again_counts_as_it_was_said_last_in_copies_too() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    let named = Cdr {
        extension: Some("1234".into()),
        ..record(1)
    };
    journal.write(&arrived(1));
    journal.write(&CallEntry::Arrived(Draft::whole(&named, &mut Vec::new())));
    journal.book().copy_at = 0;
    journal.tick(Tick::Second);
    drop(journal);
    let (_, notes, left) = open(dir.path());
    assert_eq!(left[0].record.extension.as_deref(), Some("1234"));
    assert_eq!((left.len(), notes), (1, vec![]));
}

#[test]
fn a_segment_that_can_not_be_read_is_put_aside_and_the_others_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    journal.write(&arrived(1));
    drop(journal);
    // Reading a folder fails as a bad sector does.
    let bad = file::numbered_path(dir.path(), PREFIX, 0, SUFFIX);
    fs::create_dir(&bad).unwrap();
    let (_, notes, left) = open(dir.path());
    assert_eq!(left.len(), 1);
    assert!(notes.len() == 1 && notes[0].contains("was moved to"), "{notes:?}");
    assert!(!bad.exists() && bad.with_extension("log.broken").exists());
    assert_eq!(open_ids(dir.path()), [id(1)]);
}

#[test]
fn a_segment_with_the_last_of_all_numbers_is_read_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    journal.write(&arrived(1));
    drop(journal);
    let last = file::numbered_path(dir.path(), PREFIX, u64::MAX, SUFFIX);
    fs::rename(last_segment(dir.path()), &last).unwrap();
    let (journal, ..) = open(dir.path());
    journal.write(&arrived(2));
    drop(journal);
    assert!(!last.exists());
    assert_eq!(open_ids(dir.path()), [id(1), id(2)]);
}

#[test]
fn a_torn_entry_at_the_end_loses_only_itself_at_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    journal.write(&arrived(1));
    let good = journal.book().len;
    journal.write(&arrived(2));
    drop(journal);
    let whole = fs::read(last_segment(dir.path())).unwrap();
    for torn in good..whole.len() as u64 {
        fs::write(last_segment(dir.path()), &whole[..torn as usize]).unwrap();
        let (_, notes, drafts) = open(dir.path());
        assert_eq!(drafts.len(), 1, "torn at {torn}");
        assert_eq!(notes.is_empty(), torn == good);
    }
}

#[test]
fn damage_in_the_middle_loses_that_entry_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    journal.write(&arrived(1));
    let second = journal.book().len as usize;
    journal.write(&arrived(2));
    journal.write(&arrived(3));
    drop(journal);
    let mut bytes = fs::read(last_segment(dir.path())).unwrap();
    bytes[second + 100] ^= 1;
    fs::write(last_segment(dir.path()), bytes).unwrap();
    let (_, notes, drafts) = open(dir.path());
    assert_eq!(
        drafts.iter().map(|d| d.record.call_id).collect::<Vec<_>>(),
        [id(1), id(3)]
    );
    assert!(
        notes[0].contains(&format!("at byte {second}")) && notes[0].contains("check the disk"),
        "{notes:?}"
    );
}

#[test]
fn a_page_that_power_took_from_before_the_end_of_a_short_call_takes_no_record() {
    const PAGE: usize = 4_096;
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    journal.write(&arrived(1));
    let arrivals = journal.book().len as usize;
    (2..)
        .map(arrived)
        .take_while(|_| (journal.book().len as usize) < PAGE)
        .for_each(|entry| journal.write(&entry));
    let mut short = finished(1);
    short.attempts = tried();
    short.ended_at = short
        .arrived_at
        .plus(JOURNAL_KNOWS_AFTER - Duration::from_millis(1));
    journal.write(&CallEntry::Over(Draft::over(&short, &mut Vec::new())));
    drop(journal);
    let mut bytes = fs::read(last_segment(dir.path())).unwrap();
    bytes[HEADER_BYTES..arrivals].fill(0);
    fs::write(last_segment(dir.path()), bytes).unwrap();
    let (_, notes, drafts) = open(dir.path());
    assert_eq!(notes.len(), 1, "{notes:?}");
    let found = drafts.iter().find(|call| call.record.call_id == id(1));
    assert_eq!(found.map(|call| &call.record), Some(&short));
}

#[test]
fn a_big_segment_gives_way_to_one_with_the_open_calls_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    journal.write(&arrived(1));
    journal.write(&arrived(2));
    journal.write(&answered(2, 5));
    let mut n = 100;
    while journal.book().len < 20_000 {
        journal.write(&arrived(n));
        journal.write(&ended(n));
        n += 1;
    }
    let before = last_segment(dir.path());
    journal.tick(Tick::Second);
    assert!(!before.exists() && journal.book().len < 4_000);
    journal.write(&ended(1));
    journal.write(&arrived(3));
    // Once more, with offsets that have moved.
    journal.book().copy_at = 0;
    journal.tick(Tick::Second);
    drop(journal);
    set_last_sign(dir.path(), wall(9));
    let (_, notes, left) = open(dir.path());
    let drafts = records(left);
    assert_eq!(
        (drafts.iter().map(|d| d.call_id).collect::<Vec<_>>(), notes),
        (vec![id(2), id(3)], vec![])
    );
    assert_eq!((drafts[0].answered_at, drafts[0].billable_s), (Some(wall(5)), 4));
}

#[test]
fn a_crash_between_the_copy_and_the_removal_brings_nothing_back() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    journal.write(&arrived(1));
    journal.write(&arrived(2));
    let old = last_segment(dir.path());
    let before = fs::read(&old).unwrap();
    journal.book().copy_at = 0;
    journal.tick(Tick::Second);
    journal.write(&ended(1));
    drop(journal);
    fs::write(&old, before).unwrap();
    assert_eq!(open_ids(dir.path()), [id(2)]);
}

#[test]
fn a_crash_in_the_middle_of_a_copy_brings_no_ended_call_back() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    journal.write(&arrived(1));
    journal.write(&arrived(2));
    let old = last_segment(dir.path());
    let mut before = fs::read(&old).unwrap();
    journal.book().copy_at = 0;
    journal.tick(Tick::Second);
    drop(journal);
    // The call ended after its arrival was copied; its end had not been copied yet.
    short_frame(&mut before, ENDED, id(1), 9, None);
    fs::write(&old, before).unwrap();
    assert_eq!(open_ids(dir.path()), [id(2)]);
}

#[test]
fn calls_that_come_and_go_while_a_segment_is_copied_are_all_there() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
    let written = std::thread::scope(|scope| {
        let journal = &journal;
        let writer = scope.spawn(move || {
            let mut n = 0_u128;
            while stopped.try_recv() == Err(crossbeam_channel::TryRecvError::Empty) {
                journal.write(&arrived(n));
                if n.is_multiple_of(3) {
                    journal.write(&ended(n / 2));
                }
                n += 1;
            }
            n
        });
        for _ in 0..6 {
            journal.book().copy_at = 0;
            journal.tick(Tick::Second);
        }
        drop(stop);
        writer.join().unwrap()
    });
    journal.book().copy_at = 0;
    journal.tick(Tick::Second);
    assert_eq!(state(&journal), (Records::Kept, 0, 0, false));
    let gone: HashSet<u128> = (0..written)
        .filter(|n| n.is_multiple_of(3))
        .map(|n| n / 2)
        .collect();
    let expected: Vec<Id> = (0..written).filter(|n| !gone.contains(n)).map(id).collect();
    drop(journal);
    assert_eq!(open_ids(dir.path()), expected);
}

#[test]
fn what_a_full_disk_refuses_waits_in_order_and_is_written_later() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    journal.write(&arrived(1));
    fault::set(dir.path(), fault::Call::Write);
    for entry in [answered(1, 3), arrived(2), ended(1), arrived(3)] {
        journal.write(&entry);
    }
    journal.tick(Tick::Short);
    assert_eq!(journal.book().waiting(), 4);
    let segment = journal.book().path.display().to_string();
    let complains_of = |place: &str| {
        let error = journal.book().error.clone().unwrap_or_default();
        assert!(error.starts_with(place) && error.contains("No space"), "{error}");
        assert!(error.contains("make room on that disk"), "{error}");
    };
    complains_of(&segment);
    journal.book().copy_at = 0;
    journal.tick(Tick::Second);
    complains_of(&dir.path().display().to_string());
    assert_eq!(journal.book().records(), Records::Kept);
    fault::clear(dir.path());
    journal.tick(Tick::Second);
    assert_eq!(state(&journal), (Records::Kept, 0, 0, false));
    drop(journal);
    assert_eq!(open_ids(dir.path()), [id(2), id(3)]);
}

#[test]
fn a_disk_that_stays_full_stops_new_calls_and_loses_nothing_of_those_that_are_up() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    fault::set(dir.path(), fault::Call::Write);
    for n in 0..FULL_AT as u128 {
        assert_eq!(journal.book().records(), Records::Kept);
        journal.write(&ended(n));
    }
    assert_eq!(
        state(&journal),
        (Records::Kept, 0, 0, false),
        "nothing to keep of these"
    );
    let calls = JOURNAL_BUFFER as u128 + 5;
    for n in 0..calls {
        journal.write(&arrived(n));
        let full = n + 1 >= FULL_AT as u128;
        assert_eq!(
            journal.book().records(),
            if full { Records::Full } else { Records::Kept }
        );
    }
    assert_eq!(
        journal.book().dropped,
        5,
        "arrivals that nobody should have let in"
    );
    for n in 0..calls {
        journal.write(&answered(n, 3));
        journal.write(&over(n));
        journal.write(&ended(n));
    }
    assert_eq!(journal.book().dropped, 5, "calls that are up lose nothing");
    fault::clear(dir.path());
    journal.tick(Tick::Short);
    assert_eq!(journal.book().records(), Records::Kept);
    assert_eq!(journal.book().live.len(), 0, "every end was heard");
}

#[test]
fn after_a_failed_sync_the_open_calls_move_to_a_new_segment() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    journal.write(&arrived(1));
    fault::set(dir.path(), fault::Call::Sync);
    journal.tick(Tick::Second);
    assert_eq!(journal.book().records(), Records::Full);
    journal.write(&arrived(2));
    let untrusted = journal.book().path.clone();
    fault::clear(dir.path());
    journal.tick(Tick::Second);
    assert_eq!(state(&journal), (Records::Kept, 0, 0, false));
    assert!(!untrusted.exists());
    drop(journal);
    assert_eq!(open_ids(dir.path()), [id(1), id(2)]);
}

#[test]
fn many_threads_write_one_journal_and_closing_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path()).unwrap();
    assert!(matches!(Journal::open(dir.path()), Err(JournalError::InUse(_))));
    std::thread::scope(|scope| {
        for shard in 0..4_u128 {
            let journal = journal.clone();
            scope.spawn(move || {
                for n in shard * 100..shard * 100 + 100 {
                    journal.write(&arrived(n));
                    if n % 2 == 0 {
                        journal.write(&ended(n));
                    }
                }
            });
        }
    });
    assert_eq!((journal.health().live, journal.state()), (200, Records::Kept));
    drop(journal);
    assert_eq!(Journal::open(dir.path()).unwrap().1.len(), 200);
}
