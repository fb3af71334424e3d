//! Recordings as a test reads them: what each side says, and where it lies in its channel.
#![allow(dead_code)] // each test binary uses its part

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use umbra::records::audit::{Audit, Verdict as Noted};
use umbra::records::recordings::chain::{Audio, Channel, What};
use umbra::records::recordings::index::{Entry, Index, State};
use umbra::records::recordings::read::Reader;
use umbra::records::recordings::seal::Keys;
use umbra::records::recordings::verify::{Verdict, verify};
use umbra::rtp::g711::Law;
use umbra::rtp::recording::dump;
use umbra::rtp::wav;

use super::server::{A, B, Server, Setup, X, until};
use super::talk::{Callee, Talk, Words};

/// Samples a second.
pub const RATE: usize = 8_000;
/// What a side says has so many samples, and then begins again.
const CYCLE: usize = 4 * RATE;
/// Samples that are looked for at once.
const WINDOW: usize = RATE / 2;
/// How far anything may be from where it belongs: 20 ms.
const ASTRAY: i64 = RATE as i64 / 50;
/// How far around that it is looked for.
const AROUND: i64 = 4 * ASTRAY;
/// What is less loud isn't looked for: the mean of its samples without their signs.
const QUIET: u64 = 300;
/// It is looked for by one sample of so many, and compared by all.
const FEW: usize = 16;
/// How like what was said what is found has to be.
const ALIKE: f64 = 0.99;

/// A server for so many calls, whose calls through X are recorded.
pub fn recording(callee: &Callee, calls: u16) -> Server {
    let mut server = Server::start(&Setup {
        gateway: callee.address(),
        media_nat: "strict",
        log: "info",
        calls,
        also: Vec::new(),
    });
    server.bind(X, A, B, "--record");
    server.stop();
    server.add_to_conf("[recordings]\nenabled = true\n");
    server
}

/// Where its recordings lie.
pub fn dir(server: &Server) -> PathBuf {
    server.data().join("recordings")
}

/// What each of the two sides says, over and over.
pub struct Said([Vec<i16>; 2]);

impl Said {
    /// Tones that wander between two pitches, the louder the higher: each moment is another one.
    pub fn tones() -> Self {
        Self([words(200.0, 700.0), words(1_100.0, 500.0)])
    }

    /// Speech: the beginnings of two prompts that ship.
    pub fn speech() -> Self {
        Self(["unidentified", "rejected"].map(|name| {
            let prompt = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("conf/prompts/en/{name}.wav"));
            let file = std::fs::read(prompt).expect("it ships");
            let samples: Vec<i16> = wav::read(&file)
                .expect("a WAV file")
                .samples()
                .take(CYCLE)
                .collect();
            assert_eq!(samples.len(), CYCLE, "it is long enough");
            samples
        }))
    }

    /// The same in A-law.
    pub fn spoken(&self) -> [Words; 2] {
        self.0
            .each_ref()
            .map(|samples| samples.iter().map(|sample| Law::A.encode(*sample)).collect())
    }
}

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

/// How alike two stretches are: 1 is the same but for loudness.
fn correlation(a: &[i16], b: &[i16]) -> f64 {
    let dot =
        |a: &[i16], b: &[i16]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let all = (dot(a, a) * dot(b, b)).sqrt();
    if all == 0.0 { 0.0 } else { dot(a, b) / all }
}

/// A recording that was read.
pub struct Recorded {
    pub entry: Entry,
    pub verdict: Verdict,
    pub channels: [Vec<i16>; 2],
}

impl Recorded {
    /// Reads one, whole or not.
    fn read(entry: Entry) -> Self {
        let place = entry.place();
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
        Self {
            verdict: verify(&place, &Keys::default(), None).expect("it can be read"),
            channels: [channel(0), channel(2)],
            entry,
        }
    }

    pub fn call(&self) -> String {
        let known = self
            .entry
            .known
            .as_ref()
            .expect("its chain says which call it is of");
        known.call.to_string()
    }

    /// How many gaps are marked; it is whole.
    pub fn gaps(&self) -> u64 {
        match &self.verdict {
            Verdict::Whole { gaps, .. } => *gaps,
            other => panic!("{other:?}"),
        }
    }

    /// Whole seconds that it has.
    pub fn seconds(&self) -> usize {
        self.channels[0].len() / RATE
    }

    /// At which second of it that moment is; the next whole one.
    pub fn second_after(&self, moment: SystemTime) -> usize {
        (self.ms(moment) + 999).max(0) as usize / 1_000
    }

    /// How many milliseconds after its begin that moment was.
    pub fn ms(&self, moment: SystemTime) -> i64 {
        let since = moment.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        since.as_millis() as i64 - self.entry.began.as_millis()
    }

    /// What a side said lies at that second where it belongs, by when it began to speak. `false`: it said next to nothing then.
    #[track_caller]
    fn lies_right(&self, said: &Said, channel: usize, second: usize, began: SystemTime) -> bool {
        let from = second * RATE;
        let heard = &self.channels[channel][from..from + WINDOW];
        let belongs = from as i64 - self.ms(began) * RATE as i64 / 1_000;
        // What it said around then.
        let first = (belongs - AROUND).rem_euclid(CYCLE as i64) as usize;
        let said = said.0[channel].iter().cycle().skip(first).copied();
        let said: Vec<i16> = said.take(WINDOW + 2 * AROUND as usize).collect();
        let at = |astray: i64| &said[(astray + AROUND) as usize..][..WINDOW];
        let loud: u64 = at(0).iter().map(|sample| u64::from(sample.unsigned_abs())).sum();
        if loud < QUIET * WINDOW as u64 {
            return false;
        }
        // First roughly, by few of its samples.
        let few = |samples: &[i16]| -> Vec<i16> { samples.iter().step_by(FEW).copied().collect() };
        let rough = few(heard);
        let best = (-AROUND..=AROUND)
            .map(|astray| (astray, correlation(&rough, &few(at(astray)))))
            .max_by(|one, other| one.1.total_cmp(&other.1))
            .expect("there are some")
            .0;
        let alike = correlation(heard, at(best));
        assert!(
            alike >= ALIKE && best.abs() <= ASTRAY,
            "channel {channel}, second {second}: correlation {alike:.4}, {best} samples astray"
        );
        true
    }

    /// So it is in both channels at these seconds; their sides began to speak then.
    #[track_caller]
    pub fn both_lie_right(
        &self,
        said: &Said,
        seconds: impl Iterator<Item = usize> + Clone,
        began: [SystemTime; 2],
    ) {
        for (channel, began) in began.into_iter().enumerate() {
            let judged = seconds.clone();
            let judged = judged.filter(|second| self.lies_right(said, channel, *second, began));
            assert!(judged.count() > 0, "something is said in these seconds");
        }
    }
}

/// Waits until the audit log, which is whole, has the end that a recording has.
pub fn is_noted(server: &Server, recorded: &Recorded) {
    has_end(server, &recorded.entry, &recorded.verdict);
}

/// The same of any.
pub fn has_end(server: &Server, entry: &Entry, verdict: &Verdict) {
    let Verdict::Whole { sha256, .. } = verdict else {
        panic!("{verdict:?}");
    };
    let audit = server.data().join("audit");
    let act = format!("\"act\":\"kept\",\"recording\":\"{}\"", entry.recording);
    let end = sha256.to_string();
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

fn entries(index: &Index) -> Vec<Entry> {
    let all = Default::default();
    let page = index.page(&all, None, 1_000).into_iter();
    let mut entries: Vec<Entry> = page.cloned().collect();
    entries.sort_by_key(|entry| (entry.began, entry.recording));
    entries
}

/// All recordings there, as they are at this moment; by the order in which they began.
pub fn present(dir: &Path) -> Vec<Recorded> {
    let (index, scanned) = Index::scan(dir).expect("it can be read");
    assert_eq!(scanned.unreadable, 0, "{:?}", scanned.said);
    entries(&index).into_iter().map(Recorded::read).collect()
}

/// All recordings that are whole, once there are so many.
pub fn all(dir: &Path, count: usize) -> Vec<Recorded> {
    until("the recordings are whole", || {
        let entries = entries(&Index::scan(dir).expect("it can be read").0);
        entries.len() == count && entries.iter().all(|entry| entry.state == State::Whole)
    });
    present(dir)
}

/// The one recording that is a WAV file, and what lies beside it, once both are whole.
pub fn with_beside(dir: &Path) -> (Recorded, Beside) {
    let mut both = Vec::new();
    until("the recordings are whole", || {
        both = entries(&Index::scan(dir).expect("it can be read").0);
        both.len() == 2 && both.iter().all(|entry| entry.state == State::Whole)
    });
    let is_wav = |entry: &Entry| {
        entry
            .known
            .as_ref()
            .is_some_and(|known| known.audio == Audio::Wav)
    };
    both.sort_by_key(|entry| !is_wav(entry));
    let [first, beside] = <[Entry; 2]>::try_from(both).expect("two");
    (Recorded::read(first), Beside::read(beside))
}

/// A dump that was read.
pub struct Beside {
    pub entry: Entry,
    pub verdict: Verdict,
    /// Milliseconds.
    pub length: u64,
    /// The packets of the caller and of the callee, and at which millisecond each was heard.
    pub packets: [Vec<(u32, Vec<u8>)>; 2],
}

impl Beside {
    fn read(entry: Entry) -> Self {
        let place = entry.place();
        let mut reader = Reader::open(&place, &Keys::default()).expect("it can be opened");
        let mut bytes = vec![0; reader.bytes() as usize];
        reader.read_at(0, &mut bytes).expect("it can be read");
        let packets = dump::packets(&bytes).expect("a dump");
        let packets: Vec<(u32, Vec<u8>)> = packets.map(|(ms, bytes)| (ms, bytes.to_vec())).collect();
        let streams: Vec<(Channel, u32)> = reader
            .marks()
            .filter_map(|mark| match mark.what {
                What::Stream { channel, ssrc, .. } => Some((channel, ssrc)),
                _ => None,
            })
            .collect();
        let of = |channel: Channel| {
            let is_theirs = |(_, bytes): &&(u32, Vec<u8>)| {
                let ssrc = u32::from_be_bytes(bytes[8..12].try_into().expect("RTP"));
                streams.contains(&(channel, ssrc))
            };
            packets.iter().filter(is_theirs).cloned().collect()
        };
        Self {
            packets: [Channel::Caller, Channel::Callee].map(of),
            verdict: verify(&place, &Keys::default(), None).expect("it can be read"),
            length: reader.samples(),
            entry,
        }
    }
}

/// The record of a recording's call.
pub fn record_of<'r>(records: &'r [Value], recorded: &Recorded) -> &'r Value {
    let of_call = |record: &&Value| record["call_id"] == recorded.call();
    records.iter().find(of_call).expect("its record")
}

/// So many calls at once, all of which ring at one place, one after the other.
pub fn talks(server: &Server, callee: Callee, calls: std::ops::Range<u32>, said: &Said) -> Vec<Talk> {
    let mut next = Some(callee);
    calls
        .map(|n| {
            let phone = next.take().expect("it is there");
            next = Some(phone.another());
            Talk::saying(server.sip, phone, n, X, said.spoken())
        })
        .collect()
}

/// Waits until so much time has passed since then.
pub fn passed(since: SystemTime, time: Duration) {
    until("they have talked long enough", || {
        since.elapsed().is_ok_and(|elapsed| elapsed >= time)
    });
}
