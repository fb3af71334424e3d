//! One message as HEP v3 carries it (sipcapture's "HEP3 Network Protocol Specification"): `HEP3`, the length of all,
//! and chunks of vendor, type, length and value, in network byte order.

use std::net::{IpAddr, SocketAddr};

use crate::sip::path::Transport;
use crate::sip::seen::Passed;

/// Bytes of a chunk before its value, and of a packet before its chunks.
const HEAD: usize = 6;

/// Types of the generic chunks (vendor 0).
mod chunk {
    pub(super) const FAMILY: u16 = 0x01;
    pub(super) const PROTOCOL: u16 = 0x02;
    pub(super) const SOURCE_V4: u16 = 0x03;
    pub(super) const DESTINATION_V4: u16 = 0x04;
    pub(super) const SOURCE_V6: u16 = 0x05;
    pub(super) const DESTINATION_V6: u16 = 0x06;
    pub(super) const SOURCE_PORT: u16 = 0x07;
    pub(super) const DESTINATION_PORT: u16 = 0x08;
    pub(super) const SECONDS: u16 = 0x09;
    pub(super) const MICROSECONDS: u16 = 0x0a;
    pub(super) const KIND: u16 = 0x0b;
    pub(super) const CAPTURE_ID: u16 = 0x0c;
    pub(super) const KEY: u16 = 0x0e;
    pub(super) const PAYLOAD: u16 = 0x0f;
    pub(super) const CORRELATION: u16 = 0x11;
}

/// `AF_INET` and `AF_INET6`, as Linux numbers them.
const FAMILIES: [u8; 2] = [2, 10];
/// IP's numbers of TCP, which TLS is over, and UDP.
const TCP: u8 = 6;
const UDP: u8 = 17;
/// The kind of payload that is SIP.
const SIP: u8 = 1;

/// A packet that can't be written: its length wouldn't fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TooLong;

/// What goes with a message.
pub(super) struct Packet<'p> {
    pub(super) passed: Passed,
    pub(super) capture_id: u32,
    pub(super) key: Option<&'p [u8]>,
    /// What all messages of one call have in common.
    pub(super) correlation: &'p [u8],
    pub(super) message: &'p [u8],
}

impl Packet<'_> {
    /// Writes the packet in place of what is in `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let Passed { at, from, to, by } = self.passed;
        out.clear();
        out.extend_from_slice(b"HEP3\0\0");
        let family = FAMILIES[usize::from(from.is_ipv6())];
        put(out, chunk::FAMILY, &[family])?;
        let protocol = match by {
            Transport::Udp => UDP,
            Transport::Tcp | Transport::Tls => TCP,
        };
        put(out, chunk::PROTOCOL, &[protocol])?;
        put_address(out, from, chunk::SOURCE_V4, chunk::SOURCE_V6)?;
        put_address(out, to, chunk::DESTINATION_V4, chunk::DESTINATION_V6)?;
        put(out, chunk::SOURCE_PORT, &from.port().to_be_bytes())?;
        put(out, chunk::DESTINATION_PORT, &to.port().to_be_bytes())?;
        // The field is 32 bits wide, until 2106.
        let seconds = u32::try_from(at.as_secs()).unwrap_or(u32::MAX);
        put(out, chunk::SECONDS, &seconds.to_be_bytes())?;
        put(out, chunk::MICROSECONDS, &at.subsec_micros().to_be_bytes())?;
        put(out, chunk::KIND, &[SIP])?;
        put(out, chunk::CAPTURE_ID, &self.capture_id.to_be_bytes())?;
        if let Some(key) = self.key {
            put(out, chunk::KEY, key)?;
        }
        if !self.correlation.is_empty() {
            put(out, chunk::CORRELATION, self.correlation)?;
        }
        put(out, chunk::PAYLOAD, self.message)?;
        let length = u16::try_from(out.len()).map_err(|_| TooLong)?;
        if let Some(place) = out.get_mut(4..HEAD) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }
}

fn put(out: &mut Vec<u8>, kind: u16, value: &[u8]) -> Result<(), TooLong> {
    let length = u16::try_from(value.len().saturating_add(HEAD)).map_err(|_| TooLong)?;
    out.extend_from_slice(&0_u16.to_be_bytes());
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
    Ok(())
}

fn put_address(out: &mut Vec<u8>, address: SocketAddr, v4: u16, v6: u16) -> Result<(), TooLong> {
    match address.ip() {
        IpAddr::V4(ip) => put(out, v4, &ip.octets()),
        IpAddr::V6(ip) => put(out, v6, &ip.octets()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn passed(from: &str, to: &str, by: Transport) -> Passed {
        Passed {
            at: Duration::new(1_790_000_000, 123_456_789),
            from: from.parse().expect("an address"),
            to: to.parse().expect("an address"),
            by,
        }
    }

    // Written by hand from the specification's tables.
    #[test]
    fn a_packet_is_byte_for_byte_as_the_specification_lays_it_out() {
        let mut out = b"before".to_vec();
        let packet = Packet {
            passed: passed("192.0.2.1:5060", "198.51.100.7:40000", Transport::Udp),
            capture_id: 2_001,
            key: Some(b"myHep"),
            correlation: b"c@h",
            message: b"SIP/2.0 200 OK\r\n\r\n",
        };
        packet.write(&mut out).expect("it fits");
        let wanted: Vec<u8> = [
            &b"HEP3\x00\x89"[..],
            b"\x00\x00\x00\x01\x00\x07\x02",
            b"\x00\x00\x00\x02\x00\x07\x11",
            b"\x00\x00\x00\x03\x00\x0a\xc0\x00\x02\x01",
            b"\x00\x00\x00\x04\x00\x0a\xc6\x33\x64\x07",
            b"\x00\x00\x00\x07\x00\x08\x13\xc4",
            b"\x00\x00\x00\x08\x00\x08\x9c\x40",
            b"\x00\x00\x00\x09\x00\x0a\x6a\xb1\x3b\x80",
            b"\x00\x00\x00\x0a\x00\x0a\x00\x01\xe2\x40",
            b"\x00\x00\x00\x0b\x00\x07\x01",
            b"\x00\x00\x00\x0c\x00\x0a\x00\x00\x07\xd1",
            b"\x00\x00\x00\x0e\x00\x0bmyHep",
            b"\x00\x00\x00\x11\x00\x09c@h",
            b"\x00\x00\x00\x0f\x00\x18SIP/2.0 200 OK\r\n\r\n",
        ]
        .concat();
        assert_eq!(out, wanted);
    }

    #[test]
    fn ipv6_and_streams_have_their_own_chunks() {
        let mut out = Vec::new();
        let packet = Packet {
            passed: passed("[2001:db8::1]:5061", "[2001:db8::2]:1", Transport::Tls),
            capture_id: 0,
            key: None,
            correlation: b"",
            message: b"x",
        };
        packet.write(&mut out).expect("it fits");
        let wanted = [
            &b"HEP3\x00\x7c"[..],
            b"\x00\x00\x00\x01\x00\x07\x0a",
            b"\x00\x00\x00\x02\x00\x07\x06",
            b"\x00\x00\x00\x05\x00\x16\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01",
            b"\x00\x00\x00\x06\x00\x16\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02",
            b"\x00\x00\x00\x07\x00\x08\x13\xc5",
            b"\x00\x00\x00\x08\x00\x08\x00\x01",
            b"\x00\x00\x00\x09\x00\x0a\x6a\xb1\x3b\x80",
            b"\x00\x00\x00\x0a\x00\x0a\x00\x01\xe2\x40",
            b"\x00\x00\x00\x0b\x00\x07\x01",
            b"\x00\x00\x00\x0c\x00\x0a\x00\x00\x00\x00",
            b"\x00\x00\x00\x0f\x00\x07x",
        ]
        .concat();
        assert_eq!(out, wanted);
    }

    #[test]
    fn what_has_no_room_in_a_packet_is_not_written() {
        let mut out = Vec::new();
        let mut packet = Packet {
            passed: passed("192.0.2.1:5060", "192.0.2.2:5060", Transport::Tcp),
            capture_id: 0,
            key: None,
            correlation: b"",
            message: &[b'x'; 65_436],
        };
        assert_eq!(packet.write(&mut out), Ok(()));
        assert_eq!(out.len(), 65_535);
        packet.message = &[b'x'; 65_437];
        assert_eq!(packet.write(&mut out), Err(TooLong));
        packet.message = &[b'x'; 65_530];
        assert_eq!(packet.write(&mut out), Err(TooLong));
    }
}
