//! Owns what is known about the ancestors of one moving head, so that merging the same small
//! branches into it again and again does not walk its whole history each time.
//! Must not know which branch it is.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::History;
use crate::commit::Commit;
use crate::error::StorageError;
use crate::id::Id;

/// The most ancestors that are kept, about 10 MB of them. Reaching it loses speed, not truth.
const KNOWN_MAX: usize = 1 << 18;

/// How many commits are explored when the head moves.
const EXPLORED_AT_ONCE: usize = 16;

/// Some ancestors of a head, and those of them whose parents have not been looked at. Every
/// ancestor of the head is known or is an ancestor of one of those.
pub(crate) struct Ancestors {
    head: Id,
    known: HashSet<Id>,
    unexplored: BTreeSet<(u64, Id)>,
}

/// Commits that were made by one who also knows all commits made from them.
pub(crate) type Fresh = HashMap<Id, Commit>;

impl Ancestors {
    pub(crate) fn of(
        history: &History,
        head: Id,
        fresh: &Fresh,
    ) -> Result<Ancestors, StorageError> {
        let (known, unexplored) = (HashSet::new(), BTreeSet::new());
        let mut ancestors = Ancestors { head, known, unexplored };
        ancestors.add(history, head, fresh)?;
        Ok(ancestors)
    }

    pub(crate) fn head(&self) -> Id {
        self.head
    }

    /// Follows the head to a commit that was made from it.
    pub(crate) fn advance(
        &mut self,
        history: &History,
        to: &Commit,
        fresh: &Fresh,
    ) -> Result<(), StorageError> {
        assert!(to.parents().contains(&self.head), "BUG: the head moved to a stranger");
        if self.known.len() >= KNOWN_MAX {
            *self = Ancestors::of(history, to.id(), fresh)?;
            return Ok(());
        }
        self.head = to.id();
        self.add(history, to.id(), fresh)
    }

    /// Adds a commit and what it leads to: all that is fresh, so that a fresh commit is an
    /// ancestor exactly if it is known, and a few others, which are likely to be at hand now and
    /// not when someone asks. The rest is explored when someone does.
    fn add(&mut self, history: &History, id: Id, fresh: &Fresh) -> Result<(), StorageError> {
        let mut reached = vec![id];
        let mut at_once = EXPLORED_AT_ONCE;
        while let Some(id) = reached.pop() {
            if !self.known.insert(id) {
                continue;
            }
            if let Some(commit) = fresh.get(&id) {
                reached.extend(commit.parents());
                continue;
            }
            let record = history.record(&id)?;
            if at_once > 0 {
                at_once -= 1;
                reached.extend(record.parents());
            } else {
                self.unexplored.insert((record.generation(), id));
            }
        }
        Ok(())
    }

    /// Whether a commit is the head or an ancestor of it; `None` if that is too far back to say.
    pub(crate) fn contain(
        &mut self,
        history: &History,
        id: &Id,
        generation: u64,
        fresh: &Fresh,
    ) -> Result<Option<bool>, StorageError> {
        if self.known.contains(id) || fresh.contains_key(id) {
            return Ok(Some(self.known.contains(id)));
        }
        // Only a commit of greater generation can descend from it.
        while self.unexplored.last().is_some_and(|(other, _)| *other > generation) {
            if self.known.len() >= KNOWN_MAX {
                return Ok(None);
            }
            let (_, next) = self.unexplored.pop_last().expect("BUG: there was a last one");
            for parent in history.record(&next)?.parents() {
                if self.known.insert(*parent) {
                    self.unexplored.insert((history.record(parent)?.generation(), *parent));
                }
            }
            if self.known.contains(id) {
                return Ok(Some(true));
            }
        }
        Ok(Some(false))
    }
}
