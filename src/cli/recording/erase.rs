//! `umbra recording erase`

use std::io::Write;

use anyhow::bail;
use clap::{ArgGroup, Args};
use hyper::Method;
use serde_json::{Value, json};

use super::list;
use super::whose::Whose;
use crate::base::id::Id;
use crate::base::time::Wall;
use crate::cli::client::Control;
use crate::cli::screen::{self, Listing, text};
use crate::cli::when;

const ABOUT: &str = "\
Erase recordings: one, or all of a call, of a binding's calls, or of the calls in which a number took part. First it is only said \
what would be erased; --yes does it. A recording that has to be kept for longer (recordings.at_least_days) stays, and it is said \
until when; one that is being written stays until its call is over. Nothing brings an erased one back.

Exit code 1 if any of them stays, or if the records of calls can't tell of all in which the number took part.";

const UNNOTED: &str = "the audit log refused to note that they are gone; it has that they were to go";

/// What `recording erase` takes.
#[derive(Args, Debug)]
#[command(long_about = ABOUT, group = ArgGroup::new("which").args(["id", "call", "binding", "number"]).required(true))]
pub struct Erase {
    /// The recording
    id: Option<Id>,
    #[command(flatten)]
    whose: Whose,
    /// Do it, instead of only saying what would be erased
    #[arg(long)]
    yes: bool,
}

impl Erase {
    /// Erases them, or says which would be.
    ///
    /// # Errors
    /// What the server says; some of them stay.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let query = self.whose.into_query();
        if !self.yes {
            return would(control, self.id, &query, out);
        }
        if let Some(id) = self.id {
            let answer = control.send(Method::DELETE, &format!("/v1/recordings/{id}"), None)?;
            writeln!(out, "{id}  gone")?;
            if answer.get("noted") == Some(&Value::Bool(false)) {
                writeln!(out, "{UNNOTED}")?;
            }
            return Ok(());
        }
        let mut body: Value = query.iter().map(|(name, value)| (*name, json!(value))).collect();
        let (mut gone, mut stay, mut is_noted) = (0, 0, true);
        let warning = loop {
            let answer = control.send_patiently(Method::POST, "/v1/recordings/erase", Some(&body))?;
            for row in rows(&answer, "erased") {
                match text(row, "became").as_str() {
                    "gone" => gone += 1,
                    _ => stay += 1,
                }
                writeln!(out, "{}  {}", text(row, "id"), became(row))?;
            }
            for row in rows(&answer, "failed") {
                stay += 1;
                writeln!(out, "{}  stays: {}", text(row, "id"), text(row, "message"))?;
            }
            is_noted &= answer.get("noted").and_then(Value::as_bool).unwrap_or(true);
            match answer.get("next") {
                Some(next) => body["after"] = next.clone(),
                None => break text(&answer, "warning"),
            }
        };
        if !is_noted {
            writeln!(out, "{UNNOTED}")?;
        }
        match (gone, stay) {
            (gone, 0) if !warning.is_empty() => bail!("{gone} erased; {warning}"),
            (0, 0) => writeln!(out, "there is no such recording")?,
            (_, 0) => writeln!(out, "{gone} erased")?,
            (_, _) if warning.is_empty() => bail!("{gone} erased, {stay} stay"),
            (_, _) => bail!("{gone} erased, {stay} stay; {warning}"),
        }
        Ok(())
    }
}

fn rows<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// What became of a recording, in words.
fn became(row: &Value) -> String {
    match text(row, "became").as_str() {
        "not_before" => format!(
            "not before {}: it has to be kept until then",
            screen::time(row, "not_before")
        ),
        "running" => "stays: it is being written, ask again when its call is over".to_owned(),
        other => other.to_owned(),
    }
}

/// Why a recording would stay, if it would.
fn stays(row: &Value, now: Wall) -> String {
    if text(row, "state") == "running" {
        return "  stays: it is being written".to_owned();
    }
    let not_before = Wall::parse_rfc3339(&text(row, "not_before"));
    match not_before.is_some_and(|time| now < time) {
        true => format!("  not before {}", screen::time(row, "not_before")),
        false => String::new(),
    }
}

/// Says what would be erased.
fn would(
    control: &Control,
    id: Option<Id>,
    query: &[(&str, String)],
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    // All of them: whoever says yes erases all of them.
    let listing = Listing {
        json: true,
        full: false,
        limit: None,
    };
    let found = match id {
        Some(id) => vec![control.get(&format!("/v1/recordings/{id}"), &[])?],
        None => list::all(control, query, listing)?.rows,
    };
    let now = when::now();
    for row in &found {
        writeln!(
            out,
            "{}  began {}{}",
            text(row, "id"),
            screen::time(row, "began"),
            stays(row, now)
        )?;
    }
    writeln!(
        out,
        "{} recordings; nothing was erased: --yes does it",
        found.len()
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_that_may_be_erased_by_now_isn_t_said_to_stay() {
        let row = |state: &str| json!({"state": state, "not_before": "2026-12-01T10:00:03.000Z"});
        let at = |text: &str| Wall::parse_rfc3339(text).expect("a time");
        let (before, then) = (at("2026-12-01T10:00:02.999Z"), at("2026-12-01T10:00:03.000Z"));
        assert!(stays(&row("whole"), before).starts_with("  not before 2026-12-01"));
        assert_eq!(stays(&row("whole"), then), "");
        assert_eq!(stays(&row("running"), then), "  stays: it is being written");
        assert_eq!(stays(&json!({"state": "broken", "not_before": null}), then), "");
    }
}
