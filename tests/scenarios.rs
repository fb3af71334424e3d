//! Every ladder of `scenarios/`, played in the simulator with one shard and with three.

mod support;

use std::path::{Path, PathBuf};

use support::ladder::{Ladder, play};
use support::stage::Setup;
use support::world::World;

fn ladders() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("scenarios/ is there")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "ladder"))
        .collect();
    files.sort();
    files
}

/// One ladder: `UMBRA_LADDER=name cargo test --test scenarios`.
fn wanted(path: &Path) -> bool {
    std::env::var("UMBRA_LADDER").map_or(true, |name| path.file_stem().is_some_and(|stem| *stem == *name))
}

fn play_all(shards: usize) {
    let mut failed = Vec::new();
    for path in ladders().into_iter().filter(|path| wanted(path)) {
        let ladder = Ladder::read(&std::fs::read_to_string(&path).expect("readable"));
        let setup = ladder.set_up(Setup {
            shards,
            ..Setup::on(1)
        });
        if let Err(why) = play(&ladder, World::new(setup, 7)) {
            failed.push(format!("{}: {why}", path.display()));
        }
    }
    assert!(failed.is_empty(), "{} ladders failed\n\n{}", failed.len(), failed.join("\n\n"));
}

#[test]
fn every_ladder_goes_as_written_with_one_shard() {
    play_all(1);
}

#[test]
fn every_ladder_goes_as_written_with_three_shards() {
    play_all(3);
}
