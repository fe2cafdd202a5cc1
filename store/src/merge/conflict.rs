//! Owns what is told of a conflict: where, what each side holds, and why.

use std::fmt;

use crate::contents::{Contents, Why};
use crate::error::StorageError;
use crate::path::Path;
use crate::tree::Tree;
use crate::tree::node::Entry;

/// A path at which two versions cannot be merged.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// Where.
    pub path: Path,
    /// What both sides started from; `None` is nothing.
    pub base: Option<Side>,
    /// What the branch that is merged into holds.
    pub ours: Option<Side>,
    /// What the commit that is merged holds.
    pub theirs: Option<Side>,
    /// Why it is a conflict.
    pub why: Why,
}

/// What one side of a conflict holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Side {
    /// Contents.
    Contents(Contents),
    /// A directory.
    Directory(Tree),
}

impl Side {
    pub(super) fn of(entry: &Entry) -> Result<Side, StorageError> {
        Ok(match entry {
            Entry::Value(value) => Side::Contents(value.load()?.clone()),
            Entry::Directory(link) => Side::Directory(Tree::new(link.clone())),
        })
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (base ", self.path, self.why)?;
        show(self.base.as_ref(), f)?;
        f.write_str(", ours ")?;
        show(self.ours.as_ref(), f)?;
        f.write_str(", theirs ")?;
        show(self.theirs.as_ref(), f)?;
        f.write_str(")")
    }
}

fn show(side: Option<&Side>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match side {
        Some(Side::Contents(contents)) => write!(f, "{contents}"),
        Some(Side::Directory(_)) => f.write_str("a directory"),
        None => f.write_str("nothing"),
    }
}
