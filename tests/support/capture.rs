//! Captures of what phones sent: those of `tests/data`.
#![allow(dead_code)] // each test binary uses its part

use std::path::Path;
use std::time::Duration;

/// What stands before the first packet of a file, and before each (libpcap's file format).
const FILE_HEAD: usize = 24;
const RECORD_HEAD: usize = 16;
/// Ethernet, IPv4 without options, UDP.
const HEADS: usize = 14 + 20 + 8;

/// RTP packets, and how long after the first each came.
pub type Packets = Vec<(Duration, Vec<u8>)>;

/// The packets of a capture.
pub fn read(name: &str) -> Packets {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    let file = std::fs::read(path).expect("the capture is there");
    assert_eq!(
        file[..4],
        0xa1b2_c3d4_u32.to_le_bytes(),
        "classic, in microseconds"
    );
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"));
    let (mut packets, mut at, mut first) = (Packets::new(), FILE_HEAD, None);
    while at < file.len() {
        let came = Duration::new(word(at).into(), word(at + 4) * 1_000);
        let length = word(at + 8) as usize;
        let packet = &file[at + RECORD_HEAD..at + RECORD_HEAD + length];
        packets.push((came - *first.get_or_insert(came), packet[HEADS..].to_vec()));
        at += RECORD_HEAD + length;
    }
    packets
}
