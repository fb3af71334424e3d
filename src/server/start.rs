//! Starting: the rooms are made in the order in which they need each other.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Semaphore;

use crate::api::idempotency::Answers;
use crate::api::native::{self, Desk, Owner, Phase, PromptFolder, Stop, Takeover};
use crate::api::socket;
use crate::api::switchboard::Switchboard;
use crate::base::chance::Chance;
use crate::base::id::Id;
use crate::base::limits::{
    DNS_PATIENCE, PROMPT_UPLOAD_TIME, RECORDINGS_READ_AT_ONCE, RECORDINGS_READ_BY_LINK,
};
use crate::base::shard::Shard;
use crate::call::cdr::Cdr;
use crate::call::emergency;
use crate::call::port::CallEntry;
use crate::call::reach::Reach;
use crate::call::switch::Switch;
use crate::call::targets::Resolved;
use crate::config::{self, Conf};
use crate::media::socket::raise_file_limit;
use crate::names::Wanted;
use crate::names::keeper::Names;
use crate::records::cdr_file;
use crate::records::cdr_scan;
use crate::records::recorder::KeepingOf;
use crate::store::file;
use crate::store::form;
use crate::store::journal::Journal;
use crate::store::open::DiskFound;
use crate::store::reserve;
use crate::store::writer::{self, Store};
use crate::telemetry::alarm::Alarms;
use crate::telemetry::health::{Health, State};
use crate::telemetry::log::{self};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;
use crate::transport::clock::Clock;
use crate::transport::event_loop::{self, EventLoop};
use crate::transport::handed::Handed;
use crate::transport::shard::{Door, Message};
use crate::transport::tls;

use super::Running;
use super::asking;
use super::certificates::told;
use super::gateways;
use super::health::{files_of_a_pair, no_handover, other_files, too_few_files};
use super::joined::{Joined, Wish, say_to};
use super::media::{Post, open_archive, start_media, start_recorder};
use super::prompts;
use super::readings::Readings;
use super::reload::{Front, InForce, listen};
use super::room::{self, Room};
use super::supervisor::{self, Patience};
use super::takeover::{Left, Terms};
use super::tries::Try;

/// How long the first media ports may take to be bound.
const PORTS_PATIENCE: Duration = Duration::from_secs(5);
/// CDRs that are looked through for those of calls that a killed server left open.
const TAIL_IDS: usize = 200_000;

/// Starts the server.
///
/// # Errors
/// What keeps it from starting, in a sentence with the cure.
pub fn start(mut conf: Conf, reading: Option<config::Reading>) -> anyhow::Result<Running> {
    let mut handed = Handed::take();
    // A second server in one process (tests) goes on with the first one's log.
    let log = log::start(conf.log).ok();
    tracing::info!(
        "umbra {} starts as {} on {}, data in {}",
        env!("CARGO_PKG_VERSION"),
        conf.switch.node,
        reading
            .as_ref()
            .map_or("the built-in conf".to_owned(), |files| files
                .path()
                .display()
                .to_string()),
        conf.store.display()
    );
    // Before anything is touched: without them nothing else would be of use.
    let certificates = Arc::new(match &reading {
        Some(reading) => reading.certificates(&conf)?,
        None => tls::Terms::default(),
    });
    tracing::info!("{}", emergency::told(&conf.switch));
    for shown in certificates.shown() {
        tracing::info!("{}", told(shown));
    }
    let opening = Patience::begin();
    let files = file_limit();
    let started = std::time::Instant::now();
    let clock = Clock::since(started);
    let mut chance = seeded()?;

    let health = Arc::new(Health::expecting(&[]));
    form::check(&conf.store)?;
    give_reserve(&conf.store);
    let (journal, left) = Journal::open(&conf.store.join("journal"))?;
    say(journal.notes());
    let count = conf.shards;
    let key = shard_key(&conf.store, &mut chance)?;
    let mut lanes = conf.switch.media.lanes(count);
    let terms = Terms {
        media: &conf.switch.media,
        within: conf.restore_within,
        shards: count,
        key,
        now: clock.now().wall,
    };
    let attempt = Try::begin(&conf.store);
    let mut left = if attempt.is_hopeless() {
        Left::given_up(left)
    } else {
        Left::of(left, &terms, &mut lanes)
    };
    let unused = handed.close_but(&conf.switch.listeners);
    unused.iter().for_each(|name| supervisor::keep_no_more(name));
    let mut transport = event_loop::open(
        &Arc::new(conf.switch.clone()),
        count,
        key,
        &left.moved,
        clock.clone(),
        &mut handed,
        &certificates,
    )?;
    transport
        .keepable()
        .for_each(|(name, socket)| supervisor::keep(&name, socket));
    let names = start_names(&health, &transport.doors, &mut chance)?;
    let wanted = Wanted::of(&conf.switch, &conf.dns);
    names.want(wanted);
    let post = Post {
        doors: transport.doors.clone(),
        health: health.clone(),
        lanes: lanes.clone(),
    };
    // People are talking: what they say goes on before anything else is opened.
    let kept = open_archive(&conf)?;
    let (keeper, taps) = start_recorder(&conf, &clock, &post, &kept)?;
    let recorder = keeper.clone().filter(|_| conf.switch.recordings.is_some());
    let media = start_media(&conf, (started, files), &clock, &mut chance, &post, taps)?;
    let threads = media.get().map_or(&[][..], Vec::as_slice);
    room::give_orders(threads, &lanes, left.media.drain(..), &health);
    let media_after = started.elapsed();

    // An hour of them may take seconds to read.
    let bad_prompts = prompts::read(&mut conf);
    let mut unfinished = Vec::new();
    let Disk { store, records } = open_disk(&conf, &clock, &health, &journal, |recorded| {
        room::give_orders(threads, &lanes, left.close(recorded), &health);
        unfinished = left.look_for_recordings(&conf.recordings.dir);
        std::mem::take(&mut left.records)
    })?;
    if let Some(recorder) = &recorder {
        for order in unfinished {
            recorder.order(0, clock.now(), order);
        }
    }
    journal.told(&left.unreadable);
    let asker = asking::start(&conf.ask, &health, &transport.doors)?;
    let (wish, wishes) = channel();
    store.table().set_quarantine(conf.quarantine);
    let shared = Arc::new(Joined {
        table: store.table().clone(),
        reach: Arc::new(Reach::with(gateways::blocked(&conf.store))),
        gateways: Mutex::default(),
        config: Arc::new(ArcSwap::from_pointee(conf.switch.clone())),
        terms: ArcSwap::from(certificates),
        said_of_tls: Mutex::default(),
        conf: Mutex::new(InForce::at_start(
            conf.clone(),
            reading,
            bad_prompts,
            clock.now().wall,
        )),
        front: Mutex::default(),
        records: Arc::downgrade(&records),
        recorder: recorder.as_ref().map(Arc::downgrade),
        log,
        alarms: Alarms::new(health.clone()),
        clock: clock.clone(),
        health,
        metrics: Arc::new(Metrics::counting(conf.metrics_numbers)),
        doors: transport.doors,
        sip: transport.stats,
        bans: transport.bans,
        lockout: Arc::default(),
        names: names.clone(),
        asker,
        hep: ArcSwapOption::default(),
        hep_stats: Arc::default(),
        live: (0..count).map(|_| AtomicUsize::new(0)).collect(),
        registrations: AtomicUsize::new(0),
        beats: (0..count).map(|_| AtomicU64::new(0)).collect(),
        refused_told: AtomicU64::new(0),
        berths: (0..count).map(|_| AtomicUsize::new(0)).collect(),
        takeover: OnceLock::new(),
        phase: Mutex::new(Phase::Serving),
        wish: Mutex::new(wish),
    });

    if let Some(sentence) = too_few_files(
        files,
        conf.switch.media.ranges().len(),
        files_of_a_pair(conf.switch.recordings.is_some()),
        other_files(&conf.switch.listeners),
    ) {
        shared.health.set("file limit", State::Degraded, sentence);
    }
    prompts::prepare(conf.switch.prompts.clone());
    // Before they run: the first thing that they do may be to go on with calls.
    let onlooker = shared.export(conf.hep.as_ref())?;
    for event_loop in &mut transport.loops {
        event_loop.set_onlooker(onlooker.as_ref());
    }
    let traces = Arc::new(Traces::default());
    let board = {
        let shared = shared.clone();
        Arc::new(Switchboard::new(
            count,
            Arc::new(move |shard, command| shared.tell(shard, command)),
        ))
    };
    let (told, tallies) = channel();
    let shards = spawn_shards(
        transport.loops,
        |shard, chance| Room {
            switch: Switch::with_ports(
                shared.config.load_full(),
                store.table().clone(),
                shard,
                lanes.clone(),
                chance,
            )
            .sharing(shared.reach.clone())
            .barring(shared.bans.clone())
            .locking(shared.lockout.clone()),
            index: shard.index,
            shared: shared.clone(),
            media: media.clone(),
            recorder: recorder.clone(),
            lanes: lanes.clone(),
            journal: journal.clone(),
            records: records.clone(),
            traces: traces.clone(),
            board: board.clone(),
            store: store.clone(),
            left: left
                .calls
                .get_mut(shard.index)
                .map(std::mem::take)
                .unwrap_or_default(),
            told: Some(told.clone()),
            entries: Vec::new(),
            gone: Vec::new(),
            cdrs: Vec::new(),
            orders: Vec::new(),
        },
        &mut chance,
    )?;

    drop(told);
    // A shard that dies sends none: the pulse finds out.
    let tallies: Vec<Takeover> = tallies.iter().collect();
    if tallies.len() < count {
        attempt.failed();
    } else {
        attempt.succeeded();
    }
    let kept_by_accounts = || -> KeepingOf {
        let store = store.clone();
        Box::new(move || store.table().recordings_kept())
    };
    kept.archive.keep(kept_by_accounts());
    kept.archive.ask_too(&records);
    if let Some(keeper) = &keeper {
        keeper.keep(kept_by_accounts());
    }
    let (taken, ended) = (0, left.ended);
    let takeover = tallies
        .iter()
        .fold(Takeover { taken, ended }, |all, one| Takeover {
            taken: all.taken + one.taken,
            ended: all.ended + one.ended,
        });
    tell_of(takeover, media_after, started.elapsed());
    let _ = shared.takeover.set(takeover);

    // Nobody is told that we serve before the first calls have their ports, and know where to go.
    names.wait(DNS_PATIENCE);
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
        board: board.clone(),
        cdr_dir: conf.records.dir.clone(),
        archive: kept.archive.clone(),
        readers: Arc::new(Semaphore::new(RECORDINGS_READ_AT_ONCE)),
        link_readers: Arc::new(Semaphore::new(RECORDINGS_READ_BY_LINK)),
        health: shared.health.clone(),
        metrics: shared.metrics.clone(),
        traces,
        started: clock.now().wall,
        reach: shared.reach.clone(),
        bans: shared.bans.clone(),
        asker: shared.asker.clone(),
        owner: owner(&shared, &records, &journal, &store, &conf.store),
        clock: {
            let clock = clock.clone();
            Box::new(move || clock.now())
        },
        answers: Arc::new(Answers::default()),
        takeover,
    });
    let front = serve_http(&http, &conf, desk)?;
    *shared.front.lock().unwrap_or_else(PoisonError::into_inner) = Some(front);
    let running = Running {
        control: conf.api.control.clone(),
        shared,
        wishes,
        shards,
        media,
        board,
        http,
        records,
        recorder: keeper,
        archive: kept.archive,
        journal,
        store,
        names,
    };
    running.watch_signals()?;
    running.look();
    announce(&conf);
    drop(opening);
    supervisor::ready();
    Ok(running)
}

/// On a full disk: makes the room that the journal and the store need to open.
fn give_reserve(store: &Path) {
    match reserve::give(store) {
        Ok(None) => {}
        Ok(Some(bytes)) => tracing::warn!(
            "the disk under {} is full: the {} MiB that were reserved there are given to this start; make room there",
            store.display(),
            bytes >> 20
        ),
        // Whoever finds no room then says so.
        Err(error) => tracing::warn!(
            "the reserve in {} could not be given to this start: {error}",
            store.display()
        ),
    }
}

/// What is on the disk, besides the journal.
struct Disk {
    store: Store,
    records: Arc<cdr_file::Writer>,
}

/// Says what became of the calls of the process before, and how long it took.
fn tell_of(takeover: Takeover, media_after: Duration, all_after: Duration) {
    let Takeover { taken, ended } = takeover;
    if taken + ended > 0 {
        tracing::info!(
            "calls of the server before: {taken} go on, {ended} have ended; RTP after {} ms, SIP after {} ms",
            media_after.as_millis(),
            all_after.as_millis()
        );
    }
}

/// Opens what the server before left: bindings and the record files; and writes the records that it owed, which
/// `owed` says when it is told what the record files have.
fn open_disk(
    conf: &Conf,
    clock: &Clock,
    health: &Health,
    journal: &Journal,
    owed: impl FnOnce(&HashSet<Id>) -> Vec<Cdr>,
) -> anyhow::Result<Disk> {
    let (store, found) = Store::open(&conf.store, &writer::Settings::default(), {
        let clock = clock.clone();
        move || clock.now().wall
    })?;
    // What the store had acknowledged before must count from the first call on, wherever the system's clock is.
    clock.not_before(store.table().newest_stamp());
    match found.disk {
        DiskFound::Rebuilt | DiskFound::Behind => {
            say(&found.sentences);
            // Until the next start: somebody should look at the disk, and at the folder that was put aside.
            health.set("sled", State::Degraded, found.sentences.join("; "));
        }
        DiskFound::Sound | DiskFound::New | DiskFound::Restored => {
            found.sentences.iter().for_each(|s| tracing::info!("{s}"))
        }
    }
    let law = {
        let table = store.table().clone();
        move || table.kept_at_least_days()
    };
    let (records, found) = cdr_file::Writer::start(conf.records.clone(), law, {
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
    write_left_records(owed(&recorded), &recorded, &records, journal);
    Ok(Disk { store, records })
}

/// Starts each shard's loop on a thread of its own.
fn spawn_shards(
    loops: Vec<EventLoop>,
    mut room: impl FnMut(Shard, Chance) -> Room,
    chance: &mut Chance,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let mut threads = Vec::with_capacity(loops.len());
    for event_loop in loops {
        let shard = event_loop.shard();
        let room = room(shard, chance.fork());
        let thread = thread::Builder::new().name(format!("sip-{}", shard.index));
        threads.push(
            thread
                .spawn(move || event_loop.run(room))
                .context("no thread for a SIP shard")?,
        );
    }
    Ok(threads)
}

/// Says where the server can be reached.
fn announce(conf: &Conf) {
    for listener in &conf.switch.listeners {
        tracing::info!(
            "listening for SIP on {} {}",
            listener.transport.via_token(),
            listener.address
        );
    }
    for interface in &conf.switch.media.interfaces {
        tracing::info!(
            "RTP on {}, ports {} to {} ({})",
            interface.address,
            interface.port_first,
            interface.port_last,
            interface.name
        );
    }
    tracing::info!(
        "the API is on {} and {}",
        conf.api.control.display(),
        conf.api
            .listen
            .map_or("no HTTP address".to_owned(), |listen| format!("http://{listen}"))
    );
}

fn owner(
    shared: &Arc<Joined>,
    records: &Arc<cdr_file::Writer>,
    journal: &Journal,
    store: &Store,
    folder: &Path,
) -> Owner {
    let (stop, admit, reload, conf, level, names, phase, calls) = (
        shared.clone(),
        shared.clone(),
        shared.clone(),
        shared.clone(),
        shared.clone(),
        shared.clone(),
        shared.clone(),
        shared.clone(),
    );
    let (put, remove, bad) = (shared.clone(), shared.clone(), shared.clone());
    let (connections, kept) = (shared.sip.clone(), journal.clone());
    let readings = Readings {
        shared: shared.clone(),
        records: Arc::downgrade(records),
        journal: journal.clone(),
        store: store.clone(),
    };
    let keeper = gateways::Keeper::new(folder, shared.reach.clone());
    Owner {
        keep_blocks: Box::new(move || keeper.keep()),
        stop: Box::new(move |how| {
            stop.wish(match how {
                Stop::Drain(patience) => Wish::Stop(patience),
                Stop::HandOver => {
                    no_handover(&kept.health()).map_or(Ok(()), Err)?;
                    Wish::HandOver
                }
            });
            Ok(())
        }),
        admit: Box::new(move |phase| admit.admit(phase)),
        reload: Box::new(move || reload.reload()),
        prompts: PromptFolder {
            upload: Arc::new(Semaphore::new(1)),
            upload_time: PROMPT_UPLOAD_TIME,
            put: Box::new(move |place, sound| put.put_prompt(place, sound)),
            remove: Box::new(move |place| remove.remove_prompt(place)),
            bad: Box::new(move || bad.bad_prompts()),
        },
        conf: Box::new(move || conf.conf_state()),
        log_level: Box::new(move |wanted| {
            if let Some(log) = &level.log {
                log.set_level(wanted);
            }
        }),
        names: Box::new(move || names.names.status()),
        phase: Box::new(move || phase.phase()),
        calls: Box::new(move || calls.calls()),
        connections: Box::new(move || connections.connections.load(Ordering::Relaxed)),
        readings: Box::new(move |page| readings.write(page)),
    }
}

/// Starts the thread that keeps the names of gateways; what it finds waits for the shards.
fn start_names(health: &Arc<Health>, doors: &Arc<[Door]>, chance: &mut Chance) -> anyhow::Result<Names> {
    let (health, doors) = (health.clone(), doors.clone());
    let tell = move |resolved: Arc<Resolved>| {
        for door in doors.iter() {
            say_to(&health, door, [Message::Resolved(resolved.clone())]);
        }
    };
    Names::start(chance.fork(), tell).context("no thread for DNS")
}

/// The control socket, and the HTTP address if the conf names one on loopback.
fn serve_http(http: &tokio::runtime::Runtime, conf: &Conf, desk: Arc<Desk>) -> anyhow::Result<Front> {
    let _inside = http.enter();
    let control = tokio::net::UnixListener::from_std(socket::bind(&conf.api.control)?)?;
    http.spawn(axum::serve(control, native::router(desk.clone())).into_future());
    let mut front = Front::new(http.handle().clone(), &desk);
    let listener = conf.api.listen.map(|address| {
        listen(address).with_context(|| {
            format!("the API can't listen on {address}: choose another api.listen, or stop who has it")
        })
    });
    front.serve(listener.transpose()?)?;
    Ok(front)
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
    records.write_all(missing.into_iter().map(|cdr| cdr.line()));
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

fn say(sentences: &[String]) {
    for sentence in sentences {
        tracing::warn!("{sentence}");
    }
}
