//! Fifty recordings at once on a real server: it is killed in the middle of them, twice, and their disk is full, or slow.
//! Each time all that can be there is there, at its time, and whoever reads is told what isn't.

#[path = "support/recorded.rs"]
mod recorded;
#[path = "support/server.rs"]
mod server;
#[path = "support/talk.rs"]
mod talk;

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use umbra::records::recordings::verify::Verdict;

use recorded::{Recorded, Said, all, dir, passed, present, record_of, recording, talks};
use server::{Server, fill, until};
use talk::{Callee, Talk};

const CALLS: u32 = 50;
/// Calls that a server has ports for: those of a call that is over rest for a while.
const CAPACITY: u16 = 100;
/// How much of a recording isn't on disk yet: the second that is heard, and how long what is late is waited for.
const UNWRITTEN_MS: i64 = 2_000;
/// How long it takes until no more of fifty calls may wait for the disk: 64 MiB, at 33 kB a second each.
const WAITS: Duration = Duration::from_secs(41);

/// One at a time: each of them is as much as two cores have to do.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // One that failed has left nothing behind.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// Packets that were sent and not heard.
fn lacking(talks: &[Talk]) -> u64 {
    talks.iter().map(Talk::lacking).sum()
}

/// Right after a kill: all that was heard up to the last second is there, and nothing is said to be changed.
fn is_readable(server: &Server, talks: &[Talk], said: &Said, since: SystemTime, killed: SystemTime) {
    let left = present(&dir(server));
    assert_eq!(left.len(), talks.len());
    for (recorded, talk) in left.iter().zip(talks) {
        match &recorded.verdict {
            Verdict::Unfinished { .. } | Verdict::Torn { .. } => {}
            other @ (Verdict::Whole { .. } | Verdict::Changed { .. }) => panic!("{other:?}"),
        }
        let lost = recorded.ms(killed) - recorded.channels[0].len() as i64 / 8;
        assert!(lost <= UNWRITTEN_MS, "the last {lost} ms aren't there");
        let heard = recorded.second_after(since) + 1..recorded.seconds();
        recorded.both_lie_right(said, heard, talk.began());
    }
}

#[test]
fn fifty_recordings_of_a_server_that_is_killed_twice_go_on_in_the_same_files() {
    let _alone = alone();
    let callee = Callee::new();
    let mut server = recording(&callee, CAPACITY);
    server.start_again();
    let said = Said::tones();
    let talks = talks(&server, callee, 0..CALLS, &said);
    let mut talked = vec![talks[CALLS as usize - 1].began()[0]];
    for _ in 0..2 {
        let since = *talked.last().expect("one at least");
        passed(since, seconds(5));
        let killed = SystemTime::now();
        server.kill();
        is_readable(&server, &talks, &said, since, killed);
        server.start_again();
        talked.push(SystemTime::now());
        talks.iter().for_each(Talk::both_hear);
    }
    passed(talked[2], seconds(5));
    let began: Vec<_> = talks.iter().map(Talk::began).collect();
    let over = SystemTime::now();
    talks.iter().for_each(Talk::hang_up);
    talks.into_iter().for_each(Talk::hangs_up);
    let records = server.settled(CALLS as usize);
    for (recorded, began) in all(&dir(&server), CALLS as usize).iter().zip(began) {
        assert!(recorded.gaps() >= 2, "each gap is marked");
        for (from, until) in talked.iter().zip(talked[1..].iter().map(Some).chain([None])) {
            // Two seconds after each start it has gone on for two at least.
            let from = recorded.second_after(*from) + 1;
            let until = until.map_or(recorded.second_after(over) - 1, |_| from + 2);
            recorded.both_lie_right(&said, from..until, began);
        }
        is_said(record_of(&records, recorded), ["gaps", "restart"]);
    }
}

fn is_said(record: &Value, [state, reason]: [&str; 2]) {
    let said = &record["recording"];
    assert_eq!([&said["state"], &said["reason"]], [state, reason], "{record}");
}

#[test]
fn a_disk_that_is_full_under_fifty_recordings_disturbs_no_call_and_leaves_a_marked_gap() {
    let _alone = alone();
    let callee = Callee::new();
    let mut server = recording(&callee, CAPACITY);
    fs::create_dir(dir(&server)).expect("a place for the disk");
    let Some(disk) = server.launch_with_a_disk("150m", "data/recordings") else {
        eprintln!("no mount namespace here: left out");
        return;
    };
    server.await_answer();
    let said = Said::tones();
    let more = [callee.another(), callee.another()];
    let held = talks(&server, callee, 0..CALLS, &said);
    passed(held[CALLS as usize - 1].began()[0], seconds(4));

    let filler = fill(&disk);
    let full = SystemTime::now();
    until("the owner hears of it", || {
        server.done("status").contains("the disk is full")
    });
    // One begins and ends meanwhile, another begins and lasts.
    let [brief, lasting] = more;
    let brief = talks(&server, brief, CALLS..CALLS + 1, &said).remove(0);
    let lasting = talks(&server, lasting, CALLS + 1..CALLS + 2, &said);
    let brief_began = brief.began();
    passed(brief_began[0], seconds(5));
    brief.end();
    until("it is over", || server.records().len() == 1);
    // What it said waits, and nobody knows yet for how long.
    is_said(&server.records()[0], ["gaps", "disk full"]);
    thread::sleep((WAITS + seconds(5)).saturating_sub(full.elapsed().unwrap_or_default()));

    fs::remove_file(filler).expect("our own file");
    let room = SystemTime::now();
    until("all is well again", || {
        !server.done("status").contains("the disk is full")
    });
    passed(room, seconds(6));
    let talks: Vec<Talk> = held.into_iter().chain(lasting).collect();
    assert_eq!(lacking(&talks), 0, "every packet was heard");
    let began: Vec<_> = talks.iter().map(Talk::began).collect();
    talks.iter().for_each(Talk::hang_up);
    talks.into_iter().for_each(Talk::hangs_up);
    let records = server.settled(CALLS as usize + 2);
    let mut all = all(&disk, CALLS as usize + 2);
    // All of it came to the disk, once there was room.
    let is_brief = |recorded: &Recorded| records[0]["call_id"] == recorded.call();
    let at = all.iter().position(is_brief).expect("it is there");
    let brief = all.remove(at);
    assert_eq!(brief.gaps(), 0);
    brief.both_lie_right(&said, 1..brief.seconds() - 1, brief_began);
    for (recorded, began) in all.iter().zip(began) {
        assert!(recorded.gaps() >= 1, "the gap is marked");
        is_said(record_of(&records, recorded), ["gaps", "disk full"]);
        // What waited is there too.
        let waited = recorded.second_after(began[0]) + 1..recorded.second_after(full) + 30;
        recorded.both_lie_right(&said, waited.step_by(5), began);
        let after = recorded.second_after(room) + 2;
        recorded.both_lie_right(&said, after..recorded.seconds() - 1, began);
    }
}

#[test]
fn a_slow_disk_disturbs_no_call_and_nothing_is_missing() {
    const CALLS: u32 = 4;
    let _alone = alone();
    let callee = Callee::new();
    let mut server = recording(&callee, 50);
    server.launch_on_a_slow_disk();
    let said = Said::tones();
    let talks = talks(&server, callee, 0..CALLS, &said);
    passed(talks[0].began()[0], seconds(12));
    assert_eq!(lacking(&talks), 0, "every packet was heard");
    let began: Vec<_> = talks.iter().map(Talk::began).collect();
    talks.into_iter().for_each(Talk::end);
    let records = server.settled(CALLS as usize);
    for (recorded, began) in all(&dir(&server), CALLS as usize).iter().zip(began) {
        assert_eq!(recorded.gaps(), 0);
        let record = record_of(&records, recorded);
        assert_eq!(record["recording"]["state"], "kept", "{record}");
        recorded.both_lie_right(&said, 1..recorded.seconds() - 1, began);
    }
}
