//! What a flow is told and what it tells: one flow is one leg's RTP stream pair on one local port.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use super::clip::Coding;
use crate::base::keying::Keying;
use crate::base::limits::SDP_CODECS_MAX;

/// One payload type of a leg, and what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payload {
    /// The payload type that this leg's peer sends and wants to receive.
    pub number: u8,
    /// The payload type by which the *other* leg knows the same codec; `None` drops it.
    pub other: Option<u8>,
    /// RTP clock, in hertz (G.722's is 8,000, RFC 3551 §4.5.2).
    pub clock_hz: u32,
    /// How the audio is coded, if it is so that we can read it.
    pub coding: Option<Coding>,
    /// RFC 4733 telephone-event: an event among the audio, not the audio.
    pub is_event: bool,
}

/// The payload types of a leg.
pub type Payloads = ArrayVec<Payload, SDP_CODECS_MAX>;

/// Which way media may run on a leg, seen from us.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Way {
    /// Both ways.
    #[default]
    Both,
    /// We send to this leg's peer only; what it sends is dropped.
    Send,
    /// We receive from this leg's peer only; nothing is sent to it.
    Receive,
    /// Neither.
    Neither,
}

impl Way {
    /// Whether packets go to this leg's peer.
    pub const fn sends(self) -> bool {
        match self {
            Self::Both | Self::Send => true,
            Self::Receive | Self::Neither => false,
        }
    }

    /// Whether packets of this leg's peer are taken.
    pub const fn receives(self) -> bool {
        match self {
            Self::Both | Self::Receive => true,
            Self::Send | Self::Neither => false,
        }
    }
}

/// Which port a leg's RTCP uses, on both ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RtcpPort {
    /// One of its own.
    #[default]
    Own,
    /// RTP's (RFC 5761).
    Shared,
}

/// What runs on a leg's port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Stream {
    /// RTP.
    #[default]
    Rtp,
    /// The datagrams of a fax (ITU-T T.38 §9.1), passed on as they are: they have no header that could be renewed.
    Udptl,
}

/// How a leg's media address is learnt when packets come from elsewhere than its SDP said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum MediaNat {
    /// Only the SDP's address or one of `media_from`, after silence of the known one.
    #[default]
    Strict,
    /// The first address to send four valid packets in a row; the SDP's own always wins.
    Latch,
}

/// An address range from which a trunk's media may come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MediaSource {
    /// The network's address.
    pub network: IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

/// How a leg's packets are secured (RFC 3711).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Security {
    /// What we seal with.
    pub ours: Keying,
    /// What its peer seals with.
    pub theirs: Keying,
    /// The first of the [`SRTP_SSRCS`](crate::base::limits::SRTP_SSRCS) SSRCs that we may seal with; `None`: nothing is
    /// sent yet. Looked at when the leg begins to be secured: it goes on with its own then.
    pub ssrc: Option<u32>,
    /// How often the sequence numbers of its peer's stream had rolled over, as far as another process knew. Looked at
    /// when its key is new.
    pub rollovers: u32,
}

/// What one leg negotiated: everything that its flow has to know. Given at the start and at each new SDP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlowSpec {
    /// Where the peer wants its RTP; `None` until its SDP is known (or `0.0.0.0`).
    pub remote: Option<SocketAddr>,
    /// Where it wants its RTCP (next port, or `a=rtcp`); `None` with `remote`.
    pub remote_rtcp: Option<SocketAddr>,
    /// Which port RTCP uses; if RTP's, `remote_rtcp` is `remote`.
    pub rtcp_port: RtcpPort,
    /// What runs there.
    pub stream: Stream,
    /// The payload types it takes.
    pub payloads: Payloads,
    /// Which way media may run.
    pub way: Way,
    /// How another address is learnt.
    pub nat: MediaNat,
    /// Where else its media may come from.
    pub media_from: ArrayVec<MediaSource, 4>,
    /// After how long without RTP and RTCP on *both* joined flows they are reported dead; `None` while
    /// anybody is on hold.
    pub timeout: Option<Duration>,
    /// How its packets are secured; `None`: they aren't.
    pub security: Option<Box<Security>>,
}

/// What was counted on a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// RTP packets taken from this leg's peer.
    pub packets_in: u64,
    /// RTP packets sent to this leg's peer.
    pub packets_out: u64,
    /// Packets of this leg's peer that never came, by sequence number (RFC 3550 §A.3).
    pub lost: u64,
    /// Packets dropped: strangers, non-RTP, unknown payload types, the wrong direction.
    pub dropped: u64,
    /// The largest interarrival jitter seen (RFC 3550 §A.8), in microseconds.
    pub jitter_us_max: u32,
    /// Round trip to this leg's peer by its last RTCP report, in microseconds.
    pub round_trip_us: Option<u32>,
    /// Packets of ours that this leg's peer says it never got, wherever they were lost: what the other leg's peer
    /// sent and we never got counts too, because our sequence numbers show it. `None` until it reports.
    pub remote_lost: Option<u64>,
    /// The largest jitter that this leg's peer reported, in microseconds.
    pub remote_jitter_us_max: Option<u32>,
    /// The payload type of the last audio packet taken.
    pub payload: Option<u8>,
    /// Packets dropped because their sender isn't believed, and the last of those senders.
    pub strangers: u64,
    /// See `strangers`.
    pub stranger: Option<SocketAddr>,
    /// Packets dropped because their payload type wasn't agreed on with both sides, and the last such type.
    pub foreign: u64,
    /// See `foreign`.
    pub foreign_payload: Option<u8>,
    /// Packets dropped because they don't authenticate by the leg's key, or came before (RFC 3711 §3.3). Not kept for
    /// another process.
    #[serde(skip)]
    pub forged: u64,
    /// Keys that we pressed on this leg, as events of our own.
    pub digits: u32,
    /// Keys that were to be pressed and weren't: the leg has no events, is held, or too many waited.
    pub digits_dropped: u32,
    /// How long ago the last packet was taken, or waiting for one began.
    pub quiet: Duration,
}

impl Counts {
    /// These counts and those of the same leg's flow in a process before this one, as one flow's.
    pub fn after(self, before: &Self) -> Self {
        let sum = |now: u64, before: u64| now.saturating_add(before);
        let both = |now: Option<u64>, before: Option<u64>| match (now, before) {
            (Some(now), Some(before)) => Some(sum(now, before)),
            (one, other) => one.or(other),
        };
        Self {
            packets_in: sum(self.packets_in, before.packets_in),
            packets_out: sum(self.packets_out, before.packets_out),
            lost: sum(self.lost, before.lost),
            dropped: sum(self.dropped, before.dropped),
            jitter_us_max: self.jitter_us_max.max(before.jitter_us_max),
            round_trip_us: self.round_trip_us.or(before.round_trip_us),
            remote_lost: both(self.remote_lost, before.remote_lost),
            remote_jitter_us_max: self.remote_jitter_us_max.max(before.remote_jitter_us_max),
            payload: self.payload.or(before.payload),
            strangers: sum(self.strangers, before.strangers),
            stranger: self.stranger.or(before.stranger),
            foreign: sum(self.foreign, before.foreign),
            foreign_payload: self.foreign_payload.or(before.foreign_payload),
            forged: sum(self.forged, before.forged),
            digits: self.digits.saturating_add(before.digits),
            digits_dropped: self.digits_dropped.saturating_add(before.digits_dropped),
            quiet: self.quiet,
        }
    }

    /// Counts a packet of somebody who isn't believed.
    #[cold]
    pub(super) fn stranger(&mut self, from: SocketAddr) {
        self.strangers += 1;
        self.stranger = Some(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_two_processes_are_one_flows() {
        let before = Counts {
            packets_in: 10,
            remote_lost: Some(3),
            jitter_us_max: 900,
            round_trip_us: Some(50),
            payload: Some(0),
            ..Counts::default()
        };
        let since = Counts {
            packets_in: 5,
            remote_lost: Some(1),
            jitter_us_max: 100,
            payload: Some(8),
            quiet: Duration::from_secs(2),
            ..Counts::default()
        };
        let expected = Counts {
            packets_in: 15,
            remote_lost: Some(4),
            jitter_us_max: 900,
            round_trip_us: Some(50),
            payload: Some(8),
            quiet: Duration::from_secs(2),
            ..Counts::default()
        };
        assert_eq!(since.after(&before), expected);
    }
}
