//! The recorder: what taps hear becomes recordings on disk, while calls go on whatever the disk does.
//!
//! ```text
//! media threads ── rings ──┐
//! SIP threads ── orders ───┴─ ear ── pieces of a second ── scribe ── files
//! ```
//!
//! * The `ear` takes orders and packets every 20 ms and lays packets where they belong.
//! * The `scribe` writes what comes of that, syncs it once a second, and tries again what the disk refused. What waits for
//!   it has a limit in bytes ([`RECORDING_WAITING_BYTES_MAX`](crate::base::limits::RECORDING_WAITING_BYTES_MAX)); what comes
//!   beyond is left out, marked in the recording, and reported.
//! * The `keeper` ends recordings that a killed server left and nobody goes on with, and deletes old ones.
//!
//! Whoever gives an order never waits. A recording that isn't over when the recorder stops stays as it is on disk, for the
//! process that comes next.

mod ear;
mod jobs;
mod keeper;
mod marks;
mod scribe;
mod sealing;
mod status;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError};

pub use sealing::{NoKeys, Sealing};
pub use status::Counts;

use crate::base::limits::RECORDING_ORDERS_MAX;
use crate::base::time::Now;
use crate::call::recording::{Fault, Order, Report};
use crate::records::recordings::retention::{Days, Retention};
use crate::rtp::tap::Consumer;
use ear::Ear;
use scribe::Scribe;
use status::Status;

/// How often a recorder that stops looks whether its threads have ended.
const GLANCE: Duration = Duration::from_millis(10);

/// Where recordings lie, and for how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The folder; made if it isn't there.
    pub dir: PathBuf,
    /// How many days a recording is kept after its end.
    pub keep_days: u32,
    /// Before so many days nobody may erase one.
    pub at_least_days: u32,
    /// The folder of the accounts' keys.
    pub keys: Option<PathBuf>,
    /// Which of them seals the recordings of accounts that have none.
    pub key: Option<Box<str>>,
}

impl Config {
    /// How long recordings are kept.
    pub const fn retention(&self) -> Retention {
        Retention::new(Days {
            keep: self.keep_days,
            at_least: self.at_least_days,
        })
    }
}

/// Takes what there is to say of a recording, for the shard that has its call; called on the recorder's threads.
pub type Tell = Box<dyn Fn(usize, Report) + Send + Sync>;
/// Tells both clocks.
pub type Clock = Box<dyn Fn() -> Now + Send + Sync>;

/// What a recorder is told at its start.
pub struct Settings {
    /// Where recordings lie.
    pub config: Config,
    /// Which server this is.
    pub node: Box<str>,
    /// What they are sealed with.
    pub sealing: Sealing,
    /// What time it is.
    pub clock: Clock,
    /// Where reports go.
    pub tell: Tell,
}

/// What all of its threads have.
struct Shared {
    settings: Settings,
    status: Status,
    /// The ear is to end.
    leaves: AtomicBool,
}

impl Shared {
    fn now(&self) -> Now {
        (self.settings.clock)()
    }

    /// Says that something of a recording isn't kept.
    fn report(&self, shard: usize, report: Report) {
        self.status.note(&report);
        (self.settings.tell)(shard, report);
    }
}

/// An order, who gave it, and when.
struct Ordered {
    shard: usize,
    now: Now,
    order: Order,
}

/// A running recorder: any thread may hold it in an `Arc`.
pub struct Recorder {
    shared: Arc<Shared>,
    orders: Sender<Ordered>,
    /// Dropped, it ends the keeper.
    keeps: Mutex<Option<Sender<()>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Recorder {
    /// Starts a recorder of what comes out of these rings.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(settings: Settings, rings: Vec<Consumer>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            settings,
            status: Status::default(),
            leaves: AtomicBool::new(false),
        });
        let (orders, inbox) = crossbeam_channel::bounded(RECORDING_ORDERS_MAX);
        let (jobs, work) = crossbeam_channel::unbounded();
        let (news, tidings) = crossbeam_channel::unbounded();
        let (keeps, kept) = crossbeam_channel::bounded(0);
        let ear = Ear::new(shared.clone(), rings, inbox, jobs, tidings);
        let scribe = Scribe::new(shared.clone(), news);
        let keeper = shared.clone();
        let threads = vec![
            spawn("rec-ear", move || ear.run())?,
            spawn("rec-pen", move || scribe.run(&work))?,
            spawn("rec-keeper", move || keeper::run(&keeper, &kept))?,
        ];
        Ok(Self {
            shared,
            orders,
            keeps: Mutex::new(Some(keeps)),
            threads: Mutex::new(threads),
        })
    }

    /// Gives an order of this shard's, which was made at `now`. Never waits: where there is no room the shard is told that
    /// the recording is lost, or has a gap.
    pub fn order(&self, shard: usize, now: Now, order: Order) {
        let begins = matches!(order, Order::Begin(_) | Order::GoOn(_));
        let refused = if begins && self.orders.len() > RECORDING_ORDERS_MAX / 2 {
            Some(order)
        } else {
            let sent = self.orders.try_send(Ordered { shard, now, order });
            sent.err().map(|refused| match refused {
                TrySendError::Full(ordered) | TrySendError::Disconnected(ordered) => ordered.order,
            })
        };
        if let Some(order) = refused {
            self.shared.status.refused();
            let (recording, why) = (order.recording(), Fault::Overrun);
            let report = match begins {
                true => Report::Lost { recording, why },
                false => Report::Gap { recording, why },
            };
            self.shared.report(shard, report);
        }
    }

    /// What is wrong, in a sentence.
    pub fn health(&self) -> Option<String> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        if threads.iter().any(JoinHandle::is_finished) {
            return Some(
                "a thread of the recorder has ended by a fault, and calls are not recorded: restart the server".into(),
            );
        }
        self.shared.status.trouble()
    }

    /// What there is to count.
    pub fn counts(&self) -> Counts {
        self.shared.status.counts()
    }

    /// Writes what was heard, and stops: recordings that are over are whole, the others are left for the process that comes
    /// next. Waits for `patience` at the most; `false`: that was too short, or a thread had died.
    pub fn stop(&self, patience: Duration) -> bool {
        let until = std::time::Instant::now() + patience;
        self.shared.leaves.store(true, Ordering::Release);
        *self.keeps.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        while !threads.iter().all(JoinHandle::is_finished) {
            if std::time::Instant::now() >= until {
                return false;
            }
            std::thread::sleep(GLANCE);
        }
        threads.drain(..).all(|thread| thread.join().is_ok())
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

#[cfg(test)]
mod tests;
