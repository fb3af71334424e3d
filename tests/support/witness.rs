//! Looks for what a phone must never see, in its own way: not the server's guard.

use umbra::sip::veil::{Numbers, Veil};

use super::text::Msg;

/// Digits as they stand, with what people put between them folded away and escapes undone.
fn folded_digits(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let c = bytes[at];
        let hex = |i: usize| bytes.get(i).and_then(|c| char::from(*c).to_digit(16));
        if c == b'%'
            && let (Some(high), Some(low)) = (hex(at + 1), hex(at + 2))
        {
            out.push((high * 16 + low) as u8);
            at += 3;
            continue;
        }
        if !matches!(c, b'-' | b'.' | b' ' | b'(' | b')' | b'/' | b'_') {
            out.push(c);
        }
        at += 1;
    }
    out
}

/// The numbers that stand as users of URIs, in the form in which they are dialled nationally.
pub fn numbers_in(message: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(message).to_lowercase();
    let schemes = ["sip:", "sips:", "tel:"];
    let users = schemes.iter().flat_map(|scheme| text.split(scheme).skip(1));
    users
        .filter_map(|rest| {
            let user = rest.split(['@', ';', '>', '\r', ' ']).next()?;
            let digits: String = user.chars().filter(char::is_ascii_digit).collect();
            let is_number =
                digits.len() >= 10 && user.chars().all(|c| c.is_ascii_digit() || "+-.() ".contains(c));
            let national = digits[digits.len().saturating_sub(11)..].trim_start_matches('0');
            (is_number && national.len() >= 7).then(|| national.to_owned())
        })
        .collect()
}

/// What is shown of a message to a capture server, if a number that stands in it can be read there.
pub fn unveiled(message: &[u8]) -> Option<String> {
    let shown = Veil::new(Numbers::Masked, [7; 32]).message(message)?;
    let holds = |number: &String| holds_number(&shown, number);
    let found = numbers_in(message).iter().any(holds);
    found.then(|| String::from_utf8_lossy(&shown).into_owned())
}

/// Whether a number's digits stand in `bytes` in any writing.
pub fn holds_number(bytes: &[u8], number: &str) -> bool {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let needle = digits.trim_start_matches('0').as_bytes();
    !needle.is_empty() && folded_digits(bytes).windows(needle.len()).any(|w| w == needle)
}

/// Whether `word` stands in `bytes`, in any case; as a whole word if it is an address.
pub fn holds_word(bytes: &[u8], word: &str) -> bool {
    let (hay, needle) = (bytes.to_ascii_lowercase(), word.to_ascii_lowercase().into_bytes());
    let address = word.parse::<std::net::IpAddr>().is_ok();
    if needle.is_empty() || hay.len() < needle.len() {
        return false;
    }
    hay.windows(needle.len()).enumerate().any(|(at, w)| {
        let edge = |c: Option<&u8>| !c.is_some_and(u8::is_ascii_digit);
        w == needle
            && (!address || (edge(at.checked_sub(1).and_then(|i| hay.get(i))) && edge(hay.get(at + w.len()))))
    })
}

/// The part of a message that isn't merely an id or the way it came: what two answers with one face share.
pub fn face(msg: &Msg) -> String {
    let ids = ["Via", "From", "To", "Call-ID", "CSeq"];
    let mut face = msg.start.clone();
    for (name, value) in &msg.headers {
        face += "\n";
        face += name;
        if !ids.iter().any(|id| id.eq_ignore_ascii_case(name)) {
            face += ": ";
            face += value;
        }
    }
    // Of a description its own id and its port.
    let body = String::from_utf8_lossy(&msg.body);
    let lines = body.lines().map(|line| match line.split_once(' ') {
        Some(("m=audio", rest)) => rest.split_once(' ').map_or(rest, |(_, codecs)| codecs),
        Some(("o=-", _)) => "o=",
        Some(_) | None => line,
    });
    face + "\n\n" + &lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_witness_finds_a_number_in_any_writing() {
    for text in ["+86 138-0000-0001", "%31%33%380000.0001", "(138)00000001"] {
        assert!(holds_number(text.as_bytes(), "13800000001"), "{text}");
    }
    assert!(!holds_number(b"17000000001", "13800000001"));
    assert!(holds_word(b"c=IN IP4 127.1.1.1\r\n", "127.1.1.1"));
    assert!(!holds_word(b"c=IN IP4 127.1.1.12\r\n", "127.1.1.1"));
}
