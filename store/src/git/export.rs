//! Owns the way from the store to Git. Must not know how commits say what they say, nor how a
//! repository keeps anything.
//!
//! A directory is written from the one of the first parent and what differs from it, so that the
//! cost of a commit follows its change.

use std::collections::HashSet;

use super::error::{Fault, GitError};
use super::ids::Ids;
use super::modes::{self, Set};
use super::names::{git_branch, name_of};
use super::object::{
    DIRECTORY, Entries, Entry, FILE, GitCommit, GitId, Type, read_tree, write_tree,
};
use super::repository::{Move, Repository};
use super::{blob, shown, words};
use crate::commit::Commit;
use crate::contents::Contents;
use crate::diff::{self, Differing};
use crate::error::StorageError;
use crate::id::Id;
use crate::name::BranchName;
use crate::path::{PATH_STEPS_MAX, Step};
use crate::store::Store;
use crate::tree::directory;
use crate::tree::node::{self, Link};

/// What came of an export.
#[derive(Debug)]
pub struct Exported {
    /// Every branch of the store, by name.
    pub branches: Vec<(BranchName, Sent)>,
    /// How many commits were written.
    pub commits: u64,
    /// How many objects of the repository were read.
    pub objects_read: u64,
    /// How many objects of the repository were written.
    pub objects_written: u64,
}

/// What came of one branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It points at this commit now.
    Moved(GitId),
    /// It pointed at this commit already.
    Already(GitId),
    /// It stays at this commit, which has what the branch of the store has not: import it first.
    Ahead(GitId),
}

/// Writes all branches of a store, with their history, to a bare repository. Branches are moved
/// last, all together, and only forward. Branches that the store does not have stay as they are.
pub fn export(store: &Store, to: &Repository) -> Result<Exported, GitError> {
    if !to.is_bare() {
        return Err(GitError::NotBare(to.path().to_owned()));
    }
    let before = to.counts();
    let branches = store.branches()?;
    let there = to.branches()?;
    check_names(branches.iter().map(|(branch, _)| branch), there.keys())?;
    let mut ids = known(to)?;
    let mut export = Export::new(store, to, &mut ids);
    for (_, head) in &branches {
        export.history(*head)?;
    }
    let mut sent = Vec::new();
    let mut moves = Vec::new();
    for (branch, head) in branches {
        let name = git_branch(&branch);
        let old = there.get(&name).copied();
        let came = export.branch(head, old)?;
        if let Sent::Moved(new) = came {
            moves.push(Move { branch: name, old, new: Some(new) });
        }
        sent.push((branch, came));
    }
    let commits = export.commits;
    end(to, &mut ids)?;
    if !moves.is_empty() {
        to.move_branches(&moves)?;
    }
    let (read, written) = to.counts();
    let (objects_read, objects_written) = (read - before.0, written - before.1);
    Ok(Exported { branches: sent, commits, objects_read, objects_written })
}

/// Writes commits of a store, with their history, to a repository, and tells which ones they are
/// there. No branch is moved.
pub fn export_commits(
    store: &Store,
    to: &Repository,
    commits: &[Id],
) -> Result<Vec<GitId>, GitError> {
    let mut ids = known(to)?;
    let sent = write(store, to, &mut ids, commits)?;
    end(to, &mut ids)?;
    Ok(sent)
}

/// Writes commits, with their history, of which these are known already. What was written is not
/// durable yet, and what is known by now not remembered.
pub(super) fn write(
    store: &Store,
    to: &Repository,
    ids: &mut Ids,
    commits: &[Id],
) -> Result<Vec<GitId>, GitError> {
    let mut export = Export::new(store, to, ids);
    commits.iter().map(|id| export.history(*id).map(|()| export.git(id))).collect()
}

/// The commits that are known in a repository to which can be exported.
pub(super) fn known(to: &Repository) -> Result<Ids, GitError> {
    let ids = Ids::load(to.path());
    if ids.is_earlier() { Err(GitError::Earlier(to.path().to_owned())) } else { Ok(ids) }
}

/// Makes all durable, if it was not known to be there before, and remembers it.
fn end(to: &Repository, ids: &mut Ids) -> Result<(), GitError> {
    // What is there may have been written by somebody who was cut off.
    if ids.has_new() {
        to.sync()?;
    }
    ids.save().map_err(|e| to.failed("remember what was written to", e))
}

/// Refuses a branch whose name is a folder on the way to another one.
pub(super) fn check_names<'a>(
    ours: impl Iterator<Item = &'a BranchName>,
    there: impl Iterator<Item = &'a String>,
) -> Result<(), GitError> {
    let all: HashSet<String> = there.cloned().chain(ours.map(git_branch)).collect();
    for name in &all {
        for (at, _) in name.match_indices('/') {
            if let Some(above) = all.get(&name[..at]) {
                return Err(GitError::Branches(above.clone(), name.clone()));
            }
        }
    }
    Ok(())
}

/// The longest line that `git fsck --strict` takes in `.gitattributes` (attr.h of Git).
const ATTRIBUTES_LINE_MAX: usize = 2047;

struct Export<'a> {
    store: &'a Store,
    to: &'a Repository,
    ids: &'a mut Ids,
    /// Commits that are known to be in the repository.
    there: HashSet<Id>,
    commits: u64,
}

impl<'a> Export<'a> {
    fn new(store: &'a Store, to: &'a Repository, ids: &'a mut Ids) -> Export<'a> {
        Export { store, to, ids, there: HashSet::new(), commits: 0 }
    }

    /// Writes a commit and its ancestors, each after its parents, as far as they are not there.
    fn history(&mut self, head: Id) -> Result<(), GitError> {
        let mut work = vec![head];
        while let Some(id) = work.last().copied() {
            if self.is_there(&id) {
                work.pop();
                continue;
            }
            let commit = self.store.commit(&id)?.ok_or(StorageError::Missing { id })?;
            let parents = commit.parents().into_iter();
            let missing: Vec<Id> = parents.filter(|parent| !self.is_there(parent)).collect();
            if missing.is_empty() {
                let git = self.commit(&commit)?;
                self.ids.learn(id, git);
                self.there.insert(id);
                work.pop();
            }
            work.extend(missing);
        }
        Ok(())
    }

    fn is_there(&mut self, id: &Id) -> bool {
        if self.there.contains(id) {
            return true;
        }
        let is_there = self.ids.git(id).is_some_and(|git| self.to.has(&git));
        if is_there {
            self.there.insert(*id);
        }
        is_there
    }

    fn git(&self, id: &Id) -> GitId {
        self.ids.git(id).expect("BUG: a commit that was not written")
    }

    /// What is to become of a branch in the repository.
    fn branch(&self, head: Id, old: Option<GitId>) -> Result<Sent, GitError> {
        let new = self.git(&head);
        let Some(old) = old else { return Ok(Sent::Moved(new)) };
        if old == new {
            return Ok(Sent::Already(new));
        }
        let is_behind = match self.ids.store(&old) {
            Some(there) if self.store.commit(&there)?.is_some() => {
                self.store.is_ancestor(&there, &head)?
            }
            _ => false,
        };
        Ok(if is_behind { Sent::Moved(new) } else { Sent::Ahead(old) })
    }

    fn commit(&mut self, commit: &Commit) -> Result<GitId, GitError> {
        let reserved = || self.fault(commit, &[], Fault::Reserved);
        let words = words::to_git(commit.meta()).ok_or_else(reserved)?;
        if !self.store.keeps_tree(commit)? {
            return Err(StorageError::LetGo { commit: commit.id() }.into());
        }
        let tree = commit.tree();
        let base = match commit.parents().first() {
            None => None,
            Some(parent) => {
                let base = self.store.commit(parent)?;
                Some(base.ok_or(StorageError::Missing { id: *parent })?)
            }
        };
        let tree = match base {
            Some(base) if self.store.keeps_tree(&base)? => {
                let git = self.read_commit(commit, &self.git(&base.id()))?.tree;
                let before = base.tree();
                self.directory(commit, Some((before.root(), git)), tree.root(), &mut Vec::new())?
            }
            _ => self.directory(commit, None, tree.root(), &mut Vec::new())?,
        };
        let parents = commit.parents().iter().map(|parent| self.git(parent)).collect();
        let git = GitCommit { tree, parents, words };
        let bytes = git.write();
        if GitCommit::read(&bytes) != Some(git) {
            return Err(self.fault(commit, &[], Fault::Reserved));
        }
        self.commits += 1;
        self.to.put(Type::Commit, &bytes)
    }

    fn read_commit(&self, of: &Commit, id: &GitId) -> Result<GitCommit, GitError> {
        let bytes = self.to.get(id, Type::Commit).map_err(|fault| self.fault(of, &[], fault))?;
        GitCommit::read(&bytes).ok_or_else(|| self.fault(of, &[], Fault::Malformed(*id)))
    }

    /// Writes a directory, knowing how another one was written.
    fn directory(
        &self,
        of: &Commit,
        before: Option<(&Link, GitId)>,
        after: &Link,
        at: &mut Vec<Step>,
    ) -> Result<GitId, GitError> {
        if at.len() >= PATH_STEPS_MAX {
            return Err(self.fault(of, at, Fault::TooDeep(PATH_STEPS_MAX)));
        }
        let mut entries = Entries::new();
        if let Some((link, git)) = before {
            if link.same(after) {
                return Ok(git);
            }
            let read = self.to.get(&git, Type::Tree).and_then(|bytes| read_tree(&git, &bytes));
            entries = read.map_err(|fault| self.fault(of, at, fault))?;
            modes::take(&mut entries);
            if modes_of(link)?.is_some() {
                entries.remove(modes::NAME);
            }
        }
        let mut changed = Vec::new();
        diff::nodes(before.map(|(link, _)| link), Some(after), 0, &mut changed)?;
        for differing in &changed {
            at.push(differing.step.clone());
            self.entry(of, differing, &mut entries, at)?;
            at.pop();
        }
        if let Some(set) = modes_of(after)?
            && let Some(left) = modes::apply(&set, &mut entries)
        {
            let entry = self.file(of, &Contents::Set(left), at)?;
            entries.insert(modes::NAME.to_owned(), entry);
        }
        self.to.put(Type::Tree, &write_tree(&entries))
    }

    /// Writes what is at a step, the last of `at`, in place of what was there before.
    fn entry(
        &self,
        of: &Commit,
        Differing { step, before, after }: &Differing,
        entries: &mut Entries,
        at: &mut Vec<Step>,
    ) -> Result<(), GitError> {
        let mut base = None;
        if let Some(before) = before {
            let is_directory = matches!(before, node::Entry::Directory(_));
            let was = entries.remove(&name_of(step, is_directory));
            if let (node::Entry::Directory(link), Some(was)) = (before, was) {
                base = Some((link, was.id));
            }
        }
        let (name, entry) = match after {
            None => return Ok(()),
            Some(node::Entry::Directory(link)) => {
                let id = self.directory(of, base, link, at)?;
                (name_of(step, true), Entry { mode: DIRECTORY, id })
            }
            Some(node::Entry::Value(value)) => match value.load()? {
                Contents::Set(_) if step.as_str() == modes::STEP => return Ok(()),
                contents => (name_of(step, false), self.file(of, contents, at)?),
            },
        };
        entries.insert(name, entry);
        Ok(())
    }

    fn file(&self, of: &Commit, contents: &Contents, at: &[Step]) -> Result<Entry, GitError> {
        let bytes = blob::to_blob(contents)?;
        // Bytes are what somebody wanted to be there, and are Git's own business.
        let is_ours = !matches!(contents, Contents::Bytes(_));
        let is_attributes =
            at.last().is_some_and(|step| step.as_str().eq_ignore_ascii_case(".gitattributes"));
        let is_long = |line: &[u8]| line.len() > ATTRIBUTES_LINE_MAX;
        if is_ours && is_attributes && bytes.split(|byte| *byte == b'\n').any(is_long) {
            return Err(self.fault(of, at, Fault::Attributes(ATTRIBUTES_LINE_MAX)));
        }
        let bytes_max = super::BLOB_BYTES_MAX;
        if bytes.len() > bytes_max {
            let fault = Fault::TooLarge { bytes: bytes.len() as u64, bytes_max };
            return Err(self.fault(of, at, fault));
        }
        Ok(Entry { mode: FILE, id: self.to.put(Type::Blob, &bytes)? })
    }

    fn fault(&self, of: &Commit, at: &[Step], fault: Fault) -> GitError {
        GitError::Export { commit: of.id(), path: shown(at), fault }
    }
}

/// The set in which a directory keeps modes, if it has one.
fn modes_of(directory: &Link) -> Result<Option<Set>, StorageError> {
    let step = Step::new(modes::STEP).expect("BUG: the step of modes is one");
    Ok(match directory::get(directory, &step)? {
        Some(node::Entry::Value(value)) => match value.load()? {
            Contents::Set(set) => Some(set.clone()),
            _ => None,
        },
        _ => None,
    })
}
