//! What a request about groups, work numbers and 400 numbers is told.

use std::fmt;

use super::Field;
use crate::base::id::Id;
use crate::base::number::{NumberPlan, RealNumber, VirtualNumber};
use crate::masking::group::GroupId;

/// Why a write about a group, a work number or a 400 number is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupRefused {
    /// No group of that id.
    Unknown {
        /// What was asked for.
        group: GroupId,
    },
    /// The group is another account's.
    OfAnother {
        /// The group.
        group: GroupId,
    },
    /// A group of a backup has the id of one that was made elsewhere, or later.
    IdTaken {
        /// The id.
        group: GroupId,
        /// The name of the one that is there.
        name: Box<str>,
    },
    /// A record of a backup names a group, and what the backup says of that group was not sent with it.
    NotSent {
        /// The group.
        group: GroupId,
    },
    /// The group has no member: nobody could call.
    Empty {
        /// The group.
        group: GroupId,
    },
    /// A live binding is for the group.
    Bound {
        /// The group.
        group: GroupId,
        /// One of its bindings.
        binding: Id,
    },
    /// The group has as many members as one may have.
    Full {
        /// The limit.
        limit: usize,
    },
    /// The pool has as many groups as one may have.
    PoolFull {
        /// The limit.
        limit: usize,
    },
    /// The number is a member of as many groups as one may be.
    MemberFull {
        /// The number.
        number: RealNumber,
        /// The limit.
        limit: usize,
    },
    /// A or B of a binding can't be a member of its group.
    IsParty {
        /// The number.
        number: RealNumber,
    },
    /// The number is no member.
    NotMember {
        /// The number.
        number: RealNumber,
        /// The group.
        group: GroupId,
    },
    /// X is nobody's work number.
    NoWork {
        /// The number.
        x: VirtualNumber,
    },
    /// The employee of X isn't paired with the number.
    NotPaired {
        /// The number.
        number: RealNumber,
    },
}

impl GroupRefused {
    /// The name that programs go by.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "unknown_group",
            Self::OfAnother { .. } => "unknown_group",
            Self::IdTaken { .. } => "id_taken",
            Self::NotSent { .. } => "missing_field",
            Self::Empty { .. } => "group_empty",
            Self::Bound { .. } => "group_bound",
            Self::Full { .. } => "group_full",
            Self::PoolFull { .. } => "groups_full",
            Self::MemberFull { .. } => "member_full",
            Self::IsParty { .. } => "member_is_party",
            Self::NotMember { .. } => "not_member",
            Self::NoWork { .. } => "no_work_number",
            Self::NotPaired { .. } => "not_paired",
        }
    }

    /// The field of the request that is to blame.
    pub(super) const fn field(&self) -> Field {
        match self {
            Self::Unknown { .. }
            | Self::OfAnother { .. }
            | Self::IdTaken { .. }
            | Self::Empty { .. }
            | Self::Bound { .. } => Field::Group,
            Self::NotSent { .. } => Field::Groups,
            Self::Full { .. } | Self::MemberFull { .. } | Self::IsParty { .. } => Field::Numbers,
            Self::PoolFull { .. } => Field::Pool,
            Self::NotMember { .. } => Field::Numbers,
            Self::NoWork { .. } => Field::X,
            Self::NotPaired { .. } => Field::To,
        }
    }

    /// The binding that is in the way.
    pub(super) const fn binding(&self) -> Option<Id> {
        match self {
            Self::Bound { binding, .. } => Some(*binding),
            Self::Unknown { .. }
            | Self::OfAnother { .. }
            | Self::IdTaken { .. }
            | Self::NotSent { .. }
            | Self::Empty { .. }
            | Self::Full { .. }
            | Self::PoolFull { .. }
            | Self::MemberFull { .. }
            | Self::IsParty { .. }
            | Self::NotMember { .. }
            | Self::NoWork { .. }
            | Self::NotPaired { .. } => None,
        }
    }

    /// The refusal in one sentence, real numbers masked.
    pub(super) fn write(&self, text: &mut impl fmt::Write, plan: &NumberPlan) -> fmt::Result {
        match self {
            Self::Unknown { group } => write!(text, "there is no group {group}"),
            Self::OfAnother { group } => write!(text, "group {group} is not of the account of x"),
            Self::IdTaken { group, name } => write!(
                text,
                "group {group} of the backup is another one than {name}, which has that id here: \
                 export from the server that it was taken of and import here, which go by names"
            ),
            Self::NotSent { group } => write!(
                text,
                "the record is of group {group}, whose own record of the backup is missing among groups"
            ),
            Self::Empty { group } => write!(text, "group {group} has no member: add one first"),
            Self::Bound { group, binding } => write!(
                text,
                "group {group} still has bindings (one is {binding}): unbind them first"
            ),
            Self::Full { limit } => write!(text, "a group has at most {limit} members"),
            Self::PoolFull { limit } => write!(text, "a pool has at most {limit} groups"),
            Self::MemberFull { number, limit } => {
                write!(
                    text,
                    "{number:?} is a member of {limit} groups, as many as may be"
                )
            }
            Self::IsParty { number } => write!(
                text,
                "{number:?} is a or b of a binding with the group, and can't be a member"
            ),
            Self::NotMember { number, group } => {
                write!(text, "{number:?} is no member of group {group}")
            }
            Self::NoWork { x } => write!(
                text,
                "{} is nobody's work number: bind it to its employee (b) first",
                plan.virtual_text(*x)
            ),
            Self::NotPaired { number } => write!(text, "{number:?} is not paired on this work number"),
        }
    }
}
