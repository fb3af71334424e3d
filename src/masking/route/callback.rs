//! The callback: whom A reaches by dialling his own number.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::{Case, is_one_of_ours};
use crate::base::number::RealNumber;
use crate::masking::binding::{Binding, Mode};
use crate::masking::callee::Callee;
use crate::masking::inventory::Callback;
use crate::masking::reason::Reason;

/// Whom A is led to by his callback.
pub(super) struct Back {
    /// The binding by which.
    pub(super) by: Arc<Binding>,
    pub(super) to: RealNumber,
    /// What is used up by it.
    pub(super) callee: Option<Callee>,
}

impl Case<'_> {
    /// Whom A reaches by dialling his own X. The rules that it was named under may have changed since.
    pub(super) fn callback(&self, binding: Arc<Binding>) -> Result<Back, Reason> {
        let pool = self.pool.as_ref().ok_or(Reason::NoCallee)?;
        let (a, arrived) = (binding.parties.first(), self.attempt.arrived);
        // What A has by all his extensions is one rule.
        let of: SmallVec<[Arc<Binding>; 1]> = match binding.mode() {
            Mode::Axe => self.owned_by(a).into(),
            Mode::Ax
            | Mode::Axn
            | Mode::Axn95
            | Mode::Axb
            | Mode::Axyb
            | Mode::Axg
            | Mode::Gxb
            | Mode::Gxyb
            | Mode::Xb
            | Mode::Inbound
            | Mode::X => smallvec![binding],
        };
        let may_be = |to: RealNumber| to != a && !is_one_of_ours(self.table, to);
        let back = match pool.callback {
            Callback::Temporary => {
                let named = of.iter().filter_map(|by| {
                    let callee = self.table.callees.named(by.id)?;
                    callee.holds_at(arrived).then_some((by, callee))
                });
                named
                    .max_by_key(|(_, callee)| callee.set)
                    .map(|(by, callee)| Back {
                        by: by.clone(),
                        to: callee.to,
                        callee: Some(callee),
                    })
            }
            Callback::Last => {
                let called = of.iter().filter_map(|by| {
                    let last = self.table.lasts.of(by.id)?;
                    (last.at <= arrived && arrived < last.until).then_some((by, last))
                });
                called.max_by_key(|(_, last)| last.at).map(|(by, last)| Back {
                    by: by.clone(),
                    to: last.caller,
                    callee: None,
                })
            }
            Callback::Preset => of.iter().rev().find_map(|by| {
                Some(Back {
                    by: by.clone(),
                    to: by.terms.rare().callback?,
                    callee: None,
                })
            }),
            Callback::Tone => return Err(Reason::CallbackTone),
            Callback::Refused => None,
        };
        back.filter(|back| may_be(back.to)).ok_or(Reason::NoCallee)
    }
}
