//! What a packet costs more in the relay that is recorded: time, and instructions as valgrind counts them. Without sockets,
//! which cost both the same.

use std::hint::black_box;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant as Clock};

use umbra::base::chance::Chance;
use umbra::base::id::Id;
use umbra::base::time::{Instant, Wall};
use umbra::rtp::relay::Relay;
use umbra::rtp::tap::{self, Channel, Consumer, Tap};

use crate::pcma::{BYTES, audio, spec};
use crate::{Length, Rounds, Row, short};

/// The argument by which this program becomes a relay of so many packets, for valgrind.
pub const TAP: &str = "--tap";
/// The caller's port, and the callee's.
const PORTS: [u32; 2] = [20_000, 20_002];
/// Packets between two looks of whoever records.
const BATCH: u32 = 500;
/// Bytes of a packet in the ring, at the most.
const ENTRY_BYTES: usize = 256;
/// Packets that valgrind sees: what the second count has more is theirs.
const COUNTED: [u32; 2] = [2_000, 6_000];

/// Whether what the peers hear is recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tapped {
    No,
    Yes,
}

/// The row.
pub fn measure(length: Length) -> Row {
    let packets = length.choose(5_000, 500_000);
    let (mut tapped, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..length.choose(1, 5) {
        tapped.push(us_a_packet(Tapped::Yes, packets, BATCH));
        plain.push(us_a_packet(Tapped::No, packets, BATCH));
    }
    let ratio = Rounds::of(
        tapped
            .iter()
            .zip(&plain)
            .map(|(tapped, plain)| tapped / plain)
            .collect(),
    );
    let counted = match (instructions(Tapped::Yes), instructions(Tapped::No)) {
        (Some(tapped), Some(plain)) => format!("{} instructions, {}", short(tapped), short(plain)),
        (None, _) | (_, None) => "instructions weren't counted: no valgrind".to_owned(),
    };
    Row {
        ours: Rounds::of(tapped).show("µs"),
        bare: Rounds::of(plain).show("µs"),
        ratio: ratio.show("×"),
        ..Row::new(
            "A recorded RTP packet in the relay",
            format!("{packets} packets, in turns, without sockets; bare: not recorded; {counted}"),
        )
    }
}

/// Relays so many packets, as an argument says, and no more.
pub fn run(arguments: &[String]) {
    let [tapped, packets] = arguments else {
        panic!("whether they are recorded, and how many")
    };
    let tapped = match tapped.as_str() {
        "recorded" => Tapped::Yes,
        _ => Tapped::No,
    };
    let packets = packets.parse().expect("a number");
    // Nobody takes them, who would be counted too.
    us_a_packet(tapped, packets, packets);
}

/// Instructions for a packet; `None` without valgrind.
fn instructions(tapped: Tapped) -> Option<f64> {
    let [few, many] = COUNTED.map(|packets| {
        let whose = match tapped {
            Tapped::Yes => "recorded",
            Tapped::No => "plain",
        };
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(std::env::current_exe().expect("a running program"))
            .args([TAP, whose, &packets.to_string()])
            .output()
            .ok()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let (_, count) = said.split_once("Collected :")?;
        count.split_whitespace().next()?.parse::<f64>().ok()
    });
    Some((many? - few?) / f64::from(COUNTED[1] - COUNTED[0]))
}

/// Microseconds for each of so many packets. Who records takes them in batches of so many, but for the last one.
fn us_a_packet(tapped: Tapped, packets: u32, batch: u32) -> f64 {
    let peers = ["192.0.2.1:4000", "192.0.2.2:4000"].map(|at| at.parse().expect("an address"));
    let (mut relay, mut ring) = relay(peers, tapped, batch as usize * ENTRY_BYTES);
    let said = [7, 9].map(|ssrc| audio(0, ssrc));
    let mut buffer = [0; 2_048];
    let mut took = Duration::ZERO;
    for first in (0..packets).step_by(batch as usize) {
        if first > 0 {
            // That is the recorder's time.
            ring.take(|heard| {
                black_box(heard);
            });
        }
        let begun = Clock::now();
        for n in first / 2..(first + batch) / 2 {
            let now = Instant::from_micros(1_000_000 + u64::from(n) * 20_000);
            for (side, port) in PORTS.into_iter().enumerate() {
                buffer[..BYTES].copy_from_slice(&said[side][..BYTES]);
                buffer[2..4].copy_from_slice(&(n as u16).to_be_bytes());
                buffer[4..8].copy_from_slice(&n.wrapping_mul(160).to_be_bytes());
                let out = relay.rtp(now, port, peers[side], &mut buffer, BYTES);
                assert!(black_box(out).is_some(), "it is relayed");
            }
        }
        took += begun.elapsed();
    }
    assert_eq!(ring.missed(), 0, "there is room for a batch");
    took.as_secs_f64() * 1e6 / f64::from(packets)
}

/// A relay of a call.
fn relay(peers: [SocketAddr; 2], tapped: Tapped, ring_bytes: usize) -> (Relay, Consumer) {
    let chance = Chance::from_number(1);
    let (producer, ring) = tap::ring(ring_bytes);
    let mut relay = Relay::new(chance, PORTS[0], PORTS[1] + 1, Wall::from_millis(0));
    if tapped == Tapped::Yes {
        relay = relay.tapped_by(Box::new(producer));
    }
    let start = Instant::from_micros(1_000_000);
    let sides = PORTS.into_iter().zip(peers);
    for ((port, peer), channel) in sides.zip([Channel::Callee, Channel::Caller]) {
        relay.open(start, port, &spec(peer, None));
        let recording = Id::from_bits(1);
        let tap = Tap { recording, channel };
        relay.tap(port, (tapped == Tapped::Yes).then_some(tap));
    }
    relay.join(start, PORTS[0], PORTS[1]);
    (relay, ring)
}
