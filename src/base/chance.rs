//! Chance as it is handed to the pure floors: a seeded, cryptographically strong stream.
//!
//! The shell seeds it from the operating system; a simulation seeds it with a number, and the same seed
//! gives the same server.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Letters only: a token minted from these holds no digit, so no token can be taken for a phone number.
/// No vowels, so that no token spells a word.
const TOKEN_LETTERS: &[u8; 32] = b"bcdfghjklmnpqrstvwxzBCDFGHJKLMNP";

/// A stream of chance.
pub struct Chance(ChaCha8Rng);

impl Chance {
    /// The stream that `seed` names.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// The stream that a small number names: for simulations and tests.
    pub fn from_number(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in `0..n`, even to within 2⁻³². Zero when `n` is zero.
    pub fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(n)) >> 32) as u32
    }

    /// A token of `N` letters, five random bits each: for tags, branches and Call-IDs
    /// (RFC 3261 §19.3 asks for at least 32 bits).
    pub fn token<const N: usize>(&mut self) -> [u8; N] {
        let mut token = [0; N];
        for chunk in token.chunks_mut(12) {
            let mut bits = self.bits();
            for letter in chunk {
                *letter = TOKEN_LETTERS[(bits & 31) as usize];
                bits >>= 5;
            }
        }
        token
    }

    /// The token of twelve letters that these bits name.
    pub const fn token_of(bits: u64) -> [u8; 12] {
        let (mut token, mut at) = ([0; 12], 0);
        while at < 12 {
            token[at] = TOKEN_LETTERS[(bits >> (5 * at) & 31) as usize];
            at += 1;
        }
        token
    }

    /// Whether this may be a token of `N` letters that some stream minted.
    pub fn is_token<const N: usize>(text: &[u8]) -> bool {
        text.len() == N && text.iter().all(|letter| TOKEN_LETTERS.contains(letter))
    }

    /// A stream of its own, seeded from this one.
    pub fn fork(&mut self) -> Self {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        Self::from_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_stream_and_another_seed_another() {
        let draw = |seed| Chance::from_number(seed).token::<24>();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn a_token_holds_no_digit_and_below_stays_below() {
        let mut chance = Chance::from_number(1);
        for _ in 0..200 {
            assert!(chance.token::<30>().iter().all(u8::is_ascii_alphabetic));
            assert!(chance.below(7) < 7);
        }
        assert_eq!(chance.below(0), 0);
    }
}
