//! The relay in virtual time: two peers, A on port 20000 and B on port 20002.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use rtcp_types::prelude::RtcpPacketParser;
use rtcp_types::{Bye, Sdes, SenderReport};

use super::*;
use crate::base::limits::LATCH_SILENCE;
use crate::rtp::flow::{MediaNat, MediaSource};
use crate::rtp::outbound::Sent;
use crate::rtp::packet::Header;

const A: u16 = 20_000;
const B: u16 = 20_002;
const MS: u64 = 1_000;
/// The wall clock at instant zero.
const WALL: Wall = Wall::from_millis(1_795_255_200_000);
/// What A and B call themselves.
const SSRC_A: u32 = 0xa1a2_a3a4;
const SSRC_B: u32 = 0xb1b2_b3b4;

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn a() -> SocketAddr {
    address("192.0.2.1:4000")
}

fn b() -> SocketAddr {
    address("198.51.100.2:6000")
}

fn stranger() -> SocketAddr {
    address("203.0.113.66:666")
}

/// PCMA 8 ⇄ 8, telephone-event 101 ⇄ 96, wide-band 9 ⇄ 9 at another clock, and 13, which the other side lacks.
fn spec(remote: SocketAddr) -> FlowSpec {
    let payload = |number, other, clock_hz, is_event| Payload {
        number,
        other,
        clock_hz,
        is_event,
    };
    FlowSpec {
        remote: Some(remote),
        remote_rtcp: Some(SocketAddr::new(remote.ip(), remote.port() + 1)),
        payloads: [
            payload(8, Some(8), 8_000, false),
            payload(101, Some(96), 8_000, true),
            payload(9, Some(9), 16_000, false),
            payload(13, None, 8_000, false),
        ]
        .into_iter()
        .collect(),
        way: Way::Both,
        nat: MediaNat::Strict,
        media_from: ArrayVec::new(),
        timeout: None,
    }
}

/// One packet as the far side sees it.
#[derive(Clone, PartialEq, Debug)]
struct Got {
    port: u16,
    to: SocketAddr,
    header: Header,
    payload: Vec<u8>,
    bytes: Vec<u8>,
}

struct Bench {
    relay: Relay,
    now: Instant,
}

impl Bench {
    /// A and B, joined.
    fn new() -> Self {
        Self::with(spec(a()), spec(b()))
    }

    fn with(a: FlowSpec, b: FlowSpec) -> Self {
        let mut relay = Relay::new(Chance::from_number(7), 20_000, 20_009, WALL);
        let now = Instant::from_micros(5_000 * MS);
        relay.open(now, A, &a);
        relay.open(now, B, &b);
        relay.join(now, A, B);
        Self { relay, now }
    }

    fn wait(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
    }

    /// Raw bytes arrive; what leaves.
    fn raw(&mut self, port: u16, from: SocketAddr, bytes: &[u8]) -> Option<Got> {
        let mut buffer = bytes.to_vec();
        let out = self.relay.rtp(self.now, port, from, &mut buffer)?;
        let bytes = buffer[out.bytes].to_vec();
        let (header, payload) = packet::read(&bytes).expect("what leaves is RTP");
        Some(Got {
            port: out.port,
            to: out.to,
            header,
            payload: bytes[payload].to_vec(),
            bytes,
        })
    }

    fn send(&mut self, port: u16, from: SocketAddr, header: &Header) -> Option<Got> {
        self.raw(port, from, &rtp(header))
    }

    /// Audio from A, 20 ms after the last packet.
    fn audio(&mut self, seq: u16) -> Option<Got> {
        self.audio_from(a(), seq)
    }

    fn audio_from(&mut self, from: SocketAddr, seq: u16) -> Option<Got> {
        self.wait(20);
        self.send(A, from, &audio(SSRC_A, seq))
    }

    /// Audio from B, at once.
    fn answer(&mut self, seq: u16) -> Option<Got> {
        self.send(B, b(), &audio(SSRC_B, seq))
    }

    /// Where A's media goes now.
    fn towards_a(&mut self) -> Option<SocketAddr> {
        self.answer(1).map(|got| got.to)
    }

    fn counts(&mut self, port: u16) -> Counts {
        self.relay.close(self.now, port).expect("a flow is there")
    }

    /// Lets `ms` pass and every timer fire when it is due. The RTCP that left meanwhile.
    fn run(&mut self, ms: u64) -> Vec<(u16, SocketAddr, Vec<u8>)> {
        let end = self.now + Duration::from_millis(ms);
        let mut sent = Vec::new();
        while let Some(at) = self.relay.timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.relay.tick(self.now);
            sent.extend(std::iter::from_fn(|| self.relay.poll_rtcp()));
        }
        self.now = end;
        sent
    }
}

fn audio(ssrc: u32, seq: u16) -> Header {
    Header {
        marker: false,
        payload_type: 8,
        seq,
        timestamp: u32::from(seq).wrapping_mul(160),
        ssrc,
    }
}

fn rtp(header: &Header) -> Vec<u8> {
    let mut bytes = vec![0xd5; packet::HEADER_BYTES + 160];
    packet::write(
        header,
        &mut bytes,
        packet::HEADER_BYTES..packet::HEADER_BYTES + 160,
    )
    .expect("room");
    bytes
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

// ───── whose packets are taken

#[test]
fn each_sides_packets_leave_on_the_others_port_to_the_others_sdp_address() {
    let mut bench = Bench::new();
    let there = bench.audio(1).expect("A is known by its SDP");
    assert_eq!((there.port, there.to), (B, b()));
    let back = bench.answer(1).expect("B is known by its SDP");
    assert_eq!((back.port, back.to), (A, a()));
    assert_eq!(there.payload, [0xd5; 160]);
}

#[test]
fn under_strict_a_stranger_is_never_heard_and_never_sent_to() {
    let mut bench = Bench::new();
    for seq in 0..300 {
        assert_eq!(bench.audio_from(stranger(), seq), None);
    }
    assert_eq!(bench.towards_a(), Some(a()));
    let counts = bench.counts(A);
    assert_eq!((counts.packets_in, counts.dropped), (0, 300));
}

#[test]
fn a_copied_ssrc_makes_nobody_known() {
    let mut bench = Bench::new();
    assert!(bench.audio(1).is_some());
    for seq in 2..10 {
        assert_eq!(bench.audio_from(stranger(), seq), None);
    }
    assert!(bench.audio(2).is_some());
}

#[test]
fn under_strict_media_from_takes_over_after_silence_and_four_in_a_row() {
    let mut from = spec(a());
    let network = "203.0.113.0".parse().expect("an address");
    from.media_from.push(MediaSource { network, prefix: 24 });
    let mut bench = Bench::with(from, spec(b()));
    assert!(bench.audio(1).is_some());
    bench.wait(LATCH_SILENCE.as_millis() as u64 - 21);
    assert_eq!(bench.audio_from(stranger(), 1), None);
    assert!(bench.audio(2).is_some(), "the known one was there all the time");
    for seq in 1..90 {
        assert_eq!(bench.audio_from(stranger(), seq), None, "1.8 s are no silence");
    }
    assert!(bench.audio(3).is_some());
    bench.wait(LATCH_SILENCE.as_millis() as u64);
    for seq in 1..4 {
        assert_eq!(bench.audio_from(stranger(), seq), None);
        assert_eq!(bench.towards_a(), Some(a()));
    }
    assert!(bench.audio_from(stranger(), 4).is_some());
    assert_eq!(bench.towards_a(), Some(stranger()));
    // Outside of media_from nobody is heard, however long it is silent.
    bench.wait(60_000);
    for seq in 0..9 {
        assert_eq!(bench.audio_from(address("203.0.114.1:1"), seq), None);
    }
    // And back to the SDP's address, by the same rule.
    let came_back = (0..4).map(|seq| bench.audio(seq).is_some()).collect::<Vec<_>>();
    assert_eq!(came_back, [false, false, false, true]);
    assert_eq!(bench.towards_a(), Some(a()));
}

#[test]
fn four_in_a_row_means_in_a_row() {
    let mut from = spec(a());
    from.nat = MediaNat::Latch;
    let mut bench = Bench::with(from, spec(b()));
    let (one, two) = (stranger(), address("203.0.113.67:1"));
    for seq in 0..20 {
        assert_eq!(bench.audio_from(one, 3 * seq), None);
        assert_eq!(bench.audio_from(one, 3 * seq + 1), None);
        assert_eq!(bench.audio_from(one, 3 * seq + 2), None);
        assert_eq!(bench.audio_from(two, seq), None);
    }
}

#[test]
fn another_port_of_the_sdps_host_is_heard_but_never_sent_to() {
    let mut bench = Bench::new();
    let other_port = address("192.0.2.1:4999");
    let heard = (0..4)
        .map(|seq| bench.audio_from(other_port, seq).is_some())
        .collect::<Vec<_>>();
    assert_eq!(heard, [false, false, false, true]);
    assert_eq!(bench.towards_a(), Some(a()));
    assert!(bench.audio(1).is_some(), "the SDP's own port wins at once");
    for seq in 10..20 {
        assert_eq!(
            bench.audio_from(other_port, seq),
            None,
            "and keeps it while it talks"
        );
        bench.audio(seq);
    }
}

#[test]
fn under_latch_the_first_four_in_a_row_win_and_a_bleeder_after_them_gets_nothing() {
    let mut from = spec(a());
    from.nat = MediaNat::Latch;
    let mut bench = Bench::with(from, spec(b()));
    let natted = address("203.0.113.1:1024");
    for seq in 0..3 {
        assert_eq!(bench.audio_from(natted, seq), None);
        assert_eq!(
            bench.towards_a(),
            Some(a()),
            "nothing goes to whom is not believed yet"
        );
    }
    assert!(bench.audio_from(natted, 3).is_some());
    assert_eq!(bench.towards_a(), Some(natted));
    for seq in 0..500 {
        assert_eq!(bench.audio_from(stranger(), seq), None);
    }
    assert_eq!(bench.towards_a(), Some(natted));
    assert!(bench.audio_from(natted, 4).is_some());
}

#[test]
fn under_latch_the_sdps_address_beats_a_stranger_at_its_first_packet_and_for_good() {
    let mut from = spec(a());
    from.nat = MediaNat::Latch;
    let mut bench = Bench::with(from, spec(b()));
    (0..4).for_each(|seq| drop(bench.audio_from(stranger(), seq)));
    assert_eq!(bench.towards_a(), Some(stranger()));
    assert!(bench.audio(1).is_some());
    assert_eq!(bench.towards_a(), Some(a()));
    bench.wait(60_000);
    for seq in 4..100 {
        assert_eq!(bench.audio_from(stranger(), seq), None);
    }
    assert_eq!(bench.towards_a(), Some(a()));
}

#[test]
fn what_is_not_the_legs_audio_proves_no_address() {
    let mut from = spec(a());
    from.nat = MediaNat::Latch;
    let mut bench = Bench::with(from, spec(b()));
    for seq in 0..9 {
        let unknown = Header {
            payload_type: 97,
            ..audio(SSRC_A, seq)
        };
        assert_eq!(bench.send(A, stranger(), &unknown), None);
    }
    assert_eq!(bench.towards_a(), Some(a()));
}

#[test]
fn an_sdp_that_names_no_host_or_port_names_nobody() {
    for nowhere in ["0.0.0.0:4000", "[::]:4000", "192.0.2.1:0"] {
        let mut bench = Bench::with(spec(address(nowhere)), spec(b()));
        assert_eq!(bench.towards_a(), None, "{nowhere}");
        assert_eq!(bench.audio(1), None, "{nowhere}");
    }
}

#[test]
fn new_sdp_with_another_address_starts_learning_over_and_a_refresh_does_not() {
    let mut from = spec(a());
    from.nat = MediaNat::Latch;
    let mut bench = Bench::with(from.clone(), spec(b()));
    let natted = address("203.0.113.1:1024");
    (0..4).for_each(|seq| drop(bench.audio_from(natted, seq)));
    bench.relay.change(bench.now, A, &from);
    for seq in 0..9 {
        assert_eq!(bench.audio_from(stranger(), seq), None, "a refresh opens no door");
    }
    assert_eq!(bench.towards_a(), Some(natted));

    let moved = address("192.0.2.9:4000");
    let mut elsewhere = spec(moved);
    elsewhere.nat = MediaNat::Strict;
    bench.relay.change(bench.now, A, &elsewhere);
    assert_eq!(bench.towards_a(), Some(moved));
    for seq in 0..200 {
        assert_eq!(
            bench.audio_from(natted, seq),
            None,
            "the old address is a stranger now"
        );
        assert_eq!(bench.audio_from(stranger(), seq), None);
    }
    assert!(bench.audio_from(moved, 1).is_some());
}

#[test]
fn without_an_sdp_address_nobody_is_heard_and_nothing_is_sent() {
    let mut from = spec(a());
    (from.remote, from.remote_rtcp, from.nat) = (None, None, MediaNat::Latch);
    let mut bench = Bench::with(from, spec(b()));
    for seq in 0..9 {
        assert_eq!(bench.audio(seq), None);
    }
    assert_eq!(bench.answer(1), None);
    assert!(bench.run(60_000).iter().all(|(port, _, _)| *port == B));
}

#[test]
fn what_is_no_rtp_or_no_payload_type_of_the_leg_is_dropped_and_counted() {
    let mut bench = Bench::new();
    let mut stun = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    stun.extend([0; 12]);
    let unknown = Header {
        payload_type: 97,
        ..audio(SSRC_A, 2)
    };
    let unmapped = Header {
        payload_type: 13,
        ..audio(SSRC_A, 3)
    };
    let rtcp = [0x80, 201, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0];
    assert_eq!(bench.raw(A, a(), &stun), None);
    assert_eq!(bench.raw(A, a(), &rtcp), None);
    assert_eq!(bench.raw(A, a(), &[0x80]), None);
    assert_eq!(bench.send(A, a(), &unknown), None);
    assert_eq!(bench.send(A, a(), &unmapped), None);
    let counts = bench.counts(A);
    assert_eq!((counts.packets_in, counts.dropped, counts.payload), (0, 5, None));
}

#[test]
fn each_way_is_kept_by_the_leg_that_asked_for_it() {
    for (way, hears_a, reaches_a) in [
        (Way::Both, true, true),
        (Way::Send, false, true),
        (Way::Receive, true, false),
        (Way::Neither, false, false),
    ] {
        let mut from = spec(a());
        from.way = way;
        let mut bench = Bench::with(from, spec(b()));
        assert_eq!(bench.audio(1).is_some(), hears_a, "{way:?}");
        assert_eq!(bench.answer(1).is_some(), reaches_a, "{way:?}");
        assert_eq!(bench.counts(A).dropped, u64::from(!hears_a), "{way:?}");
    }
}

// ───── under what header they leave

#[test]
fn loss_and_reordering_are_as_visible_behind_us_as_before_us() {
    let mut bench = Bench::new();
    let first = bench.audio(65_530).expect("relayed");
    for seq in [65_531, 65_534, 65_533, 2, 1, 3] {
        let got = bench.audio(seq).expect("relayed");
        let seqs = got.header.seq.wrapping_sub(first.header.seq);
        assert_eq!(seqs, seq.wrapping_sub(65_530), "{seq}");
        let ticks = got.header.timestamp.wrapping_sub(first.header.timestamp);
        assert_eq!(
            ticks,
            audio(0, seq).timestamp.wrapping_sub(audio(0, 65_530).timestamp)
        );
    }
    // 65,532 and 65,535 and 0 never came.
    assert_eq!(bench.counts(A).lost, 3);
}

#[test]
fn csrcs_header_extension_and_padding_stay_behind() {
    let mut bench = Bench::new();
    let mut packet = vec![0xb2, 8, 0, 7, 0, 0, 0, 160, 0xa1, 0xa2, 0xa3, 0xa4];
    packet.extend(b"CANARY01");
    packet.extend([0xbe, 0xde, 0, 1]);
    packet.extend(b"CAN2");
    packet.extend(b"audio");
    packet.extend([0x77, 0x77, 3]);
    let got = bench.raw(A, a(), &packet).expect("relayed");
    assert_eq!(got.bytes.len(), packet::HEADER_BYTES + 5);
    assert_eq!(got.bytes[0], 0x80);
    assert_eq!(got.payload, b"audio");
}

#[test]
fn the_payload_type_is_the_other_legs_and_events_keep_the_audios_timeline() {
    let mut bench = Bench::new();
    let spoken = bench.audio(1).expect("relayed");
    let event = |seq, marker| Header {
        marker,
        payload_type: 101,
        timestamp: 320,
        ..audio(SSRC_A, seq)
    };
    let first = bench.send(A, a(), &event(2, true)).expect("relayed").header;
    let second = bench.send(A, a(), &event(3, false)).expect("relayed").header;
    assert_eq!(
        (first.payload_type, first.marker, second.marker),
        (96, true, false)
    );
    assert_eq!(first.timestamp, spoken.header.timestamp.wrapping_add(160));
    assert_eq!(second.timestamp, first.timestamp);
    assert_eq!(second.seq, spoken.header.seq.wrapping_add(2));
    assert_eq!(second.ssrc, spoken.header.ssrc);
    assert_eq!(bench.counts(A).payload, Some(8), "an event is not the audio");
}

#[test]
fn an_event_before_any_audio_is_no_change_of_clock() {
    let mut bench = Bench::new();
    let event = Header {
        payload_type: 101,
        ..audio(SSRC_A, 1)
    };
    let first = bench.send(A, a(), &event).expect("relayed").header;
    let next = bench.audio(2).expect("relayed").header;
    assert_eq!(next.ssrc, first.ssrc);
    assert_eq!(next.seq, first.seq.wrapping_add(1));
    assert_eq!(next.timestamp, first.timestamp.wrapping_add(160));
}

#[test]
fn a_new_source_goes_on_where_the_old_one_ended() {
    let mut bench = Bench::new();
    bench.audio(1);
    let last = bench.audio(2).expect("relayed").header;
    bench.wait(480);
    let header = audio(0x0bad_cafe, 40_000);
    bench.wait(20);
    let next = bench.send(A, a(), &header).expect("relayed").header;
    assert_eq!(next.ssrc, last.ssrc, "our SSRC is ours");
    assert_eq!(next.seq, last.seq.wrapping_add(1));
    assert_eq!(
        next.timestamp,
        last.timestamp.wrapping_add(4_000),
        "500 ms at 8 kHz"
    );
    assert!(next.marker && !last.marker);
}

#[test]
fn a_restart_under_one_ssrc_is_believed_at_the_second_packet() {
    let mut bench = Bench::new();
    let last = bench.audio(100).expect("relayed").header;
    assert_eq!(bench.audio(30_000), None, "one stray packet is nobody's");
    let next = bench.audio(101).expect("relayed").header;
    assert_eq!(next.seq, last.seq.wrapping_add(1));
    assert_eq!(bench.audio(30_000), None);
    let next = bench.audio(30_001).expect("relayed").header;
    assert_eq!(next.seq, last.seq.wrapping_add(2));
    assert!(next.marker);
}

#[test]
fn another_clock_is_another_ssrc() {
    let mut bench = Bench::new();
    let narrow = bench.audio(1).expect("relayed").header;
    let wide = Header {
        payload_type: 9,
        ..audio(SSRC_A, 2)
    };
    let wide = bench.send(A, a(), &wide).expect("relayed").header;
    assert_ne!(wide.ssrc, narrow.ssrc);
    assert!(wide.marker);
}

#[test]
fn a_hold_is_not_seen_as_loss() {
    let mut bench = Bench::new();
    let last = bench.audio(1).expect("relayed").header;
    let mut held = spec(b());
    held.way = Way::Receive;
    bench.relay.change(bench.now, B, &held);
    for seq in 2..52 {
        assert_eq!(bench.audio(seq), None);
    }
    bench.relay.change(bench.now, B, &spec(b()));
    let next = bench.audio(52).expect("relayed").header;
    assert_eq!(next.seq, last.seq.wrapping_add(1));
    assert_eq!(next.timestamp, last.timestamp.wrapping_add(51 * 160));
}

#[test]
fn nothing_that_leaves_names_the_other_side() {
    let mut bench = Bench::new();
    let mut left: Vec<Vec<u8>> = Vec::new();
    for seq in 0..600 {
        left.extend(bench.audio(seq).map(|got| got.bytes));
        left.extend(bench.answer(seq).map(|got| got.bytes));
        if seq % 50 == 0 {
            let report = peer_report(SSRC_A, 0, "+8613800000001@canary", None);
            bench.relay.rtcp(bench.now, A, address("192.0.2.1:4001"), &report);
            let report = peer_report(SSRC_B, 0, "canary-of-b", None);
            bench
                .relay
                .rtcp(bench.now, B, address("198.51.100.2:6001"), &report);
        }
        left.extend(
            bench
                .run(0)
                .into_iter()
                .filter(|(port, _, _)| *port == B)
                .map(|(_, _, bytes)| bytes),
        );
    }
    bench.relay.close(bench.now, A);
    bench.relay.close(bench.now, B);
    let byes: Vec<_> = std::iter::from_fn(|| bench.relay.poll_rtcp()).collect();
    assert_eq!(byes.len(), 2);
    let to_b = byes
        .into_iter()
        .filter(|(port, _, _)| *port == B)
        .map(|(_, _, bytes)| bytes);
    left.extend(to_b);
    assert!(left.len() > 1_200);
    for bytes in &left {
        assert!(!holds(bytes, &SSRC_A.to_be_bytes()), "A's SSRC");
        assert!(!holds(bytes, b"canary") && !holds(bytes, b"1380"), "A's CNAME");
        assert!(!holds(bytes, &[192, 0, 2, 1]), "A's address");
    }
}

#[test]
fn each_leg_has_an_ssrc_and_a_cname_of_its_own() {
    let mut bench = Bench::new();
    let to_b = bench.audio(1).expect("relayed").header.ssrc;
    let to_a = bench.answer(1).expect("relayed").header.ssrc;
    assert_ne!(to_a, to_b);
    let reports = bench.run(10_000);
    let cname = |port| {
        let report = reports.iter().find(|(from, _, _)| *from == port);
        let (_, _, bytes) = report.expect("each leg is reported to");
        bytes[bytes.len() - 22..bytes.len() - 2].to_vec()
    };
    assert_ne!(cname(A), cname(B));
}

// ───── what is counted

#[test]
fn loss_is_counted_across_wraps_and_sources() {
    let mut bench = Bench::new();
    for seq in [65_534, 65_535, 1, 2] {
        bench.audio(seq);
    }
    bench.send(A, a(), &audio(5, 10));
    bench.send(A, a(), &audio(5, 13));
    let counts = bench.counts(A);
    assert_eq!((counts.packets_in, counts.lost), (6, 3));
}

#[test]
fn jitter_is_that_of_the_rfc() {
    let mut bench = Bench::new();
    (1..9).for_each(|seq| drop(bench.audio(seq)));
    bench.wait(16);
    bench.audio(9);
    // A jump of the sender's clock is none.
    let leap = Header {
        timestamp: 1 << 30,
        ..audio(SSRC_A, 10)
    };
    bench.send(A, a(), &leap);
    // RFC 3550 §A.8: |D| = 16 ms, J = D / 16.
    assert_eq!(bench.counts(A).jitter_us_max, 1_000);
}

// ───── RTCP

fn peer_report(ssrc: u32, sent: u64, cname: &str, about: Option<(u32, u32, u32)>) -> Vec<u8> {
    let received = about.map(|(ssrc, last_sr, delay)| rtcp::Received {
        ssrc,
        fraction_lost: 0,
        lost: 0,
        extended_seq: 0,
        jitter: 0,
        last_sr,
        delay,
    });
    let zero = Sent {
        timestamp: 0,
        packets: 0,
        octets: 0,
    };
    rtcp::write(&rtcp::Report {
        ssrc,
        cname,
        sent: Some((sent, zero)),
        received,
        ending: Ending::More,
    })
}

#[test]
fn our_sender_report_speaks_of_our_own_timeline() {
    let mut bench = Bench::new();
    let mut last = None;
    let mut reports = Vec::new();
    let mut seq = 0;
    while reports.is_empty() {
        last = bench.audio(seq).or(last);
        seq += 1;
        reports = bench.run(0);
        reports.retain(|(port, _, _)| *port == B);
    }
    let last = last.expect("relayed").header;
    let (_, to, bytes) = &reports[0];
    assert_eq!(*to, address("198.51.100.2:6001"));
    let sr = SenderReport::parse(&bytes[..28]).expect("an SR without blocks: B has sent nothing");
    assert_eq!(sr.ssrc(), last.ssrc);
    assert_eq!(
        (sr.packet_count(), sr.octet_count()),
        (u32::from(seq), u32::from(seq) * 160)
    );
    assert!(sr.rtp_timestamp().wrapping_sub(last.timestamp) <= 160);
    assert_eq!(
        sr.ntp_timestamp() >> 32,
        2_208_988_800 + 1_795_255_200 + bench.now.as_micros() / 1_000_000
    );
}

#[test]
fn reports_come_every_five_seconds_or_so_and_never_in_step() {
    let mut bench = Bench::new();
    let reports = bench.run(500_000);
    assert!((200..=320).contains(&reports.len()), "{}", reports.len());
    let mut bench = Bench::new();
    let mut times = Vec::new();
    for _ in 0..5_000 {
        times.extend(
            bench
                .run(10)
                .iter()
                .filter(|(port, _, _)| *port == A)
                .map(|_| bench.now.as_micros()),
        );
    }
    let gaps: std::collections::BTreeSet<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.len() > 5, "{gaps:?}");
}

#[test]
fn a_receiver_report_tells_the_loss_and_answers_only_the_peers_own_sr() {
    let mut bench = Bench::new();
    for seq in [1, 2, 3, 5] {
        bench.audio(seq);
    }
    let report = peer_report(SSRC_A, 0x1111_2222_3333_4444, "a", None);
    bench.relay.rtcp(bench.now, A, address("192.0.2.1:4001"), &report);
    // Somebody else's SR, from an address that isn't believed.
    let report = peer_report(SSRC_A, 0x5555_6666_7777_8888, "x", None);
    bench.relay.rtcp(bench.now, A, stranger(), &report);
    let reports = bench.run(10_000);
    let (_, to, bytes) = reports
        .iter()
        .find(|(port, _, _)| *port == A)
        .expect("A is reported to");
    assert_eq!(*to, address("192.0.2.1:4001"));
    let rr = rtcp_types::ReceiverReport::parse(&bytes[..32]).expect("an RR with one block");
    let block = rr.report_blocks().next().expect("one block");
    assert_eq!(block.ssrc(), SSRC_A);
    assert_eq!((block.cumulative_lost(), block.fraction_lost()), (1, 51));
    assert_eq!(block.extended_sequence_number(), 5);
    assert_eq!(block.last_sender_report_timestamp(), 0x2222_3333);
}

#[test]
fn the_round_trip_is_measured_by_our_own_reports_only() {
    let mut bench = Bench::new();
    let ours = bench.audio(1).expect("relayed").header.ssrc;
    let mut reports = Vec::new();
    while reports.is_empty() {
        reports = bench.run(1);
        reports.retain(|(port, _, _)| *port == B);
    }
    let ntp = SenderReport::parse(&reports[0].2[..28])
        .expect("an SR")
        .ntp_timestamp();
    let last_sr = (ntp >> 16) as u32;
    // 250 ms later, of which B says it held the report for 200.
    bench.wait(250);
    let from = address("198.51.100.2:6001");
    let made_up = peer_report(SSRC_B, 0, "b", Some((ours, last_sr ^ 1, 0)));
    bench.relay.rtcp(bench.now, B, from, &made_up);
    let real = peer_report(SSRC_B, 0, "b", Some((ours, last_sr, (200 << 16) / 1_000)));
    bench.relay.rtcp(bench.now, B, from, &real);
    let later = peer_report(SSRC_B, 0, "b", Some((ours, last_sr ^ 2, 0)));
    bench.relay.rtcp(bench.now, B, from, &later);
    let trip = bench.counts(B).round_trip_us.expect("measured");
    assert!((49_000..=51_100).contains(&trip), "{trip}");
}

#[test]
fn closing_says_bye_and_leaves_the_other_one_unjoined() {
    let mut bench = Bench::new();
    let ours = bench.answer(1).expect("relayed").header.ssrc;
    bench.relay.close(bench.now, A);
    let (port, to, bytes) = bench.relay.poll_rtcp().expect("a BYE");
    assert_eq!((port, to), (A, address("192.0.2.1:4001")));
    let bye = Bye::parse(&bytes[bytes.len() - 8..]).expect("it ends with the BYE");
    assert_eq!(bye.ssrcs().collect::<Vec<_>>(), [ours]);
    let sdes = Sdes::parse(&bytes[28..bytes.len() - 8]);
    assert_eq!(sdes.expect("before it the CNAME").chunks().count(), 1);
    assert_eq!(bench.answer(2), None);
    assert_eq!(bench.audio(1), None, "a closed port is silent");
    assert_eq!(bench.relay.close(bench.now, A), None);
}

#[test]
fn who_never_heard_of_us_gets_no_bye() {
    let mut bench = Bench::new();
    bench.relay.close(bench.now, A);
    assert_eq!(bench.relay.poll_rtcp(), None);
}

#[test]
fn a_learnt_address_gets_rtcp_once_rtcp_came_from_it() {
    let mut from = spec(a());
    from.nat = MediaNat::Latch;
    let mut bench = Bench::with(from, spec(b()));
    (0..4).for_each(|seq| drop(bench.audio_from(stranger(), seq)));
    let to_a = |reports: Vec<(u16, SocketAddr, Vec<u8>)>| -> Vec<SocketAddr> {
        let to_a = reports.into_iter().filter(|(port, _, _)| *port == A);
        to_a.map(|(_, to, _)| to).collect()
    };
    assert_eq!(to_a(bench.run(30_000)), []);
    let rtcp = address("203.0.113.66:9999");
    bench
        .relay
        .rtcp(bench.now, A, rtcp, &peer_report(SSRC_A, 0, "a", None));
    let reports = to_a(bench.run(30_000));
    assert!(!reports.is_empty() && reports.iter().all(|to| *to == rtcp));
}

// ───── silence

fn with_timeout() -> Bench {
    let (mut one, mut two) = (spec(a()), spec(b()));
    one.timeout = Some(Duration::from_secs(60));
    two.timeout = Some(Duration::from_secs(60));
    Bench::with(one, two)
}

#[test]
fn a_silent_pair_is_dead_once_and_again_only_after_it_lived() {
    let mut bench = with_timeout();
    bench.run(59_999);
    assert_eq!(bench.relay.poll_dead(), None);
    bench.run(1);
    assert!(bench.relay.poll_dead().is_some());
    bench.run(600_000);
    assert_eq!(bench.relay.poll_dead(), None);
    bench.audio(1);
    bench.run(50_000);
    assert_eq!(bench.relay.poll_dead(), None);
    bench.run(70_000);
    assert!(bench.relay.poll_dead().is_some());
    assert_eq!(bench.relay.poll_dead(), None);
}

#[test]
fn one_living_side_keeps_the_pair_alive_be_it_by_rtcp_and_a_stranger_does_not() {
    let mut bench = with_timeout();
    for _ in 0..20 {
        bench.run(30_000);
        let report = peer_report(SSRC_B, 0, "b", None);
        bench
            .relay
            .rtcp(bench.now, B, address("198.51.100.2:6001"), &report);
        assert_eq!(bench.relay.poll_dead(), None);
    }
    for seq in 0..4 {
        bench.run(20_000);
        bench.audio_from(stranger(), seq);
        let report = peer_report(SSRC_B, 0, "b", None);
        bench.relay.rtcp(bench.now, B, stranger(), &report);
    }
    assert!(bench.relay.poll_dead().is_some());
}

#[test]
fn on_hold_nobody_dies_and_after_it_the_wait_begins_anew() {
    let mut bench = with_timeout();
    let mut held = spec(a());
    held.timeout = None;
    bench.relay.change(bench.now, A, &held);
    bench.run(600_000);
    assert_eq!(bench.relay.poll_dead(), None);
    held.timeout = Some(Duration::from_secs(60));
    bench.relay.change(bench.now, A, &held);
    bench.run(59_000);
    assert_eq!(bench.relay.poll_dead(), None);
    bench.run(2_000);
    assert!(bench.relay.poll_dead().is_some());
}

#[test]
fn a_closed_relay_has_nothing_left_to_do() {
    let mut bench = with_timeout();
    bench.audio(1);
    bench.relay.close(bench.now, A);
    bench.relay.close(bench.now, B);
    while bench.relay.poll_rtcp().is_some() {}
    assert_eq!((bench.relay.timeout(), bench.relay.flows()), (None, 0));
    assert_eq!(bench.run(600_000), []);
}

#[test]
fn ports_out_of_the_range_are_nobodys() {
    let mut bench = Bench::new();
    for port in [0, 19_998, 20_001, 20_010, u16::MAX] {
        bench.relay.open(bench.now, port, &spec(a()));
        assert_eq!(bench.send(port, a(), &audio(1, 1)), None, "{port}");
        bench.relay.rtcp(bench.now, port, a(), &[]);
        assert_eq!(bench.relay.close(bench.now, port), None);
    }
    assert_eq!(bench.relay.flows(), 2);
}

// ───── whatever comes

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_go_nowhere_but_to_the_believed_address(
        packets in prop::collection::vec(
            (0..3_usize, prop::bool::ANY, 0..4_u8, prop::collection::vec(any::<u8>(), 0..80), 0..3_000_u64),
            0..60,
        ),
        latch in prop::bool::ANY,
    ) {
        let mut from = spec(a());
        if latch {
            from.nat = MediaNat::Latch;
        }
        let mut bench = Bench::with(from, spec(b()));
        let senders = [a(), b(), stranger()];
        for (who, is_a, shape, mut bytes, ms) in packets {
            bench.wait(ms);
            // Most bytes are no RTP at all; make some look like it.
            if let Some(first) = bytes.first_mut().filter(|_| shape > 0) {
                *first = 0x80 | (*first & 0x3f);
            }
            if let Some(kind) = bytes.get_mut(1).filter(|_| shape > 1) {
                *kind = if shape == 2 { 8 } else { 200 + (*kind & 1) };
            }
            let (port, from) = (if is_a { A } else { B }, senders[who]);
            let allowed = if is_a { vec![b()] } else if latch { vec![a(), b(), stranger()] } else { vec![a()] };
            let got = bench.raw(port, from, &bytes);
            if let Some(got) = got {
                prop_assert!(allowed.contains(&got.to));
                let sdp = if is_a { a() } else { b() };
                prop_assert!(latch || from == sdp);
                prop_assert!(got.bytes.len() <= bytes.len());
            }
            bench.relay.rtcp(bench.now, port, from, &bytes);
            for (port, to, _) in bench.run(0) {
                let host = if port == A { a().ip() } else { b().ip() };
                prop_assert!(latch || to.ip() == host);
            }
        }
    }
}
