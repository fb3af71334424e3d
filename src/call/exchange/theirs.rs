//! What a leg's peer asks within its leg: a later INVITE (RFC 3261 §14.2).

use super::{Ask, Asked, Carrier, Exchange, is_free};
use crate::base::time::Now;
use crate::call::hands::{Hands, Purpose, owner};
use crate::call::inspect;
use crate::call::leg::refresh::judged;
use crate::call::leg::{Bye, Echo};
use crate::call::phase::{Call, Recorded};
use crate::call::port::{Heading, LegName};
use crate::sip::message::Message;
use crate::sip::transaction::ServerId;

/// What `Retry-After` says to a peer whose own offer is still unanswered: RFC 3261 §14.2 wants 0–10 s.
const RETRY_AFTER: &str = "5";

impl Call {
    /// A peer sent an offer, or asks for one, within its leg.
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
        let Some(echo) = Echo::of(request, came.source) else {
            return self.bounce(hands, now, server, came, 513, None);
        };
        let Some(leg) = self.leg(name) else { return };
        match &leg.exchange {
            Exchange::Theirs(..) => {
                return self.bounce(hands, now, server, came, 500, Some(("Retry-After", RETRY_AFTER)));
            }
            Exchange::Ours(..) => return self.bounce(hands, now, server, came, 491, None),
            Exchange::None => {}
        }
        let unsettled = leg.unacked.is_some();
        let timer = judged(request, leg.wish, leg.clock());
        if unsettled || self.record.answered_at.is_none() || self.recorded != Recorded::Open {
            return self.bounce(hands, now, server, came, 491, None);
        }
        let checked = inspect::check_request(request)
            .and(timer)
            .and_then(|timer| Ok((timer, inspect::offer(request)?)));
        let (timer, session) = match checked {
            Ok(checked) => checked,
            Err(bounce) => {
                let header = bounce
                    .header
                    .as_ref()
                    .map(|(name, value)| (*name, value.as_str()));
                return self.bounce(hands, now, server, came, bounce.status, header);
            }
        };
        if let Some(leg) = self.leg(name) {
            leg.peer.hear(request);
            if let Some(dialog) = leg.dialog.as_mut() {
                dialog.refresh_target(request);
            }
        }
        let asked = Asked {
            carrier,
            server,
            echo,
            cseq: request.cseq().number,
            timer,
        };
        let Some(session) = session else {
            // No offer in it: we offer what the other side has settled, and its ACK answers.
            self.bridge.offer_anew(name);
            return self.answer_theirs(hands, now, name, asked);
        };
        match self.bridge.reoffered(hands, name, &session) {
            Err(_) => self.bounce(hands, now, server, came, 488, None),
            Ok(None) => self.answer_theirs(hands, now, name, asked),
            Ok(Some(terms)) => {
                let other = name.other();
                let free = self
                    .leg(other)
                    .is_some_and(|leg| is_free(leg) && leg.bye == Bye::No);
                if !free {
                    self.bridge.crossing = None;
                    return self.bounce(hands, now, server, came, 491, None);
                }
                hands.layer.own(server, owner(self.me, Purpose::Exchange(name)));
                if let Some(leg) = self.leg(name) {
                    leg.exchange = Exchange::Theirs(Box::new(asked));
                }
                // RFC 3261 §8.2.6.1: the other leg may take its time.
                self.trying_theirs(hands, now, name);
                self.offer_on(hands, now, other, Ask::Terms(terms));
            }
        }
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

/// A request with an offer, or for one, as it came.
pub struct Came<'m, 'b> {
    /// The message.
    pub request: &'m Message<'b>,
    /// Which kind it is.
    pub carrier: Carrier,
    /// Where it came from.
    pub source: std::net::SocketAddr,
}
