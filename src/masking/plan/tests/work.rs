//! Work numbers and their pairings at the edges: while an end isn't written down, and as of moments before a change.

use super::*;
use crate::masking::quarantine;
use crate::masking::reason::Reason;
use crate::masking::request::Import;
use crate::masking::route::route;
use crate::masking::support::{paired, work};

const X: &str = "17000000041";

fn world() -> World {
    let mut world = World::new();
    world.pool(Mode::Xb, &[X]);
    world
}

/// A work number of B's that is over after two minutes, which nobody has written down yet, and the pairing on it.
fn over(customer: &str, direction: Direction) -> (World, Id) {
    let mut world = world();
    let mut first = work(X, B);
    first.expires = Some(world.at(120_000));
    world.try_bind(first).expect("free keys");
    let mut pairing = paired(X, customer);
    pairing.terms.direction = direction;
    let pairing = world.try_bind(pairing).expect("free keys").id;
    world.later(120_000);
    (world, pairing)
}

fn reason(world: &World, dialled: &str, caller: &str) -> Option<Reason> {
    match world.call(dialled, caller) {
        Decision::Connect(_) | Decision::Collect(_) | Decision::Ask(_) => None,
        Decision::Refuse(refusal) => Some(refusal.reason),
    }
}

#[test]
fn a_new_work_number_doesnt_find_the_pairings_of_the_one_before_it_on_x() {
    let (mut world, pairing) = over(A, Direction::Both);
    world.try_bind(work(X, B)).expect("it is over");
    world.later(10);
    assert_eq!(reason(&world, X, A), Some(Reason::Expired));
    assert_eq!(reason(&world, X, B), Some(Reason::NoCallee));
    assert!(world.table.binding(pairing).expect("kept").ended.is_some());
    world.try_bind(paired(X, A)).expect("his key is free");
    world.later(10);
    assert_eq!(reason(&world, X, A), None);
}

#[test]
fn an_imported_work_number_ends_them_as_well() {
    let (mut world, pairing) = over(A, Direction::Both);
    let import = Import {
        request: work(X, B),
        id: Some(Id::from_bits(7)),
        created: Some(world.at(-5_000)),
    };
    world.write(&Write::Import(Box::new(import))).expect("it is over");
    assert!(world.table.binding(pairing).expect("kept").ended.is_some());
    assert!(world.table.binding(Id::from_bits(7)).is_some());
}

/// Writes down whatever is over by now.
fn expire(world: &mut World) {
    for id in world.table.due(world.now, 9) {
        world.write(&Write::Expire { id }).expect("it is over");
    }
}

/// What was said of whole numbers that rest.
fn quarantine(world: &World, number: &str) {
    let number = number.parse().expect("a quarantine");
    world.table.set_quarantine(quarantine::Config {
        number,
        ..quarantine::Config::default()
    });
}

/// The work number of C, with A and `customer` paired, as a backup of elsewhere has them.
fn of_backup(customer: &str) -> [Record; 3] {
    let mut other = world();
    other.later(10);
    let requests = [work(X, C), paired(X, customer), paired(X, A)];
    requests.map(|request| {
        let binding = other.try_bind(request).expect("free keys");
        Record::Binding((*binding).clone())
    })
}

#[test]
fn a_work_number_that_is_put_back_ends_them_as_well_in_whichever_order_its_own_come_back() {
    for order in [[0, 1, 2], [1, 2, 0], [2, 0, 1]] {
        // A was the customer of one who is over, and is another's now.
        let (mut world, pairing) = over(A, Direction::Both);
        quarantine(&world, "1h soft");
        let until = world.now;
        world.later(5_000);
        let records = of_backup(D);
        for record in order.map(|index| records[index].clone()) {
            world.write(&Write::put_back(record)).expect("it is over");
            world.later(10);
        }
        let before = world.table.binding(pairing).expect("kept");
        assert_eq!(before.ended, Some((until, Ended::Expired)));
        expire(&mut world);
        for customer in [A, D] {
            let Decision::Connect(plan) = world.call(X, customer) else {
                panic!("{customer} is paired with the employee of the backup: {order:?}")
            };
            assert_eq!(plan.called(), real(C));
        }
    }
}

#[test]
fn a_work_number_that_is_put_back_with_more_time_than_it_had_ends_its_own_pairings_of_before() {
    let (mut world, pairing) = over(A, Direction::Both);
    let is_work = |record: &Record| matches!(record, Record::Binding(b) if b.parties.a().is_none());
    let first = world.table.records().find(is_work);
    let Some(Record::Binding(mut backup)) = first else {
        panic!("a work number")
    };
    backup.expires = world.at(500_000);
    let id = backup.id;
    world
        .write(&Write::put_back(Record::Binding(backup)))
        .expect("it is its own");
    world.later(10);
    expire(&mut world);
    assert!(world.table.binding(id).expect("kept").ended.is_none());
    assert!(world.table.binding(pairing).expect("kept").ended.is_some());
    world.try_bind(paired(X, A)).expect("his key is free");
    world.later(10);
    assert_eq!(reason(&world, X, A), None);
}

#[test]
fn who_was_a_customer_of_the_one_before_waits_for_the_work_number_as_if_the_end_had_been_written_down() {
    let answer = |is_written: bool, rest: &str| {
        let (mut world, _) = over(A, Direction::Both);
        quarantine(&world, rest);
        world.later(10);
        if is_written {
            expire(&mut world);
        }
        let bound = world.try_bind(work(X, A));
        bound.map(|bound| bound.since).map_err(|refused| refused.code())
    };
    assert_eq!(answer(false, "1h hard"), Err("key_quarantined"));
    for rest in ["1h hard", "1h soft"] {
        assert_eq!(answer(false, rest), answer(true, rest));
    }
}

#[test]
fn a_pairing_rests_from_the_end_of_its_work_number_and_not_from_when_that_is_written_down() {
    let (mut world, pairing) = over(A, Direction::Both);
    let until = world.now;
    world.later(60_000);
    expire(&mut world);
    assert_eq!(world.table.binding(pairing).expect("kept").until(), until);
}

#[test]
fn a_customer_of_a_work_number_that_is_over_is_told_what_strangers_are() {
    let (world, _) = over(A, Direction::BToA);
    assert_eq!(reason(&world, X, A), Some(Reason::Expired));
}

#[test]
fn whom_the_employee_reaches_is_the_last_who_was_paired_when_he_called_though_another_pairing_changed_since()
{
    let mut world = world();
    world.try_bind(work(X, B)).expect("free keys");
    let first = world.try_bind(paired(X, A)).expect("free keys").id;
    world.later(10);
    world.try_bind(paired(X, C)).expect("free keys");
    world.later(10);
    let before = world.attempt(X, B);
    world.later(10);
    let mut update = UpdateRequest::of(first);
    update.a = Some(real(D));
    world.update(update).expect("a free key");
    let Decision::Connect(plan) = route(&world.table, &before) else {
        panic!("he was paired then")
    };
    assert_eq!(plan.called(), real(C));
}

#[test]
fn what_was_unbound_in_the_same_group_of_writes_rests_already() {
    let mut world = world();
    let id = world.try_bind(work(X, B)).expect("free keys").id;
    world.later(10);
    let mut planner = world.table.planner();
    let unbind = Write::Unbind(Unbind::Id(id));
    let unbound = planner.plan(&unbind, world.now, &mut world.chance);
    assert!(unbound.is_ok(), "{unbound:?}");
    let bind = Write::Bind(work(X, C));
    let bound = planner.plan(&bind, world.now, &mut world.chance);
    assert_eq!(bound.map_err(|refused| refused.code()), Err("key_quarantined"));
}
