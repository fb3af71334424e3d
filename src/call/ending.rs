//! How a call ends: its legs, its media, its record, and all that the shard kept for it.

use std::time::Duration;

use super::announce::Says;
use super::audio::Audio;
use super::exchange::Exchange;
use super::hands::{CallTimer, Hands, Purpose, owner};
use super::leg::Bye;
use super::leg::callee::CalleeState;
use super::leg::caller::InviteState;
use super::media::Order;
use super::phase::{Call, CalleeFate, End, Leaves, Recorded};
use super::port::{EventKind, Heading, LegName, Output};
use super::refusal;
use crate::base::limits::MEDIA_COUNTS_WAIT;
use crate::base::time::Now;
use crate::masking::reason::Reason;
use crate::sip::method::Method;
use crate::sip::reason;

impl Call {
    /// Ends the call: both legs are brought to their end, each in its own way; media stops; the record is
    /// closed. A call that has ended doesn't end again.
    pub fn end(&mut self, hands: &mut Hands, now: Now, end: End) {
        if self.recorded != Recorded::Open {
            return;
        }
        self.stop_clock(hands);
        self.stop_cue(hands);
        self.stop_recording(hands, now);
        self.asking = None;
        let questioned = self.question_over(hands, &end);
        let parted = self.parted(hands, &end);
        let end = questioned.or(parted).unwrap_or(end);
        if questioned.is_none() {
            self.close_record(now, &end);
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
        let awaited = flows.len() + usize::from(self.bridge.is_closing());
        self.recorded = Recorded::Awaiting(awaited as u8);
        if awaited == 0 {
            self.finish_record(hands, now);
        } else {
            // Should the server die while the counts are awaited, the rest of the record is as it was.
            self.journal_end(hands);
            self.counts_timer = Some(hands.wake(self.me, now.at + MEDIA_COUNTS_WAIT, CallTimer::Counts));
        }
    }

    /// Writes down how the talk has ended, or why it was none.
    pub(super) fn close_record(&mut self, now: Now, end: &End) {
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
            // What the caller got: he may have been answered before anybody was called.
            record.sip_status = match self.caller.invite {
                InviteState::Answered => 200,
                InviteState::Pending | InviteState::Refused => end.status,
            };
            record.q850_cause = end.heard.unwrap_or(refusal::q850(reason));
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
        if self.record.answered_at.is_some() {
            self.record.media.audio = self.audio_of_talk().and_then(Audio::fault);
        }
        // The talk's end, whatever was asked after it.
        let ended = match self.record.question {
            Some(_) => Now {
                wall: self.record.ended_at,
                ..now
            },
            None => now,
        };
        self.tell(
            hands,
            ended,
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
        self.stop_cue(hands);
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
        let sent = hands
            .layer
            .request(now.at, to, owner(me, Purpose::Bye(name)), bytes);
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
}
