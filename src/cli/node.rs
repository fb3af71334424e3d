//! `umbra status`, `stop`, `reload`, `log`: the running server as a whole.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;
use serde_json::{Value, json};

use super::client::{Control, Trouble};
use super::screen::{self, Form, text};
use super::table::Table;
use super::when;

/// How often `stop` looks whether the server is gone.
const GLANCE: Duration = Duration::from_millis(100);
/// The same where the next server is started by whoever waits for this: people are talking.
const QUICK_GLANCE: Duration = Duration::from_millis(5);
/// How long a server may take to stop once its calls are over.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// What `status` takes.
#[derive(Args, Debug)]
pub struct Status {
    #[command(flatten)]
    form: Form,
}

impl Status {
    /// Prints how the server is, a fact a line.
    ///
    /// # Errors
    /// What the server says.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let status = control.get("/v1/status", &[])?;
        if self.form.json {
            screen::write_json(out, &status)?;
            return Ok(());
        }
        for name in [
            "node",
            "version",
            "state",
            "phase",
            "started_at",
            "uptime_s",
            "calls",
            "connections",
            "bindings",
            "numbers",
        ] {
            let shown = match name {
                "uptime_s" => {
                    let seconds = status.get(name).and_then(Value::as_u64).unwrap_or_default();
                    when::show_duration(Duration::from_secs(seconds))
                }
                "started_at" => screen::time(&status, name),
                _ => text(&status, name),
            };
            writeln!(
                out,
                "{:<13}{shown}",
                name.trim_end_matches("_at").trim_end_matches("_s")
            )?;
        }
        write_takeover(out, &status)?;
        if let Some(conf) = status.get("conf").filter(|conf| conf.is_object()) {
            write_conf(out, conf)?;
        }
        let mut table = Table::new(&["PART", "STATE", "WHY"]);
        for part in status
            .get("parts")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            table.row([text(part, "name"), text(part, "state"), text(part, "sentence")]);
        }
        write!(out, "\n{table}")?;
        Ok(())
    }
}

/// Writes what became of the calls of the server before, if it left any.
fn write_takeover(out: &mut dyn Write, status: &Value) -> anyhow::Result<()> {
    let count = |of: &str| status["calls_before"][of].as_u64().unwrap_or_default();
    let (taken, ended) = (count("taken"), count("ended"));
    if taken + ended > 0 {
        writeln!(
            out,
            "{:<13}{taken} of the server before went on at the start, {ended} ended",
            "taken over"
        )?;
    }
    Ok(())
}

/// Writes what conf is in force, and how its files are now.
fn write_conf(out: &mut dyn Write, conf: &Value) -> anyhow::Result<()> {
    let by = match text(conf, "by").as_str() {
        "start" => "at the start".to_owned(),
        other => format!("by {other}"),
    };
    writeln!(
        out,
        "{:<13}{}, read {by}, {}",
        "conf",
        text(conf, "path"),
        screen::time(conf, "read_at")
    )?;
    let waiting = screen::list(conf, "waits_for_restart");
    if !waiting.is_empty() {
        writeln!(out, "{:<13}waits for a restart: {waiting}", "")?;
    }
    match text(conf, "on_disk").as_str() {
        "changed" => writeln!(
            out,
            "{:<13}the files were changed since: `umbra reload` takes them",
            ""
        )?,
        "faulty" => {
            writeln!(out, "{:<13}the files have faults now: a restart would fail", "")?;
            let faults = conf.get("faults").and_then(Value::as_array);
            for fault in faults.into_iter().flatten().filter_map(Value::as_str) {
                writeln!(out, "{:<13}{fault}", "")?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// What `drain` takes.
#[derive(Args, Debug)]
pub struct Drain {}

impl Drain {
    /// Lets the server refuse new calls.
    ///
    /// # Errors
    /// What the server says.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let answer = control.send(Method::POST, "/v1/drain", None)?;
        let calls = text(&answer, "calls");
        writeln!(out, "draining: new calls are refused; calls in progress: {calls}")?;
        Ok(())
    }
}

/// What `undrain` takes.
#[derive(Args, Debug)]
pub struct Undrain {}

impl Undrain {
    /// Lets the server take new calls again.
    ///
    /// # Errors
    /// What the server says: it is stopping.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        control.send(Method::DELETE, "/v1/drain", None)?;
        writeln!(out, "new calls are taken again")?;
        Ok(())
    }
}

/// What `stop` takes.
#[derive(Args, Debug)]
pub struct Stop {
    /// Take no new call, and give those in progress this long to end [default: they are ended at once]
    #[arg(long, value_name = "DURATION", value_parser = when::duration)]
    drain: Option<Duration>,
    /// End at once and leave the calls in progress to the server that is started next: people go on talking
    #[arg(long, conflicts_with = "drain")]
    handover: bool,
}

impl Stop {
    /// Stops the server and waits until it is gone, or another is in its place; with time to drain, prints how many
    /// calls are left.
    ///
    /// # Errors
    /// What the server says, or that it is still there long after it should have gone.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let drain = self.drain.unwrap_or_default();
        let order = if self.handover {
            json!({"handover": true})
        } else {
            json!({"drain_s": drain.as_secs()})
        };
        // A test's server may be part of this process.
        let process = control.process().filter(|pid| *pid != std::process::id());
        let answer = control.send(Method::POST, "/v1/stop", Some(&order))?;
        let mut say = |status: &Value, said: Option<u64>| -> anyhow::Result<Option<u64>> {
            let now = status.get("calls").and_then(Value::as_u64);
            if now != said && !drain.is_zero() {
                writeln!(out, "calls in progress: {}", now.unwrap_or_default())?;
                out.flush()?;
            }
            Ok(now)
        };
        let mut calls = say(&answer, None)?;
        let gone_by = Instant::now()
            + drain
                .saturating_add(STOP_PATIENCE)
                .min(Duration::from_secs(31_536_000));
        loop {
            match control.get("/v1/status", &[]) {
                // It has its sockets and its data until the end: the next one can't have them earlier.
                Err(Trouble::NoServer(_)) if !process.is_some_and(runs) => break,
                Ok(status)
                    if answer
                        .get("pid")
                        .is_some_and(|pid| status.get("pid") != Some(pid)) =>
                {
                    break;
                }
                Ok(status) => calls = say(&status, calls)?,
                // Broken: it went while it answered. The next look tells.
                Err(
                    Trouble::NoServer(_)
                    | Trouble::Broken(..)
                    | Trouble::Refused { .. }
                    | Trouble::Forbidden(_),
                ) => {}
            }
            if Instant::now() > gone_by {
                bail!(
                    "the server at {} was asked to stop and is still there",
                    control.path().display()
                );
            }
            std::thread::sleep(if self.handover { QUICK_GLANCE } else { GLANCE });
        }
        if self.handover {
            writeln!(
                out,
                "stopped; calls left to the next server: {}",
                calls.unwrap_or_default()
            )?;
        } else {
            writeln!(out, "stopped")?;
        }
        Ok(())
    }
}

/// Whether a process is there: not one that has ended and whose parent hasn't asked about it yet.
fn runs(pid: u32) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    // Its name stands before, in brackets, and may hold anything.
    match stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()) {
        None => false,
        // Only its first thread has ended, perhaps.
        Some('Z' | 'X') => fs::read_dir(process.join("task")).is_ok_and(|tasks| tasks.count() > 1),
        Some(_) => true,
    }
}

/// What `reload` takes.
#[derive(Args, Debug)]
pub struct Reload {}

impl Reload {
    /// Lets the server read its conf again; prints what of it waits for a restart.
    ///
    /// # Errors
    /// Every fault of the conf, a line each; then the old conf stays in force.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let answer = control.send(Method::POST, "/v1/reload", None)?;
        writeln!(out, "reloaded")?;
        match screen::list(&answer, "taken") {
            taken if taken.is_empty() => writeln!(out, "nothing takes effect that wasn't so before")?,
            taken => writeln!(out, "takes effect: {taken}")?,
        }
        let waiting = screen::list(&answer, "waits_for_restart");
        if !waiting.is_empty() {
            writeln!(out, "waits for a restart: {waiting}")?;
        }
        let bad = answer.get("bad_prompts").and_then(Value::as_array);
        for line in bad.into_iter().flatten().filter_map(Value::as_str) {
            writeln!(out, "not heard: {line}")?;
        }
        Ok(())
    }
}

/// `umbra log`
#[derive(Subcommand, Debug)]
pub enum Log {
    /// Log this much from now on, until a restart
    Level {
        /// How much
        level: Level,
    },
}

/// How much is logged.
#[derive(ValueEnum, Debug, Clone, Copy)]
pub enum Level {
    /// What is broken
    Error,
    /// And what is suspect
    Warn,
    /// And what happens
    Info,
    /// And why
    Debug,
    /// And everything
    Trace,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Log {
    /// Does it.
    ///
    /// # Errors
    /// What the server says.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let Self::Level { level } = self;
        control.send(Method::PUT, "/v1/log", Some(&json!({"level": level.name()})))?;
        writeln!(out, "log level {}", level.name())?;
        Ok(())
    }
}
