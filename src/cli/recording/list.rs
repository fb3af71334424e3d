//! `umbra recording list`

use std::io::Write;

use clap::Args;
use serde_json::Value;

use super::whose::{Whose, said};
use crate::base::time::Wall;
use crate::cli::client::Control;
use crate::cli::screen::{self, Listing, text};
use crate::cli::table::Table;
use crate::cli::when;

/// What `recording list` takes.
#[derive(Args, Debug)]
pub struct List {
    /// Only those of this account
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
    #[command(flatten)]
    whose: Whose,
    /// Only those that began since then (1h, or 2026-12-31 00:00 local time)
    #[arg(long, value_name = "WHEN", value_parser = when::past)]
    since: Option<Wall>,
    /// Only those that began before then
    #[arg(long, value_name = "WHEN", value_parser = when::past)]
    until: Option<Wall>,
    /// JSON for programs instead of a table
    #[arg(long)]
    json: bool,
    /// Rows at most [default: 1000 in a table, all with --json]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl List {
    /// Lists recordings, the latest first.
    ///
    /// # Errors
    /// What the server says.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut query = self.whose.into_query();
        query.extend(said([
            ("account", self.account),
            ("since", self.since.map(|time| time.to_string())),
            ("until", self.until.map(|time| time.to_string())),
        ]));
        let listing = Listing {
            json: self.json,
            full: false,
            limit: self.limit,
        };
        let found = all(control, &query, listing)?;
        if self.json {
            screen::write_json_rows(out, &found.rows)?;
        } else {
            write!(out, "{}", table(&found.rows))?;
        }
        found.say_cut();
        Ok(())
    }
}

/// The recordings that a query wants.
///
/// # Errors
/// What the server says.
pub(super) fn all(
    control: &Control,
    query: &[(&str, String)],
    listing: Listing,
) -> anyhow::Result<screen::Rows> {
    let pages = ["next", "after"];
    Ok(screen::rows_by(
        control,
        "/v1/recordings",
        query,
        "recordings",
        listing,
        pages,
    )?)
}

fn table(rows: &[Value]) -> Table {
    let heads = [
        "RECORDING",
        "BEGAN",
        "STATE",
        "AUDIO",
        "SEALED",
        "ACCOUNT",
        "BINDING",
        "CALL",
        "NOT BEFORE",
        "KEPT UNTIL",
    ];
    let mut table = Table::new(&heads).spare(&["CALL", "NOT BEFORE", "KEPT UNTIL"]);
    for row in rows {
        let (id, call) = (text(row, "id"), text(row, "call_id"));
        table.row([
            id.clone(),
            screen::time(row, "began"),
            text(row, "state"),
            text(row, "audio"),
            text(row, "sealed"),
            text(row, "account"),
            text(row, "binding_id"),
            // Mostly a recording bears its call's id.
            if call == id { String::new() } else { call },
            screen::time(row, "not_before"),
            screen::time(row, "kept_until"),
        ]);
    }
    table
}
