//! Owns the order in which history is told: newest first, every commit before its parents.
//! Must not know branches.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::History;
use crate::commit::{Commit, Key, Parent};
use crate::error::StorageError;
use crate::id::Id;
use crate::path::Path;
use crate::tree::node::Entry;
use crate::tree::{Tree, directory};

/// A commit and all its ancestors: by falling generation, and of the same generation by falling
/// time. Ends after an error. (What keeps a store on a disk is [`crate::backend::Log`].)
pub struct Log {
    history: Arc<History>,
    /// Commits to come, by generation and time.
    next: BTreeMap<(u64, u64, Key), Commit>,
    seen: HashSet<Key>,
    touching: Option<Path>,
    first_parents: bool,
    start: Option<Id>,
}

impl Log {
    pub(crate) fn new(history: Arc<History>, from: Id) -> Log {
        let (next, seen) = (BTreeMap::new(), HashSet::new());
        Log { history, next, seen, touching: None, first_parents: false, start: Some(from) }
    }

    /// Keeps only commits that changed something at this path or below it, relative to their
    /// parent; a merge, relative to every parent that is followed. Trees are looked at for that:
    /// the log ends with [`StorageError::LetGo`] at the first that is let go.
    pub fn touching(mut self, path: Path) -> Log {
        self.touching = Some(path);
        self
    }

    /// Goes from each commit to its first parent only: the history of a branch as it was lived,
    /// in which a merge is one step.
    pub fn first_parents(mut self) -> Log {
        self.first_parents = true;
        self
    }

    fn parents<'a>(&self, commit: &'a Commit) -> &'a [Parent] {
        let all = commit.links();
        if self.first_parents { &all[..all.len().min(1)] } else { all }
    }

    fn await_turn(&mut self, commit: Commit) {
        if self.seen.insert(commit.key()) {
            let turn = (commit.generation(), commit.meta().time_ms, commit.key());
            self.next.insert(turn, commit);
        }
    }

    fn advance(&mut self) -> Result<Option<Commit>, StorageError> {
        if let Some(start) = self.start.take() {
            self.await_turn(self.history.commit(&start)?);
        }
        while let Some((_, commit)) = self.next.pop_last() {
            // Nothing that comes later can lead here again: all descendants had their turn.
            self.seen.remove(&commit.key());
            for parent in self.parents(&commit) {
                self.await_turn(self.history.parent(parent)?);
            }
            if self.is_wanted(&commit)? {
                return Ok(Some(commit));
            }
        }
        Ok(None)
    }

    fn is_wanted(&self, commit: &Commit) -> Result<bool, StorageError> {
        let Some(path) = &self.touching else { return Ok(true) };
        if commit.links().is_empty() {
            let entry = commit.tree().entry(path);
            let entry = entry.map_err(|error| self.let_go_or(error, &[commit]))?;
            return Ok(entry.is_some_and(|entry| !is_nothing(&entry)));
        }
        for parent in self.parents(commit) {
            let parent = self.history.parent(parent)?;
            let same = same_at(&commit.tree(), &parent.tree(), path);
            if same.map_err(|error| self.let_go_or(error, &[commit, &parent]))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// That the tree of one of these commits was let go, if that is behind an error.
    fn let_go_or(&self, error: StorageError, commits: &[&Commit]) -> StorageError {
        let kept = commits.iter().try_for_each(|commit| self.history.check_kept(commit));
        kept.err().unwrap_or(error)
    }
}

/// The root is there even if it is empty.
fn is_nothing(entry: &Entry) -> bool {
    matches!(entry, Entry::Directory(link) if directory::is_empty(link))
}

/// Whether two trees hold the same at a path, looking no further than where they differ.
fn same_at(a: &Tree, b: &Tree, path: &Path) -> Result<bool, StorageError> {
    let (mut above_a, mut above_b) = (a.root().clone(), b.root().clone());
    for step in path {
        if above_a.same(&above_b) {
            return Ok(true);
        }
        let next = (directory::get(&above_a, step)?, directory::get(&above_b, step)?);
        let (Some(Entry::Directory(next_a)), Some(Entry::Directory(next_b))) = next else {
            return same_entries(a.entry(path)?, b.entry(path)?);
        };
        (above_a, above_b) = (next_a.clone(), next_b.clone());
    }
    Ok(above_a.id() == above_b.id())
}

fn same_entries(a: Option<Entry>, b: Option<Entry>) -> Result<bool, StorageError> {
    match (a, b) {
        (Some(Entry::Directory(a)), Some(Entry::Directory(b))) => Ok(a.id() == b.id()),
        (Some(Entry::Value(a)), Some(Entry::Value(b))) => Ok(a.load()? == b.load()?),
        (a, b) => Ok(a.is_none() && b.is_none()),
    }
}

impl Iterator for Log {
    type Item = Result<Commit, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance();
        if next.is_err() {
            self.next.clear();
        }
        next.transpose()
    }
}
