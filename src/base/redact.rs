//! Masking of phone numbers in anything that people may read: logs, traces, errors, panics.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv4Addr;

/// A run of this many digits or more may be somebody's number.
const SUSPECT_DIGITS: usize = 7;

/// Writes a number's digits as `138****0001`: of the last eleven the first three and the last four. At least
/// three stars stand in it, so a shorter number shows less of its beginning; one of fewer than seven digits is
/// all stars.
pub struct Masked<'a>(pub &'a str);

impl fmt::Display for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0;
        if digits.len() < SUSPECT_DIGITS || !digits.is_ascii() {
            return f.write_str(&"*".repeat(digits.len().min(18)));
        }
        let tail = &digits[digits.len().saturating_sub(11)..];
        let head = tail.len().saturating_sub(8);
        write!(
            f,
            "{}{}{}",
            &tail[..head],
            "*".repeat(tail.len() - head - 4),
            &tail[tail.len() - 4..]
        )
    }
}

/// The text with every run of seven digits or more masked. Separators inside a number (`-`, `.`, space,
/// parentheses) don't hide it. What is certainly no number stays readable: an id of ours, a time as RFC 3339
/// writes it, an IPv4 address with or without a port. Borrowed when there is nothing to mask.
pub fn scrub(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let (mut copied, mut at) = (0, 0);
    while at < bytes.len() {
        // Whether a token begins here: only there can something harmless begin.
        let begins = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
        if begins && let Some(len) = harmless(&bytes[at..]) {
            at += len;
            continue;
        }
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let (start, mut end, mut digits) = (at, at, String::new());
        while at < bytes.len()
            && (bytes[at].is_ascii_digit() || (b"-. ()".contains(&bytes[at]) && at - end < 2))
        {
            // What follows a separator may be harmless by itself: `2 10.0.0.1:5060`.
            let after_separator = at > end;
            if after_separator && bytes[at].is_ascii_digit() && harmless(&bytes[at..]).is_some() {
                break;
            }
            if bytes[at].is_ascii_digit() {
                digits.push(char::from(bytes[at]));
                end = at + 1;
            }
            at += 1;
        }
        at = end;
        if digits.len() >= SUSPECT_DIGITS {
            out.push_str(&text[copied..start]);
            out.push_str(&Masked(&digits).to_string());
            copied = end;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// The length of the id, time or address that the text begins with.
fn harmless(text: &[u8]) -> Option<usize> {
    let len = id(text).or_else(|| time(text)).or_else(|| quad(text))?;
    // `10.0.0.1234` and a longer token are something else.
    text.get(len)
        .is_none_or(|next| !next.is_ascii_alphanumeric())
        .then_some(len)
}

/// 26 characters of Crockford's alphabet, at least one of them a letter: [`Id`](super::id::Id).
fn id(text: &[u8]) -> Option<usize> {
    let id = text.get(..26)?;
    let crockford = |c: &u8| c.is_ascii_digit() || (c.is_ascii_uppercase() && !b"ILOU".contains(c));
    (id.iter().all(crockford) && id.iter().any(u8::is_ascii_uppercase)).then_some(26)
}

/// `2026-11-21T10:00:00`, with a fraction and a zone if it has them; `20261121T100000Z` in names of files.
fn time(text: &[u8]) -> Option<usize> {
    let fits = |pattern: &[u8], from: usize| {
        text.get(from..from + pattern.len()).is_some_and(|part| {
            part.iter().zip(pattern).all(|(c, p)| match p {
                b'0' => c.is_ascii_digit(),
                b'T' => *c == b'T' || *c == b' ',
                other => c == other,
            })
        })
    };
    let basic = b"00000000T000000Z";
    if fits(basic, 0) && text[8] == b'T' {
        return Some(basic.len());
    }
    if !fits(b"0000-00-00T00:00:00", 0) {
        return None;
    }
    let mut end = 19;
    if text.get(end) == Some(&b'.') {
        let fraction = text[end + 1..].iter().take_while(|c| c.is_ascii_digit()).count();
        if fraction > 9 {
            return None;
        }
        end += 1 + fraction;
    }
    match text.get(end) {
        Some(b'Z') => end += 1,
        Some(b'+' | b'-') if fits(b"00:00", end + 1) => end += 6,
        Some(_) | None => {}
    }
    Some(end)
}

/// The length of the IPv4 address that the text begins with, with its port or prefix; `None` if it is something else, or
/// a part of it.
pub fn ipv4(text: &[u8]) -> Option<usize> {
    let len = quad(text)?;
    text.get(len)
        .is_none_or(|next| !next.is_ascii_alphanumeric())
        .then_some(len)
}

/// `10.0.0.1`, `10.0.0.1:5060`, `10.0.0.0/8`: four octets without leading zeros.
fn quad(text: &[u8]) -> Option<usize> {
    let run = |from: usize, more: &[u8]| {
        text.get(from..)
            .unwrap_or(&[])
            .iter()
            .take(16)
            .take_while(|c| c.is_ascii_digit() || more.contains(c))
            .count()
    };
    let mut end = run(0, b".");
    // The full stop behind a sentence.
    if end > 0 && text[end - 1] == b'.' {
        end -= 1;
    }
    let quad = std::str::from_utf8(text.get(..end)?).ok()?;
    quad.parse::<Ipv4Addr>().ok()?;
    if text.get(end).is_some_and(|c| b":/".contains(c)) {
        let port = run(end + 1, b"");
        if port > 5 {
            return None;
        }
        if port > 0 {
            end += 1 + port;
        }
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_masked_however_it_is_written_and_the_rest_stays() {
        assert_eq!(scrub("from +8613800000001 to x"), "from +138****0001 to x");
        assert_eq!(scrub("tel:138-0000-0001;x=1"), "tel:138****0001;x=1");
        assert_eq!(scrub("(138) 0000 0001"), "(138****0001");
        assert_eq!(scrub("port 5060 after 120 ms"), "port 5060 after 120 ms");
        assert_eq!(scrub("电话13800000001。"), "电话138****0001。");
        assert_eq!(scrub("x13800000001y"), "x138****0001y");
        assert_eq!(
            scrub("sip:13800000001@10.0.0.1:5060"),
            "sip:138****0001@10.0.0.1:5060"
        );
    }

    #[test]
    fn a_short_number_shows_less_of_itself() {
        assert_eq!(Masked("10086").to_string(), "*****");
        assert_eq!(Masked("7654321").to_string(), "***4321");
        assert_eq!(Masked("87654321").to_string(), "****4321");
        assert_eq!(Masked("2087654321").to_string(), "20****4321");
        assert_eq!(Masked("8613800000001").to_string(), "138****0001");
    }

    #[test]
    fn ids_times_and_addresses_stay_readable() {
        for text in [
            "call 01KAJ12345678901234567890X ended",
            "2026-11-21T10:00:00.123456Z  INFO umbra: ready",
            "at 2026-11-21 18:00:00+08:00.",
            "cdr-20261121T100000Z-00042.jsonl",
            "udp:192.168.100.200:5060 is silent",
            "10.0.0.0/8, 127.0.0.1.",
            "2 10.10.10.10:20000",
        ] {
            assert_eq!(scrub(text), text);
        }
    }

    #[test]
    fn what_only_looks_like_them_is_masked() {
        for (text, wanted) in [
            ("138.000.000.01", "138****0001"),
            ("10.0.0.13800000001", "138****0001"),
            ("127.0.0.1:13800000001", "127.0.0.1:138****0001"),
            ("01234567890123456789012345", "567****2345"),
            ("2026-11-21 13800000001", "138****0001"),
            ("20261121 13800000001", "138****0001"),
            (
                "01KAJ12345678901234567890X13800000001",
                "01KAJ012****7890X138****0001",
            ),
        ] {
            assert_eq!(scrub(text), wanted, "{text}");
        }
    }
}
