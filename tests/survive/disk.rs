//! Disks that fail: a journal whose end is torn, a disk that is full, one that is slow. Calls go on.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use umbra::base::chance::Chance;

use crate::audio;
use crate::leg::Side;
use crate::phones::{Fate, sockets};
use crate::server::{SMALL_DISK, Server, Setup, until};
use crate::stage::{Stage, churn};

/// Calls that are held, short ones a second, and for how long those are made.
const HELD: usize = 10;
const CHURN: u32 = 10;
const WHILE: Duration = Duration::from_secs(3);
const FRAME: Duration = Duration::from_millis(20);
/// The room that is kept for a start.
const RESERVE: u64 = umbra::base::limits::DISK_RESERVE_BYTES;

/// The journal's last segment.
fn segment(server: &Server) -> PathBuf {
    let files = fs::read_dir(server.data().join("journal")).expect("the journal's folder");
    files
        .map(|file| file.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .max()
        .expect("a segment at least")
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).expect("the segment is there").len()
}

/// A server that is gone, on whose conf others may be started, and the phones' sockets.
fn stopped() -> (Server, [std::net::UdpSocket; 2]) {
    let sockets = sockets();
    let mut server = Server::start(&Setup {
        gateway: sockets[1].local_addr().expect("bound"),
        media_nat: "strict",
        log: "warn",
        calls: 250,
        also: Vec::new(),
    });
    server.stop();
    (server, sockets)
}

/// Short calls are made for a while, and all of them end well.
fn make_calls(stage: &Stage, chance: &mut Chance) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| churn(&stage.phones, &stage.brief, CHURN, chance, &stop));
        thread::sleep(WHILE);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    stage.until_brief_are_over();
    stage.blames_nobody();
}

#[test]
fn a_torn_end_of_the_journal_costs_no_call_that_was_answered_before_it() {
    let mut chance = Chance::from_number(7);
    let mut stage = Stage::new("t", HELD + 6, 0, 250, FRAME);
    let pairs = stage.held.clone();
    let (old, new) = pairs.split_at(HELD);
    let held = stage.establish(old, Fate::Held);
    for pairs in new.chunks(2) {
        let (path, before) = (segment(&stage.server), length(&segment(&stage.server)));
        let others = stage.establish(pairs, Fate::Held);
        stage.kill_and_start(|_| {
            let end = length(&path);
            assert!(end > before, "an answered call stands in the journal");
            let kept = before + u64::from(chance.below((end - before) as u32));
            let file = File::options().write(true).open(&path).expect("our own file");
            file.set_len(kept).expect("it can be cut");
            println!("{kept} of {end} bytes are left, the first {before} of them older than the last calls");
        });
        let killed = stage.audio.kills().last().expect("one").killed;
        // Whether the last two are known any more is open; nobody waits for them.
        for number in others {
            stage.phones.book().give_up_on(number);
        }
        stage.until_heard(killed);
        stage.until_ready();
        stage.hold_and_resume(&held[..2], Side::Callee);
    }
    stage.end(&held);
    stage.blames_nobody();
}

#[test]
fn a_full_disk_stops_no_call_and_the_records_come_when_there_is_room() {
    let Some(stage) = on_a_small_disk() else {
        return;
    };
    let mut chance = Chance::from_number(8);
    let held = stage.establish(&stage.held, Fate::Held);
    let filler = stage.server.fill_disk();
    make_calls(&stage, &mut chance);
    stage.hold_and_resume(&held[..4], Side::Caller);
    // The next server would know nothing of what waits: no call is left to it, and none is ended.
    let refused = stage.server.umbra(&["stop", "--handover"]);
    let sentence = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success());
    assert!(
        sentence.contains("entries wait in memory") && sentence.contains("make room"),
        "{sentence}"
    );
    fs::remove_file(filler).expect("our own file");
    make_calls(&stage, &mut chance);
    stage.until_heard(audio::now());
    stage.end(&held);
    stage.settles();
}

#[test]
fn a_server_that_is_killed_on_a_full_disk_starts_again_and_goes_on_with_its_calls() {
    let Some(mut stage) = on_a_small_disk() else {
        return;
    };
    let mut chance = Chance::from_number(10);
    let held = stage.establish(&stage.held, Fate::Held);
    let mut fillers = Vec::new();
    // What the first start leaves of the reserve is enough for the second, though others take all that they can.
    for side in Side::BOTH {
        fillers.push(stage.server.fill_disk());
        stage.kill_and_start(|_| ());
        stage.until_heard(stage.audio.kills().last().expect("one").killed);
        stage.until_ready();
        stage.hold_and_resume(&held[..4], side);
        stage.until("the owner hears of it", || {
            let status = stage.server.done("status");
            status.contains("a start on a full disk needs") && status.contains("make room there")
        });
        assert!(stage.server.reserve() < RESERVE);
    }
    fillers.push(stage.server.fill_disk());
    make_calls(&stage, &mut chance);
    stage.end(&held[..6]);
    let made = stage.phones.book().calls.len() - 4;
    assert!(stage.server.records().len() < made, "their records wait for room");
    for filler in fillers {
        fs::remove_file(filler).expect("our own file");
    }
    make_calls(&stage, &mut chance);
    stage.end(&held[6..]);
    stage.settles();
    stage.until("all is well again", || {
        !stage.server.done("status").contains("degraded")
    });
    assert_eq!(stage.server.reserve(), RESERVE);
}

/// A stage whose server's data lie on a disk of their own; `None` where the system grants none.
fn on_a_small_disk() -> Option<Stage> {
    let (mut server, sockets) = stopped();
    fs::remove_dir_all(server.folder().join("data")).expect("the data");
    fs::create_dir(server.folder().join("data")).expect("a place for the disk");
    if !server.launch_on_a_disk_of(SMALL_DISK) {
        eprintln!("no mount namespace here: left out");
        return None;
    }
    server.await_answer();
    until("room is kept for a start", || server.reserve() == RESERVE);
    Some(Stage::around(
        server,
        sockets,
        "f",
        HELD,
        CHURN as usize * 10,
        FRAME,
    ))
}

#[test]
fn a_slow_disk_stops_no_call() {
    let (mut server, sockets) = stopped();
    server.launch_on_a_slow_disk();
    let mut stage = Stage::around(server, sockets, "s", HELD, CHURN as usize * 10, FRAME);
    let mut chance = Chance::from_number(9);
    let held = stage.establish(&stage.held, Fate::Held);
    make_calls(&stage, &mut chance);
    stage.hold_and_resume(&held[..4], Side::Callee);
    stage.kill_and_start(|_| ());
    stage.until_heard(stage.audio.kills()[0].killed);
    let longest = stage.audio.gaps().iter().map(|gap| gap.ns).max().unwrap_or(0);
    println!("the longest silence: {} ms", longest / 1_000_000);
    stage.until_ready();
    make_calls(&stage, &mut chance);
    stage.end(&held);
    stage.settles();
}
