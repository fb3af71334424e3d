//! The real server is killed, or stopped, while people talk: they go on talking through the one that comes after it.

#[path = "support/server.rs"]
mod server;
#[path = "support/talk.rs"]
mod talk;

use std::time::Duration;

use serde_json::{Value, json};

use server::{A, B, Server, Setup, X};
use talk::{Callee, Talk};

fn start(callee: &Callee) -> Server {
    let server = Server::start(&Setup {
        gateway: callee.address(),
        media_nat: "strict",
        log: "info",
        calls: 50,
        also: Vec::new(),
    });
    server.bind(X, A, B, "");
    server
}

/// Changes a line of the conf.
fn conf(server: &Server, old: &str, new: &str) {
    let path = server.folder().join("umbra.toml");
    let text = std::fs::read_to_string(&path).expect("the conf");
    assert!(text.contains(old), "{old} is not in {text}");
    std::fs::write(&path, text.replace(old, new)).expect("it can be written");
}

fn status(server: &Server) -> Value {
    serde_json::from_str(&server.done("status --json")).expect("JSON")
}

/// The only record: a call that was answered and ended like any other.
fn is_whole(record: &Value) {
    assert_eq!(record["sip_status"], 200, "{record}");
    assert_eq!(record["released_by"], "caller", "{record}");
    assert!(record.get("end_cause").is_none(), "{record}");
    let packets = |side: &str| record["media"][side]["packets_in"].as_u64().expect("a count");
    assert!(packets("caller") >= 10 && packets("callee") >= 10, "{record}");
}

#[test]
fn a_talk_goes_on_after_kill_9_again_and_again_and_has_one_record() {
    let callee = Callee::new();
    let mut server = start(&callee);
    let talk = Talk::begin(server.sip, callee, 1);
    for round in 1..=3 {
        server.kill();
        server.start_again();
        talk.both_hear();
        assert_eq!(
            talk.streams(),
            [1 + round; 2],
            "each process has an SSRC of its own"
        );
        println!("silent for {:?}", talk.gap());
        assert_eq!(server.calls(), 1);
        assert_eq!(status(&server)["calls_before"], json!({"taken": 1, "ended": 0}));
        assert!(server.done("status").contains("1 of the server before went on"));
    }
    talk.end();
    is_whole(&server.settled(1)[0]);
    assert!(
        server
            .printed()
            .contains("calls of the server before: 1 go on, 0 have ended")
    );
    server.prints_no_number();
    // Nothing comes back.
    server.kill();
    server.start_again();
    assert_eq!(status(&server)["calls_before"], json!({"taken": 0, "ended": 0}));
    server.settled(1);
}

#[test]
fn a_talk_goes_on_under_other_numbers_of_shards_and_media_threads() {
    let callee = Callee::new();
    let mut server = start(&callee);
    let talk = Talk::begin(server.sip, callee, 1);
    for (shards, threads) in [(3, 2), (2, 3), (5, 1), (1, 1)] {
        server.kill();
        let path = server.folder().join("umbra.toml");
        let text = std::fs::read_to_string(&path).expect("the conf");
        let plain: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with("shards") && !line.starts_with("threads"))
            .collect();
        let text = plain
            .join("\n")
            .replace("[sip]", &format!("[sip]\nshards = {shards}"))
            .replace("[media]", &format!("[media]\nthreads = {threads}"));
        std::fs::write(&path, text).expect("it can be written");
        server.start_again();
        talk.both_hear();
        assert_eq!(status(&server)["calls_before"]["taken"], 1, "{shards} shards");
    }
    talk.end();
    is_whole(&server.settled(1)[0]);
}

#[test]
fn a_talk_that_was_left_alone_for_too_long_ends_on_both_sides_with_a_record() {
    let callee = Callee::new();
    let mut server = start(&callee);
    let talk = Talk::begin(server.sip, callee, 1);
    server.kill();
    conf(&server, "[sip]", "[node]\nrestore_within_s = 0\n[sip]");
    // The last sign of life is at most a second old.
    std::thread::sleep(Duration::from_millis(1_100));
    server.start_again();
    talk.ended();
    let records = server.settled(1);
    assert_eq!(records[0]["end_cause"], "restart", "{}", records[0]);
    assert_eq!(records[0]["released_by"], "server", "{}", records[0]);
    assert_eq!(status(&server)["calls_before"], json!({"taken": 0, "ended": 1}));
}

#[test]
fn a_talk_whose_ports_are_not_ours_any_more_ends_on_both_sides_with_a_record() {
    let callee = Callee::new();
    let mut server = start(&callee);
    let talk = Talk::begin(server.sip, callee, 1);
    server.kill();
    let path = server.folder().join("umbra.toml");
    let text = std::fs::read_to_string(&path).expect("the conf");
    let ports = text
        .lines()
        .find(|line| line.starts_with("ports"))
        .expect("the range");
    let first: u16 = ports[9..]
        .split('-')
        .next()
        .and_then(|n| n.parse().ok())
        .expect("a port");
    // The call has the first ports; the second half of the range is enough for others.
    let later = format!("ports = \"{}-{}\"", first + 500, first + 999);
    std::fs::write(&path, text.replace(ports, &later)).expect("it can be written");
    server.start_again();
    talk.ended();
    let records = server.settled(1);
    assert_eq!(records[0]["end_cause"], "restart", "{}", records[0]);
    assert_eq!(status(&server)["calls_before"], json!({"taken": 0, "ended": 1}));
}

#[test]
fn calls_of_a_newer_program_refuse_the_start_and_are_not_lost() {
    let callee = Callee::new();
    let mut server = start(&callee);
    let talk = Talk::begin(server.sip, callee, 1);
    server.kill();
    let journal = server.data().join("journal");
    let segment = std::fs::read_dir(&journal)
        .expect("the journal")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.extension().is_some_and(|end| end == "log"))
        .expect("a segment");
    let bytes = std::fs::read(&segment).expect("it can be read");
    // As the same state would be, written by the version after this.
    std::fs::write(&segment, newer(&bytes)).expect("it can be written");
    server.launch();
    assert!(!server.ended().success());
    let printed = server.printed();
    assert!(
        printed.contains("1 calls in progress as a newer umbra wrote them down"),
        "{printed}"
    );
    std::fs::write(&segment, bytes).expect("it can be written");
    server.start_again();
    talk.both_hear();
    talk.end();
    is_whole(&server.settled(1)[0]);
}

/// The journal with the version of every state raised by one, and the checksums put right.
fn newer(journal: &[u8]) -> Vec<u8> {
    const KEPT: u8 = 16 + 6;
    let mut bytes = journal.to_vec();
    let mut at = 12;
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_le_bytes(length.try_into().expect("four")) as usize;
        let body = at + 8..at + 8 + length;
        if bytes[body.start] == KEPT {
            bytes[body.start + 25] += 1;
            let crc = crc32fast::hash(&bytes[body.clone()]);
            bytes[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        }
        at = body.end;
    }
    bytes
}
