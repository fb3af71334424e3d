//! Whoever plays a WAV file on this machine.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};

/// The file by the name that a player is given.
const INPUT: &str = "/dev/stdin";

/// Players, the first that is looked for first, and what each is told before the file, which has no ending to tell its kind.
const PLAYERS: [(&str, &[&str]); 4] = [
    ("paplay", &[]),
    ("aplay", &["-q"]),
    ("play", &["-q", "-t", "wav"]),
    ("ffplay", &["-nodisp", "-autoexit", "-loglevel", "error"]),
];

/// A player.
pub(super) struct Player {
    program: PathBuf,
    options: &'static [&'static str],
}

/// The first player that there is.
///
/// # Errors
/// There is none.
pub(super) fn found() -> anyhow::Result<Player> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&folders).collect();
    let players = PLAYERS.iter().find_map(|(name, options)| {
        let mut places = folders.iter().map(|folder| folder.join(name));
        let program = places.find(|program| program.is_file())?;
        Some(Player { program, options })
    });
    match players {
        Some(player) => Ok(player),
        None => bail!(
            "no player is here: install paplay (pulseaudio-utils), aplay (alsa-utils), play (sox) or ffplay (ffmpeg), or \
             write a file: umbra recording get ID -o FILE.wav"
        ),
    }
}

impl Player {
    /// Plays a file to its end.
    ///
    /// # Errors
    /// The player can't be started, or fails.
    pub(super) fn play(&self, file: File) -> anyhow::Result<()> {
        let name = self.program.display();
        let status = Command::new(&self.program)
            .args(self.options)
            .arg(INPUT)
            .stdin(file)
            .status()
            .with_context(|| format!("{name} can't be started"))?;
        match status.success() {
            true => Ok(()),
            false => bail!(
                "{name} has not played it ({status}): write a file instead: umbra recording get ID -o FILE.wav"
            ),
        }
    }
}
