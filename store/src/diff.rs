//! Owns the difference of two trees. Must not know commits.
//!
//! What is known to be the same on both sides is never entered, so that the cost follows the
//! change.

use crate::contents::Contents;
use crate::contents::value::Value;
use crate::error::StorageError;
use crate::lazy::LEVELS_MAX;
use crate::path::{Path, Step};
use crate::tree::directory;
use crate::tree::item::Item;
use crate::tree::node::{Entry, Link, Node};

/// Contents that differ between two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where.
    pub path: Path,
    /// What was there.
    pub before: Option<Contents>,
    /// What is there now.
    pub after: Option<Contents>,
}

/// All changes from one directory to another, in the order of paths.
pub(crate) fn diff(before: &Link, after: &Link) -> Result<Vec<Change>, StorageError> {
    let mut diff = Diff { at: Vec::new(), changes: Vec::new() };
    diff.directories(Some(before), Some(after))?;
    Ok(diff.changes)
}

struct Diff {
    at: Vec<Step>,
    changes: Vec<Change>,
}

impl Diff {
    fn directories(
        &mut self,
        before: Option<&Link>,
        after: Option<&Link>,
    ) -> Result<(), StorageError> {
        if self.at.len() == LEVELS_MAX {
            return Err(StorageError::TooDeep { levels_max: LEVELS_MAX });
        }
        let mut steps = Vec::new();
        nodes(before, after, 0, &mut steps)?;
        steps.sort_unstable_by(|a, b| a.step.cmp(&b.step));
        for Differing { step, before, after } in steps {
            self.at.push(step);
            self.values(before.as_ref().and_then(value), after.as_ref().and_then(value))?;
            let before = before.as_ref().and_then(link);
            let after = after.as_ref().and_then(link);
            if before.is_some() || after.is_some() {
                self.directories(before, after)?;
            }
            self.at.pop();
        }
        Ok(())
    }

    fn values(
        &mut self,
        before: Option<&Value>,
        after: Option<&Value>,
    ) -> Result<(), StorageError> {
        let load = |value: &Value| value.load().cloned();
        let before = before.map(load).transpose()?;
        let after = after.map(load).transpose()?;
        if before != after {
            let path = Path::found(self.at.clone());
            self.changes.push(Change { path, before, after });
        }
        Ok(())
    }
}

fn value(entry: &Entry) -> Option<&Value> {
    match entry {
        Entry::Value(value) => Some(value),
        Entry::Directory(_) => None,
    }
}

fn link(entry: &Entry) -> Option<&Link> {
    match entry {
        Entry::Directory(link) => Some(link),
        Entry::Value(_) => None,
    }
}

/// A step that does not lead to the same on both sides, as far as is known.
pub(crate) struct Differing {
    pub(crate) step: Step,
    pub(crate) before: Option<Entry>,
    pub(crate) after: Option<Entry>,
}

/// Collects the steps that differ between two nodes of the same depth.
pub(crate) fn nodes(
    before: Option<&Link>,
    after: Option<&Link>,
    depth: usize,
    into: &mut Vec<Differing>,
) -> Result<(), StorageError> {
    if let (Some(before), Some(after)) = (before, after)
        && before.same(after)
    {
        return Ok(());
    }
    if depth == directory::DEPTH_MAX {
        return Err(StorageError::TooDeep { levels_max: directory::DEPTH_MAX });
    }
    let empty = Node::empty();
    let before = before.map_or(Ok(&empty), Link::load)?;
    let after = after.map_or(Ok(&empty), Link::load)?;
    if let (Node::Leaf(before), Node::Leaf(after)) = (before, after) {
        return leaves(before, after, into);
    }
    let (before, after) = (directory::slots(before, depth), directory::slots(after, depth));
    for (before, after) in before.iter().zip(after.iter()) {
        let [before, after] = [before, after].map(|part| part.map(|part| &part.link));
        nodes(before, after, depth + 1, into)?;
    }
    Ok(())
}

fn leaves(before: &[Item], after: &[Item], into: &mut Vec<Differing>) -> Result<(), StorageError> {
    for [before, after] in Aligned::new([before, after]) {
        if let (Some(before), Some(after)) = (before, after)
            && before.same(after)?
        {
            continue;
        }
        let step = before.or(after).expect("BUG: a step on neither side").step().clone();
        let [before, after] = [before, after].map(|item| item.map(|item| item.entry().clone()));
        into.push(Differing { step, before, after });
    }
    Ok(())
}

/// Goes through several sorted leaves at once, one step at a time.
pub(crate) struct Aligned<'a, const N: usize> {
    left: [&'a [Item]; N],
}

impl<'a, const N: usize> Aligned<'a, N> {
    pub(crate) fn new(leaves: [&'a [Item]; N]) -> Aligned<'a, N> {
        Aligned { left: leaves }
    }
}

impl<'a, const N: usize> Iterator for Aligned<'a, N> {
    type Item = [Option<&'a Item>; N];

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.left.iter().filter_map(|left| left.first()).min_by(|a, b| a.order_of(b))?;
        Some(std::array::from_fn(|side| {
            let (item, rest) = self.left[side].split_first()?;
            item.order_of(next).is_eq().then(|| {
                self.left[side] = rest;
                item
            })
        }))
    }
}
