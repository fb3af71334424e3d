//! `umbra number`

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::client::{Control, escaped};
use super::screen::{self, Form, Listing, text};
use super::table::{Align, Table};
use crate::base::limits::NUMBER_BATCH_MAX;

/// What can be done with virtual numbers.
#[derive(Subcommand, Debug)]
pub enum Number {
    /// Take a number, a range or a file of them into a pool
    Add(Add),
    /// List the numbers
    List(List),
    /// Show a number
    Show(Show),
    /// Keep its bindings, take no new ones
    Lock(One),
    /// Take bindings again
    Unlock(One),
    /// Refuse its calls
    Freeze(Freeze),
    /// Let its calls through again
    Unfreeze(One),
    /// Change its trunks, city, operator or tags; what is not named stays
    Set(Set),
    /// Put it into another pool; only without bindings
    Move(Move),
    /// Give it up for good; only without bindings
    Release(One),
}

/// What `number add` takes.
#[derive(Args, Debug)]
pub struct Add {
    /// The number
    #[arg(value_parser = NonEmptyStringValueParser::new(), required_unless_present_any = ["range", "file"],
          conflicts_with_all = ["range", "file"])]
    x: Option<String>,
    /// All numbers from the first to the last: 17000000000-17000000999
    #[arg(long, value_name = "FIRST-LAST", value_parser = range, conflicts_with = "file")]
    range: Option<Range>,
    /// A file with a number on each line; what follows a # is a remark
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The pool (name or key) [default: the default pool]
    #[arg(long, value_name = "P", value_parser = NonEmptyStringValueParser::new())]
    pool: Option<String>,
    /// Keep it in the inventory: it goes into service when it is moved into a pool
    #[arg(long)]
    inventory: bool,
    #[command(flatten)]
    about: About,
    #[command(flatten)]
    form: Form,
}

/// What is said of a number.
#[derive(Args, Debug)]
struct About {
    /// A trunk that it belongs to; may be repeated. A number that names none belongs to the default trunk
    #[arg(long = "trunk", value_name = "T", value_parser = NonEmptyStringValueParser::new())]
    trunks: Vec<String>,
    /// Its city
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    city: Option<String>,
    /// The operator that gave it out
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    operator: Option<String>,
    /// A word of your own for it; may be repeated
    #[arg(long = "tag", value_name = "TAG", value_parser = NonEmptyStringValueParser::new())]
    tags: Vec<String>,
}

impl About {
    fn put(self, body: &mut Map<String, Value>) {
        let mut put = |name: &str, value: Option<Value>| {
            body.extend(value.map(|value| (name.to_owned(), value)));
        };
        let some = |list: Vec<String>| Some(list).filter(|list| !list.is_empty()).map(Into::into);
        put("trunks", some(self.trunks));
        put("city", self.city.map(Into::into));
        put("operator", self.operator.map(Into::into));
        put("tags", some(self.tags));
    }
}

/// Numbers of one length, one after another.
#[derive(Debug, Clone, Copy)]
struct Range {
    first: u64,
    last: u64,
    digits: usize,
}

/// Numbers of one range.
const RANGE_MAX: u64 = 1_000_000;

fn range(text: &str) -> Result<Range, String> {
    let cure = "write the first and the last number, as long as each other: 17000000000-17000000999";
    let (first, last) = text.split_once('-').ok_or(cure)?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if first.len() != last.len() || !is_number(first) || !is_number(last) {
        return Err(cure.into());
    }
    let range = Range {
        first: first.parse().map_err(|_| cure)?,
        last: last.parse().map_err(|_| cure)?,
        digits: first.len(),
    };
    match range.last.checked_sub(range.first) {
        None => Err("the last number is before the first".into()),
        Some(span) if span >= RANGE_MAX => Err(format!("a range holds at most {RANGE_MAX} numbers")),
        Some(_) => Ok(range),
    }
}

/// What `number set` takes.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["trunks", "city", "operator", "tags"]))]
pub struct Set {
    /// The number
    x: String,
    #[command(flatten)]
    about: About,
}

/// What `number move` takes.
#[derive(Args, Debug)]
pub struct Move {
    /// The number
    x: String,
    /// The pool (name or key)
    #[arg(long, value_name = "P", value_parser = NonEmptyStringValueParser::new())]
    pool: String,
}

/// What `number list` takes.
#[derive(Args, Debug)]
pub struct List {
    /// Only those of this pool (name or key)
    #[arg(long, value_name = "P", value_parser = NonEmptyStringValueParser::new())]
    pool: Option<String>,
    /// Only those of this city
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    city: Option<String>,
    /// Only those in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Only those that name this trunk
    #[arg(long, value_name = "T", value_parser = NonEmptyStringValueParser::new())]
    trunk: Option<String>,
    #[command(flatten)]
    listing: Listing,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum State {
    /// Not in service yet
    Inventory,
    /// In service, without a binding
    Idle,
    /// In service, with one at least
    Bound,
    /// Keeps its bindings, takes no new ones
    Locked,
    /// Its calls are refused
    Frozen,
    /// Given up
    Released,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Inventory => "inventory",
            Self::Idle => "idle",
            Self::Bound => "bound",
            Self::Locked => "locked",
            Self::Frozen => "frozen",
            Self::Released => "released",
        }
    }
}

/// What `number show` takes.
#[derive(Args, Debug)]
pub struct Show {
    /// The number
    x: String,
    #[command(flatten)]
    form: Form,
}

/// One number.
#[derive(Args, Debug)]
pub struct One {
    /// The number
    x: String,
}

/// What `number freeze` takes.
#[derive(Args, Debug)]
pub struct Freeze {
    /// The number
    x: String,
    /// Why
    #[arg(long, value_enum, default_value = "operator")]
    cause: Cause,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum Cause {
    /// The account doesn't pay
    Arrears,
    /// Somebody complained: calls in progress end
    Complaint,
    /// The carrier took it out of service
    Carrier,
    /// The operator of this server decided so
    Operator,
    /// The regulator ordered it: calls in progress end
    Regulator,
}

impl Cause {
    const fn name(self) -> &'static str {
        match self {
            Self::Arrears => "arrears",
            Self::Complaint => "complaint",
            Self::Carrier => "carrier",
            Self::Operator => "operator",
            Self::Regulator => "regulator",
        }
    }
}

impl Number {
    /// Does it.
    ///
    /// # Errors
    /// What the server says.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        match self {
            Self::Add(add) => add.run(control, out)?,
            Self::List(list) => {
                let mut query = Vec::new();
                query.extend(list.pool.map(|p| ("pool", p)));
                query.extend(list.city.map(|city| ("city", city)));
                query.extend(list.state.map(|state| ("state", state.name().to_owned())));
                query.extend(list.trunk.map(|trunk| ("trunk", trunk)));
                let found = screen::rows(control, "/v1/numbers", &query, "numbers", list.listing)?;
                if list.listing.json {
                    screen::write_json_rows(out, &found.rows)?;
                } else {
                    show(&found.rows, out)?;
                    found.say_cut();
                }
            }
            Self::Show(asked) => {
                let number = control.get(&format!("/v1/numbers/{}", escaped(&asked.x)), &[])?;
                if asked.form.json {
                    screen::write_json(out, &number)?;
                } else {
                    show(&[number], out)?;
                }
            }
            Self::Lock(one) => act(control, &one.x, "lock", None, out)?,
            Self::Unlock(one) => act(control, &one.x, "unlock", None, out)?,
            Self::Freeze(freeze) => {
                let body = json!({"cause": freeze.cause.name()});
                act(control, &freeze.x, "freeze", Some(&body), out)?;
            }
            Self::Unfreeze(one) => act(control, &one.x, "unfreeze", None, out)?,
            Self::Set(set) => {
                let mut body = Map::new();
                set.about.put(&mut body);
                let target = format!("/v1/numbers/{}", escaped(&set.x));
                let number = control.send(Method::PATCH, &target, Some(&Value::Object(body)))?;
                write_line(&number, out)?;
            }
            Self::Move(to) => act(control, &to.x, "move", Some(&json!({"pool": to.pool})), out)?,
            Self::Release(one) => act(control, &one.x, "release", None, out)?,
        }
        Ok(())
    }
}

impl Add {
    fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut body = Map::new();
        body.extend(self.pool.map(|pool| ("pool".to_owned(), pool.into())));
        body.insert("inventory".into(), self.inventory.into());
        self.about.put(&mut body);
        let xs: Box<dyn Iterator<Item = String>> = match (self.x, self.range, self.file) {
            (Some(x), _, _) => {
                body.insert("x".into(), x.into());
                let number = control.send(Method::POST, "/v1/numbers", Some(&Value::Object(body)))?;
                if self.form.json {
                    screen::write_json(out, &number)?;
                } else {
                    write_line(&number, out)?;
                }
                return Ok(());
            }
            (None, Some(range), _) => Box::new(
                (range.first..=range.last).map(move |x| format!("{x:0width$}", width = range.digits)),
            ),
            (None, None, Some(file)) => {
                let text = std::fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
                let line = |line: &str| line.split('#').next().unwrap_or_default().trim().to_owned();
                let lines: Vec<String> = text.lines().map(line).filter(|x| !x.is_empty()).collect();
                Box::new(lines.into_iter())
            }
            (None, None, None) => anyhow::bail!("name a number, a range or a file"),
        };
        add_all(control, &body, xs, self.form, out)
    }
}

/// Adds many numbers, a batch at a time: those that can't be added are told one by one.
fn add_all(
    control: &Control,
    body: &Map<String, Value>,
    xs: impl Iterator<Item = String>,
    form: Form,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let (mut added, mut refused, mut rows) = (0_usize, 0_usize, Vec::new());
    let mut xs = xs.peekable();
    while xs.peek().is_some() {
        let batch: Vec<String> = xs.by_ref().take(NUMBER_BATCH_MAX).collect();
        let mut body = body.clone();
        body.insert("xs".into(), batch.clone().into());
        let answer = control.send(Method::POST, "/v1/numbers:batch", Some(&Value::Object(body)))?;
        let results = answer.get("results").and_then(Value::as_array);
        for (x, result) in batch.iter().zip(results.into_iter().flatten()) {
            match result.get("error") {
                Some(error) if !form.json => {
                    refused += 1;
                    writeln!(out, "{x}  not added: {}", text(error, "message"))?;
                }
                Some(_) => refused += 1,
                None => added += 1,
            }
            if form.json {
                rows.push(result.clone());
            }
        }
    }
    if form.json {
        screen::write_json_rows(out, &rows)?;
    } else {
        writeln!(out, "numbers added: {added}")?;
    }
    anyhow::ensure!(refused == 0, "numbers not added: {refused}");
    Ok(())
}

fn act(
    control: &Control,
    x: &str,
    what: &str,
    body: Option<&Value>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let target = format!("/v1/numbers/{}/{what}", escaped(x));
    let number = control.send(Method::POST, &target, body)?;
    write_line(&number, out)?;
    Ok(())
}

fn write_line(number: &Value, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(
        out,
        "{}  pool {}  {}",
        text(number, "x"),
        text(number, "pool"),
        text(number, "state")
    )
}

fn show(numbers: &[Value], out: &mut dyn Write) -> std::io::Result<()> {
    let mut table = Table::new(&[
        "X", "POOL", "ACCOUNT", "CLASS", "CITY", "OPERATOR", "TRUNKS", "TAGS", "STATE", "CAUSE", "BINDINGS",
        "ADDED",
    ])
    .align("BINDINGS", Align::Right)
    .spare(&["CITY", "OPERATOR", "TAGS", "CAUSE"]);
    for number in numbers {
        table.row([
            text(number, "x"),
            text(number, "pool"),
            text(number, "account"),
            text(number, "class"),
            text(number, "city"),
            text(number, "operator"),
            match screen::list(number, "trunks") {
                none if none.is_empty() => "default".into(),
                trunks => trunks,
            },
            screen::list(number, "tags"),
            text(number, "state"),
            text(number, "cause"),
            text(number, "bindings"),
            screen::time(number, "added_at"),
        ]);
    }
    write!(out, "{table}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_two_numbers_of_one_length_in_order() {
        let whole = range("07000-07999").unwrap();
        assert_eq!((whole.first, whole.last, whole.digits), (7_000, 7_999, 5));
        for bad in [
            "17000000000",
            "17000000999-17000000000",
            "1700-170",
            "-5",
            "a-b",
            "10000000-20000000",
            "99999999999999999999-99999999999999999999",
        ] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }
}
