//! `umbra doctor`: whether this machine is fit for the conf, with the server running or not. Each line says
//! what was found, and, where something is wrong, the cure.

mod host;
mod net;
mod tls;

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::client::{Control, Trouble};
use super::screen::{self, text};
use super::serve;
use crate::config::{Conf, Reading};
use crate::transport::tls::Terms;

/// What `doctor` takes.
#[derive(Args, Debug)]
pub struct Doctor {
    /// The conf file [default: conf/umbra.toml if it is there, else the built-in one]
    #[arg(long, value_name = "PATH")]
    conf: Option<PathBuf>,
    /// JSON for programs instead of lines
    #[arg(long)]
    json: bool,
}

/// How bad a finding is. The order is from good to bad.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Grade {
    /// As it should be.
    Ok,
    /// It works, and there is something to gain.
    Warn,
    /// Calls or data are lost, or the server can't start.
    Fail,
}

/// One line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    what: String,
    grade: Grade,
    /// What was found.
    found: String,
    /// What to do about it; empty if nothing.
    cure: String,
}

impl Finding {
    fn ok(what: &str, found: impl Into<String>) -> Self {
        Self::new(what, Grade::Ok, found, "")
    }

    fn warn(what: &str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(what, Grade::Warn, found, cure)
    }

    fn fail(what: &str, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(what, Grade::Fail, found, cure)
    }

    fn new(what: &str, grade: Grade, found: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            what: what.to_owned(),
            grade,
            found: found.into(),
            cure: cure.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match self.grade {
            Grade::Ok => "ok",
            Grade::Warn => "warn",
            Grade::Fail => "FAIL",
        };
        write!(f, "{grade:<5}{:<9}{}", self.what, self.found)?;
        if !self.cure.is_empty() {
            write!(f, "\n{:14}→ {}", "", self.cure)?;
        }
        Ok(())
    }
}

/// The running server, as far as it answers.
pub(super) enum Server {
    /// It runs, as this process.
    Runs {
        /// Its process id.
        pid: u64,
    },
    /// Nobody answers.
    Away,
}

impl Doctor {
    /// Looks at everything and prints what was found.
    ///
    /// # Errors
    /// That something fails.
    pub fn run(self, control: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
        let (conf, terms, mut findings) = conf(serve::path(self.conf));
        let socket = match &conf {
            // Nobody named a socket: the conf knows it.
            Some(conf) if control == Path::new(super::CONTROL) => conf.api.control.clone(),
            Some(_) | None => control.to_owned(),
        };
        let (server, said) = server(&socket)?;
        findings.extend(said);
        if let Some(conf) = &conf {
            findings.extend(net::ports(conf, &server));
            findings.extend(host::files(conf, &server));
            findings.extend(host::buffers());
            findings.extend(host::disk(conf, &server));
            findings.extend(tls::certificates(&terms));
            findings.extend(net::trunks(conf, &terms));
        }
        findings.extend(host::clock());
        print(out, &findings, self.json)?;
        match findings.iter().filter(|f| f.grade == Grade::Fail).count() {
            0 => Ok(()),
            1 => bail!("1 thing fails"),
            n => bail!("{n} things fail"),
        }
    }
}

fn print(out: &mut dyn Write, findings: &[Finding], json: bool) -> anyhow::Result<()> {
    if json {
        let worst = findings.iter().map(|f| f.grade).max().unwrap_or(Grade::Ok);
        screen::write_json(out, &serde_json::json!({"grade": worst, "findings": findings}))?;
        return Ok(());
    }
    for finding in findings {
        writeln!(out, "{finding}")?;
    }
    Ok(())
}

/// What the conf says, and everything that is wrong with it.
fn conf(path: Option<PathBuf>) -> (Option<Conf>, Terms, Vec<Finding>) {
    let none = Terms::default();
    let Some(path) = path else {
        let found = "there is no conf/umbra.toml: the built-in conf is looked at";
        return (Some(Conf::embedded()), none, vec![Finding::ok("conf", found)]);
    };
    let reading = match Reading::of(&path) {
        Ok(reading) => reading,
        Err(faults) => {
            let cure = "name the conf with --conf PATH";
            return (None, none, vec![Finding::fail("conf", faults.to_string(), cure)]);
        }
    };
    let (found, terms) = reading.check_with_certificates();
    let mut findings: Vec<Finding> = found
        .faults
        .0
        .iter()
        .map(|fault| Finding::fail("conf", fault.to_string(), ""))
        .collect();
    findings.extend(
        found
            .warnings
            .0
            .iter()
            .map(|warning| Finding::warn("conf", warning.to_string(), "")),
    );
    if findings.is_empty() {
        findings.push(Finding::ok("conf", format!("{} is right", path.display())));
    }
    (found.conf, terms, findings)
}

/// Asks the server how it is.
fn server(socket: &Path) -> anyhow::Result<(Server, Vec<Finding>)> {
    let control = Control::new(socket)?;
    let status = match control.get("/v1/status", &[]) {
        Ok(status) => status,
        Err(Trouble::NoServer(_)) => {
            let found = format!(
                "none answers at {}: what it would meet is looked at",
                socket.display()
            );
            return Ok((Server::Away, vec![Finding::ok("server", found)]));
        }
        Err(trouble) => {
            let cure = "run this as the user that runs the server; if it hangs, `systemctl restart umbra`";
            return Ok((
                Server::Away,
                vec![Finding::fail("server", trouble.to_string(), cure)],
            ));
        }
    };
    let pid = status.get("pid").and_then(Value::as_u64).unwrap_or_default();
    Ok((Server::Runs { pid }, of_status(&status)))
}

/// What the running server says of itself.
fn of_status(status: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (theirs, ours) = (text(status, "version"), env!("CARGO_PKG_VERSION"));
    if theirs == ours {
        let found = format!(
            "{} {theirs} is {}, with {} calls",
            text(status, "node"),
            text(status, "phase"),
            text(status, "calls")
        );
        findings.push(Finding::ok("server", found));
    } else {
        let found = format!("the server is umbra {theirs}, this command line is {ours}");
        let cure = "restart the server, or use the command line that came with it";
        findings.push(Finding::warn("server", found, cure));
    }
    let conf = status.get("conf").unwrap_or(&Value::Null);
    match text(conf, "on_disk").as_str() {
        "changed" => findings.push(Finding::warn(
            "server",
            "the conf was changed since the server read it",
            "umbra reload",
        )),
        "faulty" => findings.push(Finding::fail(
            "server",
            "the conf has faults since the server read it: a restart would fail",
            "umbra check lists them",
        )),
        _ => {}
    }
    let waiting = screen::list(conf, "waits_for_restart");
    if !waiting.is_empty() {
        let found = format!("changed keys wait for a restart: {waiting}");
        findings.push(Finding::warn(
            "server",
            found,
            "umbra stop --drain 10m, then start it again",
        ));
    }
    let parts = status.get("parts").and_then(Value::as_array);
    for part in parts.into_iter().flatten() {
        let grade = match text(part, "state").as_str() {
            "ok" => continue,
            "degraded" => Grade::Warn,
            _ => Grade::Fail,
        };
        let found = format!("{}: {}", text(part, "name"), text(part, "sentence"));
        findings.push(Finding::new("server", grade, found, ""));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_of_itself_is_graded() {
        let status = serde_json::json!({
            "node": "umbra-1", "version": "0.0.1", "phase": "serving", "calls": 3,
            "conf": {"on_disk": "faulty", "waits_for_restart": ["sip.udp", "media.ports"]},
            "parts": [
                {"name": "store", "state": "ok", "sentence": ""},
                {"name": "clock", "state": "degraded", "sentence": "it was set back"},
                {"name": "cdr", "state": "failing", "sentence": "the disk is full"},
            ],
        });
        let findings = of_status(&status);
        let said: Vec<_> = findings.iter().map(|f| (f.grade, f.found.as_str())).collect();
        let ours = env!("CARGO_PKG_VERSION");
        assert_eq!(
            said,
            [
                (
                    Grade::Warn,
                    format!("the server is umbra 0.0.1, this command line is {ours}").as_str()
                ),
                (
                    Grade::Fail,
                    "the conf has faults since the server read it: a restart would fail"
                ),
                (
                    Grade::Warn,
                    "changed keys wait for a restart: sip.udp, media.ports"
                ),
                (Grade::Warn, "clock: it was set back"),
                (Grade::Fail, "cdr: the disk is full"),
            ]
        );
    }
}
