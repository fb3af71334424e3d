//! Which key seals which account's recordings.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::records::recordings::chain::Cipher;
use crate::records::recordings::seal::{BadKey, Key, Keys};

/// How the names of key files end, by what they are for.
const ENDS: [(&str, Cipher); 2] = [("aes-256-gcm", Cipher::Aes256Gcm), ("sm4-gcm", Cipher::Sm4Gcm)];
/// Keys that a folder may have.
const KEYS_MAX: usize = 10_000;

/// Why recordings can't be sealed.
#[derive(Debug, thiserror::Error)]
pub enum NoKeys {
    /// The folder can't be read.
    #[error("recordings.keys = {0} can't be read: {1}: make the folder, and let the server's user read it")]
    Folder(PathBuf, #[source] io::Error),
    /// A file of it is no key.
    #[error("the key {0} can't be used: {1}")]
    Key(PathBuf, #[source] BadKey),
    /// There are too many.
    #[error("the folder {0} has more than {KEYS_MAX} files: keep nothing but keys there")]
    TooMany(PathBuf),
    /// The server's own isn't there.
    #[error("recordings.key = {0}: recordings.keys has no file {0}.aes-256-gcm or {0}.sm4-gcm: make one")]
    Absent(Box<str>),
}

/// The keys of a folder. The file `NAME.aes-256-gcm` or `NAME.sm4-gcm` is the key NAME. An account's recordings are sealed
/// with the key of its name; if it has none, with the server's own, if that is set; otherwise they aren't.
#[derive(Clone, Debug, Default)]
pub struct Sealing {
    keys: Keys,
    usual: Option<Box<str>>,
}

impl Sealing {
    /// Reads the keys of a folder, of which `usual` is the server's own. Without a folder nothing is sealed.
    ///
    /// # Errors
    /// [`NoKeys`]
    pub fn read(folder: Option<&Path>, usual: Option<&str>) -> Result<Self, NoKeys> {
        let mut keys = Keys::default();
        let unread = |error| NoKeys::Folder(folder.unwrap_or(Path::new("")).to_owned(), error);
        let listed = folder.map(fs::read_dir).transpose().map_err(unread)?;
        for (count, file) in listed.into_iter().flatten().enumerate() {
            let path = file.map_err(unread)?.path();
            if count == KEYS_MAX {
                return Err(NoKeys::TooMany(path));
            }
            let end = path.extension().and_then(|end| end.to_str());
            let cipher = ENDS.iter().find(|(name, _)| Some(*name) == end);
            let name = path.file_stem().and_then(|name| name.to_str());
            if let (Some((_, cipher)), Some(name)) = (cipher, name) {
                let key = Key::read(name, *cipher, &path);
                keys.add(key.map_err(|bad| NoKeys::Key(path.clone(), bad))?);
            }
        }
        let sealing = Self {
            keys,
            usual: usual.map(Into::into),
        };
        match usual.filter(|name| sealing.named(name).is_none()) {
            Some(name) => Err(NoKeys::Absent(name.into())),
            None => Ok(sealing),
        }
    }

    fn named(&self, name: &str) -> Option<&Key> {
        ENDS.iter().find_map(|(_, cipher)| self.keys.of(name, *cipher))
    }

    /// What seals an account's recordings.
    pub fn of(&self, account: &str) -> Option<&Key> {
        let usual = || self.usual.as_deref().and_then(|name| self.named(name));
        self.named(account).or_else(usual)
    }

    /// All of them, by their names.
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }
}
