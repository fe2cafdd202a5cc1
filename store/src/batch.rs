//! Owns the transaction over several branches: commits and merges that see each other and are
//! published together. Must not know how trees merge, nor how heads are kept.

use std::collections::{BTreeMap, HashMap};

use crate::commit::{Commit, CommitRef, Key, Meta, Parent};
use crate::contents::Merging;
use crate::error::{PublishError, StorageError};
use crate::history::{self, Ancestors, Fresh, Moved};
use crate::id::Id;
use crate::merge::{self, Conflict, First};
use crate::name::BranchName;
use crate::retention;
use crate::store::Store;
use crate::tree::Tree;

/// How many commits a branch may be ahead of what is known about its ancestors, before that is
/// not worth bringing up to date.
const LINE_MAX: usize = 256;

/// Commits and moved heads that become visible together, or not at all. It sees its own writes;
/// others see nothing of it before [`Batch::publish`].
///
/// ```
/// use jitsu_store::{BranchName, Contents, Meta, Store};
/// let store = Store::memory();
/// let (main, subject) = (BranchName::new("main")?, BranchName::new("domain/www")?);
/// let mut batch = store.batch();
/// let mut tree = jitsu_store::Tree::empty();
/// tree.set(&"domains/www/wanted".parse()?, Contents::text("running"))?;
/// let asked = batch.commit(&subject, tree, Meta::default())?;
/// batch.merge(&main, &asked.id(), Meta::default())?;
/// assert!(store.head(&main)?.is_none());
/// batch.publish()?;
/// assert_eq!(store.head(&main)?.unwrap().parents(), [asked.id()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a batch that is not published has not happened"]
pub struct Batch {
    store: Store,
    /// The epoch of the backend when it began: in a later one it cannot be published.
    epoch: u64,
    seen: BTreeMap<BranchName, Seen>,
    /// Commits made here that were not in the store before, so that no older one descends from
    /// them.
    fresh: Fresh,
    /// What is known about the ancestors of the heads that were merged into.
    ancestors: HashMap<BranchName, Ancestors>,
}

/// A branch as the batch sees it.
struct Seen {
    /// The head when the batch first looked.
    old: Option<Commit>,
    new: Option<Commit>,
    moved: bool,
}

/// What came of a merge.
#[derive(Clone, Debug)]
pub enum Merged {
    /// Everything in it had been merged before: nothing was done.
    Already,
    /// The commit that merges.
    Commit(Commit),
    /// Where the two cannot be merged: nothing was done.
    Conflicts(Vec<Conflict>),
}

/// What came of moving a branch on to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// It is there now.
    Moved,
    /// It was there before.
    Already,
    /// It was beyond that, at this head, which descends from the commit: nothing was done.
    Ahead(Id),
    /// It has commits of its own, the last of them this head: nothing was done.
    Apart(Id),
}

impl Batch {
    pub(crate) fn new(store: Store) -> Batch {
        let epoch = store.history().epoch();
        let (seen, fresh, ancestors) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        Batch { store, epoch, seen, fresh, ancestors }
    }

    /// The head of a branch as this batch sees it.
    pub fn head(&mut self, branch: &BranchName) -> Result<Option<Commit>, StorageError> {
        Ok(self.look(branch)?.new.clone())
    }

    /// Commits a tree to a branch, on top of its head.
    pub fn commit(
        &mut self,
        branch: &BranchName,
        tree: Tree,
        meta: Meta,
    ) -> Result<Commit, StorageError> {
        let head = self.head(branch)?;
        let parents: Vec<_> = head.iter().collect();
        let commit = self.create(&parents, tree, meta)?;
        self.move_to(branch, Some(commit.clone()))?;
        Ok(commit)
    }

    /// Merges a commit into a branch. It always makes a commit that says who merged, unless
    /// everything was merged before; a branch that does not exist begins with it. The result does
    /// not depend on which of the two is merged into the other: where an order is needed, the
    /// commit with the earlier time is first, at the same time the one with the lesser id.
    pub fn merge(
        &mut self,
        into: &BranchName,
        from: impl Into<CommitRef>,
        meta: Meta,
    ) -> Result<Merged, StorageError> {
        let theirs = self.find(from.into())?;
        let Some(ours) = self.head(into)? else {
            let commit = self.create(&[&theirs], theirs.tree(), meta)?;
            self.move_to(into, Some(commit.clone()))?;
            return Ok(Merged::Commit(commit));
        };
        let Some(base) = self.base(into, &ours, &theirs)? else { return Ok(Merged::Already) };
        let types = self.store.types();
        let first = || if ours.is_before(&theirs) { First::Ours } else { First::Theirs };
        match merge::trees(&base, &ours.tree(), &theirs.tree(), &first, Merging::with(&types))? {
            Err(conflicts) => Ok(Merged::Conflicts(conflicts)),
            Ok(tree) => {
                let meta = retention::merged(into, &ours, &theirs, meta);
                let commit = self.create(&[&ours, &theirs], tree, meta)?;
                self.move_to(into, Some(commit.clone()))?;
                Ok(Merged::Commit(commit))
            }
        }
    }

    /// Moves a branch to a commit, making it if there is none.
    pub fn set(
        &mut self,
        branch: &BranchName,
        to: impl Into<CommitRef>,
    ) -> Result<(), StorageError> {
        let commit = self.find(to.into())?;
        if !self.fresh.contains_key(&commit.key()) {
            self.store.history().check_kept(&commit)?;
        }
        self.move_to(branch, Some(commit))
    }

    /// Moves a branch on to a commit that descends from its head, making it if there is none; any
    /// other commit needs a merge.
    pub fn forward(
        &mut self,
        branch: &BranchName,
        to: impl Into<CommitRef>,
    ) -> Result<Forward, StorageError> {
        let to = self.find(to.into())?;
        if let Some(head) = self.head(branch)? {
            let history = self.store.history();
            if head.key() == to.key() {
                return Ok(Forward::Already);
            }
            if !history::is_ancestor(history, &head, &to)? {
                let is_ahead = history::is_ancestor(history, &to, &head)?;
                return Ok(if is_ahead { Forward::Ahead } else { Forward::Apart }(head.id()));
            }
        }
        self.set(branch, &to)?;
        Ok(Forward::Moved)
    }

    /// Removes a branch. Whether there was one.
    pub fn delete(&mut self, branch: &BranchName) -> Result<bool, StorageError> {
        let was_there = self.head(branch)?.is_some();
        self.move_to(branch, None)?;
        Ok(was_there)
    }

    /// Publishes everything, durably, or nothing. A batch that moved nothing is published without
    /// asking anyone.
    pub fn publish(self) -> Result<(), PublishError> {
        let moved: Vec<Moved> = self
            .seen
            .into_iter()
            .filter(|(_, seen)| seen.moved)
            .map(|(branch, Seen { old, new, .. })| Moved { branch, old, new })
            .collect();
        self.store.publish(self.epoch, &moved)?;
        self.store.keep(self.ancestors);
        Ok(())
    }

    fn look(&mut self, branch: &BranchName) -> Result<&mut Seen, StorageError> {
        if !self.seen.contains_key(branch) {
            let head = self.store.head(branch)?;
            let seen = Seen { old: head.clone(), new: head, moved: false };
            self.seen.insert(branch.clone(), seen);
        }
        Ok(self.seen.get_mut(branch).expect("BUG: just inserted"))
    }

    fn move_to(&mut self, branch: &BranchName, to: Option<Commit>) -> Result<(), StorageError> {
        let seen = self.look(branch)?;
        seen.new = to;
        seen.moved = true;
        Ok(())
    }

    fn parent(&self, parent: &Parent) -> Result<Commit, StorageError> {
        match self.fresh.get(&parent.key()) {
            Some(commit) => Ok(commit.clone()),
            None => self.store.history().parent(parent),
        }
    }

    fn find(&self, meant: CommitRef) -> Result<Commit, StorageError> {
        if let CommitRef::Id(id) = &meant
            && let Some(commit) = self.fresh.get(&Key::Id(*id))
        {
            return Ok(commit.clone());
        }
        self.store.history().meant(meant)
    }

    fn create(
        &mut self,
        parents: &[&Commit],
        tree: Tree,
        meta: Meta,
    ) -> Result<Commit, StorageError> {
        let (commit, is_new) = self.store.history().create(self.epoch, parents, tree, meta)?;
        if is_new {
            self.fresh.insert(commit.key(), commit.unloaded());
        }
        Ok(commit)
    }

    /// The base for merging `theirs` into the head `ours` of a branch; `None` if it is merged.
    fn base(
        &mut self,
        into: &BranchName,
        ours: &Commit,
        theirs: &Commit,
    ) -> Result<Option<Tree>, StorageError> {
        let mut known = self.ancestors(into, ours)?;
        let base = self.base_among(&mut known, ours, theirs);
        self.ancestors.insert(into.clone(), known);
        base
    }

    fn base_among(
        &self,
        known: &mut Ancestors,
        ours: &Commit,
        theirs: &Commit,
    ) -> Result<Option<Tree>, StorageError> {
        let history = self.store.history();
        let mut is_merged = |commit: &Commit| known.contain(history, commit, &self.fresh);
        let already = match is_merged(theirs)? {
            Some(already) => already,
            None => history::is_ancestor(history, theirs, ours)?,
        };
        if already {
            return Ok(None);
        }
        // A line of commits that leads from `theirs` to an ancestor of `ours` has its end as the
        // only lowest common ancestor; any other shape needs the general walk.
        let mut at = theirs.clone();
        loop {
            at = match at.links() {
                [] => return Ok(Some(Tree::empty())),
                [parent] => self.parent(parent)?,
                _ => break,
            };
            match is_merged(&at)? {
                Some(true) => return Ok(Some(at.tree())),
                Some(false) => {}
                None => break,
            }
        }
        let types = self.store.types();
        self.store.bases().of(history, ours, theirs, Merging::with(&types)).map(Some)
    }

    /// What is known about the ancestors of a head: from this batch, from an earlier one, or
    /// nothing yet.
    fn ancestors(&mut self, of: &BranchName, head: &Commit) -> Result<Ancestors, StorageError> {
        let history = self.store.history();
        let known = self.ancestors.remove(of).or_else(|| self.store.take_ancestors(of));
        if let Some(mut known) = known
            && let Some(line) = self.line(known.head(), head)?
        {
            for commit in line.iter().rev() {
                known.advance(history, commit, &self.fresh)?;
            }
            return Ok(known);
        }
        Ancestors::of(history, head, &self.fresh)
    }

    /// The commits that followed each other from `old`, which is not among them, to `head`,
    /// backwards; `None` if they are too many, or the branch was moved elsewhere.
    fn line(&self, old: Key, head: &Commit) -> Result<Option<Vec<Commit>>, StorageError> {
        let mut line = Vec::new();
        let mut at = head.clone();
        while at.key() != old {
            let Some(parent) = at.links().first().cloned() else { return Ok(None) };
            line.push(at);
            if line.len() > LINE_MAX {
                return Ok(None);
            }
            at = self.parent(&parent)?;
        }
        Ok(Some(line))
    }
}
