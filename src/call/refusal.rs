//! One table: why an attempt failed → SIP status towards the caller and Q.850 cause; and what the callee's
//! statuses and causes mean.

use std::net::SocketAddr;

use arrayvec::ArrayVec;

use crate::masking::reason::Reason;
use crate::rtp::signals::Signal;
use crate::sip::build::{self, Response};
use crate::sip::lexer::Head;
use crate::sip::reason::Reasons;

/// A request that is answered at once, before anybody is looked for: the status and one header that says
/// what would have been right (Unsupported, Accept, Allow, Retry-After).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bounce {
    /// The final status.
    pub status: u16,
    /// The header that goes with it.
    pub header: Option<(&'static str, String)>,
}

impl Bounce {
    /// A bare status.
    pub const fn status(status: u16) -> Self {
        Self { status, header: None }
    }

    /// The answer to a request that came from `source`; `to_tag` where the request has none.
    pub fn answer(&self, request: &Head<'_>, source: SocketAddr, to_tag: Option<&[u8]>) -> Vec<u8> {
        let headers: ArrayVec<(&str, &str), 1> = self
            .header
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let response = Response {
            status: self.status,
            to_tag,
            contact: None,
            headers: &headers,
            body: None,
        };
        build::response(request, source, &response)
    }

    /// A status with the header that it needs.
    pub const fn with(status: u16, name: &'static str, value: String) -> Self {
        Self {
            status,
            header: Some((name, value)),
        }
    }
}

/// The final status that the caller gets.
pub fn status(reason: Reason) -> u16 {
    row(reason).0
}

/// The Q.850 cause that records name.
pub fn q850(reason: Reason) -> u8 {
    row(reason).1
}

/// Whether a caller who is no live party must not be able to tell this from the others
/// (one status, at a fixed offset from arrival).
pub fn is_one_face(reason: Reason) -> bool {
    match reason {
        Reason::NotOurs | Reason::Expired | Reason::NoBinding => true,
        Reason::AccountSuspended
        | Reason::NumberFrozen
        | Reason::Overload
        | Reason::Loop
        | Reason::Unidentified
        | Reason::Blocked
        | Reason::Frequency
        | Reason::Direction
        | Reason::SelfCall
        | Reason::NoCallee
        | Reason::CallbackTone
        | Reason::Quota
        | Reason::Media
        | Reason::Busy
        | Reason::NoAnswer
        | Reason::Rejected
        | Reason::Unreachable
        | Reason::Unallocated
        | Reason::TrunkDown
        | Reason::TrunkMayNotShow
        | Reason::Cut
        | Reason::Cancelled
        | Reason::CustomerServer
        | Reason::Protocol
        | Reason::Internal
        | Reason::Restart => false,
    }
}

/// What a caller hears for this reason where refusals are told by a tone (ITU-T E.180 §4); `None`: nothing, because there
/// is no time or no way for it.
pub fn signal(reason: Reason) -> Option<Signal> {
    match reason {
        Reason::NotOurs
        | Reason::AccountSuspended
        | Reason::NumberFrozen
        | Reason::Unidentified
        | Reason::Blocked
        | Reason::Frequency
        | Reason::Direction
        | Reason::SelfCall
        | Reason::NoCallee
        | Reason::Expired
        | Reason::NoBinding
        | Reason::Unreachable
        | Reason::Unallocated
        | Reason::TrunkMayNotShow => Some(Signal::Unobtainable),
        Reason::CallbackTone | Reason::Busy | Reason::NoAnswer | Reason::Rejected => Some(Signal::Busy),
        Reason::Quota | Reason::TrunkDown | Reason::CustomerServer | Reason::Internal => {
            Some(Signal::Congestion)
        }
        Reason::Overload
        | Reason::Loop
        | Reason::Media
        | Reason::Cut
        | Reason::Cancelled
        | Reason::Protocol
        | Reason::Restart => None,
    }
}

fn row(reason: Reason) -> (u16, u8) {
    match reason {
        //                        status  Q.850
        Reason::NotOurs => (404, 1),
        Reason::AccountSuspended => (403, 21),
        Reason::NumberFrozen => (403, 21),
        Reason::Overload => (503, 42),
        Reason::Loop => (482, 25),
        Reason::Unidentified => (433, 21),
        Reason::Blocked => (403, 21),
        Reason::Frequency => (403, 21),
        Reason::Direction => (403, 21),
        Reason::SelfCall => (403, 21),
        Reason::NoCallee => (480, 20),
        Reason::CallbackTone => (480, 20),
        Reason::Expired => (404, 1),
        Reason::NoBinding => (404, 1),
        Reason::Quota => (403, 21),
        Reason::Media => (488, 65),
        Reason::Busy => (486, 17),
        Reason::NoAnswer => (480, 19),
        Reason::Rejected => (603, 21),
        Reason::Unreachable => (480, 20),
        Reason::Unallocated => (404, 1),
        Reason::TrunkDown => (500, 38),
        Reason::TrunkMayNotShow => (403, 21),
        Reason::Cut => (480, 31),
        Reason::Cancelled => (487, 16),
        Reason::CustomerServer => (480, 41),
        Reason::Protocol => (400, 111),
        Reason::Internal => (500, 41),
        Reason::Restart => (500, 41),
    }
}

/// Whether another gateway may do better than the one that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Elsewhere {
    /// It may: the failure is the gateway's own.
    Try,
    /// It won't: the called party was reached, or nobody has its number.
    Nobody,
}

/// What a failure of the callee's side means to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Why the attempt failed.
    pub reason: Reason,
    /// The final status for the caller.
    pub status: u16,
    /// The Q.850 cause that the callee's side named, if it did.
    pub heard: Option<u8>,
    /// Whether the next gateway is tried.
    pub elsewhere: Elsewhere,
}

/// What the callee's side meant when it answered `status` (300–699) for these reasons. A status that says what is
/// wrong stands; a vague one is refined by the cause beside it (RFC 6432).
pub fn of_callee(status: u16, reasons: Reasons) -> Failure {
    let heard = cause_of(reasons);
    let refined = heard.filter(|_| is_vague(status)).and_then(of_cause);
    let (reason, status, elsewhere) = refined.unwrap_or((
        of_status(status),
        relayed_status(status),
        if matches!(status, 408 | 500 | 502 | 503 | 504) {
            Elsewhere::Try
        } else {
            Elsewhere::Nobody
        },
    ));
    Failure {
        reason,
        status,
        heard,
        elsewhere,
    }
}

/// The Q.850 cause that a message names: itself, or by a SIP status.
pub fn cause_of(reasons: Reasons) -> Option<u8> {
    reasons.q850.or_else(|| reasons.sip.and_then(cause_of_status))
}

/// A status behind which anything may stand: gateways say it where they know no better, and put the cause beside it.
const fn is_vague(status: u16) -> bool {
    matches!(status, 400 | 408 | 480 | 487 | 500..600)
}

/// What a Q.850 cause means: RFC 3398 §7.2.4.1, but that no 503 and 502 are told (whoever hears them takes us for
/// dead), and that a party who doesn't answer is a 480, not a 408, which would have it tried elsewhere. `None`: the
/// cause is as vague as the status.
fn of_cause(cause: u8) -> Option<(Reason, u16, Elsewhere)> {
    Some(match cause {
        1 => (Reason::Unallocated, 404, Elsewhere::Nobody),
        // No route by this gateway's network.
        2 | 3 => (Reason::Unallocated, 404, Elsewhere::Try),
        17 => (Reason::Busy, 486, Elsewhere::Nobody),
        18 | 19 => (Reason::NoAnswer, 480, Elsewhere::Nobody),
        20 | 27 => (Reason::Unreachable, 480, Elsewhere::Nobody),
        21 | 29 | 55 | 57 | 87 => (Reason::Rejected, 403, Elsewhere::Nobody),
        22 | 23 => (Reason::Unallocated, 410, Elsewhere::Nobody),
        28 => (Reason::Unallocated, 484, Elsewhere::Nobody),
        // No circuit, network out of order, temporary failure, congestion: the class of resources.
        32..=47 | 58 => (Reason::TrunkDown, 500, Elsewhere::Try),
        65 | 70 | 88 => (Reason::Media, 488, Elsewhere::Nobody),
        79 => (Reason::TrunkDown, 501, Elsewhere::Try),
        102 => (Reason::TrunkDown, 504, Elsewhere::Try),
        _ => return None,
    })
}

/// The cause of a status: RFC 3398 §8.2.6.1. A 200 in a Reason says that somebody else took the call (RFC 3326 §3.1),
/// which in ISDN is cause 26.
fn cause_of_status(status: u16) -> Option<u8> {
    Some(match status {
        200 => 26,
        404 | 485 | 604 => 1,
        486 | 600 => 17,
        480 => 18,
        401 | 402 | 403 | 407 | 603 => 21,
        410 => 22,
        482 | 483 => 25,
        484 => 28,
        502 => 38,
        400 | 481 | 500 | 503 => 41,
        405 => 63,
        406 | 415 | 501 => 79,
        408 | 504 => 102,
        413 | 414 | 416 | 420 | 421 | 423 | 505 | 513 => 127,
        _ => return None,
    })
}

/// The cause that the other party of a conversation is told when it ended with `cause`: whether somebody hung up or
/// something broke, and no more.
pub const fn told_in_talk(cause: u8) -> u8 {
    match cause {
        ..=26 => 16,
        27..=31 => 31,
        32..=63 => 41,
        64.. => 31,
    }
}

/// The cause that a phone is told that answered after another one had: non-selected user clearing.
pub const NOT_SELECTED_CAUSE: u8 = 26;

/// The cause that a gateway is told whose silence made us go elsewhere: recovery on timer expiry.
pub const SILENCE_CAUSE: u8 = 102;

/// What the callee's side meant by its final status alone.
fn of_status(status: u16) -> Reason {
    match status {
        486 | 600 => Reason::Busy,
        408 | 480 | 487 => Reason::NoAnswer,
        403 | 603 | 606 | 607 | 608 => Reason::Rejected,
        404 | 410 | 484 | 604 => Reason::Unallocated,
        406 | 415 | 488 => Reason::Media,
        500..600 => Reason::TrunkDown,
        _ => Reason::Unreachable,
    }
}

/// The provisional status that the caller hears for one of the callee's, which is no 100. That a call is forwarded
/// (181) is the called party's own affair; what we don't know is progress (RFC 3261 §8.1.3.2).
pub const fn relayed_progress(status: u16) -> u16 {
    match status {
        180 | 182 => status,
        _ => 183,
    }
}

/// The status that the caller gets when the callee's side answered `status`: its meaning, never more.
/// A relayed 503 gets a server blacklisted, a relayed 401 asks the caller for our password, a relayed
/// 3xx names the callee.
fn relayed_status(status: u16) -> u16 {
    match status {
        503 => 500,
        401 | 407 => 500,
        300..400 => 480,
        482 | 483 => 480,
        600 | 603 | 604 => status,
        600.. => 603,
        400 | 402 | 403 | 404 | 408 | 410 | 480 | 484 | 486 | 487 | 488 | 500 | 501 | 502 | 504 => status,
        400..500 => 480,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, q850: Option<u8>) -> Failure {
        of_callee(status, Reasons { q850, sip: None })
    }

    #[test]
    fn a_cause_refines_only_a_status_that_says_little() {
        for vague in [400, 408, 480, 487, 500, 502, 503, 504, 580] {
            let busy = of(vague, Some(17));
            assert_eq!((busy.reason, busy.status), (Reason::Busy, 486), "{vague}");
            assert_eq!(busy.elsewhere, Elsewhere::Nobody, "{vague}");
            let jam = of(vague, Some(34));
            assert_eq!((jam.reason, jam.status), (Reason::TrunkDown, 500), "{vague}");
            assert_eq!(jam.elsewhere, Elsewhere::Try, "{vague}");
        }
        for clear in [403, 404, 410, 484, 486, 488, 600, 603, 604] {
            let plain = of(clear, None);
            for cause in [1, 17, 34, 102] {
                let other = Failure {
                    heard: Some(cause),
                    ..plain
                };
                assert_eq!(of(clear, Some(cause)), other, "{clear} {cause}");
            }
        }
    }

    #[test]
    fn no_status_that_harms_us_or_tells_of_the_callee_reaches_the_caller() {
        let causes = || (0..=127).map(|cause| Some(cause).filter(|cause| *cause > 0));
        for status in 300..700 {
            for cause in causes() {
                let told = of(status, cause).status;
                assert!((400..700).contains(&told), "{status} {cause:?}: {told}");
                assert!(
                    !matches!(told, 401 | 407 | 482 | 483 | 503),
                    "{status} {cause:?}: {told}"
                );
            }
        }
        for status in 101..200 {
            assert!(matches!(relayed_progress(status), 180 | 182 | 183), "{status}");
        }
    }

    #[test]
    fn a_sip_cause_counts_where_no_other_is_named() {
        let reasons = Reasons {
            q850: None,
            sip: Some(486),
        };
        assert_eq!(of_callee(500, reasons).reason, Reason::Busy);
        let both = Reasons {
            q850: Some(1),
            ..reasons
        };
        assert_eq!(of_callee(500, both).reason, Reason::Unallocated);
        let elsewhere = Reasons {
            q850: None,
            sip: Some(200),
        };
        assert_eq!(cause_of(elsewhere), Some(26));
    }
}
