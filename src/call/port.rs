//! The switch's door: everything that goes in, everything that comes out.

use std::fmt;
use std::sync::Arc;

use super::ask::{Advice, Inquiry};
use super::cdr::{Challenged, Line, Media, Party, SharedCdr};
use super::config::Config;
use super::draft::Draft;
use super::failover::Exit;
use super::media::{Order, Report};
use super::reach::Outcome;
use super::recording::{self, Control, Controlled};
use super::targets::Resolved;
use crate::base::id::Id;
use crate::base::number::{Digits, VirtualNumber};
use crate::base::time::{Instant, Wall};
use crate::masking::callee::Callee;
use crate::masking::reason::Reason;
use crate::sip::method::Method;
use crate::sip::path::Path;

/// Why a message could not be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// The other side's host says that nobody listens (ICMP, connection refused).
    Refused,
    /// No way there, or no answer from the transport in time.
    Unreachable,
    /// The connection was closed or reset before anything came by it.
    Closed,
    /// A connection that had served was closed or reset: what was sent just then may never have been read.
    Crossed,
}

/// Pairs a question of the shell with its answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AskId(pub u64);

/// What goes in.
#[derive(Debug)]
pub enum Input<'a> {
    /// A message arrived.
    Packet {
        /// The way it came.
        path: Path,
        /// Its bytes, as received.
        bytes: &'a [u8],
    },
    /// A message sent this way could not be delivered.
    Failed(Path, Why),
    /// The time that `Switch::timeout` named has come.
    Timeout,
    /// The media threads report.
    Media(Report),
    /// The recorder reports.
    Recorded(recording::Report),
    /// What came of a question to a customer's server ([`Output::Ask`]). Too late, or twice, it counts for nothing.
    Advice(AskId, Advice),
    /// An admin or the owner of the process wants something.
    Order(Command),
    /// A new configuration: calls in progress keep the one they started with.
    Config(Arc<Config>),
    /// The names of gateways resolve to this from now on: calls in progress keep the addresses that they began with.
    Resolved(Arc<Resolved>),
}

/// What an admin or the owner of the process can ask of a switch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// List the calls.
    Calls(AskId),
    /// Say in which calls that number takes part.
    CallsOf(AskId, Party),
    /// End a call.
    Hangup(AskId, Id),
    /// Show a live call's messages.
    Trace(AskId, Id),
    /// Pause a call's recording, or go on with it.
    Recording(AskId, Id, Control),
    /// Ask a gateway, by its place in the conf, whether it is there. Only the first shard does.
    Probe(AskId, Exit),
    /// Take no new call; those in progress go on.
    Drain,
    /// Take new calls again.
    Admit,
    /// End every call now, with its record.
    EndAll,
    /// Keep every call anew, as it is now: another process goes on with them at once.
    KeepAll,
    /// End every call through this number of ours: dialled, or shown to the called party.
    CutNumber(VirtualNumber),
    /// Whether new calls can be recorded in the journal and the CDR files: while not, they get 503.
    Records(Records),
}

/// Whether the disk takes records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Records {
    /// It does, or the buffers still hold what it doesn't.
    Kept,
    /// It doesn't, and the buffers are full.
    Full,
}

/// What comes out. Obey in order: an arrival is journalled before its callee's INVITE leaves, and a record before it
/// goes to the CDR files.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes.
    Send {
        /// The way they go.
        to: Path,
        /// The whole message.
        bytes: Vec<u8>,
    },
    /// Tell the media threads.
    Media(Order),
    /// Tell the recorder.
    Record(recording::Order),
    /// Something happened to a call.
    Event(Event),
    /// An attempt is over: its record, which stands in the journal by now, the same as text, and the messages it took.
    Cdr(SharedCdr, Line, Trace),
    /// A call's state, to be on disk before what follows.
    Journal(CallEntry),
    /// A call of which something was [kept](CallEntry::Kept) is over, and once what came before this has left, both sides
    /// know it: no other process has to tell them.
    Told(Id),
    /// Ask a customer's server: what comes of it is an [`Input::Advice`] of the same id, to the same shard.
    Ask(AskId, Box<Inquiry>),
    /// The answer to a [`Command`].
    Answer(AskId, Answer),
    /// How a registration of ours is now.
    Registration(Registration),
    /// Something to count, and perhaps to wake somebody for.
    Note(Note),
    /// An INVITE of a call is about to leave towards the called side: by which legs it is
    /// known, if the conf wants to know.
    Legs(Box<Legs>),
    /// A temporary callee was used: to be taken away on disk too. If that can't be done, it is over by itself
    /// soon.
    CalleeUsed(Callee),
}

/// The two legs of a call.
#[derive(Clone, PartialEq, Eq)]
pub struct Legs {
    /// The call.
    pub call_id: Id,
    /// The Call-ID of the caller's INVITE.
    pub caller: Box<[u8]>,
    /// Our own towards the called side.
    pub callee: Box<[u8]>,
}

impl fmt::Debug for Legs {
    /// A peer's Call-ID may hold anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Legs({:?})", self.call_id)
    }
}

/// How our registration with a trunk's gateway is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    /// The trunk's name.
    pub trunk: Box<str>,
    /// How it is.
    pub state: Registered,
}

/// How a registration is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Registered {
    /// The gateway knows us until then; before, it is refreshed.
    Until(Wall),
    /// It failed, and is tried again then.
    Failed(Unregistered, Wall),
    /// It was taken back: no new calls are wanted.
    TakenBack,
    /// The trunk wants none any more.
    Never,
}

/// Why a registration failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unregistered {
    /// The gateway said nothing, or can't be reached.
    Silent,
    /// It refused with this status.
    Status(u16),
    /// It asked for a password, and wasn't given one that it takes.
    Challenge(Challenged),
    /// It accepted, and keeps nothing.
    NotGranted,
}

/// What happened to a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// The call.
    pub call_id: Id,
    /// When.
    pub at: Wall,
    /// What.
    pub what: EventKind,
}

/// The moments of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventKind {
    /// An attempt on a number of ours came in.
    Arrived,
    /// The called party's INVITE left.
    Dialled,
    /// The called party rings.
    Ringing,
    /// It answered.
    Answered,
    /// The caller was asked for digits, and this came of it.
    Digits(super::cdr::Outcome),
    /// It is over.
    Ended {
        /// The final status that the caller got.
        status: u16,
        /// Why it was no conversation, if it wasn't.
        refusal: Option<Reason>,
    },
}

/// One call's line in the journal.
#[derive(Clone, PartialEq, Debug)]
pub enum CallEntry {
    /// An attempt arrived and was judged. Holds its record as it would be if nothing else ever happened.
    Arrived(Draft),
    /// It was answered.
    Answered {
        /// The call.
        call_id: Id,
        /// When.
        at: Wall,
    },
    /// What another process needs to go on with it: with its talk, or with its clean end while it rings. The last one
    /// counts, and makes a [`CallEntry::Acked`] before it void.
    Kept {
        /// The call.
        call_id: Id,
        /// Its state, as [`kept`](super::kept) writes it.
        state: Box<[u8]>,
    },
    /// The caller has acknowledged its answer: nothing of it has to be said again.
    Acked {
        /// The call.
        call_id: Id,
    },
    /// It is over: its record as it is to be written, word for word. Of an attempt that was refused it is the only entry,
    /// and holds all of it; behind an arrival that is on the medium by then
    /// ([`JOURNAL_KNOWS_AFTER`](crate::base::limits::JOURNAL_KNOWS_AFTER)) it says [how it ended](Draft::end). A call with
    /// media has one before it that lacks only what is still being counted. The last one counts.
    Over(Draft),
    /// Its record is written. What is kept of it stays until both sides were told that it is over ([`Output::Told`]).
    Ended {
        /// The call.
        call_id: Id,
    },
}

impl CallEntry {
    /// The call.
    pub fn call_id(&self) -> Id {
        match self {
            Self::Arrived(draft) | Self::Over(draft) => draft.call_id,
            Self::Answered { call_id, .. }
            | Self::Kept { call_id, .. }
            | Self::Acked { call_id }
            | Self::Ended { call_id } => *call_id,
        }
    }
}

/// An answer to a [`Command`].
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// The live calls of this shard.
    Calls(Vec<CallView>),
    /// Those of this shard in which a number takes part, and such as are over and not gone yet.
    CallsOf(Vec<Id>),
    /// The call was found and is being ended, or there is none of that id here.
    Hangup(Found),
    /// The call's messages so far, if it is here.
    Trace(Option<Trace>),
    /// What came of pausing a recording, or of going on with it.
    Recording(Controlled),
    /// What came of a probe; nothing if none was sent: the conf has changed meanwhile, or too many wait for it.
    Probed(Option<Probed>),
}

/// What came of a probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Probed {
    /// The trunk's name.
    pub trunk: Box<str>,
    /// The gateway's.
    pub gateway: Box<str>,
    /// What it said.
    pub outcome: Outcome,
}

/// Whether a call of that id lives in this shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// It does.
    Here,
    /// It doesn't.
    Nowhere,
}

/// A live call, for listings.
#[derive(Clone, PartialEq, Debug)]
pub struct CallView {
    /// The call.
    pub call_id: Id,
    /// Its binding.
    pub binding_id: Option<Id>,
    /// The dialled number, as dialled nationally.
    pub x: Digits,
    /// Its phase: `arrived`, `dialled`, `ringing`, `answered`, `ending`.
    pub phase: &'static str,
    /// The caller, masked (`138****0001`).
    pub caller: String,
    /// The called party, masked.
    pub callee: String,
    /// When it came in.
    pub arrived_at: Wall,
    /// When it was answered.
    pub answered_at: Option<Wall>,
    /// Its media so far. Addresses of both sides may be in its words.
    pub media: Media,
}

/// A call's messages, without their contents.
pub type Trace = Vec<TraceLine>;

/// One message of a call, as a line of a ladder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceLine {
    /// When.
    pub at: Instant,
    /// Which leg.
    pub leg: LegName,
    /// Which way, seen from us.
    pub heading: Heading,
    /// A request's method, or the method a response answers.
    pub method: Method,
    /// A response's status.
    pub status: Option<u16>,
    /// Whether it carried a session description.
    pub sdp: bool,
}

/// The two legs of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LegName {
    /// Towards the calling side.
    Caller,
    /// Towards the called side.
    Callee,
}

impl LegName {
    /// The leg on the other side of the call.
    pub const fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }

    /// Its place in a pair.
    pub const fn index(self) -> usize {
        match self {
            Self::Caller => 0,
            Self::Callee => 1,
        }
    }
}

/// Which way a message went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heading {
    /// It came in.
    In,
    /// We sent it.
    Out,
}

/// Something to count. Those that a person should hear of are alarms.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Note {
    /// A message that can't be read.
    Malformed,
    /// A message that belongs to nothing of ours.
    Stray,
    /// A request from an address that is no trunk's.
    Stranger,
    /// A request with wrong credentials, on a trunk that asks for some.
    WrongPassword,
    /// Credentials that weren't looked at, because their source had given wrong ones too often.
    Guessing,
    /// A new call refused for load.
    Shed,
    /// Alarm: the egress guard stopped a message that would have shown what it must not.
    GuardHit,
    /// Alarm: no media port was left for a call.
    PortsDry,
    /// Alarm: somebody else has a media port of ours.
    PortTaken,
    /// Alarm: the system has no open file or memory left for a media port.
    FilesDry,
    /// A source is banned for what it sent.
    Banned,
    /// Somebody called an emergency number.
    Emergency,
    /// A message could not be sent.
    SendFailed,
    /// Alarm: a TCP connection from a trunk's address, or to one, was refused, because there are too many.
    ConnectionsFull,
}

impl Note {
    /// Whether a person should hear of it.
    pub const fn is_alarm(self) -> bool {
        match self {
            Self::GuardHit | Self::PortsDry | Self::PortTaken | Self::FilesDry | Self::ConnectionsFull => {
                true
            }
            Self::Malformed
            | Self::Stray
            | Self::Stranger
            | Self::WrongPassword
            | Self::Guessing
            | Self::Shed
            | Self::Banned
            | Self::Emergency
            | Self::SendFailed => false,
        }
    }
}
