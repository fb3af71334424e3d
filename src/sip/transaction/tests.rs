//! The layer in virtual time, against RFC 3261's figures and its Table 4.

use proptest::prelude::*;

use super::*;
use crate::sip::header::Name;
use crate::sip::path::{FlowHint, ListenerId, Transport};

mod client_side;
mod server_side;

/// How many server transactions the small layer takes.
const FEW: usize = 8;

const fn ms(ms: u64) -> Instant {
    Instant::from_micros(ms * 1_000)
}

fn peer(transport: Transport) -> Path {
    Path {
        listener: ListenerId(0),
        transport,
        remote: "192.0.2.7:5060".parse().unwrap(),
        flow: None,
        party: None,
    }
}

const UDP: Transport = Transport::Udp;
const TCP: Transport = Transport::Tcp;

/// A layer, and the time.
struct Bench {
    layer: Layer,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self {
            layer: Layer::new(BaseTimers::default()),
            now: ms(0),
        }
    }

    /// Lets time pass until `end`, and tells what was sent when (in ms).
    fn run(&mut self, end: u64) -> Vec<(u64, String)> {
        let mut sent = self.sent();
        while let Some(due) = self.layer.timeout().filter(|due| *due <= ms(end)) {
            assert!(due >= self.now, "a timer in the past");
            self.now = due;
            self.layer.tick(due);
            sent.extend(self.sent());
        }
        self.now = ms(end);
        sent
    }

    /// What waits to be sent, by its first line.
    fn sent(&mut self) -> Vec<(u64, String)> {
        let at = self.now.as_micros() / 1_000;
        std::iter::from_fn(|| self.layer.poll_send())
            .map(|(_, bytes)| {
                let text = String::from_utf8(bytes).unwrap();
                (at, text.lines().next().unwrap().to_owned())
            })
            .collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.layer.poll_event()).collect()
    }

    fn start(&mut self, method: &str, branch: &str, transport: Transport) -> ClientId {
        let bytes = ours(method, branch).into_bytes();
        self.layer
            .request(self.now, peer(transport), Owner(7), bytes)
            .unwrap()
    }

    fn answer(&mut self, text: &str) -> Option<AnswerKind> {
        let answer = self
            .layer
            .receive_response(self.now, &Message::parse(text.as_bytes()).unwrap())?;
        assert_eq!(answer.owner, Owner(7));
        Some(answer.kind)
    }

    fn receive(&mut self, text: &str) -> Received {
        self.receive_by(UDP, text)
    }

    fn receive_by(&mut self, transport: Transport, text: &str) -> Received {
        let message = Message::parse(text.as_bytes()).unwrap();
        self.layer.receive_request(self.now, peer(transport), &message)
    }

    /// Receives what has to be new.
    fn new_one(&mut self, transport: Transport, text: &str) -> ServerId {
        match self.receive_by(transport, text) {
            Received::New(id) => id,
            other => panic!("{other:?}"),
        }
    }

    fn respond(&mut self, id: ServerId, status: u16) {
        let text = format!(
            "SIP/2.0 {status} x\r\nVia: SIP/2.0/UDP h;branch=x\r\nFrom: <sip:a@h>;tag=a\r\nTo: <sip:b@h>;tag=b\r\n\
             Call-ID: c\r\nCSeq: 1 INVITE\r\n\r\n"
        );
        self.layer.respond(self.now, id, status, text.into_bytes());
    }

    /// Runs until nothing is left to happen, and checks that nothing is left at all.
    fn assert_ends_empty(&mut self) {
        self.run(1_000_000);
        self.events();
        assert!(self.layer.is_empty(), "{} transactions left", self.layer.len());
    }
}

/// A request of ours.
fn ours(method: &str, branch: &str) -> String {
    format!(
        "{method} sip:callee@192.0.2.7;transport=udp SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch={branch};rport\r\nRoute: <sip:192.0.2.7;lr>, <sip:192.0.2.8;lr>\r\n\
         Max-Forwards: 70\r\nFrom: <sip:x@192.0.2.1>;tag=ours\r\nTo: <sip:callee@192.0.2.7>\r\nCall-ID: id-1\r\n\
         CSeq: 314 {method}\r\nContact: <sip:192.0.2.1>\r\nContent-Length: 0\r\n\r\n"
    )
}

/// An answer to one.
fn answer(status: u16, method: &str, branch: &str) -> String {
    format!(
        "SIP/2.0 {status} x\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch={branch};rport=5060;received=192.0.2.1\r\n\
         From: <sip:x@192.0.2.1>;tag=ours\r\nTo: <sip:callee@192.0.2.7>;tag=theirs\r\nCall-ID: id-1\r\n\
         CSeq: 314 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A request of theirs.
fn theirs(method: &str, sent_by: &str, branch: &str) -> String {
    let (token, cseq) = method.split_once(' ').unwrap_or((method, "1"));
    format!(
        "{token} sip:x@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {sent_by};branch={branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:a@192.0.2.7>;tag=a\r\nTo: <sip:x@192.0.2.1>\r\nCall-ID: {branch}{sent_by}\r\nCSeq: {cseq} {token}\r\n\
         Contact: <sip:a@192.0.2.7>\r\nContent-Length: 0\r\n\r\n"
    )
}

fn times(sent: &[(u64, String)]) -> Vec<u64> {
    sent.iter().map(|(at, _)| *at).collect()
}

#[test]
fn what_belongs_to_a_transaction_is_known_by_its_host_too() {
    let mut bench = Bench::new();
    let knows = |bench: &Bench, remote: &str, method: &str| {
        let text = theirs(method, "192.0.2.7:5060", "z9hG4bKone");
        let came = Path::udp(ListenerId(0), remote.parse().unwrap());
        bench
            .layer
            .knows(came, Asked::Whole(&Message::parse(text.as_bytes()).unwrap()))
    };
    let all = ["INVITE", "ACK 1", "CANCEL 1"];
    for method in all {
        assert!(
            !knows(&bench, "192.0.2.7:5060", method),
            "{method} before there is anything"
        );
    }
    bench.new_one(UDP, &theirs("INVITE", "192.0.2.7:5060", "z9hG4bKone"));
    for method in all {
        assert!(knows(&bench, "192.0.2.7:5060", method), "{method}");
        assert!(
            knows(&bench, "192.0.2.7:40000", method),
            "{method} by another port"
        );
        assert!(
            !knows(&bench, "192.0.2.66:5060", method),
            "{method} of somebody else"
        );
    }
    assert!(!knows(&bench, "192.0.2.7:5060", "BYE 1"));
}

#[test]
fn one_branch_of_two_senders_is_two_requests() {
    let mut bench = Bench::new();
    let first = bench.new_one(UDP, &theirs("INVITE", "192.0.2.7", "z9hG4bKa"));
    let other_host = bench.new_one(UDP, &theirs("INVITE", "gw.example", "z9hG4bKa"));
    let other_port = bench.new_one(UDP, &theirs("INVITE", "192.0.2.7:5070", "z9hG4bKa"));
    assert!(first != other_host && other_host != other_port && first != other_port);
    assert_eq!(
        bench.receive(&theirs("INVITE", "GW.Example", "z9hG4bKa")),
        Received::Retransmission,
        "a host's case means nothing"
    );
}

#[test]
fn a_request_that_came_by_two_ways_is_merged_but_one_in_a_dialog_is_not() {
    let mut bench = Bench::new();
    let invite = theirs("INVITE", "192.0.2.7", "z9hG4bKa");
    let id = bench.new_one(UDP, &invite);
    let copy = invite.replace("branch=z9hG4bKa", "branch=z9hG4bKb");
    assert_eq!(bench.receive(&copy), Received::Merged);
    for (what, other) in [
        ("CSeq", copy.replace("CSeq: 1 ", "CSeq: 2 ")),
        (
            "From tag",
            copy.replace("tag=a\r\n", "tag=other\r\n").replace("Kb", "Kc"),
        ),
        (
            "dialog",
            copy.replace("To: <sip:x@192.0.2.1>", "To: <sip:x@192.0.2.1>;tag=t")
                .replace("Kb", "Kd"),
        ),
    ] {
        assert!(matches!(bench.receive(&other), Received::New(_)), "{what}");
    }
    bench.layer.end_server(id);
    let again = bench.new_one(UDP, &copy.replace("Kb", "Ke"));
    assert_ne!(again, id);
}

/// As [`theirs`], from a sender of RFC 2543's time.
fn old(method: &str) -> String {
    theirs(method, "192.0.2.7", "1").replace("Call-ID: 1192.0.2.7", "Call-ID: old")
}

#[test]
fn a_sender_without_the_cookie_is_matched_by_its_headers() {
    for drop_branch in ["branch=1", "branch="] {
        let old = |method: &str| match drop_branch {
            "branch=1" => old(method),
            _ => old(method).replace(";branch=1", ""),
        };
        let mut bench = Bench::new();
        let invite = bench.new_one(UDP, &old("INVITE"));
        bench.layer.own(invite, Owner(9));
        assert_eq!(bench.receive(&old("INVITE")), Received::Retransmission);
        let Received::Cancel { id, invite: found } = bench.receive(&old("CANCEL")) else {
            panic!("no CANCEL");
        };
        assert_eq!(found, Some((invite, Owner(9), InviteState::Pending)));
        bench.respond(id, 200);
        bench.respond(invite, 487);
        let ack = old("ACK").replace("To: <sip:x@192.0.2.1>", "To: <sip:x@192.0.2.1>;tag=b");
        let ack = ack.replacen("SIP/2.0/UDP ", "SIP/2.0/UDP\r\n  ", 1);
        let stray = ack.replace("tag=b", "tag=other");
        assert_eq!(
            bench.receive(&stray),
            Received::AckOf2xx,
            "another response's ACK"
        );
        assert_eq!(bench.receive(&ack), Received::AckOfFailure(Owner(9)));
        assert_eq!(bench.receive(&ack), Received::Retransmission);
        bench.new_one(UDP, &old("INVITE 2"));
        bench.new_one(UDP, &old("OPTIONS"));
        let elsewhere = old("OPTIONS").replace("sip:x@192.0.2.1 SIP", "sip:y@192.0.2.1 SIP");
        assert_eq!(bench.receive(&elsewhere), Received::Merged);
    }
}

#[test]
fn a_full_layer_says_so_and_keeps_the_last_eighth_for_calls() {
    let mut bench = Bench::new();
    bench.layer.servers.most = FEW;
    let branch = |n: usize| format!("z9hG4bK{n}");
    let mut ids: Vec<_> = (1..FEW)
        .map(|n| bench.new_one(UDP, &theirs("OPTIONS", "192.0.2.7", &branch(n))))
        .collect();
    let stranger = theirs("OPTIONS", "192.0.2.7", &branch(FEW));
    assert_eq!(bench.receive(&stranger), Received::Full);
    let bye = |n| {
        theirs("BYE", "192.0.2.7", &branch(n)).replace("To: <sip:x@192.0.2.1>", "To: <sip:x@192.0.2.1>;tag=t")
    };
    ids.push(bench.new_one(UDP, &bye(20)));
    assert_eq!(bench.receive(&bye(21)), Received::Full);
    assert_eq!(
        bench.receive(&theirs("CANCEL", "192.0.2.7", &branch(1))),
        Received::Full
    );
    assert_eq!(bench.receive(&bye(20)), Received::Retransmission);
    for id in ids {
        bench.respond(id, 200);
    }
    bench.run(32_000);
    assert!(bench.layer.is_empty());
    bench.new_one(UDP, &stranger);
}

#[test]
fn a_stale_id_is_harmless() {
    let mut bench = Bench::new();
    let server = bench.new_one(UDP, &theirs("INVITE", "192.0.2.7", "z9hG4bKa"));
    let client = bench.start("INVITE", "z9hG4bKa", UDP);
    bench.answer(&answer(180, "INVITE", "z9hG4bKa"));
    bench.layer.end_server(server);
    bench.layer.end_client(client);
    // The slots are taken again, by others.
    let new_server = bench.new_one(UDP, &theirs("INVITE", "192.0.2.7", "z9hG4bKb"));
    bench.start("BYE", "z9hG4bKb", UDP);
    bench.sent();
    bench.respond(server, 200);
    bench.layer.own(server, Owner(1));
    bench.layer.end_server(server);
    bench.layer.end_client(client);
    assert_eq!(bench.layer.cancel(ms(0), client, &[]), None);
    assert_eq!(
        (bench.sent(), bench.events(), bench.layer.len()),
        (vec![], vec![], 2)
    );
    bench.respond(new_server, 100);
    assert_eq!(bench.sent().len(), 1, "the new one is there");
    assert_eq!(bench.answer(&answer(486, "INVITE", "z9hG4bKa")), None);
}

#[test]
fn only_what_may_be_sent_again_is_kept() {
    let mut bench = Bench::new();
    bench.start("INVITE", "z9hG4bKa", UDP);
    assert_eq!(bench.layer.clients.kept(), ours("INVITE", "z9hG4bKa").len());
    bench.answer(&answer(200, "INVITE", "z9hG4bKa"));
    bench.start("BYE", "z9hG4bKa", UDP);
    bench.answer(&answer(200, "BYE", "z9hG4bKa"));
    assert_eq!(bench.layer.clients.kept(), 0);
    bench.sent();
    bench.start("INVITE", "z9hG4bKb", UDP);
    bench.layer.poll_send();
    bench.answer(&answer(486, "INVITE", "z9hG4bKb"));
    let (_, ack) = bench.layer.poll_send().unwrap();
    assert_eq!(bench.layer.clients.kept(), ack.len());

    let accepted = bench.new_one(UDP, &theirs("INVITE", "192.0.2.7", "z9hG4bKa"));
    let refused = bench.new_one(UDP, &theirs("INVITE", "192.0.2.7", "z9hG4bKb"));
    bench.respond(accepted, 180);
    bench.respond(accepted, 200);
    assert_eq!(bench.layer.servers.kept(), 0);
    bench.respond(refused, 486);
    assert_ne!(bench.layer.servers.kept(), 0);
    bench.receive(&theirs("ACK", "192.0.2.7", "z9hG4bKb"));
    assert_eq!(bench.layer.servers.kept(), 0);
    assert_eq!(bench.layer.len(), 5);
}

#[test]
fn responses_go_where_the_via_wants_them() {
    let mut bench = Bench::new();
    let came = Path::udp(ListenerId(2), "198.51.100.9:33333".parse().unwrap());
    for (via, port) in [
        ("192.0.2.7:5080", 5080),
        ("192.0.2.7", 5060),
        ("192.0.2.7;rport", 33333),
    ] {
        let text = theirs("OPTIONS", via, "z9hG4bKa");
        let message = Message::parse(text.as_bytes()).unwrap();
        let Received::New(id) = bench.layer.receive_request(ms(0), came, &message) else {
            panic!("{via}");
        };
        bench.respond(id, 200);
        let (to, _) = bench.layer.poll_send().unwrap();
        assert_eq!(
            (to.listener, to.remote.ip(), to.remote.port()),
            (came.listener, came.remote.ip(), port)
        );
        bench.layer.end_server(id);
    }
    assert!(bench.layer.is_empty());
}

/// One thing that can happen to a layer.
#[derive(Clone, Debug)]
enum Happening {
    Request(&'static str, u8, Transport),
    Respond(u8, u16),
    Start(&'static str, u8, Transport),
    Answer(&'static str, u8, u16),
    Cancel(u8),
    EndServer(u8),
    EndClient(u8),
    Failed(Transport),
    Wait(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    let method = prop::sample::select(vec!["INVITE", "ACK", "CANCEL", "BYE", "INVITE 2"]);
    let ours = prop::sample::select(vec!["INVITE", "BYE", "CANCEL"]);
    let status = prop::sample::select(vec![100, 180, 200, 202, 302, 486, 699]);
    let transport = prop::sample::select(vec![UDP, TCP]);
    let any = 0_u8..4;
    prop_oneof![
        4 => (method, any.clone(), transport.clone()).prop_map(|(m, n, t)| Happening::Request(m, n, t)),
        4 => (any.clone(), status.clone()).prop_map(|(n, s)| Happening::Respond(n, s)),
        2 => (ours.clone(), any.clone(), transport.clone()).prop_map(|(m, n, t)| Happening::Start(m, n, t)),
        4 => (ours, any.clone(), status).prop_map(|(m, n, s)| Happening::Answer(m, n, s)),
        1 => any.clone().prop_map(Happening::Cancel),
        1 => any.clone().prop_map(Happening::EndServer),
        1 => any.prop_map(Happening::EndClient),
        1 => transport.prop_map(Happening::Failed),
        2 => (0_u64..20_000).prop_map(Happening::Wait),
    ]
}

proptest! {
    /// No order of things upsets the layer, every timer fires in its time, and once the TU has done its part
    /// nothing is left.
    #[test]
    fn whatever_happens_it_ends_empty(happenings in prop::collection::vec(happening(), 0..60)) {
        let mut bench = Bench::new();
        bench.layer.servers.most = FEW;
        let (mut servers, mut clients) = (Vec::new(), Vec::new());
        let branch = |n: u8| format!("z9hG4bK{n}");
        for happening in happenings {
            match happening {
                Happening::Request(method, n, transport) => {
                    match bench.receive_by(transport, &theirs(method, "192.0.2.7", &branch(n))) {
                        Received::New(id) | Received::Cancel { id, .. } => {
                            bench.layer.own(id, Owner(u64::from(n)));
                            servers.push(id);
                        }
                        Received::Retransmission
                        | Received::AckOfFailure(_)
                        | Received::AckOf2xx
                        | Received::Merged
                        | Received::Full => {}
                    }
                }
                Happening::Respond(n, status) => {
                    if let Some(id) = servers.iter().rev().nth(n.into()) {
                        bench.respond(*id, status);
                    }
                }
                Happening::Start(method, n, transport) => {
                    let bytes = ours(method, &branch(n)).into_bytes();
                    clients.extend(bench.layer.request(bench.now, peer(transport), Owner(7), bytes));
                }
                Happening::Answer(method, n, status) => {
                    bench.answer(&answer(status, method, &branch(n)));
                }
                Happening::Cancel(n) => {
                    if let Some(id) = clients.iter().rev().nth(n.into()) {
                        clients.extend(bench.layer.cancel(bench.now, *id, &[]));
                    }
                }
                Happening::EndServer(n) => {
                    if let Some(id) = servers.iter().rev().nth(n.into()) {
                        bench.layer.end_server(*id);
                    }
                }
                Happening::EndClient(n) => {
                    if let Some(id) = clients.iter().rev().nth(n.into()) {
                        bench.layer.end_client(*id);
                    }
                }
                Happening::Failed(transport) => {
                    let loss = match transport {
                        Transport::Udp => Loss::Final,
                        Transport::Tcp | Transport::Tls => Loss::Crossed,
                    };
                    bench.layer.failed(bench.now, peer(transport), loss);
                }
                Happening::Wait(length) => {
                    let end = bench.now.as_micros() / 1_000 + length;
                    bench.run(end);
                }
            }
        }
        for id in servers {
            bench.respond(id, 500);
        }
        for n in 0..4 {
            bench.answer(&answer(487, "INVITE", &branch(n)));
        }
        bench.assert_ends_empty();
        prop_assert!(bench.layer.servers.is_forgotten() && bench.layer.clients.is_forgotten());
    }
}
