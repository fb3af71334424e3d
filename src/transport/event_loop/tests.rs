//! Tests of [`event_loop`](super).

use std::cell::Cell;
use std::net::{IpAddr, UdpSocket};
use std::sync::mpsc;
use std::thread::JoinHandle;

use super::super::handed::Handed;
use super::*;
use crate::base::limits::SHARD_QUEUE;
use crate::call::config::Listener;
use crate::call::port::{Command, Why};
use crate::call::trunk::{Cidr, Trunk};
use crate::sip::path::Transport as Protocol;
use crate::sip::peek::{PeekKind, peek};

mod over_tcp;
mod waiting;

const PATIENCE: Duration = Duration::from_secs(20);
const KEY: [u64; 2] = [7, 9];

fn open_on(count: usize, sockets: u8) -> (Transport, Vec<SocketAddr>) {
    let listeners: Vec<Listener> = (0..sockets)
        .map(|id| Listener {
            id: ListenerId(id),
            transport: Protocol::Udp,
            address: ([127, 0, 0, 1], 0).into(),
            advertised: ([127, 0, 0, 1], 0).into(),
        })
        .collect();
    open_with(listeners, count).expect("loopback is free")
}

fn open_with(listeners: Vec<Listener>, count: usize) -> Result<(Transport, Vec<SocketAddr>), Error> {
    let clock = Clock::since(std::time::Instant::now());
    let carrier = Trunk {
        accept_from: vec![Cidr {
            network: IpAddr::from([127, 0, 0, 1]),
            prefix: 32,
        }],
        ..Trunk::bare("carrier")
    };
    // Whoever connects is a stranger in these tests, whoever sends datagrams is not.
    let is_udp = listeners.iter().all(|one| one.transport == Protocol::Udp);
    let config = Config {
        listeners,
        trunks: is_udp.then_some(carrier).into_iter().collect(),
        ..Config::on(([127, 0, 0, 1], 0).into())
    };
    let transport = open(
        &Arc::new(config),
        count,
        KEY,
        &Arc::default(),
        clock,
        &mut Handed::default(),
        &Arc::default(),
    )?;
    let addresses = transport.loops[0].addresses();
    Ok((transport, addresses))
}

/// A closure for a handler, with the lifetimes of one.
fn by<F: FnMut(Now, Input<'_>, &mut Outbox) -> Option<Instant>>(take: F) -> F {
    take
}

fn fresh_of(main: &EventLoop) -> Fresh {
    Fresh::new(
        main.homes.shard,
        Arc::clone(&main.config),
        Arc::clone(&main.resolved),
    )
}

fn friend() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is free");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    socket
}

fn options(call_id: &str) -> Vec<u8> {
    format!(
        "OPTIONS sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKa;rport\r\n\
         From: <sip:a@127.0.0.1>;tag=f\r\nTo: <sip:x@127.0.0.1>\r\nCall-ID: {call_id}\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}

/// Runs every shard in a thread of its own, with the handler that is made for it.
fn start<H: Handler>(
    transport: &mut Transport,
    handler_of: impl Fn(Shard) -> H + Clone + Send + 'static,
) -> Vec<JoinHandle<()>> {
    let shards = transport.loops.drain(..).map(|shard| {
        let handler_of = handler_of.clone();
        std::thread::spawn(move || {
            let handler = handler_of(shard.shard());
            shard.run(handler);
        })
    });
    shards.collect()
}

/// The shard, and what it was told of whom it could not reach.
type Failure = (usize, SocketAddr, Why);

/// Runs shards that send when they get an order, and say what they are told to have failed.
fn start_telling_failures(
    transport: &mut Transport,
    send: impl Fn(&mut Outbox) + Clone + Send + 'static,
) -> (Vec<JoinHandle<()>>, mpsc::Receiver<Failure>) {
    let (tell, told) = mpsc::channel();
    let threads = start(transport, move |me| {
        let (tell, send) = (tell.clone(), send.clone());
        by(move |_, input, out| {
            match input {
                Input::Order(Command::Drain) => send(out),
                Input::Failed(path, why) => tell.send((me.index, path.remote, why)).expect("heard"),
                _ => {}
            }
            None
        })
    });
    (threads, told)
}

/// What each of two shards was told, in their order.
fn both_told(told: &mpsc::Receiver<Failure>) -> [Failure; 2] {
    let mut both = [told.recv_timeout(PATIENCE), told.recv_timeout(PATIENCE)].map(|one| one.expect("both"));
    both.sort_by_key(|(index, ..)| *index);
    both
}

/// Ends the loops that run in these threads.
fn stop(transport: &Transport, threads: Vec<JoinHandle<()>>) {
    for door in transport.doors.iter() {
        door.tell(Message::Stop).expect("there is room");
    }
    for thread in threads {
        thread.join().expect("no panic");
    }
}

fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_535];
    let len = socket.recv(&mut buffer).expect("something comes");
    buffer.truncate(len);
    buffer
}

#[test]
fn what_comes_in_is_handed_over_and_what_is_sent_goes_out_in_order() {
    let (mut transport, addresses) = open_on(1, 2);
    let door = transport.doors[0].clone();
    let main = transport.loops.remove(0);
    let thread = std::thread::spawn(move || {
        main.run(by(|_, input, out| {
            if let Input::Packet { path, bytes } = input {
                for n in 0..100_u8 {
                    out.send(path, [bytes, &[n]].concat());
                }
            }
            None
        }));
    });
    let friend = friend();
    for address in addresses {
        friend.send_to(b"\r\n\r\n", address).expect("sent");
        friend.send_to(b"hello", address).expect("sent");
        for n in 0..100 {
            assert_eq!(receive(&friend), [b"hello".as_slice(), &[n]].concat());
        }
    }
    door.tell(Message::Stop).expect("there is room");
    thread.join().expect("no panic");
    assert_eq!(transport.stats.received.load(Ordering::Relaxed), 4);
    assert_eq!(transport.stats.sent.load(Ordering::Relaxed), 200);
}

#[test]
fn a_message_to_nobody_comes_back_as_refused_to_every_shard_and_others_still_arrive() {
    let (mut transport, _) = open_on(2, 1);
    let nobody = {
        let gone = friend();
        gone.local_addr().expect("bound")
    };
    let friend = friend();
    let there = friend.local_addr().expect("bound");
    let (threads, told) = start_telling_failures(&mut transport, move |out| {
        let to = |remote| Path::udp(ListenerId(0), remote);
        out.send(to(nobody), b"lost"[..].into());
        for _ in 0..50 {
            out.send(to(there), b"found"[..].into());
        }
    });
    // The shard that reads no socket sends; both hear of it.
    transport.doors[1]
        .tell(Message::Order(Command::Drain))
        .expect("there is room");
    for _ in 0..50 {
        assert_eq!(receive(&friend), b"found");
    }
    assert_eq!(
        both_told(&told),
        [(0, nobody, Why::Refused), (1, nobody, Why::Refused)]
    );
    stop(&transport, threads);
}

#[test]
fn a_shard_that_finds_the_error_while_sending_hears_of_it_too() {
    let (mut transport, _) = open_on(2, 1);
    let nobody = {
        let gone = friend();
        gone.local_addr().expect("bound")
    };
    let door = transport.doors[1].clone();
    // Shard 0, which reads the socket, never runs.
    let second = transport.loops.remove(1);
    let mut heard = None;
    second.run(by(|now, input, out| {
        if let Input::Failed(path, why) = input {
            heard = Some((path.remote, why));
            door.tell(Message::Stop).expect("there is room");
            return None;
        }
        if now.at.as_micros() > PATIENCE.as_micros() as u64 {
            door.tell(Message::Stop).expect("there is room");
        }
        out.send(Path::udp(ListenerId(0), nobody), b"lost"[..].into());
        Some(now.at + Duration::from_millis(1))
    }));
    assert_eq!(heard, Some((nobody, Why::Refused)));
}

#[test]
fn every_shard_gets_its_own_call_ids_whatever_socket_they_come_by() {
    let (mut transport, addresses) = open_on(3, 2);
    let (tell, told) = mpsc::channel();
    let threads = start(&mut transport, move |me| {
        let tell = tell.clone();
        by(move |_, input, _| {
            if let Input::Packet { bytes, .. } = input {
                let call_id = peek(bytes).expect("a message").call_id.to_vec();
                assert!(me.is_home(&call_id));
                tell.send((me.index, call_id)).expect("heard");
            }
            None
        })
    });
    let friend = friend();
    for n in 0..60 {
        friend
            .send_to(&options(&format!("call-{n}")), addresses[n % 2])
            .expect("sent");
    }
    let mut seen = std::collections::HashSet::new();
    let mut by_shard = [0; 3];
    while seen.len() < 60 {
        let (index, call_id) = told.recv_timeout(PATIENCE).expect("all arrive");
        by_shard[index] += 1;
        assert!(seen.insert(call_id), "once");
    }
    assert!(by_shard.iter().all(|n| *n > 0), "{by_shard:?}");
    stop(&transport, threads);
}

#[test]
fn a_new_request_for_a_shard_with_a_full_queue_gets_503_and_a_calls_message_passes() {
    let (mut transport, addresses) = open_on(2, 1);
    // Shard 1 never runs: its queue fills up.
    let mut busy = transport.loops.remove(1);
    let main = transport.loops.remove(0);
    let call_id = (0..)
        .map(|n| format!("call-{n}"))
        .find(|id| busy.shard().is_home(id.as_bytes()))
        .expect("some hash there");
    let request = options(&call_id);
    let path = Path::udp(ListenerId(0), ([127, 0, 0, 1], 9).into());
    let waiting = || Packet {
        path,
        bytes: request.clone().into(),
    };
    for _ in 0..SHARD_QUEUE {
        let handed = transport.doors[1].hand_over(waiting(), PeekKind::NewRequest, Instant::default());
        assert!(handed.is_ok(), "there is room");
    }
    let thread = std::thread::spawn(move || main.run(by(|_, _, _| None)));
    let friend = friend();
    let in_call = String::from_utf8(request.clone())
        .expect("text")
        .replace("To: <sip:x@127.0.0.1>", "To: <sip:x@127.0.0.1>;tag=t");
    friend.send_to(in_call.as_bytes(), addresses[0]).expect("sent");
    friend.send_to(&request, addresses[0]).expect("sent");
    let answer = String::from_utf8(receive(&friend)).expect("text");
    assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
    let told = ["1", "2"].map(|wait| format!("\r\nRetry-After: {wait}\r\n"));
    assert!(told.iter().any(|told| answer.contains(told)), "{answer}");
    friend.send_to(&request, addresses[0]).expect("sent");
    let again = String::from_utf8(receive(&friend)).expect("text");
    assert_eq!(again, answer, "the same for every repetition");
    // A stranger's is not answered: it is the second of the two that the trunk's answer follows.
    let stranger = UdpSocket::bind("127.0.0.2:0").expect("loopback is free");
    stranger.send_to(&request, addresses[0]).expect("sent");
    friend.send_to(&request, addresses[0]).expect("sent");
    receive(&friend);
    stranger.set_nonblocking(true).expect("a socket");
    assert!(stranger.recv(&mut [0; 1_500]).is_err());
    transport.doors[0].tell(Message::Stop).expect("there is room");
    thread.join().expect("no panic");
    assert_eq!(transport.stats.shed.load(Ordering::Relaxed), 3);
    assert_eq!(transport.stats.lost.load(Ordering::Relaxed), 1);

    let mut mail = Waiting::default();
    transport.doors[1].take(&mut mail);
    assert_eq!(mail.in_call.len(), 1, "the message of a call is not shed");
    assert_eq!(&*mail.in_call[0].bytes, in_call.as_bytes());
    let mut ready = Vec::new();
    busy.poller
        .wait(Some(Duration::ZERO), &mut ready)
        .expect("no fault");
}

#[test]
fn a_calls_message_behind_a_flood_of_new_requests_passes_them() {
    // As many as the smallest of systems' buffers holds.
    const FLOOD: usize = 250;
    let (mut transport, addresses) = open_on(1, 1);
    let door = transport.doors[0].clone();
    let main = transport.loops.remove(0);
    let friend = friend();
    for n in 0..FLOOD {
        let fresh = options(&format!("call-{n}"));
        friend.send_to(&fresh, addresses[0]).expect("sent");
    }
    let in_call = String::from_utf8(options("call-0"))
        .expect("text")
        .replace("To: <sip:x@127.0.0.1>", "To: <sip:x@127.0.0.1>;tag=t");
    friend.send_to(in_call.as_bytes(), addresses[0]).expect("sent");
    let (mut new, mut before) = (0, None);
    main.run(by(|_, input, _| {
        if let Input::Packet { bytes, .. } = input {
            if bytes == in_call.as_bytes() {
                before = Some(new);
            } else {
                new += 1;
            }
            if new == FLOOD {
                door.tell(Message::Stop).expect("there is room");
            }
        }
        None
    }));
    let before = before.expect("it came");
    assert!(before <= FRESH_BATCH, "behind {before} new requests");
}

#[test]
fn what_came_while_something_else_was_done_is_stamped_with_its_own_time() {
    let (mut transport, addresses) = open_on(1, 2);
    let door = transport.doors[0].clone();
    let main = transport.loops.remove(0);
    let clock = main.clock.clone();
    let friend = friend();
    friend.send_to(b"first", addresses[0]).expect("sent");
    friend.send_to(b"second", addresses[1]).expect("sent");
    let (mut packets, mut before) = (0, Now::default());
    main.run(by(|now, input, _| {
        match input {
            Input::Packet { .. } => {
                assert!(
                    now.at >= before.at,
                    "older than what was known before it was read"
                );
                packets += 1;
                before = clock.now();
                if packets == 2 {
                    door.tell(Message::Order(Command::Drain)).expect("there is room");
                    door.tell(Message::Stop).expect("there is room");
                    before = clock.now();
                }
            }
            Input::Order(_) => assert!(now.at >= before.at, "older than its sending"),
            _ => {}
        }
        None
    }));
    assert_eq!(packets, 2);
}

#[test]
fn a_timeout_comes_when_it_was_asked_for_and_not_before() {
    let (mut transport, _) = open_on(1, 1);
    let door = transport.doors[0].clone();
    let main = transport.loops.remove(0);
    let mut asked = None;
    let mut timeouts = 0;
    main.run(by(|now, input, _| {
        if matches!(input, Input::Timeout) {
            timeouts += 1;
            if let Some(asked) = asked {
                assert!(now.at >= asked, "too early");
            }
            if timeouts == 5 {
                door.tell(Message::Stop).expect("there is room");
                return None;
            }
        }
        asked = Some(now.at + Duration::from_millis(3));
        asked
    }));
    assert_eq!(timeouts, 5);
}

#[test]
fn an_address_that_somebody_has_is_named() {
    let taken = friend();
    let address = taken.local_addr().expect("bound");
    let listener = Listener {
        id: ListenerId(0),
        transport: Protocol::Udp,
        address,
        advertised: address,
    };
    let error = open_with(vec![listener], 1).err().map(|e| e.to_string());
    assert!(error.is_some_and(|e| e.starts_with(&format!("can't listen on {address}: "))));
}

/// Takes packets once it was told to.
struct Shy {
    may: bool,
    was_asked: Cell<bool>,
    told: mpsc::Sender<&'static str>,
}

impl Handler for Shy {
    fn is_ready(&self) -> bool {
        self.was_asked.set(true);
        self.may
    }

    fn take(&mut self, _: Now, input: Input<'_>, _: &mut Outbox) -> Option<Instant> {
        let what = match input {
            Input::Packet { .. } if self.was_asked.get() => "packet",
            Input::Packet { .. } => "a packet without a question",
            Input::Order(_) => {
                self.may = true;
                "order"
            }
            Input::Timeout
            | Input::Failed(..)
            | Input::Media(_)
            | Input::Recorded(_)
            | Input::Advice(..)
            | Input::Config(_)
            | Input::Resolved(_) => return None,
        };
        self.told.send(what).expect("heard");
        None
    }
}

#[test]
fn packets_wait_until_the_handler_is_ready_and_messages_of_other_threads_do_not() {
    let (mut transport, addresses) = open_on(1, 1);
    let door = transport.doors[0].clone();
    let main = transport.loops.remove(0);
    let friend = friend();
    friend.send_to(b"hello", addresses[0]).expect("sent");
    let (told, tell) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        main.run(Shy {
            may: false,
            was_asked: Cell::new(false),
            told,
        })
    });
    door.tell(Message::Order(Command::Drain)).expect("there is room");
    assert_eq!(tell.recv_timeout(PATIENCE), Ok("order"));
    assert_eq!(tell.recv_timeout(PATIENCE), Ok("packet"));
    door.tell(Message::Stop).expect("there is room");
    thread.join().expect("no panic");
}
