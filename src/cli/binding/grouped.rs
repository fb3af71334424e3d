//! `umbra bind axg`, `gxb`, `gxyb`, `xb` and `400`: where one side is more than one person.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::{Expiry, OnConflict, Terms, one_line, put};
use crate::cli::client::Control;
use crate::cli::screen::{self, Form, text};
use crate::cli::when;

/// `umbra bind MODE`, of these modes.
#[derive(Subcommand, Debug)]
pub enum Grouped {
    /// The members of a group reach A by dialling X; A reaches by it the member whom `umbra callee` named
    Axg(Axg),
    /// The members of a group reach B by dialling X; B reaches the member who was named, or the group's default
    Gxb(Gxb),
    /// The members of a group reach B by dialling Y; B reaches one of them by dialling X
    Gxyb(Gxyb),
    /// A work number: with --b it becomes that employee's, with --a a customer is paired with him
    Xb(Box<Xb>),
    /// Anyone who dials X reaches the number behind it, which sees no 400 number
    #[command(name = "400")]
    Inbound(Inbound),
}

/// What each of them takes.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("number").required(true).args(["x", "pool"]))]
struct Bound {
    /// The virtual number
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    x: Option<String>,
    /// Let this pool (name or key) choose the virtual number
    #[arg(long, value_name = "P", value_parser = NonEmptyStringValueParser::new())]
    pool: Option<String>,
    /// The city that the pool's number should be of
    #[arg(long, requires = "pool", value_parser = NonEmptyStringValueParser::new())]
    city: Option<String>,
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

/// What `bind axg` takes.
#[derive(Args, Debug)]
pub struct Axg {
    #[command(flatten)]
    bound: Bound,
    /// The protected subscriber
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    a: String,
    /// The group, by name or id
    #[arg(long, value_name = "G", value_parser = NonEmptyStringValueParser::new())]
    group: String,
}

/// What `bind gxb` takes.
#[derive(Args, Debug)]
pub struct Gxb {
    #[command(flatten)]
    bound: Bound,
    /// The group, by name or id
    #[arg(long, value_name = "G", value_parser = NonEmptyStringValueParser::new())]
    group: String,
    /// The other party
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    b: String,
}

/// What `bind gxyb` takes.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("other").required(true).args(["y", "y_pool"]))]
pub struct Gxyb {
    #[command(flatten)]
    bound: Bound,
    /// The group, by name or id
    #[arg(long, value_name = "G", value_parser = NonEmptyStringValueParser::new())]
    group: String,
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

/// What `bind xb` takes.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("who").required(true).args(["a", "b"]))]
pub struct Xb {
    #[command(flatten)]
    bound: Bound,
    /// A customer, to be paired with the employee whose work number X is
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    a: Option<String>,
    /// The employee, whose work number X shall be
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    b: Option<String>,
    #[command(flatten)]
    ring: Ring,
}

/// What `bind 400` takes.
#[derive(Args, Debug)]
pub struct Inbound {
    #[command(flatten)]
    bound: Bound,
    /// The number behind X
    #[arg(long, value_name = "NUMBER", value_parser = NonEmptyStringValueParser::new())]
    base: String,
    /// What that number sees; itself if nothing is said
    #[arg(long, value_name = "NUMBER", value_parser = NonEmptyStringValueParser::new())]
    display: Option<String>,
    #[command(flatten)]
    menu: Menu,
}

/// What callers of a 400 number are asked, and whom they reach by it.
#[derive(Args, Debug, Default)]
pub struct Menu {
    /// Ask callers whom they want, by this prompt; each answer is a --choice
    #[arg(long = "menu", value_name = "PROMPT", requires = "choice")]
    prompt: Option<String>,
    /// An answer (1 to 4 digits, * or #) and who rings then, one after the other: 1=NUMBER, 2=NUMBER,NUMBER
    #[arg(long, value_name = "KEYS=NUMBERS", value_parser = choice, requires = "prompt")]
    choice: Vec<(String, Vec<String>)>,
    /// The answer of who keys nothing; he is asked again if nothing is said
    #[arg(long, value_name = "KEYS", requires = "prompt")]
    menu_default: Option<String>,
}

/// `KEYS=NUMBER,NUMBER`
fn choice(text: &str) -> Result<(String, Vec<String>), String> {
    let (keys, numbers) = text
        .split_once('=')
        .ok_or("an answer is its keys, = and the number that it leads to: 1=13800000001")?;
    let numbers = numbers.split(',').map(|number| number.trim().to_owned());
    Ok((keys.trim().to_owned(), numbers.collect()))
}

impl Menu {
    fn put(&self, body: &mut Map<String, Value>) -> anyhow::Result<()> {
        let Some(prompt) = &self.prompt else { return Ok(()) };
        let mut choices = Map::new();
        for (keys, to) in &self.choice {
            if choices.insert(keys.clone(), json!(to)).is_some() {
                bail!(
                    "--choice {keys} is named twice: name all its numbers in one, --choice {keys}=NUMBER,NUMBER"
                );
            }
        }
        let menu = json!({"prompt": prompt, "choices": choices, "default": self.menu_default});
        body.insert("menu".into(), menu);
        Ok(())
    }
}

/// Who else rings when an employee is called.
#[derive(Args, Debug, Default)]
pub struct Ring {
    /// Numbers that ring one after the other when the employee can't be reached
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    ring: Vec<String>,
    /// Whether the employee rings first, or the list alone
    #[arg(long, value_enum, value_name = "ORDER", requires = "ring")]
    ring_order: Option<Order>,
    /// How long each rings (5s to 20s; 15s)
    #[arg(long, value_name = "DURATION", value_parser = when::duration, requires = "ring")]
    ring_each: Option<Duration>,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum Order {
    /// The employee first
    Conditional,
    /// The list alone
    Unconditional,
}

impl Ring {
    fn put(&self, body: &mut Map<String, Value>) {
        if self.ring.is_empty() {
            return;
        }
        body.insert("ring".into(), json!(self.ring));
        let order = self.ring_order.map(|order| match order {
            Order::Conditional => "conditional",
            Order::Unconditional => "unconditional",
        });
        put(body, "ring_order", order);
        put(body, "ring_each_s", self.ring_each.map(|each| each.as_secs()));
    }
}

/// What `update` changes of these modes.
#[derive(Args, Debug, Default)]
pub struct Change {
    /// Another group, by name or id
    #[arg(long, value_name = "G", value_parser = NonEmptyStringValueParser::new())]
    group: Option<String>,
    #[command(flatten)]
    ring: Ring,
    /// Only the employee himself rings
    #[arg(long, conflicts_with = "ring")]
    no_ring: bool,
    /// What the number behind a 400 number sees
    #[arg(long, value_name = "NUMBER", value_parser = NonEmptyStringValueParser::new())]
    display: Option<String>,
    #[command(flatten)]
    menu: Menu,
    /// Callers of a 400 number reach its base number without a question
    #[arg(long, conflicts_with = "prompt")]
    no_menu: bool,
}

impl Change {
    pub(super) fn put(&self, body: &mut Map<String, Value>) -> anyhow::Result<()> {
        put(body, "group", self.group.as_deref());
        self.ring.put(body);
        if self.no_ring {
            body.insert("ring".into(), Value::Null);
        }
        put(body, "display", self.display.as_deref());
        self.menu.put(body)?;
        if self.no_menu {
            body.insert("menu".into(), Value::Null);
        }
        Ok(())
    }
}

impl Grouped {
    /// Binds, and prints the binding with its id first.
    ///
    /// # Errors
    /// What the server says.
    pub(super) fn run(&self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut body = Map::new();
        let (mode, bound) = match self {
            Self::Axg(Axg { bound, a, group }) => {
                put(&mut body, "a", Some(a.as_str()));
                put(&mut body, "group", Some(group.as_str()));
                ("axg", bound)
            }
            Self::Gxb(Gxb { bound, group, b }) => {
                put(&mut body, "group", Some(group.as_str()));
                put(&mut body, "b", Some(b.as_str()));
                ("gxb", bound)
            }
            Self::Gxyb(gxyb) => {
                put(&mut body, "group", Some(gxyb.group.as_str()));
                put(&mut body, "y", gxyb.y.as_deref());
                put(&mut body, "y_pool", gxyb.y_pool.as_deref());
                put(&mut body, "b", Some(gxyb.b.as_str()));
                ("gxyb", &gxyb.bound)
            }
            Self::Xb(xb) => {
                put(&mut body, "a", xb.a.as_deref());
                put(&mut body, "b", xb.b.as_deref());
                xb.ring.put(&mut body);
                ("xb", &xb.bound)
            }
            Self::Inbound(inbound) => {
                put(&mut body, "a", Some(inbound.base.as_str()));
                put(&mut body, "display", inbound.display.as_deref());
                inbound.menu.put(&mut body)?;
                ("400", &inbound.bound)
            }
        };
        body.insert("mode".into(), mode.into());
        bound.put(&mut body);
        let made = control.send(Method::POST, "/v1/bindings", Some(&Value::Object(body)))?;
        if bound.form.json {
            screen::write_json(out, &made)?;
        } else if bound.dry_run {
            let x = text(&made, "x");
            writeln!(out, "it could be bound with X {x}; nothing was bound")?;
        } else {
            let group = match text(&made, "group").as_str() {
                "" => String::new(),
                group => format!("  group {group}"),
            };
            writeln!(out, "{}{group}", one_line(&made))?;
        }
        Ok(())
    }
}

impl Bound {
    fn put(&self, body: &mut Map<String, Value>) {
        put(body, "x", self.x.as_deref());
        put(body, "pool", self.pool.as_deref());
        put(body, "city", self.city.as_deref());
        self.expiry.put(body);
        self.terms.put(body);
        put(body, "record", self.record.then_some(true));
        put(body, "on_conflict", self.on_conflict.map(OnConflict::name));
        put(body, "dry_run", self.dry_run.then_some(true));
    }
}
