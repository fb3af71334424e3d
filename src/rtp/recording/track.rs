//! One channel: packets as they come, laid where they were said.

use super::clock::{SenderClock, Slew};
use super::queue::{Holds, Packet, Queue};
use super::voice::Voice;
use super::{ASTRAY_MAX, BEHIND_MAX, Sheet, What, micros};
use crate::base::limits::RECORDING_LATE_MAX;
use crate::base::time::Instant;
use crate::rtp::clip::CLOCK_HZ;
use crate::rtp::tap::{Channel, Heard};

/// Sequence numbers up to this far ahead are loss; a larger jump is another stream (RFC 3550 §A.1).
const DROPOUT_MAX: i64 = 3_000;
/// A packet may come this late and still belong to the stream (RFC 3550 §A.1).
const MISORDER_MAX: i64 = 100;
/// How much earlier than any of late a packet may come, in microseconds: the way became shorter. More is a clock that jumped.
const EARLY_MAX: i64 = 200_000;
/// And how much earlier while nothing of a stream is laid: its first packets may have waited somewhere, and come at once.
const EARLY_AT_FIRST_MAX: i64 = 1_000_000;
/// How late one may come, in microseconds: more is a clock that jumped back, or a network that stood still.
const LATE_MAX: i64 = RECORDING_LATE_MAX.as_micros() as i64;
/// Within how many microseconds packets beside the stream must agree to be one.
const AGREE_MAX: i64 = 1_000_000;
/// For how many microseconds they must come before they are the stream. What a network held up comes faster than that.
const ASIDE_MIN: i64 = 100_000;
/// The payload type of comfort noise (RFC 3389).
const COMFORT_NOISE: u8 = 13;
/// Audio of a packet that can't be decoded, in microseconds, as long as none that follows says how much it was.
const UNREAD_USUAL: i64 = 20_000;
/// And the most that it can be: what is longer is a pause (RFC 7587 §4.2 has 120 ms).
const UNREAD_MAX: i64 = 120_000;
/// The fewest samples that are stretched: shorter packets keep their length.
const STRETCHED_MIN: usize = 40;

/// What is kept of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keeps {
    /// All of it.
    Audio,
    /// All of it, and it is decoded already.
    Decoded,
    /// That it came.
    Nothing,
}

/// One side of a recording.
#[derive(Debug)]
pub(super) struct Track {
    channel: Channel,
    stream: Option<Stream>,
    /// Packets that don't fit into the stream: strays, or what it will be.
    aside: Option<Box<Aside>>,
    voice: Voice,
    slew: Slew,
    /// The sample behind the last one that was written; before all of them at first, when there is nothing to follow.
    cursor: i64,
    /// By how many samples what was written lately lies before its time, at the most.
    ahead: i64,
    /// Audio was written last: what has the next timestamp follows without an edge.
    is_running: bool,
    /// The stream is another one, and nothing says so yet.
    is_anew: bool,
    /// What was laid last can't be read.
    is_unread: bool,
    /// The number of the packet that came first after an outage.
    back: Option<i64>,
}

/// Packets of one timeline.
#[derive(Debug)]
struct Stream {
    ssrc: u32,
    clock_hz: u32,
    /// Of the newest packet, each on without end.
    seq: i64,
    ts: i64,
    clock: SenderClock,
    /// The least delay when one was last known, in microseconds.
    delay: i64,
    /// When its first packet came, in microseconds.
    since: i64,
    queue: Queue,
    /// What follows what was laid last.
    next: Option<Next>,
}

#[derive(Clone, Copy, Debug)]
struct Next {
    seq: i64,
    ts: i64,
}

#[derive(Debug)]
struct Aside {
    stream: Stream,
    since: Instant,
    /// Whether these are only late: the stream may still take them.
    is_late: bool,
}

/// How a packet continues a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fits {
    /// It is the stream's newest.
    Newest,
    /// It is the stream's, and comes out of order.
    Straggler,
    /// It would be the stream's next but for its time, which is long past.
    Late,
    /// It isn't the stream's.
    No,
}

/// Where a packet lies in a stream.
#[derive(Clone, Copy, Debug)]
struct Place {
    seq: i64,
    ts: i64,
    /// Arrival − RTP time, in microseconds.
    delay: i64,
}

impl Stream {
    fn new(heard: &Heard<'_>, queue: Queue) -> Self {
        Self {
            ssrc: heard.ssrc,
            clock_hz: heard.clock_hz,
            seq: heard.seq.into(),
            ts: heard.timestamp.into(),
            clock: SenderClock::default(),
            delay: 0,
            since: micros(heard.at),
            queue,
            next: None,
        }
    }

    fn place(&self, heard: &Heard<'_>) -> Place {
        // The nearest to the newest one, around each wrap.
        let seq = self.seq + i64::from(heard.seq.wrapping_sub(self.seq as u16) as i16);
        let ts = if heard.is_event {
            // All packets of an event have its first moment.
            self.ts
        } else {
            let ahead = heard.timestamp.wrapping_sub(self.ts as u32) as i32;
            self.ts.saturating_add(ahead.into())
        };
        let delay = micros(heard.at).saturating_sub(self.rtp_us(ts));
        Place { seq, ts, delay }
    }

    /// A timestamp in microseconds.
    fn rtp_us(&self, ts: i64) -> i64 {
        ts.saturating_mul(1_000_000) / i64::from(self.clock_hz.max(1))
    }

    /// When, in microseconds since the start of the process, that timestamp is heard.
    fn us(&self, ts: i64) -> i64 {
        self.rtp_us(ts).saturating_add(self.delay)
    }

    fn fits(&self, heard: &Heard<'_>, place: Place) -> Fits {
        if (self.ssrc, self.clock_hz) != (heard.ssrc, heard.clock_hz) {
            return Fits::No;
        }
        let ahead = place.seq - self.seq;
        if !(-MISORDER_MAX..DROPOUT_MAX).contains(&ahead) {
            return Fits::No;
        }
        let late = match self.clock.low() {
            Some(low) if !heard.is_event => place.delay.saturating_sub(low),
            Some(_) | None => 0,
        };
        let early_max = match self.next {
            None => EARLY_AT_FIRST_MAX,
            Some(_) => EARLY_MAX,
        };
        match (ahead <= 0, late) {
            (_, late) if late < -early_max => Fits::No,
            (true, _) => Fits::Straggler,
            (false, late) if late > LATE_MAX => Fits::Late,
            (false, _) => Fits::Newest,
        }
    }

    /// Takes in a packet that fits; whoever calls has made room.
    fn take(&mut self, heard: &Heard<'_>, place: Place, keeps: Keeps) {
        if place.seq > self.seq {
            self.seq = place.seq;
            self.ts = place.ts;
        }
        if !heard.is_event {
            self.clock.hear(heard.at, place.delay);
            self.delay = self.clock.low().unwrap_or(self.delay);
        }
        let is_over = self.next.is_some_and(|next| place.seq < next.seq);
        if !is_over {
            let holds = holds(heard, keeps);
            self.queue.insert(place.seq, place.ts, holds, heard.payload);
        }
    }
}

impl Aside {
    /// Whether the network held these up, and nothing but that: they came at once, and not as they were said.
    fn is_held_up(&self) -> bool {
        let Some(first) = self.stream.queue.front().filter(|_| self.is_late) else {
            return false;
        };
        let first_us = self.stream.rtp_us(first.ts);
        let said = self.stream.rtp_us(self.stream.ts).saturating_sub(first_us);
        // By how much less the last one was late than the first one.
        let caught_up = micros(self.since)
            .saturating_sub(first_us)
            .saturating_sub(self.stream.delay);
        said > 0 && caught_up > said / 2
    }
}

/// What of a packet goes into a recording.
fn holds(heard: &Heard<'_>, keeps: Keeps) -> Holds {
    match (keeps, heard.coding) {
        (Keeps::Nothing, _) => Holds::Nothing,
        (Keeps::Decoded, _) => Holds::Decoded,
        (Keeps::Audio, _) if heard.is_event || heard.payload_type == COMFORT_NOISE => Holds::Nothing,
        // A byte of each coding is a tick of 8 kHz.
        (Keeps::Audio, Some(coding)) if heard.clock_hz == CLOCK_HZ => Holds::Audio(coding),
        (Keeps::Audio, Some(_) | None) => Holds::Unread(heard.payload_type),
    }
}

/// Whether silence stands for a packet, because its codec isn't decoded.
pub fn is_unread(heard: &Heard<'_>) -> bool {
    matches!(holds(heard, Keeps::Audio), Holds::Unread(_))
}

impl Track {
    pub(super) fn new(channel: Channel) -> Self {
        Self {
            channel,
            stream: None,
            aside: None,
            voice: Voice::default(),
            slew: Slew::default(),
            cursor: i64::MIN,
            ahead: 0,
            is_running: false,
            is_anew: false,
            is_unread: false,
            back: None,
        }
    }

    pub(super) fn hear(&mut self, heard: &Heard<'_>, keeps: Keeps, sheet: &mut Sheet) {
        if heard.clock_hz == 0 {
            return;
        }
        let Some(stream) = &mut self.stream else {
            if !heard.is_event {
                self.begin(heard, keeps);
            }
            return;
        };
        let is_other = (stream.ssrc, stream.clock_hz) != (heard.ssrc, heard.clock_hz);
        if is_other && heard.is_event {
            return;
        }
        if is_other {
            self.flush(sheet);
            self.is_anew = true;
            self.begin(heard, keeps);
            return;
        }
        stream.clock.pass(heard.at);
        let place = stream.place(heard);
        match stream.fits(heard, place) {
            Fits::Newest => {
                // After a pause of its own it may go on by another clock.
                let is_silent = stream.clock.low().is_none() && !heard.is_event;
                if is_silent && place.delay.abs_diff(stream.delay) > LATE_MAX.unsigned_abs() {
                    self.flush(sheet);
                    self.is_anew = true;
                    self.begin(heard, keeps);
                    return;
                }
                if !heard.is_event && self.aside.is_some() {
                    self.settle(place.seq, sheet);
                }
                self.take(heard, keeps, sheet);
            }
            Fits::Straggler => self.take(heard, keeps, sheet),
            Fits::Late => self.set_aside(heard, keeps, true, sheet),
            Fits::No if heard.is_event => {}
            Fits::No => self.set_aside(heard, keeps, false, sheet),
        }
    }

    /// The first packet of a stream.
    fn begin(&mut self, heard: &Heard<'_>, keeps: Keeps) {
        self.aside = None;
        self.back = None;
        self.voice.renew();
        let queue = self.stream.take().map(|stream| stream.queue).unwrap_or_default();
        let stream = self.stream.insert(Stream::new(heard, queue));
        let place = stream.place(heard);
        stream.take(heard, place, keeps);
    }

    fn take(&mut self, heard: &Heard<'_>, keeps: Keeps, sheet: &mut Sheet) {
        if self.stream.as_ref().is_some_and(|stream| stream.queue.is_full()) {
            self.lay_first(sheet);
        }
        if let Some(stream) = &mut self.stream {
            let place = stream.place(heard);
            stream.take(heard, place, keeps);
            if heard.is_back {
                self.back = Some(place.seq);
            }
        }
    }

    /// The stream goes on as it was, with `newest`: what was only late is its own, and strays are nobody's.
    fn settle(&mut self, newest: i64, sheet: &mut Sheet) {
        let Some(mut aside) = self.aside.take().filter(|aside| aside.is_late) else {
            return;
        };
        while let Some(packet) = aside.stream.queue.pop() {
            let is_full = |stream: &Stream| stream.queue.is_full();
            if self.stream.as_ref().is_some_and(is_full) {
                self.lay_first(sheet);
            }
            let Some(stream) = &mut self.stream else {
                return;
            };
            let seq = stream.seq + i64::from((packet.seq as u16).wrapping_sub(stream.seq as u16) as i16);
            let ahead = (packet.ts as u32).wrapping_sub(stream.ts as u32) as i32;
            let ts = stream.ts.saturating_add(ahead.into());
            let is_over = stream.next.is_some_and(|next| seq < next.seq);
            if !is_over && seq < newest {
                stream.queue.insert(seq, ts, packet.holds, &packet.codes);
            }
        }
    }

    /// A packet doesn't fit into the stream. Once there are enough that fit together, they are the stream.
    fn set_aside(&mut self, heard: &Heard<'_>, keeps: Keeps, is_late: bool, sheet: &mut Sheet) {
        let fits = |aside: &Aside| {
            let place = aside.stream.place(heard);
            let ahead = place.seq - aside.stream.seq;
            let apart = place.delay.saturating_sub(aside.stream.delay);
            // Its queue leaves out what comes twice, and puts in order what doesn't come so.
            aside.is_late == is_late
                && !aside.stream.queue.is_full()
                && (-MISORDER_MAX..DROPOUT_MAX).contains(&ahead)
                && (-AGREE_MAX..LATE_MAX).contains(&apart)
        };
        if self.aside.as_deref().is_some_and(|aside| !fits(aside)) {
            self.forget_aside(2, sheet);
        }
        let aside = self.aside.get_or_insert_with(|| {
            Box::new(Aside {
                stream: Stream::new(heard, Queue::default()),
                since: heard.at,
                is_late,
            })
        });
        let place = aside.stream.place(heard);
        aside.stream.take(heard, place, keeps);
        let is_enough = |aside: &mut Box<Aside>| {
            aside.stream.queue.len() > 1 && micros(heard.at).saturating_sub(micros(aside.since)) >= ASIDE_MIN
        };
        if let Some(aside) = self.aside.take_if(is_enough) {
            self.lay_all(sheet);
            self.adopt(*aside);
        }
    }

    /// Those that were set aside are the stream.
    fn adopt(&mut self, aside: Aside) {
        self.is_anew = true;
        self.back = None;
        self.voice.renew();
        self.stream = Some(aside.stream);
    }

    /// What was set aside is nobody's. If that was so many packets, they weren't strays: they are lost.
    fn forget_aside(&mut self, lost_min: usize, sheet: &mut Sheet) {
        let Some(aside) = self.aside.take() else {
            return;
        };
        let stream = &aside.stream;
        let Some(first) = stream.queue.front().filter(|_| stream.queue.len() >= lost_min) else {
            return;
        };
        let said = sheet.sample_at(stream.us(first.ts));
        if sheet.is_hidden(said) {
            return;
        }
        let held = stream.queue.packets();
        let (packets, codes) = held
            .filter(|packet| packet.holds != Holds::Nothing)
            .fold((0, 0), |(packets, codes), packet| {
                (packets + 1, codes + packet.ticks().unsigned_abs())
            });
        if packets > 0 {
            let samples = codes.saturating_mul(sheet.rate.per_tick().unsigned_abs());
            sheet.lose(self.channel, said, (packets, samples));
        }
    }

    /// Lays what has waited long enough at `now`: until those before it must have come, and until it is known by how much
    /// the first ones of the stream were late. Before `closes`, in microseconds, nothing can be written any more after this.
    pub(super) fn advance(&mut self, now: Instant, closes: Option<i64>, sheet: &mut Sheet) {
        if closes.is_some() && self.aside.as_deref().is_some_and(Aside::is_held_up) {
            // It belongs into what closes now, or nowhere.
            self.settle(i64::MAX, sheet);
        }
        let now = micros(now);
        let is_due = |stream: &Stream| {
            let is_settled = stream.since.saturating_add(LATE_MAX) <= now;
            stream.queue.front().is_some_and(|packet| {
                let said = stream.us(packet.ts);
                let is_late = is_settled && said.saturating_add(LATE_MAX) <= now;
                is_late || closes.is_some_and(|closes| said < closes)
            })
        };
        while self.stream.as_ref().is_some_and(is_due) {
            self.lay_first(sheet);
        }
    }

    /// Lays all that waits. What didn't fit isn't waited for either: it is the stream if its packets agree, and lost
    /// if there is one only.
    pub(super) fn flush(&mut self, sheet: &mut Sheet) {
        if self.aside.as_ref().is_some_and(|aside| aside.is_held_up()) {
            self.settle(i64::MAX, sheet);
        }
        self.lay_all(sheet);
        if let Some(aside) = self.aside.take_if(|aside| aside.stream.queue.len() > 1) {
            self.adopt(*aside);
            self.lay_all(sheet);
        }
        self.forget_aside(1, sheet);
    }

    fn lay_all(&mut self, sheet: &mut Sheet) {
        while self
            .stream
            .as_ref()
            .is_some_and(|stream| stream.queue.front().is_some())
        {
            self.lay_first(sheet);
        }
    }

    /// Wipes out what buffers hold of what was laid.
    pub(super) fn wipe(&mut self) {
        self.voice.wipe();
        self.is_running = false;
        if let Some(stream) = &mut self.stream {
            stream.queue.wipe();
        }
    }

    #[cfg(test)]
    pub(super) fn is_wiped(&self) -> bool {
        let mut streams = self.stream.iter();
        self.voice.is_wiped() && streams.all(|stream| stream.queue.is_wiped())
    }

    /// Wipes out what is written of what was said from that sample on.
    pub(super) fn silence_from(&mut self, at: i64, sheet: &mut Sheet) {
        let from = at.saturating_sub(self.ahead);
        sheet.timeline.silence_from(self.channel, from);
    }

    fn lay_first(&mut self, sheet: &mut Sheet) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        let Some(packet) = stream.queue.pop() else {
            return;
        };
        let said = sheet.sample_at(stream.us(packet.ts));
        let next = stream.next;
        self.note(&packet, next, said, sheet);
        let ts = self.lay(&packet, next, said, sheet);
        if let Some(stream) = &mut self.stream {
            let seq = packet.seq + 1;
            stream.next = Some(Next { seq, ts });
            stream.queue.reuse(packet);
        }
    }

    /// How many packets wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        let aside = self.aside.iter().map(|aside| &aside.stream);
        let streams = self.stream.iter().chain(aside);
        streams.map(|stream| stream.queue.packets().count()).sum()
    }

    /// Whether that code waits in a packet.
    #[cfg(test)]
    pub(super) fn holds_code(&self, code: u8) -> bool {
        let mut packets = self.stream.iter().flat_map(|stream| stream.queue.packets());
        packets.any(|packet| packet.codes.contains(&code))
    }

    /// Marks what is to be said of a packet that is heard at the sample `said`.
    fn note(&mut self, packet: &Packet, next: Option<Next>, said: i64, sheet: &mut Sheet) {
        let channel = self.channel;
        let is_hidden = sheet.is_hidden(said);
        if self.is_anew && !is_hidden {
            self.is_anew = false;
            sheet.note(said, What::Restarted { channel });
        }
        let is_back = self.back.take_if(|seq| *seq <= packet.seq).is_some();
        if let Some(next) = next
            && (packet.seq > next.seq || is_back)
            && !is_hidden
        {
            let ticks = packet.ts.saturating_sub(next.ts).max(0);
            let samples = ticks.saturating_mul(sheet.rate.per_tick());
            let lost = match is_back {
                false => packet.seq - next.seq,
                // Its numbers don't say: as many of this one's length as there is time for.
                true => (ticks / packet.ticks().max(1)).max(1),
            };
            let at = said.saturating_sub(samples);
            sheet.lose(channel, at, (lost.unsigned_abs(), samples.unsigned_abs()));
        }
        match packet.holds {
            Holds::Audio(_) | Holds::Decoded => self.is_unread = false,
            Holds::Nothing => {}
            Holds::Unread(payload_type) => {
                // How long the one before was is known now, and that of the first one is made good for by the last one's.
                let follows = next.filter(|next| self.is_unread && next.seq == packet.seq);
                let us = match (follows, &self.stream) {
                    (Some(next), Some(stream)) => stream.rtp_us(packet.ts.saturating_sub(next.ts)),
                    (Some(_) | None, _) => UNREAD_USUAL,
                };
                let samples = us.clamp(0, UNREAD_MAX) * i64::from(sheet.rate.hz()) / 1_000_000;
                if !is_hidden {
                    let what = What::Unread {
                        channel,
                        payload_type,
                        samples: samples.unsigned_abs(),
                    };
                    sheet.leave_out(said, what);
                }
                self.is_unread = true;
            }
        }
    }

    /// Writes a packet's audio where it belongs; the timestamp that follows.
    fn lay(&mut self, packet: &Packet, next: Option<Next>, said: i64, sheet: &mut Sheet) -> i64 {
        // What was said already isn't said again.
        let (codes, ts) = (packet.ticks(), packet.ts);
        let again = next.map_or(0, |next| next.ts.saturating_sub(ts).clamp(0, codes));
        let behind = next.map_or(ts, |next| next.ts.max(ts));
        let coding = match packet.holds {
            Holds::Audio(coding) => Some(coding),
            Holds::Decoded => None,
            Holds::Nothing | Holds::Unread(_) => {
                self.is_running = false;
                return behind;
            }
        };
        if again == codes {
            return behind;
        }
        let ts = ts.saturating_add(again);
        let follows = self.is_running && next.is_some_and(|next| next.ts == ts);
        if !follows {
            self.voice.break_off();
        }
        let rate = sheet.rate;
        let again = again.saturating_mul(rate.per_tick());
        let said = said.saturating_add(again);
        let count = self.voice.decode(rate, coding, &packet.codes, again as usize);
        let late = said.saturating_sub(self.cursor);
        let is_astray = late > sheet.samples(ASTRAY_MAX) || late < -sheet.samples(BEHIND_MAX);
        let (from, change) = match (follows, is_astray) {
            (true, false) if count >= STRETCHED_MIN => (self.cursor, self.slew.mend(late, rate.hz())),
            (true, false) => (self.cursor, 0),
            (true, true) => {
                let channel = self.channel;
                sheet.note(said, What::Restarted { channel });
                (said, 0)
            }
            // It runs behind what was said before, and mends that as it goes on.
            (false, false) => (said.max(self.cursor), 0),
            (false, true) => (said, 0),
        };
        let samples = self.voice.samples(change);
        // By when it was said, wherever it lies.
        let [hidden, shown] = [sheet.hidden_until, sheet.hidden_from].map(|edge| {
            let samples_before = usize::try_from(edge.saturating_sub(said)).unwrap_or(0);
            samples_before.min(samples.len())
        });
        let shown = samples.get(hidden..shown).unwrap_or_default();
        let shown_from = from.saturating_add(hidden as i64);
        // What lies before this is given out already.
        let closed = sheet.timeline.from().saturating_sub(shown_from);
        let late = usize::try_from(closed).unwrap_or(0).min(shown.len());
        if late > 0 {
            sheet.lose(self.channel, shown_from, (1, late as u64));
        }
        let written = sheet.timeline.write(self.channel, shown_from, shown);
        let ahead = (shown.len() - late).saturating_sub(written);
        if ahead > 0 {
            let at = shown_from.saturating_add((shown.len() - ahead) as i64);
            let (channel, samples) = (self.channel, ahead as u64);
            sheet.leave_out(at, What::Crowded { channel, samples });
        }
        self.cursor = from.saturating_add(samples.len() as i64);
        // What was written a while ago may lie a little further ahead.
        self.ahead = said.saturating_sub(from).max(self.ahead - 1).max(0);
        self.is_running = true;
        packet.ts.saturating_add(codes)
    }
}
