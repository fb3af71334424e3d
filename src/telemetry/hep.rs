//! A copy of every SIP message for a capture server such as Homer (HEP v3).
//!
//! The SIP threads put what they saw into a bounded queue, once a batch; a thread of its own masks and sends. While
//! that has more than it can do, what comes is dropped and counted: a server that is slow or gone costs no call
//! anything.

mod calls;
mod packet;
mod sender;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::base::id::Id;
use crate::base::limits::{HEP_PASSWORD_BYTES_MAX, HEP_QUEUE_BYTES, HEP_QUEUE_NEWS};
use crate::sip::seen::{Onlooker, Seen};
use crate::sip::veil::{Numbers, Veil};

use self::sender::Sender;

/// Where copies go, and what they show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The capture server.
    pub server: SocketAddr,
    /// How they get there.
    pub by: By,
    /// What the server knows us by.
    pub capture_id: u32,
    /// What the server lets us in by, if it asks for that.
    pub password: Option<Password>,
    /// How numbers are shown.
    pub numbers: Numbers,
}

/// How copies get to the capture server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// A datagram each.
    Udp,
    /// One connection.
    Tcp,
}

/// The key that a capture server lets us in by; it goes over the wire as it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Box<[u8]>);

impl Password {
    /// One of these bytes; `None` if they are none, or more than [`HEP_PASSWORD_BYTES_MAX`].
    pub fn of(text: &str) -> Option<Self> {
        (1..=HEP_PASSWORD_BYTES_MAX)
            .contains(&text.len())
            .then(|| Self(text.as_bytes().into()))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What became of messages since the start.
#[derive(Debug, Default)]
pub struct Stats {
    /// Sent to the capture server; over UDP it may not be there.
    pub sent: AtomicU64,
    /// Dropped because the queue was full.
    pub dropped: AtomicU64,
    /// Not sent because the capture server took nothing, or isn't there.
    pub failed: AtomicU64,
    /// Not sent because they can't be read, so that nobody knows what in them is a number.
    pub unreadable: AtomicU64,
}

/// What waits for the sending thread.
enum News {
    Seen(Seen),
    /// A call has a leg of its own towards the called side.
    Leg {
        call: Id,
        caller: Box<[u8]>,
        callee: Box<[u8]>,
    },
    Over(Id),
}

#[derive(Default)]
struct Queue {
    news: VecDeque<News>,
    /// What the messages among them take.
    bytes: usize,
    /// Whether the end of a call was dropped.
    has_lost_an_end: bool,
    is_closed: bool,
    is_done: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    wakes: Condvar,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is held, so that poison means nothing here.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to the sending thread. Dropped, it lets the thread send what waits, and end.
pub struct Exporter {
    shared: Arc<Shared>,
    stats: Arc<Stats>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporter")
    }
}

impl Exporter {
    /// Starts the thread. `key` is drawn by chance: Call-IDs in which numbers stand are named by it.
    ///
    /// # Errors
    /// The system has no thread left, or no socket.
    pub fn start(config: Config, key: [u8; 32], stats: Arc<Stats>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let veil = Veil::new(config.numbers, key);
        let mut sender = Sender::new(config, veil, stats.clone())?;
        let queue = shared.clone();
        thread::Builder::new()
            .name("hep".into())
            .spawn(move || run(&queue, &mut sender))?;
        Ok(Self { shared, stats })
    }

    /// A call's INVITE towards the called side is about to leave: both legs are one call, to whoever looks at them.
    pub fn leg(&self, call: Id, caller: Box<[u8]>, callee: Box<[u8]>) {
        self.put(News::Leg { call, caller, callee });
    }

    /// A call is over.
    pub fn over(&self, call: Id) {
        self.put(News::Over(call));
    }

    /// Waits until what waits is sent, so long at the most.
    pub fn finish(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut queue = self.shared.queue();
        queue.is_closed = true;
        self.shared.wakes.notify_all();
        while !queue.is_done {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let woken = self.shared.wakes.wait_timeout(queue, left);
            queue = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn put(&self, news: News) {
        let mut queue = self.shared.queue();
        let room = match &news {
            News::Seen(seen) => seen.room(),
            News::Leg { .. } | News::Over(_) => 0,
        };
        if queue.bytes.saturating_add(room) > HEP_QUEUE_BYTES || queue.news.len() >= HEP_QUEUE_NEWS {
            if let News::Over(_) = news {
                queue.has_lost_an_end = true;
            }
            drop(queue);
            if let News::Seen(seen) = news {
                self.stats.dropped.fetch_add(seen.len() as u64, Ordering::Relaxed);
            }
            return;
        }
        let was_empty = queue.news.is_empty();
        queue.bytes += room;
        queue.news.push_back(news);
        drop(queue);
        if was_empty {
            self.shared.wakes.notify_all();
        }
    }
}

impl Onlooker for Exporter {
    fn saw(&self, seen: Seen) {
        self.put(News::Seen(seen));
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.shared.queue().is_closed = true;
        self.shared.wakes.notify_all();
    }
}

/// How long the thread rests when it has sent all: it is woken once for what comes meanwhile.
const GATHER: Duration = Duration::from_millis(10);

fn run(shared: &Shared, sender: &mut Sender) {
    loop {
        let mut queue = shared.queue();
        while queue.news.is_empty() && !queue.is_closed {
            queue = shared.wakes.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let news = std::mem::take(&mut queue.news);
        queue.bytes = 0;
        let has_lost_an_end = std::mem::take(&mut queue.has_lost_an_end);
        let is_closed = queue.is_closed;
        if news.is_empty() {
            queue.is_done = true;
            drop(queue);
            shared.wakes.notify_all();
            return;
        }
        drop(queue);
        for one in news {
            match one {
                News::Seen(seen) => seen.iter().for_each(|(passed, bytes)| sender.show(passed, bytes)),
                News::Leg { call, caller, callee } => sender.calls.leg(call, caller, callee),
                News::Over(call) => sender.calls.over(call),
            }
        }
        if has_lost_an_end {
            // Whose calls are over isn't known any more: those that go on stand for themselves.
            sender.calls = calls::Calls::default();
        }
        if !is_closed {
            thread::sleep(GATHER);
        }
    }
}

#[cfg(test)]
mod tests;
