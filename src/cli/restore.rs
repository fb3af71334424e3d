//! `umbra restore`

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use hyper::Method;
use serde_json::{Value, json};

use super::backup::summary;
use super::client::{Control, Trouble};
use super::export::pages;
use super::progress::{self, Unit};
use super::screen::text;
use super::serve;
use super::when;
use crate::base::id::Id;
use crate::base::limits::BATCH_MAX;
use crate::masking::change::Record;
use crate::masking::group::GroupId;
use crate::store::backup::Backup;

/// Bytes of one request's records, about: well below what a body may have.
const BATCH_BYTES: usize = 300_000;
/// Records that are read ahead of what is compared.
const AHEAD: usize = 1_000;
/// Refusals that are said one by one.
const SAID_MAX: u64 = 20;
/// How long a full queue is given, and how often it is looked at.
const QUEUE_PATIENCE: Duration = Duration::from_secs(60);
const QUEUE_REST: Duration = Duration::from_millis(100);

const ABOUT: &str = "\
Restore a backup that `umbra backup` took. Every byte of it is checked before anything is touched.

Without a running server: the backup is put into the data folder of the conf, which must hold no bindings, and the next \
start opens it.

While the server runs: its bindings become those of the backup, one by one, and calls go on. First it is only said what \
would be done; --yes does it. Bindings that were made since are unbound. Bindings that were unbound or expired since are \
bound again: people who were parted can call each other again, which is why their number is told. Bindings that were \
changed since get back their parties, terms and expiry. Those whose time is over stay over. Missing accounts, pools and \
numbers are added; those that are there stay as they are, frozen and locked ones too. If this is interrupted, run it again.

Call records and calls in progress are not touched.";

/// What `restore` takes.
#[derive(Args, Debug)]
#[command(long_about = ABOUT)]
pub struct Restore {
    /// The backup's folder
    dir: PathBuf,
    /// Do it to the running server, instead of only saying what would be done
    #[arg(long)]
    yes: bool,
    /// Without a running server: the conf that names the data folder [default: as `umbra serve`]
    #[arg(long, value_name = "PATH")]
    conf: Option<PathBuf>,
}

impl Restore {
    /// Restores, or says what would be restored.
    ///
    /// # Errors
    /// The backup is not whole, or what the server or the disk says.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let backup = Backup::open(&self.dir)?;
        writeln!(
            out,
            "{}: taken {}, up to change {}: {}",
            self.dir.display(),
            when::show_api_time(&backup.manifest.taken_at),
            backup.manifest.seq,
            summary(&backup.manifest.holds)
        )?;
        match control.get("/v1/status", &[]) {
            Ok(_) => self.while_it_runs(control, &backup, out),
            Err(Trouble::NoServer(_)) => self.without_a_server(&backup, out),
            Err(trouble) => Err(trouble.into()),
        }
    }

    fn without_a_server(&self, backup: &Backup, out: &mut dyn Write) -> anyhow::Result<()> {
        let (conf, _) = serve::read(self.conf.clone())?;
        backup.put_in_place(&conf.store)?;
        writeln!(
            out,
            "restored into {}: `umbra serve` opens it",
            conf.store.display()
        )?;
        Ok(())
    }

    fn while_it_runs(&self, control: &Control, backup: &Backup, out: &mut dyn Write) -> anyhow::Result<()> {
        let now = when::now();
        let plan = Plan::of(control, backup, &mut |_| Ok(()))?;
        writeln!(
            out,
            "bindings that stay as they are                       {:>9}\n\
             unbound or expired since: they would be bound again  {:>9}\n\
             not known to this server: they would be bound        {:>9}\n\
             changed since: they would be as they were            {:>9}\n\
             made since: they would be unbound                    {:>9}\n\
             their own time is over: they stay over               {:>9}",
            plan.same, plan.ended_since, plan.missing, plan.changed, plan.made_since, plan.over
        )?;
        if !self.yes {
            writeln!(out, "nothing was changed: --yes does it")?;
            return Ok(());
        }
        let begun = Instant::now();
        let total = plan.ended_since + plan.missing + plan.changed + plan.made_since;
        let mut sender = Sender {
            control,
            groups: groups_of(backup)?,
            bar: progress::bar("restoring", Unit::Rows, Some(total)),
            done: 0,
            refused: 0,
        };
        // What is in the way goes first; numbers and pools come before the bindings on them.
        let mut unbinds = Batch::of("/v1/bindings:unbind", "ids");
        Plan::of(control, backup, &mut |step| match step {
            Step::Unbind(id) => sender.add(&mut unbinds, json!(id)),
            Step::PutBack(_) => Ok(()),
        })?;
        sender.send(&mut unbinds)?;
        let mut base = Batch::of("/v1/bindings:restore", "records");
        each_base(backup, &mut |record| sender.add_record(&mut base, record))?;
        sender.send(&mut base)?;
        sender.done = sender.done.saturating_sub(base.sent);
        let mut records = Batch::of("/v1/bindings:restore", "records");
        Plan::of(control, backup, &mut |step| match step {
            Step::PutBack(record) => sender.add_record(&mut records, record),
            Step::Unbind(_) => Ok(()),
        })?;
        sender.send(&mut records)?;
        sender.bar.finish_and_clear();
        writeln!(
            out,
            "{} bindings changed, {} refused; {:.1} s (begun {})",
            sender.done,
            sender.refused,
            begun.elapsed().as_secs_f64(),
            when::show_time(now)
        )?;
        if sender.refused > 0 {
            bail!("{} records of the backup were refused: see above", sender.refused);
        }
        Ok(())
    }
}

/// What is to be done to one binding.
enum Step<'a> {
    /// It was made since.
    Unbind(Id),
    /// It is to be as this record has it.
    PutBack(&'a [u8]),
}

/// How what the server has and what the backup has differ.
#[derive(Default)]
struct Plan {
    same: u64,
    ended_since: u64,
    missing: u64,
    changed: u64,
    made_since: u64,
    over: u64,
}

/// A binding of the backup that was not over when it was taken.
struct Kept {
    id: Id,
    version: u32,
    is_over: bool,
    record: Vec<u8>,
}

/// What the server has of a binding.
#[derive(Clone, Copy)]
struct There {
    version: u64,
    is_live: bool,
}

impl Plan {
    /// Walks through both in the order of their ids, holding a page of each.
    fn of(
        control: &Control,
        backup: &Backup,
        each: &mut dyn FnMut(Step<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let mut plan = Self::default();
        let now = when::now();
        thread::scope(|scope| {
            let (sender, receiver) = mpsc::sync_channel(AHEAD);
            let reader = scope.spawn(move || {
                backup.snapshot.read(&mut |_, value| {
                    let Record::Binding(binding) = Record::decode(value).map_err(|e| e.to_string())? else {
                        return Ok(());
                    };
                    if binding.ended.is_some() {
                        return Ok(());
                    }
                    let kept = Kept {
                        id: binding.id,
                        version: binding.version,
                        is_over: binding.is_over(now),
                        record: value.to_vec(),
                    };
                    sender.send(kept).map_err(|_| "nobody listens".to_owned())
                })
            });
            let mut kept = receiver.iter().peekable();
            pages(
                control,
                "/v1/bindings",
                "bindings",
                &[("state", "all")],
                &mut |view| {
                    let id: Id = text(view, "id").parse().context("the server names no id")?;
                    let there = There {
                        version: view.get("version").and_then(Value::as_u64).unwrap_or(0),
                        is_live: text(view, "state") == "live",
                    };
                    while let Some(before) = kept.next_if(|kept| kept.id < id) {
                        plan.take(&before, None, each)?;
                    }
                    match kept.next_if(|kept| kept.id == id) {
                        Some(same) => plan.take(&same, Some(there), each),
                        None if there.is_live => {
                            plan.made_since += 1;
                            each(Step::Unbind(id))
                        }
                        None => Ok(()),
                    }
                },
            )?;
            for rest in kept {
                plan.take(&rest, None, each)?;
            }
            match reader.join() {
                Ok(read) => read.map(drop).map_err(anyhow::Error::from),
                Err(_) => bail!("the backup could not be read to its end"),
            }
        })?;
        Ok(plan)
    }

    fn take(
        &mut self,
        kept: &Kept,
        there: Option<There>,
        each: &mut dyn FnMut(Step<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let count = match there {
            Some(there) if there.is_live && there.version == u64::from(kept.version) => {
                self.same += 1;
                return Ok(());
            }
            // It never comes back; if an update prolonged it since, that goes.
            _ if kept.is_over => {
                self.over += 1;
                return match there {
                    Some(there) if there.is_live => {
                        self.made_since += 1;
                        each(Step::Unbind(kept.id))
                    }
                    Some(_) | None => Ok(()),
                };
            }
            Some(there) if there.is_live => &mut self.changed,
            Some(_) => &mut self.ended_since,
            None => &mut self.missing,
        };
        *count += 1;
        each(Step::PutBack(&kept.record))
    }
}

/// Hands out the records that bindings rest on: accounts, then pools, numbers, groups and their members.
fn each_base(backup: &Backup, each: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut by_rank: HashMap<u8, Vec<Vec<u8>>> = HashMap::new();
    backup.snapshot.read(&mut |_, value| {
        let rank = match Record::decode(value).map_err(|e| e.to_string())? {
            Record::Account(_) => 0,
            Record::Pool(_) => 1,
            Record::Number(number) if number.is_ours() => 2,
            Record::Group(group) if group.ended.is_none() => 3,
            Record::Member(member) if member.is_open() => 4,
            // Whom an A reaches next is said for an hour at most, and who called him last was forgotten with what ended
            // since: no backup brings either back.
            Record::Number(_)
            | Record::Binding(_)
            | Record::Forget(_)
            | Record::Callee(_)
            | Record::CalleeGone(_)
            | Record::Group(_)
            | Record::GroupGone(_)
            | Record::Member(_)
            | Record::MemberGone(..)
            | Record::Last(_)
            | Record::LastGone(_) => return Ok(()),
        };
        by_rank.entry(rank).or_default().push(value.to_vec());
        Ok(())
    })?;
    for rank in 0..5 {
        for record in by_rank.get(&rank).into_iter().flatten() {
            each(record)?;
        }
    }
    Ok(())
}

/// The groups of a backup, by their ids.
fn groups_of(backup: &Backup) -> anyhow::Result<BTreeMap<GroupId, Vec<u8>>> {
    let mut groups = BTreeMap::new();
    backup.snapshot.read(&mut |_, value| {
        if let Record::Group(group) = Record::decode(value).map_err(|e| e.to_string())? {
            groups.insert(group.id, value.to_vec());
        }
        Ok(())
    })?;
    Ok(groups)
}

fn hex(bytes: &[u8]) -> Value {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    Value::String(text)
}

/// Items that are sent together.
struct Batch {
    path: &'static str,
    name: &'static str,
    items: Vec<Value>,
    /// The groups that the items name.
    groups: BTreeSet<GroupId>,
    bytes: usize,
    /// How many were sent and done.
    sent: u64,
}

impl Batch {
    fn of(path: &'static str, name: &'static str) -> Self {
        Self {
            path,
            name,
            items: Vec::new(),
            groups: BTreeSet::new(),
            bytes: 0,
            sent: 0,
        }
    }
}

struct Sender<'a> {
    control: &'a Control,
    /// Those of the backup.
    groups: BTreeMap<GroupId, Vec<u8>>,
    bar: indicatif::ProgressBar,
    done: u64,
    refused: u64,
}

impl Sender<'_> {
    /// A record, with the group that it names: by its id alone that could be another one here.
    fn add_record(&mut self, batch: &mut Batch, record: &[u8]) -> anyhow::Result<()> {
        let named = Record::decode(record)
            .map_err(|e| anyhow::anyhow!("{e}"))?
            .names_group();
        if let Some((id, group)) = named.and_then(|id| Some((id, self.groups.get(&id)?)))
            && batch.groups.insert(id)
        {
            batch.bytes += 2 * group.len();
        }
        self.add(batch, hex(record))
    }

    fn add(&mut self, batch: &mut Batch, item: Value) -> anyhow::Result<()> {
        batch.bytes += item.as_str().map_or(0, str::len);
        batch.items.push(item);
        if batch.items.len() >= BATCH_MAX || batch.bytes >= BATCH_BYTES {
            self.send(batch)?;
        }
        Ok(())
    }

    fn send(&mut self, batch: &mut Batch) -> anyhow::Result<()> {
        let items = std::mem::take(&mut batch.items);
        let groups = std::mem::take(&mut batch.groups);
        batch.bytes = 0;
        if items.is_empty() {
            return Ok(());
        }
        let count = items.len() as u64;
        let mut body = json!({batch.name: items});
        if !groups.is_empty() {
            let records = groups.iter().filter_map(|id| self.groups.get(id));
            body["groups"] = records.map(|record| hex(record)).collect();
        }
        let begun = Instant::now();
        let answer = loop {
            match self.control.send(Method::POST, batch.path, Some(&body)) {
                Err(Trouble::Refused { status: 429, .. }) if begun.elapsed() < QUEUE_PATIENCE => {
                    thread::sleep(QUEUE_REST);
                }
                answer => break answer.context("the restore is not complete: run it again")?,
            }
        };
        let made = answer.get("made").and_then(Value::as_u64).unwrap_or(0);
        batch.sent += made;
        self.done += made;
        self.bar.inc(count);
        for refused in answer
            .get("refused")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let text = |name: &str| {
                let found = refused.pointer(&format!("/error/{name}"));
                found.and_then(Value::as_str).unwrap_or_default()
            };
            // It ended meanwhile, by itself or by somebody else.
            if matches!(text("code"), "binding_ended" | "unknown_binding") {
                continue;
            }
            self.refused += 1;
            if self.refused <= SAID_MAX {
                let sentence = text("message");
                self.bar
                    .suspend(|| drop(writeln!(std::io::stderr(), "umbra: refused: {sentence}")));
            }
        }
        Ok(())
    }
}
