//! `umbra calls`, `hangup`, `trace`.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use hyper::Method;
use serde_json::Value;

use super::client::{Control, escaped};
use super::screen::{self, Form, text};
use super::table::{Align, Table};
use super::{ladder, when};
use crate::base::time::Wall;

/// How often `--watch` looks.
const WATCH: Duration = Duration::from_secs(1);
/// Clears a terminal and goes to its corner (ECMA-48 CUP, ED).
const CLEAR: &str = "\x1b[H\x1b[2J";

/// What `calls` takes.
#[derive(Args, Debug)]
pub struct Calls {
    /// Draw the table anew every second, until Ctrl-C
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    #[command(flatten)]
    form: Form,
}

impl Calls {
    /// Lists the calls in progress, with the figures of their media at this moment: caller's side, then callee's.
    /// Their numbers are masked in every form: a call's parties are in its record.
    ///
    /// # Errors
    /// What the server says.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        loop {
            let page = control.get("/v1/calls", &[])?;
            let rows = page
                .get("calls")
                .and_then(Value::as_array)
                .map_or(&[][..], Vec::as_slice);
            if self.form.json {
                screen::write_json_rows(out, rows)?;
                return Ok(());
            }
            let now = when::now();
            if !self.watch {
                write!(out, "{}", table(rows, now))?;
                return Ok(());
            }
            write!(
                out,
                "{CLEAR}calls at {}: {}\n\n{}",
                when::show_time(now),
                rows.len(),
                table(rows, now)
            )?;
            out.flush()?;
            std::thread::sleep(WATCH);
        }
    }
}

fn table(calls: &[Value], now: Wall) -> Table {
    let mut table = Table::new(&[
        "CALL", "X", "CALLER", "CALLEE", "PHASE", "ARRIVED", "TALKED", "HEARD", "LOST", "JITTER", "RTT",
        "BINDING", "AUDIO",
    ])
    .align("TALKED", Align::Right)
    .align("HEARD", Align::Right)
    .align("LOST", Align::Right)
    .align("JITTER", Align::Right)
    .align("RTT", Align::Right)
    .spare(&["AUDIO"]);
    for call in calls {
        let talked =
            Wall::parse_rfc3339(&text(call, "answered_at")).map(|at| when::show_duration(now.since(at)));
        // Before the answer nothing need have come.
        let figure = |name| {
            talked
                .as_ref()
                .map_or_else(String::new, |_| both_legs(call, name))
        };
        let figures = ["packets_in", "lost", "jitter_ms_max", "round_trip_ms"].map(figure);
        let [heard, lost, jitter, round_trip] = figures;
        table.row([
            text(call, "call_id"),
            text(call, "x"),
            text(call, "caller"),
            text(call, "callee"),
            text(call, "phase"),
            screen::time(call, "arrived_at"),
            talked.unwrap_or_default(),
            heard,
            lost,
            jitter,
            round_trip,
            text(call, "binding_id"),
            call.get("media")
                .map_or_else(String::new, |media| text(media, "audio")),
        ]);
    }
    table
}

/// A figure of the caller's and the callee's leg: `601/598`. Times are milliseconds.
fn both_legs(call: &Value, figure: &str) -> String {
    let of = |leg: &str| {
        let value = call.pointer(&format!("/media/{leg}/{figure}"))?;
        value.is_number().then(|| value.to_string())
    };
    match (of("caller"), of("callee")) {
        (None, None) => String::new(),
        (caller, callee) => {
            let shown = |figure: Option<String>| figure.unwrap_or_else(|| "-".to_owned());
            format!("{}/{}", shown(caller), shown(callee))
        }
    }
}

/// What `hangup` takes.
#[derive(Args, Debug)]
pub struct Hangup {
    /// The call's id
    id: String,
}

impl Hangup {
    /// Ends a call.
    ///
    /// # Errors
    /// What the server says; no such call is one of it.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        control.send(Method::DELETE, &format!("/v1/calls/{}", escaped(&self.id)), None)?;
        writeln!(out, "{}  is being ended", self.id)?;
        Ok(())
    }
}

/// What `trace` takes.
#[derive(Args, Debug)]
pub struct Trace {
    /// The call's id
    id: String,
    #[command(flatten)]
    form: Form,
}

impl Trace {
    /// Draws the messages of a call, live or among the last that ended.
    ///
    /// # Errors
    /// What the server says; no such call is one of it.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let trace = control.get(&format!("/v1/calls/{}/trace", escaped(&self.id)), &[])?;
        if self.form.json {
            screen::write_json(out, &trace)?;
            return Ok(());
        }
        let lines = trace
            .get("lines")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        write!(out, "{}", ladder::draw(lines))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_ringing_call_has_talked_no_time() {
        let at = |text| Wall::parse_rfc3339(text).unwrap();
        let calls = [
            json!({"call_id": "01J", "x": "17000000001", "caller": "138****0001", "callee": "139****0002",
                "phase": "ringing", "arrived_at": "2026-11-21T10:00:00Z", "answered_at": null}),
            json!({"call_id": "01K", "x": "17000000001", "phase": "answered",
                "arrived_at": "2026-11-21T10:00:00Z", "answered_at": "2026-11-21T10:00:05Z"}),
        ];
        let drawn = table(&calls, at("2026-11-21T10:01:10Z")).to_string();
        let lines: Vec<_> = drawn.lines().collect();
        assert!(
            lines[1].contains("ringing") && !lines[1].contains("1m"),
            "{drawn}"
        );
        assert!(lines[2].contains(" 1m5s "), "{drawn}");
    }
}
