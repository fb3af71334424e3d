//! The called side: the INVITE that we send, its answers, its end.

use std::net::IpAddr;
use std::time::Duration;

use super::challenge::Given;
use super::dial::By;
use super::forks::{Branch, Forks, Parting, decline, last_cseq_of};
use super::reliable::Taken;
use super::ringing::Progress;
use super::{Bye, Leg};
use crate::base::time::Now;
use crate::base::timer::TimerId;
use crate::call::bridge::{Met, OTHER_FAMILY, Refused, Sounds};
use crate::call::cdr::ReleasedBy;
use crate::call::exchange::{Ask, Opening};
use crate::call::failover::Try;
use crate::call::hands::{CallTimer, Hands, Token};
use crate::call::inspect;
use crate::call::leg::caller::{Sdp, Sent};
use crate::call::phase::{Call, End};
use crate::call::port::{EventKind, Heading, LegName};
use crate::call::refusal::{self, Elsewhere};
use crate::call::targets::{self, Target};
use crate::call::trunk::EarlyMedia;
use crate::call::warrant::Warrant;
use crate::masking::reason::Reason;
use crate::masking::route::Plan;
use crate::sip::dialog::LocalParty;
use crate::sip::header::{Name, retry_after};
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::path::Path;
use crate::sip::reason;
use crate::sip::transaction::{Answer, AnswerKind, ClientId};

/// How far the called side has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CalleeState {
    /// Our INVITE is out, nothing came back.
    Calling,
    /// Something came back: a CANCEL may be sent (RFC 3261 §9.1).
    Proceeding,
    /// It is to be cancelled as soon as something comes back.
    CancelWanted,
    /// Our CANCEL is out; a final answer is awaited.
    Cancelled,
    /// It answered.
    Answered,
    /// It failed, or never will answer.
    Over,
}

/// The called side of a call.
#[derive(Debug)]
pub struct Callee {
    /// The leg.
    pub leg: Leg,
    /// How far it has come.
    pub state: CalleeState,
    /// Our INVITE's transaction.
    pub(super) invite: Option<ClientId>,
    pub(super) call_id: [u8; 20],
    pub(super) local: Vec<u8>,
    pub(super) remote: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) path: Path,
    pub(super) exits: Vec<Try>,
    pub(super) tried: usize,
    pub(super) by: By,
    pub(super) max_forwards: u8,
    /// Our INVITE's CSeq number.
    pub(super) cseq: u32,
    /// The Min-SE that this gateway's 422 wanted, in seconds; 0: it wanted none.
    pub(super) min_s: u32,
    /// The challenge that our INVITE answers.
    pub(super) given: Option<Given>,
    /// The header by which our INVITE proves that we know a password; another process doesn't go on with it.
    pub(super) proof: Option<Box<(&'static str, String)>>,
    /// Its forks beside the one whose dialog is the leg's.
    pub(super) forks: Forks,
    /// When a cancelled INVITE is given up.
    pub give_up: Option<TimerId>,
}

impl Callee {
    /// The called side of a call that another process has left: answered, its INVITE nobody's affair any more, or still
    /// open. Its forks' requests are numbered from `counted` on.
    pub fn left(
        leg: Leg,
        path: Path,
        party: &LocalParty<'_>,
        invite: Option<ClientId>,
        counted: u32,
    ) -> Self {
        let mut call_id = Token::default();
        for (place, byte) in call_id.iter_mut().zip(party.call_id) {
            *place = *byte;
        }
        Self {
            leg,
            state: match invite {
                // As if something had come back for it.
                Some(_) => CalleeState::Proceeding,
                None => CalleeState::Answered,
            },
            invite,
            call_id,
            local: party.local.to_vec(),
            remote: party.remote.to_vec(),
            target: party.request_uri.to_vec(),
            path,
            exits: Vec::new(),
            tried: 0,
            by: By::Udp,
            max_forwards: 0,
            cseq: party.cseq,
            min_s: 0,
            given: None,
            proof: None,
            forks: Forks::left(counted),
            give_up: None,
        }
    }

    /// Its INVITE's transaction.
    pub fn invite_of(&self) -> Option<ClientId> {
        self.invite
    }

    /// The way of its dialogs.
    pub fn way(&self) -> Path {
        self.path
    }

    /// What its INVITE said of us and of whom it calls.
    pub fn party(&self) -> LocalParty<'_> {
        LocalParty {
            call_id: &self.call_id,
            local_tag: &self.leg.local_tag,
            local: &self.local,
            remote: &self.remote,
            request_uri: &self.target,
            cseq: self.cseq,
        }
    }
}

impl Call {
    /// An answer to the callee's INVITE, which came from `source`.
    pub fn callee_answered(
        &mut self,
        hands: &mut Hands,
        now: Now,
        source: IpAddr,
        answer: &Answer,
        response: &Message<'_>,
    ) {
        let status = response.status().unwrap_or(0);
        let has_body = !response.body().is_empty();
        self.note_message(
            now.at,
            LegName::Callee,
            Heading::In,
            Method::Invite,
            Some(status),
            has_body,
        );
        if !self.is_present(answer.id) {
            return self.left_answered(hands, now, answer, response);
        }
        match answer.kind {
            AnswerKind::Provisional => self.callee_progress(hands, now, status, response),
            AnswerKind::Final if status < 300 => self.callee_2xx(hands, now, response),
            AnswerKind::Another2xx | AnswerKind::Same2xx => self.callee_2xx_again(hands, now, response),
            AnswerKind::Final => self.callee_failed(hands, now, source, response),
        }
    }

    fn callee_progress(&mut self, hands: &mut Hands, now: Now, status: u16, response: &Message<'_>) {
        let Some(callee) = self.callee.as_mut() else {
            return;
        };
        match callee.state {
            CalleeState::Calling => callee.state = CalleeState::Proceeding,
            CalleeState::CancelWanted => return self.send_cancel(hands, now),
            CalleeState::Proceeding => {}
            CalleeState::Cancelled | CalleeState::Answered | CalleeState::Over => return,
        }
        if status == 100 {
            return;
        }
        self.ringing.progress = Progress::Some;
        let Some(callee) = self.callee.as_mut() else {
            return;
        };
        let branch = callee.fork_of(hands, self.me, response);
        if branch == Branch::Dead {
            return;
        }
        let taken = self.acknowledge(hands, now, response);
        if taken == Taken::Not {
            return;
        }
        if let (199, Some(tag)) = (status, response.to_tag()) {
            // RFC 6228 §6: one phone has failed, others ring on.
            return self.fork_dies(hands, now, tag);
        }
        if let Some(tag) = response.to_tag() {
            self.not_to_caller.id(tag);
        }
        let described = self.fork_described(hands, now, branch, response);
        let is_kept_away = described == Described::Media && self.bridge.early() != EarlyMedia::Relay;
        if described == Described::Media && !is_kept_away {
            self.bridge.order_flows(hands);
            self.record.early_media_at.get_or_insert(now.wall);
            if self.bridge.relays_early() {
                self.record_early(hands, now);
            }
        }
        if matches!(described, Described::Media | Described::Unshared) && taken == Taken::Reliably {
            self.offer_settled(hands, now);
        }
        // What the caller isn't to hear stands for a phone that rings.
        let status = if is_kept_away { 180 } else { status };
        if status == 180 && self.record.ringing_at.is_none() {
            self.record.ringing_at = Some(now.wall);
            self.tell(hands, now, EventKind::Ringing);
            if self.ivr.is_some() {
                // In place of the silence behind the prompts.
                let _ = self.sound_ringing(hands);
            }
        }
        // RFC 3261 §13.2.1: the caller has one description of ours in its dialog, told with the first
        // answer that brings media and repeated with those that follow, in case that one was lost.
        let sdp = match described {
            Described::Media if !is_kept_away => Sdp::With,
            Described::Media | Described::Nothing | Described::Unshared | Described::OtherFamily => {
                Sdp::Without
            }
        };
        if self.is_heard_ringing(hands, status) == Sounds::Yes {
            return self.progress_to_caller(hands, now, 183, Sdp::With);
        }
        self.progress_to_caller(hands, now, refusal::relayed_progress(status), sdp);
    }

    /// Whether the caller is to know what this status says by a tone of ours. It never stands beside a 180, at which phones
    /// play a tone of their own, whatever they hear (RFC 3960 §3.2).
    fn is_heard_ringing(&mut self, hands: &mut Hands, status: u16) -> Sounds {
        match (self.bridge.early(), self.bridge.sounds(), status) {
            (EarlyMedia::Ringback, Sounds::No, 180) => self.sound_ringing(hands),
            (EarlyMedia::Ringback, Sounds::Yes, 180 | 183) => Sounds::Yes,
            (EarlyMedia::Relay | EarlyMedia::Ringback | EarlyMedia::Block, ..) => Sounds::No,
        }
    }

    /// Our INVITE's offer has its answer for good in the dialog of the fork in use (RFC 3262 §5).
    fn offer_settled(&mut self, hands: &mut Hands, now: Now) {
        if let Some(callee) = self.callee.as_mut() {
            callee.leg.opening = Opening::Settled;
        }
        self.offer_waiting(hands, now, LegName::Callee);
    }

    /// What a provisional response says of media. A fork that describes itself is the one in use from then on.
    fn fork_described(
        &mut self,
        hands: &mut Hands,
        now: Now,
        branch: Branch,
        response: &Message<'_>,
    ) -> Described {
        match (branch, response.to_tag()) {
            _ if response.body().is_empty() => Described::Nothing,
            (Branch::Other, Some(tag)) => {
                self.turn_to_fork(tag);
                self.leave_exchange(hands, now);
                self.take_description(response)
            }
            // Without a tag it makes no dialog, and still says where the ringing is to be heard.
            (Branch::Used, _) | (Branch::None, None) => self.take_description(response),
            (Branch::Other, None) | (Branch::None, Some(_)) | (Branch::Dead, _) => Described::Nothing,
        }
    }

    /// Takes the description in a response as the called side's answer to our offer. RFC 3261 §13.2.1 has
    /// only the first of an early dialog count; but gateways that change from a ring-back server to the
    /// phone say so under the same tag, and whoever doesn't repeats itself: so the last one counts. But not after an
    /// answer in a reliable response, which can't have been lost: what has been agreed on since counts (RFC 6337 §3.1).
    fn take_description(&mut self, response: &Message<'_>) -> Described {
        let opening = self.leg_of(LegName::Callee).map(|leg| leg.opening);
        if opening == Some(Opening::Settled) {
            return Described::Nothing;
        }
        let Ok(Some(session)) = inspect::offer(response) else {
            return Described::Nothing;
        };
        match self.bridge.callee_described(&session) {
            Ok(met) => {
                if let Some(media) = self.bridge.agreed(LegName::Callee).and_then(|agreed| agreed.rtp) {
                    self.not_to_caller.address(media.ip());
                }
                match met {
                    Met::Together => Described::Media,
                    Met::Apart => Described::Unshared,
                }
            }
            Err(Refused::OtherFamily) => Described::OtherFamily,
            Err(Refused::Mismatch(_)) => Described::Nothing,
        }
    }

    fn callee_2xx(&mut self, hands: &mut Hands, now: Now, response: &Message<'_>) {
        let Some(callee) = self.callee.as_mut() else {
            return;
        };
        if let Some(timer) = callee.give_up.take() {
            hands.timers.cancel(timer);
        }
        if let Some(attempt) = self.record.attempts.last_mut() {
            attempt.status = response.status().unwrap_or(200);
        }
        self.record.callee_sip_status = response.status();
        let Some(callee) = self.callee.as_mut() else {
            return;
        };
        callee.state = CalleeState::Answered;
        let winner = response.to_tag().unwrap_or_default();
        let used = callee.leg.dialog.as_ref();
        let has_turned = used.is_some_and(|used| used.remote_tag() != winner);
        let has_dialog = callee.fork_wins(hands, self.me, &mut self.bridge, response);
        // The dialog has its own, and no other exit will be tried.
        for text in [&mut callee.local, &mut callee.remote, &mut callee.target] {
            *text = Vec::new();
        }
        callee.exits = Vec::new();
        if has_dialog.is_none() {
            // A route set that can't be kept: there is no way to talk to it.
            callee.forget_forks(hands);
            callee.leg.bye = Bye::Done;
            let path = callee.path;
            let parting = Parting {
                session: callee.leg.session(),
                cause: refusal::q850(Reason::Unreachable),
            };
            let last = last_cseq_of(response);
            decline(hands, now, path, &self.config, response, last, parting);
            self.end(hands, now, End::failed(Reason::Unreachable));
            return;
        }
        if let Some(tag) = response.to_tag() {
            self.not_to_caller.id(tag);
        }
        self.ack(hands, now, LegName::Callee, response.cseq().number);
        if self.is_over() {
            // It answered while our CANCEL was on its way (RFC 3261 §9.1).
            self.hang_up(hands, now, LegName::Callee);
            return;
        }
        if has_turned {
            self.leave_exchange(hands, now);
        }
        let described = self.take_description(response);
        if let Some(callee) = &mut self.callee {
            callee.leg.opening = Opening::Settled;
        }
        if self.bridge.agreed(LegName::Callee).is_none() {
            let cause = (described == Described::OtherFamily).then_some(OTHER_FAMILY);
            let end = End {
                cause,
                ..End::failed(Reason::Media)
            };
            self.end(hands, now, end);
            return;
        }
        self.session_granted(hands, now, LegName::Callee, response);
        if self.whisper(hands, now) == Sounds::No {
            self.bridge_both(hands, now);
        }
    }

    /// The called side has answered, and knows what it has to: the two are joined.
    pub(in crate::call) fn bridge_both(&mut self, hands: &mut Hands, now: Now) {
        self.bridge.talk(hands);
        if self.bridge.are_apart() && !self.has_answered_alone() {
            return self.bring_together(hands, now);
        }
        self.answer_both(hands, now);
    }

    /// The called side has answered: so the caller is answered, and the conversation begins.
    pub(in crate::call) fn answer_both(&mut self, hands: &mut Hands, now: Now) {
        let sent = if self.has_answered_alone() {
            // It may have been told another codec than this one speaks (RFC 3264 §8).
            self.offer_on(hands, now, LegName::Caller, Ask::Settled);
            Sent::Yes
        } else {
            self.answer_caller(hands, now)
        };
        match sent {
            Sent::Yes => {
                self.answered(hands, now);
                if self.bridge.versions(LegName::Caller) > 1 {
                    // What the caller has changed since its INVITE, this fork may not have heard.
                    self.offer_on(hands, now, LegName::Callee, Ask::Settled);
                }
                self.offer_waiting(hands, now, LegName::Callee);
            }
            Sent::Later | Sent::No => {}
        }
    }

    /// The called side, or the gateway before it, refused.
    fn callee_failed(&mut self, hands: &mut Hands, now: Now, source: IpAddr, response: &Message<'_>) {
        let status = response.status().unwrap_or(0);
        let Some(callee) = self.callee.as_mut() else {
            return;
        };
        if let Some(timer) = callee.give_up.take() {
            hands.timers.cancel(timer);
        }
        callee.state = CalleeState::Over;
        callee.leg.bye = Bye::Done;
        callee.forget_forks(hands);
        if let Some(attempt) = self.record.attempts.last_mut() {
            attempt.status = status;
        }
        self.record.callee_sip_status = Some(status);
        if status == 503 {
            self.spare_gateway(hands, now, response);
        }
        if self.is_over() {
            return;
        }
        if status == 422 && self.ask_for_longer(hands, now, response) {
            return;
        }
        if self.answer_challenge(hands, now, source, response) {
            return;
        }
        let failure = refusal::of_callee(status, reason::read(response));
        if !self.has_rung() {
            // Whatever one gateway has against a call for help, another may not have.
            let is_help = self.warrant.as_ref().is_some_and(|right| right.plan().is_none());
            if (failure.elsewhere == Elsewhere::Try || is_help) && self.try_next(hands, now) {
                return;
            }
            // RFC 3261 §21.6: a 6xx speaks for every place of that party.
            if status < 600 && self.try_target(hands, now) {
                return;
            }
        }
        let max_forwards = self.callee.as_ref().map_or(0, |callee| callee.max_forwards);
        if self.try_turn(hands, now, max_forwards) {
            return;
        }
        let by = if failure.reason == Reason::TrunkDown {
            ReleasedBy::Server
        } else {
            ReleasedBy::Callee
        };
        let end = End {
            by,
            status: failure.status,
            heard: failure.heard,
            ..End::failed(failure.reason)
        };
        self.end(hands, now, end);
    }

    /// A gateway has more to do than it can: it is spared for as long as it says (RFC 3261 §21.5.4), if it does.
    fn spare_gateway(&self, hands: &mut Hands, now: Now, response: &Message<'_>) {
        let wait = response.get(Name::RetryAfter).and_then(retry_after);
        let wait = wait.map(|seconds| Duration::from_secs(seconds.into()));
        let exit = self
            .callee
            .as_ref()
            .and_then(|callee| callee.exits.get(callee.tried));
        let (Some(wait), Some(exit)) = (wait, exit) else {
            return;
        };
        let Some(trunk) = self.config.trunks.get(exit.trunk) else {
            return;
        };
        let (gateway, at) = (exit.gateway, now.at);
        let all = trunk.gateways.get(gateway).map(|gateway| {
            let (listeners, wanted) = (&self.config.listeners, trunk.listener);
            targets::all(gateway, listeners, wanted, &hands.resolved)
        });
        let is_left = |other: &Target| {
            let is_spared = || hands.reach.is_spared(trunk, gateway, other.address, at);
            Some(*other) != exit.target && !is_spared()
        };
        // Of several servers behind a name one speaks for itself only; the last one for all of them.
        match exit.target.filter(|_| all.iter().flatten().any(is_left)) {
            Some(server) => hands.reach.spare(trunk, gateway, server.address, at, wait),
            None => hands.reach.rest(trunk, gateway, at, wait),
        }
    }

    /// The callee's INVITE got no answer at all, or couldn't be sent.
    pub fn callee_lost(&mut self, hands: &mut Hands, now: Now, invite: ClientId, lost: Lost) {
        if !self.is_present(invite) {
            return self.left_lost(hands, invite);
        }
        let Some(callee) = self.callee.as_mut() else {
            return;
        };
        if let Some(timer) = callee.give_up.take() {
            hands.timers.cancel(timer);
        }
        callee.state = CalleeState::Over;
        callee.leg.bye = Bye::Done;
        callee.forget_forks(hands);
        let is_wanted = !self.is_over();
        if is_wanted && !self.has_rung() && lost == Lost::Transport && self.try_by_udp(hands, now) {
            return;
        }
        let max_forwards = self.callee.as_ref().map_or(0, |callee| callee.max_forwards);
        if is_wanted
            && (self.has_rung() || !self.go_on(hands, now))
            && !self.try_turn(hands, now, max_forwards)
        {
            self.end(hands, now, End::failed(Reason::TrunkDown));
        }
    }

    /// Nobody picked up in time. If not even a gateway said anything, that is said instead.
    pub fn not_answered(&mut self, hands: &mut Hands, now: Now) {
        if self.holds_until.is_some_and(|end| end <= now.at) {
            // RFC 3261 §13.3.1: the invitation itself has expired.
            let end = End {
                status: 487,
                ..End::failed(Reason::NoAnswer)
            };
            return self.end(hands, now, end);
        }
        if self.give_way(hands, now) {
            return;
        }
        let reason = if self.is_silent() {
            Reason::TrunkDown
        } else {
            Reason::NoAnswer
        };
        self.end(hands, now, End::failed(reason));
    }

    pub(super) fn has_rung(&self) -> bool {
        let is_later = self
            .warrant
            .as_ref()
            .and_then(Warrant::plan)
            .is_some_and(Plan::is_later);
        if is_later {
            // What was heard before was somebody else's ringing.
            return self.ringing.progress == Progress::Some;
        }
        self.record.ringing_at.is_some() || self.record.early_media_at.is_some()
    }

    /// Whether this is the transaction of the INVITE that the call waits for.
    pub(super) fn is_present(&self, invite: ClientId) -> bool {
        self.callee
            .as_ref()
            .is_some_and(|callee| callee.invite == Some(invite))
    }

    /// Tries whatever is left to try: the next gateway, the next number that the call was sent on to.
    pub(super) fn go_on(&mut self, hands: &mut Hands, now: Now) -> bool {
        self.try_next(hands, now) || self.try_target(hands, now)
    }

    /// ACKs a 2xx to an INVITE of ours.
    pub fn ack(&mut self, hands: &mut Hands, now: Now, name: LegName, cseq: u32) {
        let (config, trunk) = (self.config.clone(), self.party_of(name));
        let proof = self.proof_of(name, cseq);
        let Some(leg) = self.leg(name) else { return };
        let Some(dialog) = leg.dialog.as_mut() else { return };
        let (to, by) = hands.way(&config, dialog, trunk);
        // RFC 3261 §13.2.2.4: the ACK has its INVITE's credentials. They go to nobody who hasn't had them.
        let is_told = |(path, _): &(Path, _)| {
            let place = |path: &Path| (path.remote, path.transport, path.party);
            place(path) == place(&to)
        };
        let proof = proof.filter(is_told).map(|(_, header)| header);
        let headers = proof.as_deref().map(|(name, value)| (*name, value.as_str()));
        let (branch, via) = (hands.branch(), by.via());
        let ack = dialog.request(
            Method::Ack,
            cseq,
            &branch,
            via,
            None,
            headers.as_slice(),
            None,
            70,
        );
        self.watch(hands, name, &ack);
        hands.send(to, ack);
        self.note_message(now.at, name, Heading::Out, Method::Ack, None, false);
    }

    /// The header by which the INVITE with this number proved that we know a password, and the way that this went.
    fn proof_of(&self, name: LegName, cseq: u32) -> Option<(Path, Box<(&'static str, String)>)> {
        let callee = self.callee.as_ref()?;
        let is_its = name == LegName::Callee && callee.cseq == cseq;
        Some((callee.path, callee.proof.clone().filter(|_| is_its)?))
    }

    /// Brings the called side to its end, from wherever it is.
    pub fn end_callee(&mut self, hands: &mut Hands, now: Now) {
        let Some(callee) = self.callee.as_mut() else {
            return;
        };
        match callee.state {
            CalleeState::Calling => callee.state = CalleeState::CancelWanted,
            CalleeState::Proceeding => self.send_cancel(hands, now),
            CalleeState::Answered => self.hang_up(hands, now, LegName::Callee),
            CalleeState::CancelWanted | CalleeState::Cancelled | CalleeState::Over => {}
        }
    }

    fn send_cancel(&mut self, hands: &mut Hands, now: Now) {
        let wait = self.config.timers.t1.saturating_mul(64);
        let me = self.me;
        let Some(callee) = self.callee.as_mut() else {
            return;
        };
        callee.state = CalleeState::Cancelled;
        let invite = callee.invite;
        // RFC 3261 §9.1: without a final answer 64·T1 after the CANCEL the INVITE counts as cancelled.
        callee.give_up = Some(hands.wake(me, now.at + wait, CallTimer::Cancelled));
        if let Some(invite) = invite {
            let why = reason::q850(self.cause_told());
            hands.layer.cancel(now.at, invite, &[("Reason", &why)]);
        }
        self.note_message(now.at, LegName::Callee, Heading::Out, Method::Cancel, None, false);
    }

    /// A cancelled INVITE got no final answer.
    pub fn give_up_callee(&mut self, hands: &mut Hands) {
        let Some(callee) = self.callee.as_mut() else {
            return;
        };
        callee.give_up = None;
        if let Some(invite) = callee.invite.take() {
            hands.layer.end_client(invite);
        }
        callee.state = CalleeState::Over;
        callee.forget_forks(hands);
    }
}

/// Why an INVITE of ours has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lost {
    /// Nobody answered in time.
    Timeout,
    /// It could not be delivered.
    Transport,
}

/// What a response said of media.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Described {
    /// Nothing that we could take.
    Nothing,
    /// Media in a codec that the caller has given up since its INVITE.
    Unshared,
    /// An address that our side of the leg can't send to: IPv4 here, IPv6 there, or the other way round.
    OtherFamily,
    /// Where and how it wants media.
    Media,
}
