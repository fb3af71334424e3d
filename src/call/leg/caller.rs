//! The calling side: everything that we answer to the INVITE that began the call.

use arrayvec::ArrayVec;

use super::refresh::Judged;
use super::reliable::{self, Manner, Rel, Reliable};
use super::session_timer::in_2xx;
use super::{Bye, Echo, Leg, Unacked};
use crate::base::limits::RETRY_AFTER_S;
use crate::base::time::{Instant, Now};
use crate::call::exchange::apart::Apart;
use crate::call::exchange::{Ask, Opening};
use crate::call::guard::Scope;
use crate::call::hands::{CallTimer, Hands, listener};
use crate::call::overload::retry_after_s;
use crate::call::phase::{Call, End};
use crate::call::port::{Heading, LegName};
use crate::call::refusal;
use crate::call::trunk::refusals::Refusals;
use crate::masking::reason::Reason;
use crate::sip::build::{Body, Response};
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::reason;
use crate::sip::transaction::ServerId;

/// How far the caller's INVITE is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InviteState {
    /// Provisionally at the most.
    Pending,
    /// With a 2xx.
    Answered,
    /// With a failure.
    Refused,
}

/// The calling side of a call.
#[derive(Debug)]
pub struct Caller {
    /// The leg.
    pub leg: Leg,
    /// The INVITE's transaction.
    pub server: ServerId,
    /// The lines that every answer repeats.
    pub echo: Echo,
    /// The INVITE's CSeq number.
    pub cseq: u32,
    /// How far it is answered.
    pub invite: InviteState,
    /// What it asked for of a session timer.
    pub session: Judged,
    /// Whether it made an offer.
    pub offered: Sdp,
    /// Which provisional responses it gets reliably.
    pub rel: Rel,
    /// Those, once there are any.
    pub reliable: Option<Box<Reliable>>,
    /// What it was told last, as long as it is answered provisionally.
    pub told: Told,
    /// Whether its answer waits for a codec that both parties speak.
    pub apart: Apart,
    /// What it hears when nobody is reached.
    pub refusals: Refusals,
}

/// A provisional answer that went out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    /// Its status.
    pub status: u16,
    /// Whether it said where media is.
    pub sdp: Sdp,
    /// When it went.
    pub at: Instant,
}

impl Told {
    /// Nothing yet of a call that came at this time.
    pub const fn nothing(at: Instant) -> Self {
        Self {
            status: 100,
            sdp: Sdp::Without,
            at,
        }
    }
}

/// Whether a message went out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// It did.
    Yes,
    /// It will when the caller has acknowledged what went before.
    Later,
    /// It didn't: there was nobody to tell, or the guard stopped it.
    No,
}

/// Whether an answer carries our session description.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sdp {
    /// It does.
    With,
    /// It doesn't.
    Without,
}

impl Call {
    /// Tells the caller how it goes (100–199), with our description if there is one and the caller can take it.
    pub fn progress_to_caller(&mut self, hands: &mut Hands, now: Now, status: u16, sdp: Sdp) {
        if self.caller.invite != InviteState::Pending {
            return;
        }
        let sdp = match self.manner(status, sdp) {
            Manner::Plain(sdp) => sdp,
            Manner::Reliable(sdp) => return self.progress_reliably(hands, now, status, sdp),
            Manner::Later(sdp) => return self.progress_later(now, status, sdp),
        };
        let bytes = self.caller_response(status, sdp, None);
        if !self.may_send(LegName::Caller, &bytes, Scope::Ours) {
            self.guard_hit(hands, now);
            return;
        }
        self.told_caller(hands, now, status, sdp, bytes);
    }

    /// Sends a provisional answer to the caller, and keeps what it says.
    pub(super) fn told_caller(&mut self, hands: &mut Hands, now: Now, status: u16, sdp: Sdp, bytes: Vec<u8>) {
        hands.layer.respond(now.at, self.caller.server, status, bytes);
        self.caller.told = Told {
            status,
            sdp,
            at: now.at,
        };
        self.note_message(
            now.at,
            LegName::Caller,
            Heading::Out,
            Method::Invite,
            Some(status),
            sdp == Sdp::With,
        );
    }

    /// Answers the caller: 200 with our session description, repeated until the ACK. If the caller has still to
    /// acknowledge a description, or shares no codec with the called side yet, it is answered then, and nobody waits for
    /// it to ring any more.
    pub fn answer_caller(&mut self, hands: &mut Hands, now: Now) -> Sent {
        if self.caller.invite != InviteState::Pending {
            return Sent::No;
        }
        if self.caller.apart != Apart::No || self.hold_answer() == Sent::Later {
            self.stop_clock(hands);
            return Sent::Later;
        }
        let sdp = self.answer_description();
        let bytes = self.caller_response(200, sdp, None);
        if !self.may_send(LegName::Caller, &bytes, Scope::Ours) {
            self.guard_hit(hands, now);
            return Sent::No;
        }
        self.caller.invite = InviteState::Answered;
        self.stop_repeating(hands);
        self.caller.leg.opening = Opening::Settled;
        self.caller.echo.forget();
        self.not_to_caller.shrink();
        self.not_to_callee.shrink();
        self.send_2xx(
            hands,
            now,
            LegName::Caller,
            self.caller.server,
            self.caller.cseq,
            bytes,
        );
        let session = self.caller.session;
        self.session_answered(hands, now, LegName::Caller, session);
        Sent::Yes
    }

    /// Refuses the caller with a final status; the attempt is over for this leg.
    pub fn refuse_caller(&mut self, hands: &mut Hands, now: Now, status: u16) {
        if self.caller.invite != InviteState::Pending {
            return;
        }
        let mut status = status;
        let mut bytes = self.caller_response(status, Sdp::Without, None);
        if !self.may_send(LegName::Caller, &bytes, Scope::Ours) {
            // The minimal form holds the caller's own lines and nothing else.
            hands.note(crate::call::port::Note::GuardHit);
            status = 500;
            bytes = self.caller_response(status, Sdp::Without, None);
        }
        self.caller.invite = InviteState::Refused;
        self.stop_repeating(hands);
        self.caller.leg.bye = Bye::Done;
        hands.layer.respond(now.at, self.caller.server, status, bytes);
        self.note_message(
            now.at,
            LegName::Caller,
            Heading::Out,
            Method::Invite,
            Some(status),
            false,
        );
    }

    /// Brings the calling side to its end: a final status for one who still waits, BYE for one who talks.
    pub fn end_caller(&mut self, hands: &mut Hands, now: Now, status: u16) {
        match self.caller.invite {
            InviteState::Pending => self.refuse_caller(hands, now, status),
            InviteState::Answered => self.hang_up(hands, now, LegName::Caller),
            InviteState::Refused => {}
        }
    }

    /// Sends a 2xx to an INVITE of a leg and keeps it for repetition (RFC 3261 §13.3.1.4).
    pub fn send_2xx(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        server: ServerId,
        cseq: u32,
        bytes: Vec<u8>,
    ) {
        let (t1, me) = (self.config.timers.t1, self.me);
        let kept = bytes.clone().into_boxed_slice();
        hands.layer.respond(now.at, server, 200, bytes);
        let timer = hands.wake(me, now.at + t1, CallTimer::Unacked(name));
        let give_up = now.at + t1.saturating_mul(64);
        if let Some(leg) = self.leg(name) {
            if let Some(older) = leg.unacked.take() {
                hands.timers.cancel(older.timer);
            }
            leg.unacked = Some(Box::new(Unacked {
                server,
                cseq,
                bytes: kept,
                interval: t1,
                give_up,
                timer,
            }));
        }
        self.note_message(now.at, name, Heading::Out, Method::Invite, Some(200), true);
    }

    /// A 2xx of ours is still not ACKed: again, or the end (RFC 3261 §13.3.1.4).
    pub fn repeat_2xx(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        let (t2, me) = (self.config.timers.t2, self.me);
        let Some(leg) = self.leg(name) else { return };
        let Some(unacked) = leg.unacked.as_mut() else {
            return;
        };
        if now.at >= unacked.give_up {
            leg.unacked = None;
            self.end(hands, now, End::cut("no_ack"));
            // The end may have come before: then a BYE has been waiting for the ACK.
            self.hang_up(hands, now, name);
            return;
        }
        hands
            .layer
            .respond(now.at, unacked.server, 200, unacked.bytes.to_vec());
        unacked.interval = unacked.interval.saturating_mul(2).min(t2);
        let next = (now.at + unacked.interval).min(unacked.give_up);
        unacked.timer = hands.wake(me, next, CallTimer::Unacked(name));
    }

    /// The ACK of a 2xx of ours.
    pub fn acked(&mut self, hands: &mut Hands, now: Now, name: LegName, cseq: u32) {
        let Some(leg) = self.leg(name) else { return };
        if leg.unacked.as_ref().is_none_or(|unacked| unacked.cseq != cseq) {
            return;
        }
        if let Some(unacked) = leg.unacked.take() {
            hands.timers.cancel(unacked.timer);
        }
        if leg.bye == Bye::AfterAck {
            return self.hang_up(hands, now, name);
        }
        if name == LegName::Caller {
            reliable::forget(&mut self.caller.reliable);
            self.say_sentence(hands, now);
        }
        if name == LegName::Caller && self.bridge.terms_missing_at(name).is_some() {
            // The fork that won speaks another codec than the caller was told (RFC 3264 §8).
            self.offer_on(hands, now, name, Ask::Settled);
        }
        self.offer_waiting(hands, now, name);
        if name == LegName::Caller {
            self.begin_asking(hands, now);
        }
    }

    /// The caller gave up before the answer (CANCEL, or BYE in the early dialog).
    pub fn caller_cancelled(&mut self, hands: &mut Hands, now: Now, request: &Message<'_>) {
        let end = End {
            by: crate::call::cdr::ReleasedBy::Caller,
            heard: refusal::cause_of(reason::read(request)),
            ..End::failed(Reason::Cancelled)
        };
        self.end(hands, now, end);
    }

    /// A response to the caller's INVITE; with an RSeq it is a reliable one (RFC 3262 §3).
    pub(super) fn caller_response(&self, status: u16, sdp: Sdp, rseq: Option<u32>) -> Vec<u8> {
        let us = listener(&self.config, self.caller.leg.listener);
        let contact = (101..300).contains(&status).then(|| super::contact(us));
        let retry_after = if status == 503 {
            retry_after_s(RETRY_AFTER_S, self.record.call_id.lot()).to_string()
        } else {
            String::new()
        };
        let why = (status >= 300).then(|| reason::q850(self.cause_told()));
        let why = why.as_deref().unwrap_or_default();
        let timer = in_2xx(self.caller.leg.wish, self.caller.session.granted.as_ref());
        let rseq = rseq.map(|rseq| rseq.to_string());
        let mut headers: ArrayVec<(&str, &str), 4> = ArrayVec::new();
        match (status, &rseq) {
            (_, Some(rseq)) => {
                let lines = [
                    ("Require", reliable::TAG),
                    ("RSeq", rseq),
                    ("Allow", super::ALLOW),
                ];
                headers.extend(lines);
            }
            (200..300, None) => {
                headers.push(("Allow", super::ALLOW));
                headers.extend(timer.iter().map(|(name, value)| (*name, value.as_str())));
            }
            (300.., None) => {
                if status == 503 {
                    // RFC 3261 §21.5.4: without it the caller may take us for dead.
                    headers.push(("Retry-After", &retry_after));
                }
                // RFC 6432
                headers.push(("Reason", why));
            }
            (_, None) => {}
        }
        let sdp = match sdp {
            Sdp::With => self.bridge.description(LegName::Caller),
            Sdp::Without => None,
        };
        self.caller.echo.response(&Response {
            status,
            // RFC 3261 §8.2.6.2: a 100 makes no dialog.
            to_tag: (status > 100).then_some(&self.caller.leg.local_tag[..]),
            contact: contact.as_deref(),
            headers: &headers,
            body: sdp.map(|bytes| Body {
                content_type: "application/sdp",
                bytes,
            }),
        })
    }
}
