//! What goes out on one leg: our own SSRC, and one timeline whatever feeds it.
//!
//! Out = in + offset, so loss and reordering stay visible at the far side. Only where another source begins
//! is a new offset chosen, so that the timeline goes on.

use super::packet::{self, Header};
use crate::base::chance::Chance;
use crate::base::limits::SRTP_SSRCS;
use crate::base::time::Instant;

/// Letters of a CNAME: 96 random bits' worth and more (RFC 7022 §4.2), and no digit.
const CNAME_LETTERS: usize = 20;

/// The newest moment of the timeline that was sent.
#[derive(Clone, Copy, Debug)]
struct Newest {
    seq: u16,
    timestamp: u32,
    at: Instant,
}

/// One leg's outgoing side.
#[derive(Debug)]
pub struct Outbound {
    ssrc: u32,
    /// Which SSRCs it may have, if that matters.
    series: Option<Series>,
    cname: [u8; CNAME_LETTERS],
    /// The audio's; zero until the first audio packet.
    clock_hz: u32,
    first_seq: u16,
    first_timestamp: u32,
    seq_offset: u16,
    timestamp_offset: u32,
    /// Which incoming timeline the offsets are for.
    timeline: Option<u32>,
    newest: Option<Newest>,
    packets: u32,
    octets: u32,
    /// Whether it is ours alone now: what we make is on it, and nothing is relayed.
    talks: Talks,
}

/// SSRCs one after the other: a key is used with each once (RFC 3711 §9.1).
#[derive(Clone, Copy, Debug)]
struct Series {
    first: u32,
    used: u32,
}

/// Who is heard on a leg.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Talks {
    /// The other leg's peer.
    Peer,
    /// We.
    Us,
}

/// What a sender report says of a leg's outgoing side (RFC 3550 §6.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sent {
    /// The timestamp that belongs to the moment of the report.
    pub timestamp: u32,
    /// Packets sent under the SSRC.
    pub packets: u32,
    /// Their payload's bytes.
    pub octets: u32,
}

impl Outbound {
    /// A side of its own: SSRC, CNAME and where the timeline begins are drawn.
    pub fn new(chance: &mut Chance) -> Self {
        let mut new = Self {
            ssrc: 0,
            series: None,
            cname: chance.token(),
            clock_hz: 0,
            first_seq: 0,
            first_timestamp: 0,
            seq_offset: 0,
            timestamp_offset: 0,
            timeline: None,
            newest: None,
            packets: 0,
            octets: 0,
            talks: Talks::Peer,
        };
        new.renew(chance);
        new
    }

    /// It begins anew, under an SSRC of those from `first` on that it hasn't had, and has no other any more. `None`:
    /// there is none left.
    pub fn number(&mut self, chance: &mut Chance, first: u32) -> Option<()> {
        self.series = self
            .series
            .filter(|series| series.first == first)
            .or(Some(Series { first, used: 0 }));
        self.timeline = None;
        self.renew(chance)
    }

    /// Our SSRC towards this leg.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The audio's clock in hertz; zero until the first audio packet.
    pub fn clock_hz(&self) -> u32 {
        self.clock_hz
    }

    /// Our CNAME towards this leg: letters only.
    pub fn cname(&self) -> &str {
        std::str::from_utf8(&self.cname).expect("a token is ASCII letters")
    }

    /// Another source will feed this side, or the same one after a pause that the far side shan't take for loss.
    pub fn pause(&mut self) {
        self.timeline = None;
    }

    /// When the newest moment was sent of the timeline, if one was.
    pub fn newest_at(&self) -> Option<Instant> {
        self.newest.map(|newest| newest.at)
    }

    /// Nothing is relayed until [`Outbound::yield_to_peer`]: an event or a sound of ours begins.
    pub fn talk(&mut self) {
        self.talks = Talks::Us;
        self.timeline = None;
    }

    /// What comes is relayed again, on a timeline that has gone on meanwhile.
    pub fn yield_to_peer(&mut self) {
        self.talks = Talks::Peer;
    }

    /// The timestamp of this moment; `clock_hz` is the audio's, if none was sent yet.
    pub fn moment(&mut self, now: Instant, clock_hz: u32) -> u32 {
        if self.clock_hz == 0 {
            self.clock_hz = clock_hz;
        }
        self.next(now, self.clock_hz).1
    }

    /// The header of an event of ours that began at `timestamp`.
    pub fn event(&mut self, now: Instant, payload_type: u8, marker: bool, timestamp: u32) -> Header {
        let header = Header {
            marker,
            payload_type,
            seq: self.next(now, self.clock_hz).0,
            timestamp,
            ssrc: self.ssrc,
        };
        self.remember(now, &header);
        header
    }

    /// The header of a packet of ours that is due at `due`; others of ours were due in whole steps of its clock before.
    /// `None`: there is no SSRC for that clock.
    pub fn speak(
        &mut self,
        due: Instant,
        chance: &mut Chance,
        payload_type: u8,
        marker: bool,
        clock_hz: u32,
    ) -> Option<Header> {
        if self.clock_hz != 0 && self.clock_hz != clock_hz {
            // RFC 7160 §4.1: another clock rate is another SSRC.
            self.renew(chance)?;
        }
        self.clock_hz = clock_hz;
        let (seq, timestamp) = self.next(due, clock_hz);
        let header = Header {
            marker,
            payload_type,
            seq,
            timestamp,
            ssrc: self.ssrc,
        };
        self.remember(due, &header);
        Some(header)
    }

    /// The header under which an incoming packet leaves. `timeline` names what its numbers belong to,
    /// `clock_hz` is the clock of its payload; `None` for an event, which runs at the audio's. `None`: it doesn't
    /// leave, an event or a sound of ours is under way.
    pub fn carry(
        &mut self,
        now: Instant,
        chance: &mut Chance,
        incoming: &Header,
        timeline: u32,
        clock_hz: Option<u32>,
    ) -> Option<Header> {
        let mut marker = incoming.marker;
        let before = self.clock_hz;
        let clock_hz = clock_hz.unwrap_or(before);
        let is_other_clock = before != 0 && before != clock_hz;
        if self.timeline != Some(timeline) || is_other_clock {
            // Looked at only here: what we say ourselves leaves no timeline behind.
            if self.talks == Talks::Us {
                return None;
            }
            if is_other_clock {
                // RFC 7160 §4.1: another clock rate is another SSRC.
                self.renew(chance)?;
            }
            let (seq, timestamp) = self.next(now, clock_hz);
            self.seq_offset = seq.wrapping_sub(incoming.seq);
            self.timestamp_offset = timestamp.wrapping_sub(incoming.timestamp);
            self.timeline = Some(timeline);
            marker = true;
        }
        self.clock_hz = clock_hz;
        let header = Header {
            marker,
            payload_type: incoming.payload_type,
            seq: incoming.seq.wrapping_add(self.seq_offset),
            timestamp: incoming.timestamp.wrapping_add(self.timestamp_offset),
            ssrc: self.ssrc,
        };
        self.remember(now, &header);
        Some(header)
    }

    /// Counts a packet that leaves, by its payload's bytes.
    pub fn count(&mut self, octets: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(octets as u32);
    }

    /// What a report says at `now`; `None` if nothing was sent since `since`.
    pub fn sent(&self, now: Instant, since: Instant) -> Option<Sent> {
        let newest = self.newest.filter(|newest| newest.at >= since)?;
        let passed = packet::ticks(now.since(newest.at), self.clock_hz);
        Some(Sent {
            timestamp: newest.timestamp.wrapping_add(passed),
            packets: self.packets,
            octets: self.octets,
        })
    }

    /// Whether anything was ever sent.
    pub fn has_sent(&self) -> bool {
        self.newest.is_some()
    }

    /// The sequence number behind the last, and the timestamp of this moment: later than any before.
    fn next(&self, now: Instant, clock_hz: u32) -> (u16, u32) {
        match self.newest {
            Some(newest) => {
                let passed = packet::ticks(now.since(newest.at), clock_hz).max(1);
                (newest.seq.wrapping_add(1), newest.timestamp.wrapping_add(passed))
            }
            None => (self.first_seq, self.first_timestamp),
        }
    }

    fn remember(&mut self, now: Instant, header: &Header) {
        match &mut self.newest {
            None => {
                self.newest = Some(Newest {
                    seq: header.seq,
                    timestamp: header.timestamp,
                    at: now,
                });
            }
            Some(newest) => {
                if is_later(header.seq.wrapping_sub(newest.seq)) {
                    newest.seq = header.seq;
                }
                // An event's packets all carry its first moment: only a timestamp that moved says what time it is.
                if (header.timestamp.wrapping_sub(newest.timestamp) as i32) > 0 {
                    newest.timestamp = header.timestamp;
                    newest.at = now;
                }
            }
        }
    }

    /// `None`, and nothing has changed: there is no SSRC left.
    fn renew(&mut self, chance: &mut Chance) -> Option<()> {
        let (bits, more) = (chance.bits(), chance.bits());
        self.ssrc = match &mut self.series {
            None => bits as u32,
            Some(series) => {
                let used = Some(series.used).filter(|used| *used < SRTP_SSRCS)?;
                series.used += 1;
                series.first.wrapping_add(used)
            }
        };
        self.first_timestamp = (bits >> 32) as u32;
        // RFC 3550 §5.1: a random beginning; kept low as RFC 3711 §3.3.1 advises.
        self.first_seq = (more & 0x7fff) as u16;
        self.newest = None;
        self.packets = 0;
        self.octets = 0;
        Some(())
    }
}

fn is_later(ahead: u16) -> bool {
    ahead != 0 && ahead < 1 << 15
}
