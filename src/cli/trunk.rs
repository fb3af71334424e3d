//! `umbra trunk`

use std::io::Write;

use clap::Subcommand;
use serde_json::Value;

use super::client::Control;
use super::screen::{self, Form, text};
use super::table::Table;

/// What can be done with trunks.
#[derive(Subcommand, Debug)]
pub enum Trunk {
    /// List the trunks as the running server has them
    List(Form),
}

impl Trunk {
    /// Does it.
    ///
    /// # Errors
    /// What the server says.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let Self::List(form) = self;
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
