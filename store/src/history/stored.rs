//! Owns commits and heads as objects of a backend, of which the recently used stay in memory.
//! Must not know how commits are related.

use std::sync::Arc;

use super::Moved;
use crate::backend::{HeadChange, Source};
use crate::cache::Bounded;
use crate::codec::ObjectKind;
use crate::commit::{Commit, Meta, Record};
use crate::error::StorageError;
use crate::id::{Id, IdPrefix};
use crate::name::BranchName;
use crate::threads::{Mutex, MutexGuard};
use crate::tree::Tree;

/// Half of how many commit records are kept in memory, without trees.
const RECORDS_HALF: usize = 4096;
/// Half of how many heads are kept with what was loaded of their trees.
const HEADS_HALF: usize = 512;

/// The commits and heads of a backend.
pub(crate) struct Stored {
    source: Source,
    records: Mutex<Bounded<Id, Arc<Record>>>,
    heads: Mutex<Bounded<BranchName, Commit>>,
}

impl Stored {
    /// Those of this backend, whose heads can be read.
    pub(crate) fn open(source: Source) -> Result<Stored, StorageError> {
        let records = Mutex::new(Bounded::new(RECORDS_HALF));
        let heads = Mutex::new(Bounded::new(HEADS_HALF));
        let stored = Stored { source, records, heads };
        // One that cannot be read is better told now than at the first merge.
        for (_, id) in stored.source.branches()? {
            stored.find(&id)?.ok_or(StorageError::Missing { id })?;
        }
        Ok(stored)
    }

    pub(super) fn epoch(&self) -> u64 {
        self.source.epoch()
    }

    pub(super) fn contains(&self, commit: &Commit) -> Result<bool, StorageError> {
        self.source.contains(&commit.id())
    }

    /// Whether a commit is known to be one of these, and not of another store.
    pub(super) fn has(&self, commit: &Commit) -> bool {
        self.records().get(&commit.id()).is_some_and(|it| Arc::ptr_eq(&it, commit.record()))
    }

    pub(super) fn create(
        &self,
        epoch: u64,
        parents: &[&Commit],
        tree: Tree,
        meta: Meta,
    ) -> Result<(Commit, bool), StorageError> {
        let to = self.source.within(epoch);
        let (commit, is_new) = Commit::create(&to, parents, tree, meta)?;
        if self.epoch() == epoch {
            self.records().insert(commit.id(), commit.record().clone());
        }
        Ok((commit, is_new))
    }

    pub(super) fn find(&self, id: &Id) -> Result<Option<Commit>, StorageError> {
        self.find_within(0, id)
    }

    /// A commit that is there to stay in this epoch, if it is there.
    fn find_within(&self, epoch: u64, id: &Id) -> Result<Option<Commit>, StorageError> {
        let known = self.records().get(id);
        let record = match known {
            Some(record) => record,
            None => {
                let Some(record) = Record::load(id, &self.source)? else { return Ok(None) };
                let record = Arc::new(record);
                self.records().insert(*id, record.clone());
                record
            }
        };
        Ok(Some(Commit::stored(record, &self.source.within(epoch))))
    }

    pub(super) fn head(&self, branch: &BranchName) -> Result<Option<Commit>, StorageError> {
        let epoch = self.source.epoch();
        let Some(id) = self.source.head(branch)? else {
            self.heads().remove(branch);
            return Ok(None);
        };
        if let Some(commit) = self.heads().get(branch)
            && commit.id() == id
        {
            return Ok(Some(commit));
        }
        let commit = self.find_within(epoch, &id)?.ok_or(StorageError::Missing { id })?;
        self.heads().insert(branch.clone(), commit.clone());
        Ok(Some(commit))
    }

    pub(super) fn set_heads(&self, epoch: u64, moved: &[Moved]) -> Result<bool, StorageError> {
        let id = |head: &Option<Commit>| head.as_ref().map(Commit::id);
        let changes: Vec<HeadChange> = moved
            .iter()
            .map(|Moved { branch, old, new }| HeadChange {
                branch: branch.clone(),
                old: id(old),
                new: id(new),
            })
            .collect();
        if !self.source.set_heads_in(epoch, &changes)? {
            return Ok(false);
        }
        let mut heads = self.heads();
        for Moved { branch, new, .. } in moved {
            if let Some(new) = new {
                heads.insert(branch.clone(), new.clone());
            }
        }
        Ok(true)
    }

    pub(super) fn branches(&self) -> Result<Vec<(BranchName, Id)>, StorageError> {
        self.source.branches()
    }

    pub(super) fn objects(&self) -> Source {
        self.source.clone()
    }

    pub(super) fn ids_with_prefix(
        &self,
        prefix: &IdPrefix,
        limit: usize,
    ) -> Result<Vec<Id>, StorageError> {
        self.source.ids_with_prefix(ObjectKind::Commit, prefix, limit)
    }

    fn records(&self) -> MutexGuard<'_, Bounded<Id, Arc<Record>>> {
        self.records.lock().expect(PANICKED)
    }

    fn heads(&self) -> MutexGuard<'_, Bounded<BranchName, Commit>> {
        self.heads.lock().expect(PANICKED)
    }
}

const PANICKED: &str = "BUG: a thread panicked inside the cache of commits";
