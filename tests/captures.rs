//! What real phones sent is heard as they keyed it: the captures of `tests/data`, and the same with what happens to packets on
//! their way.

use std::net::SocketAddr;

use umbra::base::chance::Chance;
use umbra::base::time::{Instant, Wall};
use umbra::rtp::clip::Coding;
use umbra::rtp::ear::{Listening, Stroke};
use umbra::rtp::flow::{FlowSpec, MediaNat, Payload, RtcpPort, Stream, Way};
use umbra::rtp::relay::{Keyed, Relay};
use umbra::rtp::srtp::RTP_GROWTH_MAX;
use umbra::rtp::twice::By;

#[path = "support/capture.rs"]
mod capture;

use capture::{Packets, read as captured};

const PORT: u32 = 20_000;
/// The end bit of an event's second byte.
const END: u8 = 0x80;

/// Which keys are heard of these, and how they came.
fn heard(packets: &Packets, payload_type_of_events: u8) -> (String, Vec<By>) {
    let peer: SocketAddr = "192.0.2.1:4000".parse().expect("an address");
    let payload = |number, coding: Option<Coding>| Payload {
        number,
        other: None,
        clock_hz: 8_000,
        coding,
        is_event: coding.is_none(),
    };
    let spec = FlowSpec {
        remote: Some(peer),
        remote_rtcp: None,
        rtcp_port: RtcpPort::Own,
        stream: Stream::Rtp,
        payloads: [
            payload(8, Some(Coding::A)),
            payload(0, Some(Coding::Mu)),
            payload(payload_type_of_events, None),
        ]
        .into_iter()
        .collect(),
        way: Way::Both,
        nat: MediaNat::Strict,
        media_from: Default::default(),
        timeout: None,
        security: None,
    };
    let mut relay = Relay::new(Chance::from_number(1), PORT, PORT + 1, Wall::from_millis(0));
    let start = Instant::from_micros(1_000_000);
    relay.open(start, PORT, &spec);
    relay.listen(PORT, Listening::Yes);
    let (mut keys, mut ways) = (String::new(), Vec::new());
    for (came, packet) in packets {
        let mut buffer = packet.clone();
        buffer.resize(packet.len() + RTP_GROWTH_MAX, 0);
        let now = start + *came;
        assert!(relay.rtp(now, PORT, peer, &mut buffer, packet.len()).is_none());
        while let Some((_, keyed)) = relay.poll_heard() {
            let Keyed::ToUs(heard) = keyed else {
                panic!("{keyed:?} is for nobody else");
            };
            if heard.stroke == Stroke::Down {
                keys.push(char::from(heard.key.letter()));
                ways.push(heard.by);
            }
        }
    }
    (keys, ways)
}

fn is_event(packet: &[u8]) -> bool {
    packet[1] & 0x7f == 101
}

#[test]
fn keys_that_a_phone_sends_as_events_are_heard() {
    let packets = captured("baresip_events.pcap");
    let (keys, ways) = heard(&packets, 101);
    assert_eq!(keys, "1234#55*0");
    assert!(ways.iter().all(|by| *by == By::Event));
    let (keys, _) = heard(&packets, 96);
    assert_eq!(keys, "1234#55*0", "under another number than was agreed on");
}

#[test]
fn keys_that_a_phone_sends_as_events_are_heard_whatever_becomes_of_the_packets() {
    let packets = captured("baresip_events.pcap");
    let same = |what: &str, packets: &Packets| assert_eq!(heard(packets, 101).0, "1234#55*0", "{what}");
    let with = |change: &dyn Fn(&mut Vec<u8>)| -> Packets {
        let mut packets = packets.clone();
        for (_, packet) in &mut packets {
            change(packet);
        }
        packets
    };
    same("no markers", &with(&|packet| packet[1] &= 0x7f));
    let keep = |keep: &dyn Fn(&[u8]) -> bool| -> Packets {
        packets
            .iter()
            .filter(|(_, packet)| keep(packet))
            .cloned()
            .collect()
    };
    same(
        "no ends",
        &keep(&|packet| !is_event(packet) || packet[13] & END == 0),
    );
    same(
        "ends alone",
        &keep(&|packet| !is_event(packet) || packet[13] & END != 0),
    );
    same("no audio", &keep(&is_event));
    same(
        "all twice",
        &packets
            .iter()
            .flat_map(|packet| [packet.clone(), packet.clone()])
            .collect(),
    );
    for (of, lost) in [(4, 2), (3, 1), (10, 6)] {
        let some = packets.iter().enumerate().filter(|(n, _)| n % of >= lost);
        let some = some.map(|(_, packet)| packet.clone()).collect();
        same(&format!("{lost} of {of} lost"), &some);
    }
    // Neighbours change places.
    let mut turned = packets.clone();
    for pair in turned.chunks_exact_mut(2) {
        let [(first, _), (second, _)] = pair else { continue };
        std::mem::swap(first, second);
        pair.swap(0, 1);
    }
    same("out of order", &turned);
    // Another SSRC for the events, and one from the middle of the third key on.
    same(
        "events of their own stream",
        &with(&|packet| {
            if is_event(packet) {
                packet[8] ^= 1;
            }
        }),
    );
    let mut split = packets.clone();
    let third = split
        .iter()
        .position(|(_, packet)| is_event(packet) && packet[12] == 3)
        .expect("it is there");
    for (_, packet) in &mut split[third + 9..] {
        packet[8] ^= 1;
    }
    same("another stream amid a key", &split);
}

#[test]
fn keys_that_a_phone_sends_as_tones_are_heard() {
    let packets = captured("baresip_tones.pcap");
    let (keys, ways) = heard(&packets, 101);
    assert_eq!(keys, "8046*7#88D");
    assert!(ways.iter().all(|by| *by == By::Tone));
}
