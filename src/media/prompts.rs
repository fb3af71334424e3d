//! Where prompts come from: those that ship with the program, and a folder of files in which the server, its accounts and its
//! pools have wordings of their own.
//!
//! ```text
//! zh/busy.wav                              the server's
//! accounts/ACCOUNT/en/busy.wav             an account's, by its name
//! pools/FC100000000000001/zh/busy.wav      a pool's, by its key
//! ```
//!
//! The files are the truth: they may be written by hand, and a reload takes them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::language::Language;
use crate::base::limits::{PROMPT_BYTES_MAX, PROMPT_NAME_MAX, PROMPTS_MAX, PROMPTS_TIME_MAX};
use crate::call::prompts::{Owner, Prompt, Prompts};

mod places;
mod shipped;
mod sound;

pub use places::Place;
pub use shipped::text;
pub use sound::{BadSound, Sound};

/// What the conf says of prompts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// The folder; it need not be there.
    pub dir: PathBuf,
    /// What is spoken where neither pool nor account says.
    pub language: Language,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// Every prompt that can be heard.
    pub prompts: Prompts,
    /// The files that can't be, and why. Another wording is heard in their place.
    pub bad: Vec<BadFile>,
}

/// A file that can't be heard.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct BadFile {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong with it, and the cure.
    pub why: String,
}

/// Reads the folder, behind what ships. A folder that isn't there is empty.
pub fn read(config: &Config) -> Found {
    let mut prompts = Prompts::speaking(config.language);
    for prompt in shipped::all() {
        prompts.add(prompt.clone());
    }
    let mut found = Found {
        prompts,
        bad: Vec::new(),
    };
    let (files, mut bad) = places::files(&config.dir);
    found.bad.append(&mut bad);
    let mut together = Duration::ZERO;
    for (count, (path, place)) in files.into_iter().enumerate() {
        let sound = match count {
            ..PROMPTS_MAX => of_file(&path),
            _ => Err(format!(
                "there are more than {PROMPTS_MAX} prompts: take some away"
            )),
        };
        let room = PROMPTS_TIME_MAX.saturating_sub(together);
        match sound {
            Ok(sound) if sound.lasts() > room => {
                let most = PROMPTS_TIME_MAX.as_secs() / 60;
                let why = format!(
                    "all prompts together last longer than {most} min: take some away, or make them shorter"
                );
                found.bad.push(BadFile { path, why });
            }
            Ok(sound) => {
                together = together.saturating_add(sound.lasts());
                found.prompts.add(place.prompt(&sound));
            }
            Err(why) => found.bad.push(BadFile { path, why }),
        }
    }
    found
}

/// The sound of a file.
fn of_file(path: &Path) -> Result<Sound, String> {
    let length = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > PROMPT_BYTES_MAX as u64 {
        return Err(BadSound::Large(length).to_string());
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    Sound::of(&bytes).map_err(|bad| bad.to_string())
}

/// Writes a sound to its place in the folder, at once or not at all, instead of what was there.
///
/// # Errors
/// What the system said, with the file.
pub fn put(config: &Config, place: &Place, sound: &Sound) -> Result<PathBuf, BadFile> {
    let path = config.dir.join(place.path());
    let bad = |error: io::Error| BadFile {
        path: path.clone(),
        why: format!("{error}: check its owner, permissions and free space"),
    };
    let folder = path.parent().unwrap_or(&config.dir);
    fs::create_dir_all(folder).map_err(bad)?;
    let beside = folder.join(format!(".{}.new", place.name));
    let written = fs::File::create(&beside).and_then(|mut file| {
        file.write_all(sound.file())?;
        file.sync_all()
    });
    let put = written.and_then(|()| fs::rename(&beside, &path));
    let put = put.and_then(|()| fs::File::open(folder)?.sync_all());
    if let Err(error) = put {
        // What is left of it is in nobody's way.
        drop(fs::remove_file(&beside));
        return Err(bad(error));
    }
    Ok(path)
}

/// Takes the file of a place away; `false`: there was none.
///
/// # Errors
/// What the system said, with the file.
pub fn remove(config: &Config, place: &Place) -> Result<bool, BadFile> {
    let path = config.dir.join(place.path());
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(BadFile {
            path,
            why: error.to_string(),
        }),
    }
}

/// How the prompts of one conf differ from those before, in words; nothing if they don't.
pub fn difference(before: &Prompts, after: &Prompts) -> Option<String> {
    let by_place = |prompts: &Prompts| -> BTreeMap<Place, Prompt> {
        let all = prompts.list().into_iter();
        all.map(|prompt| (Place::of(prompt), prompt.clone())).collect()
    };
    let (old, new) = (by_place(before), by_place(after));
    let gone = old.keys().filter(|place| !new.contains_key(place)).count();
    let changed = new
        .iter()
        .filter(|(place, prompt)| old.get(place) != Some(prompt));
    match (changed.count(), gone) {
        (0, 0) => None,
        (changed, 0) => Some(format!("prompts ({changed} new or changed)")),
        (0, gone) => Some(format!("prompts ({gone} gone)")),
        (changed, gone) => Some(format!("prompts ({changed} new or changed, {gone} gone)")),
    }
}

/// Whether a prompt can be called this: it is a file's name too.
///
/// # Errors
/// The cure.
pub fn check_name(name: &str) -> Result<(), BadName> {
    let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'_' | b'-');
    if name.is_empty() || name.len() > PROMPT_NAME_MAX || !name.bytes().all(is_plain) {
        return Err(BadName);
    }
    Ok(())
}

/// What no prompt can be called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadName;

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "call it by 1 to {PROMPT_NAME_MAX} small letters, digits, _ or -"
        )
    }
}

impl Place {
    /// What is heard from here.
    pub fn prompt(&self, sound: &Sound) -> Prompt {
        Prompt {
            clip: Arc::new(sound.clip()),
            owner: self.owner.clone(),
            language: self.language,
            name: self.name.clone(),
        }
    }

    /// Where a prompt is.
    pub fn of(prompt: &Prompt) -> Self {
        Self {
            owner: prompt.owner.clone(),
            language: prompt.language,
            name: prompt.name.clone(),
        }
    }

    /// Whether it is in the folder, where it can be changed.
    pub const fn is_own(&self) -> bool {
        match self.owner {
            Owner::Shipped => false,
            Owner::Server | Owner::Account(_) | Owner::Pool(_) => true,
        }
    }
}

#[cfg(test)]
mod tests;
