//! Owns the lowest common ancestors of commits. Must not know trees.
//!
//! The walk takes commits by falling generation. A commit has a smaller generation than all its
//! descendants, so that when its turn comes, everything that reaches it is known.

use std::collections::{BTreeMap, BTreeSet};

use super::History;
use crate::error::StorageError;
use crate::id::Id;

/// What reaches a commit.
#[derive(Clone, Copy, Default)]
struct Reached {
    ours: bool,
    theirs: bool,
    /// A common ancestor that is not a lowest one: it is above one that was found.
    found: bool,
}

/// The lowest common ancestors of everything in `ours` together and everything in `theirs`
/// together: common ancestors that are not ancestors of another one. A commit counts as an
/// ancestor of itself. Sorted, so that swapping the sides gives the same.
pub(crate) fn lcas(history: &History, ours: &[Id], theirs: &[Id]) -> Result<Vec<Id>, StorageError> {
    let mut walk: BTreeMap<(u64, Id), Reached> = BTreeMap::new();
    for id in ours {
        walk.entry((history.record(id)?.generation(), *id)).or_default().ours = true;
    }
    for id in theirs {
        walk.entry((history.record(id)?.generation(), *id)).or_default().theirs = true;
    }
    let mut lowest = Vec::new();
    // How many in the walk may still lead to something new.
    let mut open = walk.len();
    while open > 0 {
        let ((_, id), mut reached) = walk.pop_last().expect("BUG: more open than there are");
        open -= usize::from(!reached.found);
        if reached.ours && reached.theirs && !reached.found {
            lowest.push(id);
            reached.found = true;
        }
        for parent in history.record(&id)?.parents() {
            let key = (history.record(parent)?.generation(), *parent);
            let known = walk.get(&key).copied();
            let before = known.unwrap_or_default();
            let after = Reached {
                ours: before.ours || reached.ours,
                theirs: before.theirs || reached.theirs,
                found: before.found || reached.found,
            };
            match known {
                None => open += usize::from(!after.found),
                Some(before) => open -= usize::from(!before.found && after.found),
            }
            walk.insert(key, after);
        }
    }
    lowest.sort_unstable();
    Ok(lowest)
}

/// Whether `ancestor` is `of` or an ancestor of it.
pub(crate) fn is_ancestor(history: &History, ancestor: &Id, of: &Id) -> Result<bool, StorageError> {
    let least = history.record(ancestor)?.generation();
    let mut walk = BTreeSet::from([(history.record(of)?.generation(), *of)]);
    while let Some((generation, id)) = walk.pop_last() {
        if id == *ancestor {
            return Ok(true);
        }
        if generation <= least {
            continue;
        }
        for parent in history.record(&id)?.parents() {
            walk.insert((history.record(parent)?.generation(), *parent));
        }
    }
    Ok(false)
}
