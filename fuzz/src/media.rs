//! RTP and RTCP from anybody, on two joined flows: nothing of a packet's header goes through but what was
//! negotiated, and everything ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use umbra::base::chance::Chance;
use umbra::base::id::Id;
use umbra::base::time::{Instant, Wall};
use umbra::rtp::clip::{Clip, Coding, Play, Repeats};
use umbra::rtp::dtmf::{Digit, Key};
use umbra::rtp::flow::{FlowSpec, MediaNat, Payload, Payloads, RtcpPort, Stream, Way};
use umbra::rtp::relay::Relay;
use umbra::rtp::srtp::RTP_GROWTH_MAX;
use umbra::rtp::tap::{self, Channel, Tap};

const FIRST: u32 = 20_000;
const CODINGS: [Coding; 3] = [Coding::A, Coding::Mu, Coding::G722];
const PEERS: [&str; 3] = ["192.0.2.10:4000", "192.0.2.20:5000", "203.0.113.9:6000"];

/// The input is a script: an order, a length, so many bytes; again and again.
pub fn run(bytes: &[u8]) {
    let mut relay = Relay::new(
        Chance::from_number(1),
        FIRST,
        FIRST + 3,
        Wall::from_millis(1_700_000_000_000),
    );
    // A small ring: it is full now and then.
    let (producer, mut consumer) = tap::ring(1_000);
    relay = relay.tapped_by(Box::new(producer));
    let mut at = 0_u64;
    let now = |at: u64| Instant::from_micros(at);
    let peers: Vec<SocketAddr> = PEERS
        .iter()
        .map(|peer| peer.parse().expect("an address"))
        .collect();
    for (index, port) in [FIRST, FIRST + 2].into_iter().enumerate() {
        relay.open(now(at), port, &spec(peers[index], MediaNat::Strict));
    }
    relay.join(now(at), FIRST, FIRST + 2);
    for (port, channel) in [(FIRST, Channel::Callee), (FIRST + 2, Channel::Caller)] {
        let recording = Id::from_bits(u128::from(port));
        relay.tap(port, Some(Tap { recording, channel }));
    }
    let mut rest = bytes;
    while let [order, length, after @ ..] = rest {
        let length = usize::from(*length).min(after.len());
        let (packet, after) = after.split_at(length);
        rest = after;
        // Two bits each: what, from whom, on which port; the rest is time.
        let from = peers[usize::from(order >> 2 & 3) % peers.len()];
        let port = if order & 0x10 == 0 { FIRST } else { FIRST + 2 };
        at += u64::from(order >> 5) * 20_000;
        match order & 3 {
            0 | 1 => {
                let (mut buffer, length) = (packet.to_vec(), packet.len());
                buffer.resize(length + RTP_GROWTH_MAX, 0);
                if let Some(out) = relay.rtp(now(at), port, from, &mut buffer, length) {
                    let sent = &buffer[out.bytes];
                    assert!(out.port != port && peers.contains(&out.to));
                    assert_eq!(sent[0], 0x80, "no padding, extension or CSRC goes through");
                    assert!([0, 8, 101].contains(&(sent[1] & 0x7f)), "what was negotiated");
                }
            }
            2 => relay.rtcp(now(at), port, from, &mut packet.to_vec()),
            _ if packet.first().is_some_and(|byte| byte % 5 == 4) => {
                let lasts = Duration::from_millis(length as u64);
                for key in packet.iter().filter_map(|letter| Key::of(*letter)) {
                    relay.digit(now(at), port, Digit { key, lasts });
                }
            }
            _ if packet.first().is_some_and(|byte| byte % 5 == 3) => {
                let coding = if length.is_multiple_of(2) {
                    Coding::A
                } else {
                    Coding::Mu
                };
                let repeats = if length.is_multiple_of(3) {
                    Repeats::Once
                } else {
                    Repeats::Forever
                };
                let clip = Arc::new(Clip::new(&vec![1_000; length * 16], repeats));
                let number = coding.payload();
                relay.play(now(at), port, &Play::new(clip, coding, number));
            }
            _ if packet.first().is_some_and(|byte| byte % 5 == 2) => relay.hush(port),
            _ => {
                let nat = if packet.first().is_some_and(|byte| byte % 2 == 0) {
                    MediaNat::Latch
                } else {
                    MediaNat::Strict
                };
                relay.change(now(at), port, &spec(from, nat));
            }
        }
        settle(&mut relay, now(at));
        if *order & 0x40 == 0 {
            consumer.take(|heard| {
                assert_eq!(heard.clock_hz, 8_000);
                assert!([0, 8, 101].contains(&heard.payload_type), "what was negotiated");
                assert_eq!(heard.is_event, heard.payload_type == 101);
            });
        }
    }
    relay.hush(FIRST);
    relay.hush(FIRST + 2);
    at += 3_600_000_000;
    settle(&mut relay, now(at));
    for port in [FIRST, FIRST + 2] {
        let counts = relay.close(now(at), port).expect("a flow");
        assert!(counts.packets_in <= bytes.len() as u64 / 2);
    }
    settle(&mut relay, now(at));
    assert_eq!((relay.flows(), relay.timeout()), (0, None));
}

/// Does what is due, and takes what comes of it.
fn settle(relay: &mut Relay, now: Instant) {
    relay.tick(now);
    let mut said = 0;
    relay.speak(now, |port, _, packet| {
        said += 1;
        assert!((FIRST..FIRST + 4).contains(&port) && packet.len() == 172);
        assert!(packet[0] == 0x80 && [0, 8].contains(&(packet[1] & 0x7f)));
    });
    assert!(said <= 12, "what is late is left out");
    while let Some((port, _, report)) = relay.poll_out() {
        assert!((FIRST..FIRST + 4).contains(&port));
        assert!(report.len() % 4 == 0 && report[0] >> 6 == 2, "RTCP, or an event");
    }
    while relay.poll_dead().is_some() {}
}

fn spec(remote: SocketAddr, nat: MediaNat) -> FlowSpec {
    let payload = |number, other, is_event| Payload {
        number,
        other,
        clock_hz: 8_000,
        coding: CODINGS.into_iter().find(|coding| coding.payload() == number),
        is_event,
    };
    // Those that are latched on share RTP's port with RTCP.
    let (rtcp_port, at) = match nat {
        MediaNat::Strict => (RtcpPort::Own, remote.port() + 1),
        MediaNat::Latch => (RtcpPort::Shared, remote.port()),
    };
    FlowSpec {
        remote: Some(remote),
        remote_rtcp: Some(SocketAddr::new(remote.ip(), at)),
        rtcp_port,
        stream: Stream::Rtp,
        payloads: Payloads::from_iter([
            payload(8, Some(8), false),
            payload(0, Some(0), false),
            payload(101, Some(101), true),
            payload(18, None, false),
        ]),
        way: Way::Both,
        nat,
        media_from: Default::default(),
        timeout: Some(Duration::from_secs(60)),
        security: None,
    }
}
