//! What is heard while the files of a killed server are looked for.

use super::*;
use crate::base::limits::RECORDING_MARKS_MAX;

/// A server was killed four seconds after noon, and the next one goes on two seconds later; its scribe is slow. `meanwhile` has
/// the two seconds until it finds the files.
fn found_late(dir: &Path, meanwhile: impl FnOnce(&mut Stage)) -> Stage {
    let begin = left_by_a_killed_one(dir, seconds(4));
    let mut stage = Stage::at(dir, 6_000);
    stage.order(Order::GoOn(begin));
    stage.scribe_sleeps = true;
    stage.speaks(1);
    meanwhile(&mut stage);
    stage.scribe_sleeps = false;
    stage
}

/// It talks on for two seconds, and is over.
fn over(stage: &mut Stage) -> (Vec<[i16; 2]>, Vec<Mark>) {
    stage.run(seconds(2));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    assert!(is_whole(&stage.place(1)).is_some());
    read(&stage.place(1))
}

#[test]
fn what_is_heard_while_its_files_are_looked_for_is_kept() {
    let dir = folder();
    let mut stage = found_late(dir.path(), |stage| stage.run(seconds(2)));
    let (frames, marks) = over(&mut stage);
    assert_eq!(frames.len(), 80_000);
    assert_eq!(both(&frames[32_000..48_000]), 0);
    assert!(both(&frames[48_000..]) > 31_800, "{}", both(&frames[48_000..]));
    assert!(
        matches!(
            marks[..],
            [Mark {
                what: What::Restarted { .. },
                ..
            }]
        ),
        "{marks:?}"
    );
}

#[test]
fn what_is_said_in_a_pause_meanwhile_is_not_kept() {
    let dir = folder();
    let mut stage = found_late(dir.path(), |stage| {
        stage.run(Duration::from_millis(500));
        stage.order(Order::Pause(id(1), stage.now().at));
        stage.run(seconds(1));
        stage.order(Order::Resume(id(1), stage.now().at));
        stage.run(Duration::from_millis(500));
    });
    let (frames, marks) = over(&mut stage);
    assert!(
        both(&frames[48_000..52_000]) > 3_800,
        "{}",
        both(&frames[48_000..52_000])
    );
    assert_eq!(both(&frames[52_000..60_000]), 0);
    assert!(both(&frames[60_000..]) > 19_600, "{}", both(&frames[60_000..]));
    let whats: Vec<What> = marks.iter().map(|mark| mark.what).skip(1).collect();
    assert_eq!(whats, [What::Paused, What::Resumed]);
}

#[test]
fn what_is_heard_for_longer_than_there_is_room_is_left_out_and_marked() {
    let dir = folder();
    let mut stage = found_late(dir.path(), |stage| stage.run(seconds(10)));
    stage.run(seconds(2));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    assert_eq!(is_whole(&stage.place(1)), Some(2));
    let (frames, marks) = read(&stage.place(1));
    // Six seconds, ten that nobody has, and two.
    assert_eq!(frames.len(), 144_000);
    assert_eq!(both(&frames[32_000..127_000]), 0);
    assert!(both(&frames[128_000..]) > 15_600, "{}", both(&frames[128_000..]));
    let left_out = |mark: &&Mark| {
        matches!(
            mark.what,
            What::NotWritten {
                samples: 80_000..,
                ..
            }
        )
    };
    assert!(marks.iter().any(|mark| left_out(&mark)), "{marks:?}");
}

#[test]
fn whoever_pauses_and_resumes_again_and_again_meanwhile_takes_no_room() {
    let dir = folder();
    let mut stage = found_late(dir.path(), |stage| {
        for _ in 0..RECORDING_MARKS_MAX {
            stage.order(Order::Pause(id(1), stage.now().at));
            stage.order(Order::Resume(id(1), stage.now().at));
            stage.run(ROUND);
        }
        stage.order(Order::Pause(id(1), stage.now().at));
        stage.run(ROUND);
    });
    stage.run(seconds(1));
    stage.order(Order::Resume(id(1), stage.now().at));
    stage.run(seconds(1));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    let (frames, _) = read(&stage.place(1));
    let last = frames.len() - 8_000;
    assert_eq!(both(&frames[32_000..last - 200]), 0);
    assert!(both(&frames[last..]) > 7_600, "{}", both(&frames[last..]));
}
