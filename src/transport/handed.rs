//! Listeners' sockets that outlive a process: left with the service manager (systemd's file-descriptor store), and
//! handed to the process that comes next. What was sent to them meanwhile waits in them.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{FromRawFd, OwnedFd};

use socket2::{SockRef, Type};

use crate::sip::path::Transport;

/// The sockets that the service manager has handed to this process, and their names.
#[derive(Debug, Default)]
pub struct Handed(Vec<(String, OwnedFd)>);

impl Handed {
    /// Takes what the environment names (`LISTEN_FDS`). To be called before the process has other threads; later it
    /// finds nothing any more.
    pub fn take() -> Self {
        let Ok(fds) = sd_notify::listen_fds_with_names(true) else {
            return Self::default();
        };
        let own = |(fd, name)| {
            // SAFETY: the service manager opened this descriptor for this process (LISTEN_PID is ours), and the
            // environment that named it is gone: nobody else takes it.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            (name, fd)
        };
        Self(fds.map(own).collect())
    }

    /// The name under which a listener's socket is kept.
    pub fn name(transport: Transport, address: SocketAddr) -> String {
        // A colon ends a name.
        format!("{}-{address}", transport.name()).replace(':', "_")
    }

    /// The datagram socket that is bound to this address, if there is one.
    pub(super) fn udp(&mut self, address: SocketAddr) -> Option<UdpSocket> {
        self.fitting(Type::DGRAM, address).map(UdpSocket::from)
    }

    /// The listening stream socket that is bound to this address, if there is one.
    pub(super) fn tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        self.fitting(Type::STREAM, address).map(TcpListener::from)
    }

    fn fitting(&mut self, kind: Type, address: SocketAddr) -> Option<OwnedFd> {
        let at = self.0.iter().position(|(_, fd)| {
            let socket = SockRef::from(fd);
            let is_kind = || -> io::Result<bool> {
                let listens = kind == Type::DGRAM || socket.is_listener()?;
                Ok(listens && socket.r#type()? == kind)
            };
            let bound = socket.local_addr().ok().and_then(|at| at.as_socket());
            bound == Some(address) && is_kind().unwrap_or(false)
        })?;
        Some(self.0.swap_remove(at).1)
    }

    /// The names of those that nobody wanted: they are closed by this.
    pub fn into_names(self) -> impl Iterator<Item = String> {
        self.0.into_iter().map(|(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_found_by_its_kind_and_address_and_the_others_are_named() {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let other = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let stream = std::net::TcpStream::connect(tcp.local_addr().expect("bound")).expect("it listens");
        let [u, t] = [udp.local_addr(), tcp.local_addr()].map(|at| at.expect("bound"));
        let s = stream.local_addr().expect("bound");
        let mut handed = Handed(vec![
            ("a".to_owned(), stream.into()),
            ("b".to_owned(), other.into()),
            ("c".to_owned(), tcp.into()),
            ("d".to_owned(), udp.into()),
        ]);
        assert!(handed.tcp(s).is_none(), "a connection is no listener");
        assert!(handed.udp(t).is_none() || t.port() == u.port());
        assert_eq!(handed.udp(u).map(|found| found.local_addr().ok()), Some(Some(u)));
        assert_eq!(handed.tcp(t).map(|found| found.local_addr().ok()), Some(Some(t)));
        assert!(handed.udp(u).is_none());
        let mut names: Vec<String> = handed.into_names().collect();
        names.sort();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn the_name_of_a_socket_holds_no_colon() {
        let address = "[2001:db8::1]:5060".parse().expect("an address");
        assert_eq!(Handed::name(Transport::Udp, address), "udp-[2001_db8__1]_5060");
    }
}
