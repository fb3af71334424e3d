//! Recordings that another server writes, and such as nobody can end.

use std::fs::File;
use std::time::{Duration, SystemTime};

use super::*;
use crate::base::limits::RECORDING_LEFT_AFTER;
use crate::records::recordings::index::{Index, State};
use crate::records::recordings::lines::next_line;
use crate::records::recordings::retention::{Days, Erased, Retention, delete_old, erase_one};

const DAYS: Days = Days {
    keep: 10,
    at_least: 5,
};
const DAY: Duration = Duration::from_secs(86_400);

/// The files were last written then, says the disk.
fn last_written(place: &Place, at: SystemTime) {
    for file in fs::read_dir(&place.day).expect("the folder") {
        let file = File::options().write(true).open(file.expect("a file").path());
        file.expect("it is ours").set_modified(at).expect("it is ours");
    }
}

fn system(at: Wall) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(at.as_millis() as u64)
}

#[test]
fn a_recording_that_a_pen_has_is_left_to_it() {
    let dir = folder();
    let mut pen = begun(dir.path(), &begin(1), 2);
    let place = pen.place().clone();
    last_written(&place, SystemTime::now() - 2 * RECORDING_LEFT_AFTER);
    let refused = Pen::end_left(&place, &Keys::default(), None).expect_err("it is being written");
    assert!(
        refused
            .to_string()
            .contains("another server writes the recording"),
        "{refused}"
    );
    let went_on = Pen::go_on(dir.path(), &begin(1), &Keys::default(), after(3)).map(drop);
    assert!(matches!(went_on, Err(Error::Busy(_))), "{went_on:?}");

    let (mut index, scanned) = Index::scan(dir.path()).expect("it can be read");
    assert_eq!(scanned.running, [id(1)]);
    assert_eq!(index.get(id(1)).map(|entry| entry.state), Some(State::Running));
    // Whoever has called it broken meanwhile was wrong.
    index.broken(id(1));
    let retention = Retention::new(DAYS);
    let now = noon().plus(10_000 * DAY);
    assert_eq!(delete_old(&mut index, &retention, now, |_| true).0, []);
    let entry = index.get(id(1)).expect("it stays");
    let became = erase_one(entry, &retention, now);
    assert!(matches!(became, Ok(Erased::Running)), "{became:?}");

    write(&mut pen, 2).expect("nobody has touched it");
    let finished = pen.end(3 * SECOND, after(3)).expect("there is room");
    assert_eq!(found(&place), whole(&finished, Seals::None));
    // One that was gone on with is taken as well.
    drop(begun(dir.path(), &begin(2), 1));
    let gone_on = Pen::go_on(dir.path(), &begin(2), &Keys::default(), after(3)).expect("it goes on");
    let GoneOn::Goes { pen, .. } = &gone_on else {
        panic!("it wasn't at its end");
    };
    let refused = Pen::end_left(pen.place(), &Keys::default(), None);
    assert!(matches!(refused, Err(Error::Busy(_))), "{refused:?}");
}

/// Makes a recording that nobody can end.
fn spoilt(dir: &Path, how: &str) -> Place {
    let pen = begun(dir, &begin(1), 40);
    let place = pen.place().clone();
    drop(pen);
    let [chain, audio] = files(&place, Phase::Part);
    let text = fs::read_to_string(&chain).expect("text");
    match how {
        "torn head" => fs::write(&chain, &text[..20]),
        "changed head" => fs::write(&chain, text.replacen("acme", "them", 1)),
        "newer" => {
            let head = text.split(",\"sha256\":").next().expect("a text");
            let head = head.replace("\"form\":2", "\"form\":3,\"new\":true");
            fs::write(&chain, next_line(None, &head).0)
        }
        "damaged" => fs::write(&chain, text.replacen("{\"n\":3,", "{\"n\":0,", 1)),
        "no chain" => fs::remove_file(&chain),
        "no audio" => fs::remove_file(&audio),
        other => panic!("{other}"),
    }
    .expect("room");
    place
}

#[test]
fn what_nobody_can_end_is_kept_and_goes_as_if_it_had_ended_when_it_was_last_written() {
    for how in [
        "torn head",
        "changed head",
        "newer",
        "damaged",
        "no chain",
        "no audio",
    ] {
        let retention = Retention::new(DAYS);
        let dir = folder();
        let place = spoilt(dir.path(), how);
        let written = noon().plus(3 * DAY);
        for by_age in [true, false] {
            let place = match by_age {
                true => place.clone(),
                false => spoilt(dir.path(), how),
            };
            last_written(&place, system(noon()));
            let (mut index, scanned) = Index::scan(dir.path()).expect("it can be read");
            let can_be_tried = matches!(how, "torn head" | "damaged" | "no audio");
            assert_eq!(scanned.running.contains(&id(1)), can_be_tried, "{how}");
            if index.get(id(1)).map(|entry| entry.state) == Some(State::Running) {
                assert!(
                    Pen::end_left(&place, &Keys::default(), None).is_err(),
                    "{how}: nobody can end it"
                );
                index.broken(id(1));
            }
            assert_eq!(
                index.get(id(1)).map(|entry| entry.state),
                Some(State::Broken),
                "{how}"
            );
            last_written(&place, system(written));
            match by_age {
                true => {
                    let mut delete =
                        |days: u32| delete_old(&mut index, &retention, written.plus(DAY * days), |_| true);
                    assert_eq!(delete(9).0, [], "{how}");
                    assert_eq!(delete(10).0, [id(1)], "{how}");
                }
                false => {
                    let entry = index.get(id(1)).expect("it is there");
                    let erase = |days: u32| {
                        let became = erase_one(entry, &retention, written.plus(DAY * days));
                        became.expect("the disk takes it")
                    };
                    let not_before = Erased::NotBefore(written.plus(DAY * 5));
                    assert_eq!(erase(4), not_before, "{how}");
                    assert_eq!(erase(5), Erased::Gone, "{how}");
                }
            }
            let left = fs::read_dir(&place.day).map_or(0, Iterator::count);
            assert_eq!(left, 0, "{how}");
        }
    }
}

#[test]
fn one_of_an_account_that_nobody_knows_is_kept_as_long_as_any_account_s() {
    let mut retention = Retention::new(DAYS);
    let days = Days {
        keep: 7,
        at_least: 30,
    };
    retention.set("them", days);
    assert_eq!(retention.not_before(None, 0, noon()), noon().plus(30 * DAY));
    assert_eq!(retention.until(None, 0, noon()), noon().plus(30 * DAY));
    assert_eq!(retention.until(Some("acme"), 0, noon()), noon().plus(10 * DAY));
}

#[test]
fn one_that_has_lain_for_long_and_that_nobody_has_is_broken_and_may_still_be_ended() {
    let dir = folder();
    let place = begun(dir.path(), &begin(1), 2).place().clone();
    let scan = || Index::scan(dir.path()).expect("it can be read");
    let state = || scan().0.get(id(1)).map(|entry| entry.state);
    assert_eq!(state(), Some(State::Running));
    last_written(&place, SystemTime::now() - 2 * RECORDING_LEFT_AFTER);
    assert_eq!(state(), Some(State::Broken));
    assert_eq!(scan().1.running, [id(1)]);
    let ended = Pen::end_left(&place, &Keys::default(), None).expect("it can be ended");
    assert!(ended.is_some());
    assert_eq!(state(), Some(State::Whole));
}

#[test]
fn a_recording_whose_end_is_known_is_found_replaced_when_it_ends_otherwise_or_no_more() {
    let dir = folder();
    let (place, finished) = recorded(dir.path(), &begin(1), 3);
    let told = Some(finished.sha256);
    let verify = || verify(&place, &Keys::default(), told).expect("it can be read");
    assert_eq!(verify(), whole(&finished, Seals::None));
    // Somebody makes a whole one a torn one.
    let (parts, wholes) = (files(&place, Phase::Part), files(&place, Phase::Whole));
    for (part, whole) in parts.iter().zip(&wholes) {
        fs::rename(whole, part).expect("a rename");
    }
    assert!(
        matches!(verify(), Verdict::Unfinished { .. }),
        "it has its end, and no names yet"
    );
    let text = fs::read_to_string(&parts[0]).expect("text");
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    fs::write(&parts[0], lines[..3].concat()).expect("room");
    let bytes = fs::read(&parts[1]).expect("the file");
    let unknown = wav::stereo_header(RATE, u32::MAX);
    fs::write(&parts[1], [&unknown, &bytes[44..44 + 64]].concat()).expect("room");
    let replaced = Verdict::Changed {
        block: 0,
        what: Change::Replaced,
    };
    assert_eq!(verify(), replaced);
    let refused = Pen::end_left(&place, &Keys::default(), told);
    assert!(matches!(refused, Err(Error::Damaged(..))), "{refused:?}");
    assert_eq!(fs::read(&parts[1]).expect("it is left alone").len(), 44 + 64);
    // Whoever isn't told can't see it.
    let ended = Pen::end_left(&place, &Keys::default(), None).expect("it can be ended");
    assert!(ended.is_some());
    assert_eq!(verify(), replaced);
    for path in files(&place, Phase::Whole) {
        fs::remove_file(path).expect("it is there");
    }
    let refused = Pen::end_left(&place, &Keys::default(), told);
    assert!(matches!(refused, Err(Error::Absent(_))), "{refused:?}");
}

#[test]
fn a_sealed_recording_that_was_replaced_by_a_plain_one_is_found() {
    let dir = folder();
    let begin = sealed::begin_sealed(1, Cipher::Aes256Gcm);
    let (place, finished) = recorded(dir.path(), &begin, 2);
    let chain = place.chain(Phase::Whole);
    let keys = keys(&begin);
    for path in [&finished.audio, &chain] {
        fs::remove_file(path).expect("it is there");
    }
    recorded(dir.path(), &super::begin(1), 2);
    let verdict = verify(&place, &keys, Some(finished.sha256)).expect("it can be read");
    let what = Change::Replaced;
    assert_eq!(verdict, Verdict::Changed { block: 0, what });

    // A first line that speaks of a cipher without a key, or of a key without a cipher, was never written.
    let text = fs::read_to_string(&chain).expect("text");
    let head = text.split(",\"sha256\":").next().expect("a text");
    for (from, to) in [
        ("\"key\":null", "\"key\":\"acme-1\""),
        ("\"sealed\":\"none\"", "\"sealed\":\"sm4-gcm\""),
    ] {
        fs::write(&chain, next_line(None, &head.replace(from, to)).0).expect("room");
        let verdict = verify(&place, &keys, None).expect("it can be read");
        let what = Change::Head;
        assert_eq!(verdict, Verdict::Changed { block: 0, what }, "{to}");
    }
}
