//! What a caller keys in, and the extension that it may be.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::str::FromStr;

use crate::base::limits::{EXTENSION_DIGITS_MAX, KEYED_DIGITS_MAX};

/// An extension behind a virtual number: one to four digits, not all of them zero. It is no part of the number:
/// `12` and `0012` are two extensions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extension(NonZeroU16);

/// The text is no extension.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an extension is 1 to {EXTENSION_DIGITS_MAX} digits, not all of them zero")]
pub struct NotAnExtension;

impl Extension {
    /// The extension that says `value` in `width` digits; `None` if it doesn't fit, or is 0.
    pub fn new(width: u8, value: u16) -> Option<Self> {
        let size = 10_u16.checked_pow(width.into())?;
        let fits = (1..=EXTENSION_DIGITS_MAX).contains(&width) && (1..size).contains(&value);
        let packed = size.checked_add(value).filter(|_| fits)?;
        NonZeroU16::new(packed).map(Self)
    }

    /// How many digits it has, 1 to 4.
    pub const fn width(self) -> u8 {
        match self.0.get() {
            ..100 => 1,
            100..1_000 => 2,
            1_000..10_000 => 3,
            10_000.. => 4,
        }
    }

    /// A number of its own: a leading 1, then its digits. What [`Extension::from_bits`] reads.
    pub const fn bits(self) -> u16 {
        self.0.get()
    }

    /// The extension of which these are the [bits](Extension::bits).
    pub fn from_bits(bits: u16) -> Option<Self> {
        let width = match bits {
            10..20 => 1,
            100..200 => 2,
            1_000..2_000 => 3,
            10_000..20_000 => 4,
            _ => return None,
        };
        Self::new(width, bits.checked_sub(10_u16.checked_pow(width.into())?)?)
    }

    /// How many extensions of `width` digits there are.
    pub fn count(width: u8) -> u16 {
        10_u16
            .checked_pow(width.into())
            .map_or(0, |size| size.saturating_sub(1))
    }
}

impl FromStr for Extension {
    type Err = NotAnExtension;

    fn from_str(text: &str) -> Result<Self, NotAnExtension> {
        let keyed: KeyRun = text.parse().map_err(|_| NotAnExtension)?;
        keyed.extension().ok_or(NotAnExtension)
    }
}

impl fmt::Display for Extension {
    /// With its leading zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        digits_behind_one(self.0.get().into(), f)
    }
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Digits as they were keyed in, one to eight of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyRun(NonZeroU32);

/// The text is no run of keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("what is keyed in is 1 to {KEYED_DIGITS_MAX} digits")]
pub struct NotKeyed;

impl KeyRun {
    /// The extension that these are, if they can be one.
    pub fn extension(self) -> Option<Extension> {
        let bits = u16::try_from(self.0.get()).ok()?;
        Extension::from_bits(bits)
    }
}

impl FromStr for KeyRun {
    type Err = NotKeyed;

    fn from_str(text: &str) -> Result<Self, NotKeyed> {
        if !(1..=KEYED_DIGITS_MAX).contains(&text.len()) {
            return Err(NotKeyed);
        }
        let mut packed: u32 = 1;
        for byte in text.bytes() {
            let digit = byte
                .checked_sub(b'0')
                .filter(|digit| *digit < 10)
                .ok_or(NotKeyed)?;
            packed = packed
                .checked_mul(10)
                .and_then(|n| n.checked_add(digit.into()))
                .ok_or(NotKeyed)?;
        }
        NonZeroU32::new(packed).map(Self).ok_or(NotKeyed)
    }
}

impl fmt::Display for KeyRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        digits_behind_one(self.0.get(), f)
    }
}

impl fmt::Debug for KeyRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn digits_behind_one(packed: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let text = packed.to_string();
    f.write_str(text.get(1..).unwrap_or_default())
}

/// What a caller has said by his keys, when an attempt is judged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Keyed {
    /// Nothing: he was not asked yet.
    #[default]
    Nothing,
    /// `#` and no digit before it.
    Hash,
    /// `*` and no digit before it, where that is an answer.
    Star,
    /// These digits; a `#` that ended them is left out.
    Digits(KeyRun),
}

impl Keyed {
    /// Whether he was asked and has answered.
    pub const fn is_answer(self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Hash | Self::Star | Self::Digits(_) => true,
        }
    }
}

impl FromStr for Keyed {
    type Err = NotKeyed;

    /// `*`, `#`, or digits with a `#` behind them or none.
    fn from_str(text: &str) -> Result<Self, NotKeyed> {
        if text == "*" {
            return Ok(Self::Star);
        }
        match text.strip_suffix('#').unwrap_or(text) {
            "" if !text.is_empty() => Ok(Self::Hash),
            digits => digits.parse().map(Self::Digits),
        }
    }
}

impl fmt::Display for Keyed {
    /// As it is keyed, without the `#` that ends digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Hash => f.write_str("#"),
            Self::Star => f.write_str("*"),
            Self::Digits(digits) => digits.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_keeps_its_zeros_and_is_never_nothing_but_zeros() {
        for text in ["1", "9", "01", "99", "001", "0100", "9999", "0001"] {
            let read: Extension = text.parse().expect(text);
            assert_eq!(
                (read.to_string().as_str(), read.width() as usize),
                (text, text.len())
            );
            assert_eq!(Extension::from_bits(read.bits()), Some(read));
        }
        for text in ["", "0", "00", "000", "0000", "12345", "1a", "#", "-1", "１"] {
            assert_eq!(text.parse::<Extension>(), Err(NotAnExtension), "{text}");
        }
        assert_ne!("12".parse::<Extension>(), "0012".parse::<Extension>());
    }

    #[test]
    fn every_bit_pattern_is_an_extension_or_none_and_there_are_as_many_as_said() {
        let all = (0..=u16::MAX).filter_map(Extension::from_bits);
        let mut of_width = [0; 4];
        for extension in all {
            of_width[usize::from(extension.width()) - 1] += 1;
        }
        assert_eq!(of_width, [9, 99, 999, 9_999]);
        assert_eq!([1, 2, 3, 4].map(Extension::count), of_width);
    }

    #[test]
    fn keys_are_digits_that_a_hash_may_end() {
        assert_eq!("#".parse(), Ok(Keyed::Hash));
        assert_eq!("*".parse(), Ok(Keyed::Star));
        assert_eq!("0012#".parse::<Keyed>(), "0012".parse());
        for text in ["*", "#", "0012"] {
            let read: Keyed = text.parse().expect(text);
            assert_eq!(read.to_string(), text);
        }
        for text in ["", "##", "1*", "123456789", "12 ", "+1"] {
            assert_eq!(text.parse::<Keyed>(), Err(NotKeyed), "{text}");
        }
        assert_eq!(
            "00000000".parse::<KeyRun>().map(|run| run.to_string()),
            Ok("00000000".into())
        );
    }
}
