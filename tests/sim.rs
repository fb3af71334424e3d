//! Seeds by the hundred: people of all moods on bad networks. Whatever happens, every call ends on all sides,
//! leaves one record and nothing else, and nobody sees what isn't theirs.
//!
//! `tests/run sim --seeds 10000` tries more of them, `UMBRA_SIM_SEED=4711` one alone, with its whole history when it fails.

mod support;

#[path = "sim/histories.rs"]
mod histories;
#[path = "sim/moods.rs"]
mod moods;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use histories::{ONWARD, live};
use moods::{Crowd, State};
use support::law::Verdict;
use support::stage::{Speaks, Stage};
use support::world::{Invited, World};
use umbra::call::cdr::Cdr;
use umbra::call::port::EventKind;
use umbra::masking::reason::Reason;

/// Endings that any few hundred seeds have.
const ENDINGS: [&str; 24] = [
    "AccountSuspended",
    "Busy",
    "Cancelled",
    "Direction",
    "Expired",
    "NoAnswer",
    "NoBinding",
    "NoCallee",
    "NumberFrozen",
    "Rejected",
    "SelfCall",
    "TrunkDown",
    "Unallocated",
    "Unreachable",
    "Overload",
    "dialog_lost",
    "hangup",
    "hung up by Callee",
    "hung up by Caller",
    "max_duration",
    "media_timeout",
    "no_ack",
    "session_expired",
    "shutdown",
];

/// Rare things that some of them have.
const RARITIES: [&str; 4] = [
    "a fax",
    "a fork answers late",
    "a fork changes its media",
    "a fork wins",
];

/// What is wrong after all is over.
fn faults(crowd: &mut Crowd) -> Vec<String> {
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
    faults.extend(crowd.cast.busy());
    faults.extend(crowd.cast.stage.busy());
    for ((phone, call), mind) in &crowd.minds {
        let never_heard = mind.state == State::Called && mind.said.is_none();
        if mind.state != State::Over && !never_heard {
            let name = &crowd.cast.phones[*phone].name;
            faults.push(format!("{name}.{} is still {:?}", call + 1, mind.state));
        }
    }
    let world = &crowd.cast.stage;
    let mut records = BTreeMap::new();
    for cdr in &world.records {
        if records.insert(cdr.sip_call_id_in.as_str(), cdr).is_some() {
            faults.push(format!("{} has two records", cdr.sip_call_id_in));
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
        let mut moments = world.events.iter().filter(|e| e.call_id == cdr.call_id);
        let first = moments.next().map(|e| e.what);
        let ends = moments
            .filter(|e| matches!(e.what, EventKind::Ended { .. }))
            .count();
        if (first, ends) != (Some(EventKind::Arrived), 1) {
            faults.push(format!(
                "{}: its events begin with {first:?}, and {ends} end it",
                cdr.sip_call_id_in
            ));
        }
    }
    for (id, verdict) in &world.attempts {
        match records.get(id.as_str()) {
            Some(cdr) => faults.extend(lawless(world, cdr, verdict)),
            None => faults.push(format!("{id} has no record")),
        }
    }
    faults.extend(betrayed(world));
    for cdr in &world.records {
        let talk = world.talks.get(&cdr.call_id).copied().unwrap_or_default();
        let talked = match (talk.from, talk.until) {
            (Some(from), Some(until)) => (until - from).as_secs(),
            _ => 0,
        };
        if cdr.billable_s != talked {
            let (id, billed) = (&cdr.sip_call_id_in, cdr.billable_s);
            faults.push(format!("{id}: {billed} s are billed, {talked} s were talked"));
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
        // Whoever was a stranger for a moment got a 403 of which nothing is kept; a copy of the INVITE that comes when
        // the trunk is back is an attempt like any other.
        if let (Some(heard), Some(cdr)) = (mind.heard.filter(|heard| *heard != 403), records.get(id.as_str()))
            && heard != cdr.sip_status
        {
            faults.push(format!(
                "the caller of {id} heard {heard}, its record says {}",
                cdr.sip_status
            ));
        }
    }
    faults
}

/// What a record says against the law.
fn lawless(world: &World, cdr: &Cdr, verdict: &Verdict) -> Option<String> {
    let id = &cdr.sip_call_id_in;
    let reached = cdr.callee.filter(|_| cdr.dialled_at.is_some());
    match (verdict, reached) {
        (Verdict::For { called, shown }, Some(callee)) => {
            let saw = cdr.shown.map(|shown| world.tel(&shown));
            let right = world.tel(&callee) == *called && saw == Some(*shown);
            (!right).then(|| format!("{id} was for {called:?}, who sees {shown:?}: {callee}, {saw:?}"))
        }
        (Verdict::For { .. }, None) => {
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
        let is_right = |verdict: &Verdict| match verdict {
            Verdict::For { called, shown } => {
                let callee = world.tel(&invited.called);
                // Where redirections are followed, it may be whom the called party's side named.
                (callee == *called || world.setup().follows && callee == world.tel(ONWARD))
                    && invited.shown.iter().all(|seen| world.tel(seen) == *shown)
            }
            Verdict::Nobody(_) => false,
        };
        match calls.get(&*invited.call_id) {
            Some(id) => !world.attempts.get(*id).is_some_and(is_right),
            // Each gateway is asked under an id of its own, and the record keeps the last.
            None => !world.attempts.values().any(is_right),
        }
    };
    let wrong = world.invited.iter().filter(wrong);
    wrong
        .map(|invited| format!("nobody had a right to {invited:?}"))
        .collect()
}

fn history(crowd: &Crowd) -> String {
    let mut text = String::new();
    for (at, from, to, what) in &crowd.cast.stage.log {
        writeln!(text, "{:>12.3} {from:>16} -> {to:<16} {what}", at.as_secs_f64()).unwrap_or_default();
    }
    text
}

/// The ways in which this history's calls ended.
fn endings(crowd: &Crowd) -> BTreeSet<String> {
    let of = |cdr: &Cdr| match (&cdr.refusal, &cdr.end_cause) {
        (Some(reason), _) => format!("{reason:?}"),
        (None, Some(cause)) => cause.clone(),
        (None, None) => format!("hung up by {:?}", cdr.released_by),
    };
    crowd.cast.stage.records.iter().map(of).collect()
}

fn number_from(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn whatever_people_and_networks_do_every_call_ends_and_leaves_one_record() {
    if let Some(seed) = number_from("UMBRA_SIM_SEED") {
        let mut crowd = live(seed, 0);
        let faults = faults(&mut crowd);
        println!("{}", history(&crowd));
        assert!(faults.is_empty(), "seed {seed}:\n{}", faults.join("\n"));
        return;
    }
    let seeds = number_from("UMBRA_SIM_SEEDS").unwrap_or(500);
    let next = AtomicU64::new(0);
    let seen = Mutex::new(BTreeSet::new());
    let failed: Vec<(u64, String)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..std::thread::available_parallelism().map_or(1, usize::from))
            .map(|_| {
                scope.spawn(|| {
                    let mut failed = Vec::new();
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds {
                            return failed;
                        }
                        let mut crowd = live(seed, 0);
                        let faults = faults(&mut crowd);
                        let mut seen = seen.lock().expect("no panic in a seed");
                        seen.extend(endings(&crowd));
                        seen.extend(crowd.seen.iter().map(|rarity| (*rarity).to_owned()));
                        drop(seen);
                        if !faults.is_empty() {
                            failed.push((seed, format!("{}\n{}", faults.join("\n"), history(&crowd))));
                        }
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|t| t.join().expect("no panic in a seed"))
            .collect()
    });
    let numbers: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
    if let Some((seed, why)) = failed.into_iter().min() {
        panic!(
            "{} of {seeds} seeds failed: {numbers:?}\nseed {seed}:\n{why}",
            numbers.len()
        );
    }
    let seen = seen.into_inner().expect("no panic in a seed");
    let wanted = ENDINGS.into_iter().chain(RARITIES);
    let unseen: Vec<&str> = wanted.filter(|e| !seen.contains(*e)).collect();
    assert!(seeds < 500 || unseen.is_empty(), "no call had this: {unseen:?}");
}

#[test]
fn one_seed_has_one_history() {
    assert_eq!(history(&live(5, 0)), history(&live(5, 0)));
}

#[test]
fn mangled_packets_leave_nothing_behind_and_betray_nobody() {
    for seed in 0..number_from("UMBRA_SIM_SEEDS").unwrap_or(500) / 5 {
        let mut crowd = live(seed, 400);
        // What a mangled message was answered with, nobody may understand; but all must end.
        let mut faults = std::mem::take(&mut crowd.cast.faults);
        faults.extend(crowd.cast.stage.faults());
        // An address in it may have become another's by a digit.
        faults.retain(|fault| fault.contains(" may know: ") && !fault.contains(" may know: 127."));
        faults.extend(crowd.cast.stage.busy());
        assert!(
            faults.is_empty(),
            "seed {seed}:\n{}\n{}",
            faults.join("\n"),
            history(&crowd)
        );
    }
}
