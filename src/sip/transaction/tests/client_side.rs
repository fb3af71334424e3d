//! Requests of ours: when they are sent again, slowed down, cancelled and given up.

use super::*;
use crate::sip::path::Party;

#[test]
fn an_unanswered_invite_is_resent_with_doubling_intervals_until_timer_b() {
    let mut bench = Bench::new();
    let id = bench.start("INVITE", "z9hG4bKa", UDP);
    let sent = bench.run(31_999);
    assert_eq!(times(&sent), [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert!(sent.iter().all(|(_, line)| line.starts_with("INVITE ")));
    assert_eq!(bench.events(), []);
    assert_eq!(bench.run(32_000), []);
    assert_eq!(bench.events(), [Event::Timeout(id, Owner(7))]);
    assert!(bench.layer.is_empty());
}

#[test]
fn an_unanswered_request_is_resent_at_most_every_t2_until_timer_f() {
    let mut bench = Bench::new();
    let id = bench.start("BYE", "z9hG4bKa", UDP);
    let sent = bench.run(31_999);
    assert_eq!(
        times(&sent),
        [
            0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
        ]
    );
    bench.run(32_000);
    assert_eq!(bench.events(), [Event::Timeout(id, Owner(7))]);
    assert!(bench.layer.is_empty());
}

#[test]
fn a_provisional_response_slows_a_request_down_and_does_not_stop_it() {
    let mut bench = Bench::new();
    bench.start("OPTIONS", "z9hG4bKa", UDP);
    bench.run(600);
    assert_eq!(
        bench.answer(&answer(100, "OPTIONS", "z9hG4bKa")),
        Some(AnswerKind::Provisional)
    );
    // Timer E was running: it fires once more as set, and then every T2 (§17.1.2.2).
    assert_eq!(times(&bench.run(10_000)), [1_500, 5_500, 9_500]);
    assert_eq!(
        bench.answer(&answer(200, "OPTIONS", "z9hG4bKa")),
        Some(AnswerKind::Final)
    );
    assert_eq!(bench.answer(&answer(200, "OPTIONS", "z9hG4bKa")), None);
    assert_eq!(bench.layer.len(), 1);
    assert_eq!(bench.run(14_999), []);
    assert_eq!(bench.layer.len(), 1);
    bench.run(15_000);
    assert!(bench.layer.is_empty(), "timer K is T4");
}

#[test]
fn a_provisional_response_stops_an_invite_s_timers_for_good() {
    let mut bench = Bench::new();
    let id = bench.start("INVITE", "z9hG4bKa", UDP);
    assert_eq!(
        bench.answer(&answer(180, "INVITE", "z9hG4bKa")),
        Some(AnswerKind::Provisional)
    );
    assert_eq!(bench.layer.timeout(), None);
    assert_eq!(times(&bench.run(600_000)), [0]);
    assert_eq!((bench.layer.timeout(), bench.layer.len()), (None, 1));
    bench.layer.end_client(id);
    assert!(bench.layer.is_empty());
}

#[test]
fn other_base_timers_are_those_of_the_next_transaction() {
    let mut bench = Bench::new();
    bench.start("INVITE", "z9hG4bKa", UDP);
    assert_eq!(times(&bench.run(400)), [0]);
    bench.layer.set_timers(BaseTimers {
        t1: Duration::from_millis(100),
        ..BaseTimers::default()
    });
    assert_eq!(times(&bench.run(900)), [500], "what runs keeps its own");
    bench.start("INVITE", "z9hG4bKb", UDP);
    assert_eq!(times(&bench.run(1_300)), [900, 1_000, 1_200]);
}

#[test]
fn nothing_is_resent_over_a_stream_and_timer_b_still_ends_it() {
    let mut bench = Bench::new();
    let invite = bench.start("INVITE", "z9hG4bKa", TCP);
    let bye = bench.start("BYE", "z9hG4bKb", TCP);
    assert_eq!(times(&bench.run(32_000)), [0, 0]);
    assert_eq!(
        bench.events(),
        [Event::Timeout(invite, Owner(7)), Event::Timeout(bye, Owner(7))]
    );
    assert!(bench.layer.is_empty());
}

#[test]
fn a_failure_gets_an_ack_with_the_invite_s_branch_route_and_number_as_often_as_it_comes() {
    let mut bench = Bench::new();
    bench.start("INVITE", "z9hG4bKa", UDP);
    bench.sent();
    let busy = answer(486, "INVITE", "z9hG4bKa");
    assert_eq!(bench.answer(&busy), Some(AnswerKind::Final));
    let (to, bytes) = bench.layer.poll_send().unwrap();
    assert_eq!(to, peer(UDP));
    let ack = Message::parse(&bytes).unwrap();
    assert_eq!(ack.method(), Method::Ack);
    assert_eq!(ack.request_uri(), b"sip:callee@192.0.2.7;transport=udp");
    assert_eq!(ack.via().branch, Some(&b"z9hG4bKa"[..]));
    assert_eq!((ack.cseq().number, ack.call_id()), (314, &b"id-1"[..]));
    assert_eq!(ack.to().tag(), Some(&b"theirs"[..]));
    let routes: Vec<&[u8]> = ack.values(crate::sip::header::Name::Route).collect();
    assert_eq!(routes, [&b"<sip:192.0.2.7;lr>"[..], b"<sip:192.0.2.8;lr>"]);
    // The retransmitted failure is absorbed, its ACK is not; timer D ends that.
    bench.run(31_000);
    assert_eq!(bench.answer(&busy), None);
    assert_eq!(
        bench.layer.poll_send().map(|(_, again)| again.to_vec()),
        Some(bytes.to_vec())
    );
    assert_eq!(bench.answer(&answer(200, "INVITE", "z9hG4bKa")), None);
    bench.run(32_000);
    assert!(bench.layer.is_empty());
    assert_eq!(bench.answer(&busy), None);
    assert!(bench.layer.is_empty());
}

#[test]
fn every_2xx_reaches_the_owner_until_timer_m_and_the_layer_acks_none() {
    let mut bench = Bench::new();
    bench.start("INVITE", "z9hG4bKa", UDP);
    let ok = answer(200, "INVITE", "z9hG4bKa");
    bench.answer(&answer(180, "INVITE", "z9hG4bKa"));
    bench.sent();
    bench.run(5_000);
    assert_eq!(bench.answer(&ok), Some(AnswerKind::Final));
    assert_eq!(bench.answer(&ok), Some(AnswerKind::Same2xx));
    let fork = ok.replace("tag=theirs", "tag=fork");
    assert_eq!(bench.run(36_999), []);
    assert_eq!(bench.answer(&fork), Some(AnswerKind::Another2xx));
    assert_eq!(bench.answer(&fork), Some(AnswerKind::Same2xx));
    assert_eq!(bench.answer(&ok), Some(AnswerKind::Same2xx));
    for late in [180, 486] {
        assert_eq!(bench.answer(&answer(late, "INVITE", "z9hG4bKa")), None);
    }
    bench.run(37_000);
    assert_eq!(bench.answer(&ok), None);
    assert!(bench.layer.is_empty());
}

#[test]
fn an_answer_finds_its_transaction_by_branch_and_method_alone() {
    let mut bench = Bench::new();
    bench.start("INVITE", "z9hG4bKa", UDP);
    bench.start("CANCEL", "z9hG4bKa", UDP);
    assert_eq!(bench.answer(&answer(200, "INVITE", "z9hG4bKA")), None);
    assert_eq!(bench.answer(&answer(200, "BYE", "z9hG4bKa")), None);
    assert_eq!(
        bench.answer(&answer(200, "CANCEL", "z9hG4bKa")),
        Some(AnswerKind::Final)
    );
    assert_eq!(
        bench.answer(&answer(487, "INVITE", "z9hG4bKa")),
        Some(AnswerKind::Final)
    );
    bench.assert_ends_empty();
}

#[test]
fn what_begins_no_transaction_is_not_sent() {
    let mut bench = Bench::new();
    bench.start("BYE", "z9hG4bKa", UDP);
    bench.sent();
    for bytes in [
        ours("BYE", "z9hG4bKa"),
        ours("ACK", "z9hG4bKb"),
        answer(200, "BYE", "z9hG4bKc"),
        "nonsense".into(),
    ] {
        let started = bench
            .layer
            .request(ms(0), peer(UDP), Owner(7), bytes.into_bytes());
        assert_eq!(started, None);
    }
    assert_eq!((bench.sent(), bench.layer.len()), (vec![], 1));
}

#[test]
fn a_request_at_rest_is_not_repeated_and_its_answer_is_still_heard() {
    let mut bench = Bench::new();
    let invite = bench.start("INVITE", "z9hG4bKa", UDP);
    bench.sent();
    assert_eq!(bench.run(2_000).len(), 2);
    bench.layer.rest(invite);
    assert_eq!(bench.run(20_000), []);
    let ringing = bench.answer(&answer(180, "INVITE", "z9hG4bKa"));
    assert_eq!(ringing, Some(AnswerKind::Provisional));
    bench
        .layer
        .cancel(bench.now, invite, &[("Reason", "Q.850;cause=102")])
        .unwrap();
    let (_, bytes) = bench.layer.poll_send().unwrap();
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.get(Name::Reason), Some(&b"Q.850;cause=102"[..]));
    bench.answer(&answer(487, "INVITE", "z9hG4bKa"));
    bench.answer(&answer(200, "CANCEL", "z9hG4bKa"));

    bench.sent();
    let silent = bench.start("INVITE", "z9hG4bKb", UDP);
    bench.sent();
    bench.layer.rest(silent);
    assert_eq!(bench.run(60_000), []);
    assert_eq!(
        bench.events(),
        [Event::Timeout(silent, Owner(7))],
        "timer B goes on"
    );
    bench.assert_ends_empty();
}

#[test]
fn an_invite_can_be_cancelled_between_its_first_answer_and_its_last() {
    let mut bench = Bench::new();
    let invite = bench.start("INVITE", "z9hG4bKa", UDP);
    assert_eq!(bench.layer.cancel(ms(0), invite, &[]), None);
    bench.answer(&answer(100, "INVITE", "z9hG4bKa"));
    bench.sent();
    let cancel = bench.layer.cancel(ms(0), invite, &[]).unwrap();
    let (to, bytes) = bench.layer.poll_send().unwrap();
    assert_eq!(to, peer(UDP));
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.method(), Method::Cancel);
    assert_eq!(message.via().branch, Some(&b"z9hG4bKa"[..]));
    assert_eq!((message.cseq().number, message.to().tag()), (314, None));
    assert_eq!(bench.layer.cancel(ms(0), cancel, &[]), None);
    // The CANCEL's own answer is nobody's, lest it be taken for the INVITE's; it is heard all the same.
    assert_eq!(bench.answer(&answer(200, "CANCEL", "z9hG4bKa")), None);
    assert_eq!(bench.run(4_000), []);
    assert_eq!(
        bench.answer(&answer(487, "INVITE", "z9hG4bKa")),
        Some(AnswerKind::Final)
    );
    assert_eq!(bench.layer.cancel(bench.now, invite, &[]), None);
    bench.assert_ends_empty();
}

#[test]
fn a_cancel_that_nobody_answers_ends_without_a_word() {
    let mut bench = Bench::new();
    let invite = bench.start("INVITE", "z9hG4bKa", UDP);
    bench.answer(&answer(180, "INVITE", "z9hG4bKa"));
    bench.layer.cancel(ms(0), invite, &[]).unwrap();
    assert_eq!(bench.run(32_000).len(), 12);
    assert_eq!((bench.events(), bench.layer.len()), (vec![], 1));
    bench.layer.cancel(bench.now, invite, &[]).unwrap();
    bench.layer.failed(bench.now, peer(UDP), Loss::Final);
    assert_eq!(bench.events(), [], "a ringing INVITE waits for its own end");
    bench.layer.end_client(invite);
    bench.assert_ends_empty();
}

#[test]
fn a_transport_failure_ends_what_waits_on_that_path_and_nothing_else() {
    let mut bench = Bench::new();
    let calling = bench.start("INVITE", "z9hG4bKa", UDP);
    let ringing = bench.start("INVITE", "z9hG4bKb", UDP);
    let trying = bench.start("BYE", "z9hG4bKc", UDP);
    bench.start("INVITE", "z9hG4bKd", UDP);
    bench.start("INVITE", "z9hG4bKe", TCP);
    bench.answer(&answer(180, "INVITE", "z9hG4bKb"));
    bench.answer(&answer(200, "INVITE", "z9hG4bKd"));
    let flow = Some(FlowHint(3));
    bench.layer.failed(ms(0), Path { flow, ..peer(UDP) }, Loss::Final);
    assert_eq!(
        bench.events(),
        [calling, trying].map(|id| Event::Failed(id, Owner(7)))
    );
    assert_eq!(bench.layer.len(), 3);
    bench.layer.end_client(ringing);
    bench.assert_ends_empty();
}

#[test]
fn a_transport_failure_over_tls_ends_nothing_of_another_trunk_at_the_same_address() {
    let mut bench = Bench::new();
    let of = |name| Path {
        party: Some(Party::named(name)),
        ..peer(Transport::Tls)
    };
    let mut invite = |branch, to| {
        let bytes = ours("INVITE", branch).into_bytes();
        bench.layer.request(ms(0), to, Owner(7), bytes).unwrap()
    };
    let mine = invite("z9hG4bKa", of("mine"));
    let other = invite("z9hG4bKb", of("other"));
    // Whose it is turns out with the connection: its failure is this one's too.
    let nobody_s = invite("z9hG4bKc", peer(Transport::Tls));
    bench.layer.failed(ms(0), of("mine"), Loss::Final);
    assert_eq!(
        bench.events(),
        [mine, nobody_s].map(|id| Event::Failed(id, Owner(7)))
    );
    bench.layer.end_client(other);
    bench.assert_ends_empty();
}

#[test]
fn a_request_that_crossed_the_end_of_its_connection_is_sent_once_more_and_then_fails() {
    let mut bench = Bench::new();
    let invite = bench.start("INVITE", "z9hG4bKa", TCP);
    let bye = bench.start("BYE", "z9hG4bKb", TCP);
    bench.start("INVITE", "z9hG4bKc", TCP);
    bench.answer(&answer(180, "INVITE", "z9hG4bKc"));
    let sent = bench.sent();
    bench.layer.failed(ms(0), peer(TCP), Loss::Crossed);
    assert_eq!(bench.sent(), sent[..2], "what was answered isn't sent again");
    assert_eq!(bench.events(), []);
    bench.layer.failed(ms(0), peer(TCP), Loss::Crossed);
    assert_eq!(bench.sent(), []);
    assert_eq!(
        bench.events(),
        [invite, bye].map(|id| Event::Failed(id, Owner(7)))
    );
    bench.answer(&answer(486, "INVITE", "z9hG4bKc"));
    bench.assert_ends_empty();
}
