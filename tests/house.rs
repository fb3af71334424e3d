//! The law of the house, as a test: who may import whom, what the pure floors may not name, and the closed
//! lists of places where a real number is revealed, consent is minted and `unsafe` is written.
//!
//! It reads `src/**/*.rs` as text: comments, strings and `#[cfg(test)]` items are taken out, the rest is
//! cut into words, and `use` trees are unfolded into whole paths. It is no compiler; it is meant to catch
//! what a tired reviewer doesn't.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use source::{PathName, Root, bare, is_cfg_test, paths, without_tests, words};

#[path = "house/snippets.rs"]
mod snippets;
#[path = "house/source.rs"]
mod source;

/// Rooms by floor. A room uses rooms on lower floors only; rooms on one floor don't see each other, but
/// for the top one, whose files are one owner.
const FLOORS: [&[&str]; 7] = [
    &["base"],
    &["sip", "sdp", "rtp"],
    &["masking", "account"],
    &["call"],
    &[
        "transport",
        "media",
        "store",
        "records",
        "telemetry",
        "names",
        "customer",
    ],
    &["api", "console"],
    &["cli", "server", "config"],
];

/// The highest floor that is pure: without clock, socket, thread, disk, chance of its own, or log.
const PURE: usize = 3;
/// The owner's floor.
const TOP: usize = FLOORS.len() - 1;

/// The map of the house and the program's entry: they see everything.
const EXEMPT: [&str; 2] = ["lib.rs", "main.rs"];

const RENAMED: &str = "import law: name the room that you use, not the whole crate";

/// Where a real number leaves its wrapping (`.reveal()`), and how often. Each is a decision.
const REVEALS: &[(&str, usize)] = &[
    ("api/native/view.rs", 1),       // to whoever may read bindings and records
    ("call/guard.rs", 1),            // to know what may not leave
    ("call/leg/dial.rs", 1),         // the attempt's line in the record
    ("call/leg/turns.rs", 1),        // who rings now, in the record
    ("call/leg/invite.rs", 2),       // the called party's own address; a caller shown by consent
    ("call/ask.rs", 1),              // what a customer's server is told, as its pool says
    ("call/noted.rs", 1),            // the record
    ("masking/mode.rs", 2),          // the keys of a binding's rules; what stands for a 400 number
    ("masking/plan/bind.rs", 1),     // is a party one of our own numbers?
    ("masking/route.rs", 1),         // is the called one ours?
    ("masking/route/explain.rs", 4), // an explanation for the operator
];

/// Where consent to show a real number is minted (`Consent::recorded`, `Consent::of_emergency`), and how often: only
/// from the audited terms of a binding, and for whom emergency services must be able to call back.
const CONSENTS: &[(&str, usize)] = &[("call/warrant.rs", 1)];

/// The files in which `unsafe` may stand: system calls on sockets, and the one that asks the C library how
/// far local clocks are from UTC.
const UNSAFE: [&str; 5] = [
    "media/socket.rs",
    "transport/handed.rs",
    "transport/poller.rs",
    "transport/udp.rs",
    "cli/zone.rs",
];

/// The one file that knows the database.
const SLED: &str = "store/disk.rs";

/// Names of time, network, threads, disk, chance and logs, as parts of a path.
const IMPURE: [(&[&str], &str); 26] = [
    (&["Instant", "now"], "a clock"),
    (&["std", "time", "Instant"], "a clock"),
    (&["SystemTime"], "a clock"),
    (&["UNIX_EPOCH"], "a clock"),
    (&["UdpSocket"], "a socket"),
    (&["TcpStream"], "a socket"),
    (&["TcpListener"], "a socket"),
    (&["UnixStream"], "a socket"),
    (&["UnixListener"], "a socket"),
    (&["UnixDatagram"], "a socket"),
    (&["ToSocketAddrs"], "a look-up in the network"),
    (&["socket2"], "a socket"),
    (&["libc"], "a system call"),
    (&["std", "thread"], "a thread"),
    (&["thread", "spawn"], "a thread"),
    (&["std", "fs"], "the disk"),
    (&["std", "env"], "the environment"),
    (&["std", "process"], "a process"),
    (&["rand", "rng"], "chance of its own"),
    (&["rand", "random"], "chance of its own"),
    (&["thread_rng"], "chance of its own"),
    (&["OsRng"], "chance of its own"),
    (&["from_os_rng"], "chance of its own"),
    (&["getrandom"], "chance of its own"),
    (&["tokio"], "the asynchronous runtime"),
    (&["tracing"], "the log"),
];

/// Macros that write to a terminal.
const PRINTING: [&str; 4] = ["print", "println", "eprint", "eprintln"];

/// Macros that no finished code holds.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// A broken law, and where.
#[derive(PartialEq, Eq, Debug)]
struct Fault {
    line: usize,
    law: String,
}

/// What one file holds of things that are counted over the whole house.
#[derive(Default, PartialEq, Eq, Debug)]
struct Counted {
    reveals: Vec<usize>,
    consents: Vec<usize>,
}

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Checks one file; `file` is its path below `src`, with `/`.
fn check(file: &str, source: &str) -> (Vec<Fault>, Counted) {
    let words = without_tests(words(&bare(source)));
    let mut faults = Vec::new();
    let mut counted = Counted::default();
    let mut fault = |line: usize, law: String| faults.push(Fault { line, law });

    let module = module_of(file);
    let room = module.first().copied().unwrap_or_default();
    let exempt = EXEMPT.contains(&file);
    let floor = floor_of(room);
    if floor.is_none() && !exempt {
        fault(1, format!("every room has a floor: give `{room}` one in FLOORS"));
    }

    for path in paths(&words, module.len()) {
        let names = path.names.as_slice();
        if !exempt && let Some(floor) = floor {
            if let Some(law) = forbidden_import(room, floor, &path) {
                fault(path.line, law);
            }
            let impure = IMPURE
                .iter()
                .find(|(part, _)| floor <= PURE && holds(names, part));
            if let Some((part, what)) = impure {
                let named = part.join("::");
                fault(
                    path.line,
                    format!("floors 0–{PURE} are pure: `{named}` is {what}"),
                );
            }
        }
        // The crate by a path of its own; a field of that name that holds a folder's place is none.
        let is_sled =
            path.root == Root::Elsewhere && names.len() > 1 && names.first().is_some_and(|n| n == "sled");
        if is_sled && file != SLED {
            fault(path.line, format!("only {SLED} knows sled"));
        }
        if holds(names, &["Consent", "recorded"]) || holds(names, &["Consent", "of_emergency"]) {
            counted.consents.push(path.line);
        }
        if holds(names, &["RealNumber", "reveal"]) {
            counted.reveals.push(path.line);
        }
    }

    for (index, word) in words.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| words.get(index));
        let is_after = |text: &str| before.is_some_and(|before| before.text == text);
        let is_before = |text: &str| words.get(index + 1).is_some_and(|next| next.text == text);
        let text = word.text.as_str();
        let is_macro = is_before("!")
            && words
                .get(index + 2)
                .is_some_and(|next| "([{".contains(&next.text));
        if text == "crate" && is_before("as") {
            fault(word.line, RENAMED.into());
        }
        if text == "sled" && (is_after("use") || is_after("crate")) && file != SLED {
            fault(word.line, format!("only {SLED} knows sled"));
        }
        if text == "unsafe" && !UNSAFE.contains(&file) {
            fault(
                word.line,
                format!("`unsafe` stands only in {}", UNSAFE.join(", ")),
            );
        }
        if text == "reveal" && is_after(".") {
            counted.reveals.push(word.line);
        }
        if UNFINISHED.contains(&text) && is_macro {
            fault(word.line, format!("no `{text}!` in finished code"));
        }
        let pure = !exempt && floor.is_some_and(|floor| floor <= PURE);
        if pure && PRINTING.contains(&text) && is_macro {
            fault(
                word.line,
                format!("floors 0–{PURE} are pure: `{text}!` is the terminal"),
            );
        }
        if pure && (text == "async" || text == "await") {
            fault(word.line, format!("floors 0–{PURE} are pure: nothing waits here"));
        }
    }
    faults.sort_by_key(|fault| fault.line);
    (faults, counted)
}

/// Why a path may not stand in a room, if it may not.
fn forbidden_import(room: &str, floor: usize, path: &PathName) -> Option<String> {
    let target = match path.root {
        Root::Crate => path.names.first(),
        Root::Elsewhere => return None,
    };
    let Some(target) = target.filter(|name| !matches!(name.as_str(), "*" | "self")) else {
        return Some(RENAMED.into());
    };
    if target == room {
        return None;
    }
    match floor_of(target) {
        None => Some(format!("every room has a floor: give `{target}` one in FLOORS")),
        Some(above) if above < floor || (above == TOP && floor == TOP) => None,
        Some(above) => Some(format!(
            "import law: `{room}` (floor {floor}) may not use `{target}` (floor {above})"
        )),
    }
}

/// Whether `part` stands in `names` as a run.
fn holds(names: &[String], part: &[&str]) -> bool {
    names.windows(part.len()).any(|run| run.iter().eq(part.iter()))
}

/// `sip/transaction/key.rs` → sip, transaction, key; `sip/mod.rs` → sip.
fn module_of(file: &str) -> Vec<&str> {
    let stem = file.strip_suffix(".rs").unwrap_or(file);
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    stem.split('/').collect()
}

/// The files of test modules that are declared elsewhere (`#[cfg(test)] mod tests;`).
fn test_files(file: &str, source: &str) -> Vec<String> {
    let words = words(&bare(source));
    let declared = words.windows(10).filter(|run| {
        is_cfg_test(run) && run.get(7).is_some_and(|word| word.text == "mod") && run[9].text == ";"
    });
    let folder = match file.rsplit_once('/') {
        _ if EXEMPT.contains(&file) => String::new(),
        Some((folder, "mod.rs")) => format!("{folder}/"),
        Some(_) | None => format!("{}/", file.trim_end_matches(".rs")),
    };
    declared
        .map(|run| format!("{folder}{}.rs", run[8].text))
        .collect()
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
}

/// What `list` and the code say differently, as sentences.
fn differences(what: &str, list: &[(&str, usize)], found: &BTreeMap<String, Vec<usize>>) -> Vec<String> {
    let listed = |file: &str| {
        list.iter()
            .filter(|(name, _)| *name == file)
            .map(|(_, n)| n)
            .sum::<usize>()
    };
    let mut out = Vec::new();
    for (file, lines) in found {
        if lines.len() != listed(file) {
            out.push(format!(
                "src/{file}:{}: {what} stands here {} times (lines {lines:?}), the closed list in tests/house.rs says {}",
                lines.first().copied().unwrap_or(1),
                lines.len(),
                listed(file)
            ));
        }
    }
    for (file, _) in list.iter().filter(|(file, _)| !found.contains_key(*file)) {
        out.push(format!(
            "src/{file}:1: {what} no longer stands here: take it off the closed list in tests/house.rs"
        ));
    }
    out
}

#[test]
fn the_house_keeps_its_law() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&src, &mut found);
    found.sort();
    assert!(!found.is_empty(), "there is a house");
    let read: Vec<(String, String)> = found
        .iter()
        .map(|path| {
            let below = path.strip_prefix(&src).expect("a file of the folder");
            let source = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            (below.to_string_lossy().replace('\\', "/"), source)
        })
        .collect();
    let tests: Vec<String> = read
        .iter()
        .flat_map(|(file, source)| test_files(file, source))
        .collect();

    let mut broken = Vec::new();
    let (mut reveals, mut consents) = (BTreeMap::new(), BTreeMap::new());
    for (file, source) in read.iter().filter(|(file, _)| !tests.contains(file)) {
        let (faults, counted) = check(file, source);
        broken.extend(
            faults
                .iter()
                .map(|fault| format!("src/{file}:{}: {}", fault.line, fault.law)),
        );
        for (map, lines) in [(&mut reveals, counted.reveals), (&mut consents, counted.consents)] {
            if !lines.is_empty() {
                map.insert(file.clone(), lines);
            }
        }
    }
    broken.extend(differences("`.reveal()`", REVEALS, &reveals));
    broken.extend(differences("consent", CONSENTS, &consents));
    assert!(
        broken.is_empty(),
        "the house's law is broken:\n{}",
        broken.join("\n")
    );
}
