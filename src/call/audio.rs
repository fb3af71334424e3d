//! Who was heard by whom, in words: what `umbra calls` and the record say when one side of a conversation, or
//! both, can't be heard.
//!
//! The sentences name addresses of both sides: they are for whoever looks after the server, and never go to a party.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::port::LegName;
use crate::rtp::flow::Counts;

/// Nothing is said of a conversation that is shorter: media may just begin.
const JUDGED_AFTER: Duration = Duration::from_secs(3);
/// A side that was quiet for so long has fallen silent: no pause in speech is sent as nothing for longer.
const QUIET_MIN: Duration = Duration::from_secs(10);

/// One side's media, as it came in.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// What was counted.
    pub counts: Counts,
    /// The address that its last description named.
    pub named: Option<SocketAddr>,
    /// Whether it is to send at all.
    pub sends: Sends,
}

/// Whether a side is to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sends {
    /// It is.
    Yes,
    /// It isn't: somebody holds the call.
    Held,
}

/// How a conversation's audio is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Audio {
    /// It began just now.
    Early,
    /// Both sides are heard.
    Both,
    /// Somebody holds the call: silence is meant.
    Held,
    /// Somebody isn't heard: who is, and why the other isn't.
    Fault(String),
}

/// Why one side isn't heard.
enum Silence {
    /// Nothing of it ever could be used.
    Never(String),
    /// It was heard, and is no more.
    Stopped(String),
}

/// Judges a conversation that has lasted for `talked`.
pub fn judge(talked: Duration, caller: &Heard, callee: &Heard) -> Audio {
    if talked < JUDGED_AFTER {
        return Audio::Early;
    }
    if [caller, callee].iter().any(|side| side.sends == Sends::Held) {
        return Audio::Held;
    }
    let caller = silence(talked, LegName::Caller, caller);
    let callee = silence(talked, LegName::Callee, callee);
    let words = match (caller, callee) {
        (None, None) => return Audio::Both,
        (Some(why), None) => only("callee", &why),
        (None, Some(why)) => only("caller", &why),
        (Some(caller), Some(callee)) => {
            format!("nobody was heard{}: {caller}; {callee}", end(&[&caller, &callee]))
        }
    };
    Audio::Fault(words)
}

fn only(who: &str, why: &Silence) -> String {
    format!("only the {who} was heard{}: {why}", end(&[why]))
}

/// Silence that came later is said to be one at the end.
fn end(all: &[&Silence]) -> &'static str {
    let stopped = |why: &&Silence| matches!(why, Silence::Stopped(_));
    if all.iter().any(stopped) {
        " in the end"
    } else {
        ""
    }
}

fn silence(talked: Duration, side: LegName, heard: &Heard) -> Option<Silence> {
    let counts = &heard.counts;
    let who = match side {
        LegName::Caller => "caller",
        LegName::Callee => "callee",
    };
    let named = match heard.named {
        Some(named) => format!("{named}, which the {who}'s SDP named"),
        None => format!("the {who}, whose SDP named no address"),
    };
    if counts.packets_in > 0 {
        let after = talked.saturating_sub(counts.quiet).as_secs();
        return (counts.quiet >= QUIET_MIN)
            .then(|| Silence::Stopped(format!("the {who}'s packets stopped after {after} s")));
    }
    let words = match (counts.stranger, counts.foreign_payload) {
        _ if counts.forged > 0 => {
            format!("packets came that don't authenticate by the key that the {who}'s SDP named")
        }
        (_, Some(payload)) => {
            format!(
                "the {who}'s packets have payload type {payload}, which was not agreed on with both sides"
            )
        }
        (Some(stranger), None) => {
            format!("packets came from {stranger}, which was not believed, and none from {named}")
        }
        (None, None) => format!("nothing arrived from {named}"),
    };
    Some(Silence::Never(words))
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never(words) | Self::Stopped(words) => f.write_str(words),
        }
    }
}

impl Audio {
    /// What is wrong, if something is.
    pub fn fault(self) -> Option<String> {
        match self {
            Self::Fault(words) => Some(words),
            Self::Early | Self::Both | Self::Held => None,
        }
    }

    /// For a listing.
    pub fn words(self) -> Option<String> {
        match self {
            Self::Fault(words) => Some(words),
            Self::Held => Some("on hold".to_owned()),
            Self::Both => Some("both are heard".to_owned()),
            Self::Early => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A side that is heard.
    fn well(named: &str) -> Heard {
        Heard {
            counts: Counts {
                packets_in: 500,
                ..Counts::default()
            },
            named: named.parse().ok(),
            sends: Sends::Yes,
        }
    }

    fn never(counts: Counts) -> Heard {
        Heard {
            counts,
            ..well("203.0.113.9:4000")
        }
    }

    fn stopped(quiet_s: u64) -> Heard {
        let mut side = well("203.0.113.9:4000");
        side.counts.quiet = Duration::from_secs(quiet_s);
        side
    }

    #[test]
    fn who_is_not_heard_and_why_is_said_in_words() {
        let near = well("192.0.2.1:5000");
        let nothing = never(Counts::default());
        let elsewhere = never(Counts {
            strangers: 9,
            stranger: "198.51.100.7:40000".parse().ok(),
            ..Counts::default()
        });
        let codec = never(Counts {
            foreign: 9,
            foreign_payload: Some(3),
            ..Counts::default()
        });
        let forged = never(Counts {
            forged: 9,
            ..Counts::default()
        });
        let nowhere = Heard {
            named: None,
            ..nothing
        };
        let held = Heard {
            sends: Sends::Held,
            ..nothing
        };
        let fault = |words: &str| Audio::Fault(words.to_owned());
        for (talked, caller, callee, wanted) in [
            (46, near, well("203.0.113.9:4000"), Audio::Both),
            (2, near, nothing, Audio::Early),
            (46, near, held, Audio::Held),
            (46, held, near, Audio::Held),
            (
                46,
                near,
                nothing,
                fault(
                    "only the caller was heard: nothing arrived from 203.0.113.9:4000, which the callee's SDP named",
                ),
            ),
            (
                46,
                nothing,
                near,
                fault(
                    "only the callee was heard: nothing arrived from 203.0.113.9:4000, which the caller's SDP named",
                ),
            ),
            (
                46,
                near,
                nowhere,
                fault(
                    "only the caller was heard: nothing arrived from the callee, whose SDP named no address",
                ),
            ),
            (
                46,
                near,
                elsewhere,
                fault(
                    "only the caller was heard: packets came from 198.51.100.7:40000, which was not believed, and none \
                     from 203.0.113.9:4000, which the callee's SDP named",
                ),
            ),
            (
                46,
                near,
                codec,
                fault(
                    "only the caller was heard: the callee's packets have payload type 3, which was not agreed on with \
                     both sides",
                ),
            ),
            (
                46,
                near,
                forged,
                fault(
                    "only the caller was heard: packets came that don't authenticate by the key that the callee's SDP \
                     named",
                ),
            ),
            (46, near, stopped(9), Audio::Both),
            (
                46,
                near,
                stopped(12),
                fault("only the caller was heard in the end: the callee's packets stopped after 34 s"),
            ),
            (
                46,
                stopped(12),
                nothing,
                fault(
                    "nobody was heard in the end: the caller's packets stopped after 34 s; nothing arrived from \
                     203.0.113.9:4000, which the callee's SDP named",
                ),
            ),
        ] {
            assert_eq!(judge(Duration::from_secs(talked), &caller, &callee), wanted);
        }
    }
}
