//! INVITEs of ours whose gateway said nothing, or nothing but 100, for so long that the call went on without it.
//! Whatever it says later is answered as a fork that lost: RFC 3261 §9.1, §13.2.2.4.

use super::forks::{Parting, decline, disown, last_cseq_of};
use crate::base::time::Now;
use crate::base::timer::TimerId;
use crate::call::hands::{CallTimer, Hands};
use crate::call::phase::{Call, End};
use crate::call::port::{Heading, LegName};
use crate::call::refusal;
use crate::masking::reason::Reason;
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::path::Path;
use crate::sip::reason;
use crate::sip::session_id::SessionId;
use crate::sip::transaction::{Answer, AnswerKind, ClientId};

/// An INVITE that was left.
#[derive(Debug)]
pub struct Left {
    invite: ClientId,
    path: Path,
    /// What its messages name the session by.
    session: Option<SessionId>,
    /// When it is given up, once it is cancelled.
    give_up: Option<TimerId>,
}

impl Left {
    /// One that goes on without us.
    pub(super) fn of(
        invite: ClientId,
        path: Path,
        session: Option<SessionId>,
        give_up: Option<TimerId>,
    ) -> Self {
        Self {
            invite,
            path,
            session,
            give_up,
        }
    }

    /// Forgets what the shard keeps for it.
    pub fn forget(self, hands: &mut Hands) {
        if let Some(timer) = self.give_up {
            hands.timers.cancel(timer);
        }
        hands.layer.end_client(self.invite);
    }
}

impl Call {
    /// The gateway has been silent, or without progress, for too long: the next one is tried, or the call fails as if
    /// this one had answered 408 (RFC 3261 §8.1.3.1).
    pub(super) fn leave_gateway(&mut self, hands: &mut Hands, now: Now) {
        let max_forwards = self.callee.as_ref().map_or(0, |callee| callee.max_forwards);
        self.leave_invite(hands, now, refusal::SILENCE_CAUSE);
        if !self.go_on(hands, now) && !self.try_turn(hands, now, max_forwards) {
            self.end(hands, now, End::failed(Reason::TrunkDown));
        }
    }

    /// An answer to an INVITE that is not the call's present one.
    pub(super) fn left_answered(
        &mut self,
        hands: &mut Hands,
        now: Now,
        answer: &Answer,
        response: &Message<'_>,
    ) {
        let me = self.me;
        let wait = self.config.timers.t1.saturating_mul(64);
        let place = self.left.iter().position(|left| left.invite == answer.id);
        let left = place.and_then(|place| self.left.get_mut(place));
        match (answer.kind, left) {
            (AnswerKind::Provisional, Some(left)) if left.give_up.is_none() => {
                left.give_up = Some(hands.wake(me, now.at + wait, CallTimer::Left(answer.id)));
                let why = reason::q850(refusal::SILENCE_CAUSE);
                hands.layer.cancel(now.at, answer.id, &[("Reason", &why)]);
                self.note_message(now.at, LegName::Callee, Heading::Out, Method::Cancel, None, false);
            }
            (AnswerKind::Provisional, _) => {}
            (AnswerKind::Final | AnswerKind::Another2xx | AnswerKind::Same2xx, left) => {
                let session = left.as_ref().and_then(|left| left.session);
                let path = left.map(|left| left.path);
                if response.status().is_some_and(|status| status < 300)
                    && let Some(path) = path.or(self.callee.as_ref().map(|callee| callee.path))
                {
                    let nobody = Parting::from_nobody(&self.config, &hands.resolved, path, response);
                    let parting = Parting {
                        session: session.or(nobody.session),
                        cause: refusal::SILENCE_CAUSE,
                    };
                    let last = last_cseq_of(response);
                    match answer.kind {
                        // Its BYE is on the way; only the ACK was lost.
                        AnswerKind::Same2xx => {
                            disown(hands, path, &self.config, response, last, parting.session);
                        }
                        AnswerKind::Provisional | AnswerKind::Final | AnswerKind::Another2xx => {
                            decline(hands, now, path, &self.config, response, last, parting);
                        }
                    }
                }
                self.forget_left(hands, answer.id);
            }
        }
    }

    /// An INVITE that was left never got a final answer.
    pub(super) fn left_lost(&mut self, hands: &mut Hands, invite: ClientId) {
        self.forget_left(hands, invite);
    }

    /// A cancelled INVITE that was left got no final answer: it counts as cancelled (RFC 3261 §9.1).
    pub fn give_up_left(&mut self, hands: &mut Hands, invite: ClientId) {
        hands.layer.end_client(invite);
        self.forget_left(hands, invite);
    }

    fn forget_left(&mut self, hands: &mut Hands, invite: ClientId) {
        self.left.retain_mut(|left| {
            let is_it = left.invite == invite;
            if is_it && let Some(timer) = left.give_up.take() {
                hands.timers.cancel(timer);
            }
            !is_it
        });
    }
}
