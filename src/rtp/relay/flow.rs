//! One flow: what it counts, reports and presses.

use std::net::SocketAddr;
use std::ops::Range;

use super::tapped::Leaves;
use super::{Due, Flow, Keys, ROUND_TRIP_MAX, ROUND_TRIP_SLACK, Remote};
use crate::base::time::{Instant, Wall};
use crate::base::timer::Timers;
use crate::rtp::dtmf::{Digit, EVENT_BYTES};
use crate::rtp::ear::events::{Number, Stroke};
use crate::rtp::flow::{Counts, Payload, RtcpPort};
use crate::rtp::packet::{self, Header};
use crate::rtp::rtcp::{self, AboutUs, Ending};
use crate::rtp::tap::Taps;
use crate::rtp::twice::Twice;

/// A round trip of so many 1/65,536 s in microseconds; `None` if it can't be one.
pub(super) fn round_trip_us(trip: u32) -> Option<u32> {
    let trip = trip as i32;
    if !(-ROUND_TRIP_SLACK..=ROUND_TRIP_MAX).contains(&trip) {
        return None;
    }
    u32::try_from((i64::from(trip.max(0)) * 1_000_000) >> 16).ok()
}

impl Flow {
    pub(super) fn drop_one(&mut self) {
        self.inbound.counts.dropped += 1;
    }

    #[cold]
    pub(super) fn drop_foreign(&mut self, payload: u8) {
        self.drop_one();
        self.inbound.counts.foreign += 1;
        self.inbound.counts.foreign_payload = Some(payload);
    }

    #[cold]
    pub(super) fn hear_key(
        &mut self,
        now: Instant,
        header: &Header,
        clock_hz: u32,
        payload: &[u8],
    ) -> Option<Digit> {
        let events = self.events.get_or_insert_default();
        let strokes = events.hear(now, header, Number::Agreed(clock_hz), payload);
        strokes.into_iter().find_map(|stroke| match stroke {
            Stroke::Down(_) => None,
            Stroke::Up(digit) => Some(digit),
        })
    }

    /// The keys that its peer has told lately.
    pub(super) fn twice(&mut self) -> &mut Twice {
        self.twice.get_or_insert_default()
    }

    /// The payload type that this leg's peer takes events by, and their clock: the audio's if it has one at that
    /// clock (RFC 4733 §2.1: they share one timeline).
    pub(super) fn event(&self) -> Option<(u8, u32)> {
        let events = || self.payloads.iter().filter(|payload| payload.is_event);
        let audio_hz = self.audio_hz();
        let event = events()
            .find(|event| event.clock_hz == audio_hz)
            .or_else(|| events().next())?;
        Some((event.number, event.clock_hz))
    }

    /// The clock of the audio that goes to this leg's peer.
    pub(super) fn audio_hz(&self) -> u32 {
        let agreed = self.payloads.iter().find(|payload| !payload.is_event);
        match self.outbound.clock_hz() {
            0 => agreed.map_or(8_000, |audio| audio.clock_hz),
            sent => sent,
        }
    }

    /// The next packet of an event of ours. `None`: there is none, or it can't be sent any more.
    pub(super) fn beat(&mut self, now: Instant, keys: &mut Keys) -> Option<(SocketAddr, Vec<u8>)> {
        let (number, clock_hz) = self.event()?;
        let to = self.inbound.address.to().filter(|_| self.way.sends())?;
        let beat = keys.pad.beat(clock_hz)?;
        if beat.is_first {
            self.outbound.talk();
            keys.timestamp = self.outbound.moment(now, self.audio_hz());
            self.inbound.counts.digits += 1;
        }
        let header = self.outbound.event(now, number, beat.is_first, keys.timestamp);
        if beat.is_last {
            self.yield_to_peer();
        }
        let mut bytes = vec![0; packet::HEADER_BYTES];
        bytes.extend_from_slice(&beat.payload);
        let payload = packet::HEADER_BYTES..bytes.len();
        packet::write(&header, &mut bytes, payload)?;
        self.outbound.count(EVENT_BYTES);
        self.inbound.counts.packets_out += 1;
        Some((to, bytes))
    }

    /// An event or a sound of ours is over: the peer of the other leg is heard, if it isn't the other one's turn.
    pub(super) fn yield_to_peer(&mut self) {
        if self.playing.is_none() {
            self.outbound.yield_to_peer();
        }
    }

    /// A packet of ours that lies in `buffer` leaves: it is heard, secured where the flow is, and counted. Where it lies
    /// then; `None`: it isn't sent.
    #[inline]
    pub(super) fn leave(
        &mut self,
        at: Instant,
        leaves: Leaves,
        buffer: &mut [u8],
        mut packet: Range<usize>,
        taps: &mut Option<Box<dyn Taps>>,
    ) -> Option<Range<usize>> {
        let octets = packet.len() - packet::HEADER_BYTES;
        self.is_heard(at, leaves, buffer.get(packet.clone())?, taps);
        if let Some(crypt) = &mut self.crypt {
            packet = crypt.seal.as_mut()?.rtp(buffer, packet)?;
        }
        self.outbound.count(octets);
        self.inbound.counts.packets_out += 1;
        Some(packet)
    }

    pub(super) fn count_in(&mut self, now: Instant, payload: &Payload) {
        self.inbound.heard = now;
        self.inbound.counts.packets_in += 1;
        if !payload.is_event {
            self.inbound.counts.payload = Some(payload.number);
        }
    }

    pub(super) fn counts(&self, now: Instant) -> Counts {
        let Remote { before, lost } = self.remote;
        let mut counts = self.inbound.counts(now);
        if before > 0 || lost.is_some() {
            let lost = u64::try_from(lost.unwrap_or(0)).unwrap_or(0);
            counts.remote_lost = Some(before.saturating_add(lost));
        }
        counts
    }

    /// The peer reports on our stream.
    pub(super) fn hear_of_us(&mut self, about_us: &AboutUs) {
        self.remote.lost = Some(about_us.lost);
        let clock_hz = self.outbound.clock_hz();
        if clock_hz > 0 {
            let jitter = packet::micros(about_us.jitter, clock_hz);
            let most = &mut self.inbound.counts.remote_jitter_us_max;
            *most = Some(most.unwrap_or(0).max(jitter));
        }
    }

    /// An SSRC of ours is no more: the peer is told so at once, and our losses under it are kept.
    #[cold]
    pub(super) fn retire(&mut self, ssrc: u32, now: Instant, timers: &mut Timers<Due>) {
        let lost = self.remote.lost.take().and_then(|lost| u64::try_from(lost).ok());
        self.remote.before = self.remote.before.saturating_add(lost.unwrap_or(0));
        self.srs.clear();
        self.retired = Some(ssrc);
        timers.cancel(self.report_timer);
        self.report_timer = timers.set(now, Due::Report(self.port));
    }

    /// The port that RTCP leaves from, on the flow of this RTP port.
    pub(super) fn rtcp_from(&self, port: u32) -> u32 {
        match self.rtcp_port {
            RtcpPort::Own => port | 1,
            RtcpPort::Shared => port,
        }
    }

    /// Our report to this leg's peer, from our own timeline and about what we receive from it.
    pub(super) fn report(&mut self, now: Instant, wall: Wall, ending: Ending) -> Vec<u8> {
        let ntp = rtcp::ntp(wall, now);
        let sent = self.outbound.sent(now, self.reported).map(|sent| (ntp, sent));
        if sent.is_some() {
            if self.srs.is_full() {
                self.srs.remove(0);
            }
            self.srs.push(rtcp::middle(ntp));
        }
        self.reported = now;
        self.has_reported = true;
        rtcp::write(&rtcp::Report {
            ssrc: self.outbound.ssrc(),
            cname: self.outbound.cname(),
            sent,
            received: self
                .inbound
                .reception
                .as_mut()
                .and_then(|reception| reception.report(now)),
            ending,
        })
    }
}
