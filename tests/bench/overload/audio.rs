//! What becomes of the audio of calls that stay up. Each packet has a name, so that one that doesn't come is known, and one
//! that comes twice stands for no other.

use std::collections::HashMap;
use std::iter::Sum;
use std::time::Duration;

/// A packet that needs longer is heard as a gap by a phone with a buffer of three frames.
pub const LATE: Duration = Duration::from_millis(60);

/// The bytes of a packet: header, and 20 ms of PCMA.
const BYTES: usize = 172;
/// Where its name stands.
const NAME: std::ops::Range<usize> = 12..20;
/// The byte that tells a call that stays up from one that passes.
const KIND: usize = 20;
const HELD: u8 = 0xA5;

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Who called.
    Caller,
    /// Who was called.
    Callee,
}

/// What became of audio.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Audio {
    /// Packets that were sent.
    pub sent: u64,
    /// Those of them that never came.
    pub lost: u64,
    /// Those that came after [`LATE`].
    pub late: u64,
    /// How long the slowest took that came.
    pub worst_ms: f64,
}

impl Sum for Audio {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            sent: sum.sent + one.sent,
            lost: sum.lost + one.lost,
            late: sum.late + one.late,
            worst_ms: sum.worst_ms.max(one.worst_ms),
        })
    }
}

/// Which packets were sent in a step, and what became of each.
#[derive(Default)]
pub struct Ledger {
    is_counting: bool,
    /// Those that have not come, with the time at which each was sent.
    on_way: HashMap<u64, Duration>,
    audio: Audio,
}

impl Ledger {
    /// What is sent from now on counts.
    pub fn begin(&mut self) {
        *self = Self {
            is_counting: true,
            ..Self::default()
        };
    }

    /// What is sent from now on doesn't count; what was sent before is waited for.
    pub fn stop(&mut self) {
        self.is_counting = false;
    }

    /// Whether something that counts has not come.
    pub fn is_awaited(&self) -> bool {
        !self.on_way.is_empty()
    }

    /// What became of all that counted: what has not come by now is lost.
    pub fn end(&mut self) -> Audio {
        let mut audio = std::mem::take(self);
        audio.audio.lost = audio.on_way.len() as u64;
        audio.audio
    }

    /// A packet was sent.
    pub fn sent(&mut self, now: Duration, packet: &[u8]) {
        if let Some(name) = name_of(packet).filter(|_| self.is_counting) {
            self.audio.sent += 1;
            self.on_way.insert(name, now);
        }
    }

    /// One came to this side.
    pub fn came(&mut self, now: Duration, to: Side, packet: &[u8]) {
        let name = name_of(packet).filter(|name| name & 1 != bit(to));
        let Some(sent) = name.and_then(|name| self.on_way.remove(&name)) else {
            return;
        };
        let took = now.saturating_sub(sent);
        self.audio.late += u64::from(took > LATE);
        self.audio.worst_ms = self.audio.worst_ms.max(took.as_secs_f64() * 1e3);
    }
}

/// A packet of a call that stays up.
pub fn held(frame: u32, stream: u16, from: Side) -> [u8; BYTES] {
    let mut packet = passing(frame, stream);
    let name = u64::from(frame) << 32 | u64::from(stream) << 1 | bit(from);
    packet[NAME].copy_from_slice(&name.to_be_bytes());
    packet[KIND] = HELD;
    packet
}

/// A packet of one that comes and goes.
pub fn passing(frame: u32, stream: u16) -> [u8; BYTES] {
    let mut packet = [0xD5; BYTES];
    packet[..2].copy_from_slice(&[0x80, 8]);
    packet[2..4].copy_from_slice(&(frame as u16).to_be_bytes());
    packet[4..8].copy_from_slice(&frame.wrapping_mul(160).to_be_bytes());
    packet[8..12].copy_from_slice(&(u32::from(stream) + 1).to_be_bytes());
    packet
}

/// Who it is, whatever the header says that the server has written anew.
fn name_of(packet: &[u8]) -> Option<u64> {
    let name = packet.get(NAME)?.try_into().ok()?;
    (packet.len() == BYTES && packet[KIND] == HELD).then(|| u64::from_be_bytes(name))
}

fn bit(side: Side) -> u64 {
    match side {
        Side::Caller => 0,
        Side::Callee => 1,
    }
}
