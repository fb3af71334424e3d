//! Tests of [`plan`](super).

use std::time::Duration;

use super::super::binding::Ended;
use super::super::binding::{Direction, Mode, Rare, Terms};
use super::super::inventory::Freeze;
use super::super::quarantine;
use super::super::request::{
    BindRequest, DryRun, OnConflict, PoolChange, PoolChoice, UpdateRequest, XChoice,
};
use super::super::route::Decision;
use super::super::support::{A, B, C, World, X, ax, axb, axyb, real, x};
use super::*;
use crate::base::number::NumberPlan;

const D: &str = "13600000004";

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

fn from(pool: &str) -> XChoice {
    XChoice::FromPool(PoolChoice {
        pool: pool.into(),
        city: None,
    })
}

#[test]
fn a_pool_gives_its_numbers_in_turn_and_refuses_when_no_key_is_free() {
    let mut world = World::new();
    world.add("17000000002");
    world.add("17000000003");
    let from_pool = |a, b| {
        let mut request = axb(X, a, b);
        request.x = from("default");
        request
    };
    let mut given = |a, b| world.try_bind(from_pool(a, b)).map(|binding| binding.x);
    assert_eq!(given(A, B), Ok(x(X)));
    assert_eq!(given(A, B), Ok(x("17000000002")));
    assert_eq!(given(A, C), Ok(x("17000000003")));
    assert_eq!(
        given(D, C),
        Ok(x(X)),
        "the round begins again where the keys are free"
    );
    let refused = given(D, A).expect_err("A is on every number");
    assert_eq!(refused.code(), "no_number");
    let unknown = world.try_bind({
        let mut request = from_pool(A, B);
        request.x = from("elsewhere");
        request
    });
    assert_eq!(code(unknown), "unknown_pool");
}

#[test]
fn a_pool_finds_the_one_free_number_among_many() {
    let mut world = World::new();
    for i in 2..=300 {
        world.add(&format!("17000000{i:03}"));
    }
    for i in 1..=300 {
        if i != 37 {
            world.bind(&format!("17000000{i:03}"), A, B);
        }
    }
    let mut request = axb(X, A, C);
    request.x = from("default");
    world.table.index().shelves.chose(x("17000000100"));
    let binding = world.try_bind(request).expect("one is free");
    assert_eq!(binding.x, x("17000000037"));
}

#[test]
fn pools_answer_to_key_and_name_and_names_are_given_once() {
    let mut world = World::new();
    let add = |name: &str| Write::add_pool(name, Mode::Axb);
    let Ok(Written::Pool(pool)) = world.write(&add("taxi")) else {
        panic!("not added");
    };
    assert_eq!(&*pool.key, "FC100000000000002");
    assert_eq!(world.table.pool("taxi"), world.table.pool(&pool.key));
    for (name, code) in [
        ("taxi", "name_taken"),
        ("", "out_of_bounds"),
        ("FC100000000000009", "out_of_bounds"),
    ] {
        assert_eq!(world.write(&add(name)).expect_err(name).code(), code);
    }
    let rename = Write::SetPool {
        pool: pool.key.clone(),
        name: Some("cabs".into()),
        settings: Box::default(),
    };
    world.write(&rename).expect("a free name");
    assert_eq!(world.table.pool("taxi"), None);
    assert_eq!(
        world.table.pool("cabs").map(|p| p.key.clone()),
        Some(pool.key.clone())
    );
    let mut group = world.table.planner();
    let mut plan = |write| group.plan(&write, world.now, &mut world.chance);
    plan(add("a")).expect("free");
    assert_eq!(plan(add("a")).expect_err("taken").code(), "name_taken");
    let Ok(Written::Pool(second)) = plan(add("b")).map(|planned| planned.written) else {
        panic!("not added");
    };
    assert_eq!(&*second.key, "FC100000000000004");
    // A name given up in the group is free in the group.
    let rename = Write::SetPool {
        pool: "cabs".into(),
        name: Some("vans".into()),
        settings: Box::default(),
    };
    plan(rename).expect("a free name");
    plan(add("cabs")).expect("given up");
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

const E: &str = "13500000005";

/// Two pairs on X, one after the other: what the second is answered in this quarantine.
fn second(world: &mut World, quarantine: &str, a: &str, b: &str) -> &'static str {
    let set = |world: &World, quarantine: &str| {
        let axb = quarantine.parse().expect("a quarantine");
        world.table.set_quarantine(quarantine::Config {
            axb,
            ..quarantine::Config::default()
        });
    };
    set(world, quarantine);
    code(world.try_bind(axb(X, a, b)))
}

#[test]
fn a_key_in_hard_quarantine_is_for_its_former_pair_only_until_it_is_over() {
    for (a, b, answer) in [
        (A, C, "key_quarantined"),
        (C, A, "key_quarantined"),
        (C, B, "key_quarantined"),
        (A, B, "bound"),
        (B, A, "bound"),
        (C, D, "bound"),
    ] {
        let mut world = World::new();
        let id = world.bind(X, A, B);
        world.later(1_000);
        world.unbind(id);
        world.later(3_599_999);
        assert_eq!(second(&mut world, "1h hard", a, b), answer, "{a} {b}");
    }
    let mut world = World::new();
    let id = world.bind(X, A, B);
    world.unbind(id);
    let until = world.at(3_600_000);
    world.later(3_599_999);
    assert_eq!(second(&mut world, "1h hard", A, C), "key_quarantined");
    let refused = world.try_bind(axb(X, A, C)).expect_err("in quarantine");
    assert_eq!(refused.field(), Some("a"));
    assert_eq!(
        refused.sentence(&NumberPlan::default()),
        format!("17000000001 is in quarantine for others than its former pair until {until}")
    );
    world.later(1);
    assert_eq!(second(&mut world, "1h hard", A, C), "bound");
}

#[test]
fn a_key_in_soft_quarantine_is_given_to_who_names_x() {
    let mut world = World::new();
    let id = world.bind(X, A, B);
    world.unbind(id);
    assert_eq!(second(&mut world, "1h soft", A, C), "bound");
}

#[test]
fn a_pool_takes_free_numbers_first_and_then_what_was_given_up_longest_ago() {
    let mut world = World::new();
    for x in ["17000000002", "17000000003"] {
        world.add(x);
    }
    for x in [X, "17000000003", "17000000002"] {
        let id = world.bind(x, A, B);
        world.later(1_000);
        if x != "17000000002" {
            world.unbind(id);
        }
    }
    let mut request = axb(X, A, C);
    request.x = from("default");
    world.add("17000000004");
    let chosen = |world: &mut World| {
        let bound = world.try_bind(request.clone());
        bound.map_or("none", |binding| {
            ["", X, "17000000002", "17000000003", "17000000004"]
                .into_iter()
                .find(|number| !number.is_empty() && binding.x == x(number))
                .unwrap_or("another")
        })
    };
    let free = chosen(&mut world);
    assert_eq!(free, "17000000004");
    let bound = world.table.open_on(x(free).tel(), None, 1)[0];
    let release = Write::SetNumberState {
        x: x(free),
        state: NumberState::Locked,
    };
    world.write(&release).expect("ours");
    world.unbind(bound);
    assert_eq!(chosen(&mut world), X, "given up longest ago");
}

#[test]
fn an_update_of_a_party_leaves_the_key_that_it_gives_up_and_not_the_one_that_it_keeps() {
    let mut world = World::new();
    let id = world.bind(X, A, B);
    world.later(1_000);
    let mut update = UpdateRequest::of(id);
    for b in [C, D, E] {
        update.b = Some(real(b));
        second(&mut world, "1h hard", "13500000009", "13500000009");
        world.update(update.clone()).expect("A keeps his key");
        world.later(1_000);
    }
    assert_eq!(code(world.try_bind(axb(X, B, "13500000009"))), "key_quarantined");
    // What was replaced is kept, and listed among the ended ones.
    let replaced = |world: &World| {
        let ended = world.table.records().filter_map(|record| match record {
            Record::Binding(binding) => binding.ended.map(|(_, why)| (binding.parties.b(), why)),
            _ => None,
        });
        ended.collect::<Vec<_>>()
    };
    let was = |b| (Some(real(b)), Ended::Replaced);
    assert_eq!(replaced(&world), [was(B), was(C), was(D)]);
    // All of that holds in a table that was loaded from a snapshot.
    let loaded = Table::new();
    for record in world.table.records() {
        loaded.load(&record);
    }
    loaded.set_quarantine(quarantine::Config {
        axb: "1h hard".parse().expect("a quarantine"),
        ..quarantine::Config::default()
    });
    let bind = |a, b| {
        let write = Write::Bind(axb(X, a, b));
        let planned = loaded.plan(&write, world.now, &mut Chance::from_number(3));
        planned.map_or_else(|refused| refused.code(), |_| "bound")
    };
    assert_eq!(bind(C, "13500000009"), "key_quarantined");
    assert_eq!(bind(A, B), "key_taken");
}

#[test]
fn a_key_handed_on_by_an_update_doesnt_rest_from_its_holder_though_his_terms_change() {
    const NUMBER: &str = "17000000011";
    let mut world = World::new();
    world.pool(Mode::Ax, &[NUMBER]);
    world.table.set_quarantine(quarantine::Config {
        axb: "1h hard".parse().expect("a quarantine"),
        ..quarantine::Config::default()
    });
    for (request, again, to_b, to_c) in [
        (axb(X, A, B), axb(X, A, C), Some(real(C)), Some(real(D))),
        (ax(NUMBER, A), ax(NUMBER, B), None, None),
    ] {
        let id = world.try_bind(request).expect("free").id;
        let of_ax = to_b.is_none();
        let mut update = UpdateRequest::of(id);
        (update.a, update.b) = (of_ax.then_some(real(B)), to_b);
        world.later(1_000);
        world.update(update.clone()).expect("the key is his");
        world.later(1_000);
        // Of nothing but terms: nobody's key changes hands.
        world.update(UpdateRequest::of(id)).expect("as it is");
        world.later(1_000);
        (update.a, update.b) = (of_ax.then_some(real(C)), to_c);
        update.dry_run = DryRun::Yes;
        world.update(update).expect("the key is still his");
        world.unbind(id);
        world.later(1_000);
        assert_eq!(code(world.try_bind(again)), "bound", "the same pair");
    }
}

#[test]
fn a_number_that_answered_anyone_rests_as_a_whole_but_not_from_its_a() {
    const NUMBER: &str = "17000000011";
    let mut world = World::new();
    world.pool(Mode::Ax, &[NUMBER]);
    let id = world.try_bind(ax(NUMBER, A)).expect("free").id;
    world.later(1_000);
    world.unbind(id);
    world.later(6 * 86_400_000);
    assert_eq!(code(world.try_bind(ax(NUMBER, B))), "key_quarantined");
    // Released, and back in another pool: it rests on.
    let x = x(NUMBER);
    world.write(&Write::ReleaseNumber { x }).expect("nothing bound");
    world.add(NUMBER);
    assert_eq!(code(world.try_bind(axb(NUMBER, B, C))), "key_quarantined");
    assert_eq!(code(world.try_bind(axb(NUMBER, A, C))), "bound");
}

#[test]
fn a_caller_who_still_uses_a_resting_key_reaches_nobody_but_whom_he_knew() {
    const NUMBER: &str = "17000000011";
    for (next, answer) in [(D, None), (A, Some(real(A)))] {
        let mut world = World::new();
        world.add(NUMBER);
        let id = world.bind(NUMBER, A, B);
        world.later(1_000);
        world.unbind(id);
        world
            .write(&Write::ReleaseNumber { x: x(NUMBER) })
            .expect("nothing bound");
        world.pool(Mode::Ax, &[NUMBER]);
        world.later(1_000);
        world.try_bind(ax(NUMBER, next)).expect("anyone's key is free");
        let called = |world: &World, caller| match world.call(NUMBER, caller) {
            Decision::Connect(plan) => Some(plan.called()),
            Decision::Refuse(_) => None,
        };
        assert_eq!(called(&world, B), answer, "{next}");
        assert_eq!(called(&world, C), Some(real(next)));
        world.later(24 * 3_600_000);
        assert_eq!(called(&world, B), Some(real(next)), "it rests no longer");
    }
}

#[test]
fn of_more_resting_keys_than_the_limit_the_oldest_go() {
    let mut world = World::new();
    world.table.set_quarantine(quarantine::Config {
        axb: "1h hard".parse().expect("a quarantine"),
        limit: 2,
        ..quarantine::Config::default()
    });
    let pairs = [(A, B), (C, D), (E, "13500000006")];
    for (a, b) in pairs {
        let id = world.bind(X, a, b);
        world.later(1_000);
        world.unbind(id);
    }
    let counts = world.table.counts();
    assert_eq!((counts.resting, counts.rested_short), (2, 1));
    assert_eq!(code(world.try_bind(axb(X, C, "13500000009"))), "key_quarantined");
    assert_eq!(code(world.try_bind(axb(X, A, "13500000009"))), "bound");
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
