//! What a request that can't be done is told: which field, why, and what cures it.

use std::fmt::Write as _;
use std::time::Duration;

use crate::base::id::Id;
use crate::base::number::{NumberPlan, RealNumber, VirtualNumber};
use crate::base::time::Wall;
use crate::masking::binding::{Mode, Party};
use crate::masking::inventory::ClassRule;
use crate::masking::keyed::Extension;
use crate::masking::shelf::Shortage;

mod field;
mod groups;
mod menu;

pub use field::Field;
pub use groups::GroupRefused;
pub use menu::MenuRefused;

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
    /// The extension is somebody's on X already.
    ExtensionTaken {
        /// The virtual number.
        x: VirtualNumber,
        /// The extension.
        e: Extension,
        /// The binding that holds it.
        binding: Id,
    },
    /// The extension rests from somebody else.
    ExtensionQuarantined {
        /// The virtual number.
        x: VirtualNumber,
        /// The extension.
        e: Extension,
        /// Until when.
        until: Wall,
    },
    /// X carries as many extensions as its pool allows, or as there are and may be given.
    ExtensionsFull {
        /// The virtual number.
        x: VirtualNumber,
        /// How many it carries at most.
        limit: usize,
    },
    /// Extensions of the pool have another number of digits.
    ExtensionWidth {
        /// The pool's name.
        pool: Box<str>,
        /// How many.
        width: u8,
    },
    /// Extensions are bound in the pool, which can't get another number of digits.
    WidthInUse {
        /// The pool's name.
        pool: Box<str>,
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
    /// What is asked of a group, a work number or a 400 number doesn't go.
    Group(GroupRefused),
    /// A menu doesn't go.
    Menu(MenuRefused),
}

impl From<GroupRefused> for Refused {
    fn from(refused: GroupRefused) -> Self {
        Self::Group(refused)
    }
}

impl Refused {
    /// The name that programs go by.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::KeyTaken { .. } | Self::ExtensionTaken { .. } => "key_taken",
            Self::KeyQuarantined { .. } | Self::ExtensionQuarantined { .. } => "key_quarantined",
            Self::ExtensionsFull { .. } => "extensions_full",
            Self::ExtensionWidth { .. } => "extension_width",
            Self::WidthInUse { .. } => "width_in_use",
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
            Self::Group(refused) => refused.code(),
            Self::Menu(refused) => refused.code(),
        }
    }

    /// The field of the request that is to blame.
    pub fn field(&self) -> Option<&'static str> {
        let field = match self {
            Self::KeyTaken { party, .. } | Self::KeyQuarantined { party, .. } | Self::OwnNumber { party } => {
                Field::from(*party)
            }
            Self::ExtensionTaken { .. } | Self::ExtensionQuarantined { .. } | Self::ExtensionWidth { .. } => {
                Field::Extension
            }
            Self::WidthInUse { .. } => Field::ExtensionWidth,
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
                ClassRule::Only95 => Field::X,
            },
            Self::UnknownNumber { .. }
            | Self::NumberExists { .. }
            | Self::NumberLocked { .. }
            | Self::NumberInInventory { .. }
            | Self::NumberFrozen { .. }
            | Self::NumberBound { .. }
            | Self::ExtensionsFull { .. }
            | Self::PairsFull { .. } => Field::X,
            Self::NoNumber { .. } | Self::UnknownPool { .. } => Field::Pool,
            Self::UnknownAccount { .. } => Field::Account,
            Self::NameTaken { .. } => Field::Name,
            Self::ModeMismatch { .. } => Field::Mode,
            Self::IdTaken { .. } => Field::Id,
            Self::ExpiryTooSoon | Self::ExpiryTooLate { .. } => Field::ExpiresAt,
            Self::BoundsOf(field) => *field,
            Self::Group(refused) => refused.field(),
            Self::Menu(_) => Field::Menu,
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
            | Self::ExtensionTaken { binding, .. }
            | Self::NumberBound { binding, .. }
            | Self::FamilyTaken { binding, .. } => Some(*binding),
            Self::UnknownBinding { id } | Self::IdTaken { id } | Self::BindingEnded { id } => Some(*id),
            Self::Group(refused) => refused.binding(),
            Self::KeyQuarantined { .. }
            | Self::ExtensionQuarantined { .. }
            | Self::ExtensionsFull { .. }
            | Self::ExtensionWidth { .. }
            | Self::WidthInUse { .. }
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
            | Self::Menu(_)
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
            Self::ExtensionTaken { x, e, binding } => write!(
                text,
                "extension {e} of {} is taken (binding {binding})",
                plan.virtual_text(*x)
            ),
            Self::ExtensionQuarantined { x, e, until } => write!(
                text,
                "extension {e} of {} is in quarantine for others than its former owner until {until}",
                plan.virtual_text(*x)
            ),
            Self::ExtensionsFull { x, limit } => write!(
                text,
                "{} has no extension to give: it carries at most {limit}, and what became free rests",
                plan.virtual_text(*x)
            ),
            Self::ExtensionWidth { pool, width } => {
                write!(text, "extensions of pool {pool} have {width} digits")
            }
            Self::WidthInUse { pool } => write!(
                text,
                "extensions are bound in pool {pool}: those of another width need a pool of their own"
            ),
            Self::SameNumber => write!(text, "a and b are the same number"),
            Self::XIsY => write!(text, "x and y are the same number"),
            Self::CalleeIsA => write!(text, "to is the number of a: name another's"),
            Self::CalleeIsOurs => write!(text, "to is a number of this server"),
            Self::CallbackOff { pool } => {
                write!(
                    text,
                    "pool {pool} doesn't ask who is to be called when a calls his own number: its callback is another"
                )
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
                        "is a 700 number, which only serves where both sides are masked: axb, axyb, gxb and gxyb"
                    }
                    ClassRule::Order => "is a 700 number, whose bindings must name an order_id",
                    ClassRule::Only95 => "is no 95 number, which 95axn is for: use axn",
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
            Self::Group(refused) => refused.write(&mut text, plan),
            Self::Menu(refused) => refused.write(&mut text),
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
