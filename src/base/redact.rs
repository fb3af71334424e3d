//! Masking of phone numbers in anything that people may read: logs, traces, errors, panics.

use std::borrow::Cow;
use std::fmt;

/// A run of this many digits or more may be somebody's number.
const SUSPECT_DIGITS: usize = 7;

/// Writes a number's digits as `138****0001`: of the last eleven the first three and the last four.
/// A number shorter than seven digits is all stars.
pub struct Masked<'a>(pub &'a str);

impl fmt::Display for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0;
        if digits.len() < SUSPECT_DIGITS || !digits.is_ascii() {
            return f.write_str(&"*".repeat(digits.len().min(18)));
        }
        let tail = &digits[digits.len().saturating_sub(11)..];
        write!(
            f,
            "{}{}{}",
            &tail[..3],
            "*".repeat(tail.len() - 7),
            &tail[tail.len() - 4..]
        )
    }
}

/// The text with every run of seven digits or more masked. Separators inside a number (`-`, `.`, space,
/// parentheses) don't hide it. Borrowed when there is nothing to mask.
pub fn scrub(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let (mut copied, mut at) = (0, 0);
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let (start, mut end, mut digits) = (at, at, String::new());
        while at < bytes.len()
            && (bytes[at].is_ascii_digit() || (b"-. ()".contains(&bytes[at]) && at - end < 2))
        {
            if bytes[at].is_ascii_digit() {
                digits.push(char::from(bytes[at]));
                end = at + 1;
            }
            at += 1;
        }
        at = end;
        if digits.len() >= SUSPECT_DIGITS {
            out.push_str(&text[copied..start]);
            out.push_str(&Masked(&digits).to_string());
            copied = end;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_masked_however_it_is_written_and_the_rest_stays() {
        assert_eq!(scrub("from +8613800000001 to x"), "from +138****0001 to x");
        assert_eq!(scrub("tel:138-0000-0001;x=1"), "tel:138****0001;x=1");
        assert_eq!(scrub("(138) 0000 0001"), "(138****0001");
        assert_eq!(scrub("port 5060 after 120 ms"), "port 5060 after 120 ms");
        assert_eq!(scrub("电话13800000001。"), "电话138****0001。");
    }
}
