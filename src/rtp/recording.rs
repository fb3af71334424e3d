//! A recording of what two people heard: RTP as the taps give it, on the way to blocks of stereo PCM.
//!
//! * Each channel lies by the sender's time, and not by when its packets came: the least delay of late says
//!   where RTP time lies in the recording's, so that jitter moves nothing, and both sides stay together however their
//!   clocks drift. A packet becomes longer or shorter by a sample where that is needed.
//! * Packets wait until those before them must have come ([`RECORDING_LATE_MAX`]), and are decoded in their order.
//!   Nothing is made up for those that don't come: there is silence, and a mark.
//! * A stream that jumps begins anew where it is heard, once it is sure that it isn't a stray packet.
//! * What is heard during a pause is counted, so that all lies right after it, but its payload is never kept.
//!
//! Nothing here grows with what comes: packets, blocks and marks that wait have limits of their own.

use std::time::Duration;

use crate::base::limits::{RECORDING_BLOCKS_A_SECOND, RECORDING_LATE_MAX, RECORDING_MARKS_MAX};
use crate::base::time::Instant;
use crate::rtp::tap::{Channel, Heard};

mod clock;
pub mod dump;
mod queue;
pub mod replay;
mod timeline;
mod track;
mod voice;

use timeline::Timeline;
pub use track::is_unread;
use track::{Keeps, Track};

/// How far a channel may be before where its clock says that it is, until it is put there at once.
const ASTRAY_MAX: Duration = Duration::from_millis(100);
/// How far it may be behind that: as much as the way of a stream becomes shorter at once. Put there, it would be written
/// over what was said.
const BEHIND_MAX: Duration = Duration::from_millis(200);

/// How long what was said is still in what follows: filters hold a little back.
const FILTERS_HOLD: Duration = Duration::from_millis(2);

/// Samples a second of a recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Rate {
    /// 8,000: all that G.711 has.
    #[default]
    Narrow,
    /// 16,000: all that G.722 has.
    Wide,
}

impl Rate {
    /// In hertz.
    pub const fn hz(self) -> u32 {
        match self {
            Self::Narrow => 8_000,
            Self::Wide => 16_000,
        }
    }

    /// Samples of a block.
    const fn block(self) -> i64 {
        self.hz() as i64 / RECORDING_BLOCKS_A_SECOND as i64
    }

    /// Samples for each tick of the clock of all codecs that we read.
    const fn per_tick(self) -> i64 {
        match self {
            Self::Narrow => 1,
            Self::Wide => 2,
        }
    }
}

/// A quarter of a second of a recording ([`RECORDING_BLOCK`](crate::base::limits::RECORDING_BLOCK)); the last one may be shorter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// Its first sample's number, counted from the recording's begin.
    pub from: u64,
    /// 16-bit samples, the left and the right one in turn.
    pub frames: Vec<i16>,
    /// What happened that its samples don't tell, as it became known. A loss may have begun in a block before.
    pub marks: Vec<Mark>,
}

/// Something that samples don't tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// At which sample.
    pub at: u64,
    /// What.
    pub what: What,
}

/// What a mark says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// From here on nothing is recorded.
    Paused,
    /// From here on it is again.
    Resumed,
    /// Packets didn't come, or too late: silence stands for them.
    Lost {
        /// Whose.
        channel: Channel,
        /// How many.
        packets: u64,
        /// Samples of silence. None if they held no audio: events, comfort noise.
        samples: u64,
    },
    /// A stream began anew: another source, or its clock jumped. It lies by when it came, and not by what was before.
    Restarted {
        /// Whose.
        channel: Channel,
    },
    /// Audio that we can't decode: silence stands for it.
    Unread {
        /// Whose.
        channel: Channel,
        /// Its payload type.
        payload_type: u8,
        /// Samples of silence.
        samples: u64,
    },
    /// There was no room yet for what was said, because nobody took what was said before: silence stands for it.
    Crowded {
        /// Whose.
        channel: Channel,
        /// Samples of silence.
        samples: u64,
    },
}

impl What {
    /// Adds the samples of `more` that aren't there, if it says the same of the same channel; where there is no room for another
    /// mark, whatever the codec.
    fn takes(&mut self, more: Self, is_full: bool) -> bool {
        let samples = match (self, more) {
            (
                Self::Unread {
                    channel,
                    payload_type,
                    samples,
                },
                Self::Unread {
                    channel: whose,
                    payload_type: of,
                    samples: more,
                },
            ) if *channel == whose && (is_full || *payload_type == of) => Some((samples, more)),
            (
                Self::Crowded { channel, samples },
                Self::Crowded {
                    channel: whose,
                    samples: more,
                },
            ) if *channel == whose => Some((samples, more)),
            (_, _) => None,
        };
        samples
            .map(|(samples, more)| *samples = samples.saturating_add(more))
            .is_some()
    }
}

/// A recording in the making.
///
/// Whoever feeds it gives it all that was heard, then polls with the time up to which that was all: packets of a channel
/// come in the order in which they were heard, those of the two channels in any.
#[derive(Debug)]
pub struct Stereo {
    tracks: [Track; 2],
    sheet: Sheet,
    /// Samples before the first one of ours.
    before: u64,
    /// How many samples it has, once it is over.
    length: Option<i64>,
}

/// Whether nothing that is heard is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pause {
    /// What is heard since then is kept.
    Off(Instant),
    /// Nothing is, and so nothing is missed.
    On,
}

impl Stereo {
    /// A recording that begins at `begun`.
    pub fn new(rate: Rate, begun: Instant) -> Self {
        Self::going_on(rate, begun, 0)
    }

    /// One that goes on at `begun`, after so many samples that were taken elsewhere.
    pub fn going_on(rate: Rate, begun: Instant, before: u64) -> Self {
        Self {
            tracks: [Track::new(Channel::Caller), Track::new(Channel::Callee)],
            sheet: Sheet::new(rate, begun),
            before,
            length: None,
        }
    }

    /// Samples a second.
    pub fn rate(&self) -> Rate {
        self.sheet.rate
    }

    /// When it began, or went on.
    pub fn begun(&self) -> Instant {
        self.sheet.begun
    }

    /// Which sample is heard at that moment, counted from the recording's begin.
    pub fn sample(&self, at: Instant) -> u64 {
        let since = u64::try_from(self.sheet.sample(at)).unwrap_or(0);
        self.before.saturating_add(since)
    }

    /// How many whole milliseconds of it there are before that moment, and when the last of them was over.
    pub fn millis(&self, at: Instant) -> (u64, Instant) {
        let before = self.before.saturating_mul(1_000) / u64::from(self.sheet.rate.hz());
        let since = u64::try_from((at - self.sheet.begun).as_millis()).unwrap_or(u64::MAX);
        let over = self.sheet.begun + Duration::from_millis(since);
        (before.saturating_add(since), over)
    }

    /// Since when what is heard is kept; `None`: it isn't.
    pub fn keeps_since(&self) -> Option<Instant> {
        match self.sheet.pause {
            Pause::Off(since) => Some(since),
            Pause::On => None,
        }
    }

    /// Takes in a packet. Its recording isn't looked at: whoever calls knows whose it is.
    pub fn hear(&mut self, heard: &Heard<'_>) {
        self.hear_as(heard, Keeps::Audio);
    }

    /// Takes in a packet that somebody else has decoded: its payload is 16-bit samples of 16 kHz, little-endian, and its
    /// clock the one of 8 kHz.
    pub fn hear_decoded(&mut self, heard: &Heard<'_>) {
        self.hear_as(heard, Keeps::Decoded);
    }

    fn hear_as(&mut self, heard: &Heard<'_>, keeps: Keeps) {
        if self.length.is_some() {
            return;
        }
        let keeps = match self.sheet.pause {
            Pause::Off(since) if heard.at >= since => keeps,
            Pause::Off(_) | Pause::On => Keeps::Nothing,
        };
        let [caller, callee] = &mut self.tracks;
        let track = match heard.tap.channel {
            Channel::Caller => caller,
            Channel::Callee => callee,
        };
        track.hear(heard, keeps, &mut self.sheet);
    }

    /// From `now` on nothing is kept. What was heard since then and is here already is wiped out.
    pub fn pause(&mut self, now: Instant) {
        if self.sheet.pause == Pause::On || self.length.is_some() {
            return;
        }
        let at = self.sheet.sample(now);
        self.sheet.hidden_from = at;
        for track in &mut self.tracks {
            track.silence_from(at, &mut self.sheet);
            track.flush(&mut self.sheet);
            track.wipe();
        }
        self.sheet.timeline.wipe();
        self.sheet.hidden_from = i64::MAX;
        self.sheet.pause = Pause::On;
        self.sheet.mark(at, What::Paused);
    }

    /// What is said from `now` on is kept again.
    pub fn resume(&mut self, now: Instant) {
        if self.sheet.pause != Pause::On || self.length.is_some() {
            return;
        }
        // What was said before is nobody's, even if it still waits or comes later.
        for track in &mut self.tracks {
            track.flush(&mut self.sheet);
        }
        self.sheet.pause = Pause::Off(now);
        let at = self.sheet.sample(now);
        self.sheet.hidden_until = at + self.sheet.samples(FILTERS_HOLD);
        self.sheet.mark(at, What::Resumed);
    }

    /// The next block, once nothing can come any more that belongs into it: half a second after its end. To be called
    /// until there is none. After [`Stereo::end`] it gives all that is left, at whatever time.
    pub fn poll(&mut self, now: Instant) -> Option<Block> {
        let block = self.sheet.rate.block();
        let from = self.sheet.timeline.from();
        let frames = match self.length {
            Some(length) => (length - from).min(block),
            None => {
                // One that runs behind its clock may still be written so much earlier.
                let settled = self.sheet.sample(now) - self.sheet.samples(RECORDING_LATE_MAX + ASTRAY_MAX);
                let is_given = settled >= from + block;
                let closes = is_given.then(|| self.sheet.us(from + block));
                for track in &mut self.tracks {
                    track.advance(now, closes, &mut self.sheet);
                }
                if !is_given {
                    return None;
                }
                block
            }
        };
        if frames <= 0 && self.sheet.marks.is_empty() {
            return None;
        }
        let frames = frames.max(0);
        let end = from + frames;
        let is_last = self.length.is_some_and(|length| length <= end);
        Some(Block {
            from: self.before + from as u64,
            frames: self.sheet.timeline.take(frames as usize),
            marks: self
                .sheet
                .take_marks(if is_last { i64::MAX } else { end }, self.before),
        })
    }

    /// When the next block is whole, unless it is over before. Polled earlier, it lays what has waited long enough, and
    /// gives nothing.
    pub fn due(&self) -> Instant {
        let hz = u64::from(self.sheet.rate.hz());
        let end = self.sheet.timeline.from() + self.sheet.rate.block();
        let us = end.unsigned_abs().saturating_mul(1_000_000).div_ceil(hz);
        self.sheet.begun + Duration::from_micros(us) + RECORDING_LATE_MAX + ASTRAY_MAX
    }

    /// It is over at `now`: nothing is heard any more, and [`Stereo::poll`] gives the rest.
    pub fn end(&mut self, now: Instant) {
        if self.length.is_some() {
            return;
        }
        for track in &mut self.tracks {
            track.flush(&mut self.sheet);
        }
        self.length = Some(self.sheet.sample(now));
    }

    /// Takes a block's buffer back, for one that follows.
    pub fn reuse(&mut self, frames: Vec<i16>) {
        self.sheet.timeline.reuse(frames);
    }
}

/// What both channels write on.
#[derive(Debug)]
struct Sheet {
    rate: Rate,
    begun: Instant,
    timeline: Timeline,
    marks: Vec<Mark>,
    /// What was said before this sample isn't recorded: the begin, or the end of a pause.
    hidden_until: i64,
    /// And neither is what was said from this one on: the begin of a pause, while what waits is laid.
    hidden_from: i64,
    pause: Pause,
}

impl Sheet {
    fn new(rate: Rate, begun: Instant) -> Self {
        Self {
            rate,
            begun,
            timeline: Timeline::new(rate.block() as usize),
            marks: Vec::new(),
            hidden_until: 0,
            hidden_from: i64::MAX,
            pause: Pause::Off(begun),
        }
    }

    /// The sample that is heard at `at`; negative before the begin.
    fn sample(&self, at: Instant) -> i64 {
        self.sample_at(micros(at))
    }

    /// The sample that is heard so many microseconds after the start of the process.
    fn sample_at(&self, us: i64) -> i64 {
        us.saturating_sub(micros(self.begun))
            .saturating_mul(i64::from(self.rate.hz()))
            .div_euclid(1_000_000)
    }

    /// When that sample is heard, in microseconds since the start of the process.
    fn us(&self, sample: i64) -> i64 {
        let since = sample.saturating_mul(1_000_000) / i64::from(self.rate.hz());
        micros(self.begun).saturating_add(since)
    }

    fn samples(&self, time: Duration) -> i64 {
        time.as_millis() as i64 * i64::from(self.rate.hz()) / 1_000
    }

    /// Whether what was said at that sample isn't recorded.
    fn is_hidden(&self, said: i64) -> bool {
        self.pause == Pause::On || said < self.hidden_until || said >= self.hidden_from
    }

    fn mark(&mut self, at: i64, what: What) {
        self.marks.push(Mark {
            at: at.max(0) as u64,
            what,
        });
    }

    /// A mark that a packet makes: there may be many.
    fn note(&mut self, at: i64, what: What) {
        if self.marks.len() < RECORDING_MARKS_MAX {
            self.mark(at, what);
        }
    }

    /// Packets of a channel didn't come, or samples of one found no place.
    fn lose(&mut self, channel: Channel, at: i64, lost: (u64, u64)) {
        let is_full = self.marks.len() >= RECORDING_MARKS_MAX;
        let mut of_channel = self
            .marks
            .iter_mut()
            .rev()
            .filter_map(|mark| match &mut mark.what {
                What::Lost {
                    channel: whose,
                    packets,
                    samples,
                } if *whose == channel => Some((mark.at, packets, samples)),
                What::Lost { .. }
                | What::Paused
                | What::Resumed
                | What::Restarted { .. }
                | What::Crowded { .. }
                | What::Unread { .. } => None,
            });
        match of_channel.next() {
            // It goes on, or there is no room for another.
            Some((begun, packets, samples))
                if is_full || begun.saturating_add(*samples) == at.max(0) as u64 =>
            {
                *packets = packets.saturating_add(lost.0);
                *samples = samples.saturating_add(lost.1);
            }
            Some(_) | None => {
                let (packets, samples) = lost;
                self.mark(
                    at,
                    What::Lost {
                        channel,
                        packets,
                        samples,
                    },
                );
            }
        }
    }

    /// Samples of a channel aren't there, says `what`: added to what says the same already.
    fn leave_out(&mut self, at: i64, what: What) {
        let is_full = self.marks.len() >= RECORDING_MARKS_MAX;
        let mut marks = self.marks.iter_mut().rev();
        if !marks.any(|mark| mark.what.takes(what, is_full)) {
            self.mark(at, what);
        }
    }

    /// The marks before that sample.
    fn take_marks(&mut self, end: i64, before: u64) -> Vec<Mark> {
        let is_due = |mark: &mut Mark| (mark.at as i64) < end;
        let due = self.marks.extract_if(.., is_due);
        due.map(|mark| Mark {
            at: mark.at.saturating_add(before),
            ..mark
        })
        .collect()
    }
}

/// Writes zeros over a buffer that is used again, as far as it may ever have held something.
fn wipe<T: Copy + Default>(room: &mut Vec<T>) {
    room.clear();
    room.resize(room.capacity(), T::default());
}

/// Whether there is nothing in a buffer, nor behind its end.
#[cfg(test)]
fn is_wiped<T: Copy + Default + PartialEq>(room: &Vec<T>) -> bool {
    room.len() == room.capacity() && room.iter().all(|value| *value == T::default())
}

/// Microseconds since the start of the process.
fn micros(at: Instant) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
