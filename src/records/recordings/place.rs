//! Where a recording's files lie, and what they are called.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::chain::{Audio, Cipher};
use crate::base::id::Id;
use crate::base::time::Wall;

/// How the name of a file that is being written ends.
const PART: &str = ".part";
const CHAIN: &str = ".chain";
/// How the name of an audio file ends whose chain isn't there, in place of `.part`.
const DAMAGED: &str = "damaged";
const CUT: &str = ".cut";
/// What a chain is called from when its recording is being erased until both files are gone.
const ERASING: &str = ".erasing";

/// A file's two names: while it is written, and when it is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Part,
    Whole,
}

/// A recording's folder and id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The folder of its day.
    pub day: PathBuf,
    /// The recording.
    pub recording: Id,
}

impl Place {
    /// Where a recording that began then lies under `dir`.
    pub fn of(dir: &Path, recording: Id, began: Wall) -> Self {
        let began = began.text();
        let date = began.split('T').next().unwrap_or_default();
        let (rest, day) = date.rsplit_once('-').unwrap_or_default();
        let (year, month) = rest.rsplit_once('-').unwrap_or_default();
        Self {
            day: dir.join(year).join(month).join(day),
            recording,
        }
    }

    /// Whether anything is there of it.
    pub fn has_files(&self) -> bool {
        let chains = [Phase::Part, Phase::Whole].map(|phase| self.chain(phase));
        chains.into_iter().chain(self.audios()).any(|path| path.exists())
    }

    /// The recording that a file is of, by its name; `None` if that is none of ours.
    pub fn named(file: &Path) -> Option<Self> {
        let name = file.file_name()?.to_str()?;
        let (id, rest) = name.split_once('.')?;
        let recording: Id = id.parse().ok()?;
        // An id is read in small letters too, but never written so.
        let is_ours = recording.to_string() == id
            && ["chain", "wav", "rtpdump", "cut"]
                .iter()
                .any(|kind| rest.starts_with(kind));
        is_ours.then(|| Self {
            day: file.parent().unwrap_or(Path::new("")).to_owned(),
            recording,
        })
    }

    fn file(&self, end: &str, phase: Phase) -> PathBuf {
        let part = match phase {
            Phase::Part => PART,
            Phase::Whole => "",
        };
        let mut name = OsString::from(self.recording.to_string());
        name.push(end);
        name.push(part);
        self.day.join(name)
    }

    pub(super) fn chain(&self, phase: Phase) -> PathBuf {
        self.file(CHAIN, phase)
    }

    pub(super) fn audio(&self, audio: Audio, sealed: Cipher, phase: Phase) -> PathBuf {
        let end = match (audio, sealed) {
            (Audio::Wav, Cipher::None) => ".wav",
            (Audio::Wav, Cipher::Aes256Gcm | Cipher::Sm4Gcm) => ".wav.sealed",
            (Audio::Rtpdump, Cipher::None) => ".rtpdump",
            (Audio::Rtpdump, Cipher::Aes256Gcm | Cipher::Sm4Gcm) => ".rtpdump.sealed",
        };
        self.file(end, phase)
    }

    /// Every name that its audio may have.
    pub(super) fn audios(&self) -> impl Iterator<Item = PathBuf> + '_ {
        let kinds = [
            (Audio::Wav, Cipher::None),
            (Audio::Wav, Cipher::Aes256Gcm),
            (Audio::Rtpdump, Cipher::None),
            (Audio::Rtpdump, Cipher::Aes256Gcm),
        ];
        kinds.into_iter().flat_map(|(audio, sealed)| {
            [Phase::Whole, Phase::Part].map(|phase| self.audio(audio, sealed, phase))
        })
    }

    /// What an audio file is called that its chain tells nothing of.
    pub(super) fn damaged_of(audio: &Path) -> PathBuf {
        audio.with_extension(DAMAGED)
    }

    /// Whether there is audio of it that its chain tells nothing of.
    pub fn has_damaged(&self) -> bool {
        self.damaged().any(|path| path.exists())
    }

    fn damaged(&self) -> impl Iterator<Item = PathBuf> + '_ {
        let parts = self.audios().filter(|path| is_part(path));
        parts.map(|path| Self::damaged_of(&path))
    }

    /// What was cut off a recording before somebody went on with it.
    pub(super) fn cut(&self) -> PathBuf {
        self.file(CUT, Phase::Whole)
    }

    /// Every name of what may lie beside its two files.
    pub(super) fn leavings(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.damaged().chain([self.cut()])
    }

    /// Every name of what may be there of it.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> + '_ {
        let chains = [Phase::Part, Phase::Whole].map(|phase| self.chain(phase));
        chains.into_iter().chain(self.audios()).chain(self.leavings())
    }

    pub(super) fn erasing(&self) -> PathBuf {
        self.file(ERASING, Phase::Whole)
    }

    /// The recording whose erasing ended in the middle, by the name of what is left.
    pub(super) fn half_erased(file: &Path) -> Option<Self> {
        let name = file.file_name()?.to_str()?;
        Some(Self {
            day: file.parent()?.to_owned(),
            recording: name.strip_suffix(ERASING)?.parse().ok()?,
        })
    }
}

/// Whether a file is being written, by its name.
pub(super) fn is_part(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.ends_with(PART))
}

/// Whether this is the name of a chain, and of what phase.
pub(super) fn chain_phase(file: &Path) -> Option<Phase> {
    let name = file.file_name()?.to_str()?;
    match name.strip_suffix(PART) {
        Some(rest) => rest.ends_with(CHAIN).then_some(Phase::Part),
        None => name.ends_with(CHAIN).then_some(Phase::Whole),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_lies_in_the_folder_of_its_day_and_is_known_by_its_name() {
        let recording: Id = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().expect("an id");
        let place = Place::of(Path::new("rec"), recording, Wall::from_millis(1_795_255_200_000));
        let chain = place.chain(Phase::Part);
        assert_eq!(
            chain,
            Path::new("rec/2026/11/21/01ARZ3NDEKTSV4RRFFQ69G5FAV.chain.part")
        );
        assert_eq!(Place::named(&chain), Some(place.clone()));
        let sealed = place.audio(Audio::Wav, Cipher::Sm4Gcm, Phase::Whole);
        assert!(sealed.ends_with("01ARZ3NDEKTSV4RRFFQ69G5FAV.wav.sealed"));
        assert_eq!(Place::named(&sealed), Some(place.clone()));
        assert_eq!(Place::half_erased(&place.erasing()), Some(place));
        for other in [
            "rec/01arz3ndektsv4rrffq69g5fav.wav",
            "rec/notes.txt",
            "rec/01ARZ3NDEKTSV4RRFFQ69G5FAV.mp3",
        ] {
            assert_eq!(Place::named(Path::new(other)), None, "{other}");
        }
    }
}
