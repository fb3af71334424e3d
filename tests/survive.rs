//! Established calls survive `kill -9`: a real server with calls that talk, under a churn of other calls and a storm
//! of binds, is killed at random moments and started again. Nobody who talked is cut off, everybody hears the one he
//! talks to and nobody else, every attempt has one true record, and no port and no acknowledged binding is lost.
//! How long the pauses were is written down, and drawn. `tests/survive/run` does it in full size.

#[path = "support/batch.rs"]
mod batch;
#[path = "support/server.rs"]
mod server;
#[path = "support/storm.rs"]
mod storm;

#[path = "survive/audio.rs"]
mod audio;
#[path = "survive/disk.rs"]
mod disk;
#[path = "survive/gaps.rs"]
mod gaps;
#[path = "survive/leg.rs"]
mod leg;
#[path = "survive/message.rs"]
mod message;
#[path = "survive/pending.rs"]
mod pending;
#[path = "survive/phones.rs"]
mod phones;
#[path = "survive/stage.rs"]
mod stage;
#[path = "survive/verdict.rs"]
mod verdict;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use umbra::base::chance::Chance;

use gaps::Pauses;
use leg::Side;
use phones::{Fate, Pair};
use server::PATIENCE;
use stage::{Stage, churn};
use storm::{Stoppable, Stories, WRITERS, XS_OF_STORM, compare, write_bindings};

/// How much longer or shorter something may take while servers die.
const SLACK: Duration = Duration::from_secs(5);

/// How large a campaign is: `UMBRA_SURVIVE` may say otherwise, as in `calls=1000 churn=100 rounds=20`.
struct Size {
    /// Calls that are held.
    calls: usize,
    /// Short calls a second.
    churn: u32,
    /// How often the server is killed.
    rounds: usize,
    /// Milliseconds between two packets of a phone.
    frame: u64,
    seed: u64,
}

impl Size {
    fn read() -> Self {
        let mut size = Self {
            calls: 60,
            churn: 20,
            rounds: 3,
            frame: 20,
            seed: 2_026,
        };
        let text = std::env::var("UMBRA_SURVIVE").unwrap_or_default();
        for word in text.split_whitespace() {
            let (name, value) = word.split_once('=').expect("name=number");
            let value: u64 = value.parse().expect("name=number");
            match name {
                "calls" => size.calls = value as usize,
                "churn" => size.churn = value as u32,
                "rounds" => size.rounds = value as usize,
                "frame" => size.frame = value,
                "seed" => size.seed = value,
                strange => panic!("UMBRA_SURVIVE knows no {strange}"),
            }
        }
        size
    }

    /// Calls for which there are ports: those held, and those of the churn while their ports rest. Ports are had by
    /// the thousand, four a call.
    fn capacity(&self) -> usize {
        (self.calls + self.churn as usize * 10).next_multiple_of(250)
    }

    /// Pairs for the churn: a call of it may take a while, and at the end every port has one.
    fn pairs(&self) -> usize {
        (self.churn as usize * 20).max(self.capacity() - self.calls)
    }

    /// Whether it takes longer than the shortest maximum duration of a call.
    fn is_long(&self) -> bool {
        self.rounds >= 20
    }

    fn title(&self) -> String {
        format!(
            "{} calls, {} ms frames, {} new calls a second, {} kills, seed {}",
            self.calls, self.frame, self.churn, self.rounds, self.seed
        )
    }
}

#[test]
fn established_calls_survive_kill_9_at_any_moment_under_churn() {
    let size = Size::read();
    println!("{}", size.title());
    let frame = Duration::from_millis(size.frame);
    let mut stage = Stage::new("c", size.calls, size.pairs(), size.capacity() as u16, frame);
    for writer in 0..WRITERS {
        stage.server.done(&format!("number add {}", XS_OF_STORM + writer));
    }
    let mut chance = Chance::from_number(size.seed);
    let mut held = stage.establish(&stage.held, Fate::Held);
    let clocks = size.is_long().then(|| Clocks::start(&stage));
    let churning = Stoppable::start({
        let (phones, pairs, mut chance) = (stage.phones.clone(), stage.brief.clone(), chance.fork());
        move |stop| churn(&phones, &pairs, size.churn, &mut chance, stop)
    });
    let stories = Arc::new(Mutex::new(BTreeMap::new()));
    let mut caught = 0;
    for round in 0..size.rounds {
        caught += kill_at_some_moment(round, &mut stage, &stories, &mut chance);
        stage.until_heard(stage.audio.kills().last().expect("one at least").killed);
        stage.until_ready();
        compare(&stage.server, &mut stories.lock().expect("whole"));
        // Some go on in another way; some end, and others talk in their place.
        let turn = round * 4 % (size.calls - 3);
        stage.hold_and_resume(&held[turn..turn + 2], Side::BOTH[round % 2]);
        let ended = turn + 2..turn + 4;
        stage.end(&held[ended.clone()]);
        let others = stage.establish(&stage.held[ended.clone()], Fate::Held);
        held[ended].copy_from_slice(&others);
        stage.blames_nobody();
        stage.refuses_nobody_for_ports();
    }
    stage.until_heard(audio::now());
    let pauses = Pauses::of(&stage.audio.gaps(), &stage.audio.kills());
    report(&size, &stage, &pauses);
    let sum = stage.audio.sum();
    // On a busy machine some are lost without anybody's fault.
    assert!(
        sum.lost * 50 <= sum.packets,
        "{} of {} packets were lost outside the gaps",
        sum.lost,
        sum.packets
    );
    drop(churning);
    stage.until_brief_are_over();
    assert!(caught > 0 || size.rounds == 0, "no kill found a call ringing");
    if let Some(clocks) = clocks {
        clocks.have_run(&stage);
    }
    stage.end(&held);
    stage.fills_every_port(size.capacity());
    stage.settles();
}

/// Calls that a clock of the server's ends or refreshes, whichever process has them then.
struct Clocks {
    limited: usize,
    refreshed: usize,
}

/// The shortest maximum duration that there is.
const DURATION: Duration = Duration::from_secs(60);
/// A session that the server refreshes, every 45 s (RFC 4028 §7.2).
const SESSION: &str =
    "Supported: timer\r\nAllow: INVITE, ACK, BYE, CANCEL, UPDATE\r\nSession-Expires: 90;refresher=uas\r\n";

impl Clocks {
    fn start(stage: &Stage) -> Self {
        let bind = |n: u32, terms: &str| {
            let x = XS_OF_STORM + u64::from(WRITERS as u32);
            let (a, b) = (format!("1370000000{n}"), format!("1360000000{n}"));
            stage
                .server
                .done(&format!("bind axb --x {x} --a {a} --b {b} {terms}"));
            Pair {
                a,
                b,
                x: x.to_string(),
            }
        };
        stage
            .server
            .done(&format!("number add {}", XS_OF_STORM + WRITERS));
        let limited = bind(1, "--max-duration 1m");
        let refreshed = bind(2, "");
        let limited = stage.establish(&[limited], Fate::Held)[0];
        let refreshed = stage.phones.book().place_with(&refreshed, Fate::Held, SESSION);
        Self { limited, refreshed }
    }

    /// The one ended when its time was over, the other was refreshed by the last process.
    fn have_run(&self, stage: &Stage) {
        stage.until_over(&[self.limited]);
        let logs = stage.logs(self.limited);
        for log in &logs {
            assert!(log.was_hung_up && !log.hung_up, "the server ends it: {logs:?}");
            let (answered, ended) = (log.answered.expect("answered"), log.ended.expect("over"));
            let talked = ended.duration_since(answered).expect("in this order");
            assert!(
                talked > DURATION - SLACK && talked < DURATION + SLACK,
                "a call of a minute took {talked:?}"
            );
        }
        println!("the call that may take a minute was ended by the server");
        stage.until_so("the session is refreshed", PATIENCE * 4, || {
            stage.logs(self.refreshed)[0].refreshed > 0
        });
        println!("the session was refreshed by the server");
        stage.end(&[self.refreshed]);
    }
}

/// Kills the server in a storm of binds, and now and then the next one too while it is starting. Returns how many
/// calls were ringing.
fn kill_at_some_moment(
    round: usize,
    stage: &mut Stage,
    stories: &Arc<Stories>,
    chance: &mut Chance,
) -> usize {
    let control = stage.server.data().join("control.sock");
    let storm: Vec<Stoppable> = (0..WRITERS)
        .map(|writer| {
            let (control, stories) = (control.clone(), stories.clone());
            Stoppable::start(move |stop| write_bindings(round as u64, writer, &control, &stories, stop))
        })
        .collect();
    let after = Duration::from_micros(u64::from(300_000 + chance.below(1_500_000)));
    thread::sleep(after);
    let ringing = stage.ringing();
    stage.kill_and_start(|_| ());
    println!(
        "round {}: killed after {after:?}, with {ringing} calls ringing",
        round + 1
    );
    drop(storm);
    if chance.below(4) == 0 {
        let after = Duration::from_micros(u64::from(chance.below(500_000)));
        thread::sleep(after);
        stage.kill_and_start(|_| ());
        println!("  and again {after:?} after its start");
    }
    ringing
}

/// Prints the pauses, and writes them and their picture to the target folder.
fn report(size: &Size, stage: &Stage, pauses: &Pauses) {
    let sum = stage.audio.sum();
    let made = stage.phones.book().calls.len();
    let gaps = stage.audio.gaps();
    let longest = gaps.iter().max_by_key(|gap| gap.ns).map_or(String::new(), |gap| {
        format!(
            "the longest: call {}, heard by the {:?}, kill {}\n",
            gap.call,
            gap.side,
            gap.round + 1
        )
    });
    let text = format!(
        "{}\n{}{longest}{made} calls in all; {} packets heard, {} lost outside the gaps; the phones were {:.0} ms late at the most\n",
        size.title(),
        pauses.text(),
        sum.packets,
        sum.lost,
        sum.late_ns as f64 / 1e6,
    );
    print!("{text}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("survive");
    fs::create_dir_all(&folder).expect("the target folder can be written");
    fs::write(folder.join("gaps.txt"), text).expect("our own folder");
    fs::write(folder.join("gaps.svg"), pauses.picture(&size.title())).expect("our own folder");
    println!("written to {}", folder.display());
}
