//! One table: why an attempt failed → SIP status towards the caller and Q.850 cause; and what the callee's
//! final status means.

use crate::masking::reason::Reason;

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

/// What the callee's side meant by its final status, when it answered `status` (300–699).
pub fn of_callee(status: u16) -> Reason {
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

/// The status that the caller gets when the callee's side answered `status`: its meaning, never more.
/// A relayed 503 gets a server blacklisted, a relayed 401 asks the caller for our password, a relayed
/// 3xx names the callee.
pub fn relayed_status(status: u16) -> u16 {
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
