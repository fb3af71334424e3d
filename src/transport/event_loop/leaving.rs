//! What leaves: datagrams together, the rest by its connections, and what becomes of what can't.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{EventLoop, Outbox};
use crate::base::time::Instant;
use crate::call::port::Why;
use crate::call::trunk::{self, Trunk};
use crate::sip::path::{ListenerId, Path, Transport as Protocol};
use crate::transport::bound::Socket;
use crate::transport::fresh::Fresh;
use crate::transport::shard::{Message, Packet};
use crate::transport::udp::{self, Undelivered};

impl EventLoop {
    /// Sends what is in the outbox, in order.
    pub(super) fn flush(&mut self, outbox: &mut Outbox) {
        self.send_all(&mut outbox.0);
        outbox.0.clear();
    }

    /// Sends the answers of those that were refused.
    pub(super) fn send_refusals(&mut self, fresh: &mut Fresh) {
        let mut answers = fresh.take_answers();
        if !answers.is_empty() {
            let shed = answers.len() as u64;
            self.stats.shed.fetch_add(shed, Ordering::Relaxed);
            self.send_all(&mut answers);
        }
        fresh.keep_room(answers);
    }

    /// Sends messages in order; as many as possible with one call.
    fn send_all(&mut self, messages: &mut [(Path, Vec<u8>)]) {
        let now = self.clock.now().at;
        for (to, bytes) in &*messages {
            // Who is asked something himself is no stranger.
            if !bytes.starts_with(b"SIP/2.0 ") {
                self.bans.asked(to.remote.ip());
            }
        }
        let sockets = Arc::clone(&self.sockets);
        let mut rest = messages;
        while let [(to, bytes), ..] = rest {
            let (to, mut count) = (*to, 1);
            match sockets.get(usize::from(to.listener.0)).map(|bound| &bound.socket) {
                None => {
                    self.stats.lost.fetch_add(1, Ordering::Relaxed);
                }
                Some(Socket::Tcp(_)) => self.send_by_connection(now, to, std::mem::take(bytes)),
                Some(Socket::Udp(socket)) => {
                    let is_same = |(next, _): &&(Path, Vec<u8>)| next.listener == to.listener;
                    count = rest.iter().take_while(is_same).count();
                    self.send_datagrams(to.listener, socket, rest.get(..count).unwrap_or_default());
                }
            }
            rest = rest.get_mut(count..).unwrap_or_default();
        }
        if self.sweep.is_some() || !self.connections.is_empty() {
            self.end_round(now);
        }
    }

    fn send_datagrams(&self, listener: ListenerId, socket: &udp::Socket, datagrams: &[(Path, Vec<u8>)]) {
        let mut failed = Vec::new();
        let sent = socket.send(datagrams, || failed.extend(socket.undelivered()));
        self.stats.sent.fetch_add(sent.count as u64, Ordering::Relaxed);
        self.stats
            .lost
            .fetch_add(sent.lost.len() as u64, Ordering::Relaxed);
        self.show_sent(listener, datagrams, &sent.lost);
        for (i, why) in sent.lost {
            if let (Some((to, _)), Some(why)) = (datagrams.get(i), why) {
                let remote = to.remote;
                failed.push(Undelivered { remote, why });
            }
        }
        for Undelivered { remote, why } in failed {
            let path = Path::udp(listener, remote);
            self.tell_others(path, why);
            // Our own comes by mail too: the handler is not to be called from here.
            self.tell(self.homes.shard.index, path, why);
        }
    }

    /// Tells who looks on of datagrams that left; `lost` says which didn't.
    fn show_sent(&self, listener: ListenerId, datagrams: &[(Path, Vec<u8>)], lost: &[(usize, Option<Why>)]) {
        let Some(watch) = &self.watch else { return };
        let from = self.shown_address(listener);
        for (i, (to, bytes)) in datagrams.iter().enumerate() {
            if !lost.iter().any(|(lost, _)| *lost == i) {
                watch.saw(Protocol::Udp, from, to.remote, bytes);
            }
        }
    }

    /// The address of a listener, as who looks on is told it: one that is bound to every address of the machine has the
    /// one that others reach it at.
    pub(super) fn shown_address(&self, id: ListenerId) -> SocketAddr {
        let index = usize::from(id.0);
        let bound = self.sockets.get(index).map(|bound| bound.address);
        match (bound, self.config.listeners.get(index)) {
            (Some(bound), Some(listener)) if bound.ip().is_unspecified() => {
                SocketAddr::new(listener.advertised.ip(), bound.port())
            }
            (Some(bound), _) => bound,
            (None, _) => SocketAddr::from(([0; 4], 0)),
        }
    }

    /// Sends a message over TCP or TLS: by a connection of this shard's, or by way of the shard that has it.
    pub(super) fn send_by_connection(&mut self, now: Instant, mut to: Path, bytes: Vec<u8>) {
        let index = usize::from(to.listener.0);
        let owner = index % self.homes.shard.count;
        // By a connection that is there it goes whosever it is.
        let is_there = || owner == self.homes.shard.index && self.connections.has(to.flow);
        if to.transport == Protocol::Tls && to.party.is_none() && !is_there() {
            to.party = trunk::towards(&self.config.trunks, &self.resolved, to).map(Trunk::party);
        }
        let Some(bound) = self.sockets.get(index) else {
            return;
        };
        if owner == self.homes.shard.index {
            self.connections.send(&self.poller, now, bound.address, to, bytes);
            return;
        }
        let packet = Packet {
            path: to,
            bytes: bytes.into_boxed_slice(),
        };
        if self.doors[owner].send_by(packet).is_err() {
            self.stats.lost.fetch_add(1, Ordering::Relaxed);
            self.tell(self.homes.shard.index, to, Why::Unreachable);
        }
    }

    /// Tells every other shard that a way failed: who sent there can't be told from what comes back.
    pub(super) fn tell_others(&self, path: Path, why: Why) {
        for index in (0..self.doors.len()).filter(|i| *i != self.homes.shard.index) {
            self.tell(index, path, why);
        }
    }

    pub(super) fn tell(&self, index: usize, path: Path, why: Why) {
        // A shard that has no room left for it finds out by its own timers.
        if self.doors[index].tell(Message::Failed(path, why)).is_err() {
            self.stats.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}
