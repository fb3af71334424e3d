//! A real server records calls: what each side says lies in its channel at its time, a killed server goes on with the
//! same files, and nobody who may not be recorded is.

#[path = "support/server.rs"]
mod server;
#[path = "support/talk.rs"]
mod talk;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use umbra::base::time::Wall;
use umbra::records::audit::{Audit, Verdict as Noted};
use umbra::records::recordings::index::{Entry, Index, State};
use umbra::records::recordings::read::Reader;
use umbra::records::recordings::seal::Keys;
use umbra::records::recordings::verify::{Verdict, verify};
use umbra::rtp::g711::Law;
use umbra::rtp::wav;

use server::{A, B, Server, X, until};
use talk::{Callee, Talk, Words};

/// Samples a second.
const RATE: usize = 8_000;
/// What a side says has so many samples, and then begins again.
const CYCLE: usize = 4 * RATE;
/// Samples that are looked for at once.
const WINDOW: usize = RATE / 2;
/// How far anything may be from where it belongs: 20 ms.
const ASTRAY: i64 = RATE as i64 / 50;
/// A number of class 95.
const CLASS_95: &str = "95588";

/// A server whose calls through X are recorded.
fn recording(callee: &Callee) -> Server {
    let mut server = Server::with_a_pair(callee.address());
    server.done(&format!("unbind --x {X}"));
    server.done(&format!("bind axb --x {X} --a {A} --b {B} --record"));
    server.bind(CLASS_95, A, B, "--record");
    server.stop();
    let conf = server.folder().join("umbra.toml");
    let text = fs::read_to_string(&conf).expect("its conf");
    fs::write(&conf, format!("{text}[recordings]\nenabled = true\n")).expect("there is room");
    server.start_again();
    server
}

/// Each moment of it is another one: a tone that wanders between two pitches, the louder the higher.
fn words(low: f64, high: f64) -> Vec<i16> {
    let mut phase = 0.0_f64;
    (0..CYCLE)
        .map(|n| {
            let way = n as f64 / CYCLE as f64;
            let pitch = low + (high - low) * way;
            phase += std::f64::consts::TAU * pitch / RATE as f64;
            (phase.sin() * (3_000.0 + 5_000.0 * way)) as i16
        })
        .collect()
}

fn said() -> [Vec<i16>; 2] {
    [words(200.0, 700.0), words(1_100.0, 500.0)]
}

fn spoken() -> [Words; 2] {
    said().map(|samples| samples.iter().map(|sample| Law::A.encode(*sample)).collect())
}

/// How alike two stretches are: 1 is the same but for loudness.
fn correlation(a: &[i16], b: &[i16]) -> f64 {
    let dot =
        |a: &[i16], b: &[i16]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let all = (dot(a, a) * dot(b, b)).sqrt();
    if all == 0.0 { 0.0 } else { dot(a, b) / all }
}

/// Where a stretch lies in what was said, and how like it is.
fn found(heard: &[i16], said: &[i16]) -> (usize, f64) {
    let twice = [said, said].concat();
    // First roughly, by few of its samples.
    let few = |samples: &[i16]| -> Vec<i16> { samples.iter().step_by(7).copied().collect() };
    let rough = few(heard);
    let best = (0..CYCLE)
        .map(|at| (at, correlation(&rough, &few(&twice[at..at + heard.len()]))))
        .max_by(|one, other| one.1.total_cmp(&other.1))
        .expect("there are some");
    (best.0, correlation(heard, &twice[best.0..best.0 + heard.len()]))
}

struct Recorded {
    entry: Entry,
    verdict: Verdict,
    channels: [Vec<i16>; 2],
}

impl Recorded {
    fn call(&self) -> String {
        let known = self
            .entry
            .known
            .as_ref()
            .expect("its chain says which call it is of");
        known.call.to_string()
    }

    /// How far a channel is from where it belongs at that second, in samples, by when its side began to speak; and how like
    /// it is to what was said.
    fn astray(&self, channel: usize, second: usize, began: SystemTime) -> (i64, f64) {
        let from = second * RATE;
        let heard = &self.channels[channel][from..from + WINDOW];
        let (at, alike) = found(heard, &said()[channel]);
        let since = began.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let late = since.as_millis() as i64 - self.entry.began.as_millis();
        let belongs = from as i64 - late * RATE as i64 / 1_000;
        let astray = (at as i64 - belongs).rem_euclid(CYCLE as i64);
        (astray.min(CYCLE as i64 - astray), alike)
    }
}

fn dir(server: &Server) -> PathBuf {
    server.data().join("recordings")
}

/// All recordings that are whole, once there are so many; by the order in which they began.
fn all(server: &Server, count: usize) -> Vec<Recorded> {
    let scan = || Index::scan(&dir(server)).expect("it can be read").0;
    let entries = |index: &Index| -> Vec<Entry> {
        let mut page: Vec<Entry> = index
            .page(&Default::default(), None, 100)
            .into_iter()
            .cloned()
            .collect();
        page.sort_by_key(|entry| (entry.began, entry.recording));
        page
    };
    until("the recordings are whole", || {
        let entries = entries(&scan());
        entries.len() == count && entries.iter().all(|entry| entry.state == State::Whole)
    });
    let index = scan();
    entries(&index)
        .into_iter()
        .map(|entry| {
            let place = index.place(&entry);
            let mut reader = Reader::open(&place, &Keys::default()).expect("it can be opened");
            let mut bytes = vec![0; reader.bytes() as usize];
            reader.read_at(0, &mut bytes).expect("it can be read");
            let wav = wav::read(&bytes).expect("a WAV file");
            assert_eq!((wav.rate_hz, wav.channels), (8_000, 2));
            let channel = |at: usize| {
                let frames = wav.data().chunks_exact(4);
                frames
                    .map(|frame| i16::from_le_bytes([frame[at], frame[at + 1]]))
                    .collect()
            };
            Recorded {
                verdict: verify(&place, &Keys::default(), None).expect("it can be read"),
                channels: [channel(0), channel(2)],
                entry,
            }
        })
        .collect()
}

fn gaps(verdict: &Verdict) -> u64 {
    match verdict {
        Verdict::Whole { gaps, .. } => *gaps,
        other => panic!("{other:?}"),
    }
}

/// Waits until the audit log, which is whole, has the end that a recording has.
fn is_noted(server: &Server, recorded: &Recorded) {
    let Verdict::Whole { sha256, .. } = &recorded.verdict else {
        panic!("{:?}", recorded.verdict);
    };
    let audit = server.data().join("audit");
    let id = recorded.entry.recording;
    let (act, end) = (
        format!("\"act\":\"kept\",\"recording\":\"{id}\""),
        sha256.to_string(),
    );
    until("its end is noted", || {
        let files = fs::read_dir(&audit).expect("the audit log's folder");
        let paths = files.map(|file| file.expect("a file").path());
        let logs = paths.filter(|path| path.extension().is_some_and(|end| end == "jsonl"));
        let texts: Vec<String> = logs.map(|log| fs::read_to_string(log).expect("text")).collect();
        let mut lines = texts.iter().flat_map(|text| text.lines());
        lines.any(|line| line.contains(&act) && line.contains(&end))
    });
    let noted = Audit::verify(&audit, None).expect("it can be read");
    assert!(matches!(noted, Noted::Whole { .. }), "{noted}");
}

/// Waits until a call has been talking for so long.
fn talks_for(talk: &Talk, time: Duration) {
    let [a, _] = talk.began();
    until("they have talked long enough", || {
        a.elapsed().is_ok_and(|elapsed| elapsed >= time)
    });
}

#[test]
fn each_side_is_in_its_channel_at_the_time_at_which_it_was_heard() {
    let callee = Callee::new();
    let server = recording(&callee);
    let talk = Talk::saying(server.sip, callee, 1, X, spoken());
    let began = talk.began();
    talks_for(&talk, Duration::from_secs(6));
    talk.end();
    let record = server.settled(1).remove(0);
    let recorded = all(&server, 1).remove(0);
    assert_eq!(record["recording"]["state"], "kept", "{record}");
    assert_eq!(
        record["recording"]["id"],
        Value::from(recorded.entry.recording.to_string())
    );
    assert_eq!(record["call_id"], recorded.call());
    gaps(&recorded.verdict);
    is_noted(&server, &recorded);
    let length = recorded.channels[0].len();
    assert!(length >= 6 * RATE, "{length} samples");
    for channel in [0, 1] {
        for second in [1, 3, 5] {
            let (astray, alike) = recorded.astray(channel, second, began[channel]);
            assert!(
                alike >= 0.99 && astray <= ASTRAY,
                "channel {channel}, second {second}: correlation {alike:.4}, {astray} samples astray"
            );
        }
    }
}

#[test]
fn a_killed_server_goes_on_with_its_recordings_in_the_same_files() {
    const CALLS: u32 = 4;
    let callee = Callee::new();
    let gateway = callee.address();
    let mut server = recording(&callee);
    let mut callee = Some(callee);
    let talks: Vec<Talk> = (0..CALLS)
        .map(|n| {
            // All of them ring at one place, one after the other.
            let phone = callee.take().expect("it is there");
            let next = phone.another();
            callee = Some(next);
            Talk::saying(server.sip, phone, n, X, spoken())
        })
        .collect();
    assert_eq!(callee.map(|callee| callee.address()), Some(gateway));
    talks_for(&talks[3], Duration::from_secs(4));
    server.kill();
    server.start_again();
    let again = SystemTime::now();
    talks.iter().for_each(Talk::both_hear);
    until("they have talked on", || {
        again
            .elapsed()
            .is_ok_and(|elapsed| elapsed >= Duration::from_secs(3))
    });
    let began: Vec<_> = talks.iter().map(Talk::began).collect();
    talks.into_iter().for_each(Talk::end);
    let records = server.settled(CALLS as usize);
    let restarted = Wall::from_millis(
        again
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("after 1970")
            .as_millis() as i64,
    );
    for (recorded, began) in all(&server, CALLS as usize).iter().zip(began) {
        assert!(gaps(&recorded.verdict) >= 1, "the gap is marked");
        is_noted(&server, recorded);
        let of_call = |record: &&Value| record["call_id"] == recorded.call();
        let record = records.iter().find(of_call).expect("its record");
        assert_eq!(record["recording"]["state"], "gaps", "{record}");
        assert_eq!(record["recording"]["reason"], "restart", "{record}");
        // They are heard after it too.
        let after = restarted.since(recorded.entry.began).as_secs() as usize + 2;
        for channel in [0, 1] {
            let (astray, alike) = recorded.astray(channel, 1, began[channel]);
            assert!(
                alike >= 0.99 && astray <= ASTRAY,
                "channel {channel}: correlation {alike:.4}, {astray} samples astray"
            );
            let heard = &recorded.channels[channel][after * RATE..after * RATE + WINDOW];
            let loud = heard
                .iter()
                .filter(|sample| sample.unsigned_abs() > 1_000)
                .count();
            assert!(loud > WINDOW / 2, "channel {channel}: {loud} samples are heard");
        }
    }
}

#[test]
fn calls_of_a_95_number_are_never_recorded() {
    let callee = Callee::new();
    let server = recording(&callee);
    let talk = Talk::saying(server.sip, callee, 1, CLASS_95, spoken());
    talks_for(&talk, Duration::from_secs(2));
    talk.end();
    let record = server.settled(1).remove(0);
    assert_eq!(record["recording"]["reason"], "class_95", "{record}");
    let (index, scanned) = Index::scan(&dir(&server)).expect("it can be read");
    assert!(index.is_empty() && scanned.unreadable == 0);
}
