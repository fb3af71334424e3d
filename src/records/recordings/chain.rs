//! The chain of a recording: a text file that says what lies in the audio file, block for block, so that neither can be
//! changed unseen.
//!
//! One JSON object a line. The first says what the recording is, each further one describes a block of audio (a
//! quarter of a second; a second in some, and silence may be longer), and the last says that it is whole:
//!
//! ```text
//! {"form":2,"recording":"01J…","call":"01J…","binding":"01J…","account":"acme","node":"one","began":"2026-11-21T10:00:00.000Z","audio":"wav","rate":8000,"sealed":"none","key":null,"key_print":null,"sha256":"…"}
//! {"n":1,"at":0,"samples":2000,"bytes":8000,"marks":[],"audio":"…","sha256":"…"}
//! {"whole":true,"blocks":1,"samples":2000,"gaps":0,"ended":"2026-11-21T10:00:00.250Z","sha256":"…"}
//! ```
//!
//! | field | what |
//! |---|---|
//! | `rate` | samples a second of each channel; a dump counts milliseconds, so that it is 1000 there |
//! | `n` | the block's number, from 1 on without gaps |
//! | `at`, `samples` | its first sample, counted from the recording's beginning, and how many it has |
//! | `bytes` | how many bytes it has in the audio file; it begins where the one before it ends, the first one behind the 44 bytes of the WAV header (at byte 0 where there is none: sealed, or a dump) |
//! | `nonce` | of a sealed block, see [`seal`](super::seal) |
//! | `marks` | what happened in it: see [`What`], and [`Loss`] for its fields `why`, `aside` and `fax` |
//! | `clock_ms` | by how many milliseconds the server's clock has been set forward since the recording's beginning, so that the time of a sample can be told; only where it was set |
//! | `audio` | the SHA-256 of these bytes; or `silence`: then all of them are zero (a sealed file or a dump has none of them) |
//! | `gaps` | how many marks say that something is missing |
//!
//! # How anybody can check one
//!
//! Every line ends in `,"sha256":"` and 64 hexadecimal digits, `"}` and a line feed. What stands before that is the line's
//! *text*. The digits are the SHA-256 of the 64 digits of the line before, followed by the line's text; of the first line's
//! text alone. So no line can be changed, left out, added or moved without all digits after it becoming others. The last
//! line's digits also stand in the audit log: who compares them knows that the whole chain wasn't made anew either.
//!
//! With nothing but a shell:
//!
//! ```sh
#![doc = include_str!("check.sh")]
//! ```

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::base::form::forms;
use crate::base::id::Id;
use crate::base::limits::RECORDING_MARKS_MAX;
use crate::base::redact::scrub;
use crate::base::text;
use crate::base::time::Wall;
use crate::call::cdr::wall;
use crate::records::recordings::seal::KeyPrint;

/// What stands between a line's text and its digits.
pub(in crate::records) const BEFORE_SHA: &str = ",\"sha256\":\"";
/// What follows them.
pub(in crate::records) const AFTER_SHA: &str = "\"}";
/// How the line begins that says that the recording is whole.
pub(super) const END: &str = "{\"whole\":";
const SILENCE: &str = "silence";

/// The form of what is written.
pub fn form() -> u32 {
    forms().recordings.into()
}

/// A SHA-256, written as 64 small hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sha(pub [u8; 32]);

impl Sha {
    /// Of these bytes, one after the other.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Display for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::lower_hex(&self.0))
    }
}

impl Serialize for Sha {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(d)?;
        let bytes = text::unhex(digits.as_bytes());
        bytes.map(Self).ok_or_else(|| D::Error::custom("no SHA-256"))
    }
}

/// What kind of file the audio is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audio {
    /// 16-bit PCM, two channels: the caller left, the callee right.
    Wav,
    /// The RTP packets themselves.
    Rtpdump,
}

/// How it is encrypted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Cipher {
    /// It isn't.
    #[serde(rename = "none")]
    None,
    /// AES with 256 bits in Galois/counter mode (NIST SP 800-38D).
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
    /// SM4 in Galois/counter mode (GB/T 32907, RFC 8998).
    #[serde(rename = "sm4-gcm")]
    Sm4Gcm,
}

/// The first line: what the recording is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The chain's form.
    pub form: u32,
    /// The recording.
    pub recording: Id,
    /// The call it is of.
    pub call: Id,
    /// The call's binding, if it had one.
    pub binding: Option<Id>,
    /// Whose it is.
    pub account: Box<str>,
    /// Which server wrote it.
    pub node: Box<str>,
    /// When it began: the time of sample 0.
    #[serde(with = "wall")]
    pub began: Wall,
    /// What kind of file the audio is in.
    pub audio: Audio,
    /// Samples a second of each channel.
    pub rate: u32,
    /// How the audio is encrypted.
    pub sealed: Cipher,
    /// And with which key.
    pub key: Option<Box<str>>,
    /// Which of the keys of that name it was: one that is replaced has another print.
    pub key_print: Option<KeyPrint>,
    /// How many days after its end the law has it kept, for the class of its call's number. In no line of form 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least_days: Option<u32>,
}

/// Which party is heard in a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// The calling one: left.
    Caller,
    /// The called one: right.
    Callee,
}

/// Why a part of a channel is silence where something may have been said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "Said", into = "Said")]
pub enum Loss {
    /// The packets didn't come.
    Network,
    /// They came faster than they were taken.
    Overload,
    /// They were of a codec that isn't decoded. They are in that recording, if there is one: see [`aside`](super::aside).
    Codec(Option<Id>),
    /// It was faxed (T.38).
    Fax(Faxed),
}

/// Which end of a fax a mark is made at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Faxed {
    /// It begins: nobody knows yet for how long.
    Begins,
    /// It is over: it began where the mark is, and was so long.
    Lasted,
}

/// A loss, as chains say it. What came later than their first form stands in fields that older programs pass over: to them
/// both are a codec that isn't decoded.
#[derive(Serialize, Deserialize)]
struct Said {
    why: Word,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aside: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fax: Option<Faxed>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Network,
    Overload,
    Codec,
}

impl From<Loss> for Said {
    fn from(loss: Loss) -> Self {
        let (why, aside, fax) = match loss {
            Loss::Network => (Word::Network, None, None),
            Loss::Overload => (Word::Overload, None, None),
            Loss::Codec(aside) => (Word::Codec, aside, None),
            Loss::Fax(faxed) => (Word::Codec, None, Some(faxed)),
        };
        Self { why, aside, fax }
    }
}

impl From<Said> for Loss {
    fn from(said: Said) -> Self {
        match (said.why, said.fax) {
            (Word::Network, _) => Self::Network,
            (Word::Overload, _) => Self::Overload,
            (Word::Codec, Some(faxed)) => Self::Fax(faxed),
            (Word::Codec, None) => Self::Codec(said.aside),
        }
    }
}

/// Why a part of both channels isn't in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unwritten {
    /// The disk was full.
    DiskFull,
    /// The disk refused otherwise.
    DiskError,
    /// The disk was too slow, and what waited for it was too much; or nobody gave it.
    Overload,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// From here on nothing is recorded, because somebody asked for that.
    Paused,
    /// From here on it is again.
    Resumed,
    /// A part of a channel is silence in place of what came, or didn't come.
    Lost {
        /// Which one.
        channel: Channel,
        /// How much of it.
        samples: u64,
        /// Why.
        #[serde(flatten)]
        why: Loss,
    },
    /// The server stopped and another process went on: in between is silence.
    Restarted {
        /// How long, in milliseconds.
        silent_ms: u64,
        /// Blocks before it that had not reached the medium, and were taken out.
        cut_blocks: u64,
        /// By how many milliseconds the server's clock had been set forward since the recording's beginning (back, if less
        /// than 0): the silence is without them. Left out where it wasn't set.
        #[serde(default, skip_serializing_if = "is_zero")]
        clock_ms: i64,
    },
    /// The server stopped, and nobody went on: whatever was said after this isn't here.
    Abandoned {
        /// Blocks before it that had not reached the medium, and were taken out.
        cut_blocks: u64,
    },
    /// A part of both channels is silence because it could not be written.
    NotWritten {
        /// How much.
        samples: u64,
        /// Why.
        why: Unwritten,
    },
    /// In a dump: whose the packets of an SSRC are, from here on.
    Stream {
        /// Whose.
        channel: Channel,
        /// The SSRC.
        ssrc: u32,
        /// Their payload type.
        payload_type: u8,
        /// Its clock, in hertz.
        clock_hz: u32,
    },
    /// The medium refused to keep what was written since this block: should it be missing later, this is why.
    NotSynced {
        /// The first of these blocks.
        from_block: u64,
    },
}

impl What {
    /// Whether something is missing from here on.
    pub const fn is_gap(self) -> bool {
        match self {
            Self::Paused | Self::Resumed | Self::Stream { .. } | Self::NotSynced { .. } => false,
            Self::Lost { .. } | Self::Restarted { .. } | Self::Abandoned { .. } | Self::NotWritten { .. } => {
                true
            }
        }
    }
}

/// What happened, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// The sample, counted from the recording's beginning.
    pub at: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What a block's bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// They have this hash.
    Bytes(Sha),
    /// They are zero, or aren't in the file.
    Silence,
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let bytes = || text::unhex(text.as_bytes()).map(|bytes| Self::Bytes(Sha(bytes)));
        match text.as_str() {
            SILENCE => Ok(Self::Silence),
            _ => bytes().ok_or_else(|| D::Error::custom("no SHA-256")),
        }
    }
}

/// What makes each encryption another one: 12 bytes, as hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Nonce(pub [u8; 12]);

impl Serialize for Nonce {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&text::lower_hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(d)?;
        let bytes = text::unhex(digits.as_bytes());
        bytes.map(Self).ok_or_else(|| D::Error::custom("no nonce"))
    }
}

/// What a block's line says before its audio's hash: what the seal covers beside the audio.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Front<'a> {
    /// The block's number.
    pub n: u64,
    /// Its first sample.
    pub at: u64,
    /// How many it has.
    pub samples: u64,
    /// How many bytes it has in the file.
    pub bytes: u64,
    /// What makes its encryption another one than all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Nonce>,
    /// What happened in it.
    pub marks: &'a [Mark],
    /// By how many milliseconds the server's clock has been set forward since the recording's beginning.
    #[serde(skip_serializing_if = "is_zero")]
    pub clock_ms: i64,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// A block's line, as it is read.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Line {
    /// The block's number.
    pub n: u64,
    /// Its first sample.
    pub at: u64,
    /// How many it has.
    pub samples: u64,
    /// How many bytes it has in the file.
    pub bytes: u64,
    /// Of a sealed block.
    #[serde(default)]
    pub nonce: Option<Nonce>,
    /// What happened in it.
    pub marks: Vec<Mark>,
    /// By how many milliseconds the server's clock has been set forward since the recording's beginning.
    #[serde(default)]
    pub clock_ms: i64,
    /// What its bytes are.
    pub audio: Content,
}

/// The last line: the recording is whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// It is.
    pub whole: bool,
    /// How many blocks it has.
    pub blocks: u64,
    /// How many samples.
    pub samples: u64,
    /// How many of its marks say that something is missing.
    pub gaps: u64,
    /// When it ended.
    #[serde(with = "wall")]
    pub ended: Wall,
}

/// What chains call an account, or a key: by its own name, unless that holds what may be a telephone number; then `#` and the
/// first 16 hexadecimal digits of its SHA-256, so that each has another one. A name that is written so already stays.
pub fn account_name(name: &str) -> Box<str> {
    const DIGITS: usize = 16;
    let is_written = name.strip_prefix('#').is_some_and(|digits| {
        digits.len() == DIGITS && digits.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
    });
    if is_written || scrub(name) == name {
        return name.into();
    }
    let digits = Sha::of(&[name.as_bytes()]).to_string();
    format!("#{}", digits.get(..DIGITS).unwrap_or_default()).into()
}

/// An object's text, without the brace at its end.
pub(in crate::records) fn open_text(object: &impl Serialize) -> String {
    let mut text = serde_json::to_string(object).expect("plain fields, and a String takes any write");
    text.pop();
    text
}

/// The text of a block's line: what its front says, and what its bytes are.
pub(super) fn block_text(front: &str, content: Content) -> String {
    match content {
        Content::Bytes(sha) => format!("{front},\"audio\":\"{sha}\""),
        Content::Silence => format!("{front},\"audio\":\"{SILENCE}\""),
    }
}

/// The digits of a line with this text.
pub(in crate::records) fn link(before: Option<Sha>, text: &str) -> Sha {
    let before = before.map(|sha| sha.to_string()).unwrap_or_default();
    Sha::of(&[before.as_bytes(), text.as_bytes()])
}

/// A whole line with this text, which has these digits.
pub(in crate::records) fn line(text: &str, sha: Sha) -> String {
    format!("{text}{BEFORE_SHA}{sha}{AFTER_SHA}\n")
}

/// A line's text and its digits, exactly as [`line`] writes them.
pub(in crate::records) fn taken_apart(raw: &[u8]) -> Option<(&str, Sha)> {
    let raw = std::str::from_utf8(raw).ok()?;
    let (text, digits) = raw.strip_suffix(AFTER_SHA)?.rsplit_once(BEFORE_SHA)?;
    Some((text, Sha(text::unhex(digits.as_bytes())?)))
}

/// The marks, no more than one line may have: of those beyond, what is missing is added up, by channel and cause. Where that
/// isn't enough, the first turns between pause and recording, or between streams, go; what they led to stays.
pub(in crate::records) fn fold(mut marks: Vec<Mark>) -> Vec<Mark> {
    let mut beyond = marks.len().saturating_sub(RECORDING_MARKS_MAX);
    let is_lost = |what| matches!(what, What::Lost { .. } | What::NotWritten { .. });
    for lost_only in [true, false] {
        // The first of each kind takes what the last ones say.
        for index in (1..marks.len()).rev() {
            if beyond == 0 {
                return marks;
            }
            let (before, rest) = marks.split_at_mut(index);
            let Some(mark) = rest.first().filter(|mark| !lost_only || is_lost(mark.what)) else {
                continue;
            };
            if before.iter_mut().any(|kept| added(&mut kept.what, mark.what)) {
                marks.remove(index);
                beyond -= 1;
            }
        }
    }
    marks.retain(|mark| {
        let is_turn = match mark.what {
            What::Paused | What::Resumed | What::Stream { .. } => true,
            // One of each kind is left.
            What::Lost { .. }
            | What::Restarted { .. }
            | What::Abandoned { .. }
            | What::NotWritten { .. }
            | What::NotSynced { .. } => false,
        };
        let goes = beyond > 0 && is_turn;
        beyond -= usize::from(goes);
        !goes
    });
    marks
}

/// Adds what `more` says to what `kept` says of the same kind.
fn added(kept: &mut What, more: What) -> bool {
    match (kept, more) {
        (
            What::Lost {
                channel,
                samples,
                why,
            },
            What::Lost {
                channel: also,
                samples: more,
                why: because,
            },
        ) if *channel == also && *why == because => {
            *samples = samples.saturating_add(more);
            true
        }
        (
            What::NotWritten { samples, why },
            What::NotWritten {
                samples: more,
                why: because,
            },
        ) if *why == because => {
            *samples = samples.saturating_add(more);
            true
        }
        (
            What::Restarted {
                silent_ms,
                cut_blocks,
                clock_ms,
            },
            What::Restarted {
                silent_ms: more,
                cut_blocks: cut,
                clock_ms: by_then,
            },
        ) => {
            *silent_ms = silent_ms.saturating_add(more);
            *clock_ms = by_then;
            *cut_blocks = cut_blocks.saturating_add(cut);
            true
        }
        (What::Abandoned { cut_blocks }, What::Abandoned { cut_blocks: cut }) => {
            *cut_blocks = cut_blocks.saturating_add(cut);
            true
        }
        (What::NotSynced { from_block }, What::NotSynced { from_block: also }) => {
            *from_block = also.min(*from_block);
            true
        }
        (kept @ What::Stream { .. }, more) => *kept == more,
        (_, _) => false,
    }
}
