//! `umbra trunk`

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::client::{Control, escaped};
use super::screen::{self, Form, text};
use super::serve;
use super::table::Table;
use crate::api::native::trunk_try::tried;

/// What can be done with trunks.
#[derive(Subcommand, Debug)]
pub enum Trunk {
    /// List the trunks as the running server has them
    List(Form),
    /// Show how each gateway stands: up, down, resting or blocked, and its last probe
    Status(Status),
    /// Let no new call leave by a trunk, or by one gateway of it, restarts included; calls in progress go on
    Block(Named),
    /// Let calls leave by it again
    Unblock(Named),
    /// Ask a trunk's gateways now, by OPTIONS, and print what they answer and how long it took
    Probe(Probe),
    /// Show, step by step, how a number is read and written on a trunk; no call is made
    Try(Try),
}

/// What `status` takes.
#[derive(Args, Debug)]
pub struct Status {
    /// One trunk only
    name: Option<String>,
    #[command(flatten)]
    form: Form,
}

/// A trunk, or a gateway of it.
#[derive(Args, Debug)]
pub struct Named {
    /// The trunk's name
    name: String,
    /// One gateway only: its URI, or its host:port
    gateway: Option<String>,
}

/// What `probe` takes.
#[derive(Args, Debug)]
pub struct Probe {
    #[command(flatten)]
    whom: Named,
    #[command(flatten)]
    form: Form,
}

/// What `try` takes.
#[derive(Args, Debug)]
pub struct Try {
    /// The trunk
    name: String,
    /// A number: as it would come in, and as one that goes out
    #[arg(allow_hyphen_values = true)]
    number: String,
    /// Ask these conf files, and no server
    #[arg(long, value_name = "FILE")]
    conf: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
}

impl Trunk {
    /// Does it.
    ///
    /// # Errors
    /// What the server says, or the conf's faults.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        match self {
            Self::List(form) => list(form, control, out),
            Self::Status(status) => status.run(control, out),
            Self::Block(whom) => {
                whom.order("block", control)?;
                let also = whom.gateway.iter().map(|gateway| format!(" {gateway}"));
                let also: String = also.collect();
                let name = &whom.name;
                writeln!(
                    out,
                    "no new call leaves by {name}{also}; calls in progress go on. It stays so, restarts included, until: \
                     umbra trunk unblock {name}{also}"
                )?;
                Ok(())
            }
            Self::Unblock(whom) => {
                whom.order("unblock", control)?;
                writeln!(out, "calls leave by {} again", whom.words())?;
                Ok(())
            }
            Self::Probe(probe) => probe.run(control, out),
            Self::Try(wish) => wish.run(control, out),
        }
    }
}

impl Named {
    fn order(&self, what: &str, control: &Control) -> anyhow::Result<Value> {
        let path = format!("/v1/trunks/{}/{what}", escaped(&self.name));
        let answer = control.send(Method::POST, &path, Some(&json!({"gateway": self.gateway})))?;
        screen::say_warning(&answer);
        Ok(answer)
    }

    fn words(&self) -> String {
        match &self.gateway {
            Some(gateway) => format!("{} {gateway}", self.name),
            None => self.name.clone(),
        }
    }
}

impl Probe {
    /// Prints what each gateway said. One that is not alive makes the exit code 1.
    fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let answer = self.whom.order("probe", control)?;
        let probes = rows(&answer, "probes");
        if self.form.json {
            screen::write_json_rows(out, probes)?;
        } else {
            let mut table = Table::new(&["GATEWAY", "ANSWER", "ROUND TRIP MS"]);
            for probe in probes {
                table.row([
                    text(probe, "gateway"),
                    text(probe, "answer"),
                    text(probe, "round_trip_ms"),
                ]);
            }
            write!(out, "{table}")?;
        }
        let is_dead = |probe: &&Value| probe.get("alive") != Some(&Value::Bool(true));
        match probes.iter().filter(is_dead).count() {
            0 => Ok(()),
            dead => bail!("{dead} of {} gateways can't be used", probes.len()),
        }
    }
}

impl Status {
    fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let page = control.get("/v1/trunks", &[])?;
        let is_meant = |trunk: &&Value| self.name.as_ref().is_none_or(|name| text(trunk, "name") == *name);
        let trunks: Vec<&Value> = rows(&page, "trunks").iter().filter(is_meant).collect();
        if let (Some(name), []) = (&self.name, trunks.as_slice()) {
            bail!("the conf has no trunk {name}");
        }
        if self.form.json {
            let trunks: Vec<Value> = trunks.into_iter().cloned().collect();
            screen::write_json_rows(out, &trunks)?;
            return Ok(());
        }
        let mut table = Table::new(&[
            "TRUNK",
            "GATEWAY",
            "PRIORITY",
            "WEIGHT",
            "STATE",
            "SINCE",
            "LAST PROBE",
            "MS",
            "ANSWERED",
            "FAILED",
        ]);
        for trunk in trunks {
            for way in rows(trunk, "ways") {
                let since = match text(way, "rests_s") {
                    rests if rests.is_empty() => screen::time(way, "since"),
                    rests => format!("{rests} s left"),
                };
                table.row([
                    text(trunk, "name"),
                    text(way, "gateway"),
                    text(way, "priority"),
                    text(way, "weight"),
                    text(way, "state"),
                    since,
                    text(way, "last_probe"),
                    text(way, "round_trip_ms"),
                    text(way, "probes_answered"),
                    text(way, "probes_failed"),
                ]);
            }
        }
        write!(out, "{table}")?;
        Ok(())
    }
}

fn list(form: Form, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
    let page = control.get("/v1/trunks", &[])?;
    let trunks = rows(&page, "trunks");
    if form.json {
        screen::write_json_rows(out, trunks)?;
        return Ok(());
    }
    let mut table = Table::new(&[
        "NAME",
        "STATE",
        "ACCEPTS FROM",
        "GATEWAYS",
        "NUMBERS AS",
        "MAY SHOW",
        "DEFAULT",
        "REGISTERED",
    ]);
    for trunk in trunks {
        table.row([
            text(trunk, "name"),
            text(trunk, "state"),
            screen::list(trunk, "accept_from"),
            screen::list(trunk, "gateways"),
            text(trunk, "number_format"),
            screen::list(trunk, "may_show"),
            text(trunk, "default"),
            registered(trunk),
        ]);
    }
    write!(out, "{table}")?;
    write_names(out, trunks)
}

/// The names among gateways, and where they are at present; nothing where there are none.
fn write_names(out: &mut dyn Write, trunks: &[Value]) -> anyhow::Result<()> {
    let mut names = Table::new(&["NAME", "IS AT", "AGE", "TROUBLE"]);
    let mut seen = Vec::new();
    for trunk in trunks {
        let own = trunk.get("names").and_then(Value::as_array);
        for name in own.into_iter().flatten() {
            let called = text(name, "name");
            if seen.contains(&called) {
                continue;
            }
            let age = name.get("answered_s_ago").and_then(Value::as_u64);
            let age = age.map_or("-".into(), |s| format!("{s} s"));
            names.row([called.clone(), text(name, "at"), age, text(name, "error")]);
            seen.push(called);
        }
    }
    if !seen.is_empty() {
        write!(out, "\n{names}")?;
    }
    Ok(())
}

fn rows<'v>(page: &'v Value, name: &str) -> &'v [Value] {
    page.get(name)
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice)
}

impl Try {
    fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let tried = match self.conf {
            Some(path) => {
                let switch = serve::read(Some(path))?.0.switch;
                let trunk = switch.trunks.iter().find(|trunk| *trunk.name == *self.name);
                let trunk = trunk.context("there is no such trunk in the conf")?;
                tried(trunk, &self.number, &switch.numbers)
            }
            None => {
                let target = format!("/v1/trunks/{}/try", escaped(&self.name));
                control.send(Method::POST, &target, Some(&json!({"number": self.number})))?
            }
        };
        if self.form.json {
            screen::write_json(out, &tried)?;
            return Ok(());
        }
        let typed = self.number.as_str();
        let meant = tried.get("number").and_then(Value::as_str).unwrap_or(typed);
        for (way, heading, number) in [
            ("/in/dialled", "in, dialled", typed),
            ("/in/caller", "in, as the caller", typed),
            ("/out/called", "out, called", meant),
            ("/out/shown", "out, shown", meant),
        ] {
            let way = tried.pointer(way).cloned().unwrap_or_default();
            writeln!(out, "{heading}: {number}")?;
            let steps = way.get("steps").and_then(Value::as_array);
            for step in steps.into_iter().flatten() {
                writeln!(out, "  {:<22} {}", text(step, "step"), text(step, "number"))?;
            }
            match way.get("number").and_then(Value::as_str) {
                Some(number) => writeln!(out, "  = {number}")?,
                None => writeln!(out, "  refused: {}", text(&way, "fault"))?,
            }
        }
        Ok(())
    }
}

/// How we are registered with its gateway; nothing, if it wants none.
fn registered(trunk: &Value) -> String {
    let registration = trunk.get("registration").unwrap_or(&Value::Null);
    let more = match registration.get("state").and_then(Value::as_str) {
        Some("registered") => return format!("until {}", text(registration, "until")),
        Some("failed") => text(registration, "why"),
        Some("taken_back") => "no new calls are wanted".to_owned(),
        Some(_) => "not yet".to_owned(),
        None => return "-".to_owned(),
    };
    format!("no: {more}")
}
