//! Extensions behind one number once more, as a list that is searched from end to end: whom a key reaches as of any
//! moment, what rests, what may be chosen, who called last. Every step has a moment of its own.

use proptest::prelude::*;

use super::common::{DAY, READABLE};
use super::replayed;
use crate::base::id::Id;
use crate::base::time::Wall;
use crate::masking::binding::{Ended, Mode};
use crate::masking::inventory::{Callback, OwnerDials};
use crate::masking::keyed::{Extension, Keyed};
use crate::masking::reason::Reason;
use crate::masking::request::{BindRequest, PoolChange, Unbind, UpdateRequest, Wanted, Write};
use crate::masking::route::{Attempt, Decision, claim, route};
use crate::masking::support::{World, axe, real};

const N: &str = "17000000041";
const PEOPLE: [&str; 4] = ["13800000001", "13800000002", "13800000003", "13800000004"];
/// How long last callers are kept.
const KEPT: i64 = 2 * DAY;

/// An extension for as long as it was one person's.
#[derive(Clone, Copy, Debug)]
struct Row {
    id: Id,
    a: usize,
    e: u16,
    from: i64,
    until: i64,
    /// It passed to another by an update, and was never free.
    passed_on: bool,
}

#[derive(Default)]
struct Model {
    rows: Vec<Row>,
    /// By binding: who called last, and when.
    last: Vec<(Id, usize, i64)>,
}

impl Model {
    fn live(&self, at: i64) -> impl Iterator<Item = &Row> {
        self.rows
            .iter()
            .filter(move |row| row.from <= at && at < row.until)
    }

    fn rests_from(&self, a: usize, e: u16, now: i64) -> bool {
        let mut freed = self.rows.iter().filter(|row| row.e == e && !row.passed_on);
        freed.any(|row| row.a != a && row.until <= now && now < row.until + DAY)
    }

    fn last_freed(&self, now: i64) -> Option<u16> {
        let freed = self.rows.iter().filter(|row| row.until <= now && !row.passed_on);
        freed.max_by_key(|row| row.until).map(|row| row.e)
    }

    /// Whom the digits reach. `None` of an extension: nothing was keyed.
    fn route(
        &self,
        caller: usize,
        e: Option<u16>,
        at: i64,
        asks_owners: bool,
    ) -> Result<Option<usize>, Reason> {
        let owns = self.live(at).any(|row| row.a == caller);
        match e {
            None if owns && !asks_owners => self.back(caller, at),
            None if self.live(at).next().is_some() => Ok(None),
            None => Err(Reason::NoBinding),
            Some(_) if owns && !asks_owners => self.back(caller, at),
            Some(e) => match self.live(at).find(|row| row.e == e) {
                Some(row) if row.a == caller => Err(Reason::SelfCall),
                Some(row) => Ok(Some(row.a)),
                None => Err(Reason::NoBinding),
            },
        }
    }

    fn back(&self, a: usize, at: i64) -> Result<Option<usize>, Reason> {
        let of_his = |id: Id| self.live(at).any(|row| row.id == id && row.a == a);
        let kept = self
            .last
            .iter()
            .filter(|(id, _, when)| of_his(*id) && at < when + KEPT);
        let last = kept.max_by_key(|(_, _, when)| *when);
        last.map(|(_, who, _)| Some(*who)).ok_or(Reason::NoCallee)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Wait(i64),
    Bind(usize, Option<u16>),
    Update(usize, usize),
    Unbind(usize),
    Call(usize, u16),
    AskOwners(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let p = || 0..PEOPLE.len();
    prop_oneof![
        3 => (0..100_000_i64).prop_map(Step::Wait),
        1 => (0..3 * DAY).prop_map(Step::Wait),
        6 => (p(), prop::option::of(1..10_u16)).prop_map(|(a, e)| Step::Bind(a, e)),
        2 => (any::<usize>(), p()).prop_map(|(i, a)| Step::Update(i, a)),
        5 => any::<usize>().prop_map(Step::Unbind),
        4 => (p(), 1..10_u16).prop_map(|(who, e)| Step::Call(who, e)),
        1 => any::<bool>().prop_map(Step::AskOwners),
    ]
}

fn keyed(world: &World, caller: usize, e: Option<u16>) -> Attempt {
    Attempt {
        digits: e.map_or(Keyed::Nothing, |e| e.to_string().parse().expect("a digit")),
        ..world.attempt(N, PEOPLE[caller])
    }
}

fn told(decision: &Decision) -> Result<Option<usize>, Reason> {
    match decision {
        Decision::Connect(plan) => Ok(PEOPLE.iter().position(|person| real(person) == plan.called())),
        Decision::Collect(_) => Ok(None),
        Decision::Ask(_) => panic!("nobody's server is asked"),
        Decision::Refuse(refusal) => Err(match refusal.reason {
            // Of whoever has nothing here any more is also said that he never had.
            Reason::Expired => Reason::NoBinding,
            other => other,
        }),
    }
}

fn set(world: &mut World, settings: PoolChange) {
    let write = Write::SetPool {
        pool: "axe".into(),
        name: None,
        settings: Box::new(settings),
    };
    world.write(&write).expect("within bounds");
}

fn bind(world: &mut World, model: &mut Model, a: usize, e: Option<u16>) {
    let now = world.now.as_millis();
    let request = BindRequest {
        parties: Wanted::Axe {
            a: real(PEOPLE[a]),
            e: e.and_then(|e| Extension::new(1, e)),
        },
        ..axe(N, PEOPLE[a], "1")
    };
    let taken = |e: u16| model.live(now).any(|row| row.e == e);
    let may_have = |e: u16| !taken(e) && !model.rests_from(a, e, now);
    let answer = world.try_bind(request);
    let given = match (answer, e) {
        (Ok(binding), asked) => {
            let given = binding.parties.extension().expect("axe").bits() - 10;
            assert!(may_have(given), "{given} is another's, or rests");
            assert!(asked.is_none_or(|asked| asked == given));
            assert!(
                asked.is_some() || model.last_freed(now) != Some(given),
                "the last one freed"
            );
            Row {
                id: binding.id,
                a,
                e: given,
                from: now,
                until: Wall::NEVER.as_millis(),
                passed_on: false,
            }
        }
        (Err(refused), Some(e)) => {
            let right = match refused.code() {
                "key_taken" => taken(e),
                "key_quarantined" => !taken(e) && model.rests_from(a, e, now),
                _ => false,
            };
            assert!(right, "{refused:?}");
            return;
        }
        (Err(refused), None) => {
            let left = (1..10).filter(|e| may_have(*e) && model.last_freed(now) != Some(*e));
            assert_eq!((refused.code(), left.count()), ("extensions_full", 0));
            return;
        }
    };
    model.rows.push(given);
}

fn take(world: &mut World, model: &mut Model, asks_owners: &mut bool, step: &Step) {
    world.later(10);
    let now = world.now.as_millis();
    let live: Vec<Row> = model.live(now).copied().collect();
    let pick = |i: usize| (!live.is_empty()).then(|| live[i % live.len()]);
    match *step {
        Step::Wait(ms) => world.later(ms),
        Step::Bind(a, e) => bind(world, model, a, e),
        Step::Update(i, a) => {
            let Some(row) = pick(i).filter(|row| row.a != a) else {
                return;
            };
            let mut request = UpdateRequest::of(row.id);
            request.a = Some(real(PEOPLE[a]));
            if let Err(refused) = world.update(request) {
                // As for a new one: what others had before him rests from him.
                assert_eq!(refused.code(), "key_quarantined");
                assert!(model.rests_from(a, row.e, now));
                return;
            }
            for old in model
                .rows
                .iter_mut()
                .filter(|old| old.id == row.id && old.until > now)
            {
                (old.until, old.passed_on) = (now, true);
            }
            model.rows.push(Row { a, from: now, ..row });
            model.last.retain(|(id, ..)| *id != row.id);
        }
        Step::Unbind(i) => {
            let Some(row) = pick(i) else { return };
            world
                .write(&Write::Unbind(Unbind::Id(row.id)))
                .expect("a live binding");
            for old in model.rows.iter_mut().filter(|old| old.id == row.id) {
                old.until = old.until.min(now);
            }
            model.last.retain(|(id, ..)| *id != row.id);
        }
        Step::Call(who, e) => {
            let decision = route(&world.table, &keyed(world, who, Some(e)));
            let (decision, _seat) = claim(&world.table, decision, None);
            assert_eq!(told(&decision), model.route(who, Some(e), now, *asks_owners));
            let reached = live
                .iter()
                .find(|row| row.e == e && told(&decision) == Ok(Some(row.a)));
            let owns = live.iter().any(|row| row.a == who);
            if let Some(row) = reached.filter(|_| !owns || *asks_owners) {
                model.last.retain(|(id, ..)| *id != row.id);
                model.last.push((row.id, who, now));
            }
        }
        Step::AskOwners(asks) => {
            *asks_owners = asks;
            let owner_dials = Some(if asks {
                OwnerDials::Ask
            } else {
                OwnerDials::Callback
            });
            set(
                world,
                PoolChange {
                    owner_dials,
                    ..PoolChange::default()
                },
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn extensions_lead_rest_and_are_chosen_as_the_model_says(
        steps in prop::collection::vec(step(), 1..60),
        ago in prop::collection::vec(0..READABLE, 1..10),
    ) {
        let mut world = World::new();
        world.pool(Mode::Axe, &[N]);
        set(&mut world, PoolChange {
            extension_width: Some(1),
            callback: Some(Callback::Last),
            last_kept: Some(std::time::Duration::from_millis(KEPT.unsigned_abs())),
            ..PoolChange::default()
        });
        let (mut model, mut asks_owners) = (Model::default(), false);
        for step in &steps {
            take(&mut world, &mut model, &mut asks_owners, step);
            for last in world.table.lasts_unwritten(9) {
                world.write(&Write::KeepLast(last)).expect("always");
            }
            let now = world.now.as_millis();
            for caller in 0..PEOPLE.len() {
                for e in [None, Some(1), Some(5), Some(9)] {
                    let decided = told(&route(&world.table, &keyed(&world, caller, e)));
                    prop_assert_eq!(decided, model.route(caller, e, now, asks_owners), "{} keys {:?} after {:?}", caller, e, step);
                }
            }
        }
        // As of moments that have been, of whoever keys: the old party or nobody, never the new one.
        set(&mut world, PoolChange { owner_dials: Some(OwnerDials::Ask), ..PoolChange::default() });
        for ago in ago {
            for (caller, e) in (0..PEOPLE.len()).flat_map(|caller| (1..10).map(move |e| (caller, e))) {
                let attempt = Attempt { arrived: world.at(-ago), ..keyed(&world, caller, Some(e)) };
                let decided = told(&route(&world.table, &attempt));
                let expected = model.route(caller, Some(e), world.now.as_millis() - ago, true);
                prop_assert_eq!(decided, expected, "{} keyed {} {} ms ago", caller, e, ago);
            }
        }
        // The log gives the same table, last callers included.
        let replay = replayed(&world)?;
        let replaced = |id: &Id| replay.binding(*id).and_then(|b| b.ended).is_some_and(|(_, why)| why == Ended::Replaced);
        prop_assert!(!model.rows.iter().any(|row| replaced(&row.id)));
    }
}
