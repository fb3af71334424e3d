//! Writes of whom A reaches by dialling his own X: his temporary callee, and who called last.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Planned, Planner, planned, unchanged};
use crate::base::chance::Chance;
use crate::base::id::Id;
use crate::base::limits::CALLEE_TIME_MAX;
use crate::base::number::{RealNumber, VirtualNumber};
use crate::base::time::Wall;
use crate::masking::binding::{Binding, Mode, Parties};
use crate::masking::callee::Callee;
use crate::masking::change::Record;
use crate::masking::inventory::Callback;
use crate::masking::last::Last;
use crate::masking::mode;
use crate::masking::request::{Field, GroupRefused, Refused, Written};

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
            Parties::Axg { a, .. } if a == to => return Err(Refused::CalleeIsA),
            Parties::Axg { group, .. } | Parties::Gxb { group, .. } | Parties::Gxyb { group, .. } => {
                if !self.is_member(group, to) {
                    return Err(GroupRefused::NotMember { number: to, group }.into());
                }
            }
            Parties::Xb { .. } => {
                let key = mode::by(binding.x, to);
                let paired = self.holder(key, now, None).live;
                if paired.is_none_or(|paired| paired.parties.a() != Some(to)) {
                    return Err(GroupRefused::NotPaired { number: to }.into());
                }
            }
            Parties::Ax { a } | Parties::Axe { a, .. } | Parties::Axn { a } | Parties::Axn95 { a } => {
                if a == to {
                    return Err(Refused::CalleeIsA);
                }
            }
            Parties::Axb { .. } | Parties::Axyb { .. } | Parties::Paired { .. } | Parties::Inbound { .. } => {
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
            Callback::Last | Callback::Preset | Callback::Tone | Callback::Refused => {
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
        let mut planned = planned(Record::Callee(callee), Written::Callee(Some(callee)));
        // All that A has by extensions of one X is one rule: what was named by another of them is replaced.
        if binding.mode() == Mode::Axe {
            let others = self.own_on(binding.parties.first(), binding.x).into_iter();
            let others = others.filter(|other| *other != id && self.callee(*other).is_some());
            planned.change.records.extend(others.map(Record::CalleeGone));
        }
        Ok(planned)
    }

    pub(super) fn clear_callee(&self, id: Id, only: Option<&Callee>) -> Result<Planned, Refused> {
        let is_meant = |callee: &Callee| only.is_none_or(|only| only == callee);
        match self.callee(id).filter(is_meant) {
            Some(_) => Ok(planned(Record::CalleeGone(id), Written::Callee(None))),
            None if self.binding(id).is_none() => Err(Refused::UnknownBinding { id }),
            None => Ok(unchanged(Written::Callee(None))),
        }
    }

    /// Who called last, as long as the binding joins whom it joined then.
    pub(super) fn keep_last(&self, last: &Last, now: Wall) -> Planned {
        // One that is over on the disk may have a younger one in memory.
        let last = self.table.lasts.of(last.binding).unwrap_or(*last);
        let holds =
            |binding: &Arc<Binding>| !binding.is_over(now) && binding.parties.a() != Some(last.caller);
        let is_kept = now < last.until && self.binding(last.binding).as_ref().is_some_and(holds);
        let record = if is_kept {
            Record::Last(last)
        } else {
            Record::LastGone(last.binding)
        };
        planned(record, Written::Callee(None))
    }

    /// What goes when a binding joins others from now on: whom one A was to reach next, and who called him, is no
    /// business of another.
    pub(super) fn people_gone(&self, old: &Binding, new: &Parties) -> Vec<Record> {
        if old.parties == *new {
            return Vec::new();
        }
        let callee = self.callee(old.id).map(|_| Record::CalleeGone(old.id));
        callee.into_iter().chain(self.last_gone(old.id)).collect()
    }

    /// That nobody is to be called back by the binding any more, if somebody was.
    pub(super) fn last_gone(&self, id: Id) -> Option<Record> {
        self.table.lasts.of(id).map(|_| Record::LastGone(id))
    }

    /// The open bindings in which `x` stands for `person`, those of the group included.
    pub(super) fn own_on(&self, person: RealNumber, x: VirtualNumber) -> BTreeSet<Id> {
        let mut ids: BTreeSet<Id> = self.table.own_on(person, x.tel()).into_iter().collect();
        ids.extend(self.pending_on(x));
        ids.retain(|id| {
            self.binding(*id)
                .is_some_and(|binding| binding.parties.a() == Some(person) && binding.ended.is_none())
        });
        ids
    }

    /// What is durable, or will be with the group: used or not.
    pub(super) fn callee(&self, id: Id) -> Option<Callee> {
        let pending = self.callees.get(&id).copied();
        pending.unwrap_or_else(|| self.table.callees.kept_of(id))
    }
}
