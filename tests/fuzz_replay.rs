//! What the fuzzers have found interesting is run again, and then hundreds of mutations of it, by a seeded chance.
//!
//! `UMBRA_FUZZ_ROUNDS=100000` tries more of them (100 for each file otherwise), `UMBRA_FUZZ_TARGET=datagram` one target
//! alone. What fails is written to `target/tmp/fuzz-failed-TARGET`.

#[path = "../fuzz/src/lib.rs"]
mod fuzzed;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use umbra::base::chance::Chance;

/// Files of all corpora, and their bytes: more is no corpus but a dump.
const FILES_MAX: usize = 300;
const BYTES_MAX: usize = 1 << 20;

/// The longest mutation.
const LENGTH_MAX: usize = 20_000;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|file| file.expect("a file").path())
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let bytes = fs::read(&path).expect("readable");
            (path, bytes)
        })
        .collect()
}

/// A few changes of the bytes; some take a piece of another file.
fn mutate(bytes: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    let below =
        |chance: &mut Chance, n: usize| chance.below(u32::try_from(n.max(1)).unwrap_or(u32::MAX)) as usize;
    for _ in 0..1 + chance.below(6) {
        let at = below(chance, bytes.len() + 1);
        let end = (at + 1 + below(chance, 40)).min(bytes.len());
        match chance.below(8) {
            0 if at < bytes.len() => bytes[at] = chance.below(256) as u8,
            1 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let piece = bytes[at..end].to_vec();
                let place = below(chance, bytes.len() + 1);
                bytes.splice(place..place, piece);
            }
            4 => {
                let from = below(chance, other.len() + 1);
                let to = (from + below(chance, 400)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            5 => {
                let words: [&[u8]; 12] = [
                    b"\r\n",
                    b"\r\n ",
                    b"\r\n\r\n",
                    b",",
                    b";",
                    b"\"",
                    b"<",
                    b">",
                    b"%00",
                    b"4294967296",
                    b"-1",
                    fuzzed::NEXT,
                ];
                bytes.splice(at..at, words[below(chance, words.len())].iter().copied());
            }
            6 => bytes.truncate(at),
            _ => bytes.insert(at, b"\r\n\t \0:;,@=<>\"\\$"[below(chance, 15)]),
        }
    }
    bytes.truncate(LENGTH_MAX);
}

fn run(target: &str, function: fuzzed::Target, name: &str, bytes: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| function(bytes))).is_err() {
        let path = format!("{}/fuzz-failed-{target}", env!("CARGO_TARGET_TMPDIR"));
        fs::write(&path, bytes).expect("the target folder can be written");
        panic!("{target} fails on {name}: {path}");
    }
}

/// Every target, a thread each.
fn each(work: impl Fn(&str, fuzzed::Target) + Sync) {
    let wanted = std::env::var("UMBRA_FUZZ_TARGET").ok();
    std::thread::scope(|scope| {
        for (target, function) in fuzzed::TARGETS {
            if wanted.as_deref().is_none_or(|wanted| wanted == target) {
                let work = &work;
                scope.spawn(move || work(target, function));
            }
        }
    });
}

#[test]
fn every_committed_input_passes() {
    each(|target, function| {
        for (path, bytes) in corpus(target) {
            run(target, function, &path.display().to_string(), &bytes);
        }
    });
}

#[test]
fn mutations_of_the_committed_inputs_pass() {
    let rounds: u64 = std::env::var("UMBRA_FUZZ_ROUNDS").map_or(100, |text| text.parse().expect("a number"));
    each(|target, function| {
        let corpus = corpus(target);
        for round in 0..rounds {
            for (index, (path, bytes)) in corpus.iter().enumerate() {
                let seed = round << 16 | index as u64;
                let mut chance = Chance::from_number(seed);
                let other = chance.below(u32::try_from(corpus.len()).expect("few")) as usize;
                let mut bytes = bytes.clone();
                mutate(&mut bytes, &corpus[other].1, &mut chance);
                run(
                    target,
                    function,
                    &format!("{} mutated by {seed}", path.display()),
                    &bytes,
                );
            }
        }
    });
}

#[test]
fn the_corpora_are_small() {
    let all: Vec<_> = fuzzed::TARGETS
        .iter()
        .flat_map(|(target, _)| corpus(target))
        .collect();
    let bytes: usize = all.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(
        all.len() <= FILES_MAX && bytes <= BYTES_MAX,
        "{} files, {bytes} bytes",
        all.len()
    );
}
