//! Owns the walk over the items of a rope. Must not know how its tree is changed.

use super::Rope;
use super::chunk::Chunk;
use super::node::{Child, Node};
use crate::error::StorageError;

/// The items of a rope from some index on. Ends after an error.
pub struct Items<C: Chunk> {
    /// For each height on the way down, what is left of it, backwards.
    left: Vec<Child<C>>,
    /// Heights of what is left.
    heights: Vec<u32>,
    /// What is to be left out of what comes next.
    skip: u64,
    is_backwards: bool,
    items: std::vec::IntoIter<C::Item>,
}

impl<C: Chunk> Items<C> {
    pub(super) fn new(rope: &Rope<C>, skip: u64) -> Items<C> {
        let root = Child::new(rope.root.clone());
        let (left, heights) = (vec![root], vec![rope.root.height()]);
        Items { left, heights, skip, is_backwards: false, items: Vec::new().into_iter() }
    }

    /// The items from the last one back.
    pub(in crate::contents) fn backwards(rope: &Rope<C>) -> Items<C> {
        Items { is_backwards: true, ..Items::new(rope, 0) }
    }

    fn advance(&mut self) -> Result<Option<C::Item>, StorageError> {
        loop {
            if let Some(item) = self.items.next() {
                return Ok(Some(item));
            }
            let (Some(child), Some(height)) = (self.left.pop(), self.heights.pop()) else {
                return Ok(None);
            };
            if self.skip >= child.len {
                self.skip -= child.len;
                continue;
            }
            match child.load(height)? {
                Node::Leaf(chunk) => {
                    let mut chunk = chunk.clone();
                    let skip = std::mem::take(&mut self.skip) as usize;
                    let mut items = chunk.split_off(skip).items()?;
                    if self.is_backwards {
                        items.reverse();
                    }
                    self.items = items.into_iter();
                }
                Node::Branch { children, .. } => {
                    let before = self.left.len();
                    self.left.extend_from_slice(children);
                    if !self.is_backwards {
                        self.left[before..].reverse();
                    }
                    self.heights.extend(children.iter().map(|_| height - 1));
                }
            }
        }
    }
}

impl<C: Chunk> Iterator for Items<C> {
    type Item = Result<C::Item, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            self.left.clear();
            self.heights.clear();
        }
        next.transpose()
    }
}
