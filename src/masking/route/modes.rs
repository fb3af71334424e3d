//! Tests of [`route`](super): the rows of AX and AXYB.

use super::super::binding::{Direction, Mode};
use super::super::request::{UpdateRequest, Write};
use super::super::support::{A, B, C, World, ax, axyb, real, x};
use super::*;
use crate::base::id::Id;
use crate::base::limits::CALLEE_TIME_MAX;
use crate::base::number::NumberPlan;

const AX: &str = "17000000011";
const X: &str = "17000000021";
const Y: &str = "17000000022";
const D: &str = "13600000004";

/// Who is called, and the number shown; or why nobody is.
fn led(decision: Decision) -> Result<(RealNumber, Shown), Reason> {
    match decision {
        Decision::Connect(plan) => Ok((plan.called(), plan.shown())),
        Decision::Ask(question) => panic!("{question:?}"),
        Decision::Collect(collect) => panic!("{collect:?} though nobody has an extension"),
        Decision::Refuse(refusal) => Err(refusal.reason),
    }
}

fn to(called: &str, shown: &str) -> Result<(RealNumber, Shown), Reason> {
    Ok((real(called), Shown::Virtual(x(shown))))
}

/// A world with [`AX`] bound to A.
fn ax_world() -> (World, Id) {
    let mut world = World::new();
    world.pool(Mode::Ax, &[AX, "17000000012"]);
    let id = world.try_bind(ax(AX, A)).expect("a free number").id;
    (world, id)
}

/// A world in which A and B reach each other by [`X`] and [`Y`].
fn axyb_world() -> (World, Id) {
    let mut world = World::new();
    world.pool(Mode::Axyb, &[X, Y, "17000000023", "17000000024"]);
    let id = world.try_bind(axyb(X, A, Y, B)).expect("free numbers").id;
    (world, id)
}

#[test]
fn anyone_reaches_a_by_his_x_and_a_sees_x() {
    let (world, id) = ax_world();
    for caller in [B, C, D] {
        assert_eq!(led(world.call(AX, caller)), to(A, AX));
    }
    let Decision::Connect(plan) = world.call(AX, B) else {
        panic!("refused");
    };
    assert_eq!((plan.caller(), plan.binding().id), (Party::N, id));
    assert_eq!(plan.calling(), Some(real(B)));
}

#[test]
fn a_reaches_by_his_own_x_whom_was_named_once_and_not_later() {
    let (mut world, id) = ax_world();
    assert_eq!(led(world.call(AX, A)), Err(Reason::NoCallee));
    let early = world.attempt(AX, A);
    world.later(1);
    world.callee(id, B).expect("a live binding");
    assert_eq!(led(world.call(AX, A)), to(B, AX));
    // Judged as of its arrival, however late.
    assert_eq!(led(route(&world.table, &early)), Err(Reason::NoCallee));
    let decisions = [world.call(AX, A), world.call(AX, A)];
    let [first, second] = decisions.map(|decision| claim(&world.table, decision, None).0);
    assert_eq!(led(first), to(B, AX));
    assert_eq!(led(second), Err(Reason::NoCallee));
    assert_eq!(led(world.call(AX, A)), Err(Reason::NoCallee));

    world.callee(id, C).expect("a live binding");
    world.later(60_000);
    assert_eq!(led(world.call(AX, A)), Err(Reason::NoCallee));
}

#[test]
fn what_a_call_took_can_be_given_back_unless_another_was_named_or_it_was_cleared() {
    let (mut world, id) = ax_world();
    let take = |world: &World| match claim(&world.table, world.call(AX, A), None).0 {
        Decision::Connect(plan) => *plan.callee().expect("a callback"),
        other @ (Decision::Collect(_) | Decision::Ask(_) | Decision::Refuse(_)) => panic!("{other:?}"),
    };
    world.callee(id, B).expect("a live binding");
    let taken = take(&world);
    world.table.give_back(&taken);
    assert_eq!(led(world.call(AX, A)), to(B, AX));

    let taken = take(&world);
    world.callee(id, C).expect("a live binding");
    world.table.give_back(&taken);
    assert_eq!(led(world.call(AX, A)), to(C, AX));
    // That the first was used takes nothing from the second.
    let used = Write::ClearCallee {
        id,
        only: Some(taken),
    };
    world.write(&used).expect("nothing to do");
    assert_eq!(led(world.call(AX, A)), to(C, AX));

    let taken = take(&world);
    let clear = Write::ClearCallee { id, only: None };
    world.write(&clear).expect("it is there");
    world.table.give_back(&taken);
    assert_eq!(led(world.call(AX, A)), Err(Reason::NoCallee));
}

#[test]
fn of_many_takers_in_many_threads_one_gets_the_callee() {
    let (mut world, id) = ax_world();
    for round in 0..50 {
        world.later(1);
        world.callee(id, B).expect("a live binding");
        let (table, attempt) = (&world.table, world.attempt(AX, A));
        let connected = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| scope.spawn(move || led(claim(table, route(table, &attempt), None).0)))
                .collect();
            let led = takers.into_iter().map(|taker| taker.join().expect("no panic"));
            led.filter(Result::is_ok).count()
        });
        assert_eq!(connected, 1, "round {round}");
    }
}

#[test]
fn a_callee_must_be_somebody_else_and_none_of_ours_and_400_and_landlines_will_do() {
    let (mut world, id) = ax_world();
    for (to, code) in [
        (A, "same_number"),
        ("17000000012", "own_number"),
        ("4001234567", ""),
        ("95588", ""),
        ("057187654321", ""),
    ] {
        let answer = world.callee(id, to);
        assert_eq!(answer.err().map_or("", |refused| refused.code()), code, "{to}");
    }
    let lasts = CALLEE_TIME_MAX + std::time::Duration::from_secs(1);
    let to = real(B);
    let long = world.write(&Write::SetCallee { id, to, lasts });
    assert_eq!(long.expect_err("too long").field(), Some("ttl_s"));
    let axb = world.bind(super::super::support::X, A, B);
    assert_eq!(world.callee(axb, C).expect_err("axb").code(), "not_of_mode");
}

#[test]
fn a_callee_that_became_a_number_of_ours_or_a_himself_is_not_called() {
    let (mut world, id) = ax_world();
    world.callee(id, B).expect("a live binding");
    world.add(B);
    assert_eq!(led(world.call(AX, A)), Err(Reason::NoCallee));
    world.callee(id, C).expect("a live binding");
    world.later(1);
    let mut update = UpdateRequest::of(id);
    update.a = Some(real(C));
    world.update(update).expect("a live binding");
    assert_eq!(led(world.call(AX, C)), Err(Reason::NoCallee));
    // Who gave his place up doesn't reach his successor.
    assert_eq!(led(world.call(AX, A)), Err(Reason::Expired));
    assert_eq!(led(world.call(AX, D)), to(C, AX));
}

#[test]
fn one_way_ax_lets_only_the_others_or_only_a_call() {
    for (direction, others, a) in [
        (Direction::BToA, to(A, AX), Err(Reason::Direction)),
        (Direction::AToB, Err(Reason::Direction), to(B, AX)),
    ] {
        let mut world = World::new();
        world.pool(Mode::Ax, &[AX]);
        let mut request = ax(AX, A);
        request.terms.direction = direction;
        let id = world.try_bind(request).expect("a free number").id;
        world.callee(id, B).expect("a live binding");
        assert_eq!(led(world.call(AX, C)), others);
        assert_eq!(led(world.call(AX, A)), a);
    }
}

#[test]
fn a_caller_without_identity_is_refused_unless_the_pool_accepts_him() {
    let (mut world, _) = ax_world();
    let mut attempt = world.attempt(AX, B);
    attempt.caller = None;
    assert_eq!(led(route(&world.table, &attempt)), Err(Reason::Unidentified));
    world.accept_unidentified("ax");
    assert_eq!(led(route(&world.table, &attempt)), to(A, AX));
    // Accepted, he is anyone: nobody where only two may call.
    world.accept_unidentified("default");
    world.bind(super::super::support::X, A, B);
    let mut attempt = world.attempt(super::super::support::X, A);
    attempt.caller = None;
    assert_eq!(led(route(&world.table, &attempt)), Err(Reason::Unidentified));
}

#[test]
fn in_axyb_each_dials_the_other_ones_number_and_is_shown_by_his_own() {
    let (world, id) = axyb_world();
    assert_eq!(led(world.call(Y, A)), to(B, X));
    assert_eq!(led(world.call(X, B)), to(A, Y));
    for (dialled, caller, party, shows) in [(Y, A, Party::A, X), (X, B, Party::B, Y)] {
        let Decision::Connect(plan) = world.call(dialled, caller) else {
            panic!("{party:?} is refused");
        };
        assert_eq!((plan.caller(), plan.binding().id), (party, id));
        assert_eq!((plan.number().x, plan.shows().x), (x(dialled), x(shows)));
    }
    for dialled in [X, Y] {
        assert_eq!(led(world.call(dialled, C)), Err(Reason::NoBinding));
    }
}

#[test]
fn a_who_dials_x_and_b_who_dials_y_would_call_themselves() {
    let (mut world, id) = axyb_world();
    for (dialled, caller, party) in [(X, A, Party::A), (Y, B, Party::B)] {
        let Decision::Refuse(refusal) = world.call(dialled, caller) else {
            panic!("{party:?} calls himself");
        };
        assert_eq!(refusal.reason, Reason::SelfCall);
        assert_eq!(refusal.binding.map(|binding| binding.id), Some(id));
        assert_eq!(refusal.caller, Some(party));
    }
    world.later(1);
    world.unbind(id);
    for (dialled, caller) in [(X, A), (Y, B)] {
        assert_eq!(led(world.call(dialled, caller)), Err(Reason::NoBinding));
    }
    for (dialled, caller) in [(X, B), (Y, A)] {
        assert_eq!(led(world.call(dialled, caller)), Err(Reason::Expired));
    }
}

#[test]
fn a_row_of_another_relation_wins_over_calling_oneself() {
    let (mut world, _) = axyb_world();
    // B is A of another relation on the same Y: there he reaches D.
    world
        .try_bind(axyb("17000000023", B, Y, D))
        .expect("the key (Y, B) is free");
    assert_eq!(led(world.call(Y, B)), to(D, "17000000023"));
    assert_eq!(led(world.call(Y, A)), to(B, X));
    assert_eq!(led(world.call("17000000023", D)), to(B, Y));
    assert_eq!(led(world.call(Y, D)), Err(Reason::SelfCall));
}

#[test]
fn more_may_join_the_same_x_and_each_half_unbinds_by_itself() {
    let (mut world, first) = axyb_world();
    let y2 = "17000000023";
    let second = world.try_bind(axyb(X, A, y2, C)).expect("another B joins").id;
    assert_eq!(led(world.call(y2, A)), to(C, X));
    assert_eq!(led(world.call(X, C)), to(A, y2));
    world.later(1);
    world.unbind(first);
    assert_eq!(led(world.call(X, B)), Err(Reason::Expired));
    assert_eq!(led(world.call(X, C)), to(A, y2));
    assert_eq!(led(world.call(X, A)), Err(Reason::SelfCall));
    world.later(1);
    world.unbind(second);
    assert_eq!(led(world.call(X, A)), Err(Reason::NoBinding));
}

#[test]
fn a_frozen_number_is_neither_dialled_nor_shown() {
    use super::super::inventory::Freeze;
    for frozen in [X, Y] {
        let (mut world, _) = axyb_world();
        let state = NumberState::Frozen(Freeze::Carrier);
        let write = Write::SetNumberState { x: x(frozen), state };
        world.write(&write).expect("in service");
        assert_eq!(led(world.call(Y, A)), Err(Reason::NumberFrozen), "{frozen}");
        assert_eq!(led(world.call(X, B)), Err(Reason::NumberFrozen), "{frozen}");
    }
}

#[test]
fn explanations_say_who_calls_and_why_nobody_is_reached() {
    let plan = NumberPlan::default();
    let told = |world: &World, dialled, caller| {
        let attempt = world.attempt(dialled, caller);
        let told = explain(&world.table, &attempt, &plan, Audience::Masked);
        told.sentences[1..].join(" ")
    };
    let (mut world, id) = ax_world();
    let made = format!("(made {}, never expires)", world.now);
    assert_eq!(
        told(&world, AX, B),
        format!(
            "139****0002 is anyone to ax binding {id} {made}. The call goes to 138****0001, who sees {AX}."
        )
    );
    assert_eq!(
        told(&world, AX, A),
        format!(
            "138****0001 is A of ax binding {id} {made}. {AX} stands for 138****0001, and nobody was named whom to call by it."
        )
    );
    world.callee(id, C).expect("a live binding");
    let asked = [told(&world, AX, A), told(&world, AX, A)];
    let until = world.at(60_000);
    assert_eq!(
        asked[0],
        format!(
            "138****0001 is A of ax binding {id} {made}. It was named for him until {until} whom to call. The call goes to 137****0003, who sees {AX}."
        )
    );
    assert_eq!(asked[0], asked[1], "asking uses nothing up");
    let (world, id) = axyb_world();
    assert_eq!(
        told(&world, X, A),
        format!(
            "138****0001 is A of axyb binding {id} {made}. {X} stands for 138****0001, who would call himself."
        )
    );
}
