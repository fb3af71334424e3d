//! The decision: who reaches whom, and what they see. Pure; judged as of the attempt's arrival.

use std::sync::Arc;

use super::binding::{Binding, Ended, Party};
use super::inventory::{Number, NumberState, Unidentified};
use super::mode::{self, Row};
use super::reason::Reason;
use super::rule::{Key, Who};
use super::table::{AsOf, Table};
use crate::base::id::Id;
use crate::base::number::{Format, NumberPlan, RealNumber, Shown, Tel, VirtualNumber};
use crate::base::time::Wall;

/// Somebody dials a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// The number dialled.
    pub dialled: Tel,
    /// The caller, if it has a usable identity.
    pub caller: Option<Tel>,
    /// Who diverted the call here, if somebody did.
    pub diverting: Option<Tel>,
    /// When the attempt arrived: the moment that it is judged as of, however often it is judged.
    pub arrived: Wall,
}

/// What becomes of an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Call somebody.
    Connect(Plan),
    /// Nobody is called.
    Refuse(Refusal),
}

/// The right to call somebody: whom, and what they see. Only [`route`] mints it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    called: RealNumber,
    shown: Shown,
    calling: Option<RealNumber>,
    caller: Party,
    binding: Arc<Binding>,
    number: Arc<Number>,
    shows: Arc<Number>,
}

impl Plan {
    /// Whom to call.
    pub const fn called(&self) -> RealNumber {
        self.called
    }

    /// The caller identity that the called party sees.
    pub const fn shown(&self) -> Shown {
        self.shown
    }

    /// The binding by which the call goes, in the version that counted at its arrival.
    pub const fn binding(&self) -> &Arc<Binding> {
        &self.binding
    }

    /// Who calls, if he has an identity: what the called party must not see.
    pub const fn calling(&self) -> Option<RealNumber> {
        self.calling
    }

    /// The number that was dialled.
    pub const fn number(&self) -> &Arc<Number> {
        &self.number
    }

    /// The number of ours that stands for the caller: the call leaves by a trunk that may show it.
    pub const fn shows(&self) -> &Arc<Number> {
        &self.shows
    }

    /// Whether the call goes through this number of ours: it was dialled, or it is shown.
    pub fn goes_through(&self, x: VirtualNumber) -> bool {
        let shown = match self.shown {
            Shown::Virtual(shown) => shown == x,
            Shown::Real(..) | Shown::Withheld => false,
        };
        shown || self.number.x == x
    }

    /// Which of the binding's people calls.
    pub const fn caller(&self) -> Party {
        self.caller
    }
}

/// Why nobody is called, and what was found on the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Why: of several reasons the one that stands highest in [`Reason`]'s order.
    pub reason: Reason,
    /// The number dialled, if it is ours.
    pub number: Option<Arc<Number>>,
    /// The caller's binding, if one was found: it goes the other way, or it is over.
    pub binding: Option<Arc<Binding>>,
    /// Which of that binding's people the caller is or was.
    pub caller: Option<Party>,
}

/// Decides an attempt.
pub fn route(table: &Table, attempt: &Attempt) -> Decision {
    match judge(table, attempt) {
        Ok(plan) => Decision::Connect(plan),
        Err(refusal) => Decision::Refuse(refusal),
    }
}

/// The order of the questions is the order of [`Reason`].
fn judge(table: &Table, attempt: &Attempt) -> Result<Plan, Refusal> {
    let Some(number) = table.number(attempt.dialled).filter(|number| number.is_ours()) else {
        return Err(Refusal {
            reason: Reason::NotOurs,
            number: None,
            binding: None,
            caller: None,
        });
    };
    let refuse = |reason, found: Option<(Arc<Binding>, Party)>| {
        let (binding, caller) = found.unzip();
        Err(Refusal {
            reason,
            number: Some(number.clone()),
            binding,
            caller,
        })
    };
    if table.is_suspended(&number.account) {
        return refuse(Reason::AccountSuspended, None);
    }
    match number.state {
        NumberState::Frozen(_) => return refuse(Reason::NumberFrozen, None),
        // A released number was none of ours above; a locked one keeps its calls.
        NumberState::Inventory | NumberState::Active | NumberState::Locked | NumberState::Released => {}
    }
    // Who diverted the call never changes who the caller is; but a number of ours does neither.
    let mut ways = attempt.caller.into_iter().chain(attempt.diverting);
    if ways.any(|tel| table.is_ours(tel)) {
        return refuse(Reason::Loop, None);
    }
    let connect = |binding: Arc<Binding>, party: Party| {
        let found = Some((binding.clone(), party));
        let shows = match party {
            Party::A => binding.x,
            Party::B | Party::N => binding.parties.y().unwrap_or(binding.x),
        };
        let shows = if shows == number.x {
            number.clone()
        } else {
            match table.number(shows.tel()).filter(|shows| shows.is_ours()) {
                Some(shows) => shows,
                None => return refuse(Reason::Internal, found),
            }
        };
        match shows.state {
            NumberState::Frozen(_) => return refuse(Reason::NumberFrozen, found),
            NumberState::Inventory | NumberState::Active | NumberState::Locked | NumberState::Released => {}
        }
        let row = mode::row(&binding, party);
        // The called party may have become a number of ours after it was bound.
        if let Row::To(called, _) = row
            && table.is_ours(called.reveal())
        {
            return refuse(Reason::Loop, found);
        }
        if !binding.terms.direction.allows(party) {
            return refuse(Reason::Direction, found);
        }
        let (called, shown) = match row {
            Row::To(called, shown) => (called, shown),
            Row::Callback(_) => return refuse(Reason::NoCallee, found),
        };
        Ok(Plan {
            called,
            shown,
            calling: attempt.caller.map(RealNumber::new),
            caller: party,
            binding,
            number: number.clone(),
            shows,
        })
    };

    let mut past = None;
    if let Some(caller) = attempt.caller {
        let key = Key {
            dialled: attempt.dialled,
            caller: Who::Number(caller),
        };
        if let Some((binding, party)) = live(table, key, attempt.arrived, &mut past) {
            return connect(binding, party);
        }
        if let Some(binding) = table.own_line(attempt.dialled, caller, attempt.arrived) {
            let party = if binding.parties.a().is(caller) {
                Party::A
            } else {
                Party::B
            };
            return refuse(Reason::SelfCall, Some((binding, party)));
        }
    }
    let anyone = live(table, mode::anyone(number.x), attempt.arrived, &mut past);
    let accepts = attempt.caller.is_some() || accepts_unidentified(table, &number);
    match (anyone, past) {
        (Some((binding, party)), _) if accepts => connect(binding, party),
        _ if attempt.caller.is_none() => refuse(Reason::Unidentified, None),
        (Some((binding, party)), _) => connect(binding, party),
        (None, Some(found)) => refuse(Reason::Expired, Some(found)),
        (None, None) => refuse(Reason::NoBinding, None),
    }
}

/// The binding that a key leads to at `arrived`, and as whom; `past` is the last one that it led to.
fn live(
    table: &Table,
    key: Key,
    arrived: Wall,
    past: &mut Option<(Arc<Binding>, Party)>,
) -> Option<(Arc<Binding>, Party)> {
    for rule in table.rules(key) {
        match table.judge(key, rule, arrived) {
            Some(AsOf::Live(binding, party)) => return Some((binding, party)),
            Some(AsOf::Past(binding, party)) => {
                *past = past
                    .take()
                    .filter(|(last, _)| last.since > binding.since)
                    .or(Some((binding, party)));
            }
            None => {}
        }
    }
    None
}

fn accepts_unidentified(table: &Table, number: &Number) -> bool {
    table
        .pool(&number.pool)
        .is_some_and(|pool| match pool.unidentified {
            Unidentified::Refused => false,
            Unidentified::Accepted => true,
        })
}

/// Who reads an explanation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    /// Somebody who must not learn real numbers: `138****0001`.
    Masked,
    /// Somebody who may see them.
    Full,
}

/// A decision in short, numbers as text for the audience.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The call goes through.
    Connect {
        /// Whom it reaches.
        called: String,
        /// What they see; `None` for no number at all.
        shown: Option<String>,
        /// Which party calls.
        caller: Party,
        /// By which binding.
        binding: Id,
    },
    /// It doesn't.
    Refuse {
        /// Why.
        reason: Reason,
        /// The caller's binding, if one was found.
        binding: Option<Id>,
    },
}

/// A decision and the reasons for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// The decision.
    pub verdict: Verdict,
    /// The way to it, a sentence each.
    pub sentences: Vec<String>,
}

/// Decides an attempt and says why, in sentences. The last one is the outcome.
pub fn explain(table: &Table, attempt: &Attempt, plan: &NumberPlan, audience: Audience) -> Explanation {
    let number_text = |tel: Tel| match audience {
        Audience::Masked | Audience::Full if table.is_ours(tel) => {
            plan.write(tel, Format::National).to_string()
        }
        Audience::Masked => format!("{tel:?}"),
        Audience::Full => plan.record(tel).to_string(),
    };
    let dialled = plan.write(attempt.dialled, Format::National);
    let caller = attempt
        .caller
        .map_or_else(|| "the caller".to_owned(), &number_text);
    let decision = route(table, attempt);
    let mut sentences = Vec::new();

    let number = match &decision {
        Decision::Connect(connect) => Some(&connect.number),
        Decision::Refuse(refusal) => refusal.number.as_ref(),
    };
    if let Some(number) = number {
        let pool = table.pool(&number.pool);
        let pool = pool.as_ref().map_or(&*number.pool, |pool| &*pool.name);
        sentences.push(format!("{dialled} is a number of pool {pool}."));
        match number.state {
            NumberState::Locked => sentences.push("It is locked: it gets no new bindings.".to_owned()),
            NumberState::Inventory => sentences.push("It is not in service yet.".to_owned()),
            NumberState::Active | NumberState::Frozen(_) | NumberState::Released => {}
        }
    }
    let verdict = match decision {
        Decision::Connect(connect) => {
            sentences.push(party_sentence(&caller, connect.caller, &connect.binding));
            let called = number_text(connect.called.reveal());
            let shown = match connect.shown {
                Shown::Virtual(x) => Some(plan.virtual_text(x).to_string()),
                Shown::Real(real, _) => Some(number_text(real.reveal())),
                Shown::Withheld => None,
            };
            let sees = shown.as_deref().unwrap_or("no number");
            sentences.push(format!("The call goes to {called}, who sees {sees}."));
            Verdict::Connect {
                called,
                shown,
                caller: connect.caller,
                binding: connect.binding.id,
            }
        }
        Decision::Refuse(refusal) => {
            if let (
                Some(binding),
                Some(party),
                Reason::Direction | Reason::Loop | Reason::SelfCall | Reason::NoCallee,
            ) = (&refusal.binding, refusal.caller, refusal.reason)
            {
                sentences.push(party_sentence(&caller, party, binding));
            }
            sentences.push(refusal_sentence(&refusal, &dialled, &caller));
            Verdict::Refuse {
                reason: refusal.reason,
                binding: refusal.binding.map(|binding| binding.id),
            }
        }
    };
    Explanation { verdict, sentences }
}

fn party_sentence(caller: &str, party: Party, binding: &Binding) -> String {
    let expires = if binding.expires == Wall::NEVER {
        "never expires".to_owned()
    } else {
        format!("expires {}", binding.expires)
    };
    let is = match party {
        Party::A => "is A of",
        Party::B => "is B of",
        Party::N => "is anyone to",
    };
    format!(
        "{caller} {is} {} binding {} (made {}, {expires}).",
        binding.mode().name(),
        binding.id,
        binding.created
    )
}

fn refusal_sentence(refusal: &Refusal, dialled: &str, caller: &str) -> String {
    match refusal.reason {
        Reason::NotOurs => format!("{dialled} is not a number of this server."),
        Reason::AccountSuspended => {
            let account = refusal.number.as_ref().map_or("", |number| &*number.account);
            format!("Its account {account} is suspended: calls are refused.")
        }
        Reason::NumberFrozen => "It is frozen: calls are refused.".to_owned(),
        Reason::Loop if refusal.binding.is_some() => {
            "The other party is by now a number of this server: that is a loop.".to_owned()
        }
        Reason::Loop => format!("{caller} is itself a number of this server: that is a loop."),
        Reason::Unidentified => "The caller has no usable identity.".to_owned(),
        Reason::Direction => match refusal.caller {
            Some(Party::A) => "The binding lets only the other side call.".to_owned(),
            Some(Party::B | Party::N) | None => "The binding lets only A call.".to_owned(),
        },
        Reason::SelfCall => format!("{dialled} stands for {caller}, who would call himself."),
        Reason::NoCallee => {
            format!("{dialled} stands for {caller}, and nobody was named whom to call by it.")
        }
        Reason::Expired => past_sentence(refusal, caller),
        // Those after `NoBinding` and those of other rooms never come from `route`.
        Reason::NoBinding
        | Reason::Overload
        | Reason::Blocked
        | Reason::Frequency
        | Reason::Quota
        | Reason::Media
        | Reason::Busy
        | Reason::NoAnswer
        | Reason::Rejected
        | Reason::Unreachable
        | Reason::Unallocated
        | Reason::TrunkDown
        | Reason::TrunkMayNotShow
        | Reason::Cut
        | Reason::Cancelled
        | Reason::CustomerServer
        | Reason::Protocol
        | Reason::Internal
        | Reason::Restart => format!("{caller} is not bound on {dialled}."),
    }
}

fn past_sentence(refusal: &Refusal, caller: &str) -> String {
    let Some((binding, party)) = refusal.binding.as_ref().zip(refusal.caller) else {
        return format!("{caller} is bound no longer.");
    };
    let was = match party {
        Party::A => "was A of",
        Party::B => "was B of",
        Party::N => "could call by",
    };
    let was = format!("{caller} {was} binding {}", binding.id);
    match binding.ended {
        Some((at, Ended::Unbound)) => format!("{was}, which was unbound {at}."),
        Some((at, Ended::Expired)) => format!("{was}, which expired {at}."),
        None if binding.expires == Wall::NEVER => format!("{was} and was replaced."),
        None => format!(
            "{was}, which expired {} or gave the place to another.",
            binding.expires
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::binding::{Direction, Rare, Terms};
    use super::super::inventory::{Freeze, Standing};
    use super::super::request::{BindRequest, TermsChange, UpdateRequest, Write};
    use super::super::support::{A, B, C, World, X, axb, real, tel, x};
    use super::*;

    fn reached(decision: &Decision) -> Option<(RealNumber, Shown)> {
        match decision {
            Decision::Connect(plan) => Some((plan.called(), plan.shown())),
            Decision::Refuse(_) => None,
        }
    }

    fn reason(decision: &Decision) -> Option<Reason> {
        match decision {
            Decision::Connect(_) => None,
            Decision::Refuse(refusal) => Some(refusal.reason),
        }
    }

    fn one_way(direction: Direction) -> BindRequest {
        let mut request = axb(X, A, B);
        request.terms.direction = direction;
        request
    }

    #[test]
    fn each_row_of_axb_reaches_the_other_party_who_sees_x() {
        let mut world = World::new();
        world.add("17000000002");
        let id = world.bind(X, A, B);
        for (caller, party, called) in [(A, Party::A, B), (B, Party::B, A)] {
            let Decision::Connect(plan) = world.call(X, caller) else {
                panic!("{party:?} is refused");
            };
            assert_eq!(plan.called(), real(called));
            assert_eq!(plan.shown(), Shown::Virtual(x(X)));
            assert_eq!((plan.caller(), plan.binding().id), (party, id));
            assert_eq!(plan.number().x, x(X));
        }
        assert_eq!(reason(&world.call(X, C)), Some(Reason::NoBinding));
        assert_eq!(reason(&world.call("17000000002", A)), Some(Reason::NoBinding));
        assert_eq!(reason(&world.call("17000000003", A)), Some(Reason::NotOurs));
    }

    #[test]
    fn many_pairs_on_one_number_keep_apart() {
        let mut world = World::new();
        world.bind(X, A, B);
        world.bind(X, C, "13600000004");
        let called = |caller| reached(&world.call(X, caller)).map(|(called, _)| called);
        assert_eq!(called(A), Some(real(B)));
        assert_eq!(called(C), Some(real("13600000004")));
        assert_eq!(called("13600000004"), Some(real(C)));
    }

    #[test]
    fn a_one_way_binding_lets_its_party_call_and_tells_the_other_the_direction_is_wrong() {
        for (direction, may, may_not) in [(Direction::AToB, A, B), (Direction::BToA, B, A)] {
            let mut world = World::new();
            let id = world.try_bind(one_way(direction)).expect("free keys").id;
            assert_eq!(
                reached(&world.call(X, may)),
                Some((real(may_not), Shown::Virtual(x(X))))
            );
            let Decision::Refuse(refusal) = world.call(X, may_not) else {
                panic!("{direction:?} lets the other call");
            };
            assert_eq!(refusal.reason, Reason::Direction);
            assert_eq!(refusal.binding.map(|binding| binding.id), Some(id));
        }
    }

    /// What can be wrong with an attempt, in the order of judgement.
    const FAULTS: [Reason; 7] = [
        Reason::NotOurs,
        Reason::AccountSuspended,
        Reason::NumberFrozen,
        Reason::Loop,
        Reason::Unidentified,
        Reason::Direction,
        Reason::Expired,
    ];

    /// The decision on an attempt with these faults, on a number that is bound and would connect.
    fn judged_with(faults: &[Reason]) -> Option<Reason> {
        let mut world = World::new();
        let has = |fault| faults.contains(&fault);
        let direction = if has(Reason::Direction) {
            Direction::BToA
        } else {
            Direction::Both
        };
        let id = world.try_bind(one_way(direction)).expect("free keys").id;
        if has(Reason::Expired) {
            world.unbind(id);
            // Where a live rule also stands, it is another pair's: the direction is A's to get wrong.
            if has(Reason::Direction) {
                world.later(1);
                world.try_bind(one_way(direction)).expect("keys freed");
            }
        }
        world.later(1);
        let mut attempt = world.attempt(X, A);
        if has(Reason::Loop) {
            world.add(A);
        }
        if has(Reason::Unidentified) {
            attempt.caller = None;
        }
        if has(Reason::NumberFrozen) {
            let state = NumberState::Frozen(Freeze::Carrier);
            world
                .write(&Write::SetNumberState { x: x(X), state })
                .expect("in service");
        }
        if has(Reason::AccountSuspended) {
            world
                .write(&Write::set_standing("default", Standing::Suspended))
                .expect("the account is there");
        }
        if has(Reason::NotOurs) {
            attempt.dialled = tel("17000000009");
        }
        reason(&route(&world.table, &attempt))
    }

    #[test]
    fn of_two_reasons_the_one_that_stands_higher_is_given() {
        assert_eq!(judged_with(&[]), None);
        for (i, high) in FAULTS.iter().enumerate() {
            assert_eq!(judged_with(&[*high]), Some(*high));
            for low in FAULTS.iter().skip(i + 1) {
                // A caller without identity is no number of ours: these two can't meet.
                if (*high, *low) != (Reason::Loop, Reason::Unidentified) {
                    assert_eq!(judged_with(&[*high, *low]), Some(*high), "{high:?} over {low:?}");
                }
            }
        }
        assert!(FAULTS.is_sorted());
    }

    #[test]
    fn a_locked_number_still_connects_and_a_released_one_is_none_of_ours() {
        let mut world = World::new();
        let id = world.bind(X, A, B);
        let state = NumberState::Locked;
        world
            .write(&Write::SetNumberState { x: x(X), state })
            .expect("in service");
        assert!(reached(&world.call(X, A)).is_some());
        world.unbind(id);
        world
            .write(&Write::ReleaseNumber { x: x(X) })
            .expect("nothing bound");
        let Decision::Refuse(refusal) = world.call(X, A) else {
            panic!("connected");
        };
        assert_eq!((refusal.reason, refusal.number), (Reason::NotOurs, None));
    }

    #[test]
    fn a_party_that_became_a_number_of_ours_is_not_called() {
        let mut world = World::new();
        world.bind(X, A, B);
        world.add(B);
        assert_eq!(reason(&world.call(X, A)), Some(Reason::Loop));
        assert_eq!(reason(&world.call(X, B)), Some(Reason::Loop));
    }

    #[test]
    fn an_attempt_that_arrived_before_the_unbind_still_reaches_the_old_party() {
        let mut world = World::new();
        let id = world.bind(X, A, B);
        world.later(10);
        let early = world.attempt(X, A);
        world.later(10);
        world.unbind(id);
        assert_eq!(reason(&world.call(X, A)), Some(Reason::Expired));
        world.bind(X, A, C);
        world.later(1);
        let late = world.attempt(X, A);
        assert_eq!(reached(&route(&world.table, &early)).map(|r| r.0), Some(real(B)));
        assert_eq!(reached(&route(&world.table, &late)).map(|r| r.0), Some(real(C)));
    }

    #[test]
    fn a_key_given_to_somebody_else_within_one_millisecond_never_reaches_the_new_party() {
        let mut world = World::new();
        let id = world.bind(X, A, B);
        world.later(10);
        let attempt = world.attempt(X, A);
        assert_eq!(
            reached(&route(&world.table, &attempt)).map(|r| r.0),
            Some(real(B))
        );
        world.unbind(id);
        world.bind(X, A, C);
        assert_eq!(reason(&route(&world.table, &attempt)), Some(Reason::Expired));
    }

    #[test]
    fn an_update_counts_for_attempts_that_arrive_after_it() {
        let mut world = World::new();
        let id = world.bind(X, A, B);
        world.later(10);
        let early = [world.attempt(X, A), world.attempt(X, B), world.attempt(X, C)];
        world.later(10);
        let mut request = UpdateRequest::of(id);
        request.b = Some(real(C));
        world.update(request).expect("C's key is free");
        let called = |attempt: &Attempt| reached(&route(&world.table, attempt)).map(|r| r.0);
        assert_eq!(called(&early[0]), Some(real(B)));
        assert_eq!(called(&early[1]), Some(real(A)));
        assert_eq!(reason(&route(&world.table, &early[2])), Some(Reason::NoBinding));
        assert_eq!(called(&world.attempt(X, A)), Some(real(C)));
        assert_eq!(called(&world.attempt(X, C)), Some(real(A)));
        assert_eq!(reason(&world.call(X, B)), Some(Reason::Expired));
    }

    #[test]
    fn a_binding_stops_at_its_expiry_before_anybody_writes_that_down() {
        let mut world = World::new();
        let mut request = axb(X, A, B);
        request.expires = Some(world.at(60_000));
        let id = world.try_bind(request).expect("far enough ahead").id;
        world.later(59_999);
        let last = world.attempt(X, A);
        assert!(reached(&route(&world.table, &last)).is_some());
        world.later(1);
        assert_eq!(reason(&world.call(X, A)), Some(Reason::Expired));
        world.later(5_000);
        world.write(&Write::Expire { id }).expect("known");
        assert!(reached(&route(&world.table, &last)).is_some());
        assert_eq!(reason(&world.call(X, A)), Some(Reason::Expired));
    }

    #[test]
    fn an_attempt_that_arrived_before_the_binding_was_made_reaches_nobody() {
        let mut world = World::new();
        let early = world.attempt(X, A);
        world.later(1);
        world.bind(X, A, B);
        assert_eq!(reason(&route(&world.table, &early)), Some(Reason::NoBinding));
    }

    #[test]
    fn an_explanation_says_who_is_reached_and_masks_what_its_reader_must_not_see() {
        let mut world = World::new();
        let id = world.bind(X, A, B);
        let plan = NumberPlan::default();
        let attempt = world.attempt(X, A);
        let told = explain(&world.table, &attempt, &plan, Audience::Masked);
        assert_eq!(
            told.sentences,
            [
                format!("{X} is a number of pool default."),
                format!(
                    "138****0001 is A of axb binding {id} (made {}, never expires).",
                    world.now
                ),
                format!("The call goes to 139****0002, who sees {X}."),
            ]
        );
        let full = explain(&world.table, &attempt, &plan, Audience::Full);
        assert_eq!(
            full.sentences[2],
            format!("The call goes to +8613900000002, who sees {X}.")
        );
        let Verdict::Connect { called, binding, .. } = full.verdict else {
            panic!("refused");
        };
        assert_eq!((called.as_str(), binding), ("+8613900000002", id));
    }

    #[test]
    fn an_explanation_of_a_refusal_ends_with_its_reason() {
        let plan = NumberPlan::default();
        let mut world = World::new();
        let id = world.try_bind(one_way(Direction::AToB)).expect("free keys").id;
        let last = |world: &World, dialled, caller| {
            let told = explain(
                &world.table,
                &world.attempt(dialled, caller),
                &plan,
                Audience::Masked,
            );
            told.sentences.last().cloned().unwrap_or_default()
        };
        assert_eq!(last(&world, X, B), "The binding lets only A call.");
        assert_eq!(last(&world, X, C), format!("137****0003 is not bound on {X}."));
        assert_eq!(
            last(&world, X, X),
            format!("{X} is itself a number of this server: that is a loop.")
        );
        assert_eq!(
            last(&world, "17000000009", A),
            "17000000009 is not a number of this server."
        );
        world.later(1);
        world.unbind(id);
        assert_eq!(
            last(&world, X, A),
            format!(
                "138****0001 was A of binding {id}, which was unbound {}.",
                world.now
            )
        );
    }

    #[test]
    fn terms_can_be_changed_without_moving_the_expiry() {
        let mut world = World::new();
        let mut request = axb(X, A, B);
        request.expires = Some(world.at(3_600_000));
        let rare = Rare {
            user_data: Some("kept".into()),
            ..Rare::default()
        };
        request.terms = Terms::new(Direction::Both, false, rare);
        let made = world.try_bind(request).expect("free keys");
        world.later(1_000);
        let mut update = UpdateRequest::of(made.id);
        update.terms = TermsChange {
            direction: Some(Direction::BToA),
            ..TermsChange::default()
        };
        world.update(update).expect("live");
        let now = world.table.binding(made.id).expect("kept");
        assert_eq!((now.expires, now.version), (made.expires, 2));
        assert_eq!(now.terms.rare().user_data.as_deref(), Some("kept"));
        assert_eq!(reason(&world.call(X, A)), Some(Reason::Direction));
    }
}
