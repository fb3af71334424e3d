//! Overload: whether a new call is taken at all, judged before any other work is done for it, and what whoever is refused is
//! told.
//!
//! What a shard can't do in time is refused where it waits ([`lines`]): that alone holds the shard at what it can do, for
//! the wait is what a busy processor does to a caller, whoever keeps it busy. The share of time for which the shard is busy
//! only says when gateways upstream may send more again ([`trunk::overload`](super::trunk::overload)).

pub mod lines;

use super::port::Records;
use super::trunk::Trunk;
use crate::base::limits::RETRY_AFTER_LOAD_S;
use crate::base::shard::Shard;
use crate::masking::reason::Reason;
use crate::sip::header::Name;
use crate::sip::lexer::Head;
use crate::sip::overload::Control;

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

/// A number that is drawn for a request, the same for every repetition of it: nobody else can foretell it.
pub fn draw(shard: &Shard, request: &Head<'_>) -> u64 {
    let value = |name| request.get(name).unwrap_or_default();
    draw_by(shard, value(Name::Via), value(Name::CallId))
}

/// The same, by its first line of Vias and its Call-ID.
pub fn draw_by(shard: &Shard, vias: &[u8], call_id: &[u8]) -> u64 {
    shard.draw(&[vias, call_id])
}

/// The seconds that whoever sent a request that is refused for load is told to wait, `least` at the least; `said` is what its
/// topmost Via says of overload control, `drawn` what was [drawn](draw) for it. `None`: he has offered to send less, and is told
/// how much less ([`Overload::wanted`](super::trunk::overload::Overload::wanted)): with Retry-After he would send nothing at all.
pub fn wait_s(
    trunk: Option<&Trunk>,
    least: u32,
    said: impl FnOnce() -> Option<Control>,
    drawn: impl FnOnce() -> u64,
) -> Option<u32> {
    let times = trunk.map_or(1, |trunk| trunk.overload.times()).max(least);
    let is_told = trunk.is_some_and(|trunk| trunk.overload.wanted().loss_percent > 0);
    let obeys = is_told && said() == Some(Control::Offered);
    (!obeys).then(|| retry_after_s(times, drawn()))
}

/// The seconds that whoever is refused is told to wait (RFC 3261 §20.33). `times` is how many new calls come for one that is
/// taken: whoever tries every second is taken at about the so-manieth try, so that this is how long it takes. Up to as much
/// again is added by `draw`, so that those who were refused together don't come back together.
pub fn retry_after_s(times: u32, draw: u64) -> u32 {
    let least = times.clamp(*RETRY_AFTER_LOAD_S.start(), *RETRY_AFTER_LOAD_S.end());
    least + (draw % u64::from(least + 1)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_refused_waits_the_longer_the_more_are_and_not_all_alike() {
        for (times, least, most) in [(0, 1, 2), (1, 1, 2), (5, 5, 10), (1_000, 30, 60)] {
            let told: Vec<u32> = (0..1_000).map(|draw| retry_after_s(times, draw)).collect();
            assert_eq!(told.iter().min(), Some(&least), "{times}");
            assert_eq!(told.iter().max(), Some(&most), "{times}");
        }
        assert_eq!(retry_after_s(5, 77), retry_after_s(5, 77));
    }
}
