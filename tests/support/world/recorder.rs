//! Who records in the simulated server: he notes what he is told and what the taps hear, and finds fault with what makes
//! no sense.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use umbra::base::id::Id;
use umbra::call::cdr::Cdr;
use umbra::call::media;
use umbra::call::port::{Command, Input};
use umbra::call::recording::{Control, Fate, Fault, Order, Report};
use umbra::rtp::tap::{Channel, Heard, Taps};

use super::World;

/// How many packets of each channel the taps of a recording have heard.
type Packets = BTreeMap<Id, [usize; 2]>;

/// The ears of all taps.
#[derive(Clone, Default)]
pub(super) struct Ears(Arc<Mutex<Packets>>);

impl Taps for Ears {
    fn hear(&mut self, heard: &Heard<'_>) {
        let mut packets = self.0.lock().expect("nobody panics with it");
        let channel = match heard.tap.channel {
            Channel::Caller => 0,
            Channel::Callee => 1,
        };
        if !heard.is_event {
            packets.entry(heard.tap.recording).or_default()[channel] += 1;
        }
    }
}

/// How a recording stands with the recorder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Running,
    Paused,
    /// Its process died.
    Left,
    Over,
    Dropped,
}

/// The recorder.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) ears: Ears,
    tapes: BTreeMap<Id, State>,
    /// The one that began last.
    last: Option<Id>,
    /// What he was told since somebody asked.
    told: Vec<String>,
    /// For which recordings ports are tapped.
    tapped: BTreeMap<media::MediaPort, Id>,
}

impl Recorder {
    /// What is wrong with an order, if anything is.
    pub(super) fn obey(&mut self, order: &Order) -> Option<String> {
        let (id, word) = match order {
            Order::Begin(begin) => (begin.recording, "begin"),
            Order::GoOn(begin) => (begin.recording, "go-on"),
            Order::Pause(id) => (*id, "pause"),
            Order::Resume(id) => (*id, "resume"),
            Order::End(id) => (*id, "end"),
            Order::Drop(id) => (*id, "drop"),
        };
        self.told.push(word.to_owned());
        let before = self.tapes.get(&id).copied();
        let now = match (order, before) {
            (Order::Begin(_), None) => State::Running,
            // A process that dies of the very output has said nothing.
            (Order::GoOn(_), None | Some(State::Left)) => State::Running,
            (Order::Pause(_), Some(State::Running)) => State::Paused,
            (Order::Resume(_), Some(State::Paused)) => State::Running,
            (Order::End(_), Some(State::Running | State::Paused)) => State::Over,
            (Order::Drop(_), Some(State::Running | State::Paused)) => State::Dropped,
            (_, before) => return Some(format!("recording {id}: {word} while it is {before:?}")),
        };
        if let Order::Begin(begin) | Order::GoOn(begin) = order {
            self.last = Some(id);
            if begin.call_id != id {
                return Some(format!("recording {id} isn't of its call {}", begin.call_id));
            }
        }
        self.tapes.insert(id, now);
        let is_tapped = self.tapped.values().any(|tapped| *tapped == id);
        let is_over = matches!(now, State::Over | State::Dropped);
        (is_over && is_tapped).then(|| format!("recording {id} is over and its taps hear on"))
    }

    /// The same of an order to the media threads.
    pub(super) fn tap(&mut self, order: &media::Order) -> Option<String> {
        let (port, tap) = match order {
            media::Order::Tap(port, tap) => (port, tap),
            media::Order::Close(port) => {
                self.tapped.remove(port);
                return None;
            }
            _ => return None,
        };
        let Some(tap) = tap else {
            self.told.push("untap".into());
            self.tapped.remove(port);
            return None;
        };
        let name = match tap.channel {
            Channel::Caller => "caller",
            Channel::Callee => "callee",
        };
        self.told.push(format!("tap:{name}"));
        self.tapped.insert(*port, tap.recording);
        match self.tapes.get(&tap.recording) {
            Some(State::Running | State::Paused) => None,
            state => Some(format!(
                "a tap of recording {} while it is {state:?}",
                tap.recording
            )),
        }
    }

    /// What is wrong with what a record says of a recording.
    pub(super) fn recorded(&self, cdr: &Cdr) -> Option<String> {
        let state = self.tapes.get(&cdr.call_id);
        let fits = match (cdr.recording.fate, state) {
            (Fate::None(_), None | Some(State::Dropped)) => cdr.recording.id.is_none(),
            // What the recorder has lost; and a record that the next process closes with what the first one knew.
            (Fate::None(_), Some(State::Left)) => true,
            (Fate::None(why), Some(State::Over)) => {
                matches!(why, umbra::call::recording::Why::Lost(_))
            }
            (Fate::Kept | Fate::Gaps(_), Some(State::Over)) => cdr.recording.id == Some(cdr.call_id),
            (Fate::Kept | Fate::Gaps(_), Some(State::Left)) => true,
            (_, _) => false,
        };
        let said = cdr.recording;
        (!fits).then(|| format!("{} says {said:?} of a recording that is {state:?}", cdr.call_id))
    }

    /// The process dies, and its recorder with it.
    pub(super) fn dies(&mut self) {
        self.tapped.clear();
        for state in self.tapes.values_mut() {
            if matches!(state, State::Running | State::Paused) {
                *state = State::Left;
            }
        }
    }

    /// Whether one runs that nobody has left.
    pub(super) fn is_running(&self) -> bool {
        let runs = |state: &State| matches!(state, State::Running | State::Paused);
        self.tapes.values().any(runs)
    }

    /// What it was told since the last time, and how many packets it heard of each channel.
    pub(super) fn take(&mut self) -> (Vec<String>, [usize; 2]) {
        let packets = std::mem::take(&mut *self.ears.0.lock().expect("nobody panics with it"));
        let sum = |all: [usize; 2], one: &[usize; 2]| [all[0] + one[0], all[1] + one[1]];
        (std::mem::take(&mut self.told), packets.values().fold([0, 0], sum))
    }
}

impl World {
    /// The recorder says that of the recording that began last.
    pub(super) fn recorder_says(&mut self, what: &str, why: &str) {
        let recording = self.recorder.last.expect("something is recorded");
        let why = Fault::ALL
            .into_iter()
            .find(|fault| fault.name().replace(' ', "-") == why)
            .unwrap_or_else(|| panic!("no fault is {why}"));
        let report = match what {
            "gap" => Report::Gap { recording, why },
            "lost" => Report::Lost { recording, why },
            other => panic!("the recorder says gap or lost, not {other}"),
        };
        for shard in 0..self.switches.len() {
            self.give(shard, Input::Recorded(report));
        }
    }

    /// Somebody pauses the recordings of all calls, or goes on with them.
    pub(super) fn controls_recordings(&mut self, control: Control) {
        let calls: Vec<Id> = self.recorder.tapes.keys().copied().collect();
        for id in calls {
            self.command(Command::Recording(super::AskId(2), id, control));
        }
    }
}
