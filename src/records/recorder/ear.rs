//! Listening: orders and packets become recordings in the making, and these give pieces of a second for the scribe.

mod opening;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use opening::{Opening, Turn};

use super::jobs::{Content, Ending, Job, News, Piece, Start};
use super::marks::{of_audio, of_dump};
use super::orders::Inbox;
use super::out::{Out, Told};
use super::{Ordered, Shared};
use crate::base::id::Id;
use crate::base::limits::RECORDING_SECONDS_MAX;
use crate::base::time::{Instant, Now};
use crate::call::recording::{Begin, Fault, Order, Report, Sound, TooShort};
use crate::records::recordings::chain::{Audio, Loss, Mark, Unwritten, What};
use crate::records::recordings::pen;
use crate::rtp::recording::dump::{self, Dump};
use crate::rtp::recording::{Block, Rate, Stereo};
use crate::rtp::tap::{Consumer, Heard};

/// How often it listens, and looks for whole seconds: some packets of each channel have come then, so that a recording isn't
/// looked at for each of them.
const ROUND: Duration = Duration::from_millis(100);
/// How long what was heard waits at the most until it is laid, beside the time that it has to wait anyway. What comes
/// meanwhile is less than [`RECORDING_PACKETS_MAX`](crate::base::limits::RECORDING_PACKETS_MAX).
const LAID_EACH: Duration = Duration::from_millis(500);
/// How long after packets were missed what is lost is lost by that.
const OVERRUN_LASTS: Duration = Duration::from_secs(RECORDING_SECONDS_MAX as u64);
/// Samples a second of a dump.
const DUMP_RATE_HZ: u32 = 1_000;

/// What it works with.
pub(super) struct Ear {
    shared: Arc<Shared>,
    rings: Vec<Consumer>,
    orders: Inbox,
    /// Orders that came while packets were heard: what was heard before them may lie behind those packets.
    came: VecDeque<Ordered>,
    /// Looked through for each packet.
    open: HashMap<Id, Open, ahash::RandomState>,
    /// Those with orders that are obeyed behind the packets.
    late: Vec<Id>,
    /// Packets that were missed at each ring.
    missed: Vec<u64>,
    pub(super) out: Out,
    news: Receiver<News>,
}

/// A recording that isn't over.
pub(super) struct Open {
    pub(super) shard: usize,
    stage: Stage,
    /// What is to be obeyed once all packets are heard that came before.
    late: Vec<(Now, Late)>,
    /// Marks of pieces that were left out, and others that wait for the next one.
    pub(super) marks: Vec<Mark>,
    /// Why pieces before the next one were left out, if some were.
    pub(super) left_out: Option<Unwritten>,
    /// Up to which sample it has given pieces.
    pub(super) until: u64,
    /// When it is looked at again: much of a second is laid at once, while it is in the processor's cache.
    looked_at: Instant,
    /// When packets of it were missed last.
    overrun: Option<Instant>,
    /// Which gaps were told.
    pub(super) told: Told,
}

enum Stage {
    Audio(Box<Stereo>),
    Dump(Box<Dump>, Span),
    /// The scribe looks for what a process before left.
    Opening(Opening),
}

/// Where a dump began, and where it ended.
#[derive(Clone, Copy)]
struct Span {
    begun: Instant,
    before_ms: u64,
    end_ms: Option<u64>,
}

/// An order that is obeyed behind the packets that came before it.
#[derive(Clone, Copy)]
enum Late {
    Pause,
    Resume,
    End,
    Drop(TooShort),
}

impl Ear {
    pub(super) fn new(
        shared: Arc<Shared>,
        rings: Vec<Consumer>,
        orders: Inbox,
        jobs: Sender<Job>,
        news: Receiver<News>,
    ) -> Self {
        Self {
            out: Out::new(shared.clone(), jobs),
            shared,
            missed: vec![0; rings.len()],
            rings,
            orders,
            came: VecDeque::new(),
            open: HashMap::default(),
            late: Vec::new(),
            news,
        }
    }

    /// From now on it listens at this ring.
    #[cfg(test)]
    pub(super) fn hear_only(&mut self, ring: Consumer) {
        self.missed = vec![0];
        self.rings = vec![ring];
    }

    pub(super) fn run(mut self) {
        loop {
            // Before the round: what came until then is heard.
            let leaves = self.shared.leaves.load(Ordering::Acquire);
            let now = self.shared.now();
            self.round(now);
            if leaves {
                if !self.came.is_empty() {
                    self.round(now);
                }
                return self.leave(now);
            }
            std::thread::sleep(ROUND);
        }
    }

    /// Obeys, listens, and gives out the seconds that are whole.
    pub(super) fn round(&mut self, now: Now) {
        while let Ok(news) = self.news.try_recv() {
            self.take_news(&news, now.at);
        }
        self.take_orders();
        let mut rings = std::mem::take(&mut self.rings);
        for ring in &mut rings {
            ring.take(|heard| self.hear(heard));
        }
        for (ring, before) in rings.iter_mut().zip(&mut self.missed) {
            let missed = ring.missed();
            if missed > std::mem::replace(before, missed) {
                let mut of = HashSet::new();
                let are_all_named = ring.missed_of(|recording| {
                    of.insert(recording);
                });
                let is_missed = |id: &Id| !are_all_named || of.contains(id);
                for (id, open) in self.open.iter_mut().filter(|(id, _)| is_missed(id)) {
                    open.miss(now.at);
                    self.out.report_gap(*id, open, Fault::Overrun);
                }
            }
        }
        self.rings = rings;
        self.shared.status.missed(self.missed.iter().sum());
        self.shared.report_again();
        self.obey_all_late();
        for (id, open) in &mut self.open {
            if open.looked_at <= now.at {
                self.out.give_whole(*id, open, now.at);
                open.looked_at = open.due().min(now.at + LAID_EACH);
            }
        }
        self.out.open = self.open.len();
        self.out.look_at_disk(now.at, &self.open);
    }

    /// Takes what waits, and does what begins a recording.
    fn take_begins(&mut self) {
        let before = self.came.len();
        self.orders.take(|ordered| self.came.push_back(ordered));
        let mut at = before;
        while let Some(Ordered { order, .. }) = self.came.get(at) {
            match order {
                Order::Begin(_) | Order::GoOn(_) => {
                    let begins = self.came.remove(at);
                    begins.into_iter().for_each(|begins| self.obey(begins));
                }
                Order::Pause(..)
                | Order::Resume(..)
                | Order::End(..)
                | Order::EndLeft(_)
                | Order::Drop(_) => {
                    at += 1;
                }
            }
        }
    }

    fn take_orders(&mut self) {
        let mut taken = std::mem::take(&mut self.came);
        self.orders.take(|ordered| taken.push_back(ordered));
        taken.into_iter().for_each(|ordered| self.obey(ordered));
    }

    fn obey(&mut self, Ordered { shard, now, order }: Ordered) {
        match order {
            Order::Begin(begin) => self.begin(shard, now, &begin),
            Order::GoOn(begin) => self.go_on(shard, now, &begin),
            Order::Pause(id, at) => self.put(id, moment(now, at), Late::Pause),
            Order::Resume(id, at) => self.put(id, moment(now, at), Late::Resume),
            Order::End(id, at) => self.put(id, moment(now, at), Late::End),
            // Nobody goes on with it: the keeper finds where it lies, and ends it.
            Order::EndLeft(_) => {}
            Order::Drop(short) if self.open.contains_key(&short.recording) => {
                self.put(short.recording, now, Late::Drop(short));
            }
            // A process before began it.
            Order::Drop(short) => drop(self.out.job(Job::Drop(short))),
        }
    }

    fn begin(&mut self, shard: usize, now: Now, begin: &Begin) {
        let rate = rate_of(begin.sounds);
        let stage = match begin.sounds {
            Sound::Narrow | Sound::Wide => Stage::Audio(Box::new(Stereo::new(rate, begin.at))),
            Sound::Unread => {
                let span = Span {
                    begun: begin.at,
                    before_ms: 0,
                    end_ms: None,
                };
                Stage::Dump(Box::new(Dump::going_on(begin.at, 0)), span)
            }
        };
        if let Some(start) = self.start(shard, moment(now, begin.at), begin) {
            self.add(begin.recording, shard, stage, Job::Begin(start));
        }
    }

    fn go_on(&mut self, shard: usize, now: Now, begin: &Begin) {
        let stage = Stage::Opening(Opening::default());
        if let Some(start) = self.start(shard, now, begin) {
            self.add(begin.recording, shard, stage, Job::GoOn(start));
        }
    }

    /// How it starts; nothing if it can't be sealed as it should be: then nothing of it is written.
    fn start(&self, shard: usize, heard_from: Now, begin: &Begin) -> Option<Box<Start>> {
        let (audio, rate_hz) = match begin.sounds {
            Sound::Narrow | Sound::Wide => (Audio::Wav, rate_of(begin.sounds).hz()),
            Sound::Unread => (Audio::Rtpdump, DUMP_RATE_HZ),
        };
        let settings = &self.shared.settings;
        let Ok(key) = settings.sealing.of(&begin.account) else {
            let (recording, why) = (begin.recording, Fault::NoKey);
            self.shared.report(shard, Report::Lost { recording, why });
            return None;
        };
        let begin = pen::Begin {
            recording: begin.recording,
            call: begin.call_id,
            binding: begin.binding_id,
            account: begin.account.clone(),
            node: settings.node.clone(),
            began: begin.began,
            audio,
            rate_hz,
            key: key.cloned(),
        };
        Some(Box::new(Start {
            shard,
            heard_from,
            begin,
        }))
    }

    fn add(&mut self, id: Id, shard: usize, stage: Stage, job: Job) {
        if self.open.contains_key(&id) {
            return;
        }
        self.shared.status.open().insert(id);
        if let Err(why) = self.out.begin(job) {
            self.shared.status.open().remove(&id);
            let report = match stage {
                Stage::Audio(_) | Stage::Dump(..) => Report::Lost { recording: id, why },
                // What the process before wrote is there.
                Stage::Opening { .. } => Report::Gap { recording: id, why },
            };
            return self.shared.report(shard, report);
        }
        let open = Open {
            shard,
            stage,
            late: Vec::new(),
            marks: Vec::new(),
            left_out: None,
            until: 0,
            looked_at: Instant::default(),
            overrun: None,
            told: Told::default(),
        };
        self.open.insert(id, open);
        self.out.open = self.open.len();
    }

    /// Takes an order for one that is open. What ends a pause is obeyed at once, before the packets that are to be kept.
    fn put(&mut self, id: Id, now: Now, late: Late) {
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        match late {
            Late::Resume if open.late.is_empty() => open.stage.obey(Turn::Resume(now.at)),
            Late::Resume | Late::Pause | Late::End | Late::Drop(_) => {
                open.late.push((now, late));
                self.late.push(id);
            }
        }
    }

    /// All that was heard before them is heard.
    pub(super) fn obey_all_late(&mut self) {
        for id in std::mem::take(&mut self.late) {
            self.obey_late(id);
        }
    }

    fn obey_late(&mut self, id: Id) {
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        for (now, late) in std::mem::take(&mut open.late) {
            match late {
                Late::Pause => open.stage.obey(Turn::Pause(now.at)),
                Late::Resume => open.stage.obey(Turn::Resume(now.at)),
                Late::End => {
                    self.out.give_rest(id, open, now.at);
                    let ending = Ending {
                        until: open.until,
                        ended: now.wall,
                        left_out: open.left_out,
                    };
                    if !self.out.job(Job::End(id, ending)) {
                        self.out.report_gap(id, open, Fault::Recorder);
                    }
                    self.open.remove(&id);
                    return;
                }
                Late::Drop(short) => {
                    self.out.job(Job::Drop(short));
                    self.open.remove(&id);
                    return;
                }
            }
        }
    }

    pub(super) fn hear(&mut self, heard: &Heard<'_>) {
        let id = heard.tap.recording;
        if let Some(open) = self.open.get_mut(&id) {
            return open.stage.hear(heard);
        }
        // Its begin was ordered before its tap. If it isn't there then, it is over, or was refused.
        self.take_begins();
        if let Some(open) = self.open.get_mut(&id) {
            open.stage.hear(heard);
        }
    }

    fn take_news(&mut self, news: &News, now: Instant) {
        match *news {
            News::Over(id) => {
                self.open.remove(&id);
            }
            News::Goes {
                recording,
                at,
                from,
                audio,
                rate_hz,
                paused,
            } => {
                let Some(open) = self.open.get_mut(&recording) else {
                    return;
                };
                let Stage::Opening(opening) = &mut open.stage else {
                    return;
                };
                let opening = std::mem::take(opening);
                // What there was no room for is left out as a whole.
                let (at, from) = match opening.is_whole() {
                    true => (at, from),
                    false => (now, from.saturating_add(samples(now - at, rate_hz))),
                };
                open.until = from;
                open.stage = match audio {
                    Audio::Wav => {
                        let rate = match rate_hz == Rate::Wide.hz() {
                            true => Rate::Wide,
                            false => Rate::Narrow,
                        };
                        Stage::Audio(Box::new(Stereo::going_on(rate, at, from)))
                    }
                    Audio::Rtpdump => {
                        let span = Span {
                            begun: at,
                            before_ms: from,
                            end_ms: None,
                        };
                        Stage::Dump(Box::new(Dump::going_on(at, from)), span)
                    }
                };
                if paused {
                    open.stage.obey(Turn::Pause(at));
                    if !opening.begins_paused(at) {
                        open.stage.obey(Turn::Resume(at));
                    }
                }
                opening.replay(&mut open.stage);
            }
        }
    }

    /// What was heard so far is given out; what isn't over stays open for the process that comes next.
    pub(super) fn leave(mut self, now: Now) {
        for (id, mut open) in self.open.drain() {
            self.out.give_rest(id, &mut open, now.at);
        }
        self.out.job(Job::Leave);
    }
}

impl Stage {
    fn hear(&mut self, heard: &Heard<'_>) {
        match self {
            Self::Audio(stereo) => stereo.hear(heard),
            Self::Dump(dump, _) => dump.hear(heard),
            Self::Opening(opening) => opening.hear(heard),
        }
    }

    fn obey(&mut self, turn: Turn) {
        match (self, turn) {
            (Self::Audio(stereo), Turn::Pause(at)) => stereo.pause(at),
            (Self::Audio(stereo), Turn::Resume(at)) => stereo.resume(at),
            (Self::Dump(dump, _), Turn::Pause(at)) => dump.pause(at),
            (Self::Dump(dump, _), Turn::Resume(at)) => dump.resume(at),
            (Self::Opening(opening), turn) => opening.obey(turn),
        }
    }
}

impl Open {
    pub(super) fn end(&mut self, at: Instant) {
        match &mut self.stage {
            Stage::Audio(stereo) => stereo.end(at),
            Stage::Dump(dump, span) => {
                dump.end(at);
                let ms = u64::try_from((at - span.begun).as_millis()).unwrap_or(u64::MAX);
                span.end_ms = Some(span.before_ms.saturating_add(ms));
            }
            Stage::Opening(_) => {}
        }
    }

    /// When its next second is whole, as far as that is known.
    fn due(&self) -> Instant {
        match &self.stage {
            Stage::Audio(stereo) => stereo.due(),
            Stage::Dump(..) | Stage::Opening { .. } => Instant::default(),
        }
    }

    /// Packets of it were missed: nobody knows which, nor how many.
    fn miss(&mut self, at: Instant) {
        self.overrun = Some(at);
        let what = What::NotWritten {
            samples: 0,
            why: Unwritten::Overload,
        };
        if !self.marks.iter().any(|mark| mark.what == what) {
            let at = self.until;
            self.marks.push(Mark { at, what });
        }
    }

    /// The next second, if it is whole.
    pub(super) fn poll(&mut self, at: Instant) -> Option<Piece> {
        let is_overrun = |last: Instant| at - last < OVERRUN_LASTS;
        let lost = match self.overrun.is_some_and(is_overrun) {
            true => Loss::Overload,
            false => Loss::Network,
        };
        match &mut self.stage {
            Stage::Audio(stereo) => stereo.poll(at).map(|block| of_block(block, lost)),
            Stage::Dump(dump, span) => dump.poll(at).map(|piece| of_piece(piece, *span)),
            Stage::Opening(_) => None,
        }
    }
}

/// At how many samples a second it is recorded.
const fn rate_of(sounds: Sound) -> Rate {
    match sounds {
        Sound::Wide => Rate::Wide,
        Sound::Narrow | Sound::Unread => Rate::Narrow,
    }
}

/// Samples of that time.
fn samples(time: Duration, rate_hz: u32) -> u64 {
    let samples = time.as_micros().saturating_mul(rate_hz.into()) / 1_000_000;
    u64::try_from(samples).unwrap_or(u64::MAX)
}

/// A moment that isn't later than `now`, by both clocks.
fn moment(now: Now, at: Instant) -> Now {
    Now {
        at,
        wall: now.wall_of(at),
    }
}

fn of_block(block: Block, lost: Loss) -> Piece {
    Piece {
        from: block.from,
        marks: block
            .marks
            .iter()
            .filter_map(|mark| of_audio(mark, lost))
            .collect(),
        content: Content::of(block.frames),
        left_out: None,
    }
}

fn of_piece(piece: dump::Piece, span: Span) -> Piece {
    let second = u64::from(DUMP_RATE_HZ);
    let rest = span.end_ms.map(|end| end.saturating_sub(piece.from_ms));
    Piece {
        from: piece.from_ms,
        marks: piece.marks.iter().map(of_dump).collect(),
        content: Content::Packets(piece.bytes, rest.map_or(second, |rest| rest.min(second))),
        left_out: None,
    }
}
