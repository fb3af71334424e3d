//! What the journal of calls costs: processor time and bytes for a call, how many calls a second it takes while it
//! syncs and compacts, whether it keeps up with a thousand and how long a SIP thread waits for it then, and what is left
//! of a held call after compaction. A process of its own writes what a switch really says of real calls.
//!
//! The processor time is that of the whole process, switch and journal, against the same calls through a switch that
//! says nothing to a journal: what the entries cost to make, to write and to sync is in it. Each round is a second
//! without, two with and another one without, so that a machine that grows faster or slower meanwhile changes nothing.
//!
//! Its part is told twice: of a call of which nothing but signalling is counted, and of one with audio, which is what
//! people have who hold an answered call.

use std::cell::Cell;
use std::collections::VecDeque;
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
/// The part of a call's processor time that its journal may take, in per cent.
const SHARE: f64 = 5.0;
/// Seconds of audio of a call that is talked in, both ways, and the packets of that.
const TALK_S: f64 = 30.0;
const TALK_PACKETS: f64 = TALK_S * 100.0;
/// Calls a second at which it is weighed: those of the row that tells a call's own processor time.
const WEIGHED_AT: f64 = 500.0;
/// What a SIP thread gathers under load is one batch for the journal.
const GATHER: Duration = Duration::from_millis(12);
/// Calls a second that it must keep up with.
const RATE: f64 = 1_000.0;
/// Records of the CDR files that reach the disk together, about.
const GROUP: usize = 16;
/// The journal's own pace of syncs.
const SYNC: Duration = Duration::from_millis(100);

/// The rows. A call's own processor time is `call_us`, if it was measured just now; else what it may be. A relayed packet's
/// is `packet_us`.
pub fn measure(length: Length, call_us: Option<f64>, packet_us: Option<f64>) -> Vec<Row> {
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
        length.choose(200, 2_000).to_string(),
        length.choose(100, 2_000).to_string(),
        length.choose(1, 15).to_string(),
        length.choose(1, 30).to_string(),
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
    let [_, held, rounds, seconds] = &sizes;
    let part = |name: &str, of: f64, how: String| {
        let part = us.median() / of * 100.0;
        Row {
            ours: format!("{part:.2} %"),
            floor: Some(Floor::at_most(SHARE, "%", part)),
            profile: Some("perf record -e cpu-clock -g -- tests/bench/run journal"),
            ..Row::new(name, how)
        }
    };
    let with_audio = match packet_us {
        Some(packet_us) => {
            let of = whole + TALK_PACKETS * packet_us;
            let how = format!(
                "of {:.1} ms: {whole:.0} µs and {TALK_PACKETS} relayed packets of {packet_us:.2} µs, measured just now",
                of / 1e3
            );
            part("the journal's part of a call with 30 s of audio", of, how)
        }
        None => Row::new(
            "the journal's part of a call with 30 s of audio",
            "not measured: it needs `call rtp journal` in one run",
        ),
    };
    vec![
        Row {
            ours: us.show("µs"),
            bare: Rounds::of(of("bare ")).show("µs"),
            ratio: Rounds::of(of("ratio ")).show("×"),
            ..Row::new(
                "CPU of the journal for a call",
                format!(
                    "with it less without it, {rounds} rounds of 2 × {} calls each at {WEIGHED_AT:.0}/s, {held} others held; bare: the same bytes by as many writes, a sync every 100 ms",
                    turn(length.choose(200, 2_000)),
                ),
            )
        },
        part(
            "the journal's part of a call without audio",
            whole,
            format!("of {whole:.0} µs: {whose}"),
        ),
        with_audio,
        Row {
            ours: format!("{:.0} B", one("bytes ")),
            ..Row::new(
                "bytes of the journal for a call",
                format!(
                    "answered and ended: {:.2} writes; {:.0} B of them for going on with it",
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
            ours: format!("{:.0} /s", one("paced ")),
            floor: Some(Floor::at_least(RATE, "/s", one("paced ").round())),
            ..Row::new(
                "calls a second into the journal, sustained",
                format!(
                    "{seconds} s beside {held} held calls; {:.0} ms behind at the most, {:.0} entries in the queue at the most",
                    one("late "),
                    one("queue ")
                ),
            )
        },
        Row {
            ours: format!("{:.0} µs", one("wait99 ")),
            ..Row::new(
                "wait of a SIP thread for the journal, p99",
                format!(
                    "a batch of {:.0} calls' entries, meanwhile; median {:.0} µs, longest {:.0} µs",
                    RATE * GATHER.as_secs_f64(),
                    one("wait50 "),
                    one("wait100 "),
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

/// Makes so many calls beside so many held ones, so many times, and then writes them at a pace for so many seconds;
/// prints what was measured.
pub fn run(arguments: &[String]) {
    let numbers: Vec<usize> = arguments.iter().map(|a| a.parse().expect("a number")).collect();
    let [calls, held, rounds, seconds] = *numbers else {
        panic!("calls, held calls, rounds, seconds")
    };
    let mut holds = Alone::new();
    let held: Vec<Vec<Vec<CallEntry>>> = (0..held).map(|n| holds.entries_until_answered(n)).collect();
    // Calls last long here, because time is handed over in big pieces: two switches without held ones compare.
    let (mut alone, mut silent) = (holds.another(), holds.without_journal());
    drop(holds);
    let folder = tempfile::tempdir_in(".").expect("the server's folder can be written");
    let dir = folder.path().join("journal");
    let (journal, _) = Journal::open(&dir).expect("a new journal");
    held.iter().flatten().for_each(|batch| journal.write_all(batch));

    let number = Cell::new(held.len());
    let make = |alone: &mut Alone| {
        number.set(number.get() + 1);
        alone.entries_of_a_call(number.get())
    };
    let ended: Vec<Vec<Vec<CallEntry>>> = (0..calls).map(|_| make(&mut alone)).collect();
    let (bytes, writes) = size(&folder.path().join("size"), &ended);
    print("bytes", &[bytes]);
    print("writes", &[writes]);
    print("kept", &[kept_bytes(&ended)]);

    let (mut us, mut bare, mut ratios, mut rates) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let first = segment(&dir);
    // What every call touches for the first time is no call's own.
    let mut unsaid = || {
        make(&mut silent);
        nothing_like(&ended[0])
    };
    weigh(turn(calls), &mut unsaid, None);
    weigh(turn(calls), || make(&mut alone), Some(&journal));
    for _ in 0..rounds {
        let calls = turn(calls);
        let mut without = weigh(calls, &mut unsaid, None);
        let mut with = weigh(calls, || make(&mut alone), Some(&journal));
        with += weigh(calls, || make(&mut alone), Some(&journal));
        without += weigh(calls, &mut unsaid, None);
        let (of_ours, of_bare) = (
            (with - without) / 2.0,
            bare_us(&folder.path().join("bare"), bytes, writes, calls),
        );
        us.push(of_ours);
        bare.push(of_bare);
        ratios.push(of_ours / of_bare);
        let begun = Instant::now();
        for calls in ended.chunks(GROUP) {
            calls.iter().flatten().for_each(|batch| journal.write_all(batch));
            let ids: Vec<Id> = calls.iter().filter_map(|call| id_of(call)).collect();
            journal.told(&ids);
            journal.write_all(&closed(ids.into_iter()));
        }
        rates.push(calls as f64 / begun.elapsed().as_secs_f64());
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

/// Microseconds of this process's processor time for a call, where calls come as they do to a SIP thread: what is said
/// of several within one [`GATHER`], each at another point, is one batch.
fn weigh(calls: usize, mut make: impl FnMut() -> Vec<Vec<CallEntry>>, journal: Option<&Journal>) -> f64 {
    let (begun, cpu) = (Instant::now(), cpu_seconds(std::process::id()));
    let mut pipe = Pipe::default();
    let mut write = |what: Say<'_>| {
        if let Some(journal) = journal {
            say(journal, what);
        }
    };
    for tick in 1..=ticks(calls, WEIGHED_AT) {
        let fresh = (0..per_tick(WEIGHED_AT)).map(|_| make()).collect();
        pipe.tick(fresh, &mut write);
        thread::sleep((begun + GATHER * tick).saturating_duration_since(Instant::now()));
    }
    pipe.empty(&mut write);
    // What it still syncs belongs to these calls.
    thread::sleep(SYNC * 2);
    let calls = ticks(calls, WEIGHED_AT) * per_tick(WEIGHED_AT);
    (cpu_seconds(std::process::id()) - cpu) * 1e6 / f64::from(calls)
}

/// Entries that say nothing, as many as these: what it takes to hand them about here is no cost of the journal.
fn nothing_like(call: &[Vec<CallEntry>]) -> Vec<Vec<CallEntry>> {
    let nothing = |entry: &CallEntry| CallEntry::Acked {
        call_id: entry.call_id(),
    };
    let batch = |batch: &Vec<CallEntry>| batch.iter().map(nothing).collect();
    call.iter().map(batch).collect()
}

/// Calls of one turn, where so many are made for the other figures.
fn turn(calls: usize) -> usize {
    calls.min(500)
}

/// Calls that begin within one [`GATHER`] at this rate.
fn per_tick(rate: f64) -> u32 {
    (rate * GATHER.as_secs_f64()) as u32
}

/// How many times [`GATHER`] so many calls take at this rate.
fn ticks(calls: usize, rate: f64) -> u32 {
    (calls as u32).div_ceil(per_tick(rate))
}

/// What is said to the journal.
enum Say<'a> {
    Entries(&'a [CallEntry]),
    /// Both sides of these calls know that they are over.
    Told(&'a [Id]),
}

fn say(journal: &Journal, say: Say<'_>) {
    match say {
        Say::Entries(entries) => journal.write_all(entries),
        Say::Told(calls) => journal.told(calls),
    }
}

/// Calls that are being written, one batch of each at a time.
#[derive(Default)]
struct Pipe {
    calls: VecDeque<(Id, std::vec::IntoIter<Vec<CallEntry>>)>,
    /// Those whose records are in the CDR files next.
    over: Vec<Id>,
    ticks: u32,
}

impl Pipe {
    /// Says the next batch of every call, and from time to time that their records are in the CDR files.
    fn tick(&mut self, fresh: Vec<Vec<Vec<CallEntry>>>, say: &mut impl FnMut(Say<'_>)) {
        let fresh = fresh
            .into_iter()
            .filter_map(|call| Some((id_of(&call)?, call.into_iter())));
        self.calls.extend(fresh);
        let batches = self.calls.iter_mut().filter_map(|(_, call)| call.next());
        let batch: Vec<CallEntry> = batches.flatten().collect();
        say(Say::Entries(&batch));
        let done = self.calls.iter().filter(|(_, call)| call.len() == 0);
        let done: Vec<Id> = done.map(|(id, _)| *id).collect();
        say(Say::Told(&done));
        self.calls.retain(|(_, call)| call.len() > 0);
        self.over.extend(done);
        self.ticks += 1;
        if self
            .ticks
            .is_multiple_of((SYNC.as_millis() / GATHER.as_millis()) as u32)
        {
            self.close(say);
        }
    }

    /// Says all that is left.
    fn empty(&mut self, say: &mut impl FnMut(Say<'_>)) {
        while !self.calls.is_empty() {
            self.tick(Vec::new(), say);
        }
        self.close(say);
    }

    fn close(&mut self, say: &mut impl FnMut(Say<'_>)) {
        if !self.over.is_empty() {
            say(Say::Entries(&closed(self.over.drain(..))));
        }
    }
}

/// Whose entries they are.
fn id_of(call: &[Vec<CallEntry>]) -> Option<Id> {
    call.iter().flatten().next().map(CallEntry::call_id)
}

fn print(name: &str, values: &[f64]) {
    let values: Vec<String> = values.iter().map(f64::to_string).collect();
    println!("{name} {}", values.join(" "));
}

/// That their records are in the CDR files.
fn closed(calls: impl Iterator<Item = Id>) -> Vec<CallEntry> {
    calls.map(|call_id| CallEntry::Ended { call_id }).collect()
}

/// Bytes and writes of one call.
fn size(dir: &Path, calls: &[Vec<Vec<CallEntry>>]) -> (f64, f64) {
    let (journal, _) = Journal::open(dir).expect("a new journal");
    let empty = folder_bytes(dir);
    let mut writes = 0;
    let mut write = |what: Say<'_>| {
        writes += u32::from(matches!(&what, Say::Entries(_)));
        say(&journal, what);
    };
    let mut pipe = Pipe::default();
    for fresh in calls.chunks(per_tick(WEIGHED_AT) as usize) {
        pipe.tick(fresh.to_vec(), &mut write);
    }
    pipe.empty(&mut write);
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
    let mut synced = Instant::now();
    // To be woken as often is nothing of what it costs.
    let idle = paced(writes, calls, || ());
    let used = paced(writes, calls, || {
        file.write_all(&piece).expect("the disk has room");
        if synced.elapsed() > SYNC {
            file.sync_data().expect("the disk obeys");
            synced = Instant::now();
        }
    });
    fs::remove_file(path).expect("our own file");
    used - idle
}

/// Microseconds of processor time for a call, of which each is so many acts.
fn paced(acts: f64, calls: usize, mut act: impl FnMut()) -> f64 {
    let (begun, cpu) = (Instant::now(), cpu_seconds(std::process::id()));
    let pause = Duration::from_secs_f64(1.0 / (WEIGHED_AT * acts));
    for n in 1..=(calls as f64 * acts) as u32 {
        act();
        thread::sleep((begun + pause * n).saturating_duration_since(Instant::now()));
    }
    (cpu_seconds(std::process::id()) - cpu) * 1e6 / calls as f64
}

/// Writes calls at the rate that must be kept up with: the rate, how long each write took, and how many entries waited
/// at the most.
fn pace(journal: &Journal, ended: &[Vec<Vec<CallEntry>>], seconds: usize) {
    let (mut waits, mut queue, mut latest) = (Vec::new(), 0, Duration::ZERO);
    let begun = Instant::now();
    let mut pipe = Pipe::default();
    let mut calls = ended.iter().cloned().cycle();
    let total = ticks(RATE as usize * seconds, RATE);
    for tick in 1..=total {
        let fresh = calls.by_ref().take(per_tick(RATE) as usize).collect();
        pipe.tick(fresh, &mut |what| {
            let before = Instant::now();
            say(journal, what);
            waits.push(before.elapsed().as_secs_f64() * 1e6);
        });
        queue = queue.max(journal.health().waiting);
        let (due, now) = (begun + GATHER * tick, Instant::now());
        latest = latest.max(now.saturating_duration_since(due));
        thread::sleep(due.saturating_duration_since(now));
    }
    let took = begun.elapsed().as_secs_f64();
    pipe.empty(&mut |what| say(journal, what));
    waits.sort_by(f64::total_cmp);
    let part = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize];
    print("wait50", &[part(0.5)]);
    print("wait99", &[part(0.99)]);
    print("wait100", &[part(1.0)]);
    print("queue", &[queue as f64]);
    print("late", &[latest.as_secs_f64() * 1e3]);
    print("paced", &[f64::from(total * per_tick(RATE)) / took]);
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
