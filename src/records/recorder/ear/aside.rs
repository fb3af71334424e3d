//! What a WAV file can't hold goes into a recording beside it: packets of a codec that isn't decoded, in a call that turns to
//! one while it goes on.
//!
//! It is opened with the first of them, begins with its call's own recording, pauses and ends with it. What a process before
//! left of it is looked for as soon as the call's own goes on, so that it ends with that whether more of them come or not.

use std::time::Duration;

use super::{DUMP_RATE_HZ, Ear, Open, Stage};
use crate::base::id::Id;
use crate::base::limits::RECORDING_LATE_MAX;
use crate::base::time::{Instant, Now};
use crate::call::recording::Fault;
use crate::records::recorder::jobs::{Job, Start};
use crate::records::recorder::marks::unwritten;
use crate::records::recordings::aside::aside_of;
use crate::records::recordings::chain::Audio;
use crate::records::recordings::pen;
use crate::rtp::tap::Heard;

/// Which of a call's recordings one is.
pub(super) enum Kin {
    /// The call's own.
    First(Box<Beside>),
    /// It lies beside that one.
    Aside(Id),
}

/// What lies beside a call's recording, or may.
pub(super) struct Beside {
    begin: pen::Begin,
    is: Is,
}

/// How far that has come.
#[derive(Clone, Copy)]
enum Is {
    /// There was nothing for it.
    Nothing,
    /// There was no room for it, and why. What came since that millisecond isn't kept.
    Refused(u64, Fault),
    /// It is open.
    Open,
    /// Nothing more is written of it.
    Over,
}

impl Beside {
    /// Nothing, beside a recording that begins so.
    pub(super) fn none(first: &pen::Begin) -> Self {
        let begin = pen::Begin {
            recording: aside_of(first.recording),
            audio: Audio::Rtpdump,
            rate_hz: DUMP_RATE_HZ,
            ..first.clone()
        };
        Self {
            begin,
            is: Is::Nothing,
        }
    }

    /// What a process before may have left beside one that starts so, and how that is looked for.
    pub(super) fn sought(first: &Start) -> (Self, Box<Start>) {
        let beside = Self::none(&first.begin);
        let start = Start {
            begin: beside.begin.clone(),
            ..*first
        };
        (beside, Box::new(start))
    }
}

impl Open {
    /// The call's own recording, where this one is called `id`.
    pub(super) fn first(&self, id: Id) -> Id {
        match self.kin {
            Kin::First(_) => id,
            Kin::Aside(first) => first,
        }
    }

    /// Whether it lies beside another one.
    pub(in crate::records::recorder) fn is_aside(&self) -> bool {
        matches!(self.kin, Kin::Aside(_))
    }

    /// What is open beside it.
    pub(super) fn aside(&self) -> Option<Id> {
        match &self.kin {
            Kin::First(beside) if matches!(beside.is, Is::Open) => Some(beside.begin.recording),
            Kin::First(_) | Kin::Aside(_) => None,
        }
    }

    fn set(&mut self, is: Is) {
        if let Kin::First(beside) = &mut self.kin {
            beside.is = is;
        }
    }
}

impl Ear {
    /// A call's recording, and what is open beside it.
    pub(super) fn family(&self, id: Id) -> impl Iterator<Item = Id> + use<> {
        let aside = self.open.get(&id).and_then(Open::aside);
        [id].into_iter().chain(aside)
    }

    fn set_beside(&mut self, first: Id, is: Is) {
        if let Some(open) = self.open.get_mut(&first) {
            open.set(is);
        }
    }

    /// A packet was heard that this recording can't hold, if it is a WAV file.
    pub(super) fn hear_beside(&mut self, id: Id, heard: &Heard<'_>) {
        let Some(open) = self.open.get(&id) else {
            return;
        };
        // A dump holds it, and before it is known which it is, it waits.
        let (Stage::Audio(stereo), Kin::First(beside)) = (&open.stage, &open.kin) else {
            return;
        };
        let Some(since) = stereo.keeps_since().filter(|since| heard.at >= *since) else {
            return;
        };
        let aside = beside.begin.recording;
        match beside.is {
            Is::Over => return,
            Is::Open => {}
            Is::Nothing | Is::Refused(..) => {
                // What the other side said just before it may still come.
                let early = heard.at - Instant::default();
                let early = Instant::default() + early.saturating_sub(RECORDING_LATE_MAX);
                self.begin_aside(id, early.max(since), heard.at);
            }
        }
        if let Some(open) = self.open.get_mut(&aside) {
            open.stage.hear(heard);
        }
    }

    /// Opens what is to lie beside a recording, which has what came `from` then on: the first of it was `heard` then.
    fn begin_aside(&mut self, first: Id, from: Instant, heard: Instant) {
        let Some(open) = self.open.get(&first) else {
            return;
        };
        let (Stage::Audio(stereo), Kin::First(beside)) = (&open.stage, &open.kin) else {
            return;
        };
        let (from_ms, at) = stereo.millis(from);
        let (heard_ms, _) = stereo.millis(heard);
        let refused = match beside.is {
            Is::Refused(since_ms, why) => Some((since_ms, why)),
            Is::Nothing | Is::Open | Is::Over => None,
        };
        let wall = beside.begin.began;
        let start = Start {
            shard: open.shard,
            heard_from: Now { at, wall },
            heard_after: Duration::from_millis(from_ms),
            begin: beside.begin.clone(),
        };
        let aside = start.begin.recording;
        let begun = Open::new(open.shard, Stage::dump(at, from_ms), Kin::Aside(first));
        if let Err(why) = self.admit_aside(first, begun, Job::Begin(Box::new(start))) {
            let (since_ms, because) = refused.unwrap_or((heard_ms, why));
            return self.refuse_aside(first, since_ms, because);
        }
        if let Some(open) = self.open.get_mut(&aside) {
            let silent_ms = refused.map_or(from_ms, |(since_ms, _)| since_ms.min(from_ms));
            self.out.give_silence(aside, open, silent_ms);
            if let Some((_, why)) = refused {
                open.left_out.get_or_insert(unwritten(why));
            }
        }
    }

    /// There is no room for what would lie beside it: that is tried again with the next packet.
    fn refuse_aside(&mut self, first: Id, since_ms: u64, why: Fault) {
        if let Some(open) = self.open.get_mut(&first) {
            open.set(Is::Refused(since_ms, why));
            self.out.report_gap(first, open, why);
        }
    }

    fn admit_aside(&mut self, first: Id, open: Open, job: Job) -> Result<(), Fault> {
        let aside = aside_of(first);
        self.admit(aside, open, job)?;
        let status = &self.shared.status;
        let is_open = |id: &Id| status.open().contains(id);
        status.asides.add(aside, first, is_open);
        self.set_beside(first, Is::Open);
        Ok(())
    }

    /// Looks for what a process before has left beside a recording that goes on.
    pub(super) fn seek_aside(&mut self, first: Id, open: Open, start: Box<Start>) {
        if let Err(why) = self.admit_aside(first, open, Job::GoOnIfAny(start)) {
            self.set_beside(first, Is::Over);
            if let Some(open) = self.open.get_mut(&first) {
                self.out.report_gap(first, open, why);
            }
        }
    }

    /// A process before has left nothing there.
    pub(super) fn aside_is_absent(&mut self, aside: Id) {
        let Some(open) = self.open.remove(&aside) else {
            return;
        };
        let (Kin::Aside(first), Stage::Opening(opening)) = (open.kin, open.stage) else {
            return;
        };
        self.set_beside(first, Is::Nothing);
        // What came meanwhile came since then.
        let Some(Stage::Audio(stereo)) = self.open.get(&first).map(|open| &open.stage) else {
            return;
        };
        let since = stereo.begun();
        let (since_ms, _) = stereo.millis(since);
        if !opening.is_whole() {
            return self.refuse_aside(first, since_ms, self.shared.status.fault());
        }
        if !opening.is_empty() {
            self.begin_aside(first, since, since);
            self.replay(aside, opening);
        }
    }

    /// Nothing more is written of a recording.
    pub(super) fn forget(&mut self, id: Id, now: Now) {
        let aside = self.open.get(&id).and_then(Open::aside);
        let Some(open) = self.open.remove(&id) else {
            return;
        };
        match open.kin {
            Kin::Aside(first) => self.set_beside(first, Is::Over),
            // What lies beside it is all that there is of it now.
            Kin::First(_) => {
                if let Some(aside) = aside {
                    self.end(aside, now);
                }
            }
        }
    }
}
