//! TCP connections of the simulated network: in order, without loss, until they are reset.

use std::net::SocketAddr;
use std::time::Duration;

use umbra::sip::path::{FlowHint, ListenerId, Path, Transport};

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Towards {
    /// To Umbra.
    Umbra,
    /// To the phone.
    Phone,
}

/// Umbra's listener, and what it listens by.
type By = (ListenerId, Transport);

/// One connection.
#[derive(Clone, Debug)]
pub struct Wire {
    /// Umbra's end, as the phone sees it.
    pub umbra: SocketAddr,
    /// The phone's end, as Umbra sees it.
    pub theirs: SocketAddr,
    /// The address that the phone goes by.
    pub phone: SocketAddr,
    /// Umbra's listener.
    pub listener: ListenerId,
    /// TCP or TLS.
    pub transport: Transport,
    open: bool,
    /// When the last bytes arrive that are on their way to Umbra, and to the phone.
    last: [Duration; 2],
}

/// Every connection that there ever was, by its flow.
#[derive(Debug, Default)]
pub struct Wires(Vec<Wire>);

impl Wires {
    /// A connection that a phone at `phone` opened to a listener of Umbra's.
    pub fn opened_by_phone(
        &mut self,
        (listener, transport): By,
        umbra: SocketAddr,
        phone: SocketAddr,
    ) -> usize {
        let theirs = SocketAddr::new(phone.ip(), 50_000 + self.0.len() as u16);
        self.add((listener, transport), umbra, theirs, phone)
    }

    /// A connection that Umbra opened from where it listens.
    pub fn opened_by_umbra(
        &mut self,
        (listener, transport): By,
        umbra: SocketAddr,
        phone: SocketAddr,
    ) -> usize {
        let from = SocketAddr::new(umbra.ip(), 40_000 + self.0.len() as u16);
        self.add((listener, transport), from, phone, phone)
    }

    fn add(
        &mut self,
        (listener, transport): By,
        umbra: SocketAddr,
        theirs: SocketAddr,
        phone: SocketAddr,
    ) -> usize {
        self.0.push(Wire {
            umbra,
            theirs,
            phone,
            listener,
            transport,
            open: true,
            last: [Duration::ZERO; 2],
        });
        self.0.len() - 1
    }

    /// The connection that a message of Umbra's goes by.
    pub fn of_path(&self, path: Path) -> Option<usize> {
        let named = path.flow.map(|FlowHint(flow)| flow as usize);
        named
            .filter(|at| self.open(*at).is_some_and(|w| w.theirs.ip() == path.remote.ip()))
            .or_else(|| self.find(|w| w.theirs == path.remote && w.listener == path.listener))
    }

    /// The connection between a phone and this end of Umbra's.
    pub fn between(&self, phone: SocketAddr, umbra: SocketAddr) -> Option<usize> {
        self.find(|w| w.phone == phone && w.umbra == umbra)
    }

    fn find(&self, is: impl Fn(&Wire) -> bool) -> Option<usize> {
        (0..self.0.len()).find(|at| self.open(*at).is_some_and(&is))
    }

    /// A connection, unless it is closed.
    pub fn open(&self, at: usize) -> Option<&Wire> {
        self.0.get(at).filter(|wire| wire.open)
    }

    /// How Umbra names a connection.
    pub fn path(&self, at: usize) -> Path {
        let wire = &self.0[at];
        Path {
            listener: wire.listener,
            transport: wire.transport,
            remote: wire.theirs,
            flow: Some(FlowHint(at as u32)),
            party: None,
        }
    }

    /// When bytes arrive that leave now and take so long: never before those that left earlier.
    pub fn arrival(&mut self, at: usize, towards: Towards, wished: Duration) -> Duration {
        let last = match towards {
            Towards::Umbra => &mut self.0[at].last[0],
            Towards::Phone => &mut self.0[at].last[1],
        };
        *last = wished.max(*last);
        *last
    }

    /// Whether Umbra ever was sent anything by it.
    pub fn has_served(&self, at: usize) -> bool {
        let [to_umbra, _] = self.0[at].last;
        to_umbra > Duration::ZERO
    }

    /// Nothing arrives on the connections of a phone's address before `until`.
    pub fn stall(&mut self, phone: SocketAddr, until: Duration) {
        for wire in self.0.iter_mut().filter(|wire| wire.phone == phone) {
            wire.last = wire.last.map(|last| last.max(until));
        }
    }

    /// Closes every connection.
    pub fn reset_all(&mut self) {
        for wire in &mut self.0 {
            wire.open = false;
        }
    }

    /// Closes every connection of a phone's address; which they were.
    pub fn reset(&mut self, phone: SocketAddr) -> Vec<usize> {
        let hit: Vec<usize> = (0..self.0.len())
            .filter(|at| self.open(*at).is_some_and(|w| w.phone == phone))
            .collect();
        for at in &hit {
            self.0[*at].open = false;
        }
        hit
    }
}
