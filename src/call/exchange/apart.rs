//! A called side that has answered in a codec which the caller has given up meanwhile, by an UPDATE before the answer
//! (RFC 3311 §5.2): another fork had heard of that, and this one answers the INVITE's offer.
//!
//! Most phones choose one codec of several that they speak. So this one is asked for what the caller speaks now, by a
//! re-INVITE; if it has nothing else, the caller is asked to take back what it offered at first. The caller hears of the
//! answer when one of them has agreed, and 488 if neither does.
//!
//! Or the caller was told a codec before it was known what the called side speaks, and refuses to change it when it is asked
//! to in the talk, as it may: then the called side is asked for that codec; and if it has no other, both are hung up on. Nobody
//! is left talking to somebody who can't hear him.

use super::{Ask, Exchange, Opening};
use crate::base::time::Now;
use crate::call::hands::Hands;
use crate::call::phase::{Call, End, Recorded};
use crate::call::port::LegName;
use crate::masking::reason::Reason;

/// Who is asked for a codec that both parties speak, while the caller waits for its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Apart {
    /// Nobody has to be.
    #[default]
    No,
    /// The called side.
    CalleeAsked,
    /// The caller, since the called side has no other.
    CallerAsked,
    /// In the talk, this leg's peer, since the other one's has no other.
    Talking(LegName),
}

impl Call {
    /// The called side has answered, and shares no codec with the caller.
    pub(in crate::call) fn bring_together(&mut self, hands: &mut Hands, now: Now) {
        // Nobody waits for it to ring any more.
        self.stop_clock(hands);
        self.caller.apart = Apart::CalleeAsked;
        self.offer_on(hands, now, LegName::Callee, Ask::Settled);
    }

    /// Something on a leg has ended: where the parties were apart, they have met, or the next one is asked.
    pub(super) fn meet(&mut self, hands: &mut Hands, now: Now) {
        if self.recorded != Recorded::Open {
            return;
        }
        let asked = match self.caller.apart {
            Apart::No => return,
            Apart::CalleeAsked => LegName::Callee,
            Apart::CallerAsked => LegName::Caller,
            Apart::Talking(leg) => leg,
        };
        if !self.bridge.are_apart() {
            self.caller.apart = Apart::No;
            if self.talk.is_none() {
                self.answer_both(hands, now);
            }
            return;
        }
        let is_asked = self.leg_of(asked).is_some_and(|leg| {
            leg.wanted.is_some() || matches!(leg.exchange, Exchange::Ours(_) | Exchange::Theirs(_))
        });
        if is_asked {
            return;
        }
        let caller = &self.caller.leg;
        let may_ask = caller.opening == Opening::Settled && caller.peer.update.is_yes();
        if self.caller.apart == Apart::CalleeAsked && may_ask {
            self.caller.apart = Apart::CallerAsked;
            self.offer_on(hands, now, LegName::Caller, Ask::Settled);
        } else if self.talk.is_some() {
            self.end(hands, now, End::cut("no_common_codec"));
        } else {
            self.end(hands, now, End::failed(Reason::Media));
        }
    }

    /// A leg's peer won't speak as the other leg has settled in the talk: it goes on as it was told.
    pub(super) fn stay_apart(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        if self.talk.is_none() || self.caller.apart != Apart::No {
            return;
        }
        self.bridge.keep_told(hands, name);
        if self.bridge.are_apart() {
            let other = name.other();
            self.caller.apart = Apart::Talking(other);
            self.offer_on(hands, now, other, Ask::Settled);
        }
    }
}
