//! From a gateway to its addresses: what the names of gateways resolve to at present (RFC 3263), and the choice that
//! each call makes among it.
//!
//! The look-ups are the shell's: it hands a new table in whenever one has changed ([`Input::Resolved`]), so that no
//! call ever waits for DNS.
//!
//! [`Input::Resolved`]: super::port::Input::Resolved

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use arrayvec::ArrayVec;

use super::config::Listener;
use super::hands::listener_among;
use super::trunk::Gateway;
use crate::base::chance::Chance;
use crate::base::limits::TARGETS_TRIED_MAX;
use crate::base::text;
use crate::sip::path::{ListenerId, Transport};

/// An address that can be spoken to, and how.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

/// Whether a URI insists on TLS.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    /// `sip:`: it doesn't.
    Sip,
    /// `sips:`: it does (RFC 3261 §26.2.2).
    Sips,
}

/// A host that is written as a name, with what the conf says besides: all that RFC 3263 §4 goes by.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Name {
    /// Whether TLS is a must.
    pub scheme: Scheme,
    /// The name, in small letters and without a dot at its end.
    pub host: Box<str>,
    /// A port that is written: SRV is not asked then.
    pub port: Option<u16>,
    /// A transport that is written: NAPTR is not asked then.
    pub transport: Option<Transport>,
}

impl Name {
    /// The host, with the port if one is written: as a URI has it.
    pub fn host_port(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.to_string(),
        }
    }

    /// The transport, where that is no affair of DNS.
    pub fn wants(&self) -> Option<Transport> {
        match self.scheme {
            Scheme::Sip => self.transport,
            Scheme::Sips => Some(Transport::Tls),
        }
    }
}

impl fmt::Display for Name {
    /// The URI that the conf has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Sip => "sip",
            Scheme::Sips => "sips",
        };
        write!(f, "{scheme}:{}", self.host_port())?;
        match self.transport {
            Some(transport) => write!(f, ";transport={}", transport.name()),
            None => Ok(()),
        }
    }
}

/// Where a gateway is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Place {
    /// At this address.
    At(Target),
    /// Wherever DNS says.
    Named(Name),
}

impl Place {
    /// The transport that it is spoken to by, where the conf says so.
    pub fn wants(&self) -> Option<Transport> {
        match self {
            Self::At(target) => Some(target.transport),
            Self::Named(name) => name.wants(),
        }
    }

    /// The host and its port, as URIs have it: of a name only what is written.
    pub fn host_port(&self) -> String {
        match self {
            Self::At(target) => text::of_address(target.address),
            Self::Named(name) => name.host_port(),
        }
    }
}

impl fmt::Display for Place {
    /// As the conf has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(target) => {
                let (address, transport) = (target.address, target.transport.name());
                write!(f, "sip:{address};transport={transport}")
            }
            Self::Named(name) => name.fmt(f),
        }
    }
}

/// One of the servers behind a name: a line of SRV, or what stands in for one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// When its turn comes: all of one tier before those of the next. NAPTR's order and preference, then SRV's
    /// priority.
    pub tier: u16,
    /// How often it is chosen among those of its tier (RFC 2782).
    pub weight: u16,
    /// How it is spoken to.
    pub transport: Transport,
    /// Its addresses.
    pub addresses: Vec<SocketAddr>,
}

/// What the names of gateways resolve to at present.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Resolved {
    names: HashMap<Name, Vec<Server>, ahash::RandomState>,
}

impl Resolved {
    /// A table of these answers. A name without any server is one that resolves to nothing.
    pub fn new(answers: impl IntoIterator<Item = (Name, Vec<Server>)>) -> Self {
        Self {
            names: answers.into_iter().collect(),
        }
    }

    /// The servers of a name; none if it doesn't resolve.
    pub fn servers(&self, name: &Name) -> &[Server] {
        self.names.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether a gateway is to be spoken to here, and so, at present.
    pub fn is_target(&self, gateway: &Gateway, target: Target) -> bool {
        match &gateway.place {
            Place::At(at) => *at == target,
            Place::Named(name) => {
                let mut servers = self.servers(name).iter();
                servers.any(|s| s.transport == target.transport && s.addresses.contains(&target.address))
            }
        }
    }

    /// Whether a gateway has this address at present.
    pub fn is_at(&self, gateway: &Gateway, address: IpAddr) -> bool {
        self.any_at(gateway, |at| at == address)
    }

    /// Whether a gateway has such an address at present.
    pub fn any_at(&self, gateway: &Gateway, is_it: impl Fn(IpAddr) -> bool) -> bool {
        match &gateway.place {
            Place::At(target) => is_it(target.address.ip()),
            Place::Named(name) => {
                let mut all = self.servers(name).iter().flat_map(|server| &server.addresses);
                all.any(|server| is_it(server.ip()))
            }
        }
    }
}

/// The addresses of a gateway that one call tries, in order. Empty: its name resolves to nothing that one of
/// `listeners` reaches. `wanted` is the listener that the trunk names.
pub fn of_gateway(
    gateway: &Gateway,
    listeners: &[Listener],
    wanted: Option<ListenerId>,
    resolved: &Resolved,
    chance: &mut Chance,
) -> ArrayVec<Target, TARGETS_TRIED_MAX> {
    let name = match &gateway.place {
        Place::At(target) => return [*target].into_iter().collect(),
        Place::Named(name) => name,
    };
    let mut left: Vec<&Server> = resolved.servers(name).iter().collect();
    let mut targets = ArrayVec::new();
    while let Some(server) = take_server(&mut left, chance) {
        let mut addresses: Vec<(u8, SocketAddr)> = server
            .addresses
            .iter()
            // It is us: calls would come back.
            .filter(|address| !listeners.iter().any(|l| l.is_at(**address)))
            .filter_map(|address| {
                let listener = listener_among(listeners, wanted, server.transport, *address)?;
                Some((listener.id.0, *address))
            })
            .collect();
        shuffle(&mut addresses, chance);
        // Of both families the one that our first listener is of; among equals each call begins with another.
        addresses.sort_by_key(|(listener, _)| *listener);
        for (_, address) in addresses {
            let target = Target {
                transport: server.transport,
                address,
            };
            if !targets.contains(&target) && targets.try_push(target).is_err() {
                return targets;
            }
        }
    }
    targets
}

/// Every address of a gateway, without any choice by chance: in the same order while DNS says the same. Empty as in
/// [`of_gateway`].
pub fn all(
    gateway: &Gateway,
    listeners: &[Listener],
    wanted: Option<ListenerId>,
    resolved: &Resolved,
) -> Vec<Target> {
    let name = match &gateway.place {
        Place::At(target) => return vec![*target],
        Place::Named(name) => name,
    };
    let mut servers: Vec<&Server> = resolved.servers(name).iter().collect();
    servers.sort_by_key(|server| server.tier);
    let targets = servers.into_iter().flat_map(|server| {
        let target = |address: &SocketAddr| Target {
            transport: server.transport,
            address: *address,
        };
        server.addresses.iter().map(target)
    });
    let is_reached = |target: &Target| {
        let (transport, address) = (target.transport, target.address);
        let is_ours = listeners.iter().any(|l| l.is_at(address));
        !is_ours && listener_among(listeners, wanted, transport, address).is_some()
    };
    targets.filter(is_reached).collect()
}

/// The first of [`all`].
pub fn first(
    gateway: &Gateway,
    listeners: &[Listener],
    wanted: Option<ListenerId>,
    resolved: &Resolved,
) -> Option<Target> {
    all(gateway, listeners, wanted, resolved).first().copied()
}

/// Takes the next server out of those left, as RFC 2782 has it: the lowest tier first, and in a tier each as often as
/// its weight says.
fn take_server<'s>(left: &mut Vec<&'s Server>, chance: &mut Chance) -> Option<&'s Server> {
    let tier = left.iter().map(|server| server.tier).min()?;
    let of_tier = |weightless: bool| {
        let left = left.iter().enumerate();
        left.filter(move |(_, server)| server.tier == tier && (server.weight == 0) == weightless)
            .map(|(at, server)| (at, u32::from(server.weight)))
    };
    let total: u32 = of_tier(false).map(|(_, weight)| weight).sum();
    let weightless = u32::try_from(of_tier(true).count()).unwrap_or(u32::MAX);
    // Zero is drawn by one of those without a weight: a very small chance beside others, as they have it.
    let drawn = match (weightless, total) {
        (0, total) => 1 + chance.below(total),
        (_, 0) => 0,
        (_, total) => chance.below(total.saturating_add(1)),
    };
    let at = if drawn == 0 {
        of_tier(true).nth(chance.below(weightless) as usize)
    } else {
        let mut sum = 0;
        of_tier(false).find(|(_, weight)| {
            sum += weight;
            sum >= drawn
        })
    };
    at.map(|(at, _)| left.remove(at))
}

fn shuffle<T>(items: &mut [T], chance: &mut Chance) {
    for at in (1..items.len()).rev() {
        let bound = u32::try_from(at + 1).unwrap_or(u32::MAX);
        items.swap(at, chance.below(bound) as usize);
    }
}

#[cfg(test)]
mod tests;
