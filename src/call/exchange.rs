//! Offers and answers within a leg, after those that began it (RFC 3264 §8, RFC 3261 §14, RFC 3311): hold, resume,
//! a moved address, another codec, a refreshed session.
//!
//! One exchange at a time on a leg ([`Exchange`]). What a peer asks is dealt with in [`theirs`], what we ask in
//! [`ours`]; [`reply`] writes the answers to a peer. What is only that leg's own affair is answered on it. Only a
//! change of direction or codecs crosses to the other leg, as an offer of ours.
//!
//! Whoever wants a peer to hear an offer, or its session refreshed, comes by one door: [`Call::offer_on`].

pub mod ours;
pub mod reply;
pub mod theirs;

use super::hands::Hands;
use super::leg::refresh::Judged;
use super::leg::{Bye, Echo, Leg};
use super::phase::{Call, Recorded};
use super::port::LegName;
use crate::base::time::Now;
use crate::base::timer::TimerId;
use crate::sdp::answer::Terms;
use crate::sip::method::Method;
use crate::sip::transaction::{ClientId, ServerId};

/// The request that carries an offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carrier {
    /// A re-INVITE (RFC 3261 §14).
    Invite,
    /// An UPDATE (RFC 3311).
    Update,
    /// A PRACK (RFC 3262 §5).
    Prack,
}

impl Carrier {
    /// Its method.
    pub const fn method(self) -> Method {
        match self {
            Self::Invite => Method::Invite,
            Self::Update => Method::Update,
            Self::Prack => Method::Prack,
        }
    }
}

/// An exchange under way on a leg, from either side; one at a time (RFC 3264 §4, RFC 3261 §14).
#[derive(Debug, Default)]
pub enum Exchange {
    /// None.
    #[default]
    None,
    /// Theirs waits for our answer.
    Theirs(Box<Asked>),
    /// Ours waits for theirs.
    Ours(Ours),
}

/// A peer's request within its leg that is answered later than at once.
#[derive(Debug)]
pub struct Asked {
    /// What it came in.
    pub carrier: Carrier,
    /// Its transaction.
    pub server: ServerId,
    /// The lines that every answer repeats.
    pub echo: Echo,
    /// Its CSeq number.
    pub cseq: u32,
    /// What it asks for of a session timer.
    pub timer: Judged,
}

/// A request of ours within a leg that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub struct Ours {
    /// What it went in.
    pub carrier: Carrier,
    /// Its transaction.
    pub client: ClientId,
    /// When it is given up.
    pub timer: TimerId,
}

/// What is to be said to a leg's peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// An offer of these terms.
    Terms(Terms),
    /// What was said last, once more: the session is refreshed, nothing changes (RFC 4028 §7.4).
    Refresh,
}

/// Whether a request of ours can go on a leg.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Door {
    /// At once.
    Open,
    /// Not before something else on the leg has ended.
    Busy,
    /// Never: the leg is over, or has not been answered.
    Shut,
}

impl Call {
    /// Says something to a leg's peer, in a request of its own: now, or as soon as what is under way on that leg
    /// has ended. What waits already is replaced, unless only a refresh would replace an offer. On a leg that is
    /// over, or not yet answered, nothing is said.
    pub fn offer_on(&mut self, hands: &mut Hands, now: Now, name: LegName, ask: Ask) {
        match self.door(name) {
            Door::Open => self.send_offer(hands, now, name, ask),
            Door::Busy => {
                if let Some(leg) = self.leg(name)
                    && (ask != Ask::Refresh || leg.wanted.is_none())
                {
                    leg.wanted = Some(Box::new(ask));
                }
            }
            Door::Shut => {}
        }
    }

    /// Something on a leg has ended: what has waited for it is said.
    pub fn offer_waiting(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        if self.door(name) == Door::Open
            && let Some(ask) = self.leg(name).and_then(|leg| leg.wanted.take())
        {
            self.send_offer(hands, now, name, *ask);
        }
    }

    /// The caller was told fewer codecs than the fork that won speaks: it gets an offer of ours (RFC 3264 §8).
    pub fn tell_caller_codecs(&mut self, hands: &mut Hands, now: Now) {
        if self.door(LegName::Caller) == Door::Open
            && let Some(terms) = self.bridge.terms_missing_at_caller()
        {
            self.offer_on(hands, now, LegName::Caller, Ask::Terms(terms));
        }
    }

    fn door(&self, name: LegName) -> Door {
        let leg = match name {
            LegName::Caller => Some(&self.caller.leg),
            LegName::Callee => self.callee.as_ref().map(|callee| &callee.leg),
        };
        match leg {
            Some(leg)
                if self.recorded == Recorded::Open
                    && self.record.answered_at.is_some()
                    && leg.dialog.is_some()
                    && leg.bye == Bye::No =>
            {
                if is_free(leg) {
                    Door::Open
                } else {
                    Door::Busy
                }
            }
            Some(_) | None => Door::Shut,
        }
    }
}

/// Whether nothing is under way on a leg that a request of ours would have to wait for.
fn is_free(leg: &Leg) -> bool {
    leg.unacked.is_none() && matches!(leg.exchange, Exchange::None)
}
