//! Any bytes at all are read without a panic.

#[path = "support/outline.rs"]
mod outline;

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use umbra::sip::build::{self, Response};
use umbra::sip::header::{CSeq, MediaType, Name, NameAddr, Via, params, split};
use umbra::sip::lexer::{Head, Start};
use umbra::sip::message::Message;
use umbra::sip::peek::{PeekKind, peek};
use umbra::sip::uri::{Uri, unescape};

const VALID: [&str; 6] = [
    "INVITE sip:+8613900000002;phone-context=example.com@192.0.2.1:5060;user=phone SIP/2.0\r\n\
     Via: SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bK-1;rport, SIP/2.0/TLS [2001:db8::1]:5061;branch=z9hG4bK-0\r\n\
     Max-Forwards: 70\r\n\
     From: \"Li \\\"L\\\" Lei\" <sip:13800000001@198.51.100.7>;tag=a73kszlfl\r\n\
     To: <sip:%2B13900000002@192.0.2.1>\r\n\
     Call-ID: 3848276298220188511@198.51.100.7\r\n\
     CSeq: 101 INVITE\r\n\
     Contact: <sip:13800000001@198.51.100.7:5062;transport=udp>;q=0.5, sip:b@h\r\n\
     P-Asserted-Identity: \"A, B\" <sip:13800000001@h>, <tel:+8613800000001>\r\n\
     Warning: 370 h \"x, \\\" y\" (a (b) c)\r\n\
     Content-Type: multipart/mixed;boundary=\"a;b\"\r\n\
     Content-Length: 5\r\n\
     \r\n\
     v=0\r\n",
    "SIP/2.0 180 Ringing\r\n\
     v: SIP / 2.0\r\n / UDP 192.0.2.1:5060;branch=z9hG4bK-9;rport=5060\r\n\
     f: sip:4000@192.0.2.1;tag=ours\r\n\
     t: Bell, A <tel:10086;phone-context=+86> ;\r\n tag = theirs\r\n\
     i: our-call\r\n\
     CSeq: 0007\r\n\tINVITE\r\n\
     l: 0\r\n\
     \r\n",
    "BYE sips:x@[2001:db8::1]:5061;lr?a=b SIP/2.0\r\n\r\n",
    "\r\n\r\nBYE tel:10086 SIP/2.0\r\n\
     Via: SIP/2.0/TCP h\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\nCall-ID: z\r\nCSeq: 1 BYE\r\n\r\n",
    PLAIN[0],
    PLAIN[1],
];

/// What has an outline.
const PLAIN: [&str; 2] = [
    "INVITE sip:13900000002@192.0.2.1:5060 SIP/2.0\r\n\
     Via: SIP/2.0/UDP 192.0.2.7:5062;branch=z9hG4bK-1\r\n\
     Max-Forwards: 70\r\n\
     From: <sip:13800000001@192.0.2.7>;tag=a73kszlfl\r\n\
     To: <sip:13900000002@192.0.2.1>\r\n\
     Call-ID: 3848276298220188511@192.0.2.7\r\n\
     CSeq: 101 INVITE\r\n\
     Contact: <sip:13800000001@192.0.2.7:5062>\r\n\
     Content-Length: 0\r\n\
     \r\n",
    "INVITE tel:10086 SIP/2.0\r\n\
     v:SIP/2.0/UDP edge.example.com;branch=Z9hG4bK-2;oc;rport;received=192.0.2.9;oc-algo=\"loss\" \r\n\
     VIA:  SIP / 2.0 / TCP [2001:db8::1] : 5061;branch=z9hG4bK-1\r\n\
     f: \"Li \\\"L\\\" > Lei\" <sip:a@h>;tag=1\r\n\
     t: \"B>\" <tel:10086>;x=y\r\n\
     i:z\r\n\
     cseq:07 INVITE\r\n\
     \r\n\
     v=0\r\n o=odd\n",
];

/// Lines of an INVITE, each of them in ways that are usual, unusual or wrong.
const WAYS: [&[&str]; 6] = [
    &[
        "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa",
        "v:SIP/2.0/UDP 192.0.2.7:5062 ;branch=z9hG4bKb;rport",
        "v: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKb",
        "vIA:  SIP/2.0/TLS [2001:db8::1];rport=5;Received=1.2.3.4;branch=Z9HG4BKc;oc ",
        "Via: SIP/2.0/UDP h;branch=\"z9hG4bKq\";oc=\"",
        "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa;x=\";oc",
        "Via: SIP/2.0/UDP 192.0.2.7;branch=old",
        "Via: SIP/2.0/UDP h;branch=z9hG4bKa, SIP/2.0/UDP i",
        "Via : SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa",
        "Via:",
    ],
    &[
        "From: <sip:a@h>;tag=f",
        "f: \"A, B\" <sip:a@h>",
        "FROM:sip:a@h;tag=x",
        "From: <sip:a@h?b=c>",
    ],
    &[
        "To: <sip:b@h>",
        "t: \"b>\" <sip:b@h>",
        "to:sip:b@h",
        "To: <sip:b@h>;tag=t",
        "To: sip:b@h;tag=x>",
        "To: sip:b@h;tag=x<y>",
        "To: <sip:b@h>;x=\"<\";tag=>",
        "To:\tsip:b@h",
        "To: <sip:b@h>\r\n ;tag=t",
    ],
    &[
        "Call-ID: z@h",
        "i:z",
        "i: z",
        "I : z",
        "call-id: z z",
        "Call-ID: z\rTo: x",
    ],
    &[
        "CSeq: 1 INVITE",
        "CSEQ:  07 INVITE",
        "CSeq: 1  INVITE",
        "CSeq: 1 ACK",
        "CSeq: 2147483648 INVITE",
    ],
    &[
        "Timestamp: 5",
        "c: application/sdp",
        "Content-Length: 0",
        "Contact: <sip:a@h>",
        "Contact: ,,<",
        "Expires: 5\r\nExpires: 6",
        "Subject: a\r\n b",
        "Subject: a\nTo: <sip:x@h>;tag=t",
        "Record-Route: <sip:r@h;lr>",
        "no header",
        "",
    ],
];

/// An INVITE of such lines, in any order, some of them twice.
fn invite() -> impl Strategy<Value = String> {
    let ways = WAYS.map(prop::sample::select);
    let more = prop::sample::select(WAYS.concat());
    // Most are usual, so that one that isn't stands alone.
    let lines = ways.map(|way| prop_oneof![2 => Just(None), 1 => way.prop_map(Some)]);
    (lines, prop::collection::vec(more, 0..2)).prop_flat_map(|(lines, more)| {
        let usual = WAYS.map(|way| way[0]);
        let lines = lines.into_iter().zip(usual);
        let lines = lines.map(|(line, usual)| line.unwrap_or(usual)).chain(more);
        let lines = Just(lines.collect::<Vec<_>>()).prop_shuffle();
        lines.prop_map(|lines| format!("INVITE sip:1@h SIP/2.0\r\n{}\r\n\r\n", lines.join("\r\n")))
    })
}

const NAMES: [Name; 9] = [
    Name::Via,
    Name::From,
    Name::To,
    Name::Contact,
    Name::CSeq,
    Name::PAssertedIdentity,
    Name::Warning,
    Name::ContentType,
    Name::Other,
];

fn read_value(value: &[u8]) {
    let _ = CSeq::parse(value);
    let _ = Uri::parse(value).map(|uri| read_uri(&uri));
    let _ = unescape(value);
    let _ = Name::of(value);
    let _ = MediaType::parse(value).map(|kind| (kind.is("a/b"), kind.param("boundary").is_some()));
    let _ = Via::parse(value).map(|via| (via.param("maddr").is_some(), format!("{via:?}")));
    if let Some(party) = NameAddr::parse(value) {
        let _ = (party.tag(), party.param("q"), format!("{party:?}"));
        let _ = Uri::parse(party.uri).map(|uri| read_uri(&uri));
    }
    let _ = split(value).count().saturating_add(params(value).count());
}

fn read_uri(uri: &Uri<'_>) {
    let _ = (
        uri.transport(),
        uri.number(),
        uri.number_param("phone-context"),
        uri.param("lr"),
    );
    let _ = (uri.user.and_then(unescape), uri.host.ip(), format!("{uri:?}"));
}

fn read_head(head: &Head<'_>) {
    for name in NAMES {
        let _ = head.get(name);
        head.lines(name).for_each(read_value);
        head.values(name).for_each(read_value);
    }
    let _ = (
        head.other("x-order"),
        head.other("via"),
        head.rest(),
        format!("{head:?}"),
    );
    match head.start() {
        Start::Request { uri, .. } => read_value(uri),
        Start::Response { reason, .. } => read_value(reason),
    }
}

/// Reads the bytes in every way there is; what belongs together has to agree.
fn read_all(bytes: &[u8]) {
    read_value(bytes);
    outline::agrees(bytes);
    let seen = peek(bytes);
    match Message::parse(bytes) {
        Ok(message) => {
            read_head(message.head());
            let _ = (message.contact(), message.content_type(), message.max_forwards());
            let _ = (message.via(), message.request_uri(), format!("{message:?}"));
            assert!(!message.from().uri.is_empty() && !message.call_id().is_empty());
            assert!(message.head().rest().starts_with(message.body()));
            assert!(message.cseq().number < 1 << 31);
            assert!(message.status().is_none_or(|status| (100..700).contains(&status)));
            let seen = seen.expect("what the parse reads, the first look sees");
            assert_eq!(seen.call_id, message.call_id());
            if message.status().is_some() || message.to().tag().is_some() {
                assert_eq!(seen.kind, PeekKind::InCall);
            }
            answer(&message);
        }
        Err(bad) => {
            assert!(matches!(bad.status, None | Some(400 | 505 | 513)), "{bad:?}");
            assert!(bad.status.is_none() || bad.head.is_some());
            bad.head.iter().for_each(read_head);
        }
    }
}

/// The answer to a message that was read whole is that to its head, and its tag ends where it says.
fn answer(message: &Message<'_>) {
    let response = Response {
        status: 503,
        to_tag: Some(b"shed-x"),
        contact: None,
        headers: &[("Retry-After", "3")],
        body: None,
    };
    let source = "192.0.2.7:5060".parse().expect("an address");
    let room = b"what another had".to_vec();
    let (text, tag_ends) = build::response_of(message, source, &response, room);
    assert_eq!(text, build::response(message.head(), source, &response));
    let (before, behind) = text.split_at(tag_ends);
    assert!(behind.starts_with(b"\r\nCall-ID: "));
    assert_eq!(before.ends_with(b";tag=shed-x"), message.to_tag().is_none());
}

/// One change of a message.
#[derive(Debug, Clone)]
enum Change {
    Cut(prop::sample::Index),
    Put(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    let telling = prop::sample::select(b"\r\n\t \0<>\"\\()[];:,=@?%/.09\xff\x80".to_vec());
    let byte = prop_oneof![telling, any::<u8>()];
    prop_oneof![
        1 => at().prop_map(Change::Cut),
        6 => (at(), byte.clone()).prop_map(|(at, byte)| Change::Put(at, byte)),
        4 => (at(), prop::collection::vec(byte, 0..6)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        4 => (at(), 1..40_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        2 => (at(), 1..200_usize).prop_map(|(at, length)| Change::Repeat(at, length)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    if bytes.is_empty() {
        return;
    }
    let length = bytes.len();
    match change {
        Change::Cut(at) => bytes.truncate(at.index(length)),
        Change::Put(at, byte) => bytes[at.index(length)] = *byte,
        Change::Insert(at, more) => {
            let at = at.index(length);
            bytes.splice(at..at, more.iter().copied());
        }
        Change::Remove(at, count) => {
            let at = at.index(length);
            bytes.drain(at..length.min(at + count));
        }
        Change::Repeat(at, count) => {
            let at = at.index(length);
            let more = bytes[at..length.min(at + count)].to_vec();
            bytes.splice(at..at, more);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_all(&bytes);
    }

    #[test]
    fn any_telling_characters_are_read_without_a_panic(text in "[\r\n\t <>\"\\\\()\\[\\];:,=@?%/.09asipSIPTEL-]{0,120}") {
        read_all(text.as_bytes());
        read_all(format!("BYE sip:h SIP/2.0\r\nVia: {text}\r\nf: {text}\r\nt:{text}\r\n\r\n").as_bytes());
    }

    #[test]
    fn an_invites_outline_says_what_is_read_of_it_whole(text in invite()) {
        read_all(text.as_bytes());
    }

    #[test]
    fn a_damaged_message_is_read_without_a_panic(
        which in 0..VALID.len(),
        changes in prop::collection::vec(change(), 1..8),
    ) {
        let mut bytes = VALID[which].as_bytes().to_vec();
        for change in &changes {
            apply(&mut bytes, change);
        }
        read_all(&bytes);
    }
}

#[test]
fn what_is_written_as_nearly_everybody_writes_it_has_an_outline() {
    for text in PLAIN {
        assert!(outline::agrees(text.as_bytes()), "{text}");
    }
}

#[test]
fn every_beginning_of_a_message_is_read_without_a_panic() {
    for text in VALID {
        for end in 0..=text.len() {
            read_all(&text.as_bytes()[..end]);
        }
    }
}

#[test]
fn the_largest_messages_are_read_or_refused() {
    let head = VALID[3].strip_suffix("\r\n").expect("an empty line").trim_start();
    let of_length = |length: usize| {
        let room = length - head.len() - "X: \r\n\r\n".len();
        format!("{head}X: {}\r\n\r\n", "x".repeat(room))
    };
    let largest = of_length(65_535);
    let message = Message::parse(largest.as_bytes()).expect("fits");
    assert_eq!(message.other("x").map(<[u8]>::len), Some(65_535 - head.len() - 7));
    assert_eq!(message.body(), b"");
    assert!(Message::parse(of_length(65_536).as_bytes()).is_err());
    for piece in [
        "X:",
        "(",
        "\r\n ",
        "\r\n",
        "<",
        "\"",
        ",",
        ";",
        "\n",
        "A:b\r\n",
        "Via:,\r\n",
    ] {
        read_all(format!("{head}{}", piece.repeat(60_000 / piece.len())).as_bytes());
        read_all(piece.repeat(70_000 / piece.len()).as_bytes());
    }
}

#[test]
fn every_message_of_the_torture_tests_and_the_fuzzers_is_read_and_answered_alike() {
    let mut read = 0;
    for folder in ["tests/torture", "fuzz/corpus/datagram", "fuzz/corpus/stream"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for file in fs::read_dir(&folder).expect("our own folder") {
            let bytes = fs::read(file.expect("a file").path()).expect("readable");
            read_all(&bytes);
            read += usize::from(Message::parse(&bytes).is_ok());
        }
    }
    assert!(read > 30, "{read} are messages");
}
