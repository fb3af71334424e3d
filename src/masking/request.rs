//! What API, CLI and imports ask for, and what they are told.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::binding::{Binding, Direction, Mode, Party, Terms};
use super::callee::Callee;
use super::change::Record;
use super::inventory::{
    Account, Callback, CityRule, ClassRule, Number, NumberState, Pool, Reuse, Standing, Unidentified,
};
use super::quarantine::Quarantine;
use super::shelf::Shortage;
use crate::base::id::Id;
use crate::base::number::{NumberPlan, RealNumber, VirtualNumber};
use crate::base::time::Wall;

/// Who chooses X.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum XChoice {
    /// The request names it.
    Given(VirtualNumber),
    /// The pool gives its next number on which the keys are free.
    FromPool(PoolChoice),
}

/// A number of a pool's own choice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolChoice {
    /// The pool, by key or name.
    pub pool: Box<str>,
    /// The city that the number should be of; what that means is the pool's rule.
    pub city: Option<Box<str>>,
}

/// Changes to a pool's settings: `None` leaves, `Some(None)` takes away.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PoolChange {
    /// AXB pairs that one number may carry, 1–5,000. Pairs beyond a lowered limit stay.
    pub axb_pairs_per_x: Option<usize>,
    /// Relations in which one number may be the Y, 1–5,000.
    pub relations_per_y: Option<usize>,
    /// What a wish for a city means.
    pub city_rule: Option<CityRule>,
    /// Where to look next if the city has no number left, in this order.
    pub fallback_cities: Option<Vec<Box<str>>>,
    /// What the numbers that somebody had before mean.
    pub reuse: Option<Reuse>,
    /// Where A's own call to X goes.
    pub callback: Option<Callback>,
    /// What becomes of callers without a usable identity.
    pub unidentified: Option<Unidentified>,
    /// How long what became free rests, in place of the conf's rule.
    pub quarantine: Option<Option<Quarantine>>,
    /// The pool is low when less than this share of it is free, 0–100 %; 0: never.
    pub free_low_percent: Option<u8>,
    /// How long the called party rings if its binding doesn't say.
    pub ring_timeout: Option<Option<Duration>>,
    /// Calls that may go by one number at once, 1–100,000. Calls beyond a lowered limit go on.
    pub calls_per_x: Option<Option<usize>>,
    /// Calls of one caller among them, 1–100,000.
    pub calls_per_caller: Option<Option<usize>>,
}

/// Changes to what is said of a number: `None` leaves, `Some(None)` takes away.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NumberChange {
    /// The trunks it belongs to; none: the default trunk(s).
    pub trunks: Option<Vec<Box<str>>>,
    /// Its city.
    pub city: Option<Option<Box<str>>>,
    /// The operator that gave it out.
    pub operator: Option<Option<Box<str>>>,
    /// The owner's own words for it.
    pub tags: Option<Vec<Box<str>>>,
}

/// Whether a new number goes into service at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Service {
    /// It does.
    #[default]
    Now,
    /// It stays in the inventory until it is moved into a pool.
    Later,
}

/// What to do when the same parties are bound on the same numbers already.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnConflict {
    /// Refuse, naming the binding that is there.
    #[default]
    Fail,
    /// Answer with the binding that is there, unchanged.
    Return,
    /// Give the binding that is there the new expiry.
    Extend,
}

/// Whether to write or only to say what would be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DryRun {
    /// Write.
    #[default]
    No,
    /// Say only.
    Yes,
}

/// Whom a binding shall join: its [`Parties`](super::binding::Parties), where Y may still be to choose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// A and B, both through X.
    Axb {
        /// The protected subscriber.
        a: RealNumber,
        /// The known other party.
        b: RealNumber,
    },
    /// A and whoever calls X.
    Ax {
        /// The protected subscriber.
        a: RealNumber,
    },
    /// A, for whom X stands, and B, for whom Y stands.
    Axyb {
        /// The protected subscriber.
        a: RealNumber,
        /// The number that stands for B.
        y: XChoice,
        /// The known other party.
        b: RealNumber,
    },
}

impl Wanted {
    /// The mode that joins so.
    pub const fn mode(&self) -> Mode {
        match self {
            Self::Axb { .. } => Mode::Axb,
            Self::Ax { .. } => Mode::Ax,
            Self::Axyb { .. } => Mode::Axyb,
        }
    }
}

/// A new binding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindRequest {
    /// Its virtual number.
    pub x: XChoice,
    /// Whom it joins.
    pub parties: Wanted,
    /// What it allows and asks for.
    pub terms: Terms,
    /// When it ends by itself; `None` for never.
    pub expires: Option<Wall>,
    /// What to do when the pair is there already.
    pub on_conflict: OnConflict,
    /// Whether to write at all.
    pub dry_run: DryRun,
}

/// A binding that was made before, or elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Import {
    /// What it is.
    pub request: BindRequest,
    /// The id that it had; a new one if `None`.
    pub id: Option<Id>,
    /// When it was made; now if `None`.
    pub created: Option<Wall>,
}

/// Changes to a binding's terms: `None` leaves, `Some(None)` takes away.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TermsChange {
    /// Who may call whom.
    pub direction: Option<Direction>,
    /// The call's longest duration.
    pub max_duration: Option<Option<Duration>>,
    /// How long the called party rings.
    pub ring_timeout: Option<Option<Duration>>,
    /// Whether calls are to be recorded.
    pub record: Option<bool>,
    /// The customer's order.
    pub order_id: Option<Option<Box<str>>>,
    /// The customer's own words.
    pub user_data: Option<Option<Box<str>>>,
}

/// A change of a live binding. What is `None` stays as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpdateRequest {
    /// The binding.
    pub id: Id,
    /// A new mode: from AX to AXB, with a B.
    pub mode: Option<Mode>,
    /// A new A.
    pub a: Option<RealNumber>,
    /// A new B.
    pub b: Option<RealNumber>,
    /// New terms.
    pub terms: TermsChange,
    /// A new expiry, [`Wall::NEVER`] for never; the old one stays if `None`.
    pub expires: Option<Wall>,
    /// Whether to write at all.
    pub dry_run: DryRun,
}

impl UpdateRequest {
    /// A request that changes nothing of `id` yet.
    pub fn of(id: Id) -> Self {
        Self {
            id,
            mode: None,
            a: None,
            b: None,
            terms: TermsChange::default(),
            expires: None,
            dry_run: DryRun::No,
        }
    }
}

/// What to unbind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unbind {
    /// One binding.
    Id(Id),
    /// Every live binding on a number.
    X(VirtualNumber),
}

/// Everything that can be asked of the one writer. Pools are named by key or name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Write {
    /// A new account.
    AddAccount {
        /// Its name, 1–64 bytes.
        name: Box<str>,
    },
    /// Changes an account. What is `None` stays.
    SetAccount {
        /// Its name.
        name: Box<str>,
        /// Whether it may do business.
        standing: Option<Standing>,
        /// Numbers that one A may have in AX and AXYB, 1–1,000.
        x_per_a: Option<usize>,
        /// How far ahead its bindings must end, one minute at least; `Some(None)`: they needn't.
        expiry_max: Option<Option<Duration>>,
    },
    /// A new pool; its key is given to it.
    AddPool {
        /// Its name, 1–64 bytes.
        name: Box<str>,
        /// The mode of its bindings.
        mode: Mode,
        /// The account that owns it; the default account if `None`.
        account: Option<Box<str>>,
        /// What differs from the defaults.
        settings: Box<PoolChange>,
    },
    /// Changes a pool.
    SetPool {
        /// The pool.
        pool: Box<str>,
        /// A new name; the old one stays if `None`.
        name: Option<Box<str>>,
        /// What changes.
        settings: Box<PoolChange>,
    },
    /// Takes a number into a pool.
    AddNumber {
        /// The number.
        x: VirtualNumber,
        /// The pool; the default pool if `None`.
        pool: Option<Box<str>>,
        /// What is said of it.
        about: Box<NumberChange>,
        /// Whether it goes into service at once.
        service: Service,
    },
    /// Changes what is said of a number.
    SetNumber {
        /// The number.
        x: VirtualNumber,
        /// What changes.
        about: Box<NumberChange>,
    },
    /// Puts a number into another pool, and into service if it was in the inventory. Only without live
    /// bindings; what rests on it rests on.
    MoveNumber {
        /// The number.
        x: VirtualNumber,
        /// The pool.
        pool: Box<str>,
    },
    /// Locks, freezes, or puts back into service. To [`NumberState::Released`] is [`Write::ReleaseNumber`].
    SetNumberState {
        /// The number.
        x: VirtualNumber,
        /// Where it stands from now on.
        state: NumberState,
    },
    /// Gives a number up. Only without live bindings.
    ReleaseNumber {
        /// The number.
        x: VirtualNumber,
    },
    /// Binds.
    Bind(BindRequest),
    /// Changes a binding.
    Update(UpdateRequest),
    /// Ends one binding, or all on a number.
    Unbind(Unbind),
    /// Binds under the id that the binding had. If that one is live here it stays as it is.
    Import(Box<Import>),
    /// Makes a record of a backup true again: accounts, pools and numbers that are missing, a binding as it was,
    /// even if it has ended since.
    PutBack(Box<Record>),
    /// Names whom A of an AX binding reaches by dialling his X next.
    SetCallee {
        /// The binding.
        id: Id,
        /// Whom.
        to: RealNumber,
        /// For how long, 1 s to 1 h.
        lasts: Duration,
    },
    /// Takes a binding's temporary callee away; nothing if it has none.
    ClearCallee {
        /// The binding.
        id: Id,
        /// Only this one; `None`: whichever.
        only: Option<Callee>,
    },
    /// Writes down that a binding's time is over; nothing if it isn't, or is written down already.
    Expire {
        /// The binding.
        id: Id,
    },
}

impl Write {
    /// A number of the default pool, in service at once, of which nothing is said.
    pub fn add_number(x: VirtualNumber) -> Self {
        Self::add_number_to(None, x)
    }

    /// A number of a pool, the default one if `None`, in service at once, of which nothing is said.
    pub fn add_number_to(pool: Option<&str>, x: VirtualNumber) -> Self {
        Self::AddNumber {
            x,
            pool: pool.map(Into::into),
            about: Box::default(),
            service: Service::Now,
        }
    }

    /// A pool of the default account with nothing but defaults.
    pub fn add_pool(name: &str, mode: Mode) -> Self {
        Self::AddPool {
            name: name.into(),
            mode,
            account: None,
            settings: Box::default(),
        }
    }

    /// Suspends or resumes an account.
    pub fn set_standing(name: &str, standing: Standing) -> Self {
        Self::SetAccount {
            name: name.into(),
            standing: Some(standing),
            x_per_a: None,
            expiry_max: None,
        }
    }
}

/// What was written, or would be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Written {
    /// An account as it is now.
    Account(Arc<Account>),
    /// A pool as it is now.
    Pool(Arc<Pool>),
    /// A number as it is now.
    Number(Arc<Number>),
    /// A binding as it is now, new or updated.
    Binding(Arc<Binding>),
    /// The binding that was there already ([`OnConflict::Return`], [`OnConflict::Extend`]).
    Existing(Arc<Binding>),
    /// The bindings that ended.
    Unbound(Vec<Id>),
    /// A temporary callee was named; `None`: there is none any more.
    Callee(Option<Callee>),
    /// What would have been written ([`DryRun::Yes`]).
    DryRun(Arc<Binding>),
}

/// A field of a request, as API and CLI name it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// `x`
    X,
    /// `y`
    Y,
    /// `a`
    A,
    /// `b`
    B,
    /// `to`
    To,
    /// `ttl_s`
    Ttl,
    /// `pool`
    Pool,
    /// `account`
    Account,
    /// `name`
    Name,
    /// `mode`
    Mode,
    /// `trunks`
    Trunks,
    /// `id`
    Id,
    /// `created_at`
    CreatedAt,
    /// `expires_at`
    ExpiresAt,
    /// `max_duration_s`
    MaxDuration,
    /// `ring_timeout_s`
    RingTimeout,
    /// `order_id`
    OrderId,
    /// `user_data`
    UserData,
    /// `axb_pairs_per_x`
    PairsPerX,
    /// `relations_per_y`
    RelationsPerY,
    /// `calls_per_x`
    CallsPerX,
    /// `calls_per_caller`
    CallsPerCaller,
    /// `city`, `fallback_cities`
    City,
    /// `operator`
    Operator,
    /// `tags`
    Tags,
    /// `quarantine`
    Quarantine,
    /// `free_low_percent`
    FreeLow,
    /// `x_per_a`
    XPerA,
    /// `expiry_max_s`
    ExpiryMax,
}

impl Field {
    /// The name in requests and errors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X => "x",
            Self::Y => "y",
            Self::A => "a",
            Self::B => "b",
            Self::To => "to",
            Self::Ttl => "ttl_s",
            Self::Pool => "pool",
            Self::Account => "account",
            Self::Name => "name",
            Self::Mode => "mode",
            Self::Trunks => "trunks",
            Self::Id => "id",
            Self::CreatedAt => "created_at",
            Self::ExpiresAt => "expires_at",
            Self::MaxDuration => "max_duration_s",
            Self::RingTimeout => "ring_timeout_s",
            Self::OrderId => "order_id",
            Self::UserData => "user_data",
            Self::PairsPerX => "axb_pairs_per_x",
            Self::RelationsPerY => "relations_per_y",
            Self::CallsPerX => "calls_per_x",
            Self::CallsPerCaller => "calls_per_caller",
            Self::City => "city",
            Self::Operator => "operator",
            Self::Tags => "tags",
            Self::Quarantine => "quarantine",
            Self::FreeLow => "free_low_percent",
            Self::XPerA => "x_per_a",
            Self::ExpiryMax => "expiry_max_s",
        }
    }

    /// What the field may hold.
    const fn range(self) -> &'static str {
        match self {
            Self::X | Self::Y | Self::A | Self::B | Self::To => "a number",
            Self::Ttl => "1 second to 1 hour",
            Self::Pool | Self::Account | Self::Mode => "a name that exists",
            Self::Name => "1 to 64 bytes without control characters, and for a pool no FC and 15 digits",
            Self::Trunks => "at most 16 names of 1 to 64 bytes",
            Self::Id => "an id that no other binding has",
            Self::CreatedAt => "a time that has been",
            Self::ExpiresAt => "at least one minute ahead",
            Self::MaxDuration => "1 minute to 24 hours",
            Self::RingTimeout => "5 to 180 seconds",
            Self::OrderId => "at most 64 bytes",
            Self::UserData => "at most 256 bytes",
            Self::PairsPerX | Self::RelationsPerY => "1 to 5000",
            Self::CallsPerX | Self::CallsPerCaller => "1 to 100000, or null for any",
            Self::City => "1 to 64 bytes without control characters, and at most 16 to fall back on",
            Self::Operator => "1 to 64 bytes without control characters",
            Self::Tags => "at most 16 of 1 to 64 bytes without control characters",
            Self::Quarantine => "soft or hard, for at most 365 days",
            Self::FreeLow => "0 to 100",
            Self::XPerA => "1 to 1000",
            Self::ExpiryMax => "at least one minute",
        }
    }
}

impl From<Party> for Field {
    fn from(party: Party) -> Self {
        match party {
            Party::A => Self::A,
            Party::B => Self::B,
            Party::N => Self::X,
        }
    }
}

/// Why a write is refused. Nothing of it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The number is a live party on X already.
    KeyTaken {
        /// The virtual number.
        x: VirtualNumber,
        /// The party whose key is taken.
        number: RealNumber,
        /// Which field of the request named it.
        party: Party,
        /// The binding that holds the key.
        binding: Id,
    },
    /// The number's key, or the whole number, rests from somebody else.
    KeyQuarantined {
        /// The virtual number.
        x: VirtualNumber,
        /// Which field of the request named who wants the key.
        party: Party,
        /// Until when.
        until: Wall,
    },
    /// A and B are one.
    SameNumber,
    /// X and Y are one.
    XIsY,
    /// A shall be called back by his own number.
    CalleeIsA,
    /// A shall be called back through a number of ours.
    CalleeIsOurs,
    /// The pool's callback mode is another.
    CallbackOff {
        /// The pool's name.
        pool: Box<str>,
    },
    /// The number carries bindings of another family of modes.
    FamilyTaken {
        /// The number.
        x: VirtualNumber,
        /// The mode of a binding that it carries.
        mode: Mode,
        /// That binding.
        binding: Id,
    },
    /// A has as many X as his account allows.
    NumbersFull {
        /// The limit.
        limit: usize,
    },
    /// Y is in as many relations as its pool allows.
    RelationsFull {
        /// The number.
        y: VirtualNumber,
        /// The limit.
        limit: usize,
    },
    /// The mode of the binding has no such field, or doesn't become that mode.
    NotOfMode {
        /// The field.
        field: Field,
        /// The binding's mode.
        mode: Mode,
    },
    /// The class of X or Y forbids it.
    OfClass {
        /// The number.
        x: VirtualNumber,
        /// The rule.
        rule: ClassRule,
    },
    /// A party is a number of ours.
    OwnNumber {
        /// Which field of the request named it.
        party: Party,
    },
    /// X is none of ours.
    UnknownNumber {
        /// The number.
        x: VirtualNumber,
    },
    /// X is ours already.
    NumberExists {
        /// The number.
        x: VirtualNumber,
    },
    /// X gets no new bindings.
    NumberLocked {
        /// The number.
        x: VirtualNumber,
    },
    /// X is not in service yet.
    NumberInInventory {
        /// The number.
        x: VirtualNumber,
    },
    /// X is frozen.
    NumberFrozen {
        /// The number.
        x: VirtualNumber,
    },
    /// X still carries a live binding.
    NumberBound {
        /// The number.
        x: VirtualNumber,
        /// One of its bindings.
        binding: Id,
    },
    /// The pool has no number for these parties.
    NoNumber {
        /// The pool's name.
        pool: Box<str>,
        /// What it is short of.
        shortage: Shortage,
        /// The city that was asked for.
        city: Option<Box<str>>,
    },
    /// No pool of that key or name.
    UnknownPool {
        /// What was asked for.
        pool: Box<str>,
    },
    /// No account of that name.
    UnknownAccount {
        /// What was asked for.
        account: Box<str>,
    },
    /// The account may do no business.
    AccountSuspended {
        /// The account.
        account: Box<str>,
    },
    /// Something else has that name.
    NameTaken {
        /// The name.
        name: Box<str>,
    },
    /// The pool's mode is another.
    ModeMismatch {
        /// The pool's name.
        pool: Box<str>,
        /// The pool's mode.
        mode: Mode,
    },
    /// X carries as many pairs as its pool allows.
    PairsFull {
        /// The number.
        x: VirtualNumber,
        /// The pool's limit.
        limit: usize,
    },
    /// The expiry is past or less than a minute ahead.
    ExpiryTooSoon,
    /// The account's bindings must end earlier, or at all.
    ExpiryTooLate {
        /// The account.
        account: Box<str>,
        /// How far ahead at most.
        max: Duration,
    },
    /// No binding of that id.
    UnknownBinding {
        /// What was asked for.
        id: Id,
    },
    /// Another binding has that id.
    IdTaken {
        /// The id.
        id: Id,
    },
    /// The binding is over.
    BindingEnded {
        /// The binding.
        id: Id,
    },
    /// A field is out of its bounds.
    BoundsOf(Field),
}

impl Refused {
    /// The name that programs go by.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::KeyTaken { .. } => "key_taken",
            Self::KeyQuarantined { .. } => "key_quarantined",
            Self::SameNumber => "same_number",
            Self::XIsY => "x_is_y",
            Self::CalleeIsA => "same_number",
            Self::CalleeIsOurs => "own_number",
            Self::CallbackOff { .. } => "callback_off",
            Self::FamilyTaken { .. } => "mode_mismatch",
            Self::NumbersFull { .. } => "numbers_full",
            Self::RelationsFull { .. } => "relations_full",
            Self::NotOfMode { .. } => "not_of_mode",
            Self::OfClass { rule, .. } => rule.name(),
            Self::OwnNumber { .. } => "own_number",
            Self::UnknownNumber { .. } => "unknown_number",
            Self::NumberExists { .. } => "number_exists",
            Self::NumberLocked { .. } => "number_locked",
            Self::NumberInInventory { .. } => "number_in_inventory",
            Self::NumberFrozen { .. } => "number_frozen",
            Self::NumberBound { .. } => "number_bound",
            Self::NoNumber { .. } => "no_number",
            Self::UnknownPool { .. } => "unknown_pool",
            Self::UnknownAccount { .. } => "unknown_account",
            Self::AccountSuspended { .. } => "account_suspended",
            Self::NameTaken { .. } => "name_taken",
            Self::ModeMismatch { .. } => "mode_mismatch",
            Self::PairsFull { .. } => "pairs_full",
            Self::ExpiryTooSoon => "expiry_too_soon",
            Self::ExpiryTooLate { .. } => "expiry_too_late",
            Self::UnknownBinding { .. } => "unknown_binding",
            Self::IdTaken { .. } => "id_taken",
            Self::BindingEnded { .. } => "binding_ended",
            Self::BoundsOf(_) => "out_of_bounds",
        }
    }

    /// The field of the request that is to blame.
    pub fn field(&self) -> Option<&'static str> {
        let field = match self {
            Self::KeyTaken { party, .. } | Self::KeyQuarantined { party, .. } | Self::OwnNumber { party } => {
                Field::from(*party)
            }
            Self::SameNumber => Field::B,
            Self::XIsY | Self::RelationsFull { .. } => Field::Y,
            Self::CalleeIsA | Self::CalleeIsOurs => Field::To,
            Self::CallbackOff { .. } => return None,
            Self::FamilyTaken { .. } => Field::X,
            Self::NumbersFull { .. } => Field::A,
            Self::NotOfMode { field, .. } => *field,
            Self::OfClass { rule, .. } => match rule {
                ClassRule::NeverShown => Field::X,
                ClassRule::BothMasked => Field::Mode,
                ClassRule::Order => Field::OrderId,
            },
            Self::UnknownNumber { .. }
            | Self::NumberExists { .. }
            | Self::NumberLocked { .. }
            | Self::NumberInInventory { .. }
            | Self::NumberFrozen { .. }
            | Self::NumberBound { .. }
            | Self::PairsFull { .. } => Field::X,
            Self::NoNumber { .. } | Self::UnknownPool { .. } => Field::Pool,
            Self::UnknownAccount { .. } => Field::Account,
            Self::NameTaken { .. } => Field::Name,
            Self::ModeMismatch { .. } => Field::Mode,
            Self::IdTaken { .. } => Field::Id,
            Self::ExpiryTooSoon | Self::ExpiryTooLate { .. } => Field::ExpiresAt,
            Self::BoundsOf(field) => *field,
            Self::AccountSuspended { .. } | Self::UnknownBinding { .. } | Self::BindingEnded { .. } => {
                return None;
            }
        };
        Some(field.name())
    }

    /// The binding that is in the way, or that was asked for.
    pub const fn binding(&self) -> Option<Id> {
        match self {
            Self::KeyTaken { binding, .. }
            | Self::NumberBound { binding, .. }
            | Self::FamilyTaken { binding, .. } => Some(*binding),
            Self::UnknownBinding { id } | Self::IdTaken { id } | Self::BindingEnded { id } => Some(*id),
            Self::KeyQuarantined { .. }
            | Self::SameNumber
            | Self::XIsY
            | Self::CalleeIsA
            | Self::CalleeIsOurs
            | Self::CallbackOff { .. }
            | Self::NumbersFull { .. }
            | Self::RelationsFull { .. }
            | Self::NotOfMode { .. }
            | Self::OfClass { .. }
            | Self::OwnNumber { .. }
            | Self::UnknownNumber { .. }
            | Self::NumberExists { .. }
            | Self::NumberLocked { .. }
            | Self::NumberInInventory { .. }
            | Self::NumberFrozen { .. }
            | Self::NoNumber { .. }
            | Self::UnknownPool { .. }
            | Self::UnknownAccount { .. }
            | Self::AccountSuspended { .. }
            | Self::NameTaken { .. }
            | Self::ModeMismatch { .. }
            | Self::PairsFull { .. }
            | Self::ExpiryTooSoon
            | Self::ExpiryTooLate { .. }
            | Self::BoundsOf(_) => None,
        }
    }

    /// The refusal in one sentence, real numbers masked: `17000000001 already serves 138****0001
    /// (binding 01J…)`.
    pub fn sentence(&self, plan: &NumberPlan) -> String {
        let mut text = String::new();
        let x_is = |x: &VirtualNumber, what: &str| format!("{} {what}", plan.virtual_text(*x));
        // Writing to a string can't fail.
        let _ = match self {
            Self::KeyTaken {
                x, number, binding, ..
            } => write!(
                text,
                "{} already serves {number:?} (binding {binding})",
                plan.virtual_text(*x)
            ),
            Self::KeyQuarantined { x, until, .. } => write!(
                text,
                "{} is in quarantine for others than its former pair until {until}",
                plan.virtual_text(*x)
            ),
            Self::SameNumber => write!(text, "a and b are the same number"),
            Self::XIsY => write!(text, "x and y are the same number"),
            Self::CalleeIsA => write!(text, "to is the number of a: name another's"),
            Self::CalleeIsOurs => write!(text, "to is a number of this server"),
            Self::CallbackOff { pool } => {
                write!(text, "pool {pool} refuses the calls of a to his own number")
            }
            Self::FamilyTaken { x, mode, binding } => write!(
                text,
                "{} carries {} bindings (one is {binding}), and a number carries one family of modes at a time",
                plan.virtual_text(*x),
                mode.name()
            ),
            Self::NumbersFull { limit } => {
                write!(
                    text,
                    "a has {limit} numbers in ax and axyb, as many as the account allows"
                )
            }
            Self::RelationsFull { y, limit } => write!(
                text,
                "{} stands for b in {limit} relations, as many as are allowed",
                plan.virtual_text(*y)
            ),
            Self::NotOfMode { field, mode } => write!(
                text,
                "an {} binding can't be given that {}",
                mode.name(),
                field.name()
            ),
            Self::OfClass { x, rule } => text.write_str(&x_is(
                x,
                match rule {
                    ClassRule::NeverShown => {
                        "is a 400 number, which never calls and is never shown: it can't be x or y"
                    }
                    ClassRule::BothMasked => {
                        "is a 700 number, which only serves where both sides are masked: axb and axyb"
                    }
                    ClassRule::Order => "is a 700 number, whose bindings must name an order_id",
                },
            )),
            Self::OwnNumber { party } => {
                write!(text, "{} is a number of this server", party.name())
            }
            Self::UnknownNumber { x } => text.write_str(&x_is(x, "is not a number of this server")),
            Self::NumberExists { x } => text.write_str(&x_is(x, "is a number of this server already")),
            Self::NumberLocked { x } => text.write_str(&x_is(x, "is locked: it gets no new bindings")),
            Self::NumberInInventory { x } => {
                text.write_str(&x_is(x, "is not in service yet: move it into a pool first"))
            }
            Self::NumberFrozen { x } => text.write_str(&x_is(x, "is frozen")),
            Self::NumberBound { x, binding } => write!(
                text,
                "{} still carries bindings (one is {binding}): unbind them first",
                plan.virtual_text(*x)
            ),
            Self::NoNumber { pool, shortage, city } => no_number(&mut text, pool, *shortage, city.as_deref()),
            Self::UnknownPool { pool } => write!(text, "there is no pool {pool}"),
            Self::UnknownAccount { account } => write!(text, "there is no account {account}"),
            Self::AccountSuspended { account } => write!(text, "account {account} is suspended"),
            Self::NameTaken { name } => write!(text, "the name {name} is taken"),
            Self::ModeMismatch { pool, mode } => {
                write!(
                    text,
                    "pool {pool} is for {} bindings: name a pool of the binding's mode",
                    mode.name()
                )
            }
            Self::PairsFull { x, limit } => write!(
                text,
                "{} carries {limit} pairs, as many as its pool allows",
                plan.virtual_text(*x)
            ),
            Self::ExpiryTooSoon => write!(text, "the expiry must be at least one minute ahead"),
            Self::ExpiryTooLate { account, max } => write!(
                text,
                "account {account} requires an expiry at most {} s ahead",
                max.as_secs()
            ),
            Self::UnknownBinding { id } => write!(text, "there is no binding {id}"),
            Self::IdTaken { id } => write!(text, "binding {id} is there already, and joins others"),
            Self::BindingEnded { id } => write!(text, "binding {id} is over"),
            Self::BoundsOf(field) => write!(text, "{} must be {}", field.name(), field.range()),
        };
        text
    }
}

/// What a pool lacks, and what helps.
fn no_number(
    text: &mut String,
    pool: &str,
    shortage: Shortage,
    city: Option<&str>,
) -> Result<(), std::fmt::Error> {
    let numbers = match city {
        Some(city) => format!("numbers of {city}"),
        None => "numbers".to_owned(),
    };
    match shortage {
        Shortage::Empty => write!(text, "pool {pool} has no numbers: add some"),
        Shortage::City => write!(
            text,
            "pool {pool} has no {numbers} and is strict about cities: add some, or make it loose"
        ),
        Shortage::OutOfService => write!(
            text,
            "all {numbers} in pool {pool} are locked, frozen or not in service: unlock some, or add some"
        ),
        Shortage::Full => write!(
            text,
            "all {numbers} in pool {pool} carry as many bindings as it allows: add some, unbind what is over, \
             or raise the limit"
        ),
        Shortage::Taken => write!(
            text,
            "all {numbers} in pool {pool} that have room serve one of the two already: add some, or unbind what \
             is over"
        ),
        Shortage::Resting => write!(
            text,
            "all {numbers} in pool {pool} that serve neither of the two are in quarantine: add some, or wait until \
             it is over"
        ),
        Shortage::Avoided => write!(
            text,
            "all {numbers} in pool {pool} that serve neither of the two served one of them lately, and the pool \
             avoids those: add some, or wait"
        ),
    }
}
