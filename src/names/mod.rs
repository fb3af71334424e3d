//! Floor 4, names: what the names of gateways resolve to (RFC 3263), kept up to date in the background. A call never
//! waits for DNS: it chooses among what is known when it begins ([`crate::call::targets`]).

pub mod dns;
pub mod keeper;
pub mod locate;

use std::net::{IpAddr, SocketAddr};

use crate::call::config::{self, Listener};
use crate::call::targets::{Name, Place};
use crate::sip::path::Transport;

/// How names are looked up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// The DNS servers; empty: those of the system (`/etc/resolv.conf`).
    pub servers: Vec<SocketAddr>,
}

/// By which transports and families our listeners can speak to others.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reach(Vec<(Transport, Family)>);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl Reach {
    /// What these listeners reach.
    pub fn of(listeners: &[Listener]) -> Self {
        let reached = |l: &Listener| (l.transport, Family::of(l.address.ip()));
        Self(listeners.iter().map(reached).collect())
    }

    fn speaks(&self, transport: Transport) -> bool {
        self.0.iter().any(|(spoken, _)| *spoken == transport)
    }

    fn has(&self, family: Family) -> bool {
        self.0.iter().any(|(_, own)| *own == family)
    }

    fn reaches(&self, transport: Transport, address: IpAddr) -> bool {
        self.0.contains(&(transport, Family::of(address)))
    }
}

/// What is to be kept up to date.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// The names.
    pub names: Vec<Name>,
    /// How they are looked up.
    pub dns: Config,
    /// What we could reach of what is found.
    pub reach: Reach,
}

impl Wanted {
    /// Every name of a gateway in the conf.
    pub fn of(config: &config::Config, dns: &Config) -> Self {
        let mut names: Vec<Name> = Vec::new();
        for gateway in config.trunks.iter().flat_map(|trunk| &trunk.gateways) {
            match &gateway.place {
                Place::Named(name) if !names.contains(name) => names.push(name.clone()),
                Place::Named(_) | Place::At(_) => {}
            }
        }
        Self {
            names,
            dns: dns.clone(),
            reach: Reach::of(&config.listeners),
        }
    }
}
