//! What a caller has keyed is judged, and whoever it names is called.

use super::{Ivr, Step};
use crate::base::time::Now;
use crate::call::admit::{Came, Places};
use crate::call::arrive::Arrival;
use crate::call::cdr::{Cdr, Outcome};
use crate::call::emergency;
use crate::call::failover;
use crate::call::hands::Hands;
use crate::call::phase::{Call, End};
use crate::call::port::{EventKind, LegName};
use crate::call::refusal;
use crate::call::switch::Switch;
use crate::call::warrant::Warrant;
use crate::masking::collect::{Collect, Wants};
use crate::masking::reason::Reason;
use crate::masking::route::{self, Attempt, Decision, Plan};

/// Whether a wrong entry may be a guess of what nobody has told the caller.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guesses {
    Yes,
    No,
}

impl Switch {
    /// A caller is to be asked for digits first: the call gets its place, and the dialogue begins.
    pub(in crate::call) fn ask(
        &mut self,
        now: Now,
        came: Came<'_>,
        record: Box<Cdr>,
        arrival: Arrival,
        (attempt, collect): (Attempt, Collect),
        places: Places,
    ) {
        let wire = came.wire();
        let ivr = Ivr::new(now.at, attempt, collect, &arrival);
        if let Some(mut call) = self.admit(now, came, record, &arrival, places) {
            call.collect(&mut self.hands, now, arrival, ivr, &wire);
            self.put_back(call);
        }
    }

    /// What a call's caller has keyed to us is heard, and judged as soon as it is all that he was asked for.
    pub(in crate::call) fn attend(&mut self, now: Now, call: &mut Call) {
        self.judge_keyed(now, call);
        while call.is_collecting()
            && let Some(key) = call.next_key(LegName::Caller)
        {
            call.key_heard(&mut self.hands, now, key);
            self.judge_keyed(now, call);
        }
        while let Some(stays) = call.answers_question()
            && let Some(key) = call.next_key(stays)
        {
            call.question_keyed(&mut self.hands, now, key);
        }
    }

    /// If the caller has just said all that he was asked for, it is judged.
    fn judge_keyed(&mut self, now: Now, call: &mut Call) {
        let Some(ivr) = call.ivr.as_deref().filter(|_| !call.is_over()) else {
            return;
        };
        let Step::Judges(said) = ivr.step else { return };
        let (x, caller) = (ivr.attempt.dialled, ivr.attempt.caller);
        let wants = ivr.collect.wants();
        let said = wants.meant_by(said);
        // The answers of a menu are said aloud: there is nothing to guess.
        let (guesses, choice) = match wants {
            Wants::Extension { .. } => (Guesses::Yes, None),
            Wants::Choice(_) => (Guesses::No, Some(said)),
        };
        if !wants.may_be(said) {
            return call.is_wrong(&mut self.hands, now, said, Outcome::None);
        }
        if guesses == Guesses::Yes && self.hands.lockout.is_shut(now.at, x, caller) {
            return call.is_wrong(&mut self.hands, now, said, Outcome::LockedOut);
        }
        let attempt = Attempt {
            digits: said,
            ..ivr.attempt
        };
        let mut decision = route::route(&self.table, &attempt);
        if matches!(decision, Decision::Connect(_)) {
            (decision, call.seat) = route::claim(&self.table, decision, call.seat.take());
        }
        let reason = match &decision {
            // Somebody was bound to it: nobody gets there in another's name.
            Decision::Connect(plan) if emergency::is_for_help(&self.config, plan.called()) => {
                Some(Reason::Rejected)
            }
            Decision::Connect(_) => None,
            Decision::Refuse(refusal) => Some(refusal.reason),
            Decision::Collect(_) | Decision::Ask(_) => Some(Reason::Internal),
        };
        if reason.is_some_and(refusal::is_one_face) {
            if guesses == Guesses::Yes {
                self.hands.lockout.guessed(now.at, x, caller);
            }
            return call.is_wrong(&mut self.hands, now, said, Outcome::Wrong);
        }
        self.identify(&mut call.record, &decision);
        call.leave_asking(&mut self.hands);
        let tries = call.ivr.as_ref().map_or(0, |ivr| ivr.tries);
        let collected = call.record.collected.get_or_insert_default();
        (collected.tries, collected.result) = (tries.saturating_add(1), Outcome::Named);
        collected.choice = choice.map(|keys| keys.to_string().into());
        call.tell(&mut self.hands, now, EventKind::Digits(Outcome::Named));
        match (reason, decision) {
            (None, Decision::Connect(plan)) => {
                call.callee_taken = plan.callee().copied();
                call.call_named(&mut self.hands, now, plan);
            }
            (reason, decision) => {
                let cause = match &decision {
                    Decision::Refuse(refusal) => refusal.full.map(|full| full.name()),
                    Decision::Connect(_) | Decision::Collect(_) | Decision::Ask(_) => None,
                };
                let end = End {
                    cause,
                    ..End::failed(reason.unwrap_or(Reason::Internal))
                };
                call.end(&mut self.hands, now, end);
            }
        }
    }
}

impl Call {
    /// Calls whom the keys have named.
    fn call_named(&mut self, hands: &mut Hands, now: Now, plan: Plan) {
        let config = self.config.clone();
        let Some(ivr) = self.ivr.as_deref() else { return };
        let Ivr {
            identities,
            max_forwards,
            ..
        } = ivr;
        let (identities, max_forwards) = (identities.clone(), *max_forwards);
        self.forbid(&identities, &plan);
        let exits = failover::exits(
            &config,
            &hands.reach,
            &hands.resolved,
            &mut hands.chance,
            now.at,
            &plan,
        );
        self.bridge.treat_faxes(plan.fax());
        self.bridge.offer_settled();
        self.through = None;
        self.warrant = Some(Warrant::Masked(plan));
        self.hush_prompt(hands);
        self.dial(hands, now, exits, max_forwards);
    }
}
