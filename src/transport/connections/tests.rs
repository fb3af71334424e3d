//! Tests of [`connections`](super) over loopback: real sockets, and a time that is only told.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use super::*;
use crate::base::limits::{
    TCP_CONNECT_MAX, TCP_IDLE_MAX, TCP_IDLE_STRANGER_MAX, TCP_LINGER, TCP_MESSAGE_MAX, TCP_STALL_MAX,
};
use crate::transport::poller::{Ready, Waker};
use crate::transport::tcp::{Accepted, Listener};

mod alive;
mod secure;

const PATIENCE: Duration = Duration::from_secs(20);
const HELLO: &[u8] = b"OPTIONS sip:x@h SIP/2.0\r\nl: 0\r\n\r\n";

/// One shard's connections, and a listener for them.
struct Shard {
    poller: Poller,
    listener: Listener,
    connections: Connections,
    stats: Arc<Stats>,
    transport: Transport,
    trunks: Vec<Trunk>,
    now: Instant,
}

impl Shard {
    fn on(ip: &str) -> Self {
        let waker = Waker::new().expect("a waker");
        let poller = Poller::new(&waker).expect("a poller");
        let stats = Arc::new(Stats::default());
        Self {
            poller,
            listener: Listener::bind(SocketAddr::new(ip.parse().expect("an address"), 0)).expect("free"),
            connections: Connections::new(Arc::clone(&stats), Arc::default(), Dscp::SIGNALLING),
            stats,
            transport: Transport::Tcp,
            trunks: Vec::new(),
            now: Instant::from_micros(1_000_000),
        }
    }

    fn new() -> Self {
        Self::on("127.0.0.1")
    }

    fn address(&self) -> SocketAddr {
        self.listener.address().expect("bound")
    }

    /// A friend connects and is taken in.
    fn connected(&mut self, peer: Peer) -> TcpStream {
        let friend = TcpStream::connect(self.address()).expect("somebody listens");
        friend.set_read_timeout(Some(PATIENCE)).expect("a socket");
        match self.listener.accept() {
            Accepted::One(stream, from) => {
                let Self { poller, now, .. } = self;
                let listener = (ListenerId(0), self.transport);
                self.connections
                    .accepted(poller, *now, listener, (stream, from), peer);
            }
            other => panic!("{other:?}"),
        }
        friend
    }

    /// Waits for something to happen at connections, and looks at it; the messages that came.
    fn round(&mut self) -> Vec<(Path, Vec<u8>)> {
        let mut ready: Vec<Ready> = Vec::new();
        self.poller.wait(Some(PATIENCE), &mut ready).expect("no fault");
        assert!(!ready.is_empty(), "nothing happens");
        let mut came = Vec::new();
        let trunks = (self.trunks.as_slice(), &Resolved::default());
        for ready in ready {
            if let Source::Connection(flow) = ready.source {
                self.connections
                    .look(&self.poller, self.now, flow, trunks, |path, bytes| {
                        came.push((path, bytes.to_vec()));
                    });
            }
        }
        came
    }

    /// Rounds until so many messages came.
    fn hear(&mut self, count: usize) -> Vec<(Path, Vec<u8>)> {
        let mut came = Vec::new();
        while came.len() < count {
            came.extend(self.round());
        }
        came
    }

    fn send(&mut self, to: Path, bytes: &[u8]) {
        let listening = self.address();
        self.connections
            .send(&self.poller, self.now, listening, to, bytes.to_vec());
        self.connections.write(&self.poller, self.now);
    }

    fn later(&mut self, time: Duration) {
        self.now = self.now + time;
        let trunks = (self.trunks.as_slice(), &Resolved::default());
        self.connections.sweep(self.now, trunks);
        self.connections.write(&self.poller, self.now);
    }

    fn open(&self) -> u64 {
        let counted = self.stats.connections.load(Ordering::Relaxed);
        assert_eq!(counted, self.connections.all.len() as u64);
        counted
    }

    /// Nothing of what is gone is kept.
    fn is_forgotten(&self) -> bool {
        self.open() == 0
            && self.connections.by_remote.is_empty()
            && self.connections.sources.is_empty()
            && self.connections.unwritten.is_empty()
    }

    fn failed(&mut self) -> Vec<(SocketAddr, Why)> {
        let failed = self.connections.take_failed();
        failed.into_iter().map(|(path, why)| (path.remote, why)).collect()
    }
}

fn to(remote: SocketAddr) -> Path {
    Path {
        listener: ListenerId(0),
        transport: Transport::Tcp,
        remote,
        flow: None,
        party: None,
    }
}

fn nobody() -> SocketAddr {
    let gone = TcpListener::bind("127.0.0.1:0").expect("loopback is free");
    gone.local_addr().expect("bound")
}

fn gateway() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is free");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).expect("something comes");
    bytes
}

fn is_closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    match stream.read(&mut byte) {
        Ok(length) => length == 0,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn split_and_pipelined_messages_come_out_whole_and_answers_go_back_by_their_connection() {
    let mut shard = Shard::new();
    let mut friend = shard.connected(Peer::Trunk);
    let stream = [b"\r\n\r\n", HELLO, HELLO, b"\r\n\r\n", HELLO].concat();
    let (first, rest) = stream.split_at(50);
    friend.write_all(first).expect("sent");
    let mut came = shard.hear(1);
    friend.write_all(rest).expect("sent");
    came.extend(shard.hear(2));
    assert!(came.iter().all(|(_, bytes)| bytes == HELLO) && came.len() == 3);
    let path = came[0].0;
    assert_eq!(path.remote, friend.local_addr().expect("bound"));
    assert_eq!(read(&mut friend, 4), b"\r\n\r\n", "a pong for each ping");
    // An answer names Via's port beside the connection; the connection counts.
    let answer = Path {
        remote: nobody(),
        ..path
    };
    shard.send(answer, b"answer");
    assert_eq!(read(&mut friend, 6), b"answer");
    assert_eq!(shard.open(), 1);
}

#[test]
fn an_answer_whose_connection_is_gone_goes_by_a_new_one_to_the_address_that_its_path_names() {
    let mut shard = Shard::new();
    let (listening, address) = gateway();
    let mut friend = shard.connected(Peer::Trunk);
    friend.write_all(HELLO).expect("sent");
    let path = shard.hear(1)[0].0;
    drop(friend);
    shard.round();
    assert!(shard.is_forgotten());
    shard.send(
        Path {
            remote: address,
            ..path
        },
        b"answer",
    );
    let (mut back, _) = listening.accept().expect("it connects");
    shard.round();
    assert_eq!(read(&mut back, 6), b"answer");
}

#[test]
fn a_connection_to_a_gateway_is_reused_and_opened_again_when_it_was_closed() {
    let mut shard = Shard::new();
    let (listening, address) = gateway();
    shard.send(to(address), b"one,");
    shard.send(to(address), b"two");
    let (mut first, from) = listening.accept().expect("it connects");
    assert_eq!(from.ip(), shard.address().ip(), "from where we listen");
    shard.round();
    assert_eq!(read(&mut first, 7), b"one,two");
    first.write_all(HELLO).expect("sent");
    let path = shard.hear(1)[0].0;
    assert_eq!((path.remote, shard.open()), (address, 1));
    drop(first);
    shard.round();
    // It had served: what was sent just then may be sent again.
    assert_eq!(shard.failed(), [(address, Why::Crossed)]);
    shard.send(path, b"three");
    let (mut second, _) = listening.accept().expect("it connects again");
    shard.round();
    assert_eq!(read(&mut second, 5), b"three");
    assert_eq!(shard.failed(), []);
}

#[test]
fn what_nobody_listens_for_is_refused_and_what_is_reset_is_closed() {
    let mut shard = Shard::new();
    let nobody = nobody();
    shard.send(to(nobody), b"lost");
    if shard.failed() != [(nobody, Why::Refused)] {
        // It is not told at once: by the next look.
        shard.round();
        assert_eq!(shard.failed(), [(nobody, Why::Refused)]);
    }
    assert!(shard.is_forgotten());
    assert_eq!(shard.stats.lost.load(Ordering::Relaxed), 1);

    let (listening, address) = gateway();
    shard.send(to(address), b"one");
    let (stream, _) = listening.accept().expect("it connects");
    let reset = socket2::SockRef::from(&stream);
    reset.set_linger(Some(Duration::ZERO)).expect("a socket");
    shard.round();
    drop(stream);
    while shard.open() > 0 {
        shard.round();
    }
    assert_eq!(shard.failed(), [(address, Why::Closed)]);
}

#[test]
fn a_connection_that_does_not_come_about_in_time_is_given_up() {
    let mut shard = Shard::new();
    let (_listening, address) = gateway();
    shard.send(to(address), b"never seen to be there");
    shard.later(TCP_CONNECT_MAX - Duration::from_millis(1));
    assert_eq!(shard.open(), 1);
    shard.later(Duration::from_millis(1));
    assert_eq!(shard.failed(), [(address, Why::Unreachable)]);
    assert!(shard.is_forgotten());
}

#[test]
fn bytes_that_can_not_be_followed_are_handed_on_once_and_the_connection_ends_after_the_answer() {
    let mut shard = Shard::new();
    let mut friend = shard.connected(Peer::Trunk);
    let broken = b"OPTIONS sip:x@h SIP/2.0\r\nl: -1\r\n\r\n";
    friend.write_all(&[broken, HELLO].concat()).expect("sent");
    let came = shard.hear(1);
    assert_eq!(came.len(), 1);
    assert_eq!(came[0].1, broken);
    friend.write_all(HELLO).expect("sent");
    assert_eq!(shard.round(), [], "nothing more is heard");
    shard.send(came[0].0, b"SIP/2.0 400");
    assert_eq!(read(&mut friend, 11), b"SIP/2.0 400");
    shard.later(TCP_LINGER);
    assert!(is_closed(&mut friend) && shard.is_forgotten());
}

#[test]
fn a_request_to_the_address_of_a_connection_that_is_being_ended_gets_a_new_one() {
    let mut shard = Shard::new();
    let mut friend = shard.connected(Peer::Trunk);
    friend.write_all(b"\n").expect("sent");
    shard.round();
    let address = friend.local_addr().expect("bound");
    let by_flow = Path {
        flow: Some(FlowHint(0)),
        party: None,
        ..to(address)
    };
    for way in [to(address), by_flow] {
        shard.send(way, b"BYE");
        assert!(
            shard.failed() == [(address, Why::Refused)] || shard.open() == 2,
            "it must not go by the old one"
        );
    }
}

#[test]
fn a_message_that_is_not_ended_in_time_ends_its_connection_however_it_drips() {
    let mut shard = Shard::new();
    let mut friend = shard.connected(Peer::Trunk);
    friend.write_all(HELLO).expect("sent");
    shard.hear(1);
    let step = TCP_MESSAGE_MAX / 10;
    shard.later(TCP_MESSAGE_MAX * 2);
    assert_eq!(shard.open(), 1, "between messages there is time");
    for drop in 0..10 {
        friend.write_all(&HELLO[drop..=drop]).expect("sent");
        shard.round();
        assert_eq!(shard.open(), 1, "drop {drop}");
        shard.later(step);
    }
    assert!(is_closed(&mut friend) && shard.is_forgotten());
}

#[test]
fn a_keep_alive_in_two_pieces_is_no_message_that_has_to_end() {
    let mut shard = Shard::new();
    let mut friend = shard.connected(Peer::Trunk);
    for piece in [b"\r".as_slice(), b"\n\r\n"] {
        friend.write_all(piece).expect("sent");
        shard.round();
    }
    assert_eq!(read(&mut friend, 2), b"\r\n", "it is answered");
    shard.later(TCP_MESSAGE_MAX * 2);
    assert_eq!(shard.open(), 1);
}

#[test]
fn a_request_by_a_stranger_s_connection_is_told_to_have_failed_with_it() {
    let mut shard = Shard::new();
    let mut stranger = shard.connected(Peer::Stranger);
    let remote = stranger.local_addr().expect("connected");
    shard.send(to(remote), b"SIP/2.0 200 OK");
    shard.later(TCP_IDLE_STRANGER_MAX);
    assert_eq!(read(&mut stranger, 14), b"SIP/2.0 200 OK");
    assert!(is_closed(&mut stranger) && shard.failed().is_empty());

    let stranger = shard.connected(Peer::Stranger);
    let remote = stranger.local_addr().expect("connected");
    shard.send(to(remote), HELLO);
    shard.later(TCP_IDLE_STRANGER_MAX);
    assert_eq!(shard.open(), 1, "an answer is awaited");
    drop(stranger);
    shard.round();
    assert_eq!(shard.failed(), [(remote, Why::Closed)]);
}

#[test]
fn a_silent_connection_ends_a_stranger_s_sooner() {
    let mut shard = Shard::new();
    let mut friend = shard.connected(Peer::Trunk);
    let mut stranger = shard.connected(Peer::Stranger);
    shard.later(TCP_IDLE_STRANGER_MAX);
    assert!(is_closed(&mut stranger));
    friend.write_all(HELLO).expect("sent");
    shard.hear(1);
    shard.later(TCP_IDLE_MAX - Duration::from_millis(1));
    assert_eq!(shard.open(), 1);
    shard.later(Duration::from_millis(1));
    assert!(is_closed(&mut friend) && shard.is_forgotten());
    assert_eq!(shard.failed(), [], "nobody waited for anything");
}

#[test]
fn whoever_takes_nothing_loses_its_connection_when_the_queue_is_full_or_the_time_over() {
    let message = vec![b'x'; 60_000];
    // The system's buffers take some of it.
    let most = TCP_QUEUE_BYTES_MAX + (64 << 20);
    let mut shard = Shard::new();
    let friend = shard.connected(Peer::Trunk);
    let address = friend.local_addr().expect("bound");
    let mut sent = 0;
    while shard.open() == 1 {
        shard.send(to(address), &message);
        sent += message.len();
        assert!(sent < most, "no end");
    }
    assert_eq!(shard.failed(), [(address, Why::Unreachable)]);
    assert!(shard.is_forgotten());

    let friend = shard.connected(Peer::Trunk);
    let address = friend.local_addr().expect("bound");
    while shard.connections.all.values().all(|one| one.stalled.is_none()) {
        shard.send(to(address), &message);
    }
    shard.later(TCP_STALL_MAX - Duration::from_millis(1));
    assert_eq!(shard.open(), 1);
    shard.later(Duration::from_millis(1));
    assert_eq!(shard.failed(), [(address, Why::Unreachable)]);
}

#[test]
fn a_stalled_reader_that_goes_on_gets_everything_in_order() {
    let mut shard = Shard::new();
    let mut friend = shard.connected(Peer::Trunk);
    let address = friend.local_addr().expect("bound");
    let mut wanted = Vec::new();
    for n in 0..200_u32 {
        if shard
            .connections
            .all
            .values()
            .any(|one| one.queued_bytes > TCP_QUEUE_BYTES_MAX / 2)
        {
            break;
        }
        let message = [&n.to_be_bytes()[..], &[b'y'; 50_000]].concat();
        shard.send(to(address), &message);
        wanted.extend(message);
    }
    let length = wanted.len();
    let reader = std::thread::spawn(move || read(&mut friend, length));
    while shard.connections.all.values().any(|one| !one.queue.is_empty()) {
        shard.round();
    }
    assert!(reader.join().expect("no panic") == wanted);
    assert!(shard.connections.all.values().all(|one| one.queued_bytes == 0));
}

#[test]
fn strangers_get_few_connections_and_make_room_for_trunks() {
    let mut shard = Shard::new();
    let mut strangers: Vec<TcpStream> = (0..TCP_PER_STRANGER_MAX)
        .map(|_| shard.connected(Peer::Stranger))
        .collect();
    let mut refused = shard.connected(Peer::Stranger);
    assert!(is_closed(&mut refused));
    assert_eq!(shard.stats.refused.load(Ordering::Relaxed), 1);
    assert_eq!(shard.open(), TCP_PER_STRANGER_MAX as u64);

    // The first stranger says something: now the second has been silent longest.
    shard.now = shard.now + Duration::from_secs(1);
    strangers[0].write_all(HELLO).expect("sent");
    shard.hear(1);
    let count = shard.stats.connections.load(Ordering::Relaxed);
    let others = TCP_ACCEPTED_MAX as u64 - count;
    shard.stats.connections.fetch_add(others, Ordering::Relaxed);
    let _friend = shard.connected(Peer::Trunk);
    let closed: Vec<usize> = (0..strangers.len())
        .filter(|at| {
            let stream = &mut strangers[*at];
            stream.set_nonblocking(true).expect("a socket");
            is_closed(stream)
        })
        .collect();
    assert_eq!(closed.len(), 1);
    assert_ne!(closed, [0]);
    assert_eq!(shard.stats.refused.load(Ordering::Relaxed), 1);
}

#[test]
fn connections_go_over_ipv6_too() {
    let mut shard = Shard::on("::1");
    let mut friend = shard.connected(Peer::Trunk);
    friend.write_all(HELLO).expect("sent");
    let path = shard.hear(1)[0].0;
    assert!(path.remote.is_ipv6());
    shard.send(path, b"answer");
    assert_eq!(read(&mut friend, 6), b"answer");
}

#[test]
fn the_packets_of_connections_either_way_are_as_urgent_as_the_conf_says() {
    for ip in ["127.0.0.1", "::1"] {
        let mut shard = Shard::on(ip);
        tcp::mark(&shard.listener, shard.address(), Dscp::SIGNALLING);
        let _friend = shard.connected(Peer::Trunk);
        let (listener, there) = {
            let listener = TcpListener::bind((ip, 0)).expect("loopback is free");
            let address = listener.local_addr().expect("bound");
            (listener, address)
        };
        shard.send(to(there), HELLO);
        let _taken = listener.accept().expect("we come");
        assert_eq!(shard.open(), 2);
        for connection in shard.connections.all.values() {
            let socket = socket2::SockRef::from(&connection.wire);
            let byte = if there.is_ipv4() {
                socket.tos_v4()
            } else {
                socket.tclass_v6()
            };
            assert_eq!(byte.expect("an option"), 0x60, "{ip} {:?}", connection.opened);
        }
    }
}
