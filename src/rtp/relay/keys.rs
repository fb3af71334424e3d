//! The keys that a flow's peer is to hear: pressed by us as events, one packet after another, and none of them twice.

use super::tapped::Leaves;
use super::{Due, Flow, Keys, Relay};
use crate::base::time::Instant;
use crate::rtp::dtmf::{BEAT, Digit, Keypad, Pressed};
use crate::rtp::packet;
use crate::rtp::twice::{Again, By};

impl Relay {
    /// A key is to be heard by the peer of `port`: an event of ours among what is relayed to it, which is silent
    /// meanwhile. Its first packet is ready at once.
    pub fn digit(&mut self, now: Instant, port: u32, digit: Digit) -> Pressed {
        let Some(flow) = self.flow(port) else {
            return Pressed::NoEvents;
        };
        if flow.event().is_none() || !flow.way.sends() || flow.inbound.address.to().is_none() {
            flow.inbound.counts.digits_dropped += 1;
            return Pressed::NoEvents;
        }
        let joined = flow.joined;
        if let Some(speaker) = joined.and_then(|joined| self.flow(joined))
            && speaker.twice().told(now, digit.key, By::Message) == Again::Yes
        {
            return Pressed::Yes;
        }
        if let Some(flow) = self.flow(port)
            && let Some(keys) = &mut flow.keys
        {
            if keys.pad.push(digit) {
                return Pressed::Yes;
            }
            flow.inbound.counts.digits_dropped += 1;
            return Pressed::Full;
        }
        let mut pad = Keypad::default();
        if !pad.push(digit) {
            return Pressed::Full;
        }
        let timer = self.timers.set(now, Due::Beat(port));
        if let Some(flow) = self.flow(port) {
            flow.keys = Some(Box::new(Keys {
                pad,
                timestamp: 0,
                due: now,
                timer,
            }));
        }
        self.tick(now);
        Pressed::Yes
    }

    /// Whether the packet of an event that came on `port` is of a key that its peer has told by a message too, and that
    /// the peer of `joined` hears already.
    #[cold]
    pub(super) fn is_told(
        &mut self,
        now: Instant,
        port: u32,
        joined: u32,
        header: &packet::Header,
        payload: &[u8],
    ) -> bool {
        let hears = |other: &mut Flow| other.way.sends() && other.inbound.address.to().is_some();
        if !self.flow(joined).is_some_and(hears) {
            return false;
        }
        let again = self.flow(port).map(|flow| {
            let twice = flow.twice();
            twice.heard(now, header.ssrc, header.timestamp, payload)
        });
        if again != Some(Again::Yes) {
            return false;
        }
        if let Some(other) = self.flow(joined) {
            // What isn't relayed shan't look like loss.
            other.outbound.pause();
        }
        true
    }

    /// An event of this flow's peer isn't relayed to the other leg's, which isn't to take that for loss.
    #[cold]
    pub(super) fn left_out(&mut self, port: u32) {
        let joined = self.flow(port).and_then(|flow| flow.joined);
        if let Some(other) = joined.and_then(|joined| self.flow(joined)) {
            other.outbound.pause();
        }
    }

    /// The next packet of an event of ours, and when the one after it is due.
    pub(super) fn beat(&mut self, now: Instant, port: u32) {
        let Some(flow) = self.flow(port) else {
            return;
        };
        let Some(mut keys) = flow.keys.take() else {
            return;
        };
        let Some((to, bytes)) = flow.beat(now, &mut keys) else {
            flow.yield_to_peer();
            flow.inbound.counts.digits_dropped += keys.pad.left() as u32;
            return;
        };
        // By the clock of the first, so that lateness doesn't add up; but not all at once after a long delay.
        let next = keys.due + BEAT;
        keys.due = if next < now { now + BEAT } else { next };
        keys.timer = self.timers.set(keys.due, Due::Beat(port));
        let flow = self.index(port).and_then(|index| self.flows.get_mut(index));
        if let Some(flow) = flow.and_then(Option::as_deref_mut) {
            flow.keys = Some(keys);
            flow.is_heard(now, Leaves::Event, &bytes, &mut self.taps);
            let bytes = flow.sealed(bytes);
            self.out.extend(bytes.map(|bytes| (port, to, bytes)));
        }
    }
}
