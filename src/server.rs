//! The only place where rooms are joined.

use std::path::PathBuf;

use crate::config::Conf;

/// Runs the server on `conf` until it is told to stop; a reload reads `conf_path` again.
///
/// # Errors
/// What keeps it from starting.
pub fn run(_conf: Conf, _conf_path: Option<PathBuf>) -> anyhow::Result<()> {
    anyhow::bail!("the rooms are not joined yet")
}
