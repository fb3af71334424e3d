//! Refused callers who hear why: a sound as early media, and then the status that they would have had at once.
//!
//! The attempt has failed already, and its record says how; only the caller's leg goes on, until the sound is over or the
//! caller gives up. How many do so at once is limited; whoever comes then hears nothing, as do those who made no offer or
//! speak no law that we encode.

use std::sync::Arc;

use super::admit::Came;
use super::bridge::{Faces, Sounds};
use super::cdr::Cdr;
use super::config::Config;
use super::hands::{CallTimer, Hands};
use super::leg::caller::{InviteState, Sdp};
use super::leg::{Bye, Echo};
use super::phase::{Call, End, Leaves, Recorded, Wire};
use super::port::{EventKind, Heading, LegName};
use super::prompts::{Home, PromptName};
use super::refusal;
use super::switch::Switch;
use super::trunk::Trunk;
use super::trunk::codecs::Codecs;
use super::trunk::limits::Pass;
use super::trunk::refusals::Refusals;
use super::warrant::Warrant;
use crate::base::limits::STRANGER_ANSWER;
use crate::base::time::Now;
use crate::masking::reason::Reason;
use crate::masking::route::Attempt;
use crate::rtp::clip::{Clip, Repeats};
use crate::sdp::parse::Session;
use crate::sip::dialog::Dialog;
use crate::sip::method::Method;

/// How far a caller whose attempt has failed is told so.
#[derive(Clone, Copy, Debug, Default)]
pub enum Parting {
    /// It hasn't failed.
    #[default]
    No,
    /// It is told at a fixed offset from arrival, which isn't over yet.
    Waits(End),
    /// It hears why.
    Sounds(End),
}

/// Whether a caller is told more before its status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Says {
    /// It hears a sound; the status comes after it.
    Sound,
    /// The status, and nothing else.
    Status,
}

/// An attempt that was refused when it came.
pub(super) struct Refused {
    /// Its record; `None` if it named no number of ours.
    pub record: Option<Box<Cdr>>,
    /// What the caller offers.
    pub offer: Session,
    /// Its place among the trunk's calls at once.
    pub pass: Option<Pass>,
    /// Why, and what the record says beside it.
    pub end: End,
}

impl Hands {
    /// Whether callers of this trunk hear why they were refused, if it was for this reason.
    pub(super) fn says(&self, config: &Config, trunk: &Trunk, reason: Reason) -> Says {
        let has_room = self.announcing < config.announcements_max;
        match (trunk.refusals, refusal::signal(reason)) {
            (Refusals::Tone | Refusals::Prompt, Some(_)) if has_room => Says::Sound,
            // Where that is the pool's wish, the tone is what the caller is called back by.
            (Refusals::Status, Some(_)) if has_room && reason == Reason::CallbackTone => Says::Sound,
            (Refusals::Tone | Refusals::Prompt | Refusals::Status, _) => Says::Status,
        }
    }
}

impl Switch {
    /// Whether callers of this trunk hear why they were refused, if it was for this reason.
    pub(super) fn says(&self, trunk: &Trunk, reason: Reason) -> Says {
        self.hands.says(&self.config, trunk, reason)
    }

    /// Refuses an attempt with a sound, or just the status if that can't be heard. Whoever is no live party hears the
    /// same, at the same offset from arrival, whatever the reason.
    pub(super) fn refuse_aloud(&mut self, now: Now, came: Came<'_>, attempt: &Attempt, refused: Refused) {
        let Came {
            path,
            server,
            message,
            trunk,
            session,
        } = came;
        let tag = self.hands.token();
        let echo = Echo::of(message, path.remote);
        let dialog = Dialog::uas(message, &tag, trunk.way(path)).ok();
        let (Some(echo), Some(dialog)) = (echo, dialog) else {
            let reason = refused.end.refusal.unwrap_or(Reason::Internal);
            return self.refuse(now, path, server, message, refused.record, reason);
        };
        let (record, leaves) = match refused.record {
            Some(record) => (record, Leaves::Record),
            None => {
                let dialled = self.config.numbers.record(attempt.dialled);
                let record = self.blank(now, trunk, message, dialled, attempt.caller);
                (record, Leaves::Nothing)
            }
        };
        let mut call = self.place(now, record, server, tag, path, echo, dialog, message, trunk);
        call.leaves = leaves;
        call.caller.leg.name_session(session);
        call.passes = [refused.pass, None];
        call.note_message(now.at, LegName::Caller, Heading::In, Method::Invite, None, true);
        call.tell(&mut self.hands, now, EventKind::Arrived);
        // RFC 3261 §8.2.6.1
        call.progress_to_caller(&mut self.hands, now, 100, Sdp::Without);
        self.hands.collect_sends();
        let wire = Wire {
            trunk,
            source: path.remote.ip(),
            transport: path.transport,
        };
        call.refused(&mut self.hands, now, refused.offer, &wire, refused.end);
        self.put_back(call);
    }
}

impl Call {
    /// The attempt was refused when it came, or before anybody was called.
    pub(super) fn refused(
        &mut self,
        hands: &mut Hands,
        now: Now,
        offer: Session,
        caller: &Wire<'_>,
        end: End,
    ) {
        let config = self.config.clone();
        let family = offer.media.iter().find_map(|media| media.address);
        let family = family.unwrap_or(caller.source);
        let faces = Faces {
            caller: config.media.towards(caller.trunk.media, family),
            callee: None,
            codecs: [caller.trunk.codecs.clone(), Codecs::default()],
            security: caller.trunk.srtp.over(caller.transport),
        };
        // Without ports or a codec nothing is heard, and the reason stays what it is.
        let _ = self
            .bridge
            .begin(hands, now.at, Some(offer), faces, &config.media);
        self.bridge.learn_by(LegName::Caller, caller.trunk);
        self.parting = Parting::Waits(end);
        match end.refusal {
            Some(reason) if refusal::is_one_face(reason) => {
                self.clock = Some(hands.wake(self.me, now.at + STRANGER_ANSWER, CallTimer::Parting));
            }
            Some(_) | None => self.part(hands, now),
        }
    }

    /// The attempt has ended so: the caller hears a sound first, if it can and may.
    pub(super) fn announce(&mut self, hands: &mut Hands, now: Now, end: &End) -> Says {
        let signal = end.refusal.and_then(refusal::signal);
        // Who calls for help is told at once, so that whoever sent the call here can try elsewhere.
        let is_masked = !matches!(self.warrant, Some(Warrant::Emergency(_)));
        let is_wanted = match self.caller.invite {
            InviteState::Pending => match self.caller.refusals {
                Refusals::Tone | Refusals::Prompt => true,
                Refusals::Status => end.refusal == Some(Reason::CallbackTone),
            },
            // No status can tell him any more.
            InviteState::Answered => self.has_answered_alone() && self.caller.leg.bye == Bye::No,
            InviteState::Refused => false,
        };
        let is_wanted = is_wanted && is_masked && hands.announcing < self.config.announcements_max;
        let Some(signal) = signal.filter(|_| is_wanted) else {
            return Says::Status;
        };
        let words = self.words.take();
        let words = words.or_else(|| self.sentence_of(end.refusal?));
        let (clip, name) = words.unwrap_or_else(|| {
            let clip = self.config.media.signals.clip(signal).clone();
            (clip, signal.name().into())
        });
        if self.bridge.sound(hands, &clip, Repeats::Once) == Sounds::No {
            return Says::Status;
        }
        hands.announcing += 1;
        self.parting = Parting::Sounds(*end);
        self.record.announcement = Some(name.into());
        self.passes[1] = None;
        self.drop_theirs(hands, now, LegName::Callee);
        self.forget_wanted(hands, LegName::Callee);
        self.end_callee(hands, now);
        // Should the server die meanwhile, the record is as it stands.
        self.journal_end(hands);
        self.clock = Some(hands.wake(self.me, now.at + clip.lasts(), CallTimer::Parting));
        if self.caller.told.sdp == Sdp::Without {
            self.progress_to_caller(hands, now, 183, Sdp::With);
        }
        Says::Sound
    }

    /// The sentence that says why, where that is how the trunk's callers are told. Of what strangers must not be able to tell
    /// apart nobody's own wording is heard: it would say whose number it is.
    fn sentence_of(&self, reason: Reason) -> Option<(Arc<Clip>, Box<str>)> {
        match (self.caller.refusals, reason) {
            (Refusals::Prompt, Reason::CallbackTone) | (Refusals::Status | Refusals::Tone, _) => None,
            (Refusals::Prompt, _) => {
                let name = PromptName::of(reason)?;
                let home = if refusal::is_one_face(reason) {
                    Home::default()
                } else {
                    self.home()
                };
                let clip = self.config.prompts.clip(home, name)?;
                Some((clip, name.name().into()))
            }
        }
    }

    /// Whether nothing that the called side says makes a difference any more.
    pub(super) fn is_over(&self) -> bool {
        let has_failed = match self.parting {
            Parting::No => false,
            Parting::Waits(_) | Parting::Sounds(_) => true,
        };
        self.recorded != Recorded::Open || has_failed
    }

    /// The call ends, whatever for. Of an attempt that had failed before, that stays the reason; the status is another if
    /// the caller has given up meanwhile. `None`: it hadn't.
    pub(super) fn parted(&mut self, hands: &mut Hands, end: &End) -> Option<End> {
        let parting = match std::mem::take(&mut self.parting) {
            Parting::No => return None,
            Parting::Waits(parting) => parting,
            Parting::Sounds(parting) => {
                hands.announcing = hands.announcing.saturating_sub(1);
                parting
            }
        };
        Some(match end.refusal {
            Some(Reason::Cancelled) => End {
                status: end.status,
                ..parting
            },
            Some(_) | None => parting,
        })
    }

    /// The caller of an attempt that has failed is told so, or has heard why.
    pub fn part(&mut self, hands: &mut Hands, now: Now) {
        match self.parting {
            Parting::No => {}
            Parting::Waits(end) => {
                self.parting = Parting::No;
                self.end(hands, now, end);
            }
            Parting::Sounds(end) => self.end(hands, now, end),
        }
    }
}
