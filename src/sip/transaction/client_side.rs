//! Client transactions: does what the tables of [`invite_client`] and [`client`] say.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::key::{self, Index, Key};
use super::slab::{self, Slab};
use super::{Alarm, Answer, AnswerKind, ClientId, Clock, Event, Loss, Owner, Wire, client, invite_client};
use crate::base::limits::ANSWERS_MAX;
use crate::base::time::Instant;
use crate::sip::build;
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::path::{ListenerId, Path, Transport};

/// A timer that fired, as the machine's own event.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ring {
    Invite(invite_client::Event),
    Other(client::Event),
}

enum Machine {
    Invite(invite_client::State),
    Other(client::State),
}

struct Client {
    key: Key,
    to: Path,
    /// Its place among those that [`Waiting`] has for its destination.
    waits: Option<usize>,
    owner: Owner,
    machine: Machine,
    /// What is sent again: the request, later the ACK of a failure, at last nothing.
    kept: Box<[u8]>,
    /// What timer A or E was last set to.
    interval: Duration,
    clock: Clock,
    tries: Tries,
    /// Whose 2xx to an INVITE have come: a hash of each one's tag.
    accepted: Vec<u64>,
}

/// How often a request was begun to be sent over a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tries {
    Once,
    Twice,
}

pub(super) struct Clients {
    all: Slab<Client>,
    by_key: Index,
    waiting: Waiting,
    hasher: ahash::RandomState,
}

/// Where messages go; the flow doesn't matter.
type Destination = (ListenerId, Transport, SocketAddr);

/// The transactions that a transport error concerns, by where they sent: those that wait for their first response
/// or their final one. An error is a look-up: a gateway that is gone brings one for every message.
struct Waiting(HashMap<Destination, Vec<slab::Key>, ahash::RandomState>);

fn destination(path: Path) -> Destination {
    (path.listener, path.transport, path.remote)
}

impl Clients {
    pub(super) fn new(hasher: ahash::RandomState) -> Self {
        Self {
            all: Slab::new(),
            by_key: Index::new(hasher.clone()),
            waiting: Waiting(HashMap::with_hasher(hasher.clone())),
            hasher,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The bytes of messages that are kept for sending again.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.all.iter().map(|(_, client)| client.kept.len()).sum()
    }

    /// Whether neither a transaction nor a key is left.
    #[cfg(test)]
    pub(super) fn is_forgotten(&self) -> bool {
        self.len() == 0 && self.by_key.is_empty() && self.waiting.0.is_empty()
    }

    pub(super) fn request(
        &mut self,
        wire: &mut Wire,
        now: Instant,
        to: Path,
        owner: Owner,
        bytes: Vec<u8>,
    ) -> Option<ClientId> {
        // We have just written it ourselves: what it says is sound, only what it is has to be known.
        let (method, branch) = build::method_and_branch(&bytes)?;
        if method == Method::Ack {
            return None;
        }
        let key = key::client_of(branch, method);
        if self.find(&key).is_some() {
            return None;
        }
        let machine = if method == Method::Invite {
            Machine::Invite(invite_client::State::Calling)
        } else {
            Machine::Other(client::State::Trying)
        };
        let (resend, give_up) = match machine {
            Machine::Invite(_) => (
                Ring::Invite(invite_client::Event::TimerA),
                Ring::Invite(invite_client::Event::TimerB),
            ),
            Machine::Other(_) => (
                Ring::Other(client::Event::TimerE),
                Ring::Other(client::Event::TimerF),
            ),
        };
        let place = self.all.insert(Client {
            key: key.as_slice().into(),
            to,
            waits: None,
            owner,
            machine,
            // To the byte: it stays for seconds.
            kept: bytes.as_slice().into(),
            interval: wire.periods.t1,
            clock: Clock::default(),
            tries: Tries::Once,
            accepted: Vec::new(),
        })?;
        self.by_key.insert(&key, place);
        self.wait(place);
        let id = ClientId(place);
        let client = self.all.get_mut(place)?;
        wire.send(to, bytes);
        if !to.transport.is_reliable() {
            client.clock.resend = Some(wire.timers.set(now + wire.periods.t1, Alarm::Client(id, resend)));
        }
        let end = now + wire.periods.patience();
        client.clock.end = Some(wire.timers.set(end, Alarm::Client(id, give_up)));
        Some(id)
    }

    pub(super) fn asked_by(&self, id: ClientId) -> Option<(&[u8], Path)> {
        let client = self.all.get(id.0)?;
        Some((key::branch_of(&client.key)?, client.to))
    }

    /// An INVITE that another process has sent.
    pub(super) fn go_on(&mut self, to: Path, owner: Owner, invite: &[u8]) -> Option<ClientId> {
        let (method, branch) = build::method_and_branch(invite)?;
        let key = key::client_of(branch, method);
        if method != Method::Invite || self.find(&key).is_some() {
            return None;
        }
        let place = self.all.insert(Client {
            key: key.as_slice().into(),
            to,
            waits: None,
            owner,
            machine: Machine::Invite(invite_client::State::Proceeding),
            kept: invite.into(),
            interval: Duration::ZERO,
            clock: Clock::default(),
            tries: Tries::Once,
            accepted: Vec::new(),
        })?;
        self.by_key.insert(&key, place);
        Some(ClientId(place))
    }

    pub(super) fn response(&mut self, wire: &mut Wire, now: Instant, response: &Message) -> Option<Answer> {
        let status = response.status()?;
        let id = self.find(&key::client(response)?)?;
        let client = self.all.get(id.0)?;
        let owner = client.owner;
        let kind = match client.machine {
            Machine::Invite(_) => {
                let event = match status {
                    ..200 => invite_client::Event::Provisional,
                    200..300 => invite_client::Event::Success,
                    300.. => invite_client::Event::Failure,
                };
                self.invite(wire, now, id, event, Some(response))
            }
            Machine::Other(_) => {
                let event = match status {
                    ..200 => client::Event::Provisional,
                    200.. => client::Event::Final,
                };
                self.other(wire, now, id, event)
            }
        }?;
        (owner != Owner::NOBODY).then_some(Answer {
            id,
            owner,
            kind,
            method: response.method(),
        })
    }

    /// The way and the bytes of an INVITE that may be cancelled now.
    pub(super) fn cancellable(&self, id: ClientId) -> Option<(Path, &[u8])> {
        let client = self.all.get(id.0)?;
        match client.machine {
            Machine::Invite(invite_client::State::Proceeding) => Some((client.to, &client.kept)),
            Machine::Invite(
                invite_client::State::Calling
                | invite_client::State::Completed
                | invite_client::State::Accepted
                | invite_client::State::Terminated,
            )
            | Machine::Other(_) => None,
        }
    }

    pub(super) fn failed(&mut self, wire: &mut Wire, now: Instant, path: Path, loss: Loss) {
        let hit = self.waiting.0.get(&destination(path)).cloned();
        for id in hit.unwrap_or_default().into_iter().map(ClientId) {
            // Over TLS two trunks at one address have connections of their own.
            let parties = |client: &Client| client.to.party.zip(path.party);
            if (self.all.get(id.0).and_then(parties)).is_some_and(|(waits, failed)| waits != failed) {
                continue;
            }
            if let Some(client) = self.all.get_mut(id.0)
                && (loss, client.tries) == (Loss::Crossed, Tries::Once)
            {
                client.tries = Tries::Twice;
                wire.send_kept(client.to, &client.kept);
                continue;
            }
            match self.all.get(id.0).map(|client| &client.machine) {
                Some(Machine::Invite(_)) => {
                    self.invite(wire, now, id, invite_client::Event::TransportError, None);
                }
                Some(Machine::Other(_)) => {
                    self.other(wire, now, id, client::Event::TransportError);
                }
                None => {}
            }
        }
    }

    pub(super) fn alarm(&mut self, wire: &mut Wire, now: Instant, id: ClientId, ring: Ring) {
        match ring {
            Ring::Invite(event) => self.invite(wire, now, id, event, None),
            Ring::Other(event) => self.other(wire, now, id, event),
        };
    }

    pub(super) fn rest(&mut self, wire: &mut Wire, id: ClientId) {
        if let Some(timer) = self
            .all
            .get_mut(id.0)
            .and_then(|client| client.clock.resend.take())
        {
            wire.timers.cancel(timer);
        }
    }

    pub(super) fn end(&mut self, wire: &mut Wire, id: ClientId) {
        self.wait_no_more(id.0);
        if let Some(mut client) = self.all.remove(id.0) {
            client.clock.stop(&mut wire.timers);
            self.by_key.remove(&client.key, id.0);
        }
    }

    /// From now on a transport error concerns it.
    fn wait(&mut self, place: slab::Key) {
        if let Some(client) = self.all.get_mut(place) {
            let there = self.waiting.0.entry(destination(client.to)).or_default();
            client.waits = Some(there.len());
            there.push(place);
        }
    }

    /// No transport error concerns it any more.
    fn wait_no_more(&mut self, place: slab::Key) {
        let Some(client) = self.all.get_mut(place) else {
            return;
        };
        let (Some(at), to) = (client.waits.take(), destination(client.to)) else {
            return;
        };
        let Some(there) = self.waiting.0.get_mut(&to) else {
            return;
        };
        there.swap_remove(at);
        match there.get(at) {
            Some(moved) => {
                if let Some(moved) = self.all.get_mut(*moved) {
                    moved.waits = Some(at);
                }
            }
            None if there.is_empty() => {
                self.waiting.0.remove(&to);
            }
            None => {}
        }
    }

    fn find(&self, key: &[u8]) -> Option<ClientId> {
        let is = |place| self.all.get(place).is_some_and(|client| *client.key == *key);
        self.by_key.find(key, is).map(ClientId)
    }

    /// One step of an INVITE's machine; what the TU is to see of the response, if anything.
    fn invite(
        &mut self,
        wire: &mut Wire,
        now: Instant,
        id: ClientId,
        event: invite_client::Event,
        response: Option<&Message>,
    ) -> Option<AnswerKind> {
        use invite_client::Act;
        let tag_hash = response.map_or(0, |response| self.hasher.hash_one(response.to_tag()));
        let client = self.all.get_mut(id.0)?;
        let Machine::Invite(state) = &mut client.machine else {
            return None;
        };
        let (next, act) = invite_client::step(*state, event);
        *state = next;
        if next != invite_client::State::Calling {
            self.wait_no_more(id.0);
        }
        let client = self.all.get_mut(id.0)?;
        match act {
            Act::Nothing => None,
            Act::Deliver => {
                client.clock.stop(&mut wire.timers);
                Some(AnswerKind::Provisional)
            }
            Act::Accept => {
                client.kept = Box::default();
                client.accepts(tag_hash);
                let period = wire.periods.patience();
                client.end_after(wire, now, period, id, Ring::Invite(invite_client::Event::TimerM));
                Some(AnswerKind::Final)
            }
            Act::DeliverAgain => Some(client.accepts(tag_hash)),
            Act::Ack => {
                let ack = response.and_then(|response| build::ack_for_failure(&client.kept, response));
                let ack = ack.unwrap_or_default();
                client.kept = ack.as_slice().into();
                wire.send(client.to, ack);
                // "At least 32 s" over datagrams (§17.1.1.2): as long as the other side's timer H.
                let period = if client.to.transport.is_reliable() {
                    Duration::ZERO
                } else {
                    wire.periods.patience()
                };
                client.end_after(wire, now, period, id, Ring::Invite(invite_client::Event::TimerD));
                Some(AnswerKind::Final)
            }
            Act::AckAgain => {
                wire.send_kept(client.to, &client.kept);
                None
            }
            Act::Resend => {
                client.interval = client.interval.saturating_mul(2);
                client.resend(wire, now, id, Ring::Invite(invite_client::Event::TimerA));
                None
            }
            Act::Timeout => {
                wire.tell(client.owner, Event::Timeout(id, client.owner));
                self.end(wire, id);
                None
            }
            Act::Fail => {
                wire.tell(client.owner, Event::Failed(id, client.owner));
                self.end(wire, id);
                None
            }
            Act::End => {
                self.end(wire, id);
                None
            }
        }
    }

    /// One step of another request's machine; what the TU is to see of the response, if anything.
    fn other(
        &mut self,
        wire: &mut Wire,
        now: Instant,
        id: ClientId,
        event: client::Event,
    ) -> Option<AnswerKind> {
        use client::Act;
        let client = self.all.get_mut(id.0)?;
        let Machine::Other(state) = &mut client.machine else {
            return None;
        };
        let (next, act) = client::step(*state, event);
        *state = next;
        if matches!(next, client::State::Completed | client::State::Terminated) {
            self.wait_no_more(id.0);
        }
        let client = self.all.get_mut(id.0)?;
        match act {
            Act::Nothing => None,
            Act::Deliver => Some(AnswerKind::Provisional),
            Act::Finish => {
                client.kept = Box::default();
                let period = if client.to.transport.is_reliable() {
                    Duration::ZERO
                } else {
                    wire.periods.t4
                };
                client.end_after(wire, now, period, id, Ring::Other(client::Event::TimerK));
                Some(AnswerKind::Final)
            }
            Act::Resend => {
                client.interval = client.interval.saturating_mul(2).min(wire.periods.t2);
                client.resend(wire, now, id, Ring::Other(client::Event::TimerE));
                None
            }
            Act::ResendSlowly => {
                client.interval = wire.periods.t2;
                client.resend(wire, now, id, Ring::Other(client::Event::TimerE));
                None
            }
            Act::Timeout => {
                wire.tell(client.owner, Event::Timeout(id, client.owner));
                self.end(wire, id);
                None
            }
            Act::Fail => {
                wire.tell(client.owner, Event::Failed(id, client.owner));
                self.end(wire, id);
                None
            }
            Act::End => {
                self.end(wire, id);
                None
            }
        }
    }
}

impl Client {
    /// Takes note of a 2xx to the INVITE from the branch with this tag.
    fn accepts(&mut self, tag_hash: u64) -> AnswerKind {
        if self.accepted.contains(&tag_hash) {
            return AnswerKind::Same2xx;
        }
        if self.accepted.len() < ANSWERS_MAX {
            self.accepted.push(tag_hash);
        }
        AnswerKind::Another2xx
    }

    /// Stops every timer but the one that ends this state.
    fn end_after(&mut self, wire: &mut Wire, now: Instant, period: Duration, id: ClientId, ring: Ring) {
        self.clock.stop(&mut wire.timers);
        self.clock.end = Some(wire.timers.set(now + period, Alarm::Client(id, ring)));
    }

    /// Sends what is kept, and sets the timer that does so again.
    fn resend(&mut self, wire: &mut Wire, now: Instant, id: ClientId, ring: Ring) {
        wire.send_kept(self.to, &self.kept);
        self.clock.resend = Some(wire.timers.set(now + self.interval, Alarm::Client(id, ring)));
    }
}
