//! What the scribe has found, or can't go on with.

use super::opening::{Opening, Told, Turn};
use super::{Ear, Stage, samples};
use crate::base::id::Id;
use crate::base::time::Now;
use crate::records::recorder::jobs::News;
use crate::records::recordings::chain::Audio;
use crate::rtp::recording::{Rate, Stereo};

impl Ear {
    pub(super) fn take_news(&mut self, news: &News, now: Now) {
        let id = news.recording();
        let first = self.open.get(&id).map_or(id, |open| open.first(id));
        let over = self.over(id);
        match *news {
            News::Over(id) => self.forget(id, now),
            News::Absent(id) => self.aside_is_absent(id),
            News::Goes {
                recording,
                at,
                from,
                audio,
                rate_hz,
                paused,
            } => {
                let Some(open) = self.open.get_mut(&recording) else {
                    return;
                };
                let Stage::Opening(opening) = &mut open.stage else {
                    return;
                };
                let opening = std::mem::take(opening);
                // What there was no room for is left out as a whole, up to its end if it is over.
                let until = over.map_or(now.at, |over| over.at.min(now.at));
                let (at, from) = match opening.is_whole() {
                    true => (at, from),
                    false => (until, from.saturating_add(samples(until - at, rate_hz))),
                };
                open.until = from;
                open.stage = match audio {
                    Audio::Wav => {
                        let rate = match rate_hz == Rate::Wide.hz() {
                            true => Rate::Wide,
                            false => Rate::Narrow,
                        };
                        Stage::Audio(Box::new(Stereo::going_on(rate, at, from)))
                    }
                    Audio::Rtpdump => Stage::dump(at, from),
                };
                if paused {
                    open.stage.obey(Turn::Pause(at));
                    if !opening.begins_paused(at) {
                        open.stage.obey(Turn::Resume(at));
                    }
                }
                open.mark_fax();
                self.replay(recording, opening);
            }
        }
        // Before anything else is heard.
        for id in [first, id] {
            if self.open.get(&id).is_some_and(|open| !open.late.is_empty()) {
                self.obey_late(id);
            }
        }
    }

    /// What was heard of it while it was looked for.
    pub(super) fn replay(&mut self, id: Id, opening: Opening) {
        opening.replay(|told| match told {
            Told::Heard(heard) => {
                self.hear_in(id, heard);
            }
            // What lies beside it was told itself.
            Told::Turn(turn) => {
                if let Some(open) = self.open.get_mut(&id) {
                    open.stage.obey(turn);
                }
            }
        });
    }
}
