//! `umbra group`

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::client::{Control, escaped};
use super::screen::{self, Form, Listing, text};
use super::table::{Align, Table};
use crate::base::limits::GROUP_BATCH_MAX;

/// What can be done with groups.
#[derive(Subcommand, Debug)]
pub enum Group {
    /// Make a group
    Add(Add),
    /// List the groups
    List(List),
    /// Show a group
    Show(One),
    /// Change a group's name, or whom B reaches by default
    Set(Set),
    /// List the members of a group
    Members(Members),
    /// Take numbers into a group; calls in progress go on
    Join(Numbers),
    /// Take numbers out of a group; calls in progress go on
    Leave(Numbers),
    /// Remove a group that no binding has
    Remove(One),
}

/// What `group add` takes.
#[derive(Args, Debug)]
pub struct Add {
    /// Its name
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// The pool (name or key) that it is for, of mode axg, gxb or gxyb
    #[arg(long, value_name = "P", value_parser = NonEmptyStringValueParser::new())]
    pool: String,
    #[command(flatten)]
    numbers: Who,
    /// The member whom B reaches when nobody else was named
    #[arg(long, value_name = "NUMBER", value_parser = NonEmptyStringValueParser::new())]
    default: Option<String>,
    #[command(flatten)]
    form: Form,
}

/// What `group list` takes.
#[derive(Args, Debug)]
pub struct List {
    /// Only those of this pool (name or key)
    #[arg(long, value_name = "P", value_parser = NonEmptyStringValueParser::new())]
    pool: Option<String>,
    #[command(flatten)]
    listing: Listing,
}

/// One group.
#[derive(Args, Debug)]
pub struct One {
    /// The group, by name or id
    group: String,
    #[command(flatten)]
    form: Form,
}

/// What `group set` takes.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["name", "default", "no_default"]))]
pub struct Set {
    /// The group, by name or id
    group: String,
    /// Another name
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// The member whom B reaches when nobody else was named
    #[arg(long, value_name = "NUMBER", conflicts_with = "no_default", value_parser = NonEmptyStringValueParser::new())]
    default: Option<String>,
    /// Nobody
    #[arg(long)]
    no_default: bool,
    #[command(flatten)]
    form: Form,
}

/// What `group members` takes.
#[derive(Args, Debug)]
pub struct Members {
    /// The group, by name or id
    group: String,
    #[command(flatten)]
    listing: Listing,
}

/// Numbers of a group.
#[derive(Args, Debug)]
pub struct Numbers {
    /// The group, by name or id
    group: String,
    #[command(flatten)]
    numbers: Who,
    #[command(flatten)]
    form: Form,
}

/// Which numbers.
#[derive(Args, Debug)]
struct Who {
    /// The numbers
    #[arg(value_name = "NUMBER")]
    numbers: Vec<String>,
    /// A file with more of them, one a line
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Who {
    fn all(&self) -> anyhow::Result<Vec<String>> {
        let mut all = self.numbers.clone();
        if let Some(file) = &self.file {
            let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            all.extend(lines.map(str::to_owned));
        }
        Ok(all)
    }
}

impl Group {
    /// Does it.
    ///
    /// # Errors
    /// What the server says.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        match self {
            Self::Add(add) => {
                let numbers = add.numbers.all()?;
                let (first, more) = numbers.split_at(numbers.len().min(GROUP_BATCH_MAX));
                let mut body = json!({"name": add.name, "pool": add.pool, "numbers": first});
                // One of those who come later is a member later.
                let is_first = |default: &String| first.contains(default);
                let default = add.default;
                if let Some(default) = default.as_ref().filter(|default| is_first(default)) {
                    body["default"] = default.as_str().into();
                }
                let mut group = control.send(Method::POST, "/v1/groups", Some(&body))?;
                let target = of(&text(&group, "id"));
                if !more.is_empty() {
                    group = in_batches(control, Method::POST, &target, more)?;
                }
                if let Some(default) = default.filter(|default| !is_first(default)) {
                    let body = json!({"default": default});
                    group = control.send(Method::PATCH, &target, Some(&body))?;
                }
                say(&group, add.form, out)
            }
            Self::List(list) => list.run(control, out),
            Self::Show(one) => {
                let group = control.send(Method::GET, &of(&one.group), None)?;
                say(&group, one.form, out)
            }
            Self::Set(set) => {
                let mut body = Map::new();
                body.extend(set.name.map(|name| ("name".to_owned(), name.into())));
                body.extend(set.default.map(|number| ("default".to_owned(), number.into())));
                if set.no_default {
                    body.insert("default".into(), Value::Null);
                }
                let body = Value::Object(body);
                let group = control.send(Method::PATCH, &of(&set.group), Some(&body))?;
                say(&group, set.form, out)
            }
            Self::Members(members) => members.run(control, out),
            Self::Join(who) => who.send(control, Method::POST, out),
            Self::Leave(who) => who.send(control, Method::DELETE, out),
            Self::Remove(one) => {
                let group = control.send(Method::DELETE, &of(&one.group), None)?;
                if one.form.json {
                    return Ok(screen::write_json(out, &group)?);
                }
                writeln!(out, "{}  removed", text(&group, "id"))?;
                Ok(())
            }
        }
    }
}

impl List {
    fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let query: Vec<_> = self.pool.map(|pool| ("pool", pool)).into_iter().collect();
        let found = screen::rows(control, "/v1/groups", &query, "groups", self.listing)?;
        if self.listing.json {
            return Ok(screen::write_json_rows(out, &found.rows)?);
        }
        let heads = ["ID", "NAME", "POOL", "MEMBERS", "DEFAULT", "CREATED"];
        let mut table = Table::new(&heads)
            .align("MEMBERS", Align::Right)
            .spare(&["DEFAULT"]);
        for row in &found.rows {
            table.row([
                text(row, "id"),
                text(row, "name"),
                text(row, "pool"),
                text(row, "members"),
                self.listing.real(row, "default"),
                screen::time(row, "created_at"),
            ]);
        }
        write!(out, "{table}")?;
        found.say_cut();
        Ok(())
    }
}

impl Members {
    fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let target = format!("{}/members", of(&self.group));
        let found = screen::rows(control, &target, &[], "members", self.listing)?;
        if self.listing.json {
            return Ok(screen::write_json_rows(out, &found.rows)?);
        }
        let mut table = Table::new(&["NUMBER", "SINCE"]);
        for row in &found.rows {
            table.row([self.listing.real(row, "number"), screen::time(row, "since")]);
        }
        write!(out, "{table}")?;
        found.say_cut();
        Ok(())
    }
}

impl Numbers {
    fn send(self, control: &Control, method: Method, out: &mut dyn Write) -> anyhow::Result<()> {
        let numbers = self.numbers.all()?;
        if numbers.is_empty() {
            bail!("name at least one number");
        }
        let group = in_batches(control, method, &of(&self.group), &numbers)?;
        say(&group, self.form, out)
    }
}

/// More than one request takes go one batch after the other; each stands for itself. The group as it is at the end.
fn in_batches(control: &Control, method: Method, group: &str, numbers: &[String]) -> anyhow::Result<Value> {
    let target = format!("{group}/members");
    let mut answer = Value::Null;
    for (done, batch) in numbers.chunks(GROUP_BATCH_MAX).enumerate() {
        let body = json!({"numbers": batch});
        let sent = control.send(method.clone(), &target, Some(&body));
        answer = match done {
            0 => sent?,
            done => sent.with_context(|| format!("the first {} went through", done * GROUP_BATCH_MAX))?,
        };
    }
    Ok(answer)
}

fn of(group: &str) -> String {
    format!("/v1/groups/{}", escaped(group))
}

fn say(group: &Value, form: Form, out: &mut dyn Write) -> anyhow::Result<()> {
    if form.json {
        return Ok(screen::write_json(out, group)?);
    }
    let default = match text(group, "default").as_str() {
        "" => String::new(),
        number => format!("  default {}", screen::masked(number)),
    };
    writeln!(
        out,
        "{}  {}  pool {}  {} members{default}",
        text(group, "id"),
        text(group, "name"),
        text(group, "pool"),
        text(group, "members"),
    )?;
    Ok(())
}
