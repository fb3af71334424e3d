//! Waiting for sockets, and being woken: one epoll instance a shard.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use crate::sip::path::FlowHint;

/// Sockets that one wait finds at the most.
const FOUND_MAX: usize = 64;

/// Waits until sockets can be read or written, or somebody calls [`Waker::wake`].
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// Ends a [`Poller`]'s wait, from any thread.
#[derive(Debug)]
pub struct Waker(OwnedFd);

/// What a wait watches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// A listener's socket, by its index.
    Listener(usize),
    /// A connection.
    Connection(FlowHint),
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interest {
    /// That something comes, or the end.
    Read,
    /// That there is room to write, too.
    ReadAndWrite,
    /// Nothing, for now.
    Nothing,
}

/// A socket that a wait found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ready {
    /// Which.
    pub source: Source,
    /// Whether a fault waits: at a UDP socket in its error queue, at a connection as its end.
    pub errors: Errors,
}

/// Whether something sent before could not be delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Errors {
    /// Nothing is known of it.
    None,
    /// There is a fault, or was a moment ago.
    Some,
}

/// The waker's name among the events; no socket's.
const WAKE: u64 = u64::MAX;
/// The bit that tells connections from listeners.
const CONNECTION: u64 = 1 << 32;

impl Interest {
    const fn events(self) -> libc::c_int {
        match self {
            Self::Read => libc::EPOLLIN,
            Self::ReadAndWrite => libc::EPOLLIN | libc::EPOLLOUT,
            Self::Nothing => 0,
        }
    }
}

impl Source {
    const fn name(self) -> u64 {
        match self {
            Self::Listener(index) => index as u64,
            Self::Connection(FlowHint(flow)) => CONNECTION | flow as u64,
        }
    }

    const fn of(name: u64) -> Self {
        if name & CONNECTION == 0 {
            Self::Listener(name as usize)
        } else {
            Self::Connection(FlowHint(name as u32))
        }
    }
}

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
            events: vec![libc::epoll_event { events: 0, u64: 0 }; FOUND_MAX],
        };
        // Found once for each call, so that nobody has to take the count back to zero.
        let calls = libc::EPOLLIN | libc::EPOLLET;
        poller.control(libc::EPOLL_CTL_ADD, &waker.0, WAKE, calls)?;
        Ok(poller)
    }

    /// Waits for this file too, under this name. One that is closed is forgotten by itself.
    ///
    /// # Errors
    /// What the system says.
    pub fn add(&self, file: &impl AsFd, source: Source, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, file, source.name(), interest.events())
    }

    /// Waits for something else at this file than before.
    ///
    /// # Errors
    /// What the system says.
    pub fn change(&self, file: &impl AsFd, source: Source, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, file, source.name(), interest.events())
    }

    /// Waits at most `timeout` (for ever, if `None`), and puts what was found into `ready`. The waker's call is
    /// not told: whoever was called looks at its mail anyway.
    ///
    /// # Errors
    /// What the system says; an interrupted wait is no error, it finds nothing.
    pub fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
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
                WAKE => {}
                name => ready.push(Ready {
                    source: Source::of(name),
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

    fn control(&self, what: libc::c_int, file: &impl AsFd, name: u64, wanted: libc::c_int) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: wanted as u32,
            u64: name,
        };
        let (epoll, file) = (self.epoll.as_raw_fd(), file.as_fd().as_raw_fd());
        // SAFETY: `event` lives during the call; the kernel keeps a copy.
        match unsafe { libc::epoll_ctl(epoll, what, file, &raw mut event) } {
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
        // SAFETY: an eventfd reads exactly 8 bytes, and `one` has 8. It fails only at its highest count, which
        // nobody lives to see.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
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
/// How much the thread of a shard gives way to others of the process.
const GIVES_WAY: libc::c_int = 4;

/// Lets the threads that carry audio have the processor first, where there is not enough of it for all: whoever calls waits,
/// and whoever talks hears no gap. On Linux it is the calling thread alone that gives way.
pub(super) fn give_way() {
    // SAFETY: it takes a number and touches no memory. That it is refused is no fault.
    let _ = unsafe { libc::nice(GIVES_WAY) };
}
