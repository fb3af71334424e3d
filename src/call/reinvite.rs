//! A later INVITE within a leg (RFC 3261 §14): hold, resume, a moved address, another codec.
//!
//! What is only that leg's own affair is answered on it. Only a change of direction or codecs crosses to
//! the other leg, as an offer of ours.

use super::guard::Scope;
use super::hands::{CallTimer, Hands, Purpose, listener, owner, way};
use super::inspect;
use super::leg::{Asked, Bye, Echo, Reinvite, contact};
use super::phase::{Call, End, Recorded};
use super::port::{Heading, LegName};
use crate::base::time::Now;
use crate::sip::build::{Body, Response};
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::transaction::{Answer, AnswerKind, ServerId};

/// What `Retry-After` says to a peer whose own INVITE is still unanswered: RFC 3261 §14.2 wants 0–10 s.
const RETRY_AFTER: &str = "5";

impl Call {
    /// A peer sent an INVITE within its leg.
    pub fn reinvited(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        server: ServerId,
        came: &Came<'_, '_>,
    ) {
        let invite = came.invite;
        let has_body = !invite.body().is_empty();
        self.note_message(now.at, name, Heading::In, Method::Invite, None, has_body);
        let Some(echo) = Echo::of(invite, came.source) else {
            return self.bounce(hands, now, server, came, 513, None);
        };
        let Some(leg) = self.leg(name) else { return };
        match &leg.reinvite {
            Reinvite::Theirs(..) => {
                return self.bounce(hands, now, server, came, 500, Some(("Retry-After", RETRY_AFTER)));
            }
            Reinvite::Ours(..) => return self.bounce(hands, now, server, came, 491, None),
            Reinvite::None => {}
        }
        let unsettled = leg.unacked.is_some();
        if unsettled || self.record.answered_at.is_none() || self.recorded != Recorded::Open {
            return self.bounce(hands, now, server, came, 491, None);
        }
        let session = match inspect::check_request(invite).and_then(|()| inspect::offer(invite)) {
            Ok(session) => session,
            Err(bounce) => {
                let header = bounce
                    .header
                    .as_ref()
                    .map(|(name, value)| (*name, value.as_str()));
                return self.bounce(hands, now, server, came, bounce.status, header);
            }
        };
        if let Some(leg) = self.leg(name) {
            leg.peer.hear(invite);
            if let Some(dialog) = leg.dialog.as_mut() {
                dialog.refresh_target(invite);
            }
        }
        let cseq = invite.cseq().number;
        let Some(session) = session else {
            // No offer in it: we offer what the other side has settled, and its ACK answers.
            self.bridge.offer_anew(name);
            return self.answer_reinvite(hands, now, name, Asked { server, echo, cseq });
        };
        match self.bridge.reoffered(hands, name, &session) {
            Err(_) => self.bounce(hands, now, server, came, 488, None),
            Ok(None) => self.answer_reinvite(hands, now, name, Asked { server, echo, cseq }),
            Ok(Some(terms)) => {
                let other = name.other();
                let free = self.leg(other).is_some_and(|leg| {
                    leg.unacked.is_none() && leg.bye == Bye::No && matches!(leg.reinvite, Reinvite::None)
                });
                if !free {
                    self.bridge.crossing = None;
                    return self.bounce(hands, now, server, came, 491, None);
                }
                self.bridge.offer_to(other, terms);
                hands.layer.own(server, owner(self.me, Purpose::Reinvite(name)));
                if let Some(leg) = self.leg(name) {
                    leg.reinvite = Reinvite::Theirs(Box::new(Asked { server, echo, cseq }));
                }
                // RFC 3261 §8.2.6.1: the other leg may take its time.
                self.try_reinvite(hands, now, name);
                self.send_reinvite(hands, now, other);
            }
        }
    }

    /// A leg's peer answered an INVITE of ours within the leg: the other side's offer that crossed, or one of
    /// our own.
    pub fn reinvite_answered(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        answer: &Answer,
        response: &Message<'_>,
    ) {
        let status = response.status().unwrap_or(0);
        let has_body = !response.body().is_empty();
        self.note_message(now.at, name, Heading::In, Method::Invite, Some(status), has_body);
        if answer.kind == AnswerKind::Provisional {
            return;
        }
        if status < 300 {
            if let Some(leg) = self.leg(name) {
                leg.peer.hear(response);
                if let Some(dialog) = leg.dialog.as_mut() {
                    dialog.refresh_target(response);
                }
            }
            self.ack(hands, now, name, response.cseq().number);
        }
        let Some(leg) = self.leg(name) else { return };
        match leg.reinvite {
            // A 2xx that is repeated because its ACK was lost answers none but its own INVITE.
            Reinvite::Ours(client, timer) if client == answer.id => {
                hands.timers.cancel(timer);
                leg.reinvite = Reinvite::None;
            }
            Reinvite::Ours(..) | Reinvite::Theirs(_) | Reinvite::None => return,
        }
        if self.recorded != Recorded::Open {
            return;
        }
        let settled = match inspect::offer(response) {
            Ok(Some(session)) if status < 300 && self.bridge.crossing.is_some() => {
                self.bridge.crossed(hands, &session).is_ok()
            }
            Ok(Some(session)) if status < 300 => self.bridge.acked_with(hands, name, &session).is_ok(),
            Ok(_) | Err(_) => false,
        };
        self.bridge.crossing = None;
        if let Some(asked) = self.take_theirs(name.other()) {
            if settled {
                return self.answer_reinvite(hands, now, name.other(), asked);
            }
            let refused = if status == 491 { 491 } else { 488 };
            self.refuse_reinvite(hands, now, name.other(), &asked, refused);
        }
        match status {
            // RFC 3261 §12.2.1.2: the dialog is gone on that side.
            481 => {
                self.leg_over(name);
                self.end(hands, now, End::cut("dialog_lost"));
            }
            408 => self.end(hands, now, End::cut("dialog_lost")),
            _ => {}
        }
    }

    /// No final answer came to our INVITE within a leg: as if it were 408 (RFC 3261 §14.1).
    pub fn reinvite_lost(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        self.forget_reinvite(hands, name);
        self.bridge.crossing = None;
        if let Some(asked) = self.take_theirs(name.other()) {
            self.refuse_reinvite(hands, now, name.other(), &asked, 408);
        }
        self.end(hands, now, End::cut("dialog_lost"));
    }

    /// Forgets our INVITE within a leg: nobody waits for its answer any more.
    pub fn forget_reinvite(&mut self, hands: &mut Hands, name: LegName) {
        let Some(leg) = self.leg(name) else { return };
        if let Reinvite::Ours(client, timer) = leg.reinvite {
            hands.timers.cancel(timer);
            hands.layer.end_client(client);
            leg.reinvite = Reinvite::None;
        }
    }

    /// The caller was told fewer codecs than the fork that won speaks: it gets an offer of ours (RFC 3264 §8).
    pub fn tell_caller_codecs(&mut self, hands: &mut Hands, now: Now) {
        let leg = &self.caller.leg;
        let free = leg.unacked.is_none() && leg.bye == Bye::No && matches!(leg.reinvite, Reinvite::None);
        if !free || self.recorded != Recorded::Open || self.record.answered_at.is_none() {
            return;
        }
        if let Some(terms) = self.bridge.terms_missing_at_caller() {
            self.bridge.offer_to(LegName::Caller, terms);
            self.send_reinvite(hands, now, LegName::Caller);
        }
    }

    /// The call ends while a peer's own INVITE is unanswered (RFC 3261 §15.1.2): nothing is left to agree on.
    pub fn drop_reinvite(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        if let Some(asked) = self.take_theirs(name) {
            self.refuse_reinvite(hands, now, name, &asked, 487);
        }
    }

    fn try_reinvite(&self, hands: &mut Hands, now: Now, name: LegName) {
        let leg = match name {
            LegName::Caller => Some(&self.caller.leg),
            LegName::Callee => self.callee.as_ref().map(|callee| &callee.leg),
        };
        if let Some(Reinvite::Theirs(asked)) = leg.map(|leg| &leg.reinvite) {
            let bytes = asked.echo.response(&Response {
                status: 100,
                to_tag: None,
                contact: None,
                headers: &[],
                body: None,
            });
            hands.layer.respond(now.at, asked.server, 100, bytes);
        }
    }

    fn take_theirs(&mut self, name: LegName) -> Option<Asked> {
        let leg = self.leg(name)?;
        match std::mem::take(&mut leg.reinvite) {
            Reinvite::Theirs(asked) => Some(*asked),
            other @ (Reinvite::None | Reinvite::Ours(..)) => {
                leg.reinvite = other;
                None
            }
        }
    }

    fn send_reinvite(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        let (config, me) = (self.config.clone(), self.me);
        let sdp = self.bridge.description(name).unwrap_or_default().to_vec();
        let Some(leg) = self.leg(name) else { return };
        let contact = contact(listener(&config, leg.listener));
        let Some(dialog) = leg.dialog.as_mut() else { return };
        let cseq = dialog.next_cseq();
        let body = Body {
            content_type: "application/sdp",
            bytes: &sdp,
        };
        let headers = [("Allow", super::leg::ALLOW)];
        let branch = hands.branch();
        let (to, by) = way(&config, dialog);
        let bytes = dialog.request(
            Method::Invite,
            cseq,
            &branch,
            by.via(),
            Some(&contact),
            &headers,
            Some(body),
            70,
        );
        if !self.may_send(name, &bytes, Scope::Ours) {
            return self.guard_hit(hands, now);
        }
        self.note_message(now.at, name, Heading::Out, Method::Invite, None, true);
        let purpose = owner(me, Purpose::Reinvite(name));
        let Some(client) = hands.layer.request(now.at, to, purpose, bytes) else {
            return self.reinvite_lost(hands, now, name);
        };
        // A peer that said 100 and then nothing would keep it for ever (RFC 3261 §17.1.1.2).
        let wait = config.timers.t1.saturating_mul(64);
        let timer = hands.wake(me, now.at + wait, CallTimer::Reinvite(name));
        if let Some(leg) = self.leg(name) {
            leg.reinvite = Reinvite::Ours(client, timer);
        }
    }

    fn answer_reinvite(&mut self, hands: &mut Hands, now: Now, name: LegName, asked: Asked) {
        let config = self.config.clone();
        let Some(leg) = self.leg(name) else { return };
        let contact = contact(listener(&config, leg.listener));
        let sdp = self.bridge.description(name).unwrap_or_default();
        let bytes = asked.echo.response(&Response {
            status: 200,
            to_tag: None,
            contact: Some(&contact),
            headers: &[("Allow", super::leg::ALLOW)],
            body: Some(Body {
                content_type: "application/sdp",
                bytes: sdp,
            }),
        });
        if !self.may_send(name, &bytes, Scope::Ours) {
            self.refuse_reinvite(hands, now, name, &asked, 500);
            return self.guard_hit(hands, now);
        }
        self.send_2xx(hands, now, name, asked.server, asked.cseq, bytes);
    }

    fn refuse_reinvite(&mut self, hands: &mut Hands, now: Now, name: LegName, asked: &Asked, status: u16) {
        let bytes = asked.echo.response(&Response {
            status,
            to_tag: None,
            contact: None,
            headers: &[],
            body: None,
        });
        hands.layer.respond(now.at, asked.server, status, bytes);
        self.note_message(now.at, name, Heading::Out, Method::Invite, Some(status), false);
    }

    fn bounce(
        &mut self,
        hands: &mut Hands,
        now: Now,
        server: ServerId,
        came: &Came<'_, '_>,
        status: u16,
        header: Option<(&str, &str)>,
    ) {
        let headers: arrayvec::ArrayVec<(&str, &str), 1> = header.into_iter().collect();
        let response = Response {
            status,
            to_tag: None,
            contact: None,
            headers: &headers,
            body: None,
        };
        let bytes = crate::sip::build::response(came.invite.head(), came.source, &response);
        hands.layer.respond(now.at, server, status, bytes);
    }
}

/// An INVITE as it came.
pub struct Came<'m, 'b> {
    /// The message.
    pub invite: &'m Message<'b>,
    /// Where it came from.
    pub source: std::net::SocketAddr,
}
