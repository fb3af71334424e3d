//! `umbra trunk`

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
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
    /// Show, step by step, how a number is read and written on a trunk; no call is made
    Try(Try),
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
        let form = match self {
            Self::List(form) => form,
            Self::Try(wish) => return wish.run(control, out),
        };
        let page = control.get("/v1/trunks", &[])?;
        let trunks = page
            .get("trunks")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        if form.json {
            screen::write_json_rows(out, trunks)?;
            return Ok(());
        }
        let mut table = Table::new(&[
            "NAME",
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
                screen::list(trunk, "accept_from"),
                screen::list(trunk, "gateways"),
                text(trunk, "number_format"),
                screen::list(trunk, "may_show"),
                text(trunk, "default"),
                registered(trunk),
            ]);
        }
        write!(out, "{table}")?;
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
