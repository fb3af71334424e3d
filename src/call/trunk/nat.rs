//! Peers behind NAT: whose Contact may be an address that nobody can send to.

use std::net::IpAddr;

use super::{Trunk, of_path};
use crate::call::targets::{Resolved, Target};
use crate::sip::path::{Party, Path};

/// Where the requests of a dialog go whose other side gave a Contact or a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SignallingNat {
    /// Where these say (RFC 3261 §12.2.1.1).
    #[default]
    Contact,
    /// The same, unless they name a private address and the messages came from one that isn't: then there.
    Private,
    /// Where the messages came from, or the gateway is, whatever these say.
    Source,
}

impl SignallingNat {
    /// Whether a request that would go to `said` goes back to where the dialog `came` from instead.
    fn goes_back(self, said: IpAddr, came: IpAddr) -> bool {
        match self {
            Self::Contact => false,
            Self::Private => is_private(said) && !is_private(came),
            Self::Source => true,
        }
    }
}

/// Where a request goes of a dialog that came by `came` and whose other side named `said`. It is that of the trunk that is
/// named; where nobody knows any more, or the trunk is gone, that of the one that looks like it.
pub fn goes_to(
    trunks: &[Trunk],
    resolved: &Resolved,
    (named, came): (Option<Party>, Path),
    said: Path,
) -> Path {
    let is_its = |trunk: &&Trunk| {
        let from = Target {
            transport: came.transport,
            address: came.remote,
        };
        let mut gateways = trunk.gateways.iter();
        gateways.any(|gateway| resolved.is_target(gateway, from))
    };
    let trunk = trunks
        .iter()
        .find(|trunk| named == Some(trunk.party()))
        .or_else(|| trunks.iter().find(is_its))
        .or_else(|| of_path(trunks, resolved, came));
    match trunk {
        Some(trunk) if trunk.signalling_nat.goes_back(said.remote.ip(), came.remote.ip()) => came,
        Some(_) | None => said,
    }
}

/// Whether an address means something only in a network of its own (RFC 1918, RFC 6598, RFC 4193, and this machine or
/// link).
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || is_shared
        }
        IpAddr::V6(v6) => {
            v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback() || v6.is_unspecified()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::targets::Place;
    use crate::call::trunk::rank::Rank;
    use crate::call::trunk::{Cidr, Gateway};
    use crate::sip::path::{ListenerId, Transport};

    #[test]
    fn of_two_trunks_at_one_gateway_the_dialogs_own_counts_and_so_it_does_when_the_name_has_moved() {
        let gateway = Gateway {
            place: Place::At(Target {
                transport: Transport::Udp,
                address: "198.51.100.7:5060".parse().unwrap(),
            }),
            rank: Rank {
                priority: 1,
                weight: 1,
            },
        };
        let trunk = |name, signalling_nat, gateways| Trunk {
            signalling_nat,
            gateways,
            ..Trunk::bare(name)
        };
        let trunks = [
            trunk("one", SignallingNat::Contact, vec![gateway.clone()]),
            trunk("two", SignallingNat::Private, vec![gateway]),
            trunk("moved", SignallingNat::Private, Vec::new()),
        ];
        let (came, inside) = (path("198.51.100.7:5060"), path("10.1.2.3:5060"));
        let goes = |name: Option<&str>| {
            let none = Resolved::default();
            goes_to(&trunks, &none, (name.map(Party::named), came), inside)
        };
        assert_eq!(goes(Some("one")), inside);
        assert_eq!(goes(Some("two")), came);
        assert_eq!(goes(Some("moved")), came);
        // It has gone from the conf, or nobody knows: the first that looks like it.
        assert_eq!(goes(Some("gone")), inside);
        assert_eq!(goes(None), inside);
    }

    fn path(remote: &str) -> Path {
        Path {
            listener: ListenerId(0),
            transport: Transport::Udp,
            remote: remote.parse().unwrap(),
            flow: None,
            party: None,
        }
    }

    #[test]
    fn a_private_contact_behind_a_public_address_is_not_believed() {
        let trunk = |signalling_nat| Trunk {
            signalling_nat,
            accept_from: vec![Cidr {
                network: "203.0.113.0".parse().unwrap(),
                prefix: 24,
            }],
            gateways: vec![Gateway {
                place: Place::At(Target {
                    transport: Transport::Udp,
                    address: "198.51.100.7:5060".parse().unwrap(),
                }),
                rank: Rank {
                    priority: 1,
                    weight: 1,
                },
            }],
            ..Trunk::bare("carrier")
        };
        let goes = |nat, came, said| {
            let none = Resolved::default();
            goes_to(&[trunk(nat)], &none, (None, path(came)), path(said))
                .remote
                .to_string()
        };
        let (outside, inside, public) = ("203.0.113.9:40000", "10.1.2.3:5060", "203.0.113.10:5060");
        assert_eq!(goes(SignallingNat::Contact, outside, inside), inside);
        assert_eq!(goes(SignallingNat::Private, outside, inside), outside);
        assert_eq!(goes(SignallingNat::Private, outside, public), public);
        assert_eq!(goes(SignallingNat::Source, outside, public), outside);
        // A gateway counts by its own address, wherever the trunk accepts from.
        let gateway = "198.51.100.7:5060";
        assert_eq!(goes(SignallingNat::Private, gateway, "100.64.0.9:5060"), gateway);
        // Two private addresses are of one network, for all we know; and whose trunk it is not is believed.
        assert_eq!(goes(SignallingNat::Private, "192.168.0.9:5060", inside), inside);
        assert_eq!(goes(SignallingNat::Source, "192.0.2.1:5060", inside), inside);
    }
}
