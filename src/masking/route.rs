//! The decision: who reaches whom, and what they see. Pure; judged as of the attempt's arrival.

use std::sync::Arc;

use super::binding::{Binding, Direction, Ended, Party};
use super::inventory::{Number, NumberState};
use super::mode;
use super::reason::Reason;
use super::rule::Key;
use super::table::{AsOf, Table};
use crate::base::id::Id;
use crate::base::number::{NumberPlan, RealNumber, Shown, Tel};
use crate::base::time::Wall;

/// Somebody dials a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// The number dialled.
    pub dialled: Tel,
    /// The caller, if it has a usable identity.
    pub caller: Option<Tel>,
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
    caller: Party,
    binding: Arc<Binding>,
    number: Arc<Number>,
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

    /// The number that was dialled.
    pub const fn number(&self) -> &Arc<Number> {
        &self.number
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
        NumberState::Active | NumberState::Locked | NumberState::Released => {}
    }
    let Some(caller) = attempt.caller else {
        return refuse(Reason::Unidentified, None);
    };
    if table.is_ours(caller) {
        return refuse(Reason::Loop, None);
    }

    let key = Key {
        dialled: attempt.dialled,
        caller,
    };
    let mut past: Option<(Arc<Binding>, Party)> = None;
    for rule in table.rules(key) {
        match table.judge(key, rule, attempt.arrived) {
            Some(AsOf::Live(binding)) => {
                let party = rule.party();
                let (called, shown) = mode::row(&binding, party);
                // The called party may have become a number of ours after it was bound.
                if table.is_ours(called.reveal()) {
                    return refuse(Reason::Loop, Some((binding, party)));
                }
                if !binding.terms.direction.allows(party) {
                    return refuse(Reason::Direction, Some((binding, party)));
                }
                return Ok(Plan {
                    called,
                    shown,
                    caller: party,
                    binding,
                    number,
                });
            }
            Some(AsOf::Past(binding)) => {
                if past.as_ref().is_none_or(|(last, _)| last.since < binding.since) {
                    past = Some((binding, rule.party()));
                }
            }
            None => {}
        }
    }
    match past {
        Some(found) => refuse(Reason::Expired, Some(found)),
        None => refuse(Reason::NoBinding, None),
    }
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
        Audience::Masked if !table.is_ours(tel) => format!("{tel:?}"),
        Audience::Masked | Audience::Full => plan.record(tel).to_string(),
    };
    let dialled = plan.write(attempt.dialled, crate::base::number::Format::National);
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
            if let (Some(binding), Some(party), Reason::Direction | Reason::Loop) =
                (&refusal.binding, refusal.caller, refusal.reason)
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
    let party = letter(party);
    format!(
        "{caller} is {party} of binding {} (made {}, {expires}).",
        binding.id, binding.created
    )
}

const fn letter(party: Party) -> &'static str {
    match party {
        Party::A => "A",
        Party::B => "B",
    }
}

fn refusal_sentence(refusal: &Refusal, dialled: &str, caller: &str) -> String {
    match (refusal.reason, &refusal.binding, refusal.caller) {
        (Reason::NotOurs, _, _) => format!("{dialled} is not a number of this server."),
        (Reason::AccountSuspended, _, _) => {
            let account = refusal.number.as_ref().map_or("", |number| &*number.account);
            format!("Its account {account} is suspended: calls are refused.")
        }
        (Reason::NumberFrozen, _, _) => "It is frozen: calls are refused.".to_owned(),
        (Reason::Loop, None, _) => format!("{caller} is itself a number of this server: that is a loop."),
        (Reason::Loop, Some(_), _) => {
            "The other party is by now a number of this server: that is a loop.".to_owned()
        }
        (Reason::Unidentified, _, _) => "The caller has no usable identity.".to_owned(),
        (Reason::Direction, Some(binding), _) => match binding.terms.direction {
            Direction::AToB => "The binding lets only A call.".to_owned(),
            Direction::BToA => "The binding lets only B call.".to_owned(),
            Direction::Both => "The binding doesn't allow this direction.".to_owned(),
        },
        (Reason::Expired, Some(binding), Some(party)) => {
            let (letter, id) = (letter(party), binding.id);
            match binding.ended {
                Some((at, Ended::Unbound)) => {
                    format!("{caller} was {letter} of binding {id}, which was unbound {at}.")
                }
                Some((at, Ended::Expired)) => {
                    format!("{caller} was {letter} of binding {id}, which expired {at}.")
                }
                None if binding.expires == Wall::NEVER => {
                    format!("{caller} was {letter} of binding {id} and was replaced.")
                }
                None => format!(
                    "{caller} was {letter} of binding {id}: replaced, or expired {}.",
                    binding.expires
                ),
            }
        }
        (reason, _, _) => {
            // Reasons of later stages never come from `route`; they would be named, not explained.
            let _ = reason;
            format!("{caller} is not bound on {dialled}.")
        }
    }
}
