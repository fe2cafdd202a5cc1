//! Owns the way from Git to the store. Must not know how commits say what they say, nor how a
//! repository keeps anything.
//!
//! A tree is made from the one of the first parent and what differs from it. All commits are made
//! before any branch moves; what a collection of the store overtakes is made again.

use std::collections::BTreeMap;

use super::error::{Fault, GitError};
use super::ids::Ids;
use super::modes::{self, Set};
use super::names::{step_of, store_branch};
use super::object::{
    DIRECTORY, EXECUTABLE, Entries, Entry, FILE, GitCommit, GitId, LINK, SUBMODULE, Type, read_tree,
};
use super::repository::Repository;
use super::{blob, words};
use crate::batch::{Forward, Merged};
use crate::commit::{Commit, Meta, PARENTS_MAX};
use crate::contents::Contents;
use crate::error::StorageError;
use crate::id::Id;
use crate::merge::Conflict;
use crate::name::BranchName;
use crate::path::{PATH_STEPS_MAX, Path, Step};
use crate::store::{Store, TRIES_MAX};
use crate::tree::{Tree, TreeError};

/// What came of an import.
#[derive(Debug)]
pub struct Imported {
    /// Every branch of the repository, by the name it has there.
    pub branches: Vec<(String, Landed)>,
    /// How many commits are new to the store, or were at least looked at.
    pub commits: u64,
    /// How many objects of the repository were read.
    pub objects_read: u64,
}

/// What came of one branch.
#[derive(Debug)]
pub enum Landed {
    /// It is new, or was behind: its head is this commit now.
    Moved(Id),
    /// The store has all of it.
    Already,
    /// Both sides had commits of their own: this one merges them.
    Merged(Id),
    /// Both sides had commits of their own that cannot be merged: the branch was not moved.
    Conflicts(Vec<Conflict>),
    /// The store can have no branch of this name.
    Refused,
}

/// Takes all branches of a repository, with their history, into a store. A branch that has
/// commits on both sides is merged, with this metadata. If one commit cannot be taken no branch
/// is moved.
pub fn import(store: &Store, from: &Repository, meta: &Meta) -> Result<Imported, GitError> {
    let heads: Vec<(String, GitId)> = from.branches()?.into_iter().collect();
    import_heads(store, from, &heads, meta)
}

/// The same of commits that are in the repository, each for the branch of a name that Git has.
pub fn import_heads(
    store: &Store,
    from: &Repository,
    heads: &[(String, GitId)],
    meta: &Meta,
) -> Result<Imported, GitError> {
    let before = from.counts().0;
    let mut ids = Ids::load(from.path());
    let (mut branches, mut commits) = (Vec::new(), 0);
    let mut tries = 0;
    while branches.len() < heads.len() {
        let mut import = Import::new(store, from, &mut ids);
        let came = import.heads(&heads[branches.len()..], meta, &mut branches);
        commits += import.commits;
        let is_outrun = import.check_epoch().is_err();
        tries += 1;
        match came {
            // Something that was there is gone, whatever is said of it.
            Err(_) if is_outrun && tries < TRIES_MAX => {}
            came => came?,
        }
    }
    // What cannot be remembered, as in a repository of somebody else, is looked at again.
    let _ = ids.save();
    Ok(Imported { branches, commits, objects_read: from.counts().0 - before })
}

/// Makes a commit, with its history, of which these are known already.
pub(super) fn commit(
    store: &Store,
    from: &Repository,
    ids: &mut Ids,
    commit: GitId,
) -> Result<Id, GitError> {
    Import::new(store, from, ids).history(commit)
}

/// Brings a branch to a commit: forward if it can be, else by a merge.
fn land(store: &Store, branch: &BranchName, to: &Id, meta: &Meta) -> Result<Landed, GitError> {
    let landed = store.transact(|batch| match batch.forward(branch, to)? {
        Forward::Moved => Ok(Landed::Moved(*to)),
        Forward::Already | Forward::Ahead(_) => Ok(Landed::Already),
        Forward::Apart(_) => Ok(match batch.merge(branch, to, meta.clone())? {
            Merged::Commit(commit) => Landed::Merged(commit.id()),
            Merged::Already => Landed::Already,
            Merged::Conflicts(conflicts) => Landed::Conflicts(conflicts),
        }),
    })?;
    Ok(landed)
}

struct Import<'a> {
    store: &'a Store,
    from: &'a Repository,
    ids: &'a mut Ids,
    commits: u64,
    /// The epoch of the store in which it began.
    epoch: u64,
}

impl<'a> Import<'a> {
    fn new(store: &'a Store, from: &'a Repository, ids: &'a mut Ids) -> Import<'a> {
        Import { store, from, ids, commits: 0, epoch: store.history().epoch() }
    }

    /// Makes the commits of all these branches, then brings these to them; what came of each so far.
    fn heads(
        &mut self,
        heads: &[(String, GitId)],
        meta: &Meta,
        landed: &mut Vec<(String, Landed)>,
    ) -> Result<(), GitError> {
        let mut landing = Vec::new();
        for (name, head) in heads {
            let branch = store_branch(name);
            let head = if branch.is_some() { Some(self.history(*head)?) } else { None };
            landing.push((name, branch.zip(head)));
        }
        for (name, branch) in landing {
            let came = match branch {
                Some((branch, head)) => land(self.store, &branch, &head, meta)?,
                None => Landed::Refused,
            };
            landed.push((name.clone(), came));
        }
        Ok(())
    }

    /// Refuses to go on when a collection has begun since: what was made may be gone.
    fn check_epoch(&self) -> Result<(), StorageError> {
        let is_same = self.store.history().epoch() == self.epoch;
        if is_same { Ok(()) } else { Err(StorageError::Outrun) }
    }

    /// Makes a commit and its ancestors, each after its parents, as far as they are not there.
    fn history(&mut self, head: GitId) -> Result<Id, GitError> {
        let mut work = vec![head];
        while let Some(git) = work.last().copied() {
            if self.known(&git)?.is_some() {
                work.pop();
                continue;
            }
            let commit = self.read_commit(&git)?;
            let mut missing = Vec::new();
            for parent in &commit.parents {
                if self.known(parent)?.is_none() {
                    missing.push(*parent);
                }
            }
            if missing.is_empty() {
                let made = Making { import: self, of: git }.commit(&commit)?;
                self.check_epoch()?;
                self.ids.learn(made.id(), git);
                self.commits += 1;
                work.pop();
            }
            work.extend(missing);
        }
        Ok(self.known(&head)?.ok_or(StorageError::Outrun)?.id())
    }

    /// The commit of the store, if there is one already, to stay.
    fn known(&self, git: &GitId) -> Result<Option<Commit>, StorageError> {
        let Some(id) = self.ids.store(git) else { return Ok(None) };
        let Some(commit) = self.store.commit(&id)? else { return Ok(None) };
        match self.store.history().check_kept(&commit) {
            Ok(()) | Err(StorageError::LetGo { .. }) => Ok(Some(commit)),
            Err(StorageError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read_commit(&self, git: &GitId) -> Result<GitCommit, GitError> {
        let bytes = self.from.get(git, Type::Commit);
        let read = bytes.and_then(|bytes| GitCommit::read(&bytes).ok_or(Fault::Malformed(*git)));
        read.map_err(|fault| GitError::Import { commit: *git, path: String::new(), fault })
    }
}

/// A commit that is being made.
struct Making<'a> {
    import: &'a Import<'a>,
    of: GitId,
}

impl Making<'_> {
    fn commit(&self, git: &GitCommit) -> Result<Commit, GitError> {
        let import = self.import;
        let mut parents = Vec::new();
        for parent in &git.parents {
            parents.push(import.known(parent)?.ok_or(StorageError::Outrun)?);
        }
        let is_twice =
            (1..git.parents.len()).any(|at| git.parents[..at].contains(&git.parents[at]));
        if is_twice || parents.len() > PARENTS_MAX {
            return Err(self.fault("", Fault::Parents(PARENTS_MAX)));
        }
        let base = match (git.parents.first(), parents.first()) {
            (Some(git), Some(parent)) => {
                let tree = import.read_commit(git)?.tree;
                Some((tree, parent.tree()))
            }
            _ => None,
        };
        let tree = self.directory(base, git.tree, &mut Vec::new())?;
        let meta = words::of_git(&git.words);
        let history = import.store.history();
        let parents: Vec<&Commit> = parents.iter().collect();
        Ok(history.create(import.epoch, &parents, tree, meta)?.0)
    }

    /// Makes a directory, knowing how another one was made.
    fn directory(
        &self,
        base: Option<(GitId, Tree)>,
        git: GitId,
        at: &mut Vec<String>,
    ) -> Result<Tree, GitError> {
        if at.len() >= PATH_STEPS_MAX {
            return Err(self.fault(&at.join("/"), Fault::TooDeep(PATH_STEPS_MAX)));
        }
        let (before, mut tree) = match base {
            Some((before, tree)) if before == git => return Ok(tree),
            Some((before, tree)) => (self.entries(before, at)?, tree),
            None => (Entries::new(), Tree::empty()),
        };
        let after = self.entries(git, at)?;
        let mut below = BTreeMap::new();
        for (name, entry) in &before {
            if after.get(name).is_some_and(|now| same(now, entry)) {
                continue;
            }
            let path = self.path(name, entry, at)?;
            if entry.is_directory() {
                below.extend(tree.subtree(&path)?.map(|tree| (name, (entry.id, tree))));
            }
            tree.remove(&path)?;
        }
        for (name, entry) in &after {
            if before.get(name).is_some_and(|was| same(was, entry)) {
                continue;
            }
            let path = self.path(name, entry, at)?;
            at.push(name.clone());
            if entry.is_directory() {
                let directory = self.directory(below.remove(name), entry.id, at)?;
                if directory.is_empty() {
                    return Err(self.fault(&at.join("/"), Fault::EmptyDirectory));
                }
                tree.set_tree(&path, directory)?;
            } else {
                tree.set(&path, self.file(entry.id, at)?)?;
            }
            at.pop();
        }
        self.modes(after, &mut tree, at)?;
        Ok(tree)
    }

    /// Keeps the modes of a directory's files where they are kept.
    fn modes(&self, mut of: Entries, tree: &mut Tree, at: &[String]) -> Result<(), GitError> {
        let step = Path::from(Step::new(modes::STEP).expect("BUG: the step of modes is one"));
        let there = of.get(modes::NAME).copied();
        let special = modes::take(&mut of);
        let left = match there {
            Some(entry) if !entry.is_directory() => match self.file(entry.id, at)? {
                Contents::Set(left) => Some(left),
                _ => None,
            },
            _ => None,
        };
        if special.is_empty() && left.is_none() {
            // What is there, if anything, has nothing to do with modes.
            if there.is_none() {
                tree.remove(&step)?;
            }
            return Ok(());
        }
        // The set must say what Git says, no more and no less.
        let set: Set = special.iter().chain(left.iter().flatten()).cloned().collect();
        of.remove(modes::NAME);
        let is_in_place = there.is_some() == left.is_some();
        if !is_in_place || modes::apply(&set, &mut of) != left || modes::take(&mut of) != special {
            return Err(self.fault(&below(at, modes::NAME), Fault::Name));
        }
        Ok(tree.set(&step, Contents::Set(set))?)
    }

    /// A directory's entries, all of a kind that the store can hold.
    fn entries(&self, git: GitId, at: &[String]) -> Result<Entries, GitError> {
        let fault = |fault| self.fault(&at.join("/"), fault);
        let bytes = self.import.from.get(&git, Type::Tree).map_err(fault)?;
        let entries = read_tree(&git, &bytes).map_err(fault)?;
        for (name, entry) in &entries {
            let wrong = match entry.mode {
                FILE | EXECUTABLE | LINK | DIRECTORY if name == ".gitmodules" => Fault::Submodule,
                FILE | EXECUTABLE | LINK | DIRECTORY => continue,
                SUBMODULE => Fault::Submodule,
                other => Fault::Mode(other),
            };
            return Err(self.fault(&below(at, name), wrong));
        }
        Ok(entries)
    }

    fn path(&self, name: &str, entry: &Entry, at: &[String]) -> Result<Path, GitError> {
        let step = step_of(name, entry.is_directory());
        step.map(Path::from).map_err(|fault| self.fault(&below(at, name), fault))
    }

    fn file(&self, git: GitId, at: &[String]) -> Result<Contents, GitError> {
        let bytes = self.import.from.get(&git, Type::Blob);
        let contents = bytes.and_then(|bytes| blob::of_blob(&bytes));
        contents.map_err(|fault| self.fault(&at.join("/"), fault))
    }

    fn fault(&self, path: &str, fault: Fault) -> GitError {
        GitError::Import { commit: self.of, path: path.to_owned(), fault }
    }
}

fn below(at: &[String], name: &str) -> String {
    at.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join("/")
}

/// Whether two entries are the same contents or directory; modes are looked at elsewhere.
fn same(a: &Entry, b: &Entry) -> bool {
    a.id == b.id && a.is_directory() == b.is_directory()
}

impl From<TreeError> for GitError {
    fn from(error: TreeError) -> GitError {
        match error {
            TreeError::Storage(error) => error.into(),
            other => unreachable!("BUG: one step in a directory is refused: {other}"),
        }
    }
}
