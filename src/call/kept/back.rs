//! Going on with a call by its state.

use std::sync::Arc;
use std::time::Duration;

use super::form::{self, Body, Bytes, Moving, Say, Stage, Talking, Unacked, Way};
use super::read::read;
use super::{CSEQ_JUMP, Mark, Unfit};
use crate::base::limits::{CALL_DURATION_MAX, RETRY_AFTER_MAX_S};
use crate::base::number::{Digits, RealNumber, Tel, VirtualNumber};
use crate::base::time::{Now, Wall};
use crate::call::announce::Parting;
use crate::call::bridge::Bridge;
use crate::call::cdr::Cdr;
use crate::call::config::{Config, Listener};
use crate::call::cue::Cue;
use crate::call::exchange::apart::Apart;
use crate::call::exchange::{Ask, Exchange, Opening};
use crate::call::guard::{Forbidden, Words};
use crate::call::hands::{CallRef, CallTimer, Hands, Purpose, Token, listener, owner};
use crate::call::leg::callee::Callee;
use crate::call::leg::caller::{Caller, InviteState, Sdp, Told};
use crate::call::leg::refresh::Judged;
use crate::call::leg::reliable::Rel;
use crate::call::leg::ringing::Ringing;
use crate::call::leg::session_timer::{Clock, Session};
use crate::call::leg::{self, Bye, Echo, Leg};
use crate::call::phase::{Call, End, Leaves, Recorded, Talk, Through};
use crate::call::port::{Heading, LegName, Output};
use crate::call::recording::{self, Goes, Why};
use crate::call::switch::Switch;
use crate::call::trunk::refusals::Refusals;
use crate::masking::inventory::NumberState;
use crate::masking::recording::Wish;
use crate::sip::build::Response;
use crate::sip::dialog::{Dialog, LocalParty, Parts};
use crate::sip::method::Method;
use crate::sip::path::{ListenerId, Party, Path, Transport};
use crate::sip::transaction::ServerId;

/// As far as time sets CSeq numbers apart: they stay far below the 2^31 of RFC 3261 §8.1.1.5.
const TOLD_AGAIN_MAX: Duration = Duration::from_millis(1 << 24);

/// What becomes of a call that another process has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It goes on, if it can.
    GoesOn,
    /// It has been left alone for too long: both sides are hung up on.
    Ends,
    /// It was over, and its record stands; but whether both sides were told, nobody knows: they are told (again).
    Over,
}

/// A call that another process has left.
pub struct Left<'a> {
    /// Its record, as that one wrote it when it came; how it may have ended is not read.
    pub record: Cdr,
    /// The last [`CallEntry::Kept`](crate::call::port::CallEntry::Kept) of it.
    pub state: &'a [u8],
    /// Whether a [`CallEntry::Acked`](crate::call::port::CallEntry::Acked) came after that.
    pub acked: bool,
    /// The last sign of life of that process.
    pub died: Wall,
    /// What becomes of it.
    pub fate: Fate,
}

impl Switch {
    /// Goes on with a call that another process has left. To be done before the first input; drain [`Switch::poll`]
    /// afterwards: the call is kept anew, as one of this process. The media threads have had the orders of its
    /// [`Outline`](super::Outline) by then, unless it [ends](Fate::Ends).
    ///
    /// Its dialogs are found, its timers run, its ports are taken, and the present configuration counts. If its ports
    /// aren't ours any more, it ends: both sides are hung up on, and its record says `restart`, as of the last sign of
    /// life.
    ///
    /// # Errors
    /// [`Unfit`], and nothing is changed: the call's record has to be closed by whoever asked.
    pub fn restore(&mut self, now: Now, left: Left<'_>) -> Result<(), Unfit> {
        let (fate, before) = (left.fate, self.hands.out.len());
        let (call_id, said) = (left.record.call_id, left.record.recording.fate);
        self.take_up(now, left)?;
        if fate == Fate::Over {
            // It ended in the process before, and is in its record.
            let is_of_today = |output: &Output| match output {
                Output::Cdr(..) | Output::Journal(_) | Output::Event(_) => false,
                // Its recording has ended too.
                Output::Record(_) => false,
                Output::Send { .. }
                | Output::Media(_)
                | Output::Ask(..)
                | Output::Answer(..)
                | Output::Note(_)
                | Output::Legs(_)
                | Output::Registration(_)
                | Output::Told(_)
                | Output::CalleeUsed(_) => true,
            };
            let news = self.hands.out.split_off(before);
            self.hands.out.extend(news.into_iter().filter(is_of_today));
            if said == recording::Fate::None(Why::TooShort) {
                let me = self.by_id.get(&call_id).map(|me| me.index as usize);
                let call = me.and_then(|me| self.calls.get(me)).and_then(Option::as_deref);
                self.hands
                    .out
                    .extend(call.map(|call| Output::Record(call.drop_again())));
            }
        }
        Ok(())
    }

    fn take_up(&mut self, now: Now, left: Left<'_>) -> Result<(), Unfit> {
        let Left {
            record,
            state,
            acked,
            died,
            fate,
        } = left;
        let ahead = ahead(now, died, fate);
        let (talking, moving) = match read(state)? {
            (Stage::Talking(talking), Some(moving)) => (talking, moving),
            (Stage::Talking(_), None) => return Err(Unfit::Unreadable),
            (Stage::Ringing(ringing), _) => {
                return self.end_ringing(now, record, *ringing, (fate, died), ahead);
            }
            (Stage::Alone(alone), _) => return self.end_alone(now, record, *alone, (fate, died), ahead),
        };
        let record = record_of(record, &talking.record, Some(talking.callee.dialog.call_id))?;
        let answered_at = record.answered_at.ok_or(Unfit::Unsound)?;
        let through = through_of(talking.through)?;
        let acked = acked.then_some([None, None]);
        let config = self.config.clone();
        let Moving {
            cseqs: [near, far],
            unacked,
            counts,
            expire,
        } = moving;
        let Talking {
            caller,
            callee,
            fax,
            invited,
            longest_s,
            left,
            recorded,
            ..
        } = *talking;
        let not_to_caller = forbidden_of(&caller.forbidden);
        let not_to_callee = forbidden_of(&callee.forbidden);
        let says = [caller.say, callee.say];
        let [near, far] = [near, far].map(|(ours, theirs)| (ours.saturating_add(ahead), theirs));
        let timed = [(caller.timed, expire[0]), (callee.timed, expire[1])];
        let caller_leg = leg_of(&config, LegName::Caller, &caller, near, &record)?;
        let callee_leg = leg_of(&config, LegName::Callee, &callee, far, &record)?;
        let call_id = Token::try_from(callee.dialog.call_id.0).map_err(|_| Unfit::Unsound)?;
        let path = path(&config, callee.way, record.trunk_of(LegName::Callee));
        let asked = [caller.asked, callee.asked];
        let ids = [&caller_leg, &callee_leg].map(|leg| leg.dialog.as_ref().map(Dialog::id));
        let is_here = |id| self.hands.dialogs.contains_key(id);
        if self.by_id.contains_key(&record.call_id) || ids.iter().flatten().any(is_here) {
            return Err(Unfit::Unsound);
        }
        let party = LocalParty {
            call_id: &call_id,
            local_tag: &callee_leg.local_tag.clone(),
            local: &[],
            remote: &[],
            request_uri: &[],
            cseq: 0,
        };
        let nobody = CallRef {
            index: u32::MAX,
            generation: 0,
        };
        let bridge = Bridge::of_kept(nobody, &config.media, fax, [caller.side, callee.side])?;

        let me = self.berth();
        let goes_on = match fate {
            Fate::GoesOn => bridge.map(|bridge| bridge.owned_by(me)),
            Fate::Ends | Fate::Over => None,
        };
        let hands = &mut self.hands;
        let goes_on = goes_on.and_then(|mut bridge| {
            let is_whole = bridge.renew_ssrcs(&mut hands.chance) && bridge.hold_kept(hands, now.at);
            is_whole.then_some(bridge)
        });
        // By the wall clock: nothing else goes on between two processes.
        let until = if goes_on.is_some() { now.wall } else { died };
        let is_taken_up = goes_on.is_some();
        let goes_on = goes_on.map(|mut bridge| {
            let trunks = [Some(record.trunk_in.as_str()), record.trunk_out.as_deref()];
            for (leg, name) in [LegName::Caller, LegName::Callee].into_iter().zip(trunks) {
                let trunk = config.trunks.iter().find(|trunk| Some(&*trunk.name) == name);
                trunk.inspect(|trunk| bridge.limit(leg, &trunk.codecs));
            }
            bridge
        });
        let talk = Talk {
            before: until.since(answered_at),
            since: now.at,
            longest: Duration::from_secs(longest_s).min(CALL_DURATION_MAX),
        };
        for (id, name) in ids.into_iter().zip([LegName::Caller, LegName::Callee]) {
            self.hands.dialogs.extend(id.map(|id| (id, (me, name))));
        }
        self.by_id.insert(record.call_id, me);
        let seat = self.table.seat_again(through.x, through.calling);
        let caller = caller_left(
            now,
            caller_leg,
            ServerId::GONE,
            Echo::forgotten(),
            InviteState::Answered,
        );
        let callee = Callee::left(callee_leg, path, &party, None, ahead);
        let mut call = call_left(me, now, config, record, through, caller, Some(callee));
        call.speaks = self
            .table
            .language(call.record.pool.as_deref(), &call.record.account);
        call.caller.cseq = invited;
        call.seat = Some(seat);
        let trunks = [
            Some(call.record.trunk_in.as_str()),
            call.record.trunk_out.as_deref(),
        ];
        call.passes = [(Heading::In, trunks[0]), (Heading::Out, trunks[1])].map(|(way, name)| {
            let trunk = call
                .config
                .trunks
                .iter()
                .find(|trunk| Some(&*trunk.name) == name)?;
            Some(trunk.limits.enter_again(way))
        });
        call.bridge = goes_on.unwrap_or(call.bridge);
        (call.not_to_caller, call.not_to_callee) = (not_to_caller, not_to_callee);
        call.counts_before = counts;
        call.talk = Some(talk);
        call.cue.left = left;
        let is_cut = self.is_cut(&call);
        let goes = if is_taken_up && !is_cut {
            Goes::On
        } else {
            Goes::NoFurther
        };
        call.record_on(&mut self.hands, now, recorded, (goes, died));
        if !is_taken_up {
            call.end(&mut self.hands, now, End::cut("restart"));
        } else if is_cut {
            call.end(&mut self.hands, now, End::frozen());
        } else {
            call.goes_on(&mut self.hands, now, acked.unwrap_or(unacked), timed, says);
        }
        for (name, asked) in [LegName::Caller, LegName::Callee].into_iter().zip(asked) {
            if let Some(asked) = asked {
                call.turn_away(&mut self.hands, now, name, asked);
            }
        }
        self.put_back(call);
        self.hands.collect_sends();
        Ok(())
    }

    /// Whether a number that the call goes through was frozen for good while nobody was there to cut it.
    fn is_cut(&self, call: &Call) -> bool {
        let Some(Through { x, shown, .. }) = call.through() else {
            return false;
        };
        let is_cut = |x: VirtualNumber| {
            let number = self.table.number(x.tel());
            number.is_some_and(|number| match number.state {
                NumberState::Frozen(cause) => cause.cuts_calls(),
                NumberState::Inventory
                | NumberState::Active
                | NumberState::Locked
                | NumberState::Released => false,
            })
        };
        is_cut(x) || shown.is_some_and(is_cut)
    }
}

impl Call {
    /// Everything that runs by time runs again, and what has still to be said is said.
    fn goes_on(
        &mut self,
        hands: &mut Hands,
        now: Now,
        unacked: [Option<Unacked<'_>>; 2],
        timed: [(Option<form::Timed>, Option<i64>); 2],
        says: [Say; 2],
    ) {
        self.watch_talk(hands, now);
        let names = [LegName::Caller, LegName::Callee];
        for ((name, unacked), timed) in names.into_iter().zip(unacked).zip(timed) {
            if let Some(unacked) = unacked {
                self.repeat_again(hands, now, name, &unacked);
            }
            if let (Some(timed), expires) = timed {
                self.time_again(hands, now, name, timed, expires.map(Wall::from_millis));
            }
        }
        self.bridge.order_seals(hands);
        self.begin_sentence(hands, now);
        self.probe_soon(hands, now);
        for (name, say) in names.into_iter().zip(says) {
            let ask = match say {
                Say::Nothing => None,
                Say::Settled => Some(Ask::Settled),
                Say::Told => self.bridge.told(name).cloned().map(Ask::Terms),
            };
            if let Some(ask) = ask {
                self.offer_on(hands, now, name, ask);
            }
        }
    }

    /// A 2xx of ours still has no ACK (RFC 3261 §13.3.1.4): it is repeated at once, and then as ever.
    pub(super) fn repeat_again(&mut self, hands: &mut Hands, now: Now, name: LegName, unacked: &Unacked<'_>) {
        let (config, me) = (self.config.clone(), self.me);
        let purpose = match name {
            LegName::Caller if self.caller.cseq == unacked.cseq => Purpose::Invite(name),
            LegName::Caller | LegName::Callee => Purpose::Exchange(name),
        };
        let to = path(&config, unacked.way, self.record.trunk_of(name));
        let answered = hands
            .layer
            .go_on_answered(now.at, unacked.known_by.0, to, owner(me, purpose));
        let Some(server) = answered else { return };
        let told = match unacked.body {
            Body::Told => self.bridge.description(name).unwrap_or_default(),
            Body::There => &[],
        };
        let bytes = [unacked.head.0, told].concat().into_boxed_slice();
        let t1 = config.timers.t1;
        let timer = hands.wake(me, now.at, CallTimer::Unacked(name));
        let Some(leg) = self.leg(name) else { return };
        if let Some(session) = leg.session() {
            hands.layer.name_session(server, session);
        }
        leg.unacked = Some(Box::new(leg::Unacked {
            server,
            cseq: unacked.cseq,
            bytes,
            interval: t1 / 2,
            give_up: now.at + t1.saturating_mul(64),
            timer,
        }));
    }

    /// A re-INVITE that waited for the other leg when its process died can't be answered any more: it may be tried again.
    fn turn_away(&mut self, hands: &mut Hands, now: Now, name: LegName, asked: form::Asked<'_>) {
        let to = path(&self.config, asked.way, self.record.trunk_of(name));
        let purpose = owner(self.me, Purpose::Exchange(name));
        let pending = hands.layer.go_on_pending(asked.known_by.0, to, purpose);
        let (Some(server), Some(echo)) = (pending, Echo::of_lines(asked.lines.into_owned())) else {
            return;
        };
        let session = self.leg_of(name).and_then(Leg::session);
        if let Some(session) = session {
            hands.layer.name_session(server, session);
        }
        let wait = hands.chance.below(RETRY_AFTER_MAX_S + 1).to_string();
        let bytes = echo.response(&Response {
            status: 500,
            to_tag: None,
            contact: None,
            headers: &[("Retry-After", &wait)],
            body: None,
        });
        hands.layer.respond(now.at, server, 500, bytes);
        self.note_message(now.at, name, Heading::Out, Method::Invite, Some(500), false);
    }

    /// A leg's session goes on until it expires; if nobody wrote down when, as if it had been refreshed just now.
    fn time_again(
        &mut self,
        hands: &mut Hands,
        now: Now,
        name: LegName,
        timed: form::Timed,
        expires: Option<Wall>,
    ) {
        let me = self.me;
        let Some(leg) = self.leg(name) else { return };
        let left = expires.map_or(Duration::MAX, |at| at.since(now.wall));
        let clock = timed
            .clock
            .map(|(interval_s, refresher)| Clock::go_on(now.at, interval_s, refresher, left));
        let wake = clock
            .as_ref()
            .map(|clock| hands.wake(me, clock.due(), CallTimer::Session(name)));
        leg.timed = Some(Box::new(Session {
            min_s: timed.min_s,
            clock,
            wake,
        }));
    }
}

/// A call that another process has left, with what every such call has.
pub(super) fn call_left(
    me: CallRef,
    now: Now,
    config: Arc<Config>,
    record: Box<Cdr>,
    through: Through,
    caller: Caller,
    callee: Option<Callee>,
) -> Box<Call> {
    Box::new(Call {
        me,
        arrived: Now {
            at: now.at,
            wall: record.arrived_at,
        },
        record: record.into(),
        speaks: None,
        recorded: Recorded::Open,
        leaves: Leaves::Record,
        parting: Parting::No,
        words: None,
        cue: Cue::default(),
        asking: None,
        warrant: None,
        through: Some(through),
        callee_taken: None,
        seat: None,
        passes: [None, None],
        caller,
        callee,
        left: Vec::new(),
        redirection: None,
        question: None,
        ringing: Ringing::default(),
        bridge: Bridge::new(me, &config),
        wish: Wish::default(),
        recording: None,
        config,
        not_to_caller: Forbidden::default(),
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
        trace: Vec::new(),
    })
}

/// The calling side of such a call.
pub(super) fn caller_left(now: Now, leg: Leg, server: ServerId, echo: Echo, invite: InviteState) -> Caller {
    Caller {
        leg,
        server,
        echo,
        cseq: 0,
        invite,
        session: Judged::default(),
        offered: Sdp::Without,
        rel: Rel::None,
        reliable: None,
        told: Told::nothing(now.at),
        apart: Apart::No,
        refusals: Refusals::Status,
    }
}

fn leg_of(
    config: &Config,
    name: LegName,
    kept: &form::Leg<'_>,
    cseqs: (u32, Option<u32>),
    record: &Cdr,
) -> Result<Leg, Unfit> {
    let path = path(config, kept.way, record.trunk_of(name));
    let parts = parts_of(&kept.dialog, cseqs);
    let tag = Token::try_from(parts.local_tag).map_err(|_| Unfit::Unsound)?;
    let dialog = Dialog::of_parts(&parts, path).ok_or(Unfit::Unsound)?;
    let mut leg = Leg::new(name, tag, path.listener, kept.wish);
    leg.dialog = Some(dialog);
    leg.peer = kept.peer;
    leg.exchange = Exchange::None;
    leg.opening = Opening::Settled;
    leg.bye = Bye::No;
    leg.call_session(kept.session);
    Ok(leg)
}

/// By how much our CSeq numbers go on above those that were kept. Whoever tells again that a call is over may not be the
/// first to do so, and none of them has left an entry: time sets them apart.
fn ahead(now: Now, died: Wall, fate: Fate) -> u32 {
    let passed = match fate {
        Fate::GoesOn | Fate::Ends => Duration::ZERO,
        Fate::Over => now.wall.since(died).min(TOLD_AGAIN_MAX),
    };
    CSEQ_JUMP.saturating_add(passed.as_millis() as u32)
}

pub(super) fn parts_of<'a>(dialog: &form::Dialog<'a>, (ours, theirs): (u32, Option<u32>)) -> Parts<'a> {
    Parts {
        call_id: dialog.call_id.0,
        local_tag: dialog.local_tag.0,
        remote_tag: dialog.remote_tag.0,
        local: dialog.local.0,
        remote: dialog.remote.0,
        target: dialog.target.0,
        routes: dialog.routes.iter().map(|route| route.0).collect(),
        local_cseq: ours,
        remote_cseq: theirs,
        session: dialog.session,
    }
}

/// The way of a dialog, or of an answer: by the listener at the address that it had, else by the first that fits; over
/// TLS to this trunk and nobody else.
pub(super) fn path(config: &Config, way: Way, trunk: Option<&str>) -> Path {
    Path {
        listener: listener_at(config, way).id,
        transport: way.transport,
        remote: way.remote,
        flow: None,
        party: match way.transport {
            Transport::Udp | Transport::Tcp => None,
            Transport::Tls => trunk.map(Party::named),
        },
    }
}

pub(super) fn listener_at(config: &Config, way: Way) -> &Listener {
    let listeners = &config.listeners;
    let same = |l: &&Listener| (l.address, l.transport) == (way.here, way.transport);
    let fits = |l: &&Listener| l.reaches(way.transport, way.remote);
    let found = listeners
        .iter()
        .find(same)
        .or_else(|| listeners.iter().find(fits));
    found.unwrap_or(listener(config, ListenerId(0)))
}

fn forbidden_of(kept: &form::Forbidden<'_>) -> Forbidden {
    Forbidden::of_words(&Words {
        numbers: &kept.numbers,
        ids: kept.ids.iter().map(|id| id.0).collect(),
        addresses: kept.addresses.clone(),
        known: &kept.known,
    })
}

pub(super) fn through_of(kept: form::Through) -> Result<Through, Unfit> {
    let tel = |bits: u64| Tel::from_bits(bits).ok_or(Unfit::Unsound);
    Ok(Through {
        x: VirtualNumber::new(tel(kept.x)?),
        shown: kept.shown.map(tel).transpose()?.map(VirtualNumber::new),
        calling: kept.calling.map(tel).transpose()?.map(RealNumber::new),
    })
}

/// The record as it was when the state was written.
pub(super) fn record_of(
    record: Cdr,
    said: &form::Record<'_>,
    ours: Option<Bytes<'_>>,
) -> Result<Box<Cdr>, Unfit> {
    let mut record = Box::new(record);
    let digits = |text: &str| Digits::from(text).map_err(|_| Unfit::Unsound);
    // How it ended is another matter.
    record.refusal = None;
    record.end_cause = None;
    record.callee = said.callee.map(digits).transpose()?;
    let [dialled, early_media, ringing, answered] = said.moments.map(|at| at.map(Wall::from_millis));
    record.dialled_at = dialled;
    record.early_media_at = early_media;
    record.ringing_at = ringing;
    record.answered_at = answered;
    record.callee_sip_status = said.callee_sip_status;
    record.attempts = said
        .attempts
        .iter()
        .map(form::Attempt::read)
        .collect::<Option<_>>()
        .ok_or(Unfit::Unsound)?;
    record.trunk_out = said.trunk_out.map(str::to_owned);
    record.sip_call_id_out = ours.map(|ours| String::from_utf8_lossy(ours.0).into_owned());
    if let Some(icid) = said.icid_out {
        record.charging.get_or_insert_default().icid_out = Some(icid.to_owned());
    }
    Ok(record)
}
