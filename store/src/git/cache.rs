//! Owns the cache of a Git backend: where it is, what of it is damage, and that one which is
//! damaged gives way to an empty one. Must not know what fills it.

use std::path::PathBuf;
use std::sync::Arc;
use std::{fs, io};

use crate::backend::{Backend, Log, LogOptions, Memory, failed};
use crate::error::StorageError;
use crate::store::Store;

/// Where a cache is kept.
pub(super) enum Place {
    /// In this folder, as a log.
    Folder(PathBuf),
    Memory,
}

/// The objects of commits, in the store's own encoding.
pub(super) struct Cache {
    pub(super) objects: Arc<dyn Backend>,
    /// The commits among them, as the lens reads and makes them.
    pub(super) commits: Store,
}

impl Place {
    /// What is there: nothing, if it is damaged or was written by another version.
    pub(super) fn open(&self) -> Result<Cache, StorageError> {
        match self.whole() {
            Err(error) if is_damage(&error) => self.begin(),
            opened => opened,
        }
    }

    /// An empty one, whatever is there.
    pub(super) fn begin(&self) -> Result<Cache, StorageError> {
        if let Place::Folder(folder) = self {
            // At once, so that a part of it is never taken for the whole.
            let damaged = folder.with_extension("damaged");
            gone(fs::remove_dir_all(&damaged))
                .and_then(|()| gone(fs::rename(folder, &damaged)))
                .and_then(|()| gone(fs::remove_dir_all(&damaged)))
                .map_err(|error| failed("remove a damaged cache", error))?;
        }
        self.whole()
    }

    fn whole(&self) -> Result<Cache, StorageError> {
        let objects: Arc<dyn Backend> = match self {
            Place::Folder(folder) => {
                let log = Log::open(folder, LogOptions::default())?;
                log.check_uncollected()?;
                Arc::new(log)
            }
            Place::Memory => Arc::new(Memory::new()),
        };
        Ok(Cache { commits: Store::on(objects.clone())?, objects })
    }
}

/// Whether an error of a cache tells that it is not what it was, or of another version.
pub(super) fn is_damage(error: &StorageError) -> bool {
    match error {
        StorageError::Corrupt { .. } | StorageError::Version { .. } => true,
        // A file that was cut off under whoever reads it.
        StorageError::Io { cause, .. } => cause.kind() == io::ErrorKind::UnexpectedEof,
        _ => false,
    }
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
