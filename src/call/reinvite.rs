//! A later INVITE within a leg (RFC 3261 §14): hold, resume, a moved address, another codec.
//!
//! What is only that leg's own affair is answered on it. Only a change of direction or codecs crosses to
//! the other leg, as an offer of ours.

use super::arrive;
use super::guard::Scope;
use super::hands::{Hands, Purpose, listener, owner};
use super::leg::{Bye, Echo, Reinvite};
use super::phase::{Call, End, Recorded};
use super::port::{Heading, LegName};
use crate::base::time::Now;
use crate::sip::build::{Body, Response};
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::transaction::ServerId;

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
            Reinvite::Ours => return self.bounce(hands, now, server, came, 491, None),
            Reinvite::None => {}
        }
        let unsettled = leg.unacked.is_some();
        if unsettled || self.record.answered_at.is_none() || self.recorded != Recorded::Open {
            return self.bounce(hands, now, server, came, 491, None);
        }
        let session = match arrive::check_request(invite).and_then(|()| arrive::offer(invite)) {
            Ok(session) => session,
            Err(bounce) => {
                let header = bounce
                    .header
                    .as_ref()
                    .map(|(name, value)| (*name, value.as_str()));
                return self.bounce(hands, now, server, came, bounce.status, header);
            }
        };
        if let Some(dialog) = self.leg(name).and_then(|leg| leg.dialog.as_mut()) {
            dialog.refresh_target(invite);
        }
        let cseq = invite.cseq().number;
        let Some(session) = session else {
            // No offer in it: we offer what the other side has settled, and its ACK answers.
            self.bridge.offer_anew(name);
            return self.answer_reinvite(hands, now, name, server, cseq, &echo);
        };
        match self.bridge.reoffered(hands, name, &session) {
            Err(_) => self.bounce(hands, now, server, came, 488, None),
            Ok(None) => self.answer_reinvite(hands, now, name, server, cseq, &echo),
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
                    leg.reinvite = Reinvite::Theirs(server, echo, cseq);
                }
                self.send_reinvite(hands, now, other);
            }
        }
    }

    /// The other leg answered the INVITE by which a peer's offer crossed.
    pub fn reinvite_answered(&mut self, hands: &mut Hands, now: Now, name: LegName, response: &Message<'_>) {
        let status = response.status().unwrap_or(0);
        let has_body = !response.body().is_empty();
        self.note_message(now.at, name, Heading::In, Method::Invite, Some(status), has_body);
        if status < 200 {
            return;
        }
        if status < 300 {
            if let Some(dialog) = self.leg(name).and_then(|leg| leg.dialog.as_mut()) {
                dialog.refresh_target(response);
            }
            self.ack(hands, now, name, response.cseq().number);
        }
        let Some(leg) = self.leg(name) else { return };
        if !matches!(leg.reinvite, Reinvite::Ours) {
            return;
        }
        leg.reinvite = Reinvite::None;
        if self.recorded != Recorded::Open {
            // The call ended meanwhile: the BYE that waited for this goes out.
            return self.hang_up(hands, now, name);
        }
        let crossed = match arrive::offer(response) {
            Ok(Some(session)) if status < 300 => self.bridge.crossed(hands, &session).is_ok(),
            Ok(_) | Err(_) => false,
        };
        let asker = name.other();
        let Some((server, echo, cseq)) = self.take_theirs(asker) else {
            return;
        };
        if crossed {
            return self.answer_reinvite(hands, now, asker, server, cseq, &echo);
        }
        self.bridge.crossing = None;
        let refused = if status == 491 { 491 } else { 488 };
        self.refuse_reinvite(hands, now, asker, server, &echo, refused);
        if matches!(status, 408 | 481) {
            // RFC 3261 §12.2.1.2: the dialog is gone on that side.
            self.leg_over(name);
            self.end(hands, now, End::cut("dialog_lost"));
        }
    }

    /// No answer at all came to our INVITE within a leg: as if it were 408 (RFC 3261 §14.1).
    pub fn reinvite_lost(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        if let Some(leg) = self.leg(name) {
            leg.reinvite = Reinvite::None;
        }
        self.bridge.crossing = None;
        if let Some((server, echo, _)) = self.take_theirs(name.other()) {
            self.refuse_reinvite(hands, now, name.other(), server, &echo, 408);
        }
        self.end(hands, now, End::cut("dialog_lost"));
    }

    /// The peer ended the call while its own INVITE was unanswered (RFC 3261 §15.1.2).
    pub fn drop_reinvite(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        if let Some((server, echo, _)) = self.take_theirs(name) {
            self.refuse_reinvite(hands, now, name, server, &echo, 487);
        }
    }

    fn take_theirs(&mut self, name: LegName) -> Option<(ServerId, Echo, u32)> {
        let leg = self.leg(name)?;
        match std::mem::take(&mut leg.reinvite) {
            Reinvite::Theirs(server, echo, cseq) => Some((server, echo, cseq)),
            other @ (Reinvite::None | Reinvite::Ours) => {
                leg.reinvite = other;
                None
            }
        }
    }

    fn send_reinvite(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        let (config, me) = (self.config.clone(), self.me);
        let sdp = self.bridge.description(name).unwrap_or_default().to_vec();
        let Some(leg) = self.leg(name) else { return };
        let sent_by = listener(&config, leg.listener).advertised;
        let contact = format!("<sip:{sent_by}>");
        let Some(dialog) = leg.dialog.as_mut() else { return };
        let cseq = dialog.next_cseq();
        let body = Body {
            content_type: "application/sdp",
            bytes: &sdp,
        };
        let headers = [("Allow", super::leg::ALLOW)];
        let branch = hands.branch();
        let bytes = dialog.request(
            Method::Invite,
            cseq,
            &branch,
            sent_by,
            Some(contact.as_bytes()),
            &headers,
            Some(body),
            70,
        );
        let to = dialog.next_hop();
        leg.reinvite = Reinvite::Ours;
        if !self.may_send(name, &bytes, Scope::Ours) {
            return self.guard_hit(hands, now);
        }
        hands
            .layer
            .request(now.at, to, owner(me, Purpose::Reinvite(name)), bytes);
        self.note_message(now.at, name, Heading::Out, Method::Invite, None, true);
    }

    fn answer_reinvite(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        server: ServerId,
        cseq: u32,
        echo: &Echo,
    ) {
        let config = self.config.clone();
        let Some(leg) = self.leg(name) else { return };
        let contact = format!("<sip:{}>", listener(&config, leg.listener).advertised);
        let sdp = self.bridge.description(name).unwrap_or_default();
        let bytes = echo.response(&Response {
            status: 200,
            to_tag: None,
            contact: Some(contact.as_bytes()),
            headers: &[("Allow", super::leg::ALLOW)],
            body: Some(Body {
                content_type: "application/sdp",
                bytes: sdp,
            }),
        });
        if !self.may_send(name, &bytes, Scope::Ours) {
            return self.guard_hit(hands, now);
        }
        self.send_2xx(hands, now, name, server, cseq, bytes);
    }

    fn refuse_reinvite(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        server: ServerId,
        echo: &Echo,
        status: u16,
    ) {
        let bytes = echo.response(&Response {
            status,
            to_tag: None,
            contact: None,
            headers: &[],
            body: None,
        });
        hands.layer.respond(now.at, server, status, bytes);
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
