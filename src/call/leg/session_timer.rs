//! A leg's session timer (RFC 4028): who keeps the session alive, how often, and when it counts as dead.
//!
//! Nothing here knows the other leg or reads a clock: what a message says comes in, what has to be said or done goes
//! out. Both legs of a call have timers of their own; a refresh never crosses.

use arrayvec::{ArrayString, ArrayVec};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::time::Duration;

use crate::base::limits::SESSION_MIN_S;
use crate::base::time::Instant;
use crate::base::timer::TimerId;
use crate::call::trunk::{SessionTimer, SessionWish};
use crate::sip::header::{Name, decimal, params, trim};
use crate::sip::lexer::Head;

/// The option tag.
pub const TIMER: &str = "timer";

/// A refresh that was refused is tried again as long as this much of the session is left.
const TRY_AGAIN: Duration = Duration::from_secs(20);

/// The most by which a session that nobody refreshed is ended before its time (RFC 4028 §10).
const EARLY_MAX: Duration = Duration::from_secs(32);

/// Whether a peer has the extension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Support {
    /// It says so: `Supported` or `Require` has `timer`.
    Yes,
    /// It doesn't.
    No,
}

/// Who of a transaction refreshes: the `refresher` parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Who sent the request.
    Uac,
    /// Who answered it.
    Uas,
}

/// Who of a dialog refreshes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refresher {
    /// Umbra.
    Us,
    /// The peer.
    Them,
}

impl Refresher {
    /// Who is meant in a transaction of ours.
    pub const fn in_ours(side: Side) -> Self {
        match side {
            Side::Uac => Self::Us,
            Side::Uas => Self::Them,
        }
    }

    /// Who is meant in a transaction of theirs.
    pub const fn in_theirs(side: Side) -> Self {
        match side {
            Side::Uac => Self::Them,
            Side::Uas => Self::Us,
        }
    }
}

/// What a request says of the session timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Whether its sender has the extension.
    pub support: Support,
    /// Whether it insists on it (`Require`).
    pub required: Required,
    /// Session-Expires, in seconds.
    pub interval_s: Option<u32>,
    /// Who shall refresh.
    pub refresher: Option<Side>,
    /// Min-SE, in seconds.
    pub min_s: Option<u32>,
}

/// Whether a request names `timer` in Require.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Required {
    /// It does.
    Yes,
    /// It doesn't.
    No,
}

/// A Session-Expires or Min-SE that can't be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

impl Asked {
    /// Reads an INVITE or UPDATE.
    ///
    /// # Errors
    /// [`Malformed`]: 400 (RFC 4028 §4, §5).
    pub fn read(request: &Head<'_>) -> Result<Self, Malformed> {
        let required = if names_timer(request, Name::Require) {
            Required::Yes
        } else {
            Required::No
        };
        let support = match required {
            Required::Yes => Support::Yes,
            Required::No if names_timer(request, Name::Supported) => Support::Yes,
            Required::No => Support::No,
        };
        let expires = request.get(Name::SessionExpires).map(expires).transpose()?;
        let min_s = request.get(Name::MinSe).map(min_se).transpose()?;
        Ok(Self {
            support,
            required,
            interval_s: expires.map(|(interval, _)| interval),
            refresher: expires.and_then(|(_, side)| side),
            min_s,
        })
    }
}

fn names_timer(head: &Head<'_>, name: Name) -> bool {
    head.values(name)
        .any(|tag| tag.eq_ignore_ascii_case(TIMER.as_bytes()))
}

/// Session-Expires: seconds, and who refreshes (RFC 4028 §4).
fn expires(value: &[u8]) -> Result<(u32, Option<Side>), Malformed> {
    let mut parts = params(value);
    let interval = parts.next().filter(|(_, value)| value.is_none());
    let interval = seconds(interval.ok_or(Malformed)?.0)?;
    let mut refresher = None;
    for (name, value) in parts {
        if !name.eq_ignore_ascii_case(b"refresher") {
            continue;
        }
        let side = match value {
            Some(side) if side.eq_ignore_ascii_case(b"uac") => Side::Uac,
            Some(side) if side.eq_ignore_ascii_case(b"uas") => Side::Uas,
            Some(_) | None => return Err(Malformed),
        };
        if refresher.replace(side).is_some() {
            return Err(Malformed);
        }
    }
    Ok((interval, refresher))
}

/// Min-SE: seconds, and parameters that mean nothing (RFC 4028 §5).
fn min_se(value: &[u8]) -> Result<u32, Malformed> {
    let (min, nothing) = params(value).next().ok_or(Malformed)?;
    match nothing {
        None => seconds(min),
        Some(_) => Err(Malformed),
    }
}

/// `delta-seconds`; more than we can count is the most that we can.
fn seconds(text: &[u8]) -> Result<u32, Malformed> {
    let text = trim(text);
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    Ok(decimal(text, u32::MAX).unwrap_or(u32::MAX))
}

/// What the answer to a request says of the session timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The interval is shorter than we take: 422 with this Min-SE.
    TooShort(u32),
    /// It needs the extension, which this trunk has not: 420.
    NotHere,
    /// The 2xx starts no timer, and ends one that ran.
    Without,
    /// The 2xx starts this one.
    With(Granted),
}

/// The session timer of a 2xx of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Granted {
    /// The interval, in seconds.
    pub interval_s: u32,
    /// Who refreshes.
    pub refresher: Side,
    /// Whether the peer has the extension: then it has to read our answer (`Require: timer`).
    pub support: Support,
}

/// Judges a request of the peer's (RFC 4028 §9): as the trunk wishes, and as the session has it already, if a timer
/// runs.
pub fn judge(wish: SessionWish, asked: &Asked, runs: Option<&Clock>) -> Verdict {
    let offered_s = match wish.timer {
        SessionTimer::Off => {
            return match asked.required {
                Required::Yes => Verdict::NotHere,
                Required::No => Verdict::Without,
            };
        }
        SessionTimer::Accept => None,
        SessionTimer::Offer => Some(wish.interval_s),
    };
    let floor = asked.min_s.unwrap_or(0).max(SESSION_MIN_S);
    let interval_s = match asked.interval_s {
        // Under 90 s nobody may go. Our own minimum is only for those who understand a 422 (§8.1, §9).
        Some(wanted) if wanted < SESSION_MIN_S => return Verdict::TooShort(wish.min_s),
        Some(wanted) if wanted < wish.min_s && asked.support == Support::Yes => {
            return Verdict::TooShort(wish.min_s);
        }
        // It may be made shorter, down to Min-SE, and never longer.
        Some(wanted) => offered_s.map_or(wanted, |ours| ours.max(floor).min(wanted)),
        None => match runs.map(|clock| clock.interval_s).or(offered_s) {
            Some(ours) => ours.max(floor),
            None => return Verdict::Without,
        },
    };
    let refresher = match (asked.support, asked.refresher) {
        // Table 2: who doesn't know the extension can't refresh; else the UAC's choice stands.
        (Support::No, _) => Side::Uas,
        (Support::Yes, Some(side)) => side,
        (Support::Yes, None) => match runs.map(|clock| clock.refresher) {
            // The role stays where it is (§7.4).
            Some(Refresher::Us) => Side::Uas,
            Some(Refresher::Them) | None => Side::Uac,
        },
    };
    Verdict::With(Granted {
        interval_s,
        refresher,
        support: asked.support,
    })
}

/// The timer that a 2xx to a request of ours starts: its interval and who refreshes. `None`: there is none, and one
/// that ran is off (RFC 4028 §7.2).
pub fn granted_by(wish: SessionWish, answer: &Head<'_>) -> Option<(u32, Refresher)> {
    match wish.timer {
        SessionTimer::Off => return None,
        SessionTimer::Accept | SessionTimer::Offer => {}
    }
    let (interval_s, side) = expires(answer.get(Name::SessionExpires)?).ok()?;
    // The parameter has to be there. Without it we refresh: then the session lives whatever they think.
    let side = side.unwrap_or(Side::Uac);
    Some((interval_s.max(SESSION_MIN_S), Refresher::in_ours(side)))
}

/// What a 422 wants at least, in seconds; `None` if it doesn't say (RFC 4028 §6).
pub fn wanted_by_422(answer: &Head<'_>) -> Option<u32> {
    min_se(answer.get(Name::MinSe)?).ok()
}

/// Header lines, name and value.
pub type Lines = ArrayVec<(&'static str, ArrayString<32>), 3>;

/// What a 2xx of ours to an INVITE or UPDATE says of the session timer (RFC 4028 §9).
pub fn in_2xx(wish: SessionWish, granted: Option<&Granted>) -> Lines {
    let mut lines = supported(wish);
    let Some(granted) = granted else { return lines };
    let word = match granted.refresher {
        Side::Uac => "uac",
        Side::Uas => "uas",
    };
    lines.push(("Session-Expires", interval_text(granted.interval_s, word)));
    match granted.support {
        Support::Yes => lines.push(("Require", text(TIMER))),
        Support::No => {}
    }
    lines
}

/// What the INVITE that begins a leg says of the session timer beside `Supported` (RFC 4028 §7.1): `min_s` is the largest
/// Min-SE of the 422 that it got before, 0 if it got none.
pub fn in_invite(wish: SessionWish, min_s: u32) -> Lines {
    let mut lines = Lines::new();
    let min_s = min_s.max(wish.min_s);
    match wish.timer {
        SessionTimer::Off => return lines,
        SessionTimer::Accept => {}
        // Who refreshes is left open.
        SessionTimer::Offer => {
            lines.push(("Session-Expires", plain(wish.interval_s.max(min_s))));
        }
    }
    if min_s > SESSION_MIN_S {
        lines.push(("Min-SE", plain(min_s)));
    }
    lines
}

/// What an INVITE or UPDATE of ours within a dialog says of the session timer (RFC 4028 §7.4).
pub fn in_request(wish: SessionWish, session: Option<&Session>) -> Lines {
    let mut lines = supported(wish);
    let Some(session) = session else { return lines };
    if let Some(clock) = &session.clock {
        let word = match clock.refresher {
            Refresher::Us => "uac",
            Refresher::Them => "uas",
        };
        let interval_s = clock.interval_s.max(session.min_s);
        lines.push(("Session-Expires", interval_text(interval_s, word)));
    }
    if session.min_s > 0 {
        lines.push(("Min-SE", plain(session.min_s)));
    }
    lines
}

fn supported(wish: SessionWish) -> Lines {
    let mut lines = Lines::new();
    match wish.timer {
        SessionTimer::Accept | SessionTimer::Offer => lines.push(("Supported", text(TIMER))),
        SessionTimer::Off => {}
    }
    lines
}

fn text(word: &str) -> ArrayString<32> {
    ArrayString::from(word).unwrap_or_default()
}

fn plain(seconds: u32) -> ArrayString<32> {
    let mut text = ArrayString::new();
    // Ten digits fit.
    let _ = write!(text, "{seconds}");
    text
}

fn interval_text(seconds: u32, refresher: &str) -> ArrayString<32> {
    let mut text = plain(seconds);
    let _ = write!(text, ";refresher={refresher}");
    text
}

/// What a leg keeps of its session timer, from when there is something to keep.
#[derive(Debug, Default)]
pub struct Session {
    /// The largest Min-SE that came in this dialog, in a request or a 422; 0: none did.
    pub min_s: u32,
    /// The timer that runs, if one does.
    pub clock: Option<Clock>,
    /// What will wake us for it.
    pub wake: Option<TimerId>,
}

/// A session timer that runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clock {
    /// The session interval, in seconds.
    pub interval_s: u32,
    /// Who refreshes.
    pub refresher: Refresher,
    expires: Instant,
    due: Instant,
}

/// What is to be done when a clock wakes us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// Send a refresh; the clock wakes us again.
    Refresh,
    /// End the session: nobody refreshed it.
    End,
}

impl Clock {
    /// The clock from the 2xx at `now` on.
    pub fn start(now: Instant, interval_s: u32, refresher: Refresher) -> Self {
        Self::go_on(now, interval_s, refresher, Duration::MAX)
    }

    /// The clock of a session that expires after `left`, because its 2xx came to a process before this one. Whoever
    /// refreshes has time for it, however little is left.
    pub fn go_on(now: Instant, interval_s: u32, refresher: Refresher, left: Duration) -> Self {
        let interval = Duration::from_secs(interval_s.into());
        let early = EARLY_MAX.min(interval / 3);
        let gone = interval.saturating_sub(left);
        let lasts = (interval - gone).max(2 * early);
        let wait = match refresher {
            // RFC 4028 §7.2: when half of it is over.
            Refresher::Us => (interval / 2).saturating_sub(gone),
            // §10: slightly before, so that a BYE comes before somebody else's.
            Refresher::Them => lasts - early,
        };
        Self {
            interval_s,
            refresher,
            expires: now + lasts,
            due: now + wait,
        }
    }

    /// When the session expires, unless it is refreshed.
    pub const fn expires(&self) -> Instant {
        self.expires
    }

    /// When it wants to wake us.
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// It has woken us.
    pub fn woken(&mut self) -> Act {
        match self.refresher {
            Refresher::Us if self.due < self.expires => {
                // Only a 2xx counts (RFC 4028 §10): whatever becomes of the refresh, the end stays.
                self.due = self.expires;
                Act::Refresh
            }
            Refresher::Us | Refresher::Them => Act::End,
        }
    }

    /// Our refresh was refused at `now`, and the session goes on until it expires: when half of what is left is over,
    /// we try again, unless there is little left.
    pub fn refused(&mut self, now: Instant) {
        let left = self.expires.since(now);
        if self.is_refreshing() && left >= TRY_AGAIN {
            self.due = now + left / 2;
        }
    }

    /// Whether a refresh of ours is out, or was refused and won't be tried again.
    fn is_refreshing(&self) -> bool {
        self.refresher == Refresher::Us && self.due == self.expires
    }
}

#[cfg(test)]
mod tests;
