//! Pairs that fall silent, and what remains at the end.

use super::*;

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
            .rtcp(bench.now, B, address("198.51.100.2:6001"), &mut report.clone());
        assert_eq!(bench.relay.poll_dead(), None);
    }
    for seq in 0..4 {
        bench.run(20_000);
        bench.audio_from(stranger(), seq);
        let report = peer_report(SSRC_B, 0, "b", None);
        bench.relay.rtcp(bench.now, B, stranger(), &mut report.clone());
        // Another of its host's streams, for all we know.
        bench
            .relay
            .rtcp(bench.now, B, address("198.51.100.2:7777"), &mut report.clone());
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
    while bench.relay.poll_out().is_some() {}
    assert_eq!((bench.relay.timeout(), bench.relay.flows()), (None, 0));
    assert_eq!(bench.run(600_000), []);
}

#[test]
fn ports_out_of_the_range_are_nobodys() {
    let mut bench = Bench::new();
    for port in [0, 19_998, 20_001, 20_010, u32::MAX] {
        bench.relay.open(bench.now, port, &spec(a()));
        assert_eq!(bench.send(port, a(), &audio(1, 1)), None, "{port}");
        bench.relay.rtcp(bench.now, port, a(), &mut []);
        assert_eq!(bench.relay.close(bench.now, port), None);
    }
    assert_eq!(bench.relay.flows(), 2);
}
