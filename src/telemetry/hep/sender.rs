//! The way to the capture server.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::calls::Calls;
use super::packet::{Packet, TooLong};
use super::{By, Config, Stats};
use crate::sip::peek::peek;
use crate::sip::seen::Passed;
use crate::sip::veil::Veil;

/// How long a connection may take to come about, and a write.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long nothing is tried after a connection has failed.
const PAUSE: Duration = Duration::from_secs(5);

/// Shows messages to the capture server.
pub(super) struct Sender {
    config: Config,
    veil: Veil,
    stats: Arc<Stats>,
    wire: Wire,
    pub(super) calls: Calls,
    /// What is written into.
    packet: Vec<u8>,
}

enum Wire {
    Udp(UdpSocket),
    Tcp(Stream),
}

enum Stream {
    Open(TcpStream),
    /// None; it may be tried again then.
    None(Instant),
}

impl Sender {
    /// One that has a socket; a connection begins with the first message.
    pub(super) fn new(config: Config, veil: Veil, stats: Arc<Stats>) -> io::Result<Self> {
        let wire = match config.by {
            By::Udp => Wire::Udp(socket_to(config.server)?),
            By::Tcp => Wire::Tcp(Stream::None(Instant::now())),
        };
        Ok(Self {
            config,
            veil,
            stats,
            wire,
            calls: Calls::default(),
            packet: Vec::new(),
        })
    }

    /// Shows one message, if it can be read.
    pub(super) fn show(&mut self, passed: Passed, bytes: &[u8]) {
        let (Some(peeked), Some(message)) = (peek(bytes), self.veil.message(bytes)) else {
            self.stats.unreadable.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let packet = Packet {
            passed,
            capture_id: self.config.capture_id,
            key: self.config.password.as_ref().map(|password| &*password.0),
            correlation: &self.veil.call_id(self.calls.common(peeked.call_id)),
            message: &message,
        };
        let sent = match packet.write(&mut self.packet) {
            Ok(()) => self.wire.send(self.config.server, &self.packet),
            Err(TooLong) => Err(io::ErrorKind::FileTooLarge.into()),
        };
        let count = match sent {
            Ok(()) => &self.stats.sent,
            Err(_) => &self.stats.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wire {
    fn send(&mut self, server: SocketAddr, packet: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => match socket.send(packet) {
                // What ICMP said of the packet before: this one didn't leave for it.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    socket.send(packet).and(Err(error))
                }
                sent => sent.map(drop),
            },
            Self::Tcp(stream) => stream.send(server, packet),
        }
    }
}

impl Stream {
    fn send(&mut self, server: SocketAddr, packet: &[u8]) -> io::Result<()> {
        if let Self::None(from) = self
            && Instant::now() < *from
        {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let sent = self.open(server).and_then(|open| open.write_all(packet));
        if sent.is_err() {
            // A packet that left in part can't be gone on from.
            *self = Self::None(Instant::now() + PAUSE);
        }
        sent
    }

    fn open(&mut self, server: SocketAddr) -> io::Result<&mut TcpStream> {
        if let Self::None(_) = self {
            let stream = TcpStream::connect_timeout(&server, PATIENCE)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            *self = Self::Open(stream);
        }
        match self {
            Self::Open(stream) => Ok(stream),
            Self::None(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// A socket that never waits.
fn socket_to(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if server.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    socket.connect(server)?;
    Ok(socket)
}
