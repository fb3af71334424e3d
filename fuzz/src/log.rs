//! The write-ahead log after harm: whatever its files hold, no record comes out that was not written, none out of
//! order, and a log that opens opens again the same.

use std::fs;

use umbra::store::log::Log;

/// The beginning of every payload that was written.
const MARK: &[u8] = b"record ";

/// The input is a list of harms to a log of known records, or, after a `!`, the whole of a segment.
pub fn run(bytes: &[u8]) {
    let folder = super::folder();
    if let Some(segment) = bytes.strip_prefix(b"!") {
        fs::write(folder.path().join("wal-00000000000000000001.log"), segment).expect("written");
        drop(records(&folder));
        return;
    }
    let written: Vec<Vec<u8>> = (0..12_u8)
        .map(|n| [MARK, &[b'a' + n].repeat(usize::from(n) * 3)].concat())
        .collect();
    {
        let (mut log, _) = Log::open(folder.path(), 400, 0, &mut |_, _| Ok(())).expect("a new log");
        for group in written.chunks(3) {
            log.append(group).expect("room");
        }
    }
    let mut files: Vec<_> = fs::read_dir(folder.path())
        .expect("readable")
        .map(|file| file.expect("a file").path())
        .collect();
    files.sort();
    for harm in bytes.chunks_exact(4).take(8) {
        let path = &files[usize::from(harm[0] >> 2) % files.len()];
        let Ok(mut whole) = fs::read(path) else { continue };
        if whole.is_empty() {
            continue;
        }
        let at = usize::from(u16::from_le_bytes([harm[1], harm[2]])) % whole.len();
        match harm[0] & 3 {
            0 => whole[at] ^= harm[3],
            1 => whole.truncate(at),
            2 => whole.extend_from_slice(&harm.repeat(usize::from(harm[3]) % 20)),
            _ => {
                let piece = whole[at..].to_vec();
                let place = usize::from(harm[3]) % whole.len();
                whole.splice(place..place, piece);
            }
        }
        fs::write(path, whole).expect("written");
    }
    let Some(found) = records(&folder) else { return };
    for (at, (seq, payload)) in found.iter().enumerate() {
        assert_eq!(*seq, at as u64 + 1, "records come in order, without gaps");
        assert_eq!(Some(payload), written.get(at), "no record that was not written");
    }
    assert_eq!(records(&folder).as_ref(), Some(&found), "what opened opens again");
}

/// The records of the log; `None`: it is refused.
fn records(folder: &tempfile::TempDir) -> Option<Vec<(u64, Vec<u8>)>> {
    let mut found = Vec::new();
    let opened = Log::open(folder.path(), 400, 0, &mut |seq, payload| {
        found.push((seq, payload.to_vec()));
        Ok(())
    });
    match opened {
        Ok(_) => Some(found),
        Err(why) => {
            assert!(why.to_string().len() > 20, "a sentence");
            None
        }
    }
}
