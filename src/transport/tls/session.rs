//! One TLS connection: bytes of the wire in and out, bytes of SIP out and in. It waits for nothing.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use super::certificate;
use crate::base::limits::TLS_BUFFER_BYTES_MAX;

/// Pieces of the wire that are read before anything else is looked at.
const PIECES_MAX: usize = 16;

/// A TLS connection.
pub(in crate::transport) struct Session(Connection);

/// How a handshake goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::transport) enum Shaken {
    NotYet,
    Done,
}

impl Session {
    /// With somebody who connected.
    pub(in crate::transport) fn accept(config: &Arc<ServerConfig>) -> io::Result<Self> {
        let connection = ServerConnection::new(Arc::clone(config)).map_err(invalid)?;
        Ok(Self::of(connection.into()))
    }

    /// With somebody whom we connect to, and who has this name.
    pub(super) fn connect(config: &Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Self> {
        let connection = ClientConnection::new(Arc::clone(config), name).map_err(invalid)?;
        Ok(Self::of(connection.into()))
    }

    fn of(mut connection: Connection) -> Self {
        connection.set_buffer_limit(Some(TLS_BUFFER_BYTES_MAX));
        Self(connection)
    }

    /// Goes on with the handshake, as far as the wire has bytes and room.
    ///
    /// # Errors
    /// The other side is no peer of ours; what rustls says of it is the error's source.
    pub(in crate::transport) fn shake(&mut self, wire: &mut TcpStream) -> io::Result<Shaken> {
        for _ in 0..PIECES_MAX {
            would_block(self.flush(wire))?;
            if !self.0.is_handshaking() {
                return Ok(Shaken::Done);
            }
            match self.take_in(wire) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if is_wait(&error) => break,
                Err(error) => return Err(error),
            }
        }
        would_block(self.flush(wire))?;
        Ok(if self.0.is_handshaking() {
            Shaken::NotYet
        } else {
            Shaken::Done
        })
    }

    /// Reads what came. 0: the other side has ended it.
    ///
    /// # Errors
    /// `WouldBlock`: nothing yet. Anything else ends it.
    pub(in crate::transport) fn read(&mut self, wire: &mut TcpStream, into: &mut [u8]) -> io::Result<usize> {
        for _ in 0..PIECES_MAX {
            match self.0.reader().read(into) {
                Ok(length) => return Ok(length),
                // Whoever ends it without a word has said all the same: SIP tells where a message ends.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) if is_wait(&error) => {}
                Err(error) => return Err(error),
            }
            if self.take_in(wire)? == 0 {
                return Ok(0);
            }
        }
        // There is more on the wire: it is found again.
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Takes some of what is to be written; it leaves with [`Session::flush`].
    ///
    /// # Errors
    /// `WouldBlock`: what was taken before has not left.
    pub(in crate::transport) fn write(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.0.writer().write_vectored(parts) {
            Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
            outcome => outcome,
        }
    }

    /// Writes what was taken.
    ///
    /// # Errors
    /// `WouldBlock`: not all of it.
    pub(in crate::transport) fn flush(&mut self, wire: &mut TcpStream) -> io::Result<()> {
        while self.0.wants_write() {
            match self.0.write_tls(wire) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether something waits to be written.
    pub(in crate::transport) fn wants_write(&self) -> bool {
        self.0.wants_write()
    }

    /// Says that nothing more comes, as far as there is room.
    pub(in crate::transport) fn close(&mut self, wire: &mut TcpStream) {
        self.0.send_close_notify();
        // Whoever is gone doesn't miss it.
        let _ = self.flush(wire);
    }

    /// The names of the certificate that whoever connected has shown, and that was found right.
    pub(in crate::transport) fn names(&self) -> Vec<String> {
        let shown = self.0.peer_certificates().and_then(<[_]>::first);
        shown.map(certificate::names).unwrap_or_default()
    }

    fn take_in(&mut self, wire: &mut TcpStream) -> io::Result<usize> {
        let length = loop {
            match self.0.read_tls(wire) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => break outcome?,
            }
        };
        if let Err(error) = self.0.process_new_packets() {
            // It is told why, if it listens.
            let _ = self.flush(wire);
            return Err(invalid(error));
        }
        Ok(length)
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn is_wait(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

fn would_block(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        outcome => outcome,
    }
}
