//! Tests of [`route`](super): AXB, the order of judgement, explanations.

use super::super::binding::{Direction, Rare, Terms};
use super::super::inventory::{Freeze, Standing};
use super::super::request::{BindRequest, TermsChange, UpdateRequest, Write};
use super::super::support::{A, B, C, World, X, axb, real, tel, x};
use super::*;
use crate::base::number::NumberPlan;

fn reached(decision: &Decision) -> Option<(RealNumber, Shown)> {
    match decision {
        Decision::Connect(plan) => Some((plan.called(), plan.shown())),
        Decision::Collect(_) | Decision::Ask(_) | Decision::Refuse(_) => None,
    }
}

fn reason(decision: &Decision) -> Option<Reason> {
    match decision {
        Decision::Connect(_) | Decision::Collect(_) => None,
        Decision::Ask(question) => panic!("{question:?}"),
        Decision::Refuse(refusal) => Some(refusal.reason),
    }
}

fn one_way(direction: Direction) -> BindRequest {
    let mut request = axb(X, A, B);
    request.terms.direction = direction;
    request
}

#[test]
fn each_row_of_axb_reaches_the_other_party_who_sees_x() {
    let mut world = World::new();
    world.add("17000000002");
    let id = world.bind(X, A, B);
    for (caller, party, called) in [(A, Party::A, B), (B, Party::B, A)] {
        let Decision::Connect(plan) = world.call(X, caller) else {
            panic!("{party:?} is refused");
        };
        assert_eq!(plan.called(), real(called));
        assert_eq!(plan.shown(), Shown::Virtual(x(X)));
        assert_eq!((plan.caller(), plan.binding().id), (party, id));
        assert_eq!(plan.number().x, x(X));
    }
    assert_eq!(reason(&world.call(X, C)), Some(Reason::NoBinding));
    assert_eq!(reason(&world.call("17000000002", A)), Some(Reason::NoBinding));
    assert_eq!(reason(&world.call("17000000003", A)), Some(Reason::NotOurs));
}

#[test]
fn many_pairs_on_one_number_keep_apart() {
    let mut world = World::new();
    world.bind(X, A, B);
    world.bind(X, C, "13600000004");
    let called = |caller| reached(&world.call(X, caller)).map(|(called, _)| called);
    assert_eq!(called(A), Some(real(B)));
    assert_eq!(called(C), Some(real("13600000004")));
    assert_eq!(called("13600000004"), Some(real(C)));
}

#[test]
fn a_one_way_binding_lets_its_party_call_and_tells_the_other_the_direction_is_wrong() {
    for (direction, may, may_not) in [(Direction::AToB, A, B), (Direction::BToA, B, A)] {
        let mut world = World::new();
        let id = world.try_bind(one_way(direction)).expect("free keys").id;
        assert_eq!(
            reached(&world.call(X, may)),
            Some((real(may_not), Shown::Virtual(x(X))))
        );
        let Decision::Refuse(refusal) = world.call(X, may_not) else {
            panic!("{direction:?} lets the other call");
        };
        assert_eq!(refusal.reason, Reason::Direction);
        assert_eq!(refusal.binding.map(|binding| binding.id), Some(id));
    }
}

/// What can be wrong with an attempt, in the order of judgement.
const FAULTS: [Reason; 7] = [
    Reason::NotOurs,
    Reason::AccountSuspended,
    Reason::NumberFrozen,
    Reason::Loop,
    Reason::Unidentified,
    Reason::Direction,
    Reason::Expired,
];

/// The decision on an attempt with these faults, on a number that is bound and would connect.
fn judged_with(faults: &[Reason]) -> Option<Reason> {
    let mut world = World::new();
    let has = |fault| faults.contains(&fault);
    let direction = if has(Reason::Direction) {
        Direction::BToA
    } else {
        Direction::Both
    };
    let id = world.try_bind(one_way(direction)).expect("free keys").id;
    if has(Reason::Expired) {
        world.unbind(id);
        // Where a live rule also stands, it is another pair's: the direction is A's to get wrong.
        if has(Reason::Direction) {
            world.later(1);
            world.try_bind(one_way(direction)).expect("keys freed");
        }
    }
    world.later(1);
    let mut attempt = world.attempt(X, A);
    if has(Reason::Loop) {
        world.add(A);
    }
    if has(Reason::Unidentified) {
        attempt.caller = None;
    }
    if has(Reason::NumberFrozen) {
        let state = NumberState::Frozen(Freeze::Carrier);
        world
            .write(&Write::SetNumberState { x: x(X), state })
            .expect("in service");
    }
    if has(Reason::AccountSuspended) {
        world
            .write(&Write::set_standing("default", Standing::Suspended))
            .expect("the account is there");
    }
    if has(Reason::NotOurs) {
        attempt.dialled = tel("17000000009");
    }
    reason(&route(&world.table, &attempt))
}

#[test]
fn of_two_reasons_the_one_that_stands_higher_is_given() {
    assert_eq!(judged_with(&[]), None);
    for (i, high) in FAULTS.iter().enumerate() {
        assert_eq!(judged_with(&[*high]), Some(*high));
        for low in FAULTS.iter().skip(i + 1) {
            // A caller without identity is no number of ours: these two can't meet.
            if (*high, *low) != (Reason::Loop, Reason::Unidentified) {
                assert_eq!(judged_with(&[*high, *low]), Some(*high), "{high:?} over {low:?}");
            }
        }
    }
    assert!(FAULTS.is_sorted());
}

#[test]
fn a_locked_number_still_connects_and_a_released_one_is_none_of_ours() {
    let mut world = World::new();
    let id = world.bind(X, A, B);
    let state = NumberState::Locked;
    world
        .write(&Write::SetNumberState { x: x(X), state })
        .expect("in service");
    assert!(reached(&world.call(X, A)).is_some());
    world.unbind(id);
    world
        .write(&Write::ReleaseNumber { x: x(X) })
        .expect("nothing bound");
    let Decision::Refuse(refusal) = world.call(X, A) else {
        panic!("connected");
    };
    assert_eq!((refusal.reason, refusal.number), (Reason::NotOurs, None));
}

#[test]
fn a_party_that_became_a_number_of_ours_is_not_called() {
    let mut world = World::new();
    world.bind(X, A, B);
    world.add(B);
    assert_eq!(reason(&world.call(X, A)), Some(Reason::Loop));
    assert_eq!(reason(&world.call(X, B)), Some(Reason::Loop));
}

#[test]
fn an_attempt_that_arrived_before_the_unbind_still_reaches_the_old_party() {
    let mut world = World::new();
    let id = world.bind(X, A, B);
    world.later(10);
    let early = world.attempt(X, A);
    world.later(10);
    world.unbind(id);
    assert_eq!(reason(&world.call(X, A)), Some(Reason::Expired));
    world.bind(X, A, C);
    world.later(1);
    let late = world.attempt(X, A);
    assert_eq!(reached(&route(&world.table, &early)).map(|r| r.0), Some(real(B)));
    assert_eq!(reached(&route(&world.table, &late)).map(|r| r.0), Some(real(C)));
}

#[test]
fn a_key_given_to_somebody_else_within_one_millisecond_never_reaches_the_new_party() {
    let mut world = World::new();
    let id = world.bind(X, A, B);
    world.later(10);
    let attempt = world.attempt(X, A);
    assert_eq!(
        reached(&route(&world.table, &attempt)).map(|r| r.0),
        Some(real(B))
    );
    world.unbind(id);
    world.bind(X, A, C);
    assert_eq!(reason(&route(&world.table, &attempt)), Some(Reason::Expired));
}

#[test]
fn an_update_counts_for_attempts_that_arrive_after_it() {
    let mut world = World::new();
    let id = world.bind(X, A, B);
    world.later(10);
    let early = [world.attempt(X, A), world.attempt(X, B), world.attempt(X, C)];
    world.later(10);
    let mut request = UpdateRequest::of(id);
    request.b = Some(real(C));
    world.update(request).expect("C's key is free");
    let called = |attempt: &Attempt| reached(&route(&world.table, attempt)).map(|r| r.0);
    assert_eq!(called(&early[0]), Some(real(B)));
    assert_eq!(called(&early[1]), Some(real(A)));
    assert_eq!(reason(&route(&world.table, &early[2])), Some(Reason::NoBinding));
    assert_eq!(called(&world.attempt(X, A)), Some(real(C)));
    assert_eq!(called(&world.attempt(X, C)), Some(real(A)));
    assert_eq!(reason(&world.call(X, B)), Some(Reason::Expired));
}

#[test]
fn a_binding_stops_at_its_expiry_before_anybody_writes_that_down() {
    let mut world = World::new();
    let mut request = axb(X, A, B);
    request.expires = Some(world.at(60_000));
    let id = world.try_bind(request).expect("far enough ahead").id;
    world.later(59_999);
    let last = world.attempt(X, A);
    assert!(reached(&route(&world.table, &last)).is_some());
    world.later(1);
    assert_eq!(reason(&world.call(X, A)), Some(Reason::Expired));
    world.later(5_000);
    world.write(&Write::Expire { id }).expect("known");
    assert!(reached(&route(&world.table, &last)).is_some());
    assert_eq!(reason(&world.call(X, A)), Some(Reason::Expired));
}

#[test]
fn an_attempt_that_arrived_before_the_binding_was_made_reaches_nobody() {
    let mut world = World::new();
    let early = world.attempt(X, A);
    world.later(1);
    world.bind(X, A, B);
    assert_eq!(reason(&route(&world.table, &early)), Some(Reason::NoBinding));
}

#[test]
fn an_explanation_says_who_is_reached_and_masks_what_its_reader_must_not_see() {
    let mut world = World::new();
    let id = world.bind(X, A, B);
    let plan = NumberPlan::default();
    let attempt = world.attempt(X, A);
    let told = explain(&world.table, &attempt, &plan, Audience::Masked);
    assert_eq!(
        told.sentences,
        [
            format!("{X} is a number of pool default."),
            format!(
                "138****0001 is A of axb binding {id} (made {}, never expires).",
                world.now
            ),
            format!("The call goes to 139****0002, who sees {X}."),
        ]
    );
    let full = explain(&world.table, &attempt, &plan, Audience::Full);
    assert_eq!(
        full.sentences[2],
        format!("The call goes to +8613900000002, who sees {X}.")
    );
    let Verdict::Connect { called, binding, .. } = full.verdict else {
        panic!("refused");
    };
    assert_eq!((called.as_str(), binding), ("+8613900000002", id));
}

#[test]
fn an_explanation_of_a_refusal_ends_with_its_reason() {
    let plan = NumberPlan::default();
    let mut world = World::new();
    let id = world.try_bind(one_way(Direction::AToB)).expect("free keys").id;
    let last = |world: &World, dialled, caller| {
        let told = explain(
            &world.table,
            &world.attempt(dialled, caller),
            &plan,
            Audience::Masked,
        );
        told.sentences.last().cloned().unwrap_or_default()
    };
    assert_eq!(last(&world, X, B), "The binding lets only A call.");
    assert_eq!(last(&world, X, C), format!("137****0003 is not bound on {X}."));
    assert_eq!(
        last(&world, X, X),
        format!("{X} is itself a number of this server: that is a loop.")
    );
    assert_eq!(
        last(&world, "17000000009", A),
        "17000000009 is not a number of this server."
    );
    world.later(1);
    world.unbind(id);
    assert_eq!(
        last(&world, X, A),
        format!(
            "138****0001 was A of binding {id}, which was unbound {}.",
            world.now
        )
    );
}

#[test]
fn terms_can_be_changed_without_moving_the_expiry() {
    let mut world = World::new();
    let mut request = axb(X, A, B);
    request.expires = Some(world.at(3_600_000));
    let rare = Rare {
        user_data: Some("kept".into()),
        ..Rare::default()
    };
    request.terms = Terms::new(Direction::Both, false, rare);
    let made = world.try_bind(request).expect("free keys");
    world.later(1_000);
    let mut update = UpdateRequest::of(made.id);
    update.terms = TermsChange {
        direction: Some(Direction::BToA),
        ..TermsChange::default()
    };
    world.update(update).expect("live");
    let now = world.table.binding(made.id).expect("kept");
    assert_eq!((now.expires, now.version), (made.expires, 2));
    assert_eq!(now.terms.rare().user_data.as_deref(), Some("kept"));
    assert_eq!(reason(&world.call(X, A)), Some(Reason::Direction));
}
