use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use super::*;
use crate::base::id::Id;
use crate::call::media::InterfaceId;
use crate::rtp::clip::{Clip, Coding, Play, Repeats};
use crate::rtp::dtmf::{Digit, Key};
use crate::rtp::flow::{Counts, MediaNat, Payload, RtcpPort, Stream, Way};
use crate::rtp::packet;
use crate::rtp::tap::{self, Channel, Tap};

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

    fn with(first: u16, reports: (Sender<Report>, Receiver<Report>)) -> Self {
        Self::recording(first, reports, None)
    }

    fn recording(
        first: u16,
        (sender, reports): (Sender<Report>, Receiver<Report>),
        taps: Option<Producer>,
    ) -> Self {
        let settings = Settings {
            addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            dscp: Dscp::VOICE,
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
        let thread = MediaThread::start(0, settings, Chance::from_number(1), report, taps);
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
        coding: Some(Coding::A),
        is_event: false,
    };
    Box::new(FlowSpec {
        remote: Some(remote),
        remote_rtcp: None,
        rtcp_port: RtcpPort::Own,
        stream: Stream::Rtp,
        payloads: [pcma].into_iter().collect(),
        way: Way::Both,
        nat: MediaNat::Strict,
        media_from: Default::default(),
        timeout: None,
        security: None,
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
fn what_is_heard_is_recorded_from_the_order_on_until_the_flow_ends() {
    let (producer, mut consumer) = tap::ring(10_000);
    let mut bench = Bench::recording(15_000, crossbeam_channel::unbounded(), Some(producer));
    let (caller, callee) = (peer(), peer());
    let (a, b) = (bench.bound(), bench.bound());
    bench.order(Order::Open(a, spec(&caller)));
    bench.order(Order::Open(b, spec(&callee)));
    bench.order(Order::Join(a, b));
    bench.settle(a);
    let tap = Tap {
        recording: Id::from_bits(7),
        channel: Channel::Caller,
    };
    let mut sent = Vec::new();
    for seq in 0..4 {
        if seq == 1 {
            bench.order(Order::Tap(b, Some(tap)));
            bench.settle(b);
        }
        send(&caller, a, seq);
        sent.push(receive(&callee, b).seq);
        send(&callee, b, seq);
        receive(&caller, a);
    }
    bench.closed(b);
    bench.order(Order::Open(b, spec(&callee)));
    bench.order(Order::Join(a, b));
    bench.settle(b);
    send(&caller, a, 4);
    receive(&callee, b);
    let mut recorded = Vec::new();
    consumer.take(|heard| {
        assert_eq!((heard.tap, heard.payload), (tap, &[0xd5; 160][..]));
        recorded.push(heard.seq);
    });
    assert_eq!(recorded, sent[1..]);
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

#[test]
fn a_key_is_sent_beat_by_beat_without_any_packet_coming_in() {
    let mut bench = Bench::new(25_000);
    let (caller, callee) = (peer(), peer());
    let (a, b) = (bench.bound(), bench.bound());
    let mut to_callee = spec(&callee);
    to_callee.payloads.push(Payload {
        number: 101,
        other: None,
        clock_hz: 8_000,
        coding: None,
        is_event: true,
    });
    bench.order(Order::Open(a, spec(&caller)));
    bench.order(Order::Open(b, to_callee));
    bench.order(Order::Join(a, b));
    let key = Key::of(b'5').expect("a key");
    let lasts = Duration::from_millis(60);
    bench.order(Order::Digit(b, Digit { key, lasts }));
    let heard: Vec<_> = (0..5).map(|_| receive(&callee, b)).collect();
    assert!(heard.iter().all(|header| header.payload_type == 101));
    assert!(heard.iter().all(|header| header.timestamp == heard[0].timestamp));
    let markers: Vec<_> = heard.iter().map(|header| header.marker).collect();
    assert_eq!(markers, [true, false, false, false, false]);
    assert_eq!(bench.closed(b).digits, 1);
}

#[test]
fn the_flows_of_a_call_that_goes_on_bind_their_ports_and_one_that_somebody_took_is_told() {
    let bench = Bench::new(13_000);
    let (caller, callee) = (peer(), peer());
    // Free ports, and nothing of ours on them any more.
    let mut former = Bench::new(13_000);
    let [a, b, taken] = [former.bound(), former.bound(), former.bound()];
    former.thread.stop();
    bench.order(Order::Resume(a, spec(&caller)));
    bench.order(Order::Resume(b, spec(&callee)));
    bench.order(Order::Join(a, b));
    assert_eq!(
        [bench.report(), bench.report()],
        [Report::Bound(a), Report::Bound(b)]
    );
    bench.settle(b);
    for seq in 700..703 {
        send(&caller, a, seq);
        assert_eq!(receive(&callee, b).marker, seq == 700);
    }
    assert_eq!(bench.closed(a).packets_in, 3);
    let _somebody = UdpSocket::bind(("127.0.0.1", taken.number())).expect("it is free");
    bench.order(Order::Resume(taken, spec(&caller)));
    assert_eq!(bench.report(), Report::NotBound(taken));
    assert_eq!(bench.closed(taken), Counts::default());
}

#[test]
fn a_sound_is_sent_frame_by_frame_on_the_stream_that_the_peer_hears_already() {
    let mut bench = Bench::new(25_000);
    let (caller, callee) = (peer(), peer());
    let (a, b) = (bench.bound(), bench.bound());
    bench.order(Order::Open(a, spec(&caller)));
    bench.order(Order::Open(b, spec(&callee)));
    bench.order(Order::Join(a, b));
    bench.settle(b);
    send(&callee, b, 3);
    let relayed = receive(&caller, a);
    let clip = Clip::new(&[1_000; 160], Repeats::Forever);
    let play = Play::new(Arc::new(clip), Coding::A, 8);
    bench.order(Order::Play(a, Box::new(play)));
    let mut last = relayed;
    for n in 0..10 {
        let heard = receive(&caller, a);
        assert_eq!((heard.ssrc, heard.marker), (last.ssrc, n == 0));
        assert_eq!(heard.seq, last.seq.wrapping_add(1));
        if n > 0 {
            // However late the thread was.
            assert_eq!(heard.timestamp.wrapping_sub(last.timestamp) % 160, 0);
        }
        last = heard;
    }
    bench.order(Order::Hush(a));
    bench.settle(a);
    // What was sent before.
    caller.set_nonblocking(true).expect("it can be");
    while caller.recv(&mut [0; 200]).is_ok() {}
    caller.set_nonblocking(false).expect("it can be");
    send(&callee, b, 4);
    let again = receive(&caller, a);
    assert!(again.marker && again.ssrc == last.ssrc);
    assert!(bench.closed(a).packets_out >= 12);
}
