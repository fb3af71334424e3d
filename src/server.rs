//! The only place where rooms are joined.

/// Not joined yet.
pub fn run(_: crate::config::Conf, _: Option<std::path::PathBuf>) -> anyhow::Result<()> {
    Ok(())
}
