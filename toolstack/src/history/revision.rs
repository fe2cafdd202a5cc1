//! From what a person types to a commit.
//!
//! Owns what a client is told of a revision that means none. How revisions are spelt the store
//! knows.

use jitsu_proto::{ErrorCode, RpcError};
use jitsu_store::{Commit, RETENTION, RevisionError, Tree};

use super::{Answer, History, storage};

impl History {
    /// The commit that `text` means.
    pub(super) fn resolve(&self, text: &str) -> Answer<Commit> {
        self.store.resolve(text).map_err(|error| match error {
            RevisionError::Storage(error) => storage(&error),
            RevisionError::None { .. } | RevisionError::First { .. } => {
                RpcError::new(ErrorCode::NotFound, error.to_string())
            }
            _ => RpcError::new(ErrorCode::BadRequest, error.to_string()),
        })
    }

    pub(super) fn commit(&self, id: &jitsu_store::Id) -> Answer<Commit> {
        let commit = self.store.commit(id).map_err(|error| storage(&error))?;
        commit.ok_or_else(|| {
            RpcError::new(ErrorCode::NotFound, format!("the store has no commit {id}"))
        })
    }

    /// The tree of a commit, unless it was let go.
    pub(super) fn tree_of(&self, commit: &Commit) -> Answer<Tree> {
        if self.store.keeps_tree(commit).map_err(|error| storage(&error))? {
            return Ok(commit.tree());
        }
        let id = commit.id().short();
        let text = format!("the tree of {id} was let go: see `jitsu log {RETENTION}`");
        Err(RpcError::new(ErrorCode::NotFound, text))
    }

    /// The tree that a commit was made from: of its first parent.
    pub(super) fn tree_before(&self, commit: &Commit) -> Answer<Tree> {
        match commit.parents().first() {
            Some(parent) => self.tree_of(&self.commit(parent)?),
            None => Ok(Tree::empty()),
        }
    }
}
