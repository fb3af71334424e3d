//! The control socket: a Unix socket that only the owner of the process may open.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another server answers there.
    #[error("another server answers at {0}")]
    Taken(PathBuf),
    /// A file that is no socket stands there.
    #[error("{0} is there and is no socket")]
    NoSocket(PathBuf),
    /// The disk refused.
    #[error("the control socket {0} can't be made: {1}")]
    Io(PathBuf, io::Error),
}

/// Makes the control socket at `path`, mode 0600, in non-blocking mode. A socket that a dead server left
/// is replaced.
///
/// # Errors
/// [`SocketError`], which names the path.
pub fn bind(path: &Path) -> Result<UnixListener, SocketError> {
    let io = |e| SocketError::Io(path.to_owned(), e);
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(io(e)),
        Ok(there) if !there.file_type().is_socket() => return Err(SocketError::NoSocket(path.to_owned())),
        Ok(_) if UnixStream::connect(path).is_ok() => return Err(SocketError::Taken(path.to_owned())),
        Ok(_) => fs::remove_file(path).map_err(io)?,
    }
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(io)?;
    }
    // Bound under another name and renamed: at its own name the socket was never open to others.
    let name = path
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or("control.sock");
    let unready = path.with_file_name(format!(".{name}.{}", std::process::id()));
    drop(fs::remove_file(&unready));
    let listener = UnixListener::bind(&unready).map_err(io)?;
    let ready = fs::set_permissions(&unready, Permissions::from_mode(0o600))
        .and_then(|()| listener.set_nonblocking(true))
        .and_then(|()| fs::rename(&unready, path));
    if let Err(e) = ready {
        drop(fs::remove_file(&unready));
        return Err(io(e));
    }
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_for_its_owner_alone_and_a_dead_servers_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/control.sock");
        let first = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(bind(&path), Err(SocketError::Taken(_))));
        drop(first);
        let second = bind(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
        drop(second);
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(bind(&path), Err(SocketError::NoSocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}
