//! Owns short ways to say what tests say often.

use std::collections::BTreeMap;

use jitsu_store::{BranchName, Commit, Contents, Id, Merged, Meta, Path, Store, Tree};

pub(crate) fn branch(name: &str) -> BranchName {
    name.parse().unwrap()
}

pub(crate) fn path(path: &str) -> Path {
    path.parse().unwrap()
}

pub(crate) fn text(text: &str) -> Contents {
    Contents::text(text)
}

/// Metadata that differs by time.
pub(crate) fn at(time_ms: u64) -> Meta {
    Meta { time_ms, author: "test".into(), message: format!("at {time_ms}"), ..Meta::default() }
}

/// A tree of texts.
pub(crate) fn tree(entries: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::empty();
    for (at, value) in entries {
        tree.set(&path(at), text(value)).unwrap();
    }
    tree
}

/// All contents of a tree, shown.
pub(crate) fn shown(tree: &Tree) -> Vec<String> {
    tree.entries().map(Result::unwrap).map(|(path, it)| format!("{path}={it}")).collect()
}

/// All contents of a tree.
pub(crate) fn all(tree: &Tree) -> BTreeMap<Path, Contents> {
    tree.entries().map(Result::unwrap).collect()
}

/// Sets one text on a branch.
pub(crate) fn write(store: &Store, to: &str, at_path: &str, value: &str, time: u64) -> Commit {
    let set = |tree: &mut Tree| tree.set(&path(at_path), text(value));
    store.update(&branch(to), at(time), set).unwrap().0
}

pub(crate) fn merged(merged: Merged) -> Commit {
    match merged {
        Merged::Commit(commit) => commit,
        other => panic!("not merged: {other:?}"),
    }
}

/// Reads everything that every branch leads to.
pub(crate) fn walk(store: &Store) -> BTreeMap<BranchName, Id> {
    let branches = store.branches().unwrap();
    for (_, head) in &branches {
        for commit in store.log(head) {
            commit.unwrap().tree().entries().for_each(|entry| drop(entry.unwrap()));
        }
    }
    branches.into_iter().collect()
}
