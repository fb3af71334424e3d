//! Reliable provisional responses (RFC 3262), on each leg by itself: those that we send to the caller, which repeat until
//! its PRACK comes, and those of the called side, which get ours.

use std::net::SocketAddr;
use std::time::Duration;

use super::caller::{Caller, InviteState, Sdp, Sent};
use super::peer::Peer;
use crate::base::limits::PRACKS_MAX;
use crate::base::text;
use crate::base::time::{Instant, Now};
use crate::base::timer::TimerId;
use crate::call::exchange::theirs::Came;
use crate::call::exchange::{Carrier, Exchange, Opening};
use crate::call::guard::Scope;
use crate::call::hands::{CallTimer, Hands, Purpose, owner};
use crate::call::inspect;
use crate::call::phase::{Call, End, Recorded};
use crate::call::port::{Heading, LegName};
use crate::call::refusal::Bounce;
use crate::call::trunk::Reliability;
use crate::sip::header::{Name, RAck, decimal};
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::transaction::ServerId;

/// The option tag (RFC 3262 §8.1).
pub const TAG: &str = "100rel";

/// RSeq numbers begin anywhere below this (§3).
const RSEQ_START_MAX: u32 = (1 << 31) - 1;

/// Which of our provisional responses the caller of an INVITE gets reliably (§3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Rel {
    /// None: it can't acknowledge them, or the trunk doesn't want it.
    #[default]
    None,
    /// The first one that describes media: that is worth a PRACK.
    Description,
    /// Every one but 100.
    Every,
}

impl Rel {
    /// What an INVITE says of it that came by a trunk with this setting; `peer` has heard the INVITE.
    pub fn of(invite: &Message<'_>, peer: Peer, trunk: Reliability) -> Self {
        if !peer.rel.is_yes() {
            return Self::None;
        }
        if asks_for(invite) {
            return Self::Every;
        }
        match trunk {
            Reliability::Offer => Self::Description,
            Reliability::Off => Self::None,
            Reliability::Require => Self::Every,
        }
    }
}

/// The reliable responses to the caller's INVITE: one at a time.
#[derive(Debug)]
pub struct Reliable {
    /// RSeq of the last one.
    rseq: u32,
    /// The last one, until its PRACK comes.
    unpracked: Option<Unpracked>,
    /// Whether our description was in one of them.
    told: Sdp,
    /// What is to be said when the PRACK has come: the last word counts.
    next: Option<(u16, Sdp)>,
    /// Whether the answer waits for the PRACK.
    answer: Final,
}

/// Whether the final answer waits for a PRACK.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Final {
    Unsaid,
    Waits,
}

/// A reliable response of ours without its PRACK.
#[derive(Debug)]
struct Unpracked {
    status: u16,
    sdp: Sdp,
    bytes: Box<[u8]>,
    interval: Duration,
    give_up: Instant,
    /// The next repetition; `None`: the final answer is out, and nothing is repeated any more.
    timer: Option<TimerId>,
}

/// How a provisional response goes to the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    /// Once.
    Plain(Sdp),
    /// Until it is acknowledged.
    Reliable(Sdp),
    /// When the one before it is acknowledged.
    Later(Sdp),
}

/// The 2xx is ACKed: nothing is kept of what went before, but that a PRACK may come yet and has to be answered (§3).
pub(super) fn forget(reliable: &mut Option<Box<Reliable>>) {
    match reliable.as_mut().and_then(|reliable| reliable.unpracked.as_mut()) {
        Some(unpracked) => unpracked.bytes = Box::default(),
        None => *reliable = None,
    }
}

/// What of the responses of one fork was acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pracked {
    /// RSeq of the last one.
    last: Option<u32>,
    count: u32,
}

/// How a provisional response of the called side was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// It isn't a reliable one.
    Plainly,
    /// It was acknowledged.
    Reliably,
    /// It came before, or one before it is missing: nothing more is made of it.
    Not,
}

/// How a reliable response stands to those that were acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    Next,
    /// Known, or one before it is missing.
    Other,
}

impl Pracked {
    /// §4: only what follows the last one is taken; what is missing is repeated by the other side.
    fn takes(&mut self, rseq: u32) -> Turn {
        let follows = self.last.is_none_or(|last| last.checked_add(1) == Some(rseq));
        if !follows || self.count >= PRACKS_MAX {
            return Turn::Other;
        }
        self.last = Some(rseq);
        self.count += 1;
        Turn::Next
    }
}

/// Whether a message has `Require: 100rel`.
fn asks_for(message: &Message<'_>) -> bool {
    message.get(Name::Require).is_some()
        && message
            .values(Name::Require)
            .any(|tag| tag.eq_ignore_ascii_case(TAG.as_bytes()))
}

impl Caller {
    /// Whether our description went out reliably.
    fn described(&self) -> Sdp {
        let reliable = self.reliable.as_ref();
        reliable.map_or(Sdp::Without, |reliable| reliable.told)
    }
}

impl Call {
    /// How the caller is told this. A description goes again and again in plain responses, in case one was lost, but
    /// only if the caller has made an offer (RFC 3261 §13.2.1); reliably it goes once, and may be our offer.
    pub(super) fn manner(&self, status: u16, sdp: Sdp) -> Manner {
        let sdp = match self.caller.described() {
            Sdp::With => Sdp::Without,
            Sdp::Without => sdp,
        };
        let waits = (self.caller.reliable.as_ref()).is_some_and(|reliable| reliable.unpracked.is_some());
        match (self.caller.rel, sdp) {
            _ if status == 100 => Manner::Plain(Sdp::Without),
            (Rel::None, Sdp::With) if self.bridge.caller_offered() => Manner::Plain(Sdp::With),
            (Rel::None, _) | (Rel::Description, Sdp::Without) => Manner::Plain(Sdp::Without),
            (Rel::Every, sdp) if waits => Manner::Later(sdp),
            (Rel::Description | Rel::Every, sdp) => Manner::Reliable(sdp),
        }
    }

    /// Tells the caller how it goes until it acknowledges it (§3).
    pub(super) fn progress_reliably(&mut self, hands: &mut Hands, now: Now, status: u16, sdp: Sdp) {
        let rseq = match &self.caller.reliable {
            Some(reliable) => reliable.rseq.saturating_add(1),
            None => hands.chance.below(RSEQ_START_MAX).saturating_add(1),
        };
        let bytes = self.caller_response(status, sdp, Some(rseq));
        if !self.may_send(LegName::Caller, &bytes, Scope::Ours) {
            return self.guard_hit(hands, now);
        }
        let (t1, me) = (self.config.timers.t1, self.me);
        let unpracked = Unpracked {
            status,
            sdp,
            bytes: bytes.clone().into_boxed_slice(),
            interval: t1,
            give_up: now.at + t1.saturating_mul(64),
            timer: Some(hands.wake(me, now.at + t1, CallTimer::Unpracked)),
        };
        self.told_caller(hands, now, status, sdp, bytes);
        let reliable = self.caller.reliable.get_or_insert_with(|| {
            Box::new(Reliable {
                rseq,
                unpracked: None,
                told: Sdp::Without,
                next: None,
                answer: Final::Unsaid,
            })
        });
        reliable.rseq = rseq;
        reliable.unpracked = Some(unpracked);
        if sdp == Sdp::With {
            reliable.told = Sdp::With;
        }
    }

    /// What the caller is to be told once it has acknowledged what is under way. A description isn't forgotten for a
    /// later word without one.
    pub(super) fn progress_later(&mut self, now: Now, status: u16, sdp: Sdp) {
        // It is being told something all the time.
        self.caller.told.at = now.at;
        let Some(reliable) = self.caller.reliable.as_mut() else {
            return;
        };
        let same = reliable.unpracked.as_ref().is_some_and(|it| it.status == status);
        match (reliable.next, sdp) {
            // It is being said.
            (None, Sdp::Without) if same => {}
            (Some((_, Sdp::With)), _) | (_, Sdp::With) => reliable.next = Some((status, Sdp::With)),
            (_, Sdp::Without) => reliable.next = Some((status, Sdp::Without)),
        }
    }

    /// A reliable response of ours is still not acknowledged: again, after twice the time, or the end (§3).
    pub fn repeat_reliable(&mut self, hands: &mut Hands, now: Now) {
        let me = self.me;
        let server = self.caller.server;
        let reliable = self.caller.reliable.as_mut();
        let Some(unpracked) = reliable.and_then(|reliable| reliable.unpracked.as_mut()) else {
            return;
        };
        unpracked.timer = None;
        if now.at >= unpracked.give_up {
            let end = End {
                status: 504,
                ..End::cut("no_prack")
            };
            return self.end(hands, now, end);
        }
        hands
            .layer
            .respond(now.at, server, unpracked.status, unpracked.bytes.to_vec());
        unpracked.interval = unpracked.interval.saturating_mul(2);
        let next = (now.at + unpracked.interval).min(unpracked.give_up);
        unpracked.timer = Some(hands.wake(me, next, CallTimer::Unpracked));
    }

    /// Whether the caller's PRACK made an offer that has no answer yet, because the other leg is asked.
    fn is_asked_by_prack(&self) -> bool {
        match &self.caller.leg.exchange {
            Exchange::Theirs(asked) => asked.carrier == Carrier::Prack,
            Exchange::Ours(_) | Exchange::None => false,
        }
    }

    /// The caller's PRACK is answered: what waited for that goes out.
    pub fn prack_answered(&mut self, hands: &mut Hands, now: Now) {
        let Some(reliable) = self.caller.reliable.as_mut() else {
            return;
        };
        if reliable.answer == Final::Waits && reliable.unpracked.is_none() && self.recorded == Recorded::Open
        {
            reliable.answer = Final::Unsaid;
            self.answer_both(hands, now);
        }
    }

    /// Whether the answer to the caller has to wait: a description in a reliable response comes first (§3), and so
    /// does the answer to what its PRACK offered (§5).
    pub(super) fn hold_answer(&mut self) -> Sent {
        let is_asked = self.is_asked_by_prack();
        let is_unpracked = |reliable: &Reliable| {
            let unpracked = reliable.unpracked.as_ref();
            unpracked.is_some_and(|it| it.sdp == Sdp::With)
        };
        match self.caller.reliable.as_mut() {
            Some(reliable) if is_asked || is_unpracked(reliable) => {
                reliable.answer = Final::Waits;
                Sent::Later
            }
            Some(_) | None => Sent::Yes,
        }
    }

    /// Whether the caller's 2xx carries our description. What was agreed on in a reliable response may be said once
    /// more, as it was; but neither an offer that was answered nor what was agreed on since (RFC 3261 §13.2.1,
    /// RFC 6337 §3.1).
    pub(super) fn answer_description(&self) -> Sdp {
        let is_first = self.bridge.versions(LegName::Caller) <= 1;
        match self.caller.described() {
            Sdp::With if self.caller.offered == Sdp::Without || !is_first => Sdp::Without,
            Sdp::With | Sdp::Without => Sdp::With,
        }
    }

    /// The caller's INVITE has its final answer: nothing of what went before is repeated.
    pub fn stop_repeating(&mut self, hands: &mut Hands) {
        if let Some(reliable) = self.caller.reliable.as_mut() {
            reliable.next = None;
            reliable.answer = Final::Unsaid;
            let timer = reliable.unpracked.as_mut().and_then(|it| it.timer.take());
            if let Some(timer) = timer {
                hands.timers.cancel(timer);
            }
        }
    }

    /// A peer acknowledges a reliable response of ours (§3): only a caller does.
    pub fn pracked(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        server: ServerId,
        came: (&Message<'_>, SocketAddr),
    ) {
        let (prack, source) = came;
        let read = inspect::check_request(prack).and_then(|()| {
            let rack = prack.get(Name::RAck).and_then(RAck::parse);
            let rack = rack.ok_or(Bounce::status(400))?;
            Ok((rack, inspect::offer(prack)?))
        });
        let (rack, session) = match read {
            Ok(read) => read,
            Err(bounce) => return self.answer_prack(hands, now, name, server, came, &bounce),
        };
        let (cseq, told) = (self.caller.cseq, self.caller.described());
        let is_meant = |reliable: &&mut Box<Reliable>| {
            name == LegName::Caller
                && reliable.unpracked.is_some()
                && reliable.rseq == rack.rseq
                && (rack.cseq.number, rack.cseq.method) == (cseq, Method::Invite)
        };
        let reliable = self.caller.reliable.as_mut().filter(is_meant);
        let Some((reliable, unpracked)) =
            reliable.and_then(|reliable| reliable.unpracked.take().map(|it| (reliable, it)))
        else {
            return self.answer_prack(hands, now, name, server, came, &Bounce::status(481));
        };
        if let Some(timer) = unpracked.timer {
            hands.timers.cancel(timer);
        }
        let next = reliable.next.take();
        let answer = reliable.answer;
        let asked = unpracked.sdp == Sdp::With && self.bridge.awaits_answer(name);
        match session {
            Some(session) if asked => {
                // Our offer was in it, and this is the answer (§5).
                let settled = self.bridge.took_offer(hands, name, &session).is_ok();
                self.answer_prack(hands, now, name, server, came, &Bounce::status(200));
                if !settled {
                    return self.end(hands, now, End::cut("no_answer_in_prack"));
                }
                self.caller.leg.opening = Opening::Settled;
            }
            Some(_) if told == Sdp::With => {
                // A further offer, after the answer (§5).
                self.caller.leg.opening = Opening::Settled;
                let came = Came {
                    request: prack,
                    carrier: Carrier::Prack,
                    source,
                };
                self.offered(hands, now, name, server, &came);
            }
            // The INVITE's own offer is still unanswered: there can't be another one (RFC 3264 §4). The response is
            // acknowledged all the same.
            Some(_) => self.answer_prack(hands, now, name, server, came, &Bounce::status(488)),
            None => {
                self.answer_prack(hands, now, name, server, came, &Bounce::status(200));
                if asked {
                    return self.end(hands, now, End::cut("no_answer_in_prack"));
                }
                if told == Sdp::With {
                    self.caller.leg.opening = Opening::Settled;
                }
            }
        }
        match (answer, next) {
            (Final::Waits, _) if self.is_asked_by_prack() => {}
            (Final::Waits, _) => self.prack_answered(hands, now),
            (Final::Unsaid, Some((status, sdp))) if self.caller.invite == InviteState::Pending => {
                self.progress_to_caller(hands, now, status, sdp);
            }
            (Final::Unsaid, _) => {}
        }
        self.offer_waiting(hands, now, name);
    }

    /// Answers a PRACK that makes no offer.
    fn answer_prack(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        server: ServerId,
        (prack, source): (&Message<'_>, SocketAddr),
        bounce: &Bounce,
    ) {
        let has_body = !prack.body().is_empty();
        self.note_message(now.at, name, Heading::In, Method::Prack, None, has_body);
        let bytes = bounce.answer(prack.head(), source, None);
        hands.layer.respond(now.at, server, bounce.status, bytes);
        let status = Some(bounce.status);
        self.note_message(now.at, name, Heading::Out, Method::Prack, status, false);
    }

    /// Acknowledges a provisional response of the called side, if it wants that (§4).
    pub(super) fn acknowledge(&mut self, hands: &mut Hands, now: Now, response: &Message<'_>) -> Taken {
        let rseq = response.get(Name::RSeq).and_then(|rseq| decimal(rseq, u32::MAX));
        let (Some(rseq), Some(tag)) = (rseq, response.to_tag()) else {
            return Taken::Plainly;
        };
        if !asks_for(response) {
            return Taken::Plainly;
        }
        let (config, me) = (self.config.clone(), self.me);
        let trunk = self.party_of(LegName::Callee);
        let Some((dialog, pracked)) = self.callee.as_mut().and_then(|callee| callee.fork_with(tag)) else {
            return Taken::Not;
        };
        if pracked.takes(rseq) == Turn::Other {
            return Taken::Not;
        }
        let cseq = dialog.next_cseq();
        let mut rack = Vec::with_capacity(24);
        text::number(&mut rack, u64::from(rseq));
        rack.push(b' ');
        text::number(&mut rack, u64::from(response.cseq().number));
        rack.extend_from_slice(b" INVITE");
        let rack = String::from_utf8_lossy(&rack);
        let headers = [(Name::RAck.text(), &*rack)];
        let (to, bytes) = hands.bare_request(&config, (dialog, trunk), Method::Prack, cseq, &headers);
        self.watch(hands, LegName::Callee, &bytes);
        // Should it get no answer, the other side gives the INVITE up itself (§3), and our ring time-out is there.
        hands.layer.request(now.at, to, owner(me, Purpose::Prack), bytes);
        self.note_message(now.at, LegName::Callee, Heading::Out, Method::Prack, None, false);
        Taken::Reliably
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_acknowledged_in_order_and_once() {
        let mut pracked = Pracked::default();
        let turns = [7, 7, 9, 8, 9, 8].map(|rseq| pracked.takes(rseq));
        let (next, other) = (Turn::Next, Turn::Other);
        assert_eq!(turns, [next, other, other, next, next, other]);
        let mut last = Pracked::default();
        assert_eq!(last.takes(u32::MAX), Turn::Next);
        assert_eq!(
            last.takes(0),
            Turn::Other,
            "numbers never begin again (RFC 3262 §3)"
        );
    }

    #[test]
    fn no_more_responses_of_one_fork_are_acknowledged_than_the_limit() {
        let mut pracked = Pracked::default();
        let taken = (1..1_000).filter(|rseq| pracked.takes(*rseq) == Turn::Next);
        assert_eq!(taken.count(), PRACKS_MAX as usize);
    }
}
