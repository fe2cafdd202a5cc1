//! From what a person types to a commit.
//!
//! Owns what a client is told of a revision that means none. How revisions are spelt the store
//! knows.

use jitsu_proto::{ErrorCode, RpcError};
use jitsu_store::{Commit, RevisionError};

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
}
