//! What the classes of numbers allow.

use crate::masking::binding::{Binding, Direction, Ended, Mode, Rare, Terms};
use crate::masking::change::{Change, Record};
use crate::masking::reason::Reason;
use crate::masking::request::{Import, PoolChoice, Refused, UpdateRequest, Wanted, Write, XChoice};
use crate::masking::route::Decision;
use crate::masking::support::{A, B, C, World, X, ax, axb, axyb, x};

const FREE: &str = "4001234567";
const SHOP: &str = "95001";
const PLATFORM: &str = "700100000010001";
const OTHER: &str = "700100000010002";

fn with_order(order: &str) -> Terms {
    let rare = Rare {
        order_id: Some(order.into()),
        ..Rare::default()
    };
    Terms::new(Direction::Both, false, rare)
}

fn said(refused: &Refused) -> (&'static str, Option<&'static str>) {
    (refused.code(), refused.field())
}

#[test]
fn a_400_number_is_neither_x_nor_y_of_anything() {
    let mut world = World::new();
    world.add(FREE);
    let refused = world.try_bind(axb(FREE, A, B)).expect_err("a 400 number");
    assert_eq!(said(&refused), ("class_400", Some("x")));
    world.pool(Mode::Ax, &["4001234568"]);
    world.pool(Mode::Axyb, &["4001234569", "17000000009"]);
    for request in [
        ax("4001234568", A),
        axyb("4001234569", A, "17000000009", B),
        axyb("17000000009", A, "4001234569", B),
    ] {
        assert_eq!(
            world.try_bind(request).expect_err("a 400 number").code(),
            "class_400"
        );
    }
}

#[test]
fn a_400_number_that_was_bound_elsewhere_is_never_shown() {
    let mut world = World::new();
    world.add(FREE);
    let id = world.bind(X, A, B);
    let was = world.table.binding(id).expect("just bound");
    // As an older store may hold it.
    let old = Binding {
        version: 2,
        x: x(FREE),
        ..(*was).clone()
    };
    let back = Write::put_back(Record::Binding(old.clone()));
    assert_eq!(world.write(&back).expect_err("by the law").code(), "class_400");
    world.apply(Change {
        records: vec![Record::Binding(old)],
    });
    for caller in [A, B] {
        match world.call(FREE, caller) {
            Decision::Refuse(refusal) => assert_eq!(refusal.reason, Reason::TrunkMayNotShow),
            other @ (Decision::Connect(_) | Decision::Collect(_) | Decision::Ask(_)) => panic!("{other:?}"),
        }
    }
    // What should not be there can be taken away.
    world.unbind(id);
    let ended = world.table.binding(id).and_then(|binding| binding.ended);
    assert_eq!(ended.map(|(_, why)| why), Some(Ended::Unbound));
}

#[test]
fn a_700_number_masks_both_sides_and_names_an_order() {
    let mut world = World::new();
    world.add(PLATFORM);
    world.pool(Mode::Ax, &["700100000010003"]);
    world.pool(Mode::Axyb, &[OTHER, "17000000009"]);
    let refused = world.try_bind(axb(PLATFORM, A, B)).expect_err("no order");
    assert_eq!(said(&refused), ("class_700", Some("order_id")));
    let mut request = axb(PLATFORM, A, B);
    request.terms = with_order("");
    assert_eq!(
        world.try_bind(request.clone()).expect_err("none").code(),
        "class_700"
    );
    request.terms = with_order("order 7");
    let id = world.try_bind(request.clone()).expect("as the law wants").id;

    let mut forgets = UpdateRequest::of(id);
    forgets.terms.order_id = Some(None);
    assert_eq!(
        said(&world.update(forgets).expect_err("the order")),
        ("class_700", Some("order_id"))
    );
    let mut renames = UpdateRequest::of(id);
    renames.terms.order_id = Some(Some("order 8".into()));
    assert!(world.update(renames).is_ok());

    let mut request = ax("700100000010003", A);
    request.terms = with_order("order 7");
    let refused = world.try_bind(request).expect_err("one side only");
    assert_eq!(said(&refused), ("class_700", Some("mode")));

    let mut request = axyb("17000000009", A, OTHER, C);
    assert_eq!(
        world.try_bind(request.clone()).expect_err("y is 700").code(),
        "class_700"
    );
    let import = Write::Import(Box::new(Import {
        request: request.clone(),
        id: None,
        created: None,
    }));
    assert_eq!(
        world.write(&import).expect_err("the same law").code(),
        "class_700"
    );
    request.terms = with_order("order 7");
    assert!(world.try_bind(request).is_ok());
}

#[test]
fn a_pool_passes_over_numbers_whose_class_doesnt_suit() {
    let mut world = World::new();
    for number in [FREE, PLATFORM] {
        world.add(number);
    }
    let mut request = axb(X, A, B);
    request.x = XChoice::FromPool(PoolChoice {
        pool: "default".into(),
        city: None,
    });
    let chosen = world.try_bind(request.clone()).expect("one is plain");
    assert_eq!(chosen.x, x(X));
    // The plain one serves A already.
    request.parties = Wanted::Axb {
        a: crate::masking::support::real(A),
        b: crate::masking::support::real(C),
    };
    assert_eq!(
        world.try_bind(request.clone()).expect_err("none").code(),
        "no_number"
    );
    request.terms = with_order("order 7");
    assert_eq!(world.try_bind(request).expect("with an order").x, x(PLATFORM));
}

#[test]
fn a_95_number_takes_the_wish_to_record() {
    let mut world = World::new();
    world.add(SHOP);
    let mut request = axb(SHOP, A, B);
    request.terms = Terms::new(Direction::Both, true, Rare::default());
    assert!(world.try_bind(request).expect("a wish is no harm").terms.record);
}
