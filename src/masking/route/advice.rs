//! X mode in the decision: who is to be asked, and what his answer is worth.

use std::sync::Arc;

use super::{Attempt, Case, Decision, Plan, Refusal, is_one_of_ours, live};
use crate::base::id::Id;
use crate::base::number::{RealNumber, Shown};
use crate::base::time::Wall;
use crate::masking::ask::{BadName, Named, Question};
use crate::masking::binding::{Binding, Home, Mode, Parties, Party};
use crate::masking::bounds::check_terms;
use crate::masking::inventory::{Fax, Number, NumberState, Pool};
use crate::masking::mode;
use crate::masking::reason::Reason;
use crate::masking::rule::{Key, Who};
use crate::masking::table::Table;

impl Case<'_> {
    /// The customer's server says whom the caller of a number of an X pool reaches.
    pub(super) fn asks(&self, pool: &Pool) -> Result<Decision, Refusal> {
        let (table, attempt, number) = (self.table, self.attempt, &self.number);
        match number.state {
            NumberState::Inventory => return self.refuse(Reason::NoBinding, None),
            NumberState::Active | NumberState::Locked | NumberState::Frozen(_) | NumberState::Released => {}
        }
        if !self.accepts_caller() {
            return self.refuse(Reason::Unidentified, None);
        }
        if rests(table, attempt, number) {
            return self.refuse(Reason::Expired, None);
        }
        self.check_seats(None)?;
        // Whoever is called sees X.
        if number.class().may_be_shown(Mode::X).is_err() {
            return self.refuse(Reason::TrunkMayNotShow, None);
        }
        let Some(server) = pool.ask.as_ref().filter(|server| server.secret.is_some()) else {
            return self.refuse(Reason::CustomerServer, None);
        };
        Ok(Decision::Ask(Question {
            server: server.clone(),
            number: number.clone(),
            calling: attempt.caller.map(RealNumber::new),
            arrived: attempt.arrived,
        }))
    }
}

/// Whether the number came from another pool a short while ago, and the caller still uses a key of a binding there.
fn rests(table: &Table, attempt: &Attempt, number: &Arc<Number>) -> bool {
    let own = attempt.caller.map(|caller| Key {
        dialled: attempt.dialled,
        caller: Who::Number(caller),
    });
    let mut past = None;
    for key in own.into_iter().chain([mode::anyone(number.x)]) {
        live(table, key, attempt.arrived, &mut past);
    }
    past.is_some_and(|(binding, party)| {
        let rests = table.rests(number, &binding, party, attempt.arrived);
        rests.is_some()
    })
}

/// The right to call whom the customer's server named, who sees X. What was asked counts as of the attempt's arrival;
/// whether a number is one of ours counts now. `id` is the call's own: what the server promises holds for that call
/// alone, and is bound nowhere.
///
/// # Errors
/// Whom nobody is connected to by somebody else's word.
pub fn advised(table: &Table, question: &Question, named: Named, id: Id) -> Result<Plan, BadName> {
    let Named { to, terms } = named;
    let called = RealNumber::new(to);
    let number = &question.number;
    if to.may_be_emergency() {
        return Err(BadName::Emergency);
    }
    if is_one_of_ours(table, called) {
        return Err(BadName::OwnNumber);
    }
    if question.calling == Some(called) {
        return Err(BadName::SelfCall);
    }
    if check_terms(&terms).is_err() {
        return Err(BadName::Terms);
    }
    let pool = table.pool(&number.pool);
    let home = Home {
        account: number.account.clone(),
        pool: number.pool.clone(),
    };
    let promise = Binding {
        id,
        version: 1,
        home: Arc::new(home),
        x: number.x,
        // For as long as the call lasts, X stands for whom the server named, and anyone is who calls.
        parties: Parties::Ax { a: called },
        terms,
        created: question.arrived,
        since: question.arrived,
        expires: Wall::NEVER,
        ended: None,
    };
    Ok(Plan {
        called,
        shown: Shown::Virtual(number.x),
        calling: question.calling,
        caller: Party::N,
        binding: Arc::new(promise),
        by_advice: true,
        arrived: question.arrived,
        number: number.clone(),
        shows: number.clone(),
        callee: None,
        turn: None,
        fax: pool.as_ref().map_or(Fax::Refuse, |pool| pool.fax),
        question: pool.and_then(|pool| pool.question.clone()),
    })
}
