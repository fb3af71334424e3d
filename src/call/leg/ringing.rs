//! From the callee's INVITE to its final answer: how long a gateway may say nothing, how long the called party may
//! ring, and what the caller hears meanwhile.

use super::callee::CalleeState;
use super::caller::{InviteState, Sdp};
use crate::base::limits::{PROGRESS_EVERY, RING_FOR_HELP};
use crate::base::time::{Instant, Now};
use crate::call::hands::{CallTimer, Hands};
use crate::call::phase::{Call, Recorded};
use crate::call::trunk::Trunk;

/// The times of a callee's INVITE.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ringing {
    /// When the called party has rung long enough.
    until: Instant,
    /// When a gateway that hasn't said anything is left.
    silence: Instant,
    /// When one is left that has said no more than 100.
    trying: Instant,
    /// Whether anybody has said more.
    pub(super) progress: Progress,
}

/// How far a gateway has come with the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Progress {
    /// It has the INVITE, at the most (100).
    #[default]
    None,
    /// It has found somebody, or says that it is looking (101-199).
    Some,
}

impl Call {
    /// The called party has this long from now to pick up, and the gateway to say something at all.
    pub(super) fn start_ringing(&mut self, hands: &mut Hands, now: Now, trunk: &Trunk) {
        let right = self.warrant.as_ref();
        // Of several who ring one after the other each has his time.
        let turn = right.and_then(|right| right.plan()?.rings());
        let wanted = turn.or_else(|| right.and_then(|right| right.terms()?.rare().ring_timeout));
        let ring = wanted.unwrap_or(self.config.ring_timeout);
        let ring = trunk.ring_timeout.map_or(ring, |most| most.min(ring));
        let is_masked = self.warrant.as_ref().is_none_or(|right| right.plan().is_some());
        let end = now.at + if is_masked { ring } else { RING_FOR_HELP };
        self.ringing = Ringing {
            until: self.holds_until.map_or(end, |holds| holds.min(end)),
            silence: now.at + trunk.first_response,
            trying: now.at + trunk.progress.min(ring),
            progress: Progress::None,
        };
        self.wake_while_ringing(hands);
    }

    /// Something is due while the callee's INVITE is open.
    pub fn ringing_due(&mut self, hands: &mut Hands, now: Now) {
        let holds = self.holds_until.is_none_or(|end| now.at < end);
        let is_late = now.at >= self.ringing.until.min(self.ringing.trying);
        if holds && is_late && self.is_without_progress() && self.has_another_way() {
            return self.leave_gateway(hands, now);
        }
        if now.at >= self.ringing.until {
            return self.not_answered(hands, now);
        }
        if self.is_silent() && now.at >= self.ringing.silence {
            return self.leave_gateway(hands, now);
        }
        if now.at >= self.progress_due() {
            // RFC 3261 §13.3.1.1: proxies on the caller's side give up what is silent for three minutes (timer C,
            // §16.6), and one provisional response may be lost. A 100 goes no further than the next of them.
            let (status, sdp) = match self.caller.told.status {
                ..=100 => (183, Sdp::Without),
                status => (status, self.caller.told.sdp),
            };
            // Whatever becomes of it, the next one is a minute away.
            self.caller.told.at = now.at;
            self.progress_to_caller(hands, now, status, sdp);
        }
        let is_awaited = self.caller.invite == InviteState::Pending || self.has_answered_alone();
        if self.recorded == Recorded::Open && is_awaited {
            self.wake_while_ringing(hands);
        }
    }

    /// Whether the gateway has said nothing at all.
    pub(super) fn is_silent(&self) -> bool {
        self.callee
            .as_ref()
            .is_some_and(|callee| callee.state == CalleeState::Calling)
    }

    /// Whether the gateway has said no more than that it has the INVITE.
    fn is_without_progress(&self) -> bool {
        let is_open = self
            .callee
            .as_ref()
            .is_some_and(|callee| matches!(callee.state, CalleeState::Calling | CalleeState::Proceeding));
        is_open && self.ringing.progress == Progress::None && !self.has_rung()
    }

    fn progress_due(&self) -> Instant {
        self.caller.told.at + PROGRESS_EVERY
    }

    /// One timer serves all: nearly every call is answered before the first thing is due.
    fn wake_while_ringing(&mut self, hands: &mut Hands) {
        self.stop_clock(hands);
        let mut due = self.ringing.until.min(self.progress_due());
        if self.is_silent() {
            due = due.min(self.ringing.silence);
        }
        if self.is_without_progress() && self.has_another_way() {
            due = due.min(self.ringing.trying);
        }
        self.clock = Some(hands.wake(self.me, due, CallTimer::Ring));
    }
}
