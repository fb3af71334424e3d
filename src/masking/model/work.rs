//! The law of work numbers and of numbers that anyone may call once more: an employee and the customers who are paired
//! with him, those who ring in his place, what is behind a 400 number, and a number that goes over to a customer's
//! server. Every step has a moment of its own.

use std::time::Duration;

use proptest::prelude::*;

use super::common::{
    Callees, DAY, Law, NUMBER_RESTS, PEOPLE, Person, READABLE, State, Virtual, agree, agree_on_all, call,
    digits, heard, put,
};
use super::replayed;
use crate::base::id::Id;
use crate::base::time::Wall;
use crate::masking::binding::{Direction, Mode, Rare, Terms};
use crate::masking::inventory::Freeze;
use crate::masking::reason::Reason;
use crate::masking::request::{BindRequest, Unbind, UpdateRequest, Write, Written};
use crate::masking::route::{Attempt, Decision, Plan, route};
use crate::masking::support::{World, inbound, paired, real, work, x};
use crate::masking::turns::{Order, Ring};

/// Two work numbers, and one that is a 400 number's pool's or a customer's server's.
const NUMBERS: [Virtual; 3] = ["17000000081", "17000000082", "17000000083"];
const HOTLINE: Virtual = NUMBERS[2];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Joins {
    Work { x: Virtual, b: Person },
    Paired { x: Virtual, a: Person, b: Person },
    Inbound { base: Person },
}

/// Who rings in an employee's place, or after him: the first of these people.
type Deputies = Option<(Order, usize)>;

/// A binding for as long as nothing about it changed.
#[derive(Clone, Copy, Debug)]
struct Row {
    id: Id,
    joins: Joins,
    deputies: Deputies,
    direction: Direction,
    /// When it was made, among all.
    made: usize,
    from: i64,
    until: i64,
    /// An update made something else of it: it was never free.
    passed_on: bool,
}

struct Model {
    rows: Vec<Row>,
    callees: Callees,
    /// Those of whom somebody was ever named.
    ever_named: Vec<Id>,
    states: [State; 3],
    /// The customer's server is asked about calls to the hotline.
    asks: bool,
}

/// Who rings, one after the other, and what they see.
type Leads = (Vec<Person>, Virtual);

impl Joins {
    const fn x(self) -> Virtual {
        match self {
            Self::Work { x, .. } | Self::Paired { x, .. } => x,
            Self::Inbound { .. } => HOTLINE,
        }
    }
}

fn index(number: Virtual) -> usize {
    NUMBERS.iter().position(|n| *n == number).expect("one of ours")
}

/// The list that the deputies are: everybody but the employee, in the order of the people.
fn list(count: usize, b: Person) -> Vec<Person> {
    let others = PEOPLE.into_iter().filter(|who| *who != b);
    others.take(count).collect()
}

impl Model {
    fn live(&self, at: i64) -> impl Iterator<Item = &Row> {
        self.rows
            .iter()
            .filter(move |row| row.from <= at && at < row.until)
    }

    fn work_on(&self, on: Virtual, at: i64) -> Option<&Row> {
        let mut live = self.live(at);
        live.find(|row| matches!(row.joins, Joins::Work { x, .. } if x == on))
    }

    fn pairing_of(&self, on: Virtual, who: Person, at: i64) -> Option<&Row> {
        let mut live = self.live(at);
        live.find(|row| matches!(row.joins, Joins::Paired { x, a, .. } if (x, a) == (on, who)))
    }

    fn latest_pairing(&self, on: Virtual, at: i64) -> Option<&Row> {
        let of_it = self
            .live(at)
            .filter(|row| matches!(row.joins, Joins::Paired { x, .. } if x == on));
        of_it.max_by_key(|row| row.made)
    }

    /// Every rule that keeps them from being joined now, and those that may; `but` is the binding that is updated.
    fn against(&self, wanted: Joins, but: Option<Id>, now: i64) -> Vec<&'static str> {
        let mut rules = Vec::new();
        rules.extend(self.states[index(wanted.x())].against());
        for other in self.live(now).filter(|row| Some(row.id) != but) {
            let is_taken = match (wanted, other.joins) {
                (Joins::Work { x, .. }, Joins::Work { x: on, .. }) => x == on,
                (Joins::Paired { x, a, .. }, Joins::Paired { x: on, a: of, .. }) => (x, a) == (on, of),
                (Joins::Inbound { .. }, Joins::Inbound { .. }) => true,
                (Joins::Work { .. } | Joins::Paired { .. } | Joins::Inbound { .. }, _) => false,
            };
            if is_taken {
                rules.push("key_taken");
            }
        }
        if let Joins::Paired { a, b, .. } = wanted
            && a == b
        {
            rules.push("same_number");
        }
        if self.asks && wanted.x() == HOTLINE {
            rules.push("mode_mismatch");
        }
        // What was one's as a whole rests from others.
        let rests = |row: &&Row| row.until <= now && now < row.until + NUMBER_RESTS && !row.passed_on;
        let is_others = |former: &Row| match (former.joins, wanted) {
            (Joins::Work { x, b }, Joins::Work { x: on, b: new }) => x == on && b != new,
            (Joins::Inbound { base }, Joins::Inbound { base: new }) => base != new,
            (Joins::Work { .. } | Joins::Paired { .. } | Joins::Inbound { .. }, _) => false,
        };
        if self.rows.iter().filter(rests).any(is_others) {
            rules.push("key_quarantined");
        }
        rules
    }

    /// Whom a call reaches and who comes after him, and what they see.
    fn route(&self, dialled: Virtual, caller: Person, at: i64) -> Result<Leads, Reason> {
        if self.states[index(dialled)] == State::Frozen {
            return Err(Reason::NumberFrozen);
        }
        if dialled == HOTLINE {
            return self.of_hotline(caller, at);
        }
        let work = self.work_on(dialled, at).ok_or(Reason::NoBinding)?;
        let Joins::Work { b, .. } = work.joins else {
            panic!("it is one")
        };
        if caller == b {
            let named = self.callees.of(work.id, at);
            let chosen = named.and_then(|to| self.pairing_of(dialled, to, at));
            let by = chosen.or_else(|| self.latest_pairing(dialled, at));
            return match by.map(|by| (by.joins, by.direction)) {
                None => Err(Reason::NoCallee),
                Some((_, Direction::AToB)) => Err(Reason::Direction),
                Some((Joins::Paired { a, .. }, _)) => Ok((vec![a], dialled)),
                Some((joins, _)) => panic!("{joins:?} is no pairing"),
            };
        }
        let by = self.pairing_of(dialled, caller, at).ok_or(Reason::NoBinding)?;
        let mut rings = match work.deputies {
            None => vec![b],
            Some((Order::Conditional, count)) => [vec![b], list(count, b)].concat(),
            Some((Order::Unconditional, count)) => list(count, b),
        };
        // Nobody rings himself.
        rings.retain(|who| *who != caller);
        if rings.is_empty() {
            return Err(Reason::Loop);
        }
        if by.direction == Direction::BToA {
            return Err(Reason::Direction);
        }
        Ok((rings, dialled))
    }

    fn of_hotline(&self, caller: Person, at: i64) -> Result<Leads, Reason> {
        let of_it = |row: &&Row| row.joins.x() == HOTLINE;
        if self.asks {
            // Nobody has said which server. But whoever still means what was there reaches nobody.
            let rests = |row: &Row| row.until <= at && at < row.until + NUMBER_RESTS;
            let mut former = self.rows.iter().filter(of_it);
            return Err(if former.any(rests) {
                Reason::NoBinding
            } else {
                Reason::CustomerServer
            });
        }
        match self.live(at).find(of_it).map(|row| row.joins) {
            Some(Joins::Inbound { base }) if base == caller => Err(Reason::SelfCall),
            Some(Joins::Inbound { base }) => Ok((vec![base], base)),
            Some(Joins::Work { .. } | Joins::Paired { .. }) | None => Err(Reason::NoBinding),
        }
    }

    /// It ends, and a work number takes its pairings with it.
    fn end(&mut self, row: &Row, at: i64) {
        for other in &mut self.rows {
            let goes = other.id == row.id
                || matches!((row.joins, other.joins), (Joins::Work { x, .. }, Joins::Paired { x: on, .. }) if x == on);
            if goes {
                other.until = other.until.min(at.max(other.from));
            }
        }
    }

    fn is_bound(&self, on: Virtual, now: i64) -> bool {
        self.live(now).any(|row| row.joins.x() == on)
    }
}

impl Law for Model {
    type Told = Told;

    fn told(decision: &Decision) -> Told {
        rings(decision)
    }

    fn ought(&self, dialled: Virtual, caller: Person, at: i64) -> Told {
        expected(self.route(dialled, caller, at))
    }

    fn callees(&mut self) -> &mut Callees {
        &mut self.callees
    }
}

#[derive(Clone, Debug)]
enum Step {
    Wait(i64),
    Work(usize, usize, Deputies, Option<i64>),
    Pair(usize, usize, Direction, Option<i64>),
    Inbound(usize, Option<i64>),
    /// Another customer, another number behind it.
    Update(usize, usize),
    /// Others ring in his place, or nobody.
    Deputies(usize, Deputies),
    Unbind(usize),
    Name(usize, usize),
    /// A call is judged for good; what it took is used up, or given back.
    Call(usize, usize, bool),
    Put(usize, u8),
    /// The hotline goes over to the customer's server, or comes back.
    Move,
    ExpireDue,
}

fn step() -> impl Strategy<Value = Step> {
    let (n, p) = (|| 0..NUMBERS.len(), || 0..PEOPLE.len());
    let direction = prop_oneof![
        6 => Just(Direction::Both),
        1 => Just(Direction::AToB),
        1 => Just(Direction::BToA)
    ];
    let ttl = || prop::option::weighted(0.3, 61..200_i64);
    let order = prop_oneof![Just(Order::Conditional), Just(Order::Unconditional)];
    let deputies = prop::option::of((order, 1..4_usize)).boxed();
    prop_oneof![
        4 => (0..50_000_i64).prop_map(Step::Wait),
        1 => (0..9 * DAY).prop_map(Step::Wait),
        6 => (0..2_usize, p(), deputies.clone(), ttl()).prop_map(|(x, b, d, t)| Step::Work(x, b, d, t)),
        9 => (0..2_usize, p(), direction, ttl()).prop_map(|(x, a, d, t)| Step::Pair(x, a, d, t)),
        4 => (p(), ttl()).prop_map(|(base, t)| Step::Inbound(base, t)),
        4 => (any::<usize>(), p()).prop_map(|(i, who)| Step::Update(i, who)),
        3 => (any::<usize>(), deputies).prop_map(|(i, d)| Step::Deputies(i, d)),
        3 => any::<usize>().prop_map(Step::Unbind),
        4 => (any::<usize>(), p()).prop_map(|(i, to)| Step::Name(i, to)),
        4 => (n(), p(), any::<bool>()).prop_map(|(x, who, used)| Step::Call(x, who, used)),
        2 => (n(), 0..5_u8).prop_map(|(x, state)| Step::Put(x, state)),
        2 => Just(Step::Move),
        2 => Just(Step::ExpireDue),
    ]
}

fn ring(deputies: Deputies, b: Person) -> Option<Ring> {
    let (order, count) = deputies?;
    Some(Ring {
        order,
        list: list(count, b).into_iter().map(real).collect(),
        each: Duration::from_secs(5),
    })
}

fn bind(
    world: &mut World,
    model: &mut Model,
    joins: Joins,
    (request, ttl_s): (BindRequest, Option<i64>),
    rules: &[&str],
    step: &Step,
) {
    let now = world.now.as_millis();
    let (direction, deputies) = match *step {
        Step::Work(_, _, deputies, _) => (Direction::Both, deputies),
        Step::Pair(_, _, direction, _) => (direction, None),
        _ => (Direction::Both, None),
    };
    let rare = Rare {
        ring: match joins {
            Joins::Work { b, .. } => ring(deputies, b).map(Box::new),
            Joins::Paired { .. } | Joins::Inbound { .. } => None,
        },
        ..Rare::default()
    };
    let request = BindRequest {
        expires: ttl_s.map(|s| world.at(s * 1_000)),
        terms: Terms::new(direction, false, rare),
        ..request
    };
    // A pairing lasts no longer than the work number.
    let mut until = request.expires.unwrap_or(Wall::NEVER).as_millis();
    if let Some(work) = model.work_on(joins.x(), now) {
        until = until.min(work.until);
    }
    let answer = world.write(&Write::Bind(request));
    if agree(&answer, rules, step) {
        let Ok(Written::Binding(binding)) = answer else {
            panic!("{answer:?}")
        };
        model.rows.push(Row {
            id: binding.id,
            joins,
            deputies,
            direction,
            made: model.rows.len(),
            from: now,
            until,
            passed_on: false,
        });
    }
}

/// Something else is joined by a binding from now on, or in another way.
fn update(model: &mut Model, now: i64, row: Row, joins: Joins, deputies: Deputies) {
    for old in model
        .rows
        .iter_mut()
        .filter(|old| old.id == row.id && old.until > now)
    {
        (old.until, old.passed_on) = (now, true);
    }
    model.rows.push(Row {
        joins,
        deputies,
        from: now,
        ..row
    });
}

fn take(world: &mut World, model: &mut Model, step: &Step) {
    world.later(10);
    let now = world.now.as_millis();
    let live: Vec<Row> = model.live(now).copied().collect();
    let pick = |i: usize| (!live.is_empty()).then(|| live[i % live.len()]);
    match *step {
        Step::Wait(ms) => world.later(ms),
        Step::Work(x, b, _, ttl) => {
            let (x, b) = (NUMBERS[x], PEOPLE[b]);
            let joins = Joins::Work { x, b };
            let rules = model.against(joins, None, now);
            bind(world, model, joins, (work(x, b), ttl), &rules, step);
        }
        Step::Pair(x, a, _, ttl) => {
            let (x, a) = (NUMBERS[x], PEOPLE[a]);
            let b = model.work_on(x, now).map(|work| work.joins);
            let (b, mut rules) = match b {
                Some(Joins::Work { b, .. }) => (b, Vec::new()),
                Some(Joins::Paired { .. } | Joins::Inbound { .. }) | None => (a, vec!["no_work_number"]),
            };
            let joins = Joins::Paired { x, a, b };
            rules.extend(model.against(joins, None, now));
            bind(world, model, joins, (paired(x, a), ttl), &rules, step);
        }
        Step::Inbound(base, ttl) => {
            let base = PEOPLE[base];
            let joins = Joins::Inbound { base };
            let rules = model.against(joins, None, now);
            bind(world, model, joins, (inbound(HOTLINE, base), ttl), &rules, step);
        }
        Step::Update(i, who) => {
            let Some(row) = pick(i) else { return };
            let who = PEOPLE[who];
            let joins = match row.joins {
                Joins::Paired { x, b, .. } => Joins::Paired { x, a: who, b },
                Joins::Inbound { .. } => Joins::Inbound { base: who },
                Joins::Work { .. } => return,
            };
            let mut request = UpdateRequest::of(row.id);
            request.a = Some(real(who));
            let rules = match joins == row.joins {
                true => Vec::new(),
                false => model.against(joins, Some(row.id), now),
            };
            if agree(&world.update(request), &rules, step) {
                update(model, now, row, joins, None);
            }
        }
        Step::Deputies(i, deputies) => {
            let Some(row) = pick(i) else { return };
            let Joins::Work { b, .. } = row.joins else { return };
            let mut request = UpdateRequest::of(row.id);
            request.terms.ring = Some(ring(deputies, b));
            world.update(request).expect("within bounds");
            update(model, now, row, row.joins, deputies);
        }
        Step::Unbind(i) => {
            let Some(row) = pick(i) else { return };
            world
                .write(&Write::Unbind(Unbind::Id(row.id)))
                .expect("a live binding");
            model.end(&row, now);
        }
        Step::Name(i, to) => {
            let Some(row) = pick(i) else { return };
            let (id, to) = (row.id, PEOPLE[to]);
            let rules = match row.joins {
                Joins::Work { x, .. } if model.pairing_of(x, to, now).is_some() => vec![],
                Joins::Work { .. } => vec!["not_paired"],
                Joins::Paired { .. } | Joins::Inbound { .. } => vec!["not_of_mode"],
            };
            if agree(&world.callee(id, to), &rules, step) {
                model.ever_named.push(id);
                model.callees.name(id, to, now);
            }
        }
        Step::Call(x, who, used) => call(world, model, (NUMBERS[x], PEOPLE[who], used), step),
        Step::Put(number, state) => {
            model.states[number] = put(world, NUMBERS[number], state, Freeze::Regulator);
        }
        Step::Move => {
            if model.states[index(HOTLINE)] != State::Active {
                return;
            }
            let pool = if model.asks { Mode::Inbound } else { Mode::X };
            let write = Write::MoveNumber {
                x: x(HOTLINE),
                pool: pool.name().into(),
            };
            let rules: &[&str] = if model.is_bound(HOTLINE, now) {
                &["number_bound"]
            } else {
                &[]
            };
            if agree(&world.write(&write), rules, step) {
                model.asks = !model.asks;
            }
        }
        Step::ExpireDue => {
            for id in world.table.due(world.now, 100) {
                world.write(&Write::Expire { id }).expect("known");
            }
        }
    }
}

type Told = Result<(Vec<String>, String), Reason>;

/// Who rings, one after the other, and what they see.
fn rings(decision: &Decision) -> Told {
    let (first, shown) = heard(decision)?;
    let mut rings = vec![first];
    let mut plan = match decision {
        Decision::Connect(plan) => plan.next(),
        Decision::Ask(_) | Decision::Collect(_) | Decision::Refuse(_) => None,
    };
    while let Some(next) = plan {
        rings.push(next.called().reveal().digits().to_string());
        plan = Plan::next(&next);
    }
    Ok((rings, shown))
}

fn expected(answer: Result<Leads, Reason>) -> Told {
    let (rings, shown) = answer?;
    Ok((rings.into_iter().map(digits).collect(), digits(shown)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn employees_customers_and_those_who_dial_a_400_number_reach_each_other_as_the_model_says(
        steps in prop::collection::vec(step(), 1..70),
        ago in prop::collection::vec(0..READABLE, 1..12),
    ) {
        let mut world = World::new();
        world.pool(Mode::Xb, &NUMBERS[..2]);
        world.pool(Mode::Inbound, &[HOTLINE]);
        world.pool(Mode::X, &[]);
        let mut model = Model {
            rows: Vec::new(),
            callees: Callees::default(),
            ever_named: Vec::new(),
            states: [State::Active; 3],
            asks: false,
        };
        for step in &steps {
            take(&mut world, &mut model, step);
            agree_on_all(&world, &model, (&NUMBERS, &PEOPLE), step);
        }
        // As of moments that have been: who was paired then, and rang then, and never who came after.
        for at in ago.into_iter().map(|ago| world.now.as_millis() - ago) {
            for (dialled, caller) in NUMBERS.iter().flat_map(|n| PEOPLE.iter().map(move |p| (n, p))) {
                let attempt = Attempt { arrived: Wall::from_millis(at), ..world.attempt(dialled, caller) };
                let decided = rings(&route(&world.table, &attempt)).ok();
                // Whom an employee chose is known for now alone.
                let chose = |row: &Row| {
                    model.ever_named.contains(&row.id) && matches!(row.joins, Joins::Work { b, .. } if b == *caller)
                };
                if !model.work_on(dialled, at).is_some_and(chose) {
                    let ought = expected(model.route(dialled, caller, at)).ok();
                    prop_assert_eq!(decided, ought, "{} by {} at {}", dialled, caller, at);
                }
            }
        }
        prop_assert_eq!(world.table.calls_at_once(), 0);
        replayed(&world)?;
    }
}
