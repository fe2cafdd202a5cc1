//! Owns how commits are kept, found and related: by id, ancestors, merge bases, logs.
//! Must not know what is done with branches.

mod ancestors;
mod base;
mod chunked;
mod lca;
mod log;
mod stored;
mod values;

pub(crate) use self::ancestors::{Ancestors, Fresh};
pub(crate) use self::base::Bases;
pub(crate) use self::lca::{is_ancestor, lcas};
pub use self::log::Log;
pub(crate) use self::stored::Stored;
pub(crate) use self::values::Values;
use crate::backend::Source;
use crate::commit::{Commit, CommitRef, Key, Meta, Parent};
use crate::error::StorageError;
use crate::id::{Id, IdPrefix};
use crate::name::BranchName;
use crate::tree::Tree;

/// A branch that moves, where `None` means that there is no such branch.
#[derive(Clone)]
pub(crate) struct Moved {
    pub(crate) branch: BranchName,
    pub(crate) old: Option<Commit>,
    pub(crate) new: Option<Commit>,
}

/// The commits and heads of a store.
pub(crate) enum History {
    /// As objects of a backend.
    Stored(Stored),
    /// As they are, neither hashed nor encoded.
    Values(Values),
}

impl History {
    /// The epoch of the backend, before which something is begun that ends in moved heads.
    pub(crate) fn epoch(&self) -> u64 {
        match self {
            History::Stored(stored) => stored.epoch(),
            History::Values(_) => 1,
        }
    }

    /// Refuses a commit that a collection has removed, or will.
    pub(crate) fn check_kept(&self, commit: &Commit) -> Result<(), StorageError> {
        match self {
            History::Stored(stored) if !stored.contains(commit)? => {
                Err(StorageError::Missing { id: commit.id() })
            }
            _ if !self.keeps_tree(commit)? => Err(StorageError::LetGo { commit: commit.id() }),
            History::Stored(_) | History::Values(_) => Ok(()),
        }
    }

    /// Makes a commit in an epoch. Whether there was none like it before.
    pub(crate) fn create(
        &self,
        epoch: u64,
        parents: &[&Commit],
        tree: Tree,
        meta: Meta,
    ) -> Result<(Commit, bool), StorageError> {
        match self {
            History::Stored(stored) => stored.create(epoch, parents, tree, meta),
            History::Values(values) => Ok(values.create(parents, tree, meta)),
        }
    }

    /// A commit that may not be there.
    pub(crate) fn find(&self, id: &Id) -> Result<Option<Commit>, StorageError> {
        match self {
            History::Stored(stored) => stored.find(id),
            History::Values(values) => Ok(values.find(id)),
        }
    }

    /// A commit that somebody means, who may be wrong.
    pub(crate) fn meant(&self, commit: CommitRef) -> Result<Commit, StorageError> {
        match (self, commit) {
            // Its own one is taken as it is, with what is loaded of its tree.
            (History::Values(values), CommitRef::Commit(commit)) if values.has(&commit) => {
                Ok(commit)
            }
            (History::Stored(stored), CommitRef::Commit(commit)) if stored.has(&commit) => {
                Ok(commit)
            }
            (_, CommitRef::Commit(commit)) => self.commit(&commit.id()),
            (_, CommitRef::Id(id)) => self.commit(&id),
        }
    }

    /// A commit that something refers to.
    pub(crate) fn commit(&self, id: &Id) -> Result<Commit, StorageError> {
        self.find(id)?.ok_or(StorageError::Missing { id: *id })
    }

    /// The same.
    pub(crate) fn parent(&self, parent: &Parent) -> Result<Commit, StorageError> {
        match parent {
            Parent::Here(commit) => Ok(commit.clone()),
            Parent::Stored(id) => self.commit(id),
        }
    }

    /// The durable head of a branch.
    pub(crate) fn head(&self, branch: &BranchName) -> Result<Option<Commit>, StorageError> {
        match self {
            History::Stored(stored) => stored.head(branch),
            History::Values(values) => Ok(values.head(branch)),
        }
    }

    /// Moves all these heads or none, as [`crate::Backend::set_heads_in`].
    pub(crate) fn set_heads(&self, epoch: u64, moved: &[Moved]) -> Result<bool, StorageError> {
        match self {
            History::Stored(stored) => stored.set_heads(epoch, moved),
            History::Values(values) => Ok(values.set_heads(moved)),
        }
    }

    /// All branches and their heads, by name.
    pub(crate) fn branches(&self) -> Result<Vec<(BranchName, Id)>, StorageError> {
        match self {
            History::Stored(stored) => stored.branches(),
            History::Values(values) => Ok(values.branches()),
        }
    }

    /// All of it as objects of a backend. A store that keeps values keeps objects, too, from the
    /// first time on.
    pub(crate) fn objects(&self) -> Result<Source, StorageError> {
        match self {
            History::Stored(stored) => Ok(stored.objects()),
            History::Values(values) => values.objects(),
        }
    }

    /// The same, for what is there to stay in the epoch it is in now.
    pub(crate) fn objects_now(&self) -> Result<Source, StorageError> {
        let objects = self.objects()?;
        let epoch = objects.epoch();
        Ok(objects.within(epoch))
    }

    /// Whether a commit has its tree still.
    pub(crate) fn keeps_tree(&self, commit: &Commit) -> Result<bool, StorageError> {
        match self {
            History::Stored(stored) => stored.objects().contains(&commit.record().tree()),
            History::Values(values) => values.keeps_tree(commit),
        }
    }

    /// Takes in a commit of which all objects were put, and its ancestors.
    pub(crate) fn adopt(&self, head: &Id) -> Result<(), StorageError> {
        match self {
            History::Stored(_) => Ok(()),
            History::Values(values) => values.adopt(head),
        }
    }

    /// At most `limit` commits whose ids begin so, in no order.
    pub(crate) fn ids_with_prefix(
        &self,
        prefix: &IdPrefix,
        limit: usize,
    ) -> Result<Vec<Id>, StorageError> {
        match self {
            History::Stored(stored) => stored.ids_with_prefix(prefix, limit),
            History::Values(values) => Ok(values.ids_with_prefix(prefix, limit)),
        }
    }
}

/// The key of a head, if there is one.
pub(crate) fn key(head: Option<&Commit>) -> Option<Key> {
    head.map(Commit::key)
}
