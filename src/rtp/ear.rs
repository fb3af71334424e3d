//! What a leg's peer keys to us: heard while we listen, and at no cost while we don't.

use std::fmt;
use std::time::Duration;

use super::clip::{CLOCK_HZ, Coding, FRAME_SAMPLES};
use super::dtmf::Key;
use super::flow::Payload;
use super::g711::Law;
use super::g722;
use super::packet::{self, Header};
use super::twice::By;
use crate::base::limits::AUDIO_AHEAD_MAX;
use crate::base::time::Instant;

pub mod events;
mod tones;

use events::{Events, Number};
use tones::Tones;

/// Whether keys of a leg's peer are for us.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Listening {
    /// They are the other leg's peer's.
    #[default]
    No,
    /// They are: each is told when it is pressed, and when it is let go.
    Yes,
    /// They are the other leg's peer's, and we tell it: each that comes as an event is told to us when it is let go, and
    /// isn't relayed. So one can be kept back.
    Between,
}

/// What happened to a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stroke {
    /// It was pressed.
    Down,
    /// It was let go. Some are never told to be.
    Up,
}

/// A key that a leg's peer keyed to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heard {
    /// Which.
    pub key: Key,
    /// What happened to it.
    pub stroke: Stroke,
    /// How it came.
    pub by: By,
}

/// The lowest of the numbers that have no meaning of their own (RFC 3551 §6).
const DYNAMIC_MIN: u8 = 96;
/// Bytes of audio of a packet that are listened to, 240 ms: nobody packs more.
const AUDIO_BYTES_MAX: usize = 1_920;
/// Ticks of audio that may be lost without breaking off a key: 60 ms.
const LOST_MAX: u32 = 480;
/// Ticks by which a packet may come late, 2 s. One that is older is of a clock that begins anew.
const LATE_MAX: u32 = 16_000;

/// Listens to one peer.
#[derive(Default)]
pub struct Ear {
    events: Events,
    tones: Tones,
    /// Its audio's stream, and the timestamp that comes next.
    stream: Option<(u32, u32)>,
    /// By when all of it that was listened to would have been said.
    said_by: Instant,
    /// What reads it, if it speaks G.722.
    wide: Option<Box<g722::Decoder>>,
}

impl Ear {
    /// Takes in one packet; what its payload type is, if it was agreed on.
    pub fn hear(
        &mut self,
        now: Instant,
        header: &Header,
        payload: Option<&Payload>,
        body: &[u8],
        mut tell: impl FnMut(Heard),
    ) {
        let number = match payload {
            Some(payload) if payload.is_event => Number::Agreed(payload.clock_hz),
            Some(payload) => {
                if let Some(coding) = payload.coding {
                    self.hear_audio(now, header, coding, body, tell);
                }
                return;
            }
            None if header.payload_type >= DYNAMIC_MIN => Number::Doubtful,
            None => return,
        };
        for stroke in self.events.hear(now, header, number, body) {
            let (key, stroke) = match stroke {
                events::Stroke::Down(key) => (key, Stroke::Down),
                events::Stroke::Up(digit) => (digit.key, Stroke::Up),
            };
            let by = By::Event;
            tell(Heard { key, stroke, by });
        }
    }

    fn hear_audio(
        &mut self,
        now: Instant,
        header: &Header,
        coding: Coding,
        body: &[u8],
        mut tell: impl FnMut(Heard),
    ) {
        let mut tell = |stroke| {
            let (key, stroke) = match stroke {
                tones::Stroke::Down(key) => (key, Stroke::Down),
                tones::Stroke::Up(key) => (key, Stroke::Up),
            };
            let by = By::Tone;
            tell(Heard { key, stroke, by });
        };
        let body = body.get(..AUDIO_BYTES_MAX).unwrap_or(body);
        let said_by = self.said_by.max(now);
        if said_by.since(now) > AUDIO_AHEAD_MAX {
            return;
        }
        // Each coding that we read has a byte a tick.
        let ticks = body.len() as u32;
        self.said_by = said_by + Duration::from_micros(packet::micros(ticks, CLOCK_HZ).into());
        if let Some((ssrc, next)) = self.stream {
            let ahead = header.timestamp.wrapping_sub(next);
            let is_same = ssrc == header.ssrc;
            if is_same && ahead > u32::MAX - LATE_MAX {
                return;
            }
            if !is_same || ahead > LOST_MAX {
                self.tones.break_off(&mut tell);
            }
        }
        self.stream = Some((header.ssrc, header.timestamp.wrapping_add(ticks)));
        let mut by_law = |law: Law| {
            let samples = body.iter().map(|code| law.decode(*code));
            self.tones.hear(samples, &mut tell);
        };
        match coding {
            Coding::A => by_law(Law::A),
            Coding::Mu => by_law(Law::Mu),
            Coding::G722 => {
                let decoder = self.wide.get_or_insert_default();
                for codes in body.chunks(FRAME_SAMPLES) {
                    let mut samples = [0; FRAME_SAMPLES];
                    let low = decoder.low_band(codes, &mut samples);
                    self.tones.hear(low.iter().copied(), &mut tell);
                }
            }
        }
    }
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ear").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
