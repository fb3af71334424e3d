//! A store that is killed in the middle of a storm of writes, again and again, and opened each time.
//!
//! The storm runs in a process of its own: this test's binary, started again as a child. It says on a pipe what it
//! asks for before it asks, and what was acknowledged after it was. The parent kills it (SIGKILL) at a random
//! moment, opens the store and compares.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use umbra::base::chance::Chance;
use umbra::base::id::Id;
use umbra::base::number::{NumberPlan, RealNumber, Tel, VirtualNumber};
use umbra::base::time::Wall;
use umbra::masking::binding::{Direction, Rare, Terms};
use umbra::masking::change::Record;
use umbra::masking::request::{BindRequest, DryRun, OnConflict, Unbind, Wanted, Write, Written, XChoice};
use umbra::store::open::DiskFound;
use umbra::store::writer::{Settings, Store, WriteError};

const ROUNDS: u64 = 5;
const CALLERS: u64 = 4;
const NUMBERS: u64 = 60;
const PAIRS_PER_NUMBER: u64 = 150;
const DIR: &str = "UMBRA_CRASH_DIR";
const FIRST: &str = "UMBRA_CRASH_FIRST";

/// Small, so that segments, sled and snapshots turn over many times in a storm.
fn settings() -> Settings {
    Settings {
        segment_bytes: 10_000,
        snapshot_bytes: 40_000,
        follow_every: Duration::from_millis(10),
        reserve_bytes: 1 << 20,
        ..Settings::default()
    }
}

fn tel(digits: &str) -> Tel {
    NumberPlan::default().normalise(digits).expect("a whole number")
}

fn x(n: u64) -> VirtualNumber {
    VirtualNumber::new(tel(&format!("170{:08}", n / PAIRS_PER_NUMBER % NUMBERS)))
}

/// The `n`th bind: its order id carries `n`.
fn bind(n: u64) -> Write {
    Write::Bind(BindRequest {
        x: XChoice::Given(x(n)),
        parties: Wanted::Axb {
            a: RealNumber::new(tel(&format!("135{n:08}"))),
            b: RealNumber::new(tel(&format!("136{n:08}"))),
        },
        terms: Terms::new(
            Direction::Both,
            false,
            Rare {
                order_id: Some(n.to_string().into()),
                ..Rare::default()
            },
        ),
        expires: None,
        on_conflict: OnConflict::Fail,
        dry_run: DryRun::No,
    })
}

/// Every binding of the store by its `n`: its id, and whether it is live.
fn bindings(store: &Store) -> BTreeMap<u64, (Id, bool)> {
    let of = |record| match record {
        Record::Binding(b) => {
            let n = b
                .terms
                .rare()
                .order_id
                .as_deref()
                .and_then(|o| o.parse().ok())
                .expect("every bind has its number");
            Some((n, (b.id, b.ended.is_none())))
        }
        Record::Account(_)
        | Record::Pool(_)
        | Record::Number(_)
        | Record::Forget(_)
        | Record::Callee(_)
        | Record::CalleeGone(_)
        | Record::Group(_)
        | Record::GroupGone(_)
        | Record::Member(_)
        | Record::MemberGone(..)
        | Record::Last(_)
        | Record::LastGone(_) => None,
    };
    store.table().records().filter_map(of).collect()
}

fn write(store: &Store, write: Write) -> Result<Written, WriteError> {
    let (answer, answered) = mpsc::channel();
    let reply = Box::new(move |a| answer.send(a).expect("the caller waits"));
    store
        .submit(write, reply)
        .expect("four callers don't fill the queue");
    answered.recv().expect("every write is answered")
}

/// One line, at once: the pipe keeps it when the process is killed.
fn say(what: &str, n: u64) {
    let line = format!("\n{what} {n}\n");
    std::io::stdout()
        .lock()
        .write_all(line.as_bytes())
        .expect("the parent reads");
    std::io::stdout().flush().expect("the parent reads");
}

/// The system's clock.
fn wall() -> Wall {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Wall::default().plus(since.expect("after 1970"))
}

/// The storm, when this binary is its own child; nothing otherwise.
#[test]
fn the_child_of_the_storm() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let first: u64 = std::env::var(FIRST)
        .expect("set with the folder")
        .parse()
        .expect("a number");
    let (store, _) = Store::open(Path::new(&dir), &settings(), wall).expect("the parent could open it");
    for n in 0..NUMBERS {
        let add = Write::add_number(x(n * PAIRS_PER_NUMBER));
        // There from the second round on.
        let _ = write(&store, add);
    }
    let old: Vec<(u64, Id)> = bindings(&store)
        .into_iter()
        .filter(|(_, (_, live))| *live)
        .map(|(n, (id, _))| (n, id))
        .collect();
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (store, old) = (&store, &old);
            scope.spawn(move || {
                let mine = |i: &usize| *i as u64 % CALLERS == caller;
                let mut live: Vec<_> = (0..old.len())
                    .filter(mine)
                    .filter_map(|i| old.get(i).copied())
                    .collect();
                let mut chance = Chance::from_number(first ^ caller);
                for n in (first + caller..).step_by(CALLERS as usize) {
                    say("ask-bind", n);
                    match write(store, bind(n)) {
                        Ok(Written::Binding(binding)) => live.push((n, binding.id)),
                        other => panic!("{other:?}"),
                    }
                    say("ack-bind", n);
                    // A third of the bindings end again, old ones and new ones.
                    if chance.below(3) == 0 {
                        let (n, id) = live.swap_remove(chance.below(live.len() as u32) as usize);
                        say("ask-unbind", n);
                        write(store, Write::Unbind(Unbind::Id(id))).expect("it was live");
                        say("ack-unbind", n);
                    }
                }
            });
        }
    });
}

/// What the parent knows of one binding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Known {
    /// Asked for, not acknowledged when the process was killed: it may be there or not.
    BindInFlight,
    Live,
    /// Asked to end, not acknowledged when the process was killed: it may be live or not.
    UnbindInFlight,
    Ended,
}

fn start(dir: &Path, first: u64) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args([
            "--exact",
            "the_child_of_the_storm",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(DIR, dir)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this binary runs again")
}

/// Runs the storm until so many writes are acknowledged, and kills it.
fn storm(dir: &Path, first: u64, acknowledged: u64, known: &mut BTreeMap<u64, Known>) -> u64 {
    let mut child = start(dir, first);
    let out = BufReader::new(child.stdout.take().expect("it is a pipe"));
    let (mut acks, mut next, mut killed) = (0, first, false);
    for line in out.lines() {
        let line = line.expect("the child writes text");
        let Some((what, Ok(n))) = line.split_once(' ').map(|(what, n)| (what, n.parse::<u64>())) else {
            continue;
        };
        let state = match what {
            "ask-bind" => Known::BindInFlight,
            "ack-bind" => Known::Live,
            "ask-unbind" => Known::UnbindInFlight,
            "ack-unbind" => Known::Ended,
            _ => continue,
        };
        known.insert(n, state);
        next = next.max(n + 1);
        acks += u64::from(what.starts_with("ack"));
        if acks >= acknowledged && !killed {
            child.kill().expect("it runs");
            killed = true;
        }
    }
    child.wait().expect("it was killed");
    assert!(killed, "the child ended by itself after {acks} writes");
    next
}

#[test]
fn what_was_acknowledged_survives_kill_9_and_nothing_unbound_comes_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let seed = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(1, |d| u64::from(d.subsec_nanos()));
    println!("seed {seed}");
    let mut chance = Chance::from_number(seed);
    let mut known = BTreeMap::new();
    let (mut next, mut in_flight) = (0, 0);
    for round in 0..ROUNDS {
        next = storm(dir.path(), next, 100 + u64::from(chance.below(900)), &mut known);
        if round == 3 {
            fs::write(dir.path().join("sled").join("db"), vec![0xA5; 1 << 20]).expect("sled is there");
        }
        let (store, report) = Store::open(dir.path(), &settings(), wall).expect("it opens after every kill");
        println!("round {round}: {:#?}", report.sentences);
        assert_eq!(
            report.disk,
            if round == 3 {
                DiskFound::Rebuilt
            } else {
                DiskFound::Sound
            }
        );
        let found = bindings(&store);
        for n in found.keys() {
            assert!(known.contains_key(n), "binding {n} was never asked for");
        }
        for (n, state) in &mut known {
            let there = found.get(n).map(|(_, live)| *live);
            *state = match (*state, there) {
                (Known::Live, Some(true)) => Known::Live,
                (Known::Ended, Some(false)) => Known::Ended,
                // In flight at the kill: either is right, and from now on it stays so.
                (Known::BindInFlight | Known::UnbindInFlight, Some(true)) => Known::Live,
                (Known::UnbindInFlight, Some(false)) => Known::Ended,
                (Known::BindInFlight, None) => Known::BindInFlight,
                (state, there) => panic!("round {round}, binding {n}: {state:?}, but found {there:?}"),
            };
        }
        in_flight += known.values().filter(|s| **s == Known::BindInFlight).count();
        known.retain(|_, state| *state != Known::BindInFlight);
    }
    let count = |which| known.values().filter(|s| **s == which).count();
    println!(
        "{} live, {} ended, {in_flight} in flight and not kept",
        count(Known::Live),
        count(Known::Ended)
    );
    assert!(count(Known::Live) > 100 && count(Known::Ended) > 50);
}
