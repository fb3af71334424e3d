//! SIP over TLS, as a trunk wants it (RFC 3261 §26, RFC 5922): whom its certificates name, and what ours are.

use std::net::IpAddr;
use std::path::PathBuf;

use super::{Trunk, of_source};
use crate::call::targets::{Resolved, Target};
use crate::sip::path::{Party, Path, Transport};

/// What a trunk says of TLS.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tls {
    /// Names (lower case, of domains) of which the certificate of whoever calls on this trunk has to have one. Empty:
    /// no certificate is asked for, the address decides.
    pub client_names: Vec<Box<str>>,
    /// The name that a gateway's certificate has to have. `None`: the gateway's own, as the conf writes it.
    pub name: Option<Box<str>>,
    /// Who may have signed it (a PEM file). `None`: whom the system trusts.
    pub ca: Option<PathBuf>,
    /// Our certificate for its gateways. `None`: the one of our listeners.
    pub own: Option<CertificateFiles>,
}

/// A certificate of ours, as it stands on the disk.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CertificateFiles {
    /// The certificate, and those between it and the one that everybody knows, in this order (PEM).
    pub chain: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
}

impl Trunk {
    /// What the other side of its TLS connections is known as.
    pub fn party(&self) -> Party {
        Party::named(&self.name)
    }

    /// A way of its messages: over TLS the other side is this trunk's or nobody.
    pub fn way(&self, path: Path) -> Path {
        match path.transport {
            Transport::Udp | Transport::Tcp => path,
            Transport::Tls => Path {
                party: Some(self.party()),
                ..path
            },
        }
    }

    /// Whether a certificate that has this name (in any case, without a dot at its end) speaks for the trunk. A name with a star
    /// in it speaks for nobody (RFC 5922 §7.2).
    pub fn is_named(&self, name: &str) -> bool {
        let mut names = self.tls.client_names.iter();
        names.any(|wanted| wanted.eq_ignore_ascii_case(name))
    }
}

/// The trunk for which a certificate with these names speaks that is shown from this address. Where several trunks have one of
/// its names, as those of one carrier may, it is the first that takes calls from there; where none does, the first.
pub fn of_names<'t>(
    trunks: &'t [Trunk],
    resolved: &Resolved,
    names: &[String],
    source: IpAddr,
) -> Option<&'t Trunk> {
    let is_named = |trunk: &&Trunk| names.iter().any(|name| trunk.is_named(name));
    let mut named = trunks.iter().filter(is_named);
    named
        .clone()
        .find(|trunk| trunk.takes_from(resolved, source))
        .or_else(|| named.next())
}

/// The trunk whose wire a message came by: the one that the certificate over TLS named, if its addresses allow it, else that of
/// the address. A trunk that asks for names has nothing that comes without.
pub fn of_path<'t>(trunks: &'t [Trunk], resolved: &Resolved, path: Path) -> Option<&'t Trunk> {
    let named = path.party.and_then(|party| {
        let is_it = |trunk: &&Trunk| {
            !trunk.tls.client_names.is_empty()
                && trunk.party() == party
                && trunk.takes_from(resolved, path.remote.ip())
        };
        trunks.iter().find(is_it)
    });
    named.or_else(|| of_source(trunks, resolved, path.remote.ip()))
}

/// The trunk with whose terms a connection of ours that goes this way is opened: the one that it names, that of a gateway at
/// this address, or that of the address.
pub fn towards<'t>(trunks: &'t [Trunk], resolved: &Resolved, path: Path) -> Option<&'t Trunk> {
    let named = path
        .party
        .and_then(|party| trunks.iter().find(|trunk| trunk.party() == party));
    let there = Target {
        transport: path.transport,
        address: path.remote,
    };
    let is_gateway = |trunk: &&Trunk| {
        let mut gateways = trunk.gateways.iter();
        gateways.any(|gateway| resolved.is_target(gateway, there))
    };
    named
        .or_else(|| trunks.iter().find(is_gateway))
        .or_else(|| of_source(trunks, resolved, path.remote.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::config::Config;
    use crate::call::targets::Place;
    use crate::call::trunk::{Cidr, Gateway, GatewaysCall};
    use crate::sip::path::{FlowHint, ListenerId};

    fn trunk(name: &str, accepts: &[(&str, u8)], names: &[&str]) -> Trunk {
        let mut trunk = Trunk::bare(name);
        trunk.accept_from = accepts
            .iter()
            .map(|(network, prefix)| Cidr {
                network: network.parse().expect("an address"),
                prefix: *prefix,
            })
            .collect();
        trunk.tls.client_names = names.iter().map(|name| (*name).into()).collect();
        trunk
    }

    #[test]
    fn a_certificate_chooses_the_trunk_and_without_one_its_trunk_has_no_caller() {
        let at = |ip: &str, party| Path {
            listener: ListenerId(0),
            transport: Transport::Tls,
            remote: format!("{ip}:40000").parse().expect("an address"),
            flow: Some(FlowHint(1)),
            party,
        };
        let config = Config {
            trunks: vec![
                trunk("named", &[("0.0.0.0", 0)], &["sbc1.carrier.example"]),
                trunk("narrow", &[("192.0.2.0", 24)], &["sbc2.carrier.example"]),
                trunk("plain", &[("198.51.100.0", 24)], &[]),
                trunk("anywhere", &[], &["sbc3.carrier.example"]),
                Trunk {
                    gateways: vec![Gateway {
                        place: Place::At(Target {
                            transport: Transport::Tls,
                            address: "192.0.2.50:5061".parse().expect("an address"),
                        }),
                        rank: Default::default(),
                    }],
                    gateways_call: GatewaysCall::Yes,
                    ..trunk("gateways", &[], &["sbc4.carrier.example"])
                },
            ],
            ..Config::on("127.0.0.1:5060".parse().expect("an address"))
        };
        let found = |ip: &str, name: Option<&str>| {
            of_path(
                &config.trunks,
                &Resolved::default(),
                at(ip, name.map(Party::named)),
            )
            .map(|trunk| &*trunk.name)
        };
        assert_eq!(found("203.0.113.9", Some("named")), Some("named"));
        assert_eq!(
            found("203.0.113.9", None),
            None,
            "its network is wide, its name is not said"
        );
        assert_eq!(found("192.0.2.9", Some("narrow")), Some("narrow"));
        assert_eq!(found("203.0.113.9", Some("narrow")), None, "a stolen certificate");
        assert_eq!(found("192.0.2.9", None), None);
        assert_eq!(found("198.51.100.9", None), Some("plain"));
        assert_eq!(found("198.51.100.9", Some("named")), Some("named"));
        assert_eq!(
            found("203.0.113.9", Some("anywhere")),
            Some("anywhere"),
            "no network is every one"
        );
        assert_eq!(
            found("203.0.113.9", Some("plain")),
            None,
            "a trunk without names is nobody's by name"
        );
        assert_eq!(found("192.0.2.50", Some("gateways")), Some("gateways"));
        assert_eq!(
            found("203.0.113.9", Some("gateways")),
            None,
            "none of its gateways"
        );
        assert!(config.trunks[0].is_named("SBC1.carrier.example"));
        assert!(!config.trunks[0].is_named("sbc1.carrier.example.evil.example"));
    }
}
