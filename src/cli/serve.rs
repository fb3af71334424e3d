//! `umbra serve`, `umbra check`: the two that read the conf themselves.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;

use crate::config::{self, Conf};
use crate::server::Ended;

/// Where the conf is unless `--conf` says otherwise.
const CONF: &str = "conf/umbra.toml";

/// The exit status of a server that handed its calls over: whoever supervises it starts the next one at once
/// (sysexits.h: a temporary failure, try again).
const HANDED_OVER: i32 = 75;

/// What `serve` takes.
#[derive(Args, Debug)]
pub struct Serve {
    /// The conf file [default: conf/umbra.toml if it is there, else the built-in one]
    #[arg(long, value_name = "PATH")]
    conf: Option<PathBuf>,
}

impl Serve {
    /// Runs the server until it is told to stop. One that has handed its calls over ends the process by itself.
    ///
    /// # Errors
    /// Every fault of the conf, or what keeps the server from starting.
    pub fn run(self) -> anyhow::Result<()> {
        let (conf, reading) = read(self.conf)?;
        match crate::server::run(conf, reading)? {
            Ended::Stopped => Ok(()),
            Ended::HandedOver => std::process::exit(HANDED_OVER),
        }
    }
}

/// What `check` takes.
#[derive(Args, Debug)]
pub struct Check {
    /// The conf file [default: conf/umbra.toml if it is there, else the built-in one]
    #[arg(long, value_name = "PATH")]
    conf: Option<PathBuf>,
}

impl Check {
    /// Prints every fault of the conf on standard output, file and line first, and what is allowed and
    /// probably not meant.
    ///
    /// # Errors
    /// That there are faults.
    pub fn run(self, out: &mut dyn Write) -> anyhow::Result<()> {
        let path = path(self.conf);
        let Some(path) = path else {
            writeln!(
                out,
                "there is no {CONF}: `umbra serve` would run on the built-in conf, which is right"
            )?;
            return Ok(());
        };
        let found = match config::Reading::of(&path) {
            Ok(reading) => reading.check_with_certificates().0,
            Err(faults) => config::Findings {
                conf: None,
                faults,
                warnings: config::Faults::default(),
            },
        };
        for fault in &found.faults.0 {
            writeln!(out, "{fault}")?;
        }
        for warning in &found.warnings.0 {
            writeln!(out, "warning: {warning}")?;
        }
        match found.faults.0.len() {
            0 => writeln!(out, "{} is right", path.display())?,
            1 => bail!("{} has 1 fault", path.display()),
            n => bail!("{} has {n} faults", path.display()),
        }
        Ok(())
    }
}

/// The conf that `named` means, and its files.
pub(super) fn read(named: Option<PathBuf>) -> anyhow::Result<(Conf, Option<config::Reading>)> {
    match path(named) {
        Some(path) => {
            let reading = config::Reading::of(&path)?;
            Ok((reading.conf()?, Some(reading)))
        }
        None => Ok((Conf::embedded(), None)),
    }
}

/// The conf file that is meant, if there is one.
pub fn path(named: Option<PathBuf>) -> Option<PathBuf> {
    named.or_else(|| Path::new(CONF).exists().then(|| CONF.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_lists_every_fault_and_fails() {
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("umbra.toml");
        std::fs::write(&conf, "[sip]\nudp = 5\ncolour = \"red\"\n").unwrap();
        let mut out = Vec::new();
        let outcome = Check { conf: Some(conf) }.run(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(outcome.is_err());
        assert!(
            text.contains("umbra.toml:2") && text.contains("umbra.toml:3"),
            "{text}"
        );
    }
}
