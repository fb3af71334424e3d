use super::super::binding::{Direction, Rare, Terms};
use super::super::inventory::Freeze;
use super::super::request::Write;
use super::super::support::{A, B, C, World, X, axb, real, x};
use super::*;
use crate::base::chance::Chance;

/// Every binding that the filter takes, read in pages of `limit`.
fn pages(world: &World, filter: &BindingFilter, limit: usize) -> Vec<Id> {
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let page = world.table.bindings(filter, world.now, cursor, limit);
        assert!(page.items.len() <= limit);
        ids.extend(page.items.iter().map(|binding| binding.id));
        cursor = page.next;
        if cursor.is_none() {
            return ids;
        }
    }
}

#[test]
fn pages_of_any_size_hold_every_binding_once_in_order() {
    let mut world = World::new();
    let mut ids: Vec<Id> = (0..20)
        .map(|n| world.bind(X, &format!("138{n:08}"), &format!("139{n:08}")))
        .collect();
    ids.sort();
    for limit in [1, 3, 19, 20, 21, 1_000] {
        assert_eq!(pages(&world, &BindingFilter::default(), limit), ids, "{limit}");
    }
    let on_x = BindingFilter {
        x: Some(x(X)),
        ..BindingFilter::default()
    };
    assert_eq!(pages(&world, &on_x, 7), ids);
}

#[test]
fn a_filter_takes_what_matches_all_of_it() {
    let mut world = World::new();
    world.add("17000000002");
    let mut request = axb(X, A, B);
    let rare = Rare {
        user_data: Some("u1".into()),
        order_id: Some("o1".into()),
        ..Rare::default()
    };
    request.terms = Terms::new(Direction::Both, false, rare);
    let first = world.try_bind(request).expect("free keys").id;
    let second = world.bind("17000000002", C, A);
    let any = BindingFilter::default;
    let found = |filter: BindingFilter| pages(&world, &filter, 10);
    let a = |digits| BindingFilter {
        a: Some(real(digits)),
        ..any()
    };
    let b = |digits| BindingFilter {
        b: Some(real(digits)),
        ..any()
    };
    assert_eq!(found(a(A)), [first]);
    assert_eq!(found(b(A)), [second]);
    assert_eq!(found(BindingFilter { b: b(A).b, ..a(A) }), []);
    let user_data = Some("u1".into());
    assert_eq!(found(BindingFilter { user_data, ..any() }), [first]);
    let order_id = Some("o2".into());
    assert_eq!(found(BindingFilter { order_id, ..any() }), []);
    let account = Some("other".into());
    assert_eq!(found(BindingFilter { account, ..any() }), []);
}

#[test]
fn ended_bindings_are_listed_when_they_are_asked_for() {
    let mut world = World::new();
    let mut request = axb(X, A, B);
    request.expires = Some(world.at(60_000));
    let expired = world.try_bind(request).expect("free keys").id;
    let unbound = world.bind(X, C, "13600000004");
    world.unbind(unbound);
    let of = |world: &World, living| {
        let filter = BindingFilter {
            living,
            ..BindingFilter::default()
        };
        pages(world, &filter, 10).len()
    };
    assert_eq!((of(&world, Living::Live), of(&world, Living::Ended)), (1, 1));
    world.later(60_000);
    assert_eq!((of(&world, Living::Live), of(&world, Living::Ended)), (0, 2));
    assert_eq!(of(&world, Living::All), 2);
    assert!(world.table.binding(expired).is_some());
}

#[test]
fn numbers_are_listed_by_pool_and_state_without_released_ones() {
    let mut world = World::new();
    for number in ["17000000002", "17000000003", "17000000004"] {
        world.add(number);
    }
    let mut set = |number, state| {
        let x = x(number);
        world.write(&Write::SetNumberState { x, state }).expect("ours");
    };
    set("17000000003", NumberState::Released);
    set("17000000004", NumberState::Frozen(Freeze::Arrears));
    let listed = |filter: NumberFilter, limit| {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let page = world.table.numbers(&filter, cursor, limit);
            all.extend(page.items.iter().map(|number| number.x));
            cursor = page.next;
            if cursor.is_none() {
                return all;
            }
        }
    };
    let ours = [x(X), x("17000000002"), x("17000000004")];
    assert_eq!(listed(NumberFilter::default(), 1), ours);
    let pool = Some(world.table.pool("default").expect("there").key.clone());
    assert_eq!(
        listed(
            NumberFilter {
                pool,
                ..NumberFilter::default()
            },
            10
        ),
        ours
    );
    let in_state = |state| NumberFilter {
        state,
        ..NumberFilter::default()
    };
    assert_eq!(listed(in_state(NumberWish::Released), 10), [x("17000000003")]);
    assert_eq!(listed(in_state(NumberWish::Frozen), 10), [x("17000000004")]);
    assert_eq!(listed(in_state(NumberWish::Idle), 10), [x(X), x("17000000002")]);
    assert_eq!(listed(in_state(NumberWish::Bound), 10), []);
    assert_eq!(world.table.counts().numbers, 3);
}

#[test]
fn pools_and_accounts_are_listed_in_pages() {
    let mut world = World::new();
    for n in 0..5 {
        let name = format!("n{n}").into_boxed_str();
        world
            .write(&Write::AddAccount { name: name.clone() })
            .expect("a new name");
        let add = Write::AddPool {
            account: Some(name.clone()),
            name,
            mode: super::super::binding::Mode::Axb,
            settings: Box::default(),
        };
        world.write(&add).expect("a new name");
    }
    let (mut pools, mut accounts) = (Vec::new(), Vec::new());
    let mut cursor: Option<Box<str>> = None;
    loop {
        let page = world.table.pools(cursor.as_deref(), 4);
        pools.extend(page.items.iter().map(|pool| pool.name.to_string()));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    loop {
        let page = world.table.accounts(cursor.as_deref(), 4);
        accounts.extend(page.items.iter().map(|account| account.name.to_string()));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(pools, ["default", "n0", "n1", "n2", "n3", "n4"]);
    assert_eq!(accounts, pools);
}

#[test]
fn a_snapshot_taken_while_writing_goes_on_holds_what_was_there_throughout() {
    let mut world = World::new();
    let ids: Vec<Id> = (0..1_500)
        .map(|n| {
            world.add(&format!("171{n:08}"));
            world.bind(&format!("171{n:08}"), A, B)
        })
        .collect();
    let mut sorted = ids.clone();
    sorted.sort();
    let table = std::mem::take(&mut world.table);
    let seq = table.seq();
    let mut chance = Chance::from_number(9);
    let mut seen = Vec::new();
    for (i, record) in table.records().enumerate() {
        // One end for each record that is read, while the reading goes on.
        if let Some(id) = sorted.get(i).filter(|_| i % 3 == 0) {
            let write = Write::Unbind(super::super::request::Unbind::Id(*id));
            let planned = table.plan(&write, world.now, &mut chance).expect("live");
            table.apply(seq + 1 + i as u64, &planned.change);
        }
        match record {
            Record::Binding(binding) => seen.push(binding.id),
            Record::Account(_)
            | Record::Pool(_)
            | Record::Number(_)
            | Record::Forget(_)
            | Record::Callee(_)
            | Record::CalleeGone(_)
            | Record::Group(_)
            | Record::GroupGone(_)
            | Record::Member(_)
            | Record::MemberGone(..)
            | Record::Last(_)
            | Record::LastGone(_) => {}
        }
    }
    assert_eq!(seen, sorted);
}

#[test]
fn the_law_has_records_kept_where_a_700_number_is() {
    for (number, days) in [
        ("17000000001", None),
        ("95588", None),
        ("4001234567", None),
        ("700000000000000", Some(184)),
        ("700999999999999", Some(184)),
    ] {
        let mut world = World::new();
        if number != X {
            world.add(number);
        }
        assert_eq!(world.table.kept_at_least_days(), days, "{number}");
    }
}
