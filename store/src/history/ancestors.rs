//! Owns what is known about the ancestors of one moving head, so that merging the same small
//! branches into it again and again does not walk its whole history each time.
//! Must not know which branch it is.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::History;
use crate::commit::{Commit, Key, Parent};
use crate::error::StorageError;

/// The most ancestors that are kept, about 10 MB of them. Reaching it loses speed, not truth.
const KNOWN_MAX: usize = 1 << 18;

/// How many commits are explored when the head moves.
const EXPLORED_AT_ONCE: usize = 16;

/// Some ancestors of a head, and those of them whose parents have not been looked at. Every
/// ancestor of the head is known or is an ancestor of one of those.
pub(crate) struct Ancestors {
    head: Key,
    known: HashSet<Key>,
    unexplored: BTreeMap<(u64, Key), Parent>,
}

/// Commits that were made by one who also knows all commits made from them.
pub(crate) type Fresh = HashMap<Key, Commit>;

impl Ancestors {
    pub(crate) fn of(
        history: &History,
        head: &Commit,
        fresh: &Fresh,
    ) -> Result<Ancestors, StorageError> {
        let (known, unexplored) = (HashSet::new(), BTreeMap::new());
        let mut ancestors = Ancestors { head: head.key(), known, unexplored };
        ancestors.add(history, head, fresh)?;
        Ok(ancestors)
    }

    pub(crate) fn head(&self) -> Key {
        self.head
    }

    /// Follows the head to a commit that was made from it.
    pub(crate) fn advance(
        &mut self,
        history: &History,
        to: &Commit,
        fresh: &Fresh,
    ) -> Result<(), StorageError> {
        let is_next = to.links().iter().any(|parent| parent.key() == self.head);
        assert!(is_next, "BUG: the head moved to a stranger");
        if self.known.len() >= KNOWN_MAX {
            *self = Ancestors::of(history, to, fresh)?;
            return Ok(());
        }
        self.head = to.key();
        self.add(history, to, fresh)
    }

    /// Adds a commit and what it leads to: all that is fresh, so that a fresh commit is an
    /// ancestor exactly if it is known, and a few others, which are likely to be at hand now and
    /// not when someone asks. The rest is explored when someone does.
    fn add(
        &mut self,
        history: &History,
        commit: &Commit,
        fresh: &Fresh,
    ) -> Result<(), StorageError> {
        let mut reached = vec![commit.link()];
        let mut at_once = EXPLORED_AT_ONCE;
        while let Some(parent) = reached.pop() {
            let key = parent.key();
            if !self.known.insert(key) {
                continue;
            }
            if let Some(commit) = fresh.get(&key) {
                reached.extend_from_slice(commit.links());
                continue;
            }
            let commit = history.parent(&parent)?;
            if at_once > 0 {
                at_once -= 1;
                reached.extend_from_slice(commit.links());
            } else {
                self.unexplored.insert((commit.generation(), key), parent);
            }
        }
        Ok(())
    }

    /// Whether a commit is the head or an ancestor of it; `None` if that is too far back to say.
    pub(crate) fn contain(
        &mut self,
        history: &History,
        commit: &Commit,
        fresh: &Fresh,
    ) -> Result<Option<bool>, StorageError> {
        let key = commit.key();
        if self.known.contains(&key) || fresh.contains_key(&key) {
            return Ok(Some(self.known.contains(&key)));
        }
        // Only a commit of greater generation can descend from it.
        let generation = commit.generation();
        while self.unexplored.last_key_value().is_some_and(|((other, _), _)| *other > generation) {
            if self.known.len() >= KNOWN_MAX {
                return Ok(None);
            }
            let (_, next) = self.unexplored.pop_last().expect("BUG: there was a last one");
            for parent in history.parent(&next)?.links() {
                if self.known.insert(parent.key()) {
                    let generation = history.parent(parent)?.generation();
                    self.unexplored.insert((generation, parent.key()), parent.clone());
                }
            }
            if self.known.contains(&key) {
                return Ok(Some(true));
            }
        }
        Ok(Some(false))
    }
}
