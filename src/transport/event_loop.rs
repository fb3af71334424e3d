//! One SIP shard's thread: wait, read, hand to the switch, send.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock::Clock;
use super::poller::{Errors, Poller, Ready, Waker};
use super::shard::fresh_room;
use super::shard::{Door, FRESH_BATCH, Left, Message, Packet, Waiting};
use super::udp::{BATCH, Inbox, Socket, Undelivered};
use crate::base::limits::RETRY_AFTER_S;
use crate::base::shard::Shard;
use crate::base::time::{Instant, Now};
use crate::call::config::Listener;
use crate::call::port::{Input, Why};
use crate::sip::build::{self, Response};
use crate::sip::message;
use crate::sip::path::{ListenerId, Path};
use crate::sip::peek::{PeekKind, peek};

/// The shortest wait for a timer. Timers of transactions come by the thousand, seconds after their calls: those
/// that are due within one such time are served together.
const TICK: Duration = Duration::from_millis(4);
/// Batches that are read of one socket before anything else is looked at. New requests only queue up meanwhile, so
/// that the messages of calls behind them are not lost in the system's buffer.
const READS_MAX: usize = 8;
/// How long a loop rests whose wait the system refuses, so that it doesn't spin.
const FAULT_REST: Duration = Duration::from_millis(10);

/// What the transport counted since the start, over all shards.
#[derive(Debug, Default)]
pub struct Stats {
    /// Datagrams received.
    pub received: AtomicU64,
    /// Datagrams sent.
    pub sent: AtomicU64,
    /// New requests answered 503 because their shard had too much to do.
    pub shed: AtomicU64,
    /// Datagrams that could not be sent, or not handed to their shard.
    pub lost: AtomicU64,
}

/// Why the server can't listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address of `sip.udp`.
    #[error("can't listen on {0}: choose another in sip.udp, or stop who has it")]
    Bind(SocketAddr, #[source] io::Error),
    /// The system has no files or memory left.
    #[error("can't wait for sockets")]
    System(#[source] io::Error),
}

/// What a handler wants sent. It leaves at the end of the batch, in this order.
#[derive(Default)]
pub struct Outbox(Vec<(Path, Vec<u8>)>);

impl Outbox {
    /// Sends these bytes this way.
    pub fn send(&mut self, to: Path, bytes: Vec<u8>) {
        self.0.push((to, bytes));
    }
}

/// Whom a loop works for.
pub trait Handler {
    /// Takes an input, and puts what is to be sent into the outbox. Returns when it wants the next
    /// [`Input::Timeout`].
    fn take(&mut self, now: Now, input: Input<'_>, outbox: &mut Outbox) -> Option<Instant>;

    /// Every input of a batch was taken. What they put into the outbox leaves when this returns.
    fn batch_over(&mut self) {}
}

impl<F: FnMut(Now, Input<'_>, &mut Outbox) -> Option<Instant>> Handler for F {
    fn take(&mut self, now: Now, input: Input<'_>, outbox: &mut Outbox) -> Option<Instant> {
        self(now, input, outbox)
    }
}

/// A shard's loop, ready to [`run`](EventLoop::run).
pub struct EventLoop {
    shard: Shard,
    /// All the listeners' sockets, by their ids; every shard sends on them.
    sockets: Arc<[Socket]>,
    /// Every shard's door, this one's too.
    doors: Arc<[Door]>,
    poller: Poller,
    clock: Clock,
    stats: Arc<Stats>,
}

/// The shards' loops, not running yet, and what other threads need of them.
pub struct Transport {
    /// One for each shard, to be run on a thread of its own.
    pub loops: Vec<EventLoop>,
    /// The way into each shard.
    pub doors: Arc<[Door]>,
    /// What is counted.
    pub stats: Arc<Stats>,
}

/// Binds the listeners and shares them out: socket `i` is read by shard `i % count`. `key` is the node's, as
/// the switches have it: Call-IDs that they mint hash home.
///
/// # Errors
/// An address that can't be had.
pub fn open(listeners: &[Listener], count: usize, key: [u64; 2], clock: Clock) -> Result<Transport, Error> {
    let sockets = listeners
        .iter()
        .map(|l| Socket::bind(l.address).map_err(|e| Error::Bind(l.address, e)))
        .collect::<Result<Arc<[Socket]>, _>>()?;
    let count = count.max(1);
    let doors = (0..count)
        .map(|_| Waker::new().map(Door::new))
        .collect::<io::Result<Arc<[Door]>>>()
        .map_err(Error::System)?;
    let stats = Arc::new(Stats::default());
    let mut loops = Vec::with_capacity(count);
    for (index, door) in doors.iter().enumerate() {
        let poller = Poller::new(door.waker()).map_err(Error::System)?;
        for (i, socket) in sockets.iter().enumerate().filter(|(i, _)| i % count == index) {
            poller.add(socket, i).map_err(Error::System)?;
        }
        loops.push(EventLoop {
            shard: Shard { index, count, key },
            sockets: Arc::clone(&sockets),
            doors: Arc::clone(&doors),
            poller,
            clock: clock.clone(),
            stats: Arc::clone(&stats),
        });
    }
    Ok(Transport { loops, doors, stats })
}

/// Whether the loop goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Go {
    On,
    Stop,
}

impl EventLoop {
    /// Which shard this is.
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// Where the sockets are bound, by listener.
    ///
    /// # Errors
    /// What the system says.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(Socket::address).collect()
    }

    /// Runs until [`Message::Stop`] comes. The first input is a timeout, at once. What was put into the outbox
    /// before the stop still leaves.
    pub fn run(mut self, mut handler: impl Handler) {
        let mut inbox = Inbox::default();
        let mut mail = Waiting::default();
        let mut ready = Vec::new();
        let mut outbox = Outbox::default();
        let mut due = handler.take(self.clock.now(), Input::Timeout, &mut outbox);
        let mut left = Left::None;
        loop {
            handler.batch_over();
            self.flush(&mut outbox);
            let wait = match left {
                Left::Some => Some(Duration::ZERO),
                Left::None => due.map(|due| (due - self.clock.now().at).max(TICK)),
            };
            let (poller, door) = (&mut self.poller, &self.doors[self.shard.index]);
            if poller.wait(door.waker(), wait, &mut ready).is_err() {
                // The sockets are looked at in any case; the next wait may succeed.
                std::thread::sleep(FAULT_REST);
                ready.extend(self.own_sockets());
            }
            let mut input = |now, input: Input<'_>| due = handler.take(now, input, &mut outbox);
            for ready in &ready {
                if ready.errors == Errors::Some {
                    self.read_errors(ready.socket, &mut input);
                }
                self.read(ready.socket, &mut inbox, &mut mail.fresh, &mut input);
            }
            left = self.doors[self.shard.index].take(&mut mail);
            // Read when all of it is here: what was unbound before a message came must not connect it.
            let now = self.clock.now();
            if open_mail(&mut mail, |one| input(now, one)) == Go::Stop {
                handler.batch_over();
                self.flush(&mut outbox);
                return;
            }
            if !mail.fresh.is_empty() {
                left = Left::Some;
            }
            if due.is_some_and(|due| due <= now.at) {
                due = handler.take(now, Input::Timeout, &mut outbox);
            }
        }
    }

    /// This shard's sockets, as if each could be read.
    fn own_sockets(&self) -> impl Iterator<Item = Ready> {
        let indices = (self.shard.index..self.sockets.len()).step_by(self.shard.count);
        indices.map(|socket| Ready {
            socket,
            errors: Errors::Some,
        })
    }

    /// Reads what could not be delivered of what one socket sent.
    fn read_errors(&self, index: usize, input: &mut impl FnMut(Now, Input<'_>)) {
        let (Some(socket), Ok(id)) = (self.sockets.get(index), u8::try_from(index)) else {
            return;
        };
        for undelivered in socket.undelivered() {
            let path = self.tell_others(ListenerId(id), undelivered);
            input(self.clock.now(), Input::Failed(path, undelivered.why));
        }
    }

    /// Reads one socket: the messages of our own calls go to the handler, our own new requests wait in `fresh`, and
    /// the others go to their shards.
    fn read(
        &self,
        index: usize,
        inbox: &mut Inbox,
        fresh: &mut VecDeque<Packet>,
        input: &mut impl FnMut(Now, Input<'_>),
    ) {
        let (Some(socket), Ok(id)) = (self.sockets.get(index), u8::try_from(index)) else {
            return;
        };
        for _ in 0..READS_MAX {
            socket.receive(inbox);
            // Not before: the law judges an attempt as of its arrival.
            let now = self.clock.now();
            self.stats
                .received
                .fetch_add(inbox.len() as u64, Ordering::Relaxed);
            for (from, bytes) in inbox.iter() {
                let path = Path::udp(ListenerId(id), from);
                self.sort(path, bytes, fresh, |one| input(now, one));
            }
            if inbox.len() < BATCH {
                return;
            }
        }
    }

    /// Finds out whose a datagram is, and whether it can wait.
    fn sort(&self, path: Path, bytes: &[u8], fresh: &mut VecDeque<Packet>, input: impl FnOnce(Input<'_>)) {
        // RFC 5626 §3.5.1: a keep-alive holds nothing but line ends.
        if bytes.iter().all(|c| matches!(c, b'\r' | b'\n' | 0)) {
            return;
        }
        if self.shard.count == 1 && is_in_call(bytes) {
            return input(Input::Packet { path, bytes });
        }
        let Some(peeked) = peek(bytes) else {
            // Whoever reads a faulty one says what is wrong with it.
            return input(Input::Packet { path, bytes });
        };
        let home = self.shard.home_of(peeked.call_id);
        let is_ours = home == self.shard.index;
        if is_ours && peeked.kind == PeekKind::InCall {
            return input(Input::Packet { path, bytes });
        }
        let packet = Packet {
            path,
            bytes: bytes.into(),
        };
        let is_taken = if !is_ours {
            self.doors[home].hand_over(packet, peeked.kind).is_ok()
        } else if fresh.len() < fresh_room(peeked.kind) {
            fresh.push_back(packet);
            true
        } else {
            false
        };
        if !is_taken {
            self.shed(path, bytes, peeked.kind);
        }
    }

    /// Answers a new request whose shard has too much to do, without keeping anything of it.
    fn shed(&self, path: Path, bytes: &[u8], kind: PeekKind) {
        let answer = match kind {
            // Its sender repeats it.
            PeekKind::InCall | PeekKind::Cancel => None,
            PeekKind::NewRequest => overloaded(path, bytes),
        };
        let Some((to, answer)) = answer else {
            self.stats.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        self.stats.shed.fetch_add(1, Ordering::Relaxed);
        if let Some(socket) = self.sockets.get(usize::from(to.listener.0)) {
            // It is sent once: a request that hears nothing comes again.
            let sent = socket.send(&[(to.remote, &answer)], || {});
            self.stats.sent.fetch_add(sent.count as u64, Ordering::Relaxed);
        }
    }

    /// Sends what is in the outbox, in order; as many as possible with one call.
    fn flush(&self, outbox: &mut Outbox) {
        for run in outbox.0.chunk_by(|a, b| a.0.listener == b.0.listener) {
            let listener = run[0].0.listener;
            let Some(socket) = self.sockets.get(usize::from(listener.0)) else {
                self.stats.lost.fetch_add(run.len() as u64, Ordering::Relaxed);
                continue;
            };
            let datagrams: Vec<(SocketAddr, &[u8])> = run
                .iter()
                .map(|(to, bytes)| (to.remote, bytes.as_slice()))
                .collect();
            let mut failed = Vec::new();
            let sent = socket.send(&datagrams, || failed.extend(socket.undelivered()));
            self.stats.sent.fetch_add(sent.count as u64, Ordering::Relaxed);
            self.stats
                .lost
                .fetch_add(sent.lost.len() as u64, Ordering::Relaxed);
            for (i, why) in sent.lost {
                if let (Some((remote, _)), Some(why)) = (datagrams.get(i), why) {
                    failed.push(Undelivered { remote: *remote, why });
                }
            }
            for undelivered in failed {
                let path = self.tell_others(listener, undelivered);
                // Our own comes by mail too: the handler is not to be called from here.
                self.tell(self.shard.index, path, undelivered.why);
            }
        }
        outbox.0.clear();
    }

    /// Tells every other shard that a way failed: who sent there can't be told from what ICMP brings back.
    fn tell_others(&self, listener: ListenerId, undelivered: Undelivered) -> Path {
        let path = Path::udp(listener, undelivered.remote);
        for index in (0..self.doors.len()).filter(|i| *i != self.shard.index) {
            self.tell(index, path, undelivered.why);
        }
        path
    }

    fn tell(&self, index: usize, path: Path, why: Why) {
        // A shard that has no room left for it finds out by its own timers.
        if self.doors[index].tell(Message::Failed(path, why)).is_err() {
            self.stats.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Hands a batch of mail on: what other threads said, then the calls' datagrams, then some of the new requests.
fn open_mail(mail: &mut Waiting, mut input: impl FnMut(Input<'_>)) -> Go {
    let mut go = Go::On;
    for message in mail.messages.drain(..) {
        match message {
            Message::Media(report) => input(Input::Media(report)),
            Message::Order(command) => input(Input::Order(command)),
            Message::Config(config) => input(Input::Config(config)),
            Message::Failed(path, why) => input(Input::Failed(path, why)),
            Message::Stop => go = Go::Stop,
        }
    }
    let fresh = mail.fresh.len().min(FRESH_BATCH);
    for packet in mail.in_call.drain(..).chain(mail.fresh.drain(..fresh)) {
        input(Input::Packet {
            path: packet.path,
            bytes: &packet.bytes,
        });
    }
    go
}

/// Whether a first glance already tells that a datagram belongs to a call: most do.
fn is_in_call(bytes: &[u8]) -> bool {
    [b"SIP/2.0 ".as_slice(), b"ACK "]
        .iter()
        .any(|start| bytes.starts_with(start))
}

/// The stateless 503 (RFC 3261 §8.2.7) of a request, and the way it goes.
fn overloaded(path: Path, bytes: &[u8]) -> Option<(Path, Vec<u8>)> {
    let request = message::Message::parse(bytes).ok()?;
    let retry = RETRY_AFTER_S.to_string();
    let response = Response {
        status: 503,
        // The same for every repetition of the request, as §8.2.7 asks.
        to_tag: Some(b"shed"),
        contact: None,
        headers: &[("Retry-After", &retry)],
        body: None,
    };
    let answer = build::response(request.head(), path.remote, &response);
    Some((build::reply_path(request.head(), path), answer))
}

#[cfg(test)]
mod tests;
