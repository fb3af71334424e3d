//! Keys that rest after they were given up.

use super::super::super::quarantine;
use super::*;

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
            Decision::Collect(_) | Decision::Ask(_) | Decision::Refuse(_) => None,
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
