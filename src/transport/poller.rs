//! Waiting for sockets, and being woken: one epoll instance a shard.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::udp::{BATCH, Socket};

/// Waits until sockets can be read or somebody calls [`Waker::wake`].
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// Ends a [`Poller`]'s wait, from any thread.
#[derive(Debug)]
pub struct Waker(OwnedFd);

/// A socket that a wait found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ready {
    /// Its index.
    pub socket: usize,
    /// Whether [`Socket::undelivered`] has something to tell.
    pub errors: Errors,
}

/// Whether something sent before could not be delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Errors {
    /// Nothing is known of it.
    None,
    /// The socket's error queue isn't empty, or was not a moment ago.
    Some,
}

/// The waker's name among the events; no socket's.
const WAKE: u64 = u64::MAX;

impl Poller {
    /// Waits for this waker only, yet.
    ///
    /// # Errors
    /// What the system says: too many files open, no memory.
    pub fn new(waker: &Waker) -> io::Result<Self> {
        // SAFETY: no pointer is passed.
        let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        let poller = Self {
            epoll,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; BATCH],
        };
        poller.watch(&waker.0, WAKE)?;
        Ok(poller)
    }

    /// Waits for this socket too, under the name of its index.
    ///
    /// # Errors
    /// What the system says.
    pub fn add(&self, socket: &Socket, index: usize) -> io::Result<()> {
        self.watch(socket, index as u64)
    }

    /// Waits at most `timeout` (for ever, if `None`), and puts the sockets that can be read into `ready`. The waker's call is taken and not told: whoever was called looks at its mail anyway.
    ///
    /// # Errors
    /// What the system says; an interrupted wait is no error, it finds nothing.
    pub fn wait(
        &mut self,
        waker: &Waker,
        timeout: Option<Duration>,
        ready: &mut Vec<Ready>,
    ) -> io::Result<()> {
        ready.clear();
        // Rounded up: a wait that ends too early would only begin again.
        let timeout_ms = timeout.map_or(-1, |time| {
            i32::try_from(time.as_micros().div_ceil(1_000)).unwrap_or(i32::MAX)
        });
        let (room, len) = (self.events.as_mut_ptr(), self.events.len() as libc::c_int);
        // SAFETY: `room` points to `len` events, which live and are not touched during the call.
        let found = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), room, len, timeout_ms) };
        let Ok(found) = usize::try_from(found) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::Interrupted => Ok(()),
                _ => Err(error),
            };
        };
        for event in self.events.iter().take(found) {
            match event.u64 {
                WAKE => waker.calm(),
                index => ready.push(Ready {
                    socket: index as usize,
                    errors: if event.events & libc::EPOLLERR as u32 == 0 {
                        Errors::None
                    } else {
                        Errors::Some
                    },
                }),
            }
        }
        Ok(())
    }

    fn watch(&self, file: &impl AsFd, name: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: name,
        };
        let (epoll, file) = (self.epoll.as_raw_fd(), file.as_fd().as_raw_fd());
        // SAFETY: `event` lives during the call; the kernel keeps a copy.
        match unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, file, &raw mut event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Waker {
    /// Nobody has called yet.
    ///
    /// # Errors
    /// What the system says: too many files open, no memory.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointer is passed.
        owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }).map(Self)
    }

    /// Ends the wait that is going on, or else the next one.
    pub fn wake(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: an eventfd reads exactly 8 bytes, and `one` has 8. It fails only when it is at its highest
        // count, and then the wait ends too.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Takes the count back to zero.
    fn calm(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: an eventfd writes exactly 8 bytes, and `count` holds 8. It doesn't block; failing, it was zero.
        unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

/// What a system call gave, as a file of ours.
fn owned(fd: libc::c_int) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
