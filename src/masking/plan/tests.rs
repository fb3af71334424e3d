//! Tests of [`plan`](super).

use std::time::Duration;

use super::super::binding::Ended;
use super::super::binding::{Direction, Mode, Rare, Terms};
use super::super::inventory::Freeze;
use super::super::request::{
    BindRequest, DryRun, OnConflict, PoolChange, PoolChoice, UpdateRequest, XChoice,
};
use super::super::route::Decision;
use super::super::support::{A, B, C, World, X, ax, axb, axyb, real, x};
use super::*;
use crate::base::number::NumberPlan;

mod groups;
mod pools;
mod resting;
mod work;

const D: &str = "13600000004";

fn from(pool: &str) -> XChoice {
    XChoice::FromPool(PoolChoice {
        pool: pool.into(),
        city: None,
    })
}

fn code(result: Result<Arc<Binding>, Refused>) -> &'static str {
    result.map_or_else(|refused| refused.code(), |_| "bound")
}

#[test]
fn a_second_binding_on_a_taken_key_is_refused_in_either_role() {
    let mut world = World::new();
    let id = world.bind(X, A, B);
    for (a, b, blamed, number) in [
        (A, C, "a", A),
        (C, A, "b", A),
        (B, C, "a", B),
        (C, B, "b", B),
        (A, B, "a", A),
        (B, A, "a", B),
    ] {
        let refused = world.try_bind(axb(X, a, b)).expect_err("taken");
        assert_eq!(refused.code(), "key_taken");
        assert_eq!(
            (refused.field(), refused.binding()),
            (Some(blamed), Some(id)),
            "{a} {b}"
        );
        let Refused::KeyTaken { number: taken, .. } = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(taken, real(number));
    }
    world.bind(X, C, D);
    world.add("17000000002");
    world.bind("17000000002", A, B);
}

#[test]
fn a_one_way_binding_takes_both_keys() {
    let mut world = World::new();
    let mut request = axb(X, A, B);
    request.terms.direction = Direction::AToB;
    world.try_bind(request).expect("free keys");
    assert_eq!(code(world.try_bind(axb(X, C, B))), "key_taken");
}

#[test]
fn a_refusal_names_x_and_the_binding_and_masks_the_real_number() {
    let mut world = World::new();
    let id = world.bind(X, A, B);
    let refused = world.try_bind(axb(X, A, C)).expect_err("taken");
    assert_eq!(
        refused.sentence(&NumberPlan::default()),
        format!("17000000001 already serves 138****0001 (binding {id})")
    );
    assert!(!format!("{refused:?}").contains(A));
}

#[test]
fn the_same_pair_again_fails_returns_or_extends_as_asked() {
    let mut world = World::new();
    let mut request = axb(X, A, B);
    request.expires = Some(world.at(120_000));
    let first = world.try_bind(request.clone()).expect("free keys");
    world.later(1_000);
    request.expires = Some(world.at(600_000));
    assert_eq!(code(world.try_bind(request.clone())), "key_taken");
    request.on_conflict = OnConflict::Return;
    let returned = world.write(&Write::Bind(request.clone()));
    assert_eq!(returned, Ok(Written::Existing(first.clone())));
    request.on_conflict = OnConflict::Extend;
    let extended = world.try_bind(request.clone()).expect("the same pair");
    assert_eq!((extended.id, extended.version), (first.id, 2));
    assert_eq!(Some(extended.expires), request.expires);
    assert_eq!(extended.created, first.created);
    // Roles the other way round are another binding.
    let mut swapped = axb(X, B, A);
    swapped.on_conflict = OnConflict::Return;
    assert_eq!(code(world.try_bind(swapped)), "key_taken");
}

#[test]
fn parties_must_be_two_and_none_of_them_a_number_of_ours() {
    let mut world = World::new();
    world.add("17000000002");
    assert_eq!(code(world.try_bind(axb(X, A, A))), "same_number");
    let own = world.try_bind(axb(X, A, "17000000002")).expect_err("ours");
    assert_eq!((own.code(), own.field()), ("own_number", Some("b")));
    assert_eq!(code(world.try_bind(axb(X, X, B))), "own_number");
}

#[test]
fn only_a_number_of_ours_in_service_takes_bindings() {
    let mut world = World::new();
    assert_eq!(code(world.try_bind(axb("17000000009", A, B))), "unknown_number");
    for (state, refused) in [
        (NumberState::Locked, "number_locked"),
        (NumberState::Frozen(Freeze::Complaint), "number_frozen"),
        (NumberState::Active, "bound"),
    ] {
        world
            .write(&Write::SetNumberState { x: x(X), state })
            .expect("ours");
        assert_eq!(code(world.try_bind(axb(X, A, B))), refused);
    }
    let id = world.table.open_on(x(X).tel(), None, 1)[0];
    let release = Write::ReleaseNumber { x: x(X) };
    let bound = world.write(&release).expect_err("bound");
    assert_eq!((bound.code(), bound.binding()), ("number_bound", Some(id)));
    world.unbind(id);
    world.write(&release).expect("nothing bound");
    assert_eq!(code(world.try_bind(axb(X, A, B))), "unknown_number");
    world.add(X);
    assert_eq!(code(world.try_bind(axb(X, A, B))), "bound");
}

#[test]
fn an_update_cannot_put_a_new_party_on_a_locked_number_but_can_change_terms() {
    let mut world = World::new();
    let id = world.bind(X, A, B);
    let state = NumberState::Locked;
    world
        .write(&Write::SetNumberState { x: x(X), state })
        .expect("ours");
    let mut request = UpdateRequest::of(id);
    request.terms.record = Some(true);
    world.update(request.clone()).expect("terms only");
    request.b = Some(real(C));
    let refused = world.update(request).expect_err("locked");
    assert_eq!(refused.code(), "number_locked");
}

#[test]
fn a_new_party_is_refused_while_the_number_that_stands_for_the_other_is_frozen() {
    let mut world = World::new();
    let on = ["17000000021", "17000000022"];
    world.pool(Mode::Axyb, &on);
    let id = world.try_bind(axyb(on[0], A, on[1], B)).expect("free").id;
    let state = NumberState::Frozen(Freeze::Arrears);
    world
        .write(&Write::SetNumberState { x: x(on[1]), state })
        .expect("ours");
    let mut request = UpdateRequest::of(id);
    request.b = Some(real(C));
    let refused = world.update(request).expect_err("frozen");
    assert_eq!(refused.code(), "number_frozen");
}

#[test]
fn a_number_carries_no_more_pairs_than_its_pool_allows() {
    let mut world = World::new();
    let set = Write::SetPool {
        pool: "default".into(),
        name: None,
        settings: Box::new(PoolChange {
            axb_pairs_per_x: Some(2),
            ..PoolChange::default()
        }),
    };
    world.write(&set).expect("in range");
    let mut request = axb(X, A, B);
    request.expires = Some(world.at(60_000));
    world.try_bind(request).expect("the first");
    world.bind(X, C, D);
    let refused = world
        .try_bind(axb(X, "13500000005", "13500000006"))
        .expect_err("full");
    assert_eq!(refused, Refused::PairsFull { x: x(X), limit: 2 });
    // An expired pair makes room before anybody writes its end down.
    world.later(60_000);
    world.bind(X, "13500000005", "13500000006");
}

#[test]
fn an_expired_binding_frees_its_keys_at_once_and_takes_no_update() {
    let mut world = World::new();
    let mut request = axb(X, A, B);
    request.expires = Some(world.at(60_000));
    let id = world.try_bind(request).expect("far enough ahead").id;
    world.later(60_000);
    let update = world.update(UpdateRequest::of(id)).expect_err("over");
    assert_eq!((update.code(), update.binding()), ("binding_ended", Some(id)));
    let unbind = world.write(&Write::Unbind(Unbind::Id(id))).expect_err("over");
    assert_eq!(unbind.code(), "binding_ended");
    let next = world.bind(X, A, C);
    assert_eq!(world.table.due(world.now, 10), [id]);
    let expired = world.write(&Write::Expire { id });
    assert_eq!(expired, Ok(Written::Unbound(vec![id])));
    let again = world.write(&Write::Expire { id });
    assert_eq!(again, Ok(Written::Unbound(vec![])));
    assert_eq!(world.table.due(world.now, 10), []);
    let early = world.write(&Write::Expire { id: next });
    assert_eq!(early, Ok(Written::Unbound(vec![])));
    assert!(world.table.binding(next).is_some_and(|b| b.ended.is_none()));
}

#[test]
fn fields_out_of_bounds_are_refused_by_name() {
    let mut world = World::new();
    let with = |change: fn(&mut BindRequest)| {
        let mut request = axb(X, A, B);
        change(&mut request);
        request
    };
    let rarely = |change: fn(&mut Rare)| {
        let mut rare = Rare::default();
        change(&mut rare);
        let mut request = axb(X, A, B);
        request.terms = Terms::new(Direction::Both, false, rare);
        request
    };
    let now = world.now;
    for (request, code, field) in [
        (
            rarely(|r| r.user_data = Some("u".repeat(257).into())),
            "out_of_bounds",
            "user_data",
        ),
        (
            rarely(|r| r.order_id = Some("o".repeat(65).into())),
            "out_of_bounds",
            "order_id",
        ),
        (
            rarely(|r| r.max_duration = Some(Duration::from_secs(59))),
            "out_of_bounds",
            "max_duration_s",
        ),
        (
            rarely(|r| r.ring_timeout = Some(Duration::from_secs(181))),
            "out_of_bounds",
            "ring_timeout_s",
        ),
        (
            with(|r| r.expires = Some(Wall::from_millis(0))),
            "expiry_too_soon",
            "expires_at",
        ),
    ] {
        let refused = world.try_bind(request).expect_err(field);
        assert_eq!((refused.code(), refused.field()), (code, Some(field)));
    }
    let mut soon = axb(X, A, B);
    soon.expires = Some(now.plus(Duration::from_millis(59_999)));
    assert_eq!(code(world.try_bind(soon)), "expiry_too_soon");
}

#[test]
fn a_dry_run_says_what_would_be_and_writes_nothing() {
    let mut world = World::new();
    let mut request = axb(X, A, B);
    request.dry_run = DryRun::Yes;
    let planned = world
        .table
        .plan(&Write::Bind(request), world.now, &mut world.chance);
    let planned = planned.expect("free keys");
    assert!(planned.change.records.is_empty());
    assert!(matches!(planned.written, Written::DryRun(_)));
    world.bind(X, A, B);
}

#[test]
fn of_two_writes_in_one_group_that_want_a_key_exactly_one_wins() {
    let mut world = World::new();
    let (table, now) = (&world.table, world.now);
    let mut group = table.planner();
    let mut plan = |write| group.plan(&write, now, &mut world.chance);
    let first = plan(Write::Bind(axb(X, A, B))).expect("free keys");
    let Written::Binding(binding) = &first.written else {
        panic!("{first:?}");
    };
    let refused = plan(Write::Bind(axb(X, C, B))).expect_err("taken in the group");
    assert_eq!(refused.binding(), Some(binding.id));
    assert!(
        table.binding(binding.id).is_none(),
        "visible before it is durable"
    );
    // The group sees its own unbinding, update and new number too.
    let mut update = UpdateRequest::of(binding.id);
    update.b = Some(real(C));
    let second = plan(Write::Update(update)).expect("C is free");
    let third = plan(Write::Bind(axb(X, B, D))).expect("B was replaced");
    let fourth = plan(Write::Unbind(Unbind::Id(binding.id))).expect("live in the group");
    let fifth = plan(Write::Bind(axb(X, A, C))).expect("A and C are free again");
    let y = x("17000000002");
    let sixth = plan(Write::add_number(y));
    let seventh = plan(Write::Bind(axb("17000000002", A, C))).expect("the number is there");
    for planned in [first, second, third, fourth, fifth, sixth.expect("new"), seventh] {
        world.apply(planned.change);
    }
    assert_eq!(world.table.bindings_on(x(X), world.now), 2);
    assert_eq!(world.table.bindings_on(y, world.now), 1);
}

#[test]
fn a_group_that_never_became_durable_leaves_no_trace() {
    let mut world = World::new();
    let planned = world
        .table
        .plan(&Write::Bind(axb(X, A, B)), world.now, &mut world.chance);
    assert!(planned.is_ok());
    assert_eq!(world.table.counts().bindings_live, 0);
    world.bind(X, A, B);
}

#[test]
fn a_suspended_account_neither_binds_nor_unbinds_but_its_bindings_expire() {
    let mut world = World::new();
    let mut request = axb(X, A, B);
    request.expires = Some(world.at(60_000));
    let id = world.try_bind(request).expect("free keys").id;
    let set = |standing| Write::set_standing("default", standing);
    world.write(&set(Standing::Suspended)).expect("there");
    assert_eq!(code(world.try_bind(axb(X, C, D))), "account_suspended");
    let unbind = world
        .write(&Write::Unbind(Unbind::X(x(X))))
        .expect_err("suspended");
    assert_eq!(unbind.code(), "account_suspended");
    world.later(60_000);
    let expired = world.write(&Write::Expire { id });
    assert_eq!(expired, Ok(Written::Unbound(vec![id])));
    world.write(&set(Standing::Active)).expect("there");
    world.bind(X, C, D);
}

#[test]
fn unbinding_a_number_ends_all_that_lives_on_it() {
    let mut world = World::new();
    let ids = [world.bind(X, A, B), world.bind(X, C, D)];
    let Ok(Written::Unbound(mut ended)) = world.write(&Write::Unbind(Unbind::X(x(X)))) else {
        panic!("refused");
    };
    ended.sort();
    let mut ids = ids.to_vec();
    ids.sort();
    assert_eq!(ended, ids);
    assert_eq!(world.table.bindings_on(x(X), world.now), 0);
    let again = world.write(&Write::Unbind(Unbind::X(x(X))));
    assert_eq!(again, Ok(Written::Unbound(vec![])));
}

#[test]
fn an_ended_binding_is_forgotten_only_after_its_rules_may_go() {
    let mut world = World::new();
    let id = world.bind(X, A, B);
    world.unbind(id);
    let kept = i64::try_from(ENDED_RULES_KEPT.as_millis()).expect("minutes");
    let forget = |world: &World| world.table.planner().forget_before(world.now, world.now, 10);
    world.later(kept);
    assert_eq!(forget(&world).records, []);
    world.later(1);
    let change = forget(&world);
    assert_eq!(change.records, [Record::Forget(id)]);
    world.apply(change);
    assert_eq!(world.table.binding(id), None);
    assert_eq!(world.table.counts().bindings_ended, 0);
    assert_eq!(world.table.counts().rules, 0);
}

#[test]
fn families_of_modes_keep_apart_on_a_number_and_ax_becomes_axb_by_update() {
    const NUMBERS: [&str; 3] = ["17000000011", "17000000012", "17000000013"];
    let mut world = World::new();
    world.pool(Mode::Ax, &NUMBERS);
    let id = world.try_bind(ax(NUMBERS[0], A)).expect("free").id;
    let again = world.try_bind(ax(NUMBERS[0], C)).expect_err("one A a number");
    assert_eq!(
        (again.code(), again.field(), again.binding()),
        ("key_taken", Some("x"), Some(id))
    );
    assert_eq!(code(world.try_bind(axb(NUMBERS[0], B, C))), "mode_mismatch");

    let mut update = UpdateRequest::of(id);
    update.b = Some(real(B));
    assert_eq!(
        world.update(update.clone()).expect_err("no B in ax").code(),
        "not_of_mode"
    );
    update.mode = Some(Mode::Axb);
    update.b = None;
    assert_eq!(
        world.update(update.clone()).expect_err("whose B?").field(),
        Some("b")
    );
    update.b = Some(real(B));
    world.later(1_000);
    world.update(update).expect("ax becomes axb");
    let called = |world: &World, caller| match world.call(NUMBERS[0], caller) {
        Decision::Connect(plan) => Ok(plan.called()),
        Decision::Ask(question) => panic!("{question:?}"),
        Decision::Collect(collect) => panic!("{collect:?} though nobody has an extension"),
        Decision::Refuse(refusal) => Err(refusal.reason),
    };
    assert_eq!(called(&world, A), Ok(real(B)));
    assert_eq!(called(&world, B), Ok(real(A)));
    assert!(called(&world, C).is_err());
    let mut back = UpdateRequest::of(id);
    back.mode = Some(Mode::Ax);
    assert_eq!(world.update(back).expect_err("never").code(), "not_of_mode");
    // The number is of another family now, whatever its pool says.
    let refused = world.try_bind(ax(NUMBERS[0], D)).expect_err("an axb number");
    assert_eq!((refused.code(), refused.binding()), ("mode_mismatch", Some(id)));
}

#[test]
fn in_axyb_x_is_one_as_and_a_has_five_and_y_differs() {
    let numbers: Vec<String> = (0..9).map(|n| format!("1700000010{n}")).collect();
    let on: Vec<&str> = numbers.iter().map(String::as_str).collect();
    let mut world = World::new();
    world.pool(Mode::Axyb, &on);
    let id = world.try_bind(axyb(on[0], A, on[8], B)).expect("free").id;
    assert_eq!(code(world.try_bind(axyb(on[1], C, on[1], D))), "x_is_y");
    assert_eq!(code(world.try_bind(axyb(on[1], C, on[2], C))), "same_number");
    assert_eq!(code(world.try_bind(axyb(on[1], C, on[2], on[3]))), "own_number");
    let taken = world.try_bind(axyb(on[0], C, on[8], D)).expect_err("A's own");
    assert_eq!(
        (taken.code(), taken.field(), taken.binding()),
        ("key_taken", Some("x"), Some(id))
    );
    let taken = world
        .try_bind(axyb(on[1], A, on[8], D))
        .expect_err("(Y, A) is taken");
    assert_eq!((taken.code(), taken.field()), ("key_taken", Some("a")));
    for (x, y) in [(1, 5), (2, 6), (3, 7), (4, 1)] {
        let b = format!("1390000010{x}");
        assert_eq!(code(world.try_bind(axyb(on[x], A, on[y], &b))), "bound");
    }
    let held = world
        .table
        .records()
        .filter(|r| matches!(r, Record::Binding(_)))
        .count();
    assert_eq!(held, 5);
    let full = world.try_bind(axyb(on[8], A, on[2], D)).expect_err("five");
    assert_eq!(full, Refused::NumbersFull { limit: 5 });
    // On a number that he has already, more may join.
    assert_eq!(code(world.try_bind(axyb(on[0], A, on[2], D))), "bound");
}

#[test]
fn the_same_binding_again_is_answered_alike_in_every_mode() {
    let mut world = World::new();
    world.pool(Mode::Ax, &["17000000011"]);
    world.pool(Mode::Axyb, &["17000000021", "17000000022"]);
    for request in [
        axb(X, A, B),
        ax("17000000011", A),
        axyb("17000000021", A, "17000000022", B),
    ] {
        let mut request = request;
        let first = world.try_bind(request.clone()).expect("free");
        let refused = world.try_bind(request.clone()).expect_err("there already");
        assert_eq!((refused.code(), refused.binding()), ("key_taken", Some(first.id)));
        request.on_conflict = OnConflict::Return;
        let same = world.write(&Write::Bind(request.clone()));
        assert_eq!(same, Ok(Written::Existing(first.clone())));
        request.on_conflict = OnConflict::Extend;
        request.expires = Some(world.at(600_000));
        world.later(1);
        let extended = world.try_bind(request.clone()).expect("the same");
        assert_eq!((extended.id, extended.expires), (first.id, world.at(599_999)));
        request.dry_run = DryRun::Yes;
        let dry = world.write(&Write::Bind(request));
        assert!(matches!(dry, Ok(Written::DryRun(_))), "{dry:?}");
    }
}
