//! What moves open calls to a new segment.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::batch::Frames;
use super::book::Live;
use crate::base::id::Id;
use crate::store::entry::{ACKED, ANSWERED, DIED, short_frame};
use crate::store::file;

/// Where a call stands in the new segment.
pub(super) struct Moved {
    /// Its arrival, or its finished record.
    pub(super) at: u64,
    /// How it ended.
    pub(super) over: Option<u64>,
    /// Its state.
    pub(super) kept: Option<u64>,
}

/// Writes all that is known of an open call at `at`; returns where its frames stand, and the bytes. `sequence` is that
/// of its times. Its state comes last: if the end is lost, what stands elsewhere of the state is still acknowledged.
pub(super) fn write_call(
    out: &mut impl Write,
    at: u64,
    id: Id,
    frames: &Frames,
    live: &Live,
    sequence: u64,
) -> io::Result<(Moved, u64)> {
    let mut news = Vec::new();
    for (kind, at) in [(ANSWERED, live.answered), (DIED, live.died)] {
        if at.is_some() {
            short_frame(&mut news, kind, id, sequence, at);
        }
    }
    if let Some(acked) = live.acked {
        short_frame(&mut news, ACKED, id, acked, None);
    }
    let Frames { arrival, over, kept } = frames;
    let bytes_of = |frame: &Option<Vec<u8>>| frame.as_deref().map_or(0, <[u8]>::len);
    let before_state = at + (arrival.len() + bytes_of(over) + news.len()) as u64;
    let moved = Moved {
        at,
        over: over.as_ref().map(|_| at + arrival.len() as u64),
        kept: kept.as_ref().map(|_| before_state),
    };
    let parts = [
        arrival,
        over.as_deref().unwrap_or_default(),
        &news,
        kept.as_deref().unwrap_or_default(),
    ];
    parts.iter().try_for_each(|part| out.write_all(part))?;
    Ok((moved, parts.iter().map(|part| part.len() as u64).sum()))
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
