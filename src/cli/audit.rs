//! `umbra audit`

use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};

use crate::base::text::unhex;
use crate::records::audit::{self, Verdict};
use crate::records::recordings::chain::Sha;

/// What can be done with audit logs.
#[derive(Subcommand, Debug)]
pub enum Audit {
    /// Say whether an audit log is as it was written; asks no server
    Verify(Verify),
}

/// What `audit verify` takes.
#[derive(Args, Debug)]
pub struct Verify {
    /// The log's folder
    #[arg(default_value = "data/audit")]
    dir: PathBuf,
    /// The digits of one of its lines, kept elsewhere: it must still be there
    #[arg(long, value_name = "DIGITS", value_parser = sha)]
    sha256: Option<Sha>,
}

fn sha(text: &str) -> Result<Sha, String> {
    let digits = unhex(text.as_bytes()).map(Sha);
    digits.ok_or_else(|| "64 hexadecimal digits, in small letters".into())
}

impl Audit {
    /// Does it.
    ///
    /// # Errors
    /// It isn't as it was written, or can't be read.
    pub fn run(self, out: &mut dyn Write) -> anyhow::Result<()> {
        let Self::Verify(Verify { dir, sha256 }) = self;
        let verdict = audit::Audit::verify(&dir, sha256)?;
        match verdict {
            Verdict::Whole { .. } => Ok(writeln!(out, "{verdict}")?),
            Verdict::Changed { .. } => bail!("{verdict}"),
        }
    }
}
