//! What the models share: the people, who was named to be called back, how a number stands, and how what the table said
//! is held against what the model says.

use std::fmt::Debug;

use crate::base::id::Id;
use crate::base::limits::CALLEE_TIME;
use crate::base::number::Shown;
use crate::masking::inventory::{Freeze, NumberState};
use crate::masking::reason::Reason;
use crate::masking::request::{Refused, Write, Written};
use crate::masking::route::{Decision, claim};
use crate::masking::support::{World, tel, x};

pub(super) type Person = &'static str;
pub(super) type Virtual = &'static str;

pub(super) const PEOPLE: [Person; 5] = [
    "13800000001",
    "13800000002",
    "13800000003",
    "13800000004",
    "13800000005",
];
pub(super) const DAY: i64 = 86_400_000;
/// How long whole numbers rest.
pub(super) const NUMBER_RESTS: i64 = 7 * DAY;
/// How long ended rules, and who was a member, are readable at least.
pub(super) const READABLE: i64 = 600_000;

#[derive(Clone, Copy, Debug)]
struct Named {
    id: Id,
    to: Person,
    until: i64,
    taken: bool,
}

/// Who was named to be called back, one for a binding.
#[derive(Default)]
pub(super) struct Callees(Vec<Named>);

impl Callees {
    /// In place of whoever was named before.
    pub(super) fn name(&mut self, id: Id, to: Person, now: i64) {
        self.forget(id);
        let until = now + i64::try_from(CALLEE_TIME.as_millis()).expect("a minute");
        self.0.push(Named {
            id,
            to,
            until,
            taken: false,
        });
    }

    pub(super) fn forget(&mut self, id: Id) {
        self.0.retain(|named| named.id != id);
    }

    /// Whom a call by the binding reaches.
    pub(super) fn of(&self, id: Id, at: i64) -> Option<Person> {
        let mut named = self.0.iter();
        let named = named.find(|n| n.id == id && !n.taken && at < n.until);
        named.map(|n| n.to)
    }

    /// It is the call's alone until it is given back, and nobody's once it is used.
    fn set_taken(&mut self, id: Id, taken: bool) {
        for named in self.0.iter_mut().filter(|named| named.id == id) {
            named.taken = taken;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum State {
    #[default]
    Active,
    Locked,
    Frozen,
}

impl State {
    /// The rule that keeps such a number from being bound.
    pub(super) const fn against(self) -> Option<&'static str> {
        match self {
            Self::Active => None,
            Self::Locked => Some("number_locked"),
            Self::Frozen => Some("number_frozen"),
        }
    }
}

/// Puts a number into the state that was drawn: 0 locks it, 1 freezes it, all else makes it active.
pub(super) fn put(world: &mut World, number: Virtual, drawn: u8, freeze: Freeze) -> State {
    let (model, state) = match drawn {
        0 => (State::Locked, NumberState::Locked),
        1 => (State::Frozen, NumberState::Frozen(freeze)),
        _ => (State::Active, NumberState::Active),
    };
    let x = x(number);
    world
        .write(&Write::SetNumberState { x, state })
        .expect("a number of ours");
    model
}

/// The law once more, as a model says it.
pub(super) trait Law {
    /// What a call is told: whom it reaches, or why nobody.
    type Told: PartialEq + Debug;

    /// What the table tells it.
    fn told(decision: &Decision) -> Self::Told;

    /// What it ought to be told at a moment.
    fn ought(&self, dialled: Virtual, caller: Person, at: i64) -> Self::Told;

    fn callees(&mut self) -> &mut Callees;
}

/// A call is judged for good; what it took is used up, or given back.
pub(super) fn call<L: Law>(
    world: &mut World,
    law: &mut L,
    (dialled, caller, used): (Virtual, Person, bool),
    step: &impl Debug,
) {
    let now = world.now.as_millis();
    let agrees = |law: &L, decision: &Decision| {
        assert_eq!(L::told(decision), law.ought(dialled, caller, now), "{step:?}");
    };
    let (decision, _seat) = claim(&world.table, world.call(dialled, caller), None);
    agrees(law, &decision);
    let Decision::Connect(plan) = decision else { return };
    let Some(callee) = plan.callee().copied() else {
        return;
    };
    law.callees().set_taken(callee.binding, true);
    agrees(law, &world.call(dialled, caller));
    if used {
        let (id, only) = (callee.binding, Some(callee));
        world
            .write(&Write::ClearCallee { id, only })
            .expect("it is there");
    } else {
        world.table.give_back(&callee);
        law.callees().set_taken(callee.binding, false);
    }
}

/// Every call that there may be is told now what it ought to be.
pub(super) fn agree_on_all<L: Law>(
    world: &World,
    law: &L,
    (numbers, people): (&[Virtual], &[Person]),
    step: &impl Debug,
) {
    let now = world.now.as_millis();
    for (dialled, caller) in numbers.iter().flat_map(|n| people.iter().map(move |p| (n, p))) {
        let (told, ought) = (
            L::told(&world.call(dialled, caller)),
            law.ought(dialled, caller, now),
        );
        assert_eq!(told, ought, "{dialled} by {caller} after {step:?}");
    }
}

/// The table's answer to a write against the rules that the model finds broken.
pub(super) fn agree(answer: &Result<Written, Refused>, rules: &[&str], step: &impl Debug) -> bool {
    match answer {
        Ok(_) => assert!(rules.is_empty(), "{step:?} was done against {rules:?}"),
        Err(refused) => assert!(
            rules.contains(&refused.code()),
            "{step:?}: {refused:?}, not {rules:?}"
        ),
    }
    answer.is_ok()
}

/// Whom a call reaches and what he sees, as digits.
pub(super) type Reached = Result<(String, String), Reason>;

pub(super) fn told(decision: &Decision) -> Reached {
    match decision {
        Decision::Connect(plan) => {
            let shown = match plan.shown() {
                Shown::Virtual(shown) => shown.tel().digits().to_string(),
                Shown::Real(..) | Shown::Withheld => panic!("somebody is shown as himself"),
            };
            Ok((plan.called().reveal().digits().to_string(), shown))
        }
        Decision::Ask(question) => panic!("{question:?}"),
        Decision::Collect(collect) => panic!("{collect:?} though nobody has an extension"),
        Decision::Refuse(refusal) => Err(refusal.reason),
    }
}

/// What is told: of whoever has nothing here any more is also said that he never had.
pub(super) fn heard(decision: &Decision) -> Reached {
    told(decision).map_err(|reason| match reason {
        Reason::Expired => Reason::NoBinding,
        other => other,
    })
}

pub(super) fn expected(answer: Result<(Person, Virtual), Reason>) -> Reached {
    answer.map(|(called, shown)| (digits(called), digits(shown)))
}

pub(super) fn digits(number: &str) -> String {
    tel(number).digits().to_string()
}
