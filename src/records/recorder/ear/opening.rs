//! What is heard while the scribe looks for what a process before left: it waits until it is known where it belongs.

use crate::base::limits::{RECORDING_MARKS_MAX, RECORDING_OPENING_BYTES};
use crate::base::time::Instant;
use crate::rtp::tap::{Consumer, Heard, Producer, Taps as _, ring};

/// A pause begins, or ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    Pause(Instant),
    Resume(Instant),
}

impl Turn {
    const fn at(self) -> Instant {
        match self {
            Self::Pause(at) | Self::Resume(at) => at,
        }
    }
}

/// What came meanwhile.
pub(super) enum Told<'a> {
    Turn(Turn),
    Heard(&'a Heard<'a>),
}

/// A recording that isn't found yet.
pub(super) struct Opening {
    into: Producer,
    heard: Consumer,
    turns: Vec<Turn>,
    /// There were more turns than are kept.
    is_overfull: bool,
    /// Its call is over.
    is_over: bool,
}

impl Default for Opening {
    fn default() -> Self {
        let (into, heard) = ring(RECORDING_OPENING_BYTES);
        Self {
            into,
            heard,
            turns: Vec::new(),
            is_overfull: false,
            is_over: false,
        }
    }
}

impl Opening {
    pub(super) fn hear(&mut self, heard: &Heard<'_>) {
        if !self.is_over && !matches!(self.turns.last(), Some(Turn::Pause(_))) {
            self.into.hear(heard);
        }
    }

    /// Nothing more is heard of it.
    pub(super) const fn end(&mut self) {
        self.is_over = true;
    }

    pub(super) fn obey(&mut self, turn: Turn) {
        if self.turns.len() >= RECORDING_MARKS_MAX {
            // Of all of them only the last one counts.
            self.is_overfull = true;
            self.turns.clear();
        }
        self.turns.push(turn);
    }

    /// Whether nothing was heard.
    pub(super) fn is_empty(&self) -> bool {
        self.heard.is_empty()
    }

    /// Whether all that was heard is here.
    pub(super) fn is_whole(&self) -> bool {
        self.heard.missed() == 0 && !self.is_overfull
    }

    /// Whether it is paused from its begin on, at `at`.
    pub(super) fn begins_paused(&self, at: Instant) -> bool {
        matches!(self.turns.first(), Some(Turn::Pause(from)) if *from <= at)
    }

    /// Tells all of it.
    pub(super) fn replay(mut self, mut tell: impl FnMut(Told<'_>)) {
        let mut turns = self.turns.into_iter().peekable();
        self.heard.take(|heard| {
            while let Some(turn) = turns.next_if(|turn| turn.at() <= heard.at) {
                tell(Told::Turn(turn));
            }
            tell(Told::Heard(heard));
        });
        turns.for_each(|turn| tell(Told::Turn(turn)));
    }
}
