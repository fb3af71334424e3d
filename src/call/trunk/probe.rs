//! Probes: whether and how a trunk's gateways are asked, by OPTIONS, if they are there.

use std::time::Duration;

use crate::base::limits::{PROBE_DOWN_AFTER, PROBE_TIMEOUT, PROBE_UP_AFTER};

/// How a trunk's gateways are probed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// How often each is asked, give or take a tenth; `None`: only when somebody wants it.
    pub every: Option<Duration>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// So many probes in a row without a good answer, and a gateway is down.
    pub down_after: u32,
    /// So many good answers in a row, and it is up again.
    pub up_after: u32,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            every: None,
            timeout: PROBE_TIMEOUT,
            down_after: PROBE_DOWN_AFTER,
            up_after: PROBE_UP_AFTER,
        }
    }
}
