//! Transactions (RFC 3261 §17, RFC 6026): every transaction of one shard, without socket or clock.
//!
//! [`Layer`] is handed messages and time; it hands back messages to send ([`Layer::poll_send`]) and what has
//! happened ([`Layer::poll_event`]). Drain both after every call. The four machines are tables, each in a
//! file of its own with RFC 3261's figure beside it; the layer does what a table's row says.
//!
//! What the transaction user (TU) owes:
//! * every [`Received::New`] and [`Received::Cancel`] gets a final response or [`Layer::end_server`]: RFC
//!   3261 gives a server transaction that waits for its TU no timer;
//! * an INVITE that got a provisional response waits as long as the TU lets it (§17.1.1.2):
//!   [`Layer::cancel`], and [`Layer::end_client`] when even that brings no final response within 64·T1
//!   (§9.1);
//! * the ACK to a 2xx, and the 2xx's retransmissions, are the TU's (§13.2.2.4, §13.3.1.4).

mod client;
mod client_side;
mod invite_client;
mod invite_server;
mod key;
mod server;
mod server_side;
mod slab;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use client_side::Clients;
pub(super) use key::has_cookie;
use server_side::Servers;

use super::build;
use super::message::Message;
use super::method::Method;
use super::outline::Asked;
use super::path::Path;
use super::session_id::SessionId;
use crate::base::limits::TRANSACTIONS_MAX;
use crate::base::time::Instant;
use crate::base::timer::{TimerId, Timers};

/// RFC 3261's base timers (§17.1.1.1, Table 4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BaseTimers {
    /// The round-trip estimate: 500 ms. Timers A and E start with it; B, D, F, H, J, L and M are 64 times as
    /// long.
    pub t1: Duration,
    /// The longest interval of E and G: 4 s.
    pub t2: Duration,
    /// How long a message may stay in the network: 5 s. The length of I and K.
    pub t4: Duration,
}

impl Default for BaseTimers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }
}

impl BaseTimers {
    /// Timers B, F, H, L and M, and over datagrams D and J: the RFC's "64*T1".
    fn patience(self) -> Duration {
        self.t1.saturating_mul(64)
    }
}

/// Names a server transaction. A stale one finds nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ServerId(slab::Key);

impl ServerId {
    /// The name of a transaction that is over.
    pub const GONE: Self = Self(slab::Key::NOWHERE);
}

/// Names a client transaction. A stale one finds nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClientId(slab::Key);

/// A word of the TU's, given back with everything that concerns the transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Owner(pub u64);

impl Owner {
    /// Nobody waits for what becomes of the transaction: no [`Answer`] and no [`Event`] is given for it. A server
    /// transaction's owner until [`Layer::own`].
    pub const NOBODY: Self = Self(u64::MAX);
}

/// What a received request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// A request not seen before, not an ACK nor a CANCEL: the TU answers it.
    New(ServerId),
    /// Seen before: absorbed; the last response was sent again if the RFC wants it.
    Retransmission,
    /// The ACK of a response of 300–699 to this owner's INVITE: absorbed.
    AckOfFailure(Owner),
    /// An ACK of a 2xx, or a stray one: the TU looks for the dialog (§13.3.1.4).
    AckOf2xx,
    /// A CANCEL (§9.2).
    Cancel {
        /// The CANCEL's own transaction: the TU answers 200, or 481 without an INVITE.
        id: ServerId,
        /// What it cancels. The TU answers a pending one 487.
        invite: Option<(ServerId, Owner, InviteState)>,
    },
    /// A request that is here already by another way (§8.2.2.2): the TU answers 482 statelessly.
    Merged,
    /// No room for another transaction: the TU answers 503 statelessly.
    Full,
}

/// How far an INVITE is that a CANCEL names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InviteState {
    /// It has no final response: the CANCEL counts.
    Pending,
    /// It has one: the CANCEL has no effect (§9.2).
    Answered,
}

/// A response that the TU is to see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The transaction.
    pub id: ClientId,
    /// Whose it is.
    pub owner: Owner,
    /// Which of the transaction's responses.
    pub kind: AnswerKind,
    /// The request's method.
    pub method: Method,
}

/// Which of a transaction's responses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnswerKind {
    /// 100–199.
    Provisional,
    /// The final one: 200–699. The layer has sent the ACK of 300–699 to an INVITE; that of a 2xx is the TU's.
    Final,
    /// A 2xx to an INVITE of a further branch (RFC 6026 §7.2), which hasn't come before as far as that is kept. Its ACK
    /// is the TU's.
    Another2xx,
    /// One that has come before: its ACK was lost, and the TU sends it again (RFC 3261 §13.2.2.4).
    Same2xx,
}

/// What has happened by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Nobody answered (timers B, F): the request failed as if with 408 (§8.1.3.1). The transaction is over.
    Timeout(ClientId, Owner),
    /// The transport failed: as if with 503 (§8.1.3.1). The transaction is over.
    Failed(ClientId, Owner),
    /// The failure response to an INVITE got no ACK (timer H). The transaction is over.
    NoAck(ServerId, Owner),
    /// 64·T1 after the 2xx to an INVITE (timer L): whoever has no ACK by now won't get one (§13.3.1.4).
    /// Raised with and without an ACK. The transaction is over.
    ServerGone(ServerId, Owner),
}

/// What is to be thought of a message that could not be delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// There is no way there.
    Final,
    /// It may have crossed the end of a connection that had long been idle: the same request is sent once more, by
    /// a new connection. Whoever read the first takes the second for its repetition, by its branch (§17.2.3).
    Crossed,
}

/// Every transaction of one shard.
pub struct Layer {
    servers: Servers,
    clients: Clients,
    wire: Wire,
}

impl Layer {
    /// An empty layer whose hash is keyed with a constant: for tests and trusted networks.
    pub fn new(timers: BaseTimers) -> Self {
        Self::keyed(timers, [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a])
    }

    /// An empty layer. The key makes the hash unguessable, so that no stranger can choose branches that
    /// collide.
    pub fn keyed(timers: BaseTimers, hash_key: [u64; 4]) -> Self {
        let [a, b, c, d] = hash_key;
        let hasher = ahash::RandomState::with_seeds(a, b, c, d);
        Self {
            servers: Servers::new(hasher.clone(), TRANSACTIONS_MAX),
            clients: Clients::new(hasher),
            wire: Wire {
                periods: timers,
                timers: Timers::default(),
                sends: VecDeque::new(),
                events: VecDeque::new(),
            },
        }
    }

    /// From now on these are the base timers; what runs already runs on.
    pub const fn set_timers(&mut self, timers: BaseTimers) {
        self.wire.periods = timers;
    }

    /// Takes in a request that came by `came`.
    ///
    /// [`Received::Full`] beyond [`TRANSACTIONS_MAX`] server transactions; requests without a To tag, which
    /// begin something, are turned away at seven eighths of it.
    pub fn receive_request(&mut self, now: Instant, came: Path, request: &Message) -> Received {
        let method = request.method();
        if method == Method::Ack {
            self.servers.ack(&mut self.wire, now, request)
        } else if method == Method::Cancel {
            self.servers.cancel(&mut self.wire, now, came, request)
        } else {
            self.servers.request(&mut self.wire, now, came, request)
        }
    }

    /// Whether a request belongs to a server transaction that lives already and came from the same host: its
    /// repetition, or the ACK or CANCEL of its INVITE.
    pub fn knows(&self, came: Path, request: Asked<'_, '_>) -> bool {
        self.servers.knows(came, request)
    }

    /// Takes in a response. `None` if it belongs to nothing, or only repeats what the TU has seen.
    pub fn receive_response(&mut self, now: Instant, response: &Message) -> Option<Answer> {
        self.clients.response(&mut self.wire, now, response)
    }

    /// Says whose a server transaction is.
    pub fn own(&mut self, id: ServerId, owner: Owner) {
        self.servers.own(id, owner);
    }

    /// Every response to this request carries this Session-ID from now on.
    pub fn name_session(&mut self, id: ServerId, session: SessionId) {
        self.servers.name_session(id, session);
    }

    /// Sends the TU's response, and keeps it as long as the RFC wants it repeated. `status` is the response's
    /// own.
    ///
    /// A 2xx to an INVITE is repeated by the TU, by calling this again (§13.3.1.4). A response that comes too
    /// late (after the final one) is dropped.
    pub fn respond(&mut self, now: Instant, id: ServerId, status: u16, bytes: Vec<u8>) {
        self.servers.respond(&mut self.wire, now, id, status, bytes);
    }

    /// Whether a failure response to an INVITE has no ACK yet. [`Received::AckOfFailure`] or [`Event::NoAck`] tells when
    /// that changes.
    pub fn awaits_ack(&self, id: ServerId) -> bool {
        self.servers.awaits_ack(id)
    }

    /// By what the request of a server transaction is known, and where its answers go, for whoever goes on with it:
    /// [`Layer::go_on_answered`].
    pub fn known_by(&self, id: ServerId) -> Option<(&[u8], Path)> {
        self.servers.known_by(id)
    }

    /// An INVITE that another process has answered with 2xx is known here too, for 64·T1 from now: its repetitions are
    /// absorbed, and [`Layer::respond`] repeats the 2xx (RFC 6026 §7.1). `known_by` and `to` are what that process's
    /// [`Layer::known_by`] said. `None` if there is such a transaction already, or no room.
    pub fn go_on_answered(
        &mut self,
        now: Instant,
        known_by: &[u8],
        to: Path,
        owner: Owner,
    ) -> Option<ServerId> {
        self.servers
            .go_on_answered(&mut self.wire, now, known_by, to, owner)
    }

    /// The same of an INVITE without a final answer: what is responded to it goes out here.
    pub fn go_on_pending(&mut self, known_by: &[u8], to: Path, owner: Owner) -> Option<ServerId> {
        self.servers.go_on_pending(known_by, to, owner)
    }

    /// The branch of a client transaction, and where its request went, for whoever goes on with it: [`Layer::go_on`].
    pub fn asked_by(&self, id: ClientId) -> Option<(&[u8], Path)> {
        self.clients.asked_by(id)
    }

    /// Goes on with an INVITE that another process has sent, as if something had come back for it: it isn't repeated, and
    /// may be cancelled. Of `invite` what a CANCEL or ACK repeats is enough. `None`: it is no INVITE, or it is known.
    pub fn go_on(&mut self, to: Path, owner: Owner, invite: &[u8]) -> Option<ClientId> {
        self.clients.go_on(to, owner, invite)
    }

    /// Starts a client transaction with this request, and sends it.
    ///
    /// `None`, and nothing sent, if the bytes are no request, an ACK (which has no transaction), have no
    /// branch or one that is in use for this method.
    pub fn request(&mut self, now: Instant, to: Path, owner: Owner, bytes: Vec<u8>) -> Option<ClientId> {
        self.clients.request(&mut self.wire, now, to, owner, bytes)
    }

    /// Cancels an INVITE of ours (§9.1): starts the CANCEL's transaction. It is [`Owner::NOBODY`]'s, because what
    /// counts is how the INVITE ends: by 487, by an answer that crossed the CANCEL, or not at all.
    ///
    /// `None`, and nothing sent, unless the INVITE has a provisional and no final response: before the first
    /// the TU has to wait, after the last it is too late. `headers` are added to what the INVITE settles.
    pub fn cancel(&mut self, now: Instant, invite: ClientId, headers: &[(&str, &str)]) -> Option<ClientId> {
        let (to, invite) = self.clients.cancellable(invite)?;
        let bytes = build::cancel(invite, headers)?;
        self.request(now, to, Owner::NOBODY, bytes)
    }

    /// A message sent to `path` could not be delivered: the client transactions there that still wait for
    /// their final response report [`Event::Failed`] (§17.1.4), or send their request once more
    /// ([`Loss::Crossed`]). The flow of the path doesn't matter.
    pub fn failed(&mut self, now: Instant, path: Path, loss: Loss) {
        self.clients.failed(&mut self.wire, now, path, loss);
    }

    /// From now on a request is not repeated; its answers are still taken in until it is given up.
    pub fn rest(&mut self, id: ClientId) {
        self.clients.rest(&mut self.wire, id);
    }

    /// Forgets a client transaction without a trace. Its answers become strays.
    pub fn end_client(&mut self, id: ClientId) {
        self.clients.end(&mut self.wire, id);
    }

    /// Forgets a server transaction without a trace. Its request, repeated, becomes new.
    pub fn end_server(&mut self, id: ServerId) {
        self.servers.end(&mut self.wire, id);
    }

    /// When [`Layer::tick`] has something to do. It may be at once.
    pub fn timeout(&self) -> Option<Instant> {
        self.wire.timers.next()
    }

    /// Fires every timer that is due.
    pub fn tick(&mut self, now: Instant) {
        while let Some(alarm) = self.wire.timers.pop_due(now) {
            match alarm {
                Alarm::Client(id, ring) => self.clients.alarm(&mut self.wire, now, id, ring),
                Alarm::Server(id, ring) => self.servers.alarm(&mut self.wire, now, id, ring),
            }
        }
    }

    /// The next message to send.
    pub fn poll_send(&mut self) -> Option<(Path, Vec<u8>)> {
        self.wire.sends.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.wire.events.pop_front()
    }

    /// Whether nothing remains: no transaction, no timer, nothing to send, nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
            && self.wire.timers.is_empty()
            && self.wire.sends.is_empty()
            && self.wire.events.is_empty()
    }

    /// How many transactions there are.
    pub fn len(&self) -> usize {
        self.servers.len() + self.clients.len()
    }
}

/// Everything that leaves the transactions, and their timers.
struct Wire {
    periods: BaseTimers,
    timers: Timers<Alarm>,
    sends: VecDeque<(Path, Vec<u8>)>,
    events: VecDeque<Event>,
}

impl Wire {
    fn send(&mut self, to: Path, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.sends.push_back((to, bytes));
        }
    }

    /// Sends a copy of what is kept.
    fn send_kept(&mut self, to: Path, kept: &[u8]) {
        self.send(to, kept.to_vec());
    }

    /// Tells the owner, if there is one.
    fn tell(&mut self, owner: Owner, event: Event) {
        if owner != Owner::NOBODY {
            self.events.push_back(event);
        }
    }
}

/// Whose timer fires.
#[derive(Clone, Copy, Debug)]
enum Alarm {
    Client(ClientId, client_side::Ring),
    Server(ServerId, server_side::Ring),
}

/// The two timers that a transaction may have running: one to resend, one to end a state.
#[derive(Default)]
struct Clock {
    resend: Option<TimerId>,
    end: Option<TimerId>,
}

impl Clock {
    fn stop(&mut self, timers: &mut Timers<Alarm>) {
        for timer in [self.resend.take(), self.end.take()].into_iter().flatten() {
            timers.cancel(timer);
        }
    }
}
