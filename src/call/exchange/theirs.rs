//! What a leg's peer asks within its leg: a later INVITE (RFC 3261 §14.2), an UPDATE (RFC 3311 §5.2), an offer in its
//! PRACK (RFC 3262 §5).

use super::{Ask, Asked, Carrier, Door, Exchange, Opening, Whose};
use crate::base::limits::RETRY_AFTER_MAX_S;
use crate::base::time::Now;
use crate::call::hands::{Hands, Purpose, owner};
use crate::call::inspect;
use crate::call::leg::Echo;
use crate::call::leg::caller::Sdp;
use crate::call::leg::refresh::{Judged, judged};
use crate::call::phase::{Call, Recorded};
use crate::call::port::{Heading, LegName};
use crate::call::refusal::Bounce;
use crate::sdp::parse::Session;
use crate::sip::dialog;
use crate::sip::message::Message;
use crate::sip::transaction::ServerId;

/// A request with an offer, or for one, as it came.
pub struct Came<'m, 'b> {
    /// The message.
    pub request: &'m Message<'b>,
    /// Which kind it is.
    pub carrier: Carrier,
    /// Where it came from.
    pub source: std::net::SocketAddr,
}

/// What such a request has in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Holds {
    Offer,
    Nothing,
}

impl Call {
    /// A peer sent an offer, asks for one, or refreshes its target, within its leg.
    pub fn offered(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        server: ServerId,
        came: &Came<'_, '_>,
    ) {
        let (request, carrier) = (came.request, came.carrier);
        let has_body = !request.body().is_empty();
        self.note_message(now.at, name, Heading::In, carrier.method(), None, has_body);
        let checked = inspect::check_request(request)
            .and_then(|()| self.timer_asked(name, came))
            .and_then(|timer| Ok((timer, inspect::offer(request)?)));
        let (timer, session) = match checked {
            Ok(checked) => checked,
            Err(bounce) => return self.bounce(hands, now, name, server, came, &bounce),
        };
        let holds = match session {
            Some(_) => Holds::Offer,
            None => Holds::Nothing,
        };
        let asker = request.from_tag().unwrap_or_default();
        let opening = self.opening_with(name, asker);
        if let Some(bounce) = self.turned_away(hands, name, opening, carrier, holds) {
            return self.bounce(hands, now, name, server, came, &bounce);
        }
        let Some(echo) = Echo::of(request, came.source) else {
            return self.bounce(hands, now, name, server, came, &Bounce::status(513));
        };
        let asked = Asked {
            carrier,
            server,
            echo,
            cseq: request.cseq().number,
            timer,
            target: dialog::target_named_by(request).map(Box::from),
        };
        if carrier == Carrier::Invite {
            self.has_our_2xx(hands, name);
        }
        self.turn_to_asker(name, request, holds);
        match (session, carrier) {
            (Some(session), _) => self.take_offer(hands, now, name, asked, &session),
            (None, Carrier::Invite) => {
                // We offer what the other side has settled, and its ACK answers.
                self.bridge.offer_anew(name);
                self.answer_theirs(hands, now, name, asked, Sdp::With);
            }
            // RFC 3311 §5.2: nothing but the target changes.
            (None, Carrier::Update | Carrier::Prack) => {
                self.answer_theirs(hands, now, name, asked, Sdp::Without);
            }
        }
    }

    /// What a request asks for of a session timer. Before the answer there is no session to be timed (RFC 4028 §2):
    /// the 2xx to the INVITE will tell.
    fn timer_asked(&self, name: LegName, came: &Came<'_, '_>) -> Result<Judged, Bounce> {
        let (leg, is_session) = match (self.leg_of(name), came.carrier) {
            (Some(leg), Carrier::Invite | Carrier::Update) => (leg, self.is_session(name)),
            (Some(_), Carrier::Prack) | (None, _) => return Ok(Judged::default()),
        };
        let timer = judged(came.request, leg.wish, leg.clock())?;
        Ok(Judged {
            granted: timer.granted.filter(|_| is_session),
            ..timer
        })
    }

    /// Why a request can't be dealt with now, if it can't. `opening` is its own dialog's: of several forks of the called
    /// side, the one that asks needn't be the one in use.
    fn turned_away(
        &mut self,
        hands: &mut Hands,
        name: LegName,
        opening: Opening,
        carrier: Carrier,
        holds: Holds,
    ) -> Option<Bounce> {
        let is_at_its_end = (name == LegName::Callee && self.is_over()) || self.bridge.has_left(name);
        if self.recorded != Recorded::Open || is_at_its_end {
            // RFC 5407 §3.2.2: the dialog is at its end.
            return Some(Bounce::status(481));
        }
        // RFC 3261 §14.2, RFC 3311 §5.2: theirs waits for us, ours for them.
        let wait = hands.chance.below(RETRY_AFTER_MAX_S + 1);
        let theirs = || Some(Bounce::with(500, "Retry-After", wait.to_string()));
        let ours = || Some(Bounce::status(491));
        let awaits_ack = self.bridge.awaits_answer(name);
        // A caller's leg may be answered before anybody is called.
        let is_answered = match name {
            LegName::Caller => self.is_session(name),
            LegName::Callee => self.record.answered_at.is_some(),
        };
        let leg = self.leg_of(name)?;
        match (&leg.exchange, carrier, holds) {
            (Exchange::Theirs(asked), Carrier::Update, Holds::Nothing)
                if asked.carrier == Carrier::Invite =>
            {
                None
            }
            (Exchange::Theirs(_), ..) => theirs(),
            (Exchange::Ours(_), Carrier::Update | Carrier::Prack, Holds::Nothing) => None,
            (Exchange::Ours(_), ..) => ours(),
            (Exchange::None, Carrier::Update | Carrier::Prack, Holds::Nothing) => None,
            // RFC 5407 §3.1.5: our 2xx made an offer, and its ACK has still to bring the answer.
            (Exchange::None, ..) if is_answered && awaits_ack => ours(),
            (Exchange::None, ..) if is_answered => None,
            (Exchange::None, Carrier::Update | Carrier::Prack, Holds::Offer)
                if opening == Opening::Settled =>
            {
                None
            }
            // Before the answer: the caller's own INVITE waits for us, ours for the called side.
            (Exchange::None, ..) => match name {
                LegName::Caller => theirs(),
                LegName::Callee => ours(),
            },
        }
    }

    /// A later INVITE says what the ACK of our 2xx would have said, should that be lost or late (RFC 5407 §3.1.4):
    /// nothing is left to repeat.
    fn has_our_2xx(&mut self, hands: &mut Hands, name: LegName) {
        let awaits_ack = self.bridge.awaits_answer(name);
        if let Some(leg) = self.leg(name).filter(|_| !awaits_ack)
            && let Some(unacked) = leg.unacked.take()
        {
            hands.timers.cancel(unacked.timer);
        }
    }

    /// What a request says of its sender counts; and of several forks of the called side, one that speaks of media is
    /// the one in use.
    fn turn_to_asker(&mut self, name: LegName, request: &Message<'_>, holds: Holds) {
        if name == LegName::Callee && holds == Holds::Offer && self.record.answered_at.is_none() {
            self.turn_to_fork(request.from_tag().unwrap_or_default());
        }
        let asker = request.from_tag().unwrap_or_default();
        if let Some(leg) = self.leg(name)
            && leg.dialog.as_ref().is_some_and(|used| used.remote_tag() == asker)
        {
            leg.peer.hear(request);
        }
    }

    /// An offer that can be dealt with: on its own leg, or by asking the other one.
    fn take_offer(&mut self, hands: &mut Hands, now: Now, name: LegName, asked: Asked, session: &Session) {
        let other = name.other();
        match self.bridge.reoffered(hands, name, session) {
            Err(_) => self.refuse_theirs(hands, now, name, &asked, 488),
            Ok(None) => self.answer_theirs(hands, now, name, asked, Sdp::With),
            Ok(Some(terms)) => {
                let refused = match self.door(other) {
                    Door::Open => None,
                    Door::Busy if self.record.answered_at.is_none() => {
                        return self.take_early_offer(hands, now, name, asked, session);
                    }
                    // Nobody is left who could be asked.
                    Door::Shut if self.question.is_some() => {
                        return self.take_early_offer(hands, now, name, asked, session);
                    }
                    // Another request is pending, though on the other leg: it may be tried again.
                    Door::Busy => Some(491),
                    Door::Shut => Some(481),
                };
                if let Some(status) = refused {
                    self.bridge.crossing = None;
                    return self.refuse_theirs(hands, now, name, &asked, status);
                }
                hands
                    .layer
                    .own(asked.server, owner(self.me, Purpose::Exchange(name)));
                if let Some(leg) = self.leg(name) {
                    leg.exchange = Exchange::Theirs(Box::new(asked));
                }
                // RFC 3261 §8.2.6.1: the other leg may take its time.
                self.trying_theirs(hands, now, name);
                self.send_offer(hands, now, other, Ask::Terms(terms), Whose::Theirs, 0);
            }
        }
    }

    /// An offer before the answer, while the other leg can't be asked: it is answered at once (RFC 3311 §5.2) by what
    /// that leg has settled, and that leg hears of it as soon as it can.
    fn take_early_offer(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        asked: Asked,
        session: &Session,
    ) {
        self.bridge.crossing = None;
        match self.bridge.answer_at_once(hands, name, session) {
            Ok(()) => {
                self.answer_theirs(hands, now, name, asked, Sdp::With);
                self.offer_on(hands, now, name.other(), Ask::Settled);
            }
            // Only the other party could agree to it.
            Err(_) => self.refuse_theirs(hands, now, name, &asked, 504),
        }
    }

    /// A peer cancels its re-INVITE that waits for our answer (RFC 3261 §9.2): the other leg's is withdrawn.
    pub fn offer_cancelled(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        let Some(asked) = self.take_theirs(name) else {
            return;
        };
        self.refuse_theirs(hands, now, name, &asked, 487);
        self.withdraw(hands, now, name.other());
        self.offer_waiting(hands, now, name);
    }

    /// The call ends while a peer's own request is unanswered (RFC 3261 §15.1.2): nothing is left to agree on.
    pub fn drop_theirs(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        if let Some(asked) = self.take_theirs(name) {
            self.refuse_theirs(hands, now, name, &asked, 487);
        }
    }

    /// The request of a leg's peer that waits for our answer, if one does.
    pub(super) fn take_theirs(&mut self, name: LegName) -> Option<Asked> {
        let leg = self.leg(name)?;
        match std::mem::take(&mut leg.exchange) {
            Exchange::Theirs(asked) => Some(*asked),
            other @ (Exchange::None | Exchange::Ours(..)) => {
                leg.exchange = other;
                None
            }
        }
    }
}
