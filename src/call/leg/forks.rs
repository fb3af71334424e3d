//! The forks of our INVITE (RFC 3261 §12.1, §13.2.2.4): each phone that rings behind a gateway is an early dialog of its
//! own. The one that described its media last is in use, and its dialog is the leg's; the others wait beside it.
//! One of them answers, and they are forgotten; whichever answers later is ACKed and hung up on.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::Bye;
use super::callee::{Callee, CalleeState};
use super::peer::Peer;
use super::reliable::Pracked;
use crate::base::limits::{FORKS_MAX, PRACKS_MAX};
use crate::base::time::Now;
use crate::call::bridge::{Bridge, Described};
use crate::call::cdr::ReleasedBy;
use crate::call::config::Config;
use crate::call::exchange::Opening;
use crate::call::hands::{CallRef, Hands};
use crate::call::phase::{Call, End, Recorded};
use crate::call::port::LegName;
use crate::call::refusal;
use crate::call::targets::Resolved;
use crate::call::trunk::{self, Naming};
use crate::masking::reason::Reason;
use crate::sip::dialog::Dialog;
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::path::Path;
use crate::sip::reason;
use crate::sip::session_id::SessionId;
use crate::sip::transaction::Owner;

/// Forks that are over and remembered: as many as may ring, and as many that answer late.
const PAST_MAX: usize = 2 * FORKS_MAX;

/// The forks of one INVITE beside the one in use.
#[derive(Debug, Default)]
pub struct Forks {
    /// Early dialogs that are not in use.
    others: Vec<Fork>,
    /// What was acknowledged of the one in use.
    pracked: Pracked,
    /// Forks that are over.
    past: Vec<Past>,
    /// The highest CSeq number that a fork of which nothing is known can have had from us, beyond its INVITE's: another
    /// process may have sent it PRACKs.
    before: u32,
}

/// A fork that is over: it failed before the others (RFC 6228), or another one has won.
#[derive(Debug)]
struct Past {
    tag: Box<[u8]>,
    /// The CSeq number of our last request to it.
    cseq: u32,
    ended: Ended,
}

/// Whether a fork that lost, and answered after all, was hung up on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ended {
    Silently,
    ByBye,
}

/// An early dialog that is not in use.
#[derive(Debug)]
struct Fork {
    dialog: Dialog,
    peer: Peer,
    /// What it has described, if it has.
    described: Described,
    opening: Opening,
    pracked: Pracked,
}

/// How a response stands to the forks that are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Branch {
    /// It belongs to the fork in use.
    Used,
    /// It belongs to another one.
    Other,
    /// It belongs to none that is kept: there is no tag in it, no dialog can be made of it, or there are too many.
    None,
    /// It belongs to one that has failed: nothing more is expected of it.
    Dead,
}

impl Forks {
    /// The forks of an INVITE of another process, which may have said so much to each.
    pub(super) fn left(before: u32) -> Self {
        Self {
            before,
            ..Self::default()
        }
    }

    /// A fork is over. It is remembered if it may answer yet and has to be told from new ones.
    fn bury(&mut self, dialog: &Dialog, ended: Ended) {
        if self.past.len() < PAST_MAX {
            self.past.push(Past {
                tag: dialog.remote_tag().into(),
                cseq: dialog.last_cseq(),
                ended,
            });
        }
    }

    fn past(&mut self, tag: &[u8]) -> Option<&mut Past> {
        self.past.iter_mut().find(|past| *past.tag == *tag)
    }

    /// The highest CSeq number that a fork which is over, or of which nothing is known, can have had from us, if that is
    /// above its INVITE's.
    fn last_cseq(&self, tag: &[u8]) -> u32 {
        let past = self.past.iter().find(|past| *past.tag == *tag);
        past.map_or(self.before, |past| past.cseq)
    }

    fn place(&self, tag: &[u8]) -> Option<usize> {
        self.others
            .iter()
            .position(|fork| fork.dialog.remote_tag() == tag)
    }
}

impl Callee {
    /// The fork that a provisional response comes from; a new one becomes known, and the first is in use. What its
    /// phone can do is read.
    pub(super) fn fork_of(&mut self, hands: &mut Hands, me: CallRef, response: &Message<'_>) -> Branch {
        let Some(tag) = response.to_tag() else {
            return Branch::None;
        };
        if let Some(dialog) = &self.leg.dialog
            && dialog.remote_tag() == tag
        {
            self.leg.peer.hear(response);
            return Branch::Used;
        }
        if self.forks.past(tag).is_some() {
            return Branch::Dead;
        }
        if self.leg.dialog.is_some() {
            if let Some(fork) = self.forks.place(tag).and_then(|at| self.forks.others.get_mut(at)) {
                fork.peer.hear(response);
                return Branch::Other;
            }
            if self.forks.others.len() + 1 >= FORKS_MAX {
                return Branch::None;
            }
        }
        let Some(dialog) = self.dialog_of(response) else {
            return Branch::None;
        };
        hands.dialogs.insert(dialog.id(), (me, LegName::Callee));
        let mut peer = Peer::default();
        peer.hear(response);
        if self.leg.dialog.is_none() {
            self.leg.dialog = Some(dialog);
            self.leg.peer = peer;
            return Branch::Used;
        }
        self.forks.others.push(Fork {
            dialog,
            peer,
            described: Described::default(),
            opening: Opening::Pending,
            pracked: Pracked::default(),
        });
        Branch::Other
    }

    /// Another fork's dialog becomes the leg's, with what that fork has described. What the one before has described
    /// is kept for it. A fork that isn't known changes nothing.
    pub(super) fn turn_to_fork(&mut self, bridge: &mut Bridge, tag: &[u8]) {
        let Some(fork) = self.forks.place(tag).and_then(|at| self.forks.others.get_mut(at)) else {
            return;
        };
        let Some(used) = &mut self.leg.dialog else { return };
        std::mem::swap(used, &mut fork.dialog);
        std::mem::swap(&mut self.leg.peer, &mut fork.peer);
        std::mem::swap(&mut self.leg.opening, &mut fork.opening);
        std::mem::swap(&mut self.forks.pracked, &mut fork.pracked);
        fork.described = bridge.turn_callee(std::mem::take(&mut fork.described));
    }

    /// The 2xx of a fork: its dialog is the leg's from now on, and the other forks are forgotten (RFC 3261
    /// §13.2.2.4). `false`: it has more routing than can be kept, and so no dialog.
    pub(super) fn fork_wins(
        &mut self,
        hands: &mut Hands,
        me: CallRef,
        bridge: &mut Bridge,
        response: &Message<'_>,
    ) -> Option<()> {
        let tag = response.to_tag().unwrap_or_default();
        self.turn_to_fork(bridge, tag);
        let last_cseq = self.forks.last_cseq(tag);
        for fork in std::mem::take(&mut self.forks.others) {
            hands.dialogs.remove(&fork.dialog.id());
            self.forks.bury(&fork.dialog, Ended::Silently);
        }
        match &mut self.leg.dialog {
            Some(dialog) if dialog.remote_tag() == tag => dialog.confirm(response)?,
            Some(_) | None => {
                if let Some(before) = self.leg.dialog.take() {
                    hands.dialogs.remove(&before.id());
                    self.forks.bury(&before, Ended::Silently);
                    bridge.turn_callee(Described::default());
                }
                self.leg.peer = Peer::default();
                self.leg.opening = Opening::Pending;
                let mut dialog = self.dialog_of(response)?;
                // One that was said to have failed may have had PRACKs of ours before.
                dialog.go_on_after(last_cseq);
                hands.dialogs.insert(dialog.id(), (me, LegName::Callee));
                self.leg.dialog = Some(dialog);
            }
        }
        self.leg.peer.hear(response);
        Some(())
    }

    /// A fork has failed while others may ring on (RFC 6228): its early dialog is over. If it was in use, the last other
    /// one that has described media is from now on, or any.
    fn fork_dies(&mut self, hands: &mut Hands, bridge: &mut Bridge, tag: &[u8]) {
        if self
            .leg
            .dialog
            .as_ref()
            .is_some_and(|used| used.remote_tag() == tag)
        {
            let others = &self.forks.others;
            let next = others
                .iter()
                .rfind(|fork| fork.described.agreed.is_some())
                .or(others.last());
            if let Some(next) = next.map(|fork| Box::<[u8]>::from(fork.dialog.remote_tag())) {
                self.turn_to_fork(bridge, &next);
                bridge.order_flows(hands);
            } else if let Some(used) = self.leg.dialog.take() {
                hands.dialogs.remove(&used.id());
                self.forks.bury(&used, Ended::Silently);
                self.forks.pracked = Pracked::default();
                self.leg.opening = Opening::Pending;
                // What it described is nobody else's.
                bridge.turn_callee(Described::default());
            }
        }
        if let Some(at) = self.forks.place(tag) {
            let fork = self.forks.others.remove(at);
            hands.dialogs.remove(&fork.dialog.id());
            self.forks.bury(&fork.dialog, Ended::Silently);
        }
    }

    /// The dialog with the fork of this tag, and what was acknowledged of it.
    pub(super) fn fork_with(&mut self, tag: &[u8]) -> Option<(&mut Dialog, &mut Pracked)> {
        match self.forks.place(tag) {
            Some(at) => {
                let fork = self.forks.others.get_mut(at)?;
                Some((&mut fork.dialog, &mut fork.pracked))
            }
            None => {
                let used = self.leg.dialog.as_mut();
                let used = used.filter(|dialog| dialog.remote_tag() == tag)?;
                Some((used, &mut self.forks.pracked))
            }
        }
    }

    /// The INVITE failed, or is given up: its early dialogs are over (RFC 3261 §12.3).
    pub(super) fn forget_forks(&mut self, hands: &mut Hands) {
        let used = self.leg.dialog.take();
        let others = std::mem::take(&mut self.forks.others);
        for dialog in others.into_iter().map(|fork| fork.dialog).chain(used) {
            hands.dialogs.remove(&dialog.id());
        }
    }

    /// Forgets what the shard keeps for early dialogs that were never settled.
    pub fn forget_others(&mut self, hands: &mut Hands) {
        for fork in std::mem::take(&mut self.forks.others) {
            hands.dialogs.remove(&fork.dialog.id());
        }
    }

    /// Whether the INVITE's offer has its answer for good in the dialog with the fork of this tag.
    fn opening_with(&self, tag: &[u8]) -> Opening {
        match self.forks.place(tag).and_then(|at| self.forks.others.get(at)) {
            Some(fork) => fork.opening,
            None => self.leg.opening,
        }
    }

    /// The dialog with the fork of this tag, while it is kept.
    pub fn dialog_with(&mut self, tag: &[u8]) -> Option<&mut Dialog> {
        self.fork_with(tag).map(|(dialog, _)| dialog)
    }

    fn dialog_of(&self, response: &Message<'_>) -> Option<Dialog> {
        let mut dialog = Dialog::uac(&self.party(), response, self.path)?;
        if let Some(mut session) = self.leg.session() {
            session.hear(response);
            dialog.name_session(session);
        }
        Some(dialog)
    }
}

impl Call {
    /// The dialog of a leg that a peer's message with this tag belongs to: a fork's own, as long as nobody answered.
    pub fn dialog_with(&mut self, name: LegName, tag: &[u8]) -> Option<&mut Dialog> {
        match name {
            LegName::Caller => self.caller.leg.dialog.as_mut(),
            LegName::Callee => self.callee.as_mut()?.dialog_with(tag),
        }
    }

    /// Whether the offer that began a leg has its answer, in the dialog that a peer's message with this tag belongs to.
    pub fn opening_with(&self, name: LegName, tag: &[u8]) -> Opening {
        match name {
            LegName::Caller => self.caller.leg.opening,
            LegName::Callee => self
                .callee
                .as_ref()
                .map_or(Opening::Pending, |callee| callee.opening_with(tag)),
        }
    }

    /// Takes in what a message of a leg's peer, whose tag this is, says of the session's name (RFC 7989). The name as it
    /// is now, if the leg has one.
    pub fn hear_session(&mut self, name: LegName, tag: &[u8], message: &Message<'_>) -> Option<SessionId> {
        self.leg(name)?.session()?;
        self.dialog_with(name, tag)?.hear_session(message)
    }

    /// A fork of the called side speaks of media: from now on it is the one in use.
    pub fn turn_to_fork(&mut self, tag: &[u8]) {
        if let Some(callee) = self.callee.as_mut() {
            callee.turn_to_fork(&mut self.bridge, tag);
        }
    }

    /// A further 2xx: a repetition of the winner's, whose ACK was lost, or another fork's, which is ended
    /// at once (RFC 3261 §13.2.2.4).
    pub(super) fn callee_2xx_again(&mut self, hands: &mut Hands, now: Now, response: &Message<'_>) {
        let cause = self.cause_told();
        let Some(callee) = self.callee.as_mut() else {
            return;
        };
        let tag = response.to_tag().unwrap_or_default();
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
        let invite = response.cseq().number;
        let parting = Parting {
            session: callee.leg.session(),
            // What the winner is told, once the call is over (RFC 3261 §9.1).
            cause: match self.recorded {
                Recorded::Open => refusal::NOT_SELECTED_CAUSE,
                Recorded::Awaiting(_) | Recorded::Out => cause,
            },
        };
        let is_full = callee.forks.past.len() >= PAST_MAX;
        let last = match callee.forks.past(tag) {
            Some(past) if past.ended == Ended::ByBye => {
                // Its BYE is on the way; only the ACK was lost.
                disown(hands, path, &self.config, response, invite, parting.session);
                return;
            }
            Some(past) => {
                past.ended = Ended::ByBye;
                past.cseq
            }
            None if is_full => return dismiss(hands, path, &self.config, response, parting),
            None => {
                let cseq = invite.max(callee.forks.before);
                callee.forks.past.push(Past {
                    tag: tag.into(),
                    cseq,
                    ended: Ended::ByBye,
                });
                cseq
            }
        };
        decline(hands, now, path, &self.config, response, last, parting);
    }

    /// A fork of the called side has failed (RFC 6228).
    pub(super) fn fork_dies(&mut self, hands: &mut Hands, now: Now, tag: &[u8]) {
        let Some(callee) = self.callee.as_mut() else {
            return;
        };
        let used = callee.leg.dialog.as_ref();
        let is_used = used.is_some_and(|used| used.remote_tag() == tag);
        callee.fork_dies(hands, &mut self.bridge, tag);
        if is_used {
            self.leave_exchange(hands, now);
        }
    }
}

impl Call {
    /// The called side hangs up before the caller is answered. Before its own answer it must not (RFC 3261 §15): that
    /// fork is over, and the call with the last one.
    pub fn callee_left(&mut self, hands: &mut Hands, now: Now, bye: &Message<'_>) {
        let Some(callee) = self.callee.as_mut() else {
            return;
        };
        match callee.state {
            CalleeState::Answered => callee.leg.bye = Bye::Done,
            CalleeState::Calling
            | CalleeState::Proceeding
            | CalleeState::CancelWanted
            | CalleeState::Cancelled
            | CalleeState::Over => {
                self.fork_dies(hands, now, bye.from_tag().unwrap_or_default());
                if self
                    .leg_of(LegName::Callee)
                    .is_some_and(|leg| leg.dialog.is_some())
                {
                    return;
                }
            }
        }
        if self.is_over() {
            return;
        }
        let end = End {
            by: ReleasedBy::Callee,
            heard: refusal::cause_of(reason::read(bye)),
            // Somebody who was told who calls, and doesn't want to talk.
            ..End::failed(if self.is_whispered_to() {
                Reason::Rejected
            } else {
                Reason::Unreachable
            })
        };
        self.end(hands, now, end);
    }
}

/// The highest CSeq number that a fork of which nothing is kept any more can have had from us: its INVITE's and that
/// of each PRACK. One that leaves a gap is no error (RFC 3261 §12.2.2), one that is too low is.
pub fn last_cseq_of(response: &Message<'_>) -> u32 {
    response.cseq().number.saturating_add(PRACKS_MAX)
}

/// The same of one to which a process before this one may have said that the call is over, under a number of its own
/// ([`kept`](crate::call::kept)): that goes to 2^24 and a little.
pub const LAST_CSEQ_OF_STRAYS: u32 = 1 << 25;

/// What is said to a fork that nobody wants.
#[derive(Clone, Copy, Debug)]
pub struct Parting {
    /// What the messages of its leg name the session by, where its trunk wants that (RFC 7989).
    pub session: Option<SessionId>,
    /// The Q.850 cause of its BYE (RFC 6432).
    pub cause: u8,
}

impl Parting {
    /// From a call that is gone: what the answer itself gives back of the session's name counts.
    pub fn from_nobody(config: &Config, resolved: &Resolved, path: Path, response: &Message<'_>) -> Self {
        let trunk = trunk::of_path(&config.trunks, resolved, path);
        let is_named = trunk.is_some_and(|trunk| trunk.session_id == Naming::Own);
        Self {
            session: is_named.then(|| SessionId::given_back(response)).flatten(),
            cause: refusal::NOT_SELECTED_CAUSE,
        }
    }
}

/// ACKs a 2xx that nobody wants any more, and hangs up on it (RFC 3261 §13.2.2.4). `last_cseq` is the CSeq number of our
/// last request to that fork.
pub fn decline(
    hands: &mut Hands,
    now: Now,
    path: Path,
    config: &Config,
    response: &Message<'_>,
    last_cseq: u32,
    parting: Parting,
) {
    if let Some(mut fork) = disown(hands, path, config, response, last_cseq, parting.session) {
        let (to, bye) = bye(hands, config, response, &mut fork, parting.cause);
        // None while the one for an earlier copy of this 2xx is there.
        hands.layer.request(now.at, to, Owner::NOBODY, bye);
    }
}

/// The same when too many forks have answered for each to be kept: each copy of a 2xx has its own ACK and BYE, and
/// nobody waits for the answer.
fn dismiss(hands: &mut Hands, path: Path, config: &Config, response: &Message<'_>, parting: Parting) {
    let last = last_cseq_of(response);
    if let Some(mut fork) = disown(hands, path, config, response, last, parting.session) {
        let (to, bye) = bye(hands, config, response, &mut fork, parting.cause);
        hands.send(to, bye);
    }
}

/// The BYE to a fork that nobody wants, and its way.
fn bye(
    hands: &Hands,
    config: &Config,
    response: &Message<'_>,
    fork: &mut Dialog,
    cause: u8,
) -> (Path, Vec<u8>) {
    let cseq = fork.next_cseq();
    let (to, by) = hands.way(config, fork, None);
    let branch = branch_of_bye(response);
    let why = reason::q850(cause);
    let headers = [("Reason", why.as_str())];
    let bytes = fork.request(Method::Bye, cseq, &branch, by.via(), None, &headers, None, 70);
    (to, bytes)
}

/// The branch of the BYE to a fork that nobody wants: one for all that it says, so that every 2xx of it and every copy
/// cause one BYE and not one each (RFC 3261 §8.1.1.7, §12.2.1.1).
fn branch_of_bye(response: &Message<'_>) -> Vec<u8> {
    let (id, from, to) = (response.call_id(), response.from_tag(), response.to_tag());
    let hash = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, id, from, to).hash(&mut hasher);
        hasher.finish()
    };
    format!("z9hG4bK{:016x}{:016x}", hash(0), hash(1)).into_bytes()
}

/// ACKs a 2xx that nobody wants any more. `session` is what its leg names the session by.
pub fn disown(
    hands: &mut Hands,
    path: Path,
    config: &Config,
    response: &Message<'_>,
    last_cseq: u32,
    session: Option<SessionId>,
) -> Option<Dialog> {
    let mut fork = Dialog::unwanted(response, path, last_cseq)?;
    if let Some(mut session) = session {
        session.hear(response);
        fork.name_session(session);
    }
    let cseq = response.cseq().number;
    let (to, ack) = hands.bare_request(config, (&fork, None), Method::Ack, cseq, &[]);
    hands.send(to, ack);
    Some(fork)
}
