//! The decision: who reaches whom, and what they see. Pure; judged as of the attempt's arrival.

mod advice;
mod behind;
mod callback;
mod menu;

use std::sync::Arc;
use std::time::Duration;

pub use self::advice::advised;
use super::ask::Question;
use super::binding::{Binding, Mode, Parties, Party, Side};
use super::callee::{Callee, Taken};
use super::collect::Collect;
use super::inventory::{Callback, Fax, Number, NumberState, Pool, Unidentified};
use super::keyed::Keyed;
use super::last::Last;
use super::mode::{self, Row};
use super::question::{EndQuestion, Said};
use super::reason::Reason;
use super::rule::{Key, Who};
use super::seats::{Full, Seat};
use super::table::{AsOf, Table};
use super::turns::Turn;
use crate::base::id::Id;
use crate::base::number::{RealNumber, Shown, Tel};
use crate::base::time::Wall;
use callback::Back;
use group::paired;

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
    /// What he keyed in when he was asked.
    pub digits: Keyed,
}

/// What becomes of an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Call somebody.
    Connect(Plan),
    /// Ask the customer's server whom to call.
    Ask(Question),
    /// Ask the caller for keys, and judge the same attempt again with them.
    Collect(Collect),
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
    /// The binding is no stored one: a customer's server made it up for this call.
    by_advice: bool,
    number: Arc<Number>,
    shows: Arc<Number>,
    callee: Option<Callee>,
    fax: Fax,
    question: Option<Arc<EndQuestion>>,
    turn: Option<Turn>,
    arrived: Wall,
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

    /// The binding by which the call goes, in the version that counted at its arrival. In X mode it is what the
    /// customer's server promised for this call alone.
    pub const fn binding(&self) -> &Arc<Binding> {
        &self.binding
    }

    /// The binding's id; none in X mode, where nothing is bound.
    pub fn bound(&self) -> Option<Id> {
        (!self.by_advice).then_some(self.binding.id)
    }

    /// By which mode the call goes.
    pub fn mode(&self) -> Mode {
        if self.by_advice {
            Mode::X
        } else {
            self.binding.mode()
        }
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

    /// The temporary callee that the call uses up, if it goes to one.
    pub const fn callee(&self) -> Option<&Callee> {
        self.callee.as_ref()
    }

    /// How long the called party rings at the most, where others come after him.
    pub fn rings(&self) -> Option<Duration> {
        self.turn.as_ref().map(Turn::each)
    }

    /// The right to call the next one, when this one can't be reached; `None`: nobody comes after him.
    pub fn next(&self) -> Option<Self> {
        let (called, turn) = self.turn.as_ref()?.next()?;
        Some(Self {
            called,
            turn: Some(turn),
            ..self.clone()
        })
    }

    /// Whether somebody was called before this one.
    pub fn is_later(&self) -> bool {
        self.turn.as_ref().is_some_and(Turn::is_later)
    }

    /// Everybody who may be called after this one: the caller must not learn of them either.
    pub fn others(&self) -> &[RealNumber] {
        self.turn.as_ref().map_or(&[], Turn::others)
    }

    /// What becomes of a fax that the call turns into, by the dialled number's pool.
    pub const fn fax(&self) -> Fax {
        self.fax
    }

    /// What whoever stays is asked at the end: the binding's question, or that of the dialled number's pool if the binding
    /// says nothing.
    pub fn question(&self) -> Option<&EndQuestion> {
        match &self.binding.terms.cues().question {
            Said::Nothing => self.question.as_deref(),
            Said::Nobody => None,
            Said::This(own) => Some(own),
        }
    }

    /// Which of the binding's people calls.
    pub const fn caller(&self) -> Party {
        self.caller
    }
}

impl Decision {
    /// What was decided comes to nothing.
    fn refused(self, reason: Reason, full: Option<Full>) -> Self {
        let (number, binding, caller) = match self {
            Self::Connect(plan) => (plan.number, Some(plan.binding), Some(plan.caller)),
            Self::Collect(collect) => {
                let (binding, caller) = collect.found.unzip();
                (collect.number, binding, caller)
            }
            Self::Ask(question) => (question.number, None, Some(Party::N)),
            refused @ Self::Refuse(_) => return refused,
        };
        Self::Refuse(Refusal {
            reason,
            number: Some(number),
            binding,
            caller,
            full,
        })
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
    /// Which limit is reached, where one is.
    pub full: Option<Full>,
}

/// Decides an attempt.
pub fn route(table: &Table, attempt: &Attempt) -> Decision {
    judge(table, attempt).unwrap_or_else(Decision::Refuse)
}

/// The attempt as it goes when its digits are known beforehand: a caller who isn't asked can't key any.
pub fn as_asked(table: &Table, attempt: &Attempt) -> Attempt {
    let unasked = Attempt {
        digits: Keyed::Nothing,
        ..*attempt
    };
    match route(table, &unasked) {
        Decision::Collect(_) => *attempt,
        Decision::Connect(_) | Decision::Ask(_) | Decision::Refuse(_) => unasked,
    }
}

/// The order of the questions is the order of [`Reason`].
fn judge(table: &Table, attempt: &Attempt) -> Result<Decision, Refusal> {
    let Some(number) = table.number(attempt.dialled).filter(|number| number.is_ours()) else {
        return Err(Refusal {
            reason: Reason::NotOurs,
            number: None,
            binding: None,
            caller: None,
            full: None,
        });
    };
    let case = Case {
        table,
        attempt,
        pool: table.pool(&number.pool),
        number,
    };
    let number = &case.number;
    if table.is_suspended(&number.account) {
        return case.refuse(Reason::AccountSuspended, None);
    }
    match number.state {
        NumberState::Frozen(_) => return case.refuse(Reason::NumberFrozen, None),
        // A released number was none of ours above; a locked one keeps its calls.
        NumberState::Inventory | NumberState::Active | NumberState::Locked | NumberState::Released => {}
    }
    // Who diverted the call never changes who the caller is; but a number of ours does neither.
    let mut ways = attempt.caller.into_iter().chain(attempt.diverting);
    if ways.any(|tel| table.is_ours(tel)) {
        return case.refuse(Reason::Loop, None);
    }
    if let Some(pool) = case.pool.as_ref().filter(|pool| pool.mode == Mode::X) {
        return case.asks(pool);
    }

    let mut past = None;
    if let Some(caller) = attempt.caller {
        let key = Key {
            dialled: attempt.dialled,
            caller: Who::Number(caller),
        };
        if let Some((binding, party)) = live(table, key, attempt.arrived, &mut past) {
            return case.connect(binding, party);
        }
        if let Some((binding, party)) = group::of_member(table, attempt, caller, &mut past) {
            return case.connect(binding, party);
        }
        if let Some(binding) = table.own_line(attempt.dialled, caller, attempt.arrived) {
            let party = if binding.parties.a().is_some_and(|a| a.is(caller)) {
                Party::A
            } else {
                Party::B
            };
            return case.refuse(Reason::SelfCall, Some((binding, party)));
        }
    }
    if let Some(pool) = case.pool.as_ref().filter(|pool| pool.mode == Mode::Axe) {
        return case.behind(pool);
    }
    // Whoever still calls by a key that rests reaches nobody but whom he reached by it.
    let rests = past
        .as_ref()
        .and_then(|(binding, party): &(Arc<Binding>, Party)| {
            table.rests(number, binding, *party, attempt.arrived)
        });
    let anyone = live(table, mode::anyone(number.x), attempt.arrived, &mut past)
        .filter(|(binding, _)| rests.is_none_or(|peer| peer == Some(binding.parties.behind())));
    match (anyone, past) {
        (Some((binding, party)), _) if case.accepts_caller() => case.connect(binding, party),
        _ if attempt.caller.is_none() => case.refuse(Reason::Unidentified, None),
        (Some((binding, party)), _) => case.connect(binding, party),
        (None, Some(found)) => case.refuse(Reason::Expired, Some(found)),
        (None, None) => case.refuse(Reason::NoBinding, None),
    }
}

/// An attempt at a number of ours.
struct Case<'a> {
    table: &'a Table,
    attempt: &'a Attempt,
    number: Arc<Number>,
    pool: Option<Arc<Pool>>,
}

impl Case<'_> {
    fn refuse<T>(&self, reason: Reason, found: Option<(Arc<Binding>, Party)>) -> Result<T, Refusal> {
        let (binding, caller) = found.unzip();
        Err(Refusal {
            reason,
            number: Some(self.number.clone()),
            binding,
            caller,
            full: None,
        })
    }

    /// The caller is `party` of a binding that counts.
    fn connect(&self, binding: Arc<Binding>, party: Party) -> Result<Decision, Refusal> {
        let (table, number) = (self.table, &self.number);
        // The call of an employee goes by the pairing that it leads to.
        let (binding, party, chosen) = match mode::row(&binding, party) {
            Row::To(..) | Row::Callback(_) | Row::ToMember(..) | Row::ToChosen(_) => (binding, party, None),
            Row::ToPaired(_) => match paired(table, &binding, self.attempt.arrived) {
                Some((paired, chosen)) => (paired, Party::B, chosen),
                None => return self.refuse(Reason::NoCallee, Some((binding, party))),
            },
        };
        let found = Some((binding.clone(), party));
        let turns = match group::turns(table, &binding, party, self.attempt) {
            Ok(turns) => turns,
            Err(reason) => return self.refuse(reason, found),
        };
        let Some(shows) = self.shows(&binding, party) else {
            return self.refuse(Reason::Internal, found);
        };
        match shows.state {
            NumberState::Frozen(_) => return self.refuse(Reason::NumberFrozen, found),
            NumberState::Inventory | NumberState::Active | NumberState::Locked | NumberState::Released => {}
        }
        let row = mode::row(&binding, party);
        if let Row::To(called, _) = row
            && is_one_of_ours(table, called)
        {
            return self.refuse(Reason::Loop, found);
        }
        if !binding.terms.direction.allows(binding.parties.side(party)) {
            return self.refuse(Reason::Direction, found);
        }
        let mut later = None;
        let (binding, called, shown, callee) = match row {
            Row::To(called, _) if self.attempt.caller.is_some_and(|caller| called.is(caller)) => {
                return self.refuse(Reason::SelfCall, found);
            }
            Row::To(called, shown) => (binding, called, shown, chosen),
            Row::ToMember(group, shown) => {
                let (back, why) = match self.callback(binding.clone()) {
                    Ok(back) => (Some(back), Reason::NoCallee),
                    Err(why) => (None, why),
                };
                match group::called(table, group, binding, back, self.attempt.arrived) {
                    Some(Back { by, to, callee }) => (by, to, shown, callee),
                    None => return self.refuse(why, found),
                }
            }
            Row::ToPaired(_) => return self.refuse(Reason::Internal, found),
            Row::ToChosen(_) if !self.attempt.digits.is_answer() => {
                return self.ask_choice(binding, party);
            }
            Row::ToChosen(shown) => match menu::chosen(self, &binding, self.attempt) {
                Ok((called, turn)) => {
                    later = turn;
                    (binding, called, shown, None)
                }
                Err(reason) => return self.refuse(reason, found),
            },
            Row::Callback(shown) => match self.callback(binding) {
                Ok(Back { by, to, callee }) => (by, to, shown, callee),
                Err(reason) => return self.refuse(reason, found),
            },
        };
        let (called, turn) = turns.map_or((called, later), |(called, turn)| (called, Some(turn)));
        // Bound before the law said so, or by a store of elsewhere.
        if shows.class().may_be_shown(binding.mode()).is_err() {
            return self.refuse(Reason::TrunkMayNotShow, found);
        }
        self.check_seats(found)?;
        Ok(Decision::Connect(Plan {
            called,
            shown,
            calling: self.attempt.caller.map(RealNumber::new),
            caller: party,
            binding,
            by_advice: false,
            number: number.clone(),
            shows,
            callee,
            fax: self.pool.as_ref().map_or(Fax::Refuse, |pool| pool.fax),
            question: self.pool.as_ref().and_then(|pool| pool.question.clone()),
            turn,
            arrived: self.attempt.arrived,
        }))
    }

    /// The number of ours that stands for the caller; behind a 400 number, what is shown in its place.
    fn shows(&self, binding: &Binding, party: Party) -> Option<Arc<Number>> {
        let number = &self.number;
        let shown = match (binding.parties, binding.parties.side(party)) {
            (Parties::Inbound { base }, _) => mode::displayed(binding.terms.rare(), base),
            (_, Side::A) => binding.x,
            (parties, Side::B) => parties.y().unwrap_or(binding.x),
        };
        if shown == number.x {
            return Some(number.clone());
        }
        let ours = self.table.number(shown.tel()).filter(|shows| shows.is_ours());
        match binding.mode() {
            // What isn't ours is shown where the 400 number comes from, which knows it.
            Mode::Inbound => Some(ours.unwrap_or_else(|| {
                Arc::new(Number {
                    x: shown,
                    ..(**number).clone()
                })
            })),
            Mode::Axb
            | Mode::Ax
            | Mode::Axyb
            | Mode::Axe
            | Mode::Axn
            | Mode::Axn95
            | Mode::Axg
            | Mode::Gxb
            | Mode::Gxyb
            | Mode::Xb
            | Mode::X => ours,
        }
    }

    /// Whether there is room for one more call. One that was asked for keys has its seat already.
    fn check_seats(&self, found: Option<(Arc<Binding>, Party)>) -> Result<(), Refusal> {
        let caller = self.attempt.caller.map(RealNumber::new);
        let pool = self.pool.as_ref().filter(|_| !self.attempt.digits.is_answer());
        let full = pool.and_then(|pool| self.table.seats.full(self.attempt.dialled, caller, pool));
        match full {
            None => Ok(()),
            full @ Some(_) => {
                let refused = self.refuse(Reason::Quota, found);
                refused.map_err(|refusal| Refusal { full, ..refusal })
            }
        }
    }

    /// Whether the caller has an identity, or needs none.
    fn accepts_caller(&self) -> bool {
        let accepts = |pool: &Arc<Pool>| match pool.unidentified {
            Unidentified::Refused => false,
            Unidentified::Accepted => true,
        };
        self.attempt.caller.is_some() || self.pool.as_ref().is_some_and(accepts)
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

/// Numbers may be added after somebody was bound or named by them.
fn is_one_of_ours(table: &Table, person: RealNumber) -> bool {
    table.is_ours(person.reveal())
}

/// The right to call `target` instead of whom `plan` calls, because that party's side sends the call on there. What is
/// shown stays what it was.
///
/// # Errors
/// [`Reason::Loop`]: the target is a number of ours, and the call would enter a second binding in nobody's name, or the
/// number that was called already. [`Reason::SelfCall`]: it is the caller's own. [`Reason::Rejected`]: it is an emergency
/// number, which nobody is connected to by somebody else's wish, or the first party was shown a real number, by a
/// consent that holds for that party alone, or one that isn't ours, in place of a 400 number.
pub fn redirected(table: &Table, plan: &Plan, target: Tel) -> Result<Plan, Reason> {
    // Who rings later in any case isn't called before his turn.
    let is_later = plan.others().iter().any(|other| other.is(target));
    if table.is_ours(target) || plan.called.is(target) || is_later {
        return Err(Reason::Loop);
    }
    if plan.calling.is_some_and(|calling| calling.is(target)) {
        return Err(Reason::SelfCall);
    }
    let keeps_masked = match plan.shown {
        // What a 400 number shows may be nobody's but the base's: its base number, or one that is somebody's outside. Who
        // is behind it knows that; to whom he sends the call on, it is a stranger's own number.
        Shown::Virtual(shown) => table.is_ours(shown.tel()),
        Shown::Withheld => true,
        Shown::Real(..) => false,
    };
    if target.may_be_emergency() || !keeps_masked {
        return Err(Reason::Rejected);
    }
    Ok(Plan {
        called: RealNumber::new(target),
        ..plan.clone()
    })
}

/// Makes a decision count: what can be used once is used by it, and the call takes its seat among those by the
/// number, which it keeps as long as it goes on; `seat` is the one that it has already, if it was asked for keys. Of
/// several attempts that were led to the same temporary callee or the last free seat, in whichever shards, one is
/// connected and the others are refused. Who calls A is who called him last from now on, where his pool wants that kept.
pub fn claim(table: &Table, decision: Decision, seat: Option<Seat>) -> (Decision, Option<Seat>) {
    let (number, calling) = match &decision {
        Decision::Connect(plan) => (&plan.number, plan.calling),
        Decision::Collect(collect) => (&collect.number, collect.calling),
        Decision::Ask(question) => (&question.number, question.calling),
        Decision::Refuse(_) => return (decision, None),
    };
    let seat = match (seat, table.pool(&number.pool)) {
        (Some(seat), _) => Some(seat),
        (None, None) => None,
        (None, Some(pool)) => match table.seats.take(number.x.tel(), calling, &pool) {
            Ok(seat) => Some(seat),
            Err(full) => return (decision.refused(Reason::Quota, Some(full)), None),
        },
    };
    let callee = match &decision {
        Decision::Connect(plan) => plan.callee.as_ref(),
        Decision::Collect(_) | Decision::Ask(_) | Decision::Refuse(_) => None,
    };
    match callee.map(|callee| table.callees.take(callee)) {
        None | Some(Taken::Yes) => {
            if let Decision::Connect(plan) = &decision {
                note_last(table, plan);
            }
            (decision, seat)
        }
        Some(Taken::No) => (decision.refused(Reason::NoCallee, None), None),
    }
}

/// Whoever anyone may be, he can be called back only if it is known who he is.
fn note_last(table: &Table, plan: &Plan) {
    // What a customer's server said holds for one call: nothing is bound that could call back.
    let Some(pool) = table.pool(&plan.number.pool).filter(|_| !plan.by_advice) else {
        return;
    };
    if let (Party::N | Party::Member, Some(caller), Callback::Last) =
        (plan.caller, plan.calling, pool.callback)
    {
        let last = Last {
            binding: plan.binding.id,
            caller,
            at: plan.arrived,
            until: plan.arrived.plus(pool.last_kept),
        };
        // While he was asked for keys the binding may have come to join others, whom he doesn't call.
        let is_theirs = || {
            let newest = table.binding(plan.binding.id);
            newest.is_some_and(|newest| newest.parties == plan.binding.parties)
        };
        if !is_theirs() {
            return;
        }
        table.lasts.note(last);
        // Or come to it at this moment, before it was noted.
        if !is_theirs() {
            table.lasts.take_back(&last);
        }
    }
}

mod explain;
mod group;
pub use explain::{Audience, Explanation, Verdict, explain};

#[cfg(test)]
mod axe;
#[cfg(test)]
mod modes;
#[cfg(test)]
mod order;
#[cfg(test)]
mod tests;
