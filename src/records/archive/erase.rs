//! Erasing what somebody asks to be erased, and may.

use std::collections::BTreeSet;

use super::{Archive, Error, OfParty, Searched, call_of, line, may_see};
use crate::base::id::Id;
use crate::base::limits::RECORDINGS_DELETED_AT_ONCE;
use crate::base::time::Wall;
use crate::records::audit::{Act, GOES, GONE, Line, Who};
use crate::records::recordings;
use crate::records::recordings::aside::aside_of;
use crate::records::recordings::index::Entry;
use crate::records::recordings::retention::{Erased, Failed, erase_one, would_be};

use super::shelf::News;

/// Which recordings are to be erased.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Which {
    /// This one, and what lies beside it.
    Recording(Id),
    /// Those of a call.
    Call(Id),
    /// Those of a binding's calls.
    Binding(Id),
    /// Those of calls in which a number took part.
    Party(OfParty),
}

/// What became of recordings that were to be erased.
#[derive(Debug)]
pub struct Erasing {
    /// Of each one.
    pub erased: Vec<(Id, Erased)>,
    /// For which the disk refused.
    pub failed: Failed,
    /// The last one that was looked at, if those behind it have to be asked for again.
    pub next: Option<Id>,
    /// Whether the audit log has what became of them. That they go it had before anything of them did.
    pub is_noted: bool,
    /// What the calls' records couldn't tell, where a number was looked for.
    pub searched: Searched,
}

/// Those that are looked at.
struct Chosen {
    ids: Vec<Id>,
    next: Option<Id>,
    searched: Searched,
}

impl Archive {
    /// Erases those of them that may be, the earliest first, and of many no more than [`RECORDINGS_DELETED_AT_ONCE`]: those
    /// behind `after`. That it was asked, and which of them go, is noted before, and what became of each one after.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Absent`] only where one recording was named. Nothing was erased then.
    pub fn erase(&self, who: Who<'_>, now: Wall, which: Which, after: Option<Id>) -> Result<Erasing, Error> {
        let (one, call) = match &which {
            Which::Recording(id) => (Some(*id), None),
            Which::Call(id) => (None, Some(*id)),
            Which::Binding(_) | Which::Party(_) => (None, None),
        };
        let chosen = self.chosen(who, now, which, after);
        let asked = match &chosen {
            Ok(chosen) => format!("asked of {}", chosen.ids.len()),
            Err(error) => error.word().to_owned(),
        };
        let asked = Line {
            call,
            ..line(who, Act::Erase, one, &asked)
        };
        let Chosen { ids, next, searched } = match chosen {
            Ok(chosen) => chosen,
            Err(error) => {
                self.note(now, &asked)?;
                return Err(error);
            }
        };
        let of = |entry: &Entry, outcome: &'static str| Line {
            call: call_of(entry),
            ..line(who, Act::Erase, Some(entry.recording), outcome)
        };
        let retention = self.retention();
        let entries: Vec<Entry> = ids
            .into_iter()
            .filter_map(|recording| self.entry(who, recording).ok())
            .collect();
        let goes = |entry: &&Entry| matches!(would_be(entry, &retention, now), Ok(Erased::Gone));
        let going: BTreeSet<Id> = entries.iter().filter(goes).map(|entry| entry.recording).collect();
        let goes = entries.iter().filter(|entry| going.contains(&entry.recording));
        let before: Vec<Line<'_>> = [asked]
            .into_iter()
            .chain(goes.map(|entry| of(entry, GOES)))
            .collect();
        self.audit.note_all(now, &before)?;

        let mut erasing = Erasing {
            erased: Vec::with_capacity(entries.len()),
            failed: Failed::new(),
            next,
            is_noted: true,
            searched,
        };
        let mut outcomes = Vec::with_capacity(entries.len());
        for entry in &entries {
            let became = match going.contains(&entry.recording) {
                true => erase_one(entry, &retention, now),
                false => would_be(entry, &retention, now).map(not_yet),
            };
            let outcome = match became {
                Ok(became) => {
                    erasing.erased.push((entry.recording, became));
                    word(became)
                }
                Err(error) => {
                    let outcome = failure(&error);
                    erasing.failed.push((entry.recording, error));
                    outcome
                }
            };
            if outcome == GONE {
                self.tell(News::Gone(entry.recording));
            }
            outcomes.push(of(entry, outcome));
        }
        if let Err(error) = self.audit.note_all(now, &outcomes) {
            tracing::warn!("{error}; it has which recordings were to go, but not that they are gone");
            erasing.is_noted = false;
        }
        Ok(erasing)
    }

    /// Those that are to be erased, as far as they may see them.
    fn chosen(&self, who: Who<'_>, now: Wall, which: Which, after: Option<Id>) -> Result<Chosen, Error> {
        let mut searched = Searched::default();
        let among: Vec<Id> = match which {
            Which::Recording(id) => {
                self.entry(who, id)?;
                // What lies beside it goes with it.
                let aside = aside_of(id);
                match self.entry(who, aside) {
                    Ok(_) => vec![aside, id],
                    Err(Error::Absent(_)) => vec![id],
                    Err(error) => return Err(error),
                }
            }
            Which::Party(party) => {
                let found;
                (found, searched) = self.of_party(&party, now)?;
                found.into_iter().collect()
            }
            Which::Call(id) => {
                let stand = self.complete()?;
                stand.index.of_call(id).map(|entry| entry.recording).collect()
            }
            Which::Binding(id) => {
                let stand = self.complete()?;
                let of = stand.index.of_binding(id);
                of.map(|entry| entry.recording).collect()
            }
        };
        let stand = self.shelf.stand();
        let theirs = |id: &Id| stand.index.get(*id).is_some_and(|entry| may_see(who, entry));
        let behind = among
            .into_iter()
            .filter(|id| after.is_none_or(|after| *id > after));
        let mut ids: Vec<Id> = behind
            .filter(theirs)
            .take(RECORDINGS_DELETED_AT_ONCE + 1)
            .collect();
        let is_cut = ids.len() > RECORDINGS_DELETED_AT_ONCE;
        ids.truncate(RECORDINGS_DELETED_AT_ONCE);
        let next = ids.last().copied().filter(|_| is_cut);
        Ok(Chosen { ids, next, searched })
    }
}

/// One of which it wasn't noted that it goes doesn't: what kept it was over only now.
const fn not_yet(would_be: Erased) -> Erased {
    match would_be {
        Erased::Gone => Erased::Running,
        Erased::NotBefore(_) | Erased::Running => would_be,
    }
}

const fn word(became: Erased) -> &'static str {
    match became {
        Erased::Gone => GONE,
        Erased::NotBefore(_) => "not before",
        Erased::Running => "running",
    }
}

fn failure(error: &recordings::Error) -> &'static str {
    match error {
        recordings::Error::Full(_) | recordings::Error::Short(..) => "disk full",
        recordings::Error::Disk(..)
        | recordings::Error::Taken(_)
        | recordings::Error::Busy(_)
        | recordings::Error::Absent(_)
        | recordings::Error::Damaged(..)
        | recordings::Error::TooLong(_)
        | recordings::Error::NoKey(..)
        | recordings::Error::Newer(..) => "failed",
    }
}
