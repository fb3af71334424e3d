//! The messages of the calls that ended last, for `umbra trace`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::base::id::Id;
use crate::base::limits::TRACES_KEPT;
use crate::call::port::Trace;

/// The last [`TRACES_KEPT`] ended calls' traces; the oldest goes when another comes.
#[derive(Default)]
pub struct Traces(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_call: HashMap<Id, Trace>,
    order: VecDeque<Id>,
}

impl Traces {
    /// Keeps the trace of a call that ended.
    pub fn keep(&self, call_id: Id, trace: Trace) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.by_call.insert(call_id, trace).is_some() {
            return;
        }
        kept.order.push_back(call_id);
        if kept.order.len() > TRACES_KEPT
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.by_call.remove(&oldest);
        }
    }

    /// The trace of an ended call, if it is kept still.
    pub fn of(&self, call_id: Id) -> Option<Trace> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.by_call.get(&call_id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_calls_traces_are_kept_and_the_oldest_goes() {
        let traces = Traces::default();
        let id = |n: usize| Id::from_bits(n as u128);
        for n in 0..=TRACES_KEPT {
            traces.keep(id(n), Vec::new());
            traces.keep(id(n), Vec::new());
        }
        assert_eq!(traces.of(id(0)), None);
        assert_eq!(traces.of(id(1)), Some(Vec::new()));
        assert_eq!(traces.of(id(TRACES_KEPT)), Some(Vec::new()));
    }
}
