//! The recorder: what taps hear becomes recordings on disk, while calls go on whatever the disk does.
//!
//! ```text
//! media threads ── rings ──┐
//! SIP threads ── orders ───┴─ ear ── pieces of a second ── scribe ── files
//!                                                             └── desk ── audit log
//! ```
//!
//! * The `ear` takes orders and packets every 100 ms and lays packets where they belong.
//! * The `scribe` writes what comes of that, syncs it once a second, and tries again what the disk refused. What waits for
//!   it has a limit in bytes ([`RECORDING_WAITING_BYTES_MAX`](crate::base::limits::RECORDING_WAITING_BYTES_MAX)); what comes
//!   beyond is left out, marked in the recording, and reported.
//! * The `desk` has the audit log asked and told on another thread, so that its disk holds up no recording.
//! * The `keeper` ends recordings that a killed server left and nobody goes on with, and deletes old ones.
//!
//! The [`archive`](super::archive) is told which recordings there are.
//!
//! Whoever gives an order never waits. A recording that isn't over when the recorder stops stays as it is on disk, for the
//! process that comes next.

mod desk;
mod ear;
mod jobs;
mod keeper;
mod left;
mod marks;
mod notes;
mod orders;
mod out;
mod scribe;
mod sealing;
mod status;
mod warnings;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::Sender;

pub use sealing::{NoKey, Sealing};
pub use status::Counts;

use crate::base::limits::RECORDING_ORDERS_MAX;
use crate::base::time::Now;
use crate::call::recording::{Order, Report};
use crate::masking::recording::Keeping;
use crate::records::archive::Archive;
use crate::records::audit::Audit;
use crate::records::recordings::retention::{Days, Retention};
use crate::rtp::tap::Consumer;
use desk::Errand;
use ear::Ear;
use orders::Orders;
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
    /// The audit log's folder.
    pub audit_dir: PathBuf,
    /// How many days its files are kept; `None`: for ever.
    pub audit_keep_days: Option<u32>,
}

impl Config {
    /// What recordings are sealed with.
    pub fn sealing(&self) -> Sealing {
        Sealing::read(self.keys.as_deref(), self.key.as_deref())
    }

    /// How long recordings are kept; those of accounts that say something else of theirs, so long.
    pub fn retention(&self, accounts: impl IntoIterator<Item = (Box<str>, Keeping)>) -> Retention {
        let usual = Days {
            keep: self.keep_days,
            at_least: self.at_least_days,
        };
        let mut retention = Retention::new(usual);
        for (account, terms) in accounts {
            let days = Days {
                keep: terms.keep_days.unwrap_or(usual.keep),
                // What the law asks of the server holds for each of them.
                at_least: terms
                    .at_least_days
                    .map_or(usual.at_least, |days| days.max(usual.at_least)),
            };
            retention.set(&account, days);
        }
        retention
    }
}

/// Takes what there is to say of a recording, for the shard that has its call; called on the recorder's threads. `false`: that
/// one has no room, and is to be told again.
pub type Tell = Box<dyn Fn(usize, Report) -> bool + Send + Sync>;
/// Tells both clocks.
pub type Clock = Box<dyn Fn() -> Now + Send + Sync>;

/// Says what accounts want of their recordings; called on the recorder's threads, and by whoever asks for the retention.
pub type KeepingOf = Box<dyn Fn() -> Vec<(Box<str>, Keeping)> + Send + Sync>;

/// What a recorder is told at its start.
pub struct Settings {
    /// Where recordings lie.
    pub config: Config,
    /// Which server this is.
    pub node: Box<str>,
    /// What they are sealed with.
    pub sealing: Sealing,
    /// Where it notes what becomes of them.
    pub audit: Arc<Audit>,
    /// What time it is.
    pub clock: Clock,
    /// Where reports go.
    pub tell: Tell,
    /// Who is told which recordings there are.
    pub archive: Arc<Archive>,
}

/// What all of its threads have.
struct Shared {
    settings: Settings,
    status: Status,
    /// What no shard had room for, in its order.
    unsaid: Mutex<VecDeque<(usize, Report)>>,
    /// The ear is to end.
    leaves: AtomicBool,
    /// What accounts want, as soon as that is known.
    terms: OnceLock<KeepingOf>,
}

impl Shared {
    fn now(&self) -> Now {
        (self.settings.clock)()
    }

    /// How long recordings are kept, as soon as that is known.
    fn retention(&self) -> Option<Retention> {
        let terms = self.terms.get()?;
        Some(self.settings.config.retention(terms()))
    }

    /// Says that something of a recording isn't kept.
    fn report(&self, shard: usize, report: Report) {
        self.status.note(&report);
        let mut unsaid = self.unsaid();
        let is_told = unsaid.is_empty() && (self.settings.tell)(shard, report);
        if !is_told && unsaid.len() < RECORDING_ORDERS_MAX {
            unsaid.push_back((shard, report));
        }
    }

    /// Says again what found no room.
    fn report_again(&self) {
        let mut unsaid = self.unsaid();
        while let Some((shard, report)) = unsaid.front()
            && (self.settings.tell)(*shard, *report)
        {
            unsaid.pop_front();
        }
    }

    fn unsaid(&self) -> MutexGuard<'_, VecDeque<(usize, Report)>> {
        self.unsaid.lock().unwrap_or_else(PoisonError::into_inner)
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
    orders: Orders,
    /// Tells the keeper to begin. Dropped, it ends it.
    keeps: Mutex<Option<Sender<()>>>,
    /// Those that write.
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Nothing waits for this one: whatever it is at can be done again.
    keeper: JoinHandle<()>,
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
            unsaid: Mutex::default(),
            leaves: AtomicBool::new(false),
            terms: OnceLock::new(),
        });
        let (orders, inbox) = orders::orders(RECORDING_ORDERS_MAX);
        let (jobs, work) = crossbeam_channel::unbounded();
        let (news, tidings) = crossbeam_channel::unbounded();
        let (keeps, kept) = crossbeam_channel::bounded(1);
        let ear = Ear::new(shared.clone(), rings, inbox, jobs, tidings);
        let (errands, asked) = crossbeam_channel::unbounded::<Errand>();
        // Where nobody takes them any more, the health says so.
        let messenger = Box::new(move |errand| drop(errands.send(errand)));
        let scribe = Scribe::new(shared.clone(), news, messenger);
        let keeper = shared.clone();
        let threads = vec![
            spawn("rec-ear", move || ear.run())?,
            spawn("rec-pen", move || scribe.run(&work))?,
            spawn("rec-log", move || asked.iter().for_each(|errand| errand()))?,
        ];
        let keeper = spawn("rec-keeper", move || keeper::run(&keeper, &kept))?;
        Ok(Self {
            shared,
            orders,
            keeps: Mutex::new(Some(keeps)),
            threads: Mutex::new(threads),
            keeper,
        })
    }

    /// All calls of the process before that go on have been gone on with, and this is what accounts want of their recordings:
    /// a while later what nobody goes on with ends, and what is old is deleted.
    pub fn keep(&self, terms: KeepingOf) {
        if self.shared.terms.set(terms).is_err() {
            return;
        }
        if let Some(keeps) = &*self.keeps.lock().unwrap_or_else(PoisonError::into_inner) {
            // It has room for this one. Where the keeper is gone, the health says so.
            let _ = keeps.try_send(());
        }
    }

    /// Where it notes what becomes of recordings, and whoever hands them out notes who had them.
    pub fn audit(&self) -> &Arc<Audit> {
        &self.shared.settings.audit
    }

    /// How long recordings are kept, each account's.
    pub fn retention(&self) -> Retention {
        let known = self.shared.retention();
        known.unwrap_or_else(|| self.shared.settings.config.retention([]))
    }

    /// Gives an order of this shard's, which was made at `now`. Never waits: where there is no room for another recording the
    /// shard is told that it is lost. What is ordered of one in progress always finds room.
    pub fn order(&self, shard: usize, now: Now, order: Order) {
        if let Err((order, why)) = self.orders.give(Ordered { shard, now, order }) {
            self.shared.status.refused();
            let recording = order.recording();
            // Of one that was to go on there is what the process before wrote.
            let report = match matches!(order, Order::Begin(_)) {
                true => Report::Lost { recording, why },
                false => Report::Gap { recording, why },
            };
            self.shared.report(shard, report);
        }
    }

    /// What is wrong, in a sentence.
    pub fn health(&self) -> Option<String> {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let is_stopping = self.shared.leaves.load(Ordering::Acquire);
        if threads.iter().any(JoinHandle::is_finished) || self.keeper.is_finished() && !is_stopping {
            return Some(
                "a thread of the recorder has ended by a fault, and calls are not recorded: restart the server".into(),
            );
        }
        self.shared
            .status
            .trouble()
            .or_else(|| self.shared.status.unkept())
            .or_else(|| self.shared.settings.sealing.faults().next().map(NoKey::to_string))
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
