//! Owns a step together with what it leads to, as leaves share them. Must not know leaves.

use std::cmp::Ordering;
use std::sync::Arc;

use super::node::Entry;
use crate::error::StorageError;
use crate::path::Step;

/// A step and what it leads to. A clone is the same item, so that a leaf, which is copied whenever
/// one of its items changes, is small.
#[derive(Clone)]
pub(crate) struct Item {
    prefix: Prefix,
    whole: Arc<(Step, Entry)>,
}

/// The first eight bytes of a step, zeros after a shorter one: in the same order as the steps, and
/// mostly enough to tell two of them apart without looking at them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Prefix(u64);

impl Prefix {
    pub(crate) fn of(step: &Step) -> Prefix {
        let bytes = step.as_str().as_bytes();
        let mut first = [0; 8];
        let len = bytes.len().min(8);
        first[..len].copy_from_slice(&bytes[..len]);
        Prefix(u64::from_be_bytes(first))
    }
}

impl Item {
    pub(crate) fn new(step: Step, entry: Entry) -> Item {
        Item { prefix: Prefix::of(&step), whole: Arc::new((step, entry)) }
    }

    pub(crate) fn step(&self) -> &Step {
        &self.whole.0
    }

    pub(crate) fn entry(&self) -> &Entry {
        &self.whole.1
    }

    /// What the step leads to, to be changed in this item alone.
    pub(crate) fn entry_mut(&mut self) -> &mut Entry {
        &mut Arc::make_mut(&mut self.whole).1
    }

    /// The step compared with another one.
    pub(crate) fn order(&self, prefix: Prefix, step: &Step) -> Ordering {
        self.prefix.cmp(&prefix).then_with(|| self.step().cmp(step))
    }

    /// The steps of two items compared.
    pub(crate) fn order_of(&self, other: &Item) -> Ordering {
        if self.is(other) { Ordering::Equal } else { self.order(other.prefix, other.step()) }
    }

    /// Whether both, of the same step, are known to lead to the same.
    pub(crate) fn same(&self, other: &Item) -> Result<bool, StorageError> {
        Ok(self.is(other) || self.entry().same(other.entry())?)
    }

    /// Whether both are one item in memory.
    pub(crate) fn is(&self, other: &Item) -> bool {
        Arc::ptr_eq(&self.whole, &other.whole)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tree::node::{Link, Node};

    proptest! {
        #[test]
        fn items_are_in_the_order_of_their_steps(a in "[\u{1}ab\u{ff}]{1,12}", b in "[\u{1}ab\u{ff}]{1,12}") {
            let item = |step: &str| {
                Item::new(Step::new(step).unwrap(), Entry::Directory(Link::new(Node::empty())))
            };
            prop_assert_eq!(item(&a).order_of(&item(&b)), a.cmp(&b));
        }
    }
}
