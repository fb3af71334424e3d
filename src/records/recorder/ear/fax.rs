//! A recorded call that turns to a fax (T.38): nothing of that is heard. Marks say from when to when.

use super::{Ear, Open, Stage};
use crate::base::id::Id;
use crate::base::time::Instant;
use crate::call::recording::Faxing;
use crate::records::recordings::chain::{Channel, Faxed, Loss, Mark, What};

impl Ear {
    pub(super) fn fax(&mut self, id: Id, at: Instant, fax: Faxing) {
        if let Some(open) = self.open.get_mut(&id) {
            match fax {
                Faxing::Begins => {
                    open.faxed_since = Some(at);
                    open.mark_fax();
                }
                Faxing::Ends => open.fax_is_over(at),
            }
        }
    }
}

impl Open {
    /// It begins, or goes on in this process: nobody knows how long it will be.
    pub(super) fn mark_fax(&mut self) {
        if let Some(at) = self.faxed_since.and_then(|since| self.sample(since)) {
            self.mark_faxed(at, 0, Faxed::Begins);
        }
    }

    pub(super) fn fax_is_over(&mut self, at: Instant) {
        let since = self.faxed_since.take().and_then(|since| self.sample(since));
        if let (Some(since), Some(until)) = (since, self.sample(at)) {
            self.mark_faxed(since, until.saturating_sub(since), Faxed::Lasted);
        }
    }

    fn mark_faxed(&mut self, at: u64, samples: u64, faxed: Faxed) {
        let marks = [Channel::Caller, Channel::Callee].map(|channel| {
            let why = Loss::Fax(faxed);
            let what = What::Lost {
                channel,
                samples,
                why,
            };
            Mark { at, what }
        });
        self.marks.extend(marks);
    }

    /// The sample that is heard at that moment, if that is known yet.
    fn sample(&self, at: Instant) -> Option<u64> {
        match &self.stage {
            Stage::Audio(stereo) => Some(stereo.sample(at)),
            Stage::Dump(_, span) => Some(span.ms(at)),
            Stage::Opening(_) => None,
        }
    }
}
