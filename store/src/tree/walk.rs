//! Owns the walk over all contents of a tree. Must not know how directories are made of nodes.

use super::item::Item;
use super::node::{Entry, Link};
use super::{TreeError, directory};
use crate::contents::Contents;
use crate::path::{Path, Step};

/// All contents of a tree with their paths, in the order of paths. Ends after an error.
pub struct Entries {
    /// For each directory on the way, what is left of it, backwards.
    left: Vec<Vec<Item>>,
    /// The steps into those directories, except the root.
    at: Vec<Step>,
    /// The tree, until its root is loaded by the first call.
    start: Option<Link>,
}

impl Entries {
    pub(super) fn new(root: &Link) -> Entries {
        Entries { left: Vec::new(), at: Vec::new(), start: Some(root.clone()) }
    }

    fn enter(&mut self, directory: &Link) -> Result<(), TreeError> {
        let mut items = directory::sorted(directory)?;
        items.reverse();
        self.left.push(items);
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<(Path, Contents)>, TreeError> {
        if let Some(root) = self.start.take() {
            self.enter(&root)?;
        }
        while let Some(items) = self.left.last_mut() {
            let Some(item) = items.pop() else {
                self.left.pop();
                self.at.pop();
                continue;
            };
            let step = item.step().clone();
            match item.entry() {
                Entry::Value(value) => {
                    let steps = self.at.iter().cloned().chain([step]).collect();
                    return Ok(Some((Path::found(steps), value.load()?.clone())));
                }
                Entry::Directory(below) => {
                    self.enter(below)?;
                    self.at.push(step);
                }
            }
        }
        Ok(None)
    }
}

impl Iterator for Entries {
    type Item = Result<(Path, Contents), TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            self.left.clear();
        }
        next.transpose()
    }
}
