//! The clean end of a call that rang when its process died.

use super::back::{call_left, caller_left, listener_at, parts_of, path, record_of, through_of};
use super::form::{self, Near, Stands, Way};
use super::{Fate, Unfit};
use crate::base::time::{Now, Wall};
use crate::call::cdr::Cdr;
use crate::call::config::Config;
use crate::call::hands::{CallRef, Purpose, Token, owner};
use crate::call::leg::callee::Callee;
use crate::call::leg::caller::InviteState;
use crate::call::leg::{Echo, Leg};
use crate::call::phase::End;
use crate::call::port::LegName;
use crate::call::recording::Goes;
use crate::call::switch::Switch;
use crate::call::trunk::SessionWish;
use crate::masking::reason::Reason;
use crate::sip::build;
use crate::sip::dialog::{Dialog, LocalParty};
use crate::sip::method::Method;
use crate::sip::path::Path;
use crate::sip::session_id::SessionId;
use crate::sip::transaction::ServerId;

impl Switch {
    /// Ends a call that was not answered yet, on both sides: the called party's phone is silent again, and the caller
    /// hears 480.
    ///
    /// The caller of one that is over hears what its record says.
    pub(super) fn end_ringing(
        &mut self,
        now: Now,
        record: Cdr,
        kept: form::Ringing<'_>,
        (fate, died): (Fate, Wall),
        ahead: u32,
    ) -> Result<(), Unfit> {
        let status = status_of(&record, fate);
        let alone = form::Alone {
            record: kept.record,
            through: kept.through,
            caller: Near::Asked(kept.call_id, kept.tag, kept.caller),
            callee: Some(kept.callee),
            sessions: kept.sessions,
            recorded: kept.recorded,
        };
        self.end_left(now, record, alone, (status, died), ahead)
    }

    /// Ends a call whose caller was asked for digits, or had been and was answered for that: he is hung up on, or refused if
    /// he wasn't answered.
    pub(super) fn end_alone(
        &mut self,
        now: Now,
        record: Cdr,
        kept: form::Alone<'_>,
        (fate, died): (Fate, Wall),
        ahead: u32,
    ) -> Result<(), Unfit> {
        let status = status_of(&record, fate);
        self.end_left(now, record, kept, (status, died), ahead)
    }

    fn end_left(
        &mut self,
        now: Now,
        record: Cdr,
        kept: form::Alone<'_>,
        (status, died): (u16, Wall),
        ahead: u32,
    ) -> Result<(), Unfit> {
        let config = self.config.clone();
        let ours = kept.callee.as_ref().map(|callee| callee.call_id);
        let record = record_of(record, &kept.record, ours)?;
        let through = through_of(kept.through)?;
        let dialogs = [
            match &kept.caller {
                Near::Asked(..) => None,
                Near::Answered(dialog, way, (ours, theirs), _) => {
                    let path = path(&config, *way, record.trunk_of(LegName::Caller));
                    let cseqs = (ours.saturating_add(ahead), *theirs);
                    let dialog = Dialog::of_parts(&parts_of(dialog, cseqs), path);
                    Some(dialog.ok_or(Unfit::Unsound)?)
                }
            },
            match &kept.callee {
                Some(callee) => callee_dialog(&config, callee, &record, ahead)?,
                None => None,
            },
        ];
        let near_tag = tag(match &kept.caller {
            Near::Asked(_, tag, _) => tag.0,
            Near::Answered(dialog, ..) => dialog.local_tag.0,
        })?;
        let echo = match &kept.caller {
            Near::Asked(_, _, asked) => {
                Echo::of_lines(asked.lines.clone().into_owned()).ok_or(Unfit::Unsound)?
            }
            Near::Answered(..) => Echo::forgotten(),
        };
        if let Some(callee) = &kept.callee {
            tag(callee.tag.0)?;
            tag(callee.call_id.0)?;
        }
        let is_here = |dialog: &Dialog| self.hands.dialogs.contains_key(&dialog.id());
        if self.by_id.contains_key(&record.call_id) || dialogs.iter().flatten().any(is_here) {
            return Err(Unfit::Unsound);
        }

        let me = self.berth();
        self.by_id.insert(record.call_id, me);
        for (dialog, name) in dialogs.iter().zip([LegName::Caller, LegName::Callee]) {
            let id = dialog.as_ref().map(Dialog::id);
            self.hands.dialogs.extend(id.map(|id| (id, (me, name))));
        }
        let [near_dialog, far_dialog] = dialogs;
        let [near_session, far_session] = kept.sessions;
        let way = match &kept.caller {
            Near::Asked(_, _, asked) => asked.way,
            Near::Answered(_, way, ..) => *way,
        };
        let to = path(&config, way, record.trunk_of(LegName::Caller));
        let mut leg = Leg::new(LegName::Caller, near_tag, to.listener, SessionWish::default());
        leg.call_session(near_session);
        leg.dialog = near_dialog;
        let purpose = owner(me, Purpose::Invite(LegName::Caller));
        let (server, state) = match &kept.caller {
            Near::Asked(_, _, asked) => {
                let server = self.hands.layer.go_on_pending(asked.known_by.0, to, purpose);
                if let (Some(server), Some(session)) = (server, near_session) {
                    self.hands.layer.name_session(server, session);
                }
                (server, InviteState::Pending)
            }
            Near::Answered(..) => (None, InviteState::Answered),
        };
        let server = server.unwrap_or(ServerId::GONE);
        let caller = caller_left(now, leg, server, echo, state);
        let callee = kept
            .callee
            .as_ref()
            .map(|callee| self.callee_left(me, callee, far_dialog, &record, far_session, ahead));
        let mut call = call_left(me, now, config, record, through, caller, callee);
        if let Near::Answered(_, _, _, Some(unacked)) = &kept.caller {
            call.caller.cseq = unacked.cseq;
            call.repeat_again(&mut self.hands, now, LegName::Caller, unacked);
        }
        call.record_on(&mut self.hands, now, kept.recorded, (Goes::NoFurther, died));
        // RFC 3261 §9.1 wants something to have come back before a CANCEL, lest it overtake its INVITE. Nobody repeats
        // that one any more: whoever hasn't got it by now never will.
        let end = End {
            status,
            ..End::failed(Reason::Restart)
        };
        call.end(&mut self.hands, now, end);
        self.put_back(call);
        self.hands.collect_sends();
        Ok(())
    }

    /// The called side of such a call, with its INVITE that may still be open.
    fn callee_left(
        &mut self,
        me: CallRef,
        callee: &form::Invited<'_>,
        dialog: Option<Dialog>,
        record: &Cdr,
        session: Option<SessionId>,
        ahead: u32,
    ) -> Callee {
        let config = self.config.clone();
        let path = path(&config, callee.way, record.trunk_of(LegName::Callee));
        let far_tag = Token::try_from(callee.tag.0).unwrap_or_default();
        let mut leg = Leg::new(LegName::Callee, far_tag, path.listener, SessionWish::default());
        leg.call_session(session);
        leg.dialog = dialog;
        let invite = match &callee.stands {
            Stands::Pending(branch, way) => {
                let (to, bytes) = invite_again(&config, callee, branch.0, *way);
                let to = Path {
                    party: path.party,
                    ..to
                };
                let purpose = owner(me, Purpose::Invite(LegName::Callee));
                self.hands.layer.go_on(to, purpose, &bytes)
            }
            Stands::Answered(_) => None,
        };
        let party = LocalParty {
            call_id: callee.call_id.0,
            local_tag: &far_tag,
            local: callee.local.0,
            remote: callee.remote.0,
            request_uri: callee.target.0,
            cseq: callee.cseq,
        };
        Callee::left(leg, path, &party, invite, callee.cseq.saturating_add(ahead))
    }
}

/// What the caller of a call that is over hears, or of one that can't go on. Not a 5xx: that would send its carrier to the
/// next gateway, which reaches nobody either because the number is ours, and may make it leave us out for a while (RFC
/// 3263 §4.3).
fn status_of(record: &Cdr, fate: Fate) -> u16 {
    match fate {
        Fate::Over if record.sip_status >= 300 => record.sip_status,
        Fate::GoesOn | Fate::Ends | Fate::Over => 480,
    }
}

fn tag(tag: &[u8]) -> Result<Token, Unfit> {
    Token::try_from(tag).map_err(|_| Unfit::Unsound)
}

fn callee_dialog(
    config: &Config,
    callee: &form::Invited<'_>,
    record: &Cdr,
    ahead: u32,
) -> Result<Option<Dialog>, Unfit> {
    let Stands::Answered(kept) = &callee.stands else {
        return Ok(None);
    };
    let path = path(config, callee.way, record.trunk_of(LegName::Callee));
    let counted = callee.cseq.saturating_add(ahead);
    let dialog = Dialog::of_parts(&parts_of(kept, (counted, None)), path);
    dialog.map(Some).ok_or(Unfit::Unsound)
}

/// The called party's INVITE, as far as its CANCEL and ACK repeat it, and the way that it went.
fn invite_again(config: &Config, callee: &form::Invited<'_>, branch: &[u8], way: Way) -> (Path, Vec<u8>) {
    let (transport, sent_by) = listener_at(config, way).via();
    let from = [callee.local.0, b";tag=", callee.tag.0].concat();
    let bytes = build::request(&build::Request {
        method: Method::Invite,
        uri: callee.target.0,
        transport,
        sent_by,
        branch,
        from: &from,
        to: callee.remote.0,
        call_id: callee.call_id.0,
        cseq: callee.cseq,
        max_forwards: 0,
        routes: &[],
        contact: None,
        headers: &[],
        body: None,
    });
    (path(config, way, None), bytes)
}
