//! RTCP (RFC 3550 §6) ends at us: of what comes in a few figures are read, what goes out is ours alone.
//!
//! Names, e-mail addresses and phone numbers of an SDES are never looked at, so they can't cross.

use rtcp_types::prelude::{RtcpPacketParser, RtcpPacketWriter, RtcpPacketWriterExt};
use rtcp_types::{Bye, ReceiverReport, ReportBlock, Sdes, SdesChunk, SdesItem, SenderReport};

use super::outbound::Sent;
use crate::base::time::{Instant, Wall};

/// Seconds from 1900 (NTP) to 1970 (Unix).
const NTP_UNIX_SECONDS: u64 = 2_208_988_800;

/// The NTP time (RFC 3550 §4) of an instant, in 32.32 fixed point, if the clocks read `wall` at instant zero.
pub fn ntp(wall: Wall, at: Instant) -> u64 {
    let unix_us = i128::from(wall.as_millis()) * 1_000 + i128::from(at.as_micros());
    let us = unix_us + i128::from(NTP_UNIX_SECONDS) * 1_000_000;
    // Wraps in 2036 as NTP does.
    ((us << 32) / 1_000_000) as u64
}

/// The middle 32 bits of an NTP time: 16.16 seconds, as LSR and DLSR count.
pub fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// Whether a packet that came to an RTP port is RTCP: the payload types 64 to 95 are kept free for it
/// (RFC 5761 §4).
#[inline]
pub fn is_rtcp(packet: &[u8]) -> bool {
    packet
        .get(1)
        .is_some_and(|kind| (64..=95).contains(&(kind & 0x7f)))
}

/// What a compound packet told us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heard {
    /// Who sent it.
    pub ssrc: u32,
    /// The middle of its NTP time, if it was a sender report.
    pub sent: Option<u32>,
    /// What it says about what we send.
    pub about_us: Option<AboutUs>,
    /// Whether it says that its stream is over (RFC 3550 §6.6).
    pub leaves: Leaves,
}

/// Whether a report's sender says BYE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leaves {
    /// It doesn't.
    No,
    /// It does.
    Yes,
}

/// What the other side says of our stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AboutUs {
    /// Packets lost since the beginning; negative when some came twice.
    pub lost: i32,
    /// Jitter in ticks of our stream's clock.
    pub jitter: u32,
    /// The middle of our last SR's NTP time; zero if none came.
    pub last_sr: u32,
    /// How long after it came the report was sent, in 1/65,536 s.
    pub delay: u32,
}

/// Reads a compound packet; `ours` is our SSRC towards its sender. `None` for whatever isn't RTCP: it has to
/// begin with a report, and the lengths have to fill the datagram (RFC 3550 §A.2).
pub fn read(packet: &[u8], ours: u32) -> Option<Heard> {
    let mut heard = None;
    let mut rest = packet;
    while !rest.is_empty() {
        let &[flags, kind, high, low, ..] = rest else {
            return None;
        };
        let bytes = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        let (one, after) = rest.split_at_checked(bytes)?;
        let is_padded = flags & 0x20 != 0;
        if flags >> 6 != 2 || (is_padded && !after.is_empty()) {
            return None;
        }
        match kind {
            200 => {
                let report = SenderReport::parse(one).ok()?;
                let first = heard.get_or_insert(Heard {
                    ssrc: report.ssrc(),
                    sent: Some(middle(report.ntp_timestamp())),
                    about_us: None,
                    leaves: Leaves::No,
                });
                first.about_us = first.about_us.or(about(report.report_blocks(), ours));
            }
            201 => {
                let report = ReceiverReport::parse(one).ok()?;
                let first = heard.get_or_insert(Heard {
                    ssrc: report.ssrc(),
                    sent: None,
                    about_us: None,
                    leaves: Leaves::No,
                });
                first.about_us = first.about_us.or(about(report.report_blocks(), ours));
            }
            // SDES, BYE, APP, feedback: a compound can't begin with one.
            _ if heard.is_none() => return None,
            203 => {
                let bye = Bye::parse(one).ok()?;
                // Its words for leaving, like those of an SDES, are never looked at.
                if let Some(first) = heard
                    .as_mut()
                    .filter(|first| bye.ssrcs().any(|s| s == first.ssrc))
                {
                    first.leaves = Leaves::Yes;
                }
            }
            _ => {}
        }
        rest = after;
    }
    heard
}

fn about<'a>(blocks: impl Iterator<Item = ReportBlock<'a>>, ours: u32) -> Option<AboutUs> {
    let mut blocks = blocks.filter(|block| block.ssrc() == ours);
    let block = blocks.next()?;
    // 24 bits with a sign.
    let lost = (block.cumulative_lost() << 8) as i32 >> 8;
    Some(AboutUs {
        lost,
        jitter: block.interarrival_jitter(),
        last_sr: block.last_sender_report_timestamp(),
        delay: block.delay_since_last_sender_report_timestamp(),
    })
}

/// What we say of the stream that we receive from the report's reader (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    /// The stream's SSRC.
    pub ssrc: u32,
    /// Loss since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Loss since the beginning; negative when packets came twice.
    pub lost: i32,
    /// The highest sequence number, with cycles.
    pub extended_seq: u32,
    /// Jitter in ticks.
    pub jitter: u32,
    /// The middle of its last SR's NTP time; zero if none came.
    pub last_sr: u32,
    /// How long ago that came, in 1/65,536 s.
    pub delay: u32,
}

/// Which stream of ours a report says to be over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// None.
    More,
    /// The one under this SSRC: a BYE is added (RFC 3550 §6.6).
    Bye(u32),
}

/// One report of ours, to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report<'a> {
    /// Our SSRC towards its reader.
    pub ssrc: u32,
    /// Our CNAME towards its reader.
    pub cname: &'a str,
    /// The NTP time, and what we sent: a sender report. `None`: a receiver report.
    pub sent: Option<(u64, Sent)>,
    /// What we receive.
    pub received: Option<Received>,
    /// What is over.
    pub ending: Ending,
}

/// Writes SR or RR, SDES with our CNAME, and perhaps BYE.
pub fn write(report: &Report<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    let block = report.received.map(|received| {
        let lost = received.lost.clamp(-0x80_0000, 0x7f_ffff);
        ReportBlock::builder(received.ssrc)
            .fraction_lost(received.fraction_lost)
            .cumulative_lost(lost as u32 & 0xff_ffff)
            .extended_sequence_number(received.extended_seq)
            .interarrival_jitter(received.jitter)
            .last_sender_report_timestamp(received.last_sr)
            .delay_since_last_sender_report_timestamp(received.delay)
    });
    match report.sent {
        Some((ntp, sent)) => {
            let mut sr = SenderReport::builder(report.ssrc)
                .ntp_timestamp(ntp)
                .rtp_timestamp(sent.timestamp)
                .packet_count(sent.packets)
                .octet_count(sent.octets);
            if let Some(block) = block {
                sr = sr.add_report_block(block);
            }
            append(&mut out, &sr);
        }
        None => {
            let mut rr = ReceiverReport::builder(report.ssrc);
            if let Some(block) = block {
                rr = rr.add_report_block(block);
            }
            append(&mut out, &rr);
        }
    }
    let cname = SdesItem::builder(SdesItem::CNAME, report.cname);
    let chunk = SdesChunk::builder(report.ssrc).add_item(cname);
    append(&mut out, &Sdes::builder().add_chunk(chunk));
    match report.ending {
        Ending::More => {}
        Ending::Bye(ssrc) => append(&mut out, &Bye::builder().add_source(ssrc)),
    }
    out
}

fn append(out: &mut Vec<u8>, packet: &impl RtcpPacketWriter) {
    let start = out.len();
    let bytes = packet
        .calculate_size()
        .expect("one block, one chunk and a 20-letter CNAME fit");
    out.resize(start + bytes, 0);
    packet
        .write_into(&mut out[start..])
        .expect("the room was measured by the packet itself");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report<'static> {
        Report {
            ssrc: 0x0a0b_0c0d,
            cname: "bcdfghjklmnpqrstvwxz",
            sent: None,
            received: None,
            ending: Ending::More,
        }
    }

    #[test]
    fn a_report_of_ours_reads_back() {
        let received = Received {
            ssrc: 77,
            fraction_lost: 12,
            lost: -3,
            extended_seq: 0x1_0002,
            jitter: 9,
            last_sr: 0xdead_beef,
            delay: 655,
        };
        let sent = Sent {
            timestamp: 5,
            packets: 6,
            octets: 7,
        };
        let bytes = write(&Report {
            sent: Some((0x0001_0002_0003_0004, sent)),
            received: Some(received),
            ending: Ending::Bye(0x0a0b_0c0d),
            ..report()
        });
        let heard = read(&bytes, 77).expect("good RTCP");
        assert_eq!(heard.ssrc, 0x0a0b_0c0d);
        assert_eq!(heard.sent, Some(0x0002_0003));
        let about_us = AboutUs {
            lost: -3,
            jitter: 9,
            last_sr: 0xdead_beef,
            delay: 655,
        };
        assert_eq!(heard.about_us, Some(about_us));
        assert_eq!(heard.leaves, Leaves::Yes);
        let sr = SenderReport::parse(&bytes[..52]).expect("begins with the SR");
        assert_eq!(
            (sr.packet_count(), sr.octet_count(), sr.rtp_timestamp()),
            (6, 7, 5)
        );
        let block = sr.report_blocks().next().expect("one block");
        assert_eq!(block.cumulative_lost(), 0xff_fffd);
        assert_eq!(read(&bytes, 78).and_then(|heard| heard.about_us), None);
    }

    #[test]
    fn a_compound_must_begin_with_a_report_and_fill_the_datagram() {
        let good = write(&report());
        assert!(read(&good, 0).is_some());
        assert_eq!(read(&good[8..], 0), None, "SDES first");
        assert_eq!(read(&good[..good.len() - 1], 0), None, "cut");
        assert_eq!(read(&[&good[..], &[0x80]].concat(), 0), None, "a tail");
        assert_eq!(read(&[], 0), None, "empty");
        let mut old = good.clone();
        old[0] = 0x40;
        assert_eq!(read(&old, 0), None, "version 1");
    }

    #[test]
    fn ntp_counts_from_1900_with_fractions_of_2_to_the_32() {
        let half = Instant::from_micros(500_000);
        assert_eq!(
            ntp(Wall::from_millis(0), Instant::default()) >> 32,
            NTP_UNIX_SECONDS
        );
        assert_eq!(ntp(Wall::from_millis(0), half) & 0xffff_ffff, 1 << 31);
        assert_eq!(middle(0x1111_2222_3333_4444), 0x2222_3333);
        let _ = ntp(Wall::NEVER, Instant::from_micros(u64::MAX));
    }
}
