//! What comes in on one leg: whose packets are taken ([`Address`]), and what is counted ([`Reception`],
//! [`Inbound`]).
//!
//! An *address* is believed, never an SSRC: anybody can write an SSRC. Whoever isn't believed is a stranger;
//! nothing of a stranger's is forwarded, and nothing is sent to him.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use arrayvec::ArrayVec;

use super::flow::{Counts, FlowSpec, MediaNat, MediaSource, Payload, RtcpPort};
use super::packet::{self, Header};
use super::rtcp::Received;
use crate::base::limits::{LATCH_PACKETS, LATCH_SILENCE};
use crate::base::time::Instant;

/// Why the address that a leg's packets come from is believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pin {
    /// It is the one that the SDP names.
    Sdp,
    /// It is in the trunk's `media_from`.
    Listed,
    /// It was the first to send [`LATCH_PACKETS`] in a row ([`MediaNat::Latch`]).
    Latched,
}

/// Where a leg's media comes from and goes to.
///
/// * The SDP's address is believed at once, and sent to from the start.
/// * Until something was heard, anybody is believed under [`MediaNat::Latch`] who sends [`LATCH_PACKETS`] in a row.
/// * Otherwise only `media_from`, and from there back the SDP's address, may take over, after [`LATCH_SILENCE`] of
///   the believed one and [`LATCH_PACKETS`] in a row. The SDP's host has no right by its name: behind one address
///   of a carrier run thousands of streams, and one of a call that is over must not be heard in another.
/// * A stranger who was latched on yields to the SDP's address at its first packet.
/// * New SDP without an address (`0.0.0.0`) stops what goes there; who was believed is believed.
/// * New SDP with another address starts all over; SDP with the same address changes nothing, so that a session
///   refresh opens no door.
#[derive(Debug)]
pub struct Address {
    sdp: Option<SocketAddr>,
    sdp_rtcp: Option<SocketAddr>,
    rtcp_port: RtcpPort,
    nat: MediaNat,
    media_from: ArrayVec<MediaSource, 4>,
    believed: Option<(SocketAddr, Pin)>,
    /// Something was taken since the SDP came.
    is_settled: bool,
    /// The last packet of the believed address, or the SDP's coming. `None`: longer ago than anybody is waited for.
    heard: Option<Instant>,
    /// Who else sends, and how many in a row.
    candidate: Option<(SocketAddr, u8)>,
    /// Where the RTCP of a learnt address comes from.
    rtcp_learnt: Option<SocketAddr>,
}

/// Whose packet it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    /// The believed one's.
    Known,
    /// Somebody's who is believed from this packet on.
    New,
    /// Not to be touched.
    Stranger,
}

/// Whose RTCP it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RtcpSender {
    /// The leg's peer's.
    Peer,
    /// Its host's, from a port that nobody named: what it says of our stream can be read, but another of the host's
    /// streams is no sign that this one lives.
    Host,
    /// Not to be touched.
    Stranger,
}

impl Address {
    /// What the SDP says, at the moment it came.
    pub fn new(now: Instant, spec: &FlowSpec) -> Self {
        let sdp = usable(spec.remote);
        Self {
            sdp,
            sdp_rtcp: usable(spec.remote_rtcp),
            rtcp_port: spec.rtcp_port,
            nat: spec.nat,
            media_from: spec.media_from.clone(),
            believed: sdp.map(|address| (address, Pin::Sdp)),
            is_settled: false,
            heard: Some(now),
            candidate: None,
            rtcp_learnt: None,
        }
    }

    /// The stream was running before: whoever may take over from the SDP's address needn't wait for its silence once
    /// more, unless it is heard first.
    pub fn resume(&mut self) {
        self.heard = None;
    }

    /// New SDP.
    pub fn change(&mut self, now: Instant, spec: &FlowSpec) {
        if usable(spec.remote).is_none() && self.believed.is_some() {
            // A hold as it used to be (`0.0.0.0`): nothing goes there, but music may go on from where it came from.
            self.sdp = None;
            self.sdp_rtcp = None;
            self.candidate = None;
            return;
        }
        if self.sdp != usable(spec.remote) || self.nat != spec.nat {
            *self = Self::new(now, spec);
            return;
        }
        self.sdp_rtcp = usable(spec.remote_rtcp);
        self.rtcp_port = spec.rtcp_port;
        self.media_from.clone_from(&spec.media_from);
    }

    /// Where this leg's RTP goes.
    pub fn to(&self) -> Option<SocketAddr> {
        let (sdp, (address, pin)) = (self.sdp?, self.believed?);
        match pin {
            Pin::Sdp => Some(sdp),
            Pin::Listed | Pin::Latched => Some(address),
        }
    }

    /// Where this leg's RTCP goes. To another port of a learnt address only once RTCP came from there.
    pub fn rtcp_to(&self) -> Option<SocketAddr> {
        self.sdp?;
        let (address, pin) = self.believed?;
        match (pin, self.rtcp_port) {
            (Pin::Sdp, _) => self.sdp_rtcp,
            (Pin::Listed | Pin::Latched, RtcpPort::Own) => self.rtcp_learnt,
            (Pin::Listed | Pin::Latched, RtcpPort::Shared) => Some(address),
        }
    }

    /// Judges the sender of a valid packet whose payload type is the leg's.
    pub fn admit(&mut self, now: Instant, from: SocketAddr) -> Sender {
        let Some((believed, pin)) = self.believed else {
            return Sender::Stranger;
        };
        if same(from, believed) {
            self.heard = Some(now);
            self.is_settled = true;
            self.candidate = None;
            return Sender::Known;
        }
        let Some(sdp) = self.sdp else {
            return Sender::Stranger;
        };
        let is_sdp = same(from, sdp);
        let may_return = is_sdp && pin == Pin::Latched;
        let listed = self.media_from.iter().any(|source| contains(source, from.ip()));
        let first = !self.is_settled && self.nat == MediaNat::Latch;
        if !(is_sdp || first || listed) {
            return Sender::Stranger;
        }
        let in_a_row = match self.candidate {
            Some((address, n)) if same(address, from) => n.saturating_add(1),
            Some(_) | None => 1,
        };
        self.candidate = Some((from, in_a_row));
        let is_silent = self.heard.is_none_or(|heard| now.since(heard) >= LATCH_SILENCE);
        if !(may_return || (in_a_row >= LATCH_PACKETS && (first || is_silent))) {
            return Sender::Stranger;
        }
        let pin = if is_sdp {
            Pin::Sdp
        } else if self.nat == MediaNat::Latch {
            Pin::Latched
        } else {
            Pin::Listed
        };
        self.believed = Some((from, pin));
        self.is_settled = true;
        self.heard = Some(now);
        self.candidate = None;
        self.rtcp_learnt = None;
        Sender::New
    }

    /// Judges the sender of RTCP.
    pub fn admit_rtcp(&mut self, from: SocketAddr) -> RtcpSender {
        let Some((believed, pin)) = self.believed else {
            return RtcpSender::Stranger;
        };
        if self.sdp_rtcp.is_some_and(|address| same(address, from)) {
            return RtcpSender::Peer;
        }
        if from.ip() != believed.ip() {
            return RtcpSender::Stranger;
        }
        match pin {
            // What translated the address of its RTP gave its RTCP any port.
            Pin::Listed | Pin::Latched => {
                self.rtcp_learnt = Some(from);
                RtcpSender::Peer
            }
            Pin::Sdp if same(from, believed) => RtcpSender::Peer,
            Pin::Sdp => RtcpSender::Host,
        }
    }
}

/// `0.0.0.0` and port 0 are nobody's; the system would take the former for this machine. A group of hosts is no
/// party to a call either.
fn usable(address: Option<SocketAddr>) -> Option<SocketAddr> {
    address.filter(|address| {
        let ip = address.ip();
        let is_group = ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        !ip.is_unspecified() && !is_group && address.port() != 0
    })
}

/// Equality without IPv6's flow label and scope, which SDP doesn't know.
fn same(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && a.ip() == b.ip()
}

fn contains(source: &MediaSource, address: IpAddr) -> bool {
    let (network, address, width) = match (source.network, address) {
        (IpAddr::V4(n), IpAddr::V4(a)) => (u128::from(n.to_bits()), u128::from(a.to_bits()), 32),
        (IpAddr::V6(n), IpAddr::V6(a)) => (n.to_bits(), a.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let host_bits = width - u32::from(source.prefix).min(width);
    (network ^ address).checked_shr(host_bits).unwrap_or(0) == 0
}

/// Gaps up to this many packets are loss; a larger jump is a restart (RFC 3550 §A.1).
const DROPOUT_MAX: u16 = 3_000;
/// A packet may come this late and still belong to the stream (RFC 3550 §A.1).
const MISORDER_MAX: u16 = 100;

/// One incoming stream (one SSRC from one address), counted as RFC 3550 §A.1, §A.3 and §A.8 do.
#[derive(Debug)]
pub struct Reception {
    /// The stream's SSRC.
    pub ssrc: u32,
    first_seq: u16,
    highest_seq: u16,
    /// 65,536 times how often the sequence number wrapped.
    cycles: u32,
    /// After a jump: the number that would confirm a restart.
    restart_seq: Option<u16>,
    received: u32,
    expected_reported: u32,
    received_reported: u32,
    clock_hz: u32,
    transit: Option<u32>,
    /// Sixteen times the jitter, in ticks.
    jitter: u32,
    jitter_max: u32,
    /// The middle of the NTP time in the peer's last SR, and when it came.
    pub last_sr: Option<(u32, Instant)>,
}

/// How a packet continues its stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Arrival {
    /// In order, late or twice: it is the stream's.
    Ours,
    /// Far out of the stream's order, for the first time.
    Jumped,
    /// Far out of the stream's order, but the second in a row.
    Restarted,
}

impl Reception {
    fn new(header: &Header) -> Self {
        Self {
            ssrc: header.ssrc,
            first_seq: header.seq,
            highest_seq: header.seq,
            cycles: 0,
            restart_seq: None,
            received: 0,
            expected_reported: 0,
            received_reported: 0,
            clock_hz: 0,
            transit: None,
            jitter: 0,
            jitter_max: 0,
            last_sr: None,
        }
    }

    // RFC 3550 §A.1, without the probation: the address was proved already.
    fn arrive(&mut self, seq: u16) -> Arrival {
        let ahead = seq.wrapping_sub(self.highest_seq);
        if ahead < DROPOUT_MAX {
            if seq < self.highest_seq {
                self.cycles = self.cycles.wrapping_add(1 << 16);
            }
            self.highest_seq = seq;
        } else if ahead <= MISORDER_MAX.wrapping_neg() {
            let is_second = self.restart_seq == Some(seq);
            self.restart_seq = Some(seq.wrapping_add(1));
            return if is_second {
                Arrival::Restarted
            } else {
                Arrival::Jumped
            };
        }
        self.restart_seq = None;
        self.received = self.received.wrapping_add(1);
        Arrival::Ours
    }

    /// Whether a packet of audio is where the stream's clock is by now, to a second.
    fn is_in_time(&self, now: Instant, timestamp: u32, payload: &Payload) -> bool {
        let clock_hz = payload.clock_hz;
        let transit = packet::ticks(now.since(Instant::default()), clock_hz).wrapping_sub(timestamp);
        let moved = |before: u32| (transit.wrapping_sub(before) as i32).unsigned_abs();
        !payload.is_event
            && self.clock_hz == clock_hz
            && self.transit.is_some_and(|before| moved(before) < clock_hz)
    }

    // RFC 3550 §A.8. Events are left out: all packets of one event carry its first moment.
    fn time(&mut self, now: Instant, timestamp: u32, clock_hz: u32) {
        if self.clock_hz != clock_hz {
            self.clock_hz = clock_hz;
            self.transit = None;
            self.jitter = 0;
            self.jitter_max = 0;
        }
        let transit = packet::ticks(now.since(Instant::default()), clock_hz).wrapping_sub(timestamp);
        if let Some(before) = self.transit.replace(transit) {
            let difference = (transit.wrapping_sub(before) as i32).unsigned_abs();
            // A jump of the sender's clock is not jitter; it would never settle.
            if difference < clock_hz {
                let settled = self.jitter.saturating_add(8) >> 4;
                self.jitter = self.jitter.saturating_add(difference).saturating_sub(settled);
                self.jitter_max = self.jitter_max.max(self.jitter);
            }
        }
    }

    /// What our next report says of this stream; `None` if nothing of it came since the last one.
    pub fn report(&mut self, now: Instant) -> Option<Received> {
        let fraction_lost = self.fraction_lost()?;
        let (last_sr, delay) = match self.last_sr {
            // In 1/65,536 s.
            Some((middle, came)) => (middle, packet::ticks(now.since(came), 1 << 16)),
            None => (0, 0),
        };
        Some(Received {
            ssrc: self.ssrc,
            fraction_lost,
            lost: self.lost(),
            extended_seq: self.extended_seq(),
            jitter: self.jitter >> 4,
            last_sr,
            delay,
        })
    }

    /// The highest sequence number received, with its cycles above (RFC 3550 §6.4.1).
    fn extended_seq(&self) -> u32 {
        self.cycles.wrapping_add(u32::from(self.highest_seq))
    }

    fn expected(&self) -> u32 {
        self.extended_seq()
            .wrapping_sub(u32::from(self.first_seq))
            .wrapping_add(1)
    }

    /// Expected minus received packets; negative when some came twice (RFC 3550 §A.3).
    fn lost(&self) -> i32 {
        self.expected().wrapping_sub(self.received) as i32
    }

    fn jitter_us_max(&self) -> u32 {
        packet::micros(self.jitter_max >> 4, self.clock_hz)
    }

    /// The fraction of packets lost since it was last asked for, in 256ths (RFC 3550 §A.3); `None` if nothing
    /// was received since.
    fn fraction_lost(&mut self) -> Option<u8> {
        let expected = self.expected();
        let lately_expected = expected.wrapping_sub(self.expected_reported);
        let lately_received = self.received.wrapping_sub(self.received_reported);
        self.expected_reported = expected;
        self.received_reported = self.received;
        if lately_received == 0 {
            return None;
        }
        let lost = u64::from(lately_expected.saturating_sub(lately_received));
        let fraction = (lost << 8) / u64::from(lately_expected.max(1));
        Some(u8::try_from(fraction).unwrap_or(u8::MAX))
    }
}

/// One leg's incoming side.
#[derive(Debug)]
pub struct Inbound {
    /// Where media comes from and goes to.
    pub address: Address,
    /// The stream that is being received.
    pub reception: Option<Reception>,
    /// What was counted, without the stream that is being received.
    pub counts: Counts,
    /// When something valid of the peer's, RTCP too, came last, or when waiting for it began.
    pub alive: Instant,
    /// When RTP of the peer's was last taken, or when waiting for it began.
    pub heard: Instant,
    /// What comes now is the same source's after an outage, by whose numbers nobody can tell how many packets didn't come.
    pub is_back: bool,
    timeline: u32,
}

impl Inbound {
    /// Nothing has come in yet.
    pub fn new(now: Instant, spec: &FlowSpec) -> Self {
        Self {
            address: Address::new(now, spec),
            reception: None,
            counts: Counts::default(),
            alive: now,
            heard: now,
            is_back: false,
            timeline: 0,
        }
    }

    /// Judges and counts a packet. Returns the number of the timeline that its sequence number and timestamp
    /// belong to: another number, another beginning. `None`: the packet goes no further (not counted here as
    /// dropped).
    pub fn take(
        &mut self,
        now: Instant,
        from: SocketAddr,
        header: &Header,
        payload: Option<&Payload>,
    ) -> Option<u32> {
        let known = self
            .address
            .believed
            .is_some_and(|(address, _)| same(address, from));
        // An unknown payload type proves nothing about a new address.
        if !known && payload.is_none() {
            self.counts.stranger(from);
            return None;
        }
        match self.address.admit(now, from) {
            Sender::Stranger => {
                self.counts.stranger(from);
                return None;
            }
            Sender::Known => {}
            Sender::New => self.begin(now, header),
        }
        self.alive = now;
        if self.reception.as_ref().is_none_or(|r| r.ssrc != header.ssrc) {
            self.begin(now, header);
        }
        match self.reception.as_mut()?.arrive(header.seq) {
            Arrival::Ours => {}
            Arrival::Jumped => return None,
            Arrival::Restarted => {
                // One that began anew would hardly go on by the same clock.
                let went_on = |reception: &Reception| {
                    payload.is_some_and(|payload| reception.is_in_time(now, header.timestamp, payload))
                };
                self.is_back = self.reception.as_ref().is_some_and(went_on);
                self.begin(now, header);
                self.reception.as_mut()?.arrive(header.seq);
            }
        }
        if let (Some(payload), Some(reception)) = (payload, &mut self.reception)
            && !payload.is_event
        {
            if reception.clock_hz != payload.clock_hz {
                self.counts.jitter_us_max = self.counts.jitter_us_max.max(reception.jitter_us_max());
            }
            reception.time(now, header.timestamp, payload.clock_hz);
        }
        Some(self.timeline)
    }

    /// Judges and counts a datagram that isn't RTP. Whether it is the peer's.
    pub fn take_datagram(&mut self, now: Instant, from: SocketAddr) -> bool {
        match self.address.admit(now, from) {
            Sender::Stranger => {
                self.counts.stranger(from);
                false
            }
            Sender::Known | Sender::New => {
                self.alive = now;
                true
            }
        }
    }

    /// The peer says that its stream is over: what comes now begins another.
    pub fn end(&mut self, now: Instant) {
        self.counts = self.counts(now);
        self.reception = None;
    }

    /// What was counted, with the stream that is being received.
    pub fn counts(&self, now: Instant) -> Counts {
        let mut counts = self.counts;
        counts.quiet = now.since(self.heard);
        if let Some(reception) = &self.reception {
            counts.lost = counts
                .lost
                .saturating_add(u64::try_from(reception.lost()).unwrap_or(0));
            counts.jitter_us_max = counts.jitter_us_max.max(reception.jitter_us_max());
        }
        counts
    }

    fn begin(&mut self, now: Instant, header: &Header) {
        self.counts = self.counts(now);
        self.reception = Some(Reception::new(header));
        self.timeline = self.timeline.wrapping_add(1);
    }
}
