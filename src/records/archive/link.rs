//! Links by which a recording is heard without any other right, for a while: `/recordings/ID?expires=…&signature=…`.
//!
//! The signature is HMAC-SHA-256 over what the link is for, the recording and the Unix second at which it ends, by a secret that
//! never leaves the server's folder. Removing that file and starting anew ends all links at once.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::base::id::Id;
use crate::base::text;
use crate::base::time::Wall;
use crate::records::folder;

/// Where links lead, before the recording's id.
pub const PATH: &str = "/recordings/";
/// What a signature is for; another one would need another text.
const PURPOSE: &str = "umbra recording link 1, to be heard";
const SECRET_BYTES: usize = 32;
/// How often it is noted at the most that a link to a recording is over.
const NOTED_EACH: Duration = Duration::from_secs(3_600);
/// Of so many recordings that is remembered.
const OVERDUE_MAX: usize = 4_096;

/// Why no links can be given.
#[derive(Debug, thiserror::Error)]
pub enum NoLinks {
    /// The secret can't be read or made.
    #[error("links to recordings can't be signed, {} can't be read or made: {}: let the server's user read and write it", .0.display(), .1)]
    Secret(PathBuf, #[source] io::Error),
    /// Others can read it.
    #[error("links to recordings can't be signed, others than its owner can read {}: chmod 600 it, or remove it: then earlier links end", .0.display())]
    Open(PathBuf),
    /// It is no secret of ours.
    #[error("links to recordings can't be signed, {} isn't 32 bytes long: remove it: then earlier links end", .0.display())]
    Length(PathBuf),
}

/// Why a link opens nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// We have not signed it so.
    Forged,
    /// Its time is over, since then.
    Expired(Wall),
}

/// Of which recordings it was noted lately that a link to them is over.
#[derive(Default)]
pub(super) struct Overdue(Mutex<HashMap<Id, Wall>>);

impl Overdue {
    /// Whether this is the first in an hour.
    pub(super) fn is_first(&self, recording: Id, now: Wall) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_late = |at: &Wall| now.since(*at) < NOTED_EACH;
        if noted.get(&recording).is_some_and(is_late) {
            return false;
        }
        if noted.len() >= OVERDUE_MAX {
            noted.retain(|_, at| is_late(at));
        }
        // Without room it may be noted once more.
        if noted.len() < OVERDUE_MAX {
            noted.insert(recording, now);
        }
        true
    }
}

/// What signs links, and reads them again.
pub struct Signer(Zeroizing<[u8; SECRET_BYTES]>);

impl fmt::Debug for Signer {
    /// Says nothing of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// Reads the secret, or makes it once.
    ///
    /// # Errors
    /// [`NoLinks`]
    pub fn open(path: &Path) -> Result<Self, NoLinks> {
        let bad = |error| NoLinks::Secret(path.to_owned(), error);
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(path).map_err(bad)?;
                File::open(path).map_err(bad)?
            }
            Err(error) => return Err(bad(error)),
        };
        let about = file.metadata().map_err(bad)?;
        if about.permissions().mode() & 0o077 != 0 {
            return Err(NoLinks::Open(path.to_owned()));
        }
        if about.len() != SECRET_BYTES as u64 {
            return Err(NoLinks::Length(path.to_owned()));
        }
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        file.read_exact(secret.as_mut_slice()).map_err(bad)?;
        Ok(Self(secret))
    }

    /// The link by which this recording can be heard until then, to the second.
    pub fn link(&self, recording: Id, expires: Wall) -> String {
        let expires = seconds(expires).to_string();
        let signature = text::lower_hex(&self.mac(recording, &expires).finalize().into_bytes());
        format!("{PATH}{recording}?expires={expires}&signature={signature}")
    }

    /// Until when this recording may be heard by a link that says these.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn check(&self, recording: Id, expires: &str, signature: &str, now: Wall) -> Result<Wall, Refused> {
        let signature: [u8; 32] = text::unhex(signature.as_bytes()).ok_or(Refused::Forged)?;
        self.mac(recording, expires)
            .verify_slice(&signature)
            .map_err(|_| Refused::Forged)?;
        let expires: i64 = expires.parse().map_err(|_| Refused::Forged)?;
        let until = Wall::from_millis(expires.saturating_mul(1_000));
        match now < until {
            true => Ok(until),
            false => Err(Refused::Expired(until)),
        }
    }

    fn mac(&self, recording: Id, expires: &str) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.as_slice()).expect("HMAC takes keys of every length");
        mac.update(format!("{PURPOSE}\n{recording}\n{expires}").as_bytes());
        mac
    }
}

/// The Unix second at which a link ends: the one that has begun then.
fn seconds(expires: Wall) -> i64 {
    expires.as_millis().div_euclid(1_000)
}

/// A new secret, all of it or none.
fn make(path: &Path) -> io::Result<()> {
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    getrandom::fill(secret.as_mut_slice())
        .map_err(|error| io::Error::other(format!("the system gives no randomness: {error}")))?;
    let parent = path.parent().unwrap_or(Path::new("."));
    folder::make(parent)?;
    let draft = path.with_extension("part");
    let made = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| {
            file.write_all(secret.as_slice())?;
            file.sync_all()
        });
    made.and_then(|()| fs::rename(&draft, path))?;
    folder::sync(parent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn noon() -> Wall {
        Wall::from_millis(1_795_255_200_000)
    }

    fn signer(dir: &Path) -> Signer {
        Signer::open(&dir.join("links.key")).unwrap()
    }

    /// What a link says of its end and its signature.
    fn parts(link: &str) -> (String, String) {
        let (_, query) = link.split_once("?expires=").unwrap();
        let (expires, signature) = query.split_once("&signature=").unwrap();
        (expires.to_owned(), signature.to_owned())
    }

    #[test]
    fn a_link_opens_its_recording_until_its_time_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let (id, until) = (Id::from_bits(7), noon().plus(Duration::from_secs(60)));
        let link = signer(dir.path()).link(id, until);
        assert!(link.starts_with("/recordings/00000000000000000000000007?expires=1795255260&signature="));
        let (expires, signature) = parts(&link);
        // The secret is the same after a restart.
        let signer = signer(dir.path());
        let at = |seconds| {
            signer.check(
                id,
                &expires,
                &signature,
                noon().plus(Duration::from_secs(seconds)),
            )
        };
        assert_eq!([at(0), at(59)], [Ok(until); 2]);
        assert_eq!([at(60), at(1_000_000)], [Err(Refused::Expired(until)); 2]);
    }

    #[test]
    fn a_link_that_was_changed_or_is_for_another_recording_or_by_another_server_opens_nothing() {
        let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [ours, theirs] = dirs.each_ref().map(|dir| signer(dir.path()));
        let (id, other) = (Id::from_bits(7), Id::from_bits(8));
        let (expires, signature) = parts(&ours.link(id, noon().plus(Duration::from_secs(60))));
        let changed = signature.replacen(
            |_: char| true,
            if signature.starts_with('0') { "1" } else { "0" },
            1,
        );
        let forged = [
            ours.check(other, &expires, &signature, noon()),
            ours.check(id, "1795355260", &signature, noon()),
            ours.check(id, "+1795255260", &signature, noon()),
            ours.check(id, &expires, &changed, noon()),
            ours.check(id, &expires, &signature[..62], noon()),
            ours.check(id, &expires, "", noon()),
            theirs.check(id, &expires, &signature, noon()),
        ];
        assert_eq!(forged, [Err(Refused::Forged); 7]);
        // Nobody learns from one of ours that is over whether another one was.
        let late = noon().plus(Duration::from_secs(3_600));
        assert_eq!(ours.check(id, &expires, &changed, late), Err(Refused::Forged));
    }

    #[test]
    fn that_a_link_is_over_is_noted_once_an_hour() {
        let (overdue, [one, other]) = (Overdue::default(), [7, 8].map(Id::from_bits));
        let noted = |id, seconds| overdue.is_first(id, noon().plus(Duration::from_secs(seconds)));
        assert!(noted(one, 0) && noted(other, 1));
        assert!(!noted(one, 2) && !noted(one, 3_599));
        assert!(noted(one, 3_600) && !noted(one, 3_601));
    }

    #[test]
    fn the_secret_is_its_owners_alone_and_one_that_others_can_read_signs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data/links.key");
        Signer::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Signer::open(&path), Err(NoLinks::Open(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short").unwrap();
        assert!(matches!(Signer::open(&path), Err(NoLinks::Length(_))));
    }
}
