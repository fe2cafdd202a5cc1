//! Opening stores, and who says so.
//!
//! Owns which commands take the lock, and what is written down of who ran one.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, Result, anyhow};
use jitsu_store::backend::{Log, LogOptions};
use jitsu_store::{Meta, Path, StorageError, Store};

/// Opens a store to look at it, whoever writes to it.
pub(crate) fn read(folder: &FilePath) -> Result<Store> {
    let log = Log::open_read_only(folder).map_err(|error| told(folder, &error))?;
    Ok(Store::on(Arc::new(log))?)
}

/// Opens a store to change it, which has to be there.
pub(crate) fn change(folder: &FilePath) -> Result<Store> {
    read(folder)?;
    change_or_begin(folder)
}

/// Opens a store to change it, and begins one if there is none.
pub(crate) fn change_or_begin(folder: &FilePath) -> Result<Store> {
    let log = Log::open(folder, LogOptions::default()).map_err(|error| told(folder, &error))?;
    Ok(Store::on(Arc::new(log))?)
}

/// A program that is installed beside this one, or else in PATH.
pub(crate) fn beside(program: &str) -> PathBuf {
    let beside = std::env::current_exe().ok().map(|this| this.with_file_name(program));
    beside.filter(|file| file.exists()).unwrap_or_else(|| PathBuf::from(program))
}

/// An error, with what the person may do about it.
pub(crate) fn told(folder: &FilePath, error: &StorageError) -> anyhow::Error {
    let next = match error {
        StorageError::Locked { .. } => ": stop that first, or ask it (`jitsu merge`, `jitsu edit`)",
        StorageError::NoStore { .. } => {
            ": name the folder with the files *.segment, as /var/lib/jitsu/store"
        }
        StorageError::Corrupt { .. } => {
            ": `fsck` tells what is whole, `repair` writes that to a new folder"
        }
        _ => "",
    };
    anyhow!("cannot open the store in {}: {error}{next}", folder.display())
}

/// Who runs this command, now, and what it does.
pub(crate) fn meta(message: String) -> Meta {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    let author = format!("uid={uid} gid={gid} pid={}", std::process::id());
    Meta { time_ms: since.as_millis() as u64, author, message, ..Meta::default() }
}

/// A path as people write it, with slashes around it or not.
pub(crate) fn path(text: &str) -> Result<Path> {
    text.trim_matches('/').parse().with_context(|| format!("{text:?} is no path"))
}
