//! A disk that is full, or slow, or gone, and what is said of that.

use super::*;
use crate::base::limits::{RECORDING_BLOCKS_A_SECOND, RECORDING_WAITING_BYTES_EACH};
use crate::records::recorder::jobs::{Content, Piece};
use crate::records::recordings::chain::Unwritten;
use crate::records::recordings::disk::Space;

const DAY: u64 = 86_400;

/// What lies in its day's folder.
fn files(stage: &Stage, number: u128) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(stage.place(number).day).expect("the day's folder");
    listed.map(|file| file.expect("a file").path()).collect()
}

#[test]
fn what_a_full_disk_refuses_waits_and_is_written_when_there_is_room() {
    waits_while(
        || fault::set_room(Some(0)),
        "the disk is full",
        || fault::set_room(None),
    );
}

#[test]
fn what_would_take_the_room_of_others_waits_and_is_written_when_there_is_more() {
    let has = |free| {
        fault::set_space(Space {
            free,
            bytes: 10 << 30,
        })
    };
    let sentence =
        "has 511 MiB left, and 512 MiB are to be free there for everything else (recordings.keep_free)";
    waits_while(|| has((512 << 20) - 1), sentence, || has(1 << 30));
    fault::set_space(fault::PLENTY);
}

/// What is recorded while the disk `refuses` waits, its owner reads this `sentence`, and what waited is written when it
/// `takes` it again.
fn waits_while(refuses: impl Fn(), sentence: &str, takes: impl Fn()) {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(2));
    refuses();
    stage.run(seconds(5));
    let (recording, why) = (id(1), Fault::DiskFull);
    assert_eq!(stage.told(), [Report::Waits { recording, why }]);
    let said = stage.shared.status.trouble().expect("it is said");
    assert!(said.contains(sentence), "{said}");
    takes();
    stage.run(seconds(3));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    let (frames, _) = read(&stage.place(1));
    assert!(both(&frames) > 79_000, "{}", both(&frames));
    assert_eq!(is_whole(&stage.place(1)), Some(0));
    assert_eq!(stage.told(), [Report::Written { recording }]);
    assert_eq!(stage.shared.status.trouble(), None);
}

#[test]
fn where_there_is_too_little_room_none_begins_those_that_are_over_are_whole_and_the_owner_hears_of_it() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(2));
    fault::set_space(Space {
        free: 0,
        bytes: 1 << 40,
    });
    // All that was said before is written.
    stage.speaking.clear();
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(seconds(1));
    assert_eq!(is_whole(&stage.place(1)), Some(0));
    stage.order(Order::Begin(stage.begin(2, Sound::Narrow)));
    stage.run(seconds(2));
    assert_eq!(files(&stage, 1).len(), 2, "the files of the first one");
    assert!(stage.shared.status.trouble().is_some());
    let (recording, why) = (id(2), Fault::DiskFull);
    assert_eq!(stage.told(), [Report::Waits { recording, why }]);
    fault::set_space(fault::PLENTY);
    stage.run(seconds(1));
    assert_eq!(stage.told(), [Report::Written { recording }]);
    assert_eq!(stage.shared.status.trouble(), None);
}

#[test]
fn what_waits_for_a_full_disk_has_a_limit_and_what_is_left_out_is_a_gap_of_that_length() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.ear.out.waiting_max = 3 * 33_000;
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(2));
    fault::set_room(Some(0));
    stage.run(seconds(8));
    assert!(stage.shared.status.counts().waiting_bytes <= 3 * 33_000);
    fault::set_room(None);
    stage.run(seconds(4));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    let why = Fault::DiskFull;
    let recording = id(1);
    let told = [
        Report::Waits { recording, why },
        Report::Gap { recording, why },
        Report::Written { recording },
    ];
    assert_eq!(stage.told(), told);
    let (frames, marks) = read(&stage.place(1));
    assert_eq!(is_whole(&stage.place(1)), Some(1));
    let whats: Vec<What> = marks.iter().map(|mark| mark.what).collect();
    let [What::NotWritten { samples, why }] = whats[..] else {
        panic!("{whats:?}");
    };
    assert_eq!(why, Unwritten::DiskFull);
    assert!(samples > 8_000 && samples % 2_000 == 0, "{samples}");
    assert!(
        both(&frames) + samples as usize > frames.len() - 300,
        "{}",
        both(&frames)
    );
}

#[test]
fn ten_seconds_of_each_call_find_room_at_the_higher_rate_too() {
    let piece = Piece {
        from: 0,
        content: Content::Frames(vec![1; 2 * 16_000 / RECORDING_BLOCKS_A_SECOND]),
        marks: Vec::new(),
        left_out: None,
    };
    let waits = 10 * RECORDING_BLOCKS_A_SECOND * piece.weight();
    assert!(waits <= RECORDING_WAITING_BYTES_EACH, "{waits}");
}

#[test]
fn one_that_cannot_begin_is_lost_and_the_others_go_on() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    // The same once more: its name is taken.
    stage.clock.store(0, Ordering::Relaxed);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.order(Order::Begin(stage.begin(2, Sound::Narrow)));
    stage.run(seconds(2));
    stage.order(Order::End(id(2), stage.now().at));
    stage.run(ROUND);
    let (recording, why) = (id(1), Fault::DiskFails);
    assert_eq!(stage.told(), [Report::Lost { recording, why }]);
    assert_eq!(is_whole(&stage.place(2)), Some(0));
}

#[test]
fn one_that_cannot_begin_on_a_full_disk_waits_and_is_whole_when_there_is_room() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    fault::set_room(Some(0));
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(4));
    let (recording, why) = (id(1), Fault::DiskFull);
    assert_eq!(stage.told(), [Report::Waits { recording, why }]);
    fault::set_room(None);
    stage.run(seconds(2));
    assert_eq!(stage.told(), [Report::Written { recording }]);
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    assert_eq!(is_whole(&stage.place(1)), Some(0));
    assert!(both(&read(&stage.place(1)).0) > 47_000);
}

#[test]
fn one_that_is_over_before_the_disk_takes_it_was_said_to_wait() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    fault::set_room(Some(0));
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(ROUND);
    let (recording, why) = (id(1), Fault::DiskFull);
    assert_eq!(stage.told(), [Report::Waits { recording, why }], "at once");
    stage.run(Duration::from_millis(1_200));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    assert_eq!(stage.told(), []);
    fault::set_room(None);
    stage.run(seconds(1));
    assert_eq!(is_whole(&stage.place(1)), Some(0));
}

#[test]
fn a_disk_that_does_not_answer_is_said_of_all_and_taken_back_when_it_does() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(1));
    stage.scribe_sleeps = true;
    stage.run(seconds(10));
    assert_eq!((stage.told(), stage.shared.status.trouble()), (vec![], None));
    stage.run(seconds(2));
    let why = Fault::DiskSlow;
    let waits = |number| Report::Waits {
        recording: id(number),
        why,
    };
    assert_eq!(stage.told(), [waits(1)]);
    let said = stage.shared.status.trouble().expect("it is said");
    assert!(said.contains("hasn't answered"), "{said}");
    stage.order(Order::Begin(stage.begin(2, Sound::Narrow)));
    stage.run(seconds(1));
    assert_eq!(stage.told(), [waits(2)]);
    stage.scribe_sleeps = false;
    stage.run(seconds(2));
    let mut told: Vec<Id> = stage.told().iter().map(Report::recording).collect();
    told.sort_unstable();
    assert_eq!((told, stage.shared.status.trouble()), (vec![id(1), id(2)], None));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    assert_eq!((stage.told(), is_whole(&stage.place(1))), (vec![], Some(0)));
}

#[test]
fn when_nobody_writes_any_more_each_recording_says_so() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(1));
    stage.jobs = crossbeam_channel::unbounded().1;
    stage.run(seconds(3));
    let why = Fault::Recorder;
    let gap = Report::Gap {
        recording: id(1),
        why,
    };
    assert_eq!(stage.told(), [gap]);
    stage.order(Order::Begin(stage.begin(2, Sound::Narrow)));
    stage.run(ROUND);
    let lost = Report::Lost {
        recording: id(2),
        why,
    };
    assert_eq!(stage.told(), [lost]);
    assert_eq!(stage.shared.status.counts().waiting_bytes, 0);
}

#[test]
fn one_whose_files_somebody_has_removed_is_lost_and_is_over() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(2));
    std::fs::remove_dir_all(stage.place(1).day).expect("it is there");
    stage.run(seconds(2));
    let (recording, why) = (id(1), Fault::DiskFails);
    assert_eq!(stage.told(), [Report::Lost { recording, why }]);
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(seconds(2));
    let counts = stage.shared.status.counts();
    assert_eq!((counts.open, counts.waiting_bytes), (0, 0));
    assert_eq!((stage.told(), stage.shared.status.trouble()), (vec![], None));
}

#[test]
fn one_of_a_process_before_that_was_too_short_is_dropped() {
    let dir = folder();
    let mut before = Stage::at(dir.path(), 0);
    before.order(Order::Begin(before.begin(1, Sound::Narrow)));
    before.speaks(1);
    before.run(Duration::from_millis(980));
    let mut stage = Stage::beside(dir.path(), 3_000);
    stage.order(stage.short(1));
    stage.run(seconds(1));
    assert_eq!(files(&stage, 1).len(), 2, "somebody still writes it");
    assert_eq!(stage.shared.status.counts().open, 1, "the keeper doesn't end it");
    drop(before);
    stage.run(seconds(1));
    assert_eq!(files(&stage, 1), [] as [PathBuf; 0]);
    assert_eq!(stage.shared.status.counts().open, 0);
    // Where there is none, that is all right too.
    stage.order(stage.short(2));
    stage.run(ROUND);
    assert_eq!(stage.shared.status.counts().open, 0);
}

#[test]
fn one_that_is_too_short_and_cannot_be_removed_is_removed_later() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(Duration::from_millis(980));
    fault::set_unreadable(Some(stage.place(1).day));
    stage.order(stage.short(1));
    stage.run(seconds(2));
    assert_eq!(files(&stage, 1).len(), 2);
    assert_eq!(stage.shared.status.counts().open, 1, "the keeper doesn't end it");
    fault::set_unreadable(None);
    stage.run(seconds(1));
    assert_eq!(files(&stage, 1), [] as [PathBuf; 0]);
    assert_eq!(stage.shared.status.counts().open, 0);
}

#[test]
fn what_is_longer_than_its_call_says_is_never_dropped() {
    let dir = folder();
    let mut before = Stage::at(dir.path(), 0);
    let begin = before.begin(1, Sound::Narrow);
    before.order(Order::Begin(begin.clone()));
    before.order(Order::Begin(before.begin(2, Sound::Narrow)));
    before.speaks(1);
    before.run(seconds(4));
    drop(before);
    let mut stage = Stage::at(dir.path(), 5_000);
    stage.order(Order::GoOn(begin));
    stage.run(ROUND);
    stage.order(stage.short(1));
    stage.order(stage.short(2));
    stage.run(seconds(2));
    assert_eq!(stage.shared.status.counts().open, 0);
    look(&mut Keeper::default(), &stage, stage.now().wall);
    for number in [1, 2] {
        assert_eq!(is_whole(&stage.place(number)), Some(1), "{number}");
    }
}

#[test]
fn those_that_end_at_once_are_put_on_the_medium_at_once_and_again_where_it_refuses() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    let all = 1..=40;
    for number in all.clone() {
        stage.order(Order::Begin(stage.begin(number, Sound::Narrow)));
    }
    stage.speaks(1);
    stage.run(seconds(2));
    for number in all.clone() {
        stage.order(Order::End(id(number), stage.now().at));
    }
    fault::set_sick(true);
    stage.run(ROUND);
    assert_eq!(is_whole(&stage.place(1)), None);
    assert_eq!(stage.told().len(), 40, "each waits");
    let before = fault::syncs();
    fault::set_sick(false);
    stage.run(seconds(1));
    assert!(fault::syncs() - before <= 4, "{}", fault::syncs() - before);
    for number in all {
        assert_eq!(is_whole(&stage.place(number)), Some(0), "{number}");
    }
    let counts = stage.shared.status.counts();
    assert_eq!((counts.open, counts.waiting_bytes), (0, 0));
}

#[test]
fn a_medium_that_refuses_the_end_is_marked_in_those_that_end() {
    for all in [1, 40] {
        let dir = folder();
        let mut stage = Stage::at(dir.path(), 0);
        (1..=all).for_each(|number| stage.order(Order::Begin(stage.begin(number, Sound::Narrow))));
        stage.speaks(1);
        stage.run(seconds(2));
        (1..=all).for_each(|number| stage.order(Order::End(id(number), stage.now().at)));
        fault::set_sick(true);
        stage.run(ROUND);
        fault::set_sick(false);
        stage.run(seconds(1));
        for number in 1..=all {
            assert_eq!(is_whole(&stage.place(number)), Some(0), "{number} of {all}");
            let (_, marks) = read(&stage.place(number));
            let unsynced = |mark: &Mark| matches!(mark.what, What::NotSynced { from_block: 2.. });
            assert!(marks.iter().any(unsynced), "{number} of {all}: {marks:?}");
        }
    }
}

#[test]
fn a_folder_that_cannot_be_looked_at_for_a_while_costs_nothing() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(2));
    // Who looks for its files is told that this is no folder, and not that there are none.
    let (day, away) = (stage.place(1).day, dir.path().join("away"));
    std::fs::rename(&day, &away).expect("ours");
    std::fs::write(&day, "").expect("room");
    stage.run(seconds(3));
    let (recording, why) = (id(1), Fault::DiskFails);
    assert_eq!(stage.told(), [Report::Waits { recording, why }]);
    assert!(stage.shared.status.trouble().is_some());
    std::fs::remove_file(&day).expect("ours");
    std::fs::rename(&away, &day).expect("ours");
    stage.run(seconds(2));
    let told = vec![Report::Written { recording }];
    assert_eq!((stage.told(), stage.shared.status.trouble()), (told, None));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    assert_eq!(is_whole(&stage.place(1)), Some(0));
    assert!(both(&read(&stage.place(1)).0) > 55_700);
}

#[test]
fn one_whose_files_were_moved_away_has_a_gap_for_they_may_come_back() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(2));
    let (day, away) = (stage.place(1).day, dir.path().join("away"));
    std::fs::rename(&day, &away).expect("ours");
    stage.run(seconds(2));
    let (recording, why) = (id(1), Fault::DiskFails);
    assert_eq!(stage.told(), [Report::Gap { recording, why }]);
    assert_eq!(stage.shared.status.counts().open, 0);
    std::fs::rename(&away, &day).expect("ours");
    stage.order(Order::EndLeft(id(1), noon()));
    stage.run(ROUND);
    assert_eq!(is_whole(&stage.place(1)), Some(1));
}

#[test]
fn one_whose_audio_alone_is_removed_is_lost_and_one_whose_chain_is_removed_has_a_gap() {
    let (recording, why) = (id(1), Fault::DiskFails);
    for (removed, report) in [
        ("wav.part", Report::Lost { recording, why }),
        ("chain.part", Report::Gap { recording, why }),
    ] {
        let dir = folder();
        let mut stage = Stage::at(dir.path(), 0);
        stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
        stage.speaks(1);
        stage.run(seconds(2));
        let file = stage.place(1).day.join(format!("{}.{removed}", id(1)));
        std::fs::remove_file(file).expect("ours");
        stage.run(seconds(2));
        assert_eq!(stage.told(), [report], "{removed}");
        assert_eq!(stage.shared.status.counts().open, 0);
    }
}

#[test]
fn what_a_shard_has_no_room_for_is_said_again() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.is_deaf.store(true, Ordering::Relaxed);
    fault::set_room(Some(0));
    stage.run(seconds(3));
    fault::set_room(None);
    stage.run(seconds(2));
    assert_eq!(stage.told(), []);
    stage.is_deaf.store(false, Ordering::Relaxed);
    stage.run(ROUND);
    let (recording, why) = (id(1), Fault::DiskFull);
    let told = [Report::Waits { recording, why }, Report::Written { recording }];
    assert_eq!(stage.told(), told);
}

#[test]
fn one_that_another_server_still_writes_waits_for_the_restart() {
    let dir = folder();
    let mut before = Stage::at(dir.path(), 0);
    let begin = before.begin(1, Sound::Narrow);
    before.order(Order::Begin(begin.clone()));
    before.run(seconds(2));
    let mut stage = Stage::beside(dir.path(), 3_000);
    stage.order(Order::GoOn(begin));
    stage.run(seconds(1));
    let (recording, why) = (id(1), Fault::Restart);
    assert_eq!(stage.told(), [Report::Waits { recording, why }]);
}

/// Recordings of a second, so many days old.
fn aged(dir: &Path, recordings: &[(u128, u64)]) {
    let back = |days: u64| Wall::from_millis(noon().as_millis() - (days * DAY * 1_000) as i64);
    for (number, days) in recordings.iter().copied() {
        let mut pen = written(dir, number, back(days));
        pen.end(8_000, back(days).plus(seconds(1)))
            .expect("there is room");
    }
}

#[test]
fn the_keeper_says_what_it_cannot_delete_until_it_is_gone() {
    let dir = folder();
    aged(dir.path(), &[(1, 40)]);
    let stage = Stage::at(dir.path(), 0);
    let mut keeper = Keeper::default();
    let (index, _) = Index::scan(dir.path()).expect("it can be read");
    let place = index.get(id(1)).expect("it is there").place();
    // A folder where its chain is to be renamed to.
    let in_the_way = place.day.join(format!("{}.erasing", id(1)));
    std::fs::create_dir(&in_the_way).expect("room");
    keeper.look(&stage.shared, noon(), Some(noon()));
    let said = stage.shared.status.unkept().expect("it is said");
    assert!(said.contains("older than they are to be kept"), "{said}");
    std::fs::remove_dir(&in_the_way).expect("ours");
    fault::set_unreadable(Some(dir.path().to_owned()));
    keeper.look(&stage.shared, noon(), Some(noon()));
    fault::set_unreadable(None);
    let said = stage.shared.status.unkept().expect("it is said");
    assert!(said.contains("can't be looked through"), "{said}");
    keeper.look(&stage.shared, noon(), Some(noon()));
    assert_eq!(stage.shared.status.unkept(), None);
    assert!(!place.has_files());
}

#[test]
fn the_keeper_deletes_what_is_old_and_nothing_else() {
    let dir = folder();
    aged(dir.path(), &[(1, 40), (2, 10), (3, 0)]);
    let there = |index: &Index| [1, 2, 3].map(|number| index.get(id(number)).is_some());
    let stage = Stage::at(dir.path(), 0);
    look(&mut Keeper::default(), &stage, noon());
    let (all, _) = Index::scan(dir.path()).expect("it can be read");
    assert_eq!(there(&all), [false, true, true]);
}

#[test]
fn what_came_while_the_disk_was_slow_is_written_in_fewer_and_longer_blocks() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(1));
    stage.scribe_sleeps = true;
    stage.run(seconds(6));
    stage.scribe_sleeps = false;
    stage.run(ROUND);
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    let verdict = verify(&stage.place(1), &Keys::default(), None).expect("it can be read");
    let Verdict::Whole {
        blocks,
        samples,
        gaps,
        ..
    } = verdict
    else {
        panic!("{verdict:?}");
    };
    assert_eq!((samples, gaps), (56_160, 0));
    assert!(blocks <= 8, "{blocks}");
    assert_eq!(stage.shared.status.counts().waiting_bytes, 0);
}
