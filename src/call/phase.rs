//! One call from its arrival to its record: what both legs share, and how it ends.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::announce::{Parting, Says};
use super::arrive::Arrival;
use super::audio::{self, Audio};
use super::bridge::{Bridge, Faces};
use super::cdr::{Media, ReleasedBy, SharedCdr};
use super::config::Config;
use super::exchange::Exchange;
use super::failover;
use super::guard::{Forbidden, Scope};
use super::hands::{CallRef, CallTimer, Hands};
use super::kept::Mark;
use super::leg::callee::{Callee, CalleeState};
use super::leg::caller::{Caller, InviteState};
use super::leg::dial::callee_interface;
use super::leg::left::Left;
use super::leg::redirect::Redirection;
use super::leg::ringing::Ringing;
use super::leg::{Bye, Leg};
use super::media::{MediaPort, Order};
use super::port::{CallEntry, CallView, Event, EventKind, Heading, LegName, Note, Output, Trace, TraceLine};
use super::refusal;
use super::trunk::Trunk;
use super::warrant::Warrant;
use crate::base::limits::{CALL_DURATION_MAX, MEDIA_COUNTS_WAIT, TRACE_LINES_MAX};
use crate::base::number::{RealNumber, Shown, VirtualNumber};
use crate::base::time::{Instant, Now};
use crate::base::timer::TimerId;
use crate::call::trunk::limits::Pass;
use crate::masking::callee::Callee as TemporaryCallee;
use crate::masking::reason::Reason;
use crate::masking::route::Plan;
use crate::masking::seats::Seat;
use crate::rtp::flow::Counts;
use crate::sip::method::Method;
use crate::sip::path::{Party, Transport};
use crate::sip::reason;

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
    /// How far the record has come.
    pub recorded: Recorded,
    /// Whether there will be one.
    pub leaves: Leaves,
    /// Whether the attempt has failed, and its caller is still being told.
    pub parting: Parting,
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
    /// What joins the two.
    pub bridge: Bridge,
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
                self.forbid(&arrival, plan);
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
    fn forbid(&mut self, arrival: &Arrival, plan: &Plan) {
        let numbers = &self.config.numbers;
        let consented = matches!(plan.shown(), Shown::Real(..));
        if !consented {
            if let Some(calling) = plan.calling() {
                self.not_to_callee.number(calling, numbers);
            }
            for identity in &arrival.identities {
                let identity = crate::base::number::RealNumber::new(*identity);
                // A caller who claims the callee's own number tells the callee nothing.
                if identity != plan.called() && !identity.is(plan.number().x.tel()) {
                    self.not_to_callee.number(identity, numbers);
                }
            }
        }
        self.not_to_caller.number(plan.called(), numbers);
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
        self.clock = Some(hands.wake(self.me, now.at + longest, CallTimer::MaxDuration));
    }

    /// Ends the call: both legs are brought to their end, each in its own way; media stops; the record is
    /// closed. A call that has ended doesn't end again.
    pub fn end(&mut self, hands: &mut Hands, now: Now, end: End) {
        if self.recorded != Recorded::Open {
            return;
        }
        self.stop_clock(hands);
        let parted = self.parted(hands, &end);
        let end = parted.unwrap_or(end);
        let record = &mut self.record;
        record.ended_at = now.wall;
        record.released_by = end.by;
        record.end_cause = end.cause.map(str::to_owned);
        if let Some(answered_at) = record.answered_at {
            let talked = self.talk.map_or(Duration::ZERO, |talk| talk.lasts(now.at));
            record.billable_s = talked.as_secs();
            record.ended_at = answered_at.plus(talked);
            record.sip_status = 200;
            let ours = if end.cause.is_some() { 31 } else { 16 };
            record.q850_cause = end.heard.unwrap_or(ours);
        } else {
            let reason = end.refusal.unwrap_or(Reason::Cancelled);
            record.refusal = Some(reason);
            record.sip_status = end.status;
            record.q850_cause = end.heard.unwrap_or(refusal::q850(reason));
        }
        if parted.is_none() && self.announce(hands, now, &end) == Says::Sound {
            return;
        }
        self.stop_sessions(hands);
        // Before what a PRACK asked is refused: no held answer goes out any more.
        self.stop_repeating(hands);
        for name in [LegName::Caller, LegName::Callee] {
            self.drop_theirs(hands, now, name);
            self.forget_wanted(hands, name);
        }
        self.end_caller(hands, now, end.status);
        self.end_callee(hands, now);
        let flows = self.bridge.open_ports();
        hands
            .out
            .extend(flows.iter().map(|port| Output::Media(Order::Close(*port))));
        self.recorded = Recorded::Awaiting(flows.len() as u8);
        if flows.is_empty() {
            self.finish_record(hands, now);
        } else {
            // Should the server die while the counts are awaited, the rest of the record is as it was.
            self.journal_end(hands);
            self.counts_timer = Some(hands.wake(self.me, now.at + MEDIA_COUNTS_WAIT, CallTimer::Counts));
        }
    }

    /// The Q.850 cause that is told to a side of a call that has ended: by our own table, whatever the other side
    /// named.
    pub fn cause_told(&self) -> u8 {
        match self.record.refusal {
            Some(reason) => refusal::q850(reason),
            None => refusal::told_in_talk(self.record.q850_cause),
        }
    }

    /// A flow of this call has told its counts.
    pub fn counted(&mut self, hands: &mut Hands, now: Now, port: MediaPort, counts: Counts) {
        let Recorded::Awaiting(left) = self.recorded else {
            return;
        };
        let Some(leg) = self.bridge.leg_of(port) else {
            return;
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

    /// How the conversation's audio is, after `talked`; `None` as long as the counts aren't there.
    fn audio(&self, talked: Duration) -> Option<Audio> {
        let [Some(caller), Some(callee)] = **self.counts.as_ref()? else {
            return None;
        };
        let caller = self.bridge.heard(LegName::Caller, caller);
        let callee = self.bridge.heard(LegName::Callee, callee);
        Some(audio::judge(talked, &caller, &callee))
    }

    /// What becomes of the temporary callee that the call took: used up once it rang or answered, or if the
    /// caller gave up before; to be given back if the attempt failed before. `None` while that is open.
    pub fn callee_fate(&self) -> Option<CalleeFate> {
        let record = &self.record;
        if record.ringing_at.is_some() || record.answered_at.is_some() {
            return Some(CalleeFate::Used);
        }
        match (self.recorded, record.refusal) {
            (Recorded::Open, _) => None,
            (Recorded::Awaiting(_) | Recorded::Out, Some(Reason::Cancelled)) => Some(CalleeFate::Used),
            (Recorded::Awaiting(_) | Recorded::Out, _) => Some(CalleeFate::GivenBack),
        }
    }

    /// The record goes out, and the ports go to rest.
    pub fn finish_record(&mut self, hands: &mut Hands, now: Now) {
        if self.recorded == Recorded::Out {
            return;
        }
        self.recorded = Recorded::Out;
        if let Some(timer) = self.counts_timer.take() {
            hands.timers.cancel(timer);
        }
        self.bridge.give_back(hands, now.at);
        if let Some(answered_at) = self.record.answered_at {
            let talked = self.record.ended_at.since(answered_at);
            // What was heard before this process, nobody knows any more.
            let before = self.talk.map_or(Duration::ZERO, |talk| talk.before);
            let talked = talked.saturating_sub(before);
            self.record.media.audio = self.audio(talked).and_then(Audio::fault);
        }
        self.tell(
            hands,
            now,
            EventKind::Ended {
                status: self.record.sip_status,
                refusal: self.record.refusal,
            },
        );
        match self.leaves {
            Leaves::Record => hands.record(self.record.clone(), self.trace.clone()),
            Leaves::Nothing => {}
        }
    }

    /// Says to the journal how the attempt has ended, as far as that is known.
    pub(super) fn journal_end(&self, hands: &mut Hands) {
        match self.leaves {
            Leaves::Record => hands.journal_end(&self.record),
            Leaves::Nothing => {}
        }
    }

    /// Whether nothing is left to do for this call.
    pub fn is_gone(&self) -> bool {
        self.recorded == Recorded::Out && self.is_left_by_all()
    }

    /// Whether the call is over and everybody who was in it knows that.
    pub fn is_left_by_all(&self) -> bool {
        let callee_done = self.callee.as_ref().is_none_or(|callee| match callee.state {
            CalleeState::Over => true,
            CalleeState::Answered => callee.leg.bye == Bye::Done,
            CalleeState::Calling
            | CalleeState::Proceeding
            | CalleeState::CancelWanted
            | CalleeState::Cancelled => false,
        });
        let caller_done = match self.caller.invite {
            InviteState::Pending => false,
            InviteState::Refused => true,
            InviteState::Answered => self.caller.leg.bye == Bye::Done,
        };
        // An INVITE of ours within a leg still has its ACK to get.
        let callee_leg = self.callee.as_ref().map(|callee| &callee.leg);
        let asks = [Some(&self.caller.leg), callee_leg]
            .into_iter()
            .flatten()
            .any(|leg| matches!(leg.exchange, Exchange::Ours(..)));
        self.recorded != Recorded::Open && caller_done && callee_done && !asks && self.left.is_empty()
    }

    /// Forgets everything that the shard keeps for this call.
    pub fn forget(mut self, hands: &mut Hands) {
        self.stop_clock(hands);
        for name in [LegName::Caller, LegName::Callee] {
            self.forget_ours(hands, name);
            self.forget_wanted(hands, name);
        }
        self.stop_repeating(hands);
        let legs = [
            Some(&mut self.caller.leg),
            self.callee.as_mut().map(|callee| &mut callee.leg),
        ];
        for leg in legs.into_iter().flatten() {
            if let Some(unacked) = leg.unacked.take() {
                hands.timers.cancel(unacked.timer);
            }
            if let Some(dialog) = &leg.dialog {
                hands.dialogs.remove(&dialog.id());
            }
        }
        for left in std::mem::take(&mut self.left) {
            left.forget(hands);
        }
        if let Some(callee) = self.callee.as_mut() {
            callee.forget_others(hands);
            if let Some(timer) = callee.give_up.take() {
                hands.timers.cancel(timer);
            }
        }
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

    /// Sends BYE on a leg that has a dialog, now or as soon as its 2xx is ACKed (RFC 3261 §15).
    pub fn hang_up(&mut self, hands: &mut Hands, now: Now, name: LegName) {
        let config = self.config.clone();
        let me = self.me;
        let why = reason::q850(self.cause_told());
        let trunk = self.party_of(name);
        let Some(leg) = self.leg(name) else { return };
        match leg.bye {
            Bye::No | Bye::AfterAck => {}
            Bye::Sent | Bye::Done => return,
        }
        if leg.unacked.is_some() {
            leg.bye = Bye::AfterAck;
            return;
        }
        let Some(dialog) = leg.dialog.as_mut() else {
            leg.bye = Bye::Done;
            return;
        };
        let cseq = dialog.next_cseq();
        let headers = [("Reason", why.as_str())];
        let (to, bytes) = hands.bare_request(&config, (dialog, trunk), Method::Bye, cseq, &headers);
        self.watch(hands, name, &bytes);
        let sent = hands.layer.request(
            now.at,
            to,
            super::hands::owner(me, super::hands::Purpose::Bye(name)),
            bytes,
        );
        if let Some(leg) = self.leg(name) {
            leg.bye = if sent.is_some() { Bye::Sent } else { Bye::Done };
        }
        self.note_message(now.at, name, Heading::Out, Method::Bye, None, false);
    }

    /// A leg is over: theirs came, or ours was answered or never will be.
    pub fn leg_over(&mut self, name: LegName) {
        if let Some(leg) = self.leg(name) {
            leg.bye = Bye::Done;
        }
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
                audio: self
                    .talk
                    .and_then(|talk| self.audio(now.at - talk.since))
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
