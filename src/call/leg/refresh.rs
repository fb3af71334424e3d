//! The session timers of a call's legs (RFC 4028): each leg's own affair, which never crosses to the other one.
//! [`session_timer`](super::session_timer) decides; here it meets messages and time.

use super::callee::CalleeState;
use super::caller::InviteState;
use super::session_timer::{Act, Asked, Clock, Granted, Refresher, Session, Verdict, granted_by, judge};
use crate::base::time::Now;
use crate::call::exchange::Ask;
use crate::call::hands::{CallTimer, Hands};
use crate::call::phase::{Call, End, Recorded};
use crate::call::port::LegName;
use crate::call::refusal::Bounce;
use crate::call::trunk::{SessionTimer, SessionWish};
use crate::sip::lexer::Head;

/// What a request means for its leg's session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Judged {
    /// What our 2xx grants; `None`: no timer.
    pub granted: Option<Granted>,
    /// Its Min-SE, which our own refreshes will repeat (RFC 4028 §7.4); 0: it has none.
    pub min_s: u32,
}

/// Why a request of ours failed, to its session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The session has to be longer, and will be when the request is sent once more.
    TooShort,
    /// Another reason.
    Otherwise,
}

/// Reads what an INVITE or UPDATE asks for.
///
/// # Errors
/// 400 for headers that can't be read, 422 for too short an interval, 420 where the trunk has no timers and the sender
/// insists.
pub fn judged(request: &Head<'_>, wish: SessionWish, runs: Option<&Clock>) -> Result<Judged, Bounce> {
    let asked = match Asked::read(request) {
        Ok(asked) => asked,
        // What a trunk doesn't know can't be wrong on it.
        Err(_) if wish.timer == SessionTimer::Off => return Ok(Judged::default()),
        Err(_) => return Err(Bounce::status(400)),
    };
    let granted = match judge(wish, &asked, runs) {
        Verdict::TooShort(min_s) => return Err(Bounce::with(422, "Min-SE", min_s.to_string())),
        Verdict::NotHere => {
            return Err(Bounce::with(
                420,
                "Unsupported",
                super::session_timer::TIMER.into(),
            ));
        }
        Verdict::Without => None,
        Verdict::With(granted) => Some(granted),
    };
    Ok(Judged {
        granted,
        min_s: asked
            .min_s
            .filter(|_| wish.timer != SessionTimer::Off)
            .unwrap_or(0),
    })
}

impl Call {
    /// Our 2xx to an INVITE or UPDATE of a leg's peer went out: its session begins anew, with the timer that it grants
    /// or without one (RFC 4028 §9).
    pub fn session_answered(&mut self, hands: &mut Hands, now: Now, name: LegName, judged: Judged) {
        let timer = judged
            .granted
            .map(|granted| (granted.interval_s, Refresher::in_theirs(granted.refresher)));
        self.session_lasts(hands, now, name, timer, judged.min_s);
    }

    /// A 2xx to an INVITE or UPDATE of ours came in on a leg: its session begins anew, with the timer that it grants or
    /// without one (RFC 4028 §7.2).
    pub fn session_granted(&mut self, hands: &mut Hands, now: Now, name: LegName, answer: &Head<'_>) {
        let is_session = self.is_session(name);
        let Some(leg) = self.leg(name) else { return };
        let timer = granted_by(leg.wish, answer).filter(|_| is_session);
        self.session_lasts(hands, now, name, timer, 0);
    }

    /// Whether a leg is answered: before, there is no session to be timed (RFC 4028 §2).
    pub fn is_session(&self, name: LegName) -> bool {
        match name {
            LegName::Caller => self.caller.invite == InviteState::Answered,
            LegName::Callee => self
                .callee
                .as_ref()
                .is_some_and(|callee| callee.state == CalleeState::Answered),
        }
    }

    /// A leg's session timer has run out, in one way or the other.
    pub fn session_due(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        let Some(session) = self.leg(name).and_then(|leg| leg.timed.as_mut()) else {
            return;
        };
        session.wake = None;
        let Some(clock) = session.clock.as_mut() else {
            return;
        };
        match clock.woken() {
            Act::Refresh => {
                self.wake_session(hands, name);
                self.offer_on(hands, now, name, Ask::Refresh);
            }
            // RFC 4028 §10: it has expired, or soon will have, and nobody refreshed it.
            Act::End => self.end(hands, now, End::cut("session_expired")),
        }
    }

    /// An INVITE or UPDATE of ours within a leg failed: the session goes on as it was, until it expires, and a refresh is
    /// tried again later (RFC 4028 §10). `longer` is what a 422 wants at least.
    pub fn session_refused(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        longer: Option<u32>,
    ) -> Refused {
        let Some(leg) = self.leg(name) else {
            return Refused::Otherwise;
        };
        let min_s = longer
            .filter(|_| leg.wish.timer != SessionTimer::Off)
            .unwrap_or(0);
        if leg.timed.is_none() && min_s == 0 {
            return Refused::Otherwise;
        }
        let session = leg.timed.get_or_insert_default();
        let why = if min_s > session.min_s {
            session.min_s = min_s;
            Refused::TooShort
        } else {
            Refused::Otherwise
        };
        if let Some(clock) = session.clock.as_mut() {
            clock.refused(now.at);
            self.wake_session(hands, name);
        }
        why
    }

    /// No session of the call is timed any longer.
    pub fn stop_sessions(&mut self, hands: &mut Hands) {
        for name in [LegName::Caller, LegName::Callee] {
            self.stop_session(hands, name);
        }
    }

    /// A leg's session is timed no longer.
    pub fn stop_session(&mut self, hands: &mut Hands, name: LegName) {
        if let Some(mut session) = self.leg(name).and_then(|leg| leg.timed.take())
            && let Some(wake) = session.wake.take()
        {
            hands.timers.cancel(wake);
        }
    }

    fn session_lasts(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        timer: Option<(u32, Refresher)>,
        min_s: u32,
    ) {
        if self.recorded != Recorded::Open {
            return;
        }
        let Some(leg) = self.leg(name) else { return };
        if leg.timed.is_none() && timer.is_none() && min_s == 0 {
            return;
        }
        let session = leg.timed.get_or_insert_default();
        session.min_s = session.min_s.max(min_s);
        session.clock = timer.map(|(interval_s, refresher)| Clock::start(now.at, interval_s, refresher));
        self.wake_session(hands, name);
    }

    fn wake_session(&mut self, hands: &mut Hands, name: LegName) {
        let me = self.me;
        let Some(session) = self.leg(name).and_then(|leg| leg.timed.as_mut()) else {
            return;
        };
        if let Some(wake) = session.wake.take() {
            hands.timers.cancel(wake);
        }
        session.wake = session
            .clock
            .as_ref()
            .map(|clock| hands.wake(me, clock.due(), CallTimer::Session(name)));
    }
}

impl super::Leg {
    /// The session timer that runs on the leg.
    pub fn clock(&self) -> Option<&Clock> {
        self.timed.as_ref()?.clock.as_ref()
    }

    /// The leg's session, as requests of ours tell of it.
    pub fn timed(&self) -> Option<&Session> {
        self.timed.as_deref()
    }
}
