//! The answers to what a leg's peer asks within its leg.

use arrayvec::ArrayVec;

use super::theirs::Came;
use super::{Asked, Carrier, Exchange};
use crate::base::time::Now;
use crate::call::guard::Scope;
use crate::call::hands::{Hands, listener};
use crate::call::leg::caller::Sdp;
use crate::call::leg::session_timer::in_2xx;
use crate::call::leg::{ALLOW, contact};
use crate::call::phase::Call;
use crate::call::port::{Heading, LegName};
use crate::call::refusal::Bounce;
use crate::sip::build::{Body, Response};
use crate::sip::transaction::ServerId;

impl Call {
    /// Says that a peer's INVITE takes its time. Other requests get no 100 so soon (RFC 4320 §4.1).
    pub(super) fn trying_theirs(&self, hands: &mut Hands, now: Now, name: LegName) {
        if let Some(Exchange::Theirs(asked)) = self.leg_of(name).map(|leg| &leg.exchange)
            && asked.carrier == Carrier::Invite
        {
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

    /// Agrees to a peer's request, with our description or without one. The target that it named counts from now on.
    pub(super) fn answer_theirs(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        asked: Asked,
        sdp: Sdp,
    ) {
        let config = self.config.clone();
        let Some(leg) = self.leg(name) else { return };
        let contact = contact(listener(&config, leg.listener));
        let timer = in_2xx(leg.wish, asked.timer.granted.as_ref());
        let mut headers: ArrayVec<(&str, &str), 4> = ArrayVec::new();
        headers.push(("Allow", ALLOW));
        headers.extend(timer.iter().map(|(name, value)| (*name, value.as_str())));
        let described = match sdp {
            Sdp::With => self.bridge.description(name),
            Sdp::Without => None,
        };
        let bytes = asked.echo.response(&Response {
            status: 200,
            to_tag: None,
            contact: Some(&contact),
            headers: &headers,
            body: described.map(|bytes| Body {
                content_type: "application/sdp",
                bytes,
            }),
        });
        if !self.may_send(name, &bytes, Scope::Ours) {
            self.refuse_theirs(hands, now, name, &asked, 500);
            return self.guard_hit(hands, now);
        }
        if let Some(target) = asked.target {
            let asker = asked.echo.sender_tag();
            if let Some(dialog) = self.dialog_with(name, &asker) {
                dialog.retarget(target);
            }
        }
        match asked.carrier {
            Carrier::Invite => self.send_2xx(hands, now, name, asked.server, asked.cseq, bytes),
            Carrier::Update | Carrier::Prack => {
                hands.layer.respond(now.at, asked.server, 200, bytes);
                let method = asked.carrier.method();
                self.note_message(now.at, name, Heading::Out, method, Some(200), sdp == Sdp::With);
            }
        }
        self.session_answered(hands, now, name, asked.timer);
        match asked.carrier {
            Carrier::Invite => {}
            Carrier::Update => self.offer_waiting(hands, now, name),
            Carrier::Prack => {
                self.prack_answered(hands, now);
                self.offer_waiting(hands, now, name);
            }
        }
        self.meet(hands, now);
    }

    /// Refuses a peer's request that was kept.
    pub(super) fn refuse_theirs(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        asked: &Asked,
        status: u16,
    ) {
        let bytes = asked.echo.response(&Response {
            status,
            to_tag: None,
            contact: None,
            headers: &[],
            body: None,
        });
        hands.layer.respond(now.at, asked.server, status, bytes);
        let method = asked.carrier.method();
        self.note_message(now.at, name, Heading::Out, method, Some(status), false);
        if asked.carrier == Carrier::Prack {
            self.prack_answered(hands, now);
        }
    }

    /// Refuses a peer's request as it comes.
    pub(super) fn bounce(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        server: ServerId,
        came: &Came<'_, '_>,
        bounce: &Bounce,
    ) {
        let bytes = bounce.answer(came.request.head(), came.source, None);
        hands.layer.respond(now.at, server, bounce.status, bytes);
        let method = came.carrier.method();
        self.note_message(now.at, name, Heading::Out, method, Some(bounce.status), false);
    }
}
