//! `umbra backup`

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use super::client::Control;
use super::progress::{self, Unit};
use super::screen::{self, Form, text};
use super::when;
use crate::store::backup::{self, Holds};

const ABOUT: &str = "\
Take a backup while the server runs. It holds everything that was acknowledged before the command began: accounts, \
pools, numbers and bindings, live and ended. Writing goes on meanwhile.

DIR gets bindings.snap and, when that is on the disk and every byte of it was read back, manifest.json. A folder \
without a manifest is half a backup, and `umbra restore` refuses it. The folder holds real numbers: it is for its \
owner alone (0700), keep it so.

Call records are not in it: they are files that are only ever appended to, so that any program can copy \
records.cdr_dir at any time. Nor are calls in progress: they belong to the server that has them.";

/// What `backup` takes.
#[derive(Args, Debug)]
#[command(long_about = ABOUT)]
pub struct Backup {
    /// A folder that is empty, or is not there yet
    dir: PathBuf,
    #[command(flatten)]
    form: Form,
}

impl Backup {
    /// Takes the backup, and prints what it holds.
    ///
    /// # Errors
    /// What the server or the disk says.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let begun_at = Instant::now();
        let status = control.get("/v1/status", &[])?;
        let mut begun = backup::begin(&self.dir)?;
        let bar = progress::bar("backing up", Unit::Bytes, Some(0));
        control.download("/v1/backup", &mut |bytes, length| {
            bar.set_length(length);
            bar.inc(bytes.len() as u64);
            begun.write_all(bytes)
        })?;
        bar.finish_and_clear();
        let bytes = begun.bytes();
        let taken_at = when::now().to_string();
        let taken = begun.finish(&text(&status, "version"), &text(&status, "node"), &taken_at)?;
        if self.form.json {
            screen::write_json(out, &serde_json::to_value(&taken.manifest)?)?;
            return Ok(());
        }
        writeln!(
            out,
            "{}: everything up to change {}: {}; {bytes} bytes, {:.1} s",
            self.dir.display(),
            taken.manifest.seq,
            summary(&taken.manifest.holds),
            begun_at.elapsed().as_secs_f64()
        )?;
        Ok(())
    }
}

/// What a backup holds, in words.
pub(super) fn summary(holds: &Holds) -> String {
    let count = |of: u64, one: &str, more: &str| format!("{of} {}", if of == 1 { one } else { more });
    format!(
        "{}, {} ended, {}, {}",
        count(holds.bindings, "live binding", "live bindings"),
        holds.bindings_ended,
        count(holds.numbers, "number", "numbers"),
        count(holds.pools, "pool", "pools")
    )
}
