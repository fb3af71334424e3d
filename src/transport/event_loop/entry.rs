//! Connections that others begin: who is let in.

use std::net::IpAddr;

use super::{EventLoop, SWEEP};
use crate::base::time::Instant;
use crate::call::config::Strangers;
use crate::call::trunk::{self, Cidr, Trunk};
use crate::sip::path::{ListenerId, Transport as Protocol};
use crate::transport::connections::Peer;
use crate::transport::poller::{Interest, Source};
use crate::transport::tcp::{self, Accepted};

/// Connections that are accepted before anything else is looked at.
const ACCEPTS_MAX: usize = 64;

impl EventLoop {
    /// Takes the connections that wait.
    pub(super) fn accept(&mut self, index: usize, id: (ListenerId, Protocol), listener: &tcp::Listener) {
        let now = self.clock.now().at;
        self.sweep.get_or_insert(now + SWEEP);
        for _ in 0..ACCEPTS_MAX {
            match listener.accept() {
                Accepted::One(_, from) if self.is_banned(now, id.1, from.ip()) => {}
                Accepted::One(stream, from) => {
                    let peer = self.who_is_it(id.1, from.ip());
                    if peer != Some(Peer::Stranger) || self.hears_strangers(id.1) {
                        let peer = peer.unwrap_or(Peer::Stranger);
                        self.connections
                            .accepted(&self.poller, now, id, (stream, from), peer);
                    }
                }
                Accepted::None => return,
                Accepted::NotNow => {
                    // It would be found again at once, and again.
                    let source = Source::Listener(index);
                    if self.poller.change(listener, source, Interest::Nothing).is_ok() {
                        self.paused.push(index);
                    }
                    return;
                }
            }
        }
    }

    /// Whether nothing is heard of an address. Over TLS it may belong to somebody who is known by his certificate.
    fn is_banned(&self, now: Instant, by: Protocol, source: IpAddr) -> bool {
        (by != Protocol::Tls || !self.knows_names()) && self.bans.keeps_out(now, source)
    }

    /// Who may be at an address: a trunk, a stranger, or `None`, somebody who is let in as a stranger and heard, because
    /// he has yet to prove that he is a trunk that calls from anywhere.
    pub(super) fn who_is_it(&self, by: Protocol, source: IpAddr) -> Option<Peer> {
        let trunks = &self.config.trunks;
        let holds = |network: &Cidr| network.prefix > 0 && network.holds(source);
        let is_named = |trunk: &Trunk| trunk.accept_from.iter().any(holds);
        let may_show = |trunk: &Trunk| !trunk.tls.client_names.is_empty() && is_named(trunk);
        if by == Protocol::Tls && trunks.iter().any(may_show) {
            return Some(Peer::Trunk);
        }
        let Some(trunk) = trunk::of_source(trunks, &self.resolved, source) else {
            return Some(Peer::Stranger);
        };
        let proves_nothing = trunk.auth.is_none();
        let is_gateway = || trunk.gateways.iter().any(|g| self.resolved.is_at(g, source));
        (proves_nothing || is_named(trunk) || is_gateway()).then_some(Peer::Trunk)
    }

    /// Whether it is of any use to listen to an address of no trunk. Over TLS it may show a certificate; where none of the
    /// trunks knows any, and strangers hear nothing, it isn't worth a handshake.
    fn hears_strangers(&self, by: Protocol) -> bool {
        let is_silent = self.config.strangers == Strangers::Silence;
        by != Protocol::Tls || !is_silent || self.knows_names()
    }

    /// Whether some trunk is known by its certificate.
    fn knows_names(&self) -> bool {
        let mut trunks = self.config.trunks.iter();
        trunks.any(|trunk| !trunk.tls.client_names.is_empty())
    }
}
