//! The handshakes of TLS: how many may be under way, and what comes of each.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::one::{Opened, Stage};
use super::{AllTrunks, Connections, Peer};
use crate::base::limits::{TLS_HANDSHAKES_MAX, TLS_STRANGERS_HANDSHAKES_MAX, TLS_STRANGERS_PER_SECOND};
use crate::base::time::Instant;
use crate::call::trunk::Trunk;
use crate::call::trunk::tls::of_names;
use crate::sip::path::FlowHint;
use crate::transport::tls;

impl Connections {
    /// Whether one more handshake may begin.
    pub(super) fn may_shake(&mut self, now: Instant, peer: Peer) -> bool {
        let most = match peer {
            Peer::Trunk => TLS_HANDSHAKES_MAX,
            Peer::Stranger => TLS_STRANGERS_HANDSHAKES_MAX,
        };
        if self.stats.handshakes.load(Ordering::Relaxed) >= most as u64 {
            return false;
        }
        match peer {
            Peer::Trunk => true,
            Peer::Stranger => {
                // Not by the sweep: there is none while no connection is open.
                if now - self.strangers.0 >= Duration::from_secs(1) {
                    self.strangers = (now, 0);
                }
                self.strangers.1 += 1;
                self.strangers.1 <= TLS_STRANGERS_PER_SECOND
            }
        }
    }

    /// The handshake is done.
    pub(super) fn secured(&mut self, now: Instant, flow: FlowHint, trunks: AllTrunks<'_>) {
        let Some(connection) = self.all.get_mut(&flow) else {
            return;
        };
        connection.stage = Stage::Open;
        connection.active = now;
        self.stats.handshakes.fetch_sub(1, Ordering::Relaxed);
        self.stats.handshakes_done.fetch_add(1, Ordering::Relaxed);
        match (connection.opened, connection.party) {
            (Opened::ByUs, Some(party)) => self.stats.troubles.set(party, None),
            (Opened::ByUs, None) => {}
            (Opened::ByThem, _) => self.name(flow, trunks),
        }
    }

    /// The handshake has failed.
    pub(super) fn not_secured(&mut self, flow: FlowHint, error: &io::Error) {
        self.stats.handshakes_failed.fetch_add(1, Ordering::Relaxed);
        if let Some(connection) = self.all.get(&flow)
            && let (Opened::ByUs, Some(party)) = (connection.opened, connection.party)
        {
            let sentence = format!("{}: {}", connection.remote, tls::trouble(error));
            self.stats.troubles.set(party, Some(sentence));
        }
    }

    /// Finds out which trunk's the certificate is that somebody has shown who connected.
    pub(super) fn name(&mut self, flow: FlowHint, (trunks, resolved): AllTrunks<'_>) {
        let Some(connection) = self.all.get_mut(&flow) else {
            return;
        };
        let names = connection.wire.names();
        let party = of_names(trunks, resolved, &names, connection.remote.ip()).map(Trunk::party);
        if party == connection.party {
            return;
        }
        let (before, after) = (
            connection.known(),
            (connection.listener, connection.remote, party),
        );
        connection.party = party;
        if party.is_some() {
            connection.peer = Peer::Trunk;
        }
        if self.by_remote.get(&before) == Some(&flow) {
            self.by_remote.remove(&before);
        }
        self.by_remote.entry(after).or_insert(flow);
    }
}
