//! Why an attempt is refused or fails, in the one order of judgement.

use serde::{Deserialize, Serialize};

/// Why an attempt did not become a conversation. The order is the order of judgement: what stands higher
/// is said first, so that records, API and explanations agree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The dialled number is none of ours.
    NotOurs,
    /// The account is suspended.
    AccountSuspended,
    /// The number is frozen.
    NumberFrozen,
    /// More than the server takes.
    Overload,
    /// The caller is a number of ours.
    Loop,
    /// The caller has no usable identity.
    Unidentified,
    /// The caller is on a block list.
    Blocked,
    /// The caller calls too often.
    Frequency,
    /// The binding doesn't allow this direction.
    Direction,
    /// The number stands for the caller himself.
    SelfCall,
    /// The number stands for the caller himself, and nobody was named whom he reaches by it.
    NoCallee,
    /// The number stands for the caller himself, and answers him with a tone.
    CallbackTone,
    /// The caller's binding is over (or the key is in quarantine).
    Expired,
    /// Nobody is bound to this caller here.
    NoBinding,
    /// A quota is used up.
    Quota,
    /// No media port, or no codec in common.
    Media,
    /// The callee is busy.
    Busy,
    /// The callee did not answer.
    NoAnswer,
    /// The callee refused.
    Rejected,
    /// The callee can't be reached now.
    Unreachable,
    /// The callee's number doesn't exist.
    Unallocated,
    /// No gateway of the trunk took the call.
    TrunkDown,
    /// No trunk that may show X takes the call.
    TrunkMayNotShow,
    /// We ended the attempt before an answer: an admin, a shutdown, a limit.
    Cut,
    /// The caller gave up before an answer.
    Cancelled,
    /// The customer's server gave no usable answer.
    CustomerServer,
    /// The request asked for what RFC 3261 wants refused before anybody is looked for: an extension, a body or
    /// a scheme that isn't ours, no hop left.
    Protocol,
    /// The server itself failed: an egress guard hit, or a fault of ours.
    Internal,
    /// The server stopped while the attempt was open.
    Restart,
}
