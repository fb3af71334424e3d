//! The phones' connections to the real server over TCP and TLS: taken, opened, read and written.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use umbra::sip::path::Transport;

use super::Live;
use super::line::Line;
use crate::support::stage::Packet;
use crate::support::text::Msg;

/// The connections over TCP and TLS: each by the address that its phone goes by, and the other end.
pub type Lines = Arc<Mutex<HashMap<(SocketAddr, SocketAddr), Line>>>;

/// Bytes that are written to a connection at once: few, so that the server gets its messages in pieces.
const PIECE: usize = 97;

impl Live {
    /// Connections to this address are taken, and read, from now on.
    pub(super) fn open_door(&mut self, at: SocketAddr) {
        let listener = TcpListener::bind(at).expect("a phone's address is free");
        listener.set_nonblocking(true).expect("a socket");
        let wanted = Arc::new(AtomicBool::new(true));
        let (still, lines, told) = (wanted.clone(), self.lines.clone(), self.mouth.clone());
        let is_secure = self.setup.stream_at(at) == Transport::Tls;
        let terms = self.terms.clone().filter(|_| is_secure);
        let door = thread::spawn(move || {
            while still.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, from)) => {
                        stream.set_nonblocking(false).expect("a socket");
                        let line = match &terms {
                            Some(terms) => Line::called(stream, terms),
                            None => Line::open(stream),
                        };
                        read_line(&lines, &told, (at, from), line);
                    }
                    Err(_) => thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        self.doors.insert(at, (wanted, door));
    }

    /// Sends over TCP: by the connection to there, or to where the server listens, or by a new one.
    pub(super) fn say_on_a_line(&mut self, packet: Packet) {
        let umbra = self.setup.umbra_near(packet.from);
        let known = |to| {
            let lines = self.lines.lock().expect("no panic");
            lines.get(&(packet.from, to)).cloned()
        };
        let line = match known(packet.to).or_else(|| known(umbra)) {
            Some(line) => line,
            None => {
                let socket =
                    socket2::Socket::new(socket2::Domain::for_address(umbra), socket2::Type::STREAM, None)
                        .expect("a socket");
                let home = SocketAddr::new(packet.from.ip(), 0);
                socket.bind(&home.into()).expect("a phone's address");
                socket.connect(&umbra.into()).expect("the server listens on TCP");
                let stream = TcpStream::from(socket);
                stream.set_nodelay(true).expect("a socket");
                let is_secure = self.setup.stream_at(packet.from) == Transport::Tls;
                let line = match self.terms.as_ref().filter(|_| is_secure) {
                    Some(terms) => Line::calling(stream, terms),
                    None => Line::open(stream),
                };
                read_line(&self.lines, &self.mouth, (packet.from, umbra), line.clone());
                line
            }
        };
        for piece in packet.bytes.chunks(PIECE) {
            // What can't be sent is lost with its connection.
            if line.write(piece).is_err() {
                return;
            }
        }
    }
}

/// Reads a connection on a thread of its own until it ends.
fn read_line(lines: &Lines, told: &Sender<Packet>, ends: (SocketAddr, SocketAddr), line: Line) {
    let (at, from) = ends;
    lines.lock().expect("no panic").insert(ends, line.clone());
    let (lines, told) = (lines.clone(), told.clone());
    thread::spawn(move || {
        let (mut held, mut buffer) = (Vec::new(), vec![0; 65_536]);
        loop {
            while let Some(length) = framed(&held) {
                let bytes: Vec<u8> = held.drain(..length).collect();
                if told.send(Packet { from, to: at, bytes }).is_err() {
                    return;
                }
            }
            match line.read(&mut buffer) {
                Ok(length) if length > 0 => held.extend_from_slice(&buffer[..length]),
                Ok(_) | Err(_) => break,
            }
        }
        let mut lines = lines.lock().expect("no panic");
        let is_this = |other: &Line| other.address() == line.address();
        if lines.get(&ends).is_some_and(is_this) {
            lines.remove(&ends);
        }
    });
}

/// The length of the first message, if all of it is here.
fn framed(bytes: &[u8]) -> Option<usize> {
    let msg = Msg::read(bytes)?;
    let head = bytes.len() - msg.body.len();
    let body: usize = msg.get("Content-Length")?.parse().ok()?;
    (body <= msg.body.len()).then_some(head + body)
}
