//! `umbra pool`

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::account::{Recording, Spoken, spoken};
use super::client::{Control, escaped};
use super::question::Question;
use super::screen::{self, Form, Listing, text};
use super::table::{Align, Table};
use super::when;
use crate::masking::quarantine::{NotAQuarantine, Quarantine};

/// What can be done with pools. A pool is named by its name or its key.
#[derive(Subcommand, Debug)]
pub enum Pool {
    /// Make a pool, and print its key
    Add(Add),
    /// List the pools
    List(Form),
    /// Show a pool
    Show(Show),
    /// Change a pool; what is not named stays
    Set(Set),
    /// Show how a pool's numbers are used, and those of each of its cities
    Usage(Show),
}

/// What `pool add` takes.
#[derive(Args, Debug)]
pub struct Add {
    /// Its name
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// The mode of its bindings
    #[arg(long, value_enum, default_value = "axb")]
    mode: Mode,
    /// The account that owns it
    #[arg(long, value_name = "A", value_parser = NonEmptyStringValueParser::new())]
    account: Option<String>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    form: Form,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum Mode {
    /// A and B reach each other by dialling X
    Axb,
    /// Anyone reaches A by dialling X
    Ax,
    /// A reaches B by dialling Y, B reaches A by dialling X
    Axyb,
    /// The members of a group reach A by dialling X
    Axg,
    /// The members of a group reach B by dialling X
    Gxb,
    /// The members of a group reach B by dialling Y, B reaches one of them by dialling X
    Gxyb,
    /// Work numbers: customers reach an employee by dialling X
    Xb,
    /// Anyone reaches by X the number behind it
    #[value(name = "400")]
    Inbound,
    /// Anyone reaches A by dialling X and keying A's extension
    Axe,
    /// Anyone reaches A by dialling X; A reaches by it whom the callback says
    Axn,
    /// The same on 95 numbers
    #[value(name = "95axn")]
    Axn95,
    /// The customer's server says whom a caller of X reaches: see --ask-url
    X,
}

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Self::Axb => "axb",
            Self::Ax => "ax",
            Self::Axyb => "axyb",
            Self::Axg => "axg",
            Self::Gxb => "gxb",
            Self::Gxyb => "gxyb",
            Self::Xb => "xb",
            Self::Inbound => "400",
            Self::Axe => "axe",
            Self::Axn => "axn",
            Self::Axn95 => "95axn",
            Self::X => "x",
        }
    }
}

/// What `pool set` takes.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args([
    "name", "pairs_per_x", "relations_per_y", "city_rule", "fallback_cities", "reuse", "callback",
    "accept_unidentified", "quarantine", "free_low", "ring_timeout", "calls_per_x", "calls_per_caller", "t38",
    "language", "record", "record_from", "record_tone",
    "width", "extensions_per_x", "collect", "owner_dials", "last_kept",
    "ask_url", "ask_secret_file", "ask_secret_env", "ask_numbers",
    "question", "question_to", "question_keys", "question_loops",
]))]
pub struct Set {
    /// Its name or key
    pool: String,
    /// A new name
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    form: Form,
}

/// What holds for all numbers of a pool.
#[derive(Args, Debug)]
struct Settings {
    /// AXB pairs that one number may carry, 1–5000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=5_000))]
    pairs_per_x: Option<u64>,
    /// AXYB relations in which one number may be the Y, 1–5000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=5_000))]
    relations_per_y: Option<u64>,
    /// What a wish for a city means: strict gives that city's numbers only
    #[arg(long, value_enum)]
    city_rule: Option<CityRule>,
    /// Where a loose pool looks next if a city has no number left; may be repeated, in this order
    #[arg(long = "fallback-city", value_name = "CITY", value_parser = NonEmptyStringValueParser::new())]
    fallback_cities: Vec<String>,
    /// Whether A gets the number that he had, or never one that A or B had lately
    #[arg(long, value_enum)]
    reuse: Option<Reuse>,
    /// Where A's own call to X goes
    #[arg(long, value_enum)]
    callback: Option<Callback>,
    /// Whether callers without a usable identity are anyone, or refused
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    accept_unidentified: Option<bool>,
    /// How long what became free rests: "24h soft", "7d hard", or "conf" for the conf's rule
    #[arg(long, value_name = "RULE", value_parser = quarantine)]
    quarantine: Option<QuarantineRule>,
    /// Raise an alarm when less than this share of the pool is free; 0: never
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(0..=100))]
    free_low: Option<u64>,
    /// How long the called party rings if the binding doesn't say, 5s to 3m; 0 for the conf's
    #[arg(long, value_name = "TIME", value_parser = ring_timeout)]
    ring_timeout: Option<Duration>,
    /// Calls that may go by one number at once, 1–100000; 0: any
    #[arg(long, value_name = "N")]
    calls_per_x: Option<u64>,
    /// Calls of one caller among them, 1–100000; 0: any
    #[arg(long, value_name = "N")]
    calls_per_caller: Option<u64>,
    /// What becomes of a fax that a call turns into. Passed on, it tells the other side what the machine calls itself:
    /// mostly its real number
    #[arg(long, value_enum)]
    t38: Option<Fax>,
    /// What callers are told in, such as en; "account" for what the account speaks
    #[arg(long, value_name = "LANGUAGE", value_parser = |text: &str| spoken(text, "account"))]
    language: Option<Spoken>,
    #[command(flatten)]
    recording: Recording,
    /// Digits of an AXE extension, 1–4; not while extensions are bound
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=4))]
    width: Option<u64>,
    /// AXE extensions behind one number, 1–9999
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=9_999))]
    extensions_per_x: Option<u64>,
    /// Whether callers are asked for keys on an answered call, or in early media
    #[arg(long, value_enum)]
    collect: Option<Collect>,
    /// What an owner of an AXE extension gets by dialling X
    #[arg(long, value_enum)]
    owner_dials: Option<OwnerDials>,
    /// How long the last caller of X is kept for A to call back, 1s to 30d
    #[arg(long, value_name = "TIME", value_parser = when::duration)]
    last_kept: Option<Duration>,
    /// The customer's server that is asked whom a caller reaches, in a pool of mode x: an http or https URL; "none": nobody
    /// is asked any more
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    ask_url: Option<String>,
    /// The file of the secret that signs what it is asked, 16 to 256 bytes; it is never shown again
    #[arg(long, value_name = "FILE", conflicts_with = "ask_secret_env")]
    ask_secret_file: Option<PathBuf>,
    /// Or the variable of the environment that holds it
    #[arg(long, value_name = "NAME")]
    ask_secret_env: Option<String>,
    /// How that server is told who calls
    #[arg(long, value_enum)]
    ask_numbers: Option<NumbersTold>,
    #[command(flatten)]
    question: Question,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum Collect {
    /// On an answered call
    Answer,
    /// In early media
    Early,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum OwnerDials {
    /// His callback
    Callback,
    /// The question, as everybody; # is his callback
    Ask,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum NumbersTold {
    /// Not at all
    None,
    /// As 138****0001
    Masked,
    /// In full, which is the usual
    Full,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Fax {
    /// It is refused, and the call goes on as it was
    Refuse,
    /// It is passed on, with the number that its frames carry
    Pass,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum CityRule {
    /// That city's numbers, then those of the fall-back cities, then any
    Loose,
    /// That city's numbers and no other
    Strict,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum Reuse {
    /// Numbers in turn
    Any,
    /// A gets the number that he had last, if it is free
    Sticky,
    /// Never a number that A or B has, or had within a day
    Avoid,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum Callback {
    /// To the callee that was set just before
    Temporary,
    /// To who called A last by X
    Last,
    /// To the number that the binding names (--callback)
    Preset,
    /// A hears a tone
    Tone,
    /// It is refused
    Refused,
}

/// A rule of `--quarantine`; `None` is the conf's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct QuarantineRule(Option<Quarantine>);

fn quarantine(rule: &str) -> Result<QuarantineRule, NotAQuarantine> {
    match rule {
        "conf" => Ok(QuarantineRule(None)),
        rule => rule.parse().map(|rule| QuarantineRule(Some(rule))),
    }
}

fn ring_timeout(time: &str) -> Result<Duration, String> {
    if time == "0" {
        return Ok(Duration::ZERO);
    }
    match when::duration(time) {
        Ok(time) if (5..=180).contains(&time.as_secs()) => Ok(time),
        Ok(_) => Err("a phone rings for 5s to 3m; 0 takes the conf's time".into()),
        Err(fault) => Err(fault),
    }
}

pub(super) fn yes_or_no(word: &str) -> Result<bool, String> {
    match word {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("write yes or no".into()),
    }
}

impl Settings {
    fn put(self, body: &mut Map<String, Value>) -> anyhow::Result<()> {
        self.question.put(body);
        let mut put = |name: &str, value: Option<Value>| {
            body.extend(value.map(|value| (name.to_owned(), value)));
        };
        put("axb_pairs_per_x", self.pairs_per_x.map(Into::into));
        put("relations_per_y", self.relations_per_y.map(Into::into));
        let rule = self.city_rule.map(|rule| match rule {
            CityRule::Loose => "loose",
            CityRule::Strict => "strict",
        });
        put("city_rule", rule.map(Into::into));
        let cities = Some(self.fallback_cities).filter(|cities| !cities.is_empty());
        put("fallback_cities", cities.map(Into::into));
        let reuse = self.reuse.map(|reuse| match reuse {
            Reuse::Any => "any",
            Reuse::Sticky => "sticky",
            Reuse::Avoid => "avoid",
        });
        put("reuse", reuse.map(Into::into));
        let callback = self.callback.map(|callback| match callback {
            Callback::Temporary => "temporary",
            Callback::Last => "last",
            Callback::Preset => "preset",
            Callback::Tone => "tone",
            Callback::Refused => "refused",
        });
        put("callback", callback.map(Into::into));
        put("accept_unidentified", self.accept_unidentified.map(Into::into));
        let quarantine = self
            .quarantine
            .map(|QuarantineRule(rule)| json!(rule.map(|rule| rule.to_string())));
        put("quarantine", quarantine);
        put("free_low_percent", self.free_low.map(Into::into));
        let ring = self.ring_timeout.map(|time| match time.as_secs() {
            0 => Value::Null,
            seconds => seconds.into(),
        });
        put("ring_timeout_s", ring);
        let calls = |limit: u64| if limit == 0 { Value::Null } else { limit.into() };
        put("calls_per_x", self.calls_per_x.map(calls));
        put("calls_per_caller", self.calls_per_caller.map(calls));
        let fax = self.t38.map(|fax| match fax {
            Fax::Refuse => "refuse",
            Fax::Pass => "pass",
        });
        put("t38", fax.map(Into::into));
        put("language", self.language.map(|spoken| json!(spoken.0)));
        for (name, value) in self.recording.fields() {
            put(name, Some(value));
        }
        put("extension_width", self.width.map(Into::into));
        put("extensions_per_x", self.extensions_per_x.map(Into::into));
        let collect = self.collect.map(|collect| match collect {
            Collect::Answer => "answer",
            Collect::Early => "early",
        });
        put("collect", collect.map(Into::into));
        let owner_dials = self.owner_dials.map(|dials| match dials {
            OwnerDials::Callback => "callback",
            OwnerDials::Ask => "ask",
        });
        put("owner_dials", owner_dials.map(Into::into));
        put("last_kept_s", self.last_kept.map(|time| time.as_secs().into()));
        let url = self.ask_url.map(|url| match url.as_str() {
            "none" => Value::Null,
            url => url.into(),
        });
        put("ask_url", url);
        let secret = match (self.ask_secret_file, self.ask_secret_env) {
            (Some(file), _) => {
                let text = std::fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
            (None, Some(name)) => Some(std::env::var(&name).with_context(|| format!("the variable {name}"))?),
            (None, None) => None,
        };
        put("ask_secret", secret.map(Into::into));
        let numbers = self.ask_numbers.map(|numbers| match numbers {
            NumbersTold::None => "none",
            NumbersTold::Masked => "masked",
            NumbersTold::Full => "full",
        });
        put("ask_numbers", numbers.map(Into::into));
        Ok(())
    }
}

/// What `pool show` and `pool usage` take.
#[derive(Args, Debug)]
pub struct Show {
    /// Its name or key
    pool: String,
    #[command(flatten)]
    form: Form,
}

impl Pool {
    /// Does it.
    ///
    /// # Errors
    /// What the server says.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        match self {
            Self::Add(add) => {
                let mut body = Map::new();
                body.insert("name".into(), add.name.into());
                body.insert("mode".into(), add.mode.name().into());
                body.extend(add.account.map(|a| ("account".to_owned(), a.into())));
                add.settings.put(&mut body)?;
                let pool = control.send(Method::POST, "/v1/pools", Some(&Value::Object(body)))?;
                screen::say_warning(&pool);
                if add.form.json {
                    screen::write_json(out, &pool)?;
                } else {
                    writeln!(out, "{}", text(&pool, "key"))?;
                }
            }
            Self::List(form) => {
                let all = Listing {
                    json: form.json,
                    full: false,
                    limit: Some(usize::MAX),
                };
                let found = screen::rows(control, "/v1/pools", &[], "pools", all)?;
                list(&found.rows, form, out)?;
            }
            Self::Show(asked) => {
                let pool = control.get(&format!("/v1/pools/{}", escaped(&asked.pool)), &[])?;
                show(&pool, asked.form, out)?;
            }
            Self::Set(set) => {
                let mut body = Map::new();
                body.extend(set.name.map(|name| ("name".to_owned(), name.into())));
                set.settings.put(&mut body)?;
                let target = format!("/v1/pools/{}", escaped(&set.pool));
                let pool = control.send(Method::PATCH, &target, Some(&Value::Object(body)))?;
                screen::say_warning(&pool);
                show(&pool, set.form, out)?;
            }
            Self::Usage(asked) => {
                let usage = control.get(&format!("/v1/pools/{}/usage", escaped(&asked.pool)), &[])?;
                show_usage(&usage, asked.form, out)?;
            }
        }
        Ok(())
    }
}

fn list(pools: &[Value], form: Form, out: &mut dyn Write) -> std::io::Result<()> {
    if form.json {
        return screen::write_json_rows(out, pools);
    }
    let mut table =
        Table::new(&["NAME", "KEY", "MODE", "ACCOUNT", "PAIRS/X", "CREATED"]).align("PAIRS/X", Align::Right);
    for pool in pools {
        table.row([
            text(pool, "name"),
            text(pool, "key"),
            text(pool, "mode"),
            text(pool, "account"),
            text(pool, "axb_pairs_per_x"),
            screen::time(pool, "created_at"),
        ]);
    }
    write!(out, "{table}")
}

/// One setting a line.
fn show(pool: &Value, form: Form, out: &mut dyn Write) -> std::io::Result<()> {
    if form.json {
        return screen::write_json(out, pool);
    }
    let or = |name: &str, none: &str| match text(pool, name) {
        nothing if nothing.is_empty() => none.to_owned(),
        said => said,
    };
    let ring = pool.get("ring_timeout_s").and_then(Value::as_u64);
    let ring = ring.map(|s| when::show_duration(Duration::from_secs(s)));
    let kept = pool.get("last_kept_s").and_then(Value::as_u64);
    let kept = kept.map(|s| when::show_duration(Duration::from_secs(s)));
    let cities = match screen::list(pool, "fallback_cities") {
        none if none.is_empty() => "none".to_owned(),
        cities => cities,
    };
    let created = match screen::time(pool, "created_at") {
        none if none.is_empty() => "always there".to_owned(),
        at => at,
    };
    let lines = [
        ("name", text(pool, "name")),
        ("key", text(pool, "key")),
        ("mode", text(pool, "mode")),
        ("account", text(pool, "account")),
        ("pairs per x", text(pool, "axb_pairs_per_x")),
        ("relations per y", text(pool, "relations_per_y")),
        ("city rule", text(pool, "city_rule")),
        ("fallback cities", cities),
        ("reuse", text(pool, "reuse")),
        ("callback", text(pool, "callback")),
        ("accept unidentified", text(pool, "accept_unidentified")),
        ("quarantine", or("quarantine", "as the conf says")),
        ("free low", format!("{} %", text(pool, "free_low_percent"))),
        ("calls per x", or("calls_per_x", "any")),
        ("calls per caller", or("calls_per_caller", "any")),
        ("t38", text(pool, "t38")),
        ("language", or("language", "as its account speaks")),
        ("extension width", text(pool, "extension_width")),
        ("extensions per x", text(pool, "extensions_per_x")),
        ("collect", text(pool, "collect")),
        ("owner dials", text(pool, "owner_dials")),
        ("last kept", kept.unwrap_or_default()),
        ("question at the end", or("question", "none")),
        ("ring timeout", ring.unwrap_or_else(|| "as the conf says".into())),
        ("created", created),
    ];
    let secret = match pool.get("ask_secret_set").and_then(Value::as_bool) {
        Some(true) => "set",
        Some(false) | None => "none",
    };
    let asks = [
        ("asks", or("ask_url", "nobody")),
        ("secret", secret.to_owned()),
        ("tells numbers", text(pool, "ask_numbers")),
    ];
    let asks = asks.into_iter().filter(|_| text(pool, "mode") == "x");
    for (name, value) in lines.into_iter().chain(asks) {
        writeln!(out, "{name:<20} {value}")?;
    }
    Ok(())
}

fn show_usage(usage: &Value, form: Form, out: &mut dyn Write) -> std::io::Result<()> {
    if form.json {
        return screen::write_json(out, usage);
    }
    const COUNTS: [(&str, &str); 9] = [
        ("NUMBERS", "numbers"),
        ("IDLE", "idle"),
        ("BOUND", "bound"),
        ("FULL", "full"),
        ("LOCKED", "locked"),
        ("FROZEN", "frozen"),
        ("INVENTORY", "inventory"),
        ("BINDINGS", "bindings"),
        ("FREE %", "free_percent"),
    ];
    let mut table = Table::new(&[
        "CITY",
        "NUMBERS",
        "IDLE",
        "BOUND",
        "FULL",
        "LOCKED",
        "FROZEN",
        "INVENTORY",
        "BINDINGS",
        "FREE %",
    ]);
    for (head, _) in COUNTS {
        table = table.align(head, Align::Right);
    }
    let mut row = |name: &str, usage: &Value| {
        let mut counts = COUNTS.iter().map(|(_, count)| text(usage, count));
        let mut name = Some(name.to_owned());
        table.row::<10>(std::array::from_fn(|_| {
            name.take().or_else(|| counts.next()).unwrap_or_default()
        }));
    };
    for (city, usage) in usage
        .get("cities")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        row(city, usage);
    }
    row("all", usage);
    write!(out, "{table}")?;
    writeln!(
        out,
        "{} ended bindings' keys are in quarantine",
        text(usage, "quarantined")
    )?;
    if usage.get("low") == Some(&Value::Bool(true)) {
        writeln!(out, "the pool is low: add numbers to it")?;
    }
    Ok(())
}
