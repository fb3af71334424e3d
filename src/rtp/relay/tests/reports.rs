//! RTCP: what we report, what we read.

use rtcp_types::prelude::RtcpPacketParser;
use rtcp_types::{Bye, Sdes, SenderReport};

use super::*;

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
    assert!((180..=220).contains(&reports.len()), "{}", reports.len());
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
fn reports_of_many_flows_are_due_together_and_spread_out_all_the_same() {
    let mut relay = Relay::new(Chance::from_number(7), 20_000, 23_999, WALL);
    for port in (20_000..24_000).step_by(2) {
        relay.open(Instant::default(), port, &spec(a()));
    }
    let (mut sent, mut wakes, mut most) = (0, 0, 0);
    while let Some(at) = relay.timeout().filter(|at| at.as_micros() <= 60_000 * MS) {
        relay.tick(at);
        let together = std::iter::from_fn(|| relay.poll_out()).count();
        (sent, wakes, most) = (sent + together, wakes + 1, most.max(together));
    }
    assert!(sent > 20_000, "{sent} reports");
    assert!(wakes <= 3_000, "{wakes} wake-ups in a minute");
    assert!(most < 60, "{most} at once");
}

#[test]
fn a_receiver_report_tells_the_loss_and_answers_only_the_peers_own_sr() {
    let mut bench = Bench::new();
    for seq in [1, 2, 3, 5] {
        bench.audio(seq);
    }
    let report = peer_report(SSRC_A, 0x1111_2222_3333_4444, "a", None);
    bench
        .relay
        .rtcp(bench.now, A, address("192.0.2.1:4001"), &mut report.clone());
    // Somebody else's SR, from an address that isn't believed.
    let report = peer_report(SSRC_A, 0x5555_6666_7777_8888, "x", None);
    bench.relay.rtcp(bench.now, A, stranger(), &mut report.clone());
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
    bench.relay.rtcp(bench.now, B, from, &mut made_up.clone());
    let real = peer_report(SSRC_B, 0, "b", Some((ours, last_sr, (200 << 16) / 1_000)));
    bench.relay.rtcp(bench.now, B, from, &mut real.clone());
    let later = peer_report(SSRC_B, 0, "b", Some((ours, last_sr ^ 2, 0)));
    bench.relay.rtcp(bench.now, B, from, &mut later.clone());
    let trip = bench.counts(B).round_trip_us.expect("measured");
    assert!((49_000..=51_100).contains(&trip), "{trip}");
}

#[test]
fn closing_says_bye_and_leaves_the_other_one_unjoined() {
    let mut bench = Bench::new();
    let ours = bench.answer(1).expect("relayed").header.ssrc;
    bench.relay.close(bench.now, A);
    let (port, to, bytes) = bench.relay.poll_out().expect("a BYE");
    assert_eq!((port, to), (A + 1, address("192.0.2.1:4001")));
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
    assert_eq!(bench.relay.poll_out(), None);
}

#[test]
fn a_learnt_address_gets_rtcp_once_rtcp_came_from_it() {
    let mut from = spec(a());
    from.nat = MediaNat::Latch;
    let mut bench = Bench::with(from, spec(b()));
    (0..4).for_each(|seq| drop(bench.audio_from(stranger(), seq)));
    let to_a = |reports: Vec<(u32, SocketAddr, Vec<u8>)>| -> Vec<SocketAddr> {
        let to_a = reports.into_iter().filter(|(port, _, _)| *port == A);
        to_a.map(|(_, to, _)| to).collect()
    };
    assert_eq!(to_a(bench.run(30_000)), []);
    let rtcp = address("203.0.113.66:9999");
    bench
        .relay
        .rtcp(bench.now, A, rtcp, &mut peer_report(SSRC_A, 0, "a", None));
    let reports = to_a(bench.run(30_000));
    assert!(!reports.is_empty() && reports.iter().all(|to| *to == rtcp));
}

/// A's side shares RTP's port with RTCP.
fn shared() -> Bench {
    let mut to_a = spec(a());
    to_a.rtcp_port = RtcpPort::Shared;
    to_a.remote_rtcp = to_a.remote;
    Bench::with(to_a, spec(b()))
}

#[test]
fn where_rtcp_shares_the_port_it_is_read_there_and_leaves_from_there() {
    let mut bench = shared();
    bench.audio(1);
    let report = peer_report(SSRC_A, 0x1111_2222_3333_4444, "a", None);
    assert_eq!(bench.raw(A, a(), &report), None, "RTCP goes no further");
    let mut sent = Vec::new();
    for _ in 0..1_000 {
        bench.wait(10);
        bench.relay.tick(bench.now);
        sent.extend(std::iter::from_fn(|| bench.relay.poll_out()));
    }
    let (port, to, bytes) = sent
        .iter()
        .find(|(port, _, _)| port & !1 == A)
        .expect("A is reported to");
    assert_eq!((*port, *to), (A, a()));
    let rr = rtcp_types::ReceiverReport::parse(&bytes[..32]).expect("an RR with one block");
    let block = rr.report_blocks().next().expect("one block");
    assert_eq!(block.last_sender_report_timestamp(), 0x2222_3333);
    assert_eq!(bench.counts(A).dropped, 0, "it was no bad RTP");
}

#[test]
fn where_rtcp_has_a_port_of_its_own_it_is_no_rtp() {
    let mut bench = Bench::new();
    let report = peer_report(SSRC_A, 0x1111_2222_3333_4444, "a", None);
    assert_eq!(bench.raw(A, a(), &report), None);
    assert_eq!(bench.counts(A).dropped, 1);
}

#[test]
fn rtp_of_every_payload_type_that_is_agreed_is_told_from_rtcp() {
    for payload_type in (0..64).chain(96..=127) {
        for marker in [0, 0x80] {
            assert!(!rtcp::is_rtcp(&[0x80, payload_type | marker]), "{payload_type}");
        }
    }
    for kind in 200..=207 {
        assert!(rtcp::is_rtcp(&[0x80, kind]), "{kind}");
    }
    assert!(!rtcp::is_rtcp(&[0x80]));
}

#[test]
fn a_latched_address_that_shares_its_port_gets_rtcp_at_once() {
    let mut to_a = spec(a());
    to_a.rtcp_port = RtcpPort::Shared;
    to_a.remote_rtcp = to_a.remote;
    to_a.nat = MediaNat::Latch;
    let mut bench = Bench::with(to_a, spec(b()));
    (0..4).for_each(|seq| drop(bench.audio_from(stranger(), seq)));
    let reports = bench.run(30_000);
    let mut to_a = reports.iter().filter(|(port, _, _)| *port == A);
    assert!(to_a.next().is_some());
    assert!(to_a.all(|(_, to, _)| *to == stranger()));
}

/// What B says of our stream: so much lost, so much jitter.
fn about_us(ours: u32, lost: u32, jitter: u32) -> Vec<u8> {
    use rtcp_types::prelude::RtcpPacketWriterExt;
    let block = rtcp_types::ReportBlock::builder(ours)
        .cumulative_lost(lost)
        .interarrival_jitter(jitter);
    let rr = rtcp_types::ReceiverReport::builder(SSRC_B).add_report_block(block);
    let mut bytes = vec![0; 64];
    let length = rr.write_into(&mut bytes).expect("room");
    bytes.truncate(length);
    bytes
}

#[test]
fn the_loss_that_a_peer_reports_of_our_stream_is_counted_over_all_our_ssrcs() {
    let mut bench = Bench::new();
    let from = address("198.51.100.2:6001");
    assert_eq!(bench.audio(1).map(|got| got.port), Some(B));
    assert_eq!(
        bench.relay.counts(bench.now, B).map(|c| c.remote_lost),
        Some(None)
    );
    let first = bench.audio(2).expect("relayed").header.ssrc;
    bench.relay.rtcp(bench.now, B, from, &mut about_us(first, 7, 80));
    bench
        .relay
        .rtcp(bench.now, B, from, &mut about_us(first ^ 1, 90, 9_000));
    let counts = bench.relay.counts(bench.now, B).expect("a flow");
    assert_eq!(counts.remote_lost, Some(7));
    assert_eq!(counts.remote_jitter_us_max, Some(10_000));
    // Another clock is another SSRC: what B lost under the first stays counted.
    let wide = Header {
        payload_type: 9,
        ..audio(3, 480)
    };
    let second = bench.send(A, a(), &wide).expect("relayed").header.ssrc;
    assert_ne!(first, second);
    bench.relay.rtcp(bench.now, B, from, &mut about_us(second, 2, 0));
    assert_eq!(
        bench.relay.counts(bench.now, B).and_then(|c| c.remote_lost),
        Some(9)
    );
    // Packets that came twice make it negative, which is no loss.
    bench
        .relay
        .rtcp(bench.now, B, from, &mut about_us(second, 0xff_fffe, 0));
    assert_eq!(
        bench.relay.counts(bench.now, B).and_then(|c| c.remote_lost),
        Some(7)
    );
}

#[test]
fn an_ssrc_of_ours_that_is_no_more_says_bye_at_once() {
    let mut bench = Bench::new();
    let first = bench.audio(1).expect("relayed").header.ssrc;
    let wide = Header {
        payload_type: 9,
        ..audio(2, 320)
    };
    let second = bench.send(A, a(), &wide).expect("relayed").header.ssrc;
    assert!(bench.relay.timeout().is_some_and(|at| at <= bench.now));
    bench.relay.tick(bench.now);
    let (port, _, bytes) = bench.relay.poll_out().expect("a report");
    assert_eq!(port, B + 1);
    let sr = SenderReport::parse(&bytes[..28]).expect("an SR");
    assert_eq!(sr.ssrc(), second);
    let bye = Bye::parse(&bytes[bytes.len() - 8..]).expect("it ends with the BYE");
    assert_eq!(bye.ssrcs().collect::<Vec<_>>(), [first]);
    bench.run(10_000);
    assert_eq!(bench.relay.poll_out(), None, "said once");
}

#[test]
fn a_stream_that_said_bye_is_not_reported_on_and_nothing_of_it_crosses() {
    let mut bench = Bench::new();
    for seq in [1, 2, 5] {
        bench.audio(seq);
    }
    let mut bye = peer_report(SSRC_A, 0, "a", None);
    bye.extend([0x81, 203, 0, 3]);
    bye.extend(SSRC_A.to_be_bytes());
    bye.extend(b"\x07goodbye");
    bench
        .relay
        .rtcp(bench.now, A, address("192.0.2.1:4001"), &mut bye.clone());
    let reports = bench.run(10_000);
    for (port, _, bytes) in &reports {
        assert!(!bytes.windows(7).any(|w| w == b"goodbye"));
        if *port == A {
            let rr = rtcp_types::ReceiverReport::parse(&bytes[..8]).expect("an RR");
            assert_eq!(rr.report_blocks().count(), 0);
        } else {
            assert_ne!(bytes[bytes.len() - 7], 203, "B's stream of ours goes on");
        }
    }
    assert!(!reports.is_empty());
    // It may come back: that is another stream, and the loss of both is kept.
    for seq in [100, 102] {
        bench.audio(seq);
    }
    let counts = bench.counts(A);
    assert_eq!((counts.packets_in, counts.lost), (5, 3));
}

#[test]
fn what_is_dropped_is_known_by_its_reason() {
    let mut bench = Bench::new();
    bench.audio(1);
    bench.audio_from(stranger(), 1);
    let unknown = Header {
        payload_type: 77,
        ..audio(2, 320)
    };
    bench.send(A, a(), &unknown);
    let one_sided = Header {
        payload_type: 13,
        ..audio(3, 480)
    };
    bench.send(A, a(), &one_sided);
    bench.wait(3_000);
    let counts = bench.relay.counts(bench.now, A).expect("a flow");
    assert_eq!((counts.packets_in, counts.dropped), (1, 3));
    assert_eq!((counts.strangers, counts.stranger), (1, Some(stranger())));
    assert_eq!((counts.foreign, counts.foreign_payload), (2, Some(13)));
    assert!(counts.quiet >= Duration::from_secs(3), "{:?}", counts.quiet);
}
