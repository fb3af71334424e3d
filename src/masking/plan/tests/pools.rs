//! X chosen by a pool.

use super::*;

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
