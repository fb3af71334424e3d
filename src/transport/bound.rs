//! A listener's socket, whatever its protocol.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use super::handed::Handed;
use super::poller::{Interest, Poller, Source};
use super::{tcp, udp};
use crate::base::dscp::Dscp;
use crate::sip::path::Transport as Protocol;

/// A listener's socket, and where it is bound.
pub(super) struct Bound {
    pub(super) address: SocketAddr,
    pub(super) protocol: Protocol,
    pub(super) socket: Socket,
}

pub(super) enum Socket {
    Udp(udp::Socket),
    Tcp(tcp::Listener),
}

impl Bound {
    /// The socket of a listener: the one that was handed over, or else a new one.
    pub(super) fn new(
        protocol: Protocol,
        address: SocketAddr,
        dscp: Dscp,
        handed: &mut Handed,
    ) -> io::Result<Self> {
        let (address, socket) = match protocol {
            Protocol::Udp => {
                let socket = match handed.udp(address) {
                    Some(socket) => udp::Socket::of(socket, address)?,
                    None => handed.bind(|| udp::Socket::bind(address))?,
                };
                (socket.address()?, Socket::Udp(socket))
            }
            Protocol::Tcp | Protocol::Tls => {
                let listener = match handed.tcp(address) {
                    Some(listener) => tcp::Listener::of(listener)?,
                    None => handed.bind(|| tcp::Listener::bind(address))?,
                };
                (listener.address()?, Socket::Tcp(listener))
            }
        };
        let bound = Self {
            address,
            protocol,
            socket,
        };
        tcp::mark(&bound.fd(), address, dscp);
        Ok(bound)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Udp(socket) => socket.as_fd(),
            Socket::Tcp(listener) => listener.as_fd(),
        }
    }

    /// The socket, and the name under which it can be kept beyond the process.
    pub(super) fn keepable(&self) -> (String, BorrowedFd<'_>) {
        (Handed::name(self.protocol, self.address), self.fd())
    }

    pub(super) fn watch(&self, poller: &Poller, index: usize) -> io::Result<()> {
        let source = Source::Listener(index);
        match &self.socket {
            Socket::Udp(socket) => poller.add(socket, source, Interest::Read),
            Socket::Tcp(listener) => poller.add(listener, source, Interest::Read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packets_of_a_listener_are_as_urgent_as_the_conf_says() {
        for (protocol, address, dscp) in [
            (Protocol::Udp, "127.0.0.1:0", Dscp::SIGNALLING),
            (Protocol::Udp, "[::1]:0", Dscp::SIGNALLING),
            (Protocol::Udp, "127.0.0.1:0", Dscp::of(0)),
            (Protocol::Tls, "127.0.0.1:0", Dscp::SIGNALLING),
        ] {
            let at: SocketAddr = address.parse().expect("an address");
            let bound = Bound::new(protocol, at, dscp, &mut Handed::default()).expect("loopback is free");
            let fd = bound.fd();
            let socket = socket2::SockRef::from(&fd);
            let byte = if at.is_ipv4() {
                socket.tos_v4()
            } else {
                socket.tclass_v6()
            };
            assert_eq!(byte.expect("an option"), dscp.byte(), "{protocol:?} {address}");
        }
    }
}
