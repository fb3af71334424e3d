//! Writing a call's state.

use std::borrow::Cow;

use super::form::{
    Alone, Asked, Attempt, Body, Bytes, Dialog, Forbidden, Invited, Leg, Moving, Near, Record, Ringing, Say,
    Stage, Stands, Talking, Through, Timed, Unacked, Way,
};
use super::ink::write;
use super::{CSEQ_JUMP, form};
use crate::base::number::RealNumber;
use crate::call::config::Config;
use crate::call::exchange::{Ask, Carrier, Exchange, Whose};
use crate::call::guard;
use crate::call::hands::{Hands, Keeping, listener};
use crate::call::leg::callee::CalleeState;
use crate::call::leg::caller::InviteState;
use crate::call::leg::{self, Echo};
use crate::call::phase::{Call, Recorded};
use crate::call::port::{CallEntry, LegName, Output};
use crate::call::recording::Sealed;
use crate::sip::path::Path;
use crate::sip::transaction::{ClientId, ServerId};

/// What the journal's last entry of a call says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark {
    /// A hash of all in it but what moves, and of when its sessions expire; 0: there is no entry.
    settled: u64,
    /// The CSeq numbers in it.
    cseqs: [u32; 2],
    /// Whether a 2xx in it has no ACK.
    is_unacked: bool,
    /// Whether the input that came last settled nothing, which is known without writing the state and comparing.
    is_current: bool,
    /// Of a call that rings.
    invite: Option<Ring>,
    /// Of a caller with whom we are alone: the same, and whether his 2xx has its ACK.
    alone: Option<(Ring, bool)>,
}

/// How far a call has come that rings, or is yet to ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ring {
    /// Which INVITE of ours.
    invite: Option<ClientId>,
    is_answered: bool,
    /// Whether what is heard is recorded, and with what that is sealed as far as that is known.
    recorded: Option<Option<Sealed>>,
}

impl Ring {
    fn of(call: &Call) -> Self {
        let callee = call.callee.as_ref();
        Self {
            invite: callee.and_then(|callee| callee.invite_of()),
            is_answered: callee.is_some_and(|callee| callee.state == CalleeState::Answered),
            recorded: call.recording.as_ref().map(|course| course.sealed()),
        }
    }
}

/// Writes an entry for the journal, if something settled in an answered call isn't in its last one yet, or an INVITE of
/// ours in one that rings.
pub fn keep(call: &mut Call, hands: &mut Hands) {
    // Nobody goes on with a question, as the record is there and says how the talk ended; but whoever is asked has to be hung
    // up on where it is by then.
    if call.recorded != Recorded::Open || hands.keeping == Keeping::Nothing {
        return;
    }
    if call.talk.is_none() {
        if call.asking.is_some() {
            return keep_alone(call, hands);
        }
        return match (&call.ivr, &call.callee) {
            (Some(_), None) => keep_alone(call, hands),
            (Some(_), Some(_)) if call.has_answered_alone() => keep_alone(call, hands),
            (Some(_) | None, _) => keep_ringing(call, hands),
        };
    }
    if std::mem::take(&mut call.kept.is_current) && call.kept.settled != 0 {
        debug_assert!(
            written(call, hands, &mut Vec::new()).is_none_or(|mark| !mark.is_news_after(&call.kept)),
            "an input of which it was thought that it settles nothing has settled something"
        );
        return keep_acked(call, hands);
    }
    let mut ink = std::mem::take(&mut hands.ink);
    ink.clear();
    if let Some(mark) = written(call, hands, &mut ink)
        && mark.is_news_after(&call.kept)
    {
        hands.out.push_back(Output::Journal(CallEntry::Kept {
            call_id: call.record.call_id,
            state: ink.as_slice().into(),
        }));
        call.kept = mark;
    } else {
        keep_acked(call, hands);
    }
    hands.ink = ink;
}

/// Writes that the answer in the last entry needs no repeating, as soon as that is so.
fn keep_acked(call: &mut Call, hands: &mut Hands) {
    if call.kept.is_unacked && legs(call).iter().flatten().all(|leg| leg.unacked.is_none()) {
        call.kept.is_unacked = false;
        hands.out.push_back(Output::Journal(CallEntry::Acked {
            call_id: call.record.call_id,
        }));
    }
}

/// Whether nothing is under way on either leg that a message without an offer could settle.
pub fn is_calm(call: &Call) -> bool {
    let is_calm = |leg: &leg::Leg| {
        matches!(leg.exchange, Exchange::None) && leg.wanted.is_none() && !call.bridge.awaits_answer(leg.name)
    };
    legs(call).into_iter().flatten().all(is_calm)
}

fn keep_ringing(call: &mut Call, hands: &mut Hands) {
    if call.callee.is_none() {
        return;
    }
    let now = Some(Ring::of(call));
    if call.kept.invite == now {
        return;
    }
    let mut ink = std::mem::take(&mut hands.ink);
    ink.clear();
    ink.push(form());
    if let Some(ringing) = ringing(call, hands) {
        write(&mut ink, &Stage::Ringing(Box::new(ringing)));
        write_recorded(&mut ink, call);
        hands.out.push_back(Output::Journal(CallEntry::Kept {
            call_id: call.record.call_id,
            state: ink.as_slice().into(),
        }));
        call.kept.invite = now;
    }
    hands.ink = ink;
}

fn keep_alone(call: &mut Call, hands: &mut Hands) {
    let now = Some((Ring::of(call), call.caller.leg.unacked.is_none()));
    if call.kept.alone == now {
        return;
    }
    let mut ink = std::mem::take(&mut hands.ink);
    ink.clear();
    ink.push(form());
    if let Some(alone) = alone(call, hands) {
        write(&mut ink, &Stage::Alone(Box::new(alone)));
        write_recorded(&mut ink, call);
        hands.out.push_back(Output::Journal(CallEntry::Kept {
            call_id: call.record.call_id,
            state: ink.as_slice().into(),
        }));
        call.kept.alone = now;
    }
    hands.ink = ink;
}

/// What becomes of the call's recording.
fn write_recorded(ink: &mut Vec<u8>, call: &Call) {
    let recorded = call.recorded();
    write(ink, &recorded);
    write(ink, &recorded.ok().and_then(|kept| kept.sealed));
}

fn alone<'a>(call: &'a Call, hands: &'a Hands) -> Option<Alone<'a>> {
    let leg = &call.caller.leg;
    let dialog = leg.dialog.as_ref()?;
    let caller = match call.caller.invite {
        InviteState::Pending => Near::Asked(
            Bytes(dialog.call_id()),
            Bytes(&leg.local_tag),
            asked(call, hands, call.caller.server, &call.caller.echo)?,
        ),
        InviteState::Answered => Near::Answered(
            Box::new(dialog_of(dialog)),
            way(&call.config, dialog.path()),
            (dialog.last_cseq(), dialog.last_of_theirs()),
            leg.unacked
                .as_ref()
                .and_then(|unacked| unacked_of(call, hands, unacked)),
        ),
        InviteState::Refused => return None,
    };
    Some(Alone {
        record: record(call),
        through: through(call)?,
        caller,
        callee: match &call.callee {
            Some(_) => invited(call, hands),
            None => None,
        },
        sessions: [
            leg.session(),
            call.callee.as_ref().and_then(|callee| callee.leg.session()),
        ],
        recorded: None,
    })
}

/// A 2xx of ours, whole.
fn unacked_of<'a>(call: &Call, hands: &'a Hands, unacked: &'a leg::Unacked) -> Option<Unacked<'a>> {
    let (known_by, to) = hands.layer.known_by(unacked.server)?;
    Some(Unacked {
        cseq: unacked.cseq,
        head: Bytes(&unacked.bytes),
        body: Body::There,
        known_by: Bytes(known_by),
        way: way(&call.config, to),
    })
}

impl Mark {
    /// Whether the journal knows a caller before anybody is called.
    pub(in crate::call) const fn is_of_one_alone(&self) -> bool {
        self.alone.is_some()
    }

    /// The input that comes to its end now has settled nothing.
    pub(in crate::call) fn stays(&mut self) {
        self.is_current = true;
    }

    fn is_news_after(&self, last: &Self) -> bool {
        let is_far = |(now, then): (&u32, &u32)| now.saturating_sub(*then) >= CSEQ_JUMP / 2;
        self.settled != last.settled || self.cseqs.iter().zip(&last.cseqs).any(is_far)
    }
}

fn legs(call: &Call) -> [Option<&leg::Leg>; 2] {
    [call.leg_of(LegName::Caller), call.leg_of(LegName::Callee)]
}

/// Writes the state. `None`: a leg has no dialog, or nothing is settled.
fn written(call: &Call, hands: &Hands, ink: &mut Vec<u8>) -> Option<Mark> {
    ink.push(form());
    write(ink, &Stage::Talking(Box::new(talking(call, hands)?)));
    write(
        ink,
        &[LegName::Caller, LegName::Callee].map(|leg| call.bridge.kept_secret(leg)),
    );
    write(ink, &call.cue.left);
    write_recorded(ink, call);
    let moving = moving(call, hands);
    // Never 0, and the same for the same in this process.
    let settled = hands.dialogs.hasher().hash_one((ink.as_slice(), moving.expire)) | 1;
    write(ink, &moving);
    write(ink, &moving.expire);
    Some(Mark {
        settled,
        cseqs: moving.cseqs.map(|(ours, _)| ours),
        is_unacked: moving.unacked.iter().any(Option::is_some),
        is_current: false,
        invite: None,
        alone: None,
    })
}

fn talking<'a>(call: &'a Call, hands: &'a Hands) -> Option<Talking<'a>> {
    let [caller, callee] = legs(call);
    Some(Talking {
        record: record(call),
        through: through(call)?,
        longest_s: call.talk.as_ref()?.longest.as_secs(),
        fax: call.bridge.fax(),
        invited: call.caller.cseq,
        caller: leg(call, hands, caller?, &call.not_to_caller)?,
        callee: leg(call, hands, callee?, &call.not_to_callee)?,
        // They are written behind the secrets.
        left: None,
        recorded: None,
    })
}

fn through(call: &Call) -> Option<Through> {
    let through = call.through()?;
    Some(Through {
        x: through.x.tel().bits(),
        shown: through.shown.map(|shown| shown.tel().bits()),
        calling: through.calling.map(RealNumber::key),
    })
}

fn record(call: &Call) -> Record<'_> {
    let record = &call.record;
    let moments = [
        record.dialled_at,
        record.early_media_at,
        record.ringing_at,
        record.answered_at,
    ];
    Record {
        callee: record.callee.as_deref(),
        moments: moments.map(|at| at.map(|at| at.as_millis())),
        callee_sip_status: record.callee_sip_status,
        attempts: record.attempts.iter().map(Attempt::of).collect(),
        trunk_out: record.trunk_out.as_deref(),
        icid_out: record
            .charging
            .as_ref()
            .and_then(|charging| charging.icid_out.as_deref()),
    }
}

fn dialog_of(dialog: &crate::sip::dialog::Dialog) -> Dialog<'_> {
    let parts = dialog.parts();
    Dialog {
        call_id: Bytes(parts.call_id),
        local_tag: Bytes(parts.local_tag),
        remote_tag: Bytes(parts.remote_tag),
        local: Bytes(parts.local),
        remote: Bytes(parts.remote),
        target: Bytes(parts.target),
        routes: parts.routes.into_iter().map(Bytes).collect(),
        session: parts.session,
    }
}

fn leg<'a>(
    call: &'a Call,
    hands: &'a Hands,
    leg: &'a leg::Leg,
    forbidden: &'a guard::Forbidden,
) -> Option<Leg<'a>> {
    let dialog = leg.dialog.as_ref()?;
    let timed = leg.timed().map(|session| Timed {
        min_s: session.min_s,
        clock: session
            .clock
            .as_ref()
            .map(|clock| (clock.interval_s, clock.refresher)),
    });
    let words = forbidden.words();
    Some(Leg {
        dialog: dialog_of(dialog),
        way: way(&call.config, dialog.path()),
        peer: leg.peer,
        wish: leg.wish,
        timed,
        session: leg.session(),
        say: say(leg),
        asked: match &leg.exchange {
            Exchange::Theirs(theirs) if theirs.carrier == Carrier::Invite => {
                asked(call, hands, theirs.server, &theirs.echo)
            }
            Exchange::Theirs(_) | Exchange::Ours(_) | Exchange::None => None,
        },
        forbidden: Forbidden {
            numbers: Cow::Borrowed(words.numbers),
            ids: words.ids.into_iter().map(Bytes).collect(),
            addresses: words.addresses,
            known: Cow::Borrowed(words.known),
        },
        side: call.bridge.kept(leg.name, &call.config.media)?,
    })
}

fn asked<'a>(call: &Call, hands: &'a Hands, server: ServerId, echo: &'a Echo) -> Option<Asked<'a>> {
    let (known_by, to) = hands.layer.known_by(server)?;
    Some(Asked {
        known_by: Bytes(known_by),
        way: way(&call.config, to),
        lines: Cow::Borrowed(echo.lines()?),
    })
}

fn way(config: &Config, path: Path) -> Way {
    Way {
        here: listener(config, path.listener).address,
        transport: path.transport,
        remote: path.remote,
    }
}

fn ringing<'a>(call: &'a Call, hands: &'a Hands) -> Option<Ringing<'a>> {
    let caller = &call.caller;
    let theirs = caller.leg.dialog.as_ref()?;
    Some(Ringing {
        record: record(call),
        through: through(call)?,
        call_id: Bytes(theirs.call_id()),
        caller: asked(call, hands, caller.server, &caller.echo)?,
        tag: Bytes(&caller.leg.local_tag),
        callee: invited(call, hands)?,
        sessions: [caller.leg.session(), call.callee.as_ref()?.leg.session()],
        recorded: None,
    })
}

fn invited<'a>(call: &'a Call, hands: &'a Hands) -> Option<Invited<'a>> {
    let callee = call.callee.as_ref()?;
    let stands = match (callee.invite_of(), callee.state) {
        (_, CalleeState::Answered) => Stands::Answered(Box::new(dialog_of(callee.leg.dialog.as_ref()?))),
        (Some(invite), CalleeState::Calling | CalleeState::Proceeding) => {
            let (branch, to) = hands.layer.asked_by(invite)?;
            Stands::Pending(Bytes(branch), way(&call.config, to))
        }
        (_, _) => return None,
    };
    let party = callee.party();
    Some(Invited {
        call_id: Bytes(party.call_id),
        tag: Bytes(party.local_tag),
        local: Bytes(party.local),
        remote: Bytes(party.remote),
        target: Bytes(party.request_uri),
        cseq: party.cseq,
        way: way(&call.config, callee.way()),
        stands,
    })
}

/// What has to be said to a leg's peer by whoever goes on. A refresh hasn't: it is due again.
fn say(leg: &leg::Leg) -> Say {
    let ours = match &leg.exchange {
        // Somebody else's offer, which comes to nothing.
        Exchange::Ours(ours) if ours.whose == Whose::Theirs => return Say::Told,
        Exchange::Ours(ours) => Some(&ours.ask),
        Exchange::Theirs(_) | Exchange::None => None,
    };
    match ours.or(leg.wanted.as_ref().map(|wanted| &wanted.ask)) {
        Some(Ask::Terms(_)) => Say::Told,
        Some(Ask::Settled) => Say::Settled,
        Some(Ask::Refresh) | None => Say::Nothing,
    }
}

fn moving<'a>(call: &'a Call, hands: &'a Hands) -> Moving<'a> {
    let cseqs = legs(call).map(|leg| {
        let dialog = leg.and_then(|leg| leg.dialog.as_ref());
        dialog.map_or((0, None), |dialog| (dialog.last_cseq(), dialog.last_of_theirs()))
    });
    Moving {
        cseqs,
        unacked: legs(call).map(|leg| unacked(call, hands, leg?)),
        counts: call.counts_so_far(),
        expire: legs(call).map(|leg| expires(call, leg?)),
    }
}

/// When a leg's session expires, by the clock that the next process will have.
fn expires(call: &Call, leg: &leg::Leg) -> Option<i64> {
    let (clock, talk, answered_at) = (leg.clock()?, call.talk.as_ref()?, call.record.answered_at?);
    Some(answered_at.plus(talk.lasts(clock.expires())).as_millis())
}

fn unacked<'a>(call: &'a Call, hands: &'a Hands, leg: &'a leg::Leg) -> Option<Unacked<'a>> {
    let unacked = leg.unacked.as_ref()?;
    let (known_by, to) = hands.layer.known_by(unacked.server)?;
    // Only what the state tells of as said can be taken from there.
    let is_said = call
        .bridge
        .kept(leg.name, &call.config.media)
        .is_some_and(|side| side.is_said);
    let told = call
        .bridge
        .description(leg.name)
        .filter(|told| is_said && !told.is_empty());
    let (head, body) = match told.and_then(|told| unacked.bytes.strip_suffix(told)) {
        Some(head) => (head, Body::Told),
        None => (&*unacked.bytes, Body::There),
    };
    Some(Unacked {
        cseq: unacked.cseq,
        head: Bytes(head),
        body,
        known_by: Bytes(known_by),
        way: way(&call.config, to),
    })
}
