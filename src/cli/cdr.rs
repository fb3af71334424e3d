//! `umbra cdr`

use std::io::Write;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::Value;

use super::client::Control;
use super::screen::{self, Listing, text};
use super::table::{Align, Table};
use super::when;
use crate::base::time::Wall;

/// How often `--follow` looks.
const FOLLOW: Duration = Duration::from_millis(500);
/// How far back `--follow` begins, unless `--since` says otherwise.
const FOLLOW_FROM: Duration = Duration::from_secs(3_600);

/// What `cdr` takes.
#[derive(Args, Debug)]
pub struct Cdr {
    /// Go on with every record that comes, until Ctrl-C
    #[arg(long)]
    follow: bool,
    /// Only those of this virtual number
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    x: Option<String>,
    /// Only calls that ended since then (1h, or 2026-12-31 00:00 local time) [default with --follow: 1h]
    #[arg(long, value_name = "WHEN", value_parser = when::past)]
    since: Option<Wall>,
    /// Only calls that ended before then
    #[arg(long, value_name = "WHEN", value_parser = when::past, conflicts_with = "follow")]
    until: Option<Wall>,
    /// JSON for programs, one record a line (numbers in full)
    #[arg(long)]
    json: bool,
    /// Show real numbers in full
    #[arg(long)]
    full: bool,
    /// The last N records at most [default: 1000 in a table, all with --json or --follow]
    #[arg(long, value_name = "N", conflicts_with = "follow")]
    limit: Option<usize>,
}

impl Cdr {
    /// Lists call records in the order the calls ended.
    ///
    /// # Errors
    /// What the server says.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut query = Vec::new();
        query.extend(self.x.clone().map(|x| ("x", x)));
        query.extend(self.until.map(|t| ("until", t.to_string())));
        let since = self.since.or_else(|| self.follow.then(|| when::ago(FOLLOW_FROM)));
        query.extend(since.map(|t| ("since", t.to_string())));
        if self.follow || (self.json && self.limit.is_none()) {
            return self.stream(control, &query, out);
        }
        // The last so many: read from the newest backwards, shown in the order of time.
        query.push(("order", "newest".to_owned()));
        let listing = Listing {
            json: self.json,
            full: self.full,
            limit: self.limit,
        };
        let mut found = screen::rows(control, "/v1/cdrs", &query, "cdrs", listing)?;
        found.rows.reverse();
        self.show(&found.rows, out)?;
        found.say_cut();
        Ok(())
    }

    /// Shows page after page; with `--follow` then what comes. Each answer's `next` says where the
    /// following one begins.
    fn stream(&self, control: &Control, query: &[(&str, String)], out: &mut dyn Write) -> anyhow::Result<()> {
        let (mut next, mut is_first) = (None, true);
        loop {
            let mut asked = query.to_vec();
            asked.push(("limit", crate::base::limits::PAGE_MAX.to_string()));
            asked.extend(next.clone().map(|n| ("cursor", n)));
            let page = control.get("/v1/cdrs", &asked)?;
            screen::say_warning(&page);
            let rows = page
                .get("cdrs")
                .and_then(Value::as_array)
                .map_or(&[][..], Vec::as_slice);
            if is_first {
                self.show(rows, out)?;
            } else {
                self.show_more(rows, out)?;
            }
            out.flush()?;
            is_first = false;
            next = page
                .get("next")
                .and_then(Value::as_str)
                .map(str::to_owned)
                .or(next);
            let is_last = page.get("cursor").is_none_or(Value::is_null);
            match (is_last, self.follow) {
                (true, true) => std::thread::sleep(FOLLOW),
                (true, false) => return Ok(()),
                (false, _) => {}
            }
        }
    }

    fn show(&self, rows: &[Value], out: &mut dyn Write) -> std::io::Result<()> {
        if self.json {
            return self.show_more(rows, out);
        }
        write!(out, "{}", self.table(rows))
    }

    /// Rows without heads, under those that stand there.
    fn show_more(&self, rows: &[Value], out: &mut dyn Write) -> std::io::Result<()> {
        if self.json {
            return rows.iter().try_for_each(|row| writeln!(out, "{row}"));
        }
        let table = self.table(rows).to_string();
        table.lines().skip(1).try_for_each(|line| writeln!(out, "{line}"))
    }

    fn table(&self, rows: &[Value]) -> Table {
        let listing = Listing {
            json: false,
            full: self.full,
            limit: None,
        };
        let mut table = Table::new(&[
            "ARRIVED", "X", "CALLER", "CALLEE", "STATUS", "REFUSAL", "SECONDS", "CALL",
        ])
        .align("SECONDS", Align::Right);
        if self.follow {
            // Later rows stand under the first: every column as wide as most records make it.
            let number = if self.full { 14 } else { 11 };
            table = table
                .wide("X", 11)
                .wide("CALLER", number)
                .wide("CALLEE", number)
                .wide("REFUSAL", 13);
        }
        for row in rows {
            table.row([
                screen::time(row, "arrived_at"),
                match text(row, "x") {
                    none if none.is_empty() => text(row, "dialled"),
                    x => x,
                },
                listing.real(row, "caller"),
                listing.real(row, "callee"),
                text(row, "sip_status"),
                text(row, "refusal"),
                text(row, "billable_s"),
                text(row, "call_id"),
            ]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_records_numbers_are_masked_in_the_table_unless_asked_for() {
        let row = json!({"arrived_at": "2026-11-21T10:00:00.123Z", "x": "17000000001", "dialled": "17000000001",
            "caller": "+8613800000001", "callee": "+8613900000002", "sip_status": 200, "refusal": null,
            "billable_s": 12, "call_id": "01J"});
        let cdr = |full| Cdr {
            follow: false,
            x: None,
            since: None,
            until: None,
            json: false,
            full,
            limit: None,
        };
        let masked = cdr(false).table(std::slice::from_ref(&row)).to_string();
        assert!(
            masked.contains("138****0001") && !masked.contains("13800000001"),
            "{masked}"
        );
        assert!(cdr(true).table(&[row]).to_string().contains("+8613900000002"));
    }
}
