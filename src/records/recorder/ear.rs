//! Listening: orders and packets become recordings in the making, and these give pieces of a second for the scribe.

mod opening;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use opening::{Opening, Turn};

use super::jobs::{Content, Ending, Job, News, Piece, Start};
use super::marks::{of_audio, of_dump};
use super::orders::Inbox;
use super::{Ordered, Shared};
use crate::base::id::Id;
use crate::base::limits::{RECORDING_SECONDS_MAX, RECORDING_WAITING_BYTES_MAX};
use crate::base::time::{Instant, Now};
use crate::call::recording::{Begin, Fault, Order, Report, Sound};
use crate::records::recordings::chain::{self, Audio, Loss, Mark, fold};
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
    /// Looked through for each packet.
    open: HashMap<Id, Open, ahash::RandomState>,
    /// Those with orders that are obeyed behind the packets.
    late: Vec<Id>,
    missed: u64,
    pub(super) out: Out,
    news: Receiver<News>,
}

/// Where pieces go.
pub(super) struct Out {
    shared: Arc<Shared>,
    jobs: Sender<Job>,
    /// Packets were missed, and when that was seen last.
    overrun: Option<Instant>,
    /// Bytes that may wait.
    pub(super) waiting_max: usize,
}

/// A recording that isn't over.
struct Open {
    shard: usize,
    stage: Stage,
    /// What is to be obeyed once all packets are heard that came before.
    late: Vec<(Now, Late)>,
    /// Marks of pieces that were left out.
    marks: Vec<Mark>,
    /// Up to which sample it has given pieces.
    until: u64,
    /// When it is looked at again: much of a second is laid at once, while it is in the processor's cache.
    looked_at: Instant,
    /// Whether a gap by overrun, and one by pieces that were left out, was told.
    told: [bool; 2],
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
    Drop,
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
            out: Out {
                shared: shared.clone(),
                jobs,
                overrun: None,
                waiting_max: RECORDING_WAITING_BYTES_MAX,
            },
            shared,
            rings,
            orders,
            open: HashMap::default(),
            late: Vec::new(),
            missed: 0,
            news,
        }
    }

    /// From now on it listens at this ring.
    #[cfg(test)]
    pub(super) fn hear_only(&mut self, ring: Consumer) {
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
            self.take_news(&news, now.at);
        }
        self.take_orders();
        let mut rings = std::mem::take(&mut self.rings);
        for ring in &mut rings {
            ring.take(|heard| self.hear(heard));
        }
        let missed = rings.iter().map(Consumer::missed).sum();
        self.rings = rings;
        if missed > self.missed {
            self.missed = missed;
            self.shared.status.missed(missed);
            self.out.overrun = Some(now.at);
        }
        for id in std::mem::take(&mut self.late) {
            self.obey_late(id);
        }
        for (id, open) in &mut self.open {
            if open.looked_at <= now.at {
                self.out.give_whole(*id, open, now.at);
                open.looked_at = open.due().min(now.at + LAID_EACH);
            }
        }
    }

    fn take_orders(&mut self) {
        let mut taken = Vec::new();
        self.orders.take(|ordered| taken.push(ordered));
        for Ordered { shard, now, order } in taken {
            match order {
                Order::Begin(begin) => self.begin(shard, now, &begin),
                Order::GoOn(begin) => self.go_on(shard, now, &begin),
                Order::Pause(id, at) => self.put(id, moment(now, at), Late::Pause),
                Order::Resume(id, at) => self.put(id, moment(now, at), Late::Resume),
                Order::End(id, at) => self.put(id, moment(now, at), Late::End),
                // Nobody goes on with it: the keeper finds where it lies, and ends it.
                Order::EndLeft(_) => {}
                Order::Drop(id) if !self.open.contains_key(&id) => self.shared.status.unwant(id),
                Order::Drop(id) => self.put(id, now, Late::Drop),
            }
        }
    }

    fn begin(&mut self, shard: usize, now: Now, begin: &Begin) {
        let rate = match begin.sounds {
            Sound::Wide => Rate::Wide,
            Sound::Narrow | Sound::Unread => Rate::Narrow,
        };
        let stage = match begin.sounds {
            Sound::Narrow | Sound::Wide => Stage::Audio(Box::new(Stereo::new(rate, begin.at))),
            Sound::Unread => {
                let span = Span {
                    begun: begin.at,
                    before_ms: 0,
                    end_ms: None,
                };
                Stage::Dump(Box::new(Dump::new(begin.at, begin.began)), span)
            }
        };
        if let Some(start) = self.start(shard, now, begin, rate) {
            self.add(begin.recording, shard, stage, Job::Begin(start));
        }
    }

    fn go_on(&mut self, shard: usize, now: Now, begin: &Begin) {
        let stage = Stage::Opening(Opening::default());
        if let Some(start) = self.start(shard, now, begin, Rate::Narrow) {
            self.add(begin.recording, shard, stage, Job::GoOn(start));
        }
    }

    /// How it starts; nothing if it can't be sealed as it should be: then nothing of it is written.
    fn start(&self, shard: usize, heard_from: Now, begin: &Begin, rate: Rate) -> Option<Box<Start>> {
        let (audio, rate_hz) = match begin.sounds {
            Sound::Narrow | Sound::Wide => (Audio::Wav, rate.hz()),
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
        if !self.out.has_room() {
            let why = self.shared.status.fault();
            return self.shared.report(shard, Report::Lost { recording: id, why });
        }
        self.shared.status.open().insert(id);
        self.out.job(job);
        let open = Open {
            shard,
            stage,
            late: Vec::new(),
            marks: Vec::new(),
            until: 0,
            looked_at: Instant::default(),
            told: [false; 2],
        };
        self.open.insert(id, open);
    }

    /// Takes an order for one that is open. What ends a pause is obeyed at once, before the packets that are to be kept.
    fn put(&mut self, id: Id, now: Now, late: Late) {
        let Some(open) = self.open.get_mut(&id) else {
            return;
        };
        match late {
            Late::Resume if open.late.is_empty() => open.stage.obey(Turn::Resume(now.at)),
            Late::Resume | Late::Pause | Late::End | Late::Drop => {
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
                Late::Pause => open.stage.obey(Turn::Pause(now.at)),
                Late::Resume => open.stage.obey(Turn::Resume(now.at)),
                Late::End => {
                    self.out.give_rest(id, open, now.at);
                    let ending = Ending {
                        until: open.until,
                        ended: now.wall,
                    };
                    self.out.job(Job::End(id, ending));
                    self.open.remove(&id);
                    return;
                }
                Late::Drop => {
                    self.out.job(Job::Drop(id));
                    self.open.remove(&id);
                    return;
                }
            }
        }
    }

    fn hear(&mut self, heard: &Heard<'_>) {
        let id = heard.tap.recording;
        if let Some(open) = self.open.get_mut(&id) {
            return open.stage.hear(heard);
        }
        // Its begin was ordered before its tap. If it isn't there then, it is over, or was refused.
        self.take_orders();
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
                headed,
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
                        let dump = Dump::going_on(at, from);
                        let dump = match headed {
                            Some(began) => dump.headed(began),
                            None => dump,
                        };
                        Stage::Dump(Box::new(dump), span)
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
    fn end(&mut self, at: Instant) {
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

    /// The next second, if it is whole.
    fn poll(&mut self, at: Instant, lost: Loss) -> Option<Piece> {
        match &mut self.stage {
            Stage::Audio(stereo) => stereo.poll(at).map(|block| of_block(block, lost)),
            Stage::Dump(dump, span) => dump.poll(at).map(|piece| of_piece(piece, *span)),
            Stage::Opening(_) => None,
        }
    }
}

impl Out {
    fn job(&self, job: Job) {
        // Nobody takes it: then the health says that the scribe has died.
        let _ = self.jobs.send(job);
    }

    /// Whether another recording can begin.
    fn has_room(&self) -> bool {
        self.shared.status.counts().waiting_bytes < self.waiting_max
    }

    fn give_whole(&self, id: Id, open: &mut Open, now: Instant) {
        let overrun = self.overrun.is_some_and(|last| now - last < OVERRUN_LASTS);
        let lost = match overrun {
            true => Loss::Overload,
            false => Loss::Network,
        };
        while let Some(piece) = open.poll(now, lost) {
            let is_overrun = |mark: &Mark| match mark.what {
                chain::What::Lost { why, .. } => why == Loss::Overload,
                chain::What::NotWritten { .. } => true,
                chain::What::Paused
                | chain::What::Resumed
                | chain::What::Restarted { .. }
                | chain::What::Abandoned { .. }
                | chain::What::Stream { .. }
                | chain::What::NotSynced { .. } => false,
            };
            if piece.marks.iter().any(is_overrun) && !std::mem::replace(&mut open.told[0], true) {
                self.report_gap(id, open.shard, Fault::Overrun);
            }
            self.give(id, open, piece);
        }
    }

    fn give(&self, id: Id, open: &mut Open, mut piece: Piece) {
        open.until = open.until.max(piece.until());
        piece.mark_before(std::mem::take(&mut open.marks));
        if self.shared.status.wait(piece.weight(), self.waiting_max) {
            return self.job(Job::Write(id, piece));
        }
        // The scribe finds that it is missing.
        open.marks = fold(piece.marks);
        if !std::mem::replace(&mut open.told[1], true) {
            self.report_gap(id, open.shard, self.shared.status.fault());
        }
    }

    /// All that is left of one that is over.
    fn give_rest(&self, id: Id, open: &mut Open, at: Instant) {
        open.end(at);
        self.give_whole(id, open, at);
        let marks = std::mem::take(&mut open.marks);
        if !marks.is_empty() {
            let piece = Piece::of_marks(open.until, marks);
            // No more than a recording has orders.
            self.shared.status.wait(piece.weight(), usize::MAX);
            self.job(Job::Write(id, piece));
        }
    }

    fn report_gap(&self, recording: Id, shard: usize, why: Fault) {
        self.shared.report(shard, Report::Gap { recording, why });
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
        content: Content::Frames(block.frames),
    }
}

fn of_piece(piece: dump::Piece, span: Span) -> Piece {
    let second = u64::from(DUMP_RATE_HZ);
    let rest = span.end_ms.map(|end| end.saturating_sub(piece.from_ms));
    Piece {
        from: piece.from_ms,
        marks: piece.marks.iter().map(of_dump).collect(),
        content: Content::Packets(piece.bytes, rest.map_or(second, |rest| rest.min(second))),
    }
}
