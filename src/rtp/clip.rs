//! A sound of ours: made or read once, coded once, and shared by all flows that play it.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::g711::Law;
use super::g722;
use super::resample::resampled;

/// How long one frame lasts: the usual packet of telephony (RFC 3551 §4.2).
pub const FRAME: Duration = Duration::from_millis(20);
/// Samples of a frame at 8 kHz: also its bytes, and its ticks, in every coding that there is.
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

/// How a frame is coded: 8,000 bytes a second in each, at a clock of 8 kHz.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Coding {
    /// PCMA.
    A,
    /// PCMU.
    Mu,
    /// G.722 at 64 kbit/s.
    G722,
}

impl Coding {
    /// Its static RTP payload type.
    pub const fn payload(self) -> u8 {
        match self {
            Self::A => Law::A.payload(),
            Self::Mu => Law::Mu.payload(),
            Self::G722 => g722::PAYLOAD,
        }
    }
}

impl From<Law> for Coding {
    fn from(law: Law) -> Self {
        match law {
            Law::A => Self::A,
            Law::Mu => Self::Mu,
        }
    }
}

/// Frames of 20 ms, in every coding that we speak.
#[derive(Clone)]
pub struct Clip {
    a: Box<[u8]>,
    mu: Box<[u8]>,
    /// Made of `a` when somebody needs it, unless `wide`: it costs a hundred times what a law does.
    g722: OnceLock<Box<[u8]>>,
    /// Whether `g722` was made of a sound of its own.
    wide: bool,
    repeats: Repeats,
}

impl Clip {
    /// Codes 16-bit samples at 8 kHz; the last frame is filled up with silence. Of no samples there is one frame of it.
    pub fn new(samples: &[i16], repeats: Repeats) -> Self {
        let coded = |law: Law| {
            let whole = whole_frames(samples.len());
            let mut codes = Vec::with_capacity(whole);
            law.encode_all(samples, &mut codes);
            codes.resize(whole, law.silence());
            codes.into_boxed_slice()
        };
        Self {
            a: coded(Law::A),
            mu: coded(Law::Mu),
            g722: OnceLock::new(),
            wide: false,
            repeats,
        }
    }

    /// Silence for as long as it takes.
    pub fn silence() -> Arc<Self> {
        static SILENCE: OnceLock<Arc<Clip>> = OnceLock::new();
        let silence = SILENCE.get_or_init(|| Arc::new(Self::new(&[0; FRAME_SAMPLES], Repeats::Forever)));
        silence.clone()
    }

    /// A sound that is coded as PCMA already: nothing is coded twice.
    pub fn of_a_law(codes: &[u8], repeats: Repeats) -> Self {
        let whole = whole_frames(codes.len());
        let mut a = codes.to_vec();
        a.resize(whole, Law::A.silence());
        let mut to_mu = [0; 256];
        for (code, mu) in (0..=u8::MAX).zip(&mut to_mu) {
            *mu = Law::Mu.encode(Law::A.decode(code));
        }
        let mu = a.iter().filter_map(|code| to_mu.get(usize::from(*code)).copied());
        Self {
            mu: mu.collect(),
            a: a.into_boxed_slice(),
            g722: OnceLock::new(),
            wide: false,
            repeats,
        }
    }

    /// Codes the same sound at 8 kHz and at 16 kHz: who speaks G.722 hears what is above 4 kHz too.
    pub fn wide(samples: &[i16], wide: &[i16], repeats: Repeats) -> Self {
        let clip = Self::new(samples, repeats);
        let g722 = wide_codes(wide, clip.a.len());
        Self {
            g722: OnceLock::from(g722),
            wide: true,
            ..clip
        }
    }

    /// Makes whatever isn't made yet, so that nobody who plays it waits for that.
    pub fn prepare(&self) {
        self.g722();
    }

    /// What is above 4 kHz, where it isn't made of the rest.
    fn own_g722(&self) -> Option<&[u8]> {
        self.g722.get().filter(|_| self.wide).map(AsRef::as_ref)
    }

    fn g722(&self) -> &[u8] {
        self.g722.get_or_init(|| {
            let samples = self.samples();
            wide_codes(&resampled(&samples, CLOCK_HZ, g722::SAMPLE_RATE_HZ), self.a.len())
        })
    }

    /// How many frames it has.
    pub fn frames(&self) -> u64 {
        (self.a.len() / FRAME_SAMPLES) as u64
    }

    /// How long it lasts, heard once.
    pub fn lasts(&self) -> Duration {
        FRAME.saturating_mul(u32::try_from(self.frames()).unwrap_or(u32::MAX))
    }

    /// What becomes of it at its end.
    pub const fn repeats(&self) -> Repeats {
        self.repeats
    }

    /// The same sound, over and over.
    pub fn forever(&self) -> Self {
        Self {
            repeats: Repeats::Forever,
            ..self.clone()
        }
    }

    /// The samples at 8 kHz, as PCMA has them.
    pub fn samples(&self) -> Vec<i16> {
        let mut samples = Vec::with_capacity(self.a.len());
        Law::A.decode_all(&self.a, &mut samples);
        samples
    }

    /// The frame that is heard after `index` others; `None` behind the end.
    #[inline]
    pub fn frame(&self, coding: Coding, index: u64) -> Option<&[u8]> {
        let index = match self.repeats {
            Repeats::Once => index,
            Repeats::Forever => index % self.frames(),
        };
        let codes = match coding {
            Coding::A => &self.a,
            Coding::Mu => &self.mu,
            Coding::G722 => self.g722(),
        };
        let start = usize::try_from(index).ok()?.checked_mul(FRAME_SAMPLES)?;
        codes.get(start..start.checked_add(FRAME_SAMPLES)?)
    }
}

/// So many samples, filled up to whole frames.
fn whole_frames(samples: usize) -> usize {
    samples.div_ceil(FRAME_SAMPLES).max(1) * FRAME_SAMPLES
}

/// The codes of a sound at 16 kHz: `whole` of them, the last ones of silence if it is shorter.
fn wide_codes(wide: &[i16], whole: usize) -> Box<[u8]> {
    let mut wide = wide.to_vec();
    wide.resize(whole * 2, 0);
    let mut codes = Vec::with_capacity(whole);
    g722::Encoder::default().encode(&wide, &mut codes);
    codes.into_boxed_slice()
}

// What is made of the rest, sooner or later, is no difference.
impl PartialEq for Clip {
    fn eq(&self, other: &Self) -> bool {
        (&self.a, &self.mu, self.repeats) == (&other.a, &other.mu, other.repeats)
            && self.own_g722() == other.own_g722()
    }
}

impl Eq for Clip {}

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
    /// How it is coded.
    pub coding: Coding,
    /// The payload type by which the peer receives that, at [`CLOCK_HZ`].
    pub number: u8,
    /// What becomes of it at its end: the clip's own way, unless somebody waits for as long as it takes.
    pub repeats: Repeats,
}

impl Play {
    /// The clip in this coding. What isn't made of it yet is made here: no media thread waits for it.
    pub fn new(clip: Arc<Clip>, coding: Coding, number: u8) -> Self {
        match coding {
            Coding::A | Coding::Mu => {}
            Coding::G722 => clip.prepare(),
        }
        let repeats = clip.repeats();
        Self {
            clip,
            coding,
            number,
            repeats,
        }
    }

    /// The same, over and over: the clip itself is shared by all who hear it.
    pub fn over_and_over(self) -> Self {
        Self {
            repeats: Repeats::Forever,
            ..self
        }
    }

    /// The frame that is heard after `index` others; `None` behind the end.
    #[inline]
    pub fn frame(&self, index: u64) -> Option<&[u8]> {
        let index = match self.repeats {
            Repeats::Once => index,
            Repeats::Forever => index % self.clip.frames(),
        };
        self.clip.frame(self.coding, index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_wide_band_has_is_a_difference_and_what_is_made_of_the_rest_is_none() {
        let narrow = [1_000; 160];
        let made = Clip::new(&narrow, Repeats::Once);
        made.prepare();
        assert_eq!(made, Clip::new(&narrow, Repeats::Once));
        let [one, other] = [500, 9_000].map(|level| Clip::wide(&narrow, &[level; 320], Repeats::Once));
        assert_eq!(one, one.clone());
        assert_ne!(one, other);
        assert_ne!(one, made);
    }

    #[test]
    fn the_last_frame_is_filled_up_with_silence() {
        let clip = Clip::new(&[1_000; 161], Repeats::Once);
        assert_eq!((clip.frames(), clip.lasts()), (2, Duration::from_millis(40)));
        for law in [Law::A, Law::Mu] {
            let coding = Coding::from(law);
            assert_eq!(clip.frame(coding, 0), Some(&[law.encode(1_000); 160][..]));
            let last = clip.frame(coding, 1).expect("it is there");
            assert_eq!(last.first(), Some(&law.encode(1_000)));
            assert_eq!(last.get(1..), Some(&[law.silence(); 159][..]));
        }
        for coding in [Coding::A, Coding::Mu, Coding::G722] {
            assert_eq!(clip.frame(coding, 1).map(<[u8]>::len), Some(FRAME_SAMPLES));
            assert_eq!(clip.frame(coding, 2), None);
            assert_eq!(clip.frame(coding, u64::MAX), None);
        }
        assert_eq!(Clip::new(&[], Repeats::Forever).frames(), 1);
    }

    #[test]
    fn what_repeats_begins_again() {
        let samples: Vec<i16> = (0..320).map(|at| if at < 160 { 8_000 } else { -8_000 }).collect();
        let clip = Clip::new(&samples, Repeats::Forever);
        for coding in [Coding::A, Coding::G722] {
            assert_eq!(clip.frame(coding, 3), clip.frame(coding, 1));
            assert_eq!(clip.frame(coding, 1_000_000), clip.frame(coding, 0));
            assert_ne!(clip.frame(coding, 0), clip.frame(coding, 1));
        }
        assert_eq!(Clip::new(&samples, Repeats::Once).forever(), clip);
    }

    #[test]
    fn what_is_coded_already_is_the_same_as_what_is_coded_here() {
        // Whole frames: what fills up the last one is the silence of each law.
        let codes: Vec<u8> = (0..=u8::MAX).collect::<Vec<_>>().repeat(5);
        let clip = Clip::of_a_law(&codes, Repeats::Once);
        let samples: Vec<i16> = codes.iter().map(|code| Law::A.decode(*code)).collect();
        assert_eq!(clip, Clip::new(&samples, Repeats::Once));
    }

    #[test]
    fn what_is_made_later_is_no_difference() {
        let (one, other) = (
            Clip::new(&[5; 160], Repeats::Once),
            Clip::new(&[5; 160], Repeats::Once),
        );
        one.prepare();
        assert_eq!(one, other);
        let wide = Clip::wide(&[5; 160], &[5; 200], Repeats::Once);
        assert_eq!(wide.frame(Coding::G722, 0).map(<[u8]>::len), Some(FRAME_SAMPLES));
    }
}
