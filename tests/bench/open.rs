//! How long a server with a million bindings takes from its start after a `kill -9` until it has routed a
//! call, and what a binding takes of memory and disk.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::million::{FILL, PAIRS_PER_X, pair, x};
use crate::process::pss_bytes;
use crate::server::{CALLEE, CARRIER, PATIENCE, Server, Setup};
use crate::{Floor, Length, Rounds, Row, short};

/// Seconds that opening may take.
const FLOOR_S: f64 = 5.0;
/// How often a call is tried until the server is there to hear it.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// The rows.
pub fn measure(length: Length) -> Vec<Row> {
    let count: u64 = length.choose(2_000, 1_000_000);
    let rounds = length.choose(1, 3);
    let callee = UdpSocket::bind((CALLEE, 0)).expect("a free port");
    callee.set_read_timeout(Some(TRY_EVERY)).expect("no zero");
    let mut server = Server::start(&Setup {
        gateway: callee.local_addr().expect("bound"),
        media_nat: "strict",
        log: "info",
        calls: 50,
        also: Vec::new(),
    });
    let empty = pss_bytes(server.pid());
    server.kill();
    let data = server.folder().join("data");
    let filled_in = fill(&data, count);
    let disk = bytes_under(&data);

    let (mut found, mut pss) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        if round > 0 {
            server.kill();
            // What the killed server still said is no answer of the next one.
            while callee.recv_from(&mut [0; 4_096]).is_ok() {}
        }
        let begun = Instant::now();
        server.launch();
        await_call(&server, &callee, round * 1_000_000 + count - 1);
        found.push(begun.elapsed().as_secs_f64());
        server.await_answer();
        pss.push((pss_bytes(server.pid()) - empty) / count as f64);
    }
    let found = Rounds::of(found);
    vec![
        Row {
            ours: found.show("s"),
            bare: format!("{} s", short(read_seconds(&data))),
            floor: Some(Floor::at_most(FLOOR_S, "s", found.median())),
            profile: Some(
                "perf record -e cpu-clock -g -- umbra serve, on the folder that `tests/bench/run open` fills",
            ),
            ..Row::new(
                &format!("seconds to open {count} bindings"),
                format!(
                    "start after kill -9 until the first INVITE is at the gateway, {rounds} times; bare: reading those files; filled in {} s",
                    short(filled_in)
                ),
            )
        },
        Row {
            ours: Rounds::of(pss).show("bytes"),
            ..Row::new(
                &format!("memory of a binding, {count} live"),
                format!(
                    "PSS − PSS of an empty server ({:.1} MiB) ÷ bindings, just opened",
                    empty / 1_048_576.0
                ),
            )
        },
        Row {
            ours: format!("{} bytes", short(disk as f64 / count as f64)),
            ..Row::new(
                "disk of a binding",
                "log, sled and snapshots after the last bind, before any of the log was forgotten",
            )
        },
    ]
}

/// Lets a process of its own fill the store, and kills it; returns the seconds that it took.
pub fn fill(store: &Path, count: u64) -> f64 {
    let begun = Instant::now();
    let mut child = Command::new(std::env::current_exe().expect("a running program"))
        .arg(FILL)
        .arg(store)
        .arg(count.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program runs");
    let mut said = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    out.read_line(&mut said).expect("text");
    assert_eq!(said.trim(), "filled", "the store was filled");
    let took = begun.elapsed().as_secs_f64();
    child.kill().expect("a child of ours");
    child.wait().expect("a child of ours");
    took
}

/// Calls by the `n`th binding again and again, until the server has called its other party.
fn await_call(server: &Server, callee: &UdpSocket, n: u64) {
    let n = n % 1_000_000;
    let carrier = UdpSocket::bind((CARRIER, 0)).expect("a free port");
    let (here, there) = (carrier.local_addr().expect("bound"), server.sip);
    let ((a, _), x) = (pair(n), x(n / PAIRS_PER_X));
    let deadline = Instant::now() + PATIENCE * 4;
    let mut buffer = [0; 4_096];
    for attempt in 0_u32.. {
        let id = format!("open{n}x{attempt}p{}", here.port());
        let body = format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n",
            ip = here.ip()
        );
        let invite = format!(
            "INVITE sip:{x}@{there} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{id};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{a}@{here}>;tag=f{id}\r\nTo: <sip:{x}@{there}>\r\nCall-ID: {id}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:{here}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        // Nobody may listen there yet.
        let _ = carrier.send_to(invite.as_bytes(), there);
        if let Ok((len, _)) = callee.recv_from(&mut buffer)
            && buffer.get(..len).is_some_and(|text| text.starts_with(b"INVITE "))
        {
            return;
        }
        assert!(Instant::now() < deadline, "the server routes no call");
    }
}

/// What the least is: every byte of the folder read once.
fn read_seconds(dir: &Path) -> f64 {
    let begun = Instant::now();
    for file in files_under(dir) {
        let _ = fs::read(file);
    }
    begun.elapsed().as_secs_f64()
}

fn bytes_under(dir: &Path) -> u64 {
    let len = |file: &std::path::PathBuf| fs::metadata(file).map_or(0, |file| file.len());
    files_under(dir).iter().map(len).sum()
}

fn files_under(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files.extend(files_under(&entry.path())),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            Ok(_) | Err(_) => {}
        }
    }
    files
}
