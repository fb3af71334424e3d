//! `umbra number`

use std::io::Write;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;
use serde_json::{Value, json};

use super::client::{Control, escaped};
use super::screen::{self, Form, Listing, text};
use super::table::{Align, Table};

/// What can be done with virtual numbers.
#[derive(Subcommand, Debug)]
pub enum Number {
    /// Take a number into a pool
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
    /// Give it up for good; only without bindings
    Release(One),
}

/// What `number add` takes.
#[derive(Args, Debug)]
pub struct Add {
    /// The number
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    x: String,
    /// The pool (name or key) [default: the default pool]
    #[arg(long, value_name = "P", value_parser = NonEmptyStringValueParser::new())]
    pool: Option<String>,
    /// A trunk that it belongs to; may be repeated [default: the default trunk]
    #[arg(long = "trunk", value_name = "T", value_parser = NonEmptyStringValueParser::new())]
    trunks: Vec<String>,
    #[command(flatten)]
    form: Form,
}

/// What `number list` takes.
#[derive(Args, Debug)]
pub struct List {
    /// Only those of this pool (name or key)
    #[arg(long, value_name = "P", value_parser = NonEmptyStringValueParser::new())]
    pool: Option<String>,
    #[command(flatten)]
    listing: Listing,
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
    /// Somebody complained
    Complaint,
    /// The carrier took it out of service
    Carrier,
    /// The operator of this server decided so
    Operator,
}

impl Cause {
    const fn name(self) -> &'static str {
        match self {
            Self::Arrears => "arrears",
            Self::Complaint => "complaint",
            Self::Carrier => "carrier",
            Self::Operator => "operator",
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
            Self::Add(add) => {
                let body = json!({"x": add.x, "pool": add.pool, "trunks": add.trunks});
                let number = control.send(Method::POST, "/v1/numbers", Some(&body))?;
                if add.form.json {
                    screen::write_json(out, &number)?;
                } else {
                    write_line(&number, out)?;
                }
            }
            Self::List(list) => {
                let mut query = Vec::new();
                query.extend(list.pool.map(|p| ("pool", p)));
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
            Self::Release(one) => act(control, &one.x, "release", None, out)?,
        }
        Ok(())
    }
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
        "X", "POOL", "ACCOUNT", "TRUNKS", "STATE", "CAUSE", "BINDINGS", "ADDED",
    ])
    .align("BINDINGS", Align::Right);
    for number in numbers {
        table.row([
            text(number, "x"),
            text(number, "pool"),
            text(number, "account"),
            match screen::list(number, "trunks") {
                none if none.is_empty() => "default".into(),
                trunks => trunks,
            },
            text(number, "state"),
            text(number, "cause"),
            text(number, "bindings"),
            screen::time(number, "added_at"),
        ]);
    }
    write!(out, "{table}")
}
