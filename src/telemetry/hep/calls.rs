//! Which legs are one call.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::base::id::Id;
use crate::base::limits::{HEP_CALL_ID_BYTES_MAX, HEP_LEGS_MAX};

/// How long messages of a call may come that is over: RFC 3261's longest timer, twice.
const AFTERWARDS: Duration = Duration::from_secs(64);

/// The calls that have two legs, by the Call-ID of the one towards the called side.
#[derive(Default)]
pub(super) struct Calls {
    /// The other leg's Call-ID.
    callers: HashMap<Box<[u8]>, Box<[u8]>, ahash::RandomState>,
    /// Each call's legs towards the called side: there is another one for each gateway that is tried.
    callees: HashMap<Id, Vec<Box<[u8]>>, ahash::RandomState>,
    /// Calls that are over, and since when.
    over: VecDeque<(Instant, Id)>,
}

impl Calls {
    /// A call has this leg towards the called side. More of them than [`HEP_LEGS_MAX`] stay unknown.
    pub(super) fn leg(&mut self, call: Id, caller: Box<[u8]>, callee: Box<[u8]>) {
        let fits = caller.len() <= HEP_CALL_ID_BYTES_MAX && callee.len() <= HEP_CALL_ID_BYTES_MAX;
        if fits && self.callers.len() < HEP_LEGS_MAX && !self.callers.contains_key(&callee) {
            self.callees.entry(call).or_default().push(callee.clone());
            self.callers.insert(callee, caller);
        }
    }

    /// A call is over: soon nothing is known of it.
    pub(super) fn over(&mut self, call: Id) {
        let now = Instant::now();
        if self.callees.contains_key(&call) {
            self.over.push_back((now, call));
        }
        self.forget(now);
    }

    /// Forgets calls that are long over.
    fn forget(&mut self, now: Instant) {
        while let Some((since, call)) = self.over.front()
            && now.saturating_duration_since(*since) >= AFTERWARDS
        {
            for callee in self.callees.remove(call).unwrap_or_default() {
                self.callers.remove(&callee);
            }
            self.over.pop_front();
        }
    }

    /// What all messages of a leg's call have in common: the Call-ID of the leg towards the caller.
    pub(super) fn common<'c>(&'c self, call_id: &'c [u8]) -> &'c [u8] {
        self.callers.get(call_id).map_or(call_id, |caller| &**caller)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_legs_of_a_call_have_one_name_until_it_is_long_over() {
        let mut calls = Calls::default();
        let id = Id::from_bits(1);
        for callee in [b"out-1", b"out-2"] {
            calls.leg(id, b"in"[..].into(), callee[..].into());
        }
        for call_id in [&b"in"[..], b"out-1", b"out-2"] {
            assert_eq!(calls.common(call_id), b"in");
        }
        assert_eq!(calls.common(b"another"), b"another");
        calls.over(id);
        calls.over(Id::from_bits(2));
        assert_eq!(calls.common(b"out-1"), b"in");
        calls.forget(Instant::now() + AFTERWARDS);
        assert_eq!(calls.common(b"out-1"), b"out-1");
        assert!(calls.callers.is_empty() && calls.callees.is_empty() && calls.over.is_empty());
    }

    #[test]
    fn a_leg_beyond_the_limit_stands_for_itself() {
        let mut calls = Calls::default();
        for n in 0..=HEP_LEGS_MAX {
            calls.leg(
                Id::from_bits(n as u128),
                b"in"[..].into(),
                n.to_string().into_bytes().into(),
            );
        }
        assert_eq!(calls.callers.len(), HEP_LEGS_MAX);
        let last = HEP_LEGS_MAX.to_string();
        assert_eq!(calls.common(last.as_bytes()), last.as_bytes());
        calls.leg(
            Id::from_bits(0),
            vec![b'x'; HEP_CALL_ID_BYTES_MAX + 1].into(),
            b"long"[..].into(),
        );
        assert_eq!(calls.common(b"long"), b"long");
    }
}
