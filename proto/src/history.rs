//! The store's history as a client sees it: commits, branches, changes, conflicts.
//!
//! Owns views for people and programs; it must not know how the store keeps them.
//! A *revision* is text: a branch name, a commit id or at least four digits of one, and either
//! may be followed by `~N` for the N-th first parent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The structured fields of a commit: `method`, `uid`, `trace`, `result`, `duration_us`, …
pub type Fields = BTreeMap<String, String>;

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its id, 64 hexadecimal digits.
    pub id: String,
    /// Its parents' ids.
    pub parents: Vec<String>,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// Who, as `uid=1000 gid=1000 pid=4242` or the daemon's own name.
    pub author: String,
    /// What, in a line.
    pub message: String,
    /// The same and more, by field.
    pub fields: Fields,
}

/// A branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// Its name.
    pub name: String,
    /// Its last commit.
    pub head: Commit,
}

/// What a path holds, as text where it is text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// Text (bytes that are UTF-8).
    Text(String),
    /// Bytes that are not UTF-8.
    Bytes(Vec<u8>),
    /// A counter.
    Counter(i64),
    /// A register that the last writer wins.
    Register(String),
    /// A set.
    Set(Vec<String>),
    /// A directory (in conflicts only).
    Directory,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    /// Contents.
    Contents(Value),
    /// A directory: everything directly in it.
    Directory(Vec<Entry>),
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its step.
    pub name: String,
    /// What it holds. None: it is a directory.
    pub value: Option<Value>,
}

/// A path that differs between two trees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where.
    pub path: String,
    /// What was there. None: nothing.
    pub before: Option<Value>,
    /// What is there now. None: nothing.
    pub after: Option<Value>,
}

/// A path that two sides changed in ways that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// Where.
    pub path: String,
    /// What their common ancestor holds.
    pub base: Option<Value>,
    /// What the branch merged into holds.
    pub ours: Option<Value>,
    /// What the branch merged from holds.
    pub theirs: Option<Value>,
}

/// A change of one path that a person asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// Where.
    pub path: String,
    /// The new text. None: remove what is there, with all below it.
    pub value: Option<String>,
}
