//! Starting what moves sound, and what records it.

use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use anyhow::Context;

use crate::base::chance::Chance;
use crate::base::limits::{RECORDING_RING_BYTES, TAP_RING_BYTES};
use crate::call::media::{Lanes, Report};
use crate::call::recording;
use crate::config::Conf;
use crate::media::thread::{MediaThread, Settings};
use crate::records::archive::{self, Archive};
use crate::records::audit::Audit;
use crate::records::recorder::{self, Recorder, Sealing};
use crate::rtp::tap::{self, Producer};
use crate::telemetry::health::Health;
use crate::transport::clock::Clock;
use crate::transport::shard::{Door, Message};

use super::health::{files_of_a_pair, other_files};
use super::joined::say_to;

/// The file of the store's folder by whose secret links to recordings are signed.
const LINK_SECRET: &str = "recording-links.key";
/// How soon a folder that can't be looked through is tried again.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Where the media threads' reports go: what comes before the shards run waits for them.
#[derive(Clone)]
pub(super) struct Post {
    pub(super) doors: Arc<[Door]>,
    pub(super) health: Arc<Health>,
    pub(super) lanes: Lanes,
}

impl Post {
    /// Brings each report to the shard that has its port.
    fn bring(&self, reports: &[Report]) {
        for (shard, door) in self.doors.iter().enumerate() {
            let of_shard = reports
                .iter()
                .filter(|report| self.lanes.shard_of(report.port()) == shard);
            say_to(&self.health, door, of_shard.map(|report| Message::Media(*report)));
        }
    }

    /// Brings a report of a recording to the shard that has its call.
    fn bring_of_recording(&self, shard: usize, report: recording::Report) -> bool {
        let door = self.doors.get(shard);
        door.is_none_or(|door| say_to(&self.health, door, [Message::Recorded(report)]))
    }
}

/// Starts the media threads. Nothing but the doors of the shards is needed for them: not the store, nor the shards
/// themselves. What their taps hear goes into `taps`; there are none where nothing is recorded.
pub(super) fn start_media(
    conf: &Conf,
    (started, files): (std::time::Instant, usize),
    clock: &Clock,
    chance: &mut Chance,
    post: &Post,
    taps: Vec<Producer>,
) -> anyhow::Result<Arc<OnceLock<Vec<MediaThread>>>> {
    let media = &conf.switch.media;
    for interface in &media.interfaces {
        std::net::UdpSocket::bind((interface.address, 0)).with_context(|| {
            format!(
                "the media address {} ({}) can't be used: is it an address of this machine?",
                interface.address, interface.name
            )
        })?;
    }
    let for_media = files.saturating_sub(other_files(&conf.switch.listeners));
    let of_a_pair = files_of_a_pair(conf.switch.recordings.is_some());
    let settings = Settings {
        addresses: media.interfaces.iter().map(|i| i.address).collect(),
        dscp: media.dscp,
        ranges: media.ranges(),
        pairs_max: for_media / of_a_pair / media.threads.max(1),
        started,
        wall_at_start: clock.now().wall_of(crate::base::time::Instant::default()),
    };
    let mut taps = taps.into_iter();
    let threads = (0..media.threads)
        .map(|index| {
            let post = post.clone();
            let report = Box::new(move |reports: &[Report]| post.bring(reports));
            MediaThread::start(index, settings.clone(), chance.fork(), report, taps.next())
        })
        .collect::<Result<Vec<_>, _>>()
        .context("no thread for media")?;
    let cell = OnceLock::new();
    let _ = cell.set(threads);
    Ok(Arc::new(cell))
}

/// What is known of recordings, whether the conf has any more made or not.
pub(super) struct Kept {
    pub(super) archive: Arc<Archive>,
    sealing: Sealing,
}

/// Opens the archive, in which nothing is known before its folder has been looked through: that is begun, and nobody waits for it.
pub(super) fn open_archive(conf: &Conf) -> anyhow::Result<Kept> {
    let config = conf.recordings.clone();
    let sealing = config.sealing();
    // No reason to leave those alone who talk, or whose recordings have their key.
    for fault in sealing.faults() {
        tracing::error!("{fault}");
    }
    let audit = Audit::unopened(&config.audit_dir, conf.switch.node.as_str()).keeping(config.audit_keep_days);
    let archive = Arc::new(Archive::new(archive::Settings {
        keys: sealing.keys().clone(),
        cdr_dir: conf.records.dir.clone(),
        link_secret: conf.store.join(LINK_SECRET),
        audit: Arc::new(audit),
        config,
    }));
    let looked_at = Arc::downgrade(&archive);
    let are_recorded = conf.switch.recordings.is_some();
    thread::Builder::new()
        .name("rec-index".to_owned())
        .spawn(move || {
            // Calls go on without it, and nobody who talks waits for it: its health says what is wrong.
            if let Some(archive) = looked_at.upgrade().filter(|_| are_recorded)
                && let Err(error) = archive.audit().probe()
            {
                tracing::error!("{error}: no recording is handed out or deleted until that is mended");
            }
            while let Some(archive) = looked_at.upgrade() {
                match archive.look_through(|_, _| ()) {
                    Ok(()) => return,
                    Err(error) => tracing::warn!("recordings can't be looked through: {error}"),
                }
                drop(archive);
                thread::sleep(LOOK_AGAIN);
            }
        })
        .context("no thread for recordings")?;
    Ok(Kept { archive, sealing })
}

/// Starts the recorder, if the conf has calls recorded: it, and where each media thread's taps put what they hear. Where calls
/// were recorded once, what is left of that is still kept as long as it has to be, and no longer.
pub(super) fn start_recorder(
    conf: &Conf,
    clock: &Clock,
    post: &Post,
    kept: &Kept,
) -> anyhow::Result<(Option<Arc<Recorder>>, Vec<Producer>)> {
    let are_recorded = conf.switch.recordings.is_some();
    if !are_recorded && !conf.recordings.dir.is_dir() {
        return Ok((None, Vec::new()));
    }
    let (clock, post) = (clock.clone(), post.clone());
    let settings = recorder::Settings {
        audit: kept.archive.audit().clone(),
        sealing: kept.sealing.clone(),
        node: conf.switch.node.as_str().into(),
        clock: Box::new(move || clock.now()),
        system: Box::new(Clock::of_system),
        tell: Box::new(move |shard, report| post.bring_of_recording(shard, report)),
        archive: kept.archive.clone(),
        config: conf.recordings.clone(),
    };
    if !are_recorded {
        let keeper = Recorder::keep_only(settings).context("no thread for recordings")?;
        return Ok((Some(Arc::new(keeper)), Vec::new()));
    }
    let threads = conf.switch.media.threads;
    let bytes = (TAP_RING_BYTES / threads.max(1)).max(RECORDING_RING_BYTES);
    let rings = (0..threads).map(|_| tap::ring(bytes));
    let (producers, consumers) = rings.unzip();
    tracing::info!("calls are recorded in {}", settings.config.dir.display());
    let recorder = Recorder::start(settings, consumers).context("no thread for recordings")?;
    Ok((Some(Arc::new(recorder)), producers))
}
