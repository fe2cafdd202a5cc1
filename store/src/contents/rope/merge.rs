//! Owns the three-way merge of ropes: the edits of the second side, done in the first. Must not
//! know how the edits are found.

use std::ops::Range;

use super::chunk::Chunk;
use super::diff::{Edit, diff};
use super::{Rope, tree};
use crate::contents::{Merging, Why};
use crate::error::StorageError;

/// What is to be done in the first side.
enum Change<C> {
    /// What the second side has at `from` goes in place of what is at `at`.
    Take { at: Range<u64>, from: Range<u64> },
    /// Items that were merged one by one go in place of as many.
    Put { at: u64, items: C },
}

pub(super) fn merge<C: Chunk>(
    base: &Rope<C>,
    first: &Rope<C>,
    second: &Rope<C>,
    merging: Merging<'_>,
) -> Result<Result<Rope<C>, Why>, StorageError> {
    let ours = diff(base, first)?;
    let theirs = diff(base, second)?;
    let sides = Sides { base, first, second, merging };
    let changes = match sides.changes(&ours, &theirs)? {
        Ok(changes) => changes,
        Err(why) => return Ok(Err(why)),
    };
    let mut merged = first.clone();
    // From the end, so that indices before it stay right.
    for change in changes.into_iter().rev() {
        let (at, new) = match change {
            Change::Take { at, from } => {
                let [_, taken, _] = second.cut(from.start, from.end)?;
                (at, taken)
            }
            Change::Put { at, items } => (at..at + items.count() as u64, tree::build(items)),
        };
        let [before, _, after] = merged.cut(at.start, at.end)?;
        merged = Rope::joined([before, new, after])?;
    }
    Ok(Ok(merged))
}

struct Sides<'a, C> {
    base: &'a Rope<C>,
    first: &'a Rope<C>,
    second: &'a Rope<C>,
    merging: Merging<'a>,
}

impl<C: Chunk> Sides<'_, C> {
    /// What the second side did, where it is to be done in the first.
    fn changes(
        &self,
        ours: &[Edit],
        theirs: &[Edit],
    ) -> Result<Result<Vec<Change<C>>, Why>, StorageError> {
        let mut changes = Vec::new();
        let mut ours = ours.iter().peekable();
        // How much later an index of the base is in the first side.
        let mut shift = 0i128;
        for edit in theirs {
            let is_before = |our: &&Edit| our.base.end <= edit.base.start && our.base != edit.base;
            while let Some(our) = ours.next_if(is_before) {
                shift += i128::from(length(&our.side)) - i128::from(length(&our.base));
            }
            let shifted = |at: u64| (i128::from(at) + shift) as u64;
            match ours.peek() {
                Some(our) if our.base == edit.base => match self.same_place(our, edit)? {
                    Ok(change) => changes.extend(change),
                    Err(why) => return Ok(Err(why)),
                },
                Some(our) if our.base.start < edit.base.end => {
                    let from = our.base.start.min(edit.base.start);
                    let to = our.base.end.max(edit.base.end);
                    return Ok(Err(Why::Overlap { from, to }));
                }
                _ => {
                    let at = shifted(edit.base.start)..shifted(edit.base.end);
                    changes.push(Change::Take { at, from: edit.side.clone() });
                }
            }
        }
        Ok(Ok(changes))
    }

    /// What to do where both sides replaced the same items of the base, or inserted in between the
    /// same.
    fn same_place(
        &self,
        our: &Edit,
        their: &Edit,
    ) -> Result<Result<Option<Change<C>>, Why>, StorageError> {
        let [first, second] = [self.first.items(&our.side)?, self.second.items(&their.side)?];
        let base = self.base.items(&our.base)?;
        let is_one_by_one = [first.count(), second.count()] == [base.count(); 2];
        if is_one_by_one && let Ok(items) = C::merge_items([&base, &first, &second], self.merging)?
        {
            return Ok(Ok(Some(Change::Put { at: our.side.start, items })));
        }
        if first.keys() == second.keys() {
            return Ok(Ok(None));
        }
        if our.base.is_empty() {
            let at = our.side.end;
            return Ok(Ok(Some(Change::Take { at: at..at, from: their.side.clone() })));
        }
        Ok(Err(Why::Overlap { from: our.base.start, to: our.base.end }))
    }
}

fn length(range: &Range<u64>) -> u64 {
    range.end - range.start
}
