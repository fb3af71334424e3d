//! Messages as they went by, for whoever looks on: the words between the sockets' room and the room that shows them.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::path::Transport;

/// Messages that went by, in order; nothing is kept of them elsewhere.
#[derive(Default)]
pub struct Seen {
    bytes: Vec<u8>,
    passed: Vec<(Passed, usize)>,
}

/// How a message went by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passed {
    /// When, since 1970.
    pub at: Duration,
    /// Who sent it.
    pub from: SocketAddr,
    /// Whom it was sent to.
    pub to: SocketAddr,
    /// How.
    pub by: Transport,
}

impl Seen {
    /// Takes a message in.
    pub fn push(&mut self, passed: Passed, message: &[u8]) {
        self.bytes.extend_from_slice(message);
        self.passed.push((passed, self.bytes.len()));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.passed.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.passed.is_empty()
    }

    /// What they take of memory, in bytes.
    pub fn room(&self) -> usize {
        let each = size_of::<(Passed, usize)>();
        self.bytes
            .len()
            .saturating_add(self.passed.len().saturating_mul(each))
    }

    /// Each of them, and its bytes.
    pub fn iter(&self) -> impl Iterator<Item = (Passed, &[u8])> {
        let mut from = 0;
        self.passed.iter().map(move |(passed, end)| {
            let bytes = self.bytes.get(from..*end).unwrap_or_default();
            from = *end;
            (*passed, bytes)
        })
    }
}

impl fmt::Debug for Seen {
    /// How many; nothing of their text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seen({})", self.len())
    }
}

/// Whoever wants to see every message that comes and goes. It is told by the threads that receive and send, which wait
/// for it: so it doesn't keep them.
pub trait Onlooker: Send + Sync + fmt::Debug {
    /// These went by.
    fn saw(&self, seen: Seen);
}
