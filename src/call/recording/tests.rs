//! Tests of [`recording`](super).

use super::*;

const CALL: Id = Id::from_bits(7);

fn at(ms: u64) -> Now {
    Now {
        at: Instant::from_micros(ms * 1_000),
        wall: Wall::from_millis(1_790_000_000_000 + ms as i64),
    }
}

fn gap(why: Fault) -> Report {
    Report::Gap { recording: CALL, why }
}

#[test]
fn a_recording_without_a_fault_is_kept_under_the_call_s_id() {
    let course = Course::begin(at(0));
    let record = Recording {
        id: Some(CALL),
        fate: Fate::Kept,
        sealed: None,
        paused_s: 0,
    };
    assert_eq!(course.record(CALL, at(5_000).at), record);
}

#[test]
fn the_first_gap_is_named_but_that_all_is_lost_goes_before_it() {
    let mut course = Course::begin(at(0));
    course.hear(&gap(Fault::DiskSlow));
    course.hear(&gap(Fault::DiskFull));
    assert_eq!(course.fate(), Fate::Gaps(Fault::DiskSlow));
    course.hear(&Report::Lost {
        recording: CALL,
        why: Fault::DiskFails,
    });
    course.hear(&gap(Fault::DiskFull));
    assert_eq!(course.fate(), Fate::None(Why::Lost(Fault::DiskFails)));
    assert_eq!(course.record(CALL, at(9).at).id, None);
}

#[test]
fn pauses_add_up_and_a_second_one_within_the_first_is_none() {
    let mut course = Course::begin(at(0));
    assert!(!course.control(at(500), Control::Resume), "it isn't paused");
    assert!(course.control(at(1_000), Control::Pause));
    assert!(!course.control(at(2_000), Control::Pause));
    assert!(course.control(at(4_000), Control::Resume));
    assert!(course.control(at(10_000), Control::Pause));
    assert_eq!(
        course.record(CALL, at(12_900).at).paused_s,
        5,
        "3 s, and 2.9 s so far"
    );
}

#[test]
fn another_process_goes_on_with_a_gap_and_with_the_pause() {
    let mut course = Course::begin(at(0));
    course.control(at(1_000), Control::Pause);
    course.control(at(3_000), Control::Resume);
    course.control(at(8_000), Control::Pause);
    let kept = course.kept();
    // Its clock begins anew; the wall's doesn't.
    let later = Now {
        at: Instant::from_micros(40),
        ..at(9_500)
    };
    let mut course = Course::of_kept(kept, later, later.wall);
    assert_eq!(course.lasts(later.at), Duration::from_millis(9_500));
    assert_eq!(course.fate(), Fate::Gaps(Fault::Restart));
    let second = later.at + Duration::from_secs(1);
    assert_eq!(
        course.paused(second),
        Duration::from_millis(2_000 + 1_500 + 1_000)
    );
    let resumed = Now { at: second, ..later };
    assert!(course.control(resumed, Control::Resume));
    assert_eq!(course.paused(second), Duration::from_millis(4_500));
}

#[test]
fn a_gap_before_the_restart_is_still_the_one_that_is_named() {
    let mut course = Course::begin(at(0));
    course.hear(&gap(Fault::DiskFull));
    let kept = course.kept();
    assert_eq!(
        Course::of_kept(kept, at(2_000), at(2_000).wall).fate(),
        Fate::Gaps(Fault::DiskFull)
    );
}

#[test]
fn one_that_was_lost_is_lost_for_the_next_process() {
    let mut course = Course::begin(at(0));
    let (recording, why) = (CALL, Fault::NoKey);
    course.hear(&Report::Lost { recording, why });
    let next = Course::of_kept(course.kept(), at(2_000), at(2_000).wall);
    assert_eq!(next.fate(), Fate::None(Why::Lost(why)));
    assert!(!next.is_kept());
}

#[test]
fn one_that_is_over_is_as_it_was_for_the_next_process() {
    let mut whole = Course::begin(at(0));
    assert_eq!(whole.end(at(5_000), Duration::from_secs(1)), Over::Whole);
    let mut short = Course::begin(at(0));
    assert_eq!(short.end(at(900), Duration::from_secs(1)), Over::TooShort);
    for course in [whole, short] {
        let next = Course::of_kept(course.kept(), at(9_000), at(9_000).wall);
        assert_eq!(
            (next.over, next.record(CALL, at(9_000).at)),
            (course.over, course.record(CALL, at(9_000).at))
        );
    }
}

#[test]
fn one_whose_call_goes_no_further_lasted_as_long_as_its_process() {
    let mut course = Course::begin(at(0));
    course.control(at(500), Control::Pause);
    let mut left = Course::of_kept(course.kept(), at(60_000), at(1_700).wall);
    assert_eq!(left.lasts(at(60_000).at), Duration::from_millis(1_700));
    assert_eq!(left.end(at(60_000), Duration::from_secs(2)), Over::TooShort);
    assert_eq!(left.paused(at(60_000).at), Duration::from_millis(1_200));
}

#[test]
fn what_was_too_short_is_no_recording() {
    let mut course = Course::begin(at(0));
    course.over = Some(Over::TooShort);
    assert_eq!(course.record(CALL, at(9).at), Recording::none(Why::TooShort));
}

#[test]
fn what_waits_for_the_disk_is_a_gap_until_it_is_written_and_in_the_next_process() {
    let mut course = Course::begin(at(0));
    let (recording, why) = (CALL, Fault::DiskFull);
    course.hear(&Report::Waits { recording, why });
    assert_eq!(course.fate(), Fate::Gaps(Fault::DiskFull));
    assert_eq!(
        course.record(CALL, at(9).at).id,
        Some(CALL),
        "it may be there yet"
    );
    let left = Course::of_kept(course.kept(), at(2_000), at(2_000).wall);
    course.hear(&Report::Written { recording });
    assert_eq!(course.fate(), Fate::Kept);
    assert_eq!(left.fate(), Fate::Gaps(Fault::DiskFull), "it waited in memory");
}

#[test]
fn what_is_left_out_while_other_things_wait_stays_a_gap() {
    let mut course = Course::begin(at(0));
    let recording = CALL;
    let why = Fault::DiskSlow;
    course.hear(&Report::Waits { recording, why });
    course.hear(&gap(Fault::DiskFull));
    course.hear(&Report::Written { recording });
    assert_eq!(course.fate(), Fate::Gaps(Fault::DiskFull));
}

#[test]
fn with_what_it_is_sealed_is_said_of_what_is_there_and_known_to_the_next_process() {
    let mut course = Course::begin(at(0));
    assert_eq!(course.record(CALL, at(1).at).sealed, None, "nobody has said so");
    course.hear(&Report::Sealed {
        recording: CALL,
        with: Sealed::Sm4Gcm,
    });
    let mut next = Course::of_kept(course.kept(), at(2_000), at(2_000).wall);
    for course in [&course, &next] {
        assert_eq!(course.record(CALL, at(3_000).at).sealed, Some(Sealed::Sm4Gcm));
    }
    next.hear(&Report::Lost {
        recording: CALL,
        why: Fault::DiskFails,
    });
    assert_eq!(next.record(CALL, at(3_000).at).sealed, None, "there is nothing");
}
