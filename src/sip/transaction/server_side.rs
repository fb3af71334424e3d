//! Server transactions: does what the tables of [`invite_server`] and [`server`] say.

use std::time::Duration;

use super::key::{self, Index, Key, Rule, Sought};
use super::slab::Slab;
use super::{Alarm, Clock, Event, InviteState, Owner, Received, ServerId, Wire, invite_server, server};
use crate::base::time::Instant;
use crate::sip::build;
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::outline::Asked;
use crate::sip::path::Path;
use crate::sip::session_id::SessionId;

/// A timer that fired, as the machine's own event.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ring {
    Invite(invite_server::Event),
    Other(server::Event),
}

enum Machine {
    Invite(invite_server::State),
    Other(server::State),
}

struct Server {
    key: Key,
    /// Finds copies of the request that came by another way; none for a request inside a dialog.
    merged: Option<Key>,
    to: Path,
    owner: Owner,
    machine: Machine,
    /// The response that is sent again; empty if none is.
    kept: Box<[u8]>,
    /// What timer G was last set to.
    interval: Duration,
    clock: Clock,
    /// What every response to it names the session by, if they do.
    session: Option<Box<SessionId>>,
}

pub(super) struct Servers {
    all: Slab<Server>,
    by_key: Index,
    by_merged: Index,
    /// How many there may be.
    pub(super) most: usize,
}

impl Servers {
    pub(super) fn new(hasher: ahash::RandomState, most: usize) -> Self {
        Self {
            all: Slab::new(),
            by_key: Index::new(hasher.clone()),
            by_merged: Index::new(hasher),
            most,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The bytes of messages that are kept for sending again.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.all.iter().map(|(_, server)| server.kept.len()).sum()
    }

    /// Whether neither a transaction nor a key is left.
    #[cfg(test)]
    pub(super) fn is_forgotten(&self) -> bool {
        self.len() == 0 && self.by_key.is_empty() && self.by_merged.is_empty()
    }

    pub(super) fn own(&mut self, id: ServerId, owner: Owner) {
        if let Some(server) = self.all.get_mut(id.0) {
            server.owner = owner;
        }
    }

    pub(super) fn name_session(&mut self, id: ServerId, session: SessionId) {
        if let Some(server) = self.all.get_mut(id.0) {
            server.session = Some(Box::new(session));
        }
    }

    pub(super) fn known_by(&self, id: ServerId) -> Option<(&[u8], Path)> {
        let server = self.all.get(id.0)?;
        Some((&server.key, server.to))
    }

    /// An INVITE that has its 2xx from another process.
    pub(super) fn go_on_answered(
        &mut self,
        wire: &mut Wire,
        now: Instant,
        key: &[u8],
        to: Path,
        owner: Owner,
    ) -> Option<ServerId> {
        let id = self.go_on(key, to, owner, invite_server::State::Accepted)?;
        let period = wire.periods.patience();
        let server = self.all.get_mut(id.0)?;
        server.end_after(wire, now, period, id, Ring::Invite(invite_server::Event::TimerL));
        Some(id)
    }

    /// An INVITE that another process has told to wait.
    pub(super) fn go_on_pending(&mut self, key: &[u8], to: Path, owner: Owner) -> Option<ServerId> {
        self.go_on(key, to, owner, invite_server::State::Proceeding)
    }

    fn go_on(&mut self, key: &[u8], to: Path, owner: Owner, state: invite_server::State) -> Option<ServerId> {
        if self.all.len() >= self.most || self.find(key).is_some() {
            return None;
        }
        let place = self.all.insert(Server {
            key: key.into(),
            merged: None,
            to,
            owner,
            machine: Machine::Invite(state),
            kept: Box::default(),
            interval: Duration::ZERO,
            clock: Clock::default(),
            session: None,
        })?;
        self.by_key.insert(key, place);
        Some(ServerId(place))
    }

    /// A request that is neither ACK nor CANCEL.
    pub(super) fn request(
        &mut self,
        wire: &mut Wire,
        now: Instant,
        came: Path,
        request: &Message,
    ) -> Received {
        let (_, key) = key::server(request, Sought::Own);
        if let Some(id) = self.find(&key) {
            self.again(wire, now, id);
            return Received::Retransmission;
        }
        let merged = key::merged(request);
        if merged.as_deref().is_some_and(|merged| self.is_merged(merged)) {
            return Received::Merged;
        }
        let machine = if request.method() == Method::Invite {
            Machine::Invite(invite_server::State::Proceeding)
        } else {
            Machine::Other(server::State::Trying)
        };
        // The last eighth is kept for what belongs to calls.
        let room = match request.to_tag() {
            Some(_) => self.most,
            None => self.most - self.most / 8,
        };
        self.take_in(came, request, &key, merged.as_deref(), machine, room)
            .map_or(Received::Full, Received::New)
    }

    pub(super) fn cancel(&mut self, wire: &mut Wire, now: Instant, came: Path, cancel: &Message) -> Received {
        let (_, key) = key::server(cancel, Sought::Own);
        if let Some(id) = self.find(&key) {
            self.again(wire, now, id);
            return Received::Retransmission;
        }
        let machine = Machine::Other(server::State::Trying);
        let Some(id) = self.take_in(came, cancel, &key, None, machine, self.most) else {
            return Received::Full;
        };
        let (_, invite) = key::server(cancel, Sought::Invite);
        let invite = self.find(&invite).and_then(|invite| {
            let server = self.all.get(invite.0)?;
            let Machine::Invite(state) = server.machine else {
                return None;
            };
            let state = match state {
                invite_server::State::Proceeding => InviteState::Pending,
                invite_server::State::Completed
                | invite_server::State::Confirmed
                | invite_server::State::Accepted
                | invite_server::State::Terminated => InviteState::Answered,
            };
            Some((invite, server.owner, state))
        });
        Received::Cancel { id, invite }
    }

    /// Whether a transaction, or the one that an ACK or CANCEL is about, lives already and came from the same host.
    pub(super) fn knows(&self, came: Path, request: Asked<'_, '_>) -> bool {
        let key = match request {
            Asked::Whole(request) => Some(key::server(request, sought_by(request.method())).1),
            Asked::Outline(invite) => key::invite(&invite.via()),
        };
        let id = key.and_then(|key| self.find(&key));
        let server = id.and_then(|id| self.all.get(id.0));
        server.is_some_and(|server| server.to.remote.ip() == came.remote.ip())
    }

    pub(super) fn ack(&mut self, wire: &mut Wire, now: Instant, ack: &Message) -> Received {
        let (rule, key) = key::server(ack, Sought::Invite);
        let Some(id) = self.find(&key) else {
            return Received::AckOf2xx;
        };
        let Some(server) = self.all.get(id.0) else {
            return Received::AckOf2xx;
        };
        // RFC 2543's branches say nothing: the ACK's To tag has to be the response's (§17.2.3).
        if rule == Rule::Headers
            && let Ok(response) = Message::parse(&server.kept)
            && response.to_tag() != ack.to_tag()
        {
            return Received::AckOf2xx;
        }
        let owner = server.owner;
        match self.invite(wire, now, id, invite_server::Event::Ack, None) {
            invite_server::Act::Confirm => Received::AckOfFailure(owner),
            invite_server::Act::PassAck => Received::AckOf2xx,
            invite_server::Act::Nothing
            | invite_server::Act::Send
            | invite_server::Act::Accept
            | invite_server::Act::SendAgain
            | invite_server::Act::Reject
            | invite_server::Act::Repeat
            | invite_server::Act::Resend
            | invite_server::Act::NoAck
            | invite_server::Act::Gone
            | invite_server::Act::End => Received::Retransmission,
        }
    }

    pub(super) fn awaits_ack(&self, id: ServerId) -> bool {
        let server = self.all.get(id.0);
        server
            .is_some_and(|server| matches!(server.machine, Machine::Invite(invite_server::State::Completed)))
    }

    pub(super) fn respond(
        &mut self,
        wire: &mut Wire,
        now: Instant,
        id: ServerId,
        status: u16,
        mut bytes: Vec<u8>,
    ) {
        let server = self.all.get(id.0);
        if let Some(session) = server.and_then(|server| server.session.as_deref()) {
            bytes = build::with_session(&bytes, session);
        }
        match server.map(|server| &server.machine) {
            Some(Machine::Invite(_)) => {
                let event = match status {
                    ..200 => invite_server::Event::Provisional,
                    200..300 => invite_server::Event::Success,
                    300.. => invite_server::Event::Failure,
                };
                self.invite(wire, now, id, event, Some(bytes));
            }
            Some(Machine::Other(_)) => {
                let event = match status {
                    ..200 => server::Event::Provisional,
                    200.. => server::Event::Final,
                };
                self.other(wire, now, id, event, Some(bytes));
            }
            None => {}
        }
    }

    pub(super) fn alarm(&mut self, wire: &mut Wire, now: Instant, id: ServerId, ring: Ring) {
        match ring {
            Ring::Invite(event) => {
                self.invite(wire, now, id, event, None);
            }
            Ring::Other(event) => self.other(wire, now, id, event, None),
        }
    }

    pub(super) fn end(&mut self, wire: &mut Wire, id: ServerId) {
        if let Some(mut server) = self.all.remove(id.0) {
            server.clock.stop(&mut wire.timers);
            self.by_key.remove(&server.key, id.0);
            if let Some(merged) = &server.merged {
                self.by_merged.remove(merged, id.0);
            }
        }
    }

    fn find(&self, key: &[u8]) -> Option<ServerId> {
        let is = |place| self.all.get(place).is_some_and(|server| *server.key == *key);
        self.by_key.find(key, is).map(ServerId)
    }

    fn is_merged(&self, key: &[u8]) -> bool {
        let is = |place| {
            self.all
                .get(place)
                .is_some_and(|server| server.merged.as_deref() == Some(key))
        };
        self.by_merged.find(key, is).is_some()
    }

    fn take_in(
        &mut self,
        came: Path,
        request: &Message,
        key: &[u8],
        merged: Option<&[u8]>,
        machine: Machine,
        room: usize,
    ) -> Option<ServerId> {
        if self.all.len() >= room {
            return None;
        }
        let place = self.all.insert(Server {
            key: key.into(),
            merged: merged.map(Key::from),
            to: build::reply_path_by(&request.via(), came),
            owner: Owner::NOBODY,
            machine,
            kept: Box::default(),
            interval: Duration::ZERO,
            clock: Clock::default(),
            session: None,
        })?;
        self.by_key.insert(key, place);
        if let Some(merged) = merged {
            self.by_merged.insert(merged, place);
        }
        Some(ServerId(place))
    }

    /// The request came again.
    fn again(&mut self, wire: &mut Wire, now: Instant, id: ServerId) {
        match self.all.get(id.0).map(|server| &server.machine) {
            Some(Machine::Invite(_)) => {
                self.invite(wire, now, id, invite_server::Event::Invite, None);
            }
            Some(Machine::Other(_)) => self.other(wire, now, id, server::Event::Request, None),
            None => {}
        }
    }

    /// One step of an INVITE's machine; what was done.
    fn invite(
        &mut self,
        wire: &mut Wire,
        now: Instant,
        id: ServerId,
        event: invite_server::Event,
        response: Option<Vec<u8>>,
    ) -> invite_server::Act {
        use invite_server::Act;
        let Some(server) = self.all.get_mut(id.0) else {
            return Act::Nothing;
        };
        let Machine::Invite(state) = &mut server.machine else {
            return Act::Nothing;
        };
        let (next, act) = invite_server::step(*state, event);
        *state = next;
        match act {
            Act::Nothing | Act::PassAck => {}
            Act::Send => server.send(wire, response),
            Act::Accept => {
                server.kept = Box::default();
                wire.send(server.to, response.unwrap_or_default());
                let period = wire.periods.patience();
                server.end_after(wire, now, period, id, Ring::Invite(invite_server::Event::TimerL));
            }
            Act::SendAgain => wire.send(server.to, response.unwrap_or_default()),
            Act::Reject => {
                server.send(wire, response);
                server.interval = wire.periods.t1;
                let period = wire.periods.patience();
                server.end_after(wire, now, period, id, Ring::Invite(invite_server::Event::TimerH));
                if !server.to.transport.is_reliable() {
                    server.set_timer_g(wire, now, id);
                }
            }
            Act::Repeat => wire.send_kept(server.to, &server.kept),
            Act::Resend => {
                wire.send_kept(server.to, &server.kept);
                server.interval = server.interval.saturating_mul(2).min(wire.periods.t2);
                server.set_timer_g(wire, now, id);
            }
            Act::Confirm => {
                server.kept = Box::default();
                let period = if server.to.transport.is_reliable() {
                    Duration::ZERO
                } else {
                    wire.periods.t4
                };
                server.end_after(wire, now, period, id, Ring::Invite(invite_server::Event::TimerI));
            }
            Act::NoAck => {
                wire.tell(server.owner, Event::NoAck(id, server.owner));
                self.end(wire, id);
            }
            Act::Gone => {
                wire.tell(server.owner, Event::ServerGone(id, server.owner));
                self.end(wire, id);
            }
            Act::End => self.end(wire, id),
        }
        act
    }

    /// One step of another request's machine.
    fn other(
        &mut self,
        wire: &mut Wire,
        now: Instant,
        id: ServerId,
        event: server::Event,
        response: Option<Vec<u8>>,
    ) {
        use server::Act;
        let Some(server) = self.all.get_mut(id.0) else {
            return;
        };
        let Machine::Other(state) = &mut server.machine else {
            return;
        };
        let (next, act) = server::step(*state, event);
        *state = next;
        match act {
            Act::Nothing => {}
            Act::Send => server.send(wire, response),
            Act::Finish => {
                server.send(wire, response);
                let period = if server.to.transport.is_reliable() {
                    Duration::ZERO
                } else {
                    wire.periods.patience()
                };
                server.end_after(wire, now, period, id, Ring::Other(server::Event::TimerJ));
            }
            Act::Repeat => wire.send_kept(server.to, &server.kept),
            Act::End => self.end(wire, id),
        }
    }
}

/// Which transaction a request of this method is known by.
fn sought_by(method: Method) -> Sought {
    if method == Method::Ack || method == Method::Cancel {
        Sought::Invite
    } else {
        Sought::Own
    }
}

impl Server {
    /// Sends the TU's response and keeps it.
    fn send(&mut self, wire: &mut Wire, response: Option<Vec<u8>>) {
        let response = response.unwrap_or_default();
        // To the byte: it stays for seconds.
        self.kept = response.as_slice().into();
        wire.send(self.to, response);
    }

    /// Stops every timer but the one that ends this state.
    fn end_after(&mut self, wire: &mut Wire, now: Instant, period: Duration, id: ServerId, ring: Ring) {
        self.clock.stop(&mut wire.timers);
        self.clock.end = Some(wire.timers.set(now + period, Alarm::Server(id, ring)));
    }

    fn set_timer_g(&mut self, wire: &mut Wire, now: Instant, id: ServerId) {
        let alarm = Alarm::Server(id, Ring::Invite(invite_server::Event::TimerG));
        self.clock.resend = Some(wire.timers.set(now + self.interval, alarm));
    }
}
