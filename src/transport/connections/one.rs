//! One connection: how far it is, what waits to be written by it, when its time is over.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use super::Peer;
use super::alive::Alive;
use crate::base::limits::{
    TCP_CONNECT_MAX, TCP_IDLE_MAX, TCP_IDLE_STRANGER_MAX, TCP_LINGER, TCP_MESSAGE_MAX, TCP_STALL_MAX,
    TLS_HANDSHAKE_MAX,
};
use crate::base::time::Instant;
use crate::call::port::Why;
use crate::sip::framer::Framer;
use crate::sip::path::{FlowHint, ListenerId, Party, Path};
use crate::transport::event_loop::Stats;
use crate::transport::poller::Interest;
use crate::transport::watch::{Watch, is_keep_alive};
use crate::transport::wire::Wire;

/// Messages that one call writes.
const WRITE_PARTS: usize = 32;

/// How far a connection is.
pub(super) enum Stage {
    /// Asked for at this time.
    Connecting(Instant),
    /// In the handshake of TLS, since this time.
    Securing(Instant),
    Open,
    /// Nothing that comes is heard any more, since this time.
    Closing(Instant),
}

/// A connection.
pub(super) struct Connection {
    pub(super) wire: Wire,
    pub(super) listener: ListenerId,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) peer: Peer,
    /// The trunk that the other side has shown to be.
    pub(super) party: Option<Party>,
    pub(super) opened: Opened,
    pub(super) stage: Stage,
    pub(super) framer: Framer,
    /// What waits to be written, and how many bytes of the first of it are written already.
    pub(super) queue: VecDeque<Vec<u8>>,
    pub(super) written: usize,
    pub(super) queued_bytes: usize,
    pub(super) interest: Interest,
    /// When bytes went either way last.
    pub(super) active: Instant,
    pub(super) served: Served,
    /// Since when a message is unfinished.
    pub(super) unfinished: Option<Instant>,
    /// Since when the other side takes nothing.
    pub(super) stalled: Option<Instant>,
    /// Pings of ours.
    pub(super) alive: Alive,
}

/// Who has opened a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opened {
    ByUs,
    ByThem,
}

/// The connection that a message to an address goes by: over TLS only one with the trunk that is meant.
pub(super) type Known = (ListenerId, SocketAddr, Option<Party>);

/// Whether a message ever came by a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Served {
    NotYet,
    Yes,
}

/// Why a connection ends.
pub(super) enum End {
    /// Nothing was waited for.
    Quiet,
    /// What waits for an answer over it will get none.
    Failed(Why),
}

impl Connection {
    pub(super) fn path(&self, flow: FlowHint) -> Path {
        Path {
            listener: self.listener,
            transport: self.wire.transport(),
            remote: self.remote,
            flow: Some(flow),
            party: self.party,
        }
    }

    pub(super) fn known(&self) -> Known {
        (self.listener, self.remote, self.party)
    }

    pub(super) const fn is_securing(&self) -> bool {
        matches!(self.stage, Stage::Securing(_))
    }

    /// Whether nothing waits to be written.
    pub(super) fn is_written(&self) -> bool {
        let is_queued = match self.stage {
            // It waits for the handshake.
            Stage::Securing(_) => false,
            Stage::Connecting(_) | Stage::Open | Stage::Closing(_) => !self.queue.is_empty(),
        };
        !is_queued && !self.wire.wants_write()
    }

    /// Writes what waits, as far as there is room, and tells who looks on of what has left.
    pub(super) fn write(&mut self, now: Instant, stats: &Stats, watch: Option<&Watch>) -> io::Result<()> {
        loop {
            let outcome = match self.wire.flush() {
                Ok(()) if self.is_written() => {
                    self.stalled = None;
                    return Ok(());
                }
                Ok(()) => self.take_up(),
                Err(error) => Err(error),
            };
            match outcome {
                Ok(length) => self.wrote(now, length, stats, watch),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        self.stalled.get_or_insert(now);
                        return Ok(());
                    }
                    io::ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// Gives what waits to the wire, as far as that takes it.
    pub(super) fn take_up(&mut self) -> io::Result<usize> {
        let mut parts = [IoSlice::new(&[]); WRITE_PARTS];
        for (at, (part, message)) in parts.iter_mut().zip(&self.queue).enumerate() {
            let from = if at == 0 { self.written } else { 0 };
            *part = IoSlice::new(message.get(from..).unwrap_or_default());
        }
        let count = self.queue.len().min(WRITE_PARTS);
        self.wire.write(parts.get(..count).unwrap_or_default())
    }

    pub(super) fn wrote(&mut self, now: Instant, length: usize, stats: &Stats, watch: Option<&Watch>) {
        self.active = now;
        self.stalled = None;
        self.queued_bytes = self.queued_bytes.saturating_sub(length);
        self.written += length;
        while let Some(first) = self.queue.front()
            && first.len() <= self.written
        {
            self.written -= first.len();
            if !is_keep_alive(first) {
                stats.sent.fetch_add(1, Ordering::Relaxed);
                if let Some(watch) = watch {
                    watch.saw(self.wire.transport(), self.local, self.remote, first);
                }
            }
            self.queue.pop_front();
        }
    }

    /// Whether its time is over, and how it ends then.
    pub(super) fn over(&self, now: Instant) -> Option<End> {
        let idle = match self.peer {
            Peer::Trunk => TCP_IDLE_MAX,
            Peer::Stranger => TCP_IDLE_STRANGER_MAX,
        };
        match self.stage {
            Stage::Connecting(since) if now - since >= TCP_CONNECT_MAX => {
                return Some(End::Failed(Why::Unreachable));
            }
            Stage::Securing(since) if now - since >= TLS_HANDSHAKE_MAX => {
                return Some(End::Failed(Why::Unreachable));
            }
            Stage::Connecting(_) | Stage::Securing(_) => return None,
            Stage::Closing(since) if now - since >= TCP_LINGER => return Some(End::Failed(Why::Closed)),
            Stage::Closing(_) | Stage::Open => {}
        }
        if self.stalled.is_some_and(|since| now - since >= TCP_STALL_MAX) {
            return Some(End::Failed(Why::Unreachable));
        }
        if self
            .unfinished
            .is_some_and(|since| now - since >= TCP_MESSAGE_MAX)
        {
            return Some(End::Failed(Why::Closed));
        }
        (self.queue.is_empty() && now - self.active >= idle).then_some(End::Quiet)
    }
}
