//! Every ladder of `scenarios/`, played in the simulator with one shard and with three.

mod support;

use support::ladder::{Ladder, ladders, play};
use support::stage::Setup;
use support::world::World;

fn play_all(shards: usize) {
    let mut failed = Vec::new();
    for path in ladders() {
        let ladder = Ladder::read(&std::fs::read_to_string(&path).expect("readable"));
        let setup = ladder.set_up(Setup {
            shards,
            ..Setup::on(1)
        });
        if let Err(why) = play(&ladder, World::new(setup, 7)) {
            failed.push(format!("{}: {why}", path.display()));
        }
    }
    assert!(
        failed.is_empty(),
        "{} ladders failed\n\n{}",
        failed.len(),
        failed.join("\n\n")
    );
}

#[test]
fn every_ladder_goes_as_written_with_one_shard() {
    play_all(1);
}

#[test]
fn every_ladder_goes_as_written_with_three_shards() {
    play_all(3);
}
