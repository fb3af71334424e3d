//! A million bindings, straight into a store's queue.

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use umbra::base::number::{NumberPlan, RealNumber, Tel, VirtualNumber};
use umbra::base::time::Wall;
use umbra::masking::binding::Terms;
use umbra::masking::request::{BindRequest, DryRun, OnConflict, Wanted, Write, XChoice};
use umbra::store::writer::{Settings, Store};

/// The argument by which this program fills a store and waits to be killed.
pub const FILL: &str = "--fill-store";
/// Pairs that one virtual number carries by default.
pub const PAIRS_PER_X: u64 = 200;
/// Writes whose answers are not yet waited for.
const IN_FLIGHT: usize = 2_000;

/// The machine's clock.
pub fn wall() -> Wall {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970");
    Wall::from_millis(i64::try_from(now.as_millis()).expect("this millennium"))
}

/// A's and B's numbers of the `n`th binding.
pub fn pair(n: u64) -> (String, String) {
    (format!("138{n:08}"), format!("139{n:08}"))
}

/// The virtual number of a block of [`PAIRS_PER_X`].
pub fn x(block: u64) -> String {
    format!("171{block:08}")
}

/// Adds a block's number.
pub fn add_number(block: u64) -> Write {
    Write::add_number(VirtualNumber::new(tel(&x(block))))
}

/// The `n`th binding, on the number of its block.
pub fn bind(n: u64) -> Write {
    let (a, b) = pair(n);
    Write::Bind(BindRequest {
        x: XChoice::Given(VirtualNumber::new(tel(&x(n / PAIRS_PER_X)))),
        parties: Wanted::Axb {
            a: RealNumber::new(tel(&a)),
            b: RealNumber::new(tel(&b)),
        },
        terms: Terms::default(),
        expires: None,
        on_conflict: OnConflict::Fail,
        dry_run: DryRun::No,
    })
}

fn tel(digits: &str) -> Tel {
    NumberPlan::default().normalise(digits).expect("a whole number")
}

/// Fills the store in `dir` with `count` bindings, says so, and waits for its end: what a server leaves that
/// is killed after its last answer.
pub fn fill(arguments: &[String]) {
    let [dir, count] = arguments else {
        panic!("a folder and a count")
    };
    let count: u64 = count.parse().expect("a count");
    let (store, _) = Store::open(Path::new(dir), &Settings::default(), wall).expect("the store opens");
    let (done, answers) = mpsc::channel();
    let mut in_flight = 0;
    let wait = |in_flight: &mut usize, down_to: usize| {
        while *in_flight > down_to {
            let answer: Result<_, _> = answers.recv().expect("every write is answered");
            let _: umbra::masking::request::Written = answer.expect("nothing stands in the way");
            *in_flight -= 1;
        }
    };
    for n in 0..count {
        let number = n.is_multiple_of(PAIRS_PER_X).then(|| add_number(n / PAIRS_PER_X));
        for write in number.into_iter().chain([bind(n)]) {
            let done = done.clone();
            let reply = Box::new(move |answer| drop(done.send(answer)));
            store.submit(write, reply).expect("there is room in the queue");
            in_flight += 1;
        }
        wait(&mut in_flight, IN_FLIGHT);
    }
    wait(&mut in_flight, 0);
    println!("filled");
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}
