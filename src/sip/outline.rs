//! A new INVITE in outline: what a refusal for load repeats of it, and what tells it from others. Whole
//! [reading](Message::parse) costs several times what the refusal does.
//!
//! It is read as nearly everybody writes it, by one pass over its head. Whatever is unusual there has no outline and is read
//! whole: a fold, a line break that is no CRLF, a header that stands twice or is missing, a list of Vias, a branch of
//! RFC 2543. Of what has one, [`Message::parse`] reads the same, or refuses it for what no refusal repeats (a Contact, a
//! Content-Length); but nothing here is to be acted on otherwise.

use std::fmt;

use arrayvec::ArrayVec;
use memchr::memchr;

use super::header::{NameAddr, Via, decimal, trim};
use super::message::{Message, is_call_id};
use super::method::Method;
use super::peek::{Peek, PeekKind};
use super::scan::find_control;
use super::transaction::has_cookie;
use crate::base::limits::{SIP_HEADERS_MAX, SIP_MESSAGE_BYTES_MAX};

/// A request that came by more hops is read whole.
const VIAS_MAX: usize = 8;

/// RFC 3261 §8.1.1.5.
const CSEQ_MAX: u32 = (1 << 31) - 1;

/// A request outside any dialog, as far as it was read.
#[derive(Clone, Copy, Debug)]
pub enum Asked<'r, 'a> {
    /// All of it.
    Whole(&'r Message<'a>),
    /// An INVITE in outline.
    Outline(&'r Outline<'a>),
}

impl<'a> Asked<'_, 'a> {
    /// The topmost Via.
    pub const fn via(self) -> Via<'a> {
        match self {
            Self::Whole(request) => request.via(),
            Self::Outline(invite) => invite.via(),
        }
    }

    /// Its method.
    pub const fn method(self) -> Method {
        match self {
            Self::Whole(request) => request.method(),
            Self::Outline(_) => Method::Invite,
        }
    }

    /// The Request-URI as written.
    pub const fn request_uri(self) -> &'a [u8] {
        match self {
            Self::Whole(request) => request.request_uri(),
            Self::Outline(invite) => invite.request_uri(),
        }
    }
}

/// What a refusal needs of an INVITE without a To tag. No value holds a CR or LF.
pub struct Outline<'a> {
    uri: &'a [u8],
    via: Via<'a>,
    vias: ArrayVec<Field<'a>, VIAS_MAX>,
    from: Field<'a>,
    to: Field<'a>,
    call_id: Field<'a>,
    cseq: Field<'a>,
}

impl<'a> Outline<'a> {
    /// Reads a datagram, or what a [framer](super::framer) has cut. `None`: it has to be read whole.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() > SIP_MESSAGE_BYTES_MAX {
            return None;
        }
        let (first, mut rest) = line(bytes)?;
        let uri = first.strip_prefix(b"INVITE ")?.strip_suffix(b" SIP/2.0")?;
        if uri.is_empty() || memchr(b' ', uri).is_some() {
            return None;
        }
        let mut vias = ArrayVec::<Field<'_>, VIAS_MAX>::new();
        let (mut from, mut to, mut call_id, mut cseq) = (None, None, None, None);
        for _ in 0..=SIP_HEADERS_MAX {
            let (line, behind) = line(rest)?;
            let whole = rest.get(..line.len() + 2)?;
            rest = behind;
            let slot = match line.first() {
                None => {
                    return Self {
                        uri,
                        via: Via::parse(vias.first()?.value)?,
                        vias,
                        from: from?,
                        to: to?,
                        call_id: call_id?,
                        cseq: cseq?,
                    }
                    .checked();
                }
                Some(b'V' | b'v') => match named((line, whole), b"Via", Some(b'v'))? {
                    Named::So(via) => {
                        // A list may be one.
                        if via.value.is_empty() || memchr(b',', via.value).is_some() {
                            return None;
                        }
                        vias.try_push(via).ok()?;
                        continue;
                    }
                    Named::Otherwise => continue,
                },
                Some(b'F' | b'f') => (named((line, whole), b"From", Some(b'f'))?, &mut from),
                Some(b'T' | b't') => (named((line, whole), b"To", Some(b't'))?, &mut to),
                Some(b'I' | b'i') => (named((line, whole), b"Call-ID", Some(b'i'))?, &mut call_id),
                Some(b'C' | b'c') => match line.get(1) {
                    Some(b'S' | b's') => (named((line, whole), b"CSeq", None)?, &mut cseq),
                    Some(b'A' | b'a') => (named((line, whole), b"Call-ID", None)?, &mut call_id),
                    Some(_) | None => continue,
                },
                // A fold of the line before.
                Some(b' ') => return None,
                Some(_) => continue,
            };
            match slot {
                (Named::So(value), slot @ None) => *slot = Some(value),
                // It stands twice.
                (Named::So(_), Some(_)) => return None,
                (Named::Otherwise, _) => {}
            }
        }
        None
    }

    /// The same, if its values are sound.
    fn checked(self) -> Option<Self> {
        let number = self.cseq.value.strip_suffix(b" INVITE")?;
        decimal(number, CSEQ_MAX)?;
        let is_sound = is_call_id(self.call_id.value)
            && !self.from.value.is_empty()
            && is_untagged(self.to.value)
            && self.via.branch.is_some_and(has_cookie);
        is_sound.then_some(self)
    }

    /// The Request-URI as written; whether it is one is not yet known.
    pub const fn request_uri(&self) -> &'a [u8] {
        self.uri
    }

    /// The topmost Via. Its branch is one of RFC 3261.
    pub const fn via(&self) -> Via<'a> {
        self.via
    }

    /// The topmost Via's value.
    pub fn topmost(&self) -> &'a [u8] {
        self.vias.first().map(|via| via.value).unwrap_or_default()
    }

    /// Every Via, the topmost first.
    pub fn vias(&self) -> &[Field<'a>] {
        &self.vias
    }

    /// Which shard has it, and that it may be shed.
    pub const fn peeked(&self) -> Peek<'a> {
        Peek {
            call_id: self.call_id.value,
            kind: PeekKind::NewRequest,
        }
    }

    /// From; whether it can be read is not yet known.
    pub const fn from(&self) -> Field<'a> {
        self.from
    }

    /// To, which has no tag.
    pub const fn to(&self) -> Field<'a> {
        self.to
    }

    /// Call-ID, as [`Message::call_id`] gives it.
    pub const fn call_id(&self) -> &'a [u8] {
        self.call_id.value
    }

    /// The same, as a header.
    pub const fn call_id_field(&self) -> Field<'a> {
        self.call_id
    }

    /// CSeq.
    pub const fn cseq(&self) -> Field<'a> {
        self.cseq
    }
}

impl fmt::Debug for Outline<'_> {
    /// Nothing of the text: names and numbers stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outline(…)")
    }
}

/// The first line, and what follows it. `None`: it has no end, or before it a control character.
#[inline]
fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (line, behind) = text.split_at_checked(find_control(text)?)?;
    Some((line, behind.strip_prefix(b"\r\n")?))
}

/// A header of the INVITE.
#[derive(Clone, Copy)]
pub struct Field<'a> {
    /// Its value, trimmed.
    pub value: &'a [u8],
    /// Its whole line, if that is written as we write it ourselves: the name in full, a blank, the value and CRLF.
    pub written: Option<&'a [u8]>,
}

/// Whether a line is a header of that name.
enum Named<'a> {
    /// It is.
    So(Field<'a>),
    /// It is another.
    Otherwise,
}

/// `whole` is the line with its end. `None`: white space stands before the colon.
#[inline(always)]
fn named<'a, const N: usize>(
    (line, whole): (&'a [u8], &'a [u8]),
    name: &[u8; N],
    compact: Option<u8>,
) -> Option<Named<'a>> {
    // As nearly everybody writes it.
    if let Some((start, [b':', b' ', value @ ..])) = line.split_first_chunk()
        && start == name
        && !matches!(value, [] | [b' ', ..] | [.., b' '])
    {
        let written = Some(whole);
        return Some(Named::So(Field { value, written }));
    }
    named_otherwise(line, name, compact)
}

/// The same, however it is written.
#[cold]
fn named_otherwise<'a>(line: &'a [u8], name: &[u8], compact: Option<u8>) -> Option<Named<'a>> {
    let (start, rest) = line.split_at_checked(name.len()).unwrap_or_default();
    let rest = match line {
        _ if start.eq_ignore_ascii_case(name) => rest,
        [letter, rest @ ..] if Some(letter.to_ascii_lowercase()) == compact => rest,
        _ => return Some(Named::Otherwise),
    };
    match rest {
        [b':', value @ ..] => Some(Named::So(Field {
            value: trim(value),
            written: None,
        })),
        [b' ', ..] => None,
        _ => Some(Named::Otherwise),
    }
}

/// Whether To can be read and has no tag.
fn is_untagged(to: &[u8]) -> bool {
    // As nearly everybody writes it: nothing stands around the brackets.
    if let [b'<', inside @ .., b'>'] = to
        && memchr(b'>', inside).is_none()
    {
        return true;
    }
    NameAddr::parse(to).is_some_and(|to| to.tag().is_none())
}

#[cfg(test)]
mod tests;
