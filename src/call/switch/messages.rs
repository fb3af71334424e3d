//! SIP messages: whose they are, and which call takes them.

use super::Switch;
use crate::base::limits::TRANSACTIONS_MAX;
use crate::base::time::Now;
use crate::call::config::Strangers;
use crate::call::exchange::Carrier;
use crate::call::exchange::theirs::Came;
use crate::call::gate::Judged;
use crate::call::hands::{Purpose, is_ours, owned};
use crate::call::leg::caller::InviteState;
use crate::call::leg::forks::{LAST_CSEQ_OF_STRAYS, Parting, decline, disown, last_cseq_of};
use crate::call::leg::{ALLOW, Bye};
use crate::call::overload::Door;
use crate::call::phase::Call;
use crate::call::port::{Heading, LegName, Note};
use crate::call::refusal::{self, Bounce};
use crate::call::trunk::Trunk;
use crate::call::trunk::secret::Demand;
use crate::call::{inspect, kept, leg, trunk};
use crate::sip::build::{self, Response};
use crate::sip::dialog::{Dialog, Sequence};
use crate::sip::digest::Freshness;
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::outline::Asked;
use crate::sip::path::Path;
use crate::sip::reason;
use crate::sip::transaction::{AnswerKind, InviteState as InviteSide, Owner, Received, ServerId};

impl Switch {
    pub(super) fn packet(&mut self, now: Now, path: Path, bytes: &[u8]) {
        let source = path.remote.ip();
        // It may have waited for its turn meanwhile. Who has shown a certificate is known by more than his address.
        if path.party.is_none() && self.hands.bans.keeps_out(now.at, source) {
            return;
        }
        let read = if path.transport.is_reliable() {
            Message::parse_framed(bytes)
        } else {
            Message::parse(bytes)
        };
        let message = match read {
            Ok(message) => message,
            Err(unreadable) => {
                self.hands.note(Note::Malformed);
                let trunk = trunk::of_path(&self.config.trunks, &self.hands.resolved, path);
                if trunk.is_none() {
                    self.hands.offended(now.at, source, &self.config);
                } else if let (Some(status), Some(head)) = (unreadable.status, unreadable.head) {
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
            return self.stray_2xx(now, path, message);
        };
        let source = path.remote.ip();
        if self
            .registrar
            .answered(now, &mut self.hands, answer.owner, source, message)
        {
            return;
        }
        let (me, purpose) = owned(answer.owner);
        let is_final = message.status().unwrap_or(0) >= 200;
        if purpose == Purpose::Gateway {
            return self.probe_answered(now, me, message.status().unwrap_or(0));
        }
        let Some(mut call) = self.take(me) else {
            return self.answered_after_the_end(now, path, purpose, answer.kind, message);
        };
        if let Some(leg) = purpose.leg() {
            call.hear_session(leg, message.to_tag().unwrap_or_default(), message);
        }
        let hands = &mut self.hands;
        match purpose {
            Purpose::Invite(LegName::Callee) => {
                call.hear_overload(now.at, answer.id, message);
                call.hear_targets(&self.table, &answer, message);
                call.callee_answered(hands, now, path.remote.ip(), &answer, message);
            }
            Purpose::Exchange(leg) => call.offer_answered(hands, now, leg, &answer, message),
            Purpose::Bye(leg) => {
                call.note_message(now.at, leg, Heading::In, Method::Bye, message.status(), false);
                if is_final {
                    call.leg_over(leg);
                }
            }
            Purpose::Probe(leg) => call.probed(hands, now, leg, message.status().unwrap_or(0)),
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
            Purpose::Cancel | Purpose::Gateway | Purpose::Other | Purpose::Invite(LegName::Caller) => {}
        }
        self.put_back(call);
    }

    /// A 2xx to an INVITE whose call is over is ACKed. A fork that answers only now is hung up on (RFC 3261 §13.2.2.4);
    /// the dialog of a repetition, or of an INVITE within it, has had its BYE: one more would be a request to nobody,
    /// and under what number isn't known any more.
    fn answered_after_the_end(
        &mut self,
        now: Now,
        path: Path,
        purpose: Purpose,
        kind: AnswerKind,
        message: &Message<'_>,
    ) {
        if !matches!(message.status(), Some(200..300)) {
            return;
        }
        let (hands, config) = (&mut self.hands, &self.config);
        let parting = Parting::from_nobody(config, &hands.resolved, path, message);
        let last = last_cseq_of(message);
        match (purpose, kind) {
            (Purpose::Invite(_), AnswerKind::Final | AnswerKind::Another2xx) => {
                decline(hands, now, path, config, message, last, parting);
            }
            (Purpose::Invite(_), AnswerKind::Same2xx) => {
                disown(hands, path, config, message, last, parting.session);
            }
            (Purpose::Exchange(_), _) if message.method() == Method::Invite => {
                disown(hands, path, config, message, last, parting.session);
            }
            (
                Purpose::Invite(_)
                | Purpose::Exchange(_)
                | Purpose::Bye(_)
                | Purpose::Info(_)
                | Purpose::Prack
                | Purpose::Probe(_)
                | Purpose::Cancel
                | Purpose::Gateway
                | Purpose::Other,
                _,
            ) => {}
        }
    }

    /// A 2xx to an INVITE that is nobody's any more. If a process before this one has sent it, in a call that goes on
    /// here, it is repeated until somebody ACKs it, and then the call is ended (RFC 3261 §13.3.1.4). What it answers came
    /// to nothing with that process.
    ///
    /// If it is the answer of another phone, or of a gateway that had been left, that process would have hung up on it
    /// (§13.2.2.4); so does this one, which knows its own kind by their ids.
    fn stray_2xx(&mut self, now: Now, path: Path, message: &Message<'_>) {
        if !matches!(message.status(), Some(200..300)) || message.method() != Method::Invite {
            return;
        }
        let found = Dialog::id_of(message).and_then(|id| self.hands.dialogs.get(&id).copied());
        let Some((me, name)) = found else {
            let is_ours = is_ours(message.call_id()) && message.from_tag().is_some_and(is_ours);
            let is_trunks = trunk::of_path(&self.config.trunks, &self.hands.resolved, path).is_some();
            if is_ours && is_trunks && self.hands.layer.len() < TRANSACTIONS_MAX {
                let last = LAST_CSEQ_OF_STRAYS.max(last_cseq_of(message));
                let parting = Parting::from_nobody(&self.config, &self.hands.resolved, path, message);
                decline(&mut self.hands, now, path, &self.config, message, last, parting);
            }
            return;
        };
        if self.call(me).is_none_or(|call| call.through.is_none()) {
            return;
        }
        let Some(mut call) = self.take(me) else { return };
        call.ack(&mut self.hands, now, name, message.cseq().number);
        self.put_back(call);
    }

    fn request(&mut self, now: Now, path: Path, message: &Message<'_>) {
        let in_dialog = message.to_tag().is_some();
        let is_of_dialog =
            || in_dialog && Dialog::id_of(message).is_some_and(|id| self.hands.dialogs.contains_key(&id));
        // What belongs to a dialog or a transaction passes even if its trunk has left the conf.
        let is_known = || is_of_dialog() || self.hands.layer.knows(path, Asked::Whole(message));
        let trunk = trunk::of_path(&self.config.trunks, &self.hands.resolved, path);
        if trunk.is_none() && is_of_dialog() {
            // Nobody can guess its ids.
            self.hands.bans.proven(now.at, path.remote.ip());
        }
        if trunk.is_none_or(|trunk| trunk.auth.is_some())
            && !is_known()
            && !self.may_begin(now, path, message)
        {
            return;
        }
        match self.hands.layer.receive_request(now.at, path, message) {
            Received::New(server) if in_dialog => self.in_dialog(now, path, server, message),
            Received::New(server) => self.out_of_dialog(now, path, server, message),
            Received::AckOf2xx => self.ack(now, message),
            Received::Cancel { id, invite } => self.cancel(now, path, id, invite, message),
            Received::Merged => self.stateless(path, message, &Bounce::status(482)),
            Received::Full => {
                self.hands.note(Note::Shed);
                let bounce = self.shed(path, message);
                self.stateless(path, message, &bounce);
            }
            Received::AckOfFailure(owner) => self.refusal_heard(owned(owner).0),
            Received::Retransmission => {}
        }
    }

    /// Whether a request that belongs to nothing here is taken from where it comes. If not, it is answered, and nothing is
    /// kept of it.
    fn may_begin(&mut self, now: Now, path: Path, message: &Message<'_>) -> bool {
        let config = self.config.clone();
        match trunk::of_path(&config.trunks, &self.hands.resolved, path) {
            Some(Trunk { auth: None, .. }) => true,
            Some(Trunk {
                auth: Some(demand), ..
            }) => self.passes_gate(now, path, demand, message),
            None => {
                self.stranger(now, path, message);
                false
            }
        }
    }

    /// The same on a trunk that asks for a password.
    fn passes_gate(&mut self, now: Now, path: Path, demand: &Demand, message: &Message<'_>) -> bool {
        let method = message.method();
        // RFC 3261 §22.1: neither an ACK nor a CANCEL can be asked for a password. An ACK is most often that of such a
        // question.
        if method == Method::Ack {
            return false;
        }
        let unasked = if method == Method::Cancel {
            Some(Bounce::status(481))
        } else if message.to_tag().is_some() {
            self.hands.note(Note::Stray);
            Some(Bounce::status(481))
        } else if method == Method::Options && self.door == Door::Draining {
            // Who only probes us has no password for that: a question would be a sign of life.
            Some(Bounce::status(503))
        } else if method == Method::Register {
            // Nobody registers here, with a password or without one: to ask would only let passwords be tried.
            Some(Bounce::with(405, "Allow", ALLOW.into()))
        } else {
            None
        };
        if let Some(bounce) = unasked {
            self.stateless(path, message, &bounce);
            return false;
        }
        let source = path.remote.ip();
        let freshness = match self.gate.judge(now.at, source, demand, message) {
            Judged::Passed => {
                self.hands.bans.proven(now.at, source);
                return true;
            }
            Judged::Asked(freshness) => freshness,
            Judged::Wrong => {
                self.hands.note(Note::WrongPassword);
                self.hands.offended(now.at, source, &self.config);
                Freshness::First
            }
            Judged::Shut => {
                self.hands.note(Note::Guessing);
                self.hands.offended(now.at, source, &self.config);
                self.stateless(path, message, &Bounce::status(403));
                return false;
            }
        };
        let hands = &mut self.hands;
        let challenges = self
            .gate
            .challenge(now.at, source, demand, freshness, &mut hands.chance);
        let headers: Vec<(&str, &str)> = challenges.iter().map(|(name, value)| (*name, &**value)).collect();
        let to_tag = hands.tag_for(message.head());
        let response = Response {
            status: demand.asker.status(),
            to_tag: Some(&to_tag),
            contact: None,
            headers: &headers,
            body: None,
        };
        let bytes = build::response(message.head(), path.remote, &response);
        hands.send(build::reply_path(message.head(), path), bytes);
        false
    }

    /// Somebody who is no trunk's: no state is made for it.
    fn stranger(&mut self, now: Now, path: Path, message: &Message<'_>) {
        self.hands.note(Note::Stranger);
        // An ACK is most often that of what we have answered.
        if message.method() != Method::Ack {
            self.hands.offended(now.at, path.remote.ip(), &self.config);
        }
        match self.config.strangers {
            Strangers::Silence => {}
            Strangers::Forbid => self.stateless(path, message, &Bounce::status(403)),
        }
    }

    fn stateless(&mut self, path: Path, message: &Message<'_>, bounce: &Bounce) {
        if message.method() == Method::Ack {
            return;
        }
        let bytes = self.bounce_bytes(path, message, bounce);
        self.hands.send(build::reply_path(message.head(), path), bytes);
    }

    pub(in crate::call) fn bounce_bytes(
        &mut self,
        path: Path,
        message: &Message<'_>,
        bounce: &Bounce,
    ) -> Vec<u8> {
        let to_tag = self.hands.tag_for(message.head());
        bounce.answer(message.head(), path.remote, Some(&to_tag))
    }

    pub(in crate::call) fn bounce(
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

    /// What we can do (RFC 3261 §11.2): as an INVITE from there would find it.
    fn options(&mut self, now: Now, path: Path, server: ServerId, message: &Message<'_>, status: u16) {
        let to_tag = self.hands.tag_for(message.head());
        let trunk = trunk::of_path(&self.config.trunks, &self.hands.resolved, path);
        let supported = trunk.and_then(leg::supported).unwrap_or_default();
        let headers = [
            ("Allow", ALLOW),
            ("Accept", inspect::ACCEPT),
            ("Accept-Encoding", "identity"),
            ("Accept-Language", "en"),
            ("Supported", supported),
        ];
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
        let theirs = message.from_tag().unwrap_or_default();
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
        if message.method() != Method::Bye && call.bridge.has_left(name) {
            // RFC 3261 §15.1.2: its BYE has ended the dialog, though the other party is still asked how it was.
            self.put_back(call);
            return self.bounce(now, path, server, message, &Bounce::status(481));
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
                self.attend(now, &mut call);
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
        let heard = refusal::cause_of(reason::read(message));
        call.hung_up_by(hands, now, name, heard, self.door);
    }

    fn ack(&mut self, now: Now, message: &Message<'_>) {
        let found = Dialog::id_of(message).and_then(|id| self.hands.dialogs.get(&id).copied());
        let Some((me, name)) = found else { return };
        let Some(mut call) = self.take(me) else { return };
        let answers = !message.body().is_empty();
        call.note_message(now.at, name, Heading::In, Method::Ack, None, answers);
        // What was to be said behind it may be of no use any more.
        let before = (kept::is_calm(&call), call.cue.owes_sentence());
        call.ack_came(&mut self.hands, now, name, message);
        if before == (true, call.cue.owes_sentence()) && kept::is_calm(&call) {
            call.kept.stays();
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
            | Purpose::Probe(_)
            | Purpose::Gateway
            | Purpose::Other => {}
        }
        self.put_back(call);
    }
}
