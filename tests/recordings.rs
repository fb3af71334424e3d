//! A real server records calls: what each side says lies in its channel at its time, a killed server goes on with the
//! same files, and nobody who may not be recorded is.

#[path = "support/recorded.rs"]
mod recorded;
#[path = "support/server.rs"]
mod server;
#[path = "support/talk.rs"]
mod talk;

use std::time::{Duration, SystemTime};

use serde_json::Value;
use umbra::records::recordings::index::Index;
use umbra::rtp::g711::Law;

use recorded::{RATE, Said, all, dir, is_noted, passed, record_of, talks};
use server::{A, B, Server, X};
use talk::{Callee, Talk};

/// A number of class 95.
const CLASS_95: &str = "95588";

fn recording(callee: &Callee) -> Server {
    let mut server = recorded::recording(callee, 50);
    server.start_again();
    server
}

#[test]
fn each_side_is_in_its_channel_at_the_time_at_which_it_was_heard() {
    let callee = Callee::new();
    let server = recording(&callee);
    let said = Said::tones();
    let talk = Talk::saying(server.sip, callee, 1, X, said.spoken());
    let began = talk.began();
    passed(began[0], Duration::from_secs(6));
    talk.end();
    let record = server.settled(1).remove(0);
    let recorded = all(&dir(&server), 1).remove(0);
    assert_eq!(record["recording"]["state"], "kept", "{record}");
    assert_eq!(
        record["recording"]["id"],
        Value::from(recorded.entry.recording.to_string())
    );
    assert_eq!(record["call_id"], recorded.call());
    assert_eq!(recorded.gaps(), 0);
    is_noted(&server, &recorded);
    let length = recorded.channels[0].len();
    assert!(length >= 6 * RATE, "{length} samples");
    recorded.both_lie_right(&said, 1..recorded.seconds() - 1, began);
}

#[test]
fn a_killed_server_goes_on_with_its_recordings_in_the_same_files() {
    const CALLS: u32 = 4;
    let callee = Callee::new();
    let mut server = recording(&callee);
    let said = Said::tones();
    let talks = talks(&server, callee, 0..CALLS, &said);
    passed(talks[3].began()[0], Duration::from_secs(4));
    server.kill();
    server.start_again();
    let again = SystemTime::now();
    talks.iter().for_each(Talk::both_hear);
    passed(again, Duration::from_secs(4));
    let began: Vec<_> = talks.iter().map(Talk::began).collect();
    talks.into_iter().for_each(Talk::end);
    let records = server.settled(CALLS as usize);
    for (recorded, began) in all(&dir(&server), CALLS as usize).iter().zip(began) {
        assert!(recorded.gaps() >= 1, "the gap is marked");
        is_noted(&server, recorded);
        let record = record_of(&records, recorded);
        assert_eq!(record["recording"]["state"], "gaps", "{record}");
        assert_eq!(record["recording"]["reason"], "restart", "{record}");
        recorded.both_lie_right(&said, 1..2, began);
        // They are heard after it too.
        let after = recorded.second_after(again) + 1;
        recorded.both_lie_right(&said, after..recorded.seconds() - 1, began);
    }
}

#[test]
fn speech_is_found_in_both_channels_whatever_sources_and_codecs_come_and_go() {
    let callee = Callee::new();
    let server = recording(&callee);
    let said = Said::speech();
    let talk = Talk::saying(server.sip, callee, 1, X, said.spoken());
    let began = talk.began();
    passed(began[0], Duration::from_secs(4));
    let others = SystemTime::now();
    talk.are_others();
    passed(others, Duration::from_secs(4));
    let changed = SystemTime::now();
    talk.changes_to(Law::Mu);
    passed(changed, Duration::from_secs(4));
    talk.end();
    let record = server.settled(1).remove(0);
    assert_eq!(record["recording"]["state"], "kept", "{record}");
    let recorded = all(&dir(&server), 1).remove(0);
    recorded.gaps();
    let [others, changed] = [others, changed].map(|moment| recorded.second_after(moment));
    for seconds in [
        1..others - 1,
        others..changed - 1,
        changed + 1..recorded.seconds() - 1,
    ] {
        recorded.both_lie_right(&said, seconds, began);
    }
}

#[test]
fn calls_of_a_95_number_are_never_recorded() {
    let callee = Callee::new();
    let server = recording(&callee);
    server.bind(CLASS_95, A, B, "--record");
    let talk = Talk::saying(server.sip, callee, 1, CLASS_95, Said::tones().spoken());
    passed(talk.began()[0], Duration::from_secs(2));
    talk.end();
    let record = server.settled(1).remove(0);
    assert_eq!(record["recording"]["reason"], "class_95", "{record}");
    let (index, scanned) = Index::scan(&dir(&server)).expect("it can be read");
    assert!(index.is_empty() && scanned.unreadable == 0);
}
