//! Orders that are obeyed behind the packets that came before them; among them the end, which may have to wait.

use super::opening::Turn;
use super::{Ear, Stage};
use crate::base::id::Id;
use crate::base::time::Now;
use crate::call::recording::{Fault, Faxing, TooShort};
use crate::records::recorder::jobs::Job;

/// An order that is obeyed behind the packets that came before it.
#[derive(Clone, Copy)]
pub(super) enum Late {
    Pause,
    Resume,
    Fax(Faxing),
    End,
    Drop(TooShort),
}

impl Ear {
    /// Takes an order for one that is open. What ends a pause is obeyed at once, before the packets that are to be kept.
    pub(super) fn put(&mut self, id: Id, now: Now, late: Late) {
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        match late {
            Late::Resume if open.late.is_empty() => self.turn(id, Turn::Resume(now.at)),
            Late::Resume | Late::Pause | Late::Fax(_) | Late::End | Late::Drop(_) => {
                open.late.push((now, late));
                self.late.push(id);
            }
        }
    }

    /// All that was heard before them is heard.
    pub(in crate::records::recorder) fn obey_all_late(&mut self) {
        for id in std::mem::take(&mut self.late) {
            self.obey_late(id);
        }
    }

    pub(super) fn obey_late(&mut self, id: Id) {
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        let mut orders = std::mem::take(&mut open.late).into_iter();
        while let Some((now, late)) = orders.next() {
            match late {
                Late::Pause => self.turn(id, Turn::Pause(now.at)),
                Late::Resume => self.turn(id, Turn::Resume(now.at)),
                Late::Fax(fax) => self.fax(id, now.at, fax),
                // Where what was heard belongs isn't known yet.
                Late::End if self.ends_later(id, now) => {
                    if let Some(open) = self.open.get_mut(&id) {
                        open.late = std::iter::once((now, late)).chain(orders).collect();
                    }
                    return;
                }
                Late::End => {
                    for id in self.family(id) {
                        self.end(id, now);
                    }
                    return;
                }
                Late::Drop(short) => {
                    for recording in self.family(id) {
                        self.out.job(Job::Drop(TooShort { recording, ..short }));
                        self.open.remove(&recording);
                    }
                    return;
                }
            }
        }
    }

    fn turn(&mut self, id: Id, turn: Turn) {
        for id in self.family(id) {
            if let Some(open) = self.open.get_mut(&id) {
                open.stage.obey(turn);
            }
        }
    }

    pub(super) fn end(&mut self, id: Id, now: Now) {
        if let Some(open) = self.open.get_mut(&id)
            && open.stage.ends_later()
        {
            return open.late.push((now, Late::End));
        }
        let Some(mut open) = self.open.remove(&id) else {
            return;
        };
        self.out.give_rest(id, &mut open, now.at);
        if !self.out.job(Job::End(id, open.ending(now))) {
            self.out.report_gap(id, &mut open, Fault::Recorder);
        }
    }

    /// Whether a recording that is over then can't end yet, because it isn't known where its packets belong, or those beside it.
    fn ends_later(&mut self, id: Id, now: Now) -> bool {
        let Some(open) = self.open.get_mut(&id) else {
            return false;
        };
        if open.stage.ends_later() {
            return true;
        }
        let aside = open.aside().and_then(|aside| self.open.get(&aside));
        let is_sought = aside.is_some_and(|aside| matches!(aside.stage, Stage::Opening(_)));
        if is_sought && let Some(open) = self.open.get_mut(&id) {
            // Nothing more is laid of it itself.
            self.out.give_rest(id, open, now.at);
        }
        is_sought
    }

    /// When its call was over, if that is so and it has still to end.
    pub(super) fn over(&self, id: Id) -> Option<Now> {
        let open = self.open.get(&id)?;
        let first = self.open.get(&open.first(id));
        let mut late = [Some(open), first]
            .into_iter()
            .flatten()
            .flat_map(|open| &open.late);
        late.find_map(|(now, late)| matches!(late, Late::End).then_some(*now))
    }
}
