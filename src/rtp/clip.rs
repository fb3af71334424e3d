//! A sound of ours: made or read once, coded once, and shared by all flows that play it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::g711::Law;

/// How long one frame lasts: the usual packet of telephony (RFC 3551 §4.2).
pub const FRAME: Duration = Duration::from_millis(20);
/// Samples of a frame at 8 kHz: also its bytes in G.711, and its ticks.
pub const FRAME_SAMPLES: usize = 160;
/// The clock of every frame, in hertz.
pub const CLOCK_HZ: u32 = 8_000;

/// What becomes of a clip at its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeats {
    /// It is over: nothing more is sent.
    Once,
    /// It begins again, without a pause.
    Forever,
}

/// Frames of 20 ms, in every law that we encode.
#[derive(Clone, PartialEq, Eq)]
pub struct Clip {
    a: Box<[u8]>,
    mu: Box<[u8]>,
    repeats: Repeats,
}

impl Clip {
    /// Codes 16-bit samples at 8 kHz; the last frame is filled up with silence. Of no samples there is one frame of it.
    pub fn new(samples: &[i16], repeats: Repeats) -> Self {
        let whole = samples.len().div_ceil(FRAME_SAMPLES).max(1) * FRAME_SAMPLES;
        let coded = |law: Law| {
            let mut codes = Vec::with_capacity(whole);
            law.encode_all(samples, &mut codes);
            codes.resize(whole, law.silence());
            codes.into_boxed_slice()
        };
        Self {
            a: coded(Law::A),
            mu: coded(Law::Mu),
            repeats,
        }
    }

    /// How many frames it has.
    pub fn frames(&self) -> u64 {
        (self.a.len() / FRAME_SAMPLES) as u64
    }

    /// How long it lasts, heard once.
    pub fn lasts(&self) -> Duration {
        FRAME.saturating_mul(u32::try_from(self.frames()).unwrap_or(u32::MAX))
    }

    /// The frame that is heard after `index` others; `None` behind the end.
    #[inline]
    pub fn frame(&self, law: Law, index: u64) -> Option<&[u8]> {
        let index = match self.repeats {
            Repeats::Once => index,
            Repeats::Forever => index % self.frames(),
        };
        let codes = match law {
            Law::A => &self.a,
            Law::Mu => &self.mu,
        };
        let start = usize::try_from(index).ok()?.checked_mul(FRAME_SAMPLES)?;
        codes.get(start..start.checked_add(FRAME_SAMPLES)?)
    }
}

// Its bytes would fill a log.
impl fmt::Debug for Clip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clip({:?}, {:?})", self.lasts(), self.repeats)
    }
}

/// A clip as one flow's peer is to hear it.
#[derive(Clone, PartialEq, Debug)]
pub struct Play {
    /// The sound.
    pub clip: Arc<Clip>,
    /// By which law it is coded.
    pub law: Law,
    /// The payload type by which the peer receives that law, at [`CLOCK_HZ`].
    pub number: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_frame_is_filled_up_with_silence() {
        let clip = Clip::new(&[1_000; 161], Repeats::Once);
        assert_eq!((clip.frames(), clip.lasts()), (2, Duration::from_millis(40)));
        for law in [Law::A, Law::Mu] {
            assert_eq!(clip.frame(law, 0), Some(&[law.encode(1_000); 160][..]));
            let last = clip.frame(law, 1).expect("it is there");
            assert_eq!(last.first(), Some(&law.encode(1_000)));
            assert_eq!(last.get(1..), Some(&[law.silence(); 159][..]));
            assert_eq!(clip.frame(law, 2), None);
            assert_eq!(clip.frame(law, u64::MAX), None);
        }
        assert_eq!(Clip::new(&[], Repeats::Forever).frames(), 1);
    }

    #[test]
    fn what_repeats_begins_again() {
        let samples: Vec<i16> = (0..320).map(|at| if at < 160 { 8_000 } else { -8_000 }).collect();
        let clip = Clip::new(&samples, Repeats::Forever);
        assert_eq!(clip.frame(Law::A, 3), clip.frame(Law::A, 1));
        assert_eq!(clip.frame(Law::A, 1_000_000), clip.frame(Law::A, 0));
        assert_ne!(clip.frame(Law::A, 0), clip.frame(Law::A, 1));
    }
}
