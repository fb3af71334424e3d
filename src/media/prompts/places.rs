//! Where each prompt's file is in the folder, and which files are there.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use super::{BadFile, check_name};
use crate::base::language::Language;
use crate::base::limits::PROMPTS_MAX;
use crate::call::prompts::Owner;

/// The folder of accounts.
const ACCOUNTS: &str = "accounts";
/// The folder of pools.
const POOLS: &str = "pools";

/// Where a prompt is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// Whose it is.
    pub owner: Owner,
    /// Its language.
    pub language: Language,
    /// Its name.
    pub name: Box<str>,
}

impl Place {
    /// The path of its file in the folder; what ships has the path of the server's own, which is heard instead of it.
    pub fn path(&self) -> PathBuf {
        let folder = match &self.owner {
            Owner::Shipped | Owner::Server => PathBuf::new(),
            Owner::Account(account) => Path::new(ACCOUNTS).join(written(account)),
            Owner::Pool(pool) => Path::new(POOLS).join(written(pool)),
        };
        folder
            .join(self.language.name())
            .join(format!("{}.wav", self.name))
    }
}

/// The files of prompts below `dir`, in the order of their names, and what else is there that seems to be meant as one.
pub(super) fn files(dir: &Path) -> (Vec<(PathBuf, Place)>, Vec<BadFile>) {
    let mut walk = Walk::default();
    for (folder, name) in walk.folders(dir) {
        match &*name {
            ACCOUNTS => walk.owners(&folder, Owner::Account),
            POOLS => walk.owners(&folder, Owner::Pool),
            language => walk.language(&folder, language, &Owner::Server),
        }
    }
    (walk.files, walk.bad)
}

#[derive(Default)]
struct Walk {
    files: Vec<(PathBuf, Place)>,
    bad: Vec<BadFile>,
}

impl Walk {
    /// The folders in `dir` by their names. What begins with a dot is nobody's business.
    fn folders(&mut self, dir: &Path) -> Vec<(PathBuf, String)> {
        let entries = self.entries(dir);
        entries.into_iter().filter(|(path, _)| path.is_dir()).collect()
    }

    fn entries(&mut self, dir: &Path) -> Vec<(PathBuf, String)> {
        let named = |entry: DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            (!name.starts_with('.')).then(|| (entry.path(), name))
        };
        match fs::read_dir(dir).and_then(|all| {
            // One more than are taken, so that it is told.
            let all = all.take(PROMPTS_MAX + 1).collect::<io::Result<Vec<_>>>()?;
            Ok(all.into_iter().filter_map(named).collect::<Vec<_>>())
        }) {
            Ok(mut all) => {
                all.sort();
                all
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.bad(dir, error.to_string());
                Vec::new()
            }
        }
    }

    fn owners(&mut self, dir: &Path, owner: fn(Box<str>) -> Owner) {
        for (folder, written) in self.folders(dir) {
            let owner = owner(read(&written).into());
            for (folder, language) in self.folders(&folder) {
                self.language(&folder, &language, &owner);
            }
        }
    }

    fn language(&mut self, dir: &Path, name: &str, owner: &Owner) {
        let language: Language = match name.parse() {
            Ok(language) => language,
            Err(no_language) => return self.bad(dir, format!("it is no language: {no_language}")),
        };
        for (path, file) in self.entries(dir) {
            let Some(name) = file.strip_suffix(".wav") else {
                self.bad(
                    &path,
                    "it is no .wav: convert it (sox FILE -r 16000 -c 1 NAME.wav), or move it away",
                );
                continue;
            };
            if let Err(cure) = check_name(name) {
                self.bad(&path, cure.to_string());
                continue;
            }
            if self.files.len() > PROMPTS_MAX {
                return;
            }
            let place = Place {
                owner: owner.clone(),
                language,
                name: name.into(),
            };
            self.files.push((path, place));
        }
    }

    fn bad(&mut self, path: &Path, why: impl Into<String>) {
        if self.bad.len() < PROMPTS_MAX {
            self.bad.push(BadFile {
                path: path.to_owned(),
                why: why.into(),
            });
        }
    }
}

/// A name as a folder: what isn't a letter, a digit, `-`, `_` or a dot within is written as `%2F`.
fn written(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for (at, letter) in name.char_indices() {
        if letter.is_alphanumeric() || matches!(letter, '-' | '_') || (letter == '.' && at > 0) {
            out.push(letter);
        } else {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    out
}

/// The name that a folder was written for.
fn read(folder: &str) -> String {
    let mut out = Vec::with_capacity(folder.len());
    let mut rest = folder.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.first_chunk::<2>().filter(|_| *first == b'%');
        let byte = code
            .and_then(|code| std::str::from_utf8(code).ok())
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        out.push(byte.unwrap_or(*first));
        rest = match byte {
            Some(_) => after.get(2..).unwrap_or_default(),
            None => after,
        };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_s_folder_never_leads_out_of_the_folder_and_names_him_again() {
        for (name, folder) in [
            ("shop", "shop"),
            ("店铺", "店铺"),
            ("..", "%2E."),
            ("a/b c", "a%2Fb%20c"),
            ("100%", "100%25"),
            (".x.y", "%2Ex.y"),
        ] {
            assert_eq!((written(name).as_str(), read(folder).as_str()), (folder, name));
        }
    }
}
