//! What a WAV file can't hold: packets of a codec that isn't decoded, in a recording beside it.
//!
//! A call whose audio is a WAV file may turn to such a codec while it goes on, by a re-INVITE, or on one leg alone. These
//! packets, and no others, are kept as they were heard in a second recording of the same call: an RTP dump with its own files and
//! chain. It begins at the same moment, so that its millisecond `t` is sample `t × rate / 1000` of the WAV file, and lies in
//! the same folder. There the file is silent, and its chain's marks (`lost`, `codec`) name the dump in their field `aside`.
//!
//! Which id it has follows from the other's: whoever has one of them finds the other.

use sha2::{Digest as _, Sha256};

use super::chain::Head;
use super::place::Phase;
use super::{Error, Place};
use crate::base::id::Id;

/// Bits of an id beside the time at which it was minted.
const CHANCE_BITS: u32 = 80;

/// The id of what lies beside that recording: minted when that was, so that lists have both at one place, and 80 bits of
/// SHA-256 over the text `aside` and the 16 bytes of that id.
pub fn aside_of(recording: Id) -> Id {
    let mut hash = Sha256::new();
    hash.update(b"aside");
    hash.update(recording.bits().to_be_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let (first, _) = digest.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    let minted = recording.bits() >> CHANCE_BITS << CHANCE_BITS;
    Id::from_bits(minted | u128::from_be_bytes(*first) >> (u128::BITS - CHANCE_BITS))
}

impl Head {
    /// Whether this recording lies beside the one that has its call's id.
    pub fn is_aside(&self) -> bool {
        self.recording == aside_of(self.call)
    }
}

/// Whether there is a recording at that place: its chain is the first of its files.
///
/// # Errors
/// The disk can't be read.
pub fn is_there(place: &Place) -> Result<bool, Error> {
    for phase in [Phase::Part, Phase::Whole] {
        let chain = place.chain(phase);
        if chain.try_exists().map_err(|error| Error::of(&chain, error))? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_a_recording_has_another_id_of_the_same_time() {
        let one: Id = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().expect("an id");
        let aside = aside_of(one);
        assert_eq!(aside.minted(), one.minted());
        assert_ne!(aside, one);
        assert_ne!(aside_of(Id::from_bits(one.bits() + 1)), aside);
        // As anybody can work it out: the first 80 bits of `printf aside… | sha256sum`.
        assert_eq!(aside.to_string(), "01ARZ3NDEKJ2JK693A11J8WKBN");
    }
}
