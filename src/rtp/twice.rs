//! Keys that come more than one way: as an event, as a tone in the audio, by a message.
//!
//! Some phones tell each key twice, so that one of the ways is understood (Oracle's border controllers call it dual
//! mode), and some gateways leave the beginning of a tone in the audio before they take it out. Whoever counts both makes two
//! keys of one.

use std::time::Duration;

use arrayvec::ArrayVec;

use super::dtmf::Key;
use crate::base::time::Instant;

/// How a key came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// By signalling.
    Message,
    /// As an RFC 4733 event.
    Event,
    /// As a pair of tones in the audio.
    Tone,
}

impl By {
    const fn bit(self) -> u8 {
        match self {
            Self::Message => 1,
            Self::Event => 2,
            Self::Tone => 4,
        }
    }
}

/// Whether a key was heard before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    /// It is a key of its own.
    No,
    /// It was told another way already.
    Yes,
}

/// Sets the ways of telling against each other.
///
/// Each key that came one way is the same as one that came another way, if they are the same key and no more than
/// [`TWICE_WITHIN`] apart. Who presses a key twice tells it twice each way, or twice one way: so it stays two.
#[derive(Clone, Debug, Default)]
pub struct Twice {
    /// Keys that were told lately, in order.
    recent: ArrayVec<Told, TOLD_MAX>,
    /// The event whose packets are coming: its stream, its timestamp.
    event: Option<(u32, u32, Again)>,
    /// Until when tones tell nothing, because keys come otherwise.
    deaf_until: Instant,
}

/// How far apart the tellings of one key may be: a message that was lost is sent again after half a second.
pub const TWICE_WITHIN: Duration = Duration::from_secs(1);
/// How long a key is taken to be down whose end isn't told.
const DOWN_MAX: Duration = Duration::from_secs(10);
/// For how long tones tell nothing after a key that came otherwise. Such keys all come so, and a tone that was broken in two
/// on its way would be one more.
const DEAF: Duration = Duration::from_secs(10);
/// How many keys may wait for their other tellings: nobody presses more in that time.
const TOLD_MAX: usize = 8;

#[derive(Clone, Debug)]
struct Told {
    key: Key,
    /// The ways by which it came.
    by: u8,
    /// Until when it may be told again.
    until: Instant,
}

impl Twice {
    /// A key came this way, whole.
    pub fn told(&mut self, now: Instant, key: Key, by: By) -> Again {
        let again = self.down(now, key, by);
        self.up(now, key, by);
        again
    }

    /// A key was pressed; it may be told otherwise for as long as it is down.
    pub fn down(&mut self, now: Instant, key: Key, by: By) -> Again {
        self.recent.retain(|told| now < told.until);
        let is_it = |told: &&mut Told| told.key == key && told.by & by.bit() == 0;
        let other = self.recent.iter_mut().find(is_it);
        let again = match (by, other) {
            (By::Message | By::Event | By::Tone, Some(told)) => {
                told.by |= by.bit();
                Again::Yes
            }
            (By::Tone, None) if now < self.deaf_until => Again::Yes,
            (By::Message | By::Event | By::Tone, None) => {
                if self.recent.is_full() {
                    self.recent.remove(0);
                }
                let (by, until) = (by.bit(), now + DOWN_MAX);
                self.recent.push(Told { key, by, until });
                Again::No
            }
        };
        match by {
            By::Message | By::Event => self.deaf_until = now + DEAF,
            By::Tone => {}
        }
        again
    }

    /// A key was let go.
    pub fn up(&mut self, now: Instant, key: Key, by: By) {
        let mut told = self.recent.iter_mut().rev();
        if let Some(told) = told.find(|told| told.key == key && told.by & by.bit() != 0) {
            told.until = now + TWICE_WITHIN;
        }
    }

    /// A packet of an event came.
    pub fn heard(&mut self, now: Instant, ssrc: u32, timestamp: u32, payload: &[u8]) -> Again {
        let Some(key) = payload.first().and_then(|code| Key::of_code(*code)) else {
            return Again::No;
        };
        match self.event {
            Some((stream, event, again)) if (stream, event) == (ssrc, timestamp) => {
                // It lasts.
                self.up(now, key, By::Event);
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_key_that_also_sounds_is_one_key() {
        let at = |ms: u64| Instant::default() + Duration::from_millis(ms);
        let five = Key::of(b'5').expect("a key");
        use By::{Event, Message, Tone};
        let tell = |told: &[(u64, By)]| {
            let mut twice = Twice::default();
            let count = told
                .iter()
                .filter(|(ms, by)| twice.told(at(*ms), five, *by) == Again::No);
            count.count()
        };
        assert_eq!(tell(&[(0, Tone), (60, Event)]), 1);
        assert_eq!(
            tell(&[(0, Event), (60, Tone), (200, Message)]),
            1,
            "all three ways"
        );
        assert_eq!(
            tell(&[(0, Tone), (60, Event), (200, Tone), (260, Event)]),
            2,
            "twice two ways"
        );
        assert_eq!(tell(&[(0, Tone), (200, Tone), (400, Tone)]), 3, "by tones alone");
        // A tone that was broken in two on its way, or whose end comes late.
        assert_eq!(tell(&[(0, Event), (60, Tone), (160, Tone)]), 1);
        assert_eq!(tell(&[(0, Tone), (60, Message), (160, Tone)]), 1);
        // Once nothing else tells keys any more, tones do again.
        assert_eq!(tell(&[(0, Event), (20_000, Tone), (20_300, Tone)]), 3);
    }

    #[test]
    fn a_key_that_is_held_is_told_by_a_message_when_it_is_let_go() {
        let at = |ms: u64| Instant::default() + Duration::from_millis(ms);
        let five = Key::of(b'5').expect("a key");
        for up in [4_900, 5_100] {
            let mut twice = Twice::default();
            assert_eq!(twice.down(at(0), five, By::Event), Again::No);
            if up < 5_000 {
                twice.up(at(up), five, By::Event);
            }
            assert_eq!(twice.told(at(5_000), five, By::Message), Again::Yes);
            twice.up(at(up), five, By::Event);
            assert_eq!(twice.told(at(6_500), five, By::Message), Again::No, "the next");
        }
    }
}
