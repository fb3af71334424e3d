//! Recordings on this machine's disk: which ones a path names, and what opens them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use crate::records::recorder::Sealing;
use crate::records::recordings::read::Reader;
use crate::records::recordings::seal::Keys;
use crate::records::recordings::{Error, Place};

/// How far below a folder recordings are looked for: the server's own have a year, a month and a day.
const DEPTH_MAX: usize = 8;

/// What opens sealed recordings.
#[derive(Args, Debug, Default)]
pub(super) struct KeyFolder {
    /// Open sealed recordings with the keys of this folder, as recordings.keys of the conf
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
}

impl KeyFolder {
    /// Its keys; `None` if it isn't named.
    ///
    /// # Errors
    /// As [`KeyFolder::read`].
    pub(super) fn given(&self) -> anyhow::Result<Option<Keys>> {
        self.keys.is_some().then(|| self.read()).transpose()
    }

    /// Its keys: none, if it isn't named.
    ///
    /// # Errors
    /// The folder or a key can't be read.
    pub(super) fn read(&self) -> anyhow::Result<Keys> {
        let sealing = Sealing::read(self.keys.as_deref(), None);
        match sealing.faults().next() {
            Some(fault) => bail!("--keys: {fault}"),
            None => Ok(sealing.keys().clone()),
        }
    }
}

/// The recording that a file is of.
///
/// # Errors
/// It is no file, or its name is none that a recording has.
pub(super) fn one(file: &Path) -> anyhow::Result<Place> {
    let shown = file.display();
    if file.is_dir() {
        bail!("{shown} is a folder: name one recording's file in it");
    }
    match Place::named(file) {
        Some(place) => Ok(place),
        None => bail!(
            "{shown} is no recording, by its name: give it the name back that it was written under (ID.wav, ID.rtpdump, \
             either with .sealed, or ID.chain), beside the other file of that ID"
        ),
    }
}

/// A recording, to be read.
///
/// # Errors
/// It, its chain or a key can't be read.
pub(super) fn open(place: &Place, keys: &KeyFolder) -> anyhow::Result<Reader> {
    Reader::open(place, &keys.read()?).map_err(|error| match error {
        Error::Absent(path) => anyhow::anyhow!(
            "{} isn't there, and without both its files a recording can't be read: put it beside the other one; of a running \
             server's, `umbra recording get {} --chain` fetches both",
            path.display(),
            place.recording
        ),
        error => error.into(),
    })
}

/// The recordings that paths name: files, or folders with all that is in them. Each once, by their names.
///
/// # Errors
/// A path names none, or a folder can't be read.
pub(super) fn all(paths: &[PathBuf]) -> anyhow::Result<Vec<Place>> {
    let mut found = BTreeMap::new();
    for path in paths {
        if !path.is_dir() {
            let place = one(path)?;
            found.insert((place.day.clone(), place.recording), place);
            continue;
        }
        let before = found.len();
        look_in(path, DEPTH_MAX, &mut found).with_context(|| format!("{} can't be read", path.display()))?;
        if found.len() == before {
            bail!("there is no recording in {}: name another folder", path.display());
        }
    }
    Ok(found.into_values().collect())
}

type Found = BTreeMap<(PathBuf, crate::base::id::Id), Place>;

fn look_in(folder: &Path, depth: usize, found: &mut Found) -> io::Result<()> {
    for file in fs::read_dir(folder)? {
        let file = file?;
        // A link isn't followed: it may lead round in a circle.
        let kind = file.file_type()?;
        let path = file.path();
        if kind.is_dir() && depth > 0 {
            look_in(&path, depth - 1, found)?;
        } else if let Some(place) = Place::named(&path).filter(|_| kind.is_file()) {
            found.insert((place.day.clone(), place.recording), place);
        }
    }
    Ok(())
}

/// Refuses a file that may be a recording's own.
///
/// # Errors
/// It is there, bears a recording's name, and that one's chain is beside it.
pub(super) fn is_not_own(path: &Path) -> anyhow::Result<()> {
    let has_chain = |place: &Place| {
        let chains =
            ["chain", "chain.part"].map(|end| path.with_file_name(format!("{}.{end}", place.recording)));
        chains.iter().any(|chain| chain.exists())
    };
    if path.exists() && Place::named(path).as_ref().is_some_and(has_chain) {
        bail!(
            "{} is there already, beside a recording's chain, and may be that one's own: write to another file",
            path.display()
        );
    }
    Ok(())
}

/// A file for what is made of recordings, which is nobody's but its maker's to read; in place of one that is there.
///
/// # Errors
/// It can't be made, or would take the place of a recording's own.
pub(super) fn create(path: &Path) -> anyhow::Result<File> {
    is_not_own(path)?;
    let shown = path.display();
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    file.with_context(|| format!("{shown} can't be written"))
}
