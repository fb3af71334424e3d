//! What a secured RTP packet costs in the relay beside a plain one: without sockets, which cost both the same.

use std::hint::black_box;
use std::time::{Duration, Instant as Clock};

use umbra::base::chance::Chance;
use umbra::base::keying::{Keying, Suite};
use umbra::base::time::{Instant, Wall};
use umbra::rtp::flow::Security;
use umbra::rtp::relay::Relay;
use umbra::rtp::srtp::{RTP_GROWTH_MAX, Seal};

use crate::pcma::{BYTES, audio, spec};
use crate::{Length, Rounds, Row};

/// The caller's port, and the callee's.
const PORTS: (u32, u32) = (20_000, 20_002);
/// One row a suite: a call one leg of which is secured, opened one way and sealed the other, beside one that is plain.
pub fn measure(length: Length) -> Vec<Row> {
    let packets = length.choose(2_000, 100_000);
    let rounds = length.choose(1, 5);
    Suite::ALL
        .into_iter()
        .map(|suite| row(suite, packets, rounds))
        .collect()
}

fn row(suite: Suite, packets: u32, rounds: usize) -> Row {
    let (mut secured, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        secured.push(us_a_packet(Some(suite), packets));
        plain.push(us_a_packet(None, packets));
    }
    let ratio = Rounds::of(
        secured
            .iter()
            .zip(&plain)
            .map(|(secured, plain)| secured / plain)
            .collect(),
    );
    Row {
        ours: Rounds::of(secured).show("µs"),
        bare: Rounds::of(plain).show("µs"),
        ratio: ratio.show("×"),
        ..Row::new(
            "A secured RTP packet in the relay",
            format!(
                "{}, one leg secured, both ways, {packets} packets, {rounds} rounds in turns, without sockets; bare: both legs plain",
                suite.name()
            ),
        )
    }
}

/// Microseconds for a packet of which half come from the secured leg and half go to it.
fn us_a_packet(suite: Option<Suite>, packets: u32) -> f64 {
    let peers = ["192.0.2.1:4000", "192.0.2.2:4000"].map(|at| at.parse().expect("an address"));
    let mut chance = Chance::from_number(1);
    let keys = suite.map(|suite| [(); 2].map(|()| Keying::draw(suite, &mut chance)));
    let security = keys.as_ref().map(|[ours, theirs]| Security {
        ours: ours.clone(),
        theirs: theirs.clone(),
        ssrc: Some(1),
        rollovers: 0,
    });
    let mut relay = Relay::new(chance, PORTS.0, PORTS.1 + 1, Wall::from_millis(0));
    let start = Instant::from_micros(1_000_000);
    relay.open(start, PORTS.0, &spec(peers[0], security));
    relay.open(start, PORTS.1, &spec(peers[1], None));
    relay.join(start, PORTS.0, PORTS.1);
    // What comes from the secured leg is sealed beforehand: that is its phone's time.
    let mut seal = keys.map(|[_, theirs]| Seal::new(&theirs).expect("its own length"));
    let from_caller: Vec<Vec<u8>> = (0..packets)
        .map(|n| {
            let mut bytes = audio(n as u16, 7)[..BYTES].to_vec();
            if let Some(seal) = &mut seal {
                bytes.resize(BYTES + RTP_GROWTH_MAX, 0);
                let place = seal.rtp(&mut bytes, 0..BYTES).expect("each once");
                bytes.truncate(place.end);
            }
            bytes
        })
        .collect();
    let mut buffer = [0; 2_048];
    let mut took = Duration::ZERO;
    for (n, caller) in (0_u32..).zip(&from_caller) {
        let now = start + Duration::from_millis(u64::from(n) * 20);
        let callee = audio(n as u16, 9)[..BYTES].to_vec();
        for (port, from, bytes) in [(PORTS.0, peers[0], caller), (PORTS.1, peers[1], &callee)] {
            buffer[..bytes.len()].copy_from_slice(bytes);
            let begun = Clock::now();
            let out = relay.rtp(now, port, from, &mut buffer, bytes.len());
            took += begun.elapsed();
            assert!(black_box(out).is_some(), "it is relayed");
        }
    }
    took.as_secs_f64() * 1e6 / f64::from(packets * 2)
}
