//! Connections: who is let in, what comes by them, and their end.

use super::*;
use crate::call::trunk::secret::Demand;
use crate::sip::digest::{Algorithm, Asker};
use crate::transport::connections::Peer;

#[test]
fn whoever_may_call_from_anywhere_with_a_password_is_let_in_as_a_stranger_until_he_is_asked_something() {
    let (mut transport, _) = open_on(1, 1);
    let one = &mut transport.loops[0];
    let net = |(address, prefix): (&str, u8)| Cidr {
        network: address.parse().expect("an address"),
        prefix,
    };
    let with = |accept_from: &[(&str, u8)], auth: bool| {
        let mut trunk = Trunk::bare("road");
        trunk.accept_from = accept_from.iter().map(|one| net(*one)).collect();
        trunk.auth = auth.then(|| Demand {
            realm: "umbra.example".into(),
            asker: Asker::Server,
            algorithms: vec![Algorithm::Sha256],
            users: Vec::new(),
        });
        trunk
    };
    let source = "192.0.2.9".parse().expect("an address");
    for (accept_from, auth, wanted) in [
        (&[("0.0.0.0", 0)][..], true, None),
        (&[("0.0.0.0", 0)], false, Some(Peer::Trunk)),
        (&[("0.0.0.0", 0), ("192.0.2.0", 24)], true, Some(Peer::Trunk)),
        (&[("192.0.2.0", 24)], true, Some(Peer::Trunk)),
        (&[("198.51.100.0", 24)], true, Some(Peer::Stranger)),
    ] {
        let mut config = (*one.config).clone();
        config.trunks = vec![with(accept_from, auth)];
        one.config = Arc::new(config);
        for by in [Protocol::Tcp, Protocol::Tls] {
            assert_eq!(one.who_is_it(by, source), wanted, "{accept_from:?} {auth}");
        }
    }
}

fn tcp_listener(id: u8) -> Listener {
    Listener {
        id: ListenerId(id),
        transport: Protocol::Tcp,
        address: ([127, 0, 0, 1], 0).into(),
        advertised: ([127, 0, 0, 1], 0).into(),
    }
}

fn by_tcp(remote: SocketAddr) -> Path {
    Path {
        listener: ListenerId(0),
        transport: Protocol::Tcp,
        remote,
        flow: None,
        party: None,
    }
}

#[test]
fn every_shard_gets_its_own_calls_off_one_connection_and_answers_over_it() {
    use std::io::{Read, Write};
    let (mut transport, addresses) = open_with(vec![tcp_listener(0)], 3).expect("loopback is free");
    let threads = start(&mut transport, |me| {
        by(move |_, input, out| {
            if let Input::Packet { path, bytes } = input {
                let call_id = peek(bytes).expect("a message").call_id;
                assert!(me.is_home(call_id));
                out.send(path, format!("{:8}", String::from_utf8_lossy(call_id)).into());
            }
            None
        })
    });
    let mut friend = std::net::TcpStream::connect(addresses[0]).expect("it listens");
    friend.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let stream: Vec<u8> = (0..60).flat_map(|n| options(&format!("call-{n}"))).collect();
    for piece in stream.chunks(777) {
        friend.write_all(piece).expect("sent");
    }
    let mut answers = vec![0; 60 * 8];
    friend.read_exact(&mut answers).expect("all are answered");
    let mut answered: Vec<String> = answers
        .chunks(8)
        .map(|answer| String::from_utf8_lossy(answer).trim().to_owned())
        .collect();
    answered.sort();
    answered.dedup();
    assert_eq!(answered.len(), 60);
    assert_eq!(transport.stats.connections.load(Ordering::Relaxed), 1);
    stop(&transport, threads);
}

#[test]
fn a_refused_connection_is_told_to_every_shard_whichever_sent() {
    let (mut transport, _) = open_with(vec![tcp_listener(0)], 2).expect("loopback is free");
    let nobody = {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback is free");
        gone.local_addr().expect("bound")
    };
    let (threads, told) = start_telling_failures(&mut transport, move |out| {
        out.send(by_tcp(nobody), b"lost"[..].into());
    });
    // First the shard that has the listener's connections, then the other one.
    for sender in transport.doors.iter() {
        sender
            .tell(Message::Order(Command::Drain))
            .expect("there is room");
        assert_eq!(
            both_told(&told),
            [(0, nobody, Why::Refused), (1, nobody, Why::Refused)]
        );
    }
    stop(&transport, threads);
}

#[test]
fn when_the_last_connection_is_gone_nothing_is_waited_for_any_more() {
    let (mut transport, addresses) = open_with(vec![tcp_listener(0)], 1).expect("loopback is free");
    let mut main = transport.loops.remove(0);
    drop(std::net::TcpStream::connect(addresses[0]).expect("it listens"));
    let (mut inbox, mut fresh, mut ready) = (Inbox::default(), fresh_of(&main), Vec::new());
    let mut accepted = false;
    while !accepted || !main.connections.is_empty() {
        main.poller.wait(Some(PATIENCE), &mut ready).expect("no fault");
        for ready in &ready {
            let mut desk = Desk {
                handler: &mut |_, _: Input<'_>, _: &mut Outbox| None,
                outbox: &mut Outbox::default(),
                due: &mut None,
            };
            main.look(*ready, &mut inbox, &mut fresh, &mut desk);
        }
        accepted = true;
        assert!(main.sweep.is_some(), "a connection has its time");
    }
    main.sweep = Some(Instant::default());
    main.flush(&mut Outbox::default());
    assert_eq!(main.sweep, None);
}
