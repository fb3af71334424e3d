//! What is fuzzed: one function a target, which any bytes can be given to and which panics when something is wrong.
//!
//! `cargo fuzz` calls them with bytes of its own making, `tests/fuzz_replay.rs` with those of `corpus/` and with
//! mutations of them: there the same files are a module of the test.

#[path = "../../tests/support/mod.rs"]
mod support;

pub mod conf;
pub mod datagram;
pub mod journal;
pub mod kept;
pub mod keys;
pub mod log;
pub mod media;
pub mod sdp;
pub mod srtp;
pub mod stream;

/// Takes any bytes; panics when something is wrong.
pub type Target = fn(&[u8]);

/// Every target, by its name.
pub const TARGETS: [(&str, Target); 10] = [
    ("conf", conf::run),
    ("datagram", datagram::run),
    ("journal", journal::run),
    ("kept", kept::run),
    ("keys", keys::run),
    ("log", log::run),
    ("media", media::run),
    ("sdp", sdp::run),
    ("srtp", srtp::run),
    ("stream", stream::run),
];

/// What stands between the pieces of an input that has several.
pub const NEXT: &[u8] = b"\n====\n";

/// The pieces of an input.
fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut pieces, mut from) = (Vec::new(), 0);
    let mut at = 0;
    while at + NEXT.len() <= bytes.len() {
        if &bytes[at..at + NEXT.len()] == NEXT {
            pieces.push(&bytes[from..at]);
            at += NEXT.len();
            from = at;
        } else {
            at += 1;
        }
    }
    pieces.push(&bytes[from..]);
    pieces
}

/// A folder in memory, where the system has one.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a folder for files")
}
