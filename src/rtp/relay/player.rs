//! Sounds of ours, heard on a leg in place of the other one's peer: on the same stream, in frames of 20 ms.
//!
//! All flows that play are due at whole steps of the clock, in four rounds that are 5 ms apart: so a thousand of them cost
//! two hundred wake-ups a second and no timer each, nobody's clock drifts, and no round holds up what is relayed for long.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use super::tapped::Leaves;
use super::{Flow, Relay};
use crate::base::chance::Chance;
use crate::base::limits::FRAMES_LATE_MAX;
use crate::base::time::Instant;
use crate::rtp::clip::{CLOCK_HZ, FRAME, FRAME_SAMPLES, Play};
use crate::rtp::packet;
use crate::rtp::srtp::RTP_GROWTH_MAX;
use crate::rtp::tap::Taps;

/// The rounds within a frame's time.
const ROUNDS: usize = 4;
/// The time between two of them, in microseconds.
const APART_US: u64 = FRAME.as_micros() as u64 / ROUNDS as u64;
/// Bytes of the packet of a frame.
const PACKET_BYTES: usize = packet::HEADER_BYTES + FRAME_SAMPLES;
/// The same, with room for what secures it.
type Buffer = [u8; PACKET_BYTES + RTP_GROWTH_MAX];

/// Which flows are due when.
#[derive(Debug, Default)]
pub(super) struct Rounds([Round; ROUNDS]);

/// Those that are due together, every 20 ms.
#[derive(Debug, Default)]
struct Round {
    /// When they are due next; without meaning while there are none.
    due: Instant,
    ports: Vec<u32>,
}

/// What a flow's peer hears of us.
#[derive(Debug)]
pub(super) struct Playing {
    play: Play,
    /// Frames of the clip that are over.
    frames: u64,
    /// When the next one is due.
    due: Instant,
    slot: usize,
    /// Whether nothing was heard before the next one.
    pause: Pause,
}

/// Whether a talk spurt begins (RFC 3551 §4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pause {
    Yes,
    No,
}

impl Playing {
    /// In which round it is.
    pub(super) const fn slot(&self) -> usize {
        self.slot
    }
}

impl Rounds {
    /// When the next round is due.
    pub(super) fn next(&self) -> Option<Instant> {
        let busy = self.0.iter().filter(|round| !round.ports.is_empty());
        busy.map(|round| round.due).min()
    }

    /// A flow joins the round that comes next: when, and which.
    fn join(&mut self, now: Instant, port: u32) -> (Instant, usize) {
        let step = now.as_micros().div_ceil(APART_US);
        let mut due = Instant::from_micros(step.saturating_mul(APART_US));
        let slot = (step % ROUNDS as u64) as usize;
        if let Some(round) = self.0.get_mut(slot) {
            if round.ports.is_empty() {
                round.due = due;
            }
            // The round may have been said at this very moment: whoever joins it now begins with the next.
            due = due.max(round.due);
            round.ports.push(port);
        }
        (due, slot)
    }

    /// A flow plays no more.
    pub(super) fn leave(&mut self, slot: usize, port: u32) {
        if let Some(round) = self.0.get_mut(slot) {
            round.ports.retain(|other| *other != port);
        }
    }
}

impl Relay {
    /// The peer of `port` hears this from now on, and nobody else: on the stream that it hears already, which goes on
    /// without a jump. What was played before ends. Without effect if there is no flow, or it is a fax's.
    pub fn play(&mut self, now: Instant, port: u32, play: &Play) {
        let Some(index) = self.index(port) else { return };
        let Some(flow) = self.flows.get_mut(index).and_then(Option::as_deref_mut) else {
            return;
        };
        if flow.takes.is_fax() {
            return;
        }
        if let Some(playing) = &mut flow.playing {
            playing.play.clone_from(play);
            playing.frames = 0;
            return;
        }
        // If nothing was heard since the last frame, this goes on with its beat: late, if who told us to was.
        let newest = flow.outbound.newest_at().map(|at| at + FRAME);
        let beat = flow.beat.take().filter(|due| newest == Some(*due));
        let begins = beat.map(|due| match steps(now.since(due)) {
            0 => due,
            missed => due + Duration::from_micros(missed.saturating_mul(FRAME.as_micros() as u64)),
        });
        let (due, slot) = self.rounds.join(begins.unwrap_or(now), port);
        flow.outbound.talk();
        flow.playing = Some(Box::new(Playing {
            play: play.clone(),
            frames: 0,
            due,
            slot,
            pause: if beat == Some(due) { Pause::No } else { Pause::Yes },
        }));
    }

    /// Whatever is played on `port` ends: what comes from the other leg's peer is heard again.
    pub fn hush(&mut self, port: u32) {
        let Some(flow) = self.flow(port) else { return };
        let Some(playing) = flow.playing.take() else {
            return;
        };
        flow.beat = Some(playing.due);
        if flow.keys.is_none() {
            flow.outbound.yield_to_peer();
        }
        self.rounds.leave(playing.slot, port);
    }

    /// Says what is due of every sound: the port that each packet leaves from, where to, and its bytes.
    pub fn speak(&mut self, now: Instant, mut send: impl FnMut(u32, SocketAddr, &[u8])) {
        let mut buffer = [0; PACKET_BYTES + RTP_GROWTH_MAX];
        for slot in 0..ROUNDS {
            let Some(round) = self.rounds.0.get_mut(slot) else {
                continue;
            };
            if round.ports.is_empty() || round.due > now {
                continue;
            }
            let mut due = newest(round.due, now);
            let mut ports = std::mem::take(&mut round.ports);
            while due <= now && !ports.is_empty() {
                ports.retain(|port| {
                    let said = self.say(due, *port, &mut buffer);
                    if let Said::Packet(to, bytes) = &said
                        && let Some(packet) = buffer.get(bytes.clone())
                    {
                        send(*port, *to, packet);
                    }
                    said != Said::Over
                });
                due = due + FRAME;
            }
            if let Some(round) = self.rounds.0.get_mut(slot) {
                (round.due, round.ports) = (due, ports);
            }
        }
    }

    /// Writes what a flow's peer hears at `due`.
    fn say(&mut self, due: Instant, port: u32, buffer: &mut Buffer) -> Said {
        let flow = self.index(port).and_then(|index| self.flows.get_mut(index));
        let Some(flow) = flow.and_then(Option::as_deref_mut) else {
            return Said::Over;
        };
        let before = flow.outbound.ssrc();
        let said = flow.say(due, &mut self.chance, buffer, &mut self.taps);
        if said == Said::Over {
            flow.beat = flow.playing.take().map(|playing| playing.due);
            if flow.keys.is_none() {
                flow.outbound.yield_to_peer();
            }
        }
        if flow.outbound.ssrc() != before {
            flow.retire(before, due, &mut self.timers);
        }
        said
    }
}

/// What a flow's peer hears at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Said {
    /// This part of the buffer.
    Packet(SocketAddr, Range<usize>),
    /// Nothing this time.
    Nothing,
    /// Nothing any more.
    Over,
}

impl Flow {
    fn say(
        &mut self,
        due: Instant,
        chance: &mut Chance,
        buffer: &mut Buffer,
        taps: &mut Option<Box<dyn Taps>>,
    ) -> Said {
        let Some(playing) = self.playing.as_deref_mut() else {
            return Said::Over;
        };
        if due < playing.due {
            // It came to a round that is late.
            return Said::Nothing;
        }
        let left_out = steps(due.since(playing.due));
        if left_out > 0 {
            playing.frames += left_out;
            playing.pause = Pause::Yes;
        }
        let Some(frame) = playing.play.frame(playing.frames) else {
            return Said::Over;
        };
        playing.frames += 1;
        playing.due = due + FRAME;
        let to = self.inbound.address.to();
        // A key of ours is heard alone.
        let Some(to) = to.filter(|_| self.way.sends() && self.keys.is_none()) else {
            playing.pause = Pause::Yes;
            return Said::Nothing;
        };
        if let Some(payload) = buffer.get_mut(packet::HEADER_BYTES..PACKET_BYTES) {
            payload.copy_from_slice(frame);
        }
        let marker = playing.pause == Pause::Yes;
        playing.pause = Pause::No;
        let (number, coding) = (playing.play.number, playing.play.coding);
        let header = self.outbound.speak(due, chance, number, marker, CLOCK_HZ);
        let packed =
            header.and_then(|header| packet::write(&header, buffer, packet::HEADER_BYTES..PACKET_BYTES));
        let leaves = Leaves::Audio(Some(coding));
        match packed.and_then(|packet| self.leave(due, leaves, buffer, packet, taps)) {
            Some(bytes) => Said::Packet(to, bytes),
            None => {
                if let Some(playing) = &mut self.playing {
                    playing.pause = Pause::Yes;
                }
                Said::Nothing
            }
        }
    }
}

/// From which moment on a round that was due at `due` is said at `now`: what is too late is left out.
fn newest(due: Instant, now: Instant) -> Instant {
    let late = steps(now.since(due)).saturating_sub(u64::from(FRAMES_LATE_MAX) - 1);
    due + Duration::from_micros(late.saturating_mul(FRAME.as_micros() as u64))
}

/// How many frames fit in a time.
fn steps(time: Duration) -> u64 {
    (time.as_micros() / FRAME.as_micros()) as u64
}
