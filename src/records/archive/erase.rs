//! Erasing what somebody asks to be erased, and may.

use super::{Archive, Error, OfParty, call_of, line, may_see};
use crate::base::id::Id;
use crate::base::limits::RECORDINGS_DELETED_AT_ONCE;
use crate::base::time::Wall;
use crate::records::audit::{Act, Line, Who};
use crate::records::recordings;
use crate::records::recordings::aside::aside_of;
use crate::records::recordings::retention::{Erased, Failed, erase_one};

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
#[derive(Debug, Default)]
pub struct Erasing {
    /// Of each one.
    pub erased: Vec<(Id, Erased)>,
    /// For which the disk refused.
    pub failed: Failed,
    /// Not all of them were looked at: so many are gone that the rest has to be asked for again.
    pub is_cut: bool,
}

impl Archive {
    /// Erases those of them that may be. That it was asked is noted before, and what became of each one after.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Absent`] only where one recording was named.
    pub fn erase(&self, who: Who<'_>, now: Wall, which: Which) -> Result<Erasing, Error> {
        let (one, call) = match &which {
            Which::Recording(id) => (Some(*id), None),
            Which::Call(id) => (None, Some(*id)),
            Which::Binding(_) | Which::Party(_) => (None, None),
        };
        let chosen = self.chosen(who, which);
        let asked = match &chosen {
            Ok(chosen) => format!("asked of {}", chosen.len()),
            Err(error) => error.word().to_owned(),
        };
        let asked = Line {
            call,
            ..line(who, Act::Erase, one, &asked)
        };
        self.note(now, &asked)?;
        let mut erasing = Erasing::default();
        let retention = self.retention();
        let (mut gone, mut outcomes) = (0, Vec::new());
        for recording in chosen? {
            if gone == RECORDINGS_DELETED_AT_ONCE {
                erasing.is_cut = true;
                break;
            }
            let Ok(entry) = self.entry(who, recording) else {
                continue;
            };
            let outcome = match erase_one(&entry, &retention, now) {
                Ok(became) => {
                    erasing.erased.push((recording, became));
                    word(became)
                }
                Err(error) => {
                    let outcome = failure(&error);
                    erasing.failed.push((recording, error));
                    outcome
                }
            };
            if outcome == GONE {
                self.tell(News::Gone(recording));
                gone += 1;
            }
            outcomes.push(Line {
                call: call_of(&entry),
                ..line(who, Act::Erase, Some(recording), outcome)
            });
        }
        self.audit().note_all(now, &outcomes)?;
        Ok(erasing)
    }

    /// Those that are to be erased, as far as they may see them.
    fn chosen(&self, who: Who<'_>, which: Which) -> Result<Vec<Id>, Error> {
        let ids = match which {
            Which::Recording(id) => {
                self.entry(who, id)?;
                // What lies beside it goes with it, and before it: should that fail, both can be asked for again.
                let aside = aside_of(id);
                return match self.entry(who, aside) {
                    Ok(_) => Ok(vec![aside, id]),
                    Err(Error::Absent(_)) => Ok(vec![id]),
                    Err(error) => Err(error),
                };
            }
            Which::Party(party) => self.of_party(&party)?.into_iter().collect(),
            Which::Call(id) => {
                let stand = self.complete()?;
                stand.index.of_call(id).map(|entry| entry.recording).collect()
            }
            Which::Binding(id) => {
                let stand = self.complete()?;
                let of = stand.index.of_binding(id);
                of.map(|entry| entry.recording).collect::<Vec<_>>()
            }
        };
        let stand = self.shelf.stand();
        let theirs = |id: &Id| stand.index.get(*id).is_some_and(|entry| may_see(who, entry));
        Ok(ids.into_iter().filter(theirs).collect())
    }
}

/// As the audit log calls it that nothing is left of a recording.
const GONE: &str = "gone";

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
