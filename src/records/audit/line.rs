//! What a line says.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::base::form::forms;
use crate::base::id::Id;
use crate::base::limits::AUDIT_TEXT_CHARS_MAX;
use crate::base::redact::scrub;
use crate::base::time::Wall;
use crate::call::cdr::wall;
use crate::records::recordings::chain::{Sha, account_name, open_text};

/// The form of what is written.
pub(super) fn form() -> u32 {
    forms().audit.into()
}

/// What a line says of a recording that is about to be erased or deleted, before anything of it is.
pub const GOES: &str = "goes";
/// What a line says of one of which nothing is left.
pub const GONE: &str = "gone";

/// Who did something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who<'a> {
    /// Whoever has the control socket: the command line.
    Control,
    /// Whoever reaches the API's TCP address: any program on this machine, or what stands before it.
    Tcp,
    /// Whoever has this account's key.
    Account(&'a str),
    /// Whoever was given the link that ends then.
    Link(Wall),
    /// The server, by itself.
    Server,
}

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Recordings were listed, or one of them was described.
    List,
    /// Audio was read.
    Read,
    /// A chain was read.
    Chain,
    /// It was compared with its chain.
    Verify,
    /// A link to its audio was made.
    Link,
    /// It was to be erased.
    Erase,
    /// It became whole.
    Kept,
    /// It was deleted because of its age.
    Aged,
    /// A recording that a killed server had left was ended.
    Ended,
}

/// What is to be noted.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Who did it.
    pub who: Who<'a>,
    /// What was done.
    pub act: Act,
    /// With which recording.
    pub recording: Option<Id>,
    /// Of which call.
    pub call: Option<Id>,
    /// Which bytes were read: the first, and the last.
    pub range: Option<[u64; 2]>,
    /// What came of it, in a word or two.
    pub outcome: &'a str,
    /// The digits of its chain's last line, if it became whole.
    pub end: Option<Sha>,
}

impl<'a> Line<'a> {
    /// The server did that with this recording.
    pub const fn of_server(act: Act, recording: Id, outcome: &'a str) -> Self {
        Self {
            who: Who::Server,
            act,
            recording: Some(recording),
            call: None,
            range: None,
            outcome,
            end: None,
        }
    }

    /// Its text, as it is written before its digits.
    pub(super) fn text(&self, at: Wall) -> String {
        let who = match self.who {
            Who::Control => Cow::Borrowed("control"),
            // Somebody may have named an account by a telephone number.
            Who::Account(name) => format!("account {}", account_name(name)).into(),
            Who::Tcp => "tcp".into(),
            // As the line of its making says it.
            Who::Link(until) => format!("link until {}", until.text()).into(),
            Who::Server => "server".into(),
        };
        open_text(&Written {
            at,
            who: cut(&who),
            act: self.act,
            recording: self.recording,
            call: self.call,
            range: self.range,
            end: self.end,
            outcome: cut(&scrub(self.outcome)),
        })
    }
}

fn cut(text: &str) -> String {
    text.chars().take(AUDIT_TEXT_CHARS_MAX).collect()
}

#[derive(Serialize)]
struct Written {
    #[serde(with = "wall")]
    at: Wall,
    who: String,
    act: Act,
    #[serde(skip_serializing_if = "Option::is_none")]
    recording: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<[u64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<Sha>,
    outcome: String,
}

/// What has to be read again.
#[derive(Deserialize)]
struct Read {
    #[serde(with = "wall")]
    at: Wall,
    act: Act,
    recording: Option<Id>,
    end: Option<Sha>,
}

fn read(text: &str) -> Option<Read> {
    serde_json::from_str(&format!("{text}}}")).ok()
}

/// When a line with this text was noted.
pub(super) fn noted_at(text: &str) -> Option<Wall> {
    read(text).map(|line| line.at)
}

/// Which recording became whole, and with which digits, if a line with this text says so.
pub(super) fn kept(text: &str) -> Option<(Id, Sha)> {
    // Most lines say something else.
    if !text.contains("\"act\":\"kept\"") {
        return None;
    }
    let line = read(text).filter(|line| line.act == Act::Kept)?;
    line.recording.zip(line.end)
}

/// The first line of a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) form: u32,
    pub(super) node: String,
    /// Its place in the sequence.
    pub(super) seq: u64,
    #[serde(with = "wall")]
    pub(super) began: Wall,
    /// The digits of the last line before.
    pub(super) before: Option<Sha>,
}
