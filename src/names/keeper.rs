//! The thread that keeps names resolved: it looks each up before what is known of it ends, and tells when a name's
//! servers have changed.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::{self, JoinSet};

use super::Wanted;
use super::dns::{Counts, Dns, Memory};
use super::locate::{Found, locate};
use crate::base::chance::Chance;
use crate::base::limits::{
    DNS_LOOKUPS_AT_ONCE, DNS_NEGATIVE_TTL_MAX, DNS_RETRY, DNS_RETRY_MAX, DNS_TTL_MAX, DNS_TTL_MIN,
};
use crate::call::targets::{Name, Resolved, Server};

/// The names that are kept resolved.
#[derive(Clone)]
pub struct Names {
    orders: mpsc::UnboundedSender<Order>,
    board: Arc<Board>,
    counts: Arc<Counts>,
    thread: Arc<JoinHandle<()>>,
}

/// What is known of a name.
#[derive(Clone, Debug)]
pub struct Status {
    /// The name.
    pub name: Name,
    /// Its servers; none: it resolves to nothing, or nobody knows.
    pub servers: Vec<Server>,
    /// When DNS was last asked, and had answered every question or said that there is nothing.
    pub answered: Option<Instant>,
    /// Why what is known isn't fresh, or is nothing.
    pub error: Option<String>,
}

enum Order {
    /// Look all of these up, and keep them as well as those before.
    Want(Wanted, u64),
    /// Keep no others than these.
    KeepOnly(Vec<Name>),
}

/// What others may see.
#[derive(Default)]
struct Board {
    shown: Mutex<Shown>,
    news: Condvar,
}

#[derive(Default)]
struct Shown {
    names: Vec<Status>,
    /// The last order to look up whose names were all looked up.
    done: u64,
    /// The last such order.
    wanted: u64,
}

impl Board {
    fn shown(&self) -> MutexGuard<'_, Shown> {
        // Nothing panics while it is held.
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    /// Starts the thread. `tell` hears of every change of the table, from that thread.
    ///
    /// # Errors
    /// The system gives no thread, or no runtime on it.
    pub fn start(chance: Chance, tell: impl Fn(Arc<Resolved>) + Send + 'static) -> io::Result<Self> {
        let (orders, inbox) = mpsc::unbounded_channel();
        let (board, counts) = (Arc::<Board>::default(), Arc::<Counts>::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let keeper = Keeper {
            entries: Vec::new(),
            wanted: Wanted::default(),
            round: 0,
            dns: None,
            running: JoinSet::new(),
            told: Arc::default(),
            tell: Box::new(tell),
            chance,
            board: board.clone(),
            counts: counts.clone(),
        };
        let thread = std::thread::Builder::new().name("names".into());
        let thread = thread.spawn(move || runtime.block_on(keeper.run(inbox)))?;
        Ok(Self {
            orders,
            board,
            counts,
            thread: Arc::new(thread),
        })
    }

    /// Looks all these names up now, and keeps them up to date; those before as well, until [`Names::keep_only`].
    pub fn want(&self, wanted: Wanted) {
        let mut shown = self.board.shown();
        shown.wanted += 1;
        // The thread ends only when nobody can order anything any more.
        let _ = self.orders.send(Order::Want(wanted, shown.wanted));
    }

    /// Waits until each name was looked up that was wanted last, whatever came of it, but not longer than `patience`.
    pub fn wait(&self, patience: Duration) {
        let waits = |shown: &mut Shown| shown.done < shown.wanted;
        drop(
            self.board
                .news
                .wait_timeout_while(self.board.shown(), patience, waits),
        );
    }

    /// Forgets every name but these.
    pub fn keep_only(&self, names: Vec<Name>) {
        let _ = self.orders.send(Order::KeepOnly(names));
    }

    /// What is known of every name.
    pub fn status(&self) -> Vec<Status> {
        self.board.shown().names.clone()
    }

    /// Questions to DNS so far, and those of them that failed.
    pub fn counts(&self) -> (u64, u64) {
        let counts = &self.counts;
        (
            counts.asked.load(Ordering::Relaxed),
            counts.failed.load(Ordering::Relaxed),
        )
    }

    /// Whether the thread runs.
    pub fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }
}

/// One name.
struct Entry {
    status: Status,
    memory: Memory,
    /// When it is looked up again.
    due: Instant,
    state: State,
    /// Look-ups in a row that failed.
    failures: u32,
    /// The order to look up that it was last looked up for.
    round: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Rests,
    /// By this task.
    IsLookedUp(task::Id),
}

struct Keeper {
    entries: Vec<Entry>,
    wanted: Wanted,
    round: u64,
    /// Who is asked; `None`: to be found out before the next question.
    dns: Option<Dns>,
    running: JoinSet<(Name, u64, Found)>,
    told: Arc<Resolved>,
    tell: Box<dyn Fn(Arc<Resolved>) + Send>,
    chance: Chance,
    board: Arc<Board>,
    counts: Arc<Counts>,
}

impl Keeper {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Order>) {
        loop {
            self.look_up_what_is_due();
            self.show();
            let rests = self.entries.iter().filter(|entry| entry.state == State::Rests);
            let next = rests.map(|entry| entry.due).min();
            let is_full = self.running.len() >= DNS_LOOKUPS_AT_ONCE;
            let wait = async {
                match next.filter(|_| !is_full) {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                order = inbox.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
                Some(done) = self.running.join_next() => {
                    match done {
                        Ok((name, round, found)) => self.found(&name, round, found),
                        Err(broken) => self.broke_off(broken.id()),
                    }
                }
                () = wait => {}
            }
        }
    }

    fn obey(&mut self, order: Order) {
        let now = Instant::now();
        match order {
            Order::Want(wanted, round) => {
                for name in &wanted.names {
                    if !self.entries.iter().any(|entry| entry.status.name == *name) {
                        self.entries.push(Entry::new(name.clone(), now));
                    }
                }
                for entry in &mut self.entries {
                    entry.due = now;
                }
                self.round = round;
                self.wanted = wanted;
                self.dns = None;
            }
            Order::KeepOnly(names) => {
                self.entries.retain(|entry| names.contains(&entry.status.name));
                self.publish();
            }
        }
    }

    fn look_up_what_is_due(&mut self) {
        let now = Instant::now();
        for at in 0..self.entries.len() {
            if self.running.len() >= DNS_LOOKUPS_AT_ONCE {
                return;
            }
            let entry = &mut self.entries[at];
            if entry.state != State::Rests || entry.due > now {
                continue;
            }
            let dns = match &self.dns {
                Some(dns) => Ok(dns.clone()),
                None => Dns::new(&self.wanted.dns, &self.counts),
            };
            let (name, round) = (entry.status.name.clone(), self.round);
            match dns {
                Ok(dns) => {
                    self.dns = Some(dns.clone());
                    let (memory, reach) = (entry.memory.clone(), self.wanted.reach.clone());
                    let task = self.running.spawn(async move {
                        let found = locate(dns, name.clone(), reach, memory).await;
                        (name, round, found)
                    });
                    entry.state = State::IsLookedUp(task.id());
                }
                Err(error) => {
                    entry.fail(error, round);
                    entry.due = now + retry(entry.failures, &mut self.chance);
                }
            }
        }
    }

    fn found(&mut self, name: &Name, round: u64, found: Found) {
        let now = Instant::now();
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.status.name == *name) else {
            return;
        };
        entry.state = State::Rests;
        entry.memory = found.memory;
        let is_news = entry.status.servers != found.servers;
        entry.status.servers = found.servers;
        match found.error {
            None => {
                if entry.failures > 0 {
                    tracing::info!("DNS answers again for {name}");
                }
                entry.failures = 0;
                entry.round = round;
                entry.status.answered = Some(now);
                entry.status.error = entry.status.servers.is_empty().then(|| NOTHING.to_owned());
                let rest = if entry.status.servers.is_empty() {
                    found.ttl.clamp(DNS_TTL_MIN, DNS_NEGATIVE_TTL_MAX)
                } else {
                    found.ttl.clamp(DNS_TTL_MIN, DNS_TTL_MAX)
                };
                // Before it ends, and not all names of one server at once.
                entry.due = now + rest.mul_f64(0.8 + 0.15 * part(&mut self.chance));
            }
            Some(error) => {
                entry.fail(error, round);
                entry.due = now + retry(entry.failures, &mut self.chance);
                // The system's servers may be others by now.
                self.dns = None;
            }
        }
        if round != self.round {
            // It was asked of others than those who count now.
            entry.due = now;
        }
        if is_news {
            let at = text_of(&entry.status.servers);
            tracing::info!("{name} is {}", at.as_deref().unwrap_or("nowhere"));
            self.publish();
        }
    }

    /// A look-up has ended by a fault: what is known stays.
    fn broke_off(&mut self, task: task::Id) {
        let round = self.round;
        let is_its = |entry: &&mut Entry| entry.state == State::IsLookedUp(task);
        if let Some(entry) = self.entries.iter_mut().find(is_its) {
            entry.state = State::Rests;
            entry.fail("the look-up broke off".into(), round);
            entry.due = Instant::now() + retry(entry.failures, &mut self.chance);
        }
    }

    /// Tells the others of the table, if it is another one.
    fn publish(&mut self) {
        let answers = self.entries.iter().map(|entry| &entry.status);
        let table = Resolved::new(answers.map(|status| (status.name.clone(), status.servers.clone())));
        if table != *self.told {
            self.told = Arc::new(table);
            (self.tell)(self.told.clone());
        }
    }

    fn show(&self) {
        let mut shown = self.board.shown();
        shown.names = self.entries.iter().map(|entry| entry.status.clone()).collect();
        if self.entries.iter().all(|entry| entry.round == self.round) {
            shown.done = self.round;
        }
        drop(shown);
        self.board.news.notify_all();
    }
}

impl Entry {
    fn new(name: Name, now: Instant) -> Self {
        let status = Status {
            name,
            servers: Vec::new(),
            answered: None,
            error: None,
        };
        Self {
            status,
            memory: Memory::default(),
            due: now,
            state: State::Rests,
            failures: 0,
            round: 0,
        }
    }

    /// Takes note of a look-up that failed, at least in part.
    fn fail(&mut self, error: String, round: u64) {
        if self.failures == 0 {
            tracing::warn!("DNS fails for {}: {error}", self.status.name);
        }
        self.failures = self.failures.saturating_add(1);
        self.status.error = Some(error);
        self.round = round;
    }
}

impl Status {
    /// Its servers, as people read them; `None` where there are none.
    pub fn at(&self) -> Option<String> {
        text_of(&self.servers)
    }
}

/// Why a name has no servers though DNS answers.
const NOTHING: &str = "DNS has no address for it that a listener of ours reaches";

/// How long a name rests after so many failures in a row.
fn retry(failures: u32, chance: &mut Chance) -> Duration {
    let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    let rest = DNS_RETRY.saturating_mul(doubled).min(DNS_RETRY_MAX);
    rest.mul_f64(0.75 + 0.5 * part(chance))
}

/// A number between 0 and 1.
fn part(chance: &mut Chance) -> f64 {
    f64::from(chance.below(1_000)) / 1e3
}

/// Servers in the order of their tiers: `udp 10.0.0.1:5060, then tcp 10.0.0.2:5060`.
fn text_of(servers: &[Server]) -> Option<String> {
    let mut text = String::new();
    let mut tier = servers.first()?.tier;
    for server in servers {
        for address in &server.addresses {
            if !text.is_empty() {
                text += if server.tier == tier { ", " } else { ", then " };
            }
            tier = server.tier;
            text += &format!("{} {address}", server.transport.name());
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::path::Transport;

    #[test]
    fn servers_are_told_in_the_order_of_their_tiers() {
        let server = |tier, addresses: &[&str]| Server {
            tier,
            weight: 0,
            transport: Transport::Udp,
            addresses: addresses.iter().map(|a| a.parse().expect("an address")).collect(),
        };
        let servers = [
            server(0, &["10.0.0.1:5060", "10.0.0.2:5060"]),
            server(0, &["10.0.0.3:5060"]),
            server(1, &["[2001:db8::1]:5070"]),
        ];
        let expected = "udp 10.0.0.1:5060, udp 10.0.0.2:5060, udp 10.0.0.3:5060, then udp [2001:db8::1]:5070";
        assert_eq!(text_of(&servers).as_deref(), Some(expected));
        assert_eq!(text_of(&[]), None);
    }

    #[test]
    fn failures_are_waited_out_longer_and_longer_and_not_too_long() {
        let mut chance = Chance::from_number(1);
        for (failures, from, to) in [(1, 1, 3), (2, 3, 6), (3, 6, 11), (30, 40, 80), (u32::MAX, 40, 80)] {
            let rest = retry(failures, &mut chance).as_secs();
            assert!((from..=to).contains(&rest), "{failures}: {rest} s");
        }
    }
}
