//! The conf files, read and checked: every fault at once, each with file, line, the offending text and the cure.
//!
//! Each room owns its own configuration; this one only composes them. `trunks` is relative to the conf file;
//! every other path is relative to the working directory. What every key means, its default, its range and
//! whether a reload takes it stands in the shipped `conf/umbra.toml` and `conf/trunks.toml`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::call::config::Config;
use crate::masking::quarantine;
use crate::records::cdr_file;
use crate::telemetry::log;

mod fault;
mod file;
mod media;
mod reader;
mod trunks;
mod value;

pub use fault::{Fault, Faults};
use reader::Source;
pub use value::duration;

const SHIPPED: &str = include_str!("../../conf/umbra.toml");
const SHIPPED_TRUNKS: &str = include_str!("../../conf/trunks.toml");
/// Trunk files of one folder.
const FILES_MAX: usize = 256;

/// Everything that the conf files say, checked.
#[derive(Clone, PartialEq, Debug)]
pub struct Conf {
    /// What the switch is told.
    pub switch: Config,
    /// SIP shards, each a thread.
    pub shards: usize,
    /// The store's folder.
    pub store: PathBuf,
    /// CDR files.
    pub records: cdr_file::Config,
    /// Where the API is.
    pub api: Api,
    /// The log.
    pub log: log::Config,
    /// How long keys rest in pools that don't say.
    pub quarantine: quarantine::Config,
}

/// Where the API is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Api {
    /// The control socket's path.
    pub control: PathBuf,
    /// The HTTP address; `None` turns it off.
    pub listen: Option<SocketAddr>,
}

/// Reads and checks the conf at `path`, and the trunk file or folder that it names.
///
/// # Errors
/// Everything that is wrong, all at once.
pub fn load(path: &Path) -> Result<Conf, Faults> {
    let name = path.display().to_string();
    let text = read_file(path)?;
    let source = Source::new(&name, &text);
    let (mut conf, trunks) = file::read(&source);
    let mut faults = source.into_faults();
    let trunks = path.parent().unwrap_or(Path::new("")).join(trunks);
    match trunk_files(&trunks) {
        Err(fault) => faults.push(fault),
        Ok(files) if files == [trunks.clone()] && !trunks.exists() => {
            faults.push(Fault {
                file: name,
                line: None,
                text: String::new(),
                cure: format!(
                    "there is no {}: `trunks` names the trunk file, beside this one if relative",
                    trunks.display()
                ),
            });
        }
        Ok(files) => {
            for file in files {
                match read_file(&file) {
                    Ok(text) => {
                        let source = Source::new(&file.display().to_string(), &text);
                        trunks::read(&source, &mut conf.switch);
                        faults.extend(source.into_faults());
                    }
                    Err(Faults(unreadable)) => faults.extend(unreadable),
                }
            }
            no_trunk(&trunks.display().to_string(), &conf, &mut faults);
        }
    }
    if faults.is_empty() {
        Ok(conf)
    } else {
        Err(Faults(faults))
    }
}

/// Reads a conf from texts; `name` and `trunks_name` stand in the faults.
fn from_texts(name: &str, text: &str, trunks_name: &str, trunks_text: &str) -> Result<Conf, Faults> {
    let source = Source::new(name, text);
    let (mut conf, _) = file::read(&source);
    let mut faults = source.into_faults();
    let source = Source::new(trunks_name, trunks_text);
    trunks::read(&source, &mut conf.switch);
    faults.extend(source.into_faults());
    no_trunk(trunks_name, &conf, &mut faults);
    if faults.is_empty() {
        Ok(conf)
    } else {
        Err(Faults(faults))
    }
}

fn no_trunk(file: &str, conf: &Conf, faults: &mut Vec<Fault>) {
    if conf.switch.trunks.is_empty() && faults.iter().all(|f| f.file != file) {
        faults.push(Fault {
            file: file.into(),
            line: None,
            text: String::new(),
            cure: "no trunk: no call could come or go; write one under a line [[trunk]]".into(),
        });
    }
}

fn read_file(path: &Path) -> Result<String, Faults> {
    std::fs::read_to_string(path).map_err(|e| Faults(vec![unreadable(path, &e)]))
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
        .take(FILES_MAX)
        .collect();
    files.sort();
    Ok(files)
}

/// A name that may stand in file names, records and SIP: letters, digits, `-`, `_`, `.`; 1 to 64 of them.
fn plain_name(text: &str) -> Result<(), String> {
    let plain = text
        .bytes()
        .all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
    if text.is_empty() || text.len() > 64 || !plain {
        return Err("write a name of 1 to 64 letters, digits, - _ or .".into());
    }
    Ok(())
}

impl Conf {
    /// The conf of a server that was given no file: the shipped files.
    pub fn embedded() -> Self {
        from_texts("conf/umbra.toml", SHIPPED, "conf/trunks.toml", SHIPPED_TRUNKS)
            .expect("the shipped files are right: a test reads them")
    }

    /// What is allowed and probably not meant, a sentence each.
    pub fn check(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let trunks = &self.switch.trunks;
        if !trunks.iter().any(|t| t.default) {
            warnings.push(
                "no trunk is the default: a number that is added without a trunk can't be shown".into(),
            );
        }
        for trunk in trunks {
            if trunk.gateways.is_empty() {
                warnings.push(format!(
                    "trunk {} has no gateways: no call leaves on it",
                    trunk.name
                ));
            }
            if trunk.accept_from.is_empty() {
                warnings.push(format!(
                    "trunk {} accepts from nowhere: no call comes in on it",
                    trunk.name
                ));
            }
            if trunk.accept_from.iter().any(|c| c.prefix == 0) {
                warnings.push(format!(
                    "trunk {} accepts calls from the whole world: name the carrier's networks",
                    trunk.name
                ));
            }
            let media = &self.switch.media;
            let needs = trunk.gateways.iter().map(|gateway| gateway.address.ip());
            for peer in needs.chain(trunk.accept_from.iter().map(|c| c.network)) {
                if trunk.media.is_none() && media.towards(None, peer).is_none() {
                    warnings.push(format!(
                        "trunk {} speaks with {peer}, but no media address is of that family: whoever there has no \
                         other is refused with 488",
                        trunk.name
                    ));
                    break;
                }
            }
            if trunk.accept_from.iter().any(|c| c.network.is_ipv6()) {
                warnings.push(format!(
                    "trunk {} accepts from an IPv6 network, but we listen on IPv4 only",
                    trunk.name
                ));
            }
        }
        warnings
    }

    /// What a running server takes of a `new` conf: every key marked *reload* in the shipped files. Beside it
    /// the names of the changed keys that wait for a restart. While our addresses for SIP or media wait, so do
    /// the trunks, which are joined to them.
    pub fn reload(&self, new: Self) -> (Self, Vec<&'static str>) {
        let mut waiting = Vec::new();
        let mut waits = |key, same: bool| {
            if !same {
                waiting.push(key);
            }
            same
        };
        let (old, fresh) = (&self.switch, &new.switch);
        waits("node.name", old.node == fresh.node);
        waits("sip.t1_ms", old.timers == fresh.timers);
        waits("sip.shards", self.shards == new.shards);
        waits("numbers.country", old.numbers == fresh.numbers);
        waits("media.threads", old.media.threads == fresh.media.threads);
        let media = crate::call::config::MediaConfig {
            timeout: fresh.media.timeout,
            ..old.media.clone()
        };
        let same_media = waits(
            "media.interface, address, advertise or ports",
            old.media.interfaces == fresh.media.interfaces,
        );
        waits("store.path", self.store == new.store);
        waits("records.cdr_dir", self.records.dir == new.records.dir);
        waits("records.rotate", self.records.rotate == new.records.rotate);
        waits(
            "records.keep_days",
            self.records.keep_days == new.records.keep_days,
        );
        waits("api", self.api == new.api);
        waits("log.format", self.log.format == new.log.format);
        let same_listeners = waits("sip.udp or advertise", old.listeners == fresh.listeners);
        let trunks = if same_listeners && same_media {
            &fresh.trunks
        } else {
            waits("trunks", old.trunks == fresh.trunks);
            &old.trunks
        };
        let taken = Self {
            switch: Config {
                strangers: fresh.strangers,
                ring_timeout: fresh.ring_timeout,
                calls_max: fresh.calls_max,
                trunks: trunks.clone(),
                media,
                ..old.clone()
            },
            log: log::Config {
                level: new.log.level,
                ..self.log
            },
            quarantine: new.quarantine,
            ..self.clone()
        };
        (taken, waiting)
    }
}

#[cfg(test)]
mod tests;
