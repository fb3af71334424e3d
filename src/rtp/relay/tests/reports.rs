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
    let to_a = |reports: Vec<(u32, SocketAddr, Vec<u8>)>| -> Vec<SocketAddr> {
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
