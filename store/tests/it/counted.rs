//! Owns a backend that counts what it is asked for, for tests and for the bench of contents.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jitsu_store::backend::Memory;
use jitsu_store::{
    Backend, BranchName, HeadChange, Id, IdPrefix, ObjectKind, StorageError, references,
};

/// A backend in memory that counts reads, and refuses an object before what it refers to where
/// assertions are on: that takes time, which a bench measures.
#[derive(Default)]
pub(crate) struct Counted {
    inner: Memory,
    gets: AtomicU64,
    reads: AtomicU64,
    writes: AtomicU64,
}

/// How many objects of contents were read and written: not directories, nor commits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
}

impl Counted {
    /// The reads since the last call.
    pub(crate) fn gets(&self) -> u64 {
        self.gets.swap(0, Ordering::SeqCst)
    }

    /// What contents cost since the last call.
    pub(crate) fn cost(&self) -> Cost {
        let taken = |count: &AtomicU64| count.swap(0, Ordering::SeqCst);
        Cost { reads: taken(&self.reads), writes: taken(&self.writes) }
    }
}

fn is_contents(bytes: &[u8]) -> bool {
    matches!(ObjectKind::of(bytes), Some(ObjectKind::Contents | ObjectKind::Part))
}

impl Backend for Counted {
    fn get(&self, id: &Id) -> Result<Option<Arc<[u8]>>, StorageError> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        let found = self.inner.get(id)?;
        let is_counted = found.as_deref().is_some_and(is_contents);
        self.reads.fetch_add(u64::from(is_counted), Ordering::SeqCst);
        Ok(found)
    }

    fn put(&self, id: &Id, bytes: &[u8]) -> Result<(), StorageError> {
        if cfg!(debug_assertions) {
            for below in references(bytes).unwrap() {
                assert!(self.inner.contains(&below)?, "an object before what it refers to");
            }
        }
        self.writes.fetch_add(u64::from(is_contents(bytes)), Ordering::SeqCst);
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

    fn contains(&self, id: &Id) -> Result<bool, StorageError> {
        self.inner.contains(id)
    }
}
