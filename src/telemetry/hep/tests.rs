use std::io::Read;
use std::net::{TcpListener, UdpSocket};

use super::*;
use crate::sip::path::Transport;
use crate::sip::seen::Passed;

const PATIENCE: Duration = Duration::from_secs(20);

fn config(server: SocketAddr, by: By) -> Config {
    Config {
        server,
        by,
        capture_id: 7,
        password: Password::of("secret"),
        numbers: Numbers::Masked,
    }
}

fn started(config: Config) -> (Exporter, Arc<Stats>) {
    let stats = Arc::new(Stats::default());
    let exporter = Exporter::start(config, [1; 32], stats.clone()).expect("a thread");
    (exporter, stats)
}

fn seen(messages: &[&str]) -> Seen {
    let mut seen = Seen::default();
    let passed = Passed {
        at: Duration::from_secs(1),
        from: ([127, 0, 0, 1], 5_060).into(),
        to: ([127, 0, 0, 2], 5_060).into(),
        by: Transport::Udp,
    };
    messages
        .iter()
        .for_each(|message| seen.push(passed, message.as_bytes()));
    seen
}

fn message(call_id: &str) -> String {
    format!(
        "OPTIONS sip:13800000001@h SIP/2.0\r\nTo: <sip:x@h>\r\nCall-ID: {call_id}\r\nContent-Length: 0\r\n\r\n"
    )
}

fn receiver() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is free");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

fn receive(socket: &UdpSocket) -> String {
    let mut bytes = [0; 65_535];
    let length = socket.recv(&mut bytes).expect("a packet");
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

#[test]
fn both_legs_leave_under_one_name_masked_and_with_the_key() {
    let (server, address) = receiver();
    let (exporter, stats) = started(config(address, By::Udp));
    exporter.leg(Id::from_bits(1), b"in@h"[..].into(), b"out"[..].into());
    exporter.saw(seen(&[&message("in@h"), "garbage", &message("out")]));
    for _ in 0..2 {
        let packet = receive(&server);
        assert!(
            packet.starts_with("HEP3") && packet.contains("secret"),
            "{packet}"
        );
        assert!(packet.contains("\0\0\0\u{11}\0\u{a}in@h"), "{packet}");
        assert!(packet.contains("sip:138****0001@h"), "{packet}");
    }
    exporter.finish(PATIENCE);
    assert_eq!(stats.sent.load(Ordering::Relaxed), 2);
    assert_eq!(stats.unreadable.load(Ordering::Relaxed), 1);
}

#[test]
fn what_waits_is_sent_before_the_end() {
    let (server, address) = receiver();
    let (exporter, stats) = started(config(address, By::Udp));
    for n in 0..50 {
        exporter.saw(seen(&[&message(&format!("call-{n}"))]));
    }
    exporter.finish(PATIENCE);
    assert_eq!(stats.sent.load(Ordering::Relaxed), 50);
    assert!((0..50).all(|n| receive(&server).contains(&format!("call-{n}\r\n"))));
}

#[test]
fn over_tcp_packets_follow_one_another() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is free");
    let address = listener.local_addr().expect("bound");
    let (exporter, _) = started(config(address, By::Tcp));
    exporter.saw(seen(&[&message("one"), &message("two")]));
    let (mut stream, _) = listener.accept().expect("it connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    for call_id in ["one", "two"] {
        let mut head = [0; 6];
        stream.read_exact(&mut head).expect("a packet");
        let mut rest = vec![0; usize::from(u16::from_be_bytes([head[4], head[5]])) - 6];
        stream.read_exact(&mut rest).expect("the rest of it");
        assert!(head.starts_with(b"HEP3"));
        assert!(String::from_utf8_lossy(&rest).contains(&format!("Call-ID: {call_id}\r\n")));
    }
}

#[test]
fn nobody_there_is_counted_and_costs_nothing_else() {
    let gone = TcpListener::bind("127.0.0.1:0").expect("loopback is free");
    let address = gone.local_addr().expect("bound");
    drop(gone);
    let (exporter, stats) = started(config(address, By::Tcp));
    exporter.saw(seen(&[&message("one"), &message("two")]));
    exporter.finish(PATIENCE);
    assert_eq!(stats.failed.load(Ordering::Relaxed), 2);
}

#[test]
fn a_full_queue_drops_and_counts() {
    let stats = Arc::new(Stats::default());
    // Nobody takes anything out of this one's queue.
    let stuck = Exporter {
        shared: Arc::default(),
        stats: stats.clone(),
    };
    let large = "x".repeat(60_000);
    let fit = HEP_QUEUE_BYTES / seen(&[&large, &large]).room();
    for _ in 0..fit + 3 {
        stuck.saw(seen(&[&large, &large]));
    }
    assert_eq!(stats.dropped.load(Ordering::Relaxed), 6);
    for n in 0..HEP_QUEUE_NEWS {
        stuck.over(Id::from_bits(n as u128));
    }
    assert_eq!(stuck.shared.queue().news.len(), HEP_QUEUE_NEWS);
}
