//! A flow whose packets are secured: what opens and seals them.

use super::Flow;
use crate::base::chance::Chance;
use crate::base::keying::Keying;
use crate::rtp::flow::Security;
use crate::rtp::packet;
use crate::rtp::srtp::{Open, RTP_GROWTH_MAX, Seal};

/// What secures a flow.
pub(super) struct Crypt {
    ours: Keying,
    theirs: Keying,
    pub(super) open: Open,
    /// `None`: it isn't known yet under which SSRC, and nothing is sent.
    pub(super) seal: Option<Seal>,
    /// The rollovers of the peer's stream that were told.
    told: u32,
}

impl Flow {
    /// From now on its packets are secured so, or not at all. A key that stays goes on with what it has opened and
    /// sealed; a new one of ours begins under another SSRC, far from the end of its sequence numbers: a peer that
    /// loses its first packets would miss a rollover else. Returns the SSRC that is no more, if it was ever heard of.
    pub(super) fn secure(&mut self, chance: &mut Chance, security: Option<&Security>) -> Option<u32> {
        let Some(security) = security else {
            self.crypt = None;
            return None;
        };
        let before = self.crypt.take();
        let (mut seal, mut open, mut told) = (None, None, security.rollovers);
        if let Some(before) = before {
            if before.ours == security.ours {
                seal = before.seal;
            }
            if before.theirs == security.theirs {
                (open, told) = (Some(before.open), before.told);
            }
        }
        let mut retired = None;
        if let (None, Some(first)) = (&seal, security.ssrc) {
            let was = self.outbound.has_sent().then(|| self.outbound.ssrc());
            if self.outbound.number(chance, first).is_some() {
                seal = Seal::new(&security.ours);
                retired = was;
            }
        }
        // Keys of another length than their suite's don't come about; without an opener nothing is taken.
        let open = open.or_else(|| Open::new(&security.theirs, security.rollovers));
        self.crypt = open.map(|open| {
            Box::new(Crypt {
                ours: security.ours.clone(),
                theirs: security.theirs.clone(),
                open,
                seal,
                told,
            })
        });
        retired
    }

    /// Counts a packet that doesn't authenticate.
    #[cold]
    pub(super) fn drop_forged(&mut self) {
        self.drop_one();
        self.inbound.counts.forged += 1;
    }

    /// Seals an RTP packet of our own. `None`: it isn't sent.
    pub(super) fn sealed(&mut self, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        if let Some(crypt) = &mut self.crypt {
            let length = bytes.len();
            bytes.resize(length.saturating_add(RTP_GROWTH_MAX), 0);
            let place = crypt.seal.as_mut()?.rtp(&mut bytes, 0..length)?;
            bytes.truncate(place.end);
        }
        debug_assert!(bytes.len() >= packet::HEADER_BYTES, "a whole packet");
        Some(bytes)
    }

    /// Seals a report of ours. `None`: it isn't sent.
    pub(super) fn sealed_report(&mut self, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        if let Some(crypt) = &mut self.crypt {
            crypt.seal.as_mut()?.rtcp(&mut bytes)?;
        }
        Some(bytes)
    }

    /// The rollovers of the peer's stream, if they were never told.
    pub(super) fn untold_rollovers(&mut self) -> Option<u32> {
        let crypt = self.crypt.as_mut()?;
        let rollovers = crypt.open.rollovers();
        (std::mem::replace(&mut crypt.told, rollovers) != rollovers).then_some(rollovers)
    }
}
