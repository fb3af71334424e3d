//! One leg: our side of the conversation with one party. Legs are independent; a leg knows nothing of the
//! other one.

pub mod callee;
pub mod caller;
pub mod challenge;
pub mod dial;
pub mod forks;
pub mod info;
pub mod invite;
pub mod left;
pub mod peer;
pub mod probe;
pub mod redirect;
pub mod refresh;
pub mod reliable;
pub mod ringing;
pub mod session_timer;
mod turns;

use std::net::SocketAddr;

use self::peer::Peer;
use super::config::Listener;
use super::exchange::{Exchange, Opening, Wanted};
use super::hands::Token;
use super::keys;
use super::port::LegName;
use super::trunk::{Reliability, SessionTimer, SessionWish, Trunk};
use crate::base::limits::SIP_ROUTE_BYTES_MAX;
use crate::base::text;
use crate::base::time::Instant;
use crate::base::timer::TimerId;
use crate::sip::build;
use crate::sip::dialog::Dialog;
use crate::sip::message::Message;
use crate::sip::path::{ListenerId, Transport};
use crate::sip::session_id::SessionId;
use crate::sip::transaction::ServerId;
use session_timer::Session;

/// The methods that we take (RFC 3261 §20.5).
pub const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO";

/// The extensions that we know on a trunk, as Supported has them (RFC 3261 §20.37).
pub fn supported(trunk: &Trunk) -> Option<&'static str> {
    let has_timer = match trunk.session.timer {
        SessionTimer::Accept | SessionTimer::Offer => true,
        SessionTimer::Off => false,
    };
    match (trunk.reliable_provisionals, has_timer) {
        (Reliability::Offer | Reliability::Require, true) => Some("100rel, timer"),
        (Reliability::Offer | Reliability::Require, false) => Some(reliable::TAG),
        (Reliability::Off, true) => Some(session_timer::TIMER),
        (Reliability::Off, false) => None,
    }
}

/// The Contact that we give where we listen at `us`.
pub fn contact(us: &Listener) -> Vec<u8> {
    contact_of(us, None)
}

/// The same for this user of ours.
pub fn contact_of(us: &Listener, user: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(48);
    out.extend_from_slice(b"<sip:");
    if let Some(user) = user {
        out.extend_from_slice(user.as_bytes());
        out.push(b'@');
    }
    text::address(&mut out, us.advertised);
    out.extend_from_slice(transport_param(us.transport));
    out.push(b'>');
    out
}

/// What a URI says of a transport: nothing, if it is UDP (RFC 3263 §4.1).
pub const fn transport_param(transport: Transport) -> &'static [u8] {
    match transport {
        Transport::Udp => b"",
        Transport::Tcp => b";transport=tcp",
        Transport::Tls => b";transport=tls",
    }
}

/// The lines of a request that every response to it has to repeat (RFC 3261 §8.2.6.2, §12.1.1), and
/// nothing else of it: what is kept of a request that is answered later than at once.
#[derive(Debug)]
pub struct Echo(Option<build::Repeated>);

impl Echo {
    /// Takes the lines of `request`, which came from `source`. `None` if they are too long to keep.
    pub fn of(request: &Message<'_>, source: SocketAddr) -> Option<Self> {
        let lines = build::Repeated::of(request.head(), source);
        (lines.bytes() <= SIP_ROUTE_BYTES_MAX).then_some(Self(Some(lines)))
    }

    /// What is kept of a request that has its final answer.
    pub const fn forgotten() -> Self {
        Self(None)
    }

    /// The lines, while they are kept.
    pub const fn lines(&self) -> Option<&build::Repeated> {
        self.0.as_ref()
    }

    /// Lines that were kept elsewhere. `None` if they are too long to keep.
    pub fn of_lines(lines: build::Repeated) -> Option<Self> {
        (lines.bytes() <= SIP_ROUTE_BYTES_MAX).then_some(Self(Some(lines)))
    }

    /// The request has its final answer: nothing is repeated any more.
    pub fn forget(&mut self) {
        self.0 = None;
    }

    /// The tag of whoever sent the request; empty if it gave none.
    pub fn sender_tag(&self) -> Vec<u8> {
        let lines = self.0.as_ref();
        lines.map_or_else(Vec::new, |lines| lines.sender_tag().to_vec())
    }

    /// A response to the request.
    pub fn response(&self, response: &build::Response<'_>) -> Vec<u8> {
        let lines = self.0.as_ref();
        lines.map_or_else(Vec::new, |lines| lines.response(response))
    }
}

/// A 2xx of ours to an INVITE, which we repeat until it is ACKed (RFC 3261 §13.3.1.4).
#[derive(Debug)]
pub struct Unacked {
    /// The INVITE's transaction.
    pub server: ServerId,
    /// The INVITE's CSeq number: its ACK has the same.
    pub cseq: u32,
    /// The whole 2xx.
    pub bytes: Box<[u8]>,
    /// The interval to the next repetition; doubles up to T2.
    pub interval: std::time::Duration,
    /// When we give up: 64·T1 after the first.
    pub give_up: Instant,
    /// The timer that is set.
    pub timer: TimerId,
}

/// How far the end of a leg has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Bye {
    /// The leg isn't being ended.
    #[default]
    No,
    /// It is, but our 2xx must be ACKed or given up first (RFC 3261 §15).
    AfterAck,
    /// Our BYE is on its way.
    Sent,
    /// The leg is over: theirs came, ours was answered, or there never was a dialog.
    Done,
}

/// What both kinds of leg have.
#[derive(Debug)]
pub struct Leg {
    /// Which one.
    pub name: LegName,
    /// Our tag on it.
    pub local_tag: Token,
    /// Which of our addresses it uses.
    pub listener: ListenerId,
    /// The dialog, once there is one: the callee's is early until it answers, and the one of the fork in use.
    pub dialog: Option<Dialog>,
    /// What its peer can do.
    pub peer: Peer,
    /// A 2xx of ours that isn't ACKed yet.
    pub unacked: Option<Box<Unacked>>,
    /// An exchange under way.
    pub exchange: Exchange,
    /// What is to be said to its peer once that has ended.
    pub wanted: Option<Box<Wanted>>,
    /// Whether the offer that began it has its answer. In an early dialog that is the fork's in use.
    pub opening: Opening,
    /// How far its end has come.
    pub bye: Bye,
    /// How its trunk wants sessions timed.
    pub wish: SessionWish,
    /// Its session timer, from when there is anything to keep of it.
    pub timed: Option<Box<Session>>,
    /// Keys on their way to its peer.
    pub keys: Option<Box<info::Keys>>,
    /// What its peer keys to us; absent unless somebody listens.
    pub ear: Option<Box<keys::Ear>>,
    /// What its messages name the session by, where its trunk wants that.
    session: Option<Box<SessionId>>,
}

impl Leg {
    /// A leg without a dialog yet.
    pub fn new(name: LegName, local_tag: Token, listener: ListenerId, wish: SessionWish) -> Self {
        Self {
            name,
            local_tag,
            listener,
            dialog: None,
            peer: Peer::default(),
            unacked: None,
            exchange: Exchange::None,
            wanted: None,
            opening: Opening::Pending,
            bye: Bye::No,
            wish,
            timed: None,
            keys: None,
            ear: None,
            session: None,
        }
    }

    /// The leg's messages, and those of its dialogs, carry this Session-ID from now on.
    pub fn name_session(&mut self, session: Option<SessionId>) {
        if let (Some(dialog), Some(session)) = (&mut self.dialog, session) {
            dialog.name_session(session);
        }
        self.session = session.map(Box::new);
    }

    /// The same, for a leg whose dialog has its own name already.
    pub fn call_session(&mut self, session: Option<SessionId>) {
        self.session = session.map(Box::new);
    }

    /// What a dialog of the leg is to name the session by: our half of it is the leg's.
    pub fn session(&self) -> Option<SessionId> {
        self.session.as_deref().copied()
    }
}
