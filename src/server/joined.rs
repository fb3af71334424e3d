//! What every thread of the server has at hand.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::api::native::Phase;
use crate::call::config::Config;
use crate::call::port::{Command, Note};
use crate::config::{self, Conf};
use crate::masking::table::Table;
use crate::telemetry::alarm::Alarms;
use crate::telemetry::health::{Health, State};
use crate::telemetry::log::Log;
use crate::telemetry::metrics::Metrics;
use crate::transport::clock::Clock;
use crate::transport::event_loop::Stats;
use crate::transport::shard::{Door, Message};

/// What the owner of the process can be asked for.
pub(super) enum Wish {
    Stop(Duration),
    Reload,
}

/// What every thread of the server has at hand.
pub(super) struct Joined {
    pub(super) conf: Mutex<Conf>,
    pub(super) conf_path: Option<PathBuf>,
    pub(super) config: Arc<ArcSwap<Config>>,
    pub(super) table: Arc<Table>,
    pub(super) log: Option<Log>,
    pub(super) health: Arc<Health>,
    pub(super) alarms: Alarms,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) doors: Arc<[Door]>,
    pub(super) sip: Arc<Stats>,
    pub(super) live: Vec<AtomicUsize>,
    /// Each shard's berths that are bound and free.
    pub(super) berths: Vec<AtomicUsize>,
    pub(super) phase: Mutex<Phase>,
    pub(super) wish: Mutex<Sender<Wish>>,
}

impl Joined {
    pub(super) fn tell(&self, shard: usize, command: Command) {
        self.say(shard, [Message::Order(command)]);
    }

    pub(super) fn tell_all(&self, command: Command) {
        (0..self.doors.len()).for_each(|shard| self.tell(shard, command));
    }

    /// Says something to a shard. A full queue means a shard that hangs: somebody should hear of it.
    pub(super) fn say(&self, shard: usize, messages: impl IntoIterator<Item = Message>) {
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
    pub(super) fn has_berths(&self) -> bool {
        self.berths.iter().all(|ready| ready.load(Ordering::Relaxed) > 0)
    }

    pub(super) fn calls(&self) -> usize {
        self.live.iter().map(|live| live.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn note(&self, note: Note, from: Option<SocketAddr>) {
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

    pub(super) fn set_phase(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    pub(super) fn wish(&self, wish: Wish) {
        // When nobody listens any more, the server is stopping already.
        let _ = self
            .wish
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(wish);
    }

    /// Reads the conf again and logs what came of it.
    pub(super) fn reload_and_say(&self) {
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
    pub(super) fn reload(&self) -> Result<Vec<String>, String> {
        let path = self
            .conf_path
            .as_deref()
            .ok_or("the server runs on its built-in conf: there is no file to read")?;
        let new = config::load(path).map_err(|faults| faults.to_string())?;
        let mut conf = self.conf.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, waiting) = conf.reload(new);
        let config = Arc::new(taken.switch.clone());
        self.config.store(config.clone());
        self.table.set_quarantine(taken.quarantine);
        if let Some(log) = &self.log {
            log.set_level(taken.log.level);
        }
        *conf = taken;
        (0..self.doors.len()).for_each(|shard| self.say(shard, [Message::Config(config.clone())]));
        tracing::info!("the conf was read again");
        Ok(waiting.into_iter().map(str::to_owned).collect())
    }
}
