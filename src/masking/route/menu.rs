//! Whom the answer to a 400 number's menu leads to.

use std::sync::Arc;

use super::{Attempt, Case, Decision, Refusal, is_one_of_ours};
use crate::base::limits::RING_EACH_DEFAULT;
use crate::base::number::RealNumber;
use crate::masking::binding::{Binding, Party};
use crate::masking::collect::Wants;
use crate::masking::menu::Choice;
use crate::masking::reason::Reason;
use crate::masking::turns::Turn;

impl Case<'_> {
    /// The caller is asked to choose, if there is room for his call.
    pub(super) fn ask_choice(&self, binding: Arc<Binding>, party: Party) -> Result<Decision, Refusal> {
        let found = Some((binding, party));
        let menu = found.as_ref().and_then(|(binding, _)| binding.terms.rare().menu.clone());
        let (Some(menu), Some(pool)) = (menu, &self.pool) else {
            return self.refuse(Reason::Internal, found);
        };
        self.ask(pool, Wants::Choice(menu), found)
    }
}

/// Who rings first by what the caller has chosen, and who does after him.
///
/// # Errors
/// [`Reason::NoBinding`]: there is no such answer. [`Reason::SelfCall`] and [`Reason::Loop`]: it leads to nobody but the
/// caller himself, or to numbers that are ours by now.
pub(super) fn chosen(
    case: &Case<'_>,
    binding: &Binding,
    attempt: &Attempt,
) -> Result<(RealNumber, Option<Turn>), Reason> {
    let rare = binding.terms.rare();
    let choice = rare.menu.as_ref().and_then(|menu| menu.choice(attempt.digits));
    let Choice { to, .. } = choice.ok_or(Reason::NoBinding)?;
    let is_caller = |number: &RealNumber| attempt.caller.is_some_and(|caller| number.is(caller));
    let others = to.iter().filter(|number| !is_one_of_ours(case.table, **number));
    let ring: Arc<[RealNumber]> = others.filter(|number| !is_caller(number)).copied().collect();
    match *ring {
        [] if to.iter().any(is_caller) => Err(Reason::SelfCall),
        [] => Err(Reason::Loop),
        [one] => Ok((one, None)),
        [first, ..] => {
            let each = rare.ring_timeout.unwrap_or(RING_EACH_DEFAULT);
            Ok((first, Some(Turn::first(ring, each))))
        }
    }
}
