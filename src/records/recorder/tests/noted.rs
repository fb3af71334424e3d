//! What the audit log has of recordings, and what it keeps the recorder from.

use super::*;
use crate::records::audit::{Act, Line};
use crate::records::recordings::chain::Sha;

/// A recording of so many seconds, which is over.
pub(super) fn record(stage: &mut Stage, number: u128, time: u64) {
    record_unnoted(stage, number, time);
    stage.scribe.rest();
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
    stage.scribe.rest();
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
    stage.scribe.rest();
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
        keeper.look(&stage.shared, stage.now().wall);
    }
    assert_eq!(end_of(&stage, 1), Some(sha_of(&stage.place(1))));
    are(&acts(dir.path(), 1), &[("kept", "noted later")]);
    are(&acts(dir.path(), 2), &[]);
}

#[test]
fn what_the_keeper_ends_and_deletes_is_noted() {
    let dir = folder();
    left_by_a_killed_one(dir.path(), seconds(3));
    let stage = Stage::at(dir.path(), 60_000);
    let mut keeper = Keeper::default();
    keeper.look(&stage.shared, stage.now().wall);
    assert_eq!(end_of(&stage, 1), Some(sha_of(&stage.place(1))));
    keeper.look(&stage.shared, noon().plus(seconds(31 * 86_400)));
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
    keeper.look(&stage.shared, later);
    fault::set_room(None);
    let chain = stage.place(1).day.join(format!("{}.chain", id(1)));
    let is_there = || chain.exists();
    assert!(is_there());
    keeper.look(&stage.shared, later);
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
    keeper.look(&stage.shared, later);
    fault::set_room(None);
    assert!(!stage.place(1).day.join(format!("{}.chain", id(1))).exists());
    are(&acts(dir.path(), 1), &[("kept", "whole"), ("aged", "goes")]);
    keeper.look(&stage.shared, later);
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
    Keeper::default().look(&stage.shared, stage.now().wall);
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
    Keeper::default().look(&stage.shared, stage.now().wall);
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
    let mut stage = Stage::at(dir.path(), 0);
    for number in [1, 2] {
        stage.order(Order::Begin(stage.begin(number, Sound::Narrow)));
    }
    stage.run(seconds(1));
    drop(stage);
    let mut stage = Stage::at(dir.path(), 60_000);
    stage.order(stage.short(1));
    stage.order(Order::EndLeft(id(2)));
    stage.run(ROUND);
    Keeper::default().look(&stage.shared, stage.now().wall);
    let (index, _) = Index::scan(dir.path()).expect("it can be read");
    assert!(index.get(id(1)).is_none());
    assert_eq!(index.get(id(2)).map(|entry| entry.state), Some(State::Whole));
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
            days(retention.until(account, noon())),
            days(retention.not_before(account, noon())),
        )
    };
    assert_eq!(of("other"), (30, 10));
    assert_eq!(of("short"), (10, 10));
    assert_eq!(of("long"), (90, 10));
    assert_eq!(of("held"), (60, 60));
}
