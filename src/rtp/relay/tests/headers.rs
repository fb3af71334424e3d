//! Under what header packets leave, and that nothing else of theirs does.

use super::*;

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
            bench
                .relay
                .rtcp(bench.now, A, address("192.0.2.1:4001"), &mut report.clone());
            let report = peer_report(SSRC_B, 0, "canary-of-b", None);
            bench
                .relay
                .rtcp(bench.now, B, address("198.51.100.2:6001"), &mut report.clone());
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
    let byes: Vec<_> = std::iter::from_fn(|| bench.relay.poll_out()).collect();
    assert_eq!(byes.len(), 2);
    let to_b = byes
        .into_iter()
        .filter(|(port, _, _)| *port == B + 1)
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
