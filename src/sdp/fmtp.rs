//! A codec's parameters, rebuilt.
//!
//! `a=fmtp` is free text from one party that both ends need: a place where a number could hide. So it is
//! never copied. Each codec has a closed list of parameters, each parameter a form (a flag, a bounded
//! number, a set), and what we write is made from the values that were read.

use std::borrow::Cow;
use std::fmt::Write;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::media::CodecName;

/// Parameters beyond this length are left out whole (only a strange list of events gets there).
const BYTES_MAX: usize = 256;

/// A codec's parameters: canonical text of ours, without `a=fmtp:` and payload type.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Fmtp(Cow<'static, str>);

/// The sixteen keys (RFC 4733 §2.4.1), which nearly everybody writes.
const KEYS: &str = "0-15";

/// The form of a parameter's value.
#[derive(Clone, Copy)]
enum Form {
    /// 0 or 1.
    Flag,
    /// A number up to this.
    UpTo(u32),
    /// `yes` or `no`.
    YesNo,
    /// A set of AMR modes, 0–8.
    Modes,
}

type Parameter = (&'static str, Form);

const OPUS: &[Parameter] = &[
    ("maxplaybackrate", Form::UpTo(48_000)),
    ("sprop-maxcapturerate", Form::UpTo(48_000)),
    ("maxaveragebitrate", Form::UpTo(510_000)),
    ("stereo", Form::Flag),
    ("sprop-stereo", Form::Flag),
    ("cbr", Form::Flag),
    ("useinbandfec", Form::Flag),
    ("usedtx", Form::Flag),
    ("minptime", Form::UpTo(120)),
    ("ptime", Form::UpTo(120)),
    ("maxptime", Form::UpTo(120)),
];

const AMR: &[Parameter] = &[
    ("octet-align", Form::Flag),
    ("mode-set", Form::Modes),
    ("mode-change-period", Form::UpTo(2)),
    ("mode-change-capability", Form::UpTo(2)),
    ("mode-change-neighbor", Form::Flag),
    ("crc", Form::Flag),
    ("robust-sorting", Form::Flag),
    ("interleaving", Form::UpTo(99)),
    ("max-red", Form::UpTo(65_535)),
];

const G729: &[Parameter] = &[("annexb", Form::YesNo)];

const fn parameters(codec: CodecName) -> &'static [Parameter] {
    match codec {
        CodecName::Opus => OPUS,
        CodecName::Amr | CodecName::AmrWb => AMR,
        CodecName::G729 => G729,
        CodecName::Pcma
        | CodecName::Pcmu
        | CodecName::G722
        | CodecName::TelephoneEvent
        | CodecName::ComfortNoise => &[],
    }
}

impl<'de> Deserialize<'de> for Fmtp {
    /// As an [`Fmtp`] was written: of our own words, which fit on one line.
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let is_ours = text.len() <= BYTES_MAX && text.bytes().all(|c| c.is_ascii_graphic());
        match text.as_str() {
            KEYS => Ok(Self(KEYS.into())),
            _ if is_ours => Ok(Self(text.into())),
            _ => Err(D::Error::custom("no parameters of a codec")),
        }
    }
}

impl Fmtp {
    /// What is kept of a codec's parameters as another wrote them; `None` if that is nothing.
    pub fn rebuilt(codec: CodecName, text: &[u8]) -> Option<Self> {
        let out = if codec.is_event() {
            if text == KEYS.as_bytes() {
                return Some(Self(KEYS.into()));
            }
            numbers(text, 255).map(|events| ranges(&events))?
        } else {
            rebuild(parameters(codec), text)
        };
        (!out.is_empty() && out.len() <= BYTES_MAX).then(|| Self(out.into()))
    }

    /// The parameters in an offer of ours.
    pub fn ours(codec: CodecName) -> Option<Self> {
        match codec {
            CodecName::TelephoneEvent => Some(Self(KEYS.into())),
            CodecName::Opus => Some(Self("useinbandfec=1".into())),
            CodecName::Amr | CodecName::AmrWb => Some(Self("octet-align=1".into())),
            CodecName::Pcma
            | CodecName::Pcmu
            | CodecName::G722
            | CodecName::G729
            | CodecName::ComfortNoise => None,
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether AMR is packed in whole octets: said outright, or implied by what needs it (RFC 4867 §8.1).
    pub(super) fn is_octet_aligned(&self) -> bool {
        self.0.split(';').any(|parameter| {
            matches!(parameter, "octet-align=1" | "crc=1" | "robust-sorting=1")
                || parameter.starts_with("interleaving=")
        })
    }
}

/// `name=value` pairs between semicolons, those that we know, first of a name only, in our order.
fn rebuild(parameters: &[Parameter], text: &[u8]) -> String {
    let mut out = String::new();
    for (name, form) in parameters {
        let value = text
            .split(|c| *c == b';')
            .filter_map(|pair| {
                let at = pair.iter().position(|c| *c == b'=')?;
                let (key, value) = pair.split_at_checked(at)?;
                Some((key.trim_ascii(), value.get(1..)?.trim_ascii()))
            })
            .find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()))
            .and_then(|(_, value)| rewritten(*form, value));
        if let Some(value) = value {
            let separator = if out.is_empty() { "" } else { ";" };
            // Writing to a String can't fail.
            let _ = write!(out, "{separator}{name}={value}");
        }
    }
    out
}

fn rewritten(form: Form, value: &[u8]) -> Option<String> {
    match form {
        Form::Flag => number(value).filter(|n| *n <= 1).map(|n| n.to_string()),
        Form::UpTo(most) => number(value).filter(|n| *n <= most).map(|n| n.to_string()),
        Form::YesNo if value.eq_ignore_ascii_case(b"yes") => Some("yes".into()),
        Form::YesNo if value.eq_ignore_ascii_case(b"no") => Some("no".into()),
        Form::YesNo => None,
        Form::Modes => {
            // Sorted and without repetition: a set, in which no number can be spelt.
            let modes = numbers(value, 8)?;
            let all: Vec<String> = modes
                .iter()
                .enumerate()
                .filter(|(_, is_in)| **is_in)
                .map(|(n, _)| n.to_string())
                .collect();
            Some(all.join(","))
        }
    }
}

/// A decimal number of at most six digits.
pub(super) fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 6 {
        return None;
    }
    text.iter().try_fold(0_u32, |n, c| {
        c.is_ascii_digit().then(|| n * 10 + u32::from(c - b'0'))
    })
}

/// A list of numbers and ranges (`0-11,16`) as a set; `None` if any of it is something else.
fn numbers(text: &[u8], most: u8) -> Option<[bool; 256]> {
    let mut set = [false; 256];
    for item in text.split(|c| *c == b',') {
        let mut ends = item.trim_ascii().splitn(2, |c| *c == b'-');
        let first = number(ends.next()?.trim_ascii())?;
        let last = match ends.next() {
            Some(last) => number(last.trim_ascii())?,
            None => first,
        };
        if first > last || last > u32::from(most) {
            return None;
        }
        for n in first..=last {
            *set.get_mut(n as usize)? = true;
        }
    }
    Some(set)
}

/// A set as ascending numbers and ranges.
fn ranges(set: &[bool; 256]) -> String {
    let mut out = String::new();
    let mut next = 0;
    while let Some(first) = (next..256).find(|n| set[*n]) {
        let last = (first..256).take_while(|n| set[*n]).last().unwrap_or(first);
        let separator = if out.is_empty() { "" } else { "," };
        let _ = if first == last {
            write!(out, "{separator}{first}")
        } else {
            write!(out, "{separator}{first}-{last}")
        };
        next = last + 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rebuilt(codec: CodecName, text: &str) -> Option<String> {
        Fmtp::rebuilt(codec, text.as_bytes()).map(|fmtp| fmtp.as_str().to_owned())
    }

    #[test]
    fn known_parameters_survive_in_our_own_order_and_writing() {
        assert_eq!(
            rebuilt(
                CodecName::Opus,
                "UseInbandFEC=1; maxaveragebitrate=020000 ;stereo=0"
            )
            .as_deref(),
            Some("maxaveragebitrate=20000;stereo=0;useinbandfec=1")
        );
        assert_eq!(
            rebuilt(CodecName::AmrWb, "mode-set=8,0,1,2,2; octet-align=1;max-red=0").as_deref(),
            Some("octet-align=1;mode-set=0,1,2,8;max-red=0")
        );
        assert_eq!(
            rebuilt(CodecName::G729, "annexb=NO").as_deref(),
            Some("annexb=no")
        );
        assert_eq!(
            rebuilt(CodecName::TelephoneEvent, "16, 0-11,11-15,70").as_deref(),
            Some("0-16,70")
        );
    }

    #[test]
    fn a_number_hidden_in_the_parameters_does_not_cross() {
        for (codec, text) in [
            (CodecName::Opus, "x-owner=13800000001"),
            (CodecName::Opus, "maxaveragebitrate=13800000001"),
            (CodecName::Opus, "13800000001"),
            (CodecName::Opus, "maxaveragebitrate=510001"),
            (CodecName::Opus, "stereo=2"),
            (CodecName::Amr, "mode-set=1,3,8,0,0,0,0,0,0,0,1,9"),
            (CodecName::G729, "annexb=13800000001"),
            (CodecName::Pcma, "annexb=no;owner=1"),
            (CodecName::TelephoneEvent, "0-15,13800000001"),
            (CodecName::TelephoneEvent, "13800000001"),
            (CodecName::TelephoneEvent, "15-0"),
            (CodecName::TelephoneEvent, ""),
        ] {
            assert_eq!(rebuilt(codec, text), None, "{text}");
        }
        assert_eq!(
            rebuilt(CodecName::Amr, "mode-set=1,3,8,0,0,0,0,0,0,0,1").as_deref(),
            Some("mode-set=0,1,3,8")
        );
    }

    #[test]
    fn octet_alignment_is_seen_where_it_is_said_or_implied() {
        let aligned =
            |text: &str| Fmtp::rebuilt(CodecName::Amr, text.as_bytes()).is_some_and(|f| f.is_octet_aligned());
        assert!(aligned("octet-align=1"));
        assert!(aligned("interleaving=30"));
        assert!(!aligned("octet-align=0"));
        assert!(!aligned("mode-set=7"));
    }
}
