//! What there is to bind on: accounts, their pools, the pools' numbers.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ask::Server;
use super::binding::{Mode, Terms};
use super::collect::Collecting;
use super::quarantine::Quarantine;
use super::question::EndQuestion;
use super::recording::{Keeping, Wish};
use crate::base::language::Language;
use crate::base::limits::SERVICE_700_KEPT_DAYS;
use crate::base::limits::{
    AXB_PAIRS_PER_X, EXTENSION_DIGITS, EXTENSIONS_PER_X, LAST_CALLER_KEPT, POOL_FREE_LOW_PERCENT,
    RELATIONS_PER_Y, X_PER_A,
};
use crate::base::number::{Kind, Tel, VirtualNumber};
use crate::base::time::Wall;

/// The account that exists in every table from the start.
pub const DEFAULT_ACCOUNT: &str = "default";
/// The name of the pool that exists in every table from the start.
pub const DEFAULT_POOL: &str = "default";
/// The number in the default pool's key; later pools count on from it.
const FIRST_POOL: u64 = 100_000_000_000_001;

/// Whether an account may do business.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It may.
    #[default]
    Active,
    /// Calls, bind and unbind are refused; nothing is lost.
    Suspended,
}

/// One customer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Its name, which is its key.
    pub name: Box<str>,
    /// Counts the writes to this record, from 1.
    pub version: u32,
    /// Whether it may do business.
    pub standing: Standing,
    /// When it was made.
    pub created: Wall,
    /// Numbers that one A may have in AX and AXYB.
    pub x_per_a: usize,
    /// Its bindings have an expiry, at most this far ahead; `None`: any, or none.
    pub expiry_max: Option<Duration>,
    /// What prompts are spoken in; the server's language if `None`.
    pub language: Option<Language>,
    /// Whether its calls are recorded.
    pub recording: Wish,
    /// How long their recordings are kept.
    pub kept: Keeping,
}

impl Account {
    /// The account that is always there.
    pub fn default_account() -> Self {
        Self {
            name: DEFAULT_ACCOUNT.into(),
            version: 1,
            standing: Standing::Active,
            created: Wall::from_millis(0),
            x_per_a: X_PER_A,
            expiry_max: None,
            language: None,
            recording: Wish::default(),
            kept: Keeping::default(),
        }
    }
}

/// Whom A reaches by dialling his own X, where anyone may call X.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Callback {
    /// Whom the customer's program named just before.
    #[default]
    Temporary,
    /// Who called A last by X.
    Last,
    /// The number that the binding names.
    Preset,
    /// Nobody; he hears a tone.
    Tone,
    /// Nobody.
    Refused,
}

impl Callback {
    /// The word in conf and API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Temporary => "temporary",
            Self::Last => "last",
            Self::Preset => "preset",
            Self::Tone => "tone",
            Self::Refused => "refused",
        }
    }
}

/// What A, who owns an extension behind X, gets by dialling X.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OwnerDials {
    /// His callback.
    #[default]
    Callback,
    /// The question for an extension, as everybody; `#` is his callback.
    Ask,
}

impl OwnerDials {
    /// The word in requests and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Callback => "callback",
            Self::Ask => "ask",
        }
    }
}

/// What becomes of callers without a usable identity, where anyone may call X.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unidentified {
    /// They are refused.
    #[default]
    Refused,
    /// They are anyone.
    Accepted,
}

/// Which numbers a pool may choose from when a city is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CityRule {
    /// The city's, then those of the fall-back cities in their order, then any.
    #[default]
    Loose,
    /// The city's, and no other.
    Strict,
}

impl CityRule {
    /// The name in requests and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loose => "loose",
            Self::Strict => "strict",
        }
    }
}

/// What a pool's choice makes of the numbers that a person had before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Reuse {
    /// Nothing.
    #[default]
    Any,
    /// A gets the number again that he had last, if it is free for the pair.
    Sticky,
    /// Never a number that A or B has, or had within [`AVOID_STICKY`](crate::base::limits::AVOID_STICKY).
    Avoid,
}

/// What becomes of a fax that a call turns into (T.38).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub enum Fax {
    /// It is refused, and the call goes on as it was.
    #[default]
    Refuse,
    /// It is passed on. Its frames carry what the sending machine calls itself (TSI, CSI: mostly its number), and
    /// nobody masks that.
    Pass,
}

impl Fax {
    /// The name in requests and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Pass => "pass",
        }
    }
}

impl Reuse {
    /// The name in requests and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Sticky => "sticky",
            Self::Avoid => "avoid",
        }
    }
}

/// Numbers of one account and one mode, with what holds for all of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pool {
    /// What platforms name it by: `FC` and 15 digits. Never changes.
    pub key: Box<str>,
    /// What people name it by; one pool of that name.
    pub name: Box<str>,
    /// The mode of its bindings.
    pub mode: Mode,
    /// The account that owns it.
    pub account: Box<str>,
    /// Counts the writes to this record, from 1.
    pub version: u32,
    /// When it was made.
    pub created: Wall,
    /// AXB pairs that one of its numbers may carry.
    pub axb_pairs_per_x: usize,
    /// Relations in which one of its numbers may be the Y.
    pub relations_per_y: usize,
    /// What a wish for a city means.
    pub city_rule: CityRule,
    /// Where to look next if the city has no number left, in this order.
    pub fallback_cities: Vec<Box<str>>,
    /// What the numbers that somebody had before mean.
    pub reuse: Reuse,
    /// Whom A reaches by dialling his own X.
    pub callback: Callback,
    /// What becomes of callers without a usable identity.
    pub unidentified: Unidentified,
    /// The quarantine of its numbers' keys; the conf's by default.
    pub quarantine: Option<Quarantine>,
    /// The pool is low when less than this share of it is free, in percent; 0: never.
    pub free_low_percent: u8,
    /// How long the called party rings, for new bindings that don't say; the server's default if `None`.
    pub ring_timeout: Option<Duration>,
    /// Calls that may go by one of its numbers at once, in either role; `None`: any.
    pub calls_per_x: Option<usize>,
    /// Calls of one caller among them; `None`: any.
    pub calls_per_caller: Option<usize>,
    /// What becomes of faxes.
    pub fax: Fax,
    /// In X mode, the customer's server; without one nobody is reached.
    pub ask: Option<Arc<Server>>,
    /// Digits of an extension behind one of its numbers, 1 to 4.
    pub extension_width: u8,
    /// Extensions behind one of its numbers.
    pub extensions_per_x: usize,
    /// On what kind of leg callers are asked for keys.
    pub collect: Collecting,
    /// What an owner of an extension gets by dialling X.
    pub owner_dials: OwnerDials,
    /// How long the last caller is kept for A to call back.
    pub last_kept: Duration,
    /// What prompts are spoken in; the account's language if `None`.
    pub language: Option<Language>,
    /// What whoever stays on the line is asked when the other one has hung up, where the binding doesn't say.
    pub question: Option<Arc<EndQuestion>>,
    /// What becomes of its calls' recordings.
    pub recording: Wish,
}

impl Pool {
    /// The pool that is always there. It is where the first steps and load tests are made, with few callers and many
    /// calls, so it doesn't limit the calls of one caller; pools that are added do.
    pub fn default_pool() -> Self {
        Self {
            key: pool_key(FIRST_POOL),
            name: DEFAULT_POOL.into(),
            mode: Mode::Axb,
            account: DEFAULT_ACCOUNT.into(),
            version: 1,
            created: Wall::from_millis(0),
            axb_pairs_per_x: AXB_PAIRS_PER_X,
            relations_per_y: RELATIONS_PER_Y,
            city_rule: CityRule::default(),
            fallback_cities: Vec::new(),
            reuse: Reuse::default(),
            callback: Callback::default(),
            unidentified: Unidentified::default(),
            quarantine: None,
            free_low_percent: POOL_FREE_LOW_PERCENT,
            ring_timeout: None,
            calls_per_x: None,
            calls_per_caller: None,
            fax: Fax::default(),
            ask: None,
            extension_width: EXTENSION_DIGITS,
            extensions_per_x: EXTENSIONS_PER_X,
            collect: Collecting::default(),
            owner_dials: OwnerDials::default(),
            last_kept: LAST_CALLER_KEPT,
            language: None,
            question: None,
            recording: Wish::default(),
        }
    }

    /// The key of the pool made after the one with key `last`.
    pub fn key_after(last: &str) -> Box<str> {
        let last = last.strip_prefix("FC").and_then(|d| d.parse().ok());
        pool_key(last.unwrap_or(FIRST_POOL).saturating_add(1))
    }
}

fn pool_key(number: u64) -> Box<str> {
    format!("FC{number:015}").into()
}

/// Why a number is frozen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freeze {
    /// The account doesn't pay.
    Arrears,
    /// Somebody complained.
    Complaint,
    /// The carrier took it out of service.
    Carrier,
    /// The operator of this server did it.
    Operator,
    /// The regulator ordered it.
    Regulator,
}

impl Freeze {
    /// Every cause, by its name in requests and listings.
    pub const NAMES: [(&str, Self); 5] = [
        ("arrears", Self::Arrears),
        ("complaint", Self::Complaint),
        ("carrier", Self::Carrier),
        ("operator", Self::Operator),
        ("regulator", Self::Regulator),
    ];

    /// The name in requests and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arrears => "arrears",
            Self::Complaint => "complaint",
            Self::Carrier => "carrier",
            Self::Operator => "operator",
            Self::Regulator => "regulator",
        }
    }

    /// Whether the number's calls in progress are ended. Others only keep new ones out.
    pub const fn cuts_calls(self) -> bool {
        match self {
            Self::Complaint | Self::Regulator => true,
            Self::Arrears | Self::Carrier | Self::Operator => false,
        }
    }
}

/// What the law says of a kind of number; read off its digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Class {
    /// An ordinary number.
    #[serde(rename = "plain")]
    Plain,
    /// `400` and seven digits: never calls and is never shown.
    #[serde(rename = "400")]
    Service400,
    /// `95…`: never records.
    #[serde(rename = "95")]
    Service95,
    /// 15 digits from `700`: only in modes that mask both sides, with an order.
    #[serde(rename = "700")]
    Service700,
}

impl Class {
    /// The class of a number.
    pub fn of(number: Tel) -> Self {
        let digits = number.digits();
        match number.kind() {
            Kind::E164 | Kind::National => Self::Plain,
            Kind::Service if digits.len() == 10 && digits.starts_with("400") => Self::Service400,
            Kind::Service if digits.len() == 15 && digits.starts_with("700") => Self::Service700,
            Kind::Service | Kind::Short if digits.starts_with("95") => Self::Service95,
            Kind::Service | Kind::Short => Self::Plain,
        }
    }

    /// The name in requests and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Service400 => "400",
            Self::Service95 => "95",
            Self::Service700 => "700",
        }
    }

    /// How many days the records and recordings of its calls have to be kept, if the law says.
    pub const fn kept_at_least_days(self) -> Option<u32> {
        match self {
            Self::Service700 => Some(SERVICE_700_KEPT_DAYS),
            Self::Plain | Self::Service400 | Self::Service95 => None,
        }
    }

    /// Whether a number of this class may be X or Y of a binding in this mode, under these terms.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn admits(self, mode: Mode, terms: &Terms) -> Result<(), ClassRule> {
        // Something else is shown in a 400 number's place where it is called.
        let is_inbound = mode == Mode::Inbound;
        if !(is_inbound && self == Self::Service400) {
            self.may_be_shown(mode)?;
        }
        let has_order = terms.rare().order_id.as_deref().is_some_and(|id| !id.is_empty());
        match self {
            Self::Service700 if !has_order => Err(ClassRule::Order),
            Self::Plain | Self::Service400 | Self::Service95 | Self::Service700 => Ok(()),
        }
    }

    /// Whether a number of this class may stand for a caller in this mode.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub const fn may_be_shown(self, mode: Mode) -> Result<(), ClassRule> {
        match (self, mode) {
            (
                Self::Service400,
                Mode::Axb
                | Mode::Ax
                | Mode::Axyb
                | Mode::Axe
                | Mode::Axn
                | Mode::Axn95
                | Mode::Axg
                | Mode::Gxb
                | Mode::Gxyb
                | Mode::Xb
                | Mode::Inbound
                | Mode::X,
            ) => Err(ClassRule::NeverShown),
            (
                Self::Service700,
                Mode::Ax
                | Mode::Axe
                | Mode::Axn
                | Mode::Axn95
                | Mode::Axg
                | Mode::Xb
                | Mode::Inbound
                | Mode::X,
            ) => Err(ClassRule::BothMasked),
            (Self::Plain, Mode::Axn95) => Err(ClassRule::Only95),
            (Self::Service700, Mode::Axb | Mode::Axyb | Mode::Gxb | Mode::Gxyb)
            | (
                Self::Plain | Self::Service95,
                Mode::Axb
                | Mode::Ax
                | Mode::Axyb
                | Mode::Axe
                | Mode::Axn
                | Mode::Axg
                | Mode::Gxb
                | Mode::Gxyb
                | Mode::Xb
                | Mode::Inbound
                | Mode::X,
            )
            | (Self::Service95, Mode::Axn95) => Ok(()),
        }
    }
}

/// What the class of a number forbids.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClassRule {
    /// A 400 number never calls and is never shown.
    NeverShown,
    /// A 700 number only serves where both sides are masked: AXB, AXYB, GXB, GXYB.
    BothMasked,
    /// A binding on a 700 number names its order.
    Order,
    /// 95AXN is for 95 numbers.
    Only95,
}

impl ClassRule {
    /// The name that programs go by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NeverShown => "class_400",
            Self::BothMasked | Self::Order => "class_700",
            Self::Only95 => "class_95",
        }
    }
}

/// Where a number stands. Idle or in use is not stored: it follows from its bindings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberState {
    /// Known, and not in service yet: takes no bindings, and a caller reaches nobody.
    Inventory,
    /// In service.
    Active,
    /// Keeps its bindings, gets no new ones; calls go through.
    Locked,
    /// Calls are refused.
    Frozen(Freeze),
    /// No number of ours any more.
    Released,
}

impl NumberState {
    /// The name in records and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inventory => "inventory",
            Self::Active => "active",
            Self::Locked => "locked",
            Self::Frozen(_) => "frozen",
            Self::Released => "released",
        }
    }
}

/// Where a number stands again when it is frozen no more: where it stood before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Thawed {
    /// In service.
    #[default]
    Active,
    /// It gets no new bindings.
    Locked,
    /// Not in service yet.
    Inventory,
}

impl Thawed {
    /// As a state.
    pub const fn state(self) -> NumberState {
        match self {
            Self::Active => NumberState::Active,
            Self::Locked => NumberState::Locked,
            Self::Inventory => NumberState::Inventory,
        }
    }
}

/// One virtual number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Number {
    /// The number.
    pub x: VirtualNumber,
    /// The key of its pool.
    pub pool: Box<str>,
    /// The account that owns it.
    pub account: Box<str>,
    /// The trunks it belongs to; empty: the default trunk(s).
    pub trunks: Vec<Box<str>>,
    /// Where its subscribers are thought to live; what a pool's city rule goes by.
    pub city: Option<Box<str>>,
    /// The operator that gave it out.
    pub operator: Option<Box<str>>,
    /// The owner's own words for it.
    pub tags: Vec<Box<str>>,
    /// Where it stands.
    pub state: NumberState,
    /// What it thaws to, if it is frozen.
    pub thawed: Thawed,
    /// Counts the writes to this record, from 1.
    pub version: u32,
    /// When it was added (again, if it was released in between).
    pub added: Wall,
}

impl Number {
    /// Whether it is a number of ours (not released).
    pub const fn is_ours(&self) -> bool {
        match self.state {
            NumberState::Inventory | NumberState::Active | NumberState::Locked | NumberState::Frozen(_) => {
                true
            }
            NumberState::Released => false,
        }
    }

    /// What it thaws to if it is frozen now, whatever for.
    pub const fn thaws_to(&self) -> Thawed {
        match self.state {
            NumberState::Active | NumberState::Released => Thawed::Active,
            NumberState::Locked => Thawed::Locked,
            NumberState::Inventory => Thawed::Inventory,
            NumberState::Frozen(_) => self.thawed,
        }
    }

    /// What the law says of its kind.
    pub fn class(&self) -> Class {
        Class::of(self.x.tel())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pool_keys_count_on_from_the_default_pools() {
        let first = Pool::default_pool().key;
        assert_eq!(&*first, "FC100000000000001");
        assert_eq!(&*Pool::key_after(&first), "FC100000000000002");
    }
}
