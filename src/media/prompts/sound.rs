//! A file that somebody gave us, as it can be played.

use std::time::Duration;

use crate::base::limits::{PROMPT_BYTES_MAX, PROMPT_RATES_HZ, PROMPT_TIME_MAX};
use crate::rtp::clip::{CLOCK_HZ, Clip, Repeats};
use crate::rtp::g722;
use crate::rtp::resample::resampled;
use crate::rtp::wav::{self, BadWav};

/// A sound that was read from a WAV file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sound {
    narrow: Vec<i16>,
    /// The same at 16 kHz, where the file has more than a telephone carries.
    wide: Option<Vec<i16>>,
    file: Vec<u8>,
    /// How the file was written, and what became of it: `44.1 kHz, 2 channels, 16-bit PCM`.
    pub read_as: String,
}

/// Why a file can't be a prompt, and the cure.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadSound {
    /// It can't be read.
    #[error("{0}: convert it (sox FILE -r 16000 -c 1 NAME.wav)")]
    Wav(#[from] BadWav),
    /// The file is too large.
    #[error(
        "it has {0} bytes, at most {PROMPT_BYTES_MAX} are read: cut it, or convert it (sox FILE -r 16000 -c 1 NAME.wav)"
    )]
    Large(u64),
    /// It lasts too long, so many seconds.
    #[error("it lasts {0} s, at most {max} are played: cut it (sox FILE NAME.wav trim 0 {max})", max = PROMPT_TIME_MAX.as_secs())]
    Long(u64),
    /// There is nothing in it.
    #[error("there is no sound in it: record it again")]
    Empty,
    /// So many samples a second are none that anybody records with.
    #[error("it has {0} samples a second, {min} to {max} are read: convert it (sox FILE -r 16000 -c 1 NAME.wav)", min = PROMPT_RATES_HZ.0, max = PROMPT_RATES_HZ.1)]
    Rate(u32),
}

impl Sound {
    /// Reads a whole WAV file.
    ///
    /// # Errors
    /// What is wrong with it, and the cure.
    pub fn of(file: &[u8]) -> Result<Self, BadSound> {
        if file.len() > PROMPT_BYTES_MAX {
            return Err(BadSound::Large(file.len() as u64));
        }
        let wav = wav::read(file)?;
        if !(PROMPT_RATES_HZ.0..=PROMPT_RATES_HZ.1).contains(&wav.rate_hz) {
            return Err(BadSound::Rate(wav.rate_hz));
        }
        let count = wav.samples().len() as u64;
        let rate = u64::from(wav.rate_hz);
        if count > PROMPT_TIME_MAX.as_secs() * rate {
            return Err(BadSound::Long(count.div_ceil(rate)));
        }
        let samples: Vec<i16> = wav.samples().collect();
        if samples.iter().all(|sample| *sample == 0) {
            return Err(BadSound::Empty);
        }
        let channels = match wav.channels {
            1 => "mono".to_owned(),
            2 => "stereo".to_owned(),
            more => format!("{more} channels"),
        };
        let read_as = format!("{} kHz, {channels}, {}", f64::from(wav.rate_hz) / 1e3, wav.coded);
        if wav.rate_hz == CLOCK_HZ {
            return Ok(Self {
                file: file.to_vec(),
                narrow: samples,
                wide: None,
                read_as,
            });
        }
        let wide = resampled(&samples, wav.rate_hz, g722::SAMPLE_RATE_HZ);
        Ok(Self {
            file: wav::write(g722::SAMPLE_RATE_HZ, &wide),
            narrow: resampled(&wide, g722::SAMPLE_RATE_HZ, CLOCK_HZ),
            wide: Some(wide),
            read_as,
        })
    }

    /// What is kept of it: the file itself at 8 kHz, else one of 16 kHz and one channel, which is read quickly.
    pub fn file(&self) -> &[u8] {
        &self.file
    }

    /// How long it is heard.
    pub fn lasts(&self) -> Duration {
        Duration::from_micros(self.narrow.len() as u64 * 1_000_000 / u64::from(CLOCK_HZ))
    }

    /// The sound, ready to be played once.
    pub fn clip(&self) -> Clip {
        match &self.wide {
            Some(wide) => Clip::wide(&self.narrow, wide, Repeats::Once),
            None => Clip::new(&self.narrow, Repeats::Once),
        }
    }

    /// How loud it is, in dBm0 (ITU-T G.711: a full sine is 3.14): the mean of what isn't silence, in pieces of 20 ms.
    pub fn level_dbm0(&self) -> f64 {
        /// Quieter than this is a pause, in the square of a sample: -45 dBm0.
        const PAUSE: f64 = 16_400.0;
        let power = |piece: &[i16]| {
            piece.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / piece.len().max(1) as f64
        };
        let spoken: Vec<f64> = self
            .narrow
            .chunks(160)
            .map(power)
            .filter(|p| *p > PAUSE)
            .collect();
        let mean = spoken.iter().sum::<f64>() / spoken.len().max(1) as f64;
        // Half of the square of the peak of a sine at 0 dBm0.
        10.0 * (mean.max(1.0) / (22_824.0_f64.powi(2) / 2.0)).log10()
    }
}
