//! What the media threads have counted of a call.

use std::time::Duration;

use super::audio::{self, Audio};
use super::hands::Hands;
use super::media::{MediaPort, Order};
use super::phase::{Call, Recorded};
use super::port::{LegName, Output};
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
                self.keep_counts(leg, counts);
                return self.talk_counted(hands);
            }
            Recorded::Open | Recorded::Out => return,
        };
        if !self.is_counted(leg) {
            self.keep_counts(leg, counts);
        }
        self.recorded = Recorded::Awaiting(left.saturating_sub(1));
        if left <= 1 {
            self.finish_record(hands, now);
        }
    }

    /// A flow of this call has told its counts so far.
    pub fn counted_so_far(&mut self, hands: &mut Hands, port: MediaPort, counts: Counts) {
        if self.recorded == Recorded::Open
            && let Some(leg) = self.bridge.leg_of(port)
            && !self.is_counted(leg)
        {
            self.keep_counts(leg, counts);
            self.talk_counted(hands);
        }
    }

    /// The other one has left: what this leg has counted until now is what it counted in the talk. What follows is the
    /// question's, and stands in no record.
    pub(super) fn count_talk(&mut self, hands: &mut Hands, stays: LegName) {
        if let Some(counts) = &mut self.counts {
            counts[stays.index()] = None;
        }
        let flows = self.bridge.open_ports();
        let orders = flows.iter().map(|port| Output::Media(Order::Count(*port)));
        hands.out.extend(orders);
    }

    /// Whether what this leg has counted in the talk is known, and the talk over.
    fn is_counted(&self, leg: LegName) -> bool {
        let counts = self.counts.as_ref().map(|counts| counts[leg.index()]);
        self.bridge.has_left(leg.other()) && counts.flatten().is_some()
    }

    /// While somebody is asked, the counts of the talk have come. Should the server die meanwhile, the record has them.
    fn talk_counted(&mut self, hands: &mut Hands) {
        if self.question.is_some()
            && let Some(audio) = self.audio_of_talk()
        {
            self.record.media.audio = audio.fault();
            self.journal_end(hands);
        }
    }

    /// How the audio of a conversation that has ended was.
    pub(super) fn audio_of_talk(&self) -> Option<Audio> {
        let talked = self.record.ended_at.since(self.record.answered_at?);
        // What was heard before this process, nobody knows any more.
        let before = self.talk.map_or(Duration::ZERO, |talk| talk.before);
        self.audio(talked.saturating_sub(before))
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
