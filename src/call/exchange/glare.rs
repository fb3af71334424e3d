//! What becomes of a request of ours within a leg that fails: glare, a refusal, no answer at all, or a peer that no
//! longer wants it to cross (RFC 3261 §14.1, RFC 3311 §5.3).

use std::time::Duration;

use super::{Ask, Carrier, Exchange, Ours, Wanted, Whose, Withdrawn};
use crate::base::chance::Chance;
use crate::base::limits::{OFFER_TRIES_MAX, RETRY_AFTER_MAX_S};
use crate::base::time::Now;
use crate::call::hands::{CallTimer, Hands};
use crate::call::leg::caller::Sdp;
use crate::call::leg::peer::Knows;
use crate::call::leg::refresh::Refused;
use crate::call::leg::session_timer::wanted_by_422;
use crate::call::phase::{Call, End, Recorded};
use crate::call::port::LegName;
use crate::sip::header::{Name, retry_after};
use crate::sip::message::Message;
use crate::sip::transaction::{Answer, ClientId};

/// Why a request of ours failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failed {
    /// The peer's final status, or the one that no answer counts as (RFC 3261 §8.1.3.1).
    status: u16,
    /// When it may be tried again, if the peer says so.
    again: Option<Duration>,
    /// The session that it wants at least, in seconds (RFC 4028 §6).
    longer: Option<u32>,
    /// What the other leg's peer hears, if it was its offer that crossed.
    told: u16,
}

impl Failed {
    /// The peer refused.
    pub(super) fn by(response: &Message<'_>) -> Self {
        let status = response.status().unwrap_or(500);
        let says = response.get(Name::RetryAfter).and_then(seconds);
        Self {
            status,
            again: says.filter(|_| matches!(status, 500 | 503)),
            longer: wanted_by_422(response).filter(|_| status == 422),
            told: match status {
                // It will try again by itself; or by a re-INVITE, which may take its time (RFC 3311 §5.3).
                491 | 504 => status,
                _ => 488,
            },
        }
    }

    /// Nobody answered: as if with 408.
    const TIMEOUT: Self = Self {
        status: 408,
        again: None,
        longer: None,
        told: 408,
    };

    /// It didn't get there: as if with 503.
    pub(super) const UNSENT: Self = Self {
        status: 503,
        again: None,
        longer: None,
        told: 500,
    };
}

/// What a Retry-After says, as long as we wait for anybody.
fn seconds(value: &[u8]) -> Option<Duration> {
    let seconds = retry_after(value)?;
    Some(Duration::from_secs(seconds.min(RETRY_AFTER_MAX_S).into()))
}

/// How long to wait after 491, in steps of 10 ms (RFC 3261 §14.1): who made the Call-ID waits longer.
fn pause(chance: &mut Chance, name: LegName) -> Duration {
    let steps = match name {
        LegName::Caller => chance.below(201),
        LegName::Callee => 210 + chance.below(191),
    };
    Duration::from_millis(10 * u64::from(steps))
}

impl Withdrawn {
    /// Whether what the request brings is not wanted any more.
    pub(super) const fn is_withdrawn(self) -> bool {
        match self {
            Self::No | Self::NoAndHeard => false,
            Self::Wanted | Self::Done => true,
        }
    }
}

impl Call {
    /// The peer has our request.
    pub(super) fn offer_heard(&mut self, hands: &mut Hands, now: Now, name: LegName, answer: &Answer) {
        let Some(leg) = self.leg(name) else { return };
        let Exchange::Ours(ours) = &mut leg.exchange else {
            return;
        };
        if ours.client != answer.id {
            return;
        }
        match ours.withdrawn {
            Withdrawn::No => ours.withdrawn = Withdrawn::NoAndHeard,
            Withdrawn::Wanted => {
                ours.withdrawn = Withdrawn::Done;
                hands.layer.cancel(now.at, answer.id, &[]);
            }
            Withdrawn::NoAndHeard | Withdrawn::Done => {}
        }
    }

    /// The other leg's peer has no use any more for the request that crosses to this leg (RFC 6141 §3.8): it is
    /// cancelled, or what it brings is undone.
    pub(super) fn withdraw(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        let (wait, me) = (self.config.timers.t1.saturating_mul(64), self.me);
        self.bridge.crossing = None;
        let Some(leg) = self.leg(name) else { return };
        let Exchange::Ours(ours) = &mut leg.exchange else {
            return;
        };
        ours.withdrawn = match (ours.carrier, ours.withdrawn) {
            (Carrier::Invite, Withdrawn::No) => Withdrawn::Wanted,
            (Carrier::Invite, Withdrawn::NoAndHeard) => {
                hands.layer.cancel(now.at, ours.client, &[]);
                Withdrawn::Done
            }
            // RFC 4320: nothing but an INVITE is cancelled.
            (Carrier::Update | Carrier::Prack, _) => Withdrawn::Done,
            (Carrier::Invite, done @ (Withdrawn::Wanted | Withdrawn::Done)) => done,
        };
        hands.timers.cancel(ours.timer);
        ours.timer = hands.wake(me, now.at + wait, CallTimer::Exchange(name));
    }

    /// The fork of the called side that was in use has given way to another: what is under way with it comes to
    /// nothing. It may never be answered, and what it would bring is no word of the fork in use.
    pub(in crate::call) fn leave_exchange(&mut self, hands: &mut Hands, now: Now) {
        match self.leg_of(LegName::Callee).map(|leg| &leg.exchange) {
            Some(Exchange::Ours(_)) => self.offer_undelivered(hands, now, LegName::Callee),
            Some(Exchange::Theirs(_)) => self.offer_cancelled(hands, now, LegName::Callee),
            Some(Exchange::None) | None => {}
        }
    }

    /// Our request has no final answer after all this time.
    pub fn offer_late(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        let Some(Exchange::Ours(ours)) = self.leg_of(name).map(|leg| &leg.exchange) else {
            return;
        };
        let crosses = ours.whose == Whose::Theirs;
        let may_be_cancelled = ours.carrier == Carrier::Invite && ours.withdrawn == Withdrawn::NoAndHeard;
        if ours.withdrawn.is_withdrawn() || self.recorded != Recorded::Open {
            // RFC 3261 §9.1: without a final answer 64·T1 after the CANCEL the INVITE counts as cancelled.
            self.forget_ours(hands, name);
            self.bridge.offer_refused(name);
            return self.offer_waiting(hands, now, name);
        }
        if may_be_cancelled || (crosses && self.is_asked_by_update(name.other())) {
            // The peer lives, and somebody may be thinking: nothing is lost but this offer.
            if crosses && let Some(asked) = self.take_theirs(name.other()) {
                self.refuse_theirs(hands, now, name.other(), &asked, 504);
            }
            return self.withdraw(hands, now, name);
        }
        self.offer_lost(hands, now, name);
    }

    /// Nobody answered our request.
    pub fn offer_lost(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        self.offer_gone(hands, now, name, Failed::TIMEOUT);
    }

    /// Our request could not be delivered.
    pub fn offer_undelivered(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        self.offer_gone(hands, now, name, Failed::UNSENT);
    }

    fn offer_gone(&mut self, hands: &mut Hands, now: Now, name: LegName, why: Failed) {
        let Some(Exchange::Ours(ours)) = self.leg_of(name).map(|leg| &leg.exchange) else {
            return;
        };
        let client = ours.client;
        hands.layer.end_client(client);
        if let Some(ours) = self.take_ours(hands, name, client) {
            self.offer_failed(hands, now, name, *ours, why);
            self.meet(hands, now);
        }
    }

    /// A request of ours that never was one.
    pub(super) fn offer_unsent(&mut self, hands: &mut Hands, now: Now, name: LegName, whose: Whose) {
        self.bridge.offer_refused(name);
        if whose == Whose::Theirs {
            self.bridge.crossing = None;
            if let Some(asked) = self.take_theirs(name.other()) {
                self.refuse_theirs(hands, now, name.other(), &asked, Failed::UNSENT.told);
            }
        }
        self.meet(hands, now);
    }

    /// The peer refused, or can't be asked: what was settled before goes on, unless its dialog is gone.
    pub(super) fn offer_failed(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        ours: Ours,
        why: Failed,
    ) {
        let other = name.other();
        let offered = match ours.says() {
            Sdp::With => self.bridge.offer_refused(name),
            Sdp::Without => None,
        };
        let is_wanted = !ours.withdrawn.is_withdrawn();
        let ask = match (ours.ask, offered) {
            (Ask::Terms(_), Some(terms)) => Ask::Terms(terms),
            (ask, _) => ask,
        };
        if self.recorded != Recorded::Open {
            return;
        }
        let is_answered = self.is_session(name);
        if ours.carrier == Carrier::Update && matches!(why.status, 405 | 501) {
            // It named UPDATE and doesn't know it.
            if let Some(leg) = self.leg(name) {
                leg.peer.update = Knows::No;
            }
            if is_answered && is_wanted {
                return self.send_offer(hands, now, name, ask, ours.whose, ours.tries);
            }
        }
        let refused = self.session_refused(hands, now, name, why.longer);
        if refused == Refused::TooShort && is_wanted && ours.tries < OFFER_TRIES_MAX {
            // RFC 4028 §7.3
            return self.send_offer(hands, now, name, ask, ours.whose, ours.tries.saturating_add(1));
        }
        if ours.whose == Whose::Theirs && is_wanted {
            self.bridge.crossing = None;
            if let Some(asked) = self.take_theirs(other) {
                self.refuse_theirs(hands, now, other, &asked, why.told);
            }
        }
        match why.status {
            // RFC 3261 §12.2.1.2: the dialog is gone on that side.
            481 => {
                self.leg_over(name);
                return self.end(hands, now, End::cut("dialog_lost"));
            }
            408 => return self.end(hands, now, End::cut("dialog_lost")),
            _ => {}
        }
        let pause = match why.status {
            491 => Some(pause(&mut hands.chance, name)),
            _ => why.again,
        };
        if let Some(pause) = pause
            && ours.whose == Whose::Ours
            && ours.tries < OFFER_TRIES_MAX
        {
            self.try_later(hands, now, name, ask, ours.tries, pause);
        } else if is_wanted && ours.whose == Whose::Ours {
            self.stay_apart(hands, now, name);
        }
        self.offer_waiting(hands, now, name);
        self.offer_waiting(hands, now, other);
    }

    /// After a pause, if it is still wanted, once more; what has been asked for meanwhile goes before it.
    fn try_later(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        ask: Ask,
        tries: u8,
        pause: Duration,
    ) {
        let me = self.me;
        let Some(leg) = self.leg(name).filter(|leg| leg.wanted.is_none()) else {
            return;
        };
        leg.wanted = Some(Box::new(Wanted {
            ask,
            tries: tries.saturating_add(1),
            pause: Some(hands.wake(me, now.at + pause, CallTimer::Wanted(name))),
        }));
    }

    /// The request of ours that has this transaction has come to its end.
    pub(super) fn take_ours(
        &mut self,
        hands: &mut Hands,
        name: LegName,
        client: ClientId,
    ) -> Option<Box<Ours>> {
        let leg = self.leg(name)?;
        match std::mem::take(&mut leg.exchange) {
            Exchange::Ours(ours) if ours.client == client => {
                hands.timers.cancel(ours.timer);
                Some(ours)
            }
            other @ (Exchange::None | Exchange::Theirs(_) | Exchange::Ours(_)) => {
                leg.exchange = other;
                None
            }
        }
    }

    /// Forgets our request within a leg: nobody waits for its answer any more.
    pub fn forget_ours(&mut self, hands: &mut Hands, name: LegName) {
        let Some(Exchange::Ours(ours)) = self.leg_of(name).map(|leg| &leg.exchange) else {
            return;
        };
        let client = ours.client;
        hands.layer.end_client(client);
        self.take_ours(hands, name, client);
    }
}
