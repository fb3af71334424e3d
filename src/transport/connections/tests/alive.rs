//! Keep-alives of ours on connections to gateways.

use super::*;
use crate::base::limits::PONG_MAX;
use crate::call::targets::{Place, Target};
use crate::call::trunk::Gateway;

const EVERY: Duration = Duration::from_secs(100);
const PING: &[u8] = b"\r\n\r\n";

/// A shard that has sent to a gateway of a trunk that wants to be kept alive so often, and the gateway's end.
fn talking(every: Option<Duration>) -> (Shard, TcpStream) {
    let mut shard = Shard::new();
    let (listening, address) = gateway();
    let place = Place::At(Target {
        transport: Transport::Tcp,
        address,
    });
    shard.trunks = vec![Trunk {
        gateways: vec![Gateway {
            place,
            rank: Default::default(),
        }],
        keepalive: every,
        ..Trunk::bare("carrier")
    }];
    shard.send(to(address), b"one");
    let (mut stream, _) = listening.accept().expect("it connects");
    shard.round();
    assert_eq!(read(&mut stream, 3), b"one");
    // It is found out whose the connection is.
    shard.later(Duration::ZERO);
    (shard, stream)
}

/// Everything that has come by now, if nothing more is on the way.
fn waiting(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_nonblocking(true).expect("a socket");
    let mut bytes = [0; 64];
    let length = stream.read(&mut bytes).unwrap_or(0);
    stream.set_nonblocking(false).expect("a socket");
    bytes[..length].to_vec()
}

#[test]
fn a_gateway_is_pinged_and_one_that_answered_before_and_does_not_again_is_gone() {
    let (mut shard, mut stream) = talking(Some(EVERY));
    let remote = stream.local_addr().expect("bound");
    shard.later(EVERY * 79 / 100);
    assert_eq!(waiting(&mut stream), b"", "too early");
    shard.later(EVERY * 21 / 100);
    assert_eq!(read(&mut stream, 4), PING);
    let sent = shard.stats.sent.load(Ordering::Relaxed);
    stream.write_all(b"\r\n").expect("sent");
    assert_eq!(shard.round(), [], "a pong is no message, and no ping");
    shard.later(PONG_MAX);
    assert_eq!(shard.open(), 1);
    // The next one, and a message of theirs behind the pong.
    shard.later(EVERY);
    assert_eq!(read(&mut stream, 4), PING);
    stream.write_all(&[b"\r\n", HELLO].concat()).expect("sent");
    assert_eq!(shard.hear(1).len(), 1);
    shard.later(EVERY);
    assert_eq!(read(&mut stream, 4), PING);
    shard.later(PONG_MAX - Duration::from_millis(1));
    assert_eq!((shard.open(), waiting(&mut stream)), (1, Vec::new()));
    shard.later(Duration::from_millis(1));
    assert_eq!(shard.failed(), [(remote, Why::Unreachable)]);
    assert!(shard.is_forgotten());
    assert_eq!(shard.stats.dead.load(Ordering::Relaxed), 1);
    assert_eq!(
        shard.stats.sent.load(Ordering::Relaxed),
        sent,
        "pings are no messages"
    );
}

#[test]
fn a_gateway_that_never_answers_a_ping_goes_on_to_be_one() {
    let (mut shard, mut stream) = talking(Some(EVERY));
    for _ in 0..20 {
        shard.later(EVERY);
        assert_eq!(read(&mut stream, 4), PING);
        shard.later(PONG_MAX);
    }
    // What is silent else is closed after ten minutes.
    assert_eq!((shard.open(), shard.failed()), (1, Vec::new()));
}

#[test]
fn pings_of_theirs_are_answered_while_an_answer_to_ours_is_awaited() {
    let (mut shard, mut stream) = talking(Some(EVERY));
    shard.later(EVERY);
    assert_eq!(read(&mut stream, 4), PING);
    stream.write_all(PING).expect("sent");
    shard.round();
    assert_eq!(read(&mut stream, 2), b"\r\n");
    stream.write_all(b"\r\n").expect("sent");
    shard.round();
    shard.later(PONG_MAX);
    assert_eq!((shard.open(), waiting(&mut stream)), (1, Vec::new()));
}

#[test]
fn only_connections_of_ours_to_trunks_that_want_it_are_kept_alive() {
    let (mut shard, mut stream) = talking(None);
    let mut friend = shard.connected(Peer::Trunk);
    shard.later(EVERY);
    assert_eq!(
        (waiting(&mut stream), waiting(&mut friend)),
        (Vec::new(), Vec::new())
    );
    // Another conf.
    shard.trunks[0].keepalive = Some(EVERY);
    let Shard {
        connections, trunks, ..
    } = &mut shard;
    connections.set_trunks((trunks, &Resolved::default()));
    shard.later(Duration::ZERO);
    shard.later(EVERY);
    assert_eq!(read(&mut stream, 4), PING);
    assert_eq!(waiting(&mut friend), b"");
}
