use super::*;
use crate::base::limits::SIP_HEADERS_MAX;
use crate::sip::header::{Rport, ViaTransport};
use crate::sip::peek::{PeekKind, peek};

const INVITE: &str = "INVITE sip:+8613900000002;phone-context=example.com@192.0.2.1:5060;user=phone SIP/2.0\r\n\
    Via: SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bK-1;rport\r\n\
    Via: SIP/2.0/TCP proxy.example.com;branch=z9hG4bK-0\r\n\
    Max-Forwards: 70\r\n\
    From: \"Li, Lei\" <sip:13800000001@198.51.100.7>;tag=a73kszlfl\r\n\
    To: <sip:13900000002@192.0.2.1>\r\n\
    Call-ID: 3848276298220188511@198.51.100.7\r\n\
    CSeq: 101 INVITE\r\n\
    Contact: <sip:13800000001@198.51.100.7:5062;transport=udp>\r\n\
    P-Asserted-Identity: \"A, B\" <sip:13800000001@h>, <tel:+8613800000001>\r\n\
    Supported: 100rel, timer\r\n\
    Supported: replaces\r\n\
    X-Order: 42\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 5\r\n\
    \r\n\
    v=0\r\n";

const RINGING: &str = "SIP/2.0 180 Ringing\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-9;rport=5060;received=192.0.2.1\r\n\
    From: <sip:4000@192.0.2.1>;tag=ours\r\n\
    To: <sip:13900000002@203.0.113.9>;tag=theirs\r\n\
    Call-ID: our-call\r\n\
    CSeq: 7 INVITE\r\n\
    Content-Length: 0\r\n\
    \r\n";

fn read(text: &str) -> Message<'_> {
    Message::parse(text.as_bytes()).expect("readable")
}

/// Status and sentence of a message that can't be read.
fn refused(text: &str) -> (Option<u16>, &'static str) {
    let bad = Message::parse(text.as_bytes()).expect_err("unreadable");
    (bad.status, bad.why)
}

#[test]
fn an_invite_is_read() {
    let m = read(INVITE);
    assert_eq!((m.method(), m.status()), (Method::Invite, None));
    assert!(m.request_uri().starts_with(b"sip:+86139"));
    let via = m.via();
    assert_eq!(via.transport, ViaTransport::Udp);
    assert_eq!((via.host, via.port), (&b"198.51.100.7"[..], Some(5062)));
    assert_eq!(via.branch, Some(&b"z9hG4bK-1"[..]));
    assert_eq!(via.rport, Rport::Asked);
    assert_eq!(m.from().display, Some(&b"Li, Lei"[..]));
    assert_eq!(m.from().tag(), Some(&b"a73kszlfl"[..]));
    assert_eq!(m.to().tag(), None);
    assert_eq!(m.call_id(), b"3848276298220188511@198.51.100.7");
    assert_eq!(
        m.cseq(),
        CSeq {
            number: 101,
            method: Method::Invite
        }
    );
    assert_eq!(m.max_forwards(), Some(70));
    assert_eq!(
        m.contact().map(|contact| contact.uri),
        Some(&b"sip:13800000001@198.51.100.7:5062;transport=udp"[..])
    );
    assert!(m.content_type().is_some_and(|kind| kind.is("Application/SDP")));
    assert_eq!(m.body(), b"v=0\r\n");
    assert_eq!(m.lines(Name::Via).count(), 2);
    let supported: Vec<_> = m.values(Name::Supported).collect();
    assert_eq!(supported, [&b"100rel"[..], b"timer", b"replaces"]);
    assert_eq!(m.values(Name::PAssertedIdentity).count(), 2);
    assert_eq!(m.other("x-order"), Some(&b"42"[..]));
    assert_eq!(m.other("SUPPORTED"), Some(&b"100rel, timer"[..]));
    assert_eq!(m.other("X-None"), None);
}

#[test]
fn a_response_is_read() {
    let m = read(RINGING);
    assert_eq!((m.method(), m.status()), (Method::Invite, Some(180)));
    assert_eq!(m.request_uri(), b"");
    assert_eq!(m.via().rport, Rport::Port(5060));
    assert_eq!(m.to().tag(), Some(&b"theirs"[..]));
    assert_eq!(m.max_forwards(), None);
    assert_eq!(m.body(), b"");
    for line in ["SIP/2.0 180 ", "sip/2.0 180"] {
        let m_text = RINGING.replacen("SIP/2.0 180 Ringing", line, 1);
        assert_eq!(read(&m_text).status(), Some(180), "{line}");
    }
}

#[test]
fn compact_forms_folds_and_spaces_change_nothing() {
    let m = read(
        "INVITE sip:10086@[2001:db8::1] SIP/2.0\r\n\
         v : SIP / 2.0\r\n /\tUDP [2001:db8::9]\r\n  : 5070 ; branch =\r\n z9hG4bK-2\r\n\
         f:sip:10010@h;tag=x\r\n\
         T   :\r\n \"Q \\\" <\\>\" <tel:10086> ;\r\n\ttag = \"y\"\r\n\
         i:one\r\n\
         CSEQ: 0009\r\n  INVITE\r\n\
         max-forwards:\r\n 0068\r\n\
         m:<sip:a@h>\r\n\
         c: application\r\n / sdp ; charset=utf-8\r\n\
         l: 0\r\n\
         \r\n",
    );
    assert_eq!(m.via().host, b"[2001:db8::9]");
    assert_eq!(m.via().port, Some(5070));
    assert_eq!(m.via().branch, Some(&b"z9hG4bK-2"[..]));
    assert_eq!(
        (m.from().uri, m.from().tag()),
        (&b"sip:10010@h"[..], Some(&b"x"[..]))
    );
    assert_eq!(m.to().display, Some(&b"Q \\\" <\\>"[..]));
    assert_eq!((m.to().uri, m.to().tag()), (&b"tel:10086"[..], Some(&b"y"[..])));
    assert_eq!(m.call_id(), b"one");
    assert_eq!(m.cseq().number, 9);
    assert_eq!(m.max_forwards(), Some(68));
    assert_eq!(m.contact().map(|contact| contact.uri), Some(&b"sip:a@h"[..]));
    assert!(m.content_type().is_some_and(|kind| kind.is("application/sdp")));
}

#[test]
fn a_display_name_may_hold_any_bytes() {
    let mut bytes = INVITE.as_bytes().to_vec();
    let at = INVITE.find("Li, Lei").expect("there");
    bytes[at] = 0xC0;
    bytes[at + 1] = 0;
    let m = Message::parse(&bytes).expect("readable");
    assert_eq!(m.from().display, Some(&b"\xC0\0, Lei"[..]));
    assert_eq!(m.from().tag(), Some(&b"a73kszlfl"[..]));
}

#[test]
fn empty_lines_before_the_message_are_skipped_and_alone_they_are_silence() {
    assert_eq!(read(&format!("\r\n\r\n{INVITE}")).method(), Method::Invite);
    for silent in [
        "",
        "\r\n",
        "\r\n\r\n",
        "\0\0\0\0",
        "hello",
        "hello\r\n\r\n",
        "a b c\r\n\r\n",
    ] {
        assert_eq!(refused(silent).0, None, "{silent:?}");
    }
}

#[test]
fn each_fault_of_a_request_has_its_status() {
    let without = |line: &str| {
        let at = INVITE.find(line).expect("there");
        let end = INVITE[at..].find("\r\n").expect("there") + at + 2;
        format!("{}{}", &INVITE[..at], &INVITE[end..])
    };
    let swap = |from: &str, to: &str| {
        assert!(INVITE.contains(from));
        INVITE.replacen(from, to, 1)
    };
    let bad = [
        (without("From:"), "From is missing or doubled"),
        (without("To:"), "To is missing or doubled"),
        (without("Call-ID:"), "Call-ID is missing or doubled"),
        (without("CSeq:"), "CSeq is missing or doubled"),
        (swap("To:", "To: <sip:x@h>\r\nTo:"), "To is missing or doubled"),
        (
            swap("From:", "f: <sip:x@h>\r\nFrom:"),
            "From is missing or doubled",
        ),
        (
            swap("Call-ID:", "i: x\r\nCall-ID:"),
            "Call-ID is missing or doubled",
        ),
        (
            swap("CSeq:", "CSeq: 1 INVITE\r\nCSeq:"),
            "CSeq is missing or doubled",
        ),
        (
            swap("Max-Forwards: 70", "Max-Forwards: 70\r\nMax-Forwards: 7"),
            "Max-Forwards is doubled",
        ),
        (
            swap("Max-Forwards: 70", "Max-Forwards: 300"),
            "malformed Max-Forwards",
        ),
        (
            swap("Max-Forwards: 70", "Max-Forwards: -1"),
            "malformed Max-Forwards",
        ),
        (swap("101 INVITE", "101 BYE"), "CSeq names another method"),
        (swap("101 INVITE", "101 invite"), "CSeq names another method"),
        (swap("101 INVITE", "2147483648 INVITE"), "malformed CSeq"),
        (
            swap("101 INVITE", "36893488147419103232 INVITE"),
            "malformed CSeq",
        ),
        (swap("101 INVITE", "INVITE"), "malformed CSeq"),
        (swap("Call-ID: ", "Call-ID: a b"), "malformed Call-ID"),
        (swap("\"Li, Lei\"", "\"Li, Lei"), "malformed From"),
        (
            swap("<sip:13900000002@192.0.2.1>", "<sip:13900000002@192.0.2.1"),
            "malformed To",
        ),
        (
            swap("198.51.100.7:5062;branch", "198.51.100.7:0;branch"),
            "malformed Via",
        ),
        (
            swap("198.51.100.7:5062;branch", "2001:db8::1;branch"),
            "malformed Via",
        ),
        (swap(";rport", ";;,;,,"), "malformed Via"),
        (
            swap(
                "<sip:13800000001@198.51.100.7:5062;transport=udp>",
                "sip:a@h?Route=x",
            ),
            "malformed Contact",
        ),
        (swap("X-Order: 42", "m: <sip:b@h>, <sip:c@h"), "malformed Contact"),
        (
            swap("Content-Length: 5", "Content-Length: 6"),
            "Content-Length is beyond the end",
        ),
        (
            swap("Content-Length: 5", "Content-Length: 99999999999"),
            "malformed Content-Length",
        ),
        (
            swap("Content-Length: 5", "Content-Length: -5"),
            "malformed Content-Length",
        ),
        (
            swap("Content-Length: 5", "Content-Length:"),
            "malformed Content-Length",
        ),
        (
            swap("Content-Length: 5", "l: 5\r\nContent-Length: 5"),
            "Content-Length is doubled",
        ),
        (
            swap("Content-Type:", "c: text/plain\r\nContent-Type:"),
            "Content-Type is doubled",
        ),
        (swap(" SIP/2.0", "  SIP/2.0"), "malformed request line"),
        (swap(" SIP/2.0", " SIP/2.0 "), "malformed request line"),
        (swap("sip:+86", "<sip:+86"), "malformed request line"),
        (swap("sip:+86", "sip:x@+86"), "malformed Request-URI"),
        (
            swap(";user=phone", ";user=phone?Route=%3Csip:h%3E"),
            "headers in the Request-URI",
        ),
        (swap("X-Order: 42", "X-Order 42"), "a header line without a colon"),
        (
            swap("X-Order: 42", "X Order: 42"),
            "a header name that is no token",
        ),
        (
            swap("X-Order: 42", "X-Order\r\n : 42"),
            "a header name that is no token",
        ),
        (swap("X-Order: 42", ": 42"), "a header name that is no token"),
        (
            swap("X-Order: 42", "X-Order: 42\nFrom: <sip:x@h>"),
            "a line break that is not CRLF",
        ),
        (
            swap("X-Order: 42", "X-Order: 42\rY: 1"),
            "a line break that is not CRLF",
        ),
        (swap("\r\nVia", "\r\n Via"), "a header name that is no token"),
        (
            swap("Length: 5\r\n\r\nv=0\r\n", "Length: 5\r\n"),
            "the header section has no end",
        ),
    ];
    for (text, why) in bad {
        assert_eq!(refused(&text), (Some(400), why));
    }
    assert_eq!(refused(&swap("SIP/2.0\r\n", "SIP/7.0\r\n")).0, Some(505));
    assert_eq!(
        refused(&without("From:").replacen("SIP/2.0\r\n", "SIP/3.0\r\n", 1)).0,
        Some(505)
    );
    assert!(Message::parse(swap("SIP/2.0\r\n", "sip/2.0\r\n").as_bytes()).is_ok());
    let head = Message::parse(without("Call-ID:").as_bytes())
        .expect_err("bad")
        .head
        .is_some();
    assert!(head, "the answer needs what was there");
}

#[test]
fn a_request_with_too_many_headers_is_told_so_wherever_its_own_stand() {
    let of_lines = |count: usize| INVITE.replacen("\r\n", &format!("\r\n{}", "X-Y: 1\r\n".repeat(count)), 1);
    let own = INVITE.split_once("\r\n\r\n").expect("a body").0.lines().count() - 1;
    assert!(Message::parse(of_lines(SIP_HEADERS_MAX - own).as_bytes()).is_ok());
    for count in [SIP_HEADERS_MAX - own + 1, SIP_HEADERS_MAX, 5_000] {
        let text = of_lines(count);
        let bad = Message::parse(text.as_bytes()).expect_err("too many");
        assert_eq!((bad.status, bad.why), (Some(513), "too many header fields"));
        let head = bad.head.expect("the answer needs what was there");
        assert_eq!(head.lines(Name::Via).count(), 2);
        for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
            assert!(head.get(name).is_some(), "{name:?}");
        }
    }
}

#[test]
fn what_steers_a_request_stands_once_and_what_nobody_acts_on_may_be_doubled() {
    let with = |text: &str, lines: &str| text.replacen("X-Order: 42\r\n", lines, 1);
    for doubled in [
        "Expires: 1\r\nExpires: 2\r\n",
        "Session-Expires: 90\r\nx: 91\r\n",
        "RAck: 1 1 INVITE\r\nrack: 1 1 INVITE\r\n",
        "Content-Disposition: session\r\nContent-Disposition: render\r\n",
    ] {
        let why = "a header that may stand once is doubled";
        assert_eq!(refused(&with(INVITE, doubled)), (Some(400), why), "{doubled}");
    }
    assert!(Message::parse(with(INVITE, "s: a\r\nSubject: b\r\nX-Y: 1\r\nX-Y: 2\r\n").as_bytes()).is_ok());
    let ringing = RINGING.replacen("CSeq:", "x: 90\r\nx: 91\r\nCSeq:", 1);
    assert!(Message::parse(ringing.as_bytes()).is_ok());
}

#[test]
fn a_party_whose_uri_carries_headers_is_refused_and_a_user_may_hold_a_question_mark() {
    let from = |uri: &str| INVITE.replacen("<sip:13800000001@198.51.100.7>", &format!("<{uri}>"), 1);
    let why = "headers in the URI of From or To";
    assert_eq!(refused(&from("sip:a@h?Subject=x")), (Some(400), why));
    let to = INVITE.replacen(
        "<sip:13900000002@192.0.2.1>",
        "<sips:b@h;lr?Route=%3Csip:x%3E>",
        1,
    );
    assert_eq!(refused(&to), (Some(400), why));
    for fine in ["sip:a?b@h", "http://h/?q=1", "tel:+86138"] {
        assert!(Message::parse(from(fine).as_bytes()).is_ok(), "{fine}");
    }
}

#[test]
fn nobody_answers_a_response_an_ack_or_a_request_without_a_via() {
    let response = |from: &str, to: &str| RINGING.replacen(from, to, 1);
    for text in [
        response("CSeq: 7", "CSeq: 4294967296"),
        response("Content-Length: 0", "Content-Length: 1"),
        response(" 180 ", " 1800 "),
        response(" 180 ", " 99 "),
        response(" 180 ", " 099 "),
        response(" 180 ", " 700 "),
        response(" 180 ", " 4294967301 "),
        response("SIP/2.0 180", "SIP/3.0 180"),
        INVITE.replace("INVITE", "ACK").replacen("To:", "Tu:", 1),
        INVITE.replace("Via:", "Vyw:"),
    ] {
        assert_eq!(refused(&text).0, None, "{text}");
    }
}

#[test]
fn the_body_is_what_content_length_says() {
    let two = format!("{INVITE}BYE sip:x SIP/2.0\r\n");
    assert_eq!(read(&two).body(), b"v=0\r\n");
    let none = two.replacen("Content-Length: 5\r\n", "", 1);
    assert_eq!(read(&none).body(), b"v=0\r\nBYE sip:x SIP/2.0\r\n");
    let leading_space = INVITE.replacen("\r\n\r\nv=0", "\r\n\r\n  0", 1);
    assert_eq!(read(&leading_space).body(), b"  0\r\n");
}

#[test]
fn unknown_methods_and_schemes_are_readable() {
    let m_text = INVITE
        .replace("INVITE", "RE%47IST%45R")
        .replacen("sip:+86", "soap.beep:+86", 1);
    let m = read(&m_text);
    assert_eq!(m.method(), Method::Unknown);
    assert!(matches!(
        m.start(),
        Start::Request {
            token: b"RE%47IST%45R",
            ..
        }
    ));
}

#[test]
fn debug_output_names_nobody() {
    let m = read(INVITE);
    let bad_text = INVITE.replacen("Call-ID", "Call-Id-Not", 1);
    let bad = Message::parse(bad_text.as_bytes()).expect_err("bad");
    let uri = Uri::parse(m.request_uri());
    let shown = format!(
        "{m:?} {bad:?} {uri:?} {:?} {:?} {:?}",
        m.from(),
        m.via(),
        peek(INVITE.as_bytes())
    );
    assert!(
        !shown.contains("1380") && !shown.contains("1390") && !shown.contains("49, 51"),
        "{shown}"
    );
}

#[test]
fn the_first_look_sees_what_the_parse_sees() {
    let look = |text: &str| peek(text.as_bytes()).map(|seen| (seen.call_id.to_vec(), seen.kind));
    let call_id = |text: &str| read(text).call_id().to_vec();
    assert_eq!(look(INVITE), Some((call_id(INVITE), PeekKind::NewRequest)));
    assert_eq!(look(RINGING), Some((call_id(RINGING), PeekKind::InCall)));
    let compact = INVITE.replacen("Call-ID", "i", 1).replacen("To:", "t\t:\r\n ", 1);
    assert_eq!(look(&compact), Some((call_id(&compact), PeekKind::NewRequest)));
    let inside = compact.replacen("192.0.2.1>\r\n", "192.0.2.1>\r\n ;\r\n TAG=x\r\n", 1);
    assert_eq!(look(&inside), Some((call_id(&inside), PeekKind::InCall)));
    for (method, kind) in [("ACK", PeekKind::InCall), ("CANCEL", PeekKind::Cancel)] {
        assert_eq!(
            look(&INVITE.replace("INVITE", method)).map(|seen| seen.1),
            Some(kind)
        );
    }
    assert_eq!(look("\r\n\r\n"), None);
    assert_eq!(look(&INVITE.replacen("Call-ID: ", "Call-ID: a b", 1)), None);
    assert_eq!(look(&INVITE.replacen("Call-ID", "Call-Me", 1)), None);
}
