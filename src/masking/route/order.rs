//! The one order of judgement: of any two reasons that meet, the one that stands higher is given, in every mode.

use super::super::binding::{Direction, Mode};
use super::super::inventory::{DEFAULT_ACCOUNT, Freeze, Standing};
use super::super::request::{PoolChange, Write};
use super::super::support::{A, B, C, World, ax, axb, axe, axg, axn, axyb, gxb, gxyb, inbound, tel, work, x};
use super::*;

const X: &str = "17000000031";
const Y: &str = "17000000032";
const OURS: &str = "17000000033";
const NOBODYS: &str = "17000000099";

/// One row of a mode: who dials what, and the direction that forbids it.
struct Way {
    mode: Mode,
    dialled: &'static str,
    caller: &'static str,
    other_way: Direction,
}

const WAYS: [Way; 16] = [
    way(Mode::Axb, X, A, Direction::BToA),
    way(Mode::Axb, X, B, Direction::AToB),
    way(Mode::Ax, X, C, Direction::AToB),
    way(Mode::Ax, X, A, Direction::BToA),
    way(Mode::Axn, X, C, Direction::AToB),
    way(Mode::Axn, X, A, Direction::BToA),
    way(Mode::Axe, X, A, Direction::BToA),
    way(Mode::Axyb, Y, A, Direction::BToA),
    way(Mode::Axyb, X, B, Direction::AToB),
    way(Mode::Axg, X, B, Direction::AToB),
    way(Mode::Axg, X, A, Direction::BToA),
    way(Mode::Gxb, X, A, Direction::BToA),
    way(Mode::Gxb, X, B, Direction::AToB),
    way(Mode::Gxyb, Y, A, Direction::BToA),
    way(Mode::Gxyb, X, B, Direction::AToB),
    way(Mode::Inbound, X, C, Direction::AToB),
];

const fn way(mode: Mode, dialled: &'static str, caller: &'static str, other_way: Direction) -> Way {
    Way {
        mode,
        dialled,
        caller,
        other_way,
    }
}

/// What can be wrong, in the law's order.
const FAULTS: [Reason; 10] = [
    Reason::NotOurs,
    Reason::AccountSuspended,
    Reason::NumberFrozen,
    Reason::Loop,
    Reason::Unidentified,
    Reason::Direction,
    Reason::NoCallee,
    Reason::Expired,
    Reason::NoBinding,
    Reason::Quota,
];

/// Whether both can be wrong at once: only what is live has a direction or calls back, and what was never bound
/// has not ended.
fn can_meet(high: Reason, low: Reason) -> bool {
    let of_live = |reason| matches!(reason, Reason::Direction | Reason::NoCallee);
    let not_live = |reason| matches!(reason, Reason::Expired | Reason::NoBinding);
    !(not_live(low) && (of_live(high) || not_live(high)))
}

fn judged(way: &Way, faults: &[Reason]) -> Option<Reason> {
    let has = |fault| faults.contains(&fault);
    let mut world = World::new();
    let name = if way.mode == Mode::Axb {
        "pairs"
    } else {
        way.mode.name()
    };
    world.write(&Write::add_pool(name, way.mode)).expect("a new name");
    for number in [X, Y, OURS] {
        world
            .write(&Write::add_number_to(Some(name), x(number)))
            .expect("a new number");
    }
    if !has(Reason::NoBinding) {
        let mut request = match way.mode {
            Mode::Axb => axb(X, A, B),
            Mode::Ax => ax(X, A),
            Mode::Axyb => axyb(X, A, Y, B),
            Mode::X => panic!("nothing is bound in it"),
            Mode::Axe => axe(X, A, "0012"),
            Mode::Axn | Mode::Axn95 => axn(X, A),
            Mode::Axg => {
                let group = world.group(name, &[B, C]);
                axg(X, A, group)
            }
            Mode::Gxb => {
                let group = world.group(name, &[A, C]);
                gxb(X, group, B)
            }
            Mode::Gxyb => {
                let group = world.group(name, &[A, C]);
                gxyb(X, group, Y, B)
            }
            Mode::Inbound => inbound(X, A),
            Mode::Xb => work(X, B),
        };
        if has(Reason::Direction) {
            request.terms.direction = way.other_way;
        }
        let id = world.try_bind(request).expect("free keys").id;
        let is_called_back = match way.mode {
            Mode::Ax | Mode::Axe | Mode::Axn | Mode::Axn95 | Mode::Axg => Some(B),
            Mode::Gxb | Mode::Gxyb => Some(C),
            Mode::Axb | Mode::Axyb | Mode::Xb | Mode::Inbound | Mode::X => None,
        };
        if let Some(to) = is_called_back
            && !has(Reason::NoCallee)
        {
            world.callee(id, to).expect("a live binding");
        }
        if has(Reason::Expired) {
            world.later(1);
            world.unbind(id);
        }
    }
    world
        .write(&Write::SetPool {
            pool: name.into(),
            name: None,
            settings: Box::new(PoolChange {
                calls_per_x: Some(Some(1)),
                ..PoolChange::default()
            }),
        })
        .expect("within its bounds");
    let pool = world.table.pool(name).expect("just made");
    let dialled = if has(Reason::NotOurs) {
        NOBODYS
    } else {
        way.dialled
    };
    let _seat = has(Reason::Quota).then(|| world.table.seats.take(tel(dialled), None, &pool));
    if has(Reason::NumberFrozen) {
        let (x, state) = (x(way.dialled), NumberState::Frozen(Freeze::Arrears));
        world.write(&Write::SetNumberState { x, state }).expect("ours");
    }
    if has(Reason::AccountSuspended) {
        let suspend = Write::set_standing(DEFAULT_ACCOUNT, Standing::Suspended);
        world.write(&suspend).expect("it is there");
    }
    world.later(1);
    let attempt = Attempt {
        dialled: tel(dialled),
        caller: (!has(Reason::Unidentified)).then(|| tel(way.caller)),
        diverting: has(Reason::Loop).then(|| tel(OURS)),
        arrived: world.now,
        digits: Keyed::Nothing,
    };
    match route(&world.table, &attempt) {
        Decision::Connect(_) | Decision::Collect(_) | Decision::Ask(_) => None,
        Decision::Refuse(refusal) => Some(refusal.reason),
    }
}

#[test]
fn of_two_reasons_the_higher_is_given_in_every_row_of_every_mode() {
    assert!(FAULTS.is_sorted());
    for way in &WAYS {
        let named = |reason: &&Reason| {
            // Only A is called back, where anyone may call.
            let is_called_back = match way.mode {
                Mode::Ax | Mode::Axe | Mode::Axn | Mode::Axn95 | Mode::Axg => way.caller == A,
                Mode::Axb | Mode::Axyb | Mode::Xb | Mode::Inbound | Mode::X => false,
                Mode::Gxb | Mode::Gxyb => way.caller == B,
            };
            // Who owns nothing behind a number where nobody does is bound no longer, and not told from others.
            let is_told = way.mode != Mode::Axe || **reason != Reason::Expired;
            is_told && (**reason != Reason::NoCallee || is_called_back)
        };
        let faults: Vec<Reason> = FAULTS.iter().filter(named).copied().collect();
        let case = format!("{:?} {} by {}", way.mode, way.dialled, way.caller);
        assert_eq!(judged(way, &[]), None, "{case}");
        for (i, high) in faults.iter().enumerate() {
            assert_eq!(judged(way, &[*high]), Some(*high), "{case}");
            for low in faults.iter().skip(i + 1).filter(|low| can_meet(*high, **low)) {
                assert_eq!(
                    judged(way, &[*high, *low]),
                    Some(*high),
                    "{case}: {high:?} over {low:?}"
                );
            }
        }
    }
}
