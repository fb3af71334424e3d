//! Recordings that are over: they end together, or are dropped, or were taken away.

use super::{Leaving, Scribe, Stage, fault_of};
use crate::base::id::Id;
use crate::call::recording::{Report, TooShort};
use crate::records::archive;
use crate::records::recorder::jobs::Abandoned;
use crate::records::recorder::left::{self, Left};
use crate::records::recordings::pen::{Dropped, End, Pen};
use crate::records::recordings::{Error, Place};

/// How far it has come with what a process before left.
enum Cleared {
    Done,
    /// It is over once that is noted.
    ToNote,
}

impl Scribe {
    /// Writes what came, and ends all that are written up to their end.
    pub(in crate::records::recorder) fn settle(&mut self) {
        for id in std::mem::take(&mut self.fed) {
            if let Some(sheet) = self.sheets.get_mut(&id) {
                sheet.is_fed = false;
                self.work(id);
            }
        }
        if std::mem::take(&mut self.due) > 0 {
            self.end_due();
        }
        self.shared.status.add_done(std::mem::take(&mut self.owed));
    }

    fn end_due(&mut self) {
        let (mut ids, mut ends) = (Vec::new(), Vec::new());
        for (id, sheet) in &mut self.sheets {
            let is_due = std::mem::take(&mut sheet.is_due);
            if let (true, Stage::Open(pen), Some(ending)) = (is_due, &mut sheet.stage, sheet.ending) {
                if let Some(why) = ending.left_out {
                    pen.blame(why);
                }
                let until = ending.until.max(pen.samples());
                ids.push(*id);
                ends.push(End {
                    pen,
                    until,
                    ended: ending.ended,
                });
            }
        }
        let outcomes = Pen::end_all(&self.shared.settings.config.dir, ends);
        for (id, outcome) in ids.into_iter().zip(outcomes) {
            match outcome {
                Ok(finished) => {
                    let sheet = self.finished(id, &finished).filter(|sheet| sheet.is_told);
                    sheet.inspect(|sheet| self.shared.report(sheet.shard, Report::Written { recording: id }));
                }
                Err(error) => self.refused(id, &error),
            }
        }
    }

    /// It is too short, says its call.
    pub(super) fn drop_short(&mut self, short: TooShort) {
        let id = short.recording;
        let is_left = match self.close(id).map(|sheet| sheet.stage) {
            None | Some(Stage::GoesOn | Stage::IsSought) => true,
            Some(Stage::Begins) => false,
            Some(Stage::Open(pen)) => {
                let (call, now) = (pen.head().call, self.shared.now());
                let became = pen.drop_short(short.shortest, now.wall);
                if let Ok(Dropped::Whole(finished)) = &became {
                    self.whole(id, call, finished);
                }
                match &became {
                    Ok(became) => self.dropped(id, became),
                    // It is tried again.
                    Err(error) => self.trouble(error),
                }
                became.is_err()
            }
        };
        if is_left {
            self.clear(id, Leaving::Drops(short));
        }
    }

    /// A process before began it, and nobody goes on with it.
    pub(super) fn leave_off(&mut self, abandoned: Abandoned) {
        let id = abandoned.recording;
        if !self.sheets.contains_key(&id) {
            self.clear(id, Leaving::Ends(abandoned));
        }
    }

    fn clear(&mut self, id: Id, leaving: Leaving) {
        // The keeper leaves it alone until then.
        self.shared.status.open().insert(id);
        self.left.push(leaving);
        self.clear_left();
    }

    /// Ends or drops what a process before began. What is busy, or the disk refuses, is tried again.
    pub(super) fn clear_left(&mut self) {
        for leaving in std::mem::take(&mut self.left) {
            let outcome = match &leaving {
                Leaving::Drops(short) => self.try_drop(short),
                Leaving::Ends(abandoned) => self.try_end(abandoned),
            };
            if let Err(Error::Full(_) | Error::Short(..) | Error::Disk(..) | Error::Busy(_)) = outcome {
                self.left.push(leaving);
                continue;
            }
            let (id, what) = match &leaving {
                Leaving::Drops(short) => (short.recording, "a recording that is too short can't be removed"),
                Leaving::Ends(abandoned) => (
                    abandoned.recording,
                    "a recording that a server before left can't be ended",
                ),
            };
            match outcome {
                // The audit log is to have its end before.
                Ok(Cleared::ToNote) => continue,
                Ok(Cleared::Done) => {}
                Err(error) => tracing::warn!("{what}: {error}"),
            }
            self.shared.status.open().remove(&id);
        }
    }

    fn try_drop(&self, short: &TooShort) -> Result<Cleared, Error> {
        let settings = &self.shared.settings;
        let place = Place::of(&settings.config.dir, short.recording, short.began);
        let became = Pen::drop_left(&place, settings.sealing.keys(), short.shortest)?;
        self.dropped(short.recording, &became);
        Ok(Cleared::Done)
    }

    fn try_end(&mut self, abandoned: &Abandoned) -> Result<Cleared, Error> {
        let id = abandoned.recording;
        let settings = &self.shared.settings;
        let place = Place::of(&settings.config.dir, id, abandoned.began);
        // Where nothing is of it nothing ends. The keeper ends what the audit log has no room for now.
        if !place.has_files() || !self.desk.notes.has_room(left::NOTES_EACH) {
            return Ok(Cleared::Done);
        }
        let (notes, call) = (self.desk.notes.clone(), Some(abandoned.call));
        let known = self.desk.end_of(id)?;
        let (news, cleared) = match left::end_known(settings, &notes, &place, call, known)? {
            Left::Whole => (Some(archive::News::Finished(id)), Cleared::ToNote),
            Left::Noted => (Some(archive::News::Finished(id)), Cleared::Done),
            Left::Nothing => (Some(archive::News::Gone(id)), Cleared::ToNote),
            // What is to be seen of it the next look finds.
            Left::Damaged => (None, Cleared::ToNote),
        };
        news.into_iter().for_each(|news| settings.archive.tell(news));
        Ok(cleared)
    }

    fn dropped(&self, id: Id, became: &Dropped) {
        let archive = &self.shared.settings.archive;
        match became {
            Dropped::Gone => return archive.tell(archive::News::Gone(id)),
            Dropped::Whole(_) => archive.tell(archive::News::Finished(id)),
            Dropped::Stays => {}
        }
        tracing::warn!(
            "the recording {id} stays, though its call's record says that it was too short: it is longer"
        );
    }

    /// What is written has a name, unless somebody has removed it, or the disk is another one.
    pub(super) fn look_for_names(&mut self) {
        let mut missing = Vec::new();
        for (id, sheet) in &mut self.sheets {
            let Stage::Open(pen) = &sheet.stage else {
                continue;
            };
            let seen = pen.look_for_names();
            sheet.is_unseen = matches!(seen, Err(ref error) if !matches!(error, Error::Absent(_)));
            match seen {
                Ok(()) => sheet.tell_written(*id, &self.shared),
                Err(error) => {
                    // Its open files take what is written.
                    if sheet.is_unseen {
                        sheet.tell_waits(*id, fault_of(&error), &self.shared);
                    }
                    missing.push((*id, error, sheet.is_unseen));
                }
            }
        }
        for (id, error, is_unseen) in missing {
            match is_unseen {
                true => self.trouble(&error),
                false => self.refused(id, &error),
            }
        }
    }

    /// Those that waited only because the disk didn't answer are written, once it does.
    pub(super) fn tell_written(&mut self) {
        if self.shared.status.is_stalled() {
            return;
        }
        let slow = std::mem::take(&mut *self.shared.status.slow());
        for (recording, shard) in slow {
            match self.sheets.get_mut(&recording) {
                // It is told once that one is written.
                Some(sheet) if sheet.waits() => sheet.is_told = true,
                Some(_) | None => self.shared.report(shard, Report::Written { recording }),
            }
        }
    }
}
