//! What a record says of a call's recording.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::base::id::Id;

/// What became of the recording, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recording {
    /// The recording's id, if there is one.
    pub id: Option<Id>,
    /// What became of it.
    pub fate: Fate,
    /// With what it is sealed; `None`: there is none, or the recorder has not said so.
    pub sealed: Option<Sealed>,
    /// For how long it was paused, in whole seconds.
    pub paused_s: u32,
}

/// With what a recording is encrypted on disk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Sealed {
    /// With nothing: it lies there in clear.
    #[serde(rename = "none")]
    No,
    /// AES-256-GCM.
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
    /// SM4-GCM.
    #[serde(rename = "sm4-gcm")]
    Sm4Gcm,
}

/// What became of a call's recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Fate {
    /// There is none.
    None(Why),
    /// All of it is kept.
    Kept,
    /// It is kept, and something of what was heard isn't in it.
    Gaps(Fault),
}

/// Why a call has no recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Why {
    /// Nobody wants one: not its binding, its pool, its account, nor one of its trunks.
    NotAsked,
    /// Calls of a 95 number are never recorded.
    Class95,
    /// The conf has no recordings.
    Off,
    /// Nobody answered, and nothing that was heard before was to be recorded.
    NotAnswered,
    /// It was over before there was anything worth keeping.
    TooShort,
    /// It was lost.
    Lost(Fault),
}

/// Why something of a recording isn't kept, or nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Fault {
    /// The disk had no room.
    DiskFull,
    /// The disk was so slow that what waited for it had to be left out.
    DiskSlow,
    /// The disk refused to write.
    DiskFails,
    /// It was to be sealed, and there is no key that can be used.
    NoKey,
    /// The recorder didn't keep up with the packets.
    Overrun,
    /// It was said in a codec that a recording of this kind doesn't hold, or faxed.
    Codec,
    /// A part of the recorder has died.
    Recorder,
    /// The server was away for a while.
    Restart,
}

impl Recording {
    /// The record of a call without a recording.
    pub const fn none(why: Why) -> Self {
        Self {
            id: None,
            fate: Fate::None(why),
            sealed: None,
            paused_s: 0,
        }
    }

    /// What records said in two words before these were fixed. `None`: they never did.
    pub fn of_words(id: Option<Id>, state: &str, reason: &str) -> Option<Self> {
        Some(Self {
            id,
            fate: Fate::of_words(state, reason)?,
            sealed: None,
            paused_s: 0,
        })
    }
}

/// What earlier records have for [`Why::Off`]: the program that wrote them couldn't record.
const NOT_AVAILABLE: &str = "not available";

impl Fate {
    /// Each that there is.
    pub const ALL: [Self; 22] = {
        let [full, slow, fails, key, overrun, codec, recorder, restart] = Fault::ALL;
        [
            Self::None(Why::NotAsked),
            Self::None(Why::Class95),
            Self::None(Why::Off),
            Self::None(Why::NotAnswered),
            Self::None(Why::TooShort),
            Self::None(Why::Lost(full)),
            Self::None(Why::Lost(slow)),
            Self::None(Why::Lost(fails)),
            Self::None(Why::Lost(key)),
            Self::None(Why::Lost(overrun)),
            Self::None(Why::Lost(codec)),
            Self::None(Why::Lost(recorder)),
            Self::None(Why::Lost(restart)),
            Self::Kept,
            Self::Gaps(full),
            Self::Gaps(slow),
            Self::Gaps(fails),
            Self::Gaps(key),
            Self::Gaps(overrun),
            Self::Gaps(codec),
            Self::Gaps(recorder),
            Self::Gaps(restart),
        ]
    };

    /// As records name the state: `none`, `kept`, `gaps`.
    pub const fn state(self) -> &'static str {
        match self {
            Self::None(_) => "none",
            Self::Kept => "kept",
            Self::Gaps(_) => "gaps",
        }
    }

    /// As records name the reason; empty where all is kept.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::None(Why::NotAsked) => "not asked",
            Self::None(Why::Class95) => "class_95",
            Self::None(Why::Off) => "off",
            Self::None(Why::NotAnswered) => "not answered",
            Self::None(Why::TooShort) => "too short",
            Self::None(Why::Lost(fault)) | Self::Gaps(fault) => fault.name(),
            Self::Kept => "",
        }
    }

    /// The one that records name so. `None`: there is none.
    pub fn of_words(state: &str, reason: &str) -> Option<Self> {
        match (state, reason) {
            ("none", "") => Some(Self::None(Why::NotAsked)),
            ("none", NOT_AVAILABLE) => Some(Self::None(Why::Off)),
            (state, reason) => {
                let is_named = |fate: &Self| (fate.state(), fate.reason()) == (state, reason);
                Self::ALL.into_iter().find(is_named)
            }
        }
    }
}

impl Sealed {
    /// Each that there is.
    pub const ALL: [Self; 3] = [Self::No, Self::Aes256Gcm, Self::Sm4Gcm];

    /// As records name it, and chains.
    pub const fn name(self) -> &'static str {
        match self {
            Self::No => "none",
            Self::Aes256Gcm => "aes-256-gcm",
            Self::Sm4Gcm => "sm4-gcm",
        }
    }
}

impl Fault {
    /// Each that there is.
    pub const ALL: [Self; 8] = [
        Self::DiskFull,
        Self::DiskSlow,
        Self::DiskFails,
        Self::NoKey,
        Self::Overrun,
        Self::Codec,
        Self::Recorder,
        Self::Restart,
    ];

    /// As records name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DiskFull => "disk full",
            Self::DiskSlow => "disk slow",
            Self::DiskFails => "disk fails",
            Self::NoKey => "no key",
            Self::Overrun => "overrun",
            Self::Codec => "codec",
            Self::Recorder => "recorder fails",
            Self::Restart => "restart",
        }
    }
}

/// A recording's words, as JSON has them.
#[derive(Serialize)]
struct Words {
    id: Option<Id>,
    state: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<Sealed>,
    #[serde(skip_serializing_if = "is_zero")]
    paused_s: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde hands it so
const fn is_zero(seconds: &u32) -> bool {
    *seconds == 0
}

impl Serialize for Recording {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let words = Words {
            id: self.id,
            state: self.fate.state(),
            reason: self.fate.reason(),
            sealed: self.sealed,
            paused_s: self.paused_s,
        };
        words.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Recording {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let Said {
            id,
            state,
            reason,
            sealed,
            paused_s,
        } = Said::deserialize(d)?;
        let fate = Fate::of_words(&state, &reason);
        Ok(Self {
            id,
            fate: fate.ok_or_else(|| de::Error::custom("no recording's state and reason"))?,
            sealed,
            paused_s,
        })
    }
}

/// The same as they are read, from wherever.
#[derive(Deserialize)]
struct Said {
    id: Option<Id>,
    state: String,
    reason: String,
    #[serde(default)]
    sealed: Option<Sealed>,
    #[serde(default)]
    paused_s: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fate_has_words_of_its_own_by_which_it_is_read() {
        for fate in Fate::ALL {
            assert_eq!(Fate::of_words(fate.state(), fate.reason()), Some(fate));
            let recording = Recording {
                id: Some(Id::from_bits(7)),
                fate,
                sealed: Some(Sealed::Sm4Gcm),
                paused_s: 3,
            };
            let text = serde_json::to_string(&recording).expect("JSON");
            assert_eq!(serde_json::from_str::<Recording>(&text).ok(), Some(recording));
        }
        assert_eq!(Fate::of_words("kept", "not asked"), None);
        assert_eq!(Fate::of_words("none", "whim"), None);
    }

    #[test]
    fn the_words_are_those_that_records_have() {
        let words = Fate::ALL.map(|fate| format!("{} {}", fate.state(), fate.reason()));
        let expected = [
            "none not asked",
            "none class_95",
            "none off",
            "none not answered",
            "none too short",
            "none disk full",
            "none disk slow",
            "none disk fails",
            "none no key",
            "none overrun",
            "none codec",
            "none recorder fails",
            "none restart",
            "kept ",
            "gaps disk full",
            "gaps disk slow",
            "gaps disk fails",
            "gaps no key",
            "gaps overrun",
            "gaps codec",
            "gaps recorder fails",
            "gaps restart",
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn records_of_programs_that_could_not_record_are_read() {
        let text = r#"{"id":null,"state":"none","reason":"not available"}"#;
        let read: Recording = serde_json::from_str(text).expect("a recording");
        assert_eq!(read, Recording::none(Why::Off));
    }

    #[test]
    fn how_a_recording_is_sealed_is_said_as_its_chain_says_it() {
        for sealed in Sealed::ALL {
            let recording = Recording {
                id: Some(Id::from_bits(7)),
                fate: Fate::Kept,
                sealed: Some(sealed),
                paused_s: 0,
            };
            let text = serde_json::to_string(&recording).expect("JSON");
            let said = format!(r#""reason":"","sealed":"{}"}}"#, sealed.name());
            assert!(text.ends_with(&said), "{text}");
        }
    }

    #[test]
    fn a_pause_is_named_where_there_was_one() {
        let text = serde_json::to_string(&Recording::none(Why::Class95)).expect("JSON");
        assert_eq!(text, r#"{"id":null,"state":"none","reason":"class_95"}"#);
    }

    #[test]
    fn each_fault_has_a_ladder_by_which_all_is_lost_and_one_by_which_something_is() {
        let ladders = [
            include_str!("../../../scenarios/recordings_lost_for_every_reason.ladder"),
            include_str!("../../../scenarios/recordings_with_gaps_for_every_reason.ladder"),
        ];
        for fault in Fault::ALL {
            let fates = [Fate::None(Why::Lost(fault)), Fate::Gaps(fault)];
            for (fate, ladder) in fates.into_iter().zip(ladders) {
                let reason = fate.reason().replace(' ', "_");
                let line = format!("recording.state={} recording.reason={reason}\n", fate.state());
                assert!(ladder.contains(&line), "{line}");
            }
        }
    }
}
