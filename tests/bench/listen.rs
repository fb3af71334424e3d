//! What a packet costs in the relay whose sender is listened to, beside one of somebody who isn't: without sockets, which cost
//! both the same.

use std::f64::consts::TAU;
use std::hint::black_box;
use std::time::{Duration, Instant as Clock};

use umbra::base::chance::Chance;
use umbra::base::time::{Instant, Wall};
use umbra::rtp::clip::Coding;
use umbra::rtp::ear::Listening;
use umbra::rtp::g711::Law;
use umbra::rtp::g722::{Encoder, SAMPLE_RATE_HZ};
use umbra::rtp::relay::Relay;
use umbra::rtp::resample::resampled;

use crate::pcma::{BYTES, audio, spec};
use crate::{Length, Rounds, Row};

/// The caller's port, and the callee's.
const PORTS: (u32, u32) = (20_000, 20_002);
/// Bytes of a packet's head.
const HEAD: usize = 12;
/// Samples of a second.
const SECOND: usize = 8_000;

/// What the caller says.
#[derive(Clone, Copy)]
enum Says {
    /// Nothing.
    Nothing,
    /// Something like a vowel, which glides.
    Vowels,
    /// Ten keys a second.
    Keys,
}

/// One row for each that the caller may say, and in what.
pub fn measure(length: Length) -> Vec<Row> {
    let packets = length.choose(2_000, 100_000);
    let rounds = length.choose(1, 5);
    [
        (Says::Nothing, Coding::A, "silence, PCMA"),
        (Says::Vowels, Coding::A, "talk, PCMA"),
        (Says::Keys, Coding::A, "keys, PCMA"),
        (Says::Vowels, Coding::G722, "talk, G.722"),
    ]
    .into_iter()
    .map(|(says, coding, name)| {
        let said = said(says, coding);
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            ours.push(us_a_packet(&said, coding, Listening::Yes, packets));
            bare.push(us_a_packet(&said, coding, Listening::No, packets));
        }
        let ratio = ours.iter().zip(&bare).map(|(ours, bare)| ours / bare).collect();
        Row {
            ratio: Rounds::of(ratio).show("×"),
            ours: Rounds::of(ours).show("µs"),
            bare: Rounds::of(bare).show("µs"),
            ..Row::new(
                "A packet that is listened to",
                format!("{name}, relayed too, {packets} packets, {rounds} rounds in turns, without sockets; bare: nobody listens"),
            )
        }
    })
    .collect()
}

/// A second of what the caller says, coded.
fn said(says: Says, coding: Coding) -> Vec<u8> {
    let turn = |hz: f64, n: usize| (TAU * hz * n as f64 / SECOND as f64).sin();
    let samples: Vec<i16> = (0..SECOND)
        .map(|n| match says {
            Says::Nothing => 0.0,
            Says::Vowels => {
                let hz = 120.0 + 40.0 * turn(0.5, n);
                (1..20)
                    .map(|k| 2_500.0 / f64::from(k) * turn(hz * f64::from(k), n))
                    .sum::<f64>()
            }
            Says::Keys if n % 800 < 400 => 6_000.0 * (turn(770.0, n) + turn(1_336.0, n)),
            Says::Keys => 0.0,
        })
        .map(|sample| sample as i16)
        .collect();
    let mut codes = Vec::new();
    match coding {
        Coding::A => Law::A.encode_all(&samples, &mut codes),
        Coding::Mu => Law::Mu.encode_all(&samples, &mut codes),
        Coding::G722 => Encoder::default().encode(&resampled(&samples, 8_000, SAMPLE_RATE_HZ), &mut codes),
    }
    codes
}

fn us_a_packet(said: &[u8], coding: Coding, listening: Listening, packets: u32) -> f64 {
    let peers = ["192.0.2.1:4000", "192.0.2.2:4000"].map(|at| at.parse().expect("an address"));
    let mut relay = Relay::new(Chance::from_number(1), PORTS.0, PORTS.1 + 1, Wall::from_millis(0));
    let start = Instant::from_micros(1_000_000);
    for (port, peer) in [(PORTS.0, peers[0]), (PORTS.1, peers[1])] {
        let mut spec = spec(peer, None);
        for payload in &mut spec.payloads {
            payload.coding = Some(coding);
        }
        relay.open(start, port, &spec);
    }
    relay.join(start, PORTS.0, PORTS.1);
    relay.listen(PORTS.0, listening);
    let mut took = Duration::ZERO;
    for (n, codes) in (0..packets).zip(said.chunks(BYTES - HEAD).cycle()) {
        let now = start + Duration::from_millis(u64::from(n) * 20);
        let mut buffer = audio(n as u16, 7);
        buffer[HEAD..BYTES].copy_from_slice(codes);
        // Timestamps go on where the sequence numbers begin anew.
        buffer[4..8].copy_from_slice(&n.wrapping_mul(160).to_be_bytes());
        let begun = Clock::now();
        let out = relay.rtp(now, PORTS.0, peers[0], &mut buffer, BYTES);
        while let Some(keyed) = relay.poll_heard() {
            black_box(keyed);
        }
        took += begun.elapsed();
        assert!(black_box(out).is_some(), "it is relayed");
    }
    took.as_secs_f64() * 1e6 / f64::from(packets)
}
