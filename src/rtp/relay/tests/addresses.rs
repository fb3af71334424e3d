//! Whose packets are taken, and who is sent to.

use super::*;
use crate::base::limits::LATCH_SILENCE;
use crate::rtp::flow::MediaSource;

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
fn under_strict_another_port_of_the_sdps_host_is_a_stranger_unless_it_is_listed() {
    let other_port = address("192.0.2.1:4999");
    let mut bench = Bench::new();
    bench.wait(LATCH_SILENCE.as_millis() as u64);
    for seq in 0..300 {
        assert_eq!(
            bench.audio_from(other_port, seq),
            None,
            "a zombie of an earlier call, perhaps"
        );
    }
    assert!(bench.audio(1).is_some());

    let mut from = spec(a());
    let network = "192.0.2.1".parse().expect("an address");
    from.media_from.push(MediaSource { network, prefix: 32 });
    let mut bench = Bench::with(from, spec(b()));
    bench.wait(LATCH_SILENCE.as_millis() as u64);
    let heard = (0..4)
        .map(|seq| bench.audio_from(other_port, seq).is_some())
        .collect::<Vec<_>>();
    assert_eq!(heard, [false, false, false, true]);
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
    for nowhere in [
        "0.0.0.0:4000",
        "[::]:4000",
        "192.0.2.1:0",
        "224.0.0.1:4000",
        "255.255.255.255:4000",
    ] {
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

// RFC 3264 §8.4
#[test]
fn whoever_holds_without_an_address_is_heard_from_where_it_was_and_sent_nothing() {
    let mut bench = Bench::new();
    assert!(bench.audio(1).is_some());
    assert_eq!(bench.towards_a(), Some(a()));
    let held = FlowSpec {
        remote: None,
        remote_rtcp: None,
        ..spec(a())
    };
    bench.relay.change(bench.now, A, &held);
    assert!(bench.audio(2).is_some(), "its music goes on");
    assert_eq!(bench.towards_a(), None);
    assert_eq!(bench.audio_from(stranger(), 3), None);
    assert_eq!(
        bench.run(20_000).iter().filter(|(port, ..)| *port == A).count(),
        0
    );
    let elsewhere = address("192.0.2.1:4400");
    bench.relay.change(bench.now, A, &spec(elsewhere));
    assert_eq!(bench.audio(4), None, "another address is another beginning");
    assert!(bench.audio_from(elsewhere, 5).is_some());
    assert_eq!(bench.towards_a(), Some(elsewhere));
}

#[test]
fn a_stream_that_goes_on_is_found_where_it_was_learnt_without_waiting_for_silence_again() {
    let network = "203.0.113.0".parse().expect("an address");
    let mut listed = spec(a());
    listed.media_from.push(MediaSource { network, prefix: 24 });
    let mut latch = spec(a());
    latch.nat = MediaNat::Latch;
    for from in [listed.clone(), latch] {
        let mut bench = Bench::new();
        bench.relay.resume(bench.now, A, &from);
        bench.relay.join(bench.now, A, B);
        for seq in 1..4 {
            assert_eq!(bench.audio_from(stranger(), seq), None);
        }
        let first = bench.audio_from(stranger(), 4).expect("four in a row");
        assert!(first.header.marker);
        assert_eq!(bench.towards_a(), Some(stranger()));
    }
    // Whom the SDP names is there: nobody else gets in without its silence.
    let mut bench = Bench::new();
    bench.relay.resume(bench.now, A, &listed);
    bench.relay.join(bench.now, A, B);
    assert!(bench.audio(1).is_some());
    for seq in 1..20 {
        assert_eq!(bench.audio_from(stranger(), seq), None);
    }
}

#[test]
fn a_stream_that_goes_on_has_another_ssrc_and_its_first_packet_is_marked() {
    let mut bench = Bench::new();
    let before = [bench.audio(7), bench.audio(8)].map(|got| got.expect("A is known").header);
    // As another process does it: nothing is known of the stream but what was agreed on.
    bench.relay = Relay::new(Chance::from_number(8), 20_000, 20_009, WALL);
    bench.relay.resume(bench.now, A, &spec(a()));
    bench.relay.resume(bench.now, B, &spec(b()));
    bench.relay.join(bench.now, A, B);
    let after = [bench.audio(60), bench.audio(61)].map(|got| got.expect("A is known").header);
    assert!(after.iter().all(|header| header.ssrc != before[0].ssrc));
    assert_eq!(after.map(|header| header.marker), [true, false]);
    let reports = bench.run(10_000);
    assert!(
        reports
            .iter()
            .any(|(port, to, _)| (*port, *to) == (B, rtcp_of(b())))
    );
}

fn rtcp_of(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip(), peer.port() + 1)
}
