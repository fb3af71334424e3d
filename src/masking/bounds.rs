//! What a request's fields may hold, and what a number or a pool admits.

use std::time::Duration;

use super::binding::{Mode, Rare, Terms};
use super::inventory::{Number, NumberState, Pool};
use super::request::{Field, Refused, TermsChange};
use crate::base::limits::{
    CALL_DURATION_MAX, CALL_DURATION_MIN, EXPIRY_MIN, NAME_BYTES_MAX, ORDER_ID_BYTES_MAX, RING_TIMEOUT_MAX,
    RING_TIMEOUT_MIN, USER_DATA_BYTES_MAX,
};
use crate::base::time::Wall;

/// A name of an account, a pool or a trunk.
pub(super) fn check_name(name: &str) -> Result<(), Refused> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(Refused::BoundsOf(Field::Name));
    }
    Ok(())
}

/// A pool's name can't look like a pool's key, since either names a pool.
pub(super) fn check_pool_name(name: &str) -> Result<(), Refused> {
    check_name(name)?;
    let digits = name.strip_prefix("FC");
    if digits.is_some_and(|digits| digits.len() == 15 && digits.bytes().all(|b| b.is_ascii_digit())) {
        return Err(Refused::BoundsOf(Field::Name));
    }
    Ok(())
}

/// A pool takes bindings of its own mode.
pub(super) fn check_mode(pool: &Pool, mode: Mode) -> Result<(), Refused> {
    if pool.mode == mode {
        return Ok(());
    }
    Err(Refused::ModeMismatch {
        pool: pool.name.clone(),
        mode: pool.mode,
    })
}

/// Only a number in service takes new bindings.
pub(super) fn check_takes_bindings(number: &Number) -> Result<(), Refused> {
    let x = number.x;
    match number.state {
        NumberState::Active => Ok(()),
        NumberState::Locked => Err(Refused::NumberLocked { x }),
        NumberState::Frozen(_) => Err(Refused::NumberFrozen { x }),
        NumberState::Released => Err(Refused::UnknownNumber { x }),
    }
}

/// The expiry meant, [`Wall::NEVER`] for none.
pub(super) fn check_expiry(expires: Option<Wall>, now: Wall) -> Result<Wall, Refused> {
    let expires = expires.unwrap_or(Wall::NEVER);
    if expires < now.plus(EXPIRY_MIN) {
        return Err(Refused::ExpiryTooSoon);
    }
    Ok(expires)
}

/// Durations and texts within their bounds.
pub(super) fn check_terms(terms: &Terms) -> Result<(), Refused> {
    let outside = |duration: Option<Duration>, min, max| duration.is_some_and(|d| d < min || d > max);
    let longer = |text: &Option<Box<str>>, max| text.as_ref().is_some_and(|text| text.len() > max);
    let rare = terms.rare();
    let field = if outside(rare.max_duration, CALL_DURATION_MIN, CALL_DURATION_MAX) {
        Field::MaxDuration
    } else if outside(rare.ring_timeout, RING_TIMEOUT_MIN, RING_TIMEOUT_MAX) {
        Field::RingTimeout
    } else if longer(&rare.order_id, ORDER_ID_BYTES_MAX) {
        Field::OrderId
    } else if longer(&rare.user_data, USER_DATA_BYTES_MAX) {
        Field::UserData
    } else {
        return Ok(());
    };
    Err(Refused::BoundsOf(field))
}

/// Applies what an update says of the terms.
pub(super) fn change_terms(terms: &mut Terms, change: &TermsChange) {
    let TermsChange {
        direction,
        max_duration,
        ring_timeout,
        record,
        order_id,
        user_data,
    } = change.clone();
    let old = terms.rare().clone();
    let rare = Rare {
        max_duration: max_duration.unwrap_or(old.max_duration),
        ring_timeout: ring_timeout.unwrap_or(old.ring_timeout),
        order_id: order_id.unwrap_or(old.order_id),
        user_data: user_data.unwrap_or(old.user_data),
    };
    *terms = Terms::new(
        direction.unwrap_or(terms.direction),
        record.unwrap_or(terms.record),
        rare,
    );
}
