//! The socket that clients connect to.
//!
//! Owns the file: mode 0660, the group from the configuration, an old one of a daemon that is
//! gone replaced and one in use left alone. It must not know what is said on it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::unistd::{Group, chown};

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody serves there.
    #[error("{}: another daemon serves there", .0.display())]
    InUse(PathBuf),
    /// Something that is no socket is there.
    #[error("{}: there is a file that is no socket; remove it, or set another `socket`", .0.display())]
    NoSocket(PathBuf),
    /// This machine has no such group.
    #[error("socket_group: this machine has no group {0:?}")]
    Group(String),
    /// The operating system refused.
    #[error("{}: {doing}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// Why.
        cause: io::Error,
    },
}

/// Opens the socket. The caller holds the store's lock, so that no other daemon with the same
/// state does the same at the same time.
pub fn open(path: &Path, group: Option<&str>) -> Result<UnixListener, ListenError> {
    let failed = |doing| move |cause| ListenError::Io { path: path.to_owned(), doing, cause };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed("making its folder"))?;
    }
    remove_stale(path)?;
    // Bound under another name: nobody can connect before it has its mode.
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&new);
    let listener = UnixListener::bind(&new).map_err(failed("binding"))?;
    let set_up = || {
        let mode = Permissions::from_mode(0o660);
        fs::set_permissions(&new, mode).map_err(failed("setting its mode"))?;
        if let Some(name) = group {
            let group = Group::from_name(name).ok().flatten();
            let group = group.ok_or_else(|| ListenError::Group(name.to_owned()))?;
            chown(&new, None, Some(group.gid))
                .map_err(|errno| failed("setting its group")(errno.into()))?;
        }
        fs::rename(&new, path).map_err(failed("moving it to its place"))
    };
    if let Err(error) = set_up() {
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    listener.set_nonblocking(true).map_err(failed("making it non-blocking"))?;
    Ok(listener)
}

fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let failed = |cause| ListenError::Io { path: path.to_owned(), doing: "looking", cause };
    let file = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(failed)?,
    };
    if !file.file_type().is_socket() {
        return Err(ListenError::NoSocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(ListenError::InUse(path.to_owned())),
        // Nobody listens: left behind by one that was killed.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}
