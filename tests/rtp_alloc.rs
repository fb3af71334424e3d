//! Relaying a packet allocates nothing, plain or secured, and neither does listening to it or recording it.

#[path = "support/counting.rs"]
mod counting;
#[path = "support/pcma.rs"]
mod pcma;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use counting::allocations;
use pcma::{BYTES, audio, spec};
use umbra::base::chance::Chance;
use umbra::base::id::Id;
use umbra::base::keying::{Keying, Suite};
use umbra::base::time::{Instant, Wall};
use umbra::rtp::clip::{Clip, Coding, Play, Repeats};
use umbra::rtp::dtmf::Key;
use umbra::rtp::ear::Listening;
use umbra::rtp::flow::Security;
use umbra::rtp::g711::Law;
use umbra::rtp::recording::{Rate, Stereo};
use umbra::rtp::relay::Keyed;
use umbra::rtp::relay::Relay;
use umbra::rtp::srtp::{RTP_GROWTH_MAX, Seal};
use umbra::rtp::tap::{self, Channel, Heard, Tap};
use umbra::rtp::tone::Tone;

const PORTS: [u32; 2] = [20_000, 20_002];

/// Whether what the peers hear is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Recorded {
    No,
    Yes,
    /// And nobody takes it.
    IntoAFullRing,
}

/// Two hundred packets each way between a leg that is secured so and a plain one, with a sound for each in between.
fn relays(suite: Option<Suite>, recorded: Recorded) {
    let peers: [SocketAddr; 2] =
        ["192.0.2.1:4000", "192.0.2.2:4000"].map(|at| at.parse().expect("an address"));
    let mut chance = Chance::from_number(1);
    let keys = suite.map(|suite| [(); 2].map(|()| Keying::draw(suite, &mut chance)));
    let security = keys.as_ref().map(|[ours, theirs]| Security {
        ours: ours.clone(),
        theirs: theirs.clone(),
        ssrc: Some(1),
        rollovers: 0,
    });
    let mut seal = keys.map(|[_, theirs]| Seal::new(&theirs).expect("its own length"));
    let mut relay = Relay::new(chance, PORTS[0], PORTS[1] + 1, Wall::from_millis(0));
    let start = Instant::from_micros(1_000_000);
    let (producer, mut consumer) = tap::ring(1_000);
    let mut taken = 0;
    if recorded != Recorded::No {
        relay = relay.tapped_by(Box::new(producer));
    }
    relay.open(start, PORTS[0], &spec(peers[0], security));
    relay.open(start, PORTS[1], &spec(peers[1], None));
    for (port, channel) in PORTS.into_iter().zip([Channel::Callee, Channel::Caller]) {
        let recording = Id::from_bits(1);
        relay.tap(port, Some(Tap { recording, channel }));
    }
    relay.join(start, PORTS[0], PORTS[1]);
    for seq in 0..200 {
        let now = start + Duration::from_millis(u64::from(seq) * 20);
        let (mut caller, mut callee) = (audio(seq, 7), audio(seq, 9));
        let before = allocations();
        let length = match &mut seal {
            Some(seal) => seal.rtp(&mut caller, 0..BYTES).expect("each once").end,
            None => BYTES,
        };
        assert!(length <= BYTES + RTP_GROWTH_MAX);
        assert!(relay.rtp(now, PORTS[0], peers[0], &mut caller, length).is_some());
        assert!(relay.rtp(now, PORTS[1], peers[1], &mut callee, BYTES).is_some());
        // What came before is refused.
        if seal.is_some() {
            assert!(
                relay
                    .rtp(now, PORTS[0], peers[0], &mut audio(seq, 7), BYTES)
                    .is_none()
            );
        }
        if recorded == Recorded::Yes {
            taken += consumer.take(|heard| assert_eq!(heard.payload.len(), 160));
        }
        assert_eq!(allocations() - before, 0, "{suite:?}, {recorded:?}, packet {seq}");
    }
    let clip = Arc::new(Clip::new(&[1_000; 160], Repeats::Forever));
    let play = Play::new(clip, Coding::A, 8);
    let mut now = start + Duration::from_secs(10);
    for port in PORTS {
        relay.play(now, port, &play);
    }
    let mut said = 0;
    for frame in 0..50 {
        now = now + Duration::from_millis(20);
        let before = allocations();
        relay.speak(now, |_, _, _| said += 1);
        if recorded == Recorded::Yes {
            taken += consumer.take(|heard| assert_eq!(heard.payload.len(), 160));
        }
        assert_eq!(
            allocations() - before,
            0,
            "{suite:?}, {recorded:?}, frame {frame}"
        );
    }
    match recorded {
        Recorded::No => assert_eq!((taken, consumer.missed()), (0, 0)),
        Recorded::Yes => assert_eq!((taken, consumer.missed()), (400 + said, 0)),
        Recorded::IntoAFullRing => {
            let taken = consumer.take(|_| ()) as u64;
            assert_eq!(taken + consumer.missed(), 400 + said as u64);
            assert!(consumer.missed() > 400);
        }
    }
}

#[test]
fn a_relayed_packet_allocates_nothing_recorded_or_not() {
    let before = allocations();
    drop(std::hint::black_box(Box::new(1)));
    assert!(allocations() > before, "it would be seen");
    for recorded in [Recorded::No, Recorded::Yes, Recorded::IntoAFullRing] {
        relays(None, recorded);
        for suite in Suite::ALL {
            relays(Some(suite), recorded);
        }
    }
}

/// Two hundred packets of a leg that is listened to, on which a key sounds again and again.
fn listens(coding: Coding) {
    let peer: SocketAddr = "192.0.2.1:4000".parse().expect("an address");
    let mut relay = Relay::new(
        Chance::from_number(1),
        PORTS[0],
        PORTS[1] + 1,
        Wall::from_millis(0),
    );
    let start = Instant::from_micros(1_000_000);
    let mut spec = spec(peer, None);
    for payload in &mut spec.payloads {
        payload.coding = Some(coding);
    }
    relay.open(start, PORTS[0], &spec);
    relay.listen(PORTS[0], Listening::Yes);
    let (mut row, mut column) = (Tone::new(770, 6_000), Tone::new(1_336, 6_000));
    let (mut keys, mut before) = (0, 0);
    for seq in 0..200 {
        let now = start + Duration::from_millis(u64::from(seq) * 20);
        let mut packet = audio(seq, 7);
        if seq % 10 < 5 {
            let pair = row.samples(160).into_iter().zip(column.samples(160));
            for (code, (row, column)) in packet[12..BYTES].iter_mut().zip(pair) {
                *code = Law::A.encode(row + column);
            }
        }
        // What reads G.722 is made once.
        if seq > 0 {
            before = allocations();
        }
        assert!(relay.rtp(now, PORTS[0], peer, &mut packet, BYTES).is_none());
        while let Some((_, keyed)) = relay.poll_heard() {
            keys += usize::from(matches!(keyed, Keyed::ToUs(heard) if Some(heard.key) == Key::of(b'5')));
        }
        if seq > 0 {
            assert_eq!(allocations() - before, 0, "{coding:?}, packet {seq}");
        }
    }
    match coding {
        Coding::A => assert_eq!(keys, 40, "pressed and let go"),
        // The codes mean something else there.
        Coding::Mu | Coding::G722 => {}
    }
}

#[test]
fn a_packet_that_is_listened_to_allocates_nothing() {
    for coding in [Coding::A, Coding::Mu, Coding::G722] {
        listens(coding);
    }
}

#[test]
fn a_packet_of_a_recording_allocates_nothing() {
    for coding in [Coding::A, Coding::Mu, Coding::G722] {
        for rate in [Rate::Narrow, Rate::Wide] {
            let begun = Instant::from_micros(1_000_000);
            let mut stereo = Stereo::new(rate, begun);
            // A clock that is a little fast: some packets are stretched.
            for n in 0..1_500_u32 {
                let at = begun + Duration::from_micros(u64::from(n) * 19_990);
                let before = allocations();
                for channel in [Channel::Caller, Channel::Callee] {
                    let recording = Id::from_bits(1);
                    stereo.hear(&Heard {
                        tap: Tap { recording, channel },
                        at,
                        ssrc: 1,
                        seq: n as u16,
                        timestamp: n * 160,
                        clock_hz: 8_000,
                        marker: false,
                        payload_type: coding.payload(),
                        coding: Some(coding),
                        is_event: false,
                        is_back: false,
                        payload: &[n as u8; 160],
                    });
                }
                if let Some(block) = stereo.poll(at) {
                    stereo.reuse(block.frames);
                }
                // Until all its buffers have been used once.
                let is_warm = n >= 200;
                let count = allocations() - before;
                assert!(!is_warm || count == 0, "{coding:?} {rate:?}, packet {n}: {count}");
            }
        }
    }
}
