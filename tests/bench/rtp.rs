//! Processor time for a relayed RTP packet: the server's and a bare loop's, round by round, from one
//! generator at one rate.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::bare::Relay;
use crate::held::{Held, Line, address, media_socket, pause};
use crate::process::{cpu_seconds, drops};
use crate::server::{CALLEE, CARRIER};
use crate::{Floor, Length, Rounds, Row};

/// Calls whose audio is relayed.
pub const CALLS: usize = 500;
/// How much more than the bare loop a packet may cost.
const FLOOR: f64 = 1.15;
/// Calls of the bare relay that signalling is compared with: as many as send about what SIPp does.
const BARE_CALLS: usize = 50;
/// A packet of each stream comes every 20 ms, the streams evenly spread over them.
const FRAME: Duration = Duration::from_millis(20);
/// The generator wakes so often within them.
const SLOTS: usize = 20;
/// The frame with which the next round begins: a stream that jumped back would lose a packet by that (RFC 3550 §A.1).
static NEXT_FRAME: AtomicU32 = AtomicU32::new(0);

/// What one round found.
struct Round {
    us_a_packet: f64,
    lost: f64,
}

/// The row, and beside it the figure in microseconds.
pub fn measure(length: Length) -> (Row, f64) {
    let calls = length.choose(50, CALLS);
    let mut line = Line::new(calls as u16 + 100);
    let held: Vec<Held> = (0..calls).map(|_| line.call()).collect();
    let ours: Vec<(SocketAddr, SocketAddr)> = held
        .iter()
        .map(|call| (call.caller_port, call.callee_port))
        .collect();
    let ends = [&line.carrier_media, &line.callee_media];
    let relay = Relay::start(calls, address(ends[0]), address(ends[1]));
    let rounds = length.choose(1, 5);
    let seconds = length.choose(1.0, 5.0);
    let (mut found, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        found.push(round(ends, &ours, line.server.pid(), seconds));
        bare.push(round(ends, &relay.ports, relay.pid(), seconds));
    }
    for call in &held {
        line.end(call);
    }
    let lost = found.iter().map(|round| round.lost).fold(0.0, f64::max);
    let bare_lost = bare.iter().map(|round| round.lost).fold(0.0, f64::max);
    let ratio = Rounds::of(
        found
            .iter()
            .zip(&bare)
            .map(|(ours, bare)| ours.us_a_packet / bare.us_a_packet)
            .collect(),
    );
    let us = |rounds: Vec<Round>| Rounds::of(rounds.into_iter().map(|round| round.us_a_packet).collect());
    let found = us(found);
    let median = found.median();
    let row = Row {
        ours: found.show("µs"),
        bare: us(bare).show("µs"),
        ratio: ratio.show("×"),
        floor: Some(Floor::at_most(FLOOR, "×", ratio.median())),
        profile: Some("perf record -e cpu-clock -g -p $(pgrep -n umbra), while `tests/bench/run rtp` runs"),
        ..Row::new(
            "CPU for an RTP packet",
            format!(
                "{} streams, {} packets/s, {rounds} × {seconds} s, in turns; lost {:.2} % (bare {:.2} %); bare: epoll, recv, send",
                calls * 2,
                calls * 2 * 50,
                lost * 100.0,
                bare_lost * 100.0,
            ),
        )
    };
    (row, median)
}

/// Microseconds of processor time that a bare relay of so few calls needs for a packet.
pub struct BarePacket {
    relay: Relay,
    ends: [UdpSocket; 2],
}

impl BarePacket {
    /// Ready to measure.
    pub fn new() -> Self {
        let ends = [CARRIER, CALLEE].map(media_socket);
        let relay = Relay::start(BARE_CALLS, address(&ends[0]), address(&ends[1]));
        Self { relay, ends }
    }

    /// Measures for a while.
    pub fn us(&self, seconds: f64) -> f64 {
        let [carrier, callee] = &self.ends;
        round([carrier, callee], &self.relay.ports, self.relay.pid(), seconds).us_a_packet
    }
}

/// Sends both ways for a while, and divides what `pid` used by what came through.
fn round(ends: [&UdpSocket; 2], ports: &[(SocketAddr, SocketAddr)], pid: u32, seconds: f64) -> Round {
    let (stop, came) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut sent = 0_u64;
    let dropped: u64 = ends.iter().map(|end| drops(address(end))).sum();
    let before = cpu_seconds(pid);
    thread::scope(|scope| {
        for socket in ends {
            scope.spawn(|| count(socket, &stop, &came));
        }
        let begun = Instant::now();
        let first = NEXT_FRAME.load(Ordering::Relaxed);
        let mut tick = 0_u32;
        while begun.elapsed().as_secs_f64() < seconds {
            let frame = first + tick / SLOTS as u32;
            for (stream, (caller, callee)) in ports
                .iter()
                .enumerate()
                .skip(tick as usize % SLOTS)
                .step_by(SLOTS)
            {
                for (side, socket, to) in [(0, ends[0], caller), (1, ends[1], callee)] {
                    let packet = packet(frame, (stream * 2 + side) as u32);
                    sent += u64::from(socket.send_to(&packet, to).is_ok());
                }
            }
            tick += 1;
            let next = begun + FRAME * tick / SLOTS as u32;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        NEXT_FRAME.store(first + tick / SLOTS as u32 + 1, Ordering::Relaxed);
        // The last ones are still under way.
        pause(0.2);
        stop.store(true, Ordering::Relaxed);
    });
    let used = cpu_seconds(pid) - before;
    // What we were too slow to take was relayed all the same.
    let dropped = ends.iter().map(|end| drops(address(end))).sum::<u64>() - dropped;
    let came = (came.load(Ordering::Relaxed) + dropped) as f64;
    Round {
        us_a_packet: used * 1e6 / came,
        lost: 1.0 - came / sent as f64,
    }
}

fn count(socket: &UdpSocket, stop: &AtomicBool, came: &AtomicU64) {
    let socket = socket.try_clone().expect("a descriptor");
    socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .expect("no zero");
    let mut buffer = [0; 2_048];
    while !stop.load(Ordering::Relaxed) {
        // RTP, and not the reports that a server adds to it: those come from the ports beside.
        if socket.recv_from(&mut buffer).is_ok() {
            came.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// 20 ms of A-law silence.
pub fn packet(frame: u32, ssrc: u32) -> [u8; 172] {
    let mut packet = [0xD5; 172];
    packet[0] = 0x80;
    packet[1] = 8;
    packet[2..4].copy_from_slice(&(frame as u16).to_be_bytes());
    packet[4..8].copy_from_slice(&frame.wrapping_mul(160).to_be_bytes());
    packet[8..12].copy_from_slice(&(0x1000 + ssrc).to_be_bytes());
    packet
}
