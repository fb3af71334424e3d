//! `umbra recording get` and `play`: a recording from the running server.

use std::fs::{self, File};
use std::io::{self, Seek as _, Write};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

use super::{files, player};
use crate::base::id::Id;
use crate::cli::client::{Control, GoOn, Piece, Trouble};
use crate::cli::progress::{self, Unit};
use crate::cli::screen::text;

/// Letters of the digits of a recording's end in the name of its part: enough that it is no other's.
const DIGITS: usize = 16;

const ABOUT: &str = "\
Fetch a recording's audio from the running server: a WAV file, or the RTP dump of a codec that isn't decoded; a sealed one comes \
in clear. It is written to a file that ends in .part and named when all of it is there that there is; of a call that goes on that \
is what was said so far. Asked again after a break, it goes on where \
that ended, if the recording is still the same.

Each access is in the audit log.";

/// What `recording get` takes.
#[derive(Args, Debug)]
#[command(long_about = ABOUT)]
pub struct Get {
    /// The recording
    id: Id,
    /// The file to write [default: ID.wav or ID.rtpdump in this folder]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Fetch its chain too, into ID.chain beside it: by the two `umbra recording verify` and `convert` go without a server,
    /// but for a sealed one, of which the server's own files are to be verified
    #[arg(long)]
    chain: bool,
}

/// What `recording play` takes.
#[derive(Args, Debug)]
pub struct Play {
    /// The recording
    id: Id,
}

impl Get {
    /// Fetches it.
    ///
    /// # Errors
    /// What the server says, or the disk.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        let row = control.get(&format!("/v1/recordings/{}", self.id), &[])?;
        let path = self
            .output
            .unwrap_or_else(|| PathBuf::from(format!("{}.{}", self.id, text(&row, "audio"))));
        let bytes = audio(control, self.id, &row, &path)?;
        let so_far = match text(&row, "state").as_str() {
            "running" => " so far; its call goes on: fetch it again when that is over",
            _ => "",
        };
        writeln!(out, "{}: {bytes} bytes{so_far}", path.display())?;
        if self.chain {
            let chain = path.with_file_name(format!("{}.chain", self.id));
            let bytes = whole(
                control,
                &format!("/v1/recordings/{}/chain", self.id),
                None,
                &chain,
            )?;
            writeln!(out, "{}: {bytes} bytes", chain.display())?;
        }
        Ok(())
    }
}

impl Play {
    /// Plays it on this machine.
    ///
    /// # Errors
    /// What the server says; there is no player, or it fails.
    pub fn run(self, control: &Control) -> anyhow::Result<()> {
        let row = control.get(&format!("/v1/recordings/{}", self.id), &[])?;
        if text(&row, "audio") != "wav" {
            bail!(
                "{0} is a dump of RTP packets, which no player reads: `umbra recording get {0} --chain`, then \
                 `umbra recording convert {0}.rtpdump -o {0}.wav`",
                self.id
            );
        }
        // Before anything is fetched, which is noted.
        let player = player::found()?;
        let mut file = nameless()?;
        fill(control, &format!("/v1/recordings/{}/audio", self.id), None, &file)?;
        file.rewind()?;
        player.play(file)
    }
}

/// A file that has no name any more: nothing of it is left when this process and the player have ended, however they end.
fn nameless() -> anyhow::Result<File> {
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(|e| anyhow::anyhow!("the system gives no randomness: {e}"))?;
    let name = format!("umbra-{:016x}", u64::from_ne_bytes(seed));
    let path = std::env::temp_dir().join(name);
    let written = || {
        format!(
            "{} can't be written: set TMPDIR to a folder that can",
            path.display()
        )
    };
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .with_context(written)?;
    fs::remove_file(&path).with_context(written)?;
    Ok(file)
}

/// Fetches a recording's audio into a file; how many bytes it has.
fn audio(control: &Control, id: Id, row: &Value, path: &Path) -> anyhow::Result<u64> {
    let end = text(row, "sha256");
    // While it runs, its begin changes too: then nothing is gone on with.
    let tag = Some(end).filter(|end| !end.is_empty());
    whole(
        control,
        &format!("/v1/recordings/{id}/audio"),
        tag.as_deref(),
        path,
    )
}

/// Fetches what is at `target`, and names it when it is whole. With a tag it goes on with what was fetched before.
fn whole(control: &Control, target: &str, tag: Option<&str>, path: &Path) -> anyhow::Result<u64> {
    files::is_not_own(path)?;
    let mut name = path.file_name().context("name a file to write to")?.to_owned();
    if let Some(digits) = tag.and_then(|tag| tag.get(..DIGITS)) {
        name.push(".");
        name.push(digits);
    }
    name.push(".part");
    let part = path.with_file_name(name);
    if tag.is_none() {
        files::is_not_own(&part)?;
    }
    let written = || format!("{} can't be written", part.display());
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(tag.is_none())
        .mode(0o600)
        .open(&part)
        .with_context(written)?;
    let total = fill(control, target, tag, &file)?;
    file.sync_all()
        .and_then(|()| fs::rename(&part, path))
        .with_context(|| format!("{} can't be written", path.display()))?;
    Ok(total)
}

/// Fetches what is at `target` into a file; how many bytes it has. With a tag it goes on behind what is in it.
fn fill(control: &Control, target: &str, tag: Option<&str>, file: &File) -> anyhow::Result<u64> {
    let from = file.metadata()?.len();
    let go_on = tag.filter(|_| from > 0).map(|tag| GoOn { from, tag });
    let bar = progress::bar(target.to_owned(), Unit::Bytes, None);
    let mut total = from;
    let mut put = |piece: &Piece<'_>| -> io::Result<()> {
        if piece.at == 0 {
            file.set_len(0)?;
        }
        file.write_all_at(piece.bytes, piece.at)?;
        total = piece.at + piece.bytes.len() as u64;
        bar.set_length(piece.length);
        bar.set_position(total);
        Ok(())
    };
    match control.fetch(target, go_on, &mut put) {
        // Nothing follows: a break came between its last byte and its name.
        Err(error) if is_beyond(&error) => {}
        outcome => outcome?,
    }
    bar.finish_and_clear();
    Ok(total)
}

/// Whether the server says that there are no bytes from there on.
fn is_beyond(error: &anyhow::Error) -> bool {
    const RANGE_NOT_SATISFIABLE: u16 = 416;
    matches!(
        error.downcast_ref(),
        Some(Trouble::Refused {
            status: RANGE_NOT_SATISFIABLE,
            ..
        })
    )
}
