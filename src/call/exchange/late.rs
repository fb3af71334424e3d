//! The answer in an ACK (RFC 3261 §13.2.1, §14.2): our 2xx made the offer, because the INVITE had none.

use super::Ask;
use crate::base::time::Now;
use crate::call::hands::Hands;
use crate::call::inspect;
use crate::call::phase::{Call, End, Recorded};
use crate::call::port::LegName;
use crate::sip::message::Message;

impl Call {
    /// The ACK of a 2xx of ours came.
    ///
    /// A description where none is due is nobody's: the INVITE made the offer, and our 2xx was the answer (RFC 6337
    /// §2.1). Where one is due and doesn't come, or agrees to nothing, a call that has just begun ends; in a later one
    /// what was settled before goes on.
    pub fn ack_came(&mut self, hands: &mut Hands, now: Now, name: LegName, ack: &Message<'_>) {
        let cseq = ack.cseq().number;
        let awaited = self
            .leg_of(name)
            .and_then(|leg| leg.unacked.as_ref())
            .is_some_and(|unacked| unacked.cseq == cseq);
        if awaited && self.recorded == Recorded::Open && self.bridge.awaits_answer(name) {
            self.take_late_answer(hands, now, name, ack);
        }
        self.acked(hands, now, name, cseq);
    }

    fn take_late_answer(&mut self, hands: &mut Hands, now: Now, name: LegName, ack: &Message<'_>) {
        let settled = match inspect::offer(ack) {
            Ok(Some(session)) => self.bridge.took_offer(hands, name, &session).is_ok(),
            Ok(None) | Err(_) => false,
        };
        let is_first = name == LegName::Caller && self.caller.cseq == ack.cseq().number;
        match (settled, is_first) {
            // The first answer can't be at odds with the called side: it had one codec to choose from.
            (true, true) => {}
            // Another direction or codec than the other leg has: it hears of it.
            (true, false) => self.offer_on(hands, now, name.other(), Ask::Settled),
            (false, true) => self.end(hands, now, End::cut("no_answer_in_ack")),
            (false, false) => {
                self.bridge.offer_refused(name);
            }
        }
    }
}
