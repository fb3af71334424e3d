//! Listening: orders and packets become recordings in the making, and these give pieces for the scribe.

mod aside;
mod fax;
mod late;
mod news;
mod opening;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use aside::{Beside, Kin};
use late::Late;
use opening::{Opening, Turn};

use super::jobs::{Abandoned, Content, Ending, Job, News, Piece, Start};
use super::marks::{of_audio, of_dump};
use super::orders::Inbox;
use super::out::{Out, Told};
use super::sealing::sealed;
use super::{Ordered, Shared};
use crate::base::id::Id;
use crate::base::limits::{RECORDING_BLOCK, RECORDING_SECONDS_MAX};
use crate::base::time::{Instant, Now};
use crate::call::recording::{Begin, Fault, Order, Report, Sound, TooShort};
use crate::records::recordings::aside::aside_of;
use crate::records::recordings::chain::{Audio, Cipher, Loss, Mark, Unwritten, What};
use crate::records::recordings::pen;
use crate::records::recordings::seal::Key;
use crate::rtp::recording::dump::{self, Dump};
use crate::rtp::recording::{Block, Rate, Stereo, is_unread};
use crate::rtp::tap::{Consumer, Heard};

/// How often it listens, and looks for whole blocks: some packets of each channel have come then, so that a recording isn't
/// looked at for each of them.
const ROUND: Duration = Duration::from_millis(100);
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
    kin: Kin,
    stage: Stage,
    /// What is to be obeyed once all packets are heard that came before.
    late: Vec<(Now, Late)>,
    /// Marks of pieces that were left out, and others that wait for the next one.
    pub(super) marks: Vec<Mark>,
    /// Why pieces before the next one were left out, if some were.
    pub(super) left_out: Option<Unwritten>,
    /// Up to which sample it has given pieces.
    pub(super) until: u64,
    /// When it is looked at again: all of a block is laid at once, while it is in the processor's cache. What comes meanwhile is
    /// less than [`RECORDING_PACKETS_MAX`](crate::base::limits::RECORDING_PACKETS_MAX).
    looked_at: Instant,
    /// Since when it is a fax.
    faxed_since: Option<Instant>,
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

impl Span {
    /// How many milliseconds there are before that moment.
    fn ms(&self, at: Instant) -> u64 {
        let ms = u64::try_from((at - self.begun).as_millis()).unwrap_or(u64::MAX);
        self.before_ms.saturating_add(ms)
    }
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

    /// Obeys, listens, and gives out the blocks that are whole.
    pub(super) fn round(&mut self, now: Now) {
        while let Ok(news) = self.news.try_recv() {
            self.take_news(&news, now);
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
                let is_missed = |id: &Id, open: &Open| !are_all_named || of.contains(&open.first(*id));
                for (id, open) in &mut self.open {
                    if !is_missed(id, open) {
                        continue;
                    }
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
                open.looked_at = open.due();
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
                | Order::Fax(..)
                | Order::End(..)
                | Order::EndLeft(..)
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
            Order::Fax(id, fax) => self.put(id, now, Late::Fax(fax)),
            Order::End(id, at) => self.put(id, moment(now, at), Late::End),
            // Somebody goes on with it after all.
            Order::EndLeft(id, _) if self.open.contains_key(&id) => {}
            Order::EndLeft(id, began) => {
                let call = id;
                // What lies beside it too, if anything does.
                for recording in [id, aside_of(id)] {
                    let left = Abandoned {
                        recording,
                        call,
                        began,
                    };
                    self.out.job(Job::EndLeft(left));
                }
            }
            Order::Drop(short) if self.open.contains_key(&short.recording) => {
                self.put(short.recording, now, Late::Drop(short));
            }
            // A process before began it.
            Order::Drop(short) => {
                let recording = aside_of(short.recording);
                for short in [short, TooShort { recording, ..short }] {
                    self.out.job(Job::Drop(short));
                }
            }
        }
    }

    fn begin(&mut self, shard: usize, now: Now, begin: &Begin) {
        let rate = rate_of(begin.sounds);
        let stage = match begin.sounds {
            Sound::Narrow | Sound::Wide => Stage::Audio(Box::new(Stereo::new(rate, begin.at))),
            Sound::Unread => Stage::dump(begin.at, 0),
        };
        match self.start(shard, moment(now, begin.at), begin) {
            Ok(start) => {
                // Said at once: the call may be over before the disk takes anything of it.
                let with = sealed(start.begin.key.as_ref().map_or(Cipher::None, Key::cipher));
                let recording = begin.recording;
                self.shared.report(shard, Report::Sealed { recording, with });
                let kin = Kin::First(Box::new(Beside::none(&start.begin)));
                self.add(recording, Open::new(shard, stage, kin), Job::Begin(start));
            }
            Err(why) => {
                let recording = begin.recording;
                self.shared.report(shard, Report::Lost { recording, why });
            }
        }
    }

    fn go_on(&mut self, shard: usize, now: Now, begin: &Begin) {
        match self.start(shard, now, begin) {
            Ok(start) => {
                let (beside, sought) = Beside::sought(&start);
                let stage = || Stage::Opening(Opening::default());
                let first = Open::new(shard, stage(), Kin::First(Box::new(beside)));
                if self.add(begin.recording, first, Job::GoOn(start)) {
                    self.seek_aside(
                        begin.recording,
                        Open::new(shard, stage(), Kin::Aside(begin.recording)),
                        sought,
                    );
                }
            }
            // What the process before wrote is there.
            Err(why) => {
                let recording = begin.recording;
                self.shared.report(shard, Report::Gap { recording, why });
            }
        }
    }

    /// How it starts.
    ///
    /// # Errors
    /// It can't be sealed as it should be: then nothing of it is written.
    fn start(&self, shard: usize, heard_from: Now, begin: &Begin) -> Result<Box<Start>, Fault> {
        let (audio, rate_hz) = match begin.sounds {
            Sound::Narrow | Sound::Wide => (Audio::Wav, rate_of(begin.sounds).hz()),
            Sound::Unread => (Audio::Rtpdump, DUMP_RATE_HZ),
        };
        let settings = &self.shared.settings;
        let key = settings.sealing.of(&begin.account).map_err(|_| Fault::NoKey)?;
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
            at_least_days: begin.at_least_days,
        };
        Ok(Box::new(Start {
            shard,
            heard_from,
            heard_after: Duration::ZERO,
            begin,
        }))
    }

    /// Whether it is open now; where there is no room that is said.
    fn add(&mut self, id: Id, open: Open, job: Job) -> bool {
        if self.open.contains_key(&id) {
            return false;
        }
        let (shard, is_new) = (open.shard, !matches!(open.stage, Stage::Opening(_)));
        let Err(why) = self.admit(id, open, job) else {
            return true;
        };
        let report = match is_new {
            true => Report::Lost { recording: id, why },
            // What the process before wrote is there.
            false => Report::Gap { recording: id, why },
        };
        self.shared.report(shard, report);
        false
    }

    fn admit(&mut self, id: Id, open: Open, job: Job) -> Result<(), Fault> {
        self.shared.status.open().insert(id);
        self.out.begin(job).inspect_err(|_| {
            self.shared.status.open().remove(&id);
        })?;
        self.open.insert(id, open);
        self.out.open = self.open.len();
        Ok(())
    }

    pub(super) fn hear(&mut self, heard: &Heard<'_>) {
        let id = heard.tap.recording;
        if !self.hear_in(id, heard) {
            // Its begin was ordered before its tap. If it isn't there then, it is over, or was refused.
            self.take_begins();
            self.hear_in(id, heard);
        }
    }

    /// Whether it is open.
    fn hear_in(&mut self, id: Id, heard: &Heard<'_>) -> bool {
        let Some(open) = self.open.get_mut(&id) else {
            return false;
        };
        open.stage.hear(heard);
        if is_unread(heard) {
            self.hear_beside(id, heard);
        }
        true
    }

    /// What was heard so far is given out; what isn't over stays open for the process that comes next.
    pub(super) fn leave(mut self, now: Now) {
        let ids: Vec<(Id, Option<Now>)> = self.open.keys().map(|id| (*id, self.over(*id))).collect();
        for (id, over) in ids {
            let Some(mut open) = self.open.remove(&id) else {
                continue;
            };
            if over.is_some() && matches!(open.stage, Stage::Opening(_)) {
                // Its files weren't found in time: what was heard of it goes with this process.
                open.miss(now.at);
            }
            self.out.give_rest(id, &mut open, now.at);
            if let Some(over) = over {
                self.out.job(Job::End(id, open.ending(over)));
            }
        }
        self.out.job(Job::Leave);
    }
}

impl Stage {
    /// A dump that goes on at `begun`, after so many milliseconds.
    fn dump(begun: Instant, before_ms: u64) -> Self {
        let span = Span {
            begun,
            before_ms,
            end_ms: None,
        };
        Self::Dump(Box::new(Dump::going_on(begun, before_ms)), span)
    }

    fn hear(&mut self, heard: &Heard<'_>) {
        match self {
            Self::Audio(stereo) => stereo.hear(heard),
            Self::Dump(dump, _) => dump.hear(heard),
            Self::Opening(opening) => opening.hear(heard),
        }
    }

    /// Whether it can end only once the scribe has found its files; nothing more is heard of it then.
    fn ends_later(&mut self) -> bool {
        match self {
            Self::Audio(_) | Self::Dump(..) => false,
            Self::Opening(opening) => {
                opening.end();
                true
            }
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
    fn new(shard: usize, stage: Stage, kin: Kin) -> Self {
        Self {
            shard,
            kin,
            stage,
            late: Vec::new(),
            marks: Vec::new(),
            left_out: None,
            until: 0,
            looked_at: Instant::default(),
            faxed_since: None,
            overrun: None,
            told: Told::default(),
        }
    }

    pub(super) fn end(&mut self, at: Instant) {
        self.fax_is_over(at);
        match &mut self.stage {
            Stage::Audio(stereo) => stereo.end(at),
            Stage::Dump(dump, span) => {
                dump.end(at);
                span.end_ms = Some(span.ms(at));
            }
            Stage::Opening(_) => {}
        }
    }

    /// How it ends then, once its pieces are given.
    const fn ending(&self, now: Now) -> Ending {
        Ending {
            until: self.until,
            ended: now.wall,
            left_out: self.left_out,
        }
    }

    /// When its next block is whole, as far as that is known.
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

    /// The next block, if it is whole.
    pub(super) fn poll(&mut self, at: Instant) -> Option<Piece> {
        let is_overrun = |last: Instant| at - last < OVERRUN_LASTS;
        let lost = match self.overrun.is_some_and(is_overrun) {
            true => Loss::Overload,
            false => Loss::Network,
        };
        let aside = self.aside();
        match &mut self.stage {
            Stage::Audio(stereo) => stereo.poll(at).map(|block| of_block(block, lost, aside)),
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

fn of_block(block: Block, lost: Loss, aside: Option<Id>) -> Piece {
    let marks = block.marks.iter();
    let marks = marks.filter_map(|mark| of_audio(mark, lost, aside)).collect();
    Piece::of(block.from, Content::of(block.frames), marks)
}

fn of_piece(piece: dump::Piece, span: Span) -> Piece {
    let block = samples(RECORDING_BLOCK, DUMP_RATE_HZ);
    let rest = span.end_ms.map(|end| end.saturating_sub(piece.from_ms));
    Piece {
        from: piece.from_ms,
        marks: piece.marks.iter().map(of_dump).collect(),
        content: Content::Packets(piece.bytes, rest.map_or(block, |rest| rest.min(block))),
        left_out: None,
    }
}
