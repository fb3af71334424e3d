//! Time as it is handed to the pure floors: a monotonic instant, a wall time, and the pair of both.
//!
//! None of these types has a `now()`: only the shell (floors 4–6) reads a clock.

use std::fmt::{self, Write};
use std::ops::{Add, Sub};
use std::time::Duration;

use arrayvec::ArrayString;

/// A point on the server's monotonic clock, in microseconds since the process started.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Instant(u64);

impl Instant {
    /// The instant `us` microseconds after the start of the process.
    pub const fn from_micros(us: u64) -> Self {
        Self(us)
    }

    /// Microseconds since the start of the process.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it isn't.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

/// A wall-clock time in Unix milliseconds (UTC). Written as RFC 3339 with milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(i64);

impl Wall {
    /// Later than any time that is ever compared with it.
    pub const NEVER: Self = Self(i64::MAX);

    /// The wall time `ms` milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it isn't (wall clocks jump).
    pub const fn since(self, earlier: Self) -> Duration {
        let ms = self.0.saturating_sub(earlier.0);
        Duration::from_millis(if ms > 0 { ms as u64 } else { 0 })
    }

    /// This time moved earlier by `by`, saturating.
    pub fn minus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// This time moved later by `by`, saturating.
    pub fn plus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// Reads `2026-11-21T10:00:00[.123]Z` or with an offset (`+08:00`); a space may stand for the `T`.
    /// `None` for anything else.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let b = text.as_bytes();
        let num = |from: usize, len: usize| -> Option<i64> {
            let part = b.get(from..from + len)?;
            part.iter()
                .all(u8::is_ascii_digit)
                .then(|| text[from..from + len].parse().ok())?
        };
        let sep = |at: usize, allowed: &[u8]| b.get(at).filter(|c| allowed.contains(c)).map(|_| ());
        let (year, month, day) = (num(0, 4)?, num(5, 2)?, num(8, 2)?);
        let (hour, minute, second) = (num(11, 2)?, num(14, 2)?, num(17, 2)?);
        sep(4, b"-")?;
        sep(7, b"-")?;
        sep(10, b"Tt ")?;
        sep(13, b":")?;
        sep(16, b":")?;
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let mut at = 19;
        let mut ms = 0;
        if b.get(at) == Some(&b'.') {
            let digits = b[at + 1..].iter().take_while(|c| c.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            for i in 0..3 {
                ms = ms * 10
                    + if i < digits {
                        i64::from(b[at + 1 + i] - b'0')
                    } else {
                        0
                    };
            }
            at += 1 + digits;
        }
        let offset_min = match b.get(at)? {
            b'Z' | b'z' if b.len() == at + 1 => 0,
            sign @ (b'+' | b'-') if b.len() == at + 6 => {
                sep(at + 3, b":")?;
                let total = num(at + 1, 2)? * 60 + num(at + 4, 2)?;
                if *sign == b'-' { -total } else { total }
            }
            _ => return None,
        };
        let days = days_from_civil(year, month, day);
        let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset_min * 60;
        Some(Self(seconds * 1_000 + ms))
    }
}

impl Wall {
    /// The time as it is written.
    pub fn text(self) -> ArrayString<32> {
        let (year, text) = self.digits();
        let (digits, rest) = text.split_at(4);
        let [digits, rest] = [digits, rest].map(|part| std::str::from_utf8(part).unwrap_or_default());
        let mut out = ArrayString::new();
        if (0..=9_999).contains(&year) {
            out.push_str(digits);
        } else {
            // A year of 64-bit milliseconds has nine digits at the most.
            let _ = write!(out, "{year:04}");
        }
        out.push_str(rest);
        out
    }

    /// Adds the time as it is written.
    pub fn write(self, out: &mut Vec<u8>) {
        match self.digits() {
            (0..=9_999, text) => out.extend_from_slice(&text),
            _ => out.extend_from_slice(self.text().as_bytes()),
        }
    }

    /// The year, and the time as it is written if that has four digits.
    fn digits(self) -> (i64, [u8; 24]) {
        let (days, ms_of_day) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = civil_from_days(days);
        let s = ms_of_day / 1_000;
        // Every record has half a dozen of them: digit by digit is a tenth of the work that `write!` makes of it.
        let mut text = *b"0000-00-00T00:00:00.000Z";
        // Each is below 10,000 where it is written.
        let ascii = |number: i64, unit: u16| b'0' + (number as u16 / unit % 10) as u8;
        text[..4].copy_from_slice(&[1_000, 100, 10, 1].map(|unit| ascii(year, unit)));
        text[5..7].copy_from_slice(&[10, 1].map(|unit| ascii(month, unit)));
        text[8..10].copy_from_slice(&[10, 1].map(|unit| ascii(day, unit)));
        text[11..13].copy_from_slice(&[10, 1].map(|unit| ascii(s / 3_600, unit)));
        text[14..16].copy_from_slice(&[10, 1].map(|unit| ascii(s / 60 % 60, unit)));
        text[17..19].copy_from_slice(&[10, 1].map(|unit| ascii(s % 60, unit)));
        text[20..23].copy_from_slice(&[100, 10, 1].map(|unit| ascii(ms_of_day % 1_000, unit)));
        (year, text)
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Both clocks, read at one moment: what the shell hands to the core with every input.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// The monotonic clock: for every interval and timer.
    pub at: Instant,
    /// The wall clock: for records, and for what people set by the calendar.
    pub wall: Wall,
}

impl Now {
    /// The wall time that belongs to `at`, an instant not later than this moment.
    pub fn wall_of(self, at: Instant) -> Wall {
        Wall(self.wall.0 - i64::try_from(self.at.since(at).as_millis()).unwrap_or(0))
    }
}

/// Days of the civil calendar before `year-month-day`, counted from 1970-01-01 (proleptic Gregorian).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y - era * 400;
    let shifted = (month + 9) % 12;
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days.saturating_add(719_468);
    let era = z.div_euclid(146_097);
    let day_of_era = z - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let next = if month == 12 {
        (year + 1, 1)
    } else {
        (year, month + 1)
    };
    days_from_civil(next.0, next.1, 1) - days_from_civil(year, month, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_time_reads_back_what_it_wrote() {
        for ms in [0, 951_782_400_123, 1_795_255_200_999, 4_102_444_800_000, -1] {
            let wall = Wall::from_millis(ms);
            assert_eq!(Wall::parse_rfc3339(&wall.to_string()), Some(wall), "{wall}");
        }
        for ms in [951_782_400_123, 253_402_300_800_000, -62_198_755_200_000] {
            let wall = Wall::from_millis(ms);
            let mut written = Vec::new();
            wall.write(&mut written);
            assert_eq!(written, wall.to_string().as_bytes());
        }
        assert_eq!(
            Wall::from_millis(253_402_300_800_000).to_string(),
            "10000-01-01T00:00:00.000Z"
        );
        assert_eq!(
            Wall::from_millis(-62_198_755_200_000).to_string(),
            "-001-01-01T00:00:00.000Z"
        );
        assert_eq!(
            Wall::from_millis(951_782_400_123).to_string(),
            "2000-02-29T00:00:00.123Z"
        );
    }

    #[test]
    fn an_offset_moves_the_time_and_nonsense_is_refused() {
        let noon = Wall::parse_rfc3339("2026-11-21T12:00:00Z");
        assert!(noon.is_some());
        assert_eq!(Wall::parse_rfc3339("2026-11-21 20:00:00+08:00"), noon);
        for bad in [
            "",
            "2026-11-21",
            "2026-02-30T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T12:00:00",
        ] {
            assert_eq!(Wall::parse_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_interval_never_runs_backwards() {
        let (early, late) = (Instant::from_micros(5), Instant::from_micros(9));
        assert_eq!(late - early, Duration::from_micros(4));
        assert_eq!(early - late, Duration::ZERO);
        assert_eq!(Wall::from_millis(5).since(Wall::from_millis(9)), Duration::ZERO);
    }
}
