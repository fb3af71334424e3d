//! The only writer of messages.
//!
//! No value can break out of its line: a CR or LF in one, and the white space around it, is written as one
//! space, which is also how a received fold is unfolded (RFC 3261 §7.3.1). A header whose name is no token is
//! left out, and what can't stand in a Request-URI is escaped. So injection is impossible by construction,
//! and nothing needs refusing.

use std::net::SocketAddr;

use memchr::memmem;
use serde::{Deserialize, Serialize};

use super::header::{self, Name, NameAddr, Rport, Via};
use super::lexer::{Head, Start};
use super::message::Message;
use super::method::{Method, reason_phrase};
use super::path::{Path, Transport};
use super::scan::{find, find_either};
use super::session_id::SessionId;
use crate::base::text;

mod refusal;

pub use refusal::refusal;

/// The hops that a request of a new transaction may take (RFC 3261 §8.1.1.6).
const MAX_FORWARDS: u8 = 70;

/// A body and what it is.
#[derive(Clone, Copy)]
pub struct Body<'r> {
    /// `application/sdp`
    pub content_type: &'r str,
    /// Any bytes.
    pub bytes: &'r [u8],
}

/// What a response says beyond what it copies from its request.
#[derive(Clone, Copy)]
pub struct Response<'r> {
    /// 100–699. The phrase beside it is always our own.
    pub status: u16,
    /// The tag for To, if the request's has none. Only a 100 goes without (RFC 3261 §8.2.6.2).
    pub to_tag: Option<&'r [u8]>,
    /// Contact's whole value: `<sip:…>`.
    pub contact: Option<&'r [u8]>,
    /// Other headers, name and value, in order.
    pub headers: &'r [(&'r str, &'r str)],
    /// The body; without one, Content-Length is 0.
    pub body: Option<Body<'r>>,
}

/// Writes a response (RFC 3261 §8.2.6).
///
/// Copies Via (the topmost gets `received` and `rport`: §18.2.1, RFC 3581 §4), From, To, Call-ID, CSeq; for
/// 101–299 to an INVITE also Record-Route (§12.1.1), for 100 Timestamp. What the request lacks is left out: a
/// request that can't be read is answered as well as it can be. `source` is where it came from.
pub fn response(request: &Head, source: SocketAddr, response: &Response) -> Vec<u8> {
    written(Writer::default(), request, Known::of(request), source, response).0
}

/// The same for a request that has been read whole, and the place where To's tag ends. `room` is written anew, and grows
/// where it has to.
pub fn response_of(
    request: &Message,
    source: SocketAddr,
    response: &Response,
    room: Vec<u8>,
) -> (Vec<u8>, usize) {
    let to = match request.to_tag() {
        Some(_) => To::Tagged,
        None => To::Untagged,
    };
    let via = Some(request.via());
    let out = Writer::within(room);
    written(out, request.head(), Known { via, to }, source, response)
}

fn written(
    mut out: Writer,
    request: &Head,
    known: Known<'_>,
    source: SocketAddr,
    response: &Response,
) -> (Vec<u8>, usize) {
    out.status_line(response.status);
    out.vias(request.values(Name::Via), known.via, source);
    if is_invite(request) && is_dialogs(response.status) {
        out.record_routes(request);
    }
    out.parties(request);
    let tag_ends = out.end_of_to(known.to, response.to_tag);
    out.call_id_and_cseq(request);
    if response.status == 100 {
        out.timestamp(request);
    }
    (out.end_of_response(response), tag_ends)
}

/// What a response depends on of what its request's headers say.
#[derive(Clone, Copy)]
struct Known<'a> {
    /// The topmost Via; `None`: there is none, or it can't be read.
    via: Option<Via<'a>>,
    to: To,
}

impl<'a> Known<'a> {
    fn of(request: &Head<'a>) -> Self {
        let is_tagged = |to| NameAddr::parse(to).is_some_and(|to| to.tag().is_some());
        let to = match request.get(Name::To) {
            None => To::Missing,
            Some(to) if is_tagged(to) => To::Tagged,
            Some(_) => To::Untagged,
        };
        let via = request.values(Name::Via).next().and_then(Via::parse);
        Self { via, to }
    }
}

/// What every response to one request repeats of it, as it will stand there: for a request that gets several, or one
/// that is answered later than at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Repeated {
    #[serde(with = "crate::base::bytes")]
    text: Box<[u8]>,
    /// Where the parts end: Via, Record-Route, From with To, Call-ID with CSeq. The last one is Timestamp.
    ends: [usize; 4],
    to: To,
    is_invite: bool,
}

impl Repeated {
    /// Reads it from a request that came from `source`.
    pub fn of(request: &Head, source: SocketAddr) -> Self {
        let mut out = Writer::default();
        let Known { via, to } = Known::of(request);
        out.vias(request.values(Name::Via), via, source);
        let vias = out.0.len();
        out.record_routes(request);
        let routes = out.0.len();
        out.parties(request);
        let parties = out.0.len();
        out.call_id_and_cseq(request);
        let ids = out.0.len();
        out.timestamp(request);
        Self {
            text: out.0.into_boxed_slice(),
            ends: [vias, routes, parties, ids],
            to,
            is_invite: is_invite(request),
        }
    }

    /// Bytes that it keeps.
    pub const fn bytes(&self) -> usize {
        self.text.len()
    }

    /// The tag of whoever sent the request; empty if it gave none.
    pub fn sender_tag(&self) -> &[u8] {
        let [_, routes, parties, _] = self.ends;
        let lines = self.text.get(routes..parties).unwrap_or_default();
        let from = lines.strip_prefix(b"From: ").unwrap_or_default();
        let from = memmem::find(from, b"\r\n").and_then(|end| from.get(..end));
        let from = from.and_then(NameAddr::parse);
        from.and_then(|from| from.tag()).unwrap_or_default()
    }

    /// The request's Call-ID; empty if it had none.
    pub fn call_id(&self) -> &[u8] {
        let [_, _, parties, ids] = self.ends;
        let lines = self.text.get(parties..ids).unwrap_or_default();
        let id = lines.strip_prefix(b"Call-ID: ").unwrap_or_default();
        let id = memmem::find(id, b"\r\n").and_then(|end| id.get(..end));
        id.unwrap_or_default()
    }

    /// The response that [`response`] writes to the request.
    pub fn response(&self, response: &Response) -> Vec<u8> {
        let [vias, routes, parties, ids] = self.ends;
        let part = |from: usize, to: usize| self.text.get(from..to).unwrap_or_default();
        let mut out = Writer::default();
        out.status_line(response.status);
        out.0.extend_from_slice(part(0, vias));
        if self.is_invite && is_dialogs(response.status) {
            out.0.extend_from_slice(part(vias, routes));
        }
        out.0.extend_from_slice(part(routes, parties));
        out.end_of_to(self.to, response.to_tag);
        out.0.extend_from_slice(part(parties, ids));
        if response.status == 100 {
            out.0.extend_from_slice(part(ids, self.text.len()));
        }
        out.end_of_response(response)
    }
}

/// A request's To.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum To {
    /// There is none.
    Missing,
    /// It has no tag.
    Untagged,
    /// It has one.
    Tagged,
}

fn is_invite(request: &Head) -> bool {
    match request.start() {
        Start::Request { method, .. } => *method == Method::Invite,
        Start::Response { .. } => false,
    }
}

/// Whether a response of this status to an INVITE makes a dialog (RFC 3261 §12.1).
fn is_dialogs(status: u16) -> bool {
    (101..300).contains(&status)
}

/// Where the responses to a request go that came by `came` (RFC 3261 §18.2.2, RFC 3581 §4): back to its
/// source; by UDP to the source port if it asked so (`rport`) and else to Via's port. Over a stream they go by
/// its flow; the address is for when that is gone, and then it is Via's port in any case: nobody listens at the
/// other one. `maddr` is ignored: nobody is sent answers that he didn't ask for.
pub fn reply_path(request: &Head, came: Path) -> Path {
    match request.values(Name::Via).next().and_then(Via::parse) {
        Some(via) => reply_path_by(&via, came),
        None => came,
    }
}

/// The same, where the topmost Via has been read already.
pub fn reply_path_by(via: &Via, came: Path) -> Path {
    match via.rport {
        Rport::Asked | Rport::Port(_) if !came.transport.is_reliable() => came,
        Rport::Asked | Rport::Port(_) | Rport::Absent => {
            let mut remote = came.remote;
            remote.set_port(via.port.unwrap_or(came.transport.default_port()));
            Path { remote, ..came }
        }
    }
}

/// A request, spelt out: what isn't here can't be sent. Not `Clone`, and no function makes one from a
/// message.
pub struct Request<'r> {
    /// The method.
    pub method: Method,
    /// The Request-URI.
    pub uri: &'r [u8],
    /// How it travels, for Via.
    pub transport: Transport,
    /// Our address as others see it, for Via.
    pub sent_by: SocketAddr,
    /// Via's branch, with the cookie `z9hG4bK`.
    pub branch: &'r [u8],
    /// From's whole value, with its tag.
    pub from: &'r [u8],
    /// To's whole value, with its tag inside a dialog.
    pub to: &'r [u8],
    /// Call-ID.
    pub call_id: &'r [u8],
    /// CSeq's number, less than 2³¹.
    pub cseq: u32,
    /// Max-Forwards.
    pub max_forwards: u8,
    /// Route values, in order.
    pub routes: &'r [Box<[u8]>],
    /// Contact's whole value: `<sip:…>`.
    pub contact: Option<&'r [u8]>,
    /// Other headers, name and value, in order.
    pub headers: &'r [(&'r str, &'r str)],
    /// The body; without one, Content-Length is 0.
    pub body: Option<Body<'r>>,
}

/// Writes a request (RFC 3261 §8.1.1). Its Via asks for `rport` (RFC 3581).
pub fn request(request: &Request) -> Vec<u8> {
    let mut out = Writer::default();
    out.start(request.method, request.uri);
    out.name(Name::Via.text());
    out.0.extend_from_slice(b"SIP/2.0/");
    out.0.extend_from_slice(request.transport.via_token().as_bytes());
    out.0.push(b' ');
    text::address(&mut out.0, request.sent_by);
    out.0.extend_from_slice(b";branch=");
    out.value(request.branch);
    out.0.extend_from_slice(b";rport");
    out.end();
    out.max_forwards(request.max_forwards);
    for route in request.routes {
        out.line(Name::Route.text(), route);
    }
    out.line(Name::From.text(), request.from);
    out.line(Name::To.text(), request.to);
    out.line(Name::CallId.text(), request.call_id);
    out.cseq(request.cseq, request.method);
    out.optional(Name::Contact.text(), request.contact);
    out.headers(request.headers);
    out.body(request.body)
}

/// The method and the branch of a request that was written here, by which its transaction is found. `None`: it was
/// not.
pub(super) fn method_and_branch(written: &[u8]) -> Option<(Method, &[u8])> {
    let (start, headers) = written.split_at_checked(memmem::find(written, b"\r\n")?)?;
    let method = Method::from_token(start.get(..find(start, b' ')?)?);
    if method == Method::Unknown {
        // A response; or nothing that we write.
        return None;
    }
    // Via is the first header that we write, and its branch the first parameter.
    let via = headers.strip_prefix(b"\r\nVia: ")?;
    let via = via.get(..find(via, b'\r')?)?;
    let (_, params) = via.split_at_checked(find(via, b';')?)?;
    let branch = params.strip_prefix(b";branch=")?;
    let end = find(branch, b';').unwrap_or(branch.len());
    Some((method, branch.get(..end)?))
}

/// Writes the ACK of a response of 300–699 to an INVITE of ours (RFC 3261 §17.1.1.3): the INVITE's
/// Request-URI, top Via, Route, From, Call-ID and CSeq number, the response's To.
///
/// `None` if `invite` is no INVITE or the response no response.
pub fn ack_for_failure(invite: &[u8], response: &Message) -> Option<Vec<u8>> {
    response.status()?;
    let invite = Message::parse(invite).ok()?;
    follow(&invite, Method::Ack, response.get(Name::To)?, &[])
}

/// Writes the CANCEL of an INVITE of ours (RFC 3261 §9.1): the same Request-URI, top Via, Route, From, To,
/// Call-ID and CSeq number. `headers`, names and values, are added: Reason (RFC 3326).
///
/// `None` if `invite` is no INVITE.
pub fn cancel(invite: &[u8], headers: &[(&str, &str)]) -> Option<Vec<u8>> {
    let invite = Message::parse(invite).ok()?;
    follow(&invite, Method::Cancel, invite.get(Name::To)?, headers)
}

/// A message of ours with its leg's Session-ID (RFC 7989 §6: any message may carry it) as its last header but one.
pub fn with_session(message: &[u8], session: &SessionId) -> Vec<u8> {
    // We write Content-Length last, and no value of ours can hold a line's end.
    let end = memmem::find(message, b"\r\nContent-Length: ").map_or(0, |at| at + 2);
    let (before, after) = message.split_at_checked(end).unwrap_or((message, &[]));
    let name = Name::SessionId.text().as_bytes();
    [before, name, b": ", &session.value(), b"\r\n", after].concat()
}

/// A request that shares its INVITE's transaction or branch.
fn follow(invite: &Message, method: Method, to: &[u8], headers: &[(&str, &str)]) -> Option<Vec<u8>> {
    if invite.status().is_some() || invite.method() != Method::Invite {
        return None;
    }
    let mut out = Writer::default();
    out.start(method, invite.request_uri());
    out.line(Name::Via.text(), invite.values(Name::Via).next()?);
    out.max_forwards(MAX_FORWARDS);
    for route in invite.lines(Name::Route) {
        out.line(Name::Route.text(), route);
    }
    out.optional(Name::From.text(), invite.get(Name::From));
    out.line(Name::To.text(), to);
    out.line(Name::CallId.text(), invite.call_id());
    out.cseq(invite.cseq().number, method);
    out.optional(Name::SessionId.text(), invite.get(Name::SessionId));
    out.headers(headers);
    Some(out.body(None))
}

/// Text that grows line by line.
struct Writer(Vec<u8>);

impl Default for Writer {
    fn default() -> Self {
        // Most messages fit. Below 1 KiB the system's allocator hands the same few buffers out again and again;
        // from there on every one makes it tidy up.
        Self(Vec::with_capacity(1000))
    }
}

impl Writer {
    /// Writes in a room that something else had.
    fn within(mut room: Vec<u8>) -> Self {
        if room.capacity() == 0 {
            return Self::default();
        }
        room.clear();
        Self(room)
    }

    fn number(&mut self, number: impl Into<u64>) {
        text::number(&mut self.0, number.into());
    }

    fn start(&mut self, method: Method, uri: &[u8]) {
        self.0.extend_from_slice(method.name().as_bytes());
        self.0.push(b' ');
        let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"');
        let mut rest = uri;
        while let Some(at) = rest.iter().position(|byte| !is_plain(byte))
            && let Some((plain, [odd, behind @ ..])) = rest.split_at_checked(at)
        {
            self.0.extend_from_slice(plain);
            self.0.push(b'%');
            text::hex(&mut self.0, *odd);
            rest = behind;
        }
        self.0.extend_from_slice(rest);
        self.0.extend_from_slice(b" SIP/2.0\r\n");
    }

    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
    }

    /// A value, or a part of one: without line breaks, whatever it holds.
    fn value(&mut self, value: &[u8]) {
        if find_either(value, b'\r', b'\n').is_none() {
            self.0.extend_from_slice(value);
            return;
        }
        for (at, piece) in value.split(|byte| matches!(byte, b'\r' | b'\n')).enumerate() {
            let piece = header::trim(piece);
            if at > 0 && !piece.is_empty() {
                self.0.push(b' ');
            }
            self.0.extend_from_slice(piece);
        }
    }

    fn end(&mut self) {
        self.0.extend_from_slice(b"\r\n");
    }

    fn line(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.value(value);
        self.end();
    }

    fn optional(&mut self, name: &str, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.line(name, value);
        }
    }

    fn status_line(&mut self, status: u16) {
        self.0.extend_from_slice(b"SIP/2.0 ");
        self.number(status);
        self.0.push(b' ');
        self.0.extend_from_slice(reason_phrase(status).as_bytes());
        self.end();
    }

    /// The request's Vias, as its response carries them.
    fn vias<'v>(
        &mut self,
        values: impl Iterator<Item = &'v [u8]>,
        topmost: Option<Via<'_>>,
        source: SocketAddr,
    ) {
        for (at, via) in values.enumerate() {
            if at == 0 {
                self.name(Name::Via.text());
                self.answered_via(via, topmost, source);
                self.end();
            } else {
                self.line(Name::Via.text(), via);
            }
        }
    }

    fn record_routes(&mut self, request: &Head) {
        for route in request.lines(Name::RecordRoute) {
            self.line(Name::RecordRoute.text(), route);
        }
    }

    /// From and To, whose line is left open for a tag.
    fn parties(&mut self, request: &Head) {
        self.optional(Name::From.text(), request.get(Name::From));
        if let Some(to) = request.get(Name::To) {
            self.name(Name::To.text());
            self.value(to);
        }
    }

    /// Closes the line of To; where it ends.
    fn end_of_to(&mut self, to: To, tag: Option<&[u8]>) -> usize {
        match (to, tag) {
            (To::Missing, _) => return self.0.len(),
            (To::Untagged, Some(tag)) => {
                self.0.extend_from_slice(b";tag=");
                self.value(tag);
            }
            (To::Untagged, None) | (To::Tagged, _) => {}
        }
        let ends = self.0.len();
        self.end();
        ends
    }

    fn call_id_and_cseq(&mut self, request: &Head) {
        self.optional(Name::CallId.text(), request.get(Name::CallId));
        self.optional(Name::CSeq.text(), request.get(Name::CSeq));
    }

    fn timestamp(&mut self, request: &Head) {
        self.optional(Name::Timestamp.text(), request.get(Name::Timestamp));
    }

    fn end_of_response(mut self, response: &Response) -> Vec<u8> {
        self.optional(Name::Contact.text(), response.contact);
        self.headers(response.headers);
        self.body(response.body)
    }

    fn max_forwards(&mut self, hops: u8) {
        self.name(Name::MaxForwards.text());
        self.number(hops);
        self.end();
    }

    fn cseq(&mut self, number: u32, method: Method) {
        self.name(Name::CSeq.text());
        self.number(number);
        self.0.push(b' ');
        self.0.extend_from_slice(method.name().as_bytes());
        self.end();
    }

    /// The topmost Via of a request, as its response carries it; `read` is what it says, if it can be read.
    fn answered_via(&mut self, via: &[u8], read: Option<Via<'_>>, source: SocketAddr) {
        let mut pieces = header::pieces(via);
        self.value(pieces.next().unwrap_or_default());
        let mut asked = false;
        for piece in pieces {
            let name = find(piece, b'=').and_then(|at| piece.get(..at)).unwrap_or(piece);
            let name = header::trim(name);
            // Both say what *we* see: what is there already is not to be believed.
            if name.eq_ignore_ascii_case(b"rport") {
                asked = true;
            } else if !name.eq_ignore_ascii_case(b"received") {
                self.0.push(b';');
                self.value(piece);
            }
        }
        // RFC 3581 §4: with rport, received is written even if it says nothing new.
        if asked || read.and_then(|via| via.address) != Some(source.ip()) {
            self.0.extend_from_slice(b";received=");
            text::ip(&mut self.0, source.ip());
        }
        if asked {
            self.0.extend_from_slice(b";rport=");
            self.number(source.port());
        }
    }

    fn headers(&mut self, headers: &[(&str, &str)]) {
        for (name, value) in headers {
            if header::is_token(name.as_bytes()) {
                self.line(name, value.as_bytes());
            }
        }
    }

    /// What closes a message.
    fn body(mut self, body: Option<Body>) -> Vec<u8> {
        let bytes = body.map_or(&[][..], |body| body.bytes);
        if let Some(body) = body {
            self.line(Name::ContentType.text(), body.content_type.as_bytes());
        }
        self.name(Name::ContentLength.text());
        self.number(bytes.len() as u64);
        self.end();
        self.end();
        self.0.extend_from_slice(bytes);
        self.0
    }
}

#[cfg(test)]
mod tests;
