//! A listener's socket, whatever its protocol.

use std::io;
use std::net::SocketAddr;

use super::poller::{Interest, Poller, Source};
use super::{tcp, udp};
use crate::sip::path::Transport as Protocol;

/// A listener's socket, and where it is bound.
pub(super) struct Bound {
    pub(super) address: SocketAddr,
    pub(super) socket: Socket,
}

pub(super) enum Socket {
    Udp(udp::Socket),
    Tcp(tcp::Listener),
}

impl Bound {
    pub(super) fn new(protocol: Protocol, address: SocketAddr) -> io::Result<Self> {
        let (address, socket) = match protocol {
            Protocol::Udp => {
                let socket = udp::Socket::bind(address)?;
                (socket.address()?, Socket::Udp(socket))
            }
            Protocol::Tcp | Protocol::Tls => {
                let listener = tcp::Listener::bind(address)?;
                (listener.address()?, Socket::Tcp(listener))
            }
        };
        Ok(Self { address, socket })
    }

    pub(super) fn watch(&self, poller: &Poller, index: usize) -> io::Result<()> {
        let source = Source::Listener(index);
        match &self.socket {
            Socket::Udp(socket) => poller.add(socket, source, Interest::Read),
            Socket::Tcp(listener) => poller.add(listener, source, Interest::Read),
        }
    }
}
