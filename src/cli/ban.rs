//! `umbra ban`

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::client::{Control, escaped};
use super::screen::{self, Form, text};
use super::table::{Align, Table};
use super::when;

/// What can be done about sources of bad messages.
#[derive(Subcommand, Debug)]
pub enum Ban {
    /// List who is kept out, and until when
    List(Form),
    /// Read nothing of an address (IPv6: of its /64); never a trunk's
    Add(Add),
    /// Read it again, and forget what it did
    Remove(One),
}

/// What `ban add` takes.
#[derive(Args, Debug)]
pub struct Add {
    #[command(flatten)]
    whom: One,
    /// For so long; without it until it is removed, or the server ends
    #[arg(long = "for", value_name = "DURATION", value_parser = when::duration)]
    lasts: Option<Duration>,
}

/// One address.
#[derive(Args, Debug)]
pub struct One {
    /// The address
    address: IpAddr,
}

impl Ban {
    /// Does it.
    ///
    /// # Errors
    /// What the server says.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        match self {
            Self::List(form) => list(form, control, out)?,
            Self::Add(add) => {
                let body = json!({
                    "address": add.whom.address.to_string(),
                    "for_s": add.lasts.map(|lasts| lasts.as_secs()),
                });
                let ban = control.send(Method::POST, "/v1/bans", Some(&body))?;
                writeln!(out, "{} is not read {}", shown(&ban), until(&ban))?;
            }
            Self::Remove(one) => {
                let target = format!("/v1/bans/{}", escaped(&one.address.to_string()));
                control.send(Method::DELETE, &target, None)?;
                writeln!(out, "{} is read again", one.address)?;
            }
        }
        Ok(())
    }
}

fn list(form: Form, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
    let answer = control.send(Method::GET, "/v1/bans", None)?;
    if form.json {
        screen::write_json(out, &answer)?;
        return Ok(());
    }
    let bans = answer.get("bans").and_then(Value::as_array);
    let mut table = Table::new(&["ADDRESS", "UNTIL", "BY", "TIMES"]).align("TIMES", Align::Right);
    for ban in bans.into_iter().flatten() {
        let until = until(ban);
        let until = until.strip_prefix("until ").unwrap_or(&until).to_owned();
        table.row([shown(ban), until, text(ban, "by"), text(ban, "times")]);
    }
    write!(out, "{table}")?;
    Ok(())
}

fn shown(ban: &Value) -> String {
    let address = text(ban, "address");
    if address.contains(':') {
        format!("{address}/64")
    } else {
        address
    }
}

fn until(ban: &Value) -> String {
    match ban.get("until").and_then(Value::as_str) {
        Some(until) => format!("until {}", when::show_api_time(until)),
        None => "until it is removed".to_owned(),
    }
}
