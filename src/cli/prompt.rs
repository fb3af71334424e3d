//! `umbra prompt`

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::Value;

use super::client::{Control, escaped, target};
use super::screen::{self, Form, text};
use super::table::{Align, Table};
use crate::base::language::Language;
use crate::base::limits::PROMPT_BYTES_MAX;

/// Who plays a WAV file here.
const PLAYER: &str = "aplay";

/// What can be done about prompts.
#[derive(Subcommand, Debug)]
pub enum Prompt {
    /// List what callers are told in words: what ships, and what was put instead
    List(List),
    /// Put a WAV file in place of a prompt, or under a new name; calls that begin from then on hear it
    Add(Add),
    /// Hear a prompt as callers do: by aplay, or as a WAV file
    Play(Play),
    /// Take a prompt away: what lends it, or what ships, is heard again
    Remove(One),
}

/// Whose prompt.
#[derive(Args, Debug)]
pub struct Whose {
    /// In this language [default: the one that the server speaks]
    #[arg(long, value_name = "LANGUAGE")]
    language: Option<Language>,
    /// For the calls of this account
    #[arg(long, value_name = "ACCOUNT", conflicts_with = "pool")]
    account: Option<String>,
    /// For the calls of this pool
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
}

impl Whose {
    fn query(&self) -> Vec<(&'static str, String)> {
        let named = [
            ("language", self.language.map(|language| language.to_string())),
            ("account", self.account.clone()),
            ("pool", self.pool.clone()),
        ];
        let named = named.into_iter();
        named.filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// What `prompt list` takes.
#[derive(Args, Debug)]
pub struct List {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    form: Form,
}

/// What `prompt add` takes.
#[derive(Args, Debug)]
pub struct Add {
    #[command(flatten)]
    one: One,
    /// The WAV file, - for standard input: PCM, A-law or µ-law of 8 to 192 kHz, mono or stereo
    file: PathBuf,
}

/// What `prompt play` takes.
#[derive(Args, Debug)]
pub struct Play {
    #[command(flatten)]
    one: One,
    /// Write a WAV file instead, - for standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// One prompt.
#[derive(Args, Debug)]
pub struct One {
    /// Its name, such as busy
    name: String,
    #[command(flatten)]
    whose: Whose,
}

impl One {
    fn target(&self) -> String {
        let path = format!("/v1/prompts/{}", escaped(&self.name));
        target(&path, &self.whose.query())
    }
}

impl Prompt {
    /// Does it.
    ///
    /// # Errors
    /// What the server says, or the file.
    pub fn run(self, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
        match self {
            Self::List(what) => list(&what, control, out),
            Self::Add(what) => add(&what, control, out),
            Self::Play(what) => play(&what, control, out),
            Self::Remove(one) => {
                control.send(Method::DELETE, &one.target(), None)?;
                writeln!(out, "{} is removed", one.name)?;
                Ok(())
            }
        }
    }
}

fn list(what: &List, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
    let answer = control.get("/v1/prompts", &what.whose.query())?;
    if what.form.json {
        screen::write_json(out, &answer)?;
        return Ok(());
    }
    let mut table =
        Table::new(&["NAME", "LANGUAGE", "OWNER", "SECONDS", "TEXT"]).align("SECONDS", Align::Right);
    let prompts = answer.get("prompts").and_then(Value::as_array);
    for prompt in prompts.into_iter().flatten() {
        let seconds = prompt.get("seconds").and_then(Value::as_f64).unwrap_or_default();
        table.row([
            text(prompt, "name"),
            text(prompt, "language"),
            owner(prompt),
            format!("{seconds:.1}"),
            text(prompt, "text"),
        ]);
    }
    write!(out, "{table}")?;
    let bad = answer.get("bad").and_then(Value::as_array);
    for line in bad.into_iter().flatten().filter_map(Value::as_str) {
        writeln!(out, "not heard: {line}")?;
    }
    Ok(())
}

/// `shipped`, `server`, `account A`, `pool P`
fn owner(prompt: &Value) -> String {
    let owner = text(prompt, "owner");
    match prompt.get(&*owner).and_then(Value::as_str) {
        Some(name) => format!("{owner} {name}"),
        None => owner,
    }
}

fn add(what: &Add, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
    let file = read(&what.file).with_context(|| what.file.display().to_string())?;
    let put = control.send_bytes(Method::PUT, &what.one.target(), file.into())?;
    let seconds = put.get("seconds").and_then(Value::as_f64).unwrap_or_default();
    writeln!(
        out,
        "{} {} ({}): {seconds:.1} s, {} dBm0, read as {}",
        text(&put, "name"),
        text(&put, "language"),
        owner(&put),
        text(&put, "level_dbm0"),
        text(&put, "read_as"),
    )?;
    if let Some(warning) = put.get("warning").and_then(Value::as_str) {
        writeln!(out, "warning: {warning}")?;
    }
    Ok(())
}

fn read(path: &std::path::Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = PROMPT_BYTES_MAX as u64 + 1;
    if path.as_os_str() == "-" {
        io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    } else {
        File::open(path)?.take(most).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn play(what: &Play, control: &Control, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut file = Vec::new();
    control.download(&what.one.target(), &mut |bytes, _| {
        file.extend_from_slice(bytes);
        Ok(())
    })?;
    match &what.output {
        Some(path) if path.as_os_str() == "-" => out.write_all(&file)?,
        Some(path) => std::fs::write(path, &file).with_context(|| path.display().to_string())?,
        // `umbra prompt play busy > busy.wav`
        None if !io::stdout().is_terminal() => out.write_all(&file)?,
        None => hear(&file)?,
    }
    Ok(())
}

/// Plays it on this machine.
fn hear(file: &[u8]) -> anyhow::Result<()> {
    let player = Command::new(PLAYER).arg("-q").stdin(Stdio::piped()).spawn();
    let mut player = match player {
        Ok(player) => player,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("there is no {PLAYER} here (alsa-utils): write a file with --output FILE.wav")
        }
        Err(error) => bail!("{PLAYER}: {error}"),
    };
    if let Some(mut stdin) = player.stdin.take() {
        // A player that stops early says why by itself.
        drop(stdin.write_all(file));
    }
    let status = player.wait()?;
    if !status.success() {
        bail!("{PLAYER} can't play here: write a file with --output FILE.wav");
    }
    Ok(())
}
