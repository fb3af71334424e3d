//! The journal of calls after harm: no record comes out whose entry's checksum doesn't hold.

use std::fs;

use umbra::store::journal::Journal;

const HEAD_BYTES: usize = 12;
/// Kinds of entries that carry a record: an arrival, and a finished one; of version 1, of version 2, and of today's.
const WITH_RECORD: [u8; 6] = [1, 5, 17, 21, 24, 25];

/// The input is a segment.
pub fn run(bytes: &[u8]) {
    let folder = super::folder();
    fs::write(folder.path().join("calls-00000000000000000001.log"), bytes).expect("written");
    match Journal::open(folder.path()) {
        Ok((journal, calls)) => {
            assert!(
                calls.len() <= whole_records(bytes),
                "a record out of a damaged entry"
            );
            assert!(journal.notes().iter().all(|note| !note.is_empty()));
        }
        Err(why) => assert!(why.to_string().len() > 20, "a sentence"),
    }
}

/// How many entries with a record stand anywhere in the bytes, and are whole.
fn whole_records(bytes: &[u8]) -> usize {
    let at = |at: usize| -> Option<()> {
        let head: &[u8; 8] = bytes.get(at..)?.first_chunk()?;
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let crc = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        let body = bytes.get(at + 8..)?.get(..length)?;
        let is_record = WITH_RECORD.contains(body.first()?);
        (is_record && crc32(body) == crc).then_some(())
    };
    (HEAD_BYTES..bytes.len()).filter_map(at).count()
}

/// CRC-32 as of IEEE 802.3, bit by bit: not the code that is tested.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xEDB8_8320
            } else {
                crc >> 1
            };
        }
    }
    !crc
}
