//! Keys that we press ourselves: RFC 4733 events, made among a leg's outgoing audio.
//!
//! A key came by signalling (an INFO), and is to be heard as an event. [`Keypad`] says what its packets are, one
//! each [`BEAT`]; under which number, sequence number and timestamp they leave is
//! [`Outbound`](super::outbound::Outbound)'s affair.

use std::collections::VecDeque;
use std::time::Duration;

use arrayvec::ArrayVec;

use super::packet;
use crate::base::limits::{DIGIT_LASTS, DIGITS_WAITING_MAX};
use crate::base::time::Instant;

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

/// Reads the keys that a peer presses as events (RFC 4733), where they can't go on as packets: each once, however often
/// its end is said. One whose end is lost counts when the next begins (§2.5.2.2).
#[derive(Clone, Copy, Debug)]
pub struct Listener {
    timestamp: u32,
    code: u8,
    ticks: u16,
    told: bool,
    /// When the next key may be heard: no faster than keys can be pressed.
    next: Instant,
}

impl Listener {
    /// Takes in one packet's payload. The key that has come to its end with it, if one has.
    pub fn hear(
        heard: &mut Option<Self>,
        now: Instant,
        timestamp: u32,
        clock_hz: u32,
        payload: &[u8],
    ) -> Option<Digit> {
        let &[code, flags, high, low] = payload else {
            return None;
        };
        Key::of_code(code)?;
        let ticks = u16::from_be_bytes([high, low]);
        let ends = flags & END != 0;
        let before = heard.filter(|before| before.timestamp != timestamp);
        if before.is_some_and(|before| (timestamp.wrapping_sub(before.timestamp) as i32) < 0) {
            // A straggler of a key that is over.
            return None;
        }
        let next = heard.map_or(Instant::default(), |before| before.next);
        let event = match heard {
            Some(event) if event.timestamp == timestamp => event,
            Some(_) | None => heard.insert(Self {
                timestamp,
                code,
                ticks: 0,
                told: false,
                next,
            }),
        };
        event.ticks = event.ticks.max(ticks);
        let unheard = before.filter(|before| !before.told);
        let over = match unheard {
            // The end of this one is said again.
            Some(before) => before,
            None if ends && !event.told => {
                event.told = true;
                *event
            }
            None => return None,
        };
        if now < event.next {
            return None;
        }
        event.next = now + DIGIT_LASTS.0;
        let us = packet::micros(over.ticks.into(), clock_hz);
        Some(Digit {
            key: Key::of_code(over.code)?,
            lasts: Duration::from_micros(us.into()).clamp(DIGIT_LASTS.0, DIGIT_LASTS.1),
        })
    }
}

/// How a key came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// By signalling.
    Message,
    /// As an RFC 4733 event.
    Event,
}

/// Whether a key was heard before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    /// It is a key of its own.
    No,
    /// It was told the other way already.
    Yes,
}

/// Some phones tell each key twice, by a message and as an event, so that one of them is understood (Oracle's border
/// controllers call it dual mode). Whoever passes both on makes two keys of one.
///
/// Each key that came one way is set against one that came the other way, if they are the same key and no more than
/// [`TWICE_WITHIN`] apart. Who presses a key twice tells it twice each way, or twice one way: so it stays two.
#[derive(Debug, Default)]
pub struct Twice {
    /// Keys that came one way only, so far.
    recent: ArrayVec<Told, TOLD_MAX>,
    /// The event whose packets are coming: its stream, its timestamp.
    event: Option<(u32, u32, Again)>,
}

/// How far apart the two tellings of one key may be: a message that was lost is sent again after half a second.
pub const TWICE_WITHIN: Duration = Duration::from_secs(1);
/// How many keys may wait for their other telling: nobody presses more in that time.
const TOLD_MAX: usize = 8;

#[derive(Debug)]
struct Told {
    key: Key,
    by: By,
    /// When it came; of an event, its last packet.
    at: Instant,
}

impl Twice {
    /// A key came this way.
    pub fn told(&mut self, now: Instant, key: Key, by: By) -> Again {
        self.recent.retain(|told| now < told.at + TWICE_WITHIN);
        if let Some(other) = (self.recent.iter()).position(|told| told.key == key && told.by != by) {
            self.recent.remove(other);
            return Again::Yes;
        }
        if self.recent.is_full() {
            self.recent.remove(0);
        }
        self.recent.push(Told { key, by, at: now });
        Again::No
    }

    /// A packet of an event came.
    pub fn heard(&mut self, now: Instant, ssrc: u32, timestamp: u32, payload: &[u8]) -> Again {
        let Some(key) = payload.first().and_then(|code| Key::of_code(*code)) else {
            return Again::No;
        };
        match self.event {
            Some((stream, event, again)) if (stream, event) == (ssrc, timestamp) => {
                // It lasts.
                let mut events = self.recent.iter_mut().rev();
                if let Some(told) = events.find(|told| told.key == key && told.by == By::Event) {
                    told.at = now;
                }
                again
            }
            // A straggler of one that is over.
            Some((stream, event, _)) if stream == ssrc && (timestamp.wrapping_sub(event) as i32) < 0 => {
                Again::No
            }
            Some(_) | None => {
                let again = self.told(now, key, By::Event);
                self.event = Some((ssrc, timestamp, again));
                again
            }
        }
    }
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
    fn a_key_told_both_ways_is_one_key_and_a_double_one_stays_two() {
        let at = |ms: u64| Instant::default() + Duration::from_millis(ms);
        let five = Key::of(b'5').expect("a key");
        let six = Key::of(b'6').expect("a key");
        let tell = |told: &[(u64, Key, By)]| {
            let mut twice = Twice::default();
            let again = |(ms, key, by): &(u64, Key, By)| twice.told(at(*ms), *key, *by) == Again::Yes;
            told.iter().map(again).collect::<Vec<_>>()
        };
        use By::{Event, Message};
        let one = [(0, five, Event), (400, five, Message)];
        assert_eq!(tell(&one), [false, true], "the message comes after the event");
        let one = [(0, five, Message), (400, five, Event)];
        assert_eq!(tell(&one), [false, true], "before it");
        let two = [(0, five, Message), (200, five, Message), (400, five, Message)];
        assert_eq!(
            tell(&two),
            [false, false, false],
            "pressed three times, told one way"
        );
        let two = [
            (0, five, Event),
            (200, five, Event),
            (300, five, Message),
            (310, five, Message),
        ];
        assert_eq!(
            tell(&two),
            [false, false, true, true],
            "pressed twice, told both ways"
        );
        let two = [
            (0, five, Event),
            (10, five, Message),
            (200, five, Message),
            (210, five, Event),
        ];
        assert_eq!(tell(&two), [false, true, false, true], "in any order");
        let two = [
            (0, five, Event),
            (100, six, Event),
            (200, five, Message),
            (210, six, Message),
        ];
        assert_eq!(tell(&two), [false, false, true, true], "two keys");
        assert_eq!(
            tell(&[(0, five, Event), (1_000, five, Message)]),
            [false, false],
            "too late"
        );
        assert_eq!(
            tell(&[(0, five, Event), (100, six, Message)]),
            [false, false],
            "another key"
        );
    }

    #[test]
    fn an_event_is_one_telling_for_as_long_as_it_lasts() {
        let at = |ms: u64| Instant::default() + Duration::from_millis(ms);
        let five = Key::of(b'5').expect("a key");
        let mut twice = Twice::default();
        for ms in (0..3_000).step_by(20) {
            assert_eq!(twice.heard(at(ms), 1, 7_000, &[5, 10, 0, 0]), Again::No);
        }
        assert_eq!(
            twice.told(at(3_500), five, By::Message),
            Again::Yes,
            "told when it is let go"
        );
        assert_eq!(twice.told(at(3_600), five, By::Message), Again::No);
        assert_eq!(twice.heard(at(3_700), 1, 40_000, &[5, 10, 0, 0]), Again::Yes);
        assert_eq!(
            twice.heard(at(3_720), 1, 40_000, &[5, 0x8A, 0, 0]),
            Again::Yes,
            "to its end"
        );
        assert_eq!(
            twice.heard(at(3_730), 1, 7_000, &[5, 0x8A, 0, 0]),
            Again::No,
            "a straggler"
        );
        assert_eq!(
            twice.heard(at(3_740), 1, 50_000, &[5, 10, 0, 0]),
            Again::No,
            "the next"
        );
        assert_eq!(
            twice.heard(at(3_750), 2, 9, &[5, 10, 0, 0]),
            Again::No,
            "of another stream"
        );
        assert_eq!(twice.told(at(3_760), five, By::Message), Again::Yes);
        assert_eq!(twice.told(at(3_770), five, By::Message), Again::Yes);
        assert_eq!(
            twice.told(at(3_780), five, By::Message),
            Again::No,
            "nothing is counted twice"
        );
        assert_eq!(
            twice.heard(at(3_790), 2, 99, &[16, 10, 0, 0]),
            Again::No,
            "a flash is no key"
        );
        assert_eq!(twice.heard(at(3_790), 2, 99, &[]), Again::No);
    }

    #[test]
    fn a_pressed_key_is_heard_once_and_one_without_an_end_with_the_next() {
        let at = |ms: u64| Instant::default() + Duration::from_millis(ms);
        let mut heard = None;
        let mut hear = |ms, timestamp, payload: &[u8]| {
            Listener::hear(&mut heard, at(ms), timestamp, 8_000, payload)
                .map(|d| (d.key.letter(), d.lasts.as_millis()))
        };
        assert_eq!(hear(0, 1_000, &[5, 10, 0, 160]), None);
        assert_eq!(hear(100, 1_000, &[5, 0x8a, 3, 32]), Some((b'5', 100)));
        assert_eq!(hear(100, 1_000, &[5, 0x8a, 3, 32]), None);
        // The end of this one is lost.
        assert_eq!(hear(300, 3_000, &[11, 10, 1, 64]), None);
        assert_eq!(hear(500, 5_000, &[10, 10, 0, 160]), Some((b'#', 40)));
        assert_eq!(hear(520, 3_000, &[11, 0x8a, 1, 64]), None, "it is over");
        assert_eq!(hear(600, 5_000, &[10, 0x8a, 2, 128]), Some((b'*', 80)));
        // No key, no event, and more of them than anybody can press.
        assert_eq!(hear(700, 7_000, &[16, 0x8a, 2, 128]), None);
        assert_eq!(hear(700, 7_000, &[1, 0x8a, 2]), None);
        assert_eq!(hear(700, 7_000, &[1, 0x8a, 2, 128]), Some((b'1', 80)));
        assert_eq!(hear(710, 7_100, &[2, 0x8a, 2, 128]), None);
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
