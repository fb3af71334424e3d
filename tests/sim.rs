//! Seeds by the hundred: people of all moods on bad networks. Whatever happens, every call ends on all sides,
//! leaves one record and nothing else, and nobody sees what isn't theirs.
//!
//! `tests/run sim --seeds 10000` tries more of them, `UMBRA_SIM_SEED=4711` one alone, with its whole history when it fails.

mod support;

#[path = "sim/histories.rs"]
mod histories;
#[path = "sim/moods.rs"]
mod moods;
#[path = "sim/oracles.rs"]
mod oracles;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use histories::live;
use moods::Crowd;
use oracles::faults;
use support::stage::Stage;
use umbra::call::cdr::Cdr;

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

/// By each of these modes somebody talks in any few hundred seeds.
const MODES: [&str; 10] = [
    "axb", "ax", "axyb", "axe", "axn", "axg", "gxb", "gxyb", "xb", "400",
];

fn history(crowd: &Crowd) -> String {
    let mut text = String::new();
    for (at, from, to, what) in &crowd.cast.stage.log {
        writeln!(text, "{:>12.3} {from:>16} -> {to:<16} {what}", at.as_secs_f64()).unwrap_or_default();
    }
    text
}

/// The ways in which this history's calls ended, and the modes by which they were talked.
fn endings(crowd: &Crowd) -> BTreeSet<String> {
    let of = |cdr: &Cdr| match (&cdr.refusal, &cdr.end_cause) {
        (Some(reason), _) => format!("{reason:?}"),
        (None, Some(cause)) => cause.clone(),
        (None, None) => format!("hung up by {:?}", cdr.released_by),
    };
    let records = &crowd.cast.stage.records;
    let talked = records.iter().filter(|cdr| cdr.answered_at.is_some());
    let modes = talked.filter_map(|cdr| cdr.mode.clone());
    records.iter().map(of).chain(modes).collect()
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
    let failed: Vec<(u64, Vec<String>, String)> = std::thread::scope(|scope| {
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
                            failed.push((seed, faults, history(&crowd)));
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
    let count = failed.len();
    let firsts = failed
        .iter()
        .map(|(seed, faults, _)| format!("{seed}: {}", faults[0]));
    let firsts = firsts.collect::<Vec<_>>().join("\n");
    if let Some((seed, faults, history)) = failed.into_iter().min() {
        let faults = faults.join("\n");
        panic!("{count} of {seeds} seeds failed:\n{firsts}\nseed {seed}:\n{faults}\n{history}");
    }
    let seen = seen.into_inner().expect("no panic in a seed");
    let wanted = ENDINGS.into_iter().chain(RARITIES).chain(MODES);
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
