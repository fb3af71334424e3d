//! The only place where the rooms are joined: it starts them, passes between them, and stops them in order.

mod asking;
mod certificates;
mod export;
mod gateways;
mod health;
mod joined;
mod media;
mod prompts;
mod readings;
mod reload;
mod room;
mod start;
mod supervisor;
mod takeover;
mod tries;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;

use crate::api::native::Phase;
use crate::api::switchboard::Switchboard;
use crate::base::limits::REGISTER_LEAVE;
use crate::call::port::{Command, Records};
use crate::config::{Conf, Reading};
use crate::media::thread::MediaThread;
use crate::names::keeper::Names;
use crate::records::archive::Archive;
use crate::records::cdr_file;
use crate::records::recorder::Recorder;
use crate::store::journal::Journal;
use crate::store::writer::Store;
use crate::telemetry::health::State;
use crate::telemetry::log::{self};
use crate::transport::shard::Message;

pub use start::start;

use health::{journal_trouble, low_pools, set_back, trouble};
use joined::{Joined, Wish};
use supervisor::Watchdog;

/// How long the ends of calls may take once they are told to end: BYEs answered, counts in, records out.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How often a server that stops looks whether its calls are over.
const GLANCE: Duration = Duration::from_millis(50);
/// How often the count of calls is told while a server stops.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// How often the disk's state and the gauges are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Starts the server and keeps it up until it is told to stop.
///
/// # Errors
/// What keeps it from starting, in a sentence with the cure.
pub fn run(conf: Conf, reading: Option<Reading>) -> anyhow::Result<Ended> {
    let outcome = start(conf, reading).and_then(Running::wait);
    log::flush();
    outcome
}

/// How a server has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Nothing is left of it.
    Stopped,
    /// The calls in progress are in the journal, for the server that comes next. The process is to end now: its media
    /// threads run until then.
    HandedOver,
}

/// What the first signal of a kind does to calls in progress.
enum First {
    /// They have as long as the conf says.
    Drains,
    /// They are ended.
    Ends,
}

/// A running server.
pub struct Running {
    shared: Arc<Joined>,
    wishes: Receiver<Wish>,
    shards: Vec<JoinHandle<()>>,
    media: Arc<OnceLock<Vec<MediaThread>>>,
    board: Arc<Switchboard>,
    http: tokio::runtime::Runtime,
    records: Arc<cdr_file::Writer>,
    /// Who records calls, or keeps what was recorded once.
    recorder: Option<Arc<Recorder>>,
    archive: Arc<Archive>,
    journal: Journal,
    store: Store,
    names: Names,
    control: PathBuf,
}

/// What a server does that is done waiting for its calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Close,
    HandOver,
}

/// What is left of a server when its records and its journal are written.
struct Written {
    /// Records that could not be written.
    lost: usize,
    /// Entries that the journal could not take.
    unkept: usize,
    media: Arc<OnceLock<Vec<MediaThread>>>,
    store: Store,
}

impl Running {
    /// Waits until the server is told to stop, and stops it.
    ///
    /// # Errors
    /// Records that could not be written, or a thread that has ended by a fault. The process is to end then, at
    /// once: whoever supervises it starts it anew, and the journal has the calls.
    pub fn wait(self) -> anyhow::Result<Ended> {
        let mut disk = Records::Kept;
        let mut watchdog = Watchdog::of_this_process();
        loop {
            if let Err(dead) = self.pulse() {
                // What the others still do is not waited for.
                self.http.shutdown_background();
                return Err(dead);
            }
            match self.wishes.recv_timeout(LOOK_EVERY) {
                Ok(Wish::Stop(patience)) => return self.stop(patience),
                Ok(Wish::HandOver) => return self.hand_over(),
                Ok(Wish::Reload) => {
                    self.shared.reload_and_say();
                }
                Err(_) => {
                    let now = self.look();
                    if now != disk {
                        disk = now;
                        self.shared.tell_all(Command::Records(now));
                    }
                    self.mind(&mut watchdog, disk);
                }
            }
        }
    }

    /// Takes no new call, lets those in progress end for `patience`, ends the rest, and stops every room,
    /// records last.
    ///
    /// # Errors
    /// Records that could not be written.
    pub fn stop(self, patience: Duration) -> anyhow::Result<Ended> {
        // It is the last phase: nothing refuses it.
        let _ = self.shared.admit(Phase::Stopping);
        self.say_stopping(patience);
        if self.until_idle(patience)? == Next::HandOver {
            return self.hand_over();
        }
        if self.shared.calls() > 0 {
            tracing::warn!(
                "calls that are ended now, because their time is over: {}",
                self.shared.calls()
            );
            self.shared.tell_all(Command::EndAll);
            self.until_idle(LAST_WORDS)?;
        }
        self.until_unregistered();
        supervisor::closing();
        let written = self.close();
        let (lost, unkept) = (written.lost, written.unkept);
        drop(written.media);
        written.store.close();
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
        Ok(Ended::Stopped)
    }

    /// Takes nothing more and ends no call: what the server that comes next needs of them goes to the journal. People
    /// hear each other until the process ends.
    ///
    /// # Errors
    /// The journal could not take what it must have.
    fn hand_over(self) -> anyhow::Result<Ended> {
        let calls = self.shared.calls();
        tracing::info!("handing over: calls in progress: {calls}");
        supervisor::handing_over(calls);
        // The listing has the media counted; what comes too late for it is missing in records, no more.
        let _ = self.http.block_on(self.board.ask(Command::Calls));
        self.shared.tell_all(Command::KeepAll);
        let written = self.close();
        let (lost, unkept) = (written.lost, written.unkept);
        // What the store acknowledged is on the medium: it needs no last words, and closing it takes time.
        std::mem::forget((written.media, written.store));
        if unkept > 0 {
            anyhow::bail!(
                "the journal could not take {unkept} entries: calls that the next server should go on with are lost"
            );
        }
        tracing::info!("handed over: calls {calls}, records that the next start writes {lost}");
        Ok(Ended::HandedOver)
    }

    /// Ends the shards and the API, and writes what they left.
    fn close(self) -> Written {
        (0..self.shared.doors.len()).for_each(|shard| self.shared.say(shard, [Message::Stop]));
        for shard in self.shards {
            // Its panic has been logged where it happened.
            let _ = shard.join();
        }
        // Everything that was ordered of it is in its mail.
        if self.recorder.is_some_and(|recorder| !recorder.stop(LAST_WORDS)) {
            tracing::warn!(
                "recordings are not all written yet: the next start goes on with them, with the gap marked"
            );
        }
        self.shared.export_no_more();
        self.http.shutdown_timeout(Duration::from_millis(500));
        let lost = match Arc::try_unwrap(self.records) {
            Ok(records) => records.stop(LAST_WORDS),
            Err(records) => records.waiting(),
        };
        self.journal.close();
        // A socket that nobody listens on would only puzzle.
        let _ = std::fs::remove_file(&self.control);
        Written {
            lost,
            unkept: self.journal.health().waiting,
            media: self.media,
            store: self.store,
        }
    }

    /// Waits until no call is left, at most `patience`. A stop that is wished for meanwhile sets the time
    /// anew: the last wish counts.
    fn until_idle(&self, patience: Duration) -> anyhow::Result<Next> {
        let mut deadline = std::time::Instant::now() + patience;
        let mut watchdog = Watchdog::of_this_process();
        let mut said = std::time::Instant::now();
        while self.shared.calls() > 0 && std::time::Instant::now() < deadline {
            match self.wishes.recv_timeout(GLANCE) {
                Ok(Wish::Stop(patience)) => {
                    self.say_stopping(patience);
                    deadline = std::time::Instant::now() + patience;
                }
                Ok(Wish::HandOver) => return Ok(Next::HandOver),
                Ok(Wish::Reload) => self.shared.reload_and_say(),
                Err(_) => {
                    let disk = self.look();
                    self.pulse()?;
                    self.mind(&mut watchdog, disk);
                }
            }
            if said.elapsed() >= SAY_EVERY {
                said = std::time::Instant::now();
                supervisor::stopping(self.shared.calls());
            }
        }
        Ok(Next::Close)
    }

    /// Waits until gateways have taken back what they know of us, so that no call is sent to where nobody is.
    fn until_unregistered(&self) {
        let since = std::time::Instant::now();
        while self.shared.registrations.load(Ordering::Relaxed) > 0 && since.elapsed() < REGISTER_LEAVE {
            std::thread::sleep(GLANCE);
        }
    }

    /// Feeds the watchdog when it is time, and gives every shard something to come to its mail for.
    fn mind(&self, watchdog: &mut Watchdog, disk: Records) {
        if watchdog.is_due() {
            let beats = self.shared.beats.iter().map(|beat| beat.load(Ordering::Relaxed));
            watchdog.feed(beats.collect());
            self.shared.tell_all(Command::Records(disk));
        }
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
        } else if !self.names.is_alive() {
            "the thread for DNS"
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
        self.shared.tell_refused();
        self.shared.tell_gateways();
        self.shared.look_at_tls();
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
        set("pools", State::Degraded, low_pools(&self.store));
        let store = self.store.health();
        set("disk", State::Degraded, store.reserve.clone());
        set("store", State::Degraded, trouble(store));
        set("dns", State::Degraded, health::unresolved(&self.names));
        set(
            "load",
            State::Degraded,
            health::pressed(&self.shared.config.load()),
        );
        if let Some(recorder) = &self.recorder {
            // Calls go on.
            set("recordings", State::Degraded, recorder.health());
        }
        set("audit log", State::Degraded, self.archive.audit().health());
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
            (SignalKind::terminate(), First::Drains),
            // Ctrl-C: somebody waits at a terminal.
            (SignalKind::interrupt(), First::Ends),
        ];
        for (kind, mut first) in signals {
            let mut signal = signal(kind).context("signals can't be watched")?;
            let shared = self.shared.clone();
            self.http.spawn(async move {
                while signal.recv().await.is_some() {
                    let patience = match first {
                        First::Drains => shared.drain_time(),
                        First::Ends => Duration::ZERO,
                    };
                    shared.wish(Wish::Stop(patience));
                    // Whoever sends it again doesn't want to wait.
                    first = First::Ends;
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let interface = &mut conf.switch.media.interfaces[0];
        interface.port_last = interface.port_first + 63;
        let running = start(conf, None).unwrap();
        assert!(running.pulse().is_ok());
        running.shared.say(0, [Message::Stop]);
        let error = running.wait().unwrap_err().to_string();
        assert!(error.starts_with("a SIP thread has ended"), "{error}");
    }
}
