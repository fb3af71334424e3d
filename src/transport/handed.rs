//! Listeners' sockets that outlive a process: left with the service manager (systemd's file-descriptor store), and
//! handed to the process that comes next. What was sent to them meanwhile waits in them.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use socket2::{SockRef, Type};

use crate::call::config::Listener;
use crate::sip::path::Transport;

/// How long a manager may take to close what it is told not to keep any more, and how often it is looked.
const LETS_GO: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(2);

/// The sockets that the service manager has handed to this process, and their names.
#[derive(Debug, Default)]
pub struct Handed {
    sockets: Vec<(String, OwnedFd)>,
    /// When some of them were closed, if some were.
    closed: Option<Instant>,
}

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
        Self {
            sockets: fds.map(own).collect(),
            closed: None,
        }
    }

    /// Closes those that none of the listeners has any use for, and returns their names: the manager is to close them,
    /// too. To be done before anything is bound, because a socket on one address keeps another from being on all.
    pub fn close_but(&mut self, listeners: &[Listener]) -> Vec<String> {
        let used: Vec<_> = listeners
            .iter()
            .filter_map(|listener| self.fitting(kind(listener.transport), listener.address))
            .collect();
        let unused = std::mem::replace(&mut self.sockets, used);
        self.closed = (!unused.is_empty()).then(Instant::now);
        unused.into_iter().map(|(name, _)| name).collect()
    }

    /// Binds a socket. While one that was closed here may still be open in the manager, it is tried again.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn bind<S>(&self, bind: impl Fn() -> io::Result<S>) -> io::Result<S> {
        let may_be_open = || self.closed.is_some_and(|closed| closed.elapsed() < LETS_GO);
        loop {
            match bind() {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && may_be_open() => {
                    std::thread::sleep(LOOK);
                }
                outcome => return outcome,
            }
        }
    }

    /// The name under which a listener's socket is kept.
    pub fn name(transport: Transport, address: SocketAddr) -> String {
        // A colon ends a name.
        format!("{}-{address}", transport.name()).replace(':', "_")
    }

    /// The datagram socket that is bound to this address, if there is one.
    pub(super) fn udp(&mut self, address: SocketAddr) -> Option<UdpSocket> {
        let (_, fd) = self.fitting(Type::DGRAM, address)?;
        Some(fd.into())
    }

    /// The listening stream socket that is bound to this address, if there is one.
    pub(super) fn tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let (_, fd) = self.fitting(Type::STREAM, address)?;
        Some(fd.into())
    }

    fn fitting(&mut self, kind: Type, address: SocketAddr) -> Option<(String, OwnedFd)> {
        let at = self.sockets.iter().position(|(_, fd)| {
            let socket = SockRef::from(fd);
            let is_kind = || -> io::Result<bool> {
                let listens = kind == Type::DGRAM || socket.is_listener()?;
                Ok(listens && socket.r#type()? == kind)
            };
            let bound = socket.local_addr().ok().and_then(|at| at.as_socket());
            bound == Some(address) && is_kind().unwrap_or(false)
        })?;
        Some(self.sockets.swap_remove(at))
    }
}

fn kind(transport: Transport) -> Type {
    match transport {
        Transport::Udp => Type::DGRAM,
        Transport::Tcp | Transport::Tls => Type::STREAM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::path::ListenerId;

    #[test]
    fn sockets_are_found_by_kind_and_address_and_those_of_no_listener_are_closed() {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let other = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let stream = std::net::TcpStream::connect(tcp.local_addr().expect("bound")).expect("it listens");
        let [u, t, o] = [udp.local_addr(), tcp.local_addr(), other.local_addr()].map(|at| at.expect("bound"));
        let s = stream.local_addr().expect("bound");
        let sockets = vec![
            ("a".to_owned(), stream.into()),
            ("b".to_owned(), other.into()),
            ("c".to_owned(), tcp.into()),
            ("d".to_owned(), udp.into()),
        ];
        let mut handed = Handed {
            sockets,
            closed: None,
        };
        let listener = |id, transport, address| Listener {
            id: ListenerId(id),
            transport,
            address,
            advertised: address,
        };
        let wide = SocketAddr::from(([0, 0, 0, 0], o.port()));
        // A connection is no listener, and who listens on all addresses has no use for one of them.
        let closed = handed.close_but(&[
            listener(0, Transport::Udp, u),
            listener(1, Transport::Tcp, t),
            listener(2, Transport::Tcp, s),
            listener(3, Transport::Udp, wide),
        ]);
        assert_eq!(closed, ["a", "b"]);
        UdpSocket::bind(wide).expect("nobody is in its way");
        assert!(handed.udp(wide).is_none());
        assert_eq!(handed.udp(u).map(|found| found.local_addr().ok()), Some(Some(u)));
        assert_eq!(handed.tcp(t).map(|found| found.local_addr().ok()), Some(Some(t)));
        assert!(handed.udp(u).is_none());
    }

    #[test]
    fn an_address_is_tried_again_only_while_the_manager_may_have_a_socket_that_was_closed() {
        let tries = std::cell::Cell::new(0);
        let taken_at_first = || {
            tries.set(tries.get() + 1);
            match tries.get() {
                1 | 2 => Err(io::ErrorKind::AddrInUse.into()),
                tries => Ok(tries),
            }
        };
        let mut handed = Handed::default();
        assert!(handed.bind(taken_at_first).is_err());
        handed.closed = Some(Instant::now());
        assert_eq!(handed.bind(taken_at_first).ok(), Some(3));
        let denied = || Err::<(), _>(io::ErrorKind::PermissionDenied.into());
        assert!(handed.bind(denied).is_err());
    }

    #[test]
    fn the_name_of_a_socket_holds_no_colon() {
        let address = "[2001:db8::1]:5060".parse().expect("an address");
        assert_eq!(Handed::name(Transport::Udp, address), "udp-[2001_db8__1]_5060");
    }
}
