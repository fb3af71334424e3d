//! The first look at a datagram: what the receiving thread needs to choose a shard and a queue, without a whole
//! parse. It stops at the second of To and Call-ID.

use std::fmt;

use super::header::{Name, NameAddr};
use super::lexer::{self, Opened, Start, Step};
use super::message::is_call_id;
use super::method::Method;

/// What is on the envelope.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Peek<'a> {
    /// The Call-ID, as [`Message::call_id`](super::message::Message::call_id) gives it.
    pub call_id: &'a [u8],
    /// Which queue.
    pub kind: PeekKind,
}

/// Whether a message may be shed under load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeekKind {
    /// A request outside any dialog: no To tag, neither ACK nor CANCEL.
    NewRequest,
    /// A CANCEL: never shed, but never ahead of the INVITE that it cancels either.
    Cancel,
    /// A response, an ACK, a request with a To tag: never shed.
    InCall,
}

impl fmt::Debug for Peek<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peek({:?})", self.kind)
    }
}

/// Looks. `None`: a keep-alive, no SIP, or no usable Call-ID; any shard may have it, and the parse says what it is.
/// Whatever [`Message::parse`](super::message::Message::parse) reads is seen here, with the same Call-ID.
pub fn peek(bytes: &[u8]) -> Option<Peek<'_>> {
    let Opened {
        bytes,
        start,
        mut walk,
        ..
    } = lexer::open(bytes).ok()?;
    let mut call_id = None;
    let mut to = None;
    while call_id.is_none() || to.is_none() {
        match walk.step() {
            Step::Line { name, value, .. } => {
                let value = bytes.get(value)?;
                if name == Name::CallId {
                    call_id = call_id.or(Some(value));
                } else if name == Name::To {
                    to = to.or(Some(value));
                }
            }
            Step::Faulty(_) => {}
            Step::Body(_) | Step::Cut => break,
        }
    }
    let call_id = call_id.filter(|text| is_call_id(text))?;
    let has_tag = to.and_then(NameAddr::parse).is_some_and(|to| to.tag().is_some());
    let kind = match start {
        Start::Response { .. } => PeekKind::InCall,
        Start::Request {
            method: Method::Cancel,
            ..
        } => PeekKind::Cancel,
        Start::Request { method, .. } if method == Method::Ack || has_tag => PeekKind::InCall,
        Start::Request { .. } => PeekKind::NewRequest,
    };
    Some(Peek { call_id, kind })
}
