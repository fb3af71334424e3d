//! What is kept of calls that talk, so that another process can go on with them.

use super::super::super::entry::{
    ANSWERED, ARRIVED_AS_TEXT, DIED, KEPT, MAGIC, OVER_AS_TEXT, begin_frame, end_frame, version,
};
use super::*;

/// A state of the version that this program reads.
fn state_of(words: &str) -> Box<[u8]> {
    [&[kept::form()], words.as_bytes()].concat().into()
}

fn kept(n: u128, words: &str) -> CallEntry {
    CallEntry::Kept {
        call_id: id(n),
        state: state_of(words),
    }
}

fn acked(n: u128) -> CallEntry {
    CallEntry::Acked { call_id: id(n) }
}

/// What a new process finds of the only call: its state's words, whether it was acknowledged, when its process died.
fn found(dir: &Path) -> (String, bool, Option<Wall>) {
    let (_, notes, mut left) = open(dir);
    assert_eq!((notes, left.len()), (vec![], 1));
    let call = left.remove(0);
    let words = call.kept.as_deref().and_then(|state| state.split_first());
    let (version, words) = words.expect("it was kept");
    assert_eq!(*version, kept::form());
    (String::from_utf8_lossy(words).into_owned(), call.acked, call.died)
}

fn words(dir: &Path) -> (String, bool) {
    let (words, acked, _) = found(dir);
    (words, acked)
}

fn is(words: &str, acked: bool) -> (String, bool) {
    (words.to_owned(), acked)
}

/// A frame as a program of version 1 wrote it.
fn old_frame(kind: u8, n: u128, rest: &[u8]) -> Vec<u8> {
    let body = [&[kind][..], &n.to_le_bytes(), rest].concat();
    let head = [
        (body.len() as u32).to_le_bytes(),
        crc32fast::hash(&body).to_le_bytes(),
    ];
    [head.concat(), body].concat()
}

fn segment(version: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    [&MAGIC[..], &version.to_le_bytes(), &frames.concat()].concat()
}

#[test]
fn the_last_state_counts_and_an_acknowledgement_before_it_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    journal.write_all(&[arrived(1), kept(1, "first"), answered(1, 7)]);
    drop(journal);
    assert_eq!(words(dir.path()), is("first", false));
    let (journal, ..) = open(dir.path());
    journal.write(&acked(1));
    drop(journal);
    // It stays so through any number of starts, and through copies.
    assert_eq!(words(dir.path()), is("first", true));
    assert_eq!(words(dir.path()), is("first", true));
    let (journal, ..) = open(dir.path());
    journal.book().copy_at = 0;
    journal.tick(Tick::Second);
    journal.write(&kept(1, "second"));
    drop(journal);
    assert_eq!(words(dir.path()), is("second", false));
    let (journal, ..) = open(dir.path());
    journal.write_all(&[kept(1, "third"), acked(1)]);
    journal.book().copy_at = 0;
    journal.tick(Tick::Second);
    journal.book().copy_at = 0;
    journal.tick(Tick::Second);
    drop(journal);
    assert_eq!(words(dir.path()), is("third", true));
}

#[test]
fn the_last_state_counts_though_an_earlier_copy_of_it_stands_in_a_later_segment() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    journal.write_all(&[arrived(1), kept(1, "early"), arrived(2), over(2)]);
    let old = last_segment(dir.path());
    let copied = fs::read(&old).unwrap();
    // Written while the copy was made, and not copied when the process was killed.
    let late = finished(2);
    journal.write_all(&[kept(1, "late"), acked(1)]);
    let late_end = Cdr {
        billable_s: 77,
        ..late.clone()
    };
    journal.write(&CallEntry::Over(Draft::end(&late_end, &mut Vec::new())));
    let last = fs::read(&old).unwrap();
    drop(journal);
    fs::remove_file(&old).unwrap();
    fs::write(file::numbered_path(dir.path(), PREFIX, 7, SUFFIX), last).unwrap();
    fs::write(file::numbered_path(dir.path(), PREFIX, 8, SUFFIX), copied).unwrap();
    let (_, notes, left) = open(dir.path());
    let [talking, finished] = left.as_slice() else {
        panic!("{left:?}")
    };
    assert!(notes.is_empty());
    assert_eq!(
        (talking.kept.as_deref(), talking.acked),
        (Some(&*state_of("late")), true)
    );
    assert_eq!((finished.record.billable_s, finished.died), (77, None));
}

#[test]
fn until_the_medium_has_what_an_opening_wrote_the_segments_before_stay_and_any_loss_of_power_is_made_good() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    [arrived(1), kept(1, "talks"), acked(1), arrived(2), ended(2)]
        .iter()
        .for_each(|entry| journal.write(entry));
    let old = last_segment(dir.path());
    drop(journal);
    fault::set(dir.path(), fault::Call::Sync);
    let (journal, ..) = just_open(dir.path());
    let new = last_segment(dir.path());
    let whole = fs::read(&new).unwrap();
    journal.tick(Tick::Short);
    assert!(old.exists() && new != old, "the new one is not on the medium");
    drop(journal);
    fault::clear(dir.path());
    for cut in (0..=whole.len()).rev() {
        let torn = tempfile::tempdir().unwrap();
        fs::copy(&old, torn.path().join(old.file_name().unwrap())).unwrap();
        fs::write(torn.path().join(new.file_name().unwrap()), &whole[..cut]).unwrap();
        let (_, _, left) = open(torn.path());
        let found: Vec<_> = left
            .iter()
            .map(|call| (call.record.call_id, call.acked, call.kept.clone()))
            .collect();
        assert_eq!(
            found,
            [(id(1), true, Some(state_of("talks")))],
            "{cut} bytes are left"
        );
    }
    let (journal, ..) = just_open(dir.path());
    journal.tick(Tick::Short);
    let segments = file::numbered(dir.path(), PREFIX, SUFFIX).unwrap();
    assert_eq!(segments.len(), 1, "the last one is on the medium");
    drop(journal);
    assert_eq!(words(dir.path()), is("talks", true));
}

/// The journal moves to a new segment, and to another.
fn moves_twice(journal: &Shared) {
    for _ in 0..2 {
        journal.book().copy_at = 0;
        journal.tick(Tick::Second);
    }
}

#[test]
fn a_call_that_is_over_keeps_its_state_until_its_record_is_in_the_cdr_files_and_both_sides_were_told() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    for n in 1..=6 {
        journal.write_all(&[arrived(n), answered(n, 7), kept(n, "talk"), acked(n), over(n)]);
    }
    journal.write_all(&[ended(2), ended(4), ended(5)]);
    journal.told(&[id(3), id(4)]);
    journal.write(&ended(6));
    // Whichever came first.
    journal.told(&[id(6)]);
    moves_twice(&journal);
    journal.told(&[id(5), id(7)]);
    drop(journal);
    let (_, notes, left) = open(dir.path());
    assert!(notes.is_empty());
    let state = state_of("talk");
    let found: Vec<_> = left
        .iter()
        .map(|call| {
            assert_eq!(call.died, None);
            (call.record.clone(), call.kept.as_deref(), call.acked)
        })
        .collect();
    let expected = [
        (finished(1), Some(&*state), true),
        (finished(2), Some(&*state), true),
        (finished(3), None, false),
    ];
    assert_eq!(found, expected);
}

#[test]
fn of_a_call_of_an_earlier_process_both_sides_have_to_be_told_too() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    journal.write_all(&[arrived(1), kept(1, "talk"), arrived(2), kept(2, "talk"), over(2)]);
    drop(journal);
    let (journal, ..) = open(dir.path());
    journal.write_all(&[over(1), ended(1), ended(2)]);
    drop(journal);
    let (journal, _, left) = open(dir.path());
    assert_eq!(left.iter().filter(|call| call.kept.is_some()).count(), 2);
    journal.told(&[id(1), id(2)]);
    journal.write_all(&[ended(1), ended(2)]);
    drop(journal);
    assert!(open(dir.path()).2.is_empty());
}

#[test]
fn of_a_call_that_ends_on_a_full_disk_both_sides_have_to_be_told_too() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    for n in 1..=4 {
        journal.write_all(&[arrived(n), kept(n, "early")]);
    }
    fault::set(dir.path(), fault::Call::Write);
    for n in 1..=4 {
        journal.write_all(&[kept(n, "late"), over(n), ended(n)]);
    }
    journal.told(&[id(2)]);
    fault::clear(dir.path());
    journal.tick(Tick::Short);
    journal.told(&[id(3)]);
    assert_eq!(state(&journal), (Records::Kept, 0, 0, false));
    drop(journal);
    let (_, _, left) = open(dir.path());
    let found: Vec<_> = left
        .iter()
        .map(|call| (call.record.call_id, call.kept.as_deref()))
        .collect();
    let state = state_of("late");
    assert_eq!(found, [(id(1), Some(&*state)), (id(4), Some(&*state))]);
}

#[test]
fn a_call_died_with_the_first_process_until_another_has_gone_on_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    journal.write_all(&[arrived(1), answered(1, 7), kept(1, "talk")]);
    drop(journal);
    set_last_sign(dir.path(), wall(20));
    assert_eq!(found(dir.path()).2, Some(wall(20)));
    // A start that came to nothing.
    set_last_sign(dir.path(), wall(500));
    let (journal, _, left) = open(dir.path());
    assert_eq!(left[0].died, Some(wall(20)));
    assert_eq!(
        (left[0].record.ended_at, left[0].record.billable_s),
        (wall(20), 13)
    );
    // This one goes on with it.
    journal.write(&kept(1, "on and on"));
    drop(journal);
    set_last_sign(dir.path(), wall(900));
    let (journal, _, left) = open(dir.path());
    assert_eq!((left[0].died, left[0].record.billable_s), (Some(wall(900)), 893));
    journal.write(&kept(1, "on again"));
    journal.book().copy_at = 0;
    journal.tick(Tick::Second);
    drop(journal);
    set_last_sign(dir.path(), wall(1_000));
    assert_eq!(
        found(dir.path()),
        ("on again".to_owned(), false, Some(wall(1_000)))
    );
}

#[test]
fn a_state_that_is_torn_leaves_the_one_before_it_at_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    journal.write_all(&[arrived(1), kept(1, "before")]);
    let good = journal.book().len as usize;
    journal.write(&kept(1, "after"));
    drop(journal);
    let whole = fs::read(last_segment(dir.path())).unwrap();
    for torn in good..whole.len() {
        fs::write(last_segment(dir.path()), &whole[..torn]).unwrap();
        let (_, notes, left) = open(dir.path());
        assert_eq!(
            left[0].kept.as_deref(),
            Some(&*state_of("before")),
            "torn at {torn}"
        );
        assert_eq!(notes.is_empty(), torn == good);
    }
    // And in the middle.
    let mut damaged = whole;
    damaged[good + 12] ^= 1;
    short_frame(&mut damaged, ENDED, id(2), 99, None);
    fs::write(last_segment(dir.path()), damaged).unwrap();
    let (_, notes, left) = open(dir.path());
    assert_eq!(left[0].kept.as_deref(), Some(&*state_of("before")));
    assert!(notes[0].contains(&format!("at byte {good}")), "{notes:?}");
}

#[test]
fn states_wait_for_a_full_disk_one_for_each_call_and_are_all_there_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    let calls = 600;
    (0..calls / 2).for_each(|n| journal.write_all(&[arrived(n), kept(n, "0")]));
    fault::set(dir.path(), fault::Call::Write);
    (calls / 2..calls).for_each(|n| journal.write(&arrived(n)));
    for round in 1..20 {
        for n in 0..calls {
            journal.write_all(&[kept(n, &round.to_string()), acked(n)]);
        }
        journal.tick(Tick::Short);
    }
    journal.write(&over(0));
    journal.write(&kept(1, "20"));
    // The arrivals, an end, and one state of each call.
    assert_eq!(journal.book().waiting(), (calls / 2 + 1 + calls) as usize);
    assert_eq!(journal.book().records(), Records::Kept);
    fault::clear(dir.path());
    journal.tick(Tick::Short);
    assert_eq!(state(&journal), (Records::Kept, 0, 0, false));
    journal.book().copy_at = 0;
    journal.tick(Tick::Second);
    drop(journal);
    let (_, _, left) = open(dir.path());
    assert_eq!(left.len(), calls as usize);
    for (n, call) in left.iter().enumerate() {
        let (words, acked) = match n {
            1 => (Some(state_of("20")), false),
            _ => (Some(state_of("19")), true),
        };
        assert_eq!((call.kept.clone(), call.acked), (words, acked), "call {n}");
    }
}

#[test]
fn states_that_come_while_a_segment_is_copied_are_all_there() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(dir.path());
    let calls = 40_u128;
    (0..calls).for_each(|n| journal.write(&arrived(n)));
    let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
    let rounds = std::thread::scope(|scope| {
        let journal = &journal;
        let writer = scope.spawn(move || {
            let mut round = 0_u32;
            while stopped.try_recv() == Err(crossbeam_channel::TryRecvError::Empty) {
                round += 1;
                (0..calls).for_each(|n| journal.write(&kept(n, &round.to_string())));
                journal.write(&acked(u128::from(round) % calls));
            }
            round
        });
        for _ in 0..12 {
            journal.book().copy_at = 0;
            journal.tick(Tick::Second);
        }
        drop(stop);
        writer.join().unwrap()
    });
    journal.book().copy_at = 0;
    journal.tick(Tick::Second);
    drop(journal);
    let (_, notes, left) = open(dir.path());
    assert_eq!((notes, left.len()), (vec![], calls as usize));
    for (n, call) in (0..).zip(&left) {
        assert_eq!(call.kept, Some(state_of(&rounds.to_string())));
        assert_eq!(call.acked, n == u128::from(rounds) % calls);
    }
}

#[test]
fn a_segment_of_version_1_is_read_and_one_of_a_later_version_refused() {
    let dir = tempfile::tempdir().unwrap();
    let frames = [
        old_frame(ARRIVED_AS_TEXT, 1, &record(1).line().json),
        old_frame(ANSWERED, 1, &wall(7).as_millis().to_le_bytes()),
        old_frame(DIED, 1, &wall(20).as_millis().to_le_bytes()),
        old_frame(ARRIVED_AS_TEXT, 2, &record(2).line().json),
        old_frame(OVER_AS_TEXT, 2, &finished(2).line().json),
        old_frame(ARRIVED_AS_TEXT, 3, &record(3).line().json),
        old_frame(ENDED, 3, &[]),
    ];
    let path = file::numbered_path(dir.path(), PREFIX, 1, SUFFIX);
    fs::write(&path, segment(1, &frames)).unwrap();
    for _ in 0..2 {
        let (_, notes, left) = open(dir.path());
        let [talking, over] = left.as_slice() else {
            panic!("{left:?}")
        };
        assert_eq!((talking.died, talking.record.billable_s), (Some(wall(20)), 13));
        assert_eq!((&over.record, over.died, notes), (&finished(2), None, vec![]));
    }
    let bytes = fs::read(last_segment(dir.path())).unwrap();
    assert_eq!(bytes[8..12], version().to_le_bytes(), "it is written anew");

    let newer = file::numbered_path(dir.path(), PREFIX, 99, SUFFIX);
    fs::write(&newer, segment(version() + 1, &[])).unwrap();
    let refused = Shared::open(dir.path(), 20_000)
        .map(drop)
        .unwrap_err()
        .to_string();
    let wanted = format!(
        "has version {}, this program reads up to {}: start the newer umbra that wrote it",
        version() + 1,
        version()
    );
    assert!(refused.contains(&wanted), "{refused}");
    assert!(newer.exists(), "nothing was touched");
}

#[test]
fn calls_that_a_newer_program_kept_refuse_the_start_until_they_are_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut state = Vec::new();
    begin_frame(&mut state, KEPT, id(1), 5);
    state.extend_from_slice(&[kept::form() + 1, 0, 0]);
    end_frame(&mut state, 0);
    let mut bytes = segment(
        version(),
        &[old_frame(ARRIVED_AS_TEXT, 1, &record(1).line().json), state],
    );
    let path = file::numbered_path(dir.path(), PREFIX, 1, SUFFIX);
    fs::write(&path, &bytes).unwrap();
    for _ in 0..2 {
        let refused = Shared::open(dir.path(), 20_000)
            .map(drop)
            .unwrap_err()
            .to_string();
        let newer = format!(
            "has 1 calls in progress as a newer umbra wrote them down (state version {}",
            kept::form() + 1
        );
        assert!(
            refused.contains(&newer) && refused.contains("start that umbra again"),
            "{refused}"
        );
        assert_eq!(fs::read(&path).unwrap(), bytes, "nothing was touched");
    }
    short_frame(&mut bytes, ENDED, id(1), 6, None);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(open_ids(dir.path()), []);
}
