//! One media thread: sockets on one side, the relay in the middle, orders and reports on the other.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError};

use super::socket::{self, EVENTS_MAX, Pair, Poller, Ready, Waker};
use super::table::Table;
use crate::base::chance::Chance;
use crate::base::dscp::Dscp;
use crate::base::limits::MEDIA_DATAGRAM_BYTES_MAX;
use crate::base::time::{Instant, Wall};
use crate::call::media::{MediaPort, Order, Ranges, Report};
use crate::rtp::dtmf::Pressed;
use crate::rtp::flow::FlowSpec;
use crate::rtp::relay::Relay;
use crate::rtp::tap::Producer;

/// Orders that can wait for each pair of ports: a whole life (bind, open, join, close), four SDPs, and a tap that begins and
/// ends.
const ORDERS_PER_PAIR: usize = 10;
/// Orders that can wait, however small the range is.
const ORDERS_MIN: usize = 1_024;
/// Old datagrams that are thrown away before a port is used again; a socket's default buffer holds fewer.
const LEFTOVERS_MAX: usize = 4_096;

/// Takes what a media thread reports, a batch at a time; called on that thread, so it must not block.
pub type Tell = Box<dyn Fn(&[Report]) + Send>;

/// What a media thread is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The addresses of ours that its sockets are bound to, by
    /// [`InterfaceId`](crate::call::media::InterfaceId).
    pub addresses: Vec<IpAddr>,
    /// How urgent the packets of all of them are.
    pub dscp: Dscp,
    /// Their ranges of ports. All threads are given the same ones:
    /// [`Lanes`](crate::call::media::Lanes) says whose a port is.
    pub ranges: Ranges,
    /// Pairs that it binds at the most, however wide the range is: files that the system allows are needed for
    /// other things too.
    pub pairs_max: usize,
    /// The moment that is instant zero everywhere in the server.
    pub started: std::time::Instant,
    /// What the wall clock showed then.
    pub wall_at_start: Wall,
}

/// A running media thread. Dropped, it stops.
#[derive(Debug)]
pub struct MediaThread {
    /// `None` once it is told to stop.
    orders: Option<Sender<Order>>,
    /// A wake is under way, so that a burst of orders costs one.
    is_woken: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl MediaThread {
    /// Starts thread number `index`. `report` is called on that thread, with what there is to say after a round of
    /// orders or packets, and must not block: while it does, no packet moves. Reports are few: one for each bind
    /// and close, one for each silence, and counts when they are asked for. What its taps hear goes into `taps`; `None`:
    /// nobody records.
    ///
    /// # Errors
    /// What the system says: no thread, no epoll.
    pub fn start(
        index: usize,
        settings: Settings,
        chance: Chance,
        report: Tell,
        taps: Option<Producer>,
    ) -> io::Result<Self> {
        let (MediaPort(first), MediaPort(last)) = settings.ranges.span();
        let table = Table::new(first, last);
        let room = (settings.ranges.len() / 2 * ORDERS_PER_PAIR).max(ORDERS_MIN);
        let (orders, inbox) = crossbeam_channel::bounded(room);
        let is_woken = Arc::new(AtomicBool::new(false));
        let poller = Poller::new()?;
        let waker = poller.waker();
        let relay = Relay::new(chance, first, last, settings.wall_at_start);
        let worker = Worker {
            hands: Hands {
                relay: match taps {
                    Some(taps) => relay.tapped_by(Box::new(taps)),
                    None => relay,
                },
                settings,
                table,
                report,
                reports: Vec::new(),
                buffer: Box::new([0; MEDIA_DATAGRAM_BYTES_MAX]),
                leftovers: Vec::new(),
                looked: Looked::NotEverywhere,
                has_warned: false,
            },
            poller,
            inbox,
            orders: Vec::new(),
            is_woken: Arc::clone(&is_woken),
        };
        let name = format!("media-{index}");
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || worker.run())?;
        Ok(Self {
            orders: Some(orders),
            is_woken,
            waker,
            thread: Some(thread),
        })
    }

    /// Gives an order, and wakes the thread. See [`MediaThread::put`].
    ///
    /// # Errors
    /// As there.
    pub fn order(&self, order: Order) -> Result<(), Order> {
        self.put(order)?;
        self.wake();
        Ok(())
    }

    /// Gives an order that is obeyed after [`MediaThread::wake`] at the latest. Never blocks. Orders are obeyed in
    /// the order in which they were given.
    ///
    /// # Errors
    /// The order comes back when it can't be kept: there is room for eight orders for every pair of
    /// ports, and the thread takes all that wait at once, so this means that the thread hangs or has died. Nothing
    /// was done; the caller counts it, and gives up the call.
    pub fn put(&self, order: Order) -> Result<(), Order> {
        let Some(orders) = &self.orders else {
            return Err(order);
        };
        orders.try_send(order).map_err(|refused| match refused {
            TrySendError::Full(order) | TrySendError::Disconnected(order) => order,
        })
    }

    /// Wakes the thread, if orders wait for it.
    pub fn wake(&self) {
        let idle = self.orders.as_ref().is_none_or(Sender::is_empty);
        if !idle && !self.is_woken.swap(true, Ordering::SeqCst) {
            self.waker.wake();
        }
    }

    /// Whether the thread runs. It ends by itself only by a fault: a panic, or a system that refuses to wait.
    pub fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Obeys the orders that were given, and ends. Waits for it.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for MediaThread {
    fn drop(&mut self) {
        self.orders = None;
        self.waker.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a media thread had panicked");
        }
    }
}

/// What runs on the thread.
struct Worker {
    hands: Hands,
    poller: Poller,
    inbox: Receiver<Order>,
    /// Orders that are about to be obeyed.
    orders: Vec<Order>,
    is_woken: Arc<AtomicBool>,
}

/// The part of the worker that packets and orders go through.
struct Hands {
    relay: Relay,
    settings: Settings,
    table: Table,
    report: Tell,
    /// What is to be reported, in order.
    reports: Vec<Report>,
    buffer: Box<[u8; MEDIA_DATAGRAM_BYTES_MAX]>,
    /// Where something lay when the orders that are being obeyed had come.
    leftovers: Vec<u32>,
    /// Whether that is all.
    looked: Looked,
    /// Whether a port that can't be bound has been told of.
    has_warned: bool,
}

/// Whether a look for what lies in sockets had room for all of them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looked {
    Everywhere,
    NotEverywhere,
}

/// Whether the thread goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    Stop,
}

impl Worker {
    fn run(mut self) {
        let mut now = self.hands.now();
        loop {
            // `now` is as old as the last batch took: less than the wait is rounded up by.
            let timeout = self.hands.relay.timeout().map(|at| at.since(now));
            let mut is_woken = false;
            // One clock reading for what one wait finds: at most 64 packets, a fraction of a millisecond.
            let mut at = None;
            let hands = &mut self.hands;
            let waited = self.poller.wait(timeout, |ready| {
                let now = *at.get_or_insert_with(|| hands.now());
                match ready {
                    Ready::Port(port) => hands.packet(now, port),
                    Ready::Woken => is_woken = true,
                }
            });
            if let Err(error) = waited {
                tracing::error!(%error, "media can't wait for packets; the thread ends");
                return;
            }
            now = at.unwrap_or_else(|| self.hands.now());
            let next = if is_woken { self.obey(now) } else { Next::GoOn };
            if self.hands.relay.timeout().is_some_and(|at| at <= now) {
                self.hands.relay.tick(now);
                self.hands.speak(now);
                self.hands.flush();
            }
            self.hands.hand_in();
            if next == Next::Stop {
                return;
            }
        }
    }

    /// Obeys all orders that were given.
    fn obey(&mut self, now: Instant) -> Next {
        let mut next = Next::GoOn;
        let mut is_woken = true;
        while is_woken && next == Next::GoOn {
            is_woken = false;
            // Lowered before looking: an order that comes after the last look raises it again, and wakes.
            self.is_woken.store(false, Ordering::SeqCst);
            next = loop {
                match self.inbox.try_recv() {
                    Ok(order) => self.orders.push(order),
                    Err(TryRecvError::Empty) => break Next::GoOn,
                    Err(TryRecvError::Disconnected) => break Next::Stop,
                }
            };
            if self.orders.iter().any(|order| matches!(order, Order::Open(..))) {
                is_woken = self.look_for_leftovers();
            }
            for order in self.orders.drain(..) {
                self.hands.obey(now, &self.poller, order);
            }
        }
        next
    }

    /// Finds the ports where something lies at this moment, with one look for all that are to be opened. Says whether
    /// the waker was called meanwhile.
    fn look_for_leftovers(&mut self) -> bool {
        let (hands, mut is_woken) = (&mut self.hands, false);
        hands.leftovers.clear();
        let looked = self.poller.wait(Some(Duration::ZERO), |ready| match ready {
            // There is room for all that one look finds.
            Ready::Port(port) => hands.leftovers.push(port),
            Ready::Woken => is_woken = true,
        });
        // Whoever doesn't know looks everywhere.
        hands.looked = match looked {
            Ok(()) if hands.leftovers.len() + usize::from(is_woken) < EVENTS_MAX => Looked::Everywhere,
            Ok(()) | Err(_) => Looked::NotEverywhere,
        };
        is_woken
    }
}

impl Hands {
    fn now(&self) -> Instant {
        let us = self.settings.started.elapsed().as_micros();
        Instant::from_micros(u64::try_from(us).unwrap_or(u64::MAX))
    }

    fn obey(&mut self, now: Instant, poller: &Poller, order: Order) {
        match order {
            Order::Bind(port) => self.bind(poller, port),
            Order::Open(port, spec) => self.open(now, port, &spec),
            Order::Resume(port, spec) => {
                self.bind(poller, port);
                if self.table.pair(port.0).is_some() {
                    self.relay.resume(now, port.0, &spec);
                }
            }
            Order::Change(port, spec) => self.relay.change(now, port.0, &spec),
            Order::Join(a, b) => self.relay.join(now, a.0, b.0),
            Order::Digit(port, digit) => {
                match self.relay.digit(now, port.0, digit) {
                    Pressed::Yes => {}
                    refused @ (Pressed::NoEvents | Pressed::Full) => {
                        tracing::debug!(port = port.number(), ?refused, "a key isn't pressed");
                    }
                }
                self.flush();
            }
            Order::Play(port, play) => self.relay.play(now, port.0, &play),
            Order::Hush(port) => self.relay.hush(port.0),
            Order::Listen(port, listening) => self.relay.listen(port.0, listening),
            Order::Tap(port, tap) => self.relay.tap(port.0, tap),
            Order::Count(port) => {
                // Answered even if there is no flow any more: somebody waits for it.
                let counts = self.relay.counts(now, port.0).unwrap_or_default();
                self.reports.push(Report::Counts(port, counts));
            }
            Order::Close(port) => {
                // Answered even if there was no flow: somebody waits for it.
                let counts = self.relay.close(now, port.0).unwrap_or_default();
                self.flush();
                self.reports.push(Report::Closed(port, counts));
            }
        }
    }

    fn bind(&mut self, poller: &Poller, port: MediaPort) {
        let report = if !self.settings.ranges.holds(port) {
            Report::NotBound(port)
        } else if self.table.pair(port.0).is_some() {
            Report::Bound(port)
        } else {
            self.bind_new(poller, port)
        };
        self.reports.push(report);
    }

    fn bind_new(&mut self, poller: &Poller, port: MediaPort) -> Report {
        if self.table.bound() >= self.settings.pairs_max {
            return Report::NotNow(port);
        }
        let (MediaPort(name), number) = (port, port.number());
        let interface = usize::from(port.interface().0);
        let Some(address) = self.settings.addresses.get(interface).copied() else {
            return Report::NotBound(port);
        };
        let bound = Pair::bind(address, number, self.settings.dscp).and_then(|pair| {
            poller.add(&pair.rtp, name)?;
            poller.add(&pair.rtcp, name | 1)?;
            Ok(pair)
        });
        match bound {
            Ok(pair) => {
                self.table.insert(name, pair);
                Report::Bound(port)
            }
            Err(error) if socket::is_shortage(&error) => {
                tracing::debug!(%address, port = number, %error, "an RTP port can't be bound now");
                Report::NotNow(port)
            }
            Err(error) => {
                // Where one is taken, hundreds may be: the first one tells.
                if self.has_warned {
                    tracing::debug!(%address, port = number, %error, "an RTP port can't be bound");
                } else {
                    tracing::warn!(%address, port = number, %error, "an RTP port can't be bound (more like it are told at debug)");
                    self.has_warned = true;
                }
                Report::NotBound(port)
            }
        }
    }

    fn open(&mut self, now: Instant, port: MediaPort, spec: &FlowSpec) {
        let Some(pair) = self.table.pair(port.0) else {
            tracing::error!(
                port = port.number(),
                "a flow was to begin on a port that isn't bound"
            );
            return;
        };
        // What still lies there was meant for the port's last user. Mostly nothing does.
        for (socket, name) in [(&pair.rtp, port.0), (&pair.rtcp, port.0 | 1)] {
            if self.looked == Looked::Everywhere && !self.leftovers.contains(&name) {
                continue;
            }
            for _ in 0..LEFTOVERS_MAX {
                if socket.recv_from(&mut self.buffer[..]).is_err() {
                    break;
                }
            }
        }
        self.relay.open(now, port.0, spec);
    }

    /// Reads one packet and sends on what comes of it. On a port without a flow it is dropped here.
    fn packet(&mut self, now: Instant, port: u32) {
        let Some(pair) = self.table.pair(port) else {
            return;
        };
        let is_rtp = port.is_multiple_of(2);
        let socket = if is_rtp { &pair.rtp } else { &pair.rtcp };
        // An error is the news of a packet that somebody refused; there is nothing to do about it.
        let Ok((length, from)) = socket.recv_from(&mut self.buffer[..]) else {
            return;
        };
        if length >= MEDIA_DATAGRAM_BYTES_MAX {
            return;
        }
        if !is_rtp {
            let packet = self.buffer.get_mut(..length).unwrap_or_default();
            self.relay.rtcp(now, port & !1, from, packet);
            return;
        }
        let out = self.relay.rtp(now, port, from, &mut self.buffer[..], length);
        while let Some((port, keyed)) = self.relay.poll_heard() {
            self.reports.push(Report::of_key(MediaPort(port), keyed));
        }
        let Some(out) = out else { return };
        if let (Some(pair), Some(bytes)) = (self.table.pair(out.port), self.buffer.get(out.bytes)) {
            // Full or refused: a packet is lost, as packets are.
            let _ = pair.rtp.send_to(bytes, out.to);
        }
    }

    /// Sends what is due of the sounds that are played.
    fn speak(&mut self, now: Instant) {
        let table = &self.table;
        self.relay.speak(now, |port, to, packet| {
            if let Some(pair) = table.pair(port) {
                // Full or refused: a packet is lost, as packets are.
                let _ = pair.rtp.send_to(packet, to);
            }
        });
    }

    /// Sends what the relay holds, and takes down what it has to report.
    fn flush(&mut self) {
        while let Some((port, to, bytes)) = self.relay.poll_out() {
            self.send_own(port, to, &bytes);
        }
        while let Some((port, rollovers)) = self.relay.poll_rolled() {
            self.reports.push(Report::RolledOver(MediaPort(port), rollovers));
        }
        while let Some(port) = self.relay.poll_dead() {
            self.reports.push(Report::Dead(MediaPort(port)));
        }
    }

    /// Hands in what there is to report.
    fn hand_in(&mut self) {
        if !self.reports.is_empty() {
            (self.report)(&self.reports);
            self.reports.clear();
        }
    }

    fn send_own(&self, port: u32, to: SocketAddr, bytes: &[u8]) {
        if let Some(pair) = self.table.pair(port) {
            let socket = if port.is_multiple_of(2) {
                &pair.rtp
            } else {
                &pair.rtcp
            };
            // Full or refused: the next report says it again, and so does an event's next packet.
            let _ = socket.send_to(bytes, to);
        }
    }
}

#[cfg(test)]
mod tests;
