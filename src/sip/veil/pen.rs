//! What writes text with its numbers masked, or as it is.

use super::Numbers;
use crate::base::redact::{Masked, ipv4};

/// Digits of what may be a number wherever it stands.
pub(super) const LONG: usize = 7;
/// Digits of what may be a number where numbers stand: in the name or user of a party.
const SHORT: usize = 3;

/// A text that is being written.
pub(super) struct Pen {
    out: Vec<u8>,
    numbers: Numbers,
}

/// What a byte or several, an escape or a letter of another script, mean within a number.
enum Symbol {
    Digit(u8),
    /// What people put between digits.
    Separator,
    Other,
}

impl Pen {
    pub(super) fn new(numbers: Numbers, room: usize) -> Self {
        Self {
            out: Vec::with_capacity(room),
            numbers,
        }
    }

    pub(super) fn done(self) -> Vec<u8> {
        self.out
    }

    /// Adds text as it is.
    pub(super) fn plain(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
    }

    /// Adds text. Every run of at least so many digits in it is masked: whatever stands between them, escaped or not.
    /// IPv4 addresses stay, where no party's number can stand: of it dots may be a writing.
    pub(super) fn digits(&mut self, text: &[u8], shortest: usize) {
        if self.numbers == Numbers::Clear {
            return self.plain(text);
        }
        let mut at = 0;
        while at < text.len() {
            let rest = text.get(at..).unwrap_or_default();
            let begins = at == 0 || text.get(at - 1).is_some_and(|c| !c.is_ascii_alphanumeric());
            if begins
                && shortest >= LONG
                && let Some(length) = ipv4(rest)
            {
                self.plain(rest.get(..length).unwrap_or_default());
                at += length;
                continue;
            }
            let (symbol, width) = symbol(rest);
            match symbol {
                Symbol::Digit(_) => at += self.run(rest, shortest),
                Symbol::Separator | Symbol::Other => {
                    self.plain(rest.get(..width).unwrap_or_default());
                    at += width;
                }
            }
        }
    }

    /// Adds the run of digits that the text begins with; says how long it is.
    fn run(&mut self, text: &[u8], shortest: usize) -> usize {
        let mut digits = String::new();
        let (mut at, mut end) = (0, 0);
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let (symbol, width) = symbol(rest);
            match symbol {
                // An address; but not one within more parts than an address has.
                Symbol::Digit(_)
                    if at > end
                        && shortest >= LONG
                        && text.get(at - 1) != Some(&b'.')
                        && ipv4(rest).is_some() =>
                {
                    break;
                }
                Symbol::Digit(digit) => {
                    digits.push(char::from(digit));
                    end = at + width;
                }
                Symbol::Separator => {}
                Symbol::Other => break,
            }
            at += width;
        }
        if digits.len() >= shortest {
            self.plain(Masked(&digits).to_string().as_bytes());
        } else {
            self.plain(text.get(..end).unwrap_or_default());
        }
        end
    }

    /// Adds text in which URIs may stand: of their users every number is masked, elsewhere those of `shortest` digits.
    /// A password in a URI is left out.
    pub(super) fn line(&mut self, text: &[u8], shortest: usize) {
        let mut rest = text;
        while let Some((before, scheme, behind)) = uri(rest) {
            self.digits(before, shortest);
            self.plain(scheme);
            let end = behind
                .iter()
                .position(|c| matches!(c, b'<' | b'>' | b'"') || c.is_ascii_whitespace())
                .unwrap_or(behind.len());
            let (inside, after) = behind.split_at(end);
            if scheme.eq_ignore_ascii_case(b"tel:") {
                let (number, params) = at_first(inside, b";,?");
                self.digits(number, 1);
                self.digits(params, SHORT);
            } else {
                self.address(inside);
            }
            rest = after;
        }
        self.digits(rest, shortest);
    }

    /// Adds what follows `sip:`.
    fn address(&mut self, text: &[u8]) {
        let (user, host) = at_first(text, b"@");
        if host.is_empty() {
            // Without a user; a host that is all digits is a number all the same.
            let (host, params) = at_first(text, b":;?,");
            let is_number = host.iter().all(|c| c.is_ascii_digit() || *c == b'+');
            self.digits(host, if is_number { 1 } else { LONG });
            return self.digits(params, LONG);
        }
        // What stands behind a colon is a password (RFC 3261 §19.1.1).
        let (user, _) = at_first(user, b":");
        self.digits(user, if has_letters(user) { SHORT } else { 1 });
        self.digits(host, LONG);
    }

    /// Adds a value that may name parties: as [`Pen::line`], and short numbers in display names are masked too.
    pub(super) fn parties(&mut self, value: &[u8]) {
        let (mut from, mut is_quoted, mut is_within) = (0, false, false);
        let mut bytes = value.iter().enumerate();
        while let Some((at, c)) = bytes.next() {
            let ends = match c {
                b'\\' if is_quoted => {
                    bytes.next();
                    continue;
                }
                b'"' => {
                    is_quoted = !is_quoted;
                    continue;
                }
                b'<' => !is_quoted && !is_within,
                b'>' => is_within,
                b',' => !is_quoted && !is_within,
                _ => false,
            };
            if !ends {
                continue;
            }
            let shortest = if *c == b'<' { SHORT } else { LONG };
            self.line(value.get(from..at).unwrap_or_default(), shortest);
            self.plain(&[*c]);
            is_within = *c == b'<';
            from = at + 1;
        }
        self.line(value.get(from..).unwrap_or_default(), LONG);
    }

    /// Adds words of which some count something: of a long count only its end, by which it is told from its neighbours.
    pub(super) fn counts(&mut self, value: &[u8]) {
        for (at, word) in value.split(|c| *c == b' ').enumerate() {
            if at > 0 {
                self.plain(b" ");
            }
            let is_long = word.len() >= LONG && word.iter().all(u8::is_ascii_digit);
            if is_long && self.numbers == Numbers::Masked {
                let end = word.get(word.len() - 4..).unwrap_or_default();
                let zeros = end.iter().take_while(|c| **c == b'0').count().min(3);
                self.plain(end.get(zeros..).unwrap_or_default());
            } else {
                self.digits(word, LONG);
            }
        }
    }
}

/// The text before the first URI that names somebody, its scheme, and what follows.
fn uri(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    memchr::memchr_iter(b':', text).find_map(|colon| {
        let (head, behind) = text.split_at_checked(colon + 1)?;
        let letters = head
            .iter()
            .rev()
            .skip(1)
            .take_while(|c| c.is_ascii_alphanumeric());
        let (before, scheme) = head.split_at_checked(colon - letters.count())?;
        let names = [&b"sip:"[..], b"sips:", b"tel:"];
        let is_named = names.iter().any(|name| name.eq_ignore_ascii_case(scheme));
        is_named.then_some((before, scheme, behind))
    })
}

/// The text before the first of these bytes, and from it on.
fn at_first<'t>(text: &'t [u8], any: &[u8]) -> (&'t [u8], &'t [u8]) {
    let at = text.iter().position(|c| any.contains(c)).unwrap_or(text.len());
    text.split_at(at)
}

/// Whether somebody's name may stand there, and not only a number.
fn has_letters(user: &[u8]) -> bool {
    let mut at = 0;
    while let Some(rest) = user.get(at..).filter(|rest| !rest.is_empty()) {
        let (symbol, width) = symbol(rest);
        if matches!(symbol, Symbol::Other) && rest.first().is_some_and(u8::is_ascii_alphabetic) {
            return true;
        }
        at += width;
    }
    false
}

/// What the text begins with, and how many bytes that takes; the text is not empty.
fn symbol(text: &[u8]) -> (Symbol, usize) {
    match text {
        [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            let half = |c: u8| char::from(c).to_digit(16).unwrap_or_default() as u8;
            (of_byte(half(*high) << 4 | half(*low)), 3)
        }
        // Full-width digits and the minus beside them.
        [0xef, 0xbc, c @ 0x90..=0x99, ..] => (Symbol::Digit(b'0' + (c - 0x90)), 3),
        [0xef, 0xbc, 0x8d, ..] | [0xe2, 0x80, 0x90..=0x95, ..] | [0xe3, 0x80, 0x80, ..] => {
            (Symbol::Separator, 3)
        }
        // The digits of Arabic and Persian.
        [0xd9, c @ 0xa0..=0xa9, ..] => (Symbol::Digit(b'0' + (c - 0xa0)), 2),
        [0xdb, c @ 0xb0..=0xb9, ..] => (Symbol::Digit(b'0' + (c - 0xb0)), 2),
        [0xc2, 0xa0, ..] => (Symbol::Separator, 2),
        [c, ..] => (of_byte(*c), 1),
        [] => (Symbol::Other, 1),
    }
}

fn of_byte(c: u8) -> Symbol {
    match c {
        b'0'..=b'9' => Symbol::Digit(c),
        b'-' | b'.' | b' ' | b'(' | b')' | b'/' | b'_' | b'\t' | b'\\' => Symbol::Separator,
        _ => Symbol::Other,
    }
}
