//! The real server is killed, or stopped, while people talk: they go on talking through the one that comes after it.

#[path = "support/manager.rs"]
mod manager;
#[path = "support/server.rs"]
mod server;
#[path = "support/talk.rs"]
mod talk;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use manager::Manager;
use server::{Server, free_address};
use talk::{Callee, Talk};

fn start(callee: &Callee) -> Server {
    Server::with_a_pair(callee.address())
}

/// Changes a line of the conf.
fn conf(server: &Server, old: &str, new: &str) {
    let path = server.folder().join("umbra.toml");
    let text = std::fs::read_to_string(&path).expect("the conf");
    assert!(text.contains(old), "{old} is not in {text}");
    std::fs::write(&path, text.replace(old, new)).expect("it can be written");
}

fn status(server: &Server) -> Value {
    serde_json::from_str(&server.done("status --json")).expect("JSON")
}

/// The only record: a call that was answered and ended like any other.
fn is_whole(record: &Value) {
    assert_eq!(record["sip_status"], 200, "{record}");
    assert_eq!(record["released_by"], "caller", "{record}");
    assert!(record.get("end_cause").is_none(), "{record}");
    let packets = |side: &str| record["media"][side]["packets_in"].as_u64().expect("a count");
    assert!(packets("caller") >= 10 && packets("callee") >= 10, "{record}");
}

#[test]
fn a_talk_goes_on_after_kill_9_again_and_again_and_has_one_record() {
    let callee = Callee::new();
    let mut server = start(&callee);
    let talk = Talk::begin(server.sip, callee, 1);
    for round in 1..=3 {
        server.kill();
        server.start_again();
        talk.both_hear();
        assert_eq!(
            talk.streams(),
            [1 + round; 2],
            "each process has an SSRC of its own"
        );
        println!("silent for {:?}", talk.gap());
        assert_eq!(server.calls(), 1);
        assert_eq!(status(&server)["calls_before"], json!({"taken": 1, "ended": 0}));
        assert!(server.done("status").contains("1 of the server before went on"));
    }
    talk.end();
    is_whole(&server.settled(1)[0]);
    assert!(
        server
            .printed()
            .contains("calls of the server before: 1 go on, 0 have ended")
    );
    server.prints_no_number();
    // Nothing comes back.
    server.kill();
    server.start_again();
    assert_eq!(status(&server)["calls_before"], json!({"taken": 0, "ended": 0}));
    server.settled(1);
}

#[test]
fn a_talk_goes_on_under_other_numbers_of_shards_and_media_threads() {
    let callee = Callee::new();
    let mut server = start(&callee);
    let talk = Talk::begin(server.sip, callee, 1);
    for (shards, threads) in [(3, 2), (2, 3), (5, 1), (1, 1)] {
        server.kill();
        let path = server.folder().join("umbra.toml");
        let text = std::fs::read_to_string(&path).expect("the conf");
        let plain: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with("shards") && !line.starts_with("threads"))
            .collect();
        let text = plain
            .join("\n")
            .replace("[sip]", &format!("[sip]\nshards = {shards}"))
            .replace("[media]", &format!("[media]\nthreads = {threads}"));
        std::fs::write(&path, text).expect("it can be written");
        server.start_again();
        talk.both_hear();
        assert_eq!(status(&server)["calls_before"]["taken"], 1, "{shards} shards");
    }
    talk.end();
    is_whole(&server.settled(1)[0]);
}

#[test]
fn a_talk_that_was_left_alone_for_too_long_ends_on_both_sides_with_a_record() {
    let callee = Callee::new();
    let mut server = start(&callee);
    let talk = Talk::begin(server.sip, callee, 1);
    server.kill();
    conf(&server, "[sip]", "[node]\nrestore_within_s = 0\n[sip]");
    // Nobody was alone for no time at all, even if the clock was set back meanwhile.
    let later = SystemTime::now() + Duration::from_secs(3_600);
    for entry in std::fs::read_dir(server.data().join("journal")).expect("the journal") {
        let file = std::fs::File::options()
            .write(true)
            .open(entry.expect("an entry").path());
        file.and_then(|file| file.set_modified(later))
            .expect("our own file");
    }
    server.start_again();
    talk.ended();
    let records = server.settled(1);
    assert_eq!(records[0]["end_cause"], "restart", "{}", records[0]);
    assert_eq!(records[0]["released_by"], "server", "{}", records[0]);
    assert_eq!(status(&server)["calls_before"], json!({"taken": 0, "ended": 1}));
}

#[test]
fn calls_that_cost_server_after_server_its_life_are_given_up_and_have_their_records() {
    let callee = Callee::new();
    let mut server = start(&callee);
    let talk = Talk::begin(server.sip, callee, 1);
    let tries = server.data().join("takeover");
    // A start that succeeds ends the count.
    server.kill();
    std::fs::write(&tries, "4\n").expect("our own folder");
    server.start_again();
    assert_eq!(status(&server)["calls_before"], json!({"taken": 1, "ended": 0}));
    assert!(!tries.exists());
    server.kill();
    std::fs::write(&tries, "5\n").expect("our own folder");
    server.start_again();
    let records = server.settled(1);
    assert_eq!(records[0]["end_cause"], "restart", "{}", records[0]);
    assert_eq!(status(&server)["calls_before"], json!({"taken": 0, "ended": 1}));
    assert!(!tries.exists());
    // Nothing of it is left for the one after.
    server.kill();
    server.start_again();
    assert_eq!(status(&server)["calls_before"], json!({"taken": 0, "ended": 0}));
    assert_eq!(server.settled(1).len(), 1);
    drop(talk);
}

#[test]
fn a_call_that_rings_is_ended_on_both_sides_by_the_next_server_with_a_record() {
    let callee = Callee::new();
    let mut server = start(&callee);
    let call = Talk::ringing(server.sip, callee, 1);
    server.kill();
    server.start_again();
    assert!(call.is_given_up() >= 480);
    let records = server.settled(1);
    assert_eq!(records[0]["refusal"], "restart", "{}", records[0]);
    assert_eq!(status(&server)["calls_before"], json!({"taken": 0, "ended": 1}));
}

#[test]
fn a_talk_whose_ports_are_not_ours_any_more_ends_on_both_sides_with_a_record() {
    let callee = Callee::new();
    let mut server = start(&callee);
    let talk = Talk::begin(server.sip, callee, 1);
    server.kill();
    let path = server.folder().join("umbra.toml");
    let text = std::fs::read_to_string(&path).expect("the conf");
    let ports = text
        .lines()
        .find(|line| line.starts_with("ports"))
        .expect("the range");
    let first: u16 = ports[9..]
        .split('-')
        .next()
        .and_then(|n| n.parse().ok())
        .expect("a port");
    // The call has the first ports; the second half of the range is enough for others.
    let later = format!("ports = \"{}-{}\"", first + 500, first + 999);
    std::fs::write(&path, text.replace(ports, &later)).expect("it can be written");
    server.start_again();
    talk.ended();
    let records = server.settled(1);
    assert_eq!(records[0]["end_cause"], "restart", "{}", records[0]);
    assert_eq!(status(&server)["calls_before"], json!({"taken": 0, "ended": 1}));
}

#[test]
fn a_server_that_hands_over_ends_at_once_and_the_next_one_goes_on_with_the_talk_and_its_counts() {
    let callee = Callee::new();
    let mut server = start(&callee);
    let talk = Talk::begin(server.sip, callee, 1);
    for _ in 0..2 {
        let said = server.done("stop --handover");
        assert!(said.contains("calls left to the next server: 1"), "{said}");
        assert!(server.has_ended(), "what was its own can be the next one's now");
        assert_eq!(server.ended().code(), Some(75), "start me again");
        server.start_again();
        talk.both_hear();
        println!("silent for {:?}", talk.gap());
    }
    let sent = talk.sent();
    talk.end();
    let records = server.settled(1);
    is_whole(&records[0]);
    // Some were sent while nobody was there.
    for side in ["caller", "callee"] {
        let counted = records[0]["media"][side]["packets_in"].as_u64().expect("a count");
        assert!(
            counted > sent / 2,
            "{counted} of {sent}: what was counted before is kept"
        );
    }
    let refused = server.umbra(&["stop", "--handover", "--drain", "1m"]);
    assert!(!refused.status.success());
}

#[test]
fn sockets_that_a_manager_keeps_are_taken_back_and_what_was_sent_to_them_meanwhile_is_answered() {
    let callee = Callee::new();
    let mut server = start(&callee);
    server.stop();
    let also = free_address(server::HOME);
    conf(&server, "[media]", &format!("[media]\n# {also}"));
    conf(&server, "udp = [", &format!("udp = [\"{also}\", "));
    conf(&server, "tcp = []", &format!("tcp = [\"{}\"]", server.sip));
    let manager = Manager::new(server.folder());
    server.adopt(manager.start(server.folder()));
    let news = manager.await_line("READY=1", 0);
    let name = |protocol: &str, at| format!("{protocol}-{at}").replace(':', "_");
    let mut all = vec![
        name("tcp", server.sip),
        name("udp", server.sip),
        name("udp", also),
    ];
    all.sort();
    assert_eq!(manager.kept(), all);

    let talk = Talk::begin(server.sip, callee, 1);
    server.done("stop --handover");
    assert_eq!(server.ended().code(), Some(75));
    manager.await_line("STOPPING=1", news);
    // Nobody is there but the socket.
    talk.hang_up();
    let other = std::net::TcpStream::connect(server.sip).expect("the listener is kept");
    // An address that the conf has no more.
    conf(&server, &format!("\"{also}\", "), "");
    server.adopt(manager.start(server.folder()));
    talk.hangs_up();
    is_whole(&server.settled(1)[0]);
    manager.await_line("READY=1", news);
    assert_eq!(manager.kept(), [name("tcp", server.sip), name("udp", server.sip)]);
    assert!(!server::is_bound(also), "it is closed");
    drop(other);
    assert!(!server.printed().contains("can't listen"), "{}", server.printed());
    server.stop();
}

#[test]
fn a_server_that_listens_on_all_addresses_from_now_on_starts_though_the_manager_kept_a_socket_on_one() {
    let callee = Callee::new();
    let mut server = start(&callee);
    server.stop();
    let wide = free_address(Ipv4Addr::UNSPECIFIED);
    let narrow = SocketAddr::from((server::HOME, wide.port()));
    conf(&server, "udp = [", &format!("udp = [\"{narrow}\", "));
    let manager = Manager::new(server.folder());
    server.adopt(manager.start(server.folder()));
    let talk = Talk::begin(server.sip, callee, 1);
    for (old, new) in [(narrow, wide), (wide, narrow)] {
        server.done("stop --handover");
        assert_eq!(server.ended().code(), Some(75));
        conf(&server, &format!("\"{old}\""), &format!("\"{new}\""));
        if new == wide {
            conf(&server, "[sip]", "[sip]\nadvertise = \"127.0.0.1\"");
        }
        server.adopt(manager.start(server.folder()));
        talk.both_hear();
        let name = |at| format!("udp-{at}").replace(':', "_");
        let mut kept = [name(server.sip), name(new)];
        kept.sort();
        server::until("the manager keeps what is used now", || manager.kept() == kept);
    }
    talk.end();
    is_whole(&server.settled(1)[0]);
    server.stop();
}

/// Set inside of the systemd of the test below.
const INSIDE: &str = "UMBRA_SYSTEMD_INSIDE";

#[test]
fn people_talk_on_through_restarts_crashes_and_handovers_under_a_real_systemd_and_the_unit_that_is_shipped() {
    let units = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(units.path().join(name), text).expect("written");
    // What every service comes after, and what ours names; nothing else is there.
    for target in ["default", "sysinit", "basic", "shutdown"] {
        write(&format!("{target}.target"), "[Unit]\nDefaultDependencies=no\n");
    }
    write("umbra.service", include_str!("../systemd/umbra.service"));
    let output = "[Service]\nStandardOutput=append:/run/server.out\nStandardError=append:/run/server.out\n";
    std::fs::create_dir(units.path().join("umbra.service.d")).expect("made");
    write("umbra.service.d/output.conf", output);
    let this = std::env::current_exe().expect("this binary");
    let ended = Command::new("bash")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/systemd.sh"))
        .arg(units.path())
        .arg(this)
        .args(["--exact", "the_talk_beside_a_systemd", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("a shell");
    if ended.code() == Some(77) {
        eprintln!("no systemd in namespaces of its own here: left out");
        return;
    }
    assert!(ended.success(), "see above");
}

fn systemctl(line: &str) -> String {
    // A restart that waits for calls to end would wait for those of this test.
    let mut command = Command::new("timeout");
    let output = command.args(["30", "systemctl"]).args(line.split(' ')).output();
    let output = output.expect("systemctl runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(
        output.status.success() || line.starts_with("is-active"),
        "{line}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Moves a server's folder to the places of the unit that is shipped; in the folder itself links remain.
const MOVE: &str = "
    mkdir -p /etc/umbra /var/lib/umbra
    cp umbra.toml trunks.toml /etc/umbra
    chown -R root:umbra /etc/umbra
    cp -r data /var/lib/umbra
    chown -R umbra:umbra /var/lib/umbra
    rm -r data server.out
    ln -s /var/lib/umbra/data data
    ln -s /run/server.out server.out
";

/// A way to end the server that runs.
type Way<'a> = &'a dyn Fn(&Server);

#[test]
fn the_talk_beside_a_systemd() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let callee = Callee::new();
    let mut server = start(&callee);
    server.stop();
    // Everything goes to where the unit has it, and is the server's user's.
    let moved = Command::new("sh")
        .args(["-ec", MOVE])
        .current_dir(server.folder())
        .status();
    assert!(moved.expect("a shell").success());
    systemctl("start umbra.service");
    // systemd has the process; this only stands for it.
    server.adopt(Command::new("sleep").arg("1000").spawn().expect("it runs"));
    let talk = Talk::begin(server.sip, callee, 1);
    let pid = |server: &Server| status(server)["pid"].as_u64().expect("a number");
    let ways: [(&str, Way); 4] = [
        ("systemctl restart", &|_| drop(systemctl("restart umbra.service"))),
        ("kill -9", &|_| {
            drop(systemctl("kill --kill-whom=main --signal=KILL umbra.service"))
        }),
        ("umbra stop --handover", &|server| {
            drop(server.done("stop --handover"))
        }),
        ("systemctl restart", &|_| drop(systemctl("restart umbra.service"))),
    ];
    for (way, end) in ways {
        let before = pid(&server);
        end(&server);
        server::until("the next server answers", || {
            let output = server.umbra(&["status", "--json"]);
            let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            status["pid"].as_u64().is_some_and(|pid| pid != before)
        });
        talk.both_hear();
        println!("{way}: silent for {:?}", talk.gap());
        assert_eq!(
            status(&server)["calls_before"],
            json!({"taken": 1, "ended": 0}),
            "{way}"
        );
        assert_eq!(
            systemctl("show --value --property=NFileDescriptorStore umbra.service"),
            "1"
        );
    }
    talk.end();
    is_whole(&server.settled(1)[0]);
    server.done("stop");
    server::until("it stays away", || {
        systemctl("is-active umbra.service") == "inactive"
    });
    assert!(
        !server::is_bound(server.sip),
        "nothing is kept of a server that was stopped"
    );
}

#[test]
fn calls_of_a_newer_program_refuse_the_start_and_are_not_lost() {
    let callee = Callee::new();
    let mut server = start(&callee);
    let talk = Talk::begin(server.sip, callee, 1);
    server.kill();
    let journal = server.data().join("journal");
    let segment = std::fs::read_dir(&journal)
        .expect("the journal")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.extension().is_some_and(|end| end == "log"))
        .expect("a segment");
    let bytes = std::fs::read(&segment).expect("it can be read");
    // As the same state would be, written by the version after this.
    std::fs::write(&segment, newer(&bytes)).expect("it can be written");
    server.launch();
    assert!(!server.ended().success());
    let printed = server.printed();
    assert!(
        printed.contains("1 calls in progress as a newer umbra wrote them down"),
        "{printed}"
    );
    std::fs::write(&segment, bytes).expect("it can be written");
    server.start_again();
    talk.both_hear();
    talk.end();
    is_whole(&server.settled(1)[0]);
}

/// The journal with the version of every state raised by one, and the checksums put right.
fn newer(journal: &[u8]) -> Vec<u8> {
    const KEPT: u8 = 16 + 6;
    let mut bytes = journal.to_vec();
    let mut at = 12;
    while let Some(length) = bytes.get(at..at + 4) {
        let length = u32::from_le_bytes(length.try_into().expect("four")) as usize;
        let body = at + 8..at + 8 + length;
        if bytes[body.start] == KEPT {
            bytes[body.start + 25] += 1;
            let crc = crc32fast::hash(&bytes[body.clone()]);
            bytes[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
        }
        at = body.end;
    }
    bytes
}
