//! Who asks: a thread of its own with everything that is under way.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use hickory_resolver::TokioResolver;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;

use super::breaker::{Change, Entry};
use super::dial::{self, Trust};
use super::exchange::{self, Outcome, Sent};
use super::site::{Origin, Site};
use super::stats::Stats;
use crate::base::limits::{ASK_SERVERS_MAX, ASK_WAIT, ASKS_MAX};
use crate::call::ask::{Advice, Inquiry, Silence};
use crate::call::port::AskId;

/// How often connections that nobody uses any more are looked for.
const SWEEP: Duration = Duration::from_secs(2);

/// How customers' servers are asked.
#[derive(Clone)]
pub struct Settings {
    /// Whose certificates are believed.
    pub trust: Trust,
    /// Questions that one server is asked at once.
    pub per_server: usize,
}

/// Brings an answer to the shard that asked.
pub type Bring = Box<dyn Fn(usize, AskId, Advice) + Send + Sync>;

/// The way to whoever asks customers' servers; a copy is the same way.
#[derive(Clone)]
pub struct Asker {
    queue: mpsc::Sender<Asked>,
    desk: Arc<Desk>,
}

/// What all questions share.
struct Desk {
    settings: ArcSwap<Settings>,
    sites: Mutex<HashMap<Origin, Arc<Site>>>,
    stats: Arc<Stats>,
    bring: Bring,
}

/// A question, and since when somebody waits for its answer.
struct Asked {
    inquiry: Box<Inquiry>,
    since: Instant,
    reply: Reply,
}

/// Who waits.
enum Reply {
    Shard(usize, AskId),
    Person(oneshot::Sender<Tried>),
}

/// What came of a question that a person asked.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The answer.
    pub advice: Advice,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker")
            .field("stats", &self.desk.stats)
            .finish_non_exhaustive()
    }
}

impl Asker {
    /// Starts the thread. It ends when the last copy of the way to it is gone.
    ///
    /// # Errors
    /// The system has no thread for it, or no poller.
    pub fn start(settings: Settings, bring: Bring) -> io::Result<Self> {
        let (queue, asked) = mpsc::channel(ASKS_MAX);
        let desk = Arc::new(Desk {
            settings: ArcSwap::from_pointee(settings),
            sites: Mutex::default(),
            stats: Arc::default(),
            bring,
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let of_thread = desk.clone();
        std::thread::Builder::new()
            .name("ask".into())
            .spawn(move || runtime.block_on(serve(of_thread, asked)))?;
        Ok(Self { queue, desk })
    }

    /// Asks for a call of this shard. The answer is brought in any case; at once if there is too much to ask.
    pub fn ask(&self, shard: usize, id: AskId, inquiry: Box<Inquiry>) {
        self.put(inquiry, Reply::Shard(shard, id));
    }

    /// Asks for a person who wants to know what comes of it.
    pub async fn try_once(&self, inquiry: Box<Inquiry>) -> Tried {
        let (sender, receiver) = oneshot::channel();
        self.put(inquiry, Reply::Person(sender));
        receiver.await.unwrap_or(Tried {
            advice: Advice::None(Silence::Busy),
            took: Duration::ZERO,
        })
    }

    /// New settings, for questions from now on.
    pub fn follow(&self, settings: Settings) {
        self.desk.settings.store(Arc::new(settings));
        // Connections by the old certificates, and the old number of places, go with them.
        self.desk.sites().clear();
        self.desk.stats.circuits_open.store(0, Ordering::Relaxed);
    }

    /// What came of the questions so far.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.desk.stats
    }

    fn put(&self, inquiry: Box<Inquiry>, reply: Reply) {
        let asked = Asked {
            inquiry,
            since: Instant::now(),
            reply,
        };
        let open = self.desk.stats.open.fetch_add(1, Ordering::Relaxed);
        let refused = if open < ASKS_MAX {
            self.queue.try_send(asked).err().map(|full| match full {
                mpsc::error::TrySendError::Full(asked) | mpsc::error::TrySendError::Closed(asked) => asked,
            })
        } else {
            Some(asked)
        };
        if let Some(asked) = refused {
            self.desk
                .over(asked.since, asked.reply, Advice::None(Silence::Busy));
        }
    }
}

async fn serve(desk: Arc<Desk>, mut queue: mpsc::Receiver<Asked>) {
    // It reads the system's settings once, as other programs do.
    let resolver = TokioResolver::builder_tokio()
        .and_then(|builder| builder.build())
        .ok();
    let resolver = Arc::new(resolver);
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            asked = queue.recv() => {
                let Some(Asked { inquiry, since, reply }) = asked else { return };
                let (desk, resolver) = (desk.clone(), resolver.clone());
                tokio::spawn(async move {
                    let advice = desk.ask(&inquiry, since, (*resolver).as_ref()).await;
                    desk.over(since, reply, advice);
                });
            }
            _ = sweep.tick() => desk.sweep(),
        }
    }
}

impl Desk {
    /// The question is over.
    fn over(&self, since: Instant, reply: Reply, advice: Advice) {
        let took = since.elapsed();
        self.stats.count(&advice, took);
        self.stats.open.fetch_sub(1, Ordering::Relaxed);
        match reply {
            Reply::Shard(shard, id) => (self.bring)(shard, id, advice),
            // Who has gone meanwhile misses nothing.
            Reply::Person(sender) => drop(sender.send(Tried { advice, took })),
        }
    }

    /// Asks, within the time that a call waits for it.
    async fn ask(&self, inquiry: &Inquiry, since: Instant, resolver: Option<&TokioResolver>) -> Advice {
        let settings = self.settings.load_full();
        let Some(site) = self.site(inquiry, &settings) else {
            return Advice::None(Silence::Busy);
        };
        if site.is_shut(Instant::now()) {
            return Advice::None(Silence::CircuitOpen);
        }
        let until = (since + ASK_WAIT).into();
        let place = {
            let Some(_waiting) = site.wait() else {
                return Advice::None(Silence::Busy);
            };
            // Whoever waits longer in our own line would leave the server no time: that is no fault of the server's.
            let turn = (since + ASK_WAIT / 2).into();
            match timeout_at(turn, site.places.acquire()).await {
                Ok(Ok(place)) => place,
                Ok(Err(_)) | Err(_) => return Advice::None(Silence::Busy),
            }
        };
        // It may have been left alone while this one waited.
        let entry = site.enter(Instant::now());
        if entry == Entry::Shut {
            return Advice::None(Silence::CircuitOpen);
        }
        let outcome = timeout_at(until, exchange(inquiry, &site, resolver, &settings.trust)).await;
        drop(place);
        let outcome = outcome.unwrap_or(Outcome::down(Silence::Timeout));
        self.tell(site.leave(Instant::now(), entry, &outcome), inquiry);
        outcome.advice
    }

    /// The server of a question. `None`: too many are remembered already.
    fn site(&self, inquiry: &Inquiry, settings: &Settings) -> Option<Arc<Site>> {
        let origin = Origin::of(&inquiry.server.url);
        let mut sites = self.sites();
        if !sites.contains_key(&origin) && sites.len() >= ASK_SERVERS_MAX {
            return None;
        }
        let site = sites
            .entry(origin)
            .or_insert_with(|| Arc::new(Site::new(settings.per_server)));
        Some(site.clone())
    }

    fn sweep(&self) {
        let now = Instant::now();
        // Whoever is being asked has another hand on it.
        let mut sites = self.sites();
        sites.retain(|_, site| site.sweep(now) || Arc::strong_count(site) > 1);
        let open = sites.values().filter(|site| site.is_open()).count();
        self.stats.circuits_open.store(open, Ordering::Relaxed);
    }

    fn tell(&self, change: Change, inquiry: &Inquiry) {
        let server = inquiry.server.url.authority();
        match change {
            Change::None => {}
            Change::Opened => {
                self.stats.circuits_open.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(
                    "the customer's server {server} failed again and again: its callers reach nobody, and it is tried \
                     every few seconds"
                );
            }
            Change::Closed => {
                let one_less = |open: usize| Some(open.saturating_sub(1));
                let open = &self.stats.circuits_open;
                let _ = open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
                tracing::info!("the customer's server {server} answers again");
            }
        }
    }

    fn sites(&self) -> std::sync::MutexGuard<'_, HashMap<Origin, Arc<Site>>> {
        // The map is whole after every single operation on it.
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By a connection that is open already, or by a new one.
async fn exchange(
    inquiry: &Inquiry,
    site: &Site,
    resolver: Option<&TokioResolver>,
    trust: &Trust,
) -> Outcome {
    while let Some(line) = site.idle(Instant::now()) {
        match exchange::ask(line, inquiry, now_s()).await {
            Sent::Over(outcome, line) => return kept(site, outcome, line),
            Sent::Unsent => {}
        }
    }
    let line = match dial::connect(&inquiry.server.url, resolver, trust).await {
        Ok(stream) => exchange::open(stream).await,
        Err(why) => Err(why),
    };
    match line {
        Err(why) => Outcome::down(why),
        Ok(line) => match exchange::ask(line, inquiry, now_s()).await {
            Sent::Over(outcome, line) => kept(site, outcome, line),
            Sent::Unsent => Outcome::down(Silence::Broken),
        },
    }
}

fn kept(site: &Site, outcome: Outcome, line: Option<exchange::Line>) -> Outcome {
    if let Some(line) = line {
        site.keep(Instant::now(), line);
    }
    outcome
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
