//! What every thread of the server has at hand.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::api::native::{Phase, Takeover};
use crate::call::bans::Bans;
use crate::call::config::Config;
use crate::call::ivr::lockout::Lockout;
use crate::call::port::{Command, Note, Registration};
use crate::call::reach::Reach;
use crate::customer::asker::Asker;
use crate::masking::table::Table;
use crate::names::keeper::Names;
use crate::records::cdr_file;
use crate::records::recorder::Recorder;
use crate::telemetry::alarm::Alarms;
use crate::telemetry::health::{Health, State};
use crate::telemetry::hep;
use crate::telemetry::log::Log;
use crate::telemetry::metrics::Metrics;
use crate::transport::clock::Clock;
use crate::transport::event_loop::Stats;
use crate::transport::shard::{Door, Message};
use crate::transport::tls::Terms;

use super::gateways::Told;
use super::reload::{Front, InForce};
use super::supervisor;

/// What the owner of the process can be asked for.
pub(super) enum Wish {
    Stop(Duration),
    /// End at once, and leave the calls to the process that comes next.
    HandOver,
    Reload,
}

/// What every thread of the server has at hand.
pub(super) struct Joined {
    pub(super) conf: Mutex<InForce>,
    /// The API's HTTP address, once it is served.
    pub(super) front: Mutex<Option<Front>>,
    pub(super) records: Weak<cdr_file::Writer>,
    /// Who records calls, if the conf has any recorded.
    pub(super) recorder: Option<Weak<Recorder>>,
    pub(super) config: Arc<ArcSwap<Config>>,
    /// The certificates in force.
    pub(super) terms: ArcSwap<Terms>,
    /// What was said of them and of gateways over TLS, by the names of the parts.
    pub(super) said_of_tls: Mutex<Vec<String>>,
    pub(super) table: Arc<Table>,
    /// Which gateways can be used.
    pub(super) reach: Arc<Reach>,
    /// Who is kept out.
    pub(super) bans: Arc<Bans>,
    /// Who guesses extensions.
    pub(super) lockout: Arc<Lockout>,
    /// What was told of that.
    pub(super) gateways: Mutex<Told>,
    pub(super) log: Option<Log>,
    pub(super) health: Arc<Health>,
    pub(super) alarms: Alarms,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) doors: Arc<[Door]>,
    pub(super) sip: Arc<Stats>,
    /// The names of gateways.
    pub(super) names: Names,
    /// Who asks customers' servers.
    pub(super) asker: Asker,
    /// Who copies messages to a capture server, if the conf names one.
    pub(super) hep: ArcSwapOption<hep::Exporter>,
    pub(super) hep_stats: Arc<hep::Stats>,
    pub(super) live: Vec<AtomicUsize>,
    /// How often each shard came to its mail.
    pub(super) beats: Vec<AtomicU64>,
    /// Registrations that gateways know of.
    pub(super) registrations: AtomicUsize,
    /// Refused connections with trunks that were told.
    pub(super) refused_told: AtomicU64,
    /// Each shard's berths that are bound and free.
    pub(super) berths: Vec<AtomicUsize>,
    /// What became of the calls of the process before, once it is known.
    pub(super) takeover: OnceLock<Takeover>,
    pub(super) phase: Mutex<Phase>,
    pub(super) wish: Mutex<Sender<Wish>>,
}

/// Says something to the shard behind this door. A full queue means a shard that hangs: somebody should hear of it.
pub(super) fn say_to(health: &Health, door: &Door, messages: impl IntoIterator<Item = Message>) -> bool {
    let is_told = door.tell_all(messages).is_ok();
    if !is_told {
        health.set(
            "sip",
            State::Failing,
            "a SIP shard takes no messages: restart the server",
        );
    }
    is_told
}

impl Joined {
    pub(super) fn tell(&self, shard: usize, command: Command) {
        self.say(shard, [Message::Order(command)]);
    }

    pub(super) fn tell_all(&self, command: Command) {
        (0..self.doors.len()).for_each(|shard| self.tell(shard, command));
    }

    /// Says something to a shard.
    pub(super) fn say(&self, shard: usize, messages: impl IntoIterator<Item = Message>) {
        if let Some(door) = self.doors.get(shard) {
            say_to(&self.health, door, messages);
        }
    }

    /// Whether every shard could take a call at this instant.
    pub(super) fn has_berths(&self) -> bool {
        self.berths.iter().all(|ready| ready.load(Ordering::Relaxed) > 0)
    }

    pub(super) fn calls(&self) -> usize {
        self.live.iter().map(|live| live.load(Ordering::Relaxed)).sum()
    }

    /// Tells of the connections with trunks that were refused since the last time. Each is an alarm; beyond a
    /// thousand they count as one.
    pub(super) fn tell_refused(&self) {
        let refused = self.sip.refused_trunk.load(Ordering::Relaxed);
        let told = self.refused_told.swap(refused, Ordering::Relaxed);
        for _ in 0..refused.saturating_sub(told).min(1_000) {
            self.note(Note::ConnectionsFull, None);
        }
    }

    /// Takes news of a registration in.
    pub(super) fn registered(&self, news: &Registration) {
        self.metrics.registrations.take(news, &self.health);
    }

    pub(super) fn note(&self, note: Note, from: Option<SocketAddr>) {
        self.metrics.note(note);
        if note.is_alarm() {
            self.alarms.note(note, self.clock.now().wall);
        } else if note == Note::Emergency {
            tracing::warn!("somebody calls an emergency number");
        } else {
            tracing::debug!(?from, "{note:?}");
        }
        if let Some(line) = from.and_then(|from| self.alarms.hint(note, from, self.clock.now().wall)) {
            tracing::info!("{line}");
        }
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes new calls, or refuses them. A server that stops goes on to stop.
    ///
    /// # Errors
    /// The phase that it is in, if that is its last.
    pub(super) fn admit(&self, wanted: Phase) -> Result<(), Phase> {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        if *phase == Phase::Stopping && wanted != Phase::Stopping {
            return Err(Phase::Stopping);
        }
        *phase = wanted;
        match wanted {
            Phase::Serving => {
                self.tell_all(Command::Admit);
                supervisor::ready();
            }
            Phase::Draining => {
                self.tell_all(Command::Drain);
                supervisor::draining();
            }
            Phase::Stopping => {
                self.tell_all(Command::Drain);
                supervisor::stopping(self.calls());
            }
        }
        tracing::info!("the server is {} now", wanted.name());
        Ok(())
    }

    pub(super) fn wish(&self, wish: Wish) {
        // When nobody listens any more, the server is stopping already.
        let _ = self
            .wish
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(wish);
    }
}
