//! One customer's server: its connections, how many questions it is asked at once, and whether it is asked at all.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;

use super::breaker::{Breaker, Change, Entry};
use super::exchange::{Line, Outcome};
use crate::base::limits::{ASK_IDLE_MAX, ASK_IDLE_TIME, ASKS_WAITING_PER_SERVER_MAX};
use crate::base::url::{HttpUrl, Scheme};

/// What makes a server one: whoever listens there.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Origin {
    scheme: Scheme,
    host: Box<str>,
    port: u16,
}

impl Origin {
    pub(super) fn of(url: &HttpUrl) -> Self {
        Self {
            scheme: url.scheme(),
            host: url.host().to_ascii_lowercase().into(),
            port: url.port(),
        }
    }
}

/// A server, and what is known of it.
pub(super) struct Site {
    breaker: Mutex<Breaker>,
    /// Questions that may be asked at once.
    pub(super) places: Semaphore,
    waiting: AtomicUsize,
    idle: Mutex<Vec<(Instant, Line)>>,
}

/// A question that waits until the server has answered others.
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Site {
    pub(super) fn new(at_once: usize) -> Self {
        Self {
            breaker: Mutex::default(),
            places: Semaphore::new(at_once),
            waiting: AtomicUsize::new(0),
            idle: Mutex::default(),
        }
    }

    /// Waits in the line, if there is room in it.
    pub(super) fn wait(&self) -> Option<Waiting<'_>> {
        let waiting = Waiting(&self.waiting);
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        // Dropped, it gives its place back.
        (before < ASKS_WAITING_PER_SERVER_MAX).then_some(waiting)
    }

    /// Whether a question would be kept out now: it needn't wait for its turn first.
    pub(super) fn is_shut(&self, now: Instant) -> bool {
        lock(&self.breaker).is_shut(now)
    }

    /// Whether the server may be asked now.
    pub(super) fn enter(&self, now: Instant) -> Entry {
        lock(&self.breaker).enter(now)
    }

    /// Takes note of what came of it.
    pub(super) fn leave(&self, now: Instant, entry: Entry, outcome: &Outcome) -> Change {
        lock(&self.breaker).leave(now, entry, outcome.health)
    }

    /// Whether the server is left alone.
    pub(super) fn is_open(&self) -> bool {
        lock(&self.breaker).is_open()
    }

    /// A connection that is open already, if there is one: the one that was used last.
    pub(super) fn idle(&self, now: Instant) -> Option<Line> {
        let mut idle = lock(&self.idle);
        idle.retain(|(since, line)| !line.is_closed() && now < *since + ASK_IDLE_TIME);
        idle.pop().map(|(_, line)| line)
    }

    /// Keeps a connection for the next question, unless there are enough.
    pub(super) fn keep(&self, now: Instant, line: Line) {
        let mut idle = lock(&self.idle);
        if idle.len() < ASK_IDLE_MAX && !line.is_closed() {
            idle.push((now, line));
        }
    }

    /// Closes the connections that nobody has used for a while. Whether anything is left to remember.
    pub(super) fn sweep(&self, now: Instant) -> bool {
        let mut idle = lock(&self.idle);
        idle.retain(|(since, line)| !line.is_closed() && now < *since + ASK_IDLE_TIME);
        !idle.is_empty() || !lock(&self.breaker).is_well(now) || self.waiting.load(Ordering::Relaxed) > 0
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it guards is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
