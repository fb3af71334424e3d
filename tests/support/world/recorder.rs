//! Who records in the simulated server: he notes what he is told, and finds fault with what makes no sense.

use std::collections::{BTreeMap, BTreeSet};

use umbra::base::id::Id;
use umbra::call::cdr::Cdr;
use umbra::call::media;
use umbra::call::port::{Command, Input};
use umbra::call::recording::{Control, Controlled, Fate, Fault, Order, Report};
use umbra::rtp::tap::Channel;

use super::World;
use super::tapes::Taped;

/// How a recording stands with the recorder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Running,
    Paused,
    /// Its process died.
    Left,
    Over,
    Dropped,
    /// By a process that has died since: the next one can't know whether the recorder was told.
    DroppedBefore,
}

/// The recorder.
#[derive(Default)]
pub(super) struct Recorder {
    tapes: BTreeMap<Id, State>,
    /// The one that began last.
    last: Option<Id>,
    /// What he was told since somebody asked.
    told: Vec<String>,
    /// For which recordings ports are tapped.
    tapped: BTreeMap<media::MediaPort, Id>,
}

impl Recorder {
    /// What is wrong with an order, if anything is. `torn`: the calls of which something is no longer in the journal, since
    /// power failed.
    pub(super) fn obey(&mut self, order: &Order, torn: &BTreeSet<Id>) -> Option<String> {
        let (id, word) = match order {
            Order::Begin(begin) => (begin.recording, "begin"),
            Order::GoOn(begin) => (begin.recording, "go-on"),
            Order::Pause(id, _) => (*id, "pause"),
            Order::Resume(id, _) => (*id, "resume"),
            Order::End(id, _) => (*id, "end"),
            Order::EndLeft(id) => (*id, "end-left"),
            Order::Drop(short) => (short.recording, "drop"),
        };
        self.told.push(word.to_owned());
        let before = self.tapes.get(&id).copied();
        let now = match (order, before) {
            (Order::Begin(_), None) => State::Running,
            // A process that dies of the very output has said nothing.
            (Order::GoOn(_), None | Some(State::Left)) => State::Running,
            (Order::EndLeft(_), None | Some(State::Left)) => State::Over,
            (Order::Drop(_), None | Some(State::Left | State::DroppedBefore)) => State::Dropped,
            // Nor does anybody know any more that it was over.
            (Order::GoOn(_), Some(State::Over | State::DroppedBefore)) if torn.contains(&id) => {
                State::Running
            }
            (Order::EndLeft(_), Some(State::Over | State::DroppedBefore)) if torn.contains(&id) => {
                State::Over
            }
            (Order::Drop(_), Some(State::Over)) if torn.contains(&id) => State::Dropped,
            (Order::Pause(..), Some(State::Running)) => State::Paused,
            (Order::Resume(..), Some(State::Paused)) => State::Running,
            (Order::End(..), Some(State::Running | State::Paused)) => State::Over,
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

    /// What somebody hears who wants it paused, or to go on.
    pub(super) fn answered(&mut self, controlled: Controlled) {
        match controlled {
            Controlled::Done | Controlled::Nowhere => {}
            Controlled::NotRecorded(why) => {
                let why = Fate::None(why).reason().replace(' ', "_");
                self.told.push(format!("not:{why}"));
            }
            Controlled::Over => self.told.push("over".to_owned()),
        }
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

    /// What is wrong with what a record says of a recording, `torn` as above.
    pub(super) fn recorded(&self, cdr: &Cdr, torn: &BTreeSet<Id>) -> Option<String> {
        let state = self.tapes.get(&cdr.call_id);
        let fits = match (cdr.recording.fate, state) {
            (Fate::None(_), None | Some(State::Dropped)) => cdr.recording.id.is_none(),
            (Fate::None(why), Some(State::Over)) => {
                matches!(why, umbra::call::recording::Why::Lost(_))
            }
            (Fate::Kept | Fate::Gaps(_), Some(State::Over)) => cdr.recording.id == Some(cdr.call_id),
            // Who goes on with the call knows of none.
            (Fate::None(_), Some(State::Left)) => torn.contains(&cdr.call_id),
            (_, _) => false,
        };
        let said = cdr.recording;
        (!fits).then(|| format!("{} says {said:?} of a recording that is {state:?}", cdr.call_id))
    }

    /// The process dies, and its recorder with it.
    pub(super) fn dies(&mut self) {
        self.tapped.clear();
        for state in self.tapes.values_mut() {
            *state = match *state {
                State::Running | State::Paused | State::Left => State::Left,
                State::Dropped | State::DroppedBefore => State::DroppedBefore,
                State::Over => State::Over,
            };
        }
    }

    /// Whether one runs that nobody has left.
    pub(super) fn is_running(&self) -> bool {
        let runs = |state: &State| matches!(state, State::Running | State::Paused);
        self.tapes.values().any(runs)
    }

    /// What it was told since the last time, and how many packets of each channel are among these.
    pub(super) fn take(&mut self, heard: &[Taped]) -> (Vec<String>, [usize; 2]) {
        let count = |channel| {
            let is_of = |taped: &&Taped| taped.tap.channel == channel && !taped.is_event;
            heard.iter().filter(is_of).count()
        };
        let packets = [Channel::Caller, Channel::Callee].map(count);
        (std::mem::take(&mut self.told), packets)
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
            "waits" => Report::Waits { recording, why },
            "written" => Report::Written { recording },
            other => panic!("the recorder says gap, lost, waits or written, not {other}"),
        };
        for shard in 0..self.switches.len() {
            self.give(shard, Input::Recorded(report));
        }
    }

    /// Somebody pauses the recordings of all calls, or goes on with them.
    pub(super) fn controls_recordings(&mut self, control: Control) {
        let live = self.talks.iter().filter(|(_, talk)| talk.until.is_none());
        let calls: Vec<Id> = live.map(|(id, _)| *id).collect();
        for id in calls {
            self.command(Command::Recording(super::AskId(2), id, control));
        }
    }
}
