//! One media thread: sockets on one side, the relay in the middle, orders and reports on the other.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError};

use super::socket::{self, Pair, Poller, Ready, Waker};
use super::table::Table;
use crate::base::chance::Chance;
use crate::base::time::{Instant, Wall};
use crate::call::media::{MediaPort, Order, Ranges, Report};
use crate::rtp::flow::FlowSpec;
use crate::rtp::relay::Relay;

/// Bytes of one datagram; a longer one is no audio, and is dropped.
const DATAGRAM_BYTES_MAX: usize = 2_048;
/// Orders that can wait for each pair of ports: a whole life (bind, open, join, close) and four SDPs.
const ORDERS_PER_PAIR: usize = 8;
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
    /// Their ranges of ports. All threads are given the same ones: [`Ranges::lane_of`] says whose a port is.
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
    /// and close, one for each silence, and counts when they are asked for.
    ///
    /// # Errors
    /// What the system says: no thread, no epoll.
    pub fn start(index: usize, settings: Settings, chance: Chance, report: Tell) -> io::Result<Self> {
        let (MediaPort(first), MediaPort(last)) = settings.ranges.span();
        let table = Table::new(first, last);
        let room = (settings.ranges.len() / 2 * ORDERS_PER_PAIR).max(ORDERS_MIN);
        let (orders, inbox) = crossbeam_channel::bounded(room);
        let is_woken = Arc::new(AtomicBool::new(false));
        let poller = Poller::new()?;
        let waker = poller.waker();
        let worker = Worker {
            hands: Hands {
                relay: Relay::new(chance, first, last, settings.wall_at_start),
                settings,
                table,
                report,
                reports: Vec::new(),
                buffer: Box::new([0; DATAGRAM_BYTES_MAX]),
                has_warned: false,
            },
            poller,
            inbox,
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
    buffer: Box<[u8; DATAGRAM_BYTES_MAX]>,
    /// Whether a port that can't be bound has been told of.
    has_warned: bool,
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
                self.hands.flush();
            }
            self.hands.hand_in();
            if next == Next::Stop {
                return;
            }
        }
    }

    fn obey(&mut self, now: Instant) -> Next {
        // Lowered before looking: an order that comes after the last look raises it again, and wakes.
        self.is_woken.store(false, Ordering::SeqCst);
        loop {
            match self.inbox.try_recv() {
                Ok(order) => self.hands.obey(now, &self.poller, order),
                Err(TryRecvError::Empty) => return Next::GoOn,
                Err(TryRecvError::Disconnected) => return Next::Stop,
            }
        }
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
            Order::Change(port, spec) => self.relay.change(now, port.0, &spec),
            Order::Join(a, b) => self.relay.join(now, a.0, b.0),
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
        let bound = Pair::bind(address, number).and_then(|pair| {
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
        // What still lies there was meant for the port's last user.
        for socket in [&pair.rtp, &pair.rtcp] {
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
        let Some(packet) = self
            .buffer
            .get_mut(..length)
            .filter(|_| length < DATAGRAM_BYTES_MAX)
        else {
            return;
        };
        if !is_rtp {
            self.relay.rtcp(now, port & !1, from, packet);
            return;
        }
        let Some(out) = self.relay.rtp(now, port, from, packet) else {
            return;
        };
        if let (Some(pair), Some(bytes)) = (self.table.pair(out.port), self.buffer.get(out.bytes)) {
            // Full or refused: a packet is lost, as packets are.
            let _ = pair.rtp.send_to(bytes, out.to);
        }
    }

    /// Sends what the relay holds, and takes down what it has to report.
    fn flush(&mut self) {
        while let Some((port, to, bytes)) = self.relay.poll_rtcp() {
            self.send_rtcp(port, to, &bytes);
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

    fn send_rtcp(&self, port: u32, to: SocketAddr, bytes: &[u8]) {
        if let Some(pair) = self.table.pair(port) {
            let socket = if port.is_multiple_of(2) {
                &pair.rtp
            } else {
                &pair.rtcp
            };
            // Full or refused: the next report says it again.
            let _ = socket.send_to(bytes, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
    use std::time::Duration;

    use super::*;
    use crate::call::media::InterfaceId;
    use crate::rtp::flow::{Counts, MediaNat, Payload, RtcpPort, Way};
    use crate::rtp::packet;

    /// A thread over many ports, what it reports, and the next port to try.
    struct Bench {
        thread: MediaThread,
        reports: Receiver<Report>,
        next: u32,
    }

    impl Bench {
        fn new(first: u16) -> Self {
            Self::with(first, crossbeam_channel::unbounded())
        }

        fn with(first: u16, (sender, reports): (Sender<Report>, Receiver<Report>)) -> Self {
            let settings = Settings {
                addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
                ranges: Ranges([(first, first + 1_999); 2].into_iter().collect()),
                pairs_max: 20,
                started: std::time::Instant::now(),
                wall_at_start: Wall::from_millis(1_795_255_200_000),
            };
            let report = Box::new(move |reports: &[Report]| {
                for report in reports {
                    let _ = sender.send(*report);
                }
            });
            let thread = MediaThread::start(0, settings, Chance::from_number(1), report);
            Self {
                thread: thread.expect("a thread and an epoll"),
                reports,
                next: u32::from(first),
            }
        }

        fn order(&self, order: Order) {
            self.thread.order(order).expect("there is room");
        }

        fn report(&self) -> Report {
            let waited = self.reports.recv_timeout(Duration::from_secs(20));
            waited.expect("a report comes")
        }

        /// A port that nobody else on this machine has.
        fn bound(&mut self) -> MediaPort {
            self.bound_on(InterfaceId(0))
        }

        fn bound_on(&mut self, interface: InterfaceId) -> MediaPort {
            loop {
                let port = MediaPort::new(interface, MediaPort(self.next).number());
                self.next += 2;
                self.order(Order::Bind(port));
                match self.report() {
                    Report::Bound(bound) if bound == port => return port,
                    Report::NotBound(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        }

        /// Returns when every order given so far has been obeyed.
        fn settle(&self, port: MediaPort) {
            self.order(Order::Bind(port));
            assert_eq!(self.report(), Report::Bound(port));
        }

        fn closed(&self, port: MediaPort) -> Counts {
            self.order(Order::Close(port));
            match self.report() {
                Report::Closed(closed, counts) if closed == port => counts,
                other => panic!("{other:?}"),
            }
        }
    }

    fn peer() -> UdpSocket {
        peer_at("127.0.0.1:0")
    }

    fn peer_at(address: &str) -> UdpSocket {
        let socket = UdpSocket::bind(address).expect("a free port");
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a time-out");
        socket
    }

    fn spec(peer: &UdpSocket) -> Box<FlowSpec> {
        let remote = peer.local_addr().expect("it is bound");
        let pcma = Payload {
            number: 8,
            other: Some(8),
            clock_hz: 8_000,
            is_event: false,
        };
        Box::new(FlowSpec {
            remote: Some(remote),
            remote_rtcp: None,
            rtcp_port: RtcpPort::Own,
            payloads: [pcma].into_iter().collect(),
            way: Way::Both,
            nat: MediaNat::Strict,
            media_from: Default::default(),
            timeout: None,
        })
    }

    fn send(from: &UdpSocket, to: MediaPort, seq: u16) {
        let mut bytes = [0xd5; 172];
        let header = packet::Header {
            marker: false,
            payload_type: 8,
            seq,
            timestamp: u32::from(seq) * 160,
            ssrc: 0x1111_1111,
        };
        packet::write(&header, &mut bytes, 12..172).expect("room for a header");
        let host = from.local_addr().expect("it is bound").ip();
        let sent = from.send_to(&bytes, (host, to.number()));
        assert_eq!(sent.expect("loopback takes it"), 172);
    }

    fn receive(at: &UdpSocket, from: MediaPort) -> packet::Header {
        let mut bytes = [0; 2_048];
        loop {
            let (length, sender) = at.recv_from(&mut bytes).expect("a packet comes");
            // The port may be next to another test's peer, which is sent RTCP here.
            if sender.port() == from.number() {
                return packet::read(&bytes[..length]).expect("it is RTP").0;
            }
        }
    }

    #[test]
    fn two_sockets_talk_through_a_joined_pair_and_the_counts_say_so() {
        let mut bench = Bench::new(31_000);
        let (caller, callee) = (peer(), peer());
        let (a, b) = (bench.bound(), bench.bound());
        bench.order(Order::Open(a, spec(&caller)));
        bench.order(Order::Open(b, spec(&callee)));
        bench.order(Order::Join(a, b));
        bench.settle(a);
        for seq in 0..5 {
            send(&caller, a, seq);
            assert_ne!(receive(&callee, b).ssrc, 0x1111_1111);
            send(&callee, b, seq);
            assert_ne!(receive(&caller, a).ssrc, 0x1111_1111);
        }
        let counts = bench.closed(a);
        assert_eq!((counts.packets_in, counts.packets_out, counts.dropped), (5, 5, 0));
        assert_eq!(counts.payload, Some(8));
        assert_eq!(bench.closed(b).packets_in, 5);
        bench.thread.stop();
    }

    #[test]
    fn an_ipv4_and_an_ipv6_socket_talk_through_a_joined_pair() {
        let mut bench = Bench::new(17_000);
        let (caller, callee) = (peer(), peer_at("[::1]:0"));
        let (a, b) = (bench.bound(), bench.bound_on(InterfaceId(1)));
        bench.order(Order::Open(a, spec(&caller)));
        bench.order(Order::Open(b, spec(&callee)));
        bench.order(Order::Join(a, b));
        bench.settle(a);
        for seq in 0..5 {
            send(&caller, a, seq);
            receive(&callee, b);
            send(&callee, b, seq);
            receive(&caller, a);
        }
        assert_eq!((bench.closed(a).packets_in, bench.closed(b).packets_in), (5, 5));
    }

    #[test]
    fn the_rtcp_of_a_flow_leaves_from_the_next_port_and_is_read_there() {
        let mut bench = Bench::new(23_000);
        let (caller, callee, rtcp) = (peer(), peer(), peer());
        let (a, b) = (bench.bound(), bench.bound());
        let mut to_caller = spec(&caller);
        to_caller.remote_rtcp = rtcp.local_addr().ok();
        bench.order(Order::Open(a, to_caller));
        bench.order(Order::Open(b, spec(&callee)));
        bench.order(Order::Join(a, b));
        bench.settle(a);
        send(&callee, b, 1);
        receive(&caller, a);
        bench.closed(a);
        bench.closed(b);
        let mut bytes = [0; 512];
        let (length, from) = rtcp.recv_from(&mut bytes).expect("the BYE comes");
        assert_eq!(from.port(), a.number() + 1);
        assert_eq!(bytes[length - 7], 203, "it ends with a BYE");
    }

    #[test]
    fn a_silent_pair_is_reported_dead() {
        let mut bench = Bench::new(21_000);
        let (caller, callee) = (peer(), peer());
        let (a, b) = (bench.bound(), bench.bound());
        for (port, peer) in [(a, &caller), (b, &callee)] {
            let mut spec = spec(peer);
            spec.timeout = Some(Duration::from_millis(10));
            bench.order(Order::Open(port, spec));
        }
        bench.order(Order::Join(a, b));
        assert_eq!(bench.report(), Report::Dead(a));
    }

    #[test]
    fn orders_are_obeyed_in_their_order_and_stopping_obeys_those_that_wait() {
        let mut bench = Bench::new(29_000);
        let caller = peer();
        let a = bench.bound();
        for _ in 0..100 {
            bench.order(Order::Open(a, spec(&caller)));
            bench.order(Order::Close(a));
            bench.order(Order::Bind(a));
        }
        bench.thread.stop();
        // How long a flow was quiet is the machine's affair.
        let reports = bench.reports.try_iter().map(|report| match report {
            Report::Closed(port, counts) => Report::Closed(
                port,
                Counts {
                    quiet: Duration::ZERO,
                    ..counts
                },
            ),
            other => other,
        });
        let reports: Vec<Report> = reports.collect();
        let once = [Report::Closed(a, Counts::default()), Report::Bound(a)];
        assert_eq!(reports, once.repeat(100));
    }

    #[test]
    fn a_port_whose_neighbour_is_taken_or_that_is_odd_or_foreign_is_not_bound() {
        let mut bench = Bench::new(27_000);
        let free = bench.bound();
        let (port, _taken) = (0..500)
            .map(|n| MediaPort(free.0 + 2 + 2 * n))
            .find_map(|port| {
                UdpSocket::bind(("127.0.0.1", port.number() + 1))
                    .ok()
                    .map(|socket| (port, socket))
            })
            .expect("one of 500 ports is free");
        for bad in [port, MediaPort(free.0 + 1), MediaPort(25_000)] {
            bench.order(Order::Bind(bad));
            assert_eq!(bench.report(), Report::NotBound(bad));
        }
        // A flow there is refused, but its end is answered all the same.
        bench.order(Order::Open(port, spec(&peer())));
        assert_eq!(bench.closed(port), Counts::default());
    }

    #[test]
    fn no_more_pairs_are_bound_than_the_thread_may_have() {
        let mut bench = Bench::new(19_000);
        for _ in 0..20 {
            bench.bound();
        }
        let port = MediaPort(bench.next);
        bench.order(Order::Bind(port));
        assert_eq!(bench.report(), Report::NotNow(port));
    }

    #[test]
    fn what_lies_on_a_resting_port_never_reaches_its_next_user() {
        // The thread stands still until its report is taken.
        let mut bench = Bench::with(25_000, crossbeam_channel::bounded(0));
        let (caller, callee) = (peer(), peer());
        let (a, b) = (bench.bound(), bench.bound());
        bench.order(Order::Bind(a));
        (0..20).for_each(|seq| send(&caller, a, seq));
        bench.order(Order::Open(a, spec(&caller)));
        bench.order(Order::Open(b, spec(&callee)));
        bench.order(Order::Join(a, b));
        assert_eq!(bench.report(), Report::Bound(a));
        bench.settle(a);
        send(&caller, a, 40);
        receive(&callee, b);
        assert_eq!(bench.closed(a).packets_in, 1);
    }
}
