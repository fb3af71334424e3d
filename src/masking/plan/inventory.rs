//! Writes of accounts, pools and numbers.

use std::sync::Arc;
use std::time::Duration;

use super::{Planned, Planner, planned, unchanged};
use crate::base::language::Language;
use crate::base::limits::CALLS_PER_CALLER;
use crate::base::number::VirtualNumber;
use crate::base::time::Wall;
use crate::masking::binding::Mode;
use crate::masking::bounds::{change_account, change_number, change_pool, check_name, check_pool_name};
use crate::masking::change::Record;
use crate::masking::inventory::{
    Account, DEFAULT_ACCOUNT, DEFAULT_POOL, Number, NumberState, Pool, Standing, Thawed,
};
use crate::masking::recording::{KeepingChange, WishChange};
use crate::masking::request::{NumberChange, PoolChange, Refused, Service, Written};

impl Planner<'_> {
    pub(super) fn add_account(&self, name: &str, now: Wall) -> Result<Planned, Refused> {
        check_name(name)?;
        if self.account(name).is_some() {
            return Err(Refused::NameTaken { name: name.into() });
        }
        Ok(account_planned(Account {
            name: name.into(),
            created: now,
            ..Account::default_account()
        }))
    }

    pub(super) fn set_account(
        &self,
        name: &str,
        standing: Option<Standing>,
        x_per_a: Option<usize>,
        expiry_max: Option<Option<Duration>>,
        language: Option<Option<Language>>,
        (recording, kept): (WishChange, KeepingChange),
    ) -> Result<Planned, Refused> {
        let account = self
            .account(name)
            .ok_or_else(|| Refused::UnknownAccount { account: name.into() })?;
        let mut account = (*account).clone();
        change_account(&mut account, x_per_a, expiry_max, language)?;
        account.recording = recording.after(account.recording);
        account.kept = kept.after(account.kept);
        account.standing = standing.unwrap_or(account.standing);
        account.version = account.version.saturating_add(1);
        Ok(account_planned(account))
    }

    pub(super) fn add_pool(
        &self,
        name: &str,
        mode: Mode,
        account: Option<&str>,
        settings: &PoolChange,
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
        let mut pool = Pool {
            key: Pool::key_after(&last.unwrap_or_default()),
            name: name.into(),
            mode,
            account: account.into(),
            created: now,
            calls_per_caller: Some(CALLS_PER_CALLER),
            ..Pool::default_pool()
        };
        change_pool(&mut pool, settings)?;
        Ok(pool_planned(pool))
    }

    pub(super) fn set_pool(
        &self,
        pool: &str,
        name: Option<&str>,
        settings: &PoolChange,
    ) -> Result<Planned, Refused> {
        let mut pool = (*self.known_pool(pool)?).clone();
        if let Some(name) = name {
            check_pool_name(name)?;
            if self.pool(name).is_some_and(|other| other.key != pool.key) {
                return Err(Refused::NameTaken { name: name.into() });
            }
            pool.name = name.into();
        }
        if let Some(width) = settings.extension_width {
            self.check_width(&pool, width)?;
        }
        change_pool(&mut pool, settings)?;
        pool.version = pool.version.saturating_add(1);
        Ok(pool_planned(pool))
    }

    pub(super) fn add_number(
        &self,
        x: VirtualNumber,
        pool: Option<&str>,
        about: &NumberChange,
        service: Service,
        now: Wall,
    ) -> Result<Planned, Refused> {
        let pool = self.known_pool(pool.unwrap_or(DEFAULT_POOL))?;
        let known = self.number(x.tel());
        if known.as_ref().is_some_and(|number| number.is_ours()) {
            return Err(Refused::NumberExists { x });
        }
        let mut number = Number {
            x,
            pool: pool.key.clone(),
            account: pool.account.clone(),
            trunks: Vec::new(),
            city: None,
            operator: None,
            tags: Vec::new(),
            state: match service {
                Service::Now => NumberState::Active,
                Service::Later => NumberState::Inventory,
            },
            thawed: Thawed::default(),
            version: known.map_or(1, |released| released.version.saturating_add(1)),
            added: now,
        };
        change_number(&mut number, about)?;
        Ok(number_planned(number))
    }

    pub(super) fn set_number(&self, x: VirtualNumber, about: &NumberChange) -> Result<Planned, Refused> {
        let mut number = (*self.own_number(x)?).clone();
        change_number(&mut number, about)?;
        number.version = number.version.saturating_add(1);
        Ok(number_planned(number))
    }

    pub(super) fn move_number(&self, x: VirtualNumber, pool: &str, now: Wall) -> Result<Planned, Refused> {
        let number = self.own_number(x)?;
        let pool = self.known_pool(pool)?;
        let state = match number.state {
            NumberState::Inventory => NumberState::Active,
            kept @ (NumberState::Active
            | NumberState::Locked
            | NumberState::Frozen(_)
            | NumberState::Released) => kept,
        };
        if (&number.pool, number.state) == (&pool.key, state) {
            return Ok(unchanged(Written::Number(number)));
        }
        // A binding belongs to the pool and the account that it was made in, as its records do.
        self.check_idle(x, now)?;
        Ok(number_planned(Number {
            pool: pool.key.clone(),
            account: pool.account.clone(),
            state,
            version: number.version.saturating_add(1),
            ..(*number).clone()
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
        let thawed = match state {
            NumberState::Frozen(_) => number.thaws_to(),
            NumberState::Released => {
                self.check_idle(x, now)?;
                Thawed::default()
            }
            NumberState::Inventory | NumberState::Active | NumberState::Locked => Thawed::default(),
        };
        Ok(number_planned(Number {
            state,
            thawed,
            version: number.version.saturating_add(1),
            ..(*number).clone()
        }))
    }

    pub(super) fn thaw_number(&self, x: VirtualNumber, now: Wall) -> Result<Planned, Refused> {
        let number = self.own_number(x)?;
        match number.state {
            NumberState::Frozen(_) => self.set_number_state(x, number.thawed.state(), now),
            NumberState::Inventory | NumberState::Active | NumberState::Locked | NumberState::Released => {
                Ok(unchanged(Written::Number(number)))
            }
        }
    }

    /// No live binding stands on `x`.
    fn check_idle(&self, x: VirtualNumber, now: Wall) -> Result<(), Refused> {
        match self.live_on(x, now).first().copied() {
            Some(binding) => Err(Refused::NumberBound { x, binding }),
            None => Ok(()),
        }
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
