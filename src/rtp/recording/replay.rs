//! A dump as audio: its packets decoded, and laid by their time as a recording's are.
//!
//! A dump says which streams are the caller's and which the callee's; packets that it doesn't name are events or comfort
//! noise. PCMA, PCMU and G.722 are known by their static payload types, Opus by its clock (RFC 7587 §4.1: always 48,000,
//! which no other codec of ours has). Of others nothing is heard.

use std::collections::BTreeMap;
use std::time::Duration;

use super::dump::Whose;
use super::{Block, Rate, Stereo};
use crate::base::id::Id;
use crate::base::time::Instant;
use crate::rtp::clip::{CLOCK_HZ, Coding};
use crate::rtp::opus;
use crate::rtp::packet::{self, Header};
use crate::rtp::tap::{Channel, Heard, Tap};

/// Where a dump begins on our own clock: anywhere that has something before it.
const BEGUN: Instant = Instant::from_micros(60_000_000);
/// Opus has six ticks for one of ours.
const OPUS_CLOCK_HZ: u32 = 48_000;
const OPUS_TICKS: i64 = (OPUS_CLOCK_HZ / CLOCK_HZ) as i64;
/// Packets of Opus that wait for one before them, and for how long, in milliseconds.
const WAITING_MAX: usize = 16;
const WAITS_MS: u64 = 200;
/// Sequence numbers further apart than this are of another stream.
const APART_MAX: i64 = 3_000;

/// How the packets of a stream are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Codec {
    /// By what the server itself decodes.
    Known(Coding),
    /// By the decoder of Opus.
    Opus,
    /// They aren't.
    Unread,
}

impl Whose {
    /// How its packets are read.
    pub fn codec(&self) -> Codec {
        let known = [Coding::A, Coding::Mu, Coding::G722];
        match known
            .into_iter()
            .find(|coding| coding.payload() == self.payload_type)
        {
            Some(coding) if self.clock_hz == CLOCK_HZ => Codec::Known(coding),
            Some(_) | None if self.clock_hz == OPUS_CLOCK_HZ => Codec::Opus,
            Some(_) | None => Codec::Unread,
        }
    }
}

/// What became of a dump's packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Count {
    /// Packets of audio.
    pub audio: u64,
    /// Packets of Opus that its decoder refused: silence stands for them.
    pub broken: u64,
    /// Packets of codecs that aren't read here: silence stands for them.
    pub unread: u64,
}

/// A dump that is being read.
pub struct Replay {
    stereo: Stereo,
    streams: Vec<Whose>,
    opus: [Option<Sorter>; 2],
    count: Count,
}

impl Replay {
    /// Of a dump with these streams.
    pub fn new(streams: Vec<Whose>) -> Self {
        let is_wide = |whose: &Whose| match whose.codec() {
            Codec::Opus | Codec::Known(Coding::G722) => true,
            Codec::Known(Coding::A | Coding::Mu) | Codec::Unread => false,
        };
        let rate = match streams.iter().any(is_wide) {
            true => Rate::Wide,
            false => Rate::Narrow,
        };
        Self::at(rate, streams)
    }

    /// The same, with so many samples a second.
    pub fn at(rate: Rate, streams: Vec<Whose>) -> Self {
        Self {
            stereo: Stereo::new(rate, BEGUN),
            streams,
            opus: [None, None],
            count: Count::default(),
        }
    }

    /// Samples a second of what it gives.
    pub fn rate(&self) -> Rate {
        self.stereo.rate()
    }

    /// What became of the packets so far.
    pub fn count(&self) -> Count {
        self.count
    }

    /// Takes in a packet that was heard so many milliseconds after the begin. What isn't RTP is left out.
    pub fn hear(&mut self, at_ms: u32, bytes: &[u8]) {
        let Some((header, payload)) = packet::read(bytes) else {
            return;
        };
        let payload = bytes.get(payload).unwrap_or_default();
        let of_ssrc = |whose: &&Whose| whose.ssrc == header.ssrc;
        let named = |whose: &&Whose| of_ssrc(whose) && whose.payload_type == header.payload_type;
        let Some(whose) = self
            .streams
            .iter()
            .find(named)
            .or(self.streams.iter().find(of_ssrc))
        else {
            return;
        };
        let (whose, at) = (*whose, BEGUN + Duration::from_millis(at_ms.into()));
        let is_audio = whose.payload_type == header.payload_type;
        let heard = Heard {
            tap: Tap {
                recording: Id::from_bits(0),
                channel: whose.channel,
            },
            at,
            ssrc: header.ssrc,
            seq: header.seq,
            timestamp: header.timestamp,
            clock_hz: whose.clock_hz,
            marker: header.marker,
            payload_type: header.payload_type,
            coding: None,
            is_event: !is_audio,
            is_back: false,
            payload,
        };
        match whose.codec() {
            Codec::Known(coding) => {
                self.count.audio += u64::from(is_audio);
                self.stereo.hear(&Heard {
                    coding: Some(coding).filter(|_| is_audio),
                    ..heard
                });
            }
            Codec::Opus => {
                let [caller, callee] = &mut self.opus;
                let sorter = match whose.channel {
                    Channel::Caller => caller,
                    Channel::Callee => callee,
                };
                let sorter = match sorter.take() {
                    Some(last) if last.fits(&header) => sorter.insert(last),
                    other => {
                        if let Some(mut last) = other {
                            last.give(&mut self.stereo, &mut self.count, u64::MAX);
                        }
                        sorter.insert(Sorter::new(whose, &header))
                    }
                };
                sorter.take(&heard, u64::from(at_ms));
                sorter.give(&mut self.stereo, &mut self.count, u64::from(at_ms));
            }
            Codec::Unread => self.count.unread += u64::from(is_audio),
        }
    }

    /// The next block of audio, once all packets up to `at_ms` were heard; to be called until there is none.
    pub fn poll(&mut self, at_ms: u32) -> Option<Block> {
        // Packets of Opus may wait for others so long.
        let at_ms = u64::from(at_ms).saturating_sub(WAITS_MS);
        self.stereo.poll(BEGUN + Duration::from_millis(at_ms))
    }

    /// It ends so many milliseconds after its begin: [`Replay::poll`] gives the rest.
    pub fn end(&mut self, at_ms: u64) {
        for sorter in self.opus.iter_mut().flatten() {
            sorter.give(&mut self.stereo, &mut self.count, u64::MAX);
        }
        self.stereo.end(BEGUN + Duration::from_millis(at_ms));
    }

    /// Takes a block's buffer back.
    pub fn reuse(&mut self, frames: Vec<i16>) {
        self.stereo.reuse(frames);
    }
}

/// A stream of Opus: each packet is decoded behind the one that was sent before it, because each depends on all of them.
struct Sorter {
    whose: Whose,
    decoder: opus::Decoder,
    /// The newest packet's sequence number and timestamp, each on without end.
    seq: i64,
    ts: i64,
    /// What comes next.
    next: Option<i64>,
    waiting: BTreeMap<i64, Waiting>,
    /// When the last one was given: none is given as heard before it.
    given: Instant,
    samples: Vec<i16>,
    bytes: Vec<u8>,
}

struct Waiting {
    at: Instant,
    at_ms: u64,
    ts: i64,
    is_event: bool,
    payload: Vec<u8>,
}

impl Sorter {
    fn new(whose: Whose, first: &Header) -> Self {
        Self {
            whose,
            decoder: opus::Decoder::default(),
            seq: first.seq.into(),
            ts: first.timestamp.into(),
            next: None,
            waiting: BTreeMap::new(),
            given: BEGUN,
            samples: Vec::new(),
            bytes: Vec::new(),
        }
    }

    fn seq_of(&self, seq: u16) -> i64 {
        self.seq + i64::from(seq.wrapping_sub(self.seq as u16) as i16)
    }

    /// Whether a packet may be this stream's.
    fn fits(&self, header: &Header) -> bool {
        self.whose.ssrc == header.ssrc && (self.seq_of(header.seq) - self.seq).abs() < APART_MAX
    }

    fn take(&mut self, heard: &Heard<'_>, at_ms: u64) {
        let seq = self.seq_of(heard.seq);
        let ahead = heard.timestamp.wrapping_sub(self.ts as u32) as i32;
        let ts = match heard.is_event {
            true => self.ts,
            false => self.ts.saturating_add(ahead.into()),
        };
        if self.next.is_some_and(|next| seq < next) {
            return;
        }
        if seq > self.seq {
            (self.seq, self.ts) = (seq, ts);
        }
        self.waiting.entry(seq).or_insert_with(|| Waiting {
            at: heard.at,
            at_ms,
            ts,
            is_event: heard.is_event,
            payload: heard.payload.to_vec(),
        });
    }

    /// Gives what need not wait any more at `now_ms`.
    fn give(&mut self, stereo: &mut Stereo, count: &mut Count, now_ms: u64) {
        loop {
            let is_full = self.waiting.len() > WAITING_MAX;
            let Some(first) = self.waiting.first_entry() else {
                return;
            };
            let seq = *first.key();
            let is_next = self.next.is_some_and(|next| next == seq);
            if !is_next && !is_full && first.get().at_ms.saturating_add(WAITS_MS) > now_ms {
                return;
            }
            let packet = first.remove();
            self.next = Some(seq + 1);
            self.given = self.given.max(packet.at);
            self.samples.clear();
            self.bytes.clear();
            let is_audio = !packet.is_event && !packet.payload.is_empty();
            if is_audio {
                count.audio += 1;
                if self.decoder.decode(&packet.payload, &mut self.samples).is_none() {
                    count.broken += 1;
                }
                let bytes = self.samples.iter().flat_map(|sample| sample.to_le_bytes());
                self.bytes.extend(bytes);
            }
            let heard = Heard {
                tap: Tap {
                    recording: Id::from_bits(0),
                    channel: self.whose.channel,
                },
                at: self.given,
                ssrc: self.whose.ssrc,
                seq: seq as u16,
                timestamp: packet.ts.div_euclid(OPUS_TICKS) as u32,
                clock_hz: CLOCK_HZ,
                marker: false,
                payload_type: self.whose.payload_type,
                coding: None,
                is_event: packet.is_event,
                is_back: false,
                payload: &self.bytes,
            };
            match self.bytes.is_empty() {
                // It came, and nothing is heard of it.
                true => stereo.hear(&Heard {
                    is_event: true,
                    is_back: false,
                    ..heard
                }),
                false => stereo.hear_decoded(&heard),
            }
        }
    }
}

#[cfg(test)]
mod tests;
