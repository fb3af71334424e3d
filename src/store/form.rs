//! The file that says in which form the store's records are: `form`, in digits, and the first version that wrote it. It
//! is looked at before anything else of the folder is, so that an older program leaves all of it as it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::file;
use crate::base::form::forms;

const NAME: &str = "form";

/// A later version of the program has written the store's records.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} says that umbra {by} has written the bindings in form {form}, and this one ({}) reads up to form {}: start the \
     newer umbra again, or this one on the bindings of a backup that was made before the upgrade (umbra restore)",
    path.display(),
    env!("CARGO_PKG_VERSION"),
    forms().store
)]
pub struct NewerForm {
    path: PathBuf,
    form: u8,
    by: String,
}

/// Refuses the store under `path` if its records are of a later form than this program reads. Nothing is changed.
///
/// # Errors
/// That it is.
pub fn check(path: &Path) -> Result<(), NewerForm> {
    let path = path.join(NAME);
    match read(&path) {
        Some((form, by)) if form > forms().store => Err(NewerForm { path, form, by }),
        // Where nothing can be read of it, the records speak for themselves.
        Some(_) | None => Ok(()),
    }
}

/// Says that this program writes the store's records from now on. Written once for each form: a full disk stands in the
/// way of no other start.
pub(super) fn keep(path: &Path) -> io::Result<()> {
    let path = path.join(NAME);
    let ours = forms().store;
    if read(&path).is_some_and(|(form, _)| form == ours) {
        return Ok(());
    }
    file::keep(
        &path,
        format!("{ours} {}\n", env!("CARGO_PKG_VERSION")).as_bytes(),
    )
}

fn read(path: &Path) -> Option<(u8, String)> {
    let text = fs::read_to_string(path).ok()?;
    let (form, by) = text.trim().split_once(' ')?;
    Some((form.parse().ok()?, by.to_owned()))
}
