//! Binding the listeners, and making the loops that read them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::{EventLoop, Stats};
use crate::base::shard::{Homes, Moved, Shard};
use crate::call::bans::Bans;
use crate::call::config::{Config, Listener};
use crate::transport::bound::Bound;
use crate::transport::clock::Clock;
use crate::transport::connections::Connections;
use crate::transport::handed::Handed;
use crate::transport::poller::{Poller, Waker};
use crate::transport::shard::Door;
use crate::transport::tls::Terms;

/// Why the server can't listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address of `sip.udp`, `sip.tcp` or `sip.tls`.
    #[error("can't listen on {address}: choose another in sip.{key}, or stop who has it")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Whose address it is: `udp`, `tcp` or `tls`.
        key: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The system has no files or memory left.
    #[error("can't wait for sockets")]
    System(#[source] io::Error),
}

/// The shards' loops, not running yet, and what other threads need of them.
pub struct Transport {
    /// One for each shard, to be run on a thread of its own.
    pub loops: Vec<EventLoop>,
    /// The way into each shard.
    pub doors: Arc<[Door]>,
    /// What is counted.
    pub stats: Arc<Stats>,
    /// Whose messages are not read.
    pub bans: Arc<Bans>,
    sockets: Arc<[Bound]>,
}

impl Transport {
    /// The listeners' sockets, and the names under which they can be kept beyond the process.
    pub fn keepable(&self) -> impl Iterator<Item = (String, BorrowedFd<'_>)> {
        self.sockets.iter().map(Bound::keepable)
    }
}

/// Binds the listeners and shares them out: socket `i` is read by shard `i % count`. `key` is the node's, as
/// the switches have it: Call-IDs that they mint hash home. `moved` are those that don't. A socket among those `handed`
/// over that has a listener's address is taken. Connections over TLS begin on the terms of `tls`.
///
/// # Errors
/// An address that can't be had.
pub fn open(
    config: &Arc<Config>,
    count: usize,
    key: [u64; 2],
    moved: &Arc<Moved>,
    clock: Clock,
    handed: &mut Handed,
    tls: &Arc<Terms>,
) -> Result<Transport, Error> {
    let bind = |l: &Listener| {
        Bound::new(l.transport, l.address, config.dscp, handed).map_err(|source| Error::Bind {
            address: l.address,
            key: l.transport.name(),
            source,
        })
    };
    let sockets: Arc<[Bound]> = config.listeners.iter().map(bind).collect::<Result<_, _>>()?;
    let count = count.max(1);
    let doors = (0..count)
        .map(|_| Waker::new().map(Door::new))
        .collect::<io::Result<Arc<[Door]>>>()
        .map_err(Error::System)?;
    let stats = Arc::new(Stats::default());
    let bans: Arc<Bans> = Arc::default();
    let mut loops = Vec::with_capacity(count);
    for (index, door) in doors.iter().enumerate() {
        let poller = Poller::new(door.waker()).map_err(Error::System)?;
        for (i, socket) in sockets.iter().enumerate().filter(|(i, _)| i % count == index) {
            socket.watch(&poller, i).map_err(Error::System)?;
        }
        loops.push(EventLoop {
            homes: Homes {
                shard: Shard { index, count, key },
                moved: Arc::clone(moved),
            },
            sockets: Arc::clone(&sockets),
            connections: Connections::new(Arc::clone(&stats), Arc::clone(tls), config.dscp),
            sweep: None,
            paused: Vec::new(),
            doors: Arc::clone(&doors),
            poller,
            clock: clock.clone(),
            stats: Arc::clone(&stats),
            bans: Arc::clone(&bans),
            config: Arc::clone(config),
            resolved: Arc::default(),
            watch: None,
        });
    }
    Ok(Transport {
        loops,
        doors,
        stats,
        bans,
        sockets,
    })
}
