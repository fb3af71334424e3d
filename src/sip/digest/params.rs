//! The parameters of challenges and credentials, as text (RFC 3261 §25.1, RFC 7616 §3.3, §3.4).

use std::borrow::Cow;
use std::fmt;

use crate::sip::header::{is_token, trim};

/// A parameter's text as it stood, without the quotes around it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Text<'a>(pub(super) &'a [u8]);

impl<'a> Text<'a> {
    /// As written, with its escapes: what is given back.
    pub const fn raw(self) -> &'a [u8] {
        self.0
    }

    /// What it means: a `\` says that the next byte stands for itself (RFC 3261 §25.1).
    pub fn plain(self) -> Cow<'a, [u8]> {
        if !self.0.contains(&b'\\') {
            return Cow::Borrowed(self.0);
        }
        let mut plain = Vec::with_capacity(self.0.len());
        let mut is_escaped = false;
        for byte in self.0 {
            is_escaped = !is_escaped && *byte == b'\\';
            if !is_escaped {
                plain.push(*byte);
            }
        }
        Cow::Owned(plain)
    }
}

impl fmt::Debug for Text<'_> {
    /// Says nothing: a user's name may be a phone number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Text(…)")
    }
}

/// Writes a text between quotes. What can't stand there, controls and with them a line's end, is left out.
pub(super) fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// The parameters of one challenge or one set of credentials, as far as we know them. One that stands twice makes the
/// whole set unreadable: who reads the first and who the last would differ.
#[derive(Clone, Copy, Default)]
pub(super) struct Fields<'a> {
    pub(super) realm: Option<Text<'a>>,
    pub(super) nonce: Option<Text<'a>>,
    pub(super) opaque: Option<Text<'a>>,
    pub(super) algorithm: Option<Text<'a>>,
    pub(super) qop: Option<Text<'a>>,
    pub(super) stale: Option<Text<'a>>,
    pub(super) username: Option<Text<'a>>,
    pub(super) uri: Option<Text<'a>>,
    pub(super) response: Option<Text<'a>>,
    pub(super) cnonce: Option<Text<'a>>,
    pub(super) nc: Option<Text<'a>>,
}

impl<'a> Fields<'a> {
    /// Takes one parameter in. `None`: it is there already.
    fn take(&mut self, name: &[u8], value: Text<'a>) -> Option<()> {
        let places: [(&[u8], &mut Option<Text<'a>>); 11] = [
            (b"realm", &mut self.realm),
            (b"nonce", &mut self.nonce),
            (b"opaque", &mut self.opaque),
            (b"algorithm", &mut self.algorithm),
            (b"qop", &mut self.qop),
            (b"stale", &mut self.stale),
            (b"username", &mut self.username),
            (b"uri", &mut self.uri),
            (b"response", &mut self.response),
            (b"cnonce", &mut self.cnonce),
            (b"nc", &mut self.nc),
        ];
        let place = places
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        match place {
            // RFC 7616 §3.3: what we don't know is ignored.
            None => Some(()),
            Some((_, place)) if place.is_none() => {
                *place = Some(value);
                Some(())
            }
            Some(_) => None,
        }
    }
}

/// The sets of Digest parameters in one header line. Several challenges may share one (RFC 9110 §11.6.1), though RFC
/// 3261 §7.3.1 gives each a line of its own. What isn't understood ends the line: nothing after it is believed.
pub(super) struct Sets<'a> {
    rest: &'a [u8],
}

impl<'a> Sets<'a> {
    pub(super) const fn of(line: &'a [u8]) -> Self {
        Self { rest: line }
    }

    /// One set, from its scheme up to the next one's. `None`: what comes is no set, or the line is over.
    fn set(&mut self) -> Option<(bool, Fields<'a>)> {
        let (scheme, rest) = token(self.rest)?;
        let is_digest = scheme.eq_ignore_ascii_case(b"Digest");
        self.rest = rest;
        let mut fields = Fields::default();
        loop {
            let (name, rest) = token(self.rest)?;
            let Some(rest) = trim(rest).strip_prefix(b"=") else {
                // No parameter: the next scheme begins.
                return Some((is_digest, fields));
            };
            let (value, rest) = value(rest)?;
            if is_digest {
                fields.take(name, value)?;
            }
            let rest = trim(rest);
            self.rest = rest.strip_prefix(b",").unwrap_or(rest);
            if rest.is_empty() {
                return Some((is_digest, fields));
            }
            if self.rest.len() == rest.len() {
                return None;
            }
        }
    }
}

impl<'a> Iterator for Sets<'a> {
    type Item = Fields<'a>;

    fn next(&mut self) -> Option<Fields<'a>> {
        loop {
            let Some((is_digest, fields)) = self.set() else {
                self.rest = &[];
                return None;
            };
            if is_digest {
                return Some(fields);
            }
        }
    }
}

/// A token, and what follows it.
fn token(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = trim(text);
    let end = text
        .iter()
        .position(|byte| !is_token(&[*byte]))
        .unwrap_or(text.len());
    text.split_at_checked(end).filter(|(token, _)| !token.is_empty())
}

/// A parameter's value, quoted or not, and what follows it.
fn value(text: &[u8]) -> Option<(Text<'_>, &[u8])> {
    let text = trim(text);
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let ends = |byte: &u8| matches!(byte, b',' | b'"' | b' ' | b'\t' | b'\r' | b'\n');
        let end = text.iter().position(ends).unwrap_or(text.len());
        let (value, rest) = text
            .split_at_checked(end)
            .filter(|(value, _)| !value.is_empty())?;
        return Some((Text(value), rest));
    };
    let mut is_escaped = false;
    let end = quoted.iter().position(|byte| {
        let is_end = !is_escaped && *byte == b'"';
        is_escaped = !is_escaped && *byte == b'\\';
        is_end
    })?;
    let (value, rest) = quoted.split_at_checked(end)?;
    Some((Text(value), rest.get(1..)?))
}
