//! `umbra bind axg`, `gxb`, `gxyb`, `xb` and `400`: where one side is more than one person.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::{Bound, ByY, Number, one_line, put};
use crate::cli::client::Control;
use crate::cli::screen::{self, text};
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
struct Common {
    #[command(flatten)]
    number: Number,
    #[command(flatten)]
    bound: Bound,
}

/// What `bind axg` takes.
#[derive(Args, Debug)]
pub struct Axg {
    #[command(flatten)]
    common: Common,
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
    common: Common,
    /// The group, by name or id
    #[arg(long, value_name = "G", value_parser = NonEmptyStringValueParser::new())]
    group: String,
    /// The other party
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    b: String,
}

/// What `bind gxyb` takes.
#[derive(Args, Debug)]
pub struct Gxyb {
    #[command(flatten)]
    common: Common,
    /// The group, by name or id
    #[arg(long, value_name = "G", value_parser = NonEmptyStringValueParser::new())]
    group: String,
    #[command(flatten)]
    other: ByY,
}

/// What `bind xb` takes.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("who").required(true).args(["a", "b"]))]
pub struct Xb {
    #[command(flatten)]
    common: Common,
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
    common: Common,
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
        let (mode, common) = match self {
            Self::Axg(Axg { common, a, group }) => {
                put(&mut body, "a", Some(a.as_str()));
                put(&mut body, "group", Some(group.as_str()));
                ("axg", common)
            }
            Self::Gxb(Gxb { common, group, b }) => {
                put(&mut body, "group", Some(group.as_str()));
                put(&mut body, "b", Some(b.as_str()));
                ("gxb", common)
            }
            Self::Gxyb(gxyb) => {
                put(&mut body, "group", Some(gxyb.group.as_str()));
                gxyb.other.put(&mut body);
                ("gxyb", &gxyb.common)
            }
            Self::Xb(xb) => {
                put(&mut body, "a", xb.a.as_deref());
                put(&mut body, "b", xb.b.as_deref());
                xb.ring.put(&mut body);
                ("xb", &xb.common)
            }
            Self::Inbound(inbound) => {
                put(&mut body, "a", Some(inbound.base.as_str()));
                put(&mut body, "display", inbound.display.as_deref());
                inbound.menu.put(&mut body)?;
                ("400", &inbound.common)
            }
        };
        body.insert("mode".into(), mode.into());
        common.number.put(&mut body);
        common.bound.put(&mut body);
        let made = control.send(Method::POST, "/v1/bindings", Some(&Value::Object(body)))?;
        if common.bound.form.json {
            screen::write_json(out, &made)?;
        } else if common.bound.dry_run {
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
