//! The store's history for clients: reading it, and changing it by branch.
//!
//! Owns the requests about branches, commits and trees. They block, and run beside the machine:
//! what they change on `main` it hears of as it hears of everything else. It must not know
//! domains beyond [`crate::layout`].

mod change;
mod exchange;
mod read;
mod revision;
mod view;

use jitsu_proto::{ErrorCode, RpcError};
use jitsu_store::{BranchName, StorageError, Store, TreeError};

pub use change::{Change, Changed};
pub use exchange::{Exchange, Pushed};

use crate::limits::Limits;

/// The history, as one daemon shows it.
#[derive(Clone)]
pub struct History {
    store: Store,
    limits: Limits,
}

impl History {
    /// The history of `store`.
    pub fn new(store: Store, limits: Limits) -> History {
        History { store, limits }
    }
}

/// What an answer is, or why there is none.
pub type Answer<T> = Result<T, RpcError>;

fn storage(error: &StorageError) -> RpcError {
    crate::committer::storage(error)
}

fn tree(error: &TreeError) -> RpcError {
    RpcError::new(ErrorCode::BadRequest, error.to_string())
}

fn bad(text: impl Into<String>) -> RpcError {
    RpcError::new(ErrorCode::BadRequest, text)
}

fn branch_name(text: &str) -> Answer<BranchName> {
    BranchName::new(text).map_err(|error| bad(format!("branch {text:?}: {error}")))
}

fn path(text: &str) -> Answer<jitsu_store::Path> {
    let text = text.trim_matches('/');
    if text.is_empty() {
        return Ok(jitsu_store::Path::default());
    }
    text.parse().map_err(|error| bad(format!("path {text:?}: {error}")))
}
