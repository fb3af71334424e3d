//! Many ladders, side by side or one after the other, and what is said of those that failed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Plays all of them, so many at once; the play is told its shards, one to three in turn. Returns what is said of those that
/// failed.
#[must_use]
pub fn play_side_by_side(
    ladders: Vec<PathBuf>,
    at_once: usize,
    play_one: impl Fn(&Path, usize) -> Result<(), String> + Sync,
) -> Vec<String> {
    let queue = Mutex::new(ladders.into_iter().enumerate());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no panic in the queue").next();
                    let Some((index, path)) = next else { return };
                    // One that panics has failed, as others do: those behind it in the queue are played all the same.
                    let play = AssertUnwindSafe(|| play_one(&path, 1 + index % 3));
                    let outcome = catch_unwind(play).unwrap_or_else(|panic| {
                        let why = panic.downcast_ref::<String>().map(String::as_str);
                        let why = why.or(panic.downcast_ref::<&str>().copied());
                        Err(format!("{}: panicked: {}", path.display(), why.unwrap_or("?")))
                    });
                    if let Err(why) = outcome {
                        failed.lock().expect("no panic in the list").push(why);
                    }
                }
            });
        }
    });
    failed.into_inner().expect("no panic in the list")
}

/// Fails with all that is said of those that failed: first of each its name and why, then each with its messages.
pub fn assert_none_failed(failed: &[String]) {
    let firsts: Vec<_> = failed.iter().flat_map(|why| why.lines().take(2)).collect();
    assert!(
        failed.is_empty(),
        "{} ladders failed\n{}\n\n{}",
        failed.len(),
        firsts.join("\n"),
        failed.join("\n\n")
    );
}
