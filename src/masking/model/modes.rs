//! The law of AX, AXN, AXYB and AXB once more, as lists of rows that are searched from end to end: who may
//! be bound, whom a call reaches, what rests, who is named to be called back. Every step has a moment of its own.

use proptest::prelude::*;

use super::common::{
    Callees, DAY, Law, NUMBER_RESTS, Person, Reached, State, Virtual, agree, agree_on_all, call, expected,
    put, told,
};
use crate::base::id::Id;
use crate::base::time::Wall;
use crate::masking::binding::Mode;
use crate::masking::inventory::{DEFAULT_ACCOUNT, Freeze, Standing};
use crate::masking::reason::Reason;
use crate::masking::request::{Unbind, UpdateRequest, Write, Written};
use crate::masking::route::Decision;
use crate::masking::support::{World, ax, axb, axn, axyb, real};

/// One of AX, one of AXN, three of AXYB, one of AXB.
const NUMBERS: [&str; 6] = [
    "17000000011",
    "17000000012",
    "17000000021",
    "17000000022",
    "17000000023",
    "17000000031",
];
const PEOPLE: [&str; 4] = ["13800000001", "13800000002", "13800000003", "13800000004"];
/// How long keys of one person rest.
const PAIR_RESTS: i64 = DAY;

/// The one in whose pool AX is called AXN.
const OF_AXN: Virtual = NUMBERS[1];

/// Whom a row joins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Joins {
    Axb {
        x: Virtual,
        a: Person,
        b: Person,
    },
    Ax {
        x: Virtual,
        a: Person,
    },
    Axyb {
        x: Virtual,
        a: Person,
        y: Virtual,
        b: Person,
    },
}

/// A binding for as long as it joined the same people.
#[derive(Clone, Copy, Debug)]
struct Row {
    id: Id,
    joins: Joins,
    from: i64,
    until: i64,
}

/// Whom a call reaches, and what he sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Leads {
    To(Person, Virtual),
    /// To whom was named.
    Back(Virtual),
}

struct Model {
    rows: Vec<Row>,
    callees: Callees,
    states: [State; 6],
    suspended: bool,
}

impl Joins {
    fn a(self) -> Person {
        match self {
            Self::Axb { a, .. } | Self::Ax { a, .. } | Self::Axyb { a, .. } => a,
        }
    }

    fn x(self) -> Virtual {
        match self {
            Self::Axb { x, .. } | Self::Ax { x, .. } | Self::Axyb { x, .. } => x,
        }
    }

    fn numbers(self) -> Vec<Virtual> {
        match self {
            Self::Axb { x, .. } | Self::Ax { x, .. } => vec![x],
            Self::Axyb { x, y, .. } => vec![x, y],
        }
    }

    fn mode(self) -> Mode {
        match self {
            Self::Axb { .. } => Mode::Axb,
            Self::Ax { x: OF_AXN, .. } => Mode::Axn,
            Self::Ax { .. } => Mode::Ax,
            Self::Axyb { .. } => Mode::Axyb,
        }
    }

    /// (dialled, caller) → where to; nobody as the caller is anyone.
    fn table(self) -> Vec<(Virtual, Option<Person>, Leads)> {
        match self {
            Self::Axb { x, a, b } => {
                vec![(x, Some(a), Leads::To(b, x)), (x, Some(b), Leads::To(a, x))]
            }
            Self::Ax { x, a } => vec![(x, None, Leads::To(a, x)), (x, Some(a), Leads::Back(x))],
            Self::Axyb { x, a, y, b } => {
                vec![(y, Some(a), Leads::To(b, x)), (x, Some(b), Leads::To(a, y))]
            }
        }
    }

    /// Where `caller` is led by a key of his own.
    fn leads(self, dialled: Virtual, caller: Person) -> Option<Leads> {
        let mut table = self.table().into_iter();
        table.find_map(|(on, who, leads)| ((on, who) == (dialled, Some(caller))).then_some(leads))
    }

    /// Where anyone is led.
    fn leads_anyone(self, dialled: Virtual) -> Option<Leads> {
        let mut table = self.table().into_iter();
        table.find_map(|(on, who, leads)| ((on, who) == (dialled, None)).then_some(leads))
    }
}

fn index(number: Virtual) -> usize {
    NUMBERS.iter().position(|n| *n == number).expect("one of ours")
}

impl Model {
    fn live(&self, now: i64) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.until > now)
    }

    fn state(&self, number: Virtual) -> State {
        self.states[index(number)]
    }

    /// Every rule that keeps these people from being joined now; `but` is the binding that is updated.
    fn against(&self, wanted: Joins, but: Option<Id>, now: i64) -> Vec<&'static str> {
        let mut rules = Vec::new();
        if self.suspended {
            rules.push("account_suspended");
        }
        match wanted {
            Joins::Axb { a, b, .. } | Joins::Axyb { a, b, .. } if a == b => rules.push("same_number"),
            Joins::Axb { .. } | Joins::Ax { .. } | Joins::Axyb { .. } => {}
        }
        match wanted {
            Joins::Axyb { x, y, .. } if x == y => rules.push("x_is_y"),
            Joins::Axb { .. } | Joins::Ax { .. } | Joins::Axyb { .. } => {}
        }
        for number in wanted.numbers() {
            rules.extend(self.state(number).against());
        }
        for other in self.live(now).filter(|row| Some(row.id) != but) {
            let shares = |number: &Virtual| other.joins.numbers().contains(number);
            if wanted.numbers().iter().any(shares) && other.joins.mode() != wanted.mode() {
                rules.push("mode_mismatch");
            }
            let keys = wanted.table();
            let taken = |(on, who, _): &(Virtual, Option<Person>, Leads)| {
                let theirs = other.joins.table();
                theirs.iter().any(|(their, whose, _)| (their, whose) == (on, who))
            };
            // In AXYB, X stands for one A.
            let of_another = other.joins.x() == wanted.x() && other.joins.a() != wanted.a();
            if keys.iter().any(taken) || (wanted.mode() == Mode::Axyb && of_another) {
                rules.push("key_taken");
            }
        }
        // A whole number that stood for somebody rests from others, unless another took it over from him.
        for former in self
            .rows
            .iter()
            .filter(|row| row.until <= now && now < row.until + NUMBER_RESTS)
        {
            let Joins::Ax { x, a } = former.joins else {
                continue;
            };
            let handed_on = self.rows.iter().any(|next| {
                next.from == former.until && matches!(next.joins, Joins::Ax { x: on, .. } if on == x)
            });
            if wanted.x() == x && wanted.a() != a && !handed_on {
                rules.push("key_quarantined");
            }
        }
        rules
    }

    fn route(&self, dialled: Virtual, caller: Person, now: i64) -> Result<(Person, Virtual), Reason> {
        if self.suspended {
            return Err(Reason::AccountSuspended);
        }
        if self.state(dialled) == State::Frozen {
            return Err(Reason::NumberFrozen);
        }
        let connect = |row: &Row, leads: Leads| {
            let (Leads::To(_, shown) | Leads::Back(shown)) = leads;
            if self.state(shown) == State::Frozen {
                return Err(Reason::NumberFrozen);
            }
            match leads {
                Leads::To(called, shown) => Ok((called, shown)),
                Leads::Back(shown) => {
                    let named = self.callees.of(row.id, now);
                    named.map(|to| (to, shown)).ok_or(Reason::NoCallee)
                }
            }
        };
        for row in self.live(now) {
            if let Some(leads) = row.joins.leads(dialled, caller) {
                return connect(row, leads);
            }
        }
        for row in self.live(now) {
            if let Joins::Axyb { x, a, y, b } = row.joins
                && ((x, a) == (dialled, caller) || (y, b) == (dialled, caller))
            {
                return Err(Reason::SelfCall);
            }
        }
        // Whoever still uses a key of his own that rests reaches nobody but whom he reached by it.
        let ended = || self.rows.iter().filter(|row| row.until <= now);
        let own = ended().filter(|row| row.joins.leads(dialled, caller).is_some());
        let last = own.max_by_key(|row| row.from);
        let knew = last.and_then(|row| {
            let rests = match row.joins.mode() {
                Mode::Ax | Mode::Axn | Mode::Axn95 | Mode::Axg | Mode::Xb | Mode::Inbound => NUMBER_RESTS,
                Mode::Axb | Mode::Axyb | Mode::Axe | Mode::Gxb | Mode::Gxyb => PAIR_RESTS,
                Mode::X => panic!("nothing is bound in it"),
            };
            (now < row.until + rests).then(|| row.joins.leads(dialled, caller))?
        });
        for row in self.live(now) {
            if let Some(leads) = row.joins.leads_anyone(dialled) {
                match (knew, leads) {
                    (None, _) => return connect(row, leads),
                    (Some(Leads::To(old, _)), Leads::To(new, _)) if old == new => return connect(row, leads),
                    (Some(_), _) => {}
                }
            }
        }
        let used = ended().any(|row| {
            row.joins
                .leads(dialled, caller)
                .or(row.joins.leads_anyone(dialled))
                .is_some()
        });
        Err(if used { Reason::Expired } else { Reason::NoBinding })
    }
}

impl Law for Model {
    type Told = Reached;

    fn told(decision: &Decision) -> Reached {
        told(decision)
    }

    fn ought(&self, dialled: Virtual, caller: Person, at: i64) -> Reached {
        expected(self.route(dialled, caller, at))
    }

    fn callees(&mut self) -> &mut Callees {
        &mut self.callees
    }
}

#[derive(Clone, Debug)]
enum Step {
    Wait(i64),
    Ax(usize, usize),
    Axyb(usize, usize, usize, usize),
    Axb(usize, usize),
    /// To other people, or from AX to AXB.
    Update(usize, Option<usize>, Option<usize>, bool),
    Unbind(usize),
    Name(usize, usize),
    /// A call is judged for good; what it took is used up, or given back.
    Call(usize, usize, bool),
    Put(usize, u8),
    Suspend(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let (n, p) = (|| 0..NUMBERS.len(), || 0..PEOPLE.len());
    let some = || prop::option::of(0..PEOPLE.len());
    prop_oneof![
        2 => (0..50_000_i64).prop_map(Step::Wait),
        2 => (0..9 * DAY).prop_map(Step::Wait),
        5 => (0..2_usize, p()).prop_map(|(x, a)| Step::Ax(x, a)),
        6 => (2..5_usize, p(), 2..5_usize, p()).prop_map(|(x, a, y, b)| Step::Axyb(x, a, y, b)),
        2 => (p(), p()).prop_map(|(a, b)| Step::Axb(a, b)),
        5 => (any::<usize>(), some(), some(), any::<bool>()).prop_map(|(i, a, b, m)| Step::Update(i, a, b, m)),
        4 => any::<usize>().prop_map(Step::Unbind),
        4 => (any::<usize>(), p()).prop_map(|(i, to)| Step::Name(i, to)),
        4 => (n(), p(), any::<bool>()).prop_map(|(x, who, used)| Step::Call(x, who, used)),
        2 => (n(), 0..4_u8).prop_map(|(x, state)| Step::Put(x, state)),
        1 => prop_oneof![1 => Just(true), 2 => Just(false)].prop_map(Step::Suspend),
    ]
}

fn take(world: &mut World, model: &mut Model, ids: &mut Vec<Id>, step: &Step) {
    world.later(10);
    let now = world.now.as_millis();
    let never = Wall::NEVER.as_millis();
    let bind = |world: &mut World, model: &mut Model, ids: &mut Vec<Id>, joins: Joins| {
        let request = match joins {
            Joins::Axb { x, a, b } => axb(x, a, b),
            Joins::Ax { x: x @ OF_AXN, a } => axn(x, a),
            Joins::Ax { x, a } => ax(x, a),
            Joins::Axyb { x, a, y, b } => axyb(x, a, y, b),
        };
        let rules = model.against(joins, None, now);
        let answer = world.write(&Write::Bind(request));
        if agree(&answer, &rules, step) {
            let Ok(Written::Binding(binding)) = answer else {
                panic!("{answer:?}")
            };
            ids.push(binding.id);
            model.rows.push(Row {
                id: binding.id,
                joins,
                from: now,
                until: never,
            });
        }
    };
    let id_of = |ids: &[Id], i: usize| (!ids.is_empty()).then(|| ids[i % ids.len()]);
    match *step {
        Step::Wait(ms) => world.later(ms),
        Step::Ax(x, a) => {
            let (x, a) = (NUMBERS[x], PEOPLE[a]);
            bind(world, model, ids, Joins::Ax { x, a });
        }
        Step::Axyb(x, a, y, b) => {
            let (x, a, y, b) = (NUMBERS[x], PEOPLE[a], NUMBERS[y], PEOPLE[b]);
            bind(world, model, ids, Joins::Axyb { x, a, y, b });
        }
        Step::Axb(a, b) => {
            let (x, a, b) = (NUMBERS[5], PEOPLE[a], PEOPLE[b]);
            bind(world, model, ids, Joins::Axb { x, a, b });
        }
        Step::Update(i, a, b, to_axb) => {
            let Some(id) = id_of(ids, i) else { return };
            let mut request = UpdateRequest::of(id);
            request.a = a.map(|a| real(PEOPLE[a]));
            request.b = b.map(|b| real(PEOPLE[b]));
            request.mode = to_axb.then_some(Mode::Axb);
            let row = model.live(now).find(|row| row.id == id).copied();
            let (a, b) = (a.map(|a| PEOPLE[a]), b.map(|b| PEOPLE[b]));
            let becomes = row.map(|row| match (row.joins, to_axb, b) {
                (Joins::Ax { x, a: old }, false, None) => Ok(Joins::Ax {
                    x,
                    a: a.unwrap_or(old),
                }),
                (Joins::Ax { .. }, false, Some(_)) | (Joins::Ax { x: OF_AXN, .. }, true, _) => {
                    Err("not_of_mode")
                }
                (Joins::Ax { x, a: old }, true, Some(b)) => Ok(Joins::Axb {
                    x,
                    a: a.unwrap_or(old),
                    b,
                }),
                (Joins::Ax { .. }, true, None) => Err("out_of_bounds"),
                (Joins::Axb { x, a: old, b: of_old }, _, b) => Ok(Joins::Axb {
                    x,
                    a: a.unwrap_or(old),
                    b: b.unwrap_or(of_old),
                }),
                (
                    Joins::Axyb {
                        x,
                        a: old,
                        y,
                        b: of_old,
                    },
                    false,
                    b,
                ) => Ok(Joins::Axyb {
                    x,
                    a: a.unwrap_or(old),
                    y,
                    b: b.unwrap_or(of_old),
                }),
                (Joins::Axyb { .. }, true, _) => Err("not_of_mode"),
            });
            let rules = match (row, becomes) {
                (None, _) | (_, None) => vec!["binding_ended"],
                (Some(_), Some(Err(rule))) => vec![rule, "account_suspended"],
                // Who stays may stay.
                (Some(row), Some(Ok(joins))) if row.joins == joins && !model.suspended => vec![],
                (Some(_), Some(Ok(joins))) => model.against(joins, Some(id), now),
            };
            let answer = world.update(request);
            if agree(&answer, &rules, step)
                && let (Some(row), Some(Ok(joins))) = (row, becomes)
                && row.joins != joins
            {
                for old in model
                    .rows
                    .iter_mut()
                    .filter(|old| old.id == id && old.until > now)
                {
                    old.until = now;
                }
                model.rows.push(Row {
                    joins,
                    from: now,
                    ..row
                });
                model.callees.forget(id);
            }
        }
        Step::Unbind(i) => {
            let Some(id) = id_of(ids, i) else { return };
            let live = model.live(now).any(|row| row.id == id);
            let answer = world.write(&Write::Unbind(Unbind::Id(id)));
            let rules: &[&str] = match (live, model.suspended) {
                (false, _) => &["binding_ended"],
                (true, true) => &["account_suspended"],
                (true, false) => &[],
            };
            if agree(&answer, rules, step) {
                for row in model
                    .rows
                    .iter_mut()
                    .filter(|row| row.id == id && row.until > now)
                {
                    row.until = now;
                }
            }
        }
        Step::Name(i, to) => {
            let Some(id) = id_of(ids, i) else { return };
            let to = PEOPLE[to];
            let row = model.live(now).find(|row| row.id == id).copied();
            let mut rules = Vec::new();
            if model.suspended {
                rules.push("account_suspended");
            }
            match row.map(|row| row.joins) {
                None => rules.push("binding_ended"),
                Some(Joins::Ax { a, .. }) if a == to => rules.push("same_number"),
                Some(Joins::Ax { .. }) => {}
                Some(Joins::Axb { .. } | Joins::Axyb { .. }) => rules.push("not_of_mode"),
            }
            if agree(&world.callee(id, to), &rules, step) {
                model.callees.name(id, to, now);
            }
        }
        Step::Call(x, who, used) => call(world, model, (NUMBERS[x], PEOPLE[who], used), step),
        Step::Put(number, state) => {
            model.states[number] = put(world, NUMBERS[number], state, Freeze::Operator);
        }
        Step::Suspend(suspend) => {
            let standing = if suspend {
                Standing::Suspended
            } else {
                Standing::Active
            };
            world
                .write(&Write::set_standing(DEFAULT_ACCOUNT, standing))
                .expect("it is there");
            model.suspended = suspend;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_mode_decides_as_the_model(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        world.pool(Mode::Ax, &NUMBERS[..1]);
        world.pool(Mode::Axn, &[OF_AXN]);
        world.pool(Mode::Axyb, &NUMBERS[2..5]);
        world.add(NUMBERS[5]);
        let mut model = Model {
            rows: Vec::new(),
            callees: Callees::default(),
            states: [State::Active; 6],
            suspended: false,
        };
        let mut ids = Vec::new();
        for step in &steps {
            take(&mut world, &mut model, &mut ids, step);
            agree_on_all(&world, &model, (&NUMBERS, &PEOPLE), step);
        }
        prop_assert_eq!(world.table.calls_at_once(), 0);
    }
}
