//! AXE and AXN: who is asked, whom an extension reaches, and whom an owner reaches by dialling his own X.

use super::super::binding::Direction;
use super::super::collect::{Collecting, Hash, Wants};
use super::super::inventory::OwnerDials;
use super::super::request::{BindRequest, PoolChange, Refused, UpdateRequest, Wanted, Write, Written};
use super::super::support::{A, B, C, World, axb, axe, axn, real, tel, x};
use super::*;
use crate::base::id::Id;

const N: &str = "17000000041";
const D: &str = "13600000004";

fn world(settings: PoolChange) -> World {
    let mut world = World::new();
    world.pool(Mode::Axe, &[N]);
    set(&mut world, "axe", settings);
    world
}

fn set(world: &mut World, pool: &str, settings: PoolChange) {
    let write = Write::SetPool {
        pool: pool.into(),
        name: None,
        settings: Box::new(settings),
    };
    world.write(&write).expect("within bounds");
}

fn bind(world: &mut World, a: &str, e: &str) -> Id {
    world.try_bind(axe(N, a, e)).expect("a free extension").id
}

fn any_extension(a: &str) -> BindRequest {
    BindRequest {
        parties: Wanted::Axe { a: real(a), e: None },
        ..axe(N, a, "0001")
    }
}

fn keys(world: &World, caller: &str, digits: &str) -> Decision {
    let attempt = Attempt {
        digits: digits.parse().expect("keys"),
        ..world.attempt(N, caller)
    };
    route(&world.table, &attempt)
}

/// Who is called and what he sees; `Ok(None)`: the caller is asked.
fn led(decision: &Decision) -> Result<Option<(RealNumber, Shown)>, Reason> {
    match decision {
        Decision::Connect(plan) => Ok(Some((plan.called(), plan.shown()))),
        Decision::Collect(_) => Ok(None),
        Decision::Ask(_) => panic!("nobody's server is asked"),
        Decision::Refuse(refusal) => Err(refusal.reason),
    }
}

fn to(called: &str) -> Result<Option<(RealNumber, Shown)>, Reason> {
    Ok(Some((real(called), Shown::Virtual(x(N)))))
}

#[test]
fn whoever_dials_x_is_asked_and_reaches_the_owner_of_what_he_keys_who_sees_x() {
    let mut world = world(PoolChange::default());
    assert_eq!(
        led(&world.call(N, C)),
        Err(Reason::NoBinding),
        "nobody is behind it"
    );
    bind(&mut world, A, "0012");
    bind(&mut world, B, "0013");
    let Decision::Collect(collect) = world.call(N, C) else {
        panic!("he is asked")
    };
    assert_eq!(
        (collect.wants(), collect.how()),
        (
            &Wants::Extension {
                width: 4,
                hash: Hash::Nothing
            },
            Collecting::Answer
        )
    );
    assert_eq!(led(&keys(&world, C, "0012")), to(A));
    assert_eq!(led(&keys(&world, C, "0013#")), to(B));
    for wrong in ["0014", "12", "012", "0000", "00120", "#"] {
        assert_eq!(led(&keys(&world, C, wrong)), Err(Reason::NoBinding), "{wrong}");
    }
}

#[test]
fn an_attempt_is_judged_as_of_its_arrival_so_a_key_given_on_meanwhile_reaches_the_old_party_or_nobody() {
    let soon = PoolChange {
        quarantine: Some(Some("0s soft".parse().expect("a rule"))),
        ..PoolChange::default()
    };
    let mut world = world(soon);
    let old = bind(&mut world, A, "0012");
    bind(&mut world, D, "0013");
    world.later(10);
    let asked = Attempt {
        digits: "0012".parse().expect("keys"),
        ..world.attempt(N, C)
    };
    world.later(10);
    world.unbind(old);
    world.later(10);
    bind(&mut world, B, "0012");
    assert_eq!(led(&route(&world.table, &asked)), to(A), "while he keyed");
    assert_eq!(led(&keys(&world, C, "0012")), to(B), "who comes now");
    // Never bound when he came.
    let mut early = world.attempt(N, C);
    early.digits = "0014".parse().expect("keys");
    world.later(10);
    bind(&mut world, B, "0014");
    assert_eq!(led(&route(&world.table, &early)), Err(Reason::NoBinding));
}

#[test]
fn a_freed_extension_rests_from_others_and_the_last_one_freed_is_never_chosen() {
    let narrow = PoolChange {
        extension_width: Some(1),
        ..PoolChange::default()
    };
    let mut world = world(narrow);
    let id = bind(&mut world, A, "5");
    world.later(10);
    world.unbind(id);
    world.later(10);
    assert_eq!(
        led(&keys(&world, C, "5")),
        Err(Reason::Expired),
        "nobody is behind it now"
    );
    let refused = world.try_bind(axe(N, B, "5")).expect_err("it rests");
    assert_eq!(
        (refused.code(), refused.field()),
        ("key_quarantined", Some("extension"))
    );
    let again = bind(&mut world, A, "5");
    world.later(10);
    world.unbind(again);
    // All the others are given, however long ago it was freed.
    world.later(48 * 3_600_000);
    let mut given = Vec::new();
    for _ in 0..8 {
        let bound = world.try_bind(any_extension(B)).expect("one is left");
        given.push(bound.parties.extension().expect("axe").to_string());
    }
    given.sort();
    assert_eq!(given, ["1", "2", "3", "4", "6", "7", "8", "9"]);
    let refused = world
        .try_bind(any_extension(C))
        .expect_err("only the last one freed is left");
    assert_eq!(refused.code(), "extensions_full");
    // Asked for by name, it may be had: its rest is over.
    assert!(world.try_bind(axe(N, C, "5")).is_ok());
}

#[test]
fn what_an_extension_may_be_is_said_where_it_is_refused() {
    let mut world = world(PoolChange {
        extensions_per_x: Some(2),
        ..PoolChange::default()
    });
    assert_eq!(
        world
            .try_bind(axe(N, A, "12"))
            .expect_err("of four digits")
            .code(),
        "extension_width"
    );
    let id = bind(&mut world, A, "0012");
    let refused = world.try_bind(axe(N, B, "0012")).expect_err("taken");
    assert_eq!(
        (refused.code(), refused.field(), refused.binding()),
        ("key_taken", Some("extension"), Some(id))
    );
    bind(&mut world, A, "0013");
    assert_eq!(
        world.try_bind(axe(N, B, "0014")).expect_err("two").code(),
        "extensions_full"
    );
    let width = Write::SetPool {
        pool: "axe".into(),
        name: None,
        settings: Box::new(PoolChange {
            extension_width: Some(3),
            ..PoolChange::default()
        }),
    };
    assert_eq!(
        world.write(&width).expect_err("two are bound").code(),
        "width_in_use"
    );
    assert_eq!(
        world.try_bind(axb(N, A, B)).expect_err("another mode").code(),
        "mode_mismatch"
    );
}

#[test]
fn an_owner_is_called_back_by_one_rule_for_all_his_extensions_or_asked_where_the_pool_says_so() {
    let mut world = world(PoolChange {
        callback: Some(Callback::Last),
        ..PoolChange::default()
    });
    let first = bind(&mut world, A, "0012");
    bind(&mut world, A, "0013");
    bind(&mut world, B, "0014");
    assert_eq!(
        led(&world.call(N, A)),
        Err(Reason::NoCallee),
        "nobody has called him"
    );
    for (caller, e) in [(C, "0012"), (D, "0013")] {
        world.later(10);
        let (decision, _seat) = claim(&world.table, keys(&world, caller, e), None);
        assert_eq!(led(&decision), to(A));
    }
    assert_eq!(led(&world.call(N, A)), to(D), "who called last by whichever");
    assert_eq!(
        led(&world.call(N, B)),
        Err(Reason::NoCallee),
        "nobody called that owner"
    );
    set(
        &mut world,
        "axe",
        PoolChange {
            owner_dials: Some(OwnerDials::Ask),
            ..PoolChange::default()
        },
    );
    assert_eq!(led(&world.call(N, A)), Ok(None));
    assert_eq!(led(&keys(&world, A, "#")), to(D));
    assert_eq!(led(&keys(&world, A, "0014")), to(B));
    assert_eq!(led(&keys(&world, A, "0012")), Err(Reason::SelfCall));
    assert_eq!(led(&keys(&world, C, "#")), Err(Reason::NoBinding), "no owner");
    world.later(10);
    world.unbind(first);
    assert_eq!(led(&keys(&world, A, "#")), to(D), "the other rule holds");
}

/// Makes durable what calls noted, as the writer does with each tick.
fn write_lasts(world: &mut World) {
    let noted = world.table.lasts_unwritten(9).into_iter();
    for last in noted.chain(world.table.lasts_due(world.now, 9)) {
        assert!(matches!(
            world.write(&Write::KeepLast(last)),
            Ok(Written::Callee(None))
        ));
    }
}

fn replayed(world: &World) -> Table {
    let table = Table::new();
    for (i, change) in world.changes.iter().enumerate() {
        table.apply(i as u64 + 1, change);
    }
    table
}

#[test]
fn the_last_caller_is_kept_across_a_restart_for_his_time_and_forgotten_when_the_binding_ends() {
    let mut world = World::new();
    world.pool(Mode::Axn, &[N]);
    set(
        &mut world,
        "axn",
        PoolChange {
            callback: Some(Callback::Last),
            ..PoolChange::default()
        },
    );
    let id = world.try_bind(axn(N, A)).expect("free").id;
    let calls = |world: &World, caller| drop(claim(&world.table, world.call(N, caller), None));
    calls(&world, C);
    write_lasts(&mut world);
    assert_eq!(led(&route(&replayed(&world), &world.attempt(N, A))), to(C));
    assert!(world.table.lasts_unwritten(9).is_empty());
    // Another one called since, and the first one's time is over on the disk before that is written.
    world.later(167 * 3_600_000);
    calls(&world, D);
    world.later(3_600_000);
    write_lasts(&mut world);
    assert_eq!(led(&route(&replayed(&world), &world.attempt(N, A))), to(D));
    world.later(168 * 3_600_000);
    assert_eq!(led(&world.call(N, A)), Err(Reason::NoCallee), "too long ago");
    write_lasts(&mut world);
    assert!(
        !replayed(&world)
            .records()
            .any(|record| matches!(record, super::super::change::Record::Last(_)))
    );

    calls(&world, C);
    write_lasts(&mut world);
    let mut update = UpdateRequest::of(id);
    update.a = Some(real(B));
    world.later(10);
    world.update(update).expect("a live binding");
    assert_eq!(led(&world.call(N, B)), Err(Reason::NoCallee), "he called another");
    calls(&world, C);
    write_lasts(&mut world);
    // Noted before the end, written after it.
    world.later(10);
    calls(&world, D);
    world.unbind(id);
    write_lasts(&mut world);
    let left = replayed(&world);
    assert!(
        !left
            .records()
            .any(|record| matches!(record, super::super::change::Record::Last(_)))
    );
    assert!(left.lasts_unwritten(9).is_empty() && world.table.lasts_unwritten(9).is_empty());
}

#[test]
fn a_pools_callback_is_a_number_of_the_binding_a_tone_or_nothing() {
    let mut world = World::new();
    world.pool(Mode::Axn, &[N]);
    let mut request = axn(N, A);
    let with = |to: &str| {
        let rare = super::super::binding::Rare {
            callback: Some(real(to)),
            ..Default::default()
        };
        super::super::binding::Terms::new(Direction::Both, false, rare)
    };
    for wrong in [A, N] {
        request.terms = with(wrong);
        assert_eq!(
            world.try_bind(request.clone()).expect_err(wrong).field(),
            Some("callback")
        );
    }
    request.terms = with(B);
    world.try_bind(request).expect("a number of another");
    for (callback, answer) in [
        (Callback::Preset, to(B)),
        (Callback::Tone, Err(Reason::CallbackTone)),
        (Callback::Refused, Err(Reason::NoCallee)),
        (Callback::Temporary, Err(Reason::NoCallee)),
        (Callback::Last, Err(Reason::NoCallee)),
    ] {
        set(
            &mut world,
            "axn",
            PoolChange {
                callback: Some(callback),
                ..PoolChange::default()
            },
        );
        assert_eq!(led(&world.call(N, A)), answer, "{callback:?}");
    }
    assert_eq!(led(&world.call(N, C)), to(A));
    let mut pair = axb(super::super::support::X, A, B);
    pair.terms = with(C);
    assert!(matches!(world.try_bind(pair), Err(Refused::NotOfMode { .. })));
}

#[test]
fn the_seat_that_a_caller_had_while_he_keyed_is_the_one_that_he_talks_on() {
    let mut world = world(PoolChange {
        calls_per_caller: Some(Some(1)),
        ..PoolChange::default()
    });
    bind(&mut world, A, "0012");
    let (asked, seat) = claim(&world.table, world.call(N, C), None);
    assert_eq!((led(&asked), world.table.calls_at_once()), (Ok(None), 1));
    assert_eq!(led(&world.call(N, C)), Err(Reason::Quota), "a second call");
    let (decision, seat) = claim(&world.table, keys(&world, C, "0012"), seat);
    assert_eq!((led(&decision), world.table.calls_at_once()), (to(A), 1));
    drop(seat);
    assert_eq!(world.table.calls_at_once(), 0);
    // What is known beforehand goes the same way: an owner who isn't asked keys nothing.
    let known = |caller| {
        let attempt = Attempt {
            digits: "0012".parse().expect("keys"),
            ..world.attempt(N, caller)
        };
        as_asked(&world.table, &attempt).digits
    };
    assert_eq!(
        (known(A), known(C)),
        (Keyed::Nothing, "0012".parse().expect("keys"))
    );
    let nobody = Attempt {
        caller: None,
        ..world.attempt(N, C)
    };
    assert_eq!(led(&route(&world.table, &nobody)), Err(Reason::Unidentified));
    assert!(world.table.number(tel(N)).is_some());
}

#[test]
fn whoever_called_one_a_is_not_called_back_by_another() {
    let mut world = World::new();
    world.pool(Mode::Axn, &[N]);
    set(
        &mut world,
        "axn",
        PoolChange {
            callback: Some(Callback::Last),
            ..PoolChange::default()
        },
    );
    let id = world.try_bind(axn(N, A)).expect("free").id;
    let backup = world.table.binding(id).expect("just made");
    let (early, decision) = (world.attempt(N, A), world.call(N, C));
    world.later(10);
    let mut update = UpdateRequest::of(id);
    update.a = Some(real(B));
    world.update(update).expect("nobody has the key");
    // The call that A is led to is connected only now.
    claim(&world.table, decision, None);
    assert!(world.table.lasts_unwritten(9).is_empty());
    assert_eq!(led(&world.call(N, B)), Err(Reason::NoCallee));
    // Nor is one called back who called after the attempt arrived.
    world.later(10);
    let before = world.attempt(N, B);
    world.later(10);
    claim(&world.table, world.call(N, D), None);
    assert_eq!(led(&world.call(N, B)), to(D));
    assert_eq!(led(&route(&world.table, &before)), Err(Reason::NoCallee));
    // A backup brings A back, and not who called the other.
    write_lasts(&mut world);
    world.later(10);
    let put_back = Write::put_back(super::super::change::Record::Binding((*backup).clone()));
    world.write(&put_back).expect("nobody has the key");
    world.later(10);
    assert_eq!(led(&world.call(N, A)), Err(Reason::NoCallee));
    assert_eq!(
        led(&route(&replayed(&world), &world.attempt(N, A))),
        Err(Reason::NoCallee)
    );
    assert_eq!(led(&route(&world.table, &early)), Err(Reason::NoCallee));
}
