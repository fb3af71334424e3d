//! Durations and times as people write and read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::zone;
use crate::base::time::Wall;

/// Reads `10m`, `1h30m`, `2d`, `1h 5s`; a bare number is seconds.
///
/// # Errors
/// A sentence that says how durations are written.
pub fn duration(text: &str) -> Result<Duration, String> {
    let fault = || "write a duration like 90s, 10m, 1h30m or 7d".to_owned();
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let (mut total, mut rest, mut last_unit) = (0_u64, text, u64::MAX);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(fault)?;
        let (number, after) = rest.split_at(digits);
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (name, after) = after.split_at(letters);
        let unit = match name {
            "s" | "sec" => 1,
            "m" | "min" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return Err(fault()),
        };
        // From large to small, each once: `5m1h` is more likely a slip than a sum.
        if unit >= last_unit {
            return Err(fault());
        }
        last_unit = unit;
        total = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(unit))
            .and_then(|s| s.checked_add(total))
            .ok_or_else(fault)?;
        rest = after.trim_start();
    }
    if text.is_empty() {
        Err(fault())
    } else {
        Ok(Duration::from_secs(total))
    }
}

/// Reads `2026-12-31 00:00[:00]` or `2026-12-31` on local clocks, or either with an offset or `Z`.
///
/// # Errors
/// A sentence that says how times are written, or that local clocks skip that time.
pub fn time(text: &str) -> Result<Wall, String> {
    time_in(text, zone::offset_s)
}

fn time_in(text: &str, offset_s: impl Fn(i64) -> i64) -> Result<Wall, String> {
    let text = text.trim();
    if let Some(wall) = Wall::parse_rfc3339(text) {
        return Ok(wall);
    }
    let as_utc = match text.len() {
        10 => Wall::parse_rfc3339(&format!("{text}T00:00:00Z")),
        16 => Wall::parse_rfc3339(&format!("{text}:00Z")),
        _ => Wall::parse_rfc3339(&format!("{text}Z")),
    }
    .ok_or("write a time like 2026-12-31 18:00, or with its offset: 2026-12-31T18:00:00+08:00")?;
    let local_s = as_utc.as_millis().div_euclid(1_000);
    // Guess with the offset of the same digits in UTC, then correct once: enough for every zone.
    let guess = local_s - offset_s(local_s - offset_s(local_s));
    if guess + offset_s(guess) != local_s {
        return Err("local clocks skip that time: name another, or write it with its offset".into());
    }
    Ok(Wall::from_millis(as_utc.as_millis() + (guess - local_s) * 1_000))
}

/// Reads a moment that lies back: a time, or how long ago (`1h`).
///
/// # Errors
/// As [`time`].
pub fn past(text: &str) -> Result<Wall, String> {
    match duration(text) {
        Ok(length) => Ok(ago(length)),
        Err(_) => time(text).map_err(|fault| format!("{fault}; or how long ago: 1h")),
    }
}

/// The moment that lies so far back.
pub fn ago(length: Duration) -> Wall {
    let ms = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    Wall::from_millis(now().as_millis().saturating_sub(ms))
}

/// This moment.
pub fn now() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A time on local clocks, with its offset: `2026-12-31 00:00:00 +08:00`.
pub fn show_time(wall: Wall) -> String {
    show_time_at(wall, zone::offset_s(wall.as_millis().div_euclid(1_000)))
}

fn show_time_at(wall: Wall, offset_s: i64) -> String {
    let local =
        Wall::from_millis(wall.as_millis().saturating_add(offset_s.saturating_mul(1_000))).to_string();
    let (day, clock) = (
        local.get(..10).unwrap_or(&local),
        local.get(11..19).unwrap_or_default(),
    );
    let sign = if offset_s < 0 { '-' } else { '+' };
    let minutes = offset_s.abs() / 60;
    format!("{day} {clock} {sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// A time that the API wrote (RFC 3339), for people; anything else as it is.
pub fn show_api_time(text: &str) -> String {
    Wall::parse_rfc3339(text).map_or_else(|| text.to_owned(), show_time)
}

/// A duration for people: `1h30m`, `45s`, `0s`; at most three parts.
pub fn show_duration(length: Duration) -> String {
    let seconds = length.as_secs();
    let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];
    let (mut rest, mut text) = (seconds, String::new());
    for (unit, name) in units {
        let n = rest / unit;
        rest %= unit;
        if n > 0 {
            text.push_str(&format!("{n}{name}"));
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, seconds) in [
            ("10m", 600),
            ("1h30m", 5_400),
            ("90s", 90),
            ("7d", 604_800),
            ("1h 5s", 3_605),
            ("45", 45),
            ("2w", 1_209_600),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in [
            "",
            "m",
            "10x",
            "5m1h",
            "1h1h",
            "-5m",
            "1.5h",
            "99999999999999999999s",
            "9999999999999999w",
            "10m5",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_duration_reads_back_what_it_showed() {
        for seconds in [0, 1, 60, 5_400, 86_399, 90_061] {
            let length = Duration::from_secs(seconds);
            assert_eq!(duration(&show_duration(length)), Ok(length));
        }
    }

    /// Berlin in 2026: summer time from March 29 01:00 UTC to October 25 01:00 UTC.
    fn berlin(unix_s: i64) -> i64 {
        let at = |text| Wall::parse_rfc3339(text).unwrap().as_millis() / 1_000;
        if (at("2026-03-29T01:00:00Z")..at("2026-10-25T01:00:00Z")).contains(&unix_s) {
            7_200
        } else {
            3_600
        }
    }

    #[test]
    fn a_local_time_is_read_with_the_offset_of_that_day() {
        let read = |text| time_in(text, berlin).map(|w| w.to_string());
        assert_eq!(
            read("2026-07-01 12:00").as_deref(),
            Ok("2026-07-01T10:00:00.000Z")
        );
        assert_eq!(
            read("2026-12-31 00:00").as_deref(),
            Ok("2026-12-30T23:00:00.000Z")
        );
        assert_eq!(read("2026-12-31").as_deref(), Ok("2026-12-30T23:00:00.000Z"));
        assert_eq!(
            read("2026-03-29 03:00").as_deref(),
            Ok("2026-03-29T01:00:00.000Z")
        );
        assert_eq!(
            read("2026-07-01T12:00:30+08:00").as_deref(),
            Ok("2026-07-01T04:00:30.000Z")
        );
        assert_eq!(
            read("2026-03-29 01:30").as_deref(),
            Ok("2026-03-29T00:30:00.000Z")
        );
        assert!(read("2026-03-29 02:30").unwrap_err().contains("skip"));
        for bad in [
            "",
            "tomorrow",
            "2026-13-01",
            "2026-12-31 25:00",
            "12:00",
            "二〇二六年",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_is_shown_with_its_offset() {
        let wall = Wall::parse_rfc3339("2026-12-30T16:00:00Z").unwrap();
        assert_eq!(show_time_at(wall, 8 * 3_600), "2026-12-31 00:00:00 +08:00");
        assert_eq!(
            show_time_at(wall, -(3 * 3_600 + 1_800)),
            "2026-12-30 12:30:00 -03:30"
        );
    }
}
