//! One call from its arrival to its record: what both legs share.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::announce::Parting;
use super::arrive::Arrival;
use super::ask::Asking;
use super::audio::Audio;
use super::bridge::{Bridge, Faces};
use super::cdr::{Media, ReleasedBy, SharedCdr};
use super::config::Config;
use super::cue::Cue;
use super::failover;
use super::guard::{Forbidden, Scope};
use super::hands::{CallRef, Hands};
use super::ivr::Ivr;
use super::kept::Mark;
use super::leg::Leg;
use super::leg::callee::Callee;
use super::leg::caller::Caller;
use super::leg::dial::callee_interface;
use super::leg::left::Left;
use super::leg::redirect::Redirection;
use super::leg::ringing::Ringing;
use super::port::{CallEntry, CallView, Event, EventKind, Heading, LegName, Note, Output, Trace, TraceLine};
use super::recording::Course;
use super::refusal;
use super::trunk::Trunk;
use super::warrant::Warrant;
use crate::base::language::Language;
use crate::base::limits::{CALL_DURATION_MAX, TRACE_LINES_MAX};
use crate::base::number::{RealNumber, Shown, Tel, VirtualNumber};
use crate::base::time::{Instant, Now};
use crate::base::timer::TimerId;
use crate::call::trunk::limits::Pass;
use crate::masking::callee::Callee as TemporaryCallee;
use crate::masking::reason::Reason;
use crate::masking::recording::Wish;
use crate::masking::route::Plan;
use crate::masking::seats::Seat;
use crate::rtp::clip::Clip;
use crate::rtp::flow::Counts;
use crate::sip::method::Method;
use crate::sip::path::{Party, Transport};

/// How far the record has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recorded {
    /// The call goes on.
    Open,
    /// It is over; so many flows have still to tell their counts.
    Awaiting(u8),
    /// The record is out.
    Out,
}

/// What becomes of a temporary callee that a call took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CalleeFate {
    /// It is used up.
    Used,
    /// Another call may have it.
    GivenBack,
}

/// What is written down of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leaves {
    /// Its record, events, and what the journal has to know.
    Record,
    /// Nothing: it named no number of ours.
    Nothing,
}

/// Why and by whom a call ends.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// Who.
    pub by: ReleasedBy,
    /// Why it was no conversation, if it was none.
    pub refusal: Option<Reason>,
    /// What ended a conversation other than a BYE (`max_duration`, `media_timeout`, `no_ack`, …).
    pub cause: Option<&'static str>,
    /// The final status for a caller who still waits for one.
    pub status: u16,
    /// The Q.850 cause that the side named by which it ends.
    pub heard: Option<u8>,
}

impl End {
    /// One of the parties hung up.
    pub const fn hung_up(by: ReleasedBy, heard: Option<u8>) -> Self {
        Self {
            by,
            refusal: None,
            cause: None,
            status: 487,
            heard,
        }
    }

    /// The attempt failed for this reason.
    pub fn failed(reason: Reason) -> Self {
        Self {
            by: ReleasedBy::Server,
            refusal: Some(reason),
            cause: None,
            status: refusal::status(reason),
            heard: None,
        }
    }

    /// A number that the call goes through is frozen for a cause that cuts calls.
    pub fn frozen() -> Self {
        Self {
            cause: Some("number_frozen"),
            ..Self::failed(Reason::NumberFrozen)
        }
    }

    /// We cut a conversation, or an attempt that was not answered yet.
    pub const fn cut(cause: &'static str) -> Self {
        Self {
            by: ReleasedBy::Server,
            refusal: Some(Reason::Cut),
            cause: Some(cause),
            status: 480,
            heard: None,
        }
    }
}

/// Whose wire a call came by.
pub struct Wire<'a> {
    /// The trunk.
    pub trunk: &'a Trunk,
    /// Who sent the INVITE.
    pub source: IpAddr,
    /// By what it came.
    pub transport: Transport,
}

/// A conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Talk {
    /// How long it had lasted when this process came to it.
    pub before: Duration,
    /// When it was answered, or this process came to it.
    pub since: Instant,
    /// The longest that it may last.
    pub longest: Duration,
}

impl Talk {
    /// How long it has lasted. By the clock that nobody sets: a wall clock that is put right must not bill anybody.
    pub(super) fn lasts(&self, now: Instant) -> Duration {
        self.before.saturating_add(now - self.since)
    }
}

/// By which numbers of ours a call goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Through {
    /// The one that was dialled.
    pub x: VirtualNumber,
    /// The one that is shown, if it is one of ours.
    pub shown: Option<VirtualNumber>,
    /// Who called it, if he has an identity.
    pub calling: Option<RealNumber>,
}

/// A call.
pub struct Call {
    /// Its place in the switch.
    pub me: CallRef,
    /// The configuration that it started with.
    pub config: Arc<Config>,
    /// When it arrived.
    pub arrived: Now,
    /// Its record, as far as it goes.
    pub record: SharedCdr,
    /// What the pool of its number speaks, or else the account; `None`: what the server does.
    pub speaks: Option<Language>,
    /// How far the record has come.
    pub recorded: Recorded,
    /// Whether there will be one.
    pub leaves: Leaves,
    /// Whether the attempt has failed, and its caller is still being told.
    pub parting: Parting,
    /// What its caller hears in place of a tone when it fails, and under which name records have it.
    pub words: Option<(Arc<Clip>, Box<str>)>,
    /// The other party has hung up, and whoever stays is asked how it was.
    pub question: Option<Box<super::question::Asking>>,
    /// It waits for what the customer's server says.
    pub asking: Option<Box<Asking>>,
    /// Who is called and what they see; `None` for a refused attempt.
    pub warrant: Option<Warrant>,
    /// By which numbers of ours it goes, where there is no right to call any more: another process had it.
    pub through: Option<Through>,
    /// The temporary callee that the call took, until it is sure whether it is used up.
    pub callee_taken: Option<TemporaryCallee>,
    /// Its seat among the calls at once by its number, until it ends.
    pub seat: Option<Seat>,
    /// The same among the calls of the trunk that it came by, and of the one that it leaves by.
    pub passes: [Option<Pass>; 2],
    /// The calling side.
    pub caller: Caller,
    /// The called side, once it was called.
    pub callee: Option<Callee>,
    /// INVITEs whose gateway was left.
    pub left: Vec<Left>,
    /// Where the called side sent the call on to.
    pub redirection: Option<Box<Redirection>>,
    /// The times of the callee's INVITE.
    pub ringing: Ringing,
    /// What is heard beside the two parties.
    pub cue: Cue,
    /// What joins the two.
    pub bridge: Bridge,
    /// What its pool and account want of recordings.
    pub wish: Wish,
    /// Its recording, once there is one.
    pub recording: Option<Box<Course>>,
    /// The conversation, once it is answered.
    pub talk: Option<Talk>,
    /// What must not go to the calling side.
    pub not_to_caller: Forbidden,
    /// What must not go to the called side.
    pub not_to_callee: Forbidden,
    /// What the legs' flows have counted, when they last said.
    pub counts: Option<Box<[Option<Counts>; 2]>>,
    /// What they had counted before this process, as far as that is known.
    pub counts_before: Option<Box<[Counts; 2]>>,
    /// [`Output::Told`] was said.
    pub is_told: bool,
    /// What the journal says of it.
    pub kept: Mark,
    /// Ring time-out or maximum duration, whichever runs.
    pub clock: Option<TimerId>,
    /// Until when the caller's invitation holds, where it says so.
    pub holds_until: Option<Instant>,
    /// The wait for the counts.
    pub counts_timer: Option<TimerId>,
    /// What the caller is, or was, asked for before anybody is called.
    pub ivr: Option<Box<Ivr>>,
    /// The messages.
    pub trace: Trace,
}

impl Call {
    /// Begins to call the other party: media ports, journal, the callee's INVITE.
    pub fn connect(
        &mut self,
        hands: &mut Hands,
        now: Now,
        arrival: Arrival,
        right: Warrant,
        caller: &Wire<'_>,
    ) {
        let config = self.config.clone();
        self.holds_until = arrival.expires.map(|time| now.at + time);
        let exits = match &right {
            Warrant::Masked(plan) => {
                self.forbid(&arrival.identities, plan);
                failover::exits(
                    &config,
                    &hands.reach,
                    &hands.resolved,
                    &mut hands.chance,
                    now.at,
                    plan,
                )
            }
            // Neither side is a secret to the other: the caller dialled the number, and it must see his.
            Warrant::Emergency(help) => Ok(failover::exits_of(
                &config,
                &hands.reach,
                &hands.resolved,
                &mut hands.chance,
                now.at,
                help.trunk(),
            )),
        };
        self.bridge.treat_faxes(right.fax());
        self.warrant = Some(right);
        // An offer says which family the caller's media is of; else its signalling lets it be guessed.
        let family = arrival.media_address().unwrap_or(caller.source);
        let mut tries = exits.iter().flatten();
        let first = tries.find(|exit| exit.target.is_some()).copied();
        let faces = Faces {
            caller: config.media.towards(caller.trunk.media, family),
            callee: first.and_then(|exit| callee_interface(&config, exit)),
            codecs: [Some(caller.trunk), first.map(|exit| &config.trunks[exit.trunk])]
                .map(|trunk| trunk.map_or_else(Default::default, |trunk| trunk.codecs.clone())),
            security: caller.trunk.srtp.over(caller.transport),
        };
        if let Err(refused) = self
            .bridge
            .begin(hands, now.at, arrival.offer, faces, &config.media)
        {
            self.end(hands, now, refused);
            return;
        }
        self.bridge.learn_by(LegName::Caller, caller.trunk);
        self.caller.session = arrival.session;
        self.dial(hands, now, exits, arrival.max_forwards);
    }

    /// What each side must not see of the other, from the start; each leg adds its ids as they come.
    pub(super) fn forbid(&mut self, identities: &[Tel], plan: &Plan) {
        let numbers = &self.config.numbers;
        let consented = matches!(plan.shown(), Shown::Real(..));
        if !consented {
            if let Some(calling) = plan.calling() {
                self.not_to_callee.number(calling, numbers);
            }
            for identity in identities {
                let identity = RealNumber::new(*identity);
                // A caller who claims the callee's own number tells the callee nothing, whoever of those who ring that is.
                let is_callees = identity == plan.called() || plan.others().contains(&identity);
                if !is_callees && !identity.is(plan.number().x.tel()) {
                    self.not_to_callee.number(identity, numbers);
                }
            }
        }
        self.not_to_caller.number(plan.called(), numbers);
        // Nor whoever may be called in his place.
        for other in plan.others() {
            self.not_to_caller.number(*other, numbers);
        }
    }

    /// Reads a message of ours before it goes out on a leg.
    pub fn may_send(&self, leg: LegName, bytes: &[u8], scope: Scope) -> bool {
        let forbidden = match leg {
            LegName::Caller => &self.not_to_caller,
            LegName::Callee => &self.not_to_callee,
        };
        forbidden.check(bytes, scope).is_ok()
    }

    /// Reads a message that holds nothing but one side's own words, and goes out whatever is found: ACK, BYE.
    pub fn watch(&self, hands: &mut Hands, leg: LegName, bytes: &[u8]) {
        if !self.may_send(leg, bytes, Scope::Ours) {
            hands.note(Note::GuardHit);
        }
    }

    /// The egress guard stopped a message: the call ends, and somebody should hear of it.
    pub fn guard_hit(&mut self, hands: &mut Hands, now: Now) {
        hands.note(Note::GuardHit);
        let end = if self.record.answered_at.is_some() {
            End::cut("guard")
        } else {
            End::failed(Reason::Internal)
        };
        self.end(hands, now, end);
    }

    /// The conversation begins.
    pub fn answered(&mut self, hands: &mut Hands, now: Now) {
        self.record.answered_at = Some(now.wall);
        hands.journal(|_| CallEntry::Answered {
            call_id: self.record.call_id,
            at: now.wall,
        });
        self.tell(hands, now, EventKind::Answered);
        self.stop_clock(hands);
        let longest = self
            .warrant
            .as_ref()
            .and_then(|right| right.terms()?.rare().max_duration);
        // Nobody talks for a day: a call whose both sides are gone while it is held ends all the same.
        let longest = longest.unwrap_or(CALL_DURATION_MAX);
        self.talk = Some(Talk {
            before: Duration::ZERO,
            since: now.at,
            longest,
        });
        self.record_from_now(hands, now);
        self.cue_talk(hands, now, longest);
    }

    /// By which numbers of ours the call goes.
    pub(super) fn through(&self) -> Option<Through> {
        let right = self.warrant.as_ref().map(Warrant::through);
        right.or(self.through)
    }

    /// Whether the call goes through this number of ours: it was dialled, or it is shown.
    pub(super) fn goes_through(&self, x: VirtualNumber) -> bool {
        let through = self.through();
        through.is_some_and(|through| through.x == x || through.shown == Some(x))
    }

    /// A leg by its name. The callee's exists once it was called.
    pub fn leg(&mut self, name: LegName) -> Option<&mut Leg> {
        match name {
            LegName::Caller => Some(&mut self.caller.leg),
            LegName::Callee => self.callee.as_mut().map(|callee| &mut callee.leg),
        }
    }

    /// The trunk of a leg.
    pub fn party_of(&self, name: LegName) -> Option<Party> {
        self.record.trunk_of(name).map(Party::named)
    }

    /// Adds a line to the call's ladder.
    pub fn note_message(
        &mut self,
        at: Instant,
        leg: LegName,
        heading: Heading,
        method: Method,
        status: Option<u16>,
        sdp: bool,
    ) {
        if self.trace.len() < TRACE_LINES_MAX {
            self.trace.push(TraceLine {
                at,
                leg,
                heading,
                method,
                status,
                sdp,
            });
        }
    }

    /// Tells the world what happened.
    pub fn tell(&self, hands: &mut Hands, now: Now, what: EventKind) {
        match self.leaves {
            Leaves::Record => {}
            Leaves::Nothing => return,
        }
        hands.out.push_back(Output::Event(Event {
            call_id: self.record.call_id,
            at: now.wall,
            what,
        }));
    }

    /// The call as a listing shows it.
    pub fn view(&self, now: Now) -> CallView {
        let record = &self.record;
        let phase = if self.is_over() {
            "ending"
        } else if self.is_collecting() {
            "collecting"
        } else if self.question.is_some() {
            "question"
        } else if record.answered_at.is_some() {
            "answered"
        } else if record.ringing_at.is_some() {
            "ringing"
        } else if record.dialled_at.is_some() {
            "dialled"
        } else {
            "arrived"
        };
        let masked = |number: &Option<crate::base::number::Digits>| {
            number.map_or(String::new(), |n| {
                crate::base::redact::Masked(n.trim_start_matches('+')).to_string()
            })
        };
        CallView {
            call_id: record.call_id,
            binding_id: record.binding_id,
            x: record.dialled,
            phase,
            caller: masked(&record.caller),
            callee: masked(&record.callee),
            arrived_at: record.arrived_at,
            answered_at: record.answered_at,
            media: Media {
                audio: match (&self.question, self.talk) {
                    (Some(_), _) => self.audio_of_talk(),
                    (None, Some(talk)) => self.audio(now.at - talk.since),
                    (None, None) => None,
                }
                .and_then(Audio::words),
                ..record.media.clone()
            },
        }
    }

    /// Stops the clock of the call's present phase.
    pub(super) fn stop_clock(&mut self, hands: &mut Hands) {
        if let Some(timer) = self.clock.take() {
            hands.timers.cancel(timer);
        }
    }
}
