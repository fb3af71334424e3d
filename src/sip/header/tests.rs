use super::*;

#[test]
fn lists_are_split_outside_quotes_brackets_and_comments() {
    let values = |list: &'static str| -> Vec<_> {
        split(list.as_bytes())
            .map(|value| std::str::from_utf8(value).expect("text"))
            .collect()
    };
    assert_eq!(
        values("\"a, \\\" b\" <sip:x,y@h> ;p=\"1,2\",\r\n <sip:z@h>, sip:w@h"),
        ["\"a, \\\" b\" <sip:x,y@h> ;p=\"1,2\"", "<sip:z@h>", "sip:w@h"]
    );
    assert_eq!(values("a (b, (c, \\) d), e), f"), ["a (b, (c, \\) d), e)", "f"]);
    assert_eq!(values("<sip:(a@h>, b"), ["<sip:(a@h>", "b"]);
    assert_eq!(values(" ,, a,,\t,b , "), ["a", "b"]);
    assert_eq!(values(""), [""; 0]);
    assert_eq!(values("\"open, a"), ["\"open, a"]);
}

#[test]
fn parameters_are_found_whatever_surrounds_them() {
    let text = b"a = 1 ; B;c=\"x;y=\\\"\" ;;d=\r\n 4;e=";
    assert_eq!(param(text, "A"), Some(&b"1"[..]));
    assert_eq!(param(text, "b"), Some(&b""[..]));
    assert_eq!(param(text, "c"), Some(&b"x;y=\\\""[..]));
    assert_eq!(param(text, "d"), Some(&b"4"[..]));
    assert_eq!(param(text, "e"), Some(&b""[..]));
    assert_eq!(param(text, "y"), None);
    assert_eq!(params(b" ").count(), 0);
}

#[test]
fn a_name_addr_comes_in_three_forms() {
    let read = |text: &'static str| NameAddr::parse(text.as_bytes()).expect(text);
    let quoted = read(" \"A \\\"<B>\\\\\"<sip:a@h;x=1?y=2> ; tag=t;q=0.7");
    assert_eq!(quoted.display, Some(&b"A \\\"<B>\\\\"[..]));
    assert_eq!(quoted.uri, b"sip:a@h;x=1?y=2");
    assert_eq!(
        (quoted.tag(), quoted.param("Q")),
        (Some(&b"t"[..]), Some(&b"0.7"[..]))
    );
    let words = read("Bell, Alexander  <sip:a@h>");
    assert_eq!(words.display, Some(&b"Bell, Alexander"[..]));
    assert_eq!(words.tag(), None);
    let bare = read("sip:a@h;tag=\"<x>\";lr");
    assert_eq!((bare.display, bare.uri), (None, &b"sip:a@h"[..]));
    assert_eq!(
        (bare.tag(), bare.param("lr")),
        (Some(&b"<x>"[..]), Some(&b""[..]))
    );
    assert_eq!(read("< sip:a@h >").uri, b"sip:a@h");
    assert_eq!(
        read("\"\" <tel:+86138;phone-context=x>").uri,
        b"tel:+86138;phone-context=x"
    );
    assert_eq!(read("*").uri, b"*");
    assert_eq!(read("<sip:a@h>;tag=").tag(), None);
    assert_eq!(read("<sip:a@h>;tag=one;tag=two").tag(), Some(&b"one"[..]));
    for bad in [
        "",
        "<>",
        "< >",
        "\"",
        "\"a",
        "\"a\" sip:x@h",
        "\"a\\\" <sip:x@h>",
        "<sip:a@h",
        "<sip:a b@h>",
        "<sip:a@h> x",
        "<<sip:a@h>>",
        "a sip:b@h",
        "sip:a@h?x=y",
        ";tag=x",
        "a \"b\" <sip:x@h>",
    ] {
        assert_eq!(NameAddr::parse(bad.as_bytes()), None, "{bad:?}");
    }
}

#[test]
fn a_via_is_read_with_its_address_and_parameters() {
    let via =
        Via::parse(b"SIP/2.0/sctp h.example.com ; received=[::1];rport ;BRANCH=z9hG4bKx").expect("a Via");
    assert_eq!(
        (via.transport, via.host, via.port),
        (ViaTransport::Other, &b"h.example.com"[..], None)
    );
    assert_eq!((via.branch, via.rport), (Some(&b"z9hG4bKx"[..]), Rport::Asked));
    assert_eq!(via.param("received"), Some(&b"[::1]"[..]));
    let twice = Via::parse(b"SIP/2.0/UDP h;branch=one;branch=two").expect("a Via");
    assert_eq!(twice.branch, Some(&b"one"[..]));
    let rport = |text: &'static str| Via::parse(text.as_bytes()).map(|via| via.rport);
    assert_eq!(rport("SIP/2.0/UDP h"), Some(Rport::Absent));
    assert_eq!(rport("SIP/2.0/UDP h;rport="), Some(Rport::Asked));
    assert_eq!(rport("SIP/2.0/UDP h;rport=70000"), Some(Rport::Asked));
    assert_eq!(rport("SIP/2.0/UDP h;rport=5060;rport=9"), Some(Rport::Port(5060)));
    for bad in [
        "",
        "SIP",
        "SIP/2.0",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/2.0/UDP ;branch=x",
        "SIP/3.0/UDP h",
        "HTTP/2.0/UDP h",
        "SIP/2.0/U(P h",
        "SIP/2.0/UDP h:",
        "SIP/2.0/UDP h:0",
        "SIP/2.0/UDP h:99999",
        "SIP/2.0/UDP a b",
        "SIP/2.0/UDP ::1",
        "SIP/2.0/UDP [::1",
        "SIP/2.0/UDP h;",
        "SIP/2.0/UDP h;;branch=x",
        "SIP/2.0/UDP h;=x",
    ] {
        assert_eq!(Via::parse(bad.as_bytes()), None, "{bad:?}");
    }
}

#[test]
fn a_cseq_is_less_than_2_to_the_31() {
    let cseq = |text: &'static str| CSeq::parse(text.as_bytes()).map(|(cseq, _)| cseq.number);
    assert_eq!(cseq("2147483647 BYE"), Some(2_147_483_647));
    assert_eq!(cseq("0 \r\n BYE"), Some(0));
    assert_eq!(cseq("00000000000000007\tBYE"), Some(7));
    for bad in [
        "2147483648 BYE",
        "-1 BYE",
        "1",
        "1 ",
        "BYE 1",
        "1 B(E",
        "1 BYE x",
        "99999999999999999999 BYE",
    ] {
        assert_eq!(cseq(bad), None, "{bad:?}");
    }
    let (cseq, token) = CSeq::parse(b"1 NEWMETHOD").expect("a CSeq");
    assert_eq!((cseq.method, token), (Method::Unknown, &b"NEWMETHOD"[..]));
}

#[test]
fn a_media_type_is_compared_in_any_case() {
    let kind = MediaType::parse(b"Multipart / MIXED ; boundary=\"a;b\"").expect("a type");
    assert!(kind.is("multipart/mixed") && !kind.is("multipart") && !kind.is("multipart/related"));
    assert_eq!(kind.param("boundary"), Some(&b"a;b"[..]));
    for bad in ["", "text", "text/", "/plain", "text/pl ain", "text/plain/x"] {
        assert_eq!(MediaType::parse(bad.as_bytes()), None, "{bad:?}");
    }
}

#[test]
fn an_acknowledgement_names_a_response_and_its_request() {
    let read = |value: &[u8]| RAck::parse(value).map(|it| (it.rseq, it.cseq.number, it.cseq.method));
    assert_eq!(read(b"776656 1 INVITE"), Some((776_656, 1, Method::Invite)));
    assert_eq!(read(b" 1 \t 2\r\n PRACK"), Some((1, 2, Method::Prack)));
    for none in [
        &b""[..],
        b"1",
        b"1 2",
        b"x 2 INVITE",
        b"1 x INVITE",
        b"4294967296 1 INVITE",
    ] {
        assert_eq!(read(none), None);
    }
}
