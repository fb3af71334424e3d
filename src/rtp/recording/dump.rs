//! A recording of what we can't decode: RTP as it was heard, in the format of rtptools (`rtpdump -F dump`).
//!
//! * It begins with a line of text and a header of 16 bytes: when it began, and from where. Here there is no address.
//! * Each packet has 8 bytes before it: its length with those, its length, and how many milliseconds after the begin it was
//!   heard. Numbers are big-endian.
//! * Packets stand as they were heard: header of 12 bytes, payload.
//!
//! Whose a packet is, its SSRC tells: [`Whose`] says which channel each has.

use super::{Pause, wipe};
use crate::base::limits::{
    RECORDING_BLOCK, RECORDING_DUMP_BYTES_MAX, RECORDING_LATE_MAX, RECORDING_MARKS_MAX,
};
use crate::base::time::{Instant, Wall};
use crate::rtp::packet::{self, HEADER_BYTES, Header};
use crate::rtp::tap::{Channel, Heard};

/// The first line of each dump: nobody's address.
const FIRST_LINE: &[u8] = b"#!rtpplay1.0 0.0.0.0/0\n";
/// Bytes of the header that follows it: seconds, microseconds, address, port, padding.
const FILE_HEADER_BYTES: usize = 16;
/// Bytes of both.
const HEAD_BYTES: usize = FIRST_LINE.len() + FILE_HEADER_BYTES;
/// Bytes before each packet.
const ENTRY_BYTES: usize = 8;

/// Where a piece would begin behind the last one.
const OVER: u64 = u64::MAX;

/// A block of a dump ([`RECORDING_BLOCK`]), or what is left of it at its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Milliseconds from the begin to this piece's.
    pub from_ms: u64,
    /// Bytes that follow those of the piece before.
    pub bytes: Vec<u8>,
    /// What they don't tell.
    pub marks: Vec<Mark>,
}

/// Something that packets don't tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Milliseconds after the begin.
    pub at_ms: u64,
    /// What.
    pub what: What,
}

/// What a mark of a dump says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// From here on nothing is kept.
    Paused,
    /// From here on it is again.
    Resumed,
    /// A stream begins, or its codec changes.
    Stream(Whose),
    /// There was no room for packets.
    Lost {
        /// How many.
        packets: u64,
    },
}

/// Whose packets are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Whose {
    /// Whose voice it is.
    pub channel: Channel,
    /// The SSRC of its packets.
    pub ssrc: u32,
    /// Their payload type.
    pub payload_type: u8,
    /// Its clock, in hertz.
    pub clock_hz: u32,
}

/// A dump in the making.
#[derive(Debug)]
pub struct Dump {
    begun: Instant,
    /// Milliseconds of it that were written elsewhere.
    before_ms: u64,
    /// What a file begins with, until it is given out.
    head: Vec<u8>,
    /// Packets that wait, each with the 8 bytes before it.
    entries: Vec<u8>,
    marks: Vec<Mark>,
    /// Where the next piece begins.
    from_ms: u64,
    /// What was heard last on each side.
    last: [Option<Whose>; 2],
    pause: Pause,
    /// When it ended, if it did.
    end_ms: Option<u64>,
    spare: Vec<u8>,
}

impl Dump {
    /// A dump that begins at `begun`, which is `wall`. Its first piece begins with the file's [`head`].
    pub fn new(begun: Instant, wall: Wall) -> Self {
        Self {
            head: head(wall),
            ..Self::going_on(begun, 0)
        }
    }

    /// One that goes on at `begun`, after so many milliseconds that were written elsewhere, as was the [`head`].
    pub fn going_on(begun: Instant, before_ms: u64) -> Self {
        Self {
            begun,
            before_ms,
            head: Vec::new(),
            entries: Vec::new(),
            marks: Vec::new(),
            from_ms: before_ms,
            last: [None; 2],
            pause: Pause::Off(begun),
            end_ms: None,
            spare: Vec::new(),
        }
    }

    /// Takes in a packet. Its recording isn't looked at: whoever calls knows whose it is.
    pub fn hear(&mut self, heard: &Heard<'_>) {
        let is_kept = match self.pause {
            Pause::Off(since) => heard.at >= since,
            Pause::On => false,
        };
        if !is_kept || self.end_ms.is_some() {
            return;
        }
        let at_ms = self.ms(heard.at);
        let bytes = HEADER_BYTES + heard.payload.len();
        let length = u16::try_from(ENTRY_BYTES + bytes);
        let (Ok(length), true) = (length, self.entries.len() + bytes <= RECORDING_DUMP_BYTES_MAX) else {
            self.lose(at_ms);
            return;
        };
        self.name(heard, at_ms);
        self.entries.extend(length.to_be_bytes());
        self.entries.extend((bytes as u16).to_be_bytes());
        self.entries
            .extend(u32::try_from(at_ms).unwrap_or(u32::MAX).to_be_bytes());
        let from = self.entries.len();
        self.entries.extend([0; HEADER_BYTES]);
        self.entries.extend(heard.payload);
        let header = Header {
            marker: heard.marker,
            payload_type: heard.payload_type,
            seq: heard.seq,
            timestamp: heard.timestamp,
            ssrc: heard.ssrc,
        };
        let payload = from + HEADER_BYTES..self.entries.len();
        let written = packet::write(&header, &mut self.entries, payload);
        debug_assert!(written.is_some(), "there is room before the payload");
    }

    /// From `now` on nothing is kept. What was heard since then and is here already is wiped out.
    pub fn pause(&mut self, now: Instant) {
        if self.pause == Pause::On || self.end_ms.is_some() {
            return;
        }
        self.pause = Pause::On;
        let at_ms = self.ms(now);
        self.take_before(at_ms);
        std::mem::swap(&mut self.entries, &mut self.spare);
        wipe(&mut self.spare);
        self.mark(at_ms, What::Paused);
    }

    /// What is heard from `now` on is kept again.
    pub fn resume(&mut self, now: Instant) {
        if self.pause != Pause::On || self.end_ms.is_some() {
            return;
        }
        self.pause = Pause::Off(now);
        self.mark(self.ms(now), What::Resumed);
    }

    /// The next piece, a while after its end: what was heard in it, by when it was heard here. To be called until there
    /// is none. After [`Dump::end`] it gives all that is left.
    pub fn poll(&mut self, now: Instant) -> Option<Piece> {
        let from_ms = self.from_ms;
        let next_ms = from_ms.saturating_add(RECORDING_BLOCK.as_millis() as u64);
        let is_last = self.end_ms.is_some_and(|end_ms| end_ms <= next_ms);
        let due_ms = next_ms.saturating_add(RECORDING_LATE_MAX.as_millis() as u64);
        let is_due = self.end_ms.is_some() || self.ms(now) >= due_ms;
        if from_ms == OVER || !is_due {
            return None;
        }
        let until_ms = if is_last { OVER } else { next_ms };
        self.take_before(until_ms);
        self.from_ms = until_ms;
        let mut bytes = std::mem::take(&mut self.spare);
        bytes.splice(..0, self.head.drain(..));
        let marks = self.marks.extract_if(.., |mark| mark.at_ms < until_ms).collect();
        Some(Piece {
            from_ms,
            bytes,
            marks,
        })
    }

    /// It is over at `now`: nothing is heard any more, and [`Dump::poll`] gives the rest.
    pub fn end(&mut self, now: Instant) {
        let end_ms = self.ms(now);
        self.end_ms.get_or_insert(end_ms);
    }

    /// Takes a piece's buffer back, for one that follows.
    pub fn reuse(&mut self, bytes: Vec<u8>) {
        self.spare = bytes;
    }

    fn ms(&self, at: Instant) -> u64 {
        let since = u64::try_from(at.since(self.begun).as_millis()).unwrap_or(u64::MAX);
        since.saturating_add(self.before_ms)
    }

    /// Moves what was heard before that to `spare`, in place of whatever was there.
    fn take_before(&mut self, until_ms: u64) {
        self.spare.clear();
        let mut kept = 0;
        let mut from = 0;
        while let Some(entry) = entry(&self.entries, from) {
            if u64::from(entry.at_ms) < until_ms {
                self.spare.extend_from_slice(entry.bytes);
                from += entry.bytes.len();
            } else {
                let length = entry.bytes.len();
                self.entries.copy_within(from..from + length, kept);
                (kept, from) = (kept + length, from + length);
            }
        }
        self.entries.truncate(kept);
    }

    /// Says whose packets are, if that is new.
    fn name(&mut self, heard: &Heard<'_>, at_ms: u64) {
        if heard.is_event {
            return;
        }
        let whose = Whose {
            channel: heard.tap.channel,
            ssrc: heard.ssrc,
            payload_type: heard.payload_type,
            clock_hz: heard.clock_hz,
        };
        let [caller, callee] = &mut self.last;
        let last = match whose.channel {
            Channel::Caller => caller,
            Channel::Callee => callee,
        };
        if *last != Some(whose) && self.marks.len() < RECORDING_MARKS_MAX {
            *last = Some(whose);
            self.mark(at_ms, What::Stream(whose));
        }
    }

    fn lose(&mut self, at_ms: u64) {
        match self.marks.last_mut() {
            Some(Mark {
                what: What::Lost { packets },
                ..
            }) => *packets = packets.saturating_add(1),
            Some(_) | None => self.mark(at_ms, What::Lost { packets: 1 }),
        }
    }

    fn mark(&mut self, at_ms: u64, what: What) {
        self.marks.push(Mark { at_ms, what });
    }
}

/// What the file of a dump begins with that began at `wall`.
pub fn head(wall: Wall) -> Vec<u8> {
    let ms = u64::try_from(wall.as_millis()).unwrap_or(0);
    // Until the year 2106.
    let (s, us) = ((ms / 1_000) as u32, (ms % 1_000) as u32 * 1_000);
    let mut head = FIRST_LINE.to_vec();
    head.extend(s.to_be_bytes());
    head.extend(us.to_be_bytes());
    head.resize(HEAD_BYTES, 0);
    head
}

/// A packet of a dump, with the 8 bytes before it.
struct Entry<'a> {
    at_ms: u32,
    bytes: &'a [u8],
}

/// The entry that begins there; `None` behind the last whole one.
fn entry(entries: &[u8], from: usize) -> Option<Entry<'_>> {
    let rest = entries.get(from..)?;
    let ([a, b, _, _, ms @ ..], _) = rest.split_first_chunk::<ENTRY_BYTES>()?;
    let bytes = rest.get(..u16::from_be_bytes([*a, *b]).into())?;
    (bytes.len() >= ENTRY_BYTES).then_some(Entry {
        at_ms: u32::from_be_bytes(*ms),
        bytes,
    })
}

/// The packets of a dump: milliseconds after its begin, and the packet. `None`: it isn't a dump. It ends where one isn't whole.
pub fn packets(dump: &[u8]) -> Option<impl Iterator<Item = (u32, &[u8])>> {
    // Other tools write their own addresses.
    let line = dump.strip_prefix(b"#!rtpplay1.0 ")?;
    let after = memchr::memchr(b'\n', line)? + 1;
    let entries = line.get(after + FILE_HEADER_BYTES..)?;
    let mut from = 0;
    Some(std::iter::from_fn(move || {
        let entry = entry(entries, from)?;
        from += entry.bytes.len();
        Some((entry.at_ms, entry.bytes.get(ENTRY_BYTES..)?))
    }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::id::Id;
    use crate::rtp::tap::Tap;

    const BEGUN: Instant = Instant::from_micros(77_000_000);

    fn ms(ms: u64) -> Instant {
        BEGUN + Duration::from_millis(ms)
    }

    fn hear(dump: &mut Dump, at_ms: u64, channel: Channel, seq: u16, payload: &[u8]) {
        let ssrc = match channel {
            Channel::Caller => 0x0a0a_0a0a,
            Channel::Callee => 0x0b0b_0b0b,
        };
        dump.hear(&Heard {
            tap: Tap {
                recording: Id::from_bits(1),
                channel,
            },
            at: ms(at_ms),
            ssrc,
            seq,
            timestamp: u32::from(seq) * 960,
            clock_hz: 48_000,
            marker: seq == 7,
            payload_type: 111,
            coding: None,
            is_event: false,
            is_back: false,
            payload,
        });
    }

    fn rest(dump: &mut Dump, now: Instant) -> Vec<Piece> {
        std::iter::from_fn(|| dump.poll(now)).collect()
    }

    /// When each packet was heard, and its number.
    fn heard(pieces: &[Piece]) -> Vec<(u32, u16)> {
        let file: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| piece.bytes.iter().copied())
            .collect();
        let packets = packets(&file).expect("a dump");
        let heard = packets.map(|(at, packet)| (at, packet::read(packet).expect("RTP").0.seq));
        heard.collect()
    }

    #[test]
    fn a_dump_is_what_rtptools_read() {
        let mut dump = Dump::new(BEGUN, Wall::from_millis(1_795_000_000_250));
        hear(&mut dump, 40, Channel::Callee, 7, &[0xab, 0xcd, 0xef]);
        dump.end(ms(100));
        let pieces = rest(&mut dump, ms(0));
        let marked = 0x80 | 111;
        let mut wanted = b"#!rtpplay1.0 0.0.0.0/0\n".to_vec();
        wanted.extend([0x6a, 0xfd, 0x86, 0xc0, 0, 3, 0xd0, 0x90]); // 1,795,000,000 s, 250,000 µs
        wanted.extend([0; 8]); // nobody's address, port, padding
        wanted.extend([0, 23, 0, 15, 0, 0, 0, 40]);
        wanted.extend([0x80, marked, 0, 7, 0, 0, 0x1a, 0x40, 0x0b, 0x0b, 0x0b, 0x0b]);
        wanted.extend([0xab, 0xcd, 0xef]);
        let [piece] = pieces.as_slice() else {
            panic!("one piece: {pieces:?}");
        };
        assert_eq!(piece.bytes, wanted);
        let whose = Whose {
            channel: Channel::Callee,
            ssrc: 0x0b0b_0b0b,
            payload_type: 111,
            clock_hz: 48_000,
        };
        let what = What::Stream(whose);
        assert_eq!(piece.marks, [Mark { at_ms: 40, what }], "whose it is");
    }

    #[test]
    fn pieces_are_blocks_and_make_one_file() {
        let mut dump = Dump::new(BEGUN, Wall::from_millis(0));
        let mut pieces = Vec::new();
        for n in 0..150 {
            for channel in [Channel::Caller, Channel::Callee] {
                hear(&mut dump, n * 20, channel, n as u16, &[n as u8; 40]);
            }
            for piece in rest(&mut dump, ms(n * 20)) {
                pieces.push(piece.clone());
                dump.reuse(piece.bytes);
            }
        }
        dump.end(ms(3_000));
        pieces.extend(rest(&mut dump, ms(3_000)));
        assert_eq!(
            pieces.iter().map(|piece| piece.from_ms).collect::<Vec<_>>(),
            (0..12).map(|n| n * 250).collect::<Vec<_>>()
        );
        let wanted = (0..150_u16).flat_map(|n| [(u32::from(n) * 20, n); 2]);
        assert_eq!(heard(&pieces), wanted.collect::<Vec<_>>());
        assert_eq!(heard(&pieces[..4]).len(), 100, "a second's");
        assert_eq!(dump.poll(ms(60_000)), None, "over is over");
    }

    #[test]
    fn what_goes_on_follows_a_head_or_what_is_there() {
        let wall = Wall::from_millis(1_795_000_000_250);
        let file = |mut dump: Dump| {
            hear(&mut dump, 40, Channel::Caller, 7, &[1, 2, 3]);
            dump.end(ms(1_500));
            let pieces = rest(&mut dump, ms(0));
            assert_eq!((pieces[0].from_ms, pieces.len()), (700, 6));
            let bytes: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.bytes).collect();
            bytes
        };
        let entries = file(Dump::going_on(BEGUN, 700));
        assert_eq!(
            entries.len(),
            ENTRY_BYTES + HEADER_BYTES + 3,
            "behind what is there"
        );
        let whole = [head(wall), entries].concat();
        let heard: Vec<u32> = packets(&whole).expect("a dump").map(|(at, _)| at).collect();
        assert_eq!(heard, [740], "counted from the begin of all");
    }

    #[test]
    fn what_is_heard_in_a_pause_is_not_kept() {
        let mut dump = Dump::new(BEGUN, Wall::from_millis(0));
        for n in 0..50 {
            if n == 15 {
                // Told late.
                dump.pause(ms(200));
                assert!(!dump.entries.contains(&0xee));
                assert!(crate::rtp::recording::is_wiped(&dump.spare) && dump.spare.capacity() > 0);
            }
            if n == 35 {
                dump.resume(ms(600));
            }
            let payload = if (10..30).contains(&n) { 0xee } else { 0x11 };
            // What comes out of turn is judged by when it was heard.
            let at_ms = if n == 35 { 599 } else { n * 20 };
            hear(&mut dump, at_ms, Channel::Caller, n as u16, &[payload; 10]);
        }
        dump.end(ms(1_000));
        let pieces = rest(&mut dump, ms(1_000));
        let numbers: Vec<u16> = heard(&pieces).into_iter().map(|(_, seq)| seq).collect();
        assert_eq!(numbers, (0..10).chain(36..50).collect::<Vec<_>>());
        let marks = pieces.iter().flat_map(|piece| &piece.marks);
        let whats: Vec<What> = marks.map(|mark| mark.what).skip(1).collect();
        assert_eq!(whats, [What::Paused, What::Resumed]);
    }

    #[test]
    fn more_than_there_is_room_for_is_left_out_and_said() {
        let mut dump = Dump::new(BEGUN, Wall::from_millis(0));
        for n in 0..2_000 {
            hear(&mut dump, 10, Channel::Caller, n, &[0; 1_400]);
        }
        hear(&mut dump, 10, Channel::Caller, 0, &[0; 70_000]);
        assert!(dump.entries.len() <= RECORDING_DUMP_BYTES_MAX + ENTRY_BYTES);
        dump.end(ms(1_000));
        let pieces = rest(&mut dump, ms(1_000));
        let kept = heard(&pieces).len() as u64;
        let lost = What::Lost {
            packets: 2_001 - kept,
        };
        assert_eq!(pieces[0].marks.last().map(|mark| mark.what), Some(lost));
        // SSRCs that change with each packet make no more marks than there is room for.
        let mut dump = Dump::going_on(BEGUN, 5_000);
        for n in 0..1_000 {
            let channel = Channel::Caller;
            hear(&mut dump, 10, channel, n, &[]);
            dump.last = [None; 2];
        }
        assert_eq!(dump.marks.len(), RECORDING_MARKS_MAX);
        assert_eq!(dump.poll(ms(1_400)).map(|piece| piece.from_ms), Some(5_000));
    }

    #[test]
    fn what_is_no_dump_is_not_read_and_a_torn_one_up_to_there() {
        for bytes in [
            &b""[..],
            b"RIFF",
            b"#!rtpplay1.0 0.0.0.0/0",
            b"#!rtpplay1.0 0.0.0.0/0\n1234",
        ] {
            assert!(packets(bytes).is_none());
        }
        let mut dump = Dump::new(BEGUN, Wall::from_millis(0));
        for n in 0..3 {
            hear(&mut dump, 10, Channel::Caller, n, &[5; 4]);
        }
        dump.end(ms(100));
        let [piece] = <[Piece; 1]>::try_from(rest(&mut dump, ms(100))).expect("one");
        for end in HEAD_BYTES..=piece.bytes.len() {
            let read = packets(&piece.bytes[..end]).expect("a dump").count();
            assert_eq!(read, (end - HEAD_BYTES) / 24);
        }
        // An entry shorter than what says how long it is would be read for ever.
        let mut endless = piece.bytes[..HEAD_BYTES].to_vec();
        endless.extend([0; 64]);
        assert_eq!(packets(&endless).expect("a dump").count(), 0);
    }
}
