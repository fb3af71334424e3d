//! The conf files, read and checked: every fault at once, each with file, line, the offending text and the cure.
//!
//! Each room owns its own configuration; this one only composes them. `trunks` is relative to the conf file;
//! every other path is relative to the working directory. What every key means, its default, its range and
//! whether a reload takes it stands in the shipped `conf/umbra.toml` and `conf/trunks.toml`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::call::config::Config;
use crate::customer;
use crate::masking::quarantine;
use crate::media::prompts;
use crate::names;
use crate::records::{cdr_file, recorder};
use crate::telemetry::{hep as copies, log};
use crate::transport;

mod ask;
mod certificates;
mod emergency;
mod fault;
mod file;
mod gateway;
mod hep;
mod keys;
mod listeners;
mod media;
mod ranks;
mod reader;
mod reading;
mod register;
mod routes;
mod secrets;
mod tls;
mod trunks;
mod value;

pub use fault::{Fault, Faults};
pub use keys::{KEYS, Takes};
pub use reading::{Findings, Reading, Reload};
pub use value::duration;

const SHIPPED: &str = include_str!("../../conf/umbra.toml");
const SHIPPED_TRUNKS: &str = include_str!("../../conf/trunks.toml");

/// Everything that the conf files say, checked.
#[derive(Clone, PartialEq, Debug)]
pub struct Conf {
    /// What the switch is told.
    pub switch: Config,
    /// How long calls in progress may go on after SIGTERM.
    pub drain: Duration,
    /// How long calls may have been left alone by the process before, to go on in this one.
    pub restore_within: Duration,
    /// SIP shards, each a thread.
    pub shards: usize,
    /// The store's folder.
    pub store: PathBuf,
    /// How the names of gateways are looked up.
    pub dns: names::Config,
    /// CDR files.
    pub records: cdr_file::Config,
    /// Recordings, if there are any.
    pub recordings: recorder::Config,
    /// Where prompts come from.
    pub prompts: prompts::Config,
    /// Certificates of the listeners over TLS.
    pub tls: transport::tls::Config,
    /// Where the API is.
    pub api: Api,
    /// How many virtual numbers are counted apart.
    pub metrics_numbers: u32,
    /// How customers' servers are asked.
    pub ask: customer::Config,
    /// Where copies of SIP messages go; `None`: nowhere.
    pub hep: Option<copies::Config>,
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
    Reading::of(path)?.conf()
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
        Reading::shipped()
            .conf()
            .expect("the shipped files are right: a test reads them")
    }
}

#[cfg(test)]
mod tests;
