//! A stream's bytes, in the open or under TLS.

use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use super::tls::{Session, Shaken};
use crate::sip::path::Transport;

/// What a connection is read and written by.
pub(super) struct Wire {
    stream: TcpStream,
    session: Option<Box<Session>>,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, session: Option<Session>) -> Self {
        let session = session.map(Box::new);
        Self { stream, session }
    }

    pub(super) fn transport(&self) -> Transport {
        match self.session {
            Some(_) => Transport::Tls,
            None => Transport::Tcp,
        }
    }

    /// Whether the connection has come about: `None`, not yet.
    pub(super) fn connected(&self) -> io::Result<Option<()>> {
        match (self.stream.take_error()?, self.stream.peer_addr()) {
            (Some(error), _) => Err(error),
            (None, Ok(_)) => Ok(Some(())),
            // One that is neither there nor lost yet has no peer.
            (None, Err(_)) => Ok(None),
        }
    }

    /// Our side of it.
    pub(super) fn local_address(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Goes on with the handshake, if there is one.
    pub(super) fn shake(&mut self) -> io::Result<Shaken> {
        match &mut self.session {
            Some(session) => session.shake(&mut self.stream),
            None => Ok(Shaken::Done),
        }
    }

    /// Reads what came: `WouldBlock` is nothing yet, 0 is the end.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.session {
            Some(session) => session.read(&mut self.stream, into),
            None => self.stream.read(into),
        }
    }

    /// Takes some of these bytes; under TLS they leave with [`Wire::flush`].
    pub(super) fn write(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match &mut self.session {
            Some(session) => session.write(parts),
            None => self.stream.write_vectored(parts),
        }
    }

    /// Writes what was taken.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match &mut self.session {
            Some(session) => session.flush(&mut self.stream),
            None => Ok(()),
        }
    }

    /// Whether something that was taken waits to be written.
    pub(super) fn wants_write(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.wants_write())
    }

    /// The names that the other side's certificate has shown.
    pub(super) fn names(&self) -> Vec<String> {
        self.session
            .as_ref()
            .map(|session| session.names())
            .unwrap_or_default()
    }

    /// Tells the other side that it is over, where the protocol has a word for it.
    pub(super) fn close(&mut self) {
        if let Some(session) = &mut self.session {
            session.close(&mut self.stream);
        }
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
