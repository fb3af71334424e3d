//! Dialogs (RFC 3261 §12): what two parties remember of each other between an INVITE and a BYE.

use std::net::SocketAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use super::build::{self, Body};
use super::header::{Name, NameAddr, trim};
use super::message::Message;
use super::method::Method;
use super::path::{Path, Transport};
use super::session_id::SessionId;
use super::uri::{BadUri, Host, Scheme, Uri};
use crate::base::limits::{SIP_ROUTE_BYTES_MAX, SIP_ROUTES_MAX};

/// Names a dialog: Call-ID, local tag, remote tag (§12). Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DialogId {
    /// All three, one after the other.
    text: Arc<[u8]>,
    call_id_len: usize,
    local_tag_len: usize,
}

impl DialogId {
    fn new(call_id: &[u8], local_tag: &[u8], remote_tag: &[u8]) -> Self {
        let mut text = SmallVec::<[u8; 192]>::new();
        for part in [call_id, local_tag, remote_tag] {
            text.extend_from_slice(part);
        }
        Self {
            text: text.as_slice().into(),
            call_id_len: call_id.len(),
            local_tag_len: local_tag.len(),
        }
    }

    /// Call-ID.
    pub fn call_id(&self) -> &[u8] {
        self.text.get(..self.call_id_len).unwrap_or_default()
    }

    /// The tag that we gave.
    pub fn local_tag(&self) -> &[u8] {
        let end = self.call_id_len.saturating_add(self.local_tag_len);
        self.text.get(self.call_id_len..end).unwrap_or_default()
    }

    /// The tag that they gave; empty for an RFC 2543 party.
    pub fn remote_tag(&self) -> &[u8] {
        let start = self.call_id_len.saturating_add(self.local_tag_len);
        self.text.get(start..).unwrap_or_default()
    }
}

impl std::fmt::Debug for DialogId {
    /// Says nothing: a party's Call-ID and tag may hold its number.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DialogId(…)")
    }
}

/// Why an INVITE begins no dialog.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoDialog {
    /// Its Contact or a Record-Route can't be used: 400.
    #[error("the INVITE's Contact or Record-Route can't be used")]
    Malformed,
    /// There is more of it than is kept: 513.
    #[error("more routing than is kept")]
    TooLong,
}

/// How a request's CSeq stands to those before it (§12.2.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sequence {
    /// Not lower than the last one.
    InOrder,
    /// Lower than the last one: 500.
    Stale,
}

/// What a caller knows of the dialog before an answer comes.
#[derive(Clone, Copy)]
pub struct LocalParty<'p> {
    /// The INVITE's Call-ID.
    pub call_id: &'p [u8],
    /// Its From tag.
    pub local_tag: &'p [u8],
    /// Its From value without the tag.
    pub local: &'p [u8],
    /// Its To value (without a tag).
    pub remote: &'p [u8],
    /// Its CSeq number.
    pub cseq: u32,
    /// Its Request-URI: the target when an answer has no Contact that can be used.
    pub request_uri: &'p [u8],
}

/// What a dialog is made of, for whoever keeps it elsewhere: [`Dialog::parts`], [`Dialog::of_parts`].
pub struct Parts<'d> {
    /// Call-ID.
    pub call_id: &'d [u8],
    /// The tag that we gave.
    pub local_tag: &'d [u8],
    /// The tag that they gave.
    pub remote_tag: &'d [u8],
    /// Our From value in requests, without the tag.
    pub local: &'d [u8],
    /// Our To value in requests, without the tag.
    pub remote: &'d [u8],
    /// The other side's Contact.
    pub target: &'d [u8],
    /// The routes, first hop first.
    pub routes: Vec<&'d [u8]>,
    /// The CSeq number of our last request.
    pub local_cseq: u32,
    /// The CSeq number of theirs, if they sent any.
    pub remote_cseq: Option<u32>,
    /// What our requests name the session by.
    pub session: Option<SessionId>,
}

/// Route values, first hop first.
type Routes = Box<[Box<[u8]>]>;

/// One dialog, seen from our side.
#[derive(Clone)]
pub struct Dialog {
    id: DialogId,
    /// Our From value in requests, without the tag.
    local: Box<[u8]>,
    /// Our To value in requests, without the tag.
    remote: Box<[u8]>,
    local_cseq: u32,
    /// `None` until the other side sent a request.
    remote_cseq: Option<u32>,
    target: Box<[u8]>,
    routes: Routes,
    path: Path,
    /// What its requests name the session by, if they do.
    session: Option<Box<SessionId>>,
}

impl std::fmt::Debug for Dialog {
    /// Says little: identities and targets hold numbers.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialog")
            .field("local_cseq", &self.local_cseq)
            .field("remote_cseq", &self.remote_cseq)
            .field("routes", &self.routes.len())
            .finish_non_exhaustive()
    }
}

impl Dialog {
    /// The dialog of an INVITE that came in by `came` and is answered with `local_tag` (§12.1.1).
    ///
    /// # Errors
    /// [`NoDialog`]: Contact is absent (§8.1.1.8 demands it) or no `sip:` or `sips:` URI, a Record-Route value
    /// can't be read, or all that would be kept is longer than [`SIP_ROUTE_BYTES_MAX`].
    pub fn uas(invite: &Message, local_tag: &[u8], came: Path) -> Result<Self, NoDialog> {
        let routes: Vec<&[u8]> = invite.values(Name::RecordRoute).collect();
        let dialog = Self {
            id: DialogId::new(invite.call_id(), local_tag, invite.from_tag().unwrap_or_default()),
            local: own_identity(invite, Name::To)?,
            remote: own_identity(invite, Name::From)?,
            local_cseq: 0,
            remote_cseq: Some(invite.cseq().number),
            target: target_named_by(invite).ok_or(NoDialog::Malformed)?.into(),
            routes: keep_routes(&routes)?,
            path: came,
            session: None,
        };
        if dialog.fits() {
            Ok(dialog)
        } else {
            Err(NoDialog::TooLong)
        }
    }

    /// The dialog that a response of 101–299 to an INVITE of ours creates (§12.1.2). `path` is the way the
    /// INVITE went.
    ///
    /// `None` for another status, a provisional response without To tag, a Record-Route that can't be read,
    /// or more than [`SIP_ROUTE_BYTES_MAX`] to keep. A Contact that can't be used leaves the Request-URI as
    /// the target.
    pub fn uac(local: &LocalParty, response: &Message, path: Path) -> Option<Self> {
        let remote_tag = match (response.status()?, response.to_tag()) {
            (101..300, Some(tag)) => tag,
            // An RFC 2543 callee has no tag (§12.1.2).
            (200..300, None) => &[],
            (..101 | 300.., _) | (101..200, None) => return None,
        };
        let (target, routes) = answered_route(response, local.request_uri)?;
        let dialog = Self {
            id: DialogId::new(local.call_id, local.local_tag, remote_tag),
            local: local.local.into(),
            remote: identity(local.remote)?.into(),
            local_cseq: local.cseq,
            remote_cseq: None,
            target,
            routes,
            path,
            session: None,
        };
        dialog.fits().then_some(dialog)
    }

    /// The 2xx to the INVITE of an early dialog makes it a confirmed one: target and route set are the 2xx's from now
    /// on (§13.2.2.4). `None`, and nothing changed: its Record-Route can't be read, or is more than is kept.
    pub fn confirm(&mut self, response: &Message) -> Option<()> {
        if self.leads_as(response) {
            return Some(());
        }
        let (target, routes) = answered_route(response, &self.target)?;
        let target = std::mem::replace(&mut self.target, target);
        let routes = std::mem::replace(&mut self.routes, routes);
        if self.fits() {
            return Some(());
        }
        (self.target, self.routes) = (target, routes);
        None
    }

    /// Whether a response says of target and route set what is kept already, as most 2xx do after a 180.
    fn leads_as(&self, response: &Message) -> bool {
        let contact = response.contact();
        let routes = self.routes.iter().rev().map(|route| &**route);
        contact.is_none_or(|contact| contact.uri == &*self.target)
            && response.values(Name::RecordRoute).eq(routes)
    }

    /// The dialog of a 2xx to an INVITE of ours that nobody waits for any more, made from the response alone:
    /// enough to ACK it and hang up (§13.2.2.4). Of a route set that can't be kept, the routes that can be read are
    /// used. `last_cseq` is the CSeq number of our last request in it.
    pub fn unwanted(response: &Message, path: Path, last_cseq: u32) -> Option<Self> {
        let (local, remote) = (identity(response.get(Name::From)?)?, response.get(Name::To)?);
        let routes = routes_backwards(response).into_iter().filter_map(keep_route);
        let target = target_named_by(response).unwrap_or(response.to().uri);
        let remote_tag = response.to_tag().unwrap_or_default();
        let dialog = Self {
            id: DialogId::new(response.call_id(), response.from_tag()?, remote_tag),
            local: local.into(),
            remote: identity(remote)?.into(),
            local_cseq: last_cseq,
            remote_cseq: None,
            target: target.into(),
            routes: routes.take(SIP_ROUTES_MAX).collect(),
            path,
            session: None,
        };
        dialog.fits().then_some(dialog)
    }

    /// What it is made of, but for the way to go.
    pub fn parts(&self) -> Parts<'_> {
        Parts {
            call_id: self.call_id(),
            local_tag: self.local_tag(),
            remote_tag: self.remote_tag(),
            local: &self.local,
            remote: &self.remote,
            target: &self.target,
            routes: self.routes.iter().map(|route| &**route).collect(),
            local_cseq: self.local_cseq,
            remote_cseq: self.remote_cseq,
            session: self.session.as_deref().copied(),
        }
    }

    /// The dialog that these were the parts of. `None`: they are more than is kept of any.
    pub fn of_parts(parts: &Parts<'_>, path: Path) -> Option<Self> {
        let dialog = Self {
            id: DialogId::new(parts.call_id, parts.local_tag, parts.remote_tag),
            local: parts.local.into(),
            remote: parts.remote.into(),
            // Below 2³¹ (§8.1.1.5).
            local_cseq: parts.local_cseq & 0x7fff_ffff,
            remote_cseq: parts.remote_cseq,
            target: parts.target.into(),
            routes: parts.routes.iter().map(|route| Box::from(*route)).collect(),
            path,
            session: parts.session.map(Box::new),
        };
        (dialog.fits() && dialog.routes.len() <= SIP_ROUTES_MAX).then_some(dialog)
    }

    /// The dialog's name.
    pub fn id(&self) -> DialogId {
        self.id.clone()
    }

    /// The dialog that a received message belongs to. To holds our tag in a request, From in a response.
    /// `None` for a request without a To tag, a response without a From tag.
    pub fn id_of(message: &Message) -> Option<DialogId> {
        let (ours, theirs) = match message.status() {
            None => (message.to_tag(), message.from_tag()),
            Some(_) => (message.from_tag(), message.to_tag()),
        };
        Some(DialogId::new(
            message.call_id(),
            ours?,
            theirs.unwrap_or_default(),
        ))
    }

    /// Judges the CSeq of a request in this dialog, neither ACK nor CANCEL (they repeat the INVITE's), and
    /// takes note of it.
    ///
    /// An equal one is in order, as §12.2.2 has it: repetitions end in their transaction, and a proxy that
    /// fails over may send one request twice with two branches.
    pub fn accept(&mut self, cseq: u32) -> Sequence {
        if self.remote_cseq.is_some_and(|last| cseq < last) {
            return Sequence::Stale;
        }
        self.remote_cseq = Some(cseq);
        Sequence::InOrder
    }

    /// A re-INVITE or UPDATE, or the 2xx to one, may move the other side's Contact (§12.2.1.2, §12.2.2).
    /// One that can't be used, or is too long, changes nothing.
    pub fn refresh_target(&mut self, message: &Message) {
        if let Some(target) = target_named_by(message) {
            self.retarget(target.into());
        }
    }

    /// The other side's Contact from now on, if there is room for it: [`target_named_by`] a request that has been
    /// agreed to (RFC 6141 §4.3).
    pub fn retarget(&mut self, target: Box<[u8]>) {
        let before = std::mem::replace(&mut self.target, target);
        if !self.fits() {
            self.target = before;
        }
    }

    /// Our requests have had numbers up to this one.
    pub fn go_on_after(&mut self, cseq: u32) {
        self.local_cseq = self.local_cseq.max(cseq);
    }

    /// The CSeq number of our next request; 1 for the first one of a callee.
    pub fn next_cseq(&mut self) -> u32 {
        // §8.1.1.5: below 2³¹. A dialog that sent so many begins again, rather than send what nobody may
        // read.
        self.local_cseq = (self.local_cseq + 1) & 0x7fff_ffff;
        self.local_cseq
    }

    /// The CSeq number of our last request.
    pub const fn last_cseq(&self) -> u32 {
        self.local_cseq
    }

    /// The CSeq number of the other side's last request, if it sent any.
    pub const fn last_of_theirs(&self) -> Option<u32> {
        self.remote_cseq
    }

    /// Its requests carry this Session-ID from now on.
    pub fn name_session(&mut self, session: SessionId) {
        self.session = Some(Box::new(session));
    }

    /// Takes in what a message of the other side says of the session's name. The name as it is now, if the dialog has
    /// one.
    pub fn hear_session(&mut self, message: &Message) -> Option<SessionId> {
        let session = self.session.as_mut()?;
        session.hear(message);
        Some(**session)
    }

    /// Writes a request in this dialog (§12.2.1.1). `cseq` comes from [`Dialog::next_cseq`]; an ACK has its
    /// INVITE's. `contact` is a whole value (`<sip:…>`), `branch` holds the cookie, `via` is how it travels and our
    /// address there.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is one line of the message, and every caller names them all"
    )]
    pub fn request(
        &self,
        method: Method,
        cseq: u32,
        branch: &[u8],
        (transport, sent_by): (Transport, SocketAddr),
        contact: Option<&[u8]>,
        headers: &[(&str, &str)],
        body: Option<Body>,
        max_forwards: u8,
    ) -> Vec<u8> {
        let from = tagged(&self.local, self.id.local_tag());
        let to = tagged(&self.remote, self.id.remote_tag());
        let mut strict: Vec<Box<[u8]>> = Vec::new();
        let (uri, routes) = match self.routes.split_first() {
            Some((first, rest)) if !is_loose(first) => {
                // §12.2.1.1: a strict router wants itself in the Request-URI, and the target last among the
                // routes.
                strict.extend_from_slice(rest);
                strict.push([b"<", &*self.target, b">"].concat().into());
                (uri_of(first).unwrap_or(&self.target), strict.as_slice())
            }
            Some(_) | None => (&*self.target, &*self.routes),
        };
        let request = build::request(&build::Request {
            method,
            uri,
            transport,
            sent_by,
            branch,
            from: &from,
            to: &to,
            call_id: self.id.call_id(),
            cseq,
            max_forwards,
            routes,
            contact,
            headers,
            body,
        });
        match &self.session {
            Some(session) => build::with_session(&request, session),
            None => request,
        }
    }

    /// Where this dialog's requests go: to the first route, or else the target, if that is an address (its `maddr`,
    /// where it has one: RFC 3261 §19.1.1); by the transport that its URI names, or else the dialog's, since many
    /// who speak TCP leave the parameter out.
    ///
    /// A host name is not looked up, and nobody is looked for behind `tel:` or a transport that we don't
    /// speak: then the request goes the way the dialog came. So it does if the dialog is over TLS and the URI names
    /// another transport: what began in secret isn't told in the open.
    ///
    /// The listener is the dialog's: whether it reaches there by that transport is for whoever has the others.
    pub fn next_hop(&self) -> Path {
        let first = self.routes.first().and_then(|route| uri_of(route));
        let named = Uri::parse(first.unwrap_or(&self.target)).ok();
        let Some((transport, remote)) = named.and_then(|uri| address_of(&uri, self.path.transport)) else {
            return self.path;
        };
        let same = (transport, remote) == (self.path.transport, self.path.remote);
        Path {
            listener: self.path.listener,
            transport,
            remote,
            flow: self.path.flow.filter(|_| same),
            party: self.path.party,
        }
    }

    /// Whether all that it keeps of the parties' texts is within the limit.
    fn fits(&self) -> bool {
        let texts = [&*self.id.text, &self.local, &self.remote, &self.target];
        let routes = self.routes.iter().map(|route| &**route);
        let length = texts.into_iter().chain(routes).map(<[u8]>::len);
        length.fold(0, usize::saturating_add) <= SIP_ROUTE_BYTES_MAX
    }

    /// Call-ID.
    pub fn call_id(&self) -> &[u8] {
        self.id.call_id()
    }

    /// The tag that we gave.
    pub fn local_tag(&self) -> &[u8] {
        self.id.local_tag()
    }

    /// The tag that they gave; empty for an RFC 2543 party.
    pub fn remote_tag(&self) -> &[u8] {
        self.id.remote_tag()
    }

    /// The URI that requests are meant for: the other side's Contact.
    pub fn target(&self) -> &[u8] {
        &self.target
    }

    /// The way the dialog came (callee) or its INVITE went (caller).
    pub const fn path(&self) -> Path {
        self.path
    }
}

/// Target and route set from a response to an INVITE of ours: Record-Route backwards (§12.1.2).
fn answered_route(response: &Message, else_target: &[u8]) -> Option<(Box<[u8]>, Routes)> {
    let routes = keep_routes(&routes_backwards(response)).ok()?;
    let target = target_named_by(response).unwrap_or(else_target);
    Some((target.into(), routes))
}

fn routes_backwards<'a>(response: &Message<'a>) -> Vec<&'a [u8]> {
    let mut routes: Vec<&[u8]> = response.values(Name::RecordRoute).collect();
    routes.reverse();
    routes
}

/// Transport and address that a URI names, if we reach what it names so; `else_by`, where it leaves the transport
/// open.
fn address_of(uri: &Uri, else_by: Transport) -> Option<(Transport, SocketAddr)> {
    let transport = match (uri.transport(), uri.param("transport")) {
        (Some(Transport::Udp | Transport::Tcp), _) if else_by == Transport::Tls => return None,
        (Some(named), _) => named,
        (None, Some(_)) => return None,
        (None, None) => else_by,
    };
    let ip = match uri.param("maddr").and_then(Host::parse) {
        Some(host) => host.ip(),
        None => uri.host.ip(),
    }?;
    let port = uri.port.unwrap_or(transport.default_port());
    Some((transport, SocketAddr::new(ip, port)))
}

/// The Contact's URI, if it can stand in a Request-URI. Whether anybody is reached by it is another matter:
/// [`Dialog::next_hop`].
pub fn target_named_by<'a>(message: &Message<'a>) -> Option<&'a [u8]> {
    let text = message.contact()?.uri;
    match Uri::parse(text) {
        Ok(uri) => match uri.scheme {
            Scheme::Sip | Scheme::Sips => without_headers(text, &uri),
            // Not allowed (RFC 3261 §8.1.1.8), and sent.
            Scheme::Tel => Some(text),
            Scheme::Other => None,
        },
        // Port 0 is what some send who can't be called: it is given back as it came.
        Err(BadUri::Port) if !text.contains(&b'?') => Some(text),
        Err(BadUri::Scheme | BadUri::Character | BadUri::User | BadUri::Host | BadUri::Port) => None,
    }
}

/// The URI as a Request-URI may hold it, if requests can be sent to it (§19.1.1: no headers).
fn reachable(text: &[u8]) -> Option<&[u8]> {
    let uri = Uri::parse(text).ok()?;
    match uri.scheme {
        Scheme::Sip | Scheme::Sips => without_headers(text, &uri),
        Scheme::Tel | Scheme::Other => None,
    }
}

/// What was read as `uri`, without the headers: a Request-URI has none (§19.1.1).
fn without_headers<'a>(text: &'a [u8], uri: &Uri) -> Option<&'a [u8]> {
    let text = text.strip_suffix(uri.headers)?;
    Some(text.strip_suffix(b"?").unwrap_or(text))
}

/// The routes, if each can be read.
fn keep_routes(routes: &[&[u8]]) -> Result<Routes, NoDialog> {
    if routes.len() > SIP_ROUTES_MAX {
        return Err(NoDialog::TooLong);
    }
    let kept = routes.iter().map(|route| keep_route(route));
    kept.collect::<Option<_>>().ok_or(NoDialog::Malformed)
}

/// The route as a Route header may hold it, if it can be read: §20.34 wants brackets, and without them a proxy's `lr`
/// would stand outside its URI.
fn keep_route(route: &[u8]) -> Option<Box<[u8]>> {
    let kept: Box<[u8]> = if route.contains(&b'<') {
        route.into()
    } else {
        [b"<", route, b">"].concat().into()
    };
    uri_of(&kept)?;
    Some(kept)
}

fn own_identity(invite: &Message, name: Name) -> Result<Box<[u8]>, NoDialog> {
    invite
        .get(name)
        .and_then(identity)
        .map(Box::from)
        .ok_or(NoDialog::Malformed)
}

/// A Route value's URI, if requests can be sent to it.
fn uri_of(route: &[u8]) -> Option<&[u8]> {
    reachable(NameAddr::parse(route)?.uri)
}

/// Whether a Route value names a loose router (§19.1.1: `lr`).
fn is_loose(route: &[u8]) -> bool {
    uri_of(route)
        .and_then(|uri| Uri::parse(uri).ok())
        .is_some_and(|uri| uri.param("lr").is_some())
}

/// A From or To value without its parameters: the tag is kept apart, the others are not the dialog's
/// (§12.1.1).
fn identity(value: &[u8]) -> Option<&[u8]> {
    let params = NameAddr::parse(value)?.params;
    let identity = trim(value.strip_suffix(params)?);
    Some(trim(identity.strip_suffix(b";").unwrap_or(identity)))
}

/// The value of a From or To; most need no room but their own.
fn tagged(identity: &[u8], tag: &[u8]) -> SmallVec<[u8; 128]> {
    let mut value = SmallVec::from_slice(identity);
    if !tag.is_empty() {
        value.extend_from_slice(b";tag=");
        value.extend_from_slice(tag);
    }
    value
}

#[cfg(test)]
mod tests;
