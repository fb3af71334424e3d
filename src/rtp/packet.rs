//! One RTP packet (RFC 3550 §5.1): read and checked, and its header written anew in place.

use std::ops::Range;
use std::time::Duration;

use rtp_rs::RtpReader;

/// Bytes of a header without CSRCs and extension: the only kind that we write.
pub const HEADER_BYTES: usize = 12;

/// What a checked packet says; everything else of it (CSRCs, extension, padding) is left behind here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Start of a talk spurt or of an event.
    pub marker: bool,
    /// Payload type, 0–127.
    pub payload_type: u8,
    /// Sequence number.
    pub seq: u16,
    /// Timestamp, in ticks of the payload's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
}

/// Reads a packet: its header, and where in `packet` its payload lies. `None` for whatever isn't RTP:
/// another version (STUN), counts and lengths that don't fit in the datagram, RTCP.
pub fn read(packet: &[u8]) -> Option<(Header, Range<usize>)> {
    // RFC 5761 §4: RTCP packet types lie at 192–223 in what would be marker and payload type.
    if packet.get(1).is_some_and(|b| (192..=223).contains(b)) {
        return None;
    }
    let reader = RtpReader::new(packet).ok()?;
    let start = reader.payload_offset();
    let end = start.checked_add(reader.payload().len())?;
    let header = Header {
        marker: reader.mark(),
        payload_type: reader.payload_type(),
        seq: u16::from(reader.sequence_number()),
        timestamp: reader.timestamp(),
        ssrc: reader.ssrc(),
    };
    Some((header, start..end))
}

/// Writes `header` right before the payload, which stays where it is, over whatever header was there.
/// Returns the new packet's place in `packet`; `None` if `payload` leaves no room for a header.
pub fn write(header: &Header, packet: &mut [u8], payload: Range<usize>) -> Option<Range<usize>> {
    let start = payload.start.checked_sub(HEADER_BYTES)?;
    let room = packet.get_mut(start..payload.start)?;
    let mut bytes = [0; HEADER_BYTES];
    bytes[0] = 2 << 6; // version 2; no padding, no extension, no CSRC
    bytes[1] = (u8::from(header.marker) << 7) | (header.payload_type & 0x7f);
    bytes[2..4].copy_from_slice(&header.seq.to_be_bytes());
    bytes[4..8].copy_from_slice(&header.timestamp.to_be_bytes());
    bytes[8..12].copy_from_slice(&header.ssrc.to_be_bytes());
    room.copy_from_slice(&bytes);
    Some(start..payload.end)
}

/// How many ticks of a clock pass in `time`, wrapped as timestamps wrap.
pub fn ticks(time: Duration, clock_hz: u32) -> u32 {
    let whole = time.as_secs().wrapping_mul(u64::from(clock_hz));
    let part = u64::from(time.subsec_micros()) * u64::from(clock_hz) / 1_000_000;
    whole.wrapping_add(part) as u32
}

/// Microseconds that `ticks` of a clock last; saturating.
pub fn micros(ticks: u32, clock_hz: u32) -> u32 {
    let us = u64::from(ticks) * 1_000_000 / u64::from(clock_hz.max(1));
    u32::try_from(us).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            marker: true,
            payload_type: 8,
            seq: 0xfffe,
            timestamp: 0x0102_0304,
            ssrc: 0xaabb_ccdd,
        }
    }

    #[test]
    fn a_packet_reads_back_as_it_was_written() {
        let mut packet = [0x55; 20];
        assert_eq!(write(&header(), &mut packet, 14..20), Some(2..20));
        assert_eq!(read(&packet[2..]), Some((header(), 12..18)));
    }

    #[test]
    fn csrcs_extension_and_padding_stay_outside_the_payload() {
        let mut packet = vec![0xb2, 0x80, 0, 7, 0, 0, 0, 160, 0, 0, 0, 9]; // P, X, two CSRCs
        packet.extend([1; 8]);
        packet.extend([0xbe, 0xde, 0, 1, 2, 2, 2, 2]);
        packet.extend(b"audio");
        packet.extend([0, 0, 3]);
        let (_, payload) = read(&packet).expect("a good packet");
        assert_eq!(&packet[payload.clone()], b"audio");
        let out = write(&header(), &mut packet, payload).expect("room for a header");
        assert_eq!(out.len(), HEADER_BYTES + 5);
        assert_eq!(read(&packet[out]), Some((header(), 12..17)));
    }

    #[test]
    fn what_is_not_rtp_is_not_read() {
        let good = [0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xff];
        assert!(read(&good).is_some());
        let cases: [(&str, usize, u8); 6] = [
            ("version 1", 0, 0x40),
            ("STUN", 0, 0x00),
            ("RTCP", 1, 200),
            ("CSRCs beyond the end", 0, 0x8f),
            ("an extension beyond the end", 0, 0x90),
            ("padding beyond the end", 0, 0xa0),
        ];
        for (what, at, byte) in cases {
            let mut packet = good;
            packet[at] = byte;
            assert_eq!(read(&packet), None, "{what}");
        }
        assert_eq!(read(&good[..11]), None, "short");
        assert_eq!(read(&[]), None, "empty");
    }

    #[test]
    fn ticks_wrap_and_never_overflow() {
        assert_eq!(ticks(Duration::from_millis(20), 8_000), 160);
        assert_eq!(
            ticks(Duration::from_micros(u64::MAX), 90_000),
            ticks(Duration::from_micros(u64::MAX), 90_000)
        );
        assert_eq!(
            ticks(Duration::from_secs(600_000), 8_000),
            4_800_000_000_u64 as u32
        );
        assert_eq!(micros(160, 8_000), 20_000);
        assert_eq!(micros(u32::MAX, 0), u32::MAX);
    }
}
