//! Many behind one number, each by an extension of his own: whom the keyed digits lead to, and when they are asked for.

use std::sync::Arc;

use super::{Attempt, Case, Decision, Refusal, live};
use crate::base::number::RealNumber;
use crate::masking::binding::{Binding, Mode, Party, Side};
use crate::masking::collect::{Collect, Hash, Wants};
use crate::masking::inventory::{OwnerDials, Pool};
use crate::masking::keyed::Keyed;
use crate::masking::mode;
use crate::masking::reason::Reason;

impl Case<'_> {
    /// Many are behind the number, each by an extension of his own.
    pub(super) fn behind(&self, pool: &Pool) -> Result<Decision, Refusal> {
        let Attempt {
            caller,
            arrived,
            digits,
            ..
        } = *self.attempt;
        let owned = caller.and_then(|caller| self.owned_by(RealNumber::new(caller)).into_iter().next_back());
        if !self.accepts_caller() {
            return self.refuse(Reason::Unidentified, None);
        }
        let hash = match (owned, pool.owner_dials, digits) {
            (Some(binding), OwnerDials::Callback, _) | (Some(binding), OwnerDials::Ask, Keyed::Hash) => {
                return self.connect(binding, Party::A);
            }
            (Some(binding), OwnerDials::Ask, Keyed::Nothing) => {
                let wants = extension(pool, Hash::CallsBack);
                return self.ask(pool, wants, Some((binding, Party::A)));
            }
            (Some(_), OwnerDials::Ask, Keyed::Digits(_) | Keyed::Star) => Hash::CallsBack,
            (None, OwnerDials::Callback | OwnerDials::Ask, _) => Hash::Nothing,
        };
        let Keyed::Digits(run) = digits else {
            let is_open = self.table.any_open_at(self.attempt.dialled, arrived);
            return match digits {
                Keyed::Nothing if is_open => self.ask(pool, extension(pool, hash), None),
                Keyed::Nothing | Keyed::Hash | Keyed::Star | Keyed::Digits(_) => {
                    self.refuse(Reason::NoBinding, None)
                }
            };
        };
        let Some(e) = run.extension() else {
            return self.refuse(Reason::NoBinding, None);
        };
        let mut past = None;
        match live(self.table, mode::keyed(self.number.x, e), arrived, &mut past) {
            Some((binding, _)) if caller.is_some_and(|caller| binding.parties.first().is(caller)) => {
                self.refuse(Reason::SelfCall, Some((binding, Party::A)))
            }
            Some((binding, party)) => self.connect(binding, party),
            None => match past {
                Some(found) => self.refuse(Reason::Expired, Some(found)),
                None => self.refuse(Reason::NoBinding, None),
            },
        }
    }

    /// The caller is asked for keys, as the pool says, if there is room for his call.
    pub(super) fn ask(
        &self,
        pool: &Pool,
        wants: Wants,
        found: Option<(Arc<Binding>, Party)>,
    ) -> Result<Decision, Refusal> {
        self.check_seats(found.clone())?;
        Ok(Decision::Collect(Collect {
            wants,
            how: pool.collect,
            number: self.number.clone(),
            calling: self.attempt.caller.map(RealNumber::new),
            found,
        }))
    }

    /// The bindings by which somebody owns extensions behind the number and may call out himself, oldest first; those
    /// by which he may not, if there are no others.
    pub(super) fn owned_by(&self, person: RealNumber) -> Vec<Arc<Binding>> {
        let owned = self
            .table
            .owned_at(person, self.attempt.dialled, self.attempt.arrived);
        let (may, not): (Vec<_>, Vec<_>) = owned
            .into_iter()
            .filter(|binding| binding.mode() == Mode::Axe)
            .partition(|binding| binding.terms.direction.allows(Side::A));
        if may.is_empty() { not } else { may }
    }
}

/// An extension is asked for.
const fn extension(pool: &Pool, hash: Hash) -> Wants {
    Wants::Extension {
        width: pool.extension_width,
        hash,
    }
}
