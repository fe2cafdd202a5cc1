//! Owns the plain model beside which a store is used, and what of a store it is compared with. Must
//! not know what is done to either.

use std::collections::BTreeMap;

use jitsu_store::{BranchName, Path, PublishError, StorageError, Store, Tree};

/// What a tree holds.
pub type Held = BTreeMap<Path, String>;

/// What each branch holds.
pub type Model = BTreeMap<BranchName, Held>;

/// One of three branches.
pub fn branch(number: u8) -> BranchName {
    format!("b{}", number % 3).parse().unwrap()
}

/// One of four paths, of which none leads through another.
pub fn path(number: u8) -> Path {
    ["a", "b/c", "b/d/e", "f"][usize::from(number % 4)].parse().unwrap()
}

pub fn held(tree: &Tree) -> Held {
    let entries = tree.entries().map(Result::unwrap);
    entries.map(|(path, it)| (path, it.as_text().unwrap().to_owned())).collect()
}

/// What each branch of a store holds.
pub fn model_of(store: &Store) -> Model {
    let branches = store.branches().unwrap().into_iter();
    branches
        .map(|(name, head)| (name, held(&store.commit(&head).unwrap().unwrap().tree())))
        .collect()
}

/// What came of a batch that nobody raced for.
pub fn published(done: Result<(), PublishError>) -> Result<(), StorageError> {
    match done {
        Ok(()) => Ok(()),
        Err(PublishError::Storage(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}
