//! The tap: what a leg's peer hears of us, on its way to whoever records it.
//!
//! It sits where a packet to that peer is ready and still in clear. So a recording has what was heard: prompts and tones
//! in their places, nothing that was dropped or held back, and one timeline of our own making, whatever SSRCs, addresses
//! and keys came and went on the other side.

use crate::base::id::Id;
use crate::base::time::Instant;

use super::clip::Coding;

/// Whose voice a channel holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Channel {
    /// The left one: what the callee hears, so the caller, or what we play to the callee.
    Caller,
    /// The right one: what the caller hears, so the callee, or what we play to the caller.
    Callee,
}

/// Where what a flow's peer hears is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tap {
    /// Of which recording.
    pub recording: Id,
    /// Which channel of it.
    pub channel: Channel,
}

/// A packet that a flow's peer hears, in clear: as it is sent, but for what secures it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heard<'a> {
    /// Where it is recorded.
    pub tap: Tap,
    /// When it left. A sound of ours says when it was due: mostly then, and otherwise a little before.
    pub at: Instant,
    /// Our SSRC towards that peer. Another one is another timeline.
    pub ssrc: u32,
    /// Sequence number: what is lost on its way to us leaves a hole, and what comes late comes late.
    pub seq: u16,
    /// Timestamp, in ticks of the clock; an event's packets all have its first moment.
    pub timestamp: u32,
    /// The audio's clock, in hertz, for events too (G.722's is 8,000, RFC 3551 §4.5.2).
    pub clock_hz: u32,
    /// The number that it goes out under.
    pub payload_type: u8,
    /// How the audio is coded; `None`: in a way that we can't read, or it is an event.
    pub coding: Option<Coding>,
    /// A key as an RFC 4733 telephone-event, and no audio.
    pub is_event: bool,
    /// The payload.
    pub payload: &'a [u8],
}

/// Takes what taps hear.
pub trait Taps: Send {
    /// A packet is about to leave. Called where packets move, so it waits for nothing.
    fn hear(&mut self, heard: &Heard<'_>);
}
