//! The TCP connections of one shard: opened, read, written, reused and closed.
//!
//! Those of a listener belong to the shard that reads the listener. What fails is told by
//! [`Connections::take_failed`]; a connection that is gone is opened again by the next message.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::event_loop::Stats;
use super::poller::{Interest, Poller, Source};
use super::tcp;
use crate::base::limits::{
    TCP_ACCEPTED_MAX, TCP_CONNECT_MAX, TCP_CONNECTIONS_MAX, TCP_IDLE_MAX, TCP_IDLE_STRANGER_MAX, TCP_LINGER,
    TCP_MESSAGE_MAX, TCP_PER_STRANGER_MAX, TCP_PER_TRUNK_SOURCE_MAX, TCP_QUEUE_BYTES_MAX, TCP_STALL_MAX,
};
use crate::base::time::Instant;
use crate::call::port::Why;
use crate::sip::framer::{Frame, Framer, PONG};
use crate::sip::path::{FlowHint, ListenerId, Path, Transport};

/// Bytes that one call reads.
const READ_BYTES: usize = 32_768;
/// Reads of one connection before anything else is looked at.
const READS_MAX: usize = 4;
/// Messages that one call writes.
const WRITE_PARTS: usize = 32;
/// What responses begin with, and requests don't.
const RESPONSE: &[u8] = b"SIP/2.0 ";

/// Whom a connection is with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// An address that a trunk accepts from, or one that we connected to.
    Trunk,
    /// Anybody else.
    Stranger,
}

enum Stage {
    /// Asked for at this time.
    Connecting(Instant),
    Open,
    /// Nothing that comes is heard any more, since this time.
    Closing(Instant),
}

struct Connection {
    stream: TcpStream,
    listener: ListenerId,
    remote: SocketAddr,
    peer: Peer,
    stage: Stage,
    framer: Framer,
    /// What waits to be written, and how many bytes of the first of it are written already.
    queue: VecDeque<Vec<u8>>,
    written: usize,
    queued_bytes: usize,
    interest: Interest,
    /// When bytes went either way last.
    active: Instant,
    served: Served,
    /// Since when a message is unfinished.
    unfinished: Option<Instant>,
    /// Since when the other side takes nothing.
    stalled: Option<Instant>,
}

/// Whether a message ever came by a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Served {
    NotYet,
    Yes,
}

/// Why a connection ends.
enum End {
    /// Nothing was waited for.
    Quiet,
    /// What waits for an answer over it will get none.
    Failed(Why),
}

/// One shard's connections.
pub struct Connections {
    all: HashMap<FlowHint, Connection, ahash::RandomState>,
    /// The connection that a message to an address goes by.
    by_remote: HashMap<(ListenerId, SocketAddr), FlowHint, ahash::RandomState>,
    /// How many come from an address.
    sources: HashMap<IpAddr, usize, ahash::RandomState>,
    next: u32,
    /// Those with something new to write.
    unwritten: Vec<FlowHint>,
    failed: Vec<(Path, Why)>,
    /// What is read into; empty until the first time.
    buffer: Box<[u8]>,
    stats: Arc<Stats>,
}

impl Connections {
    /// None yet.
    pub fn new(stats: Arc<Stats>) -> Self {
        Self {
            all: HashMap::default(),
            by_remote: HashMap::default(),
            sources: HashMap::default(),
            next: 0,
            unwritten: Vec::new(),
            failed: Vec::new(),
            buffer: Box::default(),
            stats,
        }
    }

    /// Whether there is none, nor anything to tell.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.failed.is_empty()
    }

    /// Takes a connection that `listener` accepted, or closes it if there are too many.
    pub fn accepted(
        &mut self,
        poller: &Poller,
        now: Instant,
        listener: ListenerId,
        (stream, from): (TcpStream, SocketAddr),
        peer: Peer,
    ) {
        let most = match peer {
            Peer::Trunk => TCP_PER_TRUNK_SOURCE_MAX,
            Peer::Stranger => TCP_PER_STRANGER_MAX,
        };
        let of_source = self.sources.get(&from.ip()).copied().unwrap_or(0);
        let is_full = of_source >= most || !self.makes_room(TCP_ACCEPTED_MAX, peer);
        // One that the system has no memory to watch is closed too.
        if is_full
            || self
                .add(poller, now, listener, (stream, from), peer, Stage::Open)
                .is_err()
        {
            self.refuse(peer);
        }
    }

    fn refuse(&self, peer: Peer) {
        self.stats.refused.fetch_add(1, Ordering::Relaxed);
        match peer {
            Peer::Trunk => self.stats.refused_trunk.fetch_add(1, Ordering::Relaxed),
            Peer::Stranger => 0,
        };
    }

    /// Whether there is room for one more below `most`. A stranger has to make room for a trunk.
    fn makes_room(&mut self, most: usize, peer: Peer) -> bool {
        if self.stats.connections.load(Ordering::Relaxed) < most as u64 {
            return true;
        }
        let stranger = match peer {
            Peer::Trunk => self.idlest_stranger(),
            Peer::Stranger => None,
        };
        match stranger {
            Some(stranger) => {
                self.end(stranger, End::Quiet);
                true
            }
            None => false,
        }
    }

    /// Sends a message this way: by the connection that it names, by another to the same address, or by a new one.
    /// `listening` is the address of the path's listener. It leaves with [`Connections::write`].
    pub fn send(&mut self, poller: &Poller, now: Instant, listening: SocketAddr, to: Path, bytes: Vec<u8>) {
        let named = to.flow.filter(|flow| {
            self.all.get(flow).is_some_and(|one| {
                // What isn't heard any more is still answered.
                let is_heard = !matches!(one.stage, Stage::Closing(_)) || bytes.starts_with(RESPONSE);
                one.listener == to.listener && one.remote.ip() == to.remote.ip() && is_heard
            })
        });
        // RFC 3261 §18.2.2: a response whose connection is gone goes to the address that its path names.
        let known = named.or_else(|| self.by_remote.get(&(to.listener, to.remote)).copied());
        let flow = match known {
            Some(flow) => flow,
            None => match self.open(poller, now, listening, to) {
                Ok(flow) => flow,
                Err(why) => {
                    self.stats.lost.fetch_add(1, Ordering::Relaxed);
                    return self.failed.push((to, why));
                }
            },
        };
        let Some(connection) = self.all.get_mut(&flow) else {
            return;
        };
        if !bytes.starts_with(RESPONSE) {
            // Whom we ask something is no stranger: that it is gone has to be told.
            connection.peer = Peer::Trunk;
        }
        if connection.queued_bytes.saturating_add(bytes.len()) > TCP_QUEUE_BYTES_MAX {
            self.stats.lost.fetch_add(1, Ordering::Relaxed);
            return self.end(flow, End::Failed(Why::Unreachable));
        }
        if connection.queue.is_empty() {
            self.unwritten.push(flow);
        }
        connection.queued_bytes += bytes.len();
        connection.queue.push_back(bytes);
    }

    /// Writes what was sent, as far as there is room.
    pub fn write(&mut self, poller: &Poller, now: Instant) {
        for flow in std::mem::take(&mut self.unwritten) {
            self.write_one(poller, now, flow);
        }
    }

    /// Something happened at a connection: it came about, bytes came, there is room to write, or it ended. Hands
    /// each message that came to `sink`, and the last bytes of a stream that can't be followed.
    pub fn look(&mut self, poller: &Poller, now: Instant, flow: FlowHint, sink: impl FnMut(Path, &[u8])) {
        let Some(connection) = self.all.get_mut(&flow) else {
            return;
        };
        if let Stage::Connecting(_) = connection.stage {
            // One that is neither there nor lost yet has no peer.
            match (connection.stream.take_error(), connection.stream.peer_addr()) {
                (Ok(None), Ok(_)) => {
                    connection.stage = Stage::Open;
                    connection.active = now;
                }
                (Ok(None), Err(_)) => return,
                (Ok(Some(error)), _) | (Err(error), _) => {
                    return self.end(flow, End::Failed(why(&error)));
                }
            }
        }
        if let Err(end) = self.read(now, flow, sink) {
            return self.end(flow, end);
        }
        self.write_one(poller, now, flow);
    }

    /// Closes the connections whose time is over. To be called about once a second.
    pub fn sweep(&mut self, now: Instant) {
        let over: Vec<(FlowHint, End)> = self
            .all
            .iter()
            .filter_map(|(flow, connection)| Some((*flow, connection.over(now)?)))
            .collect();
        for (flow, end) in over {
            self.end(flow, end);
        }
    }

    /// What could not be sent, or has lost its connection, since the last time.
    pub fn take_failed(&mut self) -> Vec<(Path, Why)> {
        std::mem::take(&mut self.failed)
    }

    /// Begins a connection of ours.
    fn open(
        &mut self,
        poller: &Poller,
        now: Instant,
        listening: SocketAddr,
        to: Path,
    ) -> Result<FlowHint, Why> {
        if !self.makes_room(TCP_CONNECTIONS_MAX, Peer::Trunk) {
            self.refuse(Peer::Trunk);
            return Err(Why::Unreachable);
        }
        let stream = tcp::connect(listening, to.remote).map_err(|error| why(&error))?;
        let stage = Stage::Connecting(now);
        let whom = (stream, to.remote);
        self.add(poller, now, to.listener, whom, Peer::Trunk, stage)
            .map_err(|error| why(&error))
    }

    fn add(
        &mut self,
        poller: &Poller,
        now: Instant,
        listener: ListenerId,
        (stream, remote): (TcpStream, SocketAddr),
        peer: Peer,
        stage: Stage,
    ) -> io::Result<FlowHint> {
        // Four thousand million later one that is still open may have the name.
        while self.all.contains_key(&FlowHint(self.next)) {
            self.next = self.next.wrapping_add(1);
        }
        let flow = FlowHint(self.next);
        self.next = self.next.wrapping_add(1);
        let interest = match stage {
            Stage::Connecting(_) => Interest::ReadAndWrite,
            Stage::Open | Stage::Closing(_) => Interest::Read,
        };
        poller.add(&stream, Source::Connection(flow), interest)?;
        self.by_remote.entry((listener, remote)).or_insert(flow);
        *self.sources.entry(remote.ip()).or_default() += 1;
        self.stats.connections.fetch_add(1, Ordering::Relaxed);
        let connection = Connection {
            stream,
            listener,
            remote,
            peer,
            stage,
            framer: Framer::default(),
            queue: VecDeque::new(),
            written: 0,
            queued_bytes: 0,
            interest,
            active: now,
            served: Served::NotYet,
            unfinished: None,
            stalled: None,
        };
        self.all.insert(flow, connection);
        Ok(flow)
    }

    /// Reads what came, a few times.
    fn read(&mut self, now: Instant, flow: FlowHint, mut sink: impl FnMut(Path, &[u8])) -> Result<(), End> {
        if self.buffer.is_empty() {
            self.buffer = vec![0; READ_BYTES].into_boxed_slice();
        }
        let Some(connection) = self.all.get_mut(&flow) else {
            return Ok(());
        };
        let path = connection.path(flow);
        for _ in 0..READS_MAX {
            let length = match connection.stream.read(&mut self.buffer) {
                Ok(0) => return Err(End::Failed(Why::Closed)),
                Ok(length) => length,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(()),
                    io::ErrorKind::Interrupted => continue,
                    _ => return Err(End::Failed(why(&error))),
                },
            };
            connection.active = now;
            if let Stage::Closing(_) = connection.stage {
                continue;
            }
            connection
                .framer
                .push(self.buffer.get(..length).unwrap_or_default());
            while let Some(frame) = connection.framer.next() {
                match frame {
                    Frame::Message(bytes) => {
                        self.stats.received.fetch_add(1, Ordering::Relaxed);
                        connection.unfinished = None;
                        connection.served = Served::Yes;
                        sink(path, bytes);
                    }
                    Frame::Ping => {
                        // Whoever never reads what we write can't make us keep it either.
                        if connection.queued_bytes < TCP_QUEUE_BYTES_MAX {
                            connection.queue.push_back(PONG.to_vec());
                            connection.queued_bytes += PONG.len();
                        }
                    }
                    Frame::Broken(bytes) => {
                        self.stats.received.fetch_add(1, Ordering::Relaxed);
                        connection.unfinished = None;
                        connection.stage = Stage::Closing(now);
                        if self.by_remote.get(&(path.listener, path.remote)) == Some(&flow) {
                            // Only the answer still goes by it.
                            self.by_remote.remove(&(path.listener, path.remote));
                        }
                        sink(path, bytes);
                        break;
                    }
                }
            }
            if connection.framer.is_within_message() {
                connection.unfinished.get_or_insert(now);
            } else {
                // What had begun was the half of a keep-alive.
                connection.unfinished = None;
            }
            if length < READ_BYTES {
                return Ok(());
            }
        }
        Ok(())
    }

    fn write_one(&mut self, poller: &Poller, now: Instant, flow: FlowHint) {
        let Some(connection) = self.all.get_mut(&flow) else {
            return;
        };
        if let Stage::Connecting(_) = connection.stage {
            return;
        }
        let outcome = connection.write(now, &self.stats).and_then(|()| {
            let interest = if connection.queue.is_empty() {
                Interest::Read
            } else {
                Interest::ReadAndWrite
            };
            if interest != connection.interest {
                poller.change(&connection.stream, Source::Connection(flow), interest)?;
                connection.interest = interest;
            }
            Ok(())
        });
        if let Err(error) = outcome {
            self.end(flow, End::Failed(why(&error)));
        }
    }

    /// Closes a connection.
    fn end(&mut self, flow: FlowHint, end: End) {
        let Some(connection) = self.all.remove(&flow) else {
            return;
        };
        let (key, ip) = ((connection.listener, connection.remote), connection.remote.ip());
        if self.by_remote.get(&key) == Some(&flow) {
            self.by_remote.remove(&key);
        }
        if let Some(count) = self.sources.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&ip);
            }
        }
        self.stats.connections.fetch_sub(1, Ordering::Relaxed);
        self.stats
            .lost
            .fetch_add(connection.queue.len() as u64, Ordering::Relaxed);
        let why = match (end, connection.peer, connection.served) {
            // Nobody waits for a stranger's answer.
            (End::Quiet, ..) | (End::Failed(_), Peer::Stranger, _) => return,
            (End::Failed(Why::Closed), Peer::Trunk, Served::Yes) => Why::Crossed,
            (End::Failed(why), Peer::Trunk, _) => why,
        };
        self.failed.push((connection.path(flow), why));
    }

    /// The connection of a stranger that has been silent longest.
    fn idlest_stranger(&self) -> Option<FlowHint> {
        self.all
            .iter()
            .filter(|(_, connection)| connection.peer == Peer::Stranger)
            .min_by_key(|(_, connection)| connection.active)
            .map(|(flow, _)| *flow)
    }
}

impl Connection {
    fn path(&self, flow: FlowHint) -> Path {
        Path {
            listener: self.listener,
            transport: Transport::Tcp,
            remote: self.remote,
            flow: Some(flow),
            party: None,
        }
    }

    /// Writes what waits, as far as there is room.
    fn write(&mut self, now: Instant, stats: &Stats) -> io::Result<()> {
        while !self.queue.is_empty() {
            let mut parts = [IoSlice::new(&[]); WRITE_PARTS];
            for (at, (part, message)) in parts.iter_mut().zip(&self.queue).enumerate() {
                let from = if at == 0 { self.written } else { 0 };
                *part = IoSlice::new(message.get(from..).unwrap_or_default());
            }
            let count = self.queue.len().min(WRITE_PARTS);
            match self.stream.write_vectored(parts.get(..count).unwrap_or_default()) {
                Ok(length) => self.wrote(now, length, stats),
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
        Ok(())
    }

    fn wrote(&mut self, now: Instant, length: usize, stats: &Stats) {
        self.active = now;
        self.stalled = None;
        self.queued_bytes = self.queued_bytes.saturating_sub(length);
        self.written += length;
        while let Some(first) = self.queue.front()
            && first.len() <= self.written
        {
            self.written -= first.len();
            self.queue.pop_front();
            stats.sent.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether its time is over, and how it ends then.
    fn over(&self, now: Instant) -> Option<End> {
        let idle = match self.peer {
            Peer::Trunk => TCP_IDLE_MAX,
            Peer::Stranger => TCP_IDLE_STRANGER_MAX,
        };
        match self.stage {
            Stage::Connecting(since) if now - since >= TCP_CONNECT_MAX => {
                return Some(End::Failed(Why::Unreachable));
            }
            Stage::Connecting(_) => return None,
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

/// What a fault says of the way.
fn why(error: &io::Error) -> Why {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Why::Refused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            Why::Closed
        }
        _ => Why::Unreachable,
    }
}

#[cfg(test)]
mod tests;
