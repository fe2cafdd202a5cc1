//! Owns the backend on disk. For now only its shape: it keeps everything in memory.

use std::path::Path;
use std::sync::Arc;

use super::{Backend, HeadChange, Memory};
use crate::codec::ObjectKind;
use crate::error::StorageError;
use crate::id::{Id, IdPrefix};
use crate::name::BranchName;

/// How a log is kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LogOptions {
    /// The size at which a new file is begun.
    pub segment_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions { segment_bytes: 64 << 20 }
    }
}

/// A backend in files of a directory.
pub struct Log {
    memory: Memory,
}

impl Log {
    /// Opens the log in this directory, or makes one there.
    pub fn open(_directory: impl AsRef<Path>, _options: LogOptions) -> Result<Log, StorageError> {
        Ok(Log { memory: Memory::new() })
    }
}

impl Backend for Log {
    fn get(&self, id: &Id) -> Result<Option<Arc<[u8]>>, StorageError> {
        self.memory.get(id)
    }

    fn put(&self, id: &Id, bytes: &[u8]) -> Result<(), StorageError> {
        self.memory.put(id, bytes)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.memory.sync()
    }

    fn head(&self, branch: &BranchName) -> Result<Option<Id>, StorageError> {
        self.memory.head(branch)
    }

    fn set_heads(&self, changes: &[HeadChange]) -> Result<bool, StorageError> {
        self.memory.set_heads(changes)
    }

    fn branches(&self) -> Result<Vec<(BranchName, Id)>, StorageError> {
        self.memory.branches()
    }

    fn ids_with_prefix(
        &self,
        kind: ObjectKind,
        prefix: &IdPrefix,
        limit: usize,
    ) -> Result<Vec<Id>, StorageError> {
        self.memory.ids_with_prefix(kind, prefix, limit)
    }
}
