//! A flow whose peer is recorded: what it hears is told to whoever takes it, before it is secured.

use super::{Flow, Relay};
use crate::base::time::Instant;
use crate::rtp::clip::Coding;
use crate::rtp::packet;
use crate::rtp::srtp::Seal;
use crate::rtp::tap::{Heard, Tap, Taps};

/// What a packet that leaves is, besides what its header says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leaves {
    /// Audio of the other leg's peer, or a sound of ours.
    Audio(Option<Coding>),
    /// The first of the other leg's peer after an outage.
    Back(Option<Coding>),
    /// A telephone-event.
    Event,
}

impl Relay {
    /// The same, and what its taps hear goes there.
    #[must_use]
    pub fn tapped_by(mut self, taps: Box<dyn Taps>) -> Self {
        self.taps = Some(taps);
        self
    }

    /// What the peer of `port` hears from now on is recorded there, until the flow ends; `None`: no more. Without effect
    /// if there is no flow.
    pub fn tap(&mut self, port: u32, tap: Option<Tap>) {
        if let Some(flow) = self.flow(port) {
            flow.tap = tap;
        }
    }
}

impl Flow {
    /// A packet is ready to leave, and still in clear.
    #[inline]
    pub(super) fn is_heard(
        &self,
        at: Instant,
        leaves: Leaves,
        packet: &[u8],
        taps: &mut Option<Box<dyn Taps>>,
    ) {
        if let (Some(tap), Some(taps)) = (self.tap, taps) {
            self.tell(tap, at, leaves, packet, taps.as_mut());
        }
    }

    fn tell(&self, tap: Tap, at: Instant, leaves: Leaves, packet: &[u8], taps: &mut dyn Taps) {
        // What can't be sealed isn't sent.
        let is_sent = |seal: &Seal| seal.admits(packet);
        if let Some(crypt) = &self.crypt
            && !crypt.seal.as_ref().is_some_and(is_sent)
        {
            return;
        }
        let Some((header, payload)) = packet::read(packet) else {
            return;
        };
        let (coding, is_event) = match leaves {
            Leaves::Audio(coding) | Leaves::Back(coding) => (coding, false),
            Leaves::Event => (None, true),
        };
        taps.hear(&Heard {
            tap,
            at,
            ssrc: header.ssrc,
            seq: header.seq,
            timestamp: header.timestamp,
            clock_hz: self.audio_hz(),
            marker: header.marker,
            payload_type: header.payload_type,
            coding,
            is_event,
            is_back: matches!(leaves, Leaves::Back(_)),
            payload: packet.get(payload).unwrap_or_default(),
        });
    }
}
