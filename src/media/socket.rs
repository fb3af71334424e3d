//! The sockets of media, and waiting for them: the room's only unsafe code.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::base::dscp::Dscp;

/// Sockets that are looked at after one wait.
pub const EVENTS_MAX: usize = 64;

/// An RTP socket on an even port, and its RTCP socket on the next (RFC 3550 §11).
#[derive(Debug)]
pub struct Pair {
    /// RTP.
    pub rtp: UdpSocket,
    /// RTCP.
    pub rtcp: UdpSocket,
}

impl Pair {
    /// Binds both, never blocking in use, or neither; their packets are as urgent as `dscp` says.
    ///
    /// # Errors
    /// What `bind` says: mostly that somebody has one of the ports, or that we have too many files open.
    pub fn bind(address: IpAddr, port: u16, dscp: Dscp) -> io::Result<Self> {
        let next = port.checked_add(1).ok_or(io::ErrorKind::InvalidInput)?;
        let (rtp, rtcp) = (bind(address, port, dscp)?, bind(address, next, dscp)?);
        Ok(Self { rtp, rtcp })
    }
}

fn bind(address: IpAddr, port: u16, dscp: Dscp) -> io::Result<UdpSocket> {
    let at = SocketAddr::new(address, port);
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, None)?;
    if at.is_ipv6() {
        // `[::]` is no IPv4 address too: another interface has those.
        socket.set_only_v6(true)?;
    }
    // Packets that aren't urgent arrive too.
    let _ = match at {
        SocketAddr::V4(_) => socket.set_tos_v4(dscp.byte()),
        SocketAddr::V6(_) => socket.set_tclass_v6(dscp.byte()),
    };
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    Ok(socket.into())
}

/// Waits until sockets can be read or somebody calls [`Waker::wake`].
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
    events: Vec<libc::epoll_event>,
}

/// Ends a [`Poller`]'s wait, from any thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

/// What a wait found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ready {
    /// The socket that was added under this name can be read.
    Port(u32),
    /// [`Waker::wake`] was called, once or more often.
    Woken,
}

/// The waker's name among the events; no port's.
const WAKE: u64 = u64::MAX;

impl Poller {
    /// Nothing to wait for yet but the waker.
    ///
    /// # Errors
    /// What the system says: too many files open, no memory.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointer is passed.
        let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: no pointer is passed.
        let wake = owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        let poller = Self {
            epoll,
            wake: Arc::new(wake),
            events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX],
        };
        // Found once for each call, so that nobody has to take the count back to zero.
        poller.watch(&*poller.wake, WAKE, libc::EPOLLIN | libc::EPOLLET)?;
        Ok(poller)
    }

    /// What ends this poller's wait.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.wake))
    }

    /// Waits for this socket too, under this name, until it is closed.
    ///
    /// # Errors
    /// What the system says: no memory, too many watches.
    pub fn add(&self, socket: &UdpSocket, name: u32) -> io::Result<()> {
        self.watch(socket, u64::from(name), libc::EPOLLIN)
    }

    /// Waits at most `timeout` (for ever, if `None`), and calls `found` for what is ready. A socket stays ready as
    /// long as something waits in it, so one packet may be read at a time.
    ///
    /// # Errors
    /// What the system says; an interrupted wait is no error, it finds nothing.
    pub fn wait(&mut self, timeout: Option<Duration>, mut found: impl FnMut(Ready)) -> io::Result<()> {
        // Rounded up: a wait that ends too early would only begin again.
        let timeout_ms = timeout.map_or(-1, |time| {
            i32::try_from(time.as_micros().div_ceil(1_000)).unwrap_or(i32::MAX)
        });
        let (room, len) = (self.events.as_mut_ptr(), self.events.len() as i32);
        // SAFETY: `room` points to `len` events, which live and are not touched during the call.
        let n = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), room, len, timeout_ms) };
        let Ok(n) = usize::try_from(n) else {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted {
                Ok(())
            } else {
                Err(error)
            };
        };
        for event in self.events.iter().take(n) {
            match u32::try_from(event.u64) {
                Ok(port) => found(Ready::Port(port)),
                Err(_) => found(Ready::Woken),
            }
        }
        Ok(())
    }

    fn watch(&self, file: &impl AsFd, name: u64, wanted: libc::c_int) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: wanted as u32,
            u64: name,
        };
        let (epoll, file) = (self.epoll.as_raw_fd(), file.as_fd().as_raw_fd());
        // SAFETY: `event` lives during the call; the kernel keeps a copy.
        match unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, file, &mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Waker {
    /// Ends the wait that is going on, or else the next one.
    pub fn wake(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: an eventfd reads exactly 8 bytes, and `one` holds 8. It fails only when it is full, which
        // nobody lives to see.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }
}

fn owned(fd: libc::c_int) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the system just gave us this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether the system refused for want of something that may be there again later: files, memory.
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::ENOSPC)
    )
}

/// Raises the process's limit of open files as far as the system allows: every leg is two sockets.
///
/// # Errors
/// What the system says.
pub fn raise_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid rlimit that outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above; the soft limit isn't above the hard one.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(poller: &mut Poller) -> Vec<Ready> {
        let mut found = Vec::new();
        let wait = poller.wait(Some(Duration::ZERO), |ready| found.push(ready));
        wait.expect("epoll works");
        found
    }

    #[test]
    fn a_shortage_is_told_from_a_port_that_somebody_has() {
        assert!(is_shortage(&io::Error::from_raw_os_error(libc::EMFILE)));
        let taken = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("it is bound");
        let error = UdpSocket::bind(address).expect_err("somebody has it");
        assert!(!is_shortage(&error), "{error}");
    }

    #[test]
    fn waking_often_is_found_once() {
        let mut poller = Poller::new().expect("epoll and eventfd exist");
        assert_eq!(ready(&mut poller), []);
        poller.waker().wake();
        poller.waker().wake();
        assert_eq!(ready(&mut poller), [Ready::Woken]);
        assert_eq!(ready(&mut poller), []);
    }

    #[test]
    fn a_socket_is_ready_until_it_is_read_empty() {
        let mut poller = Poller::new().expect("epoll and eventfd exist");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        poller.add(&socket, 7).expect("epoll takes a socket");
        for _ in 0..2 {
            socket.send_to(b"x", address).expect("loopback takes it");
        }
        for _ in 0..2 {
            assert_eq!(ready(&mut poller), [Ready::Port(7)]);
            socket.recv_from(&mut [0; 9]).expect("one is there");
        }
        assert_eq!(ready(&mut poller), []);
    }

    #[test]
    fn the_packets_of_a_pair_are_as_urgent_as_the_conf_says() {
        for (ip, dscp) in [
            ("127.0.0.1", Dscp::VOICE),
            ("::1", Dscp::VOICE),
            ("127.0.0.1", Dscp::of(0)),
        ] {
            let address: IpAddr = ip.parse().expect("an address");
            let pair = (21_000..21_400)
                .step_by(2)
                .find_map(|port| Pair::bind(address, port, dscp).ok())
                .expect("a pair is free");
            for socket in [&pair.rtp, &pair.rtcp] {
                let socket = socket2::SockRef::from(socket);
                let byte = if address.is_ipv4() {
                    socket.tos_v4()
                } else {
                    socket.tclass_v6()
                };
                assert_eq!(byte.expect("an option"), dscp.byte(), "{ip}");
            }
        }
    }
}
