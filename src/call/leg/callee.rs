//! The called side: the INVITE that we send, its answers, its end.

use super::invite::CalleeInvite;
use super::session_timer::{in_invite, wanted_by_422};
use super::{Bye, Leg};
use crate::base::limits::{FORKS_MAX, SESSION_TRIES_MAX, UDP_REQUEST_BYTES_MAX};
use crate::base::time::Now;
use crate::base::timer::TimerId;
use crate::call::bridge::{OTHER_FAMILY, Refused};
use crate::call::cdr::{Attempt, ReleasedBy};
use crate::call::config::Config;
use crate::call::failover::{self, Exit};
use crate::call::guard::Scope;
use crate::call::hands::{CallTimer, Hands, Purpose, Token, listener, listener_towards, owner, way};
use crate::call::inspect;
use crate::call::leg::caller::{Sdp, Sent};
use crate::call::media::InterfaceId;
use crate::call::phase::{Call, End, Recorded};
use crate::call::port::{CallEntry, EventKind, Heading, LegName, Output};
use crate::call::refusal;
use crate::call::trunk::{LargeRequests, SessionTimer};
use crate::masking::reason::Reason;
use crate::sip::dialog::{Dialog, LocalParty};
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::path::{ListenerId, Path, Transport};
use crate::sip::transaction::{Answer, AnswerKind, ClientId, Owner};

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
    invite: Option<ClientId>,
    call_id: [u8; 20],
    local: Vec<u8>,
    remote: Vec<u8>,
    target: Vec<u8>,
    path: Path,
    exits: Vec<Exit>,
    tried: usize,
    by: By,
    max_forwards: u8,
    /// Our INVITE's CSeq number.
    cseq: u32,
    /// The Min-SE that this gateway's 422 wanted, in seconds; 0: it wanted none.
    min_s: u32,
    /// Forks that answered after another had won, and got their BYE.
    losers: Vec<Box<[u8]>>,
    /// When a cancelled INVITE is given up.
    pub give_up: Option<TimerId>,
}

impl Call {
    /// Calls the other party by the first of these exits.
    pub fn dial(&mut self, hands: &mut Hands, now: Now, exits: Vec<Exit>, max_forwards: u8) {
        if exits.is_empty() {
            self.end(hands, now, End::failed(Reason::TrunkMayNotShow));
            return;
        }
        self.record.dialled_at = Some(now.wall);
        let way = Way {
            exits,
            tried: 0,
            by: By::Size,
            max_forwards,
            again: None,
        };
        self.dial_by(hands, now, way);
    }

    /// Sends the callee's INVITE by one of the exits: a leg of its own, with ids of its own.
    fn dial_by(&mut self, hands: &mut Hands, now: Now, way: Way) {
        let Way {
            exits,
            tried,
            by,
            max_forwards,
            again,
        } = way;
        let config = self.config.clone();
        let (Some(exit), Some(plan)) = (exits.get(tried), &self.plan) else {
            return;
        };
        let trunk = &config.trunks[exit.trunk];
        let gateway = &trunk.gateways[exit.gateway];
        // That one reaches every gateway is checked when the conf is read.
        let listener = listener_towards(&config, trunk.listener, gateway.transport, gateway.address)
            .unwrap_or(listener(&config, ListenerId(0)));
        let (called, shown) = (plan.called(), plan.shown());
        let is_another = again.is_none() && by == By::Size;
        let again = again.unwrap_or_else(|| Again {
            call_id: hands.call_id(),
            tag: hands.token(),
            cseq: 1,
            min_s: 0,
        });
        let Again {
            call_id,
            tag,
            cseq,
            min_s,
        } = again;
        let branch = hands.branch();
        let session = in_invite(trunk.session, min_s);
        let interface = callee_interface(&config, *exit);
        if let Err(refused) = self
            .bridge
            .face_callee(hands, now.at, trunk, interface, &config.media)
        {
            self.end(hands, now, refused);
            return;
        }
        let sdp = self.bridge.description(LegName::Callee).unwrap_or_default();
        let mut invite = CalleeInvite {
            called,
            shown,
            trunk,
            gateway,
            listener,
            via: listener,
            plan: &config.numbers,
            call_id: &call_id,
            from_tag: &tag,
            branch: &branch,
            max_forwards,
            sdp,
            cseq,
            session: &session,
        };
        let mut written = invite.write();
        let path = Path {
            listener: listener.id,
            transport: gateway.transport,
            remote: gateway.address,
            flow: None,
        };
        let large = match (by, gateway.transport, trunk.large_requests) {
            (By::Size, Transport::Udp, LargeRequests::Tcp) if written.bytes.len() > UDP_REQUEST_BYTES_MAX => {
                listener_towards(&config, Some(listener.id), Transport::Tcp, gateway.address)
            }
            (By::Size | By::Udp, ..) => None,
        };
        // Only this request goes by TCP, and its Via says so; what follows in the dialog is small.
        let first_path = match large {
            Some(tcp) => {
                invite.via = tcp;
                written = invite.write();
                Path {
                    listener: tcp.id,
                    transport: Transport::Tcp,
                    ..path
                }
            }
            None => path,
        };
        self.record.callee_sip_status = None;
        self.record.trunk_out = Some(trunk.name.to_string());
        self.record.sip_call_id_out = Some(String::from_utf8_lossy(&call_id).into_owned());
        self.not_to_callee
            .known(&[gateway.address.ip(), listener.advertised.ip()]);
        self.not_to_callee.known_media(&config.media);
        if !self.may_send(LegName::Callee, &written.bytes, Scope::Whole) {
            self.guard_hit(hands, now);
            return;
        }
        if is_another {
            // Nearly always there is one.
            self.record.attempts.reserve_exact(1);
            self.record.attempts.push(Attempt {
                trunk: trunk.name.to_string(),
                gateway: gateway.address.to_string(),
                callee: config.numbers.record(called.reveal()),
                status: 0,
            });
        }
        self.not_to_caller.address(gateway.address.ip());
        let me = owner(self.me, Purpose::Invite(LegName::Callee));
        let is_first = tried == 0 && is_another;
        if is_first {
            // On disk before the called party hears of it.
            hands
                .out
                .push_back(Output::Journal(CallEntry::Arrived(self.record.line())));
        }
        let client = hands.layer.request(now.at, first_path, me, written.bytes);
        self.note_message(now.at, LegName::Callee, Heading::Out, Method::Invite, None, true);
        let state = if client.is_some() {
            CalleeState::Calling
        } else {
            CalleeState::Over
        };
        self.callee = Some(Callee {
            leg: Leg::new(LegName::Callee, tag, listener.id, trunk.session),
            state,
            invite: client,
            call_id,
            local: written.local,
            remote: written.remote,
            target: written.target,
            path,
            exits,
            tried,
            by: match large {
                Some(_) => By::Size,
                None => By::Udp,
            },
            max_forwards,
            cseq,
            min_s,
            losers: Vec::new(),
            give_up: None,
        });
        if client.is_none() {
            self.end(hands, now, End::failed(Reason::Overload));
            return;
        }
        self.start_ringing(hands, now);
        if is_first {
            self.tell(hands, now, EventKind::Dialled);
        }
    }

    /// An answer to the callee's INVITE.
    pub fn callee_answered(&mut self, hands: &mut Hands, now: Now, answer: &Answer, response: &Message<'_>) {
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
        match answer.kind {
            AnswerKind::Provisional => self.callee_progress(hands, now, status, response),
            AnswerKind::Final if status < 300 => self.callee_2xx(hands, now, response),
            AnswerKind::Another2xx => self.callee_2xx_again(hands, now, response),
            AnswerKind::Final if status == 422 && self.ask_for_longer(hands, now, response) => {}
            AnswerKind::Final => self.callee_failed(hands, now, status),
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
        if let Some(tag) = response.to().tag() {
            self.not_to_caller.id(tag);
        }
        let described = self.take_description(response);
        if described == Described::Media {
            self.bridge.order_flows(hands);
            self.record.early_media_at.get_or_insert(now.wall);
        }
        if matches!(status, 180..=182) && self.record.ringing_at.is_none() {
            self.record.ringing_at = Some(now.wall);
            self.tell(hands, now, EventKind::Ringing);
        }
        // RFC 3261 §13.2.1: the caller has one description of ours in its dialog, told with the first
        // answer that brings media and repeated with those that follow, in case that one was lost.
        let sdp = if described == Described::Media && self.bridge.caller_offered() {
            Sdp::With
        } else {
            Sdp::Without
        };
        self.progress_to_caller(hands, now, status.min(183), sdp);
    }

    /// Takes the description in a response as the called side's answer to our offer. RFC 3261 §13.2.1 has
    /// only the first of an early dialog count; but gateways that change from a ring-back server to the
    /// phone say so under the same tag, and whoever doesn't repeats itself: so the last one counts.
    fn take_description(&mut self, response: &Message<'_>) -> Described {
        let Ok(Some(session)) = inspect::offer(response) else {
            return Described::Nothing;
        };
        match self.bridge.callee_described(&session) {
            Ok(()) => {
                if let Some(media) = self.bridge.agreed(LegName::Callee).and_then(|agreed| agreed.rtp) {
                    self.not_to_caller.address(media.ip());
                }
                Described::Media
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
        let party = LocalParty {
            call_id: &callee.call_id,
            local_tag: &callee.leg.local_tag,
            local: &callee.local,
            remote: &callee.remote,
            request_uri: &callee.target,
            cseq: callee.cseq,
        };
        callee.state = CalleeState::Answered;
        callee.leg.dialog = Dialog::uac(&party, response, callee.path);
        // The dialog has its own, and no other exit will be tried.
        for text in [&mut callee.local, &mut callee.remote, &mut callee.target] {
            *text = Vec::new();
        }
        callee.exits = Vec::new();
        let Some(dialog) = &callee.leg.dialog else {
            // A route set that can't be kept: there is no way to talk to it.
            callee.leg.bye = Bye::Done;
            let path = callee.path;
            decline(hands, now, path, &self.config, response);
            self.end(hands, now, End::failed(Reason::Unreachable));
            return;
        };
        hands.dialogs.insert(dialog.id(), (self.me, LegName::Callee));
        if let Some(tag) = response.to().tag() {
            self.not_to_caller.id(tag);
        }
        self.ack(hands, now, LegName::Callee, response.cseq().number);
        if self.recorded != Recorded::Open {
            // It answered while our CANCEL was on its way (RFC 3261 §9.1).
            self.hang_up(hands, now, LegName::Callee);
            return;
        }
        let described = self.take_description(response);
        if described != Described::Media && self.bridge.description(LegName::Caller).is_none() {
            let cause = (described == Described::OtherFamily).then_some(OTHER_FAMILY);
            let end = End {
                cause,
                ..End::failed(Reason::Media)
            };
            self.end(hands, now, end);
            return;
        }
        self.session_granted(hands, now, LegName::Callee, response);
        self.bridge.talk(hands);
        if self.answer_caller(hands, now) == Sent::Yes {
            self.answered(hands, now);
        }
    }

    /// A further 2xx: a repetition of the winner's, whose ACK was lost, or another fork's, which is ended
    /// at once (RFC 3261 §13.2.2.4).
    fn callee_2xx_again(&mut self, hands: &mut Hands, now: Now, response: &Message<'_>) {
        let Some(callee) = self.callee.as_mut() else {
            return;
        };
        let tag = response.to().tag().unwrap_or_default();
        if callee
            .leg
            .dialog
            .as_ref()
            .is_some_and(|dialog| dialog.remote_tag() == tag)
        {
            self.ack(hands, now, LegName::Callee, response.cseq().number);
            return;
        }
        let path = callee.path;
        let is_known = callee.losers.iter().any(|known| **known == *tag);
        if is_known {
            // Its BYE is on the way; only the ACK was lost.
            disown(hands, path, &self.config, response);
        } else if callee.losers.len() < FORKS_MAX {
            callee.losers.push(tag.into());
            decline(hands, now, path, &self.config, response);
        }
    }

    /// The called side, or the gateway before it, refused.
    fn callee_failed(&mut self, hands: &mut Hands, now: Now, status: u16) {
        let Some(callee) = self.callee.as_mut() else {
            return;
        };
        if let Some(timer) = callee.give_up.take() {
            hands.timers.cancel(timer);
        }
        callee.state = CalleeState::Over;
        callee.leg.bye = Bye::Done;
        if let Some(attempt) = self.record.attempts.last_mut() {
            attempt.status = status;
        }
        self.record.callee_sip_status = Some(status);
        if self.recorded != Recorded::Open {
            return;
        }
        if !self.has_rung() && failover::tries_next(status) && self.try_next(hands, now) {
            return;
        }
        let reason = refusal::of_callee(status);
        let by = if (500..600).contains(&status) {
            ReleasedBy::Server
        } else {
            ReleasedBy::Callee
        };
        let end = End {
            by,
            status: refusal::relayed_status(status),
            ..End::failed(reason)
        };
        self.end(hands, now, end);
    }

    /// The callee's INVITE got no answer at all, or couldn't be sent.
    pub fn callee_lost(&mut self, hands: &mut Hands, now: Now, lost: Lost) {
        let Some(callee) = self.callee.as_mut() else {
            return;
        };
        if let Some(timer) = callee.give_up.take() {
            hands.timers.cancel(timer);
        }
        callee.state = CalleeState::Over;
        callee.leg.bye = Bye::Done;
        let is_wanted = self.recorded == Recorded::Open;
        if is_wanted && !self.has_rung() && lost == Lost::Transport && self.try_by_udp(hands, now) {
            return;
        }
        if is_wanted && (self.has_rung() || !self.try_next(hands, now)) {
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
        let is_silent = self
            .callee
            .as_ref()
            .is_some_and(|callee| callee.state == CalleeState::Calling);
        let reason = if is_silent {
            Reason::TrunkDown
        } else {
            Reason::NoAnswer
        };
        self.end(hands, now, End::failed(reason));
    }

    fn has_rung(&self) -> bool {
        self.record.ringing_at.is_some() || self.record.early_media_at.is_some()
    }

    fn try_next(&mut self, hands: &mut Hands, now: Now) -> bool {
        let Some(callee) = self.callee.as_ref() else {
            return false;
        };
        let next = callee.tried + 1;
        if next >= callee.exits.len() {
            return false;
        }
        let way = Way {
            exits: callee.exits.clone(),
            tried: next,
            by: By::Size,
            max_forwards: callee.max_forwards,
            again: None,
        };
        self.dial_by(hands, now, way);
        true
    }

    /// Dials the same gateway once more, by UDP, if the INVITE went by TCP only for its size (RFC 3261 §18.1.1).
    fn try_by_udp(&mut self, hands: &mut Hands, now: Now) -> bool {
        let Some(callee) = self.callee.as_ref().filter(|callee| callee.by == By::Size) else {
            return false;
        };
        let way = Way {
            exits: callee.exits.clone(),
            tried: callee.tried,
            by: By::Udp,
            max_forwards: callee.max_forwards,
            again: None,
        };
        self.dial_by(hands, now, way);
        true
    }

    /// The same gateway wants a longer session than we asked for: the same INVITE goes out once more and asks for that
    /// (RFC 4028 §7.3). `false`: it doesn't, and the 422 is a failure like others.
    fn ask_for_longer(&mut self, hands: &mut Hands, now: Now, response: &Message<'_>) -> bool {
        let Some(callee) = self.callee.as_ref() else {
            return false;
        };
        let is_wanted = self.recorded == Recorded::Open && callee.state != CalleeState::Cancelled;
        let is_known = callee.leg.wish.timer != SessionTimer::Off && callee.cseq < SESSION_TRIES_MAX;
        let longer = wanted_by_422(response).filter(|wanted| *wanted > callee.min_s);
        let (true, true, Some(min_s)) = (is_wanted, is_known, longer) else {
            return false;
        };
        let way = Way {
            exits: callee.exits.clone(),
            tried: callee.tried,
            by: callee.by,
            max_forwards: callee.max_forwards,
            // Call-ID, From and To as before, the next CSeq.
            again: Some(Again {
                call_id: callee.call_id,
                tag: callee.leg.local_tag,
                cseq: callee.cseq + 1,
                min_s,
            }),
        };
        self.dial_by(hands, now, way);
        true
    }

    /// ACKs a 2xx to an INVITE of ours.
    pub fn ack(&mut self, hands: &mut Hands, now: Now, name: LegName, cseq: u32) {
        let config = self.config.clone();
        let Some(leg) = self.leg(name) else { return };
        let Some(dialog) = leg.dialog.as_mut() else { return };
        let (to, by) = way(&config, dialog);
        let ack = dialog.request(Method::Ack, cseq, &hands.branch(), by.via(), None, &[], None, 70);
        self.watch(hands, name, &ack);
        hands.send(to, ack);
        self.note_message(now.at, name, Heading::Out, Method::Ack, None, false);
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
        if let Some(invite) = callee.invite {
            hands.layer.cancel(now.at, invite);
        }
        // RFC 3261 §9.1: without a final answer 64·T1 after the CANCEL the INVITE counts as cancelled.
        callee.give_up = Some(hands.wake(me, now.at + wait, CallTimer::Cancelled));
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
    }
}

/// How the callee is dialled.
struct Way {
    exits: Vec<Exit>,
    /// Which of them.
    tried: usize,
    by: By,
    max_forwards: u8,
    /// What stays of the INVITE before, which the same gateway wants to have otherwise.
    again: Option<Again>,
}

/// What an INVITE has in common with the one that it stands in for.
struct Again {
    call_id: Token,
    tag: Token,
    cseq: u32,
    min_s: u32,
}

/// What decides on the transport of an INVITE to a gateway that is spoken to over UDP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    /// Its size, if the trunk says so.
    Size,
    /// Nothing any more: it goes over UDP.
    Udp,
}

/// Why an INVITE of ours has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lost {
    /// Nobody answered in time.
    Timeout,
    /// It could not be delivered.
    Transport,
}

/// The media interface towards an exit: its trunk's, else the first of its gateway's address family; where there
/// is none of that family, the first: who has both families may still be reached.
pub fn callee_interface(config: &Config, exit: Exit) -> InterfaceId {
    let trunk = &config.trunks[exit.trunk];
    let gateway = trunk.gateways[exit.gateway].address.ip();
    config.media.towards(trunk.media, gateway).unwrap_or_default()
}

/// ACKs a 2xx that nobody wants any more, and hangs up on it (RFC 3261 §13.2.2.4).
pub fn decline(hands: &mut Hands, now: Now, path: Path, config: &Config, response: &Message<'_>) {
    if let Some(mut fork) = disown(hands, path, config, response) {
        let cseq = fork.next_cseq();
        let (to, by) = way(config, &fork);
        let bye = fork.request(Method::Bye, cseq, &hands.branch(), by.via(), None, &[], None, 70);
        hands.layer.request(now.at, to, Owner::NOBODY, bye);
    }
}

/// ACKs a 2xx that nobody wants any more.
fn disown(hands: &mut Hands, path: Path, config: &Config, response: &Message<'_>) -> Option<Dialog> {
    let fork = Dialog::unwanted(response, path)?;
    let cseq = response.cseq().number;
    let (to, by) = way(config, &fork);
    let ack = fork.request(Method::Ack, cseq, &hands.branch(), by.via(), None, &[], None, 70);
    hands.send(to, ack);
    Some(fork)
}

/// What a response said of media.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Described {
    /// Nothing that we could take.
    Nothing,
    /// An address that our side of the leg can't send to: IPv4 here, IPv6 there, or the other way round.
    OtherFamily,
    /// Where and how it wants media.
    Media,
}
