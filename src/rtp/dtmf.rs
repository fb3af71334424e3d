//! Keys that we press ourselves: RFC 4733 events, made among a leg's outgoing audio.
//!
//! A key came by signalling (an INFO), and is to be heard as an event. [`Keypad`] says what its packets are, one
//! each [`BEAT`]; under which number, sequence number and timestamp they leave is
//! [`Outbound`](super::outbound::Outbound)'s affair.

use std::collections::VecDeque;
use std::time::Duration;

use super::packet;
use crate::base::limits::{DIGIT_LASTS, DIGITS_WAITING_MAX};

/// The time between two packets of an event (RFC 4733 §2.5.1.1 lets it be the audio's packet length), and between
/// the last packet of one and the first of the next: with the two repetitions of the end that makes 60 ms of
/// silence.
pub const BEAT: Duration = Duration::from_millis(20);
/// How often the end of an event is sent (RFC 4733 §2.5.1.4).
const ENDS: u8 = 3;
/// The bytes of an event (RFC 4733 §2.3).
pub const EVENT_BYTES: usize = 4;
/// The end bit.
const END: u8 = 0x80;
/// How loud a key is: -10 dBm0, as phones say (RFC 4733 §2.3.4).
const VOLUME: u8 = 10;

/// One of the sixteen keys (RFC 4733 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key(u8);

impl Key {
    /// The key that this letter is on: `0`–`9`, `*`, `#`, `A`–`D`, in any case.
    pub const fn of(letter: u8) -> Option<Self> {
        match letter {
            b'0'..=b'9' => Some(Self(letter - b'0')),
            b'*' => Some(Self(10)),
            b'#' => Some(Self(11)),
            b'A'..=b'D' => Some(Self(letter - b'A' + 12)),
            b'a'..=b'd' => Some(Self(letter - b'a' + 12)),
            _ => None,
        }
    }

    /// The key of an event's code; `None` for events that are no keys (a flash is 16).
    pub const fn of_code(code: u8) -> Option<Self> {
        if code < 16 { Some(Self(code)) } else { None }
    }

    /// The letter that is on the key.
    pub const fn letter(self) -> u8 {
        match self.0 {
            0..=9 => b'0' + self.0,
            10 => b'*',
            11 => b'#',
            code => b'A' + (code - 12),
        }
    }

    /// The event's code, 0–15.
    pub const fn code(self) -> u8 {
        self.0
    }
}

/// A key pressed for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digit {
    /// Which.
    pub key: Key,
    /// How long, as far as [`DIGIT_LASTS`] allows; the nearest that it allows counts.
    pub lasts: Duration,
}

/// What came of a key that was to be pressed on a leg.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pressed {
    /// It is sent, at once or behind those before it; or it is being heard already, because the other leg's peer tells
    /// its keys twice.
    Yes,
    /// The leg has agreed on no events, or nothing may be sent to its peer.
    NoEvents,
    /// As many wait already as may.
    Full,
}

/// One packet of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Beat {
    /// Its payload.
    pub payload: [u8; EVENT_BYTES],
    /// Whether it is the event's first: it has the marker, and its moment is the event's timestamp.
    pub is_first: bool,
    /// Whether the audio may go on behind it: it is the last of the last key that waits.
    pub is_last: bool,
}

/// The keys to be pressed on a leg, in order.
#[derive(Debug, Default)]
pub struct Keypad {
    waiting: VecDeque<Digit>,
    pressed: Option<Held>,
}

/// A key that is down, or whose end is being said.
#[derive(Clone, Copy, Debug)]
struct Held {
    digit: Digit,
    /// How long it is down by the last packet.
    since: Duration,
    ends: u8,
}

impl Keypad {
    /// Puts a key behind the others. `false` if too many wait.
    #[must_use]
    pub fn push(&mut self, digit: Digit) -> bool {
        if self.waiting.len() >= DIGITS_WAITING_MAX {
            return false;
        }
        let (least, most) = DIGIT_LASTS;
        self.waiting.push_back(Digit {
            lasts: digit.lasts.clamp(least, most),
            ..digit
        });
        true
    }

    /// How many keys haven't been heard to their end.
    pub fn left(&self) -> usize {
        self.waiting.len() + usize::from(self.pressed.is_some())
    }

    /// The next packet, its duration in ticks of the event's clock. `None`: nothing is left to say.
    pub fn beat(&mut self, clock_hz: u32) -> Option<Beat> {
        let is_first = self.pressed.is_none();
        let mut held = match self.pressed {
            Some(held) => held,
            None => Held {
                digit: self.waiting.pop_front()?,
                since: Duration::ZERO,
                ends: 0,
            },
        };
        held.since = (held.since + BEAT).min(held.digit.lasts);
        let is_end = held.since == held.digit.lasts;
        held.ends += u8::from(is_end);
        let is_over = held.ends == ENDS;
        self.pressed = (!is_over).then_some(held);
        let ticks = packet::ticks(held.since, clock_hz);
        let [high, low] = u16::try_from(ticks).unwrap_or(u16::MAX).to_be_bytes();
        let end = if is_end { END } else { 0 };
        Some(Beat {
            payload: [held.digit.key.code(), end | VOLUME, high, low],
            is_first,
            is_last: is_over && self.waiting.is_empty(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digit(letter: u8, ms: u64) -> Digit {
        Digit {
            key: Key::of(letter).expect("a key"),
            lasts: Duration::from_millis(ms),
        }
    }

    fn beats(keypad: &mut Keypad, clock_hz: u32) -> Vec<Beat> {
        std::iter::from_fn(|| keypad.beat(clock_hz)).collect()
    }

    #[test]
    fn every_key_has_its_code_and_nothing_else_is_a_key() {
        let keys = b"0123456789*#ABCD";
        for (code, letter) in (0_u8..).zip(keys) {
            assert_eq!(Key::of(*letter).map(Key::code), Some(code));
            assert_eq!(Key::of(*letter), Key::of_code(code));
            assert_eq!(Key::of(*letter).map(Key::letter), Some(*letter));
        }
        assert_eq!(Key::of(b'c'), Key::of(b'C'));
        assert_eq!(
            (Key::of(b'E'), Key::of(b' '), Key::of_code(16)),
            (None, None, None)
        );
    }

    #[test]
    fn an_event_grows_by_a_beat_and_ends_three_times() {
        let mut keypad = Keypad::default();
        assert!(keypad.push(digit(b'#', 100)));
        let all = beats(&mut keypad, 8_000);
        let said: Vec<_> = all
            .iter()
            .map(|beat| {
                (
                    beat.payload[1] & END,
                    u16::from_be_bytes([beat.payload[2], beat.payload[3]]),
                )
            })
            .collect();
        assert_eq!(
            said,
            [
                (0, 160),
                (0, 320),
                (0, 480),
                (0, 640),
                (END, 800),
                (END, 800),
                (END, 800)
            ]
        );
        assert!(all.iter().all(|beat| beat.payload[0] == 11));
        let firsts: Vec<_> = all.iter().map(|beat| beat.is_first).collect();
        assert_eq!(firsts, [true, false, false, false, false, false, false]);
        assert_eq!(all.iter().filter(|beat| beat.is_last).count(), 1);
        assert!(all.last().is_some_and(|beat| beat.is_last));
    }

    #[test]
    fn an_odd_length_is_kept_to_the_tick_and_a_strange_one_is_cut() {
        for (ms, clock_hz, ticks) in [
            (50, 8_000, 400),
            (0, 16_000, 640),
            (90_000, 8_000, 8_000),
            (90_000, 48_000, 48_000),
        ] {
            let mut keypad = Keypad::default();
            assert!(keypad.push(digit(b'1', ms)));
            let last = beats(&mut keypad, clock_hz).pop().expect("an end");
            let said = u16::from_be_bytes([last.payload[2], last.payload[3]]);
            assert_eq!(said, ticks, "{ms} ms at {clock_hz}");
        }
    }

    #[test]
    fn keys_wait_in_order_and_only_so_many() {
        let mut keypad = Keypad::default();
        for _ in 0..DIGITS_WAITING_MAX {
            assert!(keypad.push(digit(b'7', 40)));
        }
        assert!(!keypad.push(digit(b'8', 40)));
        let all = beats(&mut keypad, 8_000);
        assert_eq!(
            all.iter().filter(|beat| beat.is_first).count(),
            DIGITS_WAITING_MAX
        );
        assert_eq!(all.iter().filter(|beat| beat.is_last).count(), 1);
        assert!(all.iter().all(|beat| beat.payload[0] == 7));
        assert!(keypad.push(digit(b'8', 40)), "there is room again");
    }
}
