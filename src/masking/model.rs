//! The law once more, written so simply that it can't be wrong: a list of rows, searched from end to end.
//! Random writes and attempts must come out the same as in the table.

#[cfg(test)]
mod axe;
#[cfg(test)]
mod common;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod modes;
#[cfg(test)]
mod work;

use proptest::prelude::*;

use super::binding::{Direction, Parties, Side};
use super::change::{Change, Record};
use super::listing::{BindingFilter, Living};
use super::reason::Reason;
use super::request::{OnConflict, Refused, Unbind, UpdateRequest, Write, Written};
use super::route::{Attempt, Decision, route};
use super::support::{World, axb, real, tel};
use super::table::Table;
use crate::base::id::Id;
use crate::base::number::{RealNumber, Tel};
use crate::base::time::Wall;

const XS: [&str; 2] = ["17000000001", "17000000002"];
const PEOPLE: [&str; 4] = ["13800000001", "13800000002", "13800000003", "13800000004"];

/// What can be done next. Indices are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Wait(i64),
    Bind {
        x: usize,
        a: usize,
        b: usize,
        ttl_s: Option<i64>,
        direction: Direction,
        on_conflict: OnConflict,
    },
    Update {
        binding: usize,
        b: usize,
        ttl_s: Option<i64>,
    },
    Unbind(usize),
    UnbindAll(usize),
    ExpireDue,
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    let direction = prop_oneof![
        Just(Direction::Both),
        Just(Direction::AToB),
        Just(Direction::BToA)
    ];
    let on_conflict = prop_oneof![
        Just(OnConflict::Fail),
        Just(OnConflict::Return),
        Just(OnConflict::Extend)
    ];
    let ttl = || prop::option::of(60..150_i64);
    prop_oneof![
        4 => (0..50_000_i64).prop_map(Step::Wait),
        5 => (0..XS.len(), 0..PEOPLE.len(), 0..PEOPLE.len(), ttl(), direction, on_conflict).prop_map(
            |(x, a, b, ttl_s, direction, on_conflict)| Step::Bind { x, a, b, ttl_s, direction, on_conflict }
        ),
        3 => (any::<usize>(), 0..PEOPLE.len(), ttl())
            .prop_map(|(binding, b, ttl_s)| Step::Update { binding, b, ttl_s }),
        2 => any::<usize>().prop_map(Step::Unbind),
        1 => (0..XS.len()).prop_map(Step::UnbindAll),
        2 => Just(Step::ExpireDue),
        1 => Just(Step::Forget),
    ]
}

/// One version of one binding, with the time for which it counts.
#[derive(Clone, Debug)]
struct Row {
    id: Id,
    x: Tel,
    a: RealNumber,
    b: RealNumber,
    direction: Direction,
    from: Wall,
    until: Wall,
    /// Neither updated nor unbound.
    newest: bool,
}

impl Row {
    fn has(&self, x: Tel, number: RealNumber) -> bool {
        self.x == x && (self.a == number || self.b == number)
    }
}

/// The rows of everything that was ever bound.
#[derive(Default)]
struct Model(Vec<Row>);

impl Model {
    fn live(&self, now: Wall) -> impl Iterator<Item = &Row> {
        self.0.iter().filter(move |row| row.newest && now < row.until)
    }

    fn end(&mut self, id: Id, at: Wall) {
        for row in self.0.iter_mut().filter(|row| row.id == id && row.newest) {
            row.until = row.until.min(at.max(row.from));
            row.newest = false;
        }
    }

    fn route(&self, attempt: &Attempt) -> Result<(RealNumber, Id), Reason> {
        let caller = RealNumber::new(attempt.caller.ok_or(Reason::Unidentified)?);
        let mut reason = Reason::NoBinding;
        for row in self.0.iter().filter(|row| row.has(attempt.dialled, caller)) {
            if row.from <= attempt.arrived && attempt.arrived < row.until {
                let (side, called) = if row.a == caller {
                    (Side::A, row.b)
                } else {
                    (Side::B, row.a)
                };
                return match row.direction.allows(side) {
                    true => Ok((called, row.id)),
                    false => Err(Reason::Direction),
                };
            }
            if row.from <= attempt.arrived {
                reason = Reason::Expired;
            }
        }
        Err(reason)
    }
}

fn told(decision: Decision) -> Result<(RealNumber, Id), Reason> {
    match decision {
        Decision::Connect(plan) => Ok((plan.called(), plan.binding().id)),
        Decision::Ask(question) => panic!("{question:?}"),
        Decision::Collect(collect) => panic!("{collect:?} though nobody has an extension"),
        Decision::Refuse(refusal) => Err(refusal.reason),
    }
}

/// Does one step in the table and in the model, and compares what they say to it.
fn take(world: &mut World, model: &mut Model, ids: &mut Vec<Id>, step: &Step) {
    let now = world.now;
    match step {
        Step::Wait(ms) => world.later(*ms),
        Step::Bind {
            x,
            a,
            b,
            ttl_s,
            direction,
            on_conflict,
        } => {
            let mut request = axb(XS[*x], PEOPLE[*a], PEOPLE[*b]);
            request.expires = ttl_s.map(|s| world.at(s * 1_000));
            request.terms.direction = *direction;
            request.on_conflict = *on_conflict;
            let x = tel(XS[*x]);
            let (a, b) = (real(PEOPLE[*a]), real(PEOPLE[*b]));
            let until = request.expires.unwrap_or(Wall::NEVER);
            let held = model.live(now).find(|row| row.has(x, a));
            let held = held
                .or_else(|| model.live(now).find(|row| row.has(x, b)))
                .cloned();
            let answer = world.write(&Write::Bind(request));
            let (row, binding) = match (answer, held) {
                (Err(refused), _) if a == b => {
                    assert_eq!(refused, Refused::SameNumber);
                    return;
                }
                (Err(refused), Some(held)) => {
                    let same = (held.a, held.b) == (a, b);
                    assert!(!same || *on_conflict == OnConflict::Fail);
                    assert_eq!((refused.code(), refused.binding()), ("key_taken", Some(held.id)));
                    return;
                }
                (Ok(Written::Binding(binding)), None) => {
                    ids.push(binding.id);
                    (None, binding)
                }
                (Ok(Written::Existing(binding)), Some(held)) => {
                    assert_eq!((held.id, binding.parties), (binding.id, Parties::Axb { a, b }));
                    if *on_conflict == OnConflict::Return {
                        return;
                    }
                    (Some(held), binding)
                }
                (answer, held) => panic!("{answer:?} though {held:?} holds the key"),
            };
            let direction = row.as_ref().map_or(*direction, |row| row.direction);
            model.end(binding.id, binding.since);
            model.0.push(Row {
                id: binding.id,
                x,
                a,
                b,
                direction,
                from: binding.since,
                until,
                newest: true,
            });
        }
        Step::Update { binding, b, ttl_s } => {
            if ids.is_empty() {
                return;
            }
            let id = ids[binding % ids.len()];
            let mut request = UpdateRequest::of(id);
            request.b = Some(real(PEOPLE[*b]));
            request.expires = ttl_s.map(|s| world.at(s * 1_000));
            let row = model.live(now).find(|row| row.id == id).cloned();
            let b = real(PEOPLE[*b]);
            let taken = row
                .as_ref()
                .and_then(|row| {
                    model
                        .live(now)
                        .find(|other| other.id != id && other.has(row.x, b))
                })
                .map(|other| other.id);
            match (world.update(request.clone()), row) {
                (Err(refused), None) => {
                    assert!(["binding_ended", "unknown_binding"].contains(&refused.code()))
                }
                (Err(Refused::SameNumber), Some(row)) => assert_eq!(row.a, b),
                (Err(refused), Some(_)) => {
                    assert_eq!((refused.code(), refused.binding()), ("key_taken", taken));
                }
                (Ok(Written::Binding(new)), Some(row)) => {
                    assert_eq!(taken, None);
                    model.end(id, new.since);
                    model.0.push(Row {
                        b,
                        from: new.since,
                        until: request.expires.unwrap_or(row.until),
                        ..row
                    });
                }
                (answer, row) => panic!("{answer:?} for {row:?}"),
            }
        }
        Step::Unbind(binding) => {
            if ids.is_empty() {
                return;
            }
            let id = ids[binding % ids.len()];
            let live = model.live(now).any(|row| row.id == id);
            let answer = world.write(&Write::Unbind(Unbind::Id(id)));
            assert_eq!(answer.is_ok(), live);
            if live {
                model.end(id, now);
            }
        }
        Step::UnbindAll(x) => {
            let x = tel(XS[*x]);
            let mut live: Vec<Id> = model
                .live(now)
                .filter(|row| row.x == x)
                .map(|row| row.id)
                .collect();
            live.sort();
            let write = Write::Unbind(Unbind::X(crate::base::number::VirtualNumber::new(x)));
            assert_eq!(world.write(&write), Ok(Written::Unbound(live.clone())));
            for id in live {
                model.end(id, now);
            }
        }
        Step::ExpireDue => {
            for id in world.table.due(now, 100) {
                world.write(&Write::Expire { id }).expect("known");
            }
        }
        Step::Forget => {
            let change = world.table.planner().forget_before(now, now, 100);
            world.apply(change);
        }
    }
}

fn all(table: &Table) -> Vec<Record> {
    table.records().collect()
}

/// The log, read again, gives the same table.
fn replayed(world: &World) -> Result<Table, TestCaseError> {
    let replay = Table::new();
    for (i, change) in world.changes.iter().enumerate() {
        let mut bytes = Vec::new();
        change.encode(&mut bytes);
        let change = Change::decode(&bytes).expect("just written");
        replay.apply(i as u64 + 1, &change);
    }
    prop_assert_eq!(all(&replay), all(&world.table));
    prop_assert_eq!(replay.counts(), world.table.counts());
    Ok(replay)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_table_decides_as_the_model_and_a_replay_as_the_table(
        steps in prop::collection::vec(step(), 1..40),
        attempts in prop::collection::vec((0..XS.len(), 0..PEOPLE.len(), 0..600_000_i64), 1..40),
        half in any::<prop::sample::Index>(),
    ) {
        let mut world = World::new();
        world.add(XS[1]);
        let (mut model, mut ids) = (Model::default(), Vec::new());
        let mut snapshot = (0, Vec::new());
        let half = half.index(steps.len());
        for (i, step) in steps.iter().enumerate() {
            if i == half {
                snapshot = (world.table.seq(), all(&world.table));
            }
            take(&mut world, &mut model, &mut ids, step);
            for (x, caller) in XS.iter().flat_map(|x| PEOPLE.iter().map(move |caller| (x, caller))) {
                let attempt = world.attempt(x, caller);
                let (decided, expected) = (told(route(&world.table, &attempt)), model.route(&attempt));
                // What is forgotten is not told from what never was.
                let forgotten = (decided, expected) == (Err(Reason::NoBinding), Err(Reason::Expired));
                prop_assert!(forgotten || decided == expected, "{:?}: {:?}, not {:?}", attempt, decided, expected);
            }
        }

        // The log, as it is on disk, gives the same table; so does a snapshot with the log's tail.
        let replay = Table::new();
        let restored = Table::new();
        for record in &snapshot.1 {
            restored.load(record);
        }
        restored.loaded(snapshot.0);
        for (i, change) in world.changes.iter().enumerate() {
            let mut bytes = Vec::new();
            change.encode(&mut bytes);
            let change = Change::decode(&bytes).expect("just written");
            let seq = i as u64 + 1;
            replay.apply(seq, &change);
            replay.apply(seq, &change);
            restored.apply(seq, &change);
        }
        prop_assert_eq!(all(&replay), all(&world.table));
        prop_assert_eq!(all(&restored), all(&world.table));
        prop_assert_eq!(replay.counts(), world.table.counts());
        prop_assert_eq!(replay.seq(), world.table.seq());

        for (x, caller, ago) in attempts {
            let mut attempt = world.attempt(XS[x], PEOPLE[caller]);
            attempt.arrived = world.at(-ago);
            let decided = told(route(&world.table, &attempt));
            prop_assert_eq!(told(route(&replay, &attempt)), decided);
            let expected = model.route(&attempt);
            let forgotten = (decided, expected) == (Err(Reason::NoBinding), Err(Reason::Expired));
            prop_assert!(forgotten || decided == expected, "{:?}: {:?}, not {:?}", attempt, decided, expected);
        }

        // Listings agree with the model on who lives.
        for party in PEOPLE {
            let filter = BindingFilter { a: Some(real(party)), living: Living::Live, ..Default::default() };
            let listed = world.table.bindings(&filter, world.now, None, 100).items;
            let mut expected: Vec<Id> =
                model.live(world.now).filter(|row| row.a == real(party)).map(|row| row.id).collect();
            expected.sort();
            prop_assert_eq!(listed.iter().map(|binding| binding.id).collect::<Vec<_>>(), expected);
        }
    }
}
