//! The conf files as they were read, and what a running server takes of them when they are read again.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::keys::{Takes, takes};
use super::reader::Source;
use super::{Conf, Fault, Faults, emergency, file, routes, trunks};
use crate::base::limits::CONF_BYTES_MAX;
use crate::call::config::Config;
use crate::call::routes::Match;
use crate::call::trunk::rank::Rank;

/// Trunk files of one folder.
const FILES_MAX: usize = 256;

/// A conf file: its name, as faults show it, and its text.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) name: String,
    pub(super) text: String,
}

impl fmt::Debug for Text {
    /// Its name only: there may be passwords in the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({})", self.name)
    }
}

/// The conf files as they were read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    pub(super) main: Text,
    /// What `trunks` names: a file, or a folder.
    pub(super) trunks_at: String,
    pub(super) trunks: Vec<Text>,
    /// What could not be read of it.
    unread: Vec<Fault>,
}

/// What was found in the conf files.
#[derive(Debug)]
pub struct Findings {
    /// The conf, if nothing is wrong.
    pub conf: Option<Conf>,
    /// Everything that is wrong.
    pub faults: Faults,
    /// Everything that is allowed and probably not meant.
    pub warnings: Faults,
}

/// What a reload comes to.
#[derive(Clone, PartialEq, Debug)]
pub struct Reload {
    /// What is in force from now on.
    pub conf: Conf,
    /// The files that say so: the new ones, with the old values of the keys that wait.
    pub in_force: Reading,
    /// What was changed and taken: keys, and trunks by their names.
    pub taken: Vec<String>,
    /// Changed keys that wait for a restart. `trunks` is among them when the trunks need a key that waits.
    pub waiting: Vec<String>,
}

impl Reading {
    /// Reads the conf file at `path`, and the trunk file or folder that it names.
    ///
    /// # Errors
    /// The conf file can't be read. What else can't be read is found by [`Reading::check`].
    pub fn of(path: &Path) -> Result<Self, Faults> {
        let main = Text::of(path).map_err(|fault| Faults(vec![fault]))?;
        let source = Source::new(&main.name, &main.text);
        let (_, named) = file::read(&source);
        let at = path.parent().unwrap_or(Path::new("")).join(named);
        let mut reading = Self {
            trunks_at: at.display().to_string(),
            trunks: Vec::new(),
            unread: Vec::new(),
            main,
        };
        match trunk_files(&at) {
            Err(fault) => reading.unread.push(fault),
            Ok(files) if files == [at.clone()] && !at.exists() => {
                let cure = format!(
                    "there is no {}: name the trunk file, or a folder of them, beside this file if relative",
                    at.display()
                );
                let fault = reading.fault("trunks", cure);
                reading.unread.push(fault);
            }
            Ok(files) => {
                for file in files {
                    match Text::of(&file) {
                        Ok(text) => reading.trunks.push(text),
                        Err(fault) => reading.unread.push(fault),
                    }
                }
            }
        }
        Ok(reading)
    }

    /// The shipped files.
    pub(super) fn shipped() -> Self {
        Self::of_texts(
            "conf/umbra.toml",
            super::SHIPPED,
            "conf/trunks.toml",
            super::SHIPPED_TRUNKS,
        )
    }

    /// Files that are on no disk.
    pub fn of_texts(name: &str, text: &str, trunks_name: &str, trunks_text: &str) -> Self {
        let of = |name: &str, text: &str| Text {
            name: name.to_owned(),
            text: text.to_owned(),
        };
        Self {
            main: of(name, text),
            trunks_at: trunks_name.to_owned(),
            trunks: vec![of(trunks_name, trunks_text)],
            unread: Vec::new(),
        }
    }

    /// The main file, as it was named.
    pub fn path(&self) -> &Path {
        Path::new(&self.main.name)
    }

    /// Checks what was read.
    pub fn check(&self) -> Findings {
        let source = Source::new(&self.main.name, &self.main.text);
        let (mut conf, _) = file::read(&source);
        let sources = self.trunks.iter().map(|file| Source::new(&file.name, &file.text));
        let sources: Vec<Source<'_>> = sources.collect();
        for source in &sources {
            trunks::read(source, &mut conf.switch);
        }
        routes::read(&sources, &mut conf.switch);
        emergency::read(&source, &mut conf.switch);
        let mut found = source.into_findings();
        found.faults.extend(self.unread.iter().cloned());
        for source in sources {
            found.extend(source.into_findings());
        }
        let whole = |cure: &str| Fault {
            file: self.trunks_at.clone(),
            line: None,
            text: String::new(),
            cure: cure.into(),
        };
        let are_trunks_sound =
            self.unread.is_empty() && found.faults.iter().all(|f| f.file == self.main.name);
        if conf.switch.trunks.is_empty() && are_trunks_sound {
            found.faults.push(whole(
                "no trunk: no call could come or go; write one under a line [[trunk]]",
            ));
        } else if !conf.switch.trunks.iter().any(|t| t.default) {
            found.warnings.push(whole(
                "no trunk is the default: a number that is added without a trunk can't be shown",
            ));
        }
        Findings {
            conf: found.faults.is_empty().then_some(conf),
            faults: Faults(found.faults),
            warnings: Faults(found.warnings),
        }
    }

    /// The conf.
    ///
    /// # Errors
    /// Everything that is wrong, all at once.
    pub fn conf(&self) -> Result<Conf, Faults> {
        let found = self.check();
        found.conf.ok_or(found.faults)
    }

    /// A fault of `key` in the main file, where it stands there.
    pub fn fault(&self, key: &str, cure: impl Into<String>) -> Fault {
        let source = Source::new(&self.main.name, &self.main.text);
        source.fault_of(key, cure)
    }

    /// What a server that runs on these files takes of a `new` reading: every key that need not wait for a
    /// restart. Either all of that, or nothing.
    ///
    /// # Errors
    /// Everything that is wrong with the new files.
    pub fn reload(&self, new: &Self) -> Result<Reload, Faults> {
        let wanted = new.conf()?;
        let old = self.conf()?;
        // Both were read as TOML a moment ago.
        let (before, after) = (self.main.table(), new.main.table());
        let mut changed = changed(&before, &after);
        // Another spelling of the same value is no change, nor is a default that is left out now.
        changed.retain(|key| {
            let mut table = after.clone();
            put(&mut table, key, get(&before, key).cloned());
            new.with_main(&table).conf().as_ref() != Ok(&wanted)
        });
        let waits = |key: &&String| takes(key) == Takes::Restart;
        let mut waiting: Vec<String> = changed.iter().filter(waits).cloned().collect();
        let mut kept = after;
        for key in &waiting {
            put(&mut kept, key, get(&before, key).cloned());
        }
        let mut in_force = new.with_main(&kept);
        let conf = match in_force.conf() {
            Ok(conf) => conf,
            // The trunks need an address, say, that waits: so do they.
            Err(_) => {
                in_force.trunks.clone_from(&self.trunks);
                in_force.trunks_at.clone_from(&self.trunks_at);
                in_force.unread.clone_from(&self.unread);
                let conf = in_force
                    .conf()
                    .map_err(|faults| needs_restart(faults, &waiting))?;
                waiting.push("trunks".to_owned());
                conf
            }
        };
        let mut taken: Vec<String> = changed
            .iter()
            .filter(|key| takes(key) == Takes::Reload && *key != "trunks")
            .cloned()
            .collect();
        taken.extend(changed_trunks(&old, &conf));
        Ok(Reload {
            conf,
            in_force,
            taken,
            waiting,
        })
    }

    fn with_main(&self, table: &Table) -> Self {
        Self {
            main: Text {
                name: self.main.name.clone(),
                text: table.to_string(),
            },
            ..self.clone()
        }
    }
}

impl Text {
    fn of(path: &Path) -> Result<Self, Fault> {
        let name = path.display().to_string();
        match small_file(path, CONF_BYTES_MAX) {
            Ok(text) => Ok(Self { name, text }),
            Err(error) => Err(unreadable(path, &error)),
        }
    }

    /// The file's keys; none of one that is no TOML.
    fn table(&self) -> Table {
        self.text.parse().unwrap_or_default()
    }
}

/// The faults of new keys beside old values: each is right by itself, and the line is nobody's.
fn needs_restart(faults: Faults, waiting: &[String]) -> Faults {
    let waits = waiting.join(", ");
    let faults = faults.0.into_iter().map(|fault| Fault {
        line: None,
        cure: format!(
            "{}; the conf is right, but {waits} can't change while the server runs: restart it",
            fault.cure
        ),
        ..fault
    });
    Faults(faults.collect())
}

/// The keys whose values differ, as they are written.
fn changed(before: &Table, after: &Table) -> Vec<String> {
    let mut keys = BTreeSet::new();
    leaves(before, "", &mut keys);
    leaves(after, "", &mut keys);
    keys.retain(|key| get(before, key) != get(after, key));
    keys.into_iter().collect()
}

/// The whole names of a table's keys; an array of tables is one.
fn leaves(table: &Table, prefix: &str, keys: &mut BTreeSet<String>) {
    for (key, value) in table {
        match value {
            Value::Table(inner) => leaves(inner, &format!("{prefix}{key}."), keys),
            _ => {
                keys.insert(format!("{prefix}{key}"));
            }
        }
    }
}

fn get<'t>(table: &'t Table, key: &str) -> Option<&'t Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((outer, rest)) => table.get(outer)?.as_table().and_then(|inner| get(inner, rest)),
    }
}

/// Sets a key, or takes it away.
fn put(table: &mut Table, key: &str, value: Option<Value>) {
    match (key.split_once('.'), value) {
        (None, Some(value)) => {
            table.insert(key.to_owned(), value);
        }
        (None, None) => {
            table.remove(key);
        }
        (Some((outer, rest)), value) => {
            let inner = table.entry(outer).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// The routes of a conf, with their trunks by their names: a place says nothing beside another conf.
fn by_names(config: &Config) -> Vec<(&Match, Vec<(Rank, &str)>)> {
    let routes = config.routes.iter();
    let named = |(rank, trunk): &(Rank, usize)| Some((*rank, &*config.trunks.get(*trunk)?.name));
    routes
        .map(|route| (&route.of, route.trunks.iter().filter_map(named).collect()))
        .collect()
}

/// The trunks that came, went or changed, each in words; and whether the routes did.
fn changed_trunks(old: &Conf, new: &Conf) -> Vec<String> {
    let (routes_before, routes) = (by_names(&old.switch), by_names(&new.switch));
    let (old, new) = (&old.switch.trunks, &new.switch.trunks);
    let mut said: Vec<String> = new
        .iter()
        .filter_map(|trunk| match old.iter().find(|t| t.name == trunk.name) {
            None => Some(format!("trunk {} (new)", trunk.name)),
            Some(before) if before != trunk => Some(format!("trunk {}", trunk.name)),
            Some(_) => None,
        })
        .collect();
    let gone = old.iter().filter(|t| new.iter().all(|n| n.name != t.name));
    said.extend(gone.map(|trunk| format!("trunk {} (gone)", trunk.name)));
    if routes_before != routes {
        said.push("routes".to_owned());
    }
    said
}

/// The text of a file that the conf is, or names.
///
/// # Errors
/// It can't be read, is no file, no text, or has more than `most` bytes.
pub(super) fn small_file(path: &Path, most: u64) -> std::io::Result<String> {
    let refused = |why: String| std::io::Error::new(std::io::ErrorKind::InvalidData, why);
    // Of a pipe nobody knows when something comes, and of a device where it ends.
    if !std::fs::metadata(path)?.is_file() {
        return Err(refused("it is no file".to_owned()));
    }
    let mut text = String::new();
    let read = std::fs::File::open(path)?
        .take(most + 1)
        .read_to_string(&mut text)?;
    if read as u64 > most {
        return Err(refused(format!("it has more than {most} bytes")));
    }
    Ok(text)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault {
        file: path.display().to_string(),
        line: None,
        text: String::new(),
        cure: format!("can't be read ({error}); name a file that this user may read"),
    }
}

/// The trunk files that `path` names: itself, or a folder's `*.toml` in the order of their names.
fn trunk_files(path: &Path) -> Result<Vec<PathBuf>, Fault> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|e| unreadable(path, &e))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    if files.len() > FILES_MAX {
        return Err(Fault {
            file: path.display().to_string(),
            line: None,
            text: String::new(),
            cure: format!(
                "{} trunk files: join some, at most {FILES_MAX} are read",
                files.len()
            ),
        });
    }
    Ok(files)
}
