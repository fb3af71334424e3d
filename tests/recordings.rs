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

use recorded::{RATE, Said, all, dir, has_end, is_noted, passed, record_of, talks, with_beside};
use server::{A, B, Server, X};
use talk::{Callee, Codec, Talk};

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
    talk.changes_to(Codec::G711(Law::Mu));
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
fn what_is_said_in_a_codec_that_is_not_read_lies_beside_exactly_as_both_heard_it() {
    let callee = Callee::new();
    let server = recording(&callee);
    let said = Said::tones();
    let talk = Talk::saying(server.sip, callee, 1, X, said.spoken());
    let began = talk.began();
    passed(began[0], Duration::from_secs(4));
    let turned = SystemTime::now();
    talk.changes_to(Codec::Opus);
    passed(turned, Duration::from_secs(3));
    let back = SystemTime::now();
    talk.changes_to(Codec::G711(Law::A));
    passed(back, Duration::from_secs(4));
    let [by_a, by_b] = talk.opus();
    talk.end();
    let record = server.settled(1).remove(0);
    let (recorded, beside) = with_beside(&dir(&server));
    let said_of_it = &record["recording"];
    assert_eq!(
        (&said_of_it["state"], &said_of_it["reason"]),
        (&"gaps".into(), &"codec".into()),
        "{record}"
    );
    assert_eq!(
        said_of_it["id"],
        Value::from(recorded.entry.recording.to_string())
    );
    // The tones of before and after are in the WAV file.
    let [before, after] = [turned, back].map(|moment| recorded.second_after(moment));
    for seconds in [1..before - 1, after + 1..recorded.seconds() - 1] {
        recorded.both_lie_right(&said, seconds, began);
    }
    // What was said between is beside it: what the caller said B has heard, and the other way round.
    assert!(
        by_a.len() > 100 && by_b.len() > 100,
        "{} and {}",
        by_a.len(),
        by_b.len()
    );
    let between = recorded.ms(turned)..recorded.ms(back) + 1_000;
    for (heard, packets) in [by_b, by_a].into_iter().zip(&beside.packets) {
        let is_between = |(ms, _): &(u32, Vec<u8>)| between.contains(&i64::from(*ms));
        assert!(packets.iter().all(is_between), "{between:?}");
        let packets = packets.iter().map(|(_, bytes)| bytes);
        assert!(packets.eq(&heard), "each packet, in its order");
    }
    assert_eq!(beside.entry.began, recorded.entry.began);
    let length = recorded.channels[0].len() as u64 * 1_000 / RATE as u64;
    assert!(
        beside.length.abs_diff(length) <= 1,
        "{} and {length}",
        beside.length
    );
    is_noted(&server, &recorded);
    has_end(&server, &beside.entry, &beside.verdict);
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

#[test]
fn a_server_that_records_no_more_still_ends_shows_and_erases_what_was_recorded() {
    let callee = Callee::new();
    let mut server = recording(&callee);
    let talk = Talk::saying(server.sip, callee, 1, X, Said::tones().spoken());
    passed(talk.began()[0], Duration::from_secs(3));
    server.kill();
    let conf = server.folder().join("umbra.toml");
    let text = std::fs::read_to_string(&conf).expect("its conf");
    std::fs::write(&conf, text.replace("enabled = true", "enabled = false")).expect("it is ours");
    server.start_again();
    talk.both_hear();
    talk.end();
    let record = server.settled(1).remove(0);
    assert_eq!(record["recording"]["state"], "gaps", "{record}");
    // Nobody goes on with it, and it isn't left as it is.
    let recorded = all(&dir(&server), 1).remove(0);
    assert!(recorded.gaps() >= 1, "where it ends is marked");
    is_noted(&server, &recorded);
    let id = recorded.entry.recording.to_string();
    assert!(server.done("recording list").contains(&id));
    assert!(server.done(&format!("recording verify {id}")).contains("whole"));
    server.done(&format!("recording erase {id} --yes"));
    assert!(!server.done("recording list").contains(&id));
}
