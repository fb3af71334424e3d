//! What we ask of a leg's peer within its leg: the other side's offer that crosses, or one of our own.

use arrayvec::ArrayVec;

use super::{Ask, Carrier, Exchange, Ours};
use crate::base::time::Now;
use crate::call::guard::Scope;
use crate::call::hands::{CallTimer, Hands, Purpose, listener, owner, way};
use crate::call::inspect;
use crate::call::leg::session_timer::in_request;
use crate::call::leg::{ALLOW, contact};
use crate::call::phase::{Call, End, Recorded};
use crate::call::port::{Heading, LegName};
use crate::sip::build::Body;
use crate::sip::message::Message;
use crate::sip::transaction::{Answer, AnswerKind};

impl Call {
    /// Sends a request of ours on a leg that is free for it.
    pub(super) fn send_offer(&mut self, hands: &mut Hands, now: Now, name: LegName, ask: Ask) {
        match ask {
            Ask::Terms(terms) => self.bridge.offer_to(name, terms),
            Ask::Refresh => {}
        }
        self.send_description(hands, now, name, Carrier::Invite);
    }

    /// Sends what we last wrote to a leg.
    fn send_description(&mut self, hands: &mut Hands, now: Now, name: LegName, carrier: Carrier) {
        let (config, me) = (self.config.clone(), self.me);
        let sdp = self.bridge.description(name).unwrap_or_default().to_vec();
        let Some(leg) = self.leg(name) else { return };
        let contact = contact(listener(&config, leg.listener));
        let timer = in_request(leg.wish, leg.session());
        let Some(dialog) = leg.dialog.as_mut() else { return };
        let cseq = dialog.next_cseq();
        let body = Body {
            content_type: "application/sdp",
            bytes: &sdp,
        };
        let mut headers: ArrayVec<(&str, &str), 4> = ArrayVec::new();
        headers.push(("Allow", ALLOW));
        headers.extend(timer.iter().map(|(name, value)| (*name, value.as_str())));
        let branch = hands.branch();
        let (to, by) = way(&config, dialog);
        let bytes = dialog.request(
            carrier.method(),
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
        self.note_message(now.at, name, Heading::Out, carrier.method(), None, true);
        let purpose = owner(me, Purpose::Exchange(name));
        let Some(client) = hands.layer.request(now.at, to, purpose, bytes) else {
            return self.offer_lost(hands, now, name);
        };
        // A peer that said 100 and then nothing would keep it for ever (RFC 3261 §17.1.1.2).
        let wait = config.timers.t1.saturating_mul(64);
        let timer = hands.wake(me, now.at + wait, CallTimer::Exchange(name));
        if let Some(leg) = self.leg(name) {
            leg.exchange = Exchange::Ours(Ours {
                carrier,
                client,
                timer,
            });
        }
    }

    /// A leg's peer answered a request of ours within the leg: the other side's offer that crossed, or one of
    /// our own.
    pub fn offer_answered(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        answer: &Answer,
        response: &Message<'_>,
    ) {
        let status = response.status().unwrap_or(0);
        let has_body = !response.body().is_empty();
        self.note_message(now.at, name, Heading::In, answer.method, Some(status), has_body);
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
        match leg.exchange {
            // A 2xx that is repeated because its ACK was lost answers none but its own INVITE.
            Exchange::Ours(ours) if ours.client == answer.id => {
                hands.timers.cancel(ours.timer);
                leg.exchange = Exchange::None;
            }
            Exchange::Ours(..) | Exchange::Theirs(_) | Exchange::None => return,
        }
        if self.recorded != Recorded::Open {
            return;
        }
        if status < 300 {
            self.session_granted(hands, now, name, response);
        } else {
            self.session_refused(hands, now, name, response);
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
                self.answer_theirs(hands, now, name.other(), asked);
            } else {
                let refused = if status == 491 { 491 } else { 488 };
                self.refuse_theirs(hands, now, name.other(), &asked, refused);
            }
        }
        self.offer_waiting(hands, now, name);
        self.offer_waiting(hands, now, name.other());
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

    /// No final answer came to our request within a leg: as if it were 408 (RFC 3261 §14.1).
    pub fn offer_lost(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        self.forget_ours(hands, name);
        self.bridge.crossing = None;
        if let Some(asked) = self.take_theirs(name.other()) {
            self.refuse_theirs(hands, now, name.other(), &asked, 408);
        }
        self.end(hands, now, End::cut("dialog_lost"));
    }

    /// Forgets our request within a leg: nobody waits for its answer any more.
    pub fn forget_ours(&mut self, hands: &mut Hands, name: LegName) {
        let Some(leg) = self.leg(name) else { return };
        if let Exchange::Ours(ours) = leg.exchange {
            hands.timers.cancel(ours.timer);
            hands.layer.end_client(ours.client);
            leg.exchange = Exchange::None;
        }
    }
}
