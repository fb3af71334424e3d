use proptest::prelude::*;

use super::*;
use crate::sip::path::{FlowHint, ListenerId};

const INVITE: &str = "INVITE sip:x@192.0.2.1 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bKtop;received=9.9.9.9;x=\"a;rport;b\" , SIP/2.0/TCP p.example;branch=z9hG4bK2\r\n\
    v: SIP/2.0/UDP third.example;branch=z9hG4bK3\r\nRecord-Route: <sip:p1;lr>, <sip:p2;lr>\r\n\
    Record-Route: <sip:p3;lr>\r\nMax-Forwards: 70\r\nf: \"A\"\r\n <sip:a@h>;tag=a\r\nTo: <sip:x@h>\r\n\
    Call-ID: c@h\r\nCSeq: 7 INVITE\r\nTimestamp: 54.2\r\nRoute: <sip:192.0.2.1;lr>\r\nContent-Length: 0\r\n\r\n";

fn source() -> SocketAddr {
    "192.0.2.9:33333".parse().unwrap()
}

fn plain(status: u16) -> Response<'static> {
    Response {
        status,
        to_tag: Some(b"ours"),
        contact: None,
        headers: &[],
        body: None,
    }
}

fn respond(request_text: &str, answer: &Response) -> String {
    let request = Message::parse(request_text.as_bytes()).unwrap();
    let bytes = response(&request, source(), answer);
    // What is kept of a request gives the same answer.
    assert_eq!(Repeated::of(&request, source()).response(answer), bytes);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_response_copies_what_belongs_to_both_and_nothing_else() {
    let answer = Response {
        contact: Some(b"<sip:192.0.2.1:5060>"),
        headers: &[("Allow", "INVITE, ACK"), ("Bad Name", "x")],
        body: Some(Body {
            content_type: "application/sdp",
            bytes: b"v=0\r\n",
        }),
        ..plain(180)
    };
    assert_eq!(
        respond(INVITE, &answer),
        "SIP/2.0 180 Ringing\r\n\
         Via: SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bKtop;x=\"a;rport;b\";received=192.0.2.9\r\n\
         Via: SIP/2.0/TCP p.example;branch=z9hG4bK2\r\nVia: SIP/2.0/UDP third.example;branch=z9hG4bK3\r\n\
         Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nRecord-Route: <sip:p3;lr>\r\n\
         From: \"A\" <sip:a@h>;tag=a\r\nTo: <sip:x@h>;tag=ours\r\nCall-ID: c@h\r\nCSeq: 7 INVITE\r\n\
         Contact: <sip:192.0.2.1:5060>\r\nAllow: INVITE, ACK\r\nContent-Type: application/sdp\r\n\
         Content-Length: 5\r\n\r\nv=0\r\n"
    );
}

#[test]
fn record_route_is_for_dialogs_and_timestamp_for_100() {
    for (status, routed, stamped) in [
        (100, false, true),
        (183, true, false),
        (200, true, false),
        (404, false, false),
    ] {
        let text = respond(INVITE, &plain(status));
        assert_eq!(text.contains("Record-Route:"), routed, "{status}");
        assert_eq!(text.contains("Timestamp: 54.2"), stamped, "{status}");
    }
    let options = INVITE.replace("INVITE", "OPTIONS");
    assert!(!respond(&options, &plain(200)).contains("Record-Route"));
}

#[test]
fn a_to_tag_is_given_once() {
    let tagged = INVITE.replace("To: <sip:x@h>", "To: <sip:x@h>;tag=theirs");
    assert!(respond(&tagged, &plain(200)).contains("To: <sip:x@h>;tag=theirs\r\n"));
    let untagged = Response {
        to_tag: None,
        ..plain(100)
    };
    assert!(respond(INVITE, &untagged).contains("To: <sip:x@h>\r\n"));
}

#[test]
fn the_topmost_via_says_what_we_see() {
    let top = |via: &str| {
        let text = INVITE.replace(
            "10.0.0.1:5070;branch=z9hG4bKtop;received=9.9.9.9;x=\"a;rport;b\"",
            via,
        );
        let answer = respond(&text, &plain(200));
        let line = answer.lines().nth(1).unwrap();
        line.strip_prefix("Via: SIP/2.0/UDP ").unwrap().to_owned()
    };
    // Nothing to add (§18.2.1), a name instead of an address, rport asked (RFC 3581 §4), and filled in by
    // a liar.
    assert_eq!(top("192.0.2.9;branch=b"), "192.0.2.9;branch=b");
    assert_eq!(top("a.example;branch=b"), "a.example;branch=b;received=192.0.2.9");
    assert_eq!(
        top("192.0.2.9;rport;branch=b"),
        "192.0.2.9;branch=b;received=192.0.2.9;rport=33333"
    );
    assert_eq!(
        top("192.0.2.9;RPORT=1;Received=1.1.1.1;branch=b"),
        "192.0.2.9;branch=b;received=192.0.2.9;rport=33333"
    );
}

#[test]
fn a_request_that_can_t_be_read_is_answered_from_what_is_left() {
    let broken = INVITE
        .replace("CSeq: 7 INVITE\r\n", "")
        .replace("SIP/2.0\r\nVia", "SIP/2.0\r\nX: y\r\nVia");
    let head = Message::parse(broken.as_bytes()).unwrap_err().head.unwrap();
    let text = String::from_utf8(response(&head, source(), &plain(400))).unwrap();
    assert!(text.starts_with("SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP 10.0.0.1:5070"));
    assert!(text.contains("Call-ID: c@h\r\n") && !text.contains("CSeq"));
}

#[test]
fn the_way_back_is_the_source_port_if_asked_and_else_the_via_s() {
    let came = Path::udp(ListenerId(1), source());
    let back = |via: &str, came| {
        let text = INVITE.replace("10.0.0.1:5070;", via);
        reply_path(&Message::parse(text.as_bytes()).unwrap(), came)
    };
    let to = |port| Path {
        remote: SocketAddr::new(source().ip(), port),
        ..came
    };
    assert_eq!(back("10.0.0.1:5070;rport;", came), came);
    assert_eq!(back("10.0.0.1:5070;", came), to(5070));
    assert_eq!(back("10.0.0.1;maddr=6.6.6.6;", came), to(5060));
    let stream = Path {
        transport: Transport::Tls,
        flow: Some(FlowHint(4)),
        party: None,
        ..came
    };
    let expected = Path {
        remote: SocketAddr::new(source().ip(), 5061),
        ..stream
    };
    assert_eq!(back("10.0.0.1;", stream), expected);
    // §18.2.2: nobody listens at a connection's own port, whatever rport says.
    assert_eq!(back("10.0.0.1;rport;", stream), expected);
}

#[test]
fn over_ipv6_a_via_is_answered_without_brackets_around_received() {
    // RFC 5118 §4.5: the grammar has none there.
    let from: SocketAddr = "[2001:db8::9]:33333".parse().unwrap();
    let top = |via: &str| {
        let text = INVITE.replace("10.0.0.1:5070;", via);
        let request = Message::parse(text.as_bytes()).unwrap();
        let bytes = response(&request, from, &plain(200));
        let via = Message::parse(&bytes).unwrap().get(Name::Via).unwrap().to_vec();
        (
            String::from_utf8(via).unwrap(),
            reply_path(&request, Path::udp(ListenerId(0), from)).remote,
        )
    };
    let port = |port| SocketAddr::new(from.ip(), port);
    for (via, parts, back) in [
        ("[2001:db8::9]:5070;", "", port(5070)),
        (
            "[2001:DB8:0::9];rport;",
            ";received=2001:db8::9;rport=33333",
            port(33333),
        ),
        ("[2001:db8::1]:5070;", ";received=2001:db8::9", port(5070)),
        (
            "[2001:db8::1]:5070;received=[2001:db8::2];",
            ";received=2001:db8::9",
            port(5070),
        ),
    ] {
        let (answered, to) = top(via);
        let host = via.split(';').next().unwrap();
        let rest = "branch=z9hG4bKtop;x=\"a;rport;b\"";
        assert_eq!(answered, format!("SIP/2.0/UDP {host};{rest}{parts}"), "{via}");
        assert_eq!(to, back, "{via}");
    }
}

fn invite_of_ours() -> Vec<u8> {
    let routes: [Box<[u8]>; 2] = [(*b"<sip:192.0.2.7;lr>").into(), (*b"<sip:192.0.2.8;lr>").into()];
    request(&Request {
        method: Method::Invite,
        uri: b"sip:b@192.0.2.7",
        transport: Transport::Udp,
        sent_by: "[2001:db8::1]:5060".parse().unwrap(),
        branch: b"z9hG4bKours",
        from: b"<sip:x@192.0.2.1>;tag=l",
        to: b"<sip:b@192.0.2.7>",
        call_id: b"cid",
        cseq: 12,
        max_forwards: 69,
        routes: &routes,
        contact: Some(b"<sip:192.0.2.1>"),
        headers: &[("Supported", "timer")],
        body: None,
    })
}

#[test]
fn a_request_is_what_its_fields_say() {
    assert_eq!(
        String::from_utf8(invite_of_ours()).unwrap(),
        "INVITE sip:b@192.0.2.7 SIP/2.0\r\nVia: SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bKours;rport\r\n\
         Max-Forwards: 69\r\nRoute: <sip:192.0.2.7;lr>\r\nRoute: <sip:192.0.2.8;lr>\r\n\
         From: <sip:x@192.0.2.1>;tag=l\r\nTo: <sip:b@192.0.2.7>\r\nCall-ID: cid\r\nCSeq: 12 INVITE\r\n\
         Contact: <sip:192.0.2.1>\r\nSupported: timer\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn ack_and_cancel_take_from_the_invite_what_the_rfc_says_and_no_more() {
    let invite = invite_of_ours();
    let busy = "SIP/2.0 486 Busy Here\r\nVia: SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bKours\r\n\
        From: <sip:x@192.0.2.1>;tag=l\r\nTo: <sip:b@192.0.2.7>;tag=r\r\nCall-ID: cid\r\nCSeq: 12 INVITE\r\n\r\n";
    let busy = Message::parse(busy.as_bytes()).unwrap();
    let expected = |method: &str, to: &str| {
        format!(
            "{method} sip:b@192.0.2.7 SIP/2.0\r\nVia: SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bKours;rport\r\n\
             Max-Forwards: 70\r\nRoute: <sip:192.0.2.7;lr>\r\nRoute: <sip:192.0.2.8;lr>\r\n\
             From: <sip:x@192.0.2.1>;tag=l\r\nTo: <sip:b@192.0.2.7>{to}\r\nCall-ID: cid\r\nCSeq: 12 {method}\r\n\
             Content-Length: 0\r\n\r\n"
        )
    };
    let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap()).unwrap();
    assert_eq!(text(ack_for_failure(&invite, &busy)), expected("ACK", ";tag=r"));
    assert_eq!(text(cancel(&invite, &[])), expected("CANCEL", ""));
    let ack = ack_for_failure(&invite, &busy).unwrap();
    assert_eq!((cancel(&ack, &[]), ack_for_failure(&ack, &busy)), (None, None));
    let invite = Message::parse(&invite).unwrap();
    assert_eq!(ack_for_failure(&ack, &invite), None);
}

/// Text that wants to break out of its line.
fn hostile() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            Just("\r\n".to_owned()),
            Just("\r".to_owned()),
            Just("\n\n".to_owned()),
            Just("\r\n\r\nINVITE sip:e SIP/2.0\r\n".to_owned()),
            Just("\r\nP-Asserted-Identity: <sip:evil@h>".to_owned()),
            "[ -~]{0,6}",
            "\\PC{0,4}",
        ],
        0..6,
    )
    .prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_value_breaks_out_of_its_line(value in hostile(), name in hostile(), uri in hostile()) {
        let bytes = request(&Request {
            method: Method::Message,
            uri: format!("sip:x{uri}").as_bytes(),
            transport: Transport::Udp,
            sent_by: source(),
            branch: format!("z9{value}").as_bytes(),
            from: value.as_bytes(),
            to: value.as_bytes(),
            call_id: value.as_bytes(),
            cseq: 1,
            max_forwards: 70,
            routes: &[value.as_bytes().into()],
            contact: Some(value.as_bytes()),
            headers: &[("X-A", &value), (&name, "x")],
            body: Some(Body { content_type: &value, bytes: b"" }),
        });
        let text = String::from_utf8(bytes).unwrap();
        let names: Vec<&str> = text
            .strip_suffix("\r\n\r\n").unwrap()
            .split("\r\n").skip(1)
            .map(|line| line.split(": ").next().unwrap())
            .collect();
        let mut expected = vec![
            "Via", "Max-Forwards", "Route", "From", "To", "Call-ID", "CSeq", "Contact", "X-A",
        ];
        if header::is_token(name.as_bytes()) {
            expected.push(&name);
        }
        expected.extend(["Content-Type", "Content-Length"]);
        prop_assert_eq!(names, expected);
        prop_assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
        prop_assert_eq!(text.split("\r\n").next().unwrap().split(' ').count(), 3);
    }

    #[test]
    fn whatever_is_answered_the_answer_has_only_our_lines(
        hits in prop::collection::vec((0..INVITE.len(), prop::sample::select(b"\r\n \t\",;:<>=\0\xffa".to_vec())), 0..8),
    ) {
        let mut bytes = INVITE.as_bytes().to_vec();
        for (at, byte) in hits {
            bytes[at] = byte;
        }
        let parsed = Message::parse(&bytes);
        let head = match &parsed {
            Ok(message) => message.head(),
            Err(unreadable) => match &unreadable.head {
                Some(head) => head,
                None => return Ok(()),
            },
        };
        let text = response(head, source(), &plain(400));
        let text = text.strip_suffix(b"\r\n\r\n").unwrap();
        for line in String::from_utf8_lossy(text).split("\r\n").skip(1) {
            let name = line.split(": ").next().unwrap();
            prop_assert!(["Via", "From", "To", "Call-ID", "CSeq", "Content-Length"].contains(&name), "{line}");
            prop_assert!(!line.contains(['\r', '\n']));
        }
    }

    #[test]
    fn what_is_written_reads_back(
        user in "[a-z0-9+]{1,20}", tag in "[a-zA-Z]{1,30}", branch in "[a-zA-Z]{1,30}", number in 0_u32..1 << 31,
        hops: u8, call_id in "[!-~]{1,40}", display in "[ !#-\\[\\]-~]{0,20}", body: Vec<u8>, routes in 0_usize..4,
        status in 101_u16..700, value in "[!-~]([ -~]{0,30}[!-~])?",
    ) {
        let from = format!("\"{display}\" <sip:{user}@192.0.2.1>;tag={tag}");
        let to = format!("<sip:{user}@h>");
        let branch = format!("z9hG4bK{branch}");
        let routes: Vec<Box<[u8]>> =
            (0..routes).map(|n| format!("<sip:192.0.2.{n};lr>").into_bytes().into()).collect();
        let bytes = request(&Request {
            method: Method::Invite,
            uri: format!("sip:{user}@192.0.2.7").as_bytes(),
            transport: Transport::Tcp,
            sent_by: source(),
            branch: branch.as_bytes(),
            from: from.as_bytes(),
            to: to.as_bytes(),
            call_id: call_id.as_bytes(),
            cseq: number,
            max_forwards: hops,
            routes: &routes,
            contact: Some(b"<sip:192.0.2.1>"),
            headers: &[("X-Value", &value)],
            body: Some(Body { content_type: "application/sdp", bytes: &body }),
        });
        let read = Message::parse(&bytes).unwrap();
        prop_assert_eq!(read.method(), Method::Invite);
        prop_assert_eq!(read.via().branch, Some(branch.as_bytes()));
        prop_assert_eq!((read.via().rport, read.via().port), (Rport::Asked, Some(33333)));
        prop_assert_eq!(read.from().tag(), Some(tag.as_bytes()));
        prop_assert_eq!(read.from().display, Some(display.as_bytes()));
        let callee = format!("sip:{user}@h");
        prop_assert_eq!(read.to().uri, callee.as_bytes());
        prop_assert_eq!(read.call_id(), call_id.as_bytes());
        prop_assert_eq!((read.cseq().number, read.max_forwards()), (number, Some(hops)));
        prop_assert_eq!(read.values(Name::Route).count(), routes.len());
        prop_assert_eq!(read.other("X-Value"), Some(value.as_bytes()));
        prop_assert!(read.content_type().unwrap().is("application/sdp"));
        prop_assert_eq!(read.body(), &body);

        let answer = Response { body: Some(Body { content_type: "text/plain", bytes: &body }), ..plain(status) };
        let bytes = response(&read, source(), &answer);
        let back = Message::parse(&bytes).unwrap();
        prop_assert_eq!((back.status(), back.method()), (Some(status), Method::Invite));
        prop_assert_eq!(back.via().branch, Some(branch.as_bytes()));
        prop_assert_eq!(back.via().rport, Rport::Port(33333));
        prop_assert_eq!(back.to().tag(), Some(&b"ours"[..]));
        prop_assert_eq!((back.from(), back.call_id(), back.body()), (read.from(), call_id.as_bytes(), &body[..]));
    }
}
