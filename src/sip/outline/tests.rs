//! Tests of [`outline`](super).

use super::*;

const PLAIN: &str = "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa\r\nMax-Forwards: 70\r\n\
     From: <sip:a@h>;tag=f\r\nTo: <sip:b@h>\r\nCall-ID: z@h\r\nCSeq: 1 INVITE\r\nContact: <sip:a@h>\r\n\
     Content-Length: 0\r\n\r\n";

fn has_outline(text: &str) -> bool {
    Outline::read(text.as_bytes()).is_some()
}

/// Whether it has an outline with this in the place of that.
fn has_with(line: &str, other: &str) -> bool {
    assert_eq!(PLAIN.matches(line).count(), 1, "{line}");
    has_outline(&PLAIN.replace(line, other))
}

#[test]
fn an_invite_as_nearly_everybody_writes_it_is_read_with_its_lines() {
    let outline = Outline::read(PLAIN.as_bytes()).expect("an outline");
    assert_eq!(outline.request_uri(), b"sip:b@h");
    assert_eq!(outline.topmost(), b"SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa");
    assert_eq!(outline.via().branch, Some(&b"z9hG4bKa"[..]));
    assert_eq!(outline.call_id(), b"z@h");
    assert_eq!(outline.to().value, b"<sip:b@h>");
    assert_eq!(outline.from().written, Some(&b"From: <sip:a@h>;tag=f\r\n"[..]));
    assert_eq!(format!("{outline:?}"), "Outline(…)");
}

#[test]
fn compact_names_in_any_case_and_more_blanks_are_read_too() {
    for (line, other) in [
        ("Via:", "v:"),
        ("Via: ", "VIA:"),
        ("From: ", "F:   "),
        ("To: <sip:b@h>", "t:\"b > c\" <sip:b@h> ;x=y "),
        ("Call-ID", "I"),
        ("Call-ID", "call-id"),
        ("CSeq: 1", "CSEQ:007"),
    ] {
        assert!(has_with(line, other), "{other}");
    }
    let compact = PLAIN.replace("Via", "v").replace("From", "f").replace("To", "t");
    let compact = compact.replace("Call-ID", "i").replace("CSeq", "CSEQ");
    let compact = Outline::read(compact.as_bytes()).expect("an outline");
    let fields = [
        compact.from(),
        compact.to(),
        compact.call_id_field(),
        compact.cseq(),
    ];
    let mut fields = fields.iter().chain(compact.vias());
    assert!(
        fields.all(|field| field.written.is_none()),
        "no answer says it so"
    );
    let twice = "Via: SIP/2.0/UDP x;branch=z9hG4bKb\r\nMax";
    assert!(has_with("Max", twice));
}

#[test]
fn whatever_is_unusual_in_what_a_refusal_repeats_is_read_whole() {
    for (line, other) in [
        ("INVITE sip", "INVITE  sip"),
        ("INVITE sip:b@h SIP", "OPTIONS sip:b@h SIP"),
        ("sip:b@h SIP/2.0\r\nVia", "sip:b@h SIP/3.0\r\nVia"),
        ("INVITE sip:", "\r\nINVITE sip:"),
        ("Via: ", "Via : "),
        ("UDP 192.0.2.7;", "UDP;"),
        ("branch=z9hG4bKa", "branch=a"),
        (";branch=z9hG4bKa", ""),
        ("z9hG4bKa\r\n", "z9hG4bKa, SIP/2.0/UDP h\r\n"),
        ("z9hG4bKa\r\n", "z9hG4bKa\r\nVia: \r\n"),
        ("Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKa\r\n", ""),
        ("From: <sip:a@h>;tag=f\r\n", ""),
        ("From: <sip:a@h>;tag=f\r\n", "From: \r\n"),
        ("tag=f\r\n", "tag=f\r\nf: <sip:c@h>\r\n"),
        ("To: <sip:b@h>", "To: <sip:b@h>;tag=t"),
        ("To: <sip:b@h>", "To: sip:b@h;tag=x>"),
        ("To: <sip:b@h>", "To: <sip:b@h"),
        ("To: <sip:b@h>", "To: <sip:b@h>\r\nt: <sip:b@h>"),
        ("To: <sip:b@h>", "Too: <sip:b@h>"),
        ("Call-ID: z@h", "Call-ID: z h"),
        ("Call-ID: z@h", "Call-ID:"),
        ("Call-ID: z@h", "Call-ID: z@h\r\ni: y"),
        ("CSeq: 1 INVITE", "CSeq: 1 ACK"),
        ("CSeq: 1 INVITE", "CSeq: INVITE"),
        ("CSeq: 1 INVITE", "CSeq: 2147483648 INVITE"),
        ("Content-Length: 0\r\n\r\n", "Content-Length: 0\r\n"),
    ] {
        assert!(!has_with(line, other), "{other}");
    }
}

#[test]
fn a_fold_or_a_control_character_in_any_line_is_read_whole() {
    for odd in ["\r\n b", "\r\n\tb", "\rb", "\nb", "\0b", "\tb", "\r\r\n", "\n"] {
        for line in ["SIP/2.0\r\nV", "70\r\n", "tag=f\r\n", "z@h\r\n", "<sip:a@h>\r\n"] {
            let end = line.replacen("\r\n", &format!("{odd}\r\n"), 1);
            assert!(!has_with(line, &end), "{odd:?} in {line:?}");
        }
    }
}

#[test]
fn what_no_refusal_repeats_is_not_looked_at() {
    assert!(has_with("Contact: <sip:a@h>", "Contact: <"));
    assert!(has_with("Content-Length: 0", "Content-Length: 99999"));
    assert!(has_with("\r\n\r\n", "\r\n\r\n anything\n\0"));
}

#[test]
fn there_are_no_more_lines_and_vias_than_elsewhere() {
    let with = |line: &str, count| has_with("Max-Forwards: 70\r\n", &line.repeat(count));
    // Seven others stand there.
    assert!(with("X: y\r\n", SIP_HEADERS_MAX - 7));
    assert!(!with("X: y\r\n", SIP_HEADERS_MAX - 6));
    assert!(with("Via: x\r\n", VIAS_MAX - 1));
    assert!(!with("Via: x\r\n", VIAS_MAX));
    let long = |len: usize| format!("{PLAIN}{}", "x".repeat(len - PLAIN.len()));
    assert!(has_outline(&long(SIP_MESSAGE_BYTES_MAX)));
    assert!(!has_outline(&long(SIP_MESSAGE_BYTES_MAX + 1)));
}
