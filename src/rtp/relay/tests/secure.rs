//! Secured flows: A's leg is secured by keys, B's is plain, unless said otherwise.

use super::*;
use crate::base::keying::{Keying, Suite};
use crate::base::limits::{LATCH_PACKETS, SRTP_SSRCS};
use crate::rtp::dtmf::Pressed;
use crate::rtp::flow::Security;
use crate::rtp::srtp::{Open, Seal};

/// The first SSRC that we may seal with.
const FIRST: u32 = 0x5500_0000;

fn key(number: u64) -> Keying {
    Keying::draw(Suite::AesCm128HmacSha1_80, &mut Chance::from_number(number))
}

/// We seal with key 1, A with key 2.
pub(super) fn security() -> Security {
    Security {
        ours: key(1),
        theirs: key(2),
        ssrc: Some(FIRST),
        rollovers: 0,
    }
}

pub(super) fn secured(remote: SocketAddr, security: &Security) -> FlowSpec {
    FlowSpec {
        security: Some(Box::new(security.clone())),
        ..spec(remote)
    }
}

/// A's phone.
pub(super) struct Phone {
    pub(super) seal: Seal,
    pub(super) open: Open,
}

impl Phone {
    pub(super) fn new() -> Self {
        Self::with(&key(2), &key(1))
    }

    fn with(own: &Keying, umbras: &Keying) -> Self {
        Self {
            seal: Seal::new(own).expect("a key of ours"),
            open: Open::new(umbras, 0).expect("a key of ours"),
        }
    }

    fn sealed(&mut self, seq: u16) -> Vec<u8> {
        let mut bytes = rtp(&audio(SSRC_A, seq));
        let length = bytes.len();
        bytes.resize(length + RTP_GROWTH_MAX, 0);
        let place = self.seal.rtp(&mut bytes, 0..length).expect("sealed once");
        bytes[place].to_vec()
    }

    /// What the relay sent, as the phone reads it.
    fn hears(&mut self, got: Option<Got>) -> Option<(Header, Vec<u8>)> {
        let mut bytes = got?.bytes;
        let length = self.open.rtp(&mut bytes)?;
        let (header, payload) = packet::read(&bytes[..length]).expect("RTP");
        Some((header, bytes[payload].to_vec()))
    }
}

impl Bench {
    fn half_secured() -> Self {
        Self::with(secured(a(), &security()), spec(b()))
    }

    fn counted(&mut self, port: u32) -> Counts {
        self.relay.counts(self.now, port).expect("a flow is there")
    }

    fn spoken_by_b(&mut self, seq: u16) -> Option<Got> {
        self.wait(20);
        self.send(B, b(), &audio(SSRC_B, seq))
    }
}

#[test]
fn what_a_seals_comes_to_b_in_the_clear_and_the_other_way_round() {
    let (mut bench, mut phone) = (Bench::half_secured(), Phone::new());
    for seq in 0..50 {
        let plain = rtp(&audio(SSRC_A, seq));
        let got = bench.raw(A, a(), &phone.sealed(seq)).expect("it authenticates");
        assert_eq!((got.port, got.to), (B, b()));
        assert_eq!(got.payload, plain[12..], "B reads it");
        let got = bench.spoken_by_b(seq).expect("plain");
        assert_eq!((got.port, got.to), (A, a()));
        assert_ne!(
            got.payload[..got.payload.len() - 10],
            plain[12..],
            "nobody on the way reads it"
        );
        let (header, payload) = phone.hears(Some(got)).expect("A reads it");
        assert_eq!((header.ssrc, &payload[..]), (FIRST, &plain[12..]));
    }
    let counts = bench.counted(A);
    assert_eq!(
        (counts.packets_in, counts.packets_out, counts.forged),
        (50, 50, 0)
    );
}

#[test]
fn each_leg_has_its_own_keys() {
    let callee = Security {
        ours: Keying::draw(Suite::AeadAes256Gcm, &mut Chance::from_number(3)),
        theirs: Keying::draw(Suite::AeadAes256Gcm, &mut Chance::from_number(4)),
        ssrc: Some(0x6600_0000),
        rollovers: 0,
    };
    let mut bench = Bench::with(secured(a(), &security()), secured(b(), &callee));
    let (mut caller, mut other) = (Phone::new(), Phone::with(&callee.theirs, &callee.ours));
    for seq in 0..20 {
        let plain = rtp(&audio(SSRC_A, seq));
        let got = bench.raw(A, a(), &caller.sealed(seq));
        let (_, payload) = other.hears(got).expect("the callee reads it");
        assert_eq!(payload, plain[12..]);
        let got = bench.raw(B, b(), &other.sealed(seq));
        let (_, payload) = caller.hears(got).expect("the caller reads it");
        assert_eq!(payload, plain[12..]);
    }
}

#[test]
fn what_does_not_authenticate_is_counted_and_changes_nothing() {
    let nat = FlowSpec {
        nat: MediaNat::Latch,
        ..secured(a(), &security())
    };
    let (mut bench, mut phone) = (Bench::with(nat, spec(b())), Phone::new());
    let first = phone.sealed(0);
    let mut attempts = 0;
    for seq in 1..=u16::from(LATCH_PACKETS) * 3 {
        // In the clear, by another key, and one of A's that was changed on the way: from a stranger who would be latched.
        let mut changed = first.clone();
        *changed.last_mut().expect("not empty") ^= 1;
        for bytes in [
            rtp(&audio(SSRC_A, seq)),
            Phone::with(&key(9), &key(1)).sealed(seq),
            changed,
        ] {
            assert_eq!(bench.raw(A, stranger(), &bytes), None);
            attempts += 1;
        }
    }
    let counts = bench.counted(A);
    assert_eq!(
        (counts.forged, counts.dropped, counts.strangers),
        (attempts, attempts, 0)
    );
    assert_eq!(counts.packets_in, 0);
    let to_a = bench.spoken_by_b(1).expect("plain");
    assert_eq!(to_a.to, a(), "nobody was latched on");
    assert!(bench.raw(A, a(), &first).is_some(), "A's own still opens");
    assert_eq!(bench.raw(A, a(), &first), None, "but not twice");
    assert_eq!(bench.counted(A).forged, attempts + 1);
}

#[test]
fn who_authenticates_is_latched_on_as_ever() {
    let nat = FlowSpec {
        nat: MediaNat::Latch,
        ..secured(a(), &security())
    };
    let (mut bench, mut phone) = (Bench::with(nat, spec(b())), Phone::new());
    for seq in 0..u16::from(LATCH_PACKETS) {
        bench.raw(A, stranger(), &phone.sealed(seq));
    }
    assert_eq!(bench.spoken_by_b(1).expect("plain").to, stranger());
}

#[test]
fn a_packet_that_comes_twice_from_the_plain_side_goes_out_once() {
    let mut bench = Bench::half_secured();
    assert!(bench.spoken_by_b(1).is_some());
    assert!(bench.spoken_by_b(2).is_some());
    // The same number with other words: the same keystream would give both away.
    let mut other = rtp(&audio(SSRC_B, 2));
    other[12..].fill(0x55);
    assert_eq!(bench.raw(B, b(), &other), None);
    assert!(bench.spoken_by_b(3).is_some());
}

#[test]
fn reports_are_sealed_both_ways() {
    let (mut bench, mut phone) = (Bench::half_secured(), Phone::new());
    for seq in 0..10 {
        bench.spoken_by_b(seq);
        bench.raw(A, a(), &phone.sealed(seq));
    }
    let reports = bench.run(10_000);
    let to_a: Vec<_> = reports.iter().filter(|(port, ..)| *port == A).collect();
    assert!(!to_a.is_empty());
    for (_, _, bytes) in to_a {
        let mut opened = bytes.clone();
        let length = phone.open.rtcp(&mut opened).expect("it authenticates");
        assert!(rtcp::read(&opened[..length], 0).is_some_and(|heard| heard.ssrc == FIRST));
        assert!(rtcp::read(bytes, 0).is_none(), "nobody else reads it");
    }
    let mut receiver = vec![0x80, 201, 0, 1];
    receiver.extend(SSRC_A.to_be_bytes());
    let at = address("192.0.2.1:4001");
    bench.relay.rtcp(bench.now, A, at, &mut receiver.clone());
    assert_eq!(bench.counted(A).forged, 1, "in the clear");
    phone.seal.rtcp(&mut receiver).expect("a report");
    bench.relay.rtcp(bench.now, A, at, &mut receiver.clone());
    bench.relay.rtcp(bench.now, A, at, &mut receiver);
    assert_eq!(bench.counted(A).forged, 2, "the same once more");
}

#[test]
fn keys_that_we_press_are_sealed() {
    let (mut bench, mut phone) = (Bench::half_secured(), Phone::new());
    for seq in 0..3 {
        phone.hears(bench.spoken_by_b(seq)).expect("A reads it");
    }
    let five = Digit {
        key: crate::rtp::dtmf::Key::of(b'5').expect("a key"),
        lasts: Duration::from_millis(100),
    };
    assert_eq!(bench.relay.digit(bench.now, A, five), Pressed::Yes);
    let mut events = 0;
    for (_, _, mut bytes) in bench.run(400).into_iter().filter(|(port, ..)| *port == A) {
        let length = phone.open.rtp(&mut bytes).expect("it authenticates");
        let (header, payload) = packet::read(&bytes[..length]).expect("RTP");
        assert_eq!((header.payload_type, bytes[payload][0]), (101, 5));
        events += 1;
    }
    assert!(events >= 3, "{events}");
}

#[test]
fn a_new_key_of_the_peers_counts_at_once_and_the_same_ones_go_on() {
    let (mut bench, mut phone) = (Bench::half_secured(), Phone::new());
    let old = phone.sealed(0);
    bench.raw(A, a(), &phone.sealed(1)).expect("by key 2");
    // A refresh of the session opens nothing twice.
    bench.relay.change(bench.now, A, &secured(a(), &security()));
    bench.raw(A, a(), &phone.sealed(2)).expect("still by key 2");
    let before = phone.hears(bench.spoken_by_b(1)).expect("by key 1");
    let renewed = Security {
        theirs: key(5),
        ..security()
    };
    bench.relay.change(bench.now, A, &secured(a(), &renewed));
    assert_eq!(bench.raw(A, a(), &old), None, "by the key that is no more");
    let mut anew = Phone::with(&key(5), &key(1));
    bench.raw(A, a(), &anew.sealed(3)).expect("by key 5");
    let after = phone.hears(bench.spoken_by_b(2)).expect("ours is the same");
    assert_eq!(after.0.ssrc, before.0.ssrc);
    assert_eq!(after.0.seq, before.0.seq.wrapping_add(1));
}

#[test]
fn a_leg_that_was_plain_for_a_while_comes_back_under_another_ssrc() {
    let (mut bench, mut phone) = (Bench::half_secured(), Phone::new());
    let (first, _) = phone.hears(bench.spoken_by_b(1)).expect("sealed");
    bench.relay.change(bench.now, A, &spec(a()));
    assert_eq!(
        bench.spoken_by_b(2).expect("plain").payload,
        rtp(&audio(SSRC_B, 2))[12..]
    );
    bench.relay.change(bench.now, A, &secured(a(), &security()));
    let (again, _) = phone.hears(bench.spoken_by_b(3)).expect("sealed");
    assert_eq!((first.ssrc, again.ssrc), (FIRST, FIRST + 1));
}

#[test]
fn another_clock_is_the_next_ssrc_until_there_is_none() {
    let mut bench = Bench::half_secured();
    let (mut seen, mut last) = (std::collections::HashSet::new(), None);
    for seq in 0..SRTP_SSRCS + 10 {
        // 8,000 and 16,000 Hz by turns.
        let header = Header {
            payload_type: if seq % 2 == 0 { 8 } else { 9 },
            ..audio(SSRC_B, seq as u16)
        };
        if let Some(got) = bench.send(B, b(), &header) {
            let ssrc = got.header.ssrc;
            assert!(
                last.replace(ssrc) == Some(ssrc) || seen.insert(ssrc),
                "one a second time"
            );
        }
    }
    assert_eq!(seen.len(), SRTP_SSRCS as usize);
    assert!(seen.iter().all(|ssrc| (FIRST..FIRST + SRTP_SSRCS).contains(ssrc)));
}

#[test]
fn who_goes_on_after_a_restart_hears_at_once_and_sends_nothing_before_it_has_an_ssrc() {
    let (mut bench, mut phone) = (Bench::half_secured(), Phone::new());
    for at in 0..70_000_u32 {
        bench
            .raw(A, a(), &phone.sealed(at as u16))
            .expect("it authenticates");
    }
    bench.run(10_000);
    let mut rolled = Vec::new();
    rolled.extend(std::iter::from_fn(|| bench.relay.poll_rolled()));
    assert_eq!(rolled, [(A, 1)], "told once");
    let mut after = Bench::with(spec(a()), spec(b()));
    let kept = Security {
        ssrc: None,
        rollovers: 1,
        ..security()
    };
    after.relay.resume(after.now, A, &secured(a(), &kept));
    after.relay.join(after.now, A, B);
    assert!(after.raw(A, a(), &phone.sealed(4_464)).is_some(), "A is heard");
    assert_eq!(after.spoken_by_b(1), None, "nothing is sealed yet");
    assert_eq!(
        after.run(10_000).iter().filter(|(port, ..)| *port == A).count(),
        0
    );
    let now = Security {
        ssrc: Some(FIRST + SRTP_SSRCS),
        ..kept
    };
    after.relay.change(after.now, A, &secured(a(), &now));
    let (header, _) = phone.hears(after.spoken_by_b(2)).expect("sealed");
    assert_eq!(header.ssrc, FIRST + SRTP_SSRCS);
}
