//! Work numbers and their pairings at the edges: while an end isn't written down, and as of moments before a change.

use super::*;
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

#[test]
fn a_pairing_rests_from_the_end_of_its_work_number_and_not_from_when_that_is_written_down() {
    let (mut world, pairing) = over(A, Direction::Both);
    let until = world.now;
    world.later(60_000);
    for id in world.table.due(world.now, 9) {
        world.write(&Write::Expire { id }).expect("it is over");
    }
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
