//! What a bad disk does, each on the real server: a torn end of the log, a flipped bit in each of its files. What
//! was acknowledged is there, or the server doesn't start; and in either case it says which file and what to do.

#[path = "support/server.rs"]
mod server;

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use serde_json::Value;

use server::{A, B, CALLEE, CARRIER, PATIENCE, SMALL_DISK, Server, X, until};

fn start() -> Server {
    Server::with_a_pair(SocketAddr::from((CALLEE, 9)))
}

/// How many bindings are live.
fn bindings(server: &Server) -> usize {
    let listed: Vec<Value> = serde_json::from_str(&server.done("bindings --json")).expect("JSON");
    listed.len()
}

fn bind_more(server: &Server, numbers: std::ops::Range<u32>) {
    for n in numbers {
        server.done(&format!("bind axb --x {X} --a 136{n:08} --b 137{n:08}"));
    }
}

/// The files under `data/FOLDER` whose names end so, in order.
fn files(server: &Server, folder: &str, end: &str) -> Vec<PathBuf> {
    let dir = server.folder().join("data").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(&dir)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().ends_with(end))
        .collect();
    files.sort();
    files
}

fn last(server: &Server, folder: &str, end: &str) -> PathBuf {
    files(server, folder, end).pop().expect("there is one")
}

fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .expect("a name of ours")
}

/// Flips one bit of the byte that lies so far into the file.
fn flip(path: &Path, part: f64) {
    let mut bytes = fs::read(path).expect("the file is there");
    let at = (bytes.len() as f64 * part) as usize;
    bytes[at] ^= 0x04;
    fs::write(path, bytes).expect("it can be written");
}

/// Asserts that the server said one line with all of these words in it.
fn said(server: &Server, words: &[&str]) {
    let printed = server.printed();
    let is_there = printed
        .lines()
        .any(|line| words.iter().all(|word| line.contains(word)));
    assert!(is_there, "no line has all of {words:?}:\n{printed}");
}

/// Calls X from nobody's number, and waits for the refusal: an attempt that leaves a record.
fn attempt(server: &Server, n: u32) {
    let socket = UdpSocket::bind((CARRIER, 0)).expect("a port");
    socket.set_read_timeout(Some(PATIENCE)).expect("no zero");
    let (here, there) = (socket.local_addr().expect("bound"), server.sip);
    let head = |method: &str, tag: &str| {
        format!(
            "{method} sip:{X}@{there} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKd{n};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:135{n:08}@{here}>;tag=f{n}\r\nTo: <sip:{X}@{there}>{tag}\r\nCall-ID: damage{n}\r\n\
             CSeq: 1 {method}\r\nContact: <sip:{here}>\r\nContent-Length: 0\r\n\r\n"
        )
    };
    socket
        .send_to(head("INVITE", "").as_bytes(), there)
        .expect("sent");
    let mut buffer = [0; 4_096];
    loop {
        let (len, _) = socket.recv_from(&mut buffer).expect("an answer");
        let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
        let tag = text
            .lines()
            .find_map(|line| line.strip_prefix("To:")?.split_once(";tag="));
        if let (false, Some((_, tag))) = (text.starts_with("SIP/2.0 1"), tag) {
            let ack = head("ACK", &format!(";tag={}", tag.trim()));
            socket.send_to(ack.as_bytes(), there).expect("sent");
            return;
        }
    }
}

#[test]
fn a_torn_end_of_the_log_is_cut_off_and_said_and_nothing_acknowledged_is_lost() {
    let mut server = start();
    bind_more(&server, 0..20);
    server.kill();
    let log = last(&server, "log", ".log");
    let whole = fs::read(&log).expect("the log");
    // A group that was being written when the power went: its head, and a part of it.
    let torn = [&whole[..], &[90, 0, 0, 0, 1, 2, 3, 4, 22, 0, 0, 0], &[7; 40]].concat();
    fs::write(&log, torn).expect("it can be written");
    server.start_again();
    assert_eq!(bindings(&server), 21);
    said(
        &server,
        &[
            name(&log),
            "52 bytes were cut off",
            "nothing of it had been acknowledged",
        ],
    );
    assert_eq!(fs::read(&log).expect("the log").len(), whole.len());
    bind_more(&server, 20..30);
    server.kill();
    server.start_again();
    assert_eq!(bindings(&server), 31);
}

#[test]
fn a_flipped_bit_in_a_log_that_sled_has_all_of_is_said_and_costs_nothing() {
    let mut server = start();
    bind_more(&server, 0..20);
    // A clean stop: sled has all.
    server.stop();
    let log = last(&server, "log", ".log");
    flip(&log, 0.5);
    server.start_again();
    assert_eq!(bindings(&server), 21);
    said(
        &server,
        &[
            name(&log),
            "is damaged at byte",
            "nothing is lost",
            ".log.broken: check the disk",
        ],
    );
    bind_more(&server, 20..25);
    server.kill();
    server.start_again();
    assert_eq!(bindings(&server), 26);
}

#[test]
fn a_flipped_bit_in_a_log_that_is_needed_keeps_the_server_from_starting_and_changes_nothing() {
    let mut server = start();
    bind_more(&server, 0..20);
    server.stop();
    fs::remove_dir_all(server.folder().join("data/sled")).expect("sled is there");
    let log = last(&server, "log", ".log");
    flip(&log, 0.5);
    let damaged = fs::read(&log).expect("the log");
    server.launch();
    assert!(!server.ended().success());
    said(
        &server,
        &[
            name(&log),
            "is damaged at byte",
            "check the disk, then restore the store's folder from a backup",
            "nothing was changed",
        ],
    );
    assert_eq!(fs::read(&log).expect("the log"), damaged);
    // With the bit as it was, all is there.
    flip(&log, 0.5);
    server.start_again();
    assert_eq!(bindings(&server), 21);
}

#[test]
fn a_flipped_bit_in_sleds_file_is_said_and_sled_is_rebuilt() {
    let mut server = start();
    bind_more(&server, 0..20);
    server.stop();
    // In the middle of each record that stands there in any version.
    let db = last(&server, "sled", "db");
    let mut bytes = fs::read(&db).expect("sled's file");
    let places: Vec<usize> = (0..bytes.len())
        .filter(|at| bytes[*at..].starts_with(b"FC100000000000001"))
        .collect();
    assert!(places.len() > 10, "records stand there as they are");
    for place in places {
        bytes[place] ^= 0x04;
    }
    fs::write(&db, bytes).expect("it can be written");
    server.start_again();
    assert_eq!(bindings(&server), 21);
    // sled itself cuts its file off where it is damaged; what it lost by that is in the log.
    said(
        &server,
        &[
            "data/sled held changes up to",
            "has lost those after",
            "nothing is lost; check the disk",
        ],
    );
    assert!(server.done("status").contains("has lost those after"));
    server.stop();
    // Where it doesn't, the records' own checksums tell.
    fs::write(last(&server, "sled", "db"), vec![0xA5; 600_000]).expect("it can be written");
    server.start_again();
    assert_eq!(bindings(&server), 21);
    said(&server, &["sled", "nothing is lost"]);
}

#[test]
fn a_flipped_bit_in_a_snapshot_is_said_and_the_log_or_the_one_before_takes_its_place() {
    let mut server = start();
    bind_more(&server, 0..20);
    let backup = server.folder().join("backup");
    server.done(&format!("backup {}", backup.display()));
    bind_more(&server, 20..25);
    server.stop();
    let snapshot = last(&server, "snapshots", ".snap");
    flip(&snapshot, 0.5);
    // Without sled the snapshot would have been needed.
    fs::remove_dir_all(server.folder().join("data/sled")).expect("sled is there");
    server.start_again();
    assert_eq!(bindings(&server), 26);
    said(
        &server,
        &[
            name(&snapshot),
            "is damaged at byte",
            "it was moved to",
            ".snap.broken",
        ],
    );
}

#[test]
fn a_flipped_bit_in_the_journal_is_said_and_each_attempt_has_one_record() {
    let mut server = start();
    for n in 0..10 {
        attempt(&server, n);
    }
    until("every attempt has its record", || server.records().len() == 10);
    server.kill();
    let journal = last(&server, "journal", ".log");
    flip(&journal, 0.5);
    server.start_again();
    said(
        &server,
        &[
            "calls-",
            "damaged bytes at byte",
            "were left out",
            "check the disk",
        ],
    );
    attempt(&server, 10);
    until("the eleventh attempt has its record", || {
        server.records().len() == 11
    });
    let ids: std::collections::BTreeSet<String> = server
        .records()
        .iter()
        .map(|record| record["call_id"].to_string())
        .collect();
    assert_eq!(ids.len(), 11);
}

#[test]
fn a_flipped_bit_in_a_record_file_is_said_and_the_other_records_are_shown() {
    let mut server = start();
    for n in 0..10 {
        attempt(&server, n);
    }
    until("every attempt has its record", || server.records().len() == 10);
    server.stop();
    let records = last(&server, "cdr", ".jsonl");
    let text = fs::read_to_string(&records).expect("records");
    // In the fifth line's first brace: it is no JSON any more.
    let at = text.match_indices('\n').nth(3).expect("ten lines").0 + 1;
    flip(&records, at as f64 / text.len() as f64 + 1e-9);
    server.start_again();
    let output = server.umbra(&["cdr"]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success());
    assert_eq!(text(&output.stdout).lines().count(), 1 + 9);
    let warning = text(&output.stderr);
    for words in [name(&records), "1 line(s) can't be read", "check the disk"] {
        assert!(warning.contains(words), "{warning}");
    }
}

/// A server whose data lie on a small disk of its own: a tmpfs in a mount namespace. `None` where the system
/// grants no such namespace.
fn start_on_a_small_disk() -> Option<Server> {
    let mut server = start();
    server.stop();
    fs::remove_dir_all(server.folder().join("data")).expect("the data");
    fs::create_dir(server.folder().join("data")).expect("a place for the disk");
    if !server.launch_on_a_disk_of(SMALL_DISK) {
        eprintln!("no mount namespace here: left out");
        return None;
    }
    server.await_answer();
    until("room is kept for a start", || server.reserve() > 0);
    server.bind(X, A, B, "");
    Some(server)
}

#[test]
fn a_full_disk_refuses_writes_in_words_keeps_all_records_and_is_well_again_when_there_is_room() {
    let Some(server) = start_on_a_small_disk() else {
        return;
    };
    bind_more(&server, 0..5);
    attempt(&server, 0);
    let filler = server.fill_disk();

    // The log's last page has some room yet.
    let mut bound = 6;
    let refused = loop {
        let (a, b) = (format!("134{bound:08}"), format!("133{bound:08}"));
        let output = server.umbra(&["bind", "axb", "--x", X, "--a", &a, "--b", &b]);
        if !output.status.success() {
            break output;
        }
        bound += 1;
        assert!(bound < 100, "the disk is full");
    };
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    for part in [
        "wal-",
        "No space left on device",
        "nothing was changed",
        "make room",
    ] {
        assert!(words.contains(part), "{words}");
    }
    assert_eq!(bindings(&server), bound);
    // Calls go on, and their records wait.
    for n in 1..6 {
        attempt(&server, n);
    }
    until("health tells of the records", || {
        let status = server.done("status");
        status.contains("CDRs can't be written") && status.contains("wait in memory")
    });

    fs::remove_file(&filler).expect("our own file");
    until("the records are written", || server.records().len() == 6);
    server.done(&format!("bind axb --x {X} --a 13600000099 --b 13700000099"));
    until("all is well again", || {
        let status = server.done("status");
        !status.contains("degraded") && !status.contains("failing")
    });
    assert_eq!(bindings(&server), bound + 1);
    let ids: std::collections::BTreeSet<String> = server
        .records()
        .iter()
        .map(|record| record["call_id"].to_string())
        .collect();
    assert_eq!(ids.len(), 6, "each attempt has its record once");
}

#[test]
fn a_start_for_which_a_full_disk_has_no_reserve_says_so_breaks_nothing_and_works_when_there_is_room() {
    let Some(mut server) = start_on_a_small_disk() else {
        return;
    };
    bind_more(&server, 0..5);
    let bound = bindings(&server);
    // Enough for the journal, and too little for sled; then for nothing.
    for left in [128 << 10, 0] {
        server.kill();
        let _ = fs::remove_file(server.data().join("reserve"));
        let filler = server.fill_disk();
        let size = fs::metadata(&filler).expect("our own file").len();
        let file = fs::File::options()
            .write(true)
            .open(&filler)
            .expect("our own file");
        file.set_len(size - left).expect("a shorter file");
        drop(file);
        let before = server.printed().len();
        for _ in 0..2 {
            server.launch();
            assert!(!server.ended().success());
        }
        let printed = server.printed().split_off(before);
        for words in [
            "No space left on device",
            "make room on that disk and start again",
            "`reserve`",
        ] {
            assert!(printed.contains(words), "{printed}");
        }
        fs::remove_file(&filler).expect("our own file");
        server.start_again();
        assert_eq!(bindings(&server), bound);
        attempt(&server, 0);
    }
    let names = fs::read_dir(server.data()).expect("its folder");
    let aside = names
        .map(|name| name.expect("a file").file_name().to_string_lossy().into_owned())
        .find(|name| name.contains("broken"));
    assert_eq!(aside, None, "nothing was broken");
}
