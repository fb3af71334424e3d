//! Listening: orders and packets become recordings in the making, and these give pieces of a second for the scribe.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use super::jobs::{Content, Ending, Job, News, Piece, Start};
use super::marks::{of_audio, of_dump};
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

/// How often it listens.
const ROUND: Duration = Duration::from_millis(20);
/// How often it looks for whole seconds.
const POLL_EVERY: Duration = Duration::from_millis(100);
/// How long after packets were missed what is lost is lost by that.
const OVERRUN_LASTS: Duration = Duration::from_secs(RECORDING_SECONDS_MAX as u64);
/// Samples a second of a dump.
const DUMP_RATE_HZ: u32 = 1_000;

/// What it works with.
pub(super) struct Ear {
    shared: Arc<Shared>,
    rings: Vec<Consumer>,
    orders: Receiver<Ordered>,
    open: HashMap<Id, Open>,
    /// Those with orders that are obeyed behind the packets.
    late: Vec<Id>,
    /// Packets that were missed at each ring.
    missed: Vec<u64>,
    pub(super) out: Out,
    polled: Instant,
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
    /// When packets of it were missed last.
    overrun: Option<Instant>,
    /// Which gaps were told.
    pub(super) told: Told,
}

enum Stage {
    Audio(Box<Stereo>),
    Dump(Box<Dump>, Span),
    /// The scribe looks for what a process before left; what is heard meanwhile is a part of the gap.
    Opening {
        is_paused: bool,
    },
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
        orders: Receiver<Ordered>,
        jobs: Sender<Job>,
        news: Receiver<News>,
    ) -> Self {
        Self {
            out: Out::new(shared.clone(), jobs),
            shared,
            missed: vec![0; rings.len()],
            rings,
            orders,
            open: HashMap::new(),
            late: Vec::new(),
            polled: Instant::default(),
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
                return self.leave(now);
            }
            std::thread::sleep(ROUND);
        }
    }

    /// Obeys, listens, and gives out the seconds that are whole.
    pub(super) fn round(&mut self, now: Now) {
        while let Ok(news) = self.news.try_recv() {
            self.take_news(&news);
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
        for id in std::mem::take(&mut self.late) {
            self.obey_late(id);
        }
        if now.at - self.polled >= POLL_EVERY {
            self.polled = now.at;
            for (id, open) in &mut self.open {
                self.out.give_whole(*id, open, now.at);
            }
            self.out.look_at_disk(now.at, &self.open);
        }
    }

    fn take_orders(&mut self) {
        while let Ok(Ordered { shard, now, order }) = self.orders.try_recv() {
            match order {
                Order::Begin(begin) => self.begin(shard, &begin),
                Order::GoOn(begin) => self.go_on(shard, &begin),
                Order::Pause(id, at) => self.put(id, moment(now, at), Late::Pause),
                Order::Resume(id, at) => self.put(id, moment(now, at), Late::Resume),
                Order::End(id, at) => self.put(id, moment(now, at), Late::End),
                // The keeper ends all that nobody goes on with.
                Order::EndLeft(_) => {}
                Order::Drop(short) if self.open.contains_key(&short.recording) => {
                    self.put(short.recording, now, Late::Drop(short));
                }
                // A process before began it.
                Order::Drop(short) => drop(self.out.job(Job::Drop(short))),
            }
        }
    }

    fn begin(&mut self, shard: usize, begin: &Begin) {
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
        let start = self.start(shard, begin);
        self.add(begin.recording, shard, stage, Job::Begin(start));
    }

    fn go_on(&mut self, shard: usize, begin: &Begin) {
        let stage = Stage::Opening { is_paused: false };
        let start = self.start(shard, begin);
        self.add(begin.recording, shard, stage, Job::GoOn(start));
    }

    fn start(&self, shard: usize, begin: &Begin) -> Box<Start> {
        let (audio, rate_hz) = match begin.sounds {
            Sound::Narrow | Sound::Wide => (Audio::Wav, rate_of(begin.sounds).hz()),
            Sound::Unread => (Audio::Rtpdump, DUMP_RATE_HZ),
        };
        let settings = &self.shared.settings;
        let begin = pen::Begin {
            recording: begin.recording,
            call: begin.call_id,
            binding: begin.binding_id,
            account: begin.account.clone(),
            node: settings.node.clone(),
            began: begin.began,
            audio,
            rate_hz,
            key: settings.sealing.of(&begin.account).cloned(),
        };
        Box::new(Start { shard, begin })
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
            overrun: None,
            told: Told::default(),
        };
        self.open.insert(id, open);
    }

    /// Takes an order for one that is open. What ends a pause is obeyed at once, before the packets that are to be kept.
    fn put(&mut self, id: Id, now: Now, late: Late) {
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        match late {
            Late::Resume if open.late.is_empty() => open.resume(now.at),
            Late::Resume | Late::Pause | Late::End | Late::Drop(_) => {
                open.late.push((now, late));
                self.late.push(id);
            }
        }
    }

    fn obey_late(&mut self, id: Id) {
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        for (now, late) in std::mem::take(&mut open.late) {
            match late {
                Late::Pause => open.pause(now.at),
                Late::Resume => open.resume(now.at),
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

    fn hear(&mut self, heard: &Heard<'_>) {
        let id = heard.tap.recording;
        if !self.open.contains_key(&id) {
            // Its begin was ordered before its tap.
            self.take_orders();
        }
        match self.open.get_mut(&id).map(|open| &mut open.stage) {
            Some(Stage::Audio(stereo)) => stereo.hear(heard),
            Some(Stage::Dump(dump, _)) => dump.hear(heard),
            // Behind its end, or refused.
            Some(Stage::Opening { .. }) | None => {}
        }
    }

    fn take_news(&mut self, news: &News) {
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
                let Stage::Opening { is_paused } = open.stage else {
                    return;
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
                if is_paused || paused {
                    open.pause(at);
                }
                if paused && !is_paused {
                    open.resume(at);
                }
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

impl Open {
    fn pause(&mut self, at: Instant) {
        match &mut self.stage {
            Stage::Audio(stereo) => stereo.pause(at),
            Stage::Dump(dump, _) => dump.pause(at),
            Stage::Opening { is_paused } => *is_paused = true,
        }
    }

    fn resume(&mut self, at: Instant) {
        match &mut self.stage {
            Stage::Audio(stereo) => stereo.resume(at),
            Stage::Dump(dump, _) => dump.resume(at),
            Stage::Opening { is_paused } => *is_paused = false,
        }
    }

    pub(super) fn end(&mut self, at: Instant) {
        match &mut self.stage {
            Stage::Audio(stereo) => stereo.end(at),
            Stage::Dump(dump, span) => {
                dump.end(at);
                let ms = u64::try_from((at - span.begun).as_millis()).unwrap_or(u64::MAX);
                span.end_ms = Some(span.before_ms.saturating_add(ms));
            }
            Stage::Opening { .. } => {}
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
            Stage::Opening { .. } => None,
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
