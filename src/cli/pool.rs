//! `umbra pool`

use std::io::Write;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;
use serde_json::{Map, Value};

use super::client::{Control, escaped};
use super::screen::{self, Form, Listing, text};
use super::table::{Align, Table};

/// What can be done with pools. A pool is named by its name or its key.
#[derive(Subcommand, Debug)]
pub enum Pool {
    /// Make a pool, and print its key
    Add(Add),
    /// List the pools
    List(Form),
    /// Show a pool
    Show(Show),
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
}

/// What `pool show` takes.
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
                body.insert(
                    "mode".into(),
                    match add.mode {
                        Mode::Axb => "axb",
                        Mode::Ax => "ax",
                        Mode::Axyb => "axyb",
                    }
                    .into(),
                );
                body.extend(add.account.map(|a| ("account".to_owned(), a.into())));
                let pool = control.send(Method::POST, "/v1/pools", Some(&Value::Object(body)))?;
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
                show(&found.rows, form, out)?;
            }
            Self::Show(asked) => {
                let pool = control.get(&format!("/v1/pools/{}", escaped(&asked.pool)), &[])?;
                if asked.form.json {
                    screen::write_json(out, &pool)?;
                } else {
                    show(&[pool], asked.form, out)?;
                }
            }
        }
        Ok(())
    }
}

fn show(pools: &[Value], form: Form, out: &mut dyn Write) -> std::io::Result<()> {
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
