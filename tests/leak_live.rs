//! What one party's side says must not reach the other's, nor the log: a real server between two parties who
//! write a canary wherever a message has room for one, and keep everything that they are sent.

#[path = "support/leak.rs"]
mod leak;
#[path = "support/server.rs"]
mod server;

use std::time::{Duration, Instant};

use leak::{Message, Party, holds_number, holds_word};
use server::{A, B, CALLEE, CARRIER, PATIENCE, Server, Setup, X};

/// RTP packets and RTCP reports that each side must have got before the call goes on.
const RTP_WANTED: usize = 20;

/// A server, and two parties who talk too much.
struct Stage {
    server: Server,
    a: Party,
    b: Party,
}

impl Stage {
    fn new() -> Self {
        let a = Party::new(CARRIER, "A", 1_371_111);
        let b = Party::new(CALLEE, "B", 1_372_222);
        let server = Server::start(&Setup {
            gateway: b.sip_address(),
            media_nat: "strict",
            log: "trace",
            calls: 50,
            also: Vec::new(),
        });
        server.bind(X, A, B, "");
        Self { server, a, b }
    }

    /// A's INVITE, and what reaches B.
    fn invite(&mut self) -> (Message, Message) {
        let dialled = format!("sip:{X}@{}", self.server.sip);
        let description = self.a.describe("sendrecv");
        let sent = self.a.invite(&dialled, A, &description);
        self.a.send(self.server.sip, &sent);
        let arrived = self.b.await_request("INVITE");
        (sent, arrived)
    }

    /// Neither side, nor the log, holds what it must not.
    fn nothing_leaked(&self, records: usize) {
        self.server.settled(records);
        for (party, other, number) in [(&self.a, &self.b, B), (&self.b, &self.a, A)] {
            let address = other.sip_address().ip().to_string();
            for bytes in party.got() {
                let text = String::from_utf8_lossy(bytes);
                assert!(!holds_number(bytes, number), "{number} in\n{text}");
                assert!(!holds_word(bytes, &address), "{address} in\n{text}");
                for (place, canary) in other.canaries().made() {
                    assert!(!holds_word(bytes, canary), "{place}: {canary} in\n{text}");
                    assert!(
                        !is_number(canary) || !holds_number(bytes, canary),
                        "{place} in\n{text}"
                    );
                }
            }
        }
        let printed = self.server.printed();
        assert!(!printed.is_empty(), "at level trace a server says something");
        for number in [A, B] {
            assert!(
                !holds_number(printed.as_bytes(), number),
                "{number} in the log:\n{printed}"
            );
        }
        for (place, canary) in self.a.canaries().made().chain(self.b.canaries().made()) {
            let is_in = holds_word(printed.as_bytes(), canary)
                || is_number(canary) && holds_number(printed.as_bytes(), canary);
            // A leg's own Call-ID is how its messages are found again in a log.
            assert!(
                !is_in || place == "Call-ID",
                "{place}: {canary} in the log:\n{printed}"
            );
        }
    }
}

fn is_number(canary: &str) -> bool {
    canary.bytes().all(|c| c.is_ascii_digit())
}

#[test]
fn nothing_of_an_answered_call_crosses_but_its_meaning() {
    let mut stage = Stage::new();
    let (invite, at_b) = stage.invite();
    let Stage { server, a, b } = &mut stage;
    let description = b.describe("sendrecv");
    let leg_b = b.tag();
    for (status, body) in [(180, None), (183, Some(&description))] {
        let ringing = b.answer(&at_b, status, Some(&leg_b), body);
        b.send(server.sip, &ringing);
        a.await_answer(&invite, status);
    }
    let answered = b.answer(&at_b, 200, Some(&leg_b), Some(&description));
    b.send(server.sip, &answered);
    let answer = a.await_answer(&invite, 200);
    let ack = a.within(&invite, &answer, "ACK", 1, None);
    a.send(server.sip, &ack);
    b.await_request("ACK");

    // Audio and reports, until both sides have had enough of them.
    let (to_a, to_b) = (answer.media(), at_b.media());
    let deadline = Instant::now() + PATIENCE;
    let mut frame = 0;
    while !(a.heard_enough(RTP_WANTED) && b.heard_enough(RTP_WANTED)) {
        assert!(Instant::now() < deadline, "no audio or no reports came through");
        a.speak(to_a, frame);
        b.speak(to_b, frame);
        frame += 1;
        a.listen(Duration::from_millis(10));
        b.listen(Duration::from_millis(10));
    }
    a.ssrc_is_not_in(&b.heard());
    b.ssrc_is_not_in(&a.heard());

    // A holds: the direction crosses, and nothing else.
    let body = a.describe("sendonly");
    let hold = a.within(&invite, &answer, "INVITE", 2, Some(("application/sdp", &body)));
    a.send(server.sip, &hold);
    let held = b.await_request("INVITE");
    assert!(held.text().contains("a=sendonly"));
    let body = b.describe("recvonly");
    let agreed = b.answer(&held, 200, None, Some(&body));
    b.send(server.sip, &agreed);
    a.await_answer(&hold, 200);
    let ack = a.within(&invite, &answer, "ACK", 2, None);
    a.send(server.sip, &ack);
    b.await_request("ACK");

    // Requests that have no meaning for the other side, from both.
    let mut cseq = 2;
    for method in [
        "INFO", "MESSAGE", "NOTIFY", "REFER", "UPDATE", "PUBLISH", "OPTIONS",
    ] {
        cseq += 1;
        let text = a.canaries().word(&format!("body of {method}"));
        let request = a.within(
            &invite,
            &answer,
            method,
            cseq,
            Some(("text/plain", text.as_bytes())),
        );
        a.send(server.sip, &request);
        a.await_final(&request);
        let text = b.canaries().word(&format!("body of {method}"));
        let request = b.back(&at_b, &leg_b, method, cseq, Some(("text/plain", text.as_bytes())));
        b.send(server.sip, &request);
        b.await_final(&request);
    }

    let bye = b.back(&at_b, &leg_b, "BYE", cseq + 1, None);
    b.send(server.sip, &bye);
    let ended = a.await_request("BYE");
    let done = a.answer(&ended, 200, None, None);
    a.send(server.sip, &done);
    b.await_answer(&bye, 200);
    stage.nothing_leaked(1);
}

#[test]
fn nothing_of_a_refusal_crosses_but_its_meaning() {
    let mut stage = Stage::new();
    let refusals = [302, 380, 401, 404, 407, 422, 486, 488, 500, 503, 603, 607, 699];
    for status in refusals {
        let (invite, at_b) = stage.invite();
        let Stage { server, a, b } = &mut stage;
        let tag = b.tag();
        let answer = b.answer(&at_b, status, Some(&tag), None);
        b.send(server.sip, &answer);
        b.await_request("ACK");
        let refused = a.await_final(&invite);
        assert!(refused.status() >= 400, "{}", refused.text());
        let ack = a.ack_of_failure(&invite, &refused);
        a.send(server.sip, &ack);
    }
    stage.nothing_leaked(refusals.len());
}

#[test]
fn nothing_of_a_call_given_up_crosses_but_its_meaning() {
    let mut stage = Stage::new();
    let (invite, at_b) = stage.invite();
    let Stage { server, a, b } = &mut stage;
    let tag = b.tag();
    let ringing = b.answer(&at_b, 180, Some(&tag), None);
    b.send(server.sip, &ringing);
    a.await_answer(&invite, 180);
    let cancel = a.cancel(&invite);
    a.send(server.sip, &cancel);
    let cancelled = b.await_request("CANCEL");
    let heard = b.answer(&cancelled, 200, Some(&tag), None);
    b.send(server.sip, &heard);
    let terminated = b.answer(&at_b, 487, Some(&tag), None);
    b.send(server.sip, &terminated);
    b.await_request("ACK");
    a.await_answer(&cancel, 200);
    let refused = a.await_answer(&invite, 487);
    let ack = a.ack_of_failure(&invite, &refused);
    a.send(server.sip, &ack);
    stage.nothing_leaked(1);
}

#[test]
fn the_search_finds_what_it_looks_for() {
    assert!(holds_number(b"tel:+86-138-0000-0001", A));
    assert!(holds_number(b"sip:%31%338%30000 0001@x", A));
    assert!(!holds_number(b"sip:17000000001@x", A));
    assert!(holds_word(b"Subject: CnryA007z", "cnrya007Z"));
    assert!(!holds_word(b"Subject: CnryA008z", "cnrya007Z"));
}
