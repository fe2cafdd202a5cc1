//! Owns the backend whose writes fail when a test says so. Must not know what is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Backend, HeadChange};
use crate::codec::ObjectKind;
use crate::error::StorageError;
use crate::id::{Id, IdPrefix};
use crate::name::BranchName;

/// What happens at the write that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is written, and an error reported.
    Fail,
    /// It is written, and an error reported all the same: the writer cannot know.
    Tear,
}

/// A backend over another one, of which one write fails, and every write after it: as a disk that
/// goes away does. What is there can be read on.
pub struct Faulty {
    inner: Arc<dyn Backend>,
    fault: Fault,
    succeed: u64,
    writes: AtomicU64,
}

impl Faulty {
    /// Lets `succeed` writes pass and then fails in this way.
    pub fn new(inner: Arc<dyn Backend>, succeed: u64, fault: Fault) -> Faulty {
        Faulty { inner, fault, succeed, writes: AtomicU64::new(0) }
    }

    /// How many writes were asked for.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    fn write<T>(&self, write: impl FnOnce() -> Result<T, StorageError>) -> Result<T, StorageError> {
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        if number < self.succeed {
            return write();
        }
        if number == self.succeed && self.fault == Fault::Tear {
            write()?;
        }
        Err(StorageError::Injected)
    }
}

impl Backend for Faulty {
    fn get(&self, id: &Id) -> Result<Option<Arc<[u8]>>, StorageError> {
        self.inner.get(id)
    }

    fn put(&self, id: &Id, bytes: &[u8]) -> Result<(), StorageError> {
        self.write(|| self.inner.put(id, bytes))
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.write(|| self.inner.sync())
    }

    fn head(&self, branch: &BranchName) -> Result<Option<Id>, StorageError> {
        self.inner.head(branch)
    }

    fn set_heads(&self, changes: &[HeadChange]) -> Result<bool, StorageError> {
        self.write(|| self.inner.set_heads(changes))
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
    fn epoch(&self) -> u64 {
        self.inner.epoch()
    }

    fn contains(&self, id: &Id) -> Result<bool, StorageError> {
        self.inner.contains(id)
    }

    fn put_in(&self, epoch: u64, id: &Id, bytes: &[u8]) -> Result<(), StorageError> {
        self.write(|| self.inner.put_in(epoch, id, bytes))
    }

    fn set_heads_in(&self, epoch: u64, changes: &[HeadChange]) -> Result<bool, StorageError> {
        self.write(|| self.inner.set_heads_in(epoch, changes))
    }
}
