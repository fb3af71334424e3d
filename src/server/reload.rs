//! Reading the conf again while the server runs, and what is in force.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::api::native::{self, ConfState, Desk, OnDisk, Reloaded};
use crate::base::limits::DNS_PATIENCE;
use crate::base::time::Wall;
use crate::config::{Conf, Faults, Reading};
use crate::media::prompts::{BadFile, difference};
use crate::names::Wanted;
use crate::transport::shard::Message;
use crate::transport::tls::{Shown, Terms};

use super::certificates;
use super::joined::Joined;
use super::prompts;
use super::supervisor;

/// The conf in force.
pub(super) struct InForce {
    pub(super) conf: Conf,
    /// `None` for the built-in one.
    files: Option<Files>,
    /// The prompts that can't be heard.
    pub(super) bad_prompts: Vec<BadFile>,
}

/// The files of the conf.
struct Files {
    /// As they stood on the disk when they were read last.
    read: Reading,
    /// With the old values of the keys that wait.
    in_force: Reading,
    read_at: Wall,
    by: &'static str,
    waiting: Vec<String>,
}

impl InForce {
    pub(super) fn at_start(
        conf: Conf,
        reading: Option<Reading>,
        bad_prompts: Vec<BadFile>,
        now: Wall,
    ) -> Self {
        let files = reading.map(|reading| Files {
            in_force: reading.clone(),
            read: reading,
            read_at: now,
            by: "start",
            waiting: Vec::new(),
        });
        Self {
            conf,
            files,
            bad_prompts,
        }
    }
}

/// The HTTP address of the API, which a reload may move.
pub(super) struct Front {
    runtime: tokio::runtime::Handle,
    desk: Weak<Desk>,
    /// Dropped, it ends the listener that is open now.
    open: Option<oneshot::Sender<()>>,
}

impl Front {
    pub(super) fn new(runtime: tokio::runtime::Handle, desk: &Arc<Desk>) -> Self {
        Self {
            runtime,
            desk: Arc::downgrade(desk),
            open: None,
        }
    }

    /// Serves on this socket from now on, and no more on the one before. Requests under way are answered.
    pub(super) fn serve(&mut self, listener: Option<std::net::TcpListener>) -> std::io::Result<()> {
        let _inside = self.runtime.enter();
        self.open = match (listener, self.desk.upgrade()) {
            (Some(listener), Some(desk)) => {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let (end, ended) = oneshot::channel::<()>();
                let service = axum::serve(listener, native::router_on_loopback(desk));
                self.runtime.spawn(
                    service
                        .with_graceful_shutdown(async move { drop(ended.await) })
                        .into_future(),
                );
                Some(end)
            }
            (None, _) | (_, None) => None,
        };
        Ok(())
    }
}

/// Takes the API's address.
pub(super) fn listen(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Joined {
    /// Reads the conf again and logs what came of it.
    pub(super) fn reload_and_say(&self) {
        supervisor::reloading();
        if let Err(faults) = self.reload() {
            tracing::error!("the conf is wrong, the old one stays in force");
            faults.iter().for_each(|fault| tracing::error!("{fault}"));
        }
        supervisor::ready();
    }

    /// Reads the conf again: what was taken and what waits, or every fault; then the old conf stays, whole.
    pub(super) fn reload(&self) -> Result<Reloaded, Vec<String>> {
        let mut in_force = self.conf.lock().unwrap_or_else(PoisonError::into_inner);
        let built_in = "the server runs on its built-in conf: there is no file to read";
        let Some(files) = &in_force.files else {
            return Err(vec![built_in.to_owned()]);
        };
        let new = Reading::of(files.read.path()).map_err(lines)?;
        let mut reload = files.in_force.reload(&new).map_err(lines)?;
        // What may fail comes first.
        let terms = new.certificates(&reload.conf).map_err(lines)?;
        let moves = reload.conf.api.listen != in_force.conf.api.listen;
        let listener = match reload.conf.api.listen.filter(|_| moves) {
            None => None,
            Some(address) => Some(listen(address).map_err(|error| {
                let cure = format!(
                    "the API can't listen on {address} ({error}): choose another, or stop who has it"
                );
                vec![new.fault("api.listen", cure).to_string()]
            })?),
        };
        if moves {
            let mut front = self.front.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(front) = front.as_mut() {
                front.serve(listener).map_err(|error| {
                    vec![
                        new.fault("api.listen", format!("the API can't listen there: {error}"))
                            .to_string(),
                    ]
                })?;
            }
        }
        let mut taken = reload.taken;
        taken.extend(self.new_certificates(&terms));
        // The key may say what it said, and its file something else.
        if reload.conf.ask.ca != in_force.conf.ask.ca && !taken.iter().any(|key| key == "ask.ca") {
            taken.push("ask.ca (its file was renewed)".to_owned());
        }
        let bad_prompts = prompts::read(&mut reload.conf);
        Arc::make_mut(&mut reload.conf.switch.prompts).share(&in_force.conf.switch.prompts);
        reload.conf.switch.prompts.prepare();
        taken.extend(difference(
            &in_force.conf.switch.prompts,
            &reload.conf.switch.prompts,
        ));
        self.take(&reload.conf, &in_force.conf, terms);
        for what in &taken {
            tracing::info!("taken from the conf: {what}");
        }
        for key in &reload.waiting {
            tracing::warn!("{key} waits for a restart");
        }
        tracing::info!("the conf was read again");
        let told = bad_prompts.iter().map(ToString::to_string).collect();
        *in_force = InForce {
            conf: reload.conf,
            bad_prompts,
            files: Some(Files {
                read: new,
                in_force: reload.in_force,
                read_at: self.clock.now().wall,
                by: "reload",
                waiting: reload.waiting.clone(),
            }),
        };
        Ok(Reloaded {
            bad_prompts: told,
            taken,
            waiting: reload.waiting,
        })
    }

    /// The certificates that are others than those in force, in words.
    fn new_certificates(&self, terms: &Terms) -> Vec<String> {
        let before = self.terms.load();
        let is_new = |shown: &&Shown| !before.shown().contains(shown);
        terms
            .shown()
            .iter()
            .filter(is_new)
            .map(certificates::told)
            .collect()
    }

    /// Lets every room have its part of a conf that is in force from now on.
    fn take(&self, conf: &Conf, before: &Conf, terms: Terms) {
        // Calls don't wait for the names that are new, and those that go are needed until the conf has gone.
        let wanted = Wanted::of(&conf.switch, &conf.dns);
        let kept = wanted.names.clone();
        if !wanted.names.is_empty() || before.dns != conf.dns {
            self.names.want(wanted);
            self.names.wait(DNS_PATIENCE);
        }
        let terms = Arc::new(terms);
        self.terms.store(terms.clone());
        self.sip.troubles.forget();
        let mut config = conf.switch.clone();
        config.go_on_from(&self.config.load());
        let config = Arc::new(config);
        self.config.store(config.clone());
        self.table.set_quarantine(conf.quarantine);
        self.metrics.count_numbers(conf.metrics_numbers);
        if let Some(log) = &self.log {
            log.set(conf.log);
        }
        if let Some(records) = self.records.upgrade() {
            records.set(conf.records.rotate, conf.records.keep_days);
        }
        (0..self.doors.len()).for_each(|shard| {
            self.say(
                shard,
                [Message::Tls(terms.clone()), Message::Config(config.clone())],
            );
        });
        if conf.ask != before.ask {
            self.ask_anew(&conf.ask);
        }
        if conf.hep != before.hep {
            self.export_anew(conf.hep.as_ref());
        }
        self.names.keep_only(kept);
    }

    /// How long calls in progress may go on after SIGTERM.
    pub(super) fn drain_time(&self) -> Duration {
        self.conf
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .conf
            .drain
    }

    /// When the conf in force was read (the built-in one never was), and how many changed keys wait.
    pub(super) fn conf_read(&self) -> (Option<Wall>, usize) {
        let in_force = self.conf.lock().unwrap_or_else(PoisonError::into_inner);
        let files = in_force.files.as_ref();
        (files.map(|f| f.read_at), files.map_or(0, |f| f.waiting.len()))
    }

    /// What is in force, since when, and how the files on the disk are now.
    pub(super) fn conf_state(&self) -> Option<ConfState> {
        let in_force = self.conf.lock().unwrap_or_else(PoisonError::into_inner);
        let files = in_force.files.as_ref()?;
        let on_disk = match Reading::of(files.read.path()) {
            Ok(reading) if reading == files.read => OnDisk::Same,
            Ok(reading) => match reading.conf() {
                Ok(_) => OnDisk::Changed,
                Err(faults) => OnDisk::Faulty(lines(faults)),
            },
            Err(faults) => OnDisk::Faulty(lines(faults)),
        };
        Some(ConfState {
            path: files.read.path().to_owned(),
            read_at: files.read_at,
            by: files.by,
            waiting: files.waiting.clone(),
            on_disk,
        })
    }
}

fn lines(faults: Faults) -> Vec<String> {
    faults.0.iter().map(ToString::to_string).collect()
}
