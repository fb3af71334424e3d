//! Asking a leg's peer whether it is still there (RFC 3261 §11, §12.2.1.2), after another process has left the call.
//!
//! Whoever hung up while nobody was there may have given up telling us, and a loss of power may have taken the end
//! that we had written down. A call whose audio runs shows by itself that somebody is left; a held one is silent in
//! any case, and would last until its longest duration.

use std::time::Duration;

use crate::base::limits::{PROBE_AFTER, PROBE_SPREAD};
use crate::base::time::Now;
use crate::call::guard::Scope;
use crate::call::hands::{CallTimer, Hands, Purpose, owner};
use crate::call::inspect;
use crate::call::phase::{Call, End, Recorded};
use crate::call::port::{Heading, LegName};
use crate::sip::method::Method;

impl Call {
    /// Asks both peers soon, if nothing else would tell that they are gone. Their repetitions of a BYE come before, and
    /// the questions about many calls don't all leave at once.
    pub fn probe_soon(&mut self, hands: &mut Hands, now: Now) {
        if !self.bridge.is_held() {
            return;
        }
        for name in [LegName::Caller, LegName::Callee] {
            let spread = hands.chance.below(PROBE_SPREAD.as_millis() as u32);
            let due = now.at + PROBE_AFTER + Duration::from_millis(spread.into());
            hands.wake(self.me, due, CallTimer::Probe(name));
        }
    }

    /// Asks a leg's peer.
    pub fn probe_due(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        let (config, me) = (self.config.clone(), self.me);
        if self.recorded != Recorded::Open || self.bridge.has_left(name) {
            return;
        }
        let trunk = self.party_of(name);
        let Some(dialog) = self.leg(name).and_then(|leg| leg.dialog.as_mut()) else {
            return;
        };
        let cseq = dialog.next_cseq();
        let (to, by) = hands.way(&config, dialog, trunk);
        let branch = hands.branch();
        let headers = [("Accept", inspect::ACCEPT)];
        let bytes = dialog.request(Method::Options, cseq, &branch, by.via(), None, &headers, None, 70);
        if !self.may_send(name, &bytes, Scope::Ours) {
            return self.guard_hit(hands, now);
        }
        self.note_message(now.at, name, Heading::Out, Method::Options, None, false);
        hands
            .layer
            .request(now.at, to, owner(me, Purpose::Probe(name)), bytes);
    }

    /// A leg's peer answered: it is there, unless it says that it isn't. One that can't be asked so may be there, and so
    /// may one that says nothing at all.
    pub fn probed(&mut self, hands: &mut Hands, now: Now, name: LegName, status: u16) {
        self.note_message(now.at, name, Heading::In, Method::Options, Some(status), false);
        if status == 481 && !self.bridge.has_left(name) {
            self.leg_over(name);
            self.end(hands, now, End::cut("dialog_lost"));
        }
    }
}
