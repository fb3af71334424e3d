//! Requests that come: what is repeated, ACKed and cancelled, and what ends when.

use super::*;

#[test]
fn a_repeated_invite_gets_the_last_response_again_and_a_final_one_ends_that() {
    let mut bench = Bench::new();
    let invite = theirs("INVITE", "192.0.2.7", "z9hG4bKa");
    let id = bench.new_one(UDP, &invite);
    assert_eq!(bench.receive(&invite), Received::Retransmission);
    assert_eq!(bench.sent(), [], "there is no response yet");
    bench.respond(id, 100);
    bench.respond(id, 180);
    bench.sent();
    assert_eq!(bench.receive(&invite), Received::Retransmission);
    assert_eq!(bench.sent(), [(0, "SIP/2.0 180 x".into())]);
    bench.respond(id, 200);
    bench.respond(id, 180);
    assert_eq!(bench.sent(), [(0, "SIP/2.0 200 x".into())]);
    // Accepted: the 2xx's repetition is the TU's (RFC 6026 §7.1).
    assert_eq!(bench.receive(&invite), Received::Retransmission);
    assert_eq!(bench.sent(), []);
    bench.respond(id, 200);
    assert_eq!(bench.sent(), [(0, "SIP/2.0 200 x".into())]);
    bench.layer.own(id, Owner(9));
    assert_eq!(bench.run(31_999), []);
    assert_eq!(bench.receive(&invite), Received::Retransmission);
    bench.run(32_000);
    assert_eq!(bench.events(), [Event::ServerGone(id, Owner(9))]);
    assert!(bench.layer.is_empty());
}

#[test]
fn a_failure_is_resent_until_the_ack_which_timer_i_outlives() {
    let mut bench = Bench::new();
    let id = bench.new_one(UDP, &theirs("INVITE", "192.0.2.7", "z9hG4bKa"));
    bench.layer.own(id, Owner(9));
    bench.respond(id, 486);
    assert_eq!(times(&bench.run(8_000)), [0, 500, 1_500, 3_500, 7_500]);
    let ack = theirs("ACK", "192.0.2.7", "z9hG4bKa");
    assert_eq!(bench.receive(&ack), Received::AckOfFailure(Owner(9)));
    assert_eq!(bench.receive(&ack), Received::Retransmission);
    assert_eq!(
        bench.receive(&theirs("INVITE", "192.0.2.7", "z9hG4bKa")),
        Received::Retransmission
    );
    assert_eq!(bench.run(12_999), []);
    assert_eq!(bench.layer.len(), 1);
    bench.run(13_000);
    assert!(bench.layer.is_empty(), "timer I is T4");
    assert_eq!(bench.receive(&ack), Received::AckOf2xx);
}

#[test]
fn a_failure_without_ack_is_resent_at_most_every_t2_and_reported_at_timer_h() {
    let mut bench = Bench::new();
    let owned = bench.new_one(UDP, &theirs("INVITE", "192.0.2.7", "z9hG4bKa"));
    let nobodys = bench.new_one(UDP, &theirs("INVITE", "192.0.2.8", "z9hG4bKa"));
    bench.layer.own(owned, Owner(9));
    bench.respond(owned, 486);
    bench.sent();
    assert_eq!(
        times(&bench.run(31_999)),
        [
            500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500
        ]
    );
    bench.run(32_000);
    assert_eq!(bench.events(), [Event::NoAck(owned, Owner(9))]);
    bench.respond(nobodys, 404);
    bench.run(64_000);
    assert_eq!(bench.events(), []);
    assert!(bench.layer.is_empty());
}

#[test]
fn over_a_stream_a_failure_is_sent_once_and_its_ack_ends_it_at_once() {
    let mut bench = Bench::new();
    let id = bench.new_one(TCP, &theirs("INVITE", "192.0.2.7", "z9hG4bKa"));
    bench.respond(id, 486);
    assert_eq!(times(&bench.run(20_000)), [0]);
    let ack = theirs("ACK", "192.0.2.7", "z9hG4bKa");
    assert_eq!(bench.receive_by(TCP, &ack), Received::AckOfFailure(Owner::NOBODY));
    bench.run(20_000);
    assert!(bench.layer.is_empty());
    let id = bench.new_one(TCP, &theirs("BYE", "192.0.2.7", "z9hG4bKb"));
    bench.respond(id, 200);
    bench.run(20_000);
    assert!(bench.layer.is_empty(), "timer J is zero");
    bench.start("BYE", "z9hG4bKa", TCP);
    bench.answer(&answer(200, "BYE", "z9hG4bKa"));
    bench.start("INVITE", "z9hG4bKa", TCP);
    bench.answer(&answer(404, "INVITE", "z9hG4bKa"));
    bench.run(20_000);
    assert!(bench.layer.is_empty(), "timers K and D are zero");
}

#[test]
fn the_ack_of_a_2xx_is_the_tu_s_with_or_without_the_invite_s_branch() {
    let mut bench = Bench::new();
    let id = bench.new_one(UDP, &theirs("INVITE", "192.0.2.7", "z9hG4bKa"));
    assert_eq!(
        bench.receive(&theirs("ACK", "192.0.2.7", "z9hG4bKa")),
        Received::Retransmission,
        "an ACK of nothing"
    );
    bench.respond(id, 200);
    for branch in ["z9hG4bKb", "z9hG4bKa"] {
        let ack = theirs("ACK", "192.0.2.7", branch);
        assert_eq!(bench.receive(&ack), Received::AckOf2xx);
    }
    assert_eq!(bench.layer.len(), 1);
    bench.assert_ends_empty();
}

#[test]
fn a_repeated_request_gets_its_response_again_until_timer_j() {
    let mut bench = Bench::new();
    let bye = theirs("BYE", "192.0.2.7", "z9hG4bKa");
    let id = bench.new_one(UDP, &bye);
    assert_eq!(bench.receive(&bye), Received::Retransmission);
    assert_eq!(bench.sent(), []);
    bench.respond(id, 100);
    assert_eq!(bench.receive(&bye), Received::Retransmission);
    bench.respond(id, 200);
    bench.respond(id, 500);
    bench.run(31_000);
    assert_eq!(bench.receive(&bye), Received::Retransmission);
    assert_eq!(bench.sent(), [(31_000, "SIP/2.0 200 x".into())]);
    assert_eq!(bench.run(31_999), []);
    assert_eq!(bench.layer.len(), 1);
    bench.run(32_000);
    assert!(bench.layer.is_empty());
}

#[test]
fn a_cancel_finds_its_invite_and_says_how_far_it_is() {
    let mut bench = Bench::new();
    let invite = bench.new_one(UDP, &theirs("INVITE", "192.0.2.7", "z9hG4bKa"));
    bench.layer.own(invite, Owner(9));
    let cancel = theirs("CANCEL", "192.0.2.7", "z9hG4bKa");
    let Received::Cancel { id, invite: found } = bench.receive(&cancel) else {
        panic!("no CANCEL");
    };
    assert_eq!(found, Some((invite, Owner(9), InviteState::Pending)));
    bench.respond(id, 200);
    bench.respond(invite, 487);
    bench.sent();
    assert_eq!(bench.receive(&cancel), Received::Retransmission);
    assert_eq!(bench.sent(), [(0, "SIP/2.0 200 x".into())]);
    bench.layer.end_server(id);
    let Received::Cancel { id, invite: found } = bench.receive(&cancel) else {
        panic!("no CANCEL");
    };
    assert_eq!(found, Some((invite, Owner(9), InviteState::Answered)));
    bench.respond(id, 200);
    // Another sent-by is another sender; another method can't be cancelled.
    let bye = bench.new_one(UDP, &theirs("BYE", "192.0.2.7", "z9hG4bKb"));
    bench.respond(bye, 200);
    for (sent_by, branch) in [("192.0.2.8", "z9hG4bKa"), ("192.0.2.7", "z9hG4bKb")] {
        let Received::Cancel { id, invite } = bench.receive(&theirs("CANCEL", sent_by, branch)) else {
            panic!("no CANCEL");
        };
        assert_eq!(invite, None);
        bench.respond(id, 481);
    }
    bench.assert_ends_empty();
}
