//! A message as those may see it who watch over the network: the numbers in it masked, what is secret left out.
//!
//! It is written anew from what was read, header by header: whoever is shown it sees who answered what and when, not
//! who they are. What can't be read is shown to nobody.

mod description;
mod pen;

use std::borrow::Cow;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use self::pen::{LONG, Pen};
use super::header::{CSeq, MediaType, Name, decimal};
use super::lexer::{self, Opened, Start, Step};
use super::method::Method;
use crate::base::limits::SIP_HEADERS_MAX;

/// How numbers are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Numbers {
    /// As `138****0001`.
    Masked,
    /// As they are.
    Clear,
}

/// Header fields that nobody is shown, whatever is said of numbers: passwords' proofs, and what is asked of them.
const SECRET: [Name; 4] = [
    Name::Authorization,
    Name::ProxyAuthorization,
    Name::WwwAuthenticate,
    Name::ProxyAuthenticate,
];
/// The same of names that have no place among ours.
const SECRET_BY_NAME: [&[u8]; 2] = [b"Authentication-Info", b"Proxy-Authentication-Info"];
/// Header fields that hold numbers in a code of their own (RFC 8224's signed token, ISDN's octets).
const CODED: [Name; 3] = [Name::Identity, Name::IdentityInfo, Name::UserToUser];
/// Header fields that count, and the words that make up their values. Two counts side by side could be one number in two
/// parts: only these two fields may have them (RFC 3262 §7.2, RFC 3261 §20.38).
const COUNTS: [(Name, &[Word]); 8] = [
    (Name::CSeq, &[Word::Count, Word::Method]),
    (Name::RAck, &[Word::Count, Word::Count, Word::Method]),
    (Name::RSeq, &[Word::Count]),
    (Name::MaxForwards, &[Word::Count]),
    (Name::Expires, &[Word::Count]),
    (Name::MinSe, &[Word::Count]),
    (Name::Timestamp, &[Word::Seconds]),
    (Name::Timestamp, &[Word::Seconds, Word::Seconds]),
];

/// What a word is in a header that counts.
#[derive(Clone, Copy)]
enum Word {
    Count,
    /// With or without a fraction.
    Seconds,
    Method,
}

/// Shows messages.
pub struct Veil {
    numbers: Numbers,
    key: [u8; 32],
}

/// One header line.
struct Line<'m> {
    name: Name,
    token: &'m [u8],
    value: &'m [u8],
}

impl fmt::Debug for Veil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Veil({:?})", self.numbers)
    }
}

impl Veil {
    /// One that shows numbers so. Call-IDs with a number in them get another name by the `key`, which is to be drawn by
    /// chance, so that nobody finds the number out by trying.
    pub const fn new(numbers: Numbers, key: [u8; 32]) -> Self {
        Self { numbers, key }
    }

    /// The message without what is secret, and its numbers masked unless they are to be clear.
    ///
    /// Of bodies only session descriptions are shown, without their keys (RFC 4568); those of MESSAGE never are.
    /// `None`: it can't be read, or some line of it can't.
    pub fn message(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let Opened {
            bytes,
            start,
            fault,
            mut walk,
        } = lexer::open(bytes).ok()?;
        if fault.is_some() {
            return None;
        }
        let mut lines: Vec<Line<'_>> = Vec::with_capacity(24);
        let rest = loop {
            match walk.step() {
                Step::Line { name, token, value } => {
                    if lines.len() == SIP_HEADERS_MAX {
                        return None;
                    }
                    lines.push(Line {
                        name,
                        token: bytes.get(token)?,
                        value: bytes.get(value)?,
                    });
                }
                Step::Faulty(_) | Step::Cut => return None,
                Step::Body(at) => break bytes.get(at..)?,
            }
        };
        let body = self.body(&start, &lines, rest);
        let mut pen = Pen::new(self.numbers, bytes.len() + 32);
        write_start(&mut pen, &start);
        for line in &lines {
            self.write_line(&mut pen, line, body.len());
        }
        pen.plain(b"\r\n");
        pen.plain(&body);
        Some(pen.done())
    }

    /// A Call-ID as it stands in messages that were shown.
    pub fn call_id<'i>(&self, id: &'i [u8]) -> Cow<'i, [u8]> {
        let mut pen = Pen::new(self.numbers, id.len());
        pen.digits(id, LONG);
        if pen.done() == id {
            return Cow::Borrowed(id);
        }
        // Masked, many would be one.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of every length");
        mac.update(id);
        let sum = mac.finalize().into_bytes();
        let letters = sum.iter().take(12).flat_map(|byte| [byte >> 4, byte & 15]);
        Cow::Owned(letters.map(|half| b'a' + half).collect())
    }

    fn write_line(&self, pen: &mut Pen, line: &Line<'_>, body: usize) {
        if SECRET.contains(&line.name) || is_secret(line.token) {
            return;
        }
        if self.numbers == Numbers::Masked && CODED.contains(&line.name) {
            return;
        }
        // Even a name may be one that somebody made of a number.
        pen.digits(line.token, LONG);
        pen.plain(b": ");
        let value = unfolded(line.value);
        if line.name == Name::CallId {
            pen.plain(&self.call_id(&value));
        } else if line.name == Name::ContentLength {
            pen.plain(body.to_string().as_bytes());
        } else if is_count(line.name, &value) {
            pen.counts(&value);
        } else {
            pen.parties(&value);
        }
        pen.plain(b"\r\n");
    }

    /// What is shown of the body.
    fn body(&self, start: &Start<'_>, lines: &[Line<'_>], rest: &[u8]) -> Vec<u8> {
        let of = |name: Name| lines.iter().filter(move |line| line.name == name);
        let method = match start {
            Start::Request { method, .. } => Some(*method),
            Start::Response { .. } => of(Name::CSeq)
                .next()
                .and_then(|line| CSeq::parse(line.value))
                .map(|(cseq, _)| cseq.method),
        };
        let length = match of(Name::ContentLength).next() {
            Some(line) => decimal(line.value, u32::MAX).and_then(|length| usize::try_from(length).ok()),
            None => Some(rest.len()),
        };
        let is_description =
            |line: &Line<'_>| MediaType::parse(line.value).is_some_and(|kind| kind.is("application/sdp"));
        let is_shown = method.is_some_and(|method| method != Method::Message)
            && of(Name::ContentEncoding).next().is_none()
            && of(Name::ContentType).count() == 1
            && of(Name::ContentType).all(is_description);
        match length.and_then(|length| rest.get(..length)) {
            Some(body) if is_shown => description::shown(body, self.numbers),
            Some(_) | None => Vec::new(),
        }
    }
}

fn write_start(pen: &mut Pen, start: &Start<'_>) {
    match start {
        Start::Request { token, uri, .. } => {
            pen.digits(token, LONG);
            pen.plain(b" ");
            pen.line(uri, LONG);
            pen.plain(b" SIP/2.0\r\n");
        }
        Start::Response { status, reason } => {
            pen.plain(b"SIP/2.0 ");
            pen.plain(status.to_string().as_bytes());
            pen.plain(b" ");
            pen.line(reason, LONG);
            pen.plain(b"\r\n");
        }
    }
}

fn is_secret(token: &[u8]) -> bool {
    SECRET_BY_NAME.iter().any(|name| name.eq_ignore_ascii_case(token))
}

/// Whether a header's value is what it may hold as one that counts.
fn is_count(name: Name, value: &[u8]) -> bool {
    let words = || value.split(|c| *c == b' ').filter(|word| !word.is_empty());
    let is_made_of = |wanted: &[Word]| {
        let mut pairs = words().zip(wanted);
        words().count() == wanted.len() && pairs.all(|(word, wanted)| wanted.may_be(word))
    };
    COUNTS
        .iter()
        .any(|(of, wanted)| *of == name && is_made_of(wanted))
}

impl Word {
    fn may_be(self, word: &[u8]) -> bool {
        word.iter().all(|c| match self {
            Self::Count => c.is_ascii_digit(),
            Self::Seconds => c.is_ascii_digit() || *c == b'.',
            Self::Method => c.is_ascii_alphabetic(),
        })
    }
}

/// The value in one line (RFC 3261 §7.3.1: a fold is a blank).
fn unfolded(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.contains(&b'\r') {
        return Cow::Borrowed(value);
    }
    Cow::Owned(value.iter().copied().filter(|c| !b"\r\n".contains(c)).collect())
}

#[cfg(test)]
mod tests;
