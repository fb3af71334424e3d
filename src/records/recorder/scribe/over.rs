//! Recordings that are over: they end together, or are dropped, or were taken away.

use super::{Scribe, Stage};
use crate::base::id::Id;
use crate::call::recording::{Report, TooShort};
use crate::records::archive;
use crate::records::recordings::pen::{Dropped, End, Pen};
use crate::records::recordings::{Error, Place};

impl Scribe {
    /// Ends all that are written up to their end.
    pub(in crate::records::recorder) fn settle(&mut self) {
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
                let now = self.shared.now();
                match pen.drop_short(short.shortest, now.wall) {
                    Ok(became) => self.dropped(id, became),
                    Err(error) => tracing::warn!("a recording that is too short can't be removed: {error}"),
                }
                false
            }
        };
        if is_left {
            // The keeper leaves it alone until then.
            self.shared.status.open().insert(id);
            self.left.push(short);
            self.drop_left();
        }
    }

    /// Drops what a process before began. What is busy, or the disk refuses, is tried again.
    pub(super) fn drop_left(&mut self) {
        for short in std::mem::take(&mut self.left) {
            let settings = &self.shared.settings;
            let id = short.recording;
            let place = Place::of(&settings.config.dir, id, short.began);
            match Pen::drop_left(&place, settings.sealing.keys(), short.shortest) {
                Err(Error::Full(_) | Error::Disk(..) | Error::Busy(_)) => {
                    self.left.push(short);
                    continue;
                }
                Ok(became) => self.dropped(id, became),
                Err(error) => tracing::warn!("a recording that is too short can't be removed: {error}"),
            }
            self.shared.status.open().remove(&id);
        }
    }

    fn dropped(&self, id: Id, became: Dropped) {
        match became {
            Dropped::Gone => self.shared.settings.archive.tell(archive::News::Gone(id)),
            Dropped::Stays => tracing::warn!(
                "the recording {id} stays, though its call's record says that it was too short: it is longer"
            ),
        }
    }

    /// What is written has a name, unless somebody has removed it, or the disk is another one.
    pub(super) fn look_for_names(&mut self) {
        let is_gone = |stage: &Stage| match stage {
            Stage::Open(pen) => pen.gone(),
            Stage::Begins | Stage::GoesOn | Stage::IsSought => None,
        };
        let sheets = self.sheets.iter();
        let gone: Vec<(Id, Error)> = sheets
            .filter_map(|(id, sheet)| is_gone(&sheet.stage).map(|error| (*id, error)))
            .collect();
        for (id, error) in gone {
            self.refused(id, &error);
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
                Some(sheet) if sheet.is_stuck => sheet.is_told = true,
                Some(_) | None => self.shared.report(shard, Report::Written { recording }),
            }
        }
    }
}
