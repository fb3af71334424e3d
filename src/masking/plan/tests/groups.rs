//! Groups, work numbers and 400 numbers: what may be bound, and who is reached then.

use super::*;
use crate::base::number::Shown;
use crate::masking::inventory::Callback;
use crate::masking::reason::Reason;
use crate::masking::request::{Field, GroupRefused, PutBack, Unbind};
use crate::masking::route::route;
use crate::masking::support::{axg, gxb, gxyb, inbound, paired, work};
use crate::masking::turns::{Order, Ring};

const X: &str = "17000000041";
const Y: &str = "17000000042";
const Z: &str = "17000000043";
fn reaches(world: &World, dialled: &str, caller: &str) -> Result<(RealNumber, Shown), Reason> {
    match world.call(dialled, caller) {
        Decision::Connect(plan) => Ok((plan.called(), plan.shown())),
        Decision::Collect(_) | Decision::Ask(_) => panic!("nobody is asked"),
        Decision::Refuse(refusal) => Err(refusal.reason),
    }
}

fn shown(number: &str, on: &str) -> Result<(RealNumber, Shown), Reason> {
    Ok((real(number), Shown::Virtual(x(on))))
}

fn joins(world: &mut World, group: GroupId, number: &str) -> Result<(), Refused> {
    let numbers = vec![real(number)];
    world.write(&Write::Join { group, numbers }).map(drop)
}

fn leaves(world: &mut World, group: GroupId, number: &str) {
    let numbers = vec![real(number)];
    world
        .write(&Write::Leave { group, numbers })
        .expect("it is there");
}

fn world(mode: Mode) -> World {
    let mut world = World::new();
    world.pool(mode, &[X, Y, Z]);
    world
}

#[test]
fn only_who_is_a_member_when_the_call_arrives_reaches_a() {
    let mut world = world(Mode::Axg);
    let group = world.group("axg", &[B]);
    world.try_bind(axg(X, A, group)).expect("free keys");
    assert_eq!(reaches(&world, X, B), shown(A, X));
    assert_eq!(reaches(&world, X, C), Err(Reason::NoBinding));
    let before = world.attempt(X, C);
    world.later(10);
    joins(&mut world, group, C).expect("nobody has the key");
    assert_eq!(reaches(&world, X, C), shown(A, X));
    let Decision::Refuse(refusal) = route(&world.table, &before) else {
        panic!("he was no member then")
    };
    assert_eq!(refusal.reason, Reason::NoBinding);
    world.later(10);
    let within = world.attempt(X, B);
    world.later(10);
    leaves(&mut world, group, B);
    assert_eq!(reaches(&world, X, B), Err(Reason::Expired));
    assert!(matches!(route(&world.table, &within), Decision::Connect(_)));
}

#[test]
fn a_calls_back_members_only() {
    let mut world = world(Mode::Axg);
    let group = world.group("axg", &[B]);
    let id = world.try_bind(axg(X, A, group)).expect("free keys").id;
    assert_eq!(reaches(&world, X, A), Err(Reason::NoCallee));
    let stranger = world.callee(id, C).expect_err("he is no member");
    assert_eq!(stranger.code(), "not_member");
    world.callee(id, B).expect("he is one");
    assert_eq!(reaches(&world, X, A), shown(B, X));
    world.later(10);
    leaves(&mut world, group, B);
    assert_eq!(reaches(&world, X, A), Err(Reason::NoCallee));
}

#[test]
fn b_reaches_the_groups_default_unless_somebody_was_named() {
    let mut world = world(Mode::Gxyb);
    let group = world.group("gxyb", &[A, C]);
    let id = world.try_bind(gxyb(X, group, Y, B)).expect("free keys").id;
    assert_eq!(reaches(&world, Y, C), shown(B, X));
    assert_eq!(reaches(&world, X, B), Err(Reason::NoCallee));
    assert_eq!(reaches(&world, Y, B), Err(Reason::SelfCall));
    let default = Some(Some(real(A)));
    let name = None;
    world
        .write(&Write::SetGroup { group, name, default })
        .expect("a member");
    assert_eq!(reaches(&world, X, B), shown(A, Y));
    world.callee(id, C).expect("a member");
    assert_eq!(reaches(&world, X, B), shown(C, Y));
}

#[test]
fn one_group_a_number_in_axg_and_gxb() {
    let mut world = world(Mode::Gxb);
    let (one, other) = (world.group("gxb", &[A]), world.group("gxb", &[C]));
    let id = world.try_bind(gxb(X, one, B)).expect("free keys").id;
    let refused = world.try_bind(gxb(X, other, D)).expect_err("X is taken");
    assert_eq!((refused.code(), refused.binding()), ("key_taken", Some(id)));
    assert!(world.try_bind(gxb(Y, other, D)).is_ok());
}

#[test]
fn a_group_with_bindings_stays_and_one_without_members_gets_none() {
    let mut world = world(Mode::Axg);
    let group = world.group("axg", &[B]);
    let id = world.try_bind(axg(X, A, group)).expect("free keys").id;
    let remove = Write::RemoveGroup { group };
    let binding = id;
    let bound = Refused::Group(GroupRefused::Bound { group, binding });
    assert_eq!(world.write(&remove), Err(bound));
    world.unbind(id);
    leaves(&mut world, group, B);
    let empty = Refused::Group(GroupRefused::Empty { group });
    assert_eq!(world.try_bind(axg(X, A, group)).err(), Some(empty));
    assert!(world.write(&remove).is_ok());
    let gone = Refused::Group(GroupRefused::Unknown { group });
    assert_eq!(joins(&mut world, group, B), Err(gone));
}

#[test]
fn a_party_is_no_member_and_a_member_no_party() {
    let mut world = world(Mode::Axg);
    let group = world.group("axg", &[A, B]);
    let party = |number| Some(Refused::Group(GroupRefused::IsParty { number: real(number) }));
    assert_eq!(world.try_bind(axg(X, A, group)).err(), party(A));
    world.try_bind(axg(X, C, group)).expect("free keys");
    assert_eq!(joins(&mut world, group, C).err(), party(C));
    let ours = joins(&mut world, group, Y).expect_err("a number of ours");
    assert_eq!(ours.code(), "own_number");
}

#[test]
fn a_key_of_y_is_one_persons_however_he_has_it() {
    let mut world = world(Mode::Gxyb);
    let group = world.group("gxyb", &[A]);
    let other = world.group("gxyb", &[C, D]);
    let id = world.try_bind(gxyb(X, group, Y, B)).expect("free keys").id;
    // A second group on Y shares nobody with the first one…
    world
        .try_bind(gxyb(Z, other, Y, "13500000005"))
        .expect("free keys");
    // … and doesn't come to.
    world.later(10);
    let refused = joins(&mut world, other, A).expect_err("A has a key on Y");
    assert_eq!((refused.code(), refused.binding()), ("key_taken", Some(id)));
    world.later(10);
    leaves(&mut world, group, A);
    world.later(10);
    joins(&mut world, other, A).expect("he left");
    assert_eq!(reaches(&world, Y, A), shown("13500000005", Z));
    let third = world.group("gxyb", &[D]);
    let refused = world.try_bind(gxyb(X, third, Y, B));
    assert_eq!(refused.err().map(|refused| refused.code()), Some("key_taken"));
}

#[test]
fn a_customer_reaches_the_employee_and_he_the_one_who_was_paired_last() {
    let mut world = world(Mode::Xb);
    let none = world.try_bind(paired(X, A)).expect_err("nobody works there");
    assert_eq!(none.code(), "no_work_number");
    let id = world.try_bind(work(X, B)).expect("free keys").id;
    assert_eq!(reaches(&world, X, A), Err(Reason::NoBinding));
    assert_eq!(reaches(&world, X, B), Err(Reason::NoCallee));
    world.try_bind(paired(X, A)).expect("free keys");
    world.later(10);
    let last = world.try_bind(paired(X, C)).expect("free keys").id;
    assert_eq!(reaches(&world, X, A), shown(B, X));
    assert_eq!(reaches(&world, X, B), shown(C, X));
    let strange = world.callee(id, D).expect_err("nobody's customer");
    assert_eq!(strange.code(), "not_paired");
    world.callee(id, A).expect("a customer");
    assert_eq!(reaches(&world, X, B), shown(A, X));
    world
        .write(&Write::ClearCallee { id, only: None })
        .expect("it is there");
    let before = world.attempt(X, B);
    world.later(10);
    world.unbind(last);
    assert_eq!(reaches(&world, X, B), shown(A, X));
    let Decision::Connect(plan) = route(&world.table, &before) else {
        panic!("he was paired then")
    };
    assert_eq!(plan.called(), real(C));
    world.later(10);
    world.write(&Write::Unbind(Unbind::Id(id))).expect("live");
    assert_eq!(reaches(&world, X, A), Err(Reason::Expired));
    assert_eq!(reaches(&world, X, B), Err(Reason::Expired));
    assert_eq!(world.table.counts().bindings_live, 0);
}

#[test]
fn a_work_number_rings_the_employee_and_then_his_list_or_the_list_alone() {
    let mut world = world(Mode::Xb);
    let mut request = work(X, B);
    let ring = |order| Ring {
        order,
        list: vec![real(C), real(D)],
        each: Duration::from_secs(10),
    };
    request.terms = with_ring(ring(Order::Conditional));
    let mut help = request.clone();
    help.terms = with_ring(Ring {
        list: vec![real(C), real("120")],
        ..ring(Order::Conditional)
    });
    let refused = world.try_bind(help).expect_err("an emergency number");
    assert_eq!((refused.code(), refused.field()), ("out_of_bounds", Some("ring")));
    let id = world.try_bind(request).expect("free keys").id;
    world.try_bind(paired(X, A)).expect("free keys");
    let order = |world: &World| {
        let Decision::Connect(plan) = world.call(X, A) else {
            panic!("he is a customer")
        };
        let others: Vec<RealNumber> = plan.others().to_vec();
        let next = std::iter::successors(Some(plan), |plan| plan.next());
        let called: Vec<RealNumber> = next.map(|plan| plan.called()).collect();
        assert_eq!(called[1..], others[..]);
        called
    };
    assert_eq!(order(&world), [real(B), real(C), real(D)]);
    world.later(10);
    let mut update = UpdateRequest::of(id);
    update.terms.ring = Some(Some(ring(Order::Unconditional)));
    world.update(update).expect("it is live");
    world.later(10);
    assert_eq!(order(&world), [real(C), real(D)]);
    // The other way there is one alone.
    let Decision::Connect(plan) = world.call(X, B) else {
        panic!("he is paired")
    };
    assert_eq!(
        (plan.called(), plan.others(), plan.next()),
        (real(A), &[][..], None)
    );
}

fn with_ring(ring: Ring) -> Terms {
    let rare = Rare {
        ring: Some(Box::new(ring)),
        ..Rare::default()
    };
    Terms::new(Direction::Both, false, rare)
}

#[test]
fn a_400_number_is_never_shown() {
    const SERVICE: &str = "4001234567";
    let mut world = world(Mode::Inbound);
    let pool = Some("400");
    world
        .write(&Write::add_number_to(pool, x(SERVICE)))
        .expect("a new number");
    world.try_bind(inbound(SERVICE, A)).expect("free keys");
    assert_eq!(reaches(&world, SERVICE, C), shown(A, A));
    assert_eq!(reaches(&world, SERVICE, A), Err(Reason::SelfCall));
    let mut request = inbound(X, A);
    let displays = |number| {
        let rare = Rare {
            display: Some(x(number)),
            ..Rare::default()
        };
        Terms::new(Direction::Both, false, rare)
    };
    request.terms = displays(SERVICE);
    assert_eq!(
        world.try_bind(request.clone()).err(),
        Some(Refused::BoundsOf(Field::Display))
    );
    request.terms = displays(Y);
    world.try_bind(request).expect("an ordinary number");
    assert_eq!(reaches(&world, X, C), shown(A, Y));
}

#[test]
fn ten_thousand_members_come_and_go_in_small_records() {
    let mut world = world(Mode::Axg);
    let group = world.group("axg", &["13100000000"]);
    world.try_bind(axg(X, A, group)).expect("free keys");
    let number = |n: u64| real(&format!("131{n:08}"));
    for batch in 0..50 {
        let numbers: Vec<RealNumber> = (0..200).map(|n| number(batch * 200 + n)).collect();
        world
            .write(&Write::Join { group, numbers })
            .expect("there is room");
    }
    let there = world.table.group(group).expect("it is there");
    assert_eq!(there.members, 10_000);
    let full = joins(&mut world, group, "13200000001").expect_err("it is full");
    assert_eq!(full.code(), "group_full");
    let one = world.table.plan(
        &Write::Leave {
            group,
            numbers: vec![number(77)],
        },
        world.now,
        &mut world.chance,
    );
    let mut bytes = Vec::new();
    one.expect("a member").change.encode(&mut bytes);
    assert!(bytes.len() < 300, "{}", bytes.len());
    let too_many = Write::Join {
        group,
        numbers: (0..201).map(number).collect(),
    };
    assert_eq!(world.write(&too_many), Err(Refused::BoundsOf(Field::Numbers)));
    assert_eq!(reaches(&world, X, "13100009999"), shown(A, X));
}

#[test]
fn former_members_and_removed_groups_are_forgotten_in_time() {
    let mut world = world(Mode::Axg);
    let group = world.group("axg", &[B, C]);
    world.later(10);
    leaves(&mut world, group, B);
    world
        .write(&Write::RemoveGroup { group })
        .expect("it has no binding");
    let later = world.at(601_000);
    for _ in 0..2 {
        let change = world.table.planner().forget_before(later, later, 1);
        assert!(
            matches!(change.records[..], [Record::MemberGone(of, _)] if of == group),
            "{change:?}"
        );
        world.apply(change);
    }
    // The last id that was given is known by its group.
    let change = world.table.planner().forget_before(later, later, 9);
    assert_eq!(change, Change::default());
    // Its name is free again, its id is not, even to a process after this one.
    let records: Vec<Record> = world.table.records().collect();
    world.table = Table::new();
    world.changes.clear();
    world.apply(Change { records });
    let next = world.group("axg", &[B]);
    assert!(next > group);
    let change = world.table.planner().forget_before(later, later, 9);
    assert_eq!(change.records, [Record::GroupGone(group)]);
}

#[test]
fn a_work_number_that_is_over_takes_nothing_of_its_successor_with_it() {
    let mut world = world(Mode::Xb);
    let mut first = work(X, B);
    first.expires = Some(world.at(120_000));
    let first = world.try_bind(first).expect("free keys").id;
    let pairing = world.try_bind(paired(X, A)).expect("free keys").id;
    world.later(120_000);
    // Bound before the writer's next tick.
    let next = world.try_bind(work(X, B)).expect("it is over").id;
    let his = world.try_bind(paired(X, C)).expect("free keys").id;
    world.write(&Write::Expire { id: first }).expect("it is over");
    let is_over = |id| world.table.binding(id).expect("kept").is_over(world.now);
    assert_eq!(
        [first, pairing, next, his].map(is_over),
        [true, true, false, false]
    );
    world.later(10);
    assert_eq!(reaches(&world, X, C), shown(B, X));
}

#[test]
fn a_member_who_would_call_himself_by_one_relation_reaches_the_other_party_of_his_own() {
    let mut world = world(Mode::Gxyb);
    let (one, other) = (world.group("gxyb", &[A]), world.group("gxyb", &[B]));
    world.try_bind(gxyb(X, one, Y, B)).expect("free keys");
    assert_eq!(reaches(&world, Y, B), Err(Reason::SelfCall));
    world.try_bind(gxyb(Z, other, Y, D)).expect("free keys");
    assert_eq!(reaches(&world, Y, B), shown(D, Z));
}

#[test]
fn a_of_a_group_hears_the_tone_where_his_pool_says_so() {
    let mut world = world(Mode::Axg);
    let group = world.group("axg", &[B]);
    world.try_bind(axg(X, A, group)).expect("free keys");
    for (callback, reason) in [
        (Callback::Tone, Reason::CallbackTone),
        (Callback::Refused, Reason::NoCallee),
    ] {
        let settings = Box::new(PoolChange {
            callback: Some(callback),
            ..PoolChange::default()
        });
        let (pool, name) = ("axg".into(), None);
        world
            .write(&Write::SetPool { pool, name, settings })
            .expect("of its mode");
        assert_eq!(reaches(&world, X, A), Err(reason));
    }
}

#[test]
fn a_removed_group_comes_back_with_the_members_of_the_backup_and_no_others() {
    let mut world = world(Mode::Axg);
    let group = world.group("axg", &[B]);
    let id = world.try_bind(axg(X, A, group)).expect("free keys").id;
    let backup: Vec<Record> = world.table.records().collect();
    let of = (*world.table.group(group).expect("just made")).clone();
    world.later(10);
    joins(&mut world, group, C).expect("nobody has the key");
    world.unbind(id);
    world
        .write(&Write::RemoveGroup { group })
        .expect("it has no binding");
    world.later(10);
    let is_of_group = |r: &&Record| matches!(r, Record::Group(_) | Record::Member(_) | Record::Binding(_));
    let rank = |record: &&Record| match record {
        Record::Group(_) => 0,
        Record::Member(_) => 1,
        _ => 2,
    };
    let mut of_group: Vec<&Record> = backup.iter().filter(is_of_group).collect();
    of_group.sort_by_key(rank);
    for record in of_group {
        let put_back = PutBack {
            record: record.clone(),
            group: Some(of.clone()),
        };
        let put_back = Write::PutBack(Box::new(put_back));
        assert!(world.write(&put_back).is_ok(), "{record:?}");
    }
    assert_eq!(world.table.group(group).map(|group| group.members), Some(1));
    world.later(10);
    assert_eq!(reaches(&world, X, B), shown(A, X));
    assert!(reaches(&world, X, C).is_err());
}

#[test]
fn a_group_of_a_backup_is_not_taken_for_another_of_its_id() {
    // Whichever of the two is older.
    for (theirs, ours) in [(0, 10), (10, 0)] {
        let mut other = World::new();
        other.later(theirs);
        other.pool(Mode::Axg, &[X, Y, Z]);
        let group = other.group("axg", &[B]);
        other.later(20);
        other.try_bind(axg(X, A, group)).expect("free keys");
        let of = other.table.group(group).expect("just made");
        let backup: Vec<Record> = other.table.records().collect();
        let mut world = World::new();
        world.later(ours);
        world.pool(Mode::Axg, &[X, Y, Z]);
        assert_eq!(world.group("axg", &[C]), group);
        world.later(50);
        for record in backup {
            if matches!(record, Record::Group(_) | Record::Member(_) | Record::Binding(_)) {
                let of_group = !matches!(record, Record::Group(_));
                for group in [None, Some((*of).clone())] {
                    let code = match group {
                        None if of_group => "missing_field",
                        None | Some(_) => "id_taken",
                    };
                    let back = PutBack {
                        record: record.clone(),
                        group,
                    };
                    let refused = world.write(&Write::PutBack(Box::new(back)));
                    assert_eq!(refused.map_err(|refused| refused.code()), Err(code), "{record:?}");
                }
            }
        }
        world.later(10);
        assert!(reaches(&world, X, B).is_err() && reaches(&world, X, C).is_err());
    }
}
