//! The TCP and TLS connections of one shard: opened, read, written, reused and closed.
//!
//! Those of a listener belong to the shard that reads the listener. What fails is told by
//! [`Connections::take_failed`]; a connection that is gone is opened again by the next message.

mod alive;
mod one;
mod securing;

use std::collections::{HashMap, VecDeque};
use std::io::{self};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use self::alive::{Alive, Due, PING};
use self::one::{Connection, End, Known, Opened, Served, Stage};
use super::event_loop::Stats;
use super::poller::{Interest, Poller, Source};
use super::tcp;
use super::tls::{Shaken, Terms};
use super::watch::Watch;
use super::wire::Wire;
use crate::base::dscp::Dscp;
use crate::base::limits::{
    TCP_ACCEPTED_MAX, TCP_CONNECTIONS_MAX, TCP_PER_STRANGER_MAX, TCP_PER_TRUNK_SOURCE_MAX,
    TCP_QUEUE_BYTES_MAX,
};
use crate::base::time::Instant;
use crate::call::port::Why;
use crate::call::targets::Resolved;
use crate::call::trunk::{self, Trunk};
use crate::sip::framer::{Frame, Framer, PONG};
use crate::sip::path::{FlowHint, ListenerId, Path, Transport};

/// Bytes that one call reads.
const READ_BYTES: usize = 32_768;
/// Reads of one connection before anything else is looked at.
const READS_MAX: usize = 4;
/// What responses begin with, and requests don't.
const RESPONSE: &[u8] = b"SIP/2.0 ";

/// Whom a connection is with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// An address that a trunk accepts from, or one that we connected to, or who has shown a trunk's certificate.
    Trunk,
    /// Anybody else.
    Stranger,
}

/// The trunks of the conf, and where the names of their gateways lead.
pub type AllTrunks<'t> = (&'t [Trunk], &'t Resolved);

/// One shard's connections.
pub struct Connections {
    all: HashMap<FlowHint, Connection, ahash::RandomState>,
    by_remote: HashMap<Known, FlowHint, ahash::RandomState>,
    /// How many come from an address.
    sources: HashMap<IpAddr, usize, ahash::RandomState>,
    next: u32,
    /// Those with something new to write.
    unwritten: Vec<FlowHint>,
    failed: Vec<(Path, Why)>,
    /// What is read into; empty until the first time.
    buffer: Box<[u8]>,
    stats: Arc<Stats>,
    tls: Arc<Terms>,
    resolved: Arc<Resolved>,
    dscp: Dscp,
    /// Strangers that began a handshake in the second that began then.
    strangers: (Instant, usize),
    /// Who is told of every message, if somebody is.
    watch: Option<Watch>,
}

impl Connections {
    /// None yet. The packets of those that we open are as urgent as `dscp` says.
    pub fn new(stats: Arc<Stats>, tls: Arc<Terms>, dscp: Dscp) -> Self {
        Self {
            all: HashMap::default(),
            by_remote: HashMap::default(),
            sources: HashMap::default(),
            next: 0,
            unwritten: Vec::new(),
            failed: Vec::new(),
            buffer: Box::default(),
            stats,
            tls,
            resolved: Arc::default(),
            dscp,
            strangers: (Instant::default(), 0),
            watch: None,
        }
    }

    /// Whether there is none, nor anything to tell.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.failed.is_empty()
    }

    /// From now on somebody else is told of every message, or nobody.
    pub(super) fn set_watch(&mut self, watch: Option<Watch>) {
        self.watch = watch;
    }

    /// Tells who looks on of what was gathered.
    pub(super) fn tell_watch(&self) {
        if let Some(watch) = &self.watch {
            watch.tell();
        }
    }

    /// Connections that begin from now on are on these terms of TLS.
    pub fn set_terms(&mut self, tls: Arc<Terms>) {
        self.tls = tls;
    }

    /// Where the gateways are from now on.
    pub fn set_resolved(&mut self, resolved: Arc<Resolved>) {
        self.resolved = resolved;
    }

    /// Whether a connection is there.
    pub fn has(&self, flow: Option<FlowHint>) -> bool {
        flow.is_some_and(|flow| self.all.contains_key(&flow))
    }

    /// Other trunks are in the conf, or their gateways are elsewhere: whose the connections are is judged anew.
    pub fn set_trunks(&mut self, trunks: AllTrunks<'_>) {
        self.all.values_mut().for_each(|one| one.alive.forget());
        let accepted = |one: &Connection| {
            matches!(one.stage, Stage::Open)
                && one.opened == Opened::ByThem
                && one.wire.transport() == Transport::Tls
        };
        let secure = self.all.iter().filter(|(_, one)| accepted(one));
        for flow in secure.map(|(flow, _)| *flow).collect::<Vec<_>>() {
            self.name(flow, trunks);
        }
    }

    /// Takes a connection that `listener` accepted, over TCP or TLS, or closes it if there are too many.
    pub fn accepted(
        &mut self,
        poller: &Poller,
        now: Instant,
        (listener, transport): (ListenerId, Transport),
        (stream, from): (TcpStream, SocketAddr),
        peer: Peer,
    ) {
        let most = match peer {
            Peer::Trunk => TCP_PER_TRUNK_SOURCE_MAX,
            Peer::Stranger => TCP_PER_STRANGER_MAX,
        };
        let of_source = self.sources.get(&from.ip()).copied().unwrap_or(0);
        let is_full = of_source >= most
            || (transport == Transport::Tls && !self.may_shake(now, peer))
            || !self.makes_room(TCP_ACCEPTED_MAX, peer);
        let taken = |all: &mut Self| -> io::Result<FlowHint> {
            let (session, stage) = match transport {
                Transport::Tls => (Some(all.tls.accept()?), Stage::Securing(now)),
                Transport::Udp | Transport::Tcp => (None, Stage::Open),
            };
            let wire = Wire::new(stream, session);
            all.add(
                poller,
                now,
                (listener, from, None),
                wire,
                (peer, Opened::ByThem),
                stage,
            )
        };
        // One that the system has no memory to watch is closed too.
        if is_full || taken(self).is_err() {
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
        let known = named.or_else(|| self.by_remote.get(&(to.listener, to.remote, to.party)).copied());
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
    /// `trunks` know the certificates of those who call.
    pub fn look(
        &mut self,
        poller: &Poller,
        now: Instant,
        flow: FlowHint,
        trunks: AllTrunks<'_>,
        sink: impl FnMut(Path, &[u8]),
    ) {
        let Some(connection) = self.all.get_mut(&flow) else {
            return;
        };
        if let Stage::Connecting(_) = connection.stage {
            match connection.wire.connected() {
                Ok(Some(())) => {
                    connection.active = now;
                    connection.stage = match connection.wire.transport() {
                        Transport::Tls => {
                            self.stats.handshakes.fetch_add(1, Ordering::Relaxed);
                            Stage::Securing(now)
                        }
                        Transport::Udp | Transport::Tcp => Stage::Open,
                    };
                }
                Ok(None) => return,
                Err(error) => return self.end(flow, End::Failed(why(&error))),
            }
        }
        if let Stage::Securing(_) = connection.stage {
            match connection.wire.shake() {
                Ok(Shaken::Done) => self.secured(now, flow, trunks),
                Ok(Shaken::NotYet) => return self.write_one(poller, now, flow),
                Err(error) => {
                    self.not_secured(flow, &error);
                    return self.end(flow, End::Failed(Why::Unreachable));
                }
            }
        }
        if let Err(end) = self.read(now, flow, sink) {
            return self.end(flow, end);
        }
        self.write_one(poller, now, flow);
    }

    /// Closes the connections whose time is over, and keeps those alive that are ours to gateways of `trunks` that want
    /// that. To be called about once a second, before [`Connections::write`].
    pub fn sweep(&mut self, now: Instant, trunks: AllTrunks<'_>) {
        self.keep_alive(now, trunks);
        let over: Vec<(FlowHint, End)> = self
            .all
            .iter()
            .filter_map(|(flow, connection)| Some((*flow, connection.over(now)?)))
            .collect();
        for (flow, end) in over {
            if self.all.get(&flow).is_some_and(Connection::is_securing) {
                self.not_secured(flow, &io::ErrorKind::TimedOut.into());
            }
            self.end(flow, end);
        }
    }

    fn keep_alive(&mut self, now: Instant, (trunks, resolved): AllTrunks<'_>) {
        let mut dead = Vec::new();
        let ours = |one: &Connection| one.opened == Opened::ByUs && matches!(one.stage, Stage::Open);
        for (flow, one) in self.all.iter_mut().filter(|(_, one)| ours(one)) {
            if one.alive.is_unknown() {
                let trunk = trunk::towards(trunks, resolved, one.path(*flow));
                one.alive
                    .learn(now, *flow, trunk.and_then(|trunk| trunk.keepalive));
            }
            match one.alive.due(now, *flow) {
                Due::Nothing => {}
                Due::Dead => dead.push(*flow),
                Due::Ping => {
                    if one.queue.is_empty() {
                        self.unwritten.push(*flow);
                    }
                    one.queued_bytes += PING.len();
                    one.queue.push_back(PING.to_vec());
                }
            }
            if one.alive.is_awaited() {
                one.framer.await_pong();
            } else {
                one.framer.await_no_pong();
            }
        }
        for flow in dead {
            self.stats.dead.fetch_add(1, Ordering::Relaxed);
            self.end(flow, End::Failed(Why::Unreachable));
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
        let begin = |all: &mut Self| -> io::Result<FlowHint> {
            let session = match to.transport {
                Transport::Tls => Some(all.tls.connect(to.party, to.remote, &all.resolved)?),
                Transport::Udp | Transport::Tcp => None,
            };
            let wire = Wire::new(tcp::connect(listening, to.remote, all.dscp)?, session);
            let (known, stage) = ((to.listener, to.remote, to.party), Stage::Connecting(now));
            all.add(poller, now, known, wire, (Peer::Trunk, Opened::ByUs), stage)
        };
        begin(self).map_err(|error| why(&error))
    }

    fn add(
        &mut self,
        poller: &Poller,
        now: Instant,
        (listener, remote, party): Known,
        wire: Wire,
        (peer, opened): (Peer, Opened),
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
            Stage::Securing(_) | Stage::Open | Stage::Closing(_) => Interest::Read,
        };
        let local = wire.local_address()?;
        poller.add(&wire, Source::Connection(flow), interest)?;
        if let Stage::Securing(_) = stage {
            self.stats.handshakes.fetch_add(1, Ordering::Relaxed);
        }
        self.by_remote.entry((listener, remote, party)).or_insert(flow);
        *self.sources.entry(remote.ip()).or_default() += 1;
        self.stats.connections.fetch_add(1, Ordering::Relaxed);
        let connection = Connection {
            wire,
            listener,
            local,
            remote,
            peer,
            party,
            opened,
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
            alive: Alive::default(),
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
        let (path, known) = (connection.path(flow), connection.known());
        for _ in 0..READS_MAX {
            let length = match connection.wire.read(&mut self.buffer) {
                Ok(0) => return Err(End::Failed(Why::Closed)),
                Ok(length) => length,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(()),
                    io::ErrorKind::Interrupted => continue,
                    kind => {
                        // In TLS 1.3 a gateway judges our certificate when the handshake is over for us.
                        let is_judged =
                            (connection.opened, connection.served) == (Opened::ByUs, Served::NotYet);
                        if is_judged && kind == io::ErrorKind::InvalidData {
                            self.not_secured(flow, &error);
                        }
                        return Err(End::Failed(why(&error)));
                    }
                },
            };
            connection.active = now;
            connection.alive.heard();
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
                        if let Some(watch) = &self.watch {
                            watch.saw(path.transport, path.remote, connection.local, bytes);
                        }
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
                    Frame::Pong => connection.alive.answered(),
                    Frame::Broken(bytes) => {
                        self.stats.received.fetch_add(1, Ordering::Relaxed);
                        connection.unfinished = None;
                        connection.stage = Stage::Closing(now);
                        if self.by_remote.get(&known) == Some(&flow) {
                            // Only the answer still goes by it.
                            self.by_remote.remove(&known);
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
            // Under TLS a short read says nothing of what waits.
            if length < READ_BYTES && path.transport != Transport::Tls {
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
        let outcome = connection
            .write(now, &self.stats, self.watch.as_ref())
            .and_then(|()| {
                let interest = if connection.is_written() {
                    Interest::Read
                } else {
                    Interest::ReadAndWrite
                };
                if interest != connection.interest {
                    poller.change(&connection.wire, Source::Connection(flow), interest)?;
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
        let Some(mut connection) = self.all.remove(&flow) else {
            return;
        };
        match connection.stage {
            Stage::Connecting(_) => {}
            Stage::Securing(_) => {
                self.stats.handshakes.fetch_sub(1, Ordering::Relaxed);
            }
            Stage::Open | Stage::Closing(_) => connection.wire.close(),
        }
        let (key, ip) = (connection.known(), connection.remote.ip());
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
