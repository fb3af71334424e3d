//! The messages of RFC 4475 and RFC 5118, at the reader and against the real server: each gets what its RFC asks for,
//! and leaves the server alive and idle.

#[path = "torture/carrier.rs"]
mod carrier;
#[path = "torture/rfc5118.rs"]
mod rfc5118;
#[path = "support/server.rs"]
mod server;
#[path = "torture/verdicts.rs"]
mod verdicts;

use carrier::Carrier;
use umbra::sip::framer::{Frame, Framer};
use umbra::sip::header::{Name, NameAddr};
use umbra::sip::message::Message;
use umbra::sip::method::Method;
use umbra::sip::peek::peek;
use umbra::sip::uri::{Uri, unescape};
use verdicts::{CASES, Case, Reading, Verdict};

fn case(name: &str) -> &'static Case {
    CASES
        .iter()
        .find(|case| case.name == name)
        .expect("a message of that name")
}

fn read(name: &str) -> Message<'static> {
    Message::parse(case(name).bytes).expect("well formed")
}

#[test]
fn the_reader_takes_or_refuses_each_message_of_rfc_4475_as_it_asks() {
    assert_eq!(CASES.len(), 49);
    for case in CASES {
        let reading = match Message::parse(case.bytes) {
            Ok(message) => {
                let seen = peek(case.bytes).expect("what is read is seen at the first look");
                assert_eq!(seen.call_id, message.call_id(), "{}", case.name);
                Reading::Read
            }
            Err(bad) => Reading::Refused(bad.status, bad.why),
        };
        assert_eq!(reading, case.reading, "{}", case.name);
    }
}

#[test]
fn the_reader_takes_or_refuses_each_message_of_rfc_5118_as_it_asks() {
    assert_eq!(rfc5118::CASES.len(), 12);
    for case in rfc5118::CASES {
        let bytes = case.bytes();
        let fault = Message::parse(&bytes).err().map(|bad| bad.why);
        assert_eq!(fault, case.fault, "{}", case.name);
    }
}

#[test]
fn what_is_odd_in_a_well_formed_message_is_read_as_it_is_meant() {
    let wsinv = read("wsinv");
    assert_eq!((wsinv.cseq().number, wsinv.max_forwards()), (9, Some(68)));
    assert_eq!(wsinv.to().tag(), Some(&b"1918181833n"[..]));
    assert_eq!(wsinv.from().display, Some(&b"J Rosenberg \\\\\\\""[..]));
    assert_eq!(wsinv.via().host, b"192.0.2.2");
    assert_eq!(wsinv.values(Name::Via).count(), 3);
    assert_eq!(
        wsinv.contact().map(|it| it.uri),
        Some(&b"sip:jdrosen@example.com"[..])
    );
    assert_eq!(wsinv.body().len(), 150);

    let intmeth = read("intmeth");
    assert_eq!(intmeth.method(), Method::Unknown);
    let uri = Uri::parse(intmeth.request_uri()).expect("a URI");
    assert!(uri.user.is_some_and(|user| user.ends_with(b"?,/;;*")));
    assert!(
        intmeth
            .to()
            .display
            .is_some_and(|name| name.contains(&0) && name.contains(&0x7f))
    );
    assert_eq!(intmeth.from().tag(), Some(&b"_token~1'+`*%!-."[..]));

    let user = |uri: &'static [u8]| {
        Uri::parse(uri)
            .ok()
            .and_then(|uri| unescape(uri.user?))
            .expect("a user")
    };
    assert_eq!(
        user(read("esc01").request_uri()).as_str(),
        "sips:user@example.com"
    );
    assert_eq!(
        user(read("semiuri").request_uri()).as_str(),
        "user;par=u@example.net"
    );
    assert_eq!(user(read("esc01").to().uri).as_str(), "user");
    let contacts: Vec<_> = read("escnull")
        .values(Name::Contact)
        .map(|value| user(NameAddr::parse(value).expect("a Contact").uri))
        .collect();
    assert_eq!(
        contacts.iter().map(|user| user.as_str()).collect::<Vec<_>>(),
        ["\0", "\0\0"]
    );

    let esc02 = read("esc02");
    assert_eq!(esc02.method(), Method::Unknown);
    assert_eq!(
        esc02.values(Name::Contact).count(),
        2,
        "an escape in a name is none"
    );

    assert_eq!(read("dblreq").body(), b"", "what follows is no body");
    assert_eq!(read("transports").values(Name::Via).count(), 5);
    assert_eq!(read("longreq").values(Name::Via).count(), 34);
    let mpart = read("mpart01");
    assert_eq!(mpart.body().len(), 553);
    assert!(mpart.body().contains(&0x82), "not a byte is lost");
    assert_eq!(
        mpart.content_type().and_then(|kind| kind.param("boundary")),
        Some(&b"7a9cbec02ceef655"[..])
    );
    assert_eq!(
        (read("unreason").status(), read("noreason").status()),
        (Some(200), Some(100))
    );
    let ambiguous = rfc5118::CASES
        .iter()
        .find(|case| case.name == "port-ambiguous")
        .expect("there")
        .bytes();
    let message = Message::parse(&ambiguous).expect("well formed");
    assert_eq!(Uri::parse(message.request_uri()).map(|uri| uri.port), Ok(None));
}

fn is_answerable(head: &[u8]) -> bool {
    match Message::parse(head) {
        Ok(message) => message.status().is_none(),
        Err(bad) => bad.status.is_some(),
    }
}

#[test]
fn a_stream_shows_where_each_message_ends_or_is_followed_no_further() {
    for case in CASES {
        let mut framer = Framer::default();
        framer.push(case.bytes);
        let (mut requests, mut responses, mut broken) = (0, 0, 0);
        while let Some(frame) = framer.next() {
            match frame {
                Frame::Message(bytes) if bytes.starts_with(b"SIP/") => responses += 1,
                Frame::Message(_) => requests += 1,
                // What follows a message can be nobody's that an answer would reach.
                Frame::Broken(head) if is_answerable(head) => broken += 1,
                Frame::Ping | Frame::Pong | Frame::Broken(_) => {}
            }
        }
        let expected = match case.tcp {
            Verdict::Answer(_) => (1, 0),
            Verdict::Answers(..) => (2, 0),
            Verdict::AnswerAndClose(_) => (0, 1),
            Verdict::Silence => (0, 0),
        };
        assert_eq!((requests, broken), expected, "{} ({})", case.name, case.why);
        if case.tcp == Verdict::Silence {
            assert!(responses == 1 || framer.is_within_message(), "{}", case.name);
        }
    }
}

#[test]
fn over_udp_each_message_gets_its_verdict_and_the_next_call_goes_through() {
    let mut carrier = Carrier::start();
    for case in CASES {
        carrier.udp(case.name, case.bytes, case.udp, case.why);
    }
    for case in rfc5118::CASES {
        carrier.udp(case.name, &case.bytes(), case.verdict, case.why);
    }
    carrier.is_left_as_found();
}

#[test]
fn over_tcp_each_message_gets_its_verdict_and_the_next_call_goes_through() {
    let mut carrier = Carrier::start();
    for case in CASES {
        carrier.tcp(case.name, case.bytes, case.tcp, case.why);
    }
    for case in rfc5118::CASES {
        carrier.tcp(case.name, &case.bytes(), case.verdict, case.why);
    }
    carrier.is_left_as_found();
}

#[test]
fn over_ipv6_each_message_gets_its_verdict_and_the_next_call_goes_through() {
    let mut carrier = Carrier::start_on_ipv6();
    for case in CASES {
        carrier.udp(case.name, case.bytes, case.udp, case.why);
    }
    for case in rfc5118::CASES {
        carrier.udp(case.name, &case.bytes(), case.verdict, case.why);
    }
    carrier.is_left_as_found();
    // Another server: to the same one the same messages would be repetitions.
    drop(carrier);
    let mut carrier = Carrier::start_on_ipv6();
    for case in rfc5118::CASES {
        carrier.tcp(case.name, &case.bytes(), case.verdict, case.why);
    }
    carrier.is_left_as_found();
}
