//! Every ladder of `scenarios/` again, over loopback against the real binary: each play has a server, a data
//! folder and addresses of its own.

mod support;

#[path = "support/live.rs"]
mod stage_live;

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use stage_live::Live;
use support::drawing;
use support::ladder::{Ladder, Play, ladders, played};
use support::plays::{assert_none_failed, play_side_by_side};
use support::stage::Setup;

/// Plays at once on each processor: nearly all of their time is waiting, for T1 and its multiples, and more of them would
/// wait for the processor.
const AT_ONCE: usize = 6;

/// Those that measure sound, at once on each processor: a frame that is due has to leave, and to be heard, in its 20 ms.
const SOUNDS_AT_ONCE: usize = 3;

/// T1 of these plays: 64·T1 is waited for again and again.
const T1: Duration = Duration::from_millis(100);

fn play_one(path: &Path, shards: usize) -> Result<(), String> {
    let ladder = Ladder::read(&fs::read_to_string(path).expect("readable"));
    if ladder.simulated_only.is_some() {
        return Ok(());
    }
    let setup = ladder.set_up(Setup {
        shards,
        t1: T1,
        ..Setup::on(0)
    });
    let play = played(&ladder, Live::start(setup)).map_err(|why| format!("{}: {why}", path.display()))?;
    if !play.played.is_empty() {
        draw(path, &play);
    }
    Ok(())
}

/// Draws what was played and heard: `UMBRA_LADDER=sounds_of_an_extension cargo test --test live` leaves
/// `target/tmp/heard/sounds_of_an_extension.svg`.
fn draw(path: &Path, play: &Play<Live>) {
    let name = path.file_stem().expect("a name").to_string_lossy();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("heard");
    fs::create_dir_all(&folder).expect("a folder of our own");
    let svg = drawing::svg(&name, &play.cast, &play.played);
    fs::write(folder.join(format!("{name}.svg")), svg).expect("a folder of our own");
}

#[test]
fn every_ladder_goes_as_written_against_the_real_server() {
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let is_sound = |path: &PathBuf| Ladder::read(&fs::read_to_string(path).expect("readable")).is_sound();
    let (sounds, others) = ladders().into_iter().partition(is_sound);
    let mut failed = play_side_by_side(others, AT_ONCE * processors, play_one);
    failed.extend(play_side_by_side(sounds, SOUNDS_AT_ONCE * processors, play_one));
    assert_none_failed(&failed);
}
