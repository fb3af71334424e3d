//! The corridor: every input comes in here, is taken to the room that knows, and every output leaves here.
//! Rooms are called by it, never by each other's doors.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use super::admit;
use super::cdr::ReleasedBy;
use super::config::{Config, Strangers};
use super::exchange::Carrier;
use super::exchange::theirs::Came;
use super::hands::{CallRef, CallTimer, Hands, Purpose, owned};
use super::inspect;
use super::leg::callee::Lost;
use super::leg::caller::InviteState;
use super::leg::forks::{decline, last_cseq_of};
use super::leg::{ALLOW, Bye};
use super::listing::Listing;
use super::media::{MediaPort, Report};
use super::overload::Door;
use super::phase::{Call, CalleeFate, End, Recorded};
use super::port::{Answer, Command, Found, Heading, Input, LegName, Note, Output, Records, Why};
use super::ports::Ports;
use super::refusal::{self, Bounce};
use super::trunk::{self};
use crate::base::chance::Chance;
use crate::base::id::Id;
use crate::base::shard::Shard;
use crate::base::time::{Instant, Now};
use crate::base::timer::Timers;
use crate::masking::reason::Reason;
use crate::masking::table::Table;
use crate::sip::build::{self, Response};
use crate::sip::dialog::{Dialog, Sequence};
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::path::Path;
use crate::sip::reason;
use crate::sip::transaction::{
    self, AnswerKind, BaseTimers, InviteState as InviteSide, Layer, Loss, Owner, Received, ServerId,
};

/// One shard's switch: the whole server, to the simulator.
pub struct Switch {
    pub(super) config: Arc<Config>,
    pub(super) table: Arc<Table>,
    pub(super) hands: Hands,
    pub(super) calls: Vec<Option<Box<Call>>>,
    pub(super) generations: Vec<u32>,
    pub(super) free: Vec<u32>,
    pub(super) live: usize,
    pub(super) by_id: HashMap<Id, CallRef, ahash::RandomState>,
    pub(super) late: VecDeque<Late>,
    pub(super) door: Door,
    pub(super) records: Records,
    /// A listing of the calls that waits for their counts.
    pub(super) listing: Option<Listing>,
}

/// The answer to somebody who is no live party: it waits for its fixed offset from arrival.
pub(super) struct Late {
    pub(super) at: Instant,
    pub(super) server: ServerId,
    pub(super) status: u16,
    pub(super) bytes: Vec<u8>,
}

fn base_timers(config: &Config) -> BaseTimers {
    BaseTimers {
        t1: config.timers.t1,
        t2: config.timers.t2,
        t4: config.timers.t4,
    }
}

impl Switch {
    /// A switch without calls. `table` is shared by all shards.
    pub fn new(config: Arc<Config>, table: Arc<Table>, shard: Shard, mut chance: Chance) -> Self {
        let seeds = [chance.bits(), chance.bits(), chance.bits(), chance.bits()];
        let state = || ahash::RandomState::with_seeds(seeds[0], seeds[1], seeds[2], seeds[3]);
        let timers = base_timers(&config);
        let media = &config.media;
        let mut hands = Hands {
            layer: Layer::keyed(timers, seeds),
            out: Default::default(),
            timers: Timers::default(),
            ports: Ports::slice(media.ranges(), shard.index, shard.count, media.threads),
            chance,
            dialogs: HashMap::with_hasher(state()),
            by_port: HashMap::with_hasher(state()),
            shard,
        };
        hands.bind_ahead(Instant::default());
        Self {
            config,
            table,
            hands,
            calls: Vec::new(),
            generations: Vec::new(),
            free: Vec::new(),
            live: 0,
            by_id: HashMap::with_hasher(state()),
            late: VecDeque::new(),
            door: Door::Open,
            records: Records::Kept,
            listing: None,
        }
    }

    /// Takes one input. Drain [`Switch::poll`] afterwards.
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        match input {
            Input::Packet { path, bytes } => self.packet(now, path, bytes),
            Input::Failed(path, why) => self.send_failed(now, path, why),
            Input::Timeout => self.tick(now),
            Input::Media(report) => self.media(now, report),
            Input::Order(command) => self.order(now, command),
            Input::Config(config) => {
                self.hands.layer.set_timers(base_timers(&config));
                self.config = config;
            }
        }
        self.transaction_events(now);
        self.hands.collect_sends();
    }

    /// The next output, in order; `None` when all are out.
    pub fn poll(&mut self) -> Option<Output> {
        self.hands.out.pop_front()
    }

    /// When [`Input::Timeout`] is due.
    pub fn timeout(&self) -> Option<Instant> {
        let late = self.late.front().map(|late| late.at);
        let listing = self.listing.as_ref().map(Listing::until);
        [
            self.hands.timers.next(),
            self.hands.layer.timeout(),
            late,
            listing,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether no call, transaction, timer, dialog or port in use remains.
    pub fn is_idle(&self) -> bool {
        self.live == 0
            && self.hands.layer.is_empty()
            && self.hands.timers.is_empty()
            && self.hands.dialogs.is_empty()
            && self.hands.ports.in_use() == 0
            && self.by_id.is_empty()
            && self.hands.by_port.is_empty()
            && self.late.is_empty()
    }

    /// Calls that could begin at this instant with ports that are bound and free.
    pub fn berths_ready(&self) -> usize {
        self.hands.ports.ready()
    }

    /// Live calls.
    pub fn calls(&self) -> usize {
        self.live
    }

    // ---- messages

    fn packet(&mut self, now: Now, path: Path, bytes: &[u8]) {
        let read = if path.transport.is_reliable() {
            Message::parse_framed(bytes)
        } else {
            Message::parse(bytes)
        };
        let message = match read {
            Ok(message) => message,
            Err(unreadable) => {
                self.hands.note(Note::Malformed);
                if let (Some(status), Some(head)) = (unreadable.status, unreadable.head)
                    && trunk::of_source(&self.config.trunks, path.remote.ip()).is_some()
                {
                    let to_tag = self.hands.tag_for(&head);
                    // RFC 3261 §21.4.1 wants the fault named; our reason phrases are fixed.
                    let warning = format!("399 umbra \"{}\"", unreadable.why);
                    let response = Response {
                        status,
                        to_tag: Some(&to_tag),
                        contact: None,
                        headers: &[("Warning", &warning)],
                        body: None,
                    };
                    let bytes = build::response(&head, path.remote, &response);
                    self.hands.send(build::reply_path(&head, path), bytes);
                }
                return;
            }
        };
        match message.status() {
            Some(_) => self.response(now, path, &message),
            None => self.request(now, path, &message),
        }
    }

    fn response(&mut self, now: Now, path: Path, message: &Message<'_>) {
        let Some(answer) = self.hands.layer.receive_response(now.at, message) else {
            return;
        };
        let (me, purpose) = owned(answer.owner);
        let is_final = message.status().unwrap_or(0) >= 200;
        let Some(mut call) = self.take(me) else {
            if answer.kind == AnswerKind::Another2xx {
                // A fork that answers after the call is over, or a 2xx whose ACK was lost.
                let last = last_cseq_of(message);
                decline(&mut self.hands, now, path, &self.config, message, last);
            }
            return;
        };
        if let Some(leg) = purpose.leg() {
            call.hear_session(leg, message.to().tag().unwrap_or_default(), message);
        }
        let hands = &mut self.hands;
        match purpose {
            Purpose::Invite(LegName::Callee) => {
                call.hear_targets(&self.table, &answer, message);
                call.callee_answered(hands, now, &answer, message);
            }
            Purpose::Exchange(leg) => call.offer_answered(hands, now, leg, &answer, message),
            Purpose::Bye(leg) => {
                call.note_message(now.at, leg, Heading::In, Method::Bye, message.status(), false);
                if is_final {
                    call.leg_over(leg);
                }
            }
            Purpose::Info(leg) => call.key_told(hands, now, leg, message.status().unwrap_or(0)),
            Purpose::Prack => {
                call.note_message(
                    now.at,
                    LegName::Callee,
                    Heading::In,
                    Method::Prack,
                    message.status(),
                    false,
                );
            }
            Purpose::Cancel | Purpose::Other | Purpose::Invite(LegName::Caller) => {}
        }
        self.put_back(call);
    }

    fn request(&mut self, now: Now, path: Path, message: &Message<'_>) {
        let in_dialog = message.to().tag().is_some();
        let is_of_dialog =
            || in_dialog && Dialog::id_of(message).is_some_and(|id| self.hands.dialogs.contains_key(&id));
        // What belongs to a dialog or a transaction passes even if its trunk has left the conf.
        if trunk::of_source(&self.config.trunks, path.remote.ip()).is_none()
            && !is_of_dialog()
            && !self.hands.layer.knows(path, message)
        {
            return self.stranger(path, message);
        }
        match self.hands.layer.receive_request(now.at, path, message) {
            Received::New(server) if in_dialog => self.in_dialog(now, path, server, message),
            Received::New(server) => self.out_of_dialog(now, path, server, message),
            Received::AckOf2xx => self.ack(now, message),
            Received::Cancel { id, invite } => self.cancel(now, path, id, invite, message),
            Received::Merged => self.stateless(path, message, &Bounce::status(482)),
            Received::Full => {
                self.hands.note(Note::Shed);
                self.stateless(path, message, &admit::shed());
            }
            Received::Retransmission | Received::AckOfFailure(_) => {}
        }
    }

    /// Somebody who is no trunk's: no state is made for it.
    fn stranger(&mut self, path: Path, message: &Message<'_>) {
        self.hands.note(Note::Stranger);
        match (self.config.strangers, message.method()) {
            (Strangers::Silence, _) | (Strangers::Forbid, Method::Ack) => {}
            (
                Strangers::Forbid,
                Method::Invite
                | Method::Bye
                | Method::Cancel
                | Method::Options
                | Method::Register
                | Method::Prack
                | Method::Subscribe
                | Method::Notify
                | Method::Publish
                | Method::Info
                | Method::Refer
                | Method::Message
                | Method::Update
                | Method::Unknown,
            ) => self.stateless(path, message, &Bounce::status(403)),
        }
    }

    fn stateless(&mut self, path: Path, message: &Message<'_>, bounce: &Bounce) {
        if message.method() == Method::Ack {
            return;
        }
        let bytes = self.bounce_bytes(path, message, bounce);
        self.hands.send(build::reply_path(message.head(), path), bytes);
    }

    pub(super) fn bounce_bytes(&mut self, path: Path, message: &Message<'_>, bounce: &Bounce) -> Vec<u8> {
        let to_tag = self.hands.tag_for(message.head());
        let headers: arrayvec::ArrayVec<(&str, &str), 1> = bounce
            .header
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let response = Response {
            status: bounce.status,
            to_tag: Some(&to_tag),
            contact: None,
            headers: &headers,
            body: None,
        };
        build::response(message.head(), path.remote, &response)
    }

    pub(super) fn bounce(
        &mut self,
        now: Now,
        path: Path,
        server: ServerId,
        message: &Message<'_>,
        bounce: &Bounce,
    ) {
        let bytes = self.bounce_bytes(path, message, bounce);
        self.hands.layer.respond(now.at, server, bounce.status, bytes);
    }

    fn out_of_dialog(&mut self, now: Now, path: Path, server: ServerId, message: &Message<'_>) {
        let bounce = match message.method() {
            Method::Invite => return self.invite(now, path, server, message),
            Method::Options => match inspect::check_request(message) {
                Ok(()) => {
                    let status = match self.door {
                        Door::Open => 200,
                        Door::Draining => 503,
                    };
                    return self.options(now, path, server, message, status);
                }
                Err(bounce) => bounce,
            },
            // RFC 3261 §15.1.2, §9.2, RFC 3262 §3: a BYE, CANCEL or PRACK that matches nothing; RFC 6086 §4.2.2, RFC
            // 3311 §5.2: an INFO or UPDATE of no call.
            Method::Bye | Method::Cancel | Method::Ack | Method::Prack | Method::Info | Method::Update => {
                Bounce::status(481)
            }
            Method::Register
            | Method::Subscribe
            | Method::Notify
            | Method::Publish
            | Method::Refer
            | Method::Message => Bounce::with(405, "Allow", ALLOW.into()),
            Method::Unknown => Bounce::with(501, "Allow", ALLOW.into()),
        };
        self.bounce(now, path, server, message, &bounce);
    }

    fn options(&mut self, now: Now, path: Path, server: ServerId, message: &Message<'_>, status: u16) {
        let to_tag = self.hands.tag_for(message.head());
        let headers = [("Allow", ALLOW), ("Accept", inspect::ACCEPT)];
        let response = Response {
            status,
            to_tag: Some(&to_tag),
            contact: None,
            headers: &headers,
            body: None,
        };
        let bytes = build::response(message.head(), path.remote, &response);
        self.hands.layer.respond(now.at, server, status, bytes);
    }

    fn in_dialog(&mut self, now: Now, path: Path, server: ServerId, message: &Message<'_>) {
        let found = Dialog::id_of(message).and_then(|id| self.hands.dialogs.get(&id).copied());
        let Some((me, name)) = found else {
            self.hands.note(Note::Stray);
            return self.bounce(now, path, server, message, &Bounce::status(481));
        };
        let Some(mut call) = self.take(me) else {
            return self.bounce(now, path, server, message, &Bounce::status(481));
        };
        let theirs = message.from().tag().unwrap_or_default();
        if let Some(session) = call.hear_session(name, theirs, message) {
            self.hands.layer.name_session(server, session);
        }
        let in_order = call
            .dialog_with(name, theirs)
            .map(|dialog| dialog.accept(message.cseq().number));
        if in_order != Some(Sequence::InOrder) {
            // RFC 3261 §12.2.2
            self.put_back(call);
            return self.bounce(now, path, server, message, &Bounce::status(500));
        }
        match message.method() {
            Method::Bye => {
                let response = Response {
                    status: 200,
                    to_tag: None,
                    contact: None,
                    headers: &[],
                    body: None,
                };
                let bytes = build::response(message.head(), path.remote, &response);
                self.hands.layer.respond(now.at, server, 200, bytes);
                self.bye(now, &mut call, name, message);
            }
            Method::Invite => {
                let came = Came {
                    request: message,
                    carrier: Carrier::Invite,
                    source: path.remote,
                };
                call.offered(&mut self.hands, now, name, server, &came);
            }
            Method::Prack => {
                call.pracked(&mut self.hands, now, name, server, (message, path.remote));
            }
            Method::Update => {
                let came = Came {
                    request: message,
                    carrier: Carrier::Update,
                    source: path.remote,
                };
                call.offered(&mut self.hands, now, name, server, &came);
            }
            Method::Options => match inspect::check_request(message) {
                Ok(()) => self.options(now, path, server, message, 200),
                Err(bounce) => self.bounce(now, path, server, message, &bounce),
            },
            Method::Info => {
                let answer = call.informed(&mut self.hands, now, name, message);
                self.bounce(now, path, server, message, &answer);
            }
            Method::Ack
            | Method::Cancel
            | Method::Register
            | Method::Subscribe
            | Method::Notify
            | Method::Publish
            | Method::Refer
            | Method::Message => {
                self.bounce(
                    now,
                    path,
                    server,
                    message,
                    &Bounce::with(405, "Allow", ALLOW.into()),
                );
            }
            Method::Unknown => self.bounce(
                now,
                path,
                server,
                message,
                &Bounce::with(501, "Allow", ALLOW.into()),
            ),
        }
        self.put_back(call);
    }

    fn bye(&mut self, now: Now, call: &mut Call, name: LegName, message: &Message<'_>) {
        let hands = &mut self.hands;
        call.note_message(now.at, name, Heading::In, Method::Bye, None, false);
        if name == LegName::Caller && call.caller.invite == InviteState::Pending {
            return call.caller_cancelled(hands, now, message);
        }
        if name == LegName::Callee && call.record.answered_at.is_none() {
            return call.callee_left(hands, now, message);
        }
        if let Some(leg) = call.leg(name) {
            leg.bye = Bye::Done;
            if let Some(unacked) = leg.unacked.take() {
                hands.timers.cancel(unacked.timer);
            }
        }
        let by = match name {
            LegName::Caller => ReleasedBy::Caller,
            LegName::Callee => ReleasedBy::Callee,
        };
        let heard = refusal::cause_of(reason::read(message));
        call.end(hands, now, End::hung_up(by, heard));
    }

    fn ack(&mut self, now: Now, message: &Message<'_>) {
        let found = Dialog::id_of(message).and_then(|id| self.hands.dialogs.get(&id).copied());
        let Some((me, name)) = found else { return };
        let Some(mut call) = self.take(me) else { return };
        let answers = !message.body().is_empty();
        call.note_message(now.at, name, Heading::In, Method::Ack, None, answers);
        call.ack_came(&mut self.hands, now, name, message);
        self.put_back(call);
    }

    fn cancel(
        &mut self,
        now: Now,
        path: Path,
        id: ServerId,
        invite: Option<(ServerId, Owner, InviteSide)>,
        message: &Message<'_>,
    ) {
        let Some((_, owner, state)) = invite else {
            return self.bounce(now, path, id, message, &Bounce::status(481));
        };
        let (me, purpose) = owned(owner);
        // RFC 3261 §9.2: the same To tag as the INVITE's answers have.
        let call = self.call(me);
        let session = call.and_then(|call| call.caller.leg.session());
        let tag = call.map(|call| call.caller.leg.local_tag);
        if let Some(session) = session {
            self.hands.layer.name_session(id, session);
        }
        let to_tag = tag.unwrap_or_else(|| self.hands.tag_for(message.head()));
        let response = Response {
            status: 200,
            to_tag: Some(&to_tag),
            contact: None,
            headers: &[],
            body: None,
        };
        let bytes = build::response(message.head(), path.remote, &response);
        self.hands.layer.respond(now.at, id, 200, bytes);
        if state == InviteSide::Answered {
            // RFC 3261 §9.2: a CANCEL has no effect on a request that is answered.
            return;
        }
        let Some(mut call) = self.take(me) else { return };
        let hands = &mut self.hands;
        match purpose {
            Purpose::Invite(LegName::Caller) => {
                call.note_message(now.at, LegName::Caller, Heading::In, Method::Cancel, None, false);
                call.caller_cancelled(hands, now, message);
            }
            Purpose::Exchange(leg) => {
                call.note_message(now.at, leg, Heading::In, Method::Cancel, None, false);
                call.offer_cancelled(hands, now, leg);
            }
            // Nothing of ours is a peer's request.
            Purpose::Invite(LegName::Callee)
            | Purpose::Cancel
            | Purpose::Prack
            | Purpose::Bye(_)
            | Purpose::Info(_)
            | Purpose::Other => {}
        }
        self.put_back(call);
    }

    // ---- time, transactions, media, orders

    fn tick(&mut self, now: Now) {
        self.hands.layer.tick(now.at);
        while self.late.front().is_some_and(|late| late.at <= now.at) {
            if let Some(late) = self.late.pop_front() {
                self.hands
                    .layer
                    .respond(now.at, late.server, late.status, late.bytes);
            }
        }
        self.listing_due(now);
        while let Some((me, timer)) = self.hands.timers.pop_due(now.at) {
            let Some(mut call) = self.take(me) else { continue };
            let hands = &mut self.hands;
            match timer {
                CallTimer::Ring => {
                    call.clock = None;
                    call.ringing_due(hands, now);
                }
                CallTimer::MaxDuration => {
                    call.clock = None;
                    call.end(hands, now, End::cut("max_duration"));
                }
                CallTimer::Exchange(leg) => call.offer_late(hands, now, leg),
                CallTimer::Wanted(leg) => call.offer_paused(hands, now, leg),
                CallTimer::Unacked(leg) => call.repeat_2xx(hands, now, leg),
                CallTimer::Unpracked => call.repeat_reliable(hands, now),
                CallTimer::Cancelled => call.give_up_callee(hands),
                CallTimer::Left(invite) => call.give_up_left(hands, invite),
                CallTimer::Session(leg) => call.session_due(hands, now, leg),
                CallTimer::Counts => {
                    call.counts_timer = None;
                    call.finish_record(hands, now);
                }
            }
            self.put_back(call);
        }
    }

    fn transaction_events(&mut self, now: Now) {
        while let Some(event) = self.hands.layer.poll_event() {
            let (owner, lost) = match event {
                transaction::Event::Timeout(id, owner) => (owner, Some((id, Lost::Timeout))),
                transaction::Event::Failed(id, owner) => (owner, Some((id, Lost::Transport))),
                transaction::Event::NoAck(_, owner) | transaction::Event::ServerGone(_, owner) => {
                    (owner, None)
                }
            };
            let (me, purpose) = owned(owner);
            let Some(mut call) = self.take(me) else { continue };
            let hands = &mut self.hands;
            match (purpose, lost) {
                (Purpose::Invite(LegName::Callee), Some((id, lost))) => {
                    call.callee_lost(hands, now, id, lost)
                }
                (Purpose::Exchange(leg), Some((_, Lost::Timeout))) => call.offer_lost(hands, now, leg),
                (Purpose::Exchange(leg), Some((_, Lost::Transport))) => {
                    call.offer_undelivered(hands, now, leg)
                }
                (Purpose::Bye(leg), _) => call.leg_over(leg),
                (Purpose::Info(leg), _) => call.key_lost(leg),
                // No ACK for a failure: nothing is left to be done for it (RFC 3261 §17.2.1).
                (
                    Purpose::Invite(_)
                    | Purpose::Exchange(_)
                    | Purpose::Cancel
                    | Purpose::Prack
                    | Purpose::Other,
                    Some(_) | None,
                ) => {}
            }
            self.put_back(call);
        }
    }

    fn send_failed(&mut self, now: Now, path: Path, why: Why) {
        match why {
            Why::Refused | Why::Unreachable => self.hands.note(Note::SendFailed),
            // Connections come and go: mostly nothing was to be sent.
            Why::Closed | Why::Crossed => {}
        }
        let loss = match why {
            Why::Refused | Why::Unreachable | Why::Closed => Loss::Final,
            Why::Crossed => Loss::Crossed,
        };
        self.hands.layer.failed(now.at, path, loss);
    }

    fn media(&mut self, now: Now, report: Report) {
        match report {
            Report::Bound(port) => self.hands.ports.bound(port),
            Report::NotBound(port) => {
                self.hands.note(Note::PortTaken);
                self.hands.ports.not_bound(port);
                self.hands.bind_ahead(now.at);
            }
            Report::NotNow(port) => {
                self.hands.note(Note::FilesDry);
                self.hands.ports.not_now(now.at, port);
            }
            Report::Dead(port) => self.with_port(port, |call, hands| {
                call.end(hands, now, End::cut("media_timeout"));
            }),
            Report::Key(port, digit) => self.with_port(port, |call, hands| {
                call.keyed(hands, now, port, digit);
            }),
            Report::Counts(port, counts) => {
                self.with_port(port, |call, _| call.counted_so_far(port, counts));
                self.counts_came(now);
            }
            Report::Closed(port, counts) => self.with_port(port, |call, hands| {
                call.counted(hands, now, port, counts);
            }),
        }
    }

    fn with_port(&mut self, port: MediaPort, act: impl FnOnce(&mut Call, &mut Hands)) {
        let Some(me) = self.hands.by_port.get(&port).copied() else {
            return;
        };
        let Some(mut call) = self.take(me) else { return };
        act(&mut call, &mut self.hands);
        self.put_back(call);
    }

    fn order(&mut self, now: Now, command: Command) {
        match command {
            Command::Calls(ask) => self.list(now, ask),
            Command::Hangup(ask, id) => {
                let found = match self.by_id.get(&id).copied().and_then(|me| self.take(me)) {
                    Some(mut call) => {
                        call.end(
                            &mut self.hands,
                            now,
                            End {
                                status: 480,
                                ..End::cut("hangup")
                            },
                        );
                        self.put_back(call);
                        Found::Here
                    }
                    None => Found::Nowhere,
                };
                self.hands
                    .out
                    .push_back(Output::Answer(ask, Answer::Hangup(found)));
            }
            Command::Trace(ask, id) => {
                let trace = self
                    .by_id
                    .get(&id)
                    .and_then(|me| self.calls.get(me.index as usize)?.as_ref());
                let trace = trace.map(|call| call.trace.clone());
                self.hands
                    .out
                    .push_back(Output::Answer(ask, Answer::Trace(trace)));
            }
            Command::Drain => self.door = Door::Draining,
            Command::Admit => self.door = Door::Open,
            Command::EndAll => {
                self.door = Door::Draining;
                let end = End {
                    status: 480,
                    ..End::cut("shutdown")
                };
                self.end_where(now, end, |_| true);
            }
            Command::CutNumber(x) => {
                let end = End {
                    cause: Some("number_frozen"),
                    ..End::failed(Reason::NumberFrozen)
                };
                self.end_where(now, end, |call| {
                    call.plan.as_ref().is_some_and(|plan| plan.goes_through(x))
                });
            }
            Command::Records(records) => self.records = records,
        }
    }

    fn end_where(&mut self, now: Now, end: End, is_meant: impl Fn(&Call) -> bool) {
        let meant = self.calls.iter().flatten().filter(|call| is_meant(call));
        let meant: Vec<CallRef> = meant.map(|call| call.me).collect();
        for me in meant {
            if let Some(mut call) = self.take(me) {
                call.end(&mut self.hands, now, end);
                self.put_back(call);
            }
        }
    }

    // ---- the calls' places

    fn call(&self, me: CallRef) -> Option<&Call> {
        let place = self.calls.get(me.index as usize)?;
        place.as_deref().filter(|call| call.me == me)
    }

    fn take(&mut self, me: CallRef) -> Option<Box<Call>> {
        let place = self.calls.get_mut(me.index as usize)?;
        if place.as_ref()?.me != me {
            None
        } else {
            place.take()
        }
    }

    pub(super) fn put_back(&mut self, mut call: Box<Call>) {
        if let Some(callee) = call.callee_taken
            && let Some(fate) = call.callee_fate()
        {
            call.callee_taken = None;
            match fate {
                CalleeFate::Used => self.hands.out.push_back(Output::CalleeUsed(callee)),
                CalleeFate::GivenBack => self.table.give_back(&callee),
            }
        }
        if call.recorded != Recorded::Open {
            call.seat = None;
        }
        if !call.is_gone() {
            let index = call.me.index as usize;
            self.calls[index] = Some(call);
            return;
        }
        self.by_id.remove(&call.record.call_id);
        self.free.push(call.me.index);
        self.live -= 1;
        call.forget(&mut self.hands);
    }
}

impl fmt::Debug for Switch {
    /// What is in it, in numbers: never what it knows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch")
            .field("shard", &self.hands.shard.index)
            .field("calls", &self.live)
            .field("transactions", &self.hands.layer.len())
            .field("timers", &self.hands.timers.len())
            .field("dialogs", &self.hands.dialogs.len())
            .field("ports", &self.hands.ports.in_use())
            .field("by_id", &self.by_id.len())
            .field("by_port", &self.hands.by_port.len())
            .field("late", &self.late.len())
            .finish()
    }
}
