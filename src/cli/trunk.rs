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
        ]);
        for trunk in trunks {
            table.row([
                text(trunk, "name"),
                screen::list(trunk, "accept_from"),
                screen::list(trunk, "gateways"),
                text(trunk, "number_format"),
                screen::list(trunk, "may_show"),
                text(trunk, "default"),
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
