//! Who records in the simulated server: he notes what he is told, and finds fault with what makes no sense.

use std::collections::{BTreeMap, BTreeSet};

use umbra::base::id::Id;
use umbra::call::cdr::Cdr;
use umbra::call::media;
use umbra::call::port::{Command, Input};
use umbra::call::recording::{Control, Controlled, Fate, Fault, Faxing, Order, Report, Sealed, Sound, Why};
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

/// How much isn't kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// Some of it.
    Some,
    /// Nothing is.
    All,
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
    /// Those that were paused once.
    paused: BTreeSet<Id>,
    /// Those of which it has said that not all is kept, before their records were out.
    unkept: BTreeSet<Id>,
    /// A fax was offered to somebody: what was faxed is in no recording.
    pub(super) is_fax_offered: bool,
}

impl Recorder {
    /// What is wrong with an order, if anything is. `torn`: the calls of which something is no longer in the journal, since
    /// power failed.
    pub(super) fn obey(&mut self, order: &Order, torn: &BTreeSet<Id>) -> Option<String> {
        let (id, word) = match order {
            Order::Begin(begin) => {
                let word = match begin.sounds {
                    Sound::Narrow => "begin",
                    Sound::Wide => "begin:wide",
                    Sound::Unread => "begin:unread",
                };
                (begin.recording, word)
            }
            Order::GoOn(begin) => (begin.recording, "go-on"),
            Order::Pause(id, _) => (*id, "pause"),
            Order::Resume(id, _) => (*id, "resume"),
            Order::Fax(id, Faxing::Begins) => (*id, "fax"),
            Order::Fax(id, Faxing::Ends) => (*id, "fax-over"),
            Order::End(id, _) => (*id, "end"),
            Order::EndLeft(id, _) => (*id, "end-left"),
            Order::Drop(short) => (short.recording, "drop"),
        };
        self.told.push(word.to_owned());
        let before = self.tapes.get(&id).copied();
        let now = match (order, before) {
            (Order::Begin(_), None) => State::Running,
            // A process that dies of the very output has said nothing.
            (Order::GoOn(_), None | Some(State::Left)) => State::Running,
            (Order::EndLeft(..), None | Some(State::Left)) => State::Over,
            (Order::Drop(_), None | Some(State::Left | State::DroppedBefore)) => State::Dropped,
            // Nor does anybody know any more that it was over.
            (Order::GoOn(_), Some(State::Over | State::DroppedBefore)) if torn.contains(&id) => {
                State::Running
            }
            (Order::EndLeft(..), Some(State::Over | State::DroppedBefore)) if torn.contains(&id) => {
                State::Over
            }
            (Order::Drop(_), Some(State::Over)) if torn.contains(&id) => State::Dropped,
            (Order::Pause(..), Some(State::Running)) => State::Paused,
            (Order::Resume(..), Some(State::Paused)) => State::Running,
            (Order::Fax(..), Some(running @ (State::Running | State::Paused))) => running,
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
        if now == State::Paused {
            self.paused.insert(id);
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

    /// What is wrong with what a record says of a recording, `torn` as above. `alone`: no process has died so far, and nothing
    /// that was said is lost with it.
    pub(super) fn recorded(&self, cdr: &Cdr, torn: &BTreeSet<Id>, alone: bool) -> Option<String> {
        let state = self.tapes.get(&cdr.call_id);
        let fits = match (cdr.recording.fate, state) {
            (Fate::None(_), None | Some(State::Dropped)) => cdr.recording.id.is_none(),
            (Fate::None(why), Some(State::Over)) => {
                matches!(why, Why::Lost(_))
            }
            (Fate::Kept | Fate::Gaps(_), Some(State::Over)) => cdr.recording.id == Some(cdr.call_id),
            // Who goes on with the call knows of none.
            (Fate::None(_), Some(State::Left)) => torn.contains(&cdr.call_id),
            (_, _) => false,
        };
        let said = cdr.recording;
        let was_paused = self.paused.contains(&cdr.call_id);
        let is_unkept = match said.fate {
            Fate::Kept => false,
            Fate::Gaps(Fault::Codec) if self.is_fax_offered => self.unkept.contains(&cdr.call_id),
            Fate::Gaps(_) | Fate::None(Why::Lost(_)) => true,
            // Nothing is said of the faults of what isn't there.
            Fate::None(_) => self.unkept.contains(&cdr.call_id),
        };
        let is_class_95 = cdr.x.as_ref().is_some_and(|x| x.starts_with("95"));
        let fits = fits
            && (was_paused || said.paused_s == 0)
            && (!alone || is_unkept == self.unkept.contains(&cdr.call_id))
            && !(is_class_95 && state.is_some());
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
    pub(super) fn take(&mut self, heard: &[Taped]) -> (Vec<String>, Option<[usize; 2]>) {
        let count = |channel| {
            let is_of = |taped: &&Taped| taped.tap.channel == channel && !taped.is_event;
            heard.iter().filter(is_of).count()
        };
        let packets = [Channel::Caller, Channel::Callee].map(count);
        (std::mem::take(&mut self.told), Some(packets))
    }
}

impl World {
    /// The recorder says that of the recording that began last.
    pub(super) fn recorder_says(&mut self, what: &str, why: &str) {
        let recording = self.recorder.last.expect("something is recorded");
        if what == "sealed" {
            let with = Sealed::ALL.into_iter().find(|sealed| sealed.name() == why);
            let with = with.unwrap_or_else(|| panic!("nothing is sealed with {why}"));
            return self.reports(Report::Sealed { recording, with });
        }
        let why = Fault::ALL
            .into_iter()
            .find(|fault| fault.name().replace(' ', "-") == why)
            .unwrap_or_else(|| panic!("no fault is {why}"));
        self.reports(match what {
            "gap" => Report::Gap { recording, why },
            "lost" => Report::Lost { recording, why },
            "waits" => Report::Waits { recording, why },
            "written" => Report::Written { recording },
            other => panic!("the recorder says gap, lost, waits, written or sealed, not {other}"),
        });
    }

    /// The recorder can't keep the recording that began last, or some of it; if there is any.
    pub fn unkept(&mut self, why: Fault, loss: Loss) {
        if let Some(recording) = self.recorder.last {
            self.reports(match loss {
                Loss::Some => Report::Gap { recording, why },
                Loss::All => Report::Lost { recording, why },
            });
        }
    }

    fn reports(&mut self, report: Report) {
        let recording = report.recording();
        if !self.records.iter().any(|cdr| cdr.call_id == recording) {
            match report {
                Report::Gap { .. } | Report::Lost { .. } | Report::Waits { .. } => {
                    self.recorder.unkept.insert(recording)
                }
                Report::Written { .. } => self.recorder.unkept.remove(&recording),
                // It says nothing of what is kept.
                Report::Sealed { .. } => false,
            };
        }
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
