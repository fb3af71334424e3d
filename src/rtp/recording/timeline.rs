//! The blocks of a recording that are being written, both channels side by side.

use std::collections::VecDeque;

use crate::base::limits::{RECORDING_BLOCKS_A_SECOND, RECORDING_SECONDS_MAX};
use crate::rtp::tap::Channel;

/// Blocks that are being written, at the most.
const BLOCKS_MAX: usize = RECORDING_SECONDS_MAX * RECORDING_BLOCKS_A_SECOND;
/// Buffers that are kept for reuse: as many as are being written, mostly.
const SPARE_MAX: usize = 4;

/// Blocks of stereo PCM from the first that wasn't taken yet. Silence where nothing is written.
#[derive(Debug)]
pub(super) struct Timeline {
    /// Samples of one channel in a block.
    samples: usize,
    /// The first sample that can still be written.
    from: i64,
    /// Whole blocks, as far as something was written.
    open: VecDeque<Vec<i16>>,
    spare: Vec<Vec<i16>>,
}

impl Timeline {
    pub(super) fn new(samples: usize) -> Self {
        Self {
            samples,
            from: 0,
            open: VecDeque::new(),
            spare: Vec::new(),
        }
    }

    /// The first sample that wasn't taken.
    pub(super) fn from(&self) -> i64 {
        self.from
    }

    /// Writes samples of a channel over whatever was there. Returns how many had their place: what is behind was taken
    /// already, and there is no room for what is too far ahead.
    pub(super) fn write(&mut self, channel: Channel, at: i64, samples: &[i16]) -> usize {
        let behind = usize::try_from(self.from.saturating_sub(at))
            .unwrap_or(0)
            .min(samples.len());
        let mut rest = samples.get(behind..).unwrap_or_default();
        let mut index = usize::try_from(at.saturating_sub(self.from)).unwrap_or(0);
        let mut written = 0;
        while !rest.is_empty() {
            let (block, within) = (index / self.samples, index % self.samples);
            let Some(frames) = self.block(block) else {
                break;
            };
            let room = frames.get_mut(within * 2..).unwrap_or_default();
            let count = rest.len().min(room.len() / 2);
            let pairs = room.as_chunks_mut::<2>().0.iter_mut().zip(rest);
            // Asked once, and not for each sample.
            match channel {
                Channel::Caller => pairs.for_each(|([left, _], sample)| *left = *sample),
                Channel::Callee => pairs.for_each(|([_, right], sample)| *right = *sample),
            }
            written += count;
            index += count;
            rest = rest.get(count..).unwrap_or_default();
        }
        written
    }

    /// Makes silence of everything of a channel from that sample on.
    pub(super) fn silence_from(&mut self, channel: Channel, at: i64) {
        let skipped = usize::try_from(at.saturating_sub(self.from)).unwrap_or(0);
        let frames = self
            .open
            .iter_mut()
            .flat_map(|block| block.as_chunks_mut::<2>().0);
        for frame in frames.skip(skipped) {
            *side(frame, channel) = 0;
        }
    }

    /// Takes the first block, of `frames` samples a channel if it is the last and shorter.
    pub(super) fn take(&mut self, frames: usize) -> Vec<i16> {
        let mut taken = match self.open.pop_front() {
            Some(block) => block,
            None => self.empty(),
        };
        taken.truncate(frames * 2);
        self.from = self.from.saturating_add(frames as i64);
        taken
    }

    /// Takes a buffer back that isn't needed any more.
    pub(super) fn reuse(&mut self, frames: Vec<i16>) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(frames);
        }
    }

    /// Wipes out what buffers held that wait to be used again.
    pub(super) fn wipe(&mut self) {
        self.spare.iter_mut().for_each(super::wipe);
    }

    #[cfg(test)]
    pub(super) fn is_wiped(&self) -> bool {
        self.spare.iter().all(super::is_wiped)
    }

    /// How many blocks are being written.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    fn block(&mut self, index: usize) -> Option<&mut Vec<i16>> {
        if index >= BLOCKS_MAX {
            return None;
        }
        while self.open.len() <= index {
            let empty = self.empty();
            self.open.push_back(empty);
        }
        self.open.get_mut(index)
    }

    /// A block of silence.
    fn empty(&mut self) -> Vec<i16> {
        // A buffer may still hold what was heard: nothing of that may shine through.
        let mut frames = self.spare.pop().unwrap_or_default();
        frames.clear();
        frames.resize(self.samples * 2, 0);
        frames
    }
}

/// A channel's sample of a frame.
fn side(frame: &mut [i16; 2], channel: Channel) -> &mut i16 {
    let [left, right] = frame;
    match channel {
        Channel::Caller => left,
        Channel::Callee => right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_lie_in_their_channel_over_the_edge_of_a_block() {
        let mut timeline = Timeline::new(4);
        assert_eq!(timeline.write(Channel::Caller, 2, &[1, 2, 3]), 3);
        assert_eq!(timeline.write(Channel::Callee, 3, &[7]), 1);
        assert_eq!(timeline.take(4), [0, 0, 0, 0, 1, 0, 2, 7]);
        assert_eq!(timeline.from(), 4);
        assert_eq!(timeline.take(2), [3, 0, 0, 0]);
    }

    #[test]
    fn what_was_taken_is_not_written_and_what_is_too_far_ahead_has_no_room() {
        let mut timeline = Timeline::new(4);
        timeline.take(4);
        assert_eq!(timeline.write(Channel::Caller, 2, &[1, 2, 3]), 1);
        assert_eq!(timeline.write(Channel::Caller, i64::MIN, &[1, 2]), 0);
        assert_eq!(timeline.write(Channel::Caller, i64::MAX - 1, &[1, 2]), 0);
        let end = 4 + 4 * BLOCKS_MAX as i64;
        assert_eq!(timeline.write(Channel::Caller, end - 1, &[5, 6]), 1);
        assert_eq!(timeline.open.len(), BLOCKS_MAX);
        assert_eq!(timeline.take(4), [3, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_buffer_that_is_used_again_is_silent() {
        let mut timeline = Timeline::new(2);
        timeline.write(Channel::Callee, 0, &[9, 9]);
        let taken = timeline.take(2);
        assert_eq!(taken, [0, 9, 0, 9]);
        timeline.reuse(taken);
        timeline.write(Channel::Caller, 3, &[4]);
        assert_eq!(timeline.take(2), [0, 0, 4, 0]);
    }

    #[test]
    fn silence_begins_in_one_channel_where_it_is_told_to() {
        let mut timeline = Timeline::new(2);
        timeline.write(Channel::Caller, 0, &[1, 2, 3]);
        timeline.write(Channel::Callee, 0, &[5, 6, 7]);
        timeline.silence_from(Channel::Callee, 1);
        assert_eq!(timeline.take(2), [1, 5, 2, 0]);
        assert_eq!(timeline.take(2), [3, 0, 0, 0]);
    }
}
