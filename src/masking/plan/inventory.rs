//! Writes to accounts, pools and numbers.

use super::{Planned, Planner, planned, unchanged};
use crate::base::limits::{AXB_PAIRS_PER_X, AXB_PAIRS_PER_X_MAX, TRUNKS_PER_NUMBER_MAX};
use crate::base::number::VirtualNumber;
use crate::base::time::Wall;
use crate::masking::binding::Mode;
use crate::masking::bounds::{check_name, check_pool_name};
use crate::masking::change::Record;
use crate::masking::inventory::{
    Account, Callback, DEFAULT_ACCOUNT, DEFAULT_POOL, Number, NumberState, Pool, Standing, Unidentified,
};
use crate::masking::request::{Field, Refused, Written};
use std::sync::Arc;

impl Planner<'_> {
    pub(super) fn add_account(&self, name: &str, now: Wall) -> Result<Planned, Refused> {
        check_name(name)?;
        if self.account(name).is_some() {
            return Err(Refused::NameTaken { name: name.into() });
        }
        Ok(account_planned(Account {
            name: name.into(),
            version: 1,
            standing: Standing::Active,
            created: now,
        }))
    }

    pub(super) fn set_account(&self, name: &str, standing: Standing) -> Result<Planned, Refused> {
        let account = self
            .account(name)
            .ok_or_else(|| Refused::UnknownAccount { account: name.into() })?;
        Ok(account_planned(Account {
            version: account.version.saturating_add(1),
            standing,
            ..(*account).clone()
        }))
    }

    pub(super) fn add_pool(
        &self,
        name: &str,
        mode: Mode,
        account: Option<&str>,
        now: Wall,
    ) -> Result<Planned, Refused> {
        check_pool_name(name)?;
        let account = account.unwrap_or(DEFAULT_ACCOUNT);
        if self.account(account).is_none() {
            let account = account.into();
            return Err(Refused::UnknownAccount { account });
        }
        if self.pool(name).is_some() {
            return Err(Refused::NameTaken { name: name.into() });
        }
        let last = self.pools.keys().next_back().cloned();
        let last = last.max(self.table.index().pools.keys().next_back().cloned());
        Ok(pool_planned(Pool {
            key: Pool::key_after(&last.unwrap_or_default()),
            name: name.into(),
            mode,
            account: account.into(),
            version: 1,
            created: now,
            axb_pairs_per_x: AXB_PAIRS_PER_X,
            callback: Callback::default(),
            unidentified: Unidentified::default(),
            quarantine: None,
        }))
    }

    pub(super) fn set_pool(
        &self,
        pool: &str,
        name: Option<&str>,
        pairs: Option<usize>,
    ) -> Result<Planned, Refused> {
        let mut pool = (*self.known_pool(pool)?).clone();
        if let Some(name) = name {
            check_pool_name(name)?;
            if self.pool(name).is_some_and(|other| other.key != pool.key) {
                return Err(Refused::NameTaken { name: name.into() });
            }
            pool.name = name.into();
        }
        if let Some(pairs) = pairs {
            if !(1..=AXB_PAIRS_PER_X_MAX).contains(&pairs) {
                return Err(Refused::BoundsOf(Field::PairsPerX));
            }
            pool.axb_pairs_per_x = pairs;
        }
        pool.version = pool.version.saturating_add(1);
        Ok(pool_planned(pool))
    }

    pub(super) fn add_number(
        &self,
        x: VirtualNumber,
        pool: Option<&str>,
        trunks: &[Box<str>],
        now: Wall,
    ) -> Result<Planned, Refused> {
        let pool = self.known_pool(pool.unwrap_or(DEFAULT_POOL))?;
        if trunks.len() > TRUNKS_PER_NUMBER_MAX || trunks.iter().any(|trunk| check_name(trunk).is_err()) {
            return Err(Refused::BoundsOf(Field::Trunks));
        }
        let known = self.number(x.tel());
        if known.as_ref().is_some_and(|number| number.is_ours()) {
            return Err(Refused::NumberExists { x });
        }
        Ok(number_planned(Number {
            x,
            pool: pool.key.clone(),
            account: pool.account.clone(),
            trunks: trunks.to_vec(),
            state: NumberState::Active,
            version: known.map_or(1, |released| released.version.saturating_add(1)),
            added: now,
        }))
    }

    pub(super) fn set_number_state(
        &self,
        x: VirtualNumber,
        state: NumberState,
        now: Wall,
    ) -> Result<Planned, Refused> {
        let number = self.own_number(x)?;
        if number.state == state {
            return Ok(unchanged(Written::Number(number)));
        }
        match state {
            NumberState::Released => {
                if let Some(binding) = self.live_on(x, now).first().copied() {
                    return Err(Refused::NumberBound { x, binding });
                }
            }
            NumberState::Active | NumberState::Locked | NumberState::Frozen(_) => {}
        }
        Ok(number_planned(Number {
            state,
            version: number.version.saturating_add(1),
            ..(*number).clone()
        }))
    }
}

pub(super) fn account_planned(account: Account) -> Planned {
    let written = Written::Account(Arc::new(account.clone()));
    planned(Record::Account(account), written)
}

pub(super) fn pool_planned(pool: Pool) -> Planned {
    let written = Written::Pool(Arc::new(pool.clone()));
    planned(Record::Pool(pool), written)
}

pub(super) fn number_planned(number: Number) -> Planned {
    let written = Written::Number(Arc::new(number.clone()));
    planned(Record::Number(number), written)
}
