//! What must be true when all is over, whatever happened.
//!
//! Restarts change little in that. A process that is killed loses nothing that it had said to anybody: every call that
//! talked goes on, or ends by `restart` if nobody was there for too long. Only of a call that was just set up may there
//! be two records, the second one of an INVITE that was repeated to the next process. When the power fails, so does the
//! journal of the last 100 ms: of calls in it nothing holds but that nobody reaches or sees what isn't his, and that all
//! ends.

use std::collections::BTreeMap;
use std::time::Duration;

use umbra::base::number::Tel;
use umbra::call::cdr::Cdr;
use umbra::call::port::{Event, EventKind};
use umbra::masking::reason::Reason;

use crate::histories::ONWARD;
use crate::moods::{Crowd, State};
use crate::support::law::Verdict;
use crate::support::stage::{Speaks, Stage};
use crate::support::world::{Invited, World};

/// What is wrong after all is over.
pub fn faults(crowd: &mut Crowd) -> Vec<String> {
    let mut faults = std::mem::take(&mut crowd.cast.faults);
    let weather = crowd.cast.stage.weather;
    let setup = crowd.cast.stage.setup();
    let may_stall = [setup.home, setup.gateway].contains(&Speaks::Tcp) || setup.home == Speaks::Tcp6;
    if may_stall || weather.delay_min < weather.delay_max {
        // One message may overtake another, or come with its repetitions, and the phone believes it to be old. In which
        // order they left is looked at all the same.
        faults.retain(|f| !f.contains("its CSeq isn't above") && !f.contains("RFC 3264 §8: o= was"));
    }
    faults.extend(crowd.cast.stage.faults());
    if crowd.cast.stage.past.dark {
        // The entry of what was said last may be lost: the next process says something else under the same version.
        faults.retain(|f| !f.contains("RFC 3264 §8: o= was"));
    }
    faults.extend(crowd.cast.busy());
    faults.extend(crowd.cast.stage.busy());
    let world = &crowd.cast.stage;
    for ((phone, call), mind) in &crowd.minds {
        let never_heard = mind.state == State::Called && mind.said.is_none();
        let id = &crowd.cast.phones[*phone].calls[*call].id;
        if mind.state != State::Over && !never_heard && !nothing_was_kept(world, id) {
            let name = &crowd.cast.phones[*phone].name;
            faults.push(format!("{name}.{} is still {:?}", call + 1, mind.state));
        }
    }
    let past = &world.past;
    let is_torn = |cdr: &Cdr| past.torn.contains(&cdr.call_id);
    let mut records: BTreeMap<&str, Vec<&Cdr>> = BTreeMap::new();
    for cdr in &world.records {
        let of_attempt: &mut Vec<&Cdr> = records.entry(cdr.sip_call_id_in.as_str()).or_default();
        of_attempt.push(cdr);
        if is_torn(cdr) {
            continue;
        }
        if let (Some(_), Some(out)) = (cdr.dialled_at, &cdr.sip_call_id_out) {
            let (journal, invite) = (world.journal.get(&cdr.call_id), world.invites.get(out));
            if journal.is_none() || invite.is_some_and(|invite| journal > Some(invite)) {
                faults.push(format!(
                    "{} was dialled before it was in the journal",
                    cdr.sip_call_id_in
                ));
            }
        }
        let moments = world.events.iter().filter(|e| e.call_id == cdr.call_id);
        let first = moments.clone().next().map(|e| e.what);
        let ends = moments
            .filter(|e| matches!(e.what, EventKind::Ended { .. }))
            .count();
        let is_told = match past.closed.contains(&cdr.call_id) {
            // What the process before had still told, or not.
            true => ends <= 1,
            false => ends == 1 && (first == Some(EventKind::Arrived) || !past.deaths.is_empty()),
        };
        if !is_told {
            faults.push(format!(
                "{}: its events begin with {first:?}, and {ends} end it",
                cdr.sip_call_id_in
            ));
        }
    }
    for (id, cdrs) in &records {
        // Whoever hears nothing repeats his INVITE, and to the next process that is an attempt of its own.
        let own = cdrs
            .iter()
            .filter(|cdr| !past.closed.contains(&cdr.call_id) && !is_torn(cdr));
        let own: Vec<&&Cdr> = own.collect();
        let talked = own.iter().find(|cdr| cdr.answered_at.is_some());
        // Nothing is kept of one that was refused before anybody was called: his process was killed before he had heard
        // of it, and it was another one that he came to again.
        let is_another = |cdr: &&Cdr, talked: &Cdr| {
            cdr.dialled_at.is_none() && cdr.ended_at < talked.arrived_at && world.came_to_several(id)
        };
        let is_second = |talked: &&Cdr| {
            let others = own.iter().filter(|cdr| cdr.call_id != talked.call_id);
            !others.copied().all(|cdr| is_another(cdr, talked))
        };
        if own.len() > 1 && (talked.is_some_and(|cdr| is_second(cdr)) || past.deaths.is_empty()) {
            faults.push(format!("{id} has two records"));
        }
    }
    for (id, verdicts) in &world.attempts {
        for cdr in records.get(id.as_str()).into_iter().flatten() {
            let mut wrong = verdicts.iter().map(|verdict| lawless(world, cdr, verdict));
            if wrong.clone().all(|wrong| wrong.is_some()) {
                faults.extend(wrong.next().flatten());
            }
        }
        if !records.contains_key(id.as_str()) && !past.unheard.contains(id) {
            faults.push(format!("{id} has no record"));
        }
    }
    faults.extend(betrayed(world));
    for cdr in &world.records {
        let talk = world.talks.get(&cdr.call_id).copied().unwrap_or_default();
        if is_torn(cdr) {
            continue;
        }
        let talked = match (talk.from, talk.until) {
            (Some(from), Some(until)) => until.saturating_sub(from) + talk.leap,
            _ => Duration::ZERO,
        };
        // The wall's clock counts in milliseconds, and each process for itself.
        let blur = match past.deaths.len() as u32 {
            0 => Duration::ZERO,
            deaths => Duration::from_millis(2) * deaths,
        };
        let right = talked.saturating_sub(blur).as_secs()..=(talked + blur).as_secs();
        if !right.contains(&cdr.billable_s) {
            let (id, billed) = (&cdr.sip_call_id_in, cdr.billable_s);
            faults.push(format!("{id}: {billed} s are billed, {talked:?} were talked"));
        }
        let answered = |e: &&Event| e.call_id == cdr.call_id && e.what == EventKind::Answered;
        let is_cut_short = cdr.end_cause.as_deref() == Some("restart");
        // Of an answer that hadn't left nobody knows but the journal.
        if is_cut_short && world.events.iter().any(|e| answered(&e)) && !past.forsaken.contains(&cdr.call_id)
        {
            faults.push(format!("{} did not go on", cdr.sip_call_id_in));
        }
        let moments = [
            Some(cdr.arrived_at),
            cdr.dialled_at,
            cdr.answered_at,
            Some(cdr.ended_at),
        ];
        if !moments.iter().flatten().is_sorted() {
            faults.push(format!(
                "{}: its times don't follow each other",
                cdr.sip_call_id_in
            ));
        }
    }
    for ((phone, call), mind) in &crowd.minds {
        let id = &crowd.cast.phones[*phone].calls[*call].id;
        // Whoever was a stranger for a moment got a 403 of which nothing is kept, and whoever came while no record could be
        // kept a 503; a copy of the INVITE that comes later, or came to a process that was killed before it answered, is an
        // attempt like any other.
        let leaves_nothing = |heard: u16| heard == 403 || (heard == 503 && world.was_full);
        let Some(heard) = mind.heard.filter(|heard| !leaves_nothing(*heard)) else {
            continue;
        };
        let cdrs = records.get(id.as_str()).map_or(&[][..], Vec::as_slice);
        let agrees = |cdr: &&Cdr| heard == cdr.sip_status || is_torn(cdr);
        if let Some(last) = cdrs.last().filter(|_| !cdrs.iter().any(agrees)) {
            faults.push(format!(
                "the caller of {id} heard {heard}, its record says {}",
                last.sip_status
            ));
        }
    }
    for (at, status, place) in &crowd.turned_away {
        let id = &crowd.cast.phones[place.0].calls[place.1].id;
        let is_of = |cdr: &&Cdr| cdr.sip_call_id_in == *id || cdr.sip_call_id_out.as_ref() == Some(id);
        let talk = |cdr: &Cdr| world.talks.get(&cdr.call_id).copied().unwrap_or_default();
        // A BYE that overtakes its own phone's answer belongs to no dialog yet: what counts is when that was said.
        let said = world
            .refused_byes
            .get(id)
            .and_then(|times| times.iter().rev().find(|said| *said <= at));
        let said = said.unwrap_or(at);
        let goes_on = |cdr: &&Cdr| {
            let talk = talk(cdr);
            talk.from.is_some_and(|from| from <= *said) && talk.until.is_none_or(|until| until > *at)
        };
        let alive = world.records.iter().filter(is_of).find(goes_on);
        let is_later = past.deaths.first().is_some_and(|death| death < at);
        if is_later && alive.is_some_and(|cdr| !is_torn(cdr)) {
            faults.push(format!("{id} was told {status} to its BYE, and the call went on"));
        }
    }
    faults
}

/// Whether nobody can have been told: the call was never dialled, so that nothing of it was kept when the process was
/// killed before it said so; or what was kept is gone with the power.
fn nothing_was_kept(world: &World, id: &str) -> bool {
    let past = &world.past;
    let mut of_call = world
        .records
        .iter()
        .filter(|cdr| cdr.sip_call_id_in == id || cdr.sip_call_id_out.as_deref() == Some(id))
        .peekable();
    let is_lost = past.dark && past.unheard.contains(id) && of_call.peek().is_none();
    is_lost
        || of_call.any(|cdr| {
            let never_dialled = past.closed.contains(&cdr.call_id) && cdr.dialled_at.is_none();
            never_dialled || past.torn.contains(&cdr.call_id)
        })
}

/// What a record says against the law.
fn lawless(world: &World, cdr: &Cdr, verdict: &Verdict) -> Option<String> {
    let id = &cdr.sip_call_id_in;
    let reached = cdr.callee.filter(|_| cdr.dialled_at.is_some());
    match (verdict, reached) {
        (Verdict::ForOneOf { called, shown } | Verdict::Asked { called, shown }, Some(callee)) => {
            let saw = cdr.shown.map(|shown| world.tel(&shown));
            let right = called.contains(&Some(world.tel(&callee))) && saw == Some(*shown);
            (!right).then(|| format!("{id} was for one of {called:?}, who sees {shown:?}: {callee}, {saw:?}"))
        }
        (Verdict::For { called, shown }, Some(callee)) => {
            let saw = cdr.shown.map(|shown| world.tel(&shown));
            let right = world.tel(&callee) == *called && saw == Some(*shown);
            (!right).then(|| format!("{id} was for {called:?}, who sees {shown:?}: {callee}, {saw:?}"))
        }
        (Verdict::Asked { .. }, None) => None,
        (Verdict::For { .. } | Verdict::ForOneOf { .. }, None) => {
            let refused_by_law = cdr.refusal.filter(|reason| is_of_the_law(*reason));
            refused_by_law.map(|reason| format!("{id} was for somebody and was refused: {reason:?}"))
        }
        (Verdict::Nobody(why), Some(callee)) => {
            Some(format!("{id} was for nobody ({why:?}) and reached {callee}"))
        }
        (Verdict::Nobody(why), None) => {
            let told_apart = |reason| match reason {
                Reason::Expired => Reason::NoBinding,
                other => other,
            };
            let said = cdr.refusal.map(told_apart);
            // Too busy to ask is said before all that only asking tells, and so is that an extension is out of reach.
            let early = matches!(said, Some(Reason::Overload | Reason::Protocol));
            let right = said == Some(told_apart(*why)) || early;
            (!right).then(|| format!("{id} was for nobody: {why:?}, and its record says {said:?}"))
        }
    }
}

fn is_of_the_law(reason: Reason) -> bool {
    let of_the_law = [
        Reason::AccountSuspended,
        Reason::NumberFrozen,
        Reason::Loop,
        Reason::Unidentified,
        Reason::Direction,
        Reason::SelfCall,
        Reason::NoCallee,
        Reason::NoBinding,
        Reason::Expired,
    ];
    of_the_law.contains(&reason)
}

/// Who was called without a right to it, or was shown what isn't his to see: by the messages themselves.
fn betrayed(world: &World) -> Vec<String> {
    let calls: BTreeMap<&str, &str> = world
        .records
        .iter()
        .filter_map(|cdr| Some((cdr.sip_call_id_out.as_deref()?, cdr.sip_call_id_in.as_str())))
        .collect();
    let wrong = |invited: &&Invited| {
        let sees = |shown: &Tel| invited.shown.iter().all(|seen| world.tel(seen) == *shown);
        let callee = world.tel(&invited.called);
        // Where redirections are followed, it may be whom the called party's side named.
        let is_onward = world.setup().follows && callee == world.tel(ONWARD);
        let is_right = |verdict: &Verdict| match verdict {
            Verdict::For { called, shown } => (callee == *called || is_onward) && sees(shown),
            Verdict::ForOneOf { called, shown } | Verdict::Asked { called, shown } => {
                (called.contains(&Some(callee)) || is_onward) && sees(shown)
            }
            Verdict::Nobody(_) => false,
        };
        match calls.get(&*invited.call_id) {
            Some(id) => !world
                .attempts
                .get(*id)
                .is_some_and(|verdicts| verdicts.iter().any(is_right)),
            // Each gateway is asked under an id of its own, and the record keeps the last.
            None => !world.attempts.values().flatten().any(is_right),
        }
    };
    let wrong = world.invited.iter().filter(wrong);
    wrong
        .map(|invited| format!("nobody had a right to {invited:?}"))
        .collect()
}
