//! Flows whose peers are listened to.

use super::*;
use crate::base::keying::{Keying, Suite};
use crate::rtp::ear::{Heard, Listening, Stroke};
use crate::rtp::flow::Security;
use crate::rtp::g711::Law;
use crate::rtp::srtp::Seal;
use crate::rtp::tone::Tone;
use crate::rtp::twice::By;

impl Bench {
    /// A, with nobody else.
    fn alone(security: Option<Security>) -> Self {
        let mut spec = spec(a());
        for payload in &mut spec.payloads {
            payload.other = None;
        }
        spec.security = security.map(Box::new);
        let mut relay = Relay::new(Chance::from_number(7), 20_000, 20_009, WALL);
        let now = Instant::from_micros(5_000 * MS);
        relay.open(now, A, &spec);
        Self { relay, now }
    }

    fn keyed(&mut self) -> Vec<Keyed> {
        std::iter::from_fn(|| self.relay.poll_heard())
            .map(|(port, keyed)| {
                assert_eq!(port, A);
                keyed
            })
            .collect()
    }

    /// The keys that were pressed to us.
    fn pressed(&mut self) -> String {
        let keyed = self.keyed().into_iter();
        keyed
            .filter_map(|keyed| match keyed {
                Keyed::ToUs(Heard { key, stroke, .. }) => {
                    (stroke == Stroke::Down).then(|| char::from(key.letter()))
                }
                Keyed::Across(_) => panic!("it isn't the other leg's"),
            })
            .collect()
    }
}

/// A packet of an event of A's.
fn event(seq: u16, code: u8, is_end: bool, ticks: u16) -> Vec<u8> {
    let header = Header {
        payload_type: 101,
        timestamp: 7_000,
        ..audio(SSRC_A, seq)
    };
    let mut bytes = vec![0; packet::HEADER_BYTES];
    bytes.extend([code, if is_end { 0x8a } else { 10 }]);
    bytes.extend(ticks.to_be_bytes());
    let payload = packet::HEADER_BYTES..bytes.len();
    packet::write(&header, &mut bytes, payload).expect("room");
    bytes
}

/// The packets of A's tone `5`, of 100 ms, from the packet of this number on.
fn tone(first: u16) -> Vec<Vec<u8>> {
    let pair = [Tone::new(770, 5_000), Tone::new(1_336, 5_000)].map(|mut tone| tone.samples(800));
    let mut samples: Vec<i16> = pair[0]
        .iter()
        .zip(&pair[1])
        .map(|(row, column)| row + column)
        .collect();
    samples.resize(1_600, 0);
    (first..)
        .zip(samples.chunks(160))
        .map(|(seq, samples)| {
            let mut bytes = rtp(&audio(SSRC_A, seq));
            for (code, sample) in bytes[packet::HEADER_BYTES..].iter_mut().zip(samples) {
                *code = Law::A.encode(*sample);
            }
            bytes
        })
        .collect()
}

#[test]
fn a_leg_that_is_alone_is_heard_while_somebody_listens() {
    let mut bench = Bench::alone(None);
    bench.raw(A, a(), &event(1, 5, true, 800));
    assert!(matches!(bench.keyed()[..], [Keyed::Across(_)]), "nobody listens");
    bench.relay.listen(A, Listening::Yes);
    for packet in tone(2) {
        assert_eq!(bench.raw(A, a(), &packet), None);
    }
    assert_eq!(bench.pressed(), "5");
    let mut next = event(20, 6, false, 160);
    next[7] = 9;
    bench.raw(A, a(), &next);
    assert_eq!(bench.pressed(), "6");
    bench.relay.listen(A, Listening::Yes);
    next[3] += 1;
    bench.raw(A, a(), &next);
    assert_eq!(bench.pressed(), "", "to be listened to again makes no new ear");
    bench.relay.listen(A, Listening::No);
    for packet in tone(30) {
        bench.raw(A, a(), &packet);
    }
    assert_eq!(bench.pressed(), "", "nobody listens any more");
    let counts = bench.counts(A);
    assert_eq!(
        (counts.packets_in, counts.foreign),
        (12, 11),
        "what is heard was no stray"
    );
}

#[test]
fn events_are_told_above_and_not_relayed_while_somebody_is_between_the_legs() {
    let mut bench = Bench::new();
    bench.relay.listen(A, Listening::Between);
    assert!(
        bench.raw(A, a(), &rtp(&audio(SSRC_A, 1))).is_some(),
        "audio is relayed"
    );
    for (seq, is_end) in [(2, false), (3, true), (4, true)] {
        assert!(
            bench
                .raw(A, a(), &event(seq, 5, is_end, 160 * (seq - 1)))
                .is_none()
        );
    }
    let told = bench.keyed();
    assert!(
        matches!(told[..], [Keyed::Across(digit)] if digit.key.letter() == b'5'),
        "one key, when it is let go: {told:?}"
    );
    // Nothing looks lost to B, nor like a stray to us.
    let before = bench.raw(A, a(), &rtp(&audio(SSRC_A, 5))).expect("audio goes on");
    let after = bench.raw(A, a(), &rtp(&audio(SSRC_A, 6))).expect("and on");
    assert_eq!(after.header.seq, before.header.seq + 1);

    // Once nobody is between them, the next key goes on by itself.
    bench.relay.listen(A, Listening::No);
    let mut next = event(7, 6, false, 160);
    next[6] += 1;
    assert!(bench.raw(A, a(), &next).is_some());
    assert_eq!(bench.keyed(), []);
    let counts = bench.counts(A);
    assert_eq!((counts.packets_in, counts.foreign), (7, 0));
}

#[test]
fn what_is_heard_of_a_joined_leg_is_relayed_all_the_same() {
    let mut bench = Bench::new();
    bench.relay.listen(A, Listening::Yes);
    for packet in tone(1) {
        assert!(bench.raw(A, a(), &packet).is_some());
    }
    assert_eq!(bench.pressed(), "5");
    assert!(bench.raw(A, a(), &event(11, 5, false, 160)).is_some());
    let event = bench.keyed();
    assert!(
        matches!(event[..], [Keyed::ToUs(Heard { by: By::Event, .. })]),
        "{event:?}"
    );
    // Nobody listens to B, and nobody believes a stranger.
    for packet in tone(1) {
        assert!(bench.raw(B, b(), &packet).is_some());
        assert!(bench.raw(A, stranger(), &packet).is_none());
    }
    assert_eq!(bench.keyed(), []);
}

#[test]
fn who_holds_the_call_keys_nothing() {
    let mut bench = Bench::new();
    bench.relay.listen(A, Listening::Yes);
    let held = FlowSpec {
        way: Way::Send,
        ..spec(a())
    };
    bench.relay.change(bench.now, A, &held);
    for packet in tone(1) {
        bench.raw(A, a(), &packet);
    }
    assert_eq!(bench.keyed(), []);
    bench.relay.change(bench.now, A, &spec(a()));
    for packet in tone(20) {
        bench.raw(A, a(), &packet);
    }
    assert_eq!(bench.pressed(), "5", "it was listened to all the time");
}

#[test]
fn a_secured_leg_is_heard_in_the_clear_and_nobody_else() {
    let [ours, theirs] =
        [1, 2].map(|number| Keying::draw(Suite::AesCm128HmacSha1_80, &mut Chance::from_number(number)));
    let mut bench = Bench::alone(Some(Security {
        ours,
        theirs: theirs.clone(),
        ssrc: Some(1),
        rollovers: 0,
    }));
    bench.relay.listen(A, Listening::Yes);
    let mut seal = Seal::new(&theirs).expect("a key of ours");
    let mut pressed = String::new();
    for packet in tone(1).into_iter().chain([event(20, 7, false, 160)]) {
        bench.raw(A, a(), &packet);
        assert_eq!(bench.keyed(), [], "not sealed");
        let (mut sealed, length) = (packet.clone(), packet.len());
        sealed.resize(length + RTP_GROWTH_MAX, 0);
        let place = seal.rtp(&mut sealed, 0..length).expect("once");
        bench.raw(A, a(), &sealed[place]);
        pressed += &bench.pressed();
    }
    assert_eq!(pressed, "57");
}
