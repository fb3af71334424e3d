//! The choice against a model that looks at every number, one after another.

use crate::masking::quarantine;
use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::base::id::Id;
use crate::base::limits::{AVOID_STICKY, HISTORY_LOOK_BACK};
use crate::base::number::VirtualNumber;
use crate::base::time::Wall;
use crate::masking::binding::Mode;
use crate::masking::inventory::{CityRule, NumberState, Reuse};
use crate::masking::plan::Planner;
use crate::masking::request::{
    BindRequest, DryRun, NumberChange, OnConflict, PoolChange, PoolChoice, Refused, Unbind, Wanted, Write,
    Written, XChoice,
};
use crate::masking::shelf::Shortage;
use crate::masking::support::{A, B, C, World, axb, real, x};

const CITIES: [Option<&str>; 4] = [None, Some("Qingdao"), Some("Jinan"), Some("Yantai")];
const LIMIT: usize = 3;

fn number(n: usize) -> String {
    format!("171{n:08}")
}

fn person(n: usize) -> String {
    format!("138{n:08}")
}

fn from_pool(a: &str, b: &str, city: Option<&str>) -> BindRequest {
    BindRequest {
        x: XChoice::FromPool(PoolChoice {
            pool: "crowd".into(),
            city: city.map(Into::into),
        }),
        ..axb("17000000001", a, b)
    }
}

/// A world with a pool of so many numbers, each in one of the cities.
fn crowd(numbers: usize, mode: Mode, settings: PoolChange) -> World {
    let mut world = World::new();
    let add = Write::AddPool {
        name: "crowd".into(),
        mode,
        account: None,
        settings: Box::new(settings),
    };
    world.write(&add).expect("a new pool");
    for n in 0..numbers {
        add_number(&mut world, &number(n), CITIES[n % CITIES.len()]);
    }
    world
}

fn add_number(world: &mut World, n: &str, city: Option<&str>) {
    let about = NumberChange {
        city: Some(city.map(Into::into)),
        ..NumberChange::default()
    };
    let mut add = Write::add_number(x(n));
    if let Write::AddNumber {
        pool, about: said, ..
    } = &mut add
    {
        *pool = Some("crowd".into());
        **said = about;
    }
    world.write(&add).expect("a new number");
}

#[derive(Clone, Debug)]
enum Step {
    Choose {
        a: usize,
        b: usize,
        city: usize,
        ttl_s: Option<i64>,
        dry_run: bool,
    },
    Unbind(usize),
    Lock(usize),
    Unlock(usize),
    Wait(i64),
    WriteEnds,
    /// What was planned so far becomes durable.
    Commit,
}

fn step(people: usize) -> impl Strategy<Value = Step> {
    let choose = (
        0..people,
        0..people,
        0..CITIES.len(),
        prop::option::of(60..200_i64),
        prop::bool::weighted(0.1),
    );
    prop_oneof![
        8 => choose.prop_map(|(a, b, city, ttl_s, dry_run)| Step::Choose { a, b, city, ttl_s, dry_run }),
        3 => any::<usize>().prop_map(Step::Unbind),
        1 => any::<usize>().prop_map(Step::Lock),
        1 => any::<usize>().prop_map(Step::Unlock),
        2 => (0..100_000_i64).prop_map(Step::Wait),
        1 => Just(Step::WriteEnds),
        2 => Just(Step::Commit),
    ]
}

/// A binding that was made, as the model keeps it.
struct Made {
    id: Id,
    x: VirtualNumber,
    a: usize,
    b: usize,
    until: Wall,
}

struct Model {
    numbers: usize,
    locked: BTreeMap<usize, ()>,
    made: Vec<Made>,
    city_rule: CityRule,
    reuse: Reuse,
}

impl Model {
    /// Every number that may be given, with the place of its city among those asked for.
    fn allowed(&self, a: usize, b: usize, city: Option<&str>, now: Wall) -> Vec<(VirtualNumber, usize)> {
        let fits = |n: &usize| {
            let on: Vec<&Made> = self.made.iter().filter(|made| made.x == x(&number(*n))).collect();
            let live = on.iter().filter(|made| now < made.until);
            let serves = |made: &&&Made| [made.a, made.b].iter().any(|p| [a, b].contains(p));
            let lately = |made: &&&Made| now < made.until.plus(AVOID_STICKY) && serves(made);
            !self.locked.contains_key(n)
                && live.clone().count() < LIMIT
                && live.clone().all(|made| !serves(&made))
                && (self.reuse != Reuse::Avoid || !on.iter().any(|made| lately(&made)))
        };
        let place = |n: usize| {
            let of = CITIES[n % CITIES.len()];
            match (city, self.city_rule) {
                (None, _) => Some(0),
                (Some(city), _) if of == Some(city) => Some(0),
                (Some(_), CityRule::Strict) => None,
                // Yantai is what the pool falls back on.
                (Some(_), CityRule::Loose) if of == Some("Yantai") => Some(1),
                (Some(_), CityRule::Loose) => Some(2),
            }
        };
        let fitting = (0..self.numbers).filter(fits);
        fitting.filter_map(|n| Some((x(&number(n)), place(n)?))).collect()
    }

    /// What a sticky pool has to give.
    fn sticky(&self, a: usize, allowed: &[(VirtualNumber, usize)]) -> Option<VirtualNumber> {
        let with = |made: &&Made| [made.a, made.b].contains(&a);
        let his = self.made.iter().rev().filter(with).take(HISTORY_LOOK_BACK);
        his.filter(|made| made.a == a)
            .map(|made| made.x)
            .find(|x| allowed.iter().any(|(allowed, _)| allowed == x))
    }
}

fn plays(numbers: usize, city_rule: CityRule, reuse: Reuse, steps: &[Step], full: &[usize]) {
    let settings = PoolChange {
        axb_pairs_per_x: Some(LIMIT),
        city_rule: Some(city_rule),
        fallback_cities: Some(vec!["Yantai".into()]),
        reuse: Some(reuse),
        // What rests is another test's.
        quarantine: Some(Some("0s soft".parse().expect("a quarantine"))),
        ..PoolChange::default()
    };
    let mut world = crowd(numbers, Mode::Axb, settings);
    let mut model = Model {
        numbers,
        locked: BTreeMap::new(),
        made: Vec::new(),
        city_rule,
        reuse,
    };
    // Person 0 is on these from the start, with people of whom nothing more is heard.
    for (i, n) in full.iter().enumerate() {
        world.later(1);
        let id = world.bind(&number(*n), &person(0), &person(1_000 + i));
        model.made.push(Made {
            id,
            x: x(&number(*n)),
            a: 0,
            b: 1_000 + i,
            until: Wall::NEVER,
        });
    }
    let mut changes = Vec::new();
    let (table, mut now, mut chance) = (std::mem::take(&mut world.table), world.now, world.chance);
    // The model knows of no quarantine: that has tests of its own.
    table.set_quarantine(quarantine::Config {
        axb: "0s soft".parse().expect("a quarantine"),
        ..quarantine::Config::default()
    });
    let mut group = table.planner();
    for step in steps {
        now = now.plus(std::time::Duration::from_millis(1));
        let mut write = |group: &mut Planner<'_>, write: Write| {
            let planned = group.plan(&write, now, &mut chance)?;
            changes.push(planned.change);
            Ok::<Written, Refused>(planned.written)
        };
        match step {
            Step::Choose {
                a,
                b,
                city,
                ttl_s,
                dry_run,
            } => {
                let (a, b, city) = (*a, *b, CITIES[*city]);
                let mut request = from_pool(&person(a), &person(b), city);
                request.expires = ttl_s.map(|s| Wall::from_millis(now.as_millis() + s * 1_000));
                request.dry_run = if *dry_run { DryRun::Yes } else { DryRun::No };
                request.on_conflict = OnConflict::Fail;
                let until = request.expires.unwrap_or(Wall::NEVER);
                let answer = write(&mut group, Write::Bind(request));
                if a == b {
                    assert_eq!(answer, Err(Refused::SameNumber));
                    continue;
                }
                let allowed = model.allowed(a, b, city, now);
                match answer {
                    Ok(Written::Binding(binding) | Written::DryRun(binding)) => {
                        let given = allowed.iter().find(|(x, _)| *x == binding.x);
                        let (_, place) = given.expect("the number is none of those allowed");
                        match model.sticky(a, &allowed).filter(|_| reuse == Reuse::Sticky) {
                            Some(his) => assert_eq!(binding.x, his),
                            None => {
                                let nearest = allowed.iter().map(|(_, place)| place).min();
                                assert_eq!(Some(place), nearest);
                            }
                        }
                        if !dry_run {
                            model.made.push(Made {
                                id: binding.id,
                                x: binding.x,
                                a,
                                b,
                                until,
                            });
                        }
                    }
                    Err(Refused::NoNumber { .. }) => assert_eq!(allowed, []),
                    other => panic!("{other:?}"),
                }
            }
            Step::Unbind(n) => {
                let count = model.made.len().max(1);
                if let Some(made) = model.made.get_mut(n % count) {
                    let answer = write(&mut group, Write::Unbind(Unbind::Id(made.id)));
                    assert_eq!(answer.is_ok(), now < made.until);
                    made.until = made.until.min(now);
                }
            }
            Step::Lock(n) | Step::Unlock(n) => {
                let n = n % numbers;
                let state = match step {
                    Step::Lock(_) => NumberState::Locked,
                    _ => NumberState::Active,
                };
                let x = x(&number(n));
                write(&mut group, Write::SetNumberState { x, state }).expect("ours");
                match state {
                    NumberState::Locked => _ = model.locked.insert(n, ()),
                    _ => _ = model.locked.remove(&n),
                }
            }
            Step::Wait(ms) => now = now.plus(std::time::Duration::from_millis(ms.unsigned_abs())),
            Step::WriteEnds => {
                for id in table.due(now, 100) {
                    write(&mut group, Write::Expire { id }).expect("known");
                }
            }
            Step::Commit => {
                for change in changes.drain(..) {
                    table.apply(table.seq() + 1, &change);
                }
                group = table.planner();
            }
        }
    }
}

fn rules() -> impl Strategy<Value = (CityRule, Reuse)> {
    let city = prop_oneof![Just(CityRule::Loose), Just(CityRule::Strict)];
    let reuse = prop_oneof![Just(Reuse::Any), Just(Reuse::Sticky), Just(Reuse::Avoid)];
    (city, reuse)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_small_pool_gives_a_number_whenever_the_model_finds_one(
        (city, reuse) in rules(),
        steps in prop::collection::vec(step(6), 1..80),
    ) {
        plays(7, city, reuse, &steps, &[]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn a_pool_gives_the_last_numbers_to_somebody_who_is_on_all_others(
        (city, reuse) in rules(),
        steps in prop::collection::vec(step(3), 1..60),
        but in prop::collection::btree_set(0..100_usize, 0..6),
    ) {
        let full: Vec<usize> = (0..100).filter(|n| !but.contains(n)).collect();
        plays(100, city, reuse, &steps, &full);
    }
}

fn shortage(answer: Result<Written, Refused>) -> (Shortage, String) {
    match answer {
        Err(refused @ Refused::NoNumber { .. }) => {
            let sentence = refused.sentence(&crate::base::number::NumberPlan::default());
            assert_eq!((refused.code(), refused.field()), ("no_number", Some("pool")));
            match refused {
                Refused::NoNumber { shortage, .. } => (shortage, sentence),
                other => panic!("{other:?}"),
            }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pool_without_a_number_says_what_it_is_short_of_and_what_helps() {
    let strict = |reuse| PoolChange {
        axb_pairs_per_x: Some(1),
        city_rule: Some(CityRule::Strict),
        reuse: Some(reuse),
        ..PoolChange::default()
    };
    let mut world = crowd(0, Mode::Axb, strict(Reuse::Any));
    let ask = |world: &mut World, a: &str, city| shortage(world.write(&Write::Bind(from_pool(a, B, city))));
    assert_eq!(
        ask(&mut world, A, None),
        (Shortage::Empty, "pool crowd has no numbers: add some".into())
    );
    add_number(&mut world, "17100000000", Some("Jinan"));
    let (lack, sentence) = ask(&mut world, A, Some("Qingdao"));
    assert_eq!(lack, Shortage::City);
    assert!(sentence.contains("no numbers of Qingdao"), "{sentence}");
    let set = |world: &mut World, state| {
        let x = x("17100000000");
        world.write(&Write::SetNumberState { x, state }).expect("ours");
    };
    set(&mut world, NumberState::Locked);
    assert_eq!(ask(&mut world, A, None).0, Shortage::OutOfService);
    set(&mut world, NumberState::Active);
    world.bind("17100000000", A, C);
    let (lack, sentence) = ask(&mut world, "13800000009", None);
    assert_eq!(lack, Shortage::Full);
    assert!(sentence.contains("raise the limit"), "{sentence}");
    let more = |reuse| Write::SetPool {
        pool: "crowd".into(),
        name: None,
        settings: Box::new(PoolChange {
            axb_pairs_per_x: Some(9),
            reuse: Some(reuse),
            ..PoolChange::default()
        }),
    };
    world.write(&more(Reuse::Any)).expect("in range");
    assert_eq!(ask(&mut world, A, None).0, Shortage::Taken);
    world.write(&more(Reuse::Avoid)).expect("in range");
    world
        .write(&Write::Unbind(Unbind::X(x("17100000000"))))
        .expect("bound");
    world.later(1);
    let (lack, sentence) = ask(&mut world, A, None);
    assert_eq!(lack, Shortage::Avoided);
    assert!(sentence.contains("served one of them lately"), "{sentence}");
}

#[test]
fn a_number_in_ax_is_one_subscribers_and_the_next_gets_another() {
    let mut world = crowd(3, Mode::Ax, PoolChange::default());
    let ax = |a: &str| BindRequest {
        parties: Wanted::Ax { a: real(a) },
        ..from_pool(a, B, None)
    };
    let mut given = Vec::new();
    for a in [A, A, B] {
        given.push(world.try_bind(ax(a)).expect("idle numbers").x);
    }
    given.sort();
    given.dedup();
    assert_eq!(given.len(), 3);
    let refused = world.try_bind(ax(C)).expect_err("all are taken");
    assert_eq!(refused.code(), "no_number");
}

#[test]
fn in_axyb_the_pool_chooses_both_numbers_and_x_stays_with_its_owner() {
    let mut world = crowd(4, Mode::Axyb, PoolChange::default());
    let choice = || from_pool(A, B, None).x;
    let axyb = |a: &str, b: &str| BindRequest {
        parties: Wanted::Axyb {
            a: real(a),
            y: choice(),
            b: real(b),
        },
        ..from_pool(a, b, None)
    };
    let first = world.try_bind(axyb(A, B)).expect("two numbers are free");
    assert_ne!(Some(first.x), first.parties.y());
    let second = world.try_bind(axyb(A, C)).expect("another Y");
    assert_eq!(second.x, first.x, "X is A's, and takes more relations");
    assert_ne!(
        second.parties.y(),
        first.parties.y(),
        "A dials Y to reach one of them"
    );
    let other = world.try_bind(axyb("13800000009", B)).expect("another X");
    assert_ne!(other.x, first.x);
}

#[test]
fn a_pool_is_low_below_its_mark_and_well_again_only_clearly_above_it() {
    let settings = PoolChange {
        axb_pairs_per_x: Some(10),
        free_low_percent: Some(20),
        ..PoolChange::default()
    };
    let mut world = crowd(1, Mode::Axb, settings);
    let pool = world.table.pool("crowd").expect("there").key.clone();
    let mut ids = Vec::new();
    let mut bind = |world: &mut World, n: usize| {
        ids.push(world.bind("17100000000", &person(n), &person(100 + n)));
    };
    for n in 0..8 {
        bind(&mut world, n);
        assert!(!world.table.level(&pool).is_low(), "{n}");
    }
    bind(&mut world, 8);
    assert!(world.table.level(&pool).is_low(), "one of ten is free");
    let unbind = |world: &mut World, id: Id| world.unbind(id);
    let ids = ids;
    unbind(&mut world, ids[0]);
    assert!(
        world.table.level(&pool).is_low(),
        "20 % are free, 25 % would be well"
    );
    unbind(&mut world, ids[1]);
    assert!(!world.table.level(&pool).is_low());
    let (usage, _) = world.table.usage(&pool);
    assert_eq!((usage.capacity, usage.free, usage.free_percent()), (10, 3, 30));
}

#[test]
fn a_pool_whose_numbers_all_rest_hard_says_so_and_a_soft_one_gives_the_longest_rested_of_the_city() {
    for (quarantine, answer) in [("1h hard", None), ("1h soft", Some("17100000002"))] {
        let settings = PoolChange {
            quarantine: Some(Some(quarantine.parse().expect("a quarantine"))),
            ..PoolChange::default()
        };
        let mut world = crowd(0, Mode::Axb, settings);
        for (n, city) in [
            ("17100000001", "Jinan"),
            ("17100000002", "Qingdao"),
            ("17100000003", "Qingdao"),
        ] {
            add_number(&mut world, n, Some(city));
            let id = world.bind(n, A, B);
            world.later(1_000);
            world.unbind(id);
        }
        let asked = world.write(&Write::Bind(from_pool(A, C, Some("Qingdao"))));
        match answer {
            None => assert_eq!(shortage(asked).0, Shortage::Resting),
            Some(n) => match asked {
                Ok(Written::Binding(binding)) => assert_eq!(binding.x, x(n)),
                other => panic!("{other:?}"),
            },
        }
        // The pair that had them may have them again.
        world.try_bind(from_pool(A, B, None)).expect("its own keys");
    }
}
