//! What is heard of a call beside the two parties, once the called side has answered: a whisper to it before they talk, the
//! sentence that the call is recorded, the tone of the last minute, those of a recording that pauses or goes on.
//!
//! **When who pays.** A whisper comes before the bridge: the caller goes on hearing that it rings, its INVITE is answered
//! when the whisper is over, and the talk begins then, for the record and for whoever bills by it. The sentence comes
//! behind that: only an answered caller is sure to hear it, and its carrier counts from its answer whatever we say. Who is
//! told something doesn't hear the other party meanwhile, and speaks to them all the same. The sentence is part of the
//! recording, which begins with it: so it can be shown that it was said, to whom, and before what.
//!
//! **What outlives the process.** What has still to be said is kept with the call: the sentence until it is over (it is
//! begun anew), the last minute until its tone begins (it is never said twice), the question at the end. A whisper is no talk yet: a call that is
//! left in it ends, as one that rings.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bridge::Sounds;
use super::hands::{CallTimer, Hands};
use super::leg::caller::{InviteState, Sdp};
use super::phase::Call;
use super::port::{EventKind, LegName};
use super::prompts::PromptName;
use super::recording::Control;
use super::trunk::EarlyMedia;
use super::warrant::Warrant;
use crate::base::limits::{CUE_LASTS_MAX, LAST_MINUTE};
use crate::base::time::Now;
use crate::base::timer::TimerId;
use crate::masking::binding::Terms;
use crate::masking::cues::{Early, Hearers};
use crate::masking::question::EndQuestion;
use crate::masking::route::Plan;
use crate::rtp::clip::{Clip, Repeats};
use crate::rtp::signals::Signal;

/// What is heard beside the parties at the moment, and what has still to be said.
#[derive(Debug, Default)]
pub struct Cue {
    step: Step,
    timer: Option<TimerId>,
    /// Of the talk; nothing of nearly every call.
    pub left: Option<Box<Left>>,
}

/// What is heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Step {
    /// Nothing but the parties.
    #[default]
    None,
    /// The called side hears who calls; the caller waits.
    Whisper,
    /// Somebody hears that the call is recorded.
    Sentence,
    /// Somebody hears that a minute is left.
    LastMinute,
    /// Both hear that the recording pauses, or goes on.
    Pause,
}

/// What has still to be said in a talk.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Left {
    /// Who hears that it is recorded.
    pub sentence: Option<Hearers>,
    /// What the called side hears while only the caller is told so.
    pub waiting_callee: Option<Box<str>>,
    /// Who hears that a minute is left.
    pub last_minute: Option<Hearers>,
    /// What whoever stays is asked when the other one has hung up.
    pub question: Option<EndQuestion>,
}

impl Left {
    /// What these terms want said in a talk that may last so long.
    fn of(
        terms: &Terms,
        question: Option<&EndQuestion>,
        longest: Duration,
        sentence: Option<Hearers>,
    ) -> Option<Box<Self>> {
        let cues = terms.cues();
        let left = Self {
            sentence,
            waiting_callee: cues.waiting_callee.clone(),
            last_minute: cues.last_minute.filter(|_| longest > LAST_MINUTE),
            question: question.cloned(),
        };
        left.some()
    }

    /// Nothing, if nothing has to be said.
    fn some(self) -> Option<Box<Self>> {
        let has_some = self.sentence.is_some() || self.last_minute.is_some() || self.question.is_some();
        has_some.then(|| Box::new(self))
    }
}

impl Cue {
    /// Whether somebody has still to hear that the call is recorded, or hears it.
    pub(super) fn owes_sentence(&self) -> bool {
        self.left.as_ref().is_some_and(|left| left.sentence.is_some())
    }
}

/// The legs of those who hear something.
const fn legs_of(hearers: Hearers) -> &'static [LegName] {
    match hearers {
        Hearers::Caller => &[LegName::Caller],
        Hearers::Callee => &[LegName::Callee],
        Hearers::Both => &[LegName::Caller, LegName::Callee],
    }
}

impl Call {
    /// A prompt by its name, as the binding's pool or account has it.
    pub(super) fn prompt(&self, name: &str) -> Option<Arc<Clip>> {
        self.config.prompts.named(self.home(), name)
    }

    /// What the binding says of media before the answer, in place of the called side's trunk.
    pub(super) fn heed_early_media(&mut self) {
        let early = self.warrant.as_ref().and_then(|right| {
            let cues = right.terms()?.cues();
            // Who is to hear a prompt of ours can't hear theirs.
            let wish = cues.waiting_caller.as_ref().map(|_| Early::Keep);
            wish.or(cues.early_media)
        });
        match early {
            Some(Early::Relay) => self.bridge.treat_early(EarlyMedia::Relay),
            Some(Early::Keep) => self.bridge.treat_early(EarlyMedia::Ringback),
            None => {}
        }
    }

    /// The caller hears that it rings: the binding's prompt for that, or the country's tone.
    pub(super) fn sound_ringing(&mut self, hands: &mut Hands) -> Sounds {
        let name = self.warrant.as_ref().and_then(|right| {
            let cues = right.terms()?.cues();
            cues.waiting_caller.clone()
        });
        let prompt = name.and_then(|name| self.prompt(&name));
        let tone = || self.config.media.signals.clip(Signal::Ringback).clone();
        let clip = prompt.unwrap_or_else(tone);
        self.bridge.sound(hands, &clip, Repeats::Forever)
    }

    /// The called side has answered: whether it hears something before the two talk. The caller doesn't notice.
    pub(super) fn whisper(&mut self, hands: &mut Hands, now: Now) -> Sounds {
        let name = self
            .warrant
            .as_ref()
            .and_then(|right| right.terms()?.cues().whisper.clone());
        let Some(clip) = name.and_then(|name| self.prompt(&name)) else {
            return Sounds::No;
        };
        if self.caller.invite != InviteState::Pending && !self.has_answered_alone() {
            return Sounds::No;
        }
        if self.caller.told.sdp == Sdp::With && self.bridge.sounds() == Sounds::No {
            // It has heard the called side so far, and isn't to hear this. Where it can't hear us, it is no secret kept.
            if self.sound_ringing(hands) == Sounds::No {
                return Sounds::No;
            }
        }
        if self.bridge.cue(hands, LegName::Callee, &clip, Repeats::Once) == Sounds::No {
            return Sounds::No;
        }
        self.stop_clock(hands);
        self.wait_for(hands, now, Step::Whisper, &clip);
        if self.record.ringing_at.is_none() {
            self.record.ringing_at = Some(now.wall);
            self.tell(hands, now, EventKind::Ringing);
        }
        if self.caller.told.status <= 100 {
            self.progress_to_caller(hands, now, 180, Sdp::Without);
        }
        Sounds::Yes
    }

    /// Whether the called side has answered and isn't bridged yet, because it is told something.
    pub(super) fn is_whispered_to(&self) -> bool {
        self.cue.step == Step::Whisper
    }

    /// The talk begins: what has to be said in it.
    pub(super) fn cue_talk(&mut self, hands: &mut Hands, now: Now, longest: Duration) {
        let right = self.warrant.as_ref();
        let sentence = self.told_of_recording().filter(|_| self.is_being_recorded());
        let terms = right.and_then(|right| right.terms());
        let question = right.and_then(Warrant::plan).and_then(Plan::question);
        self.cue.left = terms.and_then(|terms| Left::of(terms, question, longest, sentence));
        self.watch_talk(hands, now);
        self.begin_sentence(hands, now);
    }

    /// Says the sentence if the caller can hear it: it was answered before anybody was called, or its ACK has come. Until
    /// then who has to hear it hears nothing: not the other party first. While something else is said, it waits for that.
    pub(super) fn begin_sentence(&mut self, hands: &mut Hands, now: Now) {
        if self.cue.step != Step::None {
            return;
        }
        if self.caller.leg.unacked.is_none() {
            return self.say_sentence(hands, now);
        }
        self.sound_to(hands, self.sentence_hearers(), &Clip::silence(), Repeats::Forever);
    }

    /// The legs of those who have still to hear that the call is recorded.
    fn sentence_hearers(&self) -> &'static [LegName] {
        let hearers = self.cue.left.as_ref().and_then(|left| left.sentence);
        hearers.map_or(&[], legs_of)
    }

    /// The talk's clock: the last minute, if anybody is to hear of it, and the end.
    pub(super) fn watch_talk(&mut self, hands: &mut Hands, now: Now) {
        let Some(talk) = &self.talk else { return };
        let left = talk.longest.saturating_sub(talk.lasts(now.at));
        let ahead = left.checked_sub(LAST_MINUTE).filter(|ahead| !ahead.is_zero());
        let is_wanted = self
            .cue
            .left
            .as_ref()
            .is_some_and(|left| left.last_minute.is_some());
        let (wait, timer) = match ahead.filter(|_| is_wanted) {
            Some(ahead) => (ahead, CallTimer::LastMinute),
            None => (left, CallTimer::MaxDuration),
        };
        self.clock = Some(hands.wake(self.me, now.at + wait, timer));
        if is_wanted && ahead.is_none() {
            // It came while no process had the call.
            self.say_last_minute(hands, now);
        }
    }

    /// A minute is left of the talk.
    pub fn last_minute(&mut self, hands: &mut Hands, now: Now) {
        self.say_last_minute(hands, now);
        self.watch_talk(hands, now);
    }

    fn say_last_minute(&mut self, hands: &mut Hands, now: Now) {
        let hearers = self.cue.left.as_mut().and_then(|left| left.last_minute.take());
        let Some(hearers) = hearers else { return };
        let clip = self.config.media.signals.last_minute().clone();
        self.say(hands, now, Step::LastMinute, hearers, &clip);
    }

    /// Both hear that the recording pauses, or goes on, because one of them wanted that. Nothing else that is said is cut short
    /// by it.
    pub(super) fn sound_pause(&mut self, hands: &mut Hands, now: Now, control: Control) {
        if self.cue.step != Step::None || !self.sentence_hearers().is_empty() || self.talk.is_none() {
            return;
        }
        let signals = &self.config.media.signals;
        let clip = match control {
            Control::Pause => signals.pause(),
            Control::Resume => signals.resume(),
        };
        let clip = clip.clone();
        self.say(hands, now, Step::Pause, Hearers::Both, &clip);
    }

    /// The caller has our answer: who has to be told that the call is recorded, is told so. It may be recorded no more by then.
    pub(super) fn say_sentence(&mut self, hands: &mut Hands, now: Now) {
        let Some(left) = &self.cue.left else { return };
        let (Some(hearers), Step::None) = (left.sentence, self.cue.step) else {
            return;
        };
        let waiting = left.waiting_callee.clone();
        let clip = self.prompt(PromptName::Recorded.name());
        let Some(clip) = clip.filter(|_| self.is_being_recorded()) else {
            self.hush_both(hands);
            return self.sentence_said();
        };
        self.say(hands, now, Step::Sentence, hearers, &clip);
        let waiting = waiting.as_deref().and_then(|name| self.prompt(name));
        if let (Hearers::Caller, Some(waiting)) = (hearers, waiting) {
            // Whether it can hear it makes no difference.
            let _ = self
                .bridge
                .cue(hands, LegName::Callee, &waiting, Repeats::Forever);
        }
    }

    fn sentence_said(&mut self) {
        if let Some(mut left) = self.cue.left.take() {
            left.sentence = None;
            self.cue.left = left.some();
        }
    }

    /// Those hear this in place of what they heard before, on the same beat; who doesn't hears the other party.
    fn say(&mut self, hands: &mut Hands, now: Now, step: Step, hearers: Hearers, clip: &Arc<Clip>) {
        if let Some(timer) = self.cue.timer.take() {
            hands.timers.cancel(timer);
        }
        self.sound_to(hands, legs_of(hearers), clip, Repeats::Once);
        self.wait_for(hands, now, step, clip);
    }

    /// These legs hear this from now on, and the others each other: but who has still to hear that the call is recorded hears
    /// nothing before that.
    fn sound_to(&mut self, hands: &mut Hands, hearers: &[LegName], clip: &Arc<Clip>, repeats: Repeats) {
        let waiting = self.sentence_hearers();
        for leg in [LegName::Caller, LegName::Callee] {
            let sounds = if hearers.contains(&leg) {
                self.bridge.cue(hands, leg, clip, repeats)
            } else if waiting.contains(&leg) {
                self.bridge.cue(hands, leg, &Clip::silence(), Repeats::Forever)
            } else {
                Sounds::No
            };
            // Who holds the call, or speaks no codec of ours, doesn't hear it.
            if sounds == Sounds::No {
                self.bridge.hush(hands, leg);
            }
        }
    }

    fn hush_both(&mut self, hands: &mut Hands) {
        self.bridge.hush(hands, LegName::Caller);
        self.bridge.hush(hands, LegName::Callee);
    }

    fn wait_for(&mut self, hands: &mut Hands, now: Now, step: Step, clip: &Clip) {
        self.cue.step = step;
        let lasts = clip.lasts().min(CUE_LASTS_MAX);
        self.cue.timer = Some(hands.wake(self.me, now.at + lasts, CallTimer::Cue));
    }

    /// Whatever was said is over.
    pub fn cue_over(&mut self, hands: &mut Hands, now: Now) {
        self.cue.timer = None;
        match std::mem::take(&mut self.cue.step) {
            Step::None => {}
            Step::Whisper => {
                self.bridge.hush(hands, LegName::Callee);
                self.bridge_both(hands, now);
            }
            Step::Sentence => {
                self.hush_both(hands);
                self.sentence_said();
            }
            Step::LastMinute | Step::Pause => {
                let left = self.cue.left.as_ref();
                match left.and_then(|left| left.sentence) {
                    // It was cut short by this, or has waited for it.
                    Some(_) => self.begin_sentence(hands, now),
                    None => self.hush_both(hands),
                }
            }
        }
    }

    /// Nothing is said any more.
    pub(super) fn stop_cue(&mut self, hands: &mut Hands) {
        if let Some(timer) = self.cue.timer.take() {
            hands.timers.cancel(timer);
        }
        match std::mem::take(&mut self.cue.step) {
            Step::None => {}
            // The caller hears on that it rings.
            Step::Whisper => self.bridge.hush(hands, LegName::Callee),
            Step::Sentence | Step::LastMinute | Step::Pause => self.hush_both(hands),
        }
    }
}
