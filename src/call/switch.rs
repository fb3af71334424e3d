//! The corridor: every input comes in here, is taken to the room that knows, and every output leaves here.
//! Rooms are called by it, never by each other's doors.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use super::arrive;
use super::bridge::Bridge;
use super::cdr::{self, CallerKind, Cdr, ReleasedBy};
use super::config::{Config, Strangers};
use super::guard::Forbidden;
use super::hands::{CallRef, CallTimer, Hands, Purpose, Token, listener, owned, owner};
use super::leg::callee::decline;
use super::leg::caller::{Caller, InviteState};
use super::leg::{ALLOW, Bye, Echo, Leg};
use super::media::{Berth, MediaPort, Ports, Report};
use super::overload::{self, Door, Load};
use super::phase::{Call, End, Recorded};
use super::port::{
    Answer, CallView, Command, Event, EventKind, Found, Heading, Input, LegName, Note, Output, Records,
    TraceLine, Why,
};
use super::refusal::{self, Bounce};
use super::reinvite::Came;
use super::trunk::{self, Trunk};
use crate::base::chance::Chance;
use crate::base::id::Id;
use crate::base::limits::{RETRY_AFTER_S, STRANGER_ANSWER};
use crate::base::number::RealNumber;
use crate::base::shard::Shard;
use crate::base::time::{Instant, Now};
use crate::base::timer::Timers;
use crate::masking::binding::Party;
use crate::masking::reason::Reason;
use crate::masking::route::{self, Attempt, Decision, Plan};
use crate::masking::table::Table;
use crate::sip::build::{self, Response};
use crate::sip::dialog::{Dialog, Sequence};
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::path::Path;
use crate::sip::transaction::{
    self, AnswerKind, BaseTimers, InviteState as InviteSide, Layer, Owner, Received, ServerId,
};

/// One shard's switch: the whole server, to the simulator.
pub struct Switch {
    config: Arc<Config>,
    table: Arc<Table>,
    hands: Hands,
    calls: Vec<Option<Box<Call>>>,
    generations: Vec<u32>,
    free: Vec<u32>,
    live: usize,
    by_id: HashMap<Id, CallRef, ahash::RandomState>,
    by_berth: HashMap<Berth, CallRef, ahash::RandomState>,
    late: VecDeque<Late>,
    door: Door,
    records: Records,
}

/// The answer to somebody who is no live party: it waits for its fixed offset from arrival.
struct Late {
    at: Instant,
    server: ServerId,
    status: u16,
    bytes: Vec<u8>,
}

impl Switch {
    /// A switch without calls. `table` is shared by all shards.
    pub fn new(config: Arc<Config>, table: Arc<Table>, shard: Shard, mut chance: Chance) -> Self {
        let seeds = [chance.bits(), chance.bits(), chance.bits(), chance.bits()];
        let state = || ahash::RandomState::with_seeds(seeds[0], seeds[1], seeds[2], seeds[3]);
        let timers = BaseTimers {
            t1: config.timers.t1,
            t2: config.timers.t2,
            t4: config.timers.t4,
        };
        let media = config.media;
        let mut hands = Hands {
            layer: Layer::keyed(timers, seeds),
            out: Default::default(),
            timers: Timers::default(),
            ports: Ports::slice(media.port_first, media.port_last, shard.index, shard.count),
            chance,
            dialogs: HashMap::with_hasher(state()),
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
            by_berth: HashMap::with_hasher(state()),
            late: VecDeque::new(),
            door: Door::Open,
            records: Records::Kept,
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
            Input::Config(config) => self.config = config,
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
        [self.hands.timers.next(), self.hands.layer.timeout(), late]
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
            && self.by_berth.is_empty()
            && self.late.is_empty()
    }

    /// Berths that are bound and free: calls that could begin at this instant.
    pub fn berths_ready(&self) -> usize {
        self.hands.ports.ready()
    }

    /// Live calls.
    pub fn calls(&self) -> usize {
        self.live
    }

    // ---- messages

    fn packet(&mut self, now: Now, path: Path, bytes: &[u8]) {
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(unreadable) => {
                self.hands.note(Note::Malformed);
                if let (Some(status), Some(head)) = (unreadable.status, unreadable.head)
                    && trunk::of_source(&self.config.trunks, path.remote.ip()).is_some()
                {
                    let to_tag = self.hands.tag_for(&head);
                    let response = Response {
                        status,
                        to_tag: Some(&to_tag),
                        contact: None,
                        headers: &[],
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
                let sent_by = listener(&self.config, path.listener).advertised;
                decline(&mut self.hands, now, path, sent_by, message);
            }
            return;
        };
        let hands = &mut self.hands;
        match purpose {
            Purpose::Invite(LegName::Callee) => call.callee_answered(hands, now, &answer, message),
            Purpose::Reinvite(leg) => call.reinvite_answered(hands, now, leg, &answer, message),
            Purpose::Bye(leg) => {
                call.note_message(now.at, leg, Heading::In, Method::Bye, message.status(), false);
                if is_final {
                    call.leg_over(leg);
                }
            }
            Purpose::Cancel | Purpose::Other | Purpose::Invite(LegName::Caller) => {}
        }
        self.put_back(call);
    }

    fn request(&mut self, now: Now, path: Path, message: &Message<'_>) {
        let in_dialog = message.to().tag().is_some();
        let known_dialog =
            in_dialog && Dialog::id_of(message).is_some_and(|id| self.hands.dialogs.contains_key(&id));
        // In-dialog messages pass by dialog match even if their trunk has left the conf.
        if !known_dialog && trunk::of_source(&self.config.trunks, path.remote.ip()).is_none() {
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
                self.stateless(path, message, &shed());
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

    fn bounce_bytes(&mut self, path: Path, message: &Message<'_>, bounce: &Bounce) -> Vec<u8> {
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

    fn bounce(&mut self, now: Now, path: Path, server: ServerId, message: &Message<'_>, bounce: &Bounce) {
        let bytes = self.bounce_bytes(path, message, bounce);
        self.hands.layer.respond(now.at, server, bounce.status, bytes);
    }

    fn out_of_dialog(&mut self, now: Now, path: Path, server: ServerId, message: &Message<'_>) {
        let bounce = match message.method() {
            Method::Invite => return self.invite(now, path, server, message),
            Method::Options => match arrive::check_request(message) {
                Ok(()) => {
                    let status = match self.door {
                        Door::Open => 200,
                        Door::Draining => 503,
                    };
                    return self.options(now, path, server, message, status);
                }
                Err(bounce) => bounce,
            },
            // RFC 3261 §15.1.2, §9.2: a BYE or CANCEL that matches nothing.
            Method::Bye | Method::Cancel | Method::Ack => Bounce::status(481),
            Method::Register
            | Method::Prack
            | Method::Subscribe
            | Method::Notify
            | Method::Publish
            | Method::Info
            | Method::Refer
            | Method::Message
            | Method::Update => Bounce::with(405, "Allow", ALLOW.into()),
            Method::Unknown => Bounce::with(501, "Allow", ALLOW.into()),
        };
        self.bounce(now, path, server, message, &bounce);
    }

    fn options(&mut self, now: Now, path: Path, server: ServerId, message: &Message<'_>, status: u16) {
        let to_tag = self.hands.tag_for(message.head());
        let headers = [("Allow", ALLOW), ("Accept", "application/sdp")];
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
        let in_order = call
            .leg(name)
            .and_then(|leg| leg.dialog.as_mut())
            .map(|d| d.accept(message.cseq().number));
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
                self.bye(now, &mut call, name);
            }
            Method::Invite => {
                let came = Came {
                    invite: message,
                    source: path.remote,
                };
                call.reinvited(&mut self.hands, now, name, server, &came);
            }
            Method::Options => self.options(now, path, server, message, 200),
            Method::Ack
            | Method::Cancel
            | Method::Register
            | Method::Prack
            | Method::Subscribe
            | Method::Notify
            | Method::Publish
            | Method::Info
            | Method::Refer
            | Method::Message
            | Method::Update => {
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

    fn bye(&mut self, now: Now, call: &mut Call, name: LegName) {
        let hands = &mut self.hands;
        call.note_message(now.at, name, Heading::In, Method::Bye, None, false);
        if name == LegName::Caller && call.caller.invite == InviteState::Pending {
            return call.caller_cancelled(hands, now);
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
        call.end(hands, now, End::hung_up(by));
    }

    fn ack(&mut self, now: Now, message: &Message<'_>) {
        let found = Dialog::id_of(message).and_then(|id| self.hands.dialogs.get(&id).copied());
        let Some((me, name)) = found else { return };
        let Some(mut call) = self.take(me) else { return };
        let answers = !message.body().is_empty();
        call.note_message(now.at, name, Heading::In, Method::Ack, None, answers);
        let awaited = call
            .leg(name)
            .and_then(|leg| leg.unacked.as_ref())
            .is_some_and(|unacked| unacked.cseq == message.cseq().number);
        call.acked(&mut self.hands, now, name, message.cseq().number);
        if awaited && call.recorded == Recorded::Open && call.bridge.awaits_answer(name) {
            let settled = match arrive::offer(message) {
                Ok(Some(session)) => call.bridge.acked_with(&mut self.hands, name, &session).is_ok(),
                Ok(None) | Err(_) => false,
            };
            if !settled {
                // RFC 3261 §13.2.1: the ACK had to carry the answer.
                call.end(&mut self.hands, now, End::cut("no_answer_in_ack"));
            }
        }
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
        let tag = self.call(me).map(|call| call.caller.leg.local_tag);
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
        if state == InviteSide::Answered || purpose != Purpose::Invite(LegName::Caller) {
            // RFC 3261 §9.2: a CANCEL has no effect on a request that is answered; and we let a re-INVITE
            // run to its end, which is short.
            return;
        }
        let Some(mut call) = self.take(me) else { return };
        call.note_message(now.at, LegName::Caller, Heading::In, Method::Cancel, None, false);
        call.caller_cancelled(&mut self.hands, now);
        self.put_back(call);
    }

    // ---- a new call

    fn invite(&mut self, now: Now, path: Path, server: ServerId, message: &Message<'_>) {
        let config = self.config.clone();
        let Some(trunk) = trunk::of_source(&config.trunks, path.remote.ip()) else {
            return self.bounce(now, path, server, message, &Bounce::status(403));
        };
        let load = Load {
            door: self.door,
            records: self.records,
            calls: self.live,
            calls_max: config.calls_max,
        };
        let admitted = overload::admit(load);
        if admitted.is_err() && self.records == Records::Full {
            // Without room for a record there is no attempt: every attempt has one.
            self.hands.note(Note::Shed);
            return self.bounce(now, path, server, message, &shed());
        }
        let (arrival, sound) = arrive::read(message, trunk, &config.numbers);
        let Some(dialled) = arrival.dialled else {
            return match sound {
                Ok(()) => self.refuse(now, path, server, message, None, Reason::NotOurs),
                Err(bounce) => self.bounce(now, path, server, message, &bounce),
            };
        };
        let attempt = Attempt {
            diverting: arrival.diverting,
            dialled,
            caller: arrival.caller,
            arrived: now.wall,
        };
        let decision = route::route(&self.table, &attempt);
        let record = self.draft(now, trunk, message, &attempt, &decision);
        if let Err(bounce) = sound {
            return self.refuse_with(now, path, server, message, record, Reason::Protocol, &bounce);
        }
        let plan = match (admitted, decision) {
            (Ok(()), Decision::Connect(plan)) => plan,
            (Ok(()), Decision::Refuse(refusal)) => {
                return self.refuse(now, path, server, message, record, refusal.reason);
            }
            // What stands above overload in the order of judgement is said first.
            (Err(load), Decision::Refuse(refusal)) if refusal.reason < load => {
                return self.refuse(now, path, server, message, record, refusal.reason);
            }
            (Err(load), Decision::Connect(_) | Decision::Refuse(_)) => {
                self.hands.note(Note::Shed);
                return self.refuse(now, path, server, message, record, load);
            }
        };
        let tag = self.hands.token();
        let (Some(echo), Some(dialog)) = (Echo::of(message, path.remote), Dialog::uas(message, &tag, path))
        else {
            let bounce = Bounce::status(400);
            return self.refuse_with(now, path, server, message, record, Reason::Protocol, &bounce);
        };
        let Some(record) = record else { return };
        let mut call = self.place(now, record, server, tag, path, echo, dialog, message);
        call.note_message(
            now.at,
            LegName::Caller,
            Heading::In,
            Method::Invite,
            None,
            !message.body().is_empty(),
        );
        call.tell(&mut self.hands, now, EventKind::Arrived);
        call.not_to_callee.id(message.call_id());
        if let Some(tag) = message.from().tag() {
            call.not_to_callee.id(tag);
        }
        call.not_to_callee.address(path.remote.ip());
        if let Some(media) = arrival
            .offer
            .as_ref()
            .and_then(|s| s.media.iter().find_map(|m| m.address))
        {
            call.not_to_callee.address(media);
            call.not_to_caller.known(&[media]);
        }
        // RFC 3261 §8.2.6.1: 100 at once, so that the INVITE isn't repeated meanwhile.
        call.progress_to_caller(&mut self.hands, now, 100, super::leg::caller::Sdp::Without);
        self.hands.collect_sends();
        call.connect(&mut self.hands, now, arrival, plan);
        call.bridge.learn_by(LegName::Caller, trunk);
        if let Some(berth) = call.bridge.berth() {
            self.by_berth.insert(berth, call.me);
        }
        self.put_back(call);
    }

    /// Refuses an attempt: its record goes out, if it was one on a number of ours, and the answer. Whoever
    /// is no live party hears the same, at the same offset from arrival, whatever the reason.
    fn refuse(
        &mut self,
        now: Now,
        path: Path,
        server: ServerId,
        message: &Message<'_>,
        record: Option<Box<Cdr>>,
        reason: Reason,
    ) {
        let status = refusal::status(reason);
        let bounce = if status == 503 {
            shed()
        } else {
            Bounce::status(status)
        };
        self.refuse_with(now, path, server, message, record, reason, &bounce);
    }

    #[allow(clippy::too_many_arguments)] // what `refuse` takes, and the answer
    fn refuse_with(
        &mut self,
        now: Now,
        path: Path,
        server: ServerId,
        message: &Message<'_>,
        record: Option<Box<Cdr>>,
        reason: Reason,
        bounce: &Bounce,
    ) {
        let status = bounce.status;
        let bytes = self.bounce_bytes(path, message, bounce);
        if refusal::is_one_face(reason) {
            self.late.push_back(Late {
                at: now.at + STRANGER_ANSWER,
                server,
                status,
                bytes,
            });
        } else {
            self.hands.layer.respond(now.at, server, status, bytes);
        }
        let Some(mut record) = record else { return };
        record.refusal = Some(reason);
        record.sip_status = status;
        record.q850_cause = refusal::q850(reason);
        let line = |heading, status| TraceLine {
            at: now.at,
            leg: LegName::Caller,
            heading,
            method: Method::Invite,
            status,
            sdp: false,
        };
        let call_id = record.call_id;
        let event = |what| {
            Output::Event(Event {
                call_id,
                at: now.wall,
                what,
            })
        };
        self.hands.out.push_back(event(EventKind::Arrived));
        self.hands.out.push_back(event(EventKind::Ended {
            status,
            refusal: Some(reason),
        }));
        let trace = vec![line(Heading::In, None), line(Heading::Out, Some(status))];
        self.hands.record(record, trace);
    }

    /// The record as it would be if nothing else ever happened.
    fn draft(
        &mut self,
        now: Now,
        trunk: &Trunk,
        message: &Message<'_>,
        attempt: &Attempt,
        decision: &Decision,
    ) -> Option<Box<Cdr>> {
        let numbers = &self.config.numbers;
        let (binding, number, party, plan): (_, _, _, Option<&Plan>) = match decision {
            Decision::Connect(plan) => (
                Some(plan.binding().clone()),
                Some(plan.number().clone()),
                Some(plan.caller()),
                Some(plan),
            ),
            Decision::Refuse(refusal) => (
                refusal.binding.clone(),
                refusal.number.clone(),
                refusal.caller,
                None,
            ),
        };
        let number = number?;
        let x = numbers.virtual_text(number.x);
        let real = |number: RealNumber| numbers.record(number.reveal());
        let (caller_kind, direction) = match party {
            Some(Party::A) => (CallerKind::A, Some("a_to_b")),
            Some(Party::B) => (CallerKind::B, Some("b_to_a")),
            None => (CallerKind::Stranger, None),
        };
        let mut cdr = Box::new(Cdr {
            schema: cdr::SCHEMA,
            node: self.config.node.clone(),
            call_id: Id::mint(now.wall, &mut self.hands.chance),
            binding_id: None,
            account: number.account.to_string(),
            pool: Some(number.pool.to_string()),
            mode: None,
            caller_kind,
            direction: direction.map(str::to_owned),
            a: None,
            x: Some(x),
            y: None,
            peer: None,
            extension: None,
            group_id: None,
            caller: attempt.caller.map(|tel| numbers.record(tel)),
            dialled: x,
            callee: plan.map(|plan| real(plan.called())),
            shown: plan.and_then(|plan| match plan.shown() {
                crate::base::number::Shown::Virtual(x) => Some(numbers.virtual_text(x)),
                crate::base::number::Shown::Real(number, _) => Some(real(number)),
                crate::base::number::Shown::Withheld => None,
            }),
            arrived_at: now.wall,
            dialled_at: None,
            early_media_at: None,
            ringing_at: None,
            answered_at: None,
            ended_at: now.wall,
            released_by: ReleasedBy::Server,
            sip_status: refusal::status(Reason::Restart),
            callee_sip_status: None,
            q850_cause: refusal::q850(Reason::Restart),
            refusal: None,
            billable_s: 0,
            attempts: Vec::new(),
            recording: cdr::Recording {
                id: None,
                state: "none".into(),
                reason: "not asked".into(),
            },
            media: cdr::Media::default(),
            sip_call_id_in: crate::base::redact::scrub(&String::from_utf8_lossy(message.call_id()))
                .into_owned(),
            sip_call_id_out: None,
            trunk_in: trunk.name.to_string(),
            trunk_out: None,
            order_id: None,
            user_data: None,
            end_cause: None,
        });
        if let Some(binding) = binding {
            cdr.binding_id = Some(binding.id);
            cdr.mode = Some(binding.mode.name().to_owned());
            cdr.a = Some(real(binding.a));
            cdr.peer = Some(real(binding.b));
            cdr.order_id = binding.terms.order_id.as_deref().map(str::to_owned);
            cdr.user_data = binding.terms.user_data.as_deref().map(str::to_owned);
            if binding.terms.record {
                cdr.recording.reason = "not available".into();
            }
        }
        Some(cdr)
    }

    /// Makes room for a call and its caller's leg.
    #[allow(clippy::too_many_arguments)] // the one place where a call's parts come together
    fn place(
        &mut self,
        now: Now,
        record: Box<Cdr>,
        server: ServerId,
        tag: Token,
        path: Path,
        echo: Echo,
        dialog: Dialog,
        message: &Message<'_>,
    ) -> Box<Call> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.calls.push(None);
            self.generations.push(0);
            (self.calls.len() - 1) as u32
        });
        let generation = &mut self.generations[index as usize];
        *generation = (*generation + 1) & 0xFF_FFFF;
        let me = CallRef {
            index,
            generation: *generation,
        };
        self.live += 1;
        self.hands
            .layer
            .own(server, owner(me, Purpose::Invite(LegName::Caller)));
        self.hands.dialogs.insert(dialog.id(), (me, LegName::Caller));
        self.by_id.insert(record.call_id, me);
        let mut leg = Leg::new(LegName::Caller, tag, path.listener);
        leg.dialog = Some(dialog);
        let mut not_to_caller = Forbidden::default();
        let ours = listener(&self.config, path.listener).advertised.ip();
        not_to_caller.known(&[path.remote.ip(), ours, self.config.media.advertised]);
        Box::new(Call {
            me,
            config: self.config.clone(),
            arrived: now,
            record,
            recorded: Recorded::Open,
            plan: None,
            caller: Caller {
                leg,
                server,
                echo,
                cseq: message.cseq().number,
                invite: InviteState::Pending,
            },
            callee: None,
            bridge: Bridge::new(&self.config),
            not_to_caller,
            not_to_callee: Forbidden::default(),
            clock: None,
            counts_timer: None,
            talking_since: None,
            // As many lines as a short call has.
            trace: Vec::with_capacity(16),
        })
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
        while let Some((me, timer)) = self.hands.timers.pop_due(now.at) {
            let Some(mut call) = self.take(me) else { continue };
            let hands = &mut self.hands;
            match timer {
                CallTimer::Ring => {
                    call.clock = None;
                    call.not_answered(hands, now);
                }
                CallTimer::MaxDuration => {
                    call.clock = None;
                    call.end(hands, now, End::cut("max_duration"));
                }
                CallTimer::Reinvite(leg) => call.reinvite_lost(hands, now, leg),
                CallTimer::Unacked(leg) => call.repeat_2xx(hands, now, leg),
                CallTimer::Cancelled => call.give_up_callee(hands),
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
            let (owner, status) = match event {
                transaction::Event::Timeout(_, owner) => (owner, 408),
                transaction::Event::Failed(_, owner) => (owner, 503),
                transaction::Event::NoAck(_, owner) | transaction::Event::ServerGone(_, owner) => (owner, 0),
            };
            let (me, purpose) = owned(owner);
            let Some(mut call) = self.take(me) else { continue };
            let hands = &mut self.hands;
            match purpose {
                Purpose::Invite(LegName::Callee) => call.callee_lost(hands, now),
                Purpose::Reinvite(leg) if status != 0 => call.reinvite_lost(hands, now, leg),
                Purpose::Bye(leg) => call.leg_over(leg),
                // No ACK for a failure: nothing is left to be done for it (RFC 3261 §17.2.1).
                Purpose::Reinvite(_)
                | Purpose::Invite(LegName::Caller)
                | Purpose::Cancel
                | Purpose::Other => {}
            }
            self.put_back(call);
        }
    }

    fn send_failed(&mut self, now: Now, path: Path, why: Why) {
        self.hands.note(Note::SendFailed);
        match why {
            Why::Refused | Why::Unreachable => self.hands.layer.failed(now.at, path),
        }
    }

    fn media(&mut self, now: Now, report: Report) {
        let first = self.config.media.port_first;
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
            Report::Dead(port) => self.with_port(port, first, |call, hands| {
                call.end(hands, now, End::cut("media_timeout"));
            }),
            Report::Closed(port, counts) => self.with_port(port, first, |call, hands| {
                call.counted(hands, now, port, counts);
            }),
        }
    }

    fn with_port(&mut self, port: MediaPort, first: u16, act: impl FnOnce(&mut Call, &mut Hands)) {
        let Some(me) = self.by_berth.get(&Berth::of(port, first)).copied() else {
            return;
        };
        let Some(mut call) = self.take(me) else { return };
        act(&mut call, &mut self.hands);
        self.put_back(call);
    }

    fn order(&mut self, now: Now, command: Command) {
        match command {
            Command::Calls(ask) => {
                let views: Vec<CallView> = self.calls.iter().flatten().map(|call| call.view()).collect();
                self.hands
                    .out
                    .push_back(Output::Answer(ask, Answer::Calls(views)));
            }
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
            Command::EndAll => {
                self.door = Door::Draining;
                for index in 0..self.calls.len() {
                    if let Some(me) = self.calls[index].as_ref().map(|call| call.me)
                        && let Some(mut call) = self.take(me)
                    {
                        call.end(
                            &mut self.hands,
                            now,
                            End {
                                status: 480,
                                ..End::cut("shutdown")
                            },
                        );
                        self.put_back(call);
                    }
                }
            }
            Command::Records(records) => self.records = records,
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

    fn put_back(&mut self, call: Box<Call>) {
        if call.recorded == Recorded::Out
            && let Some(berth) = call.bridge.berth()
            && self.by_berth.get(&berth) == Some(&call.me)
        {
            // Its ports are at rest; the next call that gets them is found by them.
            self.by_berth.remove(&berth);
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
            .field("berths", &self.hands.ports.in_use())
            .field("by_id", &self.by_id.len())
            .field("by_berth", &self.by_berth.len())
            .field("late", &self.late.len())
            .finish()
    }
}

fn shed() -> Bounce {
    Bounce::with(503, "Retry-After", RETRY_AFTER_S.to_string())
}
