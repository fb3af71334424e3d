//! What a request's fields may hold, and what a number or a pool admits.

use std::sync::Arc;
use std::time::Duration;

use super::ask::Server;
use super::binding::{Mode, Parties, Rare, Terms};
use super::inventory::{Account, Class, Number, NumberState, Pool};
use super::mode::displayed;
use super::quarantine::LONGEST;
use super::request::{AskChange, Field, NumberChange, PoolChange, Refused, TermsChange};
use crate::base::language::Language;
use crate::base::limits::{
    ASK_SECRET_BYTES_MAX, ASK_SECRET_BYTES_MIN, AXB_PAIRS_PER_X_MAX, CALL_DURATION_MAX, CALL_DURATION_MIN,
    CALLS_AT_ONCE_MAX, EXPIRY_MIN, EXTENSION_DIGITS_MAX, EXTENSIONS_PER_X_MAX, FALLBACK_CITIES_MAX,
    LAST_CALLER_KEPT_MAX, NAME_BYTES_MAX, ORDER_ID_BYTES_MAX, RELATIONS_PER_Y_MAX, RING_EACH, RING_LIST_MAX,
    RING_TIMEOUT_MAX, RING_TIMEOUT_MIN, TAGS_PER_NUMBER_MAX, TRUNKS_PER_NUMBER_MAX, USER_DATA_BYTES_MAX,
    X_PER_A_MAX,
};
use crate::base::number::VirtualNumber;
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
        NumberState::Inventory => Err(Refused::NumberInInventory { x }),
        NumberState::Locked => Err(Refused::NumberLocked { x }),
        NumberState::Frozen(_) => Err(Refused::NumberFrozen { x }),
        NumberState::Released => Err(Refused::UnknownNumber { x }),
    }
}

/// What the class of a number that stands for somebody forbids.
pub(super) fn check_class(x: VirtualNumber, mode: Mode, terms: &Terms) -> Result<(), Refused> {
    let class = Class::of(x.tel());
    class
        .admits(mode, terms)
        .map_err(|rule| Refused::OfClass { x, rule })
}

/// The same of all numbers that these parties have.
pub(super) fn check_classes(x: VirtualNumber, parties: &Parties, terms: &Terms) -> Result<(), Refused> {
    let mut numbers = [Some(x), parties.y()].into_iter().flatten();
    numbers.try_for_each(|number| check_class(number, parties.mode(), terms))
}

/// The expiry meant, [`Wall::NEVER`] for none.
pub(super) fn check_expiry(expires: Option<Wall>, now: Wall) -> Result<Wall, Refused> {
    let expires = expires.unwrap_or(Wall::NEVER);
    if expires < now.plus(EXPIRY_MIN) {
        return Err(Refused::ExpiryTooSoon);
    }
    Ok(expires)
}

/// An account may want its bindings to end, and soon.
pub(super) fn check_expiry_of(account: Option<&Account>, expires: Wall, now: Wall) -> Result<(), Refused> {
    let Some((account, max)) = account.and_then(|account| Some((account, account.expiry_max?))) else {
        return Ok(());
    };
    if expires > now.plus(max) {
        return Err(Refused::ExpiryTooLate {
            account: account.name.clone(),
            max,
        });
    }
    Ok(())
}

/// Applies what is said of an account's limits.
pub(super) fn change_account(
    account: &mut Account,
    x_per_a: Option<usize>,
    expiry_max: Option<Option<Duration>>,
    language: Option<Option<Language>>,
) -> Result<(), Refused> {
    if x_per_a.is_some_and(|n| !(1..=X_PER_A_MAX).contains(&n)) {
        return Err(Refused::BoundsOf(Field::XPerA));
    }
    if expiry_max.flatten().is_some_and(|max| max < EXPIRY_MIN) {
        return Err(Refused::BoundsOf(Field::ExpiryMax));
    }
    account.x_per_a = x_per_a.unwrap_or(account.x_per_a);
    account.expiry_max = expiry_max.unwrap_or(account.expiry_max);
    account.language = language.unwrap_or(account.language);
    Ok(())
}

/// Applies what is said of a pool's settings.
pub(super) fn change_pool(pool: &mut Pool, change: &PoolChange) -> Result<(), Refused> {
    let PoolChange {
        axb_pairs_per_x,
        relations_per_y,
        city_rule,
        fallback_cities,
        reuse,
        callback,
        unidentified,
        quarantine,
        free_low_percent,
        ring_timeout,
        calls_per_x,
        calls_per_caller,
        fax,
        ask,
        extension_width,
        extensions_per_x,
        collect,
        owner_dials,
        last_kept,
        language,
        question,
        recording,
    } = change.clone();
    pool.axb_pairs_per_x = axb_pairs_per_x.unwrap_or(pool.axb_pairs_per_x);
    pool.relations_per_y = relations_per_y.unwrap_or(pool.relations_per_y);
    pool.city_rule = city_rule.unwrap_or(pool.city_rule);
    if let Some(cities) = fallback_cities {
        pool.fallback_cities = cities;
    }
    pool.reuse = reuse.unwrap_or(pool.reuse);
    pool.callback = callback.unwrap_or(pool.callback);
    pool.unidentified = unidentified.unwrap_or(pool.unidentified);
    pool.quarantine = quarantine.unwrap_or(pool.quarantine);
    pool.free_low_percent = free_low_percent.unwrap_or(pool.free_low_percent);
    pool.ring_timeout = ring_timeout.unwrap_or(pool.ring_timeout);
    pool.calls_per_x = calls_per_x.unwrap_or(pool.calls_per_x);
    pool.calls_per_caller = calls_per_caller.unwrap_or(pool.calls_per_caller);
    pool.fax = fax.unwrap_or(pool.fax);
    change_ask(pool, ask)?;
    pool.extension_width = extension_width.unwrap_or(pool.extension_width);
    pool.extensions_per_x = extensions_per_x.unwrap_or(pool.extensions_per_x);
    pool.collect = collect.unwrap_or(pool.collect);
    pool.owner_dials = owner_dials.unwrap_or(pool.owner_dials);
    pool.last_kept = last_kept.unwrap_or(pool.last_kept);
    pool.language = language.unwrap_or(pool.language);
    pool.recording = recording.after(pool.recording);
    pool.question = question
        .after(pool.question.as_deref().into())
        .this()
        .map(Arc::new);
    pool.question
        .as_ref()
        .map_or(Ok(()), |question| question.check())?;
    let too_many = |calls: Option<usize>| calls.is_some_and(|n| !(1..=CALLS_AT_ONCE_MAX).contains(&n));
    let cities = &pool.fallback_cities;
    let ring = RING_TIMEOUT_MIN..=RING_TIMEOUT_MAX;
    let field = if !(1..=AXB_PAIRS_PER_X_MAX).contains(&pool.axb_pairs_per_x) {
        Field::PairsPerX
    } else if !(1..=RELATIONS_PER_Y_MAX).contains(&pool.relations_per_y) {
        Field::RelationsPerY
    } else if too_many(pool.calls_per_x) {
        Field::CallsPerX
    } else if too_many(pool.calls_per_caller) {
        Field::CallsPerCaller
    } else if cities.len() > FALLBACK_CITIES_MAX || cities.iter().any(|city| check_name(city).is_err()) {
        Field::City
    } else if pool
        .quarantine
        .is_some_and(|quarantine| quarantine.lasts > LONGEST)
    {
        Field::Quarantine
    } else if pool.free_low_percent > 100 {
        Field::FreeLow
    } else if pool.ring_timeout.is_some_and(|time| !ring.contains(&time)) {
        Field::RingTimeout
    } else if !(1..=EXTENSION_DIGITS_MAX).contains(&pool.extension_width) {
        Field::ExtensionWidth
    } else if !(1..=EXTENSIONS_PER_X_MAX).contains(&pool.extensions_per_x) {
        Field::ExtensionsPerX
    } else if !(Duration::from_secs(1)..=LAST_CALLER_KEPT_MAX).contains(&pool.last_kept) {
        Field::LastKept
    } else {
        return Ok(());
    };
    Err(Refused::BoundsOf(field))
}

/// Applies what is said of a pool's server.
fn change_ask(pool: &mut Pool, change: AskChange) -> Result<(), Refused> {
    if change == AskChange::default() {
        return Ok(());
    }
    if pool.mode != Mode::X {
        return Err(Refused::BoundsOf(Field::AskUrl));
    }
    let AskChange { url, secret, numbers } = change;
    let bytes = ASK_SECRET_BYTES_MIN..=ASK_SECRET_BYTES_MAX;
    if secret
        .as_ref()
        .is_some_and(|secret| !bytes.contains(&secret.text().len()))
    {
        return Err(Refused::BoundsOf(Field::AskSecret));
    }
    let before = pool.ask.take();
    let before = before.as_deref();
    let Some(url) = url.unwrap_or_else(|| before.map(|server| server.url.clone())) else {
        // Without a server there is nobody to tell a secret, or numbers.
        return match (secret, numbers) {
            (None, None) => Ok(()),
            (Some(_), _) | (_, Some(_)) => Err(Refused::BoundsOf(Field::AskUrl)),
        };
    };
    pool.ask = Some(Arc::new(Server {
        url,
        secret: secret.or_else(|| before.and_then(|server| server.secret.clone())),
        numbers: numbers
            .or_else(|| before.map(|server| server.numbers))
            .unwrap_or_default(),
    }));
    Ok(())
}

/// Applies what is said of a number.
pub(super) fn change_number(number: &mut Number, change: &NumberChange) -> Result<(), Refused> {
    let NumberChange {
        trunks,
        city,
        operator,
        tags,
    } = change.clone();
    number.trunks = trunks.unwrap_or_else(|| std::mem::take(&mut number.trunks));
    number.city = city.unwrap_or_else(|| number.city.take());
    number.operator = operator.unwrap_or_else(|| number.operator.take());
    number.tags = tags.unwrap_or_else(|| std::mem::take(&mut number.tags));
    let is_bad = |name: &str| check_name(name).is_err();
    let field =
        if number.trunks.len() > TRUNKS_PER_NUMBER_MAX || number.trunks.iter().any(|name| is_bad(name)) {
            Field::Trunks
        } else if number.city.as_deref().is_some_and(is_bad) {
            Field::City
        } else if number.operator.as_deref().is_some_and(is_bad) {
            Field::Operator
        } else if number.tags.len() > TAGS_PER_NUMBER_MAX || number.tags.iter().any(|name| is_bad(name)) {
            Field::Tags
        } else {
            return Ok(());
        };
    Err(Refused::BoundsOf(field))
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
        return rare.cues.as_ref().map_or(Ok(()), |cues| cues.check());
    };
    Err(Refused::BoundsOf(field))
}

/// Terms that only one mode has: who else rings for an employee, and what is shown behind a 400 number.
pub(super) fn check_terms_of(parties: &Parties, terms: &Terms) -> Result<(), Refused> {
    let rare = terms.rare();
    let mode = parties.mode();
    let (is_work, is_inbound) = match parties {
        Parties::Xb { .. } => (true, false),
        Parties::Inbound { .. } => (false, true),
        Parties::Axb { .. }
        | Parties::Ax { .. }
        | Parties::Axyb { .. }
        | Parties::Axe { .. }
        | Parties::Axn { .. }
        | Parties::Axn95 { .. }
        | Parties::Axg { .. }
        | Parties::Gxb { .. }
        | Parties::Gxyb { .. }
        | Parties::Paired { .. } => (false, false),
    };
    if let Some(ring) = &rare.ring {
        let field = Field::Ring;
        if !is_work {
            return Err(Refused::NotOfMode { field, mode });
        }
        let once = |number| ring.list.iter().filter(|other| *other == number).count() == 1;
        let is_right =
            !ring.list.is_empty() && ring.list.len() <= RING_LIST_MAX && ring.list.iter().all(once);
        if !is_right || !RING_EACH.contains(&ring.each) {
            return Err(Refused::BoundsOf(field));
        }
    }
    let of_inbound = [
        (Field::Display, rare.display.is_some()),
        (Field::Menu, rare.menu.is_some()),
    ];
    for (field, is_named) in of_inbound {
        if is_named && !is_inbound {
            return Err(Refused::NotOfMode { field, mode });
        }
    }
    if let Some(menu) = &rare.menu {
        menu.check().map_err(Refused::Menu)?;
    }
    if let Parties::Inbound { base } = parties {
        let shown = displayed(rare, *base);
        if Class::of(shown.tel()).may_be_shown(mode).is_err() {
            return Err(Refused::BoundsOf(Field::Display));
        }
    }
    Ok(())
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
        ring,
        display,
        menu,
        cues,
        callback,
    } = change.clone();
    let old = terms.rare().clone();
    let rare = Rare {
        max_duration: max_duration.unwrap_or(old.max_duration),
        ring_timeout: ring_timeout.unwrap_or(old.ring_timeout),
        order_id: order_id.unwrap_or(old.order_id),
        user_data: user_data.unwrap_or(old.user_data),
        ring: ring.map_or(old.ring, |ring| ring.map(Box::new)),
        display: display.unwrap_or(old.display),
        menu: menu.map_or(old.menu, |menu| menu.map(Arc::new)),
        cues: cues.after(old.cues.as_deref()),
        callback: callback.unwrap_or(old.callback),
    };
    *terms = Terms::new(
        direction.unwrap_or(terms.direction),
        record.unwrap_or(terms.record),
        rare,
    );
}
