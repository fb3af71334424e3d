//! `umbra bind`, `update`, `unbind`, `bindings`.

mod grouped;

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use hyper::Method;
use serde_json::{Map, Value};

use super::client::{self, Control, escaped};
use super::cues::Cues;
use super::screen::{self, Form, Listing, text};
use super::table::Table;
use super::when;
use crate::base::time::Wall;

/// `umbra bind MODE`
#[derive(Subcommand, Debug)]
pub enum Bind {
    /// A and B reach each other by dialling X; anyone else is refused
    Axb(Axb),
    /// Anyone reaches A by dialling X; A reaches by it whom `umbra callee` named
    Ax(Ax),
    /// A reaches B by dialling Y, B reaches A by dialling X
    Axyb(Axyb),
    #[command(flatten)]
    Grouped(grouped::Grouped),
    /// Anyone reaches A by dialling X and keying A's extension; many share X
    Axe(Axe),
    /// Anyone reaches A by dialling X; A reaches by it whom the pool's callback says
    Axn(Ax),
    /// The same on a 95 number, which never records
    #[command(name = "95axn")]
    Axn95(Ax),
}

/// What `bind axe` takes.
#[derive(Args, Debug)]
pub struct Axe {
    #[command(flatten)]
    common: Common,
    /// The extension, of as many digits as the pool says; without it one is chosen
    #[arg(long, value_name = "E", value_parser = NonEmptyStringValueParser::new())]
    extension: Option<String>,
}

/// What `bind axb` takes.
#[derive(Args, Debug)]
pub struct Axb {
    #[command(flatten)]
    common: Common,
    /// The other party
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    b: String,
}

/// What `bind ax` takes.
#[derive(Args, Debug)]
pub struct Ax {
    #[command(flatten)]
    common: Common,
}

/// What `bind axyb` takes.
#[derive(Args, Debug)]
pub struct Axyb {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    other: ByY,
}

/// What each of them takes.
#[derive(Args, Debug)]
struct Common {
    #[command(flatten)]
    number: Number,
    /// The protected subscriber
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    a: String,
    #[command(flatten)]
    bound: Bound,
}

/// The virtual number, or what chooses it.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("number").required(true).args(["x", "pool"]))]
struct Number {
    /// The virtual number
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    x: Option<String>,
    /// Let this pool (name or key) choose the virtual number
    #[arg(long, value_name = "P", value_parser = NonEmptyStringValueParser::new())]
    pool: Option<String>,
    /// The city that the pool's number should be of
    #[arg(long, requires = "pool", value_parser = NonEmptyStringValueParser::new())]
    city: Option<String>,
}

/// What every `bind` takes, whomever it joins.
#[derive(Args, Debug)]
struct Bound {
    #[command(flatten)]
    expiry: Expiry,
    #[command(flatten)]
    terms: Terms,
    /// Record its calls; where that can't be, their records say why
    #[arg(long)]
    record: bool,
    /// What happens if the same are already joined so
    #[arg(long, value_enum, value_name = "WHAT")]
    on_conflict: Option<OnConflict>,
    /// Check everything and bind nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    form: Form,
}

/// The other party, where a virtual number of its own stands for it.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("other").required(true).args(["y", "y_pool"]))]
struct ByY {
    /// The virtual number that stands for B
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    y: Option<String>,
    /// Let this pool (name or key) choose Y
    #[arg(long, value_name = "P", value_parser = NonEmptyStringValueParser::new())]
    y_pool: Option<String>,
    /// The other party
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    b: String,
}

/// When a binding ends by itself.
#[derive(Args, Debug, Default)]
struct Expiry {
    /// How long it holds (10m, 1h30m, 7d)
    #[arg(long, value_name = "DURATION", value_parser = when::duration, conflicts_with = "until")]
    ttl: Option<Duration>,
    /// Until when it holds (2026-12-31 00:00, local time)
    #[arg(long, value_name = "TIME", value_parser = when::time)]
    until: Option<Wall>,
}

/// Terms that both `bind` and `update` take.
#[derive(Args, Debug, Default)]
struct Terms {
    /// Who may call whom
    #[arg(long, value_enum, value_name = "WAY")]
    direction: Option<Direction>,
    /// Cut calls after this long (1 minute to 24 hours)
    #[arg(long, value_name = "DURATION", value_parser = when::duration)]
    max_duration: Option<Duration>,
    /// How long the called party rings (5s to 3m)
    #[arg(long, value_name = "DURATION", value_parser = when::duration)]
    ring_timeout: Option<Duration>,
    /// Your order's id, for records and search
    #[arg(long, value_name = "S")]
    order_id: Option<String>,
    /// Your own words, echoed in records (256 bytes)
    #[arg(long, value_name = "S")]
    user_data: Option<String>,
    /// Whom A reaches by dialling his own X, where the pool's callback is preset
    #[arg(long, value_name = "NUMBER", value_parser = NonEmptyStringValueParser::new())]
    callback: Option<String>,
    #[command(flatten)]
    cues: Cues,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum Direction {
    /// Both ways
    Both,
    /// Only A may call
    AToB,
    /// Only B may call
    BToA,
}

impl Direction {
    const fn name(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::AToB => "a-to-b",
            Self::BToA => "b-to-a",
        }
    }
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum OnConflict {
    /// Refuse, naming the binding that is there
    Fail,
    /// Return the binding that is there
    Return,
    /// Return it with the new expiry
    Extend,
}

impl OnConflict {
    const fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Return => "return",
            Self::Extend => "extend",
        }
    }
}

impl Expiry {
    fn put(&self, body: &mut Map<String, Value>) {
        put(body, "ttl_s", self.ttl.map(|d| d.as_secs()));
        put(body, "expires_at", self.until.map(|t| t.to_string()));
    }
}

impl Terms {
    fn put(&self, body: &mut Map<String, Value>) {
        put(body, "direction", self.direction.map(Direction::name));
        put(body, "max_duration_s", self.max_duration.map(|d| d.as_secs()));
        put(body, "ring_timeout_s", self.ring_timeout.map(|d| d.as_secs()));
        put(body, "order_id", self.order_id.as_deref());
        put(body, "user_data", self.user_data.as_deref());
        put(body, "callback", self.callback.as_deref());
        self.cues.put(body);
    }
}

fn put(body: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body.insert(name.into(), value.into());
    }
}

impl Bind {
    /// Binds, and prints the binding with its id first.
    ///
    /// # Errors
    /// What the server says.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let (mode, common) = match &self {
            Self::Axb(Axb { common, .. }) => ("axb", common),
            Self::Ax(Ax { common }) => ("ax", common),
            Self::Axyb(Axyb { common, .. }) => ("axyb", common),
            Self::Grouped(grouped) => return grouped.run(control, out),
            Self::Axe(Axe { common, .. }) => ("axe", common),
            Self::Axn(Ax { common }) => ("axn", common),
            Self::Axn95(Ax { common }) => ("95axn", common),
        };
        let mut body = common.body(mode);
        match &self {
            Self::Axb(axb) => put(&mut body, "b", Some(axb.b.as_str())),
            Self::Ax(_) | Self::Axn(_) | Self::Axn95(_) => {}
            Self::Axe(axe) => put(&mut body, "extension", axe.extension.as_deref()),
            Self::Axyb(axyb) => axyb.other.put(&mut body),
            Self::Grouped(_) => {}
        }
        let bound = control.send(Method::POST, "/v1/bindings", Some(&Value::Object(body)))?;
        if common.bound.form.json {
            screen::write_json(out, &bound)?;
        } else if common.bound.dry_run {
            let y = match text(&bound, "y").as_str() {
                "" => String::new(),
                y => format!(" and Y {y}"),
            };
            let extension = match text(&bound, "extension").as_str() {
                "" => String::new(),
                e => format!(" and extension {e}"),
            };
            writeln!(
                out,
                "it could be bound with X {}{y}{extension}; nothing was bound",
                text(&bound, "x")
            )?;
        } else {
            writeln!(out, "{}", one_line(&bound))?;
        }
        Ok(())
    }
}

impl Common {
    fn body(&self, mode: &str) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("mode".into(), mode.into());
        self.number.put(&mut body);
        put(&mut body, "a", Some(self.a.as_str()));
        self.bound.put(&mut body);
        body
    }
}

impl Number {
    fn put(&self, body: &mut Map<String, Value>) {
        put(body, "x", self.x.as_deref());
        put(body, "pool", self.pool.as_deref());
        put(body, "city", self.city.as_deref());
    }
}

impl Bound {
    fn put(&self, body: &mut Map<String, Value>) {
        self.expiry.put(body);
        self.terms.put(body);
        put(body, "record", self.record.then_some(true));
        put(body, "on_conflict", self.on_conflict.map(OnConflict::name));
        put(body, "dry_run", self.dry_run.then_some(true));
    }
}

impl ByY {
    fn put(&self, body: &mut Map<String, Value>) {
        put(body, "b", Some(self.b.as_str()));
        put(body, "y", self.y.as_deref());
        put(body, "y_pool", self.y_pool.as_deref());
    }
}

/// A binding on one line, its id first.
fn one_line(binding: &Value) -> String {
    let until = match text(binding, "expires_at").as_str() {
        "" => "never ends by itself".to_owned(),
        at => format!("until {}", when::show_api_time(at)),
    };
    let part = |name: &str, shown: &dyn Fn(&str) -> String| match text(binding, name).as_str() {
        "" => String::new(),
        value => format!("  {name} {}", shown(value)),
    };
    let (as_it_is, masked) = (|text: &str| text.to_owned(), |text: &str| screen::masked(text));
    format!(
        "{}{}{}{}{}{}  {}  {until}",
        text(binding, "id"),
        part("x", &as_it_is),
        part("extension", &as_it_is),
        part("a", &masked),
        part("y", &as_it_is),
        part("b", &masked),
        text(binding, "direction"),
    )
}

/// `umbra update`
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args([
    "mode", "a", "b", "ttl", "until", "never", "direction", "max_duration", "ring_timeout", "order_id", "user_data",
    "callback",
    "record", "no_record", "last_minute", "early_media", "waiting_caller", "waiting_callee", "whisper", "record_tone",
    "question", "question_to", "question_keys", "question_loops",
    "group", "ring", "no_ring", "display", "prompt", "no_menu",
]))]
pub struct Update {
    /// The binding's id
    id: String,
    /// Another mode: axb, for an ax binding that gets a B
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    mode: Option<String>,
    /// Another protected subscriber
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    a: Option<String>,
    /// Another other party
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    b: Option<String>,
    #[command(flatten)]
    expiry: Expiry,
    /// It shall not end by itself
    #[arg(long, conflicts_with_all = ["ttl", "until"])]
    never: bool,
    #[command(flatten)]
    terms: Terms,
    #[command(flatten)]
    grouped: grouped::Change,
    /// Record its calls; where that can't be, their records say why
    #[arg(long, conflicts_with = "no_record")]
    record: bool,
    /// Ask for no recordings
    #[arg(long)]
    no_record: bool,
    #[command(flatten)]
    form: Form,
}

impl Update {
    /// Changes a binding, and prints it as it is now.
    ///
    /// # Errors
    /// What the server says.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let target = format!("/v1/bindings/{}", escaped(&self.id));
        let updated = control.send(Method::PATCH, &target, Some(&self.body()?))?;
        if self.form.json {
            screen::write_json(out, &updated)?;
        } else {
            writeln!(out, "{}", one_line(&updated))?;
        }
        Ok(())
    }

    fn body(&self) -> anyhow::Result<Value> {
        let mut body = Map::new();
        put(&mut body, "mode", self.mode.as_deref());
        put(&mut body, "a", self.a.as_deref());
        put(&mut body, "b", self.b.as_deref());
        self.expiry.put(&mut body);
        if self.never {
            body.insert("expires_at".into(), Value::Null);
        }
        self.terms.put(&mut body);
        self.grouped.put(&mut body)?;
        put(
            &mut body,
            "record",
            self.record.then_some(true).or(self.no_record.then_some(false)),
        );
        Ok(Value::Object(body))
    }
}

/// `umbra unbind`
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("which").required(true).args(["id", "x"]))]
pub struct Unbind {
    /// The binding's id
    id: Option<String>,
    /// All bindings of this virtual number
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    x: Option<String>,
}

impl Unbind {
    /// Ends one binding, or all of one X; prints the ids of those that ended.
    ///
    /// # Errors
    /// What the server says; nothing bound to X is an error too.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let target = match (&self.id, &self.x) {
            (Some(id), _) => format!("/v1/bindings/{}", escaped(id)),
            (None, x) => client::target("/v1/bindings", &[("x", x.clone().unwrap_or_default())]),
        };
        let answer = control.send(Method::DELETE, &target, None)?;
        let ended = answer.get("unbound").and_then(Value::as_array);
        for id in ended.into_iter().flatten().filter_map(Value::as_str) {
            writeln!(out, "{id}  unbound")?;
        }
        if let (Some(x), Some(true)) = (&self.x, ended.map(Vec::is_empty)) {
            bail!("nothing is bound to {x}");
        }
        Ok(())
    }
}

/// `umbra bindings`
#[derive(Args, Debug)]
pub struct Bindings {
    /// Only those of this virtual number
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    x: Option<String>,
    /// Only those of this protected subscriber
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    a: Option<String>,
    /// Only those of this other party
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    b: Option<String>,
    /// Only those whose Y this is, in AXYB
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    y: Option<String>,
    /// Only those with this order id
    #[arg(long, value_name = "S", value_parser = NonEmptyStringValueParser::new())]
    order_id: Option<String>,
    /// Only those with these words of yours
    #[arg(long, value_name = "S", value_parser = NonEmptyStringValueParser::new())]
    user_data: Option<String>,
    /// Those that have ended, instead of those that live
    #[arg(long)]
    ended: bool,
    #[command(flatten)]
    listing: Listing,
}

impl Bindings {
    /// Lists bindings.
    ///
    /// # Errors
    /// What the server says.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let listing = self.listing;
        let state = if self.ended { "ended" } else { "live" };
        let mut query = vec![("state", state.to_owned())];
        query.extend(self.x.map(|x| ("x", x)));
        query.extend(self.a.map(|a| ("a", a)));
        query.extend(self.b.map(|b| ("b", b)));
        query.extend(self.y.map(|y| ("y", y)));
        query.extend(self.order_id.map(|s| ("order_id", s)));
        query.extend(self.user_data.map(|s| ("user_data", s)));
        let found = screen::rows(control, "/v1/bindings", &query, "bindings", listing)?;
        if listing.json {
            screen::write_json_rows(out, &found.rows)?;
            return Ok(());
        }
        let when_head = if self.ended { "ENDED" } else { "EXPIRES" };
        let mut table = Table::new(&[
            "ID",
            "MODE",
            "X",
            "EXT",
            "A",
            "Y",
            "B",
            "DIRECTION",
            "CREATED",
            when_head,
            "STATE",
            "ORDER",
        ])
        .spare(&["EXT", "Y", "B", "ORDER"]);
        for row in &found.rows {
            table.row([
                text(row, "id"),
                text(row, "mode"),
                text(row, "x"),
                text(row, "extension"),
                listing.real(row, "a"),
                text(row, "y"),
                listing.real(row, "b"),
                text(row, "direction"),
                screen::time(row, "created_at"),
                screen::time(row, if self.ended { "ended_at" } else { "expires_at" }),
                text(row, "state"),
                text(row, "order_id"),
            ]);
        }
        write!(out, "{table}")?;
        found.say_cut();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_bindings_line_starts_with_its_id_and_hides_the_parties() {
        let line = one_line(&json!({"id": "01J", "x": "17000000001", "a": "+8613800000001",
            "b": "+8613900000002", "direction": "both", "expires_at": null}));
        assert_eq!(
            line,
            "01J  x 17000000001  a 138****0001  b 139****0002  both  never ends by itself"
        );
    }
}
