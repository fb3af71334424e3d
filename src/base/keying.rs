//! What secures the media of one direction of a leg (RFC 3711): how, and by which secret.
//!
//! Descriptions carry it, the relay uses it, the journal keeps it; nothing else may show it. So its `Debug` says no
//! more than how.

use std::fmt;

use arrayvec::ArrayVec;
use serde::{Deserialize, Serialize};

use super::chance::Chance;

/// The longest master key with its salt, in bytes.
pub const KEYING_BYTES_MAX: usize = 44;

/// How media is secured: the cipher and what authenticates it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Suite {
    /// AES in counter mode with a key of 128 bits, HMAC-SHA1 cut to 80 bits (RFC 4568 §6.2.1): what everybody has.
    AesCm128HmacSha1_80,
    /// AES-GCM with a key of 256 bits (RFC 7714).
    AeadAes256Gcm,
}

/// Several suites, the best first.
pub type Suites = ArrayVec<Suite, 2>;

impl Suite {
    /// Every suite that we know.
    pub const ALL: [Self; 2] = [Self::AesCm128HmacSha1_80, Self::AeadAes256Gcm];

    /// Its name in `a=crypto` and in the conf.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The suite of a name, in any case.
    pub fn of(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|suite| suite.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Bytes of a master key.
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of a master salt.
    pub const fn salt_bytes(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 => 14,
            Self::AeadAes256Gcm => 12,
        }
    }
}

/// A suite with a master key and a master salt for it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keying {
    suite: Suite,
    /// The key, and the salt behind it.
    bytes: ArrayVec<u8, KEYING_BYTES_MAX>,
}

impl Keying {
    /// A key for a suite, and its salt behind it. `None`: they have another length than the suite's.
    pub fn new(suite: Suite, bytes: &[u8]) -> Option<Self> {
        let keying = Self {
            suite,
            bytes: bytes.try_into().ok()?,
        };
        keying.is_sound().then_some(keying)
    }

    /// A key of its own, drawn from `chance`.
    pub fn draw(suite: Suite, chance: &mut Chance) -> Self {
        let length = suite.key_bytes() + suite.salt_bytes();
        let words = std::iter::repeat_with(|| chance.bits().to_be_bytes());
        Self {
            suite,
            bytes: words.flatten().take(length).collect(),
        }
    }

    /// Whether it is as long as its suite has it: what was read back may not be.
    pub fn is_sound(&self) -> bool {
        self.bytes.len() == self.suite.key_bytes() + self.suite.salt_bytes()
    }

    /// What it is for.
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// The key, and the salt behind it, as `inline:` has them (RFC 4568 §6.1).
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The master key.
    pub fn key(&self) -> &[u8] {
        self.bytes.get(..self.suite.key_bytes()).unwrap_or_default()
    }

    /// The master salt.
    pub fn salt(&self) -> &[u8] {
        self.bytes.get(self.suite.key_bytes()..).unwrap_or_default()
    }
}

impl fmt::Debug for Keying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (key not shown)", self.suite.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_as_long_as_its_suite_has_it_and_is_never_shown() {
        let mut chance = Chance::from_number(3);
        for suite in Suite::ALL {
            let keying = Keying::draw(suite, &mut chance);
            assert_eq!(keying.key().len(), suite.key_bytes());
            assert_eq!(keying.salt().len(), suite.salt_bytes());
            assert_eq!(
                Keying::new(suite, keying.bytes()).as_ref(),
                Some(&keying),
                "it reads back"
            );
            assert_eq!(Keying::new(suite, &keying.bytes()[1..]), None, "too short");
            assert_ne!(Keying::draw(suite, &mut chance), keying, "each is its own");
            assert_eq!(format!("{keying:?}"), format!("{} (key not shown)", suite.name()));
        }
        assert_eq!(
            Keying::new(Suite::AeadAes256Gcm, &[0; 45]),
            None,
            "too long for any"
        );
    }
}
