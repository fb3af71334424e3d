//! Keys that a peer presses as events (RFC 4733), however oddly it sends them.
//!
//! A key is down with the first packet of its event that comes, whichever that is: markers are not looked at, and ends are
//! not waited for. What tells one event from the next is its stream and its timestamp (§2.5.2.2); and where senders get
//! that wrong, these:
//!
//! * A packet that is out of its stream's order belongs to a key that is over, whatever else it says; but a run of them, each
//!   next to the one before and as far apart as its key was down between them, is a key of a sender whose numbers began anew
//!   (RFC 3550 §A.1). Recordings that are played one after the other, one a key, are such. What the network held up comes at
//!   once, or among the packets of the next key.
//! * An event that begins no later than the last one had come, of the same key, whose end wasn't said, is that key still
//!   held down: a long one goes on in segments (§2.5.1.3), some senders give each packet a timestamp of its own, and a
//!   stream may go on under another SSRC in the middle of a key.
//! * One whose timestamp stays, and whose duration falls while its sequence numbers grow, is the next: some clocks
//!   stand still while nobody speaks.

use std::time::Duration;

use arrayvec::ArrayVec;

use crate::base::limits::{DIGIT_LASTS, KEYS_AT_ONCE_MAX};
use crate::base::time::Instant;
use crate::rtp::dtmf::{Digit, Key};
use crate::rtp::packet::{self, Header};

/// The end bit (RFC 4733 §2.3).
const END: u8 = 0x80;
/// The reserved bit, which is zero (§2.3).
const RESERVED: u8 = 0x40;
/// How many events are remembered, so that what comes late of them isn't taken for another.
const KNOWN_MAX: usize = 4;
/// Packets may come so late, in sequence numbers and in time.
const LATE_PACKETS: u16 = 3_000;
const LATE: Duration = Duration::from_secs(2);

/// So many packets in a row, as far apart as they say, are no late ones: numbers have begun anew.
const ANEW_PACKETS: u8 = 3;

/// What happens to a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stroke {
    /// It was pressed.
    Down(Key),
    /// It was let go, having been down for so long. Not told of a key whose end is lost until the next is pressed.
    Up(Digit),
}

/// What one packet can tell: that one key was let go, and that another was pressed, and let go.
pub type Strokes = ArrayVec<Stroke, 3>;

/// Whether the number of a packet is one that was agreed on for events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Number {
    /// It was, at this clock.
    Agreed(u32),
    /// It wasn't; it is a dynamic one, and the packet has an event's shape. It is believed when a second one comes.
    Doubtful,
}

/// The events of one peer.
#[derive(Clone, Debug, Default)]
pub struct Events {
    /// Those that came last, the newest last.
    known: ArrayVec<Event, KNOWN_MAX>,
    /// Packets of an event that seems to be late, if nothing came since that doesn't.
    late: Option<Run>,
    /// Keys that come faster than they can be pressed aren't counted: when all that were would have been.
    pressed_by: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Event {
    ssrc: u32,
    /// The highest that came.
    seq: u16,
    timestamp: u32,
    code: u8,
    /// The longest duration that was said.
    ticks: u16,
    clock_hz: u32,
    /// When its last packet came.
    at: Instant,
    state: State,
}

/// Packets of one event in a row, each next to the one before.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: Event,
    last: Event,
    packets: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// One packet came, under a number that wasn't agreed on.
    Doubtful,
    /// It goes on.
    Down,
    /// It has ended, or it goes on as another.
    Over,
}

impl Events {
    /// Takes in one packet's payload.
    pub fn hear(&mut self, now: Instant, header: &Header, number: Number, payload: &[u8]) -> Strokes {
        let mut strokes = Strokes::new();
        let (clock_hz, code, flags, ticks) = match (number, payload) {
            (Number::Agreed(clock_hz), &[code, flags, high, low, ..]) => {
                (clock_hz, code, flags, u16::from_be_bytes([high, low]))
            }
            (Number::Doubtful, &[code, flags, high, low]) if flags & RESERVED == 0 => {
                (8_000, code, flags, u16::from_be_bytes([high, low]))
            }
            (Number::Agreed(_) | Number::Doubtful, _) => return strokes,
        };
        let Some(key) = Key::of_code(code) else {
            return strokes;
        };
        let is_end = flags & END != 0;
        let event = Event {
            ssrc: header.ssrc,
            seq: header.seq,
            timestamp: header.timestamp,
            code,
            ticks,
            clock_hz,
            at: now,
            state: State::Down,
        };
        let late = self.late.take();
        let is_it = |known: &&mut Event| known.is(&event) && !known.is_followed_by(&event, is_end);
        if let Some(known) = self.known.iter_mut().rev().find(is_it) {
            let is_sure_now = known.go_on(&event) == State::Doubtful;
            // Another may have begun meanwhile: then it is over.
            let is_last = self.known.last().is_some_and(|last| last.is(&event));
            if is_sure_now && is_last {
                self.press(now, key, &mut strokes);
            }
        } else if let Some(run) = self.runs_late(&event, late) {
            self.late = Some(run);
            return strokes;
        } else if let Some(known) = self.known.last_mut().filter(|known| known.becomes(&event)) {
            known.state = State::Over;
            self.remember(event);
        } else {
            self.let_go(&mut strokes);
            self.remember(Event {
                state: State::Doubtful,
                ..event
            });
            match number {
                Number::Agreed(_) => self.press(now, key, &mut strokes),
                Number::Doubtful => {}
            }
        }
        if is_end && self.known.last().is_some_and(|last| last.is(&event)) {
            self.let_go(&mut strokes);
        }
        strokes
    }

    /// A new event begins: its key is down, if it can be that fast.
    fn press(&mut self, now: Instant, key: Key, strokes: &mut Strokes) {
        let Some(last) = self.known.last_mut() else { return };
        let by = self.pressed_by.max(now);
        if by.since(now) >= DIGIT_LASTS.0 * KEYS_AT_ONCE_MAX {
            last.state = State::Over;
            return;
        }
        last.state = State::Down;
        self.pressed_by = by + DIGIT_LASTS.0;
        strokes.push(Stroke::Down(key));
    }

    /// The last key is down no more, if it was.
    fn let_go(&mut self, strokes: &mut Strokes) {
        let Some(last) = self.known.last_mut() else { return };
        if last.state == State::Down
            && let Some(key) = Key::of_code(last.code)
        {
            let us = packet::micros(last.ticks.into(), last.clock_hz);
            let lasts = Duration::from_micros(us.into()).clamp(DIGIT_LASTS.0, DIGIT_LASTS.1);
            last.state = State::Over;
            strokes.push(Stroke::Up(Digit { key, lasts }));
        }
    }

    /// Whether a packet of no event that is known comes out of order.
    fn is_late(&self, event: &Event) -> bool {
        let newest = self.known.iter().rev().find(|known| known.ssrc == event.ssrc);
        newest.is_some_and(|newest| {
            let behind = newest.seq.wrapping_sub(event.seq);
            behind < LATE_PACKETS && event.at.since(newest.at) < LATE
        })
    }

    /// The run of late packets that this one goes on or begins; `None` if it is of a key that is pressed now.
    fn runs_late(&self, event: &Event, late: Option<Run>) -> Option<Run> {
        if !self.is_late(event) {
            return None;
        }
        let before = late.filter(|run| run.last.is_next(event));
        let run = Run {
            first: before.map_or(*event, |run| run.first),
            last: *event,
            packets: before.map_or(1, |run| run.packets.saturating_add(1)),
        };
        (!run.is_live()).then_some(run)
    }

    fn remember(&mut self, event: Event) {
        if self.known.is_full() {
            self.known.remove(0);
        }
        self.known.push(event);
    }
}

impl Run {
    /// Whether it has come as a key comes that is being pressed: enough of it, in about the time that it says. There are
    /// recordings whose packets come 20 ms apart and say 40; what the network held up takes no time at all.
    fn is_live(&self) -> bool {
        let ticks = self.last.ticks.saturating_sub(self.first.ticks);
        let us = packet::micros(ticks.into(), self.last.clock_hz);
        let says = Duration::from_micros(us.into());
        let took = self.last.at.since(self.first.at);
        self.packets >= ANEW_PACKETS && took >= says / 4 && took <= says * 2
    }
}

impl Event {
    /// Whether they are one by what identifies them.
    fn is(&self, packet: &Self) -> bool {
        (self.ssrc, self.timestamp, self.code) == (packet.ssrc, packet.timestamp, packet.code)
    }

    /// Whether a packet that says it is this event's is of the next one.
    fn is_followed_by(&self, packet: &Self, is_end: bool) -> bool {
        let is_later = (packet.seq.wrapping_sub(self.seq) as i16) > 0;
        let is_shorter = match self.state {
            State::Over => packet.ticks < self.ticks,
            State::Down | State::Doubtful => packet.ticks < self.ticks / 2,
        };
        is_later && is_shorter && !is_end
    }

    /// Whether a packet of it is the one behind this.
    fn is_next(&self, packet: &Self) -> bool {
        self.is(packet) && packet.seq == self.seq.wrapping_add(1) && packet.ticks > self.ticks
    }

    /// Another packet of it came. What it was before.
    fn go_on(&mut self, packet: &Self) -> State {
        let was = self.state;
        if (packet.seq.wrapping_sub(self.seq) as i16) > 0 {
            self.seq = packet.seq;
        }
        self.ticks = self.ticks.max(packet.ticks);
        self.at = packet.at;
        was
    }

    /// Whether its key is still down in an event of another name.
    fn becomes(&self, packet: &Self) -> bool {
        if self.code != packet.code || self.state != State::Down {
            return false;
        }
        if self.ssrc == packet.ssrc {
            return (1..=u32::from(self.ticks)).contains(&packet.timestamp.wrapping_sub(self.timestamp));
        }
        let since = packet::ticks(packet.at.since(self.at), packet.clock_hz);
        packet.ticks > self.ticks && u32::from(packet.ticks) > since
    }
}

#[cfg(test)]
mod tests;
