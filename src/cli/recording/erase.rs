//! `umbra recording erase`

use std::io::Write;

use anyhow::bail;
use clap::{ArgGroup, Args};
use hyper::Method;
use serde_json::{Value, json};

use super::list;
use super::whose::Whose;
use crate::base::id::Id;
use crate::cli::client::Control;
use crate::cli::screen::{self, Listing, text};

const ABOUT: &str = "\
Erase recordings: one, or all of a call, of a binding's calls, or of the calls in which a number took part. First it is only said \
what would be erased; --yes does it. A recording that has to be kept for longer (recordings.at_least_days) stays, and it is said \
until when; one that is being written stays until its call is over. Nothing brings an erased one back.

Exit code 1 if any of them stays.";

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
            control.send(Method::DELETE, &format!("/v1/recordings/{id}"), None)?;
            writeln!(out, "{id}  gone")?;
            return Ok(());
        }
        let body: Value = query.iter().map(|(name, value)| (*name, json!(value))).collect();
        let (mut gone, mut stay) = (0, 0);
        loop {
            let answer = control.send(Method::POST, "/v1/recordings/erase", Some(&body))?;
            let before = gone;
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
            let is_more = answer.get("more").and_then(Value::as_bool).unwrap_or_default();
            if !is_more || gone == before {
                break;
            }
            // Those that stay are told of again with the rest.
            stay = 0;
        }
        match (gone, stay) {
            (0, 0) => writeln!(out, "there is no such recording")?,
            (_, 0) => writeln!(out, "{gone} erased")?,
            (_, _) => bail!("{gone} erased, {stay} of them stay"),
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

/// Says what would be erased.
fn would(
    control: &Control,
    id: Option<Id>,
    query: &[(&str, String)],
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let listing = Listing {
        json: false,
        full: false,
        limit: None,
    };
    let found = match id {
        Some(id) => vec![control.get(&format!("/v1/recordings/{id}"), &[])?],
        None => {
            let found = list::all(control, query, listing)?;
            found.say_cut();
            found.rows
        }
    };
    for row in &found {
        let until = screen::time(row, "not_before");
        let stays = if until.is_empty() {
            String::new()
        } else {
            format!("  not before {until}")
        };
        writeln!(
            out,
            "{}  began {}{stays}",
            text(row, "id"),
            screen::time(row, "began")
        )?;
    }
    writeln!(
        out,
        "{} recordings; nothing was erased: --yes does it",
        found.len()
    )?;
    Ok(())
}
