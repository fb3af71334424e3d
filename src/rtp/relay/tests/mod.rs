//! The relay in virtual time: two peers, A on port 20000 and B on port 20002.

use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::rtp::clip::Coding;
use crate::rtp::flow::{MediaNat, Payload, Stream};
use crate::rtp::outbound::Sent;
use crate::rtp::packet::Header;
use crate::rtp::srtp::RTP_GROWTH_MAX;

mod addresses;
mod arbitrary;
mod digits;
mod ears;
mod fax;
mod headers;
mod reports;
mod secure;
mod silence;
mod sounds;
mod taps;

const A: u32 = 20_000;
const B: u32 = 20_002;
const MS: u64 = 1_000;
const CODINGS: [Coding; 3] = [Coding::A, Coding::Mu, Coding::G722];
/// The wall clock at instant zero.
const WALL: Wall = Wall::from_millis(1_795_255_200_000);
/// What A and B call themselves.
const SSRC_A: u32 = 0xa1a2_a3a4;
const SSRC_B: u32 = 0xb1b2_b3b4;

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn a() -> SocketAddr {
    address("192.0.2.1:4000")
}

fn b() -> SocketAddr {
    address("198.51.100.2:6000")
}

fn stranger() -> SocketAddr {
    address("203.0.113.66:666")
}

/// PCMA 8 ⇄ 8, telephone-event 101 ⇄ 96, wide-band 9 ⇄ 9 at another clock, and 13, which the other side lacks.
fn spec(remote: SocketAddr) -> FlowSpec {
    let payload = |number, other, clock_hz, is_event| Payload {
        number,
        other,
        clock_hz,
        coding: CODINGS.into_iter().find(|coding| coding.payload() == number),
        is_event,
    };
    FlowSpec {
        remote: Some(remote),
        remote_rtcp: Some(SocketAddr::new(remote.ip(), remote.port() + 1)),
        rtcp_port: RtcpPort::Own,
        stream: Stream::Rtp,
        payloads: [
            payload(8, Some(8), 8_000, false),
            payload(101, Some(96), 8_000, true),
            payload(9, Some(9), 16_000, false),
            payload(13, None, 8_000, false),
        ]
        .into_iter()
        .collect(),
        way: Way::Both,
        nat: MediaNat::Strict,
        media_from: ArrayVec::new(),
        timeout: None,
        security: None,
    }
}

/// One packet as the far side sees it.
#[derive(Clone, PartialEq, Debug)]
struct Got {
    port: u32,
    to: SocketAddr,
    header: Header,
    payload: Vec<u8>,
    bytes: Vec<u8>,
}

struct Bench {
    relay: Relay,
    now: Instant,
}

impl Bench {
    /// A and B, joined.
    fn new() -> Self {
        Self::with(spec(a()), spec(b()))
    }

    fn with(a: FlowSpec, b: FlowSpec) -> Self {
        let mut relay = Relay::new(Chance::from_number(7), 20_000, 20_009, WALL);
        let now = Instant::from_micros(5_000 * MS);
        relay.open(now, A, &a);
        relay.open(now, B, &b);
        relay.join(now, A, B);
        Self { relay, now }
    }

    fn wait(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
    }

    /// Raw bytes arrive; what leaves.
    fn raw(&mut self, port: u32, from: SocketAddr, bytes: &[u8]) -> Option<Got> {
        let mut buffer = bytes.to_vec();
        let length = buffer.len();
        buffer.resize(length + RTP_GROWTH_MAX, 0);
        let out = self.relay.rtp(self.now, port, from, &mut buffer, length)?;
        let bytes = buffer[out.bytes].to_vec();
        let (header, payload) = packet::read(&bytes).expect("what leaves is RTP");
        Some(Got {
            port: out.port,
            to: out.to,
            header,
            payload: bytes[payload].to_vec(),
            bytes,
        })
    }

    fn send(&mut self, port: u32, from: SocketAddr, header: &Header) -> Option<Got> {
        self.raw(port, from, &rtp(header))
    }

    /// Audio from A, 20 ms after the last packet.
    fn audio(&mut self, seq: u16) -> Option<Got> {
        self.audio_from(a(), seq)
    }

    fn audio_from(&mut self, from: SocketAddr, seq: u16) -> Option<Got> {
        self.wait(20);
        self.send(A, from, &audio(SSRC_A, seq))
    }

    /// Audio from B, at once.
    fn answer(&mut self, seq: u16) -> Option<Got> {
        self.send(B, b(), &audio(SSRC_B, seq))
    }

    /// Where A's media goes now.
    fn towards_a(&mut self) -> Option<SocketAddr> {
        self.answer(1).map(|got| got.to)
    }

    fn counts(&mut self, port: u32) -> Counts {
        self.relay.close(self.now, port).expect("a flow is there")
    }

    /// Lets `ms` pass and every timer fire when it is due. The RTCP that left meanwhile.
    fn run(&mut self, ms: u64) -> Vec<(u32, SocketAddr, Vec<u8>)> {
        let end = self.now + Duration::from_millis(ms);
        let mut sent = Vec::new();
        while let Some(at) = self.relay.timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.relay.tick(self.now);
            let named = |(port, to, bytes)| (port & !1, to, bytes);
            sent.extend(std::iter::from_fn(|| self.relay.poll_out()).map(named));
        }
        self.now = end;
        sent
    }
}

fn audio(ssrc: u32, seq: u16) -> Header {
    Header {
        marker: false,
        payload_type: 8,
        seq,
        timestamp: u32::from(seq).wrapping_mul(160),
        ssrc,
    }
}

fn rtp(header: &Header) -> Vec<u8> {
    let mut bytes = vec![0xd5; packet::HEADER_BYTES + 160];
    packet::write(
        header,
        &mut bytes,
        packet::HEADER_BYTES..packet::HEADER_BYTES + 160,
    )
    .expect("room");
    bytes
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

fn peer_report(ssrc: u32, sent: u64, cname: &str, about: Option<(u32, u32, u32)>) -> Vec<u8> {
    let received = about.map(|(ssrc, last_sr, delay)| rtcp::Received {
        ssrc,
        fraction_lost: 0,
        lost: 0,
        extended_seq: 0,
        jitter: 0,
        last_sr,
        delay,
    });
    let zero = Sent {
        timestamp: 0,
        packets: 0,
        octets: 0,
    };
    rtcp::write(&rtcp::Report {
        ssrc,
        cname,
        sent: Some((sent, zero)),
        received,
        ending: Ending::More,
    })
}
