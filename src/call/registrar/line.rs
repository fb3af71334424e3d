//! What a registration is made of, and where it may be kept.

use std::net::SocketAddr;

use crate::base::limits::REGISTRARS_TRIED_MAX;
use crate::call::config::{Config, Listener};
use crate::call::hands::listener_towards;
use crate::call::leg::contact_of;
use crate::call::targets::{self, Resolved, Target};
use crate::call::trunk::Trunk;
use crate::call::trunk::register::Register;
use crate::call::trunk::secret::Credentials;
use crate::sip::path::{Party, Path, Transport};

/// What a registration is made of: while it is the same, so is the registration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line {
    pub(super) trunk: Box<str>,
    pub(super) register: Register,
    pub(super) credentials: Option<Credentials>,
    pub(super) at: Server,
}

/// Where a registration may be kept: an address of one of the trunk's gateways.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Server {
    pub(super) listener: Listener,
    pub(super) transport: Transport,
    pub(super) registrar: SocketAddr,
    /// Over TLS, whose terms its connection is opened on: two trunks may have the same gateway.
    pub(super) party: Option<Party>,
    /// The gateway's host and port, as the conf has them.
    pub(super) host: String,
}

impl Server {
    /// Those of a trunk that we can reach, in the order in which they are asked: its gateways as the conf has them, each
    /// with its servers as DNS has them.
    fn all(config: &Config, resolved: &Resolved, trunk: &Trunk) -> Vec<Self> {
        let of = |gateway| {
            let all = targets::all(gateway, &config.listeners, trunk.listener, resolved);
            all.into_iter().map(move |target| (gateway, target))
        };
        let reached = trunk
            .gateways
            .iter()
            .flat_map(of)
            .filter_map(|(gateway, target)| {
                let Target {
                    transport,
                    address: registrar,
                } = target;
                let listener = listener_towards(config, trunk.listener, transport, registrar)?.clone();
                let way = trunk.way(Path {
                    transport,
                    ..Path::udp(listener.id, registrar)
                });
                Some(Self {
                    listener,
                    party: way.party,
                    transport,
                    registrar,
                    host: gateway.place.host_port(),
                })
            });
        reached.take(REGISTRARS_TRIED_MAX).collect()
    }

    /// Whether it is the same host and port, spoken to in the same way.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        let place = |server: &Self| (server.registrar, server.transport);
        place(self) == place(other) && self.listener == other.listener
    }
}

impl Line {
    /// A trunk's, if it wants one and we can reach one of its gateways, and all that it may be kept at. The one that we are
    /// registered at stays while it is among them.
    pub(super) fn of(
        config: &Config,
        resolved: &Resolved,
        trunk: &Trunk,
        present: Option<&Server>,
    ) -> Option<(Self, Vec<Server>)> {
        let register = trunk.register.as_ref()?;
        let servers = Server::all(config, resolved, trunk);
        let place = present.and_then(|present| servers.iter().position(|server| server.is_of(present)));
        let line = Self {
            trunk: trunk.name.clone(),
            register: register.clone(),
            credentials: trunk.credentials.clone(),
            at: servers.get(place.unwrap_or(0))?.clone(),
        };
        Some((line, servers))
    }

    /// Whether it is the same registration, perhaps otherwise asked for: the gateway would know them by one name.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        let names = |line: &Self| {
            let Register {
                user,
                domain,
                contact_user,
                expires_s: _,
            } = line.register.clone();
            (line.trunk.clone(), user, domain, contact_user)
        };
        names(self) == names(other) && self.at.is_of(&other.at)
    }

    /// What the gateway is told: the address, and where it is reached.
    pub(super) fn binding(&self) -> (Vec<u8>, Vec<u8>) {
        let Register {
            user, contact_user, ..
        } = &self.register;
        (
            self.uri(Some(user)),
            contact_of(&self.at.listener, Some(contact_user)),
        )
    }

    pub(super) const fn path(&self) -> Path {
        Path {
            listener: self.at.listener.id,
            transport: self.at.transport,
            remote: self.at.registrar,
            flow: None,
            party: self.at.party,
        }
    }

    /// The URI of what is registered, and without its user that of whoever registers it.
    pub(super) fn uri(&self, user: Option<&str>) -> Vec<u8> {
        let mut uri = b"sip:".to_vec();
        if let Some(user) = user {
            uri.extend_from_slice(user.as_bytes());
            uri.push(b'@');
        }
        match &self.register.domain {
            Some(domain) => uri.extend_from_slice(domain.as_bytes()),
            None => uri.extend_from_slice(self.at.host.as_bytes()),
        }
        uri
    }
}
