//! RTCP: what a peer reports ends here, and our own reports begin here.

use std::net::SocketAddr;
use std::time::Duration;

use super::flow::round_trip_us;
use super::{Due, Relay, whole_step};
use crate::base::time::Instant;
use crate::rtp::inbound::RtcpSender;
use crate::rtp::rtcp::{self, Ending, Leaves};

/// The mean time between two RTCP reports (RFC 3550 §6.2), before it is made random.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

impl Relay {
    /// An RTCP packet came from `from` to the RTCP port of `port`. It ends here: it says that the peer lives, when
    /// it last reported, and how far away it is.
    pub fn rtcp(&mut self, now: Instant, port: u32, from: SocketAddr, packet: &mut [u8]) {
        let wall = self.wall;
        let Some(flow) = self.flow(port) else {
            return;
        };
        let mut length = packet.len();
        if let Some(crypt) = &mut flow.crypt {
            let Some(opened) = crypt.open.rtcp(packet) else {
                flow.inbound.counts.forged += 1;
                return;
            };
            length = opened;
        }
        let packet = packet.get(..length).unwrap_or_default();
        let Some(heard) = rtcp::read(packet, flow.outbound.ssrc()) else {
            return;
        };
        let sender = flow.inbound.address.admit_rtcp(from);
        match sender {
            RtcpSender::Peer => flow.inbound.alive = now,
            RtcpSender::Host => {}
            RtcpSender::Stranger => return,
        }
        if let (Some(reception), Some(sent)) = (&mut flow.inbound.reception, heard.sent)
            && reception.ssrc == heard.ssrc
        {
            reception.last_sr = Some((sent, now));
        }
        let streams = flow.inbound.reception.as_ref().map(|reception| reception.ssrc);
        if heard.leaves == Leaves::Yes && streams == Some(heard.ssrc) && sender == RtcpSender::Peer {
            flow.inbound.end(now);
        }
        if let Some(about_us) = &heard.about_us {
            flow.hear_of_us(about_us);
        }
        // RFC 3550 §6.4.1: A - LSR - DLSR, if LSR is one of our own.
        if let Some(about_us) = heard
            .about_us
            .filter(|about_us| flow.srs.contains(&about_us.last_sr))
        {
            let trip = rtcp::middle(rtcp::ntp(wall, now))
                .wrapping_sub(about_us.last_sr)
                .wrapping_sub(about_us.delay);
            if let Some(trip_us) = round_trip_us(trip) {
                flow.inbound.counts.round_trip_us = Some(trip_us);
            }
        }
    }

    pub(super) fn report(&mut self, now: Instant, port: u32) {
        let next = whole_step(now + self.report_interval());
        let timer = self.timers.set(next, Due::Report(port));
        let wall = self.wall;
        let Some(flow) = self.flow(port) else {
            self.timers.cancel(timer);
            return;
        };
        flow.report_timer = timer;
        let rolled = flow.untold_rollovers();
        if let Some(to) = flow.inbound.address.rtcp_to()
            && !flow.takes.is_fax()
        {
            let ending = flow.retired.take().map_or(Ending::More, Ending::Bye);
            let bytes = flow.report(now, wall, ending);
            let from = flow.rtcp_from(port);
            let bytes = flow.sealed_report(bytes);
            self.out.extend(bytes.map(|bytes| (from, to, bytes)));
        }
        self.rolled.extend(rolled.map(|rollovers| (port, rollovers)));
    }

    // RFC 3550 §6.3.1: between half and one and a half of the interval. The division by e - 3/2 there is for timers
    // that are reconsidered when members come and go: here are always two.
    pub(super) fn report_interval(&mut self) -> Duration {
        let per_mille = 500 + self.chance.below(1_001);
        REPORT_INTERVAL * per_mille / 1_000
    }
}
