//! One message, read.
//!
//! [`Message::parse`] takes any bytes. What comes out has everything that RFC 3261 §8.1.1 demands, so that nobody
//! behind it has to ask again; what doesn't is [`Unreadable`], with the status that its sender is due.

use std::fmt;
use std::ops::Deref;

use super::header::{CSeq, MediaType, Name, NameAddr, Via, decimal, split};
use super::lexer::{self, Fault, Head, Names, Start};
use super::method::Method;
use super::uri::{Scheme, Uri};

/// A [`Head`] whose must-haves are there, and its body.
pub struct Message<'a> {
    head: Head<'a>,
    parts: Parts<'a>,
}

/// What was read while the message was checked.
struct Parts<'a> {
    via: Via<'a>,
    from: NameAddr<'a>,
    from_tag: Option<&'a [u8]>,
    to: NameAddr<'a>,
    to_tag: Option<&'a [u8]>,
    call_id: &'a [u8],
    cseq: CSeq,
    max_forwards: Option<u8>,
    body: &'a [u8],
}

/// Bytes that are no message we can act on.
pub struct Unreadable<'a> {
    /// The answer that the sender is due: a request with a Via. `None`: silence (a response, an ACK, a keep-alive,
    /// something that isn't SIP).
    pub status: Option<u16>,
    /// What is wrong, for the log; holds nothing of the text.
    pub why: &'static str,
    /// What could be read, for the answer. Headers may be missing or doubled.
    pub head: Option<Head<'a>>,
}

impl<'a> Message<'a> {
    /// Reads one datagram. Bytes beyond Content-Length are ignored (RFC 3261 §18.3).
    ///
    /// # Errors
    /// [`Unreadable`]: 505 for another version; 513 for more header fields than we read; 400 for everything else that
    /// is wrong, among it a Content-Length beyond the datagram's end, an escaped header in the Request-URI, From or
    /// To (§19.1.1 forbids it) and a doubled header that may stand only once.
    // The error is as large as the message: boxing it would let anyone make us allocate.
    #[allow(clippy::result_large_err)]
    pub fn parse(bytes: &'a [u8]) -> Result<Message<'a>, Unreadable<'a>> {
        let (head, fault) = lexer::lex(bytes).map_err(|why| Unreadable {
            status: None,
            why,
            head: None,
        })?;
        let parts = match fault {
            Some(fault) => Err(fault),
            None => Parts::of(&head),
        };
        match parts {
            Ok(parts) => Ok(Self { head, parts }),
            Err(fault) => Err(Unreadable {
                status: is_answerable(&head).then_some(fault.status),
                why: fault.why,
                head: Some(head),
            }),
        }
    }

    /// Reads one message of a stream, as the [framer](super::framer) has cut it.
    ///
    /// # Errors
    /// As [`Message::parse`]; and 400 without a Content-Length, which a stream can't do without (RFC 3261 §18.3).
    #[allow(clippy::result_large_err)]
    pub fn parse_framed(bytes: &'a [u8]) -> Result<Message<'a>, Unreadable<'a>> {
        let message = Self::parse(bytes)?;
        if message.head.get(Name::ContentLength).is_some() {
            return Ok(message);
        }
        Err(Unreadable {
            status: is_answerable(&message.head).then_some(400),
            why: "no Content-Length on a stream",
            head: Some(message.head),
        })
    }

    /// Start line and headers.
    pub const fn head(&self) -> &Head<'a> {
        &self.head
    }

    /// The method; a response's is its CSeq's.
    pub const fn method(&self) -> Method {
        self.parts.cseq.method
    }

    /// The status, 100–699; `None` for a request.
    pub const fn status(&self) -> Option<u16> {
        match self.head.start() {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(*status),
        }
    }

    /// The Request-URI as written; empty for a response. Where its scheme is `sip` or `sips`, [`Uri::parse`] reads it.
    pub const fn request_uri(&self) -> &'a [u8] {
        match self.head.start() {
            Start::Request { uri, .. } => uri,
            Start::Response { .. } => &[],
        }
    }

    /// The topmost Via.
    pub const fn via(&self) -> Via<'a> {
        self.parts.via
    }

    /// From.
    pub const fn from(&self) -> NameAddr<'a> {
        self.parts.from
    }

    /// From's tag; an empty one is none.
    pub const fn from_tag(&self) -> Option<&'a [u8]> {
        self.parts.from_tag
    }

    /// To.
    pub const fn to(&self) -> NameAddr<'a> {
        self.parts.to
    }

    /// To's tag; an empty one is none.
    pub const fn to_tag(&self) -> Option<&'a [u8]> {
        self.parts.to_tag
    }

    /// Call-ID: never empty, no white space in it.
    pub const fn call_id(&self) -> &'a [u8] {
        self.parts.call_id
    }

    /// CSeq.
    pub const fn cseq(&self) -> CSeq {
        self.parts.cseq
    }

    /// The first Contact; `None` if there is none or it can't be read. `*` is the URI `*`.
    pub fn contact(&self) -> Option<NameAddr<'a>> {
        self.head.values(Name::Contact).next().and_then(NameAddr::parse)
    }

    /// Max-Forwards; an old sender has none (RFC 3261 §16.3). Always `None` in a response.
    pub const fn max_forwards(&self) -> Option<u8> {
        self.parts.max_forwards
    }

    /// The body, as long as Content-Length says; without one, all the rest.
    pub const fn body(&self) -> &'a [u8] {
        self.parts.body
    }

    /// Content-Type; `None` if there is none or it can't be read.
    pub fn content_type(&self) -> Option<MediaType<'a>> {
        self.head.get(Name::ContentType).and_then(MediaType::parse)
    }
}

impl<'a> Deref for Message<'a> {
    type Target = Head<'a>;

    fn deref(&self) -> &Head<'a> {
        &self.head
    }
}

impl fmt::Debug for Message<'_> {
    /// Kind and method only: names and numbers stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({:?}, {:?})", self.head, self.parts.cseq.method)
    }
}

impl fmt::Debug for Unreadable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unreadable")
            .field("status", &self.status)
            .field("why", &self.why)
            .finish_non_exhaustive()
    }
}

/// Headers that steer what a request does and may stand only once (RFC 3261 §7.3.1), besides those that are read
/// here: which of two would count is not ours to guess. Others (`Subject`, `User-Agent`) may be doubled, nobody acts
/// on them. In a response nothing of this is worth losing a call for.
const SINGLE: Names = Names::of(&[
    Name::ContentDisposition,
    Name::Event,
    Name::Expires,
    Name::Join,
    Name::MinSe,
    Name::RAck,
    Name::ReferTo,
    Name::Replaces,
    Name::SessionExpires,
    Name::SubscriptionState,
]);

impl<'a> Parts<'a> {
    fn of(head: &Head<'a>) -> Result<Self, Fault> {
        let via = head.get(Name::Via).ok_or(Fault::bad("no Via"))?;
        let via = split(via)
            .next()
            .and_then(Via::parse)
            .ok_or(Fault::bad("malformed Via"))?;
        let from = head.only(Name::From, "From is missing or doubled")?;
        let to = head.only(Name::To, "To is missing or doubled")?;
        let call_id = head.only(Name::CallId, "Call-ID is missing or doubled")?;
        let cseq = head.only(Name::CSeq, "CSeq is missing or doubled")?;
        head.optional(Name::ContentType, "Content-Type is doubled")?;
        if !is_call_id(call_id) {
            return Err(Fault::bad("malformed Call-ID"));
        }
        let (cseq, cseq_token) = CSeq::parse(cseq).ok_or(Fault::bad("malformed CSeq"))?;
        let from = NameAddr::parse(from).ok_or(Fault::bad("malformed From"))?;
        let to = NameAddr::parse(to).ok_or(Fault::bad("malformed To"))?;
        let max_forwards = match head.start() {
            Start::Request { token, uri, .. } => {
                if cseq_token != *token {
                    return Err(Fault::bad("CSeq names another method"));
                }
                if head.doubled().meets(SINGLE) {
                    return Err(Fault::bad("a header that may stand once is doubled"));
                }
                check_request_uri(uri)?;
                check_party(&from)?;
                check_party(&to)?;
                check_contact(head, cseq.method)?;
                read_max_forwards(head)?
            }
            Start::Response { .. } => None,
        };
        Ok(Self {
            via,
            from_tag: from.tag(),
            from,
            to_tag: to.tag(),
            to,
            call_id,
            cseq,
            max_forwards,
            body: read_body(head)?,
        })
    }
}

/// An ACK is never answered; without a Via nobody knows where the answer goes.
fn is_answerable(head: &Head<'_>) -> bool {
    let answered = match head.start() {
        Start::Request { method, .. } => *method != Method::Ack,
        Start::Response { .. } => false,
    };
    answered && head.get(Name::Via).is_some()
}

/// Whether it can be a Call-ID: visible characters only. The grammar's `word` is narrower; some senders aren't.
pub(super) fn is_call_id(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_graphic)
}

/// A scheme that we don't know is left to the one who answers 416.
fn check_request_uri(uri: &[u8]) -> Result<(), Fault> {
    let uri = Uri::parse(uri).map_err(|_| Fault::bad("malformed Request-URI"))?;
    match uri.scheme {
        Scheme::Sip | Scheme::Sips if !uri.headers.is_empty() => {
            Err(Fault::bad("headers in the Request-URI"))
        }
        Scheme::Sip | Scheme::Sips | Scheme::Tel | Scheme::Other => Ok(()),
    }
}

/// From and To name somebody; headers of a URI are for who composes a request from it (RFC 3261 §19.1.1, table 1).
fn check_party(party: &NameAddr<'_>) -> Result<(), Fault> {
    // A user part may hold a question mark too.
    let has_headers =
        party.uri.contains(&b'?') && Uri::parse(party.uri).is_ok_and(|uri| !uri.headers.is_empty());
    if has_headers {
        Err(Fault::bad("headers in the URI of From or To"))
    } else {
        Ok(())
    }
}

/// A Contact that can't be read (RFC 3261 §20.10), where somebody might want to go there. An ACK or a BYE does its
/// work without.
fn check_contact(head: &Head<'_>, method: Method) -> Result<(), Fault> {
    let is_needed = method != Method::Ack && method != Method::Bye;
    if is_needed
        && head
            .values(Name::Contact)
            .any(|value| NameAddr::parse(value).is_none())
    {
        Err(Fault::bad("malformed Contact"))
    } else {
        Ok(())
    }
}

fn read_max_forwards(head: &Head<'_>) -> Result<Option<u8>, Fault> {
    head.optional(Name::MaxForwards, "Max-Forwards is doubled")?
        .map(|value| {
            decimal(value, u32::from(u8::MAX))
                .and_then(|hops| u8::try_from(hops).ok())
                .ok_or(Fault::bad("malformed Max-Forwards"))
        })
        .transpose()
}

/// RFC 3261 §18.3: the bytes beyond Content-Length are dropped, too few are a fault. Two Content-Lengths, even
/// equal ones, are refused: whoever sends them hopes that two readers differ.
fn read_body<'a>(head: &Head<'a>) -> Result<&'a [u8], Fault> {
    let rest = head.rest();
    let Some(value) = head.optional(Name::ContentLength, "Content-Length is doubled")? else {
        return Ok(rest);
    };
    let length = decimal(value, u32::MAX).ok_or(Fault::bad("malformed Content-Length"))?;
    usize::try_from(length)
        .ok()
        .and_then(|length| rest.get(..length))
        .ok_or(Fault::bad("Content-Length is beyond the end"))
}

#[cfg(test)]
mod tests;
