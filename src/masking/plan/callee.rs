//! Writes to the temporary callees of AX.

use std::time::Duration;

use super::{Planned, Planner, planned, unchanged};
use crate::base::chance::Chance;
use crate::base::id::Id;
use crate::base::limits::CALLEE_TIME_MAX;
use crate::base::number::RealNumber;
use crate::base::time::Wall;
use crate::masking::binding::Parties;
use crate::masking::callee::Callee;
use crate::masking::change::Record;
use crate::masking::inventory::Callback;
use crate::masking::request::{Field, Refused, Written};

impl Planner<'_> {
    pub(super) fn set_callee(
        &self,
        id: Id,
        to: RealNumber,
        lasts: Duration,
        now: Wall,
        chance: &mut Chance,
    ) -> Result<Planned, Refused> {
        let binding = self.live_binding(id, now)?;
        self.check_account(binding.account())?;
        match binding.parties {
            Parties::Ax { a } if a == to => return Err(Refused::CalleeIsA),
            Parties::Ax { .. } => {}
            Parties::Axb { .. } | Parties::Axyb { .. } => {
                let (field, mode) = (Field::To, binding.mode());
                return Err(Refused::NotOfMode { field, mode });
            }
        }
        if self.is_ours(to) {
            return Err(Refused::CalleeIsOurs);
        }
        if !(Duration::from_secs(1)..=CALLEE_TIME_MAX).contains(&lasts) {
            return Err(Refused::BoundsOf(Field::Ttl));
        }
        let pool = self.known_pool(self.own_number(binding.x)?.pool.as_ref())?;
        match pool.callback {
            Callback::Temporary => {}
            Callback::Refused => {
                let pool = pool.name.clone();
                return Err(Refused::CallbackOff { pool });
            }
        }
        let callee = Callee {
            binding: id,
            to,
            nonce: (chance.bits() >> 32) as u32,
            set: now,
            until: now.plus(lasts),
        };
        Ok(planned(Record::Callee(callee), Written::Callee(Some(callee))))
    }

    pub(super) fn clear_callee(&self, id: Id, only: Option<&Callee>) -> Result<Planned, Refused> {
        let is_meant = |callee: &Callee| only.is_none_or(|only| only == callee);
        match self.callee(id).filter(is_meant) {
            Some(_) => Ok(planned(Record::CalleeGone(id), Written::Callee(None))),
            None if self.binding(id).is_none() => Err(Refused::UnknownBinding { id }),
            None => Ok(unchanged(Written::Callee(None))),
        }
    }

    /// What is durable, or will be with the group: used or not.
    pub(super) fn callee(&self, id: Id) -> Option<Callee> {
        let pending = self.callees.get(&id).copied();
        pending.unwrap_or_else(|| self.table.callees.kept_of(id))
    }
}
