//! How the called side is dialled: which gateway, by which transport, with an INVITE of its own each time.

use super::Leg;
use super::callee::{Callee, CalleeState};
use super::challenge::Given;
use super::forks::Forks;
use super::invite::{CalleeInvite, Numbers};
use super::session_timer::{in_invite, wanted_by_422};
use crate::base::limits::{SESSION_TRIES_MAX, UDP_REQUEST_BYTES_MAX};
use crate::base::number::Shown;
use crate::base::text;
use crate::base::time::{Instant, Now};
use crate::call::cdr::Attempt;
use crate::call::config::Config;
use crate::call::draft::Draft;
use crate::call::failover::Try;
use crate::call::guard::Scope;
use crate::call::hands::{Hands, Purpose, Token, listener, listener_towards, owner};
use crate::call::media::InterfaceId;
use crate::call::phase::{Call, End};
use crate::call::port::{CallEntry, EventKind, Heading, LegName, Legs, Output};
use crate::call::trunk::EarlyMedia;
use crate::call::trunk::{LargeRequests, Naming, SessionTimer, Trunk};
use crate::masking::reason::Reason;
use crate::sip::lexer::Head;
use crate::sip::method::Method;
use crate::sip::overload::{self, Control};
use crate::sip::path::{ListenerId, Path, Transport};
use crate::sip::session_id::SessionId;
use crate::sip::transaction::ClientId;

impl Call {
    /// Calls the other party by the first of these exits, or fails for want of one.
    pub fn dial(&mut self, hands: &mut Hands, now: Now, exits: Result<Vec<Try>, Reason>, max_forwards: u8) {
        let exits = match exits {
            Ok(exits) => exits,
            Err(none) => {
                if self.try_turn(hands, now, max_forwards) {
                    return;
                }
                self.end(hands, now, End::failed(none));
                return;
            }
        };
        self.dial_from(hands, now, exits, 0, max_forwards, End::failed(Reason::TrunkDown));
    }

    /// Calls by the first of these exits, from one on, that has an address. Without one the call ends so.
    fn dial_from(
        &mut self,
        hands: &mut Hands,
        now: Now,
        exits: Vec<Try>,
        from: usize,
        max_forwards: u8,
        otherwise: End,
    ) {
        let Some(tried) = self.found(hands, &exits, from) else {
            if !self.try_turn(hands, now, max_forwards) {
                self.end(hands, now, otherwise);
            }
            return;
        };
        self.record.dialled_at.get_or_insert(now.wall);
        let way = Way {
            exits,
            tried,
            by: By::Size,
            max_forwards,
            again: None,
        };
        self.dial_by(hands, now, way);
    }

    /// The first of these exits, from one on, that has an address. Those before it whose names resolve to nothing
    /// are noted in the record: by their names, and without a status.
    fn found(&mut self, hands: &mut Hands, exits: &[Try], from: usize) -> Option<usize> {
        let config = self.config.clone();
        for (at, exit) in exits.iter().enumerate().skip(from) {
            if exit.target.is_some() {
                return Some(at);
            }
            let trunk = &config.trunks[exit.trunk];
            self.note_attempt(hands, trunk, trunk.gateways[exit.gateway].place.host_port());
        }
        None
    }

    /// Notes in the record that a gateway is tried; the first time it goes on disk, before the called party hears of it.
    fn note_attempt(&mut self, hands: &mut Hands, trunk: &Trunk, gateway: String) {
        self.note_recording();
        let Some(right) = &self.warrant else { return };
        // Nearly always there is one.
        self.record.attempts.reserve_exact(1);
        self.record.attempts.push(Attempt {
            trunk: trunk.name.to_string(),
            gateway,
            callee: self.config.numbers.record(right.called().reveal()),
            status: 0,
            challenge: None,
        });
        if self.record.attempts.len() == 1 {
            hands.journal(|ink| CallEntry::Arrived(Draft::whole(&self.record, ink)));
        }
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
        let (Some(exit), Some(right)) = (exits.get(tried), &self.warrant) else {
            return;
        };
        let Some(target) = exit.target else { return };
        let trunk = &config.trunks[exit.trunk];
        let (called, shown) = (right.called(), right.shown());
        let is_masked = right.plan().is_some();
        let as_shown = |shown| Numbers::written(called, shown, trunk, &config.numbers);
        // Help is called without a number, where rules for ours don't fit it, rather than not at all.
        let numbers = match as_shown(shown) {
            Err(_) if !is_masked => as_shown(Shown::Withheld),
            numbers => numbers,
        };
        let Ok(numbers) = numbers else {
            // Another trunk may have other rules; nobody is called by what is no number.
            let end = End {
                cause: Some("number_format"),
                ..End::failed(Reason::TrunkDown)
            };
            return self.dial_from(hands, now, exits, tried + 1, max_forwards, end);
        };
        let is_another = again.is_none() && by == By::Size;
        if is_another {
            self.passes[1] = None;
            if is_masked && trunk.overload.spares(now.at, target.address, &mut hands.chance) {
                let end = End {
                    cause: Some("gateway_overload"),
                    ..End::failed(Reason::TrunkDown)
                };
                return self.dial_from(hands, now, exits, tried + 1, max_forwards, end);
            }
            let entered = if is_masked {
                trunk.limits.enter(Heading::Out, now.at)
            } else {
                // Nobody who needs help waits for others.
                Ok(trunk.limits.enter_again(Heading::Out))
            };
            match entered {
                Ok(pass) => self.passes[1] = Some(pass),
                Err(over) => {
                    let end = End {
                        cause: Some(over.name()),
                        ..End::failed(Reason::TrunkDown)
                    };
                    return self.dial_from(hands, now, exits, tried + 1, max_forwards, end);
                }
            }
        }
        let gateway = &trunk.gateways[exit.gateway];
        // That one reaches every gateway is checked when the conf is read.
        let listener = listener_towards(&config, trunk.listener, target.transport, target.address)
            .unwrap_or(listener(&config, ListenerId(0)));
        let again = again.unwrap_or_else(|| Again {
            call_id: hands.call_id(),
            tag: hands.token(),
            cseq: 1,
            min_s: 0,
            session: (trunk.session_id == Naming::Own).then(|| SessionId::mint(&mut hands.chance)),
            given: None,
        });
        let Again {
            call_id,
            tag,
            cseq,
            min_s,
            session,
            mut given,
        } = again;
        let branch = hands.branch();
        let icid: Option<Token> = (trunk.charging_vector == Naming::Own).then(|| hands.token());
        let timer = in_invite(trunk.session, min_s);
        let interface = callee_interface(&config, *exit).unwrap_or_default();
        if let Err(refused) =
            self.bridge
                .face_callee(hands, now.at, trunk, target.transport, interface, &config.media)
        {
            // Another trunk may have the codecs that this one lacks.
            if refused.refusal == Some(Reason::Media) {
                return self.dial_from(hands, now, exits, tried + 1, max_forwards, refused);
            }
            self.end(hands, now, refused);
            return;
        }
        if is_masked {
            self.heed_early_media();
        } else {
            // Somebody may be told to stay on the line.
            self.bridge.treat_early(EarlyMedia::Relay);
        }
        if self.ivr.is_some() {
            self.bridge.ring_for();
        }
        let sdp = self.bridge.description(LegName::Callee).unwrap_or_default();
        let mut invite = CalleeInvite {
            numbers: &numbers,
            trunk,
            place: &gateway.place,
            listener,
            via: listener,
            call_id: &call_id,
            from_tag: &tag,
            branch: &branch,
            max_forwards,
            sdp,
            icid: icid.as_ref().map(Token::as_slice),
            session,
            cseq,
            timer: &timer,
            proof: given
                .as_mut()
                .zip(trunk.credentials.as_ref())
                .map(|(given, credentials)| given.prove(credentials, &mut hands.chance)),
        };
        let mut written = invite.write();
        let path = Path {
            listener: listener.id,
            transport: target.transport,
            remote: target.address,
            flow: None,
            party: None,
        };
        let path = trunk.way(path);
        let large = match (by, target.transport, trunk.large_requests) {
            (By::Size, Transport::Udp, LargeRequests::Tcp) if written.bytes.len() > UDP_REQUEST_BYTES_MAX => {
                listener_towards(&config, Some(listener.id), Transport::Tcp, target.address)
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
        if icid.is_some() || self.record.charging.is_some() {
            let icid = icid.map(|icid| String::from_utf8_lossy(&icid).into_owned());
            self.record.charging.get_or_insert_default().icid_out = icid;
        }
        self.record.trunk_out = Some(trunk.name.to_string());
        self.record.sip_call_id_out = Some(String::from_utf8_lossy(&call_id).into_owned());
        self.not_to_callee
            .known(&[target.address.ip(), listener.advertised.ip()]);
        if let Ok(domain) = trunk.showing.domain.parse() {
            self.not_to_callee.known(&[domain]);
        }
        self.not_to_callee.known_media(&config.media);
        let (place, showing) = (gateway.place.host_port(), &trunk.showing);
        let credentials = trunk.credentials.as_ref();
        let (realm, user) = credentials.map_or(("", ""), |known| (&*known.realm, &*known.user));
        let names = [&*place, &*showing.domain, &*showing.from_user, realm, user];
        self.not_to_callee.ours(&names);
        if !self.may_send(LegName::Callee, &written.bytes, Scope::Whole) {
            self.guard_hit(hands, now);
            return;
        }
        if is_another {
            self.note_attempt(hands, trunk, text::of_address(target.address));
        }
        self.not_to_caller.address(target.address.ip());
        if let (true, Some(lines)) = (config.tells_legs, self.caller.echo.lines()) {
            hands.out.push_back(Output::Legs(Box::new(Legs {
                call_id: self.record.call_id,
                caller: lines.call_id().into(),
                callee: call_id[..].into(),
            })));
        }
        let me = owner(self.me, Purpose::Invite(LegName::Callee));
        let is_first = self.callee.is_none();
        let client = hands.layer.request(now.at, first_path, me, written.bytes);
        self.note_message(now.at, LegName::Callee, Heading::Out, Method::Invite, None, true);
        let state = if client.is_some() {
            CalleeState::Calling
        } else {
            CalleeState::Over
        };
        let mut leg = Leg::new(LegName::Callee, tag, listener.id, trunk.session);
        leg.name_session(session);
        self.callee = Some(Callee {
            leg,
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
            given,
            proof: written.proof.map(Box::new),
            forks: Forks::default(),
            give_up: None,
        });
        if client.is_none() {
            self.end(hands, now, End::failed(Reason::Overload));
            return;
        }
        self.start_ringing(hands, now, trunk);
        if is_first {
            self.tell(hands, now, EventKind::Dialled);
        }
    }

    /// What the gateway that has the call says of the calls that it wants (RFC 7339 §5.3).
    /// One that was left for it has nothing to say any more.
    pub fn hear_overload(&self, now: Instant, invite: ClientId, answer: &Head<'_>) {
        let Some(callee) = self.callee.as_ref().filter(|_| self.is_present(invite)) else {
            return;
        };
        let exit = callee.exits.get(callee.tried);
        let trunk = exit.and_then(|exit| self.config.trunks.get(exit.trunk));
        if let (Some(trunk), Some(Control::Wanted(wanted))) = (trunk, overload::read(answer)) {
            trunk.overload.hear(now, callee.path.remote, wanted);
        }
    }

    /// Whether something is left to try behind the gateway that has the call now.
    pub(super) fn has_another_way(&self) -> bool {
        let mut callee = self.callee.iter();
        let is_left = |callee: &Callee| {
            let mut left = callee.exits.iter().skip(callee.tried + 1);
            left.any(|exit| exit.target.is_some())
        };
        callee.any(is_left) || self.has_another_target()
    }

    /// Dials the next exit, if there is one.
    pub(super) fn try_next(&mut self, hands: &mut Hands, now: Now) -> bool {
        let Some(callee) = self.callee.as_ref() else {
            return false;
        };
        let (exits, max_forwards, next) = (callee.exits.clone(), callee.max_forwards, callee.tried + 1);
        let Some(tried) = self.found(hands, &exits, next) else {
            return false;
        };
        let way = Way {
            exits,
            tried,
            by: By::Size,
            max_forwards,
            again: None,
        };
        self.dial_by(hands, now, way);
        true
    }

    /// Dials the same gateway once more, for whom the plan now names.
    pub(super) fn dial_again(&mut self, hands: &mut Hands, now: Now) {
        let Some(callee) = self.callee.as_ref() else {
            return;
        };
        let way = Way {
            exits: callee.exits.clone(),
            tried: callee.tried,
            by: By::Size,
            max_forwards: callee.max_forwards,
            again: None,
        };
        self.dial_by(hands, now, way);
    }

    /// Dials the same gateway once more, by UDP, if the INVITE went by TCP only for its size (RFC 3261 §18.1.1).
    pub(super) fn try_by_udp(&mut self, hands: &mut Hands, now: Now) -> bool {
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
    /// (RFC 4028 §7.3). `false`: it can't, and the 422 is a failure like others.
    pub(super) fn ask_for_longer(&mut self, hands: &mut Hands, now: Now, refusal: &Head<'_>) -> bool {
        let Some(callee) = self.callee.as_ref() else {
            return false;
        };
        let tries = callee.cseq - Given::answers(callee.given.as_ref());
        let is_known = callee.leg.wish.timer != SessionTimer::Off && tries < SESSION_TRIES_MAX;
        let longer = wanted_by_422(refusal).filter(|wanted| *wanted > callee.min_s);
        let (true, Some(min_s)) = (is_known, longer) else {
            return false;
        };
        let given = callee.given.clone();
        self.dial_same(hands, now, min_s, given);
        true
    }

    /// The same INVITE goes to the same gateway once more, with what that has asked for: Call-ID, From and To as before,
    /// the next CSeq (RFC 4028 §7.3, RFC 3261 §22.2).
    pub(super) fn dial_same(&mut self, hands: &mut Hands, now: Now, min_s: u32, given: Option<Given>) {
        let Some(callee) = self.callee.as_ref() else {
            return;
        };
        let way = Way {
            exits: callee.exits.clone(),
            tried: callee.tried,
            by: callee.by,
            max_forwards: callee.max_forwards,
            again: Some(Again {
                call_id: callee.call_id,
                tag: callee.leg.local_tag,
                cseq: callee.cseq + 1,
                min_s,
                session: callee.leg.session(),
                given,
            }),
        };
        self.dial_by(hands, now, way);
    }
}

/// How the callee is dialled.
struct Way {
    exits: Vec<Try>,
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
    session: Option<SessionId>,
    /// The challenge that it answers.
    given: Option<Given>,
}

/// What decides on the transport of an INVITE to a gateway that is spoken to over UDP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum By {
    /// Its size, if the trunk says so.
    Size,
    /// Nothing any more: it goes over UDP.
    Udp,
}

/// The media interface towards an exit: its trunk's, else the first of its gateway's address family; where there
/// is none of that family, the first: who has both families may still be reached. `None` for an exit without an address.
pub fn callee_interface(config: &Config, exit: Try) -> Option<InterfaceId> {
    let trunk = &config.trunks[exit.trunk];
    let gateway = exit.target?.address.ip();
    Some(config.media.towards(trunk.media, gateway).unwrap_or_default())
}
