//! What moves open calls to a new segment.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::Live;
use crate::base::id::Id;
use crate::store::entry::{ANSWERED, DIED, short_frame};
use crate::store::file;

/// Writes all that is known of an open call, its arrival's frame first; returns the bytes.
pub(super) fn write_call(out: &mut impl Write, id: Id, frame: &[u8], live: &Live) -> io::Result<u64> {
    out.write_all(frame)?;
    let mut bytes = frame.len() as u64;
    for (kind, at) in [(ANSWERED, live.answered), (DIED, live.died)] {
        if at.is_some() {
            let mut news = Vec::new();
            short_frame(&mut news, kind, id, at);
            out.write_all(&news)?;
            bytes += news.len() as u64;
        }
    }
    Ok(bytes)
}

pub(super) fn copy_range(
    from: &File,
    range: std::ops::Range<u64>,
    to: &File,
    path: &Path,
    at: u64,
) -> io::Result<()> {
    let mut piece = vec![0; 1 << 16];
    let (mut read, mut written) = (range.start, at);
    while read < range.end {
        let bytes = piece
            .len()
            .min(usize::try_from(range.end - read).unwrap_or(usize::MAX));
        let piece = &mut piece[..bytes];
        from.read_exact_at(piece, read)?;
        file::write_at(to, path, piece, written)?;
        read += bytes as u64;
        written += bytes as u64;
    }
    Ok(())
}

/// The first number that no segment has.
pub(super) fn free(segments: &[(u64, PathBuf)]) -> u64 {
    let taken = |number: &u64| segments.iter().any(|(n, _)| n == number);
    (1..).find(|number| !taken(number)).unwrap_or_default()
}

/// Twice what is alive, at least, so that copying never eats more than writing.
pub(super) fn copy_at(segment_bytes: u64, live_bytes: u64) -> u64 {
    segment_bytes.max(live_bytes.saturating_mul(2))
}
