//! What recordings left on the disk.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

use umbra::base::time::Wall;
use umbra::records::recordings::index::{Entry, Index, State};
use umbra::records::recordings::read::Reader;
use umbra::records::recordings::seal::Keys;
use umbra::records::recordings::verify::{Verdict, verify};

use super::talk::Talk;
use crate::server::until;

/// Bytes of a frame: a sample of each channel.
const FRAME_BYTES: u64 = 4;
/// Frames a second.
const RATE: u64 = 8_000;
/// Bytes before the first one.
const HEADER_BYTES: u64 = 44;
/// Seconds at either end of the talk that aren't looked at: it doesn't begin and end at once in all calls.
const EDGE_S: u64 = 1;

/// What became of all recordings.
#[derive(Default)]
pub struct Written {
    /// Those that are as they were written, from begin to end.
    pub whole: usize,
    /// Those that their calls' records say are kept.
    pub kept: usize,
    /// Those that miss something, or aren't whole, or not kept.
    pub with_gaps: usize,
    /// Samples of silence where everybody talked.
    pub silent: u64,
}

impl Written {
    /// Waits until all are whole, and looks at each; all calls have talked between those times.
    pub fn of(talk: &Talk, (from, until_when): (SystemTime, SystemTime)) -> Self {
        let server = &talk.line.server;
        until("no call is left", || server.calls() == 0);
        let calls = talk.calls();
        let recorded = || -> Vec<_> {
            let records = server.records().into_iter();
            records
                .filter(|record| record["answered_at"].is_string())
                .collect()
        };
        until("every call has its record", || recorded().len() >= calls);
        let mut written = Self {
            kept: recorded()
                .iter()
                .filter(|record| record["recording"]["state"] == "kept")
                .count(),
            ..Self::default()
        };
        let dir = server.data().join("recordings");
        let scan = || Index::scan(&dir).expect("it can be read").0;
        let entries = |index: &Index| -> Vec<Entry> {
            let all = Default::default();
            let page = index.page(&all, None, calls + 1).into_iter();
            page.cloned().collect()
        };
        until("the recordings are whole", || {
            let all = entries(&scan());
            all.len() >= calls && all.iter().all(|entry| entry.state == State::Whole)
        });
        let index = scan();
        let all = entries(&index);
        for entry in &all {
            let place = entry.place();
            let verdict = verify(&place, &Keys::default(), None).expect("it can be read");
            let silent = silent(
                Reader::open(&place, &Keys::default()).expect("it can be opened"),
                entry.began,
                (from, until_when),
            );
            let is_whole = matches!(verdict, Verdict::Whole { .. });
            let is_gapless = matches!(verdict, Verdict::Whole { gaps: 0, .. }) && silent == 0;
            written.whole += usize::from(is_whole);
            written.with_gaps += usize::from(!is_gapless);
            written.silent += silent;
        }
        // One that isn't there misses everything.
        written.with_gaps = written
            .with_gaps
            .max(calls - all.len().min(calls))
            .max(calls - written.kept.min(calls));
        written
    }
}

/// Samples of silence, which nobody said, in either channel.
fn silent(mut reader: Reader, began: Wall, (from, until): (SystemTime, SystemTime)) -> u64 {
    let frame = |at: SystemTime| {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let ms = since.as_millis() as u64 - began.as_millis() as u64;
        ms * RATE / 1_000
    };
    let (from, until) = (frame(from) + EDGE_S * RATE, frame(until) - EDGE_S * RATE);
    let mut bytes = vec![0; (until.saturating_sub(from) * FRAME_BYTES) as usize];
    let at = HEADER_BYTES + from * FRAME_BYTES;
    let read = reader.read_at(at, &mut bytes).expect("it can be read");
    let missing = (bytes.len() - read) / 2;
    let samples = bytes[..read].chunks_exact(2);
    (samples.filter(|sample| *sample == [0, 0]).count() + missing) as u64
}

/// Bytes of disk that the files in a folder take.
pub fn room(dir: &Path) -> u64 {
    let Ok(files) = fs::read_dir(dir) else {
        return 0;
    };
    let room_of = |file: fs::DirEntry| match file.metadata() {
        Ok(data) if data.is_dir() => room(&file.path()),
        Ok(data) => data.blocks() * 512,
        Err(_) => 0,
    };
    files.flatten().map(room_of).sum()
}
