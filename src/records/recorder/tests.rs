mod aside;
mod behind;
mod erased;
mod fax;
mod heard;
mod known;
mod noted;
mod opening;
mod sealing;
mod stuck;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crossbeam_channel::Receiver;
use tempfile::TempDir;

use super::jobs::Job;
use super::keeper::Keeper;
use super::*;
use crate::base::id::Id;
use crate::base::time::{Instant, Wall};
use crate::call::recording::{Begin, Fault, Sealed, Sound, TooShort};
use crate::records::archive;
use crate::records::audit::{self, Verdict as Noted};
use crate::records::recordings::Place;
use crate::records::recordings::chain::{Audio, Cipher, Mark, What};
use crate::records::recordings::disk::fault;
use crate::records::recordings::index::{Index, State};
use crate::records::recordings::pen::{self, Pen};
use crate::records::recordings::read::Reader;
use crate::records::recordings::seal::Keys;
use crate::records::recordings::verify::{Verdict, verify};
use crate::rtp::clip::Coding;
use crate::rtp::g711::Law;
use crate::rtp::recording::dump;
use crate::rtp::tap::{Channel, Heard, Producer, Tap, Taps as _, ring};
use crate::rtp::wav;

const ROUND: Duration = Duration::from_millis(20);
const PACKET: usize = 160;

fn noon() -> Wall {
    Wall::from_millis(1_795_255_200_000)
}

fn id(number: u128) -> Id {
    Id::from_bits(number)
}

/// A recorder whose threads are this one, with a clock that is set by hand.
struct Stage {
    shared: Arc<Shared>,
    ear: Ear,
    scribe: Scribe,
    jobs: Receiver<Job>,
    orders: Orders,
    ring: Producer,
    clock: Arc<AtomicU64>,
    /// How many milliseconds the system's clock is ahead of that.
    skew: Arc<AtomicU64>,
    told: Arc<Mutex<Vec<Report>>>,
    rounds: u32,
    /// What it is to do lies there.
    scribe_sleeps: bool,
    /// After how many rounds the ear listens, and in which of these.
    listens: (u32, u32),
    /// The shards have no room for reports.
    is_deaf: Arc<AtomicBool>,
    /// The audit log's disk doesn't answer, and so much is to be done there.
    log_hangs: Arc<AtomicBool>,
    errands: Arc<Mutex<Vec<Errand>>>,
    /// Who speaks, and what is heard of it in each packet.
    speaking: Vec<(Tap, Option<Coding>, [u8; PACKET])>,
}

impl Stage {
    /// So many milliseconds after noon.
    fn at(dir: &Path, ms: u64) -> Self {
        Self::with(dir, ms, Sealing::default())
    }

    /// The same beside another one that hasn't gone yet, and has the audit log.
    fn beside(dir: &Path, ms: u64) -> Self {
        Self::noting_in(dir, ms, Sealing::default(), audit(&dir.join("audit-beside")))
    }

    fn with(dir: &Path, ms: u64, sealing: Sealing) -> Self {
        Self::noting_in(dir, ms, sealing, audit(&dir.join("audit")))
    }

    fn noting_in(dir: &Path, ms: u64, sealing: Sealing, audit: Arc<Audit>) -> Self {
        let clock = Arc::new(AtomicU64::new(ms));
        let skew = Arc::<AtomicU64>::default();
        let told = Arc::new(Mutex::new(Vec::new()));
        let is_deaf = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(Shared {
            settings: Settings {
                config: config(dir),
                node: "one".into(),
                sealing,
                archive: archive(dir, &audit),
                audit,
                clock: Box::new({
                    let (clock, skew) = (clock.clone(), skew.clone());
                    move || {
                        let now = now(clock.load(Ordering::Relaxed));
                        let wall = now.wall.plus(Duration::from_millis(skew.load(Ordering::Relaxed)));
                        Now { wall, ..now }
                    }
                }),
                system: Box::new({
                    let (clock, skew) = (clock.clone(), skew.clone());
                    move || {
                        let ms = clock.load(Ordering::Relaxed) + skew.load(Ordering::Relaxed);
                        now(ms).wall
                    }
                }),
                tell: Box::new({
                    let (told, is_deaf) = (told.clone(), is_deaf.clone());
                    move |_, report| {
                        let hears = !is_deaf.load(Ordering::Relaxed);
                        hears.then(|| told.lock().unwrap().push(report)).is_some()
                    }
                }),
            },
            status: Status::default(),
            unsaid: Mutex::default(),
            leaves: AtomicBool::new(false),
            terms: OnceLock::from(Box::new(Vec::new) as KeepingOf),
        });
        let (orders, inbox) = orders::orders(RECORDING_ORDERS_MAX);
        let (sender, jobs) = crossbeam_channel::unbounded();
        let (news, tidings) = crossbeam_channel::unbounded();
        let (producer, consumer) = ring(1 << 20);
        let log_hangs = Arc::new(AtomicBool::new(false));
        let errands = Arc::<Mutex<Vec<Errand>>>::default();
        let messenger = {
            let (log_hangs, errands) = (log_hangs.clone(), errands.clone());
            move |errand: Errand| match log_hangs.load(Ordering::Relaxed) {
                true => errands.lock().unwrap().push(errand),
                false => errand(),
            }
        };
        let mut scribe = Scribe::new(shared.clone(), news, Box::new(messenger));
        // What is answered is answered before anybody waits.
        scribe.desk.patience = Duration::ZERO;
        Self {
            ear: Ear::new(shared.clone(), vec![consumer], inbox, sender, tidings),
            scribe,
            shared,
            jobs,
            orders,
            ring: producer,
            clock,
            skew,
            told,
            rounds: 0,
            scribe_sleeps: false,
            listens: (1, 0),
            is_deaf,
            log_hangs,
            errands,
            speaking: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        self.shared.now()
    }

    fn order(&self, order: Order) {
        let (shard, now) = (0, self.now());
        self.orders
            .give(Ordered { shard, now, order })
            .expect("there is room");
    }

    fn begin(&self, number: u128, sounds: Sound) -> Box<Begin> {
        let now = self.now();
        Box::new(Begin {
            recording: id(number),
            call_id: id(number),
            binding_id: None,
            account: "acme".into(),
            at_least_days: None,
            began: now.wall,
            at: now.at,
            lasted: Duration::ZERO,
            sounds,
        })
    }

    /// From now on both sides of it say one value each, the caller 1000 and the callee -2000, as near as A-law has it.
    fn speaks(&mut self, number: u128) {
        for (channel, value) in [(Channel::Caller, 1_000), (Channel::Callee, -2_000)] {
            let recording = id(number);
            let tap = Tap { recording, channel };
            let coded = Law::A.encode(value);
            self.speaking.push((tap, Some(Coding::A), [coded; PACKET]));
        }
    }

    fn scribes(&mut self) {
        while let Ok(job) = self.jobs.try_recv() {
            self.scribe.take(job);
        }
        self.scribe.settle();
        self.scribe.desk.rest();
    }

    /// What is said in one round comes.
    fn say(&mut self) {
        self.rounds += 1;
        let at = self.now().at;
        for voice in &self.speaking {
            self.ring.hear(&heard(voice, at, self.rounds));
        }
        self.clock.fetch_add(ROUND.as_millis() as u64, Ordering::Relaxed);
    }

    /// So much time goes by.
    fn run(&mut self, time: Duration) {
        for _ in 0..time.as_millis() / ROUND.as_millis() {
            self.say();
            let (each, first) = self.listens;
            if self.rounds % each == first {
                self.ear.round(self.shared.now());
            }
            if !self.scribe_sleeps {
                self.scribes();
            }
            if self.rounds.is_multiple_of(50) {
                self.scribe.turn();
            }
        }
    }

    /// A call that is recorded, for so long.
    fn call(&mut self, number: u128, time: Duration) {
        self.order(Order::Begin(self.begin(number, Sound::Narrow)));
        self.speaks(number);
        self.run(time);
        self.order(Order::End(id(number), self.now().at));
        self.run(ROUND);
    }

    /// What was reported since the last time, but for seals.
    fn told(&self) -> Vec<Report> {
        let told = std::mem::take(&mut *self.told.lock().unwrap()).into_iter();
        told.filter(|report| !matches!(report, Report::Sealed { .. }))
            .collect()
    }

    /// With what recordings are sealed, as that was reported; since what was reported was asked for last.
    fn seals(&self) -> Vec<(Id, Sealed)> {
        let told = self.told.lock().unwrap();
        let seals = told.iter().filter_map(|report| match report {
            Report::Sealed { recording, with } => Some((*recording, *with)),
            Report::Gap { .. } | Report::Lost { .. } | Report::Waits { .. } | Report::Written { .. } => None,
        });
        seals.collect()
    }

    /// What its call says when it is too short: less than a second.
    fn short(&self, number: u128) -> Order {
        Order::Drop(TooShort {
            recording: id(number),
            began: noon(),
            shortest: seconds(1),
        })
    }

    fn place(&self, number: u128) -> Place {
        Place::of(&self.shared.settings.config.dir, id(number), noon())
    }
}

/// A packet of one who speaks.
fn heard(
    (tap, coding, payload): &(Tap, Option<Coding>, [u8; PACKET]),
    at: Instant,
    number: u32,
) -> Heard<'_> {
    Heard {
        tap: *tap,
        at,
        ssrc: 7,
        seq: number as u16,
        timestamp: number * PACKET as u32,
        clock_hz: 8_000,
        payload_type: 8,
        coding: *coding,
        is_event: false,
        is_back: false,
        marker: false,
        payload,
    }
}

fn config(dir: &Path) -> Config {
    Config {
        dir: dir.to_owned(),
        keep_days: 30,
        at_least_days: 0,
        keep_free: KeepFree::Usual,
        keys: None,
        key: None,
        audit_dir: dir.join("audit"),
        audit_keep_days: None,
    }
}

/// What knows of the recordings in a folder.
fn archive(dir: &Path, audit: &Arc<Audit>) -> Arc<Archive> {
    Arc::new(Archive::new(archive::Settings {
        config: config(dir),
        keys: Keys::default(),
        cdr_dir: dir.join("cdr"),
        link_secret: dir.join("links.key"),
        audit: audit.clone(),
    }))
}

/// The log beside the recordings. A child that another test starts just now has a copy of its lock, until it is another program.
fn audit(dir: &Path) -> Arc<Audit> {
    loop {
        match Audit::open(dir, "one") {
            Err(audit::Error::Taken(_)) => std::thread::yield_now(),
            opened => return Arc::new(opened.expect("a log")),
        }
    }
}

fn now(ms: u64) -> Now {
    Now {
        at: Instant::from_micros(77_000_000 + ms * 1_000),
        wall: noon().plus(Duration::from_millis(ms)),
    }
}

fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// What another program writes.
fn written(dir: &Path, number: u128, began: Wall) -> Pen {
    let begin = pen::Begin {
        recording: id(number),
        call: id(number),
        binding: None,
        account: "acme".into(),
        node: "one".into(),
        began,
        audio: Audio::Wav,
        rate_hz: 8_000,
        key: None,
        at_least_days: None,
    };
    Pen::begin(dir, &begin).expect("a new recording")
}

/// Left and right samples, and the marks.
fn read(place: &Place) -> (Vec<[i16; 2]>, Vec<Mark>) {
    let mut reader = Reader::open(place, &Keys::default()).expect("it can be opened");
    let marks = reader.marks().copied().collect();
    let mut bytes = vec![0; reader.bytes() as usize];
    reader.read_at(0, &mut bytes).expect("it can be read");
    let wav = wav::read(&bytes).expect("a WAV file");
    let frames = wav.data().chunks_exact(4);
    let frame = |b: &[u8]| [i16::from_le_bytes([b[0], b[1]]), i16::from_le_bytes([b[2], b[3]])];
    (frames.map(frame).collect(), marks)
}

fn is_whole(place: &Place) -> Option<u64> {
    match verify(place, &Keys::default(), None).expect("it can be read") {
        Verdict::Whole { gaps, .. } => Some(gaps),
        Verdict::Unfinished { .. } | Verdict::Torn { .. } | Verdict::Changed { .. } => None,
    }
}

/// A keeper looks at the folder, at that time.
fn look(keeper: &mut Keeper, stage: &Stage, now: Wall) {
    keeper.look(&stage.shared, now, Some(now));
}

/// How many frames of these both voices are in, the caller's left.
fn both(frames: &[[i16; 2]]) -> usize {
    let is_both = |[left, right]: &&[i16; 2]| (900..1_100).contains(left) && (-2_200..-1_800).contains(right);
    frames.iter().filter(is_both).count()
}

/// At noon a server began a recording, both of whose sides spoke; so much later it was killed.
fn left_by_a_killed_one(dir: &Path, sounds: Sound, later: Duration) -> Box<Begin> {
    let mut stage = Stage::at(dir, 0);
    let begin = stage.begin(1, sounds);
    stage.order(Order::Begin(begin.clone()));
    stage.speaks(1);
    stage.run(later);
    begin
}

#[test]
fn a_call_is_recorded_as_it_was_heard_and_is_whole_when_it_is_over() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(3));
    assert_eq!(stage.shared.status.counts().open, 1);
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    let (frames, marks) = read(&stage.place(1));
    assert_eq!(frames.len(), 24_000);
    assert!(both(&frames) > 23_800, "{}", both(&frames));
    assert_eq!((marks, is_whole(&stage.place(1))), (vec![], Some(0)));
    assert_eq!(stage.told(), []);
    let counts = stage.shared.status.counts();
    assert_eq!(
        (counts.open, counts.waiting_bytes, counts.written_bytes),
        (0, 0, 96_000)
    );
}

#[test]
fn what_is_said_in_a_pause_is_not_kept_and_what_was_said_just_before_is() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(2));
    stage.order(Order::Pause(id(1), stage.now().at));
    stage.run(seconds(1));
    stage.order(Order::Resume(id(1), stage.now().at));
    stage.run(seconds(1));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    let (frames, marks) = read(&stage.place(1));
    assert!(both(&frames[..16_000]) > 15_600, "{}", both(&frames[..16_000]));
    assert_eq!(both(&frames[16_000..24_000]), 0);
    assert!(both(&frames[24_000..]) > 7_600, "{}", both(&frames[24_000..]));
    let whats: Vec<What> = marks.iter().map(|mark| mark.what).collect();
    assert_eq!(whats, [What::Paused, What::Resumed]);
}

#[test]
fn a_recording_of_a_killed_server_goes_on_in_the_same_file_with_the_gap_marked() {
    let dir = folder();
    let begin = left_by_a_killed_one(dir.path(), Sound::Narrow, seconds(4));
    let mut stage = Stage::at(dir.path(), 6_000);
    stage.order(Order::GoOn(begin));
    stage.run(ROUND);
    stage.speaks(1);
    stage.run(seconds(2));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    assert_eq!(is_whole(&stage.place(1)), Some(1));
    let (frames, marks) = read(&stage.place(1));
    assert!((64_000..64_500).contains(&frames.len()), "{}", frames.len());
    assert!(both(&frames[..24_000]) > 23_800);
    assert_eq!(both(&frames[32_000..48_000]), 0);
    assert!(both(&frames[48_000..]) > 15_000, "{}", both(&frames[48_000..]));
    assert!(
        matches!(
            marks[0].what,
            What::Restarted {
                silent_ms: 2_000..=3_500,
                ..
            }
        ),
        "{marks:?}"
    );
}

#[test]
fn a_clock_that_is_set_forward_in_a_call_makes_no_silence_when_the_server_is_killed() {
    const HOUR_MS: u64 = 3_600_000;
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    let begin = stage.begin(1, Sound::Narrow);
    stage.order(Order::Begin(begin.clone()));
    stage.speaks(1);
    stage.run(seconds(2));
    stage.skew.store(HOUR_MS, Ordering::Relaxed);
    stage.run(seconds(2));
    drop(stage);
    let mut stage = Stage::at(dir.path(), 6_000);
    stage.skew.store(HOUR_MS, Ordering::Relaxed);
    stage.order(Order::GoOn(begin));
    stage.speaks(1);
    stage.run(seconds(2));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    let (frames, marks) = read(&stage.place(1));
    assert!((64_000..64_500).contains(&frames.len()), "{}", frames.len());
    assert!(both(&frames[48_000..]) > 15_000, "{}", both(&frames[48_000..]));
    assert!(
        matches!(
            marks[0].what,
            What::Restarted {
                silent_ms: 2_000..=3_500,
                clock_ms: 3_599_900..=3_600_100,
                ..
            }
        ),
        "{marks:?}"
    );
}

#[test]
fn a_server_that_stops_leaves_what_is_not_over_to_the_next_one_with_all_that_was_heard() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    let begin = stage.begin(1, Sound::Narrow);
    stage.order(Order::Begin(begin.clone()));
    stage.speaks(1);
    stage.run(Duration::from_millis(2_500));
    let (now, place) = (stage.now(), stage.place(1));
    let Stage {
        shared,
        ear,
        mut scribe,
        jobs,
        ..
    } = stage;
    ear.leave(now);
    let gone = jobs.try_iter().map(|job| scribe.take(job)).last();
    assert_eq!(gone, Some(false));
    scribe.turn();
    drop((scribe, shared));
    let found = verify(&place, &Keys::default(), None).expect("it can be read");
    assert!(
        matches!(found, Verdict::Unfinished { samples: 20_000, .. }),
        "{found:?}"
    );
    let mut next = Stage::at(dir.path(), 2_600);
    next.order(Order::GoOn(begin));
    next.order(Order::End(id(1), next.now().at));
    // Its files are found in the first.
    next.run(ROUND * 2);
    assert_eq!(is_whole(&place), Some(1));
}

#[test]
fn one_that_nobody_goes_on_with_ends_and_one_that_is_open_does_not() {
    let dir = folder();
    left_by_a_killed_one(dir.path(), Sound::Narrow, seconds(3));
    let mut stage = Stage::at(dir.path(), 60_000);
    stage.order(Order::Begin(stage.begin(2, Sound::Narrow)));
    stage.run(seconds(2));
    let mut keeper = Keeper::default();
    look(&mut keeper, &stage, stage.now().wall);
    assert_eq!(is_whole(&stage.place(1)), Some(1));
    let (index, _) = Index::scan(dir.path()).expect("it can be read");
    let states: Vec<State> = [1, 2]
        .map(|n| index.get(id(n)).expect("it is there").state)
        .into();
    assert_eq!(states, [State::Whole, State::Running]);
    // A month later.
    look(&mut keeper, &stage, noon().plus(seconds(31 * 86_400)));
    let (index, _) = Index::scan(dir.path()).expect("it can be read");
    assert!(index.get(id(1)).is_none() && index.get(id(2)).is_some());
}

#[test]
fn of_one_that_is_too_short_nothing_is_left() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(Duration::from_millis(980));
    stage.order(stage.short(1));
    stage.run(ROUND);
    let left: Vec<PathBuf> = std::fs::read_dir(stage.place(1).day)
        .expect("the day's folder")
        .map(|file| file.expect("a file").path())
        .collect();
    assert_eq!(left, [] as [PathBuf; 0]);
    assert_eq!(stage.shared.status.counts().open, 0);
    assert_eq!(stage.shared.status.counts().waiting_bytes, 0);
}

#[test]
fn packets_that_came_faster_than_they_were_taken_are_a_gap_that_is_reported() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    let (producer, consumer) = ring(4 * (PACKET + 43));
    stage.ring = producer;
    stage.ear.hear_only(consumer);
    stage.order(Order::Begin(stage.begin(1, Sound::Narrow)));
    stage.speaks(1);
    stage.run(seconds(1));
    // For a while nobody listens.
    for _ in 0..2 {
        stage.speaking.extend_from_within(..);
    }
    stage.run(ROUND);
    stage.speaking.truncate(2);
    stage.rounds += 5;
    stage.run(seconds(3));
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    let (recording, why) = (id(1), Fault::Overrun);
    assert_eq!(stage.told(), [Report::Gap { recording, why }]);
    assert!(stage.shared.status.counts().missed_packets > 0);
}

#[test]
fn what_cannot_be_decoded_is_kept_as_it_was_heard() {
    let dir = folder();
    let mut stage = Stage::at(dir.path(), 0);
    stage.order(Order::Begin(stage.begin(1, Sound::Unread)));
    stage.speaks(1);
    for (_, coding, _) in &mut stage.speaking {
        *coding = None;
    }
    stage.run(seconds(3));
    stage.speaking.clear();
    stage.order(Order::End(id(1), stage.now().at));
    stage.run(ROUND);
    assert_eq!(is_whole(&stage.place(1)), Some(0));
    let file = stage.place(1).day.join(format!("{}.rtpdump", id(1)));
    let bytes = std::fs::read(file).expect("a dump");
    let packets = dump::packets(&bytes).expect("a dump");
    assert_eq!(
        packets.filter(|(_, packet)| packet.len() == 12 + PACKET).count(),
        300
    );
}

#[test]
fn a_recorder_with_its_threads_stops_with_everything_written() {
    let dir = folder();
    let (mut producer, consumer) = ring(1 << 20);
    let clock = std::time::Instant::now();
    let audit = audit(dir.path());
    let settings = Settings {
        config: config(dir.path()),
        archive: archive(dir.path(), &audit),
        node: "one".into(),
        sealing: Sealing::default(),
        audit,
        clock: Box::new(move || now(clock.elapsed().as_millis() as u64)),
        system: Box::new(noon),
        tell: Box::new(|_, _| true),
    };
    let recorder = Recorder::start(settings, vec![consumer]).expect("threads");
    let begin = Box::new(Begin {
        recording: id(1),
        call_id: id(1),
        binding_id: None,
        account: "acme".into(),
        at_least_days: None,
        began: now(0).wall,
        at: now(0).at,
        lasted: Duration::ZERO,
        sounds: Sound::Narrow,
    });
    recorder.order(0, now(0), Order::Begin(begin));
    for seq in 0..100_u16 {
        let recording = id(1);
        let at = now(u64::from(seq) * 20).at;
        producer.hear(&Heard {
            tap: Tap {
                recording,
                channel: Channel::Caller,
            },
            at,
            ssrc: 7,
            seq,
            timestamp: u32::from(seq) * 160,
            clock_hz: 8_000,
            payload_type: 8,
            coding: Some(Coding::A),
            is_event: false,
            is_back: false,
            marker: false,
            payload: &[0; PACKET],
        });
    }
    recorder.order(0, now(2_000), Order::End(id(1), now(2_000).at));
    assert!(recorder.stop(seconds(60)));
    let place = Place::of(dir.path(), id(1), noon());
    assert!(is_whole(&place).is_some());
    // Whoever orders then is told.
    recorder.order(0, now(3_000), Order::End(id(2), now(3_000).at));
    assert_eq!(recorder.counts().refused_orders, 1);
}
