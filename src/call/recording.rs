//! Recordings of calls: when one begins, pauses and ends, and what becomes known of it.
//!
//! The switch only says what is to be recorded: [`media::Order::Tap`](super::media::Order::Tap) has the media threads
//! hand on what a leg's peer hears, and an [`Order`] tells whoever takes it which call that is of. What he can't keep he
//! says by a [`Report`], and the call's record says so too. No call waits for any of that.
//!
//! A call has one recording at the most, as far as anything here knows, under the call's own id: it is one id everywhere. What
//! that one's file can't hold the recorder keeps beside it, in a recording of its own that begins, pauses and ends with the
//! call's: see [`aside`](crate::records::recordings::aside).

mod code;
mod record;
mod take;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use code::{Code, Pausing};
pub use record::{Fate, Fault, Recording, Sealed, Why};
pub(super) use take::before_answer;

use crate::base::id::Id;
use crate::base::limits::RECORDING_SHORTEST;
use crate::base::time::{Instant, Now, Wall};
use crate::masking::recording::Since;

/// How calls are recorded, if the conf wants any recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recordings {
    /// From when on, where neither pool nor account says.
    pub since: Since,
    /// What is shorter isn't kept.
    pub shortest: Duration,
    /// How a party pauses it by its phone, if one may.
    pub pausing: Option<Pausing>,
}

impl Default for Recordings {
    fn default() -> Self {
        Self {
            since: Since::default(),
            shortest: RECORDING_SHORTEST,
            pausing: None,
        }
    }
}

/// What the switch tells the recorder. Orders for one recording are obeyed in the order they were given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// A recording begins. The taps of its legs are ordered behind this.
    Begin(Box<Begin>),
    /// One that a process before this one began goes on: what nobody heard meanwhile is a gap in it, and marked. Where
    /// there is none, it begins.
    GoOn(Box<Begin>),
    /// What is heard from then on isn't kept, and that it isn't is marked.
    Pause(Id, Instant),
    /// What is heard from then on is kept again.
    Resume(Id, Instant),
    /// From then on it is a fax (T.38), of which no tap hears anything; or what is heard is voice again.
    Fax(Id, Faxing),
    /// It was over then. What its taps heard before may still be on its way.
    End(Id, Instant),
    /// One that a process before this one began then is over. Nothing was heard since that one, so it ends where that one
    /// left it, without a silence. Where it has ended already, or there is none, this is none.
    EndLeft(Id, Wall),
    /// It is over and too short to be of use: nothing of it is kept, whichever process began it. Where there is nothing of
    /// it, this is none.
    Drop(TooShort),
}

/// A recorded call turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Faxing {
    /// To a fax.
    Begins,
    /// Back to voice, or it is over.
    Ends,
}

/// A recording that is too short to be of use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooShort {
    /// It.
    pub recording: Id,
    /// When it began.
    pub began: Wall,
    /// What is longer is never dropped, whatever its call's clocks say.
    pub shortest: Duration,
}

impl Order {
    /// The recording.
    pub const fn recording(&self) -> Id {
        match self {
            Self::Begin(begin) | Self::GoOn(begin) => begin.recording,
            Self::Pause(id, _) | Self::Resume(id, _) | Self::End(id, _) => *id,
            Self::Fax(id, _) | Self::EndLeft(id, _) => *id,
            Self::Drop(short) => short.recording,
        }
    }
}

/// A recording that begins, or goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Begin {
    /// The recording.
    pub recording: Id,
    /// The call.
    pub call_id: Id,
    /// The binding that it goes by.
    pub binding_id: Option<Id>,
    /// The account.
    pub account: Box<str>,
    /// How many days the law has it kept, for the class of its binding's numbers; nothing if it doesn't say.
    pub at_least_days: Option<u32>,
    /// When it began.
    pub began: Wall,
    /// When that was by this process's clock; for one that goes on: now.
    pub at: Instant,
    /// How long it had lasted by then; nothing of one that begins.
    pub lasted: Duration,
    /// How what is heard is coded, as far as is agreed by now.
    pub sounds: Sound,
}

/// How what is heard in a recording is coded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sound {
    /// In ways that we read, at 8 kHz.
    Narrow,
    /// In ways that we read, 16 kHz among them.
    Wide,
    /// In a way that we don't read, on one of the legs at least.
    Unread,
}

/// What the recorder tells the switch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Report {
    /// Something that was heard isn't in the recording.
    Gap {
        /// The recording.
        recording: Id,
        /// Why.
        why: Fault,
    },
    /// Nothing of it is kept.
    Lost {
        /// The recording.
        recording: Id,
        /// Why.
        why: Fault,
    },
    /// The disk doesn't take what was heard. It waits in memory: nothing is missing yet, but nobody knows what will be.
    Waits {
        /// The recording.
        recording: Id,
        /// Why.
        why: Fault,
    },
    /// What waited is written.
    Written {
        /// The recording.
        recording: Id,
    },
    /// Its files are sealed with that, whatever becomes of it; said once of each process's part of it.
    Sealed {
        /// The recording.
        recording: Id,
        /// With what.
        with: Sealed,
    },
}

impl Report {
    /// The recording.
    pub const fn recording(&self) -> Id {
        match self {
            Self::Gap { recording, .. }
            | Self::Lost { recording, .. }
            | Self::Waits { recording, .. }
            | Self::Written { recording }
            | Self::Sealed { recording, .. } => *recording,
        }
    }
}

/// What somebody wants of a call's recording while the call goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control {
    /// What is said from now on isn't kept.
    Pause,
    /// It is kept again.
    Resume,
}

/// What came of that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Controlled {
    /// It is so; perhaps it was before.
    Done,
    /// The call isn't recorded, and why.
    NotRecorded(Why),
    /// Its recording is over, and is kept.
    Over,
    /// There is no such call here.
    Nowhere,
}

/// A call's recording, as far as it has come.
#[derive(Clone, Debug)]
pub struct Course {
    began: Wall,
    /// How long it had lasted when this process came to it, and when that was.
    before: Duration,
    since: Instant,
    /// Since when it is paused, by both clocks.
    paused: Option<Now>,
    /// How long it was paused before that.
    paused_before: Duration,
    fault: Option<(Fault, Loss)>,
    /// Why some of it waits, and is in no file.
    waits: Option<Fault>,
    /// With what it is sealed, once that is said.
    sealed: Option<Sealed>,
    /// How it ended.
    over: Option<Over>,
    /// What may become the code by which it is paused.
    codes: code::Codes,
}

/// How much isn't kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Loss {
    Some,
    All,
}

/// How a recording ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Over {
    Whole,
    TooShort,
}

/// A recording as it is kept with its call, for the process that goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Kept {
    /// Unix milliseconds.
    began: i64,
    /// Since when it is paused: Unix milliseconds.
    paused: Option<i64>,
    paused_before_ms: u64,
    fault: Option<(Fault, Loss)>,
    over: Option<Over>,
    /// It stands behind all else, since [form 5](super::kept::form()).
    #[serde(skip)]
    pub(super) sealed: Option<Sealed>,
}

/// Whether a call goes on that another process has left, and its recording with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Goes {
    On,
    /// Nothing is heard of it any more.
    NoFurther,
}

impl Course {
    fn begin(now: Now) -> Self {
        Self {
            began: now.wall,
            before: Duration::ZERO,
            since: now.at,
            paused: None,
            paused_before: Duration::ZERO,
            fault: None,
            waits: None,
            sealed: None,
            over: None,
            codes: code::Codes::default(),
        }
    }

    /// What another process has to know of it.
    pub(super) fn kept(&self) -> Kept {
        let ms = |of: Duration| u64::try_from(of.as_millis()).unwrap_or(u64::MAX);
        Kept {
            began: self.began.as_millis(),
            paused: self.paused.map(|since| since.wall.as_millis()),
            paused_before_ms: ms(self.paused_before),
            // What waits in memory goes with this process.
            fault: self.fault.or_else(|| self.waits.map(|why| (why, Loss::Some))),
            over: self.over,
            sealed: self.sealed,
        }
    }

    /// One that a process before this one began, if it lasts until then. By the wall's clock: nothing else goes on between
    /// two processes.
    pub(super) fn of_kept(kept: Kept, now: Now, until: Wall) -> Self {
        let began = Wall::from_millis(kept.began);
        let paused = kept.paused.map(Wall::from_millis);
        let earlier = paused.map_or(Duration::ZERO, |since| until.since(since));
        let is_cut = kept.over.is_none();
        Self {
            began,
            before: until.since(began),
            since: now.at,
            paused: paused.map(|_| now),
            paused_before: Duration::from_millis(kept.paused_before_ms).saturating_add(earlier),
            fault: kept.fault.or(is_cut.then_some((Fault::Restart, Loss::Some))),
            waits: None,
            sealed: kept.sealed,
            over: kept.over,
            codes: code::Codes::default(),
        }
    }

    /// How long it has lasted, by the clock that nobody sets.
    fn lasts(&self, now: Instant) -> Duration {
        self.before.saturating_add(now - self.since)
    }

    /// For how long it was paused.
    fn paused(&self, now: Instant) -> Duration {
        let present = self.paused.map_or(Duration::ZERO, |since| now - since.at);
        self.paused_before.saturating_add(present)
    }

    /// Whether anything changes by this.
    fn control(&mut self, now: Now, control: Control) -> bool {
        match (control, self.paused) {
            (Control::Pause, None) => self.paused = Some(now),
            (Control::Resume, Some(_)) => {
                self.paused_before = self.paused(now.at);
                self.paused = None;
            }
            (Control::Pause, Some(_)) | (Control::Resume, None) => return false,
        }
        true
    }

    /// It is over, and a pause with it: how.
    fn end(&mut self, now: Now, shortest: Duration) -> Over {
        self.control(now, Control::Resume);
        let over = if self.lasts(now.at) < shortest {
            Over::TooShort
        } else {
            Over::Whole
        };
        self.over = Some(over);
        over
    }

    /// What the recorder is told when it is over and too short.
    const fn too_short(&self, recording: Id, shortest: Duration) -> Order {
        Order::Drop(TooShort {
            recording,
            began: self.began,
            shortest,
        })
    }

    /// What the recorder says of it. The first gap is named, but that nothing is kept goes before.
    fn hear(&mut self, report: &Report) {
        let (fault, loss) = match report {
            Report::Gap { why, .. } => (*why, Loss::Some),
            Report::Lost { why, .. } => (*why, Loss::All),
            Report::Waits { why, .. } => {
                self.waits = Some(*why);
                return;
            }
            Report::Written { .. } => {
                self.waits = None;
                return;
            }
            Report::Sealed { with, .. } => {
                self.sealed = Some(*with);
                return;
            }
        };
        match (self.fault, loss) {
            (None, _) | (Some((_, Loss::Some)), Loss::All) => self.fault = Some((fault, loss)),
            (Some(_), Loss::Some) | (Some((_, Loss::All)), Loss::All) => {}
        }
    }

    /// Whether it hasn't ended.
    const fn runs(&self) -> bool {
        self.over.is_none()
    }

    /// With what it is sealed, as far as that is known.
    pub(super) const fn sealed(&self) -> Option<Sealed> {
        self.sealed
    }

    /// Whether it runs, and something of it is kept.
    pub(super) const fn is_kept(&self) -> bool {
        self.over.is_none() && !matches!(self.fault, Some((_, Loss::All)))
    }

    /// What becomes of it by now.
    fn fate(&self) -> Fate {
        match (self.over, self.fault, self.waits) {
            (Some(Over::TooShort), _, _) => Fate::None(Why::TooShort),
            (_, None, None) => Fate::Kept,
            // Nobody knows yet that it is there.
            (_, None, Some(fault)) | (_, Some((fault, Loss::Some)), _) => Fate::Gaps(fault),
            (_, Some((fault, Loss::All)), _) => Fate::None(Why::Lost(fault)),
        }
    }

    /// What the record of this call says of it.
    fn record(&self, call_id: Id, now: Instant) -> Recording {
        let fate = self.fate();
        let id = match fate {
            Fate::None(_) => None,
            Fate::Kept | Fate::Gaps(_) => Some(call_id),
        };
        let paused = id.map_or(Duration::ZERO, |_| self.paused(now));
        Recording {
            id,
            fate,
            // What isn't there isn't sealed either.
            sealed: id.and(self.sealed),
            paused_s: u32::try_from(paused.as_secs()).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests;
