use std::sync::atomic::AtomicBool;

use super::super::binding::{Parties, Terms};
use super::super::request::{UpdateRequest, Wanted, Write};
use super::super::route::{Attempt, Decision, route};
use super::super::rule::Who;
use super::super::support::{A, B, C, World, X, axb, real, tel, x};
use super::*;
use crate::base::chance::Chance;
use crate::base::limits::{BINDING_VERSIONS_KEPT, ENDED_RULES_KEPT, RULES_PER_KEY_MAX};
use crate::masking::keyed::Keyed;

fn pair(n: u32) -> (RealNumber, RealNumber) {
    (real(&format!("138{n:08}")), real(&format!("139{n:08}")))
}

#[test]
fn a_change_that_was_applied_is_passed_over() {
    let mut world = World::new();
    let id = world.bind(X, A, B);
    let bind = world.changes[1].clone();
    world.unbind(id);
    let counts = world.table.counts();
    world.table.apply(2, &bind);
    assert_eq!(world.table.counts(), counts);
    // Even under a number of its own, an older version doesn't bring an ended binding back.
    world.table.apply(9, &bind);
    assert_eq!(world.table.counts(), counts);
    assert_eq!(world.table.seq(), 9);
}

#[test]
fn a_forgotten_binding_doesnt_come_back_with_a_change_that_is_applied_again() {
    let mut world = World::new();
    let id = world.bind(X, A, B);
    world.unbind(id);
    world.apply(Change {
        records: vec![Record::Forget(id)],
    });
    // The first change added X, the second bound.
    world.table.apply(2, &world.changes[1]);
    assert_eq!(world.table.binding(id), None);
    assert_eq!(world.table.counts().rules, 0);
}

#[test]
fn a_pair_bound_again_and_again_keeps_a_bounded_number_of_rules_and_the_live_one() {
    let mut world = World::new();
    let mut id = world.bind(X, A, B);
    for _ in 0..3 * RULES_PER_KEY_MAX {
        world.later(5);
        world.unbind(id);
        world.later(5);
        id = world.bind(X, A, B);
    }
    let key = Key {
        dialled: tel(X),
        caller: Who::Number(tel(A)),
    };
    assert_eq!(world.table.rules(key).len(), RULES_PER_KEY_MAX);
    // A snapshot's order is that of the ids; whatever it is, the live rule stays.
    let mut records: Vec<_> = world.table.records().collect();
    records.reverse();
    let loaded = Table::new();
    for record in &records {
        loaded.load(record);
    }
    for table in [&world.table, &loaded] {
        let Decision::Connect(plan) = route(table, &world.attempt(X, A)) else {
            panic!("refused");
        };
        assert_eq!(plan.binding().id, id);
    }
}

#[test]
fn the_newest_stamp_is_that_of_the_last_bind_update_or_end() {
    let mut world = World::new();
    assert_eq!(world.table.newest_stamp(), Wall::default());
    let id = world.bind(X, A, B);
    assert_eq!(world.table.newest_stamp(), world.now);
    world.later(5_000);
    world.bind(X, "13800000777", C);
    assert_eq!(world.table.newest_stamp(), world.now);
    world.later(5_000);
    world.unbind(id);
    assert_eq!(world.table.newest_stamp(), world.now);
    let ended = world.now;
    world.later(5_000);
    assert_eq!(world.table.newest_stamp(), ended);
}

#[test]
fn a_binding_updated_again_and_again_keeps_a_bounded_number_of_versions() {
    let mut world = World::new();
    let id = world.bind(X, A, B);
    for n in 0..3 * BINDING_VERSIONS_KEPT as u32 {
        world.later(1);
        let mut request = UpdateRequest::of(id);
        request.b = Some(pair(n + 1).1);
        world.update(request).expect("free keys");
    }
    let versions = world.table.records.get(&id).map(|history| history.len());
    assert_eq!(versions, Some(BINDING_VERSIONS_KEPT));
    world.later(i64::try_from(ENDED_RULES_KEPT.as_millis()).expect("minutes") + 1);
    let mut request = UpdateRequest::of(id);
    request.b = Some(real(C));
    world.update(request).expect("a free key");
    let versions = world.table.records.get(&id).map(|history| history.len());
    assert_eq!(versions, Some(2), "the last one counted until now");
}

#[test]
fn readers_never_see_half_a_binding_while_it_changes() {
    // Away from A, B and C.
    const PAIRS: std::ops::Range<u32> = 100..105;
    let mut world = World::new();
    let id = world
        .try_bind({
            let mut request = axb(X, A, B);
            let (a, b) = pair(PAIRS.start);
            request.parties = Wanted::Axb { a, b };
            request
        })
        .expect("free keys")
        .id;
    // This one's A stays, so its record is there at every moment.
    let steady = world.bind(X, A, B);
    let table = Arc::new(std::mem::take(&mut world.table));
    let done = AtomicBool::new(false);
    let arrived = world.at(1_000_000_000);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut connected = 0_u32;
                while !done.load(Ordering::Acquire) {
                    let attempt = Attempt {
                        diverting: None,
                        dialled: tel(X),
                        caller: Some(tel(A)),
                        arrived,
                        digits: Keyed::Nothing,
                    };
                    assert!(matches!(route(&table, &attempt), Decision::Connect(_)));
                    for n in PAIRS {
                        let (a, b) = pair(n);
                        for (caller, called) in [(a, b), (b, a)] {
                            let attempt = Attempt {
                                diverting: None,
                                dialled: tel(X),
                                caller: Some(caller.reveal()),
                                arrived,
                                digits: Keyed::Nothing,
                            };
                            if let Decision::Connect(plan) = route(&table, &attempt) {
                                assert_eq!(plan.called(), called);
                                assert_eq!(plan.binding().parties, Parties::Axb { a, b });
                                connected += 1;
                            }
                        }
                    }
                }
                connected
            });
        }
        for n in 1..1_500 {
            world.later(1);
            let next = pair(PAIRS.start + n % PAIRS.len() as u32);
            let mut cycling = UpdateRequest::of(id);
            (cycling.a, cycling.b) = (Some(next.0), Some(next.1));
            let mut other = UpdateRequest::of(steady);
            other.b = Some(if n % 2 == 0 { real(B) } else { real(C) });
            for request in [cycling, other] {
                let write = Write::Update(request);
                let planned = table.plan(&write, world.now, &mut world.chance);
                table.apply(table.seq() + 1, &planned.expect("free keys").change);
            }
        }
        done.store(true, Ordering::Release);
    });
}

#[test]
fn a_hundred_thousand_bindings_are_found_listed_and_forgotten() {
    let table = Table::new();
    let now = Wall::from_millis(1_795_000_000_000);
    let mut chance = Chance::from_number(5);
    let pool = Pool::default_pool();
    let on = |n: u32| x(&format!("17{:09}", n / 100));
    let home = Arc::new(Home {
        account: pool.account.clone(),
        pool: pool.key.clone(),
    });
    let mut records = Vec::new();
    for n in 0..100_000 {
        if n % 100 == 0 {
            records.push(Record::Number(Number {
                x: on(n),
                pool: pool.key.clone(),
                account: pool.account.clone(),
                trunks: Vec::new(),
                city: None,
                operator: None,
                tags: Vec::new(),
                state: super::super::inventory::NumberState::Active,
                thawed: super::super::inventory::Thawed::Active,
                version: 1,
                added: now,
            }));
        }
        let (a, b) = pair(n);
        records.push(Record::Binding(Binding {
            id: Id::mint(now, &mut chance),
            version: 1,
            home: home.clone(),
            x: on(n),
            parties: Parties::Axb { a, b },
            terms: Terms::default(),
            created: now,
            since: now,
            expires: Wall::NEVER,
            ended: None,
        }));
    }
    table.apply(1, &Change { records });
    assert_eq!(table.counts().rules, 200_000);
    for n in (0..100_000).step_by(7) {
        let (a, b) = pair(n);
        let attempt = Attempt {
            diverting: None,
            dialled: on(n).tel(),
            caller: Some(b.reveal()),
            arrived: now,
            digits: Keyed::Nothing,
        };
        let Decision::Connect(plan) = route(&table, &attempt) else {
            panic!("refused");
        };
        assert_eq!(plan.called(), a);
    }
    let listed = table.records().filter(|r| matches!(r, Record::Binding(_)));
    let ids: Vec<Id> = listed
        .map(|record| match record {
            Record::Binding(binding) => binding.id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids.len(), 100_000);
    assert!(ids.is_sorted());
    let records = ids.into_iter().map(Record::Forget).collect();
    table.apply(2, &Change { records });
    let counts = table.counts();
    assert_eq!((counts.rules, counts.bindings_live), (0, 0));
}
