//! What a record says of whom a call joins, and by what.

use super::cdr::Cdr;
use crate::base::number::{Digits, NumberPlan, RealNumber, Shown};
use crate::masking::binding::{Binding, Mode, Party};
use crate::masking::inventory::Class;
use crate::masking::route::Plan;

/// Notes who is called, and by what.
pub(super) fn plan(cdr: &mut Cdr, plan: &Plan, numbers: &NumberPlan) {
    cdr.callee = Some(written(plan.called(), numbers));
    cdr.shown = match plan.shown() {
        Shown::Virtual(x) => Some(numbers.virtual_text(x)),
        Shown::Real(number, _) => Some(written(number, numbers)),
        Shown::Withheld => None,
    };
    binding(cdr, plan.binding(), Some(plan.caller()), numbers);
    way(cdr, plan.mode(), Some(plan.caller()));
    cdr.binding_id = plan.bound();
}

/// Notes the caller's binding.
pub(super) fn binding(cdr: &mut Cdr, binding: &Binding, party: Option<Party>, numbers: &NumberPlan) {
    cdr.binding_id = Some(binding.id);
    way(cdr, binding.mode(), party);
    let parties = &binding.parties;
    // Of a group it is the one who takes part.
    let member = match party {
        Some(Party::Member) => cdr.caller,
        Some(Party::A | Party::B | Party::N) | None => cdr.callee,
    };
    cdr.a = match parties.a() {
        Some(a) => Some(written(a, numbers)),
        None => parties.group().and(member),
    };
    cdr.group_id = parties.group();
    cdr.x = Some(numbers.virtual_text(binding.x));
    cdr.extension = parties.extension().map(|e| e.to_string());
    cdr.y = parties.y().map(|y| numbers.virtual_text(y));
    // Where anyone may call, the other side is whoever it is this time.
    cdr.peer = match (parties.b(), party) {
        (Some(b), _) => Some(written(b, numbers)),
        (None, Some(Party::A)) => cdr.callee,
        (None, Some(Party::B | Party::N | Party::Member) | None) => cdr.caller,
    };
    let rare = binding.terms.rare();
    cdr.order_id = rare.order_id.as_deref().map(str::to_owned);
    cdr.user_data = rare.user_data.as_deref().map(str::to_owned);
}

/// Whether no call by this binding may be recorded, whatever it asks for.
pub(super) fn never_records(binding: &Binding) -> bool {
    classes(binding).any(|class| class == Class::Service95)
}

/// How many days the law has what is recorded of a call by this binding kept, if it says.
pub(super) fn kept_at_least(binding: &Binding) -> Option<u32> {
    classes(binding).filter_map(Class::kept_at_least_days).max()
}

fn classes(binding: &Binding) -> impl Iterator<Item = Class> {
    let numbers = [Some(binding.x), binding.parties.y()];
    numbers.into_iter().flatten().map(|x| Class::of(x.tel()))
}

/// Notes by which mode, and which way, a call of `caller` goes.
pub(super) fn way(cdr: &mut Cdr, mode: Mode, caller: Option<Party>) {
    cdr.mode = Some(mode.name().to_owned());
    cdr.direction = caller.map(|caller| direction(mode, caller).to_owned());
}

fn written(number: RealNumber, numbers: &NumberPlan) -> Digits {
    numbers.record(number.reveal())
}

const fn direction(mode: Mode, caller: Party) -> &'static str {
    match (mode, caller) {
        (Mode::Axb | Mode::Axyb | Mode::Xb, Party::A) => "a_to_b",
        (Mode::Axb | Mode::Axyb | Mode::Xb, Party::B | Party::N | Party::Member) => "b_to_a",
        (Mode::Inbound, _) => "n_to_a",
        (Mode::Axg, Party::A) => "a_to_g",
        (Mode::Axg, Party::B | Party::N | Party::Member) => "g_to_a",
        (Mode::Gxb | Mode::Gxyb, Party::B) => "b_to_g",
        (Mode::Gxb | Mode::Gxyb, Party::A | Party::N | Party::Member) => "g_to_b",
        (Mode::Ax | Mode::Axe | Mode::Axn | Mode::Axn95 | Mode::X, Party::A) => "a_to_n",
        (Mode::Ax | Mode::Axe | Mode::Axn | Mode::Axn95 | Mode::X, Party::B | Party::N | Party::Member) => {
            "n_to_a"
        }
    }
}
