//! What a caller is asked for before anybody is called: a prompt, his keys, and the same attempt judged once more.
//!
//! The caller's leg lives by itself meanwhile: it is answered (200, our description, its ACK) or hears us as early media
//! (183), as its pool says, and there is no called side. It can hold, move its media, be refreshed and hang up like any
//! other leg. When its keys have named somebody, that party is called like any other; its ringing is our ringback, and if
//! it can't be reached, an answered caller hears why and is hung up on.
//!
//! * A key counts whenever it is heard: before, during or behind a prompt, which it ends. `*` begins anew, `#` ends the
//!   entry, as does the last digit that there can be, or a pause. Of a menu either may be an answer by itself.
//! * An attempt is judged as of its arrival, however long it takes to key (`judge`).
//! * Who guesses is shut out for a while, and hears and sees what everybody does whose entry is wrong ([`lockout`]).

use std::time::Duration;

use arrayvec::ArrayVec;

use super::arrive::Arrival;
use super::bridge::{Faces, Sounds};
use super::cdr::{Collected, Outcome};
use super::draft::Draft;
use super::hands::{CallTimer, Hands};
use super::leg::caller::{InviteState, Sdp};
use super::phase::{Call, End, Recorded, Through, Wire};
use super::port::{CallEntry, EventKind, LegName};
use super::trunk::codecs::Codecs;
use crate::base::limits::{
    COLLECT_FIRST_KEY, COLLECT_KEY_GAP, COLLECT_LONGEST, COLLECT_TRIES, KEYED_DIGITS_MAX, MENU_LONGEST,
};
use crate::base::number::Tel;
use crate::base::time::{Instant, Now};
use crate::masking::collect::{Collect, Collecting, Wants};
use crate::masking::keyed::{KeyRun, Keyed};
use crate::masking::reason::Reason;
use crate::masking::route::Attempt;
use crate::rtp::clip::{Clip, Repeats};
use crate::rtp::dtmf::Key;

mod judge;
pub mod lockout;
mod sounds;

use sounds::Says;

/// A caller who is asked for digits, and what is known of the attempt until somebody is called.
#[derive(Debug)]
pub struct Ivr {
    /// What came, to be judged again with what is keyed.
    attempt: Attempt,
    collect: Collect,
    /// The identities that the INVITE carried, and the hops that it has left.
    identities: ArrayVec<Tel, 4>,
    max_forwards: u8,
    step: Step,
    /// Digits keyed so far, as text.
    keyed: ArrayVec<u8, KEYED_DIGITS_MAX>,
    /// Entries that named nobody.
    tries: u8,
    /// When no further entry is waited for.
    until: Instant,
}

/// How far the dialogue is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// The caller's ACK is awaited: a prompt would begin without a hearer.
    Opens,
    /// A prompt is heard: this.
    Asks(Says),
    /// A key is awaited.
    Listens,
    /// An entry is to be judged.
    Judges(Keyed),
    /// Somebody is called, or nobody will be.
    Done,
}

impl Ivr {
    /// The dialogue of an attempt that `collect` wants keys for.
    pub(super) fn new(now: Instant, attempt: Attempt, collect: Collect, arrival: &Arrival) -> Box<Self> {
        let longest = match collect.wants() {
            Wants::Extension { .. } => COLLECT_LONGEST,
            Wants::Choice(_) => MENU_LONGEST,
        };
        Box::new(Self {
            attempt,
            collect,
            identities: arrival.identities.clone(),
            max_forwards: arrival.max_forwards,
            step: Step::Opens,
            keyed: ArrayVec::new(),
            tries: 0,
            until: now + longest,
        })
    }

    /// What is keyed so far.
    fn digits(&self) -> &str {
        std::str::from_utf8(&self.keyed).unwrap_or_default()
    }

    /// Whether keys are still asked for.
    fn is_collecting(&self) -> bool {
        match self.step {
            Step::Opens | Step::Asks(_) | Step::Listens | Step::Judges(_) => true,
            Step::Done => false,
        }
    }
}

impl Call {
    /// Begins to ask the caller for keys: media ports, the journal, his leg, a prompt.
    pub(super) fn collect(
        &mut self,
        hands: &mut Hands,
        now: Now,
        arrival: Arrival,
        mut ivr: Box<Ivr>,
        caller: &Wire<'_>,
    ) {
        let config = self.config.clone();
        let how = ivr.collect.how();
        // RFC 3261 §13.3.1: it says nothing of an answered one.
        self.holds_until = match how {
            Collecting::Answer => None,
            Collecting::Early => arrival.expires.map(|time| now.at + time),
        };
        self.through = Some(Through {
            x: ivr.collect.number().x,
            shown: None,
            calling: ivr.collect.calling(),
        });
        if let (Collecting::Early, Some(end)) = (how, self.holds_until) {
            ivr.until = ivr.until.min(end);
        }
        self.ivr = Some(ivr);
        let family = arrival.media_address().unwrap_or(caller.source);
        let faces = Faces {
            caller: config.media.towards(caller.trunk.media, family),
            callee: None,
            codecs: [caller.trunk.codecs.clone(), Codecs::default()],
            security: caller.trunk.srtp.over(caller.transport),
        };
        let offer = match how {
            Collecting::Answer => arrival.offer,
            // Early media can't be described to who made no offer (RFC 3261 §13.2.1).
            Collecting::Early if arrival.offer.is_none() => {
                return self.end(hands, now, End::failed(Reason::Media));
            }
            Collecting::Early => arrival.offer,
        };
        let begun = self.bridge.begin(hands, now.at, offer, faces, &config.media);
        if let Err(refused) = begun {
            return self.end(hands, now, refused);
        }
        self.bridge.learn_by(LegName::Caller, caller.trunk);
        self.caller.session = arrival.session;
        self.hear(hands, LegName::Caller);
        if self.bridge.greet(hands, &Clip::silence()) == Sounds::No {
            return self.end(hands, now, End::failed(Reason::Media));
        }
        match how {
            Collecting::Answer => {
                self.answer_caller(hands, now);
                if self.caller.invite == InviteState::Answered {
                    self.record.collected.get_or_insert_default().answered_at = Some(now.wall);
                }
            }
            Collecting::Early => {
                self.progress_to_caller(hands, now, 183, Sdp::With);
                self.begin_asking(hands, now);
            }
        }
        if self.is_over() {
            return;
        }
        // Who it is for is said when he has keyed it.
        self.record.collected.get_or_insert_default();
        hands.journal(|ink| CallEntry::Arrived(Draft::whole(&self.record, ink)));
    }

    /// The caller hears us from now on: his 2xx is ACKed, or he has our description early.
    pub(super) fn begin_asking(&mut self, hands: &mut Hands, now: Now) {
        let Some(ivr) = self.ivr.as_mut().filter(|ivr| ivr.step == Step::Opens) else {
            return;
        };
        if self.recorded != Recorded::Open {
            return;
        }
        if ivr.keyed.is_empty() {
            self.ask(hands, now, Says::Enter);
        } else {
            self.listen(hands, now, COLLECT_KEY_GAP);
        }
    }

    /// Whether the caller is asked for keys just now.
    pub(super) fn is_collecting(&self) -> bool {
        let is_asked = self.ivr.as_ref().is_some_and(|ivr| ivr.is_collecting());
        is_asked && !self.is_over()
    }

    /// Whether the caller's leg was answered before anybody was called.
    pub(super) fn has_answered_alone(&self) -> bool {
        self.ivr.is_some() && self.caller.invite == InviteState::Answered && self.talk.is_none()
    }

    /// The caller has pressed a key.
    pub(super) fn key_heard(&mut self, hands: &mut Hands, now: Now, key: Key) {
        let Some(ivr) = self.ivr.as_mut() else { return };
        let opens = match ivr.step {
            Step::Opens => true,
            Step::Asks(_) | Step::Listens => false,
            Step::Judges(_) | Step::Done => return,
        };
        match key.letter() {
            digit @ b'0'..=b'9' => drop(ivr.keyed.try_push(digit)),
            b'#' => return self.entry_over(hands),
            b'*' if ivr.keyed.is_empty() && ivr.collect.wants().takes_star() => {
                return self.judges(hands, Keyed::Star);
            }
            b'*' => ivr.keyed.clear(),
            // No phone has them.
            _ => return,
        }
        if !ivr.keyed.is_empty() && ivr.collect.wants().is_whole(ivr.digits()) {
            self.entry_over(hands);
        } else if !opens {
            self.hush_prompt(hands);
            self.listen(hands, now, COLLECT_KEY_GAP);
        }
    }

    /// A prompt has been heard to its end, or no key came for a while.
    pub(super) fn collect_due(&mut self, hands: &mut Hands, now: Now) {
        match self.ivr.as_ref().map(|ivr| ivr.step) {
            Some(Step::Asks(said)) if self.is_asked_anew_after(said) => {
                self.ask(hands, now, Says::Enter);
            }
            Some(Step::Asks(_)) => {
                self.hush_prompt(hands);
                self.listen(hands, now, COLLECT_FIRST_KEY);
            }
            Some(Step::Listens) => {
                let keyed = self.ivr.as_ref().is_some_and(|ivr| !ivr.keyed.is_empty());
                if keyed {
                    self.entry_over(hands);
                } else {
                    self.judges(hands, Keyed::Nothing);
                }
            }
            Some(Step::Opens | Step::Judges(_) | Step::Done) | None => {}
        }
    }

    /// What is keyed is all there will be: `#`, the last digit, or a pause.
    fn entry_over(&mut self, hands: &mut Hands) {
        let Some(ivr) = self.ivr.as_mut() else { return };
        let said = match ivr.digits().parse::<KeyRun>() {
            Ok(digits) => Keyed::Digits(digits),
            Err(_) => Keyed::Hash,
        };
        ivr.keyed.clear();
        self.judges(hands, said);
    }

    fn judges(&mut self, hands: &mut Hands, said: Keyed) {
        self.stop_clock(hands);
        if let Some(ivr) = self.ivr.as_mut() {
            ivr.step = Step::Judges(said);
        }
    }

    /// What the caller has said names nobody: he is asked once more, or has tried often enough.
    fn is_wrong(&mut self, hands: &mut Hands, now: Now, said: Keyed, why: Outcome) {
        let Some(ivr) = self.ivr.as_mut() else { return };
        ivr.tries = ivr.tries.saturating_add(1);
        let is_last = ivr.tries >= COLLECT_TRIES || now.at >= ivr.until;
        let tries = ivr.tries;
        let collected = self.record.collected.get_or_insert_default();
        collected.tries = tries;
        collected.result = why;
        self.tell(hands, now, EventKind::Digits(why));
        if is_last {
            return self.give_up_asking(hands, now, why);
        }
        let says = if said.is_answer() {
            Says::Wrong
        } else {
            Says::Nothing
        };
        self.ask(hands, now, says);
    }

    /// Nobody was named: the attempt has failed. Whoever has guessed hears what everybody does.
    fn give_up_asking(&mut self, hands: &mut Hands, now: Now, why: Outcome) {
        self.leave_asking(hands);
        self.words = self.last_words();
        let is_menu = |ivr: &Ivr| matches!(ivr.collect.wants(), Wants::Choice(_));
        let reason = match self.ivr.as_deref().is_some_and(is_menu) {
            true => Reason::NoCallee,
            false => Reason::NoBinding,
        };
        let end = End {
            cause: Some(why.name()),
            ..End::failed(reason)
        };
        self.end(hands, now, end);
    }

    /// Nothing more is asked.
    fn leave_asking(&mut self, hands: &mut Hands) {
        self.hear_no_more(hands, LegName::Caller);
        if let Some(ivr) = self.ivr.as_mut() {
            ivr.step = Step::Done;
        }
    }

    fn ask(&mut self, hands: &mut Hands, now: Now, says: Says) {
        let clip = self.clip_of(says);
        // Who holds hears nothing, and has as long to come back.
        let _ = self.bridge.sound(hands, &clip, Repeats::Once);
        self.step(hands, now, Step::Asks(says), clip.lasts());
    }

    fn listen(&mut self, hands: &mut Hands, now: Now, wait: Duration) {
        self.step(hands, now, Step::Listens, wait);
    }

    fn step(&mut self, hands: &mut Hands, now: Now, step: Step, wait: Duration) {
        self.stop_clock(hands);
        let Some(ivr) = self.ivr.as_mut() else { return };
        ivr.step = step;
        // A key pressed at the last moment counts.
        let due = (now.at + wait).min(ivr.until.max(now.at));
        self.clock = Some(hands.wake(self.me, due, CallTimer::Collect));
    }

    /// What was heard of a prompt is enough: silence follows, lest the caller take us for gone.
    fn hush_prompt(&mut self, hands: &mut Hands) {
        let _ = self.bridge.sound(hands, &Clip::silence(), Repeats::Forever);
    }
}

impl Default for Collected {
    fn default() -> Self {
        Self {
            answered_at: None,
            tries: 0,
            result: Outcome::Open,
            choice: None,
        }
    }
}
