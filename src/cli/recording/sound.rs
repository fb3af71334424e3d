//! What is heard in a recording, whichever way its audio is kept: frames of both channels, one second after the other.

use std::io;

use anyhow::{Context, bail};

use crate::records::recordings::chain::{Audio, Channel, Mark, What};
use crate::records::recordings::read::Reader;
use crate::rtp::recording::Rate;
use crate::rtp::recording::dump::{self, Whose};
use crate::rtp::recording::replay::{Codec, Count, Replay};
use crate::rtp::tap;
use crate::rtp::wav::HEADER_BYTES;

/// Bytes that are read at once.
const PIECE_BYTES: usize = 256 << 10;
/// Bytes of the longest dump that is read: both sides' Opus of more than a day.
const DUMP_BYTES_MAX: u64 = 1 << 30;

/// A recording's sound.
pub(super) struct Sound {
    /// Samples a second of each channel.
    pub(super) rate_hz: u32,
    /// How many there are of each.
    pub(super) samples: u64,
    replay: Option<Box<Replay>>,
    streams: Vec<Whose>,
}

impl Sound {
    /// Of a recording that is open.
    pub(super) fn of(reader: &Reader) -> Self {
        Self::with(reader, Replay::new)
    }

    /// The same, of a dump with so many samples a second.
    pub(super) fn at_rate(reader: &Reader, rate_hz: u32) -> Self {
        let rate = match rate_hz == Rate::Wide.hz() {
            true => Rate::Wide,
            false => Rate::Narrow,
        };
        Self::with(reader, |streams| Replay::at(rate, streams))
    }

    fn with(reader: &Reader, replay: impl FnOnce(Vec<Whose>) -> Replay) -> Self {
        let (length, rate_hz) = (reader.samples(), reader.head().rate);
        match reader.head().audio {
            Audio::Wav => Self {
                rate_hz,
                samples: length,
                replay: None,
                streams: Vec::new(),
            },
            Audio::Rtpdump => {
                let streams: Vec<Whose> = reader.marks().filter_map(stream).collect();
                let replay = replay(streams.clone());
                let rate = replay.rate().hz();
                Self {
                    rate_hz: rate,
                    samples: length.saturating_mul(rate.into()) / u64::from(rate_hz.max(1)),
                    replay: Some(Box::new(replay)),
                    streams,
                }
            }
        }
    }

    /// The streams that aren't decoded here, each once, and whether there is any that is.
    pub(super) fn unread(&self) -> (Vec<Whose>, bool) {
        let mut unread: Vec<Whose> = Vec::new();
        for whose in &self.streams {
            let is_known =
                |known: &Whose| (known.channel, known.payload_type) == (whose.channel, whose.payload_type);
            if whose.codec() == Codec::Unread && !unread.iter().any(is_known) {
                unread.push(*whose);
            }
        }
        let is_any = self.replay.is_none() || self.streams.iter().any(|whose| whose.codec() != Codec::Unread);
        (unread, is_any)
    }

    /// Hands out all of it: samples of the left and the right channel in turn. Of a dump it says what became of its packets.
    ///
    /// # Errors
    /// The disk; a block isn't as it was written; it is no dump, or a longer one than is read; or what `each` says.
    pub(super) fn read(
        self,
        reader: &mut Reader,
        each: &mut dyn FnMut(&[i16]) -> io::Result<()>,
    ) -> anyhow::Result<Option<Count>> {
        match self.replay {
            None => {
                read_wav(reader, each)?;
                Ok(None)
            }
            Some(replay) => read_dump(*replay, reader, each).map(Some),
        }
    }
}

fn read_wav(reader: &mut Reader, each: &mut dyn FnMut(&[i16]) -> io::Result<()>) -> io::Result<()> {
    let (mut at, mut bytes, mut frames) = (HEADER_BYTES as u64, vec![0; PIECE_BYTES], Vec::new());
    loop {
        let count = reader.read_at(at, &mut bytes)?;
        if count == 0 {
            return Ok(());
        }
        at += count as u64;
        frames.clear();
        let samples = bytes.get(..count).unwrap_or_default().as_chunks::<2>().0;
        frames.extend(samples.iter().map(|sample| i16::from_le_bytes(*sample)));
        each(&frames)?;
    }
}

fn read_dump(
    mut replay: Replay,
    reader: &mut Reader,
    each: &mut dyn FnMut(&[i16]) -> io::Result<()>,
) -> anyhow::Result<Count> {
    if reader.bytes() > DUMP_BYTES_MAX {
        bail!(
            "the dump is longer than {DUMP_BYTES_MAX} bytes: open it with Wireshark, which reads it piece by piece"
        );
    }
    let mut bytes = vec![0; usize::try_from(reader.bytes()).context("the dump is too long")?];
    let count = reader.read_at(0, &mut bytes)?;
    bytes.truncate(count);
    let packets = dump::packets(&bytes).context("it isn't in rtpdump's format")?;
    let mut give = |replay: &mut Replay, at_ms| -> io::Result<()> {
        while let Some(block) = replay.poll(at_ms) {
            each(&block.frames)?;
            replay.reuse(block.frames);
        }
        Ok(())
    };
    // Nothing is longer than its recording, whatever its packets say.
    let end_ms = reader.samples();
    let (mut newest, end) = (0, u32::try_from(end_ms).unwrap_or(u32::MAX));
    for (at_ms, packet) in packets {
        newest = at_ms.min(end).max(newest);
        replay.hear(at_ms.min(end), packet);
        give(&mut replay, newest)?;
    }
    replay.end(end_ms);
    give(&mut replay, u32::MAX)?;
    Ok(replay.count())
}

/// Whose packets are, as a dump's marks say it.
fn stream(mark: &Mark) -> Option<Whose> {
    let What::Stream {
        channel,
        ssrc,
        payload_type,
        clock_hz,
    } = mark.what
    else {
        return None;
    };
    Some(Whose {
        channel: match channel {
            Channel::Caller => tap::Channel::Caller,
            Channel::Callee => tap::Channel::Callee,
        },
        ssrc,
        payload_type,
        clock_hz,
    })
}
