//! Both parties of all calls of a line, and what they say: one thread sends and reads many packets at once, so that the
//! processors are the server's.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use crate::batch::{Inbox, Ns, Outbox, PACKET_BYTES, now};
use crate::held::{Held, Line, address, pause};
use crate::process::{cpu_seconds, cpu_seconds_by_thread, drops};
use crate::rtp::packet;

/// A packet of each stream comes every 20 ms, the streams evenly spread over them.
const FRAME: Duration = Duration::from_millis(20);
/// It wakes so often within them.
const SLOTS: usize = 20;
/// How long the last packets may be under way.
const UNDER_WAY_S: f64 = 0.5;
/// Codes that a packet's time takes: half a byte in each.
const STAMP: usize = size_of::<Ns>() * 2;

/// Calls that are held, and can talk.
pub struct Talk {
    /// Where they are.
    pub line: Line,
    held: Vec<Held>,
    /// The carrier's socket and the callee's.
    outboxes: [Outbox; 2],
    inboxes: [Inbox; 2],
    /// Packets that each stream has sent.
    said: u32,
    /// Timestamps count from here, also while nobody talks.
    began: Instant,
}

/// What came of a while of talk.
pub struct Said {
    /// Packets.
    pub sent: u64,
    /// Those that came through.
    pub came: u64,
    /// How long each of them was under way, in microseconds; the shortest first.
    pub us: Vec<u32>,
    /// What was measured: seconds of it,
    pub seconds: f64,
    /// seconds of processor time that the server's threads took,
    pub threads: BTreeMap<String, f64>,
    /// and those that all took that was here, which sent and read.
    pub here: f64,
}

impl Said {
    /// Seconds of processor time that the server took.
    pub fn server(&self) -> f64 {
        self.threads.values().sum()
    }

    /// Microseconds that so many of a thousand packets were under way at the most.
    pub fn under_way_us(&self, per_mille: usize) -> u32 {
        let place = self.us.len().saturating_sub(1) * per_mille / 1_000;
        self.us.get(place).copied().unwrap_or(0)
    }
}

impl Talk {
    /// Makes so many calls.
    pub fn new(mut line: Line, calls: usize) -> Self {
        let held = (0..calls).map(|_| line.call()).collect();
        // Until the last one's ports are open, too.
        pause(UNDER_WAY_S);
        let fds = [&line.carrier_media, &line.callee_media].map(AsRawFd::as_raw_fd);
        Self {
            held,
            outboxes: fds.map(Outbox::new),
            inboxes: fds.map(Inbox::new),
            said: 0,
            began: Instant::now(),
            line,
        }
    }

    /// How many calls there are.
    pub fn calls(&self) -> usize {
        self.held.len()
    }

    /// The first `calls` of them talk for `warm` seconds, and then for as many as are measured.
    pub fn speak(&mut self, calls: usize, warm: f64, seconds: f64) -> Said {
        let pid = self.line.server.pid();
        let ends = [&self.line.carrier_media, &self.line.callee_media].map(address);
        let dropped = |ends: [_; 2]| ends.map(drops).iter().sum::<u64>();
        let (dropped_before, here_pid) = (dropped(ends), std::process::id());
        let (mut sent, mut us) = (0, Vec::new());
        // What was silent meanwhile goes on at the time that it is now: nothing was lost by that.
        let later = (self.began.elapsed().as_millis() / FRAME.as_millis()) as u32;
        let later = later.saturating_sub(self.said);
        let begun = Instant::now();
        let mut measured = None;
        for tick in 0_u32.. {
            let slot = tick as usize % SLOTS;
            let elapsed = begun.elapsed().as_secs_f64();
            // Never within a frame: every stream has sent as many.
            if slot == 0 && elapsed >= warm + seconds {
                break;
            }
            if measured.is_none() && elapsed >= warm {
                let before = (cpu_seconds_by_thread(pid), cpu_seconds(here_pid));
                measured = Some((Instant::now(), before));
            }
            let talking = self.held.iter().take(calls).enumerate();
            for (stream, call) in talking.skip(slot).step_by(SLOTS) {
                for (side, to) in [call.caller_port, call.callee_port].into_iter().enumerate() {
                    let ssrc = (stream * 2 + side) as u32;
                    self.outboxes[side].put(to, &voice(self.said, self.said + later, ssrc));
                    sent += 1;
                }
            }
            self.outboxes.iter_mut().for_each(Outbox::flush);
            self.hear(&mut us);
            if slot == SLOTS - 1 {
                self.said += 1;
            }
            let next = begun + FRAME * (tick + 1) / SLOTS as u32;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let (since, (threads_before, here_before)) = measured.expect("it took longer than to get warm");
        let (seconds, here) = (since.elapsed().as_secs_f64(), cpu_seconds(here_pid) - here_before);
        let mut threads = cpu_seconds_by_thread(pid);
        for (name, before) in threads_before {
            *threads.entry(name).or_default() -= before;
        }
        pause(UNDER_WAY_S);
        self.hear(&mut us);
        us.sort_unstable();
        Said {
            sent,
            // What we were too slow to take was relayed all the same.
            came: us.len() as u64 + dropped(ends) - dropped_before,
            us,
            seconds,
            threads,
            here,
        }
    }

    /// Takes what has come, and how long each was under way.
    fn hear(&mut self, us: &mut Vec<u32>) {
        for inbox in &mut self.inboxes {
            inbox.read(|at, _, bytes| {
                if let Some(sent) = stamp(bytes) {
                    us.push((at.saturating_sub(sent) / 1_000) as u32);
                }
            });
        }
    }

    /// All of them hang up.
    pub fn end(&self) {
        self.held.iter().for_each(|call| self.line.end(call));
    }
}

/// 20 ms of A-law that is never silent, and ends in the time at which it was sent: each code is a positive sample of much
/// the same loudness, so that no filter makes a zero of it.
fn voice(seq: u32, frame: u32, ssrc: u32) -> [u8; PACKET_BYTES] {
    let mut packet = packet(frame, ssrc);
    packet[2..4].copy_from_slice(&(seq as u16).to_be_bytes());
    let (codes, stamp) = packet[12..].split_at_mut(160 - STAMP);
    let mut noise = (seq ^ ssrc << 16).wrapping_mul(0x9E37_79B9) | 1;
    for code in codes {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        *code = half(noise as u8);
    }
    let now = now();
    for (n, code) in stamp.iter_mut().enumerate() {
        *code = half((now >> (n * 4)) as u8);
    }
    packet
}

/// A positive sample that holds the lower half of a byte.
fn half(byte: u8) -> u8 {
    (0xD0 | byte & 0x0F) ^ 0x55
}

/// When it was sent; `None`: it is no packet of ours.
fn stamp(packet: &[u8]) -> Option<Ns> {
    if packet.len() != PACKET_BYTES {
        return None;
    }
    let codes = packet[PACKET_BYTES - STAMP..].iter().enumerate();
    Some(codes.fold(0, |stamp, (n, code)| {
        stamp | Ns::from((code ^ 0x55) & 0x0F) << (n * 4)
    }))
}
