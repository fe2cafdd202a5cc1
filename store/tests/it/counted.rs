//! Owns a backend that counts what it is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jitsu_store::backend::Memory;
use jitsu_store::{Backend, BranchName, HeadChange, Id, IdPrefix, ObjectKind, StorageError};

/// A backend in memory that counts reads.
#[derive(Default)]
pub(crate) struct Counted {
    inner: Memory,
    gets: AtomicU64,
}

impl Counted {
    /// The reads since the last call.
    pub(crate) fn gets(&self) -> u64 {
        self.gets.swap(0, Ordering::SeqCst)
    }
}

impl Backend for Counted {
    fn get(&self, id: &Id) -> Result<Option<Arc<[u8]>>, StorageError> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.inner.get(id)
    }

    fn put(&self, id: &Id, bytes: &[u8]) -> Result<(), StorageError> {
        self.inner.put(id, bytes)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.inner.sync()
    }

    fn head(&self, branch: &BranchName) -> Result<Option<Id>, StorageError> {
        self.inner.head(branch)
    }

    fn set_heads(&self, changes: &[HeadChange]) -> Result<bool, StorageError> {
        self.inner.set_heads(changes)
    }

    fn branches(&self) -> Result<Vec<(BranchName, Id)>, StorageError> {
        self.inner.branches()
    }

    fn ids_with_prefix(
        &self,
        kind: ObjectKind,
        prefix: &IdPrefix,
        limit: usize,
    ) -> Result<Vec<Id>, StorageError> {
        self.inner.ids_with_prefix(kind, prefix, limit)
    }
}
