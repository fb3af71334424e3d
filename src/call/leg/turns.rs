//! Several people of one side ring one after the other: whoever can't be reached gives way to the next, whom the caller
//! waits for as if he were the first.

use super::Bye;
use super::callee::CalleeState;
use crate::base::time::Now;
use crate::call::emergency;
use crate::call::failover;
use crate::call::hands::{CallTimer, Hands};
use crate::call::phase::{Call, Recorded};
use crate::call::port::{Heading, LegName};
use crate::call::refusal;
use crate::call::warrant::Warrant;
use crate::masking::reason::Reason;
use crate::masking::route::Plan;
use crate::sip::method::Method;
use crate::sip::reason;

impl Call {
    /// Calls the next of those who ring one after the other, if one is left whom a trunk takes.
    pub(super) fn try_turn(&mut self, hands: &mut Hands, now: Now, max_forwards: u8) -> bool {
        if self.recorded != Recorded::Open || self.holds_until.is_some_and(|end| end <= now.at) {
            return false;
        }
        loop {
            let plan = self.warrant.as_ref().and_then(Warrant::plan);
            let Some(next) = plan.and_then(Plan::next) else {
                return false;
            };
            let (config, called) = (self.config.clone(), next.called());
            let exits = failover::exits(
                &config,
                &hands.reach,
                &hands.resolved,
                &mut hands.chance,
                now.at,
                &next,
            );
            if let Some(before) = self.warrant.replace(Warrant::Masked(next)) {
                // Who rings next has no right to the number of who rang before.
                self.not_to_callee.number(before.called(), &config.numbers);
            }
            // Nobody gets to an emergency number in another's name.
            let exits = exits.ok().filter(|_| !emergency::is_for_help(&config, called));
            if let Some(exits) = exits {
                for leg in [LegName::Callee, LegName::Caller] {
                    self.drop_theirs(hands, now, leg);
                    self.forget_wanted(hands, leg);
                }
                // Nor is anything of his his successor's: what we asked him, where he sent the call on to, his media.
                self.forget_ours(hands, LegName::Callee);
                self.redirection = None;
                if let Err(refused) = self.bridge.leave_callee(hands, now.at) {
                    self.end(hands, now, refused);
                    return true;
                }
                self.record.callee = Some(config.numbers.record(called.reveal()));
                self.dial(hands, now, Ok(exits), max_forwards);
                return true;
            }
        }
    }

    /// Whom it rang at has not picked up in time, and gives way to the next. `false`: nobody comes after him.
    pub(super) fn give_way(&mut self, hands: &mut Hands, now: Now) -> bool {
        let is_last = self
            .warrant
            .as_ref()
            .and_then(Warrant::plan)
            .is_none_or(|plan| plan.others().is_empty());
        let Some(max_forwards) = self.callee.as_ref().map(|callee| callee.max_forwards) else {
            return false;
        };
        if is_last {
            return false;
        }
        self.leave_invite(hands, now, refusal::q850(Reason::NoAnswer));
        self.try_turn(hands, now, max_forwards)
    }

    /// The callee's present INVITE is given up: whatever it is answered later, another call has taken its place.
    pub(super) fn leave_invite(&mut self, hands: &mut Hands, now: Now, cause: u8) {
        let (me, wait) = (self.me, self.config.timers.t1.saturating_mul(64));
        let Some(callee) = self.callee.as_mut() else {
            return;
        };
        let mut is_cancelled = false;
        if let Some(invite) = callee.invite.take() {
            let give_up = if callee.state == CalleeState::Calling {
                // Nothing may be cancelled before something came back (RFC 3261 §9.1); nor is anything repeated for a
                // gateway that would then ring the called party a second time.
                hands.layer.rest(invite);
                None
            } else {
                is_cancelled = true;
                let why = reason::q850(cause);
                hands.layer.cancel(now.at, invite, &[("Reason", &why)]);
                Some(hands.wake(me, now.at + wait, CallTimer::Left(invite)))
            };
            self.left.push(super::left::Left::of(
                invite,
                callee.path,
                callee.leg.session(),
                give_up,
            ));
        }
        callee.state = CalleeState::Over;
        callee.leg.bye = Bye::Done;
        callee.forget_forks(hands);
        if is_cancelled {
            self.note_message(now.at, LegName::Callee, Heading::Out, Method::Cancel, None, false);
        }
    }
}
