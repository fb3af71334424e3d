//! Programs of different versions take turns on the same data. Those that come later are the one that was built with
//! other numbers in it, for the forms that it writes and reads (`base::form`): so they are other programs in nothing but
//! what counts here, and need no second build. People talk through every upgrade; the way back is refused as long as it
//! would lose anything, and nothing is touched by that.

#[path = "../fuzz/src/kept.rs"]
#[allow(dead_code)] // of what is made there only the record is needed
mod fuzzed;
#[path = "support/server.rs"]
mod server;
#[path = "support/talk.rs"]
mod talk;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use server::{A, B, Server, X};
use talk::{Callee, Talk};
use umbra::base::form::forms;
use umbra::call::kept::Fate;

/// What stands before the numbers in a program.
const MARK: &[u8] = b"umbra writes forms:\0\0";
/// The longest silence that an upgrade may cost, as the phones hear it.
const GAP_MAX: Duration = Duration::from_secs(1);

/// What has a form, in the order of the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Store,
    Journal,
    Calls,
}

const EVERYTHING: [Of; 3] = [Of::Store, Of::Journal, Of::Calls];

/// The program of the version that was built.
fn built() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_umbra"))
}

/// Makes the program that comes so many versions later, in which these forms have changed each time.
fn later(folder: &Path, versions: u8, changed: &[Of]) -> PathBuf {
    let mut program = fs::read(built()).expect("the program that was built");
    let mut places = program.windows(MARK.len()).enumerate();
    let place = places
        .find(|(_, bytes)| *bytes == MARK)
        .map(|(at, _)| at + MARK.len());
    assert!(
        !places.any(|(_, bytes)| bytes == MARK),
        "the mark stands there once"
    );
    let place = place.expect("the mark");
    for of in changed {
        program[place + *of as usize] += versions;
    }
    let path = folder.join(format!("umbra+{versions}"));
    fs::write(&path, program).expect("room for a program");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
    // A child that another test was starting may have had it open for writing: then it can't be run just yet.
    server::until("it can be run", || match Command::new(&path).arg("-V").output() {
        Ok(output) => output.status.success(),
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::ExecutableFileBusy, "{error}");
            false
        }
    });
    path
}

fn start(callee: &Callee) -> Server {
    Server::with_a_pair(callee.address())
}

fn calls_before(server: &Server) -> Value {
    let status: Value = serde_json::from_str(&server.done("status --json")).expect("JSON");
    status["calls_before"].clone()
}

/// The talk goes on with the server that runs now.
fn goes_on(talk: &Talk, server: &Server) {
    talk.both_hear();
    assert_eq!(calls_before(server), json!({"taken": 1, "ended": 0}));
}

/// The call has one record, like any other.
fn ends(talk: Talk, server: &Server) {
    talk.end();
    let record = &server.settled(1)[0];
    assert_eq!(record["sip_status"], 200, "{record}");
    assert_eq!(record["released_by"], "caller", "{record}");
    assert!(record.get("end_cause").is_none(), "{record}");
}

/// Everything under a folder: bytes and times, by path.
fn all_of(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let of = fs::metadata(&path).expect("it is there");
        if of.is_dir() {
            all.extend(all_of(&path));
        }
        let bytes = if of.is_file() {
            fs::read(&path).expect("it can be read")
        } else {
            Vec::new()
        };
        all.insert(path, (bytes, of.modified().expect("a time")));
    }
    all
}

#[test]
fn people_talk_on_through_upgrades_after_a_handover_and_after_kill_9() {
    let callee = Callee::new();
    let mut server = start(&callee);
    let [next, last] = [1, 2].map(|versions| later(server.folder(), versions, &EVERYTHING));
    let says = |program: &Path| {
        let output = Command::new(program).arg("--version").output().expect("it runs");
        String::from_utf8(output.stdout).expect("text")
    };
    let versions = [built(), &next, &last].map(says);
    println!("{}", versions.join(""));
    assert!(versions[0] != versions[1] && versions[1] != versions[2]);

    let talk = Talk::begin(server.sip, callee, 1);
    talk.gap();
    server.done("stop --handover");
    assert_eq!(server.ended().code(), Some(75), "start me again");
    server.becomes(&next);
    server.start_again();
    goes_on(&talk, &server);
    let handed_over = talk.gap();

    server.kill();
    server.becomes(&last);
    server.start_again();
    goes_on(&talk, &server);
    let killed = talk.gap();
    println!("silent for {handed_over:?} at the handover, for {killed:?} after kill -9");
    assert!(
        handed_over < GAP_MAX && killed < GAP_MAX,
        "{handed_over:?}, {killed:?}"
    );
    ends(talk, &server);
    // What was bound before is there.
    assert!(server.done("bindings").contains(X));
    server.prints_no_number();
}

/// An older program is refused on what a newer one has left, in which `changed` is of a later form; it says all of
/// `words`.
fn the_way_back_is_refused(changed: &[Of], words: &[&str]) {
    let callee = Callee::new();
    let mut server = start(&callee);
    let next = later(server.folder(), 1, changed);
    server.stop();
    server.becomes(&next);
    server.start_again();
    // A record by the newer one.
    server.bind("17000000002", A, B, "");
    let talk = Talk::begin(server.sip, callee, 1);
    server.kill();

    let before = all_of(server.data());
    let printed = server.printed().len();
    server.becomes(built());
    server.launch();
    assert_eq!(server.ended().code(), Some(1));
    let printed = server.printed().split_off(printed);
    let refusal: Vec<&str> = printed
        .lines()
        .filter(|line| line.starts_with("umbra:"))
        .collect();
    assert_eq!(refusal.len(), 1, "one sentence:\n{printed}");
    println!("{}", refusal[0]);
    let data = server.data().display().to_string();
    for word in words {
        assert!(refusal[0].contains(word), "no {word:?} in {}, {data}", refusal[0]);
    }
    let after = all_of(server.data());
    let changed: Vec<_> = before
        .iter()
        .filter(|(path, then)| after.get(*path) != Some(*then))
        .map(|(path, _)| path)
        .chain(after.keys().filter(|path| !before.contains_key(*path)))
        .collect();
    assert!(changed.is_empty(), "{changed:?}");

    server.becomes(&next);
    server.start_again();
    goes_on(&talk, &server);
    ends(talk, &server);
    let bindings = server.done("bindings");
    assert!(
        bindings.contains(X) && bindings.contains("17000000002"),
        "{bindings}"
    );
}

#[test]
fn an_older_program_refuses_a_store_of_a_newer_one_and_leaves_it_as_it_is() {
    the_way_back_is_refused(
        &[Of::Store],
        &[
            "data/form says",
            &format!("in form {},", forms().store + 1),
            &format!("reads up to form {}", forms().store),
            "start the newer umbra again",
        ],
    );
}

#[test]
fn an_older_program_refuses_a_journal_of_a_newer_one_and_leaves_it_as_it_is() {
    the_way_back_is_refused(
        &[Of::Journal],
        &[
            "data/journal/calls-",
            &format!(".log has version {},", forms().journal + 1),
            &format!("reads up to {}:", forms().journal),
            "start the newer umbra",
        ],
    );
}

#[test]
fn an_older_program_refuses_calls_of_a_newer_one_and_leaves_them_as_they_are() {
    the_way_back_is_refused(
        &[Of::Calls],
        &[
            "data/journal has 1 calls in progress",
            &format!("state version {},", forms().calls + 1),
            &format!("reads up to {})", forms().calls),
            "start that umbra again",
        ],
    );
}

#[test]
fn an_older_program_refuses_what_is_newer_in_every_way_and_leaves_it_as_it_is() {
    the_way_back_is_refused(&EVERYTHING, &["data/form says", "start the newer umbra again"]);
}

#[test]
fn an_older_program_starts_when_the_calls_of_the_newer_one_are_over() {
    let callee = Callee::new();
    let mut server = start(&callee);
    let next = later(server.folder(), 1, &[Of::Calls]);
    let talk = Talk::begin(server.sip, callee, 1);
    server.kill();
    server.becomes(&next);
    server.start_again();
    goes_on(&talk, &server);
    ends(talk, &server);
    server.stop();
    server.becomes(built());
    server.start_again();
    assert!(server.done("bindings").contains(X));
    server.settled(1);
}

#[test]
fn a_state_of_the_first_form_is_read_by_a_newer_program() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/kept/talking_unacked");
    let golden = fs::read(golden).expect("a state that was kept once");
    assert_eq!(golden[0], 1);
    let callee = Callee::new();
    let mut server = start(&callee);
    let next = later(server.folder(), 1, &EVERYTHING);
    server.stop();
    let conf = server.folder().join("umbra.toml");
    let text = fs::read_to_string(&conf).expect("the conf");
    // Where that call was, beside where this server is; it was long ago, and no call has gone on for so long.
    let text = text
        .replace("udp = [", "udp = [\"127.1.0.1:5060\", ")
        .replace("address = \"127.0.0.1\"", "address = \"127.1.0.1\"");
    let ports = text
        .lines()
        .find(|line| line.starts_with("ports"))
        .expect("the range");
    let text = text.replace(ports, "ports = \"20000-20199\"");
    fs::write(&conf, text).expect("it can be written");
    let journal = server.data().join("journal");
    for entry in fs::read_dir(&journal).expect("the journal") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|end| end == "log") {
            fs::write(&path, journal_of(&golden)).expect("it can be written");
        }
    }
    server.becomes(&next);
    server.start_again();
    let before = calls_before(&server);
    assert_eq!(before, json!({"taken": 1, "ended": 0}), "{}", server.printed());
    assert!(
        !server.printed().contains("can't be read"),
        "{}",
        server.printed()
    );
}

/// A journal with one call in progress, as the version that was built writes it.
fn journal_of(state: &[u8]) -> Vec<u8> {
    const SEQUENCED: u8 = 16;
    let record = fuzzed::left(state, Fate::GoesOn).record;
    let json = serde_json::to_vec(&record).expect("JSON");
    let mut bytes = [&b"UMBRAJNL"[..], &2_u32.to_le_bytes()].concat();
    for (kind, sequence, rest) in [(1_u8, 1_u64, &*json), (6, 2, state)] {
        let id = record.call_id.bits().to_le_bytes();
        let body = [&[SEQUENCED | kind][..], &id, &sequence.to_le_bytes(), rest].concat();
        bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
    }
    bytes
}
