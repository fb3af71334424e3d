//! Writing: pieces come to their files, and what the disk refuses is held and tried again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::Shared;
use super::jobs::{Ending, Job, News, Piece, Start};
use super::notes::{Notes, kept};
use crate::base::id::Id;
use crate::call::recording::{Fault, Report};
use crate::records::folder;
use crate::records::recordings::pen::{self, Finished, GoneOn, Pen};
use crate::records::recordings::{Error, Place};

/// How often all is synced, and what failed is tried again.
const TURN: Duration = Duration::from_secs(1);

pub(super) struct Scribe {
    shared: Arc<Shared>,
    news: Sender<News>,
    sheets: HashMap<Id, Sheet>,
    /// Ends that the audit log is to have.
    notes: Notes,
    /// It has refused, and it isn't known that it takes any again.
    is_refused: bool,
}

/// A recording that has files, or is to have them.
struct Sheet {
    shard: usize,
    begin: pen::Begin,
    stage: Stage,
    /// What waits for the disk.
    held: VecDeque<Piece>,
    ending: Option<Ending>,
    /// The disk has refused, and it isn't known that it takes again.
    is_stuck: bool,
    /// That something is missing was reported.
    is_told: bool,
}

enum Stage {
    /// Its files are to be made.
    Begins,
    /// Its files are to be found.
    GoesOn,
    Open(Box<Pen>),
}

/// How far a recording has come.
enum Far {
    Open,
    /// Whole; or erased meanwhile.
    Over(Option<Finished>),
}

impl Scribe {
    pub(super) fn new(shared: Arc<Shared>, news: Sender<News>) -> Self {
        Self {
            shared,
            news,
            sheets: HashMap::new(),
            notes: Notes::default(),
            is_refused: false,
        }
    }

    /// Does what comes, until that is to leave.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        self.look_at_folder();
        let mut turned = Instant::now();
        loop {
            let goes_on = match jobs.recv_timeout(TURN.saturating_sub(turned.elapsed())) {
                Ok(job) => {
                    let goes_on = self.take(job);
                    if jobs.is_empty() {
                        self.rest();
                    }
                    goes_on
                }
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => false,
            };
            if !goes_on || turned.elapsed() >= TURN {
                self.turn();
                turned = Instant::now();
            }
            if !goes_on {
                return;
            }
        }
    }

    /// Does it; whether there may be more.
    pub(super) fn take(&mut self, job: Job) -> bool {
        match job {
            Job::Begin(start) => self.open(*start, Stage::Begins),
            Job::GoOn(start) => self.open(*start, Stage::GoesOn),
            Job::Write(id, piece) => match self.sheets.get_mut(&id) {
                Some(sheet) => {
                    sheet.held.push_back(piece);
                    self.work(id);
                }
                None => self.shared.status.waited(piece.weight()),
            },
            Job::End(id, ending) => {
                if let Some(sheet) = self.sheets.get_mut(&id) {
                    sheet.ending = Some(ending);
                    self.work(id);
                }
            }
            Job::Drop(id) => {
                if let Some(sheet) = self.close(id)
                    && let Stage::Open(pen) = sheet.stage
                    && let Err(error) = pen.discard()
                {
                    tracing::warn!("a recording that is too short can't be removed: {error}");
                }
            }
            Job::Leave => return false,
        }
        true
    }

    fn open(&mut self, start: Start, stage: Stage) {
        let id = start.begin.recording;
        let sheet = Sheet {
            shard: start.shard,
            begin: start.begin,
            stage,
            held: VecDeque::new(),
            ending: None,
            is_stuck: false,
            is_told: false,
        };
        self.sheets.insert(id, sheet);
        self.work(id);
    }

    /// Tries again what failed, and syncs all.
    pub(super) fn turn(&mut self) {
        let stuck: Vec<Id> = self
            .sheets
            .iter()
            .filter(|(_, sheet)| sheet.is_stuck)
            .map(|(id, _)| *id)
            .collect();
        for id in stuck {
            self.try_again(id);
        }
        self.note();
        self.shared.settings.audit.try_again();
        let pens = self
            .sheets
            .values_mut()
            .filter_map(|sheet| match &mut sheet.stage {
                Stage::Open(pen) => Some(pen.as_mut()),
                Stage::Begins | Stage::GoesOn => None,
            });
        match Pen::sync_all(&self.shared.settings.config.dir, pens) {
            Ok(()) if self.sheets.values().any(|sheet| sheet.is_stuck) => {}
            Ok(()) if self.shared.status.trouble().is_some() => self.look_at_folder(),
            Ok(()) => {}
            Err(error) => self.trouble(&error),
        }
    }

    fn look_at_folder(&self) {
        let dir = &self.shared.settings.config.dir;
        let trouble = folder::make(dir).err().map(|error| {
            let sentence = format!(
                "recordings can't be written to {}: {error}: let the server's user make that folder",
                dir.display()
            );
            (Fault::DiskFails, sentence)
        });
        self.shared.status.set_trouble(trouble);
    }

    /// Does what is to be done for a recording, unless the disk has refused lately.
    fn work(&mut self, id: Id) {
        if self.sheets.get(&id).is_some_and(|sheet| !sheet.is_stuck)
            && let Err(error) = self.try_work(id)
        {
            self.refused(id, &error);
        }
    }

    /// The disk has refused lately: what it refuses for longer is told.
    fn try_again(&mut self, id: Id) {
        let Err(error) = self.try_work(id) else {
            return;
        };
        self.refused(id, &error);
        if let Some(sheet) = self.sheets.get_mut(&id)
            && !std::mem::replace(&mut sheet.is_told, true)
        {
            let (recording, why) = (id, fault_of(&error));
            let report = match sheet.stage {
                Stage::Begins => Report::Lost { recording, why },
                Stage::GoesOn | Stage::Open(_) => Report::Gap { recording, why },
            };
            self.shared.report(sheet.shard, report);
        }
    }

    fn try_work(&mut self, id: Id) -> Result<(), Error> {
        let Some(sheet) = self.sheets.get_mut(&id) else {
            return Ok(());
        };
        let far = sheet.work(&self.shared, &self.news)?;
        sheet.is_stuck = false;
        match far {
            Far::Open => {}
            Far::Over(Some(finished)) => self.finished(id, &finished),
            Far::Over(None) => drop(self.close(id)),
        }
        Ok(())
    }

    /// It is whole, and open until the audit log has its end.
    fn finished(&mut self, id: Id, finished: &Finished) {
        let Some(sheet) = self.take_sheet(id) else {
            return;
        };
        if self.notes.has_room(1) {
            self.notes
                .add(kept(id, Some(sheet.begin.call), finished.sha256, "whole"));
        } else {
            // The keeper finds that it isn't noted.
            self.shared.status.open().remove(&id);
        }
    }

    fn note(&mut self) {
        let shared = &self.shared;
        let now = shared.now().wall;
        // While it refuses, its health says so.
        let noted = self.notes.write(&shared.settings.audit, now, |line| {
            if let Some(recording) = &line.recording {
                shared.status.open().remove(recording);
            }
        });
        self.is_refused = noted.is_err();
    }

    /// No job waits: what became whole is noted.
    pub(super) fn rest(&mut self) {
        if !self.is_refused {
            self.note();
        }
    }

    /// The disk refuses: it is tried again, unless that can't help.
    fn refused(&mut self, id: Id, error: &Error) {
        self.trouble(error);
        let helps = match error {
            Error::Full(_) | Error::Disk(..) | Error::Absent(_) | Error::Busy(_) => true,
            Error::Taken(_)
            | Error::Damaged(..)
            | Error::TooLong(_)
            | Error::NoKey(..)
            | Error::Newer(..) => false,
        };
        if helps {
            if let Some(sheet) = self.sheets.get_mut(&id) {
                sheet.is_stuck = true;
            }
            return;
        }
        let Some(sheet) = self.sheets.get_mut(&id) else {
            return;
        };
        let (recording, why, shard) = (id, fault_of(error), sheet.shard);
        let report = match &sheet.stage {
            Stage::Begins => Report::Lost { recording, why },
            Stage::GoesOn | Stage::Open(_) => Report::Gap { recording, why },
        };
        let ended = match &mut sheet.stage {
            Stage::Begins | Stage::GoesOn => None,
            // What it has stays whole.
            Stage::Open(pen) => Some(pen.end(pen.samples(), self.shared.now().wall)),
        };
        match ended {
            Some(Ok(finished)) => self.finished(id, &finished),
            Some(Err(error)) => {
                self.trouble(&error);
                self.close(id);
            }
            None => drop(self.close(id)),
        }
        self.shared.report(shard, report);
        // The ear may be gone, when the server stops.
        let _ = self.news.send(News::Over(id));
    }

    /// Nothing more is done for it.
    fn close(&mut self, id: Id) -> Option<Sheet> {
        let sheet = self.take_sheet(id)?;
        self.shared.status.open().remove(&id);
        Some(sheet)
    }

    /// Nothing more is written of it.
    fn take_sheet(&mut self, id: Id) -> Option<Sheet> {
        let mut sheet = self.sheets.remove(&id)?;
        for piece in sheet.held.drain(..) {
            self.shared.status.waited(piece.weight());
        }
        Some(sheet)
    }

    fn trouble(&self, error: &Error) {
        let sentence = error.to_string();
        if self.shared.status.trouble().as_ref() != Some(&sentence) {
            tracing::warn!("{sentence}");
        }
        self.shared.status.set_trouble(Some((fault_of(error), sentence)));
    }
}

impl Sheet {
    /// Does all that is to be done, as far as the disk goes along.
    fn work(&mut self, shared: &Shared, news: &Sender<News>) -> Result<Far, Error> {
        let config = &shared.settings.config;
        let opened = match &self.stage {
            Stage::Open(_) => None,
            Stage::Begins => Some(Box::new(Pen::begin(&config.dir, &self.begin)?)),
            Stage::GoesOn => {
                let now = shared.now();
                let keys = shared.settings.sealing.keys();
                let id = self.begin.recording;
                if let Some(end) = shared.settings.audit.end_of(id)? {
                    // It was whole once: nothing is added to it, and nothing taken away.
                    let place = Place::of(&config.dir, id, self.begin.began);
                    let ended = match Pen::end_left(&place, keys, Some(end)) {
                        Err(Error::Absent(_)) => None,
                        ended => ended?,
                    };
                    let _ = news.send(News::Over(id));
                    return Ok(Far::Over(ended));
                }
                match Pen::go_on(&config.dir, &self.begin, keys, now.wall)? {
                    GoneOn::Goes {
                        pen,
                        from,
                        paused,
                        is_empty,
                    } => {
                        let (audio, rate_hz) = pen.kind();
                        let goes = News::Goes {
                            recording: id,
                            at: now.at,
                            from,
                            audio,
                            rate_hz,
                            paused,
                            headed: is_empty.then_some(self.begin.began),
                        };
                        // The ear may be gone, when the server stops.
                        let _ = news.send(goes);
                        Some(pen)
                    }
                    GoneOn::Ended(finished) => {
                        let _ = news.send(News::Over(id));
                        return Ok(Far::Over(Some(finished)));
                    }
                }
            }
        };
        if let Some(pen) = opened {
            self.stage = Stage::Open(pen);
        }
        let Stage::Open(pen) = &mut self.stage else {
            return Ok(Far::Open);
        };
        while let Some(piece) = self.held.front_mut() {
            let outcome = piece.write(pen);
            let weight = piece.weight();
            if let Err(error) = outcome {
                // The pen has them. What they weighed is given back with them.
                piece.marks.clear();
                shared.status.waited(weight - piece.weight());
                return Err(error);
            }
            shared.status.written(piece.bytes());
            shared.status.waited(weight);
            self.held.pop_front();
        }
        match self.ending {
            None => Ok(Far::Open),
            Some(Ending { until, ended }) => pen
                .end(until.max(pen.samples()), ended)
                .map(|finished| Far::Over(Some(finished))),
        }
    }
}

/// What records call it.
fn fault_of(error: &Error) -> Fault {
    match error {
        Error::Full(_) => Fault::DiskFull,
        Error::Disk(..)
        | Error::Taken(_)
        | Error::Absent(_)
        | Error::Busy(_)
        | Error::Damaged(..)
        | Error::TooLong(_)
        | Error::NoKey(..)
        | Error::Newer(..) => Fault::DiskFails,
    }
}
