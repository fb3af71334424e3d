//! The decision: who reaches whom, and what they see. Pure; judged as of the attempt's arrival.

use std::sync::Arc;

use super::binding::{Binding, Ended, Party};
use super::callee::{Callee, Taken};
use super::inventory::{Callback, Fax, Number, NumberState, Unidentified};
use super::mode::{self, Row};
use super::reason::Reason;
use super::rule::{Key, Who};
use super::seats::{Full, Seat};
use super::table::{AsOf, Table};
use crate::base::id::Id;
use crate::base::number::{Format, Kind, NumberPlan, RealNumber, Shown, Tel};
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
    callee: Option<Callee>,
    fax: Fax,
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

    /// The temporary callee that the call uses up, if it goes to one.
    pub const fn callee(&self) -> Option<&Callee> {
        self.callee.as_ref()
    }

    /// What becomes of a fax that the call turns into, by the dialled number's pool.
    pub const fn fax(&self) -> Fax {
        self.fax
    }

    /// Which of the binding's people calls.
    pub const fn caller(&self) -> Party {
        self.caller
    }

    fn refused(self, reason: Reason, full: Option<Full>) -> Decision {
        Decision::Refuse(Refusal {
            reason,
            number: Some(self.number),
            binding: Some(self.binding),
            caller: Some(self.caller),
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
            full: None,
        });
    };
    let refuse = |reason, found: Option<(Arc<Binding>, Party)>| {
        let (binding, caller) = found.unzip();
        Err(Refusal {
            reason,
            number: Some(number.clone()),
            binding,
            caller,
            full: None,
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
        if let Row::To(called, _) = row
            && is_one_of_ours(table, called)
        {
            return refuse(Reason::Loop, found);
        }
        if !binding.terms.direction.allows(party) {
            return refuse(Reason::Direction, found);
        }
        let (called, shown, callee) = match row {
            Row::To(called, shown) => (called, shown, None),
            Row::Callback(shown) => match callback(table, &number, &binding, attempt.arrived) {
                Some(callee) => (callee.to, shown, Some(callee)),
                None => return refuse(Reason::NoCallee, found),
            },
        };
        // Bound before the law said so, or by a store of elsewhere.
        if shows.class().may_be_shown(binding.mode()).is_err() {
            return refuse(Reason::TrunkMayNotShow, found);
        }
        let pool = table.pool(&number.pool);
        let caller = attempt.caller.map(RealNumber::new);
        let full = pool
            .as_ref()
            .and_then(|pool| table.seats.full(attempt.dialled, caller, pool));
        if let Some(full) = full {
            let refused = refuse(Reason::Quota, found);
            return refused.map_err(|refusal| Refusal {
                full: Some(full),
                ..refusal
            });
        }
        Ok(Plan {
            called,
            shown,
            calling: attempt.caller.map(RealNumber::new),
            caller: party,
            binding,
            number: number.clone(),
            shows,
            callee,
            fax: pool.map_or(Fax::Refuse, |pool| pool.fax),
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
    // Whoever still calls by a key that rests reaches nobody but whom he reached by it.
    let rests = past
        .as_ref()
        .and_then(|(binding, party): &(Arc<Binding>, Party)| {
            table.rests(&number, binding, *party, attempt.arrived)
        });
    let anyone = live(table, mode::anyone(number.x), attempt.arrived, &mut past)
        .filter(|(binding, _)| rests.is_none_or(|peer| peer == Some(binding.parties.a())));
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

/// Numbers may be added after somebody was bound or named by them.
fn is_one_of_ours(table: &Table, person: RealNumber) -> bool {
    table.is_ours(person.reveal())
}

/// Whom A reaches by dialling his own X. The rules that it was named under may have changed since.
fn callback(table: &Table, number: &Number, binding: &Binding, arrived: Wall) -> Option<Callee> {
    let pool = table.pool(&number.pool)?;
    match pool.callback {
        Callback::Temporary => table.callees.named(binding.id).filter(|callee| {
            callee.holds_at(arrived) && callee.to != binding.parties.a() && !is_one_of_ours(table, callee.to)
        }),
        Callback::Refused => None,
    }
}

/// The right to call `target` instead of whom `plan` calls, because that party's side sends the call on there. What is
/// shown stays what it was.
///
/// # Errors
/// [`Reason::Loop`]: the target is a number of ours, and the call would enter a second binding in nobody's name, or the
/// number that was called already. [`Reason::SelfCall`]: it is the caller's own. [`Reason::Rejected`]: it is an emergency
/// number, which nobody is connected to by somebody else's wish, or the first party was shown a real number, by a
/// consent that holds for that party alone.
pub fn redirected(table: &Table, plan: &Plan, target: Tel) -> Result<Plan, Reason> {
    if table.is_ours(target) || plan.called.is(target) {
        return Err(Reason::Loop);
    }
    if plan.calling.is_some_and(|calling| calling.is(target)) {
        return Err(Reason::SelfCall);
    }
    // 110, 112, 911 and their like have three digits wherever they are.
    let is_emergency = target.kind() == Kind::Short && target.digits().len() <= 3;
    let keeps_masked = match plan.shown {
        Shown::Virtual(_) | Shown::Withheld => true,
        Shown::Real(..) => false,
    };
    if is_emergency || !keeps_masked {
        return Err(Reason::Rejected);
    }
    Ok(Plan {
        called: RealNumber::new(target),
        ..plan.clone()
    })
}

/// Makes a decision count: what can be used once is used by it, and the call takes its seat among those by the
/// number, which it keeps as long as it goes on. Of several attempts that were led to the same temporary callee or
/// the last free seat, in whichever shards, one is connected and the others are refused.
pub fn claim(table: &Table, decision: Decision) -> (Decision, Option<Seat>) {
    let plan = match decision {
        Decision::Connect(plan) => plan,
        refused @ Decision::Refuse(_) => return (refused, None),
    };
    let pool = table.pool(&plan.number.pool);
    let seat = match pool.map(|pool| table.seats.take(plan.number.x.tel(), plan.calling, &pool)) {
        Some(Ok(seat)) => Some(seat),
        Some(Err(full)) => return (plan.refused(Reason::Quota, Some(full)), None),
        None => None,
    };
    match plan.callee.as_ref().map(|callee| table.callees.take(callee)) {
        None | Some(Taken::Yes) => (Decision::Connect(plan), seat),
        Some(Taken::No) => (plan.refused(Reason::NoCallee, None), None),
    }
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
            if let Some(callee) = connect.callee() {
                sentences.push(format!(
                    "It was named for him until {} whom to call.",
                    callee.until
                ));
            }
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
                Reason::Direction | Reason::Loop | Reason::SelfCall | Reason::NoCallee | Reason::Quota,
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
        Reason::Quota => match refusal.full {
            Some(full @ Full::PerX(limit)) => {
                format!(
                    "{dialled} has {limit} calls at once, as many as its pool allows ({}).",
                    full.name()
                )
            }
            Some(full @ Full::PerCaller(limit)) => format!(
                "{caller} has {limit} calls at once by {dialled}, as many as its pool allows ({}).",
                full.name()
            ),
            None => "A limit is reached.".to_owned(),
        },
        Reason::TrunkMayNotShow => {
            "The number that would be shown is of a class that must not be.".to_owned()
        }
        Reason::Expired => past_sentence(refusal, caller),
        // Those after `NoBinding` and those of other rooms never come from `route`.
        Reason::NoBinding
        | Reason::Overload
        | Reason::Blocked
        | Reason::Frequency
        | Reason::Media
        | Reason::Busy
        | Reason::NoAnswer
        | Reason::Rejected
        | Reason::Unreachable
        | Reason::Unallocated
        | Reason::TrunkDown
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
        Some((at, Ended::Replaced)) => format!("{was}, which gave the place to others {at}."),
        None if binding.expires == Wall::NEVER => format!("{was} and was replaced."),
        None => format!(
            "{was}, which expired {} or gave the place to another.",
            binding.expires
        ),
    }
}

#[cfg(test)]
mod modes;
#[cfg(test)]
mod order;
#[cfg(test)]
mod tests;
