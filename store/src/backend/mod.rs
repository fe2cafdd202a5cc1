//! Owns what a store asks of storage: objects by name, and heads moved by compare-and-swap.
//! Must not know what the objects mean.

mod faulty;
#[cfg(unix)]
pub(crate) mod lock;
mod log;
mod memory;

use std::sync::Arc;

pub use self::faulty::{Fault, Faulty};
#[cfg(unix)]
pub(crate) use self::log::failed;
pub use self::log::{
    Amount, Collected, Disk, Examined, Flaw, IndexFlaw, Log, LogFile, LogOptions, Lost, Reach,
    Repaired, Report, Stat, fsck_on, gc_on, repair_on, stat_on,
};
#[cfg(unix)]
pub use self::log::{fsck, gc, repair, stat};
pub use self::memory::Memory;
use crate::codec::ObjectKind;
use crate::error::StorageError;
use crate::id::{Id, IdPrefix};
use crate::name::BranchName;

/// The largest object a backend takes, in bytes.
pub const OBJECT_BYTES_MAX: usize = 64 << 20;

/// One head to move: from `old` to `new`, where `None` means that there is no such branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadChange {
    /// The branch.
    pub branch: BranchName,
    /// What its head must be for the change to happen.
    pub old: Option<Id>,
    /// What its head is afterwards.
    pub new: Option<Id>,
}

/// Where objects and heads are kept.
///
/// Objects are written first and heads moved last, so that a crash between the two leaves
/// garbage and never damage. One suite of tests runs over every backend.
///
/// A backend may be *collected* while it is used: what no head reaches goes. Each collection that
/// begins is an epoch. What was put in one, and is not reached by a head when the next begins, is
/// to be put again: whoever puts objects for a head notes the epoch before it begins, and uses
/// [`Backend::put_in`] and [`Backend::set_heads_in`].
pub trait Backend: Send + Sync {
    /// The bytes of an object, its kind byte first.
    fn get(&self, id: &Id) -> Result<Option<Arc<[u8]>>, StorageError>;

    /// Keeps an object. Everything it refers to was put before it; putting it again does nothing.
    /// Once this returns `Ok` the object can be read, and is durable when the next
    /// [`Backend::set_heads`] or [`Backend::sync`] that succeeds returns, even if others fail
    /// before that one.
    fn put(&self, id: &Id, bytes: &[u8]) -> Result<(), StorageError>;

    /// Makes every object put so far durable.
    fn sync(&self) -> Result<(), StorageError>;

    /// The durable head of a branch.
    fn head(&self, branch: &BranchName) -> Result<Option<Id>, StorageError>;

    /// Moves all these heads or none. `Ok(true)`: all moved, durable together with every object
    /// put before. `Ok(false)`: some `old` was not the head and nothing moved; whoever moved it
    /// is visible by now, so that trying again makes progress. An error leaves the old heads
    /// here, and after reopening either all old or all new ones.
    fn set_heads(&self, changes: &[HeadChange]) -> Result<bool, StorageError>;

    /// All branches and their heads, by name.
    fn branches(&self) -> Result<Vec<(BranchName, Id)>, StorageError>;

    /// At most `limit` objects of a kind whose ids begin so, in no order.
    fn ids_with_prefix(
        &self,
        kind: ObjectKind,
        prefix: &IdPrefix,
        limit: usize,
    ) -> Result<Vec<Id>, StorageError>;

    /// The epoch it is in: the first is 1, and a backend that is never collected stays there.
    fn epoch(&self) -> u64 {
        1
    }

    /// Whether an object is there to stay, with all that it refers to: not if it is still there,
    /// but will be removed by a collection that has begun.
    fn contains(&self, id: &Id) -> Result<bool, StorageError> {
        Ok(self.get(id)?.is_some())
    }

    /// Keeps an object as [`Backend::put`], unless a collection has begun since this epoch:
    /// [`StorageError::Outrun`].
    fn put_in(&self, epoch: u64, id: &Id, bytes: &[u8]) -> Result<(), StorageError> {
        if self.epoch() == epoch { self.put(id, bytes) } else { Err(StorageError::Outrun) }
    }

    /// Moves heads as [`Backend::set_heads`], unless a collection has begun since this epoch:
    /// `Ok(false)`.
    fn set_heads_in(&self, epoch: u64, changes: &[HeadChange]) -> Result<bool, StorageError> {
        if self.epoch() == epoch { self.set_heads(changes) } else { Ok(false) }
    }
}

/// Refuses an object that is too large.
fn check_size(bytes: &[u8]) -> Result<(), StorageError> {
    let (bytes, bytes_max) = (bytes.len(), OBJECT_BYTES_MAX);
    if bytes > bytes_max { Err(StorageError::TooLarge { bytes, bytes_max }) } else { Ok(()) }
}

/// A backend that trees and commits keep, to load what they refer to.
#[derive(Clone)]
pub(crate) struct Source {
    backend: Arc<dyn Backend>,
    /// The last epoch in which all that is read by it is known to be there to stay; 0 is none.
    epoch: u64,
}

impl Source {
    /// A backend, for what is there to stay now.
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Source {
        let epoch = backend.epoch();
        Source { backend, epoch }
    }

    /// The same backend, for what is there to stay in an epoch.
    pub(crate) fn within(&self, epoch: u64) -> Source {
        Source::of(self.backend.clone(), epoch)
    }

    /// A backend, for what is there to stay in an epoch.
    pub(crate) fn of(backend: Arc<dyn Backend>, epoch: u64) -> Source {
        Source { backend, epoch }
    }

    pub(crate) fn into_backend(self) -> Arc<dyn Backend> {
        self.backend
    }

    pub(crate) fn known(&self) -> u64 {
        self.epoch
    }

    /// Whether its backend is this one.
    pub(crate) fn is(&self, backend: &Arc<dyn Backend>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.backend), Arc::as_ptr(backend))
    }

    /// The bytes of an object that something refers to, and that hence must be there.
    pub(crate) fn fetch(&self, id: &Id) -> Result<Arc<[u8]>, StorageError> {
        self.backend.get(id)?.ok_or(StorageError::Missing { id: *id })
    }

    /// Puts an object in the epoch of this source.
    pub(crate) fn store(&self, id: &Id, bytes: &[u8]) -> Result<(), StorageError> {
        self.backend.put_in(self.epoch, id, bytes)
    }
}

impl std::ops::Deref for Source {
    type Target = dyn Backend;

    fn deref(&self) -> &Self::Target {
        &*self.backend
    }
}
