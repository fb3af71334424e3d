//! A flow of PCMA alone, and its packets.
#![allow(dead_code)] // each test binary uses its part

use std::net::SocketAddr;

use umbra::rtp::clip::Coding;
use umbra::rtp::flow::{FlowSpec, MediaNat, Payload, RtcpPort, Security, Stream, Way};
use umbra::rtp::packet::{self, Header};

/// Bytes of a packet of 20 ms.
pub const BYTES: usize = packet::HEADER_BYTES + 160;

/// The packet of this number of a stream, in a buffer with room behind it.
pub fn audio(seq: u16, ssrc: u32) -> [u8; 2_048] {
    let mut bytes = [0xd5; 2_048];
    let header = Header {
        marker: false,
        payload_type: 8,
        seq,
        timestamp: u32::from(seq) * 160,
        ssrc,
    };
    packet::write(&header, &mut bytes, packet::HEADER_BYTES..BYTES).expect("room for a header");
    bytes
}

/// A flow with whoever is there, secured so or not at all.
pub fn spec(remote: SocketAddr, security: Option<Security>) -> FlowSpec {
    let pcma = Payload {
        number: 8,
        other: Some(8),
        clock_hz: 8_000,
        coding: Some(Coding::A),
        is_event: false,
    };
    FlowSpec {
        remote: Some(remote),
        remote_rtcp: None,
        rtcp_port: RtcpPort::Own,
        stream: Stream::Rtp,
        payloads: [pcma].into_iter().collect(),
        way: Way::Both,
        nat: MediaNat::Strict,
        media_from: Default::default(),
        timeout: None,
        security: security.map(Box::new),
    }
}
