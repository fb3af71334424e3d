//! `umbra export`

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::client::Control;
use super::csv_file::{self, KIND, Kind};
use super::progress::{self, Unit};
use crate::base::limits::{GROUP_BATCH_MAX, PAGE_MAX};

const ABOUT: &str = "\
Write accounts, pools, numbers and live bindings as CSV, for `umbra import`. Into an empty server they come back the same: \
another export is the same file, byte by byte.

A header row names the columns; they are the fields of the HTTP API. The column kind says what a row is: account, \
pool, number, binding, or state (a number that is locked or frozen, an account that is suspended). Real numbers are \
written in full, so FILE is for its owner alone (mode 0600): keep it so. Ended bindings, and with them the keys that \
rest, are not written; `umbra backup` keeps them. Temporary callees and call records are not written.

What changes while this runs may be in the file or not; `umbra backup` is of one moment.";

/// What `export` takes.
#[derive(Args, Debug)]
#[command(long_about = ABOUT)]
pub struct Export {
    /// Where to [default: standard output]
    file: Option<PathBuf>,
}

impl Export {
    /// Writes the file.
    ///
    /// # Errors
    /// What the server or the disk says; a file that was there before is untouched then.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let Some(path) = self.file else {
            rows(control, out)?;
            return Ok(());
        };
        let draft = draft_of(&path);
        let file = owners_file(&draft).with_context(|| format!("{} can't be written", draft.display()))?;
        let mut file = BufWriter::with_capacity(1 << 18, file);
        let written = rows(control, &mut file).and_then(|count| {
            file.flush()?;
            file.get_ref().sync_all()?;
            fs::rename(&draft, &path)?;
            Ok(count)
        });
        match written {
            Ok(count) => {
                writeln!(
                    out,
                    "{}: {count} rows; it holds real numbers, and is for its owner alone (0600)",
                    path.display()
                )?;
                Ok(())
            }
            Err(fault) => {
                // Half a file is no use to anybody, and the fault is what counts.
                let _ = fs::remove_file(&draft);
                Err(fault)
            }
        }
    }
}

/// A file that only its owner may read, empty.
pub(super) fn owners_file(path: &Path) -> std::io::Result<File> {
    // One that a killed command left may have been opened to others since.
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Where a file is written until it is whole.
pub(super) fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    path.with_file_name(name)
}

/// States that stand in a row of their own.
const STATES: [&str; 3] = ["locked", "frozen", "suspended"];

/// A listing of the API: its path, the name of its list, and what is asked of it.
type Listing = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// The listings whose rows are of a kind.
const fn listings(kind: Kind) -> &'static [Listing] {
    const ACCOUNTS: Listing = ("/v1/accounts", "accounts", &[]);
    const NUMBERS: Listing = ("/v1/numbers", "numbers", &[]);
    match kind {
        Kind::Account => &[ACCOUNTS],
        Kind::Pool => &[("/v1/pools", "pools", &[])],
        Kind::Number => &[NUMBERS],
        Kind::Group => &[("/v1/groups", "groups", &[])],
        Kind::Binding => &[("/v1/bindings", "bindings", &[("state", "live")])],
        Kind::State => &[NUMBERS, ACCOUNTS],
    }
}

/// Writes every row, and returns how many.
fn rows(control: &Control, out: &mut dyn Write) -> anyhow::Result<u64> {
    let status = control.get("/v1/status", &[])?;
    let count = |name: &str| status.get(name).and_then(Value::as_u64).unwrap_or(0);
    let total = count("pools") + count("numbers") + count("bindings");
    let bar = progress::bar("exporting", Unit::Rows, Some(total));
    let columns = csv_file::columns();
    let mut file = csv::Writer::from_writer(out);
    file.write_record(&columns)?;
    let mut count = 0;
    let mut groups: HashMap<String, String> = HashMap::new();
    for kind in Kind::ALL {
        for (path, name, query) in listings(kind) {
            pages(control, path, name, query, &mut |view| {
                let state = csv_file::cell(view, "state");
                if kind == Kind::State && !STATES.contains(&state.as_str()) {
                    return Ok(());
                }
                if kind == Kind::Group {
                    let (pool, name) = (csv_file::cell(view, "pool"), name_of(view));
                    groups.insert(csv_file::cell(view, "id"), format!("{pool}/{name}"));
                }
                let mut write = |view: &Value| {
                    bar.inc(1);
                    count += 1;
                    let cells = columns.iter().map(|column| match *column {
                        KIND => kind.name().to_owned(),
                        // By its pool and name it is found again, whatever its id is there.
                        "group" => {
                            let id = csv_file::cell(view, column);
                            let named = groups.get(&id).cloned();
                            named.unwrap_or_else(|| csv_file::cell(view, "group_name"))
                        }
                        column if kind.columns().contains(&column) => csv_file::cell(view, column),
                        _ => String::new(),
                    });
                    file.write_record(cells)
                };
                if kind == Kind::Group {
                    return members(control, view, &mut |row| Ok(write(row)?));
                }
                if kind == Kind::State && csv_file::cell(view, "thaws_to") == "locked" {
                    write(&locked(view))?;
                }
                Ok(write(view)?)
            })?;
        }
    }
    file.flush()?;
    bar.finish_and_clear();
    Ok(count)
}

/// A group's name. One that was named by its id, as groups without a name were once, has another id elsewhere.
fn name_of(group: &Value) -> String {
    let (id, name) = (csv_file::cell(group, "id"), csv_file::cell(group, "name"));
    if name == id { format!("g{id}") } else { name }
}

/// A group as rows of as many members as one request names; one row if it has none.
fn members(
    control: &Control,
    group: &Value,
    each: &mut dyn FnMut(&Value) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let path = format!("/v1/groups/{}/members", csv_file::cell(group, "id"));
    let mut numbers = Vec::new();
    pages(control, &path, "members", &[], &mut |member| {
        numbers.extend(member.get("number").cloned());
        Ok(())
    })?;
    let row = |numbers: &[Value], default: Option<&Value>| json!({"name": name_of(group), "pool": group.get("pool"), "numbers": numbers, "default": default});
    // Whoever is the default is a member by the last row.
    let default = group.get("default");
    let rows: Vec<&[Value]> = numbers.chunks(GROUP_BATCH_MAX).collect();
    match rows.split_last() {
        None => each(&row(&[], None)),
        Some((last, first)) => {
            for numbers in first {
                each(&row(numbers, None))?;
            }
            each(&row(last, default))
        }
    }
}

/// A frozen number as it was before, and will be again: locked.
fn locked(view: &Value) -> Value {
    json!({"x": view.get("x"), "state": "locked"})
}

/// Hands out every row of a listing, a page at a time.
pub(super) fn pages(
    control: &Control,
    path: &str,
    name: &str,
    query: &[(&str, &str)],
    each: &mut dyn FnMut(&Value) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut cursor: Option<String> = None;
    loop {
        let mut asked: Vec<(&str, String)> = query
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        asked.push(("limit", PAGE_MAX.to_string()));
        asked.extend(cursor.map(|cursor| ("cursor", cursor)));
        let page = control.get(path, &asked)?;
        for view in page.get(name).and_then(Value::as_array).into_iter().flatten() {
            each(view)?;
        }
        cursor = page.get("cursor").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() {
            return Ok(());
        }
    }
}
