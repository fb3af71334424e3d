//! `kill -9` of the real server, twenty times (`UMBRA_KILL_ROUNDS`), in a storm of binds, updates and unbinds
//! and with calls in every phase: no acknowledged binding or update is lost, none that was unbound comes back,
//! and every attempt that anybody was called for has one record.

#[path = "support/server.rs"]
mod server;
#[path = "support/storm.rs"]
mod storm;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use umbra::base::chance::Chance;

use server::{A, B, CALLEE, CARRIER, Server, Setup, X, until};
use storm::{NEW, Stoppable, Story, WRITERS, XS_OF_STORM, compare, write_bindings};

/// Rounds, unless `UMBRA_KILL_ROUNDS` says otherwise.
const ROUNDS: u64 = 20;

#[test]
fn a_killed_server_keeps_what_it_acknowledged_and_closes_every_open_attempt_once() {
    let gateway = UdpSocket::bind((CALLEE, 0)).expect("a port for the callee");
    let mut server = Server::start(&Setup {
        gateway: gateway.local_addr().expect("bound"),
        media_nat: "strict",
        log: "warn",
        calls: 2_000,
        also: Vec::new(),
    });
    server.bind(X, A, B, "");
    for writer in 0..WRITERS {
        server.done(&format!("number add {}", XS_OF_STORM + writer));
    }
    let called = Arc::new(Mutex::new(BTreeSet::new()));
    let callee = Stoppable::start({
        let called = called.clone();
        move |stop| answer_calls(&gateway, &called, stop)
    });
    let stories = Arc::new(Mutex::new(BTreeMap::new()));
    let mut chance = Chance::from_number(2_026);
    let rounds = std::env::var("UMBRA_KILL_ROUNDS").map_or(ROUNDS, |text| text.parse().expect("a count"));
    for round in 0..rounds {
        let control = server.folder().join("data/control.sock");
        let storm: Vec<Stoppable> = (0..WRITERS)
            .map(|writer| {
                let (control, stories) = (control.clone(), stories.clone());
                Stoppable::start(move |stop| write_bindings(round, writer, &control, &stories, stop))
            })
            .collect();
        let sip = server.sip;
        let carrier = Stoppable::start(move |stop| place_calls(round, sip, stop));
        thread::sleep(Duration::from_millis(400 + u64::from(chance.below(500))));
        server.kill();
        drop((storm, carrier));
        server.start_again();
        compare(&server, &mut stories.lock().expect("whole"));
    }
    drop(callee);
    assert!(called.lock().expect("whole").len() > 20, "calls were made");
    let kinds: BTreeSet<_> = stories
        .lock()
        .expect("whole")
        .values()
        .map(|story| match story {
            Story::Bound(data) if data == NEW => "bound",
            Story::Bound(_) => "updated",
            Story::Updating(..) => "updating",
            Story::Unbinding => "unbinding",
            Story::Unbound => "unbound",
        })
        .collect();
    for kind in ["bound", "updated", "unbound"] {
        assert!(kinds.contains(kind), "{kind} is not among {kinds:?}");
    }

    // Their phones went with the round that they were made in: nobody else ends the calls that go on.
    server.stop();
    let mut records: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    until("every attempt has its record", || {
        records.clear();
        for record in server.records() {
            let id = record["sip_call_id_out"].as_str().unwrap_or_default().to_owned();
            records.entry(id).or_default().push(record);
        }
        called
            .lock()
            .expect("whole")
            .iter()
            .all(|id| records.contains_key(id))
    });
    for id in called.lock().expect("whole").iter() {
        assert_eq!(records[id].len(), 1, "one record for {id}: {:?}", records[id]);
    }
    let ids: BTreeSet<_> = server
        .records()
        .iter()
        .map(|record| record["call_id"].to_string())
        .collect();
    assert_eq!(ids.len(), server.records().len(), "no record stands there twice");
    let is_restart =
        |record: &&Value| record["end_cause"] == json!("restart") || record["refusal"] == json!("restart");
    assert!(
        server.records().iter().filter(is_restart).count() > 0,
        "some attempts were open when the server was killed"
    );
}

/// A calls X again and again: some calls are let ring, some answered, some are hung up.
fn place_calls(round: u64, sip: SocketAddr, stop: &AtomicBool) {
    let socket = UdpSocket::bind((CARRIER, 0)).expect("a port for the carrier");
    socket
        .set_read_timeout(Some(Duration::from_millis(2)))
        .expect("a time-out");
    let here = socket.local_addr().expect("bound");
    let mut buffer = [0; 4_096];
    for call in 0_u32.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let id = format!("round{round}call{call}");
        let head = |method: &str, to_tag: &str, cseq: u32| {
            format!(
                "{method} sip:{X}@{sip} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{id}{method};rport\r\n\
                 From: <sip:{A}@{here}>;tag=a{id}\r\nTo: <sip:{X}@{sip}>{to_tag}\r\nCall-ID: {id}\r\n\
                 CSeq: {cseq} {method}\r\nContact: <sip:{A}@{here}>\r\nMax-Forwards: 70\r\n"
            )
        };
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n",
            ip = here.ip()
        );
        let invite = format!(
            "{}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            head("INVITE", "", 1),
            sdp.len()
        );
        // The server may be dead already.
        let _ = socket.send_to(invite.as_bytes(), sip);
        while let Ok((len, _)) = socket.recv_from(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
            let tag = text
                .lines()
                .find(|line| line.starts_with("To:"))
                .and_then(|to| to.split_once(";tag="));
            if let (true, Some((_, tag))) =
                (text.starts_with("SIP/2.0 200") && text.contains("1 INVITE"), tag)
            {
                let to_tag = format!(";tag={}", tag.trim());
                let ack = format!("{}Content-Length: 0\r\n\r\n", head("ACK", &to_tag, 1));
                let _ = socket.send_to(ack.as_bytes(), sip);
                if call % 3 == 0 {
                    let bye = format!("{}Content-Length: 0\r\n\r\n", head("BYE", &to_tag, 2));
                    let _ = socket.send_to(bye.as_bytes(), sip);
                }
            }
        }
    }
}

/// B answers two of three calls and lets the others ring; whom it was called for is kept by Call-ID.
fn answer_calls(socket: &UdpSocket, called: &Mutex<BTreeSet<String>>, stop: &AtomicBool) {
    socket
        .set_read_timeout(Some(Duration::from_millis(20)))
        .expect("a time-out");
    let here = socket.local_addr().expect("bound");
    let mut buffer = [0; 4_096];
    while !stop.load(Ordering::Relaxed) {
        let Ok((len, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
        let lines = |names: &[&str]| -> String {
            let named = |line: &&str| names.iter().any(|name| line.starts_with(name));
            text.lines()
                .filter(named)
                .map(|line| format!("{line}\r\n"))
                .collect()
        };
        let id = lines(&["Call-ID:"])
            .trim_start_matches("Call-ID:")
            .trim()
            .to_owned();
        let echo = lines(&["Via:", "From:", "Call-ID:", "CSeq:"]);
        let to = lines(&["To:"]).trim_end().to_owned();
        let contact = format!("Contact: <sip:{B}@{here}>");
        let reply = |status: &str, body: &str| {
            let tag = if to.contains(";tag=") { "" } else { ";tag=b" };
            format!(
                "SIP/2.0 {status}\r\n{echo}{to}{tag}\r\n{contact}\r\nContent-Type: application/sdp\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 42000 RTP/AVP 8\r\n",
            ip = here.ip()
        );
        if text.starts_with("INVITE") {
            let count = {
                let mut called = called.lock().expect("whole");
                called.insert(id);
                called.len()
            };
            let _ = socket.send_to(reply("180 Ringing", "").as_bytes(), from);
            if count % 3 != 0 {
                let _ = socket.send_to(reply("200 OK", &sdp).as_bytes(), from);
            }
        } else if text.starts_with("CANCEL") || text.starts_with("BYE") {
            let _ = socket.send_to(reply("200 OK", "").as_bytes(), from);
        }
    }
}
