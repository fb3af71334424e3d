//! Tests of the commands that work on files: on recordings that the library has written.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser as _;
use serde_json::Value;
use tempfile::TempDir;

use crate::base::chance::Chance;
use crate::base::id::Id;
use crate::base::time::{Instant, Wall};
use crate::cli::{Cli, run};
use crate::records::recordings::Place;
use crate::records::recordings::chain::{Audio, Channel, Cipher, Loss, Mark, Unwritten, What};
use crate::records::recordings::pen::{Begin, Block, Packets, Pen};
use crate::records::recordings::seal::Key;
use crate::rtp::recording::dump::{self, Dump, Piece, Whose};
use crate::rtp::tap::{self, Heard, Tap};
use crate::rtp::tone::{Tone, share};
use crate::rtp::wav;

mod convert;
mod plot;
mod verify;

const RATE: usize = 8_000;

fn noon() -> Wall {
    Wall::from_millis(1_795_255_200_000)
}

/// What the command prints, or its sentence of refusal. No server is there to be asked.
fn umbra(words: &[&str]) -> Result<String, String> {
    let nowhere = ["umbra", "--control", "/nowhere/control.sock", "recording"];
    let cli = Cli::try_parse_from(nowhere.iter().chain(words)).unwrap_or_else(|e| panic!("{words:?}: {e}"));
    let mut out = Vec::new();
    match run(cli, &mut out) {
        Ok(()) => Ok(String::from_utf8(out).expect("text")),
        Err(fault) => Err(format!("{fault:#}")),
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of letters")
}

fn begin(number: u64, audio: Audio) -> Begin {
    Begin {
        recording: Id::mint(noon(), &mut Chance::from_number(number)),
        call: Id::mint(noon(), &mut Chance::from_number(number)),
        binding: None,
        account: "acme".into(),
        node: "one".into(),
        began: noon(),
        audio,
        rate_hz: match audio {
            Audio::Wav => RATE as u32,
            Audio::Rtpdump => 1_000,
        },
        key: None,
        at_least_days: None,
    }
}

/// A recording's folder, and its two files.
struct Written {
    dir: TempDir,
    place: Place,
    audio: PathBuf,
    chain: PathBuf,
    sha256: String,
}

/// Six seconds: 400 Hz on the left in all but the fourth, 700 Hz on the right from the third on.
fn written(begin: &Begin, marks: &[Mark]) -> Written {
    let dir = tempfile::tempdir().expect("a folder");
    written_in(dir, begin, marks, 400)
}

/// The same in that folder, with another tone on the left.
fn written_in(dir: TempDir, begin: &Begin, marks: &[Mark], hz: u16) -> Written {
    let mut pen = Pen::begin(dir.path(), begin).expect("a new recording");
    let (mut left, mut right) = (Tone::new(hz, 8_000), Tone::new(700, 4_000));
    for second in 0..6 {
        let (mut caller, mut callee) = (left.samples(RATE), right.samples(RATE));
        if second == 3 {
            caller.fill(0);
        }
        if second < 2 {
            callee.fill(0);
        }
        let frames: Vec<i16> = caller.iter().zip(&callee).flat_map(|(l, r)| [*l, *r]).collect();
        let from = (second * RATE) as u64;
        let of_second: Vec<Mark> = marks
            .iter()
            .filter(|mark| mark.at / RATE as u64 == second as u64)
            .copied()
            .collect();
        pen.write(&Block {
            from,
            frames: &frames,
            marks: &of_second,
        })
        .expect("there is room");
    }
    ended(dir, pen, 6 * RATE as u64, 6)
}

fn ended(dir: TempDir, mut pen: Pen, until: u64, seconds: u64) -> Written {
    let end = pen
        .end(until, noon().plus(Duration::from_secs(seconds)))
        .expect("there is room");
    let place = pen.place().clone();
    Written {
        dir,
        chain: place.day.join(format!("{}.chain", place.recording)),
        audio: end.audio,
        sha256: end.sha256.to_string(),
        place,
    }
}

/// A key, and the file of it in a folder of keys.
fn key(folder: &Path) -> Key {
    use std::os::unix::fs::PermissionsExt as _;
    let digits = "0f".repeat(32);
    let file = folder.join("acme.aes-256-gcm");
    fs::write(&file, &digits).expect("room");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("ours");
    Key::of_digits("acme", Cipher::Aes256Gcm, digits.as_bytes()).expect("a key")
}

/// Both channels of a WAV file, and its rate.
fn channels(path: &Path) -> ([Vec<i16>; 2], u32) {
    let bytes = fs::read(path).expect("a file");
    let wav = wav::read(&bytes).expect("a WAV file");
    assert_eq!(wav.channels, 2);
    let mut channels = [Vec::new(), Vec::new()];
    for [a, b, c, d] in wav.data().as_chunks::<4>().0 {
        channels[0].push(i16::from_le_bytes([*a, *b]));
        channels[1].push(i16::from_le_bytes([*c, *d]));
    }
    (channels, wav.rate_hz)
}
