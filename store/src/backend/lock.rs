//! Owns the lock file, by which one process at a time has a store open. Must not know what else is
//! in its folder.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::PathBuf;

use nix::fcntl::{Flock, FlockArg};

use super::failed;
use crate::error::StorageError;

/// A lock, which is held as long as this is there.
pub(crate) struct Lock(#[expect(dead_code, reason = "held")] Flock<File>);

/// Takes the lock, which the system gives back when this process ends however it ends, and writes
/// down who has it.
pub(crate) fn lock(path: PathBuf) -> Result<Lock, StorageError> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    let opened = options.open(&path).map_err(|error| failed("open the lock file", error))?;
    let mut lock = match Flock::lock(opened, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        Err((mut opened, nix::errno::Errno::EWOULDBLOCK)) => {
            let mut owner = String::new();
            let pid =
                opened.read_to_string(&mut owner).ok().and_then(|_| owner.trim().parse().ok());
            return Err(StorageError::Locked { path, pid });
        }
        Err((_, errno)) => return Err(failed("lock the store", errno.into())),
    };
    // Only for people; a full disk is no reason to refuse a store that can still be read.
    let _ = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
    Ok(Lock(lock))
}
