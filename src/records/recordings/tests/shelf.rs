//! Finding recordings, and how they go.

use super::*;
use crate::records::recordings::index::{Entry, Filter, Index, State};
use crate::records::recordings::retention::{Days, Erased, Failed, Retention, delete_old, erase_one};

const DAY: u64 = 86_400;

fn index(dir: &Path) -> Index {
    let (index, scanned) = Index::scan(dir).expect("it can be read");
    assert_eq!(scanned.said, [""; 0]);
    index
}

fn ids<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<Id> {
    entries.into_iter().map(|entry| entry.recording).collect()
}

/// What becomes of one that somebody asks to be erased.
fn erase(index: &mut Index, recording: Id, retention: &Retention, seconds: u64) -> Result<Erased, Error> {
    let entry = index.get(recording).cloned().expect("it is there");
    let became = erase_one(&entry, retention, after(seconds));
    if matches!(became, Ok(Erased::Gone)) {
        index.remove(recording);
    }
    became
}

/// What was done where nothing was refused.
fn all_done<T>((done, failed): (T, Failed)) -> T {
    assert!(failed.is_empty(), "{failed:?}");
    done
}

/// A recording whose chain is a folder: no call by which it could be erased succeeds.
fn stuck(place: &Place) {
    for phase in [Phase::Whole, Phase::Part] {
        let _ = fs::remove_file(place.chain(phase));
    }
    fs::create_dir_all(place.chain(Phase::Whole).join("something")).expect("room");
}

/// One that began on that day after noon of the first.
fn on_day(day: u64, number: u64) -> Begin {
    Begin {
        recording: Id::mint(after(day * DAY), &mut Chance::from_number(number)),
        began: after(day * DAY),
        ..begin(number)
    }
}

#[test]
fn recordings_are_found_by_call_and_binding_from_their_files_alone() {
    let dir = folder();
    let other_call = Begin {
        call: id(7),
        binding: None,
        account: "them".into(),
        ..on_day(1, 3)
    };
    for begin in [&on_day(0, 1), &on_day(2, 2), &other_call] {
        recorded(dir.path(), begin, 1);
    }
    drop(begun(dir.path(), &on_day(40, 4), 1));
    fs::write(dir.path().join("notes"), "of somebody's").expect("room");
    let (index, scanned) = Index::scan(dir.path()).expect("it can be read");
    assert_eq!(scanned.running, [on_day(40, 4).recording]);
    assert_eq!(index.len(), 4);
    assert_eq!(ids(index.of_call(id(7))), [other_call.recording]);
    assert_eq!(ids(index.of_call(id(8))), []);
    let of_binding = ids(index.of_binding(id(2_000)));
    assert_eq!(
        of_binding,
        [0, 2, 40].map(|day| match day {
            0 => on_day(0, 1).recording,
            2 => on_day(2, 2).recording,
            _ => on_day(40, 4).recording,
        })
    );
    let entry = index.get(other_call.recording).expect("it is there");
    assert_eq!((entry.account(), entry.state), (Some("them"), State::Whole));
    assert_eq!(entry.known.as_ref().and_then(|known| known.binding), None);
    let (end, sha) = entry.end().expect("it can be read").expect("it is whole");
    assert_eq!(end.samples, SECOND);
    assert!(matches!(found(&entry.place()), Verdict::Whole { sha256, .. } if sha256 == sha));

    let all = Filter::default();
    let first = ids(index.page(&all, None, 3));
    assert_eq!(
        first,
        [
            on_day(40, 4).recording,
            on_day(2, 2).recording,
            other_call.recording
        ]
    );
    let last = ids(index.page(&all, first.last().copied(), 3));
    assert_eq!(last, [on_day(0, 1).recording]);
    let some = Filter {
        account: Some("acme".into()),
        since: Some(after(DAY)),
        until: Some(after(40 * DAY)),
        ..Filter::default()
    };
    assert_eq!(ids(index.page(&some, None, 9)), [on_day(2, 2).recording]);
}

#[test]
fn what_is_written_is_found_without_another_look_at_the_disk() {
    let dir = folder();
    let mut index = index(dir.path());
    let (place, _) = recorded(dir.path(), &begin(1), 1);
    let reader = Reader::open(&place, &Keys::default()).expect("it can be opened");
    index.add(reader.head(), State::Running);
    index.add(reader.head(), State::Running);
    index.finished(id(1));
    assert_eq!(ids(index.of_binding(id(2_000))), [id(1)]);
    assert_eq!(index.get(id(1)).map(|entry| entry.state), Some(State::Whole));
    let (scanned, _) = Index::scan(dir.path()).expect("it can be read");
    assert_eq!(scanned.get(id(1)), index.get(id(1)));
    index.remove(id(1));
    assert!(index.is_empty());
    assert_eq!(ids(index.of_call(id(1_001))), []);
}

#[test]
fn what_becomes_whole_or_goes_while_its_day_is_looked_at_is_whole_or_gone() {
    let dir = folder();
    let [whole, gone] = [1, 2].map(|number| recorded(dir.path(), &begin(number), 1));
    for (place, _) in [&whole, &gone] {
        // As it was while it was written.
        fs::rename(place.chain(Phase::Whole), place.chain(Phase::Part)).expect("ours");
    }
    let day: std::sync::Arc<Path> = whole.0.day.clone().into();
    let files = crate::records::recordings::index::list(&day).expect("it can be read");
    assert_eq!(files.len(), 4);
    fs::rename(whole.0.chain(Phase::Part), whole.0.chain(Phase::Whole)).expect("ours");
    for file in [gone.0.chain(Phase::Part), gone.1.audio] {
        fs::remove_file(file).expect("ours");
    }
    let (mut index, mut scanned) = (Index::empty(dir.path()), Default::default());
    index.look_at_day(&day, &files, &mut scanned);
    assert_eq!(scanned.said, [""; 0]);
    assert_eq!(index.len(), 1);
    let entry = index.get(id(1)).expect("it is there");
    assert_eq!((entry.state, entry.account()), (State::Whole, Some("acme")));
    assert_eq!(ids(index.of_call(id(1_001))), [id(1)]);
}

#[test]
fn chains_that_can_t_be_read_are_said_and_are_listed_by_their_names_alone() {
    let dir = folder();
    let (place, _) = recorded(dir.path(), &begin(1), 1);
    let (moved, _) = recorded(dir.path(), &begin(2), 1);
    let chain = place.chain(Phase::Whole);
    let text = fs::read_to_string(&chain).expect("text");
    fs::write(&chain, text.replacen("acme", "them", 1)).expect("room");
    let path = moved.chain(Phase::Whole);
    fs::rename(&path, path.with_file_name(format!("{}.chain", id(3)))).expect("a rename");
    let (index, scanned) = Index::scan(dir.path()).expect("it can be read");
    assert_eq!(ids(index.of_call(id(1_001))), []);
    assert_eq!(ids(index.of_call(id(1_002))), []);
    for number in [1, 3] {
        let entry = index.get(id(number)).expect("its name is known");
        assert_eq!((entry.state, entry.account()), (State::Broken, None));
        assert_eq!(entry.began, noon());
        // Mostly a recording bears its call's id.
        assert_eq!(ids(index.of_call(id(number))), [id(number)]);
        let of_call = Filter {
            call: Some(id(number)),
            ..Filter::default()
        };
        assert_eq!(ids(index.page(&of_call, None, 9)), [id(number)]);
    }
    assert_eq!(scanned.unreadable, 2);
    let said = scanned.said.concat();
    assert!(said.contains("its first line isn't as it was written"), "{said}");
    assert!(
        said.contains("its name or folder is another recording's"),
        "{said}"
    );
}

#[test]
fn recordings_go_when_their_account_s_days_are_over_the_day_s_folder_too() {
    let dir = folder();
    for begin in [on_day(0, 1), on_day(9, 2)] {
        recorded(dir.path(), &begin, 1);
    }
    let theirs = Begin {
        account: "them".into(),
        ..on_day(0, 3)
    };
    recorded(dir.path(), &theirs, 1);
    drop(begun(dir.path(), &on_day(0, 4), 1));
    let mut index = index(dir.path());
    let mut retention = Retention::new(Days {
        keep: 10,
        at_least: 0,
    });
    // The law is stronger than the account's wish.
    let days = Days {
        keep: 1,
        at_least: 30,
    };
    retention.set("them", days);
    let mut delete = |seconds: u64| all_done(delete_old(&mut index, &retention, after(seconds), |_| true));
    assert_eq!(delete(10 * DAY), [], "it ended a second later");
    assert_eq!(delete(10 * DAY + 1), [on_day(0, 1).recording]);
    assert_eq!(delete(19 * DAY + 1), [on_day(9, 2).recording]);
    assert!(!dir.path().join("2026/11/30").exists());
    assert_eq!(delete(30 * DAY + 1), [theirs.recording]);
    assert_eq!(
        delete(900 * DAY),
        [],
        "one that is being written is never too old"
    );
    assert!(dir.path().join("2026/11/21").exists());
    assert_eq!(index.len(), 1);
}

#[test]
fn who_asks_too_early_is_told_when_and_the_others_are_erased() {
    let dir = folder();
    recorded(dir.path(), &on_day(0, 1), 1);
    recorded(dir.path(), &on_day(5, 2), 1);
    drop(begun(dir.path(), &on_day(6, 3), 1));
    let mut index = index(dir.path());
    let retention = Retention::new(Days {
        keep: 100,
        at_least: 7,
    });
    let mut erase = |recording, day| {
        let became = erase(&mut index, recording, &retention, day * DAY + 60);
        became.expect("the disk takes it")
    };
    let [first, second, third] = [on_day(0, 1), on_day(5, 2), on_day(6, 3)].map(|begin| begin.recording);
    assert_eq!(erase(first, 8), Erased::Gone);
    assert_eq!(erase(second, 8), Erased::NotBefore(after(12 * DAY + 1)));
    assert_eq!(erase(third, 8), Erased::Running);
    assert_eq!(erase(second, 12), Erased::Gone);
    let left: Vec<_> = fs::read_dir(dir.path().join("2026/11"))
        .expect("the folder")
        .map(|day| day.expect("a day").file_name())
        .collect();
    assert_eq!(left, ["27"], "only the one that is being written");
}

#[test]
fn an_erasing_that_was_killed_is_finished_at_the_next_start() {
    let dir = folder();
    let (place, finished) = recorded(dir.path(), &begin(1), 1);
    // Killed after the rename.
    fs::rename(place.chain(Phase::Whole), place.erasing()).expect("a rename");
    let (index, scanned) = Index::scan(dir.path()).expect("it can be read");
    assert!(index.is_empty() && scanned.unreadable == 0);
    assert!(!finished.audio.exists() && !place.erasing().exists());
}

#[test]
fn one_that_can_t_be_deleted_keeps_none_of_the_others() {
    let retention = Retention::new(Days { keep: 1, at_least: 0 });
    let dir = folder();
    let places = [1, 2, 3].map(|number| recorded(dir.path(), &on_day(0, number), 1).0);
    let mut index = index(dir.path());
    let mut ids = places.clone().map(|place| place.recording);
    ids.sort_unstable();
    let bad = places.iter().find(|place| place.recording == ids[0]);
    stuck(bad.expect("it is one of them"));
    let (gone, failed) = delete_old(&mut index, &retention, after(3 * DAY), |_| true);
    assert_eq!(gone, ids[1..]);
    assert!(
        matches!(failed[..], [(id, Error::Disk(..))] if id == ids[0]),
        "{failed:?}"
    );
    assert_eq!(index.len(), 1, "it is asked for again the next time");
}

#[test]
fn nothing_that_is_old_goes_before_somebody_was_told_which_and_agreed() {
    let dir = folder();
    let places = [1, 2].map(|number| recorded(dir.path(), &on_day(0, number), 1).0);
    let mut index = index(dir.path());
    let retention = Retention::new(Days { keep: 1, at_least: 0 });
    let are_there = || places.each_ref().map(|place| place.chain(Phase::Whole).exists());
    for agrees in [false, true] {
        let mut told = Vec::new();
        let deleted = delete_old(&mut index, &retention, after(3 * DAY), |ids| {
            assert_eq!(are_there(), [true; 2]);
            told.extend_from_slice(ids);
            agrees
        });
        assert_eq!(told.len(), 2);
        assert_eq!(all_done(deleted), if agrees { told } else { Vec::new() });
        assert_eq!(are_there(), [!agrees; 2]);
    }
}

#[test]
fn where_the_day_s_folder_isn_t_there_nothing_is_said_to_be_gone() {
    let dir = folder();
    let (place, _) = recorded(dir.path(), &on_day(0, 1), 1);
    let mut index = index(dir.path());
    let away = dir.path().join("unmounted");
    fs::rename(&place.day, &away).expect("a rename");
    let retention = Retention::new(Days { keep: 1, at_least: 0 });
    let refused = erase(&mut index, place.recording, &retention, 60).expect_err("the disk isn't there");
    let said = refused.to_string();
    assert!(said.contains("check that disk"), "{said}");
    fs::rename(&away, &place.day).expect("a rename");
    let became = erase(&mut index, place.recording, &retention, 60);
    assert!(matches!(became, Ok(Erased::Gone)), "{became:?}");
}

#[test]
fn what_the_law_has_kept_goes_neither_by_age_nor_by_command_before_that() {
    let dir = folder();
    let of_700 = Begin {
        at_least_days: Some(184),
        ..on_day(0, 1)
    };
    let (place, _) = recorded(dir.path(), &of_700, 1);
    let written = fs::read_to_string(place.chain(Phase::Whole)).expect("text");
    assert!(
        written.starts_with("{\"form\":2,") && written.contains(",\"at_least_days\":184,"),
        "{written}"
    );
    recorded(dir.path(), &on_day(0, 2), 1);
    let mut index = index(dir.path());
    let retention = Retention::new(Days {
        keep: 30,
        at_least: 0,
    });
    let early = erase(&mut index, of_700.recording, &retention, 183 * DAY);
    assert!(
        matches!(early, Ok(Erased::NotBefore(day)) if day == after(184 * DAY + 1)),
        "{early:?}"
    );
    let mut delete = |seconds| all_done(delete_old(&mut index, &retention, after(seconds), |_| true));
    assert_eq!(
        delete(184 * DAY),
        [on_day(0, 2).recording],
        "the law says nothing of that one"
    );
    assert_eq!(delete(184 * DAY + 1), [of_700.recording]);
}

#[test]
fn a_folder_that_can_t_be_read_is_said_and_the_others_are_looked_at() {
    let dir = folder();
    let places = [0, 1, 40].map(|day| recorded(dir.path(), &on_day(day, 1), 1).0);
    fault::set_unreadable(Some(places[1].day.clone()));
    let (index, scanned) = Index::scan(dir.path()).expect("the others can be read");
    assert_eq!(index.len(), 2);
    assert_eq!(scanned.unreadable, 1);
    assert!(scanned.said[0].contains("2026/11/22"), "{:?}", scanned.said);
    fault::set_unreadable(Some(dir.path().to_owned()));
    assert!(Index::scan(dir.path()).is_err(), "nothing of it can be read");
    fault::set_unreadable(None);
}

#[test]
fn the_recordings_of_calls_are_found_by_their_ids_and_no_folder_is_looked_through() {
    let dir = folder();
    let own = |day, number| Begin {
        call: on_day(day, number).recording,
        ..on_day(day, number)
    };
    let whole = recorded(dir.path(), &own(0, 1), 1).0;
    let running = begun(dir.path(), &own(1, 2), 1);
    recorded(dir.path(), &own(0, 3), 1);
    // Whoever lists what lies there fails.
    fault::set_unreadable(Some(whole.day.clone()));
    // The second one arrived before midnight, of the fourth nothing was recorded.
    let ids = [whole.recording, running.place().recording, id(4)];
    let calls = ids.map(|call| (call, [after(0), after(60)]));
    let (index, scanned) = Index::of_calls(dir.path(), calls);
    fault::set_unreadable(None);
    assert_eq!((index.len(), scanned.unreadable), (2, 0), "{:?}", scanned.said);
    let found = |call| {
        index
            .of_call(call)
            .next()
            .map(|entry| (entry.place(), entry.state))
    };
    assert_eq!(found(ids[0]), Some((whole, State::Whole)));
    assert_eq!(found(ids[1]), Some((running.place().clone(), State::Running)));
}
