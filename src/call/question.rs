//! The question at the end of a call: whoever stays on the line when the other one has hung up hears it, keys an answer, is
//! thanked, and is hung up on.
//!
//! **When it is over.** The talk ended when the other one hung up: the record says so from that moment, and nothing that
//! follows changes its times, its cause or its bill. The record's `question` alone says what came of it.
//!
//! **Who is there.** The leg that left is at its end, and its media are closed before the first word: nothing goes there, and
//! nothing comes from there. The other one lives by itself; it can hold, move its media, be refreshed and hang up.
//!
//! **What outlives the process.** Nothing: the record is in the journal, and the next process hangs up.

use std::sync::Arc;
use std::time::Duration;

use super::bridge::Sounds;
use super::cdr::{Answer, Questioned, ReleasedBy, Side};
use super::hands::{CallTimer, Hands};
use super::kept;
use super::leg::Bye;
use super::overload::Door;
use super::phase::{Call, End, Recorded};
use super::port::LegName;
use super::prompts::PromptName;
use crate::base::limits::{CUE_LASTS_MAX, QUESTION_LONGEST, QUESTION_WAIT};
use crate::base::time::{Instant, Now};
use crate::masking::cues::Hearers;
use crate::masking::question::EndQuestion;
use crate::rtp::clip::{Clip, Repeats};
use crate::rtp::dtmf::Key;

/// A party that is asked how it was.
#[derive(Debug)]
pub struct Asking {
    /// Whose leg is left.
    stays: LegName,
    question: EndQuestion,
    clip: Arc<Clip>,
    /// How the talk ended.
    end: End,
    step: Step,
    /// What it comes to if no key is right.
    otherwise: Answer,
    /// How many keys were none of the question's: each is a try.
    wrong: u8,
    /// When it is over at the latest.
    until: Instant,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// The question is heard.
    Asks,
    /// A key is awaited.
    Listens,
    /// The party hears that its key was no answer.
    Wrong,
    /// It has answered, and is thanked.
    Thanks,
}

/// Whether the call goes on with one party.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stays {
    Yes,
    No,
}

impl Call {
    /// One of the two has hung up on an answered call: it ends, or the other one is asked first.
    pub(super) fn hung_up_by(
        &mut self,
        hands: &mut Hands,
        now: Now,
        left: LegName,
        heard: Option<u8>,
        door: Door,
    ) {
        if self.bridge.has_left(left) {
            // It said so before.
            return;
        }
        let by = match left {
            LegName::Caller => ReleasedBy::Caller,
            LegName::Callee => ReleasedBy::Callee,
        };
        let end = End::hung_up(by, heard);
        if self.ask_who_stays(hands, now, left, end, door) == Stays::No {
            self.end(hands, now, end);
        }
    }

    fn ask_who_stays(&mut self, hands: &mut Hands, now: Now, left: LegName, end: End, door: Door) -> Stays {
        let stays = left.other();
        let is_open = self.recorded == Recorded::Open && self.talk.is_some() && self.question.is_none();
        let is_there = self
            .leg_of(stays)
            .is_some_and(|leg| leg.bye == Bye::No && leg.unacked.is_none());
        // What is still under way between the two would be settled with nobody.
        if !is_open || !is_there || door != Door::Open || !kept::is_calm(self) {
            return Stays::No;
        }
        // One limit for all who hear us without a call of theirs.
        if hands.announcing >= self.config.announcements_max {
            return Stays::No;
        }
        let question = self.cue.left.as_ref().and_then(|left| left.question.as_ref());
        let Some(question) = question.filter(|question| is_for(question.to, stays)).cloned() else {
            return Stays::No;
        };
        let clip = self.prompt(&question.prompt);
        // Who holds, or sends nothing, couldn't answer.
        let is_able = self.bridge.talks(stays) && self.bridge.hears_us(stays) == Sounds::Yes;
        let Some(clip) = clip.filter(|_| is_able) else {
            return Stays::No;
        };
        self.stop_clock(hands);
        self.stop_cue(hands);
        // The question is no part of the talk.
        self.stop_recording(hands, now);
        self.cue.left = None;
        self.stop_session(hands, left);
        self.close_record(now, &end);
        if let Some(pass) = self.passes.get_mut(left.index()) {
            *pass = None;
        }
        // The talk is over: somebody else may have its place.
        self.seat = None;
        self.bridge.part_with(hands, left);
        self.count_talk(hands, stays);
        self.hear(hands, stays);
        self.record.question = Some(Box::new(Questioned {
            of: match stays {
                LegName::Caller => Side::Caller,
                LegName::Callee => Side::Callee,
            },
            asked: 0,
            key: None,
            result: Answer::Open,
        }));
        hands.announcing += 1;
        self.question = Some(Box::new(Asking {
            stays,
            question,
            clip,
            end,
            step: Step::Asks,
            otherwise: Answer::None,
            wrong: 0,
            until: now.at + QUESTION_LONGEST,
        }));
        self.ask_question(hands, now);
        // Should the server die meanwhile, the record is as it stands.
        self.journal_end(hands);
        Stays::Yes
    }

    /// The question is heard, for the first time or again.
    fn ask_question(&mut self, hands: &mut Hands, now: Now) {
        let Some(clip) = self.question.as_ref().map(|asking| asking.clip.clone()) else {
            return;
        };
        if let Some(question) = &mut self.record.question {
            question.asked = question.asked.saturating_add(1);
        }
        self.say_to_who_stays(hands, now, Step::Asks, &clip);
    }

    fn say_to_who_stays(&mut self, hands: &mut Hands, now: Now, step: Step, clip: &Arc<Clip>) {
        let Some(asking) = self.question.as_mut() else {
            return;
        };
        asking.step = step;
        // Who holds hears nothing, and has as long to come back.
        let _ = self.bridge.cue(hands, asking.stays, clip, Repeats::Once);
        let lasts = clip.lasts().min(CUE_LASTS_MAX);
        self.wake_question(hands, now, lasts);
    }

    /// The present step is over by then; and the question, however many steps it had, by its own time.
    fn wake_question(&mut self, hands: &mut Hands, now: Now, lasts: Duration) {
        let Some(asking) = &self.question else { return };
        let at = (now.at + lasts).min(asking.until);
        self.stop_clock(hands);
        self.clock = Some(hands.wake(self.me, at, CallTimer::Question));
    }

    /// What was said has been heard, or no key came for a while.
    pub(super) fn question_due(&mut self, hands: &mut Hands, now: Now) {
        let is_late = |asking: &Asking| asking.until <= now.at;
        match self.question.as_ref().map(|asking| asking.step) {
            Some(_) if self.question.as_deref().is_some_and(is_late) => self.end_question(hands, now),
            Some(Step::Asks) => self.await_answer(hands, now),
            Some(Step::Wrong) => self.ask_question(hands, now),
            Some(Step::Listens) => self.ask_again(hands, now),
            Some(Step::Thanks) => self.end_question(hands, now),
            None => {}
        }
    }

    fn await_answer(&mut self, hands: &mut Hands, now: Now) {
        let Some(asking) = self.question.as_mut() else {
            return;
        };
        asking.step = Step::Listens;
        // Lest it take us for gone.
        let _ = self
            .bridge
            .cue(hands, asking.stays, &Clip::silence(), Repeats::Forever);
        self.wake_question(hands, now, QUESTION_WAIT);
    }

    /// Nobody has answered: once more, unless it was asked often enough.
    fn ask_again(&mut self, hands: &mut Hands, now: Now) {
        if self.was_asked_enough() {
            self.end_question(hands, now);
        } else {
            self.ask_question(hands, now);
        }
    }

    fn was_asked_enough(&self) -> bool {
        let asked = self.record.question.as_ref().map_or(0, |question| question.asked);
        self.question
            .as_ref()
            .is_none_or(|asking| asked.max(asking.wrong) >= asking.question.loops)
    }

    /// Whose keys answer the question, if it waits for one.
    pub(super) fn answers_question(&self) -> Option<LegName> {
        let asking = self.question.as_ref()?;
        match asking.step {
            Step::Asks | Step::Listens | Step::Wrong => Some(asking.stays),
            Step::Thanks => None,
        }
    }

    /// Whoever is asked has pressed a key.
    pub(super) fn question_keyed(&mut self, hands: &mut Hands, now: Now, key: Key) {
        let Some(asking) = self.question.as_mut() else {
            return;
        };
        let letter = key.letter();
        if !asking.question.keys.has(letter) {
            asking.otherwise = Answer::Wrong;
            asking.wrong = asking.wrong.saturating_add(1);
            let wrong = self.prompt(PromptName::WrongChoice.name());
            return match wrong {
                _ if self.was_asked_enough() => self.end_question(hands, now),
                Some(clip) => self.say_to_who_stays(hands, now, Step::Wrong, &clip),
                None => self.ask_question(hands, now),
            };
        }
        let stays = asking.stays;
        if let Some(question) = &mut self.record.question {
            question.key = Some(char::from(letter));
            question.result = Answer::Answered;
        }
        self.hear_no_more(hands, stays);
        match self.prompt(PromptName::Thanks.name()) {
            Some(clip) => {
                self.say_to_who_stays(hands, now, Step::Thanks, &clip);
                // Should the server die while it thanks, the answer stands.
                self.journal_end(hands);
            }
            None => self.end_question(hands, now),
        }
    }

    /// It has answered, or was asked often enough.
    fn end_question(&mut self, hands: &mut Hands, now: Now) {
        let Some(asking) = &self.question else { return };
        let (end, otherwise) = (asking.end, asking.otherwise);
        self.note_answer(otherwise);
        self.end(hands, now, end);
    }

    /// The call ends, whatever for: what came of the question. The end that it is by is that of the talk, if it was asked.
    pub(super) fn question_over(&mut self, hands: &mut Hands, end: &End) -> Option<End> {
        let asking = self.question.take()?;
        hands.announcing = hands.announcing.saturating_sub(1);
        self.note_answer(match (end.refusal, end.cause) {
            (None, None) => Answer::HungUp,
            (Some(_), _) | (_, Some(_)) => Answer::Cut,
        });
        Some(asking.end)
    }

    fn note_answer(&mut self, result: Answer) {
        if let Some(question) = &mut self.record.question
            && question.result == Answer::Open
        {
            question.result = result;
        }
    }
}

/// Whether whoever is on this leg is asked.
const fn is_for(to: Hearers, leg: LegName) -> bool {
    match (to, leg) {
        (Hearers::Both, LegName::Caller | LegName::Callee)
        | (Hearers::Caller, LegName::Caller)
        | (Hearers::Callee, LegName::Callee) => true,
        (Hearers::Caller, LegName::Callee) | (Hearers::Callee, LegName::Caller) => false,
    }
}
