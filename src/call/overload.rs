//! Admission: whether a new call is taken at all, judged before any other work is done for it.

use super::port::Records;
use crate::masking::reason::Reason;

/// Whether a switch takes new calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Door {
    /// It does.
    #[default]
    Open,
    /// It is being emptied: calls in progress go on.
    Draining,
}

/// What admission looks at.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Whether new calls are wanted.
    pub door: Door,
    /// Whether their records could be kept.
    pub records: Records,
    /// Live calls of this shard.
    pub calls: usize,
    /// How many it takes.
    pub calls_max: usize,
}

/// Judges a new call by the load.
///
/// # Errors
/// [`Reason::Overload`]: answered 503 with Retry-After.
pub fn admit(load: Load) -> Result<(), Reason> {
    let open = load.door == Door::Open && load.records == Records::Kept && load.calls < load.calls_max;
    if open { Ok(()) } else { Err(Reason::Overload) }
}
