//! What API, CLI and imports ask for, and what they are told.

use std::sync::Arc;
use std::time::Duration;

use super::ask::{NumbersTold, Secret};
use super::binding::{Binding, Direction, Mode, Terms};
use super::callee::Callee;
use super::change::Record;
use super::collect::Collecting;
use super::cues::CuesChange;
use super::group::{Group, GroupId};
use super::inventory::{
    Account, Callback, CityRule, Fax, Number, NumberState, OwnerDials, Pool, Reuse, Standing, Unidentified,
};
use super::keyed::Extension;
use super::last::Last;
use super::menu::Menu;
use super::quarantine::Quarantine;
use super::question::QuestionChange;
use super::recording::{KeepingChange, WishChange};
use super::turns::Ring;
use crate::base::id::Id;
use crate::base::language::Language;
use crate::base::number::{RealNumber, VirtualNumber};
use crate::base::time::Wall;
use crate::base::url::HttpUrl;

mod refused;

pub use refused::{Field, GroupRefused, MenuRefused, Refused};

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
    /// What becomes of faxes.
    pub fax: Option<Fax>,
    /// Digits of an extension, 1 to 4; not while extensions are bound.
    pub extension_width: Option<u8>,
    /// Extensions behind one number, 1–9,999. Those beyond a lowered limit stay.
    pub extensions_per_x: Option<usize>,
    /// On what kind of leg callers are asked for keys.
    pub collect: Option<Collecting>,
    /// What an owner of an extension gets by dialling X.
    pub owner_dials: Option<OwnerDials>,
    /// How long the last caller is kept for A to call back, 1 s to 30 days.
    pub last_kept: Option<Duration>,
    /// What prompts are spoken in.
    pub language: Option<Option<Language>>,
    /// What becomes of its calls' recordings.
    pub recording: WishChange,
    /// What is asked at the end of a call.
    pub question: QuestionChange,
    /// The customer's server of X mode.
    pub ask: AskChange,
}

/// Changes to what is said of a customer's server: `None` leaves.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AskChange {
    /// Where it is asked; none: nobody is asked any more, and its secret is forgotten.
    pub url: Option<Option<HttpUrl>>,
    /// What signs the questions, 16–256 bytes.
    pub secret: Option<Secret>,
    /// How it is told real numbers.
    pub numbers: Option<NumbersTold>,
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
    /// A and the members of a group.
    Axg {
        /// The protected subscriber.
        a: RealNumber,
        /// Who may call him.
        group: GroupId,
    },
    /// The members of a group and B, through X.
    Gxb {
        /// Who may call B.
        group: GroupId,
        /// The known other party.
        b: RealNumber,
    },
    /// The members of a group, for whom X stands, and B, for whom Y stands.
    Gxyb {
        /// Who may call B.
        group: GroupId,
        /// The number that stands for B.
        y: XChoice,
        /// The known other party.
        b: RealNumber,
    },
    /// An employee, whose work number X shall be.
    Xb {
        /// The employee.
        b: RealNumber,
    },
    /// A customer and the employee whose work number X is.
    Paired {
        /// The customer.
        a: RealNumber,
    },
    /// Anyone and the number behind X.
    Inbound {
        /// The number behind it.
        base: RealNumber,
    },
    /// A and whoever keys his extension behind X.
    Axe {
        /// The protected subscriber.
        a: RealNumber,
        /// His extension; one that is free on X if `None`.
        e: Option<Extension>,
    },
    /// A and whoever calls X.
    Axn {
        /// The protected subscriber.
        a: RealNumber,
    },
    /// A and whoever calls X, a 95 number.
    Axn95 {
        /// The protected subscriber.
        a: RealNumber,
    },
}

impl Wanted {
    /// The mode that joins so.
    pub const fn mode(&self) -> Mode {
        match self {
            Self::Axb { .. } => Mode::Axb,
            Self::Ax { .. } => Mode::Ax,
            Self::Axyb { .. } => Mode::Axyb,
            Self::Axg { .. } => Mode::Axg,
            Self::Gxb { .. } => Mode::Gxb,
            Self::Gxyb { .. } => Mode::Gxyb,
            Self::Xb { .. } | Self::Paired { .. } => Mode::Xb,
            Self::Inbound { .. } => Mode::Inbound,
            Self::Axe { .. } => Mode::Axe,
            Self::Axn { .. } => Mode::Axn,
            Self::Axn95 { .. } => Mode::Axn95,
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
    /// Who else rings when the employee of a work number is called.
    pub ring: Option<Option<Ring>>,
    /// What the party behind a 400 number sees.
    pub display: Option<Option<VirtualNumber>>,
    /// What callers of a 400 number are asked.
    pub menu: Option<Option<Menu>>,
    /// What is heard beside the parties.
    pub cues: Box<CuesChange>,
    /// Whom A reaches by dialling his own X, where the pool says `preset`.
    pub callback: Option<Option<RealNumber>>,
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
    /// A new group.
    pub group: Option<GroupId>,
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
            group: None,
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
        /// What prompts are spoken in; `Some(None)`: what the server speaks.
        language: Option<Option<Language>>,
        /// Whether its calls are recorded.
        recording: WishChange,
        /// How long their recordings are kept.
        kept: KeepingChange,
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
    /// Freezes a number no more: it stands where it stood before. One that isn't frozen stays as it is.
    ThawNumber {
        /// The number.
        x: VirtualNumber,
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
    PutBack(Box<PutBack>),
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
    /// A new group; its id is given to it.
    AddGroup(GroupRequest),
    /// Changes a group.
    SetGroup {
        /// The group.
        group: GroupId,
        /// A new name; the old one stays if `None`.
        name: Option<Box<str>>,
        /// The member whom the other party reaches by default: `Some(None)` for nobody; as it was if `None`.
        default: Option<Option<RealNumber>>,
    },
    /// Takes members into a group. All of them, or none; those that are in it stay.
    Join {
        /// The group.
        group: GroupId,
        /// They, 200 at the most.
        numbers: Vec<RealNumber>,
    },
    /// Takes members out of a group; those that aren't in it are passed over.
    Leave {
        /// The group.
        group: GroupId,
        /// They, 200 at the most.
        numbers: Vec<RealNumber>,
    },
    /// Removes a group. Only without live bindings.
    RemoveGroup {
        /// The group.
        group: GroupId,
    },
    /// Writes down who called last by a binding; forgets him if the binding, or the time for it, is over.
    KeepLast(Last),
    /// Writes down that a binding's time is over; nothing if it isn't, or is written down already.
    Expire {
        /// The binding.
        id: Id,
    },
}

/// A record of a backup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PutBack {
    /// The record.
    pub record: Record,
    /// What the backup says of the group that the record names by its id, where it is a member's, or a binding's for a
    /// group: on another server that id may be another one's.
    pub group: Option<Group>,
}

/// A new group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupRequest {
    /// The pool that it is for, by key or name; its mode is one that has groups.
    pub pool: Box<str>,
    /// Its name, 1–64 bytes, one of that name in its pool; what its id is if `None`.
    pub name: Option<Box<str>>,
    /// Its first members, 200 at the most.
    pub numbers: Vec<RealNumber>,
    /// The member whom the other party reaches by default.
    pub default: Option<RealNumber>,
}

impl Write {
    /// A record of a backup, which names no group.
    pub fn put_back(record: Record) -> Self {
        let group = None;
        Self::PutBack(Box::new(PutBack { record, group }))
    }

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
            language: None,
            recording: WishChange::default(),
            kept: KeepingChange::default(),
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
    /// A group as it is now.
    Group(Arc<Group>),
    /// What would have been written ([`DryRun::Yes`]).
    DryRun(Arc<Binding>),
}
