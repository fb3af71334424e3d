//! `umbra import`

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use csv::ByteRecord;
use hyper::Method;
use indicatif::ProgressBar;
use serde_json::{Map, Value, json};

use super::client::{Control, Trouble, escaped};
use super::csv_file::{self, KIND, Kind, REJECTED};
use super::export::{draft_of, owners_file};
use super::progress::{self, Unit};
use crate::base::limits::BATCH_MAX;

/// Bytes of one request's rows, about: well below what a body may have.
const BATCH_BYTES: usize = 300_000;
/// How long a full queue is given, and how often it is looked at.
const QUEUE_PATIENCE: Duration = Duration::from_secs(60);
const QUEUE_REST: Duration = Duration::from_millis(100);

const ABOUT: &str = "\
Read accounts, pools, numbers and bindings from CSV: an export of this or another server, or a file of your own. Every row goes \
the way of any other request: all rules are checked, and what is done is on the disk.

The header row names the columns; they are the fields of the HTTP API. The column kind says what a row is: account, \
pool, number, binding or state; without it every row is a binding. The least is:

  mode,x,a,b
  axb,17000000001,13800000001,13900000002

A bad row is named with its line and the cure, and kept with the reason in FILE.rejected.csv (mode 0600: it holds real \
numbers); the others go on. Put it right there, and import that file.

Importing a file again changes nothing: a binding that is there (by its id, or the same parties on the same x) is left \
as it is. So an import that was interrupted is simply run again. What was unbound since does not come back: such a row \
is rejected.";

/// What `import` takes.
#[derive(Args, Debug)]
#[command(long_about = ABOUT)]
pub struct Import {
    /// The CSV file
    file: PathBuf,
}

impl Import {
    /// Imports the file, and says how many rows made something, were there already, or were rejected.
    ///
    /// # Errors
    /// The file can't be read, the server can't write, or rows were rejected.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let begun = Instant::now();
        let path = self.file;
        let file = File::open(&path).with_context(|| format!("{} can't be read", path.display()))?;
        let bar = progress::bar(
            "importing",
            Unit::Bytes,
            file.metadata().ok().map(|file| file.len()),
        );
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
        let header = header_of(&mut reader, &path)?;
        let mut work = Work {
            control,
            rejects: Rejects::of(&path, &header),
            header,
            bar,
            batch: Batch::default(),
            done: Done::default(),
        };
        let mut row = ByteRecord::new();
        let mut line = 1;
        let fault = loop {
            match reader.read_byte_record(&mut row) {
                Ok(true) => {}
                Ok(false) => break work.send().err(),
                Err(error) => break Some(error.into()),
            }
            line = row.position().map_or(line, csv::Position::line);
            work.bar
                .set_position(row.position().map_or(0, csv::Position::byte));
            if let Err(fault) = work.take(line, &row) {
                break Some(fault);
            }
        };
        work.bar.finish_and_clear();
        let Done { made, there } = work.done;
        let rejected = work.rejects.count;
        let kept = work.rejects.keep()?;
        writeln!(
            out,
            "{}: {made} made, {there} there already, {rejected} rejected; {:.1} s",
            path.display(),
            begun.elapsed().as_secs_f64()
        )?;
        if let Some(fault) = fault {
            return Err(fault.context(format!(
                "{} was not imported to its end (line {line}): put that right and run the same command again, what is done \
                 stays done",
                path.display()
            )));
        }
        if let Some(kept) = kept {
            bail!(
                "{rejected} rows were rejected: they are in {}, each with its reason; put them right there and import that file",
                kept.display()
            );
        }
        Ok(())
    }
}

/// The header, if every column of it is known.
fn header_of(reader: &mut csv::Reader<File>, path: &Path) -> anyhow::Result<Vec<String>> {
    let header = reader
        .headers()
        .with_context(|| format!("{}:1: the header can't be read", path.display()))?;
    let header: Vec<String> = header
        .iter()
        .map(|name| name.trim_start_matches('\u{feff}').trim().to_owned())
        .collect();
    let known = csv_file::columns();
    for (i, name) in header.iter().enumerate() {
        if !known.contains(&name.as_str()) && name != REJECTED {
            bail!(
                "{}:1: there is no column {}: the columns are {}",
                path.display(),
                crate::base::redact::scrub(name),
                known.join(", ")
            );
        }
        if header.iter().take(i).any(|earlier| earlier == name) {
            bail!("{}:1: the column {name} is there twice", path.display());
        }
    }
    if header.is_empty() {
        bail!(
            "{}:1: it has no header row: the columns are {}",
            path.display(),
            known.join(", ")
        );
    }
    Ok(header)
}

/// What became of the rows.
#[derive(Default)]
struct Done {
    made: u64,
    there: u64,
}

/// What one row came to.
enum Outcome {
    Made,
    There,
}

/// Binding rows that are sent together.
#[derive(Default)]
struct Batch {
    lines: Vec<u64>,
    rows: Vec<ByteRecord>,
    bindings: Vec<Value>,
    bytes: usize,
}

struct Work<'a> {
    control: &'a Control,
    header: Vec<String>,
    rejects: Rejects,
    bar: ProgressBar,
    batch: Batch,
    done: Done,
}

impl Work<'_> {
    /// Takes a row. An error ends the import; a bad row doesn't.
    fn take(&mut self, line: u64, row: &ByteRecord) -> anyhow::Result<()> {
        let (kind, fields) = match self.read(row) {
            Ok(read) => read,
            Err(why) => return self.reject(line, row, &why),
        };
        if kind == Kind::Binding {
            self.batch.bytes += row.as_slice().len() + 32 * fields.len();
            self.batch.lines.push(line);
            self.batch.rows.push(row.clone());
            self.batch.bindings.push(Value::Object(fields));
            let is_full = self.batch.rows.len() >= BATCH_MAX || self.batch.bytes >= BATCH_BYTES;
            return if is_full { self.send() } else { Ok(()) };
        }
        // In the order of the file: what stands below may rest on what stands above.
        self.send()?;
        let outcome = match kind {
            Kind::Account => self.account(fields),
            Kind::Pool => self.pool(fields),
            Kind::Number => self.number(fields),
            Kind::Group => self.group(fields),
            Kind::Binding | Kind::State => self.state(&fields),
        };
        match outcome {
            Ok(Outcome::Made) => self.done.made += 1,
            Ok(Outcome::There) => self.done.there += 1,
            Err(Trouble::Refused {
                status,
                code,
                message,
            }) if is_of_row(status) => {
                self.reject(line, row, &with_cure(&code, &message))?;
            }
            Err(trouble) => return Err(trouble.into()),
        }
        Ok(())
    }

    /// What a row is, and its fields.
    fn read(&self, row: &ByteRecord) -> Result<(Kind, Map<String, Value>), String> {
        if row.len() != self.header.len() {
            return Err(format!(
                "it has {} cells, and the header has {}: put the missing commas, or quotes around a cell with a comma in it",
                row.len(),
                self.header.len()
            ));
        }
        let mut cells = Vec::with_capacity(row.len());
        for (name, cell) in self.header.iter().zip(row) {
            let text = std::str::from_utf8(cell)
                .map_err(|_| format!("{name} is not UTF-8: save the file in that encoding"))?;
            cells.push((name.as_str(), text));
        }
        let kind = cells.iter().find(|(name, _)| *name == KIND);
        let kind = match kind.map_or("", |(_, word)| word.trim()) {
            "" => Kind::Binding,
            word => Kind::named(word)
                .ok_or("its kind is none: write account, pool, number, group, binding or state")?,
        };
        Ok((kind, csv_file::fields(cells.into_iter())))
    }

    /// Sends the binding rows that wait.
    fn send(&mut self) -> anyhow::Result<()> {
        let batch = std::mem::take(&mut self.batch);
        if batch.rows.is_empty() {
            return Ok(());
        }
        let body = json!({"bindings": batch.bindings});
        let begun = Instant::now();
        let answer = loop {
            match self
                .control
                .send(Method::POST, "/v1/bindings:import", Some(&body))
            {
                Err(Trouble::Refused { status: 429, .. }) if begun.elapsed() < QUEUE_PATIENCE => {
                    thread::sleep(QUEUE_REST)
                }
                answer => break answer?,
            }
        };
        let count = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or(0);
        self.done.made += count("made");
        self.done.there += count("there");
        for refused in answer
            .get("refused")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let index = refused
                .get("index")
                .and_then(Value::as_u64)
                .and_then(|i| usize::try_from(i).ok());
            let Some((line, row)) = index.and_then(|i| Some((batch.lines.get(i)?, batch.rows.get(i)?)))
            else {
                continue;
            };
            let text = |name: &str| {
                refused
                    .pointer(&format!("/error/{name}"))
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            self.reject(*line, row, &with_cure(text("code"), text("message")))?;
        }
        Ok(())
    }

    /// Makes an account, or gives the one that is there the row's limits.
    fn account(&self, mut fields: Map<String, Value>) -> Result<Outcome, Trouble> {
        let name = text(&fields, "name").to_owned();
        let target = format!("/v1/accounts/{}", escaped(&name));
        let there = self.known(&target, &name)?;
        let named: Map<_, _> = fields.remove_entry("name").into_iter().collect();
        match there {
            Some(there) if differing(&there, &fields).is_none() => return Ok(Outcome::There),
            Some(_) => {}
            None => drop(
                self.control
                    .send(Method::POST, "/v1/accounts", Some(&Value::Object(named)))?,
            ),
        }
        if !fields.is_empty() {
            self.control
                .send(Method::PATCH, &target, Some(&Value::Object(fields)))?;
        }
        Ok(Outcome::Made)
    }

    /// Makes a pool, or gives the one that is there the row's settings.
    fn pool(&self, fields: Map<String, Value>) -> Result<Outcome, Trouble> {
        let name = text(&fields, "name").to_owned();
        let target = format!("/v1/pools/{}", escaped(&name));
        let Some(there) = self.known(&target, &name)? else {
            self.control
                .send(Method::POST, "/v1/pools", Some(&Value::Object(fields)))?;
            return Ok(Outcome::Made);
        };
        let (identity, settings): (Map<_, _>, Map<_, _>) = fields
            .into_iter()
            .partition(|(field, _)| matches!(field.as_str(), "name" | "mode" | "account"));
        if let Some(field) = differing(&there, &identity) {
            return Err(is_other("the pool", field));
        }
        if differing(&there, &settings).is_none() {
            return Ok(Outcome::There);
        }
        self.control
            .send(Method::PATCH, &target, Some(&Value::Object(settings)))?;
        Ok(Outcome::Made)
    }

    /// Makes a group, or takes the row's numbers into the one that is there.
    fn group(&self, mut fields: Map<String, Value>) -> Result<Outcome, Trouble> {
        let name = text(&fields, "name").to_owned();
        // Another pool may have a group of that name.
        let target = match text(&fields, "pool") {
            "" => format!("/v1/groups/{}", escaped(&name)),
            pool => format!("/v1/groups/{}", escaped(&format!("{pool}/{name}"))),
        };
        let default = fields.remove("default");
        let numbers = fields.get("numbers").cloned();
        let there = self.known(&target, &name)?;
        let is_new = there.is_none();
        let mut now = match (there, numbers) {
            (None, _) => {
                let body = Value::Object(fields);
                Some(self.control.send(Method::POST, "/v1/groups", Some(&body))?)
            }
            (Some(there), Some(numbers)) => {
                let body = json!({"numbers": numbers});
                let members = format!("{target}/members");
                let joined = self.control.send(Method::POST, &members, Some(&body))?;
                let grew = joined.get("members") != there.get("members");
                grew.then_some(joined)
            }
            (Some(_), None) => None,
        };
        if let Some(default) = default {
            let there = match &now {
                Some(there) => there.clone(),
                None => self.control.get(&target, &[])?,
            };
            if there.get("default") != Some(&default) {
                let body = json!({"default": default});
                now = Some(self.control.send(Method::PATCH, &target, Some(&body))?);
            }
        }
        Ok(match (is_new, now) {
            (true, _) | (false, Some(_)) => Outcome::Made,
            (false, None) => Outcome::There,
        })
    }

    /// What has that name there; nothing has none.
    fn known(&self, target: &str, name: &str) -> Result<Option<Value>, Trouble> {
        if name.is_empty() {
            return Ok(None);
        }
        match self.control.get(target, &[]) {
            Ok(there) => Ok(Some(there)),
            Err(Trouble::Refused { status: 404, .. }) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    fn number(&self, fields: Map<String, Value>) -> Result<Outcome, Trouble> {
        let x = text(&fields, "x");
        let there = self.known(&format!("/v1/numbers/{}", escaped(x)), x)?;
        if let Some(there) = there.filter(|there| csv_file::cell(there, "state") != "released") {
            return match differing(&there, &fields) {
                Some(field) => Err(is_other("the number", field)),
                None => Ok(Outcome::There),
            };
        }
        self.control
            .send(Method::POST, "/v1/numbers", Some(&Value::Object(fields)))?;
        Ok(Outcome::Made)
    }

    /// Locks or freezes a number, or suspends an account, that is in service, or freezes a number that is locked. What
    /// isn't in service is not put back into it by a file.
    fn state(&self, fields: &Map<String, Value>) -> Result<Outcome, Trouble> {
        let (x, name, state) = (text(fields, "x"), text(fields, "name"), text(fields, "state"));
        let (what, target) = match (x, name) {
            ("", "") => {
                return Err(ours(
                    "missing_field",
                    "it names neither an x nor the name of an account",
                ));
            }
            (x, "") => ("the number", format!("/v1/numbers/{}", escaped(x))),
            ("", name) => ("the account", format!("/v1/accounts/{}", escaped(name))),
            _ => return Err(ours("bad_field", "it has an x and a name")),
        };
        let verb = match (state, x) {
            ("locked", _) if name.is_empty() => "lock",
            ("frozen", _) if name.is_empty() => "freeze",
            ("suspended", "") if !name.is_empty() => "suspend",
            _ => {
                let sentence = "its state is none: write locked or frozen for an x, suspended for the name of an account";
                return Err(ours("bad_field", sentence));
            }
        };
        let there = self.control.get(&target, &[])?;
        if differing(&there, fields).is_none() {
            return Ok(Outcome::There);
        }
        // It will be locked again.
        if state == "locked" && csv_file::cell(&there, "thaws_to") == state {
            return Ok(Outcome::There);
        }
        let is_in_service = match csv_file::cell(&there, "state").as_str() {
            "idle" | "bound" => name.is_empty(),
            "locked" => state == "frozen",
            "active" => !name.is_empty(),
            _ => false,
        };
        if !is_in_service {
            return Err(is_other(what, "state"));
        }
        let body = fields.get("cause").map(|cause| json!({"cause": cause}));
        self.control
            .send(Method::POST, &format!("{target}/{verb}"), body.as_ref())?;
        Ok(Outcome::Made)
    }

    fn reject(&mut self, line: u64, row: &ByteRecord, why: &str) -> anyhow::Result<()> {
        let sentence = format!("{}:{line}: {why}", self.rejects.file.display());
        // The bar is taken away for a moment; without one this is a plain line.
        self.bar
            .suspend(|| drop(writeln!(std::io::stderr(), "{sentence}")));
        self.rejects.add(row, &sentence)
    }
}

/// A field's text; empty without it.
fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Whether the server's answer is about the row, and not about the server.
const fn is_of_row(status: u16) -> bool {
    status >= 400 && status < 500 && status != 429
}

/// The field whose value in the row is another than what is there.
fn differing<'a>(there: &Value, fields: &'a Map<String, Value>) -> Option<&'a str> {
    let row = Value::Object(fields.clone());
    fields.keys().map(String::as_str).find(|name| {
        let wanted = csv_file::cell(&row, name);
        let is_same = csv_file::cell(there, name) == wanted
            // A number may be written in many ways, and was found by this one; a pool may be named by its key.
            || *name == "x"
            || (*name == "pool" && csv_file::cell(there, "pool_key") == wanted);
        !is_same
    })
}

fn is_other(what: &str, field: &str) -> Trouble {
    ours(
        "is_other",
        &format!("{what} is there already, with another {field}: change it by hand, or leave this row out"),
    )
}

/// A refusal of ours, in the form of the server's.
fn ours(code: &str, message: &str) -> Trouble {
    Trouble::Refused {
        status: 409,
        code: code.to_owned(),
        message: message.to_owned(),
    }
}

/// The server's sentence, and what to do about the row.
fn with_cure(code: &str, message: &str) -> String {
    let cure = match code {
        "unknown_number" => "add the number first, in a row above or by `umbra number add`",
        "unknown_pool" => "make the pool first, in a row above or by `umbra pool add`",
        "unknown_account" => "make the account first, in a row above or by `umbra account add`",
        "account_suspended" => "resume the account first",
        "number_in_inventory" => "move the number into a pool first",
        "unknown_trunk" => "add the trunk to the conf first",
        "key_taken" => "unbind that one first, or leave this row out",
        "number_locked" => "unlock the number first",
        "number_frozen" => "unfreeze the number first",
        "pairs_full" => "take another number, or raise the pool's axb_pairs_per_x",
        "binding_ended" => {
            "it was unbound or expired here: leave this row out, or take its id away to bind anew"
        }
        "id_taken" => "leave this row out, or take its id away",
        "expiry_too_soon" => "its time is over: leave this row out, or give it another expires_at",
        "own_number" | "same_number" => "name another party",
        "missing_field" => "fill that cell",
        "bad_field" | "bad_number" | "bad_id" | "out_of_bounds" => "correct that cell",
        "unknown_field" => "leave that cell empty in such a row",
        _ => return message.to_owned(),
    };
    let mut text = message.trim_end_matches('.').to_owned();
    // Writing to a string can't fail.
    let _ = write!(text, ": {cure}");
    text
}

/// The rejected rows, on their way into a file of their own: it appears when the import ends.
struct Rejects {
    file: PathBuf,
    header: Vec<String>,
    out: Option<csv::Writer<BufWriter<File>>>,
    count: u64,
}

impl Rejects {
    fn of(file: &Path, header: &[String]) -> Self {
        Self {
            file: file.to_owned(),
            header: header.to_vec(),
            out: None,
            count: 0,
        }
    }

    /// `bindings.csv` → `bindings.rejected.csv`
    fn path(&self) -> PathBuf {
        self.file.with_extension("rejected.csv")
    }

    fn add(&mut self, row: &ByteRecord, sentence: &str) -> anyhow::Result<()> {
        self.count += 1;
        let keeps: Vec<bool> = self.header.iter().map(|name| name != REJECTED).collect();
        let out = match &mut self.out {
            Some(out) => out,
            None => {
                let draft = draft_of(&self.path());
                let file =
                    owners_file(&draft).with_context(|| format!("{} can't be written", draft.display()))?;
                let mut out = csv::WriterBuilder::new()
                    .flexible(true)
                    .from_writer(BufWriter::new(file));
                let named = self.header.iter().zip(&keeps).filter(|(_, keep)| **keep);
                let names = named.map(|(name, _)| name.as_str()).chain([REJECTED]);
                out.write_record(names)?;
                self.out.insert(out)
            }
        };
        // A row with too few or too many cells stays as it is, but for the reason at its end.
        let cells = row
            .iter()
            .enumerate()
            .filter(|(i, _)| keeps.get(*i) != Some(&false));
        out.write_record(cells.map(|(_, cell)| cell).chain([sentence.as_bytes()]))?;
        Ok(())
    }

    /// Gives the file its name; `None` if nothing was rejected.
    fn keep(&mut self) -> anyhow::Result<Option<PathBuf>> {
        let Some(mut out) = self.out.take() else {
            return Ok(None);
        };
        out.flush()?;
        let path = self.path();
        fs::rename(draft_of(&path), &path).with_context(|| format!("{} can't be written", path.display()))?;
        Ok(Some(path))
    }
}
