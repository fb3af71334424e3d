//! Processor time for a message from an address of no trunk: whoever floods us with them costs so much, and leaves nothing.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::held::{address, invite};
use crate::process::{cpu_seconds, drops};
use crate::rtp::BarePacket;
use crate::server::{A, B, CALLEE, Server, Setup, X, free_address};
use crate::{Floor, Length, Rounds, Row};

/// Where the flood comes from: the trunk takes calls from the carrier's and the callee's address only.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);
/// Messages a second.
const PER_S: u64 = 20_000;
/// How much more than the bare loop, which receives a packet and sends one, a message may cost.
const FLOOR: f64 = 1.0;

/// One row for each kind of message.
pub fn measure(length: Length) -> Vec<Row> {
    let server = Server::start(&Setup {
        gateway: free_address(CALLEE),
        media_nat: "strict",
        log: "warn",
        calls: 50,
        also: Vec::new(),
    });
    server.bind(X, A, B, "");
    let conf = server.folder().join("trunks.toml");
    let text = fs::read_to_string(&conf).expect("the server's conf");
    fs::write(&conf, text.replace("127.0.0.0/8", "127.0.0.2/31")).expect("our own folder");
    let banning = |after: u32| {
        let conf = server.folder().join("umbra.toml");
        let text = fs::read_to_string(&conf).expect("the server's conf");
        let own = text.split("[bans]").next().unwrap_or_default();
        fs::write(&conf, format!("{own}[bans]\nafter = {after}\n")).expect("our own folder");
        server.done("reload");
    };
    let socket = UdpSocket::bind((STRANGER, 0)).expect("loopback is free");
    let here = address(&socket);
    let call = invite("stranger", here, server.sip, SocketAddr::new(here.ip(), 40_000));
    let bare_packet = BarePacket::new();
    let (rounds, seconds) = (length.choose(1, 5), length.choose(0.5, 3.0));
    let kinds = [
        ("INVITE", 0, call.clone()),
        ("OPTIONS", 0, call.replace("INVITE", "OPTIONS")),
        ("REGISTER", 0, call.replace("INVITE", "REGISTER")),
        ("garbage", 0, "\u{7}\u{1}no SIP at all; ".repeat(30)),
        ("any, once banned", 20, call),
    ];
    let mut rows = Vec::new();
    for (kind, after, message) in kinds {
        banning(after);
        let (mut found, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let full = drops(server.sip);
        for _ in 0..rounds {
            let before = cpu_seconds(server.pid());
            let sent = flood(&socket, server.sip, &message, seconds);
            let us = (cpu_seconds(server.pid()) - before) * 1e6 / sent as f64;
            let bare_us = bare_packet.us(seconds.min(2.0));
            found.push(us);
            bare.push(bare_us);
            ratios.push(us / bare_us);
        }
        let ratio = Rounds::of(ratios);
        rows.push(Row {
            ours: Rounds::of(found).show("µs"),
            bare: Rounds::of(bare).show("µs"),
            ratio: ratio.show("×"),
            floor: Some(Floor::at_most(FLOOR, "×", ratio.median())),
            ..Row::new(
                &format!("CPU for a stranger's message: {kind}"),
                format!(
                    "{PER_S} a second, {rounds} × {seconds} s, {} found the socket's buffer full; bare: epoll, recv, send of a packet",
                    drops(server.sip) - full
                ),
            )
        });
    }
    rows
}

/// Sends one message again and again; how often.
fn flood(socket: &UdpSocket, there: SocketAddr, message: &str, seconds: f64) -> u64 {
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed().as_secs_f64() < seconds {
        let wanted = (began.elapsed().as_secs_f64() * PER_S as f64) as u64;
        while sent < wanted {
            socket
                .send_to(message.as_bytes(), there)
                .expect("loopback takes it");
            sent += 1;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    sent.max(1)
}
