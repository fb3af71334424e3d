//! Which key seals which account's recordings.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::call::recording::Sealed;
use crate::records::recordings::chain::{Cipher, account_name};
use crate::records::recordings::seal::{BadKey, Key, Keys};

/// How the names of key files end, by what they are for.
const ENDS: [(&str, Cipher); 2] = [("aes-256-gcm", Cipher::Aes256Gcm), ("sm4-gcm", Cipher::Sm4Gcm)];
/// What stands behind the name in that of an earlier key, before a date or whatever tells it from others.
const UNTIL: &str = ".until-";
/// Files that the folder may have.
const FILES_MAX: usize = 10_000;

/// As calls' records say it.
pub const fn sealed(with: Cipher) -> Sealed {
    match with {
        Cipher::None => Sealed::No,
        Cipher::Aes256Gcm => Sealed::Aes256Gcm,
        Cipher::Sm4Gcm => Sealed::Sm4Gcm,
    }
}

/// Why recordings can't be sealed as they should be. Whoever it concerns isn't recorded until it is mended: nothing that is to
/// be sealed is ever written in clear.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoKey {
    /// The folder can't be read.
    #[error(
        "recordings.keys = {0} can't be read: {1}: make the folder, let the server's user read it, and start the server anew"
    )]
    Folder(PathBuf, String),
    /// There are too many.
    #[error("the folder {0} has more than {FILES_MAX} files: keep nothing but keys there")]
    TooMany(PathBuf),
    /// A file of it is no key.
    #[error("the key {0} can't be used, and what it would seal isn't recorded: {1}")]
    Bad(PathBuf, String),
    /// A file of it is named like nothing.
    #[error(
        "{0} has no name of a key, and account {1} isn't recorded for fear that it should be sealed: name it \
         {1}.aes-256-gcm or {1}.sm4-gcm, {1}.until-DATE.aes-256-gcm if it is an earlier one, or move it away"
    )]
    Stray(PathBuf, Box<str>),
    /// Two keys of one name.
    #[error(
        "{0} has two keys in use, and isn't recorded: name the earlier one {0}.until-DATE.aes-256-gcm or {0}.until-DATE.sm4-gcm"
    )]
    Two(Box<str>),
    /// It had a key, and has none in use.
    #[error(
        "{0} has an earlier key and none in use, and isn't recorded for fear that it should be sealed: make {0}.aes-256-gcm or \
         {0}.sm4-gcm, or give the earlier one such a name again"
    )]
    OnlyEarlier(Box<str>),
    /// The server's own isn't there.
    #[error("recordings.key = {0}: recordings.keys has no file {0}.aes-256-gcm or {0}.sm4-gcm: make one")]
    Absent(Box<str>),
}

/// The keys of a folder. The file `NAME.aes-256-gcm` or `NAME.sm4-gcm` is the key NAME, and `NAME.until-…` with the same ends
/// an earlier one, for what was sealed with it. An account's recordings are sealed with the key of its name; if it has none,
/// with the server's own, if that is set; otherwise they aren't.
#[derive(Clone, Debug, Default)]
pub struct Sealing {
    keys: Keys,
    /// Those in use, by what chains call them.
    in_use: BTreeMap<Box<str>, Result<Key, NoKey>>,
    usual: Option<Box<str>>,
    /// Nothing is known of any key.
    fault: Option<NoKey>,
}

impl Sealing {
    /// Reads the keys of a folder, of which `usual` is the server's own. Without a folder nothing is sealed. What is wrong
    /// with it is found in [`Sealing::faults`].
    pub fn read(folder: Option<&Path>, usual: Option<&str>) -> Self {
        let mut sealing = Self {
            usual: usual.map(account_name),
            ..Self::default()
        };
        sealing.fault = folder.and_then(|folder| sealing.read_folder(folder).err());
        if let (Some(name), Some(shown), None) = (sealing.usual.clone(), usual, &sealing.fault) {
            let absent = || Err(NoKey::Absent(shown.into()));
            sealing.in_use.entry(name).or_insert_with(absent);
        }
        sealing
    }

    fn read_folder(&mut self, folder: &Path) -> Result<(), NoKey> {
        let unread = |error: io::Error| NoKey::Folder(folder.to_owned(), error.to_string());
        let mut earlier = Vec::new();
        for (count, file) in fs::read_dir(folder).map_err(unread)?.enumerate() {
            let path = file.map_err(unread)?.path();
            if count == FILES_MAX {
                return Err(NoKey::TooMany(folder.to_owned()));
            }
            earlier.extend(self.read_file(&path));
        }
        for name in earlier {
            let in_use = self.in_use.entry(account_name(&name));
            in_use.or_insert_with(|| Err(NoKey::OnlyEarlier(name)));
        }
        Ok(())
    }

    /// Reads it; of an earlier key it says the name.
    fn read_file(&mut self, path: &Path) -> Option<Box<str>> {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        // An editor's, or the folder's own.
        if file.starts_with('.') {
            return None;
        }
        let named = ENDS.iter().find_map(|(end, cipher)| {
            let name = file.strip_suffix(end)?.strip_suffix('.')?;
            Some((name, *cipher)).filter(|(name, _)| !name.is_empty())
        });
        let Some((stem, cipher)) = named else {
            let account = file.split('.').next().unwrap_or_default();
            let stray = NoKey::Stray(path.to_owned(), account.into());
            self.in_use.insert(account_name(account), Err(stray));
            return None;
        };
        let (name, is_earlier) = match stem.split_once(UNTIL) {
            Some((name, _)) => (name, true),
            None => (stem, false),
        };
        let key = Key::read(name, cipher, path);
        if let Ok(key) = &key {
            self.keys.add(key.clone());
        }
        let bad = |bad: BadKey| NoKey::Bad(path.to_owned(), bad.to_string());
        match (key, is_earlier) {
            (Ok(_), true) => {}
            (Err(error), true) => {
                // Recordings of today don't need it.
                tracing::warn!("an earlier key of recordings can't be used: {}", bad(error));
            }
            (key, false) => {
                let in_use = self.in_use.entry(account_name(name));
                in_use
                    .and_modify(|before| *before = Err(NoKey::Two(name.into())))
                    .or_insert_with(|| key.map_err(bad));
            }
        }
        is_earlier.then(|| name.into())
    }

    /// What seals an account's recordings; `None`: nothing.
    ///
    /// # Errors
    /// They are to be sealed and can't be, or it isn't known whether they are.
    pub fn of(&self, account: &str) -> Result<Option<&Key>, &NoKey> {
        if let Some(fault) = &self.fault {
            return Err(fault);
        }
        let own = self.in_use.get(&account_name(account));
        let usual = || self.usual.as_ref().and_then(|name| self.in_use.get(name));
        own.or_else(usual).map(Result::as_ref).transpose()
    }

    /// All of them, earlier ones too.
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// What is wrong with them.
    pub fn faults(&self) -> impl Iterator<Item = &NoKey> {
        let of_accounts = self.in_use.values().filter_map(|key| key.as_ref().err());
        self.fault.iter().chain(of_accounts)
    }
}
