//! Which bytes of a file a request wants (RFC 9110 §14): all of them, or one part.

use axum::http::{HeaderMap, header};

/// What a request wants of so many bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// All of them: it names no part, or none that we give.
    All,
    /// From this byte to that one, both with it.
    Part {
        /// The first byte, counted from 0.
        first: u64,
        /// The last one.
        last: u64,
    },
    /// A part that isn't there (416).
    Beyond,
}

/// What the headers want of `length` bytes that are known by that ETag, as it is written, in quotes. A part is given only of
/// what `If-Range` names, if it is there; several parts, and what can't be read, are as if nothing were asked for
/// (RFC 9110 §14.2).
pub fn wanted(headers: &HeaderMap, etag: &str, length: u64) -> Wanted {
    let is_ours = headers
        .get(header::IF_RANGE)
        .is_none_or(|named| named.as_bytes() == etag.as_bytes());
    let mut ranges = headers.get_all(header::RANGE).iter();
    match (ranges.next().and_then(|range| range.to_str().ok()), ranges.next()) {
        (Some(range), None) if is_ours => part(range, length).unwrap_or(Wanted::All),
        (Some(_) | None, _) => Wanted::All,
    }
}

/// The part that `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-COUNT` names (RFC 9110 §14.1.2).
fn part(range: &str, length: u64) -> Option<Wanted> {
    let (unit, set) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.trim_matches([' ', '\t']).split_once('-')?;
    let end = length.checked_sub(1);
    let (first, last) = match (first, last) {
        ("", count) => {
            let count = position(count)?;
            (length.saturating_sub(count), (count > 0).then_some(end).flatten())
        }
        (first, "") => (position(first)?, end),
        (first, last) => {
            let (first, last) = (position(first)?, position(last)?);
            if last < first {
                return None;
            }
            (first, end.map(|end| end.min(last)))
        }
    };
    Some(match last {
        Some(last) if first <= last => Wanted::Part { first, last },
        Some(_) | None => Wanted::Beyond,
    })
}

/// A number of digits alone; one that is too great is as great as can be.
fn position(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"abc\"";

    fn of(range: &str, length: u64) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().unwrap());
        wanted(&headers, ETAG, length)
    }

    #[test]
    fn a_part_is_from_the_first_byte_to_the_last_to_the_end_or_the_last_so_many() {
        let part = |first, last| Wanted::Part { first, last };
        assert_eq!(of("bytes=0-0", 100), part(0, 0));
        assert_eq!(of("bytes=10-19", 100), part(10, 19));
        assert_eq!(of("bytes=99-", 100), part(99, 99));
        assert_eq!(of("Bytes= 10-19 ", 100), part(10, 19));
        assert_eq!(of("bytes=-1", 100), part(99, 99));
        assert_eq!(
            of("bytes=-500", 100),
            part(0, 99),
            "more than there is: all of it"
        );
        assert_eq!(of("bytes=90-500", 100), part(90, 99), "up to the end");
        assert_eq!(
            of("bytes=5-99999999999999999999999", 100),
            part(5, 99),
            "however many digits"
        );
    }

    #[test]
    fn a_part_behind_the_end_or_of_nothing_is_not_there() {
        for range in [
            "bytes=100-",
            "bytes=100-200",
            "bytes=-0",
            "bytes=99999999999999999999999-",
        ] {
            assert_eq!(of(range, 100), Wanted::Beyond, "{range}");
        }
        for range in ["bytes=0-", "bytes=0-0", "bytes=-1"] {
            assert_eq!(of(range, 0), Wanted::Beyond, "{range}");
        }
    }

    #[test]
    fn what_can_not_be_read_and_several_parts_are_as_if_nothing_were_asked_for() {
        for range in [
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=9-1",
            "bytes=0-1,5-6",
            "items=0-1",
            "bytes=1 - 2",
        ] {
            assert_eq!(of(range, 100), Wanted::All, "{range}");
        }
        let mut twice = HeaderMap::new();
        twice.append(header::RANGE, "bytes=0-1".parse().unwrap());
        twice.append(header::RANGE, "bytes=5-6".parse().unwrap());
        assert_eq!(wanted(&twice, ETAG, 100), Wanted::All);
    }

    #[test]
    fn a_part_of_another_file_than_if_range_names_is_not_given() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, "bytes=0-1".parse().unwrap());
        headers.insert(header::IF_RANGE, ETAG.parse().unwrap());
        assert_eq!(wanted(&headers, ETAG, 100), Wanted::Part { first: 0, last: 1 });
        for other in ["\"abd\"", "W/\"abc\"", "Sat, 21 Nov 2026 10:00:00 GMT"] {
            headers.insert(header::IF_RANGE, other.parse().unwrap());
            assert_eq!(wanted(&headers, ETAG, 100), Wanted::All, "{other}");
        }
    }
}
