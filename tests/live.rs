//! Every ladder of `scenarios/` again, over loopback against the real binary: each play has a server, a data
//! folder and addresses of its own.

mod support;

#[path = "support/live.rs"]
mod stage_live;

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use stage_live::Live;
use support::ladder::{Ladder, ladders, play};
use support::stage::Setup;

/// Plays at once: nearly all of their time is waiting.
const AT_ONCE: usize = 8;

/// T1 of these plays: 64·T1 is waited for again and again.
const T1: Duration = Duration::from_millis(100);

fn play_one(path: &Path, shards: usize) -> Result<(), String> {
    let ladder = Ladder::read(&std::fs::read_to_string(path).expect("readable"));
    if ladder.simulated_only.is_some() {
        return Ok(());
    }
    let setup = ladder.set_up(Setup {
        shards,
        t1: T1,
        ..Setup::on(0)
    });
    play(&ladder, Live::start(setup)).map_err(|why| format!("{}: {why}", path.display()))
}

#[test]
fn every_ladder_goes_as_written_against_the_real_server() {
    let queue = Mutex::new(ladders().into_iter().enumerate());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no panic in the queue").next();
                    let Some((index, path)) = next else { return };
                    if let Err(why) = play_one(&path, 1 + index % 3) {
                        failed.lock().expect("no panic in the list").push(why);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().expect("no panic in the list");
    assert!(
        failed.is_empty(),
        "{} ladders failed\n\n{}",
        failed.len(),
        failed.join("\n\n")
    );
}
