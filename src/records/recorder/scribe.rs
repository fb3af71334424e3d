//! Writing: pieces come to their files, and what the disk refuses is held and tried again.

mod over;

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::Shared;
use super::desk::{Desk, Messenger};
use super::jobs::{Abandoned, Ending, Job, News, Piece, Start};
use super::notes::kept;
use super::room::Room;
use super::sealing::sealed;
use super::warnings::Warnings;
use crate::base::id::Id;
use crate::base::time::Now;
use crate::call::recording::{Fault, Report, TooShort};
use crate::records::archive;
use crate::records::folder;
use crate::records::recordings::aside::is_there;
use crate::records::recordings::chain::Audio;
use crate::records::recordings::pen::{self, Finished, GoneOn, Packets, Pen};
use crate::records::recordings::{Error, Place};
use crate::rtp::recording::dump;

/// How often all is synced, and what failed is tried again.
const TURN: Duration = Duration::from_secs(1);
/// How long it rests when no job waits: the ear gives many in a row, and wakes it once for all of them.
const RESTS: Duration = Duration::from_millis(20);
/// Jobs whose pieces are written, and whose recordings end, together, at the most.
const TOGETHER_MAX: u64 = 512;

pub(super) struct Scribe {
    shared: Arc<Shared>,
    news: Sender<News>,
    sheets: HashMap<Id, Sheet>,
    /// How many of them are written, and wait for their end.
    due: usize,
    /// Those that have pieces that came lately.
    fed: Vec<Id>,
    /// How many jobs were taken that count as done only when all of that is.
    owed: u64,
    /// What a process before began, is to end or to go, and couldn't yet.
    left: Vec<Leaving>,
    warnings: Warnings,
    room: Room,
    /// Where the audit log is asked and told.
    pub(super) desk: Desk,
}

/// A recording that has files, or is to have them.
struct Sheet {
    shard: usize,
    begin: pen::Begin,
    /// From when on it is heard.
    heard_from: Now,
    /// And how far in it that is.
    heard_after: Duration,
    stage: Stage,
    /// What its file begins with, until that is written.
    head: Option<Vec<u8>>,
    /// What waits for the disk.
    held: VecDeque<Piece>,
    ending: Option<Ending>,
    /// The disk has refused, and it isn't known that it takes again.
    is_stuck: bool,
    /// That it waits was reported.
    is_told: bool,
    /// Nobody can tell whether its files have their names.
    is_unseen: bool,
    /// All of it is written, and it is to end together with others.
    is_due: bool,
    /// Pieces came lately, and are to be written.
    is_fed: bool,
}

enum Stage {
    /// Its files are to be made.
    Begins,
    /// Its files are to be found; where there are none they are made.
    GoesOn,
    /// Its files are to be found, if there are any.
    IsSought,
    Open(Box<Pen>),
}

/// What is to become of a recording of a process before.
enum Leaving {
    Drops(TooShort),
    Ends(Abandoned),
}

/// How far a recording has come.
enum Far {
    Open,
    /// All is written up to its end.
    Due,
    /// It was whole already; or erased meanwhile.
    Over(Option<Finished>),
    /// It was to go on if there was one, and there is none.
    Absent,
}

impl Scribe {
    pub(super) fn new(shared: Arc<Shared>, news: Sender<News>, messenger: Messenger) -> Self {
        Self {
            desk: Desk::new(shared.clone(), messenger),
            shared,
            news,
            sheets: HashMap::new(),
            due: 0,
            fed: Vec::new(),
            owed: 0,
            left: Vec::new(),
            warnings: Warnings::default(),
            room: Room::default(),
        }
    }

    /// Does what comes, until that is to leave.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        self.look_at_folder();
        self.look_for_room();
        let mut turned = Instant::now();
        loop {
            let goes_on = match jobs.recv_timeout(TURN.saturating_sub(turned.elapsed())) {
                Ok(job) => self.take(job),
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => false,
            };
            // Those that come at once end at once.
            let is_idle = jobs.is_empty();
            if is_idle || self.owed >= TOGETHER_MAX {
                self.settle();
            }
            if is_idle {
                self.desk.rest();
            }
            if !goes_on || turned.elapsed() >= TURN {
                self.turn();
                turned = Instant::now();
            }
            if !goes_on {
                return self.desk.close();
            }
            if is_idle {
                std::thread::sleep(RESTS);
            }
        }
    }

    /// Does it; whether there may be more.
    pub(super) fn take(&mut self, job: Job) -> bool {
        // It counts as done once all that came with it is.
        self.owed += 1;
        self.do_job(job)
    }

    fn do_job(&mut self, job: Job) -> bool {
        match job {
            Job::Begin(start) => self.open(*start, Stage::Begins),
            Job::GoOn(start) => self.open(*start, Stage::GoesOn),
            Job::GoOnIfAny(start) => self.open(*start, Stage::IsSought),
            Job::Write(id, piece) => match self.sheets.get_mut(&id) {
                Some(sheet) => {
                    sheet.hold(piece, &self.shared);
                    if !std::mem::replace(&mut sheet.is_fed, true) {
                        self.fed.push(id);
                    }
                }
                None => self.shared.status.waited(piece.weight()),
            },
            Job::End(id, ending) => {
                if let Some(sheet) = self.sheets.get_mut(&id) {
                    sheet.ending = Some(ending);
                    self.work(id);
                }
            }
            Job::Drop(short) => self.drop_short(short),
            Job::EndLeft(abandoned) => self.leave_off(abandoned),
            Job::Leave => return false,
        }
        true
    }

    fn open(&mut self, start: Start, stage: Stage) {
        let id = start.begin.recording;
        let sheet = Sheet {
            shard: start.shard,
            begin: start.begin,
            heard_from: start.heard_from,
            heard_after: start.heard_after,
            stage,
            head: None,
            held: VecDeque::new(),
            ending: None,
            is_stuck: false,
            is_told: false,
            is_unseen: false,
            is_due: false,
            is_fed: false,
        };
        self.sheets.insert(id, sheet);
        self.work(id);
    }

    /// Tries again what failed, and syncs all.
    pub(super) fn turn(&mut self) {
        self.look_for_room();
        let stuck: Vec<Id> = self
            .sheets
            .iter()
            .filter(|(_, sheet)| sheet.is_stuck)
            .map(|(id, _)| *id)
            .collect();
        for id in stuck {
            self.work_again(id);
        }
        self.settle();
        self.clear_left();
        self.look_for_names();
        self.desk.note();
        self.desk.look(self.shared.now().at);
        let pens = self
            .sheets
            .values_mut()
            .filter_map(|sheet| match &mut sheet.stage {
                Stage::Open(pen) => Some(pen.as_mut()),
                Stage::Begins | Stage::GoesOn | Stage::IsSought => None,
            });
        match Pen::sync_all(&self.shared.settings.config.dir, pens) {
            Ok(()) if self.room.is_short() || self.sheets.values().any(Sheet::waits) => {}
            Ok(()) if self.shared.status.is_refused() => self.look_at_folder(),
            Ok(()) => {}
            Err(error) => self.trouble(&error),
        }
        self.tell_written();
    }

    /// Whether recordings may have some of what is free on their disk.
    fn look_for_room(&mut self) {
        let config = &self.shared.settings.config;
        self.room.look(&config.dir, config.keep_free);
        if let Err(error) = self.room.check(&config.dir) {
            self.trouble(&error);
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
        if self.sheets.get(&id).is_some_and(|sheet| !sheet.is_stuck) {
            self.work_again(id);
        }
    }

    fn work_again(&mut self, id: Id) {
        if let Err(error) = self.try_work(id) {
            self.refused(id, &error);
        }
    }

    fn try_work(&mut self, id: Id) -> Result<(), Error> {
        let Some(sheet) = self.sheets.get_mut(&id) else {
            return Ok(());
        };
        let far = sheet.work(&self.shared, &self.news, &self.room, &mut self.desk)?;
        sheet.is_stuck = false;
        // One that is due isn't on the medium yet.
        if !matches!(far, Far::Due) {
            sheet.tell_written(id, &self.shared);
        }
        match far {
            Far::Open => {}
            Far::Due => self.due += usize::from(!std::mem::replace(&mut sheet.is_due, true)),
            Far::Over(Some(finished)) => drop(self.finished(id, &finished)),
            Far::Over(None) => drop(self.close(id)),
            Far::Absent => {
                self.close(id);
                // Not before: from now on the ear may begin one.
                let _ = self.news.send(News::Absent(id));
            }
        }
        Ok(())
    }

    /// It is whole, and open until the audit log has its end.
    fn finished(&mut self, id: Id, finished: &Finished) -> Option<Sheet> {
        let sheet = self.take_sheet(id)?;
        self.whole(id, sheet.begin.call, finished);
        Some(sheet)
    }

    fn whole(&self, id: Id, call: Id, finished: &Finished) {
        self.shared.settings.archive.tell(archive::News::Finished(id));
        if self.desk.notes.has_room(1) {
            self.shared.status.open().insert(id);
            self.desk
                .notes
                .add(kept(id, Some(call), finished.sha256, "whole"));
        } else {
            // The keeper finds that it isn't noted.
            self.shared.status.open().remove(&id);
        }
    }

    /// The disk refuses: it is tried again, unless that can't help.
    fn refused(&mut self, id: Id, error: &Error) {
        self.trouble(error);
        let Some(sheet) = self.sheets.get_mut(&id) else {
            return;
        };
        let begins = matches!(sheet.stage, Stage::Begins);
        let helps = match error {
            Error::Full(_) | Error::Short(..) | Error::Disk(..) | Error::Busy(_) => true,
            // Its folder may come yet; what had files and has none any more never will.
            Error::Absent(_) => begins,
            Error::Taken(_)
            | Error::Damaged(..)
            | Error::TooLong(_)
            | Error::NoKey(..)
            | Error::Newer(..) => false,
        };
        if helps {
            sheet.is_stuck = true;
            return sheet.tell_waits(id, fault_of(error), &self.shared);
        }
        let (recording, why, shard) = (id, fault_of(error), sheet.shard);
        let report = match &sheet.stage {
            Stage::Begins => Report::Lost { recording, why },
            Stage::Open(pen) if pen.is_removed() => Report::Lost { recording, why },
            // What lies somewhere else may come back.
            Stage::GoesOn | Stage::IsSought | Stage::Open(_) => Report::Gap { recording, why },
        };
        let ended = match (error, &mut sheet.stage) {
            // It has no names that could be changed.
            (Error::Absent(_), _) | (_, Stage::Begins | Stage::GoesOn | Stage::IsSought) => None,
            // What it has stays whole.
            (_, Stage::Open(pen)) => Some(pen.end(pen.samples(), self.shared.now().wall)),
        };
        match ended {
            Some(Ok(finished)) => drop(self.finished(id, &finished)),
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
        self.due -= usize::from(sheet.is_due);
        for piece in sheet.held.drain(..) {
            self.shared.status.waited(piece.weight());
        }
        Some(sheet)
    }

    fn trouble(&mut self, error: &Error) {
        let (why, sentence) = (fault_of(error), error.to_string());
        if let Some(unsaid) = self.warnings.says(why, self.shared.now().at) {
            match unsaid {
                0 => tracing::warn!("{sentence}"),
                more => tracing::warn!("{sentence} (and {more} more of that kind since the last word of it)"),
            }
        }
        self.shared.status.set_trouble(Some((why, sentence)));
    }
}

impl Sheet {
    fn place(&self, dir: &Path) -> Place {
        Place::of(dir, self.begin.recording, self.begin.began)
    }

    /// Whether something of it waits, or may be nowhere.
    const fn waits(&self) -> bool {
        self.is_stuck || self.is_unseen
    }

    fn tell_waits(&mut self, recording: Id, why: Fault, shared: &Shared) {
        if !std::mem::replace(&mut self.is_told, true) {
            shared.report(self.shard, Report::Waits { recording, why });
        }
    }

    /// Takes that back, once nothing of it waits.
    fn tell_written(&mut self, recording: Id, shared: &Shared) {
        if !self.waits() && std::mem::take(&mut self.is_told) {
            shared.report(self.shard, Report::Written { recording });
        }
    }

    /// Takes a piece that is to be written. What comes while the disk is slow becomes longer blocks, and fewer of them.
    fn hold(&mut self, piece: Piece, shared: &Shared) {
        let weight = piece.weight();
        let Some(last) = self.held.back_mut() else {
            return self.held.push_back(piece);
        };
        let before = last.weight() + weight;
        match last.join(piece) {
            Some(piece) => self.held.push_back(piece),
            None => shared.status.waited(before - last.weight()),
        }
    }

    /// Does all that is to be done, as far as the disk goes along.
    fn work(
        &mut self,
        shared: &Shared,
        news: &Sender<News>,
        room: &Room,
        desk: &mut Desk,
    ) -> Result<Far, Error> {
        let config = &shared.settings.config;
        let mut is_new = matches!(self.stage, Stage::Begins);
        let opened = match &self.stage {
            Stage::Open(_) => None,
            Stage::Begins => {
                room.check(&config.dir)?;
                Some(Box::new(Pen::begin(&config.dir, &self.begin)?))
            }
            Stage::IsSought if !is_there(&self.place(&config.dir))? => {
                return Ok(Far::Absent);
            }
            Stage::GoesOn | Stage::IsSought => {
                // However long it takes to find its files: what is heard meanwhile is kept.
                let now = self.heard_from;
                let keys = shared.settings.sealing.keys();
                let id = self.begin.recording;
                if let Some(end) = desk.end_if_known(id) {
                    // It was whole once: nothing is added to it, and nothing taken away.
                    let place = self.place(&config.dir);
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
                        is_new = is_empty;
                        self.heard_after = Duration::from_millis(from * 1_000 / u64::from(rate_hz.max(1)));
                        let goes = News::Goes {
                            recording: id,
                            at: now.at,
                            from,
                            audio,
                            rate_hz,
                            paused,
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
            // Whatever is left out later: without it no program reads the rest.
            self.head = match pen.kind() {
                (Audio::Rtpdump, _) if is_new => Some(dump::head(self.begin.began)),
                (Audio::Rtpdump | Audio::Wav, _) => None,
            };
            let head = Box::new(pen.head().clone());
            if matches!(self.stage, Stage::GoesOn) {
                // By the key of a process before, which may be another than today's.
                let (recording, with) = (self.begin.recording, sealed(head.sealed));
                shared.report(self.shard, Report::Sealed { recording, with });
            }
            shared.settings.archive.tell(archive::News::Begun(head));
            self.stage = Stage::Open(pen);
        }
        let Stage::Open(pen) = &mut self.stage else {
            return Ok(Far::Open);
        };
        // What it lacks for its end is small, and makes it whole.
        if self.head.is_some() || !self.held.is_empty() {
            room.check(&config.dir)?;
        }
        // Somebody may have set it since.
        let heard_from = shared.now().wall_of(self.heard_from.at);
        pen.set_clock(heard_from.minus(self.heard_after));
        if let Some(head) = &self.head {
            let from = pen.samples();
            pen.write_packets(&Packets {
                from,
                millis: 0,
                bytes: head,
                marks: &[],
            })?;
            self.head = None;
        }
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
            Some(_) => Ok(Far::Due),
        }
    }
}

/// What records call it.
const fn fault_of(error: &Error) -> Fault {
    match error {
        Error::Full(_) | Error::Short(..) => Fault::DiskFull,
        // The process before, which hasn't left it yet.
        Error::Busy(_) => Fault::Restart,
        Error::Disk(..)
        | Error::Taken(_)
        | Error::Absent(_)
        | Error::Damaged(..)
        | Error::TooLong(_)
        | Error::Newer(..) => Fault::DiskFails,
        Error::NoKey(..) => Fault::NoKey,
    }
}
