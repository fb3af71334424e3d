//! One SIP shard's thread: wait, read, hand to the switch, send.

mod busy;
mod entry;
mod leaving;
mod open;
mod pace;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use self::open::{Error, Transport, open};

use self::busy::Busy;
use self::pace::{GATHER, Pace};
use super::bound::{Bound, Socket};
use super::clock::Clock;
use super::connections::Connections;
use super::fresh::Fresh;
use super::poller::{Errors, Interest, Poller, Ready, Source, give_way};
use super::shard::{Door, FRESH_BATCH, Left, Message, Packet, Waiting};
use super::sort::{Sorted, sort};
use super::tls::Troubles;
use super::udp::{self, BATCH, Inbox};
use super::watch::Watch;
use crate::base::limits::{BEGIN_WITHIN, LOAD_WINDOW};
use crate::base::shard::{Homes, Shard};
use crate::base::time::{Instant, Now};
use crate::call::bans::Bans;
use crate::call::config::Config;
use crate::call::port::Input;
use crate::call::targets::Resolved;
use crate::sip::outline::Asked;
use crate::sip::path::{FlowHint, ListenerId, Path, Transport as Protocol};
use crate::sip::seen::Onlooker;

/// How often it is looked whether packets can be taken.
const BEGIN_LOOK: Duration = Duration::from_millis(1);
/// The shortest wait for a timer. Timers of transactions come by the thousand, seconds after their calls: those
/// that are due within one such time are served together.
const TICK: Duration = Duration::from_millis(4);
/// Batches that are read of one socket before anything else is looked at. New requests only queue up meanwhile, so
/// that the messages of calls behind them are not lost in the system's buffer.
const READS_MAX: usize = 8;
/// How long a loop rests whose wait the system refuses, so that it doesn't spin.
const FAULT_REST: Duration = Duration::from_millis(10);

/// How often the connections are looked through for those whose time is over.
const SWEEP: Duration = Duration::from_secs(1);

/// What the transport counted since the start, over all shards.
#[derive(Debug, Default)]
pub struct Stats {
    /// Messages received.
    pub received: AtomicU64,
    /// Messages sent.
    pub sent: AtomicU64,
    /// New requests answered 503 because their shard had too much to do.
    pub shed: AtomicU64,
    /// Messages that could not be sent, or not handed to their shard; new requests of strangers for which there was no time.
    pub lost: AtomicU64,
    /// For how long the shards were busy, in microseconds, all together.
    pub busy_us: AtomicU64,
    /// TCP connections that are open now, those under TLS too.
    pub connections: AtomicU64,
    /// Connections of ours that were closed because a keep-alive got no answer.
    pub dead: AtomicU64,
    /// TLS handshakes under way.
    pub handshakes: AtomicU64,
    /// TLS handshakes that were done.
    pub handshakes_done: AtomicU64,
    /// TLS handshakes that failed: no TLS, a certificate that is refused.
    pub handshakes_failed: AtomicU64,
    /// What keeps us from trunks' gateways over TLS.
    pub troubles: Troubles,
    /// TCP connections that were refused because there were too many.
    pub refused: AtomicU64,
    /// Those of them that were with a trunk.
    pub refused_trunk: AtomicU64,
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
    /// Does what comes before the first input, and puts what is to be sent into the outbox.
    fn begin(&mut self, _: Now, _: &mut Outbox) {}

    /// Whether packets can be taken. While it can't, they wait where they are, for [`BEGIN_WITHIN`] at most; and once
    /// it could, it isn't asked again.
    fn is_ready(&self) -> bool {
        true
    }

    /// Takes an input, and puts what is to be sent into the outbox. Returns when it wants the next
    /// [`Input::Timeout`].
    fn take(&mut self, now: Now, input: Input<'_>, outbox: &mut Outbox) -> Option<Instant>;

    /// Whether a request is a repetition of one that was taken: it is not refused for load.
    fn knows(&self, _: Path, _: Asked<'_, '_>) -> bool {
        false
    }

    /// Every input of a batch was taken. What they put into the outbox leaves when this returns.
    fn batch_over(&mut self) {}

    /// What a batch put into the outbox has left.
    fn batch_left(&mut self) {}
}

impl<F: FnMut(Now, Input<'_>, &mut Outbox) -> Option<Instant>> Handler for F {
    fn take(&mut self, now: Now, input: Input<'_>, outbox: &mut Outbox) -> Option<Instant> {
        self(now, input, outbox)
    }
}

/// A shard's loop, ready to [`run`](EventLoop::run).
pub struct EventLoop {
    homes: Homes,
    /// All the listeners' sockets, by their ids; every shard sends on those of datagrams.
    sockets: Arc<[Bound]>,
    /// The connections of the listeners that this shard reads.
    connections: Connections,
    /// When they are looked through next; `None` while there is none, and no paused listener.
    sweep: Option<Instant>,
    /// Listeners that accept nothing until then, because the system has no file left.
    paused: Vec<usize>,
    /// Every shard's door, this one's too.
    doors: Arc<[Door]>,
    poller: Poller,
    clock: Clock,
    stats: Arc<Stats>,
    /// Whose messages are not read.
    bans: Arc<Bans>,
    /// Whose connections are no strangers'.
    config: Arc<Config>,
    /// What the names of gateways resolve to at present.
    resolved: Arc<Resolved>,
    /// Who is told of every datagram, if somebody is. Of what goes by connections they tell themselves.
    watch: Option<Watch>,
}

/// Who takes what comes, and what that leads to.
struct Desk<'a, H> {
    handler: &'a mut H,
    outbox: &'a mut Outbox,
    /// When the handler wants the next timeout.
    due: &'a mut Option<Instant>,
}

impl<H: Handler> Desk<'_, H> {
    fn take(&mut self, now: Now, input: Input<'_>) {
        *self.due = self.handler.take(now, input, self.outbox);
    }

    /// Sorts a message; one that is to be handed on now is.
    fn sort(
        &mut self,
        homes: &Homes,
        doors: &[Door],
        now: Now,
        (path, bytes): (Path, &[u8]),
        fresh: &mut Fresh,
    ) {
        let knows = |path, request: Asked<'_, '_>| self.handler.knows(path, request);
        match sort(homes, doors, now, (path, bytes), fresh, knows) {
            Sorted::Now => self.take(now, Input::Packet { path, bytes }),
            Sorted::Refused | Sorted::Done => {}
        }
    }
}

/// Whether the loop goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Go {
    On,
    Stop,
}

/// Whether a socket's buffer runs over if the loop rests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tide {
    /// It doesn't.
    Calm,
    /// More came at once than one system call moves.
    Flood,
}

impl EventLoop {
    /// Which shard this is.
    pub fn shard(&self) -> Shard {
        self.homes.shard
    }

    /// From now on this one is told of every message that comes and goes, or nobody.
    pub fn set_onlooker(&mut self, onlooker: Option<&Arc<dyn Onlooker>>) {
        let watch = |onlooker: &_| Watch::new(Arc::clone(onlooker), self.clock.clone());
        self.connections.set_watch(onlooker.map(watch));
        self.watch = onlooker.map(watch);
    }

    /// Where the sockets are bound, by listener.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(|bound| bound.address).collect()
    }

    /// Runs until [`Message::Stop`] comes. The first input is a timeout, at once, behind [`Handler::begin`]. What was put into the outbox
    /// before the stop still leaves, over TCP as far as there is room.
    pub fn run(mut self, mut handler: impl Handler) {
        give_way();
        let mut inbox = Inbox::default();
        let mut mail = Waiting::default();
        let mut fresh = Fresh::new(
            self.homes.shard,
            Arc::clone(&self.config),
            Arc::clone(&self.resolved),
        );
        let mut ready = Vec::new();
        let mut outbox = Outbox::default();
        handler.begin(self.clock.now(), &mut outbox);
        let (mut due, go) = self.make_ready(&mut handler, &mut outbox, &mut fresh);
        if go == Go::Stop {
            return;
        }
        let mut left = Left::None;
        let began = self.clock.now().at;
        let (mut pace, mut busy) = (Pace::since(began), Busy::since(began));
        let mut tide = Tide::Calm;
        loop {
            self.close_batch(&mut handler, &mut outbox);
            // Behind what belongs to calls; in a flood, a batch of them has left while its socket was read.
            self.send_refusals(&mut fresh);
            let rests_since = self.clock.now().at;
            let mut idle_since = rests_since;
            if (left, tide) == (Left::None, Tide::Calm) && pace.is_brisk() {
                std::thread::sleep(GATHER);
                idle_since = self.clock.now().at;
            }
            let wait = match left {
                Left::Some => Some(Duration::ZERO),
                Left::None => [due, self.sweep]
                    .into_iter()
                    .flatten()
                    .min()
                    .map(|due| (due - idle_since).max(TICK)),
            };
            if self.poller.wait(wait, &mut ready).is_err() {
                // The sockets are looked at in any case; the next wait may succeed.
                std::thread::sleep(FAULT_REST);
                ready.extend(self.own_sockets());
            }
            let woken = self.clock.now();
            busy.rested(woken.at - rests_since);
            self.weigh(woken, &mut busy);
            let woken = woken.at;
            let mut desk = Desk {
                handler: &mut handler,
                outbox: &mut outbox,
                due: &mut due,
            };
            let mut came = 0;
            tide = Tide::Calm;
            for ready in &ready {
                let count = self.look(*ready, &mut inbox, &mut fresh, &mut desk);
                if count >= BATCH {
                    tide = Tide::Flood;
                }
                came += count;
            }
            left = self.doors[self.homes.shard.index].take(&mut mail);
            pace.came(woken, came + mail.messages.len());
            // Read when all of it is here: what was unbound before a message came must not connect it.
            let now = self.clock.now();
            for packet in mail.outgoing.drain(..) {
                self.send_by_connection(now.at, packet.path, packet.bytes.into_vec());
            }
            self.heed(now.at, &mail.messages, &mut fresh);
            if open_mail(&mut mail, |one| desk.take(now, one)) == Go::Stop {
                self.close_batch(&mut handler, &mut outbox);
                return;
            }
            for (came, packet) in mail.fresh.drain(..) {
                fresh.wait(came, packet);
            }
            // Whoever is in a call doesn't wait for those who want to begin one.
            if !fresh.is_empty() {
                self.close_batch(&mut handler, &mut outbox);
            }
            let mut desk = Desk {
                handler: &mut handler,
                outbox: &mut outbox,
                due: &mut due,
            };
            for _ in 0..FRESH_BATCH {
                let Some(Packet { path, bytes }) = fresh.next(now.at) else {
                    break;
                };
                let bytes = &bytes;
                desk.take(now, Input::Packet { path, bytes });
            }
            let known = fresh.turn_refused_away(now, |path, request| desk.handler.knows(path, request));
            for Packet { path, bytes } in known {
                let bytes = &bytes;
                desk.take(now, Input::Packet { path, bytes });
            }
            self.stats.lost.fetch_add(fresh.take_lost(), Ordering::Relaxed);
            // Whoever refuses has no time to rest.
            if !fresh.is_empty() || fresh.has_refused() {
                left = Left::Some;
            }
            if due.is_some_and(|due| due <= now.at) {
                due = handler.take(now, Input::Timeout, &mut outbox);
            }
        }
    }

    /// Waits until the handler can take packets. Only what other threads say is handed on meanwhile. Returns what a
    /// handler's `take` does.
    fn make_ready(
        &mut self,
        handler: &mut impl Handler,
        outbox: &mut Outbox,
        fresh: &mut Fresh,
    ) -> (Option<Instant>, Go) {
        let mut messages = VecDeque::new();
        let began = self.clock.now();
        let mut due = handler.take(began, Input::Timeout, outbox);
        loop {
            self.close_batch(handler, outbox);
            let now = self.clock.now();
            if handler.is_ready() || now.at - began.at >= BEGIN_WITHIN {
                return (due, Go::On);
            }
            std::thread::sleep(BEGIN_LOOK);
            self.doors[self.homes.shard.index].take_messages(&mut messages);
            self.heed(now.at, &messages, fresh);
            let go = open_messages(&mut messages, |input| due = handler.take(now, input, outbox));
            if go == Go::Stop {
                self.close_batch(handler, outbox);
                return (due, go);
            }
        }
    }

    fn close_batch(&mut self, handler: &mut impl Handler, outbox: &mut Outbox) {
        handler.batch_over();
        self.flush(outbox);
        handler.batch_left();
        if let Some(watch) = &self.watch {
            watch.tell();
            self.connections.tell_watch();
        }
    }

    /// What of the messages is for the loop itself.
    fn heed(&mut self, now: Instant, messages: &VecDeque<Message>, fresh: &mut Fresh) {
        let mut is_new = false;
        for message in messages {
            match message {
                Message::Config(config) => {
                    self.config = Arc::clone(config);
                    self.connections.set_trunks((&config.trunks, &self.resolved));
                    self.bans.follow(config, &self.resolved);
                    is_new = true;
                }
                Message::Resolved(resolved) => {
                    self.resolved = Arc::clone(resolved);
                    self.connections.set_trunks((&self.config.trunks, resolved));
                    self.bans.follow(&self.config, resolved);
                    self.connections.set_resolved(Arc::clone(resolved));
                    is_new = true;
                }
                Message::Tls(terms) => self.connections.set_terms(Arc::clone(terms)),
                Message::Onlooker(onlooker) => self.set_onlooker(onlooker.as_ref()),
                Message::Media(_)
                | Message::Recorded(_)
                | Message::Order(_)
                | Message::Advice(..)
                | Message::Failed(..)
                | Message::Stop => {}
            }
        }
        if is_new {
            fresh.follow(now, &self.config, &self.resolved);
        }
    }

    /// Tells the trunks how busy this shard was, once a window.
    fn weigh(&self, now: Now, busy: &mut Busy) {
        let Some((share, busy_for)) = busy.take(now.at, LOAD_WINDOW) else {
            return;
        };
        let us = u64::try_from(busy_for.as_micros()).unwrap_or(u64::MAX);
        self.stats.busy_us.fetch_add(us, Ordering::Relaxed);
        for trunk in &self.config.trunks {
            trunk.overload.is_busy_for(share);
            trunk.overload.turn(now);
        }
    }

    /// This shard's sockets, as if each could be read.
    fn own_sockets(&self) -> impl Iterator<Item = Ready> {
        let indices = (self.homes.shard.index..self.sockets.len()).step_by(self.homes.shard.count);
        indices.map(|index| Ready {
            source: Source::Listener(index),
            errors: Errors::Some,
        })
    }

    /// Looks at what a wait found. Returns how many datagrams there were; what a connection brought counts as one.
    fn look(
        &mut self,
        ready: Ready,
        inbox: &mut Inbox,
        fresh: &mut Fresh,
        desk: &mut Desk<'_, impl Handler>,
    ) -> usize {
        let index = match ready.source {
            Source::Listener(index) => index,
            Source::Connection(flow) => {
                self.look_at_connection(flow, fresh, desk);
                return 1;
            }
        };
        let sockets = Arc::clone(&self.sockets);
        let (Some(bound), Ok(id)) = (sockets.get(index), u8::try_from(index)) else {
            return 0;
        };
        match &bound.socket {
            Socket::Udp(socket) => {
                if ready.errors == Errors::Some {
                    self.read_errors(ListenerId(id), socket, desk);
                }
                self.read(ListenerId(id), socket, inbox, fresh, desk)
            }
            Socket::Tcp(listener) => {
                self.accept(index, (ListenerId(id), bound.protocol), listener);
                0
            }
        }
    }

    /// Reads what could not be delivered of what one socket sent.
    fn read_errors(&self, id: ListenerId, socket: &udp::Socket, desk: &mut Desk<'_, impl Handler>) {
        for undelivered in socket.undelivered() {
            let path = Path::udp(id, undelivered.remote);
            self.tell_others(path, undelivered.why);
            desk.take(self.clock.now(), Input::Failed(path, undelivered.why));
        }
    }

    /// Reads one socket: the messages of our own calls go to the handler, our own new requests wait in `fresh`, and
    /// the others go to their shards. Returns how many there were.
    fn read(
        &mut self,
        id: ListenerId,
        socket: &udp::Socket,
        inbox: &mut Inbox,
        fresh: &mut Fresh,
        desk: &mut Desk<'_, impl Handler>,
    ) -> usize {
        let mut count = 0;
        for _ in 0..READS_MAX {
            socket.receive(inbox);
            count += inbox.len();
            // Not before: the law judges an attempt as of its arrival.
            let now = self.clock.now();
            self.stats
                .received
                .fetch_add(inbox.len() as u64, Ordering::Relaxed);
            for (from, bytes) in inbox.iter() {
                if self.bans.keeps_out(now.at, from.ip()) {
                    continue;
                }
                let path = Path::udp(id, from);
                if let Some(watch) = &self.watch {
                    watch.saw(Protocol::Udp, from, self.shown_address(id), bytes);
                }
                desk.sort(&self.homes, &self.doors, now, (path, bytes), fresh);
            }
            // As many as leave at once, while they are in the processor's cache.
            if fresh.answers() >= BATCH {
                self.send_refusals(fresh);
            }
            if inbox.len() < BATCH {
                break;
            }
        }
        count
    }

    /// Something happened at a connection.
    fn look_at_connection(&mut self, flow: FlowHint, fresh: &mut Fresh, desk: &mut Desk<'_, impl Handler>) {
        let now = self.clock.now();
        let (homes, doors, bans) = (&self.homes, &self.doors, &self.bans);
        let trunks = (self.config.trunks.as_slice(), &*self.resolved);
        self.connections
            .look(&self.poller, now.at, flow, trunks, |path, bytes| {
                if path.party.is_none() && bans.keeps_out(now.at, path.remote.ip()) {
                    return;
                }
                desk.sort(homes, doors, now, (path, bytes), fresh);
            });
    }

    /// What there is to do for connections once a round: writes, ends, and those whose time is over.
    fn end_round(&mut self, now: Instant) {
        let is_due = self.sweep.is_none_or(|due| due <= now);
        if is_due {
            self.connections.sweep(now, (&self.config.trunks, &self.resolved));
        }
        self.connections.write(&self.poller, now);
        if is_due {
            for index in std::mem::take(&mut self.paused) {
                if let Some(Socket::Tcp(listener)) = self.sockets.get(index).map(|bound| &bound.socket) {
                    // It was watched before: only what for changes.
                    let _ = self
                        .poller
                        .change(listener, Source::Listener(index), Interest::Read);
                }
            }
            self.sweep = Some(now + SWEEP);
        }
        for (path, why) in self.connections.take_failed() {
            self.tell_others(path, why);
            self.tell(self.homes.shard.index, path, why);
        }
        if self.connections.is_empty() && self.paused.is_empty() {
            self.sweep = None;
        }
    }
}

/// Hands on what other threads said.
fn open_messages(messages: &mut VecDeque<Message>, mut input: impl FnMut(Input<'_>)) -> Go {
    let mut go = Go::On;
    for message in messages.drain(..) {
        match message {
            Message::Media(report) => input(Input::Media(report)),
            Message::Recorded(report) => input(Input::Recorded(report)),
            Message::Order(command) => input(Input::Order(command)),
            Message::Advice(id, advice) => input(Input::Advice(id, advice)),
            Message::Config(config) => input(Input::Config(config)),
            Message::Resolved(resolved) => input(Input::Resolved(resolved)),
            Message::Failed(path, why) => input(Input::Failed(path, why)),
            // The loop's own.
            Message::Tls(_) | Message::Onlooker(_) => {}
            Message::Stop => go = Go::Stop,
        }
    }
    go
}

/// Hands a batch of mail on: what other threads said, then the calls' datagrams.
fn open_mail(mail: &mut Waiting, mut input: impl FnMut(Input<'_>)) -> Go {
    let go = open_messages(&mut mail.messages, &mut input);
    for packet in mail.in_call.drain(..) {
        input(Input::Packet {
            path: packet.path,
            bytes: &packet.bytes,
        });
    }
    go
}

#[cfg(test)]
mod tests;
