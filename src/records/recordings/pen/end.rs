//! How a recording ends: its last line, and the names of its files; or nothing of it is left.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::go_on::{Clear, Opened, clear, open};
use super::{Bytes, Finished, Pen, SAMPLES_MAX, TOGETHER_FROM, Torn, UNKNOWN, write_header};
use crate::base::time::Wall;
use crate::records::folder;
use crate::records::recordings::chain::{self, Sha, open_text};
use crate::records::recordings::lines::{is_at, next_line};
use crate::records::recordings::place::Phase;
use crate::records::recordings::seal::{self, Keys, Mac};
use crate::records::recordings::{Error, Place, disk};

/// A recording that is over.
pub struct End<'p> {
    /// It.
    pub pen: &'p mut Pen,
    /// At this sample.
    pub until: u64,
    /// And at this time.
    pub ended: Wall,
}

/// What became of a recording that is too short to be of use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Dropped {
    /// There is nothing of it.
    Gone,
    /// It is longer than that, or somebody had ended it.
    Whole(Finished),
    /// It is longer than that, and nobody has ended it yet.
    Stays,
}

impl Pen {
    /// The recording is over at this sample, and at this time: writes its last line, and gives both files their names. What
    /// is missing up to there becomes silence, with a mark. After an error it may be called again.
    ///
    /// # Errors
    /// The disk refuses: the recording is as it was then, or whole but for its name.
    pub fn end(&mut self, until: u64, ended: Wall) -> Result<Finished, Error> {
        self.prepare_end(until)?;
        let io = |pen: &Self, error| Error::of(&pen.path(), error);
        if self.finished.is_none() {
            // What the last line covers is on the medium before it says that the recording is whole.
            let audio = disk::sync(&self.audio);
            let outcome = self.unless_refused(audio).and_then(|()| {
                let sha = self.write_end(ended)?;
                let chain = disk::sync(&self.chain);
                self.unless_refused(chain).map(|()| sha)
            });
            self.finish(outcome).map_err(|error| io(self, error))?;
        }
        self.name().map_err(|error| io(self, error))?;
        Ok(self.finished_now())
    }

    /// [`Pen::end`] for many recordings of a folder: what it takes to put them on the medium is done once for all of them.
    /// What came of each, in their order.
    pub fn end_all(dir: &Path, mut ends: Vec<End<'_>>) -> Vec<Result<Finished, Error>> {
        if ends.len() < TOGETHER_FROM {
            return ends
                .iter_mut()
                .map(|end| end.pen.end(end.until, end.ended))
                .collect();
        }
        let sync = || {
            let outcome = File::open(dir).and_then(|dir| disk::sync_system(&dir));
            outcome.map_err(Arc::new)
        };
        let again = |error: &Arc<io::Error>| match error.raw_os_error() {
            Some(number) => io::Error::from_raw_os_error(number),
            None => io::Error::from(error.kind()),
        };
        let mut outcomes: Vec<Result<(), Error>> = ends
            .iter_mut()
            .map(|end| end.pen.prepare_end(end.until))
            .collect();
        let audio = sync();
        let mut lines = Vec::with_capacity(ends.len());
        for (end, outcome) in ends.iter_mut().zip(&mut outcomes) {
            let is_written = outcome.is_ok() && end.pen.finished.is_none();
            lines.push(is_written.then(|| {
                audio.as_ref().map_err(again)?;
                end.pen.write_end(end.ended)
            }));
        }
        let chains = sync();
        if audio.is_err() || chains.is_err() {
            let unsynced = ends.iter_mut().filter(|end| end.pen.finished.is_none());
            unsynced.for_each(|end| end.pen.doubt());
        }
        let mut days: HashMap<PathBuf, Result<(), Arc<io::Error>>> = HashMap::new();
        for ((end, outcome), line) in ends.iter_mut().zip(&mut outcomes).zip(lines) {
            let pen = &mut *end.pen;
            let finished = match line {
                None => Ok(()),
                Some(line) => pen.finish(line.and_then(|sha| chains.as_ref().map(|()| sha).map_err(again))),
            };
            if outcome.is_ok() {
                let named = finished.and_then(|()| pen.rename());
                *outcome = named.map_err(|error| Error::of(&pen.path(), error));
            }
            if outcome.is_ok() {
                days.entry(pen.place.day.clone()).or_insert(Ok(()));
            }
        }
        for (day, synced) in &mut days {
            *synced = folder::sync(day).map_err(Arc::new);
        }
        let finished = |(end, outcome): (End<'_>, Result<(), Error>)| {
            outcome?;
            let synced = days.get(&end.pen.place.day);
            match synced {
                Some(Err(error)) => Err(Error::of(&end.pen.path(), again(error))),
                Some(Ok(())) | None => Ok(end.pen.finished_now()),
            }
        };
        ends.into_iter().zip(outcomes).map(finished).collect()
    }

    /// Notes it if the medium has refused something: what the kernel held of that may be gone by the next time, though that
    /// succeeds.
    fn unless_refused(&mut self, synced: io::Result<()>) -> io::Result<()> {
        if synced.is_err() {
            self.doubt();
        }
        synced
    }

    /// All that comes before the last line.
    fn prepare_end(&mut self, until: u64) -> Result<(), Error> {
        if self.finished.is_some() {
            return Ok(());
        }
        self.reach(until.min(SAMPLES_MAX), 0, &[])?;
        if !self.marks.is_empty() {
            self.append(0, Bytes::Silence, None)?;
        }
        let samples = u32::try_from(self.at.samples).unwrap_or(UNKNOWN);
        self.mend()
            .and_then(|()| write_header(&self.audio, &self.head, samples))
            .map_err(|error| Error::of(&self.path(), error))
    }

    /// Writes the last line.
    fn write_end(&mut self, ended: Wall) -> io::Result<Sha> {
        let front = open_text(&chain::End {
            whole: true,
            blocks: self.at.blocks,
            samples: self.at.samples,
            gaps: self.at.gaps,
            ended,
        });
        let text = match &self.seal {
            None => front,
            Some(of) => {
                let mac = Mac::make(of, self.at.sha, &front)?;
                format!("{front}{}{mac}\"", seal::BEFORE_MAC)
            }
        };
        let (line, sha) = next_line(Some(self.at.sha), &text);
        self.torn = Torn::Perhaps;
        disk::write_at(&self.chain, line.as_bytes(), self.at.chain_bytes)?;
        Ok(sha)
    }

    /// What came of the last line: it is on the medium, or taken away again.
    fn finish(&mut self, line: io::Result<Sha>) -> io::Result<()> {
        match line {
            Ok(sha) => {
                self.torn = Torn::No;
                self.finished = Some(self.finished_with(sha));
                Ok(())
            }
            Err(error) => {
                let _ = self.mend();
                Err(error)
            }
        }
    }

    pub(super) fn finished_with(&self, sha256: Sha) -> Finished {
        Finished {
            blocks: self.at.blocks,
            samples: self.at.samples,
            gaps: self.at.gaps,
            sha256,
            audio: self.place.audio(self.head.audio, self.head.sealed, Phase::Whole),
        }
    }

    fn finished_now(&self) -> Finished {
        let finished = self.finished.clone();
        finished.unwrap_or_else(|| self.finished_with(self.at.sha))
    }

    /// Gives both files their last names, the chain last.
    fn rename(&self) -> io::Result<()> {
        let [parts, wholes] =
            [Phase::Part, Phase::Whole].map(|phase| Self::paths(&self.place, &self.head, phase));
        for (part, whole) in parts.iter().zip(&wholes).rev() {
            match fs::rename(part, whole) {
                // An earlier try came so far.
                Err(error) if error.kind() == io::ErrorKind::NotFound && whole.exists() => {}
                outcome => outcome?,
            }
        }
        Ok(())
    }

    pub(super) fn name(&self) -> io::Result<()> {
        self.rename()?;
        folder::sync(&self.place.day)
    }

    /// Looks whether both files have their names: otherwise nothing that is written is ever found.
    ///
    /// # Errors
    /// [`Error::Absent`]: one of them hasn't. Others: that can't be seen, and what is written may well be found.
    pub fn look_for_names(&self) -> Result<(), Error> {
        if self.finished.is_some() {
            return Ok(());
        }
        let [chain, audio] = Self::paths(&self.place, &self.head, Phase::Part);
        for (file, path) in [(&*self.chain, chain), (&self.audio, audio)] {
            match is_at(file, &path) {
                Ok(true) => {}
                Ok(false) => return Err(Error::Absent(path)),
                Err(error) => return Err(Error::Disk(path, error)),
            }
        }
        Ok(())
    }

    /// Whether its audio was removed, and doesn't only lie somewhere else.
    pub fn is_removed(&self) -> bool {
        self.audio.metadata().is_ok_and(|audio| audio.nlink() == 0)
    }

    /// Nothing of it is kept: its files go.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn discard(self) -> Result<(), Error> {
        clear(&self.place, Clear::All).map(drop)
    }

    /// It is over, and too short to be of use, says its call. If it is longer than `shortest` it ends where it is.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn drop_short(mut self, shortest: Duration, now: Wall) -> Result<Dropped, Error> {
        if self.is_longer(shortest) {
            return self.end(self.at.samples, now).map(Dropped::Whole);
        }
        self.discard().map(|()| Dropped::Gone)
    }

    /// Drops a recording that a process before left, unless it is longer than `shortest`.
    ///
    /// # Errors
    /// As [`Pen::go_on`].
    pub fn drop_left(place: &Place, keys: &Keys, shortest: Duration) -> Result<Dropped, Error> {
        let opened = match open(place, keys, None) {
            // An earlier try came so far.
            Err(Error::Absent(_)) => clear(place, Clear::All)?,
            opened => opened?,
        };
        match opened {
            Opened::Nothing => Ok(Dropped::Gone),
            Opened::Ended(finished) => Ok(Dropped::Whole(finished)),
            Opened::Left(left) if left.pen.is_longer(shortest) => Ok(Dropped::Stays),
            Opened::Left(left) => left.pen.discard().map(|()| Dropped::Gone),
        }
    }

    fn is_longer(&self, than: Duration) -> bool {
        let most = than.as_millis().saturating_mul(self.head.rate.into());
        u128::from(self.at.samples) * 1_000 > most
    }
}
