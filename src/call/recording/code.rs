//! The code by which a party pauses the recording of its call, and goes on with it: a sequence of keys that the other party
//! isn't told.
//!
//! Who is asked for the number of a credit card may not be recorded while it is said (PCI DSS 3.2), and whoever asks for it
//! has a phone and nothing else. So the code is keyed in the talk. It is one for both: what was keyed once pauses, and
//! keyed again goes on; both parties hear which by two short tones or a long one.
//!
//! **What is kept back.** As long as what a party keys may become the code, nobody hears of it; as soon as it can't, the
//! other party hears all of it, in order. For that we listen between the two, and press each key anew when it has been let go: it
//! is heard so much later as it was held, and no more. Only those calls have that which are being recorded, and only
//! on the legs whose party may pause. Keys that are told by tones in the audio are neither heard for this nor kept back.
//!
//! Keys stand in no record, trace or log.

use std::fmt;

use arrayvec::ArrayVec;

use super::Control;
use crate::base::limits::{RECORDING_CODE_KEYS, RECORDING_CODE_WAIT};
use crate::base::time::Now;
use crate::base::timer::TimerId;
use crate::call::hands::{CallTimer, Hands};
use crate::call::phase::Call;
use crate::call::port::LegName;
use crate::call::refusal::Bounce;
use crate::masking::cues::Hearers;
use crate::rtp::dtmf::{Digit, Key};
use crate::rtp::ear::Listening;
use crate::rtp::twice::{Again, By, Twice};

const KEYS_MIN: usize = RECORDING_CODE_KEYS.0;
const KEYS_MAX: usize = RECORDING_CODE_KEYS.1;

/// How a party pauses its call's recording by its phone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pausing {
    /// What it keys.
    pub code: Code,
    /// Who may.
    pub by: Hearers,
}

/// A sequence of keys that is for us.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code([Option<Key>; KEYS_MAX]);

impl Code {
    /// The code that is written so: two to six keys, the first of them `*` or `#`, so that few other keys wait for what comes
    /// behind them.
    pub fn of(text: &str) -> Option<Self> {
        let is_right = (KEYS_MIN..=KEYS_MAX).contains(&text.len()) && text.starts_with(['*', '#']);
        let mut code = [None; KEYS_MAX];
        for (place, letter) in code.iter_mut().zip(text.bytes()) {
            *place = Some(Key::of(letter)?);
        }
        is_right.then_some(Self(code))
    }

    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.0.iter().copied().flatten()
    }

    /// Whether these keys are how it begins.
    fn begins(&self, held: &[Digit]) -> bool {
        held.len() <= self.keys().count() && held.iter().zip(self.keys()).all(|(held, key)| held.key == key)
    }
}

/// Whoever reads a log shan't know it.
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.keys().count())
    }
}

/// What the two parties have keyed that may become the code.
#[derive(Clone, Debug, Default)]
pub(super) struct Codes([Option<Box<Keyed>>; 2]);

/// What a party has keyed.
#[derive(Clone, Debug, Default)]
struct Keyed {
    held: ArrayVec<Digit, KEYS_MAX>,
    twice: Twice,
    timer: Option<TimerId>,
}

/// What came of a key.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    /// It was the code's last.
    Code,
    /// It isn't the code: these are the other party's. Those that are held may still become it.
    Others(ArrayVec<Digit, KEYS_MAX>),
}

impl Keyed {
    /// A party has keyed this.
    fn press(&mut self, code: &Code, digit: Digit) -> Came {
        let mut others = ArrayVec::new();
        // There is room: a whole code isn't held.
        let _ = self.held.try_push(digit);
        while !code.begins(&self.held) {
            others.extend(self.held.pop_at(0));
        }
        if self.held.len() < code.keys().count() {
            return Came::Others(others);
        }
        self.held.clear();
        Came::Code
    }
}

impl Call {
    /// What we do about the keys of this leg's peer while they aren't for us.
    pub(in crate::call) fn between(&self, name: LegName) -> Listening {
        match self.code_of(name) {
            Some(_) => Listening::Between,
            None => Listening::No,
        }
    }

    /// The code that this leg's peer may key now.
    fn code_of(&self, name: LegName) -> Option<Code> {
        self.recording.as_ref().filter(|course| course.runs())?;
        let pausing = self.config.recordings?.pausing?;
        let may = match (pausing.by, name) {
            (Hearers::Both, LegName::Caller | LegName::Callee)
            | (Hearers::Caller, LegName::Caller)
            | (Hearers::Callee, LegName::Callee) => true,
            (Hearers::Caller, LegName::Callee) | (Hearers::Callee, LegName::Caller) => false,
        };
        may.then_some(pausing.code)
    }

    /// Its recording begins or ends: we listen for the code, or no more. Where we ask somebody for keys, those are ours.
    pub(super) fn await_code(&mut self, hands: &mut Hands) {
        for name in [LegName::Caller, LegName::Callee] {
            let listening = self.between(name);
            if self.bridge.listens(name) != Listening::Yes {
                self.bridge.listen(hands, name, listening);
            }
            if listening == Listening::No {
                self.forget_code(hands, name);
            }
        }
    }

    fn forget_code(&mut self, hands: &mut Hands, name: LegName) {
        let course = self.recording.as_mut();
        let keyed = course.and_then(|course| course.codes.0[name.index()].take());
        if let Some(timer) = keyed.and_then(|keyed| keyed.timer) {
            hands.timers.cancel(timer);
        }
    }

    /// This leg's peer has pressed a key that is the other one's, unless it is the code's. The answer to a message.
    pub(in crate::call) fn pass_key(
        &mut self,
        hands: &mut Hands,
        now: Now,
        from: LegName,
        digit: Digit,
        by: By,
    ) -> Bounce {
        let code = self.code_of(from);
        let (Some(code), Some(course)) = (code, &mut self.recording) else {
            return self.press(hands, now, from.other(), digit, by);
        };
        let keyed = course.codes.0[from.index()].get_or_insert_default();
        if keyed.twice.told(now.at, digit.key, by) == Again::Yes {
            return Bounce::status(200);
        }
        let came = keyed.press(&code, digit);
        if let Some(timer) = keyed.timer.take() {
            hands.timers.cancel(timer);
        }
        if !keyed.held.is_empty() {
            let late = now.at + RECORDING_CODE_WAIT;
            keyed.timer = Some(hands.wake(self.me, late, CallTimer::Code(from)));
        }
        match came {
            Came::Others(others) => self.press_each(hands, now, from, others),
            Came::Code => {
                self.turn_recording(hands, now);
                Bounce::status(200)
            }
        }
    }

    /// No further key came: what was keyed isn't the code.
    pub(in crate::call) fn code_late(&mut self, hands: &mut Hands, now: Now, from: LegName) {
        let course = self.recording.as_mut();
        if let Some(keyed) = course.and_then(|course| course.codes.0[from.index()].as_mut()) {
            keyed.timer = None;
            let others = std::mem::take(&mut keyed.held);
            // Whoever keyed them waits for no answer any more.
            let _ = self.press_each(hands, now, from, others);
        }
    }

    fn press_each(
        &mut self,
        hands: &mut Hands,
        now: Now,
        from: LegName,
        digits: ArrayVec<Digit, KEYS_MAX>,
    ) -> Bounce {
        let mut answer = Bounce::status(200);
        for digit in digits {
            // That it isn't told twice is known by now.
            answer = self.press(hands, now, from.other(), digit, By::Message);
        }
        answer
    }

    /// The code was keyed: the recording pauses, or goes on. Both hear which.
    fn turn_recording(&mut self, hands: &mut Hands, now: Now) {
        let control = match self.recording.as_ref().map(|course| course.paused) {
            Some(Some(_)) => Control::Resume,
            Some(None) | None => Control::Pause,
        };
        // It runs.
        let _ = self.control_recording(hands, now, control);
        self.sound_pause(hands, now, control);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What the other party hears of these keys, and how often the code was in them.
    fn keyed(code: &str, keys: &str) -> (String, usize) {
        let code = Code::of(code).expect("a code");
        let mut keyed = Keyed::default();
        let (mut heard, mut codes) = (String::new(), 0);
        for letter in keys.bytes() {
            let digit = Digit {
                key: Key::of(letter).expect("a key"),
                lasts: Duration::from_millis(100),
            };
            match keyed.press(&code, digit) {
                Came::Code => codes += 1,
                Came::Others(others) => {
                    heard.extend(others.iter().map(|digit| char::from(digit.key.letter())));
                }
            }
        }
        (heard, codes)
    }

    #[test]
    fn a_code_is_kept_back_and_everything_else_is_heard_in_order() {
        assert_eq!(keyed("*7", "*7"), (String::new(), 1));
        assert_eq!(keyed("*7", "1*72*7"), ("12".into(), 2));
        assert_eq!(keyed("*7", "12#"), ("12#".into(), 0));
        assert_eq!(keyed("*7", "*5"), ("*5".into(), 0), "a wrong code");
        assert_eq!(keyed("*7", "**7"), ("*".into(), 1), "it begins anew");
        assert_eq!(keyed("**7", "***7"), ("*".into(), 1));
        assert_eq!(keyed("*1*2", "*1*1*2"), ("*1".into(), 1));
        assert_eq!(keyed("*7", "*"), (String::new(), 0), "it may become one");
    }

    #[test]
    fn a_code_has_two_to_six_keys_and_begins_with_a_star_or_a_hash() {
        for right in ["*7", "#0", "*1234#", "##", "*a"] {
            assert!(Code::of(right).is_some(), "{right}");
        }
        for wrong in ["", "*", "77", "*123456", "*7 ", "* 7", "*x", "*\u{e9}"] {
            assert!(Code::of(wrong).is_none(), "{wrong}");
        }
        assert_eq!(format!("{:?}", Code::of("*71")), "Some(3 keys)");
    }
}
