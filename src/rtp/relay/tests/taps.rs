//! What is recorded is what was heard. Both peers are recorded, unless said otherwise.

use std::sync::Arc;

use proptest::prelude::*;

use super::secure::{Phone, secured, security};
use super::*;
use crate::base::id::Id;
use crate::rtp::clip::{Clip, FRAME, Play, Repeats};
use crate::rtp::dtmf::Key;
use crate::rtp::tap::{Channel, Consumer, Tap, ring};

const RECORDING: Id = Id::from_bits(0x1234);

/// A packet in clear, on its way to a peer or into a recording.
#[derive(Clone, PartialEq, Debug)]
struct Packet {
    channel: Channel,
    ssrc: u32,
    seq: u16,
    timestamp: u32,
    marker: bool,
    payload_type: u8,
    payload: Vec<u8>,
}

/// What a tap says of a packet besides.
type Read = (u32, Option<Coding>, bool);

struct Recorded {
    bench: Bench,
    taps: Consumer,
    /// What A's peer reads by, if A's leg is secured.
    phone: Option<Phone>,
    /// What reached the peers since the last look, and when it left.
    reached: Vec<(Packet, Instant)>,
}

const fn channel(port: u32) -> Channel {
    if port == A {
        Channel::Callee
    } else {
        Channel::Caller
    }
}

fn tap(port: u32) -> Option<Tap> {
    Some(Tap {
        recording: RECORDING,
        channel: channel(port),
    })
}

fn clip(frames: usize, coding: Coding) -> Play {
    let samples: Vec<i16> = (0..frames * 160).map(|at| (at * 31 % 9_000) as i16).collect();
    let clip = Arc::new(Clip::new(&samples, Repeats::Once));
    Play::new(clip, coding, coding.payload())
}

impl Recorded {
    fn new() -> Self {
        Self::with(Bench::new())
    }

    /// A's leg is secured.
    fn half_secured() -> Self {
        Self {
            phone: Some(Phone::new()),
            ..Self::with(Bench::with(secured(a(), &security()), spec(b())))
        }
    }

    fn with(bench: Bench) -> Self {
        let (producer, taps) = ring(1 << 20);
        let mut bench = Bench {
            relay: bench.relay.tapped_by(Box::new(producer)),
            ..bench
        };
        for port in [A, B] {
            bench.relay.tap(port, tap(port));
        }
        Self {
            bench,
            taps,
            phone: None,
            reached: Vec::new(),
        }
    }

    /// Something left; reports are nothing to hear.
    fn leaves(&mut self, port: u32, mut bytes: Vec<u8>) {
        if port % 2 == 1 {
            return;
        }
        if let Some(phone) = self.phone.as_mut().filter(|_| port == A) {
            let length = phone.open.rtp(&mut bytes).expect("the phone reads it");
            bytes.truncate(length);
        }
        let (header, payload) = packet::read(&bytes).expect("it is RTP");
        let packet = Packet {
            channel: channel(port),
            ssrc: header.ssrc,
            seq: header.seq,
            timestamp: header.timestamp,
            marker: header.marker,
            payload_type: header.payload_type,
            payload: bytes[payload].to_vec(),
        };
        self.reached.push((packet, self.bench.now));
    }

    /// A packet comes from the peer of `port`.
    fn comes(&mut self, port: u32, header: &Header) {
        let mut bytes = rtp(header);
        if let Some(phone) = self.phone.as_mut().filter(|_| port == A) {
            let length = bytes.len();
            bytes.resize(length + RTP_GROWTH_MAX, 0);
            let Some(place) = phone.seal.rtp(&mut bytes, 0..length) else {
                return;
            };
            bytes.truncate(place.end);
        }
        let from = if port == A { a() } else { b() };
        if let Some(got) = self.bench.raw(port, from, &bytes) {
            self.leaves(got.port, got.bytes);
        }
    }

    fn press(&mut self, port: u32, letter: u8) {
        let digit = Digit {
            key: Key::of(letter).expect("a key"),
            lasts: Duration::from_millis(100),
        };
        self.bench.relay.digit(self.bench.now, port, digit);
        self.own();
    }

    fn play(&mut self, port: u32, play: &Play) {
        self.bench.relay.play(self.bench.now, port, play);
    }

    fn own(&mut self) {
        while let Some((port, _, bytes)) = self.bench.relay.poll_out() {
            self.leaves(port, bytes);
        }
    }

    /// Lets `ms` pass, with everything done when it is due.
    fn run(&mut self, ms: u64) {
        let end = self.bench.now + Duration::from_millis(ms);
        while let Some(at) = self.bench.relay.timeout().filter(|at| *at <= end) {
            self.bench.now = self.bench.now.max(at);
            self.bench.relay.tick(self.bench.now);
            self.own();
            let mut said = Vec::new();
            let now = self.bench.now;
            self.bench
                .relay
                .speak(now, |port, _, bytes| said.push((port, bytes.to_vec())));
            for (port, bytes) in said {
                self.leaves(port, bytes);
            }
        }
        self.bench.now = end;
    }

    /// Both talk for so many packets, from these numbers on.
    fn talk(&mut self, seqs: std::ops::Range<u16>) {
        for seq in seqs {
            self.run(20);
            self.comes(A, &audio(SSRC_A, seq));
            self.comes(B, &audio(SSRC_B, seq));
        }
    }

    /// What the taps heard since the last look: it is what reached the peers.
    fn heard(&mut self) -> Vec<(Packet, Read)> {
        let (mut all, mut left) = (Vec::new(), self.reached.drain(..));
        self.taps.take(|heard| {
            assert_eq!(heard.tap.recording, RECORDING);
            let packet = Packet {
                channel: heard.tap.channel,
                ssrc: heard.ssrc,
                seq: heard.seq,
                timestamp: heard.timestamp,
                marker: heard.marker,
                payload_type: heard.payload_type,
                payload: heard.payload.to_vec(),
            };
            let (reached, at) = left.next().expect("what is recorded has left");
            assert_eq!(packet, reached);
            // Of two sounds one after the other the second one may begin late: by less than a frame.
            assert!(heard.at <= at && at - heard.at < FRAME);
            all.push((packet, (heard.clock_hz, heard.coding, heard.is_event)));
        });
        assert_eq!(left.next(), None, "what has left is recorded");
        drop(left);
        assert_eq!(self.taps.missed(), 0);
        all
    }
}

/// What the packets of one channel are, runs of the same told once.
fn kinds(heard: &[(Packet, Read)], channel: Channel) -> Vec<(u8, Read)> {
    let of_channel = heard.iter().filter(|(packet, _)| packet.channel == channel);
    let mut kinds: Vec<_> = of_channel
        .map(|(packet, read)| (packet.payload_type, *read))
        .collect();
    kinds.dedup();
    kinds
}

const PCMA: (u8, Read) = (8, (8_000, Some(Coding::A), false));

#[test]
fn each_peers_voice_is_in_its_own_channel_as_the_other_hears_it() {
    let mut call = Recorded::new();
    call.talk(0..50);
    let heard = call.heard();
    assert_eq!(heard.len(), 100);
    for channel in [Channel::Caller, Channel::Callee] {
        assert_eq!(kinds(&heard, channel), [PCMA]);
    }
    let ssrcs = heard.iter().map(|(packet, _)| packet.ssrc);
    assert!(
        !ssrcs.clone().any(|ssrc| [SSRC_A, SSRC_B].contains(&ssrc)),
        "ours"
    );
}

#[test]
fn sounds_and_keys_are_recorded_in_their_places() {
    let mut call = Recorded::new();
    call.talk(0..5);
    call.play(A, &clip(10, Coding::Mu));
    call.talk(5..20);
    // A key that A presses, with the number that B knows it by, and one that we press for B.
    for seq in 20..23 {
        call.run(20);
        let event = Header {
            payload_type: 101,
            timestamp: 3_200,
            ..audio(SSRC_A, seq)
        };
        call.comes(A, &event);
    }
    call.press(B, b'5');
    call.talk(23..40);
    let heard = call.heard();
    let is_marked_event = |(packet, (.., is_event)): &(Packet, Read)| *is_event && packet.marker;
    assert!(heard.iter().any(is_marked_event), "where it begins");
    let event = |number| (number, (8_000, None, true));
    assert_eq!(
        kinds(&heard, Channel::Callee),
        [PCMA, (0, (8_000, Some(Coding::Mu), false)), PCMA]
    );
    assert_eq!(
        kinds(&heard, Channel::Caller),
        [PCMA, event(96), event(101), PCMA]
    );
}

#[test]
fn a_key_before_any_audio_has_the_clock_of_the_audio() {
    let mut call = Recorded::new();
    call.press(B, b'1');
    call.run(200);
    assert_eq!(
        kinds(&call.heard(), Channel::Caller),
        [(101, (8_000, None, true))]
    );
}

#[test]
fn a_secured_leg_is_recorded_in_clear() {
    let mut call = Recorded::half_secured();
    call.talk(0..10);
    call.play(A, &clip(10, Coding::A));
    call.talk(10..25);
    call.press(A, b'7');
    call.talk(25..40);
    let heard = call.heard();
    let spoken = rtp(&audio(0, 0))[12..].to_vec();
    let first = heard.iter().find(|(packet, _)| packet.channel == Channel::Callee);
    assert_eq!(first.map(|(packet, _)| &packet.payload), Some(&spoken));
    assert_eq!(
        kinds(&heard, Channel::Callee),
        [PCMA, (101, (8_000, None, true)), PCMA]
    );
}

#[test]
fn what_comes_twice_and_is_sealed_once_is_recorded_once() {
    let mut call = Recorded::half_secured();
    call.talk(0..3);
    for _ in 0..3 {
        call.comes(B, &audio(SSRC_B, 3));
    }
    let heard = call.heard();
    let callee = heard
        .iter()
        .filter(|(packet, _)| packet.channel == Channel::Callee);
    assert_eq!(callee.count(), 4);
}

#[test]
fn what_a_leg_without_an_ssrc_keeps_back_is_not_recorded() {
    let untold = crate::rtp::flow::Security {
        ssrc: None,
        ..security()
    };
    let mut call = Recorded::with(Bench::with(secured(a(), &untold), spec(b())));
    call.talk(0..1);
    call.play(A, &clip(3, Coding::A));
    call.press(A, b'7');
    call.run(500);
    assert_eq!(call.heard(), []);
}

#[test]
fn a_recording_goes_on_behind_new_sdp_another_ssrc_and_another_clock() {
    let mut call = Recorded::new();
    call.talk(0..5);
    let before = call.heard();
    let moved = FlowSpec {
        remote: Some(address("198.51.100.2:7000")),
        ..spec(b())
    };
    call.bench.relay.change(call.bench.now, B, &moved);
    for seq in 700..705 {
        call.run(20);
        call.comes(A, &audio(SSRC_A ^ 1, seq));
    }
    let other_ssrc = call.heard();
    for seq in 705..710 {
        call.run(20);
        let wide = Header {
            payload_type: 9,
            ..audio(SSRC_A ^ 1, seq)
        };
        call.comes(A, &wide);
    }
    let other_clock = call.heard();
    let ssrc = |heard: &[(Packet, Read)]| {
        let caller = heard
            .iter()
            .filter(|(packet, _)| packet.channel == Channel::Caller);
        let mut ssrcs: Vec<u32> = caller.map(|(packet, _)| packet.ssrc).collect();
        ssrcs.dedup();
        ssrcs
    };
    assert_eq!(ssrc(&before), ssrc(&other_ssrc), "our timeline goes on");
    assert_eq!(other_ssrc.len(), 5);
    assert_ne!(ssrc(&other_clock), ssrc(&before), "RFC 7160 §4.1");
    assert_eq!(
        kinds(&other_clock, Channel::Caller),
        [(9, (16_000, Some(Coding::G722), false))]
    );
}

#[test]
fn what_is_not_sent_is_not_recorded() {
    let mut call = Recorded::new();
    call.run(20);
    // A stranger's, of a codec that B lacks, of no codec at all.
    assert_eq!(call.bench.send(A, stranger(), &audio(SSRC_A, 1)), None);
    for payload_type in [13, 77] {
        let odd = Header {
            payload_type,
            ..audio(SSRC_A, 1)
        };
        call.comes(A, &odd);
    }
    // Both are on hold.
    for (port, at) in [(A, a()), (B, b())] {
        let held = FlowSpec {
            way: Way::Neither,
            ..spec(at)
        };
        call.bench.relay.change(call.bench.now, port, &held);
        call.play(port, &clip(3, Coding::A));
        call.press(port, b'5');
    }
    call.talk(2..10);
    assert_eq!(call.heard(), []);
}

#[test]
fn a_tap_lasts_until_it_is_taken_away_or_the_flow_ends() {
    let mut call = Recorded::new();
    call.bench.relay.tap(A, None);
    call.talk(0..5);
    call.reached
        .retain(|(packet, _)| packet.channel == Channel::Caller);
    assert_eq!(call.heard().len(), 5);
    call.bench.relay.tap(A, tap(A));
    call.talk(5..10);
    assert_eq!(call.heard().len(), 10);
    call.bench.relay.close(call.bench.now, B);
    call.bench.relay.open(call.bench.now, B, &spec(b()));
    call.bench.relay.join(call.bench.now, A, B);
    call.talk(10..15);
    call.reached
        .retain(|(packet, _)| packet.channel == Channel::Callee);
    assert_eq!(call.heard().len(), 5, "the flow that ended had the tap");
    // Where no flow is, nothing is recorded, and none that begins there later.
    let elsewhere = B + 2;
    call.bench.relay.tap(elsewhere, tap(B));
    call.bench.relay.tap(A - 2, tap(A));
    call.bench.relay.open(call.bench.now, elsewhere, &spec(b()));
    call.bench.relay.join(call.bench.now, A, elsewhere);
    call.bench.relay.tap(A, None);
    call.comes(A, &audio(SSRC_A, 15));
    assert_eq!(call.reached.len(), 1, "it was heard");
    call.reached.clear();
    assert_eq!(call.heard(), []);
}

#[test]
fn a_fax_is_not_recorded() {
    let fax = |remote| FlowSpec {
        stream: Stream::Udptl,
        payloads: Payloads::new(),
        ..spec(remote)
    };
    let mut call = Recorded::with(Bench::with(fax(a()), fax(b())));
    let mut datagram = rtp(&audio(SSRC_A, 1));
    let length = datagram.len();
    let out = call
        .bench
        .relay
        .rtp(call.bench.now, A, a(), &mut datagram, length);
    assert!(out.is_some(), "it passes");
    assert_eq!(call.heard(), []);
}

/// What happens on a call.
#[derive(Clone, Debug)]
enum Act {
    /// A packet with this sequence number, of one of two sources, with one of some payload types.
    Comes(u32, u16, bool, u8),
    Press(u32, u8),
    Play(u32, usize, Coding),
    Hush(u32),
    Change(u32, Way),
    Waits(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let port = prop_oneof![Just(A), Just(B)];
    let payload_type = prop_oneof![6 => Just(8), 2 => Just(101), 2 => Just(96), 1 => Just(9), 1 => Just(13)];
    let coding = prop_oneof![Just(Coding::A), Just(Coding::Mu)];
    let way = prop_oneof![
        4 => Just(Way::Both),
        1 => Just(Way::Send),
        1 => Just(Way::Receive),
        1 => Just(Way::Neither),
    ];
    prop_oneof![
        12 => (port.clone(), 0_u16..40, any::<bool>(), payload_type)
            .prop_map(|(port, seq, other, payload_type)| Act::Comes(port, seq, other, payload_type)),
        1 => (port.clone(), b'0'..=b'9').prop_map(|(port, key)| Act::Press(port, key)),
        1 => (port.clone(), 1_usize..20, coding).prop_map(|(port, frames, coding)| Act::Play(port, frames, coding)),
        1 => port.clone().prop_map(Act::Hush),
        1 => (port, way).prop_map(|(port, way)| Act::Change(port, way)),
        6 => (0_u64..100).prop_map(Act::Waits),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_on_a_call_the_taps_hear_what_reaches_the_peers(
        is_secured in any::<bool>(),
        acts in prop::collection::vec(act(), 1..120),
    ) {
        let mut call = if is_secured { Recorded::half_secured() } else { Recorded::new() };
        for act in acts {
            match act {
                Act::Comes(port, seq, is_other, payload_type) => {
                    let ssrc = if port == A { SSRC_A } else { SSRC_B } ^ u32::from(is_other);
                    call.comes(port, &Header { payload_type, ..audio(ssrc, seq) });
                }
                Act::Press(port, key) => call.press(port, key),
                Act::Play(port, frames, coding) => call.play(port, &clip(frames, coding)),
                Act::Hush(port) => call.bench.relay.hush(port),
                Act::Change(port, way) => {
                    let spec = match (port, is_secured) {
                        (A, true) => secured(a(), &security()),
                        (A, false) => spec(a()),
                        (_, _) => spec(b()),
                    };
                    call.bench.relay.change(call.bench.now, port, &FlowSpec { way, ..spec });
                }
                Act::Waits(ms) => call.run(ms),
            }
            call.heard();
        }
        call.run(5_000);
        call.heard();
    }
}

/// A talks, is away for 61 seconds, and comes back with this added to its timestamps. How many packets were said to be the first
/// after an outage, and what A's timestamps in the recording were just before and then.
fn away(added: u32) -> (usize, [u32; 2]) {
    let mut call = Recorded::new();
    call.talk(0..50);
    for seq in 50..3_100 {
        call.run(20);
        call.comes(B, &audio(SSRC_B, seq));
    }
    for seq in 3_100..3_110 {
        call.run(20);
        let header = audio(SSRC_A, seq);
        call.comes(
            A,
            &Header {
                timestamp: header.timestamp.wrapping_add(added),
                ..header
            },
        );
    }
    let (mut backs, mut stamps) = (0, Vec::new());
    call.taps.take(|heard| {
        backs += usize::from(heard.is_back);
        if heard.tap.channel == Channel::Caller {
            stamps.push(heard.timestamp);
        }
    });
    // The first packet only tells that there may be more.
    assert_eq!(stamps.len(), 50 + 9);
    (backs, [stamps[49], stamps[50]])
}

#[test]
fn who_comes_back_after_a_minute_is_recorded_as_one_who_was_away() {
    let (backs, [before, then]) = away(0);
    assert_eq!(backs, 1);
    assert_eq!(then.wrapping_sub(before), (3_101 - 49) * 160);
    // By another clock it is another beginning, of which nobody knows what came before.
    assert_eq!(away(1_000_000).0, 0);
}
