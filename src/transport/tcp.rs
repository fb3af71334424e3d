//! The sockets of SIP over TCP: listening, accepting, connecting. Nothing here blocks.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::base::dscp::Dscp;
use crate::base::limits::TCP_STALL_MAX;

/// Connections that may wait for being accepted.
const BACKLOG: i32 = 1_024;
/// After how long a silent connection is asked whether its other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// One listening socket.
#[derive(Debug)]
pub struct Listener(TcpListener);

/// What came of a try to accept a connection.
#[derive(Debug)]
pub enum Accepted {
    /// A connection, and where from.
    One(TcpStream, SocketAddr),
    /// None waits, or the one that did is gone.
    None,
    /// The system has no file or memory left for it: it waits on.
    NotNow,
}

impl Listener {
    /// Binds and listens. An address of IPv6 is for IPv6 only.
    ///
    /// # Errors
    /// What the system says: mostly that somebody has the address.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restart doesn't wait for what is left of the connections before.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self(socket.into()))
    }

    /// Takes a socket that listens already.
    ///
    /// # Errors
    /// What the system says.
    pub fn of(socket: TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Takes the next connection.
    pub fn accept(&self) -> Accepted {
        match self.0.accept() {
            Ok((stream, from)) => match set_up(&stream) {
                Ok(()) => Accepted::One(stream, from),
                Err(_) => Accepted::None,
            },
            Err(error) => match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Accepted::NotNow,
                // Nobody waits, or whoever did has gone again (accept(2) passes its error on).
                _ => Accepted::None,
            },
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Begins a connection to `to` from the address that we listen on, whatever port: the other side knows us by it.
/// It is there when it can be written to and [`TcpStream::take_error`] has nothing to say.
///
/// # Errors
/// What the system says at once: no way there, no file, no port left.
pub fn connect(listening: SocketAddr, to: SocketAddr, dscp: Dscp) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    mark(&socket, to, dscp);
    if !listening.ip().is_unspecified() {
        socket.bind(&SocketAddr::new(listening.ip(), 0).into())?;
    }
    match socket.connect(&to.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    let stream = socket.into();
    set_up(&stream)?;
    Ok(stream)
}

/// From now on the socket's packets are so urgent, those of the connections that it accepts too. `address` is one of its family.
pub(super) fn mark(socket: &impl AsFd, address: SocketAddr, dscp: Dscp) {
    let socket = SockRef::from(socket);
    // Packets that aren't urgent arrive too.
    let _ = match address {
        SocketAddr::V4(_) => socket.set_tos_v4(dscp.byte()),
        SocketAddr::V6(_) => socket.set_tclass_v6(dscp.byte()),
    };
}

fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    // A message is written whole: waiting for more would only delay it.
    stream.set_nodelay(true)?;
    let options = SockRef::from(stream);
    // Whoever vanishes without a word is found out: while something is on the way to it after the first time,
    // else after the second. Without them it takes longer.
    let _ = options.set_tcp_user_timeout(Some(TCP_STALL_MAX));
    let _ = options.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
    Ok(())
}
