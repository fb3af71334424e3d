//! What lies beside a WAV file, laid into a copy of it: all that was said in one file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::sound::Sound;
use crate::records::recordings::Place;
use crate::records::recordings::aside::{aside_of, is_there};
use crate::records::recordings::chain::Audio;
use crate::records::recordings::read::Reader;
use crate::records::recordings::seal::Keys;
use crate::rtp::recording::dump::Whose;
use crate::rtp::recording::replay::Count;
use crate::rtp::wav::HEADER_BYTES;

/// Bytes of a sample of one channel.
const SAMPLE_BYTES: usize = 2;

/// A dump beside a WAV file.
pub(super) struct Beside {
    reader: Reader,
    sound: Sound,
}

impl Beside {
    /// What lies beside a recording that is open, if anything does.
    ///
    /// # Errors
    /// It is there and can't be read.
    pub(super) fn of(place: &Place, first: &Reader, keys: &Keys) -> anyhow::Result<Option<Self>> {
        let place = Place {
            day: place.day.clone(),
            recording: aside_of(place.recording),
        };
        if first.head().audio != Audio::Wav || !is_there(&place)? {
            return Ok(None);
        }
        let reader = Reader::open(&place, keys)?;
        let sound = Sound::at_rate(&reader, first.head().rate);
        Ok(Some(Self { reader, sound }))
    }

    /// The streams that aren't decoded here.
    pub(super) fn unread(&self) -> Vec<Whose> {
        self.sound.unread().0
    }

    /// Adds what is heard of it to a WAV file of so many samples, which is silent there.
    ///
    /// # Errors
    /// The file, or what [`Sound::read`] says.
    pub(super) fn lay_into(mut self, wav: &File, samples: u64) -> anyhow::Result<Option<Count>> {
        let end = HEADER_BYTES as u64 + samples * 2 * SAMPLE_BYTES as u64;
        let mut at = HEADER_BYTES as u64;
        let mut bytes = Vec::new();
        self.sound.read(&mut self.reader, &mut |frames| {
            let here = at;
            at += (frames.len() * SAMPLE_BYTES) as u64;
            if frames.iter().all(|sample| *sample == 0) {
                return Ok(());
            }
            let there = usize::try_from(at.min(end).saturating_sub(here)).map_err(io::Error::other)?;
            bytes.resize(there, 0);
            wav.read_exact_at(&mut bytes, here)?;
            for (bytes, sample) in bytes.as_chunks_mut::<SAMPLE_BYTES>().0.iter_mut().zip(frames) {
                *bytes = i16::from_le_bytes(*bytes).saturating_add(*sample).to_le_bytes();
            }
            wav.write_all_at(&bytes, here)
        })
    }
}
