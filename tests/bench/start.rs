//! How long after the start of a process, which a killed one has left calls and a million bindings to, people hear each
//! other again, and a phone is answered.

use std::collections::HashSet;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::held::{Held, Line};
use crate::open::fill;
use crate::server::PATIENCE;
use crate::{Floor, Length, Rounds, Row};

/// Milliseconds after which people hear each other at the latest.
const FLOOR_MS: f64 = 2_000.0;
/// Time between two packets of a phone.
const FRAME: Duration = Duration::from_millis(20);

/// What was seen of one start, in milliseconds since the process was started.
struct Start {
    /// The first packet came through.
    first: f64,
    /// One of each call, in the direction from the caller, had come through.
    all: f64,
    /// A request within a call was answered.
    answered: f64,
}

/// The rows.
pub fn measure(length: Length) -> Vec<Row> {
    let bindings: u64 = length.choose(2_000, 1_000_000);
    let calls: u16 = length.choose(10, 100);
    let rounds: u32 = length.choose(1, 5);
    let mut line = Line::new(calls + 50);
    line.server.kill();
    fill(&line.server.folder().join("data"), bindings);
    line.server.start_again();
    let held: Vec<Held> = (0..calls).map(|_| line.call()).collect();
    let (mut frame, mut starts) = (0, Vec::new());
    for round in 0..rounds {
        line.server.kill();
        starts.push(start(&mut line, &held, round, &mut frame));
        line.server.await_answer();
    }
    let ms = |of: fn(&Start) -> f64| Rounds::of(starts.iter().map(of).collect());
    let (first, all, answered) = (ms(|s| s.first), ms(|s| s.all), ms(|s| s.answered));
    let what = |what: &str| format!("{what}, {calls} calls kept, {bindings} bindings");
    let profile =
        Some("perf record -e cpu-clock -g -- umbra serve, on the folder that `tests/bench/run start` fills");
    vec![
        Row {
            ours: first.show("ms"),
            ..Row::new(
                &what("start to the first RTP"),
                format!("from the start of the process after kill -9 until a phone hears, {rounds} times"),
            )
        },
        Row {
            ours: all.show("ms"),
            floor: Some(Floor::at_most(FLOOR_MS, "ms", all.median())),
            profile,
            ..Row::new(
                &what("start to RTP of every call"),
                "likewise, until every callee hears",
            )
        },
        Row {
            ours: answered.show("ms"),
            profile,
            ..Row::new(
                &what("start to the first SIP answer"),
                "likewise, until an OPTIONS within a call is answered: what is sent before waits",
            )
        },
    ]
}

/// Starts the server while the phones go on as if nothing had happened.
fn start(line: &mut Line, held: &[Held], round: u32, frame: &mut u32) -> Start {
    let heard = &line.callee_media.try_clone().expect("the same socket");
    let phone = UdpSocket::bind((crate::server::CARRIER, 0)).expect("a free port");
    phone.set_nonblocking(true).expect("it is told");
    heard.set_nonblocking(true).expect("it is told");
    // What the killed server still sent.
    let mut buffer = [0; 4_096];
    while heard.recv_from(&mut buffer).is_ok() {}
    let request = held[0].request("OPTIONS", 10 + round);
    // The answer comes to where it was sent from.
    let request = request.replace(";branch=", ";rport;branch=");
    let begun = Instant::now();
    line.server.launch();
    let passed = || begun.elapsed().as_secs_f64() * 1e3;
    let (mut ports, mut first, mut all, mut answered) = (HashSet::new(), None, None, None);
    let mut next = Instant::now();
    while all.is_none() || answered.is_none() {
        assert!(
            begun.elapsed() < PATIENCE * 4,
            "{ports:?} heard, answered after {answered:?}"
        );
        if next <= Instant::now() {
            next += FRAME;
            *frame += 1;
            line.speak(held, *frame);
            if answered.is_none() {
                // Nobody may listen there yet; the same request again is taken for what it is.
                let _ = phone.send_to(request.as_bytes(), line.server.sip);
            }
        }
        while let Ok((_, from)) = heard.recv_from(&mut buffer) {
            first.get_or_insert_with(passed);
            ports.insert(from);
            if ports.len() == held.len() {
                all.get_or_insert_with(passed);
            }
        }
        while let Ok((len, _)) = phone.recv_from(&mut buffer) {
            if buffer[..len].starts_with(b"SIP/2.0 200") {
                answered.get_or_insert_with(passed);
            }
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    Start {
        first: first.unwrap_or(f64::NAN),
        all: all.unwrap_or(f64::NAN),
        answered: answered.unwrap_or(f64::NAN),
    }
}
