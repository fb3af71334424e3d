//! A decision in words: who would be reached, and why.

use super::{Attempt, Decision, Refusal, route};
use crate::base::id::Id;
use crate::base::number::{Format, NumberPlan, Shown, Tel};
use crate::base::time::Wall;
use crate::masking::binding::{Binding, Ended, Party};
use crate::masking::collect::{Hash, Wants};
use crate::masking::inventory::NumberState;
use crate::masking::menu::Choice;
use crate::masking::reason::Reason;
use crate::masking::seats::Full;
use crate::masking::table::Table;

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
    /// The caller is asked for keys first.
    Collect {
        /// Digits with which his answer is whole; `None`: he chooses from a menu, whose answers are of any length.
        width: Option<u8>,
        /// Who he is, if that is known before he keys.
        caller: Option<Party>,
        /// By which binding that is known.
        binding: Option<Id>,
    },
    /// The customer's server says whether it does, and to whom.
    Ask {
        /// Its host, and its port if that isn't the scheme's own.
        server: String,
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
        Decision::Collect(collect) => Some(&collect.number),
        Decision::Ask(question) => Some(question.number()),
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
            if let Some(each) = connect.rings() {
                let others = connect.others().iter();
                let others: Vec<String> = others.map(|other| number_text(other.reveal())).collect();
                sentences.push(format!(
                    "Each rings {} s, one after the other; then it goes on to: {}.",
                    each.as_secs(),
                    if others.is_empty() {
                        "nobody".to_owned()
                    } else {
                        others.join(", ")
                    }
                ));
            }
            let sees = shown.as_deref().unwrap_or("no number");
            sentences.push(format!("The call goes to {called}, who sees {sees}."));
            Verdict::Connect {
                called,
                shown,
                caller: connect.caller,
                binding: connect.binding.id,
            }
        }
        Decision::Ask(question) => {
            let server = question.server().url.authority().to_owned();
            sentences.push(format!(
                "The customer's server at {server} is asked whom {caller} reaches by it; whoever that is sees {dialled}."
            ));
            Verdict::Ask { server }
        }
        Decision::Collect(collect) => {
            let (binding, party) = collect.found.unzip();
            if let (Some(binding), Some(party)) = (&binding, party) {
                sentences.push(party_sentence(&caller, party, binding));
            }
            sentences.push(asked_sentence(&collect.wants, &caller, &number_text));
            Verdict::Collect {
                width: collect.wants.width(),
                caller: party,
                binding: binding.map(|binding| binding.id),
            }
        }
        Decision::Refuse(refusal) => {
            if let (
                Some(binding),
                Some(party),
                Reason::Direction
                | Reason::Loop
                | Reason::SelfCall
                | Reason::NoCallee
                | Reason::CallbackTone
                | Reason::Quota,
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

fn asked_sentence(wants: &Wants, caller: &str, number_text: &dyn Fn(Tel) -> String) -> String {
    match wants {
        Wants::Extension { width, hash } => {
            let back = match hash {
                Hash::Nothing => "",
                Hash::CallsBack => ", or for # to be called back",
            };
            format!("{caller} is asked for an extension of {width} digits{back}.")
        }
        Wants::Choice(menu) => {
            let choices = menu.choices.iter().map(|Choice { keys, to }| {
                let to: Vec<String> = to.iter().map(|number| number_text(number.reveal())).collect();
                format!("{keys} for {}", to.join(", then "))
            });
            let choices: Vec<String> = choices.collect();
            let nothing = match menu.default {
                None => "asks him again, three times in all".to_owned(),
                Some(keys) => format!("is as good as {keys}"),
            };
            format!(
                "{caller} hears {} and chooses: {}. To key nothing {nothing}.",
                menu.prompt,
                choices.join("; ")
            )
        }
    }
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
        Party::Member => "is a member of the group of",
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
            Some(Party::Member) => "The binding doesn't let the group call.".to_owned(),
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
        Reason::CallbackTone => format!("{dialled} stands for {caller}, whom its pool lets hear a tone."),
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
        Party::Member => "was a member of the group of",
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
