//! What the journal of calls costs: processor time and bytes for a call, how many calls a second it takes while it
//! syncs and compacts, how long it keeps a SIP thread waiting, and what is left of a held call after compaction. A
//! process of its own writes what a switch really says of real calls.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use umbra::base::id::Id;
use umbra::call::port::CallEntry;
use umbra::store::journal::Journal;

use crate::alone::Alone;
use crate::process::cpu_seconds;
use crate::server::{A, B, CALLEE, Server, Setup, X, free_address};
use crate::{Floor, Length, Rounds, Row};

/// The argument by which this program becomes the journal's writer.
pub const JOURNAL: &str = "--journal-alone";
/// The part of a call's processor time that its journal may take.
const SHARE: f64 = 0.05;
/// Calls a second that it must keep up with.
const RATE: f64 = 1_000.0;
/// Records of the CDR files that reach the disk together, about.
const GROUP: usize = 16;
/// The journal's own pace of syncs.
const SYNC: Duration = Duration::from_millis(100);

/// The rows. A call's own processor time is `call_us`, if it was measured just now; else what it may be.
pub fn measure(length: Length, call_us: Option<f64>) -> Vec<Row> {
    let mut server = Server::start(&Setup {
        gateway: free_address(CALLEE),
        media_nat: "strict",
        log: "warn",
        calls: length.choose(250, 2_500),
        also: Vec::new(),
    });
    server.bind(X, A, B, "");
    server.stop();
    let sizes = [
        length.choose(200, 10_000).to_string(),
        length.choose(100, 2_000).to_string(),
        length.choose(1, 5).to_string(),
        length.choose(1, 10).to_string(),
    ];
    let output = Command::new(std::env::current_exe().expect("a running program"))
        .arg(JOURNAL)
        .args(&sizes)
        .current_dir(server.folder())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("this program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let of = |name: &str| -> Vec<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let values = line.unwrap_or_default().split_whitespace();
        values.filter_map(|value| value.parse().ok()).collect()
    };
    let one = |name: &str| of(name).first().copied().unwrap_or(f64::NAN);
    let (us, rate) = (Rounds::of(of("us ")), Rounds::of(of("rate ")));
    let (whole, whose) = match call_us {
        Some(us) => (us, "a call's, measured just now"),
        None => (crate::calls::FLOOR_US, "what a call may cost"),
    };
    let [calls, held, rounds, seconds] = &sizes;
    vec![
        Row {
            ours: us.show("µs"),
            bare: Rounds::of(of("bare ")).show("µs"),
            ratio: Rounds::of(of("ratio ")).show("×"),
            floor: Some(Floor::at_most((whole * SHARE).round(), "µs", us.median())),
            profile: Some("perf record -e cpu-clock -g -- tests/bench/run journal"),
            ..Row::new(
                "CPU of the journal for a call",
                format!(
                    "{rounds} × {calls} calls, {held} others held; {:.1} % of {whole:.0} µs: {whose}; bare: the same bytes by as many writes, a sync every 100 ms",
                    us.median() / whole * 100.0
                ),
            )
        },
        Row {
            ours: format!("{:.0} B", one("bytes ")),
            ..Row::new(
                "bytes of the journal for a call",
                format!(
                    "answered and ended: {:.0} writes; {:.0} B of them for going on with it",
                    one("writes "),
                    one("kept ")
                ),
            )
        },
        Row {
            ours: rate.show("/s"),
            floor: Some(Floor::at_least(RATE, "/s", rate.median())),
            profile: Some("perf record -e cpu-clock -g -- tests/bench/run journal"),
            ..Row::new(
                "calls a second into the journal",
                format!(
                    "flat out, syncing; {:.0} compactions meanwhile",
                    one("compactions ")
                ),
            )
        },
        Row {
            ours: format!("{:.0} µs", one("wait99 ")),
            ..Row::new(
                "wait of a SIP thread for the journal, p99",
                format!(
                    "{RATE:.0} calls/s for {seconds} s; median {:.0} µs, longest {:.0} µs, {:.0} calls/s done",
                    one("wait50 "),
                    one("wait100 "),
                    one("paced ")
                ),
            )
        },
        Row {
            ours: format!("{:.0} B", one("compact ")),
            ..Row::new(
                "bytes of the journal for a held call",
                format!("{held} held calls, after compaction"),
            )
        },
    ]
}

/// Writes so many calls beside so many held ones, so many times, and then at a pace for so many seconds; prints what
/// was measured.
pub fn run(arguments: &[String]) {
    let numbers: Vec<usize> = arguments.iter().map(|a| a.parse().expect("a number")).collect();
    let [calls, held, rounds, seconds] = *numbers else {
        panic!("calls, held calls, rounds, seconds")
    };
    let mut alone = Alone::new();
    let held: Vec<Vec<Vec<CallEntry>>> = (0..held).map(|n| alone.entries_until_answered(n)).collect();
    alone.pass();
    let ended: Vec<Vec<Vec<CallEntry>>> = (0..calls)
        .map(|n| alone.entries_of_a_call(held.len() + n))
        .collect();
    let folder = tempfile::tempdir_in(".").expect("the server's folder can be written");
    let dir = folder.path().join("journal");
    let (journal, _) = Journal::open(&dir).expect("a new journal");
    held.iter().flatten().for_each(|batch| journal.write_all(batch));

    let (bytes, writes) = size(&folder.path().join("size"), &ended);
    print("bytes", &[bytes]);
    print("writes", &[writes]);
    print("kept", &[kept_bytes(&ended)]);

    let (mut us, mut bare, mut ratios, mut rates) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let first = segment(&dir);
    for _ in 0..rounds {
        let (begun, cpu) = (Instant::now(), cpu_seconds(std::process::id()));
        for calls in ended.chunks(GROUP) {
            calls.iter().flatten().for_each(|batch| journal.write_all(batch));
            journal.write_all(&closed(calls));
        }
        rates.push(calls as f64 / begun.elapsed().as_secs_f64());
        // What it still syncs and copies belongs to these calls.
        thread::sleep(SYNC * 2);
        let used = (cpu_seconds(std::process::id()) - cpu) * 1e6 / calls as f64;
        let of_bare = bare_us(&folder.path().join("bare"), bytes, writes, calls);
        us.push(used);
        bare.push(of_bare);
        ratios.push(used / of_bare);
    }
    print("us", &us);
    print("bare", &bare);
    print("ratio", &ratios);
    print("rate", &rates);
    print("compactions", &[segment(&dir) - first]);
    pace(&journal, &ended, seconds);
    journal.close();
    drop(journal);
    // To open it is to compact it.
    let (journal, left) = Journal::open(&dir).expect("our own journal");
    assert_eq!(left.len(), held.len(), "the held calls are left, and no others");
    drop(journal);
    print("compact", &[folder_bytes(&dir) / held.len() as f64]);
}

fn print(name: &str, values: &[f64]) {
    let values: Vec<String> = values.iter().map(f64::to_string).collect();
    println!("{name} {}", values.join(" "));
}

/// That their records are in the CDR files.
fn closed(calls: &[Vec<Vec<CallEntry>>]) -> Vec<CallEntry> {
    let over = calls.iter().flatten().flatten().filter_map(|entry| match entry {
        CallEntry::Over(line) => Some(line.call_id),
        CallEntry::Arrived(_)
        | CallEntry::Answered { .. }
        | CallEntry::Kept { .. }
        | CallEntry::Acked { .. }
        | CallEntry::Ended { .. } => None,
    });
    // A record may have come twice: with and without what was counted.
    let ids: BTreeSet<Id> = over.collect();
    ids.into_iter()
        .map(|call_id| CallEntry::Ended { call_id })
        .collect()
}

/// Bytes and writes of one call.
fn size(dir: &Path, calls: &[Vec<Vec<CallEntry>>]) -> (f64, f64) {
    let (journal, _) = Journal::open(dir).expect("a new journal");
    let empty = folder_bytes(dir);
    let mut writes = 0;
    for calls in calls.chunks(GROUP) {
        for batch in calls.iter().flatten() {
            journal.write_all(batch);
            writes += 1;
        }
        journal.write_all(&closed(calls));
        writes += 1;
    }
    journal.close();
    let count = calls.len() as f64;
    ((folder_bytes(dir) - empty) / count, f64::from(writes) / count)
}

/// Bytes of one call that are there for going on with it.
fn kept_bytes(calls: &[Vec<Vec<CallEntry>>]) -> f64 {
    let of = |entry: &CallEntry| match entry {
        CallEntry::Kept { state, .. } => state.len(),
        CallEntry::Arrived(_)
        | CallEntry::Answered { .. }
        | CallEntry::Acked { .. }
        | CallEntry::Over(_)
        | CallEntry::Ended { .. } => 0,
    };
    let bytes: usize = calls.iter().flatten().flatten().map(of).sum();
    bytes as f64 / calls.len() as f64
}

/// Microseconds of processor time for a call's bytes, written by as many calls of `write` and synced at times.
fn bare_us(path: &Path, bytes: f64, writes: f64, calls: usize) -> f64 {
    let mut file = File::create(path).expect("the folder can be written");
    let piece = vec![0x55; (bytes / writes) as usize];
    let (cpu, mut synced) = (cpu_seconds(std::process::id()), Instant::now());
    for _ in 0..(calls as f64 * writes) as usize {
        file.write_all(&piece).expect("the disk has room");
        if synced.elapsed() > SYNC {
            file.sync_data().expect("the disk obeys");
            synced = Instant::now();
        }
    }
    file.sync_data().expect("the disk obeys");
    let used = cpu_seconds(std::process::id()) - cpu;
    fs::remove_file(path).expect("our own file");
    used * 1e6 / calls as f64
}

/// Writes calls at the rate that must be kept up with, and how long each write took.
fn pace(journal: &Journal, ended: &[Vec<Vec<CallEntry>>], seconds: usize) {
    let mut waits = Vec::new();
    let begun = Instant::now();
    let total = (RATE as usize * seconds).div_ceil(GROUP);
    for (n, calls) in ended.chunks(GROUP).cycle().take(total).enumerate() {
        let mut write = |batch: &[CallEntry]| {
            let before = Instant::now();
            journal.write_all(batch);
            waits.push(before.elapsed().as_secs_f64() * 1e6);
        };
        calls.iter().flatten().for_each(|batch| write(batch));
        write(&closed(calls));
        let due = begun + Duration::from_secs_f64((n + 1) as f64 * GROUP as f64 / RATE);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let took = begun.elapsed().as_secs_f64();
    waits.sort_by(f64::total_cmp);
    let part = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize];
    print("wait50", &[part(0.5)]);
    print("wait99", &[part(0.99)]);
    print("wait100", &[part(1.0)]);
    print("paced", &[(total * GROUP) as f64 / took]);
}

/// The number of the last segment.
fn segment(dir: &Path) -> f64 {
    let names = fs::read_dir(dir).expect("the journal's folder").flatten();
    let numbers = names.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let number = name
            .strip_prefix("calls-")?
            .strip_suffix(".log")?
            .replace('_', "");
        number.parse::<f64>().ok()
    });
    numbers.fold(0.0, f64::max)
}

fn folder_bytes(dir: &Path) -> f64 {
    let files = fs::read_dir(dir).expect("a folder").flatten();
    files
        .filter_map(|file| file.metadata().ok())
        .map(|file| file.len() as f64)
        .sum()
}
