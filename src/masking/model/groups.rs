//! The law of AXG, GXB and GXYB once more: a binding is what it means for each person at a moment, looked up in lists
//! of who was a member when. Members come and go while they are bound. Every step has a moment of its own.

mod law;

use proptest::prelude::*;

use self::law::{Joins, Leads, Member, Model, NUMBERS, Row};
use super::common::{
    Callees, DAY, Law, PEOPLE, Person, READABLE, Reached, Virtual, agree, agree_on_all, call, digits,
    expected, heard, put,
};
use super::replayed;
use crate::base::time::Wall;
use crate::masking::binding::{Direction, Mode};
use crate::masking::inventory::Freeze;
use crate::masking::request::{GroupRequest, Refused, Unbind, UpdateRequest, Write, Written};
use crate::masking::route::{Attempt, Decision, route};
use crate::masking::support::{World, axg, gxb, gxyb, real};

impl Law for Model {
    type Told = Reached;

    fn told(decision: &Decision) -> Reached {
        heard(decision)
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
    /// Whoever's bit is set, is a member of it.
    AddGroup(u8),
    RemoveGroup(usize),
    Join(usize, usize),
    Leave(usize, usize),
    Default(usize, Option<usize>),
    Axg(usize, usize, usize, Terms),
    Gxb(usize, usize, usize, Terms),
    Gxyb(usize, usize, usize, usize, Terms),
    /// To another group, another person, another direction.
    Update(usize, Option<usize>, Option<usize>, Option<Direction>),
    Unbind(usize),
    Name(usize, usize),
    /// A call is judged for good; what it took is used up, or given back.
    Call(usize, usize, bool),
    Put(usize, u8),
    ExpireDue,
    Forget,
}

type Terms = (Direction, Option<i64>);

fn step() -> impl Strategy<Value = Step> {
    let (n, p, g) = (|| 0..NUMBERS.len(), || 0..PEOPLE.len(), || 0..4_usize);
    let direction = || {
        prop_oneof![
            4 => Just(Direction::Both),
            1 => Just(Direction::AToB),
            1 => Just(Direction::BToA)
        ]
    };
    let terms = || (direction(), prop::option::weighted(0.3, 61..200_i64));
    let some = |of: usize| prop::option::of(0..of);
    prop_oneof![
        4 => (0..50_000_i64).prop_map(Step::Wait),
        1 => (0..9 * DAY).prop_map(Step::Wait),
        2 => any::<u8>().prop_map(Step::AddGroup),
        1 => g().prop_map(Step::RemoveGroup),
        8 => (g(), p()).prop_map(|(g, who)| Step::Join(g, who)),
        7 => (g(), p()).prop_map(|(g, who)| Step::Leave(g, who)),
        3 => (g(), some(PEOPLE.len())).prop_map(|(g, who)| Step::Default(g, who)),
        4 => (0..2_usize, p(), g(), terms()).prop_map(|(x, a, g, t)| Step::Axg(x, a, g, t)),
        4 => (2..4_usize, g(), p(), terms()).prop_map(|(x, g, b, t)| Step::Gxb(x, g, b, t)),
        6 => (4..7_usize, g(), 4..7_usize, p(), terms()).prop_map(|(x, g, y, b, t)| Step::Gxyb(x, g, y, b, t)),
        6 => (any::<usize>(), some(4), some(PEOPLE.len()), prop::option::of(direction()))
            .prop_map(|(i, g, who, d)| Step::Update(i, g, who, d)),
        3 => any::<usize>().prop_map(Step::Unbind),
        5 => (any::<usize>(), p()).prop_map(|(i, to)| Step::Name(i, to)),
        4 => (n(), p(), any::<bool>()).prop_map(|(x, who, used)| Step::Call(x, who, used)),
        2 => (n(), 0..4_u8).prop_map(|(x, state)| Step::Put(x, state)),
        1 => Just(Step::ExpireDue),
        1 => Just(Step::Forget),
    ]
}

fn bind(world: &mut World, model: &mut Model, joins: Joins, (direction, ttl_s): Terms, step: &Step) {
    let now = world.now.as_millis();
    let mut request = match joins {
        Joins::Axg { x, a, g } => axg(x, a, g),
        Joins::Gxb { x, g, b } => gxb(x, g, b),
        Joins::Gxyb { x, g, y, b } => gxyb(x, g, y, b),
    };
    request.terms.direction = direction;
    request.expires = ttl_s.map(|s| world.at(s * 1_000));
    let until = request.expires.unwrap_or(Wall::NEVER).as_millis();
    let (rules, may) = model.against(joins, None, now);
    let answer = world.write(&Write::Bind(request));
    if agrees(&answer, &rules, &may, step) {
        let Ok(Written::Binding(binding)) = answer else {
            panic!("{answer:?}")
        };
        model.rows.push(Row {
            id: binding.id,
            joins,
            direction,
            from: now,
            until,
            passed_on: false,
            forgotten: false,
        });
    }
}

/// As [`agree`], where some rules may refuse and needn't.
fn agrees(answer: &Result<Written, Refused>, must: &[&str], may: &[&str], step: &Step) -> bool {
    if answer
        .as_ref()
        .is_err_and(|refused| may.contains(&refused.code()))
    {
        return false;
    }
    agree(answer, must, step)
}

/// Another group, person or direction of a binding.
fn update(
    world: &mut World,
    model: &mut Model,
    row: Row,
    request: UpdateRequest,
    becomes: Joins,
    step: &Step,
) {
    let now = world.now.as_millis();
    let direction = request.terms.direction.unwrap_or(row.direction);
    let (rules, may) = if becomes == row.joins {
        Default::default()
    } else {
        model.against(becomes, Some(row.id), now)
    };
    if agrees(&world.update(request), &rules, &may, step) {
        model.end(row.id, now, true);
        model.rows.push(Row {
            joins: becomes,
            direction,
            from: now,
            ..row
        });
        if becomes != row.joins {
            model.callees.forget(row.id);
        }
    }
}

fn take(world: &mut World, model: &mut Model, step: &Step) {
    world.later(10);
    let now = world.now.as_millis();
    let never = Wall::NEVER.as_millis();
    let group =
        |model: &Model, i: usize| (!model.groups.is_empty()).then(|| model.groups[i % model.groups.len()]);
    let live: Vec<Row> = model.live(now).copied().collect();
    let pick = |i: usize| (!live.is_empty()).then(|| live[i % live.len()]);
    match *step {
        Step::Wait(ms) => world.later(ms),
        Step::AddGroup(bits) => {
            if model.groups.len() - model.removed.len() == 4 {
                return;
            }
            let members: Vec<Person> = (0..PEOPLE.len())
                .filter(|i| bits & (1 << i) != 0)
                .map(|i| PEOPLE[i])
                .collect();
            let request = GroupRequest {
                pool: "gxyb".into(),
                name: None,
                numbers: members.iter().map(|who| real(who)).collect(),
                default: None,
            };
            let Ok(Written::Group(made)) = world.write(&Write::AddGroup(request)) else {
                panic!("no group");
            };
            assert!(!model.groups.contains(&made.id), "an id is never given twice");
            model.groups.push(made.id);
            model.members.extend(members.into_iter().map(|who| Member {
                g: made.id,
                who,
                from: now,
                until: never,
            }));
        }
        Step::RemoveGroup(i) => {
            let Some(g) = group(model, i) else { return };
            let mut rules = Vec::new();
            if !model.is_live(g) {
                rules.push("unknown_group");
            }
            if live.iter().any(|row| row.joins.group() == g) {
                rules.push("group_bound");
            }
            if agree(&world.write(&Write::RemoveGroup { group: g }), &rules, step) {
                model.removed.push(g);
            }
        }
        Step::Join(i, who) => {
            let Some(g) = group(model, i) else { return };
            let who = PEOPLE[who];
            let is_in = model.is_live(g) && model.is_member(g, who, now);
            let rules = if is_in {
                Vec::new()
            } else {
                model.against_member(g, who, now)
            };
            let numbers = vec![real(who)];
            if agree(&world.write(&Write::Join { group: g, numbers }), &rules, step) && !is_in {
                model.members.push(Member {
                    g,
                    who,
                    from: now,
                    until: never,
                });
            }
        }
        Step::Leave(i, who) => {
            let Some(g) = group(model, i) else { return };
            let (who, numbers) = (PEOPLE[who], vec![real(PEOPLE[who])]);
            let rules: &[&str] = if model.is_live(g) { &[] } else { &["unknown_group"] };
            if agree(&world.write(&Write::Leave { group: g, numbers }), rules, step) {
                let mut members = model.members.iter_mut();
                if let Some(member) = members.find(|m| (m.g, m.who) == (g, who) && m.until > now) {
                    member.until = now;
                }
                // Who comes back is not the default again by that alone.
                model.defaults.retain(|default| *default != (g, who));
            }
        }
        Step::Default(i, who) => {
            let Some(g) = group(model, i) else { return };
            let who = who.map(|who| PEOPLE[who]);
            let mut rules = Vec::new();
            if !model.is_live(g) {
                rules.push("unknown_group");
            }
            if who.is_some_and(|who| !model.is_member(g, who, now)) {
                rules.push("not_member");
            }
            let write = Write::SetGroup {
                group: g,
                name: None,
                default: Some(who.map(real)),
            };
            if agree(&world.write(&write), &rules, step) {
                model.defaults.retain(|(of, _)| *of != g);
                model.defaults.extend(who.map(|who| (g, who)));
            }
        }
        Step::Axg(x, a, g, terms) => {
            let Some(g) = group(model, g) else { return };
            let (x, a) = (NUMBERS[x], PEOPLE[a]);
            bind(world, model, Joins::Axg { x, a, g }, terms, step);
        }
        Step::Gxb(x, g, b, terms) => {
            let Some(g) = group(model, g) else { return };
            let (x, b) = (NUMBERS[x], PEOPLE[b]);
            bind(world, model, Joins::Gxb { x, g, b }, terms, step);
        }
        Step::Gxyb(x, g, y, b, terms) => {
            let Some(g) = group(model, g) else { return };
            let (x, y, b) = (NUMBERS[x], NUMBERS[y], PEOPLE[b]);
            bind(world, model, Joins::Gxyb { x, g, y, b }, terms, step);
        }
        Step::Update(i, g, who, direction) => {
            let Some(row) = pick(i) else { return };
            let g = g.and_then(|g| group(model, g));
            let (new_g, new) = (g.unwrap_or(row.joins.group()), who.map(|who| PEOPLE[who]));
            let mut request = UpdateRequest::of(row.id);
            request.group = g;
            request.terms.direction = direction;
            let becomes = match row.joins {
                Joins::Axg { x, a, .. } => {
                    request.a = new.map(real);
                    let a = new.unwrap_or(a);
                    Joins::Axg { x, a, g: new_g }
                }
                Joins::Gxb { x, b, .. } => {
                    request.b = new.map(real);
                    let b = new.unwrap_or(b);
                    Joins::Gxb { x, g: new_g, b }
                }
                Joins::Gxyb { x, y, b, .. } => {
                    request.b = new.map(real);
                    let b = new.unwrap_or(b);
                    Joins::Gxyb { x, g: new_g, y, b }
                }
            };
            update(world, model, row, request, becomes, step);
        }
        Step::Unbind(i) => {
            let Some(row) = pick(i) else { return };
            world
                .write(&Write::Unbind(Unbind::Id(row.id)))
                .expect("a live binding");
            model.end(row.id, now, false);
        }
        Step::Name(i, to) => {
            let Some(row) = pick(i) else { return };
            let (id, to) = (row.id, PEOPLE[to]);
            let mut rules = Vec::new();
            if !model.is_member(row.joins.group(), to, now) {
                rules.push("not_member");
            }
            if matches!(row.joins, Joins::Axg { a, .. } if a == to) {
                rules.push("same_number");
            }
            if agree(&world.callee(id, to), &rules, step) {
                model.callees.name(id, to, now);
            }
        }
        Step::Call(x, who, used) => call(world, model, (NUMBERS[x], PEOPLE[who], used), step),
        Step::Put(number, state) => {
            model.states[number] = put(world, NUMBERS[number], state, Freeze::Complaint);
        }
        Step::ExpireDue => {
            for id in world.table.due(world.now, 100) {
                world.write(&Write::Expire { id }).expect("known");
            }
        }
        Step::Forget => {
            let change = world.table.planner().forget_before(world.now, world.now, 100);
            world.apply(change);
            for row in model.rows.iter_mut().filter(|row| row.until <= now - READABLE) {
                row.forgotten = true;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn members_and_those_whom_they_call_reach_each_other_as_the_model_says(
        steps in prop::collection::vec(step(), 1..70),
        ago in prop::collection::vec(0..READABLE, 1..12),
    ) {
        let mut world = World::new();
        world.pool(Mode::Axg, &NUMBERS[..2]);
        world.pool(Mode::Gxb, &NUMBERS[2..4]);
        world.pool(Mode::Gxyb, &NUMBERS[4..]);
        let mut model = Model::default();
        take(&mut world, &mut model, &Step::AddGroup(0b0_0110));
        take(&mut world, &mut model, &Step::AddGroup(0b1_1000));
        for step in &steps {
            take(&mut world, &mut model, step);
            agree_on_all(&world, &model, (&NUMBERS, &PEOPLE), step);
        }
        // As of moments that have been: whoever was a member then, or bound, and never who came after.
        for at in ago.into_iter().map(|ago| world.now.as_millis() - ago) {
            for (dialled, caller) in NUMBERS.iter().flat_map(|n| PEOPLE.iter().map(move |p| (n, p))) {
                let attempt = Attempt { arrived: Wall::from_millis(at), ..world.attempt(dialled, caller) };
                let decided = heard(&route(&world.table, &attempt));
                match model.leads(dialled, caller, at) {
                    // Whom he was to reach is known for now alone; but it was a member then.
                    Some((row, Leads::Back(_))) => if let Ok((called, _)) = decided {
                        let was_in = |who: &&Person| digits(who) == called
                            && model.is_member(row.joins.group(), who, at);
                        prop_assert!(PEOPLE.iter().any(|who| was_in(&who)), "{} at {}: {}", caller, at, called);
                    },
                    Some((_, Leads::To(..))) | None => {
                        let ought = expected(model.route(dialled, caller, at)).ok();
                        prop_assert_eq!(decided.ok(), ought, "{} by {} at {}", dialled, caller, at);
                    }
                }
            }
        }
        prop_assert_eq!(world.table.calls_at_once(), 0);
        replayed(&world)?;
    }
}
