//! What the audit log has of recordings, and what it keeps the recorder from.

use super::*;
use crate::records::audit::{Act, Line};
use crate::records::recordings::chain::Sha;

/// A recording of so many seconds, which is over.
pub(super) fn record(stage: &mut Stage, number: u128, time: u64) {
    record_unnoted(stage, number, time);
    stage.scribe.desk.rest();
}

/// The same, and nothing is noted of it yet.
fn record_unnoted(stage: &mut Stage, number: u128, time: u64) {
    stage.order(Order::Begin(stage.begin(number, Sound::Narrow)));
    stage.speaks(number);
    stage.run(seconds(time));
    stage.speaking.clear();
    stage.order(Order::End(id(number), stage.now().at));
    stage.ear.round(stage.shared.now());
    while let Ok(job) = stage.jobs.try_recv() {
        stage.scribe.take(job);
    }
    stage.scribe.settle();
}

fn sha_of(place: &Place) -> Sha {
    match verify(place, &Keys::default(), None).expect("it can be read") {
        Verdict::Whole { sha256, .. } => sha256,
        other @ (Verdict::Unfinished { .. } | Verdict::Torn { .. } | Verdict::Changed { .. }) => {
            panic!("{other}")
        }
    }
}

fn end_of(stage: &Stage, number: u128) -> Option<Sha> {
    stage
        .shared
        .settings
        .audit
        .end_of(id(number))
        .expect("it can be read")
}

/// The acts that are noted of a recording, and what came of them.
pub(super) fn acts(dir: &Path, number: u128) -> Vec<(String, String)> {
    let mut acts = Vec::new();
    let whole = Audit::verify(&dir.join("audit"), None).expect("it can be read");
    assert!(matches!(whole, Noted::Whole { .. }), "{whole}");
    let files = std::fs::read_dir(dir.join("audit")).expect("a folder");
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    for path in files {
        if path.extension().is_none_or(|end| end != "jsonl") {
            continue;
        }
        for line in std::fs::read_to_string(path).expect("text").lines() {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            if line["recording"] == id(number).to_string() {
                let text = |field: &str| line[field].as_str().expect("text").to_owned();
                acts.push((text("act"), text("outcome")));
            }
        }
    }
    acts
}

pub(super) fn are(acts: &[(String, String)], expected: &[(&str, &str)]) {
    let acts: Vec<(&str, &str)> = acts.iter().map(|(act, of)| (&**act, &**of)).collect();
    assert_eq!(acts, expected);
}

#[test]
fn the_end_of_a_recording_is_noted_when_it_is_whole() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    record_unnoted(&mut stage, 1, 2);
    assert_eq!(stage.shared.status.counts().open, 1);
    stage.scribe.desk.rest();
    assert_eq!(end_of(&stage, 1), Some(sha_of(&stage.place(1))));
    assert_eq!(stage.shared.status.counts().open, 0);
    are(&acts(dir.path(), 1), &[("kept", "whole")]);
}

#[test]
fn an_end_that_the_audit_log_refuses_is_held_and_noted_when_there_is_room() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    record_unnoted(&mut stage, 1, 2);
    fault::set_room(Some(0));
    stage.scribe.desk.rest();
    let audit = &stage.shared.settings.audit;
    assert!(audit.health().is_some_and(|said| said.contains("the audit log")));
    assert_eq!((end_of(&stage, 1), stage.shared.status.counts().open), (None, 1));
    fault::set_room(None);
    stage.scribe.turn();
    assert_eq!(stage.shared.settings.audit.health(), None);
    assert_eq!(end_of(&stage, 1), Some(sha_of(&stage.place(1))));
    assert_eq!(stage.shared.status.counts().open, 0);
}

#[test]
fn while_the_disk_of_the_audit_log_stands_still_recordings_are_written_as_before() {
    let dir = folder();
    let mut before = Stage::at(dir.path(), 0);
    let begin = before.begin(3, Sound::Narrow);
    before.order(Order::Begin(begin.clone()));
    before.order(Order::Begin(before.begin(4, Sound::Narrow)));
    before.run(seconds(3));
    drop(before);
    let mut stage = Stage::at(dir.path(), 6_000);
    stage.log_hangs.store(true, Ordering::Relaxed);
    record_unnoted(&mut stage, 1, 2);
    stage.order(Order::Begin(stage.begin(2, Sound::Narrow)));
    stage.speaks(2);
    stage.order(Order::GoOn(begin));
    stage.order(Order::EndLeft(id(4), noon()));
    stage.run(seconds(9));
    assert_eq!(stage.shared.status.trouble(), None);
    stage.run(seconds(3));
    let said = stage.shared.status.trouble().expect("it is said");
    assert!(
        said.contains("the disk of the audit log hasn't answered"),
        "{said}"
    );
    for number in [2, 3] {
        stage.order(Order::End(id(number), stage.now().at));
    }
    stage.run(ROUND);
    assert_eq!(
        [1, 2, 3, 4].map(|number| is_whole(&stage.place(number))),
        [Some(0), Some(0), Some(1), None]
    );
    assert_eq!(stage.told(), []);
    assert_eq!(stage.shared.status.counts().open, 4, "nothing is noted yet");
    // However long it lasts, little waits to be done.
    assert!(stage.errands.lock().unwrap().len() <= 3);
    stage.log_hangs.store(false, Ordering::Relaxed);
    let errands = std::mem::take(&mut *stage.errands.lock().unwrap());
    errands.into_iter().for_each(|errand| errand());
    stage.run(seconds(2));
    assert_eq!(
        (stage.shared.status.trouble(), stage.shared.status.counts().open),
        (None, 0)
    );
    for number in [1, 2, 3, 4] {
        assert_eq!(
            end_of(&stage, number),
            Some(sha_of(&stage.place(number))),
            "{number}"
        );
    }
}

#[test]
fn an_end_that_a_kill_kept_from_being_noted_is_noted_later() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    record_unnoted(&mut stage, 1, 2);
    assert_eq!(end_of(&stage, 1), None);
    drop(stage);
    let mut stage = Stage::at(dir.path(), 60_000);
    stage.order(Order::Begin(stage.begin(2, Sound::Narrow)));
    stage.run(seconds(2));
    let mut keeper = Keeper::default();
    for _ in 0..2 {
        look(&mut keeper, &stage, stage.now().wall);
    }
    assert_eq!(end_of(&stage, 1), Some(sha_of(&stage.place(1))));
    are(&acts(dir.path(), 1), &[("kept", "noted later")]);
    are(&acts(dir.path(), 2), &[]);
}

#[test]
fn what_the_keeper_ends_and_deletes_is_noted() {
    let dir = folder();
    left_by_a_killed_one(dir.path(), Sound::Narrow, seconds(3));
    let stage = Stage::at(dir.path(), 60_000);
    let mut keeper = Keeper::default();
    look(&mut keeper, &stage, stage.now().wall);
    assert_eq!(end_of(&stage, 1), Some(sha_of(&stage.place(1))));
    look(&mut keeper, &stage, noon().plus(seconds(31 * 86_400)));
    are(
        &acts(dir.path(), 1),
        &[
            ("ended", "whole"),
            ("kept", "whole"),
            ("aged", "goes"),
            ("aged", "gone"),
        ],
    );
}

#[test]
fn nothing_is_deleted_while_the_audit_log_refuses() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    record(&mut stage, 1, 2);
    let mut keeper = Keeper::default();
    let later = noon().plus(seconds(31 * 86_400));
    fault::set_room(Some(0));
    look(&mut keeper, &stage, later);
    fault::set_room(None);
    let chain = stage.place(1).day.join(format!("{}.chain", id(1)));
    let is_there = || chain.exists();
    assert!(is_there());
    look(&mut keeper, &stage, later);
    assert!(!is_there());
    are(
        &acts(dir.path(), 1),
        &[("kept", "whole"), ("aged", "goes"), ("aged", "gone")],
    );
}

#[test]
fn what_went_is_in_the_audit_log_though_that_refuses_from_there_on() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    record(&mut stage, 1, 2);
    let mut keeper = Keeper::default();
    let later = noon().plus(seconds(2 * 86_400 + 31 * 86_400));
    // Another day's file has begun.
    let audit = &stage.shared.settings.audit;
    audit
        .note(later, &Line::of_server(Act::List, id(9), "listed"))
        .expect("there is room");
    fault::set_room(Some(300));
    look(&mut keeper, &stage, later);
    fault::set_room(None);
    assert!(!stage.place(1).day.join(format!("{}.chain", id(1))).exists());
    are(&acts(dir.path(), 1), &[("kept", "whole"), ("aged", "goes")]);
    look(&mut keeper, &stage, later);
    are(
        &acts(dir.path(), 1),
        &[("kept", "whole"), ("aged", "goes"), ("aged", "gone")],
    );
}

#[test]
fn what_was_half_erased_and_goes_when_it_is_found_is_noted() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    record(&mut stage, 1, 2);
    let name = |end: &str| stage.place(1).day.join(format!("{}.{end}", id(1)));
    std::fs::rename(name("chain"), name("erasing")).expect("ours");
    // As at a start: nobody notes yet.
    let archive = &stage.shared.settings.archive;
    archive.look_through(|_, _| ()).expect("it can be read");
    assert!(!name("wav").exists());
    look(&mut Keeper::default(), &stage, stage.now().wall);
    are(&acts(dir.path(), 1), &[("kept", "whole"), ("erase", "gone")]);
}

#[test]
fn one_that_was_whole_is_never_ended_as_one_that_was_torn() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    let begin = stage.begin(1, Sound::Narrow);
    record(&mut stage, 1, 3);
    let place = stage.place(1);
    drop(stage);
    // Somebody makes it look as if its server had been killed before the end.
    let name = |end: &str| place.day.join(format!("{}.{end}", id(1)));
    let chain = std::fs::read_to_string(name("chain")).expect("a chain");
    let lines: Vec<&str> = chain.lines().collect();
    std::fs::write(name("chain.part"), lines[..lines.len() - 2].join("\n") + "\n").expect("room");
    std::fs::remove_file(name("chain")).expect("ours");
    std::fs::rename(name("wav"), name("wav.part")).expect("ours");
    let mut stage = Stage::at(dir.path(), 60_000);
    look(&mut Keeper::default(), &stage, stage.now().wall);
    stage.order(Order::GoOn(begin));
    stage.run(ROUND);
    assert!(!name("chain").exists() && name("chain.part").exists());
    let (recording, why) = (id(1), Fault::DiskFails);
    assert_eq!(stage.told(), [Report::Gap { recording, why }]);
    are(&acts(dir.path(), 1), &[("kept", "whole")]);
}

#[test]
fn one_of_a_server_before_that_is_too_short_is_not_kept() {
    let dir = folder();
    let mut stage = left_behind(dir.path(), &[1, 2]);
    stage.order(stage.short(1));
    stage.order(Order::EndLeft(id(2), noon()));
    stage.run(ROUND);
    look(&mut Keeper::default(), &stage, stage.now().wall);
    let (index, _) = Index::scan(dir.path()).expect("it can be read");
    assert!(index.get(id(1)).is_none());
    assert_eq!(index.get(id(2)).map(|entry| entry.state), Some(State::Whole));
}

#[test]
fn one_that_is_longer_than_its_call_says_is_whole_and_noted_as_others_are() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(3));
    stage.order(stage.short(1));
    stage.run(ROUND);
    assert_eq!(is_whole(&stage.place(1)), Some(0));
    assert_eq!(end_of(&stage, 1), Some(sha_of(&stage.place(1))));
    assert_eq!(stage.shared.status.counts().open, 0);
    are(&acts(dir.path(), 1), &[("kept", "whole")]);
}

#[test]
fn audio_that_is_kept_though_no_chain_tells_of_it_is_not_noted_as_nothing() {
    let dir = folder();
    let mut stage = left_behind(dir.path(), &[1]);
    let name = |end: &str| stage.place(1).day.join(format!("{}.{end}", id(1)));
    std::fs::write(name("chain.part"), "{\"form\":1,").expect("room");
    let damaged = name("wav.damaged");
    stage.order(Order::EndLeft(id(1), noon()));
    stage.run(ROUND);
    assert!(damaged.exists());
    are(
        &acts(dir.path(), 1),
        &[("ended", "without a chain: its audio stays")],
    );
}

/// A minute after another one was killed that had begun these and written less than a second of each.
fn left_behind(dir: &Path, numbers: &[u128]) -> Stage {
    let mut stage = Stage::at(dir, 0);
    for number in numbers {
        stage.order(Order::Begin(stage.begin(*number, Sound::Narrow)));
        stage.speaks(*number);
    }
    stage.run(Duration::from_millis(1_400));
    drop(stage);
    Stage::at(dir, 60_000)
}

#[test]
fn what_ended_with_its_server_is_whole_and_noted_as_soon_as_its_call_says_so() {
    let dir = folder();
    let mut stage = left_behind(dir.path(), &[1]);
    stage.order(Order::EndLeft(id(1), noon()));
    stage.run(ROUND);
    assert_eq!(is_whole(&stage.place(1)), Some(1));
    assert_eq!(end_of(&stage, 1), Some(sha_of(&stage.place(1))));
    // It is over for the keeper too, and said a second time it changes nothing.
    stage.order(Order::EndLeft(id(1), noon()));
    stage.run(ROUND);
    assert_eq!(stage.shared.status.counts().open, 0);
    are(&acts(dir.path(), 1), &[("ended", "whole"), ("kept", "whole")]);
}

#[test]
fn what_ended_with_its_server_waits_for_whoever_writes_it_and_for_the_disk() {
    let dir = folder();
    let mut before = Stage::at(dir.path(), 0);
    before.order(Order::Begin(before.begin(1, Sound::Narrow)));
    before.speaks(1);
    before.run(seconds(2));
    let mut stage = Stage::beside(dir.path(), 60_000);
    stage.order(Order::EndLeft(id(1), noon()));
    stage.run(seconds(1));
    // The keeper leaves it alone meanwhile.
    assert_eq!(stage.shared.status.counts().open, 1);
    assert_eq!(is_whole(&stage.place(1)), None);
    drop(before);
    fault::set_room(Some(0));
    stage.run(seconds(1));
    assert_eq!(is_whole(&stage.place(1)), None);
    fault::set_room(None);
    stage.run(seconds(1));
    assert_eq!(
        (is_whole(&stage.place(1)), stage.shared.status.counts().open),
        (Some(1), 0)
    );
}

#[test]
fn what_never_had_files_does_not_end() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::EndLeft(id(1), noon()));
    stage.run(seconds(1));
    assert_eq!(stage.shared.status.counts().open, 0);
    are(&acts(dir.path(), 1), &[]);
}

#[test]
fn a_clock_that_went_astray_while_the_server_was_down_deletes_nothing_before_a_day_is_over() {
    const DAY: u64 = 86_400_000;
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    record(&mut stage, 1, 2);
    Keeper::default().turn(&stage.shared);
    drop(stage);
    // It does so again and again, and what it notes meanwhile proves nothing.
    for minutes in [5, 10] {
        let mut stage = Stage::at(dir.path(), minutes * 60_000);
        stage.skew.store(31 * DAY, Ordering::Relaxed);
        record(&mut stage, u128::from(minutes), 2);
        let mut keeper = Keeper::default();
        keeper.turn(&stage.shared);
        assert!(is_whole(&stage.place(1)).is_some());
        let said = stage.shared.status.doubt().expect("it is said");
        assert!(
            said.contains("31 days more") && said.contains("Set the clock"),
            "{said}"
        );
        stage.clock.fetch_add(DAY / 2, Ordering::Relaxed);
        keeper.turn(&stage.shared);
        assert!(is_whole(&stage.place(1)).is_some());
    }
    let stage = Stage::at(dir.path(), 15 * 60_000);
    let mut keeper = Keeper::default();
    keeper.turn(&stage.shared);
    assert_eq!(stage.shared.status.doubt(), None, "it was corrected");
    stage.skew.store(31 * DAY, Ordering::Relaxed);
    for _ in 0..2 {
        keeper.turn(&stage.shared);
        assert!(stage.shared.status.doubt().is_some());
        stage.clock.fetch_add(DAY / 4 * 3, Ordering::Relaxed);
    }
    keeper.turn(&stage.shared);
    assert_eq!(stage.shared.status.doubt(), None);
    let (index, _) = Index::scan(dir.path()).expect("it can be read");
    assert!(index.get(id(1)).is_none(), "it was right after all");
}

#[test]
fn where_no_clock_was_kept_the_audit_log_tells_when_something_was_noted_last() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    record(&mut stage, 1, 2);
    drop(stage);
    let stage = Stage::at(dir.path(), 31 * 86_400_000);
    Keeper::default().turn(&stage.shared);
    assert!(stage.shared.status.doubt().is_some());
    assert!(is_whole(&stage.place(1)).is_some());
}

#[test]
fn accounts_may_have_theirs_kept_longer_or_shorter_but_never_shorter_than_the_law_asks() {
    let config = Config {
        at_least_days: 10,
        ..config(Path::new("."))
    };
    let terms = |keep_days, at_least_days| Keeping {
        keep_days,
        at_least_days,
    };
    let retention = config.retention([
        ("short".into(), terms(Some(5), Some(3))),
        ("long".into(), terms(Some(90), None)),
        ("held".into(), terms(None, Some(60))),
    ]);
    let days = |at: Wall| at.since(noon()).as_secs() / 86_400;
    let of = |account| {
        let account = Some(account);
        (
            days(retention.until(account, 0, noon())),
            days(retention.not_before(account, 0, noon())),
        )
    };
    assert_eq!(of("other"), (30, 10));
    assert_eq!(of("short"), (10, 10));
    assert_eq!(of("long"), (90, 10));
    assert_eq!(of("held"), (60, 60));
}
