//! Owns commits and heads as values: nothing is encoded, and nothing is hashed before somebody
//! asks for an id. Must not know how commits are related.
//!
//! Two commits are the same if their ids would be. To find that out for a new one without hashing,
//! it is enough to compare it with those of the same first parent: mostly their times differ.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::chunked::Chunked;
use super::{Moved, key};
use crate::backend::{Memory, Source};
use crate::commit::{Commit, Key, Meta, Parent, Record};
use crate::error::StorageError;
use crate::id::{Id, IdPrefix};
use crate::name::BranchName;
use crate::threads::{Mutex, MutexGuard};
use crate::tree::{Tree, directory};

/// The commits and heads of a store in memory.
pub(crate) struct Values {
    state: Mutex<State>,
    /// What others asked for as objects, or gave as such.
    objects: Source,
}

#[derive(Default)]
struct State {
    /// All commits, by serial.
    commits: Chunked<Sibling>,
    /// The newest commit without parents.
    root: Option<usize>,
    heads: BTreeMap<BranchName, Commit>,
    /// The ids of the first so many commits.
    named: HashMap<Id, usize>,
    /// How many of the first commits are among the objects.
    saved: usize,
}

/// A commit in the list of those made from the same first parent.
struct Sibling {
    commit: Commit,
    /// The one made before it.
    next: Option<usize>,
    /// The newest that was made from it.
    child: Option<usize>,
}

impl Values {
    pub(super) fn create(&self, parents: &[&Commit], tree: Tree, meta: Meta) -> (Commit, bool) {
        self.state().create(parents, tree, meta)
    }

    /// All of it as objects. What was not asked for before is encoded and hashed now.
    pub(super) fn objects(&self) -> Result<Source, StorageError> {
        let mut state = self.state();
        while let Some(Sibling { commit, .. }) = state.commits.get(state.saved) {
            commit.tree().save(&self.objects)?;
            self.objects.put(&commit.id(), &commit.record().encode())?;
            state.saved += 1;
        }
        Ok(self.objects.clone())
    }

    /// Takes in a commit that is among the objects, and those of its ancestors that are not here.
    pub(super) fn adopt(&self, head: &Id) -> Result<(), StorageError> {
        let mut state = self.state();
        state.name();
        let mut line = vec![*head];
        while let Some(id) = line.last().copied() {
            if state.named.contains_key(&id) {
                line.pop();
                continue;
            }
            let record = Record::fetch(&id, &self.objects)?;
            let unknown: Vec<Id> =
                record.parents().filter(|id| !state.named.contains_key(id)).collect();
            if unknown.is_empty() {
                let parents: Vec<Commit> = record
                    .parents()
                    .map(|id| state.commits[state.named[&id]].commit.clone())
                    .collect();
                let tree = Tree::stored(record.tree(), self.objects.clone());
                state.create(&parents.iter().collect::<Vec<_>>(), tree, record.meta().clone());
                state.name();
                assert!(state.named.contains_key(&id), "BUG: a commit changed as it was adopted");
            }
            line.extend(unknown);
        }
        Ok(())
    }

    /// Whether a commit has its tree: one that came from a store which had let it go may not.
    pub(super) fn keeps_tree(&self, commit: &Commit) -> Result<bool, StorageError> {
        let tree = commit.tree();
        Ok(tree.root().loaded().is_some() || self.objects.contains(&tree.id())?)
    }

    /// Whether a commit is one of these.
    pub(super) fn has(&self, commit: &Commit) -> bool {
        let Key::Serial(serial) = commit.key() else { return false };
        self.state().commits.get(serial as usize).is_some_and(|here| here.commit.is(commit))
    }

    pub(super) fn find(&self, id: &Id) -> Option<Commit> {
        let mut state = self.state();
        state.name();
        let serial = state.named.get(id)?;
        Some(state.commits[*serial].commit.clone())
    }

    pub(super) fn head(&self, branch: &BranchName) -> Option<Commit> {
        self.state().heads.get(branch).cloned()
    }

    pub(super) fn set_heads(&self, moved: &[Moved]) -> bool {
        let mut state = self.state();
        if moved.iter().any(|it| key(state.heads.get(&it.branch)) != key(it.old.as_ref())) {
            return false;
        }
        for Moved { branch, new, .. } in moved {
            match (state.heads.get_mut(branch), new) {
                (Some(head), Some(new)) => *head = new.clone(),
                (None, Some(new)) => drop(state.heads.insert(branch.clone(), new.clone())),
                (_, None) => drop(state.heads.remove(branch)),
            }
        }
        true
    }

    pub(super) fn branches(&self) -> Vec<(BranchName, Id)> {
        let heads = self.state().heads.clone();
        heads.into_iter().map(|(branch, head)| (branch, head.id())).collect()
    }

    pub(super) fn ids_with_prefix(&self, prefix: &IdPrefix, limit: usize) -> Vec<Id> {
        let mut state = self.state();
        state.name();
        state.named.keys().filter(|id| prefix.matches(id)).take(limit).copied().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("BUG: a thread panicked inside the commits in memory")
    }
}

impl State {
    fn create(&mut self, parents: &[&Commit], tree: Tree, meta: Meta) -> (Commit, bool) {
        let first = parents.first().map(|first| serial(first));
        let newest = match first {
            Some(first) => self.commits[first].child,
            None => self.root,
        };
        let mut at = newest;
        while let Some(sibling) = at {
            let Sibling { commit, next, .. } = &self.commits[sibling];
            if *commit.meta() == meta && is_from(commit, parents) && same(&commit.tree(), &tree) {
                return (commit.clone(), false);
            }
            at = *next;
        }
        let serial = self.commits.len();
        let commit = Commit::value(serial as u64, parents, tree, meta);
        self.commits.push(Sibling { commit: commit.clone(), next: newest, child: None });
        match first {
            Some(first) => self.commits[first].child = Some(serial),
            None => self.root = Some(serial),
        }
        (commit, true)
    }

    /// Hashes all commits that were not yet.
    fn name(&mut self) {
        for serial in self.named.len()..self.commits.len() {
            let before = self.named.insert(self.commits[serial].commit.id(), serial);
            assert!(before.is_none(), "BUG: the same commit twice");
        }
    }
}

impl Default for Values {
    fn default() -> Values {
        Values { state: Mutex::default(), objects: Source::new(Arc::new(Memory::new())) }
    }
}

impl Drop for State {
    /// The newest first, so that none is the last to hold what was before it.
    fn drop(&mut self) {
        self.heads.clear();
        while self.commits.pop().is_some() {}
    }
}

fn serial(commit: &Commit) -> usize {
    match commit.key() {
        Key::Serial(serial) => serial as usize,
        Key::Id(_) => unreachable!("BUG: a commit of another store"),
    }
}

/// Whether two trees hold the same; if that cannot be seen, by their ids.
fn same(a: &Tree, b: &Tree) -> bool {
    directory::is_same(a.root(), b.root()).unwrap_or_else(|_| a == b)
}

fn is_from(commit: &Commit, parents: &[&Commit]) -> bool {
    commit.links().iter().map(Parent::key).eq(parents.iter().map(|parent| parent.key()))
}
