//! The call detail record: one true line for every attempt on a number of ours.
//!
//! Times are UTC with milliseconds; numbers in E.164 with `+`, virtual and national ones as they are
//! dialled nationally. The field names are an interface: `umbra cdr`, the files and the API show them.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::line;
use super::port::LegName;
pub use super::recording::Recording;
use crate::base::id::Id;
use crate::base::number::Digits;
use crate::base::time::Wall;
use crate::masking::group::GroupId;
use crate::masking::reason::Reason;
use crate::rtp::flow::Counts;

/// The version of the record's form.
pub const SCHEMA: u32 = 1;

/// Who the caller was to the binding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallerKind {
    /// The protected subscriber.
    A,
    /// The known other party.
    B,
    /// Anyone, where the mode takes anyone.
    N,
    /// A member of the binding's group.
    Member,
    /// Nobody to any live binding.
    Stranger,
}

/// Who ended it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleasedBy {
    /// The calling side.
    Caller,
    /// The called side.
    Callee,
    /// Umbra: a refusal, a time-out, a limit, an admin, a restart.
    Server,
}

/// One try to reach the called party.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The trunk's name.
    pub trunk: String,
    /// The gateway's address.
    pub gateway: String,
    /// The number called.
    pub callee: Digits,
    /// Its final status; 0 if none came.
    pub status: u16,
    /// What became of its question for a password, if it asked. A restart in the middle of the call forgets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<Challenged>,
}

/// What became of a gateway's question for a password (401, 407).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Challenged {
    /// Our credentials were given; the attempt's status says what for.
    Answered,
    /// They were given, and it asked once more: there they are wrong.
    WrongPassword,
    /// The trunk has none.
    NoCredentials,
    /// It asked for another realm than the trunk's `credentials.realm`.
    OtherRealm,
    /// It asked for no Digest, or by an algorithm or qop that we don't know or have no hash for.
    Unknown,
    /// It wasn't the gateway that asked: the answer came from another address.
    OtherSource,
    /// It asked after the called party rang.
    TooLate,
}

impl Challenged {
    /// As records name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::WrongPassword => "wrong_password",
            Self::NoCredentials => "no_credentials",
            Self::OtherRealm => "other_realm",
            Self::Unknown => "unknown",
            Self::OtherSource => "other_source",
            Self::TooLate => "too_late",
        }
    }
}

/// What one leg's media was.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct LegMedia {
    /// The codec of the last audio packet taken, or the one agreed on.
    pub codec: Option<String>,
    /// RTP packets taken from this side.
    pub packets_in: u64,
    /// RTP packets sent to this side.
    pub packets_out: u64,
    /// Packets of this side that never came.
    pub lost: u64,
    /// The largest jitter seen, in milliseconds.
    pub jitter_ms_max: f64,
    /// Packets of this side that were not taken: strangers', other codecs', those sent while held.
    #[serde(default)]
    pub dropped: u64,
    /// Packets to this side that it says it never got, the other side's lost ones among them; `None` if it never
    /// reported (RTCP).
    #[serde(default)]
    pub remote_lost: Option<u64>,
    /// The largest jitter that this side reported, in milliseconds.
    #[serde(default)]
    pub remote_jitter_ms_max: Option<f64>,
    /// The last round trip to this side, in milliseconds; `None` if it never answered a report of ours.
    #[serde(default)]
    pub round_trip_ms: Option<f64>,
}

impl LegMedia {
    /// Takes over what was counted on the leg.
    pub fn count(&mut self, counts: &Counts) {
        let ms = |us: u32| f64::from(us / 100) / 10.0;
        self.packets_in = counts.packets_in;
        self.packets_out = counts.packets_out;
        self.lost = counts.lost;
        self.jitter_ms_max = ms(counts.jitter_us_max);
        self.dropped = counts.dropped;
        self.remote_lost = counts.remote_lost;
        self.remote_jitter_ms_max = counts.remote_jitter_us_max.map(ms);
        self.round_trip_ms = counts.round_trip_us.map(ms);
    }
}

/// Both legs' media.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Media {
    /// The calling side.
    pub caller: LegMedia,
    /// The called side.
    pub callee: LegMedia,
    /// Who was not heard, and why; `None` if nobody was missed. It may name addresses of both sides.
    #[serde(default)]
    pub audio: Option<String>,
}

/// By what the carriers bill the legs (RFC 7315 §4.6), where a trunk of them wants it named.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Charging {
    /// The caller's own: what its INVITE said.
    pub icid_in: Option<String>,
    /// Ours, made for the called party's leg.
    pub icid_out: Option<String>,
}

/// What became of asking the caller for digits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Collected {
    /// When his leg was answered for that; `None`: he was asked in early media.
    #[serde(with = "wall_option")]
    pub answered_at: Option<Wall>,
    /// How often he answered, or let the time for it go by.
    pub tries: u8,
    /// What came of it.
    pub result: Outcome,
    /// His answer, where he was asked to choose from a menu and has: as it is keyed, the menu's own for who keys nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<Box<str>>,
}

/// What came of asking a caller for digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// He was being asked when the call ended.
    Open,
    /// He keyed nothing that could be an answer.
    None,
    /// What he keyed named nobody.
    Wrong,
    /// He, or others behind this number, had guessed too often.
    LockedOut,
    /// He named somebody.
    Named,
}

impl Outcome {
    /// As records name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::None => "none",
            Self::Wrong => "wrong",
            Self::LockedOut => "locked_out",
            Self::Named => "named",
        }
    }
}

/// What became of the question at the end of a call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Questioned {
    /// Who stayed and was asked.
    pub of: Side,
    /// How often it was asked.
    pub asked: u8,
    /// The key that answered it.
    pub key: Option<char>,
    /// What came of it.
    pub result: Answer,
}

/// A side of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The calling one.
    Caller,
    /// The called one.
    Callee,
}

/// What came of the question at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It was being asked when the server died.
    Open,
    /// It was answered.
    Answered,
    /// No key was pressed.
    None,
    /// Keys were pressed, and none of them answers it.
    Wrong,
    /// Whoever was asked hung up before.
    HungUp,
    /// We hung up before: an admin, a shutdown, nothing heard any more.
    Cut,
}

/// The record. See the module's documentation for the writing of times and numbers.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // the names are the documentation
pub struct Cdr {
    pub schema: u32,
    pub node: String,
    pub call_id: Id,
    pub binding_id: Option<Id>,
    pub account: String,
    pub pool: Option<String>,
    pub mode: Option<String>,
    pub caller_kind: CallerKind,
    pub direction: Option<String>,
    pub a: Option<Digits>,
    pub x: Option<Digits>,
    pub y: Option<Digits>,
    pub peer: Option<Digits>,
    pub extension: Option<String>,
    pub group_id: Option<GroupId>,
    pub caller: Option<Digits>,
    pub dialled: Digits,
    pub callee: Option<Digits>,
    pub shown: Option<Digits>,
    #[serde(with = "wall")]
    pub arrived_at: Wall,
    #[serde(with = "wall_option")]
    pub dialled_at: Option<Wall>,
    #[serde(with = "wall_option")]
    pub early_media_at: Option<Wall>,
    #[serde(with = "wall_option")]
    pub ringing_at: Option<Wall>,
    #[serde(with = "wall_option")]
    pub answered_at: Option<Wall>,
    #[serde(with = "wall")]
    pub ended_at: Wall,
    pub released_by: ReleasedBy,
    pub sip_status: u16,
    pub callee_sip_status: Option<u16>,
    pub q850_cause: u8,
    pub refusal: Option<Reason>,
    pub billable_s: u64,
    pub attempts: Vec<Attempt>,
    pub recording: Recording,
    pub media: Media,
    pub sip_call_id_in: String,
    pub sip_call_id_out: Option<String>,
    pub trunk_in: String,
    pub trunk_out: Option<String>,
    pub order_id: Option<String>,
    pub user_data: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_cause: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charging: Option<Box<Charging>>,
    /// Which sound told the caller that nobody is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announcement: Option<String>,
    /// What became of asking the caller for digits, if he was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected: Option<Box<Collected>>,
    /// What became of the question at the end, if whoever stayed was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Box<Questioned>>,
}

impl Cdr {
    /// Whether that number took part in the call: a party's, or a virtual one.
    pub fn has(&self, party: &Party) -> bool {
        let numbers = [self.caller, self.callee, self.x, self.y, Some(self.dialled)];
        let has = |number: &Digits| *number == party.own || *number == party.shown;
        numbers.iter().flatten().any(has)
    }

    /// The record as text.
    pub fn line(&self) -> Line {
        // Room for nearly every record: it grows otherwise.
        let mut json = Vec::with_capacity(1_536);
        line::record(&mut json, self);
        Line {
            call_id: self.call_id,
            json,
        }
    }

    /// The trunk of a leg; none of a called party's before its INVITE.
    pub fn trunk_of(&self, leg: LegName) -> Option<&str> {
        match leg {
            LegName::Caller => Some(&self.trunk_in),
            LegName::Callee => self.trunk_out.as_deref(),
        }
    }
}

/// A call's record. The call writes to it, and at the end hands it out without a copy of its twenty texts; what is written
/// later stays the call's own.
#[derive(Clone, PartialEq, Debug)]
pub struct SharedCdr(Arc<Cdr>);

impl From<Box<Cdr>> for SharedCdr {
    fn from(record: Box<Cdr>) -> Self {
        Self(Arc::from(record))
    }
}

impl Deref for SharedCdr {
    type Target = Cdr;

    fn deref(&self) -> &Cdr {
        &self.0
    }
}

impl DerefMut for SharedCdr {
    fn deref_mut(&mut self) -> &mut Cdr {
        Arc::make_mut(&mut self.0)
    }
}

/// A number that somebody asks for, in both ways in which records write it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Party {
    /// As somebody's own.
    pub own: Digits,
    /// As a virtual one.
    pub shown: Digits,
}

// It is somebody's number, and a debug print ends in a log.
impl fmt::Debug for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Party(…)")
    }
}

/// A record as text, as the CDR files have it.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// The attempt's id.
    pub call_id: Id,
    /// The record: a JSON object without a line break in it.
    pub json: Vec<u8>,
}

// As with the record itself.
impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({}, {} bytes)", self.call_id, self.json.len())
    }
}

// No derived Debug: a record holds real numbers, and a debug print ends in a log.
impl fmt::Debug for Cdr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cdr({} {} {:?})", self.call_id, self.sip_status, self.refusal)
    }
}

/// A [`Wall`] as RFC 3339 text.
pub mod wall {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::base::time::Wall;

    /// Writes the time as text.
    pub fn serialize<S: Serializer>(wall: &Wall, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&wall.text())
    }

    /// Reads the time from text.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Wall, D::Error> {
        let text = String::deserialize(d)?;
        Wall::parse_rfc3339(&text).ok_or_else(|| serde::de::Error::custom("not a time (RFC 3339)"))
    }
}

/// An optional [`Wall`] as RFC 3339 text or `null`.
pub mod wall_option {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::base::time::Wall;

    /// Writes the time as text, or `null`.
    pub fn serialize<S: Serializer>(wall: &Option<Wall>, s: S) -> Result<S::Ok, S::Error> {
        match wall {
            Some(wall) => s.serialize_str(&wall.text()),
            None => s.serialize_none(),
        }
    }

    /// Reads the time from text, or `null`.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Wall>, D::Error> {
        match Option::<String>::deserialize(d)? {
            None => Ok(None),
            Some(text) => Wall::parse_rfc3339(&text)
                .map(Some)
                .ok_or_else(|| serde::de::Error::custom("not a time (RFC 3339)")),
        }
    }
}
