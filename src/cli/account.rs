//! `umbra account`

use std::io::Write;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::client::{Control, escaped};
use super::pool::yes_or_no;
use super::screen::{self, Form, Listing, text};
use super::table::{Align, Table};
use super::when;
use crate::base::language::{Language, NoLanguage};

/// What can be done with accounts.
#[derive(Subcommand, Debug)]
pub enum Account {
    /// Make an account
    Add(Add),
    /// List the accounts
    List(Form),
    /// Change an account's limits; what is not named stays
    Set(Set),
    /// Refuse its calls, binds and unbinds; nothing is lost
    Suspend(One),
    /// Let it do business again
    Resume(One),
}

/// What `account add` takes.
#[derive(Args, Debug)]
pub struct Add {
    /// Its name
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
    #[command(flatten)]
    form: Form,
}

/// One account.
#[derive(Args, Debug)]
pub struct One {
    /// Its name
    name: String,
}

/// What `account set` takes.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["x_per_a", "expiry_max", "language", "record", "record_from", "record_tone", "recordings_keep_days", "recordings_at_least_days"]))]
pub struct Set {
    /// Its name
    name: String,
    /// Numbers that one A may have in AX and AXYB, 1–1000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    x_per_a: Option<u64>,
    /// Its bindings must end at most this far ahead; 0: they needn't
    #[arg(long, value_name = "TIME", value_parser = expiry)]
    expiry_max: Option<Duration>,
    /// What callers are told in, such as en; "server" for what the server speaks
    #[arg(long, value_name = "LANGUAGE", value_parser = |text: &str| spoken(text, "server"))]
    language: Option<Spoken>,
    #[command(flatten)]
    recording: Recording,
    /// So many days after their end its recordings are deleted; "conf": when the conf says
    #[arg(long, value_name = "DAYS", value_parser = days)]
    recordings_keep_days: Option<Days>,
    /// Before so many days nobody may erase one, nor before the conf says; "conf": only that
    #[arg(long, value_name = "DAYS", value_parser = days)]
    recordings_at_least_days: Option<Days>,
}

/// What is said of recordings for all calls of an account, or of a pool.
#[derive(Args, Debug)]
pub(super) struct Recording {
    /// Whether all calls are recorded, whatever their bindings say; never those of a 95 number
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    record: Option<bool>,
    /// From when on: "answer", or "early_media", when the caller hears the called side before that; "conf" for the conf's
    #[arg(long, value_name = "WHEN", value_parser = ["answer", "early_media", "conf"])]
    record_from: Option<String>,
    /// Who is told, before the two talk, that the call is recorded: "caller", "callee", "both"; "binding": whom its binding
    /// names. Whoever a binding, pool, account or trunk names is told
    #[arg(long, value_name = "WHO", value_parser = ["caller", "callee", "both", "binding"])]
    record_tone: Option<String>,
}

impl Recording {
    /// As the API names it.
    pub(super) fn fields(self) -> impl Iterator<Item = (&'static str, Value)> {
        let or_null = |name, nobody: &str, word: Option<String>| {
            let value = word.map(|word| if word == nobody { Value::Null } else { word.into() });
            value.map(|value| (name, value))
        };
        let record = self.record.map(|record| ("record", record.into()));
        let from = or_null("record_from", "conf", self.record_from);
        let tone = or_null("record_tone", "binding", self.record_tone);
        [record, from, tone].into_iter().flatten()
    }
}

/// So many days, or what the conf says.
#[derive(Clone, Copy, Debug)]
struct Days(Option<u32>);

fn days(text: &str) -> Result<Days, String> {
    if text == "conf" {
        return Ok(Days(None));
    }
    let days = text.parse().map(|days| Days(Some(days)));
    days.map_err(|_| "a number of days, or \"conf\"".into())
}

/// A language, or what another speaks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spoken(pub(super) Option<Language>);

/// A language, or `as_other`.
pub(super) fn spoken(text: &str, as_other: &str) -> Result<Spoken, NoLanguage> {
    if text == as_other {
        return Ok(Spoken(None));
    }
    text.parse().map(|language| Spoken(Some(language)))
}

fn expiry(time: &str) -> Result<Duration, String> {
    if time == "0" {
        return Ok(Duration::ZERO);
    }
    when::duration(time)
}

impl Account {
    /// Does it.
    ///
    /// # Errors
    /// What the server says.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        match self {
            Self::Add(add) => {
                let body = json!({"name": add.name});
                let account = control.send(Method::POST, "/v1/accounts", Some(&body))?;
                if add.form.json {
                    screen::write_json(out, &account)?;
                } else {
                    write_line(&account, out)?;
                }
            }
            Self::List(form) => {
                let all = Listing {
                    json: form.json,
                    full: false,
                    limit: Some(usize::MAX),
                };
                let found = screen::rows(control, "/v1/accounts", &[], "accounts", all)?;
                list(&found.rows, form, out)?;
            }
            Self::Set(set) => {
                let mut body = Map::new();
                body.extend(set.x_per_a.map(|n| ("x_per_a".to_owned(), n.into())));
                body.extend(set.expiry_max.map(|time| {
                    let seconds = Some(time.as_secs()).filter(|s| *s > 0);
                    ("expiry_max_s".to_owned(), json!(seconds))
                }));
                body.extend(
                    set.language
                        .map(|spoken| ("language".to_owned(), json!(spoken.0))),
                );
                let recording = set.recording.fields();
                body.extend(recording.map(|(name, value)| (name.to_owned(), value)));
                let kept = [
                    ("recordings_keep_days", set.recordings_keep_days),
                    ("recordings_at_least_days", set.recordings_at_least_days),
                ];
                body.extend(
                    kept.into_iter()
                        .filter_map(|(name, days)| Some((name.to_owned(), json!(days?.0)))),
                );
                let target = format!("/v1/accounts/{}", escaped(&set.name));
                let account = control.send(Method::PATCH, &target, Some(&Value::Object(body)))?;
                write_line(&account, out)?;
            }
            Self::Suspend(one) => act(control, &one.name, "suspend", out)?,
            Self::Resume(one) => act(control, &one.name, "resume", out)?,
        }
        Ok(())
    }
}

fn act(control: &Control, name: &str, what: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let target = format!("/v1/accounts/{}/{what}", escaped(name));
    write_line(&control.send(Method::POST, &target, None)?, out)?;
    Ok(())
}

fn write_line(account: &Value, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "{}  {}", text(account, "name"), text(account, "state"))
}

fn list(accounts: &[Value], form: Form, out: &mut dyn Write) -> std::io::Result<()> {
    if form.json {
        return screen::write_json_rows(out, accounts);
    }
    let mut table =
        Table::new(&["NAME", "STATE", "X/A", "EXPIRY MAX", "LANGUAGE", "CREATED"]).align("X/A", Align::Right);
    for account in accounts {
        let expiry = account.get("expiry_max_s").and_then(Value::as_u64);
        table.row([
            text(account, "name"),
            text(account, "state"),
            text(account, "x_per_a"),
            expiry.map_or_else(|| "none".into(), |s| when::show_duration(Duration::from_secs(s))),
            text(account, "language"),
            screen::time(account, "created_at"),
        ]);
    }
    write!(out, "{table}")
}
