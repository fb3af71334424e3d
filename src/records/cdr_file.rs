//! CDR files: one JSON object a line, nothing ever dropped.

use std::path::PathBuf;
use std::time::Duration;

/// Where CDRs are written, and for how long they are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The folder.
    pub dir: PathBuf,
    /// How long one file is written to.
    pub rotate: Duration,
    /// How many days a closed file is kept.
    pub keep_days: u32,
}
