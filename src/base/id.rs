//! Ids of calls, bindings and other records: 128 bits that sort by the time they were minted.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::chance::Chance;
use super::time::Wall;

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A sortable id (ULID): 48 bits of Unix milliseconds, 80 bits of chance; written as 26 characters.
///
/// Ids are for records, the API and logs. They never go into a SIP message: what goes there is minted
/// from letters ([`Chance::token`]).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    // Two words rather than a u128: its alignment of 16 would cost every (key, id) pair 8 bytes.
    high: u64,
    low: u64,
}

impl Id {
    /// A new id, minted at `wall`.
    pub fn mint(wall: Wall, chance: &mut Chance) -> Self {
        let ms = (wall.as_millis().max(0) as u128) & 0xFFFF_FFFF_FFFF;
        let low = (u128::from(chance.bits()) << 16) | u128::from(chance.bits() & 0xFFFF);
        Self::from_bits((ms << 80) | low)
    }

    /// The id with these bits, as [`Id::bits`] gave them.
    pub const fn from_bits(bits: u128) -> Self {
        Self {
            high: (bits >> 64) as u64,
            low: bits as u64,
        }
    }

    /// The id's bits, for records on disk.
    pub const fn bits(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }

    /// When it was minted, to the millisecond.
    pub const fn minted(self) -> Wall {
        Wall::from_millis((self.high >> 16) as i64)
    }

    /// A number drawn when it was minted.
    pub const fn lot(self) -> u64 {
        self.low
    }

    /// The id as it is written: 26 characters of ASCII.
    pub fn letters(self) -> [u8; 26] {
        let mut text = [0; 26];
        let mut rest = self.bits();
        for letter in text.iter_mut().rev() {
            *letter = CROCKFORD[(rest & 31) as usize];
            rest >>= 5;
        }
        text
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.letters()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text isn't an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 26 characters of 0-9 and A-Z without I, L, O, U")]
pub struct NotAnId;

impl FromStr for Id {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if text.len() != 26 || text.as_bytes()[0] > b'7' {
            return Err(NotAnId);
        }
        text.bytes()
            .try_fold(0, |bits: u128, c| {
                let value = CROCKFORD
                    .iter()
                    .position(|l| *l == c.to_ascii_uppercase())
                    .ok_or(NotAnId)?;
                Ok(bits << 5 | value as u128)
            })
            .map(Self::from_bits)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_sorts_by_time() {
        let mut chance = Chance::from_number(3);
        let early = Id::mint(Wall::from_millis(1_795_000_000_000), &mut chance);
        let late = Id::mint(Wall::from_millis(1_795_000_000_001), &mut chance);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse(), Ok(early));
        for bad in [
            "",
            "01J",
            "81ARZ3NDEKTSV4RRFFQ69G5FAV",
            "01ARZ3NDEKTSV4RRFFQ69G5FAU",
        ] {
            assert_eq!(bad.parse::<Id>(), Err(NotAnId), "{bad}");
        }
    }
}
