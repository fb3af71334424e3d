//! Memory that a held call takes, and what is left when all have ended.

use std::net::SocketAddr;

use crate::alone;
use crate::held::{Held, Line, pause};
use crate::process::{open_files, pss_bytes, slab_bytes};
use crate::server::{A, B, CALLEE, Server, Setup, X};
use crate::{Floor, Length, Row, short};

/// Transactions stay for 64 × T1 (RFC 3261 §17): only then has a call come to rest, or ended altogether.
const LINGER_S: f64 = 35.0;
/// What a held call may take with its media, and without: thousands of bytes.
const FLOORS_KB: (f64, f64) = (20.0, 8.0);

/// The rows.
pub fn measure(length: Length) -> Vec<Row> {
    let most = length.choose(100, 2_000);
    let linger_s = length.choose(0.5, LINGER_S);
    let mut line = Line::new(most as u16 + 200);
    let pid = line.server.pid();
    // One call first: what every server has touched after it is no call's own.
    let first = line.call();
    line.end(&first);
    pause(1.0);
    let (before, files, slab) = (pss_bytes(pid), open_files(pid), slab_bytes());
    let kb_each = |bytes: f64| bytes / most as f64 / 1_000.0;

    let mut held: Vec<Held> = Vec::new();
    hold(&mut line, &mut held, most);
    pause(linger_s);
    let with_media = kb_each(pss_bytes(pid) - before);
    let mut rows = vec![Row {
        ours: format!("{} kB", short(with_media)),
        floor: Some(Floor::at_most(FLOORS_KB.0, "kB", with_media)),
        profile: Some(
            "heaptrack or `valgrind --tool=dhat` on `umbra serve`, with calls held by `tests/bench/run held`",
        ),
        ..Row::new(
            &format!("PSS for a held call with media, {most} held"),
            format!(
                "smaps_rollup, after − before ÷ calls, {linger_s} s after the last ACK; beside it {} kB of kernel slab (of the \
                 whole machine), {} sockets",
                short(kb_each(slab_bytes() - slab)),
                short((open_files(pid) as f64 - files as f64) / most as f64),
            ),
        )
    }];
    rows.push(signalling_only(most));

    hang_up(&line, &mut held);
    pause(linger_s);
    rows.push(Row {
        ours: format!("{} kB a call", short(kb_each(pss_bytes(pid) - before))),
        ..Row::new(
            &format!("PSS left when {most} have ended"),
            format!(
                "{linger_s} s after the last BYE; before any call: {:.1} MB",
                before / 1e6
            ),
        )
    });
    // What an allocator keeps for the next calls is no leak: as many again take no more.
    hold(&mut line, &mut held, most);
    rows.push(Row {
        ours: format!("{} kB", short(kb_each(pss_bytes(pid) - before))),
        ..Row::new(
            &format!("PSS for a call, {most} held again"),
            "a second wave, just answered, counted from before the first",
        )
    });
    hang_up(&line, &mut held);
    rows
}

fn signalling_only(calls: usize) -> Row {
    let mut server = Server::start(&Setup {
        gateway: SocketAddr::from((CALLEE, 5_060)),
        media_nat: "strict",
        log: "warn",
        calls: calls as u16 + 200,
        also: Vec::new(),
    });
    server.bind(X, A, B, "");
    server.kill();
    let kb = alone::bytes_a_call(&server, calls) / 1_000.0;
    Row {
        ours: format!("{} kB", short(kb)),
        floor: Some(Floor::at_most(FLOORS_KB.1, "kB", kb)),
        profile: Some("the same with `valgrind --tool=dhat`: see tests/bench/alone.rs"),
        ..Row::new(
            &format!("PSS for a held call, signalling only, {calls} held"),
            "a process with the switch alone, no media threads; 35 s of its time after the last ACK",
        )
    }
}

fn hold(line: &mut Line, held: &mut Vec<Held>, calls: usize) {
    while held.len() < calls {
        held.push(line.call());
    }
    line.speak(held, 0);
    pause(0.5);
}

fn hang_up(line: &Line, held: &mut Vec<Held>) {
    for call in held.drain(..) {
        line.end(&call);
    }
}
