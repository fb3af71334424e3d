//! The answers to what a leg's peer asks within its leg.

use arrayvec::ArrayVec;

use super::theirs::Came;
use super::{Asked, Exchange};
use crate::base::time::Now;
use crate::call::guard::Scope;
use crate::call::hands::{Hands, listener};
use crate::call::leg::session_timer::in_2xx;
use crate::call::leg::{ALLOW, contact};
use crate::call::phase::Call;
use crate::call::port::{Heading, LegName};
use crate::sip::build::{Body, Response};
use crate::sip::transaction::ServerId;

impl Call {
    /// Says that a peer's INVITE takes its time.
    pub(super) fn trying_theirs(&self, hands: &mut Hands, now: Now, name: LegName) {
        let leg = match name {
            LegName::Caller => Some(&self.caller.leg),
            LegName::Callee => self.callee.as_ref().map(|callee| &callee.leg),
        };
        if let Some(Exchange::Theirs(asked)) = leg.map(|leg| &leg.exchange) {
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

    /// Answers a peer's request with our description.
    pub(super) fn answer_theirs(&mut self, hands: &mut Hands, now: Now, name: LegName, asked: Asked) {
        let config = self.config.clone();
        let Some(leg) = self.leg(name) else { return };
        let contact = contact(listener(&config, leg.listener));
        let timer = in_2xx(leg.wish, asked.timer.granted.as_ref());
        let mut headers: ArrayVec<(&str, &str), 4> = ArrayVec::new();
        headers.push(("Allow", ALLOW));
        headers.extend(timer.iter().map(|(name, value)| (*name, value.as_str())));
        let sdp = self.bridge.description(name).unwrap_or_default();
        let bytes = asked.echo.response(&Response {
            status: 200,
            to_tag: None,
            contact: Some(&contact),
            headers: &headers,
            body: Some(Body {
                content_type: "application/sdp",
                bytes: sdp,
            }),
        });
        if !self.may_send(name, &bytes, Scope::Ours) {
            self.refuse_theirs(hands, now, name, &asked, 500);
            return self.guard_hit(hands, now);
        }
        self.send_2xx(hands, now, name, asked.server, asked.cseq, bytes);
        self.session_answered(hands, now, name, asked.timer);
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
        self.note_message(
            now.at,
            name,
            Heading::Out,
            asked.carrier.method(),
            Some(status),
            false,
        );
    }

    /// Refuses a peer's request as it comes.
    pub(super) fn bounce(
        &mut self,
        hands: &mut Hands,
        now: Now,
        server: ServerId,
        came: &Came<'_, '_>,
        status: u16,
        header: Option<(&str, &str)>,
    ) {
        let headers: ArrayVec<(&str, &str), 1> = header.into_iter().collect();
        let response = Response {
            status,
            to_tag: None,
            contact: None,
            headers: &headers,
            body: None,
        };
        let bytes = crate::sip::build::response(came.request.head(), came.source, &response);
        hands.layer.respond(now.at, server, status, bytes);
    }
}
