//! Quarantine: how long a key that became free is kept from others than its former pair, and how firmly.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How firmly a key in quarantine is kept from others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Grip {
    /// A pool that chooses X takes other numbers first; who names X gets it.
    Soft,
    /// Nobody else gets it.
    Hard,
}

impl Grip {
    /// The word in conf and API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Soft => "soft",
            Self::Hard => "hard",
        }
    }
}

/// How long, and how firmly. Written `24h soft`, `7d hard`, `0s soft`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quarantine {
    /// How long after the end; whole seconds.
    pub lasts: Duration,
    /// How firmly.
    pub grip: Grip,
}

/// The longest quarantine: a year.
pub const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// The text isn't a quarantine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a quarantine is a time of at most 365 days and a word, like 24h soft or 7d hard")]
pub struct NotAQuarantine;

impl FromStr for Quarantine {
    type Err = NotAQuarantine;

    fn from_str(text: &str) -> Result<Self, NotAQuarantine> {
        let (time, grip) = text.trim().split_once(' ').ok_or(NotAQuarantine)?;
        let grip = match grip.trim() {
            "soft" => Grip::Soft,
            "hard" => Grip::Hard,
            _ => return Err(NotAQuarantine),
        };
        let unit = time.chars().next_back().ok_or(NotAQuarantine)?;
        let count: u64 = time
            .strip_suffix(unit)
            .and_then(|count| count.parse().ok())
            .ok_or(NotAQuarantine)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(NotAQuarantine),
        };
        let lasts = count.checked_mul(seconds).map(Duration::from_secs);
        let lasts = lasts.filter(|lasts| *lasts <= LONGEST).ok_or(NotAQuarantine)?;
        Ok(Self { lasts, grip })
    }
}

impl fmt::Display for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.lasts.as_secs();
        let (count, unit) = [(86_400, 'd'), (3_600, 'h'), (60, 'm')]
            .into_iter()
            .find(|(size, _)| seconds > 0 && seconds.is_multiple_of(*size))
            .map_or((seconds, 's'), |(size, unit)| (seconds / size, unit));
        write!(f, "{count}{unit} {}", self.grip.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarantine_reads_as_it_is_written() {
        for text in [
            "24h soft",
            "7d hard",
            "90m soft",
            "1s hard",
            "0s soft",
            "365d soft",
        ] {
            let read: Quarantine = text.parse().expect(text);
            assert_eq!(read.to_string().parse(), Ok(read), "{text}");
        }
        assert_eq!(
            "24h soft".parse::<Quarantine>().map(|q| q.to_string()),
            Ok("1d soft".into())
        );
    }

    #[test]
    fn what_is_no_quarantine_is_refused() {
        for text in [
            "",
            "soft",
            "24h",
            "24 soft",
            "h soft",
            "-1h soft",
            "366d hard",
            "24h firm",
            "1é soft",
            "99999999999999999999d soft",
        ] {
            assert_eq!(text.parse::<Quarantine>(), Err(NotAQuarantine), "{text}");
        }
    }
}
