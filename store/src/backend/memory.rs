//! Owns the backend that forgets: maps behind a lock. Must not be more lenient than the others:
//! it is the one that most tests run on, so it refuses what they would only suffer from later.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Backend, HeadChange, check_size};
use crate::codec::ObjectKind;
use crate::error::StorageError;
use crate::id::{Id, IdPrefix};
use crate::name::BranchName;
use crate::threads::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A backend in memory.
#[derive(Default)]
pub struct Memory {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    objects: HashMap<Id, Arc<[u8]>>,
    heads: BTreeMap<BranchName, Id>,
}

impl Memory {
    /// An empty backend.
    pub fn new() -> Memory {
        Memory::default()
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().expect("BUG: a thread panicked inside the memory backend")
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().expect("BUG: a thread panicked inside the memory backend")
    }
}

impl Backend for Memory {
    fn get(&self, id: &Id) -> Result<Option<Arc<[u8]>>, StorageError> {
        Ok(self.read().objects.get(id).cloned())
    }

    fn contains(&self, id: &Id) -> Result<bool, StorageError> {
        Ok(self.read().objects.contains_key(id))
    }

    fn put(&self, id: &Id, bytes: &[u8]) -> Result<(), StorageError> {
        check_size(bytes)?;
        debug_assert_eq!(Id::of(bytes), *id, "BUG: an object put under another id than its own");
        let mut state = self.write();
        if !state.objects.contains_key(id) {
            state.objects.insert(*id, bytes.into());
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StorageError> {
        Ok(())
    }

    fn head(&self, branch: &BranchName) -> Result<Option<Id>, StorageError> {
        Ok(self.read().heads.get(branch).copied())
    }

    fn set_heads(&self, changes: &[HeadChange]) -> Result<bool, StorageError> {
        let mut state = self.write();
        if changes.iter().any(|change| state.heads.get(&change.branch) != change.old.as_ref()) {
            return Ok(false);
        }
        for change in changes {
            match change.new {
                Some(new) => {
                    assert!(state.objects.contains_key(&new), "BUG: a head before its commit");
                    state.heads.insert(change.branch.clone(), new)
                }
                None => state.heads.remove(&change.branch),
            };
        }
        Ok(true)
    }

    fn branches(&self) -> Result<Vec<(BranchName, Id)>, StorageError> {
        Ok(self.read().heads.iter().map(|(branch, id)| (branch.clone(), *id)).collect())
    }

    fn ids_with_prefix(
        &self,
        kind: ObjectKind,
        prefix: &IdPrefix,
        limit: usize,
    ) -> Result<Vec<Id>, StorageError> {
        let state = self.read();
        let matching = state
            .objects
            .iter()
            .filter(|(id, bytes)| prefix.matches(id) && ObjectKind::of(bytes) == Some(kind));
        Ok(matching.map(|(id, _)| *id).take(limit).collect())
    }
}
