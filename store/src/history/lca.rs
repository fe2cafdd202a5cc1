//! Owns the lowest common ancestors of commits. Must not know trees.
//!
//! The walk takes commits by falling generation. A commit has a smaller generation than all its
//! descendants, so that when its turn comes, everything that reaches it is known.

use std::collections::BTreeMap;

use super::History;
use crate::commit::{Commit, Key};
use crate::error::StorageError;

/// What reaches a commit.
#[derive(Clone, Copy, Default)]
struct Reached {
    ours: bool,
    theirs: bool,
    /// A common ancestor that is not a lowest one: it is above one that was found.
    found: bool,
}

/// What is known of the walk so far: commits by generation and key, and what reaches them.
type Walk = BTreeMap<(u64, Key), (Commit, Reached)>;

/// The lowest common ancestors of everything in `ours` together and everything in `theirs`
/// together: common ancestors that are not ancestors of another one. A commit counts as an
/// ancestor of itself. In no order that means anything.
pub(crate) fn lcas(
    history: &History,
    ours: &[Commit],
    theirs: &[Commit],
) -> Result<Vec<Commit>, StorageError> {
    let mut walk = Walk::new();
    for commit in ours {
        reach(&mut walk, commit).ours = true;
    }
    for commit in theirs {
        reach(&mut walk, commit).theirs = true;
    }
    let mut lowest = Vec::new();
    // How many in the walk may still lead to something new.
    let mut open = walk.len();
    while open > 0 {
        let (_, (commit, mut reached)) = walk.pop_last().expect("BUG: more open than there are");
        open -= usize::from(!reached.found);
        if reached.ours && reached.theirs && !reached.found {
            lowest.push(commit.clone());
            reached.found = true;
        }
        for parent in commit.links() {
            let parent = history.parent(parent)?;
            let is_known = walk.contains_key(&place(&parent));
            let known = reach(&mut walk, &parent);
            let was_found = known.found;
            known.ours |= reached.ours;
            known.theirs |= reached.theirs;
            known.found |= reached.found;
            if is_known {
                open -= usize::from(!was_found && known.found);
            } else {
                open += usize::from(!known.found);
            }
        }
    }
    Ok(lowest)
}

fn place(commit: &Commit) -> (u64, Key) {
    (commit.generation(), commit.key())
}

fn reach<'a>(walk: &'a mut Walk, commit: &Commit) -> &'a mut Reached {
    let entry = walk.entry(place(commit));
    &mut entry.or_insert_with(|| (commit.clone(), Reached::default())).1
}

/// Whether `ancestor` is `of` or an ancestor of it.
pub(crate) fn is_ancestor(
    history: &History,
    ancestor: &Commit,
    of: &Commit,
) -> Result<bool, StorageError> {
    let (least, wanted) = (ancestor.generation(), ancestor.key());
    let mut walk = BTreeMap::from([(place(of), of.clone())]);
    while let Some(((generation, key), commit)) = walk.pop_last() {
        if key == wanted {
            return Ok(true);
        }
        if generation <= least {
            continue;
        }
        for parent in commit.links() {
            let parent = history.parent(parent)?;
            walk.insert(place(&parent), parent);
        }
    }
    Ok(false)
}
