//! Durable binds a second at the writer's own queue, with 256 writers that each wait for their answer, beside
//! a loop that only writes and syncs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use umbra::store::writer::{Settings, Store};

use crate::bare::synced_writes_a_second;
use crate::million::{PAIRS_PER_X, add_number, bind, wall};
use crate::{Length, Rounds, Row, short};

/// Bytes of one of our log's records, about.
const RECORD_BYTES: usize = 256;

/// A row for each number of writers.
pub fn measure(length: Length) -> Vec<Row> {
    let dir = tempfile::tempdir().expect("a folder");
    let (store, _) =
        Store::open(&dir.path().join("store"), &Settings::default(), wall).expect("an empty store");
    let next = AtomicU64::new(0);
    let span = Duration::from_millis(length.choose(300, 3_000));
    let rounds = length.choose(1, 5);
    let mut rows = Vec::new();
    for writers in [1, 256] {
        let (mut found, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let ours = binds_a_second(&store, &next, writers, span);
            let loop_alone = synced_writes_a_second(dir.path(), RECORD_BYTES, span);
            ratios.push(ours / loop_alone);
            found.push(ours);
            bare.push(loop_alone);
        }
        rows.push(Row {
            what: format!("durable binds a second, {writers} waiting"),
            ours: Rounds::of(found).show("/s"),
            bare: Rounds::of(bare).show("/s"),
            ratio: format!("{} ×", short(Rounds::of(ratios).median())),
            how: format!(
                "the writer's queue, {rounds} × {} s; bare: one writer, append {RECORD_BYTES} bytes, fdatasync",
                span.as_secs_f64()
            ),
        });
    }
    rows
}

/// How many bindings `writers` make a second, each waiting for its answer before it asks again.
fn binds_a_second(store: &Store, next: &AtomicU64, writers: u64, span: Duration) -> f64 {
    let made = AtomicU64::new(0);
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| {
                let (done, answers) = mpsc::sync_channel(1);
                while begun.elapsed() < span {
                    // Each writer fills numbers of its own.
                    let block = next.fetch_add(1, Ordering::Relaxed);
                    let mut writes = std::iter::once(add_number(block))
                        .chain((block * PAIRS_PER_X..(block + 1) * PAIRS_PER_X).map(bind));
                    while begun.elapsed() < span
                        && let Some(write) = writes.next()
                    {
                        let done = done.clone();
                        let reply = Box::new(move |answer| drop(done.send(answer)));
                        store
                            .submit(write, reply)
                            .expect("fewer writers than places in the queue");
                        let answer = answers.recv().expect("every write is answered");
                        answer.expect("nothing stands in the way");
                        made.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    made.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}
