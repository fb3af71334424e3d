//! The tap: what a leg's peer hears of us, on its way to whoever records it.
//!
//! It sits where a packet to that peer is ready and still in clear. So a recording has what was heard: prompts and tones
//! in their places, nothing that was dropped or held back, and one timeline of our own making, whatever SSRCs, addresses
//! and keys came and went on the other side.
//!
//! Whoever records has a thread of its own, and what moves packets never waits for it: between them is a [`ring`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BufMut};
use rtrb::RingBuffer;

use super::clip::Coding;
use crate::base::id::Id;
use crate::base::limits::MEDIA_DATAGRAM_BYTES_MAX;
use crate::base::time::Instant;

/// Whose voice a channel holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Channel {
    /// The left one: what the callee hears, so the caller, or what we play to the callee.
    Caller,
    /// The right one: what the caller hears, so the callee, or what we play to the caller.
    Callee,
}

/// Where what a flow's peer hears is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tap {
    /// Of which recording.
    pub recording: Id,
    /// Which channel of it.
    pub channel: Channel,
}

/// A packet that a flow's peer hears, in clear: as it is sent, but for what secures it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heard<'a> {
    /// Where it is recorded.
    pub tap: Tap,
    /// When it left. A sound of ours says when it was due: mostly then, and otherwise a little before.
    pub at: Instant,
    /// Our SSRC towards that peer. Another one is another timeline.
    pub ssrc: u32,
    /// Sequence number: what is lost on its way to us leaves a hole, and what comes late comes late.
    pub seq: u16,
    /// Timestamp, in ticks of the clock; an event's packets all have its first moment.
    pub timestamp: u32,
    /// The audio's clock, in hertz, for events too (G.722's is 8,000, RFC 3551 §4.5.2).
    pub clock_hz: u32,
    /// The marker bit: the start of a talk spurt or of an event (RFC 3551 §4.1).
    pub marker: bool,
    /// The number that it goes out under.
    pub payload_type: u8,
    /// How the audio is coded; `None`: in a way that we can't read, or it is an event.
    pub coding: Option<Coding>,
    /// A key as an RFC 4733 telephone-event, and no audio.
    pub is_event: bool,
    /// It came first after so long an outage that our numbers don't tell how many packets didn't come: they go on behind the
    /// last one, and the timestamp says how long it was.
    pub is_back: bool,
    /// The payload.
    pub payload: &'a [u8],
}

/// Takes what taps hear.
pub trait Taps: Send {
    /// A packet is about to leave. Called where packets move, so it waits for nothing.
    fn hear(&mut self, heard: &Heard<'_>);
}

/// Bytes of an entry before its payload.
const HEAD_BYTES: usize = 43;

/// Packets that were left out of which it is known whose they were.
const MISSED_NAMED_MAX: usize = 4_096;

/// How many packets were left out.
#[derive(Debug, Default)]
struct Missed {
    all: AtomicU64,
    /// Since the last time, of whoever's recording.
    unnamed: AtomicU64,
}

/// A ring of so many bytes between what moves packets and who records them: no lock, and no allocation once it is there.
/// A packet takes its payload's bytes and 43 more. One that doesn't fit, because nobody took the others, is left out as
/// a whole.
pub fn ring(bytes: usize) -> (Producer, Consumer) {
    let (writer, reader) = RingBuffer::new(bytes);
    let (names, named) = RingBuffer::new(MISSED_NAMED_MAX);
    let missed = Arc::new(Missed::default());
    let producer = Producer {
        bytes: writer,
        names,
        missed: Arc::clone(&missed),
    };
    let consumer = Consumer {
        bytes: reader,
        named,
        missed,
        payload: Box::new([0; MEDIA_DATAGRAM_BYTES_MAX]),
        order: Vec::with_capacity(bytes / HEAD_BYTES),
    };
    (producer, consumer)
}

/// The end of a [`ring`] that packets come in at.
#[derive(Debug)]
pub struct Producer {
    bytes: rtrb::Producer<u8>,
    names: rtrb::Producer<Id>,
    missed: Arc<Missed>,
}

impl Producer {
    /// A packet of this recording is left out.
    fn miss(&mut self, recording: Id) {
        if self.names.push(recording).is_err() {
            self.missed.unnamed.fetch_add(1, Ordering::Relaxed);
        }
        self.missed.all.fetch_add(1, Ordering::Relaxed);
    }
}

impl Taps for Producer {
    fn hear(&mut self, heard: &Heard<'_>) {
        let length = heard.payload.len();
        // Handed over in one piece: whoever sees the first byte of an entry sees all of it.
        let room = Some(HEAD_BYTES + length).filter(|_| length <= MEDIA_DATAGRAM_BYTES_MAX);
        let Some(mut room) = room.and_then(|whole| self.bytes.write_chunk(whole).ok()) else {
            self.miss(heard.tap.recording);
            return;
        };
        let head = head(heard);
        let mut entry = head.chain(heard.payload);
        let (first, second) = room.as_mut_slices();
        entry.copy_to_slice(first);
        entry.copy_to_slice(second);
        room.commit_all();
    }
}

/// The end of a [`ring`] that packets are taken from.
#[derive(Debug)]
pub struct Consumer {
    bytes: rtrb::Consumer<u8>,
    named: rtrb::Consumer<Id>,
    missed: Arc<Missed>,
    /// Room for a payload that lies across the ring's end.
    payload: Box<[u8; MEDIA_DATAGRAM_BYTES_MAX]>,
    /// Which packets lie there: of which recording each is, and where it begins.
    order: Vec<(u128, usize)>,
}

impl Consumer {
    /// Takes the packets that lie there at this moment: how many. Those of a recording come together, in the order in which
    /// they were heard, so that it is in the processor's cache for all of them. Packets that come meanwhile are for the
    /// next time.
    pub fn take(&mut self, mut hear: impl FnMut(&Heard<'_>)) -> usize {
        let Ok(chunk) = self.bytes.read_chunk(self.bytes.slots()) else {
            return 0;
        };
        let (first, second) = chunk.as_slices();
        let whole = first.len() + second.len();
        let entry = |at: usize| {
            let mut entry = first.chain(second);
            entry.advance(at);
            let mut head = [0; HEAD_BYTES];
            entry.copy_to_slice(&mut head);
            (head, entry)
        };
        let mut at = 0;
        self.order.clear();
        // What lies there begins and ends with an entry.
        while at < whole {
            let (heard, length) = read(&entry(at).0);
            self.order.push((heard.tap.recording.bits(), at));
            at += HEAD_BYTES + length;
        }
        self.order.sort_unstable();
        for (_, at) in &self.order {
            let (head, mut entry) = entry(*at);
            let (heard, length) = read(&head);
            let payload = match entry.chunk().get(..length) {
                Some(payload) => payload,
                None => {
                    let room = self.payload.get_mut(..length).unwrap_or_default();
                    entry.copy_to_slice(room);
                    room
                }
            };
            hear(&Heard { payload, ..heard });
        }
        chunk.commit_all();
        self.order.len()
    }

    /// Whether no packet lies there.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many packets have been left out since the ring is there.
    pub fn missed(&self) -> u64 {
        self.missed.all.load(Ordering::Relaxed)
    }

    /// Says of which recordings packets were left out since the last time, some of them more than once. `false`: there
    /// were more than it has names of.
    pub fn missed_of(&mut self, mut say: impl FnMut(Id)) -> bool {
        // Those that come meanwhile are for the next time.
        for _ in 0..self.named.slots() {
            if let Ok(recording) = self.named.pop() {
                say(recording);
            }
        }
        self.missed.unnamed.swap(0, Ordering::Relaxed) == 0
    }
}

/// What stands before a payload.
fn head(heard: &Heard<'_>) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    let mut out = &mut head[..];
    out.put_u16(heard.payload.len() as u16);
    out.put_u128(heard.tap.recording.bits());
    out.put_u8(match heard.tap.channel {
        Channel::Caller => 0,
        Channel::Callee => 1,
    });
    out.put_u64(heard.at.as_micros());
    out.put_u32(heard.ssrc);
    out.put_u16(heard.seq);
    out.put_u32(heard.timestamp);
    out.put_u32(heard.clock_hz);
    out.put_u8(heard.payload_type);
    out.put_u8(
        match heard.coding {
            None => 0,
            Some(Coding::A) => 1,
            Some(Coding::Mu) => 2,
            Some(Coding::G722) => 3,
        } | u8::from(heard.is_event) << 7
            | u8::from(heard.marker) << 6
            | u8::from(heard.is_back) << 5,
    );
    head
}

/// A packet without its payload, and how long that is.
fn read(mut head: &[u8]) -> (Heard<'static>, usize) {
    let length = usize::from(head.get_u16());
    let tap = Tap {
        recording: Id::from_bits(head.get_u128()),
        channel: match head.get_u8() {
            0 => Channel::Caller,
            _ => Channel::Callee,
        },
    };
    let (at, ssrc, seq) = (head.get_u64(), head.get_u32(), head.get_u16());
    let (timestamp, clock_hz, payload_type) = (head.get_u32(), head.get_u32(), head.get_u8());
    let what = head.get_u8();
    let heard = Heard {
        tap,
        at: Instant::from_micros(at),
        ssrc,
        seq,
        timestamp,
        clock_hz,
        marker: what & 0x40 != 0,
        payload_type,
        coding: match what & 0x1f {
            1 => Some(Coding::A),
            2 => Some(Coding::Mu),
            3 => Some(Coding::G722),
            _ => None,
        },
        is_event: what & 0x80 != 0,
        is_back: what & 0x20 != 0,
        payload: &[],
    };
    (heard, length)
}

#[cfg(test)]
mod tests;
