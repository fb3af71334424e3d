//! Packets of a stream that wait for those before them, in the order in which they were sent.

use std::collections::VecDeque;

use crate::base::limits::{RECORDING_PACKET_BYTES_MAX, RECORDING_PACKETS_MAX};
use crate::rtp::clip::Coding;

/// Bytes of a tick of decoded audio: two samples.
const DECODED_TICK_BYTES: usize = 4;
/// Bytes of decoded audio that are kept of a packet: 120 ms, which is the longest of Opus (RFC 6716 §2.1.4).
const DECODED_BYTES_MAX: usize = 960 * DECODED_TICK_BYTES;

/// What a packet holds for a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Holds {
    /// Audio.
    Audio(Coding),
    /// Audio that somebody else has decoded: see [`Stereo::hear_decoded`](super::Stereo::hear_decoded).
    Decoded,
    /// Nothing that is heard: comfort noise, an event, or what isn't kept.
    Nothing,
    /// Audio that we can't read, of that payload type.
    Unread(u8),
}

/// A packet that was heard.
#[derive(Debug)]
pub(super) struct Packet {
    /// Its sequence number, on without end.
    pub(super) seq: i64,
    /// Its timestamp, on without end.
    pub(super) ts: i64,
    pub(super) holds: Holds,
    /// The audio's bytes.
    pub(super) codes: Vec<u8>,
}

impl Packet {
    /// How many ticks of 8 kHz its audio lasts.
    pub(super) fn ticks(&self) -> i64 {
        let bytes = match self.holds {
            Holds::Decoded => self.codes.len() / DECODED_TICK_BYTES,
            Holds::Audio(_) | Holds::Nothing | Holds::Unread(_) => self.codes.len(),
        };
        bytes as i64
    }
}

/// Packets by their sequence numbers, each once.
#[derive(Debug, Default)]
pub(super) struct Queue {
    packets: VecDeque<Packet>,
    /// Room that was used before: a packet allocates nothing once some have passed.
    spare: Vec<Vec<u8>>,
}

impl Queue {
    pub(super) fn is_full(&self) -> bool {
        self.packets.len() >= RECORDING_PACKETS_MAX
    }

    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    pub(super) fn front(&self) -> Option<&Packet> {
        self.packets.front()
    }

    pub(super) fn packets(&self) -> impl Iterator<Item = &Packet> {
        self.packets.iter()
    }

    /// Takes a packet in, unless it is there already. Whoever calls has made room.
    pub(super) fn insert(&mut self, seq: i64, ts: i64, holds: Holds, codes: &[u8]) {
        // Mostly it is the newest.
        let after = self
            .packets
            .iter()
            .rev()
            .take_while(|packet| packet.seq > seq)
            .count();
        let index = self.packets.len() - after;
        let before = index.checked_sub(1).and_then(|index| self.packets.get(index));
        if before.is_some_and(|packet| packet.seq == seq) {
            return;
        }
        let most = match holds {
            Holds::Audio(_) => RECORDING_PACKET_BYTES_MAX,
            Holds::Decoded => DECODED_BYTES_MAX,
            Holds::Nothing | Holds::Unread(_) => 0,
        };
        let mut room = match most {
            0 => Vec::new(),
            _ => self.spare.pop().unwrap_or_default(),
        };
        room.clear();
        room.extend_from_slice(codes.get(..most).unwrap_or(codes));
        let packet = Packet {
            seq,
            ts,
            holds,
            codes: room,
        };
        match after {
            0 => self.packets.push_back(packet),
            _ => self.packets.insert(index, packet),
        }
    }

    pub(super) fn pop(&mut self) -> Option<Packet> {
        self.packets.pop_front()
    }

    /// Takes a packet's room back.
    pub(super) fn reuse(&mut self, packet: Packet) {
        let room = packet.codes;
        if room.capacity() > 0 && self.spare.len() < RECORDING_PACKETS_MAX {
            self.spare.push(room);
        }
    }

    /// Wipes out what rooms held that wait to be used again.
    pub(super) fn wipe(&mut self) {
        self.spare.iter_mut().for_each(super::wipe);
    }

    #[cfg(test)]
    pub(super) fn is_wiped(&self) -> bool {
        self.spare.iter().all(super::is_wiped)
    }
}
