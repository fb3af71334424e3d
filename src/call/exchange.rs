//! Offers and answers within a leg, after those that began it (RFC 3264 §8, RFC 3261 §14, RFC 3311): hold, resume,
//! a moved address, another codec, a refreshed session.
//!
//! One exchange at a time on a leg ([`Exchange`]). What a peer asks is dealt with in [`theirs`] and answered in
//! [`reply`], the answer that an ACK carries is taken in [`late`]; what we ask is in [`ours`], and what becomes of it
//! if it fails in [`glare`]. Two parties that have settled no codec in common are brought together in [`apart`]. What is only that leg's own affair is answered on it. Only a change of direction or codecs
//! crosses to the other leg, as an offer of ours.
//!
//! Whoever wants a peer to hear an offer, or its session refreshed, comes by one door: [`Call::offer_on`].

pub mod apart;
pub mod glare;
pub mod late;
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
    /// An UPDATE (RFC 3311): before the leg is answered too.
    Update,
    /// A PRACK (RFC 3262 §5): only before the leg is answered, and never ours.
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

/// Whether the offer that began a leg has its answer, in a message that can't get lost (RFC 3264 §4, RFC 3262 §5):
/// only then may there be another one. In an early dialog it is each fork's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Opening {
    /// It hasn't.
    #[default]
    Pending,
    /// It has: in a reliable provisional response, its PRACK, or a 2xx.
    Settled,
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
    Ours(Box<Ours>),
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
    /// The target that it names; it counts once the request is answered with 2xx (RFC 6141 §4.3).
    pub target: Option<Box<[u8]>>,
}

/// A request of ours within a leg that waits for its answer.
#[derive(Debug)]
pub struct Ours {
    /// What it went in.
    pub carrier: Carrier,
    /// Its transaction.
    pub client: ClientId,
    /// When it is given up.
    pub timer: TimerId,
    /// What it says, to be said again should it meet one of the peer's.
    pub ask: Ask,
    /// Whose it is.
    pub whose: Whose,
    /// How far its withdrawal has come.
    pub withdrawn: Withdrawn,
    /// How often it has been tried in vain.
    pub tries: u8,
}

/// Whose request of ours it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// The other leg's peer's: its offer crosses, and it waits for the outcome.
    Theirs,
    /// Our own.
    Ours,
}

/// How far the withdrawal of a request of ours has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Withdrawn {
    /// It still counts.
    No,
    /// It still counts, and the peer has said that it has it: a CANCEL may be sent (RFC 3261 §9.1).
    NoAndHeard,
    /// It is to be cancelled as soon as the peer says that it has it.
    Wanted,
    /// What could be done is done; whatever it brings is undone.
    Done,
}

/// What is to be said to a leg's peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// An offer of these terms.
    Terms(Terms),
    /// An offer of what the other leg has settled, if this one hasn't that already when it can be said.
    Settled,
    /// What was said last, once more: the session is refreshed, nothing changes (RFC 4028 §7.4).
    Refresh,
}

/// What waits until a leg is free for it.
#[derive(Debug)]
pub struct Wanted {
    /// What is to be said.
    pub ask: Ask,
    /// How often it has been tried in vain.
    pub tries: u8,
    /// The pause that it keeps after that (RFC 3261 §14.1).
    pub pause: Option<TimerId>,
}

/// Whether a request of ours can go on a leg.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Door {
    /// At once.
    Open,
    /// Not before something else on the leg has ended, or the leg is answered.
    Busy,
    /// Never.
    Shut,
}

impl Call {
    /// Says something of our own to a leg's peer: now, or as soon as what is under way on that leg has ended. What
    /// waits already is replaced, unless only a refresh would replace an offer. On a leg that is over nothing is said.
    ///
    /// It goes in an UPDATE while the leg isn't answered, or if it changes nothing and the peer knows UPDATE; else in
    /// a re-INVITE, as RFC 3311 §5.1 recommends: the peer may have to ask somebody.
    pub fn offer_on(&mut self, hands: &mut Hands, now: Now, name: LegName, ask: Ask) {
        let Some(leg) = self.leg(name) else { return };
        if ask == Ask::Refresh && leg.wanted.is_some() {
            // What waits refreshes as well.
            return;
        }
        let wanted = Wanted {
            ask,
            tries: 0,
            pause: None,
        };
        if let Some(before) = leg.wanted.replace(Box::new(wanted))
            && let Some(pause) = before.pause
        {
            hands.timers.cancel(pause);
        }
        self.offer_waiting(hands, now, name);
    }

    /// Something on a leg has ended, or its peer may be asked from now on: what has waited for that is said.
    pub fn offer_waiting(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        match self.door(name) {
            Door::Open => {}
            Door::Busy => return,
            Door::Shut => return self.forget_wanted(hands, name),
        }
        let Some(leg) = self.leg(name) else { return };
        if leg.wanted.as_ref().is_none_or(|wanted| wanted.pause.is_some()) {
            return;
        }
        if let Some(wanted) = leg.wanted.take() {
            self.send_offer(hands, now, name, wanted.ask, Whose::Ours, wanted.tries);
        }
    }

    /// The pause after glare is over (RFC 3261 §14.1).
    pub fn offer_paused(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        if let Some(wanted) = self.leg(name).and_then(|leg| leg.wanted.as_mut()) {
            wanted.pause = None;
        }
        self.offer_waiting(hands, now, name);
    }

    /// Nothing waits any more to be said on a leg.
    pub fn forget_wanted(&mut self, hands: &mut Hands, name: LegName) {
        let wanted = self.leg(name).and_then(|leg| leg.wanted.take());
        if let Some(pause) = wanted.and_then(|wanted| wanted.pause) {
            hands.timers.cancel(pause);
        }
    }

    /// Whether a request of ours can go on a leg.
    pub(super) fn door(&self, name: LegName) -> Door {
        let Some(leg) = self.leg_of(name) else {
            return Door::Shut;
        };
        if self.recorded != Recorded::Open || leg.bye != Bye::No {
            return Door::Shut;
        }
        let is_free = leg.unacked.is_none() && matches!(leg.exchange, Exchange::None);
        let is_early = !self.is_session(name);
        let takes_early = leg.dialog.is_some() && leg.opening == Opening::Settled && leg.peer.update.is_yes();
        if is_free && (takes_early || !is_early) {
            Door::Open
        } else {
            Door::Busy
        }
    }

    /// A leg by its name, to look at.
    pub fn leg_of(&self, name: LegName) -> Option<&Leg> {
        match name {
            LegName::Caller => Some(&self.caller.leg),
            LegName::Callee => self.callee.as_ref().map(|callee| &callee.leg),
        }
    }
}
