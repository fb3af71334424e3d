//! A new call comes in: whether it is taken, whom it reaches, and its record from the first moment.

use super::announce::{Parting, Refused, Says};
use super::arrive::{self, Arrival, Wanted};
use super::ask::Silence;
use super::bridge::Bridge;
use super::cdr::{self, CallerKind, Cdr, ReleasedBy};
use super::cue::Cue;
use super::exchange::apart::Apart;
use super::guard::Forbidden;
use super::hands::{CallRef, Purpose, Token, listener, owner};
use super::kept::Mark;
use super::leg::caller::{Caller, InviteState, Sdp, Told};
use super::leg::refresh::Judged;
use super::leg::reliable::Rel;
use super::leg::ringing::Ringing;
use super::leg::{Echo, Leg};
use super::noted;
use super::overload::lines::Verdict;
use super::overload::{self, Load};
use super::phase::{Call, End, Leaves, Recorded, Wire};
use super::port::{Event, EventKind, Heading, LegName, Note, Output, Records, TraceLine};
use super::recording::{self, Why};
use super::refusal::{self, Bounce};
use super::switch::{Late, Switch};
use super::trunk::limits::Pass;
use super::trunk::{self, Naming, Trunk};
use super::warrant::Warrant;
use crate::base::id::Id;
use crate::base::limits::{ICID_BYTES_MAX, RETRY_AFTER_S, STRANGER_ANSWER};
use crate::base::number::{Digits, Tel};
use crate::base::redact;
use crate::base::time::Now;
use crate::masking::binding::{Mode, Party};
use crate::masking::callee::Callee as TemporaryCallee;
use crate::masking::inventory::DEFAULT_ACCOUNT;
use crate::masking::keyed::Keyed;
use crate::masking::reason::Reason;
use crate::masking::route::{self, Attempt, Decision, Refusal};
use crate::masking::seats::{Full, Seat};
use crate::sip::dialog::{Dialog, NoDialog};
use crate::sip::header::{Name, params};
use crate::sip::lexer::Head;
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::outline::Asked;
use crate::sip::overload::read;
use crate::sip::path::Path;
use crate::sip::session_id::SessionId;
use crate::sip::transaction::ServerId;

/// An INVITE outside any dialog, and whose wire it came by.
pub(super) struct Came<'a> {
    pub(super) path: Path,
    pub(super) server: ServerId,
    pub(super) message: &'a Message<'a>,
    pub(super) trunk: &'a Trunk,
    /// The Session-ID of its dialog, where the trunk wants one.
    pub(super) session: Option<SessionId>,
}

impl<'a> Came<'a> {
    /// Whose wire it came by.
    pub(super) const fn wire(&self) -> Wire<'a> {
        Wire {
            trunk: self.trunk,
            source: self.path.remote.ip(),
            transport: self.path.transport,
        }
    }
}

/// What a call has taken, and gives back.
#[derive(Default)]
pub(super) struct Places {
    /// The temporary callee.
    pub(super) taken: Option<TemporaryCallee>,
    /// Its seat among the calls by its number.
    pub(super) seat: Option<Seat>,
    /// The same among the calls of the trunk that it came by.
    pub(super) pass: Option<Pass>,
}

impl Switch {
    /// An INVITE outside any dialog: somebody calls.
    pub(super) fn invite(&mut self, now: Now, path: Path, server: ServerId, message: &Message<'_>) {
        let config = self.config.clone();
        let Some(trunk) = trunk::of_path(&config.trunks, &self.hands.resolved, path) else {
            return self.bounce(now, path, server, message, &Bounce::status(403));
        };
        let session = (trunk.session_id == Naming::Own).then(|| {
            let mut session = SessionId::mint(&mut self.hands.chance);
            session.hear(message);
            self.hands.layer.name_session(server, session);
            session
        });
        let came = Came {
            path,
            server,
            message,
            trunk,
            session,
        };
        // Before anything that could keep it out.
        if let Some(of) = &config.emergency
            && let Some(number) = arrive::emergency(Asked::Whole(message), trunk, &config.numbers, &of.table)
        {
            return self.emergency(now, came, of, number);
        }
        let mut admitted = overload::admit(self.load());
        if admitted.is_err() && self.records == Records::Full {
            // Without room for a record there is no attempt: every attempt has one.
            self.hands.note(Note::Shed);
            trunk.overload.count(now, Verdict::Shed);
            let bounce = self.shed(path, message);
            return self.bounce(now, path, server, message, &bounce);
        }
        let (pass, over) = match admitted.is_ok().then(|| trunk.limits.enter(Heading::In, now.at)) {
            Some(Err(over)) => {
                admitted = Err(Reason::Overload);
                (None, Some(over))
            }
            Some(Ok(pass)) => (Some(pass), None),
            None => (None, None),
        };
        let verdict = if admitted.is_ok() {
            Verdict::Taken
        } else {
            Verdict::Shed
        };
        trunk.overload.count(now, verdict);
        let (arrival, sound) = arrive::read(message, trunk, &config.numbers, Wanted::Somebody);
        let Some(dialled) = arrival.dialled else {
            return match sound {
                Ok(()) => self.refuse(now, path, server, message, None, Reason::NotOurs),
                Err(bounce) => self.bounce(now, path, server, message, &bounce),
            };
        };
        let attempt = Attempt {
            diverting: arrival.diverting,
            dialled,
            caller: arrival.caller,
            arrived: now.wall,
            digits: Keyed::Nothing,
        };
        let mut decision = route::route(&self.table, &attempt);
        if let (Decision::Connect(plan), Some(of)) = (&decision, &config.emergency)
            && let Some(number) = of.table.number_of(plan.called())
        {
            // Somebody was bound to it: nobody gets there in another's name.
            return self.emergency(now, came, of, number);
        }
        let mut seat = None;
        if admitted.is_ok() && sound.is_ok() {
            (decision, seat) = route::claim(&self.table, decision, None);
        }
        let mut record = self.draft(now, trunk, message, &attempt, &decision);
        if let (Some(record), Err(_)) = (&mut record, admitted) {
            record.end_cause = over.map(|over| over.name().to_owned());
        }
        if let Err(bounce) = sound {
            return self.refuse_with(now, path, server, message, record, Reason::Protocol, &bounce);
        }
        let plan = match (admitted, decision) {
            (Ok(()), Decision::Connect(plan)) => plan,
            (Ok(()), Decision::Collect(collect)) => {
                let Some(record) = record else { return };
                let places = Places {
                    taken: None,
                    seat,
                    pass,
                };
                return self.ask(now, came, record, arrival, (attempt, collect), places);
            }
            (Ok(()), Decision::Ask(question)) => {
                let Some(record) = record else { return };
                let places = Places {
                    taken: None,
                    seat,
                    pass,
                };
                return self.inquire(now, came, record, arrival, question, places);
            }
            (Ok(()), Decision::Refuse(refusal)) => {
                let reason = refusal.reason;
                let Some(offer) = arrival.offer.filter(|_| self.says(trunk, reason) == Says::Sound) else {
                    return self.refuse(now, path, server, message, record, reason);
                };
                let refused = Refused {
                    record,
                    offer,
                    pass,
                    end: End {
                        cause: cause_of(&refusal),
                        ..End::failed(reason)
                    },
                };
                return self.refuse_aloud(now, came, &attempt, refused);
            }
            // What stands above overload in the order of judgement is said first.
            (Err(load), Decision::Refuse(refusal)) if refusal.reason < load => {
                return self.refuse(now, path, server, message, record, refusal.reason);
            }
            (
                Err(load),
                Decision::Connect(_) | Decision::Collect(_) | Decision::Ask(_) | Decision::Refuse(_),
            ) => {
                self.hands.note(Note::Shed);
                return self.refuse(now, path, server, message, record, load);
            }
        };
        let taken = plan.callee().copied();
        let Some(record) = record else { return };
        let places = Places { taken, seat, pass };
        self.begin(now, came, record, arrival, Warrant::Masked(plan), places);
    }

    /// A call goes its way: it gets its place, and the other party is called.
    pub(super) fn begin(
        &mut self,
        now: Now,
        came: Came<'_>,
        record: Box<Cdr>,
        arrival: Arrival,
        right: Warrant,
        places: Places,
    ) {
        let wire = came.wire();
        if let Some(mut call) = self.admit(now, came, record, &arrival, places) {
            call.connect(&mut self.hands, now, arrival, right, &wire);
            self.put_back(call);
        }
    }

    /// A call gets its place, and its caller hears that it has come. `None`: its caller's leg can't be made, and it is
    /// refused.
    pub(super) fn admit(
        &mut self,
        now: Now,
        came: Came<'_>,
        record: Box<Cdr>,
        arrival: &Arrival,
        places: Places,
    ) -> Option<Box<Call>> {
        let Came {
            path,
            server,
            message,
            trunk,
            session,
        } = came;
        let tag = self.hands.token();
        let kept = Echo::of(message, path.remote)
            .ok_or(NoDialog::TooLong)
            .and_then(|echo| Ok((echo, Dialog::uas(message, &tag, trunk.way(path))?)));
        let (echo, dialog) = match kept {
            Ok(kept) => kept,
            Err(why) => {
                if let Some(callee) = &places.taken {
                    self.table.give_back(callee);
                }
                let bounce = Bounce::status(match why {
                    NoDialog::Malformed => 400,
                    NoDialog::TooLong => 513,
                });
                let record = Some(record);
                self.refuse_with(now, path, server, message, record, Reason::Protocol, &bounce);
                return None;
            }
        };
        let mut call = self.place(now, record, server, tag, path, echo, dialog, message, trunk);
        call.callee_taken = places.taken;
        call.caller.leg.name_session(session);
        call.seat = places.seat;
        call.passes = [places.pass, None];
        call.note_message(
            now.at,
            LegName::Caller,
            Heading::In,
            Method::Invite,
            None,
            !message.body().is_empty(),
        );
        call.tell(&mut self.hands, now, EventKind::Arrived);
        call.not_to_callee.id(message.call_id());
        if let Some(tag) = message.from_tag() {
            call.not_to_callee.id(tag);
        }
        call.not_to_callee.address(path.remote.ip());
        if let Some(media) = arrival.media_address() {
            call.not_to_callee.address(media);
            call.not_to_caller.known(&[media]);
        }
        // RFC 3261 §8.2.6.1: 100 at once, so that the INVITE isn't repeated meanwhile.
        call.progress_to_caller(&mut self.hands, now, 100, super::leg::caller::Sdp::Without);
        self.hands.collect_sends();
        Some(call)
    }

    fn load(&self) -> Load {
        Load {
            door: self.door,
            records: self.records,
            calls: self.live,
            calls_max: self.config.calls_max,
        }
    }

    /// What a new request gets when there is more to do than can be done.
    pub(super) fn shed(&self, path: Path, request: &Head<'_>) -> Bounce {
        let trunk = trunk::of_path(&self.config.trunks, &self.hands.resolved, path);
        // What keeps out everybody is not over in a second.
        let least = match overload::admit(self.load()) {
            Ok(()) => 1,
            Err(_) => RETRY_AFTER_S,
        };
        let drawn = || overload::draw(&self.hands.shard, request);
        let said = || read(request);
        match overload::wait_s(trunk, least, said, drawn) {
            Some(seconds) => Bounce::with(503, "Retry-After", seconds.to_string()),
            None => Bounce::status(503),
        }
    }

    /// Refuses an attempt: its record goes out, if it was one on a number of ours, and the answer. Whoever
    /// is no live party hears the same, at the same offset from arrival, whatever the reason.
    pub(super) fn refuse(
        &mut self,
        now: Now,
        path: Path,
        server: ServerId,
        message: &Message<'_>,
        record: Option<Box<Cdr>>,
        reason: Reason,
    ) {
        let status = refusal::status(reason);
        let bounce = if status == 503 {
            self.shed(path, message)
        } else {
            Bounce::status(status)
        };
        self.refuse_with(now, path, server, message, record, reason, &bounce);
    }

    #[allow(clippy::too_many_arguments)] // what `refuse` takes, and the answer
    pub(super) fn refuse_with(
        &mut self,
        now: Now,
        path: Path,
        server: ServerId,
        message: &Message<'_>,
        record: Option<Box<Cdr>>,
        reason: Reason,
        bounce: &Bounce,
    ) {
        let status = bounce.status;
        let bytes = self.bounce_bytes(path, message, bounce);
        if refusal::is_one_face(reason) {
            self.late.push_back(Late {
                at: now.at + STRANGER_ANSWER,
                server,
                status,
                bytes,
            });
        } else {
            self.hands.layer.respond(now.at, server, status, bytes);
        }
        let Some(mut record) = record else { return };
        record.refusal = Some(reason);
        if !matches!(reason, Reason::Quota | Reason::Overload | Reason::CustomerServer) {
            // The limit was not what kept it out.
            record.end_cause = None;
        }
        record.sip_status = status;
        record.q850_cause = refusal::q850(reason);
        let line = |heading, status| TraceLine {
            at: now.at,
            leg: LegName::Caller,
            heading,
            method: Method::Invite,
            status,
            sdp: false,
        };
        let call_id = record.call_id;
        let event = |what| {
            Output::Event(Event {
                call_id,
                at: now.wall,
                what,
            })
        };
        self.hands.out.push_back(event(EventKind::Arrived));
        self.hands.out.push_back(event(EventKind::Ended {
            status,
            refusal: Some(reason),
        }));
        let trace = vec![line(Heading::In, None), line(Heading::Out, Some(status))];
        self.hands.record(record.into(), trace);
    }

    /// The record as it would be if nothing else ever happened.
    fn draft(
        &mut self,
        now: Now,
        trunk: &Trunk,
        message: &Message<'_>,
        attempt: &Attempt,
        decision: &Decision,
    ) -> Option<Box<Cdr>> {
        let number = match decision {
            Decision::Connect(plan) => plan.number(),
            Decision::Collect(collect) => collect.number(),
            Decision::Ask(question) => question.number(),
            Decision::Refuse(refusal) => refusal.number.as_ref()?,
        };
        let x = self.config.numbers.virtual_text(number.x);
        let mut cdr = self.blank(now, trunk, message, x, attempt.caller);
        self.identify(&mut cdr, decision);
        Some(cdr)
    }

    /// What a decision says of an attempt's parties, in its record.
    pub(super) fn identify(&self, cdr: &mut Cdr, decision: &Decision) {
        let numbers = self.config.numbers;
        let (number, party) = match decision {
            Decision::Connect(plan) => (Some(plan.number().clone()), Some(plan.caller())),
            Decision::Collect(collect) => {
                let party = collect.found().map(|(_, party)| *party);
                (Some(collect.number().clone()), party)
            }
            Decision::Ask(question) => (Some(question.number().clone()), Some(Party::N)),
            Decision::Refuse(refusal) => (refusal.number.clone(), refusal.caller),
        };
        let Some(number) = number else { return };
        let x = numbers.virtual_text(number.x);
        let caller_kind = match party {
            Some(Party::A) => CallerKind::A,
            Some(Party::B) => CallerKind::B,
            Some(Party::N) => CallerKind::N,
            Some(Party::Member) => CallerKind::Member,
            None => CallerKind::Stranger,
        };
        cdr.account = number.account.to_string();
        cdr.pool = Some(number.pool.to_string());
        cdr.caller_kind = caller_kind;
        cdr.x = Some(x);
        (cdr.callee, cdr.shown, cdr.end_cause) = (None, None, None);
        match decision {
            Decision::Connect(plan) => noted::plan(cdr, plan, &numbers),
            Decision::Collect(collect) => {
                if let Some((binding, party)) = collect.found() {
                    noted::binding(cdr, binding, Some(*party), &numbers);
                }
            }
            Decision::Ask(_) => noted::way(cdr, Mode::X, party),
            Decision::Refuse(refusal) => {
                cdr.end_cause = cause_of(refusal).map(str::to_owned);
                if let Some(binding) = &refusal.binding {
                    noted::binding(cdr, binding, party, &numbers);
                }
            }
        }
        let binding = match decision {
            Decision::Connect(plan) => Some(&**plan.binding()),
            Decision::Collect(collect) => collect.found().map(|(binding, _)| &**binding),
            Decision::Ask(_) => None,
            Decision::Refuse(refusal) => refusal.binding.as_deref(),
        };
        if let Some(binding) = binding {
            let wish = self.table.recording(cdr.pool.as_deref(), &cdr.account);
            let why = recording::before_answer(&self.config, binding, wish, cdr);
            cdr.recording = cdr::Recording::none(why);
        }
    }

    /// The record of an attempt of which nothing is known but who dialled what.
    pub(super) fn blank(
        &mut self,
        now: Now,
        trunk: &Trunk,
        message: &Message<'_>,
        dialled: Digits,
        caller: Option<Tel>,
    ) -> Box<Cdr> {
        Box::new(Cdr {
            schema: cdr::SCHEMA,
            node: self.config.node.clone(),
            call_id: Id::mint(now.wall, &mut self.hands.chance),
            binding_id: None,
            account: DEFAULT_ACCOUNT.to_owned(),
            pool: None,
            mode: None,
            caller_kind: CallerKind::Stranger,
            direction: None,
            a: None,
            x: None,
            y: None,
            peer: None,
            extension: None,
            group_id: None,
            caller: caller.map(|tel| self.config.numbers.record(tel)),
            dialled,
            callee: None,
            shown: None,
            arrived_at: now.wall,
            dialled_at: None,
            early_media_at: None,
            ringing_at: None,
            answered_at: None,
            ended_at: now.wall,
            released_by: ReleasedBy::Server,
            sip_status: refusal::status(Reason::Restart),
            callee_sip_status: None,
            q850_cause: refusal::q850(Reason::Restart),
            refusal: None,
            billable_s: 0,
            attempts: Vec::new(),
            recording: cdr::Recording::none(Why::NotAsked),
            media: cdr::Media::default(),
            sip_call_id_in: redact::scrub(&String::from_utf8_lossy(message.call_id())).into_owned(),
            sip_call_id_out: None,
            trunk_in: trunk.name.to_string(),
            trunk_out: None,
            order_id: None,
            user_data: None,
            end_cause: None,
            charging: (trunk.charging_vector == Naming::Own)
                .then(|| {
                    let icid_in = Some(charged_by(message)?);
                    Some(Box::new(cdr::Charging {
                        icid_in,
                        icid_out: None,
                    }))
                })
                .flatten(),
            announcement: None,
            collected: None,
            question: None,
        })
    }

    /// A place for one more call.
    pub(super) fn berth(&mut self) -> CallRef {
        let index = self.free.pop().unwrap_or_else(|| {
            self.calls.push(None);
            self.generations.push(0);
            (self.calls.len() - 1) as u32
        });
        let generation = &mut self.generations[index as usize];
        *generation = (*generation + 1) & 0xFF_FFFF;
        self.live += 1;
        CallRef {
            index,
            generation: *generation,
        }
    }

    /// Makes room for a call and its caller's leg.
    #[allow(clippy::too_many_arguments)] // the one place where a call's parts come together
    pub(super) fn place(
        &mut self,
        now: Now,
        record: Box<Cdr>,
        server: ServerId,
        tag: Token,
        path: Path,
        echo: Echo,
        dialog: Dialog,
        message: &Message<'_>,
        trunk: &Trunk,
    ) -> Box<Call> {
        let me = self.berth();
        self.hands
            .layer
            .own(server, owner(me, Purpose::Invite(LegName::Caller)));
        self.hands.dialogs.insert(dialog.id(), (me, LegName::Caller));
        self.by_id.insert(record.call_id, me);
        let mut leg = Leg::new(LegName::Caller, tag, path.listener, trunk.session);
        leg.dialog = Some(dialog);
        leg.peer.hear(message);
        let rel = Rel::of(message, leg.peer, trunk.reliable_provisionals);
        let mut not_to_caller = Forbidden::default();
        let ours = listener(&self.config, path.listener).advertised.ip();
        not_to_caller.known(&[path.remote.ip(), ours]);
        not_to_caller.known_media(&self.config.media);
        let speaks = self.table.language(record.pool.as_deref(), &record.account);
        let wish = self.table.recording(record.pool.as_deref(), &record.account);
        Box::new(Call {
            me,
            config: self.config.clone(),
            arrived: now,
            record: record.into(),
            speaks,
            recorded: Recorded::Open,
            leaves: Leaves::Record,
            parting: Parting::No,
            words: None,
            cue: Cue::default(),
            asking: None,
            warrant: None,
            through: None,
            callee_taken: None,
            seat: None,
            passes: [None, None],
            caller: Caller {
                leg,
                server,
                echo,
                cseq: message.cseq().number,
                invite: InviteState::Pending,
                session: Judged::default(),
                offered: if message.body().is_empty() {
                    Sdp::Without
                } else {
                    Sdp::With
                },
                rel,
                reliable: None,
                told: Told::nothing(now.at),
                apart: Apart::No,
                refusals: trunk.refusals,
            },
            callee: None,
            left: Vec::new(),
            redirection: None,
            question: None,
            ringing: Ringing::default(),
            bridge: Bridge::new(me, &self.config),
            wish,
            recording: None,
            not_to_caller,
            not_to_callee: Forbidden::default(),
            clock: None,
            holds_until: None,
            counts: None,
            counts_before: None,
            is_told: false,
            counts_timer: None,
            talk: None,
            kept: Mark::default(),
            ivr: None,
            // As many lines as a call has that was answered.
            trace: Vec::with_capacity(10),
        })
    }
}

/// What the record says beside the reason of an attempt that is refused as it comes.
fn cause_of(refusal: &Refusal) -> Option<&'static str> {
    if refusal.reason == Reason::CustomerServer {
        return Some(Silence::NotSet.name());
    }
    refusal.full.map(Full::name)
}

/// The name by which the caller's carrier bills its leg, as far as a record keeps it.
fn charged_by(invite: &Message<'_>) -> Option<String> {
    let (_, icid) = params(invite.get(Name::PChargingVector)?)
        .find(|(name, _)| name.eq_ignore_ascii_case(b"icid-value"))?;
    let icid = icid?.get(..ICID_BYTES_MAX).or(icid)?;
    let text = String::from_utf8_lossy(icid);
    Some(redact::scrub(&text).into_owned())
}
