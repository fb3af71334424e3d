//! The clean end of a call that rang when its process died.

use super::back::{call_left, caller_left, listener_at, parts_of, path, record_of, through_of};
use super::form::{self, Stands, Way};
use super::{Fate, Unfit};
use crate::base::time::Now;
use crate::call::cdr::Cdr;
use crate::call::config::Config;
use crate::call::hands::{Purpose, Token, owner};
use crate::call::leg::callee::Callee;
use crate::call::leg::caller::InviteState;
use crate::call::leg::{Echo, Leg};
use crate::call::phase::End;
use crate::call::port::LegName;
use crate::call::switch::Switch;
use crate::call::trunk::SessionWish;
use crate::masking::reason::Reason;
use crate::sip::build;
use crate::sip::dialog::{Dialog, DialogId, LocalParty};
use crate::sip::method::Method;
use crate::sip::path::Path;
use crate::sip::transaction::ServerId;

impl Switch {
    /// Ends a call that was not answered yet, on both sides: the called party's phone is silent again, and the caller
    /// hears 480. Not a 5xx: that would send its carrier to the next gateway, which reaches nobody either because the
    /// number is ours, and may make it leave us out for a while (RFC 3263 §4.3).
    ///
    /// The caller of one that is over hears what its record says.
    pub(super) fn end_ringing(
        &mut self,
        now: Now,
        record: Cdr,
        kept: &form::Ringing<'_>,
        fate: Fate,
        ahead: u32,
    ) -> Result<(), Unfit> {
        let status = match fate {
            Fate::Over if record.sip_status >= 300 => record.sip_status,
            Fate::GoesOn | Fate::Ends | Fate::Over => 480,
        };
        let config = self.config.clone();
        let callee = &kept.callee;
        let record = record_of(record, &kept.record, callee.call_id)?;
        let through = through_of(kept.through)?;
        let tag = |tag: &[u8]| Token::try_from(tag).map_err(|_| Unfit::Unsound);
        let (near_tag, far_tag) = (tag(kept.tag.0)?, tag(callee.tag.0)?);
        tag(callee.call_id.0)?;
        let echo = Echo::of_lines(kept.caller.lines.clone().into_owned()).ok_or(Unfit::Unsound)?;
        let callee_path = path(&config, callee.way, record.trunk_of(LegName::Callee));
        let counted = callee.cseq.saturating_add(ahead);
        let dialog = match &callee.stands {
            Stands::Pending(..) => None,
            Stands::Answered(kept) => {
                let dialog = Dialog::of_parts(&parts_of(kept, (counted, None)), callee_path);
                Some(dialog.ok_or(Unfit::Unsound)?)
            }
        };
        let is_here = |id: DialogId| self.hands.dialogs.contains_key(&id);
        if self.by_id.contains_key(&record.call_id) || dialog.as_ref().map(Dialog::id).is_some_and(is_here) {
            return Err(Unfit::Unsound);
        }

        let me = self.berth();
        self.by_id.insert(record.call_id, me);
        let [near_session, far_session] = kept.sessions;
        let to = path(&config, kept.caller.way, record.trunk_of(LegName::Caller));
        let wish = SessionWish::default();
        let mut caller_leg = Leg::new(LegName::Caller, near_tag, to.listener, wish);
        caller_leg.call_session(near_session);
        let mut callee_leg = Leg::new(LegName::Callee, far_tag, callee_path.listener, wish);
        callee_leg.call_session(far_session);
        let (invited, answered) = (Purpose::Invite(LegName::Callee), Purpose::Invite(LegName::Caller));
        let layer = &mut self.hands.layer;
        let server = layer.go_on_pending(kept.caller.known_by.0, to, owner(me, answered));
        if let (Some(server), Some(session)) = (server, near_session) {
            layer.name_session(server, session);
        }
        let invite = match &callee.stands {
            Stands::Pending(branch, way) => {
                let (to, bytes) = invite_again(&config, callee, branch.0, *way);
                let to = Path {
                    party: callee_path.party,
                    ..to
                };
                layer.go_on(to, owner(me, invited), &bytes)
            }
            Stands::Answered(_) => None,
        };
        if let Some(dialog) = dialog {
            self.hands.dialogs.insert(dialog.id(), (me, LegName::Callee));
            callee_leg.dialog = Some(dialog);
        }
        let party = LocalParty {
            call_id: callee.call_id.0,
            local_tag: &far_tag,
            local: callee.local.0,
            remote: callee.remote.0,
            request_uri: callee.target.0,
            cseq: callee.cseq,
        };
        let server = server.unwrap_or(ServerId::GONE);
        let caller = caller_left(now, caller_leg, server, echo, InviteState::Pending);
        let callee = Callee::left(callee_leg, callee_path, &party, invite, counted);
        let mut call = call_left(me, now, config, record, through, caller, callee);
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
