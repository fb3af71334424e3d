//! What we ask of a leg's peer within its leg: the other side's offer that crosses, or one of our own.

use arrayvec::ArrayVec;

use super::glare::Failed;
use super::{Ask, Carrier, Exchange, Ours, Whose, Withdrawn};
use crate::base::limits::ASKED_BY_UPDATE_WAIT_T1;
use crate::base::time::Now;
use crate::call::guard::Scope;
use crate::call::hands::{CallTimer, Hands, Purpose, listener, owner};
use crate::call::inspect;
use crate::call::leg::caller::Sdp;
use crate::call::leg::forks::disown;
use crate::call::leg::session_timer::in_request;
use crate::call::leg::{ALLOW, Leg, contact};
use crate::call::phase::{Call, Recorded};
use crate::call::port::{Heading, LegName};
use crate::sip::build::Body;
use crate::sip::dialog::Dialog;
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::transaction::{Answer, AnswerKind};

/// How a request of ours went out.
enum Went {
    /// It waits for its answer.
    Out,
    /// It can't go out.
    Nowhere,
}

impl Call {
    /// Sends a request of ours on a leg whose door is open. What is settled there already isn't said.
    pub(super) fn send_offer(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        ask: Ask,
        whose: Whose,
        tries: u8,
    ) {
        let carrier = self.carrier(name, &ask, whose);
        let sdp = match (&ask, carrier) {
            (Ask::Terms(terms), _) => {
                self.bridge.offer_to(name, terms.clone());
                Sdp::With
            }
            (Ask::Settled, _) => {
                let Some(terms) = self.bridge.terms_missing_at(name) else {
                    return;
                };
                self.bridge.offer_to(name, terms);
                Sdp::With
            }
            (Ask::Refresh, Carrier::Invite) => {
                self.bridge.offer_again(name);
                Sdp::With
            }
            // RFC 4028 §7.4: a refresh that changes nothing needs no offer.
            (Ask::Refresh, Carrier::Update | Carrier::Prack) => Sdp::Without,
        };
        let asks = Asks {
            carrier,
            ask,
            whose,
            tries,
        };
        match self.send_within(hands, now, name, asks, sdp) {
            Went::Out => {}
            Went::Nowhere => self.offer_unsent(hands, now, name, whose),
        }
    }

    /// What carries a request of ours. RFC 3311 §5.1 recommends a re-INVITE once the leg is answered, because its
    /// answer may take time; but who asked by UPDATE can't wait, and a mere refresh has no time to lose.
    fn carrier(&self, name: LegName, ask: &Ask, whose: Whose) -> Carrier {
        let takes_update = self.leg_of(name).is_some_and(|leg| leg.peer.update.is_yes());
        let asked = match self.leg_of(name.other()).map(|leg| &leg.exchange) {
            Some(Exchange::Theirs(asked)) if whose == Whose::Theirs => asked.carrier,
            Some(Exchange::Theirs(_) | Exchange::Ours(_) | Exchange::None) | None => Carrier::Invite,
        };
        let at_once = *ask == Ask::Refresh || asked != Carrier::Invite;
        if !self.is_session(name) || (takes_update && at_once) {
            Carrier::Update
        } else {
            Carrier::Invite
        }
    }

    fn send_within(&mut self, hands: &mut Hands, now: Now, name: LegName, asks: Asks, sdp: Sdp) -> Went {
        let (config, me) = (self.config.clone(), self.me);
        let trunk = self.party_of(name);
        let carrier = asks.carrier;
        let described = match sdp {
            Sdp::With => self.bridge.description(name).map(<[u8]>::to_vec),
            Sdp::Without => None,
        };
        let Some(leg) = self.leg(name) else {
            return Went::Nowhere;
        };
        let contact = contact(listener(&config, leg.listener));
        let timer = in_request(leg.wish, leg.timed());
        let Some(dialog) = leg.dialog.as_mut() else {
            return Went::Nowhere;
        };
        let cseq = dialog.next_cseq();
        let body = described.as_deref().map(|bytes| Body {
            content_type: "application/sdp",
            bytes,
        });
        let mut headers: ArrayVec<(&str, &str), 4> = ArrayVec::new();
        headers.push(("Allow", ALLOW));
        headers.extend(timer.iter().map(|(name, value)| (*name, value.as_str())));
        let branch = hands.branch();
        let (to, by) = hands.way(&config, dialog, trunk);
        let bytes = dialog.request(
            carrier.method(),
            cseq,
            &branch,
            by.via(),
            Some(&contact),
            &headers,
            body,
            70,
        );
        if !self.may_send(name, &bytes, Scope::Ours) {
            self.guard_hit(hands, now);
            return Went::Nowhere;
        }
        let has_sdp = sdp == Sdp::With;
        self.note_message(now.at, name, Heading::Out, carrier.method(), None, has_sdp);
        let purpose = owner(me, Purpose::Exchange(name));
        let Some(client) = hands.layer.request(now.at, to, purpose, bytes) else {
            return Went::Nowhere;
        };
        // A peer that said 100 and then nothing would keep it for ever (RFC 3261 §17.1.1.2).
        let t1 = config.timers.t1;
        let wait = if carrier == Carrier::Invite && self.is_asked_by_update(name.other()) {
            t1.saturating_mul(ASKED_BY_UPDATE_WAIT_T1)
        } else {
            t1.saturating_mul(64)
        };
        let timer = hands.wake(me, now.at + wait, CallTimer::Exchange(name));
        if let Some(leg) = self.leg(name) {
            leg.exchange = Exchange::Ours(Box::new(Ours {
                carrier,
                client,
                timer,
                ask: asks.ask,
                whose: asks.whose,
                withdrawn: Withdrawn::No,
                tries: asks.tries,
            }));
        }
        Went::Out
    }

    /// Whether a leg's peer waits for the answer to another request than an INVITE: it won't wait long.
    pub(super) fn is_asked_by_update(&self, name: LegName) -> bool {
        match self.leg_of(name).map(|leg| &leg.exchange) {
            Some(Exchange::Theirs(asked)) => asked.carrier != Carrier::Invite,
            Some(Exchange::Ours(_) | Exchange::None) | None => false,
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
            return self.offer_heard(hands, now, name, answer);
        }
        let theirs = response.to_tag().unwrap_or_default();
        let is_used = |leg: &&mut Leg| {
            leg.dialog
                .as_ref()
                .is_some_and(|used| used.remote_tag() == theirs)
        };
        let is_left = self.leg(name).filter(is_used).is_none();
        if status < 300 && !is_left {
            if let Some(leg) = self.leg(name) {
                leg.peer.hear(response);
                if let Some(dialog) = leg.dialog.as_mut() {
                    dialog.refresh_target(response);
                }
            }
            if answer.method == Method::Invite {
                self.ack(hands, now, name, response.cseq().number);
            }
        } else if status < 300
            && answer.method == Method::Invite
            && let Some(leg) = self.leg_of(name)
            && let Some(path) = leg.dialog.as_ref().map(Dialog::path)
        {
            // Under another To tag than the dialog's: no answer of its peer's, but it is repeated until it is ACKed.
            let (session, cseq) = (leg.session(), response.cseq().number);
            disown(hands, path, &self.config, response, cseq, session);
        }
        // A 2xx that is repeated because its ACK was lost answers none but its own INVITE.
        let Some(ours) = self.take_ours(hands, name, answer.id) else {
            return;
        };
        if self.recorded != Recorded::Open {
            return;
        }
        if is_left {
            // A fork that isn't in use any more: what it agrees to is nobody's.
            self.offer_failed(hands, now, name, *ours, Failed::UNSENT);
        } else if status < 300 {
            self.session_granted(hands, now, name, response);
            self.offer_taken(hands, now, name, &ours, response);
        } else {
            self.offer_failed(hands, now, name, *ours, Failed::by(response));
        }
        self.meet(hands, now);
    }

    /// The peer agreed: both sides are settled, or neither.
    fn offer_taken(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        ours: &Ours,
        response: &Message<'_>,
    ) {
        let other = name.other();
        if ours.says() == Sdp::Without {
            // An answer to no offer is nobody's.
            return self.offer_waiting(hands, now, name);
        }
        let session = inspect::offer(response).ok().flatten();
        let asked = match ours.whose {
            Whose::Theirs if !ours.withdrawn.is_withdrawn() => self.take_theirs(other),
            Whose::Theirs | Whose::Ours => None,
        };
        let settled = match (&session, &asked) {
            (Some(session), Some(_)) => self.bridge.crossed(hands, session).is_ok(),
            (Some(session), None) => self.bridge.took_offer(hands, name, session).is_ok(),
            (None, _) => false,
        };
        match asked {
            Some(asked) if settled => self.answer_theirs(hands, now, other, asked, Sdp::With),
            Some(asked) => {
                self.bridge.crossing = None;
                self.refuse_theirs(hands, now, other, &asked, 488);
            }
            None => {}
        }
        match (ours.whose, settled) {
            // It agreed to what is not to be, and is offered what was settled before.
            (Whose::Theirs, false) => {
                self.bridge.offer_refused(name);
                if let Some(former) = self.bridge.told(name).cloned() {
                    self.offer_on(hands, now, name, Ask::Terms(former));
                }
            }
            (Whose::Ours, false) => {
                self.bridge.offer_refused(name);
            }
            // What was withdrawn, and is agreed to all the same, is undone (RFC 3261 §9.1).
            (Whose::Theirs, true) if ours.withdrawn.is_withdrawn() => {
                self.offer_on(hands, now, name, Ask::Settled);
            }
            (Whose::Theirs | Whose::Ours, true) => {}
        }
        self.offer_waiting(hands, now, name);
        self.offer_waiting(hands, now, other);
    }
}

impl Ours {
    /// Whether there is an offer in it.
    pub(super) const fn says(&self) -> Sdp {
        match (&self.ask, self.carrier) {
            (Ask::Refresh, Carrier::Update | Carrier::Prack) => Sdp::Without,
            (Ask::Terms(_) | Ask::Settled, _) | (Ask::Refresh, Carrier::Invite) => Sdp::With,
        }
    }
}

/// A request of ours before it is one.
struct Asks {
    carrier: Carrier,
    ask: Ask,
    whose: Whose,
    tries: u8,
}
