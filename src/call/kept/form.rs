//! How a call's state is written: structs of its own, whose fields stand one after the other without names (postcard).
//! Whatever changes here, or in a type that stands here by itself, changes its [`form`](super::form()).

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::number::Digits;
use crate::call::bridge::Ssrcs;
use crate::call::cdr;
use crate::call::cue::Left;
use crate::call::leg::peer::Peer;
use crate::call::leg::session_timer::Refresher;
use crate::call::recording;
use crate::call::trunk::{Dtmf, RtcpMux, SessionWish};
use crate::masking::inventory::Fax;
use crate::rtp::flow::{Counts, MediaNat, MediaSource};
use crate::sdp::answer::{Agreed, Lines, Terms};
use crate::sdp::crypto::{Line, Protection, Secured};
use crate::sdp::media::Origin;
use crate::sip::build::Repeated;
use crate::sip::path::Transport;
use crate::sip::session_id::SessionId;

/// Bytes, written at once.
#[derive(Clone, Copy)]
pub struct Bytes<'a>(pub &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(d).map(Self)
    }
}

/// What has to be known of a call, by how far it is.
#[derive(Serialize, Deserialize)]
pub enum Stage<'a> {
    /// It is answered.
    #[serde(borrow)]
    Talking(Box<Talking<'a>>),
    /// The called party's INVITE is out.
    #[serde(borrow)]
    Ringing(Box<Ringing<'a>>),
    /// The caller is asked for digits, or was answered for that and somebody is called since; or a customer's server is asked
    /// about him.
    #[serde(borrow)]
    Alone(Box<Alone<'a>>),
}

/// The call's recording, or why there is none; `None` where that isn't said.
pub type Recorded = Option<Result<recording::Kept, recording::Why>>;

/// A caller with whom we have talked before anybody answered: what it takes to end the call on all sides.
#[derive(Serialize, Deserialize)]
pub struct Alone<'a> {
    #[serde(borrow)]
    pub record: Record<'a>,
    pub through: Through,
    #[serde(borrow)]
    pub caller: Near<'a>,
    #[serde(borrow)]
    pub callee: Option<Invited<'a>>,
    pub sessions: [Option<SessionId>; 2],
    /// It stands behind the stage, since [form 4](super::form()).
    #[serde(skip)]
    pub recorded: Recorded,
}

/// How far such a caller's leg is.
#[derive(Serialize, Deserialize)]
pub enum Near<'a> {
    /// It hears us as early media: its Call-ID, our tag, and its INVITE.
    Asked(
        #[serde(borrow)] Bytes<'a>,
        #[serde(borrow)] Bytes<'a>,
        #[serde(borrow)] Asked<'a>,
    ),
    /// It is answered: its dialog, the CSeq numbers in that, and our 2xx as long as it has no ACK.
    Answered(
        #[serde(borrow)] Box<Dialog<'a>>,
        Way,
        (u32, Option<u32>),
        #[serde(borrow)] Option<Unacked<'a>>,
    ),
}

/// A call that waits for its answer: what it takes to end it on both sides.
#[derive(Serialize, Deserialize)]
pub struct Ringing<'a> {
    #[serde(borrow)]
    pub record: Record<'a>,
    pub through: Through,
    #[serde(borrow)]
    pub call_id: Bytes<'a>,
    #[serde(borrow)]
    pub caller: Asked<'a>,
    /// Our tag towards the caller.
    #[serde(borrow)]
    pub tag: Bytes<'a>,
    #[serde(borrow)]
    pub callee: Invited<'a>,
    pub sessions: [Option<SessionId>; 2],
    /// As with who is alone.
    #[serde(skip)]
    pub recorded: Recorded,
}

/// Somebody's INVITE without a final answer.
#[derive(Serialize, Deserialize)]
pub struct Asked<'a> {
    /// By what it is known.
    #[serde(borrow)]
    pub known_by: Bytes<'a>,
    /// Where its answers go.
    pub way: Way,
    /// What they repeat.
    pub lines: Cow<'a, Repeated>,
}

/// The called party's INVITE.
#[derive(Serialize, Deserialize)]
pub struct Invited<'a> {
    #[serde(borrow)]
    pub call_id: Bytes<'a>,
    #[serde(borrow)]
    pub tag: Bytes<'a>,
    #[serde(borrow)]
    pub local: Bytes<'a>,
    #[serde(borrow)]
    pub remote: Bytes<'a>,
    #[serde(borrow)]
    pub target: Bytes<'a>,
    pub cseq: u32,
    /// The way of its dialogs.
    pub way: Way,
    #[serde(borrow)]
    pub stands: Stands<'a>,
}

/// How far the called party's INVITE is.
#[derive(Serialize, Deserialize)]
pub enum Stands<'a> {
    /// It waits for its answer: its branch, and the way that it went itself.
    Pending(#[serde(borrow)] Bytes<'a>, Way),
    /// It has a 2xx, and the caller not yet.
    #[serde(borrow)]
    Answered(Box<Dialog<'a>>),
}

/// The way of messages.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// Where our listener is bound.
    pub here: SocketAddr,
    pub transport: Transport,
    pub remote: SocketAddr,
}

/// A conversation, but for what changes by every message.
#[derive(Serialize, Deserialize)]
pub struct Talking<'a> {
    #[serde(borrow)]
    pub record: Record<'a>,
    pub through: Through,
    /// The longest that it may last, in seconds.
    pub longest_s: u64,
    pub fax: Fax,
    /// The CSeq number of the caller's INVITE.
    pub invited: u32,
    #[serde(borrow)]
    pub caller: Leg<'a>,
    #[serde(borrow)]
    pub callee: Leg<'a>,
    /// What has still to be said. It stands behind the secrets, since [form 4](super::form()).
    #[serde(skip)]
    pub left: Option<Box<Left>>,
    /// Behind that.
    #[serde(skip)]
    pub recorded: Recorded,
}

/// What changes by every message, behind the rest: it alone is no reason to write all of it.
#[derive(Serialize, Deserialize)]
pub struct Moving<'a> {
    /// The CSeq numbers of each leg's last requests: ours, theirs.
    pub cseqs: [(u32, Option<u32>); 2],
    /// 2xx of ours to INVITEs that aren't ACKed yet.
    #[serde(borrow)]
    pub unacked: [Option<Unacked<'a>>; 2],
    /// What was counted before this process, and in it so far.
    pub counts: Option<Box<[Counts; 2]>>,
    /// When each leg's session expires, where it is timed: Unix milliseconds. They stand behind all the rest, since
    /// [form 2](super::form()).
    #[serde(skip)]
    pub expire: [Option<i64>; 2],
}

/// What the record says now and didn't when the call came.
#[derive(Serialize, Deserialize)]
pub struct Record<'a> {
    pub callee: Option<&'a str>,
    /// Dialled, early media, ringing, answered: Unix milliseconds.
    pub moments: [Option<i64>; 4],
    pub callee_sip_status: Option<u16>,
    #[serde(borrow)]
    pub attempts: Vec<Attempt<'a>>,
    pub trunk_out: Option<&'a str>,
    pub icid_out: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
pub struct Attempt<'a> {
    pub trunk: &'a str,
    pub gateway: &'a str,
    pub callee: &'a str,
    pub status: u16,
}

impl<'a> Attempt<'a> {
    /// What is written of it.
    pub fn of(attempt: &'a cdr::Attempt) -> Self {
        let cdr::Attempt {
            trunk,
            gateway,
            callee,
            status,
            challenge: _,
        } = attempt;
        Self {
            trunk,
            gateway,
            callee,
            status: *status,
        }
    }

    /// What was written of it; `None`: no number is that long.
    pub fn read(&self) -> Option<cdr::Attempt> {
        Some(cdr::Attempt {
            trunk: self.trunk.to_owned(),
            gateway: self.gateway.to_owned(),
            callee: Digits::from(self.callee).ok()?,
            status: self.status,
            challenge: None,
        })
    }
}

/// By which numbers of ours the call goes, as their packed words.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Through {
    /// The one that was dialled.
    pub x: u64,
    /// The one that is shown.
    pub shown: Option<u64>,
    /// Who called it.
    pub calling: Option<u64>,
}

#[derive(Serialize, Deserialize)]
pub struct Leg<'a> {
    #[serde(borrow)]
    pub dialog: Dialog<'a>,
    pub way: Way,
    pub peer: Peer,
    pub wish: SessionWish,
    pub timed: Option<Timed>,
    pub session: Option<SessionId>,
    pub say: Say,
    /// Its peer's re-INVITE that waits for the other leg.
    #[serde(borrow)]
    pub asked: Option<Asked<'a>>,
    #[serde(borrow)]
    pub forbidden: Forbidden<'a>,
    #[serde(borrow)]
    pub side: Side<'a>,
}

#[derive(Serialize, Deserialize)]
pub struct Dialog<'a> {
    #[serde(borrow)]
    pub call_id: Bytes<'a>,
    #[serde(borrow)]
    pub local_tag: Bytes<'a>,
    #[serde(borrow)]
    pub remote_tag: Bytes<'a>,
    #[serde(borrow)]
    pub local: Bytes<'a>,
    #[serde(borrow)]
    pub remote: Bytes<'a>,
    #[serde(borrow)]
    pub target: Bytes<'a>,
    #[serde(borrow)]
    pub routes: Vec<Bytes<'a>>,
    pub session: Option<SessionId>,
}

/// A leg's session timer.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Timed {
    pub min_s: u32,
    pub clock: Option<(u32, Refresher)>,
}

/// What has still to be said to a leg's peer.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Say {
    Nothing,
    /// What the other leg has settled, if it doesn't have that already.
    Settled,
    /// What it was told last: it may have agreed to something else since, which came to nothing.
    Told,
}

/// What must not go out on a leg.
#[derive(Serialize, Deserialize)]
pub struct Forbidden<'a> {
    pub numbers: Cow<'a, [Digits]>,
    #[serde(borrow)]
    pub ids: Vec<Bytes<'a>>,
    pub addresses: Vec<IpAddr>,
    pub known: Cow<'a, [IpAddr]>,
}

/// One side of the bridge.
#[derive(Serialize, Deserialize)]
pub struct Side<'a> {
    /// What its descriptions name as ours.
    pub here: SocketAddr,
    /// Where its port is bound, if that is another address.
    pub bound: Option<IpAddr>,
    pub lines: Cow<'a, Lines>,
    pub origin: Origin,
    pub written: Option<Cow<'a, Terms>>,
    /// Whether they were said like that, and can be said again under the same version.
    pub is_said: bool,
    pub agreed: Option<Cow<'a, Agreed>>,
    /// Whether its peer has still to answer them.
    pub owes: bool,
    pub nat: MediaNat,
    pub media_from: Cow<'a, [MediaSource]>,
    pub mux: RtcpMux,
    pub dtmf: Dtmf,
    /// What secures it. It stands behind all of the stage, since [form 3](super::form()).
    #[serde(skip)]
    pub secret: Option<Secret<'a>>,
}

/// What secures a side's audio: the only place outside of its descriptions where keys are written.
#[derive(Serialize, Deserialize)]
pub struct Secret<'a> {
    pub protection: Cow<'a, Protection>,
    /// What our last description said.
    pub line: Cow<'a, Line>,
    pub ssrcs: Ssrcs,
    /// How often the peer's sequence numbers have rolled over.
    pub rollovers: u32,
    /// What is agreed.
    pub secured: Option<Cow<'a, Secured>>,
}

/// A 2xx of ours without its ACK.
#[derive(Serialize, Deserialize)]
pub struct Unacked<'a> {
    pub cseq: u32,
    /// The whole message, but for its body where that is what the leg was told last.
    #[serde(borrow)]
    pub head: Bytes<'a>,
    pub body: Body,
    /// By what its INVITE is known.
    #[serde(borrow)]
    pub known_by: Bytes<'a>,
    /// Where the 2xx goes.
    pub way: Way,
}

/// The body of a 2xx.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// What the leg was told last, which isn't written twice.
    Told,
    /// It stands in the head's bytes.
    There,
}
