//! The only place where the rooms are joined: it starts them, passes between them, and stops them in order.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;

use crate::api::idempotency::Answers;
use crate::api::native::{self, Desk, Owner, Phase};
use crate::api::socket;
use crate::api::switchboard::Switchboard;
use crate::base::chance::Chance;
use crate::base::id::Id;
use crate::base::limits::OTHER_FILES;
use crate::base::shard::Shard;
use crate::base::time::{Instant, Now};
use crate::call::cdr::Cdr;
use crate::call::config::Config;
use crate::call::media::{Order, Report, lane_of};
use crate::call::port::{CallEntry, Command, Input, Note, Output, Records};
use crate::call::switch::Switch;
use crate::config::{self, Conf};
use crate::media::socket::raise_file_limit;
use crate::media::thread::{MediaThread, Settings};
use crate::records::cdr_file;
use crate::records::cdr_scan;
use crate::store::file;
use crate::store::follow::DiskState;
use crate::store::journal::{Journal, JournalHealth};
use crate::store::open::DiskFound;
use crate::store::writer::{self, Store, WriteState};
use crate::telemetry::alarm::Alarms;
use crate::telemetry::call_line;
use crate::telemetry::health::{Health, State};
use crate::telemetry::log::{self, Log};
use crate::telemetry::metrics::{Metrics, Reading};
use crate::telemetry::traces::Traces;
use crate::transport::clock::Clock;
use crate::transport::event_loop::{self, Handler, Outbox, Stats};
use crate::transport::shard::{Door, Message};

/// How long calls may go on after SIGTERM, unless `umbra stop --drain` says otherwise. systemd's unit waits
/// longer.
const DRAIN: Duration = Duration::from_secs(600);
/// How long the ends of calls may take once they are told to end: BYEs answered, counts in, records out.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long the first media ports may take to be bound.
const PORTS_PATIENCE: Duration = Duration::from_secs(5);
/// How far our time may be ahead of the system's clock before it is said.
const AHEAD_MAX: Duration = Duration::from_secs(1);
/// How often a server that stops looks whether its calls are over.
const GLANCE: Duration = Duration::from_millis(50);
/// How often the disk's state and the gauges are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// CDRs that are looked through for those of calls that a killed server left open.
const TAIL_IDS: usize = 200_000;

/// Starts the server and keeps it up until it is told to stop.
///
/// # Errors
/// What keeps it from starting, in a sentence with the cure.
pub fn run(conf: Conf, path: Option<PathBuf>) -> anyhow::Result<()> {
    let outcome = start(conf, path).and_then(Running::wait);
    log::flush();
    outcome
}

/// What the owner of the process can be asked for.
enum Wish {
    Stop(Duration),
    Reload,
}

/// A running server.
pub struct Running {
    shared: Arc<Joined>,
    wishes: Receiver<Wish>,
    shards: Vec<JoinHandle<()>>,
    media: Arc<OnceLock<Vec<MediaThread>>>,
    http: tokio::runtime::Runtime,
    records: Arc<cdr_file::Writer>,
    journal: Journal,
    store: Store,
    control: PathBuf,
}

/// What every thread of the server has at hand.
struct Joined {
    conf: Mutex<Conf>,
    conf_path: Option<PathBuf>,
    config: Arc<ArcSwap<Config>>,
    log: Option<Log>,
    health: Arc<Health>,
    alarms: Alarms,
    clock: Clock,
    metrics: Arc<Metrics>,
    doors: Arc<[Door]>,
    sip: Arc<Stats>,
    live: Vec<AtomicUsize>,
    /// Each shard's berths that are bound and free.
    berths: Vec<AtomicUsize>,
    phase: Mutex<Phase>,
    wish: Mutex<Sender<Wish>>,
}

/// Starts the server.
///
/// # Errors
/// What keeps it from starting, in a sentence with the cure.
pub fn start(conf: Conf, conf_path: Option<PathBuf>) -> anyhow::Result<Running> {
    // A second server in one process (tests) goes on with the first one's log.
    let log = log::start(conf.log).ok();
    tracing::info!(
        "umbra {} starts as {} on {}, data in {}",
        env!("CARGO_PKG_VERSION"),
        conf.switch.node,
        conf_path
            .as_ref()
            .map_or("the built-in conf".to_owned(), |path| path.display().to_string()),
        conf.store.display()
    );
    let files = file_limit();
    let started = std::time::Instant::now();
    let clock = Clock::since(started);
    let mut chance = seeded()?;

    let (store, found) = Store::open(&conf.store, &writer::Settings::default(), {
        let clock = clock.clone();
        move || clock.now().wall
    })?;
    // What the store had acknowledged before must count from the first call on, wherever the system's clock is.
    clock.not_before(store.table().newest_stamp());
    let health = Arc::new(Health::expecting(&[]));
    match found.disk {
        DiskFound::Rebuilt => {
            say(&found.sentences);
            // Until the next start: somebody should look at the disk, and at the folder that was put aside.
            health.set("sled", State::Degraded, found.sentences.join("; "));
        }
        DiskFound::Sound | DiskFound::New => found.sentences.iter().for_each(|s| tracing::info!("{s}")),
    }
    let (journal, left) = Journal::open(&conf.store.join("journal"))?;
    say(journal.notes());
    let (records, found) = cdr_file::Writer::start(conf.records.clone(), {
        let journal = journal.clone();
        move |ids| {
            let ended: Vec<_> = ids.iter().map(|id| CallEntry::Ended { call_id: *id }).collect();
            journal.write_all(&ended);
        }
    })?;
    say(&found);
    let recorded = cdr_scan::recent_ids(&conf.records.dir, TAIL_IDS)
        .with_context(|| format!("the CDR files in {} can't be read", conf.records.dir.display()))?;
    let records = Arc::new(records);
    write_left_records(left, &recorded, &records, &journal);

    let count = conf.shards;
    let key = shard_key(&conf.store, &mut chance)?;
    let transport = event_loop::open(&conf.switch.listeners, count, key, clock.clone())?;
    let (wish, wishes) = channel();
    let shared = Arc::new(Joined {
        config: Arc::new(ArcSwap::from_pointee(conf.switch.clone())),
        conf: Mutex::new(conf.clone()),
        conf_path,
        log,
        alarms: Alarms::new(health.clone()),
        clock: clock.clone(),
        health,
        metrics: Arc::new(Metrics::default()),
        doors: transport.doors,
        sip: transport.stats,
        live: (0..count).map(|_| AtomicUsize::new(0)).collect(),
        berths: (0..count).map(|_| AtomicUsize::new(0)).collect(),
        phase: Mutex::new(Phase::Serving),
        wish: Mutex::new(wish),
    });

    let ports = usize::from(conf.switch.media.port_last - conf.switch.media.port_first) + 1;
    if let Some(sentence) = too_few_files(files, ports) {
        shared.health.set("file limit", State::Degraded, sentence);
    }
    let media = start_media(&conf, started, files, &clock, &mut chance, &shared)?;
    let traces = Arc::new(Traces::default());
    let board = {
        let shared = shared.clone();
        Arc::new(Switchboard::new(
            count,
            Arc::new(move |shard, command| shared.tell(shard, command)),
        ))
    };
    let mut shards = Vec::new();
    for (index, event_loop) in transport.loops.into_iter().enumerate() {
        let shard = Shard { index, count, key };
        let switch = Switch::new(
            shared.config.load_full(),
            store.table().clone(),
            shard,
            chance.fork(),
        );
        let room = Room {
            switch,
            index,
            shared: shared.clone(),
            media: media.clone(),
            journal: journal.clone(),
            records: records.clone(),
            traces: traces.clone(),
            board: board.clone(),
            entries: Vec::new(),
            cdrs: Vec::new(),
            orders: Vec::new(),
        };
        let thread = thread::Builder::new().name(format!("sip-{index}"));
        shards.push(
            thread
                .spawn(move || event_loop.run(room))
                .context("no thread for a SIP shard")?,
        );
    }

    // Nobody is told that we serve before the first calls have their ports.
    let patience = std::time::Instant::now() + PORTS_PATIENCE;
    while !shared.has_berths() && std::time::Instant::now() < patience {
        thread::sleep(Duration::from_millis(1));
    }

    let http = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("http")
        .enable_all()
        .build()
        .context("no thread for HTTP")?;
    let desk = Arc::new(Desk {
        store: store.clone(),
        config: shared.config.clone(),
        board,
        cdr_dir: conf.records.dir.clone(),
        health: shared.health.clone(),
        metrics: shared.metrics.clone(),
        traces,
        started: clock.now().wall,
        owner: owner(&shared, &records, &journal),
        clock: {
            let clock = clock.clone();
            Box::new(move || clock.now())
        },
        answers: Arc::new(Answers::default()),
    });
    serve_http(&http, &conf, desk)?;
    let running = Running {
        control: conf.api.control.clone(),
        shared,
        wishes,
        shards,
        media,
        http,
        records,
        journal,
        store,
    };
    running.watch_signals()?;
    running.look();
    for listener in &conf.switch.listeners {
        tracing::info!(
            "listening for SIP on {} {}",
            listener.transport.via_token(),
            listener.address
        );
    }
    tracing::info!(
        "RTP on {}, ports {} to {}",
        conf.switch.media.address,
        conf.switch.media.port_first,
        conf.switch.media.port_last
    );
    tracing::info!(
        "the API is on {} and {}",
        conf.api.control.display(),
        conf.api
            .listen
            .map_or("no HTTP address".to_owned(), |listen| format!("http://{listen}"))
    );
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
    Ok(running)
}

/// What one SIP shard's thread works with.
struct Room {
    switch: Switch,
    index: usize,
    shared: Arc<Joined>,
    media: Arc<OnceLock<Vec<MediaThread>>>,
    journal: Journal,
    records: Arc<cdr_file::Writer>,
    traces: Arc<Traces>,
    board: Arc<Switchboard>,
    /// What a batch of inputs leaves for the other threads, so that each is woken once for all of it.
    entries: Vec<CallEntry>,
    #[allow(clippy::vec_box)] // they come boxed and go boxed
    cdrs: Vec<Box<Cdr>>,
    orders: Vec<Order>,
}

impl Handler for Room {
    fn take(&mut self, now: Now, input: Input<'_>, outbox: &mut Outbox) -> Option<Instant> {
        let from = match &input {
            Input::Packet { path, .. } => Some(path.remote),
            Input::Failed(..) | Input::Timeout | Input::Media(_) | Input::Order(_) | Input::Config(_) => None,
        };
        self.switch.handle(now, input);
        self.obey(outbox, from);
        self.switch.timeout()
    }

    fn batch_over(&mut self) {
        // An arrival stands in the journal before its INVITE leaves, and before its record can end it there.
        self.journal.write_all(&self.entries);
        self.entries.clear();
        if !self.cdrs.is_empty() {
            self.records.write_all(self.cdrs.drain(..));
        }
        if !self.orders.is_empty() {
            self.give_orders();
        }
        self.shared.live[self.index].store(self.switch.calls(), Ordering::Relaxed);
        self.shared.berths[self.index].store(self.switch.berths_ready(), Ordering::Relaxed);
    }
}

impl Room {
    /// Carries out what the switch wants, in order; what goes to other threads is kept until the batch is
    /// over. `from` is who sent the message that made it want that.
    fn obey(&mut self, outbox: &mut Outbox, from: Option<SocketAddr>) {
        while let Some(output) = self.switch.poll() {
            match output {
                Output::Send { to, bytes } => outbox.send(to, bytes),
                Output::Media(order) => self.orders.push(order),
                Output::Event(event) => {
                    self.shared.metrics.event(&event);
                    tracing::debug!(call = %event.call_id, "{}", call_line::moment(event.what));
                }
                Output::Cdr(cdr, trace) => {
                    tracing::info!(call = %cdr.call_id, "{}", call_line::ended(&cdr));
                    self.traces.keep(cdr.call_id, trace);
                    self.cdrs.push(cdr);
                }
                Output::Journal(entry) => self.entries.push(entry),
                Output::Answer(id, answer) => self.board.answer(id, answer),
                Output::Note(note) => self.shared.note(note, from),
            }
        }
    }

    fn give_orders(&mut self) {
        let first = self.shared.config.load().media.port_first;
        let threads = self.media.get().map_or(&[][..], Vec::as_slice);
        let mut refused = false;
        for order in self.orders.drain(..) {
            let lane = lane_of(order.port(), first, threads.len());
            refused |= threads.get(lane).is_some_and(|thread| thread.put(order).is_err());
        }
        threads.iter().for_each(MediaThread::wake);
        if refused {
            self.shared.health.set(
                "media",
                State::Failing,
                "a media thread takes no orders: restart the server",
            );
        }
    }
}

impl Joined {
    fn tell(&self, shard: usize, command: Command) {
        self.say(shard, [Message::Order(command)]);
    }

    fn tell_all(&self, command: Command) {
        (0..self.doors.len()).for_each(|shard| self.tell(shard, command));
    }

    /// Says something to a shard. A full queue means a shard that hangs: somebody should hear of it.
    fn say(&self, shard: usize, messages: impl IntoIterator<Item = Message>) {
        if self
            .doors
            .get(shard)
            .is_none_or(|door| door.tell_all(messages).is_err())
        {
            self.health.set(
                "sip",
                State::Failing,
                "a SIP shard takes no messages: restart the server",
            );
        }
    }

    /// Whether every shard could take a call at this instant.
    fn has_berths(&self) -> bool {
        self.berths.iter().all(|ready| ready.load(Ordering::Relaxed) > 0)
    }

    fn calls(&self) -> usize {
        self.live.iter().map(|live| live.load(Ordering::Relaxed)).sum()
    }

    fn note(&self, note: Note, from: Option<SocketAddr>) {
        self.metrics.note(note);
        if note.is_alarm() {
            self.alarms.note(note, self.clock.now().wall);
        } else {
            tracing::debug!(?from, "{note:?}");
        }
        if let Some(line) = from.and_then(|from| self.alarms.hint(note, from, self.clock.now().wall)) {
            tracing::info!("{line}");
        }
    }

    fn set_phase(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    fn wish(&self, wish: Wish) {
        // When nobody listens any more, the server is stopping already.
        let _ = self
            .wish
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(wish);
    }

    /// Reads the conf again and logs what came of it.
    fn reload_and_say(&self) {
        match self.reload() {
            Ok(waiting) => waiting
                .iter()
                .for_each(|key| tracing::warn!("{key} waits for a restart")),
            Err(faults) => {
                tracing::error!("the conf is wrong, the old one stays in force");
                faults.lines().for_each(|fault| tracing::error!("{fault}"));
            }
        }
    }

    /// Reads the conf again: the keys that wait for a restart, or every fault; then the old conf stays.
    fn reload(&self) -> Result<Vec<String>, String> {
        let path = self
            .conf_path
            .as_deref()
            .ok_or("the server runs on its built-in conf: there is no file to read")?;
        let new = config::load(path).map_err(|faults| faults.to_string())?;
        let mut conf = self.conf.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, waiting) = conf.reload(new);
        let config = Arc::new(taken.switch.clone());
        self.config.store(config.clone());
        if let Some(log) = &self.log {
            log.set_level(taken.log.level);
        }
        *conf = taken;
        (0..self.doors.len()).for_each(|shard| self.say(shard, [Message::Config(config.clone())]));
        tracing::info!("the conf was read again");
        Ok(waiting.into_iter().map(str::to_owned).collect())
    }
}

impl Running {
    /// Waits until the server is told to stop, and stops it.
    ///
    /// # Errors
    /// Records that could not be written, or a thread that has ended by a fault. The process is to end then, at
    /// once: whoever supervises it starts it anew, and the journal has the calls.
    pub fn wait(self) -> anyhow::Result<()> {
        let mut disk = Records::Kept;
        loop {
            if let Err(dead) = self.pulse() {
                // What the others still do is not waited for.
                self.http.shutdown_background();
                return Err(dead);
            }
            match self.wishes.recv_timeout(LOOK_EVERY) {
                Ok(Wish::Stop(patience)) => return self.stop(patience),
                Ok(Wish::Reload) => {
                    self.shared.reload_and_say();
                }
                Err(_) => {
                    let now = self.look();
                    if now != disk {
                        disk = now;
                        self.shared.tell_all(Command::Records(now));
                    }
                }
            }
        }
    }

    /// Takes no new call, lets those in progress end for `patience`, ends the rest, and stops every room,
    /// records last.
    ///
    /// # Errors
    /// Records that could not be written.
    pub fn stop(self, patience: Duration) -> anyhow::Result<()> {
        let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Stopping]);
        self.shared.set_phase(Phase::Draining);
        self.shared.tell_all(Command::Drain);
        self.say_stopping(patience);
        self.until_idle(patience)?;
        if self.shared.calls() > 0 {
            tracing::warn!(
                "calls that are ended now, because their time is over: {}",
                self.shared.calls()
            );
            self.shared.tell_all(Command::EndAll);
            self.until_idle(LAST_WORDS)?;
        }
        (0..self.shared.doors.len()).for_each(|shard| self.shared.say(shard, [Message::Stop]));
        for shard in self.shards {
            // Its panic has been logged where it happened.
            let _ = shard.join();
        }
        self.http.shutdown_timeout(Duration::from_millis(500));
        drop(self.media);
        let lost = match Arc::try_unwrap(self.records) {
            Ok(records) => records.stop(LAST_WORDS),
            Err(records) => records.waiting(),
        };
        self.journal.close();
        let unkept = self.journal.health().waiting;
        self.store.close();
        // A socket that nobody listens on would only puzzle.
        let _ = std::fs::remove_file(&self.control);
        if lost > 0 && unkept > 0 {
            anyhow::bail!(
                "{lost} records could not be written, and the journal could not take {unkept} entries: records are lost"
            );
        }
        if lost > 0 {
            anyhow::bail!(
                "{lost} records could not be written: the journal has them, and the next start writes them"
            );
        }
        tracing::info!("stopped");
        Ok(())
    }

    /// Waits until no call is left, at most `patience`. A stop that is wished for meanwhile sets the time
    /// anew: the last wish counts.
    fn until_idle(&self, patience: Duration) -> anyhow::Result<()> {
        let mut deadline = std::time::Instant::now() + patience;
        while self.shared.calls() > 0 && std::time::Instant::now() < deadline {
            match self.wishes.recv_timeout(GLANCE) {
                Ok(Wish::Stop(patience)) => {
                    self.say_stopping(patience);
                    deadline = std::time::Instant::now() + patience;
                }
                Ok(Wish::Reload) => self.shared.reload_and_say(),
                Err(_) => {
                    self.look();
                    self.pulse()?;
                }
            }
        }
        Ok(())
    }

    /// Finds out whether every thread still runs that nobody has told to stop.
    fn pulse(&self) -> anyhow::Result<()> {
        let media = self.media.get().map_or(&[][..], Vec::as_slice);
        let dead = if self.shards.iter().any(JoinHandle::is_finished) {
            "a SIP thread"
        } else if !media.iter().all(MediaThread::is_alive) {
            "a media thread"
        } else if !self.journal.is_alive() {
            "the journal's thread"
        } else if !self.store.is_alive() {
            "a thread of the store"
        } else if self.records.is_dead() {
            "the CDR files' thread"
        } else {
            return Ok(());
        };
        let sentence = format!("{dead} has ended by a fault: the server ends, to be started anew");
        self.shared
            .health
            .set("threads", State::Failing, sentence.clone());
        Err(anyhow::anyhow!(sentence))
    }

    fn say_stopping(&self, patience: Duration) {
        tracing::info!(
            "stopping: calls in progress: {}, seconds for them to end: {}",
            self.shared.calls(),
            patience.as_secs()
        );
    }

    /// Looks at the disk and the gauges; says whether records can be kept.
    fn look(&self) -> Records {
        self.shared.alarms.look(self.shared.clock.now().wall);
        let health = &self.shared.health;
        let set = |part, state, trouble: Option<String>| match trouble {
            Some(sentence) => health.set(part, state, sentence),
            None => health.set(part, State::Ok, ""),
        };
        // While there is no room for records, calls are refused.
        let bad = |records| match records {
            Records::Kept => State::Degraded,
            Records::Full => State::Failing,
        };
        let (journal, cdrs) = (self.journal.health(), self.records.state());
        set("cdr", bad(cdrs), self.records.health());
        set("journal", bad(journal.records), journal_trouble(&journal));
        set("store", State::Degraded, trouble(&self.store));
        set("clock", State::Degraded, set_back(self.shared.clock.ahead()));
        match (cdrs, journal.records) {
            (Records::Kept, Records::Kept) => Records::Kept,
            (Records::Full, _) | (_, Records::Full) => Records::Full,
        }
    }

    fn watch_signals(&self) -> anyhow::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let _inside = self.http.enter();
        let signals = [
            (SignalKind::terminate(), DRAIN),
            // Ctrl-C: somebody waits at a terminal.
            (SignalKind::interrupt(), Duration::ZERO),
        ];
        for (kind, mut patience) in signals {
            let mut signal = signal(kind).context("signals can't be watched")?;
            let shared = self.shared.clone();
            self.http.spawn(async move {
                while signal.recv().await.is_some() {
                    shared.wish(Wish::Stop(patience));
                    // Whoever sends it again doesn't want to wait.
                    patience = Duration::ZERO;
                }
            });
        }
        let mut hangup = signal(SignalKind::hangup()).context("signals can't be watched")?;
        let shared = self.shared.clone();
        self.http.spawn(async move {
            while hangup.recv().await.is_some() {
                shared.wish(Wish::Reload);
            }
        });
        Ok(())
    }
}

fn owner(shared: &Arc<Joined>, records: &Arc<cdr_file::Writer>, journal: &Journal) -> Owner {
    let (stop, reload, level, phase, calls) = (
        shared.clone(),
        shared.clone(),
        shared.clone(),
        shared.clone(),
        shared.clone(),
    );
    let (sip, records, journal) = (shared.sip.clone(), Arc::downgrade(records), journal.clone());
    Owner {
        stop: Box::new(move |patience| stop.wish(Wish::Stop(patience))),
        reload: Box::new(move || reload.reload()),
        log_level: Box::new(move |wanted| {
            if let Some(log) = &level.log {
                log.set_level(wanted);
            }
        }),
        phase: Box::new(move || *phase.phase.lock().unwrap_or_else(PoisonError::into_inner)),
        calls: Box::new(move || calls.calls()),
        readings: Box::new(move |metrics| {
            let waiting = records.upgrade().map_or(0, |records| records.waiting());
            metrics.set(Reading::CdrsWaiting, waiting as u64);
            let journal = journal.health();
            metrics.set(Reading::JournalWaiting, journal.waiting as u64);
            metrics.set(Reading::JournalLost, journal.dropped);
            let counts = [
                (Reading::SipIn, &sip.received),
                (Reading::SipOut, &sip.sent),
                (Reading::SipShed, &sip.shed),
                (Reading::SipLost, &sip.lost),
            ];
            for (reading, count) in counts {
                metrics.set(reading, count.load(Ordering::Relaxed));
            }
        }),
    }
}

/// Starts the media threads. Each report goes to the shard that owns its port.
fn start_media(
    conf: &Conf,
    started: std::time::Instant,
    files: usize,
    clock: &Clock,
    chance: &mut Chance,
    shared: &Arc<Joined>,
) -> anyhow::Result<Arc<OnceLock<Vec<MediaThread>>>> {
    let media = &conf.switch.media;
    std::net::UdpSocket::bind((media.address, 0)).with_context(|| {
        format!(
            "media.address {} can't be used: is it an address of this machine?",
            media.address
        )
    })?;
    let settings = Settings {
        address: media.address,
        port_first: media.port_first,
        port_last: media.port_last,
        pairs_max: files.saturating_sub(OTHER_FILES) / 2 / conf.media_threads.max(1),
        started,
        wall_at_start: clock.now().wall_of(crate::base::time::Instant::default()),
    };
    let threads = (0..conf.media_threads)
        .map(|index| {
            let (shared, first, shards) = (shared.clone(), media.port_first, conf.shards);
            let report = Box::new(move |reports: &[Report]| {
                for shard in 0..shards {
                    let of_shard = reports
                        .iter()
                        .filter(|report| lane_of(report.port(), first, shards) == shard);
                    shared.say(shard, of_shard.map(|report| Message::Media(*report)));
                }
            });
            MediaThread::start(index, settings, chance.fork(), report)
        })
        .collect::<Result<Vec<_>, _>>()
        .context("no thread for media")?;
    let cell = OnceLock::new();
    let _ = cell.set(threads);
    Ok(Arc::new(cell))
}

/// The control socket, and the HTTP address if the conf names one on loopback.
fn serve_http(http: &tokio::runtime::Runtime, conf: &Conf, desk: Arc<Desk>) -> anyhow::Result<()> {
    let _inside = http.enter();
    let control = tokio::net::UnixListener::from_std(socket::bind(&conf.api.control)?)?;
    http.spawn(axum::serve(control, native::router(desk.clone())).into_future());
    let Some(listen) = conf.api.listen else {
        return Ok(());
    };
    let listener = std::net::TcpListener::bind(listen).with_context(|| {
        format!("the API can't listen on {listen}: choose another api.listen, or stop who has it")
    })?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    http.spawn(axum::serve(listener, native::router_on_loopback(desk)).into_future());
    Ok(())
}

/// Writes the records that the server before didn't bring to the CDR files, each once: one that was written
/// already only has its journal entry closed.
fn write_left_records(
    left: Vec<crate::call::cdr::Cdr>,
    recorded: &HashSet<Id>,
    records: &cdr_file::Writer,
    journal: &Journal,
) {
    let (known, missing): (Vec<_>, Vec<_>) = left
        .into_iter()
        .partition(|cdr: &Cdr| recorded.contains(&cdr.call_id));
    for cdr in known {
        journal.write(&CallEntry::Ended { call_id: cdr.call_id });
    }
    if !missing.is_empty() {
        tracing::warn!(
            "{} records were not in the CDR files yet when the server before ended: they are written now",
            missing.len()
        );
    }
    records.write_all(missing.into_iter().map(Box::new));
}

/// The key by which Call-IDs are spread over the shards: kept, so that a restart spreads them alike.
fn shard_key(store: &Path, chance: &mut Chance) -> anyhow::Result<[u64; 2]> {
    let path = store.join("shard.key");
    let read = std::fs::read(&path)
        .ok()
        .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    let bytes = match read {
        Some(bytes) => bytes,
        None => {
            let mut fresh = [0; 16];
            fresh[..8].copy_from_slice(&chance.bits().to_le_bytes());
            fresh[8..].copy_from_slice(&chance.bits().to_le_bytes());
            file::keep(&path, &fresh).with_context(|| format!("{} can't be written", path.display()))?;
            fresh
        }
    };
    let half = |at: usize| {
        bytes[at..at + 8]
            .iter()
            .rev()
            .fold(0, |n, b| n << 8 | u64::from(*b))
    };
    Ok([half(0), half(8)])
}

fn seeded() -> anyhow::Result<Chance> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| anyhow::anyhow!("the system gives no randomness: {e}"))?;
    Ok(Chance::from_seed(seed))
}

/// How many files we may open: as many as the system allows, because every media port is one.
fn file_limit() -> usize {
    match raise_file_limit() {
        Ok(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        Err(error) => {
            tracing::warn!("the limit of open files stays as it is: {error}");
            usize::MAX
        }
    }
}

/// What there is to say of a limit of open files beside a range of so many ports.
fn too_few_files(files: usize, ports: usize) -> Option<String> {
    let wanted = ports + OTHER_FILES;
    (files < wanted).then(|| {
        format!(
            "the system lets us open {files} files, media.ports and the rest want {wanted}: raise the limit \
             (LimitNOFILE in the unit, ulimit -n), or narrow media.ports"
        )
    })
}

/// What there is to say of a clock that is this far ahead of the system's.
fn set_back(ahead: Duration) -> Option<String> {
    (ahead > AHEAD_MAX).then(|| {
        format!(
            "the system's clock was set back: our time goes on {} s ahead of it, so that bindings stay in order; \
             look at what sets the clock, then start the server anew",
            ahead.as_secs()
        )
    })
}

/// What is wrong with the store, in a sentence.
fn trouble(store: &Store) -> Option<String> {
    let health = store.health();
    let writes = match health.writes {
        WriteState::Taken => None,
        WriteState::Refused(sentence) => Some(sentence),
        WriteState::Stopped => Some("the binding writer has ended: restart the server".to_owned()),
    };
    let disk = match health.disk {
        DiskState::Following => None,
        DiskState::Failing(sentence) | DiskState::Left(sentence) => Some(sentence),
    };
    writes.or(disk).or(health.snapshot_error)
}

/// What is wrong with the journal, in a sentence.
fn journal_trouble(journal: &JournalHealth) -> Option<String> {
    let waiting = journal.waiting;
    match (&journal.error, journal.records, journal.dropped) {
        (Some(error), Records::Full, _) => Some(format!(
            "{error}: {waiting} entries wait in memory, and new calls are refused"
        )),
        (Some(error), Records::Kept, _) => Some(format!("{error}: {waiting} entries wait in memory")),
        (None, Records::Full, _) => Some(format!(
            "{waiting} entries wait in memory, and new calls are refused"
        )),
        (None, Records::Kept, 0) => None,
        (None, Records::Kept, lost) => Some(format!(
            "{lost} entries of calls were lost: if the server is killed, records of calls that were up then may be \
             missing or wrong. A restart once those calls are over puts it right"
        )),
    }
}

fn say(sentences: &[String]) {
    for sentence in sentences {
        tracing::warn!("{sentence}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_open_files_below_the_ports_is_said_with_both_numbers() {
        assert_eq!(too_few_files(10_512, 10_000), None);
        let sentence = too_few_files(1_024, 10_000).unwrap();
        assert!(
            sentence.contains("1024 files") && sentence.contains("10512"),
            "{sentence}"
        );
    }

    #[test]
    fn the_journal_says_what_waits_what_is_refused_and_what_was_lost() {
        let well = JournalHealth {
            records: Records::Kept,
            live: 7,
            waiting: 0,
            dropped: 0,
            error: None,
        };
        assert_eq!(journal_trouble(&well), None);
        let full = JournalHealth {
            records: Records::Full,
            waiting: 30_000,
            error: Some("calls.log: No space left".to_owned()),
            ..well.clone()
        };
        let said = journal_trouble(&full).expect("something is wrong");
        assert_eq!(
            said,
            "calls.log: No space left: 30000 entries wait in memory, and new calls are refused"
        );
        let lossy = JournalHealth { dropped: 3, ..well };
        assert!(journal_trouble(&lossy).is_some_and(|said| said.starts_with("3 entries of calls were lost")));
    }

    #[test]
    fn a_sip_thread_that_ends_by_itself_ends_the_server_with_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut conf = Conf::embedded();
        conf.store = dir.path().join("store");
        conf.records.dir = dir.path().join("cdr");
        conf.api.control = dir.path().join("control");
        conf.api.listen = None;
        for listener in &mut conf.switch.listeners {
            listener.address = ([127, 0, 0, 1], 0).into();
        }
        conf.switch.media.address = [127, 0, 0, 1].into();
        conf.switch.media.port_last = conf.switch.media.port_first + 63;
        let running = start(conf, None).unwrap();
        assert!(running.pulse().is_ok());
        running.shared.say(0, [Message::Stop]);
        let error = running.wait().unwrap_err().to_string();
        assert!(error.starts_with("a SIP thread has ended"), "{error}");
    }
}
