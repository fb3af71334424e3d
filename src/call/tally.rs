//! What the media threads have counted of a call.

use std::time::Duration;

use super::audio::{self, Audio};
use super::hands::Hands;
use super::media::MediaPort;
use super::phase::{Call, Recorded};
use super::port::LegName;
use crate::base::time::Now;
use crate::rtp::flow::Counts;

impl Call {
    /// A flow of this call has told its counts.
    pub fn counted(&mut self, hands: &mut Hands, now: Now, port: MediaPort, counts: Counts) {
        let Some(leg) = self.bridge.leg_of(port) else {
            return;
        };
        let left = match self.recorded {
            Recorded::Awaiting(left) => left,
            // The leg that has left tells its own while the other one is asked how it was.
            Recorded::Open if self.bridge.is_closing() && self.bridge.has_left(leg) => {
                self.bridge.closed();
                return self.keep_counts(leg, counts);
            }
            Recorded::Open | Recorded::Out => return,
        };
        self.keep_counts(leg, counts);
        self.recorded = Recorded::Awaiting(left.saturating_sub(1));
        if left <= 1 {
            self.finish_record(hands, now);
        }
    }

    /// A flow of this call has told its counts so far.
    pub fn counted_so_far(&mut self, port: MediaPort, counts: Counts) {
        if self.recorded == Recorded::Open
            && let Some(leg) = self.bridge.leg_of(port)
        {
            self.keep_counts(leg, counts);
        }
    }

    fn keep_counts(&mut self, leg: LegName, counts: Counts) {
        let media = match leg {
            LegName::Caller => &mut self.record.media.caller,
            LegName::Callee => &mut self.record.media.callee,
        };
        let before = self.counts_before.as_ref().map(|before| &before[leg.index()]);
        media.count(&before.map_or(counts, |before| counts.after(before)));
        if let Some(codec) = self.bridge.codec_name(leg, counts.payload) {
            media.codec = Some(codec);
        }
        self.counts.get_or_insert_default()[leg.index()] = Some(counts);
    }

    /// What has been counted on both legs, in this process and before it, as far as it is known.
    pub(super) fn counts_so_far(&self) -> Option<Box<[Counts; 2]>> {
        let Some(counts) = &self.counts else {
            return self.counts_before.clone();
        };
        let before = self.counts_before.as_deref().copied().unwrap_or_default();
        let [[caller, callee], [near, far]] = [**counts, before.map(Some)];
        let sum = |now: Option<Counts>, then: Option<Counts>| {
            now.unwrap_or_default().after(&then.unwrap_or_default())
        };
        Some(Box::new([sum(caller, near), sum(callee, far)]))
    }

    /// How the conversation's audio is, after `talked`; `None` as long as the counts aren't there.
    pub(super) fn audio(&self, talked: Duration) -> Option<Audio> {
        let [Some(caller), Some(callee)] = **self.counts.as_ref()? else {
            return None;
        };
        let caller = self.bridge.heard(LegName::Caller, caller);
        let callee = self.bridge.heard(LegName::Callee, callee);
        Some(audio::judge(talked, &caller, &callee))
    }
}
