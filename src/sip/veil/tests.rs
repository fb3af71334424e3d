use super::*;

const KEY: [u8; 32] = [7; 32];

fn masked(text: &str) -> String {
    shown(text, Numbers::Masked)
}

fn shown(text: &str, numbers: Numbers) -> String {
    let text = text.replace('\n', "\r\n");
    let body = text.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len());
    let text = text.replace("LENGTH", &body.to_string());
    let shown = Veil::new(numbers, KEY)
        .message(text.as_bytes())
        .expect("readable");
    String::from_utf8(shown).expect("text").replace("\r\n", "\n")
}

/// A header line, as it is shown within an INVITE; nothing if it isn't.
fn line(text: &str) -> String {
    let whole = masked(&format!("OPTIONS sip:x@h SIP/2.0\n{text}\n\n"));
    let line = whole
        .strip_prefix("OPTIONS sip:x@h SIP/2.0\n")
        .expect("its start");
    line.trim_end().to_owned()
}

const INVITE: &str = "INVITE sip:+8613900000002@192.0.2.1:5060;user=phone SIP/2.0
Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK-1;rport
From: \"138 0000 0001\" <sip:%31%33%38-0000.0001@192.0.2.7>;tag=a1
t: <tel:+86-139-0000-0002;phone-context=+86>
Call-ID: abc-1@192.0.2.7
CSeq: 2087654321 INVITE
Contact: <sip:10086@192.0.2.7:5060;transport=udp>
Authorization: Digest username=\"13800000001\", response=\"00\"
Identity: eyJhbGciOiJFUzI1NiJ9.e30.x
Content-Type: application/sdp
Content-Length: LENGTH

v=0
o=13800000001 3848276298 3848276299 IN IP4 192.0.2.7
s=call of 13800000001
e=13800000001@example.com
p=+86 138 0000 0001
c=IN IP4 192.0.2.7
t=0 0
m=audio 40000 RTP/AVP 8 0 18 9 101
a=rtpmap:9 G722/8000
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz
a=ptime:20
";

#[test]
fn more_parts_than_an_address_has_are_a_number_with_dots() {
    assert_eq!(line("Route: <sip:127.1.0.1;lr>"), "Route: <sip:127.1.0.1;lr>");
    assert!(!line("Route: <sip:127.0.0.27.1.0.1>").contains("27.1.0.1"));
    assert!(!line("Route: <sip:138.0000.0001.1>").contains("0000"));
}

#[test]
fn a_number_in_a_header_that_should_count_is_masked_however_it_is_written() {
    for value in ["392 <sip:138000 00001@h>", "1 138000 00001", "tel:138 0000 0001"] {
        for name in ["CSeq", "RAck", "Expires", "Max-Forwards"] {
            let shown = line(&format!("{name}: {value}"));
            assert!(!shown.contains("138 0") && !shown.contains("1380"), "{shown}");
        }
    }
    assert_eq!(line("RAck: 776656 1 INVITE"), "RAck: 776656 1 INVITE");
    assert_eq!(line("Min-SE: 90;x=y"), "Min-SE: 90;x=y");
}

#[test]
fn a_header_that_counts_one_thing_shows_no_number_in_two_parts() {
    for value in [
        "138000 00001",
        "138000 00001 INVITE",
        "INVITE 138000 00001",
        "138.000.00001",
    ] {
        for name in ["CSeq", "RSeq", "Expires", "Max-Forwards", "Min-SE"] {
            let shown = line(&format!("{name}: {value}"));
            assert!(shown.contains("138****0001"), "{shown}");
        }
    }
    for text in [
        "RAck: 138000 00001",
        "RAck: 1 38000 00001 INVITE",
        "Timestamp: 1 38000 00001",
    ] {
        assert!(line(text).contains('*'), "{text}");
    }
    for text in ["RAck: 776656 22 INVITE", "Timestamp: 540.25 1.005"] {
        assert_eq!(line(text), text);
    }
}

#[test]
fn every_number_is_masked_and_what_is_secret_is_left_out() {
    assert_eq!(
        masked(INVITE),
        "INVITE sip:+139****0002@192.0.2.1:5060;user=phone SIP/2.0
Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK-1;rport
From: \"138****0001\" <sip:138****0001@192.0.2.7>;tag=a1
t: <tel:+139****0002;phone-context=+86>
Call-ID: abc-1@192.0.2.7
CSeq: 4321 INVITE
Contact: <sip:*****@192.0.2.7:5060;transport=udp>
Content-Type: application/sdp
Content-Length: 167

v=0
o=138****0001 6298 6299 IN IP4 192.0.2.7
s=call of 138****0001
c=IN IP4 192.0.2.7
t=0 0
m=audio 40000 RTP/AVP 8 0 18 9 101
a=rtpmap:9 G722/8000
a=ptime:20
"
    );
}

#[test]
fn clear_numbers_stay_and_what_is_secret_is_left_out_all_the_same() {
    let clear = shown(INVITE, Numbers::Clear);
    for there in [
        "+8613900000002",
        "%31%33%38-0000.0001",
        "e=13800000001",
        "Identity: eyJ",
        "CSeq: 2087654321",
    ] {
        assert!(clear.contains(there), "{there}\n{clear}");
    }
    for gone in ["Authorization", "a=crypto", "inline"] {
        assert!(!clear.contains(gone), "{gone}\n{clear}");
    }
}

#[test]
fn a_number_is_masked_however_it_is_written() {
    for (written, wanted) in [
        ("X-A: 13800000001", "X-A: 138****0001"),
        ("X-138-0000-0001: a", "X-138****0001: a"),
        ("X-A: 138/0000_0001", "X-A: 138****0001"),
        ("X-A: \\1\\3\\8\\0\\0\\0\\0\\0\\0\\0\\1", "X-A: \\138****0001"),
        ("X-A: １３８０００００００１", "X-A: 138****0001"),
        ("X-A: ١٣٨٠٠٠٠٠٠٠١", "X-A: 138****0001"),
        ("X-A: 138\n 0000 0001", "X-A: 138****0001"),
        (
            "From: 10086 <sip:10086@h>;tag=10086",
            "From: ***** <sip:*****@h>;tag=10086",
        ),
        ("From: sip:7@h", "From: sip:*@h"),
        ("From: <sip:alice@h>", "From: <sip:alice@h>"),
        ("From: <sip:desk100@h>", "From: <sip:desk***@h>"),
        ("From: <sip:alice:s3cret@h>", "From: <sip:alice@h>"),
        ("To: <sip:139.123.245.67@h>", "To: <sip:139****4567@h>"),
        ("To: <sip:+86-139.123.245.67@h>", "To: <sip:+139****4567@h>"),
        ("To: <tel:139.123.245.67>", "To: <tel:139****4567>"),
        ("To: <sip:13800000001>", "To: <sip:138****0001>"),
        ("To: <sip:10.0.0.1;lr>", "To: <sip:10.0.0.1;lr>"),
        ("To: TEL:95013;ext=123", "To: TEL:*****;ext=***"),
        (
            "P-Asserted-Identity: \"a, 1234\" <sip:1234@h>, <tel:1234>",
            "P-Asserted-Identity: \"a, ****\" <sip:****@h>, <tel:****>",
        ),
        ("Warning: 399 10.0.0.1 \"x\"", "Warning: 399 10.0.0.1 \"x\""),
        ("RAck: 776656 1 INVITE", "RAck: 776656 1 INVITE"),
        ("CSeq: 1000000 INVITE", "CSeq: 0 INVITE"),
        (
            "Diversion: <sip:%2b8613800000001@h>",
            "Diversion: <sip:%2b138****0001@h>",
        ),
        ("User-to-User: 33383133;encoding=hex", ""),
        ("Proxy-Authenticate: Digest realm=\"r\"", ""),
        ("authentication-info: qop=auth", ""),
    ] {
        assert_eq!(line(written), wanted, "{written}");
    }
}

#[test]
fn a_call_id_with_a_number_in_it_gets_another_name_that_stays_the_same() {
    let veil = Veil::new(Numbers::Masked, KEY);
    let other = veil.call_id(b"13800000001-7@10.0.0.1");
    assert!(other.iter().all(u8::is_ascii_lowercase) && other.len() == 24);
    assert_eq!(other, veil.call_id(b"13800000001-7@10.0.0.1"));
    assert_ne!(other, veil.call_id(b"13800000001-8@10.0.0.1"));
    assert_ne!(
        other,
        Veil::new(Numbers::Masked, [8; 32]).call_id(b"13800000001-7@10.0.0.1")
    );
    assert_eq!(
        &*veil.call_id(b"a84b4c76e66710@10.0.0.1"),
        b"a84b4c76e66710@10.0.0.1"
    );
    assert_eq!(
        &*Veil::new(Numbers::Clear, KEY).call_id(b"13800000001"),
        b"13800000001"
    );
    assert_eq!(
        line("i: 13800000001-7@10.0.0.1").as_bytes(),
        [b"i: ", &*other].concat()
    );
}

#[test]
fn of_bodies_only_descriptions_are_shown_and_never_a_text_messages() {
    let body = |start: &str, headers: &str, body: &str| {
        let whole = masked(&format!("{start}\n{headers}l: LENGTH\n\n{body}"));
        let (head, body) = whole.split_once("\n\n").expect("a head");
        assert!(head.ends_with(&format!("l: {}", body.len() + body.matches('\n').count())));
        body.to_owned()
    };
    let invite = "INVITE sip:x@h SIP/2.0";
    for (start, headers, text, wanted) in [
        (invite, "c: application/sdp\n", "v=0\n", "v=0\n"),
        (
            "SIP/2.0 200 OK",
            "CSeq: 1 INVITE\nc: Application/SDP;x=y\n",
            "v=0\n",
            "v=0\n",
        ),
        (invite, "c: text/plain\n", "v=0\n", ""),
        (invite, "c: multipart/mixed;boundary=b\n", "--b\n\nv=0\n--b--", ""),
        (invite, "c: application/sdp\ne: gzip\n", "v=0\n", ""),
        (invite, "c: application/sdp\nc: application/sdp\n", "v=0\n", ""),
        (invite, "", "v=0\n", ""),
        ("MESSAGE sip:x@h SIP/2.0", "c: application/sdp\n", "v=0\n", ""),
        (
            "SIP/2.0 200 OK",
            "CSeq: 1 MESSAGE\nc: application/sdp\n",
            "v=0\n",
            "",
        ),
        ("SIP/2.0 200 OK", "c: application/sdp\n", "v=0\n", ""),
        (
            "INFO sip:x@h SIP/2.0",
            "c: application/dtmf-relay\n",
            "Signal=5\n",
            "",
        ),
    ] {
        assert_eq!(body(start, headers, text), wanted, "{start} {headers}");
    }
}

#[test]
fn what_cannot_be_read_is_shown_to_nobody() {
    let veil = Veil::new(Numbers::Clear, KEY);
    for text in [
        "",
        "\r\n\r\n",
        "13800000001",
        "INVITE sip:x@h SIP/3.0\r\n\r\n",
        "INVITE sip:x@h SIP/2.0\r\nFrom: x",
        "INVITE sip:x@h SIP/2.0\r\nno colon\r\n\r\n",
        "INVITE sip:x@h SIP/2.0\r\nFrom: a\nb\r\n\r\n",
    ] {
        assert_eq!(veil.message(text.as_bytes()), None, "{text}");
    }
    let many = format!(
        "OPTIONS sip:x@h SIP/2.0\r\n{}\r\n",
        "A: b\r\n".repeat(SIP_HEADERS_MAX + 1)
    );
    assert_eq!(veil.message(many.as_bytes()), None);
}

proptest::proptest! {
    #[test]
    fn no_text_trips_it_and_no_long_run_of_digits_is_left(text in "(sip:|tel:|[0-9]{1,4}|[-. ()/_<>\",;@:+a]|%2B|%3[0-9]){0,40}") {
        let mut pen = Pen::new(Numbers::Masked, 0);
        pen.parties(text.as_bytes());
        let out = String::from_utf8(pen.done()).expect("text");
        let out = (0..10).fold(out, |out, n| out.replace(&format!("%3{n}"), &n.to_string()));
        let plain = out.split(|c: char| !c.is_ascii_digit()).any(|run| run.len() >= LONG);
        assert!(!plain, "{text:?} → {out:?}");
    }
}
