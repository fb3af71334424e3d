//! What an onlooker is told of: messages that came and went, gathered over a batch.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

use super::clock::Clock;
use crate::sip::path::Transport;
use crate::sip::seen::{Onlooker, Passed, Seen};

/// Gathers for an onlooker.
pub(super) struct Watch {
    onlooker: Arc<dyn Onlooker>,
    clock: Clock,
    seen: RefCell<Seen>,
}

impl Watch {
    pub(super) fn new(onlooker: Arc<dyn Onlooker>, clock: Clock) -> Self {
        Self {
            onlooker,
            clock,
            seen: RefCell::default(),
        }
    }

    /// A message goes by now.
    pub(super) fn saw(&self, by: Transport, from: SocketAddr, to: SocketAddr, message: &[u8]) {
        if is_keep_alive(message) {
            return;
        }
        let at = self.clock.since_1970();
        let passed = Passed { at, from, to, by };
        self.seen.borrow_mut().push(passed, message);
    }

    /// Tells the onlooker what was gathered.
    pub(super) fn tell(&self) {
        let seen = self.seen.take();
        if !seen.is_empty() {
            self.onlooker.saw(seen);
        }
    }
}

/// RFC 5626 §3.5.1: a keep-alive holds nothing but line ends.
pub(super) fn is_keep_alive(bytes: &[u8]) -> bool {
    bytes.iter().all(|c| matches!(c, b'\r' | b'\n' | 0))
}
