//! What the law refuses, as the client reads it.

use axum::http::StatusCode;

use crate::api::error::ApiError;
use crate::base::number::NumberPlan;
use crate::masking::request::{GroupRefused, MenuRefused, Refused};
use crate::store::writer::WriteError;

/// A write that was not done: 503 if the disk refuses it. If the law does: 400 for a value out of its
/// bounds, 403 for an account that may not, 404 for a name of nothing, 409 for what is in the way now, 422
/// for what the law never allows.
pub(super) fn of(error: &WriteError, plan: &NumberPlan) -> ApiError {
    match error {
        WriteError::Disk(sentence) => ApiError::unavailable("store_unavailable", sentence.as_str()),
        WriteError::Refused(refused) => ApiError {
            field: refused.field().map(str::to_owned),
            binding: refused.binding(),
            ..ApiError::new(status(refused), refused.code(), refused.sentence(plan))
        },
    }
}

const fn status(refused: &Refused) -> StatusCode {
    match refused {
        Refused::Group(refused) => of_group(refused),
        Refused::Menu(MenuRefused::Own { .. }) => StatusCode::UNPROCESSABLE_ENTITY,
        Refused::Menu(_) | Refused::BoundsOf(_) => StatusCode::BAD_REQUEST,
        Refused::AccountSuspended { .. } => StatusCode::FORBIDDEN,
        Refused::UnknownNumber { .. }
        | Refused::UnknownPool { .. }
        | Refused::UnknownAccount { .. }
        | Refused::UnknownBinding { .. } => StatusCode::NOT_FOUND,
        Refused::KeyTaken { .. }
        | Refused::KeyQuarantined { .. }
        | Refused::ExtensionTaken { .. }
        | Refused::ExtensionQuarantined { .. }
        | Refused::ExtensionsFull { .. }
        | Refused::WidthInUse { .. }
        | Refused::NumberExists { .. }
        | Refused::NumberLocked { .. }
        | Refused::NumberFrozen { .. }
        | Refused::NumberBound { .. }
        | Refused::NoNumber { .. }
        | Refused::NumberInInventory { .. }
        | Refused::NameTaken { .. }
        | Refused::PairsFull { .. }
        | Refused::NumbersFull { .. }
        | Refused::RelationsFull { .. }
        | Refused::FamilyTaken { .. }
        | Refused::IdTaken { .. }
        | Refused::BindingEnded { .. } => StatusCode::CONFLICT,
        Refused::SameNumber
        | Refused::ExtensionWidth { .. }
        | Refused::XIsY
        | Refused::CalleeIsA
        | Refused::CalleeIsOurs
        | Refused::CallbackOff { .. }
        | Refused::NotOfMode { .. }
        | Refused::OfClass { .. }
        | Refused::OwnNumber { .. }
        | Refused::ModeMismatch { .. }
        | Refused::ExpiryTooSoon
        | Refused::ExpiryTooLate { .. } => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

const fn of_group(refused: &GroupRefused) -> StatusCode {
    match refused {
        GroupRefused::Unknown { .. } => StatusCode::NOT_FOUND,
        GroupRefused::NotSent { .. } => StatusCode::BAD_REQUEST,
        GroupRefused::IdTaken { .. }
        | GroupRefused::Bound { .. }
        | GroupRefused::Full { .. }
        | GroupRefused::PoolFull { .. }
        | GroupRefused::MemberFull { .. }
        | GroupRefused::NoWork { .. } => StatusCode::CONFLICT,
        GroupRefused::OfAnother { .. }
        | GroupRefused::Empty { .. }
        | GroupRefused::IsParty { .. }
        | GroupRefused::NotMember { .. }
        | GroupRefused::NotPaired { .. } => StatusCode::UNPROCESSABLE_ENTITY,
    }
}
